//! `/api/v1/bans`: which addresses are shut out from SIP for a time, and the way to let one in again.

use std::{net::IpAddr, time::Instant};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use milo_signaling::{Ban, SignalingError};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{Administer, May, Read},
    named::Named,
};

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Bans)]
struct List {
    bans: Vec<Shown>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Ban)]
struct Shown {
    #[schema(value_type = String, example = "203.0.113.66")]
    address: IpAddr,
    #[schema(example = "guessed passwords")]
    why: &'static str,
    /// False: it may have been forged, and the right password still lets it in.
    proven: bool,
    #[schema(example = 540)]
    ends_in_s: u64,
    #[schema(example = 37)]
    dropped: u64,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(list)).routes(routes!(pardon))
}

/// Addresses that are shut out from SIP for a time
#[utoipa::path(
    get,
    path = "/api/v1/bans",
    operation_id = "list_bans",
    tag = "telephony",
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "Each ban.", body = List),
    ),
)]
async fn list(State(state): State<AppState>, _: May<Read>) -> Result<Response, Problem> {
    let now = now();
    let shown = |ban: Ban| Shown {
        address: ban.address,
        why: ban.why.as_str(),
        proven: ban.proven,
        ends_in_s: ban.until.saturating_duration_since(now).as_secs(),
        dropped: ban.dropped,
    };
    let bans = state.caller.bans().await.map_err(ending)?.into_iter().map(shown).collect();
    Ok(Json(List { bans }).into_response())
}

/// Let an address in again
#[utoipa::path(
    delete,
    path = "/api/v1/bans/{address}",
    operation_id = "delete_ban",
    tag = "telephony",
    params(("address" = String, Path, description = "The IP address.", example = "203.0.113.66")),
    security(("key" = ["admin"])),
    responses(
        (status = 204, description = "It is let in."),
        (status = 400, description = "a ban is named by its IP address"),
        (status = 404, description = "this address is not banned"),
    ),
)]
async fn pardon(
    State(state): State<AppState>,
    may: May<Administer>,
    Named(address): Named,
) -> Result<StatusCode, Problem> {
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(Problem::bad_request("a ban is named by its IP address"));
    };
    if state.caller.pardon(address).await.map_err(ending)? {
        state.log.done(may.asker.deed("bans.delete", Some(address.to_string()), None));
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("this address is not banned"))
}

fn ending(_: SignalingError) -> Problem {
    Problem::unavailable("Milo is ending")
}

#[expect(clippy::disallowed_methods, reason = "the edge: how long each still lasts is told from here")]
fn now() -> Instant {
    Instant::now()
}
