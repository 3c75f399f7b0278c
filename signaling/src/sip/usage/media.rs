//! What a call's offers and answers have come to so far (RFC 3264 section 8; RFC 3261 sections 13.2.1 and 14).

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use milo_media::{Codec, Session, Tuning};

use super::Stage;
use crate::{
    offer_answer::{self, Local, Unacceptable},
    sdp::{Sdp, SdpError},
    security::MediaSecurity,
    sip::{
        core::{CallKey, Core, CoreConfig, EndReason, Event},
        headers::Name,
        message::Message,
        screen::Rejection,
    },
};

/// Why a description cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error(transparent)]
    Malformed(#[from] SdpError),
    #[error(transparent)]
    Unacceptable(#[from] Unacceptable),
    #[error("the answer to our offer is missing")]
    Missing,
}

impl Unusable {
    /// 400, or 488 with the Warning that says what was missing (RFC 3261 sections 13.3.1.3 and 20.43).
    pub(super) fn rejection(&self, us: SocketAddr) -> Rejection {
        match self {
            Self::Malformed(error) => {
                let mut rejection = Rejection::new(400);
                rejection.reason = format!("Bad Session Description: {error}");
                rejection
            }
            Self::Unacceptable(error) => {
                let (code, text) = error.warning();
                let mut rejection = Rejection::new(488);
                rejection.headers.push((Name::WARNING, format!("{code} {us} \"{text}\"")));
                rejection
            }
            Self::Missing => Rejection::new(400),
        }
    }
}

/// What a call speaks, preferred first.
pub(super) type Codecs = Arc<[&'static Codec]>;

/// One call's side of the exchange.
#[derive(Clone, Debug)]
pub(super) struct Negotiation {
    rtp: SocketAddr,
    session_id: u64,
    /// The host that the peer's messages come from.
    signalling: IpAddr,
    /// The last description that we sent.
    sent: Option<Sdp>,
    /// We have put the peer on hold.
    on_hold: bool,
    /// What holds since the last answer, ours or the peer's.
    pub(super) agreed: Option<Session>,
    codecs: Codecs,
    tuning: Tuning,
    security: MediaSecurity,
}

/// What holds while an offer of ours is open.
#[derive(Debug)]
pub(super) struct Standing {
    sent: Option<Sdp>,
    on_hold: bool,
}

impl Negotiation {
    /// `rtp` is what the peer is told; `session_id` any number; `signalling` where the peer's messages come from.
    /// `codecs` is what the call speaks, where that is not what calls with the peer do.
    pub(super) fn new(
        rtp: SocketAddr,
        session_id: u64,
        signalling: IpAddr,
        codecs: Option<&Codecs>,
        config: &CoreConfig,
    ) -> Self {
        let codecs = codecs.map_or_else(|| config.codecs_with(signalling), Arc::clone);
        let security = config.security.clone();
        let signalling = signalling.to_canonical();
        Self {
            rtp,
            session_id,
            signalling,
            sent: None,
            on_hold: false,
            agreed: None,
            codecs,
            tuning: config.tuning,
            security,
        }
    }

    fn local(&self) -> Local<'_> {
        Local {
            rtp: self.rtp,
            session_id: self.session_id,
            codecs: &self.codecs,
            tuning: self.tuning,
            previous: self.sent.as_ref(),
            security: &self.security,
            on_hold: self.on_hold,
        }
    }

    /// Our answer to this offer, and what holds from now on.
    pub(super) fn answer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Session), Unusable> {
        let (answer, session) = offer_answer::answer(&Sdp::parse(offer)?, &self.local())?;
        let body = answer.to_string().into_bytes();
        self.sent = Some(answer);
        Ok((body, self.agree(session)))
    }

    /// Our answer to an offer that came where it must be answered and can't be: every stream is refused, and what was
    /// agreed on stays.
    pub(super) fn refuse(&mut self, offer: &[u8]) -> Result<Vec<u8>, Unusable> {
        let answer = offer_answer::refuse(&Sdp::parse(offer)?, &self.local());
        let body = answer.to_string().into_bytes();
        self.sent = Some(answer);
        Ok(body)
    }

    /// Our last description once more.
    pub(super) fn again(&self) -> Vec<u8> {
        self.sent.as_ref().map(|sent| sent.to_string().into_bytes()).unwrap_or_default()
    }

    /// Our offer.
    pub(super) fn offer(&mut self) -> Vec<u8> {
        let offer = offer_answer::offer(&self.local());
        let body = offer.to_string().into_bytes();
        self.sent = Some(offer);
        body
    }

    /// The answer to our last offer, and what holds from now on.
    pub(super) fn take_answer(&mut self, message: &Message) -> Result<Session, Unusable> {
        let answer = Sdp::parse(message.sdp().ok_or(Unusable::Missing)?)?;
        let offer = self.sent.as_ref().ok_or(Unusable::Missing)?;
        let session = offer_answer::apply_answer(offer, &answer, &self.local())?;
        Ok(self.agree(session))
    }

    /// The port of our RTP socket.
    pub(super) fn port(&self) -> u16 {
        self.rtp.port()
    }

    /// Whether we have put the peer on hold.
    pub(super) fn on_hold(&self) -> bool {
        self.on_hold
    }

    /// What we sent last as an offer: the same, or with the peer on hold or back. With it what to go back to.
    pub(super) fn offer_again(&mut self, hold: Option<bool>) -> (Vec<u8>, Standing) {
        let before = Standing { sent: self.sent.clone(), on_hold: self.on_hold };
        self.on_hold = hold.unwrap_or(self.on_hold);
        let offer = offer_answer::offer_again(&self.local(), self.on_hold != before.on_hold);
        let body = offer.to_string().into_bytes();
        self.sent = Some(offer);
        (body, before)
    }

    /// Our offer was refused.
    pub(super) fn restore(&mut self, before: Standing) {
        (self.sent, self.on_hold) = (before.sent, before.on_hold);
    }

    /// The answer to [`Self::offer_again`]: what holds from now on, unless it is what held before.
    pub(super) fn take_answer_again(&mut self, message: &Message) -> Result<Option<Session>, Unusable> {
        let before = self.agreed.take();
        let session = self.take_answer(message)?;
        Ok((before.as_ref() != Some(&session)).then_some(session))
    }

    /// The answer in the 2xx. What a callee said reliably before stands (RFC 3261 section 13.2.1), and so does what one
    /// that does not repeat itself said at all.
    pub(super) fn take_final_answer(&mut self, response: &Message, is_settled: bool) -> Result<Session, Unusable> {
        match &self.agreed {
            Some(session) if is_settled || response.sdp().is_none() => Ok(session.clone()),
            _ => self.take_answer(response),
        }
    }

    fn agree(&mut self, session: Session) -> Session {
        let session = Session { signalling: Some(self.signalling), ..session };
        self.agreed = Some(session.clone());
        session
    }
}

/// The same before the answer.
pub(super) fn early(session: Session) -> Session {
    Session { is_early: true, ..session }
}

impl Core {
    /// The answer that came with the ACK.
    pub(super) fn take_late_answer(&mut self, now: std::time::Instant, key: CallKey, ack: &Message) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let (Stage::Up, Some(negotiation)) = (&call.stage, &mut call.negotiation) else { return };
        match negotiation.take_answer(ack) {
            Ok(session) => self.event(Event::MediaChange(key, session)),
            Err(why) => self.end(now, key, EndReason::BadMedia(why.to_string())),
        }
    }
}
