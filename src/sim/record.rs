//! A call of the log as a scenario: what was heard is said again, and what was said is expected. A beginning for whoever writes one.

use std::fmt::Write;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::log::since_answer;

/// Keys that were pressed so soon after each other, in milliseconds, are one turn.
const TOGETHER: f64 = 4_000.0;
/// What of the log happened by itself while the caller was silent.
const ALONE: &str = "are_you_there";

/// Something the caller did, at a moment.
enum Deed<'a> {
    Said(&'a Value),
    Pressed(String),
    Silent(f64),
}

/// The YAML of a scenario.
///
/// # Errors
/// The log has no word of the caller and no key.
pub(super) fn scenario(call: &Value) -> Result<String> {
    let deeds = deeds(call);
    ensure!(!deeds.is_empty(), "the log has nothing that the caller said or pressed in this call");
    let language = deeds.iter().find_map(|(_, deed)| if let Deed::Said(turn) = deed { spoken(turn) } else { None });
    let language = language.or(call["language"].as_str()).unwrap_or("mg");
    let mut yaml = String::new();
    write(&mut yaml, call, &deeds, language)?;
    Ok(yaml)
}

fn write(yaml: &mut String, call: &Value, deeds: &[(f64, Deed<'_>)], language: &str) -> Result<()> {
    writeln!(yaml, "# From the log: call {}.", call["id"].as_str().unwrap_or_default())?;
    writeln!(yaml, "about: {}", quoted(&format!("a call of {}", call["started"].as_str().unwrap_or_default())))?;
    writeln!(yaml, "number: {}", quoted(call["to"].as_str().unwrap_or("milo")))?;
    writeln!(yaml, "voice: {{ language: {language} }}")?;
    let turns = call["turns"].as_array().map(Vec::as_slice).unwrap_or_default();
    match turns.first().filter(|turn| turn["heard"].is_null()).and_then(|turn| turn["said"].as_str()) {
        Some(said) => writeln!(yaml, "greeting: {{ said: {} }}", quoted(said))?,
        None => writeln!(yaml, "greets: false")?,
    }
    writeln!(yaml, "turns:")?;
    let mut interrupts = false;
    for (_, deed) in deeds {
        let into = std::mem::take(&mut interrupts);
        match deed {
            Deed::Pressed(keys) => {
                writeln!(yaml, "  - press: {}", quoted(keys))?;
                writeln!(yaml, "    expect: {{ events: [digit] }}")?;
            }
            Deed::Silent(seconds) => {
                writeln!(yaml, "  - silence_s: {seconds:.0}")?;
                writeln!(yaml, "    expect: {{ events: [{ALONE}] }}")?;
            }
            Deed::Said(turn) => {
                said(yaml, turn, language)?;
                interrupts = turn["interrupted"] == true;
            }
        }
        if into {
            // The log has when Milo fell silent, and not when the caller began.
            writeln!(yaml, "    barge_in_ms: 1000")?;
        }
    }
    if let Some(by) = call["hangup_by"].as_str() {
        writeln!(yaml, "end: {{ by: {by} }}")?;
    }
    Ok(())
}

fn said(yaml: &mut String, turn: &Value, language: &str) -> Result<()> {
    let heard = turn["heard"].as_str().unwrap_or_default();
    writeln!(yaml, "  - say: {}", quoted(heard))?;
    let spoken = spoken(turn).unwrap_or(language);
    if spoken != language {
        writeln!(yaml, "    voice: {{ language: {spoken} }}")?;
    }
    writeln!(yaml, "    expect:")?;
    writeln!(yaml, "      language: {spoken}")?;
    writeln!(yaml, "      wrong_words: {}", heard.split_whitespace().count() / 3)?;
    writeln!(yaml, "      interrupted: {}", turn["interrupted"] == true)?;
    if let Some(said) = turn["said"].as_str().filter(|said| !said.is_empty()) {
        writeln!(yaml, "      said: {}", quoted(said))?;
    }
    Ok(())
}

fn spoken(turn: &Value) -> Option<&str> {
    turn["language"].as_str()
}

/// What the caller did, in order: words, keys, and the silences that Milo asked about.
fn deeds(call: &Value) -> Vec<(f64, Deed<'_>)> {
    let list = |name: &str| call[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut deeds: Vec<(f64, Deed<'_>)> = Vec::new();
    for turn in list("turns") {
        let words = turn["heard"].as_str().unwrap_or_default();
        if words.chars().any(char::is_alphanumeric)
            && let Some(at) = since_answer(call, &turn["at"])
        {
            deeds.push((at, Deed::Said(turn)));
        }
    }
    let mut pressed: Option<f64> = None;
    for event in list("events") {
        let Some(at) = since_answer(call, &event["at"]) else { continue };
        if event["kind"] == "digit"
            && let Some(key) = event["detail"]["digit"].as_str()
        {
            match (pressed.filter(|last| at - last < TOGETHER), deeds.last_mut()) {
                (Some(_), Some((_, Deed::Pressed(keys)))) => keys.push_str(key),
                _ => deeds.push((at, Deed::Pressed(key.to_owned()))),
            }
            pressed = Some(at);
        } else if event["kind"] == ALONE {
            deeds.push((at, Deed::Silent(0.0)));
        }
    }
    deeds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut before = 0.0;
    for (at, deed) in &mut deeds {
        if let Deed::Silent(seconds) = deed {
            // A second more than it took until Milo asked.
            *seconds = ((*at - before) / 1_000.0 + 1.0).clamp(1.0, 120.0);
        }
        before = *at;
    }
    deeds
}

/// A text as YAML has it between quotation marks, which is as JSON has it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_heard_is_said_and_what_was_said_is_expected() {
        let call = json!({
            "id": "0193", "to": "milo", "started": "2026-11-30T07:00:00.000Z", "answered": "2026-11-30T07:00:00.000Z",
            "hangup_by": "milo", "language": "mg",
            "turns": [
                { "at": "2026-11-30T07:00:00.010Z", "heard": null, "said": "Salama \"tompoko\"!", "language": "mg", "interrupted": false },
                { "at": "2026-11-30T07:00:08.000Z", "heard": "firy ariary ny tapakila", "said": "Iray alina.", "language": "mg", "interrupted": true },
                { "at": "2026-11-30T07:00:12.000Z", "heard": "parlez-vous français", "said": "Oui.", "language": "fr", "interrupted": false },
            ],
            "events": [
                { "at": "2026-11-30T07:00:15.000Z", "kind": "digit", "detail": { "digit": "1" } },
                { "at": "2026-11-30T07:00:16.000Z", "kind": "digit", "detail": { "digit": "#" } },
                { "at": "2026-11-30T07:00:24.000Z", "kind": "are_you_there", "detail": null },
            ],
        });
        let yaml = scenario(&call).unwrap();
        for line in [
            "greeting: { said: \"Salama \\\"tompoko\\\"!\" }",
            "  - say: \"firy ariary ny tapakila\"",
            "      interrupted: true",
            "    barge_in_ms: 1000",
            "    voice: { language: fr }",
            "  - press: \"1#\"",
            "  - silence_s: 10",
            "end: { by: milo }",
        ] {
            assert!(yaml.lines().any(|there| there == line), "{line}:\n{yaml}");
        }
        assert!(scenario(&json!({ "turns": [], "events": [] })).is_err());
    }
}
