//! Hold and resume, by either side, and INVITEs that cross: RFC 3264 section 8.4 and RFC 3261 section 14 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, response, within};
use milo_media::Direction;
use milo_signaling::{
    EndReason, SignalingError, Transport,
    sdp::Sdp,
    sip::{
        Message, Name,
        core::{CallKey, Event},
    },
};

/// The direction that our description gives, and its version.
fn said(message: &Message) -> (String, u64) {
    let sdp = Sdp::parse(message.sdp().unwrap()).unwrap();
    let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let mut said = sdp.media[0].attributes.iter().filter(|attribute| directions.contains(&attribute.name.as_str()));
    let direction = said.next().unwrap().name.clone();
    assert!(said.next().is_none(), "one direction");
    (direction, sdp.origin.version.parse().unwrap())
}

/// Each way in which telephones hold: what their description becomes, our answer's direction, and what we may do.
#[test]
fn every_form_of_hold_is_answered_by_the_rfc_and_resumed() {
    let forms: [(&str, &str, Direction); 7] = [
        ("a=sendonly\r\n", "recvonly", Direction::RecvOnly),
        ("a=inactive\r\n", "inactive", Direction::Inactive),
        ("a=recvonly\r\n", "sendonly", Direction::SendOnly),
        ("c=IN IP4 0.0.0.0\r\n", "recvonly", Direction::RecvOnly),
        ("c=IN IP4 0.0.0.0\r\na=sendonly\r\n", "recvonly", Direction::RecvOnly),
        ("c=IN IP4 0.0.0.0\r\na=inactive\r\n", "inactive", Direction::Inactive),
        ("session", "inactive", Direction::Inactive),
    ];
    for (form, answer, direction) in forms {
        let mut line = Line::new(Transport::Udp);
        let (_, tag) = line.up();
        let hold = match form {
            "session" => SDP.replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\n"),
            form => {
                // A stream's own address stands before its attributes.
                let (head, attributes) = SDP.split_once("a=rtpmap").unwrap();
                let (address, flag) = form.split_at(form.find("a=").unwrap_or(form.len()));
                format!("{head}{address}a=rtpmap{attributes}{flag}")
            }
        };
        line.hear(&within(&tag, "INVITE", 2, "hold", &hold));
        assert_eq!(said(&line.only()).0, answer, "{form}");
        assert_eq!(line.media().direction, direction, "{form}");
        line.hear(&within(&tag, "ACK", 2, "ack2", ""));
        line.hear(&within(&tag, "INVITE", 3, "resume", SDP));
        assert_eq!(said(&line.only()).0, "sendrecv", "{form}");
        let session = line.media();
        assert_eq!(session.direction, Direction::SendRecv, "{form}");
        assert!(!session.remote.ip().is_unspecified());
    }
}

#[test]
fn the_zeros_of_ipv6_hold_too() {
    let mut line = Line::with(Transport::Udp, |config| config.media_address = "::1".parse().unwrap());
    line.flow.local = "[::1]:5060".parse().unwrap();
    line.flow.remote = "[::1]:5080".parse().unwrap();
    let sdp = SDP.replace("IN IP4 127.0.0.1", "IN IP6 ::1");
    let call = line.invited_with(&crate::line::invite(&sdp));
    line.act(|core, now| core.answer(now, call, "[::1]:30000".parse().unwrap())).unwrap();
    let tag = crate::line::to_tag(&line.only());
    line.hear(&within(&tag, "ACK", 1, "ack", ""));
    line.hear(&within(&tag, "INVITE", 2, "hold", &sdp.replace("c=IN IP6 ::1", "c=IN IP6 ::")));
    assert_eq!(said(&line.only()).0, "recvonly");
    assert_eq!(line.media().direction, Direction::RecvOnly);
}

/// We put the peer on hold or back; the INVITE is returned.
fn hold(line: &mut Line, call: CallKey, hold: bool) -> Message {
    line.act(|core, now| core.hold(now, call, hold)).unwrap();
    let invite = line.only();
    assert_eq!(brief(&invite), "INVITE");
    invite
}

/// The peer agrees with this direction; what we may do now.
fn agrees(line: &mut Line, invite: &Message, direction: &str) -> Direction {
    line.hear(&response(invite, 200, "", &format!("{SDP}a={direction}\r\n")));
    assert_eq!(line.spoke(), ["ACK"]);
    match &line.events()[..] {
        [Event::MediaChange(_, session), Event::HoldAnswered(_, 200)] => session.direction,
        other => panic!("{other:?}"),
    }
}

#[test]
fn we_hold_and_resume() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let held = hold(&mut line, call, true);
    assert_eq!(said(&held), ("sendonly".to_owned(), 2));
    assert_eq!(agrees(&mut line, &held, "recvonly"), Direction::SendOnly);
    // While we hold, whatever the peer offers, we do not listen.
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    assert_eq!(said(&line.only()).0, "sendonly");
    assert_eq!(line.media().direction, Direction::SendOnly);
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    // Again: it is so already.
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    assert!(line.spoke().is_empty());
    assert!(matches!(line.events()[..], [Event::HoldAnswered(_, 200)]));
    let back = hold(&mut line, call, false);
    assert_eq!(said(&back).0, "sendrecv");
    assert_eq!(agrees(&mut line, &back, "sendrecv"), Direction::SendRecv);
}

#[test]
fn who_holds_us_and_is_held_is_inactive() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.hear(&within(&tag, "INVITE", 2, "hold", &format!("{SDP}a=sendonly\r\n")));
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    line.sent();
    line.events();
    let held = hold(&mut line, call, true);
    assert_eq!(said(&held).0, "inactive", "RFC 3264 section 8.4");
    assert_eq!(agrees(&mut line, &held, "inactive"), Direction::Inactive);
    let back = hold(&mut line, call, false);
    assert_eq!(agrees(&mut line, &back, "sendonly"), Direction::RecvOnly, "the peer still holds us");
}

#[test]
fn a_hold_that_is_refused_changes_nothing() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let held = hold(&mut line, call, true);
    line.hear(&response(&held, 488, "", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.events()[..], [Event::HoldAnswered(_, 488)]));
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    assert_eq!(said(&line.only()).0, "sendrecv");
}

#[test]
fn an_invite_against_our_open_one_is_491_and_ours_that_meets_491_waits() {
    // Called, we wait up to 2 s; having placed the call, and so its Call-ID, 2.1 to 4 s.
    for placed in [false, true] {
        let mut line = Line::new(Transport::Udp);
        let call = if placed {
            let (call, invite) = line.calling();
            line.hear(&response(&invite, 200, "callee", SDP));
            call
        } else {
            line.up().0
        };
        line.sent();
        line.events();
        let held = hold(&mut line, call, true);
        if !placed {
            let tag = held.from().unwrap().tag().unwrap().to_owned();
            line.hear(&within(&tag, "INVITE", 2, "re", SDP));
            assert_eq!(line.spoke(), ["491 INVITE"]);
            line.hear(&within(&tag, "ACK", 2, "re", ""));
        }
        line.hear(&response(&held, 491, "", ""));
        assert_eq!(line.spoke(), ["ACK"]);
        let before = line.now;
        let again = loop {
            line.pass(Duration::from_millis(10));
            if let Some(invite) = line.sent().pop() {
                break invite;
            }
            assert!(line.now - before < Duration::from_secs(5));
        };
        let waited = (line.now - before).as_millis();
        assert!(if placed { (2_100..=4_000).contains(&waited) } else { waited <= 2_000 }, "{placed}: {waited} ms");
        assert_eq!((brief(&again).as_str(), said(&again)), ("INVITE", said(&held)), "the same description");
        assert!(again.cseq().unwrap().0 > held.cseq().unwrap().0);
        assert!(line.events().is_empty(), "not answered yet");
        assert_eq!(agrees(&mut line, &again, "recvonly"), Direction::SendOnly);
    }
}

#[test]
fn an_update_against_our_open_invite_is_491_if_it_offers() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let held = hold(&mut line, call, true);
    line.hear(&within(&tag, "UPDATE", 2, "u2", SDP));
    assert_eq!(line.spoke(), ["491 UPDATE"]);
    line.hear(&within(&tag, "UPDATE", 3, "u3", ""));
    assert_eq!(line.spoke(), ["200 UPDATE"]);
    assert_eq!(agrees(&mut line, &held, "recvonly"), Direction::SendOnly);
    line.hear(&within(&tag, "UPDATE", 4, "u4", SDP));
    assert_eq!(said(&line.only()), ("sendonly".to_owned(), 2), "held it stays");
}

#[test]
fn endless_491_is_a_refusal() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    let mut invite = hold(&mut line, call, true);
    for _ in 0..7 {
        line.hear(&response(&invite, 491, "", ""));
        assert!(line.events().is_empty());
        line.pass(Duration::from_secs(2));
        invite = line.sent().pop().unwrap();
    }
    line.hear(&response(&invite, 491, "", ""));
    assert!(matches!(line.events()[..], [Event::HoldAnswered(_, 491)]));
}

#[test]
fn retry_after_is_obeyed() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    let held = hold(&mut line, call, true);
    let later = response(&held, 500, "", "").replace("Call-ID", "Retry-After: 7 (busy)\r\nCall-ID");
    line.hear(&later);
    assert_eq!(line.spoke(), ["ACK"]);
    line.pass(Duration::from_millis(6_990));
    assert!(line.spoke().is_empty());
    line.pass(Duration::from_millis(10));
    assert_eq!(line.spoke(), ["INVITE"]);
}

#[test]
fn our_invite_waits_for_the_ack_of_theirs() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    line.sent();
    line.events();
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    assert!(line.spoke().is_empty());
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    assert_eq!(line.spoke(), ["INVITE"]);
}

#[test]
fn a_changed_mind_goes_out_after_the_answer() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    let held = hold(&mut line, call, true);
    line.act(|core, now| core.hold(now, call, false)).unwrap();
    assert!(line.spoke().is_empty());
    line.hear(&response(&held, 200, "", &format!("{SDP}a=recvonly\r\n")));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "INVITE"]);
    assert_eq!(said(&sent[1]).0, "sendrecv");
}

#[test]
fn an_answer_that_is_none_and_a_silent_peer_end_the_call() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    let held = hold(&mut line, call, true);
    line.hear(&response(&held, 200, "", ""));
    assert_eq!(line.spoke(), ["ACK", "BYE"]);
    assert!(matches!(line.ended(), EndReason::BadMedia(_)));
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    let held = hold(&mut line, call, true);
    line.hear(&response(&held, 100, "", ""));
    line.pass(Duration::from_secs(180));
    assert_eq!(line.spoke(), ["BYE"]);
    assert_eq!(line.ended(), EndReason::Lost { code: 408 });
    assert!(matches!(line.act(|core, now| core.hold(now, call, true)), Err(SignalingError::Gone)));
}

#[test]
fn an_answer_that_crosses_our_bye_is_acknowledged() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = line.up();
    let held = hold(&mut line, call, true);
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.hear(&response(&held, 200, "", SDP));
    assert_eq!(line.spoke(), ["BYE", "ACK"]);
    assert!(line.events().is_empty());
    assert!(held.headers.has(Name::CONTACT));
}
