//! A recording of any length as text: what is spoken in it, utterance by utterance, so that there is room for the calls between
//! them and the model hears what it was trained on.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use milo_media::{FRAME_SAMPLES, Frame};
use milo_models::{
    engine::{EngineError, Language},
    silero::{VadStream, VoiceActivity},
    text::shown,
    transcriber::{Listen, Transcriber, Word},
    whisper,
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

const SAMPLES_PER_MS: usize = 16;
/// The longest piece: one window of the model, and no call waits longer for its turn.
const PIECE: usize = 28_000 * SAMPLES_PER_MS;
/// Above this probability speech begins, below the other it has ended once it stays there for so long.
const VOICE: (f32, f32) = (0.5, 0.35);
const PAUSE: usize = 700 * SAMPLES_PER_MS;
/// What is kept before and behind: the detector is late, and words begin and end softly.
const AROUND: usize = 300 * SAMPLES_PER_MS;
/// How long a recording that has begun waits for its place in an engine's queue, and how often it asks.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(50);

/// A prompt, unless there is nothing in it.
pub fn before(prompt: &str) -> Option<Arc<str>> {
    Some(prompt.trim()).filter(|prompt| !prompt.is_empty()).map(Into::into)
}

/// A part of a transcript, in milliseconds from the beginning of the recording.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = Segment)]
pub struct Part {
    /// Where it starts.
    #[schema(example = 300)]
    pub start_ms: u64,
    /// Where it ends.
    #[schema(example = 2900)]
    pub end_ms: u64,
    /// Its words.
    #[schema(example = "amin'ny ora firy no misokatra ny birao")]
    pub text: String,
    /// What is spoken in it.
    #[schema(value_type = crate::engines::Tongue)]
    pub language: Language,
    /// How sure the model is of the words, 0 to 1, if it says so.
    #[schema(minimum = 0, maximum = 1, example = 0.93)]
    pub confidence: Option<f32>,
    /// Each word with its times, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<SaidWord>>,
}

/// A word, in milliseconds from the beginning of the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = SegmentWord)]
pub struct SaidWord {
    /// The word.
    #[schema(example = "firy")]
    pub word: String,
    /// Where it starts.
    #[schema(example = 900)]
    pub start_ms: u64,
    /// Where it ends.
    #[schema(example = 1200)]
    pub end_ms: u64,
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
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = Transcript)]
pub struct Transcribed {
    /// All words.
    #[schema(example = "amin'ny ora firy no misokatra ny birao")]
    pub text: String,
    /// The same with figures for numbers in words: "5 000 Ar", "10:30", "034 12 345 67".
    #[schema(example = "amin'ny ora firy no misokatra ny birao")]
    pub written: String,
    /// What is spoken in most of it.
    #[schema(value_type = crate::engines::Tongue)]
    pub language: Language,
    /// The mean of the segments', each as much as it is long; 0 when nothing was said; none when the model does not say it.
    #[schema(minimum = 0, maximum = 1, example = 0.93)]
    pub confidence: Option<f32>,
    /// How long the recording is.
    #[schema(example = 3200)]
    pub duration_ms: u64,
    /// How long all of it took.
    #[schema(example = 260)]
    pub processing_ms: u64,
    /// The parts, in order.
    pub segments: Vec<Part>,
}

/// A recording being transcribed. Dropping it cancels the rest.
pub struct Listening {
    transcriber: Arc<dyn Transcriber>,
    activity: VadStream,
    samples: Vec<i16>,
    /// Before this, the detector has heard all.
    heard: usize,
    /// Behind this, nothing has been given to the transcriber.
    given: usize,
    /// Utterances that wait.
    pieces: VecDeque<Range<usize>>,
    asked: Listen,
    parts: Vec<Part>,
}

impl Listening {
    pub(super) fn new(
        (transcriber, activity): (Arc<dyn Transcriber>, &VoiceActivity),
        samples: Vec<i16>,
        asked: Listen,
    ) -> Self {
        let activity = activity.stream_of(asked.class);
        Self { transcriber, activity, samples, heard: 0, given: 0, pieces: VecDeque::new(), asked, parts: Vec::new() }
    }

    /// Transcribes the next utterance; `None` when there is none left.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when a queue is full: at once for the first one, after a minute for those behind it; nothing follows
    /// an error.
    pub async fn next(&mut self) -> Option<Result<Progress, EngineError>> {
        if self.pieces.is_empty() {
            match self.utterance().await {
                Ok(Some(utterance)) => {
                    let pieces = whisper::pieces(&self.samples[utterance.clone()], PIECE);
                    self.pieces
                        .extend(pieces.into_iter().map(|at| at.start + utterance.start..at.end + utterance.start));
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(self.end(error))),
            }
        }
        let piece = self.pieces.pop_front()?;
        let until = Instant::now() + PATIENCE;
        let transcript = loop {
            let samples = self.samples[piece.clone()].to_vec();
            match self.transcriber.transcribe(samples, self.asked.clone()).await {
                Ok(transcript) => break transcript,
                Err(EngineError::Overloaded { .. }) if self.given > 0 && Instant::now() < until => sleep(AGAIN).await,
                Err(error) => return Some(Err(self.end(error))),
            }
        };
        self.given = piece.end;
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
                words: segment.words.as_ref().map(|words| {
                    let said = |word: &Word| SaidWord {
                        word: word.word.clone(),
                        start_ms: start_ms + u64::from(word.start_ms),
                        end_ms: start_ms + u64::from(word.end_ms),
                    };
                    words.iter().map(said).collect()
                }),
            })
            .collect();
        self.parts.extend(segments.iter().cloned());
        let [done_ms, duration_ms] = [piece.end, self.samples.len()].map(|samples| (samples / SAMPLES_PER_MS) as u64);
        Some(Ok(Progress { done_ms, duration_ms, segments }))
    }

    /// Where somebody speaks next, with a little around it.
    async fn utterance(&mut self) -> Result<Option<Range<usize>>, EngineError> {
        let (mut begin, mut voiced) = (None, 0);
        while self.heard < self.samples.len() {
            let mut frame = [0; FRAME_SAMPLES];
            let rest = &self.samples[self.heard..];
            let length = rest.len().min(FRAME_SAMPLES);
            frame[..length].copy_from_slice(&rest[..length]);
            let probability = match self.activity.push(&Frame::new(frame)).await {
                Ok(probability) => probability,
                // 32 ms are lost to the detector, which notices the next.
                Err(EngineError::Overloaded { .. }) if self.heard > 0 => {
                    sleep(AGAIN).await;
                    None
                }
                Err(error) => return Err(error),
            };
            self.heard += length;
            let Some(probability) = probability else { continue };
            if probability > VOICE.0 || (begin.is_some() && probability > VOICE.1) {
                begin.get_or_insert(self.heard.saturating_sub(AROUND).max(self.given));
                voiced = self.heard;
            } else if let Some(begin) = begin
                && self.heard > voiced + PAUSE
            {
                return Ok(Some(begin..(voiced + AROUND).min(self.heard)));
            }
        }
        Ok(begin.map(|begin| begin..self.samples.len()))
    }

    /// Nothing follows.
    fn end(&mut self, error: EngineError) -> EngineError {
        self.pieces.clear();
        self.heard = self.samples.len();
        error
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
        let weighed = |part: &Part| Some(f64::from(part.confidence?) * (part.end_ms - part.start_ms) as f64);
        let sure: Option<f64> = self.parts.iter().map(weighed).sum();
        let text = self.parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(" ");
        Transcribed {
            written: written(&self.parts),
            text,
            language: if fr > mg { Language::Fr } else { self.asked.language.unwrap_or(Language::Mg) },
            confidence: sure.map(|sure| if mg + fr == 0 { 0.0 } else { (sure / (mg + fr) as f64) as f32 }),
            duration_ms: (self.samples.len() / SAMPLES_PER_MS) as u64,
            processing_ms: took.as_millis() as u64,
            segments: self.parts.clone(),
        }
    }
}

/// All words with figures: part by part, since what is said after a pause belongs to no number before it.
fn written(parts: &[Part]) -> String {
    parts.iter().map(|part| shown(&part.text)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_with_the_utterance() {
        let part = |text: &str| Part {
            start_ms: 0,
            end_ms: 1_000,
            text: text.into(),
            language: Language::Fr,
            confidence: None,
            words: None,
        };
        assert_eq!(written(&[part("vingt"), part("deux personnes")]), "20 deux personnes");
        assert_eq!(written(&[part("quinze mille ariary")]), "15 000 Ar");
        assert_eq!(written(&[]), "");
    }
}
