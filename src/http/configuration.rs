//! `GET /api/v1/config`: what is in force, secrets masked.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState,
    guard::{Administer, May},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(configuration))
}

/// The configuration in force
///
/// The sections of `milo.toml`, with what is left out there; secrets are masked.
#[utoipa::path(
    get,
    path = "/api/v1/config",
    operation_id = "get_config",
    tag = "administration",
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "Every section.", body = std::collections::BTreeMap<String, serde_json::Value>, example = json!({"http": {"listen": "127.0.0.1:8000"}})),
    ),
)]
async fn configuration(State(state): State<AppState>, _: May<Administer>) -> Response {
    Json(&*state.configuration).into_response()
}
