//! One turn's reply as one stream: tokens to clauses to sound. Dropping it is the interruption: the engines see that nobody
//! listens and stop.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use milo_models::{
    engine::{EngineError, Language},
    espeak::{Speech, SpeechOptions, Synthesizer},
    llama,
    text::{clauses::Clauses, speakable},
};
use tokio::time::timeout_at;

/// The model's own sign that the conversation is over.
const HANG_UP: &str = "[hangup]";

/// How many tokens the gate looks at.
const GATED_TOKENS: usize = 4;

/// An engine that says nothing for so long has failed: the caller must not be left in silence.
const STALL: Duration = Duration::from_secs(6);

/// What comes out of a reply.
#[derive(Debug)]
pub(super) enum Step {
    /// The next clause, as the model wrote it; its samples follow.
    Clause(String),
    /// Samples at 16 kHz.
    Samples(Vec<i16>),
    /// The model's first tokens are too unlikely to be spoken.
    Doubtful,
    /// When this reply has been heard, the call ends.
    HangUp,
}

/// When the engines first answered, for the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The model's first token.
    pub first_token: Option<Instant>,
    /// The voice's first sample.
    pub first_sample: Option<Instant>,
}

/// A reply on its way.
pub(super) struct Reply {
    source: Source,
    voice: Synthesizer,
    language: Language,
    clauses: Clauses,
    waiting: VecDeque<String>,
    speech: Option<Speech>,
    marks: Marks,
    /// Since when the engines are waited for; it lasts over interruptions of the wait, so that a stall is noticed.
    waiting_since: Option<tokio::time::Instant>,
}

enum Source {
    /// The model's tokens; `held` is text not yet released by the gate or by an open bracket.
    Model { tokens: llama::Reply, held: String, gate: Gate, hang_up: bool },
    /// A sentence whose sound was made before.
    Phrase(Option<(String, Arc<[i16]>)>),
    /// Nothing more comes.
    Ended,
}

/// Lets a reply pass when its first tokens are likely enough.
enum Gate {
    Open,
    Weighing { least: f32, sum: f32, count: usize },
}

impl Reply {
    /// A reply by the language model.
    pub(super) fn by_model(tokens: llama::Reply, least: Option<f32>, voice: &Synthesizer, language: Language) -> Self {
        let gate = least.map_or(Gate::Open, |least| Gate::Weighing { least, sum: 0.0, count: 0 });
        let source = Source::Model { tokens, held: String::new(), gate, hang_up: false };
        Self::new(source, voice, language)
    }

    /// A sentence that needs no model.
    pub(super) fn phrase(text: &str, samples: Arc<[i16]>, voice: &Synthesizer, language: Language) -> Self {
        Self::new(Source::Phrase(Some((text.into(), samples))), voice, language)
    }

    /// Words of Milo's own, by the voice alone.
    pub(super) fn words(text: &str, voice: &Synthesizer, language: Language) -> Self {
        let mut reply = Self::new(Source::Ended, voice, language);
        reply.waiting.push_back(text.into());
        reply
    }

    fn new(source: Source, voice: &Synthesizer, language: Language) -> Self {
        Self {
            source,
            voice: voice.clone(),
            language,
            clauses: Clauses::default(),
            waiting: VecDeque::new(),
            speech: None,
            marks: Marks::default(),
            waiting_since: None,
        }
    }

    /// When the engines first answered.
    pub(super) fn marks(&self) -> Marks {
        self.marks
    }

    /// The next step, or `None` when all was said. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Step, EngineError>> {
        let step = self.step().await;
        self.waiting_since = None;
        step
    }

    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    async fn step(&mut self) -> Option<Result<Step, EngineError>> {
        loop {
            let deadline = *self.waiting_since.get_or_insert_with(tokio::time::Instant::now) + STALL;
            if let Some(speech) = &mut self.speech {
                match stalled("voice", timeout_at(deadline, speech.next()).await) {
                    Some(Ok(samples)) => {
                        self.marks.first_sample.get_or_insert_with(Instant::now);
                        return Some(Ok(Step::Samples(samples)));
                    }
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.speech = None,
                }
            }
            if let Some(clause) = self.waiting.pop_front() {
                let words = speakable(&clause, self.language);
                if !words.chars().any(char::is_alphanumeric) {
                    continue;
                }
                match self.voice.speak(&words, self.language, SpeechOptions::default()) {
                    Ok(speech) => self.speech = Some(speech),
                    Err(error) => return Some(Err(error)),
                }
                return Some(Ok(Step::Clause(clause)));
            }
            match &mut self.source {
                Source::Ended => return None,
                Source::Phrase(phrase) => {
                    let Some((text, samples)) = phrase.take() else {
                        self.source = Source::Ended;
                        continue;
                    };
                    if text.is_empty() {
                        self.source = Source::Ended;
                        return Some(Ok(Step::Samples(samples.to_vec())));
                    }
                    *phrase = Some((String::new(), samples));
                    return Some(Ok(Step::Clause(text)));
                }
                Source::Model { tokens, held, gate, hang_up } => {
                    match stalled("language model", timeout_at(deadline, tokens.next()).await) {
                        Some(Ok(token)) => {
                            self.waiting_since = None;
                            self.marks.first_token.get_or_insert_with(Instant::now);
                            held.push_str(&token.text);
                            if gate.doubts(token.logprob) {
                                self.source = Source::Ended;
                                return Some(Ok(Step::Doubtful));
                            }
                            if matches!(gate, Gate::Open) {
                                let text = release(held, hang_up);
                                self.waiting.extend(self.clauses.push(&text));
                            }
                        }
                        Some(Err(error)) => return Some(Err(error)),
                        None if gate.doubts_the_end() => {
                            self.source = Source::Ended;
                            return Some(Ok(Step::Doubtful));
                        }
                        None => {
                            let text = release(held, hang_up) + held;
                            self.waiting.extend(self.clauses.push(&text));
                            self.waiting.extend(self.clauses.finish());
                            let hang_up = *hang_up;
                            self.source = Source::Ended;
                            if hang_up {
                                return Some(Ok(Step::HangUp));
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Gate {
    /// Weighs the next token; true when the reply is too unlikely.
    fn doubts(&mut self, logprob: f32) -> bool {
        if let Self::Weighing { least, sum, count } = self {
            *sum += logprob;
            *count += 1;
            if *count >= GATED_TOKENS {
                if *sum / (*count as f32) < *least {
                    return true;
                }
                *self = Self::Open;
            }
        }
        false
    }

    /// Whether a reply that ended before the gate had seen enough tokens is too unlikely.
    fn doubts_the_end(&self) -> bool {
        matches!(self, Self::Weighing { least, sum, count } if *count > 0 && *sum / (*count as f32) < *least)
    }
}

/// Takes the text that may be spoken out of `held`: all but an open bracket, which may become the hang-up sign.
fn release(held: &mut String, hang_up: &mut bool) -> String {
    while let Some(at) = held.find(HANG_UP) {
        held.replace_range(at..at + HANG_UP.len(), "");
        *hang_up = true;
    }
    let open = held.rfind('[').filter(|at| HANG_UP.starts_with(&held[*at..]));
    let rest = open.map(|at| held.split_off(at)).unwrap_or_default();
    std::mem::replace(held, rest)
}

fn stalled<T>(
    engine: &'static str,
    waited: Result<Option<Result<T, EngineError>>, tokio::time::error::Elapsed>,
) -> Option<Result<T, EngineError>> {
    waited.unwrap_or_else(|_| {
        let reason = format!("nothing came for {} s", STALL.as_secs());
        Some(Err(EngineError::Failed { engine, reason }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hang_up_sign_is_taken_out_even_in_pieces() {
        let (mut held, mut hang_up, mut spoken) = (String::new(), false, String::new());
        for piece in ["Velo", "ma! [ha", "ng", "up", "]"] {
            held.push_str(piece);
            spoken += &release(&mut held, &mut hang_up);
        }
        assert_eq!((spoken.as_str(), hang_up, held.as_str()), ("Veloma! ", true, ""));
    }

    #[test]
    fn other_brackets_are_text() {
        let (mut held, mut hang_up) = ("a [b".to_owned(), false);
        assert_eq!(release(&mut held, &mut hang_up), "a [b");
        assert!(!hang_up);
    }

    #[test]
    fn the_gate_weighs_the_first_tokens_only() {
        let mut gate = Gate::Weighing { least: -1.0, sum: 0.0, count: 0 };
        assert!((0..GATED_TOKENS).all(|_| !gate.doubts(-0.2)));
        assert!(!gate.doubts(-50.0));
        let mut gate = Gate::Weighing { least: -1.0, sum: 0.0, count: 0 };
        assert!((0..GATED_TOKENS).any(|_| gate.doubts(-1.5)));
    }
}
