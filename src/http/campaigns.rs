//! `/api/v1/campaigns`: lists of numbers that Milo calls by itself.

use axum::{
    Json,
    extract::{
        DefaultBodyLimit, FromRequest, Multipart, Query, Request, State, multipart::MultipartError,
        rejection::QueryRejection,
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Call, May, Read},
    named::Named,
    paging::{List, page},
    place::idempotency_key,
    stt,
};
use crate::{
    campaign::{Order, Taken, Untaken},
    store::{CampaignCounts, CampaignRow, Key, Stamp},
};

/// The largest request, in bytes.
pub(super) const LARGEST: usize = 32 << 20;

/// An order whose list comes as a file, in the document: the parts are read as they come.
#[derive(utoipa::ToSchema)]
#[schema(as = CampaignUpload)]
#[expect(dead_code, reason = "nothing but the document's")]
struct Upload {
    /// The order as JSON, without its `list`.
    campaign: Order,
    /// The list: CSV.
    #[schema(value_type = String, format = Binary)]
    list: Vec<u8>,
}

/// A campaign that was taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CampaignAdded)]
struct Added {
    id: Key,
    /// How many numbers it has.
    #[schema(minimum = 0, example = 1)]
    total: usize,
}

/// A campaign, and how far it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Campaign)]
struct Shown {
    id: Key,
    /// What it is called.
    #[schema(example = "Reminders of December")]
    name: String,
    /// `running`, `paused`, `finished` or `cancelled`.
    #[schema(example = "running")]
    state: String,
    /// The name of the key that made it, or `API_KEY`, `this machine`.
    #[schema(example = "the web page")]
    who: String,
    created: Stamp,
    /// When it ended, however it did.
    ended: Option<Stamp>,
    /// As it was asked for, without the list.
    #[schema(value_type = Order)]
    settings: Value,
    /// The names of its variables.
    #[schema(example = json!(["day"]))]
    columns: Vec<String>,
    /// Why nobody is called now, where it runs, as the Milo that was asked saw it last.
    #[schema(example = "in Indian/Antananarivo sun 2026-11-29 10:00 is outside its hours")]
    waits: Option<String>,
    /// Not in the list of campaigns.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<CampaignCounts>,
}

/// One page of the list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CampaignPage)]
struct Page {
    /// Newest first.
    campaigns: Vec<Shown>,
    /// The cursor of the next page; none on the last.
    next: Option<Key>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(add))
        .routes(routes!(one))
        .routes(routes!(delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .layer(DefaultBodyLimit::max(LARGEST))
}

/// Have a list of numbers called
///
/// In JSON with the `list` in it, or as `multipart/form-data` with the list as a file. A list with a fault is not taken; what is
/// wrong is told by line and field. The same `Idempotency-Key` again is the same campaign.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns",
    operation_id = "add_campaign",
    tag = "campaigns",
    params(("idempotency-key" = Option<String>, Header, description = "A name for this order, so that sending it twice begins one campaign.", max_length = 255)),
    request_body(content((Order = "application/json"), (Upload = "multipart/form-data"))),
    security(("key" = ["calls"])),
    responses(
        (status = 201, description = "It is kept, and runs, unless it begins paused.", body = Added, headers(("location" = String, description = "Where it is shown."))),
        (status = 200, description = "This key was sent before, and this is its campaign.", body = Added, headers(("location" = String, description = "Where it is shown."))),
    ),
)]
async fn add(State(state): State<AppState>, may: May<Call>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let order = if kind.to_ascii_lowercase().starts_with("multipart/form-data") {
        let parts = Multipart::from_request(request, &()).await;
        uploaded(parts.map_err(|wrong| Problem::of_status(wrong.status(), wrong.body_text()))?).await?
    } else {
        stt::said(&stt::json_within(request, LARGEST, "make several campaigns").await?)?
    };
    let key = idempotency_key(&headers, order.idempotency_key.as_deref())?;
    let Taken { id, total, is_again } = state.campaigns.add(order, may.asker.name(), key.as_deref()).await?;
    if !is_again {
        state.log.done(may.asker.deed("campaigns.add", Some(id.to_string()), Some(format!("{total} numbers"))));
    }
    let location = format!("/api/v1/campaigns/{id}");
    let status = if is_again { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, [(header::LOCATION, location)], Json(Added { id, total })).into_response())
}

/// Parts: `campaign`, the order in JSON, and `list`.
async fn uploaded(mut parts: Multipart) -> Result<Order, Problem> {
    let broken = |wrong: MultipartError| Problem::of_status(wrong.status(), wrong.body_text());
    let (mut order, mut list) = (None, None);
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        match part.name().unwrap_or_default() {
            "campaign" => order = Some(stt::said::<Order>(&part.bytes().await.map_err(broken)?)?),
            "list" => {
                let bytes = part.bytes().await.map_err(broken)?;
                let text = String::from_utf8(bytes.to_vec());
                list = Some(text.map_err(|_| Problem::unprocessable("list: the file is no UTF-8"))?);
            }
            other => {
                let says = format!("there is a part named {other:?}; there are `campaign` and `list`");
                return Err(Problem::unprocessable(says));
            }
        }
    }
    let missing = |part: &str| Problem::unprocessable(format!("there is no part named `{part}`"));
    let list = list.ok_or_else(|| missing("list"))?;
    Ok(Order { list, ..order.ok_or_else(|| missing("campaign"))? })
}

/// Campaigns, newest first
#[utoipa::path(
    get,
    path = "/api/v1/campaigns",
    operation_id = "list_campaigns",
    tag = "campaigns",
    params(List),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of campaigns.", body = Page),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<List>, QueryRejection>,
) -> Result<Response, Problem> {
    let (cursor, limit) = page(query, "campaigns")?;
    let (rows, next) = state.store.campaigns(cursor, limit).await?.ok_or_else(|| {
        Problem::bad_request("the campaign that `cursor` points to is no longer there: begin anew without it")
    })?;
    let campaigns = rows.into_iter().map(|row| shown(&state, row, None)).collect();
    Ok(Json(Page { campaigns, next }).into_response())
}

/// A campaign, and how many of its numbers are how
#[utoipa::path(
    get,
    path = "/api/v1/campaigns/{id}",
    operation_id = "get_campaign",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier.")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "How far it is.", body = Shown),
        (status = 404, description = "there is no campaign with this identifier"),
    ),
)]
async fn one(State(state): State<AppState>, _: May<Read>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&state, &id).await?;
    whole(&state, row).await
}

/// Delete a campaign that has ended, with its list and results
#[utoipa::path(
    delete,
    path = "/api/v1/campaigns/{id}",
    operation_id = "delete_campaign",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier.")),
    security(("key" = ["calls"])),
    responses(
        (status = 204, description = "It is deleted."),
        (status = 404, description = "there is no campaign with this identifier"),
        (status = 409, description = "it, or a call of its, has not ended"),
    ),
)]
async fn delete(State(state): State<AppState>, may: May<Call>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&state, &id).await?;
    if !state.store.delete_campaign(row.id).await? {
        return Err(Problem::conflict(
            "the campaign, or a call of its, has not ended: cancel it, and wait for its calls",
        ));
    }
    state.log.done(may.asker.deed("campaigns.delete", Some(row.id.to_string()), None));
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Pause a campaign
///
/// Nobody more is called; calls that are up go on.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{id}/pause",
    operation_id = "pause_campaign",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier.")),
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "It is paused.", body = Shown),
        (status = 404, description = "there is no campaign with this identifier"),
        (status = 409, description = "it does not run"),
    ),
)]
async fn pause(State(state): State<AppState>, may: May<Call>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&state, &id).await?;
    if !state.campaigns.pause(row.id, true).await? {
        return Err(Problem::conflict(format!("the campaign does not run: it is {}", row.state)));
    }
    state.log.done(may.asker.deed("campaigns.pause", Some(row.id.to_string()), None));
    whole(&state, found(&state, &id).await?).await
}

/// Let a campaign that is paused go on
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{id}/resume",
    operation_id = "resume_campaign",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier.")),
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "It goes on.", body = Shown),
        (status = 404, description = "there is no campaign with this identifier"),
        (status = 409, description = "it is not paused"),
    ),
)]
async fn resume(State(state): State<AppState>, may: May<Call>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&state, &id).await?;
    if !state.campaigns.pause(row.id, false).await? {
        return Err(Problem::conflict(format!("the campaign is not paused: it is {}", row.state)));
    }
    state.log.done(may.asker.deed("campaigns.resume", Some(row.id.to_string()), None));
    whole(&state, found(&state, &id).await?).await
}

/// Cancel what is left of a campaign
///
/// Calls that are up go on; its results stay.
#[utoipa::path(
    post,
    path = "/api/v1/campaigns/{id}/cancel",
    operation_id = "cancel_campaign",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier.")),
    security(("key" = ["calls"])),
    responses(
        (status = 200, description = "It is cancelled.", body = Shown),
        (status = 404, description = "there is no campaign with this identifier"),
        (status = 409, description = "it has ended already"),
    ),
)]
async fn cancel(State(state): State<AppState>, may: May<Call>, Named(id): Named) -> Result<Response, Problem> {
    let row = found(&state, &id).await?;
    if !state.campaigns.cancel(row.id).await? {
        return Err(Problem::conflict(format!("the campaign has ended already: it is {}", row.state)));
    }
    state.log.done(may.asker.deed("campaigns.cancel", Some(row.id.to_string()), None));
    whole(&state, found(&state, &id).await?).await
}

/// The campaign that an address names.
pub(super) async fn found(state: &AppState, id: &str) -> Result<CampaignRow, Problem> {
    let missing = || Problem::not_found("there is no campaign with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    state.store.campaign(key).await?.ok_or_else(missing)
}

async fn whole(state: &AppState, row: CampaignRow) -> Result<Response, Problem> {
    let counts = state.store.campaign_counts(row.id).await?.into();
    Ok(Json(shown(state, row, Some(counts))).into_response())
}

fn shown(state: &AppState, row: CampaignRow, counts: Option<CampaignCounts>) -> Shown {
    let CampaignRow { id, name, who, state: how, settings, columns, zones: _, created, ended } = row;
    let waits = state.campaigns.waits(id).filter(|_| how == "running");
    Shown { id, name, state: how, who, created, ended, settings, columns, waits, counts }
}

impl From<Untaken> for Problem {
    fn from(why: Untaken) -> Self {
        match why {
            Untaken::Wrong(says) => Self::unprocessable(says),
            Untaken::Full(says) => Self::unavailable(says).after(60),
            Untaken::Store(error) => error.into(),
        }
    }
}
