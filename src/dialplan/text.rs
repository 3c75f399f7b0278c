//! What the verb `message` says: a text, and whom it is sent to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Dial, TrunkNames, dial};

/// A text for somebody. As with `dial`, what a caller sends or presses may be the user part of an address where the plan says so, never
/// its host, and never a number over a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextMessage {
    /// A SIP address, as for `dial`. With a trunk, a number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// In place of `to`: an account of `[sip] accounts`. All its telephones are sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The trunk that the number is sent it over, or several: the first of them that takes it. It takes a place there while it is on
    /// its way, and counts as a call of the trunk's day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<TrunkNames>,
    /// Who sends it: the user part of From. Unset: what the trunk says, else `milo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it says. Over UDP there is room for some 800 bytes.
    pub text: String,
}

impl TextMessage {
    /// What is impossible about it, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        if self.text.is_empty() {
            return Some("message: text is empty".into());
        }
        let Self { to, account, trunk, from, .. } = self.clone();
        let (seconds, country) = (dial::half_a_minute(), dial::madagascar());
        let (headers, music_files, interpret) = (BTreeMap::new(), Vec::new(), None);
        let dial = Dial { to, account, trunk, seconds, from, privacy: false, headers, country, music_files, interpret };
        dial.fault().map(|fault| fault.replacen("dial:", "message:", 1))
    }
}
