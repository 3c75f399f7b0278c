//! The table `memories`: what is known of callers from their last call, by their numbers.

use serde::{Deserialize, Serialize};

use super::{
    Batch, Key, LogWriter, Stamp, Store, StoreError,
    entry::Entry,
    page,
    writer::{LONGEST_NAME, LONGEST_TEXT, tidy},
};

/// What is known of a caller.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Memory {
    /// When they called last.
    pub last_call: Stamp,
    /// Their name, where they have said it in any of their calls.
    pub name: Option<String>,
    /// The language of that call: its code.
    pub language: String,
    /// That call, in two or three sentences.
    pub summary: Option<String>,
    /// A persona that is kept local has spoken in that call: no server is to read of it.
    pub is_local: bool,
}

/// What is known of a caller, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = CallerMemory)]
pub struct MemoryRow {
    /// Their number, as the log has it.
    #[schema(example = "0341234567")]
    pub number: String,
    /// The call that it is from.
    pub call: Key,
    /// When that began.
    pub last_call: Stamp,
    /// From then on nothing of it is known.
    pub known_until: Stamp,
    /// Their name, where they have said it in any of their calls.
    #[schema(example = "Rasoa")]
    pub name: Option<String>,
    /// The language of that call.
    #[schema(example = "mg")]
    pub language: String,
    /// That call, in two or three sentences.
    #[schema(example = "Nanontany ny vidin'ny tapakila izy.")]
    pub summary: Option<String>,
    /// A persona with `mode = "local"` has spoken in that call: no persona is told it that asks a server.
    #[serde(rename = "local")]
    pub is_local: bool,
}

/// One page of them.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CallerMemoryPage)]
pub struct MemoryPage {
    /// Whoever called last, first.
    pub memories: Vec<MemoryRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`MemoryRow`], of the table `memories`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, call, at AS last_call, expires AS known_until, name, language, summary, is_local FROM memories ",
            $rest
        )
    };
}

/// What is to be known of whoever has called, from a call on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMemory {
    /// Their number, as the log has it.
    pub number: String,
    /// Until when.
    pub until: Stamp,
    /// Their name; none: the one that is known stays.
    pub name: Option<String>,
    /// The call's language.
    pub language: String,
    /// The call, in two or three sentences.
    pub summary: Option<String>,
    /// A persona that is kept local has spoken in the call.
    #[serde(default)]
    pub is_local: bool,
}

impl LogWriter {
    /// What came of a call is to be known when its caller calls again.
    pub fn remembered(&self, call: Key, mut memory: NewMemory) {
        tidy(&mut memory.number, LONGEST_NAME);
        memory.name.iter_mut().for_each(|name| tidy(name, LONGEST_NAME));
        memory.summary.iter_mut().for_each(|summary| tidy(summary, LONGEST_TEXT));
        self.put(Entry::Remembered(call, memory));
    }
}

impl Store {
    /// What is known of a number now, if anything is.
    pub async fn memory(&self, number: &str, now: Stamp) -> Result<Option<Memory>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT at AS last_call, name, language, summary, is_local FROM memories WHERE number = $1 AND expires > $2",
        )
        .bind(number)
        .bind(now)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading what is known of a caller", error))
    }

    /// The same with where it is from.
    pub async fn memory_row(&self, number: &str, now: Stamp) -> Result<Option<MemoryRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE number = $1 AND expires > $2"))
            .bind(number)
            .bind(now)
            .fetch_optional(pool)
            .await)
        .map_err(|error| self.failed("reading what is known of a caller", error))
    }

    /// A page of what is known of callers now: the `limit` before the one that is from the call `before`, or the newest ones. `None` when
    /// nothing is known from that call any more.
    pub async fn memories(
        &self,
        now: Stamp,
        before: Option<Key>,
        limit: u32,
    ) -> Result<Option<MemoryPage>, StoreError> {
        let failed = |error| self.failed("listing what is known of callers", error);
        let fetch = page::fetch(limit);
        let mut memories: Vec<MemoryRow> = match before {
            None => on!(Pool, &self.pool, pool => {
                sqlx::query_as(select!("WHERE expires > $1 ORDER BY at DESC, call DESC LIMIT $2"))
                    .bind(now)
                    .bind(fetch)
                    .fetch_all(pool)
                    .await
                    .map_err(failed)?
            }),
            Some(call) => {
                let from: Option<MemoryRow> = on!(Pool, &self.pool, pool => {
                    sqlx::query_as(select!("WHERE call = $1")).bind(call).fetch_optional(pool).await.map_err(failed)?
                });
                let Some(MemoryRow { last_call, .. }) = from else { return Ok(None) };
                on!(Pool, &self.pool, pool => {
                    sqlx::query_as(select!(
                        "WHERE expires > $1 AND (at, call) < ($2, $3) ORDER BY at DESC, call DESC LIMIT $4"
                    ))
                    .bind(now)
                    .bind(last_call)
                    .bind(call)
                    .bind(fetch)
                    .fetch_all(pool)
                    .await
                    .map_err(failed)?
                })
            }
        };
        let next = page::cut(&mut memories, limit, |memory| memory.call);
        Ok(Some(MemoryPage { memories, next }))
    }

    /// Deletes what was to be known until now.
    pub async fn forget_memories(&self, now: Stamp) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM memories WHERE expires <= $1")
            .bind(now)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("deleting what was known of callers", error))
    }
}

impl Batch {
    /// Writes what is known of the caller of a call that is still in the log, in place of what an earlier one left. Of that the name
    /// stays, unless it was said where no server may read it, and what stands there now may be told to one.
    pub(super) async fn set_memory(&mut self, call: Key, memory: &NewMemory) -> Result<(), sqlx::Error> {
        let NewMemory { number, until, name, language, summary, is_local } = memory;
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO memories (number, call, at, expires, name, language, summary, is_local)
             SELECT $2, id, started, $3, $4, $5, $6, $7 FROM calls WHERE id = $1
             ON CONFLICT (number) DO UPDATE SET call = excluded.call, at = excluded.at, expires = excluded.expires,
                name = CASE WHEN memories.is_local AND NOT excluded.is_local THEN excluded.name
                    ELSE COALESCE(excluded.name, memories.name) END,
                language = excluded.language, summary = excluded.summary, is_local = excluded.is_local
             WHERE memories.at <= excluded.at",
        )
        .bind(call)
        .bind(number)
        .bind(until)
        .bind(name)
        .bind(language)
        .bind(summary)
        .bind(is_local)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
