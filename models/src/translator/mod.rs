//! The translator: an NLLB-200 or M2M100 that Hugging Face optimum exported, from a folder, or two Marian (Opus-MT), one for each way, on
//! ONNX Runtime, behind the memory of set phrases ([`crate::phrases`]).
//!
//! One thread owns what translates and serves all, one text after the other, from one bounded queue. The way of a text:
//! ```text
//!  lines ─► sentences ─► set phrase? its other side
//!                    └─► pieces that fit ─► tokens ─► encoder ─► tokens, the likeliest each time ─► put together again
//! ```
//! Dropping the future of [`Translator::translate`] cancels: the thread sees it before the next token. So does it when work of a class
//! before it comes (a call's, a request's before a batch's), behind which a text then goes on at the sentence where it was.

mod cut;
mod graph;
#[cfg(test)]
mod tests;
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
    phrases,
    queue::{self, Class, Jobs, Queue, Standing, Waiting, Wanted, Work, spawn_engine},
};
use graph::Model;

const ENGINE: &str = "translator";
/// A request's text that has given way so often is translated to its end.
const MOST_GIVEN_WAY: u32 = 3;

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
}

impl Default for TranslatorOptions {
    fn default() -> Self {
        Self { threads: 1, queue: 32, precision: Precision::Quantized, by_clause: false }
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
    /// Those that are translated already.
    done: Vec<Translation>,
    source: Language,
    target: Language,
    standing: Standing,
    gave_way: u32,
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
        let ort = ort.clone();
        let load = move || {
            let open = |(way, folder): &(Way, PathBuf)| {
                let export = Export::open(folder, "translator's", &ort, options.precision, options.threads)?;
                Ok((*way, Model::load(&export, *way)?))
            };
            folders.iter().map(open).collect::<Result<Vec<_>, EngineError>>()
        };
        let queue = spawn_engine(ENGINE, options.queue.max(1), load, serve)?;
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
            self.queue.submit(Job { parts, done: Vec::new(), source, target, standing, gave_way: 0, answer })
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

fn serve(mut models: Vec<(Way, Model)>, jobs: Jobs<Job>) {
    while let Some(mut job) = jobs.next() {
        let goes = |way: Way| way == Way::Both || way == Way::From(job.source);
        let Some((_, model)) = models.iter_mut().find(|(way, _)| goes(*way)) else {
            let says = format!("the translator has no model from {}", job.source);
            job.answer.send(Err(EngineError::Input(says))).ok();
            continue;
        };
        match translate(model, &mut job, &jobs) {
            Ok(true) => {
                let whole = join(&job.parts, std::mem::take(&mut job.done));
                jobs.answered(&job.standing);
                job.answer.send(Ok(whole)).ok();
            }
            Ok(false) if job.answer.is_closed() => {}
            Ok(false) => {
                job.gave_way += 1;
                jobs.put_back(job);
            }
            Err(error) => {
                job.answer.send(Err(error)).ok();
            }
        }
    }
}

/// Goes on with a text; false when it gives way, or nobody waits for it any more.
fn translate(model: &mut Model, job: &mut Job, jobs: &Jobs<Job>) -> Result<bool, EngineError> {
    let class = job.standing.class();
    let gives_way = class != Class::Interactive || job.gave_way < MOST_GIVEN_WAY;
    let (source, target) = (job.source, job.target);
    let sentences = job.parts.iter().filter_map(|part| match part {
        Part::Sentence(sentence) => Some(sentence.as_str()),
        Part::Between(_) => None,
    });
    for sentence in sentences.skip(job.done.len()) {
        let stops = || job.answer.is_closed() || (gives_way && jobs.waits_before(class));
        if stops() {
            return Ok(false);
        }
        let translation = match phrases::translated(sentence, source, target) {
            Some(text) => Translation { text, confidence: 1.0 },
            None => match model.translate(sentence, source, target, &stops)? {
                Some(translation) => translation,
                None => return Ok(false),
            },
        };
        job.done.push(translation);
    }
    Ok(true)
}

fn join(parts: &[Part], done: Vec<Translation>) -> Translation {
    let confidence = done.iter().map(|sentence| sentence.confidence).fold(1.0, f32::min);
    let mut done = done.into_iter();
    let text = parts.iter().map(|part| match part {
        Part::Sentence(_) => done.next().map_or_else(String::new, |sentence| sentence.text),
        Part::Between(between) => between.clone(),
    });
    Translation { text: text.collect::<String>().trim().to_owned(), confidence }
}
