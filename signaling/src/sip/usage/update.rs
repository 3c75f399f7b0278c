//! UPDATE (RFC 3311): another target, or another session, without touching the INVITE that may still be open; and the
//! same for longer (RFC 4028).

use std::time::Instant;

use super::{Call, Stage, early::Described, media::early};
use crate::sip::{
    core::{CallKey, Core, Event},
    headers::Name,
    receive::Request,
    screen::Rejection,
    session_timer::Clock,
};

/// Whose offer has no answer yet, so that no other may be made (RFC 3264 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenOffer {
    Ours,
    Theirs,
}

impl Call {
    fn open_offer(&self) -> Option<OpenOffer> {
        match &self.stage {
            Stage::Incoming(_) if self.reliable.awaits_answer() => Some(OpenOffer::Ours),
            // What was said loosely may never have been heard.
            Stage::Incoming(incoming) => (incoming.described != Described::Reliably).then_some(OpenOffer::Theirs),
            Stage::Outgoing(outgoing) => (!outgoing.said.is_settled).then_some(OpenOffer::Ours),
            Stage::Up => {
                let ours =
                    self.changes.is_pending() || self.unacked.as_ref().is_some_and(|unacked| unacked.awaits_answer);
                ours.then_some(OpenOffer::Ours)
            }
            Stage::Hanging | Stage::Closing => None,
        }
    }
}

impl Core {
    /// An UPDATE came within the dialog of this call, in order. One that comes again is answered by its transaction.
    pub(super) fn updated(&mut self, now: Instant, key: CallKey, request: &Request) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let offer = request.message.sdp();
        let is_over = matches!(call.stage, Stage::Hanging | Stage::Closing);
        // RFC 3311 section 5.2.
        let code = match call.open_offer().filter(|_| offer.is_some()) {
            _ if is_over => 481,
            Some(OpenOffer::Ours) => 491,
            Some(OpenOffer::Theirs) => 500,
            None => 200,
        };
        if code != 200 {
            let mut rejection = Rejection::new(code);
            if code == 500 {
                let wait = self.pick(0..=10);
                rejection.headers.push((Name::RETRY_AFTER, wait.to_string()));
            }
            self.answer_within(now, key, request, &rejection);
            return;
        }
        // Only what is up has a session timer to refresh (RFC 4028 section 9).
        let is_up = matches!(call.stage, Stage::Up);
        let refresher = call.clock.as_ref().map(|clock| clock.terms.refresher);
        let timers = self.config.session_timers;
        let terms = match is_up.then(|| timers.answer(&request.message, refresher)).transpose() {
            Ok(terms) => terms,
            Err(rejection) => {
                self.answer_within(now, key, request, &rejection);
                return;
            }
        };
        let answered = offer.zip(call.negotiation.as_mut()).map(|(offer, negotiation)| negotiation.answer(offer));
        let (body, session) = match answered.transpose() {
            Ok(answered) => answered.unzip(),
            Err(error) => {
                // The session stays as it was.
                let rejection = error.rejection(self.advertised(&request.flow));
                self.answer_within(now, key, request, &rejection);
                return;
            }
        };
        if let Some(dialog) = &mut call.dialog {
            dialog.refresh_target(&request.message);
        }
        if let Some(terms) = terms {
            call.clock = Some(Clock::start(now, terms));
        }
        let response = self.accept(key, &request.message, body, terms);
        let id = self.transactions.open_server(request.key.clone(), request.path);
        self.transactions.respond(now, id, &response, &mut self.packets);
        match (session, self.calls.get(&key).map(|call| &call.stage)) {
            (Some(session), Some(Stage::Outgoing(_))) => self.hear_early(key, session),
            (Some(session), Some(Stage::Incoming(_))) => self.event(Event::MediaChange(key, early(session))),
            (Some(session), _) => self.event(Event::MediaChange(key, session)),
            (None, _) => {}
        }
        self.settle_call(key);
    }
}
