//! The sounds of batches: a folder a batch, in it a file an item.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::task::spawn_blocking;

use super::Sound;
use crate::store::Key;

/// The ending of sounds that are to be transcribed.
const GIVEN: &str = "given";
/// A folder that no row names is younger than this while its batch is being kept.
const NEW: Duration = Duration::from_secs(600);

/// The folder of all of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn of(&self, id: Key) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// Where a sound lies that is to be transcribed.
    pub(super) fn given(&self, id: Key, number: usize) -> PathBuf {
        self.of(id).join(format!("{number}.{GIVEN}"))
    }

    /// Keeps the sounds of a new batch; none of them where one cannot be kept.
    pub(super) async fn keep(&self, id: Key, sounds: HashMap<usize, Vec<u8>>) -> io::Result<()> {
        if sounds.is_empty() {
            return Ok(());
        }
        let (this, folder) = (self.clone(), self.of(id));
        let kept = spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            sounds.into_iter().try_for_each(|(number, sound)| write(&this.given(id, number), &sound))
        });
        let kept = kept.await.unwrap_or_else(|_| Err(io::Error::other("the writing thread has ended")));
        if kept.is_err() {
            self.remove(id).await;
        }
        kept
    }

    /// Keeps the sound that was made of an item, whole or not at all.
    pub(super) async fn made(&self, id: Key, number: usize, sound: Sound, bytes: Vec<u8>) -> io::Result<()> {
        let folder = self.of(id);
        let file = folder.join(format!("{number}.{}", sound.ending()));
        let made = spawn_blocking(move || {
            fs::create_dir_all(&folder)?;
            let part = file.with_extension("part");
            write(&part, &bytes)?;
            fs::rename(part, file)
        });
        made.await.unwrap_or_else(|_| Err(io::Error::other("the writing thread has ended")))
    }

    /// The sound that was made of an item.
    pub(super) async fn sound(&self, id: Key, number: usize) -> Option<(Sound, Vec<u8>)> {
        let folder = self.of(id);
        let read = spawn_blocking(move || {
            let read =
                |sound: Sound| Some((sound, fs::read(folder.join(format!("{number}.{}", sound.ending()))).ok()?));
            Sound::ALL.into_iter().find_map(read)
        });
        read.await.ok().flatten()
    }

    /// Deletes what is to be transcribed, once it is.
    pub(super) async fn drop_given(&self, id: Key, number: usize) {
        tokio::fs::remove_file(self.given(id, number)).await.ok();
    }

    /// Deletes what of a batch is to be transcribed, and never will be.
    pub(super) async fn drop_all_given(&self, id: Key) {
        let folder = self.of(id);
        let dropped = spawn_blocking(move || {
            let is_given = |file: &fs::DirEntry| file.path().extension().is_some_and(|ending| ending == GIVEN);
            inside(&folder).filter(is_given).for_each(|file| drop(fs::remove_file(file.path())));
        });
        dropped.await.ok();
    }

    /// Deletes all sounds of a batch.
    pub(super) async fn remove(&self, id: Key) {
        let folder = self.of(id);
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(folder = %folder.display(), %error, "the sounds of a batch cannot be deleted");
            }
            _ => {}
        }
    }

    /// What all of them take, in bytes.
    pub(super) async fn used(&self) -> u64 {
        let folder = self.folder.clone();
        spawn_blocking(move || {
            inside(&folder)
                .flat_map(|batch| inside(&batch.path()))
                .filter_map(|file| Some(file.metadata().ok()?.len()))
                .sum()
        })
        .await
        .unwrap_or_default()
    }

    /// The batches that have a folder, and have had it for a while.
    pub(super) async fn batches(&self) -> Vec<Key> {
        let folder = self.folder.clone();
        #[expect(clippy::disallowed_methods, reason = "files bear the time of day")]
        let now = SystemTime::now();
        let is_old = move |folder: &fs::DirEntry| {
            let made = folder.metadata().and_then(|about| about.modified());
            made.is_ok_and(|made| now.duration_since(made).is_ok_and(|age| age > NEW))
        };
        let named = move || {
            inside(&folder).filter(is_old).filter_map(|batch| batch.file_name().to_str()?.parse().ok()).collect()
        };
        spawn_blocking(named).await.unwrap_or_default()
    }
}

/// What a folder holds; nothing where it is not there.
fn inside(folder: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok)
}

/// A file that is on the disk when its row says so.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(file)?;
    file.write_all(bytes)?;
    file.sync_all()
}
