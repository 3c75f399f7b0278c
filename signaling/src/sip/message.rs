//! A SIP message (RFC 3261 section 7): what a datagram or a stretch of a stream holds once read, and how one is printed.

use super::{
    headers::{Headers, Name},
    method::Method,
    octets, status,
    uri::Uri,
};

/// A request or a response.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line.
    pub start: StartLine,
    /// The header fields but Content-Length, which is the length of the body.
    pub headers: Headers,
    /// The body, already cut to `Content-Length`.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    /// Without the body: a session description may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut message = f.debug_struct("Message");
        message.field("start", &self.start).field("headers", &self.headers);
        message.field("body", &format_args!("{} bytes", self.body.len())).finish()
    }
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartLine {
    /// `INVITE sip:milo@example.com SIP/2.0`
    Request {
        /// The method.
        method: Method,
        /// The Request-URI.
        uri: Uri,
    },
    /// `SIP/2.0 200 OK`
    Status {
        /// 100 to 699.
        code: u16,
        /// The reason phrase, possibly empty.
        reason: String,
    },
}

impl Message {
    /// A request without header fields.
    pub fn request(method: Method, uri: Uri) -> Message {
        Message { start: StartLine::Request { method, uri }, headers: Headers::new(), body: Vec::new() }
    }

    /// The length of the body, which a datagram or a stream has cut to its Content-Length.
    pub fn content_length(&self) -> usize {
        self.body.len()
    }

    /// The method of a request; `None` for a response.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            StartLine::Request { method, .. } => Some(method),
            StartLine::Status { .. } => None,
        }
    }

    /// The Request-URI; `None` for a response.
    pub fn uri(&self) -> Option<&Uri> {
        match &self.start {
            StartLine::Request { uri, .. } => Some(uri),
            StartLine::Status { .. } => None,
        }
    }

    /// The status code of a response; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        match &self.start {
            StartLine::Request { .. } => None,
            StartLine::Status { code, .. } => Some(*code),
        }
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        self.method().is_some()
    }

    /// A response to `request` (RFC 3261 section 8.2.6): its Via fields, From, To, Call-ID and CSeq as they came, its
    /// Record-Route where a dialog can arise (101 to 299), its Timestamp in a 100. An empty `reason` takes the RFC's
    /// own. The tag of To is the caller's work, see [`Message::set_to_tag`].
    pub fn response_to(request: &Message, code: u16, reason: &str) -> Message {
        let reason = if reason.is_empty() { status::reason_phrase(code) } else { reason };
        let mut headers = Headers::new();
        for (name, value) in request.headers.iter() {
            let copied = [Name::VIA, Name::FROM, Name::TO, Name::CALL_ID, Name::CSEQ].contains(name)
                || (*name == Name::RECORD_ROUTE && (101..300).contains(&code))
                || (*name == Name::TIMESTAMP && code == 100);
            if copied {
                headers.push(name, value);
            }
        }
        Message { start: StartLine::Status { code, reason: reason.to_owned() }, headers, body: Vec::new() }
    }

    /// Adds a tag to the To field of a response when it has none. A To that cannot be read stays as it is.
    pub fn set_to_tag(&mut self, tag: &str) {
        if let Ok(to) = self.to()
            && to.tag().is_none()
            && let Some(value) = self.headers.get(Name::TO)
        {
            // Appended rather than printed anew: the rest of the field returns byte for byte. An address without
            // brackets takes header parameters too (RFC 3261 section 20.10).
            let tagged = format!("{value};tag={tag}");
            self.headers.set(Name::TO, tagged);
        }
    }

    /// Gives the message this body.
    pub fn set_body(&mut self, content_type: &str, body: Vec<u8>) {
        self.headers.set(Name::CONTENT_TYPE, content_type);
        self.body = body;
    }

    /// The message as it goes onto the wire. Content-Length is always there and always right.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512 + self.body.len());
        match &self.start {
            StartLine::Request { method, uri } => octets::push_wire(&format!("{method} {uri} SIP/2.0"), &mut out),
            StartLine::Status { code, reason } => octets::push_wire(&format!("SIP/2.0 {code:03} {reason}"), &mut out),
        }
        out.extend_from_slice(b"\r\n");
        for (name, value) in self.headers.iter().filter(|(name, _)| **name != Name::CONTENT_LENGTH) {
            octets::push_wire(name.as_str(), &mut out);
            out.extend_from_slice(b": ");
            octets::push_wire(value, &mut out);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        out.extend_from_slice(&self.body);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse;

    fn request() -> Message {
        let text = "INVITE tel:+261201 SIP/2.0\r\nv: SIP/2.0/UDP a, SIP/2.0/UDP b\r\nRecord-Route: <sip:p;lr>\r\nf: sip:a@b;tag=1\r\n\
                    t: sip:c@d\r\ni: x\r\nCSeq: 7 INVITE\r\nTimestamp: 5\r\nSubject: not copied\r\n\r\n";
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_printed() {
        let mut request = Message::request(Method::Other("PING".to_owned()), "sip:milo@[::1]".parse().unwrap());
        request.headers.push("X-Own", "line\r\nbreak");
        request.headers.push(Name::CONTENT_LENGTH, "99");
        request.set_body("text/plain", b"hi".to_vec());
        let text = String::from_utf8(request.to_bytes()).unwrap();
        assert_eq!(
            text,
            "PING sip:milo@[::1] SIP/2.0\r\nX-Own: line  break\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        );
    }

    #[test]
    fn responses_take_what_the_rfc_says() {
        let names = |code| {
            let response = Message::response_to(&request(), code, "");
            response.headers.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(100), "Via Via From To Call-ID CSeq Timestamp");
        assert_eq!(names(180), "Via Via Record-Route From To Call-ID CSeq");
        assert_eq!(names(486), "Via Via From To Call-ID CSeq");
    }

    #[test]
    fn a_tag_is_added_once() {
        let mut response = Message::response_to(&request(), 200, "Fine");
        response.set_to_tag("milo");
        response.set_to_tag("again");
        assert_eq!(response.headers.get("To"), Some("sip:c@d;tag=milo"));
        assert_eq!((response.status(), response.method(), response.uri()), (Some(200), None, None));
    }
}
