//! A person takes a call over: from their browser they speak with the caller in the agent's place, until they give it back, or one of
//! the two is gone.
//!
//! ```text
//!  browser ── WebSocket ── Headset ── pipe ── leg ─┐
//!                                                bridge ─► two scribes ─► turns of the log, and what the model is told at last
//!  caller ───────────────────────────────── leg ───┘
//! ```
//! The caller's leg is the one that is recorded, and so both are. The agent's conversation waits meanwhile
//! ([`crate::agent::Suspended`]), and goes on where it was.

use std::{collections::VecDeque, time::Duration};

use milo_media::{Bridged, Cleaning, Control, L16, Leg, LegOptions, PIPED, Payloads, RtpSocket, Session, Side, bridge};
use milo_models::engine::{EngineError, Language};
use serde_json::json;
use tokio::{
    runtime::Handle,
    select,
    sync::oneshot,
    time::{Instant, sleep_until, timeout_at},
};

use super::{House, Record, TIME_UP, bridge::closed, notes::UNSAID, talk::patience, verbs::Line};
use crate::{
    agent::{Happened, News, Scribe, Speaker, Uttered},
    store::{NewTurn, Stages},
};

/// How long the last words of the two may take to be written down.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The longest turn that is written down as one.
const LONGEST_TURN: Duration = Duration::from_secs(20);
/// So many of the turns are told to the model, the newest; and as much of each, in characters.
const TOLD: usize = 6;
const TOLD_OF_EACH: usize = 120;

/// Somebody who is about to speak with a caller, as the call has them.
#[derive(Debug)]
pub struct Supervisor {
    leg: Leg,
    by: String,
    taken: oneshot::Sender<()>,
    back: oneshot::Receiver<()>,
}

/// The same, as whoever carries their sound has it. Dropped, they are gone, and the agent has the call again.
#[derive(Debug)]
pub struct Headset {
    /// What they say, and what they hear: L16.
    pub sound: Payloads,
    /// Resolves when they have the call; with an error, when they will not.
    pub taken: oneshot::Receiver<()>,
    back: Option<oneshot::Sender<()>>,
    control: Control,
}

impl Supervisor {
    /// Both ends of a line to somebody who is called so; its leg runs there.
    pub(super) fn new(by: &str, options: LegOptions, on: &Handle) -> (Self, Headset) {
        let (socket, pipe) = RtpSocket::piped();
        let leg = Leg::start(socket, Some(Session::new(PIPED, &L16)), options, on);
        let ((take, taken), (give, back)) = (oneshot::channel(), oneshot::channel());
        let (control, sound) = (leg.control.clone(), Payloads::new(pipe, &L16));
        (Self { leg, by: by.to_owned(), taken: take, back }, Headset { sound, taken, back: Some(give), control })
    }
}

impl Headset {
    /// They give the call back to the agent.
    pub fn give_back(&mut self) {
        if let Some(back) = self.back.take() {
            // Gone when the call is over.
            back.send(()).ok();
        }
        self.control.end();
    }
}

impl Drop for Headset {
    fn drop(&mut self) {
        self.control.end();
    }
}

/// Why somebody has the caller no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parted {
    CallerGone,
    SupervisorGone,
    TimeUp,
}

impl Line {
    /// Somebody speaks with the caller in the agent's place. Returns when they do no longer, whatever the reason.
    pub(super) async fn taken_over(
        &mut self,
        supervisor: Supervisor,
        (house, language): (&House, Language),
        log: &mut Record,
    ) {
        let Supervisor { leg: mut other, by, taken, mut back } = supervisor;
        let Some(mut ears) = self.ears.take() else { return };
        if taken.send(()).is_err() {
            // They did not wait until the agent had let go.
            self.ears = Some(ears);
            return;
        }
        let began = Instant::now();
        tracing::info!(call.id = %log.id(), by, "somebody takes a call over");
        log.event("taken_over", json!({ "by": by }));
        log.tell(|| Happened::Cleared);
        self.voice.flush();
        self.voice.resume();
        // Where the call is recorded, they hear of it first.
        select! {
            // One who leaves meanwhile has not refused to be recorded.
            biased;
            // The bridge hears it again.
            () = closed(&mut ears) => {}
            () = closed(&mut other.ears) => {}
            () = self.reel.introduce(other.voice.announcer(), house, language) => {}
        }
        let patience = patience(&house.conversation, None, LONGEST_TURN);
        // Whose words a persona has kept from servers are kept from them here too.
        let engines = house.engines.in_mode(log.notes().mode());
        let scribe = |control: &Control, cleaning| Scribe::new(control.overhear(), cleaning, &engines, patience);
        let mut caller = scribe(&self.control, self.cleaning);
        let mut person = scribe(&other.control, Cleaning::default());
        let own = Leg { ears, voice: std::mem::take(&mut self.voice), control: self.control.clone() };
        let mut joint = bridge(own, other, None);
        let mut told = Told::default();
        let parted = loop {
            select! {
                happened = joint.next() => match happened {
                    Bridged::Closed(Side::A, _) => break Parted::CallerGone,
                    Bridged::Closed(Side::B, _) => break Parted::SupervisorGone,
                    Bridged::Held(_) => log.event("held", json!({ "by": "caller" })),
                    Bridged::Resumed(_) => log.event("resumed", json!({ "by": "caller" })),
                    Bridged::Digit(_, key) => log.digit(key),
                },
                uttered = caller.next() => log.uttered((Speaker::Caller, &by), uttered, &mut told),
                uttered = person.next() => log.uttered((Speaker::Supervisor, &by), uttered, &mut told),
                () = sleep_until(self.until) => break Parted::TimeUp,
            }
        };
        self.reel.part();
        let (Leg { ears, voice, .. }, _) = joint.part();
        (self.ears, self.voice) = (Some(ears).filter(|_| parted != Parted::CallerGone), voice);
        self.voice.flush();
        let late = Instant::now() + LAST_WORDS;
        for (speaker, scribe) in [(Speaker::Caller, &mut caller), (Speaker::Supervisor, &mut person)] {
            if let Err(error) = scribe.finish() {
                log.uttered((speaker, &by), Err(error), &mut told);
            }
            while let Ok(Some(uttered)) = timeout_at(late, scribe.rest()).await {
                log.uttered((speaker, &by), uttered, &mut told);
            }
        }
        let why = match parted {
            Parted::CallerGone => return,
            Parted::TimeUp => TIME_UP,
            Parted::SupervisorGone if back.try_recv().is_ok() => "it was given back",
            Parted::SupervisorGone => "whoever had it is gone",
        };
        let lasted = began.elapsed();
        log.event("given_back", json!({ "by": by, "why": why, "after_ms": lasted.as_millis() as u64 }));
        log.news(News::TakenOver { lasted, said: told.0.into() });
    }
}

/// What the model is told of what the two have said; the oldest is forgotten first.
#[derive(Default)]
struct Told(VecDeque<(Speaker, String)>);

impl Told {
    fn add(&mut self, speaker: Speaker, words: &str) {
        if self.0.len() == TOLD {
            self.0.pop_front();
        }
        self.0.push_back((speaker, words.chars().take(TOLD_OF_EACH).collect()));
    }
}

impl Record {
    /// One of the two has said something: a turn of its own, in which nobody was answered.
    fn uttered(&mut self, (speaker, by): (Speaker, &str), uttered: Result<Uttered, EngineError>, told: &mut Told) {
        let Uttered { at, speech, transcript } = match uttered {
            Ok(uttered) => uttered,
            Err(error) => {
                tracing::warn!(call.id = %self.id(), %error, "not all was written down of a call that was taken over");
                return self.event("engine_failed", json!({ "error": error.to_string() }));
            }
        };
        // By the time that it is transcribed the secret may be over.
        let is_secret = speech.0.is_some_and(|began| self.notes().was_private_since(began));
        let (text, language) = (if is_secret { UNSAID.to_owned() } else { transcript.text }, transcript.language);
        told.add(speaker, self.masked(&text));
        let (heard, said, places) = match speaker {
            Speaker::Caller => {
                self.tell(|| Happened::Heard { text: text.clone(), language, is_partial: false });
                (Some(text), None, self.places(speech, None))
            }
            Speaker::Supervisor => {
                let (heard, interrupted) = (text.clone(), false);
                self.tell(|| Happened::Said { text: text.clone(), heard, interrupted, mode: None, total_ms: None });
                (None, Some(text), self.places((None, None), speech.0))
            }
        };
        let turn = NewTurn {
            at,
            heard,
            said_heard: said.clone(),
            said_by: said.is_some().then(|| by.to_owned()),
            heard_from: None,
            said_in: None,
            said,
            interrupted: false,
            confidence: transcript.confidence.map(f64::from),
            language: Some(language.code().into()),
            mode: None,
            stages: Stages::default(),
            recording_at_ms: places,
        };
        self.turn(language, turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_told_the_newest_and_not_all_of_it() {
        let mut told = Told::default();
        for turn in 0..=TOLD {
            told.add(Speaker::Caller, &format!("{turn} {}", "é".repeat(1_000)));
        }
        assert_eq!(told.0.len(), TOLD);
        assert!(told.0.iter().all(|(_, words)| words.chars().count() == TOLD_OF_EACH));
        assert!(told.0[0].1.starts_with("1 "), "the oldest is forgotten");
    }
}
