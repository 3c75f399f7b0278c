//! The link that a start prints in the terminal, and what it is exchanged for: once, within minutes, a key that lasts the day.
//!
//! Neither is written anywhere: both are held as hashes in this process, and end with it. The key is no row of the table, so that whoever
//! signs in at their own machine does not shut out what uses it without a key.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Bearer, Refusal, Scopes, Tier,
    secret::{Digest, digest, random},
};
use crate::{
    config::Secret,
    store::{Key, Stamp},
};

/// How long one is signed in.
const SIGNED_IN: Duration = Duration::from_secs(12 * 3_600);
/// Links and signed-in people at a time; a start prints one link.
const MOST: usize = 64;
/// What whoever signs in so is called in the log and the table of what was done.
const NAME: &str = "one-time link";

/// The links that are good, and who is signed in.
#[derive(Debug, Default)]
pub struct SignIns {
    /// The lock is taken as a link is made and used, and for a key that the table does not know; never over a wait.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the hash of each, until when it is good.
    links: HashMap<Digest, Stamp>,
    signed_in: HashMap<Digest, (Bearer, Stamp)>,
}

impl SignIns {
    /// What goes into a link that is good until then; nothing, where too many are.
    pub fn link(&self, until: Stamp, now: Stamp) -> Option<Secret> {
        let secret = Secret::new(format!("link_{}", URL_SAFE_NO_PAD.encode(random())));
        let mut known = self.lock();
        known.links.retain(|_, until| *until > now);
        (known.links.len() < MOST).then(|| {
            known.links.insert(digest(secret.reveal()), until);
            secret
        })
    }

    /// Uses a link: a key that may do everything, and until when. Where as many as may be are signed in, the first of them is signed out.
    ///
    /// # Errors
    /// [`Refusal::Link`]: it is none, was used, or is too old.
    pub fn redeem(&self, link: &str, now: Stamp) -> Result<(Secret, Stamp), Refusal> {
        let mut known = self.lock();
        known.links.remove(&digest(link)).filter(|until| *until > now).ok_or(Refusal::Link)?;
        known.signed_in.retain(|_, (_, until)| *until > now);
        if known.signed_in.len() >= MOST {
            let first = known.signed_in.iter().min_by_key(|(_, (_, until))| *until).map(|(given, _)| *given);
            if let Some(first) = first {
                known.signed_in.remove(&first);
            }
        }
        let secret = Secret::new(format!("session_{}", URL_SAFE_NO_PAD.encode(random())));
        let until = Stamp::from_millis(now.millis() + SIGNED_IN.as_millis() as i64);
        let (id, name, scopes, tier) = (Some(Key::new()), NAME.into(), Scopes::all(), Tier::Enterprise);
        known.signed_in.insert(digest(secret.reveal()), (Bearer { id, name, scopes, tier }, until));
        Ok((secret, until))
    }

    /// Whose key this is, if it came of a link.
    pub(super) fn judge(&self, given: &Digest, now: Stamp) -> Option<Result<Bearer, Refusal>> {
        let known = self.lock();
        known.signed_in.get(given).map(|signed_in| in_force(signed_in, now))
    }

    /// The same by its identifier.
    pub(super) fn bearer(&self, id: Key, now: Stamp) -> Option<Result<Bearer, Refusal>> {
        let known = self.lock();
        known.signed_in.values().find(|(bearer, _)| bearer.id == Some(id)).map(|signed_in| in_force(signed_in, now))
    }

    /// Whoever has this identifier is signed out; says whether they were signed in.
    pub fn end(&self, id: Key) -> bool {
        let mut known = self.lock();
        let before = known.signed_in.len();
        known.signed_in.retain(|_, (bearer, _)| bearer.id != Some(id));
        known.signed_in.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_force((bearer, until): &(Bearer, Stamp), now: Stamp) -> Result<Bearer, Refusal> {
    if *until > now { Ok(bearer.clone()) } else { Err(Refusal::Expired(*until)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Stamp {
        Stamp::from_millis(1_800_000_000_000 + seconds * 1_000)
    }

    #[test]
    fn a_link_signs_in_once_and_soon_and_not_for_ever() {
        let all = SignIns::default();
        let link = all.link(at(900), at(0)).unwrap();
        assert_eq!(all.redeem("link_other", at(1)).unwrap_err(), Refusal::Link);
        let (key, until) = all.redeem(link.reveal(), at(899)).unwrap();
        assert_eq!(all.redeem(link.reveal(), at(899)).unwrap_err(), Refusal::Link, "once");
        assert!(all.judge(&digest(link.reveal()), at(899)).is_none(), "the link itself is no key");
        let given = digest(key.reveal());
        let bearer = all.judge(&given, at(900)).unwrap().unwrap();
        assert!(bearer.scopes.allow(super::super::Scope::Admin));
        assert_eq!(all.bearer(bearer.id.unwrap(), at(900)), Some(Ok(bearer.clone())));
        assert_eq!(all.judge(&given, until), Some(Err(Refusal::Expired(until))));
        assert!(all.end(bearer.id.unwrap()) && !all.end(bearer.id.unwrap()));
        assert!(all.judge(&given, at(900)).is_none(), "signed out");

        let late = all.link(at(900), at(0)).unwrap();
        assert_eq!(all.redeem(late.reveal(), at(900)).unwrap_err(), Refusal::Link, "too old");
        for _ in 0..MOST {
            all.link(at(1_000), at(0)).unwrap();
        }
        assert!(all.link(at(1_000), at(0)).is_none(), "bounded");
        assert!(all.link(at(2_000), at(1_000)).is_some(), "those that are too old make room");
    }

    #[test]
    fn whoever_signed_in_first_makes_room() {
        let all = SignIns::default();
        let mut keys = Vec::new();
        for second in (0..).take(MOST + 1) {
            let link = all.link(at(900), at(second)).unwrap();
            keys.push(digest(all.redeem(link.reveal(), at(second)).unwrap().0.reveal()));
        }
        let is_in = |given: &Digest| all.judge(given, at(100)).is_some();
        assert!(!is_in(&keys[0]) && keys[1..].iter().all(is_in));
    }
}
