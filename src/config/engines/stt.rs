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
    /// What a minute costs that the server hears, in any currency; it counts for `daily_cost` of `[engines.llm]`.
    pub minute_price: f64,
    /// Utterances that the server has at once; those beyond them the local transcriber hears.
    pub parallel: usize,
    /// A folder with a Hugging Face export of Whisper (encoder, decoder, tokenizer.json), or of a wav2vec2 with a CTC head that says
    /// which language it hears, as those of MMS do.
    pub path: Option<PathBuf>,
    /// Utterances that a local transcriber hears side by side at most; 1: one after the other.
    pub batch: usize,
    /// In its place, a folder with a wav2vec2 that hears Malagasy.
    pub mg: Option<PathBuf>,
    /// The same for French; where there are both, the surer one is believed.
    pub fr: Option<PathBuf>,
    /// How many beginnings of a transcript a Whisper in this process follows at a time; 1: the likeliest token each time. Each costs as
    /// much again.
    pub beam: usize,
    /// A text that is to stand before each utterance, unless a request has another: a Whisper, here or on a server, writes what
    /// follows alike.
    pub prompt: Option<String>,
    /// Words that are to stand there in any case: names, and what else is to be written just so.
    pub hot_words: Vec<String>,
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
            minute_price: 0.0,
            parallel: 64,
            path: None,
            batch: 8,
            mg: None,
            fr: None,
            beam: 1,
            prompt: None,
            hot_words: Vec::new(),
            threads: 0,
        }
    }
}

impl Stt {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.stt.path", self.path.as_deref(), faults);
        for (key, folder) in [("engines.stt.mg", &self.mg), ("engines.stt.fr", &self.fr)] {
            path(key, folder.as_deref(), faults);
            if folder.is_some() && self.path.is_some() {
                faults.add(key, "stands beside `path`: one model hears, name it by either".into());
            }
        }
        path("engines.stt.api_key_file", self.api_key_file.as_deref(), faults);
        server("engines.stt.url", self.url.as_deref(), faults);
        // A call waits eight seconds for a transcript, and the local transcriber wants some of them.
        faults.within("engines.stt.timeout_s", self.timeout_s, 0.05..=6.0);
        faults.within("engines.stt.minute_price", self.minute_price, 0.0..=1e12);
        faults.within("engines.stt.parallel", self.parallel, 1..=4_096);
        faults.within("engines.stt.batch", self.batch, 1..=64);
        faults.within("engines.stt.beam", self.beam, 1..=8);
        let is_blank = |text: &String| text.trim().is_empty();
        if self.prompt.as_ref().is_some_and(is_blank) {
            faults.add(
                "engines.stt.prompt",
                "is empty: remove the line, or write what stands before an utterance".into(),
            );
        }
        if self.hot_words.iter().any(is_blank) {
            faults.add("engines.stt.hot_words", "holds an empty word: remove it".into());
        }
        faults.within("engines.stt.threads", self.threads, 0..=512);
        if self.engine == SpeechEngine::Openai && self.model.is_none() {
            faults.add("engines.stt.model", "is missing: name the model that the server is to hear with".into());
        }
    }
}
