//! Provisional responses that are acknowledged (RFC 3262): ours, each repeated until its PRACK comes, and those of whom
//! we call, each met with one PRACK.
//!
//! ```text
//!  183 RSeq 7 ─► waiting ─ T1, 2 T1, 4 T1 … again ─► 64 T1: the INVITE is refused
//!                   └─ PRACK with RAck 7 ─► 200; the next response, or the 2xx that waited
//! ```

use std::time::Instant;

use milo_media::Session;

use super::{
    Call, Stage,
    early::Answer,
    media::{Unusable, early},
};
use crate::sip::{
    body::SDP_TYPE,
    core::{CallKey, Core, EndReason, Event, Output},
    flow::Packet,
    headers::Name,
    message::Message,
    method::Method,
    receive::Request,
    screen::Rejection,
    transaction::{Repeat, T1_64},
};

/// The option tag.
const TAG: &str = "100rel";

/// Which provisional responses a caller acknowledges (section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reliability {
    /// None: it does not know how.
    Never,
    /// Those that we send so: the ones with a session description.
    Supported,
    /// All of them, and it takes no other.
    Required,
}

impl Reliability {
    pub(super) fn of(invite: &Message) -> Self {
        let has = |name| invite.tokens(name).iter().any(|tag| tag.eq_ignore_ascii_case(TAG));
        match (has(Name::REQUIRE), has(Name::SUPPORTED)) {
            (true, _) => Self::Required,
            (false, true) => Self::Supported,
            (false, false) => Self::Never,
        }
    }
}

/// Whether the caller acknowledges a provisional response that describes the audio.
pub(crate) fn acknowledges_progress(invite: &Message) -> bool {
    Reliability::of(invite) != Reliability::Never
}

/// Our reliable responses to an INVITE. One at a time waits for its PRACK.
#[derive(Debug, Default)]
pub(super) struct Reliable {
    /// The last RSeq that was given.
    last: Option<u32>,
    waiting: Option<Waiting>,
    /// The code of the one that follows.
    next: Option<u16>,
}

/// A response without its PRACK.
#[derive(Debug)]
struct Waiting {
    rseq: u32,
    /// The CSeq of its INVITE.
    invite: u32,
    packet: Packet,
    resend: Repeat,
    end: Instant,
    /// It bears a session description, so that no 2xx may overtake it.
    describes: bool,
    /// Which is an offer; the PRACK brings the answer.
    offers: bool,
}

impl Reliable {
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether a 2xx must wait (section 3).
    pub(super) fn holds_answer(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.describes)
    }

    /// Whether an offer of ours is without its answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.offers)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.resend.at().min(waiting.end))
    }

    /// What is told once the present one is acknowledged; of several the last.
    pub(super) fn then(&mut self, code: u16) {
        self.next = Some(code);
    }

    /// Makes a response a reliable one. `first` is where the numbers begin.
    pub(super) fn number(&mut self, response: &mut Message, first: u32) {
        let rseq = self.last.map_or(first, |last| last.wrapping_add(1));
        self.last = Some(rseq);
        response.headers.push(Name::REQUIRE, TAG);
        response.headers.push(Name::RSEQ, rseq.to_string());
    }

    /// Waits for the PRACK of the response that was numbered last.
    pub(super) fn wait(&mut self, now: Instant, invite: &Message, packet: Packet, describes: bool) {
        self.waiting = Some(Waiting {
            rseq: self.last.unwrap_or_default(),
            invite: invite.cseq().map_or(0, |(number, _)| number),
            packet,
            // Unlike a 2xx it waits twice as long each time, however long (section 3).
            resend: Repeat::start(now, T1_64),
            end: now + T1_64,
            describes,
            offers: describes && invite.sdp().is_none(),
        });
    }
}

/// What a PRACK brought besides.
enum Brought {
    Nothing,
    /// What holds now.
    Change(Session),
    /// An answer to our offer that cannot be used.
    Fault(Unusable),
}

impl Core {
    /// A reliable response is without its PRACK for too long, or for long enough to be sent again.
    pub(super) fn expire_reliable(&mut self, now: Instant, key: CallKey) {
        let Some(Call { stage: Stage::Incoming(_), reliable, .. }) = self.calls.get_mut(&key) else { return };
        let Some(waiting) = &mut reliable.waiting else { return };
        if now >= waiting.end {
            // Section 3: the INVITE is refused with a 5xx.
            if self.reject_invite(now, key, 504, "Provisional Response Not Acknowledged").is_ok() {
                self.event(Event::Ended(key, EndReason::Unacknowledged));
            }
        } else if waiting.resend.is_due(now) {
            self.counters.retransmissions += 1;
            self.packets.push_back(waiting.packet.clone());
        }
    }

    /// A PRACK came within the dialog of this call. One that comes again is answered by its transaction.
    pub(super) fn pracked(&mut self, now: Instant, key: CallKey, request: &Request) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let acknowledged = rack(&request.message);
        let fits = |waiting: &mut Waiting| acknowledged == Some((waiting.rseq, waiting.invite));
        let Some(waiting) = call.reliable.waiting.take_if(fits) else {
            self.answer_within(now, key, request, &Rejection::new(481));
            return;
        };
        self.outputs.push_back(Output::Event(Event::Acknowledged(key)));
        let mut response = Ok(None);
        let mut brought = Brought::Nothing;
        if let Some(negotiation) = &mut call.negotiation {
            match request.message.sdp() {
                _ if waiting.offers => {
                    brought = match negotiation.take_answer(&request.message) {
                        Ok(session) => Brought::Change(session),
                        Err(why) => Brought::Fault(why),
                    };
                }
                Some(offer) if waiting.describes => match negotiation.answer(offer) {
                    Ok((body, session)) => {
                        response = Ok(Some(body));
                        brought = Brought::Change(session);
                    }
                    // A PRACK that fits must be answered with a 2xx (section 3), so each stream is refused by itself.
                    Err(Unusable::Unacceptable(_)) => response = negotiation.refuse(offer).map(Some),
                    Err(error) => response = Err(error),
                },
                _ => {}
            }
        }
        match response {
            Ok(body) => self.accept_within(now, request, body),
            Err(error) => {
                let rejection = error.rejection(self.advertised(&request.flow));
                self.answer_within(now, key, request, &rejection);
                if let Some(call) = self.calls.get_mut(&key) {
                    call.reliable.waiting = Some(waiting);
                }
                return;
            }
        }
        self.bring(now, key, brought);
        self.settle_call(key);
    }

    /// What a PRACK brought is told, and what waited for it is sent.
    fn bring(&mut self, now: Instant, key: CallKey, brought: Brought) {
        let Some(Call { stage: Stage::Incoming(incoming), reliable, .. }) = self.calls.get_mut(&key) else { return };
        let (answer, next) = (incoming.answer, reliable.next.take());
        match brought {
            Brought::Nothing => {}
            Brought::Change(session) => self.event(Event::MediaChange(key, early(session))),
            Brought::Fault(why) => {
                if self.reject_invite(now, key, 488, "").is_ok() {
                    self.event(Event::Ended(key, EndReason::BadMedia(why.to_string())));
                }
                return;
            }
        }
        // Errors mean that the call is over, and it has been told so.
        match (answer, next) {
            (Answer::Held, _) => drop(self.answer_early(now, key)),
            (Answer::Open, Some(code)) => drop(self.progress(now, key, code)),
            (Answer::Open, None) => {}
        }
    }

    /// 200 to a PRACK.
    fn accept_within(&mut self, now: Instant, request: &Request, body: Option<Vec<u8>>) {
        let mut response = self.response(&request.message, 200, "");
        if let Some(body) = body {
            response.set_body(SDP_TYPE, body);
        }
        let id = self.transactions.open_server(request.key.clone(), request.path);
        self.transactions.respond(now, id, &response, &mut self.packets);
    }

    /// Acknowledges a provisional response of whom we call, when it wants that. False: it came before, or one before it
    /// did not come; it is not looked at (section 4).
    pub(super) fn acknowledge(&mut self, now: Instant, key: CallKey, response: &Message) -> bool {
        let Some(rseq) = rseq(response) else { return true };
        let Some(Call { stage: Stage::Outgoing(outgoing), dialog: Some(dialog), .. }) = self.calls.get_mut(&key) else {
            return true;
        };
        if outgoing.said.rseq.is_some_and(|last| last.checked_add(1) != Some(rseq)) {
            return false;
        }
        outgoing.said.rseq = Some(rseq);
        let number = response.cseq().map_or(0, |(number, _)| number);
        let mut prack = dialog.request(Method::Prack);
        prack.headers.push(Name::RACK, format!("{rseq} {number} {}", Method::Invite));
        self.send_request(now, key, prack);
        true
    }
}

/// The number of a response that must be acknowledged (section 7.1).
pub(super) fn rseq(response: &Message) -> Option<u32> {
    let is_reliable = response.require().iter().any(|tag| tag.eq_ignore_ascii_case(TAG));
    response.headers.get(Name::RSEQ).filter(|_| is_reliable)?.trim().parse().ok()
}

/// The response to an INVITE that a PRACK acknowledges: its RSeq, and the CSeq of the INVITE (section 7.2).
fn rack(prack: &Message) -> Option<(u32, u32)> {
    let mut words = prack.headers.get(Name::RACK)?.split_whitespace();
    let (rseq, number) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some(Method::Invite.as_str()) && words.next().is_none()).then_some((rseq, number))
}
