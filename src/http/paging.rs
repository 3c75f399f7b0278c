//! Lists of which a page is asked for: `?limit=20&cursor=…`.

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;

use super::Problem;
use crate::store::Key;

/// Rows of one page, when nobody says otherwise, and at most.
const PAGE: (u32, u32) = (50, 200);

/// What the query says.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct List {
    /// As many rows at most; 50 when nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, example = 20)]
    limit: Option<String>,
    /// The `next` of the page before.
    #[param(value_type = Option<String>, format = "uuid")]
    cursor: Option<String>,
}

/// The row before which a page begins, and how many rows it has at most.
pub(super) type Bounds = (Option<Key>, u32);

/// The bounds of a page; `of` is what is listed.
pub(super) fn page(query: Result<Query<List>, QueryRejection>, of: &str) -> Result<Bounds, Problem> {
    let Ok(Query(list)) = query else {
        let says = format!("the list of {of} takes `limit` and `cursor`, once each, and nothing else");
        return Err(Problem::bad_request(says));
    };
    bounds(list.limit.as_deref(), list.cursor.as_deref())
}

/// The bounds that `limit` and `cursor` say.
pub(super) fn bounds(limit: Option<&str>, cursor: Option<&str>) -> Result<Bounds, Problem> {
    let limit = rows(limit)?;
    match cursor.map(str::parse::<Key>) {
        None => Ok((None, limit)),
        Some(Ok(key)) => Ok((Some(key), limit)),
        Some(Err(_)) => Err(Problem::bad_request("`cursor` is not the `next` of an earlier page")),
    }
}

/// The rows that `limit` says.
pub(super) fn rows(limit: Option<&str>) -> Result<u32, Problem> {
    match limit.map(str::parse) {
        None => Ok(PAGE.0),
        Some(Ok(limit)) if (1..=PAGE.1).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("`limit` is a number from 1 to {}", PAGE.1))),
    }
}
