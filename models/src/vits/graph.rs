//! The graph of a VITS, in each of the forms in which they are about; which one it is, its own inputs say.
//!
//! - of transformers (optimum, `models/training/export.py`): `input_ids` and `attention_mask`, and where they are no part of the
//!   graph `noise_scale`, `noise_scale_duration`, `speaking_rate`, `speaker_id`; gives `waveform`, perhaps `durations`;
//! - for sherpa-onnx: `x`, `x_length`, `noise_scale`, `length_scale`, `noise_scale_w`, perhaps `sid`; gives `y`;
//! - Piper's: `input`, `input_lengths`, `scales`, perhaps `sid`; gives `output`, perhaps how long each phoneme lasts.

use ort::{
    session::SessionInputValue,
    value::{DynValue, TensorElementType},
};

use super::ENGINE;
use crate::{
    engine::EngineError,
    onnx::{FRACTIONS, Graph, WHOLE, failed, floats, integers, values},
};

const EXPECTED: &str = "VITS as Hugging Face optimum, models/training/export.py, sherpa-onnx or Piper export it";
/// What the own export calls how long each token lasts. Its texts of one batch know nothing of each other.
const DURATIONS: &str = "durations";
/// No token lasts longer, in frames.
const LONGEST: f32 = 1e6;

/// Who exported it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Transformers,
    Sherpa,
    Piper,
}

/// What an input takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Feed {
    Ids,
    Mask,
    Lengths,
    Noise,
    NoiseOfDurations,
    /// How fast it is spoken.
    Pace,
    /// How slowly it is spoken.
    Stretch,
    /// Noise, stretch and noise of durations.
    Scales,
    Speaker,
}

impl Feed {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "input_ids" | "x" | "input" => Self::Ids,
            "attention_mask" => Self::Mask,
            "x_length" | "x_lengths" | "input_lengths" => Self::Lengths,
            "noise_scale" => Self::Noise,
            "noise_scale_duration" | "noise_scale_w" => Self::NoiseOfDurations,
            "speaking_rate" => Self::Pace,
            "length_scale" => Self::Stretch,
            "scales" => Self::Scales,
            "speaker_id" | "sid" => Self::Speaker,
            _ => return None,
        })
    }
}

impl Feed {
    /// The numbers that it is given as.
    fn kinds(self) -> &'static [TensorElementType] {
        match self {
            Self::Ids | Self::Mask | Self::Lengths | Self::Speaker => WHOLE,
            Self::Noise | Self::NoiseOfDurations | Self::Pace | Self::Stretch | Self::Scales => FRACTIONS,
        }
    }
}

impl Form {
    /// The inputs without which it is none of this form, and its sound.
    fn contract(self) -> (&'static [(Feed, &'static str)], &'static str) {
        match self {
            Self::Transformers => (&[(Feed::Mask, "attention_mask")], "waveform"),
            Self::Sherpa => (
                &[
                    (Feed::Lengths, "x_length"),
                    (Feed::Noise, "noise_scale"),
                    (Feed::Stretch, "length_scale"),
                    (Feed::NoiseOfDurations, "noise_scale_w"),
                ],
                "y",
            ),
            Self::Piper => (&[(Feed::Lengths, "input_lengths"), (Feed::Scales, "scales")], "output"),
        }
    }
}

/// One declared input.
struct Input {
    name: String,
    feed: Feed,
    kind: TensorElementType,
    is_scalar: bool,
}

/// How a batch is spoken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// How much the sound varies from one time to the next, and the lengths of its tokens.
    pub(super) noise: f32,
    pub(super) noise_of_durations: f32,
    /// 2 is twice as fast as 1.
    pub(super) pace: f32,
}

/// One text of a batch.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) ids: &'a [i64],
    pub(super) speaker: i64,
}

/// What it sounds like.
pub(super) struct Sound {
    /// From -1 to 1, at the model's rate.
    pub(super) samples: Vec<f32>,
    /// How many samples each token lasts, where the graph tells.
    pub(super) durations: Option<Vec<usize>>,
}

/// An opened graph.
pub(super) struct Model {
    graph: Graph,
    form: Form,
    inputs: Vec<Input>,
    sound: &'static str,
    durations: Option<String>,
}

impl Model {
    /// Looks at what a graph declares.
    ///
    /// # Errors
    /// [`EngineError::Load`] names the input or output that is missing or not known.
    pub(super) fn new(graph: Graph) -> Result<Self, EngineError> {
        let is_there = |name: &str| graph.input(name).is_some();
        let form = match () {
            () if is_there("input_ids") => Form::Transformers,
            () if is_there("x") => Form::Sherpa,
            () if is_there("input") => Form::Piper,
            () => return Err(graph.wrong("has none of the inputs `input_ids`, `x` and `input`", EXPECTED)),
        };
        let mut inputs = Vec::new();
        for outlet in graph.inputs() {
            let name = outlet.name().to_owned();
            let Some(feed) = Feed::of(&name) else {
                return Err(graph.wrong(&format!("wants an input `{name}`, which is not known"), EXPECTED));
            };
            let (kind, shape) = graph.required_kind(&name, feed.kinds(), EXPECTED)?;
            inputs.push(Input { feed, kind, is_scalar: shape.is_empty(), name });
        }
        let (required, sound) = form.contract();
        for (feed, name) in required {
            if inputs.iter().all(|input| input.feed != *feed) {
                return Err(graph.wrong(&format!("has no input `{name}`"), EXPECTED));
            }
        }
        graph.required_output(sound, EXPECTED)?;
        let mut names = graph.outputs().iter().map(|outlet| outlet.name().to_owned());
        // Piper's own tool marks the tensor in which the durations were rounded up.
        let durations =
            names.find(|name| name == DURATIONS || form == Form::Piper && name.to_lowercase().contains("ceil"));
        Ok(Self { graph, form, inputs, sound, durations })
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// What a tool wrote into the graph beside it.
    pub(super) fn note(&self, key: &str) -> Option<String> {
        self.graph.note(key)
    }

    /// Whether an inference server runs it.
    pub(super) fn is_there(&self) -> bool {
        self.graph.is_there()
    }

    /// Whether the speed is an input, and no part of the graph.
    pub(super) fn has_pace(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input.feed, Feed::Pace | Feed::Stretch | Feed::Scales))
    }

    /// Whether it asks who speaks.
    pub(super) fn has_speakers(&self) -> bool {
        self.inputs.iter().any(|input| input.feed == Feed::Speaker)
    }

    /// Whether several texts at once sound as each does alone, and each one's length is known.
    pub(super) fn batches(&self) -> bool {
        self.durations.as_deref() == Some(DURATIONS)
    }

    /// Speaks all rows at once; more than one only where [`Model::batches`] allows it.
    ///
    /// # Errors
    /// [`EngineError::Failed`] when the run failed; a row that has no sound of its own has its own error.
    pub(super) fn run(
        &mut self,
        rows: &[Row<'_>],
        manner: Manner,
    ) -> Result<Vec<Result<Sound, EngineError>>, EngineError> {
        let feed = self.feed(rows, manner).map_err(|error| failed(ENGINE, &error))?;
        let wanted: Vec<&str> = [self.sound].into_iter().chain(self.durations.as_deref()).collect();
        let mut outputs = self.graph.run(ENGINE, feed, &wanted)?;
        let mut output = |name: &str| values(&outputs.take(name)?).map_err(|error| failed(ENGINE, &error));
        let (sound, durations) = (output(self.sound)?, self.durations.as_deref().map(output).transpose()?);
        let (length, tokens) = (sound.len() / rows.len(), rows.iter().map(|row| row.ids.len()).max().unwrap_or(0));
        let Some(durations) = durations else {
            return Ok(vec![checked(Sound { samples: sound, durations: None })]);
        };
        // What is below nothing, or no number, is nothing.
        let frames: Vec<usize> = durations.iter().map(|frames| frames.min(LONGEST) as usize).collect();
        let longest = frames.chunks(tokens).map(|row| row.iter().sum::<usize>().max(1)).max().unwrap_or(1);
        let hop = length / longest;
        let adds_up = hop > 0 && hop * longest == length && sound.len() == length * rows.len();
        if !adds_up || frames.len() != rows.len() * tokens {
            let reason = "the graph's durations do not add up to its sound".into();
            return Err(EngineError::Failed { engine: ENGINE, reason });
        }
        let rows = rows.iter().zip(sound.chunks(length)).zip(frames.chunks(tokens));
        Ok(rows
            .map(|((row, sound), frames)| {
                let durations: Vec<usize> = frames[..row.ids.len()].iter().map(|frames| frames * hop).collect();
                let samples = sound[..durations.iter().sum::<usize>().clamp(hop, length)].to_vec();
                checked(Sound { samples, durations: Some(durations) })
            })
            .collect())
    }

    fn feed(&self, rows: &[Row<'_>], manner: Manner) -> ort::Result<Vec<(String, SessionInputValue<'static>)>> {
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
        let padded = |of: &dyn Fn(i64) -> i64| -> Vec<i64> {
            let row = |row: &Row<'_>| {
                let padding = std::iter::repeat_n(0, longest - row.ids.len());
                row.ids.iter().map(|id| of(*id)).chain(padding).collect::<Vec<_>>()
            };
            rows.iter().flat_map(row).collect()
        };
        let Manner { noise, noise_of_durations, pace } = manner;
        let tensor = |input: &Input| -> ort::Result<DynValue> {
            let number = |value: f32| {
                let shape: &[usize] = if input.is_scalar { &[] } else { &[1] };
                floats(input.kind, shape, vec![value])
            };
            match input.feed {
                Feed::Ids => integers(input.kind, &[rows.len(), longest], padded(&|id| id)),
                Feed::Mask => integers(input.kind, &[rows.len(), longest], padded(&|_| 1)),
                Feed::Lengths => {
                    integers(input.kind, &[rows.len()], rows.iter().map(|row| row.ids.len() as i64).collect())
                }
                Feed::Noise => number(noise),
                Feed::NoiseOfDurations => number(noise_of_durations),
                Feed::Pace => number(pace),
                Feed::Stretch => number(1.0 / pace),
                Feed::Scales => floats(input.kind, &[3], vec![noise, 1.0 / pace, noise_of_durations]),
                Feed::Speaker if input.is_scalar => {
                    integers(input.kind, &[], rows.iter().take(1).map(|row| row.speaker).collect())
                }
                Feed::Speaker => integers(input.kind, &[rows.len()], rows.iter().map(|row| row.speaker).collect()),
            }
        };
        self.inputs.iter().map(|input| Ok((input.name.clone(), tensor(input)?.into()))).collect()
    }

    /// The sentence for a fault of the graph beside a file that does not fit it.
    pub(super) fn wrong(&self, says: &str) -> EngineError {
        EngineError::Load(format!("{} {says}", self.graph.name()))
    }
}

/// A sound that is one.
fn checked(sound: Sound) -> Result<Sound, EngineError> {
    let reason = match () {
        () if sound.samples.is_empty() => "the graph gave no sound",
        () if !sound.samples.iter().all(|sample| sample.is_finite()) => "the graph gave sound that is no number",
        () => return Ok(sound),
    };
    Err(EngineError::Failed { engine: ENGINE, reason: reason.into() })
}
