//! From the wire inwards: reading, the gate, and which transaction, dialog or call a message is for.

use std::time::Instant;

use tracing::debug;

use super::{
    bans::{Offence, weight},
    core::{CallKey, Core, Output},
    flow::{Flow, Path, response_path, stamp},
    gate::Verdict,
    header::Via,
    headers::Name,
    message::Message,
    method::Method,
    parse::{ParseError, ParseErrorKind, blank_prefix, parse},
    registrar::{Outsider, Proven, Registrar},
    screen::{Refusal, Rejection, allow, allow_with_register, screen, screen_error},
    status::reason_phrase,
    transaction::{
        message::{merge_key, server_key},
        table::Told,
    },
};

/// Live transactions per call that is allowed, and besides: beyond it requests are answered 503 without a trace.
const TRANSACTIONS_PER_CALL: usize = 16;
const TRANSACTIONS_BESIDES: usize = 4096;

/// Whose datagram is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Somebody's whose request may be served.
    Heard,
    /// A stranger's, that has its 403 and no more.
    Stranger,
}

/// A request on its way in, with what every answer to it needs.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: Message,
    pub(super) method: Method,
    pub(super) via: Via,
    pub(super) flow: Flow,
    /// Where its responses go.
    pub(super) path: Path,
    /// The key of its server transaction.
    pub(super) key: String,
    /// Who has proved to send it, where somebody had to.
    pub(super) proven: Option<Proven>,
}

impl Core {
    /// A datagram came.
    pub fn datagram(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        if let Some(sender) = self.greet(now, &flow, bytes) {
            self.read(now, flow, bytes, sender);
        }
    }

    /// A datagram came: whether it is read, as whose. What it costs to turn it away is next to nothing; our own address in `flow` may
    /// still be what the socket is bound to.
    pub fn greet(&mut self, now: Instant, flow: &Flow, bytes: &[u8]) -> Option<Sender> {
        let bytes = bytes.get(blank_prefix(bytes)..).unwrap_or_default();
        let is_response = bytes.starts_with(b"SIP/");
        let asks = self.registrar.is_some() && bytes.starts_with(b"REGISTER ") || self.may_prove_itself(bytes);
        let address = flow.remote.ip().to_canonical();
        // Whoever is on the line with us is heard, whatever its address has done.
        let is_guest = self.guests.contains_key(&address);
        // While somebody outside whom we called is on the line, its BYE may come from anywhere: of those who are shut out only
        // they are not read whose address is proven.
        if !is_response && !is_guest && self.shuts_out(now, address, asks || self.calls_to_strangers > 0) {
            return None;
        }
        // A flood of strangers is met before it costs a parse, unless one of them may be somebody whom we called.
        let unread = self.calls_to_strangers == 0
            && !is_response
            && !is_guest
            && !self.gate.trusts(address)
            && !self.may_be_registered(address, bytes)
            && !self.may_prove_itself(bytes);
        if !unread {
            return Some(Sender::Heard);
        }
        if self.meet_stranger(now, flow, weight(bytes)) == Verdict::Silence {
            self.counters.messages_in += 1;
            return None;
        }
        Some(Sender::Stranger)
    }

    /// Reads a datagram that was let in.
    pub fn read(&mut self, now: Instant, flow: Flow, bytes: &[u8], sender: Sender) {
        self.read = bytes.len();
        let bytes = bytes.get(blank_prefix(bytes)..).unwrap_or_default();
        let unread = sender == Sender::Stranger;
        match parse(bytes) {
            Ok(message) if unread && message.is_request() => {
                self.counters.messages_in += 1;
                self.forbid(message, &flow);
            }
            Ok(message) => self.message(now, flow, message),
            Err(error) => self.unreadable(now, flow, &error, unread),
        }
    }

    /// A whole message came, on a stream.
    pub fn message(&mut self, now: Instant, flow: Flow, message: Message) {
        self.counters.messages_in += 1;
        if message.is_request() {
            self.request(now, flow, message);
        } else {
            match screen(&message) {
                Ok(()) => self.take_response(now, flow, message),
                Err(refusal) => self.refuse(refusal, message, &flow),
            }
        }
    }

    /// Something came on a stream that is no message.
    pub fn malformed(&mut self, now: Instant, flow: Flow, error: &ParseError) {
        self.unreadable(now, flow, error, false);
    }

    /// `met`: the gate has let this stranger hear an answer.
    fn unreadable(&mut self, now: Instant, flow: Flow, error: &ParseError, met: bool) {
        if error.kind == ParseErrorKind::Empty {
            return;
        }
        self.counters.messages_in += 1;
        self.counters.parse_errors += 1;
        let Some(head) = error.head.as_deref() else { return };
        if self.gate.trusts(flow.remote.ip()) {
            self.refuse(screen_error(error), head.clone(), &flow);
        } else if met || self.meet_stranger(now, &flow, 1.0) == Verdict::Refuse {
            self.forbid(head.clone(), &flow);
        }
    }

    /// Whether a driver should keep a connection that this address has opened.
    pub fn admits(&mut self, now: Instant, address: std::net::IpAddr) -> bool {
        if self.gate.trusts(address) {
            return true;
        }
        // Whether it will ask to be asked is not known yet.
        if self.shuts_out(now, address, true) {
            return false;
        }
        // While somebody outside whom we called is on the line, their goodbye may come by it as well.
        let may_be_served = self.registrar.is_some() || self.logins.is_some() || self.calls_to_strangers > 0;
        let verdict =
            if may_be_served { self.gate.ask(now, address, self.knows(address)) } else { self.gate.meet(now, address) };
        verdict == Verdict::Refuse
    }

    /// Whether what this address sends may be for a call.
    pub(super) fn hears(&self, address: std::net::IpAddr) -> bool {
        self.calls_to_strangers > 0 || self.gate.trusts(address) || self.knows(address)
    }

    /// Whether somebody is on the line from this address, or a telephone is registered.
    fn knows(&self, address: std::net::IpAddr) -> bool {
        let is_from = |registrar: &Registrar| registrar.is_from(address);
        self.guests.contains_key(&address.to_canonical()) || self.registrar.as_ref().is_some_and(is_from)
    }

    fn meet_stranger(&mut self, now: Instant, flow: &Flow, weight: f64) -> Verdict {
        self.offend(now, flow, (Offence::Requests, weight), flow.connection.is_some());
        self.counters.refused += 1;
        if let Some(connection) = flow.connection {
            // After the 403, if there is one.
            self.outputs.push_back(Output::Close(connection));
        }
        self.gate.meet(now, flow.remote.ip())
    }

    fn take_response(&mut self, now: Instant, flow: Flow, response: Message) {
        let via = response.top_via();
        let Some((id, owner, told)) = self.transactions.response(now, response, &mut self.packets) else {
            debug!(peer = %flow.remote, "a response that no transaction waits for");
            return;
        };
        if let Ok(via) = via {
            self.seen_as.learn(&via, &flow, |peer| self.gate.trusts(peer));
        }
        self.deaf.hears(&flow);
        match (owner, told) {
            // Of another branch of a fork, after the call.
            (Some(call), Some(Told::Response(response))) if self.is_forgotten(call) => {
                self.answered_late(now, id, &response);
            }
            (Some(call), told) => {
                self.learn_connection(call, &flow);
                if let Some(told) = told {
                    self.tell(now, call, id, told);
                }
            }
            (None, Some(Told::Response(response))) => self.answered_late(now, id, &response),
            (None, _) => {}
        }
    }

    /// Whether nobody has this key any more.
    fn is_forgotten(&self, key: CallKey) -> bool {
        let is_call = self.calls.contains_key(&key) || self.registrations.contains_key(&key);
        !is_call && !self.pings.contains_key(&key) && !self.texts.contains_key(&key)
    }

    /// A response came on the connection that the driver opened for our request: the dialog goes on there.
    fn learn_connection(&mut self, call: CallKey, flow: &Flow) {
        if flow.connection.is_some()
            && let Some(call) = self.calls.get_mut(&call)
        {
            call.flow.connection = flow.connection;
            if let Some(dialog) = &mut call.dialog {
                dialog.learn_connection(flow);
            }
        }
    }

    fn request(&mut self, now: Instant, flow: Flow, mut message: Message) {
        let (Some(method), Ok(mut via)) = (message.method().cloned(), message.top_via()) else {
            self.counters.parse_errors += 1;
            return;
        };
        stamp(&mut message, &mut via, &flow);
        let dialog = self.dialog_of(&message);
        let asks = match method {
            Method::Register => self.registrar.is_some(),
            Method::Invite | Method::Ack | Method::Cancel => self.logins.is_some(),
            _ => false,
        };
        if dialog.is_none() && self.shuts_out(now, flow.remote.ip(), asks) {
            if let Some(connection) = flow.connection {
                self.outputs.push_back(Output::Close(connection));
            }
            return;
        }
        let key = server_key(&via, &message, &method);
        let outsider = match dialog {
            None if !self.gate.trusts(flow.remote.ip()) => self.lets_in(now, (&method, &via, &key), &message, &flow),
            _ => Outsider::Served(None),
        };
        let Outsider::Served(proven) = outsider else {
            if outsider == Outsider::Stranger
                && method != Method::Ack
                && self.meet_stranger(now, &flow, weight(&message.to_bytes())) == Verdict::Refuse
            {
                self.forbid(message, &flow);
            }
            return;
        };
        if let Some(id) = self.transactions.find(&key) {
            let is_ack = method == Method::Ack;
            let for_user = self.transactions.request(now, id, is_ack, &mut self.packets);
            if for_user && let Some(call) = self.transactions.owner(id) {
                self.acknowledged(now, call, &message, flow);
            }
            return;
        }
        if let Err(refusal) = screen(&message).and_then(|()| kept_secret(&message, &method, &flow)) {
            self.refuse(refusal, message, &flow);
            return;
        }
        if self.transactions.len() >= self.config.max_calls * TRANSACTIONS_PER_CALL + TRANSACTIONS_BESIDES
            && !matches!(method, Method::Ack | Method::Bye | Method::Cancel)
        {
            self.turn_away(&message, &flow);
            return;
        }
        let path = response_path(&via, &flow);
        let request = Request { message, method, via, flow, path, key, proven };
        let has_to_tag = request.message.to().is_ok_and(|to| to.tag().is_some());
        match (&request.method, dialog) {
            (Method::Ack, Some(call)) => self.acknowledged(now, call, &request.message, flow),
            // Of an answer that we keep no state of, or of one long forgotten.
            (Method::Ack, None) => {}
            (Method::Cancel, _) => self.cancelled(now, &request),
            (_, Some(call)) => self.within_dialog(now, call, request),
            (_, None) if has_to_tag => self.answer_stateless(&request, &Rejection::new(481)),
            (Method::Invite, None) => self.invited(now, request),
            (Method::Options, None) => self.answer_options(&request),
            (Method::Register, None) => self.registers(now, request),
            (Method::Message, None) => self.texted(now, request),
            // RFC 3261 section 15.1.2, RFC 6086 section 4.2.2; without a To tag there is nothing to match.
            // The same for a NOTIFY of nothing that we asked for.
            (Method::Bye | Method::Info | Method::Prack | Method::Update | Method::Notify, None) => {
                self.answer_stateless(&request, &Rejection::new(481))
            }
            // Whoever is in no call with us sends us nowhere.
            (Method::Refer, None) => self.answer_stateless(&request, &Rejection::new(403)),
            (_, None) => {
                let mut rejection = Rejection::new(405);
                rejection.headers.push((Name::ALLOW, self.allow()));
                self.answer_stateless(&request, &rejection);
            }
        }
    }

    /// The methods that are served outside of calls.
    pub(super) fn allow(&self) -> String {
        if self.registrar.is_some() { allow_with_register() } else { allow() }
    }

    /// The call whose dialog a request is within: Call-ID and both tags match (RFC 3261 section 12.2.2).
    fn dialog_of(&self, request: &Message) -> Option<CallKey> {
        let to = request.to().ok()?;
        let call_id = request.call_id().ok()?;
        let call = *self.dialogs.get(&(call_id.to_owned(), to.tag()?.to_owned()))?;
        let from = request.from().ok()?;
        self.calls.get(&call)?.is_with(from.tag().unwrap_or_default()).then_some(call)
    }

    /// Whether this new request is a copy, come another way, of one that is being served (RFC 3261 section 8.2.2.2).
    pub(super) fn is_merged(&self, request: &Request) -> bool {
        merge_key(&request.message).is_some_and(|key| self.transactions.find_merged(&key).is_some())
    }

    /// Passes what a transaction says to its call.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        call: CallKey,
        id: super::transaction::table::TransactionId,
        told: Told,
    ) {
        if self.registrations.contains_key(&call) {
            self.registrar_told(now, call, id, told);
            return;
        }
        if self.pings.contains_key(&call) {
            self.ping_told(now, call, told);
            return;
        }
        if self.texts.contains_key(&call) {
            self.text_told(now, call, &told);
            return;
        }
        match told {
            Told::Response(response) => self.responded(now, call, id, &response),
            Told::TimedOut => self.unanswered(now, call, id, (408, reason_phrase(408))),
            Told::Unreachable(why) => self.unanswered(now, call, id, (503, &why)),
            // The rejected caller is gone, and so is its call.
            Told::Unacknowledged => {}
        }
    }
}

/// A `sips:` URI is served where nobody on the way reads along; on any other transport its scheme is not supported
/// (RFC 3261 sections 8.2.2.1 and 26.2.2). An ACK has no answer, and a CANCEL follows its INVITE.
pub(super) fn kept_secret(request: &Message, method: &Method, flow: &Flow) -> Result<(), Refusal> {
    let secret = request.uri().is_some_and(|uri| uri.scheme() == "sips");
    if !secret || flow.transport.is_secure() || matches!(method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    Err(Refusal::Answer(Rejection::new(416)))
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use super::*;
    use crate::sip::{
        core::CoreConfig,
        flow::{ConnectionId, Transport},
    };

    const OPTIONS: &str = "OPTIONS sip:milo@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 203.0.113.5;branch=z9hG4bK1\r\n\
        From: <sip:a@b>;tag=1\r\nTo: <sip:milo@192.0.2.1>\r\nCall-ID: 1@b\r\nCSeq: 1 OPTIONS\r\n\
        Content-Length: 0\r\n\r\n";

    fn core(start: Instant) -> Core {
        Core::new(
            start,
            CoreConfig {
                keep_alive: None,
                bans: None,
                registrar: None,
                logins: Vec::new(),
                algorithms: crate::Algorithms { sha256: true, md5: true },
                urgent: Vec::new(),
                public_address: None,
                media_address: [127, 0, 0, 1].into(),
                trusted: Vec::new(),
                max_calls: 1,
                others: std::sync::Arc::default(),
                withheld: std::sync::Arc::default(),
                user_agent: "Milo".to_owned(),
                codecs: milo_media::CODECS.into(),
                peer_codecs: Vec::new(),
                tuning: milo_media::Tuning::default(),
                security: crate::security::MediaSecurity::OFF,
                session_timers: crate::SessionTimers::default(),
                seed: [1; 32],
            },
        )
    }

    /// What a stranger's stream gets: the status lines sent, and whether it is closed.
    fn strange(core: &mut Core, now: Instant, text: &str) -> (Vec<String>, bool) {
        let flow = Flow {
            transport: Transport::Tcp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "203.0.113.5:40000".parse().unwrap(),
            connection: Some(ConnectionId(1)),
        };
        match parse(text.as_bytes()) {
            Ok(message) => core.message(now, flow, message),
            Err(error) => core.malformed(now, flow, &error),
        }
        let (mut lines, mut closed) = (Vec::new(), false);
        while let Some(output) = core.poll() {
            match output {
                Output::Send(packet) => {
                    assert!(!closed, "the answer goes before the end");
                    let text = String::from_utf8_lossy(&packet.bytes).into_owned();
                    assert!(!text.contains("Server:"), "{text}");
                    lines.extend(text.lines().next().map(str::to_owned));
                }
                Output::Close(_) => closed = true,
                Output::Event(_) | Output::Locate(..) | Output::KeepAlive(_) => panic!("{output:?}"),
            }
        }
        (lines, closed)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
    fn a_flood_of_datagrams_is_turned_away_before_anything_is_asked_about_it() {
        let start = Instant::now();
        let mut core = core(start);
        let greeted = (0..1_000_u32).filter_map(|at| {
            let remote = SocketAddr::new((0x2000_0000 + at * 256).to_be_bytes().into(), 5060);
            let local = "0.0.0.0:5060".parse().unwrap();
            let flow = Flow { transport: Transport::Udp, local, remote, connection: None };
            core.greet(start, &flow, OPTIONS.as_bytes())
        });
        let greeted: Vec<_> = greeted.collect();
        assert_eq!(greeted, [Sender::Stranger; 40]);
        assert_eq!(core.counters().refused, 1_000);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
    fn a_strangers_stream_is_closed_whatever_it_says() {
        let start = Instant::now();
        let mut core = core(start);
        let forbidden = vec!["SIP/2.0 403 Forbidden".to_owned()];
        assert_eq!(strange(&mut core, start, OPTIONS), (forbidden.clone(), true));
        let version_3 = OPTIONS.replacen("SIP/2.0", "SIP/3.0", 1);
        assert_eq!(strange(&mut core, start, &version_3), (forbidden, true));
        for _ in 0..2 {
            strange(&mut core, start, OPTIONS);
        }
        assert_eq!(strange(&mut core, start + Duration::from_secs(1), OPTIONS), (Vec::new(), true));
        assert_eq!(core.counters().refused, 5);
        assert_eq!(core.report_strangers(start), Some(5));
    }
}
