//! What has come of one file: `FILE.part` until it is whole and right, and beside it `FILE.version`, what the server called the file
//! whose beginning this is. Another file is never continued by it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use milo_models::manifest::sha256_of;

/// The file, from its first byte to its last.
pub(super) struct Part {
    file: PathBuf,
    part: PathBuf,
    version: PathBuf,
    /// None: nothing is continued, for nobody can tell whether it is the same file.
    told: Option<String>,
}

impl Part {
    /// What an earlier pull left, if the server still has that version; else nothing.
    pub(super) fn at(file: PathBuf, told: Option<&str>) -> io::Result<Self> {
        let beside = |ending: &str| {
            let mut name = file.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        let part = Self { part: beside(".part"), version: beside(".version"), told: told.map(str::to_owned), file };
        let is_same = part.told.is_some() && fs::read_to_string(&part.version).ok() == part.told;
        if !is_same {
            part.forget()?;
        }
        Ok(part)
    }

    /// Bytes that are here, of the whole file or of its beginning.
    pub(super) fn length(&self) -> u64 {
        let of = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        if self.file.is_file() { of(&self.file) } else { of(&self.part) }
    }

    /// The checksum, where an earlier pull had it whole.
    pub(super) fn whole(&self) -> io::Result<Option<String>> {
        if self.file.is_file() { sha256_of(&self.file).map(Some) } else { Ok(None) }
    }

    /// The checksum of what has come.
    pub(super) fn sum(&self) -> io::Result<String> {
        sha256_of(&self.part)
    }

    /// Opens it for the bytes from this one on.
    pub(super) fn open(&self, from: u64) -> io::Result<File> {
        if from == 0 {
            fs::create_dir_all(self.file.parent().unwrap_or(&self.file))?;
            fs::write(&self.version, self.told.as_deref().unwrap_or_default())?;
        }
        let mut file = OpenOptions::new();
        file.create(true).append(true);
        let file = file.open(&self.part)?;
        file.set_len(from)?;
        Ok(file)
    }

    /// Whether what has come can be continued.
    pub(super) fn goes_on(&self) -> bool {
        self.told.is_some()
    }

    /// It is whole and right.
    pub(super) fn finish(&self) -> io::Result<()> {
        fs::rename(&self.part, &self.file)
    }

    /// Throws away what has come.
    pub(super) fn forget(&self) -> io::Result<()> {
        for path in [&self.part, &self.file] {
            gone(path)?;
        }
        Ok(())
    }

    /// The model is whole: nothing more is to be continued.
    pub(super) fn close(self) -> io::Result<()> {
        gone(&self.version)
    }
}

/// Writes the bytes that came, and has them on the disk when there are no more.
pub(super) fn write(into: &mut File, bytes: Option<&[u8]>) -> io::Result<()> {
    match bytes {
        Some(bytes) => into.write_all(bytes),
        None => into.sync_all(),
    }
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_continued_only_while_the_server_has_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnx/a.onnx");
        let at = |version| Part::at(file.clone(), version).unwrap();
        let part = at(Some("one"));
        part.open(0).unwrap().write_all(b"abc").unwrap();
        assert_eq!(at(Some("one")).length(), 3);
        at(Some("one")).open(2).unwrap().write_all(b"x").unwrap();
        assert_eq!(fs::read(folder.path().join("onnx/a.onnx.part")).unwrap(), b"abx", "byte 2 came anew");
        at(Some("one")).finish().unwrap();
        assert!(at(Some("one")).whole().unwrap().is_some() && at(Some("one")).length() == 3);
        let other = at(Some("two"));
        assert!(other.length() == 0 && other.whole().unwrap().is_none());

        other.open(0).unwrap().write_all(b"abc").unwrap();
        let unnamed = at(None);
        assert!(unnamed.length() == 0 && !unnamed.goes_on());
        unnamed.open(0).unwrap().write_all(b"abc").unwrap();
        assert_eq!(at(None).length(), 0, "nobody knows whether it is the same");
        at(None).close().unwrap();
        let left = fs::read_dir(folder.path().join("onnx")).unwrap().count();
        assert_eq!(left, 0);
    }
}
