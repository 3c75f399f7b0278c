//! An answer that takes long.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

use super::{WORDS, asking, fallbacks, hours};
use crate::{
    hosted::server::{Conduct, Server},
    house::{MG_HOURS, answered, call, errand, events, folder, metric, newest_call, stop},
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
async fn after_a_late_answer_a_short_one_is_asked_for_until_two_have_come_in_time() {
    let server = Server::start(Conduct::says(WORDS)).await;
    server.then([Conduct::Says(WORDS, Duration::from_secs(3), Duration::ZERO), Conduct::says(WORDS)]);
    // One request a turn.
    let late = [
        ("MILO__CONVERSATION__EARLY_REPLIES", "false"),
        ("MILO__CONVERSATION__FILLER_MS", "2500"),
        ("MILO__ENGINES__LLM__FIRST_TOKEN_TIMEOUT_S", "4"),
    ];
    let milo = asking("brief", &server, "openai", &late).await;
    let questions = ["mg_hours.wav", "mg_price.wav", "mg_hours.wav", "mg_price.wav"];
    call(&errand(milo.udp("milo").expect("an address"), &questions)).await;
    let logged = newest_call(&milo).await;
    let asked = server.asked();
    let told: Vec<_> = asked.iter().map(|asked| &asked.body).collect();
    let said =
        |body: &Value| body["messages"].as_array().and_then(|all| all.last()).expect("a message")["content"].clone();
    let is_told =
        |body: &&Value| said(body).as_str().is_some_and(|said| said.starts_with("(Valio ") && said.contains(")\n"));
    assert_eq!(told.iter().map(is_told).collect::<Vec<_>>(), [false, true, true, false], "{told:?}");
    // Nobody has said that, and no later turn is told of it.
    assert_eq!(told[3].to_string().matches("(Valio amin'ny fehezanteny").count(), 0, "{}", told[3]);
    let turns = answered(&logged);
    assert!(turns.iter().all(|turn| turn["heard"].as_str().is_some_and(|heard| !heard.contains('('))), "{logged}");
    let quicker = events(&logged, "quicker");
    assert_eq!(
        (quicker.len(), &quicker[0]["way"], &quicker[0]["budget_ms"]),
        (2, &"shorter".into(), &2_500.0.into()),
        "{logged}"
    );
    assert!(quicker[0]["expected_ms"].as_f64().is_some_and(|expected| expected >= 2_900.0), "{logged}");
    for (way, count) in [("shorter", 2.0), ("filler", 1.0), ("local", 0.0)] {
        assert_eq!(
            metric(&milo, &format!("milo_turns_quicker_total{{way=\"{way}\"}}")).await,
            count,
            "{way}: {logged}"
        );
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_late_is_outrun_by_the_local_model_and_a_quick_one_is_not() {
    let late = Conduct::Says(WORDS, Duration::from_millis(3_900), Duration::ZERO);
    let server = Server::start(late).await;
    let hedged = [("MILO__ENGINES__LLM__HEDGE_MS", "300"), ("MILO__ENGINES__LLM__FIRST_TOKEN_TIMEOUT_S", "4.0")];
    let milo = asking("outrun", &server, "anthropic", &hedged).await;
    let (answer, took) = hours(&milo);
    assert_eq!(answer["mode"], "local", "{answer}");
    assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(MG_HOURS.1)), "{answer}");
    assert!(took < Duration::from_millis(3_800), "{took:?}");
    // Nobody listens to it any more.
    server.left(1).await;
    server.now(Conduct::says(WORDS));
    assert_eq!(hours(&milo).0["mode"], "cloud");
    assert_eq!((metric(&milo, &fallbacks("outrun")).await, server.left_so_far()), (1.0, 1));
    // One that fails at once is not waited for.
    server.now(Conduct::Refuses(500, ("content-type", "text/html"), "<html>"));
    assert_eq!(hours(&milo).0["mode"], "local");
    assert_eq!(metric(&milo, &fallbacks("broken")).await, 1.0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_words_come_before_an_answer_that_is_known_to_come_late_and_never_the_same_twice() {
    let plans = folder("openers");
    fs::create_dir_all(plans.join("personas")).expect("a folder");
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let persona = demo.expect("a file").replace("[mg]\n", "[mg]\nopeners = ['Eny àry.', 'Andeha hojerena.']\n");
    fs::write(plans.join("personas/quick.toml"), persona).expect("written");
    let plan = "[[plan]]\nname = 'milo'\nnumber = 'milo'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { converse = { persona = 'quick' } }]\n";
    fs::write(plans.join("plans.toml"), plan).expect("written");
    let path = plans.display().to_string();
    let server = Server::start(Conduct::says(WORDS)).await;
    let takes = |seconds| Conduct::Says(WORDS, Duration::from_secs(seconds), Duration::ZERO);
    server.then([takes(3), takes(1), takes(1), takes(0)]);
    let late = [
        ("MILO__DIALPLANS__PATH", path.as_str()),
        // One request a turn.
        ("MILO__CONVERSATION__EARLY_REPLIES", "false"),
        ("MILO__CONVERSATION__FILLER_MS", "2000"),
        ("MILO__ENGINES__LLM__FIRST_TOKEN_TIMEOUT_S", "4"),
    ];
    let milo = asking("openers", &server, "openai", &late).await;
    let questions = ["mg_hours.wav", "mg_price.wav", "mg_hours.wav", "mg_price.wav"];
    call(&errand(milo.udp("milo").expect("an address"), &questions)).await;
    let logged = newest_call(&milo).await;
    let openers: Vec<_> = events(&logged, "quicker").into_iter().filter(|event| event["way"] == "opener").collect();
    let said: Vec<_> = openers.iter().map(|event| event["said"].as_str().expect("words")).collect();
    // Of the first answer nothing was known, and the last had a word at once.
    assert_eq!(said, ["Eny àry.", "Andeha hojerena."], "{logged}");
    assert!(openers[0]["expected_ms"].as_f64().is_some_and(|expected| expected > 2_000.0), "{logged}");
    assert!(openers[0]["why"].as_str().is_some_and(|why| why.contains("at risk")), "{logged}");
    let turns = answered(&logged);
    assert!(turns.iter().all(|turn| turn["said_heard"] == WORDS), "they are no part of the answer: {logged}");
    assert_eq!(events(&logged, "filler").len(), 1, "an answer that comes after them needs no more: {logged}");
    assert_eq!(metric(&milo, "milo_turns_quicker_total{way=\"opener\"}").await, 2.0);
    stop(milo).await;
    fs::remove_dir_all(plans).ok();
}
