//! Peers that mean harm or know no better, over real sockets: each hurts itself only.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milo_media::PortPool;
use milo_signaling::{Endpoint, EndpointConfig, Invitations, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(10);

fn bind() -> (Endpoint, Invitations) {
    let at: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn at(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1
}

fn options(transport: &str, number: u32) -> String {
    format!(
        "OPTIONS sip:milo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:5070;rport;branch=z9hG4bK{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:milo@127.0.0.1>\r\nCall-ID: {number}@b\r\n\
         CSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// What comes back within a second, or until the other side closes.
async fn read(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(length)) = timeout(Duration::from_millis(500), stream.read(&mut buffer)).await {
        if length == 0 {
            break;
        }
        heard.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8(heard).unwrap()
}

/// The endpoint still answers over UDP.
async fn is_well(endpoint: &Endpoint) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(options("UDP", 1).as_bytes(), at(endpoint, Transport::Udp)).await.unwrap();
    let mut buffer = [0; 2048];
    let length = timeout(SOON, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..length].starts_with(b"SIP/2.0 200 OK\r\n"));
}

async fn no_connections(endpoint: &Endpoint) {
    timeout(SOON, async {
        while endpoint.counters().connections > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the connection is forgotten");
}

#[tokio::test]
async fn a_peer_that_never_reads_loses_its_connection_and_nobody_else_notices() {
    let (endpoint, _door) = bind();
    let mut deaf = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    let flood: String = (0..500).map(|number| options("TCP", number)).collect();
    timeout(Duration::from_secs(20), async { while deaf.write_all(flood.as_bytes()).await.is_ok() {} })
        .await
        .expect("the connection is closed on it");
    is_well(&endpoint).await;
    no_connections(&endpoint).await;
    assert!(endpoint.counters().send_failures > 0);
}

#[tokio::test]
async fn a_stream_cut_into_single_bytes_is_read_all_the_same() {
    let (endpoint, _door) = bind();
    let mut stream = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in format!("\r\n{}{}", options("TCP", 1), options("TCP", 2)).bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    let heard = read(&mut stream).await;
    assert_eq!(heard.matches("SIP/2.0 200 OK\r\n").count(), 2, "{heard}");
}

#[tokio::test]
async fn a_stream_that_cannot_be_framed_is_answered_and_closed() {
    let (endpoint, _door) = bind();
    let mut stream = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    let bad = options("TCP", 1).replace("Content-Length: 0", "Content-Length: many");
    stream.write_all(bad.as_bytes()).await.unwrap();
    let heard = read(&mut stream).await;
    assert!(heard.starts_with("SIP/2.0 400 "), "{heard}");
    no_connections(&endpoint).await;
    let mut web = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    web.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut web).await, "");
    no_connections(&endpoint).await;
    is_well(&endpoint).await;
}

#[tokio::test]
async fn a_keep_alive_is_answered() {
    let (endpoint, _door) = bind();
    let mut stream = TcpStream::connect(at(&endpoint, Transport::Tcp)).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    assert_eq!(read(&mut stream).await, "\r\n");
    assert_eq!(endpoint.counters().connections, 1);
}

#[tokio::test]
async fn garbage_in_datagrams_is_met_with_silence() {
    let (endpoint, _door) = bind();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = at(&endpoint, Transport::Udp);
    for garbage in [&b""[..], b"\r\n\r\n", b"\0\0\0\0", &[0xff; 65_000], b"SIP/2.0 200 OK\r\n\r\n", b"INVITE"] {
        socket.send_to(garbage, to).await.unwrap();
    }
    is_well(&endpoint).await;
    let mut buffer = [0; 2048];
    let silence = timeout(Duration::from_millis(100), socket.recv(&mut buffer)).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!(endpoint.counters().transactions, 0);
}
