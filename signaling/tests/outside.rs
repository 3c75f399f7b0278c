//! How Milo looks from outside, behind a NAT: as the peer says in its responses, or as a STUN server has seen it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::line::{Line, SDP, brief, response, rtp};
use milo_media::PortPool;
use milo_signaling::{
    Endpoint, EndpointConfig, Transport,
    sip::{
        Message, Name,
        flow::{Flow, Path},
    },
};
use tokio::net::UdpSocket;

/// A line on which everything comes from and goes to a peer beyond our network.
fn behind_nat() -> (Line, Path) {
    let mut line = Line::with(Transport::Udp, |config| config.trusted = vec!["198.51.100.0/24".parse().unwrap()]);
    let (local, remote) = ("10.0.0.5:5060".parse().unwrap(), "198.51.100.7:5060".parse().unwrap());
    line.flow = Flow { local, remote, ..line.flow };
    let path = Path { flow: line.flow, or_connect: None };
    (line, path)
}

fn call(line: &mut Line, path: Path) -> Message {
    let target = "sip:rasoa@198.51.100.7".parse().unwrap();
    let rtp = SocketAddr::new([10, 0, 0, 5].into(), rtp().port());
    line.act(|core, now| core.call(now, &target, "milo", path, rtp)).unwrap();
    line.only()
}

/// The Contact and the address of the audio.
fn told(invite: &Message) -> (String, String) {
    let sdp = String::from_utf8(invite.sdp().unwrap().to_vec()).unwrap();
    let audio = sdp.lines().find_map(|line| line.strip_prefix("c=IN IP4 ")).unwrap().to_owned();
    (invite.headers.get(Name::CONTACT).unwrap().to_owned(), audio)
}

fn is(contact: &str, audio: &str) -> (String, String) {
    (format!("<sip:milo@{contact}>"), audio.to_owned())
}

#[test]
fn what_a_peer_saw_is_what_it_is_told_from_then_on() {
    let (mut line, path) = behind_nat();
    let first = call(&mut line, path);
    assert_eq!(told(&first), is("10.0.0.5:5060", "10.0.0.5"), "nothing is known yet");
    let busy = response(&first, 486, "callee", "").replacen(";rport", ";rport=40001;received=203.0.113.9", 1);
    line.hear(&busy);
    assert_eq!(line.spoke(), ["ACK"]);
    assert_eq!(told(&call(&mut line, path)), is("203.0.113.9:40001", "203.0.113.9"));
    let other = Path { flow: Flow { remote: "198.51.100.8:5060".parse().unwrap(), ..path.flow }, ..path };
    assert_eq!(told(&call(&mut line, other)), is("10.0.0.5:5060", "10.0.0.5"), "one peer's word is for itself");
}

#[test]
fn the_address_that_a_stun_server_saw_stands_whatever_a_peer_saw() {
    let (mut line, path) = behind_nat();
    line.core.seen_from_outside([192, 0, 2, 7].into());
    let first = call(&mut line, path);
    line.hear(&response(&first, 486, "callee", "").replacen(";rport", ";rport=40001;received=203.0.113.9", 1));
    assert_eq!(line.spoke(), ["ACK"]);
    let again = call(&mut line, path);
    assert_eq!(told(&again), is("192.0.2.7:5060", "192.0.2.7"));
    line.hear(&response(&again, 200, "callee", SDP));
    assert_eq!(brief(&line.only()), "ACK");
}

#[tokio::test]
async fn a_stun_server_is_asked_from_the_sip_socket_and_believed() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let stun = Some(format!("localhost:{}", server.local_addr().unwrap().port()));
    let config = EndpointConfig { udp: vec![at], stun, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    let (endpoint, _door) = Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap();
    let mut request = [0; 100];
    let asked = tokio::time::timeout(Duration::from_secs(5), server.recv_from(&mut request)).await;
    let (length, from) = asked.expect("asked within five seconds").unwrap();
    assert_eq!((length, from), (20, endpoint.local()[0].1));
    // 203.0.113.9:40000, each byte with the magic cookie's.
    let mut answer = vec![1, 1, 0, 12];
    answer.extend(&request[4..20]);
    answer.extend([0, 0x20, 0, 8, 0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 9 ^ 0x42]);
    // Somebody else's answer comes first.
    UdpSocket::bind("127.0.0.1:0").await.unwrap().send_to(&answer, from).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(endpoint.counters().public_address, None);
    server.send_to(&answer, from).await.unwrap();
    let learnt = async {
        while endpoint.counters().public_address != Some([203, 0, 113, 9].into()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), learnt).await.expect("believed");
}
