//! INVITEs that take the place of a dialog: scenarios of RFC 3891 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, invite, response, rtp, to_tag, within};
use milo_signaling::{
    EndReason, Transport,
    sip::{Message, Name, core::Event},
};

/// The INVITE of Bao, who takes the place that this field names.
fn newcomer(replaces: &str, body: &str) -> String {
    let invite = invite(body).replace("rasoa", "bao").replace("call1", "call2").replace("bKinvite", "bKbao");
    invite.replacen("Call-ID", &format!("Require: replaces\r\nReplaces: {replaces}\r\nCall-ID"), 1)
}

fn of_bao(text: &str) -> String {
    text.replace("rasoa", "bao").replace("call1", "call2")
}

#[test]
fn a_newcomer_takes_the_call_over_and_the_other_is_hung_up() {
    for offer in [SDP.replace("40000", "40002"), String::new()] {
        let mut line = Line::new(Transport::Udp);
        let (call, tag) = line.up();
        line.hear(&newcomer(&format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag}"), &offer));
        let sent = line.sent();
        assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["BYE", "200 INVITE"]);
        assert_eq!(sent[0].to().unwrap().tag(), Some("rasoa"));
        let sdp = String::from_utf8_lossy(sent[1].sdp().unwrap()).into_owned();
        assert!(sdp.contains("m=audio 30000 "), "the same RTP socket: {sdp}");
        let new_tag = to_tag(&sent[1]);
        let answer = if offer.is_empty() { SDP.replace("40000", "40002") } else { String::new() };
        line.hear(&of_bao(&within(&new_tag, "ACK", 1, "ack2", &answer)));
        let (mut port, mut by) = (0, String::new());
        for event in line.events() {
            match event {
                Event::MediaChange(of, session) if of == call => port = session.remote.port(),
                Event::Replaced(of, who) if of == call => by = format!("{} {}", who.uri, who.source),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((port, by.as_str()), (40002, "sip:bao@127.0.0.1 127.0.0.1:5080"));
        // Whoever left is nobody any more; whoever came is the other side.
        line.hear(&response(&sent[0], 200, "", ""));
        line.hear(&within(&tag, "OPTIONS", 2, "old", ""));
        assert_eq!(line.spoke(), ["481 OPTIONS"]);
        assert_eq!(line.core.counters().calls, 1);
        line.hear(&of_bao(&within(&new_tag, "BYE", 2, "bye2", "")));
        assert_eq!(line.spoke(), ["200 BYE"]);
        assert_eq!(line.ended(), EndReason::RemoteHangup);
        line.pass(Duration::from_secs(64));
        line.assert_empty();
    }
}

#[test]
fn a_call_that_rings_is_picked_up_elsewhere() {
    let mut line = Line::new(Transport::Udp);
    let (_, ours) = line.calling();
    line.hear(&response(&ours, 180, "callee", ""));
    line.events();
    let us = ours.from().unwrap().tag().unwrap().to_owned();
    let call_id = ours.call_id().unwrap();
    line.hear(&newcomer(&format!("{call_id};to-tag={us};from-tag=callee;early-only"), SDP));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["CANCEL", "200 INVITE"]);
    assert!(matches!(line.events()[..], [Event::Answered(..), Event::Replaced(..)]));
    line.hear(&of_bao(&within(&to_tag(&sent[1]), "ACK", 1, "ack2", "")));
    line.hear(&response(&sent[0], 200, "", ""));
    line.hear(&response(&ours, 487, "callee", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(line.events().is_empty());
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn of_several_that_ring_each_can_be_picked_up_elsewhere() {
    for place in ["one", "two"] {
        let mut line = Line::new(Transport::Udp);
        let (call, ours) = line.calling();
        line.hear(&response(&ours, 180, "one", ""));
        line.hear(&response(&ours, 180, "two", ""));
        line.events();
        let (call_id, tag) = (ours.call_id().unwrap(), ours.from().unwrap().tag().unwrap().to_owned());
        line.hear(&newcomer(&format!("{call_id};from-tag={place};to-tag={tag}"), SDP));
        assert_eq!(line.spoke(), ["CANCEL", "200 INVITE"], "{place}");
        assert!(matches!(line.events()[..], [Event::Answered(of, _), Event::Replaced(..)] if of == call));
    }
}

#[test]
fn an_answer_that_crosses_the_pickup_is_hung_up() {
    let mut line = Line::new(Transport::Udp);
    let (_, ours) = line.calling();
    line.hear(&response(&ours, 180, "callee", ""));
    let us = ours.from().unwrap().tag().unwrap().to_owned();
    line.hear(&newcomer(&format!("{};to-tag={us};from-tag=callee", ours.call_id().unwrap()), SDP));
    line.sent();
    line.hear(&response(&ours, 200, "callee", SDP));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "BYE"]);
    assert!(sent.iter().all(|message| message.to().unwrap().tag() == Some("callee")));
    assert_eq!(line.core.counters().calls, 1);
}

/// The answer to an INVITE with this Replaces while a call is up with this tag of ours.
fn refused(line: &mut Line, replaces: &str) -> Message {
    line.hear(&newcomer(replaces, SDP));
    let answer = line.only();
    assert!(line.events().is_empty());
    assert_eq!(line.core.counters().calls, 1, "what is there stays");
    answer
}

#[test]
fn what_cannot_be_replaced_is_refused_by_the_rfc() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let code = |line: &mut Line, replaces: &str| refused(line, replaces).status().unwrap();
    assert_eq!(code(&mut line, "nobody@127.0.0.1;from-tag=rasoa;to-tag=x"), 481);
    assert_eq!(code(&mut line, &format!("call1@127.0.0.1;from-tag=impostor;to-tag={tag}")), 481);
    assert_eq!(code(&mut line, &format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag};early-only")), 486);
    assert_eq!(code(&mut line, "call1@127.0.0.1;from-tag=rasoa"), 400);
    let named = format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag}");
    assert_eq!(code(&mut line, &format!("{named}\r\nReplaces: {named}")), 400);
    line.hear(&newcomer(&named, &SDP.replace("RTP/AVP 0 101", "RTP/AVP 18")));
    assert_eq!(line.spoke(), ["488 INVITE"], "the call stays with whom it was");
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.spoke(), ["BYE"]);
    assert_eq!(code(&mut line, &named), 603);
}

#[test]
fn whoever_takes_a_place_keeps_to_the_terms_of_session_timers() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    let named = format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag}");
    for (field, code) in [("Session-Expires: 30", 422), ("Session-Expires: soon", 400)] {
        let supported = format!("{named}\r\nSupported: timer\r\n{field}");
        let answer = refused(&mut line, &supported);
        assert_eq!(answer.status(), Some(code), "{field}");
        assert_eq!(answer.headers.has(Name::MIN_SE), code == 422);
    }
    assert!(line.spoke().is_empty(), "nobody was hung up on");
}

#[test]
fn a_call_that_is_offered_to_us_cannot_be_replaced() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    let named = format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag}");
    assert_eq!(refused(&mut line, &named).status(), Some(481));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    line.sent();
    let early = refused(&mut line, &named);
    assert_eq!((early.status(), early.headers.has(Name::RETRY_AFTER)), (Some(500), true), "our 200 has no ACK yet");
}

#[test]
fn what_was_asked_of_the_one_who_leaves_has_an_end() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    line.act(|core, now| core.refer(now, call, &"sip:x@192.0.2.7".parse().unwrap())).unwrap();
    line.sent();
    line.hear(&newcomer(&format!("call1@127.0.0.1;from-tag=rasoa;to-tag={tag}"), SDP));
    let events = line.events();
    assert!(matches!(events[..2], [Event::HoldAnswered(_, 487), Event::ReferAnswered(_, 487)]), "{events:?}");
}
