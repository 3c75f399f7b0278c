//! Keys in session descriptions: `a=crypto` (SDES, RFC 4568) and `a=fingerprint` with `a=setup` (DTLS-SRTP, RFC 5763).
//!
//! | the stream's protocol    | with                          | becomes                                     |
//! |--------------------------|-------------------------------|---------------------------------------------|
//! | `RTP/AVP(F)`             | neither                       | plain RTP; refused when SRTP is required    |
//! | `RTP/AVP(F)`             | either, "if you can"          | SRTP, as RFC 8643 has it and carriers do    |
//! | `RTP/SAVP(F)`            | `a=crypto`, or a fingerprint  | SRTP; refused without keys that can be used |
//! | `UDP/TLS/RTP/SAVP(F)`    | a fingerprint                 | SRTP with the keys of a handshake           |

use std::{net::IpAddr, sync::Arc};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use milo_media::srtp::{Fingerprint, Identity, MasterKey, Role, Security, Suite};

use crate::{
    offer_answer::{Local, Unacceptable},
    sdp::{Attribute, Media, Sdp},
};

/// Base64 of keys; some telephones leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What an endpoint wants of SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Srtp {
    /// Plain RTP only.
    Off,
    /// Secure offers are answered securely, plain ones plainly; our offers are plain RTP with keys of this way beside it
    /// (RFC 8643).
    Optional(Keying),
    /// Plain RTP is refused with 488; our offers are SRTP, keyed this way.
    Required(Keying),
}

impl Default for Srtp {
    fn default() -> Self {
        Self::Optional(Keying::Sdes)
    }
}

/// How our offers agree on keys. What comes in may be keyed either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keying {
    /// In the SDP.
    Sdes,
    /// By a handshake on the RTP port.
    Dtls,
}

/// What an endpoint wants of SRTP, and who it is in a handshake.
#[derive(Clone, Debug)]
pub struct MediaSecurity {
    /// What is wanted.
    pub srtp: Srtp,
    /// Our certificate; without one DTLS is refused.
    pub identity: Option<Arc<Identity>>,
}

impl MediaSecurity {
    /// Plain RTP only.
    pub const OFF: Self = Self { srtp: Srtp::Off, identity: None };
}

/// The transports of RTP (RFC 3551, 3711, 4585, 5764), by what they say of security.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Plain,
    Secure,
    Handshake,
}

impl Protocol {
    fn of(media: &Media) -> Option<Self> {
        let names = [
            ("RTP/AVP", Self::Plain),
            ("RTP/AVPF", Self::Plain),
            ("RTP/SAVP", Self::Secure),
            ("RTP/SAVPF", Self::Secure),
            ("UDP/TLS/RTP/SAVP", Self::Handshake),
            ("UDP/TLS/RTP/SAVPF", Self::Handshake),
        ];
        names.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(&media.protocol)).map(|(_, protocol)| protocol)
    }
}

/// Whether a stream is RTP of any kind.
pub(crate) fn is_rtp(media: &Media) -> bool {
    Protocol::of(media).is_some()
}

/// How a stream of an offer is secured, and what our answer says of it. `peer` is where its RTP wants to go.
pub(crate) fn answer(
    description: &Sdp,
    media: &Media,
    peer: IpAddr,
    local: &Local<'_>,
) -> Result<(Security, Vec<Attribute>), Unacceptable> {
    let protocol = Protocol::of(media).ok_or(Unacceptable::NotRtp)?;
    let plain = (Security::None, Vec::new());
    if local.security.srtp == Srtp::Off {
        return if protocol == Protocol::Plain { Ok(plain) } else { Err(Unacceptable::NotRtp) };
    }
    let crypto = || cryptos(media).find(|_| protocol != Protocol::Handshake);
    let handshake = handshake(description, media, local, |setup| role_of_answer(setup, peer, local));
    match (handshake, protocol) {
        // RFC 8643 section 3.1: DTLS before SDES where both are on offer, except where the protocol is that of SDES.
        (Some(security), Protocol::Plain | Protocol::Handshake) => Ok(with_setup(security)),
        (handshake, _) => match (crypto(), handshake) {
            (Some((tag, theirs)), _) => {
                let ours = our_key(local.previous, theirs.suite()).unwrap_or_else(|| MasterKey::random(theirs.suite()));
                let attributes = vec![crypto_attribute(tag, &ours)];
                Ok((Security::Sdes { ours, theirs }, attributes))
            }
            (None, Some(security)) => Ok(with_setup(security)),
            (None, None) if protocol != Protocol::Plain => Err(Unacceptable::NoKeys),
            (None, None) if matches!(local.security.srtp, Srtp::Required(_)) => Err(Unacceptable::NotSecure),
            (None, None) => Ok(plain),
        },
    }
}

/// The protocol of our offers, and what they say of security.
pub(crate) fn offer(local: &Local<'_>) -> (&'static str, Vec<Attribute>) {
    let cryptos = || {
        let keys = Suite::ALL
            .into_iter()
            .map(|suite| our_key(local.previous, suite).unwrap_or_else(|| MasterKey::random(suite)));
        keys.zip(1..).map(|(key, tag)| crypto_attribute(tag, &key)).collect()
    };
    let certificate = |identity| vec![fingerprint_attribute(identity), Attribute::new("setup", "actpass")];
    match (local.security.srtp, &local.security.identity) {
        (Srtp::Off, _) => ("RTP/AVP", Vec::new()),
        (Srtp::Optional(Keying::Dtls), Some(identity)) => ("RTP/AVP", certificate(identity)),
        (Srtp::Required(Keying::Dtls), Some(identity)) => ("UDP/TLS/RTP/SAVP", certificate(identity)),
        (Srtp::Optional(_), _) => ("RTP/AVP", cryptos()),
        (Srtp::Required(_), _) => ("RTP/SAVP", cryptos()),
    }
}

/// How a stream is secured once the peer has answered our offer of it.
pub(crate) fn accepted(
    ours: &Media,
    answer: &Sdp,
    theirs: &Media,
    local: &Local<'_>,
) -> Result<Security, Unacceptable> {
    let offered = Protocol::of(ours).ok_or(Unacceptable::NotRtp)?;
    let answered = Protocol::of(theirs).ok_or(Unacceptable::NotRtp)?;
    if ours.attribute("fingerprint").is_some() {
        let role = |setup: Option<&str>| match setup {
            Some("passive") => Some(Role::Active),
            Some("holdconn") => None,
            // RFC 4145 section 4.1: who says nothing is active.
            _ => Some(Role::Passive),
        };
        return match handshake(answer, theirs, local, role) {
            Some(security) => Ok(security),
            // RFC 8643 section 3.2: who cannot answers as if nothing had been said.
            None if offered == Protocol::Plain && answered == Protocol::Plain => Ok(Security::None),
            None => Err(Unacceptable::NoKeys),
        };
    }
    let chosen = cryptos(theirs).next();
    let key = chosen.as_ref().and_then(|(tag, theirs)| {
        let mut lines = cryptos(ours).filter(|(number, key)| number == tag && key.suite() == theirs.suite());
        lines.next().map(|(_, key)| key)
    });
    match (chosen, key) {
        (Some((_, theirs)), Some(ours)) => Ok(Security::Sdes { ours, theirs }),
        (None, _) if offered == Protocol::Plain && answered == Protocol::Plain => Ok(Security::None),
        _ => Err(Unacceptable::NoKeys),
    }
}

/// DTLS-SRTP, when the stream has a fingerprint, `role` is content with its `a=setup`, and we have a certificate.
fn handshake(
    description: &Sdp,
    media: &Media,
    local: &Local<'_>,
    role: impl FnOnce(Option<&str>) -> Option<Role>,
) -> Option<Security> {
    let identity = local.security.identity.as_ref()?;
    let at_stream = media.attribute("fingerprint").is_some();
    let attributes = if at_stream { &media.attributes } else { &description.attributes };
    let fingerprints: Vec<_> = attributes
        .iter()
        .filter(|attribute| attribute.name.eq_ignore_ascii_case("fingerprint"))
        .filter_map(|attribute| Fingerprint::parse(attribute.value.as_deref()?))
        .collect();
    if fingerprints.is_empty() {
        return None;
    }
    let setup = description.attribute_of(media, "setup").map(|setup| setup.trim().to_ascii_lowercase());
    Some(Security::Dtls { identity: identity.clone(), role: role(setup.as_deref())?, fingerprints })
}

/// RFC 5763 section 5: active where we may choose, so that the handshake need not wait for the answer. But a peer with a
/// private address can reach us, and we cannot reach it; and who had a role keeps it.
fn role_of_answer(setup: Option<&str>, peer: IpAddr, local: &Local<'_>) -> Option<Role> {
    let is_private = |ip: IpAddr| match ip.to_canonical() {
        // With the addresses of carriers' own NATs (RFC 6598).
        IpAddr::V4(ip) => ip.is_private() || ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64,
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    let before = local.previous.and_then(|previous| {
        previous.media.iter().filter(|media| media.port != 0).find_map(|media| media.attribute("setup"))
    });
    match setup {
        Some("actpass") => match before {
            Some("active") => Some(Role::Active),
            Some("passive") => Some(Role::Passive),
            _ if is_private(peer) && !is_private(local.rtp.ip()) => Some(Role::Passive),
            _ => Some(Role::Active),
        },
        Some("passive") => Some(Role::Active),
        Some("holdconn") => None,
        _ => Some(Role::Passive),
    }
}

fn with_setup(security: Security) -> (Security, Vec<Attribute>) {
    let Security::Dtls { identity, role, .. } = &security else { return (security, Vec::new()) };
    let setup = if *role == Role::Active { "active" } else { "passive" };
    let attributes = vec![fingerprint_attribute(identity), Attribute::new("setup", setup)];
    (security, attributes)
}

fn fingerprint_attribute(identity: &Identity) -> Attribute {
    Attribute::new("fingerprint", identity.fingerprint().to_string())
}

fn crypto_attribute(tag: u32, key: &MasterKey) -> Attribute {
    Attribute::new("crypto", format!("{tag} {} inline:{}", key.suite().name(), BASE64.encode(key.reveal())))
}

/// The `a=crypto` lines that can be used, preferred first.
fn cryptos(media: &Media) -> impl Iterator<Item = (u32, MasterKey)> {
    let lines = media.attributes.iter().filter(|attribute| attribute.name.eq_ignore_ascii_case("crypto"));
    lines.filter_map(|attribute| crypto(attribute.value.as_deref()?))
}

/// Reads `<tag> <suite> inline:<key and salt>[|<lifetime>] [<session parameters>]` (RFC 4568 section 9). `None` also for
/// what is well written and not done here: other suites, several keys (they need an MKI), an MKI, and parameters that
/// weaken SRTP or change its keys on the way.
fn crypto(value: &str) -> Option<(u32, MasterKey)> {
    let mut words = value.split_ascii_whitespace();
    let tag = words.next()?;
    let is_number = tag.len() <= 9 && tag.bytes().all(|byte| byte.is_ascii_digit());
    let tag = is_number.then(|| tag.parse().ok()).flatten()?;
    let suite = Suite::named(words.next()?)?;
    let (method, inline) = words.next()?.split_once(':')?;
    let mut parts = inline.split('|');
    let key = BASE64.decode(parts.next()?).ok()?;
    let lifetime_is_well = parts.next().is_none_or(is_lifetime);
    let parameters_are_well = words.all(|word| {
        // Window size hints are hints; `-` marks what may be ignored.
        word.starts_with('-') || word.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("WSH=")) || word == "KDR=0"
    });
    let holds = method.eq_ignore_ascii_case("inline") && lifetime_is_well && parts.next().is_none();
    (holds && parameters_are_well).then(|| MasterKey::new(suite, &key)).flatten().map(|key| (tag, key))
}

/// How many packets the key is good for: `2^20` or a number. Far more than a call has, so it is only read.
fn is_lifetime(text: &str) -> bool {
    let digits = text.strip_prefix("2^").unwrap_or(text);
    !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits != "0"
}

/// The key that we send with in this session already.
fn our_key(previous: Option<&Sdp>, suite: Suite) -> Option<MasterKey> {
    let streams = previous?.media.iter().filter(|media| media.port != 0);
    streams.flat_map(cryptos).map(|(_, key)| key).find(|key| key.suite() == suite)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use milo_media::{CODECS, Rtcp, Session, Tuning};

    use super::*;
    use crate::offer_answer;

    const KEY_80: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    const KEY_GCM: &str = "AAECAwQFBgcICQoLDA0OD1F1aWQgcHJvIHF1bw==";

    static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::generate().unwrap());

    fn wanting(srtp: Srtp) -> MediaSecurity {
        MediaSecurity { srtp, identity: (srtp != Srtp::Off).then(|| IDENTITY.clone()) }
    }

    fn local<'a>(security: &'a MediaSecurity, previous: Option<&'a Sdp>) -> Local<'a> {
        let tuning = Tuning::default();
        let rtp = "192.0.2.1:10000".parse().unwrap();
        Local { rtp, session_id: 7, codecs: CODECS, tuning, previous, security, on_hold: false }
    }

    fn sdp(ip: &str, stream: &str) -> Sdp {
        let text = format!("v=0\r\no=- 5 5 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n{stream}");
        Sdp::parse(text.as_bytes()).unwrap()
    }

    /// What is said of a stream with these attributes: the protocol, the security lines (keys cut off) and the agreement.
    fn answered(srtp: Srtp, protocol: &str, lines: &str) -> Result<(String, Security), Unacceptable> {
        let offer = sdp("192.0.2.9", &format!("m=audio 4000 {protocol} 0\r\n{lines}"));
        let (answer, session) = offer_answer::answer(&offer, &local(&wanting(srtp), None))?;
        let media = &answer.media[0];
        let mut said = media.protocol.clone();
        for name in ["crypto", "fingerprint", "setup"] {
            if let Some(value) = media.attribute(name) {
                let value = if name == "crypto" { value.rsplit_once(':').unwrap().0 } else { value };
                let value = value.replace(&IDENTITY.fingerprint().to_string(), "OURS");
                said = format!("{said} {name}:{value}");
            }
        }
        Ok((said, session.security))
    }

    fn suite_of(security: &Security) -> Option<Suite> {
        match security {
            Security::Sdes { ours, theirs } => {
                assert_eq!(ours.suite(), theirs.suite());
                Some(ours.suite())
            }
            _ => None,
        }
    }

    #[test]
    fn key_lines_of_rfc_4568_and_of_telephones() {
        let read = |value: &str| crypto(value).map(|(tag, key)| (tag, key.suite()));
        for (line, expected) in [
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}"), Some((1, Suite::AesCm128HmacSha1_80))),
            (format!("2 aes_cm_128_hmac_sha1_32 INLINE:{KEY_80}|2^20"), Some((2, Suite::AesCm128HmacSha1_32))),
            (
                format!("3 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|1048576 KDR=0 WSH=128"),
                Some((3, Suite::AesCm128HmacSha1_80)),
            ),
            (format!("9 AEAD_AES_128_GCM inline:{KEY_GCM} -X=1"), Some((9, Suite::AeadAes128Gcm))),
            (format!("9 AEAD_AES_128_GCM inline:{}", KEY_GCM.trim_end_matches('=')), Some((9, Suite::AeadAes128Gcm))),
            // An MKI, several keys, weaker SRTP, changing keys.
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|2^20|1:4"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|1:4"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|2^20|1:4;inline:{KEY_80}|2^20|2:4"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80} UNENCRYPTED_SRTP"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80} UNAUTHENTICATED_SRTP"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80} KDR=1"), None),
            // Unknown, short, none at all.
            (format!("1 F8_128_HMAC_SHA1_80 inline:{KEY_80}"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &KEY_80[4..]), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}AAAA"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|"), None),
            (format!("1 AES_CM_128_HMAC_SHA1_80 uri:{KEY_80}"), None),
            (format!("x AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}"), None),
            (format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}"), None),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:***".to_owned(), None),
            ("1 AES_CM_128_HMAC_SHA1_80".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(read(&line), expected, "{line}");
        }
        let (tag, key) = crypto(&format!("7 AEAD_AES_128_GCM inline:{KEY_GCM}")).unwrap();
        assert_eq!(crypto_attribute(tag, &key).value.unwrap(), format!("7 AEAD_AES_128_GCM inline:{KEY_GCM}"));
    }

    #[test]
    fn answers_by_protocol_keys_and_what_is_wanted() {
        let crypto = &format!("a=crypto:4 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|2^31\r\n");
        let several = &format!(
            "a=crypto:1 AES_256_CM_HMAC_SHA1_80 inline:AAAA\r\na=crypto:2 AEAD_AES_128_GCM inline:{KEY_GCM}\r\n{crypto}"
        );
        let mki = &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY_80}|2^20|1:4\r\n");
        let dtls = &format!("a=fingerprint:{}\r\na=setup:actpass\r\n", IDENTITY.fingerprint());
        let both = &format!("{dtls}{crypto}");
        let (optional, required) = (Srtp::Optional(Keying::Sdes), Srtp::Required(Keying::Sdes));
        let plain = Ok("RTP/AVP");
        for (srtp, protocol, lines, expected) in [
            (Srtp::Off, "RTP/AVP", "", plain),
            (Srtp::Off, "RTP/AVP", crypto, plain),
            (Srtp::Off, "RTP/SAVP", crypto, Err(Unacceptable::NotRtp)),
            (Srtp::Off, "UDP/TLS/RTP/SAVP", dtls, Err(Unacceptable::NotRtp)),
            (optional, "RTP/AVP", "", plain),
            (optional, "RTP/AVP", mki, plain),
            (optional, "RTP/AVP", crypto, Ok("RTP/AVP crypto:4 AES_CM_128_HMAC_SHA1_80 inline")),
            (optional, "RTP/SAVP", crypto, Ok("RTP/SAVP crypto:4 AES_CM_128_HMAC_SHA1_80 inline")),
            (optional, "rtp/savpf", several, Ok("rtp/savpf crypto:2 AEAD_AES_128_GCM inline")),
            (optional, "RTP/SAVP", mki, Err(Unacceptable::NoKeys)),
            (optional, "RTP/SAVP", "", Err(Unacceptable::NoKeys)),
            (optional, "UDP/TLS/RTP/SAVP", dtls, Ok("UDP/TLS/RTP/SAVP fingerprint:OURS setup:active")),
            (optional, "UDP/TLS/RTP/SAVPF", both, Ok("UDP/TLS/RTP/SAVPF fingerprint:OURS setup:active")),
            (optional, "UDP/TLS/RTP/SAVP", crypto, Err(Unacceptable::NoKeys)),
            (optional, "UDP/TLS/RTP/SAVP", "a=fingerprint:md5 00\r\na=setup:actpass\r\n", Err(Unacceptable::NoKeys)),
            (optional, "RTP/AVP", both, Ok("RTP/AVP fingerprint:OURS setup:active")),
            (optional, "RTP/SAVPF", both, Ok("RTP/SAVPF crypto:4 AES_CM_128_HMAC_SHA1_80 inline")),
            (optional, "RTP/SAVPF", dtls, Ok("RTP/SAVPF fingerprint:OURS setup:active")),
            (required, "RTP/AVP", "", Err(Unacceptable::NotSecure)),
            (required, "RTP/AVP", crypto, Ok("RTP/AVP crypto:4 AES_CM_128_HMAC_SHA1_80 inline")),
            (required, "UDP/TLS/RTP/SAVP", dtls, Ok("UDP/TLS/RTP/SAVP fingerprint:OURS setup:active")),
            (required, "TCP/RTP/AVP", crypto, Err(Unacceptable::NotRtp)),
        ] {
            let answered = answered(srtp, protocol, lines).map(|(said, security)| {
                assert_eq!(security == Security::None, said == "RTP/AVP", "{srtp:?} {protocol} {lines}");
                said
            });
            assert_eq!(answered, expected.map(str::to_owned), "{srtp:?} {protocol} {lines}");
        }
    }

    #[test]
    fn roles_are_mirrored_and_a_private_peer_begins() {
        let role = |ip: &str, setup: &str, previous: Option<&Sdp>| {
            let lines =
                format!("m=audio 4000 UDP/TLS/RTP/SAVP 0\r\na=fingerprint:{}\r\n{setup}", IDENTITY.fingerprint());
            let security = wanting(Srtp::Optional(Keying::Sdes));
            let (sdp, session) = offer_answer::answer(&sdp(ip, &lines), &local(&security, previous)).unwrap();
            assert_eq!(session.rtcp, Rtcp::Off, "no rtcp-mux, no keys for RTCP");
            let Security::Dtls { role, .. } = session.security else { panic!("{session:?}") };
            assert_eq!(sdp.media[0].attribute("setup"), Some(if role == Role::Active { "active" } else { "passive" }));
            (role, sdp)
        };
        assert_eq!(role("192.0.2.9", "a=setup:actpass\r\n", None).0, Role::Active);
        assert_eq!(role("192.0.2.9", "a=setup:passive\r\n", None).0, Role::Active);
        assert_eq!(role("192.0.2.9", "a=setup:active\r\n", None).0, Role::Passive);
        assert_eq!(role("192.0.2.9", "", None).0, Role::Passive);
        let (first, answer) = role("10.1.2.3", "a=setup:actpass\r\n", None);
        assert_eq!(first, Role::Passive);
        assert_eq!(role("100.72.1.2", "a=setup:actpass\r\n", None).0, Role::Passive, "behind a carrier's NAT");
        assert_eq!(role("192.0.2.9", "a=setup:actpass\r\n", Some(&answer)).0, Role::Passive, "who had a role keeps it");
    }

    #[test]
    fn a_re_invite_keeps_our_key_and_takes_theirs() {
        let security = wanting(Srtp::Optional(Keying::Sdes));
        let stream =
            |key: &str| format!("m=audio 4000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n");
        let keys = |session: Session| match session.security {
            Security::Sdes { ours, theirs } => (ours, theirs),
            other => panic!("{other:?}"),
        };
        let (first, session) =
            offer_answer::answer(&sdp("192.0.2.9", &stream(KEY_80)), &local(&security, None)).unwrap();
        let (ours, theirs) = keys(session);
        let newer = stream(&KEY_80.replace("WVN", "XVN"));
        let (second, session) =
            offer_answer::answer(&sdp("192.0.2.9", &newer), &local(&security, Some(&first))).unwrap();
        let (still, rekeyed) = keys(session);
        assert_eq!(ours, still);
        assert_ne!(theirs, rekeyed);
        assert_eq!(second, first, "so our answer is the same, version and all");
        let (_, session) = offer_answer::answer(&sdp("192.0.2.9", &stream(KEY_80)), &local(&security, None)).unwrap();
        assert_ne!(keys(session).0, ours, "another call has other keys");
    }

    #[test]
    fn milo_understands_milo_however_it_is_secured() {
        for (offering, answering, protocol) in [
            (Srtp::Off, Srtp::Optional(Keying::Sdes), "RTP/AVP"),
            (Srtp::Optional(Keying::Sdes), Srtp::Off, "RTP/AVP"),
            (Srtp::Optional(Keying::Sdes), Srtp::Optional(Keying::Sdes), "RTP/AVP"),
            (Srtp::Optional(Keying::Sdes), Srtp::Required(Keying::Dtls), "RTP/AVP"),
            (Srtp::Optional(Keying::Dtls), Srtp::Off, "RTP/AVP"),
            (Srtp::Optional(Keying::Dtls), Srtp::Optional(Keying::Sdes), "RTP/AVP"),
            (Srtp::Required(Keying::Sdes), Srtp::Optional(Keying::Sdes), "RTP/SAVP"),
            (Srtp::Required(Keying::Dtls), Srtp::Optional(Keying::Sdes), "UDP/TLS/RTP/SAVP"),
        ] {
            let (offering, answering) = (wanting(offering), wanting(answering));
            let (here, there) = (local(&offering, None), local(&answering, None));
            let offer = offer_answer::offer(&here);
            assert_eq!(offer.media[0].protocol, protocol);
            let (answer, theirs) = offer_answer::answer(&offer, &there).unwrap();
            let ours = offer_answer::apply_answer(&offer, &answer, &here).unwrap();
            match (&ours.security, &theirs.security) {
                (Security::None, Security::None) => {
                    assert!(offering.srtp == Srtp::Off || answering.srtp == Srtp::Off);
                }
                (Security::Sdes { ours: a, theirs: b }, Security::Sdes { ours: c, theirs: d }) => {
                    assert_eq!((a, b), (d, c));
                    assert_eq!(suite_of(&ours.security), Some(Suite::AeadAes128Gcm));
                }
                (Security::Dtls { role: Role::Passive, .. }, Security::Dtls { role: Role::Active, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn answers_that_do_not_fit_are_refused() {
        let (sdes, dtls) = (wanting(Srtp::Required(Keying::Sdes)), wanting(Srtp::Required(Keying::Dtls)));
        let apply = |security: &MediaSecurity, stream: &str| {
            let here = local(security, None);
            offer_answer::apply_answer(&offer_answer::offer(&here), &sdp("192.0.2.9", stream), &here)
                .map(|session| session.security)
        };
        let no_keys = Err(Unacceptable::NoKeys);
        assert_eq!(apply(&sdes, "m=audio 4000 RTP/SAVP 0\r\n"), no_keys);
        assert_eq!(apply(&sdes, "m=audio 4000 RTP/AVP 0\r\n"), no_keys);
        assert_eq!(apply(&dtls, "m=audio 4000 RTP/AVP 0\r\n"), no_keys);
        let maybe = wanting(Srtp::Optional(Keying::Dtls));
        assert_eq!(apply(&maybe, "m=audio 4000 RTP/AVP 0\r\n"), Ok(Security::None), "who cannot need not");
        assert_eq!(apply(&maybe, "m=audio 4000 RTP/SAVP 0\r\n"), no_keys);
        let line = |tag, suite| format!("m=audio 4000 RTP/SAVP 0\r\na=crypto:{tag} {suite} inline:{KEY_80}\r\n");
        assert_eq!(apply(&sdes, &line(7, "AES_CM_128_HMAC_SHA1_80")), no_keys, "a tag that was not offered");
        assert_eq!(apply(&sdes, &line(3, "AES_CM_128_HMAC_SHA1_80")), no_keys, "the tag of another suite");
        let taken = apply(&sdes, &line(2, "AES_CM_128_HMAC_SHA1_80")).unwrap();
        assert_eq!(suite_of(&taken), Some(Suite::AesCm128HmacSha1_80));
        assert!(!format!("{taken:?}").contains(&KEY_80[..8]));
    }

    #[test]
    fn no_key_is_ever_shown() {
        let security = wanting(Srtp::Required(Keying::Sdes));
        let offer = offer_answer::offer(&local(&security, None));
        let key = offer.media[0].attribute("crypto").unwrap().rsplit_once(':').unwrap().1.to_owned();
        assert!(offer.to_string().contains(&key));
        assert!(!format!("{offer:?}").contains(&key));
    }
}
