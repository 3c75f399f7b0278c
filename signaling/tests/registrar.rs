//! The registrar, and what somebody can make it do who has no account.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use crate::line::{Line, SDP, brief, from_callee, invite, response, to_tag, within};
use md5::{Digest, Md5};
use milo_signaling::{
    Algorithms, BanTerms, Credentials, RegistrarConfig, Terms, TextPace, Transport, User,
    sip::{
        Message, Name,
        core::{CoreConfig, Event},
        digest::Authorizer,
        parse,
    },
};

const HOME: &str = "203.0.113.5:5060";

fn line() -> Line {
    line_with(|_| {})
}

/// A line with a registrar, and what else is set.
fn line_with(set: impl FnOnce(&mut CoreConfig)) -> Line {
    let mut line = Line::with(Transport::Udp, |config| {
        set(config);
        config.registrar = Some(RegistrarConfig {
            realm: "milo".into(),
            users: vec![User::new("rina", "milo", "secret")],
            terms: Terms { least_s: 60, most_s: 3600 },
            algorithms: Algorithms { sha256: false, md5: true },
            text_pace: TextPace::default(),
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
        Event::Registered(account, all) => Some((account, all.len())),
        _ => None,
    });
    assert_eq!(now, Some(("rina".to_owned(), 1)));
}

/// What a REGISTER with these fields hears once it has proved who sends it.
fn answered(line: &mut Line, number: u32, fields: &str) -> Message {
    line.hear(&request("REGISTER", number, ";rport", fields));
    let challenge = line.only();
    assert!(brief(&challenge).starts_with("401"), "{}", brief(&challenge));
    line.hear(&request("REGISTER", number + 1, ";rport", &[fields, &answer(&challenge)].concat()));
    line.only()
}

#[test]
fn a_telephone_behind_a_proxy_is_registered_with_its_path_and_nobody_elsewhere_is_named_by_one() {
    let mut line = line();
    let by = |path: &str| format!("{CONTACT}Path: {path}\r\n");
    let ok =
        answered(&mut line, 1, &[by("<sip:203.0.113.5;lr>, <sip:10.0.0.7;lr>"), "Supported: path\r\n".into()].concat());
    assert_eq!(brief(&ok), "200 REGISTER");
    let copied: Vec<_> = ok.headers.get_all(Name::PATH).collect();
    assert_eq!(copied, ["<sip:203.0.113.5;lr>", "<sip:10.0.0.7;lr>"]);
    let known = |line: &mut Line| {
        let told = line.events().pop();
        let Some(Event::Registered(_, all)) = told else { panic!("{told:?}") };
        (all[0].flow.remote.to_string(), all[0].path.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let path = ["sip:203.0.113.5;lr", "sip:10.0.0.7;lr"].map(str::to_owned).to_vec();
    assert_eq!(known(&mut line), (HOME.to_owned(), path), "it is reached where the REGISTER came from");
    // Whom the proxy does not know of, that it is no telephone's wish, or that somebody else is named: all stays as it was.
    let unknown = answered(&mut line, 3, &by("<sip:203.0.113.5;lr>"));
    assert_eq!((brief(&unknown).as_str(), unknown.headers.get(Name::UNSUPPORTED)), ("420 REGISTER", Some("path")));
    let elsewhere = answered(&mut line, 5, &[by("<sip:198.51.100.7;lr>"), "Supported: path\r\n".into()].concat());
    assert_eq!(brief(&elsewhere), "403 REGISTER");
    assert!(line.events().is_empty());
    // It moves to where no proxy is.
    assert_eq!(brief(&answered(&mut line, 7, CONTACT)), "200 REGISTER");
    assert_eq!(known(&mut line).1, Vec::<String>::new());
}

#[test]
fn nobody_registers_for_somebody_else() {
    let mut line = Line::with(Transport::Udp, |config| {
        config.registrar = Some(RegistrarConfig {
            realm: "milo".into(),
            users: vec![User::new("rina", "milo", "secret"), User::new("lala", "milo", "hers")],
            terms: Terms { least_s: 60, most_s: 3600 },
            algorithms: Algorithms { sha256: false, md5: true },
            text_pace: TextPace::default(),
        });
    });
    line.flow.remote = HOME.parse().unwrap();
    line.hear(&request("REGISTER", 1, ";rport", CONTACT));
    let proved = request("REGISTER", 2, ";rport", &[CONTACT, &answer(&line.only())].concat());
    line.hear(&proved.replace("To: <sip:rina@milo>", "To: <sip:lala@milo>"));
    assert_eq!(line.spoke(), ["403 REGISTER"], "rina's password is not lala's");
    assert!(line.events().is_empty() && line.core.counters().bindings == 0);
}

#[test]
fn a_telephone_behind_a_nat_is_asked_whether_it_is_there_unless_its_proxy_does() {
    for (path, asked) in [("", true), ("Path: <sip:203.0.113.5;lr>\r\nSupported: path\r\n", false)] {
        let mut line = line_with(|config| config.keep_alive = Some(Duration::from_secs(30)));
        assert_eq!(brief(&answered(&mut line, 1, &format!("{CONTACT}{path}"))), "200 REGISTER");
        line.pass(Duration::from_secs(65));
        assert_eq!(line.spoke().contains(&"OPTIONS".to_owned()), asked, "{path}");
    }
}

/// How many times as much as this text its answer is, and how many challenges stand in it; nothing: there was none.
fn returned(line: &mut Line, text: &str) -> Option<(f64, usize)> {
    line.pass(Duration::from_secs(60));
    line.hear(text);
    let sent = line.sent();
    let challenge = sent.first()?;
    assert!(brief(challenge).starts_with("401") && sent.len() == 1, "{}", brief(challenge));
    let challenges = challenge.headers.get_all("WWW-Authenticate").count();
    Some((challenge.to_bytes().len() as f64 / text.len() as f64, challenges))
}

#[test]
fn a_forged_source_gets_little_more_than_was_sent() {
    let registrar = Some(RegistrarConfig {
        realm: "milo".into(),
        users: vec![User::new("rina", "milo", "secret")],
        terms: Terms { least_s: 60, most_s: 3600 },
        algorithms: Algorithms { sha256: true, md5: true },
        text_pace: TextPace::default(),
    });
    let mut line = Line::with(Transport::Udp, |config| config.registrar = registrar);
    line.flow.remote = HOME.parse().unwrap();
    let telephone = [
        CONTACT,
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, INFO, UPDATE, MESSAGE, PRACK, SUBSCRIBE\r\n",
        "Supported: path, outbound, gruu\r\n",
        "User-Agent: Telephone 3.14 (of a maker that says much of itself; build 2718281828, firmware 1.6.1)\r\n",
    ];
    let tiny = "REGISTER sip:m SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bKa\r\nMax-Forwards:9\r\nf:<sip:a@m>;tag=1\r\nt:<sip:a@m>\r\n\
                i:1\r\nCSeq:1 REGISTER\r\nl:0\r\n\r\n";
    // A telephone's: both challenges, in no more than it has sent. One that says little: one, in less than twice as much.
    let (times, challenges) = returned(&mut line, &request("REGISTER", 1, ";rport", &telephone.concat())).unwrap();
    assert!(challenges == 2 && times <= 1.0, "{times}");
    let (times, challenges) = returned(&mut line, &request("REGISTER", 2, ";rport", CONTACT)).unwrap();
    assert!(challenges == 1 && times < 2.0, "{times}");
    // One that is made to be small has none.
    assert_eq!(returned(&mut line, tiny), None);
    line.flow.transport = Transport::Tcp;
    let stream = returned(&mut line, &tiny.replace("/UDP", "/TCP"));
    assert_eq!(stream.map(|(_, challenges)| challenges), Some(2), "on a stream nobody's address is forged");
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
    // A MESSAGE has to prove who sends it, and so has an INVITE once more who sends it, and one from elsewhere is a stranger's.
    line.hear(&request("MESSAGE", 9, ";rport", ""));
    assert!(brief(&line.only()).starts_with("401"));
    line.hear(&invite(""));
    assert!(brief(&line.only()).starts_with("401"));
    line.flow.remote = "203.0.113.6:5060".parse().unwrap();
    line.hear(&invite("").replace("z9hG4bK", "z9hG4bKother"));
    assert!(brief(&line.only()).starts_with("403"));
}

#[test]
fn what_is_allowed_names_register_where_it_is_served() {
    let mut line = line();
    registers(&mut line);
    for method in ["OPTIONS", "SUBSCRIBE"] {
        line.hear(&request(method, 9, ";rport", ""));
        let allowed = line.only().tokens(Name::ALLOW).contains(&"REGISTER".to_owned());
        assert!(allowed, "{method}");
    }
    let mut line = Line::new(Transport::Udp);
    line.hear(&request("OPTIONS", 9, ";rport", ""));
    assert!(!line.only().tokens(Name::ALLOW).contains(&"REGISTER".to_owned()));
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

#[test]
fn a_telephone_whose_registration_lapses_during_its_call_can_hang_up() {
    let mut line = line();
    registers(&mut line);
    let first = invite(SDP).replace("<sip:rasoa@127.0.0.1>", "<sip:rina@milo>");
    line.hear(&first);
    let credentials = Credentials { username: "rina".into(), password: "secret".into(), realm: None };
    let mut authorizer = Authorizer::new(credentials);
    authorizer.challenged(&line.only(), "cnonce").unwrap();
    let mut again = parse(first.replace("CSeq: 1", "CSeq: 2").replace("bKinvite", "bKagain").as_bytes()).unwrap();
    authorizer.authorize(&mut again);
    line.hear(&String::from_utf8(again.to_bytes()).unwrap());
    let [Event::Invitation { call, .. }] = line.events()[..] else { panic!("it proves who it is") };
    line.act(|core, now| core.answer(now, call, crate::line::rtp())).unwrap();
    let ok = line.sent().pop().unwrap();
    let said = |method: &str, number, branch: &str| {
        within(&to_tag(&ok), method, number, branch, "").replace("<sip:rasoa@127.0.0.1>", "<sip:rina@milo>")
    };
    line.hear(&said("ACK", 2, "ack"));
    line.pass(Duration::from_secs(601));
    assert!(
        line.events().iter().any(|event| matches!(event, Event::Registered(_, all) if all.is_empty())),
        "it has lapsed"
    );
    line.sent();
    line.hear(&said("BYE", 3, "bye"));
    assert_eq!(line.spoke(), ["200 BYE"]);
    assert!(matches!(line.events()[..], [Event::Ended(..)]));
    line.hear(&said("OPTIONS", 4, "options"));
    assert_eq!(line.spoke(), ["403 OPTIONS"], "a stranger again");
}

#[test]
fn whoever_asks_to_be_asked_again_and_again_is_listed_and_is_forgiven_with_the_right_answer() {
    let terms = BanTerms {
        wrong_answers: 5,
        requests: 20,
        within: Duration::from_secs(600),
        length: Duration::from_secs(3_600),
    };
    let mut line = line_with(|config| config.bans = Some(terms));
    for number in 1..=19 {
        line.hear(&request("REGISTER", number, "", CONTACT));
    }
    line.sent();
    let now = line.now;
    assert!(line.core.bans(now).is_empty());
    line.hear(&request("REGISTER", 20, "", CONTACT));
    let bans = line.core.bans(now);
    assert!(bans.len() == 1 && !bans[0].proven, "{bans:?}");
    line.sent();
    line.pass(Duration::from_secs(60));
    registers(&mut line);
    let now = line.now;
    assert!(line.core.bans(now).is_empty());
}

#[test]
fn while_somebody_outside_is_on_the_line_a_guesser_is_not_read_and_their_goodbye_is() {
    let terms = BanTerms {
        wrong_answers: 1,
        requests: 50,
        within: Duration::from_secs(600),
        length: Duration::from_secs(3_600),
    };
    let mut line = line_with(|config| config.bans = Some(terms));
    line.hear(&request("REGISTER", 1, ";rport", CONTACT));
    let wrong = answer(&line.only()).replace("response=\"", "response=\"0");
    line.hear(&request("REGISTER", 2, ";rport", &[CONTACT, &wrong].concat()));
    line.sent();
    // Milo calls somebody at another address outside.
    line.flow.remote = "198.51.100.7:5060".parse().unwrap();
    let (_, placed) = line.calling();
    line.hear(&response(&placed, 200, "callee", SDP));
    line.events();
    line.sent();
    line.flow.remote = HOME.parse().unwrap();
    let before = line.core.counters();
    for _ in 0..10 {
        line.try_hear(b"OPTIONS this cannot be read SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.9;branch=z9hG4bKx\r\n\r\n");
    }
    let after = line.core.counters();
    assert_eq!((after.banned - before.banned, after.messages_in - before.messages_in), (10, 0), "dropped unread");
    // The BYE comes from their proxy.
    line.flow.remote = "198.51.100.250:5060".parse().unwrap();
    line.hear(&from_callee(&placed, "callee", "BYE", 1, ""));
    assert_eq!(line.spoke(), ["200 BYE"]);
}

#[test]
fn guesses_from_where_a_telephone_is_registered_are_not_judged_for_ever() {
    let mut line = line();
    registers(&mut line);
    let guess = |line: &mut Line, number: u32, right: bool| {
        // Questions are limited as well: time for the next one.
        line.pass(Duration::from_secs(1));
        line.hear(&request("REGISTER", number, ";rport", CONTACT));
        let challenge = line.sent().pop()?;
        let answer = answer(&challenge);
        let answer = if right { answer } else { answer.replace("response=\"", "response=\"0") };
        line.hear(&request("REGISTER", number + 1, ";rport", &[CONTACT, &answer].concat()));
        line.sent().pop().map(|said| brief(&said))
    };
    for n in 0..40 {
        guess(&mut line, 10 + 2 * n, false);
    }
    let judged = line.core.counters().wrong_answers;
    assert!((20..30).contains(&judged), "{judged} of 40 guesses are judged");
    let mut number = 200;
    while line.core.counters().wrong_answers == judged {
        guess(&mut line, number, false);
        number += 2;
    }
    assert_eq!(guess(&mut line, 400, true), None, "nor is the right one, for a while");
    line.pass(Duration::from_secs(20));
    assert_eq!(guess(&mut line, 500, true).as_deref(), Some("200 REGISTER"));
}

#[test]
fn an_account_that_is_gone_or_has_another_password_is_no_longer_registered() {
    for (users, stays) in [
        (vec![User::new("rina", "milo", "secret"), User::new("lala", "milo", "other")], true),
        (vec![User::new("rina", "milo", "changed")], false),
        (Vec::new(), false),
    ] {
        let mut line = line();
        registers(&mut line);
        line.act(|core, _| core.replace_accounts(users));
        assert_eq!(line.core.counters().bindings, usize::from(stays));
        assert_eq!(line.events().is_empty(), stays);
        line.hear(&request("REGISTER", 5, ";rport", CONTACT));
        let again = answer(&line.only());
        line.hear(&request("REGISTER", 6, ";rport", &[CONTACT, &again].concat()));
        assert_eq!(brief(&line.only()), if stays { "200 REGISTER" } else { "401 REGISTER" });
    }
}

#[test]
fn an_account_sends_texts_at_its_pace() {
    let mut line = Line::with(Transport::Udp, |config| {
        config.registrar = Some(RegistrarConfig {
            realm: "milo".into(),
            users: vec![User::new("rina", "milo", "secret")],
            terms: Terms { least_s: 60, most_s: 3600 },
            algorithms: Algorithms { sha256: false, md5: true },
            text_pace: TextPace { others: Some(2), ..TextPace::default() },
        });
    });
    line.flow.remote = HOME.parse().unwrap();
    registers(&mut line);
    let credentials = Credentials { username: "rina".into(), password: "secret".into(), realm: None };
    let mut authorizer = Authorizer::new(credentials);
    let mut number = 10;
    let mut says = |line: &mut Line| {
        number += 1;
        let text = request("MESSAGE", number, ";rport", "Content-Type: text/plain\r\n").replacen(
            "Call-ID: r",
            "Call-ID: m",
            1,
        );
        let mut text = parse(text.replace("Length: 0\r\n\r\n", "Length: 2\r\n\r\nhi").as_bytes()).unwrap();
        authorizer.authorize(&mut text);
        line.hear(&String::from_utf8(text.to_bytes()).unwrap());
        if let Some(asked) = line.sent().pop().filter(|asked| asked.status() == Some(401)) {
            authorizer.challenged(&asked, "cnonce").unwrap();
            None
        } else {
            line.events().into_iter().find_map(|event| match event {
                Event::Text(text) => Some(text.text),
                _ => None,
            })
        }
    };
    assert_eq!(says(&mut line), None, "who it is must be shown first");
    assert_eq!([says(&mut line), says(&mut line)], [Some("hi".to_owned()), Some("hi".to_owned())]);
    assert_eq!(says(&mut line), None);
    line.pass(Duration::from_secs(31));
    assert_eq!(says(&mut line), Some("hi".to_owned()));
}
