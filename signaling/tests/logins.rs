//! Trunks that call from addresses which nobody knows, and prove who they are; in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, invite, to_tag, within};
use milo_signaling::{
    BanTerms, Credentials, DomainOf, EndReason, Transport, TrunkLogin, User,
    sip::{Message, Name, core::Event, digest::Authorizer, parse, registrar::Proven},
};

const AWAY: &str = "203.0.113.5:5060";

fn login(trunk: &str, realm: &str, domain: Option<DomainOf>) -> TrunkLogin {
    TrunkLogin {
        trunk: trunk.to_owned(),
        user: User::new(trunk, realm, "secret"),
        realm: realm.to_owned(),
        domain: domain.map(|of| (realm.to_owned(), of)),
    }
}

/// A line with a stranger, where these trunks may call from anywhere.
fn line(logins: Vec<TrunkLogin>) -> Line {
    let mut line = Line::with(Transport::Udp, |config| {
        config.logins = logins;
        let (within, length) = (Duration::from_secs(600), Duration::from_secs(3_600));
        config.bans = Some(BanTerms { wrong_answers: 3, requests: 50, within, length });
    });
    line.flow.remote = AWAY.parse().unwrap();
    line
}

/// An INVITE of this number to somebody at `to`, from somebody at `from`.
fn call(number: u32, to: &str, from: &str) -> Message {
    let text = invite(SDP).replace("sip:milo@127.0.0.1:5060", &format!("sip:milo@{to}"));
    let text = text.replace("<sip:rasoa@127.0.0.1>", &format!("<sip:rasoa@{from}>"));
    let text =
        text.replace("CSeq: 1", &format!("CSeq: {number}")).replace("z9hG4bKinvite", &format!("z9hG4bK{number}"));
    parse(text.as_bytes()).unwrap()
}

fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes()).unwrap()
}

/// Sends an INVITE, and once more with the answer to what it is asked.
fn proves(line: &mut Line, number: u32, (to, from): (&str, &str), (name, password): (&str, &str)) -> Message {
    let first = call(number, to, from);
    line.hear(&text(&first));
    let challenge = line.only();
    assert_eq!(brief(&challenge), "401 INVITE");
    let credentials = Credentials { username: name.to_owned(), password: password.to_owned(), realm: None };
    let mut authorizer = Authorizer::new(credentials);
    authorizer.challenged(&challenge, "cnonce").unwrap();
    let mut second = call(number + 1, to, from);
    authorizer.authorize(&mut second);
    line.hear(&text(&second));
    challenge
}

fn realm(challenge: &Message) -> String {
    let field = challenge.headers.get(Name::WWW_AUTHENTICATE).unwrap();
    field.split("realm=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The trunk whose call has come.
fn came_over(line: &mut Line) -> Option<String> {
    line.events().into_iter().find_map(|event| match event {
        Event::Invitation { proven: Some(Proven::Trunk(trunk)), .. } => Some(trunk),
        Event::Invitation { proven, .. } => panic!("{proven:?}"),
        _ => None,
    })
}

#[test]
fn a_trunk_that_proves_who_it_is_calls_from_anywhere_and_hangs_up() {
    let mut line = line(vec![login("roaming", "milo", None)]);
    let challenge = proves(&mut line, 1, ("127.0.0.1", "127.0.0.1"), ("roaming", "secret"));
    assert_eq!(realm(&challenge), "milo");
    let [Event::Invitation { call, proven, .. }] = &line.events()[..] else { panic!() };
    assert_eq!(*proven, Some(Proven::Trunk("roaming".to_owned())));
    let call = *call;
    line.act(|core, now| core.answer(now, call, crate::line::rtp())).unwrap();
    let ok = line.sent().pop().unwrap();
    line.hear(&within(&to_tag(&ok), "ACK", 2, "ack", ""));
    // What others send is not for the call, whatever they know of it.
    line.flow.remote = "203.0.113.99:5060".parse().unwrap();
    line.hear(&within(&to_tag(&ok), "BYE", 3, "forged", ""));
    assert!(line.events().is_empty());
    line.sent();
    line.flow.remote = AWAY.parse().unwrap();
    line.hear(&within(&to_tag(&ok), "BYE", 3, "bye", ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert!(matches!(line.events()[..], [Event::Ended(_, EndReason::RemoteHangup)]));
    // Afterwards it is a stranger as before.
    line.hear(&within(&to_tag(&ok), "OPTIONS", 4, "options", ""));
    assert_eq!(line.spoke(), ["403 OPTIONS"]);
    line.pass(Duration::from_secs(60));
    line.assert_empty();
}

#[test]
fn a_trunk_that_proves_who_it_is_sends_calls_only() {
    let mut line = line(vec![login("roaming", "milo", None)]);
    line.hear(&text(&call(1, "127.0.0.1", "127.0.0.1")).replace("INVITE", "MESSAGE"));
    assert_eq!(line.spoke(), ["403 MESSAGE"], "nobody is asked who texts");
    assert!(line.events().is_empty());
    line.assert_empty();
}

#[test]
fn whoever_answers_wrong_never_reaches_a_trunk_and_is_shut_out() {
    let mut line = line(vec![login("roaming", "milo", None)]);
    for (at, who) in [("roaming", "guess"), ("nobody", "secret"), ("rasoa", "secret")].into_iter().enumerate() {
        proves(&mut line, 10 * (at as u32 + 1), ("127.0.0.1", "127.0.0.1"), who);
        assert!(at == 2 || line.spoke() == ["401 INVITE"]);
    }
    line.sent();
    assert_eq!((came_over(&mut line), line.core.counters().wrong_answers), (None, 3));
    let now = line.now;
    assert_eq!(line.core.bans(now).len(), 1);
    line.hear(&text(&call(50, "127.0.0.1", "127.0.0.1")));
    assert!(line.spoke().is_empty(), "banned");
}

#[test]
fn a_domain_chooses_who_is_asked_for_and_opens_nothing() {
    let trunks = || vec![login("a", "a.example", Some(DomainOf::To)), login("b", "b.example", Some(DomainOf::From))];
    let mut line = line(trunks());
    // Who names no domain of a trunk is a stranger, and so is who names it where it does not count.
    for (number, named) in
        [("127.0.0.1", "127.0.0.1"), ("c.example", "a.example"), ("b.example", "c.example")].into_iter().enumerate()
    {
        line.hear(&text(&call(number as u32 + 1, named.0, named.1)));
        assert_eq!(line.spoke(), ["403 INVITE"], "{named:?}");
    }
    assert_eq!(came_over(&mut line), None);
    for (number, named, trunk) in [(10, ("A.example", "x"), "a"), (20, ("x", "b.example"), "b")] {
        let challenge = proves(&mut line, number, named, (trunk, "secret"));
        assert_eq!(realm(&challenge), format!("{trunk}.example"));
        assert_eq!(came_over(&mut line).as_deref(), Some(trunk));
        line.sent();
    }
    // The password of one trunk is not the other's.
    proves(&mut line, 30, ("a.example", "x"), ("b", "secret"));
    assert_eq!((line.spoke(), came_over(&mut line)), (vec!["401 INVITE".to_owned()], None));
    // An answer to one realm's question is none to the other's.
    let first = call(40, "a.example", "x");
    line.hear(&text(&first));
    let challenge = line.only();
    let credentials = Credentials { username: "a".to_owned(), password: "secret".to_owned(), realm: None };
    let mut authorizer = Authorizer::new(credentials);
    authorizer.challenged(&challenge, "cnonce").unwrap();
    let mut second = call(41, "x", "b.example");
    authorizer.authorize(&mut second);
    line.hear(&text(&second));
    assert_eq!((line.spoke(), came_over(&mut line)), (vec!["401 INVITE".to_owned()], None));
}

#[test]
fn beside_a_trunk_with_a_domain_one_without_takes_what_is_left() {
    let mut line = line(vec![login("any", "milo", None), login("a", "a.example", Some(DomainOf::To))]);
    for (number, named, asked) in [(1, ("a.example", "x"), "a.example"), (10, ("x", "x"), "milo")] {
        let who = if asked == "milo" { "any" } else { "a" };
        let challenge = proves(&mut line, number, named, (who, "secret"));
        assert_eq!((realm(&challenge).as_str(), came_over(&mut line).as_deref()), (asked, Some(who)));
        line.sent();
    }
}

#[test]
fn where_no_trunk_calls_from_anywhere_nobody_is_asked() {
    let mut line = line(Vec::new());
    line.hear(&text(&call(1, "127.0.0.1", "127.0.0.1")));
    assert_eq!(line.spoke(), ["403 INVITE"]);
}
