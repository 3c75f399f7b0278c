//! What a body is: its media type, and the session description in it, alone or as a part of a multipart body.

use super::{headers::Name, lexer::unquote, message::Message};

/// The media type of a session description (RFC 8866 section 8.1).
pub const SDP_TYPE: &str = "application/sdp";

impl Message {
    /// The media type of the body in lower case without parameters; `None` without Content-Type.
    pub fn content_type(&self) -> Option<String> {
        self.headers.get(Name::CONTENT_TYPE).map(media_type)
    }

    /// The session description this message carries: the whole body, or the first such part of a multipart body
    /// (RFC 5621: carriers send it beside ISUP or a location). A body without Content-Type that begins with `v=0` is
    /// one too. `None` when there is none.
    pub fn sdp(&self) -> Option<&[u8]> {
        if self.body.is_empty() {
            return None;
        }
        match self.content_type() {
            None => self.body.starts_with(b"v=0").then_some(self.body.as_slice()),
            Some(kind) if kind == SDP_TYPE => Some(&self.body),
            Some(kind) if kind.starts_with("multipart/") => {
                let boundary = boundary(self.headers.get(Name::CONTENT_TYPE)?)?;
                parts(&self.body, &boundary).into_iter().find_map(sdp_part)
            }
            Some(_) => None,
        }
    }
}

/// `Application/SDP; charset=utf-8` → `application/sdp`.
fn media_type(value: &str) -> String {
    let kind = value.split(';').next().unwrap_or_default();
    kind.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase()
}

fn boundary(content_type: &str) -> Option<String> {
    let mut params = content_type.split(';').skip(1).filter_map(|param| param.split_once('='));
    let (_, value) = params.find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    Some(unquote(value.trim())).filter(|boundary| !boundary.is_empty())
}

/// The parts between the delimiter lines (RFC 2046 section 5.1.1), each with its header.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let (mut at, mut start) = (0, None);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let text = line.trim_ascii_end();
        let ends = text.strip_prefix(delimiter.as_bytes()).is_some_and(|rest| rest == b"--");
        if ends || text == delimiter.as_bytes() {
            if let Some(part) = start.and_then(|start| body.get(start..at)) {
                parts.push(part);
            }
            start = (!ends).then_some(at + line.len());
        }
        at += line.len();
    }
    parts
}

/// The content of a part whose own Content-Type says that it is a session description.
fn sdp_part(part: &[u8]) -> Option<&[u8]> {
    let (mut at, mut is_sdp) = (0, false);
    for line in part.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        let text = String::from_utf8_lossy(line.trim_ascii_end());
        if text.is_empty() {
            return if is_sdp { part.get(at..) } else { None };
        }
        if let Some((name, value)) = text.split_once(':') {
            is_sdp |= Name::from(name.trim()) == Name::CONTENT_TYPE && media_type(value) == SDP_TYPE;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{Method, parse};

    fn with_body(content_type: &str, body: &str) -> Message {
        let mut message = Message::request(Method::Invite, "sip:milo@localhost".parse().unwrap());
        message.set_body(content_type, body.as_bytes().to_vec());
        parse(&message.to_bytes()).unwrap()
    }

    #[test]
    fn the_description_is_the_body() {
        assert_eq!(with_body("Application/SDP ;a=b", "v=0\r\n").sdp(), Some(b"v=0\r\n".as_slice()));
        assert_eq!(with_body("text/plain", "v=0\r\n").sdp(), None);
        assert_eq!(with_body("application/sdp", "").sdp(), None);
    }

    #[test]
    fn the_description_is_a_part_of_the_body() {
        let body = "preamble\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n--b1\r\n\
                    c: application/sdp\r\n\r\nv=0\r\ns=-\r\n\r\n--b1--\r\n";
        assert_eq!(with_body("multipart/mixed; boundary=\"b1\"", body).sdp(), Some(b"v=0\r\ns=-\r\n\r\n".as_slice()));
        assert_eq!(with_body("multipart/mixed;boundary=other", body).sdp(), None);
        assert_eq!(with_body("multipart/mixed", body).sdp(), None);
    }
}
