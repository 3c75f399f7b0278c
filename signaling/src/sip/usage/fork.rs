//! We call, and several may ring: each To tag is a dialog of its own with audio of its own (RFC 3261 section 13.2.2.4,
//! RFC 3960). The call has the dialog that spoke last; the others lie beside it.

use std::time::Instant;

use milo_media::Session;
use tracing::debug;

use super::{
    Call, Stage,
    media::{Negotiation, early},
    reliable::rseq,
};
use crate::sip::{
    core::{CallKey, Core, EndReason, Event},
    dialog::Dialog,
    message::Message,
    registrar::Registrar,
    transaction::table::TransactionId,
};

/// So many branches of a fork are listened to before the answer.
const FORKS: usize = 8;

/// A dialog of our INVITE that is not the call's present one.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) dialog: Dialog,
    negotiation: Option<Negotiation>,
    said: Said,
}

/// How far a callee has come before its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said {
    /// The last of its reliable responses (RFC 3262 section 4).
    pub(super) rseq: Option<u32>,
    /// It has answered our offer for good: in one of them.
    pub(super) is_settled: bool,
}

/// Our offer, and what our user has been told of answers to it.
#[derive(Debug)]
pub(super) struct Offered {
    negotiation: Negotiation,
    heard: Option<Session>,
}

impl Offered {
    pub(super) fn new(negotiation: Negotiation) -> Self {
        Self { negotiation, heard: None }
    }
}

impl Call {
    /// Whether a request with this From tag is within a dialog of this call.
    pub(in crate::sip) fn is_with(&self, tag: &str) -> bool {
        let beside = matches!(self.stage, Stage::Outgoing(_)) && self.forks.iter().any(|fork| fork.is_with(tag));
        beside || self.dialog.as_ref().is_some_and(|dialog| dialog.remote_tag == tag)
    }

    /// Makes the dialog with this remote tag the call's present one. False: there is none, or it is too late.
    pub(super) fn turn_to(&mut self, tag: Option<&str>) -> bool {
        let tag = tag.unwrap_or_default();
        if self.dialog.as_ref().is_some_and(|dialog| dialog.remote_tag == tag) {
            return true;
        }
        let Stage::Outgoing(outgoing) = &mut self.stage else { return false };
        let Some(at) = self.forks.iter().position(|fork| fork.is_with(tag)) else { return false };
        let Fork { dialog, negotiation, said } = self.forks.remove(at);
        let said = std::mem::replace(&mut outgoing.said, said);
        let negotiation = std::mem::replace(&mut self.negotiation, negotiation);
        if let Some(dialog) = self.dialog.replace(dialog) {
            self.forks.push(Fork { dialog, negotiation, said });
        }
        true
    }

    /// The INVITE was refused as it was: whoever it rang at is no longer meant. Returns the dialog that was the present one.
    pub(super) fn turn_from_all(&mut self) -> Option<Dialog> {
        self.forks.clear();
        if let Stage::Outgoing(outgoing) = &mut self.stage {
            outgoing.said = Said::default();
            self.negotiation = Some(outgoing.offered.negotiation.clone());
        }
        self.dialog.take()
    }

    /// Makes a new dialog the present one.
    fn turn_to_new(&mut self, dialog: Dialog) {
        let Stage::Outgoing(outgoing) = &mut self.stage else { return };
        if let Some(before) = self.dialog.replace(dialog) {
            let negotiation = self.negotiation.replace(outgoing.offered.negotiation.clone());
            let said = std::mem::take(&mut outgoing.said);
            self.forks.push(Fork { dialog: before, negotiation, said });
        }
    }
}

impl Fork {
    fn is_with(&self, tag: &str) -> bool {
        self.dialog.remote_tag == tag
    }
}

impl Core {
    /// Takes the dialog that this response makes or continues. False: it makes none.
    pub(super) fn join(&mut self, key: CallKey, id: TransactionId, response: &Message) -> bool {
        let (Some(invite), Some(call)) = (self.transactions.invite(id), self.calls.get_mut(&key)) else {
            return false;
        };
        let is_final = response.status().is_some_and(|code| code >= 200);
        if call.turn_to(remote_tag(response).as_deref()) {
            let Some(dialog) = &mut call.dialog else { return false };
            if is_final {
                return dialog.confirm(response).is_ok();
            }
            dialog.refresh_target(response);
            return true;
        }
        if !is_final && call.forks.len() >= FORKS {
            return false;
        }
        let Ok(dialog) = Dialog::of_client(invite, response, call.flow) else { return false };
        let is_from = |registrar: &Registrar| registrar.is_from(call.flow.remote.ip());
        let dialog = dialog.with_telephone(self.registrar.as_ref().is_some_and(is_from));
        let name = (dialog.call_id.clone(), dialog.local_tag.clone());
        call.turn_to_new(dialog);
        self.dialogs.insert(name, key);
        true
    }

    /// The dialog of a 2xx that came too late: one of those that have rung, or a new one.
    pub(super) fn branch(&mut self, key: CallKey, id: TransactionId, response: &Message) -> Option<&mut Dialog> {
        let (invite, call) = (self.transactions.invite(id)?, self.calls.get_mut(&key)?);
        let tag = remote_tag(response).unwrap_or_default();
        let at = match call.forks.iter().position(|fork| fork.is_with(&tag)) {
            Some(at) => at,
            None => {
                let dialog = Dialog::of_client(invite, response, call.flow).ok()?;
                // Nothing but goodbye will be said in it.
                call.forks.truncate(FORKS);
                call.forks.push(Fork { dialog, negotiation: None, said: Said::default() });
                call.forks.len() - 1
            }
        };
        let dialog = &mut call.forks.get_mut(at)?.dialog;
        dialog.confirm(response).ok()?;
        Some(dialog)
    }

    /// Somebody whom we call says how it goes: 101 to 199.
    pub(super) fn progressed(&mut self, now: Instant, key: CallKey, id: TransactionId, code: u16, response: &Message) {
        let joined = self.join(key, id, response);
        if joined && !self.acknowledge(now, key, response) {
            return;
        }
        let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get_mut(&key) else { return };
        if outgoing.told != code {
            outgoing.told = code;
            self.event(Event::Ringing(key, code));
        }
        if joined && response.sdp().is_some() {
            self.take_early_answer(now, key, response);
        }
    }

    /// An answer to our offer came before the call was answered.
    fn take_early_answer(&mut self, now: Instant, key: CallKey, response: &Message) {
        let Some(Call { stage: Stage::Outgoing(outgoing), negotiation: Some(negotiation), .. }) =
            self.calls.get_mut(&key)
        else {
            return;
        };
        if outgoing.said.is_settled {
            return;
        }
        let is_reliable = rseq(response).is_some();
        match negotiation.take_answer(response) {
            Ok(session) => {
                outgoing.said.is_settled = is_reliable;
                self.hear_early(key, session);
            }
            Err(why) if is_reliable => {
                // It stands, and the 2xx cannot mend it.
                self.event(Event::Ended(key, EndReason::BadMedia(why.to_string())));
                drop(self.cancel(now, key));
            }
            Err(why) => debug!(%why, "a provisional response describes audio that cannot be used"),
        }
    }

    /// Tells our user where early audio comes from, when that is news. The last one counts.
    pub(super) fn hear_early(&mut self, key: CallKey, session: Session) {
        let Some(Call { stage: Stage::Outgoing(outgoing), .. }) = self.calls.get_mut(&key) else { return };
        let session = early(session);
        if outgoing.offered.heard.as_ref() != Some(&session) {
            outgoing.offered.heard = Some(session.clone());
            self.event(Event::Early(key, session));
        }
    }
}

fn remote_tag(response: &Message) -> Option<String> {
    response.to().ok()?.tag().map(str::to_owned)
}
