//! What came of a replay: a table of each call and one of all, and the same as JSON.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;

use super::compare::{End, Interruption, Reply, Turn};
use crate::{agent::Turns, bench::percentile};

/// Letters of a turn's words that the table has.
const WORDS: usize = 40;

/// All calls.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What decided now.
    pub(super) settings: BTreeMap<&'static str, serde_json::Value>,
    pub(super) calls: Vec<Call>,
    /// Calls that could not be replayed, and why.
    pub(super) left_out: Vec<LeftOut>,
    pub(super) then: Sums,
    pub(super) now: Sums,
}

/// A call that was replayed.
#[derive(Debug, Serialize)]
pub(super) struct Call {
    /// Its identifier, or its file's name.
    pub(super) call: String,
    pub(super) recording: String,
    pub(super) seconds: f64,
    /// What the personas that talked have of their own that decides of turns.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) personas: BTreeMap<String, Turns>,
    /// Turns of the log that are silent in the recording, as while it was paused.
    pub(super) unrecorded: usize,
    pub(super) turns: Vec<Turn>,
    pub(super) interruptions: Vec<Interruption>,
}

/// A call that was not.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    pub(super) call: String,
    pub(super) why: String,
}

/// Figures of all calls.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Sums {
    pub(super) turns: usize,
    pub(super) cut_off: usize,
    /// How long those who had finished waited until it was decided, and until the answer.
    pub(super) waited_ms: Waits,
    pub(super) answered_after_ms: Waits,
    /// What was said into replies, by those who wanted to be heard and by others.
    pub(super) meant: usize,
    pub(super) not_meant: usize,
    pub(super) false_interruptions: usize,
    pub(super) missed_interruptions: usize,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Waits {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
}

impl Waits {
    fn of(mut waits: Vec<f64>) -> Self {
        let [p50, p95] = [0.5, 0.95].map(|share| percentile(&mut waits, share).map(f64::round));
        Self { p50, p95 }
    }
}

impl Sums {
    fn of<'r>(
        ends: impl Iterator<Item = &'r End> + Clone,
        became: impl Iterator<Item = (&'r Interruption, Reply)> + Clone,
    ) -> Self {
        let whole = ends.clone().filter(|end| !end.cut_off);
        let count = |is_so: fn(&Interruption, Reply) -> bool| {
            became.clone().filter(|(interruption, became)| is_so(interruption, *became)).count()
        };
        Self {
            turns: ends.clone().count(),
            cut_off: ends.filter(|end| end.cut_off).count(),
            waited_ms: Waits::of(whole.clone().filter_map(|end| end.waited_ms).collect()),
            answered_after_ms: Waits::of(whole.filter_map(|end| end.answered_after_ms).collect()),
            meant: count(|interruption, _| interruption.meant),
            not_meant: count(|interruption, _| !interruption.meant),
            false_interruptions: count(Interruption::is_false),
            missed_interruptions: count(Interruption::is_missed),
        }
    }
}

impl Report {
    pub(super) fn new(
        settings: BTreeMap<&'static str, serde_json::Value>,
        calls: Vec<Call>,
        left_out: Vec<LeftOut>,
    ) -> Self {
        let turns = || calls.iter().flat_map(|call| &call.turns);
        let interruptions = || calls.iter().flat_map(|call| &call.interruptions);
        let then = Sums::of(
            turns().filter_map(|turn| turn.then.as_ref()),
            interruptions().filter_map(|interruption| Some((interruption, interruption.then?))),
        );
        let now = Sums::of(
            turns().filter_map(|turn| turn.now.as_ref()),
            interruptions().map(|interruption| (interruption, interruption.now)),
        );
        Self { settings, calls, left_out, then, now }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        fs::write(file, json + "\n").with_context(|| format!("--json {}", file.display()))
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}, {:.0} s)", self.call, self.recording, self.seconds)?;
        for (persona, Turns { end_of_turn_ms, longest_pause_ms }) in &self.personas {
            let own = [("end_of_turn_ms", end_of_turn_ms), ("longest_pause_ms", longest_pause_ms)];
            let own = own.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}", (*value)?)));
            writeln!(f, "the persona {persona} has {}", own.collect::<Vec<_>>().join(" and "))?;
        }
        if self.unrecorded > 0 {
            writeln!(f, "{} turns of the log are silent in the recording and left out", self.unrecorded)?;
        }
        if !self.turns.is_empty() {
            writeln!(f, "| heard | over at: then | now | waited: then | now | cut off: then | now |")?;
            writeln!(f, "|---|---|---|---|---|---|---|")?;
        }
        for Turn { then, now } in &self.turns {
            let [then, now] = [then, now].map(Option::as_ref);
            let heard = then.or(now).map(|end| end.heard.chars().take(WORDS).collect::<String>()).unwrap_or_default();
            let cell =
                |end: Option<&End>, of: fn(&End) -> Option<String>| end.and_then(of).unwrap_or_else(|| "-".into());
            let columns: [fn(&End) -> Option<String>; 3] = [
                |end| end.over_ms.map(|ms| format!("{:.2} s", ms / 1e3)),
                |end| end.waited_ms.map(|ms| format!("{ms:.0} ms")),
                |end| Some(if end.cut_off { "yes" } else { "no" }.into()),
            ];
            write!(f, "| {} |", heard.replace('|', "/"))?;
            columns.iter().try_for_each(|of| write!(f, " {} | {} |", cell(then, *of), cell(now, *of)))?;
            writeln!(f)?;
        }
        for into in &self.interruptions {
            let said = |became: Reply| match became {
                Reply::Ended => "ended the reply",
                Reply::WentOn => "did not",
                Reply::Unnoticed => "was not noticed",
            };
            let judged = |became: Reply| match (into.is_false(became), into.is_missed(became)) {
                (true, _) => " (false)",
                (_, true) => " (missed)",
                _ => "",
            };
            let then = into.then.map(|then| format!("then it {}{}, ", said(then), judged(then))).unwrap_or_default();
            let (at, now, judged) = (into.at_ms / 1e3, said(into.now), judged(into.now));
            writeln!(f, "{at:.2} s, {:?} into a reply: {then}now it {now}{judged}", into.heard)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for LeftOut { call, why } in &self.left_out {
            writeln!(f, "{call} is left out: {why}")?;
        }
        writeln!(f, "| {} calls | then | now |", self.calls.len())?;
        writeln!(f, "|---|---|---|")?;
        let waits = |waits: &Waits| {
            let ms = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0} ms"));
            format!("{}, {}", ms(waits.p50), ms(waits.p95))
        };
        let mut row = |name: &str, of: &dyn Fn(&Sums) -> String| {
            writeln!(f, "| {name} | {} | {} |", of(&self.then), of(&self.now))
        };
        row("turns", &|sums| sums.turns.to_string())?;
        row("cut off", &|sums| sums.cut_off.to_string())?;
        row("waited p50, p95", &|sums| waits(&sums.waited_ms))?;
        row("answered after p50, p95", &|sums| waits(&sums.answered_after_ms))?;
        row("false interruptions", &|sums| format!("{} of {}", sums.false_interruptions, sums.not_meant))?;
        row("missed interruptions", &|sums| format!("{} of {}", sums.missed_interruptions, sums.meant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(waited_ms: f64, cut_off: bool) -> Option<End> {
        let heard = "firy | ariary".to_owned();
        let (waited_ms, answered_after_ms) = (Some(waited_ms), Some(waited_ms + 200.0));
        Some(End { from_ms: 0.0, to_ms: 1_000.0, over_ms: Some(1_250.0), waited_ms, answered_after_ms, cut_off, heard })
    }

    fn report() -> Report {
        let turns =
            vec![Turn { then: end(250.0, false), now: end(120.0, true) }, Turn { then: None, now: end(140.0, false) }];
        let into = |meant, then, now| Interruption { at_ms: 9_000.0, heard: "eny".into(), meant, then, now };
        let interruptions = vec![
            into(false, Some(Reply::WentOn), Reply::Ended),
            into(true, Some(Reply::Unnoticed), Reply::Ended),
            into(true, None, Reply::WentOn),
        ];
        let (call, personas) = ("0193".into(), BTreeMap::new());
        let call =
            Call { call, recording: "a.ogg".into(), seconds: 12.0, personas, unrecorded: 0, turns, interruptions };
        let left_out = vec![LeftOut { call: "0194".into(), why: "it was not recorded".into() }];
        Report::new(BTreeMap::new(), vec![call], left_out)
    }

    #[test]
    fn figures_are_of_those_who_had_finished_and_of_what_the_log_knows() {
        let Report { then, now, .. } = report();
        assert_eq!((then.turns, then.cut_off, now.turns, now.cut_off), (1, 0, 2, 1));
        assert_eq!(
            (then.waited_ms.p50, now.waited_ms.p95, now.answered_after_ms.p50),
            (Some(250.0), Some(140.0), Some(340.0))
        );
        assert_eq!((then.false_interruptions, then.not_meant, then.missed_interruptions, then.meant), (0, 1, 1, 1));
        assert_eq!((now.false_interruptions, now.not_meant, now.missed_interruptions, now.meant), (1, 1, 1, 2));
    }

    #[test]
    fn the_tables_have_a_row_for_each_turn_and_say_what_was_left_out() {
        let report = report();
        let call = report.calls[0].to_string();
        assert!(call.contains("| firy / ariary | 1.25 s | 1.25 s | 250 ms | 120 ms | no | yes |"), "{call}");
        assert!(call.contains("| firy / ariary | - | 1.25 s | - | 140 ms | - | no |"), "{call}");
        assert!(
            call.contains("9.00 s, \"eny\" into a reply: then it did not, now it ended the reply (false)"),
            "{call}"
        );
        let whole = report.to_string();
        assert!(whole.contains("0194 is left out: it was not recorded"), "{whole}");
        assert!(whole.contains("| waited p50, p95 | 250 ms, 250 ms | 140 ms, 140 ms |"), "{whole}");
    }
}
