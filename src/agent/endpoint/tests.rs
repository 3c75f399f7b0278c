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

/// The same, where each likely end is judged by its sound so many frames later.
fn judged(
    heard: impl IntoIterator<Item = Heard>,
    late: u32,
    judgements: impl IntoIterator<Item = f32>,
) -> Vec<(u32, Decision)> {
    known(&mut Endpointer::new(PATIENCE), heard, late, judgements.into_iter().map(|finished| (Some(finished), None)))
}

/// The same, by its sound and its words.
fn known(
    endpointer: &mut Endpointer,
    heard: impl IntoIterator<Item = Heard>,
    late: u32,
    judgements: impl IntoIterator<Item = (Option<f32>, Option<bool>)>,
) -> Vec<(u32, Decision)> {
    let (mut decided, mut judgements, mut answer) = (Vec::new(), judgements.into_iter(), None);
    for (ms, (level, probability)) in (FRAME_MS..).step_by(FRAME_MS as usize).zip(heard) {
        endpointer.hear(&Frame::new([level; FRAME_SAMPLES]));
        let is_whole = ms / 32 > (ms - FRAME_MS) / 32;
        let decision = endpointer.push(is_whole.then_some(probability));
        if decision == Some(Decision::LikelyEnd) {
            answer = judgements.next().map(|judgement| (ms + late * FRAME_MS, judgement));
        }
        if let Some((_, (finished, is_over))) = answer.take_if(|(at, _)| *at == ms) {
            finished.into_iter().for_each(|finished| endpointer.sounds(finished));
            endpointer.reads(is_over);
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
fn the_words_count_for_more_than_the_sound() {
    let turn = || silence(8).chain(speech(32)).chain(silence(100));
    for (judgement, end) in [
        ((Some(0.0), Some(true)), 1_040),
        ((None, Some(true)), 1_040),
        ((Some(1.0), Some(false)), 2_300),
        ((None, Some(false)), 2_300),
        ((Some(1.0), None), 1_040),
        ((None, None), 1_200),
    ] {
        let decisions = known(&mut Endpointer::new(PATIENCE), turn(), 1, [judgement]);
        assert_eq!(ends(&decisions), [end], "{judgement:?}");
    }
}

#[test]
fn a_caller_with_long_pauses_is_given_time_and_less_again_when_they_need_none() {
    let mut endpointer = Endpointer::new(PATIENCE);
    let unsure = [(None, None); 64];
    let mut waited = |heard: Vec<Heard>, judgements: &[(Option<f32>, Option<bool>)]| {
        let before = heard.len() as u32 * FRAME_MS;
        let decisions = known(&mut endpointer, heard.into_iter().chain(silence(100)), 1, judgements.to_vec());
        ends(&decisions).last().copied().expect("an end") - before
    };
    assert_eq!(waited(speech(32).collect(), &unsure), 400);
    // A number in groups: 800 ms between them, of which the words say that they are no end.
    let groups = (0..4).flat_map(|_| speech(32).chain(silence(40))).chain(speech(32)).collect();
    let goes_on: Vec<_> = [(None, Some(false)); 4].into_iter().chain(unsure).collect();
    let patient = waited(groups, &goes_on);
    assert!((700..900).contains(&patient), "{patient} ms after pauses of 800");
    for _ in 0..40 {
        waited(speech(32).collect(), &unsure);
    }
    assert!(waited(speech(32).collect(), &unsure) <= 420);
}

#[test]
fn a_turn_that_goes_on_after_its_end_had_a_pause_in_it() {
    let wait = |goes_on: bool| {
        let mut endpointer = Endpointer::new(PATIENCE);
        known(&mut endpointer, speech(32).chain(silence(60)).chain(speech(8)), 1, []);
        if goes_on {
            endpointer.went_on();
        }
        ends(&known(&mut endpointer, speech(32).chain(silence(100)), 1, []))[0] - 640
    };
    assert_eq!(wait(false), 400);
    assert!((550..750).contains(&wait(true)), "{}", wait(true));
}

#[test]
fn endless_speech_is_cut() {
    let decisions = run(speech(1_500));
    let ends: Vec<_> = decisions.iter().filter(|(_, decision)| *decision == Decision::End).collect();
    assert!(matches!(ends[..], [(20_000..20_100, _)]), "{decisions:?}");
}
