//! What plans may name that is not theirs: trunks, accounts and hosts of the configuration, and sounds.

use std::path::{Component, Path};

use anyhow::Result;
use axum::http::Uri;
use milo_media::{SAMPLE_RATE, prompt::Prompts};
use tokio::sync::watch;

use crate::{
    accounts::{self, Book},
    config::{self, Config},
    engines::{self, Mode},
    webhook,
};

/// Room for decoded sound files: an hour, 115 MB.
const PROMPTS: usize = 3600 * SAMPLE_RATE as usize;

/// What is around the dialplans. It stays as it is while Milo runs, but for the sounds and the accounts.
#[derive(Clone, Debug)]
pub struct Surroundings {
    trunks: Vec<String>,
    accounts: Vec<String>,
    /// The accounts as they are now, while Milo runs.
    book: Option<watch::Receiver<Book>>,
    hosts: Vec<String>,
    /// The servers of tools.
    mcp: Vec<String>,
    /// Why no server answers callers; none: one does.
    no_mind: Option<String>,
    /// Whether the model in this process does as it is told besides: the one that ships does not.
    is_heedful: bool,
    /// Sound files, decoded.
    pub prompts: Prompts,
}

impl Surroundings {
    /// As this configuration has it.
    ///
    /// # Errors
    /// The file of accounts cannot be read, or is wrong.
    pub fn of(config: &Config) -> Result<Self> {
        let registrar = accounts::registrar(&config.sip)?;
        Ok(Self {
            trunks: config.sip.trunks.iter().map(|trunk| trunk.name.clone()).collect(),
            accounts: registrar.into_iter().flat_map(|registrar| registrar.users).map(|user| user.name).collect(),
            book: None,
            hosts: config.webhook.hosts.clone(),
            mcp: config.mcp.iter().map(|server| server.name.clone()).collect(),
            no_mind: engines::why_no_mind(&config.engines),
            is_heedful: config.engines.llm.path.is_some(),
            prompts: Prompts::new(PROMPTS),
        })
    }

    /// The same, with the accounts that are in force when something is checked.
    #[must_use]
    pub fn following(self, book: watch::Receiver<Book>) -> Self {
        Self { book: Some(book), ..self }
    }

    pub(super) fn check_trunk(&self, name: &str) -> Result<(), String> {
        known(name, &self.trunks).map_err(|known| format!("{name:?} is not the name of one of [[sip.trunks]]; {known}"))
    }

    pub(super) fn check_account(&self, name: &str) -> Result<(), String> {
        let now = self.book.as_ref().map(|book| book.borrow().names());
        known(name, now.as_deref().unwrap_or(&self.accounts))
            .map_err(|known| format!("{name:?} is no account of [sip] accounts; {known}"))
    }

    pub(super) fn check_host(&self, url: &Uri) -> Result<(), String> {
        let host = url.host().unwrap_or_default();
        if webhook::is_among(&self.hosts, url) {
            return Ok(());
        }
        Err(format!("{host:?} is not one of [webhook] hosts; there are {}", list(&self.hosts)))
    }

    pub(super) fn check_mcp(&self, name: &str) -> Result<(), String> {
        known(name, &self.mcp).map_err(|known| format!("{name:?} is not the name of one of [[mcp]]; {known}"))
    }

    /// Whether a server can be asked for replies.
    pub(super) fn check_cloud(&self) -> Result<(), String> {
        self.no_mind.as_ref().map_or(Ok(()), |why| Err(format!("no server is asked for replies: {why}")))
    }

    /// Whether what a persona of this mode is told besides its prompt is told to anybody.
    pub(super) fn check_heeds(&self, mode: Option<Mode>) -> Result<(), String> {
        if self.is_heedful || (mode != Some(Mode::Local) && self.no_mind.is_none()) {
            return Ok(());
        }
        Err("nobody is told it: the model that ships knows what it was trained with; name another in [engines.llm] path, \
             or a server"
            .into())
    }

    /// A sound is a file of the folder or below it, and can be played.
    pub(super) fn check_sound(&self, folder: &Path, name: &str) -> Result<(), String> {
        let inside = Path::new(name).components().all(|component| matches!(component, Component::Normal(_)));
        if name.is_empty() || !inside {
            return Err(format!("{name:?} is no path within the folder of dialplans, such as \"sounds/welcome.ogg\""));
        }
        let path = folder.join(name);
        if !path.is_file() {
            return Err(format!("{name:?}: there is no file {}", path.display()));
        }
        self.prompts.sound(&path).map(drop).map_err(|error| format!("{name:?}: {error}"))
    }
}

impl Default for Surroundings {
    /// Without trunks, accounts, hosts and servers.
    fn default() -> Self {
        let (trunks, accounts, hosts, mcp) = Default::default();
        let no_mind = engines::why_no_mind(&config::Engines::default());
        Self { trunks, accounts, book: None, hosts, mcp, no_mind, is_heedful: false, prompts: Prompts::new(PROMPTS) }
    }
}

fn known(name: &str, all: &[String]) -> Result<(), String> {
    if all.iter().any(|known| known == name) { Ok(()) } else { Err(format!("there are {}", list(all))) }
}

/// Some of these names: of ten thousand accounts not all.
fn list(names: &[String]) -> String {
    let shown = names.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".into(),
        1..=20 => shown,
        more => format!("{shown} and {} more", more - 20),
    }
}
