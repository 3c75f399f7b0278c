//! The engines of the process, loaded once from the configuration: each is a thread, or a server that is asked, or a thread whose graph a
//! server runs; the handles are shared by every call.

mod alone;
mod awaited;
mod besides;
mod breaker;
mod brief;
pub(crate) mod capacity;
mod cards;
pub(crate) mod ears;
mod gguf;
mod judge;
mod line;
pub mod memory;
mod mind;
mod model;
mod order;
mod own;
mod purse;
mod runtime;
mod saying;
mod served;
mod servers;
mod slot;
mod spare;
mod swap;
mod timbre;
mod told;
mod tongue;
mod voices;
pub(crate) mod ways;
mod width;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

pub use alone::{Listening, Talking};
pub use besides::Besides;
pub use brief::Brief;
pub use ears::transcriber;
pub use judge::Judge;
use milo_models::{
    demo::{self, DemoFiles},
    end_of_turn::EndOfTurn,
    engine::{EngineError, Language},
    espeak::Espeak,
    language_model::LanguageModel,
    llama::{Llama, LlamaOptions},
    onnx::OrtRuntime,
    openai::Embedder,
    queue::{Waiting, Work},
    silero::VoiceActivity,
    synthesizer::Synthesizer,
    transcriber::Transcriber,
    translator::Translator,
};
pub use mind::{Mind, Mode};
pub use model::Model;
pub use order::Order;
use purse::Purse;
pub use purse::{Spending, Spent, Taken};
pub(crate) use runtime::{runtime, uses_cards};
pub use saying::Saying;
pub use servers::Server;
pub(crate) use servers::why_no_mind;
pub use slot::Slot;
pub use swap::{CHANGEABLE, Swapped, Unswapped};
pub use timbre::{Timbre, Timbres};
pub use told::REASONS;
pub use tongue::Tongue;

use crate::{
    config::{Config, TurnEngine},
    error::Error,
    metrics::Metrics,
    store::Stamp,
};
use awaited::Awaited;
use breaker::Breaker;
use line::Line;
use memory::Room;
use served::Absent;
use servers::Servers;
use spare::{beside, hearing, speaking};
use swap::{Slots, Swaps};
use told::Told;
use voices::Voices;

/// Handles of the loaded engines; cheap to clone.
#[derive(Clone)]
pub struct Engines {
    /// Voice activity.
    pub activity: VoiceActivity,
    /// Whether a pause is the end of a turn; none: silence alone tells.
    pub end_of_turn: Option<Judge>,
    /// Speech to text.
    pub transcriber: Arc<dyn Transcriber>,
    /// Texts in the other language.
    pub translator: Slot<Translator>,
    /// Replies.
    pub mind: Mind,
    /// Text to speech.
    pub voice: Arc<dyn Synthesizer>,
    /// What texts mean; none: nobody is asked.
    pub embedder: Option<Embedder>,
    /// No server is asked.
    is_local: bool,
    purse: Arc<Purse>,
    swaps: Arc<Swaps>,
    servers: Vec<Server>,
    /// Where others than calls wait for a place at a server: by its engine's name.
    lines: Vec<(&'static str, Arc<Line>)>,
    /// What a person should know who looks after Milo, a sentence each.
    notes: Vec<String>,
    /// What becomes of the servers.
    told: Vec<Told>,
    /// What may still wait for the server of its graph.
    absent: Vec<Absent>,
    /// How often each engine's servers were asked once more.
    again: Arc<[(&'static str, Arc<AtomicU64>)]>,
}

impl Engines {
    /// Loads every engine, the shipped demonstration model where no other is configured. Blocks while it reads. `prompts` are
    /// the personas': the language model reads each once. Servers are not asked yet, but for what the graphs that they run take.
    pub fn load(config: &Config, prompts: Vec<String>, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let settings = &config.engines;
        let ort = runtime(config)?;
        let shipped = demo::unpack(&config.data_dir)?;
        let manifest = demo::manifest()?;
        let model = |job, configured: Option<&PathBuf>, (name, at): (&str, &PathBuf)| match configured {
            Some(path) => Model::configured(job, path),
            None => Model::shipped(job, name, at, &manifest),
        };
        let mut names = vec![
            model("vad", settings.vad.path.as_ref(), ("silero-vad", &shipped.silero)),
            model("llm", settings.llm.path.as_ref(), ("milo-mind-demo", &shipped.llama)),
        ];
        names.extend(ears::models(None, config, &shipped, &manifest));
        names.extend(ways::models(None, config, &shipped, &manifest));
        names.extend(voices::models(config, &shipped, &manifest));
        let by_graph = settings.turn.enabled && settings.turn.engine == TurnEngine::Graph;
        names.extend(by_graph.then(|| model("turn", settings.turn.path.as_ref(), ("milo-turn-demo", &shipped.turn))));
        memory::fit(&memory::needs(config, &shipped), &Room::now(uses_cards(config))).map_err(EngineError::Load)?;
        let activity = notice(config, &ort, &shipped)?;
        let options = answering_options(config, settings.llm.path.is_none(), prompts);
        // What is wrong with them is told before the longest load.
        let mut servers = Servers::default();
        let cloud_ears = servers.ears(config, &ort)?;
        let cloud_mind = servers.language_model(settings)?.map(|mind| (mind, settings.llm.parallel));
        let espeak = espeak(config, &shipped)?;
        let cloud_voice = servers.voices(config, &ort, &espeak)?;
        let embedder = servers.embedder(settings)?;
        let served_judge = servers.served_judge(settings)?;
        let Servers { asked, mut notes, absent, again } = servers;
        notes.iter().for_each(|note| tracing::info!("{note}"));
        let told = ["stt", "llm", "tts", "turn"].map(|job| Told::new(job, Arc::clone(&metrics), breaker(config)));

        let end_of_turn = judge(config, &ort, &shipped, served_judge.map(|judge| (judge, told[3].clone())))?;
        let ears = cloud_ears.map(|ears| beside(ears, config));
        let cloud_voice = cloud_voice.map(|voice| (voice, Line::of("voice", settings.tts.parallel)));
        let lines = [
            ("stt_cloud", ears.as_ref().map(|(_, line)| line)),
            ("tts_cloud", cloud_voice.as_ref().map(|(_, line)| line)),
        ];
        let lines = lines.into_iter().filter_map(|(name, line)| Some((name, Arc::clone(line?)))).collect();
        let within = Slot::of(ears::load(None, config, &ort, &shipped)?);
        let purse = Arc::new(Purse::new(settings));
        let transcriber = hearing(ears, Arc::new(within.clone()), (&told[0], &purse));
        let translator = Slot::of(Arc::new(ways::load(None, config, &ort, &shipped)?));
        let voices = Voices::load(espeak, &settings.tts, &ort)?.covered(Arc::clone(&metrics));
        voices.notes().iter().for_each(|note| tracing::warn!("{note}"));
        notes.extend(voices.notes());
        // The last: it takes of each card by what is free there.
        let llama = Llama::load(settings.llm.path.as_ref().unwrap_or(&shipped.llama), options)?;
        let local: Slot<dyn LanguageModel> = Slot::of(Arc::new(llama));
        let hedge = (settings.llm.hedge_ms > 0).then(|| Duration::from_millis(settings.llm.hedge_ms));
        let limits = (hedge, Arc::clone(&purse));
        // The one that ships knows what it was trained with, and nothing else that it may be told.
        let heeds = Arc::new(AtomicBool::new(settings.llm.path.is_some()));
        let spare: Arc<dyn LanguageModel> = Arc::new(local.clone());
        let cloud_mind = (cloud_mind, settings.llm.default_mode);
        let mind = Mind::new((spare, Arc::clone(&heeds)), cloud_mind, limits, told[1].clone());
        let spoken: Slot<dyn Synthesizer> = Slot::of(Arc::new(voices));
        let voice = speaking(cloud_voice, settings.tts.voice.as_deref(), Arc::new(spoken.clone()), (&told[2], &purse));
        let slots = Slots { transcriber: within, mind: local, heeds, translator: translator.clone(), voice: spoken };
        let swaps = Arc::new(Swaps::new(config, metrics, slots, names));
        Ok(Self {
            activity,
            end_of_turn,
            transcriber,
            translator,
            mind,
            voice,
            embedder,
            is_local: false,
            purse,
            swaps,
            servers: asked,
            lines,
            notes,
            told: told.into(),
            absent,
            again: again.into(),
        })
    }

    /// Whether no server learns anything by them.
    pub fn ask_nobody(&self) -> bool {
        self.is_local || self.servers.is_empty()
    }

    /// The servers that are asked, or left alone for a while.
    pub fn servers(&self) -> Vec<Server> {
        let rests = |job: &str| self.told.iter().any(|told| told.job() == job && told.is_resting());
        self.servers.iter().map(|server| Server { resting: rests(server.job), ..server.clone() }).collect()
    }

    /// What is not wrong, and worth knowing: a sentence each.
    pub fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// What was wrong when servers were asked last: a sentence each.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.told.iter().filter_map(Told::fault).chain(self.absent.iter().filter_map(|absent| absent()));
        let faults = faults.map(|fault| capitalised(format!("{fault}; the local engine is there for it.")));
        faults.chain(self.spending().and_then(Spending::fault)).collect()
    }

    /// What servers have cost today; none where none is asked that could.
    pub fn spending(&self) -> Option<Spending> {
        let costs = self.servers.iter().any(|server| ["llm", "stt", "tts"].contains(&server.job) && server.costs());
        costs.then(|| self.purse.so_far(Stamp::now()))
    }

    /// How often another voice has stood in for the one that is asked, the local one for the server's, or espeak-ng for a model's: where that
    /// has changed meanwhile, a clause may be the other one's.
    pub fn voice_stood_in(&self) -> u64 {
        let told = self.told.iter().find(|told| told.job() == "tts");
        told.map_or(0, |told| told.stood_in() + told.metrics().covered("tts"))
    }

    /// The models in memory.
    pub fn models(&self) -> Vec<Model> {
        self.swaps.models()
    }

    /// What tells the work of the models of these engines from that of those before them; empty for those of the start.
    pub fn made_by(&self, jobs: &[&str]) -> String {
        self.swaps.made_by(jobs)
    }

    /// Puts the model that is wanted in the place of that of an engine of this process, one of [`CHANGEABLE`], once it has done its work on
    /// trial; a language model reads the `prompts` once. Calls that are up go on.
    ///
    /// # Errors
    /// Why the one of before stays.
    pub async fn change(&self, order: Order<'_>, prompts: Vec<String>) -> Result<Swapped, Unswapped> {
        self.swaps.swap(order, prompts).await
    }

    /// Whether the language model at this path, or else the one that the configuration names, does as it is told.
    pub(crate) fn will_heed(&self, path: Option<&Path>) -> bool {
        path.is_some() || self.swaps.names_a_mind()
    }

    /// How many jobs of each class wait for each engine, or for a place at the server that is asked in its stead (`…_cloud`).
    pub fn queues(&self) -> Vec<(&'static str, Waiting)> {
        let mut queues = vec![
            ("vad", self.activity.waiting()),
            ("stt", self.transcriber.waiting()),
            ("translate", self.translator.waiting()),
            ("llm", self.mind.waiting()),
            ("llm_cloud", self.mind.waiting_for_server()),
            ("tts", self.voice.waiting()),
        ];
        queues.extend(self.end_of_turn.iter().map(|judge| ("turn", judge.waiting())));
        queues.extend(self.lines.iter().map(|(engine, line)| (*engine, line.waiting())));
        queues
    }

    /// What the engines of this process have done, by their short names.
    pub fn work(&self) -> Vec<(&'static str, Work)> {
        let mut work = vec![
            ("vad", self.activity.work()),
            ("stt", self.transcriber.work()),
            ("translate", self.translator.work()),
            ("llm", self.mind.work()),
            ("tts", self.voice.work()),
        ];
        work.extend(self.end_of_turn.iter().map(|judge| ("turn", judge.work())));
        work
    }

    /// How often servers were asked once more, by their engines' short names.
    pub fn again(&self) -> Vec<(&'static str, u64)> {
        self.again.iter().map(|(engine, count)| (*engine, count.load(Ordering::Relaxed))).collect()
    }

    /// The engines whose thread has ended although it should run.
    pub fn stopped(&self) -> Vec<&'static str> {
        [
            ("voice activity", self.activity.stopped()),
            ("end of turn", self.end_of_turn.as_ref().is_some_and(Judge::stopped)),
            ("transcriber", self.transcriber.stopped()),
            ("translator", self.translator.stopped()),
            ("language model", self.mind.stopped()),
            ("voice", self.voice.stopped()),
        ]
        .into_iter()
        .filter_map(|(engine, stopped)| stopped.then_some(engine))
        .collect()
    }
}

/// When a server is left alone, as the configuration says.
fn breaker(config: &Config) -> Breaker {
    Breaker::new(config.engines.failures_before_rest, Duration::from_secs_f64(config.engines.rest_s))
}

/// An engine on a server, and the languages that it knows.
type Elsewhere<T> = (Arc<T>, Vec<Language>);

fn notice(config: &Config, ort: &OrtRuntime, shipped: &DemoFiles) -> Result<VoiceActivity, Error> {
    Ok(VoiceActivity::load(config.engines.vad.path.as_ref().unwrap_or(&shipped.silero), ort)?)
}

/// What judges pauses, if anything does, behind the graph that a server runs, if there is one.
fn judge(
    config: &Config,
    ort: &OrtRuntime,
    shipped: &DemoFiles,
    server: Option<(Arc<Awaited<EndOfTurn>>, Told)>,
) -> Result<Option<Judge>, Error> {
    let turn = &config.engines.turn;
    let graph = turn.path.as_ref().unwrap_or(&shipped.turn);
    if !turn.enabled {
        return Ok(None);
    }
    let local = (turn.engine == TurnEngine::Graph).then(|| EndOfTurn::load(graph, ort)).transpose()?;
    Ok(Some(Judge::by(local).behind(server)))
}

fn espeak(config: &Config, shipped: &DemoFiles) -> Result<Espeak, Error> {
    Ok(Espeak::load(config.engines.tts.path.as_ref().unwrap_or(&shipped.espeak))?)
}

/// The voices of this process.
fn voices(config: &Config, ort: &OrtRuntime, shipped: &DemoFiles) -> Result<Voices, Error> {
    Ok(Voices::load(espeak(config, shipped)?, &config.engines.tts, ort)?)
}

/// How a language model in this process runs, the small one that ships or another; it reads the `prompts` once.
pub(crate) fn answering_options(config: &Config, is_shipped: bool, prompts: Vec<String>) -> LlamaOptions {
    let llm = &config.engines.llm;
    LlamaOptions {
        context_tokens: (llm.context_tokens / llm.sequences.max(1)) as usize,
        sequences: llm.sequences as usize,
        // A small model is slower on several threads than on one: they wait for each other.
        threads: if is_shipped && llm.threads == 0 { 1 } else { threads(llm.threads) },
        gpu_layers: llm.gpu_layers,
        card: config.engines.card.into(),
        lora: llm.lora.clone().map(|path| (path, llm.lora_scale)),
        cache: llm.cache.into(),
        flash_attention: llm.flash_attention,
        system_prompts: prompts,
        queue: llm.queue,
    }
}

fn capitalised(sentence: String) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Half of the machine's cores, at least one, when nothing is configured: calls and the other engines need the rest.
fn threads(configured: usize) -> usize {
    match configured {
        0 => thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        configured => configured,
    }
}
