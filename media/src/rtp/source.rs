//! The stream that the peer sends, as our reports tell of it (RFC 3550 A.1, A.3, A.8).

use std::time::{Duration, Instant};

use super::rtcp::Block;

/// A forward jump of more packets than this is a new beginning (RFC 3550 A.1), and so is a backward one of more than
/// [`MAX_MISORDER`], once two packets in a row confirm it.
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;
/// A change of transit time beyond this is a new beginning of the sender's clock, not jitter.
const JUMP: Duration = Duration::from_secs(2);

/// The stream that is heard.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    /// Extended numbers: of the first packet, and the highest.
    first: u32,
    pub(super) highest: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    /// Arrival minus timestamp of the last packet, on the stream's clock.
    transit: Option<u32>,
    jitter: f32,
    last_report: Option<(u32, Instant)>,
    /// Packets that its last sender report counted, and those that had come by then.
    sent: Option<(u32, u32)>,
    pub(super) last_reference: Option<(u32, Instant)>,
}

impl Source {
    pub(super) fn starting(ssrc: u32, sequence: u16) -> Self {
        let first = u32::from(sequence);
        Self {
            ssrc,
            first,
            highest: first,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit: None,
            jitter: 0.0,
            last_report: None,
            sent: None,
            last_reference: None,
        }
    }

    /// Counts a packet; `false` when it does not belong to this row of numbers.
    pub(super) fn count(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if ahead < MAX_DROPOUT {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        } else if ahead <= u16::MAX - MAX_MISORDER {
            return false;
        }
        self.received = self.received.wrapping_add(1);
        true
    }

    /// Timestamps count on another clock from now on.
    pub(super) fn clock_changed(&mut self) {
        (self.transit, self.jitter) = (None, 0.0);
    }

    pub(super) fn timed(&mut self, transit: u32, clock_rate: u32) {
        if let Some(before) = self.transit.replace(transit) {
            let change = (transit.wrapping_sub(before) as i32).unsigned_abs();
            if change < clock_rate * JUMP.as_secs() as u32 {
                self.jitter += (change as f32 - self.jitter) / 16.0;
            }
        }
    }

    /// A sender report has come, which counts so many packets. Says whether it tells of packets since the one before of which
    /// none has come.
    pub(super) fn reported(&mut self, stamp: (u32, Instant), packets: u32) -> bool {
        self.last_report = Some(stamp);
        let before = self.sent.replace((packets, self.received));
        before.is_some_and(|(then, received)| packets != then && received == self.received)
    }

    /// The report on this stream; nothing when no packet of it came since the one before.
    pub(super) fn block(&mut self, now: Instant) -> Option<Block> {
        let expected = self.highest.wrapping_sub(self.first).wrapping_add(1);
        let (due, came) =
            (expected.wrapping_sub(self.expected_before), self.received.wrapping_sub(self.received_before));
        if came == 0 {
            return None;
        }
        (self.expected_before, self.received_before) = (expected, self.received);
        let missing = due.saturating_sub(came);
        Some(Block {
            ssrc: self.ssrc,
            fraction_lost: (u64::from(missing) * 256 / u64::from(due.max(1))).min(255) as u8,
            lost: expected.wrapping_sub(self.received) as i32,
            highest: self.highest,
            jitter: self.jitter as u32,
            last_report: self.last_report.map_or(0, |(stamp, _)| stamp),
            delay: self.last_report.map_or(0, |(_, came)| delay(now, came)),
        })
    }
}

/// Time since then in 65536ths of a second.
pub(super) fn delay(now: Instant, then: Instant) -> u32 {
    let since = now.saturating_duration_since(then);
    (since.as_secs() as u32) << 16 | ((u64::from(since.subsec_nanos()) << 16) / 1_000_000_000) as u32
}
