//! What must hold for any bytes whatever: nothing panics, and what can be read survives printing.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
    time::Instant,
};

use milo_media::{CODECS, Tuning, srtp::Identity};
use milo_signaling::{
    Algorithms, Credentials, Keying, Referral, RegistrarConfig, Replaces, SessionTimers, Srtp, Terms, TextPace,
    Transport, Uri, User,
    offer_answer::{Local, answer, apply_answer, offer},
    sdp::Sdp,
    security::MediaSecurity,
    sip::{
        Host, Item, Message, Method, Name, NameAddr, StreamFramer,
        core::{Core, CoreConfig, Event, Output},
        digest::Authorizer,
        flow::Flow,
        parse,
        parse::{MAX_BODY, MAX_FIELDS, MAX_HEAD},
        screen, screen_error,
    },
};

/// Secured however the other side will.
static SECURITY: LazyLock<MediaSecurity> =
    LazyLock::new(|| MediaSecurity { srtp: Srtp::Optional(Keying::Sdes), identity: Identity::generate().ok() });

/// A datagram, read and heard.
pub(crate) fn sip(bytes: &[u8]) {
    let (mut core, flow, now) = core();
    core.datagram(now, flow, bytes);
    said(&mut core);
    match parse(bytes) {
        Ok(message) => survives(&message),
        Err(error) => {
            screen_error(&error);
            if let Some(head) = error.head {
                Message::response_to(&head, 400, "").to_bytes();
            }
        }
    }
}

/// A stream, cut at a place that its bytes choose: framed alike whole and cut, and holding little.
pub(crate) fn stream(bytes: &[u8]) {
    let cut = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (bytes.len() + 1);
    let mut items = [Vec::new(), Vec::new()];
    for (items, cut) in items.iter_mut().zip([bytes.len(), cut]) {
        let mut framer = StreamFramer::new();
        for segment in [&bytes[..cut], &bytes[cut..]] {
            framer.push(segment);
            while let Ok(Some(item)) = framer.next() {
                items.push(item);
            }
        }
        assert!(framer.held() <= MAX_HEAD + MAX_BODY);
    }
    let [whole, in_two] = items;
    assert_eq!(whole, in_two);
    for item in whole {
        match item {
            Item::Message(message) => survives(&message),
            Item::Bad(error) => drop(screen_error(&error)),
            Item::KeepAlive => {}
        }
    }
}

/// A challenge: what is answered can be sent, and is one header field.
pub(crate) fn challenge(bytes: &[u8]) {
    let credentials = Credentials { username: "201".to_owned(), password: "secret".to_owned(), realm: None };
    let mut request =
        Message::request(Method::Register, Uri::sip(None, Host::from(IpAddr::from([192, 0, 2, 1])), None));
    let mut response = Message::response_to(&request, 401, "");
    response.headers.push(Name::WWW_AUTHENTICATE, String::from_utf8_lossy(bytes));
    // What comes from the wire has been read before.
    let Ok(response) = parse(&response.to_bytes()) else { return };
    let mut authorizer = Authorizer::new(credentials);
    if authorizer.challenged(&response, "cnonce").is_ok() {
        authorizer.authorize(&mut request);
        let sent = parse(&request.to_bytes()).map(|sent| sent.headers.get_all(Name::AUTHORIZATION).count());
        assert_eq!(sent.ok(), Some(request.headers.get_all(Name::AUTHORIZATION).count()));
    }
}

/// What answers a challenge of ours, in a REGISTER; `@nonce@` stands for the challenge's. Nobody comes in who does not know the
/// password, and whatever is said to it can be read.
pub(crate) fn authorization(bytes: &[u8]) {
    let (mut core, flow, now) = core();
    let register = |number: u32, fields: &[u8]| {
        let head = format!(
            "REGISTER sip:milo SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5080;rport;branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:rina@milo>;tag=1\r\nTo: <sip:rina@milo>\r\nCall-ID: r\r\nCSeq: {number} REGISTER\r\n\
             Contact: <sip:rina@127.0.0.1:5080>\r\nExpires: 600\r\nContent-Length: 0\r\n"
        );
        [head.as_bytes(), fields, b"\r\n\r\n"].concat()
    };
    core.datagram(now, flow, &register(1, b"Subject: who is it"));
    let asked = said(&mut core).pop().expect("whoever registers is asked");
    let challenge = asked.headers.get(Name::WWW_AUTHENTICATE).expect("by a challenge");
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("with a nonce");
    let mut fields = b"Authorization: ".to_vec();
    let mut rest = bytes;
    while let Some(at) = rest.windows(7).position(|window| window == b"@nonce@") {
        fields.extend_from_slice(&rest[..at]);
        fields.extend_from_slice(nonce.as_bytes());
        rest = &rest[at + 7..];
    }
    fields.extend_from_slice(rest);
    core.datagram(now, flow, &register(2, &fields));
    for answer in said(&mut core) {
        assert!(answer.status().is_some_and(|code| code >= 400), "{}", String::from_utf8_lossy(bytes));
    }
}

/// A telephone that everybody on this machine may talk to, with one account.
fn core() -> (Core, Flow, Instant) {
    #[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
    let now = Instant::now();
    let algorithms = Algorithms { sha256: true, md5: true };
    let registrar = RegistrarConfig {
        realm: "milo".to_owned(),
        users: vec![User::new("rina", "milo", "secret")],
        terms: Terms { least_s: 60, most_s: 3600 },
        algorithms,
        text_pace: TextPace::default(),
    };
    let config = CoreConfig {
        bans: None,
        keep_alive: None,
        registrar: Some(registrar),
        logins: Vec::new(),
        algorithms,
        urgent: Vec::new(),
        public_address: None,
        media_address: Ipv4Addr::LOCALHOST.into(),
        trusted: Vec::new(),
        max_calls: 10,
        others: std::sync::Arc::default(),
        withheld: std::sync::Arc::default(),
        user_agent: "Milo".to_owned(),
        codecs: CODECS.into(),
        peer_codecs: Vec::new(),
        tuning: Tuning::default(),
        security: MediaSecurity::OFF,
        session_timers: SessionTimers::default(),
        seed: [7; 32],
    };
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let flow = Flow { transport: Transport::Udp, local: at(5060), remote: at(5080), connection: None };
    (Core::new(now, config), flow, now)
}

/// What it says, which can be read; and nobody is registered by what it heard.
fn said(core: &mut Core) -> Vec<Message> {
    let mut said = Vec::new();
    while let Some(output) = core.poll() {
        match output {
            Output::Send(packet) => match parse(&packet.bytes) {
                Ok(message) => said.push(message),
                // What comes near the limits may leave beyond them.
                Err(error) => {
                    assert!(packet.bytes.len() > 1200, "{error:?}: {}", String::from_utf8_lossy(&packet.bytes))
                }
            },
            Output::Event(Event::Registered(account, _)) => panic!("{account} is registered"),
            _ => {}
        }
    }
    said
}

/// A session description, offered and as an answer.
pub(crate) fn sdp(bytes: &[u8]) {
    let Ok(theirs) = Sdp::parse(bytes) else { return };
    let printed = theirs.to_string();
    assert_eq!(Sdp::parse(printed.as_bytes()).as_ref(), Ok(&theirs), "{printed}");
    let rtp = "192.0.2.1:10000".parse().expect("a socket address");
    let security = &SECURITY;
    let local = Local {
        rtp,
        session_id: 1,
        codecs: CODECS,
        tuning: Tuning::default(),
        previous: None,
        security,
        on_hold: false,
    };
    if let Ok((ours, session)) = answer(&theirs, &local) {
        assert_eq!(Sdp::parse(ours.to_string().as_bytes()).as_ref(), Ok(&ours));
        assert_eq!(ours.media.len(), theirs.media.len());
        assert!(session.remote.port() != 0 && (10..=60).contains(&session.ptime_ms));
        // Whoever got this answer agrees with us on codec and payload types.
        let mirrored = apply_answer(&theirs, &ours, &local).expect("our own answer fits");
        assert_eq!((mirrored.codec, mirrored.payload_type), (session.codec, session.payload_type));
    }
    drop(apply_answer(&offer(&local), &theirs, &local));
}

/// A message that was read: every view of it holds, and it reads the same after printing.
fn survives(message: &Message) {
    drop(screen(message));
    drop((message.via(), message.top_via(), message.from(), message.to(), message.call_id().is_ok()));
    drop((message.cseq(), message.contact(), message.max_forwards(), message.routes(), message.record_routes()));
    drop((message.require(), message.tokens(Name::SUPPORTED)));
    if let Some(Ok(replaces)) = message.headers.get(Name::REPLACES).map(str::parse::<Replaces>) {
        assert_eq!(replaces.to_string().parse(), Ok(replaces));
    }
    if let Ok(Referral { to, replaces: Some(replaces), .. }) = Referral::read(message) {
        // A transfer that is passed on names the same dialog.
        let on = NameAddr::new(replaces.in_uri(to)).to_string();
        let mut refer = Message::request(Method::Refer, Uri::sip(None, Host::from(IpAddr::from([192, 0, 2, 1])), None));
        refer.headers.push(Name::REFER_TO, on.as_str());
        assert_eq!(Referral::read(&refer).ok().and_then(|again| again.replaces), Some(replaces), "{on}");
    }
    for via in message.via().unwrap_or_default() {
        assert_eq!(via.to_string().parse(), Ok(via));
    }
    for address in [message.from(), message.to()].into_iter().flatten() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Some(uri) = message.uri() {
        assert_eq!(uri.to_string().parse().as_ref(), Ok(uri));
        assert!(uri.is_equivalent(uri), "{uri}");
    }
    if let Some(body) = message.sdp() {
        sdp(body);
    }
    // Printing writes full names and one value a line, so a head near the limits may outgrow them.
    let printed = message.to_bytes();
    if printed.len() - message.body.len() <= MAX_HEAD && message.headers.len() <= MAX_FIELDS {
        assert_eq!(parse(&printed).as_ref(), Ok(message), "{}", String::from_utf8_lossy(&printed));
    }
    if message.is_request() {
        let mut response = Message::response_to(message, 200, "");
        response.set_to_tag("milo");
        let printed = response.to_bytes();
        if printed.len() <= MAX_HEAD {
            assert_eq!(parse(&printed), Ok(response), "{}", String::from_utf8_lossy(&printed));
        }
    }
}
