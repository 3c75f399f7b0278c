//! Around every request: an identifier, a time limit, a count, a line in the log, and headers that keep browsers careful.

use std::time::Duration;

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, timeout};

use super::{AppState, Problem};
use crate::store::Key;

/// No answer takes longer than this before it begins, but those that models make.
const LIMIT: Duration = Duration::from_secs(15);
/// A model on a slow machine has answered, or never will.
const THOUGHT: Duration = Duration::from_secs(120);
/// An hour of sound has come over a slow line, and is read.
const LONGEST: Duration = Duration::from_secs(3_600);
/// A large model has been read from a slow disk, and tried.
const LOADING: Duration = Duration::from_secs(600);

/// A body where a route says nothing else, in bytes.
pub(super) const LARGEST_BODY: usize = 2 << 20;

/// Everything comes from this server, nothing is framed, no form leads anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

fn limit(path: &str) -> Duration {
    match path {
        "/api/v1/chat" | "/api/v1/tts" | "/api/v1/translate" | "/v1/chat/completions" | "/v1/audio/speech" => THOUGHT,
        // Its body may be large, and its line slow.
        "/api/v1/batch" | "/api/v1/campaigns" | "/api/v1/campaigns/do-not-call/import" => THOUGHT,
        "/api/v1/stt" | "/v1/audio/transcriptions" => LONGEST,
        _ if path.starts_with("/api/v1/engines/") => LOADING,
        _ => LIMIT,
    }
}

/// The identifier that a proxy before us gave the request, if it is one that can stand in a log.
fn given(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let fits = (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    fits.then(|| id.to_owned())
}

pub(super) async fn around(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = given(request.headers()).unwrap_or_else(|| Key::new().to_string());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = match timeout(limit(&path), next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("the answer took too long; try again in a moment")
            .coded("took_too_long")
            .into_response(),
    };
    let status = response.status().as_u16();
    let took = began.elapsed().as_secs_f64();
    state.metrics.http_request(route.as_ref().map_or("none", MatchedPath::as_str), status, took);
    let duration_ms = took * 1e3;
    tracing::debug!(request.id = id, %method, path, status, duration_ms, "answered");
    let headers = response.headers_mut();
    // Pages that show the API have a policy of their own.
    let own = headers.get(header::CONTENT_SECURITY_POLICY).cloned();
    headers.extend(HEADERS);
    if let Some(own) = own {
        headers.insert(header::CONTENT_SECURITY_POLICY, own);
    }
    // What people say and write, and how things are, stays in no cache.
    if path.starts_with("/api/") || path.starts_with("/v1/") {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if let Ok(id) = id.parse() {
        headers.insert("x-request-id", id);
    }
    response
}

/// A body comes as it is: one that says it was packed is refused unread, so that nobody unpacks more than was sent.
pub(super) async fn plain(request: Request, next: Next) -> Response {
    let encoding = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if encoding.into_iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return next.run(request).await;
    }
    let says = "a body is taken as it is: send it without Content-Encoding";
    let refused = Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, says).into_response();
    // RFC 9110 section 12.5.3: what would be taken.
    ([(header::ACCEPT_ENCODING, "identity")], refused).into_response()
}
