//! A first request of ours goes out, and the INVITE along one way after the other until one leads somewhere (RFC 3263 section 4.3).

use std::{net::SocketAddr, time::Instant};

use super::{
    Call, Stage,
    client::{Cancel, Outgoing, RING_LIMIT},
    fork::{Offered, Said},
    media::{Codecs, Negotiation},
};
use crate::{
    SignalingError,
    sip::{
        body::SDP_TYPE,
        core::{CallKey, Core},
        flow::{Path, Ways},
        header::NameAddr,
        headers::Name,
        introduction::Introduction,
        message::Message,
        method::Method,
        transaction::UNHEARD,
        uri::Uri,
    },
};

/// The ways that are left, and what the INVITE is made anew from for each.
#[derive(Debug)]
pub(super) struct Untried {
    pub(super) ways: Ways,
    pub(super) invite: Message,
    /// The session interval that it asks for, in seconds.
    pub(super) asked_s: u32,
    pub(super) rtp: SocketAddr,
    /// What is offered, in place of what the place of each way is.
    pub(super) codecs: Option<Codecs>,
}

impl Core {
    /// The first request to `target`, outside of every dialog, complete but for its Via and its Contact.
    ///
    /// # Errors
    /// [`SignalingError::Target`].
    pub(super) fn first_request(
        &mut self,
        method: Method,
        target: &Uri,
        introduction: &Introduction,
        ways: &Ways,
    ) -> Result<Message, SignalingError> {
        let mut request_uri = target.clone();
        let Uri::Sip(sip) = &mut request_uri else {
            return Err(SignalingError::Target { target: target.to_string(), reason: "it is no sip: URI".to_owned() });
        };
        sip.headers = None;
        sip.params.remove("method");
        let mut to = request_uri.clone();
        if let Uri::Sip(sip) = &mut to {
            sip.params.remove("transport");
        }
        let us = self.advertised(&ways.first().ok_or_else(|| no_way(target))?.flow);
        let wrong = |reason| SignalingError::Target { target: target.to_string(), reason };
        let from = introduction.name(&us.to_string()).map_err(wrong)?.with_tag(&self.word());
        let call_id = format!("{}{}@{us}", self.word(), self.word());
        let number = format!("1 {method}");
        let mut request = Message::request(method, request_uri);
        request.headers.push(Name::MAX_FORWARDS, "70");
        for route in &introduction.routes {
            request.headers.push(Name::ROUTE, format!("<{route}>"));
        }
        request.headers.push(Name::FROM, from.to_string());
        request.headers.push(Name::TO, NameAddr::new(to).to_string());
        request.headers.push(Name::CALL_ID, call_id);
        request.headers.push(Name::CSEQ, number);
        Ok(request)
    }

    /// Sends the INVITE along the next way; None: there is none left.
    pub(super) fn set_out(
        &mut self,
        now: Instant,
        key: CallKey,
        mut untried: Box<Untried>,
    ) -> Option<(Outgoing, Negotiation)> {
        let mut path = untried.ways.first()?;
        let (mut kept, mut negotiation) = self.address(&untried, &path);
        let mut invite = kept.clone();
        let mut branch = self.put_via(&mut invite, &path);
        let by = untried.ways.next(invite.to_bytes().len())?;
        if by != path {
            path = by;
            (kept, negotiation) = self.address(&untried, &path);
            invite = kept.clone();
            branch = self.put_via(&mut invite, &path);
        }
        let transaction = self.transactions.send(now, invite, &branch, path, Some(key), &mut self.packets);
        let outgoing = Outgoing {
            transaction,
            branch,
            path,
            invite: Box::new(kept),
            asked_s: untried.asked_s,
            provisional: false,
            cancel: Cancel::No,
            is_answered_elsewhere: false,
            told: 0,
            give_up: now + RING_LIMIT,
            unheard: Some(now + UNHEARD),
            offered: Box::new(Offered::new(negotiation.clone())),
            said: Said::default(),
            untried: Some(untried).filter(|untried| untried.ways.first().is_some()),
        };
        Some((outgoing, negotiation))
    }

    /// The INVITE as it goes along this path, without our Via, and the offer in it.
    fn address(&mut self, untried: &Untried, path: &Path) -> (Message, Negotiation) {
        let id = u64::from(self.pick(1..=u32::MAX));
        let rtp = self.media_address(&path.flow, untried.rtp);
        let mut negotiation = Negotiation::new(rtp, id, path.flow.remote.ip(), untried.codecs.as_ref(), &self.config);
        let mut invite = untried.invite.clone();
        invite.headers.push(Name::CONTACT, self.contact_for(&path.flow, untried.invite.uri()));
        invite.set_body(SDP_TYPE, negotiation.offer());
        (invite, negotiation)
    }

    /// The way that we went led nowhere: goes the next one, unless there is none or the caller has given up (RFC 3263
    /// section 4.3).
    pub(super) fn try_another_way(&mut self, now: Instant, key: CallKey) -> bool {
        let untried = match self.calls.get_mut(&key) {
            Some(Call { stage: Stage::Outgoing(outgoing), .. }) if outgoing.cancel == Cancel::No => {
                outgoing.untried.take()
            }
            _ => None,
        };
        let Some((outgoing, negotiation)) = untried.and_then(|untried| self.set_out(now, key, untried)) else {
            return false;
        };
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let early = call.turn_from_all();
        call.flow = outgoing.path.flow;
        call.stage = Stage::Outgoing(outgoing);
        call.negotiation = Some(negotiation);
        if let Some(early) = early {
            self.dialogs.remove(&(early.call_id, early.local_tag));
        }
        self.judge_callee(key);
        self.settle_call(key);
        true
    }
}

pub(super) fn no_way(target: &Uri) -> SignalingError {
    SignalingError::Target { target: target.to_string(), reason: "there is no way to it".to_owned() }
}
