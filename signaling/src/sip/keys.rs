//! Keys of a telephone in the body of an INFO, as carriers and telephones have written them since before RFC 6086 gave INFO
//! its packages: `application/dtmf-relay` (lines `Signal=5` and `Duration=160`) and `application/dtmf` (the key alone).

use std::time::Duration;

use milo_media::dtmf::is_key;

use super::message::Message;

/// The media type that says how long, and that we send.
pub const RELAY_TYPE: &str = "application/dtmf-relay";
/// The media type of a key alone.
pub const KEY_TYPE: &str = "application/dtmf";
/// How long a key was down that nobody says, and how long one can have been.
const USUAL: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPress {
    /// `0` to `9`, `*`, `#`, `A` to `D`.
    pub key: char,
    /// How long it was down.
    pub duration: Duration,
}

/// What an INFO says of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// This key was pressed.
    Key(KeyPress),
    /// Nothing was said (INFO without a body keeps sessions alive), or a hook flash, which is no key.
    Nothing,
    /// It should be a key and is none.
    Malformed,
    /// Something else.
    Other,
}

impl Message {
    /// The key that this INFO tells of.
    pub(crate) fn told_key(&self) -> Told {
        if self.body.is_empty() {
            return Told::Nothing;
        }
        let text = String::from_utf8_lossy(&self.body);
        match self.content_type().as_deref() {
            Some(RELAY_TYPE) => relay(&text),
            // Some write the lines of the other type in it.
            Some(KEY_TYPE) if text.contains('=') => relay(&text),
            Some(KEY_TYPE) => signal(&text, USUAL),
            _ => Told::Other,
        }
    }
}

/// `Signal=5`, `Duration=160`, in any order, case and spacing.
fn relay(text: &str) -> Told {
    let value = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once('='));
        fields.find(|(field, _)| field.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let duration = value("Duration").and_then(|milliseconds| milliseconds.parse().ok());
    let duration = duration.map_or(USUAL, Duration::from_millis).min(LONGEST);
    value("Signal").map_or(Told::Malformed, |text| signal(text, duration))
}

/// A key, or the number of its event (RFC 4733 section 3.2).
fn signal(text: &str, duration: Duration) -> Told {
    let text = text.trim();
    let mut chars = text.chars();
    let key = match (chars.next(), chars.next()) {
        (Some(key), None) if is_key(key) => key.to_ascii_uppercase(),
        _ => match text {
            "10" => '*',
            "11" => '#',
            "12" => 'A',
            "13" => 'B',
            "14" => 'C',
            "15" => 'D',
            "16" | "!" | "hf" | "flash" => return Told::Nothing,
            _ => return Told::Malformed,
        },
    };
    Told::Key(KeyPress { key, duration })
}

/// The body that tells of a key, of [`RELAY_TYPE`].
pub(crate) fn relay_body(press: KeyPress) -> Vec<u8> {
    format!("Signal={}\r\nDuration={}\r\n", press.key, press.duration.as_millis()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    fn told(content_type: &str, body: &str) -> Told {
        let mut info = Message::request(Method::Info, "sip:milo@localhost".parse().unwrap());
        info.set_body(content_type, body.as_bytes().to_vec());
        info.told_key()
    }

    fn key(key: char, milliseconds: u64) -> Told {
        Told::Key(KeyPress { key, duration: Duration::from_millis(milliseconds) })
    }

    #[test]
    fn keys_as_telephones_write_them() {
        assert_eq!(told(RELAY_TYPE, "Signal=5\r\nDuration=160\r\n"), key('5', 160));
        assert_eq!(told(RELAY_TYPE, "Signal= *\nDuration= 100"), key('*', 100));
        assert_eq!(told("Application/DTMF-Relay; charset=utf-8", "duration=90\r\nSIGNAL = d\r\n"), key('D', 90));
        assert_eq!(told(RELAY_TYPE, "Signal=11\r\n"), key('#', 250));
        assert_eq!(told(RELAY_TYPE, "Signal=#\r\nDuration=a while\r\n"), key('#', 250));
        assert_eq!(told(RELAY_TYPE, "Signal=1\r\nDuration=99999999\r\n"), key('1', 30_000));
        assert_eq!(told(KEY_TYPE, "7"), key('7', 250));
        assert_eq!(told(KEY_TYPE, " 10\r\n"), key('*', 250));
        assert_eq!(told(KEY_TYPE, "Signal=3\r\nDuration=250"), key('3', 250));
    }

    #[test]
    fn what_is_no_key() {
        assert_eq!(told(RELAY_TYPE, ""), Told::Nothing);
        assert_eq!(told(RELAY_TYPE, "Signal=hf\r\n"), Told::Nothing);
        assert_eq!(told(KEY_TYPE, "16"), Told::Nothing);
        for (kind, body) in
            [(RELAY_TYPE, "Duration=160"), (RELAY_TYPE, "Signal=\r\n"), (KEY_TYPE, "55"), (KEY_TYPE, "\u{e9}")]
        {
            assert_eq!(told(kind, body), Told::Malformed, "{body:?}");
        }
        assert_eq!(told("application/media_control+xml", "<picture_fast_update/>"), Told::Other);
        assert_eq!(told("text/plain", "5"), Told::Other);
    }

    #[test]
    fn what_is_written_is_read() {
        let press = KeyPress { key: '#', duration: Duration::from_millis(120) };
        let body = String::from_utf8(relay_body(press)).unwrap();
        assert_eq!(body, "Signal=#\r\nDuration=120\r\n");
        assert_eq!(told(RELAY_TYPE, &body), Told::Key(press));
    }
}
