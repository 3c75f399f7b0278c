//! The API's document and two pages that show it: `/openapi.json`, Swagger UI at `/docs`, ReDoc at `/redoc`. All that the pages need
//! is in the binary: they ask nobody else.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    http::{HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use serde_json::Value;
use utoipa_swagger_ui::Config;

use super::{Problem, named::Named};

/// ReDoc's page, and its program (see `web/redoc/README.md`).
const PAGE: &str = include_str!("../../web/redoc/index.html");
const PROGRAM: &str = include_str!("../../web/redoc/redoc.standalone.js");

/// Swagger UI has styles and pictures within its own.
const DOCS: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// ReDoc too, and it searches in a worker of its own making.
const REDOC: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

pub(super) fn routes<S: Clone + Send + Sync + 'static>(document: &Value) -> Router<S> {
    let document = Bytes::from(document.to_string());
    // Nobody outside is to judge the document.
    let config = Arc::new(Config::new(["/openapi.json"]).validator_url("none").deep_linking(true));
    let index = Arc::clone(&config);
    Router::new()
        .route("/openapi.json", get(move || async { file("application/json", document) }))
        .route("/docs", get(|| async { Redirect::temporary("/docs/") }))
        .route("/docs/", get(move || async move { swagger("index.html", &index) }))
        .route("/docs/{file}", get(move |Named(name): Named| async move { swagger(&name, &config) }))
        .route("/redoc", get(|| async { page(REDOC, "text/html; charset=utf-8", PAGE) }))
        .route("/redoc/redoc.standalone.js", get(|| async { page(REDOC, "text/javascript; charset=utf-8", PROGRAM) }))
}

fn swagger(name: &str, config: &Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, Arc::clone(config)) {
        Ok(Some(found)) => page(DOCS, &found.content_type, found.bytes.into_owned()),
        _ => Problem::not_found("Swagger UI has no such file").into_response(),
    }
}

fn page(policy: HeaderValue, kind: &str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_SECURITY_POLICY, policy)], file(kind, body)).into_response()
}

/// Never older than the program: a browser asks each time.
fn file(kind: &str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], body).into_response()
}
