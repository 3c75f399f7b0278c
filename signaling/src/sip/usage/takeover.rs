//! An INVITE with Replaces (RFC 3891): somebody takes the place of the other side of a call, most often at the end of an
//! attended transfer. The call goes on with whoever comes, on the same RTP socket; whoever was there is hung up.

use std::{net::SocketAddr, time::Instant};

use super::{Requests, Stage, media::Negotiation};
use crate::sip::{
    core::{CallKey, Core, Event},
    dialog::Dialog,
    flow::Packet,
    header::HeaderError,
    headers::Name,
    message::Message,
    method::Method,
    receive::Request,
    registrar::Proven,
    replaces::Replaces,
    screen::Rejection,
    session_timer::{Clock, Terms},
    transaction::message::merge_key,
    uri::Uri,
};

/// Who has taken the place of the other side of a call: nothing that was known of that one holds for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// What it says it is: the URI of From.
    pub uri: Uri,
    /// Where its INVITE came from.
    pub source: SocketAddr,
    /// Who it has proved to be, where it had to: it is not trusted by its address.
    pub proven: Option<Proven>,
}

impl Newcomer {
    /// The account that it has proved to be.
    pub fn account(&self) -> Option<&str> {
        match &self.proven {
            Some(Proven::Account(account)) => Some(account),
            _ => None,
        }
    }
}

/// What the newcomer and we would have in common.
struct Side {
    dialog: Dialog,
    negotiation: Negotiation,
    /// Our description.
    body: Vec<u8>,
    terms: Terms,
}

impl Core {
    /// The call that this INVITE takes over; None: it wants none.
    ///
    /// # Errors
    /// What it deserves by section 3.
    pub(super) fn replaced_by(&mut self, invite: &Message) -> Result<Option<CallKey>, Rejection> {
        let mut fields = invite.headers.get_all(Name::REPLACES);
        let Some(value) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err(HeaderError::Repeated(Name::REPLACES).into());
        }
        let replaces: Replaces = value.parse().map_err(|()| HeaderError::Malformed(Name::REPLACES))?;
        let Replaces { call_id, to_tag, from_tag, early_only } = replaces;
        let key = self.dialogs.get(&(call_id, to_tag)).copied();
        let call = key.and_then(|key| Some((key, self.calls.get(&key)?)));
        let call = call.filter(|(_, call)| call.is_with(&from_tag));
        let Some((key, call)) = call else { return Err(Rejection::new(481)) };
        match &call.stage {
            // An early dialog that is not of our making.
            Stage::Incoming(_) => Err(Rejection::new(481)),
            Stage::Up if early_only => Err(Rejection::new(486)),
            // Our BYE to the one who leaves would have to wait for its ACK.
            Stage::Up if call.unacked.is_some() => {
                let mut rejection = Rejection::new(500);
                rejection.headers.push((Name::RETRY_AFTER, self.pick(1..=10).to_string()));
                Err(rejection)
            }
            Stage::Up | Stage::Outgoing(_) => Ok(Some(key)),
            Stage::Hanging | Stage::Closing => Err(Rejection::new(603)),
        }
    }

    /// Answers this INVITE in the name of a call, and hangs up on whoever it was with. A call that we place is taken back
    /// from whoever it rings at.
    pub(super) fn take_over(&mut self, now: Instant, key: CallKey, request: Request) {
        let rejected = match self.answer_to_newcomer(key, &request) {
            Ok(side) => return self.change_sides(now, key, request, side),
            Err(rejection) => rejection,
        };
        self.answer_stateless(&request, &rejected);
    }

    /// What the newcomer's dialog and session would be.
    fn answer_to_newcomer(&mut self, key: CallKey, request: &Request) -> Result<Side, Rejection> {
        let terms = self.config.session_timers.answer(&request.message, None)?;
        let id = u64::from(self.pick(1..=u32::MAX));
        let tag = self.word();
        let dialog = Dialog::of_server(&request.message, tag, request.flow, self.contact(&request.flow))?;
        let dialog = dialog.with_telephone(!self.gate.trusts(request.flow.remote.ip()));
        let call = self.calls.get(&key);
        let port = call.and_then(|call| call.negotiation.as_ref()).map_or(0, Negotiation::port);
        let rtp = self.media_address(&request.flow, SocketAddr::new(self.config.media_address, port));
        let mut negotiation = Negotiation::new(rtp, id, request.flow.remote.ip(), None, &self.config);
        let body = match request.message.sdp() {
            Some(offer) => {
                negotiation.answer(offer).map_err(|error| error.rejection(self.advertised(&request.flow)))?.0
            }
            None => negotiation.offer(),
        };
        Ok(Side { dialog, negotiation, body, terms })
    }

    fn change_sides(
        &mut self,
        now: Instant,
        key: CallKey,
        request: Request,
        Side { dialog, negotiation, body, terms }: Side,
    ) {
        self.part(now, key);
        let Request { message, flow, path, key: transaction, proven, .. } = request;
        self.index(key, &dialog.call_id, &dialog.local_tag);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let was_up = matches!(call.stage, Stage::Up);
        let session = negotiation.agreed.clone();
        (call.dialog, call.negotiation) = (Some(dialog), Some(negotiation));
        (call.stage, call.flow, call.is_placed) = (Stage::Up, flow, false);
        call.learn_methods(&message);
        call.clock = Some(Clock::start(now, terms));
        let response = self.accept(key, &message, Some(body), Some(terms));
        let id = self.transactions.open_invite_server(now, transaction, merge_key(&message), path, None, key);
        self.transactions.respond(now, id, &response, &mut self.packets);
        let packet = Packet { path, bytes: response.to_bytes().into(), transaction: None };
        if let Some(call) = self.calls.get_mut(&key) {
            call.await_ack(now, message.cseq().map_or(0, |(number, _)| number), packet, session.is_none());
        }
        self.welcome_guest(key);
        self.settle_call(key);
        if let Some(session) = session {
            self.event(if was_up { Event::MediaChange(key, session) } else { Event::Answered(key, session) });
        }
        if let Ok(from) = message.from() {
            self.event(Event::Replaced(key, Box::new(Newcomer { uri: from.uri, source: flow.remote, proven })));
        }
    }

    /// Ends what the call had with the one who leaves; the call itself stays.
    fn part(&mut self, now: Instant, key: CallKey) {
        // Most often nothing is open.
        drop(self.refuse_referral(now, key, 487));
        self.drop_wishes(key);
        self.send_cancel(now, key);
        let Some(call) = self.calls.get_mut(&key) else { return };
        if std::mem::take(&mut call.is_to_stranger) {
            self.calls_to_strangers -= 1;
        }
        call.forks.clear();
        let is_up = matches!(call.stage, Stage::Up);
        let Some(mut left) = call.dialog.take() else { return };
        self.dialogs.remove(&(left.call_id.clone(), left.local_tag.clone()));
        if is_up {
            let (mut bye, path) = (left.request(Method::Bye), left.path());
            self.authorize_within(key, &mut bye);
            let branch = self.put_via(&mut bye, &path);
            self.transactions.send(now, bye, &branch, path, None, &mut self.packets);
        }
        // They were for the one who leaves.
        if let Some(call) = self.calls.get_mut(&key) {
            call.authorization = None;
            call.requests = Requests::default();
        }
    }

    /// What was asked of the one who leaves is answered by nobody.
    fn drop_wishes(&mut self, key: CallKey) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let changes = std::mem::take(&mut call.changes);
        let referrals = std::mem::take(&mut call.referrals);
        if changes.is_wanted() {
            self.event(Event::HoldAnswered(key, 487));
        }
        if let Some(accepted) = referrals.is_accepted() {
            self.event(if accepted { Event::ReferProgress(key, 487) } else { Event::ReferAnswered(key, 487) });
        }
    }
}
