//! Pages from elsewhere: which may use the API from their visitors' browsers (Fetch Standard section 3.2). They send a key like
//! everybody; cookies are nobody's proof here, so none are allowed.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser remembers what it asked.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// What such a page's script may read besides what every script may.
const EXPOSED: [HeaderName; 11] = [
    header::RETRY_AFTER,
    header::LOCATION,
    // What WHIP needs (RFC 9725).
    header::ETAG,
    header::LINK,
    HeaderName::from_static("accept-patch"),
    header::CONTENT_DISPOSITION,
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("x-processing-ms"),
    HeaderName::from_static("x-request-id"),
];

/// Without origins there is nothing to say.
pub(super) fn layer(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            header::IF_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("x-request-id"),
        ])
        .expose_headers(EXPOSED)
        .max_age(REMEMBERED);
    Some(layer)
}
