//! The end of a turn, told by its sound: a graph in Smart Turn's form on ONNX Runtime. One thread owns the graph and makes its
//! features too, so that nothing of it runs where calls do. A turn a run: those that share one cost as much each as alone
//! (measured, 1.4 ms with a transformer of 0.4 million parameters), and the first would wait for the last.
//! ```text
//!  the turn, 16 kHz ─► its last 8 s, zeros in front ─► mean 0, variance 1 ─► log-mel, 80 × 800 ─► graph ─► probability
//! ```

use std::{future::Future, path::Path, pin::Pin, sync::Arc};

use ort::{session::SessionInputValue, value::TensorElementType};
use tokio::sync::oneshot;

use crate::{
    engine::EngineError,
    manifest,
    mel::{HOP, LogMel},
    onnx::{Device, FRACTIONS, Graph, OrtRuntime, failed, floats, values},
    queue::{self, Jobs, Queue, Standing, Step, Waiting, Work, spawn_engine},
    remote::RemoteOptions,
};

const ENGINE: &str = "end of turn";
const EXPECTED: &str = "graph in Smart Turn's form (features of the sound in, one probability out)";
/// Turns that may wait; one behind more would hear of its end after the clock has told it.
const DEPTH: usize = 64;
/// Smart Turn's own, where a graph leaves its shape free.
const BANDS: usize = 80;
const FRAMES: usize = 800;
/// Silence has no variance; nothing is divided by it alone.
const LEAST_VARIANCE: f64 = 1e-7;

/// A handle on the judge's thread; cheap to clone. The thread ends with the last handle.
#[derive(Clone)]
pub struct EndOfTurn {
    queue: Queue<Job>,
}

/// How likely it is that whoever spoke has finished, 0 to 1. Dropping it skips the work.
pub type Judging = Pin<Box<dyn Future<Output = Result<f32, EngineError>> + Send>>;

struct Job {
    turn: Vec<i16>,
    standing: Standing,
    answer: oneshot::Sender<Result<f32, EngineError>>,
}

impl queue::Job for Job {
    fn standing(&self) -> &Standing {
        &self.standing
    }

    fn is_left(&self) -> bool {
        self.answer.is_closed()
    }
}

impl EndOfTurn {
    /// Loads the graph and lets it judge silence once.
    ///
    /// # Errors
    /// [`EngineError::Load`] when the file is missing, truncated or another graph.
    pub fn load(graph: &Path, ort: &OrtRuntime) -> Result<Self, EngineError> {
        let (graph, ort) = (graph.to_owned(), ort.clone());
        let queue = spawn_engine(ENGINE, DEPTH, move |step| Model::open(&graph, &ort.at(step)), serve)?;
        Ok(Self { queue })
    }

    /// The same with a graph that an inference server runs ([`crate::kserve`]).
    ///
    /// # Errors
    /// [`EngineError::Load`] when it is another graph, or the server does not have it; [`EngineError::Remote`] when the server is not there.
    pub fn load_served(server: &RemoteOptions) -> Result<Self, EngineError> {
        let server = server.clone();
        let load = move |_: &Arc<Step>| Model::of(Graph::there(ENGINE, &server)?);
        Ok(Self { queue: spawn_engine(ENGINE, DEPTH, load, serve)? })
    }

    /// Asks whether the turn is over. `turn` is its sound so far at 16 kHz, with the silence that raises the question at its end;
    /// what lies before the graph's window (8 s) is not looked at.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] at once when the queue is full; [`EngineError::Failed`] when the graph gives no probability.
    pub fn judge(&self, turn: Vec<i16>) -> Judging {
        let (answer, answered) = oneshot::channel();
        let submitted = self.queue.submit(Job { turn, standing: Standing::default(), answer });
        Box::pin(async move {
            submitted?;
            answered.await.map_err(|_| EngineError::Stopped { engine: ENGINE })?
        })
    }

    /// Whether the engine's thread has ended although it should run.
    pub fn stopped(&self) -> bool {
        self.queue.stopped()
    }

    /// Turns that wait in line.
    pub fn waiting(&self) -> Waiting {
        self.queue.waiting()
    }

    /// What it has done so far.
    pub fn work(&self) -> Work {
        self.queue.work()
    }
}

fn serve(mut model: Model, jobs: Jobs<Job>) {
    while let Some(job) = jobs.next() {
        jobs.step([&job.standing]);
        let judged = model.judge(&job.turn);
        jobs.ran(&judged);
        jobs.answered(&job.standing);
        job.answer.send(judged).ok();
    }
}

struct Model {
    graph: Graph,
    input: String,
    output: String,
    kind: TensorElementType,
    bands: usize,
    frames: usize,
    mel: LogMel,
}

impl Model {
    /// Names, shape and element type are the graph's own.
    fn open(file: &Path, ort: &OrtRuntime) -> Result<Self, EngineError> {
        manifest::verify(file)?;
        Self::of(ort.on(Device::Cpu).graph(file, 1)?)
    }

    fn of(graph: Graph) -> Result<Self, EngineError> {
        let ([input], [output]) = (graph.inputs(), graph.outputs()) else {
            return Err(graph.wrong("has more than one input and one output", EXPECTED));
        };
        let (input, output) = (input.name().to_owned(), output.name().to_owned());
        let (kind, shape) = graph.required_kind(&input, FRACTIONS, EXPECTED)?;
        graph.required_output(&output, EXPECTED)?;
        // −1 is a size that the graph leaves free.
        let (bands, frames) = match *shape {
            [-1 | 1, bands @ (-1 | 80 | 128), frames @ (-1 | 1..=3_000)] => {
                (usize::try_from(bands).unwrap_or(BANDS), usize::try_from(frames).unwrap_or(FRAMES))
            }
            _ => {
                let fault = format!("wants `{input}` of shape {shape:?} and not [turns, {BANDS}, {FRAMES}]");
                return Err(graph.wrong(&fault, EXPECTED));
            }
        };
        let gives_one = graph
            .outputs()
            .iter()
            .all(|output| output.shape().is_some_and(|shape| shape.iter().all(|&size| size == -1 || size == 1)));
        if !gives_one {
            return Err(graph.wrong(&format!("gives more in `{output}` than one number a turn"), EXPECTED));
        }
        let mut model = Self { graph, input, output, kind, bands, frames, mel: LogMel::new(bands) };
        match model.judge(&[]) {
            Ok(_) => Ok(model),
            // A server that went meanwhile says nothing about its graph.
            Err(error @ EngineError::Remote { .. }) => Err(error),
            Err(error) => Err(model.graph.wrong(&format!("cannot judge ({error})"), EXPECTED)),
        }
    }

    fn features(&self, turn: &[i16]) -> Vec<f32> {
        self.mel.features(&normalised(turn, self.frames * HOP), 1.0, self.frames)
    }

    fn judge(&mut self, turn: &[i16]) -> Result<f32, EngineError> {
        let features = self.features(turn);
        let failed = |error| failed(ENGINE, &error);
        let input = floats(self.kind, &[1, self.bands, self.frames], features).map_err(failed)?;
        let feed = vec![(self.input.as_str(), SessionInputValue::from(input))];
        let mut outputs = self.graph.run(ENGINE, feed, &[&self.output])?;
        let given = values(&outputs.take(&self.output)?).map_err(failed)?;
        match given[..] {
            [probability @ 0.0..=1.0] => Ok(probability),
            _ => {
                let reason = format!("the graph gave {:?} and not one probability", &given[..given.len().min(4)]);
                Err(EngineError::Failed { engine: ENGINE, reason })
            }
        }
    }
}

/// The last `length` samples of a turn with zeros in front where it is shorter, all of it of mean 0 and variance 1.
fn normalised(turn: &[i16], length: usize) -> Vec<f64> {
    let heard = &turn[turn.len().saturating_sub(length)..];
    let mut wave = vec![0.0; length - heard.len()];
    wave.extend(heard.iter().map(|&sample| f64::from(sample) / crate::mel::PCM));
    let mean = wave.iter().sum::<f64>() / length as f64;
    let variance = wave.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / length as f64;
    let deviation = (variance + LEAST_VARIANCE).sqrt();
    wave.iter_mut().for_each(|sample| *sample = (*sample - mean) / deviation);
    wave
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use serde::Deserialize;

    use super::*;

    fn crate_file(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    fn ort() -> OrtRuntime {
        OrtRuntime::load(None).unwrap()
    }

    /// "Salama tompoko, firy ora ianareo no misokatra?", 3.3 s.
    fn speech() -> Vec<i16> {
        let wav = fs::read(crate_file("tests/speech/salama.wav")).unwrap();
        wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// What torch makes of the same: `models/training/make_golden_turn.py`.
    #[derive(Deserialize)]
    struct Golden {
        frames: Vec<usize>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        /// How often the recording is said in a row.
        said: usize,
        /// Of each of [`Golden::frames`] all bands.
        features: Vec<Vec<f32>>,
        probability: f32,
    }

    #[test]
    fn features_and_probability_are_those_of_torch() {
        let golden: Golden =
            serde_json::from_slice(&fs::read(crate_file("tests/turn_tiny/golden.json")).unwrap()).unwrap();
        let mut model = Model::open(&crate_file("tests/turn_tiny/turn.onnx"), &ort()).unwrap();
        for case in golden.cases {
            let turn = speech().repeat(case.said);
            let features = model.features(&turn);
            for (&frame, theirs) in golden.frames.iter().zip(&case.features) {
                let ours: Vec<f32> = features.iter().skip(frame).step_by(FRAMES).copied().collect();
                let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(ours.len() == theirs.len() && worst < 1e-3, "said {} times, frame {frame}: {worst}", case.said);
            }
            let probability = model.judge(&turn).unwrap();
            assert!((probability - case.probability).abs() < 1e-4, "{probability} and not {}", case.probability);
        }
    }

    #[tokio::test]
    async fn the_shipped_graph_judges_whatever_a_turn_holds() {
        let judge = EndOfTurn::load(&crate_file("demo/turn/turn.onnx"), &ort()).unwrap();
        let loud = vec![i16::MIN; 10 * 16_000];
        for turn in [Vec::new(), vec![0; 160], speech(), speech().repeat(9), loud] {
            let length = turn.len();
            let probability = judge.judge(turn).await.unwrap();
            assert!((0.0..=1.0).contains(&probability), "{length} samples: {probability}");
        }
    }

    #[test]
    fn zeros_stand_in_front_and_the_oldest_is_left_out() {
        let wave = normalised(&[100, -100], 4);
        assert!(wave[..2].iter().all(|sample| sample.abs() < 1e-9), "{wave:?}");
        assert!(wave[2] > 0.9 && wave[3] < -0.9, "{wave:?}");
        assert_eq!(normalised(&[7, 1, 2, 3], 3), normalised(&[1, 2, 3], 3));
        assert_eq!(normalised(&[5; 8], 8), [0.0; 8]);
    }

    #[test]
    fn another_graph_is_refused_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let none = folder.path().join("turn.onnx");
        fs::write(&none, b"not a graph").unwrap();
        for (file, why) in [
            (none, "turn.onnx is no whole ONNX graph"),
            (crate_file("demo/silero/silero_vad_op18_ifless.onnx"), "more than one input"),
            (crate_file("demo/ears/encoder_model.onnx"), "Smart Turn's form"),
            (folder.path().join("nowhere.onnx"), "nowhere.onnx is not there"),
        ] {
            let error = EndOfTurn::load(&file, &ort()).err().unwrap();
            assert!(matches!(error, EngineError::Load(_)) && error.to_string().contains(why), "{error}");
        }
    }
}
