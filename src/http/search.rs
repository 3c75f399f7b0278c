//! What is looked for in the call log, as the query says it.

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;

use super::{
    Problem,
    paging::{Bounds, bounds},
};
use crate::store::{CameOf, Outcome, Search, Stamp, words};

/// The query of `GET /api/v1/calls` and of its exports.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<String>,
    cursor: Option<String>,
    /// Of either party; with a `*` at its end, what begins with it.
    number: Option<String>,
    /// RFC 3339: from this moment on.
    since: Option<String>,
    /// RFC 3339: before this moment.
    until: Option<String>,
    /// `answered`, `missed`, `busy`, `no answer`, `refused`, `failed`, `cancelled`.
    outcome: Option<String>,
    /// `in` or `out`.
    direction: Option<String>,
    dialplan: Option<String>,
    /// Words that were all said within one turn.
    text: Option<String>,
    /// `true`: those that are up; `false`: those that are over.
    live: Option<String>,
    /// Of an export.
    format: Option<Format>,
}

const KNOWN: &str = "the list of calls takes `limit`, `cursor`, `number`, `since`, `until`, `outcome`, `direction`, `dialplan`, \
                     `text` and `live`, once each, and nothing else";
const EXPORTED: &str =
    "an export takes `format` (csv or jsonl) and what the list of calls takes, but `limit` and `cursor`";

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// RFC 4180.
    #[default]
    Csv,
    /// One object a line.
    Jsonl,
}

/// What an export is of, and how it is written.
pub(super) fn exported(query: Result<Query<Wanted>, QueryRejection>) -> Result<(Search, Format), Problem> {
    match query {
        Ok(Query(wanted)) if wanted.limit.is_none() && wanted.cursor.is_none() => {
            let format = wanted.format.unwrap_or_default();
            Ok((wanted.read()?.0, format))
        }
        _ => Err(Problem::bad_request(EXPORTED)),
    }
}

/// What is looked for, and the bounds of the page.
pub(super) fn wanted(query: Result<Query<Wanted>, QueryRejection>) -> Result<(Search, Bounds), Problem> {
    match query {
        Ok(Query(wanted)) if wanted.format.is_none() => wanted.read(),
        _ => Err(Problem::bad_request(KNOWN)),
    }
}

impl Wanted {
    fn read(self) -> Result<(Search, Bounds), Problem> {
        let wanted = self;
        let texts = [&wanted.number, &wanted.dialplan, &wanted.text];
        if texts.into_iter().flatten().any(|text| text.chars().any(char::is_control)) {
            return Err(Problem::bad_request("`number`, `dialplan` and `text` hold no control characters"));
        }
        let bounds = bounds(wanted.limit.as_deref(), wanted.cursor.as_deref())?;
        let said = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mut search = Search { dialplan: said(wanted.dialplan), ..Search::default() };
        match said(wanted.number).map(|number| number.strip_suffix('*').map(str::to_owned).ok_or(number)) {
            None => {}
            Some(Err(whole)) => search.number = Some(whole),
            Some(Ok(begins)) if begins.is_empty() => {}
            Some(Ok(begins)) => search.number_begins = Some(begins),
        }
        let when = |name: &str, text: Option<String>| {
            let wrong = || {
                Problem::bad_request(format!(
                    "`{name}` is no moment of RFC 3339, such as 2026-11-30T10:00:00+03:00 (a + is %2B in a query)"
                ))
            };
            text.map(|text| text.parse::<Stamp>().map_err(|_| wrong())).transpose()
        };
        (search.since, search.until) = (when("since", said(wanted.since))?, when("until", said(wanted.until))?);
        search.outcome = said(wanted.outcome).as_deref().map(outcome).transpose()?;
        search.incoming = match said(wanted.direction).as_deref() {
            None => None,
            Some("in") => Some(true),
            Some("out") => Some(false),
            Some(_) => return Err(Problem::bad_request("`direction` is in or out")),
        };
        search.live = match said(wanted.live).as_deref() {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(_) => return Err(Problem::bad_request("`live` is true or false")),
        };
        if let Some(text) = said(wanted.text) {
            search.words = words(&text);
            if search.words.is_empty() || search.words.len() > 16 {
                return Err(Problem::bad_request("`text` holds 1 to 16 words to look for"));
            }
        }
        Ok((search, bounds))
    }
}

fn outcome(text: &str) -> Result<CameOf, Problem> {
    use Outcome::{Busy, Cancelled, Failed, NoAnswer, Refused};
    match text.replace(['_', '-', '+'], " ").as_str() {
        "answered" => return Ok(CameOf::Answered),
        "missed" => return Ok(CameOf::Missed),
        other => [Busy, NoAnswer, Refused, Failed, Cancelled].into_iter().find(|known| known.as_str() == other),
    }
    .map(CameOf::Otherwise)
    .ok_or_else(|| {
        Problem::bad_request("`outcome` is one of answered, missed, busy, no answer, refused, failed and cancelled")
    })
}
