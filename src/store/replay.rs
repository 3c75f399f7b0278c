//! From the journal into the database, in order, each entry once.
//!
//! A transaction writes some rows and, beside them, how far the journal now is in the database: whatever is cut off in between,
//! the answer to a commit too, is either there with its mark or not at all. The table `journals` has the mark.

use std::time::Duration;

use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Batch, Key, Store, StoreError,
    entry::{Entry, Weight},
    error,
    journal::{self, Journal, Source},
};

/// Entries of one transaction.
const AT_ONCE: usize = 256;
/// A database that takes longer for them is away.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How far one step has come.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The offset up to which the database has the journal.
    pub(super) at: u64,
    /// Entries that this step has passed.
    pub(super) entries: u64,
    /// What the database will never take.
    pub(super) refused: Vec<Weight>,
    /// Webhooks are to be told something.
    pub(super) delivers: bool,
}

impl Store {
    /// Replays what a Milo left in its journal that was stopped while the database was away. Returns how many entries it was.
    ///
    /// # Errors
    /// The journal cannot be read, or the database went away: start again when it is back, all is still there.
    pub async fn replay(&self, node: &str, journal: &mut Journal) -> Result<u64, StoreError> {
        let path = journal.path().display().to_string();
        let unread = |error| StoreError::Folder(format!("the journal of the call log {path} cannot be read: {error}"));
        let Some((source, end)) = journal.left().map_err(unread)? else { return Ok(0) };
        let (mut at, mut replayed) = (Journal::begin(), 0);
        while at < end {
            let step = step(self, node, &source, (at, end)).await;
            let step = step.map_err(|error| self.failed("replaying the journal", error))?;
            replayed += step.entries;
            at = step.at;
        }
        journal.remove().await;
        Ok(replayed)
    }
}

/// Writes some entries between two offsets. Those that are in the database already are passed over.
pub(super) async fn step(
    store: &Store,
    node: &str,
    source: &Source,
    (from, until): (u64, u64),
) -> Result<Step, sqlx::Error> {
    let path = source.path.clone();
    let read = spawn_blocking(move || journal::read(&path, from, until, AT_ONCE)).await;
    let piece = read.map_err(|_| sqlx::Error::WorkerCrashed)?.map_err(sqlx::Error::Io)?;
    let delivers = piece.entries.iter().any(|(entry, _)| matches!(entry, Entry::Delivery(..)));
    let mut step = Step { at: piece.end, entries: piece.entries.len() as u64, refused: Vec::new(), delivers };
    match write(store, (node, source.id), &piece.entries, piece.end).await {
        Err(fault) if error::is_hopeless(&fault) => {}
        written => return written.map(|()| step),
    }
    // A row that no database will ever take must not hold up the others.
    for one in piece.entries.chunks(1) {
        match write(store, (node, source.id), one, one[0].1).await {
            Err(fault) if error::is_hopeless(&fault) => {
                step.refused.push(one[0].0.weight());
                tracing::error!(
                    reason = error::reason(&fault),
                    "an entry of the journal is refused by the database, and lost"
                );
            }
            written => written?,
        }
    }
    Ok(step)
}

async fn write(
    store: &Store,
    (node, journal): (&str, Key),
    entries: &[(Entry, u64)],
    end: u64,
) -> Result<(), sqlx::Error> {
    let all = async {
        let mut rows = store.begin().await?;
        let known = rows.journal_applied(node, journal).await?;
        for (entry, _) in entries.iter().filter(|(_, end)| *end > known) {
            rows.put(node, entry).await?;
        }
        if end > known {
            rows.set_journal_applied(node, end).await?;
        }
        rows.commit().await
    };
    timeout(PATIENCE, all).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

impl Batch {
    /// How much of its journal a node's rows hold; the row is this transaction's until it ends.
    async fn journal_applied(&mut self, node: &str, journal: Key) -> Result<u64, sqlx::Error> {
        let (applied,): (i64,) = on!(Batch, self, rows => sqlx::query_as(
            "INSERT INTO journals (node, journal, applied) VALUES ($1, $2, 0)
             ON CONFLICT (node) DO UPDATE SET journal = excluded.journal,
                 applied = CASE WHEN journals.journal = excluded.journal THEN journals.applied ELSE 0 END
             RETURNING applied",
        )
        .bind(node)
        .bind(journal)
        .fetch_one(&mut **rows)
        .await)?;
        Ok(applied.max(0).unsigned_abs())
    }

    async fn set_journal_applied(&mut self, node: &str, applied: u64) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query("UPDATE journals SET applied = $1 WHERE node = $2")
            .bind(i64::try_from(applied).unwrap_or(i64::MAX))
            .bind(node)
            .execute(&mut **rows)
            .await
            .map(drop))
    }
}
