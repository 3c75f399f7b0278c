//! Keys that one party of two presses reach the other, whichever way they are told: over a trunk that `dial` has called, and over a
//! `bridge` of two callers.

use crate::house::{MILO, call, errand, events, folder, get, milo, newest_call, stop, with_plans};
use milo::{bench::Running, phone::Errand, press::PressBy};
use milo_media::wav;
use serde_json::Value;

/// Each speaks for a second, so that whoever calls knows that they are joined, hears two keys, and presses two.
const FAR: &str = "
[[plan]]
name = 'events'
number = 'events'
language = 'mg'
actions = [{ answer = {} }, { music = { seconds = 1 } }, { gather = { into = 'keys', max = 2, first_seconds = 15 } }, { send_digits = { digits = '90' } }, { wait = { seconds = 2 } }]

[[plan]]
name = 'informed'
number = 'informed'
language = 'mg'
actions = [{ answer = {} }, { music = { seconds = 1 } }, { gather = { into = 'keys', max = 2, first_seconds = 15 } }, { send_digits = { digits = '90', by = 'info' } }, { wait = { seconds = 2 } }]
";

/// The keys that a call has heard.
fn keys(row: &Value) -> String {
    events(row, "digit").iter().filter_map(|key| key["digit"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_cross_a_dialled_call_both_ways() {
    let far = with_plans("keys-far", FAR).await;
    let plan = |number: &str| {
        let to = far.udp(number).expect("an address");
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\n\
             actions = [{{ answer = {{}} }}, {{ dial = {{ to = '{to}' }} }}, {{ hangup = {{}} }}]\n"
        )
    };
    let near = with_plans("keys-near", &[plan("events"), plan("informed")].concat()).await;
    // Told by RFC 4733, and by INFO; and back the same way.
    for (number, by) in [("events", PressBy::Agreed), ("informed", PressBy::Info)] {
        let target = near.udp(number).expect("an address");
        let digits = Some(("14".to_owned(), by));
        let report = call(&Errand { digits, wait: true, ..errand(target, &[]) }).await;
        let row = newest_call(&far).await;
        assert_eq!(keys(&row), "14", "{number}: what the caller pressed: {row}");
        assert_eq!(report.keys, "90", "{number}: what was pressed for the caller: {row}");
    }
    stop(near).await;
    stop(far).await;
}

/// Two callers who are joined: the one speaks, and hears what the other presses by then.
async fn pressed(milo: &Running, (speaks, presses): (&str, &str), by: PressBy) -> String {
    let at = |number: &str| milo.udp(number).expect("an address");
    let speaking = Errand { no_greeting: true, wait: true, ..errand(at(speaks), &["mg_appointment.wav"]) };
    let digits = Some(("58".to_owned(), by));
    // Whoever presses waits for the voice of the other, and hangs up.
    let pressing = Errand { digits, ..errand(at(presses), &[]) };
    let first = tokio::spawn(async move { call(&pressing).await });
    let mut waiting = Value::Null;
    for _ in 0..200 {
        waiting = get(milo, "/api/v1/calls?limit=1")["calls"][0].clone();
        if waiting["answered"].is_string() && waiting["ended"].is_null() && waiting["to"] == presses {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(waiting["to"], presses, "{waiting}");
    let report = call(&speaking).await;
    first.await.expect("a call");
    report.keys
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_cross_a_bridge_both_ways() {
    let plans = "
[[plan]]
name = 'line'
number = 'line'
language = 'fr'
actions = [{ answer = {} }, { queue = { name = 'line', announce_seconds = 0, files = ['silence.wav'] } }, { hangup = {} }]

[[plan]]
name = 'operator'
number = 'operator'
language = 'fr'
actions = [{ answer = {} }, { bridge = { queue = 'line', seconds = 20, files = ['silence.wav'] } }, { hangup = {} }]
";
    let files = folder("keys-bridge-plans");
    wav::write(&files.join("silence.wav"), &[0; 16_000]).expect("a file");
    std::fs::write(files.join("plans.toml"), [MILO, plans].concat()).expect("a file");
    let path = files.to_string_lossy().into_owned();
    let milo = milo("keys-bridge", &[("MILO__DIALPLANS__PATH", path.as_str())]).await;
    // Events pass as they come; what is told by INFO is pressed anew for the other.
    for (ways, by) in [
        (("line", "operator"), PressBy::Agreed),
        (("operator", "line"), PressBy::Agreed),
        (("line", "operator"), PressBy::Info),
    ] {
        assert_eq!(pressed(&milo, ways, by).await, "58", "{by:?}, pressed by {}", ways.1);
    }
    stop(milo).await;
    std::fs::remove_dir_all(files).ok();
}
