//! The places at a server that calls leave to others, and the line of those who wait for one: first what is begun for calls on a
//! guess and will not be theirs, then whoever waits for an answer, then batches. (An engine of this process has such a line in front of its thread: [`milo_models::queue`].)

use std::{
    collections::VecDeque,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use milo_models::{
    engine::EngineError,
    queue::{Class, Waiting},
};
use tokio::sync::oneshot;

/// Of each class so many may wait; one more is refused at once.
const DEPTH: usize = 256;

/// The line at one server. Calls are not in it: they find a place of the server's, or are refused.
pub(super) struct Line {
    engine: &'static str,
    /// Held to come and to go, never over a wait.
    held: Mutex<Held>,
}

struct Held {
    free: usize,
    waiting: [VecDeque<oneshot::Sender<Place>>; Class::ALL.len()],
}

/// A place; it goes to the next one when it is dropped, whether it was used or not.
pub(super) struct Place(Option<Arc<Line>>);

impl Line {
    /// Of so many requests that the server takes at once, three quarters.
    pub(super) fn of(engine: &'static str, parallel: usize) -> Arc<Self> {
        let held = Held { free: (parallel * 3 / 4).max(1), waiting: Default::default() };
        Arc::new(Self { engine, held: Mutex::new(held) })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place when its turn comes; a call needs none. Whoever drops the future has left the line.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when too many of its class wait.
    pub(super) fn join(
        self: &Arc<Self>,
        class: Class,
    ) -> Result<impl Future<Output = Option<Place>> + Send + use<>, EngineError> {
        let mut held = self.held();
        let (mut place, mut turn) = (None, None);
        if class != Class::Call {
            if held.free > 0 {
                held.free -= 1;
                place = Some(Place(Some(Arc::clone(self))));
            } else {
                let waiting = &mut held.waiting[class as usize];
                waiting.retain(|one| !one.is_closed());
                if waiting.len() >= DEPTH {
                    return Err(EngineError::Overloaded { engine: self.engine, waiting: DEPTH });
                }
                let (call, called) = oneshot::channel();
                waiting.push_back(call);
                turn = Some(called);
            }
        }
        Ok(async move {
            match turn {
                Some(called) => called.await.ok(),
                None => place,
            }
        })
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> Waiting {
        self.held().waiting.each_ref().map(|waiting| waiting.iter().filter(|one| !one.is_closed()).count())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(line) = self.0.take() else { return };
        loop {
            let next = {
                let mut held = line.held();
                let Some(next) = held.waiting.iter_mut().find_map(VecDeque::pop_front) else {
                    held.free += 1;
                    return;
                };
                next
            };
            match next.send(Place(Some(Arc::clone(&line)))) {
                Ok(()) => return,
                // It has left; what comes back is not given back once more.
                Err(mut place) => drop(place.0.take()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_waits_for_an_answer_goes_before_batches_and_who_leaves_gives_the_place_on() {
        let line = Line::of("server", 2);
        let first = line.join(Class::Batch).unwrap().await.expect("one of three quarters of two");
        assert!(line.join(Class::Call).unwrap().now_or_never().expect("a call does not wait").is_none());
        let mut batch = Box::pin(line.join(Class::Batch).unwrap());
        let gone = Box::pin(line.join(Class::Interactive).unwrap());
        let mut one = Box::pin(line.join(Class::Interactive).unwrap());
        assert_eq!(line.waiting(), [0, 0, 2, 1]);
        drop(gone);
        assert_eq!(line.waiting(), [0, 0, 1, 1]);
        assert!((&mut one).now_or_never().is_none());
        drop(first);
        let one = one.now_or_never().expect("its turn").expect("a place");
        assert!((&mut batch).now_or_never().is_none());
        drop(one);
        // Its turn has come, and it leaves before it knows.
        drop(batch);
        let last = line.join(Class::Batch).unwrap().now_or_never().expect("nobody has it");
        let waiting: Vec<_> = (0..DEPTH).map(|_| line.join(Class::Batch).unwrap()).collect();
        assert!(matches!(line.join(Class::Batch), Err(EngineError::Overloaded { .. })));
        assert!(line.join(Class::Interactive).is_ok(), "a full class keeps no other out");
        drop((last, waiting));
        assert!(line.join(Class::Interactive).unwrap().now_or_never().flatten().is_some());
    }
}
