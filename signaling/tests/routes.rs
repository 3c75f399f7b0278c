//! Where our requests within a dialog go: a proxy that record-routes by name is found by DNS (RFC 3263), a stream that is no more is
//! opened anew, and what is too large for a datagram goes by a stream (RFC 3261 section 18.1.1). In virtual time, and over real
//! sockets for what finds and connects.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    dns::{dns, host},
    line::{Line, SDP, brief, invite, response, rtp, to_tag, within},
};
use milo_media::{Leg, PortPool};
use milo_signaling::{
    Dialog, Endpoint, EndpointConfig, Invitations, Transport,
    sip::{
        StreamFramer,
        core::{CallKey, Event},
        framing::Item,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

const SOON: Duration = Duration::from_secs(20);

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("within twenty seconds")
}

/// The peer's INVITE, come by a proxy that is named so.
fn routed(name: &str) -> String {
    invite(SDP).replacen("Max-Forwards", &format!("Record-Route: <sip:{name};lr>\r\nMax-Forwards"), 1)
}

fn pick_up(line: &mut Line, call: CallKey) {
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&within(&tag, "ACK", 1, "ack1", ""));
}

#[test]
fn what_we_say_waits_until_the_proxy_is_found_and_goes_there_in_order() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&routed("proxy.example:5090"));
    pick_up(&mut line, call);
    line.finds = false;
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert!(line.spoke().is_empty(), "nobody knows yet where");
    let [(key, name)] = &line.sought[..] else { panic!("{:?}", line.sought) };
    assert_eq!((*key, name.to_string()), (call, "sip:proxy.example:5090;lr".to_owned()), "once");
    line.others = vec!["127.0.0.2:5090".parse().unwrap()];
    line.finds = true;
    line.pass(Duration::ZERO);
    line.act(|_, _| ());
    assert_eq!(line.went().len(), 2);
    assert_eq!(line.spoke(), ["INVITE", "BYE"]);
    // Nobody there: the other place is tried.
    line.pass(Duration::from_secs(32));
    let sent = line.sent();
    assert_eq!(sent.last().map(brief).as_deref(), Some("BYE"));
    let to = "127.0.0.2:5090".parse::<SocketAddr>().unwrap();
    line.pass(Duration::from_millis(500));
    assert!(line.went().contains(&to), "{:?}", line.went());
    let bye = sent.last().unwrap();
    line.hear(&response(bye, 200, "", ""));
    line.pass(Duration::from_secs(200));
    line.sent();
    line.assert_empty();
}

#[test]
fn a_proxy_that_dns_does_not_know_is_spoken_to_where_it_spoke_from() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&routed("proxy.example"));
    pick_up(&mut line, call);
    line.is_lost = true;
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.went(), [line.flow.remote]);
    assert_eq!(line.spoke(), ["BYE"]);
}

#[test]
fn the_ack_of_an_answer_waits_for_the_contact_too() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    line.finds = false;
    let ok = response(&invite, 200, "callee", SDP).replace("rasoa@127.0.0.1:5080", "rasoa@pbx.example");
    line.hear(&ok);
    line.hear(&ok);
    assert!(line.spoke().is_empty());
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.finds = true;
    line.act(|_, _| ());
    assert_eq!(line.spoke(), ["ACK", "BYE"]);
    line.hear(&ok);
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.events()[..], [Event::Answered(..)]));
}

#[test]
fn a_server_that_says_503_within_a_dialog_is_passed_over_for_the_next() {
    let mut line = Line::new(Transport::Udp);
    line.others = vec!["127.0.0.2:5090".parse().unwrap()];
    let call = line.invited_with(&routed("proxy.example"));
    pick_up(&mut line, call);
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    let first = line.only();
    line.hear(&response(&first, 503, "", ""));
    assert_eq!(line.went().last(), line.others.last());
    let second = line.sent().pop().unwrap();
    assert_eq!((brief(&second).as_str(), second.cseq()), ("INVITE", first.cseq()));
    assert_ne!(second.top_via().unwrap().branch(), first.top_via().unwrap().branch());
    line.hear(&response(&second, 200, "", &format!("{SDP}a=recvonly\r\n")));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.events()[..], [Event::MediaChange(..), Event::HoldAnswered(_, 200)]));
}

// --- over real sockets ---

fn bind(dns: Option<SocketAddr>, is_wordy: bool) -> (Endpoint, Invitations) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let user_agent = if is_wordy { "x".repeat(1200) } else { "Milo".to_owned() };
    let dns = dns.into_iter().collect();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], dns, user_agent, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn address(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1
}

/// The next request on a stream.
async fn read(stream: &mut TcpStream) -> String {
    let (mut framer, mut bytes) = (StreamFramer::new(), [0; 4096]);
    loop {
        let length = soon(stream.read(&mut bytes)).await.unwrap();
        assert_ne!(length, 0, "closed");
        framer.push(&bytes[..length]);
        if let Some(Item::Message(message)) = framer.next().unwrap() {
            return String::from_utf8(message.to_bytes()).unwrap();
        }
    }
}

async fn receive(socket: &UdpSocket) -> String {
    let mut bytes = [0; 4096];
    let length = soon(socket.recv(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// The next request that is no repetition of an answer.
async fn request(socket: &UdpSocket) -> String {
    loop {
        let text = receive(socket).await;
        if !text.starts_with("SIP/2.0") {
            return text;
        }
    }
}

/// The INVITE and, of its answer, the ACK; at our end the call.
async fn up(
    door: &mut Invitations,
    invite: &str,
    send: impl AsyncFn(&str),
    hear: impl AsyncFn() -> String,
) -> (Dialog, Leg) {
    send(invite).await;
    let invitation = soon(door.next()).await.unwrap();
    // The leg comes with the ACK.
    let answering = tokio::spawn(invitation.answer());
    let ok = loop {
        let text = hear().await;
        if text.starts_with("SIP/2.0 200") {
            break text;
        }
    };
    let tag = ok.lines().find(|line| line.starts_with("To:")).unwrap().split(";tag=").nth(1).unwrap();
    send(&within(tag.trim(), "ACK", 1, "ack", "")).await;
    soon(answering).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_proxy_that_record_routes_by_name_is_reached_where_dns_says() {
    let (a, loopback) = host();
    let (server, asked) = dns(vec![("proxy.example.test.", a, loopback)]).await;
    let (milo, mut door) = bind(Some(server), false);
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.connect(address(&milo, Transport::Udp)).await.unwrap();
    let proxy = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = proxy.local_addr().unwrap().port();
    let send = async |text: &str| assert!(peer.send(text.as_bytes()).await.unwrap() > 0);
    let invite = routed(&format!("proxy.example.test:{at}"));
    let (dialog, _leg) = up(&mut door, &invite, send, async || receive(&peer).await).await;
    dialog.hang_up().await.unwrap();
    let bye = request(&proxy).await;
    assert!(bye.starts_with("BYE sip:rasoa@127.0.0.1:5080 SIP/2.0\r\n"), "{bye}");
    assert!(bye.contains(&format!("\r\nRoute: <sip:proxy.example.test:{at};lr>\r\n")), "{bye}");
    assert!(asked.lock().unwrap().iter().any(|(name, _)| name == "proxy.example.test."));
}

#[tokio::test]
async fn a_stream_that_is_lost_is_opened_anew_to_the_name_in_the_contact() {
    let (a, loopback) = host();
    let (server, _) = dns(vec![("pbx.example.test.", a, loopback)]).await;
    let (milo, mut door) = bind(Some(server), false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let contact = format!("pbx.example.test:{};transport=tcp", listener.local_addr().unwrap().port());
    let stream = TcpStream::connect(address(&milo, Transport::Tcp)).await.unwrap();
    let (reader, writer) = stream.into_split();
    let (reader, writer) = (tokio::sync::Mutex::new(reader), tokio::sync::Mutex::new(writer));
    let by_tcp =
        |text: &str| text.replace("SIP/2.0/UDP", "SIP/2.0/TCP").replace("127.0.0.1:5080>", &format!("{contact}>"));
    let send = async |text: &str| writer.lock().await.write_all(by_tcp(text).as_bytes()).await.unwrap();
    let hear = async || {
        let mut bytes = [0; 4096];
        let length = soon(reader.lock().await.read(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let (dialog, _leg) = up(&mut door, &invite(SDP), send, hear).await;
    // The ACK is there once Milo asks for something on the stream.
    let (other, held) = (dialog.other_side(), tokio::spawn(async move { dialog }));
    tokio::spawn(async move { other.hold().await });
    while !hear().await.contains("INVITE sip:rasoa@pbx.example.test") {}
    drop((reader, writer));
    while milo.counters().connections > 0 {
        soon(milo.watch().changed()).await.ok();
    }
    soon(held).await.unwrap().hang_up().await.unwrap();
    let (mut again, _) = soon(listener.accept()).await.unwrap();
    let bye = read(&mut again).await;
    assert!(bye.starts_with("BYE sip:rasoa@pbx.example.test"), "{bye}");
}

#[tokio::test]
async fn a_large_request_goes_by_a_stream_and_by_the_datagram_where_that_is_refused() {
    for listens in [true, false] {
        let (milo, mut door) = bind(None, true);
        let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        peer.connect(address(&milo, Transport::Udp)).await.unwrap();
        let at = peer.local_addr().unwrap();
        let listener = if listens { Some(TcpListener::bind(at).await.unwrap()) } else { None };
        let here = |text: &str| text.replace("127.0.0.1:5080", &at.to_string());
        let send = async |text: &str| assert!(peer.send(here(text).as_bytes()).await.unwrap() > 0);
        let (dialog, _leg) = up(&mut door, &invite(SDP), send, async || receive(&peer).await).await;
        let other = dialog.other_side();
        tokio::spawn(async move { other.hold().await });
        let reinvite = match &listener {
            Some(listener) => read(&mut soon(listener.accept()).await.unwrap().0).await,
            None => request(&peer).await,
        };
        assert!(reinvite.starts_with("INVITE sip:rasoa@127.0.0.1"), "{reinvite}");
        let via = if listens { "\r\nVia: SIP/2.0/TCP " } else { "\r\nVia: SIP/2.0/UDP " };
        assert!(reinvite.len() > 1300 && reinvite.contains(via), "{reinvite}");
    }
}
