//! With the ears that ship, on the recordings of the scenarios. What depends on how quick they are is looked at in `src/tests/alone/`.

use std::path::Path;

use milo_media::{FRAME_SAMPLES, wav};

use super::*;
use crate::config::Config;

fn patience(end_ms: u64) -> Patience {
    let end = Duration::from_millis(end_ms);
    Patience {
        onset: Duration::from_millis(64),
        confirm: Duration::from_millis(160),
        likely: Duration::from_millis(200),
        // Whatever the words say.
        sure: end,
        end,
        pause: end,
        longest: Duration::from_secs(20),
    }
}

/// Ears that judge no sound: silence alone ends a turn.
fn ears(folder: &Path) -> Listening {
    let mut config = Config { data_dir: folder.to_owned(), ..Config::default() };
    config.engines.turn.enabled = false;
    Listening::load(&config).expect("what ships")
}

/// A recording behind so much silence, and three seconds of it after.
fn said(name: &str, after: Duration) -> Vec<i16> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/recordings").join(name);
    let sound = wav::read(&file).expect("a committed recording");
    let silence = |seconds: f64| vec![0; (seconds * f64::from(SAMPLE_RATE)) as usize];
    [silence(after.as_secs_f64()), sound, silence(3.0)].concat()
}

async fn heard(ears: &Listening, caller: &[i16], milo: &[i16], patience: Patience) -> Vec<Seen> {
    let replies = Replies::of(milo, &[]);
    let mut rehearsal = Rehearsal::new(ears, Cleaning::default(), patience);
    let mut milo = Frame::cut(milo);
    for frame in Frame::cut(caller) {
        let sent = milo.next().unwrap_or(Frame::SILENCE);
        rehearsal.hear((&frame, &sent), true, &replies).await.expect("the engines work");
    }
    rehearsal.seen()
}

#[tokio::test]
async fn a_turn_ends_when_its_caller_has_been_silent_for_so_long() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ears = ears(folder.path());
    // In the middle of it nothing is heard for 900 ms.
    let caller = said("mg_pause.wav", Duration::from_millis(500));
    for end_ms in [1_300, 1_900] {
        let seen = heard(&ears, &caller, &[], patience(end_ms)).await;
        let [Seen::Turn(turn)] = &seen[..] else { panic!("one turn: {seen:?}") };
        assert!((300.0..1_500.0).contains(&turn.from_ms), "{turn:?}");
        let waited = turn.decided_ms - turn.to_ms;
        assert!((waited - end_ms as f64).abs() < 250.0, "{waited} ms: {turn:?}");
        assert!(turn.known_ms >= turn.decided_ms && !turn.heard.is_empty(), "{turn:?}");
    }
    // Who is on hold says nothing to Milo.
    let mut rehearsal = Rehearsal::new(&ears, Cleaning::default(), patience(1_300));
    for frame in Frame::cut(&caller) {
        rehearsal.hear((&frame, &Frame::SILENCE), false, &Replies::default()).await.expect("the engines work");
    }
    assert!(rehearsal.seen().is_empty());
}

#[tokio::test]
async fn what_is_said_into_a_reply_ends_it_or_does_not_by_its_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ears = ears(folder.path());
    let milo: Vec<i16> = (0..30 * 50 * FRAME_SAMPLES).map(|at| if at % 16 < 8 { 4_000 } else { -4_000 }).collect();
    let caller = said("mg_yes.wav", Duration::from_secs(2));
    let seen = heard(&ears, &caller, &milo, patience(400)).await;
    let [Seen::Spoken(yes)] = &seen[..] else { panic!("it was no turn: {seen:?}") };
    assert_eq!((yes.went_on, yes.is_asked, yes.is_said), (Some("back-channel"), false, true), "{yes:?}");

    let caller = said("mg_price.wav", Duration::from_secs(2));
    let seen = heard(&ears, &caller, &milo, patience(400)).await;
    let [Seen::Spoken(spoken), Seen::Turn(turn)] = &seen[..] else { panic!("an interruption: {seen:?}") };
    assert_eq!(spoken.went_on, None, "{spoken:?}");
    assert!(turn.heard.contains("tapakila"), "{turn:?}");
}
