//! The calls that are up, by identifier, and the way to each: what somebody wants of a call is done by the call itself.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use super::RecordingNow;
use crate::{dialplan::RecordingStep, store::Key};

/// Orders that wait for one call; more are refused.
const ORDERS: usize = 4;

/// What came of an order: how it is now, or why not.
pub type Done = Result<RecordingNow, &'static str>;

/// What is wanted of a call's recording.
pub(super) struct Order {
    pub(super) step: RecordingStep,
    pub(super) answer: oneshot::Sender<Done>,
}

/// The calls that are up; as many as may be up at once. The lock is taken as a call is answered, as it ends, and when somebody
/// asks for it.
#[derive(Default)]
pub struct Live {
    calls: Mutex<HashMap<Key, mpsc::Sender<Order>>>,
}

/// Why an order does not reach its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No such call is up.
    NotUp,
    /// It has not done yet what was wanted of it before.
    Busy,
}

impl Live {
    /// A call is up, until what is returned is dropped.
    pub(super) fn enter(self: &Arc<Self>, key: Key) -> (Entry, mpsc::Receiver<Order>) {
        let (orders, received) = mpsc::channel(ORDERS);
        self.lock().insert(key, orders);
        (Entry { key, live: self.clone() }, received)
    }

    /// Wants something of a call's recording.
    ///
    /// # Errors
    /// [`Unreached`] when the call is not there to do it.
    pub fn recording(&self, key: Key, step: RecordingStep) -> Result<oneshot::Receiver<Done>, Unreached> {
        let (answer, done) = oneshot::channel();
        let calls = self.lock();
        let orders = calls.get(&key).ok_or(Unreached::NotUp)?;
        orders.try_send(Order { step, answer }).map(|()| done).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unreached::Busy,
            mpsc::error::TrySendError::Closed(_) => Unreached::NotUp,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, mpsc::Sender<Order>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("calls", &self.lock().len()).finish()
    }
}

/// A call that is up.
pub(super) struct Entry {
    key: Key,
    live: Arc<Live>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.live.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_reached_while_it_is_up_and_not_buried_in_orders() {
        let live = Arc::new(Live::default());
        let key = Key::new();
        let wanted = || live.recording(key, RecordingStep::Pause).map(drop);
        assert_eq!(wanted(), Err(Unreached::NotUp));
        let (entry, mut orders) = live.enter(key);
        for _ in 0..ORDERS {
            assert_eq!(wanted(), Ok(()));
        }
        assert_eq!(wanted(), Err(Unreached::Busy));
        assert_eq!(orders.try_recv().unwrap().step, RecordingStep::Pause);
        assert_eq!(wanted(), Ok(()));
        drop(entry);
        assert_eq!(wanted(), Err(Unreached::NotUp));
        assert!(live.lock().is_empty(), "nothing is left of it");
    }
}
