//! The table `api_keys`: one row a key of the API.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::{sleep, timeout};

use super::{Key, Pool, Stamp, Store, StoreError};

/// A file is looked at again after so long: only the command line beside this Milo changes it.
const LOOK: Duration = Duration::from_secs(1);
/// A server says when keys change; what it said while the line was down is found so much later at most.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);
/// The channel of `NOTIFY` that the table's trigger speaks on.
const CHANNEL: &str = "api_keys";

/// A key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKeyRow {
    /// Its identifier; a rotated key keeps it.
    pub id: Key,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the key.
    pub hash: Vec<u8>,
    /// SHA-256 of the key before the last rotation.
    pub old_hash: Option<Vec<u8>>,
    /// Until when that one is taken.
    pub old_until: Option<Stamp>,
    /// What it may do, separated by spaces.
    pub scopes: String,
    /// `free`, `pro` or `enterprise`.
    pub tier: String,
    /// When it was made.
    pub created: Stamp,
    /// From when on it is not taken.
    pub expires: Option<Stamp>,
    /// When it was revoked.
    pub revoked: Option<Stamp>,
    /// When it was last sent, to the minute.
    pub used: Option<Stamp>,
}

/// Tells when the keys may have changed.
pub struct KeyChanges {
    store: Store,
    listener: Option<PgListener>,
}

impl Store {
    /// All keys, the oldest first.
    pub async fn api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT id, name, hash, old_hash, old_until, scopes, tier, created, expires, revoked, used FROM api_keys
             ORDER BY created, id",
        )
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading keys", error))
    }

    /// A new key.
    pub async fn insert_api_key(&self, key: &ApiKeyRow) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "INSERT INTO api_keys (id, name, hash, scopes, tier, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(key.id)
        .bind(&key.name)
        .bind(&key.hash)
        .bind(&key.scopes)
        .bind(&key.tier)
        .bind(key.created)
        .bind(key.expires)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("writing a key", error))
    }

    /// Another secret for a key that is not revoked; the one of before is taken until then. Says whether there is such a key.
    pub async fn rotate_api_key(&self, id: Key, hash: &[u8], old_until: Stamp) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE api_keys SET old_hash = hash, old_until = $3, hash = $2 WHERE id = $1 AND revoked IS NULL",
        )
        .bind(id)
        .bind(hash)
        .bind(old_until)
        .execute(pool)
        .await
        .map(|done| done.rows_affected() > 0))
        .map_err(|error| self.failed("rotating a key", error))
    }

    /// From now on a key is not taken. Says whether there is such a key that was not revoked before.
    pub async fn revoke_api_key(&self, id: Key, at: Stamp) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("UPDATE api_keys SET revoked = $2 WHERE id = $1 AND revoked IS NULL")
            .bind(id)
            .bind(at)
            .execute(pool)
            .await
            .map(|done| done.rows_affected() > 0))
        .map_err(|error| self.failed("revoking a key", error))
    }

    /// A key was sent at this moment.
    pub async fn used_api_key(&self, id: Key, at: Stamp) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("UPDATE api_keys SET used = $2 WHERE id = $1")
            .bind(id)
            .bind(at)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("writing when a key was used", error))
    }

    /// Follows what happens to the keys, whoever does it.
    pub fn key_changes(&self) -> KeyChanges {
        KeyChanges { store: self.clone(), listener: None }
    }
}

impl KeyChanges {
    /// Waits until the keys may have changed. Cancelled, it misses nothing for longer than a quarter of a minute.
    pub async fn next(&mut self) {
        let Pool::Postgres(pool) = &self.store.pool else { return sleep(LOOK).await };
        let Some(listener) = &mut self.listener else {
            let connected = async {
                let mut listener = PgListener::connect_with(pool).await?;
                listener.listen(CHANNEL).await?;
                Ok::<_, sqlx::Error>(listener)
            };
            match connected.await {
                // What was said before somebody listened is read now.
                Ok(listener) => self.listener = Some(listener),
                Err(_) => sleep(LOOK).await,
            }
            return;
        };
        // `None`: the line was cut, and is there again.
        if let Ok(Err(_)) = timeout(LOOK_ANYWAY, listener.try_recv()).await {
            self.listener = None;
            sleep(LOOK).await;
        }
    }
}
