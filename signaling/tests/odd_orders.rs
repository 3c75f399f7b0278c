//! What comes at the wrong time, twice or in a circle, beside what `called` and `calling` show: RFC 3261 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, from_callee, invite, response, rtp, to_tag, within};
use milo_signaling::{EndReason, Transport, sip::Name};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_call_without_a_hop_left_is_483_and_a_request_within_one_is_served() {
    let mut line = Line::new(Transport::Udp);
    line.hear(&invite(SDP).replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(line.spoke(), ["483 INVITE"]);
    assert!(line.events().is_empty());
    line.assert_empty();
    let (_, tag) = line.up();
    line.hear(&within(&tag, "BYE", 2, "bye", "").replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(line.spoke(), ["200 BYE"]);
}

#[test]
fn a_merged_request_is_482_also_once_the_first_is_refused() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.reject_invite(now, call, 486, "")).unwrap();
    line.sent();
    // Its transaction waits for the ACK still, so the copy by another way is one (section 8.2.2.2).
    line.hear(&invite(SDP).replace("branch=z9hG4bKinvite", "branch=z9hG4bKother"));
    assert_eq!(line.spoke(), ["482 INVITE"]);
    // A new attempt has a new number and is a new call.
    let again = invite(SDP).replace("CSeq: 1", "CSeq: 2").replace("branch=z9hG4bKinvite", "branch=z9hG4bKagain");
    line.invited_with(&again);
}

#[test]
fn a_callee_that_hangs_up_while_it_rings_ends_the_call() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 180, "callee", ""));
    line.events();
    // Section 15 does not allow it, and it is done.
    line.hear(&from_callee(&invite, "callee", "BYE", 1, ""));
    assert_eq!(line.spoke(), ["200 BYE", "CANCEL"]);
    assert_eq!(line.ended(), EndReason::RemoteHangup);
    line.hear(&response(&invite, 487, "callee", ""));
    assert_eq!(line.spoke(), ["ACK"]);
    line.pass(MINUTE * 2);
    line.sent();
    line.assert_empty();
}

#[test]
fn an_answer_is_acknowledged_again_after_our_bye() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    line.hear(&response(&invite, 200, "callee", SDP));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.hear(&response(&invite, 200, "callee", SDP));
    assert_eq!(line.spoke(), ["ACK", "BYE", "ACK"], "the first ACK was lost");
}

#[test]
fn the_answers_of_an_invite_and_of_the_next_are_acknowledged_each_by_its_number() {
    let mut line = Line::new(Transport::Udp);
    let (call, first) = line.calling();
    line.hear(&response(&first, 200, "callee", SDP));
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    let second = line.sent().pop().unwrap();
    line.hear(&response(&second, 200, "", SDP));
    line.sent();
    for (invite, number) in [(&first, 1), (&second, 2)] {
        line.hear(&response(invite, 200, "callee", SDP));
        let ack = line.only();
        assert_eq!(ack.cseq().unwrap().0, number);
    }
}

#[test]
fn an_ack_of_another_number_acknowledges_nothing() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = line.answered();
    line.hear(&within(&to_tag(&ok), "ACK", 2, "ack2", ""));
    line.pass(Duration::from_millis(500));
    assert_eq!(line.spoke(), ["200 INVITE"]);
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack1", ""));
    line.pass(MINUTE);
    assert!(line.spoke().is_empty());
}

#[test]
fn a_repeated_reinvite_is_answered_once_more_and_told_once() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    line.media();
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    assert_eq!(line.spoke().first().map(String::as_str), Some("200 INVITE"));
    assert!(line.events().is_empty());
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn what_asks_for_replaces_and_timers_is_served() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited_with(&invite(SDP).replace("CSeq", "Require: timer, replaces\r\nCSeq"));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let tags = line.only().tokens(Name::SUPPORTED);
    for tag in ["timer", "replaces", "norefersub"] {
        assert!(tags.contains(&tag.to_owned()), "{tag}");
    }
}
