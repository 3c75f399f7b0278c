//! The log of the Milo that was called, by its API: what it understood, said and did.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::sleep;

use crate::{bench::get, store::Stamp};

/// How often the log is asked for a call that is over, and how long it is waited in between.
const ASKED: usize = 100;
const AGAIN: Duration = Duration::from_millis(200);
/// The newest calls of the log, among which the one in question is.
const NEWEST: usize = 200;

/// Where the log is.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) http: String,
    pub(super) key: Option<String>,
}

impl Log {
    /// A call by its identifier.
    pub(super) async fn call(&self, id: &str) -> Result<Value> {
        if id.is_empty() || !id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
            bail!("{id:?} is no identifier of a call; `GET /api/v1/calls` has them");
        }
        get(&self.http, self.key.as_deref(), &format!("/api/v1/calls/{id}")).await
    }

    /// The call with this Call-ID, once it is over.
    pub(super) async fn ended(&self, call_id: &str) -> Result<Value> {
        for _ in 0..ASKED {
            let page = get(&self.http, self.key.as_deref(), &format!("/api/v1/calls?limit={NEWEST}")).await?;
            let calls = page["calls"].as_array().context("the API has no list of calls")?;
            let over = calls.iter().find(|call| call["call_id"] == call_id && !call["ended"].is_null());
            if let Some(id) = over.and_then(|call| call["id"].as_str()) {
                return self.call(id).await;
            }
            sleep(AGAIN).await;
        }
        bail!("the log at {} has no call with the Call-ID {call_id} that is over", self.http)
    }
}

/// When something was, in milliseconds since the call was answered.
pub(super) fn since_answer(call: &Value, at: &Value) -> Option<f64> {
    let millis = |at: &Value| at.as_str()?.parse::<Stamp>().ok().map(Stamp::millis);
    Some((millis(at)? - millis(&call["answered"])?) as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn moments_of_the_log_are_counted_from_the_answer() {
        let call = json!({ "answered": "2026-11-30T07:12:00.250Z" });
        assert_eq!(since_answer(&call, &json!("2026-11-30T07:12:09.400Z")), Some(9_150.0));
        assert_eq!(since_answer(&json!({ "answered": null }), &json!("2026-11-30T07:12:09.400Z")), None);
    }
}
