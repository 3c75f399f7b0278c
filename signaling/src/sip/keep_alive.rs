//! Keeping the ways open that a NAT forgets (RFC 5626 section 3.5, RFC 6223): to the registrars that we are registered with, by line
//! ends; to the telephones that are registered with us over UDP from behind a NAT, by an OPTIONS each, because their answers keep a
//! NAT open that ours alone may not (RFC 4787 section 4.3).
//!
//! Telephones have no timer each. The interval is cut into slots; each telephone is in one of them by its address, so that what is
//! sent is spread evenly. An OPTIONS to one of them is sent once and waited for by nobody.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    core::{CallKey, Core, Output},
    flow::{Flow, Packet, Path, Transport},
    header::NameAddr,
    headers::Name,
    message::Message,
    method::Method,
    registrar::Registered,
    transaction::earliest,
};

/// Into so many slots the interval is cut.
const SLOTS: u32 = 25;
/// What asks for an answer on a stream, and is nothing in a datagram.
pub(super) const PING: &[u8] = b"\r\n\r\n";

/// When the telephones of the next slot are due.
#[derive(Debug)]
pub(super) struct KeepAlive {
    /// None: nobody's way is kept open.
    every: Option<Duration>,
    next: Option<Instant>,
    slot: u32,
}

impl KeepAlive {
    pub(super) fn new(every: Option<Duration>) -> Self {
        Self { every: every.filter(|every| !every.is_zero()), next: None, slot: 0 }
    }

    /// How often, where it is done at all.
    pub(super) fn every(&self) -> Option<Duration> {
        self.every
    }

    /// The slots that are due, of which each comes round once in the interval; none after a pause of more than all of them twice.
    fn due(&mut self, now: Instant, is_wanted: bool) -> Vec<u32> {
        let Some(every) = self.every.filter(|_| is_wanted) else {
            self.next = None;
            return Vec::new();
        };
        let step = every / SLOTS;
        let mut next = self.next.unwrap_or(now + step);
        let mut due = Vec::new();
        while next <= now && due.len() < SLOTS as usize {
            due.push(self.slot);
            self.slot = (self.slot + 1) % SLOTS;
            next += step;
        }
        // After a pause what was missed is not made up for.
        self.next = Some(if next <= now { now + step } else { next });
        due
    }
}

fn slot(remote: SocketAddr) -> u32 {
    let mut hasher = DefaultHasher::new();
    remote.hash(&mut hasher);
    (hasher.finish() % u64::from(SLOTS)) as u32
}

/// Whether a telephone is reached through a NAT by datagrams: it believes to be elsewhere than where it was seen. Behind a proxy it is
/// that one's to keep the way open.
pub(super) fn is_behind_nat(telephone: &Registered) -> bool {
    let Flow { transport, remote, .. } = telephone.flow;
    let host = telephone.contact.host().and_then(|host| host.as_str().trim_matches(['[', ']']).parse().ok());
    let port = telephone.contact.port().unwrap_or_else(|| transport.default_port());
    telephone.path.is_empty()
        && transport == Transport::Udp
        && (host, port) != (Some(remote.ip().to_canonical()), remote.port())
}

impl Core {
    /// When ways are to be kept open again.
    pub(super) fn keep_alive_timer(&self) -> Option<Instant> {
        let registrars = self.registrations.values().filter_map(|one| one.keep_at).min();
        earliest(self.keep_alive.next, registrars)
    }

    /// Keeps those ways open that are due.
    pub(super) fn keep_ways_open(&mut self, now: Instant) {
        if self.keep_alive.every().is_none() {
            return;
        }
        let due = self.registrations.iter_mut().filter_map(|(_, one)| one.keep_alive(now));
        let ways: Vec<Path> = due.collect();
        self.outputs.extend(ways.into_iter().map(Output::KeepAlive));
        let is_wanted = self.registrar.as_ref().is_some_and(|registrar| registrar.is_anybody_behind_nat());
        for at in self.keep_alive.due(now, is_wanted) {
            let telephones = self.registrar.iter().flat_map(|registrar| registrar.telephones());
            let here = telephones.filter(|one| is_behind_nat(one) && slot(one.flow.remote) == at);
            let here: Vec<_> = here.map(|one| (one.contact.clone(), one.flow)).collect();
            for (contact, flow) in here {
                self.ask_a_telephone(Message::request(Method::Options, contact), flow);
            }
        }
    }

    fn ask_a_telephone(&mut self, mut options: Message, flow: Flow) {
        let path = Path { flow, or_connect: None };
        let us = self.advertised(&flow);
        let (tag, call_id) = (self.word(), format!("{}{}@{us}", self.word(), self.word()));
        let to = options.uri().cloned().map(NameAddr::new).map(|to| to.to_string()).unwrap_or_default();
        options.headers.push(Name::MAX_FORWARDS, "70");
        options.headers.push(Name::FROM, format!("<sip:milo@{us}>;tag={tag}"));
        options.headers.push(Name::TO, to);
        options.headers.push(Name::CALL_ID, call_id);
        options.headers.push(Name::CSEQ, "1 OPTIONS");
        options.headers.push(Name::CONTACT, self.contact_for(&flow, options.uri()));
        self.put_via(&mut options, &path);
        self.packets.push_back(Packet { path, bytes: options.to_bytes().into(), transaction: None });
    }

    /// A stream to this peer is no more, or it does not answer on it: who is registered over it registers anew, over another one
    /// (RFC 5626 section 4.2.1).
    pub fn flow_failed(&mut self, now: Instant, flow: &Flow) {
        let keys: Vec<CallKey> = self.registrations.keys().copied().collect();
        for key in keys {
            let Some(registration) = self.registrations.get_mut(&key) else { continue };
            let goes = registration.path.map(|path| (path.flow.transport, path.flow.remote));
            if goes == Some((flow.transport, flow.remote)) {
                registration.renew(now);
            }
        }
        self.expire_registrations(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_comes_round_once_in_the_interval_and_a_pause_is_not_made_up_for() {
        #[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
        let start = Instant::now();
        let mut keep = KeepAlive::new(Some(Duration::from_secs(25)));
        assert_eq!(keep.due(start, true), [0; 0]);
        let mut due = Vec::new();
        for second in 1..=25 {
            due.extend(keep.due(start + Duration::from_secs(second), true));
        }
        due.sort_unstable();
        assert_eq!(due, (0..SLOTS).collect::<Vec<_>>());
        assert_eq!(keep.due(start + Duration::from_secs(3600), true).len(), SLOTS as usize);
        assert_eq!(keep.due(start + Duration::from_secs(3600), true).len(), 0);
        keep.due(start + Duration::from_secs(3601), false);
        assert_eq!(keep.next, None, "no timer while nobody needs one");
    }
}
