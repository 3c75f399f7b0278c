//! INVITEs of ours within a call that is up (RFC 3261 section 14.1): to put the other side on hold (RFC 3264 section 8.4), and to
//! refresh the session (RFC 4028), which is done by an UPDATE without an offer where the other side takes one (section 7.4). One at a
//! time, and none while the other side's is open.

use std::time::{Duration, Instant};

use super::{Call, Stage, media::Standing};
use crate::{
    SignalingError,
    sip::{
        body::SDP_TYPE,
        core::{CallKey, Core, EndReason, Event},
        headers::Name,
        message::Message,
        method::Method,
        screen::{allow, supported},
        session_timer::{Clock, Terms},
        transaction::{earliest, table::TransactionId},
    },
};

/// How long the other side may think about an INVITE within a call.
const LONGEST_THOUGHT: Duration = Duration::from_secs(180);
/// How often one wish is sent when the other side answers that the time is not right.
const TRIES: u8 = 8;
/// The longest that a Retry-After is obeyed.
const LONGEST_WAIT: Duration = Duration::from_secs(32);

/// What we have to say to the other side about the session.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The other side is to be put on hold, or back; not agreed yet.
    hold: Option<bool>,
    pending: Option<Pending>,
    /// Not before this: INVITEs have crossed, or the other side wants to be left alone.
    wait: Option<Instant>,
    tries: u8,
    /// The other side has left something unanswered: it is asked whether it is there, whoever is to refresh the session.
    is_doubted: bool,
    /// The shortest interval that the other side takes, in seconds.
    min_se: u32,
}

/// Our INVITE or UPDATE without a final response.
#[derive(Debug)]
struct Pending {
    transaction: TransactionId,
    hold: Option<bool>,
    /// What holds if it is refused; `None`: it is an UPDATE that offers nothing.
    before: Option<Standing>,
    asked_s: u32,
    give_up: Instant,
}

impl Changes {
    /// An INVITE of ours is open: one of the other side is glare.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.before.is_some())
    }

    /// Somebody waits until the other side is on hold, or back.
    pub(super) fn is_wanted(&self) -> bool {
        self.hold.is_some()
    }

    /// The other side takes no shorter interval, in seconds.
    pub(super) fn learn_min_se(&mut self, seconds: u32) {
        self.min_se = self.min_se.max(seconds);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.wait, self.pending.as_ref().map(|pending| pending.give_up))
    }
}

impl Core {
    /// Puts the other side of a call that is up on hold, or back. What became of it comes as [`Event::HoldAnswered`].
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call is not up.
    pub fn hold(&mut self, now: Instant, key: CallKey, hold: bool) -> Result<(), SignalingError> {
        let call = self.calls.get_mut(&key).ok_or(SignalingError::Gone)?;
        let (Stage::Up, Some(negotiation)) = (&call.stage, &call.negotiation) else { return Err(SignalingError::Gone) };
        if negotiation.on_hold() == hold && !call.changes.is_pending() {
            call.changes.hold = None;
            self.event(Event::HoldAnswered(key, 200));
            return Ok(());
        }
        call.changes.hold = Some(hold);
        self.pursue(now, key);
        self.settle_call(key);
        Ok(())
    }

    /// The other side may be gone: asks it.
    pub(super) fn doubt(&mut self, now: Instant, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.changes.is_doubted = true;
        }
        self.pursue(now, key);
        self.settle_call(key);
    }

    /// Sends what there is to say, if now is the time.
    pub(super) fn pursue(&mut self, now: Instant, key: CallKey) {
        let timers = self.config.session_timers;
        let Some(call) = self.calls.get_mut(&key) else { return };
        let takes_update = call.takes_update;
        let Call {
            stage: Stage::Up,
            unacked: None,
            dialog: Some(dialog),
            negotiation: Some(negotiation),
            changes,
            clock,
            ..
        } = call
        else {
            return;
        };
        let refresh = clock.as_mut().is_some_and(|clock| clock.is_due(now));
        if changes.pending.is_some() || !(changes.hold.is_some() || refresh || changes.is_doubted) {
            return;
        }
        if changes.wait.is_some_and(|until| now < until) {
            return;
        }
        changes.wait = None;
        changes.is_doubted = false;
        let hold = changes.hold;
        let by_update = hold.is_none() && takes_update;
        let mut request = dialog.request(if by_update { Method::Update } else { Method::Invite });
        let asked_s = timers.ask(&mut request, clock.map(|clock| clock.terms), changes.min_se);
        request.headers.push(Name::ALLOW, allow());
        request.headers.push(Name::SUPPORTED, supported());
        let before = (!by_update).then(|| {
            let (body, before) = negotiation.offer_again(hold);
            request.set_body(SDP_TYPE, body);
            before
        });
        if let Some(clock) = clock {
            clock.sent();
        }
        let transaction = self.send_request(now, key, request);
        if let Some(call) = self.calls.get_mut(&key) {
            let give_up = now + LONGEST_THOUGHT;
            call.changes.pending = Some(Pending { transaction, hold, before, asked_s, give_up });
        }
    }

    /// One of the timers of an answered call is due.
    pub(super) fn expire_up(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if call.clock.as_mut().is_some_and(|clock| clock.is_over(now)) {
            self.end(now, key, EndReason::SessionExpired);
            return;
        }
        if call.changes.pending.as_ref().is_some_and(|pending| now >= pending.give_up) {
            self.end(now, key, EndReason::Lost { code: 408 });
            return;
        }
        if call.changes.wait.is_some_and(|until| now >= until) {
            call.changes.wait = None;
        }
        self.pursue(now, key);
    }

    /// A response to our INVITE or UPDATE within the dialog came; false when it was to none.
    pub(super) fn change_responded(
        &mut self,
        now: Instant,
        key: CallKey,
        id: TransactionId,
        code: u16,
        response: &Message,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let Some(pending) = call.changes.pending.take_if(|pending| pending.transaction == id) else { return false };
        match code {
            ..200 => call.changes.pending = Some(pending),
            200..300 if pending.before.is_some() => self.reinvite_accepted(now, key, pending, response),
            _ if !matches!(call.stage, Stage::Up) => {}
            200..300 => self.refreshed(now, key, &pending, response),
            408 | 481 => self.end(now, key, EndReason::Lost { code }),
            _ => self.reinvite_refused(now, key, pending, code, response),
        }
        self.settle_call(key);
        true
    }

    /// Nobody answered this INVITE or UPDATE of ours; false when it was none within a dialog.
    pub(super) fn change_unanswered(&mut self, now: Instant, key: CallKey, id: TransactionId, code: u16) -> bool {
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let lost = call.changes.pending.take_if(|pending| pending.transaction == id).is_some();
        if lost && matches!(call.stage, Stage::Up) {
            self.end(now, key, EndReason::Lost { code });
        }
        lost
    }

    fn reinvite_accepted(&mut self, now: Instant, key: CallKey, pending: Pending, response: &Message) {
        self.send_ack(key, response);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let (Stage::Up, Some(negotiation)) = (&call.stage, &mut call.negotiation) else { return };
        if let Some(dialog) = &mut call.dialog {
            dialog.refresh_target(response);
        }
        call.changes.tries = 0;
        call.clock = Some(Clock::start(now, Terms::of_response(response, pending.asked_s)));
        match negotiation.take_answer_again(response) {
            Ok(Some(session)) => self.event(Event::MediaChange(key, session)),
            Ok(None) => {}
            Err(why) => {
                self.end(now, key, EndReason::BadMedia(why.to_string()));
                return;
            }
        }
        self.hold_answered(key, pending.hold, 200);
        self.pursue(now, key);
    }

    /// Our UPDATE was taken: the session begins anew.
    fn refreshed(&mut self, now: Instant, key: CallKey, pending: &Pending, response: &Message) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if let Some(dialog) = &mut call.dialog {
            dialog.refresh_target(response);
        }
        call.changes.tries = 0;
        call.clock = Some(Clock::start(now, Terms::of_response(response, pending.asked_s)));
        self.pursue(now, key);
    }

    fn reinvite_refused(&mut self, now: Instant, key: CallKey, pending: Pending, code: u16, response: &Message) {
        let wait = self.wait_of(key, code, response);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Call { negotiation: Some(negotiation), changes, clock, takes_update, .. } = call else { return };
        // RFC 3261 section 14.1: the session stays as it was.
        match pending.before {
            Some(before) => negotiation.restore(before),
            // It does not do what its Allow says: the same by an INVITE.
            None if matches!(code, 405 | 501) => {
                *takes_update = false;
                if let Some(clock) = clock {
                    clock.put_off();
                }
                return self.pursue(now, key);
            }
            None => {}
        }
        changes.tries += 1;
        if let Some(wait) = wait.filter(|_| changes.tries < TRIES) {
            changes.wait = Some(now + wait);
            if pending.hold.is_none()
                && let Some(clock) = clock
            {
                clock.put_off();
            }
        } else {
            changes.tries = 0;
            if let Some(clock) = clock {
                clock.refused(now);
            }
            self.hold_answered(key, pending.hold, code);
        }
        self.pursue(now, key);
    }

    /// How long to wait before the same is tried again; None: it is refused.
    fn wait_of(&mut self, key: CallKey, code: u16, response: &Message) -> Option<Duration> {
        match code {
            // Who drew the Call-ID waits longer, so that both do not meet again (RFC 3261 section 14.1).
            491 => {
                let ours = self.calls.get(&key).is_some_and(|call| call.is_placed);
                let hundredths = if ours { self.pick(210..=400) } else { self.pick(0..=200) };
                Some(Duration::from_millis(10) * hundredths)
            }
            422 => {
                let min_se = response.min_se().ok()??;
                let changes = &mut self.calls.get_mut(&key)?.changes;
                let raised = min_se > changes.min_se;
                changes.learn_min_se(min_se);
                raised.then_some(Duration::ZERO)
            }
            _ => {
                let seconds = response.headers.get(Name::RETRY_AFTER)?;
                let seconds: u32 = seconds.split([';', '(', ' ']).next()?.parse().ok()?;
                Some(Duration::from_secs(seconds.into())).filter(|wait| *wait <= LONGEST_WAIT)
            }
        }
    }

    /// Tells what became of the wish to hold or to resume, unless it has changed meanwhile.
    fn hold_answered(&mut self, key: CallKey, hold: Option<bool>, code: u16) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if hold.is_some() && call.changes.hold == hold {
            call.changes.hold = None;
            self.event(Event::HoldAnswered(key, code));
        }
    }
}
