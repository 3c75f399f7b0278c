//! The secret of a key: made once, shown once, kept as its hash.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest::SHA256,
    rand::{SecureRandom, SystemRandom},
};

use crate::config::Secret;

/// SHA-256. A secret of 256 random bits is not guessed however quickly hashes are made: a slow hash would protect nothing more.
pub(super) type Digest = [u8; 32];

/// The hash under which a key is known.
pub(super) fn digest(key: &str) -> Digest {
    let digest = ring::digest::digest(&SHA256, key.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A new secret: `milo_` (so that scanners of leaked keys know it) and 43 random characters.
pub(super) fn make() -> Secret {
    Secret::new(format!("milo_{}", URL_SAFE_NO_PAD.encode(random())))
}

/// A name that nobody guesses, for addresses.
pub(crate) fn random_name() -> String {
    URL_SAFE_NO_PAD.encode(random())
}

/// What nobody guesses.
pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
