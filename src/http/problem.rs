//! Problem bodies (RFC 9457): `application/problem+json` whose `detail` is a sentence for the person who reads it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{keys::Refusal, store::StoreError};

/// A refusal or failure, as the client sees it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Problem {
    /// Nothing more is said about the kind of problem than its status (RFC 9457 section 4.2.1).
    #[schema(example = "about:blank")]
    r#type: &'static str,
    /// The status in words.
    #[schema(example = "Bad Request")]
    title: &'static str,
    /// The status as a number.
    #[schema(example = 400, minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong, as a sentence for whoever reads it.
    #[schema(example = "`limit` is a number from 1 to 200")]
    detail: String,
    /// Which problem it is, in a word that stays the same: by it a page says the sentence in another language.
    #[schema(example = "bad_request")]
    code: &'static str,
    #[serde(skip)]
    header: Option<(&'static str, String)>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        let (status, detail) = (status.as_u16(), detail.into());
        Self { r#type: "about:blank", title, status, detail, code: usual(status), header: None }
    }

    /// A problem that is known by more than its status: `web/src/texts` has a sentence for each, and a test compares them.
    pub(super) fn coded(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// What the framework refused, with its status.
    pub(super) fn of_status(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, detail)
    }

    /// 413: more than is taken.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 400: what the client sent cannot be used.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: a key is needed, or this one is wrong.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        let header = ("www-authenticate", "Bearer realm=\"milo\"".to_owned());
        Self { header: Some(header), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    /// 403: the key may do other things (RFC 6750 section 3.1).
    pub(super) fn out_of_scope(needed: &str, has: &str) -> Self {
        let header = format!("Bearer realm=\"milo\", error=\"insufficient_scope\", scope=\"{needed}\"");
        let detail = format!("this needs a key with the scope `{needed}`; this one has: {has}");
        Self { header: Some(("www-authenticate", header)), ..Self::new(StatusCode::FORBIDDEN, detail) }
            .coded("scope_missing")
    }

    /// The sentence.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409: it is not possible as things are now.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 405; the router adds `Allow`.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this address does not take that method; the Allow header names those it takes",
        )
    }

    /// 426: the address is for another protocol (RFC 9110 section 15.5.22).
    pub(super) fn upgrade_required(detail: impl Into<String>) -> Self {
        let header = ("upgrade", "websocket".to_owned());
        Self { header: Some(header), ..Self::new(StatusCode::UPGRADE_REQUIRED, detail) }
    }

    /// 422: it was understood, and what it is about is wrong.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 503: try again later.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).after(5)
    }

    /// 403: nobody may have this done.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 429: in so many seconds it is possible.
    pub(super) fn too_many(detail: impl Into<String>, seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).after(seconds)
    }

    /// In so many seconds it is worth another try.
    pub(super) fn after(self, seconds: u64) -> Self {
        Self { header: Some(("retry-after", seconds.to_string())), ..self }
    }
}

/// What a problem is called of which only the status is known.
fn usual(status: u16) -> &'static str {
    match status {
        400 => "bad_request",
        401 => "key_needed",
        403 => "forbidden",
        404 => "not_found",
        405 => "method_not_allowed",
        406 => "not_acceptable",
        409 => "conflict",
        412 => "precondition_failed",
        413 => "too_large",
        415 => "unsupported_media_type",
        422 => "unprocessable",
        426 => "upgrade_required",
        428 => "precondition_required",
        429 => "too_many",
        503 => "unavailable",
        _ => "problem",
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Self {
        let code = match why {
            Refusal::Unknown => "key_wrong",
            Refusal::Expired(_) => "key_expired",
            Refusal::Replaced(_) => "key_replaced",
            Refusal::Revoked(_) => "key_revoked",
            Refusal::Ticket => "ticket_bad",
            Refusal::Link => "link_bad",
        };
        Self::unauthorized(why.to_string()).coded(code)
    }
}

impl From<StoreError> for Problem {
    /// The database's own words go into the log; the client learns what it can do.
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "a request could not be answered");
        Self::unavailable("the call log's database does not answer; calls go on, try again in a moment")
            .coded("database_away")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let header = self.header.clone();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, Ok(value))) = header.map(|(name, value)| (name, HeaderValue::try_from(value))) {
            headers.insert(name, value);
        }
        response
    }
}
