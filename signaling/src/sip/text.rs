//! What a MESSAGE says (RFC 3428): plain text, so long.

use super::{headers::Name, message::Message, screen::Rejection};

/// The media type of what a MESSAGE says.
pub const TEXT_TYPE: &str = "text/plain";
/// How it is written when it goes out.
pub(crate) const UTF_8: &str = "text/plain;charset=UTF-8";
/// Bytes of a text that is taken.
pub const LONGEST: usize = 8_192;

/// The text of a MESSAGE.
///
/// # Errors
/// 413 when it is too long, 415 with what would do when it is anything but text in UTF-8, 400 when it is no UTF-8 after all.
pub(crate) fn text_of(request: &Message) -> Result<String, Rejection> {
    if request.body.len() > LONGEST {
        return Err(Rejection::new(413));
    }
    if !request.body.is_empty() && !is_taken(request.headers.get(Name::CONTENT_TYPE).unwrap_or_default()) {
        let mut rejection = Rejection::new(415);
        rejection.headers.push((Name::ACCEPT, TEXT_TYPE.to_owned()));
        return Err(rejection);
    }
    String::from_utf8(request.body.clone()).map_err(|_| {
        let mut rejection = Rejection::new(400);
        "The Text Is Not UTF-8".clone_into(&mut rejection.reason);
        rejection
    })
}

/// Text without a character set is in US-ASCII (RFC 2046 section 4.1.2), which UTF-8 holds.
fn is_taken(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_text = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(TEXT_TYPE));
    let charset = parts.filter_map(|parameter| parameter.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    is_text && charset.is_none_or(|charset| ["utf-8", "us-ascii"].contains(&charset.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    fn read(kind: &str, body: &[u8]) -> Result<String, u16> {
        let mut message = Message::request(Method::Message, "sip:milo@127.0.0.1".parse().unwrap());
        message.set_body(kind, body.to_vec());
        text_of(&message).map_err(|rejection| rejection.code)
    }

    #[test]
    fn plain_text_in_utf_8_and_nothing_else() {
        for kind in
            ["text/plain", "Text/Plain; format=flowed", "text/plain;charset=\"utf-8\"", "text/plain; charset=US-ASCII"]
        {
            assert_eq!(read(kind, "Manao ahoana é".as_bytes()), Ok("Manao ahoana é".into()), "{kind}");
        }
        for kind in ["text/html", "text/plain;charset=iso-8859-1", "message/cpim", "application/im-iscomposing+xml", ""]
        {
            assert_eq!(read(kind, b"x"), Err(415), "{kind}");
        }
        assert_eq!(read("text/plain", b"caf\xe9"), Err(400));
        assert_eq!(read("text/plain", &[b'x'; LONGEST]).map(|text| text.len()), Ok(LONGEST));
        assert_eq!(read("text/plain", &[b'x'; LONGEST + 1]), Err(413));
        assert_eq!(read("", b""), Ok(String::new()));
    }
}
