//! A conversation that waits, for what its model wants done on the line, or for a person who speaks with the caller in its place.

use milo_models::{engine::Language, language_model::ChatMessage};

use super::Context;
use crate::call::Supervisor;

/// A conversation that waits.
#[derive(Debug)]
pub struct Suspended {
    pub(super) persona: String,
    pub(super) language: Language,
    pub(super) context: Context,
    pub(super) waits: Waits,
}

/// What it waits for.
#[derive(Debug)]
pub(super) enum Waits {
    /// For what its model wants done.
    Tool(Box<OnTheLine>),
    /// For somebody who speaks with the caller; they are given to the call once.
    Supervisor(Option<Box<Supervisor>>),
}

/// What a model wants done on the line.
#[derive(Debug)]
pub(super) struct OnTheLine {
    pub(super) tool: String,
    /// What of it was not done, as far as the plan knows.
    pub(super) failed: Option<String>,
    /// What the model was told in this turn, and what was done so far; the last call has no result yet.
    pub(super) heard: String,
    pub(super) done: Vec<ChatMessage>,
}

impl Suspended {
    /// Who speaks in it.
    pub fn persona(&self) -> &str {
        &self.persona
    }

    /// What is spoken in it.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What is to be done, where it waits for that.
    pub fn tool(&self) -> Option<&str> {
        match &self.waits {
            Waits::Tool(task) => Some(&task.tool),
            Waits::Supervisor(_) => None,
        }
    }

    /// Who is to have the call, where it waits for them. Told once.
    pub fn supervisor(&mut self) -> Option<Supervisor> {
        match &mut self.waits {
            Waits::Supervisor(supervisor) => supervisor.take().map(|supervisor| *supervisor),
            Waits::Tool(_) => None,
        }
    }

    /// Something of it was not done; the first reason is told.
    pub fn failed(&mut self, why: &str) {
        if let Waits::Tool(task) = &mut self.waits {
            task.failed.get_or_insert_with(|| why.to_owned());
        }
    }
}
