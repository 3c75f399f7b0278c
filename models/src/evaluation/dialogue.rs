//! What a mind answers: `models/evaluation/dialogue/mg-fr.tsv`, as in a call, and the tool calls of `tools.tsv` under their grammar.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::{Figure, Score, rows};
use crate::{
    engine::{EngineError, Language},
    language_model::{ChatMessage, ChatRequest, LanguageModel, Role, WEIGHED_TOKENS},
    queue::Class,
    text::tongue,
};

const DIALOGUES: &str = include_str!("../../evaluation/dialogue/mg-fr.tsv");
const TOOLS: &str = include_str!("../../evaluation/dialogue/tools.tsv");
/// The grammar of the calls.
const GRAMMAR: &str = include_str!("../../demo/mind/tools.gbnf");
/// How the line of `tools.tsv` begins that stands behind the system prompt.
const TOOLS_PROMPT: &str = "# Fitaovana: ";
/// The intent of what is none of the office's business.
pub(super) const FOREIGN: &str = "foreign";
/// Between the turns of a conversation; and what stands for none.
const BETWEEN: &str = " | ";
const NONE: &str = "-";
/// The longest reply and the longest call, in tokens.
const REPLY: usize = 96;
const CALL: usize = 400;
/// The sign that the conversation is over.
const HANG_UP: &str = "[hangup]";

/// Who is asked to answer, as in a call.
#[derive(Clone, Copy, Debug)]
pub struct Persona<'a> {
    /// Its system prompt.
    pub prompt: &'a str,
    /// Replies whose first tokens have a mean log-probability below this are not said: Milo says that it did not understand.
    pub min_logprob: Option<f32>,
}

/// What a mind scores. `most` is how many cases of each kind are asked.
///
/// # Errors
/// A line of a set that is not as it must be, or a mind that fails.
pub async fn scores(mind: &dyn LanguageModel, persona: Persona<'_>, most: usize) -> Result<Vec<Score>, String> {
    let mut scores = replies(mind, persona, most).await?;
    scores.extend(calls(mind, persona, most).await?);
    Ok(scores)
}

async fn replies(mind: &dyn LanguageModel, persona: Persona<'_>, most: usize) -> Result<Vec<Score>, String> {
    let names = [
        "replies, Malagasy",
        "replies, French",
        "replies in later turns",
        "other business: says that it did not understand",
    ];
    let mut scores = names.map(|name| Score::new(name, Figure::Right));
    let mut tongues = Score::new("replies in the caller's language", Figure::Right);
    for (line, [language, intent, before, question, wanted]) in rows::<5>(DIALOGUES)? {
        let place = format!("dialogue/mg-fr.tsv, line {line}");
        let language: Language = language.parse().map_err(|error: EngineError| format!("{place}: {error}"))?;
        let kind = match (intent, before, language) {
            (FOREIGN, ..) => 3,
            (_, before, _) if before != NONE => 2,
            (.., Language::Mg) => 0,
            (.., Language::Fr) => 1,
        };
        if scores[kind].cases >= most {
            continue;
        }
        let mut messages = vec![ChatMessage::new(Role::System, persona.prompt)];
        let said =
            before.split(BETWEEN).filter(|said| *said != NONE).zip([Role::User, Role::Assistant].into_iter().cycle());
        messages.extend(said.map(|(said, role)| ChatMessage::new(role, said)));
        messages.push(ChatMessage::new(Role::User, question));
        let Reply { text, sure } = answer(mind, messages, REPLY, None).await?;
        let is_doubtful = persona.min_logprob.is_some_and(|least| sure < least);
        let is_right = plain(&text) == plain(wanted) && !(is_doubtful && kind != 3);
        let is_refused = kind == 3 && is_doubtful;
        let doubts = if is_doubtful { " (not said: too unlikely)" } else { "" };
        scores[kind].count(
            (!is_right && !is_refused).then(|| format!("{place}: {question:?}: {text:?}{doubts}, not {wanted:?}")),
        );
        // What is not said is in no language.
        if let Some(wanted) = tongue(wanted).filter(|_| !is_doubtful) {
            let told = tongue(&text);
            tongues.count((told != Some(wanted)).then(|| format!("{place}: {question:?}: {text:?} is not {wanted}")));
        }
    }
    let mut scores = Vec::from(scores);
    scores.push(tongues);
    Ok(scores)
}

async fn calls(mind: &dyn LanguageModel, persona: Persona<'_>, most: usize) -> Result<[Score; 2], String> {
    let [mut valid, mut right] = ["tool calls under grammar, valid", "tool calls under grammar, right"]
        .map(|name| Score::new(name, Figure::Right));
    let (prompt, tools) = tools()?;
    let (prompt, grammar) = (format!("{} {prompt}", persona.prompt), Arc::<str>::from(GRAMMAR));
    for (line, [language, question, wanted]) in rows::<3>(TOOLS)?.into_iter().take(most) {
        let place = format!("dialogue/tools.tsv, line {line}");
        language.parse::<Language>().map_err(|error| format!("{place}: {error}"))?;
        let wanted = call(wanted, &tools).ok_or_else(|| format!("{place}: {wanted} is no call of these tools"))?;
        let messages = vec![ChatMessage::new(Role::System, &*prompt), ChatMessage::new(Role::User, question)];
        let said = answer(mind, messages, CALL, Some(Arc::clone(&grammar))).await?.text;
        let told = call(&said, &tools);
        valid.count(told.is_none().then(|| format!("{place}: {question:?}: {said:?} is no call")));
        right.count(
            (told.as_ref() != Some(&wanted))
                .then(|| format!("{place}: {question:?}: {said}, not {}", Value::Object(wanted))),
        );
    }
    Ok([valid, right])
}

/// The tools and their fields.
type Tools = BTreeMap<&'static str, Vec<&'static str>>;

/// What the system prompt says of the tools, and the tools.
fn tools() -> Result<(&'static str, Tools), String> {
    let line = TOOLS.lines().find(|line| line.starts_with(TOOLS_PROMPT));
    let line = line.ok_or_else(|| format!("dialogue/tools.tsv has no line {TOOLS_PROMPT:?}"))?;
    let tool = |told: &'static str| {
        let (name, fields) = told.split_once('(')?;
        let fields = fields.strip_suffix(')')?.split(',').filter(|field| !field.is_empty());
        Some((name, fields.collect()))
    };
    let tools: Option<Tools> = line[TOOLS_PROMPT.len()..].split(' ').map(tool).collect();
    let tools = tools.ok_or_else(|| format!("dialogue/tools.tsv: the tools are not name(field,field): {line}"))?;
    Ok((line.trim_start_matches("# "), tools))
}

/// A reply as a call of one of the tools, with its fields and nothing else.
fn call(reply: &str, tools: &Tools) -> Option<Map<String, Value>> {
    let said: Map<String, Value> = serde_json::from_str(reply).ok()?;
    let fields = tools.get(said.get("tool")?.as_str()?)?;
    let is_there = |field: &&str| said.get(*field).and_then(Value::as_str).is_some_and(|value| !value.is_empty());
    (fields.iter().all(is_there) && said.len() == fields.len() + 1).then_some(said)
}

struct Reply {
    text: String,
    /// Mean log-probability of the first tokens.
    sure: f32,
}

async fn answer(
    mind: &dyn LanguageModel,
    messages: Vec<ChatMessage>,
    max_tokens: usize,
    grammar: Option<Arc<str>>,
) -> Result<Reply, String> {
    let request = ChatRequest { grammar, ..ChatRequest::new(messages, max_tokens, Class::Call) };
    let told = |error: EngineError| error.to_string();
    let mut reply = mind.reply(request).map_err(told)?;
    let (mut text, mut first) = (String::new(), Vec::new());
    while let Some(token) = reply.next().await {
        let token = token.map_err(told)?;
        text += &token.text;
        first.extend(token.logprob.filter(|_| first.len() < WEIGHED_TOKENS));
    }
    let sure = if first.is_empty() { 0.0 } else { first.iter().sum::<f32>() / first.len() as f32 };
    Ok(Reply { text, sure })
}

/// Letters, digits, apostrophes, hyphens and the hang-up sign, in lower case.
fn plain(text: &str) -> String {
    let text = text.to_lowercase().replace(HANG_UP, " \u{1} ");
    let keeps = |letter: char| letter.is_alphanumeric() || matches!(letter, '\'' | '-' | '_' | '\u{1}');
    text.split(|letter| !keeps(letter)).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The questions of other business, with their languages: what a translator is not made for either.
pub(super) fn foreign() -> Result<Vec<(Language, &'static str)>, String> {
    let foreign = rows::<5>(DIALOGUES)?.into_iter().filter(|(_, columns)| columns[1] == FOREIGN);
    foreign
        .map(|(line, columns)| {
            let language = columns[0].parse();
            language
                .map(|language| (language, columns[3]))
                .map_err(|error: EngineError| format!("line {line}: {error}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::llama::{Llama, LlamaOptions};

    #[test]
    fn what_is_the_same_reply_is_the_grammars_word_for_word() {
        assert_eq!(plain("Veloma, tompoko! [hangup]"), plain("veloma tompoko [HANGUP]"));
        assert_ne!(plain("Veloma tompoko."), plain("Veloma tompoko. [hangup]"));
        assert_ne!(plain("amin'ny sivy"), plain("amin'ny fito"));
    }

    #[test]
    fn every_expected_call_is_one_and_others_are_not() {
        let (prompt, tools) = tools().unwrap();
        assert!(prompt.starts_with("Fitaovana: book(day,hour)") && tools.len() == 8, "{prompt}");
        let rows = rows::<3>(TOOLS).unwrap();
        assert!(rows.len() >= 100);
        for (line, [_, _, wanted]) in rows {
            assert!(call(wanted, &tools).is_some(), "line {line}: {wanted}");
        }
        for wrong in [
            "",
            "Eny tompoko.",
            "[]",
            r#"{"tool": "fly"}"#,
            r#"{"tool": "move"}"#,
            r#"{"tool": "move", "day": ""}"#,
            r#"{"tool": "move", "day": 3}"#,
            r#"{"tool": "cancel", "day": "zoma"}"#,
            r#"{"tool": "move", "day": "zoma""#,
        ] {
            assert!(call(wrong, &tools).is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn the_shipped_mind_is_scored_and_whoever_doubts_everything_scores_nothing() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/mind/mind.gguf");
        let mind = Llama::load(&shipped, LlamaOptions::default()).unwrap();
        let prompt = "Ianao dia i Milo, mpandray antso ao amin'ny birao eto Antananarivo. Valio fohy sy mazava, amin'ny fiteny \
                      ampiasain'ny mpiantso.";
        let persona = Persona { prompt, min_logprob: Some(-0.15) };
        let right = |scores: &[Score]| scores.iter().map(|score| (score.set, score.right())).collect::<Vec<_>>();
        let scored = scores(&mind, persona, 12).await.unwrap();
        assert!(scored.iter().filter(|score| score.set != "replies in the caller's language").all(|s| s.cases == 12));
        assert!(scored[0].right() >= 8 && scored[1].right() >= 8, "{:?}", right(&scored));
        let valid = scored.iter().find(|score| score.set.ends_with("valid")).unwrap();
        assert_eq!(valid.right(), 12, "{:?}", valid.wrong);
        // Whoever doubts everything refuses what is foreign, and all the rest too.
        let doubting = scores(&mind, Persona { min_logprob: Some(1.0), ..persona }, 6).await.unwrap();
        assert_eq!(right(&doubting)[..4].iter().map(|(_, right)| *right).collect::<Vec<_>>(), [0, 0, 0, 6]);
    }

    #[test]
    fn other_business_is_two_hundred_questions() {
        let foreign = foreign().unwrap();
        assert_eq!(foreign.len(), 200);
        assert_eq!(foreign.iter().filter(|(language, _)| *language == Language::Mg).count(), 100);
    }
}
