//! We call: from our INVITE to its final response (RFC 3261 section 13.2), and giving up before it (section 9.1).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{
    Call, Stage,
    fork::{Offered, Said},
    set_out::{Untried, no_way},
};
use crate::{
    SignalingError,
    sip::{
        body::SDP_TYPE,
        core::{CallKey, Core, EndReason, Event},
        flow::{Packet, Path, Ways},
        headers::Name,
        introduction::Introduction,
        message::Message,
        method::Method,
        reason::Reason,
        screen::{allow, supported},
        session_timer::{Clock, Terms},
        transaction::{T1_64, UNHEARD, message::cancel_of, table::TransactionId},
        uri::Uri,
    },
};

/// How long the other side may ring at most: longer than whoever calls may ask for, which is five minutes.
pub(super) const RING_LIMIT: Duration = Duration::from_secs(330);

/// Our INVITE, without a final response yet.
#[derive(Debug)]
pub(in crate::sip) struct Outgoing {
    pub(super) transaction: TransactionId,
    pub(super) branch: String,
    pub(super) path: Path,
    /// To be sent once more, changed, when the other side wants something else of it.
    pub(super) invite: Box<Message>,
    /// The session interval that it asks for, in seconds.
    pub(super) asked_s: u32,
    /// Whether any response came: a CANCEL must wait for one.
    pub(super) provisional: bool,
    pub(super) cancel: Cancel,
    /// Somebody else has answered in the place of whom we call.
    pub(super) is_answered_elsewhere: bool,
    pub(super) told: u16,
    pub(super) give_up: Instant,
    /// Until when anything at all must have been heard of this INVITE; None once it has.
    pub(super) unheard: Option<Instant>,
    /// What every branch of a fork was offered.
    pub(super) offered: Box<Offered>,
    /// What the callee of the call's present dialog has said.
    pub(super) said: Said,
    /// What is tried when this way leads nowhere.
    pub(super) untried: Option<Box<Untried>>,
}

/// Whether the INVITE is being taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// As soon as a response comes.
    Wanted,
    Sent,
}

impl Outgoing {
    /// Whether it is this transaction's final response that decides, and still may.
    pub(super) fn waits_for(&self, id: TransactionId) -> bool {
        self.transaction == id && self.cancel == Cancel::No
    }

    pub(super) fn is_taken_back(&self) -> bool {
        self.cancel != Cancel::No
    }

    pub(super) fn path(&self) -> Path {
        self.path
    }

    /// The INVITE is on its way again, in a transaction of its own.
    pub(super) fn sent_again(&mut self, now: Instant, transaction: TransactionId, branch: String) {
        self.transaction = transaction;
        self.branch = branch;
        self.provisional = false;
        self.unheard = Some(now + UNHEARD);
    }
}

impl Core {
    /// Places a call along the first of `ways` that leads somewhere. `from` says who calls; `rtp` is the address of the call's RTP socket.
    ///
    /// # Errors
    /// [`SignalingError::Full`], [`SignalingError::Target`].
    pub fn call(
        &mut self,
        now: Instant,
        target: &Uri,
        from: impl Into<Introduction>,
        ways: impl Into<Ways>,
        rtp: SocketAddr,
    ) -> Result<CallKey, SignalingError> {
        if self.calls.len() >= self.config.room() {
            return Err(SignalingError::Full { limit: self.config.max_calls });
        }
        self.call_anyway(now, target, from, ways, rtp)
    }

    /// The same however many calls are up, for what must not wait.
    ///
    /// # Errors
    /// [`SignalingError::Target`].
    pub fn call_anyway(
        &mut self,
        now: Instant,
        target: &Uri,
        from: impl Into<Introduction>,
        ways: impl Into<Ways>,
        rtp: SocketAddr,
    ) -> Result<CallKey, SignalingError> {
        let mut ways = ways.into();
        self.deaf.put_last(now, &mut ways);
        let lost = || no_way(target);
        let introduction = from.into();
        let mut invite = self.first_request(Method::Invite, target, &introduction, &ways)?;
        invite.headers.push(Name::ALLOW, allow());
        invite.headers.push(Name::SUPPORTED, supported());
        invite.headers.push(Name::ACCEPT, SDP_TYPE);
        introduction.fields.into_iter().for_each(|(name, value)| invite.headers.push(name, value));
        let asked_s = self.config.session_timers.ask(&mut invite, None, 0);
        let key = self.new_call_key();
        let codecs = introduction.codecs;
        let set_out = self.set_out(now, key, Box::new(Untried { ways, invite, asked_s, rtp, codecs }));
        let (outgoing, negotiation) = set_out.ok_or_else(lost)?;
        let mut call = Call::new(outgoing.path.flow, Stage::Outgoing(outgoing));
        call.negotiation = Some(negotiation);
        call.is_placed = true;
        self.calls.insert(key, call);
        self.judge_callee(key);
        self.settle_call(key);
        Ok(key)
    }

    /// Notes whether the one we call is a stranger.
    pub(super) fn judge_callee(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let was = std::mem::replace(&mut call.is_to_stranger, !self.gate.trusts(call.flow.remote.ip()));
        self.calls_to_strangers = self.calls_to_strangers + usize::from(call.is_to_stranger) - usize::from(was);
        self.welcome_guest(key);
    }

    /// The Call-ID of a call.
    pub fn call_id(&self, key: CallKey) -> Option<String> {
        let call = self.calls.get(&key)?;
        match (&call.dialog, &call.stage) {
            (Some(dialog), _) => Some(dialog.call_id.clone()),
            (None, Stage::Outgoing(outgoing)) => {
                Some(self.transactions.invite(outgoing.transaction)?.call_id().ok()?.to_owned())
            }
            _ => None,
        }
    }

    /// Somebody else has answered in place of the one we call: what takes our INVITE back says so (RFC 3326 section 3.1).
    pub fn answered_elsewhere(&mut self, key: CallKey) {
        if let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get_mut(&key) {
            outgoing.is_answered_elsewhere = true;
        }
    }

    /// Takes our INVITE back. Its user hears no more of it: should the answer win the race, it is hung up.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when it has its final response.
    pub fn cancel(&mut self, now: Instant, key: CallKey) -> Result<(), SignalingError> {
        let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get_mut(&key) else {
            return Err(SignalingError::Gone);
        };
        if outgoing.cancel == Cancel::No {
            outgoing.cancel = Cancel::Wanted;
            outgoing.give_up = now + T1_64;
            outgoing.unheard = None;
            if outgoing.provisional {
                self.send_cancel(now, key);
            }
            self.settle_call(key);
        }
        Ok(())
    }

    /// Sends the CANCEL of a call without a final response.
    pub(super) fn send_cancel(&mut self, now: Instant, key: CallKey) {
        let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get_mut(&key) else { return };
        outgoing.cancel = Cancel::Sent;
        outgoing.give_up = now + T1_64;
        let (branch, path, elsewhere) = (outgoing.branch.clone(), outgoing.path, outgoing.is_answered_elsewhere);
        let Some(mut cancel) = self.transactions.invite(outgoing.transaction).map(cancel_of) else { return };
        if elsewhere {
            cancel.headers.push(Name::REASON, Reason::elsewhere().to_string());
        }
        self.transactions.send(now, cancel, &branch, path, Some(key), &mut self.packets);
        self.settle_call(key);
    }

    /// A response to our INVITE came.
    pub(super) fn invite_responded(
        &mut self,
        now: Instant,
        key: CallKey,
        id: TransactionId,
        code: u16,
        response: &Message,
    ) {
        if (code == 422 && self.ask_longer(now, key, response)) || (code == 503 && self.try_another_way(now, key)) {
            return;
        }
        let Some(call) = self.calls.get_mut(&key) else { return };
        match &mut call.stage {
            Stage::Outgoing(outgoing) if code < 200 => {
                outgoing.provisional = true;
                outgoing.unheard = None;
                match outgoing.cancel {
                    Cancel::No if code > 100 => self.progressed(now, key, id, code, response),
                    Cancel::Wanted => self.send_cancel(now, key),
                    Cancel::No | Cancel::Sent => {}
                }
            }
            Stage::Outgoing(_) if code < 300 => self.accepted(now, key, id, response),
            Stage::Outgoing(_) => {
                let reason = match &response.start {
                    crate::sip::StartLine::Status { reason, .. } => reason.as_str(),
                    crate::sip::StartLine::Request { .. } => "",
                };
                self.give_reasons(key, response);
                self.outgoing_failed(now, key, code, reason);
            }
            _ if (200..300).contains(&code) => self.accepted_again(now, key, id, response),
            _ => {}
        }
    }

    fn accepted(&mut self, now: Instant, key: CallKey, id: TransactionId, response: &Message) {
        if !self.join(key, id, response) {
            self.outgoing_failed(now, key, 500, "the answer makes no dialog");
            return;
        }
        self.send_ack(key, response);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let stage = std::mem::replace(&mut call.stage, Stage::Up);
        let (said, asked_s) = match stage {
            Stage::Outgoing(Outgoing { cancel: Cancel::No, said, asked_s, .. }) => (said, asked_s),
            // The answer and our CANCEL have crossed (RFC 3261 section 15).
            Stage::Outgoing(Outgoing { is_answered_elsewhere: true, .. }) => {
                return self.send_bye(now, key, &Reason::elsewhere());
            }
            _ => return self.send_bye(now, key, &Reason::normal()),
        };
        call.learn_methods(response);
        call.clock = Some(Clock::start(now, Terms::of_response(response, asked_s)));
        let Some(negotiation) = self.calls.get_mut(&key).and_then(|call| call.negotiation.as_mut()) else { return };
        match negotiation.take_final_answer(response, said.is_settled) {
            Ok(session) => self.event(Event::Answered(key, session)),
            Err(why) => self.end(now, key, EndReason::BadMedia(why.to_string())),
        }
        self.settle_call(key);
    }

    /// A 2xx after the first: the same again, or that of another branch of a fork (RFC 3261 section 13.2.2.4).
    fn accepted_again(&mut self, now: Instant, key: CallKey, id: TransactionId, response: &Message) {
        let Some(call) = self.calls.get(&key) else { return };
        let tag = response.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
        if call.dialog.as_ref().is_some_and(|dialog| dialog.remote_tag == tag) {
            let number = response.cseq().map_or(0, |(number, _)| number);
            return self.ack_again(key, number);
        }
        let number = response.cseq().map_or(1, |(number, _)| number);
        let Some(other) = self.branch(key, id, response) else { return };
        let (mut ack, mut bye, path) = (other.ack(number), other.request(Method::Bye), other.path());
        self.put_via(&mut ack, &path);
        self.packets.push_back(Packet { path, bytes: ack.to_bytes().into(), transaction: None });
        let branch = self.put_via(&mut bye, &path);
        self.transactions.send(now, bye, &branch, path, None, &mut self.packets);
    }

    /// Our INVITE has failed.
    pub(super) fn outgoing_failed(&mut self, _now: Instant, key: CallKey, code: u16, reason: &str) {
        if let Some(Call { stage: Stage::Outgoing(Outgoing { cancel: Cancel::No, .. }), .. }) = self.calls.get(&key) {
            self.event(Event::Ended(key, EndReason::Rejected { code, reason: reason.to_owned() }));
        }
        self.forget(key);
    }

    /// Nothing was heard, or the other side has rung long enough, or our CANCEL had no effect.
    pub(super) fn expire_outgoing(&mut self, now: Instant, key: CallKey) {
        let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get(&key) else { return };
        if outgoing.unheard.is_some_and(|at| now >= at) {
            return self.unheard(now, key);
        }
        if now < outgoing.give_up {
            return;
        }
        if outgoing.cancel == Cancel::No {
            let reason = EndReason::Rejected { code: 408, reason: "No Answer".to_owned() };
            self.event(Event::Ended(key, reason));
            drop(self.cancel(now, key));
        } else {
            self.transactions.forget(outgoing.transaction);
            self.forget(key);
        }
    }
}
