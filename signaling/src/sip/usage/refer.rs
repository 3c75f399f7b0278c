//! REFER within a call (RFC 3515), both ways: the other side sends us somewhere else, or we send it; the one who goes
//! tells by NOTIFY how it went. One referral at a time in each direction.

use std::time::{Duration, Instant};

use super::{Call, Stage};
use crate::{
    SignalingError,
    sip::{
        core::{CallKey, Core, Event},
        flow::{Flow, Transport},
        headers::Name,
        message::Message,
        method::Method,
        receive::Request,
        referral::{REFER, Referral, SIPFRAG, fragment, told},
        replaces::Replaces,
        screen::Rejection,
        transaction::{T1_64, earliest, table::TransactionId},
        uri::Uri,
    },
};

/// How long an owner may think about a REFER; the one who sent it repeats it meanwhile.
const DECISION: Duration = Duration::from_secs(5);
/// How long a referral may take to come to its end.
const SUBSCRIPTION: Duration = Duration::from_secs(180);

/// The referrals of one call.
#[derive(Debug, Default)]
pub(super) struct Referrals {
    theirs: Option<Theirs>,
    ours: Option<Ours>,
    /// How many REFERs have come.
    seen: u32,
}

/// A REFER of the other side.
#[derive(Debug)]
struct Theirs {
    /// Its transaction, until it is answered.
    open: Option<(TransactionId, Box<Message>)>,
    /// What Event says in its NOTIFYs; None: they are not wanted (RFC 4488).
    event: Option<String>,
    until: Instant,
}

/// A REFER of ours.
#[derive(Debug)]
struct Ours {
    transaction: TransactionId,
    /// Its CSeq, which names its subscription.
    number: u32,
    accepted: bool,
    until: Instant,
}

impl Referrals {
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.theirs.as_ref().map(|theirs| theirs.until), self.ours.as_ref().map(|ours| ours.until))
    }

    /// Whether the other side has taken the REFER of ours that is open.
    pub(super) fn is_accepted(&self) -> Option<bool> {
        self.ours.as_ref().map(|ours| ours.accepted)
    }

    /// The transaction of a REFER that nobody has answered.
    pub(super) fn unanswered(&self) -> Option<TransactionId> {
        self.theirs.as_ref()?.open.as_ref().map(|(transaction, _)| *transaction)
    }
}

impl Core {
    /// A REFER came within the dialog of this call.
    pub(super) fn referred(&mut self, now: Instant, key: CallKey, request: Request) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        // Whoever knows the dialog's identifiers is not yet who sits there.
        let (there, from) = (call.flow.remote, request.flow.remote);
        let is_theirs = there.ip().to_canonical() == from.ip().to_canonical()
            // On this machine many programs share the address.
            && (!from.ip().is_loopback() || request.flow.transport != Transport::Udp || there.port() == from.port());
        let refused = match (&call.stage, &call.referrals.theirs) {
            (Stage::Hanging | Stage::Closing, _) => Some(481),
            _ if !is_theirs => Some(403),
            (Stage::Incoming(_) | Stage::Outgoing(_), _) => Some(603),
            (Stage::Up, Some(_)) => Some(491),
            (Stage::Up, None) => None,
        };
        let referral = match (Referral::read(&request.message), refused) {
            (Ok(referral), None) => self.known(key, referral, &request.path.flow),
            (Err(rejection), None) => return self.answer_within(now, key, &request, &rejection),
            (_, Some(code)) => return self.answer_within(now, key, &request, &Rejection::new(code)),
        };
        let Some(call) = self.calls.get_mut(&key) else { return };
        // Section 2.4.6: of several, each but the first is named.
        let event = match request.message.cseq() {
            Ok((number, _)) if call.referrals.seen > 0 => format!("{REFER};id={number}"),
            _ => REFER.to_owned(),
        };
        let unwanted = request.message.headers.get(Name::REFER_SUB);
        let unwanted = unwanted.is_some_and(|wanted| wanted.trim().eq_ignore_ascii_case("false"));
        call.referrals.seen += 1;
        let transaction = self.transactions.open_server(request.key, request.path);
        call.referrals.theirs = Some(Theirs {
            open: Some((transaction, Box::new(request.message))),
            event: Some(event).filter(|_| !unwanted),
            until: now + DECISION,
        });
        self.settle_call(key);
        self.event(Event::Referred(key, referral));
    }

    /// What this referral names that is ours.
    fn known(&self, key: CallKey, referral: Referral, from: &Flow) -> Referral {
        let Some(call) = self.calls.get(&key) else { return referral };
        let named = referral.replaces.as_ref().and_then(|replaces| {
            let other = *self.dialogs.get(&(replaces.call_id.clone(), replaces.to_tag.clone()))?;
            let with = self.calls.get(&other).filter(|with| with.is_with(&replaces.from_tag))?;
            // Whoever has overheard the name of somebody else's call gets nothing for it.
            let is_same = with.flow.remote.ip() == call.flow.remote.ip();
            (is_same && other != key && matches!(with.stage, Stage::Up)).then_some(other)
        });
        let is_here = call.dialog.as_ref().is_some_and(|dialog| dialog.is_at_ours(&referral.to));
        let ours = self.config.public_address.into_iter().chain([self.advertised(from).ip()]).collect();
        Referral { other: named, is_here, source: Some(from.remote.ip().to_canonical()), ours, ..referral }
    }

    /// Takes the REFER of the other side: 202, and the first NOTIFY.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when none waits.
    pub fn take_referral(&mut self, now: Instant, key: CallKey) -> Result<(), SignalingError> {
        let call = self.calls.get_mut(&key).ok_or(SignalingError::Gone)?;
        let Call { dialog: Some(dialog), referrals: Referrals { theirs, .. }, .. } = call else {
            return Err(SignalingError::Gone);
        };
        let Some(Theirs { open, event, until }) = theirs else { return Err(SignalingError::Gone) };
        let (transaction, request) = open.take().ok_or(SignalingError::Gone)?;
        *until = now + SUBSCRIPTION;
        let (contact, silent) = (dialog.contact.clone(), event.is_none());
        if silent {
            *theirs = None;
        }
        let mut response = self.response(&request, 202, "");
        response.headers.push(Name::CONTACT, contact);
        if silent {
            response.headers.push(Name::REFER_SUB, "false");
        }
        self.transactions.respond(now, transaction, &response, &mut self.packets);
        self.notify(now, key, 100);
        self.settle_call(key);
        Ok(())
    }

    /// Refuses the REFER of the other side with this final code (300 to 699).
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when none waits.
    pub fn refuse_referral(&mut self, now: Instant, key: CallKey, code: u16) -> Result<(), SignalingError> {
        let call = self.calls.get_mut(&key).ok_or(SignalingError::Gone)?;
        let open = call.referrals.theirs.take_if(|theirs| theirs.open.is_some()).and_then(|theirs| theirs.open);
        let (transaction, request) = open.ok_or(SignalingError::Gone)?;
        let code = if (300..700).contains(&code) { code } else { 603 };
        let response = self.response(&request, code, "");
        self.transactions.respond(now, transaction, &response, &mut self.packets);
        self.settle_call(key);
        Ok(())
    }

    /// Tells the other side how far the call is that its REFER asked for: a status code; from 200 on it is the last.
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when no referral was taken, or it is over.
    pub fn report_referral(&mut self, now: Instant, key: CallKey, code: u16) -> Result<(), SignalingError> {
        let theirs = self.calls.get(&key).and_then(|call| call.referrals.theirs.as_ref());
        if theirs.is_none_or(|theirs| theirs.open.is_some()) {
            return Err(SignalingError::Gone);
        }
        self.notify(now, key, code);
        self.settle_call(key);
        Ok(())
    }

    fn notify(&mut self, now: Instant, key: CallKey, code: u16) {
        let Some(Call { dialog: Some(dialog), referrals, .. }) = self.calls.get_mut(&key) else { return };
        let Some(Theirs { event: Some(event), until, .. }) = &referrals.theirs else { return };
        let mut notify = dialog.request(Method::Notify);
        notify.headers.push(Name::EVENT, event.as_str());
        let left = until.saturating_duration_since(now).as_secs();
        let state = match code {
            ..200 => format!("active;expires={left}"),
            _ => "terminated;reason=noresource".to_owned(),
        };
        notify.headers.push(Name::SUBSCRIPTION_STATE, state);
        notify.set_body(&format!("{SIPFRAG};version=2.0"), fragment(code));
        if code >= 200 {
            referrals.theirs = None;
        }
        self.send_request(now, key, notify);
    }

    /// Sends the other side of a call that is up somewhere else: it is to call `target`, which may carry a Replaces. Its
    /// answer comes as [`Event::ReferAnswered`], then how it went as [`Event::ReferProgress`].
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call is not up, [`SignalingError::Refused`] with 491 while another is open.
    pub fn refer(&mut self, now: Instant, key: CallKey, target: &Uri) -> Result<(), SignalingError> {
        let call = self.calls.get_mut(&key).ok_or(SignalingError::Gone)?;
        let (Stage::Up, Some(dialog)) = (&call.stage, &mut call.dialog) else { return Err(SignalingError::Gone) };
        if call.referrals.ours.is_some() {
            return Err(SignalingError::Refused { code: 491 });
        }
        let mut refer = dialog.request(Method::Refer);
        refer.headers.push(Name::REFER_TO, format!("<{target}>"));
        if let Ok(us) = refer.from() {
            refer.headers.push(Name::REFERRED_BY, format!("<{}>", us.uri));
        }
        let number = refer.cseq().map_or(0, |(number, _)| number);
        let transaction = self.send_request(now, key, refer);
        if let Some(call) = self.calls.get_mut(&key) {
            // The transaction itself ends before.
            let until = now + SUBSCRIPTION;
            call.referrals.ours = Some(Ours { transaction, number, accepted: false, until });
        }
        self.settle_call(key);
        Ok(())
    }

    /// The address of the other side of a call that is up, with the Replaces by which a third takes our place there: the dialog as
    /// the other side knows it (RFC 3891 section 6.1).
    ///
    /// # Errors
    /// [`SignalingError::Gone`] when the call is not up.
    pub fn in_our_place(&self, key: CallKey) -> Result<Uri, SignalingError> {
        match self.calls.get(&key) {
            Some(Call { stage: Stage::Up, dialog: Some(dialog), .. }) => {
                let (call_id, to_tag) = (dialog.call_id.clone(), dialog.remote_tag.clone());
                let replaces = Replaces { call_id, to_tag, from_tag: dialog.local_tag.clone(), early_only: false };
                Ok(replaces.in_uri(dialog.target.clone()))
            }
            _ => Err(SignalingError::Gone),
        }
    }

    /// Our REFER has its final response, or none came; false when this was none.
    pub(super) fn refer_answered(&mut self, now: Instant, key: CallKey, id: TransactionId, code: u16) -> bool {
        let Some(call) = self.calls.get_mut(&key) else { return false };
        let Some(ours) = call.referrals.ours.as_mut().filter(|ours| ours.transaction == id) else { return false };
        if !ours.accepted {
            ours.accepted = (200..300).contains(&code);
            if ours.accepted {
                // The first NOTIFY is to come at once (section 2.4.4).
                ours.until = now + T1_64;
            } else {
                call.referrals.ours = None;
            }
            self.event(Event::ReferAnswered(key, code));
        }
        self.settle_call(key);
        true
    }

    /// A NOTIFY came within the dialog of this call.
    pub(super) fn notified(&mut self, now: Instant, key: CallKey, request: &Request) {
        let message = &request.message;
        let mut event = message.headers.get(Name::EVENT).unwrap_or_default().split(';').map(str::trim);
        if !event.next().is_some_and(|package| package.eq_ignore_ascii_case(REFER)) {
            let mut rejection = Rejection::new(489);
            rejection.headers.push((Name::ALLOW_EVENTS, REFER.to_owned()));
            return self.answer_within(now, key, request, &rejection);
        }
        let id = event.find_map(|param| param.strip_prefix("id="));
        let ours = self.calls.get_mut(&key).and_then(|call| call.referrals.ours.as_mut());
        let Some(ours) = ours.filter(|ours| id.is_none_or(|id| id.parse() == Ok(ours.number))) else {
            return self.answer_within(now, key, request, &Rejection::new(481));
        };
        // It may overtake the 202.
        let overtook = !std::mem::replace(&mut ours.accepted, true);
        ours.until = now + SUBSCRIPTION;
        self.answer_within(now, key, request, &Rejection::new(200));
        if overtook {
            self.event(Event::ReferAnswered(key, 202));
        }
        let state = message.headers.get(Name::SUBSCRIPTION_STATE).unwrap_or_default();
        let is_last = state.split(';').next().is_some_and(|state| state.trim().eq_ignore_ascii_case("terminated"));
        let is_fragment = message.content_type().is_some_and(|kind| kind == SIPFRAG);
        let code = told(&message.body).filter(|_| is_fragment);
        match code {
            Some(code) if code >= 200 => self.refer_ended(key, code),
            // Whoever ends the subscription without a word has not said how it went.
            _ if is_last => self.refer_ended(key, 408),
            Some(code) => self.event(Event::ReferProgress(key, code)),
            None => {}
        }
        self.settle_call(key);
    }

    fn refer_ended(&mut self, key: CallKey, code: u16) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.referrals.ours = None;
            self.event(Event::ReferProgress(key, code));
        }
    }

    /// The other side wants no more news of its REFER: it knows the subscription no longer (RFC 6665 section 4.2.2).
    pub(super) fn unsubscribed(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.referrals.theirs.take_if(|theirs| theirs.open.is_none());
        }
        self.settle_call(key);
    }

    /// Time has passed for the referrals of a call that is up.
    pub(super) fn expire_referrals(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get(&key) else { return };
        let theirs = call.referrals.theirs.as_ref().filter(|theirs| now >= theirs.until);
        let ours = call.referrals.ours.as_ref().is_some_and(|ours| now >= ours.until);
        match theirs.map(|theirs| theirs.open.is_some()) {
            // Nobody took it.
            Some(true) => drop(self.refuse_referral(now, key, 603)),
            Some(false) => self.notify(now, key, 408),
            None => {}
        }
        if ours {
            self.refer_ended(key, 408);
        }
    }
}
