//! A recording of any length as text, in pieces that leave room for the calls between them.

use std::{collections::VecDeque, ops::Range, time::Duration};

use milo_models::{
    engine::{EngineError, Language},
    whisper::{self, Transcriber},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

const SAMPLES_PER_MS: usize = 16;
/// The longest piece: one window of the model, and no call waits longer for its turn.
const PIECE: usize = 28_000 * SAMPLES_PER_MS;
/// How long a recording that has begun waits for its place in the transcriber's queue, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

/// A part of a transcript, in milliseconds from the beginning of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Where it starts.
    pub start_ms: u64,
    /// Where it ends.
    pub end_ms: u64,
    /// Its words.
    pub text: String,
    /// What is spoken in it.
    pub language: Language,
    /// How sure the model is of the words, 0 to 1.
    pub confidence: f32,
}

/// What is known after another piece.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// So much of the recording has been transcribed.
    pub done_ms: u64,
    /// Of so much.
    pub duration_ms: u64,
    /// What the newest piece holds.
    pub segments: Vec<Part>,
}

/// The whole transcript.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transcribed {
    /// All words.
    pub text: String,
    /// What is spoken in most of it.
    pub language: Language,
    /// The mean of the segments', each as much as it is long; 0 when nothing was said.
    pub confidence: f32,
    /// How long the recording is.
    pub duration_ms: u64,
    /// How long all of it took.
    pub processing_ms: u64,
    /// The parts, in order.
    pub segments: Vec<Part>,
}

/// A recording being transcribed. Dropping it cancels the rest.
pub struct Listening {
    transcriber: Transcriber,
    samples: Vec<i16>,
    pieces: VecDeque<Range<usize>>,
    language: Option<Language>,
    parts: Vec<Part>,
}

impl Listening {
    pub(super) fn new(transcriber: Transcriber, samples: Vec<i16>, language: Option<Language>) -> Self {
        let pieces = whisper::pieces(&samples, PIECE).into();
        Self { transcriber, samples, pieces, language, parts: Vec::new() }
    }

    /// Transcribes the next piece; `None` when there is none left.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when the first piece finds the queue full, after a minute when a later one does;
    /// nothing follows an error.
    pub async fn next(&mut self) -> Option<Result<Progress, EngineError>> {
        let piece = self.pieces.pop_front()?;
        let until = Instant::now() + PATIENCE;
        let transcript = loop {
            let samples = self.samples[piece.clone()].to_vec();
            match self.transcriber.transcribe(samples, self.language).await {
                Ok(transcript) => break transcript,
                Err(EngineError::Overloaded { .. }) if piece.start > 0 && Instant::now() < until => sleep(AGAIN).await,
                Err(error) => {
                    self.pieces.clear();
                    return Some(Err(error));
                }
            }
        };
        let start_ms = (piece.start / SAMPLES_PER_MS) as u64;
        let segments: Vec<_> = transcript
            .segments
            .iter()
            .filter(|segment| !segment.text.trim().is_empty())
            .map(|segment| Part {
                start_ms: start_ms + u64::from(segment.start_ms),
                end_ms: start_ms + u64::from(segment.end_ms),
                text: segment.text.trim().into(),
                language: transcript.language,
                confidence: transcript.confidence,
            })
            .collect();
        self.parts.extend(segments.iter().cloned());
        let [done_ms, duration_ms] = [piece.end, self.samples.len()].map(|samples| (samples / SAMPLES_PER_MS) as u64);
        Some(Ok(Progress { done_ms, duration_ms, segments }))
    }

    /// What was understood so far, of a recording that took so long.
    pub fn whole(&self, took: Duration) -> Transcribed {
        let spoken = |language| {
            self.parts
                .iter()
                .filter(|part| part.language == language)
                .map(|part| part.end_ms - part.start_ms)
                .sum::<u64>()
        };
        let (mg, fr) = (spoken(Language::Mg), spoken(Language::Fr));
        let sure: f64 =
            self.parts.iter().map(|part| f64::from(part.confidence) * (part.end_ms - part.start_ms) as f64).sum();
        Transcribed {
            text: self.parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(" "),
            language: if fr > mg { Language::Fr } else { self.language.unwrap_or(Language::Mg) },
            confidence: if mg + fr == 0 { 0.0 } else { (sure / (mg + fr) as f64) as f32 },
            duration_ms: (self.samples.len() / SAMPLES_PER_MS) as u64,
            processing_ms: took.as_millis() as u64,
            segments: self.parts.clone(),
        }
    }
}
