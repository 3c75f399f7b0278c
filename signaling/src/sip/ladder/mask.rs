//! What nobody may read in a kept message: answers to challenges, passwords in URIs, keys of SRTP, keys of the telephone. Each secret character
//! becomes a `*`, so that every length in the message stays true.

use std::ops::Range;

use crate::sip::headers::Name;

/// What of an answer to a challenge may be read (RFC 7616 section 3.4); the rest is masked, whatever it is called.
const PLAIN: [&str; 13] = [
    "username",
    "username*",
    "userhash",
    "realm",
    "nonce",
    "nextnonce",
    "uri",
    "algorithm",
    "opaque",
    "qop",
    "nc",
    "cnonce",
    "stale",
];
/// The fields that hold such an answer.
const CREDENTIALS: [&str; 4] =
    ["authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info"];
/// Lines of a session description with keys in them (RFC 4568, RFC 4567, RFC 8839, RFC 4566 section 5.12).
const KEYED: [&[u8]; 4] = [b"a=crypto", b"a=key-mgmt", b"a=ice-pwd", b"k="];

/// Masks the secrets of a message.
pub(super) fn mask(message: &mut [u8]) {
    let is_info = message.starts_with(b"INFO ");
    let mut at = after_line(message, 0);
    while let Some(field) = field(message, at) {
        at = field.value.end;
        let name = message.get(field.name).unwrap_or_default().trim_ascii();
        if CREDENTIALS.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
            && let Some(value) = message.get_mut(field.value)
        {
            mask_credentials(value);
        }
    }
    mask_uris(message.get_mut(..at).unwrap_or_default());
    while at < message.len() {
        let end = after_line(message, at);
        if let Some(line) = message.get_mut(at..end) {
            mask_line(line, is_info);
        }
        at = end;
    }
}

/// The Call-ID of a message, where it has one that can be read.
pub(super) fn call_id(message: &[u8]) -> Option<&str> {
    let mut at = after_line(message, 0);
    while let Some(field) = field(message, at) {
        at = field.value.end;
        let name = std::str::from_utf8(message.get(field.name)?.trim_ascii()).unwrap_or_default();
        // Most fields are told apart by their first letter.
        if name.starts_with(['c', 'C', 'i', 'I']) && Name::from(name) == Name::CALL_ID {
            return std::str::from_utf8(message.get(field.value)?.trim_ascii()).ok().filter(|id| !id.is_empty());
        }
    }
    None
}

/// Where a header field stands; its value reaches over the lines that continue it (RFC 3261 section 7.3.1).
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

/// The header field that begins here; none: the head is over.
fn field(message: &[u8], at: usize) -> Option<Field> {
    let mut end = after_line(message, at);
    let line = message.get(at..end)?;
    if line.trim_ascii().is_empty() {
        return None;
    }
    while matches!(message.get(end), Some(b' ' | b'\t')) {
        end = after_line(message, end);
    }
    let colon = at + line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
    Some(Field { name: at..colon, value: (colon + 1).min(end)..end })
}

/// Where the next line begins.
fn after_line(message: &[u8], at: usize) -> usize {
    let rest = message.get(at..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'\n').map_or(message.len(), |line| at + line + 1)
}

/// Makes stars of all but blanks.
fn hide(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'*');
}

/// `Digest username="a", response="…"`: what is no plain parameter is masked, and all of another scheme.
fn mask_credentials(value: &mut [u8]) {
    let token = |byte: &u8| !byte.is_ascii_whitespace() && !b",=".contains(byte);
    let first = value.iter().position(token).unwrap_or(value.len());
    let after = first + value.iter().skip(first).take_while(|byte| token(byte)).count();
    let next = value.iter().skip(after).find(|byte| !byte.is_ascii_whitespace());
    let mut at = first;
    if next != Some(&b'=') {
        // A scheme.
        let scheme = value.get(first..after).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"digest") {
            let named = next.is_some() && scheme.iter().all(u8::is_ascii_alphabetic);
            let from = if named { after } else { first };
            return hide(value.get_mut(from..).unwrap_or_default());
        }
        at = after;
    }
    while at < value.len() {
        let rest = value.get(at..).unwrap_or_default();
        let (name, equals) = match rest.iter().position(|byte| b"=,".contains(byte)) {
            Some(end) => (at..at + end, rest.get(end) == Some(&b'=')),
            None => (at..value.len(), false),
        };
        let from = if equals { name.end + 1 } else { name.start };
        let end = from.max(name.end) + until_comma(value.get(from.max(name.end)..).unwrap_or_default());
        let known = value.get(name.clone()).unwrap_or_default().trim_ascii();
        let is_plain = PLAIN.iter().any(|plain| known.eq_ignore_ascii_case(plain.as_bytes()));
        let is_whole = equals && is_value(value.get(from..end).unwrap_or_default().trim_ascii());
        if !(is_plain && is_whole) {
            hide(value.get_mut(from..end).unwrap_or_default());
        }
        at = end + 1;
    }
}

/// `sip:user:password@host` (RFC 3261 section 19.1.1): the password, wherever in the head it stands.
fn mask_uris(head: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = head.get(at..).and_then(scheme) {
        let from = at + found;
        // Until where it may be a user part: neither of these stands in one unescaped.
        let rest = head.get(from..).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b"@<>\"".contains(byte);
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        let next = scheme(rest.get(..end).unwrap_or_default()).unwrap_or(end);
        if next == end
            && rest.get(end) == Some(&b'@')
            && let Some(colon) = rest.get(..end).and_then(|user| user.iter().position(|byte| *byte == b':'))
        {
            hide(head.get_mut(from + colon + 1..from + end).unwrap_or_default());
        }
        at = from;
    }
}

/// Where what stands behind the next `sip:` or `sips:` begins.
fn scheme(text: &[u8]) -> Option<usize> {
    let is_it = |at: &usize| {
        let begins = |scheme: &[u8]| text.get(*at..at + scheme.len()).is_some_and(|a| a.eq_ignore_ascii_case(scheme));
        begins(b"sip:") || begins(b"sips:")
    };
    let at = (0..text.len()).find(is_it)?;
    text.get(at..)?.iter().position(|byte| *byte == b':').map(|colon| at + colon + 1)
}

/// Where the parameter ends that these are the rest of: commas between quotes do not end it.
fn until_comma(rest: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            b',' if !quoted => return at,
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && !escaped && *byte == b'\\';
    }
    rest.len()
}

/// One token, or one quoted string, and nothing behind it.
fn is_value(text: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!%*+'~/".contains(byte);
    let Some(inside) = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else {
        return text.iter().all(token);
    };
    let mut escaped = false;
    let open = inside.iter().any(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    !open && !escaped
}

/// A line of a body. In an INFO whatever is not how long a key was down may be the key.
fn mask_line(line: &mut [u8], is_info: bool) {
    let begins = |with: &[u8]| line.trim_ascii_start().get(..with.len()).is_some_and(|a| a.eq_ignore_ascii_case(with));
    let after = |mark: u8| line.iter().position(|byte| *byte == mark).map_or(0, |at| at + 1);
    let from = if KEYED.iter().any(|keyed| begins(keyed)) {
        // a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…: the suite may be read.
        let inline = line.windows(7).position(|word| word.eq_ignore_ascii_case(b"inline:"));
        inline.map_or_else(|| after(b':').max(after(b'=')), |at| at + 7)
    } else if is_info && !begins(b"duration") {
        after(b'=')
    } else {
        return;
    };
    hide(line.get_mut(from..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        mask(&mut bytes);
        assert_eq!(bytes.len(), text.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_answer_to_a_challenge_is_masked_and_the_rest_can_be_read() {
        let text = "REGISTER sip:b SIP/2.0\r\nVia: x\r\nAUTHORIZATION : Digest username=\"a, \\\"b\",\r\n  response=\"0123\", \
                    uri=\"sip:b\",nc=1, own=x\r\nProxy-Authorization: Basic YTpi\r\nSubject: response=\"0123\"\r\n\r\n";
        assert_eq!(
            masked(text),
            "REGISTER sip:b SIP/2.0\r\nVia: x\r\nAUTHORIZATION : Digest username=\"a, \\\"b\",\r\n  response=******, \
             uri=\"sip:b\",nc=1, own=*\r\nProxy-Authorization: Basic ****\r\nSubject: response=\"0123\"\r\n\r\n"
        );
    }

    #[test]
    fn passwords_in_uris_are_masked_and_ports_are_not() {
        let line = |value: &str| masked(&format!("INVITE {value} SIP/2.0\r\nContact: {value}\r\n\r\nsip:a:b@c"));
        for (uri, seen) in [
            ("sip:rina:s3cr:et@192.0.2.7:5080;transport=tcp", "sip:rina:*******@192.0.2.7:5080;transport=tcp"),
            ("SIPS:rina:secret@b", "SIPS:rina:******@b"),
            ("sip:192.0.2.7:5080", "sip:192.0.2.7:5080"),
            ("sip:rina@b:5060", "sip:rina@b:5060"),
            ("<sip:rina:secret@b>;x=\"sip:c:d@e\"", "<sip:rina:******@b>;x=\"sip:c:*@e\""),
            ("sip:b:5060,sip:rina:secret@b", "sip:b:5060,sip:rina:******@b"),
            ("sip:rina:@b", "sip:rina:@b"),
            ("sip:", "sip:"),
        ] {
            let seen = format!("INVITE {seen} SIP/2.0\r\nContact: {seen}\r\n\r\nsip:a:b@c");
            assert_eq!(line(uri), seen);
        }
    }

    #[test]
    fn what_is_written_wrongly_is_masked_rather_than_shown() {
        let line = |value: &str| masked(&format!("BYE sip:b SIP/2.0\r\nAuthorization: {value}\r\n\r\n"));
        for value in [
            "Digest realm=\"a, response=\"0123",
            "Digest realm=\"a, response=0123",
            "0123",
            "Digest 0123",
            "Digest,0123",
            "Digest response 0123",
            "response=0123",
            "Digest x=0123;realm=b",
            "Digest nc=1;response=0123",
            "Digest nc=1 response=0123",
            "Digest realm=\"a\" response=\"0123\"",
            "Digest realm=\"a\\\", response=\"0123\\\"",
        ] {
            assert!(!line(value).contains("0123"), "{}", line(value));
        }
    }

    #[test]
    fn keys_of_srtp_and_of_the_telephone_are_masked() {
        let sdp = "INVITE sip:b SIP/2.0\r\ni: 1@b\r\n\r\nv=0\r\nk=clear:abc\r\na=crypto:1 AES_CM_128 inline:abcd|2^20\r\n\
                   A=CRYPTO:2 x\r\na=ice-pwd:abc\r\na=sendrecv\r\n";
        assert_eq!(
            masked(sdp),
            "INVITE sip:b SIP/2.0\r\ni: 1@b\r\n\r\nv=0\r\nk=clear:***\r\na=crypto:1 AES_CM_128 inline:*********\r\n\
             A=CRYPTO:* *\r\na=ice-pwd:***\r\na=sendrecv\r\n"
        );
        assert_eq!(call_id(sdp.as_bytes()), Some("1@b"));
        let info = "INFO sip:b SIP/2.0\r\nCall-ID: 1\r\n\r\nSignal= 5\r\nDuration=160\r\n7";
        assert_eq!(masked(info), "INFO sip:b SIP/2.0\r\nCall-ID: 1\r\n\r\nSignal= *\r\nDuration=160\r\n*");
    }

    #[test]
    fn a_call_id_is_found_in_its_head_and_nowhere_else() {
        assert_eq!(call_id(b"BYE sip:b SIP/2.0\r\nContact: a\r\nCALL-id : 1\r\n\r\n"), Some("1"));
        assert_eq!(call_id(b"BYE sip:b SIP/2.0\nCall-ID:\n 2\n\n"), Some("2"));
        assert_eq!(call_id(b"BYE sip:b SIP/2.0\r\nCall-ID: \r\n\r\nCall-ID: 3"), None);
        assert_eq!(call_id(b"BYE sip:b SIP/2.0\r\n\r\nCall-ID: 3"), None);
        assert_eq!(call_id(b""), None);
    }
}
