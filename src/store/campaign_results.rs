//! What came of the numbers of a campaign, as its results show them (the table `campaign_rows`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Attempt, Key, Store, StoreError};

/// A row, as results show it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = CampaignNumber)]
pub struct ResultRow {
    /// Where it stood in the list, counted from 1.
    #[schema(example = 2)]
    pub line: i32,
    /// The number, or address.
    #[serde(rename = "number")]
    #[schema(example = "0341234567")]
    pub called: String,
    /// The time zone in which its hours are.
    #[schema(example = "Indian/Antananarivo")]
    pub zone: String,
    /// What the plan is given.
    #[sqlx(json)]
    #[schema(example = json!({"day": "Talata"}))]
    pub variables: BTreeMap<String, String>,
    /// `waiting`, `calling`, `done`, `skipped` or `cancelled`.
    #[schema(example = "done")]
    pub state: String,
    /// What came of the last call.
    #[schema(example = "answered")]
    pub outcome: Option<String>,
    /// The calls that are over.
    #[sqlx(json)]
    pub tried: Vec<Attempt>,
}

/// Which rows are read; what is left out is no matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowsWanted<'a> {
    /// `waiting`, `calling`, `done`, `skipped` or `cancelled`.
    pub state: Option<&'a str>,
    /// What came of the last call.
    pub outcome: Option<&'a str>,
}

impl Store {
    /// Up to `limit` such rows of a campaign behind this line, in order.
    pub async fn result_rows(
        &self,
        campaign: Key,
        RowsWanted { state, outcome }: RowsWanted<'_>,
        behind: i32,
        limit: u32,
    ) -> Result<Vec<ResultRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT line, called, zone, variables, state, outcome, tried FROM campaign_rows
             WHERE campaign = $1 AND line > $2 AND ($4 IS NULL OR state = $4) AND ($5 IS NULL OR outcome = $5)
             ORDER BY line LIMIT $3",
        )
        .bind(campaign)
        .bind(behind)
        .bind(i64::from(limit))
        .bind(state)
        .bind(outcome)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading the results of a campaign", error))
    }
}
