//! Which Milo this is: the owner of the rows it leaves open.

use std::{
    fs::{File, OpenOptions, TryLockError, create_dir_all},
    io::{Read, Seek, Write},
    path::Path,
};

use uuid::Uuid;

use super::StoreError;

/// The file in the data folder that holds this Milo's identity, and whose lock says that it runs.
const FILE: &str = "node-id";

/// The claim on a data folder: a lasting identity, and the lock that keeps a second Milo out. The kernel gives the lock back
/// however the process ends.
#[derive(Debug)]
pub struct Node {
    id: String,
    _lock: File,
}

impl Node {
    /// Claims the data folder, making it and the identity if they are not there.
    ///
    /// # Errors
    /// The folder cannot be made or written, or another Milo uses it.
    pub fn claim(data_dir: &Path) -> Result<Self, StoreError> {
        let fault = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::Folder(format!(
                "the data folder {} cannot be {what}: {error}; set MILO_DATA_DIR to a folder that this user may write",
                data_dir.display()
            ))
        };
        create_dir_all(data_dir).map_err(|error| fault("made", &error))?;
        let path = data_dir.join(FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| fault("written", &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Folder(format!(
                    "another Milo is running with the data folder {}: stop it, or give this one a folder of its own with MILO_DATA_DIR",
                    data_dir.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(fault("locked", &error)),
        }
        let mut known = String::new();
        file.read_to_string(&mut known).map_err(|error| fault("read", &error))?;
        let id = match Uuid::parse_str(known.trim()) {
            Ok(id) => id.to_string(),
            // New, or cut off while it was first written: nothing can be open under that name.
            Err(_) => {
                let id = Uuid::now_v7().to_string();
                let written = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| writeln!(file, "{id}"));
                written.and_then(|()| file.sync_all()).map_err(|error| fault("written", &error))?;
                id
            }
        };
        Ok(Self { id, _lock: file })
    }

    /// The lasting identity.
    pub fn id(&self) -> &str {
        &self.id
    }
}
