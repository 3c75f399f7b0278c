//! A conversation in the form that servers take: instructions, then turns of the caller's and Milo's, one after the other.

use std::collections::VecDeque;

use crate::{
    language_model::{ChatMessage, Role},
    tools::Call,
};

/// A conversation to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The instructions at its beginning.
    pub(crate) system: String,
    /// What was said; the caller's and Milo's by turns.
    pub(crate) turns: Vec<Turn>,
}

/// One turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// `user` or `assistant`.
    pub(crate) role: &'static str,
    /// The words.
    pub(crate) content: String,
    /// Of Milo's: what was to be done, by names of their own.
    pub(crate) calls: Vec<(String, Call)>,
    /// Of the caller's side: what came of each, before the words.
    pub(crate) results: Vec<(String, String)>,
}

impl Shape {
    /// Of these messages. Instructions in the middle go before what the caller says next, and two turns in a row of one party are
    /// one: servers refuse what is not by turns.
    pub(crate) fn of(messages: &[ChatMessage]) -> Self {
        let mut shape = Self { system: String::new(), turns: Vec::new() };
        let mut instructions = String::new();
        // The names of calls of which it is not told yet what came.
        let (mut open, mut calls) = (VecDeque::new(), 0);
        for message in messages.iter().filter(|message| !message.content.trim().is_empty()) {
            match message.role {
                Role::System if shape.turns.is_empty() => add(&mut shape.system, &message.content),
                Role::System => add(&mut instructions, &message.content),
                Role::User if !instructions.is_empty() => {
                    add(&mut instructions, &message.content);
                    shape.say(message.role, &std::mem::take(&mut instructions));
                }
                Role::User | Role::Assistant => shape.say(message.role, &message.content),
                Role::Call => {
                    calls += 1;
                    let name = format!("call_{calls}");
                    open.push_back(name.clone());
                    shape.turn(message.role).calls.push((name, Call::of_message(message)));
                }
                Role::Result => {
                    if let Some(name) = open.pop_front() {
                        shape.turn(message.role).results.push((name, message.content.clone()));
                    }
                }
            }
        }
        if !instructions.is_empty() {
            shape.say(Role::User, &instructions);
        }
        shape
    }

    fn say(&mut self, role: Role, content: &str) {
        add(&mut self.turn(role).content, content);
    }

    /// The turn that is the party's now.
    fn turn(&mut self, role: Role) -> &mut Turn {
        if self.turns.last().is_none_or(|last| last.role != role.name()) {
            self.turns.push(Turn { role: role.name(), ..Turn::default() });
        }
        let last = self.turns.len() - 1;
        &mut self.turns[last]
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
        let turn = |role, content: &str| Turn { role, content: content.into(), ..Turn::default() };
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
    #[test]
    fn what_was_done_stands_with_whose_turn_it_is() {
        let call = |of: &str| ChatMessage::new(Role::Call, format!("{{\"tool\": \"price\", \"of\": {of:?}}}"));
        let result = |text: &str| ChatMessage::new(Role::Result, text);
        let shape = Shape::of(&[
            ChatMessage::new(Role::User, "firy"),
            ChatMessage::new(Role::Assistant, "andraso"),
            call("boky"),
            call("mofo"),
            result("5"),
            result("6"),
            ChatMessage::new(Role::User, "ary ny vary"),
            call("vary"),
            result("7"),
            ChatMessage::new(Role::Assistant, "fito"),
        ]);
        let told: Vec<_> = shape
            .turns
            .iter()
            .map(|turn| {
                let names = turn.calls.iter().map(|(name, call)| format!("{name}:{}", call.arguments["of"]));
                let results = turn.results.iter().map(|(name, result)| format!("{name}={result}"));
                (turn.role, turn.content.as_str(), names.chain(results).collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            told,
            [
                ("user", "firy", String::new()),
                ("assistant", "andraso", "call_1:\"boky\" call_2:\"mofo\"".into()),
                ("user", "ary ny vary", "call_1=5 call_2=6".into()),
                ("assistant", "", "call_3:\"vary\"".into()),
                ("user", "", "call_3=7".into()),
                ("assistant", "fito", String::new()),
            ]
        );
    }
}
