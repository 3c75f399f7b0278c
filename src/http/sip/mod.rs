//! `/api/v1/calls/{id}/sip`: the SIP messages of a call as a ladder: JSON, text, or a capture file.

mod pcap;

use std::{fmt::Write, sync::Arc, time::UNIX_EPOCH};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use milo_signaling::Seen;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{May, Read},
    named::Named,
};
use crate::{call::LegSeen, store::Key};

const PCAP: &str = "application/vnd.tcpdump.pcap";

/// `?format=text`
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Without it, what `Accept` asks for, else JSON.
    #[param(inline)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LadderFormat)]
enum Format {
    Json,
    Text,
    Pcap,
}

/// A message, and whose it is.
struct Rung {
    leg: Arc<str>,
    seen: Arc<Seen>,
    /// The same has passed before, the same way.
    again: bool,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Ladder)]
struct Whole {
    call: Key,
    /// Messages between the first and the last ones of a leg that are no longer kept.
    #[schema(example = 0)]
    left_out: u64,
    messages: Vec<Shown>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SipMessage)]
struct Shown {
    #[schema(format = "date-time", example = "2026-11-30T07:00:00.000123Z")]
    at: String,
    #[schema(value_type = String, example = "caller")]
    leg: Arc<str>,
    #[schema(example = "in")]
    direction: &'static str,
    #[schema(example = "UDP")]
    transport: String,
    #[schema(example = "192.0.2.1:5060")]
    local: String,
    #[schema(example = "192.0.2.4:5060")]
    remote: String,
    again: bool,
    cut: bool,
    #[schema(example = "INVITE sip:milo@192.0.2.1 SIP/2.0")]
    start_line: String,
    #[schema(example = "INVITE sip:milo@192.0.2.1 SIP/2.0\nCall-ID: a84b4c76e66710@192.0.2.4\n")]
    text: String,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(ladder))
}

/// The SIP messages of a call
///
/// As a ladder in JSON or text, or as a capture file that Wireshark reads.
#[utoipa::path(
    get,
    path = "/api/v1/calls/{id}/sip",
    operation_id = "get_call_sip",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log."), Wanted),
    security(("key" = ["read"])),
    responses(
        (status = 200, description = "The messages, in the order in which they passed.", content((Whole = "application/json"), (String = "text/plain", example = json!("call 0193a5e2-7c1b-7d3a-9f42-5b6c7d8e9f01: 1 SIP messages\n")), (Vec<u8> = "application/vnd.tcpdump.pcap"))),
        (status = 404, description = "the SIP of this call is no longer kept; [sip] ladders says of how many calls it is"),
    ),
)]
async fn ladder(
    State(state): State<AppState>,
    _: May<Read>,
    Named(id): Named,
    query: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found("the log has no call with this identifier");
    let key: Key = id.parse().map_err(|_| missing())?;
    let Ok(Query(wanted)) = query else {
        return Err(Problem::bad_request("the SIP of a call takes `format` and nothing else: json, text or pcap"));
    };
    let Some(legs) = state.sip.of(key) else {
        state.store.call(key).await?.ok_or_else(missing)?;
        return Err(Problem::not_found(if state.sip.is_on() {
            "the SIP of this call is no longer kept; [sip] ladders says of how many calls it is"
        } else {
            "no SIP is kept: [sip] ladders is 0"
        }));
    };
    let (rungs, left_out) = rungs(legs);
    Ok(match wanted.format.unwrap_or_else(|| accepted(&headers)) {
        Format::Json => {
            let messages = rungs.iter().map(Rung::shown).collect();
            served("application/json", Json(Whole { call: key, left_out, messages }))
        }
        Format::Text => served("text/plain; charset=utf-8", text(key, &rungs, left_out)),
        Format::Pcap => {
            let named = format!("attachment; filename=\"{key}.pcap\"");
            let file = pcap::file(rungs.iter().map(|rung| &*rung.seen));
            ([(header::CONTENT_DISPOSITION, named)], served(PCAP, file)).into_response()
        }
    })
}

/// What the Accept field asks for: the first of ours that it names.
fn accepted(headers: &HeaderMap) -> Format {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accept.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next());
    let named = types.find_map(|name| match name.trim().to_ascii_lowercase().as_str() {
        "text/plain" => Some(Format::Text),
        "application/json" => Some(Format::Json),
        PCAP => Some(Format::Pcap),
        _ => None,
    });
    named.unwrap_or(Format::Json)
}

fn served(content_type: &'static str, body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The messages of all legs in the order in which they passed.
fn rungs(legs: Vec<LegSeen>) -> (Vec<Rung>, u64) {
    let left_out = legs.iter().map(|(_, ladder)| ladder.left_out).sum();
    let mut rungs: Vec<Rung> = Vec::new();
    for (name, ladder) in legs {
        let (leg, first): (Arc<str>, _) = (name.into(), rungs.len());
        for seen in ladder.messages {
            let same = |before: &Rung| {
                let before = &before.seen;
                before.received == seen.received && before.bytes == seen.bytes && before.remote == seen.remote
            };
            let again = rungs.iter().skip(first).any(same);
            rungs.push(Rung { leg: leg.clone(), seen, again });
        }
    }
    rungs.sort_by_key(|rung| rung.seen.number);
    (rungs, left_out)
}

impl Rung {
    fn text(&self) -> String {
        // What is shown in a terminal must not move its cursor.
        let plain = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
        String::from_utf8_lossy(&self.seen.bytes).replace("\r\n", "\n").chars().map(plain).collect()
    }

    fn shown(&self) -> Shown {
        let text = self.text();
        Shown {
            at: moment(&self.seen),
            leg: self.leg.clone(),
            direction: if self.seen.received { "in" } else { "out" },
            transport: self.seen.transport.to_string(),
            local: self.seen.local.to_string(),
            remote: self.seen.remote.to_string(),
            again: self.again,
            cut: self.seen.is_cut,
            start_line: text.lines().next().unwrap_or_default().to_owned(),
            text,
        }
    }
}

/// RFC 3339, to the microsecond.
fn moment(seen: &Seen) -> String {
    let since = seen.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = i128::try_from(since.as_nanos()).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}.{:06}Z", at.date(), at.microsecond())
}

/// One line a message, and below them the messages.
fn text(call: Key, rungs: &[Rung], left_out: u64) -> String {
    let mut text = format!("call {call}: {} SIP messages\n", rungs.len());
    if left_out > 0 {
        writeln!(text, "{left_out} more, between the first and the last of a leg, are no longer kept").ok();
    }
    let shown: Vec<Shown> = rungs.iter().map(Rung::shown).collect();
    let longest = |of: fn(&Shown) -> usize| shown.iter().map(of).max().unwrap_or_default();
    let (leg, remote) = (longest(|shown| shown.leg.len()), longest(|shown| shown.remote.len()));
    for (n, shown) in shown.iter().enumerate() {
        let arrow = if shown.direction == "in" { "──►" } else { "◄──" };
        let again = if shown.again { "  (again)" } else { "" };
        writeln!(
            text,
            "{:>4}  {}  {:<leg$}  {:<remote$}  {arrow} Milo  {:<3}  {}{again}",
            n + 1,
            shown.at,
            shown.leg,
            shown.remote,
            shown.transport,
            shown.start_line
        )
        .ok();
    }
    for (n, shown) in shown.iter().enumerate() {
        let cut = if shown.cut { "\n(it was longer)" } else { "" };
        write!(text, "\n──── {} ────\n{}{cut}\n", n + 1, shown.text.trim_end()).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_field_is_heard() {
        let format = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            accepted(&headers)
        };
        assert_eq!(format("*/*"), Format::Json);
        assert_eq!(format("Text/Plain; q=0.9"), Format::Text);
        assert_eq!(format("image/png, application/vnd.tcpdump.pcap"), Format::Pcap);
        assert_eq!(format("application/json, text/plain"), Format::Json);
    }
}
