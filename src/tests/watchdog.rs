//! Never silence: whatever stands still in a call, or ends it, the caller hears of it, and what they have said is not lost.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{spawn, time::sleep};

use crate::{
    failing_engines::{APOLOGY, FAILED, Stuck, assert_answered, damaged, events, of_kind, said},
    house::{MG_PRICE, MILO, answered, call, errand, folder, get, milo, newest_call, send, stop},
};

/// Whoever only waits is left soon.
const RHYTHM: [(&str, &str); 2] =
    [("MILO__CONVERSATION__SILENCE_PROMPT_S", "4"), ("MILO__CONVERSATION__SILENCE_HANGUP_S", "8")];

/// A call that asks for the price once, and then waits for whatever comes.
fn asks_once(milo: &Running) -> milo::phone::Errand {
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_price.wav"]);
    errand.wait = true;
    errand
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_a_stuck_model_has_lost_is_answered_when_it_is_back_and_not_asked_for_again() {
    let milo = milo("replayed", &RHYTHM).await;
    let Some(stuck) = Stuck::engine(&milo, "language model") else { return stop(milo).await };
    let errand = asks_once(&milo);
    let calling = spawn(async move { call(&errand).await });
    events(&milo, "engine_failed", 1).await;
    stuck.release();
    calling.await.expect("a report");
    let logged = newest_call(&milo).await;
    assert_eq!(of_kind(&logged, "filler")[0]["for"], "llm", "one moment, please: {logged}");
    assert_eq!((said(&logged, APOLOGY).len(), of_kind(&logged, "replayed").len()), (1, 1), "{logged}");
    assert_eq!(of_kind(&logged, "replayed")[0]["stage"], "llm", "{logged}");
    let answered = answered(&logged);
    assert_eq!(answered.len(), 1, "{logged}");
    assert_answered(answered[0], MG_PRICE);
    let over = of_kind(&logged, "over_budget");
    assert_eq!((&over[0]["most"], &over[0]["budget_ms"]), (&json!("llm"), &json!(1_500.0)), "{logged}");
    assert_eq!(logged["end_reason"], "the caller was silent", "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_their_words_to_be_understood_is_not_left_in_silence() {
    let milo = milo("not-forgotten", &[&RHYTHM[..], &[("MILO__CONVERSATION__FILLER_MS", "300")]].concat()).await;
    let Some(stuck) = Stuck::engine(&milo, "transcriber") else { return stop(milo).await };
    let errand = asks_once(&milo);
    let calling = spawn(async move { call(&errand).await });
    // At once, and five seconds after that; then nothing has come for too long.
    let stood = events(&milo, "stuck", 1).await;
    events(&milo, "engine_failed", 1).await;
    stuck.release();
    calling.await.expect("a report");
    assert_eq!((&stood[0]["stage"], &stood[0]["times"]), (&json!("stt"), &json!(2)), "{stood:?}");
    let logged = newest_call(&milo).await;
    assert_eq!(of_kind(&logged, "filler")[0]["for"], "stt", "{logged}");
    assert_eq!(said(&logged, APOLOGY).len(), 1, "{logged}");
    let answered = answered(&logged);
    assert_eq!(answered.len(), 1, "{logged}");
    assert_answered(answered[0], MG_PRICE);
    assert!(
        !answered[0]["said"].as_str().is_some_and(|said| said.contains("Andraso")),
        "no part of the answer: {logged}"
    );
    stop(milo).await;
}

/// A Milo without ears, whose number `milo` leads to these plans.
async fn deaf(name: &str, plans: &str) -> (Running, PathBuf) {
    let place = folder(&format!("{name}-files"));
    let graph = damaged(&place, "silero/silero_vad_op18_ifless.onnx", Some("model_8k.decoder.rnn.weight_hh"), 4_096);
    fs::create_dir_all(place.join("plans/personas")).expect("a folder");
    let persona = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml");
    fs::copy(persona, place.join("plans/personas/demo.toml")).expect("a file");
    let first = MILO.replace("{ echo = {} }", "{ converse = { persona = 'demo', failed = 'people' } }");
    fs::write(place.join("plans/plans.toml"), [&first, plans].concat()).expect("a file");
    let (plans, graph) = (place.join("plans").display().to_string(), graph.display().to_string());
    let variables = [("MILO__DIALPLANS__PATH", plans.as_str()), ("MILO__ENGINES__VAD__PATH", graph.as_str())];
    (milo(name, &variables).await, place)
}

async fn waits(milo: &Running) -> Value {
    let mut errand = errand(milo.udp("milo").expect("an address"), &[]);
    errand.wait = true;
    let report = call(&errand).await;
    assert!(report.ended_by.starts_with("the far side"), "{}", report.ended_by);
    newest_call(milo).await
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_that_fail_again_and_again_hand_the_call_to_the_plan_that_is_named_for_it() {
    let plan = "
[[plan]]
name = 'people'
language = 'mg'
actions = [{ answer = {} }, { set = { office = 'Toamasina' } }, { say = { text = 'Hiresaka amin olona ianao' } }]
";
    let (milo, place) = deaf("relieved", plan).await;
    let logged = waits(&milo).await;
    assert_eq!((&logged["end_reason"], &logged["hangup_by"]), (&json!("the plan is done"), &json!("milo")), "{logged}");
    assert_eq!(of_kind(&logged, "relieved")[0]["plan"], "people", "{logged}");
    assert_eq!((said(&logged, APOLOGY).len(), said(&logged, "Veloma").len()), (3, 0), "it is not over: {logged}");
    let verbs = of_kind(&logged, "verb");
    assert!(verbs.iter().any(|verb| verb["say"].is_object()), "{logged}");
    assert!(of_kind(&logged, "goodbye").is_empty(), "the plan has its own words: {logged}");
    stop(milo).await;
    fs::remove_dir_all(place).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_for_failures_that_reaches_nobody_and_says_nothing_ends_with_a_goodbye() {
    // Nobody is there.
    let plan = "
[[plan]]
name = 'people'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = 'sip:nobody@127.0.0.1:9', seconds = 2 } }, { hangup = {} }]
";
    let (milo, place) = deaf("unrelieved", plan).await;
    let logged = waits(&milo).await;
    assert_eq!(logged["end_reason"], FAILED, "{logged}");
    let goodbye = of_kind(&logged, "goodbye");
    assert_eq!((&goodbye[0]["why"], &goodbye[0]["heard"]), (&json!(FAILED), &json!(true)), "{logged}");
    stop(milo).await;
    fs::remove_dir_all(place).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_hung_up_on_by_the_api_hears_a_goodbye_whatever_is_done_in_the_call() {
    let milo = milo("goodbyes", &[]).await;
    // All that could speak stands still.
    let Some(stuck) = Stuck::engine(&milo, "voice") else { return stop(milo).await };
    for number in ["milo", "echo", "digits"] {
        let mut errand = errand(milo.udp(number).expect("an address"), &[]);
        (errand.wait, errand.no_greeting) = (true, true);
        let calling = spawn(async move { call(&errand).await });
        let mut up = Value::Null;
        for _ in 0..100 {
            sleep(Duration::from_millis(100)).await;
            up = get(&milo, "/api/v1/calls?limit=1")["calls"][0].clone();
            if up["to"] == number && up["answered"].is_string() {
                break;
            }
        }
        let path = format!("/api/v1/calls/{}", up["id"].as_str().expect("a call"));
        assert_eq!(send(&milo, ("DELETE", &path), &[], &Value::Null).status, 202);
        let report = calling.await.expect("a report");
        assert!(report.ended_by.starts_with("the far side"), "{}", report.ended_by);
        let logged = newest_call(&milo).await;
        assert_eq!(logged["end_reason"], "somebody ended it by the API", "{logged}");
        let goodbye = of_kind(&logged, "goodbye");
        assert_eq!((goodbye.len(), &goodbye[0]["heard"]), (1, &json!(true)), "{number}: {logged}");
    }
    stuck.release();
    stop(milo).await;
}
