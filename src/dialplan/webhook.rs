//! What the verb `webhook` says: whom Milo asks during a plan, what it tells them, and what they may answer.

use axum::http::Uri;
use serde::{Deserialize, Serialize};

use super::variables;
use crate::config::http_address;

/// As many variables as go either way, and tries as there are after the first.
const VARIABLES: usize = 32;
const RETRIES: u32 = 5;

/// A question to a program of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// `https://` or `http://`, at one of the hosts of `[webhook] hosts`. No variable has a place in it.
    pub url: String,
    /// The variables that are told, besides the call's identifier, caller, called number, trunk, plan and language.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub send: Vec<String>,
    /// The variables that the answer may set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<String>,
    /// The plans of which the answer may name the one to go on with; without a name, this plan goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<String>,
    /// How long a try may take, in seconds, 1 to 30.
    #[serde(default = "five")]
    pub seconds: u64,
    /// How often it is tried again when no answer began to come, 0 to 5.
    #[serde(default)]
    pub retries: u32,
    /// The plan to go on with when no right answer came; without it, this plan goes on.
    pub failed: Option<String>,
}

impl Webhook {
    /// Where it goes.
    pub fn target(&self) -> Result<Uri, String> {
        let wrong = || format!("url = {:?} is no address like https://crm.example.com/milo", self.url);
        http_address(&self.url).ok_or_else(wrong)
    }

    pub(super) fn fault(&self) -> Option<String> {
        if let Err(fault) = self.target() {
            return Some(format!("webhook: {fault}"));
        }
        if !(1..=30).contains(&self.seconds) {
            return Some(format!("webhook: seconds = {} is not within 1 to 30", self.seconds));
        }
        if self.retries > RETRIES {
            return Some(format!("webhook: retries = {} is not within 0 to {RETRIES}", self.retries));
        }
        for (field, names) in [("send", &self.send), ("sets", &self.sets)] {
            if names.len() > VARIABLES {
                return Some(format!("webhook: {field}: more than {VARIABLES} variables"));
            }
            if let Some(why) = names.iter().find_map(|name| variables::unfit(name)) {
                return Some(format!("webhook: {field}: {why}"));
            }
        }
        None
    }
}

fn five() -> u64 {
    5
}
