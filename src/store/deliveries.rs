//! The table `webhook_deliveries`: what programs of the operator's are still to be told of calls and campaigns.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::{Batch, Key, Stamp, Store, StoreError, page};

/// Something that a target is to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NewDelivery {
    pub(super) target: String,
    pub(super) call: Option<Key>,
    #[serde(default)]
    pub(super) campaign: Option<Key>,
    pub(super) kind: Cow<'static, str>,
    pub(super) at: Stamp,
    pub(super) body: String,
}

/// The same, as it waits.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Delivery {
    /// Its identifier, the same for every try.
    pub id: Key,
    /// JSON, to the byte as it is signed.
    pub body: String,
    /// Tries so far.
    pub attempts: i32,
    /// When it is tried next.
    pub due: Stamp,
}

/// How many wait for a target, and how many were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Deliveries {
    /// Those that wait.
    pub waiting: i64,
    /// Those that were given up.
    pub dead: i64,
}

/// A dead letter, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct DeadLetter {
    /// Its identifier.
    pub id: Key,
    /// For whom it was.
    #[schema(example = "crm")]
    pub target: String,
    /// The call it is about; none where it is about a campaign.
    pub call: Option<Key>,
    /// The campaign it is about; none where it is about a call.
    pub campaign: Option<Key>,
    /// `started`, `turn` and so on.
    #[serde(rename = "type")]
    #[schema(example = "ended")]
    pub kind: String,
    /// When that happened.
    pub at: Stamp,
    /// Tries that were made.
    #[schema(example = 12)]
    pub attempts: i32,
    /// What was wrong with the last one.
    #[schema(example = "it answers 503")]
    pub error: Option<String>,
    /// When it was given up.
    pub dead: Stamp,
    /// What was to be told.
    #[serde(serialize_with = "as_json")]
    #[schema(value_type = Value, example = json!({"id": "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01", "type": "ended", "time": "2026-11-29T06:30:00Z", "call": "0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01", "data": {"hangup_by": "caller"}}))]
    pub body: String,
}

fn as_json<S: Serializer>(body: &str, to: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.into())).serialize(to)
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DeadLetterPage)]
pub struct DeadPage {
    /// The last one that was given up first.
    pub dead: Vec<DeadLetter>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`DeadLetter`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, target, call, campaign, kind, at, attempts, error, dead, body FROM webhook_deliveries ",
            $rest
        )
    };
}

impl Store {
    /// What a node is to tell a target next, of each call the first: those that are due before the others.
    pub async fn next_deliveries(&self, node: &str, target: &str, most: usize) -> Result<Vec<Delivery>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT id, body, attempts, due FROM webhook_deliveries AS next
             WHERE node = $1 AND target = $2 AND dead IS NULL AND NOT EXISTS
                 (SELECT 1 FROM webhook_deliveries AS before
                  WHERE before.call = next.call AND before.target = next.target AND before.dead IS NULL AND before.id < next.id)
             ORDER BY due, id LIMIT $3",
        )
        .bind(node)
        .bind(target)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading what webhooks are to be told", error))
    }

    /// How many a node has for a target.
    pub async fn deliveries(&self, node: &str, target: &str) -> Result<Deliveries, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT (SELECT count(*) FROM webhook_deliveries WHERE node = $1 AND target = $2 AND dead IS NULL) AS waiting,
                    (SELECT count(*) FROM webhook_deliveries WHERE node = $1 AND target = $2 AND dead IS NOT NULL) AS dead",
        )
        .bind(node)
        .bind(target)
        .fetch_one(pool)
        .await)
        .map_err(|error| self.failed("counting what webhooks are to be told", error))
    }

    /// It was told.
    pub async fn delivered(&self, id: Key) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM webhook_deliveries WHERE id = $1")
            .bind(id)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("noting what a webhook was told", error))
    }

    /// So many tries were in vain, the last for this reason; it is tried again then, or never.
    pub async fn undelivered(
        &self,
        id: Key,
        (attempts, error): (i32, &str),
        (due, dead): (Stamp, Option<Stamp>),
    ) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE webhook_deliveries SET attempts = $1, error = $2, due = $3, dead = $4 WHERE id = $5",
        )
        .bind(attempts)
        .bind(error)
        .bind(due)
        .bind(dead)
        .bind(id)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("noting what a webhook was not told", error))
    }

    /// A page of the dead letters, those of every node: the `limit` before the letter `before`, or the newest ones. `None` when
    /// there is no letter `before`.
    pub async fn dead_letters(&self, before: Option<Key>, limit: u32) -> Result<Option<DeadPage>, StoreError> {
        let failed = |error| self.failed("listing dead letters", error);
        let fetch = page::fetch(limit);
        let mut dead: Vec<DeadLetter> = match before {
            None => {
                on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE dead IS NOT NULL ORDER BY dead DESC, id DESC LIMIT $1"))
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?)
            }
            Some(key) => {
                let Some(DeadLetter { dead, .. }) = self.dead_letter(key).await? else { return Ok(None) };
                on!(Pool, &self.pool, pool => sqlx::query_as(
                    select!("WHERE dead IS NOT NULL AND (dead, id) < ($1, $2) ORDER BY dead DESC, id DESC LIMIT $3"),
                )
                .bind(dead)
                .bind(key)
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?)
            }
        };
        let next = page::cut(&mut dead, limit, |letter| letter.id);
        Ok(Some(DeadPage { dead, next }))
    }

    /// One dead letter.
    pub async fn dead_letter(&self, id: Key) -> Result<Option<DeadLetter>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE id = $1 AND dead IS NOT NULL"))
            .bind(id)
            .fetch_optional(pool)
            .await)
        .map_err(|error| self.failed("reading a dead letter", error))
    }

    /// A dead letter is tried again, as if it were new. False: there is none.
    pub async fn revive(&self, id: Key, now: Stamp) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE webhook_deliveries SET dead = NULL, attempts = 0, due = $1 WHERE id = $2 AND dead IS NOT NULL",
        )
        .bind(now)
        .bind(id)
        .execute(pool)
        .await
        .map(|done| done.rows_affected() > 0))
        .map_err(|error| self.failed("trying a dead letter again", error))
    }

    /// A dead letter is deleted. False: there is none.
    pub async fn delete_dead(&self, id: Key) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM webhook_deliveries WHERE id = $1 AND dead IS NOT NULL")
            .bind(id)
            .execute(pool)
            .await
            .map(|done| done.rows_affected() > 0))
        .map_err(|error| self.failed("deleting a dead letter", error))
    }

    /// Of a node's dead letters, whosever they were, those of before this moment are deleted, and of the others all but the newest
    /// so many.
    pub async fn forget_dead(&self, node: &str, before: Stamp, most: i64) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "DELETE FROM webhook_deliveries WHERE node = $1 AND dead IS NOT NULL AND (dead < $2 OR id IN
                 (SELECT id FROM webhook_deliveries WHERE node = $1 AND dead IS NOT NULL ORDER BY dead DESC, id DESC
                  LIMIT 1000000 OFFSET $3))",
        )
        .bind(node)
        .bind(before)
        .bind(most)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("deleting old dead letters", error))
    }

    /// What waits for targets that are none any more is given up.
    pub async fn bury_unknown(&self, node: &str, known: &[String], now: Stamp) -> Result<(), StoreError> {
        let bury = async {
            on!(Pool, &self.pool, pool => {
                let targets: Vec<(String,)> =
                    sqlx::query_as("SELECT DISTINCT target FROM webhook_deliveries WHERE node = $1 AND dead IS NULL")
                        .bind(node)
                        .fetch_all(pool)
                        .await?;
                for (target,) in targets.iter().filter(|(target,)| !known.contains(target)) {
                    sqlx::query(
                        "UPDATE webhook_deliveries SET dead = $1, error = 'it is not one of [[webhooks]] any more'
                         WHERE node = $2 AND target = $3 AND dead IS NULL",
                    )
                    .bind(now)
                    .bind(node)
                    .bind(target)
                    .execute(pool)
                    .await?;
                }
            });
            Ok(())
        };
        bury.await.map_err(|error| self.failed("giving up what nobody is told", error))
    }
}

impl Batch {
    /// Something is to be told. Written twice, it stays as it is.
    pub(super) async fn insert_delivery(
        &mut self,
        node: &str,
        id: Key,
        delivery: &NewDelivery,
    ) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO webhook_deliveries (id, node, target, call, campaign, kind, at, body, due)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(node)
        .bind(&delivery.target)
        .bind(delivery.call)
        .bind(delivery.campaign)
        .bind(&delivery.kind)
        .bind(delivery.at)
        .bind(&delivery.body)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
