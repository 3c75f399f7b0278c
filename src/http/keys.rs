//! `/api/v1/keys`: making, rotating and revoking keys.

use axum::{
    Json, Router,
    extract::{Path, State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};

use super::{
    AppState, Problem,
    guard::{Administer, May},
};
use crate::{
    keys::{KeyError, NewKey, Scope, Scopes, Tier},
    store::{ApiKeyRow, Key, Stamp},
};

/// For how long a rotated key is taken beside the new one, in seconds: when nobody says so, and at most.
const OVERLAP_S: (u32, u32) = (86_400, 2_592_000);

/// A key as it is shown: without the key.
#[derive(Debug, Serialize)]
struct Shown {
    id: Key,
    name: String,
    scopes: Vec<String>,
    tier: String,
    /// `active`, `expired` or `revoked`.
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
#[derive(Debug, Serialize)]
struct Made {
    key: String,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Serialize)]
struct List {
    keys: Vec<Shown>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    #[serde(default = "free")]
    tier: Tier,
    /// RFC 3339.
    expires_at: Option<String>,
}

fn free() -> Tier {
    Tier::Free
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    overlap_s: Option<u32>,
}

/// What a rotation gives: the one time that it is shown.
#[derive(Debug, Serialize)]
struct Rotated {
    id: Key,
    key: String,
    old_until: Stamp,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/keys", get(list).post(create))
        .route("/api/v1/keys/{id}", delete(revoke))
        .route("/api/v1/keys/{id}/rotate", post(rotate))
}

async fn list(State(state): State<AppState>, _: May<Administer>) -> Result<Response, Problem> {
    let keys = state.keys.list().await?.into_iter().map(Into::into).collect();
    Ok(fresh(List { keys }))
}

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
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], fresh(made)).into_response())
}

async fn rotate(
    State(state): State<AppState>,
    may: May<Administer>,
    Path(id): Path<String>,
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
    Ok(fresh(Rotated { id, key: secret.reveal().into(), old_until }))
}

async fn revoke(
    State(state): State<AppState>,
    may: May<Administer>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
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
            KeyError::Wrong(says) => Self::unprocessable(says),
            KeyError::Store(error) => error.into(),
        }
    }
}

/// Keys stay in no cache.
fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
