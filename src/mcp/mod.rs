//! Servers of the Model Context Protocol (MCP), whose tools the models of personas may have called: programs that are started here, or
//! servers over streamable HTTP. Each has a task that keeps it connected and knows its tools; a call goes to it with a limit of time.
//!
//! ```text
//! [[mcp]] ─► keep: start or connect ─► list tools ─► … gone ─► a pause, and again
//!                          └─► Mcp::tools (for the model) ─► Mcp::call ─► JSON for the model
//! ```

mod keep;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use milo_models::tools::{Tool, not_done, plainly};
use rmcp::{
    Peer, RoleClient,
    model::{CallToolRequestParams, CallToolResult, ContentBlock},
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::{config::McpServer, dialplan::ServedWords, store::Stamp};

/// Letters of what a model is told at most.
const LONGEST: usize = 2_000;
/// Tools of one server at most.
const MOST_TOOLS: usize = 64;
/// Letters of what a tool says of itself, and bytes of its schema.
const LONGEST_ABOUT: usize = 1_000;
const LARGEST_SCHEMA: usize = 8_192;
/// Letters of a tool's name, as models' protocols have it.
const LONGEST_NAME: usize = 64;

/// All servers; cheap to clone.
#[derive(Clone, Default)]
pub struct Mcp(Arc<BTreeMap<String, Server>>);

struct Server {
    known: watch::Receiver<Known>,
    within: Duration,
}

/// What is known of a server now; nothing while it is not there.
#[derive(Clone, Default)]
struct Known {
    peer: Option<Peer<RoleClient>>,
    tools: Arc<[Served]>,
    /// When it listed its tools last.
    seen: Option<Stamp>,
    /// Why it is not there; nothing while it is, nor before it was first tried.
    fault: Option<String>,
}

/// How a server is, as health shows it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = ToolServer)]
pub struct McpReport {
    /// As personas call it.
    #[schema(example = "shop")]
    pub name: String,
    /// Whether it is there.
    #[schema(example = true)]
    pub connected: bool,
    /// Why it is not; null while it is, and before it was first tried.
    #[schema(example = json!(null))]
    pub fault: Option<String>,
    /// Its tools, as personas call them; none while it is not there.
    #[schema(example = json!(["find_price"]))]
    pub tools: Vec<String>,
    /// When it listed them last; null where it never has.
    pub seen: Option<Stamp>,
}

impl McpReport {
    /// What is wrong with it, as a sentence.
    pub fn complaint(&self) -> Option<String> {
        let fault = self.fault.as_ref()?;
        Some(format!("The server of tools {:?} is not there ({fault}): nobody has its tools until it is.", self.name))
    }
}

/// A tool of a server.
#[derive(Clone, Debug)]
pub struct Served {
    server: String,
    name: String,
    /// As a model is told of it.
    pub tool: Tool,
    /// Whether the server says that it destroys something: what says nothing of itself is not taken for that.
    pub destroys: bool,
}

impl Served {
    /// Of those words of a persona, its own.
    pub fn words<'w>(&self, all: &'w BTreeMap<String, ServedWords>) -> Option<&'w ServedWords> {
        ServedWords::of(all, &self.server, &self.name)
    }
}

impl Mcp {
    /// Begins to connect to those of the configuration; the tasks end with the set.
    ///
    /// # Errors
    /// A file of it cannot be read, or is not what it should be.
    pub fn start(settings: &[McpServer]) -> Result<(Self, JoinSet<()>)> {
        let (mut servers, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for server in settings {
            let (told, known) = watch::channel(Known::default());
            let within = Duration::from_secs(server.seconds);
            let way = keep::Way::of(server).with_context(|| format!("[[mcp]] {:?}", server.name))?;
            servers.insert(server.name.clone(), Server { known, within });
            tasks.spawn(keep::keep(server.name.clone(), way, told));
        }
        Ok((Self(Arc::new(servers)), tasks))
    }

    /// How each server is, by their names.
    pub fn report(&self) -> Vec<McpReport> {
        let report = |(name, server): (&String, &Server)| {
            let Known { peer, tools, seen, fault } = server.known.borrow().clone();
            let tools = tools.iter().map(|served| served.name.clone()).collect();
            McpReport { name: name.clone(), connected: peer.is_some(), fault, tools, seen }
        };
        self.0.iter().map(report).collect()
    }

    /// The tools that a persona means by `SERVER/TOOL` or `SERVER/*`, as far as they are there.
    pub fn tools(&self, wanted: &str) -> Vec<Served> {
        let Some((server, tool)) = wanted.split_once('/') else { return Vec::new() };
        let Some(server) = self.0.get(server) else { return Vec::new() };
        let tools = Arc::clone(&server.known.borrow().tools);
        tools.iter().filter(|served| tool == "*" || served.name == tool).cloned().collect()
    }

    /// Calls a tool; what the model is told of it, and whether it was done.
    pub async fn call(&self, served: &Served, arguments: Map<String, Value>) -> (String, bool) {
        match self.ask(served, arguments).await {
            Ok(result) => told(&result),
            Err(why) => (not_done(&why), false),
        }
    }

    async fn ask(&self, served: &Served, arguments: Map<String, Value>) -> Result<CallToolResult, String> {
        let server = self.0.get(&served.server).ok_or("there is no such server")?;
        let peer = server.known.borrow().peer.clone().ok_or("it is not there now")?;
        let request = CallToolRequestParams::new(served.name.clone()).with_arguments(arguments);
        match timeout(server.within, peer.call_tool(request)).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                tracing::warn!(mcp = served.server, tool = served.name, %error, "a tool's server refused a call");
                Err("it refused the call".into())
            }
            Err(_) => Err(format!("no answer came within {} s", server.within.as_secs())),
        }
    }
}

/// A result as a model is told it: what it holds in fields, or its words.
fn told(result: &CallToolResult) -> (String, bool) {
    let words = result.content.iter().filter_map(|content| match content {
        ContentBlock::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    let words: String = words.collect::<Vec<_>>().join("\n").chars().take(LONGEST).collect();
    if result.is_error == Some(true) {
        return (not_done(&words), false);
    }
    let fields = result.structured_content.as_ref().filter(|fields| fields.is_object()).map(plainly);
    match fields.filter(|fields| fields.chars().count() <= LONGEST) {
        Some(fields) => (fields, true),
        None if words.trim().is_empty() => (not_done("it answered, and with nothing that can be read"), false),
        None => (plainly(&json!({ "result": words })), true),
    }
}

/// A tool as a server lists it; none where what it says of itself is too much for a model.
fn served(server: &str, tool: &rmcp::model::Tool) -> Option<Served> {
    let plain = |name: &str| -> String {
        let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' };
        name.chars().map(letter).collect()
    };
    let name: String = format!("{}_{}", plain(server), plain(&tool.name)).chars().take(LONGEST_NAME).collect();
    let about = tool.description.as_deref().unwrap_or_default().chars().take(LONGEST_ABOUT).collect();
    let schema = Value::Object((*tool.input_schema).clone());
    if schema.to_string().len() > LARGEST_SCHEMA {
        tracing::warn!(mcp = server, tool = %tool.name, "a tool is left out: its schema is too large");
        return None;
    }
    let schema = Some(schema);
    let tool_told = Tool { name, about, takes: Vec::new(), schema };
    let says = tool.annotations.as_ref();
    let destroys = says.is_some_and(|says| says.destructive_hint == Some(true) && says.read_only_hint != Some(true));
    Some(Served { server: server.into(), name: tool.name.to_string(), tool: tool_told, destroys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers_is_told_in_fields_or_words_and_not_without_end() {
        let text = |text: &str| CallToolResult::success(vec![ContentBlock::text(text)]);
        assert_eq!(told(&text("dimy arivo")), (r#"{"result": "dimy arivo"}"#.into(), true));
        assert_eq!(told(&CallToolResult::structured(json!({ "price": 5 }))), (r#"{"price": 5}"#.into(), true));
        let error = CallToolResult::error(vec![ContentBlock::text("no such thing")]);
        assert_eq!(told(&error), (r#"{"ok": false, "why": "no such thing"}"#.into(), false));
        assert!(told(&text(&"a".repeat(50_000))).0.len() < LONGEST + 50);
        assert!(!told(&text(" ")).1 && !told(&CallToolResult::success(Vec::new())).1);
    }

    #[test]
    fn a_server_is_shown_as_it_is_and_what_is_wrong_with_it_is_a_sentence() {
        let (told, known) = watch::channel(Known::default());
        let server = Server { known, within: Duration::from_secs(1) };
        let mcp = Mcp(Arc::new(BTreeMap::from([("shop".to_owned(), server)])));
        let [begins] = &mcp.report()[..] else { panic!("one server") };
        assert_eq!((begins.connected, begins.complaint()), (false, None), "it was not tried yet");
        told.send_replace(Known {
            fault: Some("it has ended".into()),
            seen: Some(Stamp::from_millis(5)),
            ..Known::default()
        });
        let [gone] = &mcp.report()[..] else { panic!("one server") };
        assert_eq!((gone.connected, gone.seen, gone.tools.len()), (false, Some(Stamp::from_millis(5)), 0));
        let complaint = gone.complaint().expect("it is not there");
        assert!(complaint.contains("\"shop\" is not there (it has ended)"), "{complaint}");
    }

    #[test]
    fn a_tool_destroys_something_where_its_server_says_so() {
        let listed = |hints: Value| {
            let tool = json!({ "name": "order", "inputSchema": { "type": "object" }, "annotations": hints });
            served("shop", &serde_json::from_value(tool).expect("a tool")).expect("it is small").destroys
        };
        assert!(
            listed(json!({ "destructiveHint": true }))
                && listed(json!({ "destructiveHint": true, "readOnlyHint": false }))
        );
        assert!(
            !listed(json!({}))
                && !listed(Value::Null)
                && !listed(json!({ "readOnlyHint": true, "destructiveHint": true }))
        );
        assert!(!listed(json!({ "destructiveHint": false })));
    }

    #[test]
    fn nobody_has_tools_of_a_server_that_is_not_there() {
        let mcp = Mcp::default();
        assert!(mcp.tools("shop/*").is_empty() && mcp.tools("price").is_empty());
    }
}
