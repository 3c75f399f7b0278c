//! What a REFER asks for (RFC 3515), and the fragments of SIP (RFC 3420) that tell how it went.

use std::net::IpAddr;

use super::{
    core::CallKey,
    header::{HeaderError, NameAddr},
    headers::Name,
    message::Message,
    replaces::Replaces,
    screen::Rejection,
    status::reason_phrase,
    uri::Uri,
};

/// The event package of the subscription that a REFER makes (RFC 3515 section 3).
pub const REFER: &str = "refer";
/// The media type of what its NOTIFYs carry.
pub const SIPFRAG: &str = "message/sipfrag";

/// The other side asks us to call somebody in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referral {
    /// Whom: the address of Refer-To, without the header fields in it.
    pub to: Uri,
    /// Whose place we are to take there: an attended transfer (RFC 3891).
    pub replaces: Option<Replaces>,
    /// The call of ours, with the same telephone, that `replaces` names.
    pub other: Option<CallKey>,
    /// The address is ours: that by which the other side knows us in this very call.
    pub is_here: bool,
    /// Where it came from.
    pub source: Option<IpAddr>,
    /// The addresses that we are reached at from there, besides those of our sockets.
    pub ours: Vec<IpAddr>,
    /// Who says so (RFC 3892), as it stands.
    pub referred_by: Option<String>,
}

impl Referral {
    /// Reads a REFER.
    ///
    /// # Errors
    /// 400 without exactly one Refer-To that can be read (RFC 3515 section 2.4.2); 603 when it is no INVITE to a SIP or
    /// telephone address that is asked for.
    pub fn read(request: &Message) -> Result<Self, Rejection> {
        let mut fields = request.headers.get_all(Name::REFER_TO);
        let value = fields.next().ok_or(HeaderError::Missing(Name::REFER_TO))?;
        if fields.next().is_some() {
            return Err(HeaderError::Repeated(Name::REFER_TO).into());
        }
        let malformed = || HeaderError::Malformed(Name::REFER_TO);
        let mut to = value.parse::<NameAddr>().map_err(|()| malformed())?.uri;
        let replaces = Replaces::of_uri(&to).map_err(|()| malformed())?;
        let is_invite = to.param("method").is_none_or(|method| method.eq_ignore_ascii_case("INVITE"));
        match &mut to {
            Uri::Sip(sip) if is_invite => {
                sip.headers = None;
                sip.params.remove("method");
            }
            Uri::Tel { .. } => {}
            Uri::Sip(_) | Uri::Other { .. } => return Err(Rejection::new(603)),
        }
        let referred_by = request.headers.get(Name::REFERRED_BY).map(str::to_owned);
        Ok(Self { to, replaces, other: None, is_here: false, source: None, ours: Vec::new(), referred_by })
    }
}

/// The status line that tells how far the call that a REFER asked for is.
pub(crate) fn fragment(code: u16) -> Vec<u8> {
    format!("SIP/2.0 {code} {}\r\n", reason_phrase(code)).into_bytes()
}

/// The status code that a fragment begins with.
pub(crate) fn told(body: &[u8]) -> Option<u16> {
    let line = body.split(|byte| *byte == b'\r' || *byte == b'\n').next()?;
    let mut words = line.split(|byte| *byte == b' ');
    let (version, code) = (words.next()?, words.next().filter(|code| code.len() == 3)?);
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    (version.eq_ignore_ascii_case(b"SIP/2.0") && (100..700).contains(&code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    fn read(fields: &[&str]) -> Result<Referral, u16> {
        let mut refer = Message::request(Method::Refer, "sip:milo@127.0.0.1".parse().unwrap());
        for value in fields {
            refer.headers.push(Name::REFER_TO, *value);
        }
        Referral::read(&refer).map_err(|rejection| rejection.code)
    }

    #[test]
    fn one_address_with_what_stands_in_it() {
        let blind = read(&["\"Bao\" <sip:bao@192.0.2.7;method=INVITE>;x=y"]).unwrap();
        assert_eq!((blind.to.to_string().as_str(), blind.replaces), ("sip:bao@192.0.2.7", None));
        let attended = read(&["<sip:bao@192.0.2.7?Subject=x&replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>"]).unwrap();
        assert_eq!(attended.to.to_string(), "sip:bao@192.0.2.7");
        assert_eq!(attended.replaces.unwrap().call_id, "a@b");
        assert_eq!(read(&[]), Err(400));
        assert_eq!(read(&["<sip:a@b>", "<sip:c@d>"]), Err(400));
        assert_eq!(read(&["nobody"]), Err(400));
        assert_eq!(read(&["<sip:a@b?Replaces=x>"]), Err(400));
        assert_eq!(read(&["<sip:a@b;method=BYE>"]), Err(603));
        assert_eq!(read(&["<https://example.mg/>"]), Err(603));
    }

    #[test]
    fn fragments_are_written_and_read() {
        assert_eq!(fragment(486), b"SIP/2.0 486 Busy Here\r\n");
        assert_eq!(told(&fragment(100)), Some(100));
        assert_eq!(told(b"sip/2.0 200"), Some(200), "without its phrase");
        assert_eq!(told(b"SIP/2.0 200 OK\nTo: x"), Some(200));
        for none in
            [b"".as_slice(), b"SIP/2.0", b"SIP/2.0 99 x\r\n", b"SIP/3.0 200 OK", b"INVITE sip:a@b SIP/2.0", b"\xff"]
        {
            assert_eq!(told(none), None);
        }
    }
}
