//! A telephone that speaks SIP as text, for what no other one does: it says exactly what a scenario wants it to.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{net::UdpSocket, path::Path, thread::sleep, time::Duration};

use milo::bench::Running;
use milo_media::wav;
use milo_signaling::{
    Credentials,
    sip::{digest::Authorizer, parse},
};
use tokio::time::Instant;

use crate::by_hand::unique;

/// Where a Milo is: its host and port.
pub fn at(milo: &Running) -> String {
    let uri = milo.udp("milo").expect("an address").to_string();
    uri.split(['@', ';']).nth(1).expect("an address").to_owned()
}

/// A telephone with one call, and a socket for what it hears.
pub struct Telephone {
    /// No other telephone's.
    mark: u64,
    sip: UdpSocket,
    rtp: UdpSocket,
    milo: String,
    /// The call with Milo: From and To of its own requests, with both tags, where they go, and the Call-ID.
    local: String,
    remote: String,
    target: String,
    call_id: String,
    number: u32,
    /// Where Milo wants to hear it.
    audio: u16,
}

impl Telephone {
    /// One that is in no call.
    pub fn new(milo: &Running) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (sip, rtp) = (bind(), bind());
        sip.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        rtp.set_nonblocking(true).expect("a socket");
        let port = sip.local_addr().expect("an address").port();
        let local = format!("<sip:0341234567@127.0.0.1:{port}>;tag=t");
        let mark = unique();
        let call_id = format!("text{mark}");
        let (remote, target) = (String::new(), String::new());
        Self { mark, sip, rtp, milo: at(milo), local, remote, target, call_id, number: 1, audio: 0 }
    }

    /// Calls a number of Milo's; it is up when this returns.
    pub fn call(milo: &Running, number: &str) -> Self {
        Self::new(milo).calls(milo, number)
    }

    /// The same without saying who calls (RFC 3323 section 4.1.1.3).
    pub fn call_as_nobody(milo: &Running, number: &str) -> Self {
        let local = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=t".into();
        Self { local, ..Self::new(milo) }.calls(milo, number)
    }

    fn calls(self, milo: &Running, number: &str) -> Self {
        let mut telephone = self;
        telephone.target = format!("sip:{number}@{}", at(milo));
        telephone.remote = format!("<{}>", telephone.target);
        let invite = telephone.request("INVITE", 1, "");
        let answered = telephone.invites(&invite, &at(milo));
        telephone.remote = field(&answered, "To");
        telephone.audio = audio(&answered).expect("a port");
        telephone.send(&telephone.request("ACK", 1, ""), &at(milo));
        telephone
    }

    /// Takes the next call that comes to it; it is up when this returns.
    pub fn takes_a_call(&mut self) {
        let (invite, from) = self.hear("INVITE ");
        self.local = format!("{};tag=t", field(&invite, "To"));
        self.remote = field(&invite, "From");
        self.call_id = field(&invite, "Call-ID");
        // One without an offer is not spoken into.
        self.audio = audio(&invite).unwrap_or_default();
        self.target = field(&invite, "Contact").split(['<', '>']).nth(1).expect("an address").to_owned();
        let fields = ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", field(&invite, name)));
        let body = self.offer();
        let more = format!("Contact: <{}>\r\nContent-Type: application/sdp\r\n", self.address());
        let length = body.len();
        let to = &self.local;
        self.send(
            &format!("SIP/2.0 200 OK\r\n{}To: {to}\r\n{more}Content-Length: {length}\r\n\r\n{body}", fields.concat()),
            &from,
        );
        self.hear("ACK ");
    }

    /// Registers as this account.
    pub fn registers(&self, (name, password): (&str, &str)) {
        let (port, milo, mark) = (self.port(), &self.milo, unique());
        let request = |number: u32| {
            format!(
                "REGISTER sip:{milo} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKregister{mark}-{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{name}@{milo}>;tag=r\r\nTo: <sip:{name}@{milo}>\r\nCall-ID: register{mark}\r\n\
                 CSeq: {number} REGISTER\r\nContact: <{}>\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n",
                self.address()
            )
        };
        self.send(&request(1), milo);
        let (challenge, _) = self.hear("SIP/2.0 401");
        let credentials = Credentials { username: name.into(), password: password.into(), realm: None };
        let mut authorizer = Authorizer::new(credentials);
        authorizer.challenged(&parse(challenge.as_bytes()).expect("SIP"), "cnonce").expect("a challenge");
        let mut proved = parse(request(2).as_bytes()).expect("SIP");
        authorizer.authorize(&mut proved);
        self.send(&String::from_utf8(proved.to_bytes()).expect("text"), milo);
        self.hear("SIP/2.0 200");
    }

    /// It is Milo's that it calls and sends to from now on.
    pub fn is_with(&mut self, milo: &Running) {
        self.milo = at(milo);
    }

    /// Puts Milo on hold (`inactive`), or takes it back (`sendrecv`).
    pub fn changes_to(&mut self, direction: &str) {
        self.number += 1;
        let invite = self.request("INVITE", self.number, "");
        let length = self.offer().len();
        let line = format!("a={direction}\r\n");
        let invite =
            invite.replace(&format!("Content-Length: {length}"), &format!("Content-Length: {}", length + line.len()));
        self.invites(&format!("{invite}{line}"), &self.milo);
        self.send(&self.request("ACK", self.number, ""), &self.milo);
    }

    /// Presses a key, by SIP INFO.
    pub fn presses(&mut self, key: char) {
        self.number += 1;
        let body = format!("Content-Type: application/dtmf-relay\r\n\r\nSignal={key}\r\nDuration=160\r\n");
        self.send(&self.request("INFO", self.number, &body), &self.milo);
        self.hear("SIP/2.0 200");
    }

    /// Says what is in a recording, and is silent for two seconds.
    pub fn says(&self, file: &Path) {
        let sound = wav::read(file).expect("a recording");
        // Of 16 kHz every other sample; then silence.
        let mut samples: Vec<i16> = sound.into_iter().step_by(2).collect();
        samples.resize(samples.len() + 16_000, 0);
        let to = format!("127.0.0.1:{}", self.audio);
        for (number, packet) in (0_u32..).zip(samples.chunks_exact(160)) {
            let mut bytes = vec![0x80, 0];
            bytes.extend((number as u16).to_be_bytes());
            bytes.extend((number * 160).to_be_bytes());
            bytes.extend(7_u32.to_be_bytes());
            bytes.extend(packet.iter().map(|sample| ulaw(*sample)));
            self.rtp.send_to(&bytes, &to).expect("it is sent");
            sleep(Duration::from_millis(20));
        }
    }

    /// Lets the next call that comes to it ring.
    pub fn rings(&self) {
        let (invite, from) = self.hear("INVITE ");
        let fields = ["Via", "From", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", field(&invite, name)));
        let (to, contact) = (field(&invite, "To"), self.address());
        let answer = format!(
            "SIP/2.0 180 Ringing\r\n{}To: {to};tag=r\r\nContact: <{contact}>\r\nContent-Length: 0\r\n\r\n",
            fields.concat()
        );
        self.send(&answer, &from);
    }

    pub fn port(&self) -> u16 {
        self.sip.local_addr().expect("an address").port()
    }

    /// Where it can be called.
    pub fn address(&self) -> String {
        format!("sip:0341234567@127.0.0.1:{}", self.port())
    }

    /// The name of its call as Milo knows it, for a Refer-To: `call-id;to-tag;from-tag`, escaped.
    pub fn replaces(&self) -> String {
        let tag = |field: &str| field.split(";tag=").nth(1).expect("a tag").to_owned();
        format!("{}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", self.call_id, tag(&self.remote), tag(&self.local))
    }

    /// A request of its own within the call with Milo; an INVITE has its offer.
    pub fn request(&self, method: &str, number: u32, more: &str) -> String {
        let Self { mark, local, remote, target, call_id, .. } = self;
        let call = format!("From: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n");
        let body = if method == "INVITE" {
            self.offer()
        } else {
            more.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned()
        };
        let kind = if method == "INVITE" { "Content-Type: application/sdp\r\n" } else { "" };
        let more = more.split_once("\r\n\r\n").map_or(more.to_owned(), |(head, _)| format!("{head}\r\n"));
        let (port, address) = (self.port(), self.address());
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{method}{number}-{mark}\r\n\
             Max-Forwards: 70\r\n{call}CSeq: {number} {method}\r\nContact: <{address}>\r\n\
             {kind}{more}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    fn offer(&self) -> String {
        let port = self.rtp.local_addr().expect("an address").port();
        format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n")
    }

    pub fn send(&self, text: &str, to: &str) {
        self.sip.send_to(text.as_bytes(), to).expect("it is sent");
    }

    /// The next message that begins so.
    pub fn hear(&self, begins: &str) -> (String, String) {
        for _ in 0..50 {
            let mut bytes = [0; 8_192];
            let (length, from) = match self.sip.recv_from(&mut bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                heard => heard.unwrap_or_else(|error| panic!("no {begins}: {error}")),
            };
            let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned();
            if text.starts_with(begins) {
                return (text, from.to_string());
            }
        }
        panic!("no {begins} among fifty messages");
    }

    /// Sends an INVITE, and gives its 200.
    pub fn invites(&self, invite: &str, to: &str) -> String {
        self.send(invite, to);
        self.hear("SIP/2.0 200").0
    }

    /// Answers the next request of this method.
    pub fn answers(&self, method: &str, status: &str) -> String {
        let (request, from) = self.hear(&format!("{method} "));
        let fields =
            ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| format!("{name}: {}\r\n", field(&request, name)));
        let contact = format!("Contact: <{}>\r\n", self.address());
        self.send(&format!("SIP/2.0 {status}\r\n{}{contact}Content-Length: 0\r\n\r\n", fields.concat()), &from);
        request
    }

    /// Asks to be replaced by somebody: the status of the answer.
    pub fn refers(&mut self, to: &str) -> u16 {
        self.number += 1;
        let more = format!("Refer-To: <{to}>\r\n");
        self.send(&self.request("REFER", self.number, &more), &self.milo);
        let (answer, _) = self.hear("SIP/2.0 ");
        assert!(field(&answer, "CSeq").ends_with("REFER"), "{answer}");
        answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Takes the place of another telephone in its call with Milo, with an INVITE of its own to this number.
    pub fn replaces_in(&self, other: &Self, number: &str) {
        self.takes_the_place(&format!("Refer-To: <sip:{number}@{}?Replaces={}>", self.milo, other.replaces()));
    }

    /// What Milo says of it, up to the last: the status codes.
    pub fn told(&self) -> Vec<u16> {
        let mut told = Vec::new();
        loop {
            let notify = self.answers("NOTIFY", "200 OK");
            let line = notify.split("\r\n\r\n").nth(1).expect("a body");
            told.push(line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"));
            if field(&notify, "Subscription-State").starts_with("terminated") {
                return told;
            }
        }
    }

    /// Tells how far it is with what the REFER asked for.
    pub fn tells(&mut self, status: &str, state: &str) {
        self.number += 1;
        let more = format!(
            "Event: refer\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag\r\n\r\nSIP/2.0 {status}\r\n"
        );
        self.send(&self.request("NOTIFY", self.number, &more), &self.milo);
        self.hear("SIP/2.0 200");
    }

    /// Does as a REFER says: calls the one in Refer-To in Milo's place. The To of that call.
    pub fn takes_the_place(&self, refer: &str) -> (String, String) {
        let refer_to = field(refer, "Refer-To");
        let (uri, header) = refer_to.trim_matches(['<', '>']).split_once('?').expect("a Replaces");
        let replaces = header.strip_prefix("Replaces=").expect("a Replaces");
        let escapes = [("%40", "@"), ("%3B", ";"), ("%3D", "="), ("%3A", ":")];
        let replaces = escapes.iter().fold(replaces.to_owned(), |text, (escape, plain)| text.replace(escape, plain));
        let (far, port) = (uri.split('@').nth(1).expect("an address").to_owned(), self.port());
        let request = |method: &str, to: &str, more: &str, body: &str| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bKnew{method}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:0341234567@127.0.0.1:{port}>;tag=n\r\nTo: {to}\r\nCall-ID: new{port}\r\n\
                 CSeq: {} {method}\r\nContact: <sip:0341234567@127.0.0.1:{port}>\r\n{more}Content-Length: {}\r\n\r\n{body}",
                if method == "BYE" { 2 } else { 1 },
                body.len()
            )
        };
        let fields = format!("Require: replaces\r\nReplaces: {replaces}\r\nContent-Type: application/sdp\r\n");
        let answered = self.invites(&request("INVITE", &format!("<{uri}>"), &fields, &self.offer()), &far);
        let to = field(&answered, "To");
        self.send(&request("ACK", &to, "", ""), &far);
        (request("BYE", &to, "", ""), far)
    }

    pub fn hangs_up(&mut self) {
        self.number += 1;
        self.send(&self.request("BYE", self.number, ""), &self.milo);
        self.hear("SIP/2.0 200");
    }

    /// Listens so long: how many packets came, and the longest time between two of them.
    pub fn listens(&self, long: Duration) -> (usize, Duration) {
        let (mut packets, mut gap, mut bytes) = (0, Duration::ZERO, [0; 2_048]);
        while self.rtp.recv(&mut bytes).is_ok() {}
        let end = Instant::now() + long;
        let mut last = Instant::now();
        while Instant::now() < end {
            if self.rtp.recv(&mut bytes).is_ok() {
                packets += 1;
                gap = gap.max(last.elapsed());
                last = Instant::now();
            } else {
                sleep(Duration::from_millis(2));
            }
        }
        (packets, gap.max(last.elapsed()))
    }

    /// Packets that came and are no silence (PCMU).
    pub fn heard(&self) -> usize {
        let (mut loud, mut bytes) = (0, [0; 2_048]);
        while let Ok(length) = self.rtp.recv(&mut bytes) {
            let sound = bytes.get(12..length).unwrap_or_default();
            let silent = sound.iter().filter(|byte| (**byte & 0x7f) > 0x70).count();
            loud += usize::from(silent * 2 < sound.len());
        }
        loud
    }
}

/// A sample in G.711 µ-law.
fn ulaw(sample: i16) -> u8 {
    let (sign, magnitude) = if sample < 0 { (0x80, -i32::from(sample)) } else { (0, i32::from(sample)) };
    let magnitude = magnitude.min(32_635) + 132;
    let exponent = (24 - magnitude.leading_zeros() as i32).clamp(0, 7);
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) | mantissa) as u8
}

/// Where its sender wants to hear whoever takes it.
fn audio(message: &str) -> Option<u16> {
    message.split("m=audio ").nth(1)?.split(' ').next()?.parse().ok()
}

/// The value of a header field.
pub fn field(message: &str, name: &str) -> String {
    let value = message.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {message}")).to_owned()
}
