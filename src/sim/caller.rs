//! A simulated caller on the telephone: does what the scenario says turn by turn, and keeps when that was and what came back.

use std::time::{Duration, Instant};

use milo_media::BadLine;
use milo_signaling::Uri;
use tokio::time::timeout;

use super::scenario::{Road, Scenario, Turn};
use crate::{
    error::Error,
    phone::{Line, Phone, milliseconds},
    press::PressBy,
};

/// Nothing voiced for so long ends what the far side says.
const SETTLE: Duration = Duration::from_millis(900);
/// How long the far side may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may speak.
const LONGEST: Duration = Duration::from_secs(60);

/// A call that is over, as the telephone knows it.
pub(super) struct Called {
    pub(super) call_id: String,
    pub(super) setup_ms: f64,
    pub(super) duration_s: f64,
    /// Whether a voice was heard before the first turn.
    pub(super) greeted: bool,
    /// The turns that there was time for.
    pub(super) done: Vec<Done>,
    /// Both sides, 16 kHz.
    pub(super) sound: Vec<i16>,
}

/// A turn that the caller had. Times are milliseconds since the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) began_ms: f64,
    /// When its last voiced packet left, or the last key was up; none where nothing was said, or the call ended meanwhile.
    pub(super) stopped_ms: Option<f64>,
    /// When the first voiced packet of the answer came.
    pub(super) answered_ms: Option<f64>,
}

/// Where a voice is waited for: from this frame on, after this moment.
#[derive(Clone, Copy)]
struct Awaited {
    from: usize,
    since: Option<Instant>,
}

struct Caller<'a> {
    line: Line,
    answered: Instant,
    scenario: &'a Scenario,
    sounds: &'a [Vec<i16>],
    greeted: bool,
    done: Vec<Done>,
    /// Which sound began at which sample of what was heard.
    said: Vec<(usize, usize)>,
    /// What the packets meet now.
    road: Road,
}

/// Calls, and is the caller of this scenario; `sounds` has one for each turn.
///
/// # Errors
/// Nobody answers.
pub(super) async fn call(
    phone: &Phone,
    target: &Uri,
    scenario: &Scenario,
    sounds: &[Vec<i16>],
) -> Result<Called, Error> {
    let invited = now();
    let (line, mut held) = phone.up(target).await?;
    let answered = now();
    let call_id = held.call_id().to_owned();
    let (done, said, road) = (Vec::new(), Vec::new(), Road::default());
    let mut caller = Caller { line, answered, scenario, sounds, greeted: false, done, said, road };
    held.through(caller.walk()).await;
    let duration_s = (now() - answered).as_secs_f64();
    held.hang_up().await;
    Ok(Called {
        call_id,
        setup_ms: milliseconds(answered - invited),
        duration_s,
        greeted: caller.greeted,
        sound: caller.both(),
        done: caller.done,
    })
}

impl Caller<'_> {
    async fn walk(&mut self) {
        let (scenario, sounds) = (self.scenario, self.sounds);
        self.drive(scenario.road(None), 0);
        let mut awaited = scenario.greets.then_some(Awaited { from: 0, since: None });
        for (number, turn) in scenario.turns.iter().enumerate() {
            self.hear(awaited, turn.barge_in_ms.map(Duration::from_millis)).await;
            self.line.listen(Duration::from_millis(turn.pause_ms)).await;
            if turn.hang_up || self.line.closed().is_some() {
                return;
            }
            self.drive(scenario.road(Some(turn)), number as u64 + 1);
            awaited = self.act(turn, number, &sounds[number]).await;
        }
        self.hear(awaited, None).await;
        if let Some(patience) = scenario.patience() {
            timeout(patience, self.line.until_closed()).await.ok();
        }
    }

    /// The packets meet this from now on. Chance begins anew with each turn, so that the same ones of it are lost each time, but for the
    /// one in which it began.
    fn drive(&mut self, road: Road, number: u64) {
        if road.is_good() && self.road.is_good() {
            return;
        }
        self.road = road;
        let seed = self.scenario.seed.wrapping_add(number);
        self.line.impair(BadLine::new(road.loss / 100.0, road.burst, road.jitter_ms, seed));
    }

    /// Hears what the far side says: to its end, or for so long.
    async fn hear(&mut self, awaited: Option<Awaited>, into: Option<Duration>) {
        let Some(Awaited { from, since }) = awaited else { return };
        let Some(from) = self.line.voice(from, since, PATIENCE).await else { return };
        let began = self.line.silence(from, Duration::ZERO, Duration::ZERO).await.began;
        let answered_ms = milliseconds(began.saturating_duration_since(self.answered));
        match self.done.last_mut() {
            Some(done) => done.answered_ms = Some(answered_ms),
            None => self.greeted = true,
        }
        match into {
            Some(into) => self.line.listen(into.saturating_sub(now().saturating_duration_since(began))).await,
            None => {
                self.line.silence(from, SETTLE, LONGEST).await;
            }
        }
    }

    /// Does what a turn says. Returns from where on its answer is waited for, if one is.
    async fn act(&mut self, turn: &Turn, number: usize, sound: &[i16]) -> Option<Awaited> {
        let (from, answered) = (self.line.position(), self.answered);
        let since = |instant: Instant| milliseconds(instant.saturating_duration_since(answered));
        self.done.push(Done { began_ms: since(now()), stopped_ms: None, answered_ms: None });
        let stopped = match (&turn.press, turn.silence_s) {
            (Some(keys), _) => self.line.press(keys, PressBy::Agreed).await.map(|(last, _)| last),
            (None, Some(seconds)) => {
                self.line.listen(Duration::from_secs_f64(seconds)).await;
                return None;
            }
            (None, None) => {
                self.said.push((self.line.heard().len(), number));
                self.line.utter(sound).await.map(|uttered| uttered.last)
            }
        };
        if let Some(done) = self.done.last_mut() {
            done.stopped_ms = stopped.map(since);
        }
        stopped.map(|stopped| Awaited { from, since: Some(stopped) })
    }

    /// Both sides in one sound.
    fn both(&self) -> Vec<i16> {
        let mut sound = self.line.heard().to_vec();
        for (at, number) in &self.said {
            for (sample, said) in sound.iter_mut().skip(*at).zip(&self.sounds[*number]) {
                *sample = sample.saturating_add(*said);
            }
        }
        sound
    }
}

/// Time as the telephone measures it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
