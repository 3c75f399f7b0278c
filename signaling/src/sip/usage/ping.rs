//! Asking somebody whether they are there: OPTIONS outside of any dialog (RFC 3261 section 11).

use std::time::Instant;

use crate::sip::{
    body::SDP_TYPE,
    core::{CallKey, Core, Event},
    flow::Path,
    header::NameAddr,
    headers::Name,
    message::Message,
    method::Method,
    transaction::table::Told,
    uri::Uri,
};

impl Core {
    /// Sends OPTIONS to `target` along this path; its final response is told as [`Event::Ponged`].
    pub fn ping(&mut self, now: Instant, target: &Uri, path: Path) -> CallKey {
        let key = self.new_call_key();
        let us = self.advertised(&path.flow);
        let (tag, call_id) = (self.word(), format!("{}{}@{us}", self.word(), self.word()));
        let mut options = Message::request(Method::Options, target.clone());
        options.headers.push(Name::MAX_FORWARDS, "70");
        options.headers.push(Name::FROM, format!("<sip:milo@{us}>;tag={tag}"));
        options.headers.push(Name::TO, NameAddr::new(target.clone()).to_string());
        options.headers.push(Name::CALL_ID, call_id);
        options.headers.push(Name::CSEQ, "1 OPTIONS");
        options.headers.push(Name::CONTACT, self.contact_for(&path.flow, Some(target)));
        options.headers.push(Name::ACCEPT, SDP_TYPE);
        let branch = self.put_via(&mut options, &path);
        self.pings.insert(key);
        self.transactions.send(now, options, &branch, path, Some(key), &mut self.packets);
        key
    }

    /// What a transaction says to its ping.
    pub(in crate::sip) fn ping_told(&mut self, key: CallKey, told: &Told) {
        let code = match told {
            Told::Response(response) => response.status().unwrap_or(500),
            Told::TimedOut => 408,
            Told::Unreachable => 503,
            // Said of an INVITE only.
            Told::Unacknowledged => return,
        };
        if code >= 200 {
            self.pings.remove(&key);
            self.event(Event::Ponged(key, code));
        }
    }
}
