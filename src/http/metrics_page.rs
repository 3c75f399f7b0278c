//! `/metrics`: the figures, for Prometheus.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{May, Read},
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(metrics))
}

/// Figures for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "health",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The figures.", content((String = "text/plain", example = json!("# HELP milo_calls_live Calls that are up.\n# TYPE milo_calls_live gauge\nmilo_calls_live 0\n")))),
        (status = 404, description = "the metrics are switched off; [http] metrics = true switches them on"),
    ),
)]
async fn metrics(State(state): State<AppState>, _: May<Read>) -> Result<Response, Problem> {
    if !state.show_metrics {
        return Err(Problem::not_found("the metrics are switched off; [http] metrics = true switches them on"));
    }
    let text = state.metrics.text(&(state.health)(), &state.log.state());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
