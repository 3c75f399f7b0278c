//! `GET /api/v1/config`: what is in force, secrets masked.

use axum::{
    Json, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    AppState,
    guard::{Administer, May},
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/config", get(configuration))
}

async fn configuration(State(state): State<AppState>, _: May<Administer>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(&*state.configuration)).into_response()
}
