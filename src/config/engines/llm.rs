//! `[engines.llm]`: who answers, and what that may take and cost.

use std::path::PathBuf;

use milo_models::llama;
use serde::{Deserialize, Serialize};

use super::{path, server};
use crate::{config::Faults, engines::Mode};

/// Who answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmEngine {
    /// The model in this process.
    #[default]
    Local,
    /// A server that is asked by the Anthropic Messages protocol.
    Anthropic,
    /// A server that is asked by OpenAI's protocol.
    Openai,
}

/// How the local model keeps the keys and values of what it has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CacheType {
    /// 16 bits a number.
    #[default]
    F16,
    /// 8.5 bits.
    Q8,
    /// 4.5 bits.
    Q4,
}

impl From<CacheType> for llama::CacheType {
    fn from(cache: CacheType) -> Self {
        match cache {
            CacheType::F16 => Self::F16,
            CacheType::Q8 => Self::Q8,
            CacheType::Q4 => Self::Q4,
        }
    }
}

/// `[engines.llm]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Llm {
    /// Who answers; where it is a server, the local model answers what that does not.
    pub engine: LlmEngine,
    /// Who is asked first, where a persona does not say it: the server, if there is one, or the local model. Behind that the server answers
    /// only while the local model has failed.
    pub default_mode: Mode,
    /// The server's address; unset: Anthropic's or OpenAI's own.
    pub url: Option<String>,
    /// The model's name on the server; unset, of Anthropic's: [`Llm::CLAUDE`].
    pub model: Option<String>,
    /// A file whose only line is the key for the server, read in place of the key of `[engines]`.
    pub api_key_file: Option<PathBuf>,
    /// How long the server's first word may take, in seconds; then the local model answers.
    pub first_token_timeout_s: f64,
    /// How long its next word may take; then the reply ends there.
    pub token_timeout_s: f64,
    /// After so many milliseconds without a word of the server's the local model begins too, and whoever says the first word has the
    /// reply; 0: it begins only where the server has failed.
    pub hedge_ms: u64,
    /// What a million tokens cost that the server reads, in any currency.
    pub prompt_price: f64,
    /// What a million of those cost that it had in its cache; unset: of Anthropic's protocol a tenth of `prompt_price`, else as much.
    pub cache_read_price: Option<f64>,
    /// And of those that it put there; unset: of Anthropic's protocol a quarter more than `prompt_price`, else as much.
    pub cache_write_price: Option<f64>,
    /// And what a million cost that it says.
    pub completion_price: f64,
    /// What servers may cost a day, UTC, those that hear and speak too; then the local engines do it until the next. 0: whatever it comes
    /// to.
    pub daily_cost: f64,
    /// Replies of the server under way at once; beyond them the local model answers.
    pub parallel: usize,
    /// Whether a server that speaks OpenAI's protocol is asked how many tokens a reply took (`stream_options`).
    pub count_tokens: bool,
    /// A GGUF file with its own chat template.
    pub path: Option<PathBuf>,
    /// Threads a decode may use; 0 takes half of the machine's cores, at least one, and one for the shipped model.
    pub threads: usize,
    /// Tokens of context, shared by all sequences.
    pub context_tokens: u32,
    /// Conversations that generate in the same decode.
    pub sequences: u32,
    /// Replies of calls that may wait for a free sequence, of requests as many, and of batches; the next caller hears an apology at
    /// once, the next request 503.
    pub queue: usize,
    /// Layers kept on the GPU; 0 keeps all on the CPU.
    pub gpu_layers: u32,
    /// What was fine-tuned on top of the model of `path`: a LoRA as a GGUF file.
    pub lora: Option<PathBuf>,
    /// How strongly it is applied.
    pub lora_scale: f32,
    /// How the keys and values of conversations are kept.
    pub cache: CacheType,
    /// Whether attention is computed without ever holding all of it; unset: where that is quicker.
    pub flash_attention: Option<bool>,
}

impl Default for Llm {
    fn default() -> Self {
        Self {
            engine: LlmEngine::Local,
            default_mode: Mode::Cloud,
            url: None,
            model: None,
            api_key_file: None,
            first_token_timeout_s: 2.0,
            token_timeout_s: 4.0,
            hedge_ms: 0,
            prompt_price: 0.0,
            cache_read_price: None,
            cache_write_price: None,
            completion_price: 0.0,
            daily_cost: 0.0,
            parallel: 256,
            count_tokens: true,
            path: None,
            threads: 0,
            context_tokens: 4_096,
            sequences: 4,
            queue: 16,
            gpu_layers: 0,
            lora: None,
            lora_scale: 1.0,
            cache: CacheType::default(),
            flash_attention: None,
        }
    }
}

impl Llm {
    /// The model of Anthropic's that answers where none is named: the one that answers first.
    pub const CLAUDE: &str = "claude-haiku-4-5";
}

impl Llm {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.llm.path", self.path.as_deref(), faults);
        path("engines.llm.api_key_file", self.api_key_file.as_deref(), faults);
        server("engines.llm.url", self.url.as_deref(), faults);
        faults.within("engines.llm.hedge_ms", self.hedge_ms, 0..=4_000);
        let costs = [
            ("prompt_price", self.prompt_price),
            ("cache_read_price", self.cache_read_price.unwrap_or(0.0)),
            ("cache_write_price", self.cache_write_price.unwrap_or(0.0)),
            ("completion_price", self.completion_price),
            ("daily_cost", self.daily_cost),
        ];
        for (key, value) in costs {
            faults.within(&format!("engines.llm.{key}"), value, 0.0..=1e12);
        }
        // A call takes an engine for stuck that is silent for six seconds, and the local model wants some of them.
        faults.within("engines.llm.first_token_timeout_s", self.first_token_timeout_s, 0.05..=4.0);
        faults.within("engines.llm.token_timeout_s", self.token_timeout_s, 0.05..=5.0);
        faults.within("engines.llm.parallel", self.parallel, 1..=4_096);
        if self.engine == LlmEngine::Openai && self.model.is_none() {
            faults.add("engines.llm.model", "is missing: name the model that the server is to answer with".into());
        }
        faults.within("engines.llm.threads", self.threads, 0..=512);
        path("engines.llm.lora", self.lora.as_deref(), faults);
        if self.lora.is_some() && self.path.is_none() {
            faults.add("engines.llm.lora", "stands on top of a model: name that as engines.llm.path".into());
        }
        faults.within("engines.llm.lora_scale", self.lora_scale, 0.0..=10.0);
        if self.cache != CacheType::F16 && self.flash_attention == Some(false) {
            faults.add("engines.llm.cache", "in fewer bits wants flash_attention: leave that out".into());
        }
        faults.within("engines.llm.sequences", self.sequences, 1..=256);
        faults.within("engines.llm.queue", self.queue, 1..=4_096);
        faults.within("engines.llm.context_tokens", self.context_tokens, 256..=4_194_304);
        if self.sequences > 0 && self.context_tokens / self.sequences < 128 {
            faults.add(
                "engines.llm.context_tokens",
                format!(
                    "leaves fewer than 128 tokens for each of the {} sequences; give at least {}",
                    self.sequences,
                    u64::from(self.sequences) * 128
                ),
            );
        }
    }
}
