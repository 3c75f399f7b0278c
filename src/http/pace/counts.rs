//! The counts of this node. What is counted is bounded: of more addresses than that, those whose hour is over are forgotten first.
//!
//! Where Redis counts for all nodes, these are what it said last and what has been counted since: they go on while it is away.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    redis::{Counted, Known},
    store::Key,
};

/// The time that a limit is about.
const HOUR: Duration = Duration::from_secs(3_600);
/// Addresses that are counted at once, and how often those whose hour is over are looked for when there are as many.
const MOST: usize = 65_536;
const SWEEP: Duration = Duration::from_secs(1);

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whom {
    Key(Key),
    /// Whatever it sends.
    Address(IpAddr),
    /// Without a key that is right.
    Stranger(IpAddr),
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key:{key}"),
            Self::Address(address) => write!(f, "address:{address}"),
            Self::Stranger(address) => write!(f, "stranger:{address}"),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Instant,
    /// Those that Redis knows of.
    told: u32,
    /// Those that it does not.
    untold: u32,
}

/// What a request, or several together, leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) struct Left {
    pub(super) limit: u32,
    /// None: it is too many.
    pub(super) remaining: Option<u32>,
    /// Until the next hour begins.
    pub(super) seconds: u64,
}

/// Keys are as many as the table has; addresses may be any number.
#[derive(Debug, Default)]
struct All {
    keys: HashMap<Key, Count>,
    addresses: HashMap<Whom, Count>,
    /// When those whose hour is over were looked for.
    swept: Option<Instant>,
}

impl All {
    /// The count of the hour that is; none where there is no room for it.
    fn of(&mut self, whom: Whom, now: Instant) -> Option<&mut Count> {
        let new = Count { since: now, told: 0, untold: 0 };
        let count = match whom {
            Whom::Key(key) => self.keys.entry(key).or_insert(new),
            _ => {
                if self.addresses.len() >= MOST && !self.addresses.contains_key(&whom) {
                    if self.swept.is_none_or(|swept| now - swept >= SWEEP) {
                        self.addresses.retain(|_, count| now - count.since < HOUR);
                        self.swept = Some(now);
                    }
                    // A flood from everywhere: rather uncounted than all refused.
                    if self.addresses.len() >= MOST {
                        return None;
                    }
                }
                self.addresses.entry(whom).or_insert(new)
            }
        };
        if now.saturating_duration_since(count.since) >= HOUR {
            *count = new;
        }
        Some(count)
    }
}

/// What has been counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Held for a look-up; never over a wait.
    all: Mutex<All>,
}

impl Counts {
    /// Counts so many requests here, all or none; `None` where they are not counted.
    pub(super) fn count(&self, whom: Whom, (limit, requests): (u32, u32), now: Instant) -> Option<Left> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.of(whom, now)?;
        // What is refused is not counted: whoever waits as told is let in.
        let remaining = limit.checked_sub((count.told + count.untold).saturating_add(requests));
        if remaining.is_some() {
            count.untold += requests;
        }
        Some(Left { limit, remaining, seconds: whole(rest(count.since, now)) })
    }

    /// What Redis is told, before it counts so many requests.
    pub(super) fn tell(&self, whom: Whom, (limit, requests): (u32, u32), now: Instant) -> Option<Known> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.of(whom, now)?;
        let untold = std::mem::take(&mut count.untold);
        Some(Known { whom: whom.to_string(), limit, requests, told: count.told, untold, rest: rest(count.since, now) })
    }

    /// Redis did not hear of it.
    pub(super) fn keep(&self, whom: Whom, known: &Known) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match whom {
            Whom::Key(key) => all.keys.get_mut(&key),
            _ => all.addresses.get_mut(&whom),
        };
        if let Some(count) = count {
            count.untold += known.untold;
        }
    }

    /// Redis has counted it.
    pub(super) fn learn(&self, whom: Whom, known: &Known, counted: Counted, now: Instant) -> Left {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.of(whom, now) {
            // An answer that was overtaken by another is of the same hour, and knows less.
            let is_same = counted.rest <= rest(count.since, now) + SWEEP;
            count.told = if is_same { count.told.max(counted.used) } else { counted.used };
            count.since = now + counted.rest.min(HOUR) - HOUR;
        }
        let remaining = (!counted.is_over).then(|| known.limit.saturating_sub(counted.used));
        Left { limit: known.limit, remaining, seconds: whole(counted.rest) }
    }
}

fn rest(since: Instant, now: Instant) -> Duration {
    (since + HOUR).saturating_duration_since(now)
}

fn whole(rest: Duration) -> u64 {
    rest.as_secs_f64().ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_hour_begins_with_the_first_request_and_ends() {
        let counts = Counts::default();
        let (whom, began) = (Whom::Key(Key::new()), Instant::now());
        let count = |at: Duration| counts.count(whom, (3, 1), began + at).unwrap();
        assert_eq!(count(Duration::ZERO), Left { limit: 3, remaining: Some(2), seconds: 3_600 });
        assert_eq!(count(Duration::from_secs(1_800)).remaining, Some(1));
        assert_eq!(count(Duration::from_secs(1_800)).remaining, Some(0));
        assert_eq!(count(Duration::from_secs(3_599)), Left { limit: 3, remaining: None, seconds: 1 });
        assert_eq!(count(HOUR).remaining, Some(2), "what was refused did not lengthen it");
        let (other, count) =
            (Whom::Key(Key::new()), |requests| counts.count(whom, (3, requests), began + HOUR).unwrap().remaining);
        assert_eq!(counts.count(other, (3, 1), began).unwrap().remaining, Some(2), "another key");
        assert_eq!((count(3), count(2), count(1)), (None, Some(0), None), "all of them or none");
    }

    #[tokio::test(start_paused = true)]
    async fn counts_are_bounded() {
        let (counts, now) = (Counts::default(), Instant::now());
        for n in 0..u32::try_from(MOST).unwrap() {
            counts.count(Whom::Address(IpAddr::from(n.to_be_bytes())), (3, 1), now);
        }
        let newcomer = Whom::Address([203, 0, 113, 9].into());
        assert_eq!(counts.count(newcomer, (3, 1), now), None);
        assert!(counts.count(newcomer, (3, 1), now + HOUR).is_some());
        assert_eq!(counts.all.lock().unwrap().addresses.len(), 1);
        assert!(counts.count(Whom::Key(Key::new()), (3, 1), now).is_some(), "keys are counted whatever addresses do");
    }

    #[tokio::test(start_paused = true)]
    async fn what_redis_has_counted_goes_on_here_and_what_it_missed_is_told() {
        let (counts, whom, now) = (Counts::default(), Whom::Key(Key::new()), Instant::now());
        let first = counts.tell(whom, (10, 1), now).unwrap();
        assert_eq!((first.told, first.untold, first.rest), (0, 0, HOUR));
        // Others have had six requests of that key, for half an hour.
        let half = HOUR / 2;
        let left = counts.learn(whom, &first, Counted { used: 7, is_over: false, rest: half }, now);
        assert_eq!(left, Left { limit: 10, remaining: Some(3), seconds: 1_800 });
        // An answer that this one has overtaken is of the same hour, and older.
        counts.learn(whom, &first, Counted { used: 4, is_over: false, rest: half }, now);
        assert_eq!(counts.tell(whom, (10, 1), now).unwrap().told, 7);
        // Redis is away: two more here.
        for remaining in [2, 1] {
            let asked = counts.tell(whom, (10, 1), now).unwrap();
            counts.keep(whom, &asked);
            assert_eq!(
                counts.count(whom, (10, 1), now).unwrap(),
                Left { limit: 10, remaining: Some(remaining), seconds: 1_800 }
            );
        }
        let back = counts.tell(whom, (10, 1), now).unwrap();
        assert_eq!((back.told, back.untold, back.rest), (7, 2, half));
        let left = counts.learn(whom, &back, Counted { used: 10, is_over: false, rest: half }, now);
        assert_eq!(left.remaining, Some(0));
        assert_eq!(counts.count(whom, (10, 1), now + half).unwrap().remaining, Some(9), "the hour is over here too");
    }
}
