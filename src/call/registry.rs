//! The calls that are up, by identifier, and the way to each: what somebody wants of a call is done by the call itself.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{HUNG_UP, Listener, RecordingNow, SHUT_DOWN, Supervisor, listening::Audible};
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
    /// None before the answer.
    audible: Option<Audible>,
    /// None while no agent speaks in it.
    prompts: Option<mpsc::Sender<Prompt>>,
    /// For whoever takes the call over from it. None also where the caller could not hear them.
    takers: Option<mpsc::Sender<Supervisor>>,
    /// Why it is to end, once somebody wants that.
    hang_up: watch::Sender<Option<&'static str>>,
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
    /// As many listen to it as may.
    Crowded,
    /// Its caller takes each reply whole, and hears nobody speak.
    Unheard,
}

impl Live {
    /// A call is up, or Milo places it, until what is returned is dropped.
    pub(super) fn place(self: &Arc<Self>, key: Key) -> Entry {
        let (hang_up, why) = watch::channel(None);
        self.lock().insert(key, Way { orders: None, audible: None, prompts: None, takers: None, hang_up });
        Entry { key, live: self.clone(), why }
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
        let calls = self.lock();
        let way = calls.get(&key).ok_or(Unreached::NotUp)?;
        way.hang_up.send_replace(Some(HUNG_UP));
        Ok(())
    }

    /// Milo ends, and every call with it, after a goodbye.
    pub fn hang_up_all(&self) {
        for way in self.lock().values() {
            way.hang_up.send_replace(Some(SHUT_DOWN));
        }
    }

    /// An agent begins to speak in a call that is up: what is wanted of it comes by what is returned, and whoever takes the call over
    /// from it, until the last of it is dropped. `is_heard`: the caller would hear them.
    pub(super) fn supervised(
        self: &Arc<Self>,
        key: Key,
        is_heard: bool,
    ) -> (mpsc::Receiver<Prompt>, mpsc::Receiver<Supervisor>, Speaking) {
        let ((prompts, prompted), (takers, taken)) = (mpsc::channel(PROMPTS), mpsc::channel(1));
        if let Some(way) = self.lock().get_mut(&key) {
            way.prompts = Some(prompts);
            way.takers = is_heard.then_some(takers);
        }
        (prompted, taken, Speaking { key, live: Arc::clone(self) })
    }

    /// A place for whoever takes a call over from the agent that speaks in it.
    ///
    /// # Errors
    /// [`Unreached`] when no agent speaks in it, somebody else is about to take it, or they would not be heard.
    pub fn taker(&self, key: Key) -> Result<mpsc::OwnedPermit<Supervisor>, Unreached> {
        let calls = self.lock();
        let way = calls.get(&key).ok_or(Unreached::NotUp)?;
        if way.prompts.as_ref().is_none_or(mpsc::Sender::is_closed) {
            return Err(Unreached::NoAgent);
        }
        let takers = way.takers.clone().ok_or(Unreached::Unheard)?;
        takers.try_reserve_owned().map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unreached::Busy,
            mpsc::error::TrySendError::Closed(_) => Unreached::NoAgent,
        })
    }

    /// Somebody who is called so listens to a call.
    ///
    /// # Errors
    /// [`Unreached`] when it is not up, or as many listen as may.
    pub fn overhear(&self, key: Key, by: &str) -> Result<Listener, Unreached> {
        let calls = self.lock();
        calls.get(&key).and_then(|way| way.audible.as_ref()).ok_or(Unreached::NotUp)?.listen(by)
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

/// An agent speaks in a call. Dropped, it does no longer: whoever was just about to take the call over learns it at once, as nothing holds
/// the way to the agent any more.
pub(super) struct Speaking {
    key: Key,
    live: Arc<Live>,
}

impl Drop for Speaking {
    fn drop(&mut self) {
        if let Some(way) = self.live.lock().get_mut(&self.key) {
            (way.prompts, way.takers) = (None, None);
        }
    }
}

/// A call that is up, or being placed.
pub(super) struct Entry {
    key: Key,
    live: Arc<Live>,
    why: watch::Receiver<Option<&'static str>>,
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

    /// The call is up: it can be listened to.
    pub(super) fn audible(&self, audible: Audible) {
        if let Some(way) = self.live.lock().get_mut(&self.key) {
            way.audible = Some(audible);
        }
    }

    /// Resolves when somebody wants the call to end, with the reason. Cancel safe.
    pub(super) async fn hung_up(&self) -> &'static str {
        // Its sender is there as long as this is.
        let why = self.why.clone().wait_for(Option::is_some).await.ok().and_then(|why| *why);
        why.unwrap_or(SHUT_DOWN)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.live.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milo_media::LegOptions;
    use tokio::{runtime::Handle, sync::oneshot::error::TryRecvError, time::timeout};

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
        let (mut prompts, _takers, _speaking) = live.supervised(key, true);
        for _ in 0..PROMPTS {
            assert_eq!(say(), Ok(()));
        }
        assert_eq!(say(), Err(Unreached::Busy));
        assert_eq!(prompts.try_recv().unwrap(), Prompt::Say("Salama".into()));
        drop(prompts);
        assert_eq!(say(), Err(Unreached::NoAgent), "the conversation is over");
    }

    #[test]
    fn one_takes_a_call_over_while_an_agent_speaks_and_the_caller_hears_it() {
        let live = Arc::new(Live::default());
        let key = Key::new();
        let wanted = || live.taker(key).map(drop);
        assert_eq!(wanted(), Err(Unreached::NotUp));
        let _entry = live.place(key);
        assert_eq!(wanted(), Err(Unreached::NoAgent));
        let patient = live.supervised(key, false);
        assert_eq!(wanted(), Err(Unreached::Unheard));
        drop(patient);
        assert_eq!(wanted(), Err(Unreached::NoAgent), "the conversation is over");
        let agent = live.supervised(key, true);
        let first = live.taker(key).expect("a place");
        assert_eq!(wanted(), Err(Unreached::Busy), "somebody is about to");
        drop(first);
        assert_eq!(wanted(), Ok(()), "they did not");
        drop(agent);
        assert_eq!(wanted(), Err(Unreached::NoAgent));
    }

    #[tokio::test]
    async fn whoever_was_about_to_take_over_from_an_agent_that_has_just_ended_learns_it_at_once() {
        let live = Arc::new(Live::default());
        let key = Key::new();
        let _entry = live.place(key);
        let (prompts, takers, speaking) = live.supervised(key, true);
        let place = live.taker(key).expect("an agent speaks");
        drop((prompts, takers));
        let (supervisor, mut headset) = Supervisor::new("Rina", LegOptions::default(), &Handle::current());
        place.send(supervisor);
        assert!(
            headset.taken.try_recv().is_err_and(|error| error == TryRecvError::Empty),
            "nobody has let go of it yet"
        );
        drop(speaking);
        let learns = timeout(Duration::from_secs(1), &mut headset.taken).await.expect("at once");
        assert!(learns.is_err(), "nobody has the call to give");
        assert_eq!(live.taker(key).map(drop), Err(Unreached::NoAgent));
    }

    #[tokio::test]
    async fn a_call_that_is_placed_can_be_ended_and_not_recorded() {
        let live = Arc::new(Live::default());
        let key = Key::new();
        let entry = live.place(key);
        assert_eq!(live.recording(key, RecordingStep::Start).map(drop), Err(Unreached::NotUp));
        assert_eq!(live.hang_up(key), Ok(()));
        // Also for whoever begins to listen later.
        assert_eq!(entry.hung_up().await, HUNG_UP);
        let (other, last) = (live.place(Key::new()), live.place(Key::new()));
        live.hang_up_all();
        assert_eq!((other.hung_up().await, last.hung_up().await), (SHUT_DOWN, SHUT_DOWN));
        let _orders = entry.answered();
        assert_eq!(live.recording(key, RecordingStep::Start).map(drop), Ok(()));
    }
}
