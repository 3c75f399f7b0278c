//! What a turn may take from its end to the first sound of the answer, `[conversation] filler_ms`, and what follows where it takes more.
//!
//! Within the turn something is said meanwhile ([`super::stopgap`]), and the server of a model has its own time, after which the local one
//! answers. That time is lost to the caller: the turns after such a one are not asked of that server first.

use serde_json::{Value, json};
use std::time::Duration;

use crate::{engines::Mode, store::Stages};

/// So many turns are asked of the local model at once; then the server is tried again.
const AROUND: u32 = 2;

/// Whether the server that is asked first was too slow lately, in this call.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    around: u32,
}

impl Lateness {
    /// Whom a turn is asked of first, where it would be this one.
    pub(super) fn first(&self, usual: Mode) -> Mode {
        if self.around > 0 { Mode::Local } else { usual }
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
        self.around = AROUND;
        Some(
            json!({ "way": "local", "turns": AROUND, "why": "the server had no word in time", "waited_ms": waited.round() }),
        )
    }
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
        assert_eq!((&told["way"], &told["waited_ms"]), (&"local".into(), &2_100.0.into()));
        for _ in 0..2 {
            assert_eq!(lateness.first(Mode::Cloud), Mode::Local);
            assert!(lateness.answered(Mode::Cloud, Some(Mode::Local), &quick, BUDGET).is_none());
        }
        assert_eq!(lateness.first(Mode::Cloud), Mode::Cloud);
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
