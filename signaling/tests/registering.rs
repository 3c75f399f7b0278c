//! Being registered, in virtual time (RFC 3261 section 10.2).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, invite, response};
use milo_media::codec::PCMA;
use milo_signaling::{
    Account, Credentials, RegistrationState, Standing, Transport,
    sip::{Message, Name, core::Event},
};

const MD5: &str = "Digest realm=\"carrier\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"";

fn account() -> Account {
    let credentials = Credentials { username: "201".to_owned(), password: "secret".to_owned(), realm: None };
    Account {
        name: "carrier".to_owned(),
        registrar: "sip:carrier.example:5080".parse().unwrap(),
        user: "201".to_owned(),
        proxy: None,
        credentials,
        expires: Duration::from_secs(600),
        codecs: None,
        trust: None,
    }
}

/// A line on which we register; the REGISTER is returned.
fn registering(line: &mut Line) -> Message {
    line.act(|core, now| core.register(now, account()));
    assert_eq!(states(line).len(), 1, "the registrar is found");
    line.only()
}

fn states(line: &mut Line) -> Vec<RegistrationState> {
    let state = |event| match event {
        Event::Registration(_, state) => state,
        other => panic!("{other:?}"),
    };
    line.events().into_iter().map(state).collect()
}

fn standing(line: &mut Line) -> (Standing, Option<String>) {
    let last = states(line).pop().unwrap();
    (last.standing, last.fault)
}

/// The registrar's response with these header lines.
fn reply(request: &Message, code: u16, lines: &[(Name, &str)]) -> String {
    let mut response = Message::response_to(request, code, "");
    lines.iter().for_each(|(name, value)| response.headers.push(name, *value));
    String::from_utf8(response.to_bytes()).unwrap()
}

fn ok(request: &Message, seconds: u32) -> String {
    let ours = request.contact().unwrap().unwrap().uri;
    let others = "<sip:201@198.51.100.9:5060>;expires=7";
    reply(request, 200, &[(Name::CONTACT, others), (Name::CONTACT, &format!("<{ours}>;expires={seconds}"))])
}

fn number(request: &Message) -> u32 {
    request.cseq().unwrap().0
}

#[test]
fn a_challenge_is_answered_and_the_binding_refreshed_before_it_lapses() {
    let mut line = Line::new(Transport::Udp);
    let first = registering(&mut line);
    assert_eq!(first.uri().unwrap().to_string(), "sip:carrier.example:5080");
    assert_eq!(first.to().unwrap().uri.to_string(), "sip:201@carrier.example");
    assert_eq!(first.contact().unwrap().unwrap().to_string(), "<sip:201@127.0.0.1:5060>;expires=600");
    line.hear(&reply(&first, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
    let second = line.only();
    assert_eq!((number(&second), second.call_id()), (number(&first) + 1, first.call_id()), "section 10.2.4");
    assert!(second.headers.get(Name::AUTHORIZATION).unwrap().contains("username=\"201\", realm=\"carrier\""));
    line.hear(&ok(&second, 120));
    let told = states(&mut line).pop().unwrap();
    assert_eq!((told.standing, told.granted), (Standing::Registered, Some(Duration::from_secs(120))));
    assert_eq!(told.registrar, Some(crate::line::PEER.parse().unwrap()));

    // Refreshed between half and three quarters of what was granted, with the nonce that holds.
    line.pass(Duration::from_secs(59));
    assert!(line.spoke().is_empty());
    line.pass(Duration::from_secs(32));
    let third = line.sent().remove(0);
    assert!(third.headers.get(Name::AUTHORIZATION).unwrap().contains("nc=00000002"));
    line.hear(&ok(&third, 120));
    assert!(states(&mut line).is_empty(), "nothing is new");
}

#[test]
fn its_way_is_kept_open_while_it_holds_and_no_longer() {
    let mut line = Line::with(Transport::Tcp, |config| config.keep_alive = Some(Duration::from_secs(25)));
    let first = registering(&mut line);
    line.pass(Duration::from_secs(20));
    line.hear(&ok(&first, 600));
    line.pass(Duration::from_secs(101));
    assert_eq!(line.kept.len(), 4, "every 25 s, and not before it is registered");
    // The connection is lost: another one is opened by a REGISTER, at once.
    line.events();
    let flow = line.flow;
    line.act(|core, now| core.flow_failed(now, &flow));
    let again = line.only();
    assert_eq!(brief(&again), "REGISTER");
    line.act(|core, now| core.flow_failed(now, &flow));
    assert!(line.sent().is_empty(), "one is on its way");
    line.hear(&reply(&again, 403, &[]));
    line.kept.clear();
    line.pass(Duration::from_secs(100));
    assert_eq!(line.kept.len(), 0);
    assert_eq!(standing(&mut line).0, Standing::Failed);
}

#[test]
fn a_wrong_password_is_not_tried_at_once() {
    let mut line = Line::new(Transport::Udp);
    let first = registering(&mut line);
    line.hear(&reply(&first, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
    let second = line.only();
    line.hear(&reply(&second, 401, &[(Name::WWW_AUTHENTICATE, &MD5.replace("n1", "n2"))]));
    let (failed, fault) = standing(&mut line);
    assert!(failed == Standing::Failed && fault.unwrap().contains("username and password"));
    line.pass(Duration::from_secs(299));
    assert!(line.spoke().is_empty(), "who tries a wrong password too often is locked out");
    line.pass(Duration::from_secs(2));
    // Once the carrier has mended it, it holds, however often it was refused before.
    for n in 0..5 {
        let anew = line.sent().remove(0);
        assert!(!anew.headers.has(Name::AUTHORIZATION));
        line.hear(&reply(&anew, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
        let answer = line.only();
        if n == 4 {
            line.hear(&ok(&answer, 600));
        } else {
            line.hear(&reply(&answer, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
            line.pass(Duration::from_secs(301));
        }
    }
    assert_eq!(standing(&mut line).0, Standing::Registered);
}

#[test]
fn waits_grow_to_a_bound_and_the_log_hears_of_a_fault_once() {
    let mut line = Line::new(Transport::Udp);
    let mut request = registering(&mut line);
    let mut waits = Vec::new();
    for _ in 0..12 {
        line.hear(&reply(&request, 503, &[]));
        let failed = line.now;
        while line.went().is_empty() {
            line.pass(Duration::from_millis(100));
        }
        waits.push((line.now - failed).as_secs_f64());
        request = line.only();
    }
    assert_eq!(states(&mut line).len(), 1);
    for (n, wait) in waits.iter().enumerate() {
        let most = (5.0 * f64::from(1 << n)).min(300.0);
        assert!((most * 0.5..=most + 0.2).contains(wait), "the wait after {} failures is {wait} s", n + 1);
    }
    line.hear(&ok(&request, 600));
    let told = states(&mut line).pop().unwrap();
    assert_eq!((told.standing, told.fault.is_some()), (Standing::Registered, true), "the last fault stays readable");
}

#[test]
fn those_that_fail_together_come_back_apart() {
    let mut line = Line::new(Transport::Udp);
    let requests: Vec<_> = (0..20).map(|_| registering(&mut line)).collect();
    requests.iter().for_each(|request| line.hear(&reply(request, 503, &[])));
    let (failed, mut waits) = (line.now, std::collections::BTreeSet::new());
    for _ in 0..60 {
        line.pass(Duration::from_millis(100));
        if !line.sent().is_empty() {
            waits.insert((line.now - failed).as_millis());
        }
    }
    // Of twenty that are drawn from two seconds and a half many meet within a tenth of one only by a very odd dice.
    assert!(waits.len() >= 8, "{waits:?}");
}

#[test]
fn retry_after_and_min_expires_are_obeyed() {
    let mut line = Line::new(Transport::Udp);
    let first = registering(&mut line);
    line.hear(&reply(&first, 423, &[(Name::MIN_EXPIRES, "1800")]));
    let second = line.only();
    assert_eq!(second.headers.get(Name::EXPIRES), Some("1800"));
    line.hear(&reply(&second, 423, &[(Name::MIN_EXPIRES, "3600")]));
    assert!(line.spoke().is_empty(), "once");
    line.pass(Duration::from_secs(6));
    let third = line.sent().remove(0);
    line.hear(&reply(&third, 503, &[(Name::RETRY_AFTER, "1000 (a storm);duration=5")]));
    line.pass(Duration::from_secs(999));
    assert!(line.spoke().is_empty());
    line.pass(Duration::from_secs(2));
    assert_eq!(line.spoke().first().map(String::as_str), Some("REGISTER"));
}

#[test]
fn a_registrar_that_is_down_delays_no_other() {
    let mut line = Line::new(Transport::Udp);
    let down = registering(&mut line);
    let up = registering(&mut line);
    assert_ne!(down.call_id(), up.call_id());
    line.hear(&ok(&up, 100));
    assert_eq!(standing(&mut line).0, Standing::Registered);
    line.pass(Duration::from_secs(40));
    let (failed, fault) = standing(&mut line);
    assert!(failed == Standing::Failed && fault.unwrap().contains("does not answer"));

    // A name without an address is looked for again.
    let mut line = Line::new(Transport::Udp);
    line.is_lost = true;
    line.act(|core, now| core.register(now, account()));
    assert!(line.spoke().is_empty());
    assert_eq!(standing(&mut line), (Standing::Failed, Some("no such host".to_owned())));
    line.is_lost = false;
    line.pass(Duration::from_secs(6));
    assert_eq!(line.spoke().first().map(String::as_str), Some("REGISTER"));
}

#[test]
fn the_places_of_a_registrars_name_are_tried_in_turn() {
    for how in ["mute", "503"] {
        let mut line = Line::new(Transport::Udp);
        line.others = vec!["203.0.113.9:5080".parse().unwrap()];
        let first = registering(&mut line);
        match how {
            "mute" => {
                line.pass(Duration::from_millis(5_999));
                assert!(
                    line.sent()
                        .iter()
                        .all(|again| again.top_via().unwrap().branch() == first.top_via().unwrap().branch())
                );
                line.went();
                line.pass(Duration::from_millis(1));
            }
            _ => line.hear(&reply(&first, 503, &[])),
        }
        assert_eq!(line.went().last().unwrap().to_string(), "203.0.113.9:5080", "{how}");
        let second = line.only();
        assert_eq!((second.call_id(), number(&second)), (first.call_id(), number(&first) + 1));
        line.hear(&ok(&second, 600));
        let told = states(&mut line).pop().unwrap();
        assert_eq!((told.standing, told.registrar), (Standing::Registered, Some("203.0.113.9:5080".parse().unwrap())));
        line.pass(Duration::from_secs(200));
        assert!(line.spoke().is_empty());
    }
    // None of them: it has failed, and all are tried again.
    let mut line = Line::new(Transport::Udp);
    line.others = vec!["203.0.113.9:5080".parse().unwrap()];
    let first = registering(&mut line);
    line.hear(&reply(&first, 503, &[]));
    let second = line.only();
    line.hear(&reply(&second, 503, &[]));
    assert_eq!(standing(&mut line).0, Standing::Failed);
}

#[test]
fn a_refusal_at_the_second_place_leads_back_to_the_first() {
    let mut line = Line::new(Transport::Udp);
    line.others = vec!["203.0.113.9:5080".parse().unwrap()];
    let first = registering(&mut line);
    line.hear(&reply(&first, 503, &[]));
    let second = line.only();
    line.hear(&reply(&second, 404, &[]));
    assert_eq!(standing(&mut line).0, Standing::Failed);
    while line.went().is_empty() {
        line.pass(Duration::from_millis(100));
    }
    assert_eq!(line.went()[0].to_string(), crate::line::PEER, "the name is asked for anew");
    // A challenge is no refusal.
    let third = line.only();
    line.hear(&reply(&third, 503, &[]));
    let fourth = line.only();
    line.hear(&reply(&fourth, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
    assert_eq!(line.went().last().unwrap().to_string(), "203.0.113.9:5080");
}

#[test]
fn at_the_end_the_binding_is_taken_away() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut line = Line::new(transport);
        let first = registering(&mut line);
        line.hear(&ok(&first, 600));
        line.act(|core, now| core.shutdown(now));
        let last = line.only();
        assert_eq!(last.headers.get(Name::EXPIRES), Some("0"));
        assert_eq!(last.contact().unwrap().unwrap().params.get("expires"), Some("0"));
        assert!(!line.core.is_at_rest());
        line.hear(&reply(&last, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
        let last = line.only();
        assert!(last.headers.has(Name::AUTHORIZATION) && last.headers.get(Name::EXPIRES) == Some("0"));
        line.hear(&reply(&last, 200, &[]));
        assert_eq!(standing(&mut line).0, Standing::Unregistered);
        assert!(line.core.is_at_rest());
        line.pass(Duration::from_secs(3_600));
        assert!(line.spoke().is_empty());
    }
}

#[test]
fn whoever_was_never_registered_says_no_farewell() {
    let mut line = Line::new(Transport::Udp);
    line.is_lost = true;
    line.act(|core, now| core.register(now, account()));
    line.act(|core, now| core.unregister(now));
    assert!(line.spoke().is_empty() && line.core.is_at_rest());
    line.pass(Duration::from_secs(3_600));
    assert!(line.spoke().is_empty());
}

#[test]
fn calls_from_the_registrar_are_served_and_speak_what_the_trunk_speaks() {
    let mut line = Line::new(Transport::Udp);
    line.flow.remote = "203.0.113.7:5080".parse().unwrap();
    line.flow.local = "192.0.2.1:5060".parse().unwrap();
    line.hear(&invite(SDP));
    assert_eq!(line.spoke(), ["403 INVITE"], "a stranger");
    let account = Account { codecs: Some([&PCMA][..].into()), ..account() };
    line.act(|core, now| core.register(now, account));
    let register = line.only();
    line.hear(&ok(&register, 600));
    line.events();
    line.hear(&invite(&SDP.replace("RTP/AVP 0 ", "RTP/AVP 0 8 ")).replace("z9hG4bKinvite", "z9hG4bKsecond"));
    let [Event::Invitation { call, .. }] = line.events()[..] else { panic!("it is served") };
    let session = line.act(|core, now| core.answer(now, call, crate::line::rtp())).unwrap().unwrap();
    assert_eq!(session.codec.name, "PCMA");
    // Its address is another one now, and whoever has the old one is a stranger again.
    line.sent();
    line.flow.remote = "203.0.113.8:5080".parse().unwrap();
    line.pass(Duration::from_secs(600));
    line.sent();
    line.hear(&invite(SDP).replace("z9hG4bKinvite", "z9hG4bKthird").replace("call1", "call3"));
    assert_ne!(line.sent().iter().map(brief).collect::<Vec<_>>(), ["403 INVITE"]);
    line.flow.remote = "203.0.113.7:5080".parse().unwrap();
    line.hear(&invite(SDP).replace("z9hG4bKinvite", "z9hG4bKfourth").replace("call1", "call4"));
    assert_eq!(line.spoke(), ["403 INVITE"]);
}

#[test]
fn what_a_registrar_may_say_wrongly_does_no_harm() {
    let odd: &[(u16, &[(Name, &str)])] = &[
        (200, &[(Name::EXPIRES, "99999999999999999999")]),
        (200, &[(Name::CONTACT, "*"), (Name::EXPIRES, "-5")]),
        (200, &[(Name::CONTACT, "<sip:201@127.0.0.1:5060>;expires=0")]),
        (401, &[]),
        (407, &[(Name::PROXY_AUTHENTICATE, "Digest realm=\"")]),
        (423, &[(Name::MIN_EXPIRES, "soon")]),
        (301, &[(Name::CONTACT, "<sip:elsewhere>")]),
        (503, &[(Name::RETRY_AFTER, "99999999999999999999999")]),
    ];
    for (code, lines) in odd {
        let mut line = Line::new(Transport::Udp);
        let request = registering(&mut line);
        line.hear(&reply(&request, *code, lines));
        assert!(line.spoke().is_empty(), "{code} {lines:?}");
        line.pass(Duration::from_secs(8 * 86_400));
        assert!(!line.spoke().is_empty(), "{code} {lines:?}: it is tried again");
        line.hear(&response(&request, 200, "", ""));
    }
}

#[test]
fn a_contact_that_the_answer_shows_to_be_another_is_corrected_at_once_and_once() {
    let mut line = Line::with(Transport::Udp, |config| config.trusted = vec!["198.51.100.0/24".parse().unwrap()]);
    (line.flow.local, line.flow.remote) = ("10.0.0.5:5060".parse().unwrap(), "198.51.100.7:5060".parse().unwrap());
    let first = registering(&mut line);
    let seen = |request: &Message, port: u16| {
        ok(request, 600).replacen(";rport", &format!(";rport={port};received=203.0.113.9"), 1)
    };
    let contact = |request: &Message| request.contact().unwrap().unwrap().uri.to_string();
    assert_eq!(contact(&first), "sip:201@10.0.0.5:5060");
    line.hear(&seen(&first, 40001));
    let second = line.only();
    assert_eq!((contact(&second).as_str(), number(&second)), ("sip:201@203.0.113.9:40001", number(&first) + 1));
    // A NAT that gives another port each time is no reason to register for ever.
    line.hear(&seen(&second, 40002));
    assert!(line.sent().is_empty());
    let third = loop {
        line.pass(Duration::from_millis(400));
        if let Some(third) = line.sent().into_iter().next() {
            break third;
        }
    };
    assert_eq!(contact(&third), "sip:201@203.0.113.9:40002");
    line.hear(&seen(&third, 40002));
    assert!(line.sent().is_empty(), "it is right");
}

#[test]
fn a_proxy_stands_between_and_the_password_has_another_name() {
    let mut line = Line::new(Transport::Udp);
    let credentials = Credentials { username: "account-4711".to_owned(), ..account().credentials };
    let proxy = Some("sip:sbc.carrier.example;lr".parse().unwrap());
    line.finds = false;
    line.act(|core, now| core.register(now, Account { credentials, proxy, ..account() }));
    assert_eq!(line.sought[0].1.to_string(), "sip:sbc.carrier.example;lr");
    line.finds = true;
    line.act(|_, _| ());
    let register = line.only();
    line.events();
    assert_eq!(register.uri().unwrap().to_string(), "sip:carrier.example:5080");
    assert_eq!(register.headers.get_all(Name::ROUTE).collect::<Vec<_>>(), ["<sip:sbc.carrier.example;lr>"]);
    line.hear(&reply(&register, 401, &[(Name::WWW_AUTHENTICATE, MD5)]));
    let again = line.only();
    assert_eq!(again.from().unwrap().uri.to_string(), "sip:201@carrier.example");
    let authorization = again.headers.get(Name::AUTHORIZATION).unwrap();
    assert!(authorization.starts_with("Digest username=\"account-4711\", "), "{authorization}");
    assert_eq!(again.headers.get_all(Name::ROUTE).count(), 1);
}

#[test]
fn the_registrar_names_the_proxies_that_calls_go_by() {
    let mut line = Line::new(Transport::Udp);
    let register = registering(&mut line);
    let routes =
        "Service-Route: <sip:orig@scscf.example;lr>, <sip:strict.example>\r\nService-Route: <sip:[::1];lr>\r\n";
    line.hear(&response(&register, 200, "", "").replacen("Call-ID", &format!("{routes}Call-ID"), 1));
    let named = states(&mut line).pop().unwrap().service_route;
    let named: Vec<_> = named.iter().map(ToString::to_string).collect();
    assert_eq!(named, ["sip:orig@scscf.example;lr", "sip:[::1];lr"], "what has no lr is none (RFC 3608 section 5)");
}
