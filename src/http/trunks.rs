//! `/api/v1/trunks`: the trunks, and how they are.

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
use crate::trunk::TrunkReport;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Trunks)]
struct List {
    trunks: Vec<TrunkReport>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// The trunks and how they are
///
/// Their settings as in `milo.toml`, secrets masked.
#[utoipa::path(
    get,
    path = "/api/v1/trunks",
    operation_id = "list_trunks",
    tag = "telephony",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Each trunk.", body = List),
    ),
)]
async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    let trunks = (state.health)().trunks;
    Json(List { trunks }).into_response()
}
