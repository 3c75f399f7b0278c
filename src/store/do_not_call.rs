//! The table `do_not_call`: the numbers that no campaign calls.

use serde::Serialize;
use sqlx::types::Json;

use super::{Batch, Key, Stamp, Store, StoreError, page};

/// Numbers that are written with one statement.
const AT_ONCE: usize = 1_000;

/// A number that is not to be called any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewUnwanted {
    /// Its identifier.
    pub id: Key,
    /// The number as it was written.
    pub number: String,
    /// The same in the form in which numbers are compared.
    pub target: String,
    /// Why.
    pub note: Option<String>,
}

/// The same, as it is kept and as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = DoNotCall)]
pub struct Unwanted {
    /// Its identifier.
    pub id: Key,
    /// The number as it was written.
    #[schema(example = "0341234567")]
    pub number: String,
    /// Why.
    #[schema(example = "asked so on the telephone")]
    pub note: Option<String>,
    /// The name of the key that added it, or `API_KEY`, `this machine`.
    #[schema(example = "the web page")]
    pub who: String,
    /// When.
    pub added: Stamp,
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DoNotCallPage)]
pub struct UnwantedPage {
    /// The last that were added first.
    pub numbers: Vec<Unwanted>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Many numbers in one statement, in the words of each database. One that is there already stays as it is.
const IN_POSTGRES: &str = "INSERT INTO do_not_call (id, number, target, note, who, added)
     SELECT one.id, one.number, one.target, one.note, $1::text, $2::timestamptz
     FROM jsonb_to_recordset($3::jsonb) AS one (id uuid, number text, target text, note text) ON CONFLICT DO NOTHING";
const IN_SQLITE: &str = "INSERT INTO do_not_call (id, number, target, note, who, added)
     SELECT json_extract(value, '$.id'), json_extract(value, '$.number'), json_extract(value, '$.target'),
         json_extract(value, '$.note'), $1, $2 FROM json_each($3) WHERE true ON CONFLICT DO NOTHING";

impl Store {
    /// Adds numbers, all of them or none. Returns how many of them are new.
    pub async fn add_unwanted(&self, numbers: &[NewUnwanted], who: &str, at: Stamp) -> Result<u64, StoreError> {
        let write = async {
            let (mut batch, mut new) = (self.begin().await?, 0);
            for some in numbers.chunks(AT_ONCE) {
                let written = match &mut batch {
                    Batch::Sqlite(rows) => {
                        let insert = sqlx::query(IN_SQLITE).bind(who).bind(at).bind(Json(some));
                        insert.execute(&mut **rows).await?.rows_affected()
                    }
                    Batch::Postgres(rows) => {
                        let insert = sqlx::query(IN_POSTGRES).bind(who).bind(at).bind(Json(some));
                        insert.execute(&mut **rows).await?.rows_affected()
                    }
                };
                new += written;
            }
            batch.commit().await?;
            Ok(new)
        };
        let written: Result<_, sqlx::Error> = write.await;
        written.map_err(|error| self.failed("adding to the do-not-call list", error))
    }

    /// A page, the last that were added first: the `limit` before the number `before`, or the newest ones.
    pub async fn unwanted(&self, before: Option<Key>, limit: u32) -> Result<UnwantedPage, StoreError> {
        let failed = |error| self.failed("reading the do-not-call list", error);
        let fetch = page::fetch(limit);
        // Identifiers sort by the time they were made.
        let mut numbers: Vec<Unwanted> = match before {
            None => on!(Pool, &self.pool, pool => sqlx::query_as(
                "SELECT id, number, note, who, added FROM do_not_call ORDER BY id DESC LIMIT $1",
            )
            .bind(fetch)
            .fetch_all(pool)
            .await
            .map_err(failed)?),
            Some(before) => on!(Pool, &self.pool, pool => sqlx::query_as(
                "SELECT id, number, note, who, added FROM do_not_call WHERE id < $1 ORDER BY id DESC LIMIT $2",
            )
            .bind(before)
            .bind(fetch)
            .fetch_all(pool)
            .await
            .map_err(failed)?),
        };
        let next = page::cut(&mut numbers, limit, |one| one.id);
        Ok(UnwantedPage { numbers, next })
    }

    /// The number of this form on the list, as it was added.
    pub async fn known_unwanted(&self, target: &str) -> Result<Option<Unwanted>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT id, number, note, who, added FROM do_not_call WHERE target = $1",
        )
        .bind(target)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading the do-not-call list", error))
    }

    /// Takes a number off the list. False when it is not on it.
    pub async fn remove_unwanted(&self, target: &str) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM do_not_call WHERE target = $1")
            .bind(target)
            .execute(pool)
            .await
            .map(|done| done.rows_affected() == 1))
        .map_err(|error| self.failed("removing from the do-not-call list", error))
    }
}
