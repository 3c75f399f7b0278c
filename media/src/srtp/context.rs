//! The two directions of a secured stream: RFC 3711 section 3.2 calls each a cryptographic context.

use super::{
    MasterKey,
    cipher::{Keys, RTCP_HEADER},
    index::Indexes,
    shield::Refused,
};
use crate::rtp::HEADER;

/// SSRCs that one key may speak for. Whoever knows the key may change its SSRC, and a replay of each must be known.
const SOURCES: usize = 64;

/// What we send.
#[derive(Debug)]
pub(super) struct Protect {
    master: MasterKey,
    keys: Keys,
    rtp: Vec<Indexes>,
    /// The index of the next SRTCP packet.
    rtcp: u32,
}

impl Protect {
    pub(super) fn new(master: &MasterKey) -> Self {
        Self { master: master.clone(), keys: Keys::derive(master), rtp: Vec::new(), rtcp: 1 }
    }

    pub(super) fn is_for(&self, master: &MasterKey) -> bool {
        self.master == *master
    }

    /// Makes SRTP of an RTP packet. False: it must not be sent, since it is none, or its index was used before
    /// (RFC 3711 section 9.1).
    pub(super) fn rtp(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some((header, sequence, ssrc)) = rtp_header(packet) else { return false };
        let index = if let Some(source) = self.rtp.iter_mut().find(|source| source.ssrc == ssrc) {
            let index = source.of(sequence);
            if !source.is_fresh(index) {
                return false;
            }
            source.use_up(index);
            index
        } else if self.rtp.len() < SOURCES {
            self.rtp.push(Indexes::new(ssrc, sequence.into()));
            sequence.into()
        } else {
            return false;
        };
        self.keys.protect_rtp(packet, header, ssrc, index);
        true
    }

    /// Makes SRTCP of a compound RTCP packet. False: it must not be sent, since it is none, or 2³¹ were sent.
    pub(super) fn rtcp(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(ssrc) = rtcp_ssrc(packet).filter(|_| self.rtcp < 1 << 31) else { return false };
        self.keys.protect_rtcp(packet, ssrc, self.rtcp);
        self.rtcp += 1;
        true
    }
}

/// What the peer sends.
#[derive(Debug)]
pub(super) struct Unprotect {
    master: MasterKey,
    keys: Keys,
    rtp: Vec<Indexes>,
    rtcp: Vec<Indexes>,
    /// Where the rollover counter stood under the key before this one: some peers go on counting, some begin anew.
    rollovers: u32,
}

impl Unprotect {
    /// `before` is the context that this one replaces.
    pub(super) fn new(master: &MasterKey, before: Option<&Self>) -> Self {
        let rollovers = before.map(|before| before.rtp.iter().map(Indexes::rollovers).fold(before.rollovers, u32::max));
        Self {
            master: master.clone(),
            keys: Keys::derive(master),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            rollovers: rollovers.unwrap_or(0),
        }
    }

    pub(super) fn is_for(&self, master: &MasterKey) -> bool {
        self.master == *master
    }

    /// Makes RTP of an SRTP packet; the RTP is as long as is said.
    pub(super) fn rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let (header, sequence, ssrc) = rtp_header(packet).ok_or(Refused::NoMedia)?;
        if let Some(source) = self.rtp.iter_mut().find(|source| source.ssrc == ssrc) {
            let index = source.of(sequence);
            if !source.is_fresh(index) {
                return Err(Refused::Replayed);
            }
            let length = self.keys.unprotect_rtp(packet, header, ssrc, index).ok_or(Refused::Unauthentic)?;
            source.use_up(index);
            return Ok(length);
        }
        if self.rtp.len() == SOURCES {
            return Err(Refused::Unauthentic);
        }
        // Its first packet that comes: nearly always of rollover 0, but the wrap may have been lost.
        let mut tried = None;
        for rollovers in [0, 1, self.rollovers, self.rollovers.wrapping_add(1)] {
            let index = u64::from(rollovers) << 16 | u64::from(sequence);
            if tried >= Some(index) {
                continue;
            }
            tried = Some(index);
            // A failed try may leave anything behind.
            let mut copy = packet.to_vec();
            if let Some(length) = self.keys.unprotect_rtp(&mut copy, header, ssrc, index) {
                packet.copy_from_slice(&copy);
                self.rtp.push(Indexes::new(ssrc, index));
                return Ok(length);
            }
        }
        Err(Refused::Unauthentic)
    }

    /// Makes RTCP of an SRTCP packet; the RTCP is as long as is said.
    pub(super) fn rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let ssrc = rtcp_ssrc(packet).ok_or(Refused::NoMedia)?;
        let index = self.keys.rtcp_index(packet).ok_or(Refused::NoMedia)?.into();
        let at = self.rtcp.iter().position(|source| source.ssrc == ssrc);
        match at {
            Some(at) if !self.rtcp[at].is_fresh(index) => return Err(Refused::Replayed),
            None if self.rtcp.len() == SOURCES => return Err(Refused::Unauthentic),
            _ => {}
        }
        let length = self.keys.unprotect_rtcp(packet, ssrc).ok_or(Refused::Unauthentic)?;
        match at {
            Some(at) => self.rtcp[at].use_up(index),
            None => self.rtcp.push(Indexes::new(ssrc, index)),
        }
        Ok(length)
    }
}

/// Bytes of an RTP packet that stay readable (the header, its CSRCs and its extension), sequence number and SSRC.
fn rtp_header(packet: &[u8]) -> Option<(usize, u16, u32)> {
    let fixed = packet.get(..HEADER).filter(|fixed| fixed[0] >> 6 == 2)?;
    let mut length = HEADER + usize::from(fixed[0] & 0x0f) * 4;
    if fixed[0] & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4)?;
        length += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    let ssrc = u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]);
    (length <= packet.len()).then_some((length, u16::from_be_bytes([fixed[2], fixed[3]]), ssrc))
}

/// The SSRC of the first packet of a compound RTCP packet.
fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let header = packet.get(..RTCP_HEADER).filter(|header| header[0] >> 6 == 2)?;
    Some(u32::from_be_bytes([header[4], header[5], header[6], header[7]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::srtp::Suite;

    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xbe, 0xde, 0, 1, 9, 9, 9, 9];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        packet.extend_from_slice(&[0x55; 160]);
        packet
    }

    fn pair(suite: Suite) -> (Protect, Unprotect) {
        let master = MasterKey::random(suite);
        (Protect::new(&master), Unprotect::new(&master, None))
    }

    fn secret(protect: &mut Protect, sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut packet = packet(sequence, ssrc);
        assert!(protect.rtp(&mut packet));
        packet
    }

    #[test]
    fn what_is_protected_is_read_once_by_whoever_has_the_key() {
        for suite in Suite::ALL {
            let (mut protect, mut unprotect) = pair(suite);
            let sent = secret(&mut protect, 1, 7);
            assert_eq!(sent[..20], packet(1, 7)[..20], "header and extension are readable");
            assert_ne!(sent[20..180], packet(1, 7)[20..]);
            assert_eq!(
                Unprotect::new(&MasterKey::random(suite), None).rtp(&mut sent.clone()),
                Err(Refused::Unauthentic)
            );
            let mut came = sent.clone();
            assert_eq!(unprotect.rtp(&mut came), Ok(180));
            assert_eq!(came[..180], packet(1, 7));
            assert_eq!(unprotect.rtp(&mut sent.clone()), Err(Refused::Replayed));
        }
    }

    #[test]
    fn a_rollover_is_followed_through_loss_reordering_and_a_late_beginning() {
        for suite in Suite::ALL {
            let (mut protect, mut unprotect) = pair(suite);
            let mut sent: Vec<_> = (0..70_000_u32).map(|n| secret(&mut protect, (n + 60_000) as u16, 7)).collect();
            for order in [10, 5_530, 5_540, 5_535, 5_536, 5_500, 30_000, 60_000, 69_999, 69_998] {
                assert_eq!(unprotect.rtp(&mut sent[order].clone()), Ok(180), "{suite:?} {order}");
                assert_eq!(unprotect.rtp(&mut sent[order].clone()), Err(Refused::Replayed), "{suite:?} {order}");
            }
            assert_eq!(unprotect.rtp(&mut sent[20].clone()), Err(Refused::Replayed), "far too old");
            let mut late = Unprotect::new(&unprotect.master, None);
            assert_eq!(late.rtp(&mut sent[5_540].clone()), Ok(180), "the first that comes is of rollover 1");
            let mut again = Unprotect::new(&unprotect.master, Some(&unprotect));
            assert_eq!(again.rtp(&mut sent[69_990]), Ok(180), "the counter goes on under a new key");
        }
    }

    #[test]
    fn no_index_is_encrypted_twice() {
        let (mut protect, _) = pair(Suite::AeadAes128Gcm);
        secret(&mut protect, 5, 7);
        assert!(!protect.rtp(&mut packet(5, 7)));
        assert!(!protect.rtp(&mut vec![0x80; 11]));
        assert!(protect.rtp(&mut packet(5, 8)), "another SSRC has its own");
    }

    #[test]
    fn forged_sources_leave_no_trace() {
        let (mut protect, mut unprotect) = pair(Suite::AesCm128HmacSha1_80);
        for ssrc in 0..1000 {
            let mut forged = packet(1, ssrc);
            assert_eq!(unprotect.rtp(&mut forged), Err(Refused::Unauthentic));
        }
        assert!(unprotect.rtp.is_empty());
        for ssrc in 0..SOURCES as u32 {
            assert_eq!(unprotect.rtp(&mut secret(&mut protect, 1, ssrc)), Ok(180));
        }
    }

    #[test]
    fn rtcp_goes_the_same_way() {
        for suite in Suite::ALL {
            let (mut protect, mut unprotect) = pair(suite);
            let report = [0x80, 201, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4];
            for _ in 0..3 {
                let mut sent = report.to_vec();
                assert!(protect.rtcp(&mut sent));
                let mut came = sent.clone();
                assert_eq!(unprotect.rtcp(&mut came), Ok(report.len()));
                assert_eq!(came[..report.len()], report);
                assert_eq!(unprotect.rtcp(&mut sent.clone()), Err(Refused::Replayed));
                sent[0] ^= 1;
                sent[14] ^= 0x40;
                assert!(unprotect.rtcp(&mut sent).is_err());
            }
            assert_eq!(unprotect.rtcp(&mut [0x80; 5]), Err(Refused::NoMedia));
            assert!(!protect.rtcp(&mut vec![0x80; 7]));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for suite in Suite::ALL {
            let (_, mut unprotect) = pair(suite);
            let mut state = 1_u64;
            for length in (0..90).cycle().take(20_000) {
                let mut datagram: Vec<u8> = std::iter::repeat_with(|| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 33) as u8
                })
                .take(length)
                .collect();
                if let Some(first) = datagram.first_mut() {
                    *first = 0x80 | *first & 0x3f;
                }
                assert!(unprotect.rtp(&mut datagram.clone()).is_err());
                assert!(unprotect.rtcp(&mut datagram).is_err());
            }
        }
    }
}
