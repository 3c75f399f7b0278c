//! What must hold for any bytes whatever: nothing panics, and what can be read survives printing.

use std::{net::IpAddr, sync::LazyLock};

use milo_media::{CODECS, Tuning, srtp::Identity};
use milo_signaling::{
    Credentials, Keying, Srtp, Uri,
    offer_answer::{Local, answer, apply_answer, offer},
    sdp::Sdp,
    security::MediaSecurity,
    sip::{
        Host, Item, Message, Method, Name, StreamFramer,
        digest::Authorizer,
        parse,
        parse::{MAX_BODY, MAX_FIELDS, MAX_HEAD},
        screen, screen_error,
    },
};

/// Secured however the other side will.
static SECURITY: LazyLock<MediaSecurity> =
    LazyLock::new(|| MediaSecurity { srtp: Srtp::Optional(Keying::Sdes), identity: Identity::generate().ok() });

/// A datagram.
pub(crate) fn sip(bytes: &[u8]) {
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
