//! What one party has said in one turn, and what became of it: one event in the call's log, whatever comes between.

use std::time::{Duration, Instant};

use milo_media::SAMPLE_RATE;
use milo_models::engine::Language;
use serde_json::json;

use super::backlog::Place;
use crate::{
    call::{Record, notes::UNSAID},
    chat::Translation,
};

/// Why something was not told to the other.
pub(super) const NOT_UNDERSTOOD: &str = "it was not understood";
pub(super) const TOO_FAST: &str = "too much was to be told before it";
const CALL_OVER: &str = "the two had parted";

/// One turn of one party. It writes itself down when it is dropped.
pub(super) struct Utterance<'a> {
    log: &'a Record,
    who: &'static str,
    languages: (Language, Language),
    speech_ms: u64,
    /// When the last of it was heard.
    over: Option<Instant>,
    /// What was understood, and how sure that is.
    pub(super) said: Option<String>,
    pub(super) heard_confidence: Option<f32>,
    pub(super) translation: Option<Translation>,
    told: Told,
    /// Until the other has heard it.
    pub(super) place: Option<Place>,
}

/// What the other has heard of it.
enum Told {
    /// Nothing, for this reason.
    Nothing(String),
    /// Some of it, or all: it was being told.
    Begun,
    /// All of it; it began so long after the last word, where that is known.
    All(Option<u64>),
}

impl<'a> Utterance<'a> {
    /// Somebody has said something, in the first of these languages; the last of it came then.
    pub(super) fn new(
        (who, languages): (&'static str, (Language, Language)),
        samples: usize,
        over: Option<Instant>,
        log: &'a Record,
    ) -> Self {
        let speech_ms = (samples as u64) * 1_000 / u64::from(SAMPLE_RATE);
        let (said, heard_confidence, translation, place) = (None, None, None, None);
        let told = Told::Nothing(CALL_OVER.into());
        Self { log, who, languages, speech_ms, over, said, heard_confidence, translation, told, place }
    }

    /// The other hears nothing of it.
    pub(super) fn not_told(mut self, why: impl Into<String>) {
        self.told = Told::Nothing(why.into());
    }

    /// The other begins to hear it.
    pub(super) fn begins(&mut self) {
        self.told = Told::Begun;
    }

    /// The other has heard it; its first packet left then.
    pub(super) fn heard_whole(mut self, first: Option<Instant>) {
        let after = first.zip(self.over).map(|(first, over)| first.saturating_duration_since(over));
        self.told = Told::All(after.map(|after| after.as_millis() as u64));
    }
}

impl Drop for Utterance<'_> {
    fn drop(&mut self) {
        let Self {
            log, who, languages: (from, to), speech_ms, over, said, heard_confidence, translation, told, ..
        } = self;
        // It is written down when the other has heard it: what was private when it was said stays so.
        let began = over.and_then(|over| over.checked_sub(Duration::from_millis(*speech_ms)));
        let is_secret = began.is_some_and(|began| log.notes().was_private_since(began));
        let words = |words: &str| if is_secret { UNSAID.to_owned() } else { log.words(words).to_owned() };
        let said = said.as_deref().map(words);
        let translated = translation.as_ref().map(|translation| words(&translation.text));
        let mut detail = json!({
            "who": who,
            "from": from,
            "to": to,
            "said": said,
            "translated": translated,
            "heard_confidence": heard_confidence,
            "confidence": translation.as_ref().and_then(|translation| translation.confidence),
            "by": translation.as_ref().map(|translation| translation.by),
            "speech_ms": speech_ms,
        });
        let (kind, field, value) = match told {
            Told::Nothing(why) => ("not_interpreted", "why", json!(why)),
            Told::Begun => ("interpreted", "cut", json!(true)),
            Told::All(after_ms) => ("interpreted", "after_ms", json!(after_ms)),
        };
        detail[field] = value;
        log.event(kind, detail);
    }
}
