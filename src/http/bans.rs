//! `/api/v1/bans`: which addresses are shut out from SIP for a time, and the way to let one in again.

use std::{net::IpAddr, time::Instant};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use milo_signaling::{Ban, SignalingError};
use serde::Serialize;

use super::{
    AppState, Problem,
    guard::{Administer, May, Read},
};

#[derive(Debug, Serialize)]
struct List {
    bans: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Shown {
    address: IpAddr,
    why: &'static str,
    /// False: it may have been forged, and the right password still lets it in.
    proven: bool,
    ends_in_s: u64,
    dropped: u64,
}

pub(super) fn routes() -> Router<AppState> {
    Router::new().route("/api/v1/bans", get(list)).route("/api/v1/bans/{address}", delete(pardon))
}

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
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(List { bans })).into_response())
}

async fn pardon(
    State(state): State<AppState>,
    may: May<Administer>,
    Path(address): Path<String>,
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
