//! The language model: any GGUF, through llama.cpp.
//!
//! One thread owns the model and one context with many sequences. Calls that generate at the same time share every
//! forward pass and join and leave between passes; a long prompt is read in pieces, so that it does not hold up replies
//! under way; what a prompt has in common with one already read (the system prompt, the earlier turns of the call) is not
//! read again. Whoever drops a [`Reply`] cancels it: the next pass goes without it. Calls may have every sequence, and what is begun for them on
//! a guess, until a call wants it for what is sure: the guess then stands still, and goes on when there is room. Others leave a quarter of
//! the sequences to calls, and batches one to whoever waits for an answer.
//!
//! ```text
//! reply() -> queue -> admit: template, tokens, common prefix -> pass, pass, pass ... -> tokens -> Reply::next()
//! ```

mod attention;
mod batching;
mod file;
mod grammar;
mod jinja;
mod prompt;
mod sampling;
mod sequences;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use llama_cpp_2::context::params::KvCacheType;
use tokio::sync::mpsc;

use crate::{
    engine::EngineError,
    language_model::{ChatMessage, ChatRequest, LanguageModel, Reply, Role, Told},
    queue::{self, Queue, Share, Standing, Step, Waiting, Work, spawn_engine},
    tools,
};

/// How the engine calls itself in errors and logs.
const ENGINE: &str = "language model";

/// How the keys and values of a token are kept: in less memory, and less exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheType {
    /// 16 bits each.
    #[default]
    F16,
    /// 8.5 bits each.
    Q8,
    /// 4.5 bits each.
    Q4,
}

impl CacheType {
    /// Bits of a number.
    pub fn bits(self) -> f64 {
        match self {
            Self::F16 => 16.0,
            Self::Q8 => 8.5,
            Self::Q4 => 4.5,
        }
    }

    fn kind(self) -> KvCacheType {
        match self {
            Self::F16 => KvCacheType::F16,
            Self::Q8 => KvCacheType::Q8_0,
            Self::Q4 => KvCacheType::Q4_0,
        }
    }
}

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LlamaOptions {
    /// Tokens of one conversation, prompt and reply together.
    pub context_tokens: usize,
    /// Conversations that generate at the same time; further ones wait in the queue.
    pub sequences: usize,
    /// Requests of each class that may wait; one more is refused at once.
    pub queue: usize,
    /// CPU threads of a pass. 1 is fastest for the demonstration model.
    pub threads: usize,
    /// Layers to put on a GPU (in a build with one).
    pub gpu_layers: u32,
    /// The card on which others compute too: where layers are on cards a pass is a turn there, whichever cards llama.cpp takes.
    pub card: i32,
    /// What was fine-tuned on top of the model (LoRA, a GGUF file), and how strongly it is applied; 1: as it was trained.
    pub lora: Option<(PathBuf, f32)>,
    /// How the keys and values of what was read are kept.
    pub cache: CacheType,
    /// Whether attention is computed in pieces that never hold all of it; none: where it is quicker (on a card, and on a processor unless
    /// most of what is kept are long system prompts).
    pub flash_attention: Option<bool>,
    /// Each is read once at load and shared by every conversation that begins with it.
    pub system_prompts: Vec<String>,
}

impl Default for LlamaOptions {
    fn default() -> Self {
        Self {
            context_tokens: 1024,
            sequences: 8,
            queue: 16,
            threads: 1,
            gpu_layers: 0,
            card: 0,
            lora: None,
            cache: CacheType::default(),
            flash_attention: None,
            system_prompts: Vec::new(),
        }
    }
}

/// Whether this build of llama.cpp computes on graphics cards.
pub fn uses_cards() -> bool {
    file::backend().is_ok_and(llama_cpp_2::llama_backend::LlamaBackend::supports_gpu_offload)
}

/// What the engine has done since it was loaded.
#[derive(Debug, Default)]
struct Counters {
    decode_steps: AtomicU64,
    prompt_tokens: AtomicU64,
    shared_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    generating: AtomicU64,
}

/// One request on its way to the model's thread.
struct Job {
    request: ChatRequest,
    standing: Standing,
    answer: mpsc::Sender<Result<Told, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.answer.is_closed()
    }
}

/// A loaded language model; clones share it.
#[derive(Clone)]
pub struct Llama {
    queue: Queue<Job>,
    counters: Arc<Counters>,
    file: PathBuf,
}

impl Llama {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// [`EngineError::Load`], one sentence that names the file and the mend: it is missing, no GGUF, truncated, of a kind
    /// llama.cpp does not know, or has no chat template that can be rendered.
    pub fn load(gguf: &Path, options: LlamaOptions) -> Result<Self, EngineError> {
        let on_card = options.gpu_layers > 0 && uses_cards();
        let share = if on_card { Share::card(options.card) } else { Share::processor() };
        Self::start(gguf, options, share)
    }

    /// The same on a device that is shared so.
    pub(crate) fn start(gguf: &Path, options: LlamaOptions, share: Arc<Share>) -> Result<Self, EngineError> {
        let file = gguf.to_path_buf();
        let counters = Arc::<Counters>::default();
        let (path, depth, counted) = (file.clone(), options.queue.max(1), Arc::clone(&counters));
        let mut was_loaded = false;
        let load = move |step: &Arc<Step>| {
            let load = |options: &LlamaOptions, share: &Arc<Share>| {
                let seat = share.seat(step, options.threads);
                batching::Batcher::load(&path, options, Arc::clone(&counted), seat)
            };
            let made = match load(&options, &share) {
                Err(error) if was_loaded && options.gpu_layers > 0 => {
                    tracing::warn!(engine = ENGINE, %error, "an engine cannot be loaded anew where it was; it is loaded on the processor");
                    load(&LlamaOptions { gpu_layers: 0, ..options.clone() }, &Share::processor())
                }
                made => made,
            };
            was_loaded |= made.is_ok();
            made
        };
        let queue = spawn_engine(ENGINE, depth, load, |batcher, jobs| batcher.serve(&jobs))?;
        Ok(Self { queue, counters, file })
    }

    /// The file that is loaded.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Replies under way.
    pub fn generating(&self) -> u64 {
        self.counters.generating.load(Ordering::Relaxed)
    }

    /// Forward passes since loading; several replies share one.
    pub fn decode_steps(&self) -> u64 {
        self.counters.decode_steps.load(Ordering::Relaxed)
    }

    /// Prompt tokens that the model has read.
    pub fn prompt_tokens(&self) -> u64 {
        self.counters.prompt_tokens.load(Ordering::Relaxed)
    }

    /// Prompt tokens that it did not have to read, because they stood in its cache.
    pub fn shared_tokens(&self) -> u64 {
        self.counters.shared_tokens.load(Ordering::Relaxed)
    }

    /// Tokens generated.
    pub fn generated_tokens(&self) -> u64 {
        self.counters.generated_tokens.load(Ordering::Relaxed)
    }
}

impl LanguageModel for Llama {
    fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        request.check()?;
        let has_tools = !request.tools.is_empty();
        let request = if has_tools { with_tools(request)? } else { request };
        request.grammar.as_deref().map_or(Ok(()), grammar::check)?;
        // Room for the whole reply, for how it begins and ends: the model never waits for a listener. (Memory grows only as it fills.)
        let (answer, tokens) = mpsc::channel(request.max_tokens.min(1 << 20) + 2);
        let standing = Standing::new(request.class, request.wanted.clone());
        self.queue.submit(Job { request, standing, answer })?;
        let reply = Reply::new(tokens);
        Ok(if has_tools { reply.with_calls() } else { reply })
    }

    fn waiting(&self) -> Waiting {
        self.queue.waiting()
    }

    fn work(&self) -> Work {
        self.queue.work()
    }

    fn stopped(&self) -> bool {
        self.queue.stopped()
    }
}

/// The same with its tools behind the instructions, and held to their calls unless it is words.
fn with_tools(request: ChatRequest) -> Result<ChatRequest, EngineError> {
    // What servers of tools offer may be more than one grammar can hold: the first ones are had.
    let mut tools: Vec<_> = request.tools.iter().filter(|tool| tool.is_sayable()).cloned().collect();
    while !tools.is_empty() && tools::grammar(&tools).is_ok_and(|text| grammar::check(&text).is_err()) {
        tools.pop();
    }
    if tools.is_empty() {
        return Ok(ChatRequest { messages: tools::flat(&request.messages), ..request });
    }
    let mut messages = tools::flat(&request.messages);
    let told = tools::told(&tools);
    match messages.first_mut().filter(|first| first.role == Role::System) {
        Some(first) => first.content = format!("{} {told}", first.content.trim_end()),
        None => messages.insert(0, ChatMessage::new(Role::System, told)),
    }
    let grammar = match request.grammar {
        Some(grammar) => grammar,
        None => tools::grammar(&tools).map_err(EngineError::Input)?.into(),
    };
    Ok(ChatRequest { messages, grammar: Some(grammar), ..request })
}

#[cfg(test)]
mod tests;
