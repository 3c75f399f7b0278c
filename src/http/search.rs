//! What is looked for in the call log, as the query says it.

use axum::extract::{Query, rejection::QueryRejection};
use serde::Deserialize;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        path::{Parameter, ParameterIn},
    },
};

use super::{
    Problem,
    paging::{Bounds, bounds},
};
use crate::store::{CameOf, Outcome, Search, Stamp, words};

/// The query of `GET /api/v1/calls` and of its exports.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// As many calls at most; 50 when nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, example = 20)]
    limit: Option<String>,
    /// The `next` of the page before.
    #[param(value_type = Option<String>, format = "uuid")]
    cursor: Option<String>,
    /// Of either party; with a `*` at its end, what begins with it.
    #[param(example = "034*")]
    number: Option<String>,
    /// RFC 3339: from this moment on.
    #[param(format = "date-time")]
    since: Option<String>,
    /// RFC 3339: before this moment.
    #[param(format = "date-time")]
    until: Option<String>,
    /// What came of it.
    #[param(value_type = Option<OutcomeName>, inline)]
    outcome: Option<String>,
    /// Whether Milo was called, or called.
    #[param(value_type = Option<Direction>, inline)]
    direction: Option<String>,
    /// The name of the plan that treated it.
    #[param(example = "milo")]
    dialplan: Option<String>,
    /// Words that were all said within one turn.
    #[param(example = "birao")]
    text: Option<String>,
    /// `true`: those that are up; `false`: those that are over.
    #[param(value_type = Option<bool>)]
    live: Option<String>,
    /// How it is written.
    #[param(inline)]
    format: Option<Format>,
}

/// The query of the list, in the document.
pub(super) enum Listed {}

impl IntoParams for Listed {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        without(&["format"], within)
    }
}

/// The query of an export, in the document.
pub(super) enum Exported {}

impl IntoParams for Exported {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        without(&["limit", "cursor"], within)
    }
}

fn without(names: &[&str], within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
    Wanted::into_params(within).into_iter().filter(|known| !names.contains(&known.name.as_str())).collect()
}

/// What `outcome` may be, in the document.
enum OutcomeName {}

impl ToSchema for OutcomeName {}

impl PartialSchema for OutcomeName {
    fn schema() -> RefOr<Schema> {
        let others = [Outcome::Busy, Outcome::NoAnswer, Outcome::Refused, Outcome::Failed, Outcome::Cancelled];
        let names = ["answered", "missed"].into_iter().chain(others.map(|other| other.as_str()));
        ObjectBuilder::new().schema_type(utoipa::openapi::Type::String).enum_values(Some(names)).into()
    }
}

/// What `direction` may be, in the document.
enum Direction {}

impl ToSchema for Direction {}

impl PartialSchema for Direction {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(utoipa::openapi::Type::String).enum_values(Some(["in", "out"])).into()
    }
}

const KNOWN: &str = "the list of calls takes `limit`, `cursor`, `number`, `since`, `until`, `outcome`, `direction`, `dialplan`, \
                     `text` and `live`, once each, and nothing else";
const EXPORTED: &str =
    "an export takes `format` (csv or jsonl) and what the list of calls takes, but `limit` and `cursor`";

/// How an export is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ExportFormat)]
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
        (search.since, search.until) = (when("since", wanted.since)?, when("until", wanted.until)?);
        search.outcome = wanted.outcome.as_deref().map(outcome).transpose()?;
        search.incoming = match wanted.direction.as_deref() {
            None => None,
            Some("in") => Some(true),
            Some("out") => Some(false),
            Some(_) => return Err(Problem::bad_request("`direction` is in or out")),
        };
        search.live = match wanted.live.as_deref() {
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
