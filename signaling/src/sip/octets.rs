//! Bytes of a message head as text, without losing any.
//!
//! SIP is UTF-8 (RFC 3261 section 7), but Latin-1 names are sent all the same. A byte that is no UTF-8 becomes one
//! character of a private plane, U+10FF00 plus the byte, and printing gives the byte back: what a peer wrote in Via or
//! From returns to it unchanged. Where the text is shown to people ([`readable`]), such a byte is Latin-1.

/// The first of the 256 characters that stand for single bytes.
const BASE: u32 = 0x10_FF00;

/// Bytes from the wire as text.
pub(crate) fn from_wire(bytes: &[u8]) -> String {
    if let Some(text) = str::from_utf8(bytes).ok().filter(|text| text.is_ascii()) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match stands_for(c) {
                // The peer itself sent one of our characters: kept byte by byte, so that it returns as it came.
                Some(_) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| text.push(carrier(byte))),
                None => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push(carrier(*byte)));
    }
    text
}

/// Appends `text` as it goes onto the wire. Line ends become spaces, so that no value can add a header field.
pub(crate) fn push_wire(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() && !text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
        return out.extend_from_slice(text.as_bytes());
    }
    for c in text.chars() {
        match (c, stands_for(c)) {
            ('\r' | '\n', _) => out.push(b' '),
            (_, Some(byte)) => out.push(byte),
            (c, None) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// `text` for people: bytes that were no UTF-8 are read as Latin-1.
pub(crate) fn readable(text: &str) -> String {
    text.chars().map(|c| stands_for(c).map_or(c, char::from)).collect()
}

/// The character that carries a byte.
fn carrier(byte: u8) -> char {
    char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The byte that a character carries.
fn stands_for(c: char) -> Option<u8> {
    u32::from(c).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_wire(&from_wire(bytes), &mut out);
        out
    }

    #[test]
    fn every_byte_returns() {
        let carriers: Vec<u8> = (0..=255).flat_map(|byte| carrier(byte).to_string().into_bytes()).collect();
        for bytes in [b"Andr\xe9 \xff\xfe".as_slice(), "André 大停電".as_bytes(), b"\xe5\xa4", &carriers] {
            assert_eq!(there_and_back(bytes), bytes);
        }
    }

    #[test]
    fn latin_1_is_readable() {
        assert_eq!(readable(&from_wire(b"Andr\xe9")), "André");
        assert_eq!(readable(&from_wire("André".as_bytes())), "André");
    }

    #[test]
    fn no_value_adds_a_line() {
        assert_eq!(there_and_back(b"a\r\nVia: b"), b"a  Via: b");
    }
}
