//! Recordings: both sides of a call in one stereo file, the party left, we right, written as the call goes.
//!
//! ```text
//!   leg task ── Tape: 200 ms at a time ──► bounded queue ──► one thread: Ogg Opus or WAV ──► file
//!    each 20 ms: what was heard beside            full: silence of the same
//!    what was sent in the same tick               length takes its place later
//! ```
//! Neither the leg nor the call ever waits for a disk. What is in the file stays playable when the process is killed: Ogg
//! pages end every half second, and the header of a WAV file is brought up to date as often. A write that fails ends the
//! recording, cut back to its last whole page; the call goes on.

mod read;
mod tape;
mod wav;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::watch;

pub use read::{Sides, read};
pub(crate) use tape::Tape;

use crate::{FRAME_MS, MediaError};

/// Pieces of 200 ms that wait for the disk at most: 13 MB, two seconds of 50 calls.
const QUEUE: usize = 512;

/// How a recording is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Ogg Opus (RFC 7845), stereo, some 32 kbit/s while both talk.
    #[default]
    Ogg,
    /// WAV, 16 kHz stereo PCM16: 3.8 MB a minute.
    Wav,
}

impl Format {
    /// The ending of its files' names.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Ogg => "ogg",
            Self::Wav => "wav",
        }
    }
}

/// How a recording ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Milliseconds in the file.
    pub ms: u64,
    /// Milliseconds of it that are silence because the disk was too slow for what was said.
    pub gap_ms: u64,
    /// Why it ended before the call did; none when all of it was written.
    pub fault: Option<String>,
}

/// What is told once, on the writer's thread, when a recording has ended.
pub type Ended = Box<dyn FnOnce(&Outcome) + Send>;

/// The way to the one thread that writes recordings. Cheap to clone; the thread ends when nobody can reach it any more.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: SyncSender<Order>,
    /// How many are being written.
    open: watch::Sender<usize>,
}

impl Recorder {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`MediaError::Recorder`] when the system has no thread left.
    pub fn start() -> Result<(Self, JoinHandle<()>), MediaError> {
        let (queue, orders) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || writer::run(&orders));
        let thread = thread.map_err(|error| MediaError::Recorder { reason: error.to_string() })?;
        Ok((Self { queue, open: watch::Sender::new(0) }, thread))
    }

    /// Waits until no recording is being written.
    pub async fn idle(&self) {
        // The sender is here, so the wait ends with none only.
        self.open.subscribe().wait_for(|open| *open == 0).await.ok();
    }

    /// Begins a recording; folders are made as needed, and a file of this name is not overwritten. What is returned keeps the
    /// recording in hand, its [`Recording::tap`] goes to [`crate::Control::record`]. Whether the file could be made is told
    /// to `ended`, as every end is.
    ///
    /// # Errors
    /// [`MediaError::Recorder`] when the thread is too far behind to begin another, or has ended.
    pub fn begin(&self, path: PathBuf, format: Format, ended: Ended) -> Result<Recording, MediaError> {
        let shared = Arc::new(Shared::default());
        let (outcome, watched) = watch::channel(None);
        let begin = Begin { shared: shared.clone(), path, format, outcome, ended, counted: Counted::new(&self.open) };
        let order = Order::Begin(begin);
        self.queue.try_send(order).map_err(|_| MediaError::Recorder {
            reason: "the disk is too slow for the recordings that run, so no other one was begun".into(),
        })?;
        Ok(Recording { tap: Tap { shared, queue: self.queue.clone() }, outcome: watched })
    }
}

/// A recording as the call holds it. Dropping it ends the recording.
#[derive(Debug)]
pub struct Recording {
    tap: Tap,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Recording {
    /// What the leg needs, for [`crate::Control::record`].
    pub fn tap(&self) -> Tap {
        self.tap.clone()
    }

    /// From the next 20 ms on both sides are silence; the timeline goes on. For card numbers.
    pub fn pause(&self) {
        self.tap.shared.go(Phase::Running, Phase::Paused);
    }

    /// From the next 20 ms on both sides are written again.
    pub fn resume(&self) {
        self.tap.shared.go(Phase::Paused, Phase::Running);
    }

    /// Ends it with the next 20 ms.
    pub fn stop(&self) {
        self.tap.shared.stop();
    }

    /// Ends it and waits until the file is whole; nothing when the thread was killed.
    pub async fn finish(mut self) -> Option<Outcome> {
        self.stop();
        self.outcome.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Waits until it has ended, whoever ends it, and keeps nothing of it meanwhile; nothing when the thread was killed.
    pub fn ended(&self) -> impl Future<Output = Option<Outcome>> + Send + use<> {
        let mut outcome = self.outcome.clone();
        async move { outcome.wait_for(Option::is_some).await.ok()?.clone() }
    }

    /// Where in the file stands what was heard or sent at this moment; nothing before its first 20 ms. Exact for what
    /// has just happened: what the leg's clock did since then is taken to have been so before.
    pub fn position(&self, at: Instant) -> Option<Duration> {
        self.tap.shared.position(at)
    }

    /// How it ended, if it has.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.borrow().clone()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A recording as the leg knows it.
#[derive(Clone, Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    queue: SyncSender<Order>,
}

/// What call, leg and writer know of one recording.
#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    /// Frames that the full queue did not take.
    missed: AtomicU64,
    /// When its first 20 ms began.
    began: OnceLock<Instant>,
    /// By how many microseconds the newest tick came later than those before it make it: a leg's clock moves a little.
    lag: AtomicI64,
}

/// Where a recording is. The numbers only go up, but for a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    /// Both sides are written.
    Running = 0,
    /// Silence is written.
    Paused = 1,
    /// The call is done with it: the leg hands over what it still has.
    Stopped = 2,
    /// Nothing comes from the leg any more.
    Closed = 3,
}

impl Shared {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Running,
            1 => Phase::Paused,
            2 => Phase::Stopped,
            _ => Phase::Closed,
        }
    }

    fn go(&self, from: Phase, to: Phase) {
        self.phase.compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire).ok();
    }

    /// A tick began, with so many before it in the file.
    fn ticked(&self, before: u64, now: Instant) {
        let began = self.began.get_or_init(|| now);
        let passed = now.saturating_duration_since(*began).as_micros() as i64;
        self.lag.store(passed - (before * u64::from(FRAME_MS) * 1000) as i64, Ordering::Relaxed);
    }

    fn position(&self, at: Instant) -> Option<Duration> {
        let passed = at.checked_duration_since(*self.began.get()?)?.as_micros() as i64;
        u64::try_from(passed - self.lag.load(Ordering::Relaxed)).ok().map(Duration::from_micros)
    }

    fn stop(&self) {
        self.phase.fetch_max(Phase::Stopped as u8, Ordering::AcqRel);
    }

    fn close(&self) {
        self.phase.store(Phase::Closed as u8, Ordering::Release);
    }

    /// What names it among others.
    fn name(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn gap_ms(&self) -> u64 {
        self.missed.load(Ordering::Relaxed) * u64::from(FRAME_MS)
    }
}

/// What the thread is told.
enum Order {
    Begin(Begin),
    Write(Arc<Shared>, Piece),
    Close(Arc<Shared>),
}

/// A recording to begin.
struct Begin {
    shared: Arc<Shared>,
    path: PathBuf,
    format: Format,
    outcome: watch::Sender<Option<Outcome>>,
    ended: Ended,
    counted: Counted,
}

/// One of those that are being written, for as long as it lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// Some 200 ms of both sides.
struct Piece {
    /// Frames of silence before it, in place of what did not come through.
    gap: u32,
    /// Left, right, left, …
    samples: Vec<i16>,
}

#[cfg(test)]
mod tests;
