//! A caller on hands-free equipment: Milo's voice comes back to it, and must not interrupt it nor be taken for the caller.

use std::time::Duration;

use crate::house::{get, milo, stop};
use milo::phone::Phone;
use milo_media::{EchoPath, Echoes};
use serde_json::Value;
use tokio::{join, runtime::Handle, time::sleep};

/// Milo greets, asks whether anybody is there, and says goodbye: nobody speaks in these calls.
const RHYTHM: [(&str, &str); 2] =
    [("MILO__CONVERSATION__SILENCE_PROMPT_S", "2"), ("MILO__CONVERSATION__SILENCE_HANGUP_S", "4")];

/// Three such calls at once, at -20 dB; with the jitter buffers of both sides their echo takes 60 to 200 ms.
async fn calls(name: &str, variables: &[(&str, &str)]) -> Vec<Value> {
    let variables: Vec<_> = RHYTHM.iter().chain(variables).copied().collect();
    let milo = milo(name, &variables).await;
    let target = milo.udp("milo").expect("an address");
    let phone = Phone::new(&target, None, Handle::current()).expect("a telephone");
    let path = |echoes, delay_ms| EchoPath::new(echoes, delay_ms, -20.0, delay_ms);
    let (line, room, far) = join!(
        phone.hands_free(&target, path(Echoes::Line, 10)),
        phone.hands_free(&target, path(Echoes::Room, 50)),
        phone.hands_free(&target, path(Echoes::Room, 100)),
    );
    line.and(room).and(far).expect("the calls are answered");
    phone.shutdown().await;
    sleep(Duration::from_millis(500)).await;
    let logged = get(&milo, "/api/v1/calls");
    let ids = logged["calls"].as_array().expect("calls").iter().map(|call| call["id"].as_str().expect("an identifier"));
    let calls = ids.map(|id| get(&milo, &format!("/api/v1/calls/{id}"))).collect();
    stop(milo).await;
    calls
}

/// The turns in which Milo was interrupted, or heard somebody.
fn disturbed(call: &Value) -> usize {
    let turns = call["turns"].as_array().expect("turns");
    turns.iter().filter(|turn| turn["interrupted"] == true || turn["heard"].is_string()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn milo_is_not_interrupted_by_its_own_voice() {
    let calls = calls("own-echo", &[]).await;
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!((disturbed(call), &call["end_reason"]), (0, &"the caller was silent".into()), "{call}");
        assert_eq!(call["turns"].as_array().map(Vec::len), Some(3), "greeting, question, goodbye: {call}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_echo_control_it_is() {
    let calls = calls("own-echo-heard", &[("MILO__CLEAN__ECHO", "false"), ("MILO__LIMITS__CALL_SECONDS", "15")]).await;
    assert!(calls.iter().map(disturbed).sum::<usize>() > 0, "{calls:?}");
}
