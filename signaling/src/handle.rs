//! The cord between a call's owner and the endpoint's task: commands one way, the latest state the other way. Letting
//! go of it ends the call, whatever else is going on.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use milo_media::{Codec, Session};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    SignalingError,
    sip::{
        Uri,
        account::{Account, RegistrationState},
        bans::Ban,
        core::{CallKey, EarlyMedia, EndReason, Newcomer},
        destination::Destination,
        digest::Credentials,
        introduction::Introduction,
        keys::KeyPress,
        reason::Reason,
        referral::Referral,
        registrar::User,
        trust::Trust,
    },
};

/// What an owner asks of the endpoint's task.
#[derive(Debug)]
pub(crate) enum Command {
    Ring(CallKey, Reply<()>),
    Early(CallKey, SocketAddr, Reply<EarlyMedia>),
    Answer(CallKey, SocketAddr, Reply<Option<Session>>),
    Speak(CallKey, Arc<[&'static Codec]>),
    AnswerEarly(CallKey, Reply<()>),
    Reject(CallKey, u16, String, Reply<()>),
    Redirect(CallKey, Uri, Reply<()>),
    Hold(CallKey, bool, Reply<()>),
    Refer(CallKey, Box<Uri>, Reply<watch::Receiver<u16>>),
    Referral(CallKey, Step, Reply<()>),
    /// The address at which somebody else takes our place in this call.
    InOurPlace(CallKey, Reply<Uri>),
    /// What is said of why this call is refused, or hung up.
    Because(CallKey, Reason),
    HangUp(CallKey, Reply<()>),
    TellKey(CallKey, KeyPress, Reply<()>),
    Call(Box<NewCall>, Reply<(CallHandle, String)>),
    Ping(Box<NewPing>, Reply<u16>),
    Text(Box<NewText>, Reply<u16>),
    Register(Box<Account>, Reply<watch::Receiver<RegistrationState>>),
    Unregister,
    Accounts(Vec<User>),
    Bans(Reply<Vec<Ban>>),
    Pardon(IpAddr, Reply<bool>),
    Shutdown(oneshot::Sender<()>),
}

/// What is done with a REFER of the other side.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Take,
    Report(u16),
    Refuse(u16),
}

/// Where the result goes; nobody may be waiting any more.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, SignalingError>>;

/// A call to be placed.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) target: Uri,
    pub(crate) introduction: Introduction,
    pub(crate) destination: Destination,
    pub(crate) rtp: SocketAddr,
    /// It is placed however many are up.
    pub(crate) is_urgent: bool,
    /// For whoever asks for some.
    pub(crate) credentials: Option<Credentials>,
    /// Whose certificates are believed when a connection is opened for what follows within it.
    pub(crate) trust: Option<Trust>,
}

/// Somebody to be asked whether it is there.
#[derive(Debug)]
pub(crate) struct NewPing {
    pub(crate) target: Uri,
    /// The proxies that the question goes by.
    pub(crate) routes: Vec<Uri>,
    pub(crate) destination: Destination,
}

/// A text to be sent.
#[derive(Debug)]
pub(crate) struct NewText {
    pub(crate) target: Uri,
    pub(crate) introduction: Introduction,
    pub(crate) text: String,
    pub(crate) destination: Destination,
    /// For whoever asks for some.
    pub(crate) credentials: Option<Credentials>,
}

/// A call as its owner sees it. Only the latest counts, so nothing queues up when the owner is slow.
#[derive(Debug, Default)]
pub(crate) struct CallState {
    pub(crate) ringing: Option<u16>,
    /// Where the far network's sound before the answer comes from.
    pub(crate) early: Option<Session>,
    /// Counts those there have been.
    pub(crate) earlies: u32,
    /// The other side has acknowledged something of ours.
    pub(crate) is_acknowledged: bool,
    pub(crate) session: Option<Session>,
    /// Counts the sessions there have been.
    pub(crate) sessions: u32,
    /// The last keys that the other side told of by INFO, and how many there have been.
    pub(crate) keys: VecDeque<KeyPress>,
    pub(crate) told: u64,
    /// The last texts that the other side has sent within the call, and how many there have been.
    pub(crate) texts: VecDeque<String>,
    pub(crate) texted: u64,
    /// The last REFER of the other side, and how many there have been.
    pub(crate) referral: Option<Referral>,
    pub(crate) referrals: u32,
    /// Who took the other side's place last, and how often that was.
    pub(crate) replaced: Option<Newcomer>,
    pub(crate) replacements: u32,
    /// What the other side said of why it ends.
    pub(crate) reasons: Vec<Reason>,
    pub(crate) ended: Option<EndReason>,
}

/// How long an answer may go without the other side's word.
const LONGEST_UNACKNOWLEDGED: std::time::Duration = std::time::Duration::from_secs(40);

/// Keys told by INFO that wait for a slow owner; of more the oldest are lost.
const KEYS: usize = 32;
/// The same of texts.
const TEXTS: usize = 8;

impl CallState {
    pub(crate) fn tell_key(&mut self, press: KeyPress) {
        if self.keys.len() == KEYS {
            self.keys.pop_front();
        }
        self.keys.push_back(press);
        self.told += 1;
    }

    pub(crate) fn tell_text(&mut self, text: String) {
        if self.texts.len() == TEXTS {
            self.texts.pop_front();
        }
        self.texts.push_back(text);
        self.texted += 1;
    }

    /// The text after the first `seen` ones, and how many were seen with it.
    pub(crate) fn text_after(&self, seen: u64) -> Option<(&str, u64)> {
        let lost = self.texted - self.texts.len() as u64;
        let at = seen.max(lost);
        let text = self.texts.get(usize::try_from(at - lost).ok()?)?;
        Some((text, at + 1))
    }

    /// The key after the first `seen` ones, and how many were seen with it.
    pub(crate) fn key_after(&self, seen: u64) -> Option<(KeyPress, u64)> {
        let lost = self.told - self.keys.len() as u64;
        let at = seen.max(lost);
        let press = self.keys.get(usize::try_from(at - lost).ok()?)?;
        Some((*press, at + 1))
    }
}

/// One owner's end of the cord.
#[derive(Debug)]
pub(crate) struct CallHandle {
    pub(crate) key: CallKey,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) state: watch::Receiver<CallState>,
    /// A place in the queue of farewells, taken when the call began: letting go never waits and is never lost.
    pub(crate) farewell: Option<mpsc::OwnedPermit<Farewell>>,
    /// Somebody else has answered in its place.
    pub(crate) is_answered_elsewhere: bool,
}

/// An owner lets go of its call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    pub(crate) call: CallKey,
    /// Because somebody else has answered in its place.
    pub(crate) is_answered_elsewhere: bool,
}

impl CallHandle {
    /// Sends a command and waits for its result.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(CallKey, Reply<T>) -> Command) -> Result<T, SignalingError> {
        ask(&self.commands, |reply| command(self.key, reply)).await
    }

    /// Waits for the other side to acknowledge what was said to it: a forged INVITE must have no audio sent anywhere.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the call is over before that.
    pub(crate) async fn acknowledged(&mut self) -> Result<(), SignalingError> {
        let known = self.state.wait_for(|state| state.is_acknowledged || state.ended.is_some());
        // The core gives up after 64 times T1 (RFC 3261 section 13.3.1.4); nobody waits much longer, whatever it knows.
        let Ok(known) = tokio::time::timeout(LONGEST_UNACKNOWLEDGED, known).await else {
            return Err(SignalingError::Gone);
        };
        let is_acknowledged = known.map_err(|_| SignalingError::Stopped)?.is_acknowledged;
        if is_acknowledged { Ok(()) } else { Err(SignalingError::Gone) }
    }

    /// Resolves once the call is over.
    pub(crate) async fn ended(&mut self) -> EndReason {
        match self.state.wait_for(|state| state.ended.is_some()).await {
            Ok(state) => state.ended.clone().unwrap_or(EndReason::Shutdown),
            Err(_) => EndReason::Shutdown,
        }
    }
}

impl Drop for CallHandle {
    fn drop(&mut self) {
        if let Some(farewell) = self.farewell.take() {
            let Self { key: call, is_answered_elsewhere, .. } = *self;
            farewell.send(Farewell { call, is_answered_elsewhere });
        }
    }
}

/// Sends a command to the endpoint's task and waits for its result.
pub(crate) async fn ask<T>(
    commands: &mpsc::Sender<Command>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, SignalingError> {
    let (reply, result) = oneshot::channel();
    commands.send(command(reply)).await.map_err(|_| SignalingError::Stopped)?;
    result.await.map_err(|_| SignalingError::Stopped)?
}
