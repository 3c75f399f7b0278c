//! Asking somebody whether they are there: OPTIONS outside of any dialog (RFC 3261 section 11), at each place of a name until
//! one answers (RFC 3263 section 4.3).

use std::time::Instant;

use crate::sip::{
    body::SDP_TYPE,
    core::{CallKey, Core, Event},
    flow::{Path, Ways},
    header::NameAddr,
    headers::Name,
    message::Message,
    method::Method,
    transaction::{
        UNHEARD,
        table::{Told, TransactionId},
    },
    uri::Uri,
};

/// Somebody who is being asked.
#[derive(Debug)]
pub(in crate::sip) struct Ping {
    target: Uri,
    /// The proxies that it is asked by.
    routes: Vec<Uri>,
    /// Where else they may be.
    untried: Ways,
    path: Path,
    transaction: TransactionId,
    /// How long this place may take.
    give_up: Instant,
}

impl Core {
    /// Sends OPTIONS to `target`, by these proxies, along the first of the ways on which anybody answers; the final response is told
    /// as [`Event::Ponged`].
    pub fn ping(&mut self, now: Instant, target: &Uri, routes: &[Uri], ways: impl Into<Ways>) -> CallKey {
        let key = self.new_call_key();
        if !self.ask_along(now, key, (target.clone(), routes.to_vec()), ways.into()) {
            self.event(Event::Ponged(key, Err("there is no way to it".to_owned())));
        }
        key
    }

    /// Asks at the next place. False: there is none left.
    fn ask_along(&mut self, now: Instant, key: CallKey, (target, routes): (Uri, Vec<Uri>), mut untried: Ways) -> bool {
        let Some(path) = untried.next(0) else { return false };
        let us = self.advertised(&path.flow);
        let (tag, call_id) = (self.word(), format!("{}{}@{us}", self.word(), self.word()));
        let mut options = Message::request(Method::Options, target.clone());
        options.headers.push(Name::MAX_FORWARDS, "70");
        for route in &routes {
            options.headers.push(Name::ROUTE, format!("<{route}>"));
        }
        options.headers.push(Name::FROM, format!("<sip:milo@{us}>;tag={tag}"));
        options.headers.push(Name::TO, NameAddr::new(target.clone()).to_string());
        options.headers.push(Name::CALL_ID, call_id);
        options.headers.push(Name::CSEQ, "1 OPTIONS");
        options.headers.push(Name::CONTACT, self.contact_for(&path.flow, Some(&target)));
        options.headers.push(Name::ACCEPT, SDP_TYPE);
        let branch = self.put_via(&mut options, &path);
        let transaction = self.transactions.send(now, options, &branch, path, Some(key), &mut self.packets);
        let give_up = now + UNHEARD;
        self.timers.insert((give_up, key));
        self.pings.insert(key, Ping { target, routes, untried, path, transaction, give_up });
        true
    }

    /// What a transaction says to its ping.
    pub(in crate::sip) fn ping_told(&mut self, now: Instant, key: CallKey, told: Told) {
        let result = match told {
            Told::Response(response) => Ok(response.status().unwrap_or(500)),
            Told::TimedOut => Err(deaf()),
            Told::Unreachable(why) => Err(why),
            // Said of an INVITE only.
            Told::Unacknowledged => return,
        };
        if !matches!(result, Ok(..200)) {
            self.pinged(now, key, result);
        }
    }

    /// A place has said nothing for long enough.
    pub(in crate::sip) fn expire_ping(&mut self, now: Instant, key: CallKey) {
        let Some(ping) = self.pings.get(&key) else { return };
        let (transaction, path) = (ping.transaction, ping.path);
        self.transactions.forget(transaction);
        self.deaf.note(now, &path);
        self.pinged(now, key, Err(deaf()));
    }

    /// What came of a place: the answer, unless it was none, or the server wants nobody now, and there is another place.
    fn pinged(&mut self, now: Instant, key: CallKey, result: Result<u16, String>) {
        let Some(Ping { target, routes, untried, give_up, .. }) = self.pings.remove(&key) else { return };
        self.timers.remove(&(give_up, key));
        if matches!(result, Err(_) | Ok(503)) && self.ask_along(now, key, (target, routes), untried) {
            return;
        }
        self.event(Event::Ponged(key, result));
    }
}

fn deaf() -> String {
    format!("it does not answer OPTIONS within {} s", UNHEARD.as_secs())
}
