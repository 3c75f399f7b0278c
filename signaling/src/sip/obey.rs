//! What the endpoint's task does when somebody asks for it: the owners of calls, and whoever places new ones.

use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tracing::info;

use super::{
    core::{CallKey, TextIn},
    driver::Driver,
};
use crate::{
    SignalingError,
    handle::{CallHandle, CallState, Command, NewCall, NewPing, NewText, Step},
};

impl Driver {
    /// Does what an owner of a call, or whoever else holds the endpoint, asks for.
    pub(super) fn obey(&mut self, now: Instant, command: Command) {
        // A reply that nobody waits for is dropped: the owner is gone, and its farewell follows.
        match command {
            Command::Ring(call, reply) => drop(reply.send(self.core.ring(now, call))),
            Command::Early(call, rtp, reply) => drop(reply.send(self.core.early(now, call, rtp))),
            Command::Speak(call, codecs) => self.core.speak(call, codecs),
            Command::AnswerEarly(call, reply) => drop(reply.send(self.core.answer_early(now, call))),
            Command::Answer(call, rtp, reply) => drop(reply.send(self.core.answer(now, call, rtp))),
            Command::Reject(call, code, reason, reply) => {
                drop(reply.send(self.core.reject_invite(now, call, code, &reason)));
                // An answer that its owner gave itself needs no news.
                self.calls.remove(&call);
            }
            Command::Redirect(call, to, reply) => {
                drop(reply.send(self.core.redirect_invite(now, call, &to)));
                self.calls.remove(&call);
            }
            Command::TellKey(call, press, reply) => match self.core.tell_key(now, call, press) {
                Ok(info) => self.waiting.for_key(info, call, reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Hold(call, hold, reply) => match self.core.hold(now, call, hold) {
                Ok(()) => self.waiting.for_hold(call, reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Refer(call, target, reply) => match self.core.refer(now, call, &target) {
                Ok(()) => self.waiting.for_referral(call, reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Referral(call, step, reply) => drop(reply.send(match step {
                Step::Take => self.core.take_referral(now, call),
                Step::Report(code) => self.core.report_referral(now, call, code),
                Step::Refuse(code) => self.core.refuse_referral(now, call, code),
            })),
            Command::InOurPlace(call, reply) => drop(reply.send(self.core.in_our_place(call))),
            Command::Because(call, reason) => self.core.because(call, reason),
            Command::HangUp(call, reply) => drop(reply.send(self.core.hang_up(now, call))),
            Command::Call(call, reply) => drop(reply.send(self.place(now, &call))),
            Command::Ping(ping, reply) => {
                let NewPing { target, routes, destination } = &*ping;
                match destination.ways(&mut self.transports) {
                    Ok(ways) => self.waiting.for_answer(self.core.ping(now, target, routes, ways), target, reply),
                    Err(reason) => {
                        drop(reply.send(Err(SignalingError::Target { target: target.to_string(), reason })));
                    }
                }
            }
            Command::Text(text, reply) => match self.text(now, &text) {
                Ok(key) => self.waiting.for_answer(key, &text.target, reply),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::Register(account, reply) => {
                drop(reply.send(Ok(self.registrars.register(now, *account, &mut self.core))));
            }
            Command::Unregister => self.core.unregister(now),
            Command::Accounts(users) => self.core.replace_accounts(users),
            Command::Bans(reply) => drop(reply.send(Ok(self.core.bans(now)))),
            Command::Pardon(address, reply) => {
                let was = self.core.pardon(now, address);
                if was {
                    info!(%address, "a ban was lifted");
                }
                drop(reply.send(Ok(was)));
            }
            // Handled where the task can end.
            Command::Shutdown(done) => drop(done),
        }
    }

    fn place(&mut self, now: Instant, call: &NewCall) -> Result<(CallHandle, String), SignalingError> {
        let wrong = |reason| SignalingError::Target { target: call.target.to_string(), reason };
        let ways = call.destination.ways(&mut self.transports).map_err(wrong)?;
        let NewCall { target, introduction, rtp, .. } = call;
        let key = if call.is_urgent {
            self.core.call_anyway(now, target, introduction, ways, *rtp)?
        } else {
            self.core.call(now, target, introduction, ways, *rtp)?
        };
        if let Some(credentials) = &call.credentials {
            self.core.authorize(key, credentials.clone());
        }
        if let Some(trust) = &call.trust {
            self.core.trust(key, trust.clone());
        }
        let call_id = self.core.call_id(key).unwrap_or_default();
        match self.handle(key) {
            Some(handle) => Ok((handle, call_id)),
            None => {
                self.core.release(now, key);
                Err(SignalingError::Stopped)
            }
        }
    }

    fn text(&mut self, now: Instant, text: &NewText) -> Result<CallKey, SignalingError> {
        let NewText { target, introduction, text, destination, credentials } = text;
        let wrong = |reason| SignalingError::Target { target: target.to_string(), reason };
        let ways = destination.ways(&mut self.transports).map_err(wrong)?;
        self.core.send_text(now, (target, introduction), text, ways, credentials.clone())
    }

    /// A text goes to whoever takes them, and is answered: what nobody takes is refused, so that it is sent again later.
    pub(super) fn hand_over(&mut self, now: Instant, text: TextIn) {
        match self.texts.try_reserve() {
            Ok(place) => {
                self.core.answer_text(now, &text, None);
                place.send(text.into());
            }
            Err(mpsc::error::TrySendError::Closed(())) => self.core.answer_text(now, &text, Some(480)),
            Err(mpsc::error::TrySendError::Full(())) => self.core.answer_text(now, &text, Some(503)),
        }
    }

    /// The cord to a new call; `None` when more owners hold ended calls than there is room for.
    pub(super) fn handle(&mut self, key: CallKey) -> Option<CallHandle> {
        let commands = self.commands.upgrade()?;
        let farewell = self.farewells.clone().try_reserve_owned().ok()?;
        let (state, watch) = watch::channel(CallState::default());
        self.calls.insert(key, state);
        Some(CallHandle { key, commands, state: watch, farewell: Some(farewell), is_answered_elsewhere: false })
    }
}
