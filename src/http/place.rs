//! `POST /api/v1/calls` has Milo call somebody; `DELETE /api/v1/calls/{id}` ends a call.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type, schema::SchemaType},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    calls::{missing, not_up},
    guard::{self, May},
    named::Named,
};
use crate::{
    call::{NotPlaced, Placed, Wanted},
    dialplan::TrunkNames,
    store::Key,
};

/// How long the answer waits for the call's row, so that its address can be asked at once.
const ROW: Duration = Duration::from_millis(500);
/// How long somebody may ring, in seconds: when nobody says so, and at most.
const RING: (u64, u64) = (30, 180);
/// As long as an idempotency key may be.
const LONGEST_KEY: usize = 255;

/// A call that is to be placed.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CallOrder, example = json!({"to": "0341234567", "trunk": "carrier", "plan": "outgoing", "ring_timeout_s": 30}))]
struct Call {
    #[schema(min_length = 1)]
    to: String,
    #[schema(value_type = Option<TrunkNames>)]
    trunk: Option<TrunkNames>,
    #[serde(alias = "dialplan")]
    plan: Option<String>,
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Scalar>)]
    variables: BTreeMap<String, Value>,
    caller_id: Option<String>,
    #[serde(default)]
    privacy: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[schema(minimum = 1, maximum = 180)]
    ring_timeout_s: Option<u64>,
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
}

/// What a variable may be, in the document.
enum Scalar {}

impl ToSchema for Scalar {}

impl PartialSchema for Scalar {
    fn schema() -> RefOr<Schema> {
        let kinds = SchemaType::from_iter([Type::String, Type::Number, Type::Boolean]);
        ObjectBuilder::new().schema_type(kinds).into()
    }
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(place)).routes(routes!(hang_up))
}

/// Have Milo call somebody
///
/// Whoever answers is given to a plan. The same `Idempotency-Key` again is the same call.
#[utoipa::path(
    post,
    path = "/api/v1/calls",
    operation_id = "place_call",
    tag = "calls",
    params(("idempotency-key" = Option<String>, Header, description = "A name for this order, so that sending it twice places one call.", max_length = 255)),
    request_body = Call,
    security(("key" = ["calls"])),
    responses(
        (status = 202, description = "The call is being placed.", body = Placed, headers(("location" = String, description = "Where the call is shown."))),
        (status = 200, description = "This key was sent before, and this is its call.", body = Placed, headers(("location" = String, description = "Where the call is shown."))),
    ),
)]
async fn place(
    State(state): State<AppState>,
    _: May<guard::Call>,
    headers: HeaderMap,
    body: Result<Json<Call>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(call) = body?;
    let key = idempotency_key(&headers, call.idempotency_key.as_deref())?;
    let (placed, is_again) = state.calls_out.place(wanted(&call)?, key.as_deref())?;
    state.log.flush(ROW).await;
    let status = if is_again { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("/api/v1/calls/{}", placed.id);
    Ok((status, [(header::LOCATION, location)], Json(placed)).into_response())
}

fn wanted(call: &Call) -> Result<Wanted, Problem> {
    let ring = call.ring_timeout_s.unwrap_or(RING.0);
    if !(1..=RING.1).contains(&ring) {
        return Err(Problem::unprocessable(format!("ring_timeout_s = {ring} is not within 1 to {}", RING.1)));
    }
    let mut variables = BTreeMap::new();
    for (name, value) in &call.variables {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => return Err(Problem::unprocessable(format!("the variable {name:?} is neither a text nor a number"))),
        };
        variables.insert(name.clone(), value);
    }
    let (to, trunks, plan, caller_id) =
        (call.to.clone(), call.trunk.clone(), call.plan.clone(), call.caller_id.clone());
    let (private, headers) = (call.privacy, call.headers.clone());
    Ok(Wanted { to, trunks, plan, variables, caller_id, private, headers, ring: Duration::from_secs(ring) })
}

/// The key of the header `Idempotency-Key`, or of the body.
pub(super) fn idempotency_key(headers: &HeaderMap, body: Option<&str>) -> Result<Option<String>, Problem> {
    let header = match headers.get("idempotency-key").map(|value| value.to_str()) {
        None => None,
        // A string of structured fields stands in quotes (RFC 9651 section 3.3.3), and few send it so.
        Some(Ok(value)) => Some(value.trim().trim_matches('"')),
        Some(Err(_)) => return Err(Problem::bad_request("the Idempotency-Key is no plain text")),
    };
    let key = match (header, body) {
        (Some(one), Some(other)) if one != other => {
            return Err(Problem::bad_request(
                "the header Idempotency-Key and `idempotency_key` differ: send one of them",
            ));
        }
        (header, body) => header.or(body),
    };
    match key {
        Some(key) if !(1..=LONGEST_KEY).contains(&key.len()) => {
            Err(Problem::bad_request(format!("an idempotency key has 1 to {LONGEST_KEY} characters")))
        }
        key => Ok(key.map(Into::into)),
    }
}

impl From<NotPlaced> for Problem {
    fn from(why: NotPlaced) -> Self {
        match why {
            NotPlaced::Wrong(says) => Self::unprocessable(says),
            NotPlaced::Forbidden(says) => Self::forbidden(says),
            NotPlaced::TooMany(says, seconds) => Self::too_many(says, seconds),
            NotPlaced::Busy(says, seconds) => Self::unavailable(says).after(seconds),
            NotPlaced::Full => Self::unavailable(why.says()).coded("lines_taken"),
        }
    }
}

/// A call that is about to end.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Ending {
    id: Key,
}

/// End a call
#[utoipa::path(
    delete,
    path = "/api/v1/calls/{id}",
    operation_id = "end_call",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log.")),
    security(("key" = ["calls"])),
    responses(
        (status = 202, description = "It is about to end.", body = Ending),
        (status = 404, description = "the log has no call with this identifier"),
        (status = 409, description = "this call is not up"),
    ),
)]
async fn hang_up(State(state): State<AppState>, may: May<guard::Call>, Named(id): Named) -> Result<Response, Problem> {
    let key: Key = id.parse().map_err(|_| missing())?;
    match state.live.hang_up(key) {
        Ok(()) => {
            state.log.done(may.asker.deed("calls.delete", Some(key.to_string()), None));
            let body = Json(Ending { id: key });
            Ok((StatusCode::ACCEPTED, body).into_response())
        }
        Err(_) => Err(not_up(&state, key).await),
    }
}
