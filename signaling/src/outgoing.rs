//! A call that we place, until it is answered.

use milo_media::{Leg, RtpSocket};

use crate::{Dialog, handle::CallHandle, invitation::LegFactory, sip::core::EndReason};

/// What has become of a call that we place.
#[derive(Debug)]
pub enum Progress {
    /// The other side is being told: the status code, 180 to 199.
    Ringing(u16),
    /// Answered.
    Answered(Dialog, Leg),
    /// Refused, or nobody answered.
    Rejected {
        /// 300 to 699; 408 also when no response came at all, 503 when the INVITE could not be sent.
        code: u16,
        /// The phrase as it came.
        reason: String,
    },
    /// Ended otherwise: the answer could not be used, or the endpoint was shut down.
    Failed(EndReason),
    /// It was answered or had ended before; nothing more will come.
    Over,
}

/// A call that we place. Dropped before the answer it is cancelled.
#[derive(Debug)]
pub struct Outgoing {
    pub(crate) call_id: String,
    /// None once answered or ended.
    pub(crate) waiting: Option<(CallHandle, RtpSocket)>,
    pub(crate) legs: LegFactory,
    pub(crate) told: Option<u16>,
}

impl Outgoing {
    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// What happens next. Cancel safe.
    pub async fn next(&mut self) -> Progress {
        loop {
            let Some((handle, _)) = &mut self.waiting else { return Progress::Over };
            let (session, ended) = {
                let state = handle.state.borrow_and_update();
                if state.ringing != self.told
                    && state.session.is_none()
                    && let Some(code) = state.ringing
                {
                    self.told = Some(code);
                    return Progress::Ringing(code);
                }
                (state.session.clone().map(|session| (session, state.sessions)), state.ended.clone())
            };
            if let Some((session, sessions)) = session {
                let Some((handle, socket)) = self.waiting.take() else { return Progress::Over };
                let leg = self.legs.start(socket, Some(session));
                return Progress::Answered(Dialog::new(handle, self.call_id.clone(), sessions), leg);
            }
            let ended = match ended {
                Some(ended) => ended,
                None if handle.state.changed().await.is_ok() => continue,
                None => EndReason::Shutdown,
            };
            self.waiting = None;
            return match ended {
                EndReason::Rejected { code, reason } => Progress::Rejected { code, reason },
                other => Progress::Failed(other),
            };
        }
    }

    /// Gives up: CANCEL, or BYE should the answer win the race.
    pub async fn cancel(self) {
        // Letting go does it.
        drop(self);
    }
}
