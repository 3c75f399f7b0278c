//! Recordings, and calls, are kept for so many days.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use tokio::time::interval;

use crate::store::{Stamp, Store};

/// How often old recordings are looked for.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Deletes what is older than `days` days, now and every day from now on.
pub async fn daily(folder: PathBuf, days: u64, store: Store) {
    let mut clock = interval(DAY);
    loop {
        clock.tick().await;
        let (within, oldest) = (folder.clone(), oldest(Stamp::now(), days));
        let Ok(deleted) = tokio::task::spawn_blocking(move || expire(&within, &oldest)).await else { continue };
        match deleted {
            Ok(names) if names.is_empty() => {}
            Ok(names) => {
                tracing::info!(recordings = names.len(), days, "recordings older than they are kept were deleted");
                if let Err(error) = store.recordings_deleted(&names).await {
                    tracing::warn!(error = %error, "the call log still names recordings that were deleted");
                }
            }
            Err(error) => {
                tracing::error!(folder = %folder.display(), error = %error, "old recordings cannot be deleted");
            }
        }
    }
}

/// Deletes calls that began more than `days` days ago, with their recordings, now and every day from now on.
pub async fn forget_calls(folder: PathBuf, days: u64, store: Store) {
    let mut clock = interval(DAY);
    loop {
        clock.tick().await;
        let (before, mut forgotten) = (back(Stamp::now(), days), 0);
        let delete = async |names: Vec<String>| {
            let within = folder.clone();
            tokio::task::spawn_blocking(move || delete_recordings(&within, &names)).await.ok();
        };
        loop {
            // The files first: a row that is left names what is left.
            let forget = async {
                delete(store.recordings_before(before).await?).await;
                store.forget_calls(before).await
            };
            match forget.await {
                Ok((0, _)) => break,
                Ok((calls, names)) => {
                    forgotten += calls;
                    delete(names).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "old calls cannot be deleted; tried again tomorrow");
                    break;
                }
            }
        }
        if let Err(error) = store.forget_feedback(before).await {
            tracing::warn!(%error, "old feedback cannot be deleted; tried again tomorrow");
        }
        if let Err(error) = store.forget_campaigns(before).await {
            tracing::warn!(%error, "old campaigns cannot be deleted; tried again tomorrow");
        }
        if forgotten > 0 {
            tracing::info!(calls = forgotten, days, "calls older than they are kept were deleted");
        }
    }
}

/// Deletes these files of the folder of recordings. Returns how many were there, and how many still are.
pub fn delete_recordings(folder: &Path, names: &[String]) -> (usize, usize) {
    let (mut deleted, mut left) = (0, 0);
    for name in names.iter().filter(|name| is_recording(name)) {
        let file = folder.join(name);
        match fs::remove_file(&file) {
            Ok(()) => deleted += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                left += 1;
                tracing::error!(file = %file.display(), %error, "a recording cannot be deleted");
            }
        }
        if let Some(day) = file.parent().filter(|day| *day != folder) {
            // Whatever else is in it keeps it.
            fs::remove_dir(day).ok();
        }
    }
    (deleted, left)
}

/// Whether this names a file within the folder of recordings. Names of the log are `DAY/FILE`; whatever else stands there reaches no
/// file.
pub fn is_recording(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

/// The oldest day of which recordings are kept: none is younger than `days` days when it goes.
fn oldest(now: Stamp, days: u64) -> String {
    back(now, days).day()
}

fn back(now: Stamp, days: u64) -> Stamp {
    let back =
        i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX).saturating_mul(i64::try_from(days).unwrap_or(i64::MAX));
    Stamp::from_millis(now.millis().saturating_sub(back))
}

/// Deletes the recordings of days before this one, and says which they were. Nothing else in the folder is touched.
fn expire(folder: &Path, oldest: &str) -> io::Result<Vec<String>> {
    let mut deleted = Vec::new();
    for day in entries(folder)? {
        let name = file_name(&day);
        if !is_day(&name) || name.as_str() >= oldest {
            continue;
        }
        // One that cannot be deleted keeps neither the others nor the account of those that were.
        let files = entries(&day).unwrap_or_else(|error| {
            tracing::error!(folder = %day.display(), %error, "old recordings cannot be looked for");
            Vec::new()
        });
        for file in files {
            if !file.extension().is_some_and(|ending| ending == "ogg" || ending == "wav") {
                continue;
            }
            match fs::remove_file(&file) {
                Ok(()) => deleted.push(format!("{name}/{}", file_name(&file))),
                Err(error) => tracing::error!(file = %file.display(), %error, "an old recording cannot be deleted"),
            }
        }
        // Whatever else somebody put there keeps the folder.
        fs::remove_dir(&day).ok();
    }
    Ok(deleted)
}

fn is_day(name: &str) -> bool {
    name.len() == 10
        && name
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 4 || at == 7 { byte == b'-' } else { byte.is_ascii_digit() })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What is in a folder; nothing when there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_goes_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("milo-retention-{}", std::process::id()));
        fs::remove_dir_all(&folder).ok();
        for file in [
            "2026-10-22/a.ogg",
            "2026-10-22/b.wav",
            "2026-10-23/c.ogg",
            "2026-10-23/notes.txt",
            "2026-10-24/d.ogg",
            "keep/e.ogg",
            "f.ogg",
        ] {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, b"x").expect("written");
        }
        let now = Stamp::from_millis(1_795_360_000_007);
        assert_eq!(oldest(now, 29), "2026-10-24");
        let mut deleted = expire(&folder, &oldest(now, 29)).expect("deleted");
        deleted.sort();
        assert_eq!(deleted, ["2026-10-22/a.ogg", "2026-10-22/b.wav", "2026-10-23/c.ogg"]);
        for (name, there) in [
            ("2026-10-22", false),
            ("2026-10-23/notes.txt", true),
            ("2026-10-24/d.ogg", true),
            ("keep/e.ogg", true),
            ("f.ogg", true),
        ] {
            assert_eq!(folder.join(name).exists(), there, "{name}");
        }
        for name in ["", "../keys.db", "2026-11-30/../../keys.db", "/etc/passwd"] {
            assert!(!is_recording(name), "{name}");
        }
        let names = ["2026-10-24/d.ogg", "2026-10-24/d.ogg", "../outside.ogg", "/etc/hostname", "2026-10-23/gone.ogg"];
        assert_eq!(delete_recordings(&folder, &names.map(String::from)), (1, 0));
        // A folder in place of a file.
        assert_eq!(delete_recordings(&folder, &["keep/e.ogg".into(), "keep".into()]), (1, 0));
        assert_eq!(delete_recordings(&folder, &["2026-10-23".into()]), (0, 1), "what cannot be deleted is told");
        assert!(!folder.join("2026-10-24").exists() && folder.join("2026-10-23").exists());
        assert!(expire(&folder, &oldest(now, 29)).expect("again").is_empty());
        assert!(expire(&folder.join("none"), "2026-10-24").expect("no folder").is_empty());
        fs::remove_dir_all(&folder).ok();
    }
}
