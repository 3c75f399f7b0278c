//! RFC 4733 telephone-events in: each press gives one digit.
//!
//! A digit is given at the first sight of its press, whichever packet that is: so a lost marker, a lost start, lost ends,
//! doubled packets and packets out of order change nothing, and a menu answers while the key is still down. Waiting for
//! the end bit would be later by the length of the press, and would need a time-out when all three ends are lost.
//!
//! Which packets belong to one press is told by time alone. Each reports a stretch of the RTP timeline, from its timestamp
//! for its duration; stretches of one key that overlap or touch are one press, since a finger needs longer than
//! [`TOUCH_MS`] to leave a key and come back. That holds for senders that keep the timestamp of the beginning, as the RFC
//! wants, for those that give each packet the time at which it leaves, and for the segments of a long press.

use std::time::{Duration, Instant};

use crate::dtmf::key_of;

/// Milliseconds of RTP time between two reports of one key that are still one press: a packet lost by a sender that
/// reports only what is new. Two presses lie further apart (ITU-T Q.24: 40 ms).
const TOUCH_MS: u32 = 30;
/// A press of which nothing came for so long is forgotten. Only then may its timestamp mean another one: of a sender
/// whose clock stands still, or whose next stream happens to begin there.
const FORGOTTEN: Duration = Duration::from_secs(2);
/// Presses remembered at a time; more within two seconds are no finger's.
const REMEMBERED: usize = 16;
/// The longest duration that a packet can report; a longer press goes on in a segment that begins where this one ends
/// (RFC 4733 section 2.5.1.3).
const SEGMENT: i32 = 0xffff;
/// Segments of one press, at 48 kHz 22 seconds.
const SEGMENTS: i32 = 16;

/// The events of one stream.
#[derive(Debug)]
pub(super) struct Digits {
    /// RTP time of [`TOUCH_MS`].
    touch: i32,
    recent: Vec<Press>,
    /// The sender gives each packet the time at which it leaves, and the duration since the press began.
    restarts: bool,
}

/// What is known of a press.
#[derive(Clone, Copy, Debug)]
struct Press {
    event: u8,
    /// The stretch of RTP time that was reported.
    began: u32,
    until: u32,
    /// The last packet, by timestamp.
    timestamp: u32,
    duration: u16,
    ended: bool,
    seen: Instant,
}

/// One report of an event.
#[derive(Clone, Copy, Debug)]
struct Report {
    event: u8,
    timestamp: u32,
    duration: u16,
    end: bool,
}

/// The digits of one packet; more than four keys pressed at once are no finger's either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys([Option<char>; 4]);

impl Keys {
    fn push(&mut self, key: char) {
        if let Some(free) = self.0.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(key);
        }
    }
}

impl IntoIterator for Keys {
    type Item = char;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<char>, 4>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

impl Digits {
    /// `clock_rate`: of the telephone-event's `a=rtpmap`, in Hz.
    pub(super) fn new(clock_rate: u32) -> Self {
        Self { touch: (clock_rate / 1000 * TOUCH_MS) as i32, recent: Vec::with_capacity(REMEMBERED), restarts: false }
    }

    /// The digits of which this packet, come at `now`, is the first.
    pub(super) fn accept(&mut self, timestamp: u32, payload: &[u8], now: Instant) -> Keys {
        let mut keys = Keys::default();
        let mut timestamp = timestamp;
        // A packet may report several events, one after the other; bytes that only fill it up have no duration.
        for (at, block) in payload.chunks_exact(4).enumerate() {
            let report = Report {
                event: block[0],
                timestamp,
                duration: u16::from_be_bytes([block[2], block[3]]),
                end: block[1] & 0x80 != 0,
            };
            if at > 0 && report.duration == 0 {
                break;
            }
            timestamp = timestamp.wrapping_add(report.duration.into());
            if let Some(key) = key_of(report.event).filter(|_| self.begins(report, now)) {
                keys.push(key);
            }
        }
        keys
    }

    /// Notes a report; whether it is the first of its press.
    fn begins(&mut self, report: Report, now: Instant) -> bool {
        self.recent.retain(|press| now.saturating_duration_since(press.seen) < FORGOTTEN);
        let (touch, restarts) = (self.touch, self.restarts);
        let known = self
            .recent
            .iter_mut()
            .rev()
            .find(|press| press.event == report.event && press.has(report, touch, restarts));
        if let Some(press) = known {
            self.restarts |= press.take(report, now);
            return false;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.remove(0);
        }
        self.recent.push(Press {
            event: report.event,
            began: report.timestamp,
            until: report.timestamp.wrapping_add(report.duration.into()),
            timestamp: report.timestamp,
            duration: report.duration,
            ended: report.end,
            seen: now,
        });
        true
    }
}

impl Press {
    /// Whether a report of the same key is one of this press.
    fn has(&self, report: Report, touch: i32, restarts: bool) -> bool {
        let after = from(self.timestamp, report.timestamp);
        if after == 0 {
            return true;
        }
        // What is still down after its end was said, and later, is down again, however long the first was said to be.
        if self.ended && !report.end && after > 0 {
            return false;
        }
        let length = i32::from(report.duration);
        let touches = if restarts {
            // The timestamp is that of sending: what is reported lies before it.
            after.saturating_sub(length) <= 0 && after >= -i32::from(self.duration)
        } else {
            let (began, until) = (from(self.timestamp, self.began), from(self.timestamp, self.until));
            after <= until.saturating_add(touch) && after.saturating_add(length) >= began.saturating_sub(touch)
        };
        if touches {
            return true;
        }
        let segments = after / SEGMENT;
        !self.ended && after % SEGMENT == 0 && (1..=SEGMENTS).contains(&segments)
    }

    /// Takes in a report of this press; whether it shows that the sender restarts the timestamp in every packet.
    fn take(&mut self, report: Report, now: Instant) -> bool {
        let after = from(self.timestamp, report.timestamp);
        let grown = i32::from(report.duration) - i32::from(self.duration);
        let until = report.timestamp.wrapping_add(report.duration.into());
        if from(self.until, until) > 0 {
            self.until = until;
        }
        if from(self.began, report.timestamp) < 0 {
            self.began = report.timestamp;
        }
        if after >= 0 {
            (self.timestamp, self.duration) =
                (report.timestamp, report.duration.max(if after == 0 { self.duration } else { 0 }));
        }
        self.ended |= report.end;
        self.seen = now;
        // Timestamp and duration have grown by the same.
        after > 0 && grown == after
    }
}

/// How far `to` lies after `from` on the RTP timeline, which wraps.
fn from(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

#[cfg(test)]
#[path = "digits_tests.rs"]
mod tests;
