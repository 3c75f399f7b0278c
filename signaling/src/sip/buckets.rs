//! Token buckets: how often somebody gets something, for a bounded number of them at once.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys that are remembered at once.
const KEYS: usize = 4096;
/// How often full buckets are looked for once the memory is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How often one gets something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// So often in a row.
    pub(super) burst: f64,
    /// So often a second after that.
    pub(super) a_second: f64,
}

/// What is left to somebody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(now: Instant, rate: Rate) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    fn holds(&self, now: Instant, rate: Rate) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * rate.a_second).min(rate.burst)
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Instant, rate: Rate) -> bool {
        self.tokens = self.holds(now, rate);
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}

/// One for each of many. Those that are full again are forgotten when there are too many; newcomers past them are not limited here.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    of: HashMap<K, Bucket>,
    swept: Instant,
}

impl<K: Eq + Hash> Buckets<K> {
    pub(super) fn new(now: Instant, rate: Rate) -> Self {
        Self { rate, of: HashMap::new(), swept: now }
    }

    /// Takes one of this one's, if there is one.
    pub(super) fn take(&mut self, now: Instant, key: K) -> bool {
        let rate = self.rate;
        if self.of.len() >= KEYS && now.saturating_duration_since(self.swept) >= SWEEP_EVERY {
            self.swept = now;
            self.of.retain(|_, bucket| bucket.holds(now, rate) < rate.burst);
        }
        if self.of.len() >= KEYS && !self.of.contains_key(&key) {
            return true;
        }
        self.of.entry(key).or_insert_with(|| Bucket::full(now, rate)).take(now, rate)
    }

    /// Whether one is left to this one.
    pub(super) fn has(&self, now: Instant, key: &K) -> bool {
        self.of.get(key).is_none_or(|bucket| bucket.holds(now, self.rate) >= 1.0)
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.of.len()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_a_crowd_takes_bounded_memory() {
        let now = Instant::now();
        let mut buckets = Buckets::new(now, Rate { burst: 3.0, a_second: 1.0 });
        assert_eq!((0..10).filter(|_| buckets.take(now, 1)).count(), 3);
        assert!(!buckets.has(now, &1) && buckets.has(now, &2));
        assert!(buckets.take(now + Duration::from_secs(1), 1));
        for key in 0..3 * KEYS {
            buckets.take(now, key);
        }
        assert_eq!(buckets.len(), KEYS);
        // A minute later all but the newcomer are full, and forgotten.
        assert!(buckets.take(now + Duration::from_secs(60), 3 * KEYS));
        assert_eq!(buckets.len(), 1);
    }
}
