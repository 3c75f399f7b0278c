//! How many calls there is room for, by what those that are up cost the engines. It is always known, and told; with `[limits] follow_engines`
//! no more are taken, and a turn is measured at the start.
//!
//! ```text
//!  a turn alone, at the start ─► what a call costs each engine ─┐
//!  the threads' use, calls up ─► the same, as it is now ────────┼─► calls that may be up ─► places that are withheld
//!  turns beyond their budget ──► no more than are up ───────────┘
//! ```
//! Each engine of this process is one thread: a call takes a share of its time. Where the shares of all calls come near to the whole, each
//! waits for the others, and turns are late. While they do not, some more may call than the shares say: engines that serve several side by
//! side do more the more there are. Servers are not measured; that they are too slow is known by the turns.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use milo_media::{FRAME_MS, Frame};
use milo_models::{
    engine::{EngineError, Language},
    language_model::{ChatMessage, ChatRequest, Role},
    queue::{Class, Work},
    synthesizer::SpeechOptions,
    transcriber::Listen,
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{Engines, Mode};
use crate::metrics::Metrics;

/// So busy an engine may be with calls: beyond it their waits grow faster than their work.
const BUSY: f64 = 0.7;
/// So often all is looked at.
const EVERY: Duration = Duration::from_secs(2);
/// So long a late turn is remembered.
const REMEMBERED: Duration = Duration::from_secs(30);
/// So many turns of those must be late, and such a share of them, that no more calls are taken.
const LATE: (u64, f64) = (2, 0.1);
/// Before a call is known, it is taken to have a turn so often.
const A_TURN: Duration = Duration::from_secs(8);
/// What is known of calls is half forgotten when so many seconds of them were looked at.
const KNOWN: f64 = 600.0;
/// A turn that takes longer tells nothing of many.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an engine has done for calls.
struct Cost {
    engine: &'static str,
    /// Seconds of its thread…
    busy: f64,
    /// …in so many seconds of calls.
    calls: f64,
}

/// What is known so far.
#[derive(Default)]
pub(crate) struct Capacity {
    costs: Vec<Cost>,
    /// When it was looked last.
    last: Option<Instant>,
    /// What each engine had done when a job of it had ended last, and the seconds of calls since then.
    since: Vec<(&'static str, Work, f64)>,
    /// Turns, and late ones of them, until then.
    turns: VecDeque<(Instant, u64, u64)>,
}

impl Capacity {
    /// One turn alone cost this.
    fn measured(&mut self, before: &[(&'static str, Work)], after: &[(&'static str, Work)]) {
        let calls = A_TURN.as_secs_f64();
        let cost =
            |(engine, work): &(&'static str, Work)| Cost { engine, busy: for_calls(before, engine, work), calls };
        self.costs = after.iter().map(cost).collect();
    }

    /// What was done until now, by so many calls, with so many turns since the start and late ones of them. How many calls may be up, of
    /// `most` at most.
    fn allows(
        &mut self,
        now: Instant,
        work: Vec<(&'static str, Work)>,
        calls: usize,
        (turns, late): (u64, u64),
        most: usize,
    ) -> usize {
        let passed = self.last.replace(now).map_or(0.0, |then| now.saturating_duration_since(then).as_secs_f64());
        let mut is_busy = false;
        for (engine, work) in work {
            let Some(since) = self.since.iter_mut().find(|(own, ..)| *own == engine) else {
                self.since.push((engine, work, 0.0));
                continue;
            };
            since.2 += passed * calls as f64;
            // What spans several looks is known when it has ended.
            if work.classes.iter().zip(&since.1.classes).all(|(now, then)| now.jobs == then.jobs) {
                continue;
            }
            let (before, seconds) = (vec![(engine, since.1.clone())], since.2);
            let busy = for_calls(&before, engine, &work);
            is_busy |= calls > 0 && busy * calls as f64 > BUSY * seconds;
            (since.1, since.2) = (work, 0.0);
            if seconds <= 0.0 {
                continue;
            }
            match self.costs.iter_mut().find(|cost| cost.engine == engine) {
                Some(cost) => cost.add(busy, seconds),
                None => self.costs.push(Cost { engine, busy, calls: seconds }),
            }
        }
        let by_use = self.costs.iter().filter(|cost| cost.busy > 0.0).map(|cost| BUSY * cost.calls / cost.busy);
        let by_use = by_use.fold(most as f64, f64::min) as usize;
        // Two who are served side by side cost less than twice as much as one: how much, only they tell.
        let by_use = if is_busy { by_use } else { by_use.max(2 * calls + 1).min(most) };
        while self.turns.front().is_some_and(|(then, ..)| now.saturating_duration_since(*then) > REMEMBERED) {
            self.turns.pop_front();
        }
        self.turns.push_back((now, turns, late));
        let is_late = self.turns.front().is_some_and(|(_, turns_then, late_then)| {
            let (turns, late) = (turns - turns_then, late - late_then);
            late >= LATE.0 && late as f64 >= LATE.1 * turns as f64
        });
        let allowed = if is_late { by_use.min(calls) } else { by_use };
        allowed.clamp(1, most.max(1))
    }
}

impl Cost {
    fn add(&mut self, busy: f64, calls: f64) {
        self.busy += busy;
        self.calls += calls;
        if self.calls > KNOWN {
            (self.busy, self.calls) = (self.busy / 2.0, self.calls / 2.0);
        }
    }
}

/// Seconds that an engine's thread worked since `before`, as far as it was for calls: by their share of the jobs, since others give way.
fn for_calls(before: &[(&'static str, Work)], engine: &str, work: &Work) -> f64 {
    let was = before.iter().find(|(own, _)| *own == engine).map(|(_, work)| work.clone()).unwrap_or_default();
    let jobs = |classes: &[Class]| {
        // Another model begins to count anew.
        let since =
            |class: &Class| work.classes[*class as usize].jobs.saturating_sub(was.classes[*class as usize].jobs);
        let done = classes.iter().map(since);
        done.sum::<u64>() as f64
    };
    let all = jobs(&Class::ALL);
    let share = if all > 0.0 { jobs(&[Class::Call, Class::Speculative]) / all } else { 0.0 };
    work.busy.saturating_sub(was.busy).as_secs_f64() * share
}

/// What becomes of what is known.
pub(crate) struct Places {
    /// Calls that may be up at most.
    pub(crate) limit: usize,
    /// How many of them the engines have room for, as it is known now.
    pub(crate) room: Arc<AtomicUsize>,
    /// Those that are withheld since there is no room for them.
    pub(crate) withheld: Arc<AtomicUsize>,
    /// Whether any are.
    pub(crate) are_withheld: bool,
}

/// Follows the calls that are up, and tells how many there is room for; where places are withheld for want of it, one turn is measured
/// first. Never ends.
pub(crate) async fn follow(
    engines: Engines,
    metrics: Arc<Metrics>,
    prompt: String,
    places: Places,
    calls: impl Fn() -> usize,
) {
    let Places { limit, room, withheld, are_withheld } = places;
    let mut capacity = Capacity::default();
    // Servers cost this process nothing, and are asked for nothing that nobody has said.
    let within = engines.in_mode(Some(Mode::Local)).into_owned();
    if are_withheld {
        measure(&mut capacity, &within, prompt).await;
    }
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = clock.tick().await;
        let allowed = capacity.allows(now, within.work(), calls(), metrics.turns_so_far(), limit);
        if room.swap(allowed, Ordering::AcqRel) != allowed {
            tracing::debug!(calls = allowed, "the engines have room for so many calls");
        }
        if are_withheld {
            withheld.store(limit.saturating_sub(allowed), Ordering::Release);
        }
    }
}

/// What one turn costs, where that can be known.
async fn measure(capacity: &mut Capacity, engines: &Engines, prompt: String) {
    let before = engines.work();
    match timeout(PATIENCE, turn(engines, prompt)).await {
        Ok(Ok(())) => capacity.measured(&before, &engines.work()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "what a turn costs could not be measured; it is known when there are calls")
        }
        Err(_) => tracing::warn!(
            "a turn took longer than {} s; what it costs is known when there are calls",
            PATIENCE.as_secs()
        ),
    }
}

/// A turn as a call has it: its sound, its words, an answer, and the first clause of that said.
async fn turn(engines: &Engines, prompt: String) -> Result<(), EngineError> {
    let mut activity = engines.activity.stream();
    for _ in 0..A_TURN.as_millis() / u128::from(FRAME_MS) {
        activity.push(&Frame::SILENCE).await?;
    }
    let question = said(engines, "Manao ahoana tompoko, amin'ny ora firy no misokatra ny birao?").await?;
    if let Some(judge) = &engines.end_of_turn {
        judge.judge(question.clone()).await?;
    }
    let heard = engines.transcriber.transcribe(question, Listen::to(Some(Language::Mg))).await?;
    let messages =
        vec![ChatMessage::new(Role::System, prompt), ChatMessage::new(Role::User, format!("{}.", heard.text))];
    let request = ChatRequest::new(messages, 64, Class::Call);
    let (answer, _) = engines.mind.reply(request, Mode::Local).await?.whole(1_000).await?;
    if answer.chars().any(char::is_alphanumeric) {
        said(engines, &answer.chars().take(200).collect::<String>()).await?;
    }
    Ok(())
}

async fn said(engines: &Engines, words: &str) -> Result<Vec<i16>, EngineError> {
    let mut speech = engines.voice.speak(words, Language::Mg, SpeechOptions::default())?;
    let mut samples = Vec::new();
    while let Some(piece) = speech.next().await {
        samples.extend(piece?);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 50;

    /// An ear that worked so long, and has heard so many of calls and of batches.
    fn ears(busy: f64, calls: u64, batches: u64) -> Vec<(&'static str, Work)> {
        let mut work = Work { busy: Duration::from_secs_f64(busy), ..Work::default() };
        work.classes[Class::Call as usize].jobs = calls;
        work.classes[Class::Batch as usize].jobs = batches;
        vec![("stt", work)]
    }

    #[tokio::test]
    async fn as_many_calls_are_taken_as_the_busiest_engine_has_time_for() {
        let (start, mut capacity) = (Instant::now(), Capacity::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(capacity.allows(at(0), ears(0.0, 0, 0), 0, (0, 0), MOST), MOST, "nothing is known");
        capacity.measured(&ears(0.0, 0, 0), &ears(0.39, 1, 0));
        assert_eq!(capacity.allows(at(0), ears(0.39, 1, 0), 0, (0, 0), MOST), 14, "a twentieth of the time each");
        // Ten calls take four times as much as was measured.
        let mut allowed = MOST;
        for second in 1..=60 {
            allowed = capacity.allows(at(second), ears(0.39 + 2.0 * second as f64, 1 + second, 0), 10, (0, 0), MOST);
        }
        assert_eq!(allowed, 3);
        // What else is done gives way, and costs no call.
        let mut beside = Capacity::default();
        for second in 0..=60 {
            let work = ears(second as f64, second, 8 * second);
            allowed = beside.allows(at(second), work, 1, (0, 0), MOST);
        }
        assert_eq!(allowed, 6, "a ninth of the time is the call's");
    }

    #[tokio::test]
    async fn an_engine_that_may_serve_several_side_by_side_is_tried_with_more_and_what_it_is_at_over_two_looks_counts()
    {
        let (start, mut capacity) = (Instant::now(), Capacity::default());
        let mut allowed = Vec::new();
        // One call has two fifths of its time, and two of them no more; each job spans two looks.
        for second in 0..=40_u64 {
            let calls = if second <= 20 { 1 } else { 2 };
            let at = start + Duration::from_secs(second);
            allowed.push(capacity.allows(at, ears(0.4 * second as f64, second / 2, 0), calls, (0, 0), MOST));
        }
        assert_eq!(allowed[20], 3, "alone it would be one, by its share");
        assert_eq!(allowed[40], 5);
        // Whose time is nearly over takes nobody beside those who are up.
        let mut full = Capacity::default();
        for second in 0..=20 {
            let at = start + Duration::from_secs(second);
            allowed.push(full.allows(at, ears(0.9 * second as f64, second, 0), 3, (0, 0), MOST));
        }
        assert_eq!(allowed.last(), Some(&2));
    }

    #[tokio::test]
    async fn while_turns_are_late_no_call_is_taken_beside_those_that_are_up() {
        let (start, mut capacity) = (Instant::now(), Capacity::default());
        let mut allows = |seconds, calls, turns| {
            capacity.allows(start + Duration::from_secs(seconds), ears(0.0, 0, 0), calls, turns, MOST)
        };
        assert_eq!(allows(0, 4, (100, 7)), MOST, "what was before is not looked at");
        assert_eq!(allows(2, 4, (110, 8)), MOST, "one is nobody's trouble");
        assert_eq!(allows(4, 4, (112, 9)), 4);
        assert_eq!(allows(6, 0, (112, 9)), 1, "whoever comes when nobody is there is taken");
        assert_eq!(allows(20, 4, (200, 9)), MOST, "two of a hundred are few");
        assert_eq!(allows(60, 4, (210, 9)), MOST);
    }
}
