//! Pressed keys on the wire: by a caller written out by hand, as odd as carriers are, and by our own telephone every way
//! there is.

use std::{net::SocketAddr, time::Duration};

use crate::house::{call, errand, folder, milo, newest_call, stop};
use milo::{bench::Running, phone::Errand, press::PressBy};
use serde_json::Value;
use tokio::{
    net::UdpSocket,
    time::{interval, timeout},
};

/// Packets of 20 ms.
const SAMPLES: u32 = 160;
const SILENCE: [u8; 160] = [0xff; 160];

/// A caller that is two sockets.
struct Caller {
    sip: UdpSocket,
    rtp: UdpSocket,
    milo: SocketAddr,
}

impl Caller {
    async fn ask(&self, method: &str, sequence: u32, to: &str, body: &str) {
        self.tell(method, sequence, to, ("application/sdp", body)).await;
    }

    async fn tell(&self, method: &str, sequence: u32, to: &str, (kind, body): (&str, &str)) {
        let at = self.sip.local_addr().expect("an address");
        let request = format!(
            "{method} sip:digits@{milo} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{method}{sequence}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:hand@{at}>;tag=hand\r\n{to}\r\nCall-ID: keys@{at}\r\nCSeq: {sequence} {method}\r\n\
             Contact: <sip:hand@{at}>\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}",
            milo = self.milo,
            length = body.len(),
        );
        self.sip.send_to(request.as_bytes(), self.milo).await.expect("sent");
    }

    /// The 200 OK to what was asked.
    async fn ok(&self) -> String {
        let mut datagram = [0; 4_096];
        loop {
            let received = timeout(Duration::from_secs(10), self.sip.recv(&mut datagram)).await;
            let length = received.expect("an answer within ten seconds").expect("received");
            let answer = String::from_utf8_lossy(&datagram[..length]);
            if answer.starts_with("SIP/2.0 200") {
                return answer.into_owned();
            }
            assert!(answer.starts_with("SIP/2.0 1"), "{answer}");
        }
    }
}

/// A caller who has been answered: the To header of its dialog, and where its audio goes.
async fn answered(milo: &Running) -> (Caller, String, SocketAddr) {
    let address = milo.udp("digits").expect("an address").to_string();
    let address = address.split(['@', ';']).nth(1).expect("host and port").parse().expect("an address");
    let (sip, rtp) = (UdpSocket::bind("127.0.0.1:0").await, UdpSocket::bind("127.0.0.1:0").await);
    let caller = Caller { sip: sip.expect("a socket"), rtp: rtp.expect("a socket"), milo: address };
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {} RTP/AVP 0 101\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        caller.rtp.local_addr().expect("an address").port()
    );
    caller.ask("INVITE", 1, "To: <sip:digits@milo>", &offer).await;
    let answer = caller.ok().await;
    let to = answer.lines().find(|line| line.starts_with("To:")).expect("a To header");
    let port = answer.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()?.parse::<u16>().ok());
    let there = SocketAddr::from(([127, 0, 0, 1], port.expect("a port for the audio")));
    caller.ask("ACK", 1, to, "").await;
    (caller, to.to_owned(), there)
}

/// The keys of the newest call of the log.
fn keys(logged: &Value) -> String {
    let events = logged["events"].as_array().expect("events");
    let keys = events.iter().filter(|event| event["kind"] == "digit");
    keys.map(|event| event["detail"]["digit"].as_str().expect("a key")).collect()
}

/// An RTP packet (RFC 3550 section 5.1).
fn packet(marker: bool, payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, u8::from(marker) << 7 | payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(0x004d_494c_u32.to_be_bytes());
    packet.extend(payload);
    packet
}

/// The telephone-event of a key that has been down for `tick` packets of a press of eight: five of them held, three ended.
fn event(key: u8, tick: u32) -> [u8; 4] {
    let [high, low] = ((tick.min(4) + 1) as u16 * SAMPLES as u16).to_be_bytes();
    [key, if tick >= 5 { 0x8a } else { 0x0a }, high, low]
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_logged_and_read_back() {
    let milo = milo("digits", &[]).await;
    let (caller, to, there) = answered(&milo).await;

    // A second of silence before each of the three keys 1, 2 and # (event 11), six seconds of it behind them.
    let (mut clock, mut loud) = (interval(Duration::from_millis(20)), 0);
    for tick in 0..450_u32 {
        clock.tick().await;
        let (press, into) = (tick / 50, tick % 50);
        let sent = match [1, 2, 11].get((press as usize).wrapping_sub(1)) {
            Some(key) if into < 8 => {
                let began = (tick - into) * SAMPLES;
                packet(into == 0, 101, tick as u16, began, &event(*key, into))
            }
            _ => packet(false, 0, tick as u16, tick * SAMPLES, &SILENCE),
        };
        caller.rtp.send_to(&sent, there).await.expect("sent");
        let mut datagram = [0; 2_048];
        while let Ok(length) = caller.rtp.try_recv(&mut datagram) {
            // µ-law (G.711): the segment is in bits 4 to 6 of the inverted byte; from the fourth on it is a voice.
            loud += datagram.get(12..length).unwrap_or_default().iter().filter(|byte| (!**byte >> 4) & 7 >= 4).count();
        }
    }
    caller.ask("BYE", 2, &to, "").await;
    caller.ok().await;

    let logged = newest_call(&milo).await;
    assert_eq!(keys(&logged), "12#", "{logged}");
    assert!(loud > 2_000, "one, two are read back: {loud} loud samples\n{logged}");
    assert_eq!(logged["hangup_by"], "caller", "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_restarts_timestamps_and_sends_info_beside_them_presses_once() {
    let milo = milo("digits-odd", &[]).await;
    let (caller, to, there) = answered(&milo).await;
    let relay = |key: &str| format!("Signal={key}\r\nDuration=160\r\n");
    let mut clock = interval(Duration::from_millis(20));
    // 5 as events (no marker, each packet with a timestamp of its own, every third lost) and by INFO; 6 by INFO alone;
    // # as its last packet alone and by INFO, which is sent twice.
    for tick in 0..200_u32 {
        clock.tick().await;
        let now = tick * SAMPLES;
        let sent = match tick {
            50..58 if tick % 3 == 1 => continue,
            50..58 => packet(false, 101, tick as u16, now, &event(5, tick - 50)),
            150 => packet(false, 101, tick as u16, now - 7 * SAMPLES, &event(11, 7)),
            _ => packet(false, 0, tick as u16, now, &SILENCE),
        };
        caller.rtp.send_to(&sent, there).await.expect("sent");
        match tick {
            60 => caller.tell("INFO", 2, &to, ("application/dtmf-relay", &relay("5"))).await,
            100 => caller.tell("INFO", 3, &to, ("application/dtmf", "6")).await,
            152 | 160 => caller.tell("INFO", 4, &to, ("application/dtmf-relay", &relay("#"))).await,
            _ => continue,
        }
        caller.ok().await;
    }
    caller.ask("BYE", 5, &to, "").await;
    caller.ok().await;
    let logged = newest_call(&milo).await;
    assert_eq!(keys(&logged), "56#", "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_telephone_presses_every_way_there_is() {
    let milo = milo("digits-ways", &[("MILO__MEDIA__INBAND_DTMF", "on")]).await;
    let ways = [(PressBy::Agreed, "telephone-event"), (PressBy::Info, "info"), (PressBy::Tones, "tones")];
    for (by, way) in ways {
        let target = milo.udp("digits").expect("an address");
        let errand = Errand { digits: Some(("1123#".into(), by)), no_greeting: true, ..errand(target, &[]) };
        let report = call(&errand).await;
        let turn = report.turns.first().expect("a turn");
        assert_eq!((turn.by, turn.digits.as_deref()), (Some(way), Some("1123#")));
        assert!(turn.reply.is_some(), "{way}: they are read back: {report}");
        let logged = newest_call(&milo).await;
        assert_eq!(keys(&logged), "1123#", "{way}: {logged}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_presses_keys() {
    let plans = folder("digits-plan");
    let plan = |number: &str, by: &str| {
        format!(
            "[[plan]]\nname = \"{number}\"\nnumber = \"{number}\"\nlanguage = \"mg\"\n\
             actions = [{{ answer = {{}} }}, {{ send_digits = {{ digits = \"42#d\"{by} }} }}, {{ hangup = {{}} }}]\n"
        )
    };
    let text = plan("milo", "") + &plan("machine", "") + &plan("informed", ", by = \"info\"");
    std::fs::write(plans.join("plan.toml"), text).expect("written");
    let milo = milo("digits-plan-call", &[("MILO__DIALPLANS__PATH", plans.to_str().expect("a path"))]).await;
    for (number, way) in [("machine", "telephone-event"), ("informed", "info")] {
        let target = milo.udp(number).expect("an address");
        let report = call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
        assert_eq!(report.keys, "42#D", "{report}");
        let logged = newest_call(&milo).await;
        let pressed = logged["events"].as_array().expect("events").iter().find(|event| event["kind"] == "pressed");
        assert_eq!(pressed.expect("an event")["detail"]["by"], way, "{logged}");
    }
    stop(milo).await;
    std::fs::remove_dir_all(plans).ok();
}
