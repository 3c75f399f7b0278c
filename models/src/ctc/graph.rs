//! The graph of a CTC model: sound in, every 20 ms of it how likely each letter is.

use ort::session::SessionInputValue;
use serde::Deserialize;

use super::{
    ENGINE,
    greedy::{self, Line},
    vocabulary::Vocabulary,
};
use crate::{
    engine::{EngineError, Language},
    onnx::{FRACTIONS, Graph, WHOLE, export::Export, failed, floats, integers, values},
};

const EXPECTED: &str = "wav2vec2 with a CTC head as Hugging Face optimum exports it";
const RATE: u32 = 16_000;
/// The convolutions of wav2vec 2.0 (Baevski et al. 2020), where config.json does not say: kernels and strides.
const KERNELS: [usize; 7] = [10, 3, 3, 3, 3, 2, 2];
const STRIDES: [usize; 7] = [5, 2, 2, 2, 2, 2, 2];

/// What is needed of config.json.
#[derive(Deserialize, Default)]
struct Config {
    conv_kernel: Option<Vec<usize>>,
    conv_stride: Option<Vec<usize>>,
    feat_extract_norm: Option<String>,
    pad_token_id: Option<usize>,
}

/// What is needed of preprocessor_config.json.
#[derive(Deserialize, Default)]
struct Extractor {
    do_normalize: Option<bool>,
    sampling_rate: Option<u32>,
}

/// A graph, and what its numbers stand for.
pub(super) struct Model {
    graph: Graph,
    vocabulary: Vocabulary,
    /// Kernel and stride of each convolution.
    convolutions: Vec<(usize, usize)>,
    normalizes: bool,
    has_mask: bool,
    batches: bool,
}

impl Model {
    /// Opens what lies in a folder.
    pub(super) fn load(export: &Export<'_>, language: Language) -> Result<Self, EngineError> {
        let config: Config = export.settings("config.json")?;
        let extractor: Extractor = export.settings("preprocessor_config.json")?;
        if let Some(rate) = extractor.sampling_rate.filter(|rate| *rate != RATE) {
            let file = export.folder().join("preprocessor_config.json");
            return Err(EngineError::Load(format!(
                "{} wants sound of {rate} Hz: calls are heard at {RATE} Hz, take a model for that",
                file.display()
            )));
        }
        let graph = export.model()?;
        graph.required_kind("input_values", FRACTIONS, EXPECTED)?;
        graph.required_output("logits", EXPECTED)?;
        let known = ["input_values", "attention_mask"];
        if let Some(other) = graph.inputs().iter().find(|input| !known.contains(&input.name())) {
            return Err(graph.wrong(&format!("has the unknown input `{}`", other.name()), EXPECTED));
        }
        let vocabulary = Vocabulary::load(export, language, config.pad_token_id)?;
        let outlet = graph.outputs().iter().find(|outlet| outlet.name() == "logits");
        let width = outlet.and_then(|logits| logits.shape()?.last().copied());
        let width = width.and_then(|width| usize::try_from(width).ok()).filter(|width| *width > 0);
        if let Some(width) = width.filter(|width| *width < vocabulary.len()) {
            return Err(EngineError::Load(format!(
                "{} tells {width} letters apart and vocab.json beside it has {}: they belong to different models",
                graph.name(),
                vocabulary.len()
            )));
        }
        let kernels = config.conv_kernel.unwrap_or_else(|| KERNELS.to_vec());
        let strides = config.conv_stride.unwrap_or_else(|| STRIDES.to_vec());
        if kernels.len() != strides.len() || kernels.iter().chain(&strides).any(|size| !(1..=1_000).contains(size)) {
            let file = export.folder().join("config.json");
            return Err(EngineError::Load(format!(
                "{} has conv_kernel and conv_stride that do not belong together; fetch it again",
                file.display()
            )));
        }
        let has_mask = graph.input("attention_mask").is_some();
        if has_mask {
            graph.required_kind("attention_mask", WHOLE, EXPECTED)?;
        }
        Ok(Self {
            graph,
            vocabulary,
            convolutions: kernels.into_iter().zip(strides).collect(),
            normalizes: extractor.do_normalize.unwrap_or(true),
            has_mask,
            // A first layer that is normed over all of a line would hear what fills it up.
            batches: has_mask && config.feat_extract_norm.as_deref() == Some("layer"),
        })
    }

    /// Whether utterances of different lengths go through it together and each is heard as it is alone.
    pub(super) fn batches(&self) -> bool {
        self.batches
    }

    /// Samples from one frame to the next.
    pub(super) fn hop(&self) -> usize {
        self.convolutions.iter().map(|(_, stride)| stride).product()
    }

    /// How many frames so many samples become.
    fn frames(&self, samples: usize) -> usize {
        self.convolutions
            .iter()
            .fold(samples, |length, (kernel, stride)| length.checked_sub(*kernel).map_or(0, |rest| rest / stride + 1))
    }

    /// What each window says; one whose logits are no numbers fails alone.
    pub(super) fn hear(&mut self, windows: &[&[i16]]) -> Result<Vec<Result<Line, EngineError>>, EngineError> {
        let together = if self.batches { windows.len().max(1) } else { 1 };
        let mut lines = Vec::new();
        for windows in windows.chunks(together) {
            let rows = self.logits(windows)?;
            lines.extend(rows.iter().map(|rows| {
                let reason = "the model gave logits that are no numbers".into();
                greedy::read(rows.iter().map(Vec::as_slice), &self.vocabulary)
                    .ok_or(EngineError::Failed { engine: ENGINE, reason })
            }));
        }
        Ok(lines)
    }

    /// One run, the shorter windows filled up with silence: of each window, a row a frame.
    pub(super) fn logits(&mut self, windows: &[&[i16]]) -> Result<Vec<Vec<Vec<f32>>>, EngineError> {
        let (count, longest) = (windows.len(), windows.iter().map(|window| window.len()).max().unwrap_or(0));
        // Less than one frame, 25 ms: nobody has said anything.
        if self.frames(longest) == 0 {
            return Ok(vec![Vec::new(); count]);
        }
        let wrong = |reason: String| EngineError::Failed { engine: ENGINE, reason };
        let (kind, _) = self.graph.required_input("input_values", EXPECTED)?;
        let mask_kind = self.graph.input("attention_mask").map(|(kind, _)| kind);
        let mut sound = Vec::with_capacity(count * longest);
        let mut mask = Vec::new();
        for window in windows {
            sound.extend(features(window, self.normalizes));
            sound.resize(sound.len() + longest - window.len(), 0.0);
            if self.has_mask {
                mask.extend((0..longest).map(|at| i64::from(at < window.len())));
            }
        }
        let feed = || -> ort::Result<_> {
            let shape = [count, longest];
            let mut feed = vec![("input_values", SessionInputValue::from(floats(kind, &shape, sound)?))];
            if let Some(kind) = mask_kind {
                feed.push(("attention_mask", integers(kind, &shape, mask)?.into()));
            }
            Ok(feed)
        };
        let feed = feed().map_err(|error| failed(ENGINE, &error))?;
        let logits = self.graph.run(ENGINE, feed, &["logits"])?.take("logits")?;
        let shape: Vec<usize> = logits.shape().iter().filter_map(|size| usize::try_from(*size).ok()).collect();
        let &[lines, frames, letters] = &shape[..] else {
            return Err(wrong("the model's logits have other than three dimensions".into()));
        };
        if lines != count || letters == 0 || frames < self.frames(longest) {
            return Err(wrong(format!("the model gave logits of the shape {shape:?}")));
        }
        let logits = values(&logits).map_err(|error| failed(ENGINE, &error))?;
        let lines = windows.iter().zip(logits.chunks_exact(frames * letters)).map(|(window, rows)| {
            rows.chunks_exact(letters).take(self.frames(window.len())).map(<[f32]>::to_vec).collect()
        });
        Ok(lines.collect())
    }
}

/// Samples as the model wants them: of mean 0 and variance 1, unless it was trained on others.
fn features(samples: &[i16], normalizes: bool) -> impl Iterator<Item = f32> {
    let (mut mean, mut scale) = (0.0, 1.0);
    if normalizes && !samples.is_empty() {
        let count = samples.len() as f64;
        let sound = || samples.iter().map(|sample| f64::from(*sample) / 32_768.0);
        mean = sound().sum::<f64>() / count;
        scale = 1.0 / (sound().map(|value| (value - mean).powi(2)).sum::<f64>() / count + 1e-7).sqrt();
    }
    samples.iter().map(move |sample| ((f64::from(*sample) / 32_768.0 - mean) * scale) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_has_mean_0_and_variance_1_and_silence_stays_silence() {
        let loud: Vec<i16> = (0..4_000).map(|n| (n * 7_919 % 20_011) as i16 - 3_000).collect();
        let sound: Vec<f32> = features(&loud, true).collect();
        let mean = sound.iter().sum::<f32>() / 4_000.0;
        let variance = sound.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 4_000.0;
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
        assert!(features(&[5; 100], true).all(|value| value.abs() < 1e-3));
        assert_eq!(features(&[16_384, -8_192], false).collect::<Vec<_>>(), [0.5, -0.25]);
    }
}
