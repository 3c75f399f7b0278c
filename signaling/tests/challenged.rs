//! We call with credentials, and somebody asks for them (RFC 3261 section 22), in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, invite, response, to_tag, within};
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
fn a_hold_that_is_challenged_is_sent_again_and_known_by_its_answer() {
    let mut line = Line::new(Transport::Udp);
    let (call, _) = up(&mut line);
    line.act(|core, now| core.hold(now, call, true)).unwrap();
    let held = line.only();
    assert!(credentials(&held).contains("nc=00000002"));
    line.hear(&challenge(&held, "n2"));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["ACK", "INVITE"]);
    let again = &sent[1];
    assert_eq!((again.cseq().unwrap().0, &again.body), (held.cseq().unwrap().0 + 1, &held.body));
    assert!(credentials(again).contains("nonce=\"n2\""));
    assert!(line.events().is_empty());
    let ok = response(again, 200, "", &format!("{SDP}a=recvonly\r\n"));
    line.hear(&ok);
    let ack = line.only();
    assert_eq!((brief(&ack).as_str(), credentials(&ack)), ("ACK", credentials(again)), "those of its own INVITE");
    assert!(matches!(line.events()[..], [Event::MediaChange(..), Event::HoldAnswered(_, 200)]));
    line.hear(&ok);
    assert_eq!(line.only().to_bytes(), ack.to_bytes(), "acknowledged once more");
    // The session timer has begun anew, and one that stays challenged is a refusal of a peer that lives.
    line.pass(Duration::from_secs(900));
    let refresh = line.only();
    line.hear(&challenge(&refresh, "n3"));
    let again = line.sent().pop().unwrap();
    line.hear(&challenge(&again, "n4"));
    assert_eq!(line.spoke(), ["ACK"]);
    line.pass(Duration::from_secs(899));
    assert!(line.spoke().is_empty());
    line.pass(Duration::from_secs(1));
    let refresh = line.only();
    assert_eq!(brief(&refresh), "INVITE");
    // Nobody answers the one that was sent again.
    line.hear(&challenge(&refresh, "n5"));
    line.sent();
    line.pass(Duration::from_secs(32));
    assert_eq!(line.spoke().last().map(String::as_str), Some("BYE"));
    assert_eq!(line.ended(), EndReason::Lost { code: 408 });
}

#[test]
fn who_wants_credentials_and_a_longer_interval_gets_both() {
    let mut line = Line::new(Transport::Udp);
    let (_, first) = calling(&mut line);
    line.hear(&challenge(&first, "n1"));
    let second = line.sent().pop().unwrap();
    line.hear(&response(&second, 422, "proxy", "").replacen("Call-ID", "Min-SE: 3600\r\nCall-ID", 1));
    let third = line.sent().pop().unwrap();
    assert_eq!((third.cseq().unwrap().0, third.headers.get(Name::SESSION_EXPIRES)), (3, Some("3600")));
    assert!(credentials(&third).contains("nonce=\"n1\"") && credentials(&third).contains("nc=00000002"));
    line.hear(&challenge(&third, "n2").replacen("algorithm", "stale=true, algorithm", 1));
    let fourth = line.sent().pop().unwrap();
    assert_eq!((fourth.cseq().unwrap().0, fourth.headers.get(Name::SESSION_EXPIRES)), (4, Some("3600")));
    assert_eq!(fourth.headers.get_all(Name::PROXY_AUTHORIZATION).count(), 1);
    line.hear(&response(&fourth, 200, "callee", SDP));
    assert_eq!(credentials(&line.only()), credentials(&fourth));
    line.media();
}

#[test]
fn a_newcomer_gets_no_credentials_of_the_one_who_leaves() {
    let mut line = Line::new(Transport::Udp);
    let (call, placed) = up(&mut line);
    let place =
        format!("{};from-tag=callee;to-tag={}", placed.call_id().unwrap(), placed.from().unwrap().tag().unwrap());
    line.hear(&invite(SDP).replacen("Call-ID", &format!("Replaces: {place}\r\nCall-ID"), 1));
    let sent = line.sent();
    assert_eq!(sent.iter().map(brief).collect::<Vec<_>>(), ["BYE", "200 INVITE"]);
    assert!(credentials(&sent[0]).contains("nc=00000002"), "the one who leaves may want them");
    line.hear(&within(&to_tag(&sent[1]), "ACK", 1, "ack", ""));
    line.act(|core, now| core.hang_up(now, call)).unwrap();
    let bye = line.only();
    assert_eq!((brief(&bye).as_str(), credentials(&bye)), ("BYE", ""));
    line.hear(&challenge(&bye, "n9"));
    assert!(line.spoke().is_empty());
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
