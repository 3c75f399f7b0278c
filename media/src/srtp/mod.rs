//! SRTP and SRTCP (RFC 3711, RFC 7714), and how their keys are agreed on: in the SDP (RFC 4568) or by a DTLS handshake on
//! the RTP port (RFC 5763, RFC 5764). Without a socket and without a clock.
//!
//! ```text
//!  datagram ─► Shield { which packet is it (RFC 7983)? ─► Unprotect { Window: seen before? Keys: is it the peer's? } } ─► RTP
//!                 └─ DTLS ─► Handshake ─► keys            Protect { Index: which rollover? Keys: encrypt, sign }       ◄─ RTP
//! ```
//! A packet is heard when its tag is right, once, and never before the keys are there; nothing leaves in clear on a leg that
//! agreed on SRTP.

mod admission;
mod cipher;
mod context;
mod dtls;
mod identity;
mod index;
mod shield;

use std::{fmt, sync::Arc};

pub use dtls::Role;
pub use identity::{Fingerprint, Identity};
pub(crate) use shield::{Handshaken, Refused, Shield};

/// Bytes of an AES-128 master key.
const KEY: usize = 16;

/// A protection profile, named as in `a=crypto` (RFC 4568 section 6.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// AES-128 in Galois/counter mode, tag of 128 bits.
    AeadAes128Gcm,
    /// AES-128 in counter mode, HMAC-SHA-1 tag of 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, HMAC-SHA-1 tag of 32 bits for RTP and of 80 bits for RTCP.
    AesCm128HmacSha1_32,
}

impl Suite {
    /// Every suite, preferred first: the order of our offers.
    pub const ALL: [Self; 3] = [Self::AeadAes128Gcm, Self::AesCm128HmacSha1_80, Self::AesCm128HmacSha1_32];

    /// The name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// The suite of this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of a master salt.
    const fn salt(self) -> usize {
        match self {
            Self::AeadAes128Gcm => 12,
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
        }
    }

    /// Bytes of a master key and its salt, as they stand behind `inline:` (RFC 4568 section 6.1).
    pub const fn key_and_salt(self) -> usize {
        KEY + self.salt()
    }
}

/// A master key and its salt. Never shown: `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    key: [u8; KEY],
    /// Zeros behind the 12 bytes of a GCM salt (RFC 7714 section 11).
    salt: [u8; 14],
}

impl MasterKey {
    /// The key whose bytes, key first and salt behind, are these; `None` when there are too few or too many.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        if key_and_salt.len() != suite.key_and_salt() {
            return None;
        }
        let (key, given) = key_and_salt.split_at(KEY);
        let mut salt = [0; 14];
        salt[..given.len()].copy_from_slice(given);
        Some(Self { suite, key: key.try_into().ok()?, salt })
    }

    /// A new key out of the system's random numbers.
    pub fn random(suite: Suite) -> Self {
        let mut salt: [u8; 14] = rand::random();
        salt[suite.salt()..].fill(0);
        Self { suite, key: rand::random(), salt }
    }

    /// What it is for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt in one, to be written into an SDP and nowhere else.
    pub fn reveal(&self) -> Vec<u8> {
        [&self.key[..], &self.salt[..self.suite.salt()]].concat()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ***", self.suite.name())
    }
}

/// How a leg's RTP is secured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    #[default]
    None,
    /// Keys from the SDP, one for each direction (RFC 4568).
    Sdes {
        /// For what we send.
        ours: MasterKey,
        /// For what the peer sends; of the same suite.
        theirs: MasterKey,
    },
    /// Keys from a DTLS handshake on the RTP port (RFC 5763).
    Dtls {
        /// Who we are.
        identity: Arc<Identity>,
        /// Who begins.
        role: Role,
        /// The peer's certificate has one of these.
        fingerprints: Vec<Fingerprint>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_length_of_their_suite_and_are_never_shown() {
        for suite in Suite::ALL {
            let key = MasterKey::random(suite);
            assert_eq!(key.reveal().len(), suite.key_and_salt());
            assert_eq!(MasterKey::new(suite, &key.reveal()), Some(key.clone()));
            assert_eq!(MasterKey::new(suite, &key.reveal()[1..]), None);
            assert_ne!(key, MasterKey::random(suite));
            assert_eq!(Suite::named(&suite.name().to_lowercase()), Some(suite));
            assert_eq!(format!("{key:?}"), format!("{} ***", suite.name()));
        }
        assert_eq!(Suite::named("F8_128_HMAC_SHA1_80"), None);
    }
}
