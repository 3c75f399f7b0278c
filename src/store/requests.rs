//! The table `requests`: what callers want of the people of the house, messages and calls back.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::types::Json;

use super::{
    Attempt, Batch, CallLog, Key, LogWriter, Stamp, Store, StoreError,
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
    /// Milo calls back itself.
    #[serde(default)]
    pub back: Option<CallBack>,
}

/// A call back that Milo places itself: the line of a campaign, and when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBack {
    /// The campaign.
    pub campaign: Key,
    /// The line.
    pub line: i32,
    /// Not before this moment.
    pub due: Stamp,
}

/// The same, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    /// `open`; `calling`, where Milo calls back now; `done`; or `failed`, where it could not reach them and calls no more.
    #[schema(example = "open")]
    pub state: String,
    /// When Milo calls back, where it does; null: a person does, or nobody any more.
    pub due: Option<Stamp>,
    /// The call with which Milo called back, the last where there were several.
    #[serde(rename = "call_back_id")]
    pub back: Option<Key>,
    /// When somebody said that it is done, or they were called back; null: it is not.
    pub done: Option<Stamp>,
    /// The name of the key with which it was said; `Milo`, where it has called back.
    #[schema(example = "reception")]
    pub done_by: Option<String>,
}

/// The same, as it is read.
#[derive(sqlx::FromRow)]
struct Read {
    id: Key,
    call: Key,
    kind: String,
    telephone: Option<String>,
    wanted: Option<String>,
    text: Option<String>,
    at: Stamp,
    state: String,
    due: Option<Stamp>,
    up: Option<Key>,
    tried: Option<Json<Vec<Attempt>>>,
    done: Option<Stamp>,
    done_by: Option<String>,
}

impl From<Read> for RequestRow {
    fn from(read: Read) -> Self {
        let Read { id, call, kind, telephone, wanted, text, at, state, due, up, tried, done, done_by } = read;
        let tried = tried.and_then(|Json(tried)| tried.into_iter().rev().find_map(|attempt| attempt.call));
        Self { id, call, kind, telephone, wanted, text, at, state, due, back: up.or(tried), done, done_by }
    }
}

/// Requests with how far Milo is with them, as what `$rest` asks for. That it has called somebody back stands in `done`, as where a person
/// has; what it is about to do, and in vain has done, in the campaign's row alone, so that nothing can say otherwise.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT * FROM (
                SELECT one.id, one.call, one.kind, one.telephone, one.wanted, one.text, one.at,
                    one.campaign, one.line, listed.call AS up, listed.tried,
                    CASE WHEN one.done IS NOT NULL THEN 'done' WHEN listed.state = 'calling' THEN 'calling'
                        WHEN listed.state IN ('done', 'skipped') THEN 'failed' ELSE 'open' END AS state,
                    CASE WHEN listed.state = 'waiting' AND one.done IS NULL THEN listed.due END AS due, one.done, one.done_by
                FROM requests AS one
                LEFT JOIN campaign_rows AS listed ON listed.campaign = one.campaign AND listed.line = one.line
             ) AS request ",
            $rest
        )
    };
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
    /// `open`, which those that failed are too, `calling`, `done` or `failed`.
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
            let NewRequest { kind, telephone, wanted, text, back, .. } = &request;
            let due = back.map(|back| back.due);
            json!({ "request": id, "kind": kind, "telephone": telephone, "wanted": wanted, "text": text, "due": due })
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
        let read: Vec<Read> = on!(Pool, &self.pool, pool => sqlx::query_as(select!(
            "WHERE (at, id) < ($1, $2) AND ($4 IS NULL OR kind = $4) AND ($5 IS NULL OR call = $5)
                AND ($6 IS NULL OR state = $6 OR ($6 = 'open' AND state = 'failed'))
             ORDER BY at DESC, id DESC LIMIT $3"
        ))
        .bind(at)
        .bind(before.unwrap_or_default())
        .bind(page::fetch(limit))
        .bind(kind)
        .bind(call)
        .bind(state)
        .fetch_all(pool)
        .await)
        .map_err(failed)?;
        let mut requests: Vec<RequestRow> = read.into_iter().map(Into::into).collect();
        let next = page::cut(&mut requests, limit, |one| one.id);
        Ok(Some(RequestPage { requests, next }))
    }

    /// Those that this line of a campaign's calls back for.
    pub async fn requests_of(&self, campaign: Key, line: i32) -> Result<Vec<RequestRow>, StoreError> {
        let read: Vec<Read> = on!(Pool, &self.pool, pool => sqlx::query_as(select!(
            "WHERE campaign = $1 AND line = $2 ORDER BY at, id"
        ))
        .bind(campaign)
        .bind(line)
        .fetch_all(pool)
        .await)
        .map_err(|error| self.failed("reading whom a campaign calls back", error))?;
        Ok(read.into_iter().map(Into::into).collect())
    }

    /// Somebody says that a request is done, at a moment and by a name, or open again. The first who says so stays. Of what is done Milo
    /// calls nobody back, unless somebody else wished for the same call, or the same caller another time; what is opened again after Milo
    /// has called is a person's. `None`: there is no such request.
    pub async fn settle_request(&self, id: Key, done: Option<(Stamp, &str)>) -> Result<Option<RequestRow>, StoreError> {
        let (at, by) = done.unzip();
        let write = async {
            let mut batch = self.begin().await?;
            let read: Option<Read> = on!(Batch, &mut batch, rows => {
                // Nothing changes: it holds the campaign, so that no row begins to wait again of which this is the last request.
                sqlx::query("UPDATE campaigns SET state = state WHERE id = (SELECT campaign FROM requests WHERE id = $1)")
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                sqlx::query(
                    "UPDATE requests SET done_by = CASE WHEN done IS NULL OR $2 IS NULL THEN $3 ELSE done_by END,
                        done = CASE WHEN done IS NULL OR $2 IS NULL THEN $2 ELSE done END
                     WHERE id = $1",
                )
                .bind(id)
                .bind(at)
                .bind(by)
                .execute(&mut **rows)
                .await?;
                if done.is_some() {
                    sqlx::query(
                        "UPDATE campaign_rows SET state = 'cancelled' WHERE state = 'waiting'
                         AND EXISTS (SELECT 1 FROM requests
                            WHERE id = $1 AND requests.campaign = campaign_rows.campaign AND requests.line = campaign_rows.line)
                         AND NOT EXISTS (SELECT 1 FROM requests WHERE requests.campaign = campaign_rows.campaign
                            AND requests.line = campaign_rows.line AND requests.done IS NULL)",
                    )
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                } else {
                    sqlx::query(
                        "UPDATE requests SET campaign = NULL, line = NULL WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM campaign_rows
                         WHERE campaign = requests.campaign AND line = requests.line AND state IN ('waiting', 'calling'))",
                    )
                    .bind(id)
                    .execute(&mut **rows)
                    .await?;
                }
                sqlx::query_as(select!("WHERE id = $1")).bind(id).fetch_optional(&mut **rows).await?
            });
            batch.commit().await?;
            Ok(read.map(Into::into))
        };
        let written: Result<_, sqlx::Error> = write.await;
        written.map_err(|error| self.failed("settling a request", error))
    }
}

impl LogWriter {
    /// Milo has called back for this request, or calls no more.
    pub fn called_back(&self, request: &RequestRow) {
        let RequestRow { id, kind, telephone, state, back, .. } = request;
        self.tell(
            request.call,
            CallEvent::CalledBack,
            Stamp::now(),
            || json!({ "request": id, "kind": kind, "telephone": telephone, "state": state, "call_back": back }),
        );
    }
}

impl Batch {
    /// Writes a request of a call that is still in the log. Written twice, it stays as it is. Where the log was behind, Milo may have
    /// called back already.
    pub(super) async fn insert_request(&mut self, id: Key, call: Key, request: &NewRequest) -> Result<(), sqlx::Error> {
        let NewRequest { kind, telephone, wanted, text, at, back } = request;
        let (campaign, line) = back.map(|CallBack { campaign, line, .. }| (campaign, line)).unzip();
        on!(Batch, self, rows => sqlx::query(
            "INSERT INTO requests (id, call, kind, telephone, wanted, text, at, campaign, line, done, done_by)
             SELECT $1, calls.id, $3, $4, $5, $6, $7, $8, $9, answered.due, CASE WHEN answered.due IS NOT NULL THEN 'Milo' END
             FROM calls LEFT JOIN campaign_rows AS answered ON answered.campaign = $8 AND answered.line = $9
                AND answered.state = 'done' AND answered.outcome = 'answered'
             WHERE calls.id = $2 ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(call)
        .bind(kind)
        .bind(telephone)
        .bind(wanted)
        .bind(text)
        .bind(at)
        .bind(campaign)
        .bind(line)
        .execute(&mut **rows)
        .await
        .map(drop))
    }
}

/// Milliseconds of the last moment of the year 9999.
const LAST: i64 = 253_402_300_799_999;
