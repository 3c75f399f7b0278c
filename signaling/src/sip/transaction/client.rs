//! The two client machines: RFC 3261 sections 17.1.1 (INVITE) and 17.1.2 (everything else), RFC 6026 section 7.2.

use std::time::{Duration, Instant};

use super::{Repeat, T1_64, T2, T4, TIMER_D, earliest};

/// How long an INVITE that was answered provisionally waits for more. The RFC sets no limit, and its user gives up before (five and
/// a half minutes), by a CANCEL that is made of it; one whose user has gone meanwhile must not stay for ever.
const FORSAKEN: Duration = Duration::from_secs(420);

/// What a client machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// Nothing: the response was a repetition, or came too late.
    Nothing,
    /// Send the request again.
    Resend,
    /// Pass the response to the user.
    Deliver,
    /// Acknowledge the final response, then pass it to the user.
    AckAndDeliver,
    /// Acknowledge again; the user has the response already.
    Ack,
    /// Tell the user that nobody answered (timers B and F).
    TimedOut,
}

/// Where an INVITE client transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InviteState {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

/// The INVITE client transaction (RFC 3261 figure 5, RFC 6026 figure 3).
#[derive(Debug)]
pub(crate) struct InviteClient {
    state: InviteState,
    reliable: bool,
    /// Timer A.
    resend: Option<Repeat>,
    /// Timers B, D, M, and [`FORSAKEN`].
    end: Option<Instant>,
}

impl InviteClient {
    /// The INVITE has just been sent.
    pub(crate) fn new(now: Instant, reliable: bool) -> Self {
        Self {
            state: InviteState::Calling,
            reliable,
            resend: (!reliable).then(|| Repeat::start(now, Duration::MAX)),
            end: Some(now + T1_64),
        }
    }

    /// A response with this status code came.
    pub(crate) fn response(&mut self, now: Instant, code: u16) -> Do {
        use InviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        match (self.state, code) {
            (Calling | Proceeding, ..200) => {
                self.state = Proceeding;
                self.resend = None;
                self.end = Some(now + FORSAKEN);
                Do::Deliver
            }
            (Calling | Proceeding, 200..300) => {
                self.state = Accepted;
                self.resend = None;
                self.end = Some(now + T1_64);
                Do::Deliver
            }
            (Calling | Proceeding, _) => {
                self.resend = None;
                if self.reliable {
                    self.state = Terminated;
                    self.end = None;
                } else {
                    self.state = Completed;
                    self.end = Some(now + TIMER_D);
                }
                Do::AckAndDeliver
            }
            // Every repetition of the 2xx, and every 2xx of another branch of a fork, is the user's to acknowledge.
            (Accepted, 200..300) => Do::Deliver,
            (Completed, 300..) => Do::Ack,
            (Completed | Accepted | Terminated, _) => Do::Nothing,
        }
    }

    /// Nobody waits for its response any more, which may come all the same: it is not sent again.
    pub(crate) fn abandon(&mut self) {
        self.resend = None;
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Do {
        if self.end.is_some_and(|end| now >= end) {
            let was = self.state;
            self.state = InviteState::Terminated;
            self.resend = None;
            self.end = None;
            return match was {
                InviteState::Calling | InviteState::Proceeding => Do::TimedOut,
                _ => Do::Nothing,
            };
        }
        if self.resend.as_mut().is_some_and(|timer| timer.is_due(now)) { Do::Resend } else { Do::Nothing }
    }

    /// When [`Self::expire`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        earliest(self.resend.map(|timer| timer.at()), self.end)
    }

    /// Whether the transaction can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.state == InviteState::Terminated
    }
}

/// Where a non-INVITE client transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

/// The non-INVITE client transaction (RFC 3261 figure 6).
#[derive(Debug)]
pub(crate) struct Client {
    state: State,
    reliable: bool,
    /// Timer E.
    resend: Option<Repeat>,
    /// Timers F, K.
    end: Option<Instant>,
}

impl Client {
    /// The request has just been sent.
    pub(crate) fn new(now: Instant, reliable: bool) -> Self {
        Self {
            state: State::Trying,
            reliable,
            resend: (!reliable).then(|| Repeat::start(now, T2)),
            end: Some(now + T1_64),
        }
    }

    /// A response with this status code came.
    pub(crate) fn response(&mut self, now: Instant, code: u16) -> Do {
        match (self.state, code) {
            (State::Trying, ..200) => {
                self.state = State::Proceeding;
                if let Some(timer) = &mut self.resend {
                    timer.hold_at(now, T2);
                }
                Do::Deliver
            }
            (State::Proceeding, ..200) => Do::Deliver,
            (State::Trying | State::Proceeding, _) => {
                self.resend = None;
                if self.reliable {
                    self.state = State::Terminated;
                    self.end = None;
                } else {
                    self.state = State::Completed;
                    self.end = Some(now + T4);
                }
                Do::Deliver
            }
            (State::Completed | State::Terminated, _) => Do::Nothing,
        }
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Do {
        if self.end.is_some_and(|end| now >= end) {
            let was = self.state;
            self.state = State::Terminated;
            self.resend = None;
            self.end = None;
            return if was == State::Completed { Do::Nothing } else { Do::TimedOut };
        }
        if self.resend.as_mut().is_some_and(|timer| timer.is_due(now)) { Do::Resend } else { Do::Nothing }
    }

    /// When [`Self::expire`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        earliest(self.resend.map(|timer| timer.at()), self.end)
    }

    /// Whether the transaction can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.state == State::Terminated
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a start of virtual time")]
mod tests {
    use super::*;

    /// Runs `expire` at every deadline up to `until` and notes when (ms after `start`) what was wanted.
    fn trace(
        start: Instant,
        until: Duration,
        mut deadline: impl FnMut(Option<Instant>) -> (Option<Instant>, Do),
    ) -> Vec<(u128, Do)> {
        let mut seen = Vec::new();
        let mut at = None;
        loop {
            let (next, wanted) = deadline(at);
            if let Some(at) = at
                && wanted != Do::Nothing
            {
                seen.push(((at - start).as_millis(), wanted));
            }
            match next {
                Some(next) if next - start <= until => at = Some(next),
                _ => return seen,
            }
        }
    }

    macro_rules! trace {
        ($machine:expr, $start:expr, $seconds:expr) => {
            trace($start, Duration::from_secs($seconds), |at| {
                let wanted = at.map_or(Do::Nothing, |at| $machine.expire(at));
                ($machine.deadline(), wanted)
            })
        };
    }

    #[test]
    fn an_invite_whose_callee_falls_silent_while_it_rings_does_not_stay_for_ever() {
        let start = Instant::now();
        let mut machine = InviteClient::new(start, false);
        assert_eq!(machine.response(start, 180), Do::Deliver);
        assert_eq!(trace!(machine, start, 500), [(420_000, Do::TimedOut)]);
        assert!(machine.is_over());
    }

    #[test]
    fn unanswered_invite_is_sent_seven_times_and_given_up_at_timer_b() {
        let start = Instant::now();
        let mut machine = InviteClient::new(start, false);
        let seen = trace!(machine, start, 100);
        let sent: Vec<_> = [500, 1500, 3500, 7500, 15500, 31500].map(|ms| (ms, Do::Resend)).into();
        assert_eq!(seen[..6], sent);
        assert_eq!(seen[6..], [(32_000, Do::TimedOut)]);
        assert!(machine.is_over());
    }

    #[test]
    fn reliable_invite_is_sent_once() {
        let start = Instant::now();
        let mut machine = InviteClient::new(start, true);
        assert_eq!(trace!(machine, start, 100), [(32_000, Do::TimedOut)]);
    }

    #[test]
    fn provisional_stops_timers_a_and_b() {
        let start = Instant::now();
        let mut machine = InviteClient::new(start, false);
        assert_eq!(machine.response(start, 180), Do::Deliver);
        assert_eq!(machine.deadline(), Some(start + FORSAKEN));
        assert_eq!(machine.response(start, 183), Do::Deliver);
    }

    #[test]
    fn rejected_invite_is_acknowledged_each_time_until_timer_d() {
        let start = Instant::now();
        let mut machine = InviteClient::new(start, false);
        assert_eq!(machine.response(start, 486), Do::AckAndDeliver);
        assert_eq!(machine.response(start, 486), Do::Ack);
        assert_eq!(machine.response(start, 180), Do::Nothing);
        assert_eq!(machine.response(start, 200), Do::Nothing);
        assert_eq!(machine.deadline(), Some(start + TIMER_D));
        assert_eq!(machine.expire(start + TIMER_D), Do::Nothing);
        assert!(machine.is_over());
        let mut reliable = InviteClient::new(start, true);
        assert_eq!(reliable.response(start, 486), Do::AckAndDeliver);
        assert!(reliable.is_over());
    }

    #[test]
    fn accepted_invite_passes_every_2xx_up_until_timer_m() {
        let start = Instant::now();
        let mut machine = InviteClient::new(start, false);
        assert_eq!(machine.response(start, 200), Do::Deliver);
        assert_eq!(machine.response(start + T2, 200), Do::Deliver);
        assert_eq!(machine.response(start + T2, 486), Do::Nothing);
        assert_eq!(machine.deadline(), Some(start + T1_64));
        assert_eq!(machine.expire(start + T1_64), Do::Nothing);
        assert!(machine.is_over());
    }

    #[test]
    fn unanswered_bye_is_repeated_up_to_t2_and_given_up_at_timer_f() {
        let start = Instant::now();
        let mut machine = Client::new(start, false);
        let seen = trace!(machine, start, 100);
        let sent: Vec<_> =
            [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500].map(|ms| (ms, Do::Resend)).into();
        assert_eq!(seen[..10], sent);
        assert_eq!(seen[10..], [(32_000, Do::TimedOut)]);
        assert!(machine.is_over());
    }

    #[test]
    fn provisional_slows_timer_e_to_t2_and_timer_f_still_runs() {
        let start = Instant::now();
        let mut machine = Client::new(start, false);
        assert_eq!(machine.response(start, 100), Do::Deliver);
        let seen = trace!(machine, start, 100);
        assert_eq!(seen.first(), Some(&(4_000, Do::Resend)));
        assert_eq!(seen.last(), Some(&(32_000, Do::TimedOut)));
    }

    #[test]
    fn answered_bye_absorbs_repetitions_until_timer_k() {
        let start = Instant::now();
        let mut machine = Client::new(start, false);
        assert_eq!(machine.response(start, 200), Do::Deliver);
        assert_eq!(machine.response(start, 200), Do::Nothing);
        assert_eq!(machine.deadline(), Some(start + T4));
        assert_eq!(machine.expire(start + T4), Do::Nothing);
        assert!(machine.is_over());
        let mut reliable = Client::new(start, true);
        assert_eq!(reliable.response(start, 481), Do::Deliver);
        assert!(reliable.is_over());
    }
}
