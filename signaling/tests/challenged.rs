//! We call with credentials, and somebody asks for them (RFC 3261 section 22), in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod line;

use std::time::Duration;

use line::{Line, SDP, brief, response};
use milo_signaling::{
    Credentials, EndReason, KeyPress, Transport,
    sip::{
        Message, Name,
        core::{CallKey, Event},
    },
};

fn calling(line: &mut Line) -> (CallKey, Message) {
    let (call, invite) = line.calling();
    let credentials = Credentials { username: "201".to_owned(), password: "secret".to_owned(), realm: None };
    line.act(|core, _| core.authorize(call, credentials));
    (call, invite)
}

/// A challenge of the proxy, with this nonce.
fn challenge(request: &Message, nonce: &str) -> String {
    let mut response = Message::response_to(request, 407, "");
    response.set_to_tag("proxy");
    let value = format!("Digest realm=\"carrier\", nonce=\"{nonce}\", algorithm=SHA-256, qop=\"auth\"");
    response.headers.push(Name::PROXY_AUTHENTICATE, value);
    String::from_utf8(response.to_bytes()).unwrap()
}

fn credentials(request: &Message) -> &str {
    request.headers.get(Name::PROXY_AUTHORIZATION).unwrap_or_default()
}

/// A call that was challenged and answered.
fn up(line: &mut Line) -> (CallKey, Message) {
    let (call, invite) = calling(line);
    line.hear(&challenge(&invite, "n1"));
    let again = line.sent().pop().unwrap();
    line.hear(&response(&again, 200, "callee", SDP));
    let ack = line.only();
    assert_eq!((brief(&ack).as_str(), credentials(&ack)), ("ACK", credentials(&again)), "section 22.1");
    assert_eq!(ack.cseq().unwrap().0, 2);
    line.media();
    (call, again)
}

#[test]
fn the_invite_is_sent_again_with_credentials_and_the_next_number() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let (_, invite) = calling(&mut line);
        line.hear(&challenge(&invite, "n1"));
        let sent = line.sent();
        let [ack, again] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((brief(ack).as_str(), ack.cseq().unwrap().0), ("ACK", 1));
        assert_eq!((brief(again).as_str(), again.cseq().unwrap().0), ("INVITE", 2));
        assert_eq!((again.call_id(), again.from(), again.to()), (invite.call_id(), invite.from(), invite.to()));
        assert_ne!(again.top_via().unwrap().branch(), invite.top_via().unwrap().branch());
        assert_eq!(again.headers.get_all(Name::VIA).count(), 1);
        assert_eq!(again.headers.get_all(Name::USER_AGENT).count(), 1);
        assert_eq!(again.body, invite.body);
        assert!(credentials(again).contains("nc=00000001"));
        assert!(line.events().is_empty(), "its user hears nothing of it");
        line.hear(&response(again, 180, "callee", ""));
        assert!(matches!(line.events()[..], [Event::Ringing(_, 180)]));
    }
}

#[test]
fn without_credentials_a_challenge_is_a_refusal() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = line.calling();
    line.hear(&challenge(&invite, "n1"));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.ended(), EndReason::Rejected { code: 407, .. }));
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn credentials_that_are_refused_end_the_call() {
    let mut line = Line::new(Transport::Udp);
    let (_, invite) = calling(&mut line);
    line.hear(&challenge(&invite, "n1"));
    let again = line.sent().pop().unwrap();
    line.hear(&challenge(&again, "n2"));
    assert_eq!(line.spoke(), ["ACK"]);
    assert!(matches!(line.ended(), EndReason::Rejected { code: 407, .. }));
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn what_follows_in_the_dialog_has_credentials_and_an_old_nonce_is_renewed() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = up(&mut line);
    let press = KeyPress { key: '5', duration: Duration::from_millis(100) };
    let told = line.act(|core, now| core.tell_key(now, call, press)).unwrap();
    let info = line.only();
    assert!(credentials(&info).contains("nonce=\"n1\"") && credentials(&info).contains("nc=00000002"));
    line.hear(&challenge(&info, "n2"));
    let again = line.only();
    assert_eq!(again.cseq().unwrap().0, info.cseq().unwrap().0 + 1);
    assert!(credentials(&again).contains("nonce=\"n2\"") && credentials(&again).contains("nc=00000001"));
    line.hear(&response(&again, 200, "", ""));
    assert!(matches!(line.events()[..], [Event::KeyAnswered(id, 200)] if id == told), "under its first name");
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    let bye = line.only();
    assert_eq!(bye.cseq().unwrap().0, again.cseq().unwrap().0 + 1);
    line.hear(&challenge(&bye, "n3"));
    let bye = line.only();
    assert_eq!(brief(&bye), "BYE");
    line.hear(&response(&bye, 200, "", ""));
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn a_bye_that_is_challenged_for_ever_ends_all_the_same() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = up(&mut line);
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    let mut byes = 0;
    while let Some(bye) = line.sent().pop() {
        byes += 1;
        assert!(byes < 10);
        line.hear(&challenge(&bye, &format!("n{}", byes + 1)));
    }
    assert_eq!(byes, 2);
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn an_invite_that_is_taken_back_is_not_sent_again() {
    let mut line = Line::new(Transport::Udp);
    let (call, invite) = calling(&mut line);
    line.act(|core, now| core.cancel(now, call)).unwrap();
    line.hear(&challenge(&invite, "n1"));
    assert_eq!(line.spoke(), ["ACK"]);
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}
