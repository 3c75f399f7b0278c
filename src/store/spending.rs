//! The table `spending`: what was taken of the language model's server on each day.

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
        let row: Option<(i64, i64)> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT prompt_tokens, completion_tokens FROM spending WHERE node = $1 AND day = $2",
        )
        .bind(node)
        .bind(day)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading what was spent on a day", error))?;
        let (prompt, completion) = row.unwrap_or_default();
        let [prompt_tokens, completion_tokens] = [prompt, completion].map(|tokens| tokens.max(0).unsigned_abs());
        Ok(Spent { day: day.into(), prompt_tokens, completion_tokens })
    }
}

impl Batch {
    /// What was taken so far; written again, it is what was written last.
    pub(super) async fn set_spent(&mut self, node: &str, so_far: &Spent) -> Result<(), sqlx::Error> {
        let [prompt, completion] =
            [so_far.prompt_tokens, so_far.completion_tokens].map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO spending (node, day, prompt_tokens, completion_tokens) VALUES ($1, $2, $3, $4)
             ON CONFLICT (node, day) DO UPDATE SET prompt_tokens = excluded.prompt_tokens,
                completion_tokens = excluded.completion_tokens",
        )
        .bind(node)
        .bind(&so_far.day)
        .bind(prompt)
        .bind(completion)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
