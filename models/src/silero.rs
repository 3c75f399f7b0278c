//! Voice activity: Silero VAD on ONNX Runtime. One thread owns the graph; the chunks of all calls that wait together share
//! one run, and each call's recurrent state travels with its chunk. The thread never waits for a fuller batch: when it is
//! idle a chunk runs at once, when it is busy chunks gather by themselves and each gets up to three times cheaper (gathering
//! for 4 ms was measured with 50 calls: no less work, 2 ms later).
//!
//! The graph runs in its 8 kHz mode, behind a half-band filter: on telephone speech it finds the same (measured: 95.9 % of
//! the chunks in clean speech against 93.6 % at 16 kHz, no false one in silence), and a chunk
//! costs 17 % less alone, 42 % less in a batch of 16.
//! ```text
//!  Frame ─► 8 kHz ─► 256 samples (32 ms) + the 32 before ─► queue ─► one run for up to 64 calls ─► probability
//! ```

use std::path::Path;

use milo_media::{Frame, SAMPLE_RATE, resample::Resampler};
use ort::{
    session::SessionInputValue,
    value::{Tensor, TensorElementType},
};
use tokio::sync::oneshot;

use crate::{
    engine::EngineError,
    manifest,
    onnx::{Device, Graph, OrtRuntime, failed, values},
    queue::{self, Class, Jobs, Queue, Standing, Waiting, Wanted, Work, spawn_engine},
};

const ENGINE: &str = "voice activity detector";
const EXPECTED: &str = "Silero VAD graph (version 5 or 6)";
const RATE: i64 = 8_000;
/// New samples in one run.
const CHUNK: usize = 256;
/// Samples of the chunk before. Without them the graph hears nothing, and does not say so.
const CONTEXT: usize = 32;
const INPUT: usize = CONTEXT + CHUNK;
const STATE: usize = 128;
/// Chunks in one run at most; beyond it a chunk gets no cheaper.
const BATCH: usize = 64;
/// Chunks that may wait: more than a second's worth of one thread's work.
const DEPTH: usize = 1_024;

/// Milliseconds of audio behind each probability.
pub const CHUNK_MS: u32 = 32;

/// A handle on the detector's thread; cheap to clone. The thread ends with the last handle and stream.
#[derive(Clone)]
pub struct VoiceActivity {
    queue: Queue<Job>,
}

/// One call's stream of audio.
pub struct VadStream {
    queue: Queue<Job>,
    standing: Standing,
    to_8_khz: Resampler,
    narrow: Vec<i16>,
    /// 8 kHz samples: the context, then what has not yet been sent.
    samples: Vec<f32>,
    state: Box<State>,
    pending: Option<oneshot::Receiver<Result<Verdict, EngineError>>>,
}

type State = [[f32; STATE]; 2];

struct Job {
    input: Box<[f32; INPUT]>,
    state: Box<State>,
    standing: Standing,
    answer: oneshot::Sender<Result<Verdict, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.answer.is_closed()
    }
}

struct Verdict {
    probability: f32,
    state: Box<State>,
}

impl VoiceActivity {
    /// Loads the graph.
    ///
    /// # Errors
    /// [`EngineError::Load`] when the file is missing, truncated or another graph.
    pub fn load(graph: &Path, ort: &OrtRuntime) -> Result<Self, EngineError> {
        let (graph, ort) = (graph.to_owned(), ort.clone());
        let queue = spawn_engine(ENGINE, DEPTH, move |_| open(&graph, &ort), serve)?;
        Ok(Self { queue })
    }

    /// A fresh stream for one call.
    pub fn stream(&self) -> VadStream {
        self.stream_of(Class::Call)
    }

    /// A fresh stream for work of this class.
    pub fn stream_of(&self, class: Class) -> VadStream {
        VadStream {
            queue: self.queue.clone(),
            standing: Standing::new(class, Wanted::default()),
            to_8_khz: Resampler::new(SAMPLE_RATE, RATE as u32).expect("both are rates of telephony"),
            narrow: Vec::new(),
            samples: vec![0.0; CONTEXT],
            state: Box::new([[0.0; STATE]; 2]),
            pending: None,
        }
    }

    /// Whether the engine's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.queue.stopped()
    }

    /// Chunks that wait in line.
    pub fn waiting(&self) -> Waiting {
        self.queue.waiting()
    }

    /// What it has done so far.
    pub fn work(&self) -> Work {
        self.queue.work()
    }
}

impl VadStream {
    /// Takes 20 ms of audio. With each 32 ms of it comes the probability (0 to 1) that they hold speech; the order is kept
    /// and nothing is skipped. Cancel safe: a probability that was not waited for comes with the next frame.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when the queue is full (the 32 ms are lost to the detector, the stream goes on).
    pub async fn push(&mut self, frame: &Frame) -> Result<Option<f32>, EngineError> {
        self.narrow.clear();
        self.to_8_khz.push(frame.samples(), &mut self.narrow);
        self.samples.extend(self.narrow.iter().map(|&sample| f32::from(sample) / 32_768.0));
        if self.pending.is_none() && self.samples.len() >= INPUT {
            let mut input = Box::new([0.0; INPUT]);
            input.copy_from_slice(&self.samples[..INPUT]);
            self.samples.drain(..CHUNK);
            let (answer, answered) = oneshot::channel();
            self.queue.submit(Job { input, state: self.state.clone(), standing: self.standing.clone(), answer })?;
            self.pending = Some(answered);
        }
        let Some(pending) = &mut self.pending else { return Ok(None) };
        let answer = pending.await;
        self.pending = None;
        let verdict = answer.map_err(|_| EngineError::Stopped { engine: ENGINE })??;
        self.state = verdict.state;
        Ok(Some(verdict.probability))
    }
}

fn open(file: &Path, ort: &OrtRuntime) -> Result<Graph, EngineError> {
    manifest::verify(file)?;
    // It runs for each 32 ms of each call: a card would be waited for longer than it takes. Nor does it take turns on the processor: its steps
    // are calls' own but for a few, which wait for nobody there, and are over in the tenth of a millisecond in which another would begin.
    let graph = ort.on(Device::Cpu).sharing(None).graph(file, 1)?;
    for (name, kind) in
        [("input", TensorElementType::Float32), ("state", TensorElementType::Float32), ("sr", TensorElementType::Int64)]
    {
        graph.required_kind(name, &[kind], EXPECTED)?;
    }
    if graph.inputs().len() != 3 {
        return Err(graph.wrong("has more than three inputs", EXPECTED));
    }
    graph.required_output("output", EXPECTED)?;
    graph.required_output("stateN", EXPECTED)?;
    Ok(graph)
}

fn serve(mut graph: Graph, jobs: Jobs<Job>) {
    while let Some(first) = jobs.next() {
        let mut batch = vec![first];
        while batch.len() < BATCH {
            let Some(job) = jobs.try_next(Class::Batch) else { break };
            batch.push(job);
        }
        // A call that has gone is not computed.
        batch.retain(|job| !job.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let ran = run(&mut graph, &batch);
        jobs.ran(&ran);
        match ran {
            Ok(verdicts) => {
                for (job, verdict) in batch.into_iter().zip(verdicts) {
                    jobs.answered(&job.standing);
                    job.answer.send(verdict).ok();
                }
            }
            Err(error) => {
                for job in batch {
                    job.answer.send(Err(error.clone())).ok();
                }
            }
        }
    }
}

fn run(graph: &mut Graph, batch: &[Job]) -> Result<Vec<Result<Verdict, EngineError>>, EngineError> {
    let size = batch.len();
    let input: Vec<f32> = batch.iter().flat_map(|job| job.input.iter().copied()).collect();
    let state: Vec<f32> = (0..2).flat_map(|half| batch.iter().flat_map(move |job| job.state[half])).collect();
    let feed = || -> ort::Result<_> {
        Ok(vec![
            ("input", SessionInputValue::from(Tensor::from_array(([size, INPUT], input))?)),
            ("state", Tensor::from_array(([2, size, STATE], state))?.into()),
            ("sr", Tensor::from_array(((), vec![RATE]))?.into()),
        ])
    };
    let feed = feed().map_err(|error| failed(ENGINE, &error))?;
    let mut outputs = graph.run(ENGINE, feed, &["output", "stateN"])?;
    let mut output = |name: &str| values(&outputs.take(name)?).map_err(|error| failed(ENGINE, &error));
    let (probabilities, states) = (output("output")?, output("stateN")?);
    if probabilities.len() != size || states.len() != 2 * size * STATE {
        let reason = "the graph's answer has another shape than its input".into();
        return Err(EngineError::Failed { engine: ENGINE, reason });
    }
    let verdict = |(at, probability): (usize, f32)| {
        if !probability.is_finite() {
            let reason = "the graph gave a probability that is no number".into();
            return Err(EngineError::Failed { engine: ENGINE, reason });
        }
        let mut state = Box::new([[0.0; STATE]; 2]);
        for (half, own) in state.iter_mut().enumerate() {
            own.copy_from_slice(&states[(half * size + at) * STATE..][..STATE]);
        }
        Ok(Verdict { probability, state })
    };
    Ok(probabilities.into_iter().enumerate().map(verdict).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/silero/silero_vad_op18_ifless.onnx")
    }

    fn detector() -> VoiceActivity {
        VoiceActivity::load(&graph(), &OrtRuntime::load(None).unwrap()).unwrap()
    }

    /// "Salama tompoko, firy ora ianareo no misokatra?" through G.711, from its `skip`th frame on.
    fn speech(skip: usize) -> Vec<Frame> {
        let wav = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/speech/salama.wav")).unwrap();
        let pcm: Vec<i16> = wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        Frame::cut(&pcm).skip(skip).collect()
    }

    fn noise(level: i32, frames: usize) -> Vec<Frame> {
        let mut seed = 1_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (((seed >> 16) as i32 - 32_768) * level / 32_768) as i16
        };
        (0..frames).map(|_| Frame::new(std::array::from_fn(|_| next()))).collect()
    }

    async fn probabilities(stream: &mut VadStream, frames: &[Frame]) -> Vec<f32> {
        let mut all = Vec::new();
        for frame in frames {
            all.extend(stream.push(frame).await.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn a_voice_is_heard_and_silence_and_noise_are_not() {
        let detector = detector();
        let frames = speech(0);
        let voice = probabilities(&mut detector.stream(), &frames).await;
        assert_eq!(voice.len(), frames.len() * 20 / CHUNK_MS as usize, "one probability each 32 ms");
        let heard = voice.iter().filter(|p| **p > 0.5).count();
        assert!(heard * 10 > voice.len() * 8, "{voice:?}");
        for quiet in [vec![Frame::SILENCE; 80], noise(3_000, 80)] {
            let quiet = probabilities(&mut detector.stream(), &quiet).await;
            assert!(quiet[5..].iter().all(|p| *p < 0.3), "{quiet:?}");
        }
    }

    #[tokio::test]
    async fn calls_that_share_a_run_hear_what_they_hear_alone() {
        let detector = detector();
        let mut alone = Vec::new();
        for skip in 0..8 {
            alone.push(probabilities(&mut detector.stream(), &speech(3 * skip)).await);
        }
        let together = (0..8).map(|skip| {
            let mut stream = detector.stream();
            tokio::spawn(async move { probabilities(&mut stream, &speech(3 * skip)).await })
        });
        for (alone, together) in alone.iter().zip(together.collect::<Vec<_>>()) {
            let together = together.await.unwrap();
            assert_eq!(alone.len(), together.len());
            let worst = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{worst}");
        }
    }

    #[test]
    fn a_batch_is_one_run_and_equals_single_runs() {
        let mut graph = open(&graph(), &OrtRuntime::load(None).unwrap()).unwrap();
        let jobs: Vec<Job> = (0..16_u8)
            .map(|seed| {
                let mut input = Box::new([0.0; INPUT]);
                for (n, sample) in input.iter_mut().enumerate() {
                    *sample = (n as f32 * (0.05 + 0.01 * f32::from(seed))).sin() * 0.3;
                }
                let state = Box::new([[0.01 * f32::from(seed); STATE]; 2]);
                Job { input, state, standing: Standing::default(), answer: oneshot::channel().0 }
            })
            .collect();
        let together = run(&mut graph, &jobs).unwrap();
        for (job, together) in jobs.iter().zip(together) {
            let (alone, together) =
                (run(&mut graph, std::slice::from_ref(job)).unwrap().remove(0).unwrap(), together.unwrap());
            assert!((alone.probability - together.probability).abs() < 1e-5);
            let far =
                alone.state.iter().flatten().zip(together.state.iter().flatten()).any(|(a, b)| (a - b).abs() > 1e-4);
            assert!(!far);
        }
    }

    #[tokio::test]
    async fn a_frame_that_was_not_waited_for_is_not_lost() {
        let detector = detector();
        let frames = speech(0);
        let whole = probabilities(&mut detector.stream(), &frames).await;
        let mut stream = detector.stream();
        let mut all = Vec::new();
        for (n, frame) in frames.iter().enumerate() {
            if n % 7 == 3 {
                // Polled once, then dropped.
                let once = tokio::time::timeout(std::time::Duration::ZERO, stream.push(frame)).await;
                all.extend(once.ok().and_then(|heard| heard.unwrap()));
            } else {
                all.extend(stream.push(frame).await.unwrap());
            }
        }
        for (a, b) in whole.iter().zip(&all) {
            assert!((a - b).abs() < 1e-4);
        }
        assert!(whole.len() - all.len() <= 1);
    }

    #[test]
    fn another_graph_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vad.onnx");
        std::fs::write(&file, b"not a graph").unwrap();
        let error = VoiceActivity::load(&file, &OrtRuntime::load(None).unwrap()).err().unwrap().to_string();
        assert!(error.contains("vad.onnx is no whole ONNX graph"), "{error}");
    }
}
