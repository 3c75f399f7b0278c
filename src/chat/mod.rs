//! Conversations by text: the same personas, models and queues as on the telephone, without a line.
//!
//! ```text
//! message ─► session (its own turn) ─► language ─► persona's prompt, what was said ─► Words ─► Answer::next
//! ```
//! A session remembers what was said until nobody has written for its lifetime, on whichever node (sessions.rs). Whoever reads the answer drives it: dropped, it
//! is cancelled, and the session is as before.

mod aloud;
mod answer;
mod completion;
mod kept;
mod known;
mod listening;
mod session;
mod session_name;
mod sessions;
mod translation;

use std::{sync::Arc, time::Duration};

use milo_models::{
    demo,
    engine::{EngineError, Language},
    queue::Class,
    synthesizer::SpeechOptions,
    text::tongue,
    transcriber::Listen,
};

pub use aloud::{Aloud, Say};
pub use answer::Answer;
pub use completion::{Asked, Completion};
pub use listening::{Listening, Part, Progress, SaidWord, Transcribed, before};
pub use session::Said;
pub use session_name::SessionName;
pub use sessions::Sessions;
pub use translation::{By, Translation, Untranslated, translatable};
pub(crate) use translation::{SURE, keeps_figures};

use known::{Bytes, Known};
use session::Memory;

use crate::{
    agent::Persona,
    config::Config,
    dialplan::{Edition, Editions, Variables},
    engines::{Engines, Mode, Order, Swapped, Unswapped},
    metrics::Metrics,
    redis::Redis,
};

/// The longest message, in characters.
pub const LONGEST_MESSAGE: usize = 4_000;

/// What is known of translations and of speech: 17 minutes of it here, and 34 in Redis.
const TRANSLATIONS: Bytes = Bytes { here: 4 << 20, shared: 16 << 20 };
const SPEECH: Bytes = Bytes { here: 32 << 20, shared: 64 << 20 };
/// Why there are no times of words.
const NO_WORDS: &str = "the transcriber knows the times of segments, not of words: leave the wish for words out, or have a wav2vec2, \
                        a server or a Whisper that was exported with --word-times hear, which know them ([engines.stt])";
const NO_PROMPT: &str = "the transcriber writes letter by letter and takes no `prompt`: leave it out";
/// More of a prompt no transcriber reads: Whisper takes some 220 tokens.
const LONGEST_PROMPT: usize = 4_000;

/// A message to be answered.
#[derive(Clone, Debug)]
pub struct Message {
    /// What is said.
    pub text: String,
    /// The session that it belongs to.
    pub session: SessionName,
    /// What it is written in; told from its words when it is left out.
    pub language: Option<Language>,
    /// Who answers; the configured persona when it is left out.
    pub persona: Option<String>,
}

/// Why a message is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// There are no words in it.
    #[error("the message is empty: write what you want to say")]
    Empty,
    /// It is longer than [`LONGEST_MESSAGE`].
    #[error("the message has {0} characters; {LONGEST_MESSAGE} are the most")]
    TooLong(usize),
    /// The session's name cannot be one.
    #[error("a session_id is 1 to 64 letters, digits, `-` and `_`; leave it out to begin a session")]
    Session,
    /// No persona has this name.
    #[error("there is no persona {0:?}; these are: {1}")]
    Persona(String, String),
    /// The configured persona is not there: the operator's fault, not the writer's.
    #[error(
        "the persona {0:?} of [chat] persona is not among the dialplans' ({1}): name one in `persona`, or mend the configuration"
    )]
    Nobody(String, String),
    /// An engine does not take it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What answers messages.
#[derive(Clone)]
pub struct Chats {
    engines: Engines,
    editions: Editions,
    persona: Arc<str>,
    sessions: Arc<Sessions>,
    translations: Known,
    /// `[engines.translate] min_confidence`.
    least_sure: f32,
    /// Clauses, as samples.
    speech: Known,
    /// Whose work the engines have from here: calls go before.
    class: Class,
}

impl Chats {
    /// As `[chat]` and `[engines]` say; with Redis, sessions and what is known are those of all nodes.
    pub fn new(
        (engines, editions): (Engines, Editions),
        config: &Config,
        redis: Option<Redis>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let chat = &config.chat;
        let memory = Memory { exchanges: chat.session_history, tokens: chat.session_tokens };
        let lifetime = Duration::from_secs(chat.session_ttl_s);
        let sessions = Arc::new(Sessions::new(lifetime, memory, redis.clone()));
        // Whatever is set of an engine may make its work another.
        let version = env!("CARGO_PKG_VERSION");
        let [mind, voice] =
            [format!("{version} {:?}", config.engines.llm), format!("{version} {:?}", config.engines.tts)];
        let translators = format!("{mind} {:?} {}", config.engines.translate, demo::release());
        let with = (redis, metrics);
        let translations = Known::new("translation", TRANSLATIONS, &translators, with.clone());
        let speech = Known::new("speech", SPEECH, &voice, with);
        let persona = chat.persona.as_str().into();
        let least_sure = config.engines.translate.min_confidence;
        Self { engines, editions, persona, sessions, translations, least_sure, speech, class: Class::Interactive }
    }

    /// The same for work that nobody waits for.
    pub fn of_batches(&self) -> Self {
        Self { class: Class::Batch, ..self.clone() }
    }

    /// Puts another model in the place of an engine's, as [`Engines::change`] does; the language model reads the prompts of the personas
    /// that are in force.
    ///
    /// # Errors
    /// Why the one of before stays.
    pub async fn change(&self, order: Order<'_>) -> Result<Swapped, Unswapped> {
        let prompts = self.editions.current().dialplans.lasting_prompts(self.engines.will_heed(order.path));
        let changed = self.engines.change(order, prompts).await?;
        if order.job == "tts" {
            // The personas' set sentences are spoken anew. Where that fails, those of before stay, and it is told as of any reading.
            self.editions.reload().await;
        }
        Ok(changed)
    }

    /// The same by the engines of a persona's mode.
    pub fn in_mode(&self, mode: Option<Mode>) -> Self {
        Self { engines: self.engines.in_mode(mode).into_owned(), ..self.clone() }
    }

    /// The same for what is said in calls: what callers say is not remembered for others.
    pub fn of_calls(&self) -> Self {
        Self { class: Class::Call, ..self.clone() }
    }

    /// Refuses the times of words where the transcriber knows none, and a prompt that it does not take.
    ///
    /// # Errors
    /// [`EngineError::Input`], a sentence.
    pub fn check(&self, asked: &Listen) -> Result<(), EngineError> {
        let refused = |says: &str| Err(EngineError::Input(says.into()));
        if asked.words && !self.engines.transcriber.knows_words() {
            return refused(NO_WORDS);
        }
        let Some(prompt) = &asked.prompt else { return Ok(()) };
        if !self.engines.transcriber.takes_prompt() {
            return refused(NO_PROMPT);
        }
        match prompt.chars().count() {
            ..=LONGEST_PROMPT => Ok(()),
            length => refused(&format!("`prompt` has {length} characters; {LONGEST_PROMPT} are the most")),
        }
    }

    /// How many things of this kind (`stt`, `tts`, `translate`) that nobody waits for are done at once.
    pub fn side_by_side(&self, kind: &str) -> usize {
        self.engines.side_by_side(if kind == "translate" && self.mind_translates() { "llm" } else { kind })
    }

    /// The sessions that are kept.
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// What is remembered of a session, for whoever goes on with it by voice: what was heard, and what was answered.
    pub async fn recalled(&self, session: &SessionName) -> Vec<(String, String)> {
        let (_, said) = self.sessions.said(session).await.unwrap_or((Language::Mg, Vec::new()));
        said.into_iter().map(|Said { message, reply }| (message, reply.unwrap_or_default())).collect()
    }

    /// Remembers what was said by voice in a session.
    pub async fn remember(&self, session: SessionName, heard: &str, answer: &str) {
        let mut turn = self.sessions.enter(session).await;
        turn.session.language = tongue(heard).unwrap_or(turn.session.language);
        let began = turn.began;
        self.sessions.remember(&mut turn.session, began, heard, answer).await;
    }

    /// The names of the personas, the configured one first.
    pub fn personas(&self) -> Vec<String> {
        let edition = self.editions.current();
        let mut names: Vec<_> = edition.dialplans.personas().map(|(name, _)| name.to_owned()).collect();
        names.sort_by_key(|name| (**name != *self.persona, name.clone()));
        names
    }

    /// The persona of this name, or the configured one.
    fn persona<'e>(&self, edition: &'e Edition, wanted: Option<&str>) -> Result<&'e Persona, Unanswered> {
        let name = wanted.unwrap_or(&self.persona);
        edition.dialplans.persona(name).ok_or_else(|| {
            let names: Vec<_> = edition.dialplans.personas().map(|(name, _)| name).collect();
            let fault = if wanted.is_some() { Unanswered::Persona } else { Unanswered::Nobody };
            fault(name.into(), names.join(", "))
        })
    }

    /// Begins the answer. Messages of one session are answered one after the other: this waits for those before it.
    pub async fn ask(&self, message: Message) -> Result<Answer, Unanswered> {
        let text = message.text.trim();
        let length = text.chars().count();
        if !text.chars().any(char::is_alphanumeric) {
            return Err(Unanswered::Empty);
        }
        if length > LONGEST_MESSAGE {
            return Err(Unanswered::TooLong(length));
        }
        let edition = self.editions.current();
        let persona = self.persona(&edition, message.persona.as_deref())?;
        let mut turn = self.sessions.enter(message.session).await;
        let spoken = persona.only().or(message.language).or_else(|| tongue(text));
        turn.session.language = spoken.unwrap_or(turn.session.language);
        let by = (self.engines.mind.in_mode(persona.mode), self.class);
        let persona = persona.told_of(&Variables::default(), turn.session.language);
        Ok(Answer::begin(by, (Arc::clone(&self.sessions), turn), &persona, text).await?)
    }

    /// Begins to transcribe 16 kHz samples; without a language the model tells it. Whose they are is known.
    ///
    /// # Errors
    /// As [`Chats::check`].
    pub fn listen(&self, samples: Vec<i16>, asked: Listen) -> Result<Listening, EngineError> {
        self.check(&asked)?;
        let asked = Listen { class: self.class, ..asked };
        Ok(Listening::new((Arc::clone(&self.engines.transcriber), &self.engines.activity), samples, asked))
    }

    /// Begins to say a text, clause by clause.
    pub fn aloud(&self, text: &str, language: Language, options: SpeechOptions) -> Aloud {
        let options = SpeechOptions { class: self.class, ..options };
        Aloud::new((self.engines.clone(), self.speech.clone()), text, language, options)
    }
}
