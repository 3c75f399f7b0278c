//! Somebody listens to a call that is up: both sides of its caller's line, as they are heard, whoever speaks there, and the words of it.
//!
//! ```text
//!  the caller's leg ─► a second of it, the oldest is given up ─► Listener::next: 20 ms of both, or how much was missed
//! ```
//! The call's events tell who: `listening`, and `listened` where they leave before the call is over.

use std::{sync::Arc, time::Duration};

use milo_media::{Control, Ears, FRAME_MS, Heard, HeardFrame};
use serde_json::json;
use tokio::{
    select,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{Unreached, notes::Notes};
use crate::agent::{Followed, Following, Happened};

/// As many people may listen to one call at once.
const LISTENERS: usize = 4;

/// A call that can be listened to.
pub(super) struct Audible {
    control: Control,
    notes: Notes,
    followed: Followed,
    seats: Arc<Semaphore>,
}

impl Audible {
    /// The call whose caller has this leg; there it is written down who listens.
    pub(super) fn new(control: &Control, notes: Notes, followed: Followed) -> Self {
        Self { control: control.clone(), notes, followed, seats: Arc::new(Semaphore::new(LISTENERS)) }
    }

    /// Somebody who is called so listens.
    ///
    /// # Errors
    /// [`Unreached::Crowded`].
    pub(super) fn listen(&self, by: &str) -> Result<Listener, Unreached> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| Unreached::Crowded)?;
        self.notes.event("listening", json!({ "by": by }));
        Ok(Listener {
            ears: self.control.overhear(),
            words: self.followed.follow(),
            notes: self.notes.clone(),
            by: by.to_owned(),
            since: Instant::now(),
            missed: 0,
            is_over: false,
            _seat: seat,
        })
    }
}

/// Somebody who listens to a call. Dropped, they have left.
#[derive(Debug)]
pub struct Listener {
    ears: Ears,
    words: Following,
    notes: Notes,
    by: String,
    since: Instant,
    missed: u64,
    is_over: bool,
    _seat: OwnedSemaphorePermit,
}

/// What is heard of a call.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are frames; a box would cost an allocation each 20 ms")]
pub enum Overheard {
    /// 20 ms of both sides.
    Frame(HeardFrame),
    /// Something was understood, or said.
    Words(Happened),
    /// So much was lost, because it was not taken in time.
    Missed(Duration),
    /// The call is over; nothing else comes.
    Over,
}

impl Listener {
    /// What is heard next. Cancel safe.
    pub async fn next(&mut self) -> Overheard {
        loop {
            let missed = self.ears.dropped();
            if missed > self.missed {
                let frames = missed - self.missed;
                self.missed = missed;
                return Overheard::Missed(Duration::from_millis(frames * u64::from(FRAME_MS)));
            }
            let heard = select! {
                heard = self.ears.next() => heard,
                Some(happened) = self.words.next() => return Overheard::Words(happened),
            };
            match heard {
                Heard::Frame(heard) => return Overheard::Frame(heard),
                Heard::Closed(_) => {
                    self.is_over = true;
                    return Overheard::Over;
                }
                // Those who listen besides are told of nothing else.
                Heard::Digit(_) | Heard::Held | Heard::Resumed => {}
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // That a call is over is an end of its own.
        if !self.is_over {
            let after_ms = self.since.elapsed().as_millis() as u64;
            let missed_ms = self.missed * u64::from(FRAME_MS);
            self.notes.event("listened", json!({ "by": self.by, "after_ms": after_ms, "missed_ms": missed_ms }));
        }
    }
}
