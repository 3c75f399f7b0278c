//! When the caller speaks and when they have finished: voice probabilities and frames in, decisions out. No clock: speech is counted
//! in the voice detector's own windows of 32 ms, silence in frames of 20 ms. How long silence must last is what a likely end sounds
//! like ([`Endpointer::expect`]).
//! ```text
//!  silence  0 ── 200 ms ──── 240 ──────── 400 ──────────────── 1,500 ms
//!                likely      it sounded   nothing is    it sounded as if
//!                end: how    finished     known, or     the caller goes on
//!                does it                  in doubt
//!                sound?
//! ```

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        /// After the likely end: the frames of silence that end the turn.
        likely: Option<u32>,
    },
}

/// The turn's state machine; one a call.
#[derive(Debug)]
pub(crate) struct Endpointer {
    patience: Patience,
    state: State,
    hush: Hush,
    /// Frames since the onset.
    frames: u32,
}

fn count(duration: Duration, of: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(of.as_millis())).unwrap_or(u32::MAX).max(1)
}

impl Endpointer {
    /// Begins in silence.
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, state: State::Silence { run: 0 }, hush: Hush::default(), frames: 0 }
    }

    /// Takes the next frame, before [`Endpointer::push`].
    pub(crate) fn hear(&mut self, frame: &Frame) {
        self.hush.hear(frame);
        self.frames = self.frames.saturating_add(1);
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
                    return Some(Decision::End);
                }
                if probability.is_some_and(|probability| probability >= STOP) {
                    *silent = None;
                    return likely.take().map(|_| Decision::Resumed);
                }
                *silent = match (*silent, probability) {
                    (None, None) => None,
                    (None, Some(_)) => Some(self.hush.frames().clamp(1, EBB)),
                    (Some(frames), _) => Some(frames + 1),
                };
                let silent = (*silent)?;
                let end = count(patience.end, FRAME);
                if silent >= likely.unwrap_or(end) {
                    self.state = State::Silence { run: 0 };
                    return Some(Decision::End);
                }
                if likely.is_none() && silent >= count(patience.likely, FRAME) {
                    *likely = Some(end);
                    return Some(Decision::LikelyEnd);
                }
                None
            }
        }
    }

    /// Takes how finished the turn sounded at its likely end, 0 to 1. It says how long this silence must last; where there is none,
    /// or none any more, it says nothing.
    pub(super) fn expect(&mut self, finished: f32) {
        let Patience { sure, end, pause, .. } = self.patience;
        if let State::Speech { likely: Some(frames), .. } = &mut self.state {
            let silence = match finished {
                FINISHED.. => sure,
                ..=GOES_ON => pause,
                _ => end,
            };
            *frames = count(silence, FRAME);
        }
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
mod tests {
    use milo_media::FRAME_SAMPLES;

    use super::*;

    const PATIENCE: Patience = Patience {
        onset: Duration::from_millis(64),
        confirm: Duration::from_millis(160),
        likely: Duration::from_millis(200),
        sure: Duration::from_millis(240),
        end: Duration::from_millis(400),
        pause: Duration::from_millis(1_500),
        longest: Duration::from_secs(20),
    };

    /// 20 ms: how loud, and what the detector will say of it.
    type Heard = (i16, f32);

    /// What is decided, and the milliseconds that were heard until then. A window's probability is that of its last frame.
    fn run(heard: impl IntoIterator<Item = Heard>) -> Vec<(u32, Decision)> {
        judged(heard, 0, [])
    }

    /// The same, where each likely end is judged so many frames later.
    fn judged(
        heard: impl IntoIterator<Item = Heard>,
        late: u32,
        judgements: impl IntoIterator<Item = f32>,
    ) -> Vec<(u32, Decision)> {
        let mut endpointer = Endpointer::new(PATIENCE);
        let (mut decided, mut judgements, mut answer) = (Vec::new(), judgements.into_iter(), None);
        for (ms, (level, probability)) in (FRAME_MS..).step_by(FRAME_MS as usize).zip(heard) {
            endpointer.hear(&Frame::new([level; FRAME_SAMPLES]));
            let is_whole = ms / 32 > (ms - FRAME_MS) / 32;
            let decision = endpointer.push(is_whole.then_some(probability));
            if decision == Some(Decision::LikelyEnd) {
                answer = judgements.next().map(|finished| (ms + late * FRAME_MS, finished));
            }
            if let Some((_, finished)) = answer.take_if(|(at, _)| *at == ms) {
                endpointer.expect(finished);
            }
            decided.extend(decision.map(|decision| (ms, decision)));
        }
        decided
    }

    fn speech(frames: usize) -> impl Iterator<Item = Heard> {
        std::iter::repeat_n((3_000, 0.9), frames)
    }

    fn silence(frames: usize) -> impl Iterator<Item = Heard> {
        std::iter::repeat_n((0, 0.02), frames)
    }

    /// A voice has ended, and the detector does not know yet.
    fn ebb(frames: usize) -> impl Iterator<Item = Heard> {
        std::iter::repeat_n((0, 0.9), frames)
    }

    /// As silence, in a noisy street.
    fn street(frames: usize) -> impl Iterator<Item = Heard> {
        std::iter::repeat_n((1_000, 0.02), frames)
    }

    #[test]
    fn a_turn_begins_is_confirmed_and_ends_so_long_after_the_voice_as_was_asked_for() {
        let decisions = run(silence(8).chain(speech(32)).chain(silence(40)));
        let expected =
            [(240, Decision::Onset), (320, Decision::Confirmed), (1_000, Decision::LikelyEnd), (1_200, Decision::End)];
        assert_eq!(decisions, expected);
        let ebbing = run(silence(8).chain(speech(32)).chain(ebb(5)).chain(silence(40)));
        assert_eq!(ebbing, expected, "the voice ended at 800 ms, whenever the detector noticed");
    }

    #[test]
    fn where_the_level_says_nothing_the_detector_is_believed() {
        let decisions = run(silence(8).chain(speech(32)).chain(street(40)));
        assert_eq!(decisions.last(), Some(&(1_220, Decision::End)), "a window after the voice");
        let ebbing = speech(32).chain((0..5).map(|_| (1_000, 0.9))).chain(street(40));
        assert_eq!(run(silence(8).chain(ebbing)).last(), Some(&(1_320, Decision::End)));
        let late = run(silence(8).chain(speech(32)).chain(ebb(30)).chain(silence(40)));
        assert_eq!(late.last(), Some(&(1_660, Decision::End)), "so long it does not ebb: 160 ms are believed");
    }

    #[test]
    fn a_cough_is_taken_back() {
        let decisions = run(silence(8).chain(speech(5)).chain(silence(40)));
        let kinds: Vec<_> = decisions.into_iter().map(|(_, decision)| decision).collect();
        assert_eq!(kinds, [Decision::Onset, Decision::Retracted]);
    }

    #[test]
    fn one_loud_window_is_nothing() {
        assert_eq!(run(silence(8).chain(speech(2)).chain(silence(20))), []);
    }

    #[test]
    fn a_pause_inside_a_sentence_does_not_end_it() {
        let decisions = run(speech(32).chain(silence(14)).chain(speech(32)).chain(silence(30)));
        let kinds: Vec<_> = decisions.into_iter().map(|(_, decision)| decision).collect();
        use Decision::*;
        assert_eq!(kinds, [Onset, Confirmed, LikelyEnd, Resumed, LikelyEnd, End]);
    }

    fn ends(decisions: &[(u32, Decision)]) -> Vec<u32> {
        decisions.iter().filter(|(_, decision)| *decision == Decision::End).map(|(ms, _)| *ms).collect()
    }

    #[test]
    fn how_a_pause_sounds_says_how_long_it_may_last() {
        let turn = || silence(8).chain(speech(32)).chain(silence(100));
        for (finished, end) in
            [(1.0, 1_040), (FINISHED, 1_040), (FINISHED.midpoint(GOES_ON), 1_200), (GOES_ON, 2_300), (0.0, 2_300)]
        {
            assert_eq!(ends(&judged(turn(), 1, [finished])), [end], "sounds {finished} finished");
        }
        assert_eq!(ends(&judged(turn(), 1, [f32::NAN])), [1_200], "no number is no knowledge");
    }

    #[test]
    fn a_judgement_that_comes_late_changes_what_is_left_and_one_after_the_end_nothing() {
        let turn = || silence(8).chain(speech(32)).chain(silence(100));
        assert_eq!(ends(&judged(turn(), 5, [1.0])), [1_120], "at the next frame");
        assert_eq!(ends(&judged(turn(), 5, [0.0])), [2_300]);
        assert_eq!(ends(&judged(turn(), 10, [0.0])), [1_200], "the clock was first");
        let two = || turn().chain(speech(32)).chain(silence(100));
        let next = ends(&judged(two(), 40, [0.0]));
        assert_eq!(next.len(), 2, "{next:?}");
        assert_eq!(next, ends(&run(two())), "what was late for one turn is nothing to the next");
    }

    #[test]
    fn each_pause_of_a_turn_is_judged_anew() {
        let dictated =
            || speech(32).chain(silence(60)).chain(speech(32)).chain(silence(60)).chain(speech(32)).chain(silence(100));
        let decisions = judged(dictated(), 1, [0.0, 0.1, 1.0]);
        let kinds: Vec<_> = decisions.iter().map(|(_, decision)| *decision).collect();
        use Decision::*;
        assert_eq!(kinds, [Onset, Confirmed, LikelyEnd, Resumed, LikelyEnd, Resumed, LikelyEnd, End], "1.2 s of pause");
        let decisions = judged(speech(32).chain(silence(14)).chain(speech(32)).chain(silence(100)), 1, [0.0]);
        let spoken = 32 * 2 + 14;
        assert_eq!(ends(&decisions), [spoken * 20 + 400], "what is known of one pause says nothing of the next");
    }

    #[test]
    fn endless_speech_is_cut() {
        let decisions = run(speech(1_500));
        let ends: Vec<_> = decisions.iter().filter(|(_, decision)| *decision == Decision::End).collect();
        assert!(matches!(ends[..], [(20_000..20_100, _)]), "{decisions:?}");
    }
}
