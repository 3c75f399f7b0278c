//! Bytes of a message head as text, without losing any.
//!
//! SIP is UTF-8 (RFC 3261 section 7), but Latin-1 names are sent all the same. A byte that is no UTF-8 becomes one
//! character of a private plane, U+10FF00 plus the byte, and printing gives the byte back: what a peer wrote in Via or
//! From returns to it unchanged. Where the text is shown to people ([`readable`]), such a byte is Latin-1.

/// The first of the 256 characters that stand for single bytes.
const BASE: u32 = 0x10_FF00;

/// Bytes from the wire as text.
pub(crate) fn from_wire(bytes: &[u8]) -> String {
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

fn carrier(byte: u8) -> char {
    char::from_u32(BASE + u32::from(byte)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn stands_for(c: char) -> Option<u8> {
    u32::from(c).checked_sub(BASE).and_then(|byte| u8::try_from(byte).ok())
}
