//! The graphs of a translator, and what they want of a sentence.

use std::iter;

use ort::{session::SessionInputValue, value::DynValue};
use serde::Deserialize;

use super::{ENGINE, Way, cut::halves, tokens::Tokens};
use crate::{
    engine::{EngineError, Language},
    onnx::{
        Graph, WHOLE,
        decoder::{Decoder, Heads, mask},
        export::Export,
        failed, integers,
    },
};

const EXPECTED: &str = "NLLB-200, M2M100 or Marian encoder or decoder as Hugging Face optimum exports it";
/// What config.json calls a model of one way.
const MARIAN: &str = "marian";
/// Positions where the configuration names none.
const POSITIONS: usize = 256;

/// What is needed of config.json and generation_config.json.
#[derive(Deserialize, Default)]
struct Config {
    model_type: Option<String>,
    d_model: Option<usize>,
    decoder_attention_heads: Option<usize>,
    max_position_embeddings: Option<usize>,
    decoder_start_token_id: Option<u32>,
    pad_token_id: Option<u32>,
}

/// An encoder, its decoder and their tokens.
pub(super) struct Model {
    pub(super) way: Way,
    encoder: Graph,
    pub(super) decoder: Decoder,
    pub(super) tokens: Tokens,
    /// What the decoder begins with.
    start: u32,
    /// What a model of one way never says.
    pub(super) filling: Option<u32>,
    /// What stands behind the end of a sentence that is shorter than those beside it: positions are counted without it.
    pad: u32,
    /// How many sentences are translated side by side.
    pub(super) rows: usize,
    positions: usize,
}

impl Model {
    /// Opens what lies in a folder; so many sentences may go side by side, where the graphs can have it.
    pub(super) fn load(export: &Export<'_>, way: Way, batch: usize) -> Result<Self, EngineError> {
        let config: Config = export.settings("config.json")?;
        let is_marian = config.model_type.as_deref() == Some(MARIAN);
        if is_marian == matches!(way, Way::Both) {
            let folder = export.folder().display();
            return Err(EngineError::Load(match way {
                Way::Both => {
                    format!("{folder} holds a Marian, which translates one way: name one for each, `mg_fr` and `fr_mg`")
                }
                Way::From(_) => format!("{folder} holds no Marian: a model that knows both ways is named as `path`"),
            }));
        }
        let generation: Config = export.settings("generation_config.json")?;
        let encoder = export.encoder()?;
        for name in ["input_ids", "attention_mask"] {
            encoder.required_kind(name, WHOLE, EXPECTED)?;
        }
        encoder.required_output("last_hidden_state", EXPECTED)?;
        let heads = Heads { count: config.decoder_attention_heads, width: config.d_model };
        let decoder = Decoder::load(export, heads, ENGINE, EXPECTED)?;
        let tokens = Tokens::load(export, way)?;
        if let Some(size) = decoder.vocabulary().filter(|size| *size <= tokens.highest() as usize) {
            return Err(EngineError::Load(format!(
                "{} knows {size} tokens and tokenizer.json beside it has ids up to {}: they belong to different models",
                decoder.name(),
                tokens.highest()
            )));
        }
        let start = generation.decoder_start_token_id.or(config.decoder_start_token_id).unwrap_or(tokens.end);
        let pad = config.pad_token_id;
        let rows = if batch > 1 && pad.is_some() && takes_rows(&encoder, &decoder)? { batch } else { 1 };
        Ok(Self {
            way,
            encoder,
            decoder,
            start,
            filling: Some(start).filter(|start| is_marian && *start != tokens.end),
            pad: pad.unwrap_or_default(),
            rows,
            tokens,
            positions: config.max_position_embeddings.unwrap_or(POSITIONS),
        })
    }

    /// The tokens of a sentence, in pieces that there is room for.
    pub(super) fn pieces(&self, sentence: &str, source: Language) -> Result<Vec<Vec<u32>>, EngineError> {
        let ids = self.tokens.source(sentence, source)?;
        // Half of the positions: the translation may be longer than its source.
        if ids.len() > (self.positions / 2).max(8)
            && let Some((left, right)) = halves(sentence)
        {
            return Ok([self.pieces(left, source)?, self.pieces(right, source)?].concat());
        }
        Ok(vec![ids])
    }

    /// What a translation begins with: as many tokens, whatever the language.
    pub(super) fn prompt(&self, target: Language) -> Vec<u32> {
        [self.start].into_iter().chain(self.tokens.language(target)).collect()
    }

    /// How many tokens a translation of so many has at most.
    pub(super) fn longest(&self, source: usize) -> usize {
        let prompt = self.prompt(Language::Fr).len();
        self.positions.saturating_sub(prompt).min(4 * source + 16)
    }

    /// Runs the encoder on several pieces at once.
    pub(super) fn encode(&mut self, pieces: &[&[u32]]) -> Result<DynValue, EngineError> {
        let longest = pieces.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let shape = [pieces.len(), longest];
        let kind = |name| self.encoder.required_input(name, EXPECTED).map(|(kind, _)| kind);
        let (ids_kind, mask_kind) = (kind("input_ids")?, kind("attention_mask")?);
        let pad = i64::from(self.pad);
        let feed = || -> ort::Result<_> {
            let filled = |ids: &&[u32]| {
                let rest = longest - ids.len();
                ids.iter().map(|id| i64::from(*id)).chain(iter::repeat_n(pad, rest)).collect::<Vec<_>>()
            };
            let ids = pieces.iter().flat_map(filled).collect();
            Ok(vec![
                ("input_ids", SessionInputValue::from(integers(ids_kind, &shape, ids)?)),
                ("attention_mask", mask(mask_kind, longest, pieces.iter().map(|ids| ids.len()))?.into()),
            ])
        };
        let feed = feed().map_err(|error| failed(ENGINE, &error))?;
        self.encoder.run(ENGINE, feed, &["last_hidden_state"])?.take("last_hidden_state")
    }
}

/// Whether several sentences may share a run, and each is then what it would be alone.
fn takes_rows(encoder: &Graph, decoder: &Decoder) -> Result<bool, EngineError> {
    let is_free = |graph: &Graph, name| graph.input(name).is_some_and(|(_, shape)| shape == [-1, -1]);
    // Without it the decoder would look at what fills the shorter ones up.
    let decoders = decoder.graphs();
    let are_free = ["input_ids", "attention_mask"].iter().all(|name| is_free(encoder, name))
        && decoders.clone().all(|graph| is_free(graph, "input_ids") && is_free(graph, "encoder_attention_mask"));
    if !are_free {
        return Ok(false);
    }
    for graph in decoders.chain([encoder]) {
        if graph.mixes_rows()? {
            return Ok(false);
        }
    }
    Ok(true)
}
