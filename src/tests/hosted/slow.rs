//! An answer that takes long.

use std::time::Duration;

use super::{WORDS, asking};
use crate::{
    hosted::server::{Conduct, Server},
    house::{answered, call, errand, events, newest_call, stop},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_had_no_word_in_time_costs_the_next_turns_nothing_and_is_tried_again() {
    let server = Server::start(Conduct::Hangs).await;
    // One request a turn; and the telephone takes whatever it hears for the answer.
    let alone = [("MILO__CONVERSATION__EARLY_REPLIES", "false"), ("MILO__CONVERSATION__FILLER_MS", "3500")];
    let milo = asking("late-server", &server, "openai", &alone).await;
    let questions = ["mg_hours.wav", "mg_price.wav", "mg_hours.wav", "mg_price.wav"];
    let report = call(&errand(milo.udp("milo").expect("an address"), &questions)).await;
    assert!(report.turns.iter().all(|turn| turn.reply.is_some()), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let quicker = events(&logged, "quicker");
    assert_eq!((&quicker[0]["way"], &quicker[0]["turns"]), (&"local".into(), &2.into()), "{logged}");
    assert!(quicker[0]["waited_ms"].as_f64().is_some_and(|waited| waited > 1_900.0), "{logged}");
    let turns = answered(&logged);
    assert!(turns.iter().all(|turn| turn["mode"] == "local"), "{logged}");
    let waited = |turn: usize| turns[turn]["stages"]["llm_first_token_ms"].as_f64().expect("a time");
    // The second and the third have not waited for it, the fourth has.
    assert!(waited(0) > 1_900.0 && waited(3) > 1_900.0, "{logged}");
    assert_eq!((server.asked().len(), quicker.len()), (2, 2), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_long_for_an_answer_hears_that_it_comes() {
    let server = Server::start(Conduct::Says(WORDS, Duration::from_millis(1_700), Duration::ZERO)).await;
    let mut waits = Vec::new();
    for (filler_ms, fillers) in [("500", 1), ("20000", 0)] {
        let milo = asking("slow", &server, "openai", &[("MILO__CONVERSATION__FILLER_MS", filler_ms)]).await;
        let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
        let logged = newest_call(&milo).await;
        let told = events(&logged, "filler");
        assert_eq!(told.len(), fillers, "{logged}");
        assert!(told.iter().all(|told| told["for"] == "llm"), "{logged}");
        let turn = answered(&logged)[0];
        assert_eq!((&turn["mode"], &turn["said_heard"]), (&"cloud".into(), &turn["said"]), "{logged}");
        assert!(turn["said"].as_str().is_some_and(|said| !said.contains("Andraso")), "{logged}");
        waits.push(report.turns[0].wire_ms.expect("a reply"));
        stop(milo).await;
    }
    assert!(waits[0] + 500.0 < waits[1], "\"one moment, please\" is heard long before the answer: {waits:?}");
}
