//! How many calls out, and minutes of them, a trunk carries within a day (UTC), and how many it has.
//!
//! What was counted goes into the call log's database as it changes, and is read back at the start: a Milo that starts anew
//! begins no new day.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::{LogWriter, Stamp, TrunkDay};

use super::Denied;

/// The account of one trunk. The lock is taken when a call begins and when it ends.
#[derive(Debug)]
pub(super) struct Day {
    trunk: String,
    most_calls: Option<u64>,
    most_minutes: Option<u64>,
    now: Mutex<TrunkDay>,
    log: LogWriter,
}

impl Day {
    /// `known` is what the database knows of the day that it is now.
    pub(super) fn new(trunk: &str, most: (Option<u64>, Option<u64>), known: TrunkDay, log: LogWriter) -> Self {
        let (most_calls, most_minutes) = most;
        Self { trunk: trunk.into(), most_calls, most_minutes, now: Mutex::new(known), log }
    }

    /// Counts a call that begins.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn begin(&self, at: Stamp) -> Result<(), Denied> {
        let mut now = self.at(at);
        if self.most_calls.is_some_and(|most| now.calls >= most) {
            return Err(Denied::CallsOfDay);
        }
        if self.most_minutes.is_some_and(|most| now.seconds >= most * 60) {
            return Err(Denied::MinutesOfDay);
        }
        now.calls += 1;
        self.log.trunk_day(&self.trunk, now.clone());
        Ok(())
    }

    /// Counts the seconds of a call that has ended.
    pub(super) fn talked(&self, at: Stamp, seconds: u64) {
        let mut now = self.at(at);
        now.seconds += seconds;
        self.log.trunk_day(&self.trunk, now.clone());
    }

    /// What was counted within the day that it is.
    pub(super) fn counted(&self, at: Stamp) -> TrunkDay {
        self.at(at).clone()
    }

    fn at(&self, at: Stamp) -> MutexGuard<'_, TrunkDay> {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let day = at.day();
        // What was stamped before midnight and comes after it counts for the new day.
        if now.day < day {
            *now = TrunkDay { day, calls: 0, seconds: 0 };
        }
        now
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
        let (log, _) = LogWriter::start(store, "n");
        let at = |text: &str| Stamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let (today, late, next) = (at("2026-11-29T08:00:00Z"), at("2026-11-29T23:59:59Z"), at("2026-11-30T00:00:00Z"));
        let known = TrunkDay { day: "2026-11-29".into(), calls: 1, seconds: 0 };
        let day = Day::new("c", (Some(3), Some(2)), known, log.clone());
        assert_eq!((day.begin(today), day.begin(late)), (Ok(()), Ok(())), "one was there before");
        assert_eq!(day.begin(late), Err(Denied::CallsOfDay));
        assert_eq!((day.begin(next), day.counted(next).calls), (Ok(()), 1));
        day.talked(next, 119);
        assert_eq!(day.begin(next), Ok(()));
        day.talked(next, 1);
        assert_eq!(day.begin(next), Err(Denied::MinutesOfDay));
        std::fs::remove_dir_all(folder).ok();
    }
}
