//! `GET /api/v1/campaigns/{id}/numbers`: the numbers of a campaign as a page shows them, each with what came of its calls so far.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    campaigns::found,
    guard::{May, Read},
    named::Named,
    paging::rows,
};
use crate::{
    campaign::Outcome,
    store::{Key, ResultRow, RowsWanted},
};

const STATES: [&str; 5] = ["waiting", "calling", "done", "skipped", "cancelled"];

/// The query of the list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// As many rows at most; 50 when nothing is said.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 200, example = 20)]
    limit: Option<String>,
    /// The `next` of the page before.
    #[param(value_type = Option<i32>, minimum = 0)]
    cursor: Option<String>,
    /// `waiting`, `calling`, `done`, `skipped` or `cancelled`.
    #[param(example = "done")]
    state: Option<String>,
    /// What came of the last call: `answered`, `machine`, `busy`, `no_answer`, `refused`, `failed`, `cancelled` or `interrupted`.
    #[param(example = "busy")]
    outcome: Option<String>,
}

/// One page of the list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CampaignNumberPage)]
struct Page {
    /// In the order of the list.
    numbers: Vec<ResultRow>,
    /// The cursor of the next page; none on the last.
    #[schema(example = 51)]
    next: Option<i32>,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list))
}

/// The numbers of a campaign
///
/// In the order of the list, each with what came of its calls so far.
#[utoipa::path(
    get,
    path = "/api/v1/campaigns/{id}/numbers",
    operation_id = "list_campaign_numbers",
    tag = "campaigns",
    params(("id" = Key, Path, description = "The campaign's identifier."), Wanted),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "A page of numbers.", body = Page),
        (status = 404, description = "there is no campaign with this identifier"),
    ),
)]
async fn list(
    State(state): State<AppState>,
    _: May<Read>,
    Named(id): Named,
    query: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Ok(Query(Wanted { limit, cursor, state: how, outcome })) = query else {
        return Err(Problem::bad_request(
            "the list of numbers takes `limit`, `cursor`, `state` and `outcome`, once each, and nothing else",
        ));
    };
    let limit = rows(limit.as_deref())?;
    let wrong = || Problem::bad_request("`cursor` is not the `next` of an earlier page");
    let number = |cursor: String| cursor.parse().ok().filter(|number: &i32| *number >= 0);
    let behind = cursor.map_or(Some(0), number).ok_or_else(wrong)?;
    let outcomes = Outcome::ALL.map(Outcome::as_str);
    for (name, value, known) in [("state", &how, &STATES[..]), ("outcome", &outcome, &outcomes[..])] {
        if value.as_ref().is_some_and(|value| !known.contains(&value.as_str())) {
            return Err(Problem::bad_request(format!("`{name}` is one of {}", known.join(", "))));
        }
    }
    let campaign = found(&state, &id).await?;
    let which = RowsWanted { state: how.as_deref(), outcome: outcome.as_deref() };
    let mut numbers = state.store.result_rows(campaign.id, which, behind, limit + 1).await?;
    let more = numbers.len() > limit as usize;
    numbers.truncate(limit as usize);
    let next = numbers.last().filter(|_| more).map(|row| row.line);
    Ok(Json(Page { numbers, next }).into_response())
}
