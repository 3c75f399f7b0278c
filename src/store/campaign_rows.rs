//! The table `campaign_rows`: the numbers of campaigns, which Milo calls which, and what came of it.
//!
//! A row is claimed by one Milo before it is called: the claim holds until its lease ends, and nobody else calls the row, nor
//! another row of the same number, until it is ended. A Milo that is gone lets its leases run out, and another ends its rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;

use super::{Key, Stamp, Store, StoreError, calls::CUT_OFF};
use crate::call::SHUT_DOWN;

/// Numbers of the do-not-call list that one claim passes over; those behind them wait for the next.
const SKIPPED: usize = 100;
/// Rows of Milos that are gone which are read at once.
const LEFT: i64 = 100;

/// A call of a campaign that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = CampaignAttempt)]
pub struct Attempt {
    /// The call's identifier; none where Milo was stopped, or the call refused, before it had one.
    pub call: Option<Key>,
    /// When it was about to be placed.
    pub began: Stamp,
    /// When it was over.
    pub ended: Stamp,
    /// What came of it.
    #[schema(example = "busy")]
    pub outcome: String,
    /// Why, where the outcome does not say it.
    #[schema(example = "busy: 486")]
    pub detail: Option<String>,
}

/// Who calls a row: the Milo, and which of its calls this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The campaign.
    pub campaign: Key,
    /// The row.
    pub line: i32,
    /// The Milo.
    pub node: String,
    /// Counted from 1.
    pub attempt: i32,
    /// Since when it is claimed. What was given back is claimed anew with the same attempt: this tells them apart.
    pub begun: Stamp,
}

/// A row that is to be called.
#[derive(Clone, Debug)]
pub struct ClaimedRow {
    /// Who calls it.
    pub claim: Claim,
    /// The number, or address.
    pub called: String,
    /// What the plan is given.
    pub variables: BTreeMap<String, String>,
    /// The calls before this one.
    pub tried: Vec<Attempt>,
}

/// What came of looking for a row to call.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// One that is to be called.
    pub row: Option<ClaimedRow>,
    /// Lines that were passed over for good: their numbers are on the do-not-call list.
    pub skipped: Vec<i32>,
}

/// A row whose Milo is gone.
#[derive(Clone, Debug)]
pub struct LeftRow {
    /// Who called it.
    pub claim: Claim,
    /// The call, where it had begun.
    pub call: Option<Key>,
    /// The calls before this one.
    pub tried: Vec<Attempt>,
    /// Those of its campaign.
    pub settings: Value,
}

/// How a row goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowEnd {
    /// It is over, after these calls.
    Done(Vec<Attempt>),
    /// It is called again from this moment on, after these calls.
    Again(Vec<Attempt>, Stamp),
    /// It was not called after all, and waits as before.
    Released(Vec<Attempt>),
}

/// What the log says of a call that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Logged {
    /// `answered`, `busy`, `no answer`, `refused`, `failed` or `cancelled`.
    pub outcome: Option<String>,
    /// Why it ended.
    pub reason: Option<String>,
    /// Milo was stopped during the call, at once or in order.
    pub is_cut_off: bool,
    /// The last event `answered_by`: who, or what, came to the telephone.
    pub answered_by: Option<Value>,
}

#[derive(sqlx::FromRow)]
struct Candidate {
    line: i32,
    called: String,
    target: String,
    #[sqlx(json)]
    variables: BTreeMap<String, String>,
    attempts: i32,
    #[sqlx(json)]
    tried: Vec<Attempt>,
}

/// The row that is due first and of a number that nobody calls now.
const NEXT: &str = "SELECT line, called, target, variables, attempts, tried FROM campaign_rows AS one
     WHERE campaign = $1 AND zone = $2 AND state = 'waiting' AND due <= $3
     AND NOT EXISTS (SELECT 1 FROM campaign_rows AS other WHERE other.target = one.target AND other.state = 'calling')
     ORDER BY due, line LIMIT 1";

impl Store {
    /// Claims the next row of a campaign in this time zone that is due, unless as many as `at_once` of it are called already. Rows whose
    /// number is on the do-not-call list are passed over for good.
    pub async fn claim_row(
        &self,
        campaign: Key,
        (zone, at_once): (&str, u32),
        (node, now, lease): (&str, Stamp, Stamp),
    ) -> Result<Claimed, StoreError> {
        let failed = |error| self.failed("claiming a number of a campaign", error);
        // Most looks find nothing: they shall not write.
        let due: Option<Candidate> = on!(Pool, &self.pool, pool => sqlx::query_as(NEXT)
            .bind(campaign)
            .bind(zone)
            .bind(now)
            .fetch_optional(pool)
            .await
            .map_err(failed)?);
        if due.is_none() {
            return Ok(Claimed::default());
        }
        let write = async {
            let mut batch = self.begin().await?;
            let (claimed, skipped): (Option<Candidate>, _) = on!(Batch, &mut batch, rows => {
                // Nothing changes: it holds the campaign, so that two Milos do not both count what is called now.
                let held = sqlx::query("UPDATE campaigns SET state = state WHERE id = $1 AND state = 'running'")
                    .bind(campaign)
                    .execute(&mut **rows)
                    .await?;
                let calling: i64 =
                    sqlx::query_scalar("SELECT count(*) FROM campaign_rows WHERE campaign = $1 AND state = 'calling'")
                        .bind(campaign)
                        .fetch_one(&mut **rows)
                        .await?;
                let (mut claimed, mut skipped) = (None, Vec::new());
                let left = if held.rows_affected() == 1 && calling < i64::from(at_once) { SKIPPED } else { 0 };
                for _ in 0..left {
                    let next: Option<Candidate> =
                        sqlx::query_as(NEXT).bind(campaign).bind(zone).bind(now).fetch_optional(&mut **rows).await?;
                    let Some(next) = next else { break };
                    let unwanted: i64 = sqlx::query_scalar("SELECT count(*) FROM do_not_call WHERE target = $1")
                        .bind(&next.target)
                        .fetch_one(&mut **rows)
                        .await?;
                    if unwanted > 0 {
                        let skip = "UPDATE campaign_rows SET state = 'skipped' WHERE campaign = $1 AND line = $2 AND state = 'waiting'";
                        let written = sqlx::query(skip).bind(campaign).bind(next.line).execute(&mut **rows).await?;
                        skipped.extend((written.rows_affected() == 1).then_some(next.line));
                        continue;
                    }
                    let written = sqlx::query(
                        "UPDATE campaign_rows SET state = 'calling', attempts = attempts + 1, call = NULL, begun = $1, node = $2, lease = $3
                         WHERE campaign = $4 AND line = $5 AND state = 'waiting'",
                    )
                    .bind(now)
                    .bind(node)
                    .bind(lease)
                    .bind(campaign)
                    .bind(next.line)
                    .execute(&mut **rows)
                    .await?;
                    // Since it was read its number may have been forgotten, or somebody may have done what it was to be called for.
                    if written.rows_affected() == 1 {
                        claimed = Some(next);
                        break;
                    }
                }
                (claimed, skipped)
            });
            batch.commit().await?;
            Ok((claimed, skipped))
        };
        let claimed: Result<_, sqlx::Error> = write.await;
        let (claimed, skipped) = match claimed {
            // Another Milo has begun to call the same number for another campaign: later.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => (None, Vec::new()),
            claimed => claimed.map_err(failed)?,
        };
        let row = claimed.map(|next| {
            let Candidate { line, called, variables, attempts, tried, .. } = next;
            let claim = Claim { campaign, line, node: node.to_owned(), attempt: attempts + 1, begun: now };
            ClaimedRow { claim, called, variables, tried }
        });
        Ok(Claimed { row, skipped })
    }

    /// The call of a claimed row has begun.
    pub async fn row_called(&self, claim: &Claim, call: Key) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE campaign_rows SET call = $1
             WHERE campaign = $2 AND line = $3 AND state = 'calling' AND node = $4 AND attempts = $5 AND begun = $6",
        )
        .bind(call)
        .bind(claim.campaign)
        .bind(claim.line)
        .bind(&claim.node)
        .bind(claim.attempt)
        .bind(claim.begun)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("noting down a call of a campaign", error))
    }

    /// A claim holds until this moment. False when it holds no more.
    pub async fn renew_claim(&self, claim: &Claim, lease: Stamp) -> Result<bool, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "UPDATE campaign_rows SET lease = $1
             WHERE campaign = $2 AND line = $3 AND state = 'calling' AND node = $4 AND attempts = $5 AND begun = $6",
        )
        .bind(lease)
        .bind(claim.campaign)
        .bind(claim.line)
        .bind(&claim.node)
        .bind(claim.attempt)
        .bind(claim.begun)
        .execute(pool)
        .await
        .map(|done| done.rows_affected() == 1))
        .map_err(|error| self.failed("holding a number of a campaign", error))
    }

    /// Ends a claim. Of a campaign that was cancelled meanwhile no row waits again, nor one whose requests somebody has all done; and the
    /// requests of one that was answered are done by Milo. False when the claim holds no more: told twice, it counts once.
    pub async fn end_claim(&self, claim: &Claim, end: &RowEnd, now: Stamp) -> Result<bool, StoreError> {
        let (state, tried, due) = match end {
            RowEnd::Done(tried) => ("done", tried, now),
            RowEnd::Again(tried, due) => ("waiting", tried, *due),
            RowEnd::Released(tried) => ("waiting", tried, now),
        };
        let attempts = i32::try_from(tried.len()).unwrap_or(i32::MAX);
        let outcome = tried.last().map(|attempt| attempt.outcome.as_str());
        let write = async {
            let mut batch = self.begin().await?;
            let is_ended = on!(Batch, &mut batch, rows => {
                // It holds the campaign: whoever cancels it does so before or after this.
                let campaign: Option<String> =
                    sqlx::query_scalar("UPDATE campaigns SET state = state WHERE id = $1 RETURNING state")
                        .bind(claim.campaign)
                        .fetch_optional(&mut **rows)
                        .await?;
                let (asked, left): (i64, i64) = sqlx::query_as(
                    "SELECT count(*), count(CASE WHEN done IS NULL THEN 1 END) FROM requests WHERE campaign = $1 AND line = $2",
                )
                .bind(claim.campaign)
                .bind(claim.line)
                .fetch_one(&mut **rows)
                .await?;
                let nobody_waits = campaign.as_deref() == Some("cancelled") || (asked > 0 && left == 0);
                let is_over = nobody_waits && state == "waiting";
                let is_ended = sqlx::query(
                    "UPDATE campaign_rows SET state = $1, attempts = $2, due = $3, outcome = $4, tried = $5, call = NULL, begun = NULL,
                     node = NULL, lease = NULL
                     WHERE campaign = $6 AND line = $7 AND state = 'calling' AND node = $8 AND attempts = $9
                     AND begun = $10",
                )
                .bind(if is_over { "cancelled" } else { state })
                .bind(attempts)
                .bind(due)
                .bind(outcome)
                .bind(Json(tried))
                .bind(claim.campaign)
                .bind(claim.line)
                .bind(&claim.node)
                .bind(claim.attempt)
                .bind(claim.begun)
                .execute(&mut **rows)
                .await?
                .rows_affected()
                    == 1;
                if is_ended && state == "done" && outcome == Some("answered") {
                    // The row may go with its campaign: what was done stays so.
                    sqlx::query(
                        "UPDATE requests SET done = $1, done_by = 'Milo' WHERE campaign = $2 AND line = $3 AND done IS NULL",
                    )
                    .bind(due)
                    .bind(claim.campaign)
                    .bind(claim.line)
                    .execute(&mut **rows)
                    .await?;
                }
                is_ended
            });
            batch.commit().await?;
            Ok(is_ended)
        };
        let ended: Result<_, sqlx::Error> = write.await;
        ended.map_err(|error| self.failed("noting down what came of a call of a campaign", error))
    }

    /// Some of the rows whose lease has run out by this moment, and of those that this node held when it was stopped,
    /// where it is named.
    pub async fn left_rows(&self, now: Stamp, node: Option<&str>) -> Result<Vec<LeftRow>, StoreError> {
        type Left = (Key, i32, i32, Option<String>, Option<Key>, Option<Stamp>, Json<Vec<Attempt>>, Json<Value>);
        let left: Vec<Left> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT one.campaign, one.line, one.attempts, one.node, one.call, one.begun, one.tried, campaigns.settings
             FROM campaign_rows AS one JOIN campaigns ON campaigns.id = one.campaign
             WHERE one.state = 'calling' AND (one.lease < $1 OR one.node = $2) LIMIT $3",
        )
        .bind(now)
        .bind(node)
        .bind(LEFT)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("looking for calls of campaigns that nobody ended", error))?;
        let row = |(campaign, line, attempt, node, call, begun, Json(tried), Json(settings)): Left| {
            let begun = begun.unwrap_or(now);
            let claim = Claim { campaign, line, node: node.unwrap_or_default(), attempt, begun };
            LeftRow { claim, call, tried, settings }
        };
        Ok(left.into_iter().map(row).collect())
    }

    /// What the log says of a call; `None` while it is up, or not in the log.
    pub async fn logged(&self, call: Key) -> Result<Option<Logged>, StoreError> {
        type Said = (Option<String>, Option<String>, Option<Json<Value>>);
        let said: Option<Said> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT outcome, end_reason,
                 (SELECT detail FROM events WHERE events.call = calls.id AND kind = 'answered_by' ORDER BY number DESC LIMIT 1)
             FROM calls WHERE id = $1 AND ended IS NOT NULL",
        )
        .bind(call)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading what came of a call", error))?;
        Ok(said.map(|(outcome, reason, answered_by)| Logged {
            is_cut_off: reason.as_deref().is_some_and(|reason| [CUT_OFF, SHUT_DOWN].contains(&reason)),
            answered_by: answered_by.map(|Json(detail)| detail),
            outcome,
            reason,
        }))
    }
}
