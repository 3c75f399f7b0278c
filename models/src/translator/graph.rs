//! The graphs of a translator, and a sentence's way through them.

use ort::{session::SessionInputValue, value::DynValue};
use serde::Deserialize;

use super::{ENGINE, Translation, Way, cut::halves, tokens::Tokens};
use crate::{
    engine::{EngineError, Language},
    onnx::{
        Graph, WHOLE,
        decoder::{Cache, Decoder, Heads},
        export::Export,
        failed, integers,
        likelihood::{log_softmax, loops, most_likely},
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
}

/// An encoder, its decoder and their tokens.
pub(super) struct Model {
    encoder: Graph,
    decoder: Decoder,
    tokens: Tokens,
    /// What the decoder begins with.
    start: u32,
    /// What a model of one way never says.
    filling: Option<u32>,
    positions: usize,
}

impl Model {
    /// Opens what lies in a folder.
    pub(super) fn load(export: &Export<'_>, way: Way) -> Result<Self, EngineError> {
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
        Ok(Self {
            encoder,
            decoder,
            start,
            filling: Some(start).filter(|start| is_marian && *start != tokens.end),
            tokens,
            positions: config.max_position_embeddings.unwrap_or(POSITIONS),
        })
    }

    /// A sentence in the other language; `None` when `cancelled` says that it should stop.
    pub(super) fn translate(
        &mut self,
        sentence: &str,
        source: Language,
        target: Language,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Translation>, EngineError> {
        let ids = self.tokens.source(sentence, source)?;
        // Half of the positions: the translation may be longer than its source.
        if ids.len() > (self.positions / 2).max(8)
            && let Some((left, right)) = halves(sentence)
        {
            let Some(left) = self.translate(left, source, target, cancelled)? else { return Ok(None) };
            let Some(right) = self.translate(right, source, target, cancelled)? else { return Ok(None) };
            let confidence = left.confidence.min(right.confidence);
            return Ok(Some(Translation { text: format!("{} {}", left.text, right.text), confidence }));
        }
        let encoded = self.encode(&ids)?;
        let prompt: Vec<u32> = [self.start].into_iter().chain(self.tokens.language(target)).collect();
        let mut cache = Cache::default();
        let mut rows = self.decoder.run(&encoded, &prompt, &mut cache)?;
        let (mut said, mut sum) = (Vec::new(), 0.0);
        let longest = self.positions.saturating_sub(prompt.len()).min(4 * ids.len() + 16);
        loop {
            let mut logits = rows.pop().unwrap_or_default();
            // A Marian begins with what fills up, and would go on with it.
            if let Some(id) = self.filling
                && let Some(filling) = logits.get_mut(id as usize)
            {
                *filling = f32::NEG_INFINITY;
            }
            let likelihoods = log_softmax(&logits);
            let token = most_likely(&likelihoods);
            sum += likelihoods.get(token).copied().unwrap_or(f32::NEG_INFINITY);
            if token == self.tokens.end as usize {
                let text = self.tokens.text(&said)?;
                // A sentence that becomes nothing was not translated.
                let confidence = (sum / (said.len() + 1) as f32).exp();
                let confidence = if text.is_empty() || !confidence.is_finite() { 0.0 } else { confidence };
                return Ok(Some(Translation { text, confidence }));
            }
            said.push(token as u32);
            if said.len() >= longest || loops(&said) {
                return Ok(Some(Translation { text: self.tokens.text(&said)?, confidence: 0.0 }));
            }
            if cancelled() {
                return Ok(None);
            }
            rows = self.decoder.run(&encoded, &[token as u32], &mut cache)?;
        }
    }

    fn encode(&mut self, ids: &[u32]) -> Result<DynValue, EngineError> {
        let shape = [1, ids.len()];
        let kind = |name| self.encoder.required_input(name, EXPECTED).map(|(kind, _)| kind);
        let (ids_kind, mask_kind) = (kind("input_ids")?, kind("attention_mask")?);
        let feed = || -> ort::Result<_> {
            let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
            let mask = vec![1; ids.len()];
            Ok(vec![
                ("input_ids", SessionInputValue::from(integers(ids_kind, &shape, ids)?)),
                ("attention_mask", integers(mask_kind, &shape, mask)?.into()),
            ])
        };
        let feed = feed().map_err(|error| failed(ENGINE, &error))?;
        self.encoder.run(ENGINE, feed, &["last_hidden_state"])?.take("last_hidden_state")
    }
}
