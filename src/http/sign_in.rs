//! `/api/v1/sign-in`: what the link of the terminal holds, for a key; and what whoever asks may do.

use axum::{
    Extension, Json,
    extract::{State, rejection::JsonRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, Asker, Call, Converse, Read, Sent},
};
use crate::{keys::Scope, store::Stamp};

/// What stands in the link, behind `#sign-in=`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignIn, example = json!({"link": "link_x6yGkOZtr5cWbTnUqXn3hJ0oQ8rW1m2v7s9dKfLpYaE"}))]
struct Given {
    #[schema(min_length = 1, max_length = 100)]
    link: String,
}

/// A key that may do everything until then, or until Milo is started anew.
#[derive(Serialize, utoipa::ToSchema)]
struct SignedIn {
    #[schema(example = "session_x6yGkOZtr5cWbTnUqXn3hJ0oQ8rW1m2v7s9dKfLpYaE")]
    key: String,
    expires_at: Stamp,
}

/// Who asks, and what they may do.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SignedInAs)]
struct Access {
    /// The name of the key that was sent; none without one.
    #[schema(example = "the web page")]
    name: Option<String>,
    /// What it lets do; without a key, what this machine lets everybody do who is on it. `admin` is all of it.
    #[schema(example = json!(["calls", "read"]))]
    scopes: Vec<Scope>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(sign_in, signed_in, sign_out))
}

/// What whoever asks may do
///
/// A page offers by it what will not be refused.
#[utoipa::path(
    get,
    path = "/api/v1/sign-in",
    operation_id = "get_access",
    tag = "administration",
    security(),
    responses(
        (status = 200, description = "The scopes.", body = Access),
        (status = 401, description = "the key that was sent is none, or none any more"),
    ),
)]
async fn signed_in(State(state): State<AppState>, Extension(asker): Extension<Asker>) -> Result<Response, Problem> {
    if let Some(why) = asker.refused(state.keys.any()) {
        return Err(why.into());
    }
    let may = [
        (Scope::Calls, asker.also::<Call>(&state)),
        (Scope::Text, asker.also::<Converse>(&state)),
        (Scope::Read, asker.also::<Read>(&state)),
        (Scope::Admin, asker.also::<Administer>(&state)),
    ];
    let name = match &asker.key {
        Sent::Right(bearer) => Some(bearer.name.to_string()),
        Sent::Nothing | Sent::Wrong(_) => None,
    };
    let scopes = may.into_iter().filter_map(|(scope, may)| may.ok().map(|()| scope)).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Access { name, scopes })).into_response())
}

/// Sign in by the link of the terminal
///
/// Milo prints one when it starts in a terminal: good once, for minutes.
#[utoipa::path(
    post,
    path = "/api/v1/sign-in",
    operation_id = "sign_in",
    tag = "administration",
    request_body = Given,
    security(),
    responses(
        (status = 201, description = "The key.", body = SignedIn),
        (status = 401, description = "this link is not good: it signs in once, within minutes of Milo's start"),
    ),
)]
async fn sign_in(
    State(state): State<AppState>,
    Extension(asker): Extension<Asker>,
    body: Result<Json<Given>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(Given { link }) = body?;
    let (key, expires_at) = state.keys.sign_ins().redeem(&link, Stamp::now())?;
    state.log.done(asker.deed("sign-in", None, None));
    let made = SignedIn { key: key.reveal().into(), expires_at };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

/// Sign out
///
/// The key that is sent, where it came of a link, opens nothing any more.
#[utoipa::path(
    delete,
    path = "/api/v1/sign-in",
    operation_id = "sign_out",
    tag = "administration",
    security(("key" = [])),
    responses(
        (status = 204, description = "It opens nothing any more."),
        (status = 401, description = "no key was sent, or one that is none any more"),
        (status = 404, description = "the key that was sent did not come of a link"),
    ),
)]
async fn sign_out(State(state): State<AppState>, Extension(asker): Extension<Asker>) -> Result<StatusCode, Problem> {
    match &asker.key {
        Sent::Right(bearer) if bearer.id.is_some_and(|id| state.keys.sign_ins().end(id)) => {
            state.log.done(asker.deed("sign-out", None, None));
            Ok(StatusCode::NO_CONTENT)
        }
        Sent::Right(_) => Err(Problem::not_found("the key that was sent did not come of a link")),
        Sent::Wrong(why) => Err((*why).into()),
        Sent::Nothing => Err(Problem::unauthorized("send the key that came of a link: it is the one that ends")),
    }
}
