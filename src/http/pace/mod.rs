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

    /// Counts a request of this asker: the narrower of its limits.
    async fn judge(&self, asker: &Asker, now: Instant) -> Option<Left> {
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
        self.count(counted.collect(), now).await.into_iter().min_by_key(|left| left.remaining)
    }

    async fn count(&self, all: Vec<(Whom, u32)>, now: Instant) -> Vec<Left> {
        if let Some(redis) = &self.redis {
            let known: Vec<_> =
                all.iter().filter_map(|(whom, limit)| Some((*whom, self.counts.tell(*whom, *limit, now)?))).collect();
            if known.is_empty() {
                return Vec::new();
            }
            let (whom, asked): (Vec<Whom>, Vec<Known>) = known.into_iter().unzip();
            if let Some(counted) = redis.count(&asked).await {
                let each = whom.iter().zip(&asked).zip(counted);
                return each.map(|((whom, asked), counted)| self.counts.learn(*whom, asked, counted, now)).collect();
            }
            whom.iter().zip(&asked).for_each(|(whom, asked)| self.counts.keep(*whom, asked));
        }
        all.into_iter().filter_map(|(whom, limit)| self.counts.count(whom, limit, now)).collect()
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
    let left = if is_counted(path) { state.pace.judge(&asker, Instant::now()).await } else { None };
    request.extensions_mut().insert(asker);
    let Some(left) = left else { return next.run(request).await };
    let response = if left.remaining.is_some() {
        next.run(request).await
    } else {
        let says =
            format!("more than {} requests within an hour; the next is answered in {} s", left.limit, left.seconds);
        state.metrics.http_limited();
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

    #[test]
    fn a_network_of_addresses_is_one() {
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), network("2001:db8:1:2::ffff".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::1".parse().unwrap()), network("2001:db8:1:3::1".parse().unwrap()));
    }
}
