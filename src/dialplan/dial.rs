//! What the verb `dial` says: whom Milo calls for its caller.

use std::collections::BTreeMap;

use milo_media::tone::Country;
use milo_signaling::{Transport, Uri, User};
use serde::{Deserialize, Serialize};

use super::Interpret;
pub use crate::config::TrunkNames;
use crate::trunk::{fields_fault, is_nobody, is_number};

/// Whom to call. What a caller sends or presses may be the user part of an address where the plan says so, never its host, and
/// never a number over a trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dial {
    /// A SIP address: `sip:100@192.0.2.7:5060`, with `;transport=tcp` for TCP; `sips:` or `;transport=tls` for TLS. With a
    /// trunk, a number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// In place of `to`: an account of `[sip] accounts`. All its telephones ring, and the first that answers has the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The trunk that the number is called over, or several, of which the next is tried where one does not get through;
    /// `[[sip.trunks]]` says where, as whom, and how many at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<TrunkNames>,
    /// How long it may ring, in seconds, at each of them: 1 to 300.
    #[serde(default = "half_a_minute")]
    pub seconds: u64,
    /// Who calls: the user part of From. Unset: what the trunk says, for an account the caller's number, else `milo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether whoever is called is not to see who calls (RFC 3323); a trunk is told by P-Asserted-Identity all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privacy: bool,
    /// Further header fields of the INVITE, at most ten: `{ "X-Order" = "{{order}}" }`. None that Milo writes itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// In which country's signals the caller hears it ring: two letters, as for `tone`.
    #[serde(default = "madagascar")]
    pub country: String,
    /// What one hears whom the other has put on hold: these sound files of the folder of dialplans, over and over, or the
    /// built-in music.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub music_files: Vec<String>,
    /// Milo interprets between the two, `{ caller = "mg", callee = "fr" }`: each hears in its own language what the other says. Not
    /// in calls to emergency numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpret: Option<Interpret>,
}

pub(super) fn half_a_minute() -> u64 {
    30
}

pub(super) fn madagascar() -> String {
    Country::Madagascar.code().into()
}

impl Dial {
    /// The address, if it is one that can be called.
    pub fn target(&self) -> Result<Uri, String> {
        let uri: Uri = self.to.parse().map_err(|fault| format!("dial: to = {:?}: {fault}", self.to))?;
        if uri.as_sip().is_some() && Transport::of_uri(&uri).is_ok() {
            return Ok(uri);
        }
        Err(format!("dial: to = {:?} is no address that Milo can call; one looks like sip:100@192.0.2.7:5060", self.to))
    }

    /// Whether whoever is called is not to see who calls.
    pub fn is_private(&self) -> bool {
        self.privacy || self.from.as_deref().is_some_and(is_nobody)
    }

    /// The number that is called: that of the address, or `to` itself.
    pub fn number(&self) -> String {
        match &self.trunk {
            Some(_) => self.to.clone(),
            None => self.target().map_or_else(|_| self.to.clone(), |uri| uri.user()),
        }
    }

    /// Who is said to call, where that is somebody.
    pub fn says(&self) -> Option<&str> {
        self.from.as_deref().filter(|from| !is_nobody(from))
    }

    /// What is impossible about it, in one sentence.
    pub(super) fn fault(&self) -> Option<String> {
        if !(1..=300).contains(&self.seconds) {
            return Some(format!("dial: seconds = {} is not within 1 to 300", self.seconds));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
        if let Some(from) = self.from.as_ref().filter(|from| from.is_empty() || !from.bytes().all(plain)) {
            return Some(format!("dial: from = {from:?} is no number or name: letters, digits, - _ . +"));
        }
        if let Some(fault) = fields_fault(&self.headers).or_else(|| self.interpret.as_ref().and_then(Interpret::fault))
        {
            return Some(format!("dial: {fault}"));
        }
        if Country::of_code(&self.country).is_none() {
            let known = Country::ALL.map(Country::code).join(", ");
            return Some(format!("dial: country = {:?} is not one of {known}", self.country));
        }
        if let Some(account) = &self.account {
            if !User::may_be_called(account) {
                return Some(format!("dial: account = {account:?} is no name of an account: letters, digits, - _ . +"));
            }
            let alone = self.to.is_empty() && self.trunk.is_none();
            return (!alone).then(|| "dial: an account is called by itself, without `to` and `trunk`".into());
        }
        if self.to.is_empty() {
            return Some("dial: whom to call is missing: `to` an address, or the `account` of a telephone".into());
        }
        let Some(trunks) = &self.trunk else { return self.target().err() };
        if let Some(fault) = trunks.fault() {
            return Some(format!("dial: {fault}"));
        }
        (!is_number(&self.to))
            .then(|| format!("dial: to = {:?} is no number; over a trunk one looks like 0201234567", self.to))
    }
}
