//! The decoder of a model that hears or reads all first and then says one token after the other (Whisper, M2M100, NLLB). Each run is
//! fed with what the graph itself declares.
//!
//! Optimum writes it either as two graphs (`decoder_model` for the prompt, `decoder_with_past_model` for what follows) or as one
//! (`decoder_model_merged`, which is told by `use_cache_branch`).

use std::rc::Rc;

use ort::{
    session::SessionInputValue,
    value::{DynValue, Tensor, TensorElementType},
};

use super::{Graph, export::Export, floats, graph::failed, integers, rows, values};
use crate::{engine::EngineError, pages};

/// What a graph with free dimensions does not tell of the keys and values it wants.
#[derive(Clone, Copy, Default)]
pub(crate) struct Heads {
    /// How many heads of attention a layer has.
    pub(crate) count: Option<usize>,
    /// How wide all of them are together.
    pub(crate) width: Option<usize>,
}

/// Keys and values of the tokens seen so far; a clone is a second continuation of the same prompt.
#[derive(Clone, Default)]
pub(crate) struct Cache {
    /// By the name of the input that takes the value.
    pasts: Vec<(String, Rc<DynValue>)>,
    /// How many tokens it holds.
    length: usize,
}

impl Cache {
    /// Those of these rows.
    pub(crate) fn some(&self, picked: &[usize]) -> ort::Result<Self> {
        self.each(|_, value| rows::some(value, picked))
    }

    /// Those of another cache of the same length below its own.
    pub(crate) fn beside(&self, other: &Self) -> ort::Result<Self> {
        if self.length != other.length {
            return Err(ort::Error::new("rows of one run have pasts of one length"));
        }
        let lacks = || ort::Error::new("rows of different decoders");
        self.each(|name, value| rows::together(&[value, other.get(name).ok_or_else(lacks)?]))
    }

    /// With room for so many positions of what was encoded, where it has less: nothing is there.
    pub(crate) fn wider(&self, positions: usize) -> ort::Result<Self> {
        let pasts = self.pasts.iter().map(|(name, value)| {
            let is_full =
                !name.contains(".encoder.") || value.shape().get(2).is_none_or(|there| *there >= positions as i64);
            let value = if is_full { Rc::clone(value) } else { Rc::new(rows::widened(value, 2, positions)?) };
            Ok((name.clone(), value))
        });
        Ok(Self { pasts: pasts.collect::<ort::Result<_>>()?, length: self.length })
    }

    fn each(&self, made: impl Fn(&str, &DynValue) -> ort::Result<DynValue>) -> ort::Result<Self> {
        let pasts = self.pasts.iter().map(|(name, value)| Ok((name.clone(), Rc::new(made(name, value)?))));
        Ok(Self { pasts: pasts.collect::<ort::Result<_>>()?, length: self.length })
    }

    /// What the values take in memory, if they are f32.
    fn bytes(&self) -> u64 {
        let count = |value: &DynValue| value.shape().iter().product::<i64>().unsigned_abs();
        self.pasts.iter().map(|(_, value)| count(value) * size_of::<f32>() as u64).sum()
    }

    fn get(&self, name: &str) -> Option<&DynValue> {
        self.pasts.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }
}

/// The output that tells what some heads look at, where an export has it (`models/training/export_attention.py`).
const ATTENTION: &str = "cross_attentions";

/// What some of a decoder's heads look at of what was encoded.
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// One a token.
    pub(crate) rows: usize,
    /// Of what was encoded.
    pub(crate) positions: usize,
    /// Head by head, row by row.
    pub(crate) weights: Vec<f32>,
}

impl Attention {
    /// What a head looks at with a token.
    pub(crate) fn row(&self, head: usize, row: usize) -> Option<&[f32]> {
        let at = (head * self.rows + row) * self.positions;
        self.weights.get(at..at + self.positions).filter(|_| row < self.rows)
    }
}

/// One graph or two.
pub(crate) struct Decoder {
    first: Graph,
    /// The second graph of an export that is not merged.
    following: Option<Graph>,
    heads: Heads,
    /// As many rows were begun at once, and there is room for what is kept of them.
    widest: usize,
    engine: &'static str,
}

impl Decoder {
    /// Opens the graphs of a folder. `expected` says in messages what they should be.
    pub(crate) fn load(
        export: &Export<'_>,
        heads: Heads,
        engine: &'static str,
        expected: &str,
    ) -> Result<Self, EngineError> {
        let (first, following) = export.decoders()?;
        check(&first, following.is_none(), expected)?;
        if let Some(graph) = &following {
            check(graph, true, expected)?;
        }
        Ok(Self { first, following, heads, widest: 0, engine })
    }

    /// The graph, or both.
    pub(crate) fn graphs(&self) -> impl Iterator<Item = &Graph> + Clone {
        [&self.first].into_iter().chain(&self.following)
    }

    /// How many tokens the logits tell apart, where the graph fixes it.
    pub(crate) fn vocabulary(&self) -> Option<usize> {
        let logits = self.first.outputs().iter().find(|outlet| outlet.name() == "logits")?;
        let size = logits.shape()?.last().copied()?;
        usize::try_from(size).ok().filter(|size| *size > 0)
    }

    /// Whether it tells what it looks at.
    pub(crate) fn tells_attention(&self) -> bool {
        self.first.outputs().iter().any(|outlet| outlet.name() == ATTENTION)
    }

    /// Where it came from, for messages.
    pub(crate) fn name(&self) -> &str {
        self.first.name()
    }

    /// Runs on tokens that follow `cache` (empty: they are the prompt), beside what the encoder made of its input, [1, positions, width],
    /// and moves the cache on. The answer is the logits of all these tokens, one row a token.
    pub(crate) fn run(
        &mut self,
        encoded: &DynValue,
        ids: &[u32],
        cache: &mut Cache,
    ) -> Result<Vec<Vec<f32>>, EngineError> {
        let logits = self.run_rows(encoded, &[ids], cache)?.pop().unwrap_or_default();
        if logits.iter().flatten().any(|logit| logit.is_nan()) {
            let reason = "the decoder gave logits that are no numbers".into();
            return Err(EngineError::Failed { engine: self.engine, reason });
        }
        Ok(logits)
    }

    /// What it looks at as it reads these tokens from the beginning, beside what the encoder made of its input.
    pub(crate) fn attention(&mut self, encoded: &DynValue, ids: &[u32]) -> Result<Attention, EngineError> {
        let (engine, heads, none) = (self.engine, self.heads, Cache::default());
        let graph = &mut self.first;
        let feed =
            feed(graph, (encoded, &[]), (&[ids], ids.len()), &none, heads).map_err(|error| failed(engine, &error))?;
        let told = graph.run(engine, feed, &[ATTENTION])?.take(ATTENTION)?;
        let shape: Vec<usize> = told.shape().iter().filter_map(|size| usize::try_from(*size).ok()).collect();
        let weights = values(&told).map_err(|error| failed(engine, &error))?;
        let &[1, heads, rows, positions] = &shape[..] else {
            let reason = format!("the decoder gave {ATTENTION} of the shape {shape:?}");
            return Err(EngineError::Failed { engine, reason });
        };
        Ok(Attention { heads, rows, positions, weights })
    }

    /// As [`Decoder::run`] for several rows, each with as many tokens as the others, in this run and before; what the encoder made of them
    /// has a row for each too. Logits that are no numbers are the row's own trouble.
    pub(crate) fn run_rows(
        &mut self,
        encoded: &DynValue,
        rows: &[&[u32]],
        cache: &mut Cache,
    ) -> Result<Vec<Vec<Vec<f32>>>, EngineError> {
        self.run_padded((encoded, &[]), rows, cache)
    }

    /// The same where what was encoded is filled up behind so many positions of each row; a row of which nothing is said is full.
    pub(crate) fn run_padded(
        &mut self,
        encoded: (&DynValue, &[usize]),
        rows: &[&[u32]],
        cache: &mut Cache,
    ) -> Result<Vec<Vec<Vec<f32>>>, EngineError> {
        let is_first = cache.length == 0;
        let engine = self.engine;
        let graph = match &mut self.following {
            Some(graph) if !is_first => graph,
            _ => &mut self.first,
        };
        let heads = self.heads;
        let length = rows.first().map_or(0, |row| row.len());
        let feed = feed(graph, encoded, (rows, length), cache, heads).map_err(|error| failed(engine, &error))?;
        let mut outputs = graph.run(engine, feed, &[])?;
        let logits = outputs.take("logits")?;
        for (name, value) in outputs.rest() {
            let Some(rest) = name.strip_prefix("present.") else { continue };
            // What a cached run says about the encoder is a dummy of length 0: the first one stays.
            if !is_first && rest.contains(".encoder.") {
                continue;
            }
            let past = format!("past_key_values.{rest}");
            cache.pasts.retain(|(own, _)| *own != past);
            cache.pasts.push((past, Rc::new(value)));
        }
        cache.length += length;
        let logits = values(&logits).map_err(|error| failed(engine, &error))?;
        let each = (logits.len() / (rows.len() * length).max(1)).max(1);
        let logits: Vec<Vec<f32>> = logits.chunks_exact(each).map(<[f32]>::to_vec).collect();
        if is_first && rows.len() > self.widest {
            self.widest = rows.len();
            // Nobody who is heard waits for pages to be moved.
            pages::hint_for(cache.bytes());
        }
        if logits.len() != rows.len() * length || logits.is_empty() {
            return Err(failed(engine, &ort::Error::new("the decoder gave too few logits")));
        }
        Ok(logits.chunks_exact(length).map(<[Vec<f32>]>::to_vec).collect())
    }
}

fn feed<'v>(
    graph: &Graph,
    (encoded, lengths): (&'v DynValue, &[usize]),
    (rows, length): (&[&[u32]], usize),
    cache: &'v Cache,
    heads: Heads,
) -> ort::Result<Vec<(String, SessionInputValue<'v>)>> {
    let mut feed = Vec::new();
    for input in graph.inputs() {
        let name = input.name();
        let (kind, shape) = graph.input(name).ok_or_else(|| ort::Error::new(format!("`{name}` is no tensor")))?;
        let value: SessionInputValue<'v> = match name {
            "input_ids" => {
                let ids = rows.iter().flat_map(|row| row.iter().map(|id| i64::from(*id)));
                integers(kind, &[rows.len(), length], ids.collect())?.into()
            }
            "encoder_hidden_states" => encoded.into(),
            "encoder_attention_mask" => {
                let positions = encoded.shape().get(1).and_then(|size| usize::try_from(*size).ok()).unwrap_or(0);
                let there = (0..rows.len()).map(|row| lengths.get(row).copied().unwrap_or(positions));
                mask(kind, positions, there)?.into()
            }
            "use_cache_branch" => Tensor::from_array(([1_usize], vec![cache.length > 0]))?.into(),
            "cache_position" => {
                let positions = (cache.length..cache.length + length).map(|position| position as i64);
                integers(kind, &[length], positions.collect())?.into()
            }
            _ => match cache.get(name) {
                Some(value) => value.into(),
                None => {
                    let size =
                        |at: usize| shape.get(at).and_then(|size| usize::try_from(*size).ok()).filter(|size| *size > 0);
                    let count = size(1).or(heads.count).unwrap_or(1);
                    let width = size(3).or(heads.width.map(|width| width / count)).unwrap_or(64);
                    floats(kind, &[rows.len(), count, 0, width], Vec::new())?.into()
                }
            },
        };
        feed.push((name.to_owned(), value));
    }
    Ok(feed)
}

/// Of so many positions in each row: 1 for what is there, 0 for what fills up.
pub(crate) fn mask(
    kind: TensorElementType,
    positions: usize,
    lengths: impl ExactSizeIterator<Item = usize>,
) -> ort::Result<DynValue> {
    let rows = lengths.len();
    let marks = lengths.flat_map(|length| (0..positions).map(move |position| i64::from(position < length)));
    integers(kind, &[rows, positions], marks.collect())
}

/// Refuses a decoder whose inputs this code would not know how to feed.
fn check(graph: &Graph, with_past: bool, expected: &str) -> Result<(), EngineError> {
    graph.required_input("input_ids", expected)?;
    graph.required_output("logits", expected)?;
    let mut pasts = 0;
    for input in graph.inputs() {
        match input.name() {
            "input_ids"
            | "encoder_hidden_states"
            | "encoder_attention_mask"
            | "use_cache_branch"
            | "cache_position" => {}
            name => match name.strip_prefix("past_key_values.") {
                Some(rest) => {
                    pasts += 1;
                    if rest.contains(".decoder.") {
                        graph.required_output(&format!("present.{rest}"), expected)?;
                    }
                }
                None => return Err(graph.wrong(&format!("has the unknown input `{name}`"), expected)),
            },
        }
    }
    match (with_past, pasts) {
        (true, 0) => Err(graph.wrong("has no past_key_values inputs", expected)),
        (false, 1..) => Err(graph.wrong("has past_key_values inputs already", expected)),
        _ => Ok(()),
    }
}
