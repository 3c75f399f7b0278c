//! We call: scenarios of RFC 3261 and RFC 6026 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, from_callee, response, rtp};
use milo_media::codec::{PCMA, PCMU};
use milo_signaling::{
    EndReason, Introduction, Transport,
    sip::{
        Message, Name, Uri,
        core::{CallKey, Event},
        flow::Path,
    },
};

const MINUTE: Duration = Duration::from_secs(60);

/// A call that the peer has answered.
fn up(line: &mut Line) -> (CallKey, Message) {
    let (call, invite) = line.calling();
    line.hear(&response(&invite, 200, "callee", SDP));
    assert_eq!(line.spoke(), ["ACK"]);
    assert_eq!(line.media().remote, "127.0.0.1:40000".parse::<std::net::SocketAddr>().unwrap());
    (call, invite)
}

#[test]
fn the_invite_carries_all_that_it_must() {
    let (_, invite) = Line::new(Transport::Udp).calling();
    for name in
        [Name::VIA, Name::FROM, Name::TO, Name::CALL_ID, Name::CSEQ, Name::CONTACT, Name::ALLOW, Name::USER_AGENT]
    {
        assert!(invite.headers.has(&name), "{name}");
    }
    assert_eq!(invite.max_forwards(), Ok(Some(70)));
    assert!(invite.from().unwrap().tag().is_some());
    assert!(invite.to().unwrap().tag().is_none());
    let via = invite.top_via().unwrap();
    assert!(via.branch().unwrap().starts_with("z9hG4bK"));
    assert_eq!(via.rport(), Some(None));
    assert_eq!(invite.contact().unwrap().unwrap().uri.to_string(), "sip:milo@127.0.0.1:5060");
    let sdp = String::from_utf8(invite.sdp().unwrap().to_vec()).unwrap();
    assert!(
        sdp.contains("c=IN IP4 127.0.0.1\r\n") && sdp.contains("m=audio 30000 RTP/AVP 111 9 8 0 13 101 100\r\n"),
        "{sdp}"
    );
}

#[test]
fn a_call_from_invite_to_bye_leaves_nothing_behind() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let (call, invite) = line.calling();
        line.hear(&response(&invite, 100, "", ""));
        line.hear(&response(&invite, 180, "callee", ""));
        line.hear(&response(&invite, 180, "callee", ""));
        assert!(matches!(line.events()[..], [Event::Ringing(_, 180)]), "said once");
        line.hear(&response(&invite, 200, "callee", SDP));
        let ack = line.only();
        assert_eq!(brief(&ack), "ACK");
        assert_eq!(ack.cseq().unwrap().0, 1);
        assert_eq!(ack.to().unwrap().tag(), Some("callee"));
        assert_ne!(ack.top_via().unwrap().branch(), invite.top_via().unwrap().branch());
        line.media();
        line.act(|core, now| core.hang_up(now, call)).unwrap();
        let bye = line.only();
        assert_eq!((brief(&bye).as_str(), bye.cseq().unwrap().0), ("BYE", 2));
        line.hear(&response(&bye, 200, "", ""));
        line.pass(MINUTE);
        assert!(line.spoke().is_empty());
        line.assert_empty();
    }
}

#[test]
fn a_repeated_200_is_acknowledged_again() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = up(&mut line);
    line.hear(&response(&invite, 200, "callee", SDP));
    line.hear(&response(&invite, 200, "callee", SDP));
    assert_eq!(line.spoke(), ["ACK", "ACK"]);
    assert!(line.events().is_empty());
}

#[test]
fn a_second_branch_of_a_fork_is_acknowledged_and_hung_up() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = up(&mut line);
    line.hear(&response(&invite, 200, "other", SDP));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "BYE"]);
    assert!(sent.iter().all(|message| message.to().unwrap().tag() == Some("other")));
    assert!(line.events().is_empty());
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn other_branches_of_a_fork_that_answer_after_the_call_are_hung_up_each() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = up(&mut line);
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    let bye = line.only();
    line.hear(&response(&bye, 200, "callee", ""));
    assert_eq!(line.core.counters().calls, 0);
    for tag in ["second", "third"] {
        line.hear(&response(&invite, 200, tag, SDP));
        let sent = line.sent();
        assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "BYE"], "{tag}");
        assert!(sent.iter().all(|message| message.to().unwrap().tag() == Some(tag)), "{tag}");
        line.hear(&response(&invite, 200, tag, SDP));
        let again = line.only();
        assert_eq!((brief(&again).as_str(), again.to().unwrap().tag()), ("ACK", Some(tag)), "and no second farewell");
        line.hear(&response(&sent[1], 200, tag, ""));
    }
    // That one rings on elsewhere says nothing any more: the INVITE has had its final response.
    line.hear(&response(&invite, 180, "fourth", ""));
    assert!(line.spoke().is_empty() && line.events().is_empty());
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn a_refusal_is_acknowledged_by_its_transaction() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 486, "callee", ""));
    let ack = line.only();
    assert_eq!(ack.top_via().unwrap().branch(), invite.top_via().unwrap().branch());
    assert_eq!(ack.to().unwrap().tag(), Some("callee"));
    assert_eq!(line.ended(), EndReason::Rejected { code: 486, reason: "Busy Here".to_owned() });
    line.hear(&response(&invite, 486, "callee", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn nobody_there_is_408_after_four_invites() {
    let mut line = Line::new(Transport::Udp);
    line.calling();
    line.pass(MINUTE);
    assert_eq!(line.spoke(), ["INVITE"; 3]);
    assert_eq!(line.ended(), EndReason::Rejected { code: 408, reason: "nothing was heard within 6 s".to_owned() });
    line.assert_empty();
}

#[test]
fn somebody_who_rings_for_ever_is_cancelled() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 180, "callee", ""));
    line.events();
    line.pass(Duration::from_secs(330));
    assert_eq!(line.spoke(), ["CANCEL"]);
    assert!(matches!(line.ended(), EndReason::Rejected { code: 408, .. }));
    line.pass(MINUTE * 2);
    line.sent();
    line.assert_empty();
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    line.act(|core, now| core.cancel(now, call)).unwrap();
    assert!(line.spoke().is_empty());
    line.hear(&response(&invite, 100, "", ""));
    let cancel = line.only();
    assert_eq!(brief(&cancel), "CANCEL");
    assert_eq!(cancel.cseq().unwrap().0, invite.cseq().unwrap().0);
    assert_eq!(cancel.top_via(), invite.top_via());
    assert_eq!(cancel.uri(), invite.uri());
    line.hear(&response(&cancel, 200, "", ""));
    line.hear(&response(&invite, 487, "callee", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(line.events().is_empty(), "who cancels knows");
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn an_answer_that_crosses_our_cancel_is_hung_up() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    line.hear(&response(&invite, 180, "callee", ""));
    line.events();
    line.act(|core, now| core.release(now, call));
    line.hear(&response(&invite, 200, "callee", SDP));
    assert_eq!(line.spoke(), ["CANCEL", "ACK", "BYE"]);
    assert!(line.events().is_empty());
    line.pass(MINUTE * 2);
    line.assert_empty();
}

#[test]
fn a_cancel_without_effect_is_given_up() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    line.hear(&response(&invite, 180, "callee", ""));
    line.act(|core, now| core.cancel(now, call)).unwrap();
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn an_answer_that_cannot_be_used_is_acknowledged_and_hung_up() {
    for answer in ["", "nonsense", &SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")] {
        let mut line = Line::new(Transport::Udp);
        let (_, invite) = line.calling();
        line.hear(&response(&invite, 200, "callee", answer));
        assert_eq!(line.spoke(), ["ACK", "BYE"]);
        assert!(matches!(line.ended(), EndReason::BadMedia(_)));
        line.pass(MINUTE);
        line.assert_empty();
    }
}

#[test]
fn the_callee_hangs_up_and_reinvites() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = up(&mut line);
    line.hear(&from_callee(&invite, "callee", "INVITE", 70, &format!("{SDP}a=inactive\r\n")));
    assert_eq!(line.spoke(), ["200 INVITE"]);
    assert!(!line.media().direction.sends());
    line.hear(&from_callee(&invite, "callee", "ACK", 70, ""));
    line.hear(&from_callee(&invite, "callee", "BYE", 71, ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert_eq!(line.ended(), EndReason::RemoteHangup);
    line.pass(MINUTE);
    line.assert_empty();
}

#[test]
fn an_invite_against_our_own_pending_one_is_glare() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 180, "callee", ""));
    line.hear(&from_callee(&invite, "callee", "INVITE", 1, SDP));
    assert_eq!(line.spoke(), ["491 INVITE"]);
    line.hear(&response(&invite, 200, "callee", SDP));
    assert_eq!(line.spoke(), ["ACK"]);
}

#[test]
fn a_stranger_whom_we_called_may_hang_up_and_do_nothing_else() {
    let mut line = Line::new(Transport::Udp);
    line.flow.local = "198.51.100.1:5060".parse().unwrap();
    line.flow.remote = "203.0.113.5:5080".parse().unwrap();
    let (_, invite) = up_abroad(&mut line);
    line.hear(&from_callee(&invite, "impostor", "BYE", 1, ""));
    assert_eq!(line.spoke(), ["403 BYE"]);
    assert!(line.events().is_empty());
    line.hear(&from_callee(&invite, "callee", "BYE", 1, ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert_eq!(line.ended(), EndReason::RemoteHangup);
}

fn up_abroad(line: &mut Line) -> (CallKey, Message) {
    let (call, invite) = line.calling();
    line.hear(&response(&invite, 200, "callee", SDP));
    line.sent();
    line.events();
    (call, invite)
}

#[test]
fn responses_to_nothing_are_dropped() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = Line::with(Transport::Udp, |config| config.seed = [9; 32]).calling();
    for code in [100, 180, 200, 486] {
        line.hear(&response(&invite, code, "callee", ""));
    }
    assert!(line.spoke().is_empty());
    assert!(line.events().is_empty());
    line.assert_empty();
}

#[test]
fn a_call_by_proxies_names_them_in_order_and_so_do_its_ack_and_its_cancel() {
    let mut line = Line::new(Transport::Udp);
    let routes: Vec<Uri> = ["sip:one.example;lr", "sip:two.example;lr"].map(|route| route.parse().unwrap()).into();
    let introduction = Introduction { from: "milo".to_owned(), routes, ..Introduction::default() };
    let path = Path { flow: line.flow, or_connect: None };
    let target: Uri = "sip:rasoa@carrier.example".parse().unwrap();
    let call = line.act(|core, now| core.call(now, &target, &introduction, path, rtp())).unwrap();
    let routed = |message: &Message| {
        let routes: Vec<_> = message.headers.get_all(Name::ROUTE).map(str::to_owned).collect();
        (message.uri().unwrap().to_string(), routes.join(" "))
    };
    let wanted = ("sip:rasoa@carrier.example".to_owned(), "<sip:one.example;lr> <sip:two.example;lr>".to_owned());
    let invite = line.only();
    assert_eq!(routed(&invite), wanted);
    line.hear(&response(&invite, 100, "", ""));
    line.act(|core, now| core.cancel(now, call)).unwrap();
    assert_eq!(routed(&line.only()), wanted);
    line.hear(&response(&invite, 487, "callee", ""));
    assert_eq!(routed(&line.only()), wanted);
}

#[test]
fn what_a_call_speaks_is_said_by_whoever_knows_its_trunk() {
    let spoken = |message: &Message| {
        let sdp = String::from_utf8_lossy(message.sdp().unwrap()).into_owned();
        sdp.lines().find(|line| line.starts_with("m=")).unwrap().split(' ').skip(3).collect::<Vec<_>>().join(" ")
    };
    // What its address speaks is PCMU alone; the trunk that it is of speaks PCMA.
    let ours = ("127.0.0.1/32".parse().unwrap(), [&PCMU][..].into());
    let mut line = Line::with(Transport::Udp, |config| config.peer_codecs = vec![ours.clone()]);
    let both = SDP.replace("RTP/AVP 0 101", "RTP/AVP 0 8 101");
    for (speaks, wanted) in [(None, "0 101"), (Some([&PCMA][..].into()), "8 101")] {
        let call = line.invited_with(&crate::line::invite(&both));
        if let Some(codecs) = speaks {
            line.act(|core, _| core.speak(call, codecs));
        }
        line.act(|core, now| core.answer(now, call, rtp())).unwrap();
        let ok = line.only();
        assert_eq!(spoken(&ok), wanted);
        line.hear(&crate::line::within(&crate::line::to_tag(&ok), "BYE", 2, "bye", ""));
        line.pass(Duration::from_secs(64));
        line.sent();
        line.events();
    }
    let path = Path { flow: line.flow, or_connect: None };
    let codecs = Some([&PCMA, &PCMU][..].into());
    let introduction = Introduction { from: "milo".to_owned(), codecs, ..Introduction::default() };
    let target: Uri = "sip:rasoa@127.0.0.1:5080".parse().unwrap();
    line.act(|core, now| core.call(now, &target, &introduction, path, rtp())).unwrap();
    assert!(spoken(&line.only()).starts_with("8 0 "));
}
