//! The tables `batches` and `batch_items`: many things to be done in one request, and what became of each.

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use super::{Key, Stamp, Store, StoreError, page};

/// A batch that is to be done.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Its identifier.
    pub id: Key,
    /// The key whose it is, where it is one of the table.
    pub key: Option<Key>,
    /// That key's name, or `API_KEY`, `this machine`.
    pub who: String,
    /// `translate`, `tts` or `stt`.
    pub kind: &'static str,
    /// When it was asked for.
    pub created: Stamp,
    /// What is to be done, in order.
    pub items: Vec<Value>,
}

/// A batch, as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct BatchRow {
    /// Its identifier.
    pub id: Key,
    /// The Milo that does it.
    pub node: String,
    /// The name of the key whose it is, or `API_KEY`, `this machine`.
    pub who: String,
    /// `translate`, `tts` or `stt`.
    pub kind: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    pub state: String,
    /// Items.
    pub total: i32,
    /// Items that are being done.
    pub running: i32,
    /// Items that are done.
    pub done: i32,
    /// Items that failed.
    pub failed: i32,
    /// When it was asked for.
    pub created: Stamp,
    /// When its first item began.
    pub started: Option<Stamp>,
    /// When it ended, however it did.
    pub ended: Option<Stamp>,
}

/// An item, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = BatchItemState)]
pub struct BatchItemRow {
    /// From 0, as it stood in the request.
    pub number: i32,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "done")]
    pub state: String,
    /// What came of it.
    #[sqlx(json(nullable))]
    #[schema(example = json!({"language": "mg", "spoken": "Tonga soa", "duration_ms": 740}))]
    pub result: Option<Value>,
    /// Why it failed.
    #[schema(example = json!(null))]
    pub error: Option<String>,
}

/// One page of the list.
#[derive(Clone, Debug)]
pub struct BatchPage {
    /// Newest first.
    pub batches: Vec<BatchRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`BatchRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, node, who, kind, state, total, running, done, failed, created, started, ended FROM batches ",
            $rest
        )
    };
}

impl Store {
    /// Keeps a batch, whole or not at all.
    pub async fn add_batch(&self, node: &str, new: &NewBatch) -> Result<(), StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            on!(Batch, &mut batch, rows => {
                sqlx::query(
                    "INSERT INTO batches (id, node, key, who, kind, state, total, created) VALUES ($1, $2, $3, $4, $5, 'queued', $6, $7)",
                )
                .bind(new.id)
                .bind(node)
                .bind(new.key)
                .bind(&new.who)
                .bind(new.kind)
                .bind(i32::try_from(new.items.len()).unwrap_or(i32::MAX))
                .bind(new.created)
                .execute(&mut **rows)
                .await?;
                for (number, input) in (0_i32..).zip(&new.items) {
                    sqlx::query("INSERT INTO batch_items (batch, number, state, input) VALUES ($1, $2, 'queued', $3)")
                        .bind(new.id)
                        .bind(number)
                        .bind(Json(input))
                        .execute(&mut **rows)
                        .await?;
                }
            });
            batch.commit().await
        };
        write.await.map_err(|error| self.failed("keeping a batch", error))
    }

    /// A page of batches, newest first, of one key's or of all: the `limit` before the batch `before`, or the newest ones. `None`
    /// when there is none `before`.
    pub async fn batches(
        &self,
        of: Option<Key>,
        before: Option<Key>,
        limit: u32,
    ) -> Result<Option<BatchPage>, StoreError> {
        let failed = |error| self.failed("listing batches", error);
        let fetch = page::fetch(limit);
        let mut batches: Vec<BatchRow> = match before {
            None => on!(Pool, &self.pool, pool => sqlx::query_as(select!(
                "WHERE ($1 IS NULL OR key = $1) ORDER BY created DESC, id DESC LIMIT $2"
            ))
                .bind(of)
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?),
            Some(key) => {
                let Some(BatchRow { created, .. }) = self.batch(key, of).await? else { return Ok(None) };
                on!(Pool, &self.pool, pool => sqlx::query_as(select!(
                    "WHERE ($1 IS NULL OR key = $1) AND (created, id) < ($2, $3) ORDER BY created DESC, id DESC LIMIT $4"
                ))
                    .bind(of)
                    .bind(created)
                    .bind(key)
                    .bind(fetch)
                    .fetch_all(pool)
                    .await
                    .map_err(failed)?)
            }
        };
        let next = page::cut(&mut batches, limit, |batch| batch.id);
        Ok(Some(BatchPage { batches, next }))
    }

    /// One batch, if it is this key's; any, where none is named.
    pub async fn batch(&self, id: Key, of: Option<Key>) -> Result<Option<BatchRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE id = $1 AND ($2 IS NULL OR key = $2)"))
            .bind(id)
            .bind(of)
            .fetch_optional(pool)
            .await)
        .map_err(|error| self.failed("reading a batch", error))
    }

    /// The items of a batch, in order.
    pub async fn batch_items(&self, id: Key) -> Result<Vec<BatchItemRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT number, state, result, error FROM batch_items WHERE batch = $1 ORDER BY number",
        )
        .bind(id)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading the items of a batch", error))
    }

    /// How many batches of a node have not ended, and how many of these are of this key (of none, where none is named).
    pub async fn open_batches(&self, node: &str, of: Option<Key>) -> Result<(usize, usize), StoreError> {
        let (all, own): (i64, i64) = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE key = $2 OR (key IS NULL AND $2 IS NULL))
             FROM batches WHERE node = $1 AND ended IS NULL",
        )
        .bind(node)
        .bind(of)
        .fetch_one(pool)
        .await)
        .map_err(|error| self.failed("counting batches", error))?;
        Ok((usize::try_from(all).unwrap_or(usize::MAX), usize::try_from(own).unwrap_or(usize::MAX)))
    }

    /// The oldest batch of a node that has not ended.
    pub async fn next_batch(&self, node: &str) -> Result<Option<BatchRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE node = $1 AND ended IS NULL ORDER BY created, id LIMIT 1"))
            .bind(node)
            .fetch_optional(pool)
            .await)
        .map_err(|error| self.failed("looking for the next batch", error))
    }

    /// What a node was doing when it was stopped is to be done again.
    pub async fn resume_batches(&self, node: &str) -> Result<(), StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            on!(Batch, &mut batch, rows => {
                sqlx::query("UPDATE batches SET running = 0 WHERE node = $1 AND running > 0")
                    .bind(node)
                    .execute(&mut **rows)
                    .await?;
                sqlx::query(
                    "UPDATE batch_items SET state = 'queued' WHERE state = 'running'
                     AND batch IN (SELECT id FROM batches WHERE node = $1 AND ended IS NULL)",
                )
                .bind(node)
                .execute(&mut **rows)
                .await?;
            });
            batch.commit().await
        };
        write.await.map_err(|error| self.failed("taking up the batches of before", error))
    }

    /// Begins the next item of a batch that has not ended: its number and what is to be done. `None` when there is none left.
    pub async fn begin_item(&self, id: Key, at: Stamp) -> Result<Option<(i32, Value)>, StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            let begun: Option<(i32, Json<Value>)> = on!(Batch, &mut batch, rows => {
                let open = sqlx::query("UPDATE batches SET state = 'running', started = coalesce(started, $1) WHERE id = $2 AND ended IS NULL")
                    .bind(at)
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                let begun: Option<(i32, Json<Value>)> = match open.rows_affected() {
                    0 => None,
                    _ => sqlx::query_as(
                        "UPDATE batch_items SET state = 'running' WHERE batch = $1 AND number =
                         (SELECT min(number) FROM batch_items WHERE batch = $1 AND state = 'queued') RETURNING number, input",
                    )
                    .bind(id)
                    .fetch_optional(&mut **rows)
                    .await?,
                };
                if begun.is_some() {
                    sqlx::query("UPDATE batches SET running = running + 1 WHERE id = $1")
                        .bind(id)
                        .execute(&mut **rows)
                        .await?;
                }
                begun
            });
            batch.commit().await?;
            Ok(begun)
        };
        let begun: Result<_, sqlx::Error> = write.await;
        let begun = begun.map_err(|error| self.failed("beginning an item of a batch", error))?;
        Ok(begun.map(|(number, Json(input))| (number, input)))
    }

    /// Ends an item that is running, with its result or why it failed. One that was cancelled meanwhile stays so.
    pub async fn end_item(&self, id: Key, number: i32, came: &Result<Value, String>) -> Result<(), StoreError> {
        let (state, result, error) = match came {
            Ok(result) => ("done", Some(Json(result)), None),
            Err(error) => ("failed", None, Some(error.as_str())),
        };
        let write = async {
            let mut batch = self.begin().await?;
            on!(Batch, &mut batch, rows => {
                // As whoever begins one or cancels does, the batch's row first: else two would wait for each other.
                sqlx::query("UPDATE batches SET running = running WHERE id = $1").bind(id).execute(&mut **rows).await?;
                let ended = sqlx::query(
                    "UPDATE batch_items SET state = $1, result = $2, error = $3 WHERE batch = $4 AND number = $5 AND state = 'running'",
                )
                .bind(state)
                .bind(result)
                .bind(error)
                .bind(id)
                .bind(number)
                .execute(&mut **rows)
                .await?;
                if ended.rows_affected() == 1 {
                    let count = i32::from(came.is_ok());
                    sqlx::query("UPDATE batches SET running = running - 1, done = done + $1, failed = failed + $2 WHERE id = $3")
                        .bind(count)
                        .bind(1 - count)
                        .bind(id)
                        .execute(&mut **rows)
                        .await?;
                }
            });
            batch.commit().await
        };
        write.await.map_err(|error| self.failed("ending an item of a batch", error))
    }

    /// Ends a batch whose items have all ended.
    pub async fn end_batch(&self, id: Key, at: Stamp) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE batches SET state = CASE WHEN failed = total THEN 'failed' ELSE 'done' END, ended = $1
             WHERE id = $2 AND ended IS NULL AND done + failed = total",
        )
        .bind(at)
        .bind(id)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("ending a batch", error))
    }

    /// Cancels what is left of a batch. False when it has ended already.
    pub async fn cancel_batch(&self, id: Key, at: Stamp) -> Result<bool, StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            let is_cancelled = on!(Batch, &mut batch, rows => {
                let ended = sqlx::query("UPDATE batches SET state = 'cancelled', running = 0, ended = $1 WHERE id = $2 AND ended IS NULL")
                    .bind(at)
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                sqlx::query("UPDATE batch_items SET state = 'cancelled' WHERE batch = $1 AND state IN ('queued', 'running')")
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                ended.rows_affected() == 1
            });
            batch.commit().await?;
            Ok(is_cancelled)
        };
        let cancelled: Result<_, sqlx::Error> = write.await;
        cancelled.map_err(|error| self.failed("cancelling a batch", error))
    }

    /// Deletes a batch with its items.
    pub async fn delete_batch(&self, id: Key) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM batches WHERE id = $1").bind(id).execute(pool).await.map(drop))
            .map_err(|error| self.failed("deleting a batch", error))
    }

    /// Deletes the batches that ended before this moment. Returns which they were.
    pub async fn forget_batches(&self, before: Stamp) -> Result<Vec<Key>, StoreError> {
        let forgotten: Vec<(Key,)> =
            on!(Pool, &self.pool, pool => sqlx::query_as("DELETE FROM batches WHERE ended < $1 RETURNING id")
            .bind(before)
            .fetch_all(pool)
            .await)
            .map_err(|error| self.failed("deleting old batches", error))?;
        Ok(forgotten.into_iter().map(|(id,)| id).collect())
    }
}
