//! The owners of calls who wait for the other side's answer to something that was asked of it within the call.

use std::collections::HashMap;

use tokio::sync::watch;

use super::{core::CallKey, transaction::table::TransactionId, uri::Uri};
use crate::{SignalingError, handle::Reply};

/// Who waits for what. Nobody waits longer than the call is up.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// For the answer to an INFO.
    keys: HashMap<TransactionId, (CallKey, Reply<()>)>,
    /// Until the other side is on hold, or back.
    holds: HashMap<CallKey, Reply<()>>,
    /// For what becomes of a REFER.
    referrals: HashMap<CallKey, Referring>,
    /// For the answer to a request outside of calls: OPTIONS, MESSAGE; and whom it was sent to.
    answers: HashMap<CallKey, (String, Reply<u16>)>,
}

/// A REFER of ours.
#[derive(Debug)]
enum Referring {
    /// Without an answer.
    Asked(Reply<watch::Receiver<u16>>),
    /// Taken: where the news of it go.
    Going(watch::Sender<u16>),
}

impl Waiting {
    pub(super) fn for_key(&mut self, info: TransactionId, call: CallKey, reply: Reply<()>) {
        self.keys.insert(info, (call, reply));
    }

    /// Who asked before has changed its mind, and is told nothing.
    pub(super) fn for_hold(&mut self, call: CallKey, reply: Reply<()>) {
        self.holds.insert(call, reply);
    }

    pub(super) fn for_referral(&mut self, call: CallKey, reply: Reply<watch::Receiver<u16>>) {
        self.referrals.insert(call, Referring::Asked(reply));
    }

    pub(super) fn for_answer(&mut self, request: CallKey, target: &Uri, reply: Reply<u16>) {
        self.answers.insert(request, (target.to_string(), reply));
    }

    pub(super) fn answered(&mut self, request: CallKey, result: Result<u16, String>) {
        if let Some((target, reply)) = self.answers.remove(&request) {
            drop(reply.send(result.map_err(|reason| SignalingError::Unreached { target, reason })));
        }
    }

    pub(super) fn key_answered(&mut self, info: TransactionId, code: u16) {
        if let Some((_, reply)) = self.keys.remove(&info) {
            drop(reply.send(if is_success(code) { Ok(()) } else { Err(SignalingError::Key { code }) }));
        }
    }

    pub(super) fn hold_answered(&mut self, call: CallKey, code: u16) {
        if let Some(reply) = self.holds.remove(&call) {
            drop(reply.send(if is_success(code) { Ok(()) } else { Err(SignalingError::Refused { code }) }));
        }
    }

    /// Our REFER was taken or refused: whoever sent it is told, and given the news to come.
    pub(super) fn refer_answered(&mut self, call: CallKey, code: u16) {
        let Some(Referring::Asked(reply)) = self.referrals.remove(&call) else { return };
        if is_success(code) {
            let (progress, news) = watch::channel(100);
            self.referrals.insert(call, Referring::Going(progress));
            drop(reply.send(Ok(news)));
        } else {
            drop(reply.send(Err(SignalingError::Refused { code })));
        }
    }

    pub(super) fn refer_progress(&mut self, call: CallKey, code: u16) {
        if let Some(Referring::Going(progress)) = self.referrals.get(&call) {
            progress.send_replace(code);
        }
        if code >= 200 {
            self.referrals.remove(&call);
        }
    }

    /// The call is over.
    pub(super) fn end(&mut self, call: CallKey) {
        let keys = self.keys.extract_if(|_, (of, _)| *of == call).map(|(_, (_, reply))| reply);
        for reply in keys.chain(self.holds.remove(&call)) {
            drop(reply.send(Err(SignalingError::Gone)));
        }
        if let Some(Referring::Asked(reply)) = self.referrals.remove(&call) {
            drop(reply.send(Err(SignalingError::Gone)));
        }
    }
}

fn is_success(code: u16) -> bool {
    (200..300).contains(&code)
}
