//! Who answers: a server where one is asked, and the local model where that does not answer.
//!
//! ```text
//! reply ─► server ─► first word ─────────────► its reply: cloud
//!            ├─ none in time, refused, down ─► the same request to the local model: local
//!            └─ late ─► the local model begins too: whoever's word comes first has the reply, the other is cancelled
//! ```
//! Once a word has come, the reply stays whose it is; what breaks then ends it. A server that fails again and again is left alone for a
//! while ([`mod@super::breaker`]).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use milo_models::{
    engine::EngineError,
    language_model::{ChatRequest, LanguageModel, Reply},
    queue::{Waiting, Work},
};
use serde::{Deserialize, Serialize};

use super::{
    brief::Brief,
    line::Line,
    purse::{Purse, Spending, Spent},
    saying::Saying,
    told::{RESTING, SPENT, Told},
};
use crate::store::{LogWriter, Stamp};

/// Where a reply is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
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

/// Who may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Anybody,
    /// Whoever does as they are told.
    WhoHeeds,
}

/// What answers; cheap to clone.
#[derive(Clone)]
pub struct Mind {
    pub(super) local: Arc<dyn LanguageModel>,
    /// Whether the local model does as it is told besides.
    heeds: Arc<AtomicBool>,
    /// The server, and the line of those who leave room to calls there.
    cloud: Option<(Arc<dyn LanguageModel>, Arc<Line>)>,
    /// The local model begins too when the server has not said a word for so long; none: it waits until that has failed.
    pub(super) hedge: Option<Duration>,
    /// What the server costs.
    pub(super) purse: Arc<Purse>,
    pub(super) told: Told,
}

impl Mind {
    /// The local model, and whether it does as it is told besides; `cloud` is a server, and how much it is asked at once.
    pub(super) fn new(
        (local, heeds): (Arc<dyn LanguageModel>, Arc<AtomicBool>),
        cloud: Option<(Arc<dyn LanguageModel>, usize)>,
        (hedge, purse): (Option<Duration>, Purse),
        told: Told,
    ) -> Self {
        let cloud = cloud.map(|(server, parallel)| (server, Line::of("language model", parallel)));
        Self { local, heeds, cloud, hedge, purse: Arc::new(purse), told }
    }

    /// Who is asked first.
    pub fn mode(&self) -> Mode {
        if self.cloud.is_some() { Mode::Cloud } else { Mode::Local }
    }

    /// The same for a persona that wants this: with [`Mode::Local`] no server is ever asked.
    #[must_use]
    pub fn in_mode(&self, mode: Option<Mode>) -> Self {
        let cloud = self.cloud.clone().filter(|_| mode != Some(Mode::Local));
        Self { cloud, ..self.clone() }
    }

    /// Begins a reply; `first` is whom it is asked of first, [`Mind::mode`] where nothing speaks against it; one that is held to a grammar
    /// is the local model's, as servers are not asked for such. Waits for a place at the
    /// server, where those are taken; a call does not.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when nobody has a place for it; [`EngineError::Input`] when there is nothing to answer.
    pub async fn reply(&self, request: ChatRequest, first: Mode) -> Result<Saying, EngineError> {
        self.reply_in_time(request, None, first).await
    }

    /// The same; where it is to be short, whoever does as they are told is told so.
    ///
    /// # Errors
    /// As [`Mind::reply`].
    pub async fn reply_in_time(
        &self,
        request: ChatRequest,
        brief: Option<Brief>,
        first: Mode,
    ) -> Result<Saying, EngineError> {
        let first = if request.grammar.is_some() { Mode::Local } else { first };
        self.begin(request, (brief, Whom::Anybody), first).await
    }

    /// The same for what is not said to a caller: it is [`Mind::mode`]'s, or the local model's, and of nobody who knows no more than what it
    /// was trained with, as whatever that writes is made up. A server is asked for it without the grammar, which holds the local model where
    /// that answers. Whoever asks looks at what comes.
    ///
    /// # Errors
    /// As [`Mind::reply`], and where nobody answers who does as they are told.
    pub async fn reply_heeding(&self, request: ChatRequest) -> Result<Saying, EngineError> {
        self.begin(request, (None, Whom::WhoHeeds), self.mode()).await
    }

    async fn begin(
        &self,
        request: ChatRequest,
        (brief, whom): (Option<Brief>, Whom),
        first: Mode,
    ) -> Result<Saying, EngineError> {
        // The local model does not even begin with what it cannot do.
        let spare = || if whom == Whom::WhoHeeds && !self.heeds() { Err(heedless()) } else { Ok(()) };
        if let (Some((cloud, line)), Mode::Cloud) = (&self.cloud, first) {
            let place = line.join(request.wanted.at_most(request.class))?.await;
            if !self.purse.has_left(Stamp::now()) {
                spare()?;
                self.told.spent();
                return self.saying_local(request, brief, Some(SPENT));
            }
            if !self.told.may_ask() {
                spare()?;
                return self.saying_local(request, brief, Some(RESTING));
            }
            return match cloud.reply(asked(ChatRequest { grammar: None, ..request.clone() }, brief)) {
                Ok(reply) => {
                    let spare = asked(request, self.heeded(brief));
                    let saying = Saying::by_server(self, (spare, brief), reply, place);
                    Ok(if whom == Whom::WhoHeeds { saying.heeding() } else { saying })
                }
                Err(error @ EngineError::Input(_)) => Err(error),
                Err(error) if spare().is_err() => Err(self.told.unanswered(error)),
                Err(error) => self.saying_local(request, brief, Some(self.told.fell_back(&error))),
            };
        }
        spare()?;
        self.saying_local(request, brief, None)
    }

    /// The local model's reply; `instead` says why it is not the server's that is asked first.
    fn saying_local(
        &self,
        request: ChatRequest,
        brief: Option<Brief>,
        instead: Option<&'static str>,
    ) -> Result<Saying, EngineError> {
        let brief = self.heeded(brief);
        Ok(Saying::by_local(self, (self.by_local(asked(request, brief))?, brief), instead))
    }

    /// That a reply is to be short, where the local model gives it.
    pub(super) fn heeded(&self, brief: Option<Brief>) -> Option<Brief> {
        brief.filter(|_| self.heeds())
    }

    /// Whether the local model does as it is told.
    pub(super) fn heeds(&self) -> bool {
        self.heeds.load(Ordering::Relaxed)
    }

    fn by_local(&self, request: ChatRequest) -> Result<Reply, EngineError> {
        let reply = self.local.reply(request)?;
        self.told.metrics().reply(Mode::Local);
        Ok(reply)
    }

    /// What the server has cost today; none where none is asked.
    pub fn spending(&self) -> Option<Spending> {
        self.cloud.is_some().then(|| self.purse.so_far(Stamp::now()))
    }

    /// What the database knows of today's spending, at the start.
    pub fn has_spent(&self, spent: Spent) {
        self.purse.knows(spent);
    }

    /// The database learns what was spent so far.
    pub fn note_spent(&self, log: &LogWriter) {
        self.purse.note(log, Stamp::now());
    }

    /// A reply that was begun before the caller's turn was over was kept, or dropped.
    pub fn drafted(&self, kept: bool) {
        self.told.metrics().drafted(kept);
    }

    /// A turn that is late, or would be, is answered in a quicker way.
    pub fn quicker(&self, way: &str) {
        self.told.metrics().quicker(way);
    }

    /// Requests that wait for the local model.
    pub fn waiting(&self) -> Waiting {
        self.local.waiting()
    }

    /// What the local model has done so far.
    pub fn work(&self) -> Work {
        self.local.work()
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

/// Why the local model does not write what it is asked for.
fn heedless() -> EngineError {
    let mend = "a server, or a model of [engines.llm] path, would write this";
    let reason = format!("the one that ships knows what it was trained with, and nothing else; {mend}");
    EngineError::Failed { engine: "language model", reason }
}

/// What is asked of somebody who is told to be short, or is not.
fn asked(request: ChatRequest, brief: Option<Brief>) -> ChatRequest {
    match brief {
        Some(brief) => brief.of(request),
        None => request,
    }
}

#[cfg(test)]
mod tests {
    use milo_models::{
        engine::Language,
        language_model::{ChatMessage, Role},
        queue::{Class, Wanted},
    };

    use super::*;
    use crate::{config::Llm, engines::breaker::Breaker, metrics::Metrics};

    /// Refuses everything by its name.
    struct Named(&'static str);

    impl LanguageModel for Named {
        fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
            assert!(self.0 == "local" || request.grammar.is_none(), "no server is asked for a grammar");
            let is_told = request.messages.iter().any(|message| message.content.starts_with("(Valio "));
            Err(EngineError::Input(format!("{} of {}", self.0, if is_told { "few words" } else { "many" })))
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            false
        }
    }

    fn request(messages: Vec<ChatMessage>, max_tokens: usize) -> ChatRequest {
        let (tools, class, wanted) = (Arc::default(), Class::Call, Wanted::default());
        ChatRequest { messages, max_tokens, temperature: 0.0, seed: 0, grammar: None, tools, class, wanted }
    }

    #[tokio::test]
    async fn a_reply_held_to_a_grammar_is_the_local_models_though_a_server_is_asked_first() {
        let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
        let mind = Mind::new(
            (Arc::new(Named("local")), Arc::default()),
            Some((Arc::new(Named("server")), 2)),
            (None, Purse::new(&Llm::default())),
            told,
        );
        for (grammar, asked) in [(None, "server of many"), (Some("root ::= \"eny\"".into()), "local of many")] {
            let messages = vec![ChatMessage::new(Role::User, "salama")];
            let request = ChatRequest { grammar, ..request(messages, 8) };
            let refused = mind.reply(request.clone(), mind.mode()).await.err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(asked));
            let unheld = mind.reply_heeding(request).await.err().map(|error| error.to_string());
            assert_eq!(unheld.as_deref(), Some("server of many"), "without the grammar");
        }
    }

    #[tokio::test]
    async fn only_whoever_does_as_they_are_told_is_told_to_be_short() {
        let brief = Brief { language: Language::Mg, spent: Duration::ZERO, expected: Duration::ZERO };
        for (heeds, first, asked) in [
            (false, Mode::Cloud, "server of few words"),
            (false, Mode::Local, "local of many"),
            (true, Mode::Local, "local of few words"),
        ] {
            let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
            let server: Arc<dyn LanguageModel> = Arc::new(Named("server"));
            let limits = (None, Purse::new(&Llm::default()));
            let mind = Mind::new((Arc::new(Named("local")), Arc::new(heeds.into())), Some((server, 2)), limits, told);
            let messages = vec![ChatMessage::new(Role::User, "salama")];
            let request = request(messages, 96);
            let refused = mind.reply_in_time(request, Some(brief), first).await.err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(asked));
        }
    }

    #[tokio::test]
    async fn what_is_not_said_to_a_caller_is_written_by_whoever_does_as_they_are_told_or_by_nobody() {
        let mind = |heeds: bool, has_server: bool| {
            let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
            let server: Arc<dyn LanguageModel> = Arc::new(Named("server"));
            let local = (Arc::new(Named("local")) as Arc<dyn LanguageModel>, Arc::new(heeds.into()));
            Mind::new(local, has_server.then_some((server, 2)), (None, Purse::new(&Llm::default())), told)
        };
        for (heeds, has_server, asked) in [
            (true, false, "local of many"),
            (false, false, "the one that ships knows what it was trained with"),
            (false, true, "server of many"),
        ] {
            let request = request(vec![ChatMessage::new(Role::User, "fintino")], 8);
            let refused = mind(heeds, has_server).reply_heeding(request).await.err().map(|error| error.to_string());
            assert!(refused.as_ref().is_some_and(|why| why.contains(asked)), "{refused:?}");
        }
    }

    #[tokio::test]
    async fn a_mind_that_is_kept_local_asks_no_server_even_where_one_is_named() {
        let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
        let cloud: Arc<dyn LanguageModel> = Arc::new(Named("server"));
        let mind = Mind::new(
            (Arc::new(Named("local")), Arc::new(true.into())),
            Some((cloud, 2)),
            (None, Purse::new(&Llm::default())),
            told,
        );
        for (mode, asked) in
            [(None, "server of many"), (Some(Mode::Cloud), "server of many"), (Some(Mode::Local), "local of many")]
        {
            let messages = vec![ChatMessage::new(Role::User, "salama")];
            let request = request(messages, 8);
            let refused = mind.in_mode(mode).reply(request, Mode::Cloud).await.err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(asked), "{mode:?}");
        }
    }
}
