//! Who has the floor: answers that need no waiting, numbers that need time, and what is said into Milo's own words.

use crate::house::{
    MG_HOURS, answered, assert_turn, call, errand, events, metric, milo, newest_call, recording, stop, wrong_words,
};

/// What is said in `mg_number.wav`.
const NUMBER: &str = "ny laharako aotra telo efatra roa roa efatra efatra enina fito valo";

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_yes_is_answered_at_once() {
    let unjudged = [("MILO__ENGINES__TURN__ENABLED", "false"), ("MILO__CONVERSATION__END_OF_TURN_MS", "3000")];
    let milo = milo("yes", &unjudged).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_yes.wav"])).await;
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns[0]["heard"], "eny", "{logged}");
    let waited = turns[0]["stages"]["end_of_turn_ms"].as_f64().expect("a time");
    assert!(waited < 1_000.0, "{waited} ms after the likely end: {logged}");
    let paused: Vec<_> = events(&logged, "paused").into_iter().map(|pause| &pause["words_finished"]).collect();
    assert_eq!(paused, [true], "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_number_with_pauses_of_more_than_a_second_is_one_turn() {
    // Neither the sound nor the clock would wait so long.
    let unjudged = [("MILO__ENGINES__TURN__ENABLED", "false"), ("MILO__CONVERSATION__END_OF_TURN_MS", "400")];
    let milo = milo("number", &unjudged).await;
    let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_number.wav"])).await;
    assert!(report.turns.iter().all(|turn| !turn.spoke_early && turn.reply.is_some()), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns.len(), 1, "{logged}");
    let heard = turns[0]["heard"].as_str().unwrap_or_default();
    assert!(wrong_words(NUMBER, heard) <= 1, "{heard:?}: {logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_shows_that_they_listen_does_not_interrupt() {
    let milo = milo("listens", &[]).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    errand.interrupt = Some(recording("mg_yes.wav"));
    call(&errand).await;
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns.len(), 1, "nobody asked anything else: {logged}");
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_eq!((&turns[0]["interrupted"], &turns[0]["said_heard"]), (&false.into(), &turns[0]["said"]), "{logged}");
    let withdrawn: Vec<_> = events(&logged, "interruption_withdrawn").into_iter().map(|event| &event["why"]).collect();
    assert_eq!(withdrawn, ["back-channel"], "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_begun_before_the_turn_is_over_where_that_is_wished() {
    for (wished, kept) in [("true", 1.0), ("false", 0.0)] {
        // Long enough for a transcript on a busy machine.
        let variables = [
            ("MILO__CONVERSATION__EARLY_REPLIES", wished),
            ("MILO__ENGINES__TURN__ENABLED", "false"),
            ("MILO__CONVERSATION__END_OF_TURN_MS", "1400"),
        ];
        let milo = milo("drafts", &variables).await;
        call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
        let logged = newest_call(&milo).await;
        assert_turn(answered(&logged)[0], "mg", MG_HOURS.0, MG_HOURS.1);
        assert_eq!(metric(&milo, "milo_llm_drafts_total{outcome=\"kept\"}").await, kept, "{logged}");
        stop(milo).await;
    }
}
