//! The table `events`: what else happened in a call.

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use super::{Batch, Key, Stamp, Store, StoreError};

/// An event of the log, as the API shows it.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct EventRow {
    /// Counted from 1 within its call.
    pub number: i32,
    /// When.
    pub at: Stamp,
    /// What: a short name with dots for spaces, such as `digit` or `engine.failed`.
    #[schema(example = "digit")]
    pub kind: String,
    /// More about it.
    #[sqlx(json)]
    #[schema(example = json!({"digit": "5"}))]
    pub detail: Value,
}

impl Store {
    /// The events of a call, in order.
    pub async fn events(&self, call: Key) -> Result<Vec<EventRow>, StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query_as("SELECT number, at, kind, detail FROM events WHERE call = $1 ORDER BY number")
            .bind(call)
            .fetch_all(pool)
            .await)
        .map_err(|error| self.failed("reading events", error))
    }
}

impl Batch {
    /// Writes an event. Written twice, it stays as it is.
    pub(super) async fn insert_event(
        &mut self,
        call: Key,
        number: i32,
        at: Stamp,
        kind: &str,
        detail: &Value,
    ) -> Result<(), sqlx::Error> {
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO events (call, number, at, kind, detail) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(call)
        .bind(number)
        .bind(at)
        .bind(kind)
        .bind(Json(detail))
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}
