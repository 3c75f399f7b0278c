//! The test messages of RFC 4475 and RFC 5118, each with the outcome that the RFC gives it.
//!
//! Where an RFC leaves the choice between refusing and being liberal, the table holds what Milo chose and the comment
//! says so. Messages are read in memory; nothing is sent. `data/sip-torture.json` holds them byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;
use milo_signaling::{
    sdp::Sdp,
    sip::{HeaderError, Message, Name, NameAddr, Refusal, Uri, parse, screen, screen_error},
};

/// What a UAS makes of a message.
enum Outcome {
    /// It is read and passed on; each of these parts reads as given.
    Passes(&'static [(&'static str, &'static str)]),
    /// A request that is answered with this status.
    Answered(u16),
    /// It is dropped without an answer.
    Dropped,
}
use Outcome::{Answered, Dropped, Passes};

/// RFC 4475 section 3.1.1: valid messages.
const VALID: &[(&str, Outcome)] = &[
    (
        "4475/wsinv",
        Passes(&[
            ("method", "INVITE"),
            ("uri", "sip:vivekg@chair-dnrc.example.com;unknownparam"),
            ("to", "sip:vivekg@chair-dnrc.example.com tag=1918181833n"),
            ("from", "\"J Rosenberg \\\"\" sip:jdrosen@example.com tag=98asjd8"),
            ("max-forwards", "68"),
            ("cseq", "9 INVITE"),
            ("vias", "UDP 192.0.2.2 390skdjuw, TCP spindle.example.com z9hG4bK9ikj8, UDP 192.168.255.111 z9hG4bK30239"),
            ("Subject", ""),
            ("NewFangledHeader", "newfangled value continued newfangled value"),
            ("UnknownHeaderWithUnusualValue", ";;,,;;,;"),
            ("routes", "sip:services.example.com;lr;unknownwith=value;unknown-no-value"),
            ("contact", "\"Quoted string \"\"\" sip:jdrosen@example.com"),
            ("sdp", "audio 49217, video 3227"),
        ]),
    ),
    // 501 by RFC 3261 section 8.2.1 once it has been read; the parts are asserted in `unusual_characters_are_read`.
    ("4475/intmeth", Answered(501)),
    (
        "4475/esc01",
        Passes(&[
            ("uri.user", "sips:user@example.com"),
            ("uri.host", "example.net"),
            ("from.user", "I have spaces"),
            ("to.user", "user"),
            ("contact", "sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"),
        ]),
    ),
    ("4475/escnull", Passes(&[("from.user", "null-\0-null"), ("contact.user", "\0")])),
    // The escaped method is a method of its own and not REGISTER.
    ("4475/esc02", Answered(501)),
    ("4475/lwsdisp", Passes(&[("from", "\"caller\" sip:caller@example.com tag=323")])),
    (
        "4475/longreq",
        Passes(&[
            (
                "from.user",
                "amazinglylongcallernameamazinglylongcallernameamazinglylongcallernameamazinglylongcallernameamazinglylongcallername",
            ),
            ("uri.user", "user"),
            ("sdp", "audio 49217, video 3227"),
        ]),
    ),
    // One message a datagram: what follows the announced body is dropped.
    (
        "4475/dblreq",
        Passes(&[("method", "REGISTER"), ("call-id", "dblreq.0ha0isndaksdj99sdfafnl3lk233412"), ("sdp", "none")]),
    ),
    ("4475/semiuri", Passes(&[("uri.user", "user;par=u@example.net"), ("uri.host", "example.com")])),
    (
        "4475/transports",
        Passes(&[(
            "vias",
            "UDP t1.example.com z9hG4bKkdjuw, SCTP t2.example.com z9hG4bKklasjdhf, TLS t3.example.com z9hG4bK2980unddj, \
             UNKNOWN t4.example.com z9hG4bKasd0f3en, TCP t5.example.com z9hG4bK0a9idfnee",
        )]),
    ),
    ("4475/mpart01", Passes(&[("method", "MESSAGE"), ("uri.user", "kumiko"), ("body", "553 bytes")])),
    ("4475/unreason", Passes(&[("status", "200 = 2**3 * 5**2 но сто девяносто девять - простое")])),
    ("4475/noreason", Passes(&[("status", "100 ")])),
];

/// RFC 4475 section 3.1.2: invalid messages.
const INVALID: &[(&str, Outcome)] = &[
    ("4475/badinv01", Answered(400)),
    ("4475/clerr", Answered(400)),
    ("4475/ncl", Answered(400)),
    ("4475/scalar02", Answered(400)),
    ("4475/scalarlg", Dropped),
    ("4475/quotbal", Answered(400)),
    ("4475/ltgtruri", Answered(400)),
    ("4475/lwsruri", Answered(400)),
    // Guessing the start line would be allowed.
    ("4475/lwsstart", Answered(400)),
    ("4475/trws", Answered(400)),
    // Ignoring the header fields in the Request-URI would be allowed.
    ("4475/escruri", Answered(400)),
    // A date that nobody reads is nobody's fault: refusing is allowed, Milo is liberal.
    ("4475/baddate", Passes(&[("Date", "Fri, 01 Jan 2010 16:00:00 EST"), ("sdp", "audio 49217, video 3227")])),
    ("4475/regbadct", Answered(400)),
    // Guessing the address and the display name would be allowed.
    ("4475/badaspec", Answered(400)),
    ("4475/baddn", Answered(400)),
    ("4475/badvers", Answered(505)),
    // 400 and 501 are both right.
    ("4475/mismatch01", Answered(400)),
    ("4475/mismatch02", Answered(400)),
    ("4475/bigcode", Dropped),
];

/// RFC 4475 sections 3.2 to 3.4: transaction, application and RFC 2543 tests.
const SEMANTICS: &[(&str, Outcome)] = &[
    // The transaction layer must not match on a branch that is the cookie alone; the message itself is sound.
    ("4475/badbranch", Passes(&[("vias", "UDP 192.0.2.1 z9hG4bK")])),
    ("4475/insuf", Answered(400)),
    ("4475/unkscm", Answered(416)),
    ("4475/novelsc", Answered(416)),
    // What such addresses mean is the registrar's to say.
    (
        "4475/unksm2",
        Passes(&[
            ("to", "isbn:2983792873"),
            ("from", "http://www.example.com tag=3234233"),
            ("contact", "name:John_Smith"),
        ]),
    ),
    ("4475/bext01", Answered(420)),
    ("4475/invut", Answered(415)),
    ("4475/regaut01", Passes(&[("Authorization", "NoOneKnowsThisScheme opaque-data=here")])),
    ("4475/multi01", Answered(400)),
    ("4475/mcl01", Answered(400)),
    // A 200 that is not for us: two Via fields.
    ("4475/bcast", Dropped),
    // An endpoint takes what has no hop left.
    ("4475/zeromf", Passes(&[("max-forwards", "0")])),
    ("4475/cparam01", Passes(&[("contact", "sip:+19725552222@gw1.example.net"), ("contact.params", ";unknownparam")])),
    ("4475/cparam02", Passes(&[("contact", "sip:+19725552222@gw1.example.net;unknownparam"), ("contact.params", "")])),
    ("4475/regescrt", Passes(&[("contact", "sip:user@example.com?Route=%3Csip:sip.example.com%3E")])),
    ("4475/sdp01", Answered(406)),
    (
        "4475/inv2543",
        Passes(&[
            ("vias", "UDP iftgw.example.com -"),
            ("from", "sip:+13035551111@ift.client.example.net;user=phone"),
            ("to", "sip:+16505552222@ss1.example.net"),
            ("record-routes", "sip:UserB@example.com;maddr=ss1.example.com"),
            ("contact", "none"),
            ("max-forwards", "none"),
            ("sdp", "audio 49217"),
        ]),
    ),
];

/// RFC 5118 section 4.
const IPV6: &[(&str, Outcome)] = &[
    (
        "5118/ipv6-good",
        Passes(&[
            ("uri.host", "[2001:db8::10]"),
            ("vias", "UDP [2001:db8::9:1] z9hG4bKas3-111"),
            ("contact", "\"Caller\" sip:caller@[2001:db8::1]"),
        ]),
    ),
    ("5118/ipv6-bad", Answered(400)),
    ("5118/port-ambiguous", Passes(&[("uri.host", "[2001:db8::10:5070]"), ("uri.port", "none")])),
    ("5118/port-unambiguous", Passes(&[("uri.host", "[2001:db8::10]"), ("uri.port", "5070")])),
    ("5118/via-received-param-no-delim", Passes(&[("received", "2001:db8::9:255")])),
    ("5118/via-received-param-with-delim", Passes(&[("received", "2001:db8::9:255")])),
    ("5118/ipv6-in-sdp", Passes(&[("sdp", "audio 6000, video 6024"), ("sdp.address", "2001:db8::20")])),
    (
        "5118/mult-ip-in-header",
        Passes(&[(
            "vias",
            "UDP [2001:db8::9:1] z9hG4bKas3-111, UDP 192.0.2.1 z9hG4bKjhja8781hjuaij65144, \
             TCP [2001:db8::9:255] z9hG4bK451jj",
        )]),
    ),
    ("5118/mult-ip-in-sdp", Passes(&[("sdp", "audio 22334, video 6024"), ("sdp.address", "192.0.2.1")])),
    (
        "5118/ipv4-mapped-ipv6",
        Passes(&[
            ("vias", "UDP [::ffff:192.0.2.10] z9hG4bKbh19, UDP [::ffff:192.0.2.2] z9hG4bKas3-111"),
            ("sdp.address", "192.0.2.2"),
        ]),
    ),
    // A third colon comes from the faulty grammar of RFC 3261: generated never, read all the same.
    (
        "5118/ipv6-bug-abnf-3-colons",
        Passes(&[("uri.host", "[2001:db8:::192.0.2.1]"), ("uri.ip", "2001:db8::c000:201")]),
    ),
    (
        "5118/ipv6-correct-abnf-2-colons",
        Passes(&[("uri.host", "[2001:db8::192.0.2.1]"), ("uri.ip", "2001:db8::c000:201")]),
    ),
];

fn bytes_of(name: &str) -> Vec<u8> {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/sip-torture.json")).unwrap();
    let text = all[name]["b64"].as_str().unwrap_or_else(|| panic!("no message is called {name}"));
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// One part of a message as text.
fn part(message: &Message, what: &str) -> String {
    fn or_none<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(|| "none".to_owned(), |value| value.to_string())
    }
    fn address(address: &NameAddr) -> String {
        let display = address.display.as_ref().map(|name| format!("\"{name}\" ")).unwrap_or_default();
        let tag = address.tag().map(|tag| format!(" tag={tag}")).unwrap_or_default();
        format!("{display}{}{tag}", address.uri)
    }
    let uris = |list: Result<Vec<NameAddr>, HeaderError>| {
        list.unwrap().iter().map(|entry| entry.uri.to_string()).collect::<Vec<_>>().join(", ")
    };
    let sdp = || message.sdp().map(|body| Sdp::parse(body).unwrap());
    match what {
        "method" => or_none(message.method()),
        "status" => String::from_utf8(message.to_bytes()).unwrap().lines().next().unwrap().replace("SIP/2.0 ", ""),
        "uri" => or_none(message.uri()),
        "uri.user" => or_none(message.uri().map(Uri::user)),
        "uri.host" => or_none(message.uri().and_then(Uri::host)),
        "uri.ip" => or_none(message.uri().and_then(Uri::host).and_then(|host| host.ip())),
        "uri.port" => or_none(message.uri().and_then(Uri::port)),
        "from" => address(&message.from().unwrap()),
        "from.user" => message.from().unwrap().uri.user(),
        "to" => address(&message.to().unwrap()),
        "to.user" => message.to().unwrap().uri.user(),
        "call-id" => message.call_id().unwrap().to_owned(),
        "cseq" => message.cseq().map(|(number, method)| format!("{number} {method}")).unwrap(),
        "max-forwards" => or_none(message.max_forwards().unwrap()),
        "contact" => message.contact().unwrap().map_or("none".to_owned(), |contact| address(&contact)),
        "contact.user" => message.contact().unwrap().unwrap().uri.user(),
        "contact.params" => message.contact().unwrap().unwrap().params.to_string(),
        "routes" => uris(message.routes()),
        "record-routes" => uris(message.record_routes()),
        "received" => or_none(message.top_via().unwrap().received()),
        "vias" => {
            let hops = message.via().unwrap();
            let hops = hops.iter().map(|via| format!("{} {} {}", via.transport, via.host, via.branch().unwrap_or("-")));
            hops.collect::<Vec<_>>().join(", ")
        }
        "body" => format!("{} bytes", message.content_length()),
        "sdp" => sdp().map_or("none".to_owned(), |sdp| {
            sdp.media.iter().map(|media| format!("{} {}", media.kind, media.port)).collect::<Vec<_>>().join(", ")
        }),
        "sdp.address" => {
            let sdp = sdp().unwrap();
            or_none(sdp.media[0].connection.as_ref().or(sdp.connection.as_ref()).and_then(|c| c.ip()))
        }
        header => or_none(message.headers.get(header)),
    }
}

fn check(cases: &[(&str, Outcome)]) {
    for (name, outcome) in cases {
        let read = parse(&bytes_of(name));
        let refusal = match &read {
            Ok(message) => screen(message).err(),
            Err(error) => Some(screen_error(error)),
        };
        match (outcome, refusal) {
            (Passes(parts), None) => {
                for (what, expected) in *parts {
                    assert_eq!(part(read.as_ref().unwrap(), what), *expected, "{name}: {what}");
                }
            }
            (Answered(code), Some(Refusal::Answer(rejection))) => assert_eq!(rejection.code, *code, "{name}"),
            (Dropped, Some(Refusal::Silence(_))) => {}
            (_, refusal) => panic!("{name}: {refusal:?}, {:?}", read.err().map(|error| error.kind)),
        }
    }
}

#[test]
fn rfc_4475_valid_messages() {
    check(VALID);
}

#[test]
fn rfc_4475_invalid_messages() {
    check(INVALID);
}

#[test]
fn rfc_4475_transactions_applications_and_rfc_2543() {
    check(SEMANTICS);
}

#[test]
fn rfc_5118_ipv6() {
    check(IPV6);
}

#[test]
fn every_message_stands_in_a_table() {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/sip-torture.json")).unwrap();
    let mut listed: Vec<_> = [VALID, INVALID, SEMANTICS, IPV6].into_iter().flatten().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    let mut given: Vec<_> = all.as_object().unwrap().keys().map(String::as_str).collect();
    given.sort_unstable();
    assert_eq!(listed, given);
    assert_eq!(given.len(), 61);
}

#[test]
fn unusual_characters_are_read() {
    let message = parse(&bytes_of("4475/intmeth")).unwrap();
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    assert_eq!(part(&message, "method"), method);
    assert_eq!(part(&message, "cseq"), format!("139122385 {method}"));
    assert_eq!(part(&message, "uri.user"), "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    assert_eq!(part(&message, "uri.host"), "example.com");
    assert_eq!(message.to().unwrap().display.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    let from = message.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("token1~` token2'+_ token3*%!.-"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(from.params.get("fromParam''~+*_!.-%"), Some("\"работающий\""));
    assert_eq!(message.headers.get("extensionHeader-!.%*+_`'~"), Some("\u{feff}大停電"));
    assert_eq!(message.headers.get(Name::CALL_ID), Some("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"));
}

#[test]
fn messages_survive_printing() {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/sip-torture.json")).unwrap();
    let mut printed = 0;
    for name in all.as_object().unwrap().keys() {
        if let Ok(message) = parse(&bytes_of(name)) {
            assert_eq!(parse(&message.to_bytes()), Ok(message), "{name}");
            printed += 1;
        }
    }
    assert!(printed > 40, "{printed}");
}
