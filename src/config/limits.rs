//! `[limits]`: how much at once, how long.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Faults;

/// Admission.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Calls at once; the next one hears "busy" (503).
    pub calls: usize,
    /// Whether fewer are taken where the engines have no room for as many, by their measured use and the turns that are late.
    pub follow_engines: bool,
    /// The longest call, in seconds; then Milo says goodbye.
    pub call_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calls: 50, follow_engines: false, call_seconds: 1_800 }
    }
}

impl Limits {
    /// What `call_seconds` may be.
    pub const CALL_SECONDS: RangeInclusive<u64> = 1..=86_400;

    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("limits.calls", self.calls, 1..=100_000);
        faults.within("limits.call_seconds", self.call_seconds, Self::CALL_SECONDS);
    }
}
