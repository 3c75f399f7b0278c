//! Texts (MESSAGE, RFC 3428), received and sent, outside of calls and within them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use crate::line::{Line, brief, invite, response, within};
use milo_media::PortPool;
use milo_signaling::{
    Credentials, Endpoint, EndpointConfig, Invitations, Transport, Uri,
    sip::{
        Message, Name,
        core::{Event, TextIn},
        flow::{Path, Way, Ways},
    },
};

/// The peer's MESSAGE, of this media type.
fn message(branch: &str, kind: &str, body: &str) -> String {
    let head = invite("").replace("INVITE", "MESSAGE").replace("call1", branch).replace("bKinvite", branch);
    head.replace(
        "Content-Length: 0\r\n\r\n",
        &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
    )
}

/// The one text that the user was told of.
fn told(line: &mut Line) -> TextIn {
    match line.events().pop() {
        Some(Event::Text(text)) => *text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_text_is_told_once_and_answered_when_somebody_has_taken_it() {
    let mut line = Line::new(Transport::Udp);
    let sent = message("a", "text/plain;charset=UTF-8", "Manao ahoana é");
    line.hear(&sent);
    let text = told(&mut line);
    assert_eq!(
        (text.text.as_str(), text.from.user().as_str(), text.to.user().as_str()),
        ("Manao ahoana é", "rasoa", "milo")
    );
    assert!(line.sent().is_empty(), "nobody has taken it");
    line.act(|core, now| core.answer_text(now, &text, None));
    let answer = line.only();
    assert_eq!((brief(&answer).as_str(), answer.headers.has(Name::CONTACT)), ("200 MESSAGE", false));
    assert!(answer.to().unwrap().tag().is_some());
    line.hear(&sent);
    assert_eq!(line.spoke(), ["200 MESSAGE"], "its answer was lost");
    line.hear(&sent.replace("z9hG4", "z9hG4bKother"));
    assert_eq!(line.spoke(), ["482 MESSAGE"], "come by another way");
    assert!(line.events().is_empty());
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn what_cannot_be_taken_has_its_answer() {
    let mut line = Line::new(Transport::Tcp);
    line.hear(&message("a", "text/html", "<b>x</b>"));
    let refused = line.only();
    assert_eq!((brief(&refused).as_str(), refused.headers.get(Name::ACCEPT)), ("415 MESSAGE", Some("text/plain")));
    line.hear(&message("b", "text/plain", &"x".repeat(8_193)));
    assert_eq!(line.spoke(), ["413 MESSAGE"]);
    line.hear(&message("c", "text/plain", "x").replace("Content-Type", "Content-Encoding: gzip\r\nContent-Type"));
    assert_eq!(line.spoke(), ["415 MESSAGE"]);
    assert!(line.events().is_empty());
    line.hear(&message("d", "text/plain", "x"));
    let text = told(&mut line);
    line.act(|core, now| core.answer_text(now, &text, Some(503)));
    let refused = line.only();
    assert_eq!((brief(&refused).as_str(), refused.headers.has(Name::RETRY_AFTER)), ("503 MESSAGE", true));
}

#[test]
fn a_text_within_a_call_is_the_calls() {
    let mut line = Line::new(Transport::Udp);
    let (call, tag) = line.up();
    let sent = within(&tag, "MESSAGE", 2, "m", "Avy aiza ianao?").replace("application/sdp", "text/plain");
    line.hear(&sent);
    line.hear(&sent);
    assert_eq!(line.spoke(), ["200 MESSAGE", "200 MESSAGE"]);
    match &line.events()[..] {
        [Event::TextWithin(of, text)] => assert_eq!((*of, text.as_str()), (call, "Avy aiza ianao?")),
        other => panic!("{other:?}"),
    }
    line.hear(&within(&tag, "MESSAGE", 3, "n", "v=0"));
    assert_eq!(line.spoke(), ["415 MESSAGE"]);
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    line.sent();
    line.hear(&within(&tag, "MESSAGE", 4, "o", "x").replace("application/sdp", "text/plain"));
    assert_eq!(line.spoke(), ["481 MESSAGE"]);
    assert!(line.events().is_empty());
}

/// A text of ours, and the MESSAGE that went out.
fn sends(line: &mut Line, ways: Ways, text: &str, credentials: Option<Credentials>) -> Vec<Message> {
    let target: Uri = "sip:rasoa@127.0.0.1:5080".parse().unwrap();
    line.act(|core, now| core.send_text(now, (&target, "milo"), text, ways, credentials)).unwrap();
    line.sent()
}

/// What became of it.
fn came_of_it(line: &mut Line) -> u16 {
    match &line.events()[..] {
        [Event::TextAnswered(_, code)] => *code,
        other => panic!("{other:?}"),
    }
}

fn path(line: &Line) -> Path {
    Path { flow: line.flow, or_connect: None }
}

#[test]
fn our_text_goes_out_and_its_answer_is_told() {
    for (code, answered) in [(202, 202), (404, 404), (0, 408)] {
        let mut line = Line::new(Transport::Udp);
        let way = path(&line).into();
        let sent = sends(&mut line, way, "Veloma é", None).remove(0);
        assert_eq!((brief(&sent).as_str(), sent.body.as_slice()), ("MESSAGE", "Veloma é".as_bytes()));
        assert_eq!(sent.headers.get(Name::CONTENT_TYPE), Some("text/plain;charset=UTF-8"));
        assert!(!sent.headers.has(Name::CONTACT), "it makes no dialog");
        match code {
            0 => line.pass(Duration::from_secs(40)),
            code => line.hear(&response(&sent, code, "", "")),
        }
        assert_eq!(came_of_it(&mut line), answered);
        line.pass(Duration::from_secs(60));
        line.assert_empty();
    }
}

#[test]
fn who_asks_for_credentials_gets_them_once() {
    let mut line = Line::new(Transport::Udp);
    let credentials = Credentials { username: "milo".into(), password: "secret".into(), realm: None };
    let way = path(&line).into();
    let first = sends(&mut line, way, "x", Some(credentials)).remove(0);
    let ask = |request: &Message, nonce: &str| {
        response(request, 407, "", "").replace(
            "CSeq",
            &format!("Proxy-Authenticate: Digest realm=\"c\", nonce=\"{nonce}\", algorithm=MD5\r\nCSeq"),
        )
    };
    line.hear(&ask(&first, "one"));
    let second = line.only();
    assert!(second.headers.get(Name::PROXY_AUTHORIZATION).unwrap().contains("username=\"milo\""));
    assert_eq!((second.cseq().unwrap().0, second.call_id().unwrap()), (2, first.call_id().unwrap()));
    assert_eq!(second.headers.get_all(Name::VIA).count(), 1);
    line.hear(&ask(&second, "two"));
    assert_eq!(came_of_it(&mut line), 407, "they were wrong");
}

#[test]
fn a_datagram_is_small_and_where_nobody_is_the_next_way_is_tried() {
    let mut line = Line::new(Transport::Udp);
    let way: Ways = path(&line).into();
    assert!(sends(&mut line, way, &"x".repeat(1_300), None).is_empty());
    assert_eq!(came_of_it(&mut line), 513);
    let mut other = path(&line);
    other.flow.remote = "127.0.0.1:5090".parse().unwrap();
    let ways = Ways([path(&line), other].map(|path| Way { path, if_large: None }).into());
    let first = sends(&mut line, ways, "x", None).remove(0);
    line.hear(&response(&first, 503, "", ""));
    assert_eq!(line.went(), [other.flow.remote]);
    line.flow.remote = other.flow.remote;
    let second = line.only();
    line.hear(&response(&second, 200, "", ""));
    assert_eq!(came_of_it(&mut line), 200);
}

fn bind() -> (Endpoint, Invitations) {
    let at = "127.0.0.1:0".parse().unwrap();
    let config = EndpointConfig { udp: vec![at], tcp: vec![at], ..EndpointConfig::default() };
    let ports = Arc::new(PortPool::new([127, 0, 0, 1].into(), 0..=0));
    Endpoint::bind(config, ports, tokio::runtime::Handle::current()).unwrap()
}

#[tokio::test]
async fn one_endpoint_texts_another() {
    let ((near, _near), (far, mut door)) = (bind(), bind());
    for (transport, address) in far.local() {
        let target: Uri = format!("sip:rasoa@{address}{}", transport.uri_parameter()).parse().unwrap();
        assert_eq!(near.caller().text(&target, "0341", "Salama", None).await.unwrap(), 200, "{transport}");
    }
    // Too large for a datagram, it goes over TCP where the address leaves that open.
    let address = far.local()[0].1;
    let target: Uri = format!("sip:rasoa@{address}").parse().unwrap();
    let large = near.caller().text(&target, "0341", &"x".repeat(1_300), None).await.unwrap();
    let has_both = far.local().iter().filter(|(_, at)| at.port() == address.port()).count() == 2;
    assert_eq!(large, if has_both { 200 } else { 503 });
    let mut texts = door.texts().unwrap();
    for _ in far.local() {
        let text = texts.recv().await.unwrap();
        assert_eq!(
            (text.text.as_str(), text.from.user().as_str(), text.to.user().as_str()),
            ("Salama", "0341", "rasoa")
        );
    }
    drop(texts);
    assert_eq!(near.caller().text(&target, "0341", "Salama", None).await.unwrap(), 480, "nobody takes them");
    assert!(door.texts().is_none(), "they are taken once");
    near.shutdown().await;
}
