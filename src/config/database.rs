//! `[database]`: where the call log is kept.

use serde::{Deserialize, Serialize};

use super::{Faults, SecretUrl};

/// The database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// `postgres://USER:PASSWORD@HOST/NAME` or `sqlite:FILE`; unset, `milo.db` in the data folder.
    pub url: Option<SecretUrl>,
    /// For so many seconds a start waits for a server that does not answer: after a loss of power it may come up later than Milo.
    pub wait_s: u64,
    /// Calls that began more than so many days ago are deleted, with their recordings, and campaigns that ended so long ago; 0 keeps
    /// them.
    pub keep_days: u64,
    /// While the database is away, rows wait on disk, in the data folder, up to so many megabytes; 0: in memory only.
    pub journal_mb: u64,
    /// Whether it keeps what was heard and said.
    pub transcripts: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: None, wait_s: 30, keep_days: 0, journal_mb: 256, transcripts: true }
    }
}

impl Database {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("database.wait_s", self.wait_s, 0..=3_600);
        faults.within("database.keep_days", self.keep_days, 0..=36_500);
        faults.within("database.journal_mb", self.journal_mb, 0..=1_000_000);
        if let Some(url) = &self.url {
            let known = ["postgres://", "postgresql://", "sqlite:"];
            if !known.iter().any(|begin| url.reveal().starts_with(begin)) {
                faults.add("database.url", "begins neither with postgres:// nor with sqlite:".into());
            }
        }
    }
}
