//! `POST /api/v1/tickets`: what a page calls or chats with in place of a key.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    guard::{Converse, May, Sent},
    text::Text,
};
use crate::{
    keys::{LONGEST, Purpose},
    store::Stamp,
};

/// What is wanted; nothing need be said.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = TicketOrder, example = json!({"for": "conversation", "seconds": 30}))]
struct Wanted {
    /// What it opens.
    r#for: Purpose,
    /// How long it is good.
    #[schema(minimum = 1, maximum = 60)]
    seconds: Option<u64>,
}

/// A ticket: good once.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Ticket)]
struct Made {
    /// Goes into the address as `ticket=`.
    #[schema(example = "ticket_x6yGkOZtr5cWbTnUqXn3hJ0oQ8rW1m2v7s9dKfLpYaE")]
    ticket: String,
    r#for: Purpose,
    expires_at: Stamp,
    #[schema(example = 30)]
    expires_in_s: u64,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(make))
}

/// Make a ticket
///
/// For a page that opens a WebSocket, whose address may end up in logs, or that anybody may read, and so holds no key: it stands for the
/// key that made it, with what that may do and its limits, for a minute at most, once.
#[utoipa::path(
    post,
    path = "/api/v1/tickets",
    operation_id = "make_ticket",
    tag = "calls",
    request_body = Option<Wanted>,
    security(("key" = ["text"])),
    responses(
        (status = 201, description = "It is good from now on.", body = Made),
    ),
)]
async fn make(State(text): State<Text>, may: May<Converse>, body: Bytes) -> Result<Response, Problem> {
    let wanted: Wanted = match &body[..] {
        [] => Wanted::default(),
        body => match serde_json::from_slice(body).map_err(wrong)? {
            Value::Null => Wanted::default(),
            // A list of the right length would do for a struct.
            object @ Value::Object(_) => serde_json::from_value(object).map_err(wrong)?,
            _ => return Err(Problem::unprocessable("the body is an object, or nothing")),
        },
    };
    let seconds = wanted.seconds.unwrap_or(LONGEST.as_secs());
    if !(1..=LONGEST.as_secs()).contains(&seconds) {
        return Err(Problem::unprocessable(format!("seconds = {seconds} is not within 1 to {}", LONGEST.as_secs())));
    }
    let now = Stamp::now();
    let until = Stamp::from_millis(now.millis() + seconds as i64 * 1_000);
    let bearer = match &may.asker.key {
        Sent::Right(bearer) => Some(bearer),
        Sent::Nothing | Sent::Wrong(_) => None,
    };
    let ticket = text.app.tickets.make(bearer, wanted.r#for, until, now).await;
    let ticket = ticket.ok_or_else(|| Problem::unavailable("too many tickets are good at once"))?;
    let made =
        Made { ticket: ticket.reveal().to_owned(), r#for: wanted.r#for, expires_at: until, expires_in_s: seconds };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

fn wrong(error: serde_json::Error) -> Problem {
    if error.is_data() {
        Problem::unprocessable(error.to_string())
    } else {
        Problem::bad_request(format!("the body is no JSON: {error}"))
    }
}
