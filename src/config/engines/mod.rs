//! `[engines]`: the models. An unset path means the small demonstration model that ships with Milo; an engine may be a server that
//! is asked, and then the local one answers where that does not.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Faults, Secret, SecretUrl};

mod embeddings;
mod kserve;
mod llm;
mod stt;
mod translate;
mod tts;

use embeddings::Embeddings;
pub use kserve::Kserve;
pub use llm::{Llm, LlmEngine};
pub use stt::Stt;
pub use translate::Translate;
pub use tts::Tts;

/// All engines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Engines {
    /// `libonnxruntime.so`, when it is not where `make setup` puts it.
    pub onnxruntime: Option<PathBuf>,
    /// Where the graphs of the ears, the translator and the voices are computed.
    pub device: GraphDevice,
    /// Which card that is.
    pub card: u8,
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
    /// An inference server that runs graphs for the engines of this process.
    pub kserve: Kserve,
}

impl Default for Engines {
    fn default() -> Self {
        Self {
            onnxruntime: None,
            device: GraphDevice::Cpu,
            card: 0,
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
            kserve: Kserve::default(),
        }
    }
}

/// Where ONNX Runtime computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GraphDevice {
    /// On the processor.
    #[default]
    Cpu,
    /// On an NVIDIA card, by CUDA.
    Cuda,
    /// On an NVIDIA card, by TensorRT.
    Tensorrt,
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
    /// By what.
    pub engine: TurnEngine,
    /// A graph in Smart Turn's form (`.onnx`).
    pub path: Option<PathBuf>,
}

impl Default for Turn {
    fn default() -> Self {
        Self { enabled: true, engine: TurnEngine::Graph, path: None }
    }
}

/// What judges the sound of a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnEngine {
    /// A graph; where it says nothing, what `Prosody` does.
    #[default]
    Graph,
    /// Pitch, loudness and length, by no model.
    Prosody,
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

impl Engines {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        path("engines.onnxruntime", self.onnxruntime.as_deref(), faults);
        path("engines.vad.path", self.vad.path.as_deref(), faults);
        path("engines.turn.path", self.turn.path.as_deref(), faults);
        if self.turn.path.is_some() && self.turn.engine == TurnEngine::Prosody {
            faults.add("engines.turn.path", "is not used: [engines.turn] engine is prosody".into());
        }
        path("engines.ca", self.ca.as_deref(), faults);
        faults.within("engines.connect_timeout_s", self.connect_timeout_s, 0.05..=60.0);
        faults.within("engines.failures_before_rest", self.failures_before_rest, 0..=1_000);
        faults.within("engines.rest_s", self.rest_s, 0.1..=300.0);
        if self.proxy.as_ref().is_some_and(|proxy| !is_web(proxy.reveal())) {
            faults.add("engines.proxy", "is no http://HOST:PORT".into());
        }
        self.stt.check(faults);
        self.translate.check(faults);
        self.llm.check(faults);
        self.tts.check(faults);
        self.embeddings.check(faults);
        self.kserve.check(self, faults);
        let prices =
            [self.llm.prompt_price, self.llm.completion_price, self.stt.minute_price, self.tts.character_price];
        if self.llm.daily_cost > 0.0 && prices.iter().all(|price| *price <= 0.0) {
            let says = "limits nothing without a price: prompt_price and completion_price here, minute_price of \
                        [engines.stt], or character_price of [engines.tts]";
            faults.add("engines.llm.daily_cost", says.into());
        }
    }
}

fn path(key: &str, path: Option<&Path>, faults: &mut Faults<'_>) {
    if path.is_some_and(|path| path.as_os_str().is_empty()) {
        faults.add(key, "is empty: remove the line for what is without it, or give a path".into());
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// A server's address holds no key and no password: it is shown.
fn server(key: &str, url: Option<&str>, faults: &mut Faults<'_>) {
    if url.is_some_and(|url| !is_web(url) || url.contains(['@', '?', '#']) || url.chars().any(char::is_whitespace)) {
        faults
            .add(key, "is no address of a server, such as https://api.example.com or http://127.0.0.1:8080/v1".into());
    }
}
