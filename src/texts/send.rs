//! A text that is to be sent: whether it may, over what, and what becomes of it. It is asked of its trunk like a call, by its pace and room,
//! and counts as one of the calls of the trunk's day.

use milo_signaling::{SignalingError, Uri, sip::text::LONGEST};
use serde::Serialize;
use tokio::sync::{mpsc::error::TrySendError, oneshot};

use super::{DELIVERED, Texts};
use crate::{
    call::{NotPlaced, Target, first, refusal, target},
    dialplan::TrunkNames,
    store::{Key, NewMessage, Stamp},
    trunk::{CallingAs, Denied, Place, Way, number},
};

/// A text that somebody wants sent.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A number, or a SIP address; nothing for an account.
    pub to: String,
    /// The account whose telephones are sent it.
    pub account: Option<String>,
    /// The trunks that a number is sent it over: the first that takes it; none: the only one there is.
    pub trunks: Option<TrunkNames>,
    /// Who sends it; none: as the trunk says, else `milo`.
    pub from: Option<String>,
    /// What it says.
    pub text: String,
    /// The call whose plan wants it.
    pub call: Option<Key>,
}

/// A text on its way.
#[derive(Debug)]
pub struct Sent {
    /// Its identifier.
    pub id: Key,
    /// The trunk it goes over.
    pub trunk: Option<String>,
    /// What becomes of it.
    pub came: oneshot::Receiver<Came>,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Came {
    /// `delivered`, `refused`, `too large`, `credentials refused`, `no answer`, `not registered`, `not allowed`, `too many` or `failed`.
    pub result: &'static str,
    /// The SIP status that said so.
    pub sip_status: Option<u16>,
}

impl Came {
    fn of(status: u16) -> Self {
        let result = match status {
            200..300 => DELIVERED,
            401 | 407 => "credentials refused",
            408 => "no answer",
            413 | 513 => "too large",
            _ => "refused",
        };
        Self { result, sip_status: Some(status) }
    }

    /// Of one that a trunk does not take.
    fn denied(denied: Denied) -> Self {
        let result = match denied {
            Denied::Full | Denied::Pace | Denied::CallsOfDay | Denied::MinutesOfDay => "too many",
            Denied::Down => "no answer",
            Denied::NoGateway | Denied::Destination | Denied::CallerId | Denied::Address | Denied::Account => {
                "not allowed"
            }
        };
        Self { result, sip_status: None }
    }
}

/// A text, and the one who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Job {
    key: Key,
    direction: &'static str,
    whom: Whom,
    from: Option<String>,
    text: String,
    /// It is for help, and waits behind nobody else's.
    is_urgent: bool,
    done: Option<oneshot::Sender<Came>>,
}

#[derive(Debug)]
enum Whom {
    /// A number, over the trunk of this name.
    Number(String, String),
    Address(Uri, Wish),
    Account(String),
}

/// Whose wish it is.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Plan,
    Request,
}

impl Wish {
    /// As whom it is sent, where `from` is wanted.
    fn sends_as(self, from: Option<&str>) -> CallingAs<'_> {
        match (from, self) {
            (None, _) => CallingAs::Trunk,
            (Some(id), Self::Plan) => CallingAs::Plan(id),
            (Some(id), Self::Request) => CallingAs::Request(id),
        }
    }
}

impl Texts {
    /// Has a text sent.
    ///
    /// # Errors
    /// [`NotPlaced`]: it may not be sent so, or not now.
    pub fn send(&self, wanted: Wanted) -> Result<Sent, NotPlaced> {
        let wrong = |says: String| Err(NotPlaced::Wrong(says));
        if wanted.text.is_empty() || wanted.text.len() > LONGEST {
            return wrong(format!("text has 1 to {LONGEST} bytes of UTF-8, not {}", wanted.text.len()));
        }
        if let Some(from) = wanted.from.as_deref().filter(|from| number(from).is_none()) {
            return wrong(format!("from {from:?} is no number or name: letters, digits, - _ . +"));
        }
        let queue = self.queue.try_reserve().map_err(|error| match error {
            TrySendError::Closed(()) => NotPlaced::Busy("Milo is ending and sends no more".into(), 60),
            TrySendError::Full(()) => NotPlaced::Busy("too many texts are being sent at once".into(), 5),
        })?;
        // The trunk's pace and its day are asked; a place is not kept, since a text may wait for long, and calls must not wait for it.
        let (whom, _, shown) = match &wanted.account {
            Some(account) if !(wanted.to.is_empty() && wanted.trunks.is_none()) => {
                return wrong(format!("the account {account:?} is sent it by itself, without `to` and `trunk`"));
            }
            Some(account) if !self.accounts.knows(account) => {
                return wrong(format!("account {account:?} is no account of [sip] accounts"));
            }
            Some(account) => (Whom::Account(account.clone()), None, account.clone()),
            None => self.place(&wanted)?,
        };
        let trunk = match &whom {
            Whom::Number(_, trunk) => Some(trunk.clone()),
            Whom::Address(..) | Whom::Account(_) => None,
        };
        // Whoever comes to help must be able to answer.
        let is_urgent = self.trunks.emergency(&shown).is_some();
        let from = wanted.from.filter(|_| !is_urgent);
        let named = trunk.as_deref().and_then(|name| self.trunks.named(name));
        let sender = named.map(|trunk| trunk.caller_id(from.as_deref(), "")).or_else(|| from.clone());
        let key = self.log.message(NewMessage {
            incoming: false,
            from: sender.unwrap_or_else(|| "milo".into()),
            to: shown,
            trunk: trunk.clone(),
            account: wanted.account,
            call: wanted.call,
            text: wanted.text.clone(),
            at: Stamp::now(),
            result: None,
        });
        tracing::info!(message.id = %key, trunk, "a text goes out");
        let (done, came) = oneshot::channel();
        queue.send(Job { key, direction: "out", whom, from, text: wanted.text, is_urgent, done: Some(done) });
        Ok(Sent { id: key, trunk, came })
    }

    /// Over which trunk, with the place there, or to which address; and who that is for the log.
    fn place(&self, wanted: &Wanted) -> Result<(Whom, Option<Place>, String), NotPlaced> {
        let wish = if wanted.call.is_some() { Wish::Plan } else { Wish::Request };
        let from = wish.sends_as(wanted.from.as_deref());
        Ok(match target(&self.trunks, (&wanted.to, wanted.trunks.as_ref()), from)? {
            Target::Emergency(trunks, number) => {
                let trunk = trunks.first().ok_or_else(|| NotPlaced::Wrong("there is no emergency_trunk".into()))?;
                let place = trunk.admit_emergency().map_err(|denied| refusal(denied, trunk.name()))?;
                (Whom::Number(number.clone(), trunk.name().to_owned()), Some(place), number)
            }
            Target::Number(trunks, number) => {
                let (at, place) = first(&trunks, &number, from, &mut Vec::new())?;
                let name = trunks.get(at).map_or("", |trunk| trunk.name());
                (Whom::Number(number.clone(), name.to_owned()), Some(place), number)
            }
            Target::Address(uri) => {
                let shown = Some(uri.user()).filter(|user| !user.is_empty()).unwrap_or_else(|| wanted.to.clone());
                (Whom::Address(uri, wish), None, shown)
            }
        })
    }
}

impl Job {
    /// A text that came for this account.
    pub(super) fn forward(key: Key, account: String, from: String, text: String) -> Self {
        let (whom, from) = (Whom::Account(account), Some(from));
        Self { key, direction: "in", whom, from, text, is_urgent: false, done: None }
    }

    /// Where it goes: those that go to one place wait for each other.
    pub(super) fn destination(&self) -> String {
        match &self.whom {
            Whom::Number(number, _) if self.is_urgent => format!("help {number}"),
            Whom::Number(_, trunk) => format!("trunk {trunk}"),
            Whom::Address(uri, _) => {
                let host = uri.host().map(|host| host.as_str().to_ascii_lowercase()).unwrap_or_default();
                format!("address {host}:{}", uri.port().unwrap_or_default())
            }
            Whom::Account(account) => format!("account {account}"),
        }
    }

    /// Too many wait to go there: it is not sent.
    pub(super) fn give_up(self, texts: &Texts) {
        tracing::warn!(message.id = %self.key, "a text was not sent: too many wait to go there");
        let Self { key, direction, done, .. } = self;
        settle(texts, (key, direction), Came { result: "too many", sip_status: None }, done);
    }

    /// Sends it, and writes down what became of it.
    pub(super) async fn run(self, texts: Texts) {
        let Self { key, direction, whom, from, text, done, .. } = self;
        let (caller, sender) = (&texts.caller, from.as_deref().unwrap_or("milo"));
        let answered = match &whom {
            Whom::Address(uri, wish) => match to_address(&texts, uri, (from.as_deref(), *wish), &text).await {
                Ok(answered) => answered.map(Some),
                Err(denied) => {
                    return settle(&texts, (key, direction), Came::denied(denied), done);
                }
            },
            Whom::Account(account) => texts.accounts.text(caller, account, sender, &text).await,
            Whom::Number(number, trunk) => match texts.trunks.named(trunk) {
                Some(trunk) => trunk.text(caller, number, from.as_deref(), &text).await.map(Some),
                // The trunks are those of the start.
                None => Err(SignalingError::Gone),
            },
        };
        let came = match answered {
            Ok(Some(status)) => Came::of(status),
            Ok(None) => Came { result: "not registered", sip_status: None },
            Err(error) => {
                // The error may name whom it was for, which is for a developer's eyes.
                tracing::debug!(message.id = %key, %error, "a text could not be sent");
                Came { result: "failed", sip_status: None }
            }
        };
        tracing::info!(message.id = %key, result = came.result, status = came.sip_status, "a text was sent");
        settle(&texts, (key, direction), came, done);
    }
}

/// Sends a text to an address: where it leads to a trunk, by another name than the trunk's own, to its number over that one, and into a
/// trunk's network under the trunk's rules. The status of the answer.
///
/// # Errors
/// The trunk does not take it.
async fn to_address(
    texts: &Texts,
    uri: &Uri,
    (from, wish): (Option<&str>, Wish),
    text: &str,
) -> Result<Result<u16, SignalingError>, Denied> {
    let (caller, number, sends_as) = (&texts.caller, uri.user(), wish.sends_as(from));
    // As for a number the place is not kept: the text counts among those of the pace and of the day.
    let there = match texts.trunks.way_to(uri, caller).await {
        Ok(Way::Over(trunk)) => {
            drop(trunk.admit(&number, sends_as)?);
            return Ok(trunk.text(caller, &number, from, text).await);
        }
        Ok(Way::Direct(there)) => there,
        Err(error) => return Ok(Err(error)),
    };
    let sender = match there.places().find_map(|place| texts.trunks.around(place.ip())) {
        Some(trunk) => {
            drop(trunk.admit_there(&number, sends_as)?);
            trunk.caller_id(from, "")
        }
        None => from.unwrap_or("milo").to_owned(),
    };
    Ok(caller.text_at(uri, &sender, text, there).await)
}

/// Writes down what became of a text, and tells whoever waits for it.
fn settle(texts: &Texts, (key, direction): (Key, &'static str), came: Came, done: Option<oneshot::Sender<Came>>) {
    texts.log.message_settled(key, came.result, came.sip_status);
    texts.metrics.message(direction, came.result);
    if let Some(done) = done {
        // Whoever asked may no longer wait.
        done.send(came).ok();
    }
}
