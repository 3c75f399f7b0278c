//! `[[sip.account_limits]]`: what the accounts of `[sip] accounts` may call, and how much.

use serde::{Deserialize, Serialize};

use super::{Faults, trunk::check_prefixes};

/// The limits of an account, or of every account that has none of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Its name; `*`: each account that is not named elsewhere.
    pub account: String,
    /// Calls at once.
    pub max_calls: Option<usize>,
    /// Calls within a day (UTC).
    pub calls_per_day: Option<u64>,
    /// Minutes of calls within a day (UTC).
    pub minutes_per_day: Option<u64>,
    /// Texts (SIP MESSAGE) that it may send within a minute.
    pub texts_per_minute: Option<u32>,
    /// The beginnings of the numbers that are called for it over trunks; unset, all that `deny` does not name.
    pub allow: Option<Vec<String>>,
    /// The beginnings of those that are not; of all that fit, the longest counts.
    pub deny: Option<Vec<String>>,
}

impl AccountLimits {
    /// Stands for every account that is not named.
    pub const OTHERS: &str = "*";

    pub(super) fn check(&self, key: &str, faults: &mut Faults<'_>) {
        let at = |field: &str| format!("{key}.{field}");
        if self.account.is_empty() {
            faults.add(&at("account"), "is empty: name an account, or \"*\" for all others".into());
        }
        if let Some(calls) = self.max_calls {
            faults.within(&at("max_calls"), calls, 1..=100_000);
        }
        for (field, most) in [("calls_per_day", self.calls_per_day), ("minutes_per_day", self.minutes_per_day)] {
            if let Some(most) = most {
                faults.within(&at(field), most, 1..=10_000_000);
            }
        }
        if let Some(texts) = self.texts_per_minute {
            faults.within(&at("texts_per_minute"), texts, 1..=10_000);
        }
        check_prefixes(key, (self.allow.as_deref(), self.deny.as_deref()), faults);
    }
}
