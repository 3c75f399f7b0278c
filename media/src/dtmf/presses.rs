//! The keys that the party presses, whichever way they come: each press is heard once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Reports of one press that come by different ways lie no further apart than this (a SIP INFO may be lost twice and
/// sent again after 1.5 s).
const APART: Duration = Duration::from_secs(2);
/// Presses remembered.
const REMEMBERED: usize = 32;

/// When keys are looked for in the audio itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InbandDigits {
    /// When the party did not agree on telephone-event: then its keys can come by no other way of RTP.
    #[default]
    Auto,
    /// Always: for carriers that agree on telephone-event and leave the tones in the audio.
    On,
    /// Never.
    Off,
}

impl InbandDigits {
    /// Whether to look, given whether telephone-event was agreed on.
    pub(crate) fn look(self, telephone_event: bool) -> bool {
        match self {
            Self::Auto => !telephone_event,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// A way by which a press is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// RFC 4733.
    Event = 1,
    /// SIP INFO.
    Info = 2,
    /// The tones in the audio.
    Tone = 4,
}

/// Which presses were heard of late, and by which ways.
///
/// The rule: a key told by a second way within two seconds is the press that the first way told, and is not heard
/// again. The oldest press of that key which this way has not told yet is taken, so that of two quick presses of one key
/// each finds its own. Of any key, as many presses are heard as the way told which told most: carriers that send two
/// ways do not double, and what one of them loses the other makes good.
#[derive(Debug, Default)]
pub(crate) struct Presses {
    recent: VecDeque<Recent>,
}

#[derive(Debug)]
struct Recent {
    key: char,
    /// The ways that told it, one bit each.
    ways: u8,
    at: Instant,
}

impl Presses {
    /// Whether this is a press that was not heard yet. `lasted` is how long the key had been down when it was told:
    /// other ways may have told it that much earlier.
    pub(crate) fn accept(&mut self, way: Way, key: char, lasted: Duration, now: Instant) -> bool {
        let began = now.checked_sub(lasted).unwrap_or(now);
        let same = self.recent.iter_mut().find(|recent| {
            recent.key == key && recent.ways & way as u8 == 0 && began.saturating_duration_since(recent.at) <= APART
        });
        if let Some(recent) = same {
            recent.ways |= way as u8;
            return false;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(Recent { key, ways: way as u8, at: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of (milliseconds, way, key, how long it lasted).
    fn heard(told: &[(u64, Way, char, u64)]) -> String {
        let start = crate::leg::now();
        let mut presses = Presses::default();
        let mut accept = |&(at, way, key, lasted): &(u64, Way, char, u64)| {
            let now = start + Duration::from_secs(60) + Duration::from_millis(at);
            presses.accept(way, key, Duration::from_millis(lasted), now).then_some(key)
        };
        told.iter().filter_map(&mut accept).collect()
    }

    use Way::{Event, Info, Tone};

    #[test]
    fn one_press_told_by_two_ways_is_heard_once() {
        assert_eq!(
            heard(&[(0, Event, '1', 0), (200, Info, '1', 160), (900, Event, '2', 0), (1100, Info, '2', 0)]),
            "12"
        );
        assert_eq!(heard(&[(0, Info, '1', 0), (40, Event, '1', 0), (80, Tone, '1', 0)]), "1", "INFO may be first");
    }

    #[test]
    fn two_presses_of_one_key_told_by_two_ways_are_heard_twice() {
        let turn_by_turn = [(0, Event, '1', 0), (100, Info, '1', 0), (300, Event, '1', 0), (400, Info, '1', 0)];
        assert_eq!(heard(&turn_by_turn), "11");
        let one_behind = [(0, Event, '1', 0), (300, Event, '1', 0), (600, Info, '1', 0), (900, Info, '1', 0)];
        assert_eq!(heard(&one_behind), "11");
    }

    #[test]
    fn what_one_way_loses_the_other_makes_good() {
        assert_eq!(heard(&[(0, Info, '1', 0), (300, Event, '1', 0), (400, Info, '1', 0)]), "11");
        assert_eq!(heard(&[(0, Event, '1', 0), (500, Info, '2', 0)]), "12");
    }

    #[test]
    fn one_way_alone_is_believed() {
        assert_eq!(heard(&[(0, Info, '7', 0), (90, Info, '7', 0), (180, Info, '7', 0)]), "777");
    }

    #[test]
    fn a_long_press_that_info_tells_when_it_ends_is_the_same() {
        assert_eq!(heard(&[(0, Event, '5', 0), (6000, Info, '5', 5900)]), "5");
        assert_eq!(heard(&[(0, Event, '5', 0), (6000, Info, '5', 160)]), "55", "another one, seconds later");
    }

    #[test]
    fn it_forgets_the_oldest() {
        let mut told: Vec<_> = (0..40).map(|n| (n * 10, Event, '3', 0)).collect();
        told.extend((0..32).map(|n| (500 + n * 10, Info, '3', 0)));
        assert_eq!(heard(&told).len(), 40);
    }
}
