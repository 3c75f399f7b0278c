//! When the caller speaks and when they have finished: voice probabilities and frames in, decisions out. No clock: speech is counted
//! in the voice detector's own windows of 32 ms, silence in frames of 20 ms. How long silence must last is what a likely end sounds
//! like ([`Endpointer::sounds`]), what its words say ([`Endpointer::reads`]), and how long this caller's pauses were before.
//! ```text
//!  silence  0 ── 200 ms ──── 240 ──────────── 400 ─────────────── 1,500 ms
//!                likely      words or sound   nothing is known,   words or sound
//!                end         are finished     or in doubt         go on
//! ```
//! The words count for more than the sound: a number that is dictated falls silent after each group as if it were the last.

use std::time::Duration;

use milo_media::{FRAME_MS, Frame};

use super::hush::Hush;

/// One window of the voice detector: 512 samples at 16 kHz.
pub(super) const WINDOW: Duration = Duration::from_millis(32);
/// One frame.
const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);

/// A window at or above this is speech when the caller was silent…
const START: f32 = 0.5;
/// …and one below this is silence when they spoke (hysteresis, as Silero's authors do it).
const STOP: f32 = 0.35;
/// So many windows below that show that an onset was none; fewer belong to a word ("e-ny").
const RETRACT: u32 = 3;
/// The detector says "silence" 60 to 130 ms after a voice has ended (measured on the recordings of the tests). Then it may have been
/// quiet for so many frames already, and no more of them are believed.
const EBB: u32 = 8;

// Where the shipped model costs no more time than 400 ms of silence would, and cuts the fewest short (`evaluate_turn.py` has the curve).
/// A pause that sounds so finished ends the turn at once…
const FINISHED: f32 = 0.7;
/// …and in one that sounds no more finished than this the caller is given time.
const GOES_ON: f32 = 0.2;

/// In doubt the silence is so much longer than the caller's pauses are, which are known by the newest ones above all.
const LONGER: f32 = 1.25;
const NEWEST: f32 = 0.25;
/// A turn that ended where it was taken to end says that the caller needs less time, by so much of it.
const FORGOTTEN: f32 = 0.1;

/// What the endpointer waits for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Speech so long may be the caller (64 ms): a voice that plays should pause.
    pub onset: Duration,
    /// Speech so long is the caller: a voice that plays is interrupted.
    pub confirm: Duration,
    /// Silence so long is a likely end: transcription may begin.
    pub likely: Duration,
    /// Silence so long ends a turn that sounds finished.
    pub sure: Duration,
    /// Silence so long ends a turn of which it is not known, or not sure.
    pub end: Duration,
    /// Silence so long ends a turn that sounds as if it went on.
    pub pause: Duration,
    /// A turn longer than this is cut and answered.
    pub longest: Duration,
}

/// What the newest frame decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Something that sounds like speech began.
    Onset,
    /// It went on: the caller speaks.
    Confirmed,
    /// It did not: a cough, a click, a breath.
    Retracted,
    /// The caller may have finished.
    LikelyEnd,
    /// They had not.
    Resumed,
    /// The caller has finished.
    End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Silence {
        run: u32,
    },
    Onset {
        speech: u32,
        gap: u32,
    },
    /// With the frames of silence since the voice fell, once the detector says that it has.
    Speech {
        silent: Option<u32>,
        /// After the likely end.
        likely: Option<Likely>,
    },
}

/// What is known of a likely end.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Likely {
    sounds_finished: Option<f32>,
    /// What the words say, where they say something.
    is_over: Option<bool>,
}

/// The turn's state machine; one a call.
#[derive(Debug)]
pub(crate) struct Endpointer {
    patience: Patience,
    state: State,
    hush: Hush,
    /// Frames since the onset.
    frames: u32,
    /// Frames of silence since the newest turn's voice fell.
    silence: u32,
    /// How long this caller's pauses are, in frames.
    usual: f32,
}

impl Patience {
    /// How much silence ends a turn of which this is known, said by a caller with such pauses (frames).
    fn silence_after(&self, likely: Likely, usual: f32) -> Duration {
        match (likely.is_over, likely.sounds_finished) {
            (Some(true), _) | (None, Some(FINISHED..)) => self.sure,
            (Some(false), _) | (None, Some(..=GOES_ON)) => self.pause,
            (None, _) => FRAME.mul_f32(usual * LONGER).clamp(self.end, self.pause),
        }
    }

    /// The pauses, in frames, of a caller of whom nothing is known.
    fn usual(&self) -> f32 {
        count(self.end, FRAME) as f32 / LONGER
    }
}

/// What is usual once another pause was heard.
fn after(usual: f32, pause: u32) -> f32 {
    usual + (pause as f32 - usual) * NEWEST
}

fn count(duration: Duration, of: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(of.as_millis())).unwrap_or(u32::MAX).max(1)
}

impl Endpointer {
    /// Begins in silence.
    pub(crate) fn new(patience: Patience) -> Self {
        let usual = patience.usual();
        Self { patience, state: State::Silence { run: 0 }, hush: Hush::default(), frames: 0, silence: 0, usual }
    }

    /// Takes the next frame, before [`Endpointer::push`].
    pub(crate) fn hear(&mut self, frame: &Frame) {
        self.hush.hear(frame);
        self.frames = self.frames.saturating_add(1);
        self.silence = self.silence.saturating_add(1);
    }

    /// Takes the probability of speech of the window that ended with the newest frame, if one did.
    pub(crate) fn push(&mut self, probability: Option<f32>) -> Option<Decision> {
        let patience = self.patience;
        probability.into_iter().for_each(|probability| self.hush.judge(probability));
        match (&mut self.state, probability) {
            (State::Silence { run }, Some(probability)) => {
                if probability < START {
                    *run = 0;
                    return None;
                }
                *run += 1;
                if *run < count(patience.onset, WINDOW) {
                    return None;
                }
                self.frames = count(WINDOW * *run, FRAME);
                self.state = State::Onset { speech: *run, gap: 0 };
                Some(Decision::Onset)
            }
            (State::Onset { speech, gap }, Some(probability)) => {
                if probability >= STOP {
                    *speech += 1;
                    *gap = 0;
                    if *speech < count(patience.confirm, WINDOW) {
                        return None;
                    }
                    self.state = State::Speech { silent: None, likely: None };
                    return Some(Decision::Confirmed);
                }
                *gap += 1;
                if *gap < RETRACT {
                    return None;
                }
                self.state = State::Silence { run: 0 };
                Some(Decision::Retracted)
            }
            (State::Silence { .. } | State::Onset { .. }, None) => None,
            (State::Speech { silent, likely }, probability) => {
                if self.frames >= count(patience.longest, FRAME) {
                    self.state = State::Silence { run: 0 };
                    // No more time is given.
                    self.silence = count(patience.pause, FRAME);
                    return Some(Decision::End);
                }
                if probability.is_some_and(|probability| probability >= STOP) {
                    let pause = silent.take();
                    likely.take()?;
                    self.usual = pause.map_or(self.usual, |frames| after(self.usual, frames));
                    return Some(Decision::Resumed);
                }
                *silent = match (*silent, probability) {
                    (None, None) => None,
                    (None, Some(_)) => Some(self.hush.frames().clamp(1, EBB)),
                    (Some(frames), _) => Some(frames + 1),
                };
                let silent = (*silent)?;
                let is_new = likely.is_none();
                let end = likely.map_or(patience.end, |likely| patience.silence_after(likely, self.usual));
                if silent >= count(end, FRAME) {
                    self.state = State::Silence { run: 0 };
                    self.silence = silent;
                    self.usual -= (self.usual - patience.usual()).max(0.0) * FORGOTTEN;
                    return Some(Decision::End);
                }
                if is_new && silent >= count(patience.likely, FRAME) {
                    *likely = Some(Likely::default());
                    return Some(Decision::LikelyEnd);
                }
                None
            }
        }
    }

    /// Takes how finished the turn sounded at its likely end, 0 to 1. Where there is none, or none any more, it says nothing.
    pub(super) fn sounds(&mut self, finished: f32) {
        if let State::Speech { likely: Some(likely), .. } = &mut self.state {
            likely.sounds_finished = Some(finished);
        }
    }

    /// The same of what the words of the turn say: that they are all, that more follows, or nothing.
    pub(super) fn reads(&mut self, is_over: Option<bool>) {
        if let State::Speech { likely: Some(likely), .. } = &mut self.state {
            likely.is_over = is_over;
        }
    }

    /// The caller goes on with a turn that had ended: that was a pause.
    pub(super) fn went_on(&mut self) {
        let onset = count(self.patience.confirm, FRAME);
        self.usual = after(self.usual, self.silence.saturating_sub(onset));
    }

    /// Frames since a voice was loud.
    pub(crate) fn hushed(&self) -> u32 {
        self.hush.frames()
    }

    /// How long the caller was silent when the newest turn ended, and has been since.
    pub(super) fn silence(&self) -> Duration {
        FRAME * self.silence
    }

    /// How long before the newest frame's end a voice was heard last, when the newest window holds one.
    pub(super) fn quiet(&self) -> Duration {
        FRAME * self.hush.frames().min(EBB)
    }

    /// Forgets what it heard: silence from now on.
    pub(super) fn reset(&mut self) {
        self.state = State::Silence { run: 0 };
    }

    /// Whether the caller is speaking now, as far as is known.
    pub(crate) fn speaking(&self) -> bool {
        !matches!(self.state, State::Silence { .. })
    }
}

#[cfg(test)]
mod tests;
