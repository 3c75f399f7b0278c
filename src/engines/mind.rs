//! Who answers: a server where one is asked, and the local model where that does not answer.
//!
//! ```text
//! reply ─► server ─► first word ─────────────► its reply: cloud
//!            ├─ none in time, refused, down ─► the same request to the local model: local
//!            └─ late ─► the local model begins too: whoever's word comes first has the reply, the other is cancelled
//! ```
//! Where the local model is asked first (`default_mode = "local"`), the server answers only while that has failed and is loaded anew. A
//! persona with `mode = "local"` asks no server in any case.
//!
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
    besides::Besides,
    brief::Brief,
    line::Line,
    purse::{Purse, Spent},
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
    /// Who is asked first, if there is a server.
    default: Mode,
    /// The local model begins too when the server has not said a word for so long; none: it waits until that has failed.
    pub(super) hedge: Option<Duration>,
    /// What servers cost.
    pub(super) purse: Arc<Purse>,
    pub(super) told: Told,
}

/// A server, and how much it is asked at once.
type Parallel = (Arc<dyn LanguageModel>, usize);

impl Mind {
    /// The local model, and whether it does as it is told besides; `cloud` is a server, `default` who is asked first.
    pub(super) fn new(
        (local, heeds): (Arc<dyn LanguageModel>, Arc<AtomicBool>),
        (cloud, default): (Option<Parallel>, Mode),
        (hedge, purse): (Option<Duration>, Arc<Purse>),
        told: Told,
    ) -> Self {
        let cloud = cloud.map(|(server, parallel)| (server, Line::of("language model", parallel)));
        Self { local, heeds, cloud, default, hedge, purse, told }
    }

    /// Who is asked first.
    pub fn mode(&self) -> Mode {
        if self.cloud.is_some() { self.default } else { Mode::Local }
    }

    /// The same for a persona that wants this: with [`Mode::Local`] no server is ever asked, and with [`Mode::Cloud`] it is asked first.
    #[must_use]
    pub fn in_mode(&self, mode: Option<Mode>) -> Self {
        let cloud = self.cloud.clone().filter(|_| mode != Some(Mode::Local));
        Self { cloud, default: mode.unwrap_or(self.default), ..self.clone() }
    }

    /// Begins a reply; `first` is whom it is asked of first, [`Mind::mode`] where nothing speaks against it; one that is held to a grammar
    /// is the local model's, as servers are not asked for such. Waits for a place at the
    /// server, where those are taken; a call does not.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when nobody has a place for it; [`EngineError::Input`] when there is nothing to answer.
    pub async fn reply(&self, request: ChatRequest, first: Mode) -> Result<Saying, EngineError> {
        self.reply_besides(request, Besides::default(), first).await
    }

    /// The same; whoever does as they are told is told this besides.
    ///
    /// # Errors
    /// As [`Mind::reply`].
    pub async fn reply_besides(
        &self,
        request: ChatRequest,
        besides: Besides,
        first: Mode,
    ) -> Result<Saying, EngineError> {
        if request.grammar.is_some() {
            return self.saying_local(request, besides, None);
        }
        self.begin(request, (besides, Whom::Anybody), first).await
    }

    /// The same for what is not said to a caller: it is [`Mind::mode`]'s, or the local model's, and of nobody who knows no more than what it
    /// was trained with, as whatever that writes is made up. A server is asked for it without the grammar, which holds the local model where
    /// that answers. Whoever asks looks at what comes.
    ///
    /// # Errors
    /// As [`Mind::reply`], and where nobody answers who does as they are told.
    pub async fn reply_heeding(&self, request: ChatRequest) -> Result<Saying, EngineError> {
        self.begin(request, (Besides::default(), Whom::WhoHeeds), self.mode()).await
    }

    async fn begin(
        &self,
        request: ChatRequest,
        (besides, whom): (Besides, Whom),
        first: Mode,
    ) -> Result<Saying, EngineError> {
        // The local model does not even begin with what it cannot do.
        let spare = || if whom == Whom::WhoHeeds && !self.heeds() { Err(heedless()) } else { Ok(()) };
        let is_alone = self.local.stopped();
        if let Some((cloud, line)) = self.cloud.as_ref().filter(|_| is_alone || first == Mode::Cloud) {
            let place = line.join(request.wanted.at_most(request.class))?.await;
            if !self.purse.has_left(Stamp::now()) {
                spare()?;
                self.told.spent();
                return self.saying_local(request, besides, Some(SPENT));
            }
            // One that fails again and again is still more than one that is not there.
            if !is_alone && !self.told.may_ask() {
                spare()?;
                return self.saying_local(request, besides, Some(RESTING));
            }
            if is_alone && first == Mode::Local {
                tracing::info!("the local language model has failed; the server answers");
                self.told.metrics().stood_in("llm");
            }
            return match cloud.reply(besides.of(ChatRequest { grammar: None, ..request.clone() })) {
                Ok(reply) => {
                    let spare = self.told_here(request, &besides);
                    let saying = Saying::by_server(self, (spare, besides.brief), reply, place);
                    Ok(if whom == Whom::WhoHeeds { saying.heeding() } else { saying })
                }
                Err(error @ EngineError::Input(_)) => Err(error),
                Err(error) if spare().is_err() => Err(self.told.unanswered(error)),
                Err(error) => self.saying_local(request, besides, Some(self.told.fell_back(&error))),
            };
        }
        spare()?;
        self.saying_local(request, besides, None)
    }

    /// The local model's reply; `instead` says why it is not the server's that is asked first.
    fn saying_local(
        &self,
        request: ChatRequest,
        besides: Besides,
        instead: Option<&'static str>,
    ) -> Result<Saying, EngineError> {
        let reply = self.by_local(self.told_here(request, &besides))?;
        Ok(Saying::by_local(self, (reply, self.heeded(besides.brief)), instead))
    }

    /// What the local model is asked.
    fn told_here(&self, request: ChatRequest, besides: &Besides) -> ChatRequest {
        if self.heeds.load(Ordering::Relaxed) { besides.of(request) } else { request }
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

#[cfg(test)]
mod tests {
    use milo_models::{
        engine::{Language, RemoteFault},
        language_model::{ChatMessage, Role},
        queue::Class,
    };

    use super::*;
    use crate::{config::Engines, engines::breaker::Breaker, metrics::Metrics};

    /// Refuses everything by its name; and whether it has stopped.
    struct Named(&'static str, bool);

    impl LanguageModel for Named {
        fn reply(&self, request: ChatRequest) -> Result<Reply, EngineError> {
            assert!(self.0 == "local" || request.grammar.is_none(), "no server is asked for a grammar");
            let is_told = request.messages.iter().any(|message| message.content.starts_with("(Valio "));
            let framed = if request.messages[0].content == "framed" { ", framed" } else { "" };
            Err(EngineError::Input(format!("{} of {}{framed}", self.0, if is_told { "few words" } else { "many" })))
        }

        fn waiting(&self) -> Waiting {
            Waiting::default()
        }

        fn work(&self) -> Work {
            Work::default()
        }

        fn stopped(&self) -> bool {
            self.1
        }
    }

    #[tokio::test]
    async fn a_reply_held_to_a_grammar_is_the_local_models_though_a_server_is_asked_first() {
        let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
        let mind = Mind::new(
            (Arc::new(Named("local", false)), Arc::default()),
            (Some((Arc::new(Named("server", false)), 2)), Mode::Cloud),
            (None, Arc::new(Purse::new(&Engines::default()))),
            told,
        );
        for (grammar, asked) in [(None, "server of many"), (Some("root ::= \"eny\"".into()), "local of many")] {
            let messages = vec![ChatMessage::new(Role::User, "salama")];
            let request = ChatRequest { grammar, ..ChatRequest::new(messages, 8, Class::Call) };
            let refused = mind.reply(request.clone(), mind.mode()).await.err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(asked));
            let unheld = mind.reply_heeding(request).await.err().map(|error| error.to_string());
            assert_eq!(unheld.as_deref(), Some("server of many"), "without the grammar");
        }
    }

    #[tokio::test]
    async fn only_whoever_does_as_they_are_told_is_told_more_and_to_be_short() {
        let brief = Brief { language: Language::Mg, spent: Duration::ZERO, expected: Duration::ZERO };
        for (heeds, first, asked) in [
            (false, Mode::Cloud, "server of few words, framed"),
            (false, Mode::Local, "local of many"),
            (true, Mode::Local, "local of few words, framed"),
        ] {
            let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
            let server: Arc<dyn LanguageModel> = Arc::new(Named("server", false));
            let limits = (None, Arc::new(Purse::new(&Engines::default())));
            let mind = Mind::new(
                (Arc::new(Named("local", false)), Arc::new(heeds.into())),
                (Some((server, 2)), Mode::Cloud),
                limits,
                told,
            );
            let messages = vec![ChatMessage::new(Role::System, "prompt"), ChatMessage::new(Role::User, "salama")];
            let request = ChatRequest::new(messages, 96, Class::Call);
            let besides = Besides { brief: Some(brief), ..Besides::instructed(Some("framed".into())) };
            let refused = mind.reply_besides(request, besides, first).await.err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), Some(asked));
        }
    }

    #[tokio::test]
    async fn what_is_not_said_to_a_caller_is_written_by_whoever_does_as_they_are_told_or_by_nobody() {
        let mind = |heeds: bool, has_server: bool| {
            let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(0, Duration::ZERO));
            let server: Arc<dyn LanguageModel> = Arc::new(Named("server", false));
            let local = (Arc::new(Named("local", false)) as Arc<dyn LanguageModel>, Arc::new(heeds.into()));
            let server = (has_server.then_some((server, 2)), Mode::Cloud);
            Mind::new(local, server, (None, Arc::new(Purse::new(&Engines::default()))), told)
        };
        for (heeds, has_server, asked) in [
            (true, false, "local of many"),
            (false, false, "the one that ships knows what it was trained with"),
            (false, true, "server of many"),
        ] {
            let request = ChatRequest::new(vec![ChatMessage::new(Role::User, "fintino")], 8, Class::Call);
            let refused = mind(heeds, has_server).reply_heeding(request).await.err().map(|error| error.to_string());
            assert!(refused.as_ref().is_some_and(|why| why.contains(asked)), "{refused:?}");
        }
    }

    /// One with a server, and a local model that has stopped or has not.
    fn mind(default: Mode, is_stopped: bool) -> Mind {
        let told = Told::new("llm", Arc::new(Metrics::new()), Breaker::new(1, Duration::from_secs(60)));
        let cloud: Arc<dyn LanguageModel> = Arc::new(Named("server", false));
        Mind::new(
            (Arc::new(Named("local", is_stopped)), Arc::new(true.into())),
            (Some((cloud, 2)), default),
            (None, Arc::new(Purse::new(&Engines::default()))),
            told,
        )
    }

    async fn asked(mind: &Mind) -> Option<String> {
        let messages = vec![ChatMessage::new(Role::User, "salama")];
        mind.reply(ChatRequest::new(messages, 8, Class::Call), mind.mode()).await.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_house_is_local_or_not_and_a_persona_is_what_it_says_itself() {
        for (default, own, who) in [
            (Mode::Cloud, None, "server of many"),
            (Mode::Cloud, Some(Mode::Cloud), "server of many"),
            (Mode::Cloud, Some(Mode::Local), "local of many"),
            (Mode::Local, None, "local of many"),
            (Mode::Local, Some(Mode::Cloud), "server of many"),
            (Mode::Local, Some(Mode::Local), "local of many"),
        ] {
            assert_eq!(asked(&mind(default, false).in_mode(own)).await.as_deref(), Some(who), "{default:?}, {own:?}");
        }
        let kept = mind(Mode::Cloud, false).in_mode(Some(Mode::Local));
        let refused = kept
            .reply(ChatRequest::new(vec![ChatMessage::new(Role::User, "salama")], 8, Class::Call), Mode::Cloud)
            .await;
        assert!(refused.is_err_and(|error| error.to_string() == "local of many"), "whoever is asked for");
    }

    #[tokio::test]
    async fn while_the_local_model_has_failed_the_server_answers_unless_a_persona_is_kept_from_it() {
        for (default, own, who) in [
            (Mode::Local, None, "server of many"),
            (Mode::Cloud, None, "server of many"),
            (Mode::Local, Some(Mode::Local), "local of many"),
        ] {
            let mind = mind(default, true).in_mode(own);
            // Although it failed a moment ago, and would be left alone.
            let why = RemoteFault::Broken;
            mind.told.failed(&EngineError::Remote { engine: "e", at: "a".into(), fault: why, says: String::new() });
            assert_eq!(asked(&mind).await.as_deref(), Some(who), "{default:?}, {own:?}");
        }
    }
}
