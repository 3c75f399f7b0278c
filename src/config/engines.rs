//! `[engines]`: the models. An unset path means the small demonstration model that ships with Milo; an engine may be a server that
//! is asked, and then the local one answers where that does not.

use std::path::PathBuf;

use milo_models::openai::Format;
use serde::{Deserialize, Serialize};

use super::{Faults, Secret, SecretUrl};

/// All engines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Engines {
    /// `libonnxruntime.so`, when it is not where `make setup` puts it.
    pub onnxruntime: Option<PathBuf>,
    /// What Anthropic's server, or one that speaks its protocol, is shown, where an engine names no file with another.
    pub anthropic_api_key: Option<Secret>,
    /// The same for servers that speak OpenAI's protocol.
    pub openai_api_key: Option<Secret>,
    /// The proxy over which servers are asked; unset: as HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
    pub proxy: Option<SecretUrl>,
    /// The authorities that servers' certificates are believed by, a PEM file; unset: those of the system.
    pub ca: Option<PathBuf>,
    /// How long a connection to a server may take, in seconds.
    pub connect_timeout_s: f64,
    /// After so many failures in a row a server is not asked for a while; 0: it always is.
    pub failures_before_rest: u32,
    /// For how long it is not, in seconds; each time it fails again, twice as long, five minutes at most.
    pub rest_s: f64,
    /// Voice activity.
    pub vad: Vad,
    /// Whether a pause is the end of a turn.
    pub turn: Turn,
    /// Speech to text.
    pub stt: Stt,
    /// The translator.
    pub translate: Translate,
    /// The language model.
    pub llm: Llm,
    /// The voice.
    pub tts: Tts,
    /// What texts mean.
    pub embeddings: Embeddings,
}

impl Default for Engines {
    fn default() -> Self {
        Self {
            onnxruntime: None,
            anthropic_api_key: None,
            openai_api_key: None,
            proxy: None,
            ca: None,
            connect_timeout_s: 1.0,
            failures_before_rest: 5,
            rest_s: 10.0,
            vad: Vad::default(),
            turn: Turn::default(),
            stt: Stt::default(),
            translate: Translate::default(),
            llm: Llm::default(),
            tts: Tts::default(),
            embeddings: Embeddings::default(),
        }
    }
}

/// `[engines.vad]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Vad {
    /// A Silero graph (`.onnx`).
    pub path: Option<PathBuf>,
}

/// `[engines.turn]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// Whether the sound of a pause is judged; if not, silence alone ends a turn.
    pub enabled: bool,
    /// A graph in Smart Turn's form (`.onnx`).
    pub path: Option<PathBuf>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { enabled: true, path: None }
    }
}

/// Who hears, or speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechEngine {
    /// The engine in this process.
    #[default]
    Local,
    /// A server that is asked by OpenAI's protocol.
    Openai,
}

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
            threads: 0,
        }
    }
}

/// `[engines.translate]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Translate {
    /// A folder with a Hugging Face export of NLLB-200 or M2M100 (encoder, decoder, tokenizer.json). It translates all that the set
    /// phrases do not; the small one that ships only what no language model can.
    pub path: Option<PathBuf>,
    /// Threads a forward pass may use; 0 takes half of the machine's cores, at least one.
    pub threads: usize,
    /// A translation less sure than this, 0 to 1, is none. The one that ships has a limit of its own and may be given a higher one.
    pub min_confidence: f32,
}

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

/// `[engines.llm]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Llm {
    /// Who answers; where it is a server, the local model answers what that does not.
    pub engine: LlmEngine,
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
    /// And what a million cost that it says.
    pub completion_price: f64,
    /// What it may cost a day, UTC; then the local model answers until the next. 0: whatever it comes to.
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
}

impl Default for Llm {
    fn default() -> Self {
        Self {
            engine: LlmEngine::Local,
            url: None,
            model: None,
            api_key_file: None,
            first_token_timeout_s: 2.0,
            token_timeout_s: 4.0,
            hedge_ms: 0,
            prompt_price: 0.0,
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
        }
    }
}

impl Llm {
    /// The model of Anthropic's that answers where none is named: the one that answers first.
    pub const CLAUDE: &str = "claude-haiku-4-5";
}

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
    /// Clauses that the server has at once; those beyond them the local voice says.
    pub parallel: usize,
    /// A folder with espeak-ng data.
    pub path: Option<PathBuf>,
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
            parallel: 64,
            path: None,
        }
    }
}

/// `[engines.embeddings]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Embeddings {
    /// The model's name on the server; unset: nobody is asked, and what is known is found by its words.
    pub model: Option<String>,
    /// The server's address; unset: OpenAI's own.
    pub url: Option<String>,
    /// A file whose only line is the key for the server, read in place of the key of `[engines]`.
    pub api_key_file: Option<PathBuf>,
    /// How long an answer may take, in seconds; then words alone find.
    pub timeout_s: f64,
    /// Requests that the server has at once.
    pub parallel: usize,
    /// A piece whose vector is less alike to the question's than this, 0 to 1, is not found by what it means.
    pub min_similarity: f32,
}

impl Default for Embeddings {
    fn default() -> Self {
        Self { model: None, url: None, api_key_file: None, timeout_s: 2.0, parallel: 16, min_similarity: 0.35 }
    }
}

impl Engines {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        for (key, path) in [
            ("engines.onnxruntime", &self.onnxruntime),
            ("engines.vad.path", &self.vad.path),
            ("engines.turn.path", &self.turn.path),
            ("engines.stt.path", &self.stt.path),
            ("engines.translate.path", &self.translate.path),
            ("engines.llm.path", &self.llm.path),
            ("engines.tts.path", &self.tts.path),
            ("engines.ca", &self.ca),
            ("engines.stt.api_key_file", &self.stt.api_key_file),
            ("engines.llm.api_key_file", &self.llm.api_key_file),
            ("engines.tts.api_key_file", &self.tts.api_key_file),
            ("engines.embeddings.api_key_file", &self.embeddings.api_key_file),
        ] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                faults.add(key, "is empty: remove the line for what is without it, or give a path".into());
            }
        }
        // A call takes an engine for stuck that is silent for six seconds, and the local model wants some of them.
        faults.within("engines.connect_timeout_s", self.connect_timeout_s, 0.05..=60.0);
        faults.within("engines.failures_before_rest", self.failures_before_rest, 0..=1_000);
        faults.within("engines.rest_s", self.rest_s, 0.1..=300.0);
        faults.within("engines.llm.hedge_ms", self.llm.hedge_ms, 0..=4_000);
        let llm = &self.llm;
        let costs = [
            ("prompt_price", llm.prompt_price),
            ("completion_price", llm.completion_price),
            ("daily_cost", llm.daily_cost),
        ];
        for (key, value) in costs {
            faults.within(&format!("engines.llm.{key}"), value, 0.0..=1e12);
        }
        if llm.daily_cost > 0.0 && llm.prompt_price + llm.completion_price <= 0.0 {
            faults.add("engines.llm.daily_cost", "limits nothing without prompt_price or completion_price".into());
        }
        faults.within("engines.llm.first_token_timeout_s", self.llm.first_token_timeout_s, 0.05..=4.0);
        faults.within("engines.llm.token_timeout_s", self.llm.token_timeout_s, 0.05..=5.0);
        faults.within("engines.llm.parallel", self.llm.parallel, 1..=4_096);
        if self.proxy.as_ref().is_some_and(|proxy| !is_web(proxy.reveal())) {
            faults.add("engines.proxy", "is no http://HOST:PORT".into());
        }
        // A call waits eight seconds for a transcript, and the local transcriber wants some of them.
        faults.within("engines.stt.timeout_s", self.stt.timeout_s, 0.05..=6.0);
        faults.within("engines.stt.parallel", self.stt.parallel, 1..=4_096);
        faults.within("engines.tts.timeout_s", self.tts.timeout_s, 0.05..=4.0);
        faults.within("engines.tts.parallel", self.tts.parallel, 1..=4_096);
        is_server("engines.stt.url", self.stt.url.as_deref(), faults);
        is_server("engines.llm.url", self.llm.url.as_deref(), faults);
        is_server("engines.tts.url", self.tts.url.as_deref(), faults);
        if self.stt.engine == SpeechEngine::Openai && self.stt.model.is_none() {
            faults.add("engines.stt.model", "is missing: name the model that the server is to hear with".into());
        }
        if self.tts.engine == SpeechEngine::Openai && (self.tts.model.is_none() || self.tts.voice.is_none()) {
            let key = if self.tts.model.is_none() { "engines.tts.model" } else { "engines.tts.voice" };
            faults.add(key, "is missing: name the model and the voice that the server is to speak with".into());
        }
        if self.llm.engine == LlmEngine::Openai && self.llm.model.is_none() {
            faults.add("engines.llm.model", "is missing: name the model that the server is to answer with".into());
        }
        is_server("engines.embeddings.url", self.embeddings.url.as_deref(), faults);
        faults.within("engines.embeddings.timeout_s", self.embeddings.timeout_s, 0.05..=10.0);
        faults.within("engines.embeddings.parallel", self.embeddings.parallel, 1..=4_096);
        faults.within("engines.embeddings.min_similarity", self.embeddings.min_similarity, 0.0..=1.0);
        let Embeddings { model, url, api_key_file, .. } = &self.embeddings;
        if model.is_none() && (url.is_some() || api_key_file.is_some()) {
            faults.add(
                "engines.embeddings.model",
                "is missing: name the model that the server is to be asked for".into(),
            );
        }
        faults.within("engines.stt.threads", self.stt.threads, 0..=512);
        faults.within("engines.translate.threads", self.translate.threads, 0..=512);
        faults.within("engines.translate.min_confidence", self.translate.min_confidence, 0.0..=1.0);
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

fn is_web(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// A server's address holds no key and no password: it is shown.
fn is_server(key: &str, url: Option<&str>, faults: &mut Faults<'_>) {
    if url.is_some_and(|url| !is_web(url) || url.contains(['@', '?', '#']) || url.chars().any(char::is_whitespace)) {
        faults
            .add(key, "is no address of a server, such as https://api.example.com or http://127.0.0.1:8080/v1".into());
    }
}
