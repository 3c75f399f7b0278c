//! What came of the scenarios: a line each on the terminal, and `report.json` and `report.html` for whoever wants to read, and hear, more.

use std::{
    fmt::{self, Write},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use milo_media::sound_file::{Container, Writer};
use serde::Serialize;
use serde_json::Value;

use super::judge::{Check, Row};

/// The page's looks; it loads nothing.
const STYLE: &str = include_str!("report.css");

/// All of them.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) scenarios: Vec<Outcome>,
}

/// What came of one scenario.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) file: PathBuf,
    pub(super) about: String,
    /// Whom it called.
    pub(super) target: String,
    pub(super) passed: bool,
    /// Why there was no call, or nothing of it in the log.
    pub(super) fault: Option<String>,
    /// The call's identifier in Milo's log.
    pub(super) call: Option<String>,
    pub(super) setup_ms: Option<f64>,
    pub(super) duration_s: Option<f64>,
    pub(super) hangup_by: Option<String>,
    pub(super) end_reason: Option<String>,
    /// How many of the caller's packets Milo missed, in per cent.
    pub(super) loss_percent: Option<f64>,
    /// The greeting, then the turns of the scenario.
    pub(super) turns: Vec<Row>,
    /// What was expected of the whole call.
    pub(super) end: Vec<Check>,
    /// The file, beside the report, with both sides of the call.
    pub(super) sound: Option<String>,
    /// What it holds: Ogg Opus.
    #[serde(skip)]
    pub(super) ogg: Vec<u8>,
}

impl Outcome {
    /// Whether all was as it was expected.
    pub(super) fn is_right(&self) -> bool {
        self.fault.is_none() && self.wrong().is_empty()
    }

    /// Each expectation that was not met, with its place.
    fn wrong(&self) -> Vec<String> {
        let turns = self.turns.iter().enumerate().flat_map(|(number, row)| {
            // The first row is the greeting's.
            let place = number.checked_sub(1).map_or("greeting".to_owned(), |turn| format!("turns[{turn}]"));
            row.checks.iter().filter(|check| !check.passed).map(move |check| format!("{place}: {check}"))
        });
        let end = self.end.iter().filter(|check| !check.passed).map(ToString::to_string);
        turns.chain(end).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.passed { "ok  " } else { "FAIL" };
        write!(f, "{word}  {:20}", self.name)?;
        match (&self.fault, self.duration_s) {
            (Some(fault), _) => write!(f, "  {fault}")?,
            (None, Some(long)) => write!(f, "  {} turns, {long:.1} s", self.turns.len().saturating_sub(1))?,
            (None, None) => {}
        }
        self.wrong().iter().try_for_each(|wrong| write!(f, "; {wrong}"))
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} expected, {} there", self.expected, self.wanted, self.there)
    }
}

/// Both sides of a call as Ogg Opus.
pub(super) fn ogg(samples: &[i16]) -> Result<Vec<u8>> {
    let mut writer = Writer::new(Container::Ogg)?;
    let mut bytes = writer.write(samples)?;
    bytes.extend(writer.finish()?);
    Ok(bytes)
}

impl Report {
    /// Puts the files into this folder, which is there.
    pub(super) fn write(&mut self, folder: &Path) -> Result<()> {
        let written = |name: &str, bytes: &[u8]| {
            let file = folder.join(name);
            fs::write(&file, bytes).with_context(|| format!("{} cannot be written", file.display()))
        };
        for (number, outcome) in self.scenarios.iter_mut().enumerate().filter(|(_, outcome)| !outcome.ogg.is_empty()) {
            let name = format!("{:02}-{}.ogg", number + 1, outcome.name);
            written(&name, &outcome.ogg)?;
            outcome.sound = Some(name);
        }
        written("report.json", serde_json::to_string_pretty(self)?.as_bytes())?;
        written("report.html", self.html()?.as_bytes())
    }

    /// One page that holds everything, sounds too.
    fn html(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        let sum = format!("{} of {} scenarios passed", self.passed, self.passed + self.failed);
        writeln!(
            page,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{sum}</title>\
             <style>{STYLE}</style></head>\n<body><h1>{sum}</h1>"
        )?;
        for outcome in &self.scenarios {
            outcome.html(&mut page)?;
        }
        page.push_str("</body></html>\n");
        Ok(page)
    }
}

impl Outcome {
    fn html(&self, page: &mut String) -> fmt::Result {
        let (class, open) = if self.passed { ("right", "") } else { ("wrong", " open") };
        let long = self.duration_s.map(|long| format!(" {long:.1} s")).unwrap_or_default();
        writeln!(
            page,
            "<details class=\"{class}\"{open}><summary><b>{}</b> {}{long}</summary>",
            text(&self.name),
            text(&self.about)
        )?;
        let call = self.call.as_deref().unwrap_or("none in the log");
        writeln!(
            page,
            "<p>{}, {}; call {}</p>",
            text(&self.file.display().to_string()),
            text(&self.target),
            text(call)
        )?;
        if let Some(fault) = &self.fault {
            writeln!(page, "<p class=\"wrong\">{}</p>", text(fault))?;
        }
        if !self.ogg.is_empty() {
            let sound = STANDARD.encode(&self.ogg);
            writeln!(page, "<audio controls preload=\"none\" src=\"data:audio/ogg;base64,{sound}\"></audio>")?;
        }
        if !self.turns.is_empty() {
            page.push_str(
                "<table><tr><th>caller</th><th>heard</th><th>said</th><th>answer after</th><th>events</th>\
                 <th>expected</th></tr>\n",
            );
            self.turns.iter().try_for_each(|row| row.html(page))?;
            page.push_str("</table>\n");
        }
        let by = self.hangup_by.as_deref().unwrap_or("nobody");
        let lost = self.loss_percent.filter(|lost| *lost > 0.0);
        let lost = lost.map(|lost| format!("; {lost} % of the caller's packets did not come")).unwrap_or_default();
        writeln!(page, "<p>ended by {}: {}{lost}</p>", text(by), text(self.end_reason.as_deref().unwrap_or("")))?;
        checks(page, &self.end)?;
        page.push_str("</details>\n");
        Ok(())
    }
}

impl Row {
    fn html(&self, page: &mut String) -> fmt::Result {
        let words = |words: &Option<String>| text(words.as_deref().unwrap_or("–"));
        write!(page, "<tr><td>{}</td>", text(self.caller.as_deref().unwrap_or("(greeting)")))?;
        let language = self.language.as_deref().map(|code| format!(" <i>{}</i>", text(code))).unwrap_or_default();
        write!(page, "<td>{}{language}</td><td>{}", words(&self.heard), words(&self.said))?;
        if let Some(heard) = &self.said_heard {
            write!(page, "<br><i>heard of it: {}</i>", text(heard))?;
        }
        let ms = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"));
        let events = text(&self.events.join(", "));
        write!(page, "</td><td>{} <i>(line {})</i></td><td>{events}</td><td>", ms(self.total_ms), ms(self.wire_ms))?;
        checks(page, &self.checks)?;
        page.push_str("</td></tr>\n");
        Ok(())
    }
}

fn checks(page: &mut String, checks: &[Check]) -> fmt::Result {
    if checks.is_empty() {
        return Ok(());
    }
    page.push_str("<ul>");
    for check in checks {
        let wanted = match &check.wanted {
            Value::String(wanted) => wanted.clone(),
            wanted => wanted.to_string(),
        };
        if check.passed {
            write!(page, "<li class=\"right\">{}: {}</li>", text(check.expected), text(&wanted))?;
        } else {
            write!(page, "<li class=\"wrong\">{}</li>", text(&check.to_string()))?;
        }
    }
    page.push_str("</ul>");
    Ok(())
}

/// A text as HTML has it.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(passed: bool) -> Outcome {
        let check = Check { expected: "said", wanted: json!(["a<b"]), there: json!("c"), passed };
        let row = Row { caller: Some("x & y".into()), checks: vec![check], ..Row::default() };
        let mut outcome = Outcome {
            name: "hours".into(),
            duration_s: Some(9.25),
            turns: vec![Row::default(), row],
            ogg: vec![1, 2, 3],
            ..Outcome::default()
        };
        outcome.passed = outcome.is_right();
        outcome
    }

    #[test]
    fn a_line_says_what_was_not_as_expected() {
        assert!(outcome(true).passed && outcome(true).to_string().starts_with("ok    hours"));
        let line = outcome(false).to_string();
        assert!(line.starts_with("FAIL") && line.contains("turns[0]: said: [\"a<b\"] expected, \"c\" there"), "{line}");
        let gone = Outcome { fault: Some("nobody answered".into()), ..Outcome::default() };
        assert!(!gone.is_right() && gone.to_string().contains("nobody answered"));
    }

    #[test]
    fn the_page_holds_the_sound_and_marks_what_failed_and_no_text_of_a_caller_is_markup() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report { passed: 1, failed: 1, scenarios: vec![outcome(true), outcome(false)] };
        report.write(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
        assert!(page.contains("data:audio/ogg;base64,AQID") && page.contains("1 of 2 scenarios passed"));
        assert!(page.contains("x &amp; y") && page.contains("a&lt;b") && !page.contains("a<b"), "{page}");
        assert_eq!(page.matches("<li class=\"wrong\">").count(), 1, "{page}");
        let json: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(json["scenarios"][1]["sound"], "02-hours.ogg");
        assert_eq!(fs::read(folder.path().join("02-hours.ogg")).unwrap(), [1, 2, 3]);
    }
}
