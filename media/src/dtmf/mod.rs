//! The keys of a telephone: which there are (ITU-T Q.23), how they sound, how they are pressed and how they are heard.
//!
//! ```text
//!  Voice::press ─► Keypad ─┬─ telephone-event (RFC 4733), when both sides agreed on it
//!                          └─ Tones in the audio, when not
//!
//!  telephone-event ─► Digits (in `rtp`) ─┐
//!  SIP INFO ─► Control::hear_key ────────┼─► Presses: one press, however many ways it came ─► Heard::Digit
//!  audio ─► Detector ────────────────────┘
//! ```

mod detect;
mod generate;
mod press;
mod presses;

pub use detect::Detector;
pub use generate::Tones;
pub(crate) use press::{Keypad, Press, Slot};
pub use press::{MOST_PRESS_MS, PressBy};
pub use presses::InbandDigits;
pub(crate) use presses::{Presses, Way};

/// The keys in the order of their event codes (RFC 4733 section 3.2).
const KEYS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];
/// The tones of the rows and the columns of the keypad, in Hz (ITU-T Q.23).
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
/// The keypad, row by row.
const KEYPAD: [char; 16] = ['1', '2', '3', 'A', '4', '5', '6', 'B', '7', '8', '9', 'C', '*', '0', '#', 'D'];

/// The key of this event code (RFC 4733 section 3.2); `None` for a hook flash and all else that is no key.
pub(crate) fn key_of(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).copied()
}

/// The event code of this key, in either case.
fn event_of(key: char) -> Option<u8> {
    let key = key.to_ascii_uppercase();
    KEYS.iter().position(|&known| known == key).map(|event| event as u8)
}

/// Whether a telephone has this key: `0` to `9`, `*`, `#`, `A` to `D` (or `a` to `d`).
pub fn is_key(key: char) -> bool {
    event_of(key).is_some()
}

/// Row and column of this key, in Hz.
fn tones_of(key: char) -> Option<(f64, f64)> {
    let key = key.to_ascii_uppercase();
    let place = KEYPAD.iter().position(|&known| known == key)?;
    Some((ROWS[place / 4], COLUMNS[place % 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_event_and_one_pair_of_tones() {
        for (event, key) in KEYS.into_iter().enumerate() {
            assert_eq!((key_of(event as u8), event_of(key.to_ascii_lowercase())), (Some(key), Some(event as u8)));
            assert!(tones_of(key).is_some(), "{key}");
        }
        assert_eq!((key_of(16), is_key('E'), is_key('+')), (None, false, false));
        assert_eq!(tones_of('5'), Some((770.0, 1336.0)));
        assert_eq!(tones_of('#'), Some((941.0, 1477.0)));
    }
}
