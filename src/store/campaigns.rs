//! The table `campaigns`: lists of numbers that are called, and how far each list is. Its rows are in `campaign_rows.rs`, how many of
//! them are how in `campaign_counts.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::types::Json;

use super::{Batch, CampaignKey, Key, LogWriter, Stamp, Store, StoreError, listeners::About, page};
use crate::config::CallEvent;

/// Rows of a list that are written with one statement.
const AT_ONCE: usize = 1_000;

/// A campaign that begins.
#[derive(Clone, Debug)]
pub struct NewCampaign {
    /// Its identifier.
    pub id: Key,
    /// What it is called.
    pub name: String,
    /// The name of the key that makes it, or `API_KEY`, `this machine`.
    pub who: String,
    /// Whether it waits until somebody resumes it.
    pub paused: bool,
    /// Whether it goes on when nobody is left to call.
    pub standing: bool,
    /// What is asked for, without the list.
    pub settings: Value,
    /// The names of the variables, in the order of the list's head.
    pub columns: Vec<String>,
    /// The time zones of its numbers, each once.
    pub zones: Vec<String>,
    /// When it was asked for.
    pub created: Stamp,
    /// The list.
    pub rows: Vec<NewCampaignRow>,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewCampaignRow {
    /// Where it stands in the list, counted from 1.
    pub line: i32,
    /// The number, or address, as it is called.
    pub called: String,
    /// The same in the form in which numbers are compared.
    pub target: String,
    /// The time zone in which its hours are.
    pub zone: String,
    /// What the plan is given.
    pub variables: BTreeMap<String, String>,
}

/// A campaign, as it is kept.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct CampaignRow {
    /// Its identifier.
    pub id: Key,
    /// What it is called.
    pub name: String,
    /// The name of the key that made it, or `API_KEY`, `this machine`.
    pub who: String,
    /// `running`, `paused`, `finished` or `cancelled`.
    pub state: String,
    /// What was asked for, without the list.
    #[sqlx(json)]
    pub settings: Value,
    /// The names of the variables, in the order of the list's head.
    #[sqlx(json)]
    pub columns: Vec<String>,
    /// The time zones of its numbers, each once.
    #[sqlx(json)]
    pub zones: Vec<String>,
    /// When it was asked for.
    pub created: Stamp,
    /// When it ended, however it did.
    pub ended: Option<Stamp>,
}

/// Columns in the order of [`CampaignRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, name, who, state, settings, columns, zones, created, ended FROM campaigns ", $rest)
    };
}

/// A list in one statement, in the words of each database.
const ROWS_IN_POSTGRES: &str = "INSERT INTO campaign_rows (campaign, line, called, target, zone, variables, state, due)
     SELECT $1::uuid, one.line, one.called, one.target, one.zone, one.variables, 'waiting', $2::timestamptz
     FROM jsonb_to_recordset($3::jsonb) AS one (line integer, called text, target text, zone text, variables jsonb)";
const ROWS_IN_SQLITE: &str = "INSERT INTO campaign_rows (campaign, line, called, target, zone, variables, state, due)
     SELECT $1, json_extract(value, '$.line'), json_extract(value, '$.called'), json_extract(value, '$.target'),
         json_extract(value, '$.zone'), json_extract(value, '$.variables'), 'waiting', $2 FROM json_each($3)";

impl Store {
    /// Keeps a campaign, whole or not at all: under this idempotency key, where there is one. False when the key stands for another
    /// campaign since this moment: then nothing is kept.
    pub async fn add_campaign(
        &self,
        new: &NewCampaign,
        key: Option<(&CampaignKey, Stamp)>,
    ) -> Result<bool, StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            if let Some((key, since)) = key
                && !batch.set_campaign_key(key, since).await?
            {
                return Ok(false);
            }
            on!(Batch, &mut batch, rows => sqlx::query(
                "INSERT INTO campaigns (id, name, who, state, settings, columns, zones, created, standing)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(new.id)
            .bind(&new.name)
            .bind(&new.who)
            .bind(if new.paused { "paused" } else { "running" })
            .bind(Json(&new.settings))
            .bind(Json(&new.columns))
            .bind(Json(&new.zones))
            .bind(new.created)
            .bind(new.standing)
            .execute(&mut **rows)
            .await
            .map(drop))?;
            for some in new.rows.chunks(AT_ONCE) {
                match &mut batch {
                    Batch::Sqlite(rows) => {
                        let insert = sqlx::query(ROWS_IN_SQLITE).bind(new.id).bind(new.created).bind(Json(some));
                        insert.execute(&mut **rows).await?;
                    }
                    Batch::Postgres(rows) => {
                        let insert = sqlx::query(ROWS_IN_POSTGRES).bind(new.id).bind(new.created).bind(Json(some));
                        insert.execute(&mut **rows).await?;
                    }
                }
            }
            batch.commit().await?;
            Ok(true)
        };
        let written: Result<_, sqlx::Error> = write.await;
        written.map_err(|error| self.failed("keeping a campaign", error))
    }

    /// A page of campaigns, newest first: the `limit` before the campaign `before`, or the newest ones. `None` when there is none
    /// `before`.
    pub async fn campaigns(
        &self,
        before: Option<Key>,
        limit: u32,
    ) -> Result<Option<(Vec<CampaignRow>, Option<Key>)>, StoreError> {
        let failed = |error| self.failed("listing campaigns", error);
        let fetch = page::fetch(limit);
        let mut campaigns: Vec<CampaignRow> = match before {
            None => {
                on!(Pool, &self.pool, pool => sqlx::query_as(select!("ORDER BY created DESC, id DESC LIMIT $1"))
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?)
            }
            Some(key) => {
                let Some(CampaignRow { created, .. }) = self.campaign(key).await? else { return Ok(None) };
                on!(Pool, &self.pool, pool => sqlx::query_as(select!(
                    "WHERE (created, id) < ($1, $2) ORDER BY created DESC, id DESC LIMIT $3"
                ))
                .bind(created)
                .bind(key)
                .bind(fetch)
                .fetch_all(pool)
                .await
                .map_err(failed)?)
            }
        };
        let next = page::cut(&mut campaigns, limit, |campaign| campaign.id);
        Ok(Some((campaigns, next)))
    }

    /// One campaign.
    pub async fn campaign(&self, id: Key) -> Result<Option<CampaignRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE id = $1")).bind(id).fetch_optional(pool).await)
            .map_err(|error| self.failed("reading a campaign", error))
    }

    /// The one of this name that stands, and has not ended.
    pub async fn standing_campaign(&self, name: &str) -> Result<Option<CampaignRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE name = $1 AND standing AND ended IS NULL"))
            .bind(name)
            .fetch_optional(pool)
            .await)
        .map_err(|error| self.failed("looking for a campaign that stands", error))
    }

    /// Those that run, the oldest first.
    pub async fn running_campaigns(&self) -> Result<Vec<CampaignRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(select!("WHERE state = 'running' ORDER BY created, id"))
            .fetch_all(pool)
            .await)
        .map_err(|error| self.failed("looking for campaigns that run", error))
    }

    /// How many campaigns have not ended.
    pub async fn open_campaigns(&self) -> Result<usize, StoreError> {
        let open: i64 =
            on!(Pool, &self.pool, pool => sqlx::query_scalar("SELECT count(*) FROM campaigns WHERE ended IS NULL")
            .fetch_one(pool)
            .await)
            .map_err(|error| self.failed("counting campaigns", error))?;
        Ok(usize::try_from(open).unwrap_or(usize::MAX))
    }

    /// Pauses a campaign that runs, or has one run that is paused. False when it is neither of that.
    pub async fn pause_campaign(&self, id: Key, paused: bool) -> Result<bool, StoreError> {
        let (from, to) = if paused { ("running", "paused") } else { ("paused", "running") };
        on!(Pool, &self.pool, pool => sqlx::query("UPDATE campaigns SET state = $1 WHERE id = $2 AND state = $3")
            .bind(to)
            .bind(id)
            .bind(from)
            .execute(pool)
            .await
            .map(|done| done.rows_affected() == 1))
        .map_err(|error| self.failed("pausing a campaign", error))
    }

    /// Cancels what is left of a campaign; calls that are up go on. False when it has ended already.
    pub async fn cancel_campaign(&self, id: Key, at: Stamp) -> Result<bool, StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            let is_cancelled = on!(Batch, &mut batch, rows => {
                let ended = sqlx::query("UPDATE campaigns SET state = 'cancelled', ended = $1 WHERE id = $2 AND ended IS NULL")
                    .bind(at)
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                sqlx::query(
                    "UPDATE campaign_rows SET state = 'cancelled' WHERE campaign = $1 AND state = 'waiting'
                     AND EXISTS (SELECT 1 FROM campaigns WHERE id = $1 AND state = 'cancelled')",
                )
                .bind(id)
                .execute(&mut **rows)
                .await?;
                ended.rows_affected() == 1
            });
            batch.commit().await?;
            Ok(is_cancelled)
        };
        let cancelled: Result<_, sqlx::Error> = write.await;
        cancelled.map_err(|error| self.failed("cancelling a campaign", error))
    }

    /// Ends a campaign that runs and has nobody left to call, and notes down whom of `log` this node is to tell: both or neither.
    /// False while it has somebody left.
    pub async fn finish_campaign(
        &self,
        id: Key,
        at: Stamp,
        (node, log): (&str, &LogWriter),
    ) -> Result<bool, StoreError> {
        let failed = |error| self.failed("ending a campaign", error);
        // Most looks find somebody left: they shall not write.
        let left: Option<i32> = on!(Pool, &self.pool, pool => sqlx::query_scalar(
            "SELECT line FROM campaign_rows WHERE campaign = $1 AND state IN ('waiting', 'calling') LIMIT 1",
        )
        .bind(id)
        .fetch_optional(pool)
        .await)
        .map_err(failed)?;
        if left.is_some() {
            return Ok(false);
        }
        let write = async {
            let mut batch = self.begin().await?;
            let finished: Option<(String, String, Stamp)> = on!(Batch, &mut batch, rows => sqlx::query_as(
                "UPDATE campaigns SET state = 'finished', ended = $1 WHERE id = $2 AND state = 'running' AND NOT standing
                 AND NOT EXISTS (SELECT 1 FROM campaign_rows WHERE campaign = $2 AND state IN ('waiting', 'calling'))
                 RETURNING name, who, created",
            )
            .bind(at)
            .bind(id)
            .fetch_optional(&mut **rows)
            .await?);
            let Some((name, who, created)) = finished else { return Ok(false) };
            let counts = batch.campaign_counts(id).await?;
            let data = || json!({ "name": name, "who": who, "created": created, "counts": counts });
            for (key, delivery) in log.notices(About::Campaign(id), CallEvent::CampaignFinished, at, data) {
                batch.insert_delivery(node, key, &delivery).await?;
            }
            batch.commit().await?;
            Ok(true)
        };
        let finished: Result<_, sqlx::Error> = write.await;
        let is_finished = finished.map_err(failed)?;
        if is_finished {
            log.look_for_deliveries();
        }
        Ok(is_finished)
    }

    /// Deletes a campaign that has ended, with its list. False while it, or a call of its, has not.
    pub async fn delete_campaign(&self, id: Key) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "DELETE FROM campaigns WHERE id = $1 AND ended IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM campaign_rows WHERE campaign = $1 AND state = 'calling')",
        )
        .bind(id)
        .execute(pool)
        .await
        .map(|done| done.rows_affected() == 1))
        .map_err(|error| self.failed("deleting a campaign", error))
    }

    /// Deletes the campaigns that ended before this moment, with their lists; and of those that stand, the numbers that were over by then.
    pub async fn forget_campaigns(&self, before: Stamp) -> Result<(), StoreError> {
        let failed = |error| self.failed("deleting old campaigns", error);
        on!(Pool, &self.pool, pool => {
            sqlx::query(
                "DELETE FROM campaigns WHERE ended < $1
                 AND NOT EXISTS (SELECT 1 FROM campaign_rows WHERE campaign = campaigns.id AND state = 'calling')",
            )
            .bind(before)
            .execute(pool)
            .await
            .map_err(failed)?;
            sqlx::query(
                "DELETE FROM campaign_rows WHERE due < $1 AND state IN ('done', 'skipped', 'cancelled')
                 AND campaign IN (SELECT id FROM campaigns WHERE standing AND ended IS NULL)",
            )
            .bind(before)
            .execute(pool)
            .await
            .map_err(failed)?;
        });
        Ok(())
    }
}
