//! The language model: any GGUF, through llama.cpp.
//!
//! One thread owns the model and one context with many sequences. Calls that generate at the same time share every
//! forward pass and join and leave between passes; a long prompt is read in pieces, so that it does not hold up replies
//! under way; what a prompt has in common with one already read (the system prompt, the earlier turns of the call) is not
//! read again. Whoever drops a [`Reply`] cancels it: the next pass goes without it.
//!
//! ```text
//! reply() -> queue -> admit: template, tokens, common prefix -> pass, pass, pass ... -> tokens -> Reply::next()
//! ```

mod batching;
mod file;
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

use tokio::sync::mpsc;

use crate::engine::{EngineError, Queue, spawn_engine};

/// How the engine calls itself in errors and logs.
const ENGINE: &str = "language model";

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The persona's instructions.
    System,
    /// The caller.
    User,
    /// Milo.
    Assistant,
}

impl Role {
    /// The name chat templates use.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChatMessage {
    /// Who said it.
    pub role: Role,
    /// The words.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// A conversation so far, and how it should be continued.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// Oldest first; the last one is what the reply answers.
    pub messages: Vec<ChatMessage>,
    /// The reply ends after so many tokens, if it does not end by itself.
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time; more draws among the likely ones.
    pub temperature: f32,
    /// Two requests with the same seed, temperature and messages draw the same reply.
    pub seed: u64,
}

/// How a model is loaded.
#[derive(Clone, Debug)]
pub struct LlamaOptions {
    /// Tokens of one conversation, prompt and reply together.
    pub context_tokens: usize,
    /// Conversations that generate at the same time; further ones wait in the queue.
    pub sequences: usize,
    /// Requests that may wait; one more is refused at once.
    pub queue: usize,
    /// CPU threads of a pass. 1 is fastest for the demonstration model.
    pub threads: usize,
    /// Layers to put on a GPU (in a build with one).
    pub gpu_layers: u32,
    /// Each is read once at load and shared by every conversation that begins with it.
    pub system_prompts: Vec<String>,
}

impl Default for LlamaOptions {
    fn default() -> Self {
        Self { context_tokens: 1024, sequences: 8, queue: 16, threads: 1, gpu_layers: 0, system_prompts: Vec::new() }
    }
}

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its text; empty while a character is not whole yet. The reply's first character is never a space.
    pub text: String,
    /// Natural logarithm of the probability that the model gave to this token.
    pub logprob: f32,
}

/// A reply as it is generated. Dropping it cancels the rest.
#[derive(Debug)]
pub struct Reply {
    tokens: mpsc::Receiver<Result<Token, EngineError>>,
}

impl Reply {
    /// The next piece; `None` when the reply is complete. Cancel safe.
    ///
    /// # Errors
    /// [`EngineError::Input`] as the first item if the prompt is too long, [`EngineError::Failed`] if the model fails; both
    /// end the reply.
    pub async fn next(&mut self) -> Option<Result<Token, EngineError>> {
        self.tokens.recv().await
    }
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
    answer: mpsc::Sender<Result<Token, EngineError>>,
}

/// A loaded language model; clones share it.
#[derive(Clone)]
pub struct LanguageModel {
    queue: Queue<Job>,
    counters: Arc<Counters>,
    file: PathBuf,
}

impl LanguageModel {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// [`EngineError::Load`], one sentence that names the file and the mend: it is missing, no GGUF, truncated, of a kind
    /// llama.cpp does not know, or has no chat template that can be rendered.
    pub fn load(gguf: &Path, options: LlamaOptions) -> Result<Self, EngineError> {
        let file = gguf.to_path_buf();
        let counters = Arc::<Counters>::default();
        let (path, depth, counted) = (file.clone(), options.queue.max(1), Arc::clone(&counters));
        let queue = spawn_engine(
            ENGINE,
            depth,
            move || batching::Batcher::load(&path, &options, counted),
            |batcher, jobs| batcher.serve(&jobs),
        )?;
        Ok(Self { queue, counters, file })
    }

    /// Puts a conversation in line; its reply comes token by token.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when the queue is full; [`EngineError::Input`] when there is nothing to answer.
    pub fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        if request.messages.iter().all(|message| message.content.trim().is_empty()) {
            return Err(EngineError::Input("the conversation is empty; it needs at least one message".into()));
        }
        if request.max_tokens == 0 {
            return Err(EngineError::Input("max_tokens is 0; a reply needs at least 1".into()));
        }
        if !(0.0..=10.0).contains(&request.temperature) {
            return Err(EngineError::Input(format!(
                "the temperature {} is not between 0 (always the likeliest) and 10",
                request.temperature
            )));
        }
        // Room for the whole reply and an error: the model never waits for a listener. (Memory grows only as it fills.)
        let (answer, tokens) = mpsc::channel(request.max_tokens.min(1 << 20) + 1);
        self.queue.submit(Job { request, answer })?;
        Ok(Reply { tokens })
    }

    /// The file that is loaded.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the engine's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.queue.stopped()
    }

    /// Requests that wait for a free sequence.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
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

#[cfg(test)]
mod tests;
