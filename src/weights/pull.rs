//! One model, from its server to its place.
//!
//! ```text
//!  each file is asked about (HEAD): how large, which version ─► is there room? ─► FILE.part, which goes on where it broke off
//!   ─► its sum, or it is thrown away ─► FILE ─► manifest.toml ─► NAME.part becomes NAME
//! ```
//! It is the whole work of its process: nothing else waits while it writes, or reads a file for its sum.

use std::{io, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use milo_models::{
    catalogue::{Entry, Hosted, Wanted},
    manifest::{Listed, Manifest, Model},
};
use tokio::time::sleep;

use super::{
    hub::{Hub, Told, Trouble},
    part::{self, Part},
    progress::{Progress, amount},
    shelf::Staging,
};

/// What stays free on the disk, for what Milo writes itself: bytes.
const LEFT_FREE: u64 = 64_000_000;
/// So many bytes in one go, and the tries are counted anew.
const MUCH: u64 = 1_000_000;
/// A file that came wrong so often is wrong on the server.
const MOST_WRONG: u32 = 3;
/// The longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long a server that fails is asked again.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// The first pause; each next one is twice as long.
    pub(super) first: Duration,
    /// Tries in a row, the first among them.
    pub(super) tries: u32,
}

impl Default for Patience {
    /// A minute in all.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), tries: 8 }
    }
}

/// A file that is to come, and what has come of it.
struct Coming<'a> {
    wanted: &'a Wanted,
    size: u64,
    /// The checksum that the catalogue or the server names.
    sum: Option<String>,
    version: Option<String>,
    part: Part,
}

/// A pull.
pub(super) struct Pull<'a> {
    pub(super) hub: &'a Hub,
    pub(super) hosted: &'a Hosted,
    pub(super) staging: Staging,
    pub(super) patience: Patience,
    pub(super) progress: Progress,
}

impl Pull<'_> {
    /// Brings the model to its place.
    ///
    /// # Errors
    /// One sentence that names the file, what is wrong, and the mend. What has come stays, and the next pull goes on there.
    pub(super) async fn run(mut self, entry: &Entry) -> Result<()> {
        let (mut coming, mut commit) = (Vec::new(), None);
        let hosted = self.hosted;
        for wanted in &hosted.files {
            let told = self.look(&wanted.path).await?;
            commit = commit.or_else(|| told.commit.clone());
            coming.push(self.coming(wanted, told)?);
        }
        let left: u64 =
            coming.iter().fold(0, |sum, file| sum.saturating_add(file.size - file.part.length().min(file.size)));
        let free = self.staging.free()?;
        ensure!(
            left.saturating_add(LEFT_FREE) <= free,
            "{} takes {} more, and {} are free in its folder, of which {} stay free: make room, or set MILO_DATA_DIR",
            entry.name,
            amount(left),
            amount(free),
            amount(LEFT_FREE)
        );
        let mut listed = Vec::new();
        for (n, file) in coming.iter().enumerate() {
            let sha256 = self.fetch(file).await?;
            let (path, of) = (&file.wanted.path, coming.len());
            self.progress.note(&format!("{path}: {}, file {} of {of}", amount(file.size), n + 1));
            listed.push(Listed { path: path.clone(), sha256 });
        }
        let unnamed: Vec<_> =
            coming.iter().filter(|file| file.sum.is_none()).map(|file| file.wanted.path.as_str()).collect();
        let manifest = self.manifest(entry, commit.as_deref(), &unnamed, listed)?;
        for file in coming {
            file.part.close()?;
        }
        self.staging.finish(&manifest)
    }

    async fn look(&mut self, path: &str) -> Result<Told> {
        let mut failed = 0;
        loop {
            match self.hub.look(self.hosted, path).await {
                Ok(told) => return Ok(told),
                Err(trouble) => self.pause(trouble, &mut failed).await?,
            }
        }
    }

    fn coming<'a>(&self, wanted: &'a Wanted, told: Told) -> Result<Coming<'a>> {
        let path = &wanted.path;
        let size = told.size.with_context(|| format!("{path}: the server does not say how large it is"))?;
        let named = told.sha256();
        if let (Some(listed), Some(named)) = (&wanted.sha256, &named) {
            ensure!(
                listed == named,
                "{path}: the server has another file than the catalogue lists: its sha256 is {named}, not {listed}"
            );
        }
        let part =
            Part::at(self.staging.file(path), told.version.as_deref()).map_err(|error| unwritten(path, &error))?;
        Ok(Coming { wanted, size, sum: wanted.sha256.clone().or(named), version: told.version, part })
    }

    /// Brings one file, and returns its checksum.
    async fn fetch(&mut self, file: &Coming<'_>) -> Result<String> {
        let path = &file.wanted.path;
        let is_right = |found: &String| file.sum.as_ref().is_none_or(|sum| sum == found);
        if let Some(found) = file.part.whole().with_context(|| path.clone())? {
            if is_right(&found) && file.part.length() == file.size {
                return Ok(found);
            }
            file.part.forget().map_err(|error| unwritten(path, &error))?;
        }
        let (mut failed, mut wrong) = (0, 0);
        loop {
            let before = file.part.length();
            if let Err(trouble) = self.more(file).await {
                if file.part.length() >= before.saturating_add(MUCH) {
                    failed = 0;
                }
                self.pause(trouble, &mut failed).await?;
                continue;
            }
            let found = file.part.sum().with_context(|| path.clone())?;
            if is_right(&found) {
                file.part.finish().map_err(|error| unwritten(path, &error))?;
                return Ok(found);
            }
            file.part.forget().map_err(|error| unwritten(path, &error))?;
            wrong += 1;
            let sum = file.sum.as_deref().unwrap_or_default();
            let says = format!("{path} came damaged: its sha256 is {found}, and {sum} is wanted; it was thrown away");
            ensure!(
                wrong < MOST_WRONG,
                "{says}, {MOST_WRONG} times now: ask the server's people, or another mirror (HF_ENDPOINT)"
            );
            self.progress.note(&says);
        }
    }

    /// Has the rest of a file come, as far as it does.
    async fn more(&mut self, file: &Coming<'_>) -> Result<(), Trouble> {
        let (path, part) = (&file.wanted.path, &file.part);
        let written = |error: io::Error| Trouble::Lasting(unwritten(path, &error).to_string());
        if part.length() > file.size || !part.goes_on() {
            part.forget().map_err(written)?;
        }
        let mut have = part.length();
        if have == file.size && have > 0 {
            return Ok(());
        }
        let mut body = self.hub.read(self.hosted, path, have).await?;
        if body.told.version.is_some() && body.told.version != file.version {
            return Err(Trouble::Lasting(format!("{path} was replaced on the server while it came: pull again")));
        }
        let mut into = part.open(body.from).map_err(written)?;
        have = body.from;
        self.progress.begin(have);
        while let Some(bytes) = body.next().await? {
            have += bytes.len() as u64;
            if have > file.size {
                part.forget().map_err(written)?;
                return Err(Trouble::Lasting(format!(
                    "{path}: the server sends more than the {} bytes it said",
                    file.size
                )));
            }
            part::write(&mut into, Some(&bytes)).map_err(written)?;
            self.progress.at(path, have, file.size);
        }
        part::write(&mut into, None).map_err(written)?;
        if have < file.size {
            return Err(Trouble::passing(format!("{path}: ended after {have} of {} bytes", file.size)));
        }
        Ok(())
    }

    /// Waits before the next try, or gives up.
    async fn pause(&mut self, trouble: Trouble, failed: &mut u32) -> Result<()> {
        let (says, after) = match trouble {
            Trouble::Lasting(says) => bail!(says),
            Trouble::Passing { says, after } => (says, after),
        };
        *failed += 1;
        if *failed >= self.patience.tries {
            bail!(
                "{says}; given up after {failed} tries in a row: what has come is kept, and another pull goes on there"
            );
        }
        let pause = self.patience.pause(*failed).max(after);
        self.progress.note(&format!("{says}; again in {} s", pause.as_secs_f64()));
        sleep(pause).await;
        Ok(())
    }

    /// What engines compare the files with before they load them, and whence they came.
    fn manifest(&self, entry: &Entry, commit: Option<&str>, unnamed: &[&str], files: Vec<Listed>) -> Result<String> {
        let model = Model {
            name: entry.name.clone(),
            engine: entry.engine.name().into(),
            licence: entry.licence.clone(),
            demonstration: false,
            memory_mb: None,
            card: None,
            files,
        };
        let page = self.hub.page(self.hosted);
        let commit = commit.map_or_else(String::new, |commit| format!(" (commit {commit})"));
        let mut text =
            format!("# Fetched by `milo models pull` from {page}, revision {}{commit}.\n", self.hosted.revision);
        if !unnamed.is_empty() {
            text += &format!("# Nobody named checksums of these, theirs are of what came: {}.\n", unnamed.join(", "));
        }
        text.push('\n');
        text += &toml::to_string(&Manifest { models: vec![model] })?;
        Ok(text)
    }
}

impl Patience {
    /// The pause after so many tries in a row.
    fn pause(self, failed: u32) -> Duration {
        self.first.saturating_mul(1 << (failed.max(1) - 1).min(16)).min(LONGEST_PAUSE)
    }
}

fn unwritten(path: &str, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "{path} cannot be written ({error}): make room, or set MILO_DATA_DIR; another pull goes on where this one ended"
    )
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{config::Engines, weights::shelf::Shelf};
    use milo_models::catalogue::{Catalogue, Source};

    #[test]
    fn pauses_grow_up_to_half_a_minute() {
        let pauses: Vec<_> = (1..=8).map(|failed| Patience::default().pause(failed).as_millis()).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(Patience::default().pause(u32::MAX), LONGEST_PAUSE);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_given_up_by_name() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let environment = [("HF_ENDPOINT".to_owned(), format!("http://{closed}"))];
        let hub = Hub::of(&environment, &Engines::default()).unwrap();
        let data = tempfile::tempdir().unwrap();
        let staging = Shelf::below(data.path()).stage("smart-turn-v3").unwrap();
        let catalogue = Catalogue::known().unwrap();
        let entry = catalogue.named("smart-turn-v3").unwrap();
        let Source::Hub(hosted) = &entry.source else { panic!("it is fetched") };
        let patience = Patience { first: Duration::from_millis(1), tries: 3 };
        let pull = Pull { hub: &hub, hosted, staging, patience, progress: Progress::of_process() };
        let error = pull.run(entry).await.unwrap_err().to_string();
        let file = "smart-turn-v3.2-cpu.onnx: 127.0.0.1 cannot be asked";
        assert!(error.starts_with(file) && error.contains("after 3 tries"), "{error}");
    }
}
