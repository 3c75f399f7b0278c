//! The verb `converse` where it asks who has answered: the agent talks at once, as with a person, and what it hears
//! tells the rest.
//!
//! ```text
//!  talk ──── a person ───────────────────────────────────► talk goes on
//!    ▲ └──── a machine ─► silence ─► beep ─► message, whole ─► over
//!    └────────────────── it was a person ◄─┘
//! ```

use std::{future::pending, sync::Arc, time::Duration};

use milo_media::{Voice, tone::LineTone};
use milo_models::{engine::Language, synthesizer::Synthesizer};
use serde_json::json;
use tokio::{
    select,
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};

use super::{House, Record, notes::Notes, talk::How, verbs::Line};
use crate::{
    agent::{Answerer, Cue, Detector, Ear, Ending, Notice, Noticed, Overhearing, Verdict, announce},
    dialplan::{ANSWERED_BY, Detect, OnMachine, Prompt, Variables, Wordings},
    error::Error,
};

/// A machine's greeting is waited for as long as this, and then the call ends.
const GREETING: Duration = Duration::from_secs(90);
/// So long the line stays up behind a message: its last word is heard later than it leaves here.
const BEHIND: Duration = Duration::from_millis(600);

/// What tells who has answered, from one conversation of a call to the next.
pub(super) struct Watch {
    /// With the ear while it listens.
    pub(super) detector: Option<Box<Detector>>,
    notices: mpsc::Receiver<Notice>,
    /// Somebody was told who it is.
    is_told: bool,
}

impl Watch {
    fn new(wordings: Arc<Wordings>, early: Option<LineTone>) -> Self {
        let (detector, notices) = Detector::new(wordings, early);
        Self { detector: Some(Box::new(detector)), notices, is_told: false }
    }

    /// Whether it is not known for sure yet who it is.
    pub(super) fn doubts(&self) -> bool {
        self.detector.as_ref().is_some_and(|detector| !detector.is_settled())
    }

    /// Writes down who it is, until it is somebody whom nobody talks with. Cancel safe.
    pub(super) async fn follow(&mut self, detect: &Detect, notes: &Notes) -> Answerer {
        while let Some(notice) = self.notices.recv().await {
            let Notice::Answered(verdict) = notice else { continue };
            self.is_told = true;
            told(&verdict, notes);
            match verdict.who {
                Answerer::Person | Answerer::Unknown => {}
                Answerer::Ivr if detect.ivr.is_none() => {}
                who => return who,
            }
        }
        pending().await
    }

    /// A conversation is over in which nobody was told.
    fn over(&mut self, notes: &Notes) {
        let listened = self.detector.as_ref().map(|detector| detector.listened()).unwrap_or_default();
        if !self.is_told {
            let why = "nothing has told it".into();
            self.is_told = true;
            told(&Verdict { who: Answerer::Unknown, why, after: listened }, notes);
        }
    }

    /// Who it is, where the conversation is over.
    fn who(&self) -> Answerer {
        self.detector.as_ref().map_or(Answerer::Unknown, |detector| detector.who())
    }
}

/// Writes down who it is.
fn told(Verdict { who, why, after }: &Verdict, notes: &Notes) {
    tracing::info!(call.id = %notes.key(), who = who.as_str(), "it is known who has answered");
    notes.event("answered_by", json!({ "who": who.as_str(), "why": why, "after_ms": after.as_millis() as u64 }));
}

/// What the verb came to.
pub(super) enum Talked {
    Ended(Ending),
    /// Another plan goes on.
    GoOn(String),
    /// The call ends, for this reason.
    Over(&'static str),
}

/// What came of a message.
enum Left {
    Spoken,
    /// It is somebody else after all.
    Answered(Answerer),
    /// It was not spoken, for this reason.
    Unspoken(&'static str),
    Closed,
}

impl Line {
    /// The verb `converse`.
    pub(super) async fn converse(
        &mut self,
        house: &House,
        how: How<'_>,
        (plan, variables): (&str, &mut Variables),
        language: Language,
        log: &mut Record,
    ) -> Result<Talked, Error> {
        let Some(detect) = how.detect else {
            let (ending, _) = self.talk(house, how, (plan, variables), language, log).await?;
            return Ok(Talked::Ended(ending));
        };
        if self.watch.is_none() {
            self.watch = Some(Watch::new(self.edition.dialplans.wordings(), self.early.take()));
        }
        loop {
            let (mut ending, mut ear) = self.talk(house, how, (plan, &mut *variables), language, log).await?;
            if let (Ending::Answered(Answerer::Machine), Some(message), Some(ear)) = (ending, &detect.message, &mut ear)
            {
                match self.leave(message, ear, (house, language), log).await {
                    Left::Spoken => {
                        variables.set(ANSWERED_BY, Answerer::Machine.as_str().into());
                        return Ok(Talked::Over("a message was left"));
                    }
                    Left::Answered(who) => ending = Ending::Answered(who),
                    Left::Unspoken(why) => return Ok(Talked::Over(why)),
                    Left::Closed => ending = Ending::Lost,
                }
            }
            self.listen_on(ear);
            let who = match ending {
                Ending::Answered(who) => who,
                _ => self.watch.as_ref().map_or(Answerer::Unknown, Watch::who),
            };
            variables.set(ANSWERED_BY, who.as_str().into());
            let Ending::Answered(who) = ending else {
                let notes = log.notes();
                self.watch
                    .iter_mut()
                    .filter(|_| !matches!(ending, Ending::Tool | Ending::TakenOver))
                    .for_each(|watch| watch.over(&notes));
                return Ok(Talked::Ended(ending));
            };
            let plan = match (who, detect.machine) {
                (Answerer::Ivr, _) => detect.ivr.as_ref(),
                (Answerer::Machine, OnMachine::Plan) => detect.plan.as_ref(),
                _ => None,
            };
            match plan {
                Some(plan) => return Ok(Talked::GoOn(plan.clone())),
                // They were waited for as a machine, and are talked with.
                None if matches!(who, Answerer::Person | Answerer::Ivr) => {}
                None => return Ok(Talked::Ended(ending)),
            }
        }
    }

    /// The line has its ears back where somebody else than a person has ended a conversation.
    fn listen_on(&mut self, ear: Option<Ear>) {
        let Some(ear) = ear else { return };
        let (ears, detector) = ear.into_parts();
        self.watch.iter_mut().zip(detector).for_each(|(watch, detector)| watch.detector = Some(detector));
        self.ears = Some(ears);
    }

    /// Waits for a machine's beep, or for the end of its greeting, and leaves a message.
    async fn leave(
        &mut self,
        message: &Prompt,
        ear: &mut Ear,
        (house, language): (&House, Language),
        log: &Record,
    ) -> Left {
        let speaker = log.notes().speaker().0;
        let persona = speaker.and_then(|name| self.edition.dialplans.persona(&name));
        let by = house.engines_of(persona).voice;
        let Some(watch) = &mut self.watch else { return Left::Closed };
        let (said, sound) = match message {
            Prompt::Say(words) => (log.words(words).to_owned(), None),
            Prompt::Play(file) => match house.sound(self.edition.dialplans.sound(file)).await {
                Ok(sound) => (file.clone(), Some(sound)),
                Err(error) => {
                    log.event("sound_failed", json!({ "error": error.to_string() }));
                    return Left::Unspoken("the message that is to be left cannot be played");
                }
            },
        };
        let mut overhearing = Overhearing::default();
        let (notes, began) = (log.notes(), Instant::now());
        let late = self.until.min(began + GREETING);
        let mut opened: Option<Cue> = None;
        let left = loop {
            let speaking = speak(opened, message, sound.as_deref(), (&by, language), &mut self.voice);
            select! {
                biased;
                Some(notice) = watch.notices.recv() => match notice {
                    // From its beginning, also where some of it was spoken already.
                    Notice::Speak(cue) => opened = Some(cue),
                    Notice::Wait => opened = None,
                    Notice::Answered(verdict) => {
                        watch.is_told = true;
                        told(&verdict, &notes);
                        break Left::Answered(verdict.who);
                    }
                },
                () = closed(ear, &mut overhearing, house, log) => break Left::Closed,
                spoken = speaking => match spoken {
                    Ok(()) => break Left::Spoken,
                    Err(error) => {
                        log.event("engine_failed", json!({ "error": error.to_string() }));
                        break Left::Unspoken("the message that is to be left cannot be spoken");
                    }
                },
                () = sleep_until(late), if opened.is_none() => {
                    break Left::Unspoken("a machine answered whose greeting has no end");
                }
                () = sleep_until(self.until) => break Left::Unspoken(super::TIME_UP),
            }
            // Nobody has heard it.
            self.voice.flush();
        };
        self.voice.flush();
        if let Some(cue) = opened {
            let (is_whole, after_ms) = (matches!(left, Left::Spoken), began.elapsed().as_millis() as u64);
            let detail = json!({ "behind": cue.as_str(), "said": said, "whole": is_whole, "after_ms": after_ms });
            log.event("message_left", detail);
        }
        if matches!(left, Left::Spoken) {
            sleep(BEHIND).await;
        }
        left
    }
}

/// Speaks the message once its time has come.
async fn speak(
    opened: Option<Cue>,
    message: &Prompt,
    sound: Option<&[i16]>,
    (by, language): (&Arc<dyn Synthesizer>, Language),
    voice: &mut Voice,
) -> Result<(), Error> {
    match (opened, message, sound) {
        (None, ..) => pending().await,
        (Some(_), _, Some(sound)) => {
            voice.play_all(sound).await;
            voice.drained().await;
        }
        (Some(_), Prompt::Say(words), None) => announce(words, language, by, voice).await?,
        // Its sound was read before.
        (Some(_), Prompt::Play(_), None) => {}
    }
    Ok(())
}

/// Listens until the leg has closed; what is said meanwhile tells who it is. Cancel safe.
async fn closed(ear: &mut Ear, overhearing: &mut Overhearing, house: &House, log: &Record) {
    let engines = house.engines.in_mode(log.notes().mode());
    loop {
        match overhearing.next(ear, &engines).await {
            Noticed::Closed(_) => return,
            Noticed::Digit(key) => log.digit(key),
            Noticed::Deaf(error) => log.event("deaf", json!({ "error": error.to_string() })),
            Noticed::Turn(_) | Noticed::Held | Noticed::Resumed => {}
        }
    }
}

/// Why a call ends that no person has answered.
pub(super) fn reason(who: Answerer) -> &'static str {
    match who {
        Answerer::Machine => "a machine answered",
        Answerer::Ivr => "a menu of keys answered",
        Answerer::Fax => "a fax answered",
        Answerer::Network => "the network answered, and nobody else",
        Answerer::Person | Answerer::Unknown => "nobody answered who can be talked with",
    }
}
