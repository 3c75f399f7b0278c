//! `[limits]`: how much at once, how long.

use serde::{Deserialize, Serialize};

use super::Faults;

/// Admission.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Calls at once; the next one hears "busy" (503).
    pub calls: usize,
    /// The longest call, in seconds; then Milo says goodbye.
    pub call_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 50, call_seconds: 1_800 }
    }
}

impl Limits {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("limits.calls", self.calls, 1..=100_000);
        faults.within("limits.call_seconds", self.call_seconds, 1..=86_400);
    }
}
