//! A registrar for our own people's telephones (RFC 3261 section 10.3): they say where they are, prove who they are, and can
//! then be called by their account, and call.
//!
//! ```text
//!  REGISTER ──► answer: who is it? ──no──► 401, at a limited rate, the same for every name
//!                 └─yes─► bindings ──► 200, Event::Registered
//!  INVITE from where a telephone is registered ──► answer ──► a call of this account
//! ```

mod answer;
mod bindings;

use std::{net::IpAddr, time::Instant};

use super::{
    bans::Offence,
    core::{Core, Event, Output},
    flow::{ConnectionId, Flow, Packet, response_path},
    gate::Verdict,
    header::Via,
    headers::Name,
    message::Message,
    method::Method,
    receive::{Request, kept_secret},
    screen::{Rejection, screen},
    transaction::message::server_key,
};
use answer::{Asked, Examiner, Judgement};
use bindings::Bindings;

pub use answer::{Algorithms, User};
pub use bindings::{Registered, Terms};

/// What a registrar is made from.
#[derive(Clone, Debug)]
pub struct RegistrarConfig {
    /// The realm of the accounts' hashes.
    pub realm: String,
    /// The accounts.
    pub users: Vec<User>,
    /// For how long one may be registered.
    pub terms: Terms,
    /// How they prove who they are.
    pub algorithms: Algorithms,
}

/// The registrar.
#[derive(Debug)]
pub(super) struct Registrar {
    examiner: Examiner,
    bindings: Bindings,
    terms: Terms,
}

impl Registrar {
    pub(super) fn new(now: Instant, config: RegistrarConfig, key: [u8; 32]) -> Self {
        let RegistrarConfig { realm, users, terms, algorithms } = config;
        Self { examiner: Examiner::new(now, (realm, algorithms), users, key), bindings: Bindings::default(), terms }
    }

    /// Whether a telephone is registered from this address.
    pub(super) fn is_from(&self, address: IpAddr) -> bool {
        self.bindings.is_from(address)
    }

    /// Whether this connection carries the calls of a telephone.
    pub(super) fn uses(&self, connection: Option<ConnectionId>) -> bool {
        self.bindings.uses(connection)
    }

    /// Whether any telephone is reached through a NAT by datagrams.
    pub(super) fn is_anybody_behind_nat(&self) -> bool {
        self.bindings.is_anybody_behind_nat()
    }

    /// All telephones.
    pub(super) fn telephones(&self) -> impl Iterator<Item = &Registered> {
        self.bindings.all()
    }

    /// When the next binding lapses.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.bindings.deadline()
    }
}

impl Core {
    /// Whether a datagram of somebody who is not trusted may be for the registrar, and is worth to be read.
    pub(super) fn may_be_registered(&self, address: IpAddr, bytes: &[u8]) -> bool {
        let registers = |registrar: &Registrar| bytes.starts_with(b"REGISTER ") || registrar.is_from(address);
        self.registrar.as_ref().is_some_and(registers)
    }

    /// A request outside every dialog of somebody who is not trusted: whether it is served, as whose. A REGISTER is the
    /// registrar's to judge; an INVITE must prove who sends it, from where a telephone is registered; what belongs to an
    /// INVITE that was let in is.
    pub(super) fn lets_in(
        &mut self,
        now: Instant,
        (method, via, key): (&Method, &Via, &str),
        message: &Message,
        flow: &Flow,
    ) -> Outsider {
        let Some(registrar) = &mut self.registrar else { return Outsider::Stranger };
        if *method == Method::Register {
            // What is refused before anybody is asked who it is, is a stranger's, and counts as such.
            let has_to_tag = message.to().is_ok_and(|to| to.tag().is_some());
            let is_sound = !has_to_tag && screen(message).and_then(|()| kept_secret(message, method, flow)).is_ok();
            return if is_sound { Outsider::Served(None) } else { Outsider::Stranger };
        }
        if !registrar.is_from(flow.remote.ip()) {
            return Outsider::Stranger;
        }
        let of_invite = || self.transactions.find(&server_key(via, message, &Method::Invite)).is_some();
        if self.transactions.find(key).is_some() || (*method == Method::Cancel && of_invite()) {
            return Outsider::Served(None);
        }
        if *method != Method::Invite {
            // OPTIONS to see whether we are there, SUBSCRIBE and PUBLISH that we know nothing of: a telephone has its answer.
            let is_asked = *method == Method::Ack || self.gate.ask(now, flow.remote.ip(), true) == Verdict::Refuse;
            return if is_asked { Outsider::Served(None) } else { Outsider::Answered };
        }
        match registrar.examiner.judge(now, message, flow.remote.ip()) {
            Judgement::Known(at) => {
                let account = registrar.examiner.name(at).to_owned();
                if message.from().is_ok_and(|from| from.uri.user() == account) {
                    return Outsider::Served(Some(account));
                }
                self.answer_outsider(message, via, flow, &Rejection::new(403));
            }
            Judgement::Ask(asked) => self.ask(now, message, via, flow, asked),
        }
        Outsider::Answered
    }

    /// A REGISTER came.
    pub(super) fn registers(&mut self, now: Instant, request: Request) {
        let Some(registrar) = &mut self.registrar else {
            return self.answer_stateless(&request, &Rejection::method_not_allowed());
        };
        let message = &request.message;
        let at = match registrar.examiner.judge(now, message, request.flow.remote.ip()) {
            Judgement::Known(at) => at,
            Judgement::Ask(asked) => return self.ask(now, message, &request.via, &request.flow, asked),
        };
        // Whoever has mistyped before, or whose address somebody has forged, is welcome.
        self.bans.pardon(now, request.flow.remote.ip());
        let user = registrar.examiner.name(at).to_owned();
        let own = message.to().is_ok_and(|to| to.uri.user() == user);
        let done = if own {
            registrar.bindings.register(now, &user, message, request.flow, registrar.terms)
        } else {
            // Nobody registers for somebody else.
            Err(Rejection::new(403))
        };
        let contacts: Vec<String> = registrar.bindings.contacts(now, &user).collect();
        let mut response = match &done {
            Ok(()) => self.response(message, 200, ""),
            Err(rejection) => self.reject(message, rejection),
        };
        response.set_to_tag(&self.stateless_tag(message));
        if done.is_ok() {
            contacts.into_iter().for_each(|contact| response.headers.push(Name::CONTACT, contact));
        }
        // Its own transaction answers the same one when it comes again, which its nonce count would not let pass.
        let id = self.transactions.open_server(request.key, request.path);
        self.transactions.respond(now, id, &response, &mut self.packets);
        self.tell_bindings();
    }

    /// A connection is no more: the telephones that came by it are reached no longer, and whoever has their address next is
    /// somebody else.
    pub fn closed(&mut self, connection: ConnectionId) {
        if let Some(registrar) = &mut self.registrar {
            registrar.bindings.closed(connection);
        }
        self.tell_bindings();
    }

    /// Lets bindings go whose time is over.
    pub(super) fn expire_bindings(&mut self, now: Instant) {
        if let Some(registrar) = &mut self.registrar {
            registrar.bindings.expire(now);
        }
        self.tell_bindings();
    }

    fn tell_bindings(&mut self) {
        if let Some(all) = self.registrar.as_mut().and_then(|registrar| registrar.bindings.news()) {
            self.counters.bindings = all.len();
            self.event(Event::Registered(all));
        }
    }

    /// 401. Who is not trusted is asked at a limited rate: a forged source must not make us send floods.
    fn ask(&mut self, now: Instant, message: &Message, via: &Via, flow: &Flow, asked: Asked) {
        let address = flow.remote.ip();
        let is_stream = flow.connection.is_some();
        match asked {
            Asked::Wrong { heard } => {
                self.counters.wrong_answers += 1;
                // Over UDP it counts as a guess only where the question has reached this very address.
                let proven = heard || is_stream;
                let offence = if proven { Offence::WrongAnswers } else { Offence::Requests };
                self.offend(now, flow, (offence, 1.0), proven);
            }
            Asked::First if is_stream => self.offend(now, flow, (Offence::Requests, 1.0), true),
            Asked::First | Asked::Stale | Asked::Again => {}
        }
        let is_known = self.registrar.as_ref().is_some_and(|registrar| registrar.is_from(address));
        if !self.gate.trusts(address) && self.gate.ask(now, address, is_known) == Verdict::Silence {
            if let Some(connection) = flow.connection {
                self.outputs.push_back(Output::Close(connection));
            }
            return;
        }
        let Some(registrar) = &mut self.registrar else { return };
        let mut rejection = Rejection::new(401);
        rejection.headers.extend(registrar.examiner.challenges(now, address, asked == Asked::Stale));
        self.answer_outsider(message, via, flow, &rejection);
    }

    /// Answers without state, to the very address that the request came from.
    fn answer_outsider(&mut self, request: &Message, via: &Via, flow: &Flow, rejection: &Rejection) {
        let mut response = rejection.response_to(request);
        response.set_to_tag(&self.stateless_tag(request));
        let path = response_path(via, flow);
        self.packets.push_back(Packet { path, bytes: response.to_bytes().into(), transaction: None });
    }
}

/// What becomes of a request of somebody who is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outsider {
    /// It is served; as this account's, where it had to prove it.
    Served(Option<String>),
    /// It has its answer, or deserved none.
    Answered,
    /// Nobody knows it.
    Stranger,
}
