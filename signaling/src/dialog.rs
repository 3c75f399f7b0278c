//! A call that is up.

use std::time::Duration;

use milo_media::{MediaError, Session, dtmf::is_key};
use tokio::sync::mpsc;

use crate::{
    SignalingError,
    handle::{CallHandle, Command, ask},
    sip::{
        core::{CallKey, EndReason},
        keys::KeyPress,
    },
};

/// What the other side does to a call that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogEvent {
    /// The media have changed, or are known at last; the other side has its answer already. Give it to
    /// [`milo_media::Control::change`].
    MediaChange(Session),
    /// The other side has pressed a key and told so by SIP INFO. Give it to [`milo_media::Control::hear_key`], which
    /// knows whether the same press came with the audio.
    Key(KeyPress),
    /// The call is over.
    Ended(EndReason),
}

/// A call that is up. Dropping it hangs up.
#[derive(Debug)]
pub struct Dialog {
    pub(crate) handle: CallHandle,
    call_id: String,
    /// How many sessions the owner has been given.
    seen: u32,
    /// How many keys the owner has been told of.
    keys: u64,
}

impl Dialog {
    pub(crate) fn new(handle: CallHandle, call_id: String, seen: u32) -> Self {
        Self { handle, call_id, seen, keys: 0 }
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// What the other side does next. Of several media changes the last counts. Once ended it says so for ever.
    /// Cancel safe.
    pub async fn next(&mut self) -> DialogEvent {
        loop {
            {
                let state = self.handle.state.borrow_and_update();
                if state.sessions != self.seen
                    && let Some(session) = &state.session
                {
                    self.seen = state.sessions;
                    return DialogEvent::MediaChange(session.clone());
                }
                if let Some((press, keys)) = state.key_after(self.keys) {
                    self.keys = keys;
                    return DialogEvent::Key(press);
                }
                if let Some(reason) = &state.ended {
                    return DialogEvent::Ended(reason.clone());
                }
            }
            if self.handle.state.changed().await.is_err() {
                return DialogEvent::Ended(EndReason::Shutdown);
            }
        }
    }

    /// What presses keys by SIP INFO, for peers that want them so. It does not keep the call up.
    pub fn keys(&self) -> InfoKeys {
        InfoKeys { call: self.handle.key, commands: self.handle.commands.clone() }
    }

    /// Hangs up: BYE, at once or as soon as our answer has been acknowledged.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the other side was first.
    pub async fn hang_up(self) -> Result<(), SignalingError> {
        self.handle.ask(Command::HangUp).await
    }
}

/// Presses keys by SIP INFO (`application/dtmf-relay`) in a call that is up.
#[derive(Clone, Debug)]
pub struct InfoKeys {
    call: CallKey,
    commands: mpsc::Sender<Command>,
}

impl InfoKeys {
    /// Tells the other side that this key was down for so long, and waits until it has taken it: so keys stay in order.
    ///
    /// # Errors
    /// [`SignalingError::Media`]: no telephone has this key. [`SignalingError::Key`]: the other side did not take it; tones may
    /// do. [`SignalingError::Gone`], [`SignalingError::Stopped`]: the call is over.
    pub async fn press(&self, key: char, duration: Duration) -> Result<(), SignalingError> {
        if !is_key(key) {
            return Err(MediaError::Key { key }.into());
        }
        let press = KeyPress { key: key.to_ascii_uppercase(), duration };
        ask(&self.commands, |reply| Command::TellKey(self.call, press, reply)).await
    }
}
