//! Servers that speak OpenAI's protocol: OpenAI's own, vLLM, llama-server, Ollama and many more.

mod chat;

pub use chat::Chat;

/// Where OpenAI's own models are.
pub const URL: &str = "https://api.openai.com/v1";
