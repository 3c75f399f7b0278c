//! REFER within a call, both ways: scenarios of RFC 3515 and RFC 4488 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, invite, response, rtp, to_tag, within};
use milo_signaling::{
    EndReason, Referral, SignalingError, Transport, Uri,
    sip::{
        Message, Name,
        core::{CallKey, Event},
    },
};

const FRAGMENT: &str = "message/sipfrag;version=2.0";

/// The peer's REFER with these fields.
fn refer(tag: &str, number: u32, fields: &str) -> String {
    let plain = within(tag, "REFER", number, &format!("refer{number}"), "");
    plain.replacen("Call-ID", &format!("{fields}\r\nCall-ID"), 1)
}

/// What the user was asked.
fn asked(line: &mut Line) -> Referral {
    match &mut line.events()[..] {
        [Event::Referred(_, referral)] => referral.clone(),
        other => panic!("{other:?}"),
    }
}

/// Event, Subscription-State up to its parameters, and the body of a NOTIFY of ours.
fn news(notify: &Message) -> (String, String, String) {
    assert_eq!(brief(notify), "NOTIFY");
    assert_eq!(notify.headers.get(Name::CONTENT_TYPE), Some(FRAGMENT));
    let state = notify.headers.get(Name::SUBSCRIPTION_STATE).unwrap().split(';').next().unwrap().to_owned();
    let body = String::from_utf8(notify.body.clone()).unwrap();
    (notify.headers.get(Name::EVENT).unwrap().to_owned(), state, body)
}

#[test]
fn a_transfer_that_is_taken_is_told_to_its_end() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.hear(&refer(&tag, 2, "Refer-To: <sip:bao@192.0.2.7>\r\nReferred-By: <sip:rasoa@127.0.0.1>"));
    assert!(line.spoke().is_empty(), "the user decides");
    let referral = asked(&mut line);
    assert_eq!((referral.to.to_string().as_str(), &referral.replaces), ("sip:bao@192.0.2.7", &None));
    assert_eq!(referral.referred_by.as_deref(), Some("<sip:rasoa@127.0.0.1>"));
    line.act(|core, now| core.take_referral(now, call)).unwrap();
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["202 REFER", "NOTIFY"]);
    assert!(sent[0].headers.has(Name::CONTACT));
    let of = |state: &str, line: &str| ("refer".to_owned(), state.to_owned(), format!("SIP/2.0 {line}\r\n"));
    assert_eq!(news(&sent[1]), of("active", "100 Trying"));
    line.hear(&response(&sent[1], 200, "", ""));
    line.act(|core, now| core.report_referral(now, call, 180)).unwrap();
    assert_eq!(news(&line.only()), of("active", "180 Ringing"));
    line.act(|core, now| core.report_referral(now, call, 200)).unwrap();
    assert_eq!(news(&line.only()), of("terminated", "200 OK"));
    assert!(matches!(line.act(|core, now| core.report_referral(now, call, 200)), Err(SignalingError::Gone)));
    // The next one has a name.
    line.hear(&refer(&tag, 3, "r: <sip:bao@192.0.2.7>"));
    asked(&mut line);
    line.act(|core, now| core.take_referral(now, call)).unwrap();
    assert_eq!(news(&line.sent()[1]).0, "refer;id=3");
    line.act(|core, now| core.report_referral(now, call, 486)).unwrap();
    assert_eq!(news(&line.only()).2, "SIP/2.0 486 Busy Here\r\n");
    assert_eq!(line.core.counters().calls, 1, "the call stays");
}

#[test]
fn an_attended_transfer_names_the_call_to_be_replaced() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&refer(&tag, 2, "Refer-To: <sip:bao@192.0.2.7?Replaces=x%40y%3Bto-tag%3D1%3Bfrom-tag%3D2>"));
    let replaces = asked(&mut line).replaces.unwrap();
    assert_eq!((replaces.call_id.as_str(), replaces.to_tag.as_str(), replaces.from_tag.as_str()), ("x@y", "1", "2"));
}

#[test]
fn a_transfer_that_nobody_takes_is_declined() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.hear(&refer(&tag, 2, "Refer-To: <sip:bao@192.0.2.7>"));
    line.hear(&refer(&tag, 2, "Refer-To: <sip:bao@192.0.2.7>"));
    asked(&mut line);
    line.hear(&refer(&tag, 3, "Refer-To: <sip:bao@192.0.2.7>"));
    assert_eq!(line.spoke(), ["491 REFER"], "one at a time");
    line.pass(Duration::from_secs(5));
    assert_eq!(line.spoke(), ["603 REFER"]);
    line.hear(&refer(&tag, 4, "Refer-To: <sip:bao@192.0.2.7>"));
    line.act(|core, now| core.refuse_referral(now, call, 403)).unwrap();
    assert_eq!(line.spoke(), ["403 REFER"]);
    assert!(matches!(line.act(|core, now| core.take_referral(now, call)), Err(SignalingError::Gone)));
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn who_wants_no_news_gets_none() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    line.hear(&refer(&tag, 2, "Refer-To: <sip:bao@192.0.2.7>\r\nRefer-Sub: false"));
    asked(&mut line);
    line.act(|core, now| core.take_referral(now, call)).unwrap();
    let accepted = line.only();
    assert_eq!((accepted.status(), accepted.headers.get(Name::REFER_SUB)), (Some(202), Some("false")));
    assert!(matches!(line.act(|core, now| core.report_referral(now, call, 200)), Err(SignalingError::Gone)));
    assert!(line.spoke().is_empty());
}

#[test]
fn what_cannot_be_done_is_refused_at_once() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&refer(&tag, 2, "Subject: whom"));
    line.hear(&refer(&tag, 3, "Refer-To: <sip:a@b>\r\nRefer-To: <sip:c@d>"));
    line.hear(&refer(&tag, 4, "Refer-To: <https://example.mg/>"));
    assert_eq!(line.spoke(), ["400 REFER", "400 REFER", "603 REFER"]);
    line.hear(&crate::line::invite("").replace("INVITE", "REFER").replace("call1", "other"));
    assert_eq!(line.spoke(), ["403 REFER"], "of no call");
    assert!(line.events().is_empty());
}

#[test]
fn a_bye_in_place_of_a_decision_answers_the_refer_too() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&refer(&tag, 2, "Refer-To: <sip:bao@192.0.2.7>"));
    asked(&mut line);
    line.hear(&within(&tag, "BYE", 3, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE", "487 REFER"]);
    assert_eq!(line.ended(), EndReason::RemoteHangup);
    line.pass(Duration::from_secs(64));
    line.assert_empty();
}

/// We send the peer to Bao; the REFER is returned.
fn referring(line: &mut Line) -> (CallKey, String, Message) {
    let (call, tag) = line.up();
    let target: Uri = "sip:bao@192.0.2.7".parse().unwrap();
    line.act(|core, now| core.refer(now, call, &target)).unwrap();
    let refer = line.only();
    assert_eq!(brief(&refer), "REFER");
    (call, tag, refer)
}

fn notify(tag: &str, number: u32, event: &str, state: &str, status: &str) -> String {
    let fields = format!("Event: {event}\r\nSubscription-State: {state}\r\nCall-ID");
    let body = format!("SIP/2.0 {status}\r\n");
    let plain = within(tag, "NOTIFY", number, &format!("notify{number}"), &body);
    plain.replacen("Call-ID", &fields, 1).replace("application/sdp", FRAGMENT)
}

/// What the user was told of its REFER.
fn progress(line: &mut Line) -> Vec<(bool, u16)> {
    let told = |event| match event {
        Event::ReferAnswered(_, code) => (true, code),
        Event::ReferProgress(_, code) => (false, code),
        other => panic!("{other:?}"),
    };
    line.events().into_iter().map(told).collect()
}

#[test]
fn our_transfer_is_followed_to_its_end() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag, refer) = referring(&mut line);
    assert_eq!(refer.headers.get(Name::REFER_TO), Some("<sip:bao@192.0.2.7>"));
    assert_eq!(refer.headers.get(Name::REFERRED_BY), Some("<sip:milo@127.0.0.1>"));
    let again = line.act(|core, now| core.refer(now, call, &"sip:x@y".parse().unwrap()));
    assert!(matches!(again, Err(SignalingError::Refused { code: 491 })));
    line.hear(&response(&refer, 202, "", ""));
    assert_eq!(progress(&mut line), [(true, 202)]);
    line.hear(&notify(&tag, 2, "refer", "active;expires=60", "100 Trying"));
    line.hear(&notify(&tag, 3, &format!("refer;id={}", refer.cseq().unwrap().0), "active", "180 Ringing"));
    line.hear(&notify(&tag, 4, "refer", "terminated;reason=noresource", "200 OK"));
    assert_eq!(line.spoke(), ["200 NOTIFY"; 3]);
    assert_eq!(progress(&mut line), [(false, 100), (false, 180), (false, 200)]);
    line.hear(&notify(&tag, 5, "refer", "terminated", "200 OK"));
    assert_eq!(line.spoke(), ["481 NOTIFY"], "its subscription is over");
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn news_may_overtake_the_answer_and_end_without_a_word() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag, refer) = referring(&mut line);
    line.hear(&notify(&tag, 2, "refer", "active", "100 Trying"));
    line.hear(&response(&refer, 202, "", ""));
    assert_eq!(progress(&mut line), [(true, 202), (false, 100)]);
    line.hear(&notify(&tag, 3, "refer", "terminated;reason=timeout", "100 Trying"));
    assert_eq!(progress(&mut line), [(false, 408)]);
}

#[test]
fn a_refused_and_an_unanswered_refer_leave_the_call_as_it_was() {
    for code in [Some(405), Some(603), None] {
        let mut line = Line::new(Transport::Udp);
        let (call, _, refer) = referring(&mut line);
        match code {
            Some(code) => line.hear(&response(&refer, code, "", "")),
            None => line.pass(Duration::from_secs(32)),
        }
        assert_eq!(progress(&mut line), [(true, code.unwrap_or(408))]);
        assert_eq!(line.core.counters().calls, 1);
        line.act(|core, now| core.refer(now, call, &"sip:x@y".parse().unwrap())).unwrap();
    }
}

#[test]
fn a_transfer_without_news_is_given_up() {
    let mut line = Line::new(Transport::Udp);
    let (_, _, refer) = referring(&mut line);
    line.hear(&response(&refer, 202, "", ""));
    line.events();
    line.pass(Duration::from_secs(32));
    assert_eq!(progress(&mut line), [(false, 408)]);
    assert_eq!(line.core.counters().calls, 1);
}

#[test]
fn news_of_something_else_is_not_for_us() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag, refer) = referring(&mut line);
    line.hear(&response(&refer, 202, "", ""));
    line.events();
    line.hear(&notify(&tag, 2, "presence", "active", "200 OK"));
    let refused = line.only();
    assert_eq!((refused.status(), refused.headers.get(Name::ALLOW_EVENTS)), (Some(489), Some("refer")));
    line.hear(&notify(&tag, 3, "refer;id=4711", "active", "200 OK"));
    assert_eq!(line.spoke(), ["481 NOTIFY"]);
    line.hear(&notify(&tag, 4, "refer", "active", "nonsense"));
    assert_eq!(line.spoke(), ["200 NOTIFY"]);
    assert!(line.events().is_empty());
}

#[test]
fn the_address_at_which_a_third_takes_our_place_names_the_dialog_as_the_other_side_knows_it() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let address = line.act(|core, _| core.in_our_place(call)).unwrap().to_string();
    let named = format!("?Replaces=call1%40127.0.0.1%3Bto-tag%3Drasoa%3Bfrom-tag%3D{tag}");
    assert_eq!(address, format!("sip:rasoa@127.0.0.1:5080{named}"));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert!(matches!(line.act(|core, _| core.in_our_place(call)), Err(SignalingError::Gone)));
}

#[test]
fn who_knows_the_dialog_and_is_elsewhere_is_refused() {
    // All of them are trusted: it is not the door that keeps them out. On this machine each port is somebody else.
    for (there, elsewhere) in [
        ("203.0.113.5:5080", "203.0.113.66:5080"),
        ("203.0.113.5:5080", "127.0.0.1:5080"),
        ("127.0.0.1:5080", "127.0.0.1:5081"),
    ] {
        let mut line = trusting();
        line.flow.remote = there.parse().unwrap();
        let (_, tag) = line.up();
        line.events();
        line.flow.remote = elsewhere.parse().unwrap();
        line.hear(&refer(&tag, 2, "Refer-To: <sip:0099@milo.example>"));
        assert_eq!(line.spoke(), ["403 REFER"], "{there} {elsewhere}");
        assert!(line.events().is_empty(), "nobody hears of it");
        line.flow.remote = there.parse().unwrap();
        line.hear(&refer(&tag, 3, "Refer-To: <sip:0099@milo.example>"));
        assert!(matches!(line.events()[..], [Event::Referred(..)]), "and who sits there is heard");
    }
}

/// A line on which peers of a network are served.
fn trusting() -> Line {
    Line::with(Transport::Udp, |config| config.trusted = vec!["203.0.113.0/24".parse().unwrap()])
}

#[test]
fn only_who_holds_both_calls_puts_them_together() {
    for (holder, is_theirs) in [("203.0.113.5:5080", true), ("203.0.113.66:5080", false)] {
        let mut line = trusting();
        // The other call is with this one.
        line.flow.remote = "203.0.113.5:5080".parse().unwrap();
        let (first, tag) = line.up();
        line.events();
        line.flow.remote = holder.parse().unwrap();
        let other = |text: &str| text.replace("call1", "call2").replace("z9hG4bK", "z9hG4bKother");
        let second = line.invited_with(&other(&invite(SDP)));
        line.act(|core, now| core.answer(now, second, rtp())).unwrap();
        let own = to_tag(&line.only());
        line.hear(&other(&within(&own, "ACK", 1, "ack", "")));
        line.events();
        let named =
            format!("Refer-To: <sip:x@127.0.0.1?Replaces=call1%40127.0.0.1%3Bto-tag%3D{tag}%3Bfrom-tag%3Drasoa>");
        line.hear(&other(&refer(&own, 2, &named)).replace("Replaces=call2", "Replaces=call1"));
        let referral = asked(&mut line);
        assert_eq!(referral.other, Some(first).filter(|_| is_theirs), "{holder}: {referral:?}");
    }
}
