//! A call that we place, until it is answered.

use milo_media::{Control, Leg, RtpSocket};

use crate::{Dialog, handle::CallHandle, invitation::LegFactory, sip::core::EndReason};

/// What has become of a call that we place.
#[derive(Debug)]
pub enum Progress {
    /// The other side is being told: the status code, 180 to 199.
    Ringing(u16),
    /// The other side is heard before it answers: its network's ringback, an announcement. Of several that ring the last
    /// one is heard. The leg stays the call's when it is answered.
    Early(Leg),
    /// Answered.
    Answered(Dialog, Leg),
    /// Answered after [`Progress::Early`], on the leg that came with it.
    AnsweredEarly(Dialog),
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
    pub(crate) waiting: Option<(CallHandle, Audio)>,
    pub(crate) legs: LegFactory,
    pub(crate) told: Option<u16>,
}

/// Where the audio of a call stands that has no answer.
#[derive(Debug)]
pub(crate) enum Audio {
    Silent(RtpSocket),
    /// The owner has the leg. How many early sessions it was given.
    Early(Control, u32),
    /// It is for a leg that speaks with somebody else until the answer.
    For(RtpSocket, Control),
}

impl Outgoing {
    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// What happens next. Cancel safe.
    pub async fn next(&mut self) -> Progress {
        loop {
            let Some((handle, audio)) = &mut self.waiting else { return Progress::Over };
            let (answered, early, ended) = {
                let state = handle.state.borrow_and_update();
                let heard = if let Audio::Early(_, heard) = audio { *heard } else { 0 };
                let is_for_another = matches!(audio, Audio::For(..));
                let early = state.early.clone().filter(|_| state.earlies != heard && !is_for_another);
                let early = early.map(|session| (session, state.earlies));
                if state.ringing != self.told
                    && state.session.is_none()
                    && early.is_none()
                    && let Some(code) = state.ringing
                {
                    self.told = Some(code);
                    return Progress::Ringing(code);
                }
                (state.session.clone().map(|session| (session, state.sessions)), early, state.ended.clone())
            };
            if let Some((session, sessions)) = answered {
                let Some((handle, audio)) = self.waiting.take() else { return Progress::Over };
                let dialog = Dialog::new(handle, self.call_id.clone(), sessions);
                return match audio {
                    Audio::Silent(socket) => Progress::Answered(dialog, self.legs.start(socket, Some(session))),
                    Audio::Early(control, _) => {
                        control.change(session);
                        Progress::AnsweredEarly(dialog)
                    }
                    Audio::For(socket, control) => {
                        control.move_to(socket, session);
                        Progress::AnsweredEarly(dialog)
                    }
                };
            }
            if let Some((session, heard)) = early.filter(|_| ended.is_none()) {
                if let Audio::Early(control, before) = audio {
                    control.change(session);
                    *before = heard;
                    continue;
                }
                let Some((handle, Audio::Silent(socket))) = self.waiting.take() else { return Progress::Over };
                let leg = self.legs.start(socket, Some(session));
                self.waiting = Some((handle, Audio::Early(leg.control.clone(), heard)));
                return Progress::Early(leg);
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

    /// Whoever answers is heard on this leg, in place of its party: then [`Progress::AnsweredEarly`] comes, and never
    /// [`Progress::Early`]. For a call that has not been listened to.
    #[must_use]
    pub fn heard_on(mut self, leg: &Control) -> Self {
        self.waiting = self.waiting.map(|(handle, audio)| match audio {
            Audio::Silent(socket) => (handle, Audio::For(socket, leg.clone())),
            other => (handle, other),
        });
        self
    }

    /// Gives up because somebody else has answered in its place: the CANCEL says so, and no telephone shows a missed call.
    pub(crate) fn answered_elsewhere(mut self) {
        if let Some((handle, _)) = &mut self.waiting {
            handle.is_answered_elsewhere = true;
        }
    }

    /// Gives up: CANCEL, or BYE should the answer win the race.
    pub async fn cancel(self) {
        // Letting go does it.
        drop(self);
    }
}
