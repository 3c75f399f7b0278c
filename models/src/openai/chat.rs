//! A language model: `chat/completions`, streamed.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::URL;
use crate::{
    engine::{EngineError, RemoteFault},
    language_model::{ChatRequest, LanguageModel, Reply},
    remote::{self, Heard, Over, Remote, RemoteOptions, Shape, Turn},
};

/// Asks one model; cheap to clone.
#[derive(Clone)]
pub struct Chat {
    remote: Remote,
    model: String,
    /// OpenAI's own server knows the limit of a reply by another name than all others.
    is_openai: bool,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    messages: Vec<Turn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<usize>,
    temperature: f32,
    stream: bool,
}

/// What comes back: a choice with more words, an error, or neither (figures of use).
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Delta,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

impl Chat {
    /// A model on a server, which is not asked before the first request.
    ///
    /// # Errors
    /// [`EngineError::Load`]: address, key, proxy or authorities are not what they should be.
    pub fn new(options: &RemoteOptions) -> Result<Self, EngineError> {
        let remote = Remote::new("remote language model", options, (AUTHORIZATION, "Bearer "))?;
        Ok(Self { remote, model: options.model.clone(), is_openai: options.url == URL })
    }
}

impl LanguageModel for Chat {
    fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        request.check()?;
        let Shape { system, turns } = Shape::of(&request.messages);
        let system = (!system.is_empty()).then_some(Turn { role: "system", content: system });
        let question = Question {
            model: &self.model,
            messages: system.into_iter().chain(turns).collect(),
            max_tokens: (!self.is_openai).then_some(request.max_tokens),
            max_completion_tokens: self.is_openai.then_some(request.max_tokens),
            // The scale ends there.
            temperature: request.temperature.min(2.0),
            stream: true,
        };
        let body = serde_json::to_vec(&question).map_err(|error| EngineError::Input(error.to_string()))?;
        let asked = self.remote.post("chat/completions").header(CONTENT_TYPE, "application/json").body(body);
        remote::reply(&self.remote, asked, read)
    }

    fn waiting(&self) -> usize {
        self.remote.under_way()
    }

    fn stopped(&self) -> bool {
        false
    }
}

fn read(data: &str) -> Result<Heard, (RemoteFault, String)> {
    if data.trim() == "[DONE]" {
        return Ok(Heard { over: Over::All, ..Heard::default() });
    }
    let broken = |says| (RemoteFault::Broken, says);
    let chunk: Chunk = serde_json::from_str(data)
        .map_err(|error| broken(format!("sends an event that is none of the protocol: {error}")))?;
    if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
        let says = error["message"].as_str().or(error.as_str()).unwrap_or("an error");
        return Err(broken(format!("breaks off{}", remote::quoted(says))));
    }
    let Some(choice) = chunk.choices.into_iter().next() else { return Ok(Heard::default()) };
    let over = if choice.finish_reason.is_some() { Over::Words } else { Over::No };
    let is_cut = choice.finish_reason.as_deref() == Some("length");
    Ok(Heard { text: choice.delta.content.unwrap_or_default(), over, is_cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_says_what_it_says() {
        let heard = |text: &str, over| Ok(Heard { text: text.into(), over, is_cut: false });
        let cut = Ok(Heard { text: "ma".into(), over: Over::Words, is_cut: true });
        for (data, expected) in [
            (
                r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                heard("", Over::No),
            ),
            (r#"{"choices":[{"delta":{"content":"Sala"}}]}"#, heard("Sala", Over::No)),
            (r#"{"choices":[{"delta":{"reasoning_content":"hm","content":null}}]}"#, heard("", Over::No)),
            (r#"{"choices":[{"delta":{"content":"ma"},"finish_reason":"stop"}]}"#, heard("ma", Over::Words)),
            (r#"{"choices":[{"delta":{"content":"ma"},"finish_reason":"length"}]}"#, cut),
            (r#"{"choices":[],"usage":{"total_tokens":3}}"#, heard("", Over::No)),
            ("[DONE]", heard("", Over::All)),
        ] {
            assert_eq!(read(data), expected, "{data}");
        }
        let wrong = read(r#"{"error":{"message":"out of memory","code":500}}"#);
        assert!(wrong.is_err_and(|(_, says)| says.contains("out of memory")));
        for nonsense in ["", "{", "\"x\"", r#"{"choices":3}"#] {
            assert!(read(nonsense).is_err_and(|(fault, _)| fault == RemoteFault::Broken), "{nonsense}");
        }
    }
}
