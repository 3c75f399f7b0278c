//! When the caller speaks and when they have finished: voice probabilities in, decisions out. No clock: time is counted in
//! the voice detector's own windows of 32 ms.

use std::time::Duration;

/// One window of the voice detector: 512 samples at 16 kHz.
pub(super) const WINDOW: Duration = Duration::from_millis(32);

/// A window at or above this is speech when the caller was silent…
const START: f32 = 0.5;
/// …and one below this is silence when they spoke (hysteresis, as Silero's authors do it).
const STOP: f32 = 0.35;

/// What the endpointer waits for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Speech so long may be the caller (64 ms): a voice that plays should pause.
    pub onset: Duration,
    /// Speech so long is the caller: a voice that plays is interrupted.
    pub confirm: Duration,
    /// Silence so long is a likely end: transcription may begin.
    pub likely: Duration,
    /// Silence so long ends the turn.
    pub end: Duration,
    /// A turn longer than this is cut and answered.
    pub longest: Duration,
}

/// What the newest window decided.
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silence { run: u32 },
    Onset { speech: u32, gap: u32 },
    Speech { gap: u32, likely: bool },
}

/// The turn's state machine; one a call.
#[derive(Debug)]
pub(crate) struct Endpointer {
    patience: Patience,
    state: State,
    windows: u32,
}

fn windows(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(WINDOW.as_millis())).unwrap_or(u32::MAX).max(1)
}

impl Endpointer {
    /// Begins in silence.
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, state: State::Silence { run: 0 }, windows: 0 }
    }

    /// Takes the next window's probability of speech.
    pub(crate) fn push(&mut self, probability: f32) -> Option<Decision> {
        let patience = self.patience;
        self.windows = self.windows.saturating_add(1);
        match &mut self.state {
            State::Silence { run } => {
                if probability < START {
                    *run = 0;
                    return None;
                }
                *run += 1;
                if *run < windows(patience.onset) {
                    return None;
                }
                self.windows = *run;
                self.state = State::Onset { speech: *run, gap: 0 };
                Some(Decision::Onset)
            }
            State::Onset { speech, gap } => {
                if probability >= STOP {
                    *speech += 1;
                    *gap = 0;
                    if *speech < windows(patience.confirm) {
                        return None;
                    }
                    self.state = State::Speech { gap: 0, likely: false };
                    return Some(Decision::Confirmed);
                }
                *gap += 1;
                // A short gap belongs to a word ("e-ny"); a longer one shows that nobody spoke.
                if *gap < windows(patience.likely) / 2 {
                    return None;
                }
                self.state = State::Silence { run: 0 };
                Some(Decision::Retracted)
            }
            State::Speech { gap, likely } => {
                if self.windows >= windows(patience.longest) {
                    self.state = State::Silence { run: 0 };
                    return Some(Decision::End);
                }
                if probability >= STOP {
                    *gap = 0;
                    return std::mem::take(likely).then_some(Decision::Resumed);
                }
                *gap += 1;
                if *gap >= windows(patience.end) {
                    self.state = State::Silence { run: 0 };
                    return Some(Decision::End);
                }
                if !*likely && *gap >= windows(patience.likely) {
                    *likely = true;
                    return Some(Decision::LikelyEnd);
                }
                None
            }
        }
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
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        onset: Duration::from_millis(64),
        confirm: Duration::from_millis(160),
        likely: Duration::from_millis(192),
        end: Duration::from_millis(400),
        longest: Duration::from_secs(20),
    };

    fn run(probabilities: impl IntoIterator<Item = f32>) -> Vec<(usize, Decision)> {
        let mut endpointer = Endpointer::new(PATIENCE);
        probabilities.into_iter().enumerate().filter_map(|(at, p)| Some((at, endpointer.push(p)?))).collect()
    }

    fn speech(windows: usize) -> impl Iterator<Item = f32> {
        std::iter::repeat_n(0.9, windows)
    }

    fn silence(windows: usize) -> impl Iterator<Item = f32> {
        std::iter::repeat_n(0.02, windows)
    }

    #[test]
    fn a_turn_begins_is_confirmed_and_ends() {
        let decisions = run(silence(5).chain(speech(20)).chain(silence(20)));
        let expected = [(6, Decision::Onset), (9, Decision::Confirmed), (30, Decision::LikelyEnd), (37, Decision::End)];
        assert_eq!(decisions, expected);
    }

    #[test]
    fn a_cough_is_taken_back() {
        let decisions = run(silence(3).chain(speech(3)).chain(silence(20)));
        assert_eq!(decisions, [(4, Decision::Onset), (8, Decision::Retracted)]);
    }

    #[test]
    fn one_loud_window_is_nothing() {
        assert_eq!(run(silence(3).chain(speech(1)).chain(silence(20))), []);
    }

    #[test]
    fn a_pause_inside_a_sentence_does_not_end_it() {
        let decisions = run(speech(20).chain(silence(8)).chain(speech(20)).chain(silence(13)));
        let kinds: Vec<_> = decisions.into_iter().map(|(_, decision)| decision).collect();
        use Decision::*;
        assert_eq!(kinds, [Onset, Confirmed, LikelyEnd, Resumed, LikelyEnd, End]);
    }

    #[test]
    fn endless_speech_is_cut() {
        let decisions = run(speech(1_000));
        assert_eq!(decisions.iter().filter(|(_, decision)| *decision == Decision::End).count(), 1);
    }
}
