//! A registrar for our own people's telephones (RFC 3261 section 10.3): they say where they are, prove who they are, and can
//! then be called by their account, and call.
//!
//! ```text
//!  REGISTER ──► answer: who is it? ──no──► 401, at a limited rate, the same for every name
//!                 └─yes─► bindings ──► 200, Event::Registered
//!  INVITE, MESSAGE from where a telephone is registered ──► answer ──► a call of this account
//! ```

mod answer;
mod bindings;

use std::{net::IpAddr, time::Instant};

use tracing::warn;

use super::{
    bans::{Offence, weight},
    core::{Core, Event, Output},
    flow::{ConnectionId, Flow, Packet, Path, Transport, response_path},
    gate::Verdict,
    header::Via,
    headers::Name,
    message::Message,
    method::Method,
    receive::{Request, kept_secret},
    screen::{Rejection, screen},
    text_pace::{TextPace, TextPaces},
    transaction::message::server_key,
};
use bindings::Bindings;

pub use answer::{Algorithms, User};
pub(super) use answer::{Asked, Examiner, Judgement};
pub use bindings::{Registered, Terms};

/// How many times as much as a datagram of somebody unknown the answer to it may be.
const MOST_RETURNED: usize = 2;

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
    /// How many texts they may send.
    pub text_pace: TextPace,
}

/// The registrar.
#[derive(Debug)]
pub(super) struct Registrar {
    examiner: Examiner,
    bindings: Bindings,
    terms: Terms,
    pub(super) paces: TextPaces,
}

impl Registrar {
    pub(super) fn new(now: Instant, config: RegistrarConfig, key: [u8; 32]) -> Self {
        let RegistrarConfig { realm, users, terms, algorithms, text_pace } = config;
        let examiner = Examiner::new(now, (realm, algorithms), users, key);
        Self { examiner, bindings: Bindings::default(), terms, paces: TextPaces::new(text_pace) }
    }

    /// Whether a telephone is registered from this address.
    pub(super) fn is_from(&self, address: IpAddr) -> bool {
        self.bindings.is_from(address)
    }

    /// Whether there is an account of this name, and if so, whether a telephone of it is registered.
    pub(super) fn reaches(&self, name: &str) -> Option<bool> {
        self.examiner.knows(name).then(|| self.bindings.has(name))
    }

    /// Whether this connection carries the calls of a telephone.
    pub(super) fn uses(&self, connection: Option<ConnectionId>) -> bool {
        self.bindings.uses(connection)
    }

    /// Whether it has this account.
    fn knows(&self, name: &str) -> bool {
        self.examiner.knows(name)
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

    /// Whether a datagram of somebody who is not trusted may be a call of a trunk that proves who it is, or belong to one.
    pub(super) fn may_prove_itself(&self, bytes: &[u8]) -> bool {
        let of_a_call = [&b"INVITE "[..], b"ACK ", b"CANCEL "];
        self.logins.is_some() && of_a_call.iter().any(|method| bytes.starts_with(method))
    }

    /// A request outside every dialog of somebody who is not trusted: whether it is served, as whose. A REGISTER is the
    /// registrar's to judge; an INVITE or a MESSAGE must prove who sends it, where a telephone is registered, and an INVITE where a
    /// trunk has credentials; what belongs to an INVITE that was let in is.
    pub(super) fn lets_in(
        &mut self,
        now: Instant,
        (method, via, key): (&Method, &Via, &str),
        message: &Message,
        flow: &Flow,
    ) -> Outsider {
        let address = flow.remote.ip();
        if *method == Method::Register {
            // What is refused before anybody is asked who it is, is a stranger's, and counts as such.
            let has_to_tag = message.to().is_ok_and(|to| to.tag().is_some());
            let is_sound = self.registrar.is_some() && !has_to_tag && is_sound(message, method, flow);
            return if is_sound { Outsider::Served(None) } else { Outsider::Stranger };
        }
        let is_telephone = self.registrar.as_ref().is_some_and(|registrar| registrar.is_from(address));
        if !is_telephone && self.logins.is_none() {
            return Outsider::Stranger;
        }
        // Only whoever sent the INVITE: what stands in a Via may be known to others.
        let is_its_own = |key: &str| {
            let path = self.transactions.find(key).and_then(|id| self.transactions.path(id));
            path.is_some_and(|path| path.flow.remote.ip() == address)
        };
        if is_its_own(key) || (*method == Method::Cancel && is_its_own(&server_key(via, message, &Method::Invite))) {
            return Outsider::Served(None);
        }
        if *method != Method::Invite && !is_telephone {
            return Outsider::Stranger;
        }
        if !matches!(method, Method::Invite | Method::Message) {
            // OPTIONS to see whether we are there, SUBSCRIBE and PUBLISH that we know nothing of: a telephone has its answer.
            let is_asked = *method == Method::Ack || self.gate.ask(now, address, true) == Verdict::Refuse;
            return if is_asked { Outsider::Served(None) } else { Outsider::Answered };
        }
        let caller = message.from().map(|from| from.uri.user()).unwrap_or_default();
        let is_account = is_telephone && self.registrar.as_ref().is_some_and(|registrar| registrar.knows(&caller));
        // A trunk proves its calls, and sends no texts.
        let may_be_trunk = *method == Method::Invite && !is_account;
        let asking = self.logins.as_ref().filter(|_| may_be_trunk).and_then(|logins| logins.asks(message));
        let asking = asking.filter(|_| is_sound(message, method, flow));
        if !self.is_judged(now, message, address, asking) {
            return Outsider::Answered;
        }
        match asking {
            Some(asking) => self.lets_in_trunk(now, asking, message, via, flow),
            None if is_telephone => self.lets_in_account(now, &caller, message, via, flow),
            None => Outsider::Stranger,
        }
    }

    /// Whether the credentials of a request are judged, by the registrar or by this realm of trunks: not after too many wrong ones.
    fn is_judged(&mut self, now: Instant, message: &Message, address: IpAddr, asking: Option<usize>) -> bool {
        // Who brings none guesses nothing.
        let Some(name) = self.claimed(message, asking) else { return true };
        let is_judged = self.gate.may_guess(now, address, &name);
        if !is_judged {
            self.counters.unjudged += 1;
            if self.gate.unjudged(now) {
                warn!(%address, "answers to challenges are not judged for a while: too many were wrong");
            }
        }
        is_judged
    }

    /// Whose credentials a request brings to the registrar, or to this realm of trunks.
    fn claimed(&self, message: &Message, asking: Option<usize>) -> Option<String> {
        match asking {
            Some(asking) => self.logins.as_ref()?.claimed(asking, message),
            None => self.registrar.as_ref()?.examiner.claimed(message),
        }
    }

    /// An INVITE or a MESSAGE from where a telephone is registered.
    fn lets_in_account(&mut self, now: Instant, caller: &str, message: &Message, via: &Via, flow: &Flow) -> Outsider {
        let Some(registrar) = &mut self.registrar else { return Outsider::Stranger };
        match registrar.examiner.judge(now, message, flow.remote.ip()) {
            Judgement::Known(at) => {
                let account = registrar.examiner.name(at).to_owned();
                self.gate.proved(now, flow.remote.ip(), &account);
                if caller == account {
                    return Outsider::Served(Some(Proven::Account(account)));
                }
                self.answer_outsider(message, via, flow, &Rejection::new(403));
            }
            Judgement::Ask(asked) => self.ask(now, (message, via, flow), asked, None),
        }
        Outsider::Answered
    }

    /// An INVITE that may be a call of a trunk with credentials.
    fn lets_in_trunk(&mut self, now: Instant, asking: usize, message: &Message, via: &Via, flow: &Flow) -> Outsider {
        let address = flow.remote.ip();
        let Some(logins) = &mut self.logins else { return Outsider::Stranger };
        match logins.judge(now, asking, message, address) {
            Ok((login, trunk)) => {
                self.bans.pardon(now, address);
                self.gate.proved(now, address, &login);
                if let Some(trunk) = trunk {
                    return Outsider::Served(Some(Proven::Trunk(trunk)));
                }
                self.answer_outsider(message, via, flow, &Rejection::new(403));
            }
            Err(asked) => self.ask(now, (message, via, flow), asked, Some(asking)),
        }
        Outsider::Answered
    }

    /// The accounts are these from now on. Whose account is gone, or has another password, is no longer registered.
    pub fn replace_accounts(&mut self, users: Vec<User>) {
        if let Some(registrar) = &mut self.registrar {
            let same = registrar.examiner.replace(users);
            registrar.bindings.keep(|user| same.contains(user));
        }
        self.tell_bindings();
    }

    /// A REGISTER came.
    pub(super) fn registers(&mut self, now: Instant, request: Request) {
        let message = &request.message;
        if !self.is_judged(now, message, request.flow.remote.ip(), None) {
            return;
        }
        let Some(registrar) = &mut self.registrar else {
            return self.answer_stateless(&request, &Rejection::method_not_allowed());
        };
        let at = match registrar.examiner.judge(now, message, request.flow.remote.ip()) {
            Judgement::Known(at) => at,
            Judgement::Ask(asked) => return self.ask(now, (message, &request.via, &request.flow), asked, None),
        };
        // Whoever has mistyped before, or whose address somebody has forged, is welcome.
        self.bans.pardon(now, request.flow.remote.ip());
        let user = registrar.examiner.name(at).to_owned();
        self.gate.proved(now, request.flow.remote.ip(), &user);
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
    pub(super) fn unbind(&mut self, connection: ConnectionId) {
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
        let news = |core: &mut Self| core.registrar.as_mut()?.bindings.news();
        while let Some((account, telephones)) = news(self) {
            self.event(Event::Registered(account, telephones));
        }
        self.counters.bindings = self.registrar.as_ref().map_or(0, |registrar| registrar.bindings.total());
    }

    /// 401, of the registrar or of this realm of trunks. Who is not trusted is asked at a limited rate: a forged source must not
    /// make us send floods.
    fn ask(
        &mut self,
        now: Instant,
        (message, via, flow): (&Message, &Via, &Flow),
        asked: Asked,
        asking: Option<usize>,
    ) {
        let address = flow.remote.ip();
        let is_stream = flow.connection.is_some();
        let is_registered = self.registrar.as_ref().is_some_and(|registrar| registrar.is_from(address));
        let is_known = is_registered || self.gate.has_proof(now, address);
        match asked {
            Asked::Wrong { heard } => {
                self.counters.wrong_answers += 1;
                // Over UDP it counts as a guess only where the question has reached this very address.
                let proven = heard || is_stream;
                if let Some(name) = self.claimed(message, asking).filter(|_| proven) {
                    self.gate.guessed(now, address, &name);
                }
                let offence = if proven { Offence::WrongAnswers } else { Offence::Requests };
                self.offend(now, flow, (offence, 1.0), proven);
            }
            // Who has answered right before will do so again.
            Asked::First if is_known => {}
            // Whoever answers right next is forgiven; a scanner never does.
            Asked::First => self.offend(now, flow, (Offence::Requests, weight(&message.to_bytes())), is_stream),
            Asked::Stale | Asked::Again => {}
        }
        if !self.gate.trusts(address) && self.gate.ask(now, address, is_known) == Verdict::Silence {
            if let Some(connection) = flow.connection.filter(|_| !is_known) {
                self.outputs.push_back(Output::Close(connection));
            }
            return;
        }
        let stale = asked == Asked::Stale;
        let challenges = match (asking, &mut self.logins, &mut self.registrar) {
            (Some(asking), Some(logins), _) => logins.challenges(now, asking, address, stale),
            (_, _, Some(registrar)) => registrar.examiner.challenges(now, address, stale),
            _ => return,
        };
        let mut rejection = Rejection::new(401);
        rejection.headers.extend(challenges);
        // That it was sent from there is shown by an answer to what went there, and by a handshake.
        let is_proven = is_stream || matches!(asked, Asked::Stale | Asked::Wrong { heard: true });
        if flow.transport != Transport::Udp || is_proven || self.gate.trusts(address) {
            return self.answer_outsider(message, via, flow, &rejection);
        }
        // Over UDP whoever is named as the source gets little more than was sent: of several challenges the last, which every
        // telephone knows, where both are more than that; and nothing where one alone is twice as much, which no telephone sends.
        let sent = self.read;
        let bytes = |core: &Self, rejection: &Rejection| core.to_outsider(message, rejection).len();
        if bytes(self, &rejection) > sent && rejection.headers.len() > 1 {
            rejection.headers.drain(..rejection.headers.len() - 1);
        }
        if bytes(self, &rejection) <= sent * MOST_RETURNED {
            self.answer_outsider(message, via, flow, &rejection);
        }
    }

    fn to_outsider(&self, request: &Message, rejection: &Rejection) -> Vec<u8> {
        let mut response = rejection.response_to(request);
        response.set_to_tag(&self.stateless_tag(request));
        response.to_bytes()
    }

    /// Answers without state, to the very address that the request came from.
    fn answer_outsider(&mut self, request: &Message, via: &Via, flow: &Flow, rejection: &Rejection) {
        let bytes = self.to_outsider(request, rejection).into();
        // Whose connection is gone has us open none.
        let path = Path { or_connect: None, ..response_path(via, flow) };
        self.packets.push_back(Packet { path, bytes, transaction: None });
    }
}

/// Whether a request deserves to be asked who sends it.
fn is_sound(message: &Message, method: &Method, flow: &Flow) -> bool {
    screen(message).and_then(|()| kept_secret(message, method, flow)).is_ok()
}

/// Who has proved, by digest, to send a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// A telephone of this account.
    Account(String),
    /// This trunk.
    Trunk(String),
}

/// What becomes of a request of somebody who is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outsider {
    /// It is served; as whose, where it had to prove it.
    Served(Option<Proven>),
    /// It has its answer, or deserved none.
    Answered,
    /// Nobody knows it.
    Stranger,
}
