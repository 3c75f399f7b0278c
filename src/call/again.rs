//! Calls that were asked for under an idempotency key: asked for once more, they are not placed once more.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Placed;
use crate::store::{CallKey, Stamp, Store, StoreError};

/// For how long a key is known.
const KNOWN: Duration = Duration::from_secs(24 * 3_600);
/// As many keys as are known; of more the oldest are forgotten.
const MOST: usize = 10_000;

/// The keys of the last day.
#[derive(Debug, Default)]
pub(super) struct Again {
    known: HashMap<String, (i64, Placed)>,
    /// In the order of their age.
    kept: VecDeque<(Instant, String)>,
}

impl Again {
    /// Those that this node was asked for within the last day, as the database knows them.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) async fn read(store: &Store, node: &str) -> Result<Self, StoreError> {
        let (now, clock) = (Instant::now(), Stamp::now());
        let mut again = Self::default();
        for kept in store.call_keys(node, a_day_before(clock), MOST).await? {
            let age = Duration::from_millis(clock.millis().saturating_sub(kept.at.millis()).max(0).unsigned_abs());
            let CallKey { key, print, call, called, trunk, plan, .. } = kept;
            let placed = Placed { id: call, to: called, trunk, plan };
            // A machine that was started just now knows no moment so long ago: it is known for longer.
            again.keep(now.checked_sub(age).unwrap_or(now), &key, print, placed);
        }
        Ok(again)
    }

    /// The call that this key stands for, and the print of what was asked for with it.
    pub(super) fn find(&mut self, now: Instant, key: &str) -> Option<&(i64, Placed)> {
        while self.kept.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= KNOWN) {
            self.forget();
        }
        self.known.get(key)
    }

    /// From now on the key, which is not known, stands for this call.
    pub(super) fn keep(&mut self, now: Instant, key: &str, print: i64, placed: Placed) {
        if self.kept.len() >= MOST {
            self.forget();
        }
        self.kept.push_back((now, key.to_owned()));
        self.known.insert(key.to_owned(), (print, placed));
    }

    fn forget(&mut self) {
        if let Some((_, key)) = self.kept.pop_front() {
            self.known.remove(&key);
        }
    }
}

/// Keys of before that are forgotten at this moment.
pub(crate) fn a_day_before(at: Stamp) -> Stamp {
    Stamp::from_millis(at.millis().saturating_sub(i64::try_from(KNOWN.as_millis()).unwrap_or(i64::MAX)))
}

/// A print of what is asked for under a key that stays the same from one version of Milo to the next (FNV-1a).
pub(crate) fn print(wanted: &impl Serialize) -> i64 {
    let text = serde_json::to_string(wanted).unwrap_or_default();
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, fold).cast_signed()
}

/// Deletes the keys of more than a day ago, those of campaigns among them, now and every day from now on.
pub async fn forget_keys(store: Store) {
    let mut clock = interval(KNOWN);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        let before = a_day_before(Stamp::now());
        for done in [store.forget_call_keys(before).await, store.forget_campaign_keys(before).await] {
            if let Err(error) = done {
                tracing::warn!(%error, "old idempotency keys cannot be deleted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn placed() -> Placed {
        Placed { id: Key::new(), to: "1".into(), trunk: None, plan: "a".into() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_stands_for_its_call_for_a_day() {
        let (mut again, one) = (Again::default(), placed());
        let start = Instant::now();
        assert!(again.find(start, "k").is_none());
        again.keep(start, "k", 7, one.clone());
        let later = start + KNOWN - Duration::from_secs(1);
        assert_eq!(again.find(later, "k"), Some(&(7, one)));
        assert!(again.find(start + KNOWN, "k").is_none());
        assert!(again.known.is_empty() && again.kept.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_keys_the_oldest_is_forgotten() {
        let mut again = Again::default();
        let now = Instant::now();
        for n in 0..=MOST {
            again.keep(now, &n.to_string(), 0, placed());
        }
        assert!(again.find(now, "0").is_none() && again.find(now, "1").is_some());
        assert_eq!((again.known.len(), again.kept.len()), (MOST, MOST));
    }
}
