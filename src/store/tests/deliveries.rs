//! What webhooks are to be told: in order for each call, kept until it is told or given up.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::config::CallEvent;

on_both!(what_is_to_be_told_comes_in_order_for_each_call, what_was_given_up_is_kept_tried_again_or_forgotten);

async fn telling(store: &Store, listeners: &[Arc<Listener>]) -> LogWriter {
    LogWriter::start(store.clone(), "n", None).0.telling(listeners.to_vec())
}

fn kind(delivery: &Delivery) -> String {
    let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
    body["type"].as_str().unwrap().to_owned()
}

async fn what_is_to_be_told_comes_in_order_for_each_call(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let all = Arc::new(Listener::new("all".into(), CallEvent::ALL.into()));
    let ends = Arc::new(Listener::new("ends".into(), vec![CallEvent::Ended]));
    let log = telling(&store, &[Arc::clone(&all), Arc::clone(&ends)]).await;
    let call = log.begin(new_call(1_000));
    call.answered(Stamp::from_millis(2_000));
    call.event(Stamp::from_millis(2_100), "digit", json!({ "digit": "1" }));
    call.turn(new_turn(3_000));
    call.event(Stamp::from_millis(4_000), "transferred", json!({ "result": "refused" }));
    call.event(Stamp::from_millis(5_000), "referred", json!({ "result": "answered" }));
    log.recording_ended(call.key(), "d/a.ogg", RecordingState::Complete);
    call.end(Ending { outcome: Some((Outcome::Busy, Some(486))), ..new_ending(6_000) });
    let other = log.begin(new_call(7_000));
    assert!(log.flush(SOON).await);

    let next = async |target: &str| store.next_deliveries("n", target, 10).await.unwrap();
    assert!(store.next_deliveries("m", "all", 10).await.unwrap().is_empty(), "those of another Milo are its own");
    let mut told = Vec::new();
    while let [first, rest @ ..] = next("all").await.as_slice() {
        // Of each call the first one only.
        assert!(rest.len() <= 1, "{rest:?}");
        told.push(first.clone());
        store.delivered(first.id).await.unwrap();
    }
    let kinds: Vec<_> = told.iter().map(kind).collect();
    // All are due when they happen: what is due first comes first, across calls too.
    assert_eq!(kinds[..3], ["started", "answered", "turn"]);
    let mut sorted = kinds.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        ["answered", "ended", "recording_ready", "started", "started", "transferred", "transferred", "turn"]
    );
    let body: serde_json::Value = serde_json::from_str(&told[0].body).unwrap();
    assert_eq!((&body["call"], &body["time"]), (&json!(call.key()), &json!("1970-01-01T00:00:01Z")));
    assert_eq!((&body["data"]["from"], &body["data"]["direction"]), (&json!("0341234567"), &json!("in")));
    let only = next("ends").await;
    assert_eq!(only.iter().map(kind).collect::<Vec<_>>(), ["ended"]);
    let body: serde_json::Value = serde_json::from_str(&only[0].body).unwrap();
    assert_eq!((&body["data"]["outcome"], &body["data"]["sip_status"]), (&json!("busy"), &json!(486)));

    // Too much waits already.
    all.set_full(true);
    other.end(new_ending(8_000));
    assert!(log.flush(SOON).await);
    assert_eq!((all.missed(), ends.missed()), (1, 0));
    assert!(next("all").await.is_empty());
    assert_eq!(next("ends").await.len(), 2);
}

async fn what_was_given_up_is_kept_tried_again_or_forgotten(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let all = Arc::new(Listener::new("all".into(), CallEvent::ALL.into()));
    let log = telling(&store, &[all]).await;
    let call = log.begin(new_call(1_000));
    call.end(new_ending(2_000));
    assert!(log.flush(SOON).await);
    let next = async || store.next_deliveries("n", "all", 10).await.unwrap();
    let first = next().await.remove(0);
    assert_eq!((first.attempts, first.due), (0, Stamp::from_millis(1_000)));
    // In vain once: what comes after it of the same call waits.
    store.undelivered(first.id, (1, "it answered with 503"), (Stamp::from_millis(9_000), None)).await.unwrap();
    let again = next().await;
    assert_eq!(
        (again.len(), again[0].id, again[0].attempts, again[0].due),
        (1, first.id, 1, Stamp::from_millis(9_000))
    );
    // Given up: what comes after it goes on.
    let at = Stamp::from_millis(10_000);
    store.undelivered(first.id, (2, "it answered with 503"), (at, Some(at))).await.unwrap();
    let after = next().await;
    assert_eq!(after.iter().map(kind).collect::<Vec<_>>(), ["ended"]);
    assert_eq!(store.deliveries("n", "all").await.unwrap(), Deliveries { waiting: 1, dead: 1 });
    let letters = store.dead_letters(None, 10).await.unwrap().unwrap();
    assert_eq!((letters.dead.len(), letters.next), (1, None));
    let shown = serde_json::to_value(&letters.dead[0]).unwrap();
    assert_eq!((&shown["type"], &shown["body"]["data"]["to"]), (&json!("started"), &json!("milo")));
    assert_eq!((&shown["error"], &shown["attempts"]), (&json!("it answered with 503"), &json!(2)));

    assert!(store.revive(first.id, at).await.unwrap());
    assert!(!store.revive(first.id, at).await.unwrap(), "it is dead no more");
    assert!(!store.delete_dead(first.id).await.unwrap(), "what waits is not deleted");
    let again = next().await;
    assert_eq!((again.len(), again[0].id, again[0].attempts), (1, first.id, 0));

    // Its target is none any more: all of it is given up, the newest letter first, a page at a time.
    store.bury_unknown("n", &["other".into()], Stamp::from_millis(11_000)).await.unwrap();
    assert!(next().await.is_empty());
    let page = store.dead_letters(None, 1).await.unwrap().unwrap();
    let rest = store.dead_letters(page.next, 1).await.unwrap().unwrap();
    assert_eq!((page.dead[0].kind.as_str(), rest.dead[0].kind.as_str(), rest.next), ("ended", "started", None));
    assert!(store.dead_letters(Some(Key::new()), 1).await.unwrap().is_none());
    assert!(store.delete_dead(first.id).await.unwrap());
    store.forget_dead("n", Stamp::from_millis(11_000), 1).await.unwrap();
    assert_eq!(store.deliveries("n", "all").await.unwrap().dead, 1, "it is not older, and not too many");
    store.forget_dead("n", Stamp::from_millis(11_000), 0).await.unwrap();
    assert_eq!(store.deliveries("n", "all").await.unwrap().dead, 0, "too many");
    let later = async |at: i64| {
        log.begin(new_call(at)).end(new_ending(at + 1));
        assert!(log.flush(SOON).await);
    };
    later(20_000).await;
    store.bury_unknown("n", &[], Stamp::from_millis(21_000)).await.unwrap();
    for (before, dead) in [(21_000, 2), (21_001, 0)] {
        store.forget_dead("n", Stamp::from_millis(before), 9).await.unwrap();
        assert_eq!(store.deliveries("n", "all").await.unwrap().dead, dead, "those of before {before}");
    }
    // What was said to a number goes with it.
    later(30_000).await;
    assert_eq!(store.deliveries("n", "all").await.unwrap(), Deliveries { waiting: 2, dead: 0 });
    store.forget_number("0341234567", "0341234567").await.unwrap();
    assert_eq!(store.deliveries("n", "all").await.unwrap(), Deliveries::default());
}
