//! Whether a server is asked at all: one that fails again and again is left alone for a while, so that nobody waits for it in vain.
//!
//! It is one for all who ask, and a server that is late counts as failing. What one caller has waited is none of its matter: their call
//! goes around a server after one late answer (`agent/budget.rs`), which here would take it from everybody.
//!
//! ```text
//! closed ── so many failures in a row ──► open ── its rest is over ──► half open: one request tries it
//!    ▲                                     ▲                              │ answers      │ fails: twice the rest
//!    └─────────────────────────────────────┼──────────────────────────────┘              │
//!                                          └─────────────────────────────────────────────┘
//! ```

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A rest grows no longer than this.
const LONGEST: Duration = Duration::from_secs(300);

/// Of one server. Its lock is held for a look.
pub(super) struct Breaker {
    /// So many failures in a row; 0: it is always asked.
    failures: u32,
    rest: Duration,
    held: Mutex<Held>,
}

struct Held {
    in_a_row: u32,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Closed,
    /// Nobody asks before `until`.
    Open {
        until: Instant,
        rest: Duration,
    },
    /// One asks. Whoever hangs up meanwhile never tells what came of it: after as long a rest another may.
    HalfOpen {
        until: Instant,
        rest: Duration,
    },
}

/// What became of it, where that is news.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is left alone for so long.
    Rests(Duration),
    /// It answers again.
    Back,
}

impl Breaker {
    /// After so many failures in a row a server rests for `rest`; with 0 it never does.
    pub(super) fn new(failures: u32, rest: Duration) -> Self {
        Self { failures, rest, held: Mutex::new(Held { in_a_row: 0, state: State::Closed }) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it may be asked at `now`; the one who may after a rest is who tries it.
    pub(super) fn may_ask(&self, now: Instant) -> bool {
        let mut held = self.held();
        match held.state {
            State::Closed => true,
            State::Open { until, .. } | State::HalfOpen { until, .. } if now < until => false,
            State::Open { rest, .. } | State::HalfOpen { rest, .. } => {
                held.state = State::HalfOpen { until: now + rest, rest };
                true
            }
        }
    }

    /// It answered.
    pub(super) fn answered(&self) -> Option<News> {
        let mut held = self.held();
        held.in_a_row = 0;
        let was_open = !matches!(held.state, State::Closed);
        held.state = State::Closed;
        was_open.then_some(News::Back)
    }

    /// It failed at `now`.
    pub(super) fn failed(&self, now: Instant) -> Option<News> {
        let mut held = self.held();
        held.in_a_row = held.in_a_row.saturating_add(1);
        let rest = match held.state {
            State::Closed if self.failures > 0 && held.in_a_row >= self.failures => self.rest,
            State::HalfOpen { rest, .. } => (rest * 2).min(LONGEST),
            // Those that were asked before it was left alone tell nothing new.
            State::Closed | State::Open { .. } => return None,
        };
        held.state = State::Open { until: now + rest, rest };
        Some(News::Rests(rest))
    }

    /// Whether it is left alone.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.held().state, State::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(10);

    #[test]
    fn a_server_that_fails_again_and_again_rests_and_one_request_tries_it() {
        let (breaker, began) = (Breaker::new(3, REST), Instant::now());
        let after = |seconds: u64| began + Duration::from_secs(seconds);
        assert_eq!((breaker.failed(began), breaker.failed(began)), (None, None));
        assert_eq!(breaker.answered(), None, "one answer, and the count begins anew");
        assert_eq!((breaker.failed(began), breaker.failed(began)), (None, None));
        assert!(breaker.may_ask(began) && !breaker.is_open());
        assert_eq!(breaker.failed(began), Some(News::Rests(REST)));
        assert_eq!(breaker.failed(after(1)), None, "who was asked before");
        assert!(breaker.is_open() && !breaker.may_ask(after(9)));
        assert!(breaker.may_ask(after(10)), "one tries it");
        assert!(!breaker.may_ask(after(11)), "and nobody else meanwhile");
        assert_eq!(breaker.failed(after(12)), Some(News::Rests(REST * 2)));
        assert!(!breaker.may_ask(after(31)) && breaker.may_ask(after(32)));
        // Whoever tried it was gone before an answer came: it is not left alone for ever.
        assert!(!breaker.may_ask(after(51)) && breaker.may_ask(after(52)));
        assert_eq!((breaker.answered(), breaker.is_open()), (Some(News::Back), false));
        assert!(breaker.may_ask(after(53)));
    }

    #[test]
    fn a_rest_is_five_minutes_at_most_and_none_where_none_is_wanted() {
        let (breaker, mut now) = (Breaker::new(1, REST), Instant::now());
        let mut rest = Duration::ZERO;
        for _ in 0..10 {
            assert!(breaker.may_ask(now));
            let Some(News::Rests(longer)) = breaker.failed(now) else { panic!("it rests") };
            assert!(longer >= rest);
            (rest, now) = (longer, now + longer);
        }
        assert_eq!(rest, LONGEST);
        let never = Breaker::new(0, REST);
        assert!((0..100).all(|_| never.failed(now).is_none() && never.may_ask(now)));
    }
}
