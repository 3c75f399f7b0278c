//! The graphs of a Whisper export: an encoder that takes features, and its decoder.

use ort::{
    session::SessionInputValue,
    value::{DynValue, TensorElementType},
};
use serde::Deserialize;

use super::ENGINE;
use crate::{
    engine::EngineError,
    onnx::{
        FRACTIONS, Graph,
        decoder::{Decoder, Heads},
        export::Export,
        failed, floats, rows,
    },
};

const EXPECTED: &str = "Whisper encoder or decoder as Hugging Face optimum exports it";

/// The parts of config.json that a graph with free dimensions doesn't tell.
#[derive(Deserialize, Default)]
pub(super) struct Config {
    num_mel_bins: Option<usize>,
    max_source_positions: Option<usize>,
    max_target_positions: Option<usize>,
    d_model: Option<usize>,
    decoder_attention_heads: Option<usize>,
    #[serde(default)]
    pub(super) suppress_tokens: Option<Vec<u32>>,
    #[serde(default)]
    pub(super) begin_suppress_tokens: Option<Vec<u32>>,
    pub(super) max_initial_timestamp_index: Option<usize>,
    pub(super) no_speech_threshold: Option<f32>,
    pub(super) logprob_threshold: Option<f32>,
}

/// An encoder and its decoder.
pub(super) struct Model {
    encoder: Graph,
    pub(super) decoder: Decoder,
    config: Config,
    mels: usize,
    frames: usize,
    /// Whether the encoder takes several windows in one run, and each is then what it would be alone.
    encodes_rows: bool,
}

impl Model {
    /// Opens the graphs of a folder.
    pub(super) fn load(export: &Export<'_>, config: Config) -> Result<Self, EngineError> {
        let encoder = export.encoder()?;
        let (_, shape) = encoder.required_kind("input_features", FRACTIONS, EXPECTED)?;
        let &[_, mels, frames] = shape else {
            return Err(encoder.wrong("wants `input_features` of other than three dimensions", EXPECTED));
        };
        let fixed = |dimension: i64, configured: Option<usize>, what: &str| {
            usize::try_from(dimension).ok().filter(|size| *size > 0).or(configured).ok_or_else(|| {
                EngineError::Load(format!(
                    "{} leaves {what} open and config.json does not give it: put the model's own config.json beside it",
                    encoder.name()
                ))
            })
        };
        let mels = fixed(mels, config.num_mel_bins, "the number of mel bands")?;
        let frames = fixed(frames, config.max_source_positions.map(|positions| 2 * positions), "its window")?;
        if encoder.inputs().len() > 1 {
            return Err(encoder.wrong("has more than one input", EXPECTED));
        }
        encoder.required_output("last_hidden_state", EXPECTED)?;
        let heads = Heads { count: config.decoder_attention_heads, width: config.d_model };
        let decoder = Decoder::load(export, heads, ENGINE, EXPECTED)?;
        let encodes_rows = takes_rows(&encoder, &["input_features"])?;
        Ok(Self { encoder, decoder, config, mels, frames, encodes_rows })
    }

    /// Mel bands that the encoder wants.
    pub(super) fn mels(&self) -> usize {
        self.mels
    }

    /// Feature frames (10 ms each) in one window.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// How many tokens the decoder has positions for.
    pub(super) fn positions(&self) -> usize {
        self.config.max_target_positions.unwrap_or(448)
    }

    /// Whether several windows may be decoded in one run, and each is then what it would be alone.
    pub(super) fn takes_rows(&self) -> Result<bool, EngineError> {
        for graph in self.decoder.graphs() {
            if !takes_rows(graph, &["input_ids", "encoder_hidden_states"])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the encoder on features of shape [mels, frames].
    pub(super) fn encode(&mut self, features: Vec<f32>) -> Result<DynValue, EngineError> {
        self.encode_rows(features, 1)
    }

    /// Runs it on so many windows, one after the other in `features`: in one run, if it can.
    pub(super) fn encode_rows(&mut self, features: Vec<f32>, rows: usize) -> Result<DynValue, EngineError> {
        if rows > 1 && !self.encodes_rows {
            let each = features.len() / rows;
            let hidden: Vec<_> =
                features.chunks(each).map(|own| self.encode(own.to_vec())).collect::<Result<_, _>>()?;
            return rows::together(&hidden.iter().collect::<Vec<_>>()).map_err(|error| failed(ENGINE, &error));
        }
        let kind = self.encoder.input("input_features").map_or(TensorElementType::Float32, |(kind, _)| kind);
        let input = floats(kind, &[rows, self.mels, self.frames], features).map_err(|error| failed(ENGINE, &error))?;
        let feed = vec![("input_features", SessionInputValue::from(input))];
        let hidden = self.encoder.run(ENGINE, feed, &["last_hidden_state"])?.take("last_hidden_state")?;
        // A decoder that is given fewer rows than it was promised would read beyond them.
        match hidden.shape()[..] {
            [given, _, _] if usize::try_from(given) == Ok(rows) => Ok(hidden),
            ref shape => {
                let reason = format!("the encoder gave a last_hidden_state of the shape {shape:?} for {rows} windows");
                Err(EngineError::Failed { engine: ENGINE, reason })
            }
        }
    }
}

/// Whether a graph takes several rows in these inputs, and computes each as if it were alone.
fn takes_rows(graph: &Graph, inputs: &[&str]) -> Result<bool, EngineError> {
    // A step with a past may have it without what was encoded.
    let is_free = |name: &&str| graph.input(name).is_none_or(|(_, shape)| shape.first() == Some(&-1));
    Ok(inputs.iter().all(is_free) && !graph.mixes_rows()?)
}
