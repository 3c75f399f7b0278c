//! `[campaigns]`: lists of numbers that Milo calls by itself.

use serde::{Deserialize, Serialize};

use super::Faults;

/// How much is taken, and how numbers are compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Campaigns {
    /// Campaigns that have not ended; one more is refused (503).
    pub open: usize,
    /// Lines of one list.
    pub lines: usize,
    /// The code of the country whose numbers are written with a 0 alone: `0341234567` and `+261341234567` are then one. Empty: they
    /// are two.
    pub country: String,
}

impl Default for Campaigns {
    fn default() -> Self {
        Self { open: 100, lines: 50_000, country: "261".into() }
    }
}

impl Campaigns {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("campaigns.open", self.open, 1..=10_000);
        faults.within("campaigns.lines", self.lines, 1..=1_000_000);
        if self.country.len() > 3 || !self.country.bytes().all(|byte| byte.is_ascii_digit()) {
            faults.add("campaigns.country", format!("{:?} is no country code such as \"261\"", self.country));
        }
    }
}
