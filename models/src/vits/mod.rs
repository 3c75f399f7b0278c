//! A better voice than espeak-ng's for one language: any VITS, from a folder, on ONNX Runtime. MMS-TTS and its like read letters,
//! Piper voices the phonemes of espeak-ng.
//!
//! ```text
//!  speak(text) ─► clauses ─► queue ─► tokens ─► one run for several texts ─► 16 kHz, level, trimmed, faded ─► Speech::next
//! ```
//! One thread owns the model and serves all calls. A text is spoken clause by clause: the first is heard while the next is made, and
//! between two clauses whoever goes first may come in. A listener who leaves costs no more than the clause that is being made.
//!
//! Several texts that wait are spoken in one run where the graph says how long each token lasts (`models/training/export.py`): each
//! is cut where it ends, and sounds as it does alone. Such graphs also tell when each word is heard. Others speak one at a time.

mod graph;
mod piper;
#[cfg(test)]
mod tests;
mod tokens;
mod voice;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use milo_media::SAMPLE_RATE;
use tokio::sync::mpsc;

use crate::{
    engine::{EngineError, Language},
    espeak::Espeak,
    onnx::OrtRuntime,
    queue::{self, Jobs, Queue, Standing, Waiting, Work, spawn_engine},
    remote::RemoteOptions,
    shape::{self, Shaper},
    synthesizer::{MAX_TEXT, Piece, Speech, SpeechOptions, Synthesizer, Word},
    text::{clauses::Clauses, speakable},
};
use graph::{Manner, Row, Sound};
use tokens::Line;
use voice::{Voice, to_pcm};

/// The name in errors and of the thread.
const ENGINE: &str = "voice";
/// Words a minute of a model at its own speed, as callers count them.
const PACE: f32 = 155.0;
/// Texts that are spoken in one run: the first is heard when all of them are made.
pub const ROWS: usize = 4;
/// The part of a second that fades at both ends of a clause: 5 ms.
const FADE: usize = 200;
/// A text waits for no other that has more than so many times its tokens.
const ALIKE: usize = 2;

/// How a voice runs.
#[derive(Clone, Copy, Debug)]
pub struct VitsOptions {
    /// Threads that compute one clause.
    pub threads: usize,
    /// Texts that may wait, of each class; one more is refused.
    pub queue: usize,
}

impl Default for VitsOptions {
    fn default() -> Self {
        Self { threads: 1, queue: 32 }
    }
}

/// A handle on a voice's thread; cheap to clone. The thread ends with the last handle.
#[derive(Clone)]
pub struct Vits {
    queue: Queue<Job>,
    told: Arc<Told>,
}

/// Where a voice lies, and who runs its graph; none: this process.
struct Source {
    path: PathBuf,
    server: Option<RemoteOptions>,
    language: Language,
}

/// What the model says of itself when it is loaded.
struct Told {
    speakers: Vec<String>,
    has_pace: bool,
}

/// A text that is being said, clause by clause.
struct Job {
    clauses: VecDeque<String>,
    /// Twice as fast as the model's own speed is 2.
    pace: f32,
    speaker: i64,
    standing: Standing,
    /// Whether something was heard of it.
    is_heard: bool,
    /// When all that was made of it is heard, if it is heard as it is made: no earlier is more of it wanted. None: nothing was made.
    lasts: Option<Instant>,
    pieces: mpsc::Sender<Result<Piece, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.pieces.is_closed()
    }
}

impl Vits {
    /// Loads the voice of a language: a folder with a graph and what belongs beside it (config.json and vocab.json; tokens.txt; or Piper's
    /// JSON), or the graph itself. `espeak` says the phonemes that Piper voices read.
    ///
    /// # Errors
    /// [`EngineError::Load`]: one sentence that names the file, what is wrong with it and the mend.
    pub fn load(
        path: &Path,
        language: Language,
        ort: &OrtRuntime,
        espeak: &Espeak,
        options: VitsOptions,
    ) -> Result<Self, EngineError> {
        Self::start(Source { path: path.to_owned(), server: None, language }, ort, espeak, options)
    }

    /// The same with a graph that an inference server runs ([`crate::kserve`]); of the folder only what belongs beside it is read. A voice in
    /// sherpa-onnx's form cannot be served so: half of what belongs to it is in its graph, and servers do not pass that on.
    ///
    /// # Errors
    /// As before, and [`EngineError::Remote`] when the server is not there.
    pub fn load_served(
        path: &Path,
        language: Language,
        server: &RemoteOptions,
        ort: &OrtRuntime,
        espeak: &Espeak,
        options: VitsOptions,
    ) -> Result<Self, EngineError> {
        Self::start(Source { path: path.to_owned(), server: Some(server.clone()), language }, ort, espeak, options)
    }

    fn start(source: Source, ort: &OrtRuntime, espeak: &Espeak, options: VitsOptions) -> Result<Self, EngineError> {
        let espeak = espeak.clone();
        let told = Arc::new(OnceLock::new());
        let telling = Arc::clone(&told);
        let load = ort.loading(ENGINE, move |ort| {
            let voice = Voice::load(&source, ort, &espeak, options)?;
            telling.get_or_init(|| {
                let (speakers, has_pace) = (voice.speakers.clone(), voice.model.has_pace());
                Arc::new(Told { speakers, has_pace })
            });
            Ok(voice)
        });
        let queue = spawn_engine(ENGINE, options.queue.max(1), load, serve)?;
        let told = told.get().cloned();
        let told = told.ok_or_else(|| EngineError::Load("the voice ended while it was loading".into()))?;
        Ok(Self { queue, told })
    }

    /// Whether it can speak faster and slower; the speed of some exports is part of the graph.
    pub fn has_speed(&self) -> bool {
        self.told.has_pace
    }

    /// The number of the speaker that is asked for.
    fn speaker(&self, variant: Option<&str>) -> Result<i64, EngineError> {
        let Some(named) = variant else { return Ok(0) };
        let speakers = &self.told.speakers;
        let found = speakers.iter().position(|speaker| speaker == named);
        found.map(|number| number as i64).ok_or_else(|| {
            EngineError::Input(if speakers.is_empty() {
                format!("the voice variant {named:?} is not known: this language has one voice and no variants")
            } else {
                let some = speakers.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = if speakers.len() > 20 { ", …" } else { "" };
                format!("the voice variant {named:?} is not known; these are: {some}{more}")
            })
        })
    }
}

impl Synthesizer for Vits {
    fn speak(&self, text: &str, language: Language, options: SpeechOptions) -> Result<Speech, EngineError> {
        if text.len() > MAX_TEXT {
            let length = text.len();
            return Err(EngineError::Input(format!(
                "{length} bytes to say at once, {MAX_TEXT} at most: cut into clauses"
            )));
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err(EngineError::Input("there is nothing to say: the text has no letter and no digit".into()));
        }
        self.check(language, &options)?;
        let SpeechOptions { variant, speed, class, wanted, .. } = options;
        let speaker = self.speaker(variant.as_deref())?;
        let mut cutter = Clauses::new();
        // The model reads no figures, and would leave them out without a word.
        let has_figures = text.chars().any(char::is_numeric);
        let mut clauses = cutter.push(&if has_figures { speakable(text, language) } else { text.to_owned() });
        clauses.extend(cutter.finish());
        // Each clause is one piece, and the last may be an error.
        let (pieces, speech) = mpsc::channel(clauses.len() + 1);
        let pace = f32::from(speed) / PACE;
        let standing = Standing::new(class, wanted);
        self.queue.submit(Job {
            clauses: clauses.into(),
            pace,
            speaker,
            standing,
            is_heard: false,
            lasts: None,
            pieces,
        })?;
        Ok(Speech::new(speech))
    }

    fn check(&self, _: Language, options: &SpeechOptions) -> Result<(), EngineError> {
        let SpeechOptions { variant, speed, pitch, class: _, wanted: _ } = options;
        if !(80..=450).contains(speed) {
            return Err(EngineError::Input(format!("the speed {speed} is outside 80 to 450 words a minute")));
        }
        if *pitch != 50 {
            return Err(EngineError::Input(format!("the pitch {pitch} is not this voice's: it has one, 50")));
        }
        self.speaker(variant.as_deref()).map(drop)
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

/// A text whose next clause is to be made.
struct Next {
    job: Job,
    clause: String,
    line: Line,
}

fn serve(mut voice: Voice, jobs: Jobs<Job>) {
    while let Some(job) = jobs.next() {
        if let Some(first) = next(&voice, job) {
            let batch = beside(&voice, first, &jobs);
            round(&mut voice, batch, &jobs);
        }
    }
}

/// The next clause of a text that the voice can say; none, where the text is over, or cannot be said.
fn next(voice: &Voice, mut job: Job) -> Option<Next> {
    if job.pieces.is_closed() {
        return None;
    }
    while let Some(clause) = job.clauses.pop_front() {
        match voice.line(&clause, &job.standing) {
            Ok(line) if line.ids.is_empty() => {}
            Ok(line) => return Some(Next { job, clause, line }),
            Err(error) => {
                tell(&job, error);
                return None;
            }
        }
    }
    if !job.is_heard {
        let says = "there is nothing to say: the voice knows none of the text's letters";
        tell(&job, EngineError::Input(says.into()));
    }
    None
}

/// The clauses that are made together with the first: of texts that wait now, are as fast, and about as long.
fn beside(voice: &Voice, first: Next, jobs: &Jobs<Job>) -> Vec<Next> {
    let (pace, class, length) = (first.job.pace, first.job.standing.class(), first.line.ids.len());
    let mut batch = vec![first];
    while voice.model.batches() && batch.len() < ROWS {
        let Some(job) = jobs.try_next(class) else { break };
        let Some(mut next) = next(voice, job) else { continue };
        let (short, long) = (length.min(next.line.ids.len()), length.max(next.line.ids.len()));
        if next.job.pace == pace && long <= short * ALIKE {
            batch.push(next);
        } else {
            next.job.clauses.push_front(next.clause);
            let by = next.job.lasts;
            jobs.goes_on(next.job, by);
            break;
        }
    }
    batch
}

/// Makes one clause of each, and puts the texts of which more is to be said back: their listeners have something to hear meanwhile.
fn round(voice: &mut Voice, batch: Vec<Next>, jobs: &Jobs<Job>) {
    let rows: Vec<Row<'_>> = batch.iter().map(|next| Row { ids: &next.line.ids, speaker: next.job.speaker }).collect();
    let pace = batch.first().map_or(1.0, |next| next.job.pace);
    let manner = Manner { pace: voice.manner.pace * pace, ..voice.manner };
    jobs.step(batch.iter().map(|next| &next.job.standing));
    let sounds = match voice.model.run(&rows, manner) {
        Ok(sounds) => sounds,
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    };
    #[expect(clippy::disallowed_methods, reason = "the edge: a listener hears as the clock goes")]
    let now = Instant::now();
    let mut going = Vec::new();
    for (Next { mut job, clause, line }, sound) in batch.into_iter().zip(sounds) {
        jobs.ran(&sound);
        match sound.and_then(|sound| shaped(voice, &clause, line, sound)) {
            Ok(piece) => {
                if !job.is_heard {
                    jobs.answered(&job.standing);
                }
                let lasts = job.lasts.map_or(now, |lasts| lasts.max(now)) + lasting(&piece);
                job.standing.goes_on(lasts);
                job.lasts = Some(lasts);
                // There is room for each clause; a listener who is gone needs none.
                job.is_heard = job.pieces.try_send(Ok(piece)).is_ok();
                if job.is_heard && !job.clauses.is_empty() {
                    going.push(job);
                }
            }
            Err(error) => tell(&job, error),
        }
    }
    // The last one first, so that those that are wanted alike stand as they stood.
    for job in going.into_iter().rev() {
        let by = job.lasts;
        jobs.goes_on(job, by);
    }
}

/// How long it is heard.
fn lasting(piece: &Piece) -> Duration {
    Duration::from_secs_f64(piece.samples.len() as f64 / f64::from(SAMPLE_RATE))
}

fn tell(job: &Job, error: EngineError) {
    tracing::warn!(%error, "a clause was not spoken");
    // Room is kept for this last one.
    job.pieces.try_send(Err(error)).ok();
}

/// A sound that begins and ends in silence: the edge of one that does not would ring once its rate is changed.
fn faded(mut samples: Vec<f32>, rate: u32) -> Vec<f32> {
    let count = (rate as usize / FADE).min(samples.len());
    let edge = |at: usize| at as f32 / count as f32;
    samples.iter_mut().take(count).enumerate().for_each(|(at, sample)| *sample *= edge(at));
    samples.iter_mut().rev().take(count).enumerate().for_each(|(at, sample)| *sample *= edge(at));
    samples
}

/// What the listener gets of a clause, and when its words are heard.
fn shaped(voice: &Voice, clause: &str, line: Line, sound: Sound) -> Result<Piece, EngineError> {
    let mut shaper = Shaper::new(ENGINE, voice.rate, voice.gain, shape::pause_after(clause))?;
    let mut samples = Vec::new();
    shaper.push(&to_pcm(&faded(sound.samples, voice.rate)), &mut samples);
    shaper.finish(&mut samples);
    if samples.is_empty() {
        let reason = "the graph gave silence for this text".into();
        return Err(EngineError::Failed { engine: ENGINE, reason });
    }
    let (skipped, length) = (shaper.skipped() as u64, samples.len() as u64);
    let durations = sound.durations.unwrap_or_default();
    // Where each token begins, and the last one ends; nowhere, where the graph does not tell.
    let places: Vec<u64> = durations
        .iter()
        .scan(0, |end, duration| {
            *end += *duration as u64;
            Some(*end)
        })
        .map(|samples| (samples * u64::from(SAMPLE_RATE) / u64::from(voice.rate)).saturating_sub(skipped).min(length))
        .collect();
    let word = |(text, tokens): (String, std::ops::Range<usize>)| {
        let start = tokens.start.checked_sub(1).map_or(Some(0), |before| places.get(before).copied())?;
        Some(Word { text, samples: start..*places.get(tokens.end.checked_sub(1)?)? })
    };
    Ok(Piece {
        words: if places.is_empty() { Vec::new() } else { line.words.into_iter().filter_map(word).collect() },
        samples,
    })
}
