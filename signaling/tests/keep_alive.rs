//! Connections that nobody speaks on, over real sockets: answered pings (RFC 5626 section 4.4.1), the end of those that no call
//! needs, and ways that we keep open ourselves (section 3.5, RFC 6223).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milo_media::PortPool;
use milo_signaling::{
    Account, Algorithms, Credentials, Endpoint, EndpointConfig, Invitations, Progress, RegistrarConfig, Terms,
    TextPace, Transport, User,
    sip::{Message, Method, Name, parse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use crate::registrar;

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

/// An endpoint that keeps ways open so often.
fn keeping(every: Duration, registrar: Option<RegistrarConfig>) -> (Endpoint, Invitations) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointConfig {
        udp: vec![at],
        tcp: vec![at],
        keep_alive: Some(every),
        registrar,
        ..EndpointConfig::default()
    };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn account(registrar: String) -> Account {
    let credentials = Credentials { username: "201".into(), password: "secret".into(), realm: None };
    Account {
        name: "carrier".into(),
        registrar: registrar.parse().unwrap(),
        user: "201".into(),
        proxy: None,
        credentials,
        expires: Duration::from_secs(600),
        codecs: None,
        trust: None,
    }
}

/// The 200 to a REGISTER, with this at the end of its Via.
fn granted(request: &[u8], keep: &str) -> Vec<u8> {
    let request = parse(request).unwrap();
    assert_eq!(request.method(), Some(&Method::Register));
    let mut response = Message::response_to(&request, 200, "");
    let via = request.headers.get(Name::VIA).unwrap();
    assert!(via.ends_with(";keep"), "RFC 6223 section 4.1: {via}");
    response.headers.set_first(Name::VIA, format!("{via}{keep}"));
    response.headers.push(Name::EXPIRES, "600");
    response.to_bytes()
}

#[tokio::test]
async fn a_registrar_sees_that_the_way_to_us_is_kept_open() {
    // The second says itself how often: before anything is due by our own measure.
    for (every, keep) in [(IDLE, ""), (Duration::from_secs(3600), "=1")] {
        let (endpoint, _door) = keeping(every, None);
        let registrar = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let _state = endpoint.register(account(format!("sip:{}", registrar.local_addr().unwrap()))).await.unwrap();
        let mut bytes = [0; 2048];
        let (length, us) = timeout(SOON, registrar.recv_from(&mut bytes)).await.unwrap().unwrap();
        registrar.send_to(&granted(&bytes[..length], keep), us).await.unwrap();
        for _ in 0..3 {
            let (length, from) = timeout(SOON, registrar.recv_from(&mut bytes)).await.unwrap().unwrap();
            assert_eq!((&bytes[..length], from), (&b"\r\n\r\n"[..], us));
        }
        endpoint.unregister().await;
        let farewell = async {
            loop {
                let (length, _) = registrar.recv_from(&mut bytes).await.unwrap();
                if length > 4 {
                    return length;
                }
            }
        };
        timeout(SOON, farewell).await.unwrap();
    }
}

#[tokio::test]
async fn a_registrar_whose_connection_is_gone_is_registered_with_anew() {
    let (endpoint, _door) = keeping(IDLE, None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let _state = endpoint.register(account(format!("sip:{at};transport=tcp"))).await.unwrap();
    let mut bytes = [0; 2048];
    for _ in 0..2 {
        let (mut stream, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        let length = timeout(SOON, stream.read(&mut bytes)).await.unwrap().unwrap();
        stream.write_all(&granted(&bytes[..length], "")).await.unwrap();
        for _ in 0..3 {
            timeout(SOON, stream.read_exact(&mut bytes[..4])).await.unwrap().unwrap();
            assert_eq!(&bytes[..4], b"\r\n\r\n");
            stream.write_all(b"\r\n").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_telephone_behind_a_nat_is_asked_so_that_it_stays_reachable() {
    let registrar = RegistrarConfig {
        realm: "milo".into(),
        users: vec![User::new("rina", "milo", "secret")],
        terms: Terms { least_s: 60, most_s: 3600 },
        algorithms: Algorithms { sha256: false, md5: true },
        text_pace: TextPace::default(),
    };
    let (endpoint, _door) = keeping(IDLE, Some(registrar));
    let us = at(&endpoint, Transport::Udp);
    let (hidden, open) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let mut bytes = [0; 4096];
    let own = format!("Contact: <sip:rina@{}>\r\n", open.local_addr().unwrap());
    for (phone, contact) in [(&hidden, "Contact: <sip:rina@192.168.1.9:5060>\r\n"), (&open, own.as_str())] {
        let call_id = format!("Call-ID: {}\r\n", phone.local_addr().unwrap());
        let request = |number, fields: &str| {
            let request = registrar::request("REGISTER", number, ";rport", fields);
            request
                .replace("Call-ID: r\r\n", &call_id)
                .replace("z9hG4bK", &format!("z9hG4bK{}", phone.local_addr().unwrap().port()))
        };
        phone.send_to(request(1, contact).as_bytes(), us).await.unwrap();
        let (length, _) = timeout(SOON, phone.recv_from(&mut bytes)).await.unwrap().unwrap();
        let answer = registrar::answer(&parse(&bytes[..length]).unwrap());
        phone.send_to(request(2, &[contact, &answer].concat()).as_bytes(), us).await.unwrap();
        // It may have been asked already.
        let registered = async {
            loop {
                let (length, _) = phone.recv_from(&mut bytes).await.unwrap();
                if bytes[..length].starts_with(b"SIP/2.0 200") {
                    return;
                }
            }
        };
        timeout(SOON, registered).await.unwrap();
    }
    let open_transactions = endpoint.counters().transactions;
    for _ in 0..3 {
        let (length, from) = timeout(SOON, hidden.recv_from(&mut bytes)).await.unwrap().unwrap();
        let asked = parse(&bytes[..length]).unwrap();
        assert_eq!((asked.method(), from), (Some(&Method::Options), us));
        assert_eq!(asked.uri().unwrap().to_string(), "sip:rina@192.168.1.9:5060");
        let answer = Message::response_to(&asked, 200, "").to_bytes();
        hidden.send_to(&answer, us).await.unwrap();
    }
    let counters = endpoint.counters();
    assert!(counters.transactions <= open_transactions, "nobody waits for an answer: {counters:?}");
    assert_eq!(counters.refused, 0);
    let mut nothing = [0; 16];
    assert!(open.try_recv(&mut nothing).is_err(), "the way to it is open");
}
