//! `milo bench mind`: what the language model takes for a first token and for those that follow, with nothing else in the process.
//!
//! Replies are as long as is asked for: the model is one that never ends by itself (`models/benchmarks/peers.py` makes such a GGUF). No
//! prompt is told twice, so that of each all is read but the instructions, which are known when the model is loaded, as a persona's are.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use milo_models::{
    language_model::{ChatMessage, ChatRequest, LanguageModel, Role},
    llama::{Llama, LlamaOptions},
    queue::Class,
};
use serde_json::json;
use tokio::task::JoinSet;

use super::{caller::now, percentile};

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A GGUF that never ends by itself.
    #[arg(long)]
    path: PathBuf,
    /// Replies at once.
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Letters of what each is asked.
    #[arg(long, default_value_t = 128)]
    prompt: usize,
    /// Letters of the instructions that all conversations have; 0: there are none.
    #[arg(long, default_value_t = 0)]
    system: usize,
    /// Tokens of each reply.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Threads that compute.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often all of it is measured; the medians are told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// As one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Tokens of a template around what is said, at most.
const AROUND: usize = 64;

pub(super) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { path, streams, prompt, system, tokens, threads, rounds, json } = arguments;
    ensure!(
        streams > 0 && prompt > 0 && tokens > 0 && rounds > 0,
        "--streams, --prompt, --tokens and --rounds begin at 1"
    );
    let instructions = (system > 0).then(|| text("Torolalana", system));
    let options = LlamaOptions {
        context_tokens: system + prompt + tokens + AROUND,
        sequences: streams,
        queue: streams,
        threads,
        system_prompts: instructions.iter().cloned().collect(),
        ..LlamaOptions::default()
    };
    let llama = tokio::task::spawn_blocking(move || Llama::load(&path, options)).await??;
    let (mut first, mut rate, mut number) = (Vec::new(), Vec::new(), 0);
    for round in 0..=rounds {
        let began = now();
        let mut replies = JoinSet::new();
        for _ in 0..streams {
            number += 1;
            let system = instructions.iter().map(|text| ChatMessage::new(Role::System, text));
            let asked = ChatMessage::new(Role::User, text(&number.to_string(), prompt));
            let messages = system.chain([asked]).collect();
            let mut reply = llama.reply(ChatRequest::new(messages, tokens, Class::Call))?;
            replies.spawn(async move {
                let (mut first, mut count) = (None, 0);
                while let Some(token) = reply.next().await {
                    token?;
                    first.get_or_insert_with(|| began.elapsed());
                    count += 1;
                }
                anyhow::Ok((first.context("no token came")?, count))
            });
        }
        while let Some(reply) = replies.join_next().await {
            let (at, count) = reply??;
            ensure!(
                count == tokens,
                "a reply ended after {count} tokens: models/benchmarks/peers.py makes a model without an end"
            );
            // What is read from disk and allocated for the first time is not measured.
            if round > 0 {
                first.push(at.as_secs_f64() * 1e3);
            }
        }
        if round > 0 {
            rate.push((streams * tokens) as f64 / began.elapsed().as_secs_f64());
        }
    }
    let (first, rate) = percentile(&mut first, 0.5).zip(percentile(&mut rate, 0.5)).context("nothing measured")?;
    if json {
        println!("{}", json!({ "first_ms": first, "tokens_per_s": rate }));
    } else {
        println!("{streams} at once: {first:.0} ms to a first token, {rate:.1} tokens a second from the question on");
    }
    Ok(())
}

/// So many letters that begin as nothing else does.
fn text(begin: &str, letters: usize) -> String {
    format!("{begin} ").chars().chain("salama tompoko ".chars().cycle()).take(letters).collect()
}
