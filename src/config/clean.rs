//! `[clean]`: what is done to a caller's sound before voice activity and the transcriber hear it.

use serde::{Deserialize, Serialize};

/// Each cleaner by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Clean {
    /// Takes Milo's own echo out, while it speaks and for a second after.
    pub echo: bool,
    /// Takes loud steady noise out.
    pub noise: bool,
    /// Brings quiet callers up and loud ones down.
    pub gain: bool,
    /// Takes out what lies below 100 Hz.
    pub high_pass: bool,
}

impl Default for Clean {
    fn default() -> Self {
        Self { echo: true, noise: true, gain: false, high_pass: true }
    }
}
