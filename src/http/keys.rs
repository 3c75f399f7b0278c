//! `/api/v1/keys`: making, rotating and revoking keys.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, May},
    named::Named,
};
use crate::{
    keys::{KeyError, NewKey, Scope, Scopes, Tier},
    store::{ApiKeyRow, Key, Stamp},
};

/// For how long a rotated key is taken beside the new one, in seconds: when nobody says so, and at most.
const OVERLAP_S: (u32, u32) = (86_400, 2_592_000);

/// A key as it is shown: without the key.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ApiKey)]
struct Shown {
    id: Key,
    #[schema(example = "the web page")]
    name: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<String>,
    #[schema(value_type = Tier)]
    tier: String,
    /// `active`, `expired` or `revoked`.
    #[schema(example = "active")]
    state: &'static str,
    created_at: Stamp,
    expires_at: Option<Stamp>,
    revoked_at: Option<Stamp>,
    last_used_at: Option<Stamp>,
    /// Until when the key before the last rotation is taken.
    old_until: Option<Stamp>,
}

impl From<ApiKeyRow> for Shown {
    fn from(row: ApiKeyRow) -> Self {
        let now = Stamp::now();
        let is_over = |at: Option<Stamp>| at.is_some_and(|at| at <= now);
        Self {
            state: match () {
                () if row.revoked.is_some() => "revoked",
                () if is_over(row.expires) => "expired",
                () => "active",
            },
            id: row.id,
            name: row.name,
            scopes: row.scopes.split(' ').map(Into::into).collect(),
            tier: row.tier,
            created_at: row.created,
            expires_at: row.expires,
            revoked_at: row.revoked,
            last_used_at: row.used,
            old_until: row.old_until.filter(|at| *at > now),
        }
    }
}

/// A key that was made: the one time that it is shown.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ApiKeyMade)]
struct Made {
    #[schema(example = "milo_4fE0cW2q9sJvYb7hTz")]
    key: String,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ApiKeys)]
struct List {
    keys: Vec<Shown>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ApiKeyOrder, example = json!({"name": "the web page", "scopes": ["text", "read"], "tier": "free"}))]
struct Wanted {
    #[schema(min_length = 1)]
    name: String,
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    #[serde(default = "free")]
    tier: Tier,
    /// RFC 3339.
    #[schema(format = "date-time")]
    expires_at: Option<String>,
}

fn free() -> Tier {
    Tier::Free
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"overlap_s": 3600}))]
struct Rotation {
    #[schema(maximum = 2592000)]
    overlap_s: Option<u32>,
}

/// What a rotation gives: the one time that it is shown.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Rotated {
    id: Key,
    #[schema(example = "milo_4fE0cW2q9sJvYb7hTz")]
    key: String,
    old_until: Stamp,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(create))
        .routes(routes!(rotate))
        .routes(routes!(revoke))
}

/// All keys
///
/// Without what opens: only its hash is kept.
#[utoipa::path(
    get,
    path = "/api/v1/keys",
    operation_id = "list_keys",
    tag = "administration",
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "Each key.", body = List),
    ),
)]
async fn list(State(state): State<AppState>, _: May<Administer>) -> Result<Response, Problem> {
    let keys = state.keys.list().await?.into_iter().map(Into::into).collect();
    Ok(Json(List { keys }).into_response())
}

/// Make a key
///
/// The key itself is shown this once.
#[utoipa::path(
    post,
    path = "/api/v1/keys",
    operation_id = "create_key",
    tag = "administration",
    request_body = Wanted,
    security(("key" = ["admin"])),
    responses(
        (status = 201, description = "The key.", body = Made, headers(("location" = String, description = "Where the key is revoked."))),
    ),
)]
async fn create(
    State(state): State<AppState>,
    may: May<Administer>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Wanted { name, scopes, tier, expires_at }) = body?;
    let scopes = Scopes::of(scopes).map_err(Problem::unprocessable)?;
    let expires = expires_at.as_deref().map(moment).transpose()?;
    let (row, secret) = state.keys.create(NewKey { name, scopes, tier, expires }, Stamp::now()).await?;
    let detail = format!("{:?}, {}, {}", row.name, row.scopes, row.tier);
    state.log.done(may.asker.deed("keys.create", Some(row.id.to_string()), Some(detail)));
    let location = format!("/api/v1/keys/{}", row.id);
    let made = Made { key: secret.reveal().into(), shown: row.into() };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)).into_response())
}

/// Replace a key
///
/// The one before is taken for `overlap_s` more seconds, a day when nothing is said.
#[utoipa::path(
    post,
    path = "/api/v1/keys/{id}/rotate",
    operation_id = "rotate_key",
    tag = "administration",
    params(("id" = Key, Path, description = "The key's identifier.")),
    request_body = Option<Rotation>,
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "The new key.", body = Rotated),
        (status = 404, description = "there is no key with this identifier in force"),
    ),
)]
async fn rotate(
    State(state): State<AppState>,
    may: May<Administer>,
    Named(id): Named,
    body: Result<Option<Json<Rotation>>, JsonRejection>,
) -> Result<Response, Problem> {
    let overlap = body?.map(|Json(rotation)| rotation).unwrap_or_default().overlap_s.unwrap_or(OVERLAP_S.0);
    if overlap > OVERLAP_S.1 {
        return Err(Problem::unprocessable(format!("overlap_s = {overlap} is not within 0 to {}", OVERLAP_S.1)));
    }
    let id: Key = id.parse().map_err(|_| missing())?;
    let old_until = Stamp::from_millis(Stamp::now().millis() + i64::from(overlap) * 1_000);
    let secret = state.keys.rotate(id, old_until).await?.ok_or_else(missing)?;
    state.log.done(may.asker.deed("keys.rotate", Some(id.to_string()), Some(format!("both until {old_until}"))));
    Ok(Json(Rotated { id, key: secret.reveal().into(), old_until }).into_response())
}

/// Revoke a key
///
/// At once, on every node.
#[utoipa::path(
    delete,
    path = "/api/v1/keys/{id}",
    operation_id = "revoke_key",
    tag = "administration",
    params(("id" = Key, Path, description = "The key's identifier.")),
    security(("key" = ["admin"])),
    responses(
        (status = 204, description = "It opens nothing any more."),
        (status = 404, description = "there is no key with this identifier in force"),
    ),
)]
async fn revoke(State(state): State<AppState>, may: May<Administer>, Named(id): Named) -> Result<StatusCode, Problem> {
    let id: Key = id.parse().map_err(|_| missing())?;
    if !state.keys.revoke(id, Stamp::now()).await? {
        return Err(missing());
    }
    state.log.done(may.asker.deed("keys.delete", Some(id.to_string()), None));
    Ok(StatusCode::NO_CONTENT)
}

fn missing() -> Problem {
    Problem::not_found("there is no key with this identifier in force")
}

fn moment(text: &str) -> Result<Stamp, Problem> {
    text.parse()
        .map_err(|_| Problem::unprocessable("`expires_at` is no moment of RFC 3339, such as 2027-01-31T00:00:00+03:00"))
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Wrong(says) => Self::unprocessable(says).coded("key_order"),
            KeyError::Store(error) => error.into(),
        }
    }
}
