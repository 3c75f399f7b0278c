//! Texts that no voice can say, in the log: no silence without a word there, and whoever sends many such texts does not fill it.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::time::Instant;

/// Milliseconds between two warnings; what comes meanwhile is counted in the next one.
const BETWEEN_MS: u64 = 1_000;

static UNSAID: Unsaid = Unsaid { untold: AtomicU64::new(0), next_ms: AtomicU64::new(0) };
static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What is not told yet, and when it may be.
struct Unsaid {
    untold: AtomicU64,
    next_ms: AtomicU64,
}

impl Unsaid {
    /// Counts one more at this time. How many there were since the last warning, if it is time for the next one.
    fn count(&self, now_ms: u64) -> Option<u64> {
        self.untold.fetch_add(1, Relaxed);
        let next = self.next_ms.load(Relaxed);
        // Of several at once one tells.
        let tells = now_ms >= next
            && self.next_ms.compare_exchange(next, now_ms.saturating_add(BETWEEN_MS), Relaxed, Relaxed).is_ok();
        tells.then(|| self.untold.swap(0, Relaxed))
    }
}

/// Warns of a text of so many characters in which there is nothing that a voice could say. The text itself is nobody's business.
pub(super) fn tell(characters: usize) {
    let now = u64::try_from(BEGUN.elapsed().as_millis()).unwrap_or(u64::MAX);
    if let Some(texts) = UNSAID.count(now) {
        tracing::warn!(characters, texts, "a text with nothing in it that can be spoken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_a_flood_once_a_second_with_its_number() {
        let unsaid = Unsaid { untold: AtomicU64::new(0), next_ms: AtomicU64::new(0) };
        assert_eq!(unsaid.count(0), Some(1));
        assert!((1..1_000).all(|now| unsaid.count(now).is_none()));
        assert_eq!(unsaid.count(1_000), Some(1_000));
        assert_eq!(unsaid.count(1_999), None);
        assert_eq!(unsaid.count(60_000), Some(2));
    }
}
