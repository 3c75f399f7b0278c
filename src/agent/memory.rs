//! What a persona may know of a caller from before: the section `[memory]`, and the names that it gives the persona's texts.

use std::ops::RangeInclusive;

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use super::Moment;
use crate::{after::Form, store::Memory};

/// For how many days something may be known.
const DAYS: RangeInclusive<u64> = 1..=3_650;
/// The name that stands for the last call in two or three sentences.
pub(crate) const SUMMARY: &str = "memory.summary";

/// The section `[memory]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembering {
    /// For how many days after a call what came of it is known.
    #[serde(default = "Remembering::days")]
    pub days: u64,
}

impl Remembering {
    /// What a persona's texts may name where it has this section.
    pub const NAMES: [&str; 4] = ["memory.name", "memory.language", SUMMARY, "memory.last_call"];

    fn days() -> u64 {
        90
    }

    /// Refuses what nobody writes down.
    pub(super) fn check(self, after: Option<&Form>) -> Result<(), String> {
        if !DAYS.contains(&self.days) {
            return Err(format!("[memory]: days = {} is not within {} to {}", self.days, DAYS.start(), DAYS.end()));
        }
        if !after.is_some_and(Form::has_summary) {
            let right = "give the persona a section [after], and do not set its summary to false";
            return Err(format!("[memory] keeps what [after] has written down of a call: {right}"));
        }
        Ok(())
    }
}

/// What one of [`Remembering::NAMES`] stands for; nothing where it is not known.
pub(super) fn value(memory: &Memory, name: &str, zone: &TimeZone) -> Option<String> {
    match name {
        "memory.name" => memory.name.clone(),
        "memory.language" => Some(memory.language.clone()),
        SUMMARY => memory.summary.clone(),
        "memory.last_call" => {
            let at = Timestamp::from_millisecond(memory.last_call.millis()).ok()?;
            Some(Moment::at(at, zone).date())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stamp;

    #[test]
    fn what_is_known_has_a_name_each_and_the_day_is_that_of_the_place() {
        let memory = Memory {
            last_call: "2026-11-29T22:30:00Z".parse::<Stamp>().expect("a moment"),
            name: Some("Rasoa".into()),
            language: "fr".into(),
            summary: None,
            is_local: false,
        };
        let zone = TimeZone::get("Indian/Antananarivo").expect("a zone");
        let values = Remembering::NAMES.map(|name| value(&memory, name, &zone));
        assert_eq!(values, [Some("Rasoa".into()), Some("fr".into()), None, Some("30/11/2026".into())]);
        assert_eq!(value(&memory, "memory.number", &zone), None);
    }
}
