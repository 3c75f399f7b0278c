//! Session timers, as callee and as caller: scenarios of RFC 4028 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, from_callee, invite, response, rtp, to_tag, within};
use milo_signaling::{
    EndReason, SessionTimers, Transport,
    sdp::Sdp,
    sip::{Message, Name, core::CallKey},
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Gives a request or response of the peer these header fields too.
fn with(message: &str, fields: &str) -> String {
    message.replacen("Call-ID", &format!("{fields}\r\nCall-ID"), 1)
}

/// The peer calls with these fields and is answered; the 200 is returned, and its ACK has come.
fn called(line: &mut Line, fields: &str) -> (CallKey, Message) {
    let call = line.invited_with(&with(&invite(SDP), fields));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
    let ok = line.only();
    line.hear(&within(&to_tag(&ok), "ACK", 1, "ack", ""));
    (call, ok)
}

/// We call, and the peer answers with these fields; our INVITE is returned.
fn calling(line: &mut Line, fields: &str) -> (CallKey, Message) {
    let (call, invite) = line.calling();
    line.hear(&with(&response(&invite, 200, "callee", SDP), fields));
    assert_eq!(line.spoke(), ["ACK"]);
    line.media();
    (call, invite)
}

fn expires(message: &Message) -> Option<&str> {
    message.headers.get(Name::SESSION_EXPIRES)
}

fn description(message: &Message) -> Sdp {
    Sdp::parse(message.sdp().unwrap()).unwrap()
}

#[test]
fn a_callee_of_a_peer_that_knows_no_timers_refreshes_by_itself() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = called(&mut line, "Subject: hello");
    assert_eq!((expires(&ok), ok.headers.get(Name::REQUIRE)), (Some("1800;refresher=uas"), None));
    assert!(ok.tokens(Name::SUPPORTED).contains(&"timer".to_owned()));
    for number in 1..4 {
        line.pass(seconds(899));
        assert!(line.spoke().is_empty());
        line.pass(seconds(1));
        let refresh = line.only();
        assert_eq!((brief(&refresh).as_str(), refresh.cseq().unwrap().0), ("INVITE", number));
        assert_eq!(expires(&refresh), Some("1800;refresher=uac"));
        assert_eq!(description(&refresh), description(&ok), "nothing changes, and its version says so");
        line.hear(&response(&refresh, 200, "", SDP));
        assert_eq!(line.spoke(), ["ACK"]);
        assert!(line.events().is_empty(), "the session is what it was");
    }
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn a_callee_that_chose_the_caller_hangs_up_before_the_end() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = called(&mut line, "Supported: timer\r\nSession-Expires: 600;refresher=uac");
    assert_eq!((expires(&ok), ok.headers.get(Name::REQUIRE)), (Some("600;refresher=uac"), Some("timer")));
    line.pass(seconds(300));
    let refresh = within(&to_tag(&ok), "INVITE", 2, "re", SDP);
    line.hear(&with(&refresh, "k: timer\r\nx: 600;refresher=uac\r\nSubject: x"));
    assert_eq!(expires(&line.only()), Some("600;refresher=uac"));
    line.hear(&within(&to_tag(&ok), "ACK", 2, "ack2", ""));
    line.media();
    line.pass(seconds(567));
    assert!(line.spoke().is_empty(), "the refresh has begun the session anew");
    line.pass(seconds(1));
    assert_eq!(line.spoke(), ["BYE"], "32 s before the end");
    assert_eq!(line.ended(), EndReason::SessionExpired);
}

#[test]
fn of_a_short_interval_a_third_is_left() {
    let mut line = Line::new(Transport::Udp);
    called(&mut line, "Supported: timer\r\nSession-Expires: 90;refresher=uac");
    line.pass(seconds(59));
    assert!(line.spoke().is_empty());
    line.pass(seconds(1));
    assert_eq!(line.spoke(), ["BYE"]);
    assert_eq!(line.ended(), EndReason::SessionExpired);
}

#[test]
fn too_small_an_interval_is_422_and_nobody_hears_of_it() {
    let timers = SessionTimers { session_expires_s: 1800, min_se_s: 300 };
    let mut line = Line::with(Transport::Udp, |config| config.session_timers = timers);
    line.hear(&with(&invite(SDP), "Supported: timer\r\nSession-Expires: 299"));
    let refused = line.only();
    assert_eq!((refused.status(), refused.headers.get(Name::MIN_SE)), (Some(422), Some("300")));
    assert!(line.events().is_empty());
    line.assert_empty();
    let (_, ok) = called(&mut line, "Supported: timer\r\nSession-Expires: 300");
    // In mid-call, too: the call goes on as it was.
    let small = with(&within(&to_tag(&ok), "INVITE", 2, "re", SDP), "Supported: timer\r\nSession-Expires: 90");
    line.hear(&small);
    assert_eq!(line.spoke(), ["422 INVITE"]);
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn a_caller_asks_and_the_callee_that_chose_itself_must_refresh() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = calling(&mut line, "Require: timer\r\nSession-Expires: 1200;refresher=uas");
    assert_eq!(expires(&invite), Some("1800"));
    assert!(invite.tokens(Name::SUPPORTED).contains(&"timer".to_owned()));
    line.pass(seconds(1000));
    assert!(line.spoke().is_empty(), "it is not our turn");
    line.hear(&with(&from_callee(&invite, "callee", "INVITE", 70, SDP), "k: timer\r\nx: 1200;refresher=uac"));
    line.hear(&from_callee(&invite, "callee", "ACK", 70, ""));
    assert_eq!(expires(&line.only()), Some("1200;refresher=uac"));
    line.media();
    line.pass(seconds(1168));
    assert_eq!(line.spoke(), ["BYE"]);
    assert_eq!(line.ended(), EndReason::SessionExpired);
}

#[test]
fn a_caller_refreshes_when_told_so_or_told_nothing() {
    for (fields, half) in [("Require: timer\r\nSession-Expires: 600;refresher=uac", 300), ("Subject: none", 900)] {
        let mut line = Line::new(Transport::Udp);
        let (_, invite) = calling(&mut line, fields);
        line.pass(seconds(half));
        let refresh = line.only();
        assert_eq!(expires(&refresh).unwrap(), format!("{};refresher=uac", half * 2));
        assert_eq!(description(&refresh), description(&invite));
        assert_eq!(refresh.to().unwrap().tag(), Some("callee"));
        line.hear(&response(&refresh, 200, "", SDP));
        line.hear(&response(&refresh, 200, "", SDP));
        assert_eq!(line.spoke(), ["ACK", "ACK"], "a repeated 200 is acknowledged again");
        assert!(line.events().is_empty());
    }
}

#[test]
fn a_caller_answers_422_with_a_larger_interval() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let (_, first) = line.calling();
        line.hear(&with(&response(&first, 422, "proxy", ""), "Min-SE: 3600"));
        let sent = line.sent();
        assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "INVITE"]);
        let second = &sent[1];
        assert_eq!((expires(second), second.headers.get(Name::MIN_SE)), (Some("3600"), Some("3600")));
        assert_eq!((second.call_id(), second.from()), (first.call_id(), first.from()));
        assert_eq!((second.cseq().unwrap().0, second.to().unwrap().tag()), (2, None));
        assert_ne!(second.top_via().unwrap().branch(), first.top_via().unwrap().branch());
        assert_eq!(second.headers.get_all(Name::VIA).count(), 1);
        assert_eq!(second.headers.get_all(Name::USER_AGENT).count(), 1);
        line.hear(&response(second, 200, "callee", SDP));
        assert_eq!(line.spoke(), ["ACK"]);
        line.media();
        line.pass(seconds(1800));
        let refresh = line.only();
        assert_eq!((expires(&refresh), refresh.cseq().unwrap().0), (Some("3600;refresher=uac"), 3));
        assert_eq!(refresh.headers.get(Name::MIN_SE), Some("3600"), "section 7.4");
    }
}

#[test]
fn a_422_that_asks_for_no_more_is_a_refusal() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&with(&response(&invite, 422, "callee", ""), "Min-SE: 90"));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.ended(), EndReason::Rejected { code: 422, .. }));
}

#[test]
fn a_refresh_that_the_other_side_does_not_know_or_answer_ends_the_call() {
    for code in [Some(481), Some(408), None] {
        let mut line = Line::new(Transport::Udp);
        called(&mut line, "Subject: hello");
        line.pass(seconds(900));
        let refresh = line.only();
        match code {
            Some(code) => line.hear(&response(&refresh, code, "", "")),
            None => line.pass(seconds(32)),
        }
        assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
        assert_eq!(line.ended(), EndReason::Lost { code: code.unwrap_or(408) });
        line.pass(seconds(64));
        line.sent();
        line.assert_empty();
    }
}

#[test]
fn a_peer_without_timers_that_refuses_a_refresh_has_shown_that_it_lives() {
    let mut line = Line::new(Transport::Udp);
    called(&mut line, "Subject: hello");
    for _ in 0..5 {
        line.pass(seconds(900));
        let refresh = line.only();
        line.hear(&response(&refresh, 488, "", ""));
        assert_eq!(line.spoke(), ["ACK"]);
    }
}

#[test]
fn a_refresh_that_is_refused_is_tried_again_until_the_session_ends() {
    let mut line = Line::new(Transport::Udp);
    called(&mut line, "Supported: timer\r\nSession-Expires: 1800;refresher=uas");
    // At half of what is left each time, while more than 32 s are left.
    for wait in [900_000, 434_000, 217_000, 108_500, 54_250, 27_125] {
        line.pass(Duration::from_millis(wait));
        let refresh = line.only();
        line.hear(&response(&refresh, 488, "", ""));
        assert_eq!(line.spoke(), ["ACK"]);
    }
    line.pass(seconds(900));
    assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
    assert_eq!(line.ended(), EndReason::SessionExpired);
}

#[test]
fn a_refresh_whose_interval_became_too_small_is_sent_again_with_more() {
    let mut line = Line::new(Transport::Udp);
    called(&mut line, "Subject: hello");
    line.pass(seconds(900));
    let refresh = line.only();
    line.hear(&with(&response(&refresh, 422, "", ""), "Min-SE: 2400"));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "INVITE"]);
    assert_eq!(expires(&sent[1]), Some("2400;refresher=uac"));
    line.hear(&response(&sent[1], 200, "", SDP));
    assert_eq!(line.spoke(), ["ACK"]);
    line.pass(seconds(1199));
    assert!(line.spoke().is_empty());
}

#[test]
fn an_update_refreshes_too_and_is_held_to_the_same_terms() {
    let mut line = Line::new(Transport::Udp);
    let (_, ok) = called(&mut line, "Supported: timer\r\nSession-Expires: 600;refresher=uac");
    line.pass(seconds(300));
    let update = |number: u32, fields: &str| {
        with(
            &within(&to_tag(&ok), "UPDATE", number, &format!("u{number}"), ""),
            &format!("Supported: timer\r\n{fields}"),
        )
    };
    line.hear(&update(2, "Session-Expires: 89"));
    let refused = line.only();
    assert_eq!((refused.status(), refused.headers.get(Name::MIN_SE)), (Some(422), Some("90")));
    // Nobody named: whoever refreshed so far goes on.
    line.hear(&update(3, "Session-Expires: 500"));
    let taken = line.only();
    assert_eq!((brief(&taken).as_str(), expires(&taken)), ("200 UPDATE", Some("500;refresher=uac")));
    assert_eq!(taken.headers.get(Name::REQUIRE), Some("timer"));
    line.pass(seconds(467));
    assert!(line.spoke().is_empty(), "the session has begun anew");
    line.pass(seconds(1));
    assert_eq!(line.spoke(), ["BYE"]);
    assert_eq!(line.ended(), EndReason::SessionExpired);
}

/// What every refresh is to a peer whose Allow names UPDATE: a caller of ours, or a callee.
fn refreshing(placed: bool) -> (Line, Message) {
    let mut line = Line::new(Transport::Udp);
    if placed {
        calling(&mut line, "Allow: INVITE, ACK, BYE, UPDATE");
    } else {
        called(&mut line, "Allow: INVITE, ACK, BYE, UPDATE");
    }
    line.pass(seconds(900));
    let refresh = line.only();
    (line, refresh)
}

#[test]
fn who_takes_update_is_refreshed_by_one_that_offers_nothing() {
    for placed in [false, true] {
        let (mut line, refresh) = refreshing(placed);
        assert_eq!((brief(&refresh).as_str(), refresh.sdp()), ("UPDATE", None), "RFC 4028 section 7.4");
        assert_eq!(expires(&refresh), Some("1800;refresher=uac"));
        assert!(refresh.headers.has(Name::CONTACT), "it refreshes the target too (RFC 3311 section 5.1)");
        line.hear(&with(&response(&refresh, 200, "", ""), "Require: timer\r\nSession-Expires: 600;refresher=uac"));
        assert!(line.spoke().is_empty() && line.events().is_empty(), "no ACK, and the session is what it was");
        line.pass(seconds(300));
        let again = line.only();
        assert_eq!((brief(&again).as_str(), expires(&again)), ("UPDATE", Some("600;refresher=uac")));
    }
}

#[test]
fn an_invite_of_the_other_side_may_cross_our_update_which_offers_nothing() {
    let (mut line, refresh) = refreshing(false);
    let tag = refresh.from().unwrap().tag().unwrap().to_owned();
    line.hear(&within(&tag, "INVITE", 2, "re", SDP));
    assert_eq!(line.spoke(), ["200 INVITE"]);
    line.hear(&within(&tag, "ACK", 2, "ack2", ""));
    line.hear(&response(&refresh, 200, "", ""));
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn an_update_that_is_unknown_after_all_becomes_an_invite() {
    for code in [405, 501] {
        let (mut line, refresh) = refreshing(false);
        line.hear(&response(&refresh, code, "", ""));
        let invite = line.only();
        assert_eq!((brief(&invite).as_str(), invite.sdp().is_some()), ("INVITE", true));
        line.hear(&response(&invite, 200, "", SDP));
        line.sent();
        line.pass(seconds(900));
        assert_eq!(line.spoke(), ["INVITE"], "from then on");
    }
}

#[test]
fn an_update_that_finds_nobody_ends_the_call_and_one_that_is_too_short_asks_for_more() {
    for code in [Some(481), Some(408), None] {
        let (mut line, refresh) = refreshing(false);
        match code {
            Some(code) => line.hear(&response(&refresh, code, "", "")),
            None => line.pass(seconds(32)),
        }
        assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
        assert_eq!(line.ended(), EndReason::Lost { code: code.unwrap_or(408) });
    }
    let (mut line, refresh) = refreshing(false);
    line.hear(&with(&response(&refresh, 422, "", ""), "Min-SE: 2400"));
    let longer = line.only();
    assert_eq!((brief(&longer).as_str(), expires(&longer)), ("UPDATE", Some("2400;refresher=uac")));
}

#[test]
fn an_update_before_the_answer_starts_no_timer() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&response(&invite, 180, "callee", ""));
    line.events();
    line.hear(&with(&from_callee(&invite, "callee", "UPDATE", 1, ""), "Supported: timer\r\nSession-Expires: 90"));
    let ok = line.only();
    assert_eq!((brief(&ok).as_str(), expires(&ok)), ("200 UPDATE", None));
    line.pass(seconds(120));
    assert!(line.spoke().is_empty() && line.events().is_empty());
}

#[test]
fn whoever_rang_before_a_422_is_no_longer_counted_with() {
    let mut line = Line::new(Transport::Udp);
    let (_, first) = line.calling();
    let ringing = |invite: &Message, tag: &str, rseq: u32| {
        with(&response(invite, 180, tag, ""), &format!("Require: 100rel\r\nRSeq: {rseq}"))
    };
    line.hear(&ringing(&first, "one", 7));
    let prack = line.only();
    line.hear(&response(&prack, 200, "", ""));
    line.hear(&with(&response(&first, 422, "one", ""), "Min-SE: 3600"));
    let second = line.sent().pop().unwrap();
    line.hear(&ringing(&second, "two", 3));
    let prack = line.only();
    assert_eq!(prack.headers.get(Name::RACK), Some("3 2 INVITE"), "numbered by itself");
    assert_eq!(prack.to().unwrap().tag(), Some("two"));
}
