//! The four transaction machines of RFC 3261 section 17 with the Accepted states of RFC 6026, and the table that holds
//! them.
//!
//! A machine knows states and time only. It never sees a message: an event goes in, what must be done comes out, and
//! `table::Transactions` does it.
//!
//! ```text
//!              INVITE                                    everything else
//!  client   Calling ─► Proceeding ─► Completed        Trying ─► Proceeding ─► Completed
//!                 └────────┴───────► Accepted
//!  server   Proceeding ─► Completed ─► Confirmed      Trying ─► Proceeding ─► Completed
//!                 └─────► Accepted
//! ```

use std::time::{Duration, Instant};

pub(crate) mod client;
mod live;
pub(crate) mod message;
pub(crate) mod server;
pub(crate) mod table;

/// Estimate of a round trip (RFC 3261 section 17.1.1.1).
pub(crate) const T1: Duration = Duration::from_millis(500);
/// The longest wait between two retransmissions of anything but an INVITE request.
pub(crate) const T2: Duration = Duration::from_secs(4);
/// How long a message may stay in the network.
pub(crate) const T4: Duration = Duration::from_secs(5);
/// 64 × T1: timers B, F, H, J (unreliable), L, M.
pub(crate) const T1_64: Duration = Duration::from_secs(32);
/// How long a place of several, or an INVITE anywhere, may say nothing at all. Who answers an INVITE says 100 within 200 ms
/// (section 17.2.1); over UDP a request has been sent four times by then, and timers B and F would take longer than anybody
/// lets it ring.
pub(crate) const UNHEARD: Duration = Duration::from_secs(6);
/// Timer D on an unreliable transport: at least 32 s.
pub(crate) const TIMER_D: Duration = Duration::from_secs(32);

/// A timer that doubles its wait each time it fires: A, E, G, and the one of an unacknowledged 2xx.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    at: Instant,
    wait: Duration,
    cap: Duration,
}

impl Repeat {
    /// Fires T1 after `now`, then after twice that, and so on, waiting `cap` at most.
    pub(crate) fn start(now: Instant, cap: Duration) -> Self {
        Self { at: now + T1, wait: T1, cap }
    }

    /// When it fires next.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// Whether it is due; when it is, the next firing is set.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        if now < self.at {
            return false;
        }
        self.wait = (self.wait * 2).min(self.cap);
        // From the planned time and not from `now`: a late tick must not stretch the series. After a long sleep of the
        // process one firing is enough.
        self.at = (self.at + self.wait).max(now);
        true
    }

    /// From now on wait `wait` (timer E in Proceeding).
    pub(crate) fn hold_at(&mut self, now: Instant, wait: Duration) {
        self.wait = wait;
        self.at = now + wait;
    }
}

/// The earlier of two moments that may not be set.
pub(crate) fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
