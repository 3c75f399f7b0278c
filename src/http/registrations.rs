//! `/api/v1/registrations`: the accounts of our own people's telephones, and which of these are registered.

use std::time::Instant;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    guard::{May, Read},
};
use crate::accounts::AccountReport;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Accounts)]
struct List {
    accounts: Vec<AccountReport>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// Our people's telephones
///
/// The accounts, which telephones are registered with them, and what is used of their limits.
#[utoipa::path(
    get,
    path = "/api/v1/registrations",
    operation_id = "list_registrations",
    tag = "telephony",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Each account.", body = List),
    ),
)]
async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    let accounts = state.accounts.report(now());
    Json(List { accounts }).into_response()
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long each has still is told from here")]
fn now() -> Instant {
    Instant::now()
}
