//! The verb `request`: what a caller wants of the people of the house, who are not on the line.

use serde::{Deserialize, Serialize};

/// Keeps what a caller wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What it is: a message, which says something, or a call back, which needs a number.
    pub kind: RequestKind,
    /// The number at which they are to be reached; where it is left out or empty, the caller's own, if it is shown.
    #[serde(default)]
    pub telephone: String,
    /// When they want it: `{{day}}`, "ny maraina".
    #[serde(default)]
    pub wanted: String,
    /// What it is about, and to whom.
    #[serde(default)]
    pub text: String,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// That somebody is told something.
    Message,
    /// That somebody calls.
    CallBack,
}

impl RequestKind {
    /// As it stands in a file, in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::CallBack => "call_back",
        }
    }
}

impl Request {
    pub(super) fn words(&mut self) -> [&mut String; 3] {
        [&mut self.telephone, &mut self.wanted, &mut self.text]
    }

    /// What its kind cannot be without; `number` is the one at which they are to be reached.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self, number: Option<&str>) -> Result<(), &'static str> {
        match self.kind {
            RequestKind::Message if self.text.trim().is_empty() => Err("the message is empty"),
            RequestKind::CallBack if number.is_none() => Err("there is no number to call back"),
            RequestKind::Message | RequestKind::CallBack => Ok(()),
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let is_empty = self.kind == RequestKind::Message && self.text.trim().is_empty();
        is_empty.then(|| "request: text is empty; a message says something: text = \"{{message}}\"".into())
    }
}
