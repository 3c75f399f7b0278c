//! One call of a campaign, from the claim to what came of it and how its row goes on.

use std::time::Duration;

use tokio::{sync::oneshot, time::sleep};

use super::{Campaigns, Order, Outcome, Retries};
use crate::store::{Attempt, Claim, ClaimedRow, Key, LeftRow, RowEnd, Stamp, StoreError};

/// How long it waits before a database that is away is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the log may take to write the last rows of a call, and how often it is asked for them.
const WRITTEN: Duration = Duration::from_secs(1);
const ASKED: usize = 60;

impl Campaigns {
    /// Waits until a call is over, and ends its row.
    pub(super) async fn attend(self, retries: Retries, row: ClaimedRow, (call, over): (Key, oneshot::Receiver<()>)) {
        // Should it not be noted down, a crash leaves an attempt without its call.
        self.store.row_called(&row.claim, call).await.inspect_err(away).ok();
        // Dropped without a word, it is over, too.
        over.await.ok();
        let (outcome, detail) = self.came_of(call).await;
        let attempt = Attempt {
            call: Some(call),
            began: row.claim.begun,
            ended: Stamp::now(),
            outcome: outcome.as_str().into(),
            detail,
        };
        self.end(&row.claim, &end(&retries, outcome, (row.tried, attempt))).await;
        self.metrics.campaign_call(outcome);
    }

    /// Ends the row of a call that cannot be placed, and never will be.
    pub(super) async fn give_up(self, row: ClaimedRow, why: String) {
        let now = Stamp::now();
        let outcome = Outcome::Failed;
        let attempt = Attempt {
            call: None,
            began: row.claim.begun,
            ended: now,
            outcome: outcome.as_str().into(),
            detail: Some(why),
        };
        let mut tried = row.tried;
        tried.push(attempt);
        self.end(&row.claim, &RowEnd::Done(tried)).await;
        self.metrics.campaign_call(outcome);
    }

    /// Gives back the row of a call for which there was no room.
    pub(super) async fn release(self, row: ClaimedRow) {
        self.end(&row.claim, &RowEnd::Released(row.tried)).await;
    }

    /// Ends the row of a Milo that is gone, or of this one before it was stopped: by what the log says of the call, where it had
    /// its end written; else it was interrupted.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn end_left(&self, row: LeftRow) -> Result<(), StoreError> {
        let logged = match row.call {
            Some(call) => self.store.logged(call).await?,
            None => None,
        };
        let outcome = logged.as_ref().map_or(Outcome::Interrupted, Outcome::of);
        let now = Stamp::now();
        let attempt = Attempt {
            call: row.call,
            began: row.claim.begun,
            ended: now,
            outcome: outcome.as_str().into(),
            detail: (outcome == Outcome::Interrupted).then(|| "Milo was stopped during the call".into()),
        };
        let retries = serde_json::from_value(row.settings).map(|order: Order| order.retries).unwrap_or_else(|error| {
            tracing::error!(campaign.id = %row.claim.campaign, %error, "the settings of a campaign cannot be read");
            Retries::default()
        });
        let end = end(&retries, outcome, (row.tried, attempt));
        if self.store.end_claim(&row.claim, &end, now).await? {
            if matches!(end, RowEnd::Done(_)) {
                self.is_over(row.claim.campaign, row.claim.line).await;
            }
            tracing::warn!(
                campaign.id = %row.claim.campaign,
                line = row.claim.line,
                outcome = outcome.as_str(),
                "a call of a campaign was up when its Milo was stopped"
            );
            self.metrics.campaign_call(outcome);
        }
        Ok(())
    }

    /// What the log says of a call that is over, once that is in the database; one that is away is waited for.
    async fn came_of(&self, call: Key) -> (Outcome, Option<String>) {
        let mut asked = 0;
        while asked < ASKED {
            self.log.flush(WRITTEN).await;
            match self.store.logged(call).await {
                Ok(Some(logged)) => {
                    let outcome = Outcome::of(&logged);
                    let says_all = matches!(outcome, Outcome::Answered | Outcome::Machine);
                    return (outcome, logged.reason.filter(|_| !says_all));
                }
                Ok(None) => asked += 1,
                Err(error) => away(&error),
            }
            sleep(AGAIN).await;
        }
        (Outcome::Interrupted, Some("the log has no end of the call".into()))
    }

    /// Ends a row. A database that is away is waited for.
    async fn end(&self, claim: &Claim, end: &RowEnd) {
        loop {
            match self.store.end_claim(claim, end, Stamp::now()).await {
                Ok(true) => {
                    if matches!(end, RowEnd::Done(_)) {
                        self.is_over(claim.campaign, claim.line).await;
                    }
                    return;
                }
                Ok(false) => {
                    let (campaign, line) = (claim.campaign, claim.line);
                    tracing::warn!(campaign.id = %campaign, line, "a number of a campaign was taken over, or is gone");
                    return;
                }
                Err(error) => away(&error),
            }
            sleep(AGAIN).await;
        }
    }
}

/// How a row goes on after this call.
fn end(retries: &Retries, outcome: Outcome, (mut tried, last): (Vec<Attempt>, Attempt)) -> RowEnd {
    let now = last.ended;
    tried.push(last);
    match retries.due(outcome, &tried, now) {
        Some(due) => RowEnd::Again(tried, due),
        None => RowEnd::Done(tried),
    }
}

pub(super) fn away(error: &StoreError) {
    tracing::warn!(%error, "campaigns wait for the database");
}
