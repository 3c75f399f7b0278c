//! Why a call ends (RFC 3326), over real sockets: what we say, and what we are told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milo_media::PortPool;
use milo_signaling::{DialogEvent, EndReason, Endpoint, EndpointConfig, Forked, Invitations, Progress, Reason, Uri};
use tokio::time::timeout;

use crate::line::{Line, SDP, response, within};

const SOON: Duration = Duration::from_secs(10);

fn bind() -> (Endpoint, Invitations, Uri) {
    let at: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = EndpointConfig { udp: vec![at], ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new(at.ip(), 0..=0));
    let (endpoint, door) = Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap();
    let uri = format!("sip:milo@{}", endpoint.local()[0].1).parse().unwrap();
    (endpoint, door, uri)
}

fn said(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(Reason::said).collect()
}

#[tokio::test]
async fn who_loses_the_race_to_the_telephone_has_missed_no_call() {
    let ((near, _door, _), (_quick, mut quick, quick_at), (_slow, mut slow, slow_at)) = (bind(), bind(), bind());
    let calls = vec![near.call(&quick_at, "rasoa").await.unwrap(), near.call(&slow_at, "rasoa").await.unwrap()];
    let mut forked = Forked::new(calls);
    let mut late = timeout(SOON, slow.next()).await.unwrap().unwrap();
    late.ring().await.unwrap();
    assert!(matches!(timeout(SOON, forked.next()).await.unwrap(), Progress::Ringing(180)));
    let (mut theirs, _their_leg) = timeout(SOON, quick.next()).await.unwrap().unwrap().answer().await.unwrap();
    let Progress::Answered(mine, _leg) = timeout(SOON, forked.next()).await.unwrap() else { panic!("no answer") };
    timeout(SOON, late.cancelled()).await.unwrap();
    assert_eq!(said(&late.reasons()), ["SIP cause 200, Call completed elsewhere"]);
    // And whoever hangs up says so.
    mine.hang_up().await.unwrap();
    let ended = timeout(SOON, theirs.next()).await.unwrap();
    assert_eq!(ended, DialogEvent::Ended(EndReason::RemoteHangup));
    assert_eq!(said(&theirs.reasons()), ["Q.850 cause 16, Normal call clearing"]);
}

#[tokio::test]
async fn who_gives_up_for_another_reason_does_not_say_that_somebody_has_answered() {
    let ((near, _door, _), (_far, mut far, far_at)) = (bind(), bind());
    let mut outgoing = near.call(&far_at, "rasoa").await.unwrap();
    let mut invitation = timeout(SOON, far.next()).await.unwrap().unwrap();
    invitation.ring().await.unwrap();
    assert!(matches!(timeout(SOON, outgoing.next()).await.unwrap(), Progress::Ringing(180)));
    outgoing.cancel().await;
    timeout(SOON, invitation.cancelled()).await.unwrap();
    assert_eq!(said(&invitation.reasons()), [""; 0]);
}

#[test]
fn an_answer_that_cannot_be_used_is_hung_up_with_its_cause() {
    let mut line = Line::new(milo_signaling::Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 200, "callee", &SDP.replace("RTP/AVP 0 101", "RTP/AVP 77")));
    let bye = line.sent().into_iter().find(|message| message.headers.has("Reason")).unwrap();
    assert_eq!(said(&Reason::of(&bye)), ["Q.850 cause 88, Incompatible destination"]);
}

#[test]
fn every_reason_of_a_bye_is_told() {
    let mut line = Line::new(milo_signaling::Transport::Udp);
    let (_, tag) = line.up();
    line.events();
    let bye = within(&tag, "BYE", 2, "bye", "");
    line.hear(&bye.replace("Max-Forwards", "Reason: SIP;cause=480, Q.850;cause=17;text=\"User busy\"\r\nMax-Forwards"));
    let told = line.events();
    let [milo_signaling::sip::core::Event::Reasons(_, reasons), milo_signaling::sip::core::Event::Ended(..)] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!(said(reasons), ["SIP cause 480", "Q.850 cause 17, User busy"]);
}

#[test]
fn a_refusal_and_a_bye_say_what_their_user_says() {
    let mut line = Line::new(milo_signaling::Transport::Udp);
    let call = line.invited();
    line.core.because(call, Reason::q850(17));
    line.act(|core, now| core.reject_invite(now, call, 486, "")).unwrap();
    let refusal = line.sent().into_iter().find(|message| message.headers.has("Reason")).unwrap();
    assert_eq!(said(&Reason::of(&refusal)), ["Q.850 cause 17"]);
    let mut line = Line::new(milo_signaling::Transport::Udp);
    let (call, _) = line.up();
    line.core.because(call, Reason::q850(21));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    let bye = line.sent().into_iter().find(|message| message.headers.has("Reason")).unwrap();
    assert_eq!(said(&Reason::of(&bye)), ["Q.850 cause 21"]);
}
