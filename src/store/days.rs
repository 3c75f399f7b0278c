//! The table `days`: what each trunk has carried out on each day, and what each account has called.

use serde::{Deserialize, Serialize};

use super::{Batch, Store, StoreError};

/// Whose day it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// The trunk's of this name.
    Trunk(String),
    /// The account's of this name.
    Account(String),
}

impl Whose {
    fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Trunk(name) => ("trunk", name),
            Self::Account(name) => ("account", name),
        }
    }
}

/// What was counted within a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayCount {
    /// The day, UTC: `2026-11-22`.
    pub day: String,
    /// Calls that began.
    pub calls: u64,
    /// Seconds of those that were answered and have ended.
    pub seconds: u64,
}

impl Store {
    /// What was counted on a day by this node.
    pub async fn day(&self, node: &str, whose: &Whose, day: &str) -> Result<DayCount, StoreError> {
        let (kind, name) = whose.columns();
        let row: Option<(i64, i64)> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT calls, seconds FROM days WHERE node = $1 AND kind = $2 AND name = $3 AND day = $4",
        )
        .bind(node)
        .bind(kind)
        .bind(name)
        .bind(day)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading what was counted on a day", error))?;
        let (calls, seconds) = row.unwrap_or_default();
        Ok(DayCount { day: day.into(), calls: calls.max(0).unsigned_abs(), seconds: seconds.max(0).unsigned_abs() })
    }
}

impl Batch {
    /// What was counted so far; written again, it is what was written last.
    pub(super) async fn set_day(&mut self, node: &str, whose: &Whose, so_far: &DayCount) -> Result<(), sqlx::Error> {
        let (kind, name) = whose.columns();
        let [calls, seconds] = [so_far.calls, so_far.seconds].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO days (node, kind, name, day, calls, seconds) VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (node, kind, name, day) DO UPDATE SET calls = excluded.calls, seconds = excluded.seconds",
        )
        .bind(node)
        .bind(kind)
        .bind(name)
        .bind(&so_far.day)
        .bind(calls)
        .bind(seconds)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
