//! Connections that nobody speaks on, over real sockets: answered pings (RFC 5626 section 4.4.1), and the end of those that
//! no call needs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milo_media::PortPool;
use milo_signaling::{Endpoint, EndpointConfig, Invitations, Progress, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_millis(900);

fn bind() -> (Endpoint, Invitations) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], idle: IDLE, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn at(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1
}

fn options(transport: &str) -> String {
    format!(
        "OPTIONS sip:milo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5070;rport;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:milo@127.0.0.1>\r\nCall-ID: 1@b\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn a_double_line_end_is_answered_and_keeps_a_stream_open() {
    let (endpoint, _door) = bind();
    let mut stream = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    let mut heard = [0; 2048];
    stream.write_all(options("TCP").as_bytes()).await.unwrap();
    let length = timeout(SOON, stream.read(&mut heard)).await.unwrap().unwrap();
    assert!(heard[..length].starts_with(b"SIP/2.0 200 OK\r\n"));
    for _ in 0..8 {
        tokio::time::sleep(IDLE / 6).await;
        stream.write_all(b"\r\n\r\n").await.unwrap();
        let length = timeout(SOON, stream.read(&mut heard)).await.unwrap().unwrap();
        assert_eq!(&heard[..length], b"\r\n");
    }
    assert_eq!(timeout(SOON, stream.read(&mut heard)).await.unwrap().unwrap(), 0, "silent and needed by nobody");
    assert_eq!(endpoint.counters().connections, 0);
}

#[tokio::test]
async fn a_silent_stream_lives_as_long_as_its_call() {
    let (alice, _nobody) = bind();
    let (bob, mut door) = bind();
    let target = format!("sip:milo@{};transport=tcp", at(&bob, Transport::Tcp)).parse().unwrap();
    let mut outgoing = alice.call(&target, "rasoa").await.unwrap();
    let invitation = timeout(SOON, door.next()).await.unwrap().unwrap();
    let (_theirs, _their_leg) = invitation.answer().await.unwrap();
    let Progress::Answered(mine, _my_leg) = timeout(SOON, outgoing.next()).await.unwrap() else { panic!("no answer") };
    tokio::time::sleep(IDLE * 5).await;
    assert_eq!((alice.counters().connections, bob.counters().connections), (1, 1));
    mine.hang_up().await.unwrap();
    let closed = async {
        while alice.counters().connections + bob.counters().connections > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, closed).await.expect("nobody needs them any more");
}

#[tokio::test]
async fn line_ends_in_datagrams_are_nothing() {
    let (endpoint, _door) = bind();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = at(&endpoint, Transport::Udp);
    for nothing in ["\r\n", "\r\n\r\n", "\n", ""] {
        socket.send_to(nothing.as_bytes(), to).await.unwrap();
    }
    socket.send_to(options("UDP").as_bytes(), to).await.unwrap();
    let mut heard = [0; 2048];
    let length = timeout(SOON, socket.recv(&mut heard)).await.unwrap().unwrap();
    assert!(heard[..length].starts_with(b"SIP/2.0 200 OK\r\n"), "the first answer is that to the request");
    assert_eq!(endpoint.counters().parse_errors, 0);
}
