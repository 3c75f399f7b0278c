//! When a plan is open: hours of the day, days of the week, holidays, all in one time zone a file.

use std::fmt;

use jiff::{
    Timestamp,
    civil::{Date, Weekday},
    tz::{Offset, TimeZone},
};
use serde::{Deserialize, Deserializer, de};

/// The days of a week as they are written.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Hours of some days. Hours that end before they begin go on over midnight, and belong to the day on which they begin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// `mon` to `sun`, and spans of them: `["mon-fri", "sun"]`; every day when it is left out.
    #[serde(default)]
    days: Days,
    /// `08:00`
    from: Clock,
    /// `17:30`; at this minute it is over. `24:00` is the end of the day.
    to: Clock,
}

impl Window {
    fn holds(&self, weekday: Weekday, now: Clock) -> bool {
        if self.from < self.to {
            return self.days.hold(weekday) && (self.from..self.to).contains(&now);
        }
        (self.days.hold(weekday) && now >= self.from) || (self.days.hold(weekday.previous()) && now < self.to)
    }

    /// What is impossible about it.
    pub(crate) fn fault(&self) -> Option<String> {
        (self.from == self.to).then(|| {
            format!("hours: from = \"{0}\" and to = \"{0}\" are the same; \"00:00\" to \"24:00\" is all day", self.from)
        })
    }
}

/// Days of the week, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Days(u8);

impl Default for Days {
    fn default() -> Self {
        Self(0x7f)
    }
}

impl Days {
    fn hold(self, day: Weekday) -> bool {
        self.0 >> day.to_monday_zero_offset() & 1 == 1
    }

    fn parse(names: &[String]) -> Result<Self, String> {
        let number = |name: &str| {
            let known = DAYS.iter().position(|day| *day == name.trim());
            known.ok_or_else(|| format!("{name:?} is no day; there are {}", DAYS.join(", ")))
        };
        let mut days = 0;
        for name in names {
            let (from, to) = name.split_once('-').unwrap_or((name, name));
            let (mut day, last) = (number(from)?, number(to)?);
            // From Friday to Monday is four days.
            loop {
                days |= 1 << day;
                if day == last {
                    break;
                }
                day = (day + 1) % 7;
            }
        }
        if days == 0 { Err("names no day".into()) } else { Ok(Self(days)) }
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&Vec::<String>::deserialize(from)?).map_err(de::Error::custom)
    }
}

/// A time of day, in minutes since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Clock(u16);

impl Clock {
    fn parse(text: &str) -> Option<Self> {
        let (hours, minutes) = text.split_once(':')?;
        let two = |part: &str| part.parse::<u16>().ok().filter(|_| part.len() == 2 && !part.starts_with('+'));
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        (minutes < 60 && hours * 60 + minutes <= 24 * 60).then_some(Self(hours * 60 + minutes))
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl<'de> Deserialize<'de> for Clock {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no time of day like \"08:00\"")))
    }
}

/// A day on which nobody works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holiday {
    /// `"06-26"`: month and day.
    EveryYear(i8, i8),
    /// `"2026-04-06"`
    Once(Date),
}

impl Holiday {
    fn parse(text: &str) -> Option<Self> {
        // A leap year, so that the 29th of February is a day.
        let yearly = || format!("2024-{text}").parse::<Date>().ok().filter(|_| text.len() == 5);
        match text.parse::<Date>() {
            Ok(date) => Some(Self::Once(date)),
            Err(_) => yearly().map(|date| Self::EveryYear(date.month(), date.day())),
        }
    }

    fn is(self, date: Date) -> bool {
        match self {
            Self::EveryYear(month, day) => (date.month(), date.day()) == (month, day),
            Self::Once(day) => day == date,
        }
    }
}

impl<'de> Deserialize<'de> for Holiday {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || format!("{text:?} is no day like \"2026-04-06\", or \"06-26\" for every year");
        Self::parse(&text).ok_or_else(|| de::Error::custom(wrong()))
    }
}

/// The time zone and the holidays of one file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Calendar {
    /// Time zone of the file's hours and holidays: an IANA name or a fixed offset, `+03:00`; `Indian/Antananarivo` when it is
    /// left out.
    #[serde(default = "madagascar", deserialize_with = "zone")]
    zone: TimeZone,
    /// The days on which nobody works.
    #[serde(default)]
    holidays: Vec<Holiday>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { zone: madagascar(), holidays: Vec::new() }
    }
}

impl Calendar {
    /// The day that it is there at a moment.
    pub(super) fn day(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// Why a plan with these hours, which is for holidays or for other days, is closed at a moment.
    pub(super) fn closed(&self, hours: &[Window], holiday: Option<bool>, at: Timestamp) -> Option<String> {
        closed((&self.zone, &self.holidays), hours, holiday, at)
    }
}

/// The same by this zone and these holidays.
pub(crate) fn closed(
    (zone, holidays): (&TimeZone, &[Holiday]),
    hours: &[Window],
    holiday: Option<bool>,
    at: Timestamp,
) -> Option<String> {
    let local = zone.to_datetime(at);
    let (date, now) = (local.date(), Clock(local.hour() as u16 * 60 + local.minute() as u16));
    let day = DAYS[local.weekday().to_monday_zero_offset() as usize];
    match (holiday, holidays.iter().any(|known| known.is(date))) {
        (Some(true), false) => return Some(format!("{date} is no holiday")),
        (Some(false), true) => return Some(format!("{date} is a holiday")),
        _ => {}
    }
    let open = hours.is_empty() || hours.iter().any(|window| window.holds(local.weekday(), now));
    (!open).then(|| format!("{day} {date} {now} is outside its hours"))
}

pub(crate) fn madagascar() -> TimeZone {
    // No summer time since 1954.
    TimeZone::get("Indian/Antananarivo").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(3)))
}

pub(crate) fn zone<'de, D: Deserializer<'de>>(from: D) -> Result<TimeZone, D::Error> {
    zone_named(&String::deserialize(from)?).map_err(de::Error::custom)
}

/// The time zone of this name.
///
/// # Errors
/// A sentence: there is none.
pub(crate) fn zone_named(text: &str) -> Result<TimeZone, String> {
    let offset = || {
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let ahead = Clock::parse(text.strip_prefix(['+', '-'])?)?;
        Offset::from_seconds(sign * i32::from(ahead.0) * 60).ok().map(TimeZone::fixed)
    };
    offset()
        .map_or_else(|| TimeZone::get(text), Ok)
        .map_err(|_| format!("{text:?} is no time zone; give an IANA name (\"Indian/Antananarivo\") or \"+03:00\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(text: &str) -> Calendar {
        toml::from_str(text).expect("a calendar")
    }

    fn window(text: &str) -> Window {
        toml::from_str(text).expect("hours")
    }

    fn open(calendar: &Calendar, hours: &[Window], holiday: Option<bool>, at: &str) -> bool {
        calendar.closed(hours, holiday, at.parse().expect("a moment")).is_none()
    }

    #[test]
    fn hours_are_those_of_the_zone_and_end_at_their_minute() {
        let office = [window("days = ['mon-fri']\nfrom = '08:00'\nto = '17:00'")];
        // 2026-11-30 is a Monday; Madagascar is three hours ahead.
        let there = calendar("");
        for (at, is) in [
            ("2026-11-30T04:59:59Z", false),
            ("2026-11-30T05:00:00Z", true),
            ("2026-11-30T13:59:59Z", true),
            ("2026-11-30T14:00:00Z", false),
            ("2026-11-29T09:00:00Z", false),
        ] {
            assert_eq!(open(&there, &office, None, at), is, "{at}");
        }
        assert!(open(&calendar("zone = '-05:30'"), &office, None, "2026-11-30T13:30:00Z"));
        assert!(!open(&calendar("zone = '-05:30'"), &office, None, "2026-11-30T13:29:00Z"));
        // Paris has summer time: 08:00 is 07:00 UTC in winter and 06:00 UTC in summer.
        let paris = calendar("zone = 'Europe/Paris'");
        assert!(
            open(&paris, &office, None, "2026-07-06T06:00:00Z") && !open(&paris, &office, None, "2026-11-30T06:00:00Z")
        );
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_on_which_they_begin() {
        let night = [window("days = ['fri']\nfrom = '22:00'\nto = '06:00'")];
        let utc = calendar("zone = '+00:00'");
        for (at, is) in [
            ("2026-11-27T21:59:00Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T05:59:00Z", true),
            ("2026-11-28T06:00:00Z", false),
            ("2026-11-27T05:00:00Z", false),
            ("2026-11-28T23:00:00Z", false),
        ] {
            assert_eq!(open(&utc, &night, None, at), is, "{at}");
        }
        assert!(Days::parse(&["fri-mon".into()]).expect("days").hold(Weekday::Sunday));
        assert!(!Days::parse(&["fri-mon".into()]).expect("days").hold(Weekday::Tuesday));
    }

    #[test]
    fn holidays_are_days_of_every_year_or_of_one() {
        let days = calendar("holidays = ['06-26', '2026-04-06']");
        for (at, is) in [
            ("2026-06-26T09:00:00Z", true),
            ("2031-06-26T09:00:00Z", true),
            ("2026-04-06T09:00:00Z", true),
            ("2027-04-06T09:00:00Z", false),
            // In Madagascar it is the next day already.
            ("2026-06-25T22:00:00Z", true),
        ] {
            assert_eq!(open(&days, &[], Some(true), at), is, "{at}");
            assert_eq!(open(&days, &[], Some(false), at), !is, "{at}");
            assert!(open(&days, &[], None, at));
        }
    }

    #[test]
    fn what_is_no_time_says_so() {
        let wrong = |text: &str| toml::from_str::<Calendar>(text).expect_err("a fault").message().to_owned();
        assert!(wrong("zone = 'Mars/Olympus'").contains("no time zone"));
        assert!(wrong("holidays = ['2026-02-30']").contains("no day like"));
        let wrong = |text: &str| toml::from_str::<Window>(text).expect_err("a fault").message().to_owned();
        assert!(wrong("from = '8:00'\nto = '17:00'").contains("no time of day"));
        assert!(wrong("from = '08:00'\nto = '24:01'").contains("no time of day"));
        assert!(wrong("days = ['mo']\nfrom = '08:00'\nto = '17:00'").contains("no day; there are mon"));
        assert!(window("from = '08:00'\nto = '08:00'").fault().is_some());
    }
}
