//! `/api/v1/queues`: the lines in which callers wait.

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
use crate::call::LineReport;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Queues)]
struct List {
    queues: Vec<LineReport>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// The lines in which callers wait
#[utoipa::path(
    get,
    path = "/api/v1/queues",
    operation_id = "list_queues",
    tag = "calls",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Each with those who wait in it.", body = List),
    ),
)]
async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    let queues = (state.health)().lines;
    Json(List { queues }).into_response()
}
