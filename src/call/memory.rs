//! A caller who is known from before: what their last call has left is there when they call again, where the persona wants that.

use std::time::Duration;

use milo_models::engine::Language;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{House, Record};
use crate::{
    agent::Persona,
    dialplan::{Facts, Plan, Variables},
    store::{Stamp, Store},
    trunk::is_nobody,
};

/// A call waits so long for what is known of its caller, and then begins as any other.
const PATIENCE: Duration = Duration::from_millis(500);
/// Why a persona is not told what is known.
const KEPT: &str = "it was said to a persona that is kept local, and this one asks a server";
/// How often it is looked for what is too old.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    /// Their number, as the log has it.
    pub(super) number: String,
    /// The plan that the call began with.
    plan: Option<String>,
}

impl Caller {
    /// Nobody, where they do not want their number to be known.
    pub(super) fn of(facts: &Facts, plan: Option<&Plan>) -> Option<Self> {
        let Facts { from, identity, .. } = facts;
        let is_known = !identity.is_private && !from.is_empty() && !is_nobody(from);
        is_known.then(|| Self { number: from.clone(), plan: plan.map(|plan| plan.name.clone()) })
    }
}

/// Reads what is known of the caller. What a persona has heard that is kept local is known to those alone who ask no server. Returns the
/// language to begin in: that of their last call, unless they have come to this plan by another, in which they may have chosen one.
pub(super) async fn recall(
    house: &House,
    persona: &Persona,
    variables: &mut Variables,
    (plan, language): (&str, Language),
    log: &Record,
) -> Language {
    let Some(caller) = log.caller().filter(|_| persona.memory.is_some()) else { return language };
    let is_new = variables.remembered().is_none();
    if is_new {
        match timeout(PATIENCE, house.store.memory(&caller.number, Stamp::now())).await {
            Ok(Ok(Some(memory))) => variables.remember(memory),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => forgetful(log, &error.to_string()),
            Err(_) => forgetful(log, "the database takes long"),
        }
    }
    let Some(known) = variables.remembered() else { return language };
    let begins_in = known.language.parse().ok().filter(|_| caller.plan.as_deref() == Some(plan));
    if known.is_local && !house.engines.in_mode(persona.mode).ask_nobody() {
        log.event("not_remembered", json!({ "why": KEPT }));
        variables.forget();
    } else if is_new {
        log.event("remembered", json!({ "last_call": known.last_call }));
    }
    begins_in.unwrap_or(language)
}

fn forgetful(log: &Record, why: &str) {
    tracing::warn!(call.id = %log.id(), why, "what is known of a caller cannot be read");
    log.event("not_remembered", json!({ "why": why }));
}

/// Deletes what has been known of callers for long enough, now and every day from now on.
pub async fn forget_memories(store: Store) {
    let mut clock = interval(DAY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        if let Err(error) = store.forget_memories(Stamp::now()).await {
            tracing::warn!(%error, "what was known of callers cannot be deleted; tried again tomorrow");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialplan::Identified;

    #[test]
    fn who_shows_no_number_is_nobody_to_be_remembered() {
        let of = |from: &str, is_private| {
            let identity = Identified { asserted: "+261341".into(), is_private, ..Identified::default() };
            Caller::of(&Facts { from: from.into(), identity, ..Facts::default() }, None).map(|caller| caller.number)
        };
        assert_eq!(of("034", false).as_deref(), Some("034"));
        assert_eq!([of("034", true), of("Anonymous", false), of("", false)], [None, None, None]);
    }
}
