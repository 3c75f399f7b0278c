//! The other side has lost the call, or says late that it has not: 481 and 408 to whatever we say within it (RFC 3261 section
//! 12.2.1.2, RFC 5057), and an INVITE that comes in place of an ACK (RFC 5407). In virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, response, rtp, to_tag, within};
use milo_signaling::{
    EndReason, Transport,
    sip::{
        Message,
        core::{CallKey, Core, Event},
        keys::KeyPress,
    },
};

const SOME: Duration = Duration::from_secs(40);

/// Says something within a call that is up; the request.
fn says(line: &mut Line, act: fn(&mut Core, std::time::Instant, CallKey)) -> Message {
    let (call, _) = line.up();
    line.act(|core, now| act(core, now, call));
    line.only()
}

fn key(core: &mut Core, now: std::time::Instant, call: CallKey) {
    core.tell_key(now, call, KeyPress { key: '5', duration: Duration::from_millis(100) }).unwrap();
}

fn refer(core: &mut Core, now: std::time::Instant, call: CallKey) {
    core.refer(now, call, &"sip:desk@127.0.0.1".parse().unwrap()).unwrap();
}

fn last(events: &[Event]) -> &EndReason {
    match events.last() {
        Some(Event::Ended(_, reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_no_longer_knows_the_call_has_lost_it() {
    for act in [key, refer] {
        let mut line = Line::new(Transport::Udp);
        let request = says(&mut line, act);
        line.hear(&response(&request, 481, "", ""));
        let events = line.events();
        assert_eq!(*last(&events), EndReason::Lost { code: 481 });
        assert!(matches!(events[0], Event::KeyAnswered(..) | Event::ReferAnswered(..)), "whoever asked is told first");
        assert_eq!(events.len(), 2);
        assert_eq!(line.spoke(), ["BYE"]);
        line.pass(SOME);
        line.sent();
        line.assert_empty();
        let request = says(&mut line, act);
        line.hear(&response(&request, 501, "", ""));
        assert!(line.spoke().is_empty(), "any other refusal is of the request alone");
        assert_eq!(line.events().len(), 1);
    }
}

#[test]
fn who_says_nothing_is_asked_whether_it_is_there() {
    for (act, code) in [(key as fn(&mut _, _, _), Some(408)), (key, None), (refer, Some(408)), (refer, None)] {
        for is_there in [true, false] {
            let mut line = Line::new(Transport::Udp);
            let request = says(&mut line, act);
            match code {
                Some(code) => line.hear(&response(&request, code, "", "")),
                None => line.pass(Duration::from_secs(32)),
            }
            assert_eq!(line.events().len(), 1, "what was asked is answered");
            let refresh = line.sent().pop().unwrap();
            assert_eq!(brief(&refresh), "INVITE");
            if is_there {
                line.hear(&response(&refresh, 200, "", SDP));
                assert_eq!(line.spoke(), ["ACK"]);
                assert!(line.events().is_empty());
            } else {
                line.pass(Duration::from_secs(32));
                assert_eq!(line.ended(), EndReason::Lost { code: 408 });
                assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
            }
        }
    }
}

#[test]
fn who_thinks_about_a_change_for_three_minutes_has_lost_the_call() {
    let mut line = Line::new(Transport::Udp);
    let request = says(&mut line, key);
    line.hear(&response(&request, 408, "", ""));
    line.events();
    let refresh = line.sent().pop().unwrap();
    assert_eq!(brief(&refresh), "INVITE");
    line.hear(&response(&refresh, 100, "", ""));
    line.pass(Duration::from_secs(179));
    assert!(line.events().is_empty(), "it may be thought about");
    line.pass(Duration::from_secs(2));
    assert_eq!(line.ended(), EndReason::Lost { code: 408 });
    assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
}

#[test]
fn who_wants_no_news_of_a_transfer_any_more_stays_on_the_line() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let refer = within(&tag, "REFER", 2, "refer", "").replacen("Call-ID", "Refer-To: <sip:x@y>\r\nCall-ID", 1);
    line.hear(&refer);
    line.act(|core, now| core.take_referral(now, call)).unwrap();
    let notify = line.sent().pop().unwrap();
    line.events();
    line.hear(&response(&notify, 481, "", ""));
    assert!(line.act(|core, now| core.report_referral(now, call, 180)).is_err(), "the subscription is over");
    assert!(line.spoke().is_empty() && line.events().is_empty(), "and the call is not");
}

#[test]
fn an_invite_in_place_of_the_ack_shows_that_the_answer_has_come() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    let tag = to_tag(&ok);
    line.pass(Duration::from_millis(600));
    assert_eq!(line.spoke(), ["200 INVITE"], "without an ACK it is said again");
    line.hear(&within(&tag, "INVITE", 2, "re", &format!("{SDP}a=sendonly\r\n")));
    let taken = line.only();
    assert_eq!((brief(&taken).as_str(), taken.cseq().unwrap().0), ("200 INVITE", 2));
    line.media();
    line.hear(&within(&tag, "ACK", 1, "ack1", ""));
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    line.pass(SOME);
    assert!(line.spoke().is_empty(), "the first answer is not sent again, and nobody is missed");
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn an_invite_that_cannot_be_served_in_place_of_the_ack_shows_it_too() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    line.hear(&within(&to_tag(&ok), "INVITE", 2, "re", &SDP.replace("RTP/AVP", "UDP/XYZ")));
    assert_eq!(line.spoke(), ["488 INVITE"]);
    line.hear(&within(&to_tag(&ok), "ACK", 2, "re", ""));
    line.pass(SOME);
    assert!(line.spoke().is_empty() && line.events().is_empty());
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn whoever_has_hung_up_need_not_wait_for_an_ack_that_was_lost() {
    let mut line = Line::new(Transport::Udp);
    let (call, ok) = line.answered();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert!(line.spoke().is_empty());
    line.hear(&within(&to_tag(&ok), "INVITE", 2, "re", SDP));
    assert_eq!(line.spoke(), ["481 INVITE", "BYE"]);
}

#[test]
fn an_answer_that_is_still_to_come_is_glare() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&crate::line::invite(""));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let ok = line.only();
    line.hear(&within(&to_tag(&ok), "INVITE", 2, "re", SDP));
    assert_eq!(line.spoke(), ["491 INVITE"]);
}
