//! A chat template that llama.cpp does not know, rendered as its authors' own tools render it: Jinja, as in `transformers`.

use minijinja::{Environment, Error, ErrorKind, Value, context, syntax::SyntaxConfig};
use minijinja_contrib::pycompat;

use crate::language_model::{ChatMessage, Role};

/// Steps that a template may take: it comes with a file that somebody made, and must not hold up the calls.
const STEPS: u64 = 1_000_000;

/// A compiled template and the texts that it is given.
#[derive(Debug)]
pub(super) struct Jinja {
    environment: Environment<'static>,
    source: String,
    bos: String,
    eos: String,
    system: System,
}

/// Where the persona's instructions stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    /// In a message of their own.
    Apart,
    /// Before the caller's first words: the template knows no such message (Gemma).
    WithUser,
}

impl Jinja {
    /// Tries a template. `bos` and `eos` are the texts of the model's first and last token, empty where it has none.
    pub(super) fn new(source: String, bos: String, eos: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        // What `transformers` sets.
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_unknown_method_callback(pycompat::unknown_method_callback);
        environment.set_fuel(Some(STEPS));
        environment.add_function("raise_exception", |why: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        let mut jinja = Self { environment, source, bos, eos, system: System::Apart };
        let instructions = "Ianao dia Milo.";
        let tried = [ChatMessage::new(Role::System, instructions), ChatMessage::new(Role::User, "salama")];
        if !jinja.render(&tried).is_ok_and(|text| text.contains(instructions)) {
            jinja.system = System::WithUser;
            jinja.render(&tried)?;
        }
        Ok(jinja)
    }

    /// The text that the model reads before it replies.
    pub(super) fn render(&self, messages: &[ChatMessage]) -> Result<String, Error> {
        let merged;
        let messages = match self.system {
            System::Apart => messages,
            System::WithUser => {
                merged = with_user(messages);
                &merged
            }
        };
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.name(), content => message.content.as_str() })
            .collect();
        self.environment.render_named_str(
            "chat_template",
            &self.source,
            context! {
                messages => messages,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
                add_generation_prompt => true,
            },
        )
    }
}

/// The instructions before the first words of the caller's.
fn with_user(messages: &[ChatMessage]) -> Vec<ChatMessage> {
    let mut merged: Vec<ChatMessage> = Vec::new();
    let mut instructions = String::new();
    for message in messages {
        match message.role {
            Role::System => {
                instructions.push_str(&message.content);
                instructions.push_str("\n\n");
            }
            Role::User if !instructions.is_empty() => {
                merged.push(ChatMessage::new(Role::User, std::mem::take(&mut instructions) + &message.content));
            }
            _ => merged.push(message.clone()),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + \
                          '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    const LLAMA_3: &str = "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = \
                           '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + \
                           '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ \
                           content }}{% endfor %}{% if add_generation_prompt %}{{ \
                           '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";
    const MISTRAL: &str = "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content'] %}\n    \
                           {%- set loop_messages = messages[1:] %}\n{%- else %}\n    {%- set loop_messages = messages %}\n\
                           {%- endif %}\n{{- bos_token }}\n{%- for message in loop_messages %}\n    {%- if (message['role'] \
                           == 'user') != (loop.index0 % 2 == 0) %}\n        {{- raise_exception('roles must alternate') }}\n    \
                           {%- endif %}\n    {%- if message['role'] == 'user' %}\n        {%- if loop.first and \
                           system_message is defined %}\n            {{- ' [INST] ' + system_message + '\\n\\n' + \
                           message['content'] + ' [/INST]' }}\n        {%- else %}\n            {{- ' [INST] ' + \
                           message['content'] + ' [/INST]' }}\n        {%- endif %}\n    {%- elif message['role'] == \
                           'assistant' %}\n        {{- ' ' + message['content'] + eos_token}}\n    {%- endif %}\n{%- endfor %}\n";
    const GEMMA: &str = "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not \
                         supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}\
                         {% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ \
                         '<start_of_turn>' + role + '\n' + message['content'].strip() + '<end_of_turn>\n' }}{% endfor %}\
                         {% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}";

    fn rendered(source: &str) -> String {
        let messages = [
            ChatMessage::new(Role::System, "S"),
            ChatMessage::new(Role::User, "U "),
            ChatMessage::new(Role::Assistant, "A"),
            ChatMessage::new(Role::User, "V"),
        ];
        let jinja = Jinja::new(source.into(), "<s>".into(), "</s>".into()).expect("a template");
        jinja.render(&messages).expect("rendered")
    }

    #[test]
    fn the_common_templates_read_as_their_authors_wrote_them() {
        for (source, text) in [
            (
                CHATML,
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU <|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n\
                 <|im_start|>user\nV<|im_end|>\n<|im_start|>assistant\n",
            ),
            (
                LLAMA_3,
                "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU\
                 <|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user\
                 <|end_header_id|>\n\nV<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
            ),
            (MISTRAL, "<s> [INST] S\n\nU  [/INST] A</s> [INST] V [/INST]"),
            (
                GEMMA,
                "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\n\
                 V<end_of_turn>\n<start_of_turn>model\n",
            ),
        ] {
            assert_eq!(rendered(source), text, "{source}");
        }
    }

    #[test]
    fn what_is_no_template_and_what_does_not_end_are_refused() {
        for source in ["{% for %}", "{{ raise_exception('never') }}", "{% for a in range(9999999) %}{% endfor %}"] {
            assert!(Jinja::new(source.into(), String::new(), String::new()).is_err(), "{source}");
        }
    }
}
