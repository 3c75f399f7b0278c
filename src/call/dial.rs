//! The verb `dial`: somebody else is called, and the two hear each other until one of them hangs up.

use std::{sync::Arc, time::Duration};

use milo_media::{Bridge, Bridged, Heard, Leg, Music, Side, bridge, tone::Signal};
use milo_models::engine::Language;
use milo_signaling::Dialog;
use serde_json::json;
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    House, Record,
    about::About,
    interpret::{Account, Interpreter, Wanted, failed},
    refer::Standing,
    ring::sounding,
    seat::Seat,
    unanswered::{Unanswered, Why},
    verbs::{Line, Waiting, heard},
};
use crate::{
    dialplan::{Dial, TrunkNames},
    trunk::{CallingAs, Emergency, Place, Trunk, Way, is_nobody},
};

/// How long a caller hears why nobody came to the telephone.
const EXPLAINED: Duration = Duration::from_secs(3);

/// Why a talk ended of which one side fell silent.
pub(super) const NO_PACKETS: &str = "no packets came any more from the one who was called";

/// Somebody who has answered, and over which trunk, with the call's place on it.
pub(super) type Up<'h> = ((Dialog, Leg), Option<(&'h Trunk, Place)>);

/// Why the other side and the caller did not come together.
pub(super) enum Failure {
    Unanswered(Unanswered),
    /// It was to an emergency number, which is not called; whether the caller has been told so.
    Emergency(bool),
    /// The caller did not wait.
    Gone,
}

impl Failure {
    /// What the caller hears; nothing when it is gone.
    fn signal(&self) -> Option<Signal> {
        match self {
            Self::Unanswered(Unanswered { why: Why::Busy | Why::NoAnswer | Why::NotRegistered, .. }) => {
                Some(Signal::Busy)
            }
            Self::Unanswered(_) | Self::Emergency(false) => Some(Signal::Congestion),
            Self::Emergency(true) | Self::Gone => None,
        }
    }

    /// Whether nothing was sent to anybody.
    fn is_unsent(&self) -> bool {
        matches!(self, Self::Unanswered(unanswered) if unanswered.is_unsent())
    }

    /// The words that came with the status.
    pub(super) fn phrase(&self) -> Option<&str> {
        match self {
            Self::Unanswered(unanswered) => unanswered.phrase.as_deref(),
            Self::Emergency(_) | Self::Gone => None,
        }
    }

    /// What the call's event says.
    pub(super) fn detail(&self) -> (&'static str, Option<u16>) {
        match self {
            Self::Unanswered(unanswered) => (unanswered.result(), unanswered.status),
            Self::Emergency(_) => ("an emergency number", None),
            Self::Gone => ("the caller was gone", None),
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Self {
        Self::Unanswered(unanswered)
    }
}

impl Line {
    /// Calls somebody; the caller hears it ring, then whoever answers. The plan goes on when that one hangs up or did not
    /// come to the telephone. Says what came of it.
    pub(super) async fn dial(
        &mut self,
        dial: &Dial,
        house: &House,
        language: Language,
        log: &mut Record,
    ) -> &'static str {
        let began = Instant::now();
        let number = dial.number();
        let outcome = match (house.trunks.emergency(&number), &dial.trunk) {
            (Some((number, emergency)), _) => self.emergency(emergency, dial, number, house, log).await,
            (None, Some(trunks)) => self.ring_over((dial, false), trunks, house, log).await,
            (None, None) => self.ring_address((dial, None), &number, house, log).await,
        };
        let took = began.elapsed().as_millis() as u64;
        match outcome {
            Ok((up, over)) => {
                let trunk = over.as_ref().map(|(trunk, _)| trunk.name());
                log.event("dialled", json!({ "result": "answered", "trunk": trunk, "after_ms": took }));
                let music = Waiting::of(&dial.music_files, &self.edition, house, log).await;
                let (dialog, leg) = up;
                let standing = standing(dial, over.as_ref().map(|(trunk, _)| *trunk));
                let mut seat = self.seat(
                    (dialog, &leg.control, leg.voice.announcer()),
                    ("called", standing),
                    (house, language),
                    log,
                );
                // Whoever helps hears the caller as they are.
                let interpret = dial.interpret.as_ref().filter(|_| house.trunks.emergency(&number).is_none());
                let cleaning = over.as_ref().map_or(house.cleaning, |(trunk, _)| trunk.cleaning());
                let interpret = interpret.map(|interpret| Wanted { interpret, other: "called", cleaning });
                over.into_iter().for_each(|(_, place)| seat.hold(place));
                self.join_up((seat, leg), (music, interpret), (house, language), log).await;
                "joined"
            }
            Err(failure) => {
                let (result, status) = failure.detail();
                let phrase = failure.phrase();
                log.event("dialled", json!({ "result": result, "status": status, "phrase": phrase, "after_ms": took }));
                if let Some(signal) = failure.signal() {
                    let frames = sounding(dial, signal).into_iter().flatten();
                    self.frames(frames, EXPLAINED).await;
                    self.voice.flush();
                }
                result
            }
        }
    }

    /// Joins the caller with somebody who has answered, with an interpreter between them where one is wanted, until one of the two
    /// hangs up.
    pub(super) async fn join_up(
        &mut self,
        (mut seat, mut leg): (Seat<'_>, Leg),
        between: (Waiting, Option<Wanted<'_>>),
        (house, language): (&House, Language),
        log: &mut Record,
    ) {
        let far = leg.control.clone();
        let ended = match self.prepare(&mut seat, &mut leg, (house, language), log).await {
            Ok(()) => self.talk_with(&mut seat, leg, between, house, log).await,
            Err(ended) => ended,
        };
        self.reel.part();
        log.reasons("called", &seat.reasons());
        seat.leave().await;
        let stats = far.stats();
        log.quality("called", &stats);
        log.event("parted", json!({ "why": ended, "received": stats.received, "lost": stats.lost }));
    }

    /// What is done in place of calling an emergency number as it is.
    async fn emergency<'h>(
        &mut self,
        emergency: &Emergency,
        dial: &Dial,
        number: &str,
        house: &'h House,
        log: &Record,
    ) -> Result<Up<'h>, Failure> {
        match emergency {
            Emergency::Refuse => Err(Failure::Emergency(false)),
            Emergency::Announce(file) => match house.sound(file.clone()).await {
                Ok(sound) => {
                    self.play(&sound, |_| ()).await;
                    Err(Failure::Emergency(true))
                }
                Err(error) => {
                    log.event("sound_failed", json!({ "error": error.to_string() }));
                    Err(Failure::Emergency(false))
                }
            },
            Emergency::Pass(trunks) => {
                let dial = Dial { to: number.to_owned(), from: None, privacy: false, ..dial.clone() };
                if is_nobody(&self.caller) {
                    // Whoever comes to help must be able to call back.
                    self.caller.clear();
                }
                self.ring_over((&dial, true), trunks, house, log).await
            }
        }
    }

    /// Calls an address, or an account. An address at a trunk's gateway is called over the trunk, and under its rules.
    pub(super) async fn ring_address<'h>(
        &mut self,
        (dial, music): (&Dial, Option<&Waiting>),
        number: &str,
        house: &'h House,
        log: &Record,
    ) -> Result<Up<'h>, Failure> {
        let way = About::way_to(dial, house, &log.notes()).await?;
        let Some(trunk) = way.as_ref().and_then(Way::trunk) else {
            return Ok((self.ring_at((dial, music), way, house, log).await?, None));
        };
        let from = dial.says().map_or(CallingAs::Trunk, CallingAs::Plan);
        self.about().may_call(number, house)?;
        let mut place = trunk.admit(number, from).map_err(Unanswered::from)?;
        match self.ring_at((dial, music), way, house, log).await {
            Ok(up) => {
                place.answered();
                Ok((up, Some((trunk, place))))
            }
            Err(failure) => {
                if failure.is_unsent() {
                    place.unused();
                }
                Err(failure)
            }
        }
    }

    /// Calls over the first of these trunks that gets through; gives it and the call's place on it. For help, no limit counts.
    async fn ring_over<'h>(
        &mut self,
        (dial, for_help): (&Dial, bool),
        trunks: &TrunkNames,
        house: &'h House,
        log: &Record,
    ) -> Result<Up<'h>, Failure> {
        let from = dial.says().map_or(CallingAs::Trunk, CallingAs::Plan);
        if !for_help {
            self.about().may_call(&dial.to, house)?;
        }
        let mut last = Unanswered::not_placed();
        for trunk in trunks.names().iter().filter_map(|name| house.trunks.named(name)) {
            let began = Instant::now();
            let admitted = if for_help { trunk.admit_emergency() } else { trunk.admit(&dial.to, from) };
            last = match admitted {
                Err(denied) => denied.into(),
                Ok(mut place) => match self.ring_at((dial, None), Some(Way::Over(trunk)), house, log).await {
                    Ok(up) => {
                        place.answered();
                        return Ok((up, Some((trunk, place))));
                    }
                    Err(Failure::Unanswered(unanswered)) => {
                        if unanswered.is_unsent() {
                            place.unused();
                        }
                        unanswered
                    }
                    Err(gone) => return Err(gone),
                },
            };
            if trunks.names().len() > 1 {
                log.event("tried", last.tried(trunk.name(), began.elapsed()));
            }
            if !last.elsewhere || Instant::now() >= self.until {
                break;
            }
        }
        Err(last.into())
    }

    /// Who is called hears that the call is recorded, if it is, before the caller hears it. Fails when there is nobody to be
    /// joined any more; says who is gone.
    async fn prepare(
        &mut self,
        seat: &mut Seat<'_>,
        leg: &mut Leg,
        (house, language): (&House, Language),
        log: &Record,
    ) -> Result<(), String> {
        let Self { ears, until, reel, .. } = self;
        let called = leg.voice.announcer();
        // What is said meanwhile is heard by nobody; a key may be for the recording.
        let waiting = async {
            while let Some(heard) = heard(ears, *until).await {
                if let Heard::Digit(key) = heard {
                    log.pressed(key);
                }
            }
        };
        let silent = async { while !matches!(leg.ears.next().await, Heard::Closed(_)) {} };
        select! {
            () = reel.introduce(called, house, language) => Ok(()),
            reason = seat.follow() => Err(format!("the one who was called: {reason}")),
            () = silent => Err(NO_PACKETS.into()),
            () = waiting => Err(if ears.is_none() { "the caller hung up".into() } else { super::TIME_UP.into() }),
        }
    }

    /// The two hear each other until one hangs up; says who it was. Whom the other puts on hold hears the music.
    async fn talk_with(
        &mut self,
        seat: &mut Seat<'_>,
        leg: Leg,
        (music, interpret): (Waiting, Option<Wanted<'_>>),
        house: &House,
        log: &Record,
    ) -> String {
        let Some(ears) = self.ears.take() else { return "the caller was gone".into() };
        let (voice, control) = (std::mem::take(&mut self.voice), self.control.clone());
        let announcers = [voice.announcer(), leg.voice.announcer()];
        let mut joined = bridge(Leg { ears, voice, control }, leg, None);
        joined.music(Music::new(move || music.frames()));
        let edition = Arc::clone(&self.edition);
        let account = Account { log, others: None };
        let mut interpreter = interpret.map(|wanted| {
            Interpreter::begin((&mut joined, announcers), wanted, self.cleaning, (house, &edition), account)
        });
        let ended = loop {
            select! {
                side = closed(&mut joined, log) => break match side {
                    Side::A => "the caller hung up".to_owned(),
                    Side::B => NO_PACKETS.to_owned(),
                },
                reason = seat.follow() => break format!("the one who was called: {reason}"),
                () = sleep_until(self.until) => break super::TIME_UP.to_owned(),
                () = failed(&mut interpreter, log) => joined.alone(),
            }
        };
        drop(interpreter);
        let (Leg { ears, voice, .. }, _far) = joined.part();
        // A leg that has closed says so again to whoever listens next.
        (self.ears, self.voice) = (Some(ears), voice);
        ended
    }
}

/// Carries the talk until one of the legs has closed. Keys are for the other party, and for the recording.
async fn closed(joined: &mut Bridge, log: &Record) -> Side {
    let who = |side| if side == Side::A { "caller" } else { "called" };
    loop {
        match joined.next().await {
            Bridged::Closed(side, _) => return side,
            Bridged::Held(side) => log.event("held", json!({ "by": who(side) })),
            Bridged::Resumed(side) => log.event("resumed", json!({ "by": who(side) })),
            Bridged::Digit(_, key) => log.pressed(key),
        }
    }
}

/// What somebody may have Milo do who was called so.
pub(super) fn standing(dial: &Dial, trunk: Option<&Trunk>) -> Standing {
    match (trunk, &dial.account) {
        (Some(trunk), _) => Standing::over(trunk),
        (None, Some(account)) => Standing::Account(account.clone()),
        (None, None) => Standing::Called,
    }
}
