//! Calls that the engines have no room for.

use std::{sync::Arc, time::Duration};

use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use serde_json::Value;
use tokio::{runtime::Handle, time::sleep};

use crate::{
    hosted::{
        WORDS, asking,
        server::{Conduct, Server},
    },
    house::{call, errand, get, metric, stop},
};

#[tokio::test(flavor = "multi_thread")]
async fn while_turns_are_late_the_next_call_is_refused_and_when_they_are_not_it_is_taken() {
    // Late, and so soon that the telephone does not take the filler for all of it.
    let server = Server::start(Conduct::Says(WORDS, Duration::from_millis(600), Duration::ZERO)).await;
    let settings = [
        ("MILO__LIMITS__FOLLOW_ENGINES", "true"),
        ("MILO__LIMITS__CALLS", "20"),
        ("MILO__CONVERSATION__FILLER_MS", "400"),
        ("MILO__CONVERSATION__EARLY_REPLIES", "false"),
    ];
    let milo = asking("full", &server, "openai", &settings).await;
    let target = milo.udp("milo").expect("an address");
    for _ in 0..3 {
        call(&Errand { no_greeting: true, ..errand(target.clone(), &["mg_hours.wav"]) }).await;
        until(&milo, "live_calls", &0.into()).await;
    }
    until(&milo, "call_limit", &1.into()).await;
    // With nobody in the line one is let in, and nobody beside them.
    let phone = Arc::new(Phone::new(&target, None, Handle::current()).expect("a telephone"));
    let silent = Errand { wait: true, no_greeting: true, ..errand(target.clone(), &[]) };
    let (let_go, gone) = tokio::sync::oneshot::channel::<()>();
    let (holder, held) = (Arc::clone(&phone), silent.clone());
    let holding = tokio::spawn(async move { holder.call_until(&held, async { gone.await.unwrap_or(()) }).await });
    until(&milo, "live_calls", &1.into()).await;
    let health = get(&milo, "/api/v1/health");
    assert_eq!((&health["call_limit"], &health["ready"]), (&1.into(), &false.into()), "{health}");
    assert!(health["unready"].as_str().is_some_and(|why| why.contains("engines")), "{health}");
    let refused = phone.call(&silent).await.map(drop).map_err(|why| why.to_string());
    assert!(refused.as_ref().is_err_and(|why| why.contains("503")), "{refused:?}");
    assert!(metric(&milo, "milo_late_turns_total").await >= 2.0);
    let_go.send(()).expect("it is held");
    holding.await.expect("a call").expect("it was up");
    // Late turns are forgotten, and then as many as ever may call.
    server.now(Conduct::says(WORDS));
    let mut limits = Vec::new();
    for _ in 0..60 {
        limits.push(get(&milo, "/api/v1/health")["call_limit"].as_u64().expect("a number"));
        if limits.last() > Some(&1) {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(limits.last() > Some(&1), "{limits:?}");
    phone.call(&errand(target, &["mg_hours.wav"])).await.expect("it is answered");
    stop(milo).await;
}

/// Waits until health says so.
async fn until(milo: &Running, field: &str, value: &Value) {
    for _ in 0..200 {
        if get(milo, "/api/v1/health")[field] == *value {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{field} has not become {value} within twenty seconds: {}", get(milo, "/api/v1/health"));
}
