//! `/api/v1/batch`: many texts or sounds in one request, done when nobody else waits.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    Problem,
    guard::{Asker, Converse, May, Sent},
    paging::{List, page},
    stt,
    text::Text,
};
use crate::{
    batch::{Kind, Sound, Task, Untaken},
    keys::Scope,
    store::{BatchItemRow, BatchRow, Key, Stamp},
};

/// A batch that is to be done.
#[derive(Debug, Deserialize)]
struct Wanted {
    kind: Kind,
    /// Texts, sounds in base64, or objects with the fields of the address that does one such thing.
    items: Vec<Value>,
    /// What the items do not say themselves.
    #[serde(flatten)]
    defaults: Map<String, Value>,
}

/// A batch and how far it is.
#[derive(Debug, Serialize)]
struct Shown {
    id: Key,
    kind: String,
    state: String,
    /// The name of the key whose it is.
    who: String,
    created: Stamp,
    started: Option<Stamp>,
    ended: Option<Stamp>,
    /// When it is forgotten.
    expires: Option<Stamp>,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ShownItem>>,
}

/// How many of the items are how.
#[derive(Debug, Serialize)]
struct Counts {
    total: i32,
    queued: i32,
    running: i32,
    done: i32,
    failed: i32,
    cancelled: i32,
}

/// An item and what came of it.
#[derive(Debug, Serialize)]
struct ShownItem {
    #[serde(flatten)]
    item: BatchItemRow,
    /// Where its sound is.
    #[serde(skip_serializing_if = "Option::is_none")]
    audio: Option<String>,
}

#[derive(Debug, Serialize)]
struct Page {
    batches: Vec<Shown>,
    next: Option<Key>,
}

pub(super) fn routes() -> Router<Text> {
    Router::new()
        .route("/api/v1/batch", get(list).post(add))
        .route("/api/v1/batch/{id}", get(one).delete(end))
        .route("/api/v1/batch/{id}/items/{number}/audio", get(audio))
}

/// The key to whose batches somebody is confined; none for those who may see all.
fn confined_to(asker: &Asker) -> Option<Key> {
    match &asker.key {
        Sent::Right(bearer) if !bearer.scopes.allow(Scope::Admin) => bearer.id,
        _ => None,
    }
}

async fn add(State(text): State<Text>, may: May<Converse>, request: Request) -> Result<Response, Problem> {
    let batch = text.batches.limits();
    let body: Bytes = stt::json_within(request, batch.body_mb << 20, "send several batches").await?;
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|wrong| Problem::unprocessable(format!("the body is not right: {wrong}")))?;
    drop(body);
    let Wanted { kind, items, defaults } = wanted;
    if items.len() > batch.items {
        return Err(Problem::unprocessable(format!(
            "the batch has {} items; {} are the most",
            items.len(),
            batch.items
        )));
    }
    let read = |(number, item)| {
        Task::read(kind, item, &defaults).map_err(|wrong| Problem::unprocessable(format!("items[{number}]: {wrong}")))
    };
    let tasks = items.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let whose = match &may.asker.key {
        Sent::Right(bearer) => (bearer.id, bearer.name.to_string()),
        _ => (None, "this machine".into()),
    };
    let added = text.batches.add(kind, tasks, whose).await?;
    let location = format!("/api/v1/batch/{}", added.id);
    let body = json!({ "id": added.id, "kind": kind, "state": "queued", "created": added.created,
        "counts": { "total": added.items.len(), "queued": added.items.len(), "running": 0, "done": 0, "failed": 0,
            "cancelled": 0 } });
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], fresh(body)).into_response())
}

async fn list(
    State(text): State<Text>,
    may: May<Converse>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "batches")?;
    let page = text.app.store.batches(confined_to(&may.asker), cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("the batch that `cursor` points to is no longer there: begin anew without it")
    })?;
    let keep_s = text.batches.limits().keep_s;
    let batches = page.batches.into_iter().map(|row| shown(row, keep_s, None)).collect();
    Ok(fresh(Page { batches, next: page.next }))
}

async fn one(State(text): State<Text>, may: May<Converse>, Path(id): Path<String>) -> Result<Response, Problem> {
    let row = found(&text, &may.asker, &id).await?;
    whole(&text, row).await
}

/// Cancels what is left of one; deletes one that has ended, with its results.
async fn end(State(text): State<Text>, may: May<Converse>, Path(id): Path<String>) -> Result<Response, Problem> {
    let row = found(&text, &may.asker, &id).await?;
    if row.ended.is_none() && text.batches.cancel(row.id).await? {
        let row = found(&text, &may.asker, &id).await?;
        return whole(&text, row).await;
    }
    text.batches.forget(row.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn audio(
    State(text): State<Text>,
    may: May<Converse>,
    Path((id, number)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let row = found(&text, &may.asker, &id).await?;
    let missing = || Problem::not_found("there is no sound of such an item of this batch (any more, or yet)");
    let number: usize = number.parse().map_err(|_| missing())?;
    if !text.batches.is_here(&row.node) {
        return Err(Problem::not_found("the sounds of this batch lie with the Milo that made them: ask that one"));
    }
    let (sound, bytes) = text.batches.sound(row.id, number).await.ok_or_else(missing)?;
    let kind = match sound {
        Sound::Wav => "audio/wav",
        Sound::Mp3 => "audio/mpeg",
        Sound::Ogg => "audio/ogg",
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], bytes).into_response())
}

/// A batch that this one may see.
async fn found(text: &Text, asker: &Asker, id: &str) -> Result<BatchRow, Problem> {
    let missing = || Problem::not_found("there is no batch with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    text.app.store.batch(key, confined_to(asker)).await?.ok_or_else(missing)
}

async fn whole(text: &Text, row: BatchRow) -> Result<Response, Problem> {
    let items = text.app.store.batch_items(row.id).await?;
    let (id, is_sound) = (row.id, row.kind == Kind::Tts.as_str());
    let shown_item = |item: BatchItemRow| {
        let number = item.number;
        let audio = (is_sound && item.result.is_some()).then(|| format!("/api/v1/batch/{id}/items/{number}/audio"));
        ShownItem { item, audio }
    };
    let items = items.into_iter().map(shown_item).collect();
    Ok(fresh(shown(row, text.batches.limits().keep_s, Some(items))))
}

fn shown(row: BatchRow, keep_s: u64, items: Option<Vec<ShownItem>>) -> Shown {
    let BatchRow { id, node: _, who, kind, state, total, running, done, failed, created, started, ended } = row;
    let left = total - done - failed;
    let (running, queued, cancelled) = if ended.is_some() { (0, 0, left) } else { (running, left - running, 0) };
    let kept = i64::try_from(keep_s).unwrap_or(i64::MAX).saturating_mul(1_000);
    let expires = ended.map(|ended| Stamp::from_millis(ended.millis().saturating_add(kept)));
    let counts = Counts { total, queued, running, done, failed, cancelled };
    Shown { id, kind, state, who, created, started, ended, expires, counts, items }
}

impl From<Untaken> for Problem {
    fn from(why: Untaken) -> Self {
        match why {
            Untaken::Wrong(says) => Self::unprocessable(says),
            Untaken::Full(says) => Self::unavailable(says).after(30),
            Untaken::Disk(ref error) => {
                tracing::error!(%error, "the sounds of a batch cannot be kept");
                Self::unavailable(why.to_string())
            }
            Untaken::Store(error) => error.into(),
        }
    }
}

/// What people say and write stays in no cache.
fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
