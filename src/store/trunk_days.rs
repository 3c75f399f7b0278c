//! The table `trunk_days`: what each trunk has carried out on each day.

use super::{Batch, Store, StoreError};

/// What a trunk has carried out within a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkDay {
    /// The day, UTC: `2026-11-22`.
    pub day: String,
    /// Calls that began.
    pub calls: u64,
    /// Seconds of those that were answered and have ended.
    pub seconds: u64,
}

impl Store {
    /// What this trunk of this node has carried out on a day.
    pub async fn trunk_day(&self, node: &str, trunk: &str, day: &str) -> Result<TrunkDay, StoreError> {
        let row: Option<(i64, i64)> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT calls, seconds FROM trunk_days WHERE node = $1 AND trunk = $2 AND day = $3",
        )
        .bind(node)
        .bind(trunk)
        .bind(day)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("reading what a trunk has carried", error))?;
        let (calls, seconds) = row.unwrap_or_default();
        Ok(TrunkDay { day: day.into(), calls: calls.max(0).unsigned_abs(), seconds: seconds.max(0).unsigned_abs() })
    }
}

impl Batch {
    /// What a trunk has carried so far; written again, it is what was written last.
    pub(super) async fn set_trunk_day(
        &mut self,
        node: &str,
        trunk: &str,
        so_far: &TrunkDay,
    ) -> Result<(), sqlx::Error> {
        let [calls, seconds] = [so_far.calls, so_far.seconds].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO trunk_days (node, trunk, day, calls, seconds) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (node, trunk, day) DO UPDATE SET calls = excluded.calls, seconds = excluded.seconds",
        )
        .bind(node)
        .bind(trunk)
        .bind(&so_far.day)
        .bind(calls)
        .bind(seconds)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
