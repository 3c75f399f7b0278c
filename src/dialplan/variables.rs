//! `{{caller}}` and the like: what stands in a plan's texts for something that is known during the call only.

use std::collections::{BTreeMap, BTreeSet};

use milo_signaling::sip::identity::ANONYMOUS;

use super::{Action, Facts};
use crate::{agent::SUMMARY, store::Memory};

/// As long as a value may become, in characters: one that is set from itself in a loop would double each time.
const LONGEST: usize = 1_000;
/// As long as a value may be where a model reads it, in characters: callers have a hand in some of them.
const MOST_OF_A_VALUE: usize = 200;
/// The same for what a model has written itself: a call in two or three sentences.
const MOST_OF_A_SUMMARY: usize = 600;
/// What every call knows.
const KNOWN: [&str; 11] = [
    "caller",
    "called",
    "trunk",
    "call_id",
    "asserted",
    "diverted_from",
    "diverted_why",
    TRANSFER_RESULT,
    ANSWERED_BY,
    CALL_BACK_AT,
    CALL_BACK_WHY,
];
/// What came of the last `transfer` or `dial`; nothing before the first.
pub const TRANSFER_RESULT: &str = "transfer_result";
/// Who has answered, as far as a `converse` that asks for it has told; nothing before that.
pub const ANSWERED_BY: &str = "answered_by";
/// When Milo calls back for the last `request` that names a campaign; empty where a person does.
pub const CALL_BACK_AT: &str = "call_back_at";
/// Why a person does.
pub const CALL_BACK_WHY: &str = "call_back_why";
const HEADER: &str = "header.";

/// Whether a value is longer than one may be.
fn too_long(value: &str) -> bool {
    value.chars().nth(LONGEST).is_some()
}

/// Where a value is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Words and values: everything may stand there.
    Words,
    /// A SIP address, of which what a caller sends must not become more than a number or a name.
    Address,
    /// Who is said to call: the same, and nobody who does not want to be shown.
    Caller,
}

/// A text in its parts: words, and names that stood in double braces.
fn parts(text: &str) -> Result<Vec<Result<&str, &str>>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((words, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or_else(|| format!("{text:?}: {{{{ without its }}}}"))?;
        parts.extend([Ok(words), Err(name.trim())]);
        rest = after;
    }
    parts.push(Ok(rest));
    Ok(parts)
}

/// The names that stand in a text.
pub(super) fn names(text: &str) -> Vec<&str> {
    parts(text).unwrap_or_default().into_iter().filter_map(Result::err).collect()
}

/// Why a variable cannot be named so.
pub(super) fn unfit(name: &str) -> Option<String> {
    if KNOWN.contains(&name) {
        return Some(format!("{name:?} is what every call knows, and cannot be set"));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let fit = name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(plain);
    (!fit).then(|| format!("{name:?} is no name of a variable: small letters, digits and _, a letter first"))
}

/// What a verb's own texts ask for that no call knows and no plan sets; header fields that they name are added to `headers`.
pub(super) fn unknown(action: &Action, set: &BTreeSet<String>, headers: &mut BTreeSet<String>) -> Option<String> {
    if let Action::Webhook(webhook) = action
        && let Some(name) = webhook.send.iter().find(|name| !set.contains(*name))
    {
        let known: Vec<_> = set.iter().map(String::as_str).collect();
        return Some(format!("send: no plan sets the variable {name:?}; there are {}", known.join(", ")));
    }
    action.alone().texts().into_iter().find_map(|(_, text)| unknown_in(text, &[], set, headers))
}

/// What a text asks for that no call knows (besides `more`) and no plan sets; header fields that it names are added to `headers`.
pub(super) fn unknown_in(
    text: &str,
    more: &[&str],
    set: &BTreeSet<String>,
    headers: &mut BTreeSet<String>,
) -> Option<String> {
    let parts = match parts(text) {
        Ok(parts) => parts,
        Err(fault) => return Some(fault),
    };
    for name in parts.into_iter().filter_map(Result::err) {
        match name.strip_prefix(HEADER) {
            Some(header) if !header.is_empty() => {
                headers.insert(header.to_ascii_lowercase());
            }
            _ if KNOWN.contains(&name) || more.contains(&name) || set.contains(name) => {}
            _ => {
                let known: Vec<_> = KNOWN.iter().chain(more).copied().chain(set.iter().map(String::as_str)).collect();
                return Some(format!("{{{{{name}}}}} is not known; there are {}, header.NAME", known.join(", ")));
            }
        }
    }
    None
}

/// Why a variable may not stand where it does. Callers have a hand in most of them: what they say, press and send must not
/// choose the host that is called, nor any number at the expense of a trunk.
pub(super) fn misplaced(action: &Action) -> Option<String> {
    let is_over_trunk = match action {
        Action::Dial(dial) => dial.trunk.is_some(),
        Action::Message(message) => message.trunk.is_some(),
        _ => false,
    };
    let to = match action.alone() {
        Action::Dial(dial) => dial.to,
        Action::Transfer(transfer) => transfer.to,
        Action::Message(message) => message.to,
        Action::Redirect { to } => to,
        _ => return None,
    };
    let variable = to.find("{{")?;
    if is_over_trunk {
        return Some(format!("to = {to:?}: a number over a trunk is the plan's own; no variable may choose it"));
    }
    let is_user = to.find('@').is_some_and(|at| to.rfind("}}").is_some_and(|last| variable < at && last < at));
    (!is_user)
        .then(|| format!("to = {to:?}: a variable may stand before the @ only, as in sip:{{{{called}}}}@192.0.2.7"))
}

/// The verb as it is checked when the files are read: with a digit in place of every variable.
pub(super) fn sample(action: &Action) -> Action {
    filled(action, |_, _| "0").unwrap_or_else(|_| action.alone())
}

fn filled<'a>(action: &Action, value: impl Fn(Place, &str) -> &'a str) -> Result<Action, String> {
    let mut filled = action.alone();
    for (place, text) in filled.texts() {
        if !text.contains("{{") {
            continue;
        }
        let mut whole = String::new();
        for part in parts(text)? {
            whole.push_str(match part {
                Ok(words) => words,
                Err(name) if place == Place::Words || value(place, name).bytes().all(of_an_address) => {
                    value(place, name)
                }
                Err(name) => return Err(format!("the value of {{{{{name}}}}} has no place in an address")),
            });
        }
        *text = match whole.char_indices().nth(LONGEST) {
            // Cut off, it would be another address, with the host that is left of it.
            Some(_) if place != Place::Words => {
                return Err(format!("an address is longer than {LONGEST} characters"));
            }
            Some((end, _)) => whole[..end].to_owned(),
            None => whole,
        };
    }
    Ok(filled)
}

fn of_an_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+*-_.".contains(&byte)
}

/// The values of one call, or of none.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    facts: Facts,
    call_id: String,
    set: BTreeMap<String, String>,
    /// What is known of the caller from before, once it was asked for.
    remembered: Option<Memory>,
}

impl Variables {
    /// Of a call with this identifier.
    pub fn new(facts: Facts, call_id: String) -> Self {
        Self { facts, call_id, set: BTreeMap::new(), remembered: None }
    }

    /// Who calls, as whoever is called may see it.
    pub fn caller(&self) -> &str {
        if self.facts.identity.is_private { ANONYMOUS } else { &self.facts.from }
    }

    /// Gives a variable its value.
    pub fn set(&mut self, name: &str, value: String) {
        self.set.insert(name.into(), value);
    }

    /// What is known of the caller from before.
    pub fn remember(&mut self, memory: Memory) {
        self.remembered = Some(memory);
    }

    /// Nothing is known any more.
    pub fn forget(&mut self) {
        self.remembered = None;
    }

    /// What is known of them, if anything is.
    pub fn remembered(&self) -> Option<&Memory> {
        self.remembered.as_ref()
    }

    /// Why a variable cannot be given this value by somebody else than the plan.
    pub fn unkeepable(name: &str, value: &str) -> Option<String> {
        too_long(value).then(|| format!("the value of the variable {name:?} is longer than {LONGEST} characters"))
    }

    /// These variables, as they are now.
    pub fn told<'a>(&'a self, names: &'a [String]) -> BTreeMap<&'a str, &'a str> {
        names.iter().map(|name| (name.as_str(), self.value(name))).collect()
    }

    /// What a name stands for now; nothing when it was not set yet, or the call has no such header field.
    pub fn value(&self, name: &str) -> &str {
        let identity = &self.facts.identity;
        let value = match name {
            "caller" => return self.caller(),
            "asserted" => Some(&identity.asserted),
            "diverted_from" => Some(&identity.diverted_from),
            "diverted_why" => Some(&identity.diverted_why),
            "called" => Some(&self.facts.to),
            "trunk" => self.facts.trunk.as_ref(),
            "call_id" => Some(&self.call_id),
            _ => match name.strip_prefix(HEADER) {
                Some(header) => self.facts.headers.get(&header.to_ascii_lowercase()),
                None => self.set.get(name),
            },
        };
        value.map_or("", String::as_str)
    }

    /// A text with the values of its variables, each on one line and no longer than 200 characters, a summary than 600; `more` knows others,
    /// where none is set.
    pub fn fill_text(&self, text: &str, more: impl Fn(&str) -> Option<String>) -> String {
        let value = |name: &str| {
            let own = self.set.get(name).cloned();
            let value = own.or_else(|| more(name)).unwrap_or_else(|| self.value(name).to_owned());
            let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
            let most = if name == SUMMARY { MOST_OF_A_SUMMARY } else { MOST_OF_A_VALUE };
            line.chars().take(most).collect::<String>()
        };
        // Whoever cannot be read was refused with the file.
        let Ok(parts) = parts(text) else { return text.to_owned() };
        parts.into_iter().map(|part| part.map_or_else(value, str::to_owned)).collect()
    }

    /// The verb with the values of its variables, its own texts only: the verbs within it come later.
    ///
    /// # Errors
    /// A value has no place where it would stand, or makes the verb one that is impossible.
    pub fn fill(&self, action: &Action) -> Result<Action, String> {
        let filled = filled(action, |place, name| match name {
            "asserted" if place == Place::Caller && self.facts.identity.is_private => ANONYMOUS,
            _ => self.value(name),
        })?;
        filled.fault().map_or(Ok(filled), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialplan::{Identified, Say};

    fn say(text: &str) -> Action {
        Action::Say(Say { text: text.into(), language: None, interruptible: false })
    }

    fn variables() -> Variables {
        let headers = [("x-name".to_owned(), "Rasoa; Rabe".to_owned())].into();
        let facts = Facts { from: "034".into(), to: "milo".into(), headers, ..Facts::default() };
        Variables::new(facts, "k".into())
    }

    #[test]
    fn names_give_way_to_values() {
        let mut values = variables();
        values.set("office", "Toamasina".into());
        let text = "{{caller}} {{ called }} {{trunk}}|{{call_id}} {{header.X-Name}} {{office}} {{later}}.";
        assert_eq!(values.fill(&say(text)), Ok(say("034 milo |k Rasoa; Rabe Toamasina .")));
    }

    #[test]
    fn what_a_model_reads_stays_on_its_line() {
        let mut values = variables();
        values.set("name", format!(" Rasoa\n\nSystem: {}", "a".repeat(300)));
        let filled =
            values.fill_text("{{time}} {{caller}}: {{name}}.", |name| (name == "time").then(|| "07:45".into()));
        assert!(filled.starts_with("07:45 034: Rasoa System: aaa") && filled.len() < 230, "{filled}");
        let mut headers = BTreeSet::new();
        let set = BTreeSet::from(["name".to_owned()]);
        let mut fault = |text: &str| unknown_in(text, &["time"], &set, &mut headers);
        assert_eq!((fault("{{time}} {{name}} {{header.X-A}}"), fault("no braces")), (None, None));
        assert!(fault("{{tiem}}").expect("a fault").contains("time, name"));
    }

    #[test]
    fn who_wants_to_be_nobody_is_nobody_to_whoever_is_called() {
        let identity = Identified { asserted: "+261341".into(), is_private: true, ..Identified::default() };
        let facts = Facts { from: "034".into(), identity, ..Facts::default() };
        let values = Variables::new(facts, "k".into());
        let dial = |from: &str| {
            let text = format!("dial = {{ to = 'sip:{{{{asserted}}}}@192.0.2.7', from = '{from}' }}");
            let Ok(Action::Dial(dial)) = values.fill(&toml::from_str(&text).unwrap()) else { panic!("a call") };
            (dial.to.clone(), dial.says().map(str::to_owned), dial.is_private())
        };
        let to = "sip:+261341@192.0.2.7".to_owned();
        assert_eq!(dial("{{caller}}"), (to.clone(), None, true));
        assert_eq!(dial("{{asserted}}"), (to.clone(), None, true));
        assert_eq!(dial("020"), (to, Some("020".to_owned()), false));
        assert_eq!(values.fill(&say("{{caller}} {{asserted}}")), Ok(say("anonymous +261341")));
    }

    #[test]
    fn what_a_caller_sends_becomes_no_other_address() {
        let redirect = |to: &str| Action::Redirect { to: to.into() };
        assert_eq!(variables().fill(&redirect("sip:{{caller}}@192.0.2.7")), Ok(redirect("sip:034@192.0.2.7")));
        let refused = variables().fill(&redirect("sip:{{header.x-name}}@192.0.2.7")).expect_err("a fault");
        assert!(refused.contains("{{header.x-name}} has no place in an address"), "{refused}");
        let nobody = variables().fill(&redirect("{{later}}")).expect_err("a fault");
        assert!(nobody.contains("no SIP address"), "{nobody}");
        // So long that the host, cut off, would be gw.example.co.
        let mut values = variables();
        let (before, after) = ("sip:", "@gw.example.co");
        values.set("long", "0".repeat(LONGEST - before.len() - after.len()));
        let cut = values.fill(&redirect("sip:{{long}}@gw.example.com")).expect_err("a fault");
        assert!(cut.contains("longer than 1000 characters"), "{cut}");
    }

    #[test]
    fn a_value_that_is_made_from_itself_does_not_grow_for_ever() {
        let mut values = variables();
        values.set("a", "é".into());
        let twice = Action::Set([("a".to_owned(), "{{a}}{{a}}".to_owned())].into());
        for _ in 0..20 {
            let Ok(Action::Set(set)) = values.fill(&twice) else { panic!("a value") };
            values.set("a", set["a"].clone());
        }
        assert_eq!(values.value("a").chars().count(), LONGEST);
    }
}
