//! A text that somebody has sent, outside of any call.

use std::net::SocketAddr;

use crate::sip::{Uri, core::TextIn};

/// A text (MESSAGE, RFC 3428). Its sender has its answer: 200, or 202 where it is for an account whose telephones are to be sent it.
#[derive(Clone, Debug)]
pub struct Text {
    /// Who sends it: the URI of From.
    pub from: Uri,
    /// Whom it is for: the Request-URI.
    pub to: Uri,
    /// Where it came from.
    pub source: SocketAddr,
    /// The account that the sender has proved to be, where it had to: it is not trusted by its address.
    pub account: Option<String>,
    /// The Call-ID of its MESSAGE.
    pub call_id: String,
    /// What it says.
    pub text: String,
    /// The account whose telephones are to be sent it: its sender was told that they will (202).
    pub for_account: Option<String>,
}

impl From<TextIn> for Text {
    fn from(text: TextIn) -> Self {
        let TextIn { from, to, source, account, call_id, text, for_account, .. } = text;
        Self { from, to, source, account, call_id, text, for_account }
    }
}
