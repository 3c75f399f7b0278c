//! A telephone that answers every call and plays back nothing: for sipp, for load generators, for a hand at the
//! keyboard. Run it with `ANSWER_AT=127.0.0.1:5070 cargo test -p milo-signaling --release --test scenarios answering_machine --
//! --ignored --nocapture`; `ANSWER_AT` is the address (UDP and TCP), `ANSWER_SECONDS` how long it stands.
//!
//! The scenarios that need no hand run sipp against the same machine.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    sync::Arc,
    time::Duration,
};

use milo_media::PortPool;
use milo_signaling::{DialogEvent, Endpoint, EndpointConfig, Invitations, Progress, Transport, Uri};

use crate::address::own_address;

const NEEDS_SIPP: &str = "sipp can be run: `make setup` installs it (package sip-tester)";

fn bind(at: SocketAddr) -> (Endpoint, Invitations) {
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], max_calls: 5000, ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).expect("a free port")
}

/// Answers every call and holds it until the caller hangs up.
async fn answer_all(mut invitations: Invitations) {
    while let Some(mut invitation) = invitations.next().await {
        tokio::spawn(async move {
            if invitation.ring().await.is_err() {
                return;
            }
            let Ok((mut dialog, leg)) = invitation.answer().await else { return };
            while let DialogEvent::MediaChange(session) = dialog.next().await {
                leg.control.change(session);
            }
        });
    }
}

#[tokio::test]
#[ignore = "a server for load generators"]
async fn answers_everything_until_told_to_stop() {
    let Ok(at) = std::env::var("ANSWER_AT") else {
        eprintln!("ANSWER_AT is not set: nobody asked for an answering machine");
        return;
    };
    let seconds = std::env::var("ANSWER_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (endpoint, invitations) = bind(at.parse().expect("ANSWER_AT is an address"));
    println!("pid {} answers at {:?}", std::process::id(), endpoint.local());
    let machine = tokio::spawn(answer_all(invitations));
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let counters = endpoint.counters();
        if counters.calls + counters.transactions > 0 {
            println!("{counters:?}");
        }
    }
    println!("{:?}", endpoint.counters());
    endpoint.shutdown().await;
    machine.abort();
}

/// Runs sipp's own caller scenario.
async fn sipp(endpoint: &Endpoint, transport: Transport) {
    let (_, at) = *endpoint.local().iter().find(|(kind, _)| *kind == transport).expect("bound");
    let folder = std::env::temp_dir().join(format!("milo-sipp-{}-{transport}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let mut command = Command::new("sipp");
    command.args(["-sn", "uac", "-i", "127.0.0.1", "-nostdin", "-timeout", "20", "-timeout_error"]);
    command.args(["-m", "20", "-r", "20", "-d", "100", "-t"]).arg(if transport == Transport::Udp {
        "u1"
    } else {
        "t1"
    });
    command.arg(at.to_string()).current_dir(&folder);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect(NEEDS_SIPP);
    std::fs::remove_dir_all(&folder).expect("removed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn sipp_calls_over_udp_and_tcp() {
    let (endpoint, invitations) = bind("127.0.0.1:0".parse().expect("an address"));
    let machine = tokio::spawn(answer_all(invitations));
    for transport in [Transport::Udp, Transport::Tcp] {
        sipp(&endpoint, transport).await;
    }
    assert_eq!(endpoint.counters().calls, 0);
    assert_eq!(endpoint.counters().parse_errors, 0);
    machine.abort();
}

#[tokio::test]
async fn sipp_answers_over_udp_and_tcp() {
    let (endpoint, _door) = bind("127.0.0.1:0".parse().expect("an address"));
    for transport in [Transport::Udp, Transport::Tcp] {
        let at = own_address().to_string();
        let kind = if transport == Transport::Udp { "u1" } else { "t1" };
        let mut command = Command::new("sipp");
        command.args(["-sn", "uas", "-i", &at, "-nostdin", "-timeout", "20", "-m", "3", "-t", kind, "-p", "5070"]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut sipp = command.spawn().expect(NEEDS_SIPP);
        let target: Uri = format!("sip:sipp@{at}:5070;transport={transport}").parse().expect("a URI");
        let mut answered = 0;
        for _ in 0..50 {
            let mut outgoing = endpoint.call(&target, "milo").await.expect("placed");
            let dialog = loop {
                match outgoing.next().await {
                    Progress::Ringing(code) => assert_eq!(code, 180),
                    Progress::Answered(dialog, _leg) => break Some(dialog),
                    // sipp is not listening yet.
                    Progress::Rejected { code: 503, .. } => break None,
                    other => panic!("{other:?}"),
                }
            };
            match dialog {
                Some(dialog) => {
                    dialog.hang_up().await.expect("up");
                    answered += 1;
                }
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            if answered == 3 {
                break;
            }
        }
        let ended = tokio::task::spawn_blocking(move || sipp.wait()).await.expect("waited").expect("sipp ran");
        assert_eq!((answered, ended.success()), (3, true), "{transport}");
    }
    assert_eq!(endpoint.counters().parse_errors, 0);
}
