//! `milo replay`: what other thresholds would have made of calls that were recorded. The caller's side is heard again, as fast as the
//! machine can, by the ears and the turn taking of a call, and what is decided stands beside what the log has.
//!
//! ```text
//!  log, or a folder ─► Logged ──────────────────────────────────┐
//!        └─► recording ─► both sides ─► agent::Rehearsal ─► compare ─► report: tables, JSON
//!                                            ▲
//!  milo.toml, --set KEY=VALUE ───────────────┘
//! ```

mod compare;
mod logged;
mod report;
mod settings;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use milo_media::{
    FRAME_MS, Frame, SAMPLE_RATE,
    record::{self, Sides},
};
use serde_json::json;

use crate::{
    agent::{Rehearsal, Replies},
    call::{cleaning, recordings_folder, usual_patience},
    config::{Config, Sources},
    dialplan::{Origin, Surroundings},
    engines::Listening,
    phone::voiced,
    store::{CallRow, Key, Search, Stamp, Store},
};
use logged::Logged;
use report::{Call, LeftOut, Report};
use settings::Thresholds;

/// Calls that are read from the log at once.
const PAGE: u32 = 100;

/// Which calls, and with what.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Calls of the log, by their identifiers.
    #[arg(value_name = "CALL", required_unless_present_any = ["since", "until", "folder"])]
    calls: Vec<Key>,
    /// The recorded calls that began on this day (2026-11-30, UTC) or at this moment (2026-11-30T10:00:00+03:00), or later…
    #[arg(long, value_name = "WHEN", value_parser = moment, conflicts_with_all = ["calls", "folder"])]
    since: Option<Stamp>,
    /// …and before this one.
    #[arg(long, value_name = "WHEN", value_parser = moment, conflicts_with_all = ["calls", "folder"])]
    until: Option<Stamp>,
    /// The recordings of a folder (.ogg, .wav); those whose names are identifiers of the log are compared with it.
    #[arg(long, value_name = "FOLDER", conflicts_with = "calls")]
    folder: Option<PathBuf>,
    /// No more than so many, the newest of them.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    most: u32,
    /// Another value for a setting, such as conversation.end_of_turn_ms=300; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the report as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A day, which begins at midnight UTC, or a moment.
fn moment(text: &str) -> Result<Stamp, String> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    whole.parse().map_err(|_| "a day such as 2026-11-30 or a moment such as 2026-11-30T10:00:00+03:00 is wanted".into())
}

/// Replays the calls, and prints what came of it.
///
/// # Errors
/// A setting that is none, a call that the log does not know, a database that does not answer, an engine
/// that fails. A recording that cannot be read is told, and left out.
pub async fn run(arguments: Arguments, sources: Sources) -> Result<()> {
    let config = settings::load(sources, &arguments.set)?;
    let store = Store::open(&config.database_url()).await?;
    let found = found(&arguments, &config, &store).await;
    store.close().await;
    let (mut left_out, mut calls) = (Vec::new(), Vec::new());
    let engines = Listening::load(&config)?;
    // Where the plans cannot be read, as on a machine that has none of their accounts and keys, there are no personas to go by.
    let plans = Surroundings::of(&config).ok().and_then(|around| Origin::of(&config.dialplans).read(&around).ok());
    if plans.is_none() {
        eprintln!("the plans cannot be read here: [conversation] decides alone, and no persona's own turn-taking");
    }
    let personas = plans.iter().flat_map(|plans| plans.personas());
    let personas = personas.map(|(name, persona)| (name.to_owned(), persona.turns));
    let thresholds = Thresholds::new(&config, &arguments.set, personas);
    for (logged, is_known) in found? {
        let name = logged.name.clone();
        match replay(&engines, (&config, &thresholds), logged, is_known).await? {
            Ok(call) => {
                println!("{call}");
                calls.push(call);
            }
            Err(why) => left_out.push(LeftOut { call: name, why }),
        }
    }
    let report = Report::new(decided_by(&config), calls, left_out);
    print!("{report}");
    if let Some(file) = &arguments.json {
        report.write(file)?;
    }
    ensure!(!report.calls.is_empty(), "no call could be replayed");
    Ok(())
}

/// What decides of turns now.
fn decided_by(config: &Config) -> BTreeMap<&'static str, serde_json::Value> {
    BTreeMap::from([
        ("conversation.end_of_turn_ms", json!(config.conversation.end_of_turn_ms)),
        ("conversation.longest_pause_ms", json!(config.conversation.longest_pause_ms)),
        ("clean", json!(config.clean)),
        ("engines.turn.enabled", json!(config.engines.turn.enabled)),
        ("engines.turn.engine", json!(config.engines.turn.engine)),
    ])
}

/// The calls that are wanted, and whether the log knows each.
async fn found(arguments: &Arguments, config: &Config, store: &Store) -> Result<Vec<(Logged, bool)>> {
    let recordings = recordings_folder(config);
    let mut found = Vec::new();
    if let Some(folder) = &arguments.folder {
        for file in files(folder, arguments.most as usize)? {
            let call = match key_of(&file) {
                Some(key) => store.call(key).await?,
                None => None,
            };
            // The log tells of the newest file; of others it does not know where their turns are.
            let call = call.filter(|call| call.recording.as_deref().is_some_and(|name| is_named(name, &file)));
            found.push(match call {
                Some(call) => (logged(&call, file, store).await?, true),
                None => (Logged::unknown(file), false),
            });
        }
        return Ok(found);
    }
    for key in &arguments.calls {
        let call = store.call(*key).await?.with_context(|| format!("the log has no call {key}"))?;
        let name = match (&call.recording, call.recording_state.as_deref()) {
            (None, _) => bail!("the call {key} was not recorded ([recording] enabled, or record = true in its plan)"),
            (Some(_), Some("deleted")) => bail!("the recording of the call {key} was deleted"),
            (Some(_), Some("live")) => bail!("the call {key} is still being recorded"),
            (Some(name), _) => name,
        };
        found.push((logged(&call, recordings.join(name), store).await?, true));
    }
    if arguments.calls.is_empty() {
        for call in recorded(arguments, store).await? {
            let name = call.recording.as_deref().unwrap_or_default();
            found.push((logged(&call, recordings.join(name), store).await?, true));
        }
        ensure!(!found.is_empty(), "the log has no call of that time with a recording");
    }
    Ok(found)
}

/// The newest calls of these days whose recordings are whole, or as whole as they will be.
async fn recorded(arguments: &Arguments, store: &Store) -> Result<Vec<CallRow>> {
    let search = Search { since: arguments.since, until: arguments.until, live: Some(false), ..Search::default() };
    let (mut calls, mut before) = (Vec::new(), None);
    loop {
        let page =
            store.calls(&search, before, PAGE).await?.context("calls were deleted while they were looked for")?;
        let is_there = |call: &CallRow| {
            call.recording.is_some()
                && matches!(call.recording_state.as_deref(), Some("complete" | "failed" | "cut_off"))
        };
        calls.extend(page.calls.into_iter().filter(is_there));
        before = page.next;
        if before.is_none() || calls.len() >= arguments.most as usize {
            calls.truncate(arguments.most as usize);
            return Ok(calls);
        }
    }
}

async fn logged(call: &CallRow, recording: PathBuf, store: &Store) -> Result<Logged> {
    let (turns, events) = (store.turns(call.id).await?, store.events(call.id).await?);
    Ok(Logged::of(call, &turns, &events, recording))
}

/// The recordings of a folder and of those within it, as Milo keeps one for each day; the newest first, by their names.
fn files(folder: &Path, most: usize) -> Result<Vec<PathBuf>> {
    let inside = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).with_context(|| format!("--folder {}", folder.display()))?;
        Ok(entries.flatten().map(|entry| entry.path()).collect())
    };
    let mut files = Vec::new();
    for path in inside(folder)? {
        if path.is_dir() { files.extend(inside(&path)?) } else { files.push(path) }
    }
    files.retain(|file| file.extension().is_some_and(|ending| ending == "ogg" || ending == "wav"));
    ensure!(!files.is_empty(), "--folder {}: there is no .ogg and no .wav file in it", folder.display());
    files.sort_by(|one, other| other.file_name().cmp(&one.file_name()));
    files.truncate(most);
    Ok(files)
}

/// The call that a recording is named after: `KEY.ogg`, `KEY-2.ogg`.
fn key_of(file: &Path) -> Option<Key> {
    const LETTERS: usize = 36;
    file.file_stem()?.to_str()?.get(..LETTERS)?.parse().ok()
}

/// Whether a recording of the log has the name of this file.
fn is_named(name: &str, file: &Path) -> bool {
    Path::new(name).file_name() == file.file_name()
}

/// Hears one call again. Why it cannot be, where its recording is at fault.
async fn replay(
    engines: &Listening,
    (config, thresholds): (&Config, &Thresholds),
    mut logged: Logged,
    is_known: bool,
) -> Result<Result<Call, String>> {
    if is_known && logged.within.is_none() {
        return Ok(Err("its recording has no turn of a conversation".into()));
    }
    let file = logged.recording.clone();
    let read = tokio::task::spawn_blocking(move || record::read(&file)).await?;
    let Sides { caller, milo } = match read {
        Ok(sides) => sides,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let sample = |ms: f64| (ms.max(0.0) * f64::from(SAMPLE_RATE) / 1e3) as usize;
    let logged_turns = logged.turns.len();
    logged.turns.retain(|turn| {
        let (from, to) = (sample(turn.from_ms).min(caller.len()), sample(turn.to_ms).min(caller.len()));
        from < to && voiced(&caller[from..to])
    });
    let replies = Replies::of(&milo, &logged.said);
    let mut rehearsal = Rehearsal::new(engines, cleaning(&config.clean), usual_patience(&config.conversation));
    let mut talks = logged.personas.iter().peekable();
    for (number, (heard, sent)) in Frame::cut(&caller).zip(Frame::cut(&milo)).enumerate() {
        let at = number as f64 * f64::from(FRAME_MS);
        while let Some((_, persona)) = talks.next_if(|(from, _)| *from <= at) {
            rehearsal.waits(usual_patience(&thresholds.of(persona)));
        }
        let is_listened_to = logged.is_listened_to(at);
        rehearsal.hear((&heard, &sent), is_listened_to, &replies).await.context("an engine failed")?;
    }
    let seen = rehearsal.seen();
    Ok(Ok(Call {
        recording: logged.recording.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        seconds: caller.len() as f64 / f64::from(SAMPLE_RATE),
        personas: logged
            .personas
            .iter()
            .filter_map(|(_, name)| Some((name.clone(), thresholds.own_of(name)?)))
            .collect(),
        unrecorded: logged_turns - logged.turns.len(),
        turns: compare::turns(&logged.turns, &seen, compare::usual_rest(&logged.turns)),
        interruptions: compare::interruptions(&logged, &seen, is_known),
        call: logged.name,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments_are_understood_and_files_are_found_by_their_calls() {
        assert_eq!(moment("2026-11-30").unwrap(), moment("2026-11-30T03:00:00+03:00").unwrap());
        assert!(moment("yesterday").unwrap_err().contains("2026-11-30") && moment("2026-13-41").is_err());
        let key = Key::new();
        assert_eq!(key_of(Path::new(&format!("a/{key}.ogg"))), Some(key));
        assert_eq!(key_of(Path::new(&format!("{key}-2.wav"))), Some(key));
        assert_eq!(key_of(Path::new("a/hello.wav")), None);
        assert!(is_named(&format!("2026-11-30/{key}.ogg"), Path::new(&format!("elsewhere/{key}.ogg"))));
    }

    #[test]
    fn a_folder_is_searched_with_those_of_its_days() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("2026-11-30")).unwrap();
        for name in ["2026-11-30/a.ogg", "b.wav", "c.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |most| -> Vec<_> {
            let files = files(folder.path(), most).unwrap();
            files.iter().map(|file| file.file_name().unwrap().to_owned()).collect()
        };
        assert_eq!(names(9), ["b.wav", "a.ogg"]);
        assert_eq!(names(1), ["b.wav"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(files(empty.path(), 9).unwrap_err().to_string().contains("no .ogg and no .wav"));
        assert!(files(Path::new("/nonexistent"), 9).unwrap_err().to_string().contains("--folder"));
    }
}
