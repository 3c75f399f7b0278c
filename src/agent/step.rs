//! What comes out of a reply, one after the other, when it began to, and that nothing does.

use std::time::{Duration, Instant};

use milo_models::{engine::EngineError, synthesizer::Word, tools::Call};
use tokio::time::error::Elapsed;

/// An engine that says nothing for so long has failed: the caller must not be left in silence.
pub(super) const STALL: Duration = Duration::from_secs(6);

/// What comes out of a reply.
#[derive(Debug)]
pub(super) enum Step {
    /// The next clause, as the model wrote it; its samples follow.
    Clause(String),
    /// Samples at 16 kHz, and when the words that begin in them are heard, from the clause's beginning on, where the voice tells.
    Samples(Vec<i16>, Vec<Word>),
    /// The model's first tokens are too unlikely to be spoken.
    Doubtful,
    /// When this reply has been heard, the call ends.
    HangUp,
    /// The model wants this done; it goes on when it knows what came of it.
    Calls(Vec<Call>),
    /// What was done is over.
    Done,
}

/// When the engines first answered, for the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The model's first token.
    pub(super) first_token: Option<Instant>,
    /// The voice's first sample.
    pub(super) first_sample: Option<Instant>,
    /// Whether something else than engines was waited for on the way.
    pub(super) is_held_up: bool,
}

/// What was waited for in vain has failed.
pub(super) fn stalled<T>(
    engine: &'static str,
    waited: Result<Option<Result<T, EngineError>>, Elapsed>,
) -> Option<Result<T, EngineError>> {
    waited.unwrap_or_else(|_| Some(Err(stall(engine))))
}

/// That it has.
pub(super) fn stall(engine: &'static str) -> EngineError {
    EngineError::Stalled { engine, reason: format!("nothing came for {} s", STALL.as_secs()) }
}
