//! The verbs whose callers wait for somebody: `queue`, `bridge`, `hold`, over real sockets.

use std::{path::PathBuf, time::Duration};

use crate::house::{call, errand, events, get, loud, metric, recording, send, stop, with_plans};
use milo::{
    bench::Running,
    phone::{Errand, Report},
    press::PressBy,
};
use milo_media::wav;
use serde_json::Value;
use tokio::{task::JoinHandle, time::sleep};

/// Those who are rung: one who speaks for three seconds, and one who never comes.
const FAR: &str = "
[[plan]]
name = 'agent'
number = 'agent'
language = 'fr'
actions = [{ ring = { seconds = 3 } }, { answer = {} }, { music = { seconds = 3 } }, { hangup = {} }]

[[plan]]
name = 'away'
number = 'away'
language = 'fr'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]
";

fn plan(name: &str, verbs: &str) -> String {
    format!(
        "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'fr'\nactions = [{{ answer = {{}} }}, {verbs}, {{ hangup = {{}} }}]\n"
    )
}

/// A call in the background that stays until Milo hangs up.
fn calling(milo: &Running, number: &str) -> JoinHandle<Report> {
    let errand = Errand { wait: true, no_greeting: true, ..errand(milo.udp(number).expect("an address"), &[]) };
    tokio::spawn(async move { call(&errand).await })
}

/// The calls of a plan that have ended, oldest first.
fn ended_of(milo: &Running, plan: &str) -> Vec<Value> {
    let list = get(milo, "/api/v1/calls");
    let calls = list["calls"].as_array().expect("calls").iter().rev();
    let done = calls.filter(|call| call["dialplan"] == plan && !call["ended"].is_null());
    done.map(|call| get(milo, &format!("/api/v1/calls/{}", call["id"].as_str().expect("an identifier")))).collect()
}

/// Waits until so many calls of a plan have ended.
async fn until_ended(milo: &Running, plan: &str, many: usize) -> Vec<Value> {
    for _ in 0..300 {
        let calls = ended_of(milo, plan);
        if calls.len() >= many {
            return calls;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("not {many} calls of {plan:?} ended within thirty seconds");
}

/// Waits until the live call of a plan has seen this; gives its identifier.
async fn until_live(milo: &Running, plan: &str, kind: &str) -> Value {
    for _ in 0..200 {
        let list = get(milo, "/api/v1/calls");
        let mut calls = list["calls"].as_array().expect("calls").iter();
        if let Some(call) = calls.find(|call| call["dialplan"] == plan && call["ended"].is_null()) {
            let call = get(milo, &format!("/api/v1/calls/{}", call["id"].as_str().expect("an identifier")));
            if !events(&call, kind).is_empty() {
                return call["id"].clone();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("no live call of {plan:?} saw {kind:?} within ten seconds");
}

/// Waits until so many wait in the only line.
async fn until_waiting(milo: &Running, many: usize) -> Value {
    let mut line = Value::Null;
    for _ in 0..200 {
        line = get(milo, "/api/v1/queues")["queues"][0].clone();
        if line["waiting"].as_array().is_some_and(|waiting| waiting.len() == many) {
            return line;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("not {many} wait within ten seconds: {line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_served_in_its_order() {
    let far = with_plans("queue-agents", FAR).await;
    let [agent, away] = ["agent", "away"].map(|number| far.udp(number).expect("an address").to_string());
    let support = |name: &str, agents: &str| {
        plan(
            name,
            &format!(
                "{{ queue = {{ name = 'support', ring = '{}', to = [{agents}], ring_seconds = 5, rest_seconds = 1, announce_seconds = 10, \
                 into = 'how' }} }}, {{ set = {{ it = '{{{{how}}}}' }} }}, {{ send_digits = {{ digits = '7' }} }}",
                if name == "all" { "all" } else { "one" }
            ),
        )
    };
    let both = format!("'{away}', '{agent}'");
    let plans = [support("support", &format!("'{agent}'")), support("both", &both), support("all", &both)];
    let near = with_plans("queue", &plans.concat()).await;
    let first = calling(&near, "support");
    let line = until_waiting(&near, 1).await;
    assert_eq!((&line["name"], &line["expected_wait_s"]), (&"support".into(), &Value::Null));
    let second = calling(&near, "support");
    for report in [first.await.expect("a call"), second.await.expect("a call")] {
        assert_eq!(report.keys, "7", "the plan goes on: {report}");
    }
    // Whoever speaks with one cannot speak with another.
    let calls = until_ended(&near, "support", 2).await;
    let left = calls.iter().map(|call| events(call, "queue_left")[0]).collect::<Vec<_>>();
    for left in &left {
        assert_eq!((&left["result"], &left["agent"]), (&"answered".into(), &agent.clone().into()), "{calls:?}");
    }
    let [one, two] = [0, 1].map(|at| left[at]["waited_ms"].as_u64().expect("a time"));
    assert!(two > one && two > 3_000, "the second waits until the first has spoken: {one} and {two} ms");
    let told = events(&calls[1], "queue_told")[0]["samples"].as_u64();
    assert!(told > Some(8_000), "the second hears where it stands: {calls:?}");
    // Of two who may come, the one who was free the longest is rung first, and then the other.
    let third = calling(&near, "both");
    let line = until_waiting(&near, 1).await;
    assert_eq!(metric(&near, "milo_queue_waiting{queue=\"support\"}").await, 1.0, "{line}");
    assert_eq!(third.await.expect("a call").keys, "7");
    let calls = until_ended(&near, "both", 1).await;
    assert_eq!(
        (&events(&calls[0], "agent")[0]["agent"], events(&calls[0], "agent").len()),
        (&away.into(), 1),
        "{calls:?}"
    );
    assert!(events(&calls[0], "queue_left")[0]["waited_ms"].as_u64() > Some(5_000), "{calls:?}");
    // Or all at once, and the first that answers has the call.
    assert_eq!(calling(&near, "all").await.expect("a call").keys, "7");
    let calls = until_ended(&near, "all", 1).await;
    let left = events(&calls[0], "queue_left")[0];
    assert!(left["agent"] == agent && left["waited_ms"].as_u64() < Some(5_000), "{calls:?}");
    let given_up = until_ended(&far, "away", 2).await;
    assert!(given_up[1]["end_reason"].as_str().is_some_and(|why| why.contains("cancelled")), "{given_up:?}");
    let line = until_waiting(&near, 0).await;
    assert_eq!((&line["calls"]["answered"], line["expected_wait_s"].is_null()), (&4.into(), false), "{line}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_left_in_a_line() {
    let far = with_plans("queue-away", FAR).await;
    let away = far.udp("away").expect("an address");
    let plans = [
        plan(
            "support",
            &format!(
                "{{ queue = {{ name = 'support', to = ['{away}'], seconds = 5, max = 1, leave = '0', failed = 'late', \
                 full = 'full' }} }}, {{ send_digits = {{ digits = '7' }} }}"
            ),
        ),
        plan("late", "{ send_digits = { digits = '5' } }"),
        plan("full", "{ send_digits = { digits = '6' } }"),
    ];
    let near = with_plans("queue-ends", &plans.concat()).await;
    let first = calling(&near, "support");
    until_waiting(&near, 1).await;
    assert_eq!(calling(&near, "support").await.expect("a call").keys, "6");
    assert_eq!(first.await.expect("a call").keys, "5");
    // Who hangs up has left it, and who presses the key goes on.
    call(&Errand { no_greeting: true, ..errand(near.udp("support").expect("an address"), &[]) }).await;
    until_waiting(&near, 0).await;
    let leaving = Errand {
        digits: Some(("0".into(), PressBy::Agreed)),
        wait: true,
        no_greeting: true,
        ..errand(near.udp("support").expect("an address"), &[])
    };
    assert_eq!(call(&leaving).await.keys, "7");
    let line = until_waiting(&near, 0).await;
    for (result, many) in [("timeout", 1), ("full", 1), ("abandoned", 1), ("left", 1), ("answered", 0)] {
        assert_eq!(line["calls"][result], many, "{result}: {line}");
    }
    until_ended(&far, "away", 3).await;
    stop(near).await;
    stop(far).await;
}

/// What somebody hears who calls a number and says this.
fn speaking(milo: &Running, number: &str, play: &[&str], wait: bool) -> (PathBuf, JoinHandle<Report>) {
    let record = milo.folder().join(format!("{number}-{}.wav", play.len()));
    let target = milo.udp(number).expect("an address");
    let errand = Errand {
        no_greeting: true,
        wait,
        record: Some(record.clone()),
        play: play.iter().map(|name| recording(name)).collect(),
        ..errand(target, &[])
    };
    (record, tokio::spawn(async move { call(&errand).await }))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_the_next_caller() {
    let silence = "files = ['silence.wav']";
    let plans = [
        plan(
            "support",
            &format!(
                "{{ queue = {{ name = 'support', announce_seconds = 0, {silence} }} }}, {{ send_digits = {{ digits = '7' }} }}"
            ),
        ),
        plan(
            "operator",
            &format!(
                "{{ bridge = {{ queue = 'support', seconds = 20, {silence} }} }}, {{ send_digits = {{ digits = '8' }} }}"
            ),
        ),
        plan("nobody", "{ bridge = { queue = 'support', seconds = 1, failed = 'late' } }"),
        plan("late", "{ send_digits = { digits = '5' } }"),
        plan("parked", &format!("{{ hold = {{ seconds = 30, {silence} }} }}, {{ send_digits = {{ digits = '9' }} }}")),
        "[[plan]]\nname = 'certain'\nnumber = '????????-????-*'\nlanguage = 'fr'\nactions = [{ answer = {} }, \
         { bridge = { call = '{{called}}', seconds = 3 } }, { send_digits = { digits = '4' } }]\n"
            .to_owned(),
    ];
    let folder = crate::house::folder("queue-bridge-plans");
    wav::write(&folder.join("silence.wav"), &[0; 16_000]).expect("a file");
    std::fs::write(folder.join("plans.toml"), [crate::house::MILO, &plans.concat()].concat()).expect("a file");
    let path = folder.to_string_lossy().into_owned();
    let milo = crate::house::milo("queue-bridge", &[("MILO__DIALPLANS__PATH", path.as_str())]).await;

    assert_eq!(calling(&milo, "nobody").await.expect("a call").keys, "5", "nobody waits");

    // The operator is there first, and waits for the caller; whose voice reaches it, and the other way round.
    let (heard_there, operator) = speaking(&milo, "operator", &["mg_hours.wav"], false);
    let (heard_here, caller) = speaking(&milo, "support", &[], true);
    let report = caller.await.expect("a call");
    operator.await.expect("a call");
    assert_eq!(report.keys, "7", "the operator has hung up, and the caller's plan goes on: {report}");
    let heard = wav::read(&heard_here).expect("what the caller heard");
    assert!(loud(&heard) > 4_000, "{} loud samples of the operator", loud(&heard));
    assert!(loud(&wav::read(&heard_there).expect("what was heard")) < 500);
    let calls = until_ended(&milo, "support", 1).await;
    assert_eq!(events(&calls[0], "parted")[0]["why"], "the one who took the call hung up", "{calls:?}");
    assert_eq!(events(&calls[0], "queue_left")[0]["result"], "answered");

    // The caller speaks, and hangs up first: the operator's plan goes on.
    let (_, caller) = speaking(&milo, "support", &["mg_appointment.wav"], false);
    let (heard_there, operator) = speaking(&milo, "operator", &[], true);
    caller.await.expect("a call");
    let report = operator.await.expect("a call");
    assert_eq!(report.keys, "8", "{report}");
    assert!(loud(&wav::read(&heard_there).expect("what was heard")) > 4_000);
    let calls = until_ended(&milo, "operator", 2).await;
    assert_eq!(events(&calls[1], "parted")[0]["why"], "the one who waited hung up", "{calls:?}");

    // Ended from outside, the operator's call gives the caller back.
    let (_, operator) = speaking(&milo, "operator", &[], true);
    let caller = calling(&milo, "support");
    let taken = until_live(&milo, "operator", "bridged").await;
    let path = format!("/api/v1/calls/{}", taken.as_str().expect("an identifier"));
    assert_eq!(send(&milo, ("DELETE", &path), &[], &Value::Null).status, 202);
    operator.await.expect("a call");
    let report = caller.await.expect("a call");
    assert_eq!(report.keys, "7", "{report}");

    // A certain call that is on hold; and one that is nowhere.
    let held = calling(&milo, "parked");
    let mut id = Value::Null;
    for _ in 0..100 {
        let list = get(&milo, "/api/v1/calls");
        id = list["calls"]
            .as_array()
            .expect("calls")
            .iter()
            .find(|call| call["dialplan"] == "parked")
            .map_or(Value::Null, |call| if call["answered"].is_null() { Value::Null } else { call["id"].clone() });
        if !id.is_null() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let (_, taker) = speaking(&milo, id.as_str().expect("a call that is up"), &["mg_price.wav"], false);
    assert_eq!(held.await.expect("a call").keys, "9");
    taker.await.expect("a call");
    assert_eq!(calling(&milo, "00000000-0000-7000-8000-000000000000").await.expect("a call").keys, "4");
    stop(milo).await;
    std::fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_on_hold_hears_music_and_is_told_if_the_plan_says_so() {
    let plans = [
        plan("quiet", "{ hold = { seconds = 30, ends = '#' } }, { send_digits = { digits = '1' } }"),
        plan(
            "told",
            "{ hold = { seconds = 2, tell = true } }, { gather = { into = 'key', max = 1 } }, { send_digits = { digits = '{{key}}' } }",
        ),
    ];
    let milo = with_plans("hold", &plans.concat()).await;
    let record = milo.folder().join("hold.wav");
    let pressing = |number: &str, keys: &str, record: Option<PathBuf>| Errand {
        digits: Some((keys.into(), PressBy::Agreed)),
        wait: true,
        no_greeting: record.is_none(),
        record,
        ..errand(milo.udp(number).expect("an address"), &[])
    };
    let report = call(&pressing("quiet", "#", None)).await;
    assert!(report.keys == "1" && report.duration_s < 20.0, "{report}");
    // A telephone that is told waits until the music is over, and then presses a key.
    let report = call(&pressing("told", "6", Some(record.clone()))).await;
    let logged = until_ended(&milo, "told", 1).await;
    assert_eq!(report.keys, "6", "{logged:?}");
    assert!(loud(&wav::read(&record).expect("what was heard")) > 8_000, "music");
    assert_eq!(events(&logged[0], "hold")[0]["told"], true, "{logged:?}");
    let path = format!("/api/v1/calls/{}/sip", logged[0]["id"].as_str().expect("an identifier"));
    let ladder = get(&milo, &path).to_string();
    assert!(ladder.contains("a=sendonly"), "{ladder}");
    let quiet = until_ended(&milo, "quiet", 1).await;
    assert_eq!(events(&quiet[0], "hold")[0]["told"], false, "{quiet:?}");
    stop(milo).await;
}
