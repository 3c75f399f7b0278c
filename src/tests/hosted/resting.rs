//! A server that fails again and again is left alone for a while.

use std::time::Duration;

use tokio::time::sleep;

use super::{WORDS, asking, fallbacks, hours};
use crate::{
    hosted::server::{Conduct, Server},
    house::{call, errand, events, get, metric, newest_call, stop},
};

const FAILS: Conduct = Conduct::Refuses(500, ("content-type", "text/html"), "<html>");

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_server_that_fails_again_and_again_until_one_finds_it_back() {
    let server = Server::start(FAILS).await;
    let few = [("MILO__ENGINES__FAILURES_BEFORE_REST", "2"), ("MILO__ENGINES__REST_S", "3")];
    let milo = asking("resting", &server, "openai", &few).await;
    let resting = || get(&milo, "/api/v1/health")["servers"][0]["resting"].clone();
    assert_eq!((hours(&milo).0["mode"].clone(), resting()), ("local".into(), false.into()));
    assert_eq!((hours(&milo).0["mode"].clone(), resting()), ("local".into(), true.into()));
    server.now(Conduct::says(WORDS));
    assert_eq!((hours(&milo).0["mode"].clone(), server.asked().len()), ("local".into(), 2), "it is not asked");
    assert_eq!((metric(&milo, &fallbacks("broken")).await, metric(&milo, &fallbacks("resting")).await), (2.0, 1.0));
    sleep(Duration::from_millis(3_100)).await;
    assert_eq!((hours(&milo).0["mode"].clone(), resting()), ("cloud".into(), false.into()), "one finds it back");
    assert_eq!(hours(&milo).0["mode"], "cloud");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_told_why_the_local_model_answers() {
    let server = Server::start(FAILS).await;
    let milo = asking("instead", &server, "openai", &[("MILO__CONVERSATION__EARLY_REPLIES", "false")]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    assert_eq!(events(&logged, "local_instead")[0]["why"], "broken", "{logged}");
    server.now(Conduct::says(WORDS));
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    assert!(events(&logged, "local_instead").is_empty(), "{logged}");
    assert_eq!(metric(&milo, &fallbacks("resting")).await, 0.0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_a_moments_rest_gets_it_and_answers_in_the_same_turn() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let busy = |rest| Conduct::Refuses(503, ("retry-after", rest), r#"{"error":{"message":"loading"}}"#);
    let milo = asking("again", &server, "openai", &[]).await;
    server.then([busy("0"), Conduct::says(WORDS)]);
    assert_eq!((hours(&milo).0["mode"].clone(), server.asked().len()), ("cloud".into(), 2));
    assert_eq!(metric(&milo, "milo_engine_retries_total{engine=\"llm\"}").await, 1.0);
    // A rest that is longer than the caller waits is the local model's time, and so is a second refusal.
    server.then([busy("2"), Conduct::says(WORDS)]);
    assert_eq!((hours(&milo).0["mode"].clone(), server.asked().len()), ("local".into(), 3));
    sleep(Duration::from_millis(2_100)).await;
    server.now(busy("0"));
    assert_eq!((hours(&milo).0["mode"].clone(), server.asked().len()), ("local".into(), 5));
    assert_eq!(metric(&milo, "milo_engine_retries_total{engine=\"llm\"}").await, 2.0);
    stop(milo).await;
}
