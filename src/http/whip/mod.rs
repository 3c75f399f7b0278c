//! `POST /api/v1/webrtc`: a call from a browser by WHIP (RFC 9725). The offer comes, the answer goes, and from then on the call is one like
//! every other; its resource is there for more candidates, for ICE that begins anew, and for the end.
//!
//! ```text
//! POST offer ─► answer, Location ─► talk.rs: waits for the browser, then the call, and messages by the data channel
//! PATCH, DELETE Location ─► Peers ─► the connection
//! ```

mod peers;
mod talk;

use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use milo_signaling::webrtc::{Answered, Fragment, Refused, Unchanged, WebRtc};
use serde::Deserialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Problem,
    conversation::called,
    guard::{Asker, Converse, May},
    text::Text,
};
use crate::chat::{SessionName, Unanswered};
pub(super) use peers::Peers;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// The largest body, in bytes.
const LARGEST: usize = 64 << 10;

/// What stands in the address.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// A ticket of `POST /api/v1/tickets` for `webrtc`, in place of a key.
    ticket: Option<String>,
    /// The number that is called: its plan treats the call. Any other than `milo` needs the scope `calls` as well.
    #[param(min_length = 1, max_length = 64)]
    number: Option<String>,
    /// The session to go on with: what was said in it is remembered.
    #[param(pattern = "^[A-Za-z0-9_-]{0,64}$")]
    session_id: Option<String>,
}

pub(super) fn routes() -> OpenApiRouter<Text> {
    OpenApiRouter::default().routes(routes!(call, asked)).routes(routes!(change, end, asked_of))
}

/// Call from a browser
///
/// WHIP (RFC 9725). The offer has an audio stream that goes both ways, in Opus, G.722 or G.711, and may have a data channel; streams of
/// video are refused in the answer, and an offer without audio with 422. Milo greets as soon as the connection is up; an offer that
/// nobody follows within seconds is given up. By the data channel come the messages of `GET /api/v1/conversation?stream=1`, sound apart,
/// and its commands go.
#[utoipa::path(
    post,
    path = "/api/v1/webrtc",
    operation_id = "call_by_webrtc",
    tag = "calls",
    params(Wanted),
    request_body(content = String, content_type = "application/sdp", description = "The offer, 64 kB at most."),
    security(("key" = ["text"])),
    responses(
        (status = 201, description = "The answer. `Location` names the call's resource, `ETag` its ICE session, and `Link` the STUN and TURN servers.", content_type = "application/sdp", body = String),
        (status = 404, description = "calls from browsers are switched off ([webrtc] enabled)"),
        (status = 422, description = "the offer cannot be answered, no plan answers this number, or the session's name cannot be one"),
        (status = 406, description = "the answer is application/sdp, and that is not taken"),
    ),
)]
async fn call(
    State(text): State<Text>,
    may: May<Converse>,
    query: Result<Query<Wanted>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let Query(wanted) = query.map_err(|wrong| Problem::bad_request(wrong.body_text()))?;
    let webrtc = enabled(&text)?;
    let number = called(&text, &may, wanted.number)?;
    let session = wanted.session_id.filter(|name| !name.is_empty());
    let session = SessionName::new(may.asker.confined_to(), session.as_deref()).ok_or(Unanswered::Session)?;
    if !takes_sdp(request.headers()) {
        return Err(Problem::of_status(StatusCode::NOT_ACCEPTABLE, "the answer is application/sdp: Accept it"));
    }
    is_of_type(request.headers(), SDP)?;
    let offer = body(request.into_body()).await?;
    text.web.check(&number, talk::FROM)?;
    let room = text.web.room()?;
    let Answered { answer, peer, connection } = webrtc.answer(&offer).await.map_err(|why| {
        text.app.metrics.webrtc_offer("refused");
        refused(why)
    })?;
    let (tag, links) = (peer.ice(), webrtc.links());
    let place = text.peers.open(peer, &may.asker);
    let location = format!("/api/v1/webrtc/{}", place.id());
    // It ends with the connection or the call, whichever is first, and when Milo does.
    let by = (number, may.asker.name().to_owned());
    let memory = (text.chats.clone(), session);
    tokio::spawn(talk::carry(connection, (text.web, room, text.app.metrics), (by, memory), place));
    let mut response = (StatusCode::CREATED, answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(HeaderName::from_static("accept-patch"), HeaderValue::from_static(FRAGMENT));
    headers.extend([(header::LOCATION, location), (header::ETAG, format!("\"{tag}\""))].into_iter().filter_map(field));
    for link in links.into_iter().filter_map(|link| HeaderValue::try_from(link).ok()) {
        headers.append(header::LINK, link);
    }
    Ok(response)
}

/// What may be posted
#[utoipa::path(
    options,
    path = "/api/v1/webrtc",
    operation_id = "ask_of_webrtc",
    tag = "calls",
    responses((status = 204, description = "`Accept-Post` names the type of an offer.")),
)]
async fn asked(State(text): State<Text>) -> Result<Response, Problem> {
    // Nothing that is worth a key.
    enabled(&text)?;
    let allow = (header::ALLOW, "OPTIONS, POST");
    Ok((StatusCode::NO_CONTENT, [allow, (HeaderName::from_static("accept-post"), SDP)]).into_response())
}

/// Add candidates, or begin ICE anew
///
/// Candidates that are found later, for the ICE session that `If-Match` names; with `If-Match: *` and new credentials, ICE begins anew, and
/// the answer has those of Milo. Whoever knows the resource may: it cannot be guessed. Where a key made it, the same key is needed.
#[utoipa::path(
    patch,
    path = "/api/v1/webrtc/{id}",
    operation_id = "change_webrtc",
    tag = "calls",
    params(("id" = String, Path, description = "As in `Location`.")),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag", description = "What is new (RFC 8840)."),
    responses(
        (status = 200, description = "ICE begins anew. `ETag` names its session.", content_type = "application/trickle-ice-sdpfrag", body = String),
        (status = 204, description = "The candidates are tried."),
        (status = 404, description = "there is no such call, or no longer"),
        (status = 412, description = "`If-Match` names an ICE session that is over"),
        (status = 428, description = "`If-Match` is missing"),
    ),
)]
async fn change(
    State(text): State<Text>,
    Path(id): Path<String>,
    Extension(asker): Extension<Asker>,
    request: Request,
) -> Result<Response, Problem> {
    let peer = text.peers.find(&id, &asker, text.app.keys.any())?;
    is_of_type(request.headers(), FRAGMENT)?;
    let matching = request.headers().get(header::IF_MATCH).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(matching) = matching else {
        let says =
            "send If-Match: the ETag of the answer for candidates, * for ICE that begins anew (RFC 9725 section 4.3)";
        return Err(Problem::of_status(StatusCode::PRECONDITION_REQUIRED, says));
    };
    let sent = body(request.into_body()).await?;
    let fragment = std::str::from_utf8(&sent).map_err(|_| Problem::bad_request("the fragment is no UTF-8"))?;
    let fragment = Fragment::parse(fragment).map_err(|error| Problem::bad_request(error.to_string()))?;
    if matching.trim() == "*" && fragment.credentials.is_some() {
        let ours = peer.restart(fragment).await.map_err(unchanged)?;
        let tag = (header::ETAG, format!("\"{}\"", peer.ice()));
        return Ok((StatusCode::OK, [(header::CONTENT_TYPE, FRAGMENT.to_owned()), tag], ours).into_response());
    }
    let tag = if matching.trim() == "*" { peer.ice() } else { matching.trim().trim_matches('"').to_owned() };
    peer.try_candidates(&tag, fragment.candidates).await.map_err(unchanged)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Hang up
#[utoipa::path(
    delete,
    path = "/api/v1/webrtc/{id}",
    operation_id = "end_webrtc",
    tag = "calls",
    params(("id" = String, Path, description = "As in `Location`.")),
    responses(
        (status = 200, description = "The call ends."),
        (status = 404, description = "there is no such call, or no longer"),
    ),
)]
async fn end(
    State(text): State<Text>,
    Path(id): Path<String>,
    Extension(asker): Extension<Asker>,
) -> Result<StatusCode, Problem> {
    text.peers.find(&id, &asker, text.app.keys.any())?.hang_up().await.map_err(unchanged)?;
    Ok(StatusCode::OK)
}

/// What a call's resource takes
#[utoipa::path(
    options,
    path = "/api/v1/webrtc/{id}",
    operation_id = "ask_of_webrtc_call",
    tag = "calls",
    params(("id" = String, Path, description = "As in `Location`.")),
    responses((status = 204, description = "`Accept-Patch` names the type of a change.")),
)]
async fn asked_of() -> Response {
    let allow = (header::ALLOW, "DELETE, OPTIONS, PATCH");
    (StatusCode::NO_CONTENT, [allow, (HeaderName::from_static("accept-patch"), FRAGMENT)]).into_response()
}

fn enabled(text: &Text) -> Result<&WebRtc, Problem> {
    text.webrtc.as_ref().ok_or_else(|| {
        Problem::not_found("calls from browsers are switched off here ([webrtc] enabled)").coded("webrtc_off")
    })
}

/// Whether an answer of SDP is welcome (RFC 9110 section 12.5.1).
fn takes_sdp(headers: &HeaderMap) -> bool {
    let accepts: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let takes = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let is_refused =
            parts.any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        [SDP, "application/*", "*/*"].contains(&kind.as_str()) && !is_refused
    };
    accepts.is_empty() || accepts.iter().flat_map(|value| value.split(',')).any(takes)
}

fn is_of_type(headers: &HeaderMap, kind: &str) -> Result<(), Problem> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sent = sent.split(';').next().unwrap_or_default().trim();
    if sent.eq_ignore_ascii_case(kind) {
        return Ok(());
    }
    let says = format!("the body is {kind}: send it with that Content-Type");
    Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, says))
}

async fn body(body: Body) -> Result<Vec<u8>, Problem> {
    let read = to_bytes(body, LARGEST).await;
    read.map(Into::into).map_err(|_| Problem::too_large(format!("the body may have {} kB here", LARGEST >> 10)))
}

fn field((name, value): (HeaderName, String)) -> Option<(HeaderName, HeaderValue)> {
    Some((name, HeaderValue::try_from(value).ok()?))
}

/// A page that may do without WebRTC goes on by a WebSocket where it reads these codes, and only there.
fn refused(why: Refused) -> Problem {
    let says = why.to_string();
    match why {
        Refused::Malformed(_) => Problem::bad_request(says),
        Refused::Full(_) | Refused::NoPort => Problem::unavailable(says).coded("webrtc_full"),
        Refused::NoAudio
        | Refused::NoCodec(_)
        | Refused::OneWay
        | Refused::NotWebRtc
        | Refused::NoIce
        | Refused::Stack(_) => Problem::unprocessable(says).coded("webrtc_refused"),
    }
}

fn unchanged(why: Unchanged) -> Problem {
    let says = why.to_string();
    match why {
        Unchanged::Gone => peers::gone(),
        Unchanged::Stale => Problem::of_status(StatusCode::PRECONDITION_FAILED, says),
        Unchanged::Refused(_) => Problem::unprocessable(says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_welcome_unless_something_else_is_asked_for() {
        let takes = |accept: &str| {
            takes_sdp(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).expect("a value"))]))
        };
        assert!(takes_sdp(&HeaderMap::new()));
        assert!(takes("application/sdp") && takes("text/html, */*;q=0.1") && takes("Application/*"));
        assert!(!takes("application/json") && !takes("application/sdp;q=0") && !takes(""));
    }
}
