//! How many requests an hour: of each key by its tier, of each address, told in `RateLimit-*` fields
//! (draft-ietf-httpapi-ratelimit-headers-03).
//!
//! An hour begins with somebody's first request. What is counted is bounded: of more addresses than that, those whose hour is
//! over are forgotten first.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, response::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::{
    AppState, Problem,
    guard::{Asker, Sent},
};
use crate::{config::RateLimits, keys::Tier, store::Key};

/// The time that a limit is about.
const HOUR: Duration = Duration::from_secs(3_600);
/// Addresses that are counted at once, and how often those whose hour is over are looked for when there are as many.
const MOST: usize = 65_536;
const SWEEP: Duration = Duration::from_secs(1);

/// Who is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Key(Key),
    /// Whatever it sends.
    Address(IpAddr),
    /// Without a key that is right.
    Stranger(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    since: Instant,
    requests: u32,
}

/// The counts of this process.
#[derive(Debug)]
pub(super) struct Pace {
    rate_limits: RateLimits,
    counts: Mutex<Counts>,
}

/// Keys are as many as the table has; addresses may be any number.
#[derive(Debug, Default)]
struct Counts {
    keys: HashMap<Key, Count>,
    addresses: HashMap<Whom, Count>,
    /// When those whose hour is over were looked for.
    swept: Option<Instant>,
}

/// What a request leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    limit: u32,
    /// None: this request is one too many.
    remaining: Option<u32>,
    /// Until the next hour begins.
    seconds: u64,
}

impl Pace {
    pub(super) fn new(rate_limits: RateLimits) -> Self {
        Self { rate_limits, counts: Mutex::default() }
    }

    /// Counts a request; `None` where there is no limit.
    fn count(&self, whom: Whom, limit: u32, now: Instant) -> Option<Left> {
        if limit == 0 {
            return None;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let new = Count { since: now, requests: 0 };
        let count = match whom {
            Whom::Key(key) => counts.keys.entry(key).or_insert(new),
            _ => {
                if counts.addresses.len() >= MOST && !counts.addresses.contains_key(&whom) {
                    if counts.swept.is_none_or(|swept| now - swept >= SWEEP) {
                        counts.addresses.retain(|_, count| now - count.since < HOUR);
                        counts.swept = Some(now);
                    }
                    // A flood from everywhere: rather uncounted than all refused.
                    if counts.addresses.len() >= MOST {
                        return None;
                    }
                }
                counts.addresses.entry(whom).or_insert(new)
            }
        };
        if now - count.since >= HOUR {
            *count = Count { since: now, requests: 0 };
        }
        // What is refused is not counted: whoever waits as told is let in.
        let remaining = limit.checked_sub(count.requests + 1);
        count.requests += u32::from(remaining.is_some());
        let seconds = (count.since + HOUR - now).as_secs_f64().ceil() as u64;
        Some(Left { limit, remaining, seconds })
    }

    /// Counts a request of this asker: the narrower of its limits.
    fn judge(&self, asker: &Asker, now: Instant) -> Option<Left> {
        // Behind a proxy on this machine everybody has this address.
        let address = asker.address.filter(|address| !address.is_loopback()).map(network);
        let by_address = address.and_then(|address| self.count(Whom::Address(address), self.rate_limits.address, now));
        let by_key = match &asker.key {
            Sent::Right(bearer) => bearer.id.and_then(|id| match bearer.tier {
                Tier::Free => self.count(Whom::Key(id), self.rate_limits.free, now),
                Tier::Pro => self.count(Whom::Key(id), self.rate_limits.pro, now),
                Tier::Enterprise => None,
            }),
            _ => address.and_then(|address| self.count(Whom::Stranger(address), self.rate_limits.free, now)),
        };
        by_key.into_iter().chain(by_address).min_by_key(|left| left.remaining)
    }
}

/// One network of IPv6 has more addresses than can be counted: the network is.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Whether requests of this address are counted.
pub(super) fn is_counted(path: &str) -> bool {
    (path.starts_with("/api/") && path != "/api/v1/health") || path.starts_with("/v1/")
}

/// Finds out who asks, and refuses who asks too often. How Milo is may be asked at any pace.
pub(super) async fn pace(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let asker = Asker::of(&request, &state.keys);
    let path = request.uri().path();
    let left = if is_counted(path) { state.pace.judge(&asker, Instant::now()) } else { None };
    request.extensions_mut().insert(asker);
    let Some(left) = left else { return next.run(request).await };
    let response = if left.remaining.is_some() {
        next.run(request).await
    } else {
        let says =
            format!("more than {} requests within an hour; the next is answered in {} s", left.limit, left.seconds);
        Problem::too_many(says, left.seconds).into_response()
    };
    let (mut head, body) = response.into_parts();
    tell(&mut head, left);
    Response::from_parts(head, body)
}

fn tell(head: &mut Parts, left: Left) {
    let remaining = left.remaining.unwrap_or_default();
    for (name, value) in [
        ("ratelimit-limit", u64::from(left.limit)),
        ("ratelimit-remaining", remaining.into()),
        ("ratelimit-reset", left.seconds),
    ] {
        head.headers.insert(name, HeaderValue::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(RateLimits { free: 3, ..RateLimits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_begins_with_the_first_request_and_ends() {
        let pace = pace();
        let (whom, began) = (Whom::Key(Key::new()), Instant::now());
        let count = |at: Duration| pace.count(whom, 3, began + at).unwrap();
        assert_eq!(count(Duration::ZERO), Left { limit: 3, remaining: Some(2), seconds: 3_600 });
        assert_eq!(count(Duration::from_secs(1_800)).remaining, Some(1));
        assert_eq!(count(Duration::from_secs(1_800)).remaining, Some(0));
        assert_eq!(count(Duration::from_secs(3_599)), Left { limit: 3, remaining: None, seconds: 1 });
        assert_eq!(count(HOUR).remaining, Some(2), "what was refused did not lengthen it");
        assert_eq!(pace.count(Whom::Key(Key::new()), 3, began).unwrap().remaining, Some(2), "another key");
        assert_eq!(pace.count(whom, 0, began), None, "no limit");
    }

    #[tokio::test(start_paused = true)]
    async fn counts_are_bounded_and_a_network_is_one() {
        let (pace, now) = (pace(), Instant::now());
        for n in 0..u32::try_from(MOST).unwrap() {
            pace.count(Whom::Address(IpAddr::from(n.to_be_bytes())), 3, now);
        }
        let newcomer = Whom::Address([203, 0, 113, 9].into());
        assert_eq!(pace.count(newcomer, 3, now), None);
        assert!(pace.count(newcomer, 3, now + HOUR).is_some());
        assert_eq!(pace.counts.lock().unwrap().addresses.len(), 1);
        assert!(pace.count(Whom::Key(Key::new()), 3, now).is_some(), "keys are counted whatever addresses do");
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), network("2001:db8:1:2::ffff".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
    }
}
