//! The two server machines: RFC 3261 sections 17.2.1 (INVITE) and 17.2.2 (everything else), RFC 6026 section 7.1.

use std::time::{Duration, Instant};

use super::{Repeat, T1_64, T2, T4, earliest};

/// How long an INVITE may wait for its user before the machine itself sends 100 (RFC 3261 section 17.2.1).
const TRYING: Duration = Duration::from_millis(200);

/// What a server machine wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    /// Nothing: absorbed.
    Nothing,
    /// Send 100 Trying.
    Trying,
    /// Send the last response again.
    Resend,
    /// Pass the ACK to the user: it may belong to the 2xx.
    Deliver,
    /// Tell the user that the final response was never acknowledged (timer H).
    TimedOut,
}

/// Where an INVITE server transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InviteState {
    /// No response has been sent yet.
    Fresh,
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// The INVITE server transaction (RFC 3261 figure 7, RFC 6026 figure 5).
#[derive(Debug)]
pub(crate) struct InviteServer {
    state: InviteState,
    reliable: bool,
    /// Timer G.
    resend: Option<Repeat>,
    /// The 200 ms until 100 Trying, then timers H, I, L.
    next: Option<Instant>,
}

impl InviteServer {
    /// The INVITE has just come.
    pub(crate) fn new(now: Instant, reliable: bool) -> Self {
        Self { state: InviteState::Fresh, reliable, resend: None, next: Some(now + TRYING) }
    }

    /// The INVITE came again.
    pub(crate) fn request(&mut self) -> Do {
        match self.state {
            InviteState::Fresh => {
                self.state = InviteState::Proceeding;
                self.next = None;
                Do::Trying
            }
            InviteState::Proceeding | InviteState::Completed => Do::Resend,
            // RFC 6026: absorbed. The user repeats its 2xx by its own timer.
            InviteState::Accepted | InviteState::Confirmed | InviteState::Terminated => Do::Nothing,
        }
    }

    /// An ACK that matches this transaction came.
    pub(crate) fn ack(&mut self, now: Instant) -> Do {
        match self.state {
            InviteState::Completed => {
                self.resend = None;
                if self.reliable {
                    self.state = InviteState::Terminated;
                    self.next = None;
                } else {
                    self.state = InviteState::Confirmed;
                    self.next = Some(now + T4);
                }
                Do::Nothing
            }
            InviteState::Accepted => Do::Deliver,
            _ => Do::Nothing,
        }
    }

    /// The user sends a response with this status code. False: too late, a final one has been sent; don't send.
    pub(crate) fn respond(&mut self, now: Instant, code: u16) -> bool {
        match (self.state, code) {
            (InviteState::Fresh | InviteState::Proceeding, ..200) => {
                self.state = InviteState::Proceeding;
                self.next = None;
            }
            (InviteState::Fresh | InviteState::Proceeding, 200..300) => {
                self.state = InviteState::Accepted;
                self.next = Some(now + T1_64);
            }
            (InviteState::Fresh | InviteState::Proceeding, _) => {
                self.state = InviteState::Completed;
                self.resend = (!self.reliable).then(|| Repeat::start(now, T2));
                self.next = Some(now + T1_64);
            }
            // The user's own repetition of its 2xx.
            (InviteState::Accepted, 200..300) => {}
            _ => return false,
        }
        true
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Instant) -> Do {
        if self.next.is_some_and(|next| now >= next) {
            self.next = None;
            if self.state == InviteState::Fresh {
                self.state = InviteState::Proceeding;
                return Do::Trying;
            }
            let was = self.state;
            self.state = InviteState::Terminated;
            self.resend = None;
            return if was == InviteState::Completed { Do::TimedOut } else { Do::Nothing };
        }
        if self.resend.as_mut().is_some_and(|timer| timer.is_due(now)) { Do::Resend } else { Do::Nothing }
    }

    /// When [`Self::expire`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        earliest(self.resend.map(|timer| timer.at()), self.next)
    }

    /// Whether no final response has been sent yet.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, InviteState::Fresh | InviteState::Proceeding)
    }

    /// Whether the transaction can be forgotten.
    pub(crate) fn is_over(&self) -> bool {
        self.state == InviteState::Terminated
    }
}

/// Where a non-INVITE server transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Completed,
    Terminated,
}

/// The non-INVITE server transaction (RFC 3261 figure 8). Milo answers such requests at once with a final response
/// (RFC 4320 forbids provisional ones but 100), so there is no Proceeding.
#[derive(Debug)]
pub(crate) struct Server {
    state: State,
    reliable: bool,
    /// Timer J.
    end: Option<Instant>,
}

impl Server {
    /// The request has just come.
    pub(crate) fn new(reliable: bool) -> Self {
        Self { state: State::Trying, reliable, end: None }
    }

    /// The request came again.
    pub(crate) fn request(&mut self) -> Do {
        if self.state == State::Completed { Do::Resend } else { Do::Nothing }
    }

    /// The user sends its final response.
    pub(crate) fn respond(&mut self, now: Instant) {
        if self.reliable {
            self.state = State::Terminated;
        } else {
            self.state = State::Completed;
            self.end = Some(now + T1_64);
        }
    }

    /// Time has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        if self.end.is_some_and(|end| now >= end) {
            self.state = State::Terminated;
            self.end = None;
        }
    }

    /// When [`Self::expire`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.end
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

    #[test]
    fn trying_is_sent_after_200_ms_or_at_the_first_repetition() {
        let start = Instant::now();
        let mut slow = InviteServer::new(start, false);
        assert_eq!(slow.deadline(), Some(start + TRYING));
        assert_eq!(slow.expire(start + TRYING), Do::Trying);
        assert_eq!(slow.deadline(), None);
        let mut repeated = InviteServer::new(start, false);
        assert_eq!(repeated.request(), Do::Trying);
        assert_eq!(repeated.request(), Do::Resend);
        let mut quick = InviteServer::new(start, false);
        assert!(quick.respond(start, 180));
        assert_eq!(quick.deadline(), None, "a provisional of the user replaces the 100");
    }

    #[test]
    fn rejection_is_repeated_by_timer_g_and_given_up_at_timer_h() {
        let start = Instant::now();
        let mut machine = InviteServer::new(start, false);
        assert!(machine.respond(start, 486));
        assert!(!machine.is_open());
        let mut at = Vec::new();
        while let Some(deadline) = machine.deadline() {
            match machine.expire(deadline) {
                Do::Resend => at.push((deadline - start).as_millis()),
                Do::TimedOut => at.push(0),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(at, [500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500, 0]);
        assert!(machine.is_over());
    }

    #[test]
    fn reliable_rejection_is_sent_once_and_still_waits_for_its_ack() {
        let start = Instant::now();
        let mut machine = InviteServer::new(start, true);
        assert!(machine.respond(start, 486));
        assert_eq!(machine.deadline(), Some(start + T1_64));
        assert_eq!(machine.ack(start), Do::Nothing);
        assert!(machine.is_over());
    }

    #[test]
    fn ack_of_a_rejection_leads_through_confirmed_and_timer_i() {
        let start = Instant::now();
        let mut machine = InviteServer::new(start, false);
        assert!(machine.respond(start, 486));
        assert_eq!(machine.request(), Do::Resend);
        assert_eq!(machine.ack(start), Do::Nothing);
        assert_eq!(machine.request(), Do::Nothing);
        assert_eq!(machine.ack(start), Do::Nothing);
        assert_eq!(machine.deadline(), Some(start + T4));
        assert_eq!(machine.expire(start + T4), Do::Nothing);
        assert!(machine.is_over());
    }

    #[test]
    fn accepted_absorbs_the_invite_and_passes_the_ack_until_timer_l() {
        let start = Instant::now();
        let mut machine = InviteServer::new(start, false);
        assert!(machine.respond(start, 200));
        assert_eq!(machine.request(), Do::Nothing);
        assert_eq!(machine.ack(start), Do::Deliver);
        assert!(machine.respond(start, 200), "the user repeats its 2xx");
        assert!(!machine.respond(start, 487), "a CANCEL that lost the race changes nothing");
        assert_eq!(machine.deadline(), Some(start + T1_64));
        assert_eq!(machine.expire(start + T1_64), Do::Nothing);
        assert!(machine.is_over());
    }

    #[test]
    fn other_requests_are_answered_again_until_timer_j() {
        let start = Instant::now();
        let mut machine = Server::new(false);
        assert_eq!(machine.request(), Do::Nothing);
        machine.respond(start);
        assert_eq!(machine.request(), Do::Resend);
        machine.expire(start + T4);
        assert!(!machine.is_over());
        machine.expire(start + T1_64);
        assert!(machine.is_over());
        let mut reliable = Server::new(true);
        reliable.respond(start);
        assert!(reliable.is_over());
    }
}
