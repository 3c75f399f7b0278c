//! A conversation in the form that servers take: instructions, then turns of the caller's and Milo's, one after the other.

use serde::Serialize;

use crate::language_model::{ChatMessage, Role};

/// A conversation to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The instructions at its beginning.
    pub(crate) system: String,
    /// What was said; the caller's and Milo's by turns.
    pub(crate) turns: Vec<Turn>,
}

/// One turn.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Turn {
    /// `user` or `assistant`.
    pub(crate) role: &'static str,
    /// The words.
    pub(crate) content: String,
}

impl Shape {
    /// Of these messages. Instructions in the middle go before what the caller says next, and two turns in a row of one party are
    /// one: servers refuse what is not by turns.
    pub(crate) fn of(messages: &[ChatMessage]) -> Self {
        let mut shape = Self { system: String::new(), turns: Vec::new() };
        let mut instructions = String::new();
        for message in messages.iter().filter(|message| !message.content.trim().is_empty()) {
            match message.role {
                Role::System if shape.turns.is_empty() => add(&mut shape.system, &message.content),
                Role::System => add(&mut instructions, &message.content),
                Role::User if !instructions.is_empty() => {
                    add(&mut instructions, &message.content);
                    shape.say(message.role, &std::mem::take(&mut instructions));
                }
                Role::User | Role::Assistant => shape.say(message.role, &message.content),
            }
        }
        if !instructions.is_empty() {
            shape.say(Role::User, &instructions);
        }
        shape
    }

    fn say(&mut self, role: Role, content: &str) {
        match self.turns.last_mut() {
            Some(last) if last.role == role.name() => add(&mut last.content, content),
            _ => self.turns.push(Turn { role: role.name(), content: content.trim().into() }),
        }
    }
}

fn add(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_alternate_and_instructions_find_their_place() {
        let messages = [
            ChatMessage::new(Role::System, "Be short."),
            ChatMessage::new(Role::System, "Be kind."),
            ChatMessage::new(Role::User, "salama"),
            ChatMessage::new(Role::Assistant, "salama tompoko "),
            ChatMessage::new(Role::System, "The call was held."),
            ChatMessage::new(Role::User, " "),
            ChatMessage::new(Role::User, "eny"),
            ChatMessage::new(Role::User, "tsia"),
        ];
        let turn = |role, content: &str| Turn { role, content: content.into() };
        let expected = Shape {
            system: "Be short.\n\nBe kind.".into(),
            turns: vec![
                turn("user", "salama"),
                turn("assistant", "salama tompoko"),
                turn("user", "The call was held.\n\neny\n\ntsia"),
            ],
        };
        assert_eq!(Shape::of(&messages), expected);
    }
}
