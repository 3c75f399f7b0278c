//! `[engines.tts]`: who speaks.

use std::path::{Path, PathBuf};

use milo_models::{engine::Language, openai::Format};
use serde::{Deserialize, Serialize};

use super::{SpeechEngine, path, server};
use crate::config::Faults;

/// `[engines.tts]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Tts {
    /// Who speaks; where it is a server, the local voice says what that does not.
    pub engine: SpeechEngine,
    /// The server's address; unset: OpenAI's own.
    pub url: Option<String>,
    /// The model's name on the server.
    pub model: Option<String>,
    /// The voice's name there.
    pub voice: Option<String>,
    /// What the server is asked to send.
    pub format: Format,
    /// A file whose only line is the key for the server, read in place of the key of `[engines]`.
    pub api_key_file: Option<PathBuf>,
    /// How long the first sample of a clause may take, in seconds; then the local voice says it. As long may the next ones.
    pub timeout_s: f64,
    /// What a million characters cost that the server says, in any currency; it counts for `daily_cost` of `[engines.llm]`.
    pub character_price: f64,
    /// Clauses that the server has at once; those beyond them the local voice says.
    pub parallel: usize,
    /// A folder with espeak-ng data.
    pub path: Option<PathBuf>,
    /// Threads a model of `voices` may use; 0 takes half of the machine's cores, at least one.
    pub threads: usize,
    /// The languages that a model speaks in espeak-ng's place.
    pub voices: Voices,
}

/// `[engines.tts.voices]`: for each language a folder with a VITS (MMS-TTS, sherpa-onnx, Piper), or its `.onnx` file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Voices {
    /// Malagasy.
    pub mg: Option<PathBuf>,
    /// French.
    pub fr: Option<PathBuf>,
}

impl Voices {
    /// The languages that have one.
    pub fn named(&self) -> impl Iterator<Item = (Language, &Path)> {
        let all = [(Language::Mg, &self.mg), (Language::Fr, &self.fr)];
        all.into_iter().filter_map(|(language, path)| Some((language, path.as_deref()?)))
    }
}

impl Default for Tts {
    fn default() -> Self {
        Self {
            engine: SpeechEngine::Local,
            url: None,
            model: None,
            voice: None,
            format: Format::Wav,
            api_key_file: None,
            timeout_s: 2.0,
            character_price: 0.0,
            parallel: 64,
            path: None,
            threads: 0,
            voices: Voices::default(),
        }
    }
}

impl Tts {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.tts.path", self.path.as_deref(), faults);
        path("engines.tts.voices.mg", self.voices.mg.as_deref(), faults);
        path("engines.tts.voices.fr", self.voices.fr.as_deref(), faults);
        faults.within("engines.tts.threads", self.threads, 0..=512);
        path("engines.tts.api_key_file", self.api_key_file.as_deref(), faults);
        server("engines.tts.url", self.url.as_deref(), faults);
        faults.within("engines.tts.timeout_s", self.timeout_s, 0.05..=4.0);
        faults.within("engines.tts.character_price", self.character_price, 0.0..=1e12);
        faults.within("engines.tts.parallel", self.parallel, 1..=4_096);
        if self.engine == SpeechEngine::Openai && (self.model.is_none() || self.voice.is_none()) {
            let key = if self.model.is_none() { "engines.tts.model" } else { "engines.tts.voice" };
            faults.add(key, "is missing: name the model and the voice that the server is to speak with".into());
        }
    }
}
