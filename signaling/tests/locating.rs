//! Where calls go (RFC 3263): a DNS server of our own on loopback says so, and the ways it names are tried until one leads
//! somewhere. In virtual time for the ways, over real sockets for the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{
    dns::{MUTE, NAPTR, SRV, dns, host, naptr, srv},
    line::{Line, SDP, brief, response, rtp},
};
use milo_media::PortPool;
use milo_signaling::{
    EndReason, Endpoint, EndpointConfig, Invitations, Progress, Transport,
    sip::{
        Message, Name,
        core::Event,
        flow::{Flow, Path, Way, Ways},
    },
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("within ten seconds")
}

// --- the ways, in virtual time ---

fn path(line: &Line, transport: Transport, remote: &str) -> Path {
    Path { flow: Flow { transport, remote: remote.parse().unwrap(), ..line.flow }, or_connect: None }
}

/// We call somebody who has these ways; the first INVITE and where it went.
fn set_out(line: &mut Line, ways: &[Way]) -> (Message, SocketAddr) {
    let target = "sip:rasoa@example.com".parse().unwrap();
    let ways = Ways(ways.iter().copied().collect());
    line.act(|core, now| core.call(now, &target, "milo", ways, rtp())).unwrap();
    let to = line.went()[0];
    (line.only(), to)
}

const FIRST: &str = "127.0.0.1:5081";
const SECOND: &str = "127.0.0.1:5082";

#[test]
fn a_server_that_says_503_or_nothing_is_passed_over_for_the_next() {
    for silent in [false, true] {
        let mut line = Line::new(Transport::Udp);
        let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, Transport::Udp, to), if_large: None });
        let (invite, to) = set_out(&mut line, &ways);
        assert_eq!(to.to_string(), FIRST);
        if silent {
            line.pass(Duration::from_secs(6));
        } else {
            line.hear(&response(&invite, 180, "first", ""));
            assert!(matches!(line.events()[..], [Event::Ringing(_, 180)]));
            line.hear(&response(&invite, 503, "first", ""));
        }
        assert_eq!(line.went().last().unwrap().to_string(), SECOND);
        let sent = line.sent();
        let again = sent.last().unwrap();
        assert_eq!(brief(again), "INVITE");
        assert_ne!(again.top_via().unwrap().branch(), invite.top_via().unwrap().branch());
        for name in [Name::CALL_ID, Name::FROM, Name::TO, Name::CSEQ] {
            assert_eq!(again.headers.get(name.clone()), invite.headers.get(name.clone()), "{name}");
        }
        line.hear(&response(again, 200, "second", SDP));
        assert_eq!(line.spoke(), ["ACK"]);
        line.media();
    }
}

#[test]
fn who_says_nothing_at_all_is_given_up_after_six_seconds_and_tried_last_for_a_minute() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, transport, to), if_large: None });
        let (_, to) = set_out(&mut line, &ways);
        assert_eq!(to.to_string(), FIRST);
        line.pass(Duration::from_millis(5_999));
        assert!(line.went().iter().all(|to| to.to_string() == FIRST));
        line.sent();
        line.pass(Duration::from_millis(1));
        assert_eq!(line.went()[0].to_string(), SECOND);
        line.sent();
        // Nobody there either: the call is over, and is sent no more.
        line.pass(Duration::from_secs(6));
        let EndReason::Rejected { code, reason } = line.ended() else { panic!() };
        assert_eq!((code, reason.as_str()), (408, "nothing was heard within 6 s"));
        line.sent();
        line.pass(Duration::from_secs(60));
        assert!(line.spoke().is_empty());
        line.assert_empty();

        // Of two places the one that has said nothing comes last.
        let (_, to) = set_out(&mut line, &ways);
        assert_eq!(to.to_string(), FIRST, "a minute has passed");
        line.pass(Duration::from_secs(6));
        let again = line.sent().pop().unwrap();
        line.hear(&response(&again, 486, "second", ""));
        line.events();
        line.sent();
        let (_, to) = set_out(&mut line, &ways);
        assert_eq!(to.to_string(), SECOND);
    }
}

#[test]
fn who_says_100_has_its_whole_time() {
    let mut line = Line::new(Transport::Udp);
    let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, Transport::Udp, to), if_large: None });
    let (invite, _) = set_out(&mut line, &ways);
    line.hear(&response(&invite, 100, "", ""));
    line.pass(Duration::from_secs(100));
    assert!(line.spoke().is_empty() && line.events().is_empty());
}

#[test]
fn an_invite_that_was_given_up_and_arrived_all_the_same_is_taken_back() {
    for answered in [false, true] {
        let mut line = Line::new(Transport::Udp);
        let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, Transport::Udp, to), if_large: None });
        let (first, _) = set_out(&mut line, &ways);
        line.pass(Duration::from_secs(6));
        let second = line.sent().pop().unwrap();
        line.hear(&response(&second, 200, "second", SDP));
        assert_eq!(line.spoke(), ["ACK"]);
        line.media();
        line.pass(Duration::from_secs(3));
        if answered {
            line.hear(&response(&first, 200, "late", SDP));
            assert_eq!(line.spoke(), ["ACK", "BYE"]);
            line.hear(&response(&first, 200, "late", SDP));
            assert_eq!(line.spoke(), ["ACK"], "and no second farewell");
        } else {
            line.hear(&response(&first, 180, "late", ""));
            let cancel = line.only();
            assert_eq!(brief(&cancel), "CANCEL");
            assert_eq!(cancel.top_via().unwrap().branch(), first.top_via().unwrap().branch());
            line.hear(&response(&first, 180, "late", ""));
            assert!(line.spoke().is_empty(), "once");
            line.hear(&response(&cancel, 200, "late", ""));
            line.hear(&response(&first, 487, "late", ""));
            assert_eq!(line.spoke(), ["ACK"]);
        }
        assert!(line.events().is_empty(), "the call that is up hears nothing of it");
        assert_eq!(line.core.counters().calls, 1);
    }
}

#[test]
fn the_places_of_a_name_are_asked_in_turn_whether_they_are_there() {
    let mut line = Line::new(Transport::Udp);
    let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, Transport::Udp, to), if_large: None });
    let target = "sip:example.com".parse().unwrap();
    let ask = |line: &mut Line| line.act(|core, now| core.ping(now, &target, &[], Ways(ways.into())));
    let pinged = |line: &mut Line| match &line.events()[..] {
        [Event::Ponged(_, result)] => result.clone(),
        other => panic!("{other:?}"),
    };
    ask(&mut line);
    assert_eq!((line.went()[0].to_string(), line.spoke()), (FIRST.to_owned(), vec!["OPTIONS".to_owned()]));
    line.pass(Duration::from_secs(6));
    assert_eq!(line.went().last().unwrap().to_string(), SECOND);
    let options = line.sent().pop().unwrap();
    line.hear(&response(&options, 503, "b", ""));
    assert_eq!(pinged(&mut line), Ok(503), "the last place's word");
    ask(&mut line);
    let options = line.only();
    line.hear(&response(&options, 404, "a", ""));
    assert_eq!(pinged(&mut line), Ok(404));
    ask(&mut line);
    line.pass(Duration::from_secs(12));
    assert!(pinged(&mut line).unwrap_err().contains("does not answer OPTIONS"));
    line.sent();
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn the_last_servers_503_is_the_calls_end_and_a_busy_is_so_at_once() {
    let mut line = Line::new(Transport::Udp);
    let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, Transport::Udp, to), if_large: None });
    let (invite, _) = set_out(&mut line, &ways);
    line.hear(&response(&invite, 503, "first", ""));
    let again = line.sent().pop().unwrap();
    line.hear(&response(&again, 503, "second", ""));
    assert!(matches!(line.ended(), EndReason::Rejected { code: 503, .. }));
    line.sent();
    let (invite, _) = set_out(&mut line, &ways);
    line.hear(&response(&invite, 486, "first", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.ended(), EndReason::Rejected { code: 486, .. }));
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn a_call_that_was_given_up_is_tried_nowhere_else() {
    let mut line = Line::new(Transport::Udp);
    let ways = [FIRST, SECOND].map(|to| Way { path: path(&line, Transport::Udp, to), if_large: None });
    let target = "sip:rasoa@example.com".parse().unwrap();
    let call = line.act(|core, now| core.call(now, &target, "milo", Ways(ways.into()), rtp())).unwrap();
    let invite = line.only();
    line.hear(&response(&invite, 100, "", ""));
    line.act(|core, now| core.cancel(now, call)).unwrap();
    assert_eq!(line.spoke(), ["CANCEL"]);
    line.hear(&response(&invite, 503, "first", ""));
    assert_eq!(line.spoke(), ["ACK"]);
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

fn port(endpoint: &Endpoint, transport: Transport) -> u16 {
    endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap().1.port()
}

async fn outcome(endpoint: &Endpoint, target: &str) -> u16 {
    match soon(endpoint.call(&target.parse().unwrap(), "rasoa").await.unwrap().next()).await {
        Progress::Answered(..) => 200,
        Progress::Rejected { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn naptr_and_srv_lead_past_a_dead_server_to_the_one_that_answers() {
    let (bob, mut door) = bind(None, false);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (a, loopback) = host();
    let zone = vec![
        ("example.test.", NAPTR, naptr(20, "SIP+D2U", "_sip._udp.example.test")),
        ("example.test.", NAPTR, naptr(10, "SIP+D2T", "_sip._tcp.example.test")),
        // Whoever asks for services without NAPTR takes this one, by UDP.
        ("_sip._udp.example.test.", SRV, srv(1, 0, port(&bob, Transport::Udp), "two.example.test")),
        ("_sip._tcp.example.test.", SRV, srv(1, 0, dead, "one.example.test")),
        ("_sip._tcp.example.test.", SRV, srv(2, 0, port(&bob, Transport::Tcp), "two.example.test")),
        ("one.example.test.", a, loopback.clone()),
        ("two.example.test.", a, loopback),
    ];
    let (server, asked) = dns(zone).await;
    let (alice, _nobody) = bind(Some(server), false);
    let answering = tokio::spawn(async move {
        let invitation = soon(door.next()).await.unwrap();
        let via = invitation.header("Via").unwrap().to_owned();
        (via, invitation.answer().await.unwrap())
    });
    assert_eq!(outcome(&alice, "sip:milo@example.test").await, 200);
    let (via, _call) = soon(answering).await.unwrap();
    assert!(via.starts_with("SIP/2.0/TCP "), "{via}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0], ("example.test.".to_owned(), NAPTR), "{asked:?}");
}

#[tokio::test]
async fn without_naptr_srv_is_asked_and_a_port_in_the_uri_asks_for_an_address_only() {
    let (bob, mut door) = bind(None, false);
    tokio::spawn(async move {
        while let Some(invitation) = door.next().await {
            drop(invitation.reject(486, "").await)
        }
    });
    let (a, loopback) = host();
    let zone = vec![
        ("_sip._udp.example.test.", SRV, srv(1, 0, port(&bob, Transport::Udp), "bob.example.test")),
        ("bob.example.test.", a, loopback),
    ];
    let (server, asked) = dns(zone).await;
    let (alice, _nobody) = bind(Some(server), false);
    assert_eq!(outcome(&alice, "sip:milo@example.test").await, 486);
    asked.lock().unwrap().clear();
    assert_eq!(outcome(&alice, &format!("sip:milo@bob.example.test:{}", port(&bob, Transport::Udp))).await, 486);
    assert!(asked.lock().unwrap().iter().all(|(_, kind)| ![SRV, NAPTR].contains(kind)), "{asked:?}");
    let error = alice.call(&"sip:milo@nowhere.test".parse().unwrap(), "rasoa").await.unwrap_err();
    assert!(error.to_string().starts_with("cannot call sip:milo@nowhere.test: "), "{error}");
}

#[tokio::test]
async fn a_domain_that_denies_a_service_is_not_called_by_it_and_is_called_by_another() {
    let (bob, mut door) = bind(None, false);
    tokio::spawn(async move {
        while let Some(invitation) = door.next().await {
            drop(invitation.reject(486, "").await)
        }
    });
    let (a, loopback) = host();
    let zone = vec![
        // RFC 2782: a lone root says that there is no such service.
        ("_sip._udp.denied.test.", SRV, srv(0, 0, 0, ".")),
        ("denied.test.", a, loopback.clone()),
        ("_sip._udp.half.test.", SRV, srv(0, 0, 0, ".")),
        ("_sip._tcp.half.test.", SRV, srv(0, 0, port(&bob, Transport::Tcp), "bob.half.test")),
        ("bob.half.test.", a, loopback),
    ];
    let (server, _) = dns(zone).await;
    let (alice, _nobody) = bind(Some(server), false);
    let error = alice.call(&"sip:milo@denied.test".parse().unwrap(), "rasoa").await.unwrap_err();
    assert!(error.to_string().contains("says that it has no such service"), "{error}");
    assert_eq!(outcome(&alice, "sip:milo@half.test").await, 486);
}

#[tokio::test]
async fn the_places_that_dns_has_named_in_time_are_called() {
    let (bob, mut door) = bind(None, false);
    tokio::spawn(async move {
        while let Some(invitation) = door.next().await {
            drop(invitation.reject(486, "").await)
        }
    });
    let (a, loopback) = host();
    let mut zone = vec![
        ("_sip._udp.slow.test.", SRV, srv(1, 0, port(&bob, Transport::Udp), "bob.slow.test")),
        ("bob.slow.test.", a, loopback),
    ];
    // Nobody says where the others are.
    for lost in ["a.slow.test", "b.slow.test", "c.slow.test", "d.slow.test", "e.slow.test", "f.slow.test"] {
        zone.push(("_sip._udp.slow.test.", SRV, srv(2, 0, 5060, lost)));
    }
    for lost in ["a.slow.test.", "b.slow.test.", "c.slow.test.", "d.slow.test.", "e.slow.test.", "f.slow.test."] {
        zone.push((lost, MUTE, Vec::new()));
    }
    let (server, _) = dns(zone).await;
    let (alice, _nobody) = bind(Some(server), false);
    assert_eq!(outcome(&alice, "sip:milo@slow.test").await, 486);
}

#[tokio::test]
async fn a_large_invite_goes_by_tcp_and_by_udp_after_all_where_tcp_is_refused() {
    let (alice, _nobody) = bind(None, true);
    let (bob, mut door) = bind(None, false);
    // Both listeners have one port where there is no DNS to say otherwise.
    let tcp = port(&bob, Transport::Tcp);
    let by = async |target: String, door: &mut Invitations| {
        let outgoing = alice.call(&target.parse().unwrap(), "rasoa").await.unwrap();
        let invitation = soon(door.next()).await.unwrap();
        let via = invitation.header("Via").unwrap().to_owned();
        drop((invitation, outgoing));
        via.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(by(format!("sip:milo@127.0.0.1:{tcp}"), &mut door).await, "SIP/2.0/TCP");
    let udp = port(&bob, Transport::Udp);
    assert_eq!(by(format!("sip:milo@127.0.0.1:{udp}"), &mut door).await, "SIP/2.0/UDP", "nobody listens by TCP there");
    assert_eq!(by(format!("sip:milo@127.0.0.1:{udp};transport=udp"), &mut door).await, "SIP/2.0/UDP");
}
