//! The leg's end of a recording: what was heard and what was sent, tick by tick.

use std::{collections::VecDeque, mem, sync::atomic::Ordering, time::Instant};

use super::{Order, Phase, Piece, Tap};
use crate::{FRAME_SAMPLES, Frame};

/// Ticks that are handed over at once: 200 ms.
const TICKS: usize = 10;
/// Samples of a tick, both sides.
const TICK: usize = 2 * FRAME_SAMPLES;

/// Gathers both sides of a leg. Dropped, it hands over what it has and closes the recording.
pub(crate) struct Tape {
    tap: Tap,
    /// What left in a packet that is longer than a tick is heard in the ticks that follow.
    sent: VecDeque<Frame>,
    samples: Vec<i16>,
    /// Ticks so far.
    ticks: u64,
    /// Frames that are not in the file yet and never will be.
    gap: u32,
}

impl Tape {
    pub(crate) fn new(tap: Tap) -> Self {
        Self { tap, sent: VecDeque::with_capacity(4), samples: Vec::with_capacity(TICKS * TICK), ticks: 0, gap: 0 }
    }

    /// Whether the call is done with the recording.
    pub(crate) fn is_over(&self) -> bool {
        self.tap.shared.phase() >= Phase::Stopped
    }

    /// 20 ms that leave in this tick; silence need not be told.
    pub(crate) fn sent(&mut self, frame: Frame) {
        // Packets carry 60 ms at most.
        if self.sent.len() < 4 {
            self.sent.push_back(frame);
        }
    }

    /// The tick that began then is over; this was heard in it.
    pub(crate) fn tick(&mut self, heard: &Frame, now: Instant) {
        self.tap.shared.ticked(self.ticks, now);
        self.ticks += 1;
        let sent = self.sent.pop_front().unwrap_or_default();
        if self.tap.shared.phase() == Phase::Running {
            let pairs = heard.samples().iter().zip(sent.samples()).flat_map(|(left, right)| [*left, *right]);
            self.samples.extend(pairs);
        } else {
            self.samples.resize(self.samples.len() + TICK, 0);
        }
        if self.samples.len() >= TICKS * TICK {
            self.hand_over();
        }
    }

    /// So many ticks never came: the machine slept.
    pub(crate) fn slept(&mut self, ticks: u32) {
        self.hand_over();
        self.ticks += u64::from(ticks);
        self.miss(ticks);
    }

    fn hand_over(&mut self) {
        if self.samples.is_empty() {
            return;
        }
        let samples = mem::replace(&mut self.samples, Vec::with_capacity(TICKS * TICK));
        let ticks = (samples.len() / TICK) as u32;
        let piece = Piece { gap: self.gap, samples };
        match self.tap.queue.try_send(Order::Write(self.tap.shared.clone(), piece)) {
            Ok(()) => self.gap = 0,
            Err(_) => self.miss(ticks),
        }
    }

    fn miss(&mut self, ticks: u32) {
        self.gap = self.gap.saturating_add(ticks);
        self.tap.shared.missed.fetch_add(u64::from(ticks), Ordering::Relaxed);
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.hand_over();
        self.tap.shared.close();
        // When it does not come through, the writer finds the recording closed a moment later.
        self.tap.queue.try_send(Order::Close(self.tap.shared.clone())).ok();
    }
}
