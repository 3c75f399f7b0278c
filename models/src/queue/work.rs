//! What the thread of an engine has done: how long it worked, how long jobs waited for it, and which came too late.

use std::time::{Duration, Instant};

use super::{Class, Standing};

/// Seconds up to which waits are told apart; longer ones stand together.
pub const WAITS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// All of it, since the engine was loaded first.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// How long its thread was at work: all the time that it did not stand still for want of a job.
    pub busy: Duration,
    /// By class, in the order of [`Class::ALL`].
    pub classes: [Served; Class::ALL.len()],
}

/// What became of the jobs of one class. Those whose asker has left are not counted.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Those that were answered.
    pub jobs: u64,
    /// Those of them that were answered after their answer was wanted.
    pub missed: u64,
    /// How long they waited before they were begun.
    pub waits: Waits,
    /// How long the thread waited for its device, at steps that were for this class first. It is at work meanwhile.
    pub device: Duration,
}

/// Waits, by how long they were.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// How many were as long as each of [`WAITS`] at most, and longer than the one before it; the last: longer than all.
    pub counts: [u64; WAITS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Work {
    /// What two threads have done.
    pub fn and(mut self, other: &Self) -> Self {
        self.busy += other.busy;
        for (own, other) in self.classes.iter_mut().zip(&other.classes) {
            own.jobs += other.jobs;
            own.missed += other.missed;
            own.waits.sum += other.waits.sum;
            own.device += other.device;
            own.waits.counts.iter_mut().zip(other.waits.counts).for_each(|(own, other)| *own += other);
        }
        self
    }
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        let at = WAITS.iter().position(|bound| wait.as_secs_f64() <= *bound).unwrap_or(WAITS.len());
        self.counts[at] += 1;
        self.sum += wait;
    }
}

/// The same while it goes on.
#[derive(Default)]
pub(super) struct Account {
    work: Work,
    /// Since when the thread works; none while it stands still.
    since: Option<Instant>,
}

impl Account {
    /// The thread has something to do.
    pub(super) fn works(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// It has nothing to do.
    pub(super) fn rests(&mut self, now: Instant) {
        if let Some(since) = self.since.take() {
            self.work.busy += now.saturating_duration_since(since);
        }
    }

    /// A job that came then is begun.
    pub(super) fn begun(&mut self, class: Class, came: Instant, now: Instant) {
        self.work.classes[class as usize].waits.add(now.saturating_duration_since(came));
    }

    /// A job has its answer, or the beginning of it.
    pub(super) fn answered(&mut self, standing: &Standing, now: Instant) {
        let served = &mut self.work.classes[standing.class() as usize];
        served.jobs += 1;
        served.missed += u64::from(standing.deadline().is_some_and(|deadline| now > deadline));
    }

    /// What was done until now.
    pub(super) fn so_far(&self, now: Instant) -> Work {
        let running = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        Work { busy: self.work.busy + running, classes: self.work.classes.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Wanted;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
    fn work_waits_and_missed_deadlines_are_counted_and_rest_is_not_work() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut account = Account::default();
        account.begun(Class::Call, at(0), at(2));
        account.works(at(2));
        account.works(at(5));
        assert_eq!(account.so_far(at(12)).busy, Duration::from_millis(10), "also while it goes on");
        account.rests(at(20));
        account.rests(at(30));
        account.works(at(100));
        account.answered(&Standing::new(Class::Call, Wanted::by(at(50))), at(101));
        account.answered(&Standing::new(Class::Call, Wanted::by(at(101))), at(101));
        account.answered(&Standing::new(Class::Batch, Wanted::default()), at(101));
        account.begun(Class::Batch, at(0), at(9_000));
        let work = account.so_far(at(103));
        assert_eq!(work.busy, Duration::from_millis(21));
        let [call, _, _, batch] = &work.classes;
        assert_eq!((call.jobs, call.missed, batch.jobs, batch.missed), (2, 1, 1, 0));
        assert_eq!((call.waits.counts[1], call.waits.sum), (1, Duration::from_millis(2)));
        assert_eq!(batch.waits.counts[WAITS.len()], 1, "longer than all bounds");
        let both = work.clone().and(&work);
        let [call, _, _, batch] = &both.classes;
        assert_eq!((both.busy, call.jobs, call.missed), (Duration::from_millis(42), 4, 2));
        assert_eq!((call.waits.counts[1], batch.waits.sum), (2, Duration::from_millis(18_000)));
    }
}
