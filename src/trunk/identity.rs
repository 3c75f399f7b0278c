//! Who a call is said to come from: what is believed of a caller, and what is shown to whoever is called. Within the trust domain
//! of RFC 3325 stand the trunks, and nobody else.

use std::collections::BTreeMap;

use milo_signaling::{
    Identity, Introduction, Replaces, Uri,
    sip::{Name, identity::ANONYMOUS, introduction::own_field},
};
use serde::{Deserialize, Serialize};

use super::{Trunk, number};

/// What a trunk is told of who calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shows {
    /// From alone.
    #[default]
    From,
    /// P-Asserted-Identity beside it: the trunk's own number (RFC 3325).
    Asserted,
}

/// What a trunk is told of where a call was before, when one that came in is sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentOn {
    /// Nothing.
    #[default]
    Off,
    /// RFC 5806.
    Diversion,
    /// RFC 7044.
    HistoryInfo,
}

/// A call that came in, as far as one that is placed for it speaks of it.
#[derive(Clone, Debug)]
pub struct Came {
    /// Whom it was for.
    pub called: String,
    /// What is believed of its caller.
    pub identity: Identity,
}

/// What whoever has Milo call somebody says of the caller.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Who calls, where that is said.
    pub from: Option<&'a str>,
    /// Who called Milo, as far as it may be shown.
    pub caller: &'a str,
    /// Whoever is called is not to see who calls.
    pub is_private: bool,
    /// The call that is sent on.
    pub came: Option<&'a Came>,
    /// Further header fields.
    pub fields: &'a BTreeMap<String, String>,
    /// The dialog of whoever is called that this one is to take the place of (RFC 3891).
    pub replaces: Option<&'a Replaces>,
}

impl Shown<'_> {
    /// To somebody who is no trunk: From alone, and nobody's number beside it.
    pub fn introduce(&self, from: &str) -> Introduction {
        let is_anonymous = self.is_private || is_nobody(from);
        let fields = self.own_fields(is_anonymous);
        Introduction { from: from.to_owned(), is_anonymous, fields, ..Introduction::default() }
    }

    fn own_fields(&self, is_anonymous: bool) -> Vec<(Name, String)> {
        // They were checked when they were given.
        let own = self.fields.iter().filter_map(|(name, value)| own_field(name, value).ok());
        let private = is_anonymous.then(|| (Name::PRIVACY, "id".to_owned()));
        let replaces = self
            .replaces
            .into_iter()
            .flat_map(|replaces| [(Name::REQUIRE, "replaces".to_owned()), (Name::REPLACES, replaces.to_string())]);
        private.into_iter().chain(replaces).chain(own).collect()
    }
}

impl Trunk {
    /// To this trunk, for a call to this address there.
    pub(super) fn introduce(&self, target: &Uri, shown: &Shown<'_>) -> Introduction {
        let trunk = &self.settings;
        let id = self.caller_id(shown.from, shown.caller);
        let is_anonymous = shown.is_private || is_nobody(&id);
        let domain = self.address_of_record().or(Some(target)).and_then(Uri::host);
        let at = |user: &str| domain.map(|host| Uri::sip(Some(user), host.clone(), None));
        let mut fields = shown.own_fields(is_anonymous);
        let shown_id = Some(id.as_str()).filter(|id| !is_nobody(id));
        let asserted = match trunk.identity {
            Shows::Asserted => self.own_number().or(shown_id),
            // The carrier must know whom to charge.
            Shows::From if is_anonymous => shown_id.or_else(|| self.own_number()),
            Shows::From => None,
        };
        if let Some(uri) = asserted.and_then(at) {
            fields.push((Name::P_ASSERTED_IDENTITY, format!("<{uri}>")));
        }
        if let Some(came) = shown.came
            && let Some(by) = number(&came.called).and_then(at)
        {
            fields.extend(match trunk.diversion {
                SentOn::Off => Vec::new(),
                SentOn::Diversion => came.identity.diversions(&by),
                SentOn::HistoryInfo => came.identity.history(&by, target),
            });
        }
        let codecs = Some(self.codecs());
        Introduction { from: self.from(id), is_anonymous, fields, codecs, ..Introduction::default() }
    }

    /// The number that is the trunk's own.
    fn own_number(&self) -> Option<&str> {
        let fixed = self.caller_id.as_deref().filter(|id| *id != super::CALLER && !id.is_empty());
        fixed.or(self.settings.username.as_deref())
    }
}

/// Whether a caller is nobody who wants to be known.
pub fn is_nobody(caller: &str) -> bool {
    caller.eq_ignore_ascii_case(ANONYMOUS)
}

/// The telephone number of an address, as an address may hold it: digits, `+` and `*`; what stands between them is left out.
pub fn dialled(uri: &Uri) -> Option<String> {
    let user = uri.user();
    let number: String = user.split(';').next().unwrap_or_default().chars().filter(|c| !"-.() ".contains(*c)).collect();
    let fits =
        (1..=64).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit() || b"+*".contains(&byte));
    fits.then_some(number)
}

/// What is wrong with header fields that somebody wants in a call, as a sentence.
pub fn fields_fault(fields: &BTreeMap<String, String>) -> Option<String> {
    let most = milo_signaling::sip::introduction::OWN_FIELDS;
    if fields.len() > most {
        return Some(format!("headers: {} are more than {most}", fields.len()));
    }
    fields.iter().find_map(|(name, value)| own_field(name, value).err()).map(|fault| format!("headers: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_what_can_be_dialled() {
        for (uri, number) in [
            ("sip:+261341234567@carrier.example;user=phone", Some("+261341234567")),
            ("tel:+261-34-12.345(67)", Some("+261341234567")),
            ("sip:0341;phone-context=+261@carrier.example", Some("0341")),
            ("sip:*21@carrier.example", Some("*21")),
            ("sip:rasoa@carrier.example", None),
            ("sip:1%0d%0a2@carrier.example", None),
            ("sip:carrier.example", None),
        ] {
            assert_eq!(dialled(&uri.parse().unwrap()).as_deref(), number, "{uri}");
        }
    }
}
