//! Telephones made by hand: SIP by the letter over one UDP socket, RTP from one socket a call. They share the codecs and the
//! reading of sockets with Milo's legs, and nothing else: neither jitter buffer nor clock stands between the wire and the figures.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use milo_media::{Codec, Datagrams};

use super::stream::Stream;

/// How long an INVITE or a BYE may go unanswered, and after how long it is sent again.
const PATIENCE: Duration = Duration::from_secs(8);
const AGAIN: Duration = Duration::from_millis(500);
/// Datagrams of one call looked at in a row.
const WAITING: usize = 64;
/// A caller that is behind by more than this leaves out what it did not send, as a telephone would.
const BEHIND: Duration = Duration::from_millis(200);

/// What every caller says: a second or more of it, cut into packets, over and over.
pub(super) struct Speech {
    pub(super) codec: &'static Codec,
    pub(super) packets: Vec<Vec<u8>>,
}

/// Many calls to one number.
pub(super) struct Callers {
    sip: UdpSocket,
    at: SocketAddr,
    number: String,
    target: SocketAddr,
    speech: Speech,
    calls: Vec<Call>,
    /// Of a hundred packets so many are not sent.
    loss: u32,
    chance: u64,
}

struct Call {
    rtp: Datagrams,
    rtp_at: SocketAddr,
    peer: Option<Peer>,
    sequence: u16,
    timestamp: u32,
    /// When the next packet leaves, and how many have.
    due: Instant,
    spoken: usize,
    heard: Stream,
}

/// What the 200 said.
struct Peer {
    rtp: SocketAddr,
    contact: String,
    tag: String,
}

impl Callers {
    pub(super) fn new(number: &str, target: SocketAddr, speech: Speech, loss: u32) -> Result<Self> {
        let sip = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        sip.set_read_timeout(Some(Duration::from_millis(5)))?;
        let at = sip.local_addr()?;
        Ok(Self { sip, at, number: number.into(), target, speech, calls: Vec::new(), loss, chance: 1 })
    }

    /// Places one more call and waits until it is up; those that are up go on meanwhile.
    pub(super) fn place(&mut self) -> Result<()> {
        let number = self.calls.len();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let rtp_at = socket.local_addr()?;
        // Callers are spread over the 20 ms by the golden ratio: however many there are, evenly.
        let phase = Duration::from_micros(((number as f64 * 0.618_034).fract() * 20_000.0) as u64);
        let now = now();
        self.calls.push(Call {
            rtp: Datagrams::new(socket, now)?,
            rtp_at,
            peer: None,
            sequence: number as u16,
            timestamp: number as u32 * 7_919,
            due: now + phase,
            spoken: number,
            heard: Stream::default(),
        });
        let invite = self.invite(number);
        let answer = self.ask(&invite, number, "INVITE")?;
        let line = answer.lines().next().unwrap_or_default();
        ensure!(line.starts_with("SIP/2.0 200"), "call {number} was answered {line:?}");
        let contact = header(&answer, "Contact").and_then(|contact| contact.split(['<', '>']).nth(1));
        let tag = header(&answer, "To").and_then(|to| to.split("tag=").nth(1)).context("no tag in the 200")?;
        let port = answer.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()?.parse().ok());
        let host = answer.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")?.trim().parse::<Ipv4Addr>().ok());
        self.calls[number].peer = Some(Peer {
            rtp: SocketAddr::from((host.context("no IPv4 address in the 200")?, port.context("no port in the 200")?)),
            contact: contact.context("no Contact in the 200")?.to_owned(),
            tag: tag.split(';').next().unwrap_or_default().to_owned(),
        });
        let ack = self.within_dialog(number, "ACK", 1)?;
        self.sip.send_to(ack.as_bytes(), self.target)?;
        Ok(())
    }

    /// The calls go on until then.
    pub(super) fn talk_until(&mut self, end: Instant) -> Result<()> {
        while now() < end {
            self.step()?;
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Sends what is due and takes what came.
    fn step(&mut self) -> Result<()> {
        let Self { calls, speech, loss, chance, .. } = self;
        let (clock_rate, payload_type) = (speech.codec.clock_rate, speech.codec.payload_type);
        for call in calls.iter_mut() {
            let now = now();
            let Some(peer) = &call.peer else { continue };
            if now.saturating_duration_since(call.due) > BEHIND {
                call.due = now;
            }
            while call.due <= now {
                let payload = &speech.packets[call.spoken % speech.packets.len()];
                let mut packet = vec![0x80, payload_type];
                packet.extend(call.sequence.to_be_bytes());
                packet.extend(call.timestamp.to_be_bytes());
                packet.extend([0x5e, 0xed, (call.rtp_at.port() >> 8) as u8, call.rtp_at.port() as u8]);
                packet.extend(payload);
                *chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if (*chance >> 33) % 100 >= u64::from(*loss) && !payload.is_empty() {
                    call.rtp.send(&packet, peer.rtp)?;
                }
                call.sequence = call.sequence.wrapping_add(1);
                call.timestamp = call.timestamp.wrapping_add(clock_rate / 50);
                call.due += Duration::from_millis(20);
                call.spoken += 1;
            }
            let heard = &mut call.heard;
            call.rtp.take(now, WAITING, |packet, _, arrived| {
                if packet.len() > 12 && packet[0] >> 6 == 2 && packet[1] & 0x7f == payload_type {
                    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
                    let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
                    heard.packet(sequence, timestamp, arrived, clock_rate);
                }
            });
        }
        Ok(())
    }

    /// What was heard since the last time this was asked.
    pub(super) fn heard(&mut self) -> Vec<Stream> {
        self.calls.iter_mut().map(|call| std::mem::take(&mut call.heard)).collect()
    }

    /// Hangs up every call.
    pub(super) fn hang_up(mut self) -> Result<()> {
        for number in 0..self.calls.len() {
            let bye = self.within_dialog(number, "BYE", 2)?;
            self.ask(&bye, number, "BYE")?;
            self.calls[number].peer = None;
        }
        Ok(())
    }

    /// Sends a request until its final response comes.
    fn ask(&mut self, request: &str, number: usize, method: &str) -> Result<String> {
        let asked = now();
        let mut sent: Option<Instant> = None;
        let mut bytes = [0; 4096];
        let call_id = format!("{number}.{}@bench", self.at.port());
        while now().saturating_duration_since(asked) < PATIENCE {
            if sent.is_none_or(|sent| now().saturating_duration_since(sent) > AGAIN) {
                self.sip.send_to(request.as_bytes(), self.target)?;
                sent = Some(now());
            }
            self.step()?;
            let Ok(length) = self.sip.recv(&mut bytes) else { continue };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let ours = header(&text, "Call-ID") == Some(call_id.as_str())
                && header(&text, "CSeq").is_some_and(|sequence| sequence.ends_with(method));
            if ours && text.starts_with("SIP/2.0 ") && !text.starts_with("SIP/2.0 1") {
                return Ok(text);
            }
        }
        bail!("no answer to the {method} of call {number} within {} s", PATIENCE.as_secs());
    }

    fn invite(&self, number: usize) -> String {
        let Self { at, target, number: dialled, speech: Speech { codec, .. }, .. } = self;
        let (host, payload_type) = (at.ip(), codec.payload_type);
        let channels = if codec.channels > 1 { format!("/{}", codec.channels) } else { String::new() };
        let fmtp = codec.fmtp.map_or(String::new(), |fmtp| format!("a=fmtp:{payload_type} {fmtp}\r\n"));
        let body = format!(
            "v=0\r\no=- {number} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP {payload_type}\r\na=rtpmap:{payload_type} {}/{}{channels}\r\n{fmtp}a=ptime:20\r\na=sendrecv\r\n",
            self.calls[number].rtp_at.port(),
            codec.name,
            codec.clock_rate,
        );
        format!(
            "INVITE sip:{dialled}@{target} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bKi{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bench@{at}>;tag=b{number}\r\nTo: <sip:{dialled}@{target}>\r\n\
             Call-ID: {number}.{}@bench\r\nCSeq: 1 INVITE\r\nContact: <sip:bench@{at}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            at.port(),
            body.len(),
        )
    }

    fn within_dialog(&self, number: usize, method: &str, sequence: u32) -> Result<String> {
        let Self { at, target, number: dialled, .. } = self;
        let peer = self.calls[number].peer.as_ref().context("the call is not up")?;
        Ok(format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bK{method}{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:bench@{at}>;tag=b{number}\r\nTo: <sip:{dialled}@{target}>;tag={}\r\n\
             Call-ID: {number}.{}@bench\r\nCSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n",
            peer.contact,
            peer.tag,
            at.port(),
        ))
    }
}

/// The value of a header field, as Milo writes it.
fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "a bench measures with the clock")]
pub(super) fn now() -> Instant {
    Instant::now()
}
