//! A language model that is asked by the Anthropic Messages protocol: Anthropic's own, and servers that speak it.
//!
//! What a conversation's next turn begins with like this one stays in the server's cache for some minutes, where it is told so
//! (`cache_control`): the tools, the instructions, and what was said before the newest words. The next turn reads it there, which is
//! quicker, and costs a tenth. What is too short for its cache the server reads as ever.

use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    engine::{EngineError, RemoteFault},
    language_model::{ChatRequest, LanguageModel, Reply},
    queue::{Waiting, Work},
    remote::{self, CallPart, Heard, Over, Remote, RemoteOptions, Shape, Turn},
    tools::Tool,
};

/// Where Anthropic's own models are.
pub const URL: &str = "https://api.anthropic.com";
/// The form of the protocol that is spoken here.
const VERSION: &str = "2023-06-01";

/// Asks one model; cheap to clone.
#[derive(Clone)]
pub struct Anthropic {
    remote: Remote,
    model: String,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    max_tokens: usize,
    temperature: f32,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Value>,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
}

/// A turn in the protocol's form: what came of calls first, then the words, then the calls.
fn message(turn: Turn) -> Value {
    let Turn { role, content, calls, results } = turn;
    if calls.is_empty() && results.is_empty() {
        return json!({ "role": role, "content": content });
    }
    let results = results
        .into_iter()
        .map(|(name, result)| json!({ "type": "tool_result", "tool_use_id": name, "content": result }));
    let words = (!content.is_empty()).then(|| json!({ "type": "text", "text": content }));
    let calls = calls.into_iter().map(|(name, call)| {
        let input = if call.arguments.is_object() { call.arguments } else { json!({}) };
        json!({ "type": "tool_use", "id": name, "name": call.tool, "input": input })
    });
    json!({ "role": role, "content": results.chain(words).chain(calls).collect::<Vec<_>>() })
}

/// What ends with this part is kept by the server.
fn keep(part: Option<&mut Value>) {
    if let Some(part) = part {
        part["cache_control"] = json!({ "type": "ephemeral" });
    }
}

impl<'a> Question<'a> {
    /// Three parts of it are kept, where they are there; the protocol allows four.
    fn of(model: &'a str, request: &ChatRequest) -> Self {
        let Shape { system, turns } = Shape::of(&request.messages);
        let mut system: Vec<_> =
            (!system.is_empty()).then(|| json!({ "type": "text", "text": system })).into_iter().collect();
        let mut messages: Vec<_> = turns.into_iter().map(message).collect();
        let mut tools: Vec<_> = request.tools.iter().map(tool).collect();
        keep(tools.last_mut());
        keep(system.last_mut());
        // The newest is what a guess may have begun with, or has a remark in it that no later turn has: it is read anew.
        if let Some(before) = messages.len().checked_sub(2) {
            let content = &mut messages[before]["content"];
            if let Value::String(text) = content {
                *content = json!([{ "type": "text", "text": text }]);
            }
            keep(content.as_array_mut().and_then(|parts| parts.last_mut()));
        }
        Self {
            model,
            max_tokens: request.max_tokens,
            // Its own scale ends there.
            temperature: request.temperature.min(1.0),
            stream: true,
            system,
            messages,
            tools,
        }
    }
}

fn tool(tool: &Tool) -> Value {
    json!({ "name": tool.name, "description": tool.about, "input_schema": tool.schema() })
}

/// What comes back. Other events (pings, other kinds of content) say nothing.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        #[serde(default)]
        index: u64,
        content_block: Block,
    },
    ContentBlockDelta {
        #[serde(default)]
        index: u64,
        delta: Delta,
    },
    MessageDelta {
        delta: End,
        #[serde(default)]
        usage: Counts,
    },
    MessageStop,
    Error {
        error: Wrong,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Delta {
    #[serde(rename = "text_delta")]
    Text { text: String },
    #[serde(rename = "input_json_delta")]
    Arguments { partial_json: String },
    #[serde(other)]
    Other,
}

/// What begins: words, or a call.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    ToolUse {
        name: String,
    },
    #[serde(other)]
    Other,
}

/// What is known when the reply begins.
#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Counts,
}

/// How many tokens it takes: those of the conversation come in three parts, of which the cache holds two.
#[derive(Default, Deserialize)]
struct Counts {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

impl Counts {
    fn heard(&self) -> Heard {
        let (read, written) =
            (self.cache_read_input_tokens.unwrap_or(0), self.cache_creation_input_tokens.unwrap_or(0));
        let prompt_tokens = self.input_tokens.map(|fresh| fresh.saturating_add(read).saturating_add(written));
        Heard { prompt_tokens, cached: (read, written), completion_tokens: self.output_tokens, ..Heard::default() }
    }
}

/// Why the reply ends, where it does.
#[derive(Deserialize)]
struct End {
    #[serde(default)]
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Wrong {
    #[serde(rename = "type")]
    kind: String,
}

impl Anthropic {
    /// A model on a server, which is not asked before the first request.
    ///
    /// # Errors
    /// [`EngineError::Load`]: address, key, proxy or authorities are not what they should be.
    pub fn new(options: &RemoteOptions) -> Result<Self, EngineError> {
        let remote = Remote::new("remote language model", options, (HeaderName::from_static("x-api-key"), ""))?;
        Ok(Self { remote, model: options.model.clone() })
    }
}

impl LanguageModel for Anthropic {
    fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        request.check_for_server()?;
        let body = serde_json::to_vec(&Question::of(&self.model, &request))
            .map_err(|error| EngineError::Input(error.to_string()))?;
        let asked = self.remote.post("v1/messages").header("anthropic-version", VERSION);
        remote::reply(&self.remote, asked.header(CONTENT_TYPE, "application/json").body(body), read, request.max_tokens)
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
    match serde_json::from_str(data) {
        Ok(Event::ContentBlockDelta { delta: Delta::Text { text }, .. }) => Ok(Heard { text, ..Heard::default() }),
        Ok(Event::ContentBlockStart { index, content_block: Block::ToolUse { name } }) => {
            Ok(call(CallPart { index, tool: Some(name), ..CallPart::default() }))
        }
        Ok(Event::ContentBlockDelta { index, delta: Delta::Arguments { partial_json } }) => {
            Ok(call(CallPart { index, tool: None, arguments: partial_json }))
        }
        Ok(Event::MessageStart { message }) => Ok(message.usage.heard()),
        Ok(Event::MessageDelta { delta: End { stop_reason }, usage }) => {
            let is_cut = matches!(stop_reason.as_deref(), Some("max_tokens" | "model_context_window_exceeded"));
            Ok(Heard { is_cut, ..usage.heard() })
        }
        Ok(Event::MessageStop) => Ok(Heard { over: Over::All, ..Heard::default() }),
        Ok(Event::Error { error: Wrong { kind } }) => {
            let is_busy = matches!(kind.as_str(), "overloaded_error" | "rate_limit_error");
            let fault = if is_busy { RemoteFault::Busy } else { RemoteFault::Broken };
            Err((fault, format!("breaks off with {:?}", kind.chars().take(60).collect::<String>())))
        }
        Ok(
            Event::ContentBlockStart { content_block: Block::Other, .. }
            | Event::ContentBlockDelta { delta: Delta::Other, .. }
            | Event::Other,
        ) => Ok(Heard::default()),
        Err(error) => Err((RemoteFault::Broken, format!("sends an event that is none of the protocol: {error}"))),
    }
}

fn call(part: CallPart) -> Heard {
    Heard { calls: vec![part], ..Heard::default() }
}

#[cfg(test)]
mod tests {
    use crate::{
        language_model::{ChatMessage, Role},
        queue::{Class, Wanted},
        tools,
    };

    use super::*;

    #[test]
    fn what_the_next_turn_begins_with_too_is_kept_in_the_cache() {
        let said = [(Role::System, "Be kind."), (Role::User, "firy"), (Role::Assistant, "dimy"), (Role::User, "ary")];
        let asked = |messages: &[(Role, &str)], tools: &[&str]| {
            let request = ChatRequest {
                messages: messages.iter().map(|(role, text)| ChatMessage::new(*role, *text)).collect(),
                max_tokens: 8,
                temperature: 0.0,
                seed: 0,
                grammar: None,
                tools: tools.iter().map(|name| tools::tests::tool(name, &[])).collect(),
                class: Class::Call,
                wanted: Wanted::default(),
            };
            serde_json::to_value(Question::of("m", &request)).expect("JSON")
        };
        let kept = |text: &str| json!([{ "type": "text", "text": text, "cache_control": { "type": "ephemeral" } }]);
        let whole = asked(&said, &["price", "hours"]);
        assert_eq!(whole["system"], kept("Be kind."));
        let [first, before, newest] = &whole["messages"].as_array().expect("messages")[..] else { panic!("{whole}") };
        assert_eq!((&first["content"], &newest["content"]), (&json!("firy"), &json!("ary")));
        assert_eq!(before["content"], kept("dimy"));
        let of_tools: Vec<_> = (0..2).map(|at| whole["tools"][at].get("cache_control").is_some()).collect();
        assert_eq!(of_tools, [false, true], "the last one ends them all");
        assert_eq!(whole.to_string().matches("cache_control").count(), 3, "four are allowed");

        // Where nothing was said before, nothing of it is kept; and where there are no instructions, nothing is said of them.
        let first = asked(&said[..2], &[]);
        assert_eq!((&first["messages"][0]["content"], &first["system"]), (&json!("firy"), &kept("Be kind.")));
        let bare = asked(&said[1..2], &[]);
        assert_eq!((bare.get("system"), bare.get("tools")), (None, None));

        // What came of a call is the last part of its turn.
        let call = [
            (Role::User, "firy"),
            (Role::Call, r#"{"tool": "price", "of": "boky"}"#),
            (Role::Result, "5"),
            (Role::Assistant, "dimy"),
        ];
        let told = asked(&call, &["price"]);
        assert_eq!(told["messages"][2]["content"][0]["cache_control"], json!({ "type": "ephemeral" }));
    }

    #[test]
    fn tools_calls_and_what_came_of_them_have_the_protocols_form() {
        let shape = Shape::of(&[
            ChatMessage::new(Role::User, "firy ny boky"),
            ChatMessage::new(Role::Assistant, "Andraso."),
            ChatMessage::new(Role::Call, r#"{"tool": "price", "of": "boky"}"#),
            ChatMessage::new(Role::Result, r#"{"price": "dimy"}"#),
            ChatMessage::new(Role::User, "haingana"),
        ]);
        let told: Vec<_> = shape.turns.into_iter().map(message).collect();
        let use_of = json!({ "type": "tool_use", "id": "call_1", "name": "price", "input": { "of": "boky" } });
        let result = json!({ "type": "tool_result", "tool_use_id": "call_1", "content": "{\"price\": \"dimy\"}" });
        assert_eq!(
            told,
            [
                json!({ "role": "user", "content": "firy ny boky" }),
                json!({ "role": "assistant", "content": [{ "type": "text", "text": "Andraso." }, use_of] }),
                json!({ "role": "user", "content": [result, { "type": "text", "text": "haingana" }] }),
            ]
        );
        let price = tool(&tools::tests::tool("price", &["of"]));
        assert_eq!((&price["name"], &price["input_schema"]["required"]), (&json!("price"), &json!(["of"])));
    }

    #[test]
    fn each_event_says_what_it_says() {
        let text = |text: &str| Ok(Heard { text: text.into(), ..Heard::default() });
        let cut = || Ok(Heard { is_cut: true, ..Heard::default() });
        let counted =
            |prompt_tokens, completion_tokens| Ok(Heard { prompt_tokens, completion_tokens, ..Heard::default() });
        for (data, heard) in [
            (
                r#"{"type":"message_start","message":{"id":"msg_1","content":[],"usage":{"input_tokens":25,
                    "cache_read_input_tokens":1000,"cache_creation_input_tokens":300,"output_tokens":1}}}"#,
                Ok(Heard {
                    prompt_tokens: Some(1_325),
                    cached: (1_000, 300),
                    completion_tokens: Some(1),
                    ..Heard::default()
                }),
            ),
            (r#"{"type":"message_start","message":{"id":"msg_1"}}"#, text("")),
            (r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#, text("")),
            (r#"{"type":"ping"}"#, text("")),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Sala"}}"#, text("Sala")),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#, text("")),
            (r#"{"type":"something_new","x":1}"#, text("")),
            (
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"price","input":{}}}"#,
                Ok(call(CallPart { index: 1, tool: Some("price".into()), arguments: String::new() })),
            ),
            (
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"of"}}"#,
                Ok(call(CallPart { index: 1, tool: None, arguments: "{\"of".into() })),
            ),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
                counted(None, Some(9)),
            ),
            (r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null}}"#, cut()),
            (r#"{"type":"message_delta","delta":{"stop_reason":"model_context_window_exceeded"}}"#, cut()),
            (r#"{"type":"message_stop"}"#, Ok(Heard { over: Over::All, ..Heard::default() })),
        ] {
            assert_eq!(read(data), heard, "{data}");
        }
        let busy = read(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#);
        assert!(busy.is_err_and(|(fault, says)| fault == RemoteFault::Busy && says.contains("overloaded_error")));
        for nonsense in ["", "{", "[1]", r#"{"type":"content_block_delta"}"#, "[DONE]"] {
            assert!(read(nonsense).is_err_and(|(fault, _)| fault == RemoteFault::Broken), "{nonsense}");
        }
    }
}
