//! Forgetting: calls that are older than they are kept, and everything about a number.

use super::{Stamp, Store, StoreError};

/// Calls that are deleted at once: no transaction holds the others up.
const AT_ONCE: i64 = 500;

/// What was forgotten about a number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Calls, with their turns, events and analyses.
    pub calls: u64,
    /// Texts.
    pub messages: u64,
    /// Files within the folder of recordings; they are still there.
    pub recordings: Vec<String>,
}

impl Store {
    /// The recordings of the calls that [`Self::forget_calls`] deletes next.
    pub async fn recordings_before(&self, before: Stamp) -> Result<Vec<String>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_scalar(
            "SELECT recording FROM
                (SELECT recording FROM calls WHERE started < $1 AND ended IS NOT NULL ORDER BY started, id LIMIT $2) AS old
             WHERE recording IS NOT NULL",
        )
        .bind(before)
        .bind(AT_ONCE)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("looking for old recordings", error))
    }

    /// The recordings of the calls that [`Self::forget_number`] deletes.
    pub async fn recordings_of(&self, number: &str) -> Result<Vec<String>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_scalar(
            "SELECT recording FROM calls
             WHERE (caller = $1 OR called = $1) AND ended IS NOT NULL AND recording IS NOT NULL",
        )
        .bind(number)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("looking for the recordings of a number", error))
    }

    /// Deletes up to some hundred calls that began before this moment and are over, with their turns, events and analyses. Returns how many
    /// there were, and the names of their recordings.
    pub async fn forget_calls(&self, before: Stamp) -> Result<(u64, Vec<String>), StoreError> {
        let rows: Vec<(Option<String>,)> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "DELETE FROM calls WHERE id IN
                (SELECT id FROM calls WHERE started < $1 AND ended IS NOT NULL ORDER BY started, id LIMIT $2)
             RETURNING recording",
        )
        .bind(before)
        .bind(AT_ONCE)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("deleting old calls", error))?;
        Ok((rows.len() as u64, rows.into_iter().filter_map(|(recording,)| recording).collect()))
    }

    /// Deletes everything about a number: calls that are over, their turns, events and analyses, texts, idempotency keys, what
    /// is known of the caller, what was wanted of the house for it, and its rows in lists of campaigns. Those are found
    /// by `target`, the form in which numbers are compared: a list may have it written in another way than the log.
    pub async fn forget_number(&self, number: &str, target: &str) -> Result<Forgotten, StoreError> {
        let delete = async {
            let mut batch = self.begin().await?;
            let (rows, messages) = on!(Batch, &mut batch, rows => {
                let calls: Vec<(Option<String>,)> = sqlx::query_as(
                    "DELETE FROM calls WHERE (caller = $1 OR called = $1) AND ended IS NOT NULL RETURNING recording",
                )
                .bind(number)
                .fetch_all(&mut **rows)
                .await?;
                let messages = sqlx::query("DELETE FROM messages WHERE sender = $1 OR recipient = $1")
                    .bind(number)
                    .execute(&mut **rows)
                    .await?
                    .rows_affected();
                sqlx::query("DELETE FROM call_keys WHERE called = $1").bind(number).execute(&mut **rows).await?;
                sqlx::query("DELETE FROM memories WHERE number = $1").bind(number).execute(&mut **rows).await?;
                sqlx::query("DELETE FROM requests WHERE telephone = $1").bind(number).execute(&mut **rows).await?;
                // Those that a caller said in another way, too, before the rows that Milo would have called for them.
                sqlx::query(
                    "DELETE FROM requests WHERE EXISTS (SELECT 1 FROM campaign_rows
                     WHERE campaign_rows.campaign = requests.campaign AND campaign_rows.line = requests.line AND target = $1)",
                )
                .bind(target)
                .execute(&mut **rows)
                .await?;
                // The do-not-call list stays: without it the number would be called again.
                sqlx::query("DELETE FROM campaign_rows WHERE target = $1 AND state <> 'calling'")
                    .bind(target)
                    .execute(&mut **rows)
                    .await?;
                (calls, messages)
            });
            batch.commit().await?;
            let calls = rows.len() as u64;
            Ok(Forgotten {
                calls,
                messages,
                recordings: rows.into_iter().filter_map(|(recording,)| recording).collect(),
            })
        };
        delete.await.map_err(|error| self.failed("deleting what is known of a number", error))
    }
}
