//! The journal: a file in which rows of the call log wait while the database is away.
//!
//! ```text
//! milo call log journal 1 01935c1e-…           its identifier: the database notes beside the rows how far it has them
//! 8d3a0f5e1b77c2d4 {"Began":["01935c1e-…",{…}]}   the first 8 bytes of the SHA-256 of what follows, and one entry as JSON
//! ```
//! It is there only while rows wait. What stands in a line is safe once the file is synced; a line that was cut off, or is not
//! what its sum says, is left out with a warning.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use ring::digest::{SHA256, digest};
use tokio::task::spawn_blocking;

use super::{Key, entry::Entry};

/// Its name in the data folder.
const FILE: &str = "call-log.journal";
const HEAD: &str = "milo call log journal 1 ";
/// The head, a UUID and the end of the line.
const BEGIN: u64 = HEAD.len() as u64 + 37;

/// A journal that is there: what replays it needs no more.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) id: Key,
}

/// Entries of a journal, in order, each with the offset behind it.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) entries: Vec<(Entry, u64)>,
    /// Where the next piece begins.
    pub(super) end: u64,
}

/// Where the journal is written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    most: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: Arc<File>,
    id: Key,
    end: u64,
}

impl Journal {
    /// The journal of a data folder, which takes so many bytes at most.
    pub fn new(folder: &Path, most: u64) -> Self {
        Self { path: folder.join(FILE), most, open: None }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn source(&self) -> Option<Source> {
        self.open.as_ref().map(|open| Source { path: self.path.clone(), id: open.id })
    }

    /// Where the first entry stands.
    pub(super) fn begin() -> u64 {
        BEGIN
    }

    /// Where the next one will.
    pub(super) fn end(&self) -> u64 {
        self.open.as_ref().map_or(BEGIN, |open| open.end)
    }

    /// Adds entries, made by [`line()`], and makes sure that the disk has them.
    ///
    /// # Errors
    /// Nothing of them is in the journal then.
    pub(super) async fn append(&mut self, lines: Vec<u8>) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let path = self.path.clone();
                spawn_blocking(move || create(&path)).await.map_err(io::Error::other)??
            }
        };
        let (file, end, length) = (Arc::clone(&open.file), open.end, lines.len() as u64);
        let open = self.open.insert(open);
        let write = move || {
            let written = (&*file).write_all(&lines).and_then(|()| file.sync_data());
            // Half a line would spoil the next one.
            written.inspect_err(|_| drop(file.set_len(end)))
        };
        spawn_blocking(write).await.map_err(io::Error::other)??;
        open.end += length;
        Ok(())
    }

    /// How many bytes more an entry that may use `share` of the room finds.
    pub(super) fn room(&self, share: impl Fn(u64) -> u64) -> u64 {
        share(self.most).saturating_sub(self.end())
    }

    /// All of it has been replayed.
    pub(super) async fn remove(&mut self) {
        self.open = None;
        let path = self.path.clone();
        let removed = spawn_blocking(move || fs::remove_file(path)).await.map_err(io::Error::other).flatten();
        if let Err(error) = removed {
            // The database knows that it has all of it; the next one is written over it.
            tracing::warn!(file = %self.path.display(), %error, "a journal that was replayed cannot be removed");
        }
    }

    /// The journal that a Milo left which was stopped while the database was away, and where it ends.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn left(&self) -> io::Result<Option<(Source, u64)>> {
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut head = Vec::new();
        (&mut file).take(BEGIN).read_to_end(&mut head)?;
        let head = String::from_utf8_lossy(&head);
        let id = head.strip_prefix(HEAD).and_then(|id| id.strip_suffix('\n')).and_then(|id| id.parse().ok());
        let Some(id) = id else {
            if file.metadata()?.len() <= BEGIN {
                tracing::warn!(file = %self.path.display(), "a journal without a beginning is left out: it was cut off when it was made");
                fs::remove_file(&self.path)?;
            } else {
                let aside = self.path.with_extension(format!("{}.broken", Key::new()));
                fs::rename(&self.path, &aside)?;
                tracing::error!(file = %aside.display(), "a journal whose first line cannot be read is put aside; its rows are not in the call log");
            }
            return Ok(None);
        };
        let source = Source { path: self.path.clone(), id };
        Ok(Some((source, file.metadata()?.len())))
    }
}

fn create(path: &Path) -> io::Result<Open> {
    let id = Key::new();
    // What callers said is for nobody else.
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_len(0)?;
    writeln!(file, "{HEAD}{id}")?;
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(Open { file: Arc::new(file), id, end: BEGIN })
}

/// An entry as it stands in the journal; nothing for what stands in none.
pub(super) fn line(entry: &Entry) -> Option<Vec<u8>> {
    let json = serde_json::to_vec(entry).ok()?;
    let mut line = sum(&json).into_bytes();
    line.push(b' ');
    line.extend(json);
    line.push(b'\n');
    Some(line)
}

fn sum(json: &[u8]) -> String {
    digest(&SHA256, json).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Reads up to `most` entries between two offsets.
///
/// # Errors
/// The file cannot be read. What it holds of other than entries is left out with a warning.
pub(super) fn read(path: &Path, from: u64, until: u64, most: usize) -> io::Result<Piece> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut file = BufReader::new(file.take(until.saturating_sub(from)));
    let mut piece = Piece { end: from, ..Piece::default() };
    let mut line = Vec::new();
    while piece.entries.len() < most {
        line.clear();
        let offset = piece.end;
        let read = file.read_until(b'\n', &mut line)?;
        if read == 0 {
            piece.end = until;
            break;
        }
        piece.end += read as u64;
        match entry(&line) {
            Ok(entry) => piece.entries.push((entry, piece.end)),
            Err(why) => {
                tracing::warn!(file = %path.display(), offset, why, "an entry of the journal is left out");
            }
        }
    }
    Ok(piece)
}

fn entry(line: &[u8]) -> Result<Entry, String> {
    let line = line.strip_suffix(b"\n").ok_or("it was cut off")?;
    let (said, json) = line.split_at_checked(17).ok_or("it is too short")?;
    if said != format!("{} ", sum(json)).as_bytes() {
        return Err("it is not what its sum says".into());
    }
    serde_json::from_slice(json).map_err(|error| format!("this Milo does not know such an entry: {error}"))
}
