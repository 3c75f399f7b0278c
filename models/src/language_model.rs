//! What every language model takes and gives, wherever it runs: a conversation in, a reply token by token out.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    engine::EngineError,
    queue::{Class, Waiting, Wanted, Work},
    tools::{Call, Tool},
};

/// What continues a conversation: [`crate::llama::Llama`] in this process, [`crate::anthropic::Anthropic`] and
/// [`crate::openai::Chat`] on servers that are asked.
pub trait LanguageModel: Send + Sync {
    /// Puts a conversation in line; its reply comes token by token. Called within a tokio runtime.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when there is no place; [`EngineError::Input`] when there is nothing to answer.
    fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError>;

    /// Requests that wait for their turn.
    fn waiting(&self) -> Waiting;

    /// What its thread in this process has done so far; nothing where a server does it.
    fn work(&self) -> Work;

    /// Whether it can answer nothing now: it is being loaded anew.
    fn stopped(&self) -> bool;
}

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The persona's instructions.
    System,
    /// The caller.
    User,
    /// Milo.
    Assistant,
    /// Milo, who has something done in place of talking: [`Call::text`].
    Call,
    /// What came of a call, as JSON. As many as there are calls before them, in their order.
    Result,
}

impl Role {
    /// The name chat templates use.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User | Self::Result => "user",
            Self::Assistant | Self::Call => "assistant",
        }
    }
}

/// One thing that was said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ChatMessage {
    /// Who said it.
    pub role: Role,
    /// The words.
    pub content: String,
}

impl ChatMessage {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

/// So many of a reply's first tokens say by their mean log-probability whether it can be trusted.
pub const WEIGHED_TOKENS: usize = 4;

/// A conversation so far, and how it should be continued.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// Oldest first; the last one is what the reply answers.
    pub messages: Vec<ChatMessage>,
    /// The reply ends after so many tokens, if it does not end by itself.
    pub max_tokens: usize,
    /// 0 takes the likeliest token each time; more draws among the likely ones.
    pub temperature: f32,
    /// Two requests with the same seed, temperature and messages draw the same reply, where the model runs in this process and has as much
    /// of them in its cache: what it reads anew, or beside others, it computes with other last digits, on which a draw may turn.
    pub seed: u64,
    /// The whole reply is one that this grammar (llama.cpp's GBNF, beginning with its rule `root`) can say, unless it ends at its longest.
    /// Only a model in this process can be held to one.
    pub grammar: Option<Arc<str>>,
    /// What the model may have done in place of talking, or beside it ([`Reply::calls`]).
    pub tools: Arc<[Tool]>,
    /// Whose it is.
    pub class: Class,
    /// When its first word is wanted.
    pub wanted: Wanted,
}

impl ChatRequest {
    /// The likeliest reply of so many tokens at most, held to no grammar and without tools, as soon as may be.
    pub fn new(messages: Vec<ChatMessage>, max_tokens: usize, class: Class) -> Self {
        let (tools, wanted) = (Arc::default(), Wanted::default());
        Self { messages, max_tokens, temperature: 0.0, seed: 0, grammar: None, tools, class, wanted }
    }

    /// The same for a server, of which not everything can be asked.
    pub(crate) fn check_for_server(&self) -> Result<(), EngineError> {
        self.check()?;
        if self.grammar.is_some() {
            let says = "only the local model can be held to a grammar; leave it out, or ask the local one";
            return Err(EngineError::Input(says.into()));
        }
        Ok(())
    }

    /// Refuses what no model can answer.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        if self.messages.iter().all(|message| message.content.trim().is_empty()) {
            return Err(EngineError::Input("the conversation is empty; it needs at least one message".into()));
        }
        if self.max_tokens == 0 {
            return Err(EngineError::Input("max_tokens is 0; a reply needs at least 1".into()));
        }
        if !(0.0..=10.0).contains(&self.temperature) {
            return Err(EngineError::Input(format!(
                "the temperature {} is not between 0 (always the likeliest) and 10",
                self.temperature
            )));
        }
        Ok(())
    }
}

/// A piece of a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its text; empty while a character is not whole yet. The reply's first character is never a space.
    pub text: String,
    /// Natural logarithm of the probability that the model gave to this token; servers that are asked do not say it.
    pub logprob: Option<f32>,
}

/// How many tokens a reply took, by the count of whoever made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Of the conversation, with all that its template puts around it.
    pub prompt_tokens: u64,
    /// Those of them that a server had in its cache.
    pub cache_read_tokens: u64,
    /// Those of them that it read, and put there.
    pub cache_write_tokens: u64,
    /// Of the reply.
    pub completion_tokens: u64,
}

/// What a model tells of its reply.
#[derive(Debug)]
pub(crate) enum Told {
    /// The conversation has so many tokens, and from now on every piece is one token of the reply.
    Prompt(u64),
    /// A server's own count.
    Usage(Usage),
    /// The next piece.
    Token(Token),
    /// Something is to be done.
    Call(Call),
    /// The reply is at its longest and ends here, finished or not: by `max_tokens`, or by the model's context. Nothing follows.
    Longest,
}

/// A reply as it is generated. Dropping it cancels the rest.
#[derive(Debug)]
pub struct Reply {
    told: mpsc::Receiver<Result<Told, EngineError>>,
    is_cut: bool,
    usage: Option<Usage>,
    /// Pieces are tokens.
    is_counted: bool,
    calls: Vec<Call>,
    says: Says,
}

/// What a reply's text is.
#[derive(Debug)]
enum Says {
    Words,
    /// Words, or a call, which begins with a brace.
    Either,
    /// A call, as far as it came.
    Call(String),
}

impl Reply {
    /// The listener's side of a reply.
    pub(crate) fn new(told: mpsc::Receiver<Result<Told, EngineError>>) -> Self {
        Self { told, is_cut: false, usage: None, is_counted: false, calls: Vec::new(), says: Says::Words }
    }

    /// One that is a call where it begins with a brace; nothing of a call is words.
    pub(crate) fn with_calls(self) -> Self {
        Self { says: Says::Either, ..self }
    }

    /// What the model wants done, in its order; known once [`Reply::next`] gave `None`. What is wrong with it is the asker's to tell.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whether the reply ended at its longest rather than by itself; known once [`Reply::next`] gave `None`.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What the reply has taken so far, where that is known: of a model in this process from its beginning on, of a server once the
    /// reply is complete, if it says so.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The next piece; `None` when the reply is complete. Cancel safe.
    ///
    /// # Errors
    /// [`EngineError::Input`] as the first item if the prompt is too long, [`EngineError::Failed`] or
    /// [`EngineError::Remote`] if the model fails; each ends the reply.
    pub async fn next(&mut self) -> Option<Result<Token, EngineError>> {
        loop {
            let Some(told) = self.told.recv().await else {
                self.end();
                return None;
            };
            match told {
                Ok(Told::Prompt(prompt_tokens)) => {
                    self.usage = Some(Usage { prompt_tokens, ..Usage::default() });
                    self.is_counted = true;
                }
                Ok(Told::Usage(usage)) => self.usage = Some(usage),
                Ok(Told::Token(token)) => {
                    if let Some(usage) = self.usage.as_mut().filter(|_| self.is_counted) {
                        usage.completion_tokens += 1;
                    }
                    return Some(Ok(self.heard(token)));
                }
                Ok(Told::Call(call)) => self.calls.push(call),
                // A call that is cut off is told to be none.
                Ok(Told::Longest) => {
                    self.is_cut = true;
                    self.end();
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// A token, without its text where that is of a call.
    fn heard(&mut self, token: Token) -> Token {
        match &mut self.says {
            Says::Words => return token,
            Says::Call(call) => call.push_str(&token.text),
            Says::Either if token.text.starts_with('{') => self.says = Says::Call(token.text),
            Says::Either if token.text.is_empty() => {}
            Says::Either => {
                self.says = Says::Words;
                return token;
            }
        }
        Token { text: String::new(), ..token }
    }

    fn end(&mut self) {
        if let Says::Call(said) = std::mem::replace(&mut self.says, Says::Words) {
            self.calls.push(Call::of_words(&said));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_not_asked_for_a_reply_by_a_grammar() {
        let messages = vec![ChatMessage::new(Role::User, "salama")];
        let free = ChatRequest::new(messages, 8, Class::Call);
        assert!(free.check_for_server().is_ok());
        let held = ChatRequest { grammar: Some("root ::= \"eny\"".into()), ..free };
        assert!(held.check().is_ok());
        let refused = held.check_for_server().unwrap_err();
        assert!(matches!(&refused, EngineError::Input(why) if why.contains("only the local model")), "{refused}");
    }
}
