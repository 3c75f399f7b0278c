//! The folder of models that were fetched, `DATA_DIR/models`: `NAME` is whole and has a manifest, `NAME.part` is on its way.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use milo_models::{
    catalogue::is_name,
    manifest::{FILE_NAME, Manifest, sha256_of},
};

/// How deep files lie in a model's folder.
const DEPTH: usize = 8;

/// The folder.
pub(super) struct Shelf(PathBuf);

/// A model that is there.
pub(super) struct Present {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// What its pull wrote; none, where it was put there by hand.
    pub(super) manifest: Option<Result<Manifest>>,
}

/// A model on its way: its folder is this process's for as long as this lives.
pub(super) struct Staging {
    folder: PathBuf,
    place: PathBuf,
    /// The kernel gives it back however the process ends.
    _lock: File,
}

impl Shelf {
    pub(super) fn below(data_dir: &Path) -> Self {
        Self(data_dir.join("models"))
    }

    /// Where a model lies when it is whole.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn part(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.part"))
    }

    /// What has come so far of a model that is not whole, in bytes.
    pub(super) fn begun(&self, name: &str) -> Option<u64> {
        let part = self.part(name);
        (is_name(name) && part.is_dir()).then(|| size(&part))
    }

    /// All models that are whole, by their names; what ships is not among them.
    pub(super) fn present(&self) -> Result<Vec<Present>> {
        let listed = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed.with_context(|| self.0.display().to_string())?,
        };
        let mut names: Vec<_> = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names.iter().filter_map(|name| self.find(name)).collect())
    }

    /// The model of this name, if it is whole.
    pub(super) fn find(&self, name: &str) -> Option<Present> {
        let folder = self.place(name);
        if !is_name(name) || !folder.is_dir() {
            return None;
        }
        let file = folder.join(FILE_NAME);
        let read = |file: &Path| -> Result<Manifest> {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            Ok(Manifest::parse(&text, file)?)
        };
        let manifest = file.exists().then(|| read(&file));
        Some(Present { name: name.into(), folder, manifest })
    }

    /// The folder of a model that is about to come, with what an earlier pull left.
    pub(super) fn stage(&self, name: &str) -> Result<Staging> {
        let folder = self.part(name);
        let cannot = || {
            format!("{} cannot be written; set MILO_DATA_DIR to a folder that this user may write", folder.display())
        };
        fs::create_dir_all(&folder).with_context(cannot)?;
        let lock = File::open(&folder).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => Ok(Staging { folder, place: self.place(name), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!("{name} is being fetched already"),
            Err(TryLockError::Error(error)) => Err(error).with_context(cannot),
        }
    }

    /// Removes a model, or what has come of it.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let present = self.find(name);
        if present.is_none() && self.begun(name).is_none() {
            bail!("there is no model {name} in {}; `milo models list` says which there are", self.0.display());
        }
        let staging = self.stage(name)?;
        if let Some(Present { manifest, folder, .. }) = present {
            if manifest.is_none() {
                bail!("{} was put there by hand and not by `milo models pull`: remove it by hand", folder.display());
            }
            // A removal that is cut short leaves something that is plainly not whole.
            fs::remove_dir_all(&staging.folder)
                .and_then(|()| fs::rename(&folder, &staging.folder))
                .with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        fs::remove_dir_all(&staging.folder).with_context(|| format!("{} cannot be removed", staging.folder.display()))
    }
}

impl Present {
    /// Bytes on disk.
    pub(super) fn size(&self) -> u64 {
        size(&self.folder)
    }

    /// Compares every file with its checksum: its path, and what is wrong with it.
    pub(super) fn compare(&self) -> Result<Vec<(String, Option<String>)>> {
        let manifest = match &self.manifest {
            Some(Ok(manifest)) => manifest,
            Some(Err(error)) => bail!("{error:#}"),
            None => bail!("{} holds no {FILE_NAME}: there are no checksums to compare with", self.folder.display()),
        };
        // A disk that was cut off in mid-writing leaves an empty one, which is a manifest, too.
        if manifest.files().next().is_none() {
            bail!("the {FILE_NAME} of {} lists no file: there are no checksums to compare with", self.folder.display());
        }
        let compared = manifest.files().map(|listed| {
            let wrong = match sha256_of(&self.folder.join(&listed.path)) {
                Ok(found) if found == listed.sha256 => None,
                Ok(found) => Some(format!("its sha256 is {found}, not {}", listed.sha256)),
                Err(error) => Some(format!("it cannot be read: {error}")),
            };
            (listed.path.clone(), wrong)
        });
        Ok(compared.collect())
    }
}

impl Staging {
    /// Where a file of the model lies in here.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// How much more this disk takes, in bytes.
    pub(super) fn free(&self) -> Result<u64> {
        free(&self.folder).with_context(|| self.folder.display().to_string())
    }

    /// Puts the model where it belongs, whole at once.
    pub(super) fn finish(self, manifest: &str) -> Result<()> {
        let file = self.folder.join(FILE_NAME);
        // On the disk before the new name is: else a power cut may leave the name, and an empty manifest.
        let write = || -> io::Result<()> {
            let mut open = File::create(&file)?;
            open.write_all(manifest.as_bytes())?;
            open.sync_all()?;
            File::open(&self.folder)?.sync_all()
        };
        write().with_context(|| format!("{} cannot be written", file.display()))?;
        fs::rename(&self.folder, &self.place).with_context(|| {
            format!("{} is whole and cannot be renamed {}", self.folder.display(), self.place.display())
        })
    }
}

impl Drop for Staging {
    /// Where nothing has come nothing is left, either.
    fn drop(&mut self) {
        fs::remove_dir(&self.folder).ok();
    }
}

/// How much more a disk takes of what this user writes into the folder, in bytes.
pub(crate) fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn size(folder: &Path) -> u64 {
    fn below(path: &Path, depth: usize) -> u64 {
        let Ok(found) = fs::symlink_metadata(path) else { return 0 };
        match (found.is_dir(), depth.checked_sub(1)) {
            (false, _) => found.len(),
            (true, None) => 0,
            (true, Some(depth)) => {
                let inside = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
                inside.map(|entry| below(&entry.path(), depth)).sum()
            }
        }
    }
    below(folder, DEPTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sha256 of "abc".
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn manifest() -> String {
        format!(
            "[[model]]\nname = 'm'\nengine = 'llm'\nlicence = 'MIT'\ndemonstration = false\n[[model.file]]\npath = 'a.gguf'\n\
             sha256 = '{ABC}'\n"
        )
    }

    #[test]
    fn a_model_is_there_when_it_is_whole_and_its_damage_is_seen() {
        let data = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(data.path());
        assert!(shelf.present().unwrap().is_empty());
        let staging = shelf.stage("m").unwrap();
        fs::write(staging.file("a.gguf"), "abc").unwrap();
        assert!(staging.free().unwrap() > 0);
        assert!(shelf.present().unwrap().is_empty());
        assert_eq!(shelf.begun("m"), Some(3));
        let again = shelf.stage("m").err().unwrap().to_string();
        assert!(again.contains("being fetched already"), "{again}");
        assert!(shelf.remove("m").is_err(), "whoever fetches it has it still");
        staging.finish(&manifest()).unwrap();
        assert_eq!(shelf.begun("m"), None);

        let present = shelf.present().unwrap();
        assert_eq!((present.len(), present[0].name.as_str()), (1, "m"));
        assert_eq!(present[0].compare().unwrap(), [("a.gguf".to_owned(), None)]);
        fs::write(present[0].folder.join("a.gguf"), "abd").unwrap();
        let damaged = present[0].compare().unwrap().remove(0).1.unwrap();
        assert!(damaged.contains(ABC), "{damaged}");
        fs::remove_file(present[0].folder.join("a.gguf")).unwrap();
        assert!(present[0].compare().unwrap()[0].1.as_ref().unwrap().contains("cannot be read"));
        fs::write(present[0].folder.join(FILE_NAME), "").unwrap();
        let empty = shelf.find("m").unwrap().compare().unwrap_err().to_string();
        assert!(empty.contains("lists no file"), "{empty}");
        shelf.remove("m").unwrap();
        assert_eq!(fs::read_dir(data.path().join("models")).unwrap().count(), 0);
    }

    #[test]
    fn only_what_was_fetched_is_removed() {
        let data = tempfile::tempdir().unwrap();
        let shelf = Shelf::below(data.path());
        for kept in ["own", "demo-12345678"] {
            fs::create_dir_all(shelf.place(kept)).unwrap();
            assert!(shelf.remove(kept).is_err(), "{kept}");
            assert!(shelf.place(kept).is_dir());
        }
        for elsewhere in ["elsewhere", "elsewhere.part"] {
            fs::create_dir_all(data.path().join(elsewhere)).unwrap();
        }
        assert!(shelf.remove("../elsewhere").unwrap_err().to_string().contains("there is no model"));
        assert!(data.path().join("elsewhere").is_dir() && data.path().join("elsewhere.part").is_dir());
        drop(shelf.stage("half").unwrap());
        assert_eq!(shelf.begun("half"), None, "nothing came");
        fs::write(shelf.stage("half").unwrap().file("a.gguf.part"), "ab").unwrap();
        assert_eq!(shelf.begun("half"), Some(2));
        shelf.remove("half").unwrap();
        assert_eq!(shelf.begun("half"), None);
        let left: Vec<_> = shelf.present().unwrap().into_iter().map(|present| present.name).collect();
        assert_eq!(left, ["own"]);
    }
}
