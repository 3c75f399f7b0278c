//! Milo behind a NAT: which address it tells a carrier in Contact and in its description of the audio, learnt from what the carrier
//! says it sees (`received` and `rport`), from a STUN server, or set by hand. In a network namespace with addresses of the
//! Internet's; loopback is no place that a NAT stands before, and this test runs itself there.

use std::{env, net::SocketAddr, time::Duration};

use crate::{
    by_hand::{Peer, audio_of, reached},
    calling_out::{calling_with, place},
    destinations::{FAR, OUT},
    house::{folder, get, in_a_namespace, stop},
};
use milo::bench::Running;
use milo_signaling::sip::Message;
use serde_json::json;
use tokio::{net::UdpSocket, task::JoinHandle, time::timeout};

/// Where Milo is, and how the world sees it.
const HERE: &str = "198.51.100.5";
const OUTSIDE: [u8; 4] = [203, 0, 113, 9];
const CARRIER: [u8; 4] = [198, 51, 100, 7];
const OTHER: [u8; 4] = [198, 51, 100, 8];
const STUN: [u8; 4] = [198, 51, 100, 9];
/// What says that this is the run within the namespace.
const INSIDE: &str = "MILO_TEST_INSIDE";

/// Runs this test again where those addresses are. Whether this is there.
fn is_inside(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = folder("behind-nat");
    let program = env::current_exe().expect("this program");
    let script = format!(
        "for last in 5 7 8 9; do ip addr add 198.51.100.$last/24 dev lo; done
         export {INSIDE}=1
         timeout 120 {} --exact behind_nat::{test} --nocapture",
        program.display()
    );
    if let Some(output) = in_a_namespace(&folder, &script) {
        let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    std::fs::remove_dir_all(folder).ok();
    false
}

/// A Milo at its address within, with these settings besides, and these two carriers.
async fn milo(name: &str, carriers: [&mut Peer; 2], more: &[(&str, &str)]) -> Running {
    let trunk = |name: &str, peer: &Peer| {
        let at = peer.address();
        format!("{{ name = '{name}', address = '{}', gateway = 'sip:{at}' }}", at.ip())
    };
    let trunks = format!("[{}, {}]", trunk("carrier", carriers[0]), trunk("other", carriers[1]));
    let listen = format!("{HERE}:0");
    let here = [("MILO__SIP__UDP", listen.as_str()), ("MILO__SIP__TCP", &listen)];
    let milo = calling_with(name, &[OUT, FAR].concat(), &trunks, &[&here, more].concat()).await;
    for carrier in carriers {
        carrier.speak_with(&milo);
    }
    milo
}

/// What a message of Milo's says: its Contact, its Via and where its audio is to go.
fn told(message: &Message) -> (String, String, String) {
    let contact = message.contact().expect("a Contact").expect("one");
    let contact = contact.uri.as_sip().map(|uri| format!("{}:{}", uri.host, uri.port.unwrap_or_default()));
    let via = message.top_via().expect("a Via");
    let via = format!("{}:{}", via.host, via.port.unwrap_or_default());
    (contact.expect("a SIP address"), via, audio_of(message).ip().to_string())
}

/// What Milo's INVITE to this carrier says; it is refused, as `seen` through a NAT.
async fn invited(milo: &Running, trunk: &str, carrier: &Peer, seen: Option<SocketAddr>) -> (String, String, String) {
    assert_eq!(place(milo, &json!({ "to": "034", "trunk": trunk })).status, 202);
    let invite = carrier.hear("INVITE").await;
    let mut refusal = Message::response_to(&invite, 486, "");
    refusal.set_to_tag("peer");
    let mut text = String::from_utf8(refusal.to_bytes()).expect("a text");
    if let Some(seen) = seen {
        text = text.replacen(";rport", &format!(";rport={};received={}", seen.port(), seen.ip()), 1);
    }
    carrier.say(&text).await;
    carrier.hear("ACK").await;
    told(&invite)
}

/// What Milo's answer to a call of this carrier says.
async fn answered(carrier: &Peer) -> (String, String) {
    let up = carrier.call("020", "<sip:0341234567@carrier.example>", "").await;
    let (contact, _, audio) = told(&up.answer);
    carrier.hang_up(&up).await;
    (contact, audio)
}

fn is(at: SocketAddr) -> (String, String, String) {
    (at.to_string(), at.to_string(), at.ip().to_string())
}

async fn peers() -> [Peer; 2] {
    let nowhere = ([127, 0, 0, 1], 9).into();
    [Peer::at(CARRIER, nowhere).await, Peer::at(OTHER, nowhere).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_carrier_sees_is_what_it_is_told_and_nobody_else() {
    if !is_inside("what_a_carrier_sees_is_what_it_is_told_and_nobody_else") {
        return;
    }
    let [mut carrier, mut other] = peers().await;
    let milo = milo("nat-received", [&mut carrier, &mut other], &[]).await;
    let (own, seen) = (reached(&milo), SocketAddr::from((OUTSIDE, 40_001)));
    assert_eq!(invited(&milo, "carrier", &carrier, Some(seen)).await, is(own), "nothing is known yet");
    assert_eq!(invited(&milo, "carrier", &carrier, Some(seen)).await, is(seen));
    assert_eq!(invited(&milo, "other", &other, None).await, is(own), "one carrier's word is for itself");
    // A call of its own is answered from there, too.
    assert_eq!(answered(&carrier).await, (seen.to_string(), seen.ip().to_string()));
    assert_eq!(answered(&other).await, (own.to_string(), own.ip().to_string()));
    stop(milo).await;
}

/// A STUN server that answers for as long as this lives: the world sees whoever asks at [`OUTSIDE`].
struct StunServer(JoinHandle<()>, SocketAddr);

impl StunServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind(SocketAddr::from((STUN, 0))).await.expect("a socket");
        let at = socket.local_addr().expect("an address");
        let serving = async move {
            let mut request = [0; 100];
            while let Ok((length, from)) = socket.recv_from(&mut request).await {
                assert!(length == 20 && request[..8] == [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], "a binding request");
                let mut answer = vec![1, 1, 0, 12];
                answer.extend(&request[4..20]);
                // XOR-MAPPED-ADDRESS (RFC 8489 section 14.2), each byte with the magic cookie's.
                answer.extend([0, 0x20, 0, 8, 0, 1, 0x9c ^ 0x21, 0x41 ^ 0x12]);
                answer.extend(OUTSIDE.iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(byte, mask)| byte ^ mask));
                socket.send_to(&answer, from).await.expect("sent");
            }
        };
        Self(tokio::spawn(serving), at)
    }
}

impl Drop for StunServer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stun_server_sees_is_what_everybody_outside_is_told() {
    if !is_inside("what_a_stun_server_sees_is_what_everybody_outside_is_told") {
        return;
    }
    let server = StunServer::start().await;
    let [mut carrier, mut other] = peers().await;
    let stun = server.1.to_string();
    let milo = milo("nat-stun", [&mut carrier, &mut other], &[("MILO__SIP__STUN", &stun)]).await;
    // The listeners are where they were; the address is the one outside.
    let seen = SocketAddr::from((OUTSIDE, reached(&milo).port()));
    let learnt = async {
        while invited(&milo, "carrier", &carrier, None).await != is(seen) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(20), learnt).await.expect("the address outside is told");
    assert_eq!(invited(&milo, "other", &other, None).await, is(seen));
    assert_eq!(answered(&carrier).await, (seen.to_string(), seen.ip().to_string()));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_by_hand_is_told_outside_and_not_at_home() {
    if !is_inside("what_is_set_by_hand_is_told_outside_and_not_at_home") {
        return;
    }
    let [mut carrier, mut other] = peers().await;
    let public = SocketAddr::from((OUTSIDE, 0)).ip().to_string();
    let everywhere = [("MILO__SIP__UDP", "0.0.0.0:0"), ("MILO__SIP__PUBLIC_ADDRESS", public.as_str())];
    let milo = milo("nat-set", [&mut carrier, &mut other], &everywhere).await;
    let dial = get(&milo, "/api/v1/health")["dial"].to_string();
    assert!(dial.contains(&format!("@{public}:")), "whoever dials Milo is told where: {dial}");
    let port = reached(&milo).port();
    let seen = SocketAddr::from((OUTSIDE, port));
    // Nobody is at that address here: they speak with Milo where it is.
    let here = SocketAddr::new(HERE.parse().expect("an address"), port);
    let carrier = Peer::at(CARRIER, here).await;
    assert_eq!(answered(&carrier).await, (seen.to_string(), public.clone()));
    let home = SocketAddr::from(([127, 0, 0, 1], port));
    let neighbour = Peer::at([127, 0, 0, 1], home).await;
    assert_eq!(answered(&neighbour).await, (home.to_string(), home.ip().to_string()));
    stop(milo).await;
}
