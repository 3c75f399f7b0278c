//! When a turn is over: the caller's pauses, judged by their sound.

use super::by_length;
use crate::house::{MG_HOURS, answered, assert_turn, call, errand, events, get, milo, newest_call, stop};

#[tokio::test(flavor = "multi_thread")]
async fn a_sentence_with_a_pause_that_sounds_unfinished_is_one_turn() {
    // By the clock alone the pause of 900 ms would end it.
    let graph = by_length();
    let judged = [("MILO__ENGINES__TURN__PATH", graph.as_str()), ("MILO__CONVERSATION__END_OF_TURN_MS", "500")];
    let milo = milo("pause", &judged).await;
    let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_pause.wav"])).await;
    assert!(report.turns.iter().all(|turn| !turn.spoke_early && turn.reply.is_some()), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!((turns.len(), events(&logged, "went_on").len()), (1, 0), "{logged}");
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    let pauses: Vec<_> = events(&logged, "paused").into_iter().map(|pause| pause["went_on"] == true).collect();
    assert_eq!(pauses, [true, false], "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_sounds_finished_is_answered_before_its_time() {
    let graph = by_length();
    let judged = [("MILO__ENGINES__TURN__PATH", graph.as_str()), ("MILO__CONVERSATION__END_OF_TURN_MS", "3000")];
    let milo = milo("finished", &judged).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    let waited = turns[0]["stages"]["end_of_turn_ms"].as_f64().expect("a time");
    assert!(waited < 1_500.0, "{waited} ms after the likely end: {logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_model_judges_calls_and_can_be_switched_off() {
    for (enabled, judges) in [("true", 1), ("false", 0)] {
        let milo = milo("judge", &[("MILO__ENGINES__TURN__ENABLED", enabled)]).await;
        let health = get(&milo, "/api/v1/health");
        let models = health["models"].as_array().expect("models").iter();
        let shipped: Vec<_> = models.filter(|model| model["job"] == "turn").collect();
        assert_eq!(shipped.len(), judges, "{health}");
        let is_so = |model: &&serde_json::Value| model["demonstration"] == true && model["licence"] == "AGPL-3.0-only";
        assert!(shipped.iter().all(is_so), "{health}");
        call(&errand(milo.udp("milo").expect("an address"), &["mg_pause.wav"])).await;
        let logged = newest_call(&milo).await;
        assert!(!answered(&logged).is_empty(), "{logged}");
        let sounds = events(&logged, "paused").into_iter().filter_map(|pause| pause["sounds_finished"].as_f64());
        let sounds: Vec<_> = sounds.collect();
        assert!(sounds.iter().all(|finished| (0.0..=1.0).contains(finished)), "{logged}");
        match (judges, &sounds[..]) {
            (0, []) => {}
            (1, [pause, .., end]) => assert!(pause < end, "{logged}"),
            _ => panic!("{sounds:?}: {logged}"),
        }
        stop(milo).await;
    }
}
