//! A call that is up.

use std::time::Duration;

use milo_media::{MediaError, Session, dtmf::is_key};
use tokio::sync::{mpsc, watch};

use crate::{
    SignalingError,
    handle::{CallHandle, CallState, Command, Step, ask},
    sip::{
        Uri,
        core::{CallKey, EndReason, Newcomer},
        keys::KeyPress,
        reason::Reason,
        referral::Referral,
    },
};

/// What the other side does to a call that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogEvent {
    /// The media have changed, or are known at last; the other side has its answer already. Give it to
    /// [`milo_media::Control::change`].
    MediaChange(Session),
    /// The other side has pressed a key and told so by SIP INFO. Give it to [`milo_media::Control::hear_key`], which
    /// knows whether the same press came with the audio.
    Key(KeyPress),
    /// The other side asks to be taken out of the call: somebody else is to be called in its place (REFER). Answer with
    /// [`Dialog::take_transfer`] or [`Dialog::refuse_transfer`]; after five seconds without an answer it is declined.
    Transfer(Referral),
    /// The other side has sent a text (MESSAGE), and has its answer already.
    Text(String),
    /// Somebody has taken the place of the other side, which transferred the call (RFC 3891); the call goes on with this
    /// one, whose media come as a [`Self::MediaChange`] before. What whoever called has proved does not hold for it.
    Replaced(Newcomer),
    /// The call is over.
    Ended(EndReason),
}

/// A call that is up. Dropping it hangs up.
#[derive(Debug)]
pub struct Dialog {
    pub(crate) handle: CallHandle,
    /// For those who ask things of the other side: it may change ([`Dialog::succeed`]).
    now: watch::Sender<Now>,
    call_id: String,
    /// How many sessions the owner has been given.
    seen: u32,
    /// How many keys the owner has been told of.
    keys: u64,
    /// How many texts.
    texts: u64,
    /// How many referrals.
    referrals: u32,
    /// How many took the other side's place.
    replacements: u32,
}

/// Which call a dialog is now.
#[derive(Clone, Debug)]
struct Now {
    call: CallKey,
    state: watch::Receiver<CallState>,
    /// Who had taken the other side's place before this dialog followed another.
    before: Option<Newcomer>,
}

impl Now {
    fn newcomer(&self) -> Option<Newcomer> {
        self.state.borrow().replaced.clone().or_else(|| self.before.clone())
    }
}

impl Dialog {
    pub(crate) fn new(handle: CallHandle, call_id: String, seen: u32) -> Self {
        let now = watch::Sender::new(Now { call: handle.key, state: handle.state.clone(), before: None });
        Self { handle, now, call_id, seen, keys: 0, texts: 0, referrals: 0, replacements: 0 }
    }

    /// Which call of the endpoint it is.
    pub fn key(&self) -> CallKey {
        self.handle.key
    }

    /// Somebody else is the other side from now on, by this dialog: [`Dialog::keys`] and [`Dialog::other_side`] are of the newcomer.
    /// Returns the dialog with whoever leaves.
    pub fn succeed(&mut self, by: Self) -> Self {
        let mut left = std::mem::replace(self, by);
        std::mem::swap(&mut self.now, &mut left.now);
        self.now.send_modify(|now| {
            let (before, state) = (now.newcomer(), self.handle.state.clone());
            *now = Now { call: self.handle.key, state, before };
        });
        left
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// What the other side does next. Of several media changes the last counts. Once ended it says so for ever.
    /// Cancel safe.
    pub async fn next(&mut self) -> DialogEvent {
        loop {
            {
                let state = self.handle.state.borrow_and_update();
                if state.sessions != self.seen
                    && let Some(session) = &state.session
                {
                    self.seen = state.sessions;
                    return DialogEvent::MediaChange(session.clone());
                }
                if let Some((press, keys)) = state.key_after(self.keys) {
                    self.keys = keys;
                    return DialogEvent::Key(press);
                }
                if let Some((text, texts)) = state.text_after(self.texts) {
                    self.texts = texts;
                    return DialogEvent::Text(text.to_owned());
                }
                if state.replacements != self.replacements
                    && let Some(by) = &state.replaced
                {
                    self.replacements = state.replacements;
                    return DialogEvent::Replaced(by.clone());
                }
                if state.referrals != self.referrals
                    && state.ended.is_none()
                    && let Some(referral) = &state.referral
                {
                    self.referrals = state.referrals;
                    return DialogEvent::Transfer(referral.clone());
                }
                if let Some(reason) = &state.ended {
                    return DialogEvent::Ended(reason.clone());
                }
            }
            if self.handle.state.changed().await.is_err() {
                return DialogEvent::Ended(EndReason::Shutdown);
            }
        }
    }

    /// Takes the transfer that the other side asked for last: 202. How the call goes that is placed for it is told by
    /// [`Self::report_transfer`].
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: it no longer waits for an answer.
    pub async fn take_transfer(&self) -> Result<(), SignalingError> {
        self.handle.ask(|call, reply| Command::Referral(call, Step::Take, reply)).await
    }

    /// Refuses it with this code (300 to 699); 603 is a plain no.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: it no longer waits for an answer.
    pub async fn refuse_transfer(&self, code: u16) -> Result<(), SignalingError> {
        self.handle.ask(|call, reply| Command::Referral(call, Step::Refuse(code), reply)).await
    }

    /// Tells the other side how the call goes that its transfer led to: a status code; from 200 on it is the last.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: no transfer was taken, its end was told, or the other side wants no news (RFC 4488).
    pub async fn report_transfer(&self, code: u16) -> Result<(), SignalingError> {
        self.handle.ask(|call, reply| Command::Referral(call, Step::Report(code), reply)).await
    }

    /// Why the other side has hung up, or refused, where it said so.
    pub fn reasons(&self) -> Vec<Reason> {
        self.handle.state.borrow().reasons.clone()
    }

    /// What presses keys by SIP INFO, for peers that want them so. It does not keep the call up.
    pub fn keys(&self) -> InfoKeys {
        InfoKeys { now: self.now.subscribe(), commands: self.handle.commands.clone() }
    }

    /// What asks things of the other side while somebody else listens to this dialog. It does not keep the call up.
    pub fn other_side(&self) -> OtherSide {
        OtherSide { now: self.now.subscribe(), commands: self.handle.commands.clone() }
    }

    /// Hangs up: BYE, at once or as soon as our answer has been acknowledged.
    ///
    /// # Errors
    /// [`SignalingError::Gone`]: the other side was first.
    pub async fn hang_up(self) -> Result<(), SignalingError> {
        self.handle.ask(Command::HangUp).await
    }
}

/// Asks things of the other side of a call that is up.
#[derive(Clone, Debug)]
pub struct OtherSide {
    now: watch::Receiver<Now>,
    commands: mpsc::Sender<Command>,
}

impl OtherSide {
    /// Who has taken the other side's place last, if anybody has: what was known of whoever called does not hold for this one.
    pub fn newcomer(&self) -> Option<Newcomer> {
        self.now.borrow().newcomer()
    }

    fn now(&self) -> CallKey {
        self.now.borrow().call
    }

    /// Puts the other side on hold (RFC 3264 section 8.4): it hears us, and we no longer hear it. Waits until it has
    /// agreed; the media change comes as [`DialogEvent::MediaChange`].
    ///
    /// # Errors
    /// [`SignalingError::Refused`]: everything is as it was. [`SignalingError::Gone`], [`SignalingError::Stopped`]: the call is
    /// over.
    pub async fn hold(&self) -> Result<(), SignalingError> {
        ask(&self.commands, |reply| Command::Hold(self.now(), true, reply)).await
    }

    /// Should this call be hung up, the other side is told this reason (RFC 3326).
    pub async fn because(&self, reason: Reason) {
        // The endpoint has ended, and says nothing any more.
        self.commands.send(Command::Because(self.now(), reason)).await.ok();
    }

    /// Asks the other side to leave this call and to call `target` instead (REFER; the target may carry a Replaces).
    /// Waits until it has agreed, and returns the news of how it goes. The call stays up until somebody hangs up.
    ///
    /// # Errors
    /// [`SignalingError::Refused`]: it does not do so, and the call goes on. [`SignalingError::Gone`],
    /// [`SignalingError::Stopped`]: the call is over.
    pub async fn refer(&self, target: &Uri) -> Result<Referring, SignalingError> {
        let target = Box::new(target.clone());
        let news = ask(&self.commands, |reply| Command::Refer(self.now(), target, reply)).await?;
        Ok(Referring { news })
    }

    /// The address at which somebody else can take our place in this call: that of the other side, with a Replaces that names this
    /// dialog (RFC 5589 section 7.1). For a REFER within another call.
    ///
    /// # Errors
    /// [`SignalingError::Gone`], [`SignalingError::Stopped`]: the call is over.
    pub async fn in_our_place(&self) -> Result<Uri, SignalingError> {
        ask(&self.commands, |reply| Command::InOurPlace(self.now(), reply)).await
    }

    /// Takes it back from hold.
    ///
    /// # Errors
    /// Those of [`Self::hold`].
    pub async fn resume(&self) -> Result<(), SignalingError> {
        ask(&self.commands, |reply| Command::Hold(self.now(), false, reply)).await
    }
}

/// The news of a transfer that the other side has agreed to.
#[derive(Debug)]
pub struct Referring {
    news: watch::Receiver<u16>,
}

impl Referring {
    /// The next status code of the call that the other side places: 100 to 199 while it is under way, then the last one,
    /// 200 to 699; 408 when it did not say. `None`: that was the last, or this call is over. Cancel safe.
    pub async fn next(&mut self) -> Option<u16> {
        self.news.changed().await.ok()?;
        Some(*self.news.borrow_and_update())
    }
}

/// Presses keys by SIP INFO (`application/dtmf-relay`) in a call that is up.
#[derive(Clone, Debug)]
pub struct InfoKeys {
    now: watch::Receiver<Now>,
    commands: mpsc::Sender<Command>,
}

impl InfoKeys {
    fn now(&self) -> CallKey {
        self.now.borrow().call
    }

    /// Tells the other side that this key was down for so long, and waits until it has taken it: so keys stay in order.
    ///
    /// # Errors
    /// [`SignalingError::Media`]: no telephone has this key. [`SignalingError::Key`]: the other side did not take it; tones may
    /// do. [`SignalingError::Gone`], [`SignalingError::Stopped`]: the call is over.
    pub async fn press(&self, key: char, duration: Duration) -> Result<(), SignalingError> {
        if !is_key(key) {
            return Err(MediaError::Key { key }.into());
        }
        let press = KeyPress { key: key.to_ascii_uppercase(), duration };
        ask(&self.commands, |reply| Command::TellKey(self.now(), press, reply)).await
    }
}
