//! How a call ends: our user hangs up or lets go of it, the other side does, or the endpoint is shut down.

use std::time::Instant;

use super::Stage;
use crate::{
    SignalingError,
    sip::{
        core::{CallKey, Core, EndReason, Event},
        headers::Name,
        message::Message,
        method::Method,
        reason::Reason,
        receive::Request,
    },
};

impl Core {
    /// Should this call be refused or hung up, the other side is told so (RFC 3326).
    pub fn because(&mut self, key: CallKey, reason: Reason) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.because = Some(reason);
        }
    }

    /// Hangs up a call that is up.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when it is not.
    pub fn hang_up(&mut self, now: Instant, key: CallKey) -> Result<(), SignalingError> {
        let call = self.calls.get_mut(&key).ok_or(SignalingError::Gone)?;
        match call.stage {
            Stage::Up if call.unacked.is_some() => call.stage = Stage::Hanging,
            Stage::Up => self.send_bye(now, key, &Reason::normal()),
            // Answered by its user, and the 2xx waits for a PRACK.
            Stage::Incoming(_) => return self.reject_invite(now, key, 480, ""),
            _ => return Err(SignalingError::Gone),
        }
        Ok(())
    }

    /// Whoever held this call has let go of it: whatever is still open is ended politely.
    pub fn release(&mut self, now: Instant, key: CallKey) {
        // Errors mean that the call is over, which is what is wanted.
        match self.calls.get(&key).map(|call| &call.stage) {
            Some(Stage::Incoming(_)) => drop(self.reject_invite(now, key, 480, "")),
            Some(Stage::Outgoing(_)) => drop(self.cancel(now, key)),
            Some(Stage::Up) => drop(self.hang_up(now, key)),
            Some(Stage::Hanging | Stage::Closing) | None => {}
        }
    }

    /// Ends every call and takes no more; the last messages are among the outputs.
    pub fn shutdown(&mut self, now: Instant) {
        self.config.max_calls = 0;
        self.unregister(now);
        let keys: Vec<_> = self.calls.keys().copied().collect();
        for key in keys {
            self.release(now, key);
            self.event(Event::Ended(key, EndReason::Shutdown));
        }
    }

    pub(super) fn bye(&mut self, now: Instant, key: CallKey, request: &Request) {
        let response = self.response(&request.message, 200, "");
        let id = self.transactions.open_server(request.key.clone(), request.path);
        self.transactions.respond(now, id, &response, &mut self.packets);
        // RFC 3261 section 15.1.2: what is still open is answered; most often nothing is.
        drop(self.refuse_referral(now, key, 487));
        self.give_reasons(key, &request.message);
        let Some(call) = self.calls.get(&key) else { return };
        match &call.stage {
            // RFC 3261 section 15.1.2: the INVITE still deserves its final response.
            Stage::Incoming(_) => {
                let refused = self.reject_invite(now, key, 487, "");
                debug_assert!(refused.is_ok());
                self.event(Event::Ended(key, EndReason::Cancelled));
            }
            Stage::Outgoing(_) => {
                drop(self.cancel(now, key));
                self.event(Event::Ended(key, EndReason::RemoteHangup));
            }
            Stage::Up => {
                self.event(Event::Ended(key, EndReason::RemoteHangup));
                self.forget(key);
            }
            // Ours and theirs have crossed.
            Stage::Hanging | Stage::Closing => self.forget(key),
        }
    }

    /// Tells the user why the other side says that it ends the call, if it does.
    pub(super) fn give_reasons(&mut self, key: CallKey, message: &Message) {
        let reasons = Reason::of(message);
        if !reasons.is_empty() {
            self.event(Event::Reasons(key, reasons));
        }
    }

    /// Sends the BYE of a call that is up, and why (RFC 3326).
    pub(super) fn send_bye(&mut self, now: Instant, key: CallKey, why: &Reason) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.stage = Stage::Closing;
        call.unacked = None;
        let Some(dialog) = &mut call.dialog else { return };
        let mut bye = dialog.request(Method::Bye);
        // What our user says counts where nothing worse has happened.
        let said = call.because.as_ref().filter(|_| why.is_normal());
        bye.headers.push(Name::REASON, said.unwrap_or(why).to_string());
        self.send_request(now, key, bye);
        self.settle_call(key);
    }

    /// Tells the user that the call is over, and hangs up.
    pub(super) fn end(&mut self, now: Instant, key: CallKey, reason: EndReason) {
        let why = match &reason {
            EndReason::SessionExpired | EndReason::Unacknowledged | EndReason::Lost { .. } => Reason::expired(),
            EndReason::BadMedia(_) => Reason::incompatible(),
            _ => Reason::normal(),
        };
        self.event(Event::Ended(key, reason));
        self.send_bye(now, key, &why);
    }

    /// The call is over on the wire too.
    pub(super) fn forget(&mut self, key: CallKey) {
        let Some(call) = self.calls.remove(&key) else { return };
        if let Some(at) = call.scheduled {
            self.timers.remove(&(at, key));
        }
        if call.is_to_stranger {
            self.calls_to_strangers -= 1;
        }
        self.see_off(call.guest);
        if let Some(open) = call.referrals.unanswered() {
            self.transactions.forget(open);
        }
        if let Some(dialog) = call.dialog {
            self.dialogs.remove(&(dialog.call_id, dialog.local_tag));
        }
    }
}
