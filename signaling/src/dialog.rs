//! A call that is up.

use milo_media::Session;

use crate::{
    SignalingError,
    handle::{CallHandle, Command},
    sip::core::EndReason,
};

/// What the other side does to a call that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogEvent {
    /// The media have changed, or are known at last; the other side has its answer already. Give it to
    /// [`milo_media::Control::change`].
    MediaChange(Session),
    /// The call is over.
    Ended(EndReason),
}

/// A call that is up. Dropping it hangs up.
#[derive(Debug)]
pub struct Dialog {
    handle: CallHandle,
    call_id: String,
    /// How many sessions the owner has been given.
    seen: u32,
}

impl Dialog {
    pub(crate) fn new(handle: CallHandle, call_id: String, seen: u32) -> Self {
        Self { handle, call_id, seen }
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
                if let Some(reason) = &state.ended {
                    return DialogEvent::Ended(reason.clone());
                }
            }
            if self.handle.state.changed().await.is_err() {
                return DialogEvent::Ended(EndReason::Shutdown);
            }
        }
    }

    /// Hangs up: BYE, at once or as soon as our answer has been acknowledged.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the other side was first.
    pub async fn hang_up(self) -> Result<(), SignalingError> {
        self.handle.ask(Command::HangUp).await
    }
}
