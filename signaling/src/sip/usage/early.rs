//! We are called, and our user wants to be heard before it answers: provisional responses (RFC 3261 section 13.3.1.1),
//! the session descriptions in them (RFC 3960), and the answer that follows.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use milo_media::Session;

use super::{
    Call, Stage,
    media::early,
    reliable::Reliability,
    server::{RING_AGAIN, response_path_of},
};
use crate::{
    SignalingError,
    sip::{
        body::SDP_TYPE,
        core::{CallKey, Core, Event},
        flow::Packet,
        headers::Name,
        screen::allow,
    },
};

/// What came of the wish to be heard before the answer.
#[derive(Clone, Debug)]
pub enum EarlyMedia {
    /// This holds from now on.
    Agreed(Session),
    /// The INVITE brought no offer. Ours is on its way; the session comes as [`Event::MediaChange`].
    Offered,
    /// The INVITE brought no offer, or wants the audio at another host than the one that it seems to come from, and its caller
    /// acknowledges nothing before the answer (no `100rel`): it was told 180.
    Impossible,
}

/// What a caller has been told of the audio before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Described {
    No,
    /// In responses that may be lost: the 2xx says it again.
    Loosely,
    /// In one that is acknowledged: the 2xx says no more (RFC 3262 section 5).
    Reliably,
}

/// Whether the user has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Open,
    /// It has; the 2xx waits for a PRACK.
    Held,
}

impl Core {
    /// Tells the caller that its call is being offered: 180.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call no longer waits for an answer.
    pub fn ring(&mut self, now: Instant, key: CallKey) -> Result<(), SignalingError> {
        self.progress(now, key, 180)
    }

    /// Lets our user be heard before it answers: 183 with our description, for the RTP socket at `rtp`. A call is
    /// answered with [`Self::answer_early`] from then on, unless this was impossible.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call no longer waits for an answer; [`SignalingError::Offer`] when its offer
    /// cannot be answered: it has been refused.
    pub fn early(&mut self, now: Instant, key: CallKey, rtp: SocketAddr) -> Result<EarlyMedia, SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), negotiation: None, flow, .. }) = self.calls.get(&key) else {
            return Err(SignalingError::Gone);
        };
        let never = incoming.reliability == Reliability::Never;
        let (source, may_be_forged) = (*flow, never && !incoming.is_proven && !flow.transport.is_reliable());
        if incoming.invite.sdp().is_none() && never {
            self.progress(now, key, 180)?;
            return Ok(EarlyMedia::Impossible);
        }
        let session = self.negotiate(now, key, rtp)?;
        let source = source.remote.ip().to_canonical();
        let elsewhere = session.as_ref().is_some_and(|session| session.remote.ip() != source);
        if elsewhere && may_be_forged {
            // A forged source would have the audio sent to whomever it names.
            if let Some(call) = self.calls.get_mut(&key) {
                call.negotiation = None;
            }
            self.progress(now, key, 180)?;
            return Ok(EarlyMedia::Impossible);
        }
        self.progress(now, key, 183)?;
        Ok(session.map_or(EarlyMedia::Offered, |session| EarlyMedia::Agreed(early(session))))
    }

    /// Answers a call whose audio is early: 200, as soon as what was said before is acknowledged. What holds then comes
    /// as [`Event::MediaChange`].
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call no longer waits for an answer.
    pub fn answer_early(&mut self, now: Instant, key: CallKey) -> Result<(), SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), negotiation: Some(negotiation), reliable, .. }) =
            self.calls.get_mut(&key)
        else {
            return Err(SignalingError::Gone);
        };
        if reliable.holds_answer() {
            incoming.answer = Answer::Held;
            return Ok(());
        }
        let session = negotiation.agreed.clone();
        self.send_answer(now, key)?;
        if let Some(session) = session {
            self.event(Event::MediaChange(key, session));
        }
        Ok(())
    }

    /// Sends a provisional response, or has it wait for the PRACK of the one before.
    pub(super) fn progress(&mut self, now: Instant, key: CallKey, code: u16) -> Result<(), SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), dialog: Some(dialog), negotiation, flow, reliable, .. }) =
            self.calls.get_mut(&key)
        else {
            return Err(SignalingError::Gone);
        };
        incoming.rings = Some((code, now + RING_AGAIN));
        let (invite, flow) = (Arc::clone(&incoming.invite), *flow);
        let describing = negotiation.as_mut().filter(|_| incoming.described != Described::Reliably);
        let is_reliable = match incoming.reliability {
            Reliability::Never => false,
            Reliability::Supported => describing.is_some(),
            Reliability::Required => true,
        };
        if is_reliable && reliable.is_waiting() {
            reliable.then(code);
            return Ok(());
        }
        let body = describing.map(|negotiation| match invite.sdp() {
            Some(_) => negotiation.again(),
            None => negotiation.offer(),
        });
        if body.is_some() {
            incoming.described = if is_reliable { Described::Reliably } else { Described::Loosely };
        }
        let (transaction, describes) = (incoming.transaction, body.is_some());
        let (tag, contact) = (dialog.local_tag.clone(), dialog.contact.clone());
        let mut response = self.response(&invite, code, "");
        response.set_to_tag(&tag);
        response.headers.push(Name::CONTACT, contact);
        response.headers.push(Name::ALLOW, allow());
        if let Some(body) = body {
            response.set_body(SDP_TYPE, body);
        }
        if is_reliable {
            let first = self.pick(1..=i32::MAX.unsigned_abs());
            if let Some(call) = self.calls.get_mut(&key) {
                call.reliable.number(&mut response, first);
            }
        }
        self.transactions.respond(now, transaction, &response, &mut self.packets);
        if is_reliable && let Some(call) = self.calls.get_mut(&key) {
            let path = response_path_of(&invite, &flow);
            let packet = Packet { path, bytes: response.to_bytes().into(), transaction: None };
            call.reliable.wait(now, &invite, packet, describes);
        }
        self.settle_call(key);
        Ok(())
    }
}
