//! Which plan a call gets: the first, in the order of the files' names and within a file, of which every condition fits.

use std::{collections::BTreeMap, path::PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::{Dialplans, Plan};
use crate::trunk::is_nobody;

/// What is known of a call before it is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The caller's number: the user part of From.
    pub from: String,
    /// The number that was dialled: the user part of the Request-URI.
    pub to: String,
    /// The trunk over which it came; none for calls of this machine.
    pub trunk: Option<String>,
    /// The header fields that plans ask for, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// When it came.
    pub at: Timestamp,
    /// What is believed of who calls, beside `from`.
    pub identity: Identified,
}

/// What is believed of a caller beside its From. Texts that are empty are not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identified {
    /// The number that the trunk asserts: digits, `+` and `*`.
    pub asserted: String,
    /// The caller wants whoever is called not to see who calls.
    pub is_private: bool,
    /// The number that was called first, where the call was sent on to here.
    pub diverted_from: String,
    /// Why it was sent on from there.
    pub diverted_why: String,
}

/// What became of one plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = PlanVerdict)]
pub struct Verdict {
    /// The plan's name.
    #[schema(example = "milo")]
    pub plan: String,
    /// Its file.
    #[schema(value_type = String, example = "dialplans/demo.toml")]
    pub file: PathBuf,
    /// Its line.
    #[schema(example = 4)]
    pub line: usize,
    /// Whether it is the one that runs.
    pub runs: bool,
    /// Why it does not run.
    #[schema(example = "number: milo is called, not echo")]
    pub why: Option<String>,
}

impl Dialplans {
    /// The plan of a call.
    pub fn choose(&self, facts: &Facts) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.misfit(facts).is_none())
    }

    /// The same with reasons: what becomes of each plan, in the order in which they are tried.
    pub fn explain(&self, facts: &Facts) -> Vec<Verdict> {
        let mut chosen: Option<&str> = None;
        let mut verdicts = Vec::new();
        for plan in &self.plans {
            let why = plan.misfit(facts).or_else(|| chosen.map(|name| format!("{name:?} comes before it and fits")));
            if why.is_none() {
                chosen = Some(&plan.name);
            }
            let (runs, file) = (why.is_none(), plan.file.clone());
            verdicts.push(Verdict { plan: plan.name.clone(), file, line: plan.line, runs, why });
        }
        verdicts
    }

    /// The names of the header fields that plans ask for, in lower case.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        self.header_names.iter().map(String::as_str)
    }
}

impl Plan {
    /// Why this plan is not for a call.
    fn misfit(&self, facts: &Facts) -> Option<String> {
        if self.number.is_empty() {
            return Some("it has no number: only goto leads to it".into());
        }
        if !self.number.fits(&facts.to) {
            return Some(format!("number: {:?} is not {}", facts.to, self.number));
        }
        // Who does not show a number has the one that is asserted.
        let asserted = &facts.identity.asserted;
        let is_asserted = is_nobody(&facts.from) && !asserted.is_empty() && self.from.admit(asserted);
        if !is_asserted && !self.from.admit(&facts.from) {
            return Some(format!("from: {:?} is not {}", facts.from, self.from));
        }
        match &facts.trunk {
            Some(trunk) if !self.trunk.admit(trunk) => {
                return Some(format!("trunk: {trunk:?} is not {}", self.trunk));
            }
            None if !self.trunk.is_empty() => return Some("trunk: the call comes over none".into()),
            _ => {}
        }
        for (name, wanted) in &self.headers {
            match facts.headers.get(&name.to_ascii_lowercase()) {
                None => return Some(format!("headers: the call has no {name}")),
                // Repeated fields are one list (RFC 3261 section 7.3.1).
                Some(value) if !wanted.fits(value) && !value.split(", ").any(|one| wanted.fits(one)) => {
                    return Some(format!("headers: {name}: {value:?} is not {wanted}"));
                }
                Some(_) => {}
            }
        }
        if !self.accept_language.is_empty() {
            let spoken = facts.headers.get(ACCEPT_LANGUAGE).map_or("", String::as_str);
            if !accepted(spoken).any(|language| self.accept_language.fits(&language)) {
                return Some(format!("accept_language: {spoken:?} does not name {}", self.accept_language));
            }
        }
        self.calendar.closed(&self.hours, self.holiday, facts.at).map(|why| format!("hours: {why}"))
    }
}

/// RFC 3261 section 20.3.
pub(super) const ACCEPT_LANGUAGE: &str = "accept-language";

/// The languages that a header field of this name accepts, in lower case: those of quality 0 are not.
fn accepted(header: &str) -> impl Iterator<Item = String> {
    header.split(',').filter_map(|range| {
        let (language, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), |quality| quality.trim().parse::<f32>());
        (!language.trim().is_empty() && quality.unwrap_or(0.0) > 0.0).then(|| language.trim().to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn plans(text: &str) -> Dialplans {
        Dialplans::from_texts(Path::new("."), vec![(PathBuf::from("a.toml"), text.into())], Vec::new()).expect("plans")
    }

    fn facts() -> Facts {
        Facts {
            from: "+261341234567".into(),
            to: "0201234567".into(),
            trunk: Some("orange".into()),
            headers: [("x-queue", "sales-2"), (ACCEPT_LANGUAGE, "de;q=0, FR-fr;q=0.7")]
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            at: "2026-11-30T07:00:00Z".parse().expect("a moment"),
            identity: Identified::default(),
        }
    }

    fn fits(condition: &str) -> Result<(), String> {
        let text = format!(
            "holidays = ['12-25']\n[[plan]]\nname = 'a'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}]\n{condition}\n"
        );
        let verdict = plans(&text).explain(&facts()).remove(0);
        verdict.why.map_or(Ok(()), Err)
    }

    #[test]
    fn every_condition_fits_or_says_why_not() {
        let any = "number = '*'\n";
        for condition in [
            "number = '0[2-9]????????'",
            "number = ['milo', '020*']",
            &format!("{any}from = '+261*'"),
            &format!("{any}trunk = ['airtel', 'orange']"),
            &format!("{any}headers = {{ 'X-Queue' = 'sales-?' }}"),
            &format!("{any}accept_language = 'fr*'"),
            &format!("{any}holiday = false"),
            &format!("{any}hours = [{{ days = ['mon'], from = '10:00', to = '10:01' }}]"),
        ] {
            assert_eq!(fits(condition), Ok(()), "{condition}");
        }
        for (condition, why) in [
            ("number = 'milo'".to_owned(), "number: \"0201234567\" is not milo"),
            (String::new(), "only goto leads to it"),
            (format!("{any}from = '+33*'"), "from: \"+261341234567\" is not +33*"),
            (format!("{any}trunk = 'airtel'"), "trunk: \"orange\" is not airtel"),
            (format!("{any}headers = {{ 'X-Queue' = 'help*' }}"), "headers: X-Queue: \"sales-2\" is not help*"),
            (format!("{any}headers = {{ 'X-Other' = '*' }}"), "headers: the call has no X-Other"),
            (format!("{any}accept_language = 'de*'"), "accept_language"),
            (format!("{any}holiday = true"), "hours: 2026-11-30 is no holiday"),
            (format!("{any}hours = [{{ from = '08:00', to = '10:00' }}]"), "hours: mon 2026-11-30 10:00 is outside"),
        ] {
            let said = fits(&condition).expect_err("a misfit");
            assert!(said.contains(why), "{said}\n  not: {why}");
        }
    }

    #[test]
    fn who_shows_no_number_is_known_by_the_one_that_is_asserted() {
        let plan = "[[plan]]\nname = 'a'\nnumber = '*'\nfrom = '+261*'\nlanguage = 'mg'\nactions = [{ answer = {} }]\n";
        let identity = Identified { asserted: "+261341234567".into(), ..Identified::default() };
        let chosen = |from: &str| {
            let facts = Facts { from: from.into(), identity: identity.clone(), ..facts() };
            plans(plan).choose(&facts).is_some()
        };
        assert!(chosen("anonymous") && chosen("+261330000000"));
        assert!(!chosen("+33100000000"), "who shows another number is that one");
    }

    #[test]
    fn the_first_that_fits_is_taken_and_the_others_say_so() {
        let plan = |name: &str, number: &str| {
            format!(
                "[[plan]]\nname = '{name}'\nnumber = '{number}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}]\n"
            )
        };
        let read = plans(&[plan("no", "1*"), plan("yes", "02*"), plan("exact", "0201234567")].concat());
        assert_eq!(read.choose(&facts()).map(|plan| plan.name.as_str()), Some("yes"));
        let verdicts = read.explain(&facts());
        assert_eq!(
            verdicts.iter().map(|verdict| (verdict.line, verdict.runs)).collect::<Vec<_>>(),
            [(1, false), (6, true), (11, false)]
        );
        assert!(verdicts[2].why.as_ref().is_some_and(|why| why.contains("\"yes\" comes before it")));
        assert!(read.choose(&Facts { to: "999".into(), ..facts() }).is_none());
    }
}
