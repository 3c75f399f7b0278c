//! The INVITE usage: what a call is between its INVITE and its BYE, on either side.
//!
//! ```text
//!  we are called   Incoming ──answer──► Up ──hang_up/BYE──► Closing ──► gone
//!                     └──reject, CANCEL──────────────────────────────► gone
//!  we call         Outgoing ──2xx─────► Up
//!                     └──refused, cancelled, nobody──────────────────► gone
//! ```
//! What we say within a dialog goes out by `requests`. While it is up: `reinvite` refreshes the session and holds, `refer` transfers, `takeover` changes the other side, `info`
//! tells keys. Texts (`text`) come within a call and outside of any.

use std::{net::IpAddr, time::Instant};

use super::{
    core::{CallKey, Core, EndReason, Event, Output},
    dialog::{Dialog, Order},
    flow::{Flow, Packet},
    headers::Name,
    message::Message,
    method::Method,
    reason::Reason,
    receive::Request,
    screen::Rejection,
    session_timer::Clock,
    transaction::{Repeat, T1_64, T2, earliest, table::TransactionId},
};

mod again;
mod authorize;
mod client;
mod early;
mod ending;
mod fork;
mod info;
mod late;
mod media;
mod ping;
mod refer;
mod register;
mod reinvite;
mod reinvited;
mod reliable;
mod requests;
mod server;
mod set_out;
mod takeover;
mod text;
mod update;

use authorize::Authorization;
use client::Outgoing;
pub use early::EarlyMedia;
use fork::Fork;
use media::{Codecs, Negotiation};
pub(super) use ping::Ping;
use refer::Referrals;
use reinvite::Changes;
use reliable::Reliable;
pub(crate) use reliable::acknowledges_progress;
use requests::Requests;
use server::Incoming;
pub use takeover::Newcomer;
pub(super) use text::Sending;
pub use text::TextIn;

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// None until the party we call has given a To tag. While several ring, that of the one who spoke last.
    pub(super) dialog: Option<Dialog>,
    /// The other dialogs that our INVITE has made.
    forks: Vec<Fork>,
    pub(super) flow: Flow,
    stage: Stage,
    /// What our user says of why we refuse it, or hang up.
    because: Option<Reason>,
    /// What it speaks, where that is not what calls with the peer do.
    codecs: Option<Codecs>,
    /// Offer and answer; none before our RTP address is known.
    negotiation: Option<Negotiation>,
    /// Our provisional responses that are to be acknowledged.
    reliable: Reliable,
    /// A 2xx of ours that waits for its ACK.
    unacked: Option<Unacked>,
    /// What we have said within its dialogs.
    requests: Requests,
    /// The session timer, once answered.
    clock: Option<Clock>,
    /// What we want to change.
    changes: Changes,
    referrals: Referrals,
    /// The other side takes UPDATE, by its Allow.
    takes_update: bool,
    /// What answers those who ask for credentials.
    authorization: Option<Box<Authorization>>,
    /// We placed it, and drew its Call-ID.
    is_placed: bool,
    /// A stranger's, placed by us.
    is_to_stranger: bool,
    /// Who it is with, where that is somebody whose address is not trusted.
    guest: Option<IpAddr>,
    scheduled: Option<Instant>,
}

/// Where a call stands.
#[derive(Debug)]
enum Stage {
    /// We are called and have not answered.
    Incoming(Incoming),
    /// We call and have no final response.
    Outgoing(Outgoing),
    /// Answered.
    Up,
    /// Hung up by us while our 2xx had no ACK: the BYE must wait for it (RFC 3261 section 15).
    Hanging,
    /// Our BYE is on its way.
    Closing,
}

/// A 2xx that its user repeats until the ACK comes (RFC 3261 section 13.3.1.4).
#[derive(Debug)]
struct Unacked {
    number: u32,
    packet: Packet,
    resend: Repeat,
    end: Instant,
    /// It bore an offer; the ACK brings the answer.
    awaits_answer: bool,
}

impl Call {
    fn new(flow: Flow, stage: Stage) -> Self {
        Self {
            dialog: None,
            forks: Vec::new(),
            flow,
            stage,
            codecs: None,
            because: None,
            negotiation: None,
            reliable: Reliable::default(),
            unacked: None,
            requests: Requests::default(),
            clock: None,
            changes: Changes::default(),
            referrals: Referrals::default(),
            takes_update: false,
            authorization: None,
            is_placed: false,
            is_to_stranger: false,
            guest: None,
            scheduled: None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref().map(|unacked| unacked.resend.at().min(unacked.end));
        let stage = match &self.stage {
            Stage::Incoming(incoming) => earliest(incoming.deadline(), self.reliable.deadline()),
            Stage::Outgoing(outgoing) => earliest(Some(outgoing.give_up), outgoing.unheard),
            Stage::Up => {
                let session = earliest(self.clock.as_ref().map(Clock::deadline), self.changes.deadline());
                earliest(session, self.referrals.deadline())
            }
            Stage::Hanging | Stage::Closing => None,
        };
        earliest(unacked, stage)
    }

    /// Notes what a message of the other side says that it can.
    fn learn_methods(&mut self, message: &Message) {
        if message.headers.has(&Name::ALLOW) {
            let allowed = message.tokens(Name::ALLOW);
            self.takes_update = allowed.iter().any(|method| method == Method::Update.as_str());
        }
    }

    /// Waits for the ACK of this 2xx.
    fn await_ack(&mut self, now: Instant, number: u32, packet: Packet, awaits_answer: bool) {
        let resend = Repeat::start(now, T2);
        self.unacked = Some(Unacked { number, packet, resend, end: now + T1_64, awaits_answer });
    }
}

impl Core {
    /// A request came within the dialog of this call. Not an ACK, not a CANCEL.
    pub(super) fn within_dialog(&mut self, now: Instant, key: CallKey, request: Request) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.turn_to(request.message.from().ok().and_then(|from| from.tag().map(str::to_owned)).as_deref());
        let Some(dialog) = &mut call.dialog else { return };
        // Screened: the CSeq can be read.
        match dialog.receive(&request.message, request.flow) {
            Ok(Order::Next) => {}
            Ok(Order::Stale) | Err(_) => {
                // RFC 3261 section 12.2.2.
                let mut rejection = Rejection::new(500);
                "CSeq Out Of Order".clone_into(&mut rejection.reason);
                self.answer_within(now, key, &request, &rejection);
                return;
            }
        }
        call.learn_methods(&request.message);
        match request.method {
            Method::Invite => self.reinvited(now, key, request),
            Method::Bye => self.bye(now, key, &request),
            Method::Info => self.informed(now, key, &request),
            Method::Prack => self.pracked(now, key, &request),
            Method::Update => self.updated(now, key, &request),
            Method::Refer => self.referred(now, key, request),
            Method::Notify => self.notified(now, key, &request),
            Method::Message => self.texted_within(now, key, &request),
            Method::Options => {
                let response = self.capabilities(&request.message);
                let id = self.transactions.open_server(request.key, request.path);
                self.transactions.respond(now, id, &response, &mut self.packets);
            }
            _ => self.answer_within(now, key, &request, &Rejection::method_not_allowed()),
        }
    }

    /// Answers a request within a dialog that is not served.
    fn answer_within(&mut self, now: Instant, key: CallKey, request: &Request, rejection: &Rejection) {
        let response = self.reject(&request.message, rejection);
        let (transaction, path) = (request.key.clone(), request.path);
        let id = if request.method == Method::Invite {
            self.transactions.open_invite_server(now, transaction, None, path, None, key)
        } else {
            self.transactions.open_server(transaction, path)
        };
        self.transactions.respond(now, id, &response, &mut self.packets);
    }

    /// The ACK of a 2xx came.
    pub(super) fn acknowledged(&mut self, now: Instant, key: CallKey, ack: &Message, flow: Flow) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Ok((number, _)) = ack.cseq() else { return };
        let Some(unacked) = call.unacked.take_if(|unacked| unacked.number == number) else { return };
        self.outputs.push_back(Output::Event(Event::Acknowledged(key)));
        if let Some(dialog) = &mut call.dialog {
            // An ACK is in order at any time.
            let received = dialog.receive(ack, flow);
            debug_assert!(received.is_ok());
        }
        if matches!(call.stage, Stage::Hanging) {
            self.send_bye(now, key, &Reason::normal());
        } else if unacked.awaits_answer {
            self.take_late_answer(now, key, ack);
        }
        self.pursue(now, key);
        self.settle_call(key);
    }

    /// One of the call's own timers is due.
    pub(super) fn expire_call(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else {
            self.timers.retain(|(_, other)| *other != key);
            return;
        };
        if let Some(unacked) = &mut call.unacked {
            if now >= unacked.end {
                // RFC 3261 section 13.3.1.4: the session is terminated.
                let was_up = matches!(call.stage, Stage::Up);
                if was_up {
                    self.event(Event::Ended(key, EndReason::Unacknowledged));
                }
                self.send_bye(now, key, &Reason::expired());
                return;
            }
            if unacked.resend.is_due(now) {
                self.counters.retransmissions += 1;
                self.packets.push_back(unacked.packet.clone());
            }
        }
        match &call.stage {
            Stage::Incoming(_) => self.expire_incoming(now, key),
            Stage::Outgoing(_) => self.expire_outgoing(now, key),
            Stage::Up => {
                self.expire_referrals(now, key);
                self.expire_up(now, key);
            }
            Stage::Hanging | Stage::Closing => {}
        }
        self.settle_call(key);
    }

    /// A response to a request of ours came.
    pub(super) fn responded(&mut self, now: Instant, key: CallKey, id: TransactionId, response: &Message) {
        let Some(code) = response.status() else { return };
        let Ok((_, method)) = response.cseq() else { return };
        let Some(id) = self.unless_sent_again(now, key, id, response) else { return };
        match method {
            Method::Invite | Method::Update if self.change_responded(now, key, id, code, response) => {}
            Method::Invite => self.invite_responded(now, key, id, code, response),
            Method::Bye if code >= 200 => self.forget(key),
            Method::Refer if code >= 200 => drop(self.refer_answered(now, key, id, code)),
            Method::Info if code >= 200 => drop(self.key_answered(id, code)),
            Method::Notify if code == 481 => self.unsubscribed(key),
            _ => {}
        }
        self.unless_lost(now, key, &method, code);
    }

    /// The other side does not know the dialog any more: the call is over (RFC 3261 section 12.2.1.2, RFC 6086 section 4.2.1). Who
    /// said nothing may have let a method go by that it does not know, as some gateways do: it is asked at once whether the session
    /// stands, by a refresh, and is lost when it says nothing to that either. A NOTIFY has a subscription of its own, which ends alone (RFC 5057 section 5.1), and 481 to a PRACK may be said of
    /// the response that it acknowledges (RFC 3262 section 3).
    fn unless_lost(&mut self, now: Instant, key: CallKey, method: &Method, code: u16) {
        let is_up = self.calls.get(&key).is_some_and(|call| matches!(call.stage, Stage::Up));
        let tells = matches!(method, Method::Info | Method::Refer | Method::Update | Method::Message);
        match code {
            481 if is_up && tells => self.end(now, key, EndReason::Lost { code }),
            408 if is_up && tells => self.doubt(now, key),
            _ => {}
        }
    }

    /// Nobody answered a request of ours: `code` is 408, or 503 when it could not be sent, and why.
    pub(super) fn unanswered(&mut self, now: Instant, key: CallKey, id: TransactionId, (code, why): (u16, &str)) {
        if self.go_another_way(now, key, id, code == 503) {
            return;
        }
        let (id, method) = self.given_up(key, id);
        if self.key_answered(id, code)
            || self.change_unanswered(now, key, id, code)
            || self.refer_answered(now, key, id, code)
        {
            return self.unless_lost(now, key, &method, code);
        }
        let Some(call) = self.calls.get(&key) else { return };
        match &call.stage {
            Stage::Outgoing(outgoing) if outgoing.transaction == id => {
                if self.try_another_way(now, key) {
                    return;
                }
                self.outgoing_failed(now, key, code, why);
            }
            Stage::Closing => self.forget(key),
            _ => {}
        }
    }

    /// Moves the call's timer after every event.
    fn settle_call(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let deadline = call.deadline();
        if deadline != call.scheduled {
            if let Some(at) = call.scheduled {
                self.timers.remove(&(at, key));
            }
            if let Some(at) = deadline {
                self.timers.insert((at, key));
            }
            call.scheduled = deadline;
        }
    }

    /// What comes from the other side of this call is for it, though its address is not trusted.
    fn welcome_guest(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let address = call.flow.remote.ip().to_canonical();
        let guest = Some(address).filter(|address| !self.gate.trusts(*address));
        let was = std::mem::replace(&mut call.guest, guest);
        if let Some(address) = guest {
            *self.guests.entry(address).or_default() += 1;
        }
        self.see_off(was);
    }

    /// A call with this address is over.
    fn see_off(&mut self, guest: Option<IpAddr>) {
        let Some(address) = guest else { return };
        if let Some(calls) = self.guests.get_mut(&address) {
            *calls -= 1;
            if *calls == 0 {
                self.guests.remove(&address);
            }
        }
    }

    /// Makes a dialog findable.
    fn index(&mut self, key: CallKey, call_id: &str, local_tag: &str) {
        self.dialogs.insert((call_id.to_owned(), local_tag.to_owned()), key);
    }
}
