//! Requests of those who are not trusted: whether they must prove who they are, to the registrar or as a trunk, and how they are asked.

use std::{net::IpAddr, time::Instant};

use tracing::warn;

use super::{
    super::{
        bans::{Offence, weight},
        core::{Core, Output},
        flow::{Flow, Packet, Path, Transport, response_path},
        gate::Verdict,
        header::Via,
        message::Message,
        method::Method,
        receive::kept_secret,
        screen::{Rejection, screen},
        transaction::message::server_key,
    },
    Asked, Judgement,
};

/// How many times as much as a datagram of somebody unknown the answer to it may be.
const MOST_RETURNED: usize = 2;

impl Core {
    /// A request outside every dialog of somebody who is not trusted: whether it is served, as whose. A REGISTER is the
    /// registrar's to judge; an INVITE or a MESSAGE must prove who sends it, where a telephone is registered, and an INVITE where a
    /// trunk has credentials; what belongs to an INVITE that was let in is.
    pub(in crate::sip) fn lets_in(
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
    pub(super) fn is_judged(
        &mut self,
        now: Instant,
        message: &Message,
        address: IpAddr,
        asking: Option<usize>,
    ) -> bool {
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

    /// 401, of the registrar or of this realm of trunks. Who is not trusted is asked at a limited rate: a forged source must not
    /// make us send floods.
    pub(super) fn ask(
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
pub(in crate::sip) enum Outsider {
    /// It is served; as whose, where it had to prove it.
    Served(Option<Proven>),
    /// It has its answer, or deserved none.
    Answered,
    /// Nobody knows it.
    Stranger,
}
