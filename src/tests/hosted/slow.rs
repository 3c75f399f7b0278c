//! An answer that takes long.

use std::time::Duration;

use super::{WORDS, asking};
use crate::{
    hosted::server::{Conduct, Server},
    house::{answered, call, errand, events, newest_call, stop},
};

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
