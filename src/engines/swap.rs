//! Another model in the place of one that is in memory, while calls are up.
//!
//! ```text
//! a path ─► may it be read? ─► loaded beside the old one ─► tried: it hears, answers, translates or speaks ─► its slot
//!               └────────────────────┴───────────────────────────┴── what is wrong is told, and the old one stays
//! ```
//! Nothing of it outlasts the process: the next start loads what the configuration names.

use std::{
    path::Path,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use milo_models::{
    demo,
    engine::{EngineError, Language},
    language_model::{ChatMessage, ChatRequest, LanguageModel, Role},
    llama::Llama,
    queue::Class,
    synthesizer::{SpeechOptions, Synthesizer},
    transcriber::{Listen, Transcriber},
    translator::Translator,
};
use serde::Serialize;
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};

use super::{
    Model, Slot, answering_options, ears,
    memory::{self, Room},
    order::Order,
    runtime, uses_cards, voices, ways,
};
use crate::{config::Config, error::Error, metrics::Metrics, store::Stamp};

/// The engines whose model may be changed, by their tables in `[engines]`.
pub const CHANGEABLE: [&str; 4] = ["stt", "llm", "translate", "tts"];

/// How long a model may take for what it is tried with: it is a sentence, and calls go before.
const TRIAL: Duration = Duration::from_secs(60);
/// What is said to ears and mouths, translated, and answered.
const SENTENCES: [(&str, Language); 2] =
    [("amin'ny ora firy no misokatra ny birao", Language::Mg), ("à quelle heure ouvre le bureau", Language::Fr)];
/// Tokens of the answer.
const TOKENS: usize = 8;

/// The places of the models of this process, and how others come into them.
pub(super) struct Swaps {
    /// As at the start.
    config: Config,
    /// With what came since.
    now: RwLock<Config>,
    metrics: Arc<Metrics>,
    slots: Slots,
    models: RwLock<Vec<Model>>,
    /// One after the other: two at once would be three in memory. Held over the load.
    busy: Arc<Mutex<()>>,
}

/// The places.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) transcriber: Slot<dyn Transcriber>,
    pub(super) mind: Slot<dyn LanguageModel>,
    /// Whether that one does as it is told besides what it was trained with.
    pub(super) heeds: Arc<AtomicBool>,
    pub(super) translator: Slot<Translator>,
    pub(super) voice: Slot<dyn Synthesizer>,
}

/// A model that has come into its place.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ModelChange)]
pub struct Swapped {
    /// What it is now.
    pub model: Model,
    /// Milliseconds until it was loaded.
    #[schema(example = 1_840)]
    pub load_ms: u64,
    /// What it did when it was tried.
    #[schema(example = "heard \"amin'ny ora firy no misokatra ny birao\"")]
    pub tried: String,
}

/// Why the old one stays.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unswapped {
    /// There is no such engine.
    #[error("{0:?} is no engine whose model can be changed; these are: {these}", these = CHANGEABLE.join(", "))]
    Unknown(String),
    /// Another model is being loaded.
    #[error("another model is being loaded; try again when it is there")]
    Busy,
    /// The path, the model or what it did is not right.
    #[error("{0}; the model of before stays")]
    Wrong(String),
}

/// What was loaded, and not put anywhere yet.
enum Loaded {
    Ears(Arc<dyn Transcriber>),
    Mind(Arc<dyn LanguageModel>),
    Translator(Arc<Translator>),
    Voice(Box<voices::Voices>),
}

impl Swaps {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>, slots: Slots, models: Vec<Model>) -> Self {
        let now = RwLock::new(config.clone());
        Self { config: config.clone(), now, metrics, slots, models: RwLock::new(models), busy: Arc::default() }
    }

    /// The ears and the voice of this process, for whoever no server may hear.
    pub(super) fn within(&self) -> (Arc<dyn Transcriber>, Arc<dyn Synthesizer>) {
        (Arc::new(self.slots.transcriber.clone()), Arc::new(self.slots.voice.clone()))
    }

    /// What the configuration says of the engines.
    pub(super) fn settings(&self) -> &crate::config::Engines {
        &self.config.engines
    }

    /// The models in memory.
    pub(super) fn models(&self) -> Vec<Model> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the configuration names a language model of its own.
    pub(super) fn names_a_mind(&self) -> bool {
        self.config.engines.llm.path.is_some()
    }

    /// What tells the work of the models of these engines from that of those before them; empty for those of the start.
    pub(super) fn made_by(&self, jobs: &[&str]) -> String {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let of_jobs = models.iter().filter(|model| jobs.contains(&model.job));
        let told = of_jobs.filter_map(|model| Some(format!("{} {}", model.name, model.since?.millis())));
        told.collect::<Vec<_>>().join(" ")
    }

    /// Loads what is wanted, and puts it into its place if it does its work. Whoever drops this has changed nothing.
    ///
    /// # Errors
    /// Why the old one stays.
    pub(super) async fn swap(&self, order: Order<'_>, prompts: Vec<String>) -> Result<Swapped, Unswapped> {
        let job = CHANGEABLE.into_iter().find(|known| *known == order.job);
        let job = job.ok_or_else(|| Unswapped::Unknown(order.job.into()))?;
        let busy = Arc::clone(&self.busy).try_lock_owned().map_err(|_| Unswapped::Busy)?;
        let came = self.try_to(job, order, prompts, busy).await;
        self.metrics.swapped(job, if came.is_ok() { "done" } else { "refused" });
        match &came {
            Ok(Swapped { model, load_ms, tried }) => {
                tracing::info!(engine = job, model = model.name, load_ms, tried, "a model was changed");
            }
            Err(why) => tracing::warn!(engine = job, %why, "a model was not changed"),
        }
        came
    }

    async fn try_to(
        &self,
        job: &'static str,
        order: Order<'_>,
        prompts: Vec<String>,
        busy: tokio::sync::OwnedMutexGuard<()>,
    ) -> Result<Swapped, Unswapped> {
        let wrong = |says: String| Unswapped::Wrong(says.trim_end_matches('.').to_owned());
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner).clone();
        let config = order.placed(&self.config, &now).map_err(wrong)?;
        let placed = config.clone();
        let began = tokio::time::Instant::now();
        // What cannot be called off keeps the place until it is over.
        let loading = move || (load(&config, job, prompts), busy);
        let (loaded, _busy) = spawn_blocking(loading).await.map_err(|error| wrong(error.to_string()))?;
        let (loaded, mut models) = loaded.map_err(|error| wrong(error.to_string()))?;
        let since = Some(Stamp::now());
        models.iter_mut().for_each(|model| model.since = since);
        let named = order.path.and_then(Path::file_name).map(|name| name.to_string_lossy());
        let model = models.iter().find(|model| named.as_deref() == Some(model.name.as_str())).or(models.first());
        let model = model.cloned().ok_or_else(|| wrong("no model was loaded".into()))?;
        let load_ms = began.elapsed().as_millis() as u64;
        let tried = timeout(TRIAL, self.tried(&loaded)).await;
        let late = |_| Err(format!("{} did nothing within {} s", model.name, TRIAL.as_secs()));
        let tried = tried.unwrap_or_else(late).map_err(wrong)?;
        match loaded {
            Loaded::Ears(ears) => self.slots.transcriber.put(ears),
            Loaded::Mind(mind) => {
                self.slots.mind.put(mind);
                self.slots.heeds.store(!model.demonstration, Ordering::Relaxed);
            }
            Loaded::Translator(translator) => self.slots.translator.put(translator),
            Loaded::Voice(voice) => self.slots.voice.put(Arc::new(voice.covered(Arc::clone(&self.metrics)))),
        }
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = placed;
        let mut known = self.models.write().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|before| before.job == job).unwrap_or(known.len());
        known.retain(|before| before.job != job);
        known.splice(at..at, models);
        Ok(Swapped { model, load_ms, tried })
    }

    /// Whether what hears now knows this language.
    async fn hears(&self, language: Language) -> bool {
        let asked = Listen { class: Class::Interactive, ..Listen::to(Some(language)) };
        !matches!(self.slots.transcriber.transcribe(vec![0; 8_000], asked).await, Err(EngineError::Input(_)))
    }

    /// What it does with a sentence, or what is wrong with that.
    async fn tried(&self, loaded: &Loaded) -> Result<String, String> {
        let failed = |error: EngineError| error.to_string();
        match loaded {
            Loaded::Ears(ears) => {
                let (mut did, mut unfit) = (Vec::new(), None);
                for (sentence, language) in SENTENCES {
                    let said = said(&self.slots.voice, sentence, language).await.map_err(failed)?;
                    let asked = Listen { class: Class::Interactive, ..Listen::to(Some(language)) };
                    match ears.transcribe(said, asked).await {
                        // Some know one language, and then another one of before must not be lost.
                        Err(EngineError::Input(why)) => {
                            if self.hears(language).await {
                                let lost =
                                    format!("{why}, and the one of before does: name the `language` that it hears");
                                return Err(lost);
                            }
                            unfit = Some(why);
                        }
                        Err(error) => return Err(failed(error)),
                        Ok(heard) if heard.text.chars().any(char::is_alphanumeric) => {
                            did.push(format!("{:?}", heard.text));
                        }
                        Ok(_) => return Err(format!("it heard nothing when {sentence:?} was said")),
                    }
                }
                match unfit.filter(|_| did.is_empty()) {
                    Some(why) => Err(why),
                    None => Ok(format!("heard {}", did.join(" and "))),
                }
            }
            Loaded::Mind(mind) => {
                let asked = vec![ChatMessage::new(Role::User, SENTENCES[0].0)];
                let mut reply = mind.reply(ChatRequest::new(asked, TOKENS, Class::Interactive)).map_err(failed)?;
                let mut text = String::new();
                while let Some(token) = reply.next().await {
                    text.push_str(&token.map_err(failed)?.text);
                }
                if text.trim().is_empty() {
                    Err("it answered nothing".into())
                } else {
                    Ok(format!("answered {text:?}"))
                }
            }
            Loaded::Translator(translator) => {
                let mut did = Vec::new();
                for (sentence, language) in SENTENCES {
                    let into = if language == Language::Mg { Language::Fr } else { Language::Mg };
                    let translating = translator.translate(sentence, language, into, Class::Interactive);
                    let translation = translating.await.map_err(failed)?;
                    if translation.confidence <= 0.0 || translation.text.trim().is_empty() {
                        return Err(format!("it found no end of {sentence:?} in the other language"));
                    }
                    did.push(format!("{:?}", translation.text));
                }
                Ok(format!("translated {}", did.join(" and ")))
            }
            Loaded::Voice(voice) => {
                let mut spoken = 0;
                for (sentence, language) in SENTENCES {
                    let samples = said(&**voice, sentence, language).await.map_err(failed)?;
                    let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
                    if loudest < 1_000 {
                        return Err(format!("nothing was to be heard when it said {sentence:?}"));
                    }
                    spoken += samples.len();
                }
                Ok(format!("spoke for {:.1} s", spoken as f64 / 16_000.0))
            }
        }
    }
}

/// A sentence as sound.
async fn said(voice: &dyn Synthesizer, text: &str, language: Language) -> Result<Vec<i16>, EngineError> {
    let options = SpeechOptions { class: Class::Interactive, ..SpeechOptions::default() };
    let mut speech = voice.speak(text, language, options)?;
    let mut samples = Vec::new();
    while let Some(piece) = speech.next().await {
        samples.extend(piece?);
    }
    Ok(samples)
}

/// Loads the model of an engine as this configuration has it. Blocks while it reads.
fn load(config: &Config, job: &'static str, prompts: Vec<String>) -> Result<(Loaded, Vec<Model>), Error> {
    let ort = runtime(config)?;
    let (shipped, manifest) = (demo::unpack(&config.data_dir)?, demo::manifest()?);
    // The one that it is to replace stays in memory until then.
    let wanted: Vec<_> = memory::needs(config, &shipped).into_iter().filter(|need| need.job == job).collect();
    memory::fit(&wanted, &Room::now(uses_cards(config))).map_err(EngineError::Load)?;
    let engines = &config.engines;
    Ok(match job {
        "stt" => {
            let path = engines.stt.path.as_deref();
            let ears = ears::load(path, config, &ort, &shipped)?;
            (Loaded::Ears(ears), ears::models(path, config, &shipped, &manifest))
        }
        "translate" => {
            let path = engines.translate.path.as_deref();
            let translator = Arc::new(ways::load(path, config, &ort, &shipped)?);
            (Loaded::Translator(translator), ways::models(path, config, &shipped, &manifest))
        }
        "llm" => {
            let path = engines.llm.path.as_ref();
            let options = answering_options(config, path.is_none(), prompts);
            let mind = Arc::new(Llama::load(path.unwrap_or(&shipped.llama), options)?);
            let model = match path {
                Some(path) => Model::configured(job, path),
                None => Model::shipped(job, "milo-mind-demo", &shipped.llama, &manifest),
            };
            (Loaded::Mind(mind), vec![model])
        }
        _ => {
            let voice = Box::new(voices(config, &ort, &shipped)?);
            (Loaded::Voice(voice), voices::models(config, &shipped, &manifest))
        }
    })
}
