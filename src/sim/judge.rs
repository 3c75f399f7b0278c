//! Whether Milo did what a scenario expects of it. Milo's log says what it understood and said; which of its turns are whose is told by
//! time, counted on both sides from the answer: what lies between one turn of the scenario and the next belongs to the first.

use milo_models::{
    engine::Language,
    evaluation::wer::{edits, pair},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    caller::{Called, Done},
    expected::Expected,
    log::since_answer,
    scenario::{HESITATION, Scenario, Turn},
};

/// One expectation, and what was there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Check {
    /// The key of the scenario.
    pub(super) expected: &'static str,
    pub(super) wanted: Value,
    pub(super) there: Value,
    pub(super) passed: bool,
}

/// A turn of the scenario (the first row: the greeting), and what Milo made of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Row {
    /// What the caller did; nothing before the greeting.
    pub(super) caller: Option<String>,
    pub(super) heard: Option<String>,
    pub(super) said: Option<String>,
    /// As much of it as the caller heard, when that is less.
    pub(super) said_heard: Option<String>,
    pub(super) language: Option<String>,
    pub(super) interrupted: bool,
    /// From the last voiced packet to the first of the answer: by Milo's log, and as the telephone heard it.
    pub(super) total_ms: Option<f64>,
    pub(super) wire_ms: Option<f64>,
    /// The kinds of what happened, in order.
    pub(super) events: Vec<String>,
    pub(super) checks: Vec<Check>,
}

/// What of the log belongs to one turn of the scenario.
struct Part<'a> {
    turns: Vec<&'a Value>,
    events: Vec<&'a Value>,
}

impl<'a> Part<'a> {
    fn of(log: &'a Value, from: f64, to: f64) -> Self {
        let within = |list: &'a Value| {
            let rows = list.as_array().into_iter().flatten();
            rows.filter(|row| since_answer(log, &row["at"]).is_some_and(|at| (from..to).contains(&at))).collect()
        };
        Self { turns: within(&log["turns"]), events: within(&log["events"]) }
    }

    fn heard(&self) -> Vec<&'a Value> {
        self.turns.iter().copied().filter(|turn| turn["heard"].is_string()).collect()
    }

    /// The texts of its turns under this name, as one.
    fn text(&self, name: &str) -> Option<String> {
        let texts: Vec<_> = self.turns.iter().filter_map(|turn| turn[name].as_str()).collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}

/// A row for the greeting and one for each turn.
pub(super) fn rows(scenario: &Scenario, called: &Called, log: &Value) -> Vec<Row> {
    let begins = |turn: usize| called.done.get(turn).map(|done| done.began_ms);
    let mut rows = vec![{
        let part = Part::of(log, f64::NEG_INFINITY, begins(0).unwrap_or(f64::INFINITY));
        row(&part, None, (&scenario.greeting, called.greeted), scenario.voice.language)
    }];
    for (number, turn) in scenario.turns.iter().enumerate() {
        let done = called.done.get(number);
        let Some(done) = done else {
            rows.push(undone(turn));
            continue;
        };
        let part = Part::of(log, done.began_ms, begins(number + 1).unwrap_or(f64::INFINITY));
        let language = turn.voice.as_ref().unwrap_or(&scenario.voice).language;
        let replied = done.answered_ms.is_some();
        rows.push(Row { wire_ms: wire_ms(done), ..row(&part, Some(turn), (&turn.expect, replied), language) });
    }
    rows
}

fn wire_ms(done: &Done) -> Option<f64> {
    Some(done.answered_ms? - done.stopped_ms?)
}

/// A turn that the call was too short for; nothing is wrong with one that would only have ended it.
fn undone(turn: &Turn) -> Row {
    let checks = if turn.hang_up {
        Vec::new()
    } else {
        vec![Check { expected: "the call", wanted: json!("up"), there: json!("over"), passed: false }]
    };
    Row { caller: Some(turn.deed().to_string()), checks, ..Row::default() }
}

fn row(part: &Part<'_>, turn: Option<&Turn>, (expected, replied): (&Expected, bool), language: Language) -> Row {
    let heard = part.heard();
    let (said, said_heard) = (part.text("said"), part.text("said_heard"));
    let understood = heard.last().copied().or_else(|| part.turns.last().copied());
    let understood = understood.and_then(|turn| turn["language"].as_str()).map(str::to_owned);
    let mut row = Row {
        caller: turn.map(|turn| turn.deed().to_string()),
        heard: part.text("heard"),
        said_heard: said_heard.filter(|heard| Some(heard) != said.as_ref()),
        said,
        interrupted: part.turns.iter().any(|turn| turn["interrupted"] == true),
        total_ms: heard.first().and_then(|turn| turn["stages"]["total_ms"].as_f64()),
        events: part.events.iter().filter_map(|event| event["kind"].as_str()).map(str::to_owned).collect(),
        wire_ms: None,
        checks: Vec::new(),
        language: understood,
    };
    let spoken = row.language.as_deref().and_then(|code| code.parse().ok()).unwrap_or(language);
    row.checks = checks(expected, &row, (part, heard.len(), replied), spoken);
    if let Some(most) = expected.wrong_words
        && let Some(text) = turn.and_then(|turn| turn.say.as_deref())
    {
        let (wanted, got) = pair(&text.replace(HESITATION, " "), row.heard.as_deref().unwrap_or_default(), spoken);
        let wrong = edits(&wanted, &got);
        let there = json!(format!("{wrong} in {:?}", row.heard.as_deref().unwrap_or_default()));
        row.checks.push(Check { expected: "wrong_words", wanted: json!(most), there, passed: wrong <= most });
    }
    row
}

fn checks(
    expected: &Expected,
    row: &Row,
    (part, turns, replied): (&Part<'_>, usize, bool),
    language: Language,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |expected, wanted: Value, there: Value, passed| {
        checks.push(Check { expected, wanted, there, passed });
    };
    let holds =
        |text: &Option<String>, words: &str| text.as_deref().is_some_and(|text| contains(text, words, language));
    if !expected.heard.0.is_empty() {
        let passed = expected.heard.0.iter().all(|words| holds(&row.heard, words));
        check("heard", json!(expected.heard.0), json!(row.heard), passed);
    }
    if !expected.said.0.is_empty() {
        let passed = expected.said.0.iter().any(|words| holds(&row.said, words));
        check("said", json!(expected.said.0), json!(row.said), passed);
    }
    if !expected.not_said.0.is_empty() {
        let passed = !expected.not_said.0.iter().any(|words| holds(&row.said, words));
        check("not_said", json!(expected.not_said.0), json!(row.said), passed);
    }
    if let Some(most) = expected.within_ms {
        check("within_ms", json!(most), json!(row.total_ms), row.total_ms.is_some_and(|total| total <= most));
    }
    if let Some(wanted) = expected.interrupted {
        check("interrupted", json!(wanted), json!(row.interrupted), row.interrupted == wanted);
    }
    if let Some(wanted) = expected.language {
        check("language", json!(wanted), json!(row.language), row.language.as_deref() == Some(wanted.code()));
    }
    if let Some(wanted) = expected.turns {
        check("turns", json!(wanted), json!(turns), turns == wanted);
    }
    if let Some(wanted) = expected.reply {
        check("reply", json!(wanted), json!(replied), replied == wanted);
    }
    for event in &expected.events {
        let passed = part.events.iter().any(|logged| event.fits(logged));
        check("events", json!(event.to_string()), json!(row.events), passed);
    }
    checks
}

/// Whether these words stand in the text one after the other, whatever their case and the punctuation between them.
fn contains(text: &str, words: &str, language: Language) -> bool {
    let (wanted, there) = pair(words, text, language);
    wanted.is_empty() || there.windows(wanted.len()).any(|some| some == wanted)
}

/// What is expected of the whole call.
pub(super) fn end(scenario: &Scenario, log: &Value) -> Vec<Check> {
    let end = &scenario.end;
    let events = || log["events"].as_array().into_iter().flatten();
    let mut checks = Vec::new();
    let mut check = |expected, wanted: Value, there: Value, passed| {
        checks.push(Check { expected, wanted, there, passed });
    };
    if let Some(by) = end.by {
        check("end.by", json!(by), log["hangup_by"].clone(), log["hangup_by"] == by.as_str());
    }
    if let Some(reason) = &end.reason {
        let passed = log["end_reason"].as_str().is_some_and(|there| there.contains(reason.as_str()));
        check("end.reason", json!(reason), log["end_reason"].clone(), passed);
    }
    if let Some(language) = end.language {
        check("end.language", json!(language), log["language"].clone(), log["language"] == language.code());
    }
    if let Some(wanted) = end.transferred {
        let there = events().any(|event| event["kind"] == "transferred");
        check("end.transferred", json!(wanted), json!(there), there == wanted);
    }
    for event in &end.events {
        let kinds: Vec<_> = events().map(|event| event["kind"].clone()).collect();
        check("end.events", json!(event.to_string()), json!(kinds), events().any(|logged| event.fits(logged)));
    }
    checks
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sim::{
        expected::{Event, Words},
        scenario::Voice,
    };

    fn log() -> Value {
        json!({
            "answered": "2026-11-30T07:00:00.000Z", "hangup_by": "milo", "end_reason": "the plan is done", "language": "mg",
            "turns": [
                { "at": "2026-11-30T07:00:00.020Z", "heard": null, "said": "Salama tompoko!", "said_heard": "Salama tompoko!", "interrupted": false, "language": "mg" },
                { "at": "2026-11-30T07:00:07.000Z", "heard": "firy ariary ny tapakila", "said": "Iray alina ariary ny tapakila.",
                  "said_heard": "Iray —", "interrupted": true, "language": "mg", "stages": { "total_ms": 450.0 } },
                { "at": "2026-11-30T07:00:10.000Z", "heard": "veloma", "said": "Veloma tompoko.", "said_heard": "Veloma tompoko.",
                  "interrupted": false, "language": "mg", "stages": { "total_ms": 300.0 } },
            ],
            "events": [
                { "at": "2026-11-30T07:00:08.000Z", "kind": "interrupted", "detail": null },
            ],
        })
    }

    fn words(text: &str) -> Words {
        Words(vec![text.into()])
    }

    fn scenario(turns: Vec<Turn>) -> Scenario {
        let (about, greeting) = (String::new(), Expected { said: words("salama"), ..Expected::default() });
        let (file, voice) = (PathBuf::from("x.yaml"), Voice::default());
        Scenario {
            file,
            about,
            number: None,
            voice,
            seed: 0,
            loss: None,
            loss_burst: None,
            jitter_ms: None,
            greets: true,
            greeting,
            turns,
            end: Default::default(),
        }
    }

    fn says(text: &str, expect: Expected) -> Turn {
        Turn { say: Some(text.into()), expect, ..Turn::default() }
    }

    fn called(began: &[f64]) -> Called {
        let done = began.iter().map(|at| Done { began_ms: *at, stopped_ms: Some(at + 900.0), answered_ms: None });
        let (call_id, done) = (String::new(), done.collect());
        Called { call_id, setup_ms: 1.0, duration_s: 12.0, greeted: true, done, sound: Vec::new() }
    }

    #[test]
    fn what_lies_between_two_turns_belongs_to_the_first() {
        let first = Expected {
            heard: words("tapakila"),
            wrong_words: Some(0),
            said: Words(vec!["dimy".into(), "iray alina ARIARY".into()]),
            not_said: words("veloma"),
            within_ms: Some(500.0),
            interrupted: Some(true),
            language: Some(Language::Mg),
            turns: Some(1),
            reply: Some(false),
            events: Vec::new(),
        };
        let second = Expected {
            interrupted: Some(false),
            events: vec![Event { kind: "interrupted".into(), detail: Value::Null }],
            ..Expected::default()
        };
        let scenario = scenario(vec![says("firy ariary … ny tapakila", first), says("veloma", second)]);
        let rows = rows(&scenario, &called(&[5_000.0, 7_500.0]), &log());
        assert_eq!(rows.len(), 3);
        let wrong: Vec<_> = rows.iter().flat_map(|row| &row.checks).filter(|check| !check.passed).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(rows.iter().map(|row| row.checks.len()).collect::<Vec<_>>(), [1, 9, 2]);
        assert_eq!(rows[1].said_heard.as_deref(), Some("Iray —"));
        assert_eq!(rows[0].said_heard, None);
    }

    #[test]
    fn what_is_not_as_expected_is_told_with_what_was_there() {
        let expect = Expected { said: words("valo ora"), within_ms: Some(100.0), ..Expected::default() };
        let scenario = scenario(vec![says("firy ariary ny tapakila", expect), says("veloma", Expected::default())]);
        let rows = rows(&scenario, &called(&[5_000.0]), &log());
        let wrong: Vec<_> = rows.iter().flat_map(|row| &row.checks).filter(|check| !check.passed).collect();
        let keys: Vec<_> = wrong.iter().map(|check| check.expected).collect();
        assert_eq!(keys, ["said", "within_ms", "the call"], "the second turn was not to be had any more");
        assert!(wrong[0].there.as_str().is_some_and(|said| said.contains("Iray alina")), "{wrong:?}");
    }

    #[test]
    fn the_end_of_the_call_is_looked_at_as_well() {
        use crate::sim::expected::{By, End};
        let mut scenario = scenario(vec![says("veloma", Expected::default())]);
        scenario.end = End {
            by: Some(By::Milo),
            reason: Some("plan is done".into()),
            language: Some(Language::Fr),
            transferred: Some(false),
            events: vec![Event { kind: "digit".into(), detail: Value::Null }],
        };
        let passed: Vec<_> = end(&scenario, &log()).into_iter().map(|check| check.passed).collect();
        assert_eq!(passed, [true, true, false, true, false]);
    }

    #[test]
    fn words_are_found_as_words() {
        assert!(contains("Misokatra amin'ny valo ora maraina.", "Valo ora, maraina", Language::Mg));
        assert!(!contains("Misokatra amin'ny valo ora maraina.", "alo ora", Language::Mg));
    }
}
