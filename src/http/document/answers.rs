//! What holds for every route of a kind: the statuses that it may answer besides its own, the bodies of those that tell of a
//! problem, and header fields.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::operations;
use crate::http::{around, openai, pace, problem::Problem};

/// Header fields that many answers have.
pub(super) fn headers() -> Value {
    let field = |says: &str, kind: &str| json!({ "description": says, "schema": { "type": kind } });
    json!({
        "X-Request-Id": field("By this the request is found in the log.", "string"),
        "RateLimit-Limit": field("How many requests an hour the key or the address has.", "integer"),
        "RateLimit-Remaining": field("How many are left.", "integer"),
        "RateLimit-Reset": field("In how many seconds the next hour begins.", "integer"),
        "Retry-After": field("In how many seconds it is worth another try.", "integer"),
        "WWW-Authenticate": field("What is missing (RFC 6750).", "string"),
    })
}

/// Completes each operation of a document.
pub(super) fn complete(document: &mut Value) {
    for (path, _, operation) in operations(document) {
        let more = general(&path, operation);
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        for (status, says) in more {
            responses.entry(status.as_str()).or_insert_with(|| json!({ "description": says }));
        }
        for (status, response) in responses {
            let Ok(status) = status.parse() else { continue };
            tell(&path, status, response);
        }
    }
}

/// The statuses that an operation may answer because of what it is, with the sentence for each.
fn general(path: &str, operation: &Value) -> Vec<(StatusCode, String)> {
    let mut all = Vec::new();
    let security = operation["security"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let [only] = security
        && let Some(scope) = only["key"][0].as_str()
    {
        all.push((
            StatusCode::UNAUTHORIZED,
            "this needs a key, or the one that was sent is wrong, expired or revoked".into(),
        ));
        all.push((StatusCode::FORBIDDEN, format!("this needs a key with the scope `{scope}`")));
    }
    if pace::is_counted(path) {
        all.push((
            StatusCode::TOO_MANY_REQUESTS,
            "more requests within an hour than the key or the address has".into(),
        ));
    }
    if operation["parameters"].is_array() {
        all.push((StatusCode::BAD_REQUEST, "a parameter is not what it should be, or is not known".into()));
    }
    if operation["requestBody"].is_object() {
        let longest = around::LARGEST_BODY >> 20;
        all.extend([
            (StatusCode::BAD_REQUEST, "the body is cut short, or not of the format that its Content-Type names".into()),
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is larger than what is taken, {longest} MB where nothing else is said"),
            ),
            (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the Content-Type is none that is taken, or there is a Content-Encoding".into(),
            ),
            (StatusCode::UNPROCESSABLE_ENTITY, "the body was read, and something in it cannot be".into()),
        ]);
    }
    all.push((StatusCode::SERVICE_UNAVAILABLE, "Milo cannot answer now; try again in a moment".into()));
    all
}

/// Gives an answer its header fields and, where it tells of a problem, its body.
fn tell(path: &str, status: StatusCode, response: &mut Value) {
    let counted =
        if pace::is_counted(path) { &["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"][..] } else { &[] };
    let special = match status {
        StatusCode::UNAUTHORIZED => &["WWW-Authenticate"][..],
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => &["Retry-After"],
        _ => &[],
    };
    let mut headers = response["headers"].as_object().cloned().unwrap_or_default();
    for name in ["X-Request-Id"].iter().chain(counted).chain(special) {
        headers.insert((*name).into(), json!({ "$ref": format!("#/components/headers/{name}") }));
    }
    response["headers"] = Value::Object(headers);
    let is_problem = status.is_client_error() || status.is_server_error();
    if is_problem && response["content"].is_null() {
        response["content"] = problem(path, status, response["description"].as_str().unwrap_or_default());
    }
    for (kind, media) in response.get_mut("content").and_then(Value::as_object_mut).into_iter().flatten() {
        if kind.starts_with("audio/") || kind.ends_with(".pcap") {
            media["schema"] = json!({ "type": "string", "format": "binary" });
        } else if kind == "text/event-stream" {
            // OpenAPI 3.1 has no words for a stream of events: some read a schema here as that of the text, some of each event.
            media["schema"] = json!({});
        }
    }
}

fn problem(path: &str, status: StatusCode, says: &str) -> Value {
    let (kind, name, example) = if path.starts_with("/v1/") {
        ("application/json", "OpenAiProblem", openai::error(status, says))
    } else {
        let problem = Problem::of_status(status, says);
        ("application/problem+json", "Problem", serde_json::to_value(problem).unwrap_or_default())
    };
    let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    Value::Object(Map::from_iter([(kind.to_owned(), json!({ "schema": schema, "example": example }))]))
}
