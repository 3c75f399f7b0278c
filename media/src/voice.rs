//! Q4: what is said to a party, on its way from the call to the leg task. Holds 200 ms; full, it makes the voice wait.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep};

use crate::{FRAME_SAMPLES, Frame};

/// Frames that wait at most: 200 ms.
const FRAMES: usize = 10;
/// A pause in what is played after which the next frame begins a new burst.
const BURST_GAP: Duration = Duration::from_millis(200);

/// How much of what was [`Voice::play`]ed has left on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Played {
    /// 16 kHz samples of played audio (not the silence between) that left since the leg began.
    pub samples: u64,
    /// When the last of them left.
    pub last_sent: Option<Instant>,
    /// When the first packet of the current or last burst left. A burst begins after a flush, or after 200 ms in which
    /// nothing was played.
    pub first_sent_since_idle: Option<Instant>,
}

/// The speaking half of a leg.
#[derive(Debug)]
pub struct Voice {
    queue: Arc<VoiceQueue>,
}

impl Voice {
    pub(crate) fn new(queue: Arc<VoiceQueue>) -> Self {
        Self { queue }
    }

    /// Queues 20 ms; waits while 200 ms are queued already, and so for as long as the voice is paused or the call is on
    /// hold. Cancel safe: a frame is queued whole or not at all. On a leg that has ended it takes 20 ms and does
    /// nothing, so that whoever only plays is not whirled around.
    pub async fn play(&mut self, frame: Frame) {
        loop {
            {
                let mut playout = self.queue.lock();
                if playout.ended {
                    break;
                }
                if playout.frames.len() < FRAMES {
                    playout.frames.push_back(frame);
                    return;
                }
            }
            self.queue.moved.notified().await;
        }
        sleep(Duration::from_millis(crate::FRAME_MS.into())).await;
    }

    /// Queues 20 ms without waiting: when `most` are queued already, the oldest gives way. Says whether any were.
    pub(crate) fn push(&mut self, frame: Frame, most: usize) -> bool {
        let mut playout = self.queue.lock();
        if playout.ended {
            return false;
        }
        let crowded = !playout.frames.is_empty();
        while playout.frames.len() >= most {
            playout.frames.pop_front();
        }
        playout.frames.push_back(frame);
        crowded
    }

    /// Forgets what was queued first.
    pub(crate) fn give_up_oldest(&mut self) {
        self.queue.lock().frames.pop_front();
    }

    /// Holds back what is queued; the peer hears silence.
    pub fn pause(&mut self) {
        self.queue.lock().paused = true;
    }

    /// Goes on where [`Voice::pause`] stopped.
    pub fn resume(&mut self) {
        self.queue.lock().paused = false;
    }

    /// Barge-in: forgets what has not left and says exactly how much had. Also ends a pause.
    pub fn flush(&mut self) -> Played {
        let mut playout = self.queue.lock();
        playout.frames.clear();
        playout.paused = false;
        playout.burst_over = true;
        playout.played
    }

    /// How much has left until now.
    pub fn played(&self) -> Played {
        self.queue.lock().played
    }

    /// Milliseconds that are queued and have not left.
    pub fn queued_ms(&self) -> u32 {
        self.queue.lock().frames.len() as u32 * crate::FRAME_MS
    }

    /// Waits until everything queued has left, through pause and hold, or the leg has ended.
    pub async fn drained(&mut self) {
        loop {
            {
                let playout = self.queue.lock();
                if playout.ended || playout.frames.is_empty() {
                    return;
                }
            }
            self.queue.moved.notified().await;
        }
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        self.queue.mute.store(true, Ordering::Release);
    }
}

/// The queue itself, shared by [`Voice`] and the leg task.
///
/// A lock, and not a channel, because a flush must empty the queue and read what was played in one step. It is held for
/// one push, pop or flush and never across an await.
#[derive(Debug, Default)]
pub(crate) struct VoiceQueue {
    playout: Mutex<Playout>,
    moved: Notify,
    mute: AtomicBool,
}

#[derive(Debug, Default)]
struct Playout {
    frames: VecDeque<Frame>,
    paused: bool,
    ended: bool,
    burst_over: bool,
    played: Played,
}

impl VoiceQueue {
    /// The next frame to send now; from here on it counts as played.
    pub(crate) fn pop(&self, now: Instant) -> Option<Frame> {
        let frame = {
            let mut playout = self.lock();
            if playout.paused {
                return None;
            }
            let frame = playout.frames.pop_front()?;
            let idle = playout.played.last_sent.is_none_or(|last| now.saturating_duration_since(last) >= BURST_GAP);
            if idle || playout.burst_over {
                playout.burst_over = false;
                playout.played.first_sent_since_idle = Some(now);
            }
            playout.played.samples += FRAME_SAMPLES as u64;
            playout.played.last_sent = Some(now);
            frame
        };
        self.moved.notify_one();
        Some(frame)
    }

    /// Nothing leaves any more: whoever waits goes on.
    pub(crate) fn end(&self) {
        {
            let mut playout = self.lock();
            playout.ended = true;
            playout.frames.clear();
        }
        self.moved.notify_one();
    }

    /// Something of our own waits to be said.
    pub(crate) fn is_waiting(&self) -> bool {
        let playout = self.lock();
        !playout.paused && !playout.frames.is_empty()
    }

    /// Nobody speaks any more.
    pub(crate) fn is_mute(&self) -> bool {
        self.mute.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Playout> {
        self.playout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
