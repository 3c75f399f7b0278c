//! The transcriber that writes letter by letter: a wav2vec2 with a CTC head (MMS among them) that Hugging Face optimum exported, from a
//! folder, on ONNX Runtime.
//!
//! A model knows one language. Where there are two, Malagasy and French, both hear an utterance whose language is not told, and the
//! surer one is believed. One thread owns them and serves all calls from one bounded queue. The way of an utterance:
//! ```text
//!  samples ─► windows ─► mean 0, variance 1 ─► a letter, or none, every 20 ms ─► repeats are one ─► words with times ─► Transcript
//! ```
//! Utterances that wait together go through a model together, where it can tell sound from what fills the shorter ones up
//! (`graph`). Between two passes calls go first; what was heard of the others stays, and they go on behind them. Dropping the
//! future of [`Transcriber::transcribe`] cancels before the next pass.

mod graph;
mod greedy;
mod serve;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    engine::{EngineError, Language},
    onnx::{OrtRuntime, export::Precision},
    queue::{self, Queue, Standing, Waiting, Work, spawn_engine},
    remote::RemoteOptions,
    transcriber::{Listen, Transcriber, Transcribing, Transcript, check},
    whisper::pieces,
};
use greedy::Line;
use serve::Worker;

const ENGINE: &str = "transcriber";
const SAMPLES_PER_MS: usize = 16;
/// The longest window: attention costs its square, and no such model was trained on longer sound.
const WINDOW: usize = 30_000 * SAMPLES_PER_MS;

/// How such a transcriber runs.
#[derive(Clone, Copy, Debug)]
pub struct CtcOptions {
    /// Threads that compute one pass.
    pub threads: usize,
    /// Utterances of each class that may wait; one more is refused.
    pub queue: usize,
    /// Which files are preferred.
    pub precision: Precision,
}

impl Default for CtcOptions {
    fn default() -> Self {
        Self { threads: 1, queue: 32, precision: Precision::Quantized }
    }
}

/// A handle on the transcriber's thread; cheap to clone. The thread ends with the last handle.
#[derive(Clone)]
pub struct Ctc {
    queue: Queue<Job>,
    languages: Arc<[Language]>,
}

struct Job {
    samples: Vec<i16>,
    windows: Vec<Range<usize>>,
    words: bool,
    standing: Standing,
    /// What each model that is asked has heard in the first windows: the same of them for all.
    accounts: Vec<Account>,
    /// What a model could not hear of it.
    fault: Option<EngineError>,
    worked: Duration,
    answer: oneshot::Sender<Result<Transcript, EngineError>>,
}

/// Where the model of a language lies, and who runs its graph; none: this process.
struct Source {
    language: Language,
    folder: PathBuf,
    server: Option<RemoteOptions>,
}

impl Source {
    fn of((language, folder, server): (Language, PathBuf, Option<RemoteOptions>)) -> Self {
        Self { language, folder, server }
    }
}

/// What one model has heard: a line a window.
struct Account {
    language: Language,
    lines: Vec<Line>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Ctc {
    /// Loads `model.onnx`, `vocab.json`, `config.json`, `preprocessor_config.json` and `tokenizer_config.json` from the folder of each
    /// language (the graph may lie in its `onnx` subfolder).
    ///
    /// # Errors
    /// [`EngineError::Load`]: one sentence that names the file, what is wrong with it and the mend.
    pub fn load(folders: &[(Language, PathBuf)], ort: &OrtRuntime, options: CtcOptions) -> Result<Self, EngineError> {
        let own = folders.iter().map(|(language, folder)| (*language, folder.clone(), None));
        Self::start(own.map(Source::of).collect(), ort, options)
    }

    /// The same with graphs that an inference server runs ([`crate::kserve`]): a folder holds what else belongs to its model.
    ///
    /// # Errors
    /// As before, and [`EngineError::Remote`] when the server is not there.
    pub fn load_served(
        models: &[(Language, PathBuf, RemoteOptions)],
        ort: &OrtRuntime,
        options: CtcOptions,
    ) -> Result<Self, EngineError> {
        let served = models.iter().map(|(language, folder, server)| (*language, folder.clone(), Some(server.clone())));
        Self::start(served.map(Source::of).collect(), ort, options)
    }

    fn start(sources: Vec<Source>, ort: &OrtRuntime, options: CtcOptions) -> Result<Self, EngineError> {
        let languages = sources.iter().map(|source| source.language).collect();
        let load = ort.loading(ENGINE, move |ort| Worker::load(&sources, ort, options));
        let queue = spawn_engine(ENGINE, options.queue.max(1), load, Worker::serve)?;
        Ok(Self { queue, languages })
    }

    /// The language that a folder says its model writes (`target_lang`, as MMS has); none where it does not say.
    ///
    /// # Errors
    /// [`EngineError::Load`]: its tokenizer_config.json cannot be read.
    pub fn language_of(folder: &Path) -> Result<Option<Language>, EngineError> {
        vocabulary::told_language(folder)
    }

    fn job(
        &self,
        samples: Vec<i16>,
        asked: Listen,
        answer: oneshot::Sender<Result<Transcript, EngineError>>,
    ) -> Result<Job, EngineError> {
        check(&samples)?;
        let Listen { language, words, prompt, class, wanted } = asked;
        if prompt.is_some() {
            let says = "a transcriber that writes letter by letter takes no prompt: leave it out";
            return Err(EngineError::Input(says.into()));
        }
        let models = self.languages.iter().copied().filter(|known| language.is_none_or(|asked| asked == *known));
        let accounts: Vec<_> = models.map(|language| Account { language, lines: Vec::new() }).collect();
        if accounts.is_empty() {
            let known = self.languages.iter().map(|language| language.code()).collect::<Vec<_>>().join(" and ");
            let asked = language.map_or("none", Language::code);
            let says = format!("the transcriber hears {known} and not {asked}: configure a model of that language");
            return Err(EngineError::Input(says));
        }
        let windows = pieces(&samples, WINDOW);
        let standing = Standing::new(class, wanted);
        Ok(Job { samples, windows, words, standing, accounts, fault: None, worked: Duration::ZERO, answer })
    }
}

impl Transcriber for Ctc {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        let (answer, answered) = oneshot::channel();
        let submitted = self.job(samples, asked, answer).and_then(|job| self.queue.submit(job));
        Box::pin(async move {
            submitted?;
            answered.await.map_err(|_| EngineError::Stopped { engine: ENGINE })?
        })
    }

    /// Each letter stands at its place in the sound.
    fn knows_words(&self) -> bool {
        true
    }

    /// It knows no words, and so none that are likelier behind others.
    fn takes_prompt(&self) -> bool {
        false
    }

    fn waiting(&self) -> Waiting {
        self.queue.waiting()
    }

    fn work(&self) -> Work {
        self.queue.work()
    }

    fn stopped(&self) -> bool {
        self.queue.stopped()
    }
}
