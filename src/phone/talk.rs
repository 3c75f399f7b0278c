//! What is said and heard in one call, turn by turn, and when.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    Errand, Report, Turn, Utterance,
    line::{Line, Stretch},
};
use crate::press::PressBy;

/// Nothing voiced for so long ends an utterance of the far side.
pub(super) const SETTLE: Duration = Duration::from_millis(900);
/// How long the far side may take to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one utterance may last.
const LONGEST: Duration = Duration::from_secs(60);
/// The far side was silenced when nothing voiced followed for so long.
const SILENCED: Duration = Duration::from_millis(700);

/// A call that is up.
pub(super) struct Talk {
    pub(super) line: Line,
    pub(super) answered: Instant,
    /// Which turn (none: the greeting) each stretch of voice belongs to.
    pub(super) stretches: Vec<(Option<usize>, Stretch)>,
    pub(super) report: Report,
}

pub(super) type Sound = (PathBuf, Vec<i16>);

impl Talk {
    pub(super) async fn script(&mut self, errand: &Errand, sounds: &[Sound]) {
        let answered = self.line.position();
        if errand.no_greeting {
            self.line.listen(Duration::from_millis(300)).await;
        } else if let Some(from) = self.line.voice(answered, None, PATIENCE).await {
            let stretch = self.line.silence(from, SETTLE, LONGEST).await;
            self.report.greeting = Some(self.utterance(stretch));
            self.stretches.push((None, stretch));
        }
        if let Some((keys, by)) = &errand.digits {
            self.press(keys, *by).await;
        }
        let interrupting = |index: usize| errand.interrupt.is_some() && index + 1 == sounds.len();
        for (index, sound) in sounds.iter().enumerate() {
            self.turn(sound, interrupting(index), interrupting(index + 1)).await;
            if self.line.closed().is_some() {
                return;
            }
        }
        if errand.wait {
            self.line.until_closed().await;
        }
    }

    /// Presses keys and hears the reply.
    async fn press(&mut self, keys: &str, by: PressBy) {
        let index = self.report.turns.len();
        let before = self.line.position();
        let pressed = self.line.press(keys, by).await;
        let (last, way) = pressed.map_or((None, None), |(last, way)| (Some(last), Some(way)));
        self.report.turns.push(Turn { digits: Some(keys.to_owned()), by: way, ..Turn::default() });
        let Some(last) = last else { return };
        let stopped_ms = milliseconds(last - self.answered);
        self.report.turns[index].stopped_ms = Some(stopped_ms);
        let Some(from) = self.line.voice(before, Some(last), PATIENCE).await else { return };
        let stretch = self.line.silence(from, SETTLE, LONGEST).await;
        let reply = self.utterance(stretch);
        self.report.turns[index].wire_ms = Some(reply.began_ms - stopped_ms);
        self.report.turns[index].reply = Some(reply);
        self.stretches.push((Some(index), stretch));
    }

    /// Plays one file and hears the reply: all of it, or one second when the next file `is_cut` into it.
    async fn turn(&mut self, (file, samples): &Sound, cuts_in: bool, is_cut: bool) {
        let index = self.report.turns.len();
        self.report.turns.push(Turn { file: file.clone(), ..Turn::default() });
        let before = self.line.position();
        let Some(uttered) = self.line.utter(samples).await else { return };
        let stopped_ms = milliseconds(uttered.last - self.answered);
        self.report.turns[index].stopped_ms = Some(stopped_ms);
        if cuts_in {
            let stopped = self.line.stops(before, SILENCED, LONGEST).await;
            self.report.turns[index].barge_stop_ms =
                stopped.map(|stop| milliseconds(stop.saturating_duration_since(uttered.first)));
        } else {
            self.report.turns[index].spoke_early = self.line.voice(before, None, Duration::ZERO).await.is_some();
        }
        let Some(from) = self.line.voice(before, Some(uttered.last), PATIENCE).await else { return };
        let stretch = if is_cut {
            self.line.listen(Duration::from_secs(1)).await;
            self.line.silence(from, Duration::ZERO, Duration::ZERO).await
        } else {
            self.line.silence(from, SETTLE, LONGEST).await
        };
        let reply = self.utterance(stretch);
        self.report.turns[index].wire_ms = Some(reply.began_ms - stopped_ms);
        self.report.turns[index].reply = Some(reply);
        self.stretches.push((Some(index), stretch));
    }

    fn utterance(&self, stretch: Stretch) -> Utterance {
        Utterance {
            began_ms: milliseconds(stretch.began.saturating_duration_since(self.answered)),
            lasted_ms: milliseconds(stretch.ended.saturating_duration_since(stretch.began)) + 20.0,
            understood: None,
        }
    }
}

/// To the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
