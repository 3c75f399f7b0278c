//! The other side of a call that comes by another way than SIP, a WebSocket or WebRTC: it holds the far end of the cord of a
//! [`Dialog`], in place of the endpoint's task. Whoever owns the dialog does not see the difference.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    select,
    sync::{mpsc, watch},
};

use crate::{
    Dialog, SignalingError,
    handle::{CallHandle, CallState, Command, Farewell},
    sip::{
        core::{CallKey, EndReason},
        keys::KeyPress,
    },
};

/// Wishes that wait; whoever has one waits for it to be granted.
const WISHES: usize = 4;
/// What only a telephone does: 501, not implemented.
const NOT_HERE: u16 = 501;
/// The calls of the endpoint are numbered from one on, these from here on.
const FIRST: u64 = 1 << 63;

/// What the owner of the call wants of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarWish {
    /// It is told that a key was pressed.
    Key(KeyPress),
    /// The call is over.
    HungUp,
}

/// The other side of such a call. Dropped, it has hung up.
#[derive(Debug)]
pub struct FarEnd {
    state: watch::Sender<CallState>,
    commands: mpsc::Receiver<Command>,
    farewell: mpsc::Receiver<Farewell>,
}

impl FarEnd {
    /// A call that is up, as both sides hold it.
    pub fn new() -> (Self, Dialog) {
        static NEXT: AtomicU64 = AtomicU64::new(FIRST);
        let key = CallKey(NEXT.fetch_add(1, Ordering::Relaxed));
        let (commands, asked) = mpsc::channel(WISHES);
        let (farewells, farewell) = mpsc::channel(1);
        let (state, seen) = watch::channel(CallState::default());
        let handle = CallHandle {
            key,
            commands,
            state: seen,
            farewell: farewells.try_reserve_owned().ok(),
            is_answered_elsewhere: false,
        };
        (Self { state, commands: asked, farewell }, Dialog::new(handle, String::new(), 0))
    }

    /// What is wanted next; [`FarWish::HungUp`] for ever once the call is over. What only a telephone does (a hold, a transfer) is
    /// refused with 501. Cancel safe.
    pub async fn next(&mut self) -> FarWish {
        loop {
            let command = select! {
                biased;
                Some(command) = self.commands.recv() => command,
                _ = self.farewell.recv() => return FarWish::HungUp,
            };
            // Nobody may be waiting any more.
            match command {
                Command::TellKey(_, press, done) => {
                    let _ = done.send(Ok(()));
                    return FarWish::Key(press);
                }
                Command::HangUp(_, done) => drop(done.send(Ok(()))),
                Command::Hold(_, _, done) | Command::Referral(_, _, done) => drop(done.send(Err(refused()))),
                Command::Refer(_, _, done) => drop(done.send(Err(refused()))),
                Command::InOurPlace(_, done) => drop(done.send(Err(refused()))),
                // A reason that only SIP can carry; the rest is asked of no call that is up.
                _ => {}
            }
        }
    }

    /// It presses a key, for so long.
    pub fn press(&self, key: char, duration: Duration) {
        self.state.send_modify(|state| state.tell_key(KeyPress { key: key.to_ascii_uppercase(), duration }));
    }

    /// It hangs up, or is gone, for this reason.
    pub fn end(&self, reason: EndReason) {
        self.state.send_modify(|state| {
            state.ended.get_or_insert(reason);
        });
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        self.end(EndReason::RemoteHangup);
    }
}

fn refused() -> SignalingError {
    SignalingError::Refused { code: NOT_HERE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DialogEvent;

    #[tokio::test]
    async fn keys_pass_both_ways_and_either_side_may_hang_up() {
        let (mut far, mut dialog) = FarEnd::new();
        far.press('a', Duration::from_millis(100));
        let press = KeyPress { key: 'A', duration: Duration::from_millis(100) };
        assert_eq!(dialog.next().await, DialogEvent::Key(press));
        let keys = dialog.keys();
        let (told, wish) = tokio::join!(keys.press('5', Duration::from_millis(80)), far.next());
        assert!(told.is_ok());
        assert_eq!(wish, FarWish::Key(KeyPress { key: '5', duration: Duration::from_millis(80) }));
        let (hung_up, wish) = tokio::join!(dialog.hang_up(), far.next());
        assert_eq!((hung_up.is_ok(), wish, far.next().await), (true, FarWish::HungUp, FarWish::HungUp));

        let (far, mut dialog) = FarEnd::new();
        far.end(EndReason::Shutdown);
        drop(far);
        assert_eq!(dialog.next().await, DialogEvent::Ended(EndReason::Shutdown), "the first reason counts");
        assert!(matches!(dialog.keys().press('5', Duration::from_millis(80)).await, Err(SignalingError::Stopped)));
    }

    #[tokio::test]
    async fn what_only_a_telephone_does_is_refused_and_the_call_goes_on() {
        let (mut far, dialog) = FarEnd::new();
        let other = dialog.other_side();
        let target = "sip:lala@192.0.2.7".parse().expect("an address");
        let asking = async {
            let refused =
                [other.hold().await.err(), other.refer(&target).await.err(), other.in_our_place().await.err()];
            drop(dialog);
            refused
        };
        let (all, wish) = tokio::join!(asking, far.next());
        assert!(all.iter().all(|error| matches!(error, Some(SignalingError::Refused { code: 501 }))), "{all:?}");
        assert_eq!(wish, FarWish::HungUp, "dropping it hangs up");
        assert_ne!(FarEnd::new().1.key(), FarEnd::new().1.key());
    }
}
