//! What `converse` says of those who answer and are no persons.

use serde::{Deserialize, Serialize};

use super::{Prompt, variables::Place};

/// What is done where no person has answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detect {
    /// What is done when a machine has answered that takes messages: `message` (a message is left behind its beep, and
    /// the call ends), `hangup`, or `plan` (the call goes on with another plan).
    pub machine: OnMachine,
    /// With `machine = "message"`: what is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Prompt>,
    /// With `machine = "plan"`: that plan's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The plan to go on with when a menu of keys has answered; without it, the conversation goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ivr: Option<String>,
}

/// What is done with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMachine {
    /// A message is left.
    Message,
    /// The call ends.
    Hangup,
    /// Another plan goes on.
    Plan,
}

impl Detect {
    pub(super) fn sound(&self) -> Option<&String> {
        self.message.as_ref().and_then(Prompt::sound)
    }

    pub(super) fn words(&mut self) -> Option<(Place, &mut String)> {
        self.message.as_mut().and_then(Prompt::words)
    }

    /// The plans with which the call may go on, and the fields that name them.
    pub(super) fn leads_to(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let plans = [("converse: detect: plan", &self.plan), ("converse: detect: ivr", &self.ivr)];
        plans.into_iter().filter_map(|(field, plan)| Some((field, plan.as_deref()?)))
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { machine, message, plan, .. } = self;
        if message.is_some() != (*machine == OnMachine::Message) {
            let right = "message = { say = \"…\" } and machine = \"message\" go together";
            return Some(format!("converse: detect: {right}"));
        }
        if plan.is_some() != (*machine == OnMachine::Plan) {
            return Some("converse: detect: plan = \"…\" and machine = \"plan\" go together".into());
        }
        let is_mute = matches!(message, Some(Prompt::Say(words)) if words.trim().is_empty());
        is_mute.then(|| "converse: detect: message: say is empty".into())
    }
}
