//! The verb `transfer` with `mode = "attended"` or `"warm"`: somebody is called while the caller hears music and is told who comes (or,
//! warm, is asked); then the caller's side takes Milo's place there (REFER with Replaces, RFC 5589 section 7), or Milo joins the two.
//!
//! ```text
//!  caller ── music ──┐                     caller ── REFER, Replaces ──► NOTIFY 200: Milo is out of it
//!                    Milo ── INVITE ──► target                └──────── else: joined by Milo
//! ```

use std::{future::pending, pin::pin, time::Duration};

use milo_media::{Heard, Leg};
use milo_models::engine::Language;
use milo_signaling::{Dialog, EndReason, Uri};
use serde_json::json;
use tokio::{
    select,
    time::{Instant, timeout},
};

use super::{
    House, Record,
    dial::standing,
    interpret::Wanted,
    seat::Seat,
    transfer::{Outcome, refer},
    verbs::{Line, Waiting, heard},
};
use crate::{
    agent::announce,
    dialplan::{Transfer, TransferMode},
    trunk::Trunk,
};

/// How long the news of the caller's side may take once the one who was called has left Milo for it.
const NEWS: Duration = Duration::from_secs(5);

/// What the caller's side is told where the one who was called has hung up.
pub(super) const HUNG_UP: &str = "the one who was called hung up";
pub(super) const CALLER_GONE: &str = "the caller hung up";

/// How it came that something was waited for no longer.
pub(super) enum Waited<T> {
    Done(T),
    /// The caller's leg has closed, or the time is up.
    CallerGone,
    CalledGone(EndReason),
}

impl Line {
    /// True: the caller's side has taken Milo's place; otherwise the plan goes on. And what came of it.
    pub(super) async fn attend(
        &mut self,
        transfer: &Transfer,
        house: &House,
        language: Language,
        log: &mut Record,
    ) -> (bool, &'static str) {
        let began = Instant::now();
        let dial = transfer.dial();
        let music = Waiting::of(&dial.music_files, &self.edition, house, log).await;
        let number = dial.number();
        // It is written while the telephone rings.
        let is_warm = transfer.mode == TransferMode::Warm;
        let brief = is_warm.then(|| self.brief(transfer, (house, language), log));
        let way = if is_warm { "warm" } else { "attended" };
        let after_ms = || began.elapsed().as_millis() as u64;
        let told = |log: &Record, by: &str, result: &str, status: Option<u16>| {
            tracing::info!(call.id = %log.id(), by, result, status, "a caller was to be transferred");
            let detail = json!({ "by": by, "result": result, "status": status, "after_ms": after_ms() });
            log.event("transferred", detail);
        };
        let ((dialog, mut leg), place) = match self.ring_address((&dial, Some(&music)), &number, house, log).await {
            Ok(up) => up,
            Err(failure) => {
                self.voice.flush();
                let (result, status) = failure.detail();
                let phrase = failure.phrase();
                let dialled = json!({ "result": result, "status": status, "phrase": phrase, "after_ms": after_ms() });
                log.event("dialled", dialled);
                told(log, way, result, status);
                return (false, result);
            }
        };
        log.event("dialled", json!({ "result": "answered", "after_ms": after_ms() }));
        let trunk = place.as_ref().map(|(trunk, _)| *trunk);
        let (standing, cleaning) = (standing(&dial, trunk), trunk.map_or(house.cleaning, Trunk::cleaning));
        let far = leg.control.clone();
        let mut seat =
            self.seat((dialog, &leg.control, leg.voice.announcer()), ("called", standing), (house, language), log);
        place.into_iter().for_each(|(_, place)| seat.hold(place));
        let spoken = transfer.language.unwrap_or(language);
        let gone = self.introduce(transfer, (&mut seat, &mut leg), &music, (house, spoken), log).await;
        let ready = match (gone, brief) {
            (Some(gone), _) => Err(gone),
            (None, Some(brief)) => self.offer((brief, began), (&mut seat, leg), &music, (house, cleaning), log).await,
            (None, None) => Ok(leg),
        };
        let mut leg = match ready {
            Ok(leg) => leg,
            Err(why) => {
                self.voice.flush();
                told(log, way, why, None);
                log.reasons("called", &seat.reasons());
                seat.leave().await;
                log.quality("called", &far.stats());
                return (false, why);
            }
        };
        // An account is reached through Milo only, and so is somebody whose words Milo interprets.
        let is_ours = transfer.account.is_some() || transfer.interpret.is_some();
        let called = seat.dialog().filter(|_| !is_ours).map(Dialog::other_side);
        let target = match called {
            Some(called) => called.in_our_place().await.ok(),
            None => None,
        };
        if let Some(target) = target {
            seat.expose();
            let (outcome, has_left) = self.hand_over(&target, (&mut seat, &mut leg), &music).await;
            let (result, status) = outcome.detail();
            told(log, way, result, status);
            let over = match outcome {
                Outcome::Answered => Some((true, result)),
                Outcome::Unknown(why) if self.lost() => Some((false, why)),
                _ if has_left => Some((false, HUNG_UP)),
                _ => None,
            };
            if let Some(over) = over {
                self.voice.flush();
                log.reasons("called", &seat.reasons());
                seat.leave().await;
                log.quality("called", &leg.control.stats());
                return over;
            }
        }
        self.voice.flush();
        told(log, "joined", "answered", None);
        let interpret = transfer.interpret.as_ref().map(|interpret| Wanted { interpret, other: "called", cleaning });
        self.join_up((seat, leg), (music, interpret), (house, language), log).await;
        (false, "joined")
    }

    /// Says to the one who was called who comes. Who is gone before that, if somebody is.
    async fn introduce(
        &mut self,
        transfer: &Transfer,
        (seat, leg): (&mut Seat<'_>, &mut Leg),
        music: &Waiting,
        (house, language): (&House, Language),
        log: &Record,
    ) -> Option<&'static str> {
        let words = transfer.announce.as_ref()?;
        let Leg { ears, voice, .. } = leg;
        let saying = async {
            let said = announce(words, language, &house.engines.in_mode(log.notes().mode()).voice, voice).await;
            if let Err(error) = said {
                log.event("engine_failed", json!({ "error": error.to_string() }));
            }
        };
        let silent = async { while !matches!(ears.next().await, Heard::Closed(_)) {} };
        let waited = select! {
            waited = self.while_it_plays(music, saying) => waited,
            reason = seat.follow() => Waited::CalledGone(reason),
            () = silent => Waited::CalledGone(EndReason::RemoteHangup),
        };
        match waited {
            Waited::Done(()) => None,
            Waited::CallerGone => Some(CALLER_GONE),
            Waited::CalledGone(reason) => {
                tracing::debug!(call.id = %log.id(), %reason, "the one who was called did not wait");
                Some(HUNG_UP)
            }
        }
    }

    /// Asks the caller's side to take our place in the other call. What came of it, and whether the one who was called has left Milo.
    async fn hand_over(
        &mut self,
        target: &Uri,
        (seat, leg): (&mut Seat<'_>, &mut Leg),
        music: &Waiting,
    ) -> (Outcome, bool) {
        let other = self.other.clone();
        let mut referring = pin!(refer(&other, target));
        let Leg { ears, .. } = leg;
        let silent = async { while !matches!(ears.next().await, Heard::Closed(_)) {} };
        let waited = select! {
            waited = self.while_it_plays(music, &mut referring) => waited,
            reason = seat.follow() => Waited::CalledGone(reason),
            () = silent => Waited::CalledGone(EndReason::RemoteHangup),
        };
        match waited {
            Waited::Done(outcome) => (outcome, false),
            Waited::CallerGone => (Outcome::Unknown(CALLER_GONE), false),
            // Whoever came in our place, or nobody: the news will say.
            Waited::CalledGone(_) => match timeout(NEWS, self.while_it_plays(music, referring)).await {
                Ok(Waited::Done(outcome)) => (outcome, true),
                Ok(Waited::CallerGone) => (Outcome::Unknown(CALLER_GONE), true),
                Ok(Waited::CalledGone(_)) | Err(_) => (Outcome::Unknown(HUNG_UP), true),
            },
        }
    }

    /// The caller hears music while something is done.
    pub(super) async fn while_it_plays<T>(&mut self, music: &Waiting, doing: impl Future<Output = T>) -> Waited<T> {
        let Self { ears, voice, until, .. } = self;
        let playing = async {
            for frame in music.frames() {
                voice.play(frame).await;
            }
            pending::<()>().await;
        };
        // What is said meanwhile is heard by nobody.
        let listening = async { while heard(ears, *until).await.is_some() {} };
        select! {
            done = doing => Waited::Done(done),
            () = playing => Waited::CallerGone,
            () = listening => Waited::CallerGone,
        }
    }
}
