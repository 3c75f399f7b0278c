//! One turn's reply as one stream: tokens to clauses to sound. Dropping it is the interruption: the engines see that nobody
//! listens and stop.

use std::{collections::VecDeque, mem, pin::Pin, sync::Arc, time::Instant};

use milo_models::{
    engine::{EngineError, Language},
    queue::{Class, Wanted},
    synthesizer::{Speech, SpeechOptions, Synthesizer},
    text::{clauses::Clauses, dialect::Dialect, speakable_in},
    tools::Call,
};
use tokio::time::{sleep, timeout_at};

use super::{
    again::{PATIENCE, PAUSE},
    step::{Marks, STALL, Step, stall, stalled},
    tongues::Tongues,
    words::{Piece, Words},
};
use crate::engines::{Brief, Mode, Saying, Taken};

/// Ends when what is done while the caller hears something is over.
pub(super) type Doing = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Ends when a model has taken what it is to answer, or will not.
pub(super) type Asking = Pin<Box<dyn Future<Output = Result<Saying, EngineError>> + Send>>;

/// A reply on its way.
pub(super) struct Reply {
    source: Source,
    voice: Arc<dyn Synthesizer>,
    language: Language,
    /// The region whose words are spoken.
    dialect: Option<Dialect>,
    clauses: Clauses,
    waiting: VecDeque<(String, Language)>,
    /// In what the model's clauses are.
    tongues: Tongues,
    /// Whose its first sound is, and when that is wanted; what follows it is a call's, heard as it comes.
    first: (Class, Wanted),
    speech: Option<Speech>,
    /// Whether something has come of the clause that is being made sound.
    is_heard: bool,
    marks: Marks,
    /// Who answers, once a model is asked.
    mode: Option<Mode>,
    /// Why the local model answers although a server was to.
    instead: Option<&'static str>,
    /// That it was told to be short.
    brief: Option<Brief>,
    /// What the model has taken of tokens.
    taken: Vec<(Mode, Taken)>,
    /// Whether the model has said a word.
    has_words: bool,
    /// Why the model said no more, although it had not finished.
    cut: Option<EngineError>,
    /// Since when the engines are waited for; it lasts over interruptions of the wait, so that a stall is noticed.
    waiting_since: Option<tokio::time::Instant>,
    /// Steps that were taken before anybody asked for them.
    ahead: VecDeque<Result<Step, EngineError>>,
}

enum Source {
    /// The model is asked; and how likely its first tokens must be.
    Asking(Asking, Option<f32>),
    /// What the model says.
    Model(Box<Words>),
    /// A sentence whose sound was made before.
    Phrase(Option<(String, Arc<[i16]>)>),
    /// The model wants this done.
    Calls(Vec<Call>),
    /// Something is done.
    Doing(Doing),
    /// Nothing more comes.
    Ended,
}

impl Reply {
    /// A reply by the language model, once it has taken what it is to answer.
    pub(super) fn by_asking(
        asking: Asking,
        least: Option<f32>,
        voice: &Arc<dyn Synthesizer>,
        language: Language,
    ) -> Self {
        Self::new(Source::Asking(asking, least), voice, language)
    }

    /// A reply by the language model.
    pub(super) fn by_model(
        tokens: Saying,
        least: Option<f32>,
        voice: &Arc<dyn Synthesizer>,
        language: Language,
    ) -> Self {
        Self::new(Source::Model(Box::new(Words::new(tokens, least))), voice, language)
    }

    /// A sentence that needs no model.
    pub(super) fn phrase(text: &str, samples: Arc<[i16]>, voice: &Arc<dyn Synthesizer>, language: Language) -> Self {
        Self::new(Source::Phrase(Some((text.into(), samples))), voice, language)
    }

    /// Words of Milo's own, by the voice alone.
    pub(super) fn words(text: &str, voice: &Arc<dyn Synthesizer>, language: Language) -> Self {
        let mut reply = Self::new(Source::Ended, voice, language);
        reply.add(text);
        reply
    }

    fn new(source: Source, voice: &Arc<dyn Synthesizer>, language: Language) -> Self {
        Self {
            source,
            voice: Arc::clone(voice),
            language,
            dialect: None,
            clauses: Clauses::default(),
            waiting: VecDeque::new(),
            tongues: Tongues::default(),
            first: (Class::Call, Wanted::default()),
            speech: None,
            is_heard: false,
            marks: Marks::default(),
            mode: None,
            instead: None,
            brief: None,
            taken: Vec::new(),
            has_words: false,
            cut: None,
            waiting_since: None,
            ahead: VecDeque::new(),
        }
    }

    /// Goes on with these words, and with what is done meanwhile.
    pub(super) fn go_on(&mut self, words: Option<&str>, doing: Option<Doing>) {
        words.iter().for_each(|words| self.add(words));
        self.marks.is_held_up |= doing.is_some();
        self.source = doing.map_or(Source::Ended, Source::Doing);
    }

    /// Words that no model has written.
    fn add(&mut self, words: &str) {
        let mut clauses = self.clauses.push(words);
        clauses.extend(self.clauses.finish());
        self.waiting.extend(clauses.into_iter().map(|clause| (clause, self.language)));
    }

    /// Clauses of the model's, each in its own language; or that nothing more of what it says is said.
    fn take(&mut self, clauses: impl IntoIterator<Item = String>, heeds: bool) -> Option<Step> {
        for clause in clauses {
            let Some(language) = self.tongues.of(&clause, self.language, heeds) else {
                (self.source, self.clauses) = (Source::Ended, Clauses::default());
                self.waiting.clear();
                return Some(Step::Doubtful);
            };
            self.waiting.push_back((clause, language));
        }
        None
    }

    /// Goes on with what the model says to what came of its calls.
    pub(super) fn go_on_by_asking(&mut self, asking: Asking, least: Option<f32>) {
        self.source = Source::Asking(asking, least);
        self.tongues.again();
    }

    /// To these words, of a caller of whom it is known what they speak, or is not.
    pub(super) fn to(self, is_known: bool, words: &str) -> Self {
        Self { tongues: Tongues::to(is_known, words), ..self }
    }

    /// With the words of a region.
    pub(super) fn in_dialect(self, dialect: Option<Dialect>) -> Self {
        Self { dialect, ..self }
    }

    /// Whose its first sound is, and when that is wanted.
    pub(super) fn wanted(self, class: Class, wanted: Wanted) -> Self {
        Self { first: (class, wanted), ..self }
    }

    /// What it is said in.
    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// Whether a clause is being made sound.
    pub(super) fn is_speaking(&self) -> bool {
        self.speech.is_some()
    }

    /// What comes next: of the model, of a tool, or of the voice.
    pub(super) fn waits_for(&self) -> &'static str {
        match self.source {
            Source::Doing(_) => "tool",
            _ if self.marks.first_token.is_some() => "tts",
            _ => "llm",
        }
    }

    /// Whether its first sound is made.
    pub(super) fn is_ready(&self) -> bool {
        self.marks.first_sample.is_some()
    }

    /// Whether it failed before a word of it could be said.
    pub(super) fn failed(&self) -> bool {
        matches!(self.ahead.front(), Some(Err(_)))
    }

    /// When the engines first answered.
    pub(super) fn marks(&self) -> Marks {
        self.marks
    }

    /// Who answered; nobody where it is a sentence that needs no model.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// What the model has taken of tokens since this was asked last, by where it is.
    pub(super) fn taken(&mut self) -> Vec<(Mode, Taken)> {
        std::mem::take(&mut self.taken)
    }

    /// Why the local model answered although a server was to.
    pub(super) fn instead(&self) -> Option<&'static str> {
        self.instead
    }

    /// That whoever answers was told to be short, and why.
    pub(super) fn brief(&self) -> Option<Brief> {
        self.brief
    }

    /// In what the model's clauses were.
    pub(super) fn tongues(&self) -> &Tongues {
        &self.tongues
    }

    /// Why the reply ended before it was complete.
    pub(super) fn cut(&self) -> Option<&EngineError> {
        self.cut.as_ref()
    }

    /// The next step, or `None` when all was said. What a model leaves unfinished is said as far as it came. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Step, EngineError>> {
        if let Some(step) = self.ahead.pop_front() {
            return Some(step);
        }
        self.step_in_time().await
    }

    /// Goes on until the first samples are made, or it is known that there are none, or something is to be done first; what came is what
    /// [`Reply::next`] begins with.
    /// Cancel safe.
    pub(super) async fn prepare(&mut self) {
        while !matches!(self.ahead.back(), Some(Ok(Step::Samples(..) | Step::Doubtful | Step::Calls(_)) | Err(_))) {
            let Some(step) = self.step_in_time().await else { return };
            self.ahead.push_back(step);
        }
    }

    async fn step_in_time(&mut self) -> Option<Result<Step, EngineError>> {
        let step = self.step().await;
        self.waiting_since = None;
        step
    }

    #[expect(clippy::disallowed_methods, reason = "stage times of the log are wall-clock times")]
    async fn step(&mut self) -> Option<Result<Step, EngineError>> {
        loop {
            let deadline = *self.waiting_since.get_or_insert_with(tokio::time::Instant::now) + STALL;
            if let Some(speech) = &mut self.speech {
                match stalled("voice", timeout_at(deadline, speech.next()).await) {
                    Some(Ok(samples)) => {
                        self.is_heard = true;
                        self.marks.first_sample.get_or_insert_with(Instant::now);
                        return Some(Ok(Step::Samples(samples, speech.take_words())));
                    }
                    Some(Err(error)) => return Some(Err(error)),
                    None => self.speech = None,
                }
                if !mem::take(&mut self.is_heard) && self.voice.stopped() {
                    return Some(Err(EngineError::Stopped { engine: "voice" }));
                }
            }
            if let Some((clause, language)) = self.waiting.front() {
                let dialect = self.dialect.filter(|_| *language == Language::Mg);
                let (words, language) = (speakable_in(clause, *language, dialect), *language);
                if !words.chars().any(char::is_alphanumeric) {
                    self.waiting.pop_front();
                    continue;
                }
                let (class, wanted) = match self.marks.first_sample {
                    None => self.first.clone(),
                    Some(_) => (Class::Call, Wanted::default()),
                };
                let options = SpeechOptions { class, wanted, ..SpeechOptions::default() };
                match self.voice.speak(&words, language, options) {
                    Ok(speech) => self.speech = Some(speech),
                    Err(error) if error.is_passing() && tokio::time::Instant::now() + (STALL - PATIENCE) < deadline => {
                        sleep(PAUSE).await;
                        continue;
                    }
                    Err(error) => return Some(Err(error)),
                }
                return self.waiting.pop_front().map(|(clause, _)| Ok(Step::Clause(clause)));
            }
            match &mut self.source {
                Source::Ended => return None,
                Source::Calls(calls) => {
                    let calls = mem::take(calls);
                    self.source = Source::Ended;
                    return Some(Ok(Step::Calls(calls)));
                }
                // It has a limit of its own.
                Source::Doing(doing) => {
                    doing.await;
                    self.source = Source::Ended;
                    return Some(Ok(Step::Done));
                }
                Source::Phrase(phrase) => {
                    let Some((text, samples)) = phrase.take() else {
                        self.source = Source::Ended;
                        continue;
                    };
                    if text.is_empty() {
                        self.source = Source::Ended;
                        return Some(Ok(Step::Samples(samples.to_vec(), Vec::new())));
                    }
                    *phrase = Some((String::new(), samples));
                    return Some(Ok(Step::Clause(text)));
                }
                Source::Asking(asking, least) => {
                    let asked = timeout_at(deadline, asking).await;
                    match asked.unwrap_or_else(|_| Err(stall("language model"))) {
                        Ok(tokens) => {
                            self.waiting_since = None;
                            self.source = Source::Model(Box::new(Words::new(tokens, *least)));
                        }
                        Err(error) => {
                            self.source = Source::Ended;
                            return Some(Err(error));
                        }
                    }
                }
                Source::Model(words) => {
                    let piece = stalled("language model", timeout_at(deadline, words.next()).await);
                    let heeds = words.heeds();
                    (self.mode, self.instead, self.brief) = (Some(words.mode()), words.instead(), words.brief());
                    match piece {
                        Some(Ok(Piece::Text(text))) => {
                            self.waiting_since = None;
                            self.marks.first_token.get_or_insert_with(Instant::now);
                            self.has_words |= !text.trim().is_empty();
                            let clauses = self.clauses.push(&text);
                            if let Some(step) = self.take(clauses, heeds) {
                                return Some(Ok(step));
                            }
                        }
                        Some(Ok(Piece::Doubtful)) => {
                            self.source = Source::Ended;
                            return Some(Ok(Step::Doubtful));
                        }
                        Some(Ok(Piece::HangUp)) => return Some(Ok(Step::HangUp)),
                        Some(Err(error)) if self.has_words => {
                            self.cut = Some(error);
                            self.source = Source::Ended;
                            let rest = self.clauses.finish();
                            if let Some(step) = self.take(rest, heeds) {
                                return Some(Ok(step));
                            }
                        }
                        Some(Err(error)) => return Some(Err(error)),
                        None => {
                            self.taken.extend(words.taken().map(|taken| (words.mode(), taken)));
                            let calls = words.calls().to_vec();
                            let rest = self.clauses.finish();
                            let unfit = self.take(rest, heeds);
                            self.source = if calls.is_empty() { Source::Ended } else { Source::Calls(calls) };
                            // What is wanted is done, whatever was said beside it.
                            if let (Some(step), Source::Ended) = (unfit, &self.source) {
                                return Some(Ok(step));
                            }
                        }
                    }
                }
            }
        }
    }
}
