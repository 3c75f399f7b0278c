//! What one party has said in one turn, and what became of it: one event in the call's log, whatever comes between, and a turn of its
//! transcript where there are words.

use std::time::{Duration, Instant};

use milo_media::SAMPLE_RATE;
use milo_models::engine::Language;
use serde_json::json;

use super::{Account, backlog::Place};
use crate::{
    call::notes::UNSAID,
    chat::Translation,
    store::{NewTurn, Stages, Stamp},
};

/// Why something was not told to the other.
pub(super) const NOT_UNDERSTOOD: &str = "it was not understood";
pub(super) const TOO_FAST: &str = "too much was to be told before it";
const CALL_OVER: &str = "the two had parted";

/// One turn of one party. It writes itself down when it is dropped.
pub(super) struct Utterance<'a> {
    account: Account<'a>,
    who: &'static str,
    /// When it was over.
    at: Stamp,
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
    /// All of it; its first packet left then, where that is known.
    All(Option<Instant>),
}

impl<'a> Utterance<'a> {
    /// Somebody has said something, in the first of these languages; the last of it came then.
    pub(super) fn new(
        (who, languages): (&'static str, (Language, Language)),
        samples: usize,
        over: Option<Instant>,
        account: Account<'a>,
    ) -> Self {
        let speech_ms = (samples as u64) * 1_000 / u64::from(SAMPLE_RATE);
        let (said, heard_confidence, translation, place) = (None, None, None, None);
        let told = Told::Nothing(CALL_OVER.into());
        let at = Stamp::now();
        Self { account, who, at, languages, speech_ms, over, said, heard_confidence, translation, told, place }
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
        self.told = Told::All(first);
    }

    /// It stands in the transcript, `said` and `translated` as the log may have them.
    fn turn(&self, began: Option<Instant>, said: String, translated: Option<String>) -> NewTurn {
        let (from, to) = self.languages;
        let (said_heard, first) = match &self.told {
            Told::Nothing(_) => (translated.as_ref().map(|_| String::new()), None),
            // How much is not known.
            Told::Begun => (None, None),
            Told::All(first) => (translated.clone(), *first),
        };
        // The recording has the caller on one side, and what they hear on the other.
        let (heard_at, said_at) = if self.who == "caller" { ((began, self.over), None) } else { ((None, None), first) };
        NewTurn {
            at: self.at,
            heard: Some(said),
            said_in: translated.is_some().then(|| to.code().into()),
            said: translated,
            said_heard,
            said_by: None,
            heard_from: Some(self.who.into()),
            interrupted: matches!(self.told, Told::Begun),
            confidence: self.heard_confidence.map(f64::from),
            language: Some(from.code().into()),
            mode: None,
            stages: Stages { total_ms: after(first, self.over), ..Stages::default() },
            recording_at_ms: self.account.log.places(heard_at, said_at),
        }
    }
}

/// How long after the last word the other began to hear it, in milliseconds.
fn after(first: Option<Instant>, over: Option<Instant>) -> Option<f64> {
    first.zip(over).map(|(first, over)| first.saturating_duration_since(over).as_secs_f64() * 1e3)
}

impl Drop for Utterance<'_> {
    fn drop(&mut self) {
        let Self { account, who, languages: (from, to), speech_ms, over, .. } = &*self;
        let Self { said, heard_confidence, translation, told, .. } = &*self;
        // It is written down when the other has heard it: what was private when it was said stays so.
        let began = over.and_then(|over| over.checked_sub(Duration::from_millis(*speech_ms)));
        let is_secret = began.is_some_and(|began| account.was_private_since(began));
        let words = |words: &str| if is_secret { UNSAID.to_owned() } else { account.words(words).to_owned() };
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
            Told::All(first) => ("interpreted", "after_ms", json!(after(*first, *over).map(|after| after as u64))),
        };
        detail[field] = value;
        account.log.event(kind, detail);
        // Noise is no turn.
        if let Some(said) = said.filter(|said| said.contains(char::is_alphanumeric) || said == UNSAID) {
            account.log.notes().interpreted(self.turn(began, said, translated));
        }
    }
}
