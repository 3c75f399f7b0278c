//! `[engines.stt]`: who hears.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{SpeechEngine, path, server};
use crate::config::Faults;

/// `[engines.stt]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Stt {
    /// Who hears; where it is a server, the local transcriber hears what that does not.
    pub engine: SpeechEngine,
    /// The server's address; unset: OpenAI's own.
    pub url: Option<String>,
    /// The model's name on the server.
    pub model: Option<String>,
    /// A file whose only line is the key for the server, read in place of the key of `[engines]`.
    pub api_key_file: Option<PathBuf>,
    /// How long a transcript may take, in seconds; then the local transcriber hears the same.
    pub timeout_s: f64,
    /// Utterances that the server has at once; those beyond them the local transcriber hears.
    pub parallel: usize,
    /// A folder with a Hugging Face export of Whisper (encoder, decoder, tokenizer.json).
    pub path: Option<PathBuf>,
    /// Utterances that a local transcriber hears side by side at most; 1: one after the other.
    pub batch: usize,
    /// Threads a forward pass may use; 0 takes half of the machine's cores, at least one.
    pub threads: usize,
}

impl Default for Stt {
    fn default() -> Self {
        Self {
            engine: SpeechEngine::Local,
            url: None,
            model: None,
            api_key_file: None,
            timeout_s: 4.0,
            parallel: 64,
            path: None,
            batch: 8,
            threads: 0,
        }
    }
}

impl Stt {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.stt.path", self.path.as_deref(), faults);
        path("engines.stt.api_key_file", self.api_key_file.as_deref(), faults);
        server("engines.stt.url", self.url.as_deref(), faults);
        // A call waits eight seconds for a transcript, and the local transcriber wants some of them.
        faults.within("engines.stt.timeout_s", self.timeout_s, 0.05..=6.0);
        faults.within("engines.stt.parallel", self.parallel, 1..=4_096);
        faults.within("engines.stt.batch", self.batch, 1..=64);
        faults.within("engines.stt.threads", self.threads, 0..=512);
        if self.engine == SpeechEngine::Openai && self.model.is_none() {
            faults.add("engines.stt.model", "is missing: name the model that the server is to hear with".into());
        }
    }
}
