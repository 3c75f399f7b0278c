//! `GET /api/v1/campaigns/{id}/results`: what came of each number of a campaign, as CSV (RFC 4180), read page by page as it is taken.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    campaigns::found,
    export::line,
    guard::{May, Read},
    named::Named,
};
use crate::store::{Attempt, Key, ResultRow, RowsWanted, Store, StoreError};

/// Rows that are read at once.
const PAGE: u32 = 500;

/// The columns before those of the list's own variables.
const COLUMNS: [&str; 11] = [
    "line",
    "number",
    "zone",
    "state",
    "outcome",
    "attempts",
    "outcomes",
    "calls",
    "first_call",
    "last_call",
    "detail",
];

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(results))
}

/// What came of each number of a campaign, as a file
///
/// One line a number, in the order of the list, with what came of each of its calls, and then its variables; sent while it is read, at
/// any time.
#[utoipa::path(
    get,
    path = "/api/v1/campaigns/{id}/results",
    operation_id = "export_campaign",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier.")),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The file.", content((String = "text/csv", example = json!("line,number,zone,state,outcome,attempts,outcomes\r\n")))),
        (status = 404, description = "there is no campaign with this identifier"),
    ),
)]
async fn results(State(state): State<AppState>, _: May<Read>, Named(id): Named) -> Result<Response, Problem> {
    let campaign = found(&state, &id).await?;
    let (columns, store, key) = (campaign.columns, state.store.clone(), campaign.id);
    let head: Vec<&str> = COLUMNS.into_iter().chain(columns.iter().map(String::as_str)).collect();
    // The first page tells whether the database answers: behind it nobody can be told.
    let first = page(&store, (key, &columns), 0, line(&head)).await?;
    let pages = stream::unfold(Some(first), move |ready| {
        let (store, columns) = (store.clone(), columns.clone());
        async move {
            let (bytes, behind) = ready?;
            let ready = match behind {
                None => None,
                Some(behind) => match page(&store, (key, &columns), behind, Vec::new()).await {
                    Ok(page) => Some(page),
                    // Cut off, so that half of it is not taken for the whole.
                    Err(error) => return Some((Err(std::io::Error::other(error)), None)),
                },
            };
            Some((Ok(Bytes::from(bytes)), ready))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"campaign.csv\""),
    ];
    // Compression asks once more behind the end.
    Ok((headers, Body::from_stream(pages.fuse())).into_response())
}

/// The bytes of a page behind `begun`, and the line behind which the next one begins.
async fn page(
    store: &Store,
    (campaign, columns): (Key, &[String]),
    behind: i32,
    begun: Vec<u8>,
) -> Result<(Vec<u8>, Option<i32>), StoreError> {
    let rows = store.result_rows(campaign, RowsWanted::default(), behind, PAGE).await?;
    let mut bytes = begun;
    bytes.extend(rows.iter().flat_map(|row| record(row, columns)));
    let next = rows.last().filter(|_| rows.len() == PAGE as usize).map(|row| row.line);
    Ok((bytes, next))
}

fn record(row: &ResultRow, columns: &[String]) -> Vec<u8> {
    let (first, last) = (row.tried.first(), row.tried.last());
    let joined =
        |each: &dyn Fn(&Attempt) -> Option<String>| row.tried.iter().filter_map(each).collect::<Vec<_>>().join(" ");
    let began = |attempt: Option<&Attempt>| attempt.map(|attempt| attempt.began.to_string()).unwrap_or_default();
    let own = [
        row.line.to_string(),
        row.called.clone(),
        row.zone.clone(),
        row.state.clone(),
        row.outcome.clone().unwrap_or_default(),
        row.tried.len().to_string(),
        joined(&|attempt| Some(attempt.outcome.clone())),
        joined(&|attempt| attempt.call.map(|call| call.to_string())),
        began(first),
        began(last),
        last.and_then(|attempt| attempt.detail.clone()).unwrap_or_default(),
    ];
    let given = columns.iter().map(|name| row.variables.get(name).cloned().unwrap_or_default());
    line(&own.into_iter().chain(given).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stamp;

    #[test]
    fn a_line_tells_each_call_and_ends_with_the_variables() {
        let attempt = |outcome: &str, at, detail: Option<&str>| Attempt {
            call: None,
            began: Stamp::from_millis(at),
            ended: Stamp::from_millis(at),
            outcome: outcome.into(),
            detail: detail.map(Into::into),
        };
        let row = ResultRow {
            line: 2,
            called: "0341234567".into(),
            zone: "Europe/Paris".into(),
            variables: [("day".to_owned(), "=1+1".to_owned())].into(),
            state: "done".into(),
            outcome: Some("no_answer".into()),
            tried: vec![attempt("busy", 0, Some("busy: 486")), attempt("no_answer", 60_000, Some("no answer"))],
        };
        let text = String::from_utf8(record(&row, &["day".into(), "hour".into()])).unwrap();
        assert_eq!(
            text,
            "2,0341234567,Europe/Paris,done,no_answer,2,busy no_answer,,1970-01-01T00:00:00Z,1970-01-01T00:01:00Z,no answer,\
             '=1+1,\r\n"
        );
        assert_eq!(COLUMNS.len() + 2, text.trim_end().split(',').count());
    }
}
