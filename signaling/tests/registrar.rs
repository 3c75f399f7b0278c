//! The registrar, and what somebody can make it do who has no account.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, brief, invite};
use md5::{Digest, Md5};
use milo_signaling::{
    Algorithms, RegistrarConfig, Terms, Transport, User,
    sip::{Message, core::Event},
};

const HOME: &str = "203.0.113.5:5060";

fn line() -> Line {
    let mut line = Line::with(Transport::Udp, |config| {
        config.registrar = Some(RegistrarConfig {
            realm: "milo".into(),
            users: vec![User::new("rina", "milo", "secret")],
            terms: Terms { least_s: 60, most_s: 3600 },
            algorithms: Algorithms { sha256: false, md5: true },
        });
    });
    line.flow.remote = HOME.parse().unwrap();
    line
}

/// A request of this method, with these parameters of Via and these fields besides.
pub(crate) fn request(method: &str, number: u32, via: &str, fields: &str) -> String {
    format!(
        "{method} sip:milo SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.9:5060;branch=z9hG4bK{method}{number}{via}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:rina@milo>;tag=1\r\nTo: <sip:rina@milo>\r\nCall-ID: r\r\nCSeq: {number} {method}\r\n\
         {fields}Content-Length: 0\r\n\r\n"
    )
}

fn md5(text: String) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What answers this 401.
pub(crate) fn answer(challenge: &Message) -> String {
    let field = challenge.headers.get("WWW-Authenticate").unwrap();
    let nonce = field.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let (who, what) = (md5("rina:milo:secret".into()), md5("REGISTER:sip:milo".into()));
    let response = md5(format!("{who}:{nonce}:00000001:c:auth:{what}"));
    format!(
        "Authorization: Digest username=\"rina\", realm=\"milo\", nonce=\"{nonce}\", uri=\"sip:milo\", qop=auth, nc=00000001, \
         cnonce=\"c\", response=\"{response}\", algorithm=MD5\r\n"
    )
}

const CONTACT: &str = "Contact: <sip:rina@192.168.1.9:5060>\r\nExpires: 600\r\n";

fn registers(line: &mut Line) {
    line.hear(&request("REGISTER", 1, ";rport", CONTACT));
    let challenge = line.only();
    assert!(brief(&challenge).starts_with("401"), "{}", brief(&challenge));
    line.hear(&request("REGISTER", 2, ";rport", &[CONTACT, &answer(&challenge)].concat()));
    assert!(brief(&line.only()).starts_with("200"));
    let now = line.events().into_iter().find_map(|event| match event {
        Event::Registered(all) => Some(all.len()),
        _ => None,
    });
    assert_eq!(now, Some(1));
}

#[test]
fn a_strangers_challenge_goes_to_where_its_request_came_from() {
    for via in ["", ";rport", ";maddr=198.51.100.7", ";rport;maddr=198.51.100.7"] {
        let mut line = line();
        line.hear(&request("REGISTER", 1, via, ""));
        assert_eq!(line.went(), [HOME.parse::<std::net::SocketAddr>().unwrap()], "{via}");
    }
}

#[test]
fn what_is_refused_before_anybody_is_asked_is_answered_a_few_times() {
    for fields in ["Require: magic\r\n", "Proxy-Require: magic\r\nRequire: magic\r\n"] {
        let mut line = line();
        for number in 1..=200 {
            line.hear(&request("REGISTER", number, "", fields));
        }
        let answers = line.sent().len();
        assert!((1..20).contains(&answers), "{answers} answers to 200 requests");
    }
}

#[test]
fn a_telephone_is_answered_whatever_it_asks_and_serves_nobody_by_it() {
    let mut line = line();
    registers(&mut line);
    for (method, code) in [("OPTIONS", "200"), ("SUBSCRIBE", "405"), ("PUBLISH", "405")] {
        line.hear(&request(method, 9, ";rport", ""));
        let answer = line.only();
        assert!(brief(&answer).starts_with(code), "{method}: {}", brief(&answer));
    }
    // An INVITE has to prove once more who sends it, and one from elsewhere is a stranger's.
    line.hear(&invite(""));
    assert!(brief(&line.only()).starts_with("401"));
    line.flow.remote = "203.0.113.6:5060".parse().unwrap();
    line.hear(&invite("").replace("z9hG4bK", "z9hG4bKother"));
    assert!(brief(&line.only()).starts_with("403"));
}

#[test]
fn a_flood_of_others_does_not_keep_a_telephone_from_registering_anew() {
    let mut line = line();
    registers(&mut line);
    line.pass(Duration::from_secs(10));
    for network in 0..250 {
        line.flow.remote = format!("198.51.{network}.9:5060").parse().unwrap();
        line.hear(&request("REGISTER", 1, "", ""));
    }
    let flooded = line.sent().len();
    assert!(flooded < 250, "{flooded} are answered");
    line.flow.remote = HOME.parse().unwrap();
    line.hear(&request("REGISTER", 3, ";rport", CONTACT));
    assert!(brief(&line.only()).starts_with("401"), "it is asked all the same");
}

#[test]
fn a_wrong_answer_that_is_sent_again_is_no_other_guess() {
    let mut line = line();
    line.hear(&request("REGISTER", 1, ";rport", CONTACT));
    let wrong = answer(&line.only()).replace("response=\"", "response=\"0");
    for _ in 0..3 {
        line.hear(&request("REGISTER", 2, ";rport", &[CONTACT, &wrong].concat()));
        assert!(brief(&line.only()).starts_with("401"));
    }
    assert_eq!(line.core.counters().wrong_answers, 1);
    line.hear(&request("REGISTER", 3, ";rport", &[CONTACT, &wrong.replace("cnonce=\"c", "cnonce=\"d")].concat()));
    assert_eq!(line.core.counters().wrong_answers, 2);
}
