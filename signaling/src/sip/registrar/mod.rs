//! A registrar for our own people's telephones (RFC 3261 section 10.3): they say where they are, prove who they are, and can
//! then be called by their account, and call.
//!
//! ```text
//!  REGISTER ──► answer: who is it? ──no──► 401, at a limited rate, the same for every name
//!                 └─yes─► path ──► bindings ──► 200, Event::Registered
//!  INVITE, MESSAGE from where a telephone is registered ──► answer ──► a call of this account
//! ```

mod answer;
mod bindings;
mod outsider;
mod path;
mod user;

use std::{net::IpAddr, time::Instant};

use super::{
    core::{Core, Event},
    flow::ConnectionId,
    headers::Name,
    receive::Request,
    screen::Rejection,
    text_pace::{TextPace, TextPaces},
};
use bindings::Bindings;

pub use answer::Algorithms;
pub(super) use answer::{Asked, Examiner, Judgement};
pub use bindings::{Registered, Terms};
pub(super) use outsider::Outsider;
pub use outsider::Proven;
pub(super) use path::PATH;
use path::path_of;
pub use user::User;

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
            let (source, bindings) = (request.flow.remote.ip(), &mut registrar.bindings);
            let path = path_of(message, source, self.gate.trusts(source));
            path.and_then(|path| bindings.register(now, &user, message, (request.flow, path), registrar.terms))
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
            // RFC 3327 section 5.3: so that the telephone sees by which proxies it is called.
            message.headers.get_all(Name::PATH).for_each(|path| response.headers.push(Name::PATH, path));
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
}
