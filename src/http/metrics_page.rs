//! `/metrics`: the figures, for Prometheus.

use axum::{
    Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{
    AppState, Problem,
    guard::{May, Read},
};

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(state): State<AppState>, _: May<Read>) -> Result<Response, Problem> {
    if !state.show_metrics {
        return Err(Problem::not_found("the metrics are switched off; [http] metrics = true switches them on"));
    }
    let text = state.metrics.text(&(state.health)(), &state.log.state());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
