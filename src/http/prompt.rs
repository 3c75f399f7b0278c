//! `POST /api/v1/calls/{id}/agent`: what a person who supervises a call wants of the agent that speaks in it.

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    calls::{missing, unreached},
    guard::{Call, May},
    named::Named,
};
use crate::{agent::Prompt, store::Key};

/// The longest words or instruction, in characters.
const LONGEST: usize = 1_000;

/// One of the two: words for the caller, or an instruction for the agent.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AgentPrompt, example = json!({"say": "Andraso kely azafady."}))]
struct Wanted {
    /// Said as soon as neither the caller nor Milo speaks, in the language that it is written in.
    #[schema(max_length = 1000)]
    say: Option<String>,
    /// Told to the language model before what the caller says next.
    #[schema(max_length = 1000)]
    instruct: Option<String>,
}

/// The agent will do it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AgentPrompted)]
struct Prompted {
    id: Key,
}

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(prompt))
}

/// Have the agent of a call that is up say something, or heed something
///
/// The call's events tell what was wanted (`prompted`, `instructed`), and its turns what was said.
#[utoipa::path(
    post,
    path = "/api/v1/calls/{id}/agent",
    operation_id = "prompt_agent",
    tag = "calls",
    params(("id" = Key, Path, description = "The call's identifier in the log.")),
    request_body = Wanted,
    security(("key" = ["calls"])),
    responses(
        (status = 202, description = "It is about to be done.", body = Prompted),
        (status = 404, description = "the log has no call with this identifier"),
        (status = 409, description = "this call is not up, no agent speaks in it, or it has not done yet what was wanted before"),
    ),
)]
async fn prompt(
    State(state): State<AppState>,
    may: May<Call>,
    Named(id): Named,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Response, Problem> {
    let key: Key = id.parse().map_err(|_| missing())?;
    let Json(wanted) = body?;
    let prompt = wanted.prompt()?;
    let what = match &prompt {
        Prompt::Say(_) => "say",
        Prompt::Instruct(_) => "instruct",
    };
    match state.live.prompt(key, prompt) {
        Ok(()) => {
            state.log.done(may.asker.deed("calls.agent", Some(key.to_string()), Some(what.into())));
            Ok((StatusCode::ACCEPTED, Json(Prompted { id: key })).into_response())
        }
        Err(why) => Err(unreached(&state, key, why).await),
    }
}

impl Wanted {
    fn prompt(self) -> Result<Prompt, Problem> {
        let (name, text, prompt): (_, _, fn(String) -> Prompt) = match (self.say, self.instruct) {
            (Some(text), None) => ("say", text, Prompt::Say),
            (None, Some(text)) => ("instruct", text, Prompt::Instruct),
            _ => return Err(Problem::unprocessable("either `say` or `instruct` is wanted, and not both")),
        };
        // One line: what the model is told stands in parentheses before the caller's words.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        match text.chars().count() {
            0 => Err(Problem::unprocessable(format!("`{name}` is empty"))),
            count if count > LONGEST => {
                Err(Problem::unprocessable(format!("`{name}` has {count} characters; {LONGEST} at most")))
            }
            _ => Ok(prompt(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_thing_is_wanted_and_it_is_neither_empty_nor_endless() {
        let wanted = |body: serde_json::Value| {
            serde_json::from_value::<Wanted>(body)
                .expect("two fields")
                .prompt()
                .map_err(|problem| problem.detail().to_owned())
        };
        assert_eq!(wanted(json!({ "say": " Andraso\n kely " })).unwrap(), Prompt::Say("Andraso kely".into()));
        assert_eq!(wanted(json!({ "instruct": "be brief" })).unwrap(), Prompt::Instruct("be brief".into()));
        for (wrong, says) in [
            (json!({}), "either"),
            (json!({ "say": "a", "instruct": "b" }), "not both"),
            (json!({ "say": " " }), "`say` is empty"),
            (json!({ "instruct": "a".repeat(1_001) }), "1001 characters"),
        ] {
            let refused = wanted(wrong).expect_err("wrong");
            assert!(refused.contains(says), "{refused}");
        }
    }
}
