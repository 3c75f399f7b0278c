//! INFO within a call (RFC 6086): keys that are pressed, both ways. Milo knows no info packages.

use std::time::Instant;

use super::Stage;
use crate::{
    SignalingError,
    sip::{
        core::{CallKey, Core, Event},
        headers::Name,
        keys::{KEY_TYPE, KeyPress, RELAY_TYPE, Told, relay_body},
        method::Method,
        receive::Request,
        screen::Rejection,
        transaction::table::TransactionId,
    },
};

impl Core {
    /// An INFO came within the dialog of this call, in order. One that comes again is answered by its transaction.
    pub(super) fn informed(&mut self, now: Instant, key: CallKey, request: &Request) {
        let over = self.calls.get(&key).is_none_or(|call| matches!(call.stage, Stage::Hanging | Stage::Closing));
        let told = request.message.told_key();
        let rejection = match told {
            _ if over => Rejection::new(481),
            Told::Key(_) | Told::Nothing => Rejection::new(200),
            Told::Malformed => {
                let mut rejection = Rejection::new(400);
                "No Key In The Body".clone_into(&mut rejection.reason);
                rejection
            }
            Told::Other if request.message.headers.has(&Name::INFO_PACKAGE) => {
                // RFC 6086 section 4.2.2: and which we take, which is none.
                let mut rejection = Rejection::new(469);
                rejection.headers.push((Name::RECV_INFO, String::new()));
                rejection
            }
            Told::Other => {
                let mut rejection = Rejection::new(415);
                rejection.headers.push((Name::ACCEPT, format!("{RELAY_TYPE}, {KEY_TYPE}")));
                rejection
            }
        };
        self.answer_within(now, key, request, &rejection);
        if let (Told::Key(press), 200) = (told, rejection.code) {
            self.event(Event::Key(key, press));
        }
    }

    /// Tells the other side of a call that is up that this key was pressed. Its final answer comes as
    /// [`Event::KeyAnswered`] with the transaction that is returned, unless the endpoint is shut down first.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call is not up.
    pub fn tell_key(&mut self, now: Instant, key: CallKey, press: KeyPress) -> Result<TransactionId, SignalingError> {
        let call = self.calls.get_mut(&key).ok_or(SignalingError::Gone)?;
        let (Stage::Up, Some(dialog)) = (&call.stage, &mut call.dialog) else { return Err(SignalingError::Gone) };
        let mut info = dialog.request(Method::Info);
        info.set_body(RELAY_TYPE, relay_body(press));
        let id = self.send_request(now, key, info);
        self.told_keys.insert(id);
        Ok(id)
    }

    /// A transaction has come to its end: tells what became of the key; false when it told of none.
    pub(super) fn key_answered(&mut self, id: TransactionId, code: u16) -> bool {
        let told = self.told_keys.remove(&id);
        if told {
            self.event(Event::KeyAnswered(id, code));
        }
        told
    }
}
