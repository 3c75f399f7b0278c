//! What an answer to `gather` means: words and keys become the value of a variable, and the value words that are read back.

use jiff::civil::Date;
use milo_models::{
    engine::Language,
    text::{
        heard::{self, Reach},
        read_back,
    },
};

use super::{Gather, Kind, ask};

/// The longest way to press a day, and a telephone number: E.164's fifteen digits behind 00.
const DAY_KEYS: usize = 8;
const TELEPHONE_KEYS: usize = 17;
/// As many days as one may be away.
const FARTHEST: u16 = 3_650;

impl Gather {
    /// What these words mean; nothing when they are not right.
    pub fn meaning(&self, words: &str, today: Date) -> Option<String> {
        let counted = |digits: &String| (self.min..=self.max).contains(&digits.len());
        match self.kind {
            Kind::Text => Some(words.trim().to_owned()).filter(|words| !words.is_empty()),
            Kind::Digits => heard::digits(words).filter(counted),
            Kind::Number => heard::number(words).map(|number| number.to_string()).filter(counted),
            Kind::YesNo => heard::yes(words).map(|yes| if yes { "yes" } else { "no" }.into()),
            Kind::Choice => {
                let at = heard::choice(words, self.each_choice())?;
                self.each_choice().nth(at).map(str::to_owned)
            }
            Kind::Date => self.near(heard::day(words, today), today),
            Kind::Telephone => heard::telephone(words),
        }
    }

    /// What these keys mean; nothing when they are not right.
    pub fn pressed(&self, keys: &str, today: Date) -> Option<String> {
        match self.kind {
            Kind::Date => self.near(heard::pressed_day(keys, today), today),
            Kind::Telephone => heard::pressed_telephone(keys),
            _ => (keys.len() >= self.min).then(|| keys.to_owned()),
        }
    }

    /// So many keys are complete.
    pub fn most_keys(&self) -> usize {
        match self.kind {
            Kind::Date => DAY_KEYS,
            Kind::Telephone => TELEPHONE_KEYS,
            _ => self.max,
        }
    }

    fn near(&self, day: Option<Date>, today: Date) -> Option<String> {
        let reach = Reach { past: self.past, within: self.within_days };
        day.filter(|day| reach.holds(*day, today)).map(|day| day.to_string())
    }

    /// A value as the caller hears it, which was said or, `by_keys`, pressed.
    pub fn read_back(&self, value: &str, by_keys: bool, language: Language) -> String {
        match (self.kind, language) {
            (Kind::Date, _) => {
                value.parse::<Date>().map_or_else(|_| value.to_owned(), |day| read_back::day(day, language))
            }
            (Kind::Telephone, _) => read_back::telephone(value),
            (Kind::Digits, _) => read_back::digits(value),
            // Which of them a key stands for, the plan knows.
            _ if by_keys => read_back::digits(value),
            (Kind::YesNo, Language::Mg) => if value == "yes" { "Eny" } else { "Tsia" }.into(),
            (Kind::YesNo, Language::Fr) => if value == "yes" { "Oui" } else { "Non" }.into(),
            (Kind::Text | Kind::Number | Kind::Choice, _) => value.to_owned(),
        }
    }

    /// What of its kind is impossible.
    pub(super) fn kind_fault(&self) -> Option<String> {
        let is_own = matches!(self.kind, Kind::Date | Kind::Telephone);
        if is_own && (self.min, self.max) != (ask::one(), ask::sixteen()) {
            return Some("min and max are not for kind = \"date\" and \"telephone\", which know what is whole".into());
        }
        days_fault(self.kind == Kind::Date, self.past, self.within_days)
    }
}

/// What is impossible about which days are right.
pub(super) fn days_fault(is_date: bool, past: bool, within_days: Option<u16>) -> Option<String> {
    if !is_date && (past || within_days.is_some()) {
        return Some("past and within_days are about days: kind = \"date\"".into());
    }
    let days = within_days.filter(|days| !(1..=FARTHEST).contains(days))?;
    Some(format!("within_days = {days} is not within 1 to {FARTHEST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday.
    const TODAY: Date = Date::constant(2026, 11, 30);

    fn gather(fields: &str) -> Gather {
        toml::from_str(&format!("into = 'it'\n{fields}")).expect("a gather")
    }

    #[test]
    fn days_are_right_where_the_plan_lets_them() {
        let open = gather("kind = 'date'\npast = true");
        let near = gather("kind = 'date'\nwithin_days = 7");
        for (said, any, soon) in [
            ("rahampitso", Some("2026-12-01"), Some("2026-12-01")),
            ("omaly", Some("2026-11-29"), None),
            ("le cinq janvier", Some("2027-01-05"), None),
            ("le trente et un février", None, None),
        ] {
            assert_eq!(open.meaning(said, TODAY).as_deref(), any, "{said}");
            assert_eq!(near.meaning(said, TODAY).as_deref(), soon, "{said}");
        }
        assert_eq!(near.pressed("0112", TODAY).as_deref(), Some("2026-12-01"));
        assert_eq!((near.pressed("05012027", TODAY), near.pressed("3102", TODAY)), (None, None));
        assert_eq!((near.most_keys(), gather("").most_keys()), (8, 16));
    }

    #[test]
    fn telephone_numbers_are_whole_however_they_come() {
        let number = gather("kind = 'telephone'\ninput = 'both'");
        assert_eq!(number.meaning("zéro trente-quatre douze trois cent", TODAY), None);
        assert_eq!(number.meaning("034 12 345 67", TODAY).as_deref(), Some("+261341234567"));
        assert_eq!(number.pressed("0341234567", TODAY).as_deref(), Some("+261341234567"));
        assert_eq!(number.pressed("034123456", TODAY), None);
    }

    #[test]
    fn every_kind_is_read_back_as_it_can_be_understood() {
        for (fields, value, by_keys, language, wanted) in [
            ("kind = 'date'", "2027-01-06", false, Language::Fr, "mercredi 6 janvier 2027"),
            ("kind = 'telephone'", "+261341234567", true, Language::Mg, "034 12 345 67"),
            ("kind = 'digits'", "0482", false, Language::Mg, "0 4 8 2"),
            ("kind = 'number'", "15", false, Language::Fr, "15"),
            ("kind = 'yes_no'", "no", false, Language::Mg, "Tsia"),
            ("kind = 'yes_no'", "1", true, Language::Mg, "1"),
            ("kind = 'choice'", "talata", false, Language::Mg, "talata"),
            ("", "482", true, Language::Fr, "4 8 2"),
            ("", "Rakoto", false, Language::Fr, "Rakoto"),
        ] {
            assert_eq!(gather(fields).read_back(value, by_keys, language), wanted, "{fields}");
        }
    }

    #[test]
    fn what_a_kind_cannot_be_asked_is_a_fault() {
        for (fields, told) in [
            ("kind = 'date'\nmax = 8", "min and max are not for"),
            ("kind = 'telephone'\nmin = 9", "min and max are not for"),
            ("past = true", "past and within_days are about days"),
            ("kind = 'telephone'\nwithin_days = 3", "past and within_days are about days"),
            ("kind = 'date'\nwithin_days = 0", "within_days = 0 is not within 1 to 3650"),
            ("kind = 'number'", "kind is about words"),
        ] {
            let fault = gather(fields).fault().unwrap_or_default();
            assert!(fault.contains(told), "{fields}: {fault}");
        }
        assert_eq!(gather("kind = 'date'").fault(), None);
        assert_eq!(gather("kind = 'telephone'\nconfirm = true").fault(), None);
    }
}
