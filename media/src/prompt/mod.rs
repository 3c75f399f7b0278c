//! Prompts: sound files of the usual kinds as 16 kHz mono, decoded once and kept while there is room.

mod decode;
pub(crate) mod ogg_opus;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

pub use decode::{read, read_within};

use crate::MediaError;

/// Decoded prompts. Cheap to clone; all clones are one cache.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// A lock, and not a message, because a look-up is shorter than either; held for one look-up or entry, never while a file
    /// is read.
    cache: Arc<Mutex<Cache>>,
}

impl Prompts {
    /// Room for so many samples (32 KB a second) of decoded sound. What was longest unused gives way first.
    pub fn new(samples: usize) -> Self {
        let cache = Cache { room: samples, taken: 0, looks: 0, sounds: HashMap::new() };
        Self { cache: Arc::new(Mutex::new(cache)) }
    }

    /// A file's sound. A file that has changed since it was decoded is decoded anew. Reads a file: not for a task that must not
    /// wait.
    ///
    /// # Errors
    /// As [`read`].
    pub fn sound(&self, path: &Path) -> Result<Arc<[i16]>, MediaError> {
        let version = Version::of(path)?;
        if let Some(sound) = self.lock().look(path, version) {
            return Ok(sound);
        }
        let sound: Arc<[i16]> = read(path)?.into();
        self.lock().keep(path, version, &sound);
        Ok(sound)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Cache {
    room: usize,
    taken: usize,
    looks: u64,
    sounds: HashMap<PathBuf, Kept>,
}

#[derive(Debug)]
struct Kept {
    version: Version,
    looked: u64,
    sound: Arc<[i16]>,
}

/// What tells a changed file from the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    length: u64,
}

impl Version {
    fn of(path: &Path) -> Result<Self, MediaError> {
        let failed = |source| MediaError::File { path: path.into(), action: "open", source };
        let about = fs::metadata(path).map_err(failed)?;
        Ok(Self { modified: about.modified().ok(), length: about.len() })
    }
}

impl Cache {
    fn look(&mut self, path: &Path, version: Version) -> Option<Arc<[i16]>> {
        self.looks += 1;
        let kept = self.sounds.get_mut(path).filter(|kept| kept.version == version)?;
        kept.looked = self.looks;
        Some(kept.sound.clone())
    }

    fn keep(&mut self, path: &Path, version: Version, sound: &Arc<[i16]>) {
        self.forget(path);
        if sound.len() > self.room {
            return;
        }
        while self.taken + sound.len() > self.room {
            let oldest = self.sounds.iter().min_by_key(|(_, kept)| kept.looked).map(|(path, _)| path.clone());
            let Some(oldest) = oldest else { break };
            self.forget(&oldest);
        }
        self.taken += sound.len();
        self.sounds.insert(path.into(), Kept { version, looked: self.looks, sound: sound.clone() });
    }

    fn forget(&mut self, path: &Path) {
        self.taken -= self.sounds.remove(path).map_or(0, |kept| kept.sound.len());
    }
}

#[cfg(test)]
mod tests;
