//! 80,000 seeded mutations of sound messages, descriptions, challenges and what answers them, held against the properties of the fuzz targets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::Engine as _;

#[path = "../fuzz/properties.rs"]
mod properties;

/// Words that mean something to a lexer.
const WORDS: [&[u8]; 25] = [
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\"",
    b"\\\"",
    b"\\",
    b"<",
    b">",
    b",",
    b";",
    b"=",
    b"@",
    b"[",
    b"]",
    b"%",
    b"%00",
    b"::",
    b"SIP/2.0",
    b"99999999999999999999",
    b"-1",
    b"\xff",
    b"\xc3\xa9",
    b"\xf4\x8f\xbc\x80",
    b"\0",
    b"Content-Length: 7\r\n",
];

const DESCRIPTION: &[u8] = b"v=0\r\no=- 3724394400 3724394405 IN IP4 192.0.2.9\r\ns=call\r\nc=IN IP4 192.0.2.9\r\nb=AS:84\r\n\
    t=0 0\r\na=sendrecv\r\nm=audio 4000/2 RTP/AVP 98 0 8 101\r\nc=IN IP4 192.0.2.8\r\na=rtcp:4007 IN IP4 192.0.2.9\r\n\
    a=rtpmap:98 speex/16000\r\na=rtpmap:101 telephone-event/8000/1\r\na=fmtp:101 0-16\r\na=ptime:30\r\na=maxptime:60\r\n\
    m=video 0 RTP/AVP 31\r\n";

/// xorshift64*: the same mutations in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

fn mutate(seed: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..1 + dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let end = (at + dice.below(12)).min(bytes.len());
        match dice.below(7) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            3 => drop(bytes.splice(at..at, other[dice.below(other.len())..].iter().copied().take(dice.below(60)))),
            4 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            _ => drop(bytes.splice(at..end.min(at + dice.below(3)), WORDS[dice.below(WORDS.len())].iter().copied())),
        }
    }
    bytes
}

fn corpus() -> Vec<Vec<u8>> {
    let all: serde_json::Value = serde_json::from_str(include_str!("data/sip-torture.json")).unwrap();
    let decode = |entry: &serde_json::Value| {
        base64::engine::general_purpose::STANDARD.decode(entry["b64"].as_str().unwrap()).unwrap()
    };
    all.as_object().unwrap().values().map(decode).filter(|message| message.len() < 1100).collect()
}

/// What the torture tests have little of: places that are taken, transfers, session timers.
fn calls() -> Vec<Vec<u8>> {
    let invite = crate::line::invite("").replace(
        "Contact",
        "Supported: timer, replaces\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 90\r\n\
         Replaces: 98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff;early-only\r\nContact",
    );
    let refer = crate::line::within("tag", "REFER", 2, "refer", "").replace(
        "Contact",
        "Refer-To: \"Bao\" <sip:bao@example.org;method=INVITE?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3B\
         from-tag%3D5FFE-3994>\r\nReferred-By: <sip:rasoa@127.0.0.1>\r\nContact",
    );
    vec![invite.into_bytes(), refer.into_bytes()]
}

fn hold(property: fn(&[u8]), corpus: &[Vec<u8>], rounds: usize, seed: u64) {
    let mut dice = Dice(seed);
    corpus.iter().for_each(|seed| property(seed));
    for _ in 0..rounds {
        let (a, b) = (dice.below(corpus.len()), dice.below(corpus.len()));
        property(&mutate(&corpus[a], &corpus[b], &mut dice));
    }
}

#[test]
fn datagrams() {
    hold(properties::sip, &corpus(), 20_000, 1);
}

#[test]
fn calls_and_transfers() {
    hold(properties::sip, &calls(), 10_000, 5);
}

#[test]
fn authorizations() {
    let corpus = [
        &b"Digest username=\"rina\", realm=\"milo\", nonce=\"@nonce@\", uri=\"sip:milo\", qop=auth, nc=00000001, cnonce=\"c\", \
          response=\"9f8a2b6c1d3e4f5061728394a5b6c7d8\", algorithm=MD5"[..],
        b"Digest username=\"rina\",realm=\"milo\",nonce=\"@nonce@\",uri=\"sip:milo\",response=\"00\",algorithm=SHA-256,opaque=\"\"",
        b"Basic cmluYTpzZWNyZXQ=\r\nAuthorization: Digest username=\"\\\"\", realm=\"milo\", nonce=\"1-1-00\", uri=\"\", response=\"\"",
    ];
    hold(properties::authorization, &corpus.map(<[u8]>::to_vec), 10_000, 6);
}

#[test]
fn streams() {
    hold(properties::stream, &corpus(), 10_000, 2);
}

#[test]
fn descriptions() {
    hold(properties::sdp, &[DESCRIPTION.to_vec()], 20_000, 3);
}

#[test]
fn challenges() {
    let corpus = [
        &b"Digest realm=\"carrier\", nonce=\"7ypf/xlj9XXw\", algorithm=SHA-256, qop=\"auth,auth-int\", opaque=\"FQhe\""[..],
        b"Basic realm=\"a\", Digest realm=\"b\", nonce=\"1\", stale=true, Digest realm=\"c\", nonce=2, qop=auth, algorithm=MD5-sess",
    ];
    hold(properties::challenge, &corpus.map(<[u8]>::to_vec), 10_000, 4);
}
