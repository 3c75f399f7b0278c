//! What a persona is told of the moment: date, time of day and day of the week, where it is at home.

use jiff::{Timestamp, Zoned, civil::Date, tz::TimeZone};
use milo_models::{engine::Language, text::read_back::WEEKDAYS};

/// A moment, by the clock of a place.
#[derive(Clone, Debug)]
pub struct Moment(Zoned);

impl Moment {
    /// What a persona's texts may name besides what every call knows.
    pub const NAMES: [&str; 3] = ["date", "time", "weekday"];

    /// Now, there.
    pub fn now(zone: &TimeZone) -> Self {
        Self(Zoned::now().with_time_zone(zone.clone()))
    }

    /// This moment, there.
    pub fn at(moment: Timestamp, zone: &TimeZone) -> Self {
        Self(moment.to_zoned(zone.clone()))
    }

    /// The day.
    pub fn day(&self) -> Date {
        self.0.date()
    }

    /// The day, in figures that the voice reads in its language.
    pub fn date(&self) -> String {
        let Self(now) = self;
        format!("{:02}/{:02}/{}", now.day(), now.month(), now.year())
    }

    /// The hour there, 0 to 23.
    pub fn hour(&self) -> i8 {
        self.0.hour()
    }

    /// What one of [`Moment::NAMES`] stands for: figures that the voice reads in its language, and the name of the day.
    pub fn value(&self, name: &str, language: Language) -> Option<String> {
        let Self(now) = self;
        let (mg, fr) = WEEKDAYS[now.weekday().to_monday_zero_offset() as usize];
        Some(match (name, language) {
            ("date", _) => self.date(),
            ("time", _) => format!("{:02}:{:02}", now.hour(), now.minute()),
            ("weekday", Language::Mg) => mg.into(),
            ("weekday", Language::Fr) => fr.into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use milo_models::text::speakable;

    use super::*;

    #[test]
    fn a_moment_is_told_by_the_clock_of_its_place_and_can_be_said() {
        let there: Zoned = "2026-11-30T07:45:00+03:00[Indian/Antananarivo]".parse().expect("a moment");
        let moment = Moment(there);
        let value = |name: &str, language| moment.value(name, language).expect("known");
        assert_eq!(value("date", Language::Fr), "30/11/2026");
        assert_eq!((value("time", Language::Mg), value("weekday", Language::Fr)), ("07:45".into(), "lundi".into()));
        assert_eq!(value("weekday", Language::Mg), "Alatsinainy");
        assert_eq!(moment.value("caller", Language::Mg), None);
        assert!(Moment::NAMES.iter().all(|name| moment.value(name, Language::Mg).is_some()));
        let said = speakable(&value("date", Language::Fr), Language::Fr);
        assert!(said.contains("trente novembre"), "{said}");
    }
}
