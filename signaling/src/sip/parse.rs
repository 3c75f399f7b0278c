//! Bytes to a [`Message`]: lines, folding, start line, header fields, body (RFC 3261 sections 7 and 18.3).
//!
//! Lines end in CRLF; a bare LF is taken too. Nothing here judges what a header says: that is `screen`.

use super::{
    headers::{Headers, Name},
    lexer::{is_space, is_token, split_outside, trim},
    message::{Message, StartLine},
    method::Method,
    octets,
    uri::Uri,
};

/// The largest start line and header section that is read, in bytes. Beyond it the answer is 513.
pub const MAX_HEAD: usize = 32 * 1024;
/// The largest body that is read, in bytes. Beyond it the answer is 413.
pub const MAX_BODY: usize = 64 * 1024;
/// The largest number of header fields, each value of a list counted.
pub const MAX_FIELDS: usize = 512;

/// Bytes that are no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// What could be read of start line and header, for the answer. Its URI may be a placeholder.
    pub head: Option<Box<Message>>,
}

/// What is wrong with bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ParseErrorKind {
    /// Nothing but line ends: a keep-alive.
    #[error("empty")]
    Empty,
    /// The first line is neither a SIP request line nor a SIP status line.
    #[error("not SIP")]
    NotSip,
    /// A request line with a malformed method, spacing or version.
    #[error("malformed start line")]
    StartLine,
    /// A Request-URI that is no URI.
    #[error("malformed Request-URI")]
    RequestUri,
    /// A version of SIP other than 2.0.
    #[error("SIP version not supported")]
    Version,
    /// A header line without a colon, or with a name that is no token.
    #[error("malformed header line")]
    HeaderLine,
    /// No empty line ends the header.
    #[error("header not terminated")]
    Unterminated,
    /// Content-Length is no number, or two of them differ, or a stream has none.
    #[error("malformed or missing Content-Length")]
    ContentLength,
    /// The datagram holds less body than Content-Length says.
    #[error("body shorter than Content-Length")]
    BodyTooShort,
    /// More than [`MAX_HEAD`] bytes or [`MAX_FIELDS`] fields.
    #[error("header too large")]
    HeadTooLarge,
    /// More than [`MAX_BODY`] bytes of body.
    #[error("body too large")]
    BodyTooLarge,
}

/// Reads one whole message, as a datagram holds it. Without Content-Length the body reaches to the end; bytes beyond
/// Content-Length are dropped (RFC 3261 section 18.3).
///
/// # Errors
/// See [`ParseErrorKind`].
pub fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    let bytes = bytes.get(blank_prefix(bytes)..).unwrap_or_default();
    if bytes.is_empty() {
        return Err(ParseError { kind: ParseErrorKind::Empty, head: None });
    }
    let (end, terminated) = match head_end(bytes, 0, 0) {
        HeadEnd::At(end) => (end, true),
        HeadEnd::NotYet(_) => (bytes.len(), false),
    };
    let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let mut head = read_head(head);
    if !terminated {
        head.problem.get_or_insert(ParseErrorKind::Unterminated);
    }
    let length = head.content_length.unwrap_or(rest.len());
    if length > MAX_BODY {
        head.problem.get_or_insert(ParseErrorKind::BodyTooLarge);
    }
    match rest.get(..length) {
        Some(body) => head.finish(body.to_vec()),
        None => {
            head.problem.get_or_insert(ParseErrorKind::BodyTooShort);
            head.finish(Vec::new())
        }
    }
}

/// Start line and header fields as far as they could be read, and the first thing that was wrong.
#[derive(Debug)]
pub(crate) struct Head {
    /// `None` when the first line gives neither a method nor a status.
    pub(crate) start: Option<StartLine>,
    pub(crate) headers: Headers,
    pub(crate) content_length: Option<usize>,
    pub(crate) problem: Option<ParseErrorKind>,
}

impl Head {
    /// The message with this body, or the problem.
    pub(crate) fn finish(self, body: Vec<u8>) -> Result<Message, ParseError> {
        let message = self.start.map(|start| Message { start, headers: self.headers, body });
        match (message, self.problem) {
            (Some(message), None) => Ok(message),
            (head, problem) => {
                let kind = problem.unwrap_or(ParseErrorKind::NotSip);
                Err(ParseError { kind, head: head.map(Box::new) })
            }
        }
    }
}

/// Where the header section ends.
pub(crate) enum HeadEnd {
    /// Behind its empty line.
    At(usize),
    /// Not in these bytes; go on with the line that begins here when more have come.
    NotYet(usize),
}

/// Looks for the empty line in lines from `line` on, which is 0 or what a former look returned; the first `seen` bytes
/// have been looked at before.
pub(crate) fn head_end(bytes: &[u8], mut line: usize, seen: usize) -> HeadEnd {
    let mut from = line.max(seen);
    while let Some(length) = bytes.get(from..).and_then(|rest| rest.iter().position(|b| *b == b'\n')) {
        let next = from + length + 1;
        if matches!(bytes.get(line..next), Some(b"\n" | b"\r\n")) {
            return HeadEnd::At(next);
        }
        (line, from) = (next, next);
    }
    HeadEnd::NotYet(line)
}

/// How many bytes of line ends stand in front (RFC 3261 section 7.5: they are ignored).
pub(crate) fn blank_prefix(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !b"\r\n".contains(b)).unwrap_or(bytes.len())
}

/// Reads start line and header fields; `bytes` ends behind the empty line, or anywhere when there is none.
pub(crate) fn read_head(bytes: &[u8]) -> Head {
    let mut head = Head { start: None, headers: Headers::new(), content_length: None, problem: None };
    if bytes.len() > MAX_HEAD {
        head.problem = Some(ParseErrorKind::HeadTooLarge);
    }
    let bytes = bytes.get(..MAX_HEAD).unwrap_or(bytes);
    let mut lines = bytes.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (start, fault) = start_line(&octets::from_wire(lines.next().unwrap_or_default()));
    head.start = start;
    head.problem = head.problem.or(fault);
    let mut field: Option<String> = None;
    for line in lines {
        let text = octets::from_wire(line);
        match &mut field {
            // A folded line continues the field before it with one space (RFC 3261 section 7.3.1).
            Some(field) if text.starts_with(is_space) => {
                field.push(' ');
                field.push_str(trim(&text));
            }
            _ => {
                if let Some(whole) = field.take() {
                    add_field(&mut head, &whole);
                }
                if line.is_empty() {
                    break;
                }
                field = Some(text);
            }
        }
    }
    if let Some(whole) = field {
        add_field(&mut head, &whole);
    }
    head
}

/// Adds an unfolded header line. Content-Length goes into its own place: what a message carries is its body's length.
fn add_field(head: &mut Head, line: &str) {
    let named = line.split_once(':').map(|(name, value)| (name.trim_end_matches(is_space), trim(value)));
    let Some((name, value)) = named.filter(|(name, value)| is_token(name) && !value.contains('\r')) else {
        head.problem.get_or_insert(ParseErrorKind::HeaderLine);
        return;
    };
    let name = Name::from(name);
    if name == Name::CONTENT_LENGTH {
        let length = if value.bytes().all(|b| b.is_ascii_digit()) { value.parse().ok() } else { None };
        if length.is_none() || head.content_length.is_some_and(|before| Some(before) != length) {
            head.problem.get_or_insert(ParseErrorKind::ContentLength);
        }
        head.content_length = head.content_length.or(length);
        return;
    }
    let values = if name.is_list_of_addresses() { split_outside(value, ',') } else { vec![value] };
    for value in values {
        if head.headers.len() == MAX_FIELDS {
            head.problem.get_or_insert(ParseErrorKind::HeadTooLarge);
            return;
        }
        head.headers.push(&name, value);
    }
}

/// Reads the first line: what can be answered to, and what is wrong with it.
fn start_line(line: &str) -> (Option<StartLine>, Option<ParseErrorKind>) {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        let start = status_line(line);
        let fault = start.is_none().then_some(ParseErrorKind::StartLine);
        return (start, fault);
    }
    let not_sip = (None, Some(ParseErrorKind::NotSip));
    let (Some((method, rest)), Some((_, version))) = (line.split_once(' '), trim(line).rsplit_once(is_space)) else {
        return not_sip;
    };
    let Some(number) = version.get(..4).filter(|start| start.eq_ignore_ascii_case("SIP/")).and(version.get(4..)) else {
        return not_sip;
    };
    if !is_token(method) {
        return not_sip;
    }
    // One space between the parts and none behind them (RFC 4475 sections 3.1.2.8 and 3.1.2.9).
    let target = rest.strip_suffix(version).and_then(|uri| uri.strip_suffix(' '));
    let uri = match target.filter(|uri| !uri.starts_with(is_space) && !uri.ends_with(is_space)) {
        _ if number != "2.0" && is_version(number) => Err(ParseErrorKind::Version),
        _ if number != "2.0" => Err(ParseErrorKind::StartLine),
        None => Err(ParseErrorKind::StartLine),
        Some(uri) => uri.parse().map_err(|_| ParseErrorKind::RequestUri),
    };
    let fault = uri.as_ref().err().copied();
    let uri = uri.unwrap_or_else(|_| Uri::Other { scheme: "unreadable".to_owned(), opaque: "-".to_owned() });
    (Some(StartLine::Request { method: Method::from_token(method), uri }), fault)
}

/// `1*DIGIT "." 1*DIGIT`
fn is_version(number: &str) -> bool {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    number.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// `SIP/2.0 SP 3DIGIT SP *reason`; the space before an empty reason may be missing.
fn status_line(line: &str) -> Option<StartLine> {
    let (version, rest) = line.split_once(' ')?;
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let digits = code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit());
    let code = code.parse().ok().filter(|code| digits && (100..700).contains(code))?;
    let holds = version.eq_ignore_ascii_case("SIP/2.0") && !reason.contains('\r');
    holds.then(|| StartLine::Status { code, reason: reason.to_owned() })
}
