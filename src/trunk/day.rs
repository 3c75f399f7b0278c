//! How many calls, and minutes of them, there may be within a day (UTC), and how many there were: a trunk's calls out, or the calls of
//! an account.
//!
//! What was counted goes into the call log's database as it changes, each minute while calls are up, and is read back at the
//! start: a Milo that starts anew, be it after a crash, begins no new day. Calls that are up count as they go, in whole seconds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, interval};

use super::Denied;
use crate::store::{DayCount, LogWriter, Stamp, Whose};

/// The account of one trunk, or of one account. The lock is taken when a call begins and when it ends.
#[derive(Debug)]
pub(crate) struct Day {
    whose: Whose,
    most_calls: Option<u64>,
    most_minutes: Option<u64>,
    now: Mutex<Now>,
    log: LogWriter,
}

#[derive(Debug)]
struct Now {
    count: DayCount,
    /// Since when those talk that are up.
    talking: BTreeMap<u64, Instant>,
    last: u64,
}

impl Now {
    /// Seconds of calls that have ended and of those that are up.
    fn seconds(&self) -> u64 {
        self.talking.values().fold(self.count.seconds, |all, since| all.saturating_add(begun(*since)))
    }
}

/// Those who count minutes count every second that has begun.
fn begun(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

/// A call that is up: dropped, it has ended, and its seconds are counted.
#[derive(Debug)]
pub(super) struct Talk {
    day: Arc<Day>,
    number: u64,
}

impl Day {
    /// `known` is what the database knows of the day that it is now.
    pub(crate) fn new(whose: Whose, most: (Option<u64>, Option<u64>), known: DayCount, log: LogWriter) -> Self {
        let (most_calls, most_minutes) = most;
        let now = Now { count: known, talking: BTreeMap::new(), last: 0 };
        Self { whose, most_calls, most_minutes, now: Mutex::new(now), log }
    }

    /// Counts a call that begins.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn begin(&self, at: Stamp) -> Result<(), Denied> {
        let mut now = self.at(at);
        if self.most_calls.is_some_and(|most| now.count.calls >= most) {
            return Err(Denied::CallsOfDay);
        }
        if self.most_minutes.is_some_and(|most| now.seconds() >= most * 60) {
            return Err(Denied::MinutesOfDay);
        }
        now.count.calls += 1;
        self.write(&now);
        Ok(())
    }

    /// A call that was counted did not begin after all.
    pub(super) fn take_back(&self, at: Stamp) {
        let mut now = self.at(at);
        now.count.calls = now.count.calls.saturating_sub(1);
        self.write(&now);
    }

    /// A call is up from now on.
    pub(super) fn talk(self: &Arc<Self>) -> Talk {
        let mut now = self.lock();
        now.last += 1;
        let number = now.last;
        now.talking.insert(number, Instant::now());
        Talk { day: Arc::clone(self), number }
    }

    /// What was counted within the day that it is, the calls that are up among it.
    pub(crate) fn counted(&self, at: Stamp) -> DayCount {
        let now = self.at(at);
        DayCount { seconds: now.seconds(), ..now.count.clone() }
    }

    /// The database learns what calls that are up have talked so far.
    pub(crate) fn note(&self) {
        let now = self.at(Stamp::now());
        if !now.talking.is_empty() {
            self.log.day(&self.whose, DayCount { seconds: now.seconds(), ..now.count.clone() });
        }
    }

    fn write(&self, now: &Now) {
        self.log.day(&self.whose, now.count.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, at: Stamp) -> MutexGuard<'_, Now> {
        let mut now = self.lock();
        let day = at.day();
        // What was stamped before midnight and comes after it counts for the new day.
        if now.count.day < day {
            now.count = DayCount { day, calls: 0, seconds: 0 };
        }
        now
    }
}

/// Calls `note` each minute: of calls that are up when Milo is killed, no more is lost.
pub async fn each_minute(note: impl Fn()) {
    let mut clock = interval(Duration::from_secs(60));
    loop {
        clock.tick().await;
        note();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let mut now = self.day.at(Stamp::now());
        if let Some(since) = now.talking.remove(&self.number) {
            now.count.seconds = now.count.seconds.saturating_add(begun(since));
            self.day.write(&now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SecretUrl, store::Store};

    #[tokio::test]
    async fn a_day_has_its_calls_and_minutes_and_the_next_has_its_own() {
        let folder = std::env::temp_dir().join(format!("milo-day-{}", crate::store::Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let (log, _) = LogWriter::start(store.clone(), "n", None);
        let at = |text: &str| Stamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        // No earlier than the clock's own day, which a call that ends is counted for.
        let (today, late, next) = (at("2126-11-29T08:00:00Z"), at("2126-11-29T23:59:59Z"), at("2126-11-30T00:00:00Z"));
        let known = DayCount { day: "2126-11-29".into(), calls: 1, seconds: 0 };
        let day = Arc::new(Day::new(Whose::Trunk("c".into()), (Some(3), Some(2)), known, log.clone()));
        assert_eq!((day.begin(today), day.begin(late)), (Ok(()), Ok(())), "one was there before");
        assert_eq!(day.begin(late), Err(Denied::CallsOfDay));
        day.take_back(late);
        assert_eq!(day.begin(late), Ok(()), "what did not begin is not counted");
        assert_eq!((day.begin(next), day.counted(next).calls), (Ok(()), 1));
        let known = DayCount { day: "2126-11-30".into(), calls: 9, seconds: 0 };
        let day = Arc::new(Day::new(Whose::Account("a".into()), (None, Some(2)), known, log.clone()));
        tokio::time::pause();
        let (one, other) = (day.talk(), day.talk());
        tokio::time::advance(Duration::from_millis(58_500)).await;
        drop(one);
        assert_eq!(day.counted(next).seconds, 118, "59 of each");
        assert_eq!(day.begin(next), Ok(()));
        tokio::time::advance(Duration::from_millis(1_000)).await;
        assert_eq!(day.begin(next), Ok(()), "one has talked 59 seconds, the other is in its sixtieth");
        tokio::time::advance(Duration::from_millis(1_000)).await;
        assert_eq!(day.begin(next), Err(Denied::MinutesOfDay), "one that is up counts as it goes");
        drop(other);
        assert_eq!(day.counted(next).seconds, 120);
        std::fs::remove_dir_all(folder).ok();
    }

    #[tokio::test]
    async fn minutes_of_calls_that_are_up_outlive_a_crash() {
        let folder = std::env::temp_dir().join(format!("milo-day-{}", crate::store::Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let (log, _) = LogWriter::start(store.clone(), "n", None);
        let (whose, at) = (Whose::Trunk("c".into()), "2126-11-29T08:00:00Z".parse::<jiff::Timestamp>().unwrap());
        let known = DayCount { day: Stamp::from_millis(at.as_millisecond()).day(), calls: 1, seconds: 100 };
        let day = Arc::new(Day::new(whose.clone(), (None, Some(2)), known, log.clone()));
        let _up = day.talk();
        day.note();
        assert!(log.flush(Duration::from_secs(20)).await);
        assert!(store.day("n", &whose, "2126-11-29").await.unwrap().seconds > 100);
        std::fs::remove_dir_all(folder).ok();
    }
}
