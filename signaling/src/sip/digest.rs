//! Digest authentication, the client's side (RFC 3261 section 22, RFC 7616, RFC 8760; RFC 2617 for those who know no
//! other).
//!
//! ```text
//!  401, 407 ─► challenged() ─► one session a realm: the strongest challenge that we know
//!  request ──► authorize()  ─► Authorization, Proxy-Authorization: also before anybody asks, while the nonce holds
//! ```

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::{
    headers::Name,
    lexer::{Cursor, quote, split_outside},
    message::Message,
};

/// Realms that one peer may ask for.
const REALMS: usize = 4;
/// How often the same request may be challenged: a server whose nonces are stale at once is not asked for ever.
const PATIENCE: u8 = 4;

/// Who we are to a registrar or proxy that asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: String,
    /// The only realm that may ask; `None`: any.
    pub realm: Option<String>,
}

impl fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// Why a challenge is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswerable {
    /// There is no challenge of the scheme Digest that we know the algorithm and qop of.
    #[error("it asks for credentials in a way that Milo does not know")]
    Unknown,
    /// Another realm asks than the configured one.
    #[error("the realm {0:?} asks for credentials, which is not the configured one")]
    OtherRealm(String),
    /// It has our answer and asks again.
    #[error("it does not accept the username and password")]
    Refused,
}

/// The hash of a challenge, the strongest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Algorithm {
    Md5Sess,
    Md5,
    Sha256Sess,
    Sha256,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        let known = [
            ("MD5-sess", Self::Md5Sess),
            ("MD5", Self::Md5),
            ("SHA-256-sess", Self::Sha256Sess),
            ("SHA-256", Self::Sha256),
        ];
        known.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, algorithm)| algorithm)
    }

    fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }

    /// The hash in hexadecimal.
    pub(super) fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Md5 | Self::Md5Sess => hex(&Md5::digest(text)),
            Self::Sha256 | Self::Sha256Sess => hex(&Sha256::digest(text)),
        }
    }
}

/// One challenge of a `WWW-Authenticate` or `Proxy-Authenticate`. Texts are as they stand between their quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether it named its algorithm: then our answer names it too.
    names_algorithm: bool,
    /// Whether it knows qop=auth; servers of RFC 2069 know none.
    qop: bool,
    stale: bool,
}

impl Challenge {
    /// The challenges of one header field that can be answered; the others are passed over.
    fn all_of(value: &str) -> Vec<Self> {
        let mut challenges = Vec::new();
        let mut current: Option<(&str, Vec<(&str, &str)>)> = None;
        for piece in split_outside(value, ',') {
            let mut cursor = Cursor::new(piece);
            let Some(mut name) = cursor.token() else { continue };
            cursor.skip_space();
            if cursor.peek() != Some('=') {
                // A scheme; its first parameter stands behind it.
                challenges.extend(current.replace((name, Vec::new())).and_then(Self::of));
                let Some(first) = cursor.token() else { continue };
                name = first;
            }
            if let Some((_, params)) = &mut current
                && cursor.eat_spaced('=')
            {
                let inside = |quoted: &'_ str| quoted.get(1..quoted.len() - 1).map(str::len);
                let rest = cursor.rest();
                let value = match cursor.quoted().and_then(inside) {
                    Some(length) => rest.get(1..=length).unwrap_or_default(),
                    None => cursor.token().unwrap_or_default(),
                };
                params.push((name, value));
            }
        }
        challenges.extend(current.and_then(Self::of));
        challenges
    }

    fn of((scheme, params): (&str, Vec<(&str, &str)>)) -> Option<Self> {
        let param =
            |name: &str| params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let qop = match param("qop") {
            None => false,
            Some(options) if options.split(',').any(|option| option.trim().eq_ignore_ascii_case("auth")) => true,
            // auth-int alone: no telephone company asks for it, and a proxy that changes a body breaks it.
            Some(_) => return None,
        };
        let algorithm = Algorithm::named(param("algorithm").unwrap_or("MD5"))?;
        let holds = scheme.eq_ignore_ascii_case("digest") && (qop || !algorithm.is_session());
        Some(Self {
            realm: param("realm").filter(|_| holds)?.to_owned(),
            nonce: param("nonce")?.to_owned(),
            opaque: param("opaque").map(str::to_owned),
            algorithm,
            names_algorithm: param("algorithm").is_some(),
            qop,
            stale: param("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The `response` of RFC 7616 section 3.4.1, without qop that of RFC 2069.
    fn response(&self, credentials: &Credentials, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let hash = |text: &str| self.algorithm.hash(text);
        let mut secret = hash(&format!("{}:{}:{}", credentials.username, self.realm, credentials.password));
        if self.algorithm.is_session() {
            secret = hash(&format!("{secret}:{}:{cnonce}", self.nonce));
        }
        let what = hash(&format!("{method}:{uri}"));
        if self.qop {
            hash(&format!("{secret}:{}:{count:08x}:{cnonce}:auth:{what}", self.nonce))
        } else {
            hash(&format!("{secret}:{}:{what}", self.nonce))
        }
    }
}

/// A challenge that we answer, as long as its nonce holds.
#[derive(Clone, Debug)]
struct Session {
    /// Who asked: a proxy (407) or the server itself (401).
    by_proxy: bool,
    challenge: Challenge,
    cnonce: String,
    /// The requests that its nonce went with: the nonce count.
    used: u32,
}

impl Session {
    fn authorize(&mut self, credentials: &Credentials, method: &str, uri: &str) -> String {
        self.used = self.used.saturating_add(1);
        let Self { challenge, cnonce, used, .. } = self;
        let response = challenge.response(credentials, method, uri, *used, cnonce);
        let username = quote(&credentials.username);
        let mut value = format!(
            "Digest username={username}, realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
            challenge.realm, challenge.nonce
        );
        if challenge.names_algorithm {
            let name = match challenge.algorithm {
                Algorithm::Md5 => "MD5",
                Algorithm::Md5Sess => "MD5-sess",
                Algorithm::Sha256 => "SHA-256",
                Algorithm::Sha256Sess => "SHA-256-sess",
            };
            value.push_str(&format!(", algorithm={name}"));
        }
        if challenge.qop {
            value.push_str(&format!(", cnonce=\"{cnonce}\", qop=auth, nc={used:08x}"));
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(&format!(", opaque=\"{opaque}\""));
        }
        value
    }
}

/// Answers the challenges of one peer.
#[derive(Clone, Debug)]
pub struct Authorizer {
    credentials: Credentials,
    sessions: Vec<Session>,
    /// The realms that asked first, where none is configured: whoever comes later, further on the way of a call, gets no hash to
    /// guess the password by.
    realms: Vec<String>,
    /// Challenges since the last response that was none.
    challenged: u8,
}

impl Authorizer {
    /// Nobody has asked yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, sessions: Vec::new(), realms: Vec::new(), challenged: 0 }
    }

    /// Takes the challenges of a 401 or 407; `cnonce` is random. The request deserves to be sent again, authorized.
    ///
    /// # Errors
    /// Nothing would come of it.
    pub fn challenged(&mut self, response: &Message, cnonce: &str) -> Result<(), Unanswerable> {
        let taken = self.take(response, cnonce);
        if taken.is_err() {
            // Whoever tries again later begins anew.
            self.challenged = 0;
            self.sessions.clear();
            self.realms.clear();
        }
        taken
    }

    fn take(&mut self, response: &Message, cnonce: &str) -> Result<(), Unanswerable> {
        self.challenged += 1;
        if self.challenged > PATIENCE {
            return Err(Unanswerable::Refused);
        }
        let (mut answered, mut other) = (false, None);
        let is_first = self.realms.is_empty();
        for (field, by_proxy) in [(Name::WWW_AUTHENTICATE, false), (Name::PROXY_AUTHENTICATE, true)] {
            // The strongest of a realm counts: of equal ones the first.
            let mut best: Vec<Challenge> = Vec::new();
            for challenge in response.headers.get_all(field).flat_map(Challenge::all_of) {
                match best.iter_mut().find(|known| known.realm == challenge.realm) {
                    Some(known) if known.algorithm < challenge.algorithm => *known = challenge,
                    Some(_) => {}
                    None => best.push(challenge),
                }
            }
            for challenge in best {
                let is_known = match &self.credentials.realm {
                    Some(realm) => *realm == challenge.realm,
                    None if self.realms.contains(&challenge.realm) => true,
                    None => is_first && self.realms.len() < REALMS,
                };
                if !is_known {
                    other = Some(challenge.realm);
                    continue;
                }
                if !self.realms.contains(&challenge.realm) {
                    self.realms.push(challenge.realm.clone());
                }
                let asked = |known: &Session| known.by_proxy == by_proxy && known.challenge.realm == challenge.realm;
                let known = self.sessions.iter().position(asked).map(|at| self.sessions.swap_remove(at));
                // An answer to its own challenge that is refused is wrong; one to an earlier challenge may be too old.
                if known.is_some_and(|known| known.used == 1 && !challenge.stale) {
                    return Err(Unanswerable::Refused);
                }
                self.sessions.push(Session { by_proxy, challenge, cnonce: cnonce.to_owned(), used: 0 });
                answered = true;
            }
        }
        match (answered, other) {
            (true, _) => Ok(()),
            (false, Some(realm)) => Err(Unanswerable::OtherRealm(realm)),
            (false, None) => Err(Unanswerable::Unknown),
        }
    }

    /// A final response came that is no challenge.
    pub fn settled(&mut self) {
        self.challenged = 0;
    }

    /// Gives a request its credentials, in place of those that it had; nothing before the first challenge.
    pub fn authorize(&mut self, request: &mut Message) {
        let (Some(method), Some(uri)) = (request.method().cloned(), request.uri().map(ToString::to_string)) else {
            return;
        };
        request.headers.remove(Name::AUTHORIZATION);
        request.headers.remove(Name::PROXY_AUTHORIZATION);
        for session in &mut self.sessions {
            let name = if session.by_proxy { Name::PROXY_AUTHORIZATION } else { Name::AUTHORIZATION };
            request.headers.push(name, session.authorize(&self.credentials, method.as_str(), &uri));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    fn credentials(password: &str) -> Credentials {
        Credentials { username: "Mufasa".to_owned(), password: password.to_owned(), realm: None }
    }

    fn challenge(code: u16, values: &[&str]) -> Message {
        let mut response = Message::response_to(&register(), code, "");
        let name = if code == 407 { Name::PROXY_AUTHENTICATE } else { Name::WWW_AUTHENTICATE };
        values.iter().for_each(|value| response.headers.push(&name, *value));
        response
    }

    fn register() -> Message {
        Message::request(Method::Register, "sip:carrier.example".parse().unwrap())
    }

    #[test]
    fn the_vectors_of_rfc_7616_section_3_9_1() {
        let value = "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, \
                     nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (value, response) in [
            (value.to_owned(), "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
            (value.replace("SHA-256", "MD5"), "8ca523f5e9506fed4657c9700eebdbec"),
        ] {
            let challenge = Challenge::all_of(&value).remove(0);
            let made = challenge.response(&credentials("Circle of Life"), "GET", "/dir/index.html", 1, cnonce);
            assert_eq!(made, response, "{value}");
        }
    }

    #[test]
    fn the_vector_of_rfc_2617_section_3_5() {
        let value =
            "Digest realm=\"testrealm@host.com\",qop=\"auth,auth-int\",nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let challenge = Challenge::all_of(value).remove(0);
        let made = challenge.response(&credentials("Circle Of Life"), "GET", "/dir/index.html", 1, "0a4f113b");
        assert_eq!(made, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn many_challenges_on_one_line_and_what_is_strange_in_them() {
        let value = "Basic realm=\"a, b\", DIGEST Realm = \"say \\\"hi\\\"\" , nonce=\"n,1\",new=\"x=y\",opaque=\"\", stale=TRUE,, \
                     Digest realm=\"c\", nonce=unquoted, algorithm=SHA-512-256, Digest realm=\"d\", algorithm=md5, \
                     Digest realm=\"e\", nonce=\"2\", qop=\"auth-int\", Digest realm=f, nonce=3, algorithm=\"sha-256\", qop=auth";
        let found = Challenge::all_of(value);
        let seen: Vec<_> =
            found.iter().map(|one| (one.realm.as_str(), one.nonce.as_str(), one.algorithm, one.qop)).collect();
        assert_eq!(
            seen,
            [("say \\\"hi\\\"", "n,1", Algorithm::Md5, false), ("f", "3", Algorithm::Sha256, true)],
            "unknown algorithm, no nonce and auth-int alone are passed over"
        );
        assert_eq!((found[0].stale, found[0].opaque.as_deref()), (true, Some("")));
        for nothing in ["", "Digest", "Digest =", "Digest realm", "Digest realm=\"x", ",,,", "=\"", "Digest é=1"] {
            assert_eq!(Challenge::all_of(nothing), [], "{nothing}");
        }
    }

    #[test]
    fn the_strongest_challenge_of_a_realm_is_answered_and_the_nonce_counted() {
        let mut authorizer = Authorizer::new(credentials("secret"));
        let mut request = register();
        authorizer.authorize(&mut request);
        assert!(!request.headers.has(Name::AUTHORIZATION), "nobody has asked yet");
        let values = [
            "Digest realm=\"r\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\", opaque=\"o\"",
        ];
        authorizer.challenged(&challenge(401, &values), "c").unwrap();
        for count in ["nc=00000001", "nc=00000002"] {
            authorizer.authorize(&mut request);
            let value = request.headers.get(Name::AUTHORIZATION).unwrap();
            for part in [
                "username=\"Mufasa\"",
                "nonce=\"2\"",
                "algorithm=SHA-256",
                "opaque=\"o\"",
                "uri=\"sip:carrier.example\"",
                count,
            ] {
                assert!(value.contains(part), "no {part} in {value}");
            }
            assert!(!value.contains("secret"));
            assert_eq!(request.headers.get_all(Name::AUTHORIZATION).count(), 1, "the old one goes");
        }
        assert!(!format!("{authorizer:?}").contains("secret"));
    }

    #[test]
    fn a_wrong_password_is_not_tried_again_and_an_old_nonce_is() {
        let mut authorizer = Authorizer::new(credentials("secret"));
        let (mut request, asks) =
            (register(), |nonce: &str| challenge(401, &[&format!("Digest realm=\"r\", nonce=\"{nonce}\"")]));
        authorizer.challenged(&asks("1"), "c").unwrap();
        authorizer.authorize(&mut request);
        authorizer.settled();
        // The next request goes with the same nonce, which has grown old.
        authorizer.authorize(&mut request);
        authorizer.challenged(&asks("2"), "c").unwrap();
        authorizer.authorize(&mut request);
        assert_eq!(authorizer.challenged(&asks("3"), "c"), Err(Unanswerable::Refused));

        let mut authorizer = Authorizer::new(credentials("secret"));
        let stale = challenge(401, &["Digest realm=\"r\", nonce=\"1\", stale=true"]);
        let tries = (0..20).take_while(|_| {
            let again = authorizer.challenged(&stale, "c").is_ok();
            authorizer.authorize(&mut request);
            again
        });
        assert_eq!(tries.count(), usize::from(PATIENCE), "stale for ever");
    }

    #[test]
    fn a_realm_that_asks_later_gets_nothing_and_of_very_many_the_first_are_answered() {
        let mut authorizer = Authorizer::new(credentials("secret"));
        let mut request = register();
        authorizer.challenged(&challenge(407, &["Digest realm=\"carrier\", nonce=\"1\""]), "c").unwrap();
        authorizer.authorize(&mut request);
        let other = challenge(401, &["Digest realm=\"further on\", nonce=\"2\""]);
        assert_eq!(authorizer.challenged(&other, "c"), Err(Unanswerable::OtherRealm("further on".to_owned())));
        // Who begins anew may be asked by another realm.
        authorizer.challenged(&other, "c").unwrap();
        let many: Vec<_> = (0..100).map(|n| format!("Digest realm=\"{n}\", nonce=\"{n}\"")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let mut authorizer = Authorizer::new(credentials("secret"));
        authorizer.challenged(&challenge(401, &many), "c").unwrap();
        authorizer.authorize(&mut request);
        assert_eq!(request.headers.get_all(Name::AUTHORIZATION).count(), REALMS);
    }

    #[test]
    fn a_proxy_and_the_server_behind_it_each_get_their_own() {
        let mut authorizer = Authorizer::new(Credentials { realm: Some("r".to_owned()), ..credentials("secret") });
        let mut request = register();
        authorizer.challenged(&challenge(407, &["Digest realm=\"r\", nonce=\"1\""]), "c").unwrap();
        authorizer.authorize(&mut request);
        authorizer.challenged(&challenge(401, &["Digest realm=\"r\", nonce=\"2\""]), "c").unwrap();
        authorizer.authorize(&mut request);
        assert!(request.headers.get(Name::PROXY_AUTHORIZATION).unwrap().contains("nonce=\"1\""));
        assert!(request.headers.get(Name::AUTHORIZATION).unwrap().contains("nonce=\"2\""));
        let other = challenge(401, &["Digest realm=\"evil\", nonce=\"2\""]);
        assert_eq!(authorizer.challenged(&other, "c"), Err(Unanswerable::OtherRealm("evil".to_owned())));
        assert_eq!(authorizer.challenged(&challenge(401, &["Basic realm=\"r\""]), "c"), Err(Unanswerable::Unknown));
    }
}
