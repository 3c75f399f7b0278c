//! From messages to tokens, by the chat template that stands in the model's own file.

use std::path::Path;

use llama_cpp_2::{
    model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel},
    token::LlamaToken,
};

use super::{ENGINE, jinja::Jinja};
use crate::{
    engine::EngineError,
    language_model::{ChatMessage, Role},
};

/// A model's chat template and the marks it is made of.
#[derive(Debug)]
pub(super) struct Template {
    form: Form,
    /// Texts of control tokens. What a caller or a persona says must not be taken for one.
    marks: Vec<String>,
}

/// Who renders it.
#[derive(Debug)]
enum Form {
    /// One of those that llama.cpp knows by heart.
    Known(LlamaChatTemplate),
    /// Any other.
    Own(Box<Jinja>),
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
        let source = template.to_string().map_err(|error| error.to_string());
        let known = Self { form: Form::Known(template), marks };
        if known.render(model, &[ChatMessage::new(Role::User, "salama")]).is_ok() {
            return Ok(known);
        }
        let form = source.and_then(|source| Self::own(model, source)).map_err(|why| {
            EngineError::Load(format!(
                "the chat template in {} cannot be rendered ({why}); name another instruct or chat model",
                path.display()
            ))
        })?;
        Ok(Self { form, marks: known.marks })
    }

    /// Whether the template is one that llama.cpp does not know.
    #[cfg(test)]
    pub(super) fn is_own(&self) -> bool {
        matches!(self.form, Form::Own(_))
    }

    /// The tokens that the model reads before it replies.
    pub(super) fn tokens(&self, model: &LlamaModel, messages: &[ChatMessage]) -> Result<Vec<LlamaToken>, EngineError> {
        // What llama.cpp renders lacks the first token; a template of the model's own says all that there is.
        let adds_first = matches!(self.form, Form::Known(_));
        Ok(model.vocab().tokenize(self.render(model, messages)?.as_bytes(), adds_first, true))
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
        let messages = messages.iter().map(|message| ChatMessage::new(message.role, self.plain(&message.content)));
        match &self.form {
            Form::Known(template) => {
                let messages = messages
                    .map(|message| LlamaChatMessage::new(message.role.name().into(), message.content))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| failed(error.to_string()))?;
                model.apply_chat_template(template, &messages, true).map_err(|error| failed(error.to_string()))
            }
            Form::Own(jinja) => jinja.render(&messages.collect::<Vec<_>>()).map_err(|error| failed(error.to_string())),
        }
    }

    /// The model's own template, by whatever means it is written.
    fn own(model: &LlamaModel, source: String) -> Result<Form, String> {
        let vocabulary = model.vocab();
        let text = |token: LlamaToken| {
            // A model without such a token has one that is none.
            let token = Some(token).filter(|token| (0..vocabulary.n_tokens()).contains(&token.0));
            let text = token.and_then(|token| vocabulary.text(token));
            text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let jinja = Jinja::new(source, text(vocabulary.bos()), text(vocabulary.eos()));
        jinja.map(|jinja| Form::Own(Box::new(jinja))).map_err(|error| error.to_string())
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
