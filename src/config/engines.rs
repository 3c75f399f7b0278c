//! `[engines]`: the models. An unset path means the small demonstration model that ships with Milo.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Faults;

/// All engines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Engines {
    /// `libonnxruntime.so`, when it is not where `make setup` puts it.
    pub onnxruntime: Option<PathBuf>,
    /// Voice activity.
    pub vad: Vad,
    /// Speech to text.
    pub stt: Stt,
    /// The language model.
    pub llm: Llm,
    /// The voice.
    pub tts: Tts,
}

/// `[engines.vad]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Vad {
    /// A Silero graph (`.onnx`).
    pub path: Option<PathBuf>,
}

/// `[engines.stt]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stt {
    /// A folder with a Hugging Face export of Whisper (encoder, decoder, tokenizer.json).
    pub path: Option<PathBuf>,
    /// Threads a forward pass may use; 0 takes half of the machine's cores, at least one.
    pub threads: usize,
}

/// `[engines.llm]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Llm {
    /// A GGUF file with its own chat template.
    pub path: Option<PathBuf>,
    /// Threads a decode may use; 0 takes half of the machine's cores, at least one, and one for the shipped model.
    pub threads: usize,
    /// Tokens of context, shared by all sequences.
    pub context_tokens: u32,
    /// Conversations that generate in the same decode.
    pub sequences: u32,
    /// Replies that may wait for a free sequence; the next caller hears an apology at once.
    pub queue: usize,
    /// Layers kept on the GPU; 0 keeps all on the CPU.
    pub gpu_layers: u32,
}

impl Default for Llm {
    fn default() -> Self {
        Self { path: None, threads: 0, context_tokens: 4_096, sequences: 4, queue: 16, gpu_layers: 0 }
    }
}

/// `[engines.tts]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tts {
    /// A folder with espeak-ng data.
    pub path: Option<PathBuf>,
}

impl Engines {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        for (key, path) in [
            ("engines.onnxruntime", &self.onnxruntime),
            ("engines.vad.path", &self.vad.path),
            ("engines.stt.path", &self.stt.path),
            ("engines.llm.path", &self.llm.path),
            ("engines.tts.path", &self.tts.path),
        ] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                faults.add(key, "is empty: remove the line for the shipped model, or give a path".into());
            }
        }
        faults.within("engines.stt.threads", self.stt.threads, 0..=512);
        faults.within("engines.llm.threads", self.llm.threads, 0..=512);
        faults.within("engines.llm.sequences", self.llm.sequences, 1..=256);
        faults.within("engines.llm.queue", self.llm.queue, 1..=4_096);
        faults.within("engines.llm.context_tokens", self.llm.context_tokens, 256..=4_194_304);
        if self.llm.sequences > 0 && self.llm.context_tokens / self.llm.sequences < 128 {
            faults.add(
                "engines.llm.context_tokens",
                format!(
                    "leaves fewer than 128 tokens for each of the {} sequences; give at least {}",
                    self.llm.sequences,
                    u64::from(self.llm.sequences) * 128
                ),
            );
        }
    }
}
