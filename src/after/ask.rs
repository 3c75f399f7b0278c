//! Asking the model what came of a call: once, and once more with what was wrong.

use std::{sync::Arc, time::Duration};

use milo_models::{
    engine::{EngineError, Language},
    json_schema,
    language_model::{ChatMessage, ChatRequest, Role},
    queue::{Class, Wanted},
};
use tokio::time::sleep;

use super::{
    Form,
    instructions::{again, instructions},
    transcript::{Exchange, transcript},
};
use crate::{
    engines::Mind,
    store::{Findings, TurnRow},
};

/// Characters of a call that the model reads, the last ones of a longer call; a model that has no room for them reads half, and so on.
const LONGEST: usize = 12_000;
/// With fewer there is no point in asking.
const SHORTEST: usize = 300;
/// Tokens of a reply, and characters of one that a server does not end there.
const MOST_TOKENS: usize = 600;
const MOST_CHARACTERS: usize = 16_000;
/// Before an engine that had no room is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// What came of a call with these turns, or why nothing did. `None`: the log has no words of it.
pub(super) async fn ask(
    mind: &Mind,
    form: &Form,
    turns: &[TurnRow],
    call: Language,
) -> Option<Result<Findings, String>> {
    let language = form.language(call);
    let schema = form.schema();
    let system = instructions(&schema, language);
    let grammar = match json_schema::grammar(&schema) {
        Ok(grammar) => grammar.into(),
        // The form was looked at when it was read.
        Err(fault) => return Some(Err(fault)),
    };
    let mut request = ChatRequest {
        messages: Vec::new(),
        max_tokens: MOST_TOKENS,
        temperature: 0.0,
        seed: 0,
        grammar: Some(grammar),
        tools: Arc::default(),
        class: Class::Batch,
        wanted: Wanted::default(),
    };
    let turns: Vec<_> = turns.iter().map(Exchange::from).collect();
    let mut longest = LONGEST;
    let mut wrong: Option<(String, String)> = None;
    loop {
        let lines = transcript(&turns, language, longest)?;
        let half = lines.chars().count() / 2;
        request.messages = vec![ChatMessage::new(Role::System, &system), ChatMessage::new(Role::User, lines)];
        if let Some((written, fault)) = &wrong {
            request.messages.push(ChatMessage::new(Role::Assistant, written));
            request.messages.push(ChatMessage::new(Role::User, again(fault, language)));
        }
        let (written, fault) = match reply(mind, request.clone()).await {
            Ok((written, is_cut)) => match form.read(&written) {
                Ok(findings) => return Some(Ok(findings)),
                // Half a reply is of no use to it, and perhaps what it has read left no room for the whole.
                Err(_) if is_cut => {
                    longest = half.max(SHORTEST);
                    ("{}".into(), format!("there was no end to it within {MOST_TOKENS} tokens, or the model's context"))
                }
                // No protocol takes a reply of nothing.
                Err(fault) if written.trim().is_empty() => ("{}".into(), fault),
                Err(fault) => (written, fault),
            },
            Err(EngineError::Overloaded { .. }) => {
                sleep(AGAIN).await;
                continue;
            }
            Err(EngineError::Input(_)) if half >= SHORTEST => {
                longest = half;
                continue;
            }
            Err(error) => return Some(Err(error.to_string())),
        };
        if wrong.is_some() {
            return Some(Err(format!("the model did not write what it was asked for: {fault}")));
        }
        wrong = Some((written, fault));
    }
}

/// The whole reply, and whether it was cut.
async fn reply(mind: &Mind, request: ChatRequest) -> Result<(String, bool), EngineError> {
    mind.reply_heeding(request).await?.whole(MOST_CHARACTERS).await
}
