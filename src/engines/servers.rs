//! The servers that are asked, out of the configuration.

use std::{fs, path::Path, sync::Arc, time::Duration};

use milo_models::{
    anthropic::{self, Anthropic},
    engine::EngineError,
    language_model::LanguageModel,
    openai,
    remote::RemoteOptions,
};
use serde::Serialize;

use crate::config::{Config, Llm, LlmEngine, Secret};

/// Who is asked in place of the local model.
pub(super) enum Asked {
    /// Nobody.
    Nobody,
    /// Somebody should be, and cannot be: a sentence that says why.
    Keyless(String),
    /// This model on a server.
    Model(Arc<dyn LanguageModel>, Server),
}

/// A server that is asked, as health shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Server {
    /// What it is for: `llm`, `stt` or `tts`.
    pub job: &'static str,
    /// The protocol.
    pub engine: LlmEngine,
    /// The model's name there.
    pub model: String,
}

/// The language model on a server, where one is configured.
pub(super) fn language_model(config: &Config) -> Result<Asked, EngineError> {
    let (engines, llm) = (&config.engines, &config.engines.llm);
    let (named, url, variable) = match llm.engine {
        LlmEngine::Local => return Ok(Asked::Nobody),
        LlmEngine::Anthropic => (&engines.anthropic_api_key, anthropic::URL, "ANTHROPIC_API_KEY"),
        LlmEngine::Openai => (&engines.openai_api_key, openai::URL, "OPENAI_API_KEY"),
    };
    let key = key(llm.api_key_file.as_deref(), named.as_ref())?;
    // A server of the operator's own may want none.
    if key.is_none() && (llm.engine == LlmEngine::Anthropic || llm.url.is_none()) {
        return Ok(Asked::Keyless(format!(
            "The local language model answers: the cloud is not asked without a key; set {variable} or [engines.llm] api_key_file."
        )));
    }
    let options = RemoteOptions {
        url: llm.url.clone().unwrap_or_else(|| url.into()),
        model: llm.model.clone().unwrap_or_else(|| Llm::CLAUDE.into()),
        key,
        proxy: engines.proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
        ca: engines.ca.clone(),
        connect: Duration::from_secs_f64(engines.connect_timeout_s),
        first: Duration::from_secs_f64(llm.first_token_timeout_s),
        between: Duration::from_secs_f64(llm.token_timeout_s),
        parallel: llm.parallel,
    };
    let server = Server { job: "llm", engine: llm.engine, model: options.model.clone() };
    let model: Arc<dyn LanguageModel> = match llm.engine {
        LlmEngine::Openai => Arc::new(openai::Chat::new(&options)?),
        LlmEngine::Anthropic | LlmEngine::Local => Arc::new(Anthropic::new(&options)?),
    };
    Ok(Asked::Model(model, server))
}

/// The key of a file, or else the one that is named.
fn key(file: Option<&Path>, named: Option<&Secret>) -> Result<Option<String>, EngineError> {
    let Some(file) = file else { return Ok(named.map(|key| key.reveal().to_owned())) };
    let wrong = |says: String| EngineError::Load(format!("api_key_file {}: {says}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let line = text.trim();
    if line.is_empty() || line.contains(char::is_whitespace) {
        return Err(wrong("is no single line with a key".into()));
    }
    Ok(Some(line.to_owned()))
}
