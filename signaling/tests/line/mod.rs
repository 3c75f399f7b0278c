//! A core on a line in virtual time: a scripted peer speaks text, the clock moves when told to.
#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use milo_media::{CODECS, Session, Tuning};
use milo_signaling::{
    Algorithms, EndReason, SessionTimers, Transport,
    security::MediaSecurity,
    sip::{
        Message, Name, Uri,
        core::{CallKey, Core, CoreConfig, Event, Output},
        flow::{Flow, Path, Way, Ways},
        parse,
    },
};

pub const US: &str = "127.0.0.1:5060";
pub const PEER: &str = "127.0.0.1:5080";

/// An offer of PCMU with telephone-event.
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

pub struct Line {
    pub core: Core,
    pub now: Instant,
    start: Instant,
    pub flow: Flow,
    sent: Vec<(Duration, SocketAddr, Message)>,
    events: Vec<Event>,
    /// What is sought and not yet found.
    pub sought: Vec<(CallKey, Uri)>,
    /// Whether what is sought is found at once.
    pub finds: bool,
    /// Whose ways were kept open.
    pub kept: Vec<SocketAddr>,
    /// Whether no name has an address.
    pub is_lost: bool,
    /// Where else registrars are.
    pub others: Vec<SocketAddr>,
}

impl Line {
    pub fn new(transport: Transport) -> Line {
        Line::with(transport, |_| {})
    }

    pub fn with(transport: Transport, change: impl FnOnce(&mut CoreConfig)) -> Line {
        let mut config = CoreConfig {
            bans: None,
            keep_alive: None,
            registrar: None,
            logins: Vec::new(),
            algorithms: Algorithms { sha256: true, md5: true },
            urgent: Vec::new(),
            public_address: None,
            media_address: IpAddr::from([127, 0, 0, 1]),
            trusted: Vec::new(),
            max_calls: 100,
            others: std::sync::Arc::default(),
            withheld: std::sync::Arc::default(),
            user_agent: "Milo".to_owned(),
            codecs: CODECS.into(),
            peer_codecs: Vec::new(),
            tuning: Tuning::default(),
            security: MediaSecurity::OFF,
            session_timers: SessionTimers::default(),
            seed: [7; 32],
        };
        change(&mut config);
        #[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
        let start = Instant::now();
        let flow = Flow { transport, local: US.parse().unwrap(), remote: PEER.parse().unwrap(), connection: None };
        let (sent, events, sought, kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let core = Core::new(start, config);
        let others = Vec::new();
        Line { core, now: start, start, flow, sent, events, sought, finds: true, kept, is_lost: false, others }
    }

    /// The peer sends this.
    pub fn hear(&mut self, text: &str) {
        let now = self.now;
        match self.flow.transport {
            Transport::Udp => self.core.datagram(now, self.flow, text.as_bytes()),
            _ => self.core.message(now, self.flow, parse(text.as_bytes()).unwrap()),
        }
        self.collect();
    }

    /// The peer sends these bytes, whatever they are.
    pub fn try_hear(&mut self, bytes: &[u8]) {
        match (self.flow.transport, parse(bytes)) {
            (Transport::Udp, _) => self.core.datagram(self.now, self.flow, bytes),
            (_, Ok(message)) => self.core.message(self.now, self.flow, message),
            (_, Err(error)) => self.core.malformed(self.now, self.flow, &error),
        }
        self.collect();
    }

    /// The user does this.
    pub fn act<T>(&mut self, action: impl FnOnce(&mut Core, Instant) -> T) -> T {
        let result = action(&mut self.core, self.now);
        self.collect();
        result
    }

    /// Lets time pass, timer by timer. A timer that is due again at once, and again, would stop the driver's clock: it is a fault.
    pub fn pass(&mut self, time: Duration) {
        let (until, mut at_once) = (self.now + time, 0);
        while let Some(at) = self.core.next_timer().filter(|at| *at <= until) {
            at_once = if at > self.now { 0 } else { at_once + 1 };
            assert!(at_once < 1_000, "a timer is due again and again at one moment");
            self.now = at.max(self.now);
            self.core.expire(self.now);
            self.collect();
        }
        self.now = until;
    }

    fn collect(&mut self) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Send(packet) => {
                    let message = parse(&packet.bytes).unwrap();
                    self.sent.push((self.now - self.start, packet.path.flow.remote, message));
                }
                // Audio waits for it; here there is none.
                Output::Event(Event::Acknowledged(_)) => {}
                Output::Event(event) => self.events.push(event),
                Output::Close(_) => {}
                Output::KeepAlive(path) => self.kept.push(path.flow.remote),
                Output::Locate(key, uri, _) => self.sought.push((key, uri)),
            }
        }
        // What is sought is where the peer is, if it is anywhere.
        while self.finds
            && let Some((key, uri)) = self.sought.pop()
        {
            let found = if self.is_lost { Err("no such host".to_owned()) } else { Ok(self.ways()) };
            self.core.located(self.now, key, &uri, found);
            self.collect();
        }
    }

    fn path(&self) -> Path {
        Path { flow: self.flow, or_connect: None }
    }

    /// The ways to a registrar.
    fn ways(&self) -> Ways {
        let others = self.others.iter().map(|to| Path { flow: Flow { remote: *to, ..self.flow }, or_connect: None });
        Ways(std::iter::once(self.path()).chain(others).map(|path| Way { path, if_large: None }).collect())
    }

    /// What was sent since last asked.
    pub fn sent(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.sent).into_iter().map(|(_, _, message)| message).collect()
    }

    /// The same as start lines, shortened: `200 INVITE`, `BYE`.
    pub fn spoke(&mut self) -> Vec<String> {
        self.sent().iter().map(brief).collect()
    }

    /// The same with when (ms after the start) and whereto.
    pub fn spoke_when(&mut self) -> Vec<(u128, String)> {
        let sent = std::mem::take(&mut self.sent);
        sent.iter().map(|(at, _, message)| (at.as_millis(), brief(message))).collect()
    }

    /// Where the last messages went.
    pub fn went(&self) -> Vec<SocketAddr> {
        self.sent.iter().map(|(_, to, _)| *to).collect()
    }

    /// The one message that was sent since last asked.
    pub fn only(&mut self) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{:?}", sent.iter().map(brief).collect::<Vec<_>>());
        sent.remove(0)
    }

    /// What the user was told since last asked.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Why the call ended, the only thing that the user was told.
    pub fn ended(&mut self) -> EndReason {
        match &mut self.events()[..] {
            [Event::Ended(_, reason)] => reason.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The session that the user was told last.
    pub fn media(&mut self) -> Session {
        match &mut self.events()[..] {
            [Event::MediaChange(_, session) | Event::Answered(_, session)] => session.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The peer calls; the user hears of it.
    pub fn invited(&mut self) -> CallKey {
        self.invited_with(&invite(SDP))
    }

    pub fn invited_with(&mut self, invite: &str) -> CallKey {
        self.hear(invite);
        match &self.events()[..] {
            [Event::Invitation { call, .. }] => *call,
            other => panic!("{other:?}"),
        }
    }

    /// The peer calls and is answered; the 200 is returned. No ACK yet.
    pub fn answered(&mut self) -> (CallKey, Message) {
        let call = self.invited();
        let session = self.act(|core, now| core.answer(now, call, rtp())).unwrap();
        assert!(session.is_some());
        (call, self.only())
    }

    /// A call that is up.
    pub fn up(&mut self) -> (CallKey, String) {
        let (call, ok) = self.answered();
        let tag = to_tag(&ok);
        self.hear(&within(&tag, "ACK", 1, "ack1", ""));
        assert!(self.sent().is_empty());
        (call, tag)
    }

    /// We call the peer; the INVITE is returned.
    pub fn calling(&mut self) -> (CallKey, Message) {
        let (target, path) = ("sip:rasoa@127.0.0.1:5080".parse().unwrap(), self.path());
        let call = self.act(|core, now| core.call(now, &target, "milo", path, rtp())).unwrap();
        (call, self.only())
    }

    /// Nothing is left of anything.
    pub fn assert_empty(&self) {
        let counters = self.core.counters();
        assert_eq!((counters.calls, counters.transactions), (0, 0));
        assert_eq!(self.core.next_timer(), None);
    }
}

pub fn rtp() -> SocketAddr {
    "127.0.0.1:30000".parse().unwrap()
}

pub fn brief(message: &Message) -> String {
    match (message.method(), message.status()) {
        (Some(method), _) => method.to_string(),
        (_, Some(code)) => format!("{code} {}", message.cseq().unwrap().1),
        _ => unreachable!(),
    }
}

pub fn to_tag(message: &Message) -> String {
    message.to().unwrap().tag().unwrap().to_owned()
}

fn with_body(head: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!("{head}{kind}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The peer's INVITE.
pub fn invite(body: &str) -> String {
    with_body(
        "INVITE sip:milo@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5080;rport;branch=z9hG4bKinvite\r\n\
         Max-Forwards: 70\r\nFrom: <sip:rasoa@127.0.0.1>;tag=rasoa\r\nTo: <sip:milo@127.0.0.1>\r\n\
         Call-ID: call1@127.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:rasoa@127.0.0.1:5080>\r\n",
        body,
    )
}

/// A request of the peer within the dialog that its INVITE made.
pub fn within(tag: &str, method: &str, number: u32, branch: &str, body: &str) -> String {
    with_body(
        &format!(
            "{method} sip:milo@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5080;rport;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:rasoa@127.0.0.1>;tag=rasoa\r\nTo: <sip:milo@127.0.0.1>;tag={tag}\r\n\
             Call-ID: call1@127.0.0.1\r\nCSeq: {number} {method}\r\nContact: <sip:rasoa@127.0.0.1:5080>\r\n"
        ),
        body,
    )
}

/// The CANCEL of the peer's INVITE.
pub fn cancel() -> String {
    invite("").replace("INVITE", "CANCEL")
}

/// The peer's response to a request of ours.
pub fn response(request: &Message, code: u16, tag: &str, body: &str) -> String {
    let mut response = Message::response_to(request, code, "");
    if !tag.is_empty() {
        response.set_to_tag(tag);
        response.headers.push(Name::CONTACT, "<sip:rasoa@127.0.0.1:5080>");
    }
    if !body.is_empty() {
        response.set_body("application/sdp", body.as_bytes().to_vec());
    }
    String::from_utf8(response.to_bytes()).unwrap()
}

/// The peer's request within the dialog that our INVITE made.
pub fn from_callee(invite: &Message, tag: &str, method: &str, number: u32, body: &str) -> String {
    let (us, them) = (invite.headers.get(Name::FROM).unwrap(), invite.headers.get(Name::TO).unwrap());
    with_body(
        &format!(
            "{method} sip:milo@127.0.0.1:5060 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5080;rport;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n\
             From: {them};tag={tag}\r\nTo: {us}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n\
             Contact: <sip:rasoa@127.0.0.1:5080>\r\n",
            invite.call_id().unwrap()
        ),
        body,
    )
}
