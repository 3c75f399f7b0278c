//! We are called: from the INVITE to our final response.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use milo_media::{Codec, Session};

use super::{
    Call, Stage,
    early::{Answer, Described},
    media::Negotiation,
    reliable::Reliability,
};
use crate::{
    SignalingError,
    sip::{
        body::SDP_TYPE,
        core::{CallKey, Core, EndReason, Event},
        dialled::is_among,
        dialog::Dialog,
        flow::{Flow, Packet, Path},
        headers::Name,
        message::Message,
        method::Method,
        receive::Request,
        screen::{Rejection, allow, supported},
        session_timer::{Clock, Terms},
        status::reason_phrase,
        transaction::{
            earliest,
            message::{merge_key, server_key},
            table::TransactionId,
        },
    },
};

/// Proxies forget an INVITE after three minutes of silence; the RFC wants a provisional response every minute
/// (RFC 3261 section 13.3.1.1).
pub(super) const RING_AGAIN: Duration = Duration::from_secs(60);

/// An INVITE that has no final response yet.
#[derive(Debug)]
pub(in crate::sip) struct Incoming {
    pub(super) transaction: TransactionId,
    pub(super) invite: Arc<Message>,
    /// The provisional response to repeat, and when.
    pub(super) rings: Option<(u16, Instant)>,
    /// Which provisional responses its caller acknowledges.
    pub(super) reliability: Reliability,
    /// What its caller knows of the audio.
    pub(super) described: Described,
    pub(super) answer: Answer,
    /// It has been proved who calls: the INVITE is not forged.
    pub(super) is_proven: bool,
    /// The caller's own limit: its Expires field.
    expires: Option<Instant>,
}

impl Incoming {
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.rings.map(|(_, at)| at), self.expires)
    }
}

/// Calls for help that are let in when as many others are up as may be; more of them are somebody's flood.
const FOR_HELP: usize = 16;

impl Core {
    /// An INVITE for a new call.
    pub(in crate::sip) fn invited(&mut self, now: Instant, request: Request) {
        if self.is_merged(&request) {
            self.answer_stateless(&request, &Rejection::new(482));
            return;
        }
        match self.replaced_by(&request.message) {
            Ok(None) => {}
            Ok(Some(key)) => return self.take_over(now, key, request),
            Err(rejection) => return self.answer_stateless(&request, &rejection),
        }
        let called = request.message.uri().map(crate::sip::Uri::user).unwrap_or_default();
        let is_urgent = is_among(&called, &self.config.urgent);
        let room = self.config.admitted().saturating_add(if is_urgent { FOR_HELP } else { 0 });
        if self.calls.len() >= room {
            self.turn_away(&request.message, &request.flow);
            return;
        }
        // The terms themselves follow from the INVITE again when it is answered.
        if let Err(rejection) = self.config.session_timers.answer(&request.message, None) {
            self.answer_stateless(&request, &rejection);
            return;
        }
        // An offer that nobody could answer is refused before anybody hears of it.
        let rtp = SocketAddr::new(self.config.media_address, 0);
        let (rtp, peer) = (self.media_address(&request.flow, rtp), request.flow.remote.ip());
        let spoken = self.config.spoken_with(peer, request.proven.as_ref());
        let mut trial = Negotiation::new(rtp, 0, peer, Some(&spoken), &self.config);
        if let Some(Err(error)) = request.message.sdp().map(|offer| trial.answer(offer)) {
            let rejection = error.rejection(self.advertised(&request.flow));
            self.answer_stateless(&request, &rejection);
            return;
        }
        let tag = self.word();
        let contact = self.contact_for(&request.flow, request.message.uri());
        let dialog = match Dialog::of_server(&request.message, tag, request.flow, contact) {
            Ok(dialog) => dialog.with_telephone(!self.gate.trusts(request.flow.remote.ip())),
            Err(error) => {
                self.answer_stateless(&request, &Rejection::from(error));
                return;
            }
        };
        let key = self.new_call_key();
        let Request { message, flow, path, key: transaction_key, proven, .. } = request;
        let trying = self.response(&message, 100, "");
        let merge_key = merge_key(&message);
        let transaction =
            self.transactions.open_invite_server(now, transaction_key, merge_key, path, Some(trying), key);
        let expires = message.headers.get(Name::EXPIRES).and_then(|seconds| seconds.trim().parse::<u32>().ok());
        let invite = Arc::new(message);
        let incoming = Incoming {
            transaction,
            invite: Arc::clone(&invite),
            rings: None,
            reliability: Reliability::of(&invite),
            described: Described::No,
            answer: Answer::Open,
            is_proven: proven.is_some(),
            expires: expires.map(|seconds| now + Duration::from_secs(seconds.into())),
        };
        let mut call = Call::new(flow, Stage::Incoming(incoming));
        self.index(key, &dialog.call_id, &dialog.local_tag);
        call.dialog = Some(dialog);
        call.learn_methods(&invite);
        self.calls.insert(key, call);
        self.welcome_guest(key);
        self.settle_call(key);
        self.event(Event::Invitation { call: key, invite, source: flow.remote, proven });
    }

    /// The call speaks this, preferred first, in place of what calls with its caller's address do. Before it is answered, or heard.
    pub fn speak(&mut self, key: CallKey, codecs: Arc<[&'static Codec]>) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.codecs = Some(codecs);
        }
    }

    /// Answers: 200 with our answer, or with an offer when the INVITE brought none; then the session comes with the
    /// ACK, as [`Event::MediaChange`]. `rtp` is the address of the call's RTP socket.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call no longer waits for an answer.
    pub fn answer(&mut self, now: Instant, key: CallKey, rtp: SocketAddr) -> Result<Option<Session>, SignalingError> {
        let session = self.negotiate(now, key, rtp)?;
        self.send_answer(now, key)?;
        Ok(session)
    }

    /// Takes our side of the audio, on this RTP socket: the answer to the INVITE's offer, when it brought one. One that
    /// cannot be answered is refused with its call.
    pub(super) fn negotiate(
        &mut self,
        now: Instant,
        key: CallKey,
        rtp: SocketAddr,
    ) -> Result<Option<Session>, SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), flow, .. }) = self.calls.get(&key) else {
            return Err(SignalingError::Gone);
        };
        let (transaction, invite, flow) = (incoming.transaction, Arc::clone(&incoming.invite), *flow);
        let id = u64::from(self.pick(1..=u32::MAX));
        let (rtp, peer) = (self.media_address(&flow, rtp), flow.remote.ip());
        let codecs = self.calls.get(&key).and_then(|call| call.codecs.as_ref());
        let mut negotiation = Negotiation::new(rtp, id, peer, codecs, &self.config);
        let session = match invite.sdp().map(|offer| negotiation.answer(offer)).transpose() {
            Ok(answered) => answered.map(|(_, session)| session),
            Err(error) => {
                let rejection = error.rejection(self.advertised(&flow));
                self.finish_invite(now, key, transaction, &invite, &rejection);
                return Err(SignalingError::Offer(error.to_string()));
            }
        };
        if let Some(call) = self.calls.get_mut(&key) {
            call.negotiation = Some(negotiation);
        }
        Ok(session)
    }

    /// Sends the 200, with what its caller must still be told of the audio.
    pub(super) fn send_answer(&mut self, now: Instant, key: CallKey) -> Result<(), SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), negotiation: Some(negotiation), flow, .. }) =
            self.calls.get_mut(&key)
        else {
            return Err(SignalingError::Gone);
        };
        let (transaction, invite, flow) = (incoming.transaction, Arc::clone(&incoming.invite), *flow);
        let body = match (incoming.described, invite.sdp()) {
            (Described::Reliably, _) => None,
            (_, Some(_)) => Some(negotiation.again()),
            (_, None) => Some(negotiation.offer()),
        };
        let awaits_answer = body.is_some() && invite.sdp().is_none();
        let terms = self.config.session_timers.answer(&invite, None).ok();
        let response = self.accept(key, &invite, body, terms);
        let path = response_path_of(&invite, &flow);
        if !self.transactions.respond(now, transaction, &response, &mut self.packets) {
            return Err(SignalingError::Gone);
        }
        let packet = Packet { path, bytes: response.to_bytes().into(), transaction: None };
        if let Some(call) = self.calls.get_mut(&key) {
            call.stage = Stage::Up;
            call.clock = terms.map(|terms| Clock::start(now, terms));
            call.await_ack(now, invite.cseq().map_or(0, |(number, _)| number), packet, awaits_answer);
        }
        self.settle_call(key);
        Ok(())
    }

    /// The 200 to a request that refreshes the target (RFC 3261 section 12.2), with this session description and what
    /// was agreed on of the session timer.
    pub(super) fn accept(
        &self,
        key: CallKey,
        request: &Message,
        body: Option<Vec<u8>>,
        terms: Option<Terms>,
    ) -> Message {
        let mut response = self.response(request, 200, "");
        if let Some(dialog) = self.calls.get(&key).and_then(|call| call.dialog.as_ref()) {
            response.set_to_tag(&dialog.local_tag);
            response.headers.push(Name::CONTACT, dialog.contact.as_str());
        }
        response.headers.push(Name::ALLOW, allow());
        response.headers.push(Name::SUPPORTED, supported());
        if let Some(terms) = terms {
            terms.write(&mut response);
        }
        if let Some(body) = body {
            response.set_body(SDP_TYPE, body);
        }
        response
    }

    /// Refuses a call that waits for its answer. An empty `reason` takes the RFC's phrase; a code that is no final
    /// rejection becomes 480.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when it no longer waits.
    pub fn reject_invite(&mut self, now: Instant, key: CallKey, code: u16, reason: &str) -> Result<(), SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), .. }) = self.calls.get(&key) else {
            return Err(SignalingError::Gone);
        };
        let (transaction, invite) = (incoming.transaction, Arc::clone(&incoming.invite));
        let code = if (300..700).contains(&code) { code } else { 480 };
        let mut rejection = Rejection::new(code);
        // A phrase is one line.
        let phrase: String = reason.chars().filter(|c| !c.is_control()).collect();
        rejection.reason = if phrase.is_empty() { reason_phrase(code).to_owned() } else { phrase };
        if let Some(reason) = self.calls.get(&key).and_then(|call| call.because.as_ref()) {
            // RFC 6432 section 3.
            rejection.headers.push((Name::REASON, reason.to_string()));
        }
        if code == 503 {
            // RFC 3261 section 21.5.4: without it, some take us for dead.
            rejection.headers.push((Name::RETRY_AFTER, self.pick(2..=10).to_string()));
        }
        self.finish_invite(now, key, transaction, &invite, &rejection);
        Ok(())
    }

    /// Sends an incoming call elsewhere (RFC 3261 section 21.3.3).
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: it has been answered, refused or given up.
    pub fn redirect_invite(&mut self, now: Instant, key: CallKey, to: &crate::sip::Uri) -> Result<(), SignalingError> {
        let Some(Call { stage: Stage::Incoming(incoming), .. }) = self.calls.get(&key) else {
            return Err(SignalingError::Gone);
        };
        let (transaction, invite) = (incoming.transaction, Arc::clone(&incoming.invite));
        let mut redirection = Rejection::new(302);
        redirection.headers.push((Name::CONTACT, format!("<{to}>")));
        self.finish_invite(now, key, transaction, &invite, &redirection);
        Ok(())
    }

    pub(super) fn finish_invite(
        &mut self,
        now: Instant,
        key: CallKey,
        transaction: TransactionId,
        invite: &Message,
        rejection: &Rejection,
    ) {
        let mut response = self.reject(invite, rejection);
        if let Some(dialog) = self.calls.get(&key).and_then(|call| call.dialog.as_ref()) {
            response.set_to_tag(&dialog.local_tag);
        }
        self.transactions.respond(now, transaction, &response, &mut self.packets);
        self.forget(key);
    }

    /// A CANCEL came (RFC 3261 section 9.2).
    pub(in crate::sip) fn cancelled(&mut self, now: Instant, request: &Request) {
        let key = server_key(&request.via, &request.message, &Method::Invite);
        let Some(id) = self.transactions.find(&key) else {
            self.answer_stateless(request, &Rejection::new(481));
            return;
        };
        let call = self.transactions.owner(id);
        // The To tag of its answer is that of the INVITE's.
        let mut response = self.response(&request.message, 200, "");
        match call.and_then(|call| self.calls.get(&call)).and_then(|call| call.dialog.as_ref()) {
            Some(dialog) => response.set_to_tag(&dialog.local_tag),
            None => response.set_to_tag(&self.stateless_tag(&request.message)),
        }
        self.packets.push_back(Packet { path: request.path, bytes: response.to_bytes().into(), transaction: None });
        if let Some(call) = call.filter(|_| self.transactions.is_open(id))
            && self.reject_invite(now, call, 487, "").is_ok()
        {
            self.give_reasons(call, &request.message);
            self.event(Event::Ended(call, EndReason::Cancelled));
        }
    }

    /// The minute of a provisional response, or the caller's limit, is over.
    pub(super) fn expire_incoming(&mut self, now: Instant, key: CallKey) {
        self.expire_reliable(now, key);
        let Some(Call { stage: Stage::Incoming(incoming), .. }) = self.calls.get(&key) else { return };
        if incoming.expires.is_some_and(|at| now >= at) {
            if self.reject_invite(now, key, 487, "").is_ok() {
                self.event(Event::Ended(key, EndReason::Cancelled));
            }
        } else if let Some((code, at)) = incoming.rings
            && now >= at
        {
            // Still waiting: checked just above.
            drop(self.progress(now, key, code));
        }
    }
}

/// Where the 2xx to this INVITE goes; its Via was stamped when it came.
pub(super) fn response_path_of(invite: &Message, flow: &Flow) -> Path {
    match invite.top_via() {
        Ok(via) => crate::sip::flow::response_path(&via, flow),
        Err(_) => Path { flow: *flow, or_connect: None },
    }
}
