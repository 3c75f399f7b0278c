//! What an address names: the part of it that a route leaves open.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};

use serde::de::DeserializeOwned;

use super::Problem;

/// An extractor: that part, as text; or several, each as text.
#[derive(Debug)]
pub(super) struct Named<T = String>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::from_request_parts(parts, state).await.map(|Path(text)| Self(text));
        text.map_err(|_| Problem::bad_request("the address holds %-signs whose bytes are no UTF-8"))
    }
}
