//! What a server costs, and the day on which it has cost enough.

use std::path::Path;

use milo::bench::Running;

use super::{WORDS, fallbacks, hours};
use crate::{
    hosted::server::{Conduct, Server},
    house::{PROGRAM, call, errand, events, folder, get, metric, newest_call, stop},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_has_cost_enough_is_the_local_models_after_a_start_too() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let mut variables = server.variables("anthropic");
    // A reply is of 25 tokens read and 15 said: 55 cents.
    for (name, value) in [
        ("MILO__ENGINES__LLM__PROMPT_PRICE", "10000"),
        ("MILO__ENGINES__LLM__COMPLETION_PRICE", "20000"),
        ("MILO__ENGINES__LLM__DAILY_COST", "1.0"),
    ] {
        variables.push((name, value.into()));
    }
    variables.push(("MILO__CONVERSATION__EARLY_REPLIES", "false".into()));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let at = folder("spending");
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    let cost = |milo: &Running| get(milo, "/api/v1/health")["spending"]["cost"].as_f64().expect("a sum");
    assert_eq!(cost(&milo), 0.0);
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    let taken = &events(&logged, "tokens")[0]["cloud"];
    assert_eq!((&taken["prompt_tokens"], &taken["completion_tokens"]), (&25.into(), &15.into()), "{logged}");
    assert!((taken["cost"].as_f64().expect("a sum") - 0.55).abs() < 1e-9 && (cost(&milo) - 0.55).abs() < 1e-9);
    assert_eq!(hours(&milo).0["mode"], "cloud", "something was left");
    assert_eq!(hours(&milo).0["mode"], "local", "and now nothing is");
    assert!((metric(&milo, "milo_llm_cost_total").await - 1.1).abs() < 1e-9);
    assert_eq!(metric(&milo, &fallbacks("spent")).await, 1.0);
    let health = get(&milo, "/api/v1/health");
    assert!(health["degraded"].to_string().contains("has cost 1.10 today, and may cost 1.00"), "{health}");
    milo.stop().await.expect("Milo ends by itself");

    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts again");
    assert!((cost(&milo) - 1.1).abs() < 1e-9);
    assert_eq!(hours(&milo).0["mode"], "local", "it is the same day");
    assert_eq!(server.asked().len(), 2);
    stop(milo).await;
}
