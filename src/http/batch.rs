//! `/api/v1/batch`: many texts or sounds in one request, done when nobody else waits.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Bytes,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    guard::{Asker, Converse, May, Sent},
    named::Named,
    paging::{List, page},
    stt,
    text::Text,
};
use crate::{
    batch::{Kind, Sound, Task, Untaken},
    store::{BatchItemRow, BatchRow, Key, Stamp},
};

/// A batch that is to be done.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = BatchOrder, example = json!({"kind": "tts", "items": ["Tonga soa", {"text": "Veloma", "format": "ogg"}], "language": "mg"}))]
struct Wanted {
    kind: Kind,
    /// Texts, sounds in base64, or objects with the fields of the address that does one such thing.
    #[schema(value_type = Vec<Item>, min_items = 1)]
    items: Vec<Value>,
    /// What the items do not say themselves.
    #[serde(flatten)]
    defaults: Map<String, Value>,
}

/// One thing that is to be done, in the document: items are read one by one, so that what is wrong names its place.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = BatchItemOrder)]
#[expect(dead_code, reason = "nothing but the document's")]
enum Item {
    Alone(String),
    Whole(BTreeMap<String, Value>),
}

/// A batch that was taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BatchAdded)]
struct Added {
    id: Key,
    kind: Kind,
    #[schema(example = "queued")]
    state: &'static str,
    created: Stamp,
    counts: Counts,
}

/// A batch and how far it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Batch)]
struct Shown {
    id: Key,
    #[schema(value_type = Kind)]
    kind: String,
    /// `queued`, `running`, `done`, `failed` or `cancelled`.
    #[schema(example = "done")]
    state: String,
    /// The name of the key whose it is.
    #[schema(example = "the web page")]
    who: String,
    created: Stamp,
    started: Option<Stamp>,
    ended: Option<Stamp>,
    /// When it is forgotten.
    expires: Option<Stamp>,
    counts: Counts,
    /// In order; not in the list of batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Vec<ShownItem>>,
}

/// How many of the items are how.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = BatchCounts)]
struct Counts {
    total: i32,
    queued: i32,
    running: i32,
    done: i32,
    failed: i32,
    cancelled: i32,
}

/// An item and what came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BatchItem)]
struct ShownItem {
    #[serde(flatten)]
    item: BatchItemRow,
    /// Where its sound is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/api/v1/batch/0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01/items/0/audio")]
    audio: Option<String>,
}

/// One page of the list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = BatchPage)]
struct Page {
    /// Newest first.
    batches: Vec<Shown>,
    /// The cursor of the next page; none on the last.
    next: Option<Key>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(add))
        .routes(routes!(one))
        .routes(routes!(end))
        .routes(routes!(audio))
}

/// Do many things when nobody else waits
///
/// Translations, texts to be spoken or sounds to be transcribed; of these with `language`, `words` and `prompt`, as one alone. What
/// the items do not say themselves, fields beside `items` say for all.
#[utoipa::path(
    post,
    path = "/api/v1/batch",
    operation_id = "add_batch",
    tag = "text",
    request_body = Wanted,
    security(("key" = ["text"])),
    responses(
        (status = 202, description = "It is kept, and will be done.", body = Added, headers(("location" = String, description = "Where it is shown."))),
    ),
)]
async fn add(State(text): State<Text>, may: May<Converse>, request: Request) -> Result<Response, Problem> {
    let batch = text.batches.limits();
    let body: Bytes = stt::json_within(request, batch.body_mb << 20, "send several batches").await?;
    let wanted: Wanted = stt::said(&body)?;
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
    // Each item is a request; this one is counted already.
    let further = u32::try_from(tasks.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let counted = if further > 0 { text.app.pace.further(&may.asker, further).await } else { Ok(None) };
    let left = counted.inspect_err(|_| text.app.metrics.http_limited())?;
    let added = text.batches.add(kind, tasks, whose).await?;
    let location = format!("/api/v1/batch/{}", added.id);
    let total = i32::try_from(added.items.len()).unwrap_or(i32::MAX);
    let counts = Counts { total, queued: total, ..Counts::default() };
    let body = Added { id: added.id, kind, state: "queued", created: added.created, counts };
    let mut response = (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response();
    if let Some(left) = left {
        response.extensions_mut().insert(left);
    }
    Ok(response)
}

/// Batches, newest first
///
/// Those of the key that asks; with the scope `admin` all.
#[utoipa::path(
    get,
    path = "/api/v1/batch",
    operation_id = "list_batches",
    tag = "text",
    params(List),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "A page of batches.", body = Page),
    ),
)]
async fn list(
    State(text): State<Text>,
    may: May<Converse>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "batches")?;
    let page = text.app.store.batches(may.asker.confined_to(), cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("the batch that `cursor` points to is no longer there: begin anew without it")
    })?;
    let keep_s = text.batches.limits().keep_s;
    let batches = page.batches.into_iter().map(|row| shown(row, keep_s, None)).collect();
    Ok(Json(Page { batches, next: page.next }).into_response())
}

/// A batch with its items
#[utoipa::path(
    get,
    path = "/api/v1/batch/{id}",
    operation_id = "get_batch",
    tag = "text",
    params(("id" = Key, Path, description = "The batch's identifier.")),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "How far it is, and what came of each item.", body = Shown),
        (status = 404, description = "there is no batch with this identifier"),
    ),
)]
async fn one(State(text): State<Text>, may: May<Converse>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&text, &may.asker, &id).await?;
    whole(&text, row).await
}

/// Cancel a batch, or delete it
///
/// Cancels what is left of one; deletes one that has ended, with its results.
#[utoipa::path(
    delete,
    path = "/api/v1/batch/{id}",
    operation_id = "end_batch",
    tag = "text",
    params(("id" = Key, Path, description = "The batch's identifier.")),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "It is cancelled; what was done already is kept.", body = Shown),
        (status = 204, description = "It had ended, and is deleted."),
        (status = 404, description = "there is no batch with this identifier"),
    ),
)]
async fn end(State(text): State<Text>, may: May<Converse>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&text, &may.asker, &id).await?;
    if row.ended.is_none() && text.batches.cancel(row.id).await? {
        let row = found(&text, &may.asker, &id).await?;
        return whole(&text, row).await;
    }
    text.batches.forget(row.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The sound of an item
#[utoipa::path(
    get,
    path = "/api/v1/batch/{id}/items/{number}/audio",
    operation_id = "get_batch_audio",
    tag = "text",
    params(
        ("id" = Key, Path, description = "The batch's identifier."),
        ("number" = u32, Path, description = "The item's number, from 0.", example = "0"),
    ),
    security(("key" = ["text"])),
    responses(
        (status = 200, description = "The sound.", content((Vec<u8> = "audio/wav"), (Vec<u8> = "audio/mpeg"), (Vec<u8> = "audio/ogg"))),
        (status = 404, description = "there is no sound of such an item of this batch (any more, or yet)"),
    ),
)]
async fn audio(
    State(text): State<Text>,
    may: May<Converse>,
    Named((id, number)): Named<(String, String)>,
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
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// A batch that this one may see.
async fn found(text: &Text, asker: &Asker, id: &str) -> Result<BatchRow, Problem> {
    let missing = || Problem::not_found("there is no batch with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    text.app.store.batch(key, asker.confined_to()).await?.ok_or_else(missing)
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
    Ok(Json(shown(row, text.batches.limits().keep_s, Some(items))).into_response())
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
