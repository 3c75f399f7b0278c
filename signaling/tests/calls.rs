//! Milo calls Milo over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use milo_media::{Heard, PortPool};
use milo_signaling::{
    DialogEvent, Early, EndReason, Endpoint, EndpointConfig, Invitations, KeyPress, Progress, SignalingError,
    Transport, Uri,
};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn bind(ip: &str, max_calls: usize) -> (Endpoint, Invitations) {
    let ip: IpAddr = ip.parse().unwrap();
    let config = EndpointConfig {
        udp: vec![SocketAddr::new(ip, 0)],
        tcp: vec![SocketAddr::new(ip, 0)],
        max_calls,
        user_agent: "Milo test".to_owned(),
        ..EndpointConfig::default()
    };
    let ports = Arc::new(PortPool::new(ip, 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

fn uri(endpoint: &Endpoint, transport: Transport) -> Uri {
    let (_, at) = endpoint.local().iter().find(|(kind, _)| *kind == transport).unwrap();
    format!("sip:milo@{at};transport={transport}").parse().unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("within five seconds")
}

/// Waits until nothing of any call is left, transactions aside.
async fn quiet(endpoint: &Endpoint) {
    soon(async {
        while endpoint.counters().calls > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

async fn call_and_hang_up(ip: &str, transport: Transport) {
    let (alice, _nobody) = bind(ip, 10);
    let (bob, mut door) = bind(ip, 10);
    // An endpoint on every address is called at a real one, and gives a real one.
    let target = uri(&bob, transport).to_string().replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]");
    let mut outgoing = alice.call(&target.parse().unwrap(), "rasoa").await.unwrap();
    let mut invitation = soon(door.next()).await.unwrap();
    let contact = invitation.header("m").unwrap();
    assert!(contact.contains("@127.0.0.1:") || contact.contains("@[::1]:"), "{contact}");
    assert!(alice.local().iter().any(|(_, at)| contact.contains(&format!(":{}", at.port()))), "{contact}");
    assert_eq!(invitation.from_number(), "rasoa");
    assert_eq!(invitation.to_number(), "milo");
    assert_eq!(invitation.call_id(), outgoing.call_id());
    assert_eq!(invitation.header("user-agent"), Some("Milo test"));
    invitation.ring().await.unwrap();
    assert!(matches!(soon(outgoing.next()).await, Progress::Ringing(180)));
    let (mut theirs, mut their_leg) = soon(invitation.answer()).await.unwrap();
    let Progress::Answered(mine, mut my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
    assert!(matches!(soon(outgoing.next()).await, Progress::Over));
    // Audio flows both ways: frames are heard that no concealment made.
    for ears in [&mut their_leg.ears, &mut my_leg.ears] {
        soon(async {
            loop {
                if let Heard::Frame(heard) = ears.next().await
                    && !heard.concealed
                {
                    break;
                }
            }
        })
        .await;
    }
    assert_eq!((alice.counters().calls, bob.counters().calls), (1, 1));
    mine.hang_up().await.unwrap();
    assert_eq!(soon(theirs.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
    assert!(matches!(theirs.hang_up().await, Err(SignalingError::Gone)));
    quiet(&alice).await;
    quiet(&bob).await;
    let connections = usize::from(transport == Transport::Tcp);
    assert_eq!((alice.counters().connections, bob.counters().connections), (connections, connections));
}

#[tokio::test]
async fn call_over_udp() {
    call_and_hang_up("127.0.0.1", Transport::Udp).await;
}

#[tokio::test]
async fn call_over_tcp() {
    call_and_hang_up("127.0.0.1", Transport::Tcp).await;
}

#[tokio::test]
async fn call_over_udp_on_ipv6() {
    call_and_hang_up("::1", Transport::Udp).await;
}

#[tokio::test]
async fn call_over_tcp_on_ipv6() {
    call_and_hang_up("::1", Transport::Tcp).await;
}

#[tokio::test]
async fn calls_between_endpoints_on_every_address() {
    call_and_hang_up("0.0.0.0", Transport::Udp).await;
    call_and_hang_up("0.0.0.0", Transport::Tcp).await;
    call_and_hang_up("::", Transport::Udp).await;
    call_and_hang_up("::", Transport::Tcp).await;
}

#[tokio::test]
async fn dropping_the_dialog_hangs_up_on_either_side() {
    for callee_drops in [true, false] {
        let (alice, _nobody) = bind("127.0.0.1", 10);
        let (bob, mut door) = bind("127.0.0.1", 10);
        let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
        let (theirs, _leg) = soon(soon(door.next()).await.unwrap().answer()).await.unwrap();
        let Progress::Answered(mine, _my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
        let (dropped, mut other) = if callee_drops { (theirs, mine) } else { (mine, theirs) };
        drop(dropped);
        assert_eq!(soon(other.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
        quiet(&alice).await;
        quiet(&bob).await;
    }
}

#[tokio::test]
async fn a_dropped_invitation_is_480_and_a_rejected_one_says_why() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    drop(soon(door.next()).await.unwrap());
    assert!(matches!(soon(outgoing.next()).await, Progress::Rejected { code: 480, .. }));
    let mut outgoing = alice.call(&uri(&bob, Transport::Tcp), "a").await.unwrap();
    soon(door.next()).await.unwrap().reject(603, "Not today").await.unwrap();
    match soon(outgoing.next()).await {
        Progress::Rejected { code, reason } => assert_eq!((code, reason.as_str()), (603, "Not today")),
        other => panic!("{other:?}"),
    }
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    soon(door.next()).await.unwrap().redirect(&"sip:b@192.0.2.7".parse().unwrap()).await.unwrap();
    assert!(matches!(soon(outgoing.next()).await, Progress::Rejected { code: 302, .. }));
    quiet(&alice).await;
    quiet(&bob).await;
}

#[tokio::test]
async fn a_caller_who_gives_up_cancels() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    let mut invitation = soon(door.next()).await.unwrap();
    invitation.ring().await.unwrap();
    assert!(matches!(soon(outgoing.next()).await, Progress::Ringing(180)));
    outgoing.cancel().await;
    soon(invitation.cancelled()).await;
    assert!(matches!(invitation.answer().await, Err(SignalingError::Gone)));
    quiet(&alice).await;
    quiet(&bob).await;
}

#[tokio::test]
async fn more_calls_than_the_limit_are_turned_away() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 1);
    let mut first = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    let _held = soon(door.next()).await.unwrap();
    let mut second = alice.call(&uri(&bob, Transport::Udp), "b").await.unwrap();
    assert!(matches!(soon(second.next()).await, Progress::Rejected { code: 503, .. }));
    assert_eq!(bob.counters().overloaded, 1);
    assert!(timeout(Duration::from_millis(50), first.next()).await.is_err(), "the first still waits");
}

#[tokio::test]
async fn nobody_there_over_tcp_is_said_at_once() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target: Uri = format!("sip:x@{closed};transport=tcp").parse().unwrap();
    let mut outgoing = alice.call(&target, "a").await.unwrap();
    assert!(matches!(soon(outgoing.next()).await, Progress::Rejected { code: 503, .. }));
    quiet(&alice).await;
}

#[tokio::test]
async fn impossible_targets_are_named() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    for target in
        ["tel:+261340000000", "sips:a@127.0.0.1;transport=udp", "sip:a@127.0.0.1;transport=sctp", "sip:a@[::1]"]
    {
        let error = alice.call(&target.parse().unwrap(), "a").await.unwrap_err();
        assert!(error.to_string().contains(target), "{error}");
    }
}

#[tokio::test]
async fn shutting_down_hangs_up_and_frees_the_ports() {
    let (alice, mut my_door) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    let (mut theirs, _leg) = soon(soon(door.next()).await.unwrap().answer()).await.unwrap();
    let Progress::Answered(mut mine, _my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
    let ports = alice.local().to_vec();
    soon(alice.shutdown()).await;
    assert_eq!(soon(mine.next()).await, DialogEvent::Ended(EndReason::Shutdown));
    assert_eq!(soon(theirs.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
    assert!(soon(my_door.next()).await.is_none());
    for (transport, at) in ports {
        match transport {
            Transport::Udp => drop(std::net::UdpSocket::bind(at).unwrap()),
            _ => drop(std::net::TcpListener::bind(at).unwrap()),
        }
    }
}

#[tokio::test]
async fn the_last_owner_to_go_still_says_goodbye() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (alice, my_door) = bind("127.0.0.1", 10);
        let (bob, mut door) = bind("127.0.0.1", 10);
        let mut outgoing = alice.call(&uri(&bob, transport), "a").await.unwrap();
        let (mut theirs, _leg) = soon(soon(door.next()).await.unwrap().answer()).await.unwrap();
        let Progress::Answered(mine, _my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
        drop((alice, my_door, outgoing));
        assert!(timeout(Duration::from_millis(50), theirs.next()).await.is_err(), "the call lives on");
        drop(mine);
        assert_eq!(soon(theirs.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let config = EndpointConfig { udp: vec![at], ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    let error = Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap_err();
    assert!(error.to_string().contains(&at.to_string()), "{error}");
}

#[tokio::test]
async fn keys_by_info_in_both_directions() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    let (mut theirs, _leg) = soon(soon(door.next()).await.unwrap().answer()).await.unwrap();
    let Progress::Answered(mut mine, _my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
    let long = Duration::from_millis(120);
    for key in "1#".chars() {
        soon(mine.keys().press(key, long)).await.unwrap();
        assert_eq!(soon(theirs.next()).await, DialogEvent::Key(KeyPress { key, duration: long }));
    }
    // An owner that is slow hears the last 32.
    for n in 0..40 {
        soon(theirs.keys().press(if n < 8 { 'a' } else { '7' }, long)).await.unwrap();
    }
    for _ in 0..32 {
        assert_eq!(soon(mine.next()).await, DialogEvent::Key(KeyPress { key: '7', duration: long }));
    }
    let keys = theirs.keys();
    assert!(matches!(keys.press('x', long).await, Err(SignalingError::Media(_))));
    mine.hang_up().await.unwrap();
    assert_eq!(soon(theirs.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
    assert!(matches!(soon(keys.press('1', long)).await, Err(SignalingError::Gone)));
}

/// A frame that no concealment made.
async fn hears(ears: &mut milo_media::Ears) {
    soon(async {
        loop {
            match ears.next().await {
                Heard::Frame(heard) if !heard.concealed => break,
                Heard::Closed(why) => panic!("{why:?}"),
                _ => {}
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_caller_hears_us_before_we_answer_and_goes_on_hearing() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "rasoa").await.unwrap();
    let invitation = soon(door.next()).await.unwrap();
    let Early::Heard(early, mut their_leg) = soon(invitation.early()).await.unwrap() else { panic!("not heard") };
    let Progress::Early(mut my_leg) = soon(outgoing.next()).await else { panic!("nothing early") };
    hears(&mut my_leg.ears).await;
    hears(&mut their_leg.ears).await;
    assert!(matches!(soon(outgoing.next()).await, Progress::Ringing(183)));
    let mut theirs = soon(early.answer()).await.unwrap();
    let Progress::AnsweredEarly(mine) = soon(outgoing.next()).await else { panic!("no answer") };
    let DialogEvent::MediaChange(session) = soon(theirs.next()).await else { panic!("no session") };
    assert!(!session.is_early);
    their_leg.control.change(session);
    hears(&mut my_leg.ears).await;
    hears(&mut their_leg.ears).await;
    mine.hang_up().await.unwrap();
    assert_eq!(soon(theirs.next()).await, DialogEvent::Ended(EndReason::RemoteHangup));
    quiet(&alice).await;
    quiet(&bob).await;
}

#[tokio::test]
async fn an_early_call_that_is_let_go_of_is_refused() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    for is_rejected in [false, true] {
        let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "rasoa").await.unwrap();
        let invitation = soon(door.next()).await.unwrap();
        let Early::Heard(early, _leg) = soon(invitation.early()).await.unwrap() else { panic!("not heard") };
        let Progress::Early(_leg) = soon(outgoing.next()).await else { panic!("nothing early") };
        assert!(matches!(soon(outgoing.next()).await, Progress::Ringing(183)));
        let wanted = if is_rejected {
            early.reject(410, "Moved Away").await.unwrap();
            410
        } else {
            drop(early);
            480
        };
        assert!(matches!(soon(outgoing.next()).await, Progress::Rejected { code, .. } if code == wanted));
    }
    quiet(&alice).await;
    quiet(&bob).await;
}

#[tokio::test]
async fn a_transfer_is_taken_told_and_refused() {
    let (alice, _nobody) = bind("127.0.0.1", 10);
    let (bob, mut door) = bind("127.0.0.1", 10);
    let mut outgoing = alice.call(&uri(&bob, Transport::Udp), "a").await.unwrap();
    let (mut theirs, _leg) = soon(soon(door.next()).await.unwrap().answer()).await.unwrap();
    let Progress::Answered(mine, _my_leg) = soon(outgoing.next()).await else { panic!("no answer") };
    let target: Uri = "sip:bao@192.0.2.7".parse().unwrap();
    let other = mine.other_side();
    let (news, ()) = tokio::join!(soon(other.refer(&target)), async {
        let DialogEvent::Transfer(referral) = soon(theirs.next()).await else { panic!("no transfer") };
        assert_eq!(referral.to, target);
        theirs.take_transfer().await.unwrap();
    });
    let mut news = news.unwrap();
    assert_eq!(soon(news.next()).await, Some(100));
    theirs.report_transfer(180).await.unwrap();
    assert_eq!(soon(news.next()).await, Some(180));
    theirs.report_transfer(486).await.unwrap();
    assert_eq!((soon(news.next()).await, soon(news.next()).await), (Some(486), None));
    assert!(matches!(theirs.report_transfer(200).await, Err(SignalingError::Gone)));
    // Once more, and no.
    let (news, ()) = tokio::join!(soon(other.refer(&target)), async {
        assert!(matches!(soon(theirs.next()).await, DialogEvent::Transfer(_)));
        theirs.refuse_transfer(603).await.unwrap();
    });
    assert!(matches!(news, Err(SignalingError::Refused { code: 603 })));
    // And a call that ends on the way: no more news.
    let (news, ()) = tokio::join!(soon(other.refer(&target)), async {
        assert!(matches!(soon(theirs.next()).await, DialogEvent::Transfer(_)));
        theirs.take_transfer().await.unwrap();
    });
    let mut news = news.unwrap();
    theirs.hang_up().await.unwrap();
    while soon(news.next()).await.is_some() {}
    assert!(matches!(soon(other.hold()).await, Err(SignalingError::Gone)));
    drop(mine);
    quiet(&alice).await;
    quiet(&bob).await;
}
