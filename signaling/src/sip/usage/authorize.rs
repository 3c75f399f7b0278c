//! Calls that are placed with credentials: whoever asks for them, for the INVITE or for what follows within the dialog,
//! gets them, and what it asked for is sent again (RFC 3261 section 22).

use std::time::Instant;

use tracing::debug;

use super::{Call, Stage, requests::Open};
use crate::sip::{
    core::{CallKey, Core},
    digest::{Authorizer, Credentials},
    headers::Name,
    message::Message,
    method::Method,
    transaction::table::TransactionId,
};

/// What a call needs to answer challenges.
#[derive(Debug)]
pub(super) struct Authorization {
    authorizer: Authorizer,
    /// What the INVITE that was sent last had, for its ACK (section 22.1).
    of_invite: Vec<(Name, String)>,
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
}

impl Core {
    /// Answers with these credentials whoever asks for some in this call, which was placed just now.
    pub fn authorize(&mut self, key: CallKey, credentials: Credentials) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let authorizer = Authorizer::new(credentials);
        call.authorization = Some(Box::new(Authorization { authorizer, of_invite: Vec::new() }));
    }

    /// Gives a request within a dialog the call's credentials, where it has some and while they hold.
    pub(super) fn authorize_within(&mut self, key: CallKey, request: &mut Message) {
        if let Some(authorization) = self.calls.get_mut(&key).and_then(|call| call.authorization.as_mut()) {
            authorization.authorize(request);
        }
    }

    /// The ACK of a 2xx has the credentials of its INVITE (section 22.1).
    pub(super) fn authorize_ack(&self, key: CallKey, ack: &mut Message) {
        let Some(authorization) = self.calls.get(&key).and_then(|call| call.authorization.as_ref()) else { return };
        for (name, value) in &authorization.of_invite {
            ack.headers.push(name, value.as_str());
        }
    }

    /// Nothing will come any more for this transaction: the name that it had at first, and its method.
    pub(super) fn given_up(&mut self, key: CallKey, id: TransactionId) -> (TransactionId, Method) {
        let open = self.calls.get_mut(&key).and_then(|call| call.requests.take(id));
        let method = open.as_ref().and_then(|open| open.request.method().cloned());
        (open.map_or(id, |open| open.first), method.unwrap_or(Method::Invite))
    }

    /// A response came: `None` when its request is on its way again, because it was challenged or because another server is to be
    /// tried (RFC 3263 section 4.3); else the name that the transaction had at first.
    pub(super) fn unless_sent_again(
        &mut self,
        now: Instant,
        key: CallKey,
        id: TransactionId,
        response: &Message,
    ) -> Option<TransactionId> {
        let (code, cnonce, again) = (response.status()?, self.word(), self.transactions.reserve());
        let Some(call) = self.calls.get_mut(&key) else { return Some(id) };
        if code < 200 {
            return Some(call.requests.first(id));
        }
        if code == 503 && self.go_another_way(now, key, id, false) {
            return None;
        }
        let Some(Call { authorization, dialog, stage, requests, .. }) = self.calls.get_mut(&key) else {
            return Some(id);
        };
        let open = requests.take(id);
        let first = open.as_ref().map_or(id, |open| open.first);
        let Some(authorization) = authorization else { return Some(first) };
        if !matches!(code, 401 | 407) {
            authorization.authorizer.settled();
            return Some(first);
        }
        let invites = matches!(stage, Stage::Outgoing(outgoing) if outgoing.waits_for(id));
        if !invites && open.is_none() {
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
        let (mut request, dialog) = (open?.request, dialog.as_mut()?);
        dialog.renumber(&mut request);
        authorization.authorize(&mut request);
        requests.add(Open::new(again, first, &dialog.remote_tag, request));
        self.set_off(now, key, again);
        None
    }
}
