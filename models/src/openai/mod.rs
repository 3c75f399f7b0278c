//! Servers that speak OpenAI's protocol: OpenAI's own, vLLM, llama-server, Ollama and many more.

mod chat;
mod embeddings;
mod sound;
mod speech;
mod transcription;

pub use chat::Chat;
pub use embeddings::{Embedder, MOST as MOST_TEXTS};
pub use speech::{Format, Speaker};
pub use transcription::Transcription;

/// Where OpenAI's own models are.
pub const URL: &str = "https://api.openai.com/v1";
