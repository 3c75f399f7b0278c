//! Somebody who speaks SIP by the letter: two sockets, and messages that are written out.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use milo::bench::Running;
use milo_signaling::sip::{Message, parse};
use tokio::{
    net::UdpSocket,
    time::{interval, sleep_until, timeout},
};

/// How long a message is waited for.
pub const SOON: Duration = Duration::from_secs(20);

/// A number that nothing else in these scenarios has, for a Call-ID and its branches: a port that one socket has let go of is
/// soon the next one's, and the same branch from there would be a message said twice (RFC 3261 17.2.3).
pub fn unique() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// A telephone without a telephone in it.
pub struct Peer {
    /// No other peer's.
    mark: u64,
    sip: UdpSocket,
    rtp: UdpSocket,
    milo: SocketAddr,
}

/// A call that this peer has placed and that was answered.
pub struct Called {
    /// Milo's 200.
    pub answer: Message,
    /// Where Milo hears.
    pub audio: SocketAddr,
    call_id: String,
    number: String,
    from: String,
}

impl Peer {
    /// One at this address of the machine, which speaks with that Milo.
    pub async fn at(address: impl Into<IpAddr>, milo: SocketAddr) -> Self {
        let address = address.into();
        let socket = async || UdpSocket::bind((address, 0)).await.expect("a socket");
        Self { mark: unique(), sip: socket().await, rtp: socket().await, milo }
    }

    /// One beside Milo.
    pub async fn beside(milo: &Running) -> Self {
        Self::at([127, 0, 0, 1], reached(milo)).await
    }

    /// Where it listens, for whoever is to call it before its Milo is known.
    pub fn address(&self) -> SocketAddr {
        self.sip.local_addr().expect("an address")
    }

    /// It speaks with this Milo from now on.
    pub fn speak_with(&mut self, milo: &Running) {
        self.milo = reached(milo);
    }

    /// Its audio: G.711, and telephone-event.
    pub fn sdp(&self) -> String {
        let rtp = self.rtp.local_addr().expect("an address");
        let ip = rtp.ip();
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {} RTP/AVP 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
            rtp.port()
        )
    }

    /// Sends what is written there.
    pub async fn say(&self, text: &str) {
        self.sip.send_to(text.as_bytes(), self.milo).await.expect("a message sent");
    }

    /// The next message that is one of these: a method, or a status.
    pub async fn hear(&self, wanted: &str) -> Message {
        let hearing = async {
            let mut bytes = vec![0; 8192];
            loop {
                let (length, _) = self.sip.recv_from(&mut bytes).await.expect("a message");
                let Ok(message) = parse(&bytes[..length]) else { continue };
                let what = match (message.method(), message.status()) {
                    (Some(method), _) => method.to_string(),
                    (_, status) => status.unwrap_or_default().to_string(),
                };
                if what == wanted {
                    return message;
                }
            }
        };
        timeout(SOON, hearing).await.unwrap_or_else(|_| panic!("no {wanted} came"))
    }

    /// Answers a request of Milo's, with our audio where there is to be some.
    pub async fn answer(&self, request: &Message, code: u16, sdp: bool) {
        let mut answer = Message::response_to(request, code, "");
        answer.set_to_tag("peer");
        answer.headers.push("Contact", format!("<sip:peer@{}>", self.address()));
        if sdp {
            answer.set_body("application/sdp", self.sdp().into_bytes());
        }
        self.say(&String::from_utf8(answer.to_bytes()).expect("a text")).await;
    }

    /// An INVITE to this number, as this caller, with these header fields besides.
    pub fn invite(&self, number: &str, from: &str, fields: &str) -> String {
        let call_id = format!("{number}{}", self.mark);
        self.request("INVITE", number, (from, &call_id), (1, ""), fields, &self.sdp())
    }

    fn request(
        &self,
        method: &str,
        number: &str,
        (from, call_id): (&str, &str),
        (sequence, to_tag): (u32, &str),
        fields: &str,
        body: &str,
    ) -> String {
        let Self { mark, milo, .. } = self;
        let at = self.address();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:{number}@{milo} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{method}{sequence}{number}{mark}\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=peer\r\nTo: <sip:{number}@{milo}>{to_tag}\r\nCall-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\nContact: <sip:peer@{at}>\r\n{fields}{kind}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// Calls a number and is answered.
    pub async fn call(&self, number: &str, from: &str, fields: &str) -> Called {
        self.say(&self.invite(number, from, fields)).await;
        let answer = self.hear("200").await;
        let audio = audio_of(&answer);
        let call_id = answer.call_id().expect("a Call-ID").to_owned();
        let called = Called { answer, audio, call_id, number: number.into(), from: from.into() };
        self.say(&self.within("ACK", &called, 1)).await;
        called
    }

    fn within(&self, method: &str, called: &Called, sequence: u32) -> String {
        let tag = called.answer.to().ok().and_then(|to| to.tag().map(|tag| format!(";tag={tag}"))).expect("a tag");
        self.request(method, &called.number, (&called.from, &called.call_id), (sequence, &tag), "", "")
    }

    /// Hangs up.
    pub async fn hang_up(&self, called: &Called) {
        self.say(&self.within("BYE", called, 2)).await;
        self.hear("200").await;
    }

    /// The final status that an INVITE to this number comes to. A refusal is acknowledged.
    pub async fn status(&self, number: &str, from: &str, fields: &str) -> u16 {
        let invite = self.invite(number, from, fields);
        self.say(&invite).await;
        let hearing = async {
            let mut bytes = vec![0; 8192];
            loop {
                let (length, _) = self.sip.recv_from(&mut bytes).await.expect("a message");
                let Ok(message) = parse(&bytes[..length]) else { continue };
                let is_ours = message.call_id().is_ok_and(|id| invite.contains(&format!("Call-ID: {id}\r\n")));
                if let Some(status) = message.status().filter(|status| is_ours && *status >= 200) {
                    let tag = message.to().ok().and_then(|to| to.tag().map(|tag| format!(";tag={tag}")));
                    let ack = invite.replace("INVITE sip", "ACK sip").replace("1 INVITE", "1 ACK");
                    let to = format!("@{}>\r\nCall-ID", self.milo);
                    let ack = ack.replace(&to, &to.replace(">\r\n", &format!(">{}\r\n", tag.unwrap_or_default())));
                    self.say(&ack).await;
                    return status;
                }
            }
        };
        timeout(SOON, hearing).await.unwrap_or_else(|_| panic!("no final answer for {number}"))
    }

    /// Speaks loudly there, packet after packet, until as loud a voice has been heard for a while, or the time is over: whether it has.
    pub async fn speaks_and_hears(&self, there: SocketAddr, within: Duration) -> bool {
        let (mut clock, mut loud, mut heard) = (interval(Duration::from_millis(20)), 0, [0; 2048]);
        // What came before is no answer.
        while self.rtp.try_recv(&mut heard).is_ok() {}
        let end = tokio::time::Instant::now() + within;
        for number in 0_u16.. {
            tokio::select! {
                _ = clock.tick() => {}
                () = sleep_until(end) => return false,
            }
            let mut packet = vec![0x80, 0];
            packet.extend(number.to_be_bytes());
            packet.extend((u32::from(number) * 160).to_be_bytes());
            packet.extend([0, 0, 0, 7]);
            packet.extend((0..160).map(|at| if at / 10 % 2 == 0 { 0x90 } else { 0x10 }));
            self.rtp.send_to(&packet, there).await.expect("sent");
            while let Ok(length) = self.rtp.try_recv(&mut heard) {
                // µ-law: the smaller without its sign, the louder.
                let bytes = heard.get(12..length).unwrap_or_default();
                loud += usize::from(bytes.iter().filter(|sample| *sample & 0x7f < 0x30).count() > 40);
            }
            if loud > 25 {
                return true;
            }
        }
        false
    }
}

/// Where a Milo takes SIP over UDP.
pub fn reached(milo: &Running) -> SocketAddr {
    let uri = milo.udp("x").expect("an address").to_string();
    uri.split(['@', ';']).nth(1).and_then(|at| at.parse().ok()).expect("host and port")
}

/// Where whoever described itself so wants its audio.
pub fn audio_of(message: &Message) -> SocketAddr {
    let sdp = String::from_utf8_lossy(message.sdp().expect("a description")).into_owned();
    let port = sdp.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()?.parse::<u16>().ok());
    let ip = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")?.trim().parse::<IpAddr>().ok());
    SocketAddr::new(ip.expect("an address"), port.expect("a port"))
}
