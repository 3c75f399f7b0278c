//! The calls that are up, by identifier, and the way to each: what somebody wants of a call is done by the call itself.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc, oneshot};

use super::RecordingNow;
use crate::{agent::Prompt, dialplan::RecordingStep, store::Key};

/// Orders that wait for one call; more are refused.
const ORDERS: usize = 4;

/// What is wanted of one agent and not done yet; more is refused.
const PROMPTS: usize = 4;

/// What came of an order: how it is now, or why not.
pub type Done = Result<RecordingNow, &'static str>;

/// What is wanted of a call's recording.
pub(super) struct Order {
    pub(super) step: RecordingStep,
    pub(super) answer: oneshot::Sender<Done>,
}

/// The calls that are up, and those that Milo places; as many as may be up at once. The lock is taken as a call is answered, as
/// it ends, and when somebody asks for it.
#[derive(Default)]
pub struct Live {
    calls: Mutex<HashMap<Key, Way>>,
}

/// The way to a call.
struct Way {
    /// None before the answer.
    orders: Option<mpsc::Sender<Order>>,
    /// None while no agent speaks in it.
    prompts: Option<mpsc::Sender<Prompt>>,
    hang_up: Arc<Notify>,
}

/// Why an order does not reach its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreached {
    /// No such call is up.
    NotUp,
    /// No agent speaks in it now.
    NoAgent,
    /// It has not done yet what was wanted of it before.
    Busy,
}

impl Live {
    /// A call is up, or Milo places it, until what is returned is dropped.
    pub(super) fn place(self: &Arc<Self>, key: Key) -> Entry {
        let hang_up = Arc::new(Notify::new());
        self.lock().insert(key, Way { orders: None, prompts: None, hang_up: Arc::clone(&hang_up) });
        Entry { key, live: self.clone(), hang_up }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Wants a call to end.
    ///
    /// # Errors
    /// [`Unreached::NotUp`].
    pub fn hang_up(&self, key: Key) -> Result<(), Unreached> {
        self.lock().get(&key).map(|way| way.hang_up.notify_one()).ok_or(Unreached::NotUp)
    }

    /// An agent begins to speak in a call that is up: what is wanted of it comes by what is returned, as long as that is kept.
    pub(super) fn supervised(&self, key: Key) -> mpsc::Receiver<Prompt> {
        let (prompts, received) = mpsc::channel(PROMPTS);
        if let Some(way) = self.lock().get_mut(&key) {
            way.prompts = Some(prompts);
        }
        received
    }

    /// Wants something of the agent that speaks in a call.
    ///
    /// # Errors
    /// [`Unreached`] when there is none to do it, or it has too much to do already.
    pub fn prompt(&self, key: Key, prompt: Prompt) -> Result<(), Unreached> {
        let calls = self.lock();
        let way = calls.get(&key).ok_or(Unreached::NotUp)?;
        way.prompts.as_ref().ok_or(Unreached::NoAgent)?.try_send(prompt).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unreached::Busy,
            mpsc::error::TrySendError::Closed(_) => Unreached::NoAgent,
        })
    }

    /// Wants something of a call's recording.
    ///
    /// # Errors
    /// [`Unreached`] when the call is not there to do it.
    pub fn recording(&self, key: Key, step: RecordingStep) -> Result<oneshot::Receiver<Done>, Unreached> {
        let (answer, done) = oneshot::channel();
        let calls = self.lock();
        let orders = calls.get(&key).and_then(|way| way.orders.as_ref()).ok_or(Unreached::NotUp)?;
        orders.try_send(Order { step, answer }).map(|()| done).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unreached::Busy,
            mpsc::error::TrySendError::Closed(_) => Unreached::NotUp,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Way>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("calls", &self.count()).finish()
    }
}

/// A call that is up, or being placed.
pub(super) struct Entry {
    key: Key,
    live: Arc<Live>,
    hang_up: Arc<Notify>,
}

impl Entry {
    /// The call is up: what is wanted of its recording comes here.
    pub(super) fn answered(&self) -> mpsc::Receiver<Order> {
        let (orders, received) = mpsc::channel(ORDERS);
        if let Some(way) = self.live.lock().get_mut(&self.key) {
            way.orders = Some(orders);
        }
        received
    }

    /// Resolves when somebody wants the call to end. Cancel safe.
    pub(super) async fn hung_up(&self) {
        self.hang_up.notified().await;
    }
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
        let entry = live.place(key);
        let mut orders = entry.answered();
        for _ in 0..ORDERS {
            assert_eq!(wanted(), Ok(()));
        }
        assert_eq!(wanted(), Err(Unreached::Busy));
        assert_eq!(orders.try_recv().unwrap().step, RecordingStep::Pause);
        assert_eq!(wanted(), Ok(()));
        drop(entry);
        assert_eq!((wanted(), live.hang_up(key)), (Err(Unreached::NotUp), Err(Unreached::NotUp)));
        assert!(live.lock().is_empty(), "nothing is left of it");
    }

    #[test]
    fn an_agent_is_reached_while_it_speaks() {
        let live = Arc::new(Live::default());
        let key = Key::new();
        let say = || live.prompt(key, Prompt::Say("Salama".into()));
        assert_eq!(say(), Err(Unreached::NotUp));
        let _entry = live.place(key);
        assert_eq!(say(), Err(Unreached::NoAgent));
        let mut prompts = live.supervised(key);
        for _ in 0..PROMPTS {
            assert_eq!(say(), Ok(()));
        }
        assert_eq!(say(), Err(Unreached::Busy));
        assert_eq!(prompts.try_recv().unwrap(), Prompt::Say("Salama".into()));
        drop(prompts);
        assert_eq!(say(), Err(Unreached::NoAgent), "the conversation is over");
    }

    #[tokio::test]
    async fn a_call_that_is_placed_can_be_ended_and_not_recorded() {
        let live = Arc::new(Live::default());
        let key = Key::new();
        let entry = live.place(key);
        assert_eq!(live.recording(key, RecordingStep::Start).map(drop), Err(Unreached::NotUp));
        assert_eq!(live.hang_up(key), Ok(()));
        // Also for whoever begins to listen later.
        entry.hung_up().await;
        let _orders = entry.answered();
        assert_eq!(live.recording(key, RecordingStep::Start).map(drop), Ok(()));
    }
}
