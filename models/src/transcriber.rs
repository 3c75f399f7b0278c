//! What every transcriber takes and gives, wherever it runs: an utterance in, its words out.

use std::{future::Future, pin::Pin, sync::Arc};

use serde::Serialize;

use crate::{
    engine::{EngineError, Language},
    queue::{Class, Waiting, Wanted, Work},
};

/// A transcript that is awaited. Dropping it cancels the work.
pub type Transcribing = Pin<Box<dyn Future<Output = Result<Transcript, EngineError>> + Send>>;

/// What turns speech into text: [`crate::whisper::Whisper`] or [`crate::ctc::Ctc`] in this process, [`crate::openai::Transcription`] on
/// a server.
pub trait Transcriber: Send + Sync {
    /// Transcribes 16 kHz mono audio.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when there is no place; [`EngineError::Input`] for no audio or more than ten
    /// minutes, for times of words where it knows none, or a prompt where it takes none; [`EngineError::Failed`] or [`EngineError::Remote`] when the model fails on this audio.
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing;

    /// Whether it can tell the times of words.
    fn knows_words(&self) -> bool;

    /// Whether a prompt helps it.
    fn takes_prompt(&self) -> bool;

    /// Utterances that wait for their turn.
    fn waiting(&self) -> Waiting;

    /// What its thread in this process has done so far; nothing where a server does it.
    fn work(&self) -> Work;

    /// Whether it can hear nothing now: it is being loaded anew.
    fn stopped(&self) -> bool;
}

/// How an utterance is transcribed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// What is spoken; without it the model tells.
    pub language: Option<Language>,
    /// Whether the times of words are wanted.
    pub words: bool,
    /// Text that is to stand before what is said, so that this is written alike: names, words of a trade.
    pub prompt: Option<Arc<str>>,
    /// Whose it is.
    pub class: Class,
    /// When the transcript is wanted.
    pub wanted: Wanted,
}

impl Listen {
    /// A call's utterance.
    pub fn to(language: Option<Language>) -> Self {
        Self { language, ..Self::default() }
    }
}

/// Samples at 16 kHz in a second.
const RATE: usize = 16_000;
/// Longer audio would keep all other calls waiting: it must come in parts.
pub(crate) const LONGEST_S: usize = 600;

/// Refuses what no transcriber takes.
pub(crate) fn check(samples: &[i16]) -> Result<(), EngineError> {
    if samples.is_empty() {
        return Err(EngineError::Input("there is no audio to transcribe".into()));
    }
    let seconds = samples.len() / RATE;
    if seconds > LONGEST_S {
        return Err(EngineError::Input(format!("the audio lasts {seconds} s; send at most {LONGEST_S} s at a time")));
    }
    Ok(())
}

/// What was understood.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transcript {
    /// The words; empty when there was no speech.
    pub text: String,
    /// The language asked for, or the detected one.
    pub language: Language,
    /// Its probability among all languages that the model knows, if it is told.
    pub language_probability: Option<f32>,
    /// How sure the words are, 0 to 1, if it is told: exp(avg_logprob), or the mean probability of the letters.
    pub confidence: Option<f32>,
    /// Mean log-probability of the tokens or letters, if it is told.
    pub avg_logprob: Option<f32>,
    /// Probability that there was no speech at all, if it is told.
    pub no_speech_prob: Option<f32>,
    /// The parts, in order.
    pub segments: Vec<Segment>,
    /// Milliseconds that were worked on it; waiting in line is not counted.
    pub processing_ms: u32,
}

impl Transcript {
    /// Words that no ears were asked for: nothing says how sure they are.
    pub fn written(text: String, language: Language) -> Self {
        Self {
            text,
            language,
            language_probability: None,
            confidence: None,
            avg_logprob: None,
            no_speech_prob: None,
            segments: Vec::new(),
            processing_ms: 0,
        }
    }
}

/// A part of a transcript, in milliseconds from the beginning of the audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Where it starts.
    pub start_ms: u32,
    /// Where it ends.
    pub end_ms: u32,
    /// Its words.
    pub text: String,
    /// Each word with its times; none where they were not asked for.
    pub words: Option<Vec<Word>>,
}

/// A word of a segment, in milliseconds from the beginning of the audio.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Word {
    /// The word, with the punctuation that clings to it.
    pub word: String,
    /// Where it starts.
    pub start_ms: u32,
    /// Where it ends.
    pub end_ms: u32,
}
