//! The keys that we press: from a queue of digits to telephone-events (RFC 4733 section 2.5.1) or to tones.

use super::{Tones, event_of};
use crate::{FRAME_MS, Frame};

/// Milliseconds that a press lasts at least (ITU-T Q.24).
const LEAST_PRESS_MS: u32 = 40;
/// Milliseconds that a press lasts at most: the duration field of RFC 4733 on a 48 kHz clock holds 1,365.
pub const MOST_PRESS_MS: u32 = 1_000;
/// Milliseconds between the end of a press and the beginning of the next; ITU-T Q.24 wants 40 at least.
const GAP_MS: u32 = 80;
/// How often the end of a press is said (RFC 4733 section 2.5.1.4).
const ENDS: u32 = 3;
/// Volume in −dBm0 (RFC 4733 section 2.3.4): that of the tones.
const VOLUME: u8 = 7;

/// How a key is to be pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PressBy {
    /// As telephone-event when that was agreed on, else as tones; [`crate::Control::has_key_events`] says which.
    #[default]
    Agreement,
    /// As tones in the audio, whatever was agreed on.
    Tones,
}

/// One key to press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    key: char,
    event: u8,
    duration_ms: u32,
    by: PressBy,
}

impl Press {
    /// `None`: no telephone has this key.
    pub(crate) fn new(key: char, duration_ms: u32, by: PressBy) -> Option<Self> {
        let event = event_of(key)?;
        Some(Self { key, event, duration_ms: duration_ms.clamp(LEAST_PRESS_MS, MOST_PRESS_MS), by })
    }
}

/// What the next packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Audio: frames of [`Keypad::frame`], or what is played where that gives none.
    Audio,
    /// An event.
    Event {
        /// The payload.
        payload: [u8; 4],
        /// Packets since the first of this press, which has the marker: by so much the timestamp lies behind.
        age: u32,
    },
}

/// The keypad: presses one key after the other.
#[derive(Debug, Default)]
pub(crate) struct Keypad {
    state: State,
    /// Taken from the queue; waits for a packet of its own.
    next: Option<Press>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Up,
    Event {
        press: Press,
        packets: u32,
    },
    Tones(Tones),
    Gap {
        left_ms: u32,
    },
}

impl Keypad {
    /// What the next packet of `ptime_ms` carries, on this clock of telephone-event (Hz); `events`: telephone-event was agreed on.
    /// `next` gives the key to press after the last one.
    pub(crate) fn slot(
        &mut self,
        (ptime_ms, clock_rate): (u32, u32),
        events: bool,
        next: &mut impl FnMut() -> Option<Press>,
    ) -> Slot {
        if matches!(self.state, State::Gap { left_ms: 0 }) {
            self.state = State::Up;
        }
        self.fetch(next);
        if matches!(self.state, State::Up)
            && let Some(press) = self.next.take_if(|press| events && press.by == PressBy::Agreement)
        {
            self.state = State::Event { press, packets: 0 };
        }
        let State::Event { press, packets } = &mut self.state else { return Slot::Audio };
        let age = *packets;
        *packets += 1;
        let last = press.duration_ms.div_ceil(ptime_ms).max(1);
        let end = *packets >= last;
        let duration = (*packets).min(last) * ptime_ms * (clock_rate / 1000);
        let [high, low] = u16::try_from(duration).unwrap_or(u16::MAX).to_be_bytes();
        let payload = [press.event, u8::from(end) << 7 | VOLUME, high, low];
        if *packets >= last + ENDS - 1 {
            self.state = State::Gap { left_ms: GAP_MS.saturating_sub((ENDS - 1) * ptime_ms) };
        }
        Slot::Event { payload, age }
    }

    /// The audio of the next 20 ms: tones, or the silence between two keys; `None` leaves it to what is played.
    pub(crate) fn frame(&mut self, events: bool, next: &mut impl FnMut() -> Option<Press>) -> Option<Frame> {
        loop {
            match &mut self.state {
                State::Tones(tones) => {
                    if let Some(frame) = tones.next() {
                        return Some(frame);
                    }
                    self.state = State::Gap { left_ms: GAP_MS };
                }
                State::Gap { left_ms: 0 } => self.state = State::Up,
                State::Gap { left_ms } => {
                    *left_ms = left_ms.saturating_sub(FRAME_MS);
                    return Some(Frame::SILENCE);
                }
                // An event has packets of its own.
                State::Event { .. } => return None,
                State::Up => {
                    self.fetch(next);
                    let press = self.next?;
                    if events && press.by == PressBy::Agreement {
                        // It begins with the next packet.
                        return Some(Frame::SILENCE);
                    }
                    self.next = None;
                    self.state = Tones::new(press.key, press.duration_ms).map_or(State::Up, State::Tones);
                }
            }
        }
    }

    /// Nothing can be sent, or not in the same way as until now: the key that is down comes up.
    pub(crate) fn let_go(&mut self) {
        self.state = State::Up;
    }

    /// Whether our own tones are on the line.
    pub(crate) fn sounds(&self) -> bool {
        matches!(self.state, State::Tones(_))
    }

    fn fetch(&mut self, next: &mut impl FnMut() -> Option<Press>) {
        if matches!(self.state, State::Up) && self.next.is_none() {
            self.next = next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(keys: &str, duration_ms: u32, by: PressBy) -> impl FnMut() -> Option<Press> {
        let mut keys: Vec<_> = keys.chars().rev().collect();
        move || keys.pop().and_then(|key| Press::new(key, duration_ms, by))
    }

    /// (age, event, end, duration) of each packet; `None`: audio, whose 20 ms frames are taken too.
    fn packets(
        keypad: &mut Keypad,
        ptime_ms: u32,
        clock_rate: u32,
        mut keys: impl FnMut() -> Option<Press>,
        count: usize,
    ) -> Vec<Option<(u32, u8, bool, u16)>> {
        let mut debt = 0;
        let mut packet = || match keypad.slot((ptime_ms, clock_rate), true, &mut keys) {
            Slot::Event { payload: [event, flags, high, low], age } => {
                assert_eq!(flags & 0x7f, VOLUME);
                Some((age, event, flags & 0x80 != 0, u16::from_be_bytes([high, low])))
            }
            Slot::Audio => {
                debt += ptime_ms;
                while debt >= FRAME_MS {
                    debt -= FRAME_MS;
                    keypad.frame(true, &mut keys);
                }
                None
            }
        };
        (0..count).map(|_| packet()).collect()
    }

    #[test]
    fn a_press_grows_by_ptime_and_ends_three_times() {
        let sent = packets(&mut Keypad::default(), 20, 8000, queue("5", 100, PressBy::Agreement), 9);
        let expected = [
            (0, 5, false, 160),
            (1, 5, false, 320),
            (2, 5, false, 480),
            (3, 5, false, 640),
            (4, 5, true, 800),
            (5, 5, true, 800),
            (6, 5, true, 800),
        ];
        assert_eq!(sent[..7], expected.map(Some));
        assert_eq!(sent[7..], [None, None]);
    }

    #[test]
    fn any_ptime_and_either_clock() {
        let sent = packets(&mut Keypad::default(), 60, 48_000, queue("#", 100, PressBy::Agreement), 5);
        let expected = [(0, 11, false, 2880), (1, 11, true, 5760), (2, 11, true, 5760), (3, 11, true, 5760)];
        assert_eq!(sent[..4], expected.map(Some));
        let longest = packets(&mut Keypad::default(), 20, 48_000, queue("1", 60_000, PressBy::Agreement), 60);
        let durations: Vec<_> = longest.into_iter().flatten().map(|(.., duration)| duration).collect();
        assert_eq!(durations.last(), Some(&48_000));
        assert!(durations.is_sorted(), "it never wraps");
        let short = packets(&mut Keypad::default(), 60, 8000, queue("1", 1, PressBy::Agreement), 1);
        assert_eq!(short, [Some((0, 1, true, 480))]);
    }

    #[test]
    fn between_two_presses_there_are_80_ms() {
        for (ptime_ms, silent) in [(10, 6), (20, 2), (40, 0), (60, 0)] {
            let sent = packets(&mut Keypad::default(), ptime_ms, 8000, queue("11", 60, PressBy::Agreement), 40);
            let ended = sent.iter().position(|packet| matches!(packet, Some((_, _, true, _)))).expect("an end");
            let began = sent.iter().rposition(|packet| matches!(packet, Some((0, ..)))).expect("a second press");
            assert_eq!(began - ended, 3 + silent, "ptime {ptime_ms}");
        }
    }

    /// What is heard in each 20 ms, with a voice that never ends: `t` tones, `.` silence, `v` the voice.
    fn audio(keypad: &mut Keypad, events: bool, mut keys: impl FnMut() -> Option<Press>, count: usize) -> String {
        let mut frame = || {
            assert_eq!(keypad.slot((20, 8000), events, &mut keys), Slot::Audio);
            match keypad.frame(events, &mut keys) {
                Some(Frame::SILENCE) => '.',
                Some(_) => 't',
                None => 'v',
            }
        };
        (0..count).map(|_| frame()).collect()
    }

    #[test]
    fn without_an_agreement_a_key_is_its_tones_and_the_voice_waits() {
        let heard = audio(&mut Keypad::default(), false, queue("12", 60, PressBy::Agreement), 16);
        assert_eq!(heard, "ttt....ttt....vv");
        let heard = audio(&mut Keypad::default(), true, queue("1", 40, PressBy::Tones), 8);
        assert_eq!(heard, "tt....vv", "tones that are asked for");
    }

    #[test]
    fn a_hold_lets_the_key_go_and_the_others_wait() {
        let mut keypad = Keypad::default();
        let mut keys = queue("12", 100, PressBy::Agreement);
        assert!(matches!(keypad.slot((20, 8000), true, &mut keys), Slot::Event { age: 0, .. }));
        keypad.let_go();
        let Slot::Event { payload, age } = keypad.slot((20, 8000), true, &mut keys) else { panic!("an event") };
        assert_eq!((payload[0], age), (2, 0));
    }

    #[test]
    fn only_keys_can_be_pressed() {
        assert_eq!(Press::new('x', 100, PressBy::Agreement), None);
        assert!(Press::new('d', 100, PressBy::Agreement).is_some());
    }
}
