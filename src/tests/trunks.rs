//! What is different on a trunk's calls. The trunks are told apart by their address, here within 127.0.0.0/8.

use std::{fs, net::IpAddr};

use crate::house::{errand, folder, get, milo, newest_call, stop};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use milo_media::{EchoPath, Echoes};
use milo_signaling::Srtp;
use serde_json::Value;
use tokio::runtime::Handle;

/// A telephone on a trunk.
fn at(address: [u8; 4]) -> Phone {
    let codecs = Phone::usual_codecs();
    Phone::at(IpAddr::from(address), codecs, Srtp::Off, None, Handle::current()).expect("a telephone")
}

/// A call to this number from this telephone, as the log has it.
async fn logged(milo: &Running, phone: &Phone, number: &str) -> Value {
    let target = milo.udp(number).expect("an address");
    phone.call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await.expect("the call is answered");
    newest_call(milo).await
}

/// The name in the call's event `trunk`.
fn trunk(call: &Value) -> Option<&str> {
    let events = call["events"].as_array().expect("events");
    events.iter().find(|event| event["kind"] == "trunk")?["detail"]["name"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn codecs_and_recording_are_the_trunks_own() {
    let plans = folder("trunk-plans");
    let plan = |name: &str, record: &str| {
        format!(
            "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\n{record}\n\
             actions = [{{ answer = {{}} }}, {{ music = {{ seconds = 1 }} }}]\n"
        )
    };
    let text = [plan("milo", ""), plan("never", "record = false")].concat();
    fs::write(plans.join("plans.toml"), text).expect("a temporary folder");
    let path = plans.to_string_lossy().into_owned();
    let trunks = "[{ name = 'kept', address = '127.0.0.2', recording = true, codecs = ['PCMA'] }, \
                  { name = 'plain', address = '127.0.0.3' }]";
    let trunks = trunks.replace('\'', "\"");
    let variables = [
        ("MILO__DIALPLANS__PATH", path.as_str()),
        ("MILO__SIP__TRUNKS", &trunks),
        ("MILO__MEDIA__CODECS", "[\"PCMU\"]"),
    ];
    let milo = milo("trunks", &variables).await;
    let (kept, plain, here) = (at([127, 0, 0, 2]), at([127, 0, 0, 3]), at([127, 0, 0, 1]));
    let wanted = [
        (&kept, "milo", Some("kept"), "PCMA", true),
        (&kept, "never", Some("kept"), "PCMA", false),
        (&plain, "milo", Some("plain"), "PCMU", false),
        (&here, "milo", None, "PCMU", false),
    ];
    for (phone, number, name, codec, recorded) in wanted {
        let call = logged(&milo, phone, number).await;
        assert_eq!((trunk(&call), call["quality"][0]["codec"].as_str()), (name, Some(codec)), "{call}");
        assert_eq!(call["recording"].is_string(), recorded, "{call}");
    }
    stop(milo).await;
    fs::remove_dir_all(plans).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trunk_is_cleaned_and_the_other_is_not() {
    let trunks = "[{ name = \"raw\", address = \"127.0.0.2\", clean = { echo = false } }, \
                  { name = \"cleaned\", address = \"127.0.0.3\" }]";
    let variables = [
        ("MILO__SIP__TRUNKS", trunks),
        ("MILO__CONVERSATION__SILENCE_PROMPT_S", "2"),
        ("MILO__CONVERSATION__SILENCE_HANGUP_S", "4"),
        ("MILO__LIMITS__CALL_SECONDS", "15"),
    ];
    let milo = milo("trunk-clean", &variables).await;
    let target = milo.udp("milo").expect("an address");
    // Nobody speaks; Milo's voice comes back as from a hands-free telephone.
    let (raw, cleaned) = (at([127, 0, 0, 2]), at([127, 0, 0, 3]));
    let path = || EchoPath::new(Echoes::Room, 100, -20.0, 1);
    let (one, other) = tokio::join!(raw.hands_free(&target, path()), cleaned.hands_free(&target, path()));
    one.and(other).expect("the calls are answered");
    newest_call(&milo).await;
    let list = get(&milo, "/api/v1/calls");
    for row in list["calls"].as_array().expect("calls") {
        let call = get(&milo, &format!("/api/v1/calls/{}", row["id"].as_str().expect("an identifier")));
        let turns = call["turns"].as_array().expect("turns");
        let heard_itself = turns.iter().any(|turn| turn["interrupted"] == true || turn["heard"].is_string());
        assert_eq!(heard_itself, trunk(&call) == Some("raw"), "{call}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_a_trunks_limit_callers_hear_503_and_dial_fails_by_name() {
    let plans = folder("trunk-limit-plans");
    let text = "[[plan]]\nname = 'milo'\nnumber = 'milo'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { dial = { to = '1', trunk = 'narrow' } }, { music = { seconds = 2 } }]\n";
    fs::write(plans.join("plans.toml"), text).expect("a temporary folder");
    let path = plans.to_string_lossy().into_owned();
    let trunks = "[{ name = \"narrow\", address = \"127.0.0.4\", max_calls = 1 }]";
    let milo = milo("trunk-limit", &[("MILO__DIALPLANS__PATH", path.as_str()), ("MILO__SIP__TRUNKS", trunks)]).await;
    let phone = at([127, 0, 0, 4]);
    let target = milo.udp("milo").expect("an address");
    let errand = Errand { wait: true, no_greeting: true, ..errand(target, &[]) };
    let (one, other) = tokio::join!(phone.call(&errand), phone.call(&errand));
    let refused = one.err().xor(other.err()).expect("one of the two is refused").to_string();
    assert!(refused.contains("503"), "{refused}");
    // The caller has the only place, so that nobody can be called out over the same trunk.
    let call = newest_call(&milo).await;
    let events = call["events"].as_array().expect("events");
    let dialled = events.iter().find(|event| event["kind"] == "dialled").expect("the verb dial");
    assert_eq!(dialled["detail"]["result"], "the trunk carries no more", "{call}");
    let report = get(&milo, "/api/v1/trunks")["trunks"][0].clone();
    let counts = ["calls_in", "calls_out", "refused_in", "refused_out", "calls_live"].map(|name| report[name].clone());
    assert_eq!(counts, [1, 0, 1, 1, 0], "{report}");
    assert_eq!(get(&milo, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(1), "the other has no row");
    stop(milo).await;
    fs::remove_dir_all(plans).ok();
}
