//! Replies held to a grammar (GBNF, as llama.cpp has it): what the model may say next, token by token.
//!
//! llama.cpp says on standard error what is wrong with a grammar, and goes as deep as its brackets do; so it is looked at here first.

use std::collections::BTreeSet;

use llama_cpp_2::{
    model::LlamaModel,
    sampling::LlamaSampler,
    token::{LlamaToken, data::LlamaTokenData, data_array::LlamaTokenDataArray},
};

use super::{ENGINE, file};
use crate::engine::EngineError;

/// The rule with which a reply begins.
const ROOT: &str = "root";
/// The longest grammar, in bytes; the most rules; how deep brackets may stand in each other. llama.cpp's own stack is the bound.
const LONGEST: usize = 32_768;
const MOST_RULES: usize = 512;
const DEEPEST: usize = 32;

/// Refuses what is no grammar, or would be too much of one.
pub(super) fn check(text: &str) -> Result<(), EngineError> {
    match fault(text) {
        Some(fault) => Err(EngineError::Input(format!("the grammar (GBNF) {fault}"))),
        None => Ok(()),
    }
}

/// Where one reply stands in its grammar.
#[derive(Debug)]
pub(super) struct Grammar(LlamaSampler);

impl Grammar {
    pub(super) fn new(model: &LlamaModel, text: &str) -> Result<Self, EngineError> {
        check(text)?;
        file::complaint();
        LlamaSampler::grammar(model, text, ROOT).map(Self).map_err(|error| {
            let why = file::complaint().unwrap_or_else(|| error.to_string());
            EngineError::Input(format!("the grammar (GBNF) is none that llama.cpp can follow: {why}"))
        })
    }

    /// Whether the reply may go on with this token, or end with it.
    pub(super) fn allows(&mut self, model: &LlamaModel, token: usize) -> bool {
        self.masked(model, [(token, 0.0)].into_iter()).first().is_some_and(|logit| logit.is_finite())
    }

    /// The logits of a row with those at −∞ that may not follow.
    pub(super) fn mask(&mut self, model: &LlamaModel, logits: &[f32]) -> Vec<f32> {
        self.masked(model, logits.iter().copied().enumerate())
    }

    fn masked(&mut self, model: &LlamaModel, row: impl Iterator<Item = (usize, f32)>) -> Vec<f32> {
        let row = row.map(|(token, logit)| LlamaTokenData::new(LlamaToken(token as i32), logit, 0.0));
        let mut row = LlamaTokenDataArray::from_iter(row, false);
        self.0.apply(&mut row);
        let vocabulary = model.vocab();
        // llama.cpp takes a control token for the text of its name, which nobody would hear.
        let is_heard = |token| vocabulary.is_eog(token) || !vocabulary.is_control(token);
        let logit = |data: &LlamaTokenData| {
            if data.logit().is_finite() && is_heard(data.id()) { data.logit() } else { f32::NEG_INFINITY }
        };
        row.data.iter().map(logit).collect()
    }

    /// The token was said; it must be one that the grammar allows.
    pub(super) fn accept(&mut self, token: LlamaToken) -> Result<(), EngineError> {
        self.0.try_accept(token).map_err(|error| EngineError::Failed { engine: ENGINE, reason: error.to_string() })
    }
}

/// What is wrong with a grammar, as the end of a sentence.
fn fault(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return Some(format!("has {} bytes; {LONGEST} are the most", text.len()));
    }
    if text.contains('\0') {
        return Some("holds a zero byte".into());
    }
    let mut defined = BTreeSet::new();
    let mut used: Vec<(usize, &str)> = Vec::new();
    let (mut at, mut open) = (0, Vec::new());
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    while let Some(letter) = text[at..].chars().next() {
        let rest = &text[at..];
        let closed_by = |end: char, what: &str| match end_of(&rest[1..], end) {
            Some(length) => Ok(length + 2),
            None => Err(format!("has {what} in line {} that does not end with {end}", line(at))),
        };
        at += match letter {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '[' | '{' | '<' => {
                let (end, what) = match letter {
                    '"' => ('"', "a text"),
                    '[' => (']', "a class of letters"),
                    '{' => ('}', "a number of times"),
                    _ => ('>', "a token"),
                };
                match closed_by(end, what) {
                    Ok(length) => length,
                    Err(fault) => return Some(fault),
                }
            }
            '(' => {
                open.push(at);
                if open.len() > DEEPEST {
                    return Some(format!(
                        "has brackets {} deep in line {}; {DEEPEST} are the most",
                        open.len(),
                        line(at)
                    ));
                }
                1
            }
            ')' => {
                if open.pop().is_none() {
                    return Some(format!("closes a bracket in line {} that is not open", line(at)));
                }
                1
            }
            letter if is_of_name(letter) => {
                let length = rest.find(|letter| !is_of_name(letter)).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(length);
                if behind.trim_start_matches([' ', '\t']).starts_with("::=") {
                    defined.insert(name);
                } else {
                    used.push((at, name));
                }
                length
            }
            letter => letter.len_utf8(),
        };
    }
    if let Some(at) = open.first() {
        return Some(format!("opens a bracket in line {} that is never closed", line(*at)));
    }
    if !defined.contains(ROOT) {
        return Some(format!("has no rule {ROOT:?}, with which a reply begins: {ROOT} ::= …"));
    }
    if defined.len() > MOST_RULES {
        return Some(format!("has {} rules; {MOST_RULES} are the most", defined.len()));
    }
    let (at, name) = used.into_iter().find(|(_, name)| !defined.contains(name))?;
    Some(format!("uses the rule {name:?} in line {}, which is nowhere defined", line(at)))
}

/// How long the text is up to `end`; what stands behind a backslash ends nothing.
fn end_of(text: &str, end: char) -> Option<usize> {
    let mut is_escaped = false;
    text.char_indices().find_map(|(at, letter)| {
        let ends = letter == end && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        ends.then_some(at)
    })
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, why) in [
            ("", "no rule \"root\""),
            ("answer ::= \"a\"", "no rule \"root\""),
            ("# root ::= \"a\"\n", "no rule \"root\""),
            ("root ::= yes | no\nyes ::= \"eny\"\n", "\"no\" in line 1"),
            ("root ::= \"a\n\nb ::= [a-z]+", "a text in line 1"),
            ("root ::= x\nx ::= [a-z+\n", "a class of letters in line 2"),
            ("root ::= \"a\"{2", "a number of times in line 1"),
            ("root ::= (\"a\" | \"b\"\n", "opens a bracket in line 1"),
            ("root ::= \"a\")\n", "closes a bracket in line 1"),
            ("root ::= \"a\0\"", "zero byte"),
        ] {
            let found = fault(text);
            assert!(found.as_ref().is_some_and(|found| found.contains(why)), "{text:?}: {found:?}");
        }
        assert!(fault(&"(".repeat(1_000)).is_some_and(|fault| fault.contains("33 deep")));
        assert!(
            fault(&format!("root ::= \"{}\"", "a".repeat(LONGEST))).is_some_and(|fault| fault.contains("the most"))
        );
        let chain: String = (0..MOST_RULES).map(|n| format!("r{n} ::= r{}\n", n + 1)).collect();
        assert!(fault(&format!("root ::= r0\n{chain}")).is_some_and(|fault| fault.contains("rules")));
    }

    #[test]
    fn what_is_right_is_left_to_llama_cpp() {
        for text in [
            include_str!("../../demo/mind/tools.gbnf"),
            "root ::= \"\\\"(\" [^\\]\")}]{1,3} # yes\n",
            "root::=( a|b )*\na ::= \"a\"\nb ::= <[7]>?",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }
}
