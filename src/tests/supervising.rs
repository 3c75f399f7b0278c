//! A person who follows a call has its agent say something, and heed something.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{spawn, time::sleep};

use crate::house::{MG_HOURS, answered, assert_turn, call, errand, events, get, milo, newest_call, send, stop};

#[tokio::test(flavor = "multi_thread")]
async fn words_are_said_and_instructions_reach_the_model() {
    let milo = milo("supervised", &[]).await;
    let errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    let calling = spawn(async move { call(&errand).await });
    let mut id = Value::Null;
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
        if id.is_string() {
            break;
        }
    }
    let path = format!("/api/v1/calls/{}/agent", id.as_str().expect("a call"));
    let ask = |body: &Value| send(&milo, ("POST", &path), &[], body);
    // The call is in the log before its agent speaks.
    let mut status = 0;
    for _ in 0..40 {
        status = ask(&json!({ "say": "Andraso kely azafady." })).status;
        if status != 409 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(status, 202);
    assert_eq!(ask(&json!({ "instruct": "Lazao fohy." })).status, 202);
    for wrong in [json!({}), json!({ "say": "" }), json!({ "say": "a", "instruct": "b" }), json!({ "sing": "a" })] {
        assert_eq!(ask(&wrong).status, 422, "{wrong}");
    }
    calling.await.expect("the call");
    let logged = newest_call(&milo).await;
    let turns = logged["turns"].as_array().expect("turns");
    assert_eq!(turns[1]["said_heard"], "Andraso kely azafady.", "after the greeting: {logged}");
    assert_turn(answered(&logged)[0], "mg", MG_HOURS.0, "");
    let told = events(&logged, "told_model");
    assert!(told.iter().any(|told| told["text"].as_str().is_some_and(|text| text.contains("Lazao fohy."))), "{logged}");
    assert_eq!(events(&logged, "instructed").len(), 1, "{logged}");
    let late = ask(&json!({ "say": "Salama" }));
    assert_eq!((late.status, &late.body["code"]), (409, &"call_not_up".into()), "{}", late.body);
    let unknown = "/api/v1/calls/00000000-0000-7000-8000-000000000000/agent";
    assert_eq!(send(&milo, ("POST", unknown), &[], &json!({ "say": "Salama" })).status, 404);
    stop(milo).await;
}
