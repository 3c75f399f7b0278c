//! What every engine shares: the languages and the errors. The queue in front of each is [`crate::queue`]'s.

use std::{fmt, str::FromStr, sync::Arc};

/// A language Milo speaks (ISO 639-1 code in text form).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Malagasy.
    Mg,
    /// French.
    Fr,
}

impl Language {
    /// The two-letter code, as in `<|mg|>`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Mg => "mg",
            Self::Fr => "fr",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Language {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self, EngineError> {
        match text {
            "mg" => Ok(Self::Mg),
            "fr" => Ok(Self::Fr),
            other => Err(EngineError::Input(format!("the language {other:?} is not known; mg and fr are"))),
        }
    }
}

/// What can go wrong with an engine; the variant says what its caller can do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// The queue is full: refuse, apologise or transfer, and try later.
    #[error("the {engine} is overloaded: {waiting} jobs wait already")]
    Overloaded {
        /// Which engine.
        engine: &'static str,
        /// How many jobs wait.
        waiting: usize,
    },
    /// The model's thread has panicked, or its runs failed one after the other, and the engine is being loaded anew: ask again a little later.
    #[error("the {engine} has stopped")]
    Stopped {
        /// Which engine.
        engine: &'static str,
    },
    /// A model file is missing, truncated or not what it should be. The sentence names the file and the mend.
    #[error("{0}")]
    Load(String),
    /// The input cannot be served (empty, too long, unknown language). The sentence says what would be right.
    #[error("{0}")]
    Input(String),
    /// The model failed on this job; the next one may succeed.
    #[error("the {engine} failed: {reason}")]
    Failed {
        /// Which engine.
        engine: &'static str,
        /// The library's own words.
        reason: String,
    },
    /// Nothing came of this job in time: it may be done by another engine, or when this one goes on.
    #[error("the {engine} failed: {reason}")]
    Stalled {
        /// Which engine.
        engine: &'static str,
        /// What was waited for, and for how long.
        reason: String,
    },
    /// A server that was asked did not answer as it should: another engine may, or the same one at the next try.
    #[error("the {engine} at {at} {says}")]
    Remote {
        /// Which engine.
        engine: &'static str,
        /// Host and port of the server.
        at: Arc<str>,
        /// What kind of failure it is.
        fault: RemoteFault,
        /// How the sentence goes on. Never holds a key.
        says: String,
    },
}

impl EngineError {
    /// Whether the same job may be taken a moment later: there was no place for it, or the engine is being loaded anew.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Overloaded { .. } | Self::Stopped { .. })
    }

    /// Whether it is the engine that has not done its work yet, and nothing speaks against the job.
    pub fn is_of_time(&self) -> bool {
        self.is_passing() || matches!(self, Self::Stalled { .. })
    }
}

/// What is wrong with a server that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteFault {
    /// It cannot be reached.
    Down,
    /// It was too slow.
    Late,
    /// It does not take whoever asks, or has not what is asked for: the key, the address, the model.
    Refused,
    /// It does not take this one request, which is too long or holds what it does not know; it may take the next.
    Unfit,
    /// It is asked too much, or is too busy.
    Busy,
    /// It says that it failed itself.
    Failed,
    /// What it sent makes no sense, or ended too early.
    Broken,
}

impl RemoteFault {
    /// One word for it, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Unfit => "unfit",
            Self::Busy => "busy",
            Self::Failed | Self::Broken => "broken",
        }
    }
}
/// Ends the process, as one that did what it should or not, and at once: engines' threads may be at work, and what llama.cpp and ONNX
/// Runtime tear down at an ordinary end would be torn from under them.
pub fn leave(right: bool) -> ! {
    // SAFETY: it ends the process without another step of it.
    unsafe { libc::_exit(i32::from(!right)) }
}
