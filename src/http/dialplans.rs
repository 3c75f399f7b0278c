//! `/api/v1/dialplans`: the plans in force, which of them a call would get, and reading them anew. The files hold the truth.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::{State, rejection::JsonRejection},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    AppState, Problem,
    guard::{Administer, May, Read},
};
use crate::{
    dialplan::{Edition, Facts, Fault, Identified, Plan},
    store::Stamp,
};

/// A call that might come.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
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
    at: Option<String>,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/api/v1/dialplans", get(list))
        .route("/api/v1/dialplans/test", post(test))
        .route("/api/v1/dialplans/reload", post(reload))
}

async fn list(State(state): State<AppState>, _: May<Read>) -> Response {
    fresh(shown(&state.editions.current(), &state.editions.faults()))
}

async fn test(
    State(state): State<AppState>,
    _: May<Read>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(asked) = body.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
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
    let chosen = edition.dialplans.choose(&facts).map(|plan| &plan.name);
    Ok(fresh(json!({ "plan": chosen, "plans": edition.dialplans.explain(&facts) })))
}

async fn reload(State(state): State<AppState>, may: May<Administer>) -> Result<Response, Problem> {
    match state.editions.reload().await {
        Some(Ok(edition)) => {
            state.log.done(may.asker.deed("dialplans.reload", Some(format!("edition {}", edition.number)), None));
            Ok(fresh(shown(&edition, &[])))
        }
        Some(Err(faults)) => Err(Problem::unprocessable(format!("the dialplans of before stay in force:\n{faults}"))),
        None => Err(Problem::unavailable("the dialplans are being read; try again in a moment")),
    }
}

/// Everything about an edition, and what is wrong with the files since.
fn shown(edition: &Edition, faults: &[Fault]) -> Value {
    let plan = |plan: &Plan| {
        json!({
            "name": plan.name,
            "file": plan.file,
            "line": plan.line,
            "number": plan.number,
            "from": plan.from,
            "trunk": plan.trunk,
            "language": plan.language,
            "variables": plan.variables,
            "verbs": plan.actions.iter().map(|step| step.get_ref().verb()).collect::<Vec<_>>(),
        })
    };
    json!({
        "edition": edition.number,
        "since": edition.since,
        "folder": edition.dialplans.folder(),
        "plans": edition.dialplans.plans().iter().map(plan).collect::<Vec<_>>(),
        "faults": faults,
    })
}

fn fresh(body: impl Serialize) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
