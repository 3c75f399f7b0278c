//! What was decided in a call, beside what is decided now of the same sound.
//!
//! Whether a turn was cut off is known from what came after it: the caller went on before they could have heard an answer, or with what
//! the log has as one turn. Whether an interruption was one is known from the words that the log has of it in the end.

use milo_models::text::heard::is_back_channel;
use serde::Serialize;

use super::logged::{Into, Logged, Then};
use crate::agent::{Ended, Seen, SpokenInto};

/// Nobody answers what they hear sooner than this, in milliseconds: who speaks within it would have spoken anyway.
const REACTION: f64 = 300.0;
/// An answer that never came is taken to have come so long after the turn was over.
const NEVER: f64 = 2_000.0;
/// What was decided of a voice came no longer than this after it, in milliseconds.
const DECIDED: f64 = 2_500.0;
/// Moments of the log may lie so far beside those of the recording, in milliseconds.
const BESIDE: f64 = 250.0;

/// When a turn was over. Milliseconds; moments from the beginning of the recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct End {
    pub(super) from_ms: f64,
    /// The caller's last sound.
    pub(super) to_ms: f64,
    /// When it was decided that they had finished.
    pub(super) over_ms: Option<f64>,
    /// From their last sound to that.
    pub(super) waited_ms: Option<f64>,
    /// From their last sound to the answer's first.
    pub(super) answered_after_ms: Option<f64>,
    /// They had not finished.
    pub(super) cut_off: bool,
    pub(super) heard: String,
}

/// A turn of the caller's: then and now; one of them is missing where it was part of another, or was not noticed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Turn {
    pub(super) then: Option<End>,
    pub(super) now: Option<End>,
}

/// What became of a reply that was spoken into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Ended,
    WentOn,
    /// Nothing was noticed; it went on.
    Unnoticed,
}

impl Reply {
    fn ended(self) -> bool {
        self == Self::Ended
    }
}

/// Something that was said into a reply.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Interruption {
    /// When it was decided what it meant.
    pub(super) at_ms: f64,
    pub(super) heard: String,
    /// Whether the caller wanted to be heard.
    pub(super) meant: bool,
    /// None where the log does not know the call.
    pub(super) then: Option<Reply>,
    pub(super) now: Reply,
}

impl Interruption {
    /// Whether a reply of which that became ended for nothing.
    pub(super) fn is_false(&self, became: Reply) -> bool {
        became.ended() && !self.meant
    }

    /// Whether it went on although somebody wanted to be heard.
    pub(super) fn is_missed(&self, became: Reply) -> bool {
        !became.ended() && self.meant
    }
}

/// The caller's turns, in their order. `rest` is what an answer takes once the words are there, where the log does not say it.
pub(super) fn turns(then: &[Then], seen: &[Seen], rest: f64) -> Vec<Turn> {
    let now: Vec<&Ended> =
        seen.iter().filter_map(|seen| if let Seen::Turn(ended) = seen { Some(ended) } else { None }).collect();
    let one = |from: f64, to: f64| then.iter().find(|then| then.from_ms < to && then.to_ms > from);
    let mut before: Vec<End> = then.iter().map(end_then).collect();
    let mut after: Vec<End> = now.iter().map(|ended| end_now(ended, one(ended.from_ms, ended.to_ms), rest)).collect();
    for ends in [&mut before, &mut after] {
        went_on(ends);
    }
    for at in 1..after.len() {
        let (ended, next) = (after[at - 1].to_ms, after[at].from_ms);
        after[at - 1].cut_off |= then.iter().any(|then| then.from_ms < ended && then.to_ms > next);
    }
    beside(before, after)
}

/// How long an answer takes once the words are there: half of those of the log take less.
pub(super) fn usual_rest(then: &[Then]) -> f64 {
    let mut rests: Vec<f64> = then.iter().filter(|then| then.answered_ms.is_some()).map(|then| then.rest_ms).collect();
    crate::bench::percentile(&mut rests, 0.5).unwrap_or_default()
}

fn end_then(then: &Then) -> End {
    End {
        from_ms: then.from_ms,
        to_ms: then.to_ms,
        over_ms: then.waited_ms.map(|waited| then.to_ms + waited),
        waited_ms: then.waited_ms,
        answered_after_ms: then.total_ms,
        cut_off: false,
        heard: then.heard.clone(),
    }
}

fn end_now(ended: &Ended, then: Option<&Then>, rest: f64) -> End {
    let Ended { from_ms, to_ms, decided_ms, known_ms, heard } = ended;
    let rest = then.filter(|then| then.answered_ms.is_some()).map_or(rest, |then| then.rest_ms);
    End {
        from_ms: *from_ms,
        to_ms: *to_ms,
        over_ms: Some(*decided_ms),
        waited_ms: Some((decided_ms - to_ms).max(0.0)),
        answered_after_ms: Some((known_ms - to_ms).max(0.0) + rest),
        cut_off: false,
        heard: heard.clone(),
    }
}

/// Marks those after which the caller went on before they could have heard an answer.
fn went_on(ends: &mut [End]) {
    for at in 1..ends.len() {
        let next = ends[at].from_ms;
        let end = &mut ends[at - 1];
        let answered = end.answered_after_ms.unwrap_or(end.waited_ms.unwrap_or_default() + NEVER);
        end.cut_off |= next < end.to_ms + answered + REACTION;
    }
}

/// Turns that overlap stand beside each other.
fn beside(before: Vec<End>, after: Vec<End>) -> Vec<Turn> {
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    let mut turns = Vec::new();
    loop {
        let (then, now) = match (before.peek(), after.peek()) {
            (None, None) => return turns,
            (Some(then), Some(now)) if then.to_ms <= now.from_ms => (before.next(), None),
            (Some(then), Some(now)) if now.to_ms <= then.from_ms => (None, after.next()),
            _ => (before.next(), after.next()),
        };
        turns.push(Turn { then, now });
    }
}

/// What was said into replies, in its order.
pub(super) fn interruptions(logged: &Logged, seen: &[Seen], is_known: bool) -> Vec<Interruption> {
    let mut unmatched: Vec<&Into> = logged.into.iter().collect();
    let mut interruptions = Vec::new();
    for into in seen.iter().filter_map(|seen| if let Seen::Spoken(into) = seen { Some(into) } else { None }) {
        let decided = into.from_ms - BESIDE..into.to_ms.max(into.at_ms) + DECIDED;
        let then = unmatched.iter().position(|then| decided.contains(&then.at_ms)).map(|at| unmatched.remove(at));
        // Then nobody spoke: who goes on where a reply would only begin was cut off.
        if then.is_none() && !into.is_said {
            continue;
        }
        let now = if into.went_on.is_none() { Reply::Ended } else { Reply::WentOn };
        let (heard, meant) = meaning(logged, then, Some(into), seen);
        let became = then.map_or(Reply::Unnoticed, became);
        interruptions.push(Interruption { at_ms: into.at_ms, heard, meant, then: is_known.then_some(became), now });
    }
    for then in unmatched {
        let (heard, meant) = meaning(logged, Some(then), None, seen);
        let now = Reply::Unnoticed;
        interruptions.push(Interruption { at_ms: then.at_ms, heard, meant, then: Some(became(then)), now });
    }
    interruptions.sort_by(|one, other| one.at_ms.total_cmp(&other.at_ms));
    interruptions
}

fn became(then: &Into) -> Reply {
    if then.went_on.is_none() { Reply::Ended } else { Reply::WentOn }
}

/// The words that are known of it in the end, and whether who said them wanted to be heard.
fn meaning(logged: &Logged, then: Option<&Into>, now: Option<&SpokenInto>, seen: &[Seen]) -> (String, bool) {
    let is_asked = now.is_some_and(|now| now.is_asked);
    let means = |words: &str| words.chars().any(char::is_alphanumeric) && (is_asked || !is_back_channel(words));
    let heard_now = || {
        let now = now?;
        let turn = seen.iter().find_map(|seen| match seen {
            Seen::Turn(ended) if ended.to_ms >= now.from_ms && ended.from_ms <= now.at_ms => Some(ended.heard.clone()),
            _ => None,
        });
        turn.or_else(|| now.heard.clone())
    };
    match then {
        // What ended the reply is the next turn; where there is none, nothing was understood.
        Some(Into { at_ms, went_on: None, .. }) => {
            let is_it = |turn: &&Then| turn.from_ms <= at_ms + BESIDE && turn.to_ms >= at_ms - DECIDED;
            let heard = logged.turns.iter().rfind(is_it).map(|turn| turn.heard.clone()).unwrap_or_default();
            let meant = means(&heard);
            (heard, meant)
        }
        // A noise, and an echo of Milo's own words, are nobody's.
        Some(Into { went_on: Some(why), heard, .. }) if matches!(why.as_str(), "noise" | "echo") => {
            (heard.clone(), false)
        }
        Some(Into { heard, .. }) if !heard.trim().is_empty() => (heard.clone(), means(heard)),
        Some(_) | None => {
            let heard = heard_now().unwrap_or_default();
            let is_nobody = now.is_some_and(|now| matches!(now.went_on, Some("noise" | "echo")));
            let meant = !is_nobody && means(&heard);
            (heard, meant)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn then(from_ms: f64, to_ms: f64, answered_ms: Option<f64>, heard: &str) -> Then {
        let total_ms = answered_ms.map(|answered| answered - to_ms);
        Then { from_ms, to_ms, waited_ms: Some(250.0), answered_ms, total_ms, rest_ms: 100.0, heard: heard.into() }
    }

    fn now(from_ms: f64, to_ms: f64, waited: f64) -> Seen {
        let decided_ms = to_ms + waited;
        Seen::Turn(Ended { from_ms, to_ms, decided_ms, known_ms: decided_ms + 50.0, heard: "salama".into() })
    }

    /// Whether each was cut off, then and now.
    fn cut(turns: &[Turn]) -> Vec<(Option<bool>, Option<bool>)> {
        let is_cut = |end: &Option<End>| end.as_ref().map(|end| end.cut_off);
        turns.iter().map(|turn| (is_cut(&turn.then), is_cut(&turn.now))).collect()
    }

    #[test]
    fn who_went_on_before_an_answer_could_be_heard_was_cut_off_and_is_not_with_more_patience() {
        let logged = [
            then(1_000.0, 2_000.0, Some(2_500.0), "a"),
            then(2_700.0, 3_000.0, Some(3_500.0), "b"),
            then(9_000.0, 9_500.0, Some(10_000.0), "c"),
        ];
        let found = turns(&logged, &[now(1_000.0, 3_000.0, 900.0), now(9_000.0, 9_500.0, 900.0)], 0.0);
        assert_eq!(cut(&found), [(Some(true), Some(false)), (Some(false), None), (Some(false), Some(false))]);
        let first = &found[0];
        let (then, now) = (first.then.as_ref().expect("then"), first.now.as_ref().expect("now"));
        assert_eq!((then.over_ms, then.answered_after_ms), (Some(2_250.0), Some(500.0)));
        assert_eq!(
            (now.waited_ms, now.answered_after_ms),
            (Some(900.0), Some(1_050.0)),
            "50 for the words, 100 as logged"
        );
    }

    #[test]
    fn a_turn_of_the_log_that_ends_twice_now_is_cut_off_however_long_its_pause_was() {
        let logged = [then(1_000.0, 6_000.0, Some(6_500.0), "a")];
        let found = turns(&logged, &[now(1_000.0, 2_000.0, 100.0), now(5_000.0, 6_000.0, 100.0)], 0.0);
        assert_eq!(cut(&found), [(Some(false), Some(true)), (None, Some(false))]);
        // Where the log knows nothing, four seconds of silence are the end of a turn.
        let found = turns(&[], &[now(1_000.0, 2_000.0, 100.0), now(5_000.0, 6_000.0, 100.0)], 400.0);
        assert_eq!(cut(&found), [(None, Some(false)), (None, Some(false))]);
        // A turn that nobody noticed now stands alone.
        assert_eq!(cut(&turns(&logged, &[], 0.0)), [(Some(false), None)]);
    }

    fn into(at_ms: f64, went_on: Option<&str>, heard: &str) -> Into {
        Into { at_ms, went_on: went_on.map(str::to_owned), heard: heard.into() }
    }

    fn spoken(from_ms: f64, went_on: Option<&'static str>, heard: &str, is_asked: bool) -> Seen {
        let (to_ms, at_ms, heard) = (from_ms + 400.0, from_ms + 700.0, Some(heard.to_owned()));
        Seen::Spoken(SpokenInto { from_ms, to_ms, at_ms, went_on, heard, is_asked, is_said: true })
    }

    #[test]
    fn whether_an_interruption_was_meant_is_known_from_its_words() {
        let logged = Logged {
            turns: vec![then(10_000.0, 10_500.0, None, "tsia, firy ny vidiny"), then(30_000.0, 30_300.0, None, "eny")],
            into: vec![
                into(10_700.0, None, ""),
                into(20_700.0, Some("back-channel"), "eny"),
                into(30_700.0, None, ""),
                into(40_700.0, None, ""),
                into(60_700.0, Some("echo"), "salama tompoko"),
            ],
            ..Logged::default()
        };
        let seen = [
            spoken(10_000.0, None, "tsia", false),
            spoken(20_000.0, Some("back-channel"), "eny", false),
            spoken(30_000.0, Some("back-channel"), "eny", false),
            spoken(50_000.0, Some("no words"), "", false),
            spoken(55_000.0, None, "eny", true),
        ];
        let found = interruptions(&logged, &seen, true);
        let brief: Vec<_> = found.iter().map(|found| (found.meant, found.then, found.now)).collect();
        use Reply::{Ended, Unnoticed, WentOn};
        assert_eq!(
            brief,
            [
                (true, Some(Ended), Ended),
                (false, Some(WentOn), WentOn),
                // Milo stopped for an "eny" that no question had asked for, and does not now.
                (false, Some(Ended), WentOn),
                // Nothing was understood of what it stopped for.
                (false, Some(Ended), Unnoticed),
                (false, Some(Unnoticed), WentOn),
                (true, Some(Unnoticed), Ended),
                (false, Some(WentOn), Unnoticed),
            ]
        );
        let then_false = found.iter().filter(|found| found.then.is_some_and(|then| found.is_false(then))).count();
        let now_false = found.iter().filter(|found| found.is_false(found.now)).count();
        let missed = found.iter().filter(|found| found.then.is_some_and(|then| found.is_missed(then))).count();
        assert_eq!((then_false, now_false, missed), (2, 0, 1));
        assert!(interruptions(&Logged::default(), &seen, false).iter().all(|found| found.then.is_none()));
        // Milo would only have begun to speak.
        let Seen::Spoken(mut early) = spoken(70_000.0, None, "no misokatra", false) else { panic!("it is spoken") };
        early.is_said = false;
        assert_eq!(interruptions(&logged, &[Seen::Spoken(early)], true).len(), logged.into.len());
    }
}
