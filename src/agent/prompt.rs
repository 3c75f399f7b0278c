//! What a person who supervises a call wants of the agent: words to be said, or something that the model is to heed.

use serde_json::json;

use super::{Conversation, News};

/// Words that wait to be said; more are left out, and the log says so.
const WAITING: usize = 8;

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// These words, as soon as nobody speaks.
    Say(String),
    /// The model is told this before what the caller says next.
    Instruct(String),
}

impl Conversation<'_> {
    /// Takes it down.
    pub(super) fn prompted(&mut self, prompt: Prompt) {
        match prompt {
            Prompt::Instruct(text) => {
                self.record.event("instructed", json!({ "text": self.record.words(&text) }));
                self.record.news(News::Instruction(text));
            }
            Prompt::Say(text) => {
                let is_taken = self.meanwhile.to_say.len() < WAITING;
                self.record.event("prompted", json!({ "text": self.record.words(&text), "taken": is_taken }));
                if is_taken {
                    self.meanwhile.to_say.push_back(text);
                }
            }
        }
    }
}
