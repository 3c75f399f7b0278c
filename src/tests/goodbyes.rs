//! Callers who speak into Milo's goodbye: whoever was silent is there after all, and whose time is up hears it to its end.

use std::{thread::sleep, time::Duration};

use milo::bench::Running;
use serde_json::Value;
use tokio::task::block_in_place;

use crate::{
    house::{MG_PRICE, answered, ended, get, milo, recording, stop, until, wrong_words},
    telephone::Telephone,
};

/// Whoever says nothing is soon asked, and soon left; and this telephone sends nothing while it waits.
const HASTY: [(&str, &str); 3] = [
    ("MILO__CONVERSATION__SILENCE_PROMPT_S", "2"),
    ("MILO__CONVERSATION__SILENCE_HANGUP_S", "4"),
    ("MILO__MEDIA__RTP_TIMEOUT_S", "120"),
];

/// Listens until Milo says something again.
fn is_spoken_to(caller: &Telephone) {
    caller.heard();
    for _ in 0..600 {
        if caller.heard() > 0 {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("nothing was said within twelve seconds");
}

/// Somebody calls and says nothing until they hear the goodbye, and then this into it. The telephone, and the call's identifier.
async fn says_into_the_goodbye(milo: &Running, name: &str) -> (Telephone, Value) {
    let caller = block_in_place(|| Telephone::call(milo, "milo"));
    let id = get(milo, "/api/v1/calls")["calls"][0]["id"].clone();
    let asked = |call: &Value| call["turns"].as_array().is_some_and(|turns| turns.len() == 2);
    until(milo, &id, "asked", asked).await;
    block_in_place(|| {
        is_spoken_to(&caller);
        caller.says(&recording(name));
    });
    (caller, id)
}

fn goodbye(call: &Value) -> &Value {
    let turns = call["turns"].as_array().expect("turns");
    let said = |turn: &&Value| turn["said"].as_str().is_some_and(|said| said.contains("Veloma"));
    turns.iter().find(said).unwrap_or_else(|| panic!("no goodbye in {call}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_silent_and_speaks_into_the_goodbye_is_answered_and_not_hung_up_on() {
    let milo = milo("goodbye-spoken-into", &HASTY).await;
    let (mut caller, id) = says_into_the_goodbye(&milo, "mg_price.wav").await;
    let call = until(&milo, &id, "answered", |call| !answered(call).is_empty()).await;
    let heard = answered(&call)[0]["heard"].as_str().expect("words");
    assert!(wrong_words(MG_PRICE.0, heard) * 3 <= MG_PRICE.0.split(' ').count(), "{heard:?}: {call}");
    assert_eq!((&goodbye(&call)["interrupted"], &call["ended"]), (&true.into(), &Value::Null), "{call}");
    block_in_place(|| caller.hangs_up());
    assert_eq!(ended(&milo, &id).await["hangup_by"], "caller");

    // A word that a reply goes on behind says here that somebody is there.
    let (mut caller, id) = says_into_the_goodbye(&milo, "mg_yes.wav").await;
    let call = until(&milo, &id, "answered", |call| !answered(call).is_empty()).await;
    assert_eq!((&goodbye(&call)["interrupted"], &call["ended"]), (&true.into(), &Value::Null), "{call}");
    block_in_place(|| caller.hangs_up());
    ended(&milo, &id).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_time_is_up_hears_the_whole_goodbye_whatever_they_say_into_it() {
    let limits = [("MILO__LIMITS__CALL_SECONDS", "8"), ("MILO__MEDIA__RTP_TIMEOUT_S", "120")];
    let milo = milo("goodbye-whole", &limits).await;
    let caller = block_in_place(|| Telephone::call(&milo, "milo"));
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
    until(&milo, &id, "greeted", |call| call["turns"].as_array().is_some_and(|turns| turns.len() == 1)).await;
    block_in_place(|| {
        is_spoken_to(&caller);
        caller.says(&recording("mg_price.wav"));
        caller.answers("BYE", "200 OK");
    });
    let call = ended(&milo, &id).await;
    assert_eq!(call["end_reason"], "the longest call was reached", "{call}");
    let goodbye = goodbye(&call);
    assert_eq!((&goodbye["interrupted"], &goodbye["said_heard"]), (&false.into(), &goodbye["said"]), "{call}");
    stop(milo).await;
}
