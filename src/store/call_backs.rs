//! Numbers of callers that a standing campaign is to call: added one by one, each once at a time.

use std::collections::BTreeMap;

use sqlx::types::Json;

use super::{Key, Stamp, Store, StoreError};

/// Somebody who is to be called back.
#[derive(Clone, Debug)]
pub struct NewCallBack {
    /// The number.
    pub called: String,
    /// The same in the form in which numbers are compared.
    pub target: String,
    /// The time zone in which the campaign's hours are for it.
    pub zone: String,
    /// What the plan is given.
    pub variables: BTreeMap<String, String>,
    /// Not before this moment.
    pub due: Stamp,
}

/// How many a standing campaign takes.
#[derive(Clone, Copy, Debug)]
pub struct CallBackBounds {
    /// Numbers that wait.
    pub waiting: i64,
    /// Wishes of one number that are called for, or were since this moment, by whichever campaign that stands.
    pub since: Stamp,
    /// So many.
    pub often: i64,
}

/// What came of adding one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallBackAdded {
    /// It is this line of the campaign's, one that waited for the same number perhaps: whoever asks again wants another moment.
    At(i32),
    /// The campaign does not run, or does not stand.
    NotRunning,
    /// The number is on the do-not-call list.
    Unwanted,
    /// As many wait as may.
    Full,
    /// The number was called back often enough.
    Often,
}

impl Store {
    /// Nobody is called at this line after all, unless a request that is open has it.
    pub async fn drop_call_back(&self, campaign: Key, line: i32) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE campaign_rows SET state = 'cancelled' WHERE campaign = $1 AND line = $2 AND state = 'waiting'
             AND NOT EXISTS (SELECT 1 FROM requests WHERE campaign = $1 AND line = $2 AND done IS NULL)",
        )
        .bind(campaign)
        .bind(line)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("taking a call back out of a campaign", error))
    }

    /// Adds a number to a standing campaign that runs.
    pub async fn add_call_back(
        &self,
        campaign: Key,
        new: &NewCallBack,
        bounds: CallBackBounds,
    ) -> Result<CallBackAdded, StoreError> {
        let write = async {
            let mut batch = self.begin().await?;
            let added = on!(Batch, &mut batch, rows => {
                // Nothing changes: it holds the campaign, so that no two get the same line.
                let held: Option<Json<Vec<String>>> = sqlx::query_scalar(
                    "UPDATE campaigns SET state = state WHERE id = $1 AND state = 'running' AND standing RETURNING columns",
                )
                .bind(campaign)
                .fetch_optional(&mut **rows)
                .await?;
                let Some(Json(mut columns)) = held else { return Ok(CallBackAdded::NotRunning) };
                let count = "SELECT count(*) FROM do_not_call WHERE target = $1";
                let unwanted: i64 = sqlx::query_scalar(count).bind(&new.target).fetch_one(&mut **rows).await?;
                if unwanted > 0 {
                    return Ok(CallBackAdded::Unwanted);
                }
                let often: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM campaign_rows AS one JOIN campaigns ON campaigns.id = one.campaign
                     WHERE one.target = $1 AND campaigns.standing
                     AND (one.state = 'calling' OR (one.state = 'done' AND one.due >= $2))",
                )
                .bind(&new.target)
                .bind(bounds.since)
                .fetch_one(&mut **rows)
                .await?;
                if often >= bounds.often {
                    return Ok(CallBackAdded::Often);
                }
                let columns_before = columns.len();
                columns.extend(new.variables.keys().filter(|name| !columns.contains(name)).cloned().collect::<Vec<_>>());
                if columns.len() > columns_before {
                    let update = sqlx::query("UPDATE campaigns SET columns = $1 WHERE id = $2");
                    update.bind(Json(&columns)).bind(campaign).execute(&mut **rows).await?;
                }
                let moved: Option<i32> = sqlx::query_scalar(
                    "UPDATE campaign_rows SET due = $1, called = $2, zone = $3, variables = $4
                     WHERE campaign = $5 AND target = $6 AND state = 'waiting' RETURNING line",
                )
                .bind(new.due)
                .bind(&new.called)
                .bind(&new.zone)
                .bind(Json(&new.variables))
                .bind(campaign)
                .bind(&new.target)
                .fetch_optional(&mut **rows)
                .await?;
                match moved {
                    Some(line) => CallBackAdded::At(line),
                    None => {
                        let (waiting, line): (i64, i32) = sqlx::query_as(
                            // No line is used again, as long as a request names it.
                            "SELECT count(CASE WHEN state = 'waiting' THEN 1 END), COALESCE(max(line), 1) + 1
                             FROM (SELECT line, state FROM campaign_rows WHERE campaign = $1
                                UNION ALL SELECT line, 'asked' FROM requests WHERE campaign = $1) AS one",
                        )
                        .bind(campaign)
                        .fetch_one(&mut **rows)
                        .await?;
                        if waiting >= bounds.waiting {
                            return Ok(CallBackAdded::Full);
                        }
                        sqlx::query(
                            "INSERT INTO campaign_rows (campaign, line, called, target, zone, variables, state, due)
                             VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7)",
                        )
                        .bind(campaign)
                        .bind(line)
                        .bind(&new.called)
                        .bind(&new.target)
                        .bind(&new.zone)
                        .bind(Json(&new.variables))
                        .bind(new.due)
                        .execute(&mut **rows)
                        .await?;
                        CallBackAdded::At(line)
                    }
                }
            });
            batch.commit().await?;
            Ok(added)
        };
        let added: Result<_, sqlx::Error> = write.await;
        added.map_err(|error| self.failed("adding a call back to a campaign", error))
    }
}
