//! What a tool is: verbs that the language model of a conversation may have done, and how it is told of them. One file of
//! `dialplans/tools/` each.

use std::collections::BTreeSet;

use milo_models::{
    engine::Language,
    tools::{self, Argument, ArgumentKind},
};
use serde::Deserialize;

use super::{Action, Block, check::steps, meaning::days_fault, variables};

/// As much as a tool is told and tells.
const MOST: usize = 16;

/// Something that a persona's model may have done.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// What it does, and when it is of use: for the model.
    pub about: String,
    /// What it is told. Each is a variable of the call from then on.
    #[serde(default)]
    pub takes: Vec<Argument>,
    /// The variables that the model is told when it is done. Without any: that it was done.
    #[serde(default)]
    pub tells: Vec<String>,
    /// What the caller hears in Malagasy.
    #[serde(default)]
    mg: Words,
    /// The same in French.
    #[serde(default)]
    fr: Words,
    /// The verbs that do it.
    #[serde(skip)]
    pub actions: Block,
    /// That of its file, without its ending.
    #[serde(skip)]
    pub name: String,
}

/// What the caller hears besides what the model says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Words {
    /// While it is done, or before it where the verbs need the line.
    pub(super) meanwhile: Option<String>,
    /// A question; only a yes has it done.
    pub(super) confirm: Option<String>,
    /// When it is done and was all that was asked for: in place of what the model would say, and sooner.
    pub(super) says: Option<String>,
}

impl Tool {
    /// As the model is told of it; `brief` leaves out what is said about it.
    pub fn for_model(&self, brief: bool) -> tools::Tool {
        let mut takes = self.takes.clone();
        if brief {
            takes.iter_mut().for_each(|argument| argument.about.clear());
        }
        let about = if brief { String::new() } else { self.about.clone() };
        tools::Tool { name: self.name.clone(), about, takes, schema: None }
    }

    /// Whether it is done beside the conversation, while the caller is listened to: it asks and sets, and needs no line.
    pub fn is_beside(&self) -> bool {
        self.actions.iter().all(|step| match step.get_ref() {
            Action::Set(_) | Action::LookUp(_) | Action::Request(_) => true,
            Action::Webhook(webhook) => webhook.plans.is_empty() && webhook.failed.is_none(),
            _ => false,
        })
    }

    /// Whether the call ends with it.
    pub fn hangs_up(&self) -> bool {
        self.actions.last().is_some_and(|step| matches!(step.get_ref(), Action::Hangup { .. }))
    }

    /// Whether somebody else is called by it: what came of that is told too.
    pub fn calls_somebody(&self) -> bool {
        steps(&self.actions).iter().any(|step| matches!(step.get_ref(), Action::Transfer(_) | Action::Dial(_)))
    }

    /// Whether Milo may be to call back by it: who does so is told too.
    pub fn calls_back(&self) -> bool {
        let is_one = |action: &Action| matches!(action, Action::Request(request) if request.campaign.is_some());
        steps(&self.actions).iter().any(|step| is_one(step.get_ref()))
    }

    fn words(&self, language: Language) -> &Words {
        match language {
            Language::Mg => &self.mg,
            Language::Fr => &self.fr,
        }
    }

    /// What the caller hears while it is done.
    pub fn meanwhile(&self, language: Language) -> Option<&str> {
        self.words(language).meanwhile.as_deref()
    }

    /// What the caller is asked before it is done.
    pub fn confirm(&self, language: Language) -> Option<&str> {
        self.words(language).confirm.as_deref()
    }

    /// What the caller hears when it is done, in place of the model's words.
    pub fn says(&self, language: Language) -> Option<&str> {
        self.words(language).says.as_deref()
    }

    /// Every text in which variables have their place.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let words = [&self.mg, &self.fr].into_iter();
        let words = words.flat_map(|words| [&words.meanwhile, &words.confirm, &words.says]);
        words.flatten().map(String::as_str)
    }

    /// What is impossible about it, its verbs left out; `set` are the variables that there are.
    pub(super) fn fault(&self, set: &BTreeSet<String>) -> Option<String> {
        if let Some(why) = variables::unfit(&self.name) {
            return Some(format!("the name of the file: {why}"));
        }
        if self.about.trim().is_empty() {
            return Some("about: is empty; the model must know what it does".into());
        }
        if self.actions.is_empty() {
            return Some("actions: is empty".into());
        }
        if self.takes.len() > MOST || self.tells.len() > MOST {
            return Some(format!("takes and tells: more than {MOST}"));
        }
        let mut names = BTreeSet::from(["tool"]);
        for argument in &self.takes {
            if let Some(why) = variables::unfit(&argument.name) {
                return Some(format!("takes: {why}"));
            }
            if !names.insert(&argument.name) {
                return Some(format!("takes: {:?} stands there twice, or is what a call itself says", argument.name));
            }
            if (argument.kind == ArgumentKind::Choice) == argument.choices.is_empty() {
                return Some(format!("takes: {:?}: choices and kind = \"choice\" go together", argument.name));
            }
            let is_date = argument.kind == ArgumentKind::Date;
            if let Some(why) = days_fault(is_date, argument.past, argument.within_days) {
                return Some(format!("takes: {:?}: {why}", argument.name));
            }
        }
        if let Some(name) = self.tells.iter().find(|name| !set.contains(*name)) {
            return Some(format!("tells: nothing sets the variable {name:?}"));
        }
        let asks = [Language::Mg, Language::Fr].map(|language| self.confirm(language).is_some());
        if asks[0] != asks[1] {
            return Some("confirm: is there in one language, and must be in both".into());
        }
        None
    }

    /// Why a verb has no place in a tool.
    pub(super) fn unfit(action: &Action) -> Option<String> {
        let is_unfit = matches!(
            action,
            Action::Ring { .. }
                | Action::Early {}
                | Action::Answer {}
                | Action::Converse { .. }
                | Action::Reject { .. }
                | Action::Redirect { .. }
        );
        is_unfit.then(|| format!("{} has no place in a tool: it is done within a conversation", action.verb()))
    }
}
