//! `milo models`: what ships, what is here, what may be fetched; fetching it, checking it and removing it.
//!
//! ```text
//!  models/catalogue.toml, or a file of the operator's ─► pull ─► hub (HTTP) ─► part (one file) ─► shelf (DATA_DIR/models/NAME)
//! ```
//! A model that was fetched lies in a folder with a manifest, by which engines check it before they load it, `verify` at any time.
//! Nothing is fetched but by `pull`, and nothing is put into use: the line of the configuration that does that is told at the end.

mod hub;
mod part;
mod progress;
mod pull;
mod shelf;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use milo_models::{
    catalogue::{Catalogue, Entry, Setting, Source},
    demo,
    manifest::Manifest,
};

use crate::{
    config::{Config, Engines},
    engines::{
        self,
        memory::{self, Room},
    },
};
use hub::Hub;
use progress::Progress;
use pull::{Patience, Pull};
use shelf::Shelf;

pub(crate) use progress::amount;
pub(crate) use shelf::free;

/// What is done with models.
#[derive(clap::Subcommand)]
pub enum What {
    /// List what ships, what is in the data folder, and what may be fetched.
    List {
        /// The models that may be fetched, in the form of models/catalogue.toml [default: those that Milo knows]
        #[arg(long, value_name = "FILE")]
        catalogue: Option<PathBuf>,
    },
    /// Fetch a model into the data folder, or say how to make it.
    Pull {
        /// Its name in the catalogue.
        name: String,
        /// Take a licence that forbids commerce without being asked.
        #[arg(long)]
        accept_licence: bool,
        /// The models that may be fetched, in the form of models/catalogue.toml [default: those that Milo knows]
        #[arg(long, value_name = "FILE")]
        catalogue: Option<PathBuf>,
    },
    /// Compare what was fetched with its checksums.
    Verify {
        /// Its name [default: all]
        name: Option<String>,
    },
    /// Say what the configured models take in memory, and how many conversations fit, with which quantisation.
    Plan,
    /// Remove a model that was fetched, or what of it has come.
    Rm {
        /// Its name.
        name: String,
    },
}

/// Does it, and says whether all was right. `environment` is that of the process: the server and its token stand there.
///
/// # Errors
/// One sentence that names what is wrong, and the mend.
pub async fn run(what: What, config: &Config, environment: &[(String, String)]) -> Result<bool> {
    let shelf = Shelf::below(&config.data_dir);
    match what {
        What::List { catalogue } => {
            let (shipped, catalogue) = (demo::manifest()?, read(catalogue.as_deref())?);
            for line in lines(&shipped, &shelf, &catalogue)? {
                println!("{line}");
            }
            Ok(true)
        }
        What::Pull { name, accept_licence, catalogue } => {
            refuse_shipped(&name, "there is nothing to fetch")?;
            let catalogue = read(catalogue.as_deref())?;
            let Some(entry) = catalogue.named(&name) else {
                bail!("there is no model {name} in the catalogue; `milo models list` says which there are");
            };
            fetch(entry, &shelf, config, environment, accept_licence).await?;
            Ok(true)
        }
        What::Verify { name } => verify(name.as_deref(), &shelf),
        What::Plan => {
            let needs = memory::needs(config, &demo::unpack(&config.data_dir)?);
            let room = Room::now(engines::uses_cards(config));
            print!("{}", memory::plan(&needs, &room, config.limits.calls));
            Ok(memory::fit(&needs, &room).is_ok())
        }
        What::Rm { name } => {
            refuse_shipped(&name, "a start would unpack it again")?;
            if let Some(key) = in_use(&shelf.place(&name), &config.engines) {
                bail!("{key} names {name}: name another model there, or none, before it is removed");
            }
            shelf.remove(&name)?;
            println!("{name} is removed");
            Ok(true)
        }
    }
}

fn read(file: Option<&Path>) -> Result<Catalogue> {
    Ok(file.map_or_else(Catalogue::known, Catalogue::read)?)
}

fn refuse_shipped(name: &str, so: &str) -> Result<()> {
    if demo::manifest()?.models.iter().any(|model| model.name == name) {
        bail!("{name} ships with Milo: {so}");
    }
    Ok(())
}

async fn fetch(
    entry: &Entry,
    shelf: &Shelf,
    config: &Config,
    environment: &[(String, String)],
    is_accepted: bool,
) -> Result<()> {
    let place = shelf.place(&entry.name);
    if place.exists() {
        println!("{} is in {} already; `milo models rm {}` removes it", entry.name, place.display(), entry.name);
        tell_setting(entry, &place);
        return Ok(());
    }
    if let Some(why) = &entry.not_run {
        eprintln!("no engine of this version runs {}: {why}", entry.name);
    }
    let hosted = match &entry.source {
        Source::Hub(hosted) => hosted,
        Source::Export(command) => {
            tell_export(entry, command, &place);
            return Ok(());
        }
    };
    take_licence(entry, is_accepted)?;
    let hub = Hub::of(environment, &config.engines)?;
    if entry.unverified {
        let says = "nobody of the project has fetched it: it is compared with what the server says of it, and with nothing else";
        eprintln!("{}, from {}: {says}", entry.name, hub.page(hosted));
    }
    let staging = shelf.stage(&entry.name)?;
    let progress = Progress::of_process();
    Pull { hub: &hub, hosted, staging, patience: Patience::default(), progress }.run(entry).await?;
    let size = shelf.find(&entry.name).map_or(0, |present| present.size());
    println!("{} is in {}: {}, {}", entry.name, place.display(), amount(size), entry.licence);
    tell_setting(entry, &place);
    Ok(())
}

/// The lines of the configuration that put a model into use.
fn tell_setting(entry: &Entry, place: &Path) {
    if let Some(wanted) = entry.setting(&absolute(place)) {
        println!("To use it, in milo.toml:\n\n{}", setting(&wanted));
    }
}

fn setting(wanted: &Setting) -> String {
    let Setting { section, key, value } = wanted;
    format!("[{section}]\n{key} = {}", toml::Value::String(value.display().to_string()))
}

fn tell_export(entry: &Entry, command: &str, place: &Path) {
    let place = absolute(place);
    let quoted = format!("'{}'", place.display().to_string().replace('\'', "'\\''"));
    let tried = if entry.unverified { ", which nobody of the project has tried" } else { "" };
    let terms = if entry.non_commercial { NO_COMMERCE } else { "" };
    println!(
        "{} is not fetched but made, by this command{tried}; its licence is {}{terms}:\n",
        entry.name, entry.licence
    );
    println!("{}\n", command.replace("{folder}", &quoted));
    tell_setting(entry, &place);
}

/// What a licence says that is not for everybody.
const NO_COMMERCE: &str = ", which forbids commerce: a Milo that serves a business may not use it";

/// The licence is told; where it forbids commerce, somebody must say yes to it.
fn take_licence(entry: &Entry, is_accepted: bool) -> Result<()> {
    let (name, licence) = (&entry.name, &entry.licence);
    if !entry.non_commercial {
        eprintln!("{name}: its licence is {licence}");
        return Ok(());
    }
    eprintln!("{name}: its licence is {licence}{NO_COMMERCE}");
    if is_accepted {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        bail!("{name} is not fetched before somebody takes its licence, {licence}: --accept-licence does");
    }
    eprint!("Take it on these terms? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("the answer")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("{name} is not fetched: its licence was not taken"),
    }
}

fn verify(name: Option<&str>, shelf: &Shelf) -> Result<bool> {
    let present = match name {
        Some(name) => {
            refuse_shipped(name, "every start checks it")?;
            let found = shelf
                .find(name)
                .with_context(|| format!("there is no model {name}; `milo models list` says which there are"));
            vec![found?]
        }
        // What was put there by hand has no checksums.
        None => shelf.present()?.into_iter().filter(|present| present.manifest.is_some()).collect(),
    };
    if present.is_empty() {
        println!("no model was fetched");
    }
    let mut is_right = true;
    for present in present {
        let name = &present.name;
        match present.compare() {
            Ok(files) => {
                for (path, wrong) in &files {
                    println!("{name}  {path}: {}", wrong.as_deref().unwrap_or("right"));
                }
                is_right &= files.iter().all(|(_, wrong)| wrong.is_none());
            }
            Err(error) => {
                println!("{name}  {error:#}");
                is_right = false;
            }
        }
    }
    if !is_right {
        println!("`milo models rm NAME` and `milo models pull NAME` fetch a model anew");
    }
    Ok(is_right)
}

/// All models in lines: whether each ships, is here, has come in part, may be fetched or made.
fn lines(shipped: &Manifest, shelf: &Shelf, catalogue: &Catalogue) -> Result<Vec<String>> {
    let line = |state: &str, name: &str, engine: &str, size: &str, rest: &str| {
        format!("{state:<7} {name:<32} {engine:<10} {size:>7}  {rest}")
    };
    let mut lines = Vec::new();
    for model in &shipped.models {
        let memory = model.memory_mb.map_or_else(String::new, |memory| format!(", {memory} MB in memory"));
        let kind = if model.demonstration { ", a demonstration" } else { "" };
        let rest = format!("{}{memory}{kind}", model.licence);
        lines.push(line("ships", &model.name, &model.engine, &amount(demo::size(model)), &rest));
    }
    let present = shelf.present()?;
    for model in &present {
        let (engine, rest) = match &model.manifest {
            Some(Ok(manifest)) => {
                let first = manifest.models.first();
                first.map_or(("-", "its manifest lists no model".into()), |model| {
                    (model.engine.as_str(), model.licence.clone())
                })
            }
            Some(Err(error)) => ("-", format!("{error:#}")),
            None => ("-", "put there by hand".into()),
        };
        lines.push(line("here", &model.name, engine, &amount(model.size()), &rest));
    }
    for entry in catalogue.models.iter().filter(|entry| present.iter().all(|present| present.name != entry.name)) {
        let state = match (&entry.source, shelf.begun(&entry.name)) {
            (Source::Export(_), _) => "make",
            (Source::Hub(_), None) => "fetch",
            (Source::Hub(_), Some(_)) => "begun",
        };
        let begun = shelf.begun(&entry.name).map_or_else(String::new, |bytes| format!(", {} have come", amount(bytes)));
        let terms = if entry.non_commercial { ", not for commerce" } else { "" };
        let tried = if entry.unverified { ", unverified" } else { "" };
        let runs = entry.not_run.as_ref().map_or_else(String::new, |why| format!("; not run: {why}"));
        let size = entry.size_mb.map_or_else(|| "-".into(), |size| amount(u64::from(size) * 1_000_000));
        let rest = format!("{}{terms}{tried}{begun}{runs}", entry.licence);
        lines.push(line(state, &entry.name, entry.engine.name(), &size, &rest));
    }
    Ok(lines)
}

/// The key of the configuration that names a file or folder in this one.
fn in_use(place: &Path, engines: &Engines) -> Option<&'static str> {
    let place = absolute(place);
    let named = [
        ("engines.vad.path", &engines.vad.path),
        ("engines.turn.path", &engines.turn.path),
        ("engines.stt.path", &engines.stt.path),
        ("engines.stt.mg", &engines.stt.mg),
        ("engines.stt.fr", &engines.stt.fr),
        ("engines.translate.path", &engines.translate.path),
        ("engines.translate.mg_fr", &engines.translate.mg_fr),
        ("engines.translate.fr_mg", &engines.translate.fr_mg),
        ("engines.llm.path", &engines.llm.path),
        ("engines.llm.lora", &engines.llm.lora),
        ("engines.tts.path", &engines.tts.path),
        ("engines.tts.voices.mg", &engines.tts.voices.mg),
        ("engines.tts.voices.fr", &engines.tts.voices.fr),
        ("engines.kserve.whisper.path", &engines.kserve.whisper.path),
        ("engines.kserve.wav2vec2.mg.path", &engines.kserve.wav2vec2.mg.path),
        ("engines.kserve.wav2vec2.fr.path", &engines.kserve.wav2vec2.fr.path),
        ("engines.kserve.vits.mg.path", &engines.kserve.vits.mg.path),
        ("engines.kserve.vits.fr.path", &engines.kserve.vits.fr.path),
    ];
    let is_there = |path: &Path| absolute(path).starts_with(&place);
    named.into_iter().find(|(_, path)| path.as_deref().is_some_and(is_there)).map(|(key, _)| key)
}

/// Links followed where there is such a path, and from the root on in any case.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_ships_what_is_here_and_what_may_come() {
        let data = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(data.path());
        let listed = || lines(&demo::manifest().unwrap(), &shelf, &Catalogue::known().unwrap()).unwrap().join("\n");
        let has = |list: &str, words: &[&str]| {
            let found = list.lines().any(|line| words.iter().all(|word| line.contains(word)));
            assert!(found, "{words:?} are missing in\n{list}");
        };
        let list = listed();
        has(&list, &["ships", "silero-vad", "vad", "MIT", "12 MB in memory"]);
        has(&list, &["ships", "milo-mind-demo", "a demonstration"]);
        has(&list, &["fetch", "whisper-small", "stt", "252 MB", "unverified"]);
        has(&list, &["fetch", "nllb-200-distilled-600m", "CC-BY-NC-4.0, not for commerce"]);
        has(&list, &["make", "mms-tts-mlg", "CC-BY-NC-4.0, not for commerce"]);

        let staging = shelf.stage("whisper-small").unwrap();
        std::fs::write(staging.file("x.part"), [0; 2_000]).unwrap();
        drop(staging);
        std::fs::create_dir_all(shelf.place("mine")).unwrap();
        let list = listed();
        has(&list, &["begun", "whisper-small", "2.0 kB have come"]);
        has(&list, &["here", "mine", "put there by hand"]);
    }

    #[test]
    fn a_model_that_the_configuration_names_is_in_use() {
        let data = tempfile::tempdir().unwrap();
        let place = data.path().join("models/whisper-small");
        std::fs::create_dir_all(&place).unwrap();
        let mut engines = Engines::default();
        assert_eq!(in_use(&place, &engines), None);
        engines.stt.path = Some(data.path().join("models/whisper-small-mg"));
        assert_eq!(in_use(&place, &engines), None, "another with a longer name");
        engines.stt.path = Some(data.path().join("models/../models/whisper-small"));
        assert_eq!(in_use(&place, &engines), Some("engines.stt.path"));
    }

    #[test]
    fn the_line_for_the_configuration_is_toml_whatever_the_folder_is_called() {
        for path in ["/var/lib/milo/models/m", "/home/a \"b\"\\c/m"] {
            let text = setting(&Setting { section: "engines.tts.voices", key: "mg", value: path.into() });
            let table: toml::Table = toml::from_str(&text).unwrap();
            assert_eq!(table["engines"]["tts"]["voices"]["mg"].as_str(), Some(path), "{text}");
        }
    }
}
