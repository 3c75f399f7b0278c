//! One answer to a message, as it is written.

use milo_models::{
    engine::{EngineError, Language},
    llama::{ChatRequest, LanguageModel},
};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};

use super::sessions::Session;
use crate::agent::{Persona, Phrase, Piece, Words};

/// An answer on its way. The session remembers it when it is complete.
pub struct Answer {
    /// Its place among the answers that are written.
    _place: OwnedSemaphorePermit,
    model: LanguageModel,
    session: OwnedMutexGuard<Session>,
    message: String,
    words: Option<Words>,
    said: String,
    least: Option<f32>,
    max_tokens: usize,
    temperature: f32,
    /// What is said where the model cannot be trusted.
    not_understood: String,
    ends: bool,
}

impl Answer {
    pub(super) fn begin(
        place: OwnedSemaphorePermit,
        model: LanguageModel,
        session: OwnedMutexGuard<Session>,
        persona: &Persona,
        message: &str,
    ) -> Result<Self, EngineError> {
        let not_understood = persona.phrase(Phrase::NotUnderstood, session.language).to_owned();
        let mut answer = Self {
            _place: place,
            model,
            session,
            message: message.into(),
            words: None,
            said: String::new(),
            least: persona.min_logprob,
            max_tokens: persona.max_tokens,
            temperature: persona.temperature,
            not_understood,
            ends: false,
        };
        answer.start()?;
        Ok(answer)
    }

    fn start(&mut self) -> Result<(), EngineError> {
        let messages = self.session.context.messages(&self.message);
        let (max_tokens, temperature) = (self.max_tokens, self.temperature);
        let tokens = self.model.reply(ChatRequest { messages, max_tokens, temperature, seed: 0 })?;
        self.words = Some(Words::new(tokens, self.least));
        Ok(())
    }

    /// Whose session it is.
    pub fn session(&self) -> &str {
        &self.session.id
    }

    /// What the session speaks.
    pub fn language(&self) -> Language {
        self.session.language
    }

    /// What was written so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Whether the model takes the conversation to be over.
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// The next words; `None` when the answer is complete. Cancel safe.
    ///
    /// # Errors
    /// [`EngineError`] when the model fails, or the message alone is longer than its context; nothing follows, and the session
    /// does not remember the message.
    pub async fn next(&mut self) -> Option<Result<String, EngineError>> {
        loop {
            let piece = self.words.as_mut()?.next().await;
            match piece {
                Some(Ok(Piece::Text(text))) if text.is_empty() => {}
                Some(Ok(Piece::Text(text))) => {
                    self.said.push_str(&text);
                    return Some(Ok(text));
                }
                Some(Ok(Piece::HangUp)) => self.ends = true,
                Some(Ok(Piece::Doubtful)) => return self.excuse(),
                // The conversation has outgrown the model's context: without its oldest exchange it may fit.
                Some(Err(EngineError::Input(_))) if self.said.is_empty() && self.session.context.forget() => {
                    if let Err(error) = self.start() {
                        self.words = None;
                        return Some(Err(error));
                    }
                }
                Some(Err(error)) => {
                    self.words = None;
                    return Some(Err(error));
                }
                None if self.said.trim().is_empty() => return self.excuse(),
                None => {
                    self.remember();
                    return None;
                }
            }
        }
    }

    /// The persona's own words in place of the model's.
    fn excuse(&mut self) -> Option<Result<String, EngineError>> {
        self.said = self.not_understood.clone();
        self.remember();
        Some(Ok(self.said.clone()))
    }

    fn remember(&mut self) {
        self.words = None;
        self.session.context.remember(&self.message, &self.said);
    }
}
