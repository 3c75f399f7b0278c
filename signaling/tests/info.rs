//! Keys by INFO, both ways: scenarios of RFC 6086 in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, invite, response, rtp, to_tag, within};
use milo_signaling::{
    KeyPress, SignalingError, Transport,
    sip::{Message, Name, core::Event},
};

const RELAY: &str = "application/dtmf-relay";
const PRESS: KeyPress = KeyPress { key: '#', duration: Duration::from_millis(160) };

/// The peer's INFO within its call, with this body.
fn info(tag: &str, number: u32, kind: &str, body: &str) -> String {
    within(tag, "INFO", number, &format!("info{number}"), body).replace("application/sdp", kind)
}

/// The keys that the user was told of.
fn keys(line: &mut Line) -> String {
    let key = |event: Event| match event {
        Event::Key(_, press) => press.key,
        other => panic!("{other:?}"),
    };
    line.events().into_iter().map(key).collect()
}

#[test]
fn each_key_is_answered_and_told_once() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let (_, tag) = line.up();
        line.hear(&info(&tag, 2, RELAY, "Signal=5\r\nDuration=160\r\n"));
        line.hear(&info(&tag, 3, "application/dtmf", "5"));
        line.hear(&info(&tag, 4, RELAY, "Signal=#\r\nDuration=90\r\n"));
        assert_eq!(line.spoke(), ["200 INFO"; 3]);
        assert_eq!(keys(&mut line), "55#");
        // The first again: on UDP because our answer was lost; on a stream it can only be a copy out of order.
        line.hear(&info(&tag, 2, RELAY, "Signal=5\r\nDuration=160\r\n"));
        assert_eq!(line.spoke(), [if transport == Transport::Udp { "200 INFO" } else { "500 INFO" }]);
        assert_eq!(keys(&mut line), "", "heard once");
    }
}

#[test]
fn what_is_no_key_has_its_answer() {
    let mut line = Line::new(Transport::Udp);
    let (_, tag) = line.up();
    line.hear(&info(&tag, 2, RELAY, ""));
    line.hear(&info(&tag, 3, RELAY, "Signal=hf\r\n"));
    assert_eq!(line.spoke(), ["200 INFO", "200 INFO"], "INFO may say nothing");
    line.hear(&info(&tag, 4, RELAY, "Duration=160\r\n"));
    assert_eq!(line.spoke(), ["400 INFO"]);
    line.hear(&info(&tag, 5, "application/media_control+xml", "<picture_fast_update/>"));
    let refused = line.only();
    let accepted = Some("application/dtmf-relay, application/dtmf");
    assert_eq!((brief(&refused).as_str(), refused.headers.get(Name::ACCEPT)), ("415 INFO", accepted));
    line.hear(&info(&tag, 6, "text/plain", "hello").replace("Max-Forwards", "Info-Package: greeting\r\nMax-Forwards"));
    let refused = line.only();
    assert_eq!((brief(&refused).as_str(), refused.headers.get(Name::RECV_INFO)), ("469 INFO", Some("")));
    assert!(line.events().is_empty());
}

#[test]
fn an_info_of_no_call_is_481() {
    let mut line = Line::new(Transport::Udp);
    line.hear(&invite("").replace("INVITE", "INFO"));
    assert_eq!(line.spoke(), ["481 INFO"]);
    let (call, tag) = line.up();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    assert_eq!(line.spoke(), ["BYE"]);
    line.hear(&info(&tag, 2, RELAY, "Signal=5"));
    assert_eq!(line.spoke(), ["481 INFO"], "we have hung up");
    assert!(line.events().is_empty());
}

#[test]
fn a_key_before_the_answer_is_told_too() {
    let mut line = Line::new(Transport::Udp);
    let call = line.invited();
    line.act(|core, now| core.ring(now, call)).unwrap();
    let tag = to_tag(&line.only());
    line.hear(&info(&tag, 2, RELAY, "Signal=9"));
    assert_eq!((line.spoke(), keys(&mut line)), (vec!["200 INFO".to_owned()], "9".to_owned()));
    assert!(matches!(line.act(|core, now| core.tell_key(now, call, PRESS)), Err(SignalingError::Gone)));
    line.act(|core, now| core.answer(now, call, rtp())).unwrap();
}

/// What became of the one key that was told.
fn answered(line: &mut Line) -> u16 {
    match &line.events()[..] {
        [Event::KeyAnswered(_, code)] => *code,
        other => panic!("{other:?}"),
    }
}

fn told(line: &mut Line) -> Message {
    let (call, _) = line.up();
    line.act(|core, now| core.tell_key(now, call, PRESS)).unwrap();
    line.only()
}

#[test]
fn our_key_goes_out_and_its_answer_is_told() {
    let mut line = Line::new(Transport::Udp);
    let info = told(&mut line);
    assert_eq!((brief(&info).as_str(), info.content_type().as_deref()), ("INFO", Some(RELAY)));
    assert_eq!(info.body, b"Signal=#\r\nDuration=160\r\n");
    assert_eq!(info.to().unwrap().tag(), Some("rasoa"));
    line.hear(&response(&info, 100, "", ""));
    assert!(line.events().is_empty(), "that is no answer");
    line.hear(&response(&info, 200, "", ""));
    line.hear(&response(&info, 200, "", ""));
    assert_eq!(answered(&mut line), 200, "told once");
}

#[test]
fn a_peer_that_refuses_or_says_nothing_keeps_the_call() {
    for (answer, code) in [(Some(415), 415), (None, 408)] {
        let mut line = Line::new(Transport::Udp);
        let info = told(&mut line);
        match answer {
            Some(code) => line.hear(&response(&info, code, "", "")),
            None => line.pass(Duration::from_secs(40)),
        }
        assert_eq!(answered(&mut line), code);
        assert_eq!(line.core.counters().calls, 1);
    }
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = line.calling();
    line.hear(&response(&invite, 200, "callee", SDP));
    line.sent();
    line.events();
    line.act(|core, now| core.tell_key(now, call, PRESS)).unwrap();
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.sent();
    line.pass(Duration::from_secs(60));
    assert_eq!(answered(&mut line), 408, "also when the call ends meanwhile");
    line.assert_empty();
}
