//! Our INVITE goes out once more, because somebody on its way wants something else of it: credentials (RFC 3261 section
//! 22.2) or a longer session interval (RFC 4028 section 7.3).

use std::time::Instant;

use super::{Call, Stage};
use crate::sip::{
    core::{CallKey, Core},
    headers::Name,
    message::Message,
    method::Method,
};

impl Core {
    /// The session interval was too small for somebody on the way: the INVITE asks for the one that is wanted. False: that
    /// is what it had, or it is being taken back.
    pub(super) fn ask_longer(&mut self, now: Instant, key: CallKey, response: &Message) -> bool {
        let Ok(Some(least)) = response.min_se() else { return false };
        let timers = self.config.session_timers;
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let Stage::Outgoing(outgoing) = &mut call.stage else { return false };
        if least <= outgoing.asked_s || outgoing.is_taken_back() {
            return false;
        }
        call.changes.learn_min_se(least);
        outgoing.asked_s = timers.ask(&mut outgoing.invite, None, least);
        self.invite_again(now, key);
        true
    }

    /// Sends the INVITE of a call anew, with the credentials that hold: the next CSeq, and no dialog yet.
    pub(super) fn invite_again(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if let Some(early) = call.turn_from_all() {
            self.dialogs.remove(&(early.call_id, early.local_tag));
        }
        let Call { stage: Stage::Outgoing(outgoing), authorization, .. } = call else { return };
        let invite = &mut outgoing.invite;
        let number = invite.cseq().map_or(1, |(number, _)| number) + 1;
        invite.headers.set(Name::CSEQ, format!("{number} {}", Method::Invite));
        if let Some(authorization) = authorization {
            authorization.authorize(invite);
        }
        let (mut invite, path) = (invite.as_ref().clone(), outgoing.path());
        let branch = self.put_via(&mut invite, &path);
        let id = self.transactions.send(now, invite, &branch, path, Some(key), &mut self.packets);
        if let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get_mut(&key) {
            outgoing.sent_again(now, id, branch);
        }
    }
}
