//! The graphs of a Whisper export and the feed of each run, built from the inputs that the graphs themselves declare.
//!
//! Optimum writes an encoder, and a decoder either as two graphs (`decoder_model` for the prompt,
//! `decoder_with_past_model` for what follows) or as one (`decoder_model_merged`, which is told by `use_cache_branch`).

use std::{
    path::{Path, PathBuf},
    rc::Rc,
};

use ort::{
    session::SessionInputValue,
    value::{DynValue, Tensor, TensorElementType},
};
use serde::Deserialize;

use super::{ENGINE, Precision};
use crate::{
    engine::EngineError,
    onnx::{Graph, OrtRuntime, floats, integers, values},
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
}

/// Keys and values of the tokens seen so far; a clone is a second continuation of the same prompt.
#[derive(Clone, Default)]
pub(super) struct Cache {
    /// By the name of the input that takes the value.
    pasts: Vec<(String, Rc<DynValue>)>,
    /// How many tokens it holds.
    length: usize,
}

impl Cache {
    fn get(&self, name: &str) -> Option<&DynValue> {
        self.pasts.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }
}

/// An encoder and its decoder.
pub(super) struct Model {
    encoder: Graph,
    decoder: Graph,
    /// The second decoder graph of an export that is not merged.
    with_past: Option<Graph>,
    config: Config,
    mels: usize,
    frames: usize,
}

impl Model {
    /// Opens the graphs in a folder, or in its `onnx` subfolder.
    pub(super) fn load(
        folder: &Path,
        config: Config,
        ort: &OrtRuntime,
        precision: Precision,
        threads: usize,
    ) -> Result<Self, EngineError> {
        let file = |stem| find(folder, stem, precision);
        let open = |path: PathBuf| ort.graph(&path, threads);
        let encoder = file("encoder_model").ok_or_else(|| missing(folder, "encoder_model.onnx"))?;
        let (decoder, with_past) = match file("decoder_model_merged") {
            Some(merged) => (merged, None),
            None => (
                file("decoder_model")
                    .ok_or_else(|| missing(folder, "decoder_model_merged.onnx or decoder_model.onnx"))?,
                Some(file("decoder_with_past_model").ok_or_else(|| missing(folder, "decoder_with_past_model.onnx"))?),
            ),
        };
        let (encoder, decoder) = (open(encoder)?, open(decoder)?);
        let with_past = with_past.map(open).transpose()?;

        let (_, shape) = encoder.required_input("input_features", EXPECTED)?;
        let &[_, mels, frames] = shape else {
            return Err(encoder.wrong("wants `input_features` of other than three dimensions", EXPECTED));
        };
        let fixed = |dimension: i64, configured: Option<usize>, what: &str| {
            usize::try_from(dimension).ok().filter(|size| *size > 0).or(configured).ok_or_else(|| {
                EngineError::Load(format!(
                    "{} leaves {what} open and config.json does not give it: put the model's own config.json beside it",
                    encoder.file.display()
                ))
            })
        };
        let mels = fixed(mels, config.num_mel_bins, "the number of mel bands")?;
        let frames = fixed(frames, config.max_source_positions.map(|positions| 2 * positions), "its window")?;
        if encoder.session.inputs().len() > 1 {
            return Err(encoder.wrong("has more than one input", EXPECTED));
        }
        encoder.required_output("last_hidden_state", EXPECTED)?;
        check_decoder(&decoder, with_past.is_none())?;
        if let Some(graph) = &with_past {
            check_decoder(graph, true)?;
        }
        Ok(Self { encoder, decoder, with_past, config, mels, frames })
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

    /// How many tokens the logits tell apart, where the graph fixes it.
    pub(super) fn vocabulary(&self) -> Option<usize> {
        let logits = self.decoder.session.outputs().iter().find(|outlet| outlet.name() == "logits")?;
        let size = logits.dtype().tensor_shape()?.last().copied()?;
        usize::try_from(size).ok().filter(|size| *size > 0)
    }

    /// Where the decoder came from, for messages.
    pub(super) fn decoder_file(&self) -> &Path {
        &self.decoder.file
    }

    /// Runs the encoder on features of shape [mels, frames].
    pub(super) fn encode(&mut self, features: Vec<f32>) -> Result<DynValue, EngineError> {
        let kind = self.encoder.input("input_features").map_or(TensorElementType::Float32, |(kind, _)| kind);
        let run = || {
            let input = floats(kind, &[1, self.mels, self.frames], features)?;
            let mut outputs = self.encoder.session.run(vec![("input_features", SessionInputValue::from(input))])?;
            Ok(outputs.remove("last_hidden_state"))
        };
        run().map_err(failed)?.ok_or_else(|| failed(ort::Error::new("the encoder gave no last_hidden_state")))
    }

    /// Runs the decoder on tokens that follow `cache` (empty: they are the prompt) and moves the cache on. The answer is
    /// the logits of all these tokens, one row a token.
    pub(super) fn decode(
        &mut self,
        hidden: &DynValue,
        ids: &[u32],
        cache: &mut Cache,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let first = cache.length == 0;
        let graph = match &mut self.with_past {
            Some(graph) if !first => graph,
            _ => &mut self.decoder,
        };
        let mut run = || -> ort::Result<Vec<Vec<f32>>> {
            let feed = feed(graph, hidden, ids, cache, &self.config)?;
            let mut outputs = graph.session.run(feed)?;
            let logits = outputs.remove("logits").ok_or_else(|| ort::Error::new("the decoder gave no logits"))?;
            let names: Vec<String> = outputs.keys().map(str::to_owned).collect();
            for name in names {
                let Some(rest) = name.strip_prefix("present.") else { continue };
                // What a cached run says about the encoder is a dummy of length 0: the first one stays.
                if !first && rest.contains(".encoder.") {
                    continue;
                }
                if let Some(value) = outputs.remove(&name) {
                    let past = format!("past_key_values.{rest}");
                    cache.pasts.retain(|(own, _)| *own != past);
                    cache.pasts.push((past, Rc::new(value)));
                }
            }
            cache.length += ids.len();
            let logits = values(&logits)?;
            Ok(logits.chunks_exact((logits.len() / ids.len()).max(1)).map(<[f32]>::to_vec).collect())
        };
        let rows = run().map_err(failed)?;
        if rows.len() != ids.len() {
            return Err(failed(ort::Error::new("the decoder gave too few logits")));
        }
        if rows.iter().flatten().any(|logit| logit.is_nan()) {
            return Err(EngineError::Failed {
                engine: ENGINE,
                reason: "the decoder gave logits that are no numbers".into(),
            });
        }
        Ok(rows)
    }
}

fn feed<'v>(
    graph: &Graph,
    hidden: &'v DynValue,
    ids: &[u32],
    cache: &'v Cache,
    config: &Config,
) -> ort::Result<Vec<(String, SessionInputValue<'v>)>> {
    let mut feed = Vec::new();
    for input in graph.session.inputs() {
        let name = input.name();
        let (kind, shape) = graph.input(name).ok_or_else(|| ort::Error::new(format!("`{name}` is no tensor")))?;
        let value: SessionInputValue<'v> = match name {
            "input_ids" => integers(kind, &[1, ids.len()], ids.iter().map(|id| i64::from(*id)).collect())?.into(),
            "encoder_hidden_states" => hidden.into(),
            "use_cache_branch" => Tensor::from_array(([1_usize], vec![cache.length > 0]))?.into(),
            "cache_position" => {
                let positions = (cache.length..cache.length + ids.len()).map(|position| position as i64);
                integers(kind, &[ids.len()], positions.collect())?.into()
            }
            _ => match cache.get(name) {
                Some(value) => value.into(),
                None => {
                    let size =
                        |at: usize| shape.get(at).and_then(|size| usize::try_from(*size).ok()).filter(|size| *size > 0);
                    let heads = size(1).or(config.decoder_attention_heads).unwrap_or(1);
                    let width = size(3).or(config.d_model.map(|width| width / heads)).unwrap_or(64);
                    floats(kind, &[1, heads, 0, width], Vec::new())?.into()
                }
            },
        };
        feed.push((name.to_owned(), value));
    }
    Ok(feed)
}

/// Refuses a decoder whose inputs this code would not know how to feed.
fn check_decoder(graph: &Graph, with_past: bool) -> Result<(), EngineError> {
    graph.required_input("input_ids", EXPECTED)?;
    graph.required_output("logits", EXPECTED)?;
    let mut pasts = 0;
    for input in graph.session.inputs() {
        match input.name() {
            "input_ids" | "encoder_hidden_states" | "use_cache_branch" | "cache_position" => {}
            name => match name.strip_prefix("past_key_values.") {
                Some(rest) => {
                    pasts += 1;
                    if rest.contains(".decoder.") {
                        graph.required_output(&format!("present.{rest}"), EXPECTED)?;
                    }
                }
                None => return Err(graph.wrong(&format!("has the unknown input `{name}`"), EXPECTED)),
            },
        }
    }
    match (with_past, pasts) {
        (true, 0) => Err(graph.wrong("has no past_key_values inputs", EXPECTED)),
        (false, 1..) => Err(graph.wrong("has past_key_values inputs already", EXPECTED)),
        _ => Ok(()),
    }
}

/// The file of a graph in the wanted precision, else in any other.
fn find(folder: &Path, stem: &str, precision: Precision) -> Option<PathBuf> {
    let suffixes = match precision {
        Precision::Quantized => ["_quantized", "_int8", "_uint8", "", "_fp16"],
        Precision::Full => ["", "_fp16", "_quantized", "_int8", "_uint8"],
    };
    let folders = [folder.to_owned(), folder.join("onnx")];
    let names = suffixes.map(|suffix| format!("{stem}{suffix}.onnx"));
    let paths = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.into_iter().find(|path| path.is_file())
}

fn missing(folder: &Path, file: &str) -> EngineError {
    EngineError::Load(format!(
        "the folder {} holds no {file}: export the model with `optimum-cli export onnx`, or correct the path",
        folder.display()
    ))
}

fn failed(error: ort::Error) -> EngineError {
    EngineError::Failed { engine: ENGINE, reason: error.to_string() }
}
