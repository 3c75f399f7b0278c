//! One answer to a message, as it is written.

use std::sync::Arc;

use milo_models::{
    engine::{EngineError, Language},
    language_model::ChatRequest,
    queue::Class,
    synthesizer::SpeechOptions,
};

use super::sessions::{Sessions, Turn};
use crate::{
    agent::{Frame, Medium, Persona, Phrase, Piece, Words},
    engines::{Besides, Mind, Mode, Timbres},
};

/// An answer on its way. The session remembers it when it is complete.
pub struct Answer {
    mind: Mind,
    class: Class,
    /// Who is asked, and in the end: who answered.
    mode: Mode,
    sessions: Arc<Sessions>,
    turn: Turn,
    prompt: String,
    frame: Option<Frame>,
    message: String,
    words: Option<Words>,
    said: String,
    least: Option<f32>,
    max_tokens: usize,
    temperature: f32,
    /// What is said where the model cannot be trusted.
    not_understood: String,
    ends: bool,
    is_cut: bool,
    /// What the persona wants of the engines, and how it sounds.
    wanted: Option<Mode>,
    voice: Timbres,
}

impl Answer {
    pub(super) async fn begin(
        (mind, class): (Mind, Class),
        (sessions, turn): (Arc<Sessions>, Turn),
        persona: &Persona,
        message: &str,
    ) -> Result<Self, EngineError> {
        let not_understood = persona.phrase(Phrase::NotUnderstood, turn.session.language).to_owned();
        let mut answer = Self {
            mode: mind.mode(),
            mind,
            class,
            sessions,
            turn,
            prompt: persona.prompt.clone(),
            frame: Frame::of(persona, Medium::Text),
            message: message.into(),
            words: None,
            said: String::new(),
            least: persona.min_logprob,
            max_tokens: persona.max_tokens,
            temperature: persona.temperature,
            not_understood,
            ends: false,
            is_cut: false,
            wanted: persona.mode,
            voice: persona.voice.clone(),
        };
        answer.start().await?;
        Ok(answer)
    }

    async fn start(&mut self) -> Result<(), EngineError> {
        let context = self.turn.session.context(&self.prompt).framed(self.frame.clone());
        let (messages, besides) =
            (context.messages(&self.message, &[]), Besides::instructed(context.framed_instructions()));
        let temperature = self.temperature;
        let request = ChatRequest { temperature, ..ChatRequest::new(messages, self.max_tokens, self.class) };
        let tokens = self.mind.reply_besides(request, besides, self.mode).await?;
        self.mode = tokens.mode();
        self.words = Some(Words::new(tokens, self.least));
        Ok(())
    }

    /// Whose engines may say it aloud, as its persona has it.
    pub fn wanted(&self) -> Option<Mode> {
        self.wanted
    }

    /// How that sounds.
    pub fn sounding(&self) -> SpeechOptions {
        self.voice.of(self.language()).within(SpeechOptions::default())
    }

    /// What its session is called.
    pub fn session(&self) -> &str {
        self.turn.session.name.called()
    }

    /// What the session speaks.
    pub fn language(&self) -> Language {
        self.turn.session.language
    }

    /// What was written so far.
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Who answers, as far as it is known.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the model said no more although it had not finished.
    pub fn is_cut(&self) -> bool {
        self.is_cut
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
            let words = self.words.as_mut()?;
            let piece = words.next().await;
            self.mode = words.mode();
            let is_at_longest = words.is_cut();
            match piece {
                Some(Ok(Piece::Text(text))) if text.is_empty() => {}
                Some(Ok(Piece::Text(text))) => {
                    self.said.push_str(&text);
                    return Some(Ok(text));
                }
                Some(Ok(Piece::HangUp)) => self.ends = true,
                Some(Ok(Piece::Doubtful)) => return self.excuse().await,
                // The conversation has outgrown the model's context: without its oldest exchange it may fit.
                Some(Err(EngineError::Input(_))) if self.said.is_empty() && self.turn.session.outgrown() => {
                    self.words = None;
                    if let Err(error) = self.start().await {
                        self.words = None;
                        return Some(Err(error));
                    }
                }
                Some(Err(error)) if !self.said.trim().is_empty() => {
                    tracing::warn!(%error, "a reply was cut off; it ends at what was said");
                    self.is_cut = true;
                    self.remember().await;
                    return None;
                }
                Some(Err(error)) => {
                    self.words = None;
                    return Some(Err(error));
                }
                None if self.said.trim().is_empty() => return self.excuse().await,
                None => {
                    self.is_cut = is_at_longest;
                    self.remember().await;
                    return None;
                }
            }
        }
    }

    /// The persona's own words in place of the model's.
    async fn excuse(&mut self) -> Option<Result<String, EngineError>> {
        self.said = self.not_understood.clone();
        self.remember().await;
        Some(Ok(self.said.clone()))
    }

    async fn remember(&mut self) {
        self.words = None;
        let Turn { session, began } = &mut self.turn;
        self.sessions.remember(session, *began, &self.message, &self.said).await;
    }
}
