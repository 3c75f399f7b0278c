//! What a turn may take from its end to the first sound of the answer, `[conversation] filler_ms`, and what follows where it takes more.
//!
//! ```text
//!  over ──── transcript ──── first token ──── first sample ──► heard
//!   └─ spent ──┘  └────────── as the newest two took ──┘
//!                 └─ together more than the budget: the reply is to be short
//! ```
//! Once it is spent, something is said meanwhile ([`super::stopgap`]), and the server of a model has its own time, after which the local one
//! answers. That time is lost to the caller: the turns after such a one are not asked of that server first.
//!
//! The engines count the same lateness for the whole process (`engines/breaker.rs`), and leave a server alone that nobody was answered by for
//! several times in a row. The two stay two: here one caller who has just waited is not made to wait again, by the budget of a turn and
//! although others are answered; there nobody is sent to a server that is down, and that one must not follow from one late answer to one
//! caller. A breaker that knew both would be one for each call beside the one for all.

use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    engines::{Brief, Mode},
    store::Stages,
};

/// So many turns are asked of the local model at once; then the server is tried again.
const AROUND: u32 = 2;
/// By so many of the newest answers it is judged how long the next one takes: by the slowest.
const NEWEST: usize = 2;

/// Whether whoever is asked first was too slow lately, in this call.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    around: u32,
    /// How long the newest answers took from the words of the turn to their first sample, the newest first.
    took: [Option<Duration>; NEWEST],
}

impl Lateness {
    /// Whom a turn is asked of first, where it would be this one.
    pub(super) fn first(&self, usual: Mode) -> Mode {
        if self.around > 0 { Mode::Local } else { usual }
    }

    /// How long the answer to a turn is expected to take that has been over for so long, where that is more than there is left.
    pub(super) fn at_risk(&self, spent: Duration, budget: Duration) -> Option<Duration> {
        // Of an answer of which nothing is known yet, no more is expected than that it leaves the transcript as much.
        let expected = self.expected().unwrap_or(budget / 2);
        (spent + expected > budget).then_some(expected)
    }

    /// How long the next answer takes, where the newest of this call tell.
    pub(super) fn expected(&self) -> Option<Duration> {
        self.took.iter().flatten().max().copied()
    }

    /// Whoever is asked first has answered a turn, and nothing but engines was waited for.
    pub(super) fn took(&mut self, stages: &Stages) {
        let took = stages.llm_first_token_ms.zip(stages.tts_first_sample_ms).map(|(token, sample)| token + sample);
        if let Some(took) = took.and_then(|took| Duration::try_from_secs_f64(took / 1e3).ok()) {
            self.took.rotate_right(1);
            self.took[0] = Some(took);
        }
    }

    /// A turn was answered by this one. What is done otherwise in the turns that follow, and why, where that is something.
    pub(super) fn answered(
        &mut self,
        usual: Mode,
        by: Option<Mode>,
        stages: &Stages,
        budget: Duration,
    ) -> Option<Value> {
        if self.around > 0 {
            self.around -= 1;
            return None;
        }
        let waited = stages.llm_first_token_ms?;
        if usual != Mode::Cloud || by != Some(Mode::Local) || waited < milliseconds(budget) / 2.0 {
            return None;
        }
        // What it took says nothing of the one who answers now.
        *self = Self { around: AROUND, ..Self::default() };
        Some(json!({ "turns": AROUND, "why": "the server had no word in time", "waited_ms": waited.round() }))
    }
}

/// Why a reply is to be short.
pub(super) fn why(brief: &Brief, budget: Duration) -> Value {
    at_risk((brief.spent, brief.expected), budget)
}

/// Why something is done about a turn that has been over for so long, and whose answer is expected to take so long.
pub(super) fn at_risk((spent, expected): (Duration, Duration), budget: Duration) -> Value {
    json!({
        "why": "the budget of the turn was at risk",
        "budget_ms": milliseconds(budget).round(),
        "spent_ms": milliseconds(spent).round(),
        "expected_ms": milliseconds(expected).round(),
    })
}

/// What a turn has taken beyond its budget, and what for the most part; nothing where it was within it, or not answered.
pub(super) fn beyond(stages: &Stages, budget: Duration, fillers: usize) -> Option<Value> {
    stages.packet_out_ms?;
    let own = [
        ("stt", stages.stt_ms),
        ("llm", stages.llm_first_token_ms),
        ("tts", stages.tts_first_sample_ms),
        ("packet_out", stages.packet_out_ms),
    ];
    let own = own.map(|(stage, took)| (stage, took.unwrap_or_default()));
    let took: f64 = own.iter().map(|(_, took)| took).sum();
    let (most, most_ms) = own.into_iter().max_by(|one, other| one.1.total_cmp(&other.1))?;
    let budget_ms = milliseconds(budget);
    (took > budget_ms).then(|| {
        json!({
            "budget_ms": budget_ms,
            "took_ms": took.round(),
            "most": most,
            "most_ms": most_ms.round(),
            "fillers": fillers,
        })
    })
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_millis(1_500);

    fn stages(stt: f64, llm: f64) -> Stages {
        Stages {
            stt_ms: Some(stt),
            llm_first_token_ms: Some(llm),
            tts_first_sample_ms: Some(100.0),
            packet_out_ms: Some(20.0),
            ..Stages::default()
        }
    }

    #[test]
    fn a_server_that_was_late_is_gone_around_for_two_turns_and_tried_again() {
        let mut lateness = Lateness::default();
        let (slow, quick) = (stages(10.0, 2_100.0), stages(10.0, 90.0));
        assert!(lateness.answered(Mode::Cloud, Some(Mode::Cloud), &slow, BUDGET).is_none(), "it has answered");
        assert!(lateness.answered(Mode::Cloud, Some(Mode::Local), &quick, BUDGET).is_none(), "it was away at once");
        assert!(lateness.answered(Mode::Local, Some(Mode::Local), &slow, BUDGET).is_none(), "there is none");
        assert_eq!(lateness.first(Mode::Cloud), Mode::Cloud);
        let told = lateness.answered(Mode::Cloud, Some(Mode::Local), &slow, BUDGET).expect("it was late");
        assert_eq!((&told["turns"], &told["waited_ms"]), (&2.into(), &2_100.0.into()));
        for _ in 0..2 {
            assert_eq!(lateness.first(Mode::Cloud), Mode::Local);
            assert!(lateness.answered(Mode::Cloud, Some(Mode::Local), &quick, BUDGET).is_none());
        }
        assert_eq!(lateness.first(Mode::Cloud), Mode::Cloud);
    }

    #[test]
    fn a_turn_is_at_risk_by_what_is_spent_of_it_and_by_the_slower_of_the_last_two_answers() {
        let (mut lateness, at) = (Lateness::default(), Duration::from_millis);
        assert!(
            lateness.at_risk(at(700), BUDGET).is_none(),
            "half of it is left for an answer of which nothing is known"
        );
        assert_eq!(lateness.at_risk(at(800), BUDGET), Some(BUDGET / 2));
        lateness.took(&stages(0.0, 300.0));
        assert!(lateness.at_risk(at(1_000), BUDGET).is_none(), "they answer in 400 ms");
        lateness.took(&stages(0.0, 1_700.0));
        assert_eq!(lateness.at_risk(Duration::ZERO, BUDGET), Some(at(1_800)));
        lateness.took(&Stages { llm_first_token_ms: None, ..stages(0.0, 0.0) });
        lateness.took(&stages(0.0, 90.0));
        assert!(lateness.at_risk(Duration::ZERO, BUDGET).is_some(), "one quick answer is none too many");
        lateness.took(&stages(0.0, 90.0));
        assert!(lateness.at_risk(at(1_300), BUDGET).is_none());
        lateness.took(&stages(0.0, 2_100.0));
        assert!(lateness.answered(Mode::Cloud, Some(Mode::Local), &stages(0.0, 2_100.0), BUDGET).is_some());
        assert!(lateness.at_risk(Duration::ZERO, BUDGET).is_none(), "somebody else is asked now");
    }

    #[test]
    fn a_turn_that_took_too_long_says_what_took_most() {
        assert!(beyond(&stages(200.0, 300.0), BUDGET, 0).is_none());
        let told = beyond(&stages(1_400.0, 300.0), BUDGET, 1).expect("1820 ms");
        assert_eq!((&told["most"], &told["took_ms"]), (&"stt".into(), &1_820.0.into()), "{told}");
        assert_eq!((&told["budget_ms"], &told["fillers"]), (&1_500.0.into(), &1.into()), "{told}");
        assert!(
            beyond(&Stages { packet_out_ms: None, ..stages(9_000.0, 0.0) }, BUDGET, 0).is_none(),
            "nothing was heard"
        );
    }
}
