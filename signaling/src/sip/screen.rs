//! Which final response a request deserves before anybody looks at what it wants (RFC 3261 section 8.2), and when
//! silence is right: for malformed responses, for an ACK, and for a request whose Via names no way back.

use super::{
    body::SDP_TYPE,
    header::HeaderError,
    headers::Name,
    message::{Message, StartLine},
    method::Method,
    parse::{ParseError, ParseErrorKind},
    registrar::PATH,
    session_timer::TIMER,
    status::reason_phrase,
    uri::Uri,
};

/// The methods Milo serves, as its `Allow` says.
pub const METHODS: [Method; 11] = [
    Method::Invite,
    Method::Ack,
    Method::Bye,
    Method::Cancel,
    Method::Options,
    Method::Info,
    Method::Prack,
    Method::Update,
    Method::Refer,
    Method::Notify,
    Method::Message,
];

/// The option tags Milo understands, as its `Supported` says.
pub const EXTENSIONS: [&str; 4] = ["100rel", TIMER, "replaces", "norefersub"];

/// What to do with a message that must not reach a transaction user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Send this final response.
    Answer(Rejection),
    /// Drop it; the text says why, for the log and the counter.
    Silence(&'static str),
}

/// A final response in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The status code.
    pub code: u16,
    /// The reason phrase, which names the fault where one header field is at fault.
    pub reason: String,
    /// Header fields that this response must carry (`Allow`, `Unsupported`, `Accept`, …).
    pub headers: Vec<(Name, String)>,
}

impl Rejection {
    /// A rejection with the usual reason phrase.
    pub fn new(code: u16) -> Rejection {
        Rejection { code, reason: reason_phrase(code).to_owned(), headers: Vec::new() }
    }

    /// 405 with what is allowed, for a method that is known and not served, or not served here.
    pub fn method_not_allowed() -> Rejection {
        Rejection::new(405).with(Name::ALLOW, allow())
    }

    /// The response to `request`; the tag of its To is still to be set.
    pub fn response_to(&self, request: &Message) -> Message {
        let mut response = Message::response_to(request, self.code, &self.reason);
        for (name, value) in &self.headers {
            response.headers.push(name, value);
        }
        response
    }

    fn because(code: u16, reason: impl Into<String>) -> Rejection {
        Rejection { code, reason: reason.into(), headers: Vec::new() }
    }

    fn with(mut self, name: Name, value: impl Into<String>) -> Rejection {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Rejection {
        Rejection::because(400, error.to_string())
    }
}

/// The value of `Allow`.
pub fn allow() -> String {
    METHODS.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// The same where telephones of ours may register.
pub fn allow_with_register() -> String {
    format!("{}, {}", allow(), Method::Register.as_str())
}

/// The value of `Supported`.
pub fn supported() -> String {
    EXTENSIONS.join(", ")
}

/// Judges a message that could be read.
///
/// # Errors
/// The response to send, or silence. The source address, dialogs (481), merged requests (482) and methods that are
/// known but not served (405) are the core's to judge.
pub fn screen(message: &Message) -> Result<(), Refusal> {
    match &message.start {
        StartLine::Status { .. } => screen_response(message),
        StartLine::Request { method, uri } => {
            if message.top_via().is_err() {
                return Err(Refusal::Silence("no usable Via"));
            }
            screen_request(message, method, uri).map_err(|rejection| answer_unless_ack(method, rejection))
        }
    }
}

/// Judges bytes that could not be read.
pub fn screen_error(error: &ParseError) -> Refusal {
    let Some(head) = error.head.as_deref() else {
        return Refusal::Silence("not a SIP request");
    };
    let Some(method) = head.method() else {
        return Refusal::Silence("malformed response");
    };
    if head.top_via().is_err() {
        return Refusal::Silence("malformed request without a usable Via");
    }
    let rejection = match error.kind {
        ParseErrorKind::Empty | ParseErrorKind::NotSip => return Refusal::Silence("not SIP"),
        ParseErrorKind::Version => Rejection::new(505),
        ParseErrorKind::HeadTooLarge => Rejection::new(513),
        ParseErrorKind::BodyTooLarge => Rejection::new(413),
        ParseErrorKind::StartLine
        | ParseErrorKind::RequestUri
        | ParseErrorKind::HeaderLine
        | ParseErrorKind::Unterminated
        | ParseErrorKind::ContentLength
        | ParseErrorKind::BodyTooShort => Rejection::because(400, format!("Bad Request: {}", error.kind)),
    };
    answer_unless_ack(method, rejection)
}

/// An ACK is never answered (RFC 3261 section 17).
fn answer_unless_ack(method: &Method, rejection: Rejection) -> Refusal {
    match method {
        Method::Ack => Refusal::Silence("malformed ACK"),
        _ => Refusal::Answer(rejection),
    }
}

fn screen_response(message: &Message) -> Result<(), Refusal> {
    let readable = message.via().is_ok_and(|hops| !hops.is_empty())
        && message.from().is_ok()
        && message.to().is_ok()
        && message.call_id().is_ok()
        && message.cseq().is_ok();
    if !readable {
        return Err(Refusal::Silence("malformed response"));
    }
    // RFC 3261 section 8.1.3.3: Milo is no proxy, so a second Via means that the response strayed here.
    if message.headers.get_all(Name::VIA).nth(1).is_some() {
        return Err(Refusal::Silence("response with more than one Via"));
    }
    Ok(())
}

fn screen_request(message: &Message, method: &Method, uri: &Uri) -> Result<(), Rejection> {
    well_formed(message, method)?;
    if matches!(method, Method::Other(_)) {
        return Err(Rejection::new(501).with(Name::ALLOW, allow()));
    }
    known_resource(uri)?;
    extensions(message, method)?;
    content(message, method)?;
    // An endpoint takes a request that has no hop left (RFC 4475 section 3.3.12). A new call is the exception: Milo
    // may place another one because of it, and a ring of such transfers ends here only (RFC 7332).
    let is_new_call = *method == Method::Invite && message.to()?.tag().is_none();
    if is_new_call && message.max_forwards()? == Some(0) {
        return Err(Rejection::new(483));
    }
    Ok(())
}

/// Every field that transactions, dialogs and answers are made of can be read (RFC 3261 section 8.1.1).
fn well_formed(message: &Message, method: &Method) -> Result<(), Rejection> {
    message.via()?;
    message.from()?;
    message.to()?;
    message.call_id()?;
    let (_, cseq_method) = message.cseq()?;
    if cseq_method != *method {
        return Err(Rejection::because(400, "CSeq names another method"));
    }
    message.max_forwards()?;
    message.record_routes()?;
    message.routes()?;
    let registers = *method == Method::Register && message.headers.get(Name::CONTACT) == Some("*");
    if !registers {
        message.contact()?;
    }
    // Which of two remote targets is meant is anybody's guess (RFC 3261 section 8.1.1.8).
    if *method == Method::Invite && message.headers.get_all(Name::CONTACT).nth(1).is_some() {
        return Err(HeaderError::Repeated(Name::CONTACT).into());
    }
    Ok(())
}

/// The Request-URI names something that a telephone can be (RFC 3261 section 8.2.2.1).
fn known_resource(uri: &Uri) -> Result<(), Rejection> {
    match uri {
        Uri::Sip(sip) if sip.headers.is_some() => Err(Rejection::because(400, "Request-URI carries header fields")),
        Uri::Sip(_) | Uri::Tel { .. } => Ok(()),
        Uri::Other { .. } => Err(Rejection::new(416)),
    }
}

/// RFC 3261 section 8.2.2.3. Proxy-Require is not for us.
fn extensions(message: &Message, method: &Method) -> Result<(), Rejection> {
    if matches!(method, Method::Ack | Method::Cancel) {
        return Ok(());
    }
    let required = message.require().into_iter();
    // Path is for registrars (RFC 3327); where there is none, REGISTER is not served at all.
    let is_path = |tag: &str| *method == Method::Register && tag.eq_ignore_ascii_case(PATH);
    let unknown = required.filter(|tag| !is_path(tag) && !EXTENSIONS.iter().any(|ours| ours.eq_ignore_ascii_case(tag)));
    // A few say enough; thousands would make the answer larger than the request.
    let unknown: Vec<_> = unknown.take(32).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Rejection::new(420).with(Name::UNSUPPORTED, unknown.join(", ")))
}

/// RFC 3261 section 8.2.3, and section 20.1 for what may be sent back.
fn content(message: &Message, method: &Method) -> Result<(), Rejection> {
    if !matches!(method, Method::Invite | Method::Prack | Method::Update | Method::Message) {
        return Ok(());
    }
    let encodings = message.tokens(Name::CONTENT_ENCODING);
    if encodings.iter().any(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Rejection::new(415).with(Name::ACCEPT_ENCODING, "identity"));
    }
    if *method == Method::Message {
        // Its content is judged where it is read.
        return Ok(());
    }
    let is_optional = message.headers.get(Name::CONTENT_DISPOSITION).is_some_and(|disposition| {
        disposition.split(';').any(|param| {
            let param: String = param.chars().filter(|c| !c.is_whitespace()).collect();
            param.eq_ignore_ascii_case("handling=optional")
        })
    });
    if !message.body.is_empty() && message.sdp().is_none() && !is_optional {
        return Err(Rejection::new(415).with(Name::ACCEPT, SDP_TYPE));
    }
    let mut accepted = message.headers.get_all(Name::ACCEPT).peekable();
    if accepted.peek().is_some() {
        let ranges = message.tokens(Name::ACCEPT);
        let takes_sdp = ranges.iter().any(|range| {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            [SDP_TYPE, "application/*", "*/*"].contains(&range.as_str())
        });
        if !takes_sdp {
            return Err(Rejection::new(406));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse;

    const INVITE: &str = "INVITE sip:milo@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:milo@127.0.0.1>\r\nCall-ID: 1@b\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:a@127.0.0.1:5070>\r\n\r\n";

    /// The code and the header fields of the answer, or the reason for silence, to INVITE after one replacement.
    fn verdict(from: &str, to: &str) -> Result<(), (u16, String)> {
        assert!(INVITE.contains(from), "{from}");
        let refusal = match parse(INVITE.replace(from, to).as_bytes()) {
            Ok(message) => screen(&message).err(),
            Err(error) => Some(screen_error(&error)),
        };
        match refusal {
            None => Ok(()),
            Some(Refusal::Silence(why)) => Err((0, why.to_owned())),
            Some(Refusal::Answer(rejection)) => {
                let extra: Vec<_> = rejection.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                Err((rejection.code, extra.join("\n")))
            }
        }
    }

    #[test]
    fn a_sound_request_passes() {
        assert_eq!(verdict("Max-Forwards", "Max-Forwards"), Ok(()));
        assert_eq!(verdict("Max-Forwards: 70\r\n", ""), Ok(()));
        assert_eq!(verdict("sip:milo@127.0.0.1 SIP", "tel:+261341234567 SIP"), Ok(()));
    }

    #[test]
    fn each_fault_has_its_code() {
        let code = |from: &str, to: &str| verdict(from, to).map_err(|(code, _)| code);
        assert_eq!(code("Call-ID: 1@b\r\n", ""), Err(400));
        assert_eq!(code("Call-ID: 1@b\r\n", "Call-ID: 1@b\r\ni: 2@b\r\n"), Err(400));
        assert_eq!(code("CSeq: 1 INVITE", "CSeq: 1 BYE"), Err(400));
        assert_eq!(code("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE"), Err(400));
        assert_eq!(code("Max-Forwards: 70", "Max-Forwards: seventy"), Err(400));
        assert_eq!(code("Max-Forwards: 70", "Max-Forwards: 0"), Err(483));
        assert_eq!(code("Max-Forwards: 70", "Max-Forwards: 70\r\nno colon here"), Err(400));
        assert_eq!(code("Max-Forwards: 70", "Max-Forwards: 70\r\nRoute: nowhere"), Err(400));
        assert_eq!(code("Max-Forwards: 70", "Max-Forwards: 70\r\nRecord-Route: nowhere"), Err(400));
        assert_eq!(code("Contact: <sip:a@127.0.0.1:5070>", "Contact: <sip:a@127.0.0.1:5070"), Err(400));
        assert_eq!(code("Contact", "Contact: <sip:b@127.0.0.1>\r\nContact"), Err(400), "which of the two?");
        let options = INVITE.replace("INVITE", "OPTIONS").replace("Max-Forwards: 70", "Max-Forwards: seventy");
        let refusal = screen(&parse(options.as_bytes()).unwrap()).unwrap_err();
        assert!(matches!(refusal, Refusal::Answer(Rejection { code: 400, .. })), "{refusal:?}");
        assert_eq!(code("sip:milo@127.0.0.1 SIP", "urn:service:sos SIP"), Err(416));
        assert_eq!(code("sip:milo@127.0.0.1 SIP", "sip:milo@127.0.0.1?Subject=x SIP"), Err(400));
        assert_eq!(code(" SIP/2.0\r\nVia", " SIP/3.0\r\nVia"), Err(505));
        assert_eq!(code("\r\n\r\n", "\r\nContent-Length: 70000\r\n\r\n"), Err(413));
        assert_eq!(code("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n"), Err(400));
        let note = "\r\nContent-Type: text/plain\r\nContent-Disposition: render; handling = optional\r\n\r\nhello";
        assert_eq!(code("\r\n\r\n", note), Ok(()), "it may be passed over");
        assert_eq!(code("\r\n\r\n", "\r\nAccept: text/plain\r\n\r\n"), Err(406));
        assert_eq!(code("\r\n\r\n", "\r\nAccept: text/plain, application/*;q=0.1\r\n\r\n"), Ok(()));
        assert_eq!(code("Call-ID", &format!("Subject: {}\r\nCall-ID", "x".repeat(33_000))), Err(513));
        assert_eq!(code("Call-ID", &format!("Subject: {}\r\nCall-ID", "x".repeat(24_000))), Ok(()));
    }

    #[test]
    fn answers_say_what_would_do() {
        let verdict = |from, to| verdict(from, to).unwrap_err();
        let required = verdict("Call-ID", "Require: path, 100rel, gruu\r\nCall-ID");
        assert_eq!(required, (420, "Unsupported: path, gruu".to_owned()));
        let register = INVITE.replace("INVITE", "REGISTER").replace("Call-ID", "Require: path\r\nCall-ID");
        assert_eq!(screen(&parse(register.as_bytes()).unwrap()), Ok(()));
        let body = verdict("\r\n\r\n", "\r\nContent-Type: text/plain\r\n\r\nhello");
        assert_eq!(body, (415, "Accept: application/sdp".to_owned()));
        let packed = verdict("\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\nv=0");
        assert_eq!(packed, (415, "Accept-Encoding: identity".to_owned()));
        assert_eq!(Rejection::method_not_allowed().headers, [(Name::ALLOW, allow())]);
    }

    #[test]
    fn silence_where_an_answer_has_no_way_or_no_place() {
        let code = |from, to| verdict(from, to).unwrap_err().0;
        assert_eq!(code("Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r\n", ""), 0);
        assert_eq!(code("SIP/2.0/UDP 127.0.0.1", "SIP/2.0/UDP"), 0);
        let ack = INVITE.replace("INVITE", "ACK").replace("Call-ID: 1@b\r\n", "");
        assert_eq!(screen(&parse(ack.as_bytes()).unwrap()), Err(Refusal::Silence("malformed ACK")));
        // What is wrong beside a lost Via has no way back either; and an ACK may require anything.
        let lost = INVITE.replace("Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r\n", "no colon here\r\n");
        assert!(matches!(screen_error(&parse(lost.as_bytes()).unwrap_err()), Refusal::Silence(_)));
        let ack = INVITE.replace("INVITE", "ACK").replace("Call-ID", "Require: gruu\r\nCall-ID");
        assert_eq!(screen(&parse(ack.as_bytes()).unwrap()), Ok(()));
        let response =
            INVITE.replace("INVITE sip:milo@127.0.0.1 SIP/2.0", "SIP/2.0 200 OK").replace("CSeq: 1", "CSeq: x");
        assert_eq!(screen(&parse(response.as_bytes()).unwrap()), Err(Refusal::Silence("malformed response")));
        assert_eq!(screen_error(&parse(b"GET / HTTP/1.1\r\n\r\n").unwrap_err()), Refusal::Silence("not a SIP request"));
    }

    #[test]
    fn a_rejection_becomes_a_response() {
        let request = parse(INVITE.as_bytes()).unwrap();
        let mut response = Rejection::new(420).with(Name::UNSUPPORTED, "gruu").response_to(&request);
        response.set_to_tag("milo");
        let text = String::from_utf8(response.to_bytes()).unwrap();
        assert_eq!(
            text,
            "SIP/2.0 420 Bad Extension\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:milo@127.0.0.1>;tag=milo\r\nCall-ID: 1@b\r\nCSeq: 1 INVITE\r\n\
             Unsupported: gruu\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
