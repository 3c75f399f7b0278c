//! Calls that are placed with credentials: whoever asks for them, for the INVITE or for what follows within the dialog,
//! gets them, and what it asked for is sent again (RFC 3261 section 22).

use std::time::Instant;

use tracing::debug;

use super::{Call, Stage};
use crate::sip::{
    core::{CallKey, Core},
    digest::{Authorizer, Credentials},
    headers::Name,
    message::Message,
    method::Method,
    transaction::table::TransactionId,
};

/// Requests within a dialog that wait for their final response, at most; of more the oldest are not sent again.
const WAITING: usize = 8;

/// What a call needs to answer challenges.
#[derive(Debug)]
pub(super) struct Authorization {
    authorizer: Authorizer,
    /// What the INVITE that was sent last had, for its ACK (section 22.1).
    of_invite: Vec<(Name, String)>,
    /// Requests within the dialog without a final response.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    id: TransactionId,
    /// Its transaction before it was sent again: under that name others wait for its end.
    first: TransactionId,
    request: Message,
}

impl Authorization {
    /// Gives a request its credentials, while they hold.
    pub(super) fn authorize(&mut self, request: &mut Message) {
        self.authorizer.authorize(request);
        if request.method() == Some(&Method::Invite) {
            self.of_invite.clear();
            for name in [Name::AUTHORIZATION, Name::PROXY_AUTHORIZATION] {
                let values = request.headers.get_all(&name).map(|value| (name.clone(), value.to_owned()));
                self.of_invite.extend(values);
            }
        }
    }

    fn wait_for(&mut self, waiting: Waiting) {
        if self.waiting.len() == WAITING {
            self.waiting.remove(0);
        }
        self.waiting.push(waiting);
    }

    fn waiting(&mut self, id: TransactionId) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| waiting.id == id)?;
        Some(self.waiting.remove(at))
    }
}

impl Core {
    /// Answers with these credentials whoever asks for some in this call, which was placed just now.
    pub fn authorize(&mut self, key: CallKey, credentials: Credentials) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let authorizer = Authorizer::new(credentials);
        call.authorization = Some(Box::new(Authorization { authorizer, of_invite: Vec::new(), waiting: Vec::new() }));
    }

    /// Gives a request within a dialog its credentials, while they hold. False: the call has none.
    pub(in crate::sip) fn authorize_within(&mut self, key: CallKey, request: &mut Message) -> bool {
        let authorization = self.calls.get_mut(&key).and_then(|call| call.authorization.as_mut());
        authorization.map(|authorization| authorization.authorize(request)).is_some()
    }

    /// A request within a dialog is on its way: kept, for a challenge.
    pub(in crate::sip) fn keep_request(&mut self, key: CallKey, id: TransactionId, request: Message) {
        if let Some(authorization) = self.calls.get_mut(&key).and_then(|call| call.authorization.as_mut()) {
            authorization.wait_for(Waiting { id, first: id, request });
        }
    }

    /// The ACK of a 2xx has the credentials of its INVITE (section 22.1).
    pub(super) fn authorize_ack(&self, key: CallKey, ack: &mut Message) {
        let Some(authorization) = self.calls.get(&key).and_then(|call| call.authorization.as_ref()) else { return };
        for (name, value) in &authorization.of_invite {
            ack.headers.push(name, value.as_str());
        }
    }

    /// Nothing will come any more for this transaction: the name that it had at first.
    pub(super) fn given_up(&mut self, key: CallKey, id: TransactionId) -> TransactionId {
        let authorization = self.calls.get_mut(&key).and_then(|call| call.authorization.as_mut());
        authorization.and_then(|authorization| authorization.waiting(id)).map_or(id, |waiting| waiting.first)
    }

    /// A response came: `None` when it was a challenge and its request is on its way again, else the name that the
    /// transaction had at first.
    pub(super) fn unless_challenged(
        &mut self,
        now: Instant,
        key: CallKey,
        id: TransactionId,
        response: &Message,
    ) -> Option<TransactionId> {
        let (code, cnonce) = (response.status()?, self.word());
        let Some(Call { authorization: Some(authorization), dialog, stage, .. }) = self.calls.get_mut(&key) else {
            return Some(id);
        };
        if code < 200 {
            return Some(id);
        }
        let waiting = authorization.waiting(id);
        let first = waiting.as_ref().map_or(id, |waiting| waiting.first);
        if !matches!(code, 401 | 407) {
            authorization.authorizer.settled();
            return Some(first);
        }
        let invites = matches!(stage, Stage::Outgoing(outgoing) if outgoing.waits_for(id));
        if !invites && waiting.is_none() {
            return Some(first);
        }
        if let Err(why) = authorization.authorizer.challenged(response, &cnonce) {
            debug!(code, %why, "a challenge is not answered");
            return Some(first);
        }
        if invites {
            self.invite_again(now, key);
            return None;
        }
        let (mut request, dialog) = (waiting?.request, dialog.as_mut()?);
        let path = dialog.renumber(&mut request);
        strip(&mut request);
        authorization.authorize(&mut request);
        let branch = self.put_via(&mut request, &path);
        let id = self.transactions.send(now, request.clone(), &branch, path, Some(key), &mut self.packets);
        let authorization = self.calls.get_mut(&key).and_then(|call| call.authorization.as_mut())?;
        authorization.wait_for(Waiting { id, first, request });
        None
    }
}

/// Takes away what every sending puts there anew.
fn strip(request: &mut Message) {
    request.headers.remove(Name::VIA);
    request.headers.remove(Name::USER_AGENT);
}
