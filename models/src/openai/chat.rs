//! A language model: `chat/completions`, streamed.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::URL;
use crate::{
    engine::{EngineError, RemoteFault},
    language_model::{ChatRequest, LanguageModel, Reply},
    queue::{Waiting, Work},
    remote::{self, CallPart, Heard, Over, Remote, RemoteOptions, Shape, Turn},
    tools::Tool,
};

/// Asks one model; cheap to clone.
#[derive(Clone)]
pub struct Chat {
    remote: Remote,
    model: String,
    /// OpenAI's own server knows the limit of a reply by another name than all others.
    is_openai: bool,
    /// Whether it is asked how many tokens a reply took.
    counts: bool,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<usize>,
    temperature: f32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// A turn in the protocol's form: what came of each call is a message of its own, before the words.
fn messages(turn: Turn) -> Vec<Value> {
    let Turn { role, content, calls, results } = turn;
    let mut messages: Vec<_> = results
        .into_iter()
        .map(|(name, result)| json!({ "role": "tool", "tool_call_id": name, "content": result }))
        .collect();
    if !calls.is_empty() {
        let calls: Vec<_> = calls
            .into_iter()
            .map(|(name, call)| {
                let arguments =
                    if call.arguments.is_object() { call.arguments.to_string() } else { json!({}).to_string() };
                json!({ "id": name, "type": "function", "function": { "name": call.tool, "arguments": arguments } })
            })
            .collect();
        messages.push(json!({ "role": role, "content": content, "tool_calls": calls }));
    } else if !content.is_empty() {
        messages.push(json!({ "role": role, "content": content }));
    }
    messages
}

fn tool(tool: &Tool) -> Value {
    let function = json!({ "name": tool.name, "description": tool.about, "parameters": tool.schema() });
    json!({ "type": "function", "function": function })
}

/// What comes back: a choice with more words, an error, or neither (figures of use).
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    usage: Option<Counts>,
}

/// Servers leave out what they do not count.
#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

/// More about those of the conversation.
#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u64>,
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
    #[serde(default)]
    tool_calls: Option<Vec<ToolDelta>>,
}

/// A part of a call.
#[derive(Deserialize)]
struct ToolDelta {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    function: FunctionDelta,
}

#[derive(Default, Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

impl Chat {
    /// A model on a server, which is not asked before the first request; with `counts` also for the tokens that a reply took, which
    /// few servers do not understand.
    ///
    /// # Errors
    /// [`EngineError::Load`]: address, key, proxy or authorities are not what they should be.
    pub fn new(options: &RemoteOptions, counts: bool) -> Result<Self, EngineError> {
        let remote = Remote::new("remote language model", options, (AUTHORIZATION, "Bearer "))?;
        Ok(Self { remote, model: options.model.clone(), is_openai: options.url == URL, counts })
    }
}

impl LanguageModel for Chat {
    fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        request.check_for_server()?;
        let Shape { system, turns } = Shape::of(&request.messages);
        let system = (!system.is_empty()).then(|| json!({ "role": "system", "content": system }));
        let question = Question {
            model: &self.model,
            messages: system.into_iter().chain(turns.into_iter().flat_map(messages)).collect(),
            tools: request.tools.iter().map(tool).collect(),
            max_tokens: (!self.is_openai).then_some(request.max_tokens),
            max_completion_tokens: self.is_openai.then_some(request.max_tokens),
            // The scale ends there.
            temperature: request.temperature.min(2.0),
            stream: true,
            stream_options: self.counts.then_some(StreamOptions { include_usage: true }),
        };
        let body = serde_json::to_vec(&question).map_err(|error| EngineError::Input(error.to_string()))?;
        let asked = self.remote.post("chat/completions").header(CONTENT_TYPE, "application/json").body(body);
        remote::reply(&self.remote, asked, read, request.max_tokens)
    }

    /// None: a request finds a place at once, or is refused.
    fn waiting(&self) -> Waiting {
        Waiting::default()
    }

    fn work(&self) -> Work {
        Work::default()
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
    let counted = chunk.usage.map_or_else(Heard::default, |counts| {
        let read = counts.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        let Counts { prompt_tokens, completion_tokens, .. } = counts;
        Heard { prompt_tokens, cached: (read, 0), completion_tokens, ..Heard::default() }
    });
    let Some(choice) = chunk.choices.into_iter().next() else { return Ok(counted) };
    let over = if choice.finish_reason.is_some() { Over::Words } else { Over::No };
    let is_cut = choice.finish_reason.as_deref() == Some("length");
    let part = |ToolDelta { index, function }| CallPart {
        index,
        tool: function.name.filter(|name| !name.is_empty()),
        arguments: function.arguments.unwrap_or_default(),
    };
    let calls = choice.delta.tool_calls.into_iter().flatten().map(part).collect();
    Ok(Heard { text: choice.delta.content.unwrap_or_default(), over, is_cut, calls, ..counted })
}

#[cfg(test)]
mod tests {
    use crate::{
        language_model::{ChatMessage, Role},
        tools,
    };

    use super::*;

    #[test]
    fn each_event_says_what_it_says() {
        let heard = |text: &str, over| Ok(Heard { text: text.into(), over, ..Heard::default() });
        let cut = Ok(Heard { text: "ma".into(), over: Over::Words, is_cut: true, ..Heard::default() });
        let part = |tool: Option<&str>, arguments: &str| {
            let part = CallPart { index: 1, tool: tool.map(str::to_owned), arguments: arguments.into() };
            Ok(Heard { calls: vec![part], ..Heard::default() })
        };
        let counted = |read| {
            Ok(Heard { prompt_tokens: Some(3), cached: (read, 0), completion_tokens: Some(9), ..Heard::default() })
        };
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
            (r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"total_tokens":12}}"#, counted(0)),
            (
                r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":2}}}"#,
                counted(2),
            ),
            (r#"{"choices":[{"delta":{"content":"a"}}],"usage":null}"#, heard("a", Over::No)),
            (
                r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"c","function":{"name":"price","arguments":""}}]}}]}"#,
                part(Some("price"), ""),
            ),
            (
                r#"{"choices":[{"delta":{"content":null,"tool_calls":[{"index":1,"function":{"name":"","arguments":"{}"}}]}}]}"#,
                part(None, "{}"),
            ),
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

    #[test]
    fn calls_and_what_came_of_them_have_the_protocols_form() {
        let shape = Shape::of(&[
            ChatMessage::new(Role::User, "firy ny boky"),
            ChatMessage::new(Role::Call, r#"{"tool": "price", "of": "boky"}"#),
            ChatMessage::new(Role::Result, r#"{"price": "dimy"}"#),
            ChatMessage::new(Role::User, "haingana"),
        ]);
        let told: Vec<_> = shape.turns.into_iter().flat_map(messages).collect();
        let function = json!({ "name": "price", "arguments": "{\"of\":\"boky\"}" });
        assert_eq!(
            told,
            [
                json!({ "role": "user", "content": "firy ny boky" }),
                json!({ "role": "assistant", "content": "", "tool_calls": [{ "id": "call_1", "type": "function", "function": function }] }),
                json!({ "role": "tool", "tool_call_id": "call_1", "content": "{\"price\": \"dimy\"}" }),
                json!({ "role": "user", "content": "haingana" }),
            ]
        );
        let price = tool(&tools::tests::tool("price", &["of"]));
        assert_eq!(price["function"]["parameters"]["required"], json!(["of"]));
    }
}
