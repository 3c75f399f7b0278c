//! The table `feedback`: what people think of calls and conversations by text.

use serde::Serialize;

use super::{Key, Stamp, Store, StoreError, page};

/// What somebody thinks, as it is written and as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Feedback {
    /// Its identifier.
    pub id: Key,
    /// The call it is about.
    #[serde(rename = "call_id")]
    pub call: Option<Key>,
    /// The conversation by text it is about.
    #[serde(rename = "session_id")]
    #[schema(example = "web-42")]
    pub session: Option<String>,
    /// The turn that is meant, counted from 1; none: the whole.
    #[schema(minimum = 1, example = 2)]
    pub turn: Option<i32>,
    /// 1, the worst, to 5.
    #[schema(minimum = 1, maximum = 5, example = 5)]
    pub rating: i16,
    /// `up` or `down`, where it was a thumb.
    #[schema(example = "up")]
    pub thumbs: Option<String>,
    /// In words.
    #[schema(example = "Valiny tsara.")]
    pub comment: Option<String>,
    /// When it came.
    pub at: Stamp,
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct FeedbackPage {
    /// Newest first.
    pub feedback: Vec<Feedback>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Columns in the order of [`Feedback`].
macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT id, call, session, turn, rating, thumbs, comment, at FROM feedback ", $rest)
    };
}

impl Store {
    /// Writes what somebody thinks.
    pub async fn write_feedback(&self, feedback: &Feedback) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query(
            "INSERT INTO feedback (id, call, session, turn, rating, thumbs, comment, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(feedback.id)
        .bind(feedback.call)
        .bind(&feedback.session)
        .bind(feedback.turn)
        .bind(feedback.rating)
        .bind(&feedback.thumbs)
        .bind(&feedback.comment)
        .bind(feedback.at)
        .execute(pool)
        .await
        .map(drop))
        .map_err(|error| self.failed("writing feedback", error))
    }

    /// A page, newest first, of one call or one session where they are named: the `limit` before the row `before`, or the newest
    /// ones. `None` when there is no row `before`.
    pub async fn feedback(
        &self,
        (call, session): (Option<Key>, Option<&str>),
        before: Option<Key>,
        limit: u32,
    ) -> Result<Option<FeedbackPage>, StoreError> {
        let failed = |error| self.failed("listing feedback", error);
        let at = match before {
            None => None,
            Some(key) => {
                let at: Option<(Stamp,)> = on!(Pool, &self.pool, pool => sqlx::query_as("SELECT at FROM feedback WHERE id = $1")
                    .bind(key)
                    .fetch_optional(pool)
                    .await
                    .map_err(failed)?);
                let Some((at,)) = at else { return Ok(None) };
                Some(at)
            }
        };
        // Without a row `before`, all are older than the last moment there is.
        let at = at.unwrap_or(Stamp::from_millis(LAST));
        let before = before.unwrap_or_default();
        let fetch = page::fetch(limit);
        let mut feedback: Vec<Feedback> = on!(Pool, &self.pool, pool => match (call, session) {
            (None, None) => {
                let query = sqlx::query_as(select!("WHERE (at, id) < ($1, $2) ORDER BY at DESC, id DESC LIMIT $3"));
                query.bind(at).bind(before).bind(fetch).fetch_all(pool).await
            }
            (Some(call), None) => {
                let query = sqlx::query_as(select!("WHERE (at, id) < ($1, $2) AND call = $4 ORDER BY at DESC, id DESC LIMIT $3"));
                query.bind(at).bind(before).bind(fetch).bind(call).fetch_all(pool).await
            }
            (None, Some(session)) => {
                let query = sqlx::query_as(select!("WHERE (at, id) < ($1, $2) AND session = $4 ORDER BY at DESC, id DESC LIMIT $3"));
                query.bind(at).bind(before).bind(fetch).bind(session).fetch_all(pool).await
            }
            (Some(call), Some(session)) => {
                let query = sqlx::query_as(
                    select!("WHERE (at, id) < ($1, $2) AND call = $4 AND session = $5 ORDER BY at DESC, id DESC LIMIT $3"),
                );
                query.bind(at).bind(before).bind(fetch).bind(call).bind(session).fetch_all(pool).await
            }
        })
        .map_err(failed)?;
        let next = page::cut(&mut feedback, limit, |one| one.id);
        Ok(Some(FeedbackPage { feedback, next }))
    }

    /// Deletes what was said of sessions before this moment; what was said of a call goes with it.
    pub async fn forget_feedback(&self, before: Stamp) -> Result<(), StoreError> {
        on!(Pool, &self.pool, pool => sqlx::query("DELETE FROM feedback WHERE call IS NULL AND at < $1")
            .bind(before)
            .execute(pool)
            .await
            .map(drop))
        .map_err(|error| self.failed("deleting old feedback", error))
    }
}

/// Milliseconds of the last moment of the year 9999.
const LAST: i64 = 253_402_300_799_999;
