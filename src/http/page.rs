//! The first page: what runs here, what to dial, the list of calls. Three files, carried in the binary.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::AppState;

const PAGE: &str = include_str!("../../web/index.html");
const STYLE: &str = include_str!("../../web/milo.css");
const SCRIPT: &str = include_str!("../../web/milo.js");
const ICON: &str = include_str!("../../web/milo.svg");

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", PAGE) }))
        .route("/milo.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/milo.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/milo.svg", get(|| async { file("image/svg+xml", ICON) }))
}

/// Never older than the program: a browser asks each time.
fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}
