//! A TCP connection whose segments are cut anywhere, and peers that frame wrongly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use milo_signaling::sip::{
    FramingError, Item, Message, ParseErrorKind, Refusal, StreamFramer, parse,
    parse::{MAX_BODY, MAX_HEAD},
    screen_error,
};

fn options(call_id: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:milo@[::1]:5060;transport=tcp SIP/2.0\r\nv: SIP/2.0/TCP [::1]:5070;branch=z9hG4bK{call_id}\r\n\
         f: <sip:a@[::1]>;tag=1\r\nt: <sip:milo@[::1]>\r\ni: {call_id}\r\nCSeq: 1 OPTIONS\r\nSubject: folded\r\n  here\r\n\
         c: text/plain\r\nl: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Every item until the framer waits.
fn drain(framer: &mut StreamFramer) -> Vec<Item> {
    std::iter::from_fn(|| framer.next().unwrap()).collect()
}

fn code(item: Option<Item>) -> u16 {
    let Some(Item::Bad(error)) = item else { panic!("{item:?} is not bad") };
    match screen_error(&error) {
        Refusal::Answer(rejection) => rejection.code,
        Refusal::Silence(_) => 0,
    }
}

#[test]
fn segments_are_cut_anywhere() {
    let stream = format!(
        "\r\n{}\r\n\r\n{}{}\r\n",
        options("one", "line\r\n\r\nline\r\n\r\n"),
        options("two", ""),
        options("three", "x")
    );
    let read = |framer: &mut StreamFramer, bytes: &[u8]| {
        framer.push(bytes);
        drain(framer)
    };
    let whole = read(&mut StreamFramer::new(), stream.as_bytes());
    let ids: Vec<_> = whole
        .iter()
        .map(|item| match item {
            Item::Message(message) => message.call_id().unwrap(),
            Item::KeepAlive => "ping",
            Item::Bad(_) => "bad",
        })
        .collect();
    assert_eq!(ids, ["one", "ping", "two", "three"]);
    for cut in 0..=stream.len() {
        let (before, after) = stream.as_bytes().split_at(cut);
        let mut framer = StreamFramer::new();
        let mut items = read(&mut framer, before);
        items.extend(read(&mut framer, after));
        assert_eq!(items, whole, "cut at {cut}");
    }
    for size in [1, 2, 3, 7, 100] {
        let mut framer = StreamFramer::new();
        let items: Vec<_> = stream.as_bytes().chunks(size).flat_map(|piece| read(&mut framer, piece)).collect();
        assert_eq!(items, whole, "pieces of {size}");
    }
}

#[test]
fn a_double_line_end_is_a_keep_alive_and_a_single_one_is_nothing() {
    let mut framer = StreamFramer::new();
    framer.push(b"\r\n\r");
    assert_eq!(framer.next(), Ok(None));
    framer.push(b"\n");
    assert_eq!(framer.next(), Ok(Some(Item::KeepAlive)));
    framer.push(b"\r\n");
    assert_eq!(framer.next(), Ok(None));
    framer.push(options("id", "").as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Item::Message(_)))));
}

#[test]
fn without_content_length_the_peer_hears_400_and_the_stream_ends() {
    let mut framer = StreamFramer::new();
    framer.push(options("id", "").replace("l: 0\r\n", "").as_bytes());
    assert_eq!(code(framer.next().unwrap()), 400);
    assert_eq!(framer.next(), Err(FramingError));
    framer.push(options("id", "").as_bytes());
    assert_eq!(framer.next(), Err(FramingError));
}

#[test]
fn two_lengths_that_differ_end_the_stream() {
    let mut framer = StreamFramer::new();
    framer.push(options("id", "").replace("l: 0", "l: 0\r\nContent-Length: 5").as_bytes());
    assert_eq!(code(framer.next().unwrap()), 400);
    assert_eq!(framer.next(), Err(FramingError));
}

#[test]
fn a_malformed_message_of_known_length_costs_only_itself() {
    let mut framer = StreamFramer::new();
    framer.push(options("bad", "body").replace("CSeq: 1 OPTIONS", "CSeq 1 OPTIONS").as_bytes());
    framer.push(options("good", "").as_bytes());
    assert_eq!(code(framer.next().unwrap()), 400);
    let Ok(Some(Item::Message(good))) = framer.next() else { panic!("the next message is lost") };
    assert_eq!(good.call_id(), Ok("good"));
}

#[test]
fn heads_of_24_kb_pass_and_of_33_kb_do_not() {
    let long = |length: usize| options("id", "").replace("folded", &"x".repeat(length));
    let mut framer = StreamFramer::new();
    framer.push(long(24_000).as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Item::Message(_)))));
    framer.push(long(33_000).as_bytes());
    assert_eq!(code(framer.next().unwrap()), 513);
    assert_eq!(framer.next(), Err(FramingError));
}

#[test]
fn bodies_over_the_limit_are_refused_before_they_come() {
    let mut framer = StreamFramer::new();
    framer.push(options("id", "").replace("l: 0", &format!("l: {MAX_BODY}")).as_bytes());
    framer.push(&vec![b'x'; MAX_BODY]);
    let Ok(Some(Item::Message(message))) = framer.next() else { panic!("a body of the limit is lost") };
    assert_eq!(message.content_length(), MAX_BODY);
    framer.push(options("id", "").replace("l: 0", &format!("l: {}", MAX_BODY + 1)).as_bytes());
    assert_eq!(code(framer.next().unwrap()), 413);
    assert_eq!(framer.next(), Err(FramingError));
}

#[test]
fn a_head_that_never_ends_is_given_up() {
    let mut framer = StreamFramer::new();
    let mut pushed = 0;
    loop {
        framer.push(b"x: y\r\n");
        pushed += 6;
        match framer.next() {
            Ok(None) => assert!(pushed <= MAX_HEAD),
            Ok(Some(Item::Bad(error))) => {
                assert_eq!(screen_error(&error), Refusal::Silence("not a SIP request"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pushed <= MAX_HEAD + 6);
}

#[test]
fn what_is_no_sip_ends_the_stream_in_silence() {
    let mut framer = StreamFramer::new();
    framer.push(b"GET / HTTP/1.1\r\nHost: milo\r\n\r\n");
    assert_eq!(code(framer.next().unwrap()), 0);
    assert_eq!(framer.next(), Err(FramingError));
}

#[test]
fn datagrams_are_cut_to_content_length() {
    let read = |length: &str| parse(options("id", "12345").replace("l: 5", length).as_bytes());
    let body = |message: Message| String::from_utf8(message.body).unwrap();
    assert_eq!(read("l: 5").map(body).unwrap(), "12345");
    assert_eq!(read("l: 3").map(body).unwrap(), "123");
    assert_eq!(read("l: 5\r\nContent-Length: 5").map(body).unwrap(), "12345");
    assert_eq!(read("Subject: no length").map(body).unwrap(), "12345");
    let fault = |length| read(length).unwrap_err().kind;
    assert_eq!(fault("l: 6"), ParseErrorKind::BodyTooShort);
    assert_eq!(fault("l: +5"), ParseErrorKind::ContentLength);
    assert_eq!(fault("l: 5\r\nl: 4"), ParseErrorKind::ContentLength);
    assert_eq!(fault("l: 99999999999999999999999"), ParseErrorKind::ContentLength);
    assert_eq!(parse(b"\r\n\r\n").unwrap_err().kind, ParseErrorKind::Empty);
    let cut = options("id", "").replace("\r\n\r\n", "\r\n");
    assert_eq!(parse(cut.as_bytes()).unwrap_err().kind, ParseErrorKind::Unterminated);
}
