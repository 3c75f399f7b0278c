//! How many calls a trunk, or an account, has at once, and how many may begin within a second.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    Denied,
    day::{Day, Talk},
};
use crate::store::Stamp;

/// The limit of one trunk, for calls in and out together. No call waits for another here: two counters, moved whole.
#[derive(Debug)]
pub(crate) struct Limit {
    most: usize,
    live: Arc<AtomicUsize>,
    pace: Option<Pace>,
}

/// A steady pace that as many as a second's calls may run ahead of (the generic cell rate algorithm, ITU-T I.371).
#[derive(Debug)]
struct Pace {
    interval_ns: u64,
    ahead_ns: u64,
    /// When the next call is due, in nanoseconds since the start.
    due_ns: AtomicU64,
}

impl Pace {
    fn new(calls_per_second: f64) -> Self {
        let interval_ns = (1e9 / calls_per_second) as u64;
        let ahead_ns = interval_ns.saturating_mul(calls_per_second.ceil() as u64 - 1);
        Self { interval_ns, ahead_ns, due_ns: AtomicU64::new(0) }
    }

    fn allows(&self, now_ns: u64) -> bool {
        let next = |due: u64| {
            (now_ns.saturating_add(self.ahead_ns) >= due).then(|| due.max(now_ns).saturating_add(self.interval_ns))
        };
        self.due_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

/// A call's place on its trunk, until it is dropped.
#[derive(Debug)]
pub struct Place {
    live: Arc<AtomicUsize>,
    /// Where the call and its minutes are counted; none: nowhere.
    day: Option<Arc<Day>>,
    /// While its minutes count.
    talk: Option<Talk>,
}

impl Place {
    /// The same, and the call is one of this day.
    ///
    /// # Errors
    /// The day has none left.
    pub(crate) fn counted(mut self, day: &Arc<Day>) -> Result<Self, Denied> {
        day.begin(Stamp::now())?;
        self.day = Some(Arc::clone(day));
        Ok(self)
    }

    /// The call is up: from here its minutes count, if the call itself does.
    pub(crate) fn answered(&mut self) {
        self.talk = self.day.as_ref().map(Day::talk);
    }

    /// The call was never placed: it does not count.
    pub(crate) fn unused(self) {
        if let Some(day) = &self.day {
            day.take_back(Stamp::now());
        }
    }
}

/// Dropping `talk`, which comes with it, counts the call's seconds.
impl Drop for Place {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Limit {
    /// `None`: no limit.
    pub(crate) fn new(max_calls: Option<usize>, calls_per_second: Option<f64>) -> Self {
        let pace = calls_per_second.map(Pace::new);
        Self { most: max_calls.unwrap_or(usize::MAX), live: Arc::default(), pace }
    }

    /// A place for a call that begins so long after the start.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn take(&self, now: Duration) -> Result<Place, Denied> {
        let more = |live: usize| (live < self.most).then_some(live + 1);
        self.live.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| Denied::Full)?;
        let place = Place { live: Arc::clone(&self.live), day: None, talk: None };
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if self.pace.as_ref().is_none_or(|pace| pace.allows(now_ns)) { Ok(place) } else { Err(Denied::Pace) }
    }

    /// A place whatever the limit, for what must not be refused.
    pub(crate) fn take_anyway(&self) -> Place {
        self.live.fetch_add(1, Ordering::Relaxed);
        Place { live: Arc::clone(&self.live), day: None, talk: None }
    }

    /// Calls that are up now.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let limit = Limit::new(Some(2), None);
        let (one, two) = (limit.take(Duration::ZERO), limit.take(Duration::ZERO));
        assert!(one.is_ok() && two.is_ok() && limit.take(Duration::ZERO).err() == Some(Denied::Full));
        assert_eq!(limit.live(), 2);
        drop(one);
        assert!(limit.take(Duration::ZERO).is_ok());
        assert_eq!(limit.live(), 1);
    }

    #[test]
    fn a_pace_lets_a_second_of_calls_run_ahead_and_no_more() {
        let taken = |limit: &Limit, at_ms: u64, tries: usize| {
            (0..tries).filter(|_| limit.take(Duration::from_millis(at_ms)).is_ok()).count()
        };
        let two = Limit::new(None, Some(2.0));
        assert_eq!([taken(&two, 0, 9), taken(&two, 400, 9), taken(&two, 500, 9), taken(&two, 5_000, 9)], [2, 0, 1, 2]);
        let seldom = Limit::new(None, Some(0.5));
        assert_eq!([taken(&seldom, 0, 9), taken(&seldom, 1_900, 9), taken(&seldom, 2_000, 9)], [1, 0, 1]);
        assert_eq!(two.live(), 0, "a call that has no place holds none");
        let both = Limit::new(Some(1), Some(100.0));
        let _held = both.take(Duration::ZERO);
        assert_eq!(taken(&both, 0, 9), 0);
    }
}
