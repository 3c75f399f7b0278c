//! How many numbers of a campaign are how.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Batch, Key, Store, StoreError};

/// How many of its numbers are so.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct CampaignCount {
    /// `waiting`, `calling`, `done`, `skipped` or `cancelled`.
    pub state: String,
    /// What came of the last call; none before the first.
    pub outcome: Option<String>,
    /// So many.
    pub count: i64,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CampaignCounts {
    /// How many numbers there are.
    pub total: i64,
    /// They wait for their first call.
    pub waiting: i64,
    /// They wait for another one.
    pub again: i64,
    /// They are called now.
    pub calling: i64,
    /// They are over.
    pub done: i64,
    /// They are on the do-not-call list.
    pub skipped: i64,
    /// It was cancelled before they were called, or called again.
    pub cancelled: i64,
    /// What came of the last call of those that are over.
    #[schema(example = json!({"answered": 12, "no_answer": 3}))]
    pub outcomes: BTreeMap<String, i64>,
}

impl From<Vec<CampaignCount>> for CampaignCounts {
    fn from(rows: Vec<CampaignCount>) -> Self {
        let mut counts = Self::default();
        for CampaignCount { state, outcome, count } in rows {
            counts.total += count;
            let place = match (state.as_str(), &outcome) {
                ("waiting", None) => &mut counts.waiting,
                ("waiting", Some(_)) => &mut counts.again,
                ("calling", _) => &mut counts.calling,
                ("skipped", _) => &mut counts.skipped,
                ("cancelled", _) => &mut counts.cancelled,
                _ => &mut counts.done,
            };
            *place += count;
            if let ("done", Some(outcome)) = (state.as_str(), outcome) {
                *counts.outcomes.entry(outcome).or_default() += count;
            }
        }
        counts
    }
}

const COUNTS: &str =
    "SELECT state, outcome, count(*) AS count FROM campaign_rows WHERE campaign = $1 GROUP BY state, outcome";

impl Store {
    /// How the numbers of a campaign are.
    pub async fn campaign_counts(&self, id: Key) -> Result<Vec<CampaignCount>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(COUNTS).bind(id).fetch_all(pool).await)
            .map_err(|error| self.failed("counting the numbers of a campaign", error))
    }
}

impl Batch {
    /// The same, within a transaction.
    pub(super) async fn campaign_counts(&mut self, id: Key) -> Result<CampaignCounts, sqlx::Error> {
        let rows: Vec<CampaignCount> =
            on!(Batch, self, rows => sqlx::query_as(COUNTS).bind(id).fetch_all(&mut **rows).await?);
        Ok(rows.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_counted_once_and_outcomes_are_of_those_that_are_over() {
        let row = |state: &str, outcome: Option<&str>, count| CampaignCount {
            state: state.into(),
            outcome: outcome.map(Into::into),
            count,
        };
        let counts = CampaignCounts::from(vec![
            row("waiting", None, 5),
            row("waiting", Some("busy"), 2),
            row("calling", None, 1),
            row("done", Some("answered"), 7),
            row("done", Some("busy"), 3),
            row("skipped", None, 4),
            row("cancelled", Some("busy"), 6),
        ]);
        assert_eq!((counts.total, counts.waiting, counts.again, counts.calling, counts.done), (28, 5, 2, 1, 10));
        assert_eq!((counts.skipped, counts.cancelled), (4, 6));
        assert_eq!(counts.outcomes, [("answered".to_owned(), 7), ("busy".to_owned(), 3)].into());
    }
}
