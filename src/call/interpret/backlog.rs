//! How far an interpreter may fall behind whom it interprets.

use std::sync::Arc;

use milo_media::SAMPLE_RATE;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Seconds of speech that may wait to be told to the other, or be told just now.
pub(super) const SECONDS: u32 = 20;

/// What one party has said and the other has not heard yet. Whatever has no place in it is not interpreted: what was said first is told
/// first, and whoever speaks learns at once that they were too fast, while they still know what they have said.
#[derive(Debug)]
pub(super) struct Backlog(Arc<Semaphore>);

/// The place of one turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _seconds: OwnedSemaphorePermit,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SECONDS as usize)))
    }

    /// A place for a turn of so many samples; none where too much waits. Where nothing does, there is one for any turn.
    pub(super) fn place(&self, samples: usize) -> Option<Place> {
        let seconds = u32::try_from(samples.div_ceil(SAMPLE_RATE as usize)).unwrap_or(SECONDS).clamp(1, SECONDS);
        let taken = Arc::clone(&self.0).try_acquire_many_owned(seconds).ok()?;
        Some(Place { _seconds: taken })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = SAMPLE_RATE as usize;

    #[test]
    fn who_speaks_without_pause_is_followed_for_so_long_and_then_not_until_something_is_told() {
        let backlog = Backlog::new();
        let first = backlog.place(10 * SECOND).expect("nothing waits");
        let _second = backlog.place(9 * SECOND).expect("there is room");
        assert!(backlog.place(2 * SECOND).is_none(), "that would be more than may wait");
        let _short = backlog.place(SECOND / 2).expect("what is short still has a place");
        assert!(backlog.place(1).is_none(), "and then nothing");
        drop(first);
        assert!(backlog.place(11 * SECOND).is_none(), "only what was told makes room");
        assert!(backlog.place(10 * SECOND).is_some());
    }

    #[test]
    fn a_turn_that_is_longer_than_all_that_may_wait_has_a_place_alone() {
        let backlog = Backlog::new();
        let alone = backlog.place(60 * SECOND).expect("nothing waits");
        assert!(backlog.place(1).is_none());
        drop(alone);
        let many: Vec<_> = (0..SECONDS).map(|_| backlog.place(0)).collect();
        assert!(many.iter().all(Option::is_some), "each takes a second at least");
        assert!(backlog.place(0).is_none());
    }
}
