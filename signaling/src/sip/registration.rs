//! Being registered (RFC 3261 section 10.2): what we say to a registrar, what its answers mean, and when we speak next.
//! It knows no socket and no transaction.
//!
//! ```text
//!  Waiting ─due─► Locating ─found─► Asking ─200─► Waiting: refreshed well before it lapses
//!     ▲               └─no address─┐   ├─401, 407, 423─► Asking, once more
//!     └──── back-off, Retry-After ─┴───┴─anything else, nothing
//!  any ─leave─► Leaving ─any final response, nothing─► Gone
//! ```

use std::time::{Duration, Instant};

use super::{
    account::{Account, RegistrationState, Standing},
    digest::{Authorizer, Unanswerable},
    flow::{Path, Ways},
    grant::{WEEK, granted, leading_number, service_route},
    header::NameAddr,
    headers::Name,
    message::Message,
    method::Method,
    transaction::{UNHEARD, table::TransactionId},
};

/// The wait after a first failure; it doubles with each further one.
const BACK_OFF: Duration = Duration::from_secs(5);
/// The longest such wait, and the wait after a refusal that will most likely come again.
const LONGEST: Duration = Duration::from_secs(300);
/// The longest Retry-After that is obeyed, in seconds.
const DAY: u32 = 86_400;

/// What a registration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing until then.
    Waiting(Instant),
    /// The registrar's address is being found.
    Locating,
    /// A REGISTER is on its way.
    Asking(TransactionId),
    /// The one that takes our binding away is, or is about to be.
    Leaving(Option<TransactionId>),
    /// It is over.
    Gone,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before the next timer.
    Nothing,
    /// Find the registrar's address.
    Locate,
    /// Send a REGISTER.
    Send,
}

/// One account at one registrar.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) account: Account,
    pub(super) state: RegistrationState,
    told: RegistrationState,
    pub(super) path: Option<Path>,
    /// The other places of the registrar's name, to be tried when this one does not answer (RFC 3263 section 4.3).
    untried: Ways,
    step: Step,
    /// Until when this place must have said something, where there is another one.
    unheard: Option<Instant>,
    authorizer: Authorizer,
    /// The same for as long as we run (section 10.2.4).
    call_id: String,
    tag: String,
    number: u32,
    failures: u32,
    /// What we ask for, in seconds.
    expires: u32,
    /// Asked for more already.
    too_brief: bool,
    /// The Contact of the REGISTER that was sent last.
    contact: String,
    /// That one was sent because the answer to the one before showed us under another address.
    corrects: bool,
    /// How often its way is kept open, as long as it is registered, and when that is due.
    keep_every: Option<Duration>,
    pub(super) keep_at: Option<Instant>,
}

impl Registration {
    /// One that begins at once. `call_id` and `tag` are random.
    pub(super) fn new(
        now: Instant,
        account: Account,
        (call_id, tag): (String, String),
        keep_every: Option<Duration>,
    ) -> Self {
        let expires = u32::try_from(account.expires.as_secs()).unwrap_or(WEEK).clamp(1, WEEK);
        let authorizer = Authorizer::new(account.credentials.clone());
        let (state, step) = (RegistrationState::UNKNOWN, Step::Waiting(now));
        let told = state.clone();
        Self {
            account,
            state,
            told,
            path: None,
            untried: Ways::default(),
            step,
            unheard: None,
            authorizer,
            call_id,
            tag,
            number: 0,
            failures: 0,
            expires,
            too_brief: false,
            contact: String::new(),
            corrects: false,
            keep_every,
            keep_at: None,
        }
    }

    /// How it stands, when that has not been told yet.
    pub(super) fn news(&mut self) -> Option<RegistrationState> {
        let is_news = self.told != self.state;
        self.told.clone_from(&self.state);
        is_news.then(|| self.state.clone())
    }

    /// The way that is to be kept open now.
    pub(super) fn keep_alive(&mut self, now: Instant) -> Option<Path> {
        let every = self.keep_every.filter(|_| self.state.standing == Standing::Registered);
        let Some(every) = every else {
            self.keep_at = None;
            return None;
        };
        match self.keep_at {
            Some(at) if at > now => None,
            due => {
                self.keep_at = Some(now + every);
                self.path.filter(|_| due.is_some())
            }
        }
    }

    /// The way there is lost: a REGISTER opens another one, unless one is on its way.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.state.standing == Standing::Registered && matches!(self.step, Step::Waiting(_)) {
            self.step = Step::Waiting(now);
        }
    }

    /// When [`Self::expire`] wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.step {
            Step::Waiting(at) => Some(at),
            Step::Asking(_) => self.unheard,
            _ => None,
        }
    }

    /// The transaction of the REGISTER that is on its way.
    pub(super) fn asking(&self) -> Option<TransactionId> {
        match self.step {
            Step::Asking(id) => Some(id),
            _ => None,
        }
    }

    /// Time has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Next {
        match self.step {
            Step::Waiting(at) if now >= at && self.path.is_some() => Next::Send,
            Step::Waiting(at) if now >= at => {
                self.step = Step::Locating;
                Next::Locate
            }
            Step::Asking(_) if self.unheard.is_some_and(|at| now >= at) => {
                if self.turn_to_next() {
                    Next::Send
                } else {
                    Next::Nothing
                }
            }
            _ => Next::Nothing,
        }
    }

    /// The ways to the registrar's places were found, or not.
    pub(super) fn located(&mut self, now: Instant, found: Result<Ways, String>, dice: f64) -> Next {
        if self.step != Step::Locating {
            return Next::Nothing;
        }
        let found = found.and_then(|ways| {
            self.untried = ways;
            if self.turn_to_next() { Ok(()) } else { Err("it has no address".to_owned()) }
        });
        match found {
            Ok(()) => Next::Send,
            Err(why) => self.failed(now, why, Duration::ZERO, dice),
        }
    }

    /// From now on the registrar is at its next place. False: there is none left.
    fn turn_to_next(&mut self) -> bool {
        self.unheard = None;
        // A REGISTER is never too large for a datagram.
        let Some(path) = self.untried.next(0) else { return false };
        self.state.registrar = Some(path.flow.remote);
        self.path = Some(path);
        true
    }

    /// The next REGISTER, complete but for its Via; `contact` is where we can be reached.
    pub(super) fn request(&mut self, contact: &str) -> Message {
        self.number += 1;
        let before = std::mem::replace(&mut self.contact, contact.to_owned());
        let us = NameAddr::new(self.account.address_of_record());
        let expires = if self.is_leaving() { 0 } else { self.expires };
        let mut request = Message::request(Method::Register, self.account.domain());
        request.headers.push(Name::MAX_FORWARDS, "70");
        if let Some(proxy) = &self.account.proxy {
            request.headers.push(Name::ROUTE, format!("<{proxy}>"));
        }
        request.headers.push(Name::FROM, us.clone().with_tag(&self.tag).to_string());
        request.headers.push(Name::TO, us.to_string());
        request.headers.push(Name::CALL_ID, self.call_id.as_str());
        request.headers.push(Name::CSEQ, format!("{} REGISTER", self.number));
        request.headers.push(Name::CONTACT, format!("{contact};expires={expires}"));
        if self.corrects && !before.is_empty() && before != contact {
            // Where we cannot be reached no call is to be tried, and it takes no place of an account that has one only.
            request.headers.push(Name::CONTACT, format!("{before};expires=0"));
        }
        request.headers.push(Name::EXPIRES, expires.to_string());
        self.authorizer.authorize(&mut request);
        request
    }

    /// A provisional response came: somebody is there.
    pub(super) fn heard(&mut self) {
        self.unheard = None;
    }

    /// A REGISTER is on its way.
    pub(super) fn sent(&mut self, now: Instant, id: TransactionId) {
        self.unheard = self.untried.first().map(|_| now + UNHEARD);
        self.step = if self.is_leaving() { Step::Leaving(Some(id)) } else { Step::Asking(id) };
    }

    /// Whether our binding is being taken away.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.step, Step::Leaving(_))
    }

    /// We go. The registrar is told where it may have a binding of ours: the next [`Self::request`] takes it away.
    pub(super) fn leave(&mut self) -> Next {
        let bound = match self.step {
            // Granted or not, a REGISTER that is on its way may leave a binding.
            Step::Asking(_) => true,
            Step::Waiting(_) => self.state.standing == Standing::Registered,
            Step::Locating | Step::Leaving(_) | Step::Gone => false,
        };
        if self.is_leaving() {
            return Next::Nothing;
        }
        if !bound {
            return self.gone();
        }
        self.step = Step::Leaving(None);
        Next::Send
    }

    /// Nobody answered: `why` is the sentence.
    pub(super) fn unanswered(&mut self, now: Instant, id: TransactionId, why: &str, dice: f64) -> Next {
        if !self.waits_for(id) {
            return Next::Nothing;
        }
        if !self.is_leaving() && self.turn_to_next() {
            return Next::Send;
        }
        // The name may stand for another machine by now.
        self.path = None;
        self.failed(now, why.to_owned(), Duration::ZERO, dice)
    }

    /// A final response came. `ours` is our Contact, `cnonce` and `dice` (0 to 1) are random.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        id: TransactionId,
        response: &Message,
        ours: &str,
        (cnonce, dice): (&str, f64),
    ) -> Next {
        let Some(code) = response.status().filter(|_| self.waits_for(id)) else { return Next::Nothing };
        self.unheard = None;
        if !matches!(code, 401 | 407) {
            self.authorizer.settled();
        }
        if code == 503 && !self.is_leaving() && self.turn_to_next() {
            return Next::Send;
        }
        match code {
            200..300 if self.is_leaving() => self.gone(),
            200..300 => self.registered(now, response, ours, dice),
            401 | 407 => match self.authorizer.challenged(response, cnonce) {
                Ok(()) => Next::Send,
                Err(why) => {
                    // A password that is wrong now is wrong in five seconds: who tries too often is locked out.
                    let wait = if why == Unanswerable::Unknown { Duration::ZERO } else { LONGEST };
                    self.failed(now, format!("the registrar answered {code}: {why}"), wait, dice)
                }
            },
            423 if !self.is_leaving() && !self.too_brief && self.ask_for_more(response) => Next::Send,
            _ => {
                let after = response.headers.get(Name::RETRY_AFTER).map_or(0, leading_number).min(DAY);
                let after = Duration::from_secs(after.into());
                let wait = if code == 403 { after.max(LONGEST) } else { after };
                if code != 423 {
                    // Another place of the same name may be the right one by now.
                    self.path = None;
                }
                let phrase = match &response.start {
                    super::StartLine::Status { reason, .. } => reason.as_str(),
                    super::StartLine::Request { .. } => "",
                };
                self.failed(now, format!("the registrar answered {code} {phrase}"), wait, dice)
            }
        }
    }

    /// The registrar wants at least so long (section 10.2.8). False: it does not say more than we asked for.
    fn ask_for_more(&mut self, response: &Message) -> bool {
        let least = response.headers.get(Name::MIN_EXPIRES).map_or(0, leading_number).min(WEEK);
        let more = least > self.expires;
        self.expires = self.expires.max(least);
        self.too_brief = true;
        more
    }

    fn registered(&mut self, now: Instant, response: &Message, ours: &str, dice: f64) -> Next {
        let granted = granted(response, ours).unwrap_or(self.expires);
        if granted == 0 {
            return self.failed(now, "the registrar has granted no time".to_owned(), Duration::ZERO, dice);
        }
        self.failures = 0;
        self.too_brief = false;
        self.agree_on_keep_alive(response);
        let due = self.keep_every.map(|every| now + every);
        self.keep_at = due.map(|due| self.keep_at.map_or(due, |at| at.min(due)));
        let granted = Duration::from_secs(granted.into());
        self.state.standing = Standing::Registered;
        self.state.granted = Some(granted);
        self.state.service_route = service_route(response);
        // After half of the time and before three quarters: some time is left for what may fail, and those who came
        // together after an outage part.
        self.step = Step::Waiting(now + granted.mul_f64(0.5 + 0.25 * dice).max(Duration::from_secs(1)));
        // Behind a NAT this very answer may have shown how we look from outside: what was registered leads nowhere. Once, for
        // an address that changes with every packet would have us register for ever.
        self.corrects = !self.corrects && self.contact != ours;
        if self.corrects { Next::Send } else { Next::Nothing }
    }

    /// A registrar that wants its way kept open says how often (RFC 6223 section 4.1); a tenth of it is left for what may be late.
    fn agree_on_keep_alive(&mut self, response: &Message) {
        let via = response.top_via().ok();
        let wanted = via.and_then(|via| via.params.get("keep")?.parse().ok()).filter(|seconds| *seconds > 0);
        if let (Some(seconds), Some(_)) = (wanted, self.keep_every) {
            self.keep_every = Some(Duration::from_secs(u64::from(u32::min(seconds, 300))).mul_f64(0.9));
        }
    }

    /// Growing waits between tries, each drawn from its upper half.
    fn failed(&mut self, now: Instant, why: String, at_least: Duration, dice: f64) -> Next {
        if self.is_leaving() {
            return self.gone();
        }
        self.failures = self.failures.saturating_add(1);
        self.too_brief = false;
        let wait = BACK_OFF.saturating_mul(1 << (self.failures - 1).min(16)).min(LONGEST);
        self.state.standing = Standing::Failed;
        self.state.granted = None;
        self.state.fault = Some(why);
        self.step = Step::Waiting(now + wait.mul_f64(0.5 + 0.5 * dice).max(at_least));
        Next::Nothing
    }

    fn gone(&mut self) -> Next {
        self.step = Step::Gone;
        self.state.standing = Standing::Unregistered;
        self.state.granted = None;
        Next::Nothing
    }

    fn waits_for(&self, id: TransactionId) -> bool {
        self.step == Step::Asking(id) || self.step == Step::Leaving(Some(id))
    }
}
