//! The verb `bridge`: this caller takes one who waits in a `queue` or on `hold`, and the two hear each other.
//!
//! The leg of the one who waits is lent, and comes back when the two part, however that comes about: both calls go on with their
//! own plans.

use std::{sync::Arc, time::Duration};

use milo_media::{Bridge as Joint, Bridged, Cleaning, Heard, Leg, Side, bridge};
use milo_models::engine::Language;
use serde_json::json;
use tokio::{
    select,
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};

use super::{
    House, Record, Reel, TIME_UP,
    dial::NO_PACKETS,
    interpret::{Account, Interpreter, Wanted, failed},
    notes::Notes,
    verbs::{Line, Waiting, heard},
    waiting::{Taker, Whom},
};
use crate::{
    dialplan::{Bridge, Interpret},
    store::Key,
};

/// How long it may take until one who waits comes: it may be placing a call just then.
const COMING: Duration = Duration::from_secs(8);

/// What the log calls the one who waits.
const WAITING: &str = "waiting";

/// A leg that is lent.
pub(super) struct Lent {
    leg: Leg,
    /// What is done to its sound before it is listened to.
    cleaning: Cleaning,
    reel: Reel,
    /// Its own call's.
    notes: Notes,
    back: oneshot::Sender<Returned>,
    /// Resolves when the lender wants it back, or is gone.
    enough: oneshot::Receiver<()>,
}

/// A leg that comes back, and why.
struct Returned {
    leg: Leg,
    why: String,
}

/// Two calls, joined; dropped, they part, and the lent leg goes back.
struct Joined {
    joint: Option<(Joint, oneshot::Sender<Returned>)>,
}

impl Joined {
    /// Parts them; gives the taker's own leg.
    fn part(&mut self, why: &str) -> Option<Leg> {
        let (joint, back) = self.joint.take()?;
        let (own, leg) = joint.part();
        // Gone when its call is over.
        back.send(Returned { leg, why: why.into() }).ok();
        Some(own)
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.part("the call that took it is over");
    }
}

impl Line {
    /// Takes one who waits, and joins the two until one of them goes. Says whether somebody was there.
    pub(super) async fn bridge(
        &mut self,
        wanted: &Bridge,
        (house, language): (&House, Language),
        log: &mut Record,
    ) -> bool {
        let began = Instant::now();
        let music = Waiting::of(&wanted.files, &self.edition, house, log).await;
        let late = self.until.min(began + Duration::from_secs(wanted.seconds));
        let found = self.find(wanted, music, late, house, log).await;
        let after_ms = began.elapsed().as_millis() as u64;
        self.voice.flush();
        let Some((call, lent)) = found else {
            log.event("bridged", json!({ "result": "nobody", "after_ms": after_ms }));
            return false;
        };
        log.event("bridged", json!({ "result": "joined", "call": call, "after_ms": after_ms }));
        let why = self.talk_as_one(lent, wanted.interpret.as_ref(), (house, language), log).await;
        log.event("parted", json!({ "why": why }));
        true
    }

    /// Waits until somebody can be taken.
    async fn find(
        &mut self,
        wanted: &Bridge,
        music: Waiting,
        late: Instant,
        house: &House,
        log: &Record,
    ) -> Option<(Key, Lent)> {
        let whom = match (&wanted.queue, &wanted.call) {
            (Some(line), _) => Whom::First(line),
            // What is no identifier is nobody's.
            (None, call) => Whom::Call(call.as_deref()?.parse().ok()?),
        };
        let mut moved = house.waiters.moved();
        let mut frames = music.frames();
        let mut next = frames.next();
        loop {
            while let Some((call, offer)) = house.waiters.take(whom) {
                let (taker, lent) = oneshot::channel();
                if offer.send(taker).is_ok()
                    && let Ok(Ok(lent)) = timeout(COMING, lent).await
                {
                    return Some((call, lent));
                }
            }
            let Self { ears, voice, .. } = self;
            let speaking = async {
                if let Some(frame) = next {
                    voice.play(frame).await;
                }
            };
            select! {
                () = speaking => next = frames.next(),
                heard = heard(ears, late) => match heard {
                    Some(Heard::Digit(key)) => log.digit(key),
                    Some(_) => {}
                    None => return None,
                },
                // The sender is in the house.
                _ = moved.changed() => {}
            }
        }
    }

    /// The two hear each other, through an interpreter where one is wanted, until one goes; says who it was.
    async fn talk_as_one(
        &mut self,
        lent: Lent,
        interpret: Option<&Interpret>,
        (house, language): (&House, Language),
        log: &Record,
    ) -> String {
        let Lent { leg: mut other, cleaning, reel, notes, back, mut enough } = lent;
        let Some(mut ears) = self.ears.take() else {
            back.send(Returned { leg: other, why: "the call that took it is over".into() }).ok();
            return "the caller was gone".into();
        };
        // Whoever is recorded, both know of it before they hear each other.
        let introducing = async {
            tokio::join!(
                self.reel.introduce(other.voice.announcer(), house, language),
                reel.introduce(self.voice.announcer(), house, language)
            )
        };
        select! {
            _ = introducing => {}
            // The bridge hears it again.
            () = closed(&mut ears) => {}
            () = closed(&mut other.ears) => {}
        }
        let own = Leg { ears, voice: std::mem::take(&mut self.voice), control: self.control.clone() };
        let announcers = [own.voice.announcer(), other.voice.announcer()];
        let mut joined = Joined { joint: Some((bridge(own, other, None), back)) };
        let edition = Arc::clone(&self.edition);
        let mut interpreter = joined.joint.as_mut().zip(interpret).map(|((joint, _), interpret)| {
            let (wanted, account) =
                (Wanted { interpret, other: WAITING, cleaning }, Account { log, others: Some(&notes) });
            Interpreter::begin((joint, announcers), wanted, self.cleaning, (house, &edition), account)
        });
        let why = loop {
            let Some((joint, _)) = &mut joined.joint else { break NO_PACKETS };
            select! {
                happened = joint.next() => match happened {
                    Bridged::Closed(Side::A, _) => break "the one who took the call hung up",
                    Bridged::Closed(Side::B, _) => break "the one who waited hung up",
                    Bridged::Held(side) => log.event("held", json!({ "by": who(side) })),
                    Bridged::Resumed(side) => log.event("resumed", json!({ "by": who(side) })),
                    Bridged::Digit(Side::A, key) => log.pressed(key),
                    Bridged::Digit(Side::B, key) => reel.pressed(key),
                },
                () = failed(&mut interpreter, log) => joint.alone(),
                // The lender's time is up, or it is gone.
                _ = &mut enough => break TIME_UP,
                () = sleep_until(self.until) => break TIME_UP,
            }
        };
        drop(interpreter);
        self.reel.part();
        reel.part();
        if let Some(Leg { ears, voice, .. }) = joined.part(why) {
            // A leg that has closed says so again to whoever listens next.
            (self.ears, self.voice) = (Some(ears), voice);
        }
        why.into()
    }

    /// Lends this caller's leg to whoever takes it, until it comes back. False: they were gone already, and the caller waits on.
    pub(super) async fn lend(&mut self, taker: Taker, log: &Record) -> bool {
        let Some(ears) = self.ears.take() else { return true };
        let began = Instant::now();
        self.voice.flush();
        let leg = Leg { ears, voice: std::mem::take(&mut self.voice), control: self.control.clone() };
        let (back, mut returned) = oneshot::channel();
        let (want, enough) = oneshot::channel();
        let (cleaning, reel, notes) = (self.cleaning, self.reel.clone(), log.notes());
        if let Err(Lent { leg, .. }) = taker.send(Lent { leg, cleaning, reel, notes, back, enough }) {
            self.keep(leg);
            return false;
        }
        log.event("taken", json!({}));
        let returned = select! {
            returned = &mut returned => returned,
            () = sleep_until(self.until) => {
                want.send(()).ok();
                returned.await
            }
        };
        let why = match returned {
            Ok(Returned { leg, why }) => {
                self.keep(leg);
                why
            }
            // Whoever had it was cut off with it.
            Err(_) => "the call that took it is over".into(),
        };
        log.event("parted", json!({ "why": why, "after_ms": began.elapsed().as_millis() as u64 }));
        true
    }

    fn keep(&mut self, Leg { ears, voice, .. }: Leg) {
        (self.ears, self.voice) = (Some(ears), voice);
    }
}

/// Resolves when a leg has closed; what is said meanwhile is of no interest.
pub(super) async fn closed(ears: &mut milo_media::Ears) {
    while !matches!(ears.next().await, Heard::Closed(_)) {}
}

fn who(side: Side) -> &'static str {
    if side == Side::A { "caller" } else { WAITING }
}
