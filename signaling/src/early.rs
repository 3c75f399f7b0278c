//! An incoming call that hears us before it is answered.

use milo_media::{Leg, Session};

use crate::{
    Dialog, Invitation, SignalingError,
    handle::Command,
    sip::core::{EarlyMedia, EndReason, acknowledges_progress},
};

/// What came of [`Invitation::early`].
#[derive(Debug)]
pub enum Early {
    /// The caller hears what is played on this leg, and may be heard.
    Heard(EarlyDialog, Leg),
    /// The INVITE brought no offer and its caller takes none of ours before the answer; or it came as a datagram, wants the audio
    /// at another host than its own, and its caller acknowledges nothing before the answer (RFC 3262), so that anybody may have
    /// forged it. It was told 180, and hears the ringback of its own telephone.
    Ringing(Box<Invitation>),
}

/// A call that hears us and is not answered. Dropped so, it is refused with 480.
#[derive(Debug)]
pub struct EarlyDialog {
    dialog: Dialog,
}

impl Invitation {
    /// Lets the caller hear us before the answer: opens the RTP socket, sends 183 with the session description (in a
    /// response that is acknowledged, when the caller can do that: RFC 3262; then the leg starts with that) and starts the leg.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up, or our offer was never answered. [`SignalingError::Media`]: no
    /// RTP socket could be had, the caller has been refused with 503. [`SignalingError::Offer`]: refused with 488.
    pub async fn early(mut self) -> Result<Early, SignalingError> {
        let (socket, rtp) = match self.bind() {
            Ok(bound) => bound,
            Err(error) => {
                // Whether or not the caller still hears it, the error is what counts.
                let _ = self.reject(503, "").await;
                return Err(error.into());
            }
        };
        let (session, seen) = match self.handle.ask(|key, reply| Command::Early(key, rtp, reply)).await? {
            EarlyMedia::Agreed(session) => {
                if acknowledges_progress(&self.invite) {
                    self.handle.acknowledged().await?;
                }
                (session, 0)
            }
            EarlyMedia::Offered => self.offered().await?,
            EarlyMedia::Impossible => return Ok(Early::Ringing(Box::new(self))),
        };
        let leg = self.legs.start(socket, Some(session));
        let call_id = self.call_id().to_owned();
        Ok(Early::Heard(EarlyDialog { dialog: Dialog::new(self.handle, call_id, seen) }, leg))
    }

    /// Waits for the answer to our offer; and how many sessions there were with it.
    async fn offered(&mut self) -> Result<(Session, u32), SignalingError> {
        let known = self.handle.state.wait_for(|state| state.session.is_some() || state.ended.is_some()).await;
        let state = known.map_err(|_| SignalingError::Stopped)?;
        match (&state.session, &state.ended) {
            (_, Some(EndReason::BadMedia(why))) => Err(SignalingError::Offer(why.clone())),
            (Some(session), None) => Ok((session.clone(), state.sessions)),
            (_, _) => Err(SignalingError::Gone),
        }
    }
}

impl EarlyDialog {
    /// What the caller does meanwhile.
    pub fn dialog(&mut self) -> &mut Dialog {
        &mut self.dialog
    }

    /// Answers: 200, as soon as what was said before is acknowledged. The leg stays; what holds from now on comes as the
    /// dialog's first [`crate::DialogEvent::MediaChange`].
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up.
    pub async fn answer(self) -> Result<Dialog, SignalingError> {
        self.dialog.handle.ask(Command::AnswerEarly).await?;
        Ok(self.dialog)
    }

    /// Refuses with this code (300 to 699) and phrase, most often after an announcement; an empty phrase takes the
    /// usual one.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the caller has given up.
    pub async fn reject(self, code: u16, reason: &str) -> Result<(), SignalingError> {
        let reason = reason.to_owned();
        self.dialog.handle.ask(|key, reply| Command::Reject(key, code, reason, reply)).await
    }
}
