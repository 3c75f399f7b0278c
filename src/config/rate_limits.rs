//! `[rate_limits]`: how many requests an hour the API answers.

use serde::{Deserialize, Serialize};

use super::Faults;

/// Requests an hour; 0 is no limit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimits {
    /// Of a key of the tier `free`, and of an address that sends no key or a wrong one.
    pub free: u32,
    /// Of a key of the tier `pro`.
    pub pro: u32,
    /// Of one address, whatever keys it sends.
    pub address: u32,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { free: 100, pro: 10_000, address: 20_000 }
    }
}

impl RateLimits {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("rate_limits.free", self.free, 0..=1_000_000_000);
        faults.within("rate_limits.pro", self.pro, 0..=1_000_000_000);
        faults.within("rate_limits.address", self.address, 0..=1_000_000_000);
    }
}
