//! The transforms: AES in counter mode with HMAC-SHA-1 (RFC 3711 section 4) and AES-GCM (RFC 7714), in place. AES and SHA-1
//! run on the processor's instructions where it has them.

use std::fmt;

use aes::{
    Aes128, Block,
    cipher::{BlockEncrypt, KeyInit},
};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;

use super::{MasterKey, Suite};

/// Bytes of the E flag and index of SRTCP (RFC 3711 section 3.4).
const INDEX: usize = 4;
/// Bytes of RTCP that stay readable: the first header and its SSRC.
pub(super) const RTCP_HEADER: usize = 8;
/// The E flag: this SRTCP packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
/// Bytes of a GCM tag.
const GCM_TAG: usize = 16;
/// Blocks of keystream made at a time; the processor works on several at once.
const BLOCKS: usize = 8;

/// What stands before the session keys in their derivation (RFC 3711 section 4.3.2), for RTP; those for RTCP are three more.
const ENCRYPTION: u8 = 0;
const AUTHENTICATION: u8 = 1;
const SALT: u8 = 2;
const RTCP: u8 = 3;

/// The session keys of one master key.
pub(super) struct Keys {
    rtp: Transform,
    rtcp: Transform,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

#[expect(clippy::large_enum_variant, reason = "four a leg; a box would be one more step for each packet")]
enum Transform {
    Counter { aes: Aes128, salt: [u8; 14], hmac: Hmac<Sha1>, tag: usize },
    Gcm { key: LessSafeKey, salt: [u8; 12] },
}

impl Keys {
    /// Derives them; the key derivation rate is 0, as everybody's.
    pub(super) fn derive(master: &MasterKey) -> Self {
        let rtp_tag = if master.suite == Suite::AesCm128HmacSha1_32 { 4 } else { 10 };
        Self { rtp: Transform::derive(master, 0, rtp_tag), rtcp: Transform::derive(master, RTCP, 10) }
    }

    /// Encrypts what stands behind the header and appends the tag.
    pub(super) fn protect_rtp(&self, packet: &mut Vec<u8>, header: usize, ssrc: u32, index: u64) {
        match &self.rtp {
            Transform::Counter { aes, salt, hmac, tag } => {
                keystream(aes, salt, ssrc, index, &mut packet[header..]);
                let signed = sign(hmac, packet, &rollovers(index));
                packet.extend_from_slice(&signed[..*tag]);
            }
            Transform::Gcm { key, salt } => {
                let (readable, secret) = packet.split_at_mut(header);
                let nonce = rtp_nonce(salt, ssrc, index);
                let signed = key.seal_in_place_separate_tag(nonce, Aad::from(&*readable), secret);
                packet.extend_from_slice(signed.expect("a packet is far shorter than GCM's limit").as_ref());
            }
        }
    }

    /// Checks the tag and decrypts: the length of what is left, `None` when the tag is wrong.
    pub(super) fn unprotect_rtp(&self, packet: &mut [u8], header: usize, ssrc: u32, index: u64) -> Option<usize> {
        match &self.rtp {
            Transform::Counter { aes, salt, hmac, tag } => {
                let length = packet.len().checked_sub(*tag).filter(|length| *length >= header)?;
                verify(hmac, &packet[..length], &rollovers(index), &packet[length..])?;
                keystream(aes, salt, ssrc, index, &mut packet[header..length]);
                Some(length)
            }
            Transform::Gcm { key, salt } => {
                let (readable, secret) = packet.split_at_mut_checked(header)?;
                let nonce = rtp_nonce(salt, ssrc, index);
                let opened = key.open_in_place(nonce, Aad::from(&*readable), secret).ok()?;
                Some(header + opened.len())
            }
        }
    }

    /// Encrypts a compound RTCP packet and appends index and tag. It has at least [`RTCP_HEADER`] bytes.
    pub(super) fn protect_rtcp(&self, packet: &mut Vec<u8>, ssrc: u32, index: u32) {
        let word = (index | ENCRYPTED).to_be_bytes();
        match &self.rtcp {
            Transform::Counter { aes, salt, hmac, tag } => {
                keystream(aes, salt, ssrc, index.into(), &mut packet[RTCP_HEADER..]);
                let signed = sign(hmac, packet, &word);
                packet.extend_from_slice(&word);
                packet.extend_from_slice(&signed[..*tag]);
            }
            Transform::Gcm { key, salt } => {
                let (readable, secret) = packet.split_at_mut(RTCP_HEADER);
                let known = [&*readable, &word].concat();
                let signed = key.seal_in_place_separate_tag(rtcp_nonce(salt, ssrc, index), Aad::from(known), secret);
                packet.extend_from_slice(signed.expect("a packet is far shorter than GCM's limit").as_ref());
                packet.extend_from_slice(&word);
            }
        }
    }

    /// The index that an SRTCP packet says it has.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let end = match &self.rtcp {
            Transform::Counter { tag, .. } => packet.len().checked_sub(*tag)?,
            Transform::Gcm { .. } => packet.len(),
        };
        let word = packet.get(end.checked_sub(INDEX)?..end)?;
        Some(u32::from_be_bytes(word.try_into().ok()?) & !ENCRYPTED)
    }

    /// Checks the tag and decrypts, when the E flag says that it is encrypted: the length of what is left.
    pub(super) fn unprotect_rtcp(&self, packet: &mut [u8], ssrc: u32) -> Option<usize> {
        let index = self.rtcp_index(packet)?;
        match &self.rtcp {
            Transform::Counter { aes, salt, hmac, tag } => {
                let end = packet.len() - tag;
                let length = (end - INDEX >= RTCP_HEADER).then_some(end - INDEX)?;
                verify(hmac, &packet[..end], &[], &packet[end..])?;
                if packet[length] & 0x80 != 0 {
                    keystream(aes, salt, ssrc, index.into(), &mut packet[RTCP_HEADER..length]);
                }
                Some(length)
            }
            Transform::Gcm { key, salt } => {
                let end = packet.len() - INDEX;
                let length = end.checked_sub(GCM_TAG).filter(|length| *length >= RTCP_HEADER)?;
                let (packet, word) = packet.split_at_mut(end);
                let header = if word[0] & 0x80 != 0 { RTCP_HEADER } else { length };
                let (readable, secret) = packet.split_at_mut(header);
                let known = [&*readable, &*word].concat();
                key.open_in_place(rtcp_nonce(salt, ssrc, index), Aad::from(known), secret).ok()?;
                Some(length)
            }
        }
    }
}

impl Transform {
    fn derive(master: &MasterKey, labels: u8, tag: usize) -> Self {
        let aes = Aes128::new(&master.key.into());
        let mut encryption = [0; 16];
        let mut salt = [0; 14];
        derive(&aes, &master.salt, labels + ENCRYPTION, &mut encryption);
        if master.suite == Suite::AeadAes128Gcm {
            let mut salt = [0; 12];
            derive(&aes, &master.salt, labels + SALT, &mut salt);
            return Self::gcm(&encryption, salt);
        }
        let mut authentication = [0; 20];
        derive(&aes, &master.salt, labels + AUTHENTICATION, &mut authentication);
        derive(&aes, &master.salt, labels + SALT, &mut salt);
        let hmac =
            <Hmac<Sha1> as hmac::KeyInit>::new_from_slice(&authentication).expect("HMAC takes keys of any length");
        Self::Counter { aes: Aes128::new(&encryption.into()), salt, hmac, tag }
    }

    fn gcm(key: &[u8; 16], salt: [u8; 12]) -> Self {
        let key = UnboundKey::new(&AES_128_GCM, key).expect("16 bytes are the length of its keys");
        Self::Gcm { key: LessSafeKey::new(key), salt }
    }
}

/// The pseudo-random function of RFC 3711 section 4.3.3 with key derivation rate 0.
fn derive(aes: &Aes128, master_salt: &[u8; 14], label: u8, out: &mut [u8]) {
    let mut salt = *master_salt;
    salt[7] ^= label;
    keystream(aes, &salt, 0, 0, out);
}

/// Adds the keystream of RFC 3711 section 4.1.1 to `data`; the same once more takes it away.
fn keystream(aes: &Aes128, salt: &[u8; 14], ssrc: u32, index: u64, data: &mut [u8]) {
    let mut start = [0; 16];
    start[..14].copy_from_slice(salt);
    xor(&mut start[4..8], &ssrc.to_be_bytes());
    xor(&mut start[8..14], &index.to_be_bytes()[2..]);
    let mut counter = 0_u16;
    for chunk in data.chunks_mut(BLOCKS * 16) {
        let mut blocks = [Block::default(); BLOCKS];
        let blocks = &mut blocks[..chunk.len().div_ceil(16)];
        for block in &mut *blocks {
            block.copy_from_slice(&start);
            block[14..].copy_from_slice(&counter.to_be_bytes());
            counter = counter.wrapping_add(1);
        }
        aes.encrypt_blocks(blocks);
        chunk.chunks_mut(16).zip(blocks).for_each(|(part, block)| xor(part, block));
    }
}

fn xor(into: &mut [u8], with: &[u8]) {
    into.iter_mut().zip(with).for_each(|(into, with)| *into ^= with);
}

fn rollovers(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn sign(hmac: &Hmac<Sha1>, packet: &[u8], more: &[u8]) -> [u8; 20] {
    hmac.clone().chain_update(packet).chain_update(more).finalize().into_bytes().into()
}

fn verify(hmac: &Hmac<Sha1>, packet: &[u8], more: &[u8], tag: &[u8]) -> Option<()> {
    hmac.clone().chain_update(packet).chain_update(more).verify_truncated_left(tag).ok()
}

/// RFC 7714 section 8.1.
fn rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[6..], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 section 9.1.
fn rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = *salt;
    xor(&mut nonce[2..6], &ssrc.to_be_bytes());
    xor(&mut nonce[8..], &index.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// The keys of RFC 7714 sections 16 and 17, which are session keys.
    fn gcm() -> Keys {
        let key: [u8; 16] = std::array::from_fn(|n| n as u8);
        let salt: [u8; 12] = bytes("517569642070726f2071756f").try_into().unwrap();
        Keys { rtp: Transform::gcm(&key, salt), rtcp: Transform::gcm(&key, salt) }
    }

    /// The master key of RFC 3711 section B.3.
    fn counter(suite: Suite) -> Keys {
        let master = bytes("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        Keys::derive(&MasterKey::new(suite, &master).unwrap())
    }

    #[test]
    fn keystream_of_rfc_3711_b_2() {
        let aes = Aes128::new_from_slice(&bytes("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let salt: [u8; 14] = bytes("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
        let mut stream = vec![0; 0xff02 * 16];
        keystream(&aes, &salt, 0, 0, &mut stream);
        for (block, expected) in [
            (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
            (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
            (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
            (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
            (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
            (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
        ] {
            assert_eq!(stream[block * 16..][..16], bytes(expected), "block {block:#x}");
        }
    }

    #[test]
    fn key_derivation_of_rfc_3711_b_3() {
        let aes = Aes128::new_from_slice(&bytes("E1F97A0D3E018BE0D64FA32C06DE4139")).unwrap();
        let salt: [u8; 14] = bytes("0EC675AD498AFEEBB6960B3AABE6").try_into().unwrap();
        for (label, expected) in [
            (ENCRYPTION, "C61E7A93744F39EE10734AFE3FF7A087"),
            (SALT, "30CBBC08863D8C85D49DB34A9AE1"),
            (
                AUTHENTICATION,
                "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2DC68",
            ),
        ] {
            let expected = bytes(expected);
            let mut out = vec![0; expected.len()];
            derive(&aes, &salt, label, &mut out);
            assert_eq!(out, expected, "label {label}");
        }
    }

    #[test]
    fn gcm_packets_of_rfc_7714_sections_16_1_and_17_1() {
        let plain = bytes(
            "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 \
             73207472 6573",
        );
        let secret = bytes(
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b \
             36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce",
        );
        let mut packet = plain.clone();
        gcm().protect_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(packet, secret);
        assert_eq!(gcm().unprotect_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b), Some(plain.len()));
        assert_eq!(packet[..plain.len()], plain);

        let plain = bytes(
            "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef \
             deadbeef deadbeef",
        );
        let secret = bytes(
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 \
             86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        );
        let mut packet = plain.clone();
        gcm().protect_rtcp(&mut packet, 0x4d61_7273, 0x5d4);
        assert_eq!(packet, secret);
        assert_eq!(gcm().rtcp_index(&packet), Some(0x5d4));
        assert_eq!(gcm().unprotect_rtcp(&mut packet, 0x4d61_7273), Some(plain.len()));
        assert_eq!(packet[..plain.len()], plain);
    }

    /// Packets that another implementation (libsrtp's own tests) makes with the master key of B.3.
    #[test]
    fn counter_mode_packets_of_another_implementation() {
        let mut packet = bytes("800f1234 decafbad cafebabe abababab abababab abababab abababab");
        counter(Suite::AesCm128HmacSha1_80).protect_rtp(&mut packet, 12, 0xcafe_babe, 0x1234);
        let secret = "800f1234 decafbad cafebabe 4e55dc4c e79978d8 8ca4d215 949d2402 b78d6acc 99ea179b 8dbb";
        assert_eq!(packet, bytes(secret));
        let mut packet = bytes("81c8000b cafebabe abababab abababab abababab abababab");
        counter(Suite::AesCm128HmacSha1_32).protect_rtcp(&mut packet, 0xcafe_babe, 1);
        let secret = "81c8000b cafebabe 7128035b e487b9bd bef89041 f977a5a8 80000001 993e08cd 54d6c123 0798";
        assert_eq!(packet, bytes(secret));
    }

    #[test]
    fn one_wrong_bit_is_one_too_many() {
        for keys in [counter(Suite::AesCm128HmacSha1_80), counter(Suite::AesCm128HmacSha1_32), gcm()] {
            let mut packet: Vec<u8> = (0..60).collect();
            keys.protect_rtp(&mut packet, 12, 7, 9);
            for bit in 0..packet.len() * 8 {
                let mut damaged = packet.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(keys.unprotect_rtp(&mut damaged, 12, 7, 9), None, "bit {bit}");
            }
            assert_eq!(keys.unprotect_rtp(&mut packet.clone(), 12, 7, 0x1_0009), None, "another rollover");
            assert_eq!(keys.unprotect_rtp(&mut packet, 12, 7, 9), Some(60));

            let mut packet: Vec<u8> = (0..60).collect();
            keys.protect_rtcp(&mut packet, 7, 9);
            for bit in 0..packet.len() * 8 {
                let mut damaged = packet.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(keys.unprotect_rtcp(&mut damaged, 7), None, "bit {bit}");
            }
            for length in 0..packet.len() {
                assert_eq!(keys.unprotect_rtcp(&mut packet[..length].to_vec(), 7), None);
                assert_eq!(keys.unprotect_rtp(&mut packet[..length].to_vec(), 12.min(length), 7, 9), None);
            }
        }
    }
}
