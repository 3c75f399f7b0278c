//! `[batch]`: many things in one request, done when nobody else waits.

use serde::{Deserialize, Serialize};

use super::Faults;

/// How much is taken, and how long it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// Items of one batch.
    pub items: usize,
    /// The body of one request, in megabytes.
    pub body_mb: usize,
    /// Batches that may wait or run; one more is refused (503).
    pub waiting: usize,
    /// How long results are kept after the end, in seconds.
    pub keep_s: u64,
    /// What the sounds of all batches may take on disk, in megabytes.
    pub disk_mb: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { items: 100, body_mb: 25, waiting: 100, keep_s: 604_800, disk_mb: 1_024 }
    }
}

impl Batch {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("batch.items", self.items, 1..=10_000);
        faults.within("batch.body_mb", self.body_mb, 1..=256);
        faults.within("batch.waiting", self.waiting, 1..=10_000);
        faults.within("batch.keep_s", self.keep_s, 1..=31_536_000);
        faults.within("batch.disk_mb", self.disk_mb, 1..=1_048_576);
    }
}
