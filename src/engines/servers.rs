//! The servers that are asked, out of the configuration.

use std::{
    fs,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use milo_models::{
    anthropic::{self, Anthropic},
    engine::EngineError,
    language_model::LanguageModel,
    openai::{self, Embedder, Speaker, Transcription},
    remote::RemoteOptions,
    synthesizer::Synthesizer,
    transcriber::Transcriber,
};
use serde::Serialize;

use super::served::Absent;
use crate::config::{Engines, Llm, LlmEngine, Secret, SpeechEngine};

/// A server that is asked, as health shows it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = EngineServer)]
pub struct Server {
    /// What it is for: `llm`, `stt`, `tts`, `turn` or `embeddings`.
    #[schema(example = "llm")]
    pub job: &'static str,
    /// The protocol: `anthropic` or `openai`, or `kserve` where it runs the graph of an engine of this process.
    #[schema(example = "openai")]
    pub engine: &'static str,
    /// The model's name there.
    #[schema(example = "qwen3-8b")]
    pub model: String,
    /// It failed again and again, and is not asked for a while.
    pub resting: bool,
}

impl Server {
    /// Whether what it does is paid by how much it is; an inference server of the operator's own is not.
    pub(super) fn costs(&self) -> bool {
        [ANTHROPIC.name, OPENAI.name].contains(&self.engine)
    }
}

/// The servers that were found in the configuration, and what is to be said of those that cannot be asked.
#[derive(Default)]
pub(super) struct Servers {
    pub(super) asked: Vec<Server>,
    pub(super) notes: Vec<String>,
    /// The engines whose graph one of them runs, and who may wait for it.
    pub(super) absent: Vec<Absent>,
    /// How often each engine's were asked once more.
    pub(super) again: Vec<(&'static str, Arc<AtomicU64>)>,
}

/// A protocol: its own servers' address, and the variable that brings the key for them.
struct Protocol {
    name: &'static str,
    url: &'static str,
    variable: &'static str,
}

const ANTHROPIC: Protocol = Protocol { name: "anthropic", url: anthropic::URL, variable: "ANTHROPIC_API_KEY" };
const OPENAI: Protocol = Protocol { name: "openai", url: openai::URL, variable: "OPENAI_API_KEY" };

/// What one engine's section says of its server.
struct Wanted<'a> {
    job: &'static str,
    protocol: &'static Protocol,
    url: Option<&'a str>,
    model: &'a str,
    key_file: Option<&'a Path>,
    first_s: f64,
    between_s: f64,
    parallel: usize,
}

impl Servers {
    /// The language model on a server, where one is configured.
    pub(super) fn language_model(&mut self, engines: &Engines) -> Result<Option<Arc<dyn LanguageModel>>, EngineError> {
        let llm = &engines.llm;
        let protocol = if llm.engine == LlmEngine::Openai { &OPENAI } else { &ANTHROPIC };
        let wanted = Wanted {
            job: "llm",
            protocol,
            url: llm.url.as_deref(),
            model: llm.model.as_deref().unwrap_or(Llm::CLAUDE),
            key_file: llm.api_key_file.as_deref(),
            first_s: llm.first_token_timeout_s,
            between_s: llm.token_timeout_s,
            parallel: llm.parallel,
        };
        if llm.engine == LlmEngine::Local {
            return Ok(None);
        }
        let Some(options) = self.options(engines, &wanted)? else { return Ok(None) };
        Ok(Some(match llm.engine {
            LlmEngine::Openai => Arc::new(openai::Chat::new(&options, llm.count_tokens)?),
            LlmEngine::Anthropic | LlmEngine::Local => Arc::new(Anthropic::new(&options)?),
        }))
    }

    /// The transcriber on a server, where one is configured.
    pub(super) fn transcriber(&mut self, engines: &Engines) -> Result<Option<Arc<dyn Transcriber>>, EngineError> {
        let stt = &engines.stt;
        if stt.engine == SpeechEngine::Local {
            return Ok(None);
        }
        let wanted = Wanted {
            job: "stt",
            protocol: &OPENAI,
            url: stt.url.as_deref(),
            model: stt.model.as_deref().unwrap_or_default(),
            key_file: stt.api_key_file.as_deref(),
            first_s: stt.timeout_s,
            between_s: stt.timeout_s,
            parallel: stt.parallel,
        };
        let Some(options) = self.options(engines, &wanted)? else { return Ok(None) };
        Ok(Some(Arc::new(Transcription::new(&options)?.told(&stt.hot_words, stt.prompt.as_deref()))))
    }

    /// The voice on a server, where one is configured.
    pub(super) fn voice(&mut self, engines: &Engines) -> Result<Option<Arc<dyn Synthesizer>>, EngineError> {
        let tts = &engines.tts;
        if tts.engine == SpeechEngine::Local {
            return Ok(None);
        }
        let wanted = Wanted {
            job: "tts",
            protocol: &OPENAI,
            url: tts.url.as_deref(),
            model: tts.model.as_deref().unwrap_or_default(),
            key_file: tts.api_key_file.as_deref(),
            first_s: tts.timeout_s,
            between_s: tts.timeout_s,
            parallel: tts.parallel,
        };
        let Some(options) = self.options(engines, &wanted)? else { return Ok(None) };
        Ok(Some(Arc::new(Speaker::new(&options, tts.voice.as_deref().unwrap_or_default(), tts.format)?)))
    }

    /// Who knows what texts mean, where one is configured.
    pub(super) fn embedder(&mut self, engines: &Engines) -> Result<Option<Embedder>, EngineError> {
        let embeddings = &engines.embeddings;
        let Some(model) = &embeddings.model else { return Ok(None) };
        let wanted = Wanted {
            job: "embeddings",
            protocol: &OPENAI,
            url: embeddings.url.as_deref(),
            model,
            key_file: embeddings.api_key_file.as_deref(),
            first_s: embeddings.timeout_s,
            between_s: embeddings.timeout_s,
            parallel: embeddings.parallel,
        };
        self.options(engines, &wanted)?.map(|options| Embedder::new(&options)).transpose()
    }

    /// How a server is asked; nothing, with a note, where it is not for want of a key.
    fn options(&mut self, engines: &Engines, wanted: &Wanted<'_>) -> Result<Option<RemoteOptions>, EngineError> {
        let Wanted { job, protocol, url, model, key_file, first_s, between_s, parallel } = wanted;
        let named = if protocol.name == "openai" { &engines.openai_api_key } else { &engines.anthropic_api_key };
        let key = key(*key_file, named.as_ref())?;
        // A server of the operator's own may want none; those of whoever made the protocol, and Anthropic's protocol, always do.
        if key.is_none() && (url.is_none() || protocol.name == "anthropic") {
            self.notes.push(format!(
                "The local engine does what [engines.{job}] would ask a server for: there is no key. Set {}, or api_key_file there.",
                protocol.variable
            ));
            return Ok(None);
        }
        self.asked.push(Server { job, engine: protocol.name, model: (*model).to_owned(), resting: false });
        Ok(Some(RemoteOptions {
            url: url.unwrap_or(protocol.url).to_owned(),
            model: (*model).to_owned(),
            key,
            proxy: engines.proxy.as_ref().map(|proxy| proxy.reveal().to_owned()),
            ca: engines.ca.clone(),
            connect: Duration::from_secs_f64(engines.connect_timeout_s),
            first: Duration::from_secs_f64(*first_s),
            between: Duration::from_secs_f64(*between_s),
            parallel: *parallel,
            again: self.counts(job),
        }))
    }

    /// Where it is counted that a server of this engine is asked once more.
    pub(super) fn counts(&mut self, job: &'static str) -> Arc<AtomicU64> {
        let known = self.again.iter().find(|(own, _)| *own == job).map(|(_, count)| Arc::clone(count));
        known.unwrap_or_else(|| {
            let count = Arc::default();
            self.again.push((job, Arc::clone(&count)));
            count
        })
    }
}

/// Why no server answers, as a sentence goes on; nothing where one is asked. A file with a key that cannot be read is a fault of its own.
pub(crate) fn why_no_mind(engines: &Engines) -> Option<String> {
    let llm = &engines.llm;
    if llm.engine == LlmEngine::Local {
        return Some("[engines.llm] engine is \"local\"; name the server that is to answer there".into());
    }
    let mut servers = Servers::default();
    servers.language_model(engines).is_ok_and(|server| server.is_none()).then(|| servers.notes.join(" "))
}

/// The key of a file, or else the one that is named.
pub(super) fn key(file: Option<&Path>, named: Option<&Secret>) -> Result<Option<String>, EngineError> {
    let Some(file) = file else { return Ok(named.map(|key| key.reveal().to_owned())) };
    let wrong = |says: String| EngineError::Load(format!("api_key_file {}: {says}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let line = text.trim();
    if line.is_empty() || line.contains(char::is_whitespace) {
        return Err(wrong("is no single line with a key".into()));
    }
    Ok(Some(line.to_owned()))
}
