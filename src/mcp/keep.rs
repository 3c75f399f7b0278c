//! Keeping one server connected: started or reached, asked for its tools, and again when it has gone.

use std::{fs, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use milo_models::remote::is_here;
use reqwest::{Url, redirect::Policy};
use rmcp::{
    Peer, RoleClient,
    model::PaginatedRequestParams,
    service::{RunningService, serve_client},
    transport::{
        StreamableHttpClientTransport, TokioChildProcess, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tokio::{
    process::Command,
    select,
    sync::watch,
    time::{sleep, timeout},
};

use super::{Known, MOST_TOOLS, served};
use crate::{
    config::{McpServer, Secret},
    store::Stamp,
};

/// How long a server may take to be there, and to list its tools.
const START: Duration = Duration::from_secs(20);
/// Its tools are asked for anew so often.
const LOOK: Duration = Duration::from_secs(60);
/// Before one that has gone is tried again; twice as long each time, up to the second.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Pages of a list of tools, and bytes of an answer.
const MOST_PAGES: usize = 8;
const LARGEST: usize = 1 << 20;
/// What of Milo's own environment a program finds: nothing that is secret.
const ENVIRONMENT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// How a server is reached.
pub(super) enum Way {
    Program { command: Vec<String>, env: Vec<Secret> },
    Http { url: String, token: Option<Secret> },
}

impl Way {
    pub(super) fn of(settings: &McpServer) -> Result<Self> {
        let Some(url) = &settings.url else {
            return Ok(Self::Program { command: settings.command.clone(), env: settings.env.clone() });
        };
        let token = match &settings.token_file {
            Some(file) => {
                let text = fs::read_to_string(file).with_context(|| format!("token_file: {}", file.display()))?;
                let line = text.trim();
                ensure!(!line.is_empty() && !line.contains('\n'), "token_file: {} is no single line", file.display());
                Some(Secret::new(line))
            }
            None => settings.token.clone(),
        };
        Ok(Self::Http { url: url.clone(), token })
    }

    async fn connect(&self) -> Result<RunningService<RoleClient, ()>> {
        match self {
            Self::Program { command, env } => {
                let (program, arguments) = command.split_first().context("it has no command")?;
                let mut command = Command::new(program);
                let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
                command.args(arguments).env_clear().envs(kept).kill_on_drop(true);
                command.envs(env.iter().filter_map(|one| one.reveal().split_once('=')));
                let transport = TokioChildProcess::new(command).with_context(|| format!("{program} does not start"))?;
                Ok(serve_client((), transport).await?)
            }
            Self::Http { url, token } => {
                // Whoever was first has installed the same.
                rustls::crypto::ring::default_provider().install_default().ok();
                // A redirect would carry the token to whom nobody named.
                let mut http = reqwest::Client::builder().redirect(Policy::none()).connect_timeout(START);
                // No proxy of the environment reaches what listens on this machine.
                if Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(is_here)) {
                    http = http.no_proxy();
                }
                let http = http.build()?;
                let mut config = StreamableHttpClientTransportConfig::with_uri(url.clone());
                (config.max_json_response_size, config.max_sse_event_size) = (LARGEST, LARGEST);
                if let Some(token) = token {
                    config = config.auth_header(token.reveal());
                }
                let transport = StreamableHttpClientTransport::with_client(http, config);
                Ok(serve_client((), transport).await?)
            }
        }
    }
}

/// Keeps a server connected for as long as the task lives.
pub(super) async fn keep(name: String, way: Way, told: watch::Sender<Known>) {
    let mut pause = PAUSE;
    loop {
        let why = match serve(&name, &way, &told, &mut pause).await {
            Ok(()) => anyhow!("it has ended"),
            Err(error) => error,
        };
        let fault = format!("{why:#}");
        told.send_modify(|known| *known = Known { seen: known.seen, fault: Some(fault.clone()), ..Known::default() });
        tracing::warn!(mcp = name, fault, again_s = pause.as_secs(), "a server of tools is not there");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Connects, and stays until the server has gone.
async fn serve(name: &str, way: &Way, told: &watch::Sender<Known>, pause: &mut Duration) -> Result<()> {
    let late = || format!("it is not there within {} s", START.as_secs());
    let running = timeout(START, way.connect()).await.with_context(late)??;
    let peer = running.peer().clone();
    let mut over = pin!(running.waiting());
    loop {
        let known = timeout(START, list(name, &peer)).await.with_context(late)??;
        if told.borrow().tools.len() != known.tools.len() {
            tracing::info!(mcp = name, tools = known.tools.len(), "a server of tools is there");
            for served in known.tools.iter().filter(|served| !served.tool.is_sayable()) {
                let tool = &served.tool.name;
                tracing::info!(mcp = name, tool, "models in this process cannot keep to the schema of a tool");
            }
        }
        told.send_replace(known);
        *pause = PAUSE;
        select! {
            _ = &mut over => return Ok(()),
            () = sleep(LOOK) => {}
        }
    }
}

async fn list(name: &str, peer: &Peer<RoleClient>) -> Result<Known> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for _ in 0..MOST_PAGES {
        let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await?;
        tools.extend(page.tools.iter().filter_map(|tool| served(name, tool)));
        cursor = page.next_cursor;
        if cursor.is_none() || tools.len() >= MOST_TOOLS {
            break;
        }
    }
    tools.truncate(MOST_TOOLS);
    Ok(Known { peer: Some(peer.clone()), tools: Arc::from(tools), seen: Some(Stamp::now()), fault: None })
}
