//! What a conversation writes into the call's record, and what it tells the model of it.

use milo_media::{Closed, Voice};
use milo_models::{engine::EngineError, transcriber::Transcript};
use serde_json::{Value, json};

use super::{
    Audience, Conversation, Happened, Said,
    begun::Heard,
    budget,
    mouth::{Mouth, Spoken},
    news::News,
    step::Marks,
    tongues::Tongues,
};
use crate::{
    engines::Mode,
    store::{NewTurn, Stages, Stamp},
};

impl Conversation<'_> {
    /// What was said, after what the model does not know yet of the call.
    pub(super) fn news(&mut self, said: &str) -> String {
        let mut news = self.record.take_news();
        news.extend(self.tools.news());
        let sentences: Vec<_> = news.iter().map(|news| news.sentence(self.language)).collect();
        if sentences.is_empty() {
            return said.to_owned();
        }
        let sentences = sentences.join(" ");
        self.record.event("told_model", json!({ "text": self.record.words(&sentences) }));
        format!("({sentences})\n{said}")
    }

    /// What a pause of the caller sounded like, what the words before it said, and whether they went on after it.
    pub(super) fn paused(&self, judgement: Option<Result<f32, EngineError>>, is_over: Option<bool>, went_on: bool) {
        let sounds_finished = judgement.and_then(|judgement| {
            judgement
                .inspect_err(|error| {
                    tracing::debug!(call.id = %self.record.id(), %error, "a pause was not judged by its sound");
                })
                .ok()
        });
        if sounds_finished.is_some() || is_over.is_some() {
            let detail = json!({ "sounds_finished": sounds_finished, "words_finished": is_over, "went_on": went_on });
            self.record.event("paused", detail);
        }
    }

    pub(super) fn held(&mut self) {
        self.meanwhile.held.get_or_insert_with(tokio::time::Instant::now);
        self.record.event("held", Value::Null);
    }

    pub(super) fn resumed(&mut self) {
        let long = self.meanwhile.held.take().map(|since| since.elapsed());
        self.record.event("resumed", json!({ "after_ms": long.map(|long| long.as_millis() as u64) }));
        long.into_iter().for_each(|long| self.record.news(News::WasHeld(long)));
    }

    pub(super) fn closed(&mut self, why: &Closed) {
        self.record.event("line_closed", json!({ "why": format!("{why:?}") }));
    }

    pub(super) fn failed(&mut self, error: &EngineError) {
        tracing::warn!(call.id = %self.record.id(), error = %error, "an engine failed in a call");
        self.record.tell(|| Happened::Failed);
        self.record.event("engine_failed", json!({ "error": error.to_string() }));
    }

    /// What the model took; and where a server was to answer, and the local model did: why.
    pub(super) fn chosen(&mut self, mouth: &mut Mouth) {
        for (mode, taken) in mouth.taken() {
            self.record.took(mode, taken);
        }
        if let Some(why) = mouth.instead() {
            self.record.event("local_instead", json!({ "why": why }));
        }
        let Tongues { other, neither, .. } = *mouth.tongues();
        if other + neither > 0 {
            let caller = self.language;
            self.record.event("other_language", json!({ "caller": caller, "other": other, "neither": neither }));
        }
        if let Some(brief) = mouth.brief() {
            self.quicker("shorter", budget::why(&brief, self.limits.filler));
        }
    }

    /// A reply is not said.
    pub(super) fn doubtful(&self, said: &Said, mouth: &Mouth) {
        let why = match said {
            _ if mouth.tongues().is_unfit => "another language",
            Said::Ended(Spoken::Doubtful) => "unsure",
            _ => "nothing",
        };
        self.record.event("reply_doubtful", json!({ "why": why }));
    }

    /// A turn is answered in a quicker way, or those that follow are.
    pub(super) fn quicker(&self, way: &str, mut detail: Value) {
        self.engines.mind.quicker(way);
        detail["way"] = way.into();
        self.record.event("quicker", detail);
    }

    pub(super) fn deaf(&mut self, error: &EngineError) {
        tracing::warn!(call.id = %self.record.id(), error = %error, "voice activity failed in a call");
        self.record.event("deaf", json!({ "error": error.to_string() }));
    }

    pub(super) fn write_turn(
        &mut self,
        heard: &Heard,
        transcript: &Transcript,
        mouth: &Mouth,
        (marks, mode): (Marks, Option<Mode>),
        said: &Said,
        voice: &Voice,
    ) {
        let turn = NewTurn {
            at: heard.end.at,
            heard: Some(transcript.text.clone()),
            said: Some(mouth.text()),
            said_heard: Some(mouth.heard(voice)),
            said_by: None,
            heard_from: None,
            said_in: None,
            interrupted: matches!(said, Said::Interrupted | Said::TakenOver),
            confidence: transcript.confidence.map(f64::from),
            language: Some(transcript.language.code().into()),
            mode: mode.map(|mode| mode.as_str().into()),
            stages: heard.stages(marks, mouth.first_out(voice)),
            recording_at_ms: self.record.places(heard.end.speech, mouth.first_out(voice)),
        };
        self.tell_said(&turn, mode);
        let (usual, budget) = (self.engines.mind.mode(), self.limits.filler);
        // Whoever takes replies whole waits for all of them.
        let is_live = !self.record.audience().is_some_and(Audience::is_patient);
        let beyond = budget::beyond(&turn.stages, budget, mouth.filled()).filter(|_| is_live);
        if mode == Some(usual) && !marks.is_held_up {
            self.meanwhile.lateness.took(&turn.stages);
        }
        let around = self.meanwhile.lateness.answered(usual, mode, &turn.stages, budget);
        self.record.turn(transcript.language, turn);
        if beyond.is_some() {
            self.record.turn_was_late();
        }
        beyond.into_iter().for_each(|beyond| self.record.event("over_budget", beyond));
        around.into_iter().for_each(|around| self.quicker("local", around));
    }

    /// A row for what Milo said by itself.
    pub(super) fn write_own(&mut self, began: Stamp, mouth: &Mouth, said: &Said, voice: &Voice) {
        let turn = NewTurn {
            at: began,
            heard: None,
            said: Some(mouth.text()),
            said_heard: Some(mouth.heard(voice)),
            said_by: None,
            heard_from: None,
            said_in: None,
            interrupted: matches!(said, Said::Interrupted | Said::TakenOver),
            confidence: None,
            language: Some(self.language.code().into()),
            mode: None,
            stages: Stages::default(),
            recording_at_ms: self.record.places((None, None), mouth.first_out(voice)),
        };
        self.tell_said(&turn, None);
        self.record.turn(self.language, turn);
    }

    /// Whoever follows the conversation learns what was said.
    fn tell_said(&self, turn: &NewTurn, mode: Option<Mode>) {
        let words = |words: &Option<String>| words.clone().unwrap_or_default();
        self.record.tell(|| Happened::Said {
            text: words(&turn.said),
            heard: words(&turn.said_heard),
            interrupted: turn.interrupted,
            mode,
            total_ms: turn.stages.total_ms,
        });
    }
}
