//! The transcriber: any Whisper that Hugging Face optimum exported, from a folder, on ONNX Runtime.
//!
//! One thread owns the model and serves all calls from one bounded queue, one utterance after the other or several side by side
//! (`together`). The way of an utterance:
//! ```text
//!  samples ─► windows ─► log-mel ─► encoder ─► language, prompt ─► tokens (greedy or a beam; hotter if poor) ─► gate ─► Transcript
//! ```
//! Where times of words are wanted and the decoder tells what it looks at, it reads the chosen transcript once more (`alignment`).
//! Dropping the future of [`Transcriber::transcribe`] cancels: the thread sees it before the next token. So does it when a call
//! comes while a request's or a batch's utterance is being heard, which then begins again behind it: half a minute of sound would
//! keep the caller waiting.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::sync::oneshot;

use crate::{
    engine::{EngineError, Language},
    mel::{HOP, LogMel, PCM},
    onnx::{OrtRuntime, export::Export},
    queue::{self, Class, Jobs, Queue, Standing, Waiting, Work, spawn_engine},
    remote::RemoteOptions,
    transcriber::{Listen, Segment, Transcriber, Transcribing, Transcript, check},
};

mod alignment;
mod beam;
mod before;
mod cohort;
mod decode;
mod graph;
mod hearing;
mod rules;
mod segments;
#[cfg(test)]
mod tests;
mod together;
mod tokens;
mod windows;
mod words;

pub use windows::cut as pieces;

pub use crate::onnx::export::Precision;

use before::Before;
use decode::{Decoder, Heard};
use graph::{Config, Model};
use rules::{Gate, Rules};
use tokens::Tokens;

const ENGINE: &str = "transcriber";
const SAMPLES_PER_MS: usize = 16;
/// The first time stamp lies within the first second, unless generation_config.json says otherwise.
const LATEST_START: usize = 50;

/// Why there are no times of words.
const NO_WORDS: &str = "the transcriber in this process knows the times of segments, not of words";

/// A request's utterance that has given way to calls so often is transcribed to its end.
const MOST_GIVEN_WAY: u32 = 3;

/// How a transcriber runs.
#[derive(Clone, Debug)]
pub struct WhisperOptions {
    /// Threads that compute one utterance.
    pub threads: usize,
    /// Utterances that may wait; one more is refused.
    pub queue: usize,
    /// Which files are preferred.
    pub precision: Precision,
    /// Ask the model for time stamps. Without them there is one segment a window, from the sounding part of the audio; a
    /// model whose tokenizer has none is never asked.
    pub timestamps: bool,
    /// Utterances that are heard side by side at most; 1: one after the other. So they are too with a beam, and where the decoder is
    /// quantized as it runs: it has one scale for all rows of a run, and none would be heard as it is alone. (An encoder of that kind takes
    /// one after the other, and what it made of them is decoded side by side.)
    pub batch: usize,
    /// How many beginnings of a transcript are followed at a time; 1: the likeliest token each time. Each costs as much again.
    pub beam: usize,
    /// A text that stands before every utterance, unless whoever asks has another: what follows is written alike.
    pub prompt: Option<String>,
    /// Words that stand before it in any case: names, and what else is to be written just so.
    pub hot_words: Vec<String>,
}

impl Default for WhisperOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            queue: 32,
            precision: Precision::Quantized,
            timestamps: false,
            batch: 8,
            beam: 1,
            prompt: None,
            hot_words: Vec::new(),
        }
    }
}

/// A handle on the transcriber's thread; cheap to clone. The thread ends with the last handle.
#[derive(Clone)]
pub struct Whisper {
    queue: Queue<Job>,
    /// Whether the decoder tells what it looks at: the thread says so whenever it has loaded the model.
    knows_words: Arc<AtomicBool>,
}

struct Job {
    samples: Vec<i16>,
    language: Option<Language>,
    prompt: Option<Arc<str>>,
    words: bool,
    standing: Standing,
    /// How often it was begun and gave way.
    gave_way: u32,
    answer: oneshot::Sender<Result<Transcript, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Whisper {
    /// Loads `encoder_model`, `decoder_model_merged` (or `decoder_model` with `decoder_with_past_model`), `tokenizer.json`
    /// and `config.json` from a folder (the graphs may lie in its `onnx` subfolder).
    ///
    /// # Errors
    /// [`EngineError::Load`]: one sentence that names the file, what is wrong with it and the mend.
    pub fn load(folder: &Path, ort: &OrtRuntime, options: WhisperOptions) -> Result<Self, EngineError> {
        Self::start(folder, None, ort, options)
    }

    /// The same with an encoder that an inference server runs ([`crate::kserve`]); the folder holds its decoder, and what else belongs to it.
    ///
    /// # Errors
    /// As before, and [`EngineError::Remote`] when the server is not there.
    pub fn load_served(
        folder: &Path,
        encoder: &RemoteOptions,
        ort: &OrtRuntime,
        options: WhisperOptions,
    ) -> Result<Self, EngineError> {
        Self::start(folder, Some(encoder.clone()), ort, options)
    }

    fn start(
        folder: &Path,
        encoder: Option<RemoteOptions>,
        ort: &OrtRuntime,
        options: WhisperOptions,
    ) -> Result<Self, EngineError> {
        let folder = folder.to_owned();
        let places = options.queue.max(1);
        let knows_words = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&knows_words);
        let load = ort.loading(ENGINE, move |ort| {
            let worker = Worker::load(&folder, encoder.as_ref(), ort, &options)?;
            told.store(worker.decoder.model.decoder.tells_attention(), Ordering::Relaxed);
            Ok(worker)
        });
        let queue = spawn_engine(ENGINE, places, load, Worker::serve)?;
        Ok(Self { queue, knows_words })
    }
}

impl Transcriber for Whisper {
    fn transcribe(&self, samples: Vec<i16>, asked: Listen) -> Transcribing {
        let (answer, answered) = oneshot::channel();
        let Listen { language, words, prompt, class, wanted } = asked;
        let submitted = check(&samples).and_then(|()| {
            if words && !self.knows_words() {
                return Err(EngineError::Input(NO_WORDS.into()));
            }
            let standing = Standing::new(class, wanted);
            self.queue.submit(Job { samples, language, prompt, words, standing, gave_way: 0, answer })
        });
        Box::pin(async move {
            submitted?;
            answered.await.map_err(|_| EngineError::Stopped { engine: ENGINE })?
        })
    }

    /// A word's times are in the decoder's attention to the sound, which not every graph tells; tokens of time come between segments
    /// only.
    fn knows_words(&self) -> bool {
        self.knows_words.load(Ordering::Relaxed)
    }

    fn takes_prompt(&self) -> bool {
        true
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

/// What the thread owns.
struct Worker {
    decoder: Decoder,
    mel: LogMel,
    before: Before,
    /// How many are heard side by side.
    batch: usize,
}

impl Worker {
    fn load(
        folder: &Path,
        encoder: Option<&RemoteOptions>,
        ort: &OrtRuntime,
        options: &WhisperOptions,
    ) -> Result<Self, EngineError> {
        let export = Export::open(folder, "Whisper", ort, options.precision, options.threads)?;
        let export = export.served_by(ENGINE, encoder);
        let config: Config = export.settings("config.json")?;
        let generation: Config = export.settings("generation_config.json")?;
        let either =
            |own: &Option<Vec<u32>>, other: &Option<Vec<u32>>| own.clone().or(other.clone()).unwrap_or_default();
        let not_first = either(&generation.begin_suppress_tokens, &config.begin_suppress_tokens);
        let mut never = either(&generation.suppress_tokens, &config.suppress_tokens);
        let tokens = Tokens::load(&export)?;
        never.extend(&tokens.never);
        let model = Model::load(&export, config)?;
        if let Some(size) = model.decoder.vocabulary().filter(|size| *size <= tokens.highest() as usize) {
            return Err(EngineError::Load(format!(
                "{} knows {size} tokens and tokenizer.json beside it has ids up to {}: they belong to different models",
                model.decoder.name(),
                tokens.highest()
            )));
        }
        let timestamps = options.timestamps && tokens.first_timestamp().is_some();
        // Time stamps are less sure than words: what a model says of its transcripts holds for those without.
        let own = Some(&generation).filter(|_| !timestamps);
        let rules = Rules {
            never,
            not_first,
            timestamps,
            first_stamps: generation.max_initial_timestamp_index.unwrap_or(LATEST_START) + 1,
            gate: Gate::of(own.and_then(|own| own.no_speech_threshold), own.and_then(|own| own.logprob_threshold)),
        };
        let mel = LogMel::new(model.mels());
        let before = Before::load(options, &tokens, model.positions())?;
        let beam = options.beam.max(1);
        let batch = if options.batch > 1 && beam == 1 && model.takes_rows()? { options.batch } else { 1 };
        Ok(Self { decoder: Decoder { model, tokens, rules, beam }, mel, before, batch })
    }

    fn serve(mut self, jobs: Jobs<Job>) {
        if self.batch > 1 {
            return self.serve_together(&jobs);
        }
        while let Some(mut job) = jobs.next() {
            // A guess that comes true while it is heard gives way no more.
            let gives_way = || job.standing.class() != Class::Interactive || job.gave_way < MOST_GIVEN_WAY;
            let stops = || job.answer.is_closed() || (gives_way() && jobs.waits_before(job.standing.class()));
            jobs.step([&job.standing]);
            match self.transcribe(&job, &stops).transpose() {
                Some(result) => {
                    jobs.ran(&result);
                    jobs.answered(&job.standing);
                    job.answer.send(result).ok();
                }
                None if job.answer.is_closed() => {}
                None => {
                    job.gave_way += 1;
                    jobs.put_back(job);
                }
            }
        }
    }

    /// `None` when cancelled.
    fn transcribe(&mut self, job: &Job, cancelled: &dyn Fn() -> bool) -> Result<Option<Transcript>, EngineError> {
        #[expect(clippy::disallowed_methods, reason = "the edge: a model's real work is measured where it is done")]
        let begun = Instant::now();
        let window = self.decoder.model.frames() * HOP;
        let before = self.before.tokens(job.prompt.as_deref(), &self.decoder.tokens)?;
        let (mut language, mut parts) = (job.language, Vec::new());
        for range in windows::cut(&job.samples, window) {
            if cancelled() {
                return Ok(None);
            }
            let part = &job.samples[range.clone()];
            let features = self.mel.features(part, PCM, self.decoder.model.frames());
            let hidden = self.decoder.model.encode(features)?;
            let Some(heard) = self.decoder.decode(&hidden, language, &before, cancelled)? else { return Ok(None) };
            let segments = if heard.is_noise {
                Vec::new()
            } else {
                // What follows in the same audio is in the language that was first heard.
                language = Some(heard.language);
                let moments = job.words.then(|| self.decoder.moments(&hidden, &heard, part.len())).transpose()?;
                self.segments(&heard, part, range.start, moments.as_deref())?
            };
            parts.push((heard, segments));
        }
        let ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
        Ok(join(parts, ms))
    }
}

/// One transcript of all windows: means are weighted by tokens, the language is that of the first window with speech.
fn join(parts: Vec<(Heard, Vec<Segment>)>, processing_ms: u32) -> Option<Transcript> {
    let spoken = |part: &&(Heard, Vec<Segment>)| !part.0.is_noise;
    let (first, _) = parts.iter().find(spoken).or(parts.first())?;
    let (language, language_probability) = (first.language, first.language_probability);
    let no_speech_prob = parts.iter().map(|(heard, _)| heard.no_speech_prob).fold(1.0, f32::min);
    let counted: Vec<&Heard> = match parts.iter().any(|part| spoken(&part)) {
        true => parts.iter().filter(spoken).map(|(heard, _)| heard).collect(),
        false => parts.iter().map(|(heard, _)| heard).collect(),
    };
    let weight = |heard: &Heard| (heard.tokens.len() + 1) as f32;
    let total: f32 = counted.iter().map(|heard| weight(heard)).sum();
    let avg_logprob = counted.iter().map(|heard| heard.avg_logprob * weight(heard)).sum::<f32>() / total;
    let segments: Vec<Segment> = parts.into_iter().flat_map(|(_, segments)| segments).collect();
    let text = segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" ");
    Some(Transcript {
        text,
        language,
        language_probability: Some(language_probability),
        confidence: Some(avg_logprob.exp()),
        avg_logprob: Some(avg_logprob),
        no_speech_prob: Some(no_speech_prob),
        segments,
        processing_ms,
    })
}
