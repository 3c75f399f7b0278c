//! The verb `request`: what a caller wants of the people of the house, who are not on the line.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Action, Gather, Kind, variables};

/// Characters of a campaign's name.
const LONGEST_NAME: usize = 200;
/// What every call knows of who calls: nobody else can be called by it.
const OWN: [&str; 2] = ["caller", "asserted"];

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
    /// The name of a standing campaign: Milo calls back itself, when that was agreed. Where it cannot (no moment to come is understood in
    /// `wanted`, the campaign does not run or does not call then, its trunk does not allow the number, which may also be on the
    /// do-not-call list), a person does. `{{call_back_at}}` is the moment then, and empty where a person calls; `{{call_back_why}}` says why.
    /// One number a call; a `telephone` that is not the caller's own is read back first: `confirm` of the tool, or of the `gather`, says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
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

    /// Where its number is one that nobody has read back to the caller, whom Milo is to call: what would be right. `read_back` are the
    /// variables that hold nothing else, `confirm` what a tool asks before it is done.
    pub(super) fn unread(&self, read_back: &BTreeSet<&str>, confirm: [Option<&str>; 2]) -> Option<String> {
        self.campaign.as_ref()?;
        let is_read = |name: &str| {
            let is_asked =
                |question: &Option<&str>| question.is_some_and(|text| variables::names(text).contains(&name));
            OWN.contains(&name) || read_back.contains(name) || confirm.iter().all(is_asked)
        };
        let name = variables::names(&self.telephone).into_iter().find(|name| !is_read(name))?;
        Some(format!(
            "request: telephone: Milo calls {{{{{name}}}}} only once it was read back: have the tool's confirm say it in both languages, or \
             collect it by gather with kind = \"telephone\" and confirm = true; or leave telephone out, for the caller's own"
        ))
    }

    pub(super) fn fault(&self) -> Option<String> {
        if let Some(name) = &self.campaign {
            if self.kind != RequestKind::CallBack {
                return Some("request: campaign: it calls, and a message is for people: kind = \"call_back\"".into());
            }
            let length = name.trim().chars().count();
            if length == 0 || length > LONGEST_NAME || name.trim() != name || name.chars().any(char::is_control) {
                return Some(format!(
                    "request: campaign = {name:?} is no name of a campaign: 1 to {LONGEST_NAME} characters, without spaces around them"
                ));
            }
            if self.wanted.trim().is_empty() {
                return Some(
                    "request: wanted is empty; Milo calls when that was agreed: wanted = \"{{day}} {{hour}}\"".into(),
                );
            }
        }
        let is_empty = self.kind == RequestKind::Message && self.text.trim().is_empty();
        is_empty.then(|| "request: text is empty; a message says something: text = \"{{message}}\"".into())
    }
}

/// The variables that hold nothing but numbers which were read back: those of these verbs that `given` names, too, hold others.
pub(super) fn read_back<'a>(all: &[&'a Action], given: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let into = |action: &'a Action| match action {
        Action::Gather(Gather { kind: Kind::Telephone, confirm: true, into, .. }) => Some(into.as_str()),
        _ => None,
    };
    let others = all.iter().copied().flat_map(|action| {
        let read = into(action);
        action.sets().into_iter().filter(move |name| Some(*name) != read)
    });
    let others: BTreeSet<_> = others.chain(given).collect();
    all.iter().copied().filter_map(into).filter(|name| !others.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> Request {
        toml::from_str(&format!("kind = 'call_back'\nwanted = '{{{{day}}}}'\ncampaign = 'callbacks'\n{more}")).unwrap()
    }

    #[test]
    fn milo_calls_no_number_that_was_not_read_back() {
        let gather = |more: &str| {
            toml::from_str::<Action>(&format!("gather = {{ into = 'n', kind = 'telephone'{more} }}")).unwrap()
        };
        let (read, unread) = (gather(", confirm = true, transcript = 'said'"), gather(""));
        let none = std::iter::empty;
        assert_eq!(read_back(&[&read], none()), BTreeSet::from(["n"]));
        assert!(read_back(&[&read, &unread], none()).is_empty(), "it may hold another");
        assert!(read_back(&[&read], ["n"].into_iter()).is_empty(), "a model may give it");
        let known = BTreeSet::from(["n"]);
        let (telephone, asks) = ("telephone = '{{t}}'", Some("{{t}}?"));
        assert_eq!(request("").unread(&known, [None, None]), None);
        assert_eq!(request("telephone = '{{n}}'").unread(&known, [None, None]), None);
        assert_eq!(request("telephone = '{{caller}}'").unread(&known, [None, None]), None);
        assert_eq!(request(telephone).unread(&known, [asks, asks]), None);
        for confirm in [[None, None], [asks, None], [asks, Some("Eny?")]] {
            let fault = request(telephone).unread(&known, confirm).expect("a fault");
            assert!(fault.starts_with("request: telephone: Milo calls {{t}} only once"), "{fault}");
        }
        assert_eq!(
            Request { campaign: None, ..request(telephone) }.unread(&known, [None, None]),
            None,
            "a person calls"
        );
    }

    #[test]
    fn a_campaign_is_named_for_a_call_back_that_has_a_moment() {
        assert_eq!(request("").fault(), None);
        for (wrong, says) in [
            (Request { kind: RequestKind::Message, text: "a".into(), ..request("") }, "request: campaign: it calls"),
            (Request { campaign: Some(" ".into()), ..request("") }, "request: campaign = \" \" is no name"),
            (Request { wanted: " ".into(), ..request("") }, "request: wanted is empty"),
        ] {
            let fault = wrong.fault().expect(says);
            assert!(fault.starts_with(says), "{fault}");
        }
    }
}
