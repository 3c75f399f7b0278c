//! The table `call_keys`: the idempotency keys under which calls were asked for.

use serde::{Deserialize, Serialize};

use super::{Batch, Key, Stamp, Store, StoreError};

/// A call that was asked for under a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct CallKey {
    /// The idempotency key.
    pub key: String,
    /// What was asked for, hashed.
    pub print: i64,
    /// The call's identifier.
    pub call: Key,
    /// Who is called.
    pub called: String,
    /// The first trunk it was tried over.
    pub trunk: Option<String>,
    /// Its plan.
    pub plan: String,
    /// When it was asked for.
    pub at: Stamp,
}

impl Store {
    /// The newest `most` of a node's keys from this moment on, the oldest first.
    pub async fn call_keys(&self, node: &str, since: Stamp, most: usize) -> Result<Vec<CallKey>, StoreError> {
        let mut keys: Vec<CallKey> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT key, print, call, called, trunk, plan, at FROM call_keys WHERE node = $1 AND at >= $2
             ORDER BY at DESC LIMIT $3",
        )
        .bind(node)
        .bind(since)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading idempotency keys", error))?;
        keys.reverse();
        Ok(keys)
    }

    /// Deletes the keys of before this moment.
    pub async fn forget_call_keys(&self, before: Stamp) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM call_keys WHERE at < $1")
            .bind(before)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("deleting old idempotency keys", error))
    }
}

impl Batch {
    /// A call was asked for under this key, which stood for none, or for one of long ago.
    pub(super) async fn set_call_key(&mut self, node: &str, key: &CallKey) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO call_keys (node, key, print, call, called, trunk, plan, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (node, key) DO UPDATE SET print = excluded.print, call = excluded.call, called = excluded.called,
             trunk = excluded.trunk, plan = excluded.plan, at = excluded.at",
        )
        .bind(node)
        .bind(&key.key)
        .bind(key.print)
        .bind(key.call)
        .bind(&key.called)
        .bind(&key.trunk)
        .bind(&key.plan)
        .bind(key.at)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
