//! The table `spending`: what was taken of servers on each day.

use super::{Batch, LogWriter, Store, StoreError, entry::Entry};
use crate::engines::Spent;

impl LogWriter {
    /// So much was taken within a day so far.
    pub fn spent(&self, so_far: Spent) {
        self.put(Entry::Spent(so_far));
    }
}

impl Store {
    /// What this node has taken on a day.
    pub async fn spent(&self, node: &str, day: &str) -> Result<Spent, StoreError> {
        let row: Option<(i64, i64, i64, i64, i64, i64)> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens, heard_ms, spoken_characters
             FROM spending WHERE node = $1 AND day = $2",
        )
        .bind(node)
        .bind(day)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading what was spent on a day", error))?;
        let (prompt, read, written, completion, heard, spoken) = row.unwrap_or_default();
        let count = |counted: i64| counted.max(0).unsigned_abs();
        Ok(Spent {
            day: day.into(),
            prompt_tokens: count(prompt),
            cache_read_tokens: count(read),
            cache_write_tokens: count(written),
            completion_tokens: count(completion),
            heard_ms: count(heard),
            spoken_characters: count(spoken),
        })
    }
}

impl Batch {
    /// What was taken so far; written again, it is what was written last.
    pub(super) async fn set_spent(&mut self, node: &str, so_far: &Spent) -> Result<(), sqlx::Error> {
        let count = |counted: u64| i64::try_from(counted).unwrap_or(i64::MAX);
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO spending (node, day, prompt_tokens, cache_read_tokens, cache_write_tokens, completion_tokens, heard_ms,
                spoken_characters)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (node, day) DO UPDATE SET prompt_tokens = excluded.prompt_tokens,
                cache_read_tokens = excluded.cache_read_tokens, cache_write_tokens = excluded.cache_write_tokens,
                completion_tokens = excluded.completion_tokens, heard_ms = excluded.heard_ms,
                spoken_characters = excluded.spoken_characters",
        )
        .bind(node)
        .bind(&so_far.day)
        .bind(count(so_far.prompt_tokens))
        .bind(count(so_far.cache_read_tokens))
        .bind(count(so_far.cache_write_tokens))
        .bind(count(so_far.completion_tokens))
        .bind(count(so_far.heard_ms))
        .bind(count(so_far.spoken_characters))
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
