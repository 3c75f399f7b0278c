//! `[drain]`: how Milo stops.

use serde::{Deserialize, Serialize};

use super::Faults;

/// Stopping.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Drain {
    /// After SIGTERM no new call is taken, and the running ones have so many seconds to end; then they hear a goodbye, and are
    /// hung up.
    pub seconds: u64,
}

impl Default for Drain {
    fn default() -> Self {
        Self { seconds: 30 }
    }
}

impl Drain {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("drain.seconds", self.seconds, 0..=86_400);
    }
}
