//! Turns that end by pitch, loudness and length, where no graph judges them.

use std::path::Path;

use milo::bench::Running;

use crate::house::{MG_HOURS, PROGRAM, answered, assert_turn, call, errand, folder, get, newest_call, stop};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_graph_a_turn_ends_and_is_answered() {
    let settings = [("MILO__ENGINES__TURN__ENGINE", "prosody")];
    let milo = Running::start(Path::new(PROGRAM), &folder("prosody"), &settings).await.expect("Milo starts");
    let health = get(&milo, "/api/v1/health");
    let judges = health["models"].as_array().into_iter().flatten().filter(|model| model["job"] == "turn").count();
    assert_eq!(judges, 0, "no graph is in memory: {health}");
    let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    assert!(report.turns.iter().all(|turn| turn.reply.is_some() && !turn.spoke_early), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    assert_turn(answered(&logged)[0], "mg", MG_HOURS.0, MG_HOURS.1);
    stop(milo).await;
}
