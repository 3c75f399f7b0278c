//! Requests of ours within a dialog, from the wish to the final response. They wait until their next hop is found, go along its ways
//! until one leads somewhere (RFC 3263 section 4.3), and once more with credentials, where somebody asks for some (`authorize`).

use std::{collections::VecDeque, time::Instant};

use super::Call;
use crate::sip::{
    core::{CallKey, Core, Output},
    dialog::Dialog,
    flow::{Packet, Ways},
    message::Message,
    transaction::table::TransactionId,
    trust::Trust,
    uri::Uri,
};

/// Requests without a final response, at most; of more the oldest are not sent again.
const OPEN: usize = 32;
/// The ACKs that are kept: the 2xx of the last INVITE and of the one before may still be on their way.
const ACKS: usize = 2;

/// What we have said within the dialogs of a call, and may have to say again.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: Vec<Open>,
    /// The ACKs of the 2xx to our last INVITEs by their numbers, to be sent again when those come again.
    acks: VecDeque<(u32, Packet)>,
    /// Those that wait for their next hop, and the remote tags of their dialogs.
    acks_waiting: Vec<(String, u32, Message)>,
    /// The next hops that are being sought.
    sought: Vec<Uri>,
    /// Whose certificates are believed there, where that is not what the endpoint believes.
    pub(super) trust: Option<Trust>,
}

/// A request without a final response.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: TransactionId,
    /// Its transaction before it was sent again: under that name others wait for its end.
    pub(super) first: TransactionId,
    /// The remote tag of its dialog.
    tag: String,
    /// Complete but for its Via.
    pub(super) request: Message,
    /// What is left to be tried when the present way leads nowhere; `None`: its next hop is not found yet.
    ways: Option<Ways>,
    /// It set out when its stream was cut, so that no other one would be opened.
    is_second: bool,
}

impl Open {
    pub(super) fn new(id: TransactionId, first: TransactionId, tag: &str, request: Message) -> Self {
        Self { id, first, tag: tag.to_owned(), request, ways: None, is_second: false }
    }
}

impl Requests {
    pub(super) fn add(&mut self, open: Open) {
        if self.open.len() == OPEN {
            self.open.remove(0);
        }
        self.open.push(open);
    }

    /// Takes out the request of this transaction, which has come to its end.
    pub(super) fn take(&mut self, id: TransactionId) -> Option<Open> {
        let at = self.open.iter().position(|open| open.id == id)?;
        Some(self.open.remove(at))
    }

    /// The name that a transaction had at first.
    pub(super) fn first(&self, id: TransactionId) -> TransactionId {
        self.open.iter().find(|open| open.id == id).map_or(id, |open| open.first)
    }

    fn get_mut(&mut self, id: TransactionId) -> Option<&mut Open> {
        self.open.iter_mut().find(|open| open.id == id)
    }
}

impl Call {
    /// The dialog with this remote tag: the present one, or one of a fork.
    fn dialog_with(&self, tag: &str) -> Option<&Dialog> {
        let dialogs = self.dialog.iter().chain(self.forks.iter().map(|fork| &fork.dialog));
        dialogs.into_iter().find(|dialog| dialog.remote_tag == tag)
    }

    /// All its dialogs.
    pub(in crate::sip) fn dialogs_mut(&mut self) -> impl Iterator<Item = &mut Dialog> {
        self.dialog.iter_mut().chain(self.forks.iter_mut().map(|fork| &mut fork.dialog))
    }
}

impl Core {
    /// Whose certificates are believed when a connection has to be opened for what follows within this call.
    pub fn trust(&mut self, key: CallKey, trust: Trust) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.requests.trust = Some(trust);
        }
    }

    /// Sends a request within the present dialog of `call`, as soon as its next hop is known, and waits for its responses.
    pub(super) fn send_request(&mut self, now: Instant, key: CallKey, mut request: Message) -> TransactionId {
        self.authorize_within(key, &mut request);
        let id = self.transactions.reserve();
        let Some(call) = self.calls.get_mut(&key) else { return id };
        let tag = call.dialog.as_ref().map(|dialog| dialog.remote_tag.clone()).unwrap_or_default();
        call.requests.add(Open::new(id, id, &tag, request));
        self.set_off(now, key, id);
        id
    }

    /// Sends a request along its next way, or has its next hop found. False: there is none left.
    pub(super) fn set_off(&mut self, now: Instant, key: CallKey, id: TransactionId) -> bool {
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let Some(open) = call.requests.get_mut(id) else { return false };
        let (mut request, tag) = (open.request.clone(), open.tag.clone());
        let Some(path) = call.dialog_with(&tag).map(Dialog::path) else { return false };
        let mut branch = self.put_via(&mut request, &path);
        let bytes = request.to_bytes().len();
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let Some(dialog) = call.dialog_with(&tag) else { return false };
        let (unknown, is_cut) = (dialog.unknown(bytes), dialog.is_cut);
        let mut ways = dialog.ways();
        let Some(open) = call.requests.get_mut(id) else { return false };
        if open.ways.is_none() {
            if let Some(hop) = unknown {
                self.seek(key, hop);
                return true;
            }
            self.deaf.put_last(now, &mut ways);
            (open.ways, open.is_second) = (Some(ways), is_cut);
        }
        let Some(by) = open.ways.as_mut().and_then(|ways| ways.next(bytes)) else { return false };
        if by != path {
            request = open.request.clone();
            branch = self.put_via(&mut request, &by);
        }
        self.transactions.send_as(now, (id, Some(key)), request, &branch, by, &mut self.packets);
        true
    }

    /// The way that this request went led nowhere: goes the next one, unless there is none. `is_lost`: because its stream is no
    /// more, perhaps, and another one is to be opened.
    pub(super) fn go_another_way(&mut self, now: Instant, key: CallKey, id: TransactionId, is_lost: bool) -> bool {
        let again = self.transactions.reserve();
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let Some(mut open) = call.requests.take(id) else { return false };
        let is_cut = call.dialog_with(&open.tag).is_some_and(|dialog| dialog.is_cut);
        let is_left = open.ways.as_ref().is_some_and(|ways| ways.first().is_some());
        let anew = is_lost && is_cut && !open.is_second;
        open.id = if is_left || anew { again } else { id };
        if anew && !is_left {
            open.ways = None;
        }
        call.requests.add(open);
        (is_left || anew) && self.set_off(now, key, again)
    }

    fn seek(&mut self, key: CallKey, hop: Uri) {
        let Some(Call { requests, .. }) = self.calls.get_mut(&key) else { return };
        if !requests.sought.contains(&hop) {
            requests.sought.push(hop.clone());
            let trust = requests.trust.clone();
            self.outputs.push_back(Output::Locate(key, hop, trust));
        }
    }

    /// The ways to a next hop of this call were found, or it has none: what waits for them is sent, and else to where the peer's last
    /// message came from.
    pub(super) fn found_next_hop(&mut self, now: Instant, key: CallKey, hop: &Uri, found: Result<Ways, String>) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let ways = found.inspect_err(|why| tracing::debug!(%hop, why, "a next hop has no address")).unwrap_or_default();
        call.requests.sought.retain(|sought| sought != hop);
        call.dialogs_mut().for_each(|dialog| dialog.found(hop, ways.clone()));
        let waiting = call.requests.open.iter().filter(|open| open.ways.is_none());
        let waiting: Vec<_> = waiting.map(|open| open.id).collect();
        for (tag, number, ack) in std::mem::take(&mut call.requests.acks_waiting) {
            self.send_this_ack(key, tag, number, ack);
        }
        for id in waiting {
            if !self.set_off(now, key, id) {
                self.unanswered(now, key, id, (503, "there is no way to it"));
            }
        }
        self.settle_call(key);
    }

    /// Sends the ACK of a 2xx within the call's dialog, and keeps it.
    pub(super) fn send_ack(&mut self, key: CallKey, response: &Message) {
        let dialog = self.calls.get(&key).and_then(|call| call.dialog.as_ref());
        let (Some(dialog), Ok((number, _))) = (dialog, response.cseq()) else { return };
        let (mut ack, tag) = (dialog.ack(number), dialog.remote_tag.clone());
        self.authorize_ack(key, &mut ack);
        self.send_this_ack(key, tag, number, ack);
    }

    /// It has no answer that would tell whether a way leads anywhere: it goes the first.
    fn send_this_ack(&mut self, key: CallKey, tag: String, number: u32, mut ack: Message) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(dialog) = call.dialog_with(&tag) else { return };
        if let Some(hop) = dialog.unknown(0) {
            call.requests.acks_waiting.push((tag, number, ack));
            return self.seek(key, hop);
        }
        let path = dialog.path();
        self.put_via(&mut ack, &path);
        let ack = Packet { path, bytes: ack.to_bytes().into(), transaction: None };
        self.packets.push_back(ack.clone());
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.requests.acks.push_back((number, ack));
        if call.requests.acks.len() > ACKS {
            call.requests.acks.pop_front();
        }
    }

    /// The 2xx of this number came again, and with it the wish for its ACK.
    pub(super) fn ack_again(&mut self, key: CallKey, number: u32) {
        let Some(call) = self.calls.get(&key) else { return };
        if let Some((_, ack)) = call.requests.acks.iter().find(|(of, _)| *of == number) {
            self.counters.retransmissions += 1;
            self.packets.push_back(ack.clone());
        }
    }
}
