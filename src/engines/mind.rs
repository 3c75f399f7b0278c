//! Who answers: a server where one is asked, and the local model where that does not answer.
//!
//! ```text
//! reply ─► server ─► first word ─────────────► its reply: cloud
//!            └─ none in time, refused, down ─► the same request to the local model: local
//! ```
//! Once a word has come, the reply stays whose it is; what breaks then ends it.

use std::sync::Arc;

use milo_models::{
    engine::{EngineError, RemoteFault},
    language_model::{ChatRequest, LanguageModel, Reply, Token},
};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, timeout},
};

use super::told::Told;

/// How long one waits for its turn, where there are turns.
const TURN: Duration = Duration::from_secs(10);

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
    /// The server, and how much it is asked at once.
    cloud: Option<(Arc<dyn LanguageModel>, usize)>,
    /// Those who must leave room for calls wait for a place of these: with the local model, with the server.
    turns: Option<[Arc<Semaphore>; 2]>,
    told: Told,
}

impl Mind {
    pub(super) fn new(
        local: Arc<dyn LanguageModel>,
        cloud: Option<(Arc<dyn LanguageModel>, usize)>,
        told: Told,
    ) -> Self {
        Self { local, cloud, turns: None, told }
    }

    /// The same for those who must leave room: so many of them at once have the local model, and three quarters of its places the
    /// server.
    pub fn by_turns(&self, local: usize) -> Self {
        let cloud = self.cloud.as_ref().map_or(0, |(_, parallel)| (parallel * 3 / 4).max(1));
        let turns = [local, cloud].map(|places| Arc::new(Semaphore::new(places)));
        Self { turns: Some(turns), ..self.clone() }
    }

    /// Who is asked first.
    pub fn mode(&self) -> Mode {
        if self.cloud.is_some() { Mode::Cloud } else { Mode::Local }
    }

    /// Begins a reply; `first` is whom it is asked of first, [`Mind::mode`] where nothing speaks against it.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when nobody has a place for it; [`EngineError::Input`] when there is nothing to answer.
    pub async fn reply(&self, request: ChatRequest, first: Mode) -> Result<Saying, EngineError> {
        if let (Some((cloud, _)), Mode::Cloud) = (&self.cloud, first) {
            let place = self.place(Mode::Cloud).await?;
            match cloud.reply(request.clone()) {
                Ok(reply) => {
                    let spare = Some(request);
                    return Ok(Saying {
                        mind: self.clone(),
                        spare,
                        is_late: false,
                        is_strict: false,
                        mode: Mode::Cloud,
                        reply,
                        _place: place,
                    });
                }
                Err(error @ EngineError::Input(_)) => return Err(error),
                Err(error) => self.told.fell_back(&error),
            }
        }
        let (place, reply) = self.by_local(request).await?;
        let mode = Mode::Local;
        Ok(Saying { mind: self.clone(), spare: None, is_late: false, is_strict: false, mode, reply, _place: place })
    }

    async fn by_local(&self, request: ChatRequest) -> Result<(Option<OwnedSemaphorePermit>, Reply), EngineError> {
        let place = self.place(Mode::Local).await?;
        let reply = self.local.reply(request)?;
        self.told.metrics().reply(Mode::Local);
        Ok((place, reply))
    }

    async fn place(&self, mode: Mode) -> Result<Option<OwnedSemaphorePermit>, EngineError> {
        let Some([local, cloud]) = &self.turns else { return Ok(None) };
        let room = if mode == Mode::Local { local } else { cloud };
        let waiting = || EngineError::Overloaded { engine: "language model", waiting: 0 };
        let place = timeout(TURN, Arc::clone(room).acquire_owned()).await.map_err(|_| waiting())?;
        place.map(Some).map_err(|_| waiting())
    }

    /// Requests that wait for the local model.
    pub fn waiting(&self) -> usize {
        self.local.waiting()
    }

    /// Requests that the server has.
    pub fn asked(&self) -> usize {
        self.cloud.as_ref().map_or(0, |(cloud, _)| cloud.waiting())
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
    /// The server gave up, and the local model has no place yet.
    is_late: bool,
    /// A request that the server finds unfit is the asker's to mend, not the local model's to answer.
    is_strict: bool,
    mode: Mode,
    reply: Reply,
    _place: Option<OwnedSemaphorePermit>,
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

    /// From now on a request that the server finds unfit ([`RemoteFault::Unfit`]) is an error, with the server's words, in place of
    /// the local model's reply: for askers who chose what it holds.
    pub fn strictly(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// The next piece; `None` when the reply is complete. Cancel safe.
    ///
    /// # Errors
    /// As [`Reply::next`]; [`EngineError::Overloaded`] when the local model has no place either. Nothing follows.
    pub async fn next(&mut self) -> Option<Result<Token, EngineError>> {
        if !self.is_late {
            match self.reply.next().await {
                Some(Ok(token)) => {
                    if self.spare.take().is_some() {
                        self.mind.told.metrics().reply(Mode::Cloud);
                        self.mind.told.answered();
                    }
                    return Some(Ok(token));
                }
                Some(Err(error)) if self.spare.is_some() && self.is_strict && is_unfit(&error) => {
                    self.spare = None;
                    self.mind.told.unfit(&error);
                    return Some(Err(error));
                }
                Some(Err(error)) if self.spare.is_some() => {
                    self.mind.told.fell_back(&error);
                    self.is_late = true;
                }
                Some(Err(error)) => {
                    if self.mode == Mode::Cloud {
                        self.mind.told.failed(&error);
                    }
                    return Some(Err(error));
                }
                None => return None,
            }
        }
        let place = match self.mind.place(Mode::Local).await {
            Ok(place) => place,
            Err(error) => return self.fail(error),
        };
        self.is_late = false;
        self.mode = Mode::Local;
        let request = self.spare.take()?;
        match self.mind.local.reply(request) {
            Ok(reply) => {
                self.mind.told.metrics().reply(Mode::Local);
                (self.reply, self._place) = (reply, place);
                self.reply.next().await
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: EngineError) -> Option<Result<Token, EngineError>> {
        (self.spare, self.is_late, self.mode) = (None, false, Mode::Local);
        Some(Err(error))
    }
}
