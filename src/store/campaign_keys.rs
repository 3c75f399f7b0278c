//! The table `campaign_keys`: the idempotency keys under which campaigns were asked for, of all Milos together.

use super::{Batch, Key, Stamp, Store, StoreError};

/// A campaign that was asked for under a key.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CampaignKey {
    /// The idempotency key.
    pub key: String,
    /// What was asked for, hashed.
    pub print: i64,
    /// The campaign's identifier.
    pub campaign: Key,
    /// How many numbers it had.
    pub total: i64,
    /// When it was asked for.
    pub at: Stamp,
}

impl Store {
    /// The campaign that was asked for under this key from this moment on.
    pub async fn campaign_key(&self, key: &str, since: Stamp) -> Result<Option<CampaignKey>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT key, print, campaign, total, at FROM campaign_keys WHERE key = $1 AND at >= $2",
        )
        .bind(key)
        .bind(since)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading the idempotency key of a campaign", error))
    }

    /// Deletes the keys of before this moment.
    pub async fn forget_campaign_keys(&self, before: Stamp) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM campaign_keys WHERE at < $1")
            .bind(before)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("deleting old idempotency keys of campaigns", error))
    }
}

impl Batch {
    /// A campaign is asked for under this key. False when it stands for another one since this moment.
    pub(super) async fn set_campaign_key(&mut self, key: &CampaignKey, since: Stamp) -> Result<bool, sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO campaign_keys (key, print, campaign, total, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (key) DO UPDATE SET print = excluded.print, campaign = excluded.campaign, total = excluded.total,
             at = excluded.at WHERE campaign_keys.at < $6",
        )
        .bind(&key.key)
        .bind(key.print)
        .bind(key.campaign)
        .bind(key.total)
        .bind(key.at)
        .bind(since)
        .execute(&mut **rows)
        .await
        .map(|done| done.rows_affected() == 1))
    }
}
