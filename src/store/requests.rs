//! The table `requests`: what callers want of the people of the house, messages and calls back.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Batch, CallLog, Key, Stamp, Store, StoreError,
    entry::Entry,
    page,
    writer::{LONGEST_NAME, LONGEST_TEXT, tidy},
};
use crate::config::CallEvent;

/// What a caller wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRequest {
    /// `message` or `call_back`.
    pub kind: String,
    /// The number at which they are to be reached, where one is known.
    pub telephone: Option<String>,
    /// When they want it, in their words.
    pub wanted: Option<String>,
    /// What it is about.
    pub text: Option<String>,
    /// When they said so.
    pub at: Stamp,
}

/// The same, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow, utoipa::ToSchema)]
#[schema(as = CallerRequest)]
pub struct RequestRow {
    /// Its identifier.
    pub id: Key,
    /// The call in which it was made.
    #[serde(rename = "call_id")]
    pub call: Key,
    /// `message` or `call_back`.
    #[schema(example = "call_back")]
    pub kind: String,
    /// The number at which they are to be reached, where one is known.
    #[schema(example = "+261341234567")]
    pub telephone: Option<String>,
    /// When they want it, in their words; a day is in figures.
    #[schema(example = "2026-12-01 maraina")]
    pub wanted: Option<String>,
    /// What it is about.
    #[schema(example = "Ny vidin'ny tapakila.")]
    pub text: Option<String>,
    /// When they said so.
    pub at: Stamp,
    /// When somebody said that it is done; null: it is open.
    pub done: Option<Stamp>,
    /// The name of the key with which it was said.
    #[schema(example = "reception")]
    pub done_by: Option<String>,
}

/// One page of the list.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CallerRequestPage)]
pub struct RequestPage {
    /// Newest first.
    pub requests: Vec<RequestRow>,
    /// The cursor of the next page; none on the last.
    pub next: Option<Key>,
}

/// Which requests are listed; what is left out is no matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestsWanted<'a> {
    /// `message` or `call_back`.
    pub kind: Option<&'a str>,
    /// `open` or `done`.
    pub state: Option<&'a str>,
    /// Those of this call.
    pub call: Option<Key>,
}

impl CallLog {
    /// The caller wants something of the people of the house. Returns its identifier.
    pub fn request(&self, mut request: NewRequest) -> Key {
        let id = Key::new();
        request.telephone.iter_mut().for_each(|number| tidy(number, LONGEST_NAME));
        request.wanted.iter_mut().chain(&mut request.text).for_each(|words| tidy(words, LONGEST_TEXT));
        let writer = self.writer();
        writer.tell(self.key(), CallEvent::Requested, request.at, || {
            let NewRequest { kind, telephone, wanted, text, .. } = &request;
            json!({ "request": id, "kind": kind, "telephone": telephone, "wanted": wanted, "text": text })
        });
        writer.put(Entry::Requested(id, self.key(), request));
        id
    }
}

impl Store {
    /// A page, newest first: the `limit` before the row `before`, or the newest ones. `None` when there is no row `before`.
    pub async fn requests(
        &self,
        RequestsWanted { kind, state, call }: RequestsWanted<'_>,
        before: Option<Key>,
        limit: u32,
    ) -> Result<Option<RequestPage>, StoreError> {
        let failed = |error| self.failed("listing requests", error);
        let at = match before {
            None => Stamp::from_millis(LAST),
            Some(key) => {
                let at: Option<(Stamp,)> = on!(Pool, &self.pool, pool => sqlx::query_as("SELECT at FROM requests WHERE id = $1")
                    .bind(key)
                    .fetch_optional(pool)
                    .await
                    .map_err(failed)?);
                let Some((at,)) = at else { return Ok(None) };
                at
            }
        };
        let mut requests: Vec<RequestRow> = on!(Pool, &self.pool, pool => sqlx::query_as(
            "SELECT id, call, kind, telephone, wanted, text, at, done, done_by FROM requests
             WHERE (at, id) < ($1, $2) AND ($4 IS NULL OR kind = $4) AND ($5 IS NULL OR call = $5)
                AND ($6 IS NULL OR (done IS NULL) = ($6 = 'open'))
             ORDER BY at DESC, id DESC LIMIT $3",
        )
        .bind(at)
        .bind(before.unwrap_or_default())
        .bind(page::fetch(limit))
        .bind(kind)
        .bind(call)
        .bind(state)
        .fetch_all(pool)
        .await)
        .map_err(failed)?;
        let next = page::cut(&mut requests, limit, |one| one.id);
        Ok(Some(RequestPage { requests, next }))
    }

    /// Somebody says that a request is done, at a moment and by a name, or open again. The first who says so stays. `None`: there is
    /// no such request.
    pub async fn settle_request(&self, id: Key, done: Option<(Stamp, &str)>) -> Result<Option<RequestRow>, StoreError> {
        let (at, by) = done.unzip();
        on!(Pool, &self.pool, pool => sqlx::query_as(
            "UPDATE requests SET done_by = CASE WHEN done IS NULL OR $2 IS NULL THEN $3 ELSE done_by END,
                done = CASE WHEN done IS NULL OR $2 IS NULL THEN $2 ELSE done END
             WHERE id = $1 RETURNING id, call, kind, telephone, wanted, text, at, done, done_by",
        )
        .bind(id)
        .bind(at)
        .bind(by)
        .fetch_optional(pool)
        .await)
        .map_err(|error| self.failed("settling a request", error))
    }
}

impl Batch {
    /// Writes a request of a call that is still in the log. Written twice, it stays as it is.
    pub(super) async fn insert_request(&mut self, id: Key, call: Key, request: &NewRequest) -> Result<(), sqlx::Error> {
        let NewRequest { kind, telephone, wanted, text, at } = request;
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO requests (id, call, kind, telephone, wanted, text, at)
             SELECT $1, id, $3, $4, $5, $6, $7 FROM calls WHERE id = $2 ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(call)
        .bind(kind)
        .bind(telephone)
        .bind(wanted)
        .bind(text)
        .bind(at)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}

/// Milliseconds of the last moment of the year 9999.
const LAST: i64 = 253_402_300_799_999;
