//! `/api/v1/dialplans`: the plans in force, which of them a call would get, and reading them anew. The files hold the truth.

use std::{collections::BTreeMap, path::PathBuf};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, May, Read},
};
use crate::{
    dialplan::{Edition, Facts, Fault, Identified, Plan, Verdict},
    store::Stamp,
};

/// A call that might come.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CallThatMightCome, example = json!({"from": "0341234567", "to": "milo", "at": "2026-11-30T10:00:00+03:00"}))]
struct Asked {
    #[serde(default)]
    from: String,
    /// What the trunk asserts, where the caller shows no number.
    #[serde(default)]
    asserted: String,
    to: String,
    trunk: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// RFC 3339; the present moment when it is left out.
    #[schema(format = "date-time")]
    at: Option<String>,
}

/// The plan that runs, and what becomes of each.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Chosen {
    /// Its name; none where the call would be refused.
    #[schema(example = "milo")]
    plan: Option<String>,
    /// In the order in which they are tried.
    plans: Vec<Verdict>,
}

/// What is in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Dialplans)]
struct Shown {
    /// Counted from 1 since the start.
    #[schema(example = 1)]
    edition: u64,
    since: Stamp,
    /// Where the files are.
    #[schema(value_type = String, example = "dialplans")]
    folder: PathBuf,
    plans: Vec<PlanShown>,
    /// What is wrong with the files since.
    faults: Vec<Fault>,
}

/// A plan; what is left out in its file is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Plan)]
struct PlanShown {
    #[schema(example = "milo")]
    name: String,
    #[schema(value_type = String, example = "dialplans/demo.toml")]
    file: PathBuf,
    #[schema(example = 4)]
    line: usize,
    #[schema(example = "milo")]
    number: Value,
    #[schema(example = "034*")]
    from: Value,
    #[schema(example = "carrier")]
    trunk: Value,
    #[schema(example = "mg")]
    language: Value,
    #[schema(example = json!(["name"]))]
    variables: Value,
    #[schema(example = json!(["answer", "converse"]))]
    verbs: Vec<String>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(test)).routes(routes!(reload))
}

/// The plans in force
///
/// The files hold the truth; `faults` says what is wrong with them since they were read last.
#[utoipa::path(
    get,
    path = "/api/v1/dialplans",
    operation_id = "list_dialplans",
    tag = "dialplans",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The edition in force.", body = Shown),
    ),
)]
async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    Json(shown(&state.editions.current(), state.editions.faults().to_vec())).into_response()
}

/// Which plan a call would get, and why no other
#[utoipa::path(
    post,
    path = "/api/v1/dialplans/test",
    operation_id = "test_dialplans",
    tag = "dialplans",
    request_body = Asked,
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The plan, and what becomes of each.", body = Chosen),
    ),
)]
async fn test(
    State(state): State<AppState>,
    _: May<Read>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(asked) = body?;
    let at = match asked.at.as_deref().map(str::parse) {
        None => Timestamp::from_millisecond(Stamp::now().millis()).unwrap_or_default(),
        Some(Ok(at)) => at,
        Some(Err(_)) => {
            return Err(Problem::bad_request("`at` is no moment of RFC 3339, such as 2026-11-30T10:00:00+03:00"));
        }
    };
    let headers = asked.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let identity = Identified { asserted: asked.asserted, ..Identified::default() };
    let facts = Facts { from: asked.from, to: asked.to, trunk: asked.trunk, headers, at, identity };
    let edition = state.editions.current();
    let plan = edition.dialplans.choose(&facts).map(|plan| plan.name.clone());
    Ok(Json(Chosen { plan, plans: edition.dialplans.explain(&facts) }).into_response())
}

/// Read the plans anew
///
/// Calls that are up keep the plan that they have. With a fault in any file, what was in force stays.
#[utoipa::path(
    post,
    path = "/api/v1/dialplans/reload",
    operation_id = "reload_dialplans",
    tag = "dialplans",
    security(("key" = ["admin"])),
    responses(
        (status = 200, description = "The new edition.", body = Shown),
        (status = 422, description = "the dialplans of before stay in force"),
    ),
)]
async fn reload(State(state): State<AppState>, may: May<Administer>) -> Result<Response, Problem> {
    match state.editions.reload().await {
        Some(Ok(edition)) => {
            state.log.done(may.asker.deed("dialplans.reload", Some(format!("edition {}", edition.number)), None));
            Ok(Json(shown(&edition, Vec::new())).into_response())
        }
        Some(Err(faults)) => Err(Problem::unprocessable(format!("the dialplans of before stay in force:\n{faults}"))),
        None => Err(Problem::unavailable("the dialplans are being read; try again in a moment")),
    }
}

/// Everything about an edition, and what is wrong with the files since.
fn shown(edition: &Edition, faults: Vec<Fault>) -> Shown {
    let plan = |plan: &Plan| PlanShown {
        name: plan.name.clone(),
        file: plan.file.clone(),
        line: plan.line,
        number: json!(plan.number),
        from: json!(plan.from),
        trunk: json!(plan.trunk),
        language: json!(plan.language),
        variables: json!(plan.variables),
        verbs: plan.actions.iter().map(|step| step.get_ref().verb()).collect(),
    };
    Shown {
        edition: edition.number,
        since: edition.since,
        folder: edition.dialplans.folder().into(),
        plans: edition.dialplans.plans().iter().map(plan).collect(),
        faults,
    }
}
