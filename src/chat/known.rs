//! What was made before and need not be made again: in this process, and with Redis on every node. Bounded by bytes and by time.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use ring::digest::{Context, SHA256};

use crate::{
    metrics::Metrics,
    redis::{Redis, Shelf},
};

/// How long anything is known.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// What is known of one kind; clones share it.
#[derive(Clone)]
pub(super) struct Known {
    shelf: Shelf,
    /// What makes it, with all that would make it otherwise.
    maker: Arc<str>,
    here: Cache<String, Arc<[u8]>>,
    redis: Option<Redis>,
    metrics: Arc<Metrics>,
}

/// Bytes that are known at once: here, and in Redis.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    pub(super) here: usize,
    pub(super) shared: usize,
}

impl Known {
    /// `maker` is what makes these things, in any words that change when it does.
    pub(super) fn new(
        name: &'static str,
        bytes: Bytes,
        maker: &str,
        (redis, metrics): (Option<Redis>, Arc<Metrics>),
    ) -> Self {
        let weight = |name: &String, value: &Arc<[u8]>| u32::try_from(name.len() + value.len()).unwrap_or(u32::MAX);
        let here = Cache::builder().weigher(weight).max_capacity(bytes.here as u64).time_to_live(LIFETIME).build();
        Self {
            shelf: Shelf { name, bytes: bytes.shared, lifetime: LIFETIME },
            maker: maker.into(),
            here,
            redis,
            metrics,
        }
    }

    /// The name of what is made of these words.
    pub(super) fn name(&self, words: &[&str]) -> String {
        let mut context = Context::new(&SHA256);
        for word in [&*self.maker].iter().chain(words) {
            // With its length before it, so that no two lists of words are one.
            context.update(&(word.len() as u64).to_le_bytes());
            context.update(word.as_bytes());
        }
        context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What was made of them, if it is known.
    pub(super) async fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        if let Some(found) = self.here.get(name) {
            self.metrics.looked_up(self.shelf.name, "here");
            return Some(found);
        }
        let shared = match &self.redis {
            Some(redis) => redis.taken(self.shelf, name).await,
            None => None,
        };
        self.metrics.looked_up(self.shelf.name, if shared.is_some() { "redis" } else { "nowhere" });
        let shared: Arc<[u8]> = shared?.into();
        self.here.insert(name.to_owned(), Arc::clone(&shared));
        Some(shared)
    }

    /// From now on it is known here.
    pub(super) fn keep(&self, name: &str, value: &[u8]) {
        self.here.insert(name.to_owned(), value.into());
    }

    /// And with Redis on every node.
    pub(super) async fn share(&self, name: &str, value: &[u8]) {
        if let Some(redis) = &self.redis {
            redis.put(self.shelf, name, value).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(here: usize, maker: &str) -> Known {
        Known::new("speech", Bytes { here, shared: 0 }, maker, (None, Arc::new(Metrics::new())))
    }

    #[test]
    fn it_is_bounded_by_bytes() {
        let known = known(10_000, "");
        for n in 0..100 {
            known.keep(&known.name(&[&n.to_string()]), &[0; 1_000]);
        }
        known.here.run_pending_tasks();
        assert!((1..=10).contains(&known.here.entry_count()), "{}", known.here.entry_count());
    }

    #[test]
    fn it_is_bounded_by_time() {
        let known = known(1, "");
        let day = Duration::from_secs(86_400);
        assert_eq!((known.here.policy().time_to_live(), known.shelf.lifetime), (Some(day), day));
    }

    #[test]
    fn other_words_and_other_makers_have_other_names() {
        let one = known(1, "a");
        assert_eq!(one.name(&["b", "c"]), one.name(&["b", "c"]));
        for (maker, words) in [("a", ["bc", ""].as_slice()), ("a", &["b"]), ("ab", &["", "c"]), ("", &["b", "c"])] {
            assert_ne!(known(1, maker).name(words), one.name(&["b", "c"]));
        }
    }
}
