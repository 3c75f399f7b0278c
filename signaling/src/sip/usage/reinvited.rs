//! An INVITE of the other side within the dialog (RFC 3261 section 14.2): another session, another target, or the same for longer.

use std::time::Instant;

use super::Stage;
use crate::sip::{
    core::{CallKey, Core, Event, Output},
    flow::Packet,
    headers::Name,
    reason::Reason,
    receive::Request,
    screen::Rejection,
    session_timer::Clock,
};

impl Core {
    /// An INVITE came within the dialog (RFC 3261 section 14.2).
    pub(in crate::sip) fn reinvited(&mut self, now: Instant, key: CallKey, request: Request) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let was_hanging = matches!(call.stage, Stage::Hanging);
        let refusal = match (&call.stage, &call.unacked) {
            (Stage::Incoming(_), _) => Some(500),
            (Stage::Outgoing(_), _) => Some(491),
            (Stage::Hanging | Stage::Closing, _) => Some(481),
            (Stage::Up, Some(unacked)) if unacked.awaits_answer => Some(491),
            (Stage::Up, _) if call.changes.is_pending() => Some(491),
            (Stage::Up, _) => None,
        };
        // Who sends it has had our 2xx, whether its ACK was lost or comes late: nothing keeps the two offers apart any more (RFC 5407
        // sections 3.1.4 and 3.1.5).
        if call.unacked.take_if(|unacked| !unacked.awaits_answer).is_some() {
            self.outputs.push_back(Output::Event(Event::Acknowledged(key)));
        }
        if let Some(code) = refusal {
            let mut rejection = Rejection::new(code);
            if code == 500 {
                let wait = self.pick(1..=10);
                rejection.headers.push((Name::RETRY_AFTER, wait.to_string()));
            }
            self.answer_within(now, key, &request, &rejection);
            if was_hanging {
                self.send_bye(now, key, &Reason::normal());
            }
            return;
        }
        let refresher = call.clock.as_ref().map(|clock| clock.terms.refresher);
        let terms = match self.config.session_timers.answer(&request.message, refresher) {
            Ok(terms) => terms,
            Err(rejection) => {
                self.answer_within(now, key, &request, &rejection);
                return;
            }
        };
        let flow = request.flow;
        let Some(negotiation) = &mut call.negotiation else { return };
        let (body, session) = match request.message.sdp() {
            Some(offer) => match negotiation.answer(offer) {
                Ok((body, session)) => (body, Some(session)),
                Err(error) => {
                    // The session stays as it was (section 14.2).
                    let rejection = error.rejection(self.advertised(&flow));
                    self.answer_within(now, key, &request, &rejection);
                    return;
                }
            },
            None => (negotiation.offer(), None),
        };
        let response = self.accept(key, &request.message, Some(body), Some(terms));
        let id = self.transactions.open_invite_server(now, request.key, None, request.path, None, key);
        self.transactions.respond(now, id, &response, &mut self.packets);
        let packet = Packet { path: request.path, bytes: response.to_bytes().into(), transaction: None };
        if let Some(call) = self.calls.get_mut(&key) {
            if let Some(dialog) = &mut call.dialog {
                dialog.refresh_target(&request.message);
            }
            call.clock = Some(Clock::start(now, terms));
            call.await_ack(now, request.message.cseq().map_or(0, |(number, _)| number), packet, session.is_none());
        }
        self.settle_call(key);
        if let Some(session) = session {
            self.event(Event::MediaChange(key, session));
        }
    }
}
