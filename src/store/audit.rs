//! The table `audit`: what was done by those who run Milo.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Batch, Key, Stamp, Store, StoreError, page};

/// Something that was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewDeed {
    /// When.
    pub at: Stamp,
    /// The key that did it, where it is one of the table.
    pub key: Option<Key>,
    /// The key's name, or `API_KEY`, `this machine`, `command line`.
    pub who: String,
    /// The address that it came from.
    pub address: Option<String>,
    /// `keys.create`, `bans.delete` and the like.
    pub action: Cow<'static, str>,
    /// What it was done to.
    pub target: Option<String>,
    /// More, as a sentence.
    pub detail: Option<String>,
}

/// Something that was done, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct DeedRow {
    /// Its identifier.
    pub id: Key,
    /// The Milo that did it.
    #[schema(example = "milo-1")]
    pub node: String,
    /// When.
    pub at: Stamp,
    /// The key that did it; none for `API_KEY`, this machine and the command line.
    pub key: Option<Key>,
    /// The key's name, or `API_KEY`, `this machine`, `command line`.
    #[schema(example = "API_KEY")]
    pub who: String,
    /// The address that it came from.
    #[schema(example = "127.0.0.1")]
    pub address: Option<String>,
    /// What was done.
    #[schema(example = "keys.create")]
    pub action: String,
    /// What it was done to.
    #[schema(example = "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01")]
    pub target: Option<String>,
    /// More, as a sentence.
    #[schema(example = "the web page, text read, free")]
    pub detail: Option<String>,
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct DeedPage {
    /// Newest first.
    pub deeds: Vec<DeedRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`DeedRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, node, at, key, who, address, action, target, detail FROM audit ", $rest)
    };
}

impl Store {
    /// A page of what was done, newest first: the `limit` before the deed `before`, or the newest ones. `None` when there is
    /// none `before`.
    pub async fn deeds(&self, before: Option<Key>, limit: u32) -> Result<Option<DeedPage>, StoreError> {
        let failed = |error| self.failed("listing what was done", error);
        let fetch = page::fetch(limit);
        let mut deeds: Vec<DeedRow> = match before {
            None => on!(Pool, &self.pool, pool => sqlx::query_as(select!("ORDER BY at DESC, id DESC LIMIT $1"))
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?),
            Some(key) => {
                let at: Option<(Stamp,)> = on!(Pool, &self.pool, pool => sqlx::query_as("SELECT at FROM audit WHERE id = $1")
                    .bind(key)
                    .fetch_optional(pool)
                    .await
                    .map_err(failed)?);
                let Some((at,)) = at else { return Ok(None) };
                on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE (at, id) < ($1, $2) ORDER BY at DESC, id DESC LIMIT $3"))
                    .bind(at)
                    .bind(key)
                    .bind(fetch)
                    .fetch_all(pool)
                    .await
                    .map_err(failed)?)
            }
        };
        let next = page::cut(&mut deeds, limit, |deed| deed.id);
        Ok(Some(DeedPage { deeds, next }))
    }

    /// Writes something that was done, at once: for the command line, which has no queue.
    pub async fn done(&self, node: &str, deed: &NewDeed) -> Result<(), StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            batch.insert_deed(node, Key::new(), deed).await?;
            batch.commit().await
        };
        write.await.map_err(|error| self.failed("writing what was done", error))
    }
}

impl Batch {
    /// The row of something that was done. Written twice, it stays as it is.
    pub(super) async fn insert_deed(&mut self, node: &str, id: Key, deed: &NewDeed) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO audit (id, node, at, key, who, address, action, target, detail)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(node)
        .bind(deed.at)
        .bind(deed.key)
        .bind(&deed.who)
        .bind(&deed.address)
        .bind(&deed.action)
        .bind(&deed.target)
        .bind(&deed.detail)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
