//! Digest authentication, the server's side (RFC 7616, RFC 8760): what we ask, and whether what comes back is right.
//!
//! A nonce says when and to whom it was given, under a keyed hash: nothing is kept for those who only ask. Kept is, for each
//! account, which nonces answered right and how often (`nc`), so that nothing can be played again.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    net::IpAddr,
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::user::User;
use crate::sip::{
    buckets::{Buckets, Rate},
    digest::Algorithm,
    headers::Name,
    lexer::{Cursor, quote, split_outside, unquote},
    message::Message,
};

/// Bytes of the keyed hash in a nonce. It is guessed over the network, for as long as the nonce holds.
const SEAL: usize = 12;
/// How long a nonce holds.
const LIFE: Duration = Duration::from_secs(300);
/// Nonces that are counted for one account; when one more comes the oldest holds no longer, nor any that is older.
const COUNTED: usize = 32;

/// What a request with or without credentials deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sip) enum Judgement {
    /// It comes from the account at this place of the list.
    Known(usize),
    /// Ask, or ask again.
    Ask(Asked),
}

/// Why it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sip) enum Asked {
    /// It brought no credentials of ours.
    First,
    /// They were right, for a nonce that no longer holds or has been counted.
    Stale,
    /// They were wrong. `heard`: to a nonce that this very address was given, so it is not forged.
    Wrong { heard: bool },
    /// The very ones that were wrong before: a request that was sent again because its answer was lost is no other guess.
    Again,
}

/// How often a name's answers to nonces that do not hold are looked at: a telephone that comes again after five minutes has one.
const UNHEARD: Rate = Rate { burst: 20.0, a_second: 0.1 };
/// Wrong answers that are known again.
const WRONG: usize = 64;

/// The answer of an Authorization field.
#[derive(Debug)]
struct Answer {
    username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Algorithm,
    /// `nc` as a number and as it stands there, and `cnonce`; `None` where RFC 2069 is spoken.
    counted: Option<(u32, String, String)>,
}

impl Answer {
    fn of(value: &str) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        cursor.skip_space();
        let is_digest = cursor.token().is_some_and(|scheme| scheme.eq_ignore_ascii_case("digest"));
        let mut params = Vec::new();
        for piece in split_outside(cursor.rest(), ',').into_iter().take(32) {
            let mut cursor = Cursor::new(piece);
            cursor.skip_space();
            let Some(name) = cursor.token() else { continue };
            if !cursor.eat_spaced('=') {
                continue;
            }
            let value = match cursor.quoted() {
                Some(quoted) => unquote(quoted),
                None => cursor.token().unwrap_or_default().to_owned(),
            };
            params.push((name.to_ascii_lowercase(), value));
        }
        let param = |name: &str| params.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let counted = match param("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => {
                let text = param("nc")?;
                let nc = u32::from_str_radix(&text, 16).ok().filter(|_| text.len() == 8)?;
                Some((nc, text, param("cnonce")?))
            }
            Some(_) => return None,
        };
        let algorithm = Algorithm::named(&param("algorithm").unwrap_or_else(|| "MD5".to_owned()))?;
        Some(Self {
            username: param("username").filter(|_| is_digest)?,
            realm: param("realm")?,
            nonce: param("nonce")?,
            uri: param("uri")?,
            response: param("response")?,
            algorithm: Some(algorithm).filter(|one| matches!(one, Algorithm::Md5 | Algorithm::Sha256))?,
            counted,
        })
    }

    fn is_right(&self, secret: &str, method: &str) -> bool {
        let hash = |text: &str| self.algorithm.hash(text);
        let what = hash(&format!("{method}:{}", self.uri));
        let right = match &self.counted {
            Some((_, nc, cnonce)) => hash(&format!("{secret}:{}:{nc}:{cnonce}:auth:{what}", self.nonce)),
            None => hash(&format!("{secret}:{}:{what}", self.nonce)),
        };
        same(right.as_bytes(), self.response.to_ascii_lowercase().as_bytes())
    }
}

/// Compares in a time that does not say where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b))) == 0
}

/// The nonces of one account that have answered right.
#[derive(Debug, Default)]
struct Counts {
    /// Which nonce, and its last count.
    last: VecDeque<(u64, u32)>,
    /// Nonces up to this one hold no longer, unless they are counted.
    floor: u64,
}

impl Counts {
    /// Whether this nonce may still be used so; then it is counted.
    fn take(&mut self, nonce: u64, nc: u32) -> bool {
        if let Some((_, last)) = self.last.iter_mut().find(|(known, _)| *known == nonce) {
            let is_new = nc > *last;
            *last = nc.max(*last);
            return is_new;
        }
        if nonce <= self.floor || nc == 0 {
            return false;
        }
        self.last.push_back((nonce, nc));
        if self.last.len() > COUNTED
            && let Some((oldest, _)) = self.last.pop_front()
        {
            self.floor = self.floor.max(oldest);
        }
        true
    }
}

/// What may be answered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithms {
    /// The stronger one; telephones older than RFC 8760 may take no answer at all when it is offered.
    pub sha256: bool,
    /// The one that every telephone knows.
    pub md5: bool,
}

/// Whoever asks for credentials.
#[derive(Debug)]
pub(in crate::sip) struct Examiner {
    realm: String,
    algorithms: Algorithms,
    users: Vec<(User, Counts)>,
    /// The one that is examined in place of an unknown one: the same work, never right.
    nobody: User,
    key: [u8; 32],
    began: Instant,
    given: u64,
    /// The last wrong answers, hashed.
    wrong: VecDeque<u64>,
    /// Answers to nonces that hold no longer, or were never given there, by address and name.
    unheard: Buckets<(IpAddr, u64)>,
    hasher: RandomState,
}

impl Examiner {
    pub(in crate::sip) fn new(
        now: Instant,
        (realm, algorithms): (String, Algorithms),
        mut users: Vec<User>,
        key: [u8; 32],
    ) -> Self {
        users.sort_by(|a, b| a.name.cmp(&b.name));
        let nobody = User::new("", &realm, &format!("{key:?}"));
        let users = users.into_iter().map(|user| (user, Counts::default())).collect();
        Self {
            realm,
            algorithms,
            users,
            nobody,
            key,
            began: now,
            given: 0,
            wrong: VecDeque::new(),
            unheard: Buckets::new(now, UNHEARD),
            hasher: RandomState::new(),
        }
    }

    /// Has these accounts from now on; returns the names of those that are as they were.
    pub(super) fn replace(&mut self, mut users: Vec<User>) -> HashSet<String> {
        users.sort_by(|a, b| a.name.cmp(&b.name));
        let before = std::mem::take(&mut self.users);
        let mut before: HashMap<_, _> =
            before.into_iter().map(|(user, counts)| (user.name.clone(), (user, counts))).collect();
        let mut same = HashSet::new();
        for user in users {
            // What a nonce has been used for is not forgotten.
            let counts = match before.remove(&user.name) {
                Some((known, counts)) if known == user => {
                    same.insert(user.name.clone());
                    counts
                }
                _ => Counts::default(),
            };
            self.users.push((user, counts));
        }
        same
    }

    /// The account at this place of the list.
    pub(in crate::sip) fn name(&self, at: usize) -> &str {
        self.users.get(at).map_or("", |(user, _)| user.name.as_str())
    }

    /// Whether there is an account of this name.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.users.binary_search_by(|(user, _)| user.name.as_str().cmp(name)).is_ok()
    }

    /// Judges the credentials of a request from this address. An unknown account and a wrong password take the same steps.
    pub(in crate::sip) fn judge(&mut self, now: Instant, request: &Message, from: IpAddr) -> Judgement {
        let Some(answer) = self.answer_of(request) else {
            return Judgement::Ask(Asked::First);
        };
        let at = self.users.binary_search_by(|(user, _)| user.name.as_str().cmp(&answer.username));
        let user = at.ok().and_then(|at| self.users.get(at)).map_or(&self.nobody, |(user, _)| user);
        let method = request.method().map_or("", |method| method.as_str());
        let nonce = self.read(now, &answer.nonce, from);
        let guess = (from.to_canonical(), self.hasher.hash_one(&answer.username));
        if nonce.is_none() && !self.unheard.take(now, guess) {
            // That an answer to no nonce of ours is right would be told by `stale`, and wrong ones of that kind, which anybody may
            // forge, are held against nobody.
            return Judgement::Ask(Asked::First);
        }
        let is_right = answer.is_right(user.secret(answer.algorithm), method);
        let Some(at) = at.ok().filter(|_| is_right) else {
            let mut hasher = DefaultHasher::new();
            (&self.key, from, &answer.nonce, &answer.response, &answer.counted).hash(&mut hasher);
            let again = self.wrong.contains(&hasher.finish());
            if !again {
                self.wrong.push_back(hasher.finish());
                self.wrong.drain(..self.wrong.len().saturating_sub(WRONG));
            }
            return Judgement::Ask(if again { Asked::Again } else { Asked::Wrong { heard: nonce.is_some() } });
        };
        // That its `uri` is not the Request-URI says nothing: telephones leave user or port away (RFC 7616 section 3.4.6 knows
        // of proxies that change it), and the count keeps anybody from using the answer again.
        let nc = answer.counted.map_or(u32::MAX, |(nc, ..)| nc);
        let counts = self.users.get_mut(at).map(|(_, counts)| counts);
        let counted = nonce.zip(counts).is_some_and(|(nonce, counts)| counts.take(nonce, nc));
        if counted { Judgement::Known(at) } else { Judgement::Ask(Asked::Stale) }
    }

    /// Whose name [`Self::judge`] would judge the credentials of; `None`: it brings none of ours.
    pub(in crate::sip) fn claimed(&self, request: &Message) -> Option<String> {
        self.answer_of(request).map(|answer| answer.username)
    }

    /// The first answer to a challenge of ours.
    fn answer_of(&self, request: &Message) -> Option<Answer> {
        let fields = request.headers.get_all(Name::AUTHORIZATION).take(4);
        fields.filter_map(Answer::of).find(|answer| self.takes(answer))
    }

    fn takes(&self, answer: &Answer) -> bool {
        let offered = if answer.algorithm == Algorithm::Sha256 { self.algorithms.sha256 } else { self.algorithms.md5 };
        answer.realm == self.realm && offered
    }

    /// The fields that ask, the stronger first (RFC 8760 section 2.4).
    pub(in crate::sip) fn challenges(&mut self, now: Instant, to: IpAddr, stale: bool) -> Vec<(Name, String)> {
        self.given += 1;
        let nonce = self.nonce(now.saturating_duration_since(self.began).as_secs(), self.given, to);
        let (realm, stale) = (quote(&self.realm), if stale { ", stale=true" } else { "" });
        let Algorithms { sha256, md5 } = self.algorithms;
        let offered = [("SHA-256", sha256), ("MD5", md5)].into_iter().filter(|(_, offered)| *offered);
        let challenges = offered.map(|(algorithm, _)| {
            let value = format!("Digest realm={realm}, nonce=\"{nonce}\", qop=\"auth\", algorithm={algorithm}{stale}");
            (Name::WWW_AUTHENTICATE, value)
        });
        challenges.collect()
    }

    fn nonce(&self, second: u64, number: u64, to: IpAddr) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(format!("{second:x} {number:x} {}", to.to_canonical()));
        let seal: String = hash.finalize().iter().take(SEAL).map(|byte| format!("{byte:02x}")).collect();
        format!("{second:x}-{number:x}-{seal}")
    }

    /// Which nonce this is, when it was given to this address and still holds.
    fn read(&self, now: Instant, nonce: &str, from: IpAddr) -> Option<u64> {
        let mut parts = nonce.split('-');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (second, number) = (number()?, number()?);
        let age = now.saturating_duration_since(self.began).as_secs().checked_sub(second)?;
        let is_ours = same(self.nonce(second, number, from).as_bytes(), nonce.as_bytes());
        (is_ours && age <= LIFE.as_secs()).then_some(number)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;
    use crate::sip::{
        Method,
        digest::{Authorizer, Credentials},
    };

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn examiner(now: Instant) -> Examiner {
        Examiner::new(
            now,
            ("milo".to_owned(), Algorithms { sha256: true, md5: true }),
            vec![User::new("rina", "milo", "secret"), User::new("a", "milo", "b")],
            [7; 32],
        )
    }

    #[test]
    fn nobody_learns_by_stale_whether_a_guess_was_right() {
        let now = Instant::now();
        let mut examiner = examiner(now);
        let elsewhere = IpAddr::from([192, 0, 2, 2]);
        let asked = |examiner: &mut Examiner, password: &str| {
            // The nonce was given to somebody else.
            let mut guesser = authorizer(examiner, now, ("rina", password), false);
            examiner.judge(now, &authorized(&mut guesser), elsewhere)
        };
        assert_eq!(asked(&mut examiner, "secret"), Judgement::Ask(Asked::Stale));
        for at in 0..19 {
            let wrong = Judgement::Ask(Asked::Wrong { heard: false });
            assert_eq!(asked(&mut examiner, &format!("guess {at}")), wrong);
        }
        assert_eq!(asked(&mut examiner, "secret"), Judgement::Ask(Asked::First), "as to whoever brings none");
        // Who has heard the question is judged all the same.
        let mut rina = authorizer(&mut examiner, now, ("rina", "secret"), false);
        assert!(matches!(examiner.judge(now, &authorized(&mut rina), HERE), Judgement::Known(_)));
    }

    fn register() -> Message {
        Message::request(Method::Register, "sip:milo.example".parse().unwrap())
    }

    /// What our own client answers to a challenge, request by request.
    fn authorizer(examiner: &mut Examiner, now: Instant, (name, password): (&str, &str), weak: bool) -> Authorizer {
        let mut response = Message::response_to(&register(), 401, "");
        for (name, value) in examiner.challenges(now, HERE, false).into_iter().skip(usize::from(weak)) {
            response.headers.push(name, value);
        }
        let credentials = Credentials { username: name.to_owned(), password: password.to_owned(), realm: None };
        let mut authorizer = Authorizer::new(credentials);
        authorizer.challenged(&response, "cnonce").unwrap();
        authorizer
    }

    fn authorized(authorizer: &mut Authorizer) -> Message {
        let mut request = register();
        authorizer.authorize(&mut request);
        request
    }

    #[test]
    fn the_right_password_gets_in_by_both_algorithms_and_no_request_twice() {
        let now = Instant::now();
        let mut examiner = examiner(now);
        assert_eq!(examiner.judge(now, &register(), HERE), Judgement::Ask(Asked::First));
        for weak in [false, true] {
            let mut authorizer = authorizer(&mut examiner, now, ("rina", "secret"), weak);
            let (first, second) = (authorized(&mut authorizer), authorized(&mut authorizer));
            assert_eq!(examiner.judge(now, &second, HERE), Judgement::Known(1));
            assert_eq!(examiner.judge(now, &second, HERE), Judgement::Ask(Asked::Stale), "played again");
            assert_eq!(examiner.judge(now, &first, HERE), Judgement::Ask(Asked::Stale), "an older one");
            let third = authorized(&mut authorizer);
            let mut other = third.clone();
            other.start = Message::request(Method::Invite, "sip:milo.example".parse().unwrap()).start;
            assert_eq!(examiner.judge(now, &other, HERE), Judgement::Ask(Asked::Wrong { heard: true }));
            let elsewhere = [192, 0, 2, 2].into();
            assert_eq!(examiner.judge(now, &third, elsewhere), Judgement::Ask(Asked::Stale), "from another address");
            assert_eq!(examiner.judge(now, &third, HERE), Judgement::Known(1));
            let late = now + LIFE + Duration::from_secs(2);
            assert_eq!(examiner.judge(late, &authorized(&mut authorizer), HERE), Judgement::Ask(Asked::Stale));
        }
    }

    #[test]
    fn a_wrong_password_and_an_unknown_account_look_the_same() {
        let now = Instant::now();
        let mut examiner = examiner(now);
        for who in [("rina", "wrong"), ("nobody", "secret"), ("", "")] {
            let mut authorizer = authorizer(&mut examiner, now, who, false);
            let request = authorized(&mut authorizer);
            assert_eq!(examiner.judge(now, &request, HERE), Judgement::Ask(Asked::Wrong { heard: true }), "{who:?}");
            let elsewhere = [192, 0, 2, 2].into();
            assert_eq!(examiner.judge(now, &request, elsewhere), Judgement::Ask(Asked::Wrong { heard: false }));
        }
        for value in [
            "Digest realm=\"milo\"",
            "Basic YTpi",
            "",
            "Digest realm=\"milo\", username=\"a\", nonce=\"\", uri=\"\", response=\"\"",
        ] {
            let mut request = register();
            request.headers.push(Name::AUTHORIZATION, value);
            assert!(matches!(examiner.judge(now, &request, HERE), Judgement::Ask(_)), "{value}");
        }
    }

    #[test]
    fn forgotten_nonces_hold_no_longer() {
        let mut counts = Counts::default();
        for nonce in 1..=100 {
            assert!(counts.take(nonce, 1));
        }
        assert!(!counts.take(50, 2), "forgotten, so it may have been counted");
        assert!(counts.take(100, 2) && !counts.take(100, 2) && !counts.take(101, 0));
        assert_eq!(counts.last.len(), COUNTED);
    }
}
