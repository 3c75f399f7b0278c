//! What a server says that does not answer, as a sentence.

use std::time::Duration;

use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Remote,
    again::{Miss, rested},
};
use crate::engine::{EngineError, RemoteFault};

/// So much of a refusal is read, and so many letters of what it says are passed on.
const READ: usize = 16 * 1024;
const TOLD: usize = 200;
/// The rest of a server that wants some and does not say how much.
const REST: Duration = Duration::from_secs(1);

/// Both protocols say it so.
#[derive(Deserialize)]
struct Refusal {
    error: Wrong,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wrong {
    Object { message: String },
    Text(String),
}

impl Remote {
    /// What an answer of no success is.
    pub(super) async fn refusal(&self, response: Response, until: Instant) -> Miss {
        let status = response.status();
        let code = status.as_u16();
        let rest = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let said = match self.body(response, READ, until).await {
            Ok(body) => told(&body),
            Err(_) => String::new(),
        };
        let error = match status {
            // What it says here may repeat a part of the key.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let says =
                    if self.0.key.is_some() { "does not take the key" } else { "wants a key, and there is none" };
                self.fault(RemoteFault::Refused, format!("{says} ({code})"))
            }
            StatusCode::NOT_FOUND => {
                self.fault(RemoteFault::Refused, format!("knows no such path or model (404){said}"))
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => self.busy(code, rest, &said),
            // Anthropic's "overloaded".
            _ if code == 529 => self.busy(code, rest, &said),
            _ if status.is_redirection() => {
                self.fault(RemoteFault::Refused, format!("sends elsewhere ({code}): name the address that it sends to"))
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                self.fault(RemoteFault::Unfit, format!("refuses the request ({code}){said}"))
            }
            _ if status.is_client_error() => {
                self.fault(RemoteFault::Refused, format!("refuses the request ({code}){said}"))
            }
            _ => self.fault(RemoteFault::Failed, format!("failed ({code}){said}")),
        };
        Miss { error, again: rested(status, rest) }
    }

    fn busy(&self, code: u16, rest: Option<u64>, said: &str) -> EngineError {
        self.rest(rest.map_or(REST, Duration::from_secs));
        let wants = rest.map(|seconds| format!(" and wants {seconds} s of rest")).unwrap_or_default();
        self.fault(RemoteFault::Busy, format!("is asked too much{wants} ({code}){said}"))
    }
}

/// The message within a refusal, as the end of a sentence; nothing where there is none.
fn told(body: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error: Wrong::Object { message } | Wrong::Text(message) }) => quoted(&message),
        Err(_) => String::new(),
    }
}

/// Words of a server's own, fit for a line of the log.
pub(crate) fn quoted(message: &str) -> String {
    let plain: String =
        message.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(TOLD).collect();
    let plain = plain.trim();
    if plain.is_empty() { String::new() } else { format!(": {plain:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_short_line() {
        for (body, says) in [
            (r#"{"error":{"message":"no such\nmodel","type":"x"}}"#, r#": "no such model""#),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 0"}}"#,
                r#": "max_tokens: 0""#,
            ),
            (r#"{"error":"model not found"}"#, r#": "model not found""#),
            ("<html>502</html>", ""),
            (r#"{"error":{"message":"  "}}"#, ""),
        ] {
            assert_eq!(told(body.as_bytes()), says);
        }
        assert!(quoted(&"é".repeat(1_000)).chars().count() < TOLD + 10);
    }
}
