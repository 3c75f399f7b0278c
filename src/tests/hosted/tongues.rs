//! A model that answers in another language than its caller's.

use super::{WORDS, asking};
use crate::{
    hosted::server::{Conduct, Server},
    house::{answered, call, errand, events, newest_call, stop},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_french_is_spoken_as_french_and_what_is_neither_is_not_spoken() {
    const FRENCH: &str = "Nous ouvrons à huit heures du matin, du lundi au vendredi.";
    const ENGLISH: &str = "We are open at eight in the morning, how can I help you today?";
    let server = Server::start(Conduct::says(WORDS)).await;
    server.then([FRENCH, ENGLISH, WORDS].map(Conduct::says));
    // One request a turn.
    let milo = asking("tongues", &server, "openai", &[("MILO__CONVERSATION__EARLY_REPLIES", "false")]).await;
    let questions = ["mg_hours.wav", "mg_price.wav", "mg_hours.wav"];
    call(&errand(milo.udp("milo").expect("an address"), &questions)).await;
    let logged = newest_call(&milo).await;
    let heard: Vec<_> = answered(&logged).iter().map(|turn| turn["said_heard"].as_str().expect("words")).collect();
    assert_eq!((heard[0], heard[2]), (FRENCH, WORDS), "{logged}");
    assert!(heard[1].contains("Azonao averina ve?"), "in the caller's language: {logged}");
    let other = events(&logged, "other_language");
    let [other] = &other[..] else { panic!("of one reply alone: {logged}") };
    assert_eq!((&other["caller"], &other["neither"]), (&"mg".into(), &0.into()), "{logged}");
    assert!(other["other"].as_u64().is_some_and(|clauses| clauses >= 1), "{logged}");
    let doubtful = events(&logged, "reply_doubtful");
    assert_eq!((doubtful.len(), &doubtful[0]["why"]), (1, &"another language".into()), "{logged}");
    stop(milo).await;
}
