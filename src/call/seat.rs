//! One end of a call: who sits there, and the leg that they are heard on. Who sits there can have somebody else called in their place
//! (REFER, RFC 3515); whoever holds the leg, an agent, a bridge, a line, hears and speaks on with the newcomer.
//!
//! ```text
//!  REFER ─► may they? ─► 202 ─► the target is called ──answers──► the leg moves to it, NOTIFY 200, BYE to who leaves
//!              │                        └──does not──► NOTIFY, and all is as it was
//!              └──no─► 403, 404, 603
//! ```

use std::{future::pending, pin::Pin, time::Duration};

use milo_media::{Announcer, Control};
use milo_models::engine::Language;
use milo_signaling::{Dialog, DialogEvent, EndReason, Newcomer, OtherSide, Reason, Referral};
use serde_json::{Value, json};
use tokio::{
    select,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{
    House, Reel,
    about::About,
    notes::Notes,
    placing::{Calling, Reached},
    refer::{Standing, Wanted},
    seats::{Desk, Link, Wish},
    unanswered::Unanswered,
};
use crate::{agent::News, store::Key, texts, trunk::Place};

/// How long putting two calls together may take: the other one does nothing else meanwhile.
const JOINING: Duration = Duration::from_secs(2);

/// One end of a call.
pub(super) struct Seat<'h> {
    sitting: Sitting,
    underway: Underway<'h>,
    desk: Desk,
    leg: Control,
    /// What whoever sits there is told by.
    announcer: Announcer,
    /// The call's recording.
    reel: Reel,
    language: Language,
    /// `caller` or `called`.
    side: &'static str,
    standing: Standing,
    /// What the call was like when they sat down, and the caller's side, which may be somebody else by now.
    about: (About, OtherSide),
    /// The places, on its trunk and among those of accounts, of the call to whoever sits there.
    over: Vec<Place>,
    house: &'h House,
    notes: Notes,
}

/// Who sits there.
enum Sitting {
    /// Somebody; or somebody who has hung up, for this reason, while the one whom they wanted called may still come.
    With(Dialog, Option<EndReason>),
    /// Another call: the two legs are back to back. And why those who sat there before said that they go.
    Beside(Link, Vec<Reason>),
}

impl Sitting {
    /// What they do next. Cancel safe.
    async fn next(&mut self, awaits_another: bool) -> DialogEvent {
        match self {
            Self::With(dialog, None) => dialog.next().await,
            Self::With(_, Some(_)) if awaits_another => pending().await,
            Self::With(_, Some(reason)) => DialogEvent::Ended(reason.clone()),
            Self::Beside(link, _) => {
                link.ended().await;
                DialogEvent::Ended(EndReason::RemoteHangup)
            }
        }
    }
}

/// What a REFER has led to, and is not done.
enum Underway<'h> {
    Nothing,
    Calling(Calling<'h>),
    Joining {
        done: oneshot::Receiver<Key>,
        link: Link,
        began: Instant,
    },
    /// The newcomer hears that the call is recorded.
    Telling(Pin<Box<dyn Future<Output = ()> + Send + 'h>>),
}

/// What became of it.
enum Went {
    /// How far the call is.
    News(u16),
    Reached(Result<Reached, Unanswered>),
    /// Another call of the telephone, or none.
    Joined(Option<Key>),
    Told,
}

impl Underway<'_> {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// Cancel safe.
    async fn next(&mut self) -> Went {
        match self {
            Self::Nothing => pending().await,
            Self::Calling(calling) => match calling.next().await {
                Ok(status) => Went::News(status),
                Err(reached) => Went::Reached(reached),
            },
            Self::Telling(telling) => {
                telling.await;
                Went::Told
            }
            Self::Joining { done, began, .. } => select! {
                // Once it is said, the legs are together.
                biased;
                joined = done => Went::Joined(joined.ok()),
                () = sleep_until(*began + JOINING) => Went::Joined(None),
            },
        }
    }
}

impl<'h> Seat<'h> {
    /// Somebody sits down on this side of the call.
    pub(super) fn new(
        (dialog, leg, announcer): (Dialog, &Control, Announcer),
        (side, standing): (&'static str, Standing),
        (about, reel, language): ((About, OtherSide), Reel, Language),
        (house, notes): (&'h House, Notes),
    ) -> Self {
        let desk = house.seats.sit(dialog.key());
        Self {
            sitting: Sitting::With(dialog, None),
            underway: Underway::Nothing,
            desk,
            leg: leg.clone(),
            announcer,
            reel,
            language,
            side,
            standing,
            about,
            over: Vec::new(),
            house,
            notes,
        }
    }

    /// The dialog with whoever sits there, if somebody does.
    pub(super) fn dialog(&self) -> Option<&Dialog> {
        match &self.sitting {
            Sitting::With(dialog, None) => Some(dialog),
            Sitting::With(_, Some(_)) | Sitting::Beside(..) => None,
        }
    }

    /// What the last one who sat there has said of why they go.
    pub(super) fn reasons(&self) -> Vec<Reason> {
        match &self.sitting {
            Sitting::With(dialog, _) => dialog.reasons(),
            Sitting::Beside(_, reasons) => reasons.clone(),
        }
    }

    /// The call to them has this place until they go.
    pub(super) fn hold(&mut self, place: Place) {
        self.over.push(place);
    }

    /// Somebody else has been told the identifiers of their dialog: who asks for something in it may be anybody.
    pub(super) fn expose(&mut self) {
        self.standing = self.standing.of_anybody();
    }

    /// Hangs up on whoever sits there; they may have been first.
    pub(super) async fn leave(self) {
        if let Sitting::With(dialog, None) = self.sitting {
            dialog.hang_up().await.ok();
        }
    }

    /// Does what whoever sits there wants, until they have gone and nobody comes in their place. Cancel safe.
    pub(super) async fn follow(&mut self) -> EndReason {
        loop {
            let awaits_another = matches!(self.underway, Underway::Calling(_) | Underway::Joining { .. });
            select! {
                event = self.sitting.next(awaits_another) => match event {
                    DialogEvent::Ended(reason) if awaits_another => self.left(reason),
                    DialogEvent::Ended(reason) => return reason,
                    DialogEvent::MediaChange(session) => self.leg.change(session),
                    DialogEvent::Key(press) => self.leg.hear_key(press.key, press.duration),
                    DialogEvent::Text(text) => {
                        self.house.metrics.message("in", texts::RECEIVED);
                        self.notes.texted(self.side, &text);
                    }
                    DialogEvent::Transfer(referral) => self.referred(referral).await,
                    DialogEvent::Replaced(newcomer) => self.replaced(&newcomer),
                },
                went = self.underway.next() => match went {
                    Went::News(status) => self.report(status).await,
                    Went::Reached(reached) => self.reached(reached).await,
                    Went::Joined(other) => self.joined(other).await,
                    Went::Told => self.underway = Underway::Nothing,
                },
                wish = self.desk.next() => self.join(wish).await,
            }
        }
    }

    /// They hang up while somebody is called in their place: whoever is in the call waits as if on hold.
    fn left(&mut self, reason: EndReason) {
        if let Sitting::With(_, left) = &mut self.sitting {
            *left = Some(reason);
            self.leg.vacate();
            self.over.clear();
        }
    }

    /// Somebody else has taken their place (RFC 3891).
    fn replaced(&mut self, newcomer: &Newcomer) {
        let account = newcomer.account();
        tracing::info!(call.id = %self.notes.key(), by = self.side, account, "somebody else has taken a place");
        self.standing = match account {
            Some(account) => Standing::Account(account.to_owned()),
            None => self.standing.of_a_successor(newcomer.source.ip(), &self.house.trunks),
        };
        if self.house.trunks.heard_from(newcomer.source.ip()).is_none() {
            self.over.clear();
        }
        self.notes.event("replaced", json!({ "by": self.side, "account": account }));
        // Whom the one who has left wanted called in their place comes no more.
        let how = match &self.underway {
            Underway::Nothing | Underway::Telling(_) => None,
            Underway::Calling(calling) => Some(calling.how),
            Underway::Joining { .. } => Some("attended"),
        };
        if let Some(how) = how {
            self.told(how, "failed", json!({ "why": "somebody else has taken their place" }));
        }
        self.introduce();
    }

    /// Somebody comes into the call: whoever is in it learns so, and they hear that it is recorded.
    fn introduce(&mut self) {
        if self.side == "caller" {
            self.notes.news(News::SomebodyElse);
        }
        let (reel, announcer, house, language) = (self.reel.clone(), self.announcer.clone(), self.house, self.language);
        self.underway =
            Underway::Telling(Box::pin(async move { reel.tell_newcomer(&announcer, house, language).await }));
    }

    /// They want somebody else called in their place.
    async fn referred(&mut self, referral: Referral) {
        let about = self.about.0.now(&self.about.1);
        let wanted = match Wanted::of(&referral, &self.standing, &about, self.house) {
            Ok(_) if !self.underway.is_nothing() => Err((491, "another is called already")),
            wanted => wanted,
        };
        let Some(dialog) = self.dialog() else { return };
        let how = if referral.replaces.is_some() { "attended" } else { "blind" };
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err((status, why)) => {
                // Gone when the call was over first.
                dialog.refuse_transfer(status).await.ok();
                self.told(how, "refused", json!({ "status": status, "why": why }));
                return;
            }
        };
        if dialog.take_transfer().await.is_err() {
            return;
        }
        let began = Instant::now();
        self.underway = match wanted {
            Wanted::Call(target) => {
                let whose = (self.standing.clone(), about, self.notes.clone());
                Underway::Calling(Calling::begin(target, whose, &self.leg, (self.house, how)))
            }
            Wanted::Join(key) => {
                let (link, theirs) = Link::pair();
                let (done, is_done) = oneshot::channel();
                // Whoever is not there has dropped `done`.
                let wish = Wish { leg: self.leg.clone(), link: theirs, call: self.notes.key(), done };
                self.house.seats.wish(key, wish);
                Underway::Joining { done: is_done, link, began }
            }
        };
    }

    /// Tells whoever has asked how far it is. They may be gone, or want no news.
    async fn report(&mut self, status: u16) {
        if let Some(dialog) = self.dialog() {
            dialog.report_transfer(status).await.ok();
        }
    }

    /// The event of it, and the figure.
    fn told(&self, how: &str, result: &str, more: Value) {
        tracing::info!(call.id = %self.notes.key(), by = self.side, how, result, "a transfer was asked for");
        self.house.metrics.transfer(how, result);
        let mut detail = json!({ "by": self.side, "how": how, "result": result });
        if let (Some(detail), Value::Object(more)) = (detail.as_object_mut(), more) {
            detail.extend(more);
        }
        self.notes.event("referred", detail);
    }

    /// The call to whom they wanted has come to something.
    async fn reached(&mut self, reached: Result<Reached, Unanswered>) {
        let Underway::Calling(calling) = std::mem::replace(&mut self.underway, Underway::Nothing) else { return };
        let after_ms = calling.began.elapsed().as_millis() as u64;
        let Reached { dialog: newcomer, standing, places } = match reached {
            Ok(reached) => reached,
            Err(unanswered) => {
                let status = unanswered.reported();
                let detail = json!({
                    "why": unanswered.result(),
                    "status": unanswered.status,
                    "phrase": unanswered.phrase,
                    "after_ms": after_ms,
                });
                self.told(calling.how, "failed", detail);
                return self.report(status).await;
            }
        };
        self.desk.change(newcomer.key());
        (self.standing, self.over) = (standing, places);
        self.told(calling.how, "answered", json!({ "status": 200, "after_ms": after_ms }));
        self.introduce();
        let Sitting::With(dialog, left) = &mut self.sitting else { return };
        let (before, is_gone) = (dialog.succeed(newcomer), left.take().is_some());
        if !is_gone {
            before.report_transfer(200).await.ok();
            before.hang_up().await.ok();
        }
    }

    /// Another call of theirs was to be put together with this one.
    async fn joined(&mut self, other: Option<Key>) {
        let Underway::Joining { link, began, .. } = std::mem::replace(&mut self.underway, Underway::Nothing) else {
            return;
        };
        let after_ms = began.elapsed().as_millis() as u64;
        match other {
            Some(call) => {
                self.told("attended", "joined", json!({ "call": call, "after_ms": after_ms }));
                self.report(200).await;
                self.sit_beside(link).await;
            }
            None => {
                self.told(
                    "attended",
                    "failed",
                    json!({ "why": "the other call is over, or busy", "after_ms": after_ms }),
                );
                self.report(480).await;
            }
        }
    }

    /// Whoever sits here wants to leave this call to their other one.
    async fn join(&mut self, Wish { leg, link, call, done }: Wish) {
        // Dropping `done` says no.
        if !self.underway.is_nothing() || self.dialog().is_none() {
            return;
        }
        let Ok(put_together) = leg.back_to_back(&self.leg) else { return };
        // Who has given up meanwhile speaks on as before.
        if done.send(self.notes.key()).is_err() {
            return;
        }
        put_together();
        self.notes.event("referred", json!({ "by": self.side, "how": "attended", "result": "joined", "call": call }));
        self.sit_beside(link).await;
    }

    /// The other call is here from now on, and whoever sat here is let go.
    async fn sit_beside(&mut self, link: Link) {
        self.introduce();
        self.over.clear();
        let reasons = self.reasons();
        if let Sitting::With(dialog, None) = std::mem::replace(&mut self.sitting, Sitting::Beside(link, reasons)) {
            dialog.hang_up().await.ok();
        }
    }
}
