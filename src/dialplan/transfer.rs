//! What the verb `transfer` says: whom the caller is sent to, and how.

use std::collections::BTreeMap;

use milo_models::engine::Language;
use milo_signaling::Uri;
use serde::{Deserialize, Serialize};

use super::{Dial, Interpret, dial};

/// Whom the caller is to speak with. What a caller sends or presses may be the user part of the address where the plan says so,
/// never its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// A SIP address, as for `dial`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// In place of `to`: an account, as for `dial`. Its telephones are reached through Milo only: it always joins the two itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Whether the caller's side is asked to call there itself.
    #[serde(default)]
    pub mode: TransferMode,
    /// With `mode = "attended"` or `"warm"`: what is said to whoever answers, before the caller comes, or before the summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce: Option<String>,
    /// With `mode = "warm"`: in which language whoever answers is spoken to; left out, in that of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// What the caller hears until its telephone tells what came of it, or with `mode = "attended"` or `"warm"` until somebody is there, and
    /// one whom the other has put on hold: these sound files of the folder of dialplans, over and over, or the built-in music.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub music_files: Vec<String>,
    /// How long it may ring when Milo calls, in seconds: 1 to 300.
    #[serde(default = "dial::half_a_minute")]
    pub seconds: u64,
    /// Who calls then: the user part of From. Unset: for an account the caller's number, else `milo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether whoever Milo calls is not to see who calls (RFC 3323); a trunk is told by P-Asserted-Identity all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privacy: bool,
    /// Further header fields of the INVITE of Milo's own, at most ten: `{ "X-Order" = "{{order}}" }`. None that Milo writes itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// In which country's signals the caller hears it ring: two letters, as for `tone`.
    #[serde(default = "dial::madagascar")]
    pub country: String,
    /// Milo interprets between the two, as for `dial`; with `mode = "dial"`, `"attended"` or `"warm"`. Milo always joins the two
    /// itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpret: Option<Interpret>,
}

/// How a caller is transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The caller's side is asked to call there itself (SIP REFER); where it does not do so, as `dial`.
    #[default]
    Refer,
    /// Milo calls there and joins the two, as the verb `dial` does.
    Dial,
    /// Milo calls there while the caller hears music, says `announce`, and asks the caller's side to take its place (SIP REFER with
    /// Replaces); where it does not, Milo joins the two. When nobody answers the plan goes on.
    Attended,
    /// As `attended`, but whoever answers hears a summary of the call so far, and is asked whether they take it: by key 1, or by
    /// saying yes. Where they do not, they are let go and the plan goes on.
    Warm,
}

impl Transfer {
    /// The same as a call of Milo's own.
    pub fn dial(&self) -> Dial {
        let Self { to, account, seconds, from, privacy, headers, country, music_files, interpret, .. } = self.clone();
        Dial { to, account, trunk: None, seconds, from, privacy, headers, country, music_files, interpret }
    }

    /// The address, if it is one that can be called.
    pub fn target(&self) -> Result<Uri, String> {
        self.dial().target()
    }

    /// What is impossible about it, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        let (is_attended, is_warm) = (self.mode == TransferMode::Attended, self.mode == TransferMode::Warm);
        if self.announce.is_some() && !is_attended && !is_warm {
            return Some("transfer: announce goes with mode = \"attended\" or \"warm\"".into());
        }
        if self.language.is_some() && !is_warm {
            return Some("transfer: language goes with mode = \"warm\"".into());
        }
        if self.interpret.is_some() && self.mode == TransferMode::Refer {
            let why = "the caller's own telephone would call there, past Milo";
            return Some(format!(
                "transfer: interpret goes with mode = \"dial\", \"attended\" or \"warm\": else {why}"
            ));
        }
        self.dial().fault().map(|fault| fault.replacen("dial:", "transfer:", 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(more: &str) -> Transfer {
        toml::from_str(&format!("to = 'sip:100@192.0.2.7'\n{more}")).expect("a transfer")
    }

    #[test]
    fn what_somebody_who_is_called_first_hears_goes_with_the_ways_that_call_first() {
        for (more, fault) in [
            ("", None),
            ("mode = 'warm'\nlanguage = 'fr'\nannounce = 'Un appel'", None),
            ("mode = 'warm'", None),
            ("mode = 'attended'\nannounce = 'Un appel'", None),
            ("mode = 'attended'\nlanguage = 'fr'", Some("transfer: language goes with mode = \"warm\"")),
            ("language = 'mg'", Some("transfer: language goes with mode = \"warm\"")),
            (
                "mode = 'dial'\nannounce = 'Un appel'",
                Some("transfer: announce goes with mode = \"attended\" or \"warm\""),
            ),
        ] {
            assert_eq!(transfer(more).fault().as_deref(), fault, "{more}");
        }
    }

    #[test]
    fn milo_interprets_where_the_two_hear_each_other_through_it() {
        for (mode, original, may) in [
            ("refer", "", false),
            ("dial", "", true),
            ("attended", ", original = 'silent'", true),
            ("warm", ", original = 'quiet'", true),
        ] {
            let two = format!("mode = '{mode}'\ninterpret = {{ caller = 'mg', callee = 'fr'{original} }}");
            let transfer = transfer(&two);
            assert_eq!(transfer.fault().is_none(), may, "{two}: {:?}", transfer.fault());
            assert_eq!(transfer.dial().interpret, transfer.interpret);
        }
        let refer = transfer("interpret = { caller = 'mg', callee = 'fr' }").fault();
        assert!(refer.is_some_and(|fault| fault.contains("mode = \"dial\"")));
        let one = transfer("mode = 'dial'\ninterpret = { caller = 'fr', callee = 'fr' }").fault();
        let told = "transfer: interpret: caller and callee both speak fr; one of them is to be mg, the other fr";
        assert_eq!(one.as_deref(), Some(told));
    }
}
