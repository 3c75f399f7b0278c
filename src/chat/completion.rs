//! A reply to a conversation that the asker keeps: what the OpenAI protocol calls a completion.

use milo_models::{
    engine::{EngineError, Language},
    language_model::{ChatMessage, ChatRequest, Role, Usage},
    text::tongue,
};

use super::{Chats, Unanswered};
use crate::{
    agent::{Frame, MOST_TOKENS, Medium, Piece, Words},
    dialplan::Variables,
    engines::{Besides, Mode},
};

/// The most that a conversation may hold, in characters; the model's context is the narrower bound.
const LONGEST: usize = 400_000;
/// Texts at which a reply ends, at most, and the longest one in characters.
const STOPS: (usize, usize) = (4, 200);

/// A conversation to be continued.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Oldest first. Where none instructs the model, the persona does.
    pub messages: Vec<ChatMessage>,
    /// The persona that answers; the configured one when it is left out.
    pub persona: Option<String>,
    /// The persona's own when it is left out; 4,096 at most.
    pub max_tokens: Option<usize>,
    /// The persona's own when it is left out.
    pub temperature: Option<f32>,
    /// See [`ChatRequest::seed`].
    pub seed: u64,
    /// Texts at which the reply ends; they are not part of it.
    pub stops: Vec<String>,
}

/// A reply on its way. Dropping it cancels the rest.
pub struct Completion {
    words: Option<Words>,
    stops: Vec<String>,
    /// Text that may become one of the stops.
    held: String,
    is_cut: bool,
    usage: Option<Usage>,
}

impl Chats {
    /// Begins a reply to a conversation that no session remembers.
    pub async fn complete(&self, asked: Asked) -> Result<Completion, Unanswered> {
        let length: usize = asked.messages.iter().map(|message| message.content.chars().count()).sum();
        if length > LONGEST {
            let says = format!("the conversation has {length} characters; {LONGEST} are the most");
            return Err(EngineError::Input(says).into());
        }
        let is_asked = |message: &ChatMessage| message.role == Role::User && !message.content.trim().is_empty();
        if !asked.messages.last().is_some_and(is_asked) {
            let says = "the last message must be the user's, and say something: it is what is answered";
            return Err(EngineError::Input(says.into()).into());
        }
        if asked.stops.len() > STOPS.0
            || asked.stops.iter().any(|stop| stop.is_empty() || stop.chars().count() > STOPS.1)
        {
            let says = format!("`stop` holds at most {} texts of 1 to {} characters", STOPS.0, STOPS.1);
            return Err(EngineError::Input(says).into());
        }
        let edition = self.editions.current();
        let persona = self.persona(&edition, asked.persona.as_deref())?;
        let mut messages = merged(asked.messages);
        // Whoever instructs the model themselves has all that it is told in their hands.
        let mut besides = Besides::default();
        if messages.first().is_none_or(|first| first.role != Role::System) {
            let language = messages.last().and_then(|asked| tongue(&asked.content)).unwrap_or(Language::Mg);
            let told = persona.told_of(&Variables::default(), language);
            let frame = Frame::of(&told, Medium::Text);
            besides = Besides::instructed(frame.map(|frame| frame.behind(&told.prompt)));
            messages.insert(0, ChatMessage::new(Role::System, &*told.prompt));
        }
        let max_tokens = asked.max_tokens.unwrap_or(persona.max_tokens);
        if max_tokens > MOST_TOKENS {
            let says = format!("max_tokens is {max_tokens}; {MOST_TOKENS} are the most");
            return Err(EngineError::Input(says).into());
        }
        let temperature = asked.temperature.unwrap_or(persona.temperature);
        let request =
            ChatRequest { temperature, seed: asked.seed, ..ChatRequest::new(messages, max_tokens, self.class) };
        let mind = self.engines.mind.in_mode(persona.mode);
        let reply = mind.reply_besides(request, besides, mind.mode()).await?;
        let words = Some(Words::new(reply.strictly(), None));
        Ok(Completion { words, stops: asked.stops, held: String::new(), is_cut: false, usage: None })
    }
}

/// Chat templates want the two sides in turn, and instructions before them.
fn merged(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let (instructions, said): (Vec<_>, Vec<_>) = messages.into_iter().partition(|message| message.role == Role::System);
    let mut merged: Vec<ChatMessage> = Vec::new();
    for message in instructions.into_iter().chain(said) {
        match merged.last_mut().filter(|last| last.role == message.role) {
            Some(last) => last.content = format!("{}\n{}", last.content, message.content),
            None => merged.push(message),
        }
    }
    merged
}

impl Completion {
    /// Who answers, as far as it is known.
    pub fn mode(&self) -> Option<Mode> {
        self.words.as_ref().map(Words::mode)
    }

    /// Whether the reply ended at its longest: not by itself, nor at a stop. Known once it is complete.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// How many tokens the reply took, where whoever made it has counted them. Known once it is complete.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The next words; `None` when the reply is complete. Cancel safe.
    ///
    /// # Errors
    /// [`EngineError`] when the model fails, the conversation is longer than its context, or a server does not take it; nothing
    /// follows.
    pub async fn next(&mut self) -> Option<Result<String, EngineError>> {
        loop {
            let words = self.words.as_mut()?;
            let piece = words.next().await;
            match piece {
                Some(Ok(Piece::Text(text))) => {
                    self.held.push_str(&text);
                    if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop)).min() {
                        self.usage = words.usage();
                        self.words = None;
                        self.held.truncate(at);
                        return (!self.held.is_empty()).then(|| Ok(std::mem::take(&mut self.held)));
                    }
                    let may_end = self.held.len() - self.overlap();
                    if may_end > 0 {
                        let rest = self.held.split_off(may_end);
                        return Some(Ok(std::mem::replace(&mut self.held, rest)));
                    }
                }
                // The sign of the telephone's agent; whoever keeps the conversation ends it as it likes.
                Some(Ok(Piece::HangUp | Piece::Doubtful)) => {}
                Some(Err(error)) => {
                    self.words = None;
                    return Some(Err(error));
                }
                None => {
                    (self.is_cut, self.usage) = (words.is_cut(), words.usage());
                    self.words = None;
                    return (!self.held.is_empty()).then(|| Ok(std::mem::take(&mut self.held)));
                }
            }
        }
    }

    /// How many bytes at the end of what is held may be the beginning of a stop.
    fn overlap(&self) -> usize {
        let starts = |from: usize| self.stops.iter().any(|stop| stop.starts_with(&self.held[from..]));
        let at = self.held.char_indices().map(|(at, _)| at).find(|at| starts(*at));
        at.map_or(0, |at| self.held.len() - at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_come_in_turn_and_instructions_first() {
        let say = |role, text: &str| ChatMessage::new(role, text);
        let messages = vec![
            say(Role::User, "a"),
            say(Role::System, "be brief"),
            say(Role::User, "b"),
            say(Role::Assistant, "c"),
            say(Role::System, "be kind"),
            say(Role::User, "d"),
        ];
        let expected = vec![
            say(Role::System, "be brief\nbe kind"),
            say(Role::User, "a\nb"),
            say(Role::Assistant, "c"),
            say(Role::User, "d"),
        ];
        assert_eq!(merged(messages), expected);
    }

    #[test]
    fn what_may_become_a_stop_is_held_back() {
        let completion = |held: &str| Completion {
            words: None,
            stops: vec!["END".into(), "\n\n".into()],
            held: held.into(),
            is_cut: false,
            usage: None,
        };
        assert_eq!(completion("and").overlap(), 0);
        assert_eq!(completion("the E").overlap(), 1);
        assert_eq!(completion("the EN").overlap(), 2);
        assert_eq!(completion("line\n").overlap(), 1);
        assert_eq!(completion("été E").overlap(), 1);
    }
}
