//! Who a caller is said to be, and whom it called before it came to us, as an INVITE says it: P-Asserted-Identity and Privacy
//! (RFC 3325, RFC 3323), Diversion (RFC 5806), History-Info (RFC 7044). Read, and written when a call is sent on. Whether any of it
//! is to be believed depends on who sent it (RFC 3324), and is for the reader to judge.

use super::{
    header::NameAddr,
    headers::Name,
    lexer::{is_token, unquote},
    message::Message,
    uri::{SipUri, Uri},
};

/// Identities that are read of one INVITE: RFC 3325 section 9.1 allows a SIP one and a telephone number.
const ASSERTED: usize = 4;
/// Diversions that are read of one INVITE.
const DIVERTED: usize = 10;
/// Who calls, when that is nobody's business (RFC 3323 section 4.1.1.3).
pub const ANONYMOUS: &str = "anonymous";
/// The domain of such a caller.
pub(super) const ANONYMOUS_HOST: &str = "anonymous.invalid";

/// What an INVITE says of its caller beside From.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Whom the network has found it to be: P-Asserted-Identity.
    pub asserted: Vec<Uri>,
    /// Whoever is called is not to see who calls: Privacy says so, or From is anonymous.
    pub is_private: bool,
    /// Who was called before us, the first one first.
    pub diverted: Vec<Diverted>,
}

/// Somebody who was called and has sent the call on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diverted {
    /// Who.
    pub from: Uri,
    /// Why, in the words of RFC 5806: `user-busy`, `no-answer`, `unconditional`, `deflection`, `unavailable`, … or `unknown`.
    pub why: String,
}

impl Identity {
    /// What this INVITE says. What cannot be read is left out.
    pub fn of(invite: &Message) -> Self {
        let named = |name: Name| invite.headers.get_all(name).filter_map(|value| value.parse::<NameAddr>().ok());
        let asserted = named(Name::P_ASSERTED_IDENTITY).map(|name| name.uri).take(ASSERTED).collect();
        let from = invite.from().ok().map(|from| from.uri);
        // The newest Diversion stands on top (RFC 5806 section 9.2).
        let mut diverted: Vec<_> = named(Name::DIVERSION)
            .map(|field| Diverted { why: word(field.params.get("reason")), from: field.uri })
            .collect();
        diverted.reverse();
        if diverted.is_empty() {
            diverted = history(named(Name::HISTORY_INFO).map(|field| field.uri).collect());
        }
        diverted.truncate(DIVERTED);
        Self { asserted, is_private: wants_privacy(invite) || from.is_some_and(|from| is_anonymous(&from)), diverted }
    }

    /// The Diversion fields of this call when `by` sends it on (RFC 5806 section 9.1), the newest first.
    pub fn diversions(&self, by: &Uri) -> Vec<(Name, String)> {
        let own = Diverted { from: by.clone(), why: "unconditional".into() };
        let all = self.diverted.iter().chain([&own]).rev();
        all.map(|Diverted { from, why }| (Name::DIVERSION, format!("<{}>;reason={why};counter=1", bare(from))))
            .collect()
    }

    /// The History-Info fields of this call when `by` sends it on to `to` (RFC 7044 section 10.3): whom it went to, one after the
    /// other, and why it went on from there (RFC 4458).
    pub fn history(&self, by: &Uri, to: &Uri) -> Vec<(Name, String)> {
        let went = self.diverted.iter().map(|one| (&one.from, one.why.as_str()));
        let mut went = went.chain([(by, "unconditional")]).peekable();
        let (mut index, mut why, mut fields) = ("1".to_owned(), None, Vec::new());
        while let Some((from, reason)) = went.next() {
            fields.push(entry(from, why, &index));
            (index, why) = (format!("{index}.1"), Some(reason));
            if went.peek().is_none() {
                fields.push(entry(to, why, &index));
            }
        }
        fields
    }
}

fn entry(uri: &Uri, why: Option<&str>, index: &str) -> (Name, String) {
    let mut uri = bare(uri);
    if let (Uri::Sip(sip), Some(why)) = (&mut uri, why) {
        sip.params.set("cause", Some(cause(why)));
    }
    // The one that it was mapped from is one level higher.
    let mapped = index.rsplit_once('.').map(|(before, _)| format!(";mp={before}")).unwrap_or_default();
    (Name::HISTORY_INFO, format!("<{uri}>;index={index}{mapped}"))
}

/// An address without what belongs to one request.
fn bare(uri: &Uri) -> Uri {
    match uri {
        Uri::Sip(SipUri { scheme, user, host, port, .. }) => {
            let mut bare = Uri::sip(None, host.clone(), *port);
            if let Uri::Sip(sip) = &mut bare {
                (sip.scheme, sip.user) = (scheme.clone(), user.clone());
            }
            bare
        }
        other => other.clone(),
    }
}

/// Whom the entries of a history have sent the call on from. Where only the host has changed nobody did: a proxy has found somebody.
fn history(entries: Vec<Uri>) -> Vec<Diverted> {
    let pairs = entries.iter().zip(entries.iter().skip(1));
    let sent_on = pairs.filter(|(from, to)| from.user() != to.user());
    sent_on.map(|(from, to)| Diverted { from: from.clone(), why: reason(from, to) }).collect()
}

/// Why the call went on: the cause at the next one (RFC 4458), or the Reason at the one before (RFC 7044 section 5).
fn reason(from: &Uri, to: &Uri) -> String {
    let of_next = to.param("cause").and_then(|cause| cause.parse().ok());
    let fields = from.as_sip().and_then(|sip| sip.headers.as_deref()).unwrap_or_default();
    let of_this = || {
        let fields = fields.to_ascii_lowercase();
        let (_, after) = fields.split_once("reason=sip")?.1.split_once("cause%3d")?;
        after.get(..3)?.parse().ok()
    };
    let word = match of_next.or_else(of_this) {
        Some(302) => "unconditional",
        Some(486) => "user-busy",
        Some(408) => "no-answer",
        Some(480 | 487) => "deflection",
        Some(503) => "unavailable",
        _ => "unknown",
    };
    word.to_owned()
}

/// The same the other way (RFC 7544 section 5).
fn cause(why: &str) -> &'static str {
    match why {
        "unconditional" => "302",
        "user-busy" => "486",
        "no-answer" => "408",
        "deflection" => "480",
        "unavailable" | "out-of-service" => "503",
        _ => "404",
    }
}

/// A reason as one word of the field's grammar.
fn word(reason: Option<&str>) -> String {
    let plain = unquote(reason.unwrap_or_default());
    if is_token(&plain) && plain.len() <= 64 { plain } else { "unknown".to_owned() }
}

/// Whether any of the privacy that is wanted speaks of who the caller is (RFC 3323 section 4.2, RFC 3325 section 9.3).
fn wants_privacy(invite: &Message) -> bool {
    let values = invite.headers.get_all(Name::PRIVACY).flat_map(|value| value.split([';', ',']));
    let mut wanted = values.map(|value| value.trim().to_ascii_lowercase());
    wanted.any(|value| ["id", "user", "header"].contains(&value.as_str()))
}

/// Whether an address is nobody's (RFC 3323 section 4.1.1.3).
pub fn is_anonymous(from: &Uri) -> bool {
    from.user().eq_ignore_ascii_case(ANONYMOUS)
        || from.host().is_some_and(|host| host.as_str().eq_ignore_ascii_case(ANONYMOUS_HOST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::parse;

    fn identity(fields: &str) -> Identity {
        let text = format!(
            "INVITE sip:milo@127.0.0.1 SIP/2.0\r\nFrom: <sip:034@pbx.example>;tag=1\r\n{fields}\r\nContent-Length: 0\r\n\r\n"
        );
        Identity::of(&parse(text.as_bytes()).unwrap())
    }

    fn diverted(identity: &Identity) -> Vec<(String, &str)> {
        identity.diverted.iter().map(|one| (one.from.user(), one.why.as_str())).collect()
    }

    fn texts(fields: Vec<(Name, String)>) -> Vec<String> {
        fields.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn both_kinds_of_asserted_identity_are_read() {
        let said =
            identity("P-Asserted-Identity: \"Rasoa\" <sip:+261341@pbx.example>, <tel:+261-341>\r\nPrivacy: none");
        let asserted: Vec<_> = said.asserted.iter().map(Uri::user).collect();
        assert_eq!((asserted, said.is_private), (vec!["+261341".to_owned(), "+261-341".to_owned()], false));
        assert_eq!(identity("P-Asserted-Identity: nonsense<").asserted, []);
    }

    #[test]
    fn privacy_is_what_hides_the_caller() {
        for (fields, private) in [
            ("Privacy: id", true),
            ("Privacy: critical; USER", true),
            ("Privacy: header", true),
            ("Privacy: none", false),
            ("Privacy: session", false),
            ("X: 1", false),
        ] {
            assert_eq!(identity(fields).is_private, private, "{fields}");
        }
        assert!(is_anonymous(&"sip:anonymous@anonymous.invalid".parse().unwrap()));
        assert!(is_anonymous(&"sip:Anonymous@pbx.example".parse().unwrap()));
        assert!(!is_anonymous(&"sip:034@pbx.example".parse().unwrap()));
    }

    #[test]
    fn whoever_was_called_first_stands_first() {
        let said = identity(
            "Diversion: <sip:2@b>;reason=no-answer;counter=1, <sip:1@b>;reason=\"user-busy\"\r\nHistory-Info: <sip:9@b>;index=1",
        );
        assert_eq!(diverted(&said), [("1".to_owned(), "user-busy"), ("2".to_owned(), "no-answer")]);
        let said = identity(
            "History-Info: <sip:1@b?Reason=SIP%3Bcause%3D486>;index=1, <sip:2@b>;index=1.1;mp=1, \
             <sip:3@b;cause=302>;index=1.1.1;mp=1.1, <sip:3@10.0.0.1>;index=1.1.1.1;rc=1.1.1",
        );
        assert_eq!(diverted(&said), [("1".to_owned(), "user-busy"), ("2".to_owned(), "unconditional")]);
    }

    #[test]
    fn a_call_that_is_sent_on_says_where_it_was() {
        let said = identity("Diversion: <sip:1@b;x=y?Subject=z>;reason=no-answer");
        let (by, to) = ("sip:2@us".parse().unwrap(), "sip:3@carrier".parse().unwrap());
        assert_eq!(
            texts(said.diversions(&by)),
            ["Diversion: <sip:2@us>;reason=unconditional;counter=1", "Diversion: <sip:1@b>;reason=no-answer;counter=1"]
        );
        let history = said.history(&by, &to);
        assert_eq!(
            texts(history.clone()),
            [
                "History-Info: <sip:1@b>;index=1",
                "History-Info: <sip:2@us;cause=408>;index=1.1;mp=1",
                "History-Info: <sip:3@carrier;cause=302>;index=1.1.1;mp=1.1"
            ]
        );
        let again = identity(&texts(history).join("\r\n"));
        assert_eq!(diverted(&again), [("1".to_owned(), "no-answer"), ("2".to_owned(), "unconditional")]);
    }
}
