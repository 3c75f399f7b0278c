//! `GET /api/v1/calls/export`: the calls that a search finds, all of them, as CSV (RFC 4180) or JSON Lines, read page by page as
//! they are taken; each with what was written down of it once it was over.

use axum::{
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{May, Read},
    search::{Exported, Format, Wanted, exported},
};
use crate::store::{Analysis, CallRow, Findings, Key, Search, Stamp, Store, StoreError};

/// Calls that are read at once.
const PAGE: u32 = 200;

const COLUMNS: [&str; 22] = [
    "id",
    "direction",
    "from",
    "to",
    "dialplan",
    "language",
    "started",
    "answered",
    "ended",
    "seconds",
    "outcome",
    "sip_status",
    "end_reason",
    "hangup_by",
    "turns",
    "recording",
    "summary",
    "analysed_outcome",
    "sentiment",
    "tags",
    "fields",
    "analysis_failed",
];

/// A call as a line of JSON.
#[derive(Serialize)]
struct Line<'c> {
    #[serde(flatten)]
    call: &'c CallRow,
    analysis: Option<&'c Analysis>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(export))
}

/// All calls that a search finds, as a file
///
/// CSV (RFC 4180) or JSON Lines, sent while they are read; the query is that of the list without `limit` and `cursor`. Each call has what
/// the model has written down of it: in CSV `summary`, `analysed_outcome`, `sentiment`, `tags` and `fields` (these two as JSON) and
/// `analysis_failed`, in JSON Lines `analysis`, as the call itself shows it.
#[utoipa::path(
    get,
    path = "/api/v1/calls/export",
    operation_id = "export_calls",
    tag = "calls",
    params(Exported),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The file.", content((String = "text/csv", example = json!("id,direction,from,to\r\n")), (String = "application/jsonl", example = json!("{\"direction\":\"in\",\"from\":\"0341234567\"}\n")))),
        (status = 409, description = "the call at which the export was to go on is no longer there"),
    ),
)]
async fn export(
    State(state): State<AppState>,
    _: May<Read>,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let (search, format) = exported(query)?;
    state.written().await;
    let (kind, name) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "calls.csv"),
        Format::Jsonl => ("application/jsonl", "calls.jsonl"),
    };
    let head = match format {
        Format::Csv => line(&COLUMNS),
        Format::Jsonl => Vec::new(),
    };
    // The first page tells whether the database answers: behind it nobody can be told.
    let first = page(&state.store, &search, None, format, head).await?;
    let store = state.store.clone();
    let pages = stream::unfold(Some(first), move |ready| {
        let (store, search) = (store.clone(), search.clone());
        async move {
            let (bytes, next) = ready?;
            let ready = match next {
                None => None,
                Some(cursor) => match page(&store, &search, Some(cursor), format, Vec::new()).await {
                    Ok(page) => Some(page),
                    // Cut off, so that half of it is not taken for the whole.
                    Err(error) => return Some((Err(std::io::Error::other(error)), None)),
                },
            };
            Some((Ok(Bytes::from(bytes)), ready))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    // Compression asks once more behind the end.
    Ok((headers, Body::from_stream(pages.fuse())).into_response())
}

/// Why an export ends before its end.
#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The call at which it was to go on was deleted meanwhile.
    #[error("the call at which the export was to go on is no longer there")]
    Torn,
}

impl From<PageError> for Problem {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Store(error) => error.into(),
            PageError::Torn => Self::conflict(error.to_string()),
        }
    }
}

/// The bytes of a page behind `begun`, and where the next one begins.
async fn page(
    store: &Store,
    search: &Search,
    before: Option<Key>,
    format: Format,
    begun: Vec<u8>,
) -> Result<(Vec<u8>, Option<Key>), PageError> {
    let Some(page) = store.calls(search, before, PAGE).await? else { return Err(PageError::Torn) };
    let keys: Vec<_> = page.calls.iter().map(|call| call.id).collect();
    let analyses = store.analyses(&keys).await?;
    let mut bytes = begun;
    for call in &page.calls {
        let analysis = analyses.get(&call.id);
        match format {
            Format::Csv => bytes.extend(record(call, analysis)),
            Format::Jsonl => {
                serde_json::to_writer(&mut bytes, &Line { call, analysis }).ok();
                bytes.push(b'\n');
            }
        }
    }
    Ok((bytes, page.next))
}

fn record(call: &CallRow, analysis: Option<&Analysis>) -> Vec<u8> {
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let time = |at: Option<Stamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let seconds = call.answered.zip(call.ended).map(|(from, to)| (to.millis() - from.millis()).max(0) / 1_000);
    // What failed has found nothing.
    let found = analysis.filter(|analysis| analysis.failed.is_none()).map(|analysis| &analysis.findings);
    let finding = |of: fn(&Findings) -> &Option<String>| found.map(|found| said(of(found))).unwrap_or_default();
    line(&[
        call.id.to_string(),
        call.direction.clone(),
        call.caller.clone(),
        call.called.clone(),
        said(&call.dialplan),
        said(&call.language),
        call.started.to_string(),
        time(call.answered),
        time(call.ended),
        seconds.map(|seconds| seconds.to_string()).unwrap_or_default(),
        said(&call.outcome),
        call.sip_status.map(|status| status.to_string()).unwrap_or_default(),
        said(&call.end_reason),
        said(&call.hangup_by),
        call.turn_count.to_string(),
        said(&call.recording),
        finding(|found| &found.summary),
        finding(|found| &found.outcome),
        finding(|found| &found.sentiment),
        found.map(|found| json!(found.tags).to_string()).unwrap_or_default(),
        found.map(|found| json!(found.fields).to_string()).unwrap_or_default(),
        analysis.map(|analysis| said(&analysis.failed)).unwrap_or_default(),
    ])
}

/// One record, quoted where it must be. What a spreadsheet would take for a formula gets an apostrophe before it: names come
/// from the wire.
pub(super) fn line<T: AsRef<str>>(fields: &[T]) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let fields = fields.iter().map(|field| {
        let field = field.as_ref();
        let is_number =
            field.starts_with(['+', '-']) && field.len() > 1 && field[1..].bytes().all(|b| b.is_ascii_digit());
        if field.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number {
            format!("'{field}")
        } else {
            field.into()
        }
    });
    // A vector takes everything.
    writer.write_record(fields).ok();
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SecretUrl;

    /// A file that ends there would be taken for the whole.
    #[tokio::test]
    async fn an_export_whose_next_call_is_gone_does_not_end_in_order() {
        let folder = std::env::temp_dir().join(format!("milo-export-{}", Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let search = Search::default();
        let page = |before| page(&store, &search, before, Format::Jsonl, b"begun".to_vec());
        assert_eq!(page(None).await.unwrap(), (b"begun".to_vec(), None));
        assert!(matches!(page(Some(Key::new())).await, Err(PageError::Torn)));
        std::fs::remove_dir_all(folder).ok();
    }

    #[test]
    fn records_are_quoted_and_hold_no_formula() {
        let text =
            String::from_utf8(line(&["a,b", "say \"x\"", "=1+1", "+261341234567", "-x", "two\r\nlines", ""])).unwrap();
        assert_eq!(text, "\"a,b\",\"say \"\"x\"\"\",'=1+1,+261341234567,'-x,\"two\r\nlines\",\r\n");
    }
}
