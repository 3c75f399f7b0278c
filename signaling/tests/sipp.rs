//! Scenarios of our own for sipp, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use milo_media::{Heard, PortPool};
use milo_signaling::{DialogEvent, EndReason, Endpoint, EndpointConfig, Invitations, Progress};
use tokio::{process::Command, time::timeout};

use crate::address::own_address;

fn bind() -> (Endpoint, Invitations) {
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = EndpointConfig { udp: vec![local], ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(local.ip(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

/// sipp with a scenario of ours, one call, from or at this address of its own.
fn sipp(scenario: &str, at: &str, target: &str) -> Command {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(scenario);
    let mut sipp = Command::new("sipp");
    sipp.arg("-sf").arg(file).args(["-m", "1", "-i", at, "-mi", at, "-nostdin"]);
    sipp.args(["-p", "5070", "-timeout", "20s", "-timeout_error"]);
    if !target.is_empty() {
        sipp.args([target, "-s", "milo"]);
    }
    sipp.current_dir(std::env::temp_dir()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    sipp
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("within twenty seconds")
}

fn assert_success(output: &std::process::Output) {
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_agrees_on_a_session_timer_and_holds_in_every_way() {
    let (endpoint, mut door) = bind();
    let target = endpoint.local()[0].1.to_string();
    let caller = sipp("timers_and_hold.xml", &own_address().to_string(), &target).output();
    let answering = async {
        let (mut dialog, leg) = soon(soon(door.next()).await.unwrap().answer()).await.unwrap();
        let (mut ears, control) = (leg.ears, leg.control);
        let mut heard = Vec::new();
        loop {
            tokio::select! {
                event = dialog.next() => match event {
                    DialogEvent::MediaChange(session) => control.change(session),
                    DialogEvent::Ended(reason) => return (reason, heard),
                    other => panic!("{other:?}"),
                },
                event = ears.next() => match event {
                    Heard::Held => heard.push("held"),
                    Heard::Resumed => heard.push("resumed"),
                    _ => {}
                },
            }
        }
    };
    let (output, (reason, heard)) = tokio::join!(soon(caller), soon(answering));
    assert_success(&output.unwrap());
    assert_eq!(reason, EndReason::RemoteHangup);
    // sendonly, resumed, inactive, recvonly (the caller listens only: Milo may speak), 0.0.0.0, inactive for the whole session.
    assert_eq!(heard, ["held", "resumed", "held", "resumed", "held", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_wants_longer_sessions_is_called_held_and_taken_back() {
    let (endpoint, _nobody) = bind();
    let at = own_address().to_string();
    let called = sipp("called_with_timers.xml", &at, "").output();
    let calling = async {
        // Until sipp listens, its port says so by ICMP or not at all; the INVITE is repeated.
        let target = format!("sip:sipp@{at}:5070").parse().unwrap();
        let mut outgoing = endpoint.call(&target, "milo").await.unwrap();
        let Progress::Answered(mut dialog, leg) = soon(outgoing.next()).await else { panic!("no answer") };
        let other = dialog.other_side();
        soon(other.hold()).await.unwrap();
        let DialogEvent::MediaChange(session) = dialog.next().await else { panic!("no change") };
        assert!(session.direction.sends() && !session.direction.receives());
        leg.control.change(session);
        soon(other.resume()).await.unwrap();
        let DialogEvent::MediaChange(session) = dialog.next().await else { panic!("no change") };
        assert!(session.direction.sends() && session.direction.receives());
        dialog.hang_up().await.unwrap();
    };
    let (output, ()) = tokio::join!(soon(called), soon(calling));
    assert_success(&output.unwrap());
}
