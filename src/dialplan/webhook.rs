//! What the verb `webhook` says: whom Milo asks during a plan, what it tells them, and what they may answer.

use std::{collections::BTreeMap, env, fs};

use axum::http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use super::variables;
use crate::config::http_address;

/// As many variables as go either way, and tries as there are after the first.
const VARIABLES: usize = 32;
const RETRIES: u32 = 5;
/// As many header fields, and those that Milo writes itself.
const HEADERS: usize = 10;
const OWN: [&str; 7] =
    ["host", "content-type", "content-length", "transfer-encoding", "user-agent", "connection", "idempotency-key"];

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
    /// In place of `sets` and `plans`: the variable that holds the answer as it is, whatever JSON that is, in 1,000 characters at most;
    /// what is more is cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// The plans of which the answer may name the one to go on with; without a name, this plan goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plans: Vec<String>,
    /// How long a try may take, in seconds, 1 to 30.
    #[serde(default = "five")]
    pub seconds: u64,
    /// How often it is tried again when no answer began to come, or it says that it cannot just now (429, 500, 502, 503, 504), 0 to 5. A
    /// `Retry-After` is waited for; all waits together are no longer than `seconds`.
    #[serde(default)]
    pub retries: u32,
    /// Header fields of the request, at most ten, each from a variable of Milo's environment or a file:
    /// `{ authorization = "env:SHOP_TOKEN" }`, `"file:/run/secrets/shop"`. What they hold is in no log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The plan to go on with when no right answer came; without it, this plan goes on.
    pub failed: Option<String>,
}

impl Webhook {
    /// Where it goes.
    pub fn target(&self) -> Result<Uri, String> {
        let wrong = || format!("url = {:?} is no address like https://crm.example.com/milo", self.url);
        http_address(&self.url).ok_or_else(wrong)
    }

    /// The variables that it sets.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.sets.iter().chain(&self.into)
    }

    /// Its header fields, as they are now.
    ///
    /// # Errors
    /// What is wrong with one of them: no secret is in it.
    pub fn fields(&self) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        self.headers.iter().map(|(name, from)| field(name, from)).collect()
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
        if self.headers.len() > HEADERS {
            return Some(format!("webhook: headers: more than {HEADERS}"));
        }
        if let Err(fault) = self.fields() {
            return Some(format!("webhook: {fault}"));
        }
        if let Some(into) = &self.into {
            if let Some(why) = variables::unfit(into) {
                return Some(format!("webhook: into: {why}"));
            }
            if !self.sets.is_empty() || !self.plans.is_empty() {
                return Some("webhook: into holds the whole answer: sets and plans do not go with it".into());
            }
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

/// A header field, read from where it is.
fn field(name: &str, from: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = |says: String| format!("headers: {name}: {says}");
    let named: HeaderName = name.parse().map_err(|_| wrong("is no name of a header field".into()))?;
    if OWN.contains(&named.as_str()) || named.as_str().starts_with("milo-") {
        return Err(wrong("is written by Milo itself".into()));
    }
    let text = match from.split_once(':') {
        Some(("env", variable)) => {
            env::var(variable).map_err(|_| wrong(format!("{variable} is not in the environment")))?
        }
        Some(("file", path)) => {
            fs::read_to_string(path).map_err(|error| wrong(format!("{path} cannot be read: {error}")))?
        }
        // What stands here may be the secret itself.
        _ => return Err(wrong("is read from \"env:NAME\" or \"file:PATH\", and is not written here".into())),
    };
    let text = text.trim_end_matches(['\r', '\n']);
    let mut value = HeaderValue::from_str(text).map_err(|_| wrong(format!("{from} holds no single line")))?;
    if text.is_empty() {
        return Err(wrong(format!("{from} is empty")));
    }
    value.set_sensitive(true);
    Ok((named, value))
}

fn five() -> u64 {
    5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_field_is_read_from_where_it_is_and_no_secret_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("shop");
        let from = format!("file:{}", path.display());
        fs::write(&path, "Bearer sk-secret\n").expect("written");
        let (name, value) = field("Authorization", &from).expect("a field");
        assert_eq!((name.as_str(), value.as_bytes()), ("authorization", b"Bearer sk-secret".as_slice()));
        assert!(!format!("{value:?}").contains("secret"));
        fs::write(&path, "one\ntwo").expect("written");
        for (name, from, why) in [
            ("authorization", from.as_str(), "holds no single line"),
            ("authorization", "Bearer sk-secret", "is not written here"),
            ("authorization", "env:MILO_NO_SUCH_VARIABLE", "MILO_NO_SUCH_VARIABLE is not in the environment"),
            ("x key", "env:PATH", "is no name"),
            ("Host", "env:PATH", "is written by Milo itself"),
            ("Milo-Signature", "env:PATH", "is written by Milo itself"),
        ] {
            let refused = field(name, from).expect_err(from);
            assert!(refused.contains(why) && !refused.contains("sk-secret"), "{refused}");
        }
        assert!(field("x-path", "env:PATH").is_ok());
    }
}
