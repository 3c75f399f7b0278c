//! Q1: what a party says, on its way from the leg task to the call. Holds a second; full, it drops the oldest frame.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::Notify;

use crate::Frame;

/// Frames that wait at most: one second.
const FRAMES: usize = 50;
/// Digits and other events that wait at most; a peer that floods digits loses the newest.
const EVENTS: usize = 32;

/// One thing heard on a leg.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are frames; a box would cost an allocation each 20 ms")]
pub enum Heard {
    /// 20 ms of audio. One comes every 20 ms, whatever the peer sends.
    Frame(HeardFrame),
    /// A key was pressed (told by RFC 4733, by SIP INFO or by its tones): `0` to `9`, `*`, `#`, `A` to `D`.
    Digit(char),
    /// The peer has put us on hold: we may not send.
    Held,
    /// The hold is over.
    Resumed,
    /// The leg has ended; nothing else comes.
    Closed(Closed),
}

/// 20 ms of what the peer said.
#[derive(Clone, Copy, Debug)]
pub struct HeardFrame {
    /// The audio.
    pub frame: Frame,
    /// When the newest packet that fed it arrived; for silence without packets, when the frame was made.
    pub arrived: Instant,
    /// When its turn came to be heard: [`crate::record::Recording::position`] says where it is in a recording.
    pub at: Instant,
    /// Some of its samples replace a lost packet.
    pub concealed: bool,
    /// What left for the party 20 ms before; its echo comes in this frame or a later one. `None`: nothing was played.
    pub sent: Option<Frame>,
}

/// Why a leg has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// No RTP came, nor reports in its place, for the time-out of [`crate::LegOptions`] although the peer should send.
    Timeout,
    /// Its dialog is over ([`crate::Control::end`]).
    HungUp,
    /// Both halves were dropped, or the runtime of the leg ended.
    Dropped,
    /// The socket failed, or the peer gave no keys for SRTP; the sentence says how.
    Failed(String),
}

/// The listening half of a leg.
#[derive(Debug)]
pub struct Ears {
    queue: Arc<EarsQueue>,
}

impl Ears {
    pub(crate) fn new(queue: Arc<EarsQueue>) -> Self {
        Self { queue }
    }

    /// The next thing heard. Cancel safe. After [`Heard::Closed`] it returns the same again.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.queue.pop() {
                return heard;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// Frames and digits that were lost because nobody took them in time.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.queue.deaf.store(true, Ordering::Release);
    }
}

/// The queue itself, shared by [`Ears`] and the leg task.
///
/// A lock, and not a channel, because the full queue gives up its *oldest* frame. It is held for one push or pop and
/// never across an await.
#[derive(Debug, Default)]
pub(crate) struct EarsQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    deaf: AtomicBool,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    heard: VecDeque<Heard>,
    frames: usize,
    closed: Option<Closed>,
}

impl EarsQueue {
    pub(crate) fn push_frame(&self, frame: HeardFrame) {
        {
            let mut waiting = self.lock();
            if waiting.closed.is_some() {
                return;
            }
            if waiting.frames == FRAMES {
                let oldest = waiting.heard.iter().position(|heard| matches!(heard, Heard::Frame(_)));
                oldest.and_then(|oldest| waiting.heard.remove(oldest));
                waiting.frames -= 1;
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
            waiting.frames += 1;
            waiting.heard.push_back(Heard::Frame(frame));
        }
        self.arrived.notify_one();
    }

    pub(crate) fn push_event(&self, event: Heard) {
        {
            let mut waiting = self.lock();
            if waiting.closed.is_some() {
                return;
            }
            if waiting.heard.len() - waiting.frames >= EVENTS {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            waiting.heard.push_back(event);
        }
        self.arrived.notify_one();
    }

    /// Ends the queue: what waits is still heard, then `closed` for ever.
    pub(crate) fn close(&self, closed: Closed) {
        self.lock().closed.get_or_insert(closed);
        self.arrived.notify_one();
    }

    /// Nobody listens any more.
    pub(crate) fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Acquire)
    }

    /// Frames and digits lost because nobody took them in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn pop(&self) -> Option<Heard> {
        let mut waiting = self.lock();
        let heard = waiting.heard.pop_front();
        if matches!(heard, Some(Heard::Frame(_))) {
            waiting.frames -= 1;
        }
        heard.or_else(|| waiting.closed.clone().map(Heard::Closed))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
