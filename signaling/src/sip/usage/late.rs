//! Our INVITE was given up because nothing was heard of it, not even 100; and what becomes of it should it have arrived all
//! the same: whoever rings is told to stop, and whoever has answered is hung up on (RFC 3261 sections 9.1 and 15).

use std::time::Instant;

use super::{Call, Stage};
use crate::sip::{
    core::{CallKey, Core},
    dialog::Dialog,
    flow::Packet,
    message::Message,
    method::Method,
    transaction::{
        UNHEARD,
        message::{cancel_of, client_key},
        table::TransactionId,
    },
};

/// The ACKs that are kept; of more late answers the first are acknowledged once only.
const ACKS: usize = 64;

impl Core {
    /// Nothing at all came back for the INVITE of this call: goes another way, or ends (RFC 3263 section 4.3).
    pub(super) fn unheard(&mut self, now: Instant, key: CallKey) {
        let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get(&key) else { return };
        let (id, path) = (outgoing.transaction, outgoing.path());
        self.transactions.abandon(id);
        self.deaf.note(now, &path);
        if !self.try_another_way(now, key) {
            self.outgoing_failed(now, key, 408, &format!("nothing was heard within {} s", UNHEARD.as_secs()));
        }
    }

    /// A response came to an INVITE that was given up, or whose call is over: that of another branch of a fork (RFC 3261
    /// section 13.2.2.4).
    pub(in crate::sip) fn answered_late(&mut self, now: Instant, id: TransactionId, response: &Message) {
        let (Some(invite), Some(path)) = (self.transactions.invite(id), self.transactions.path(id)) else { return };
        let Ok(Some(branch)) = invite.top_via().map(|via| via.branch().map(str::to_owned)) else { return };
        match response.status() {
            Some(..200) if self.transactions.find(&client_key(&branch, &Method::Cancel)).is_none() => {
                let cancel = cancel_of(invite);
                self.transactions.send(now, cancel, &branch, path, None, &mut self.packets);
            }
            Some(200..300) => {
                let number = response.cseq().map_or(1, |(number, _)| number);
                let tag = response.to().ok().and_then(|to| to.tag().map(str::to_owned)).unwrap_or_default();
                let name = (id, tag);
                if let Some((_, ack)) = self.late.iter().find(|(of, _)| *of == name) {
                    self.counters.retransmissions += 1;
                    self.packets.push_back(ack.clone());
                    return;
                }
                let Ok(mut dialog) = Dialog::of_client(invite, response, path.flow) else { return };
                let (mut ack, mut bye, path) = (dialog.ack(number), dialog.request(Method::Bye), dialog.path());
                self.put_via(&mut ack, &path);
                let ack = Packet { path, bytes: ack.to_bytes().into(), transaction: None };
                self.packets.push_back(ack.clone());
                self.late.push_back((name, ack));
                if self.late.len() > ACKS {
                    self.late.pop_front();
                }
                let branch = self.put_via(&mut bye, &path);
                self.transactions.send(now, bye, &branch, path, None, &mut self.packets);
            }
            // Acknowledged by its transaction.
            _ => {}
        }
    }
}
