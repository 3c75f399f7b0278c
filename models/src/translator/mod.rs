//! The translator: an NLLB-200 or M2M100 that Hugging Face optimum exported, from a folder, or two Marian (Opus-MT), one for each way, on
//! ONNX Runtime, behind the memory of set phrases ([`crate::phrases`]).
//!
//! One thread owns what translates and serves all from one bounded queue, the sentences of one text and of several side by side
//! (`together`). The way of a text:
//! ```text
//!  lines ─► sentences ─► set phrase? its other side
//!                    └─► pieces that fit ─► tokens ─► encoder ─► tokens, the likeliest each time ─► put together again
//! ```
//! Dropping the future of [`Translator::translate`] cancels: the thread sees it before the next token. So does it when work of a class
//! before it comes (a call's, a request's before a batch's), behind which a text then goes on at the token where it was.

mod cohort;
mod cut;
mod graph;
#[cfg(test)]
mod tests;
mod text;
mod together;
mod tokens;

use std::{
    future::Future,
    path::{Path, PathBuf},
};

use tokio::sync::oneshot;

use crate::{
    engine::{EngineError, Language},
    onnx::{
        OrtRuntime,
        export::{Export, Precision},
    },
    queue::{self, Class, Queue, Standing, Waiting, Wanted, Work, spawn_engine},
};
use graph::Model;

const ENGINE: &str = "translator";

/// Which way a model translates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Between both languages: it is told from which and into which.
    Both,
    /// From this language into the other.
    From(Language),
}

/// How a translator runs.
#[derive(Clone, Copy, Debug)]
pub struct TranslatorOptions {
    /// Threads that compute one text.
    pub threads: usize,
    /// Texts of each class that may wait; one more is refused.
    pub queue: usize,
    /// Which files are preferred.
    pub precision: Precision,
    /// Cuts at commas too, for a model that knows single clauses and leaves out the others.
    pub by_clause: bool,
    /// Sentences that are translated side by side at most, of one text or of several; 1: one after the other. So they are too where a
    /// graph is quantized as it runs: it has one scale for all rows of a run, and none would be translated as it is alone.
    pub batch: usize,
}

impl Default for TranslatorOptions {
    fn default() -> Self {
        Self { threads: 1, queue: 32, precision: Precision::Quantized, by_clause: false, batch: 8 }
    }
}

/// A handle on the translator's thread; cheap to clone. The thread ends with the last handle.
#[derive(Clone)]
pub struct Translator {
    queue: Queue<Job>,
    by_clause: bool,
}

/// What a text is in the other language.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// The words.
    pub text: String,
    /// exp of the mean log-probability of the tokens, 0 to 1, of the sentence that is least sure; 1 for set phrases; 0 where a sentence
    /// found no end, or became nothing.
    pub confidence: f32,
}

/// A part of a text: what is to be translated, or what stands between such parts.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Sentence(String),
    Between(String),
}

struct Job {
    parts: Vec<Part>,
    source: Language,
    target: Language,
    standing: Standing,
    answer: oneshot::Sender<Result<Translation, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Translator {
    /// Loads `encoder_model`, `decoder_model_merged` (or `decoder_model` with `decoder_with_past_model`), `tokenizer.json` and
    /// `config.json` from a folder (the graphs may lie in its `onnx` subfolder).
    ///
    /// # Errors
    /// [`EngineError::Load`]: one sentence that names the file, what is wrong with it and the mend.
    pub fn load(folder: &Path, ort: &OrtRuntime, options: TranslatorOptions) -> Result<Self, EngineError> {
        Self::of(vec![(Way::Both, folder.to_owned())], ort, options)
    }

    /// Loads a Marian for each way, each from a folder with the same files.
    ///
    /// # Errors
    /// As [`Translator::load`].
    pub fn load_ways(
        [mg_fr, fr_mg]: [&Path; 2],
        ort: &OrtRuntime,
        options: TranslatorOptions,
    ) -> Result<Self, EngineError> {
        let ways = [(Way::From(Language::Mg), mg_fr), (Way::From(Language::Fr), fr_mg)];
        Self::of(ways.map(|(way, folder)| (way, folder.to_owned())).into(), ort, options)
    }

    fn of(folders: Vec<(Way, PathBuf)>, ort: &OrtRuntime, options: TranslatorOptions) -> Result<Self, EngineError> {
        let load = ort.loading(ENGINE, move |ort| {
            let open = |(way, folder): &(Way, PathBuf)| {
                let export = Export::open(folder, "translator's", ort, options.precision, options.threads)?;
                Model::load(&export, *way, options.batch)
            };
            folders.iter().map(open).collect::<Result<Vec<_>, EngineError>>()
        });
        let queue = spawn_engine(ENGINE, options.queue.max(1), load, together::serve)?;
        Ok(Self { queue, by_clause: options.by_clause })
    }

    /// Translates a text; line breaks stay where they are.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when there is no place; [`EngineError::Input`] for a text without a word, or one language on
    /// both sides; [`EngineError::Failed`] when the model fails on this text.
    pub fn translate(
        &self,
        text: &str,
        source: Language,
        target: Language,
        class: Class,
    ) -> impl Future<Output = Result<Translation, EngineError>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let submitted = check(text, source, target).and_then(|()| {
            let parts = cut::parts(text, self.by_clause);
            let standing = Standing::new(class, Wanted::default());
            self.queue.submit(Job { parts, source, target, standing, answer })
        });
        async move {
            submitted?;
            answered.await.map_err(|_| EngineError::Stopped { engine: ENGINE })?
        }
    }

    /// Texts that wait for their turn.
    pub fn waiting(&self) -> Waiting {
        self.queue.waiting()
    }

    /// What it has done so far.
    pub fn work(&self) -> Work {
        self.queue.work()
    }

    /// Whether the engine's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.queue.stopped()
    }
}

fn check(text: &str, source: Language, target: Language) -> Result<(), EngineError> {
    if !text.chars().any(char::is_alphanumeric) {
        return Err(EngineError::Input("the text is empty: there is nothing to translate".into()));
    }
    if source == target {
        return Err(EngineError::Input(format!("source and target are both {source}: they must differ")));
    }
    Ok(())
}
