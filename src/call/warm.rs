//! The verb `transfer` with `mode = "warm"`: whoever was called hears of the call, and is asked whether they take it.
//!
//! ```text
//!  caller ── music ──┐                        ┌─ 1, "eny", "oui" ─► as attended
//!                    Milo ── summary, asks ──►┤
//!                                             └─ 2, "tsia", "non", silence, hangs up ─► the plan goes on
//! ```

use std::time::Duration;

use milo_media::{Cleaning, Ears, Heard, Leg};
use milo_models::{engine::Language, text::heard};
use serde_json::json;
use tokio::{select, time::Instant};

use super::{
    House, Record,
    attend::{CALLER_GONE, HUNG_UP, Waited},
    brief::Brief,
    seat::Seat,
    talk::patience,
    verbs::{Line, Waiting},
};
use crate::{
    agent::{Answer, Asked, Ear, Question, announce},
    dialplan::Transfer,
    trunk::is_nobody,
};

/// How often the person is asked at most, and how often they may be silent.
const ASKED: usize = 3;
const SILENT: usize = 2;
/// How long their first word may take, and how long they may speak.
const FIRST: Duration = Duration::from_secs(6);
const LONGEST_ANSWER: Duration = Duration::from_secs(8);

/// The keys that take the call and refuse it.
const TAKES: char = '1';
const REFUSES: char = '2';

/// What the plan is told where they do not take it, and where they could not be asked.
const DECLINED: &str = "declined";
const FAILED: &str = "failed";

/// What came of asking.
enum Verdict {
    /// By `key` or by `word`.
    Taken(&'static str, Leg),
    Declined,
    /// An engine failed as they were last asked.
    Failed,
    HungUp,
}

/// A person is told of a call, and asked.
struct Offer<'a> {
    brief: Brief,
    house: &'a House,
    log: &'a Record,
    /// What is done to their sound before it is listened to.
    cleaning: Cleaning,
    /// When the call ends at the latest.
    until: Instant,
    /// Since when they are called.
    began: Instant,
    /// What they were told, and how often they were asked.
    summary: Option<String>,
    asked: usize,
}

impl Line {
    /// What whoever is called is told of this call.
    pub(super) fn brief(&self, transfer: &Transfer, (house, language): (&House, Language), log: &Record) -> Brief {
        // Of a call that Milo has placed, the caller is Milo.
        let may_know = self.came.is_some() && !transfer.privacy && !self.caller.is_empty() && !is_nobody(&self.caller);
        let language = transfer.language.or(log.language()).unwrap_or(language);
        Brief::begin(house, log, may_know.then(|| self.caller.clone()), language)
    }

    /// Tells whoever was called of the call, and asks whether they take it, while the caller hears music. Their leg where they do;
    /// else what the plan is told.
    pub(super) async fn offer(
        &mut self,
        (brief, began): (Brief, Instant),
        (seat, leg): (&mut Seat<'_>, Leg),
        music: &Waiting,
        (house, cleaning): (&House, Cleaning),
        log: &Record,
    ) -> Result<Leg, &'static str> {
        let (language, until) = (brief.language(), self.until);
        let mut offer = Offer { brief, house, log, cleaning, until, began, summary: None, asked: 0 };
        let waited = select! {
            waited = self.while_it_plays(music, offer.make(leg)) => waited,
            reason = seat.follow() => Waited::CalledGone(reason),
        };
        let (by, came) = match waited {
            Waited::Done(Verdict::Taken(by, leg)) => (Some(by), Ok(leg)),
            Waited::Done(Verdict::Declined) => (None, Err(DECLINED)),
            Waited::Done(Verdict::Failed) => (None, Err(FAILED)),
            Waited::Done(Verdict::HungUp) | Waited::CalledGone(_) => (None, Err(HUNG_UP)),
            Waited::CallerGone => (None, Err(CALLER_GONE)),
        };
        let detail = json!({
            "summary": offer.summary.as_deref().map(|summary| log.words(summary)),
            "language": language,
            "asked": offer.asked,
            "accepted": by,
            "after_ms": began.elapsed().as_millis() as u64,
        });
        log.event("handover", detail);
        came
    }
}

impl Offer<'_> {
    /// The summary, and then the question.
    async fn make(&mut self, leg: Leg) -> Verdict {
        let Leg { mut ears, mut voice, control } = leg;
        let ready = select! {
            ready = self.brief.ready() => ready,
            () = closed(&mut ears) => return Verdict::HungUp,
        };
        let summary = self.told(ready);
        let language = self.brief.language();
        // What a persona has kept from servers is not spoken by one either.
        let engines = self.house.engines.in_mode(self.log.notes().mode()).into_owned();
        let telling = announce(&summary, language, &engines.voice, &mut voice);
        // Who has heard enough may press at once; what they say now is mostly to the telephone: "allô".
        let pressed = select! {
            told = telling => {
                told.unwrap_or_else(|error| self.failed(&error.to_string()));
                None
            }
            pressed = key(&mut ears) => Some(pressed),
        };
        voice.flush();
        match pressed {
            Some(Some(true)) => return Verdict::Taken("key", Leg { ears, voice, control }),
            Some(Some(false)) => return Verdict::Declined,
            Some(None) => return Verdict::HungUp,
            None => {}
        }
        let engines = &engines;
        let patience = patience(&self.house.conversation, None, LONGEST_ANSWER);
        let ear = Ear::new(ears, self.cleaning, engines.activity.stream(), patience);
        let mut ear = ear.judged_by(engines.end_of_turn.clone());
        // One of our own people waits for a moment without being told so.
        let (expects, until, wait) = (None, self.until, Default::default());
        let question = Question { engines, language, expects, first: FIRST, takes_keys: true, until, wait };
        let (asked, mut silent, mut has_failed) = ([Asked::Words(sentence(language).into())], 0, false);
        while self.asked < ASKED && silent < SILENT {
            self.asked += 1;
            let answer = question.ask(&asked, &mut ear, &mut voice, |_| ()).await;
            has_failed = matches!(answer, Answer::Failed(_));
            let taken = match answer {
                Answer::Key(TAKES) => Some(("key", true)),
                Answer::Key(REFUSES) => Some(("key", false)),
                Answer::Words(transcript) => heard::yes(&transcript.text).map(|is_yes| ("word", is_yes)),
                Answer::Key(_) => None,
                Answer::Silence => {
                    silent += 1;
                    None
                }
                Answer::Failed(error) => {
                    self.failed(&error.to_string());
                    None
                }
                Answer::TimeUp => break,
                Answer::Closed => return Verdict::HungUp,
            };
            match taken {
                Some((by, true)) => return Verdict::Taken(by, Leg { ears: ear.into_ears(), voice, control }),
                Some((_, false)) => return Verdict::Declined,
                None => {}
            }
        }
        if has_failed { Verdict::Failed } else { Verdict::Declined }
    }

    /// They are about to hear this: whoever is told of transfers may show it to them.
    fn told(&mut self, (summary, fault): (String, Option<String>)) -> String {
        fault.iter().for_each(|why| self.failed(why));
        let Self { log, began, .. } = self;
        let notes = log.notes();
        let after_ms = began.elapsed().as_millis() as u64;
        let detail = json!({ "by": "warm", "result": "asked", "status": null, "after_ms": after_ms });
        // The log has both elsewhere, where it has words at all.
        let transcript = self.brief.transcript().filter(|_| notes.log.keeps_words());
        let more = json!({ "summary": notes.words(&summary), "transcript": transcript });
        notes.event_and("transferred", detail, more);
        self.summary = Some(summary.clone());
        summary
    }

    fn failed(&self, why: &str) {
        tracing::warn!(call.id = %self.log.id(), error = why, "an engine failed as a call was handed over");
        self.log.event("engine_failed", json!({ "error": why }));
    }
}

/// Whether a key takes the call, or refuses it; none: the leg has closed.
async fn key(ears: &mut Ears) -> Option<bool> {
    loop {
        match ears.next().await {
            Heard::Digit(TAKES) => return Some(true),
            Heard::Digit(REFUSES) => return Some(false),
            Heard::Closed(_) => return None,
            _ => {}
        }
    }
}

async fn closed(ears: &mut Ears) {
    while !matches!(ears.next().await, Heard::Closed(_)) {}
}

/// What the person is asked.
fn sentence(language: Language) -> &'static str {
    match language {
        Language::Fr => "Appuyez sur 1 ou dites oui pour prendre l'appel, sur 2 ou dites non pour le refuser.",
        Language::Mg => {
            "Tsindrio 1 na lazao hoe eny raha raisinao ny antso, tsindrio 2 na lazao hoe tsia raha tsy raisinao."
        }
    }
}
