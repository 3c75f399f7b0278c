//! `[[mcp]]`: servers of the Model Context Protocol whose tools personas may have.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Faults, Secret, http_address};

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct McpServer {
    /// What personas call it: `tools = ["NAME/TOOL"]`, `["NAME/*"]`.
    pub name: String,
    /// A program that speaks the protocol on its standard input and output, and its arguments.
    pub command: Vec<String>,
    /// What that program finds in its environment, besides PATH, HOME and LANG: `NAME=VALUE` each.
    pub env: Vec<Secret>,
    /// Where the server is, by the protocol's streamable HTTP; asked in place of a program.
    pub url: Option<String>,
    /// What is shown there: `Authorization: Bearer TOKEN`.
    pub token: Option<Secret>,
    /// A file that holds it, read in place of it.
    pub token_file: Option<PathBuf>,
    /// How long a call of a tool may take, in seconds.
    pub seconds: u64,
}

impl Default for McpServer {
    fn default() -> Self {
        Self {
            name: String::new(),
            command: Vec::new(),
            env: Vec::new(),
            url: None,
            token: None,
            token_file: None,
            seconds: 10,
        }
    }
}

impl McpServer {
    pub(super) fn check_all(servers: &[Self], faults: &mut Faults<'_>) {
        for (n, server) in servers.iter().enumerate() {
            let key = |field: &str| format!("mcp[{n}].{field}");
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if !(1..=30).contains(&server.name.len()) || !server.name.bytes().all(fits) {
                faults.add(&key("name"), "is not 1 to 30 letters, digits, _ and -".into());
            } else if servers.iter().take(n).any(|other| other.name == server.name) {
                faults.add(&key("name"), format!("{:?} is the name of another one", server.name));
            }
            if server.command.is_empty() && server.url.is_none() {
                faults.add(&key("command"), "or url must be there".into());
            }
            if server.url.as_deref().is_some_and(|url| http_address(url).is_none()) {
                faults.add(&key("url"), "is no address like https://tools.example.com/mcp".into());
            }
            if server.env.iter().any(|one| one.reveal().split_once('=').is_none_or(|(name, _)| name.is_empty())) {
                faults.add(&key("env"), "holds something that is not NAME=VALUE".into());
            }
            faults.within(&key("seconds"), server.seconds, 1..=60);
        }
    }
}
