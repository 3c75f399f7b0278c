//! Who answers: a server where one is asked, and the local model where that does not answer.
//!
//! ```text
//! reply ─► server ─► first word ─────────────► its reply: cloud
//!            └─ none in time, refused, down ─► the same request to the local model: local
//! ```
//! Once a word has come, the reply stays whose it is; what breaks then ends it.

use std::{sync::Arc, time::Duration};

use milo_models::{
    engine::{EngineError, RemoteFault},
    language_model::{ChatRequest, LanguageModel, Reply, Token, Usage},
    queue::Waiting,
    tools::Call,
};
use serde::Serialize;
use tokio::time::sleep;

use super::{
    line::{Line, Place},
    told::Told,
};

/// A thread that panics lets go of its replies before it is known to have stopped: one that says nothing at all is looked at after this.
const UNWOUND: Duration = Duration::from_millis(100);

/// Where a reply is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ModelPlace)]
pub enum Mode {
    /// In this process.
    #[default]
    Local,
    /// On a server that is asked.
    Cloud,
}

impl Mode {
    /// As the API, the log and metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Cloud => "cloud",
        }
    }
}

/// What answers; cheap to clone.
#[derive(Clone)]
pub struct Mind {
    local: Arc<dyn LanguageModel>,
    /// The server, and the line of those who leave room to calls there.
    cloud: Option<(Arc<dyn LanguageModel>, Arc<Line>)>,
    told: Told,
}

impl Mind {
    /// `cloud` is a server, and how much it is asked at once.
    pub(super) fn new(
        local: Arc<dyn LanguageModel>,
        cloud: Option<(Arc<dyn LanguageModel>, usize)>,
        told: Told,
    ) -> Self {
        let cloud = cloud.map(|(server, parallel)| (server, Line::of("language model", parallel)));
        Self { local, cloud, told }
    }

    /// Who is asked first.
    pub fn mode(&self) -> Mode {
        if self.cloud.is_some() { Mode::Cloud } else { Mode::Local }
    }

    /// Begins a reply; `first` is whom it is asked of first, [`Mind::mode`] where nothing speaks against it; one that is held to a grammar
    /// is the local model's, as servers are not asked for such. Waits for a place at the
    /// server, where those are taken; a call does not.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when nobody has a place for it; [`EngineError::Input`] when there is nothing to answer.
    pub async fn reply(&self, request: ChatRequest, first: Mode) -> Result<Saying, EngineError> {
        let first = if request.grammar.is_some() { Mode::Local } else { first };
        self.begin(request, first).await
    }

    /// The same; a server is asked for it without the grammar, which holds the local model where that answers. Whoever asks looks at what
    /// comes.
    ///
    /// # Errors
    /// As [`Mind::reply`].
    pub async fn reply_unheld(&self, request: ChatRequest, first: Mode) -> Result<Saying, EngineError> {
        self.begin(request, first).await
    }

    async fn begin(&self, request: ChatRequest, first: Mode) -> Result<Saying, EngineError> {
        if let (Some((cloud, line)), Mode::Cloud) = (&self.cloud, first) {
            let place = line.join(request.class)?.await;
            match cloud.reply(ChatRequest { grammar: None, ..request.clone() }) {
                Ok(reply) => return Ok(self.saying(Mode::Cloud, reply, Some(request), place)),
                Err(error @ EngineError::Input(_)) => return Err(error),
                Err(error) => self.told.fell_back(&error),
            }
        }
        let reply = self.by_local(request)?;
        Ok(self.saying(Mode::Local, reply, None, None))
    }

    fn saying(&self, mode: Mode, reply: Reply, spare: Option<ChatRequest>, place: Option<Place>) -> Saying {
        Saying { mind: self.clone(), spare, is_strict: false, has_said: false, mode, reply, place }
    }

    fn by_local(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        let reply = self.local.reply(request)?;
        self.told.metrics().reply(Mode::Local);
        Ok(reply)
    }

    /// A reply that was begun before the caller's turn was over was kept, or dropped.
    pub fn drafted(&self, kept: bool) {
        self.told.metrics().drafted(kept);
    }

    /// Requests that wait for the local model.
    pub fn waiting(&self) -> Waiting {
        self.local.waiting()
    }

    /// Requests that wait for a place at the server.
    pub fn waiting_for_server(&self) -> Waiting {
        self.cloud.as_ref().map_or(Waiting::default(), |(_, line)| line.waiting())
    }

    /// Whether the local model's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.local.stopped()
    }
}

fn is_unfit(error: &EngineError) -> bool {
    matches!(error, EngineError::Remote { fault: RemoteFault::Unfit, .. })
}

/// A reply on its way. Dropping it cancels the rest.
pub struct Saying {
    mind: Mind,
    /// What the local model is asked if no word comes.
    spare: Option<ChatRequest>,
    /// A request that the server finds unfit is the asker's to mend, not the local model's to answer.
    is_strict: bool,
    has_said: bool,
    mode: Mode,
    reply: Reply,
    /// At the server.
    place: Option<Place>,
}

impl Saying {
    /// Who answers, as far as it is known: a reply without a word may still become the local model's.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the reply ended at its longest rather than by itself; known at its end.
    pub fn is_cut(&self) -> bool {
        self.reply.is_cut()
    }

    /// What the model wants done; see [`Reply::calls`].
    pub fn calls(&self) -> &[Call] {
        self.reply.calls()
    }

    /// How many tokens the reply has taken, as far as it is known; see [`Reply::usage`].
    pub fn usage(&self) -> Option<Usage> {
        self.reply.usage()
    }

    /// From now on a request that the server finds unfit ([`RemoteFault::Unfit`]) is an error, with the server's words, in place of
    /// the local model's reply: for askers who chose what it holds.
    pub fn strictly(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// All of it, and whether it was cut: by its longest, or at about this many bytes.
    ///
    /// # Errors
    /// As [`Saying::next`].
    pub async fn whole(mut self, most: usize) -> Result<(String, bool), EngineError> {
        let mut written = String::new();
        while let Some(token) = self.next().await {
            written.push_str(&token?.text);
            if written.len() > most {
                return Ok((written, true));
            }
        }
        Ok((written, self.is_cut()))
    }

    /// The next piece; `None` when the reply is complete. Cancel safe.
    ///
    /// # Errors
    /// As [`Reply::next`]; [`EngineError::Overloaded`] when the local model has no place either, [`EngineError::Stopped`] when its thread
    /// has panicked before a word. Nothing follows.
    pub async fn next(&mut self) -> Option<Result<Token, EngineError>> {
        match self.reply.next().await {
            Some(Ok(token)) => {
                self.has_said = true;
                if self.spare.take().is_some() {
                    self.mind.told.metrics().reply(Mode::Cloud);
                    self.mind.told.answered();
                }
                Some(Ok(token))
            }
            Some(Err(error)) if self.is_strict && is_unfit(&error) && self.spare.is_some() => {
                self.spare = None;
                self.mind.told.unfit(&error);
                Some(Err(error))
            }
            Some(Err(error)) => {
                let Some(request) = self.spare.take() else {
                    if self.mode == Mode::Cloud {
                        self.mind.told.failed(&error);
                    }
                    return Some(Err(error));
                };
                self.mind.told.fell_back(&error);
                (self.mode, self.place) = (Mode::Local, None);
                match self.mind.by_local(request) {
                    Ok(reply) => {
                        self.reply = reply;
                        let first = self.reply.next().await;
                        self.has_said = matches!(first, Some(Ok(_)));
                        first
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            None if !self.has_said && self.mode == Mode::Local => {
                sleep(UNWOUND).await;
                self.has_said = true;
                self.mind.stopped().then_some(Err(EngineError::Stopped { engine: "language model" }))
            }
            None => None,
        }
    }
}

impl Drop for Saying {
    /// However it ended, what it took was taken.
    fn drop(&mut self) {
        if let Some(usage) = self.usage() {
            self.mind.told.metrics().tokens(self.mode, usage);
        }
    }
}

#[cfg(test)]
mod tests {
    use milo_models::{
        language_model::{ChatMessage, Role},
        queue::Class,
    };

    use super::*;
    use crate::metrics::Metrics;

    /// Refuses everything by its name.
    struct Named(&'static str);

    impl LanguageModel for Named {
        fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
            assert!(self.0 == "local" || request.grammar.is_none(), "no server is asked for a grammar");
            Err(EngineError::Input(self.0.into()))
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn a_reply_held_to_a_grammar_is_the_local_models_though_a_server_is_asked_first() {
        let told = Told::new("llm", Arc::new(Metrics::new()));
        let mind = Mind::new(Arc::new(Named("local")), Some((Arc::new(Named("server")), 2)), told);
        for (grammar, asked) in [(None, "server"), (Some("root ::= \"eny\"".into()), "local")] {
            let messages = vec![ChatMessage::new(Role::User, "salama")];
            let (tools, class) = (Arc::default(), Class::Call);
            let request = ChatRequest { messages, max_tokens: 8, temperature: 0.0, seed: 0, grammar, tools, class };
            let refused = mind.reply(request.clone(), mind.mode()).await.err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(asked));
            let unheld = mind.reply_unheld(request, mind.mode()).await.err().map(|error| error.to_string());
            assert_eq!(unheld.as_deref(), Some("server"), "without the grammar");
        }
    }
}
