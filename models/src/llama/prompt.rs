//! From messages to tokens, by the chat template that stands in the model's own file.

use std::path::Path;

use llama_cpp_2::{
    model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel},
    token::LlamaToken,
};

use super::{ChatMessage, ENGINE, Role};
use crate::engine::EngineError;

/// A model's chat template and the marks it is made of.
#[derive(Debug)]
pub(super) struct Template {
    template: LlamaChatTemplate,
    /// Texts of control tokens. What a caller or a persona says must not be taken for one.
    marks: Vec<String>,
}

impl Template {
    /// Reads the template of the model in `path` and tries it.
    pub(super) fn of(model: &LlamaModel, path: &Path) -> Result<Self, EngineError> {
        let template = model.chat_template(None).map_err(|_| {
            EngineError::Load(format!(
                "{} has no chat template (tokenizer.chat_template), so it is a base model; name an instruct or chat model",
                path.display()
            ))
        })?;
        let vocabulary = model.vocab();
        let marks = vocabulary
            .tokens()
            .filter(|&token| vocabulary.is_control(token))
            .filter_map(|token| vocabulary.text(token)?.to_str().ok().map(str::to_owned))
            .filter(|mark| mark.len() > 2)
            .collect();
        let template = Self { template, marks };
        template.render(model, &[ChatMessage::new(Role::User, "salama")]).map_err(|_| {
            EngineError::Load(format!(
                "the chat template in {} is none that llama.cpp knows; name a model with a common one (ChatML, Llama, Mistral, Gemma, Phi …)",
                path.display()
            ))
        })?;
        Ok(template)
    }

    /// The tokens that the model reads before it replies.
    pub(super) fn tokens(&self, model: &LlamaModel, messages: &[ChatMessage]) -> Result<Vec<LlamaToken>, EngineError> {
        Ok(model.vocab().tokenize(self.render(model, messages)?.as_bytes(), true, true))
    }

    /// The tokens that every conversation with this system prompt begins with: what two of them have in common.
    pub(super) fn prefix(&self, model: &LlamaModel, system_prompt: &str) -> Result<Vec<LlamaToken>, EngineError> {
        let with = |said: &str| {
            let messages = [ChatMessage::new(Role::System, system_prompt), ChatMessage::new(Role::User, said)];
            self.tokens(model, &messages)
        };
        let (mut one, other) = (with("salama")?, with("bonjour")?);
        let common = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
        one.truncate(common);
        Ok(one)
    }

    fn render(&self, model: &LlamaModel, messages: &[ChatMessage]) -> Result<String, EngineError> {
        let failed = |reason: String| EngineError::Failed { engine: ENGINE, reason };
        let messages = messages
            .iter()
            .map(|message| LlamaChatMessage::new(message.role.name().into(), self.plain(&message.content)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(error.to_string()))?;
        model.apply_chat_template(&self.template, &messages, true).map_err(|error| failed(error.to_string()))
    }

    /// `content` without control tokens and NUL.
    fn plain(&self, content: &str) -> String {
        let mut plain = content.replace('\0', "");
        // Taking one out may put another together ("<</s>/s>"): until none is left.
        while let Some(mark) = self.marks.iter().find(|mark| plain.contains(mark.as_str())) {
            plain = plain.replace(mark.as_str(), "");
        }
        plain
    }
}
