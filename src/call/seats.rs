//! Where the seats of all calls are found by their dialogs, so that two calls of one telephone can be put together.
//!
//! ```text
//!  telephone ══ call 1 ── X                     call 1 ── X
//!            ══ call 2 ── Y     ─── REFER ──►      ║                  both legs of the telephone, back to back
//!                                               call 2 ── Y
//! ```

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use milo_media::Control;
use milo_signaling::CallKey;
use tokio::sync::{mpsc, oneshot};

use crate::store::Key;

/// The seats of the calls that are up. The lock is taken when somebody sits down or leaves, and when two calls are to be put
/// together; nothing waits under it.
#[derive(Default)]
pub struct Seats {
    ways: Mutex<HashMap<CallKey, mpsc::Sender<Wish>>>,
}

/// Somebody at another seat of the same telephone is to speak with whoever is in this call.
pub(super) struct Wish {
    /// The leg of the other seat.
    pub(super) leg: Control,
    pub(super) link: Link,
    /// The other call.
    pub(super) call: Key,
    /// Which call this is, once the two legs are back to back. Dropped: they are not.
    pub(super) done: oneshot::Sender<Key>,
}

/// The end of one call that is put together with another: either ends with the other.
pub(super) struct Link {
    _here: oneshot::Sender<Infallible>,
    there: oneshot::Receiver<Infallible>,
}

impl Link {
    pub(super) fn pair() -> (Self, Self) {
        let ((one, at_two), (two, at_one)) = (oneshot::channel(), oneshot::channel());
        (Self { _here: one, there: at_one }, Self { _here: two, there: at_two })
    }

    /// Resolves when the other call is over. Cancel safe.
    pub(super) async fn ended(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.there).await;
    }
}

/// A seat's place in the registry. Dropped, it is found no more.
pub(super) struct Desk {
    seats: Arc<Seats>,
    key: CallKey,
    way: mpsc::Sender<Wish>,
    wishes: mpsc::Receiver<Wish>,
}

impl Seats {
    fn lock(&self) -> MutexGuard<'_, HashMap<CallKey, mpsc::Sender<Wish>>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody sits down whom this dialog is with.
    pub(super) fn sit(self: &Arc<Self>, key: CallKey) -> Desk {
        let (way, wishes) = mpsc::channel(1);
        self.lock().insert(key, way.clone());
        Desk { seats: Arc::clone(self), key, way, wishes }
    }

    /// Wishes something of the seat of this dialog. False: nobody is there, or it is busy with another wish.
    pub(super) fn wish(&self, key: CallKey, wish: Wish) -> bool {
        self.lock().get(&key).is_some_and(|way| way.try_send(wish).is_ok())
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats").field("taken", &self.lock().len()).finish()
    }
}

impl Desk {
    /// Somebody else sits there now.
    pub(super) fn change(&mut self, key: CallKey) {
        let mut ways = self.seats.lock();
        ways.remove(&self.key);
        ways.insert(key, self.way.clone());
        drop(ways);
        self.key = key;
    }

    /// The next wish. Cancel safe.
    pub(super) async fn next(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            // We hold a sender ourselves.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.key);
    }
}
