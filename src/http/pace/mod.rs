//! How many requests an hour: of each key by its tier, of each address, told in `RateLimit-*` fields
//! (draft-ietf-httpapi-ratelimit-headers-03).
//!
//! An hour begins with somebody's first request. With Redis all nodes count together; without, each by itself (counts.rs).

mod counts;

use std::net::{IpAddr, Ipv6Addr};

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
use crate::{
    config::RateLimits,
    keys::Tier,
    redis::{Known, Redis},
};
use counts::{Counts, Left, Whom};

/// The limits, and what has been counted.
#[derive(Debug)]
pub(super) struct Pace {
    rate_limits: RateLimits,
    counts: Counts,
    redis: Option<Redis>,
}

impl Pace {
    pub(super) fn new(rate_limits: RateLimits, redis: Option<Redis>) -> Self {
        Self { rate_limits, counts: Counts::default(), redis }
    }

    /// Counts further requests of this asker, where one stands for many: all of them, or none.
    ///
    /// # Errors
    /// They are too many for its hour.
    pub(super) async fn further(&self, asker: &Asker, requests: u32) -> Result<Option<Left>, Problem> {
        match self.judge(asker, requests, Instant::now()).await {
            Some(left) if left.remaining.is_none() => Err(left.over(requests)),
            left => Ok(left),
        }
    }

    /// Counts so many requests of this asker: the narrower of its limits.
    async fn judge(&self, asker: &Asker, requests: u32, now: Instant) -> Option<Left> {
        // Behind a proxy on this machine everybody has this address.
        let address = asker.address.filter(|address| !address.is_loopback()).map(network);
        let by_address = address.map(|address| (Whom::Address(address), self.rate_limits.address));
        let by_key = match &asker.key {
            Sent::Right(bearer) => bearer.id.and_then(|id| match bearer.tier {
                Tier::Free => Some((Whom::Key(id), self.rate_limits.free)),
                Tier::Pro => Some((Whom::Key(id), self.rate_limits.pro)),
                Tier::Enterprise => None,
            }),
            _ => address.map(|address| (Whom::Stranger(address), self.rate_limits.free)),
        };
        // 0 is no limit.
        let counted = by_key.into_iter().chain(by_address).filter(|(_, limit)| *limit > 0);
        self.count(counted.map(|(whom, limit)| (whom, (limit, requests))).collect(), now)
            .await
            .into_iter()
            .min_by_key(|left| left.remaining)
    }

    async fn count(&self, all: Vec<(Whom, (u32, u32))>, now: Instant) -> Vec<Left> {
        if let Some(redis) = &self.redis {
            let known: Vec<_> =
                all.iter().filter_map(|(whom, many)| Some((*whom, self.counts.tell(*whom, *many, now)?))).collect();
            if known.is_empty() {
                return Vec::new();
            }
            let (whom, asked): (Vec<Whom>, Vec<Known>) = known.into_iter().unzip();
            let mut telling = Telling { counts: &self.counts, whom: &whom, asked: &asked, is_heard: false };
            if let Some(counted) = redis.count(&asked).await {
                telling.is_heard = true;
                let each = whom.iter().zip(&asked).zip(counted);
                return each.map(|((whom, asked), counted)| self.counts.learn(*whom, asked, counted, now)).collect();
            }
        }
        all.into_iter().filter_map(|(whom, many)| self.counts.count(whom, many, now)).collect()
    }
}

/// What Redis is being told. It stays to be told where no answer comes, or nobody waits for it any more.
struct Telling<'p> {
    counts: &'p Counts,
    whom: &'p [Whom],
    asked: &'p [Known],
    is_heard: bool,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if !self.is_heard {
            self.whom.iter().zip(self.asked).for_each(|(whom, asked)| self.counts.keep(*whom, asked));
        }
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
    let asker = asker.by_address(request.uri(), (&state.keys, &state.tickets)).await;
    let path = request.uri().path();
    let left = if is_counted(path) { state.pace.judge(&asker, 1, Instant::now()).await } else { None };
    request.extensions_mut().insert(asker);
    let Some(left) = left else { return next.run(request).await };
    let response = if left.remaining.is_some() {
        next.run(request).await
    } else {
        state.metrics.http_limited();
        left.over(1).into_response()
    };
    let (mut head, body) = response.into_parts();
    // A request that stands for many has counted them since.
    let left = head.extensions.get().copied().unwrap_or(left);
    tell(&mut head, left);
    Response::from_parts(head, body)
}

impl Left {
    /// What is said of requests that are too many.
    fn over(self, requests: u32) -> Problem {
        let Self { limit, seconds, .. } = self;
        let says = match requests {
            1 => format!("more than {limit} requests within an hour; the next is answered in {seconds} s"),
            many => format!(
                "it counts as {many} more requests, of which {limit} are answered within an hour; another hour begins in {seconds} s"
            ),
        };
        Problem::too_many(says, seconds)
    }
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
    use std::net::SocketAddr;

    use axum::{body::Body, extract::ConnectInfo, http::header};

    use super::*;
    use crate::{
        config::{Secret, SecretUrl},
        keys::Keys,
        store::{Key, Store},
    };

    /// What is left to an asker at this address, with a key or without, after one request more: of what limit, and how many.
    async fn left(pace: &Pace, keys: &Keys, address: &str, key: Option<&str>) -> Option<(u32, Option<u32>)> {
        let mut request = Request::new(Body::empty());
        let address: IpAddr = address.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, 5_000)));
        if let Some(key) = key {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
        }
        let left = pace.judge(&Asker::of(&request, keys), 1, Instant::now()).await;
        left.map(|left| (left.limit, left.remaining))
    }

    #[tokio::test]
    async fn strangers_and_addresses_have_limits_of_their_own_and_0_is_none() {
        const KEY: &str = "0123456789abcdef";
        let folder = std::env::temp_dir().join(format!("milo-pace-{}", Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let keys = Keys::open(&store, Some(&Secret::new(KEY)), None).await.unwrap();
        let pace = Pace::new(RateLimits { free: 2, pro: 9, address: 4 }, None);
        let near = "192.0.2.1";
        assert_eq!(left(&pace, &keys, near, None).await, Some((2, Some(1))));
        assert_eq!(left(&pace, &keys, near, Some("wrong")).await, Some((2, Some(0))), "a wrong key is none");
        assert_eq!(left(&pace, &keys, near, None).await, Some((2, None)));
        // API_KEY has no limit; where it comes from has.
        assert_eq!(left(&pace, &keys, near, Some(KEY)).await, Some((4, Some(0))));
        assert_eq!(left(&pace, &keys, near, Some(KEY)).await, Some((4, None)));
        assert_eq!(left(&pace, &keys, "192.0.2.2", Some(KEY)).await, Some((4, Some(3))), "another address");
        assert_eq!(left(&pace, &keys, "127.0.0.1", None).await, None, "behind a proxy everybody is here");

        let pace = Pace::new(RateLimits { free: 0, pro: 0, address: 0 }, None);
        assert_eq!(left(&pace, &keys, near, None).await, None);
        std::fs::remove_dir_all(folder).ok();
    }

    #[test]
    fn a_network_of_addresses_is_one() {
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), network("2001:db8:1:2::ffff".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
    }
}
