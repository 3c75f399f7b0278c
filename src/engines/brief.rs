//! A short reply, where a turn's time is short: whoever has waited for the first word of it does not wait as long for the last, and a
//! model that is slow because many ask it has less to do.

use std::time::Duration;

use milo_models::{
    engine::Language,
    language_model::{ChatRequest, Role},
};

/// That a reply is to be short, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// What is spoken.
    pub language: Language,
    /// How long the turn had been over by then.
    pub spent: Duration,
    /// How long the answer was still expected to take.
    pub expected: Duration,
}

impl Brief {
    /// How a model is told so.
    fn sentence(self) -> &'static str {
        match self.language {
            Language::Fr => "Répondez en une seule phrase courte.",
            Language::Mg => "Valio amin'ny fehezanteny fohy iray monja.",
        }
    }

    /// The same request for such a reply.
    pub(super) fn of(self, mut request: ChatRequest) -> ChatRequest {
        // With what was said last, as all that is told besides: what a server has read of a conversation before stays as it was.
        if let Some(said) = request.messages.iter_mut().rfind(|message| message.role == Role::User) {
            said.content = format!("({})\n{}", self.sentence(), said.content);
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use milo_models::{language_model::ChatMessage, queue::Class};

    use super::*;

    fn request(max_tokens: usize) -> ChatRequest {
        let said =
            [(Role::System, "p"), (Role::User, "a"), (Role::Assistant, "b"), (Role::User, "c"), (Role::Result, "1")];
        let messages = said.map(|(role, words)| ChatMessage::new(role, words)).into();
        ChatRequest::new(messages, max_tokens, Class::Call)
    }

    #[test]
    fn a_short_reply_is_asked_for_with_what_was_said_last_and_is_not_cut_for_it() {
        let brief = |language| Brief { language, spent: Duration::ZERO, expected: Duration::ZERO };
        let asked = brief(Language::Fr).of(request(400));
        let contents: Vec<_> = asked.messages.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["p", "a", "b", "(Répondez en une seule phrase courte.)\nc", "1"]);
        assert_eq!(asked.max_tokens, 400);
        let asked = brief(Language::Mg).of(request(20));
        assert!(asked.messages[3].content.starts_with("(Valio "), "{asked:?}");
    }
}
