//! Calls that Milo places for its API, to another Milo, to sipp and to baresip, over real sockets.

#![allow(unreachable_pub, reason = "some of it is for the scenarios beside it")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::address::own_address;
use crate::house::{
    Answer, MG_HOURS, MILO, answered, assert_turn, ended, events, folder, get, milo, newest_call, recording, send,
    stop, until, with_plans,
};
use milo::bench::Running;
use serde_json::{Value, json};

/// What the one who is called does with its numbers.
const FAR: &str = "
[[plan]]
name = 'listening'
number = 'listening'
language = 'mg'
actions = [{ answer = {} }, { digits = {} }, { digits = {} }]

[[plan]]
name = 'engaged'
number = 'engaged'
language = 'mg'
actions = [{ reject = { status = 486 } }]

[[plan]]
name = 'unwilling'
number = 'unwilling'
language = 'mg'
actions = [{ reject = { status = 603 } }]

[[plan]]
name = 'away'
number = 'away'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]

[[plan]]
name = 'announced'
number = 'announced'
language = 'mg'
actions = [{ early = {} }, { music = { seconds = 1 } }, { answer = {} }, { music = { seconds = 60 } }]
";

/// What Milo does when it is answered.
const NEAR: &str = "
[[plan]]
name = 'outgoing'
language = 'mg'
record = true
variables = ['code']
actions = [{ answer = {} }, { send_digits = { digits = '{{code}}#' } }, { wait = { seconds = 1 } }, { hangup = {} }]

[[plan]]
name = 'patient'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { early = {} }, { music = { seconds = 60 } }, { answer = {} }, { wait = { seconds = 60 } }]
";

/// A Milo with these plans and trunks.
pub async fn calling(name: &str, plans: &str, trunks: &str) -> Running {
    calling_with(name, plans, trunks, &[]).await
}

/// The same, with these variables besides.
pub async fn calling_with(name: &str, plans: &str, trunks: &str, more: &[(&str, &str)]) -> Running {
    let at = folder(&format!("{name}-plans"));
    fs::write(at.join("plans.toml"), [MILO, plans].concat()).expect("a temporary folder");
    let path = at.to_string_lossy().into_owned();
    let trunks = trunks.replace('\'', "\"");
    let own = [("MILO__DIALPLANS__PATH", path.as_str()), ("MILO__SIP__TRUNKS", &trunks)];
    milo(name, &[&own, more].concat()).await
}

/// A trunk whose gateway is that Milo.
pub fn trunk_to(far: &Running, name: &str, more: &str) -> String {
    let gateway = far.udp("x").expect("an address").to_string().replace("x@", "");
    format!("{{ name = '{name}', gateway = '{gateway}', {more} }}")
}

pub fn place(near: &Running, call: &Value) -> Answer {
    send(near, ("POST", "/api/v1/calls"), &[], call)
}

/// Has a call placed, and waits until it has ended.
pub async fn placed(near: &Running, call: &Value) -> Value {
    let answer = place(near, call);
    assert_eq!(answer.status, 202, "{answer:?}");
    ended(near, &answer.body["id"]).await
}

fn hang_up(near: &Running, id: &Value) -> u16 {
    send(near, ("DELETE", &format!("/api/v1/calls/{}", id.as_str().expect("an identifier"))), &[], &Value::Null).status
}

/// The first event of this kind.
pub fn event<'a>(call: &'a Value, kind: &str) -> &'a Value {
    events(call, kind).first().copied().unwrap_or_else(|| panic!("no {kind} in {call}"))
}

/// The outcome of a call, its status, and what its event `dialled` says.
fn came_of(call: &Value) -> (&str, Option<u64>, &str) {
    let dialled = event(call, "dialled")["result"].as_str().expect("a result");
    (call["outcome"].as_str().unwrap_or_default(), call["sip_status"].as_u64(), dialled)
}

#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_answered_the_plan_runs_with_what_it_was_given() {
    let far = with_plans("called", FAR).await;
    let trunk = trunk_to(&far, "carrier", "caller_id = '0200000001', caller_ids = ['0200000002']");
    let near = calling("calling", NEAR, &format!("[{trunk}]")).await;
    let call =
        json!({ "to": "listening", "trunk": "carrier", "variables": { "code": 4711 }, "caller_id": "0200000002" });
    let answer = place(&near, &call);
    let id = answer.body["id"].clone();
    let location = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    assert_eq!((answer.status, answer.header("location")), (202, Some(location.as_str())), "{answer:?}");
    assert_eq!((&answer.body["trunk"], &answer.body["plan"]), (&"carrier".into(), &"outgoing".into()));

    let row = ended(&near, &id).await;
    assert_eq!(
        (&row["direction"], &row["to"], &row["from"]),
        (&"out".into(), &"listening".into(), &"0200000002".into())
    );
    assert_eq!(came_of(&row), ("answered", Some(200), "answered"), "{row}");
    assert_eq!((&row["end_reason"], row["recording"].is_string()), (&"the plan is done".into(), true), "{row}");
    assert_eq!(
        (&event(&row, "trunk")["name"], &event(&row, "dialling")["caller_id"]),
        (&"carrier".into(), &"0200000002".into())
    );
    let heard = newest_call(&far).await;
    let keys: String = events(&heard, "digit").iter().filter_map(|key| key["digit"].as_str()).collect();
    assert_eq!((keys.as_str(), &heard["from"]), ("4711#", &"0200000002".into()), "{heard}");
    assert_eq!(row["call_id"], heard["call_id"], "the INVITE's own");
    assert_eq!(get(&near, "/api/v1/trunks")["trunks"][0]["calls_out"], 1);

    // A trunk shows its own numbers and those it is told, nobody else's.
    let other = place(&near, &json!({ "to": "listening", "caller_id": "0209999999" }));
    assert!(
        other.status == 422 && other.body["detail"].as_str().is_some_and(|says| says.contains("caller_ids")),
        "{other:?}"
    );
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_come_is_told_apart_and_the_row_says_so() {
    let far = with_plans("not-coming", FAR).await;
    let near = calling("waiting", NEAR, &format!("[{}]", trunk_to(&far, "carrier", ""))).await;
    for (number, outcome, status) in
        [("engaged", "busy", 486), ("unwilling", "refused", 603), ("nobody", "refused", 404)]
    {
        let row = placed(&near, &json!({ "to": number })).await;
        assert_eq!(came_of(&row), (outcome, Some(status), outcome), "{row}");
        assert_eq!((&row["hangup_by"], &row["answered"]), (&"caller".into(), &Value::Null), "{row}");
    }
    // Nobody comes to the telephone: CANCEL.
    let row = placed(&near, &json!({ "to": "away", "ring_timeout_s": 2 })).await;
    assert_eq!(came_of(&row), ("no answer", None, "no answer"), "{row}");
    assert_eq!(event(&row, "progress"), &json!({ "status": 180, "heard": false }));
    let given_up = newest_call(&far).await;
    assert!(given_up["end_reason"].as_str().is_some_and(|reason| reason.contains("cancelled")), "{given_up}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_ended_by_the_api_while_it_rings_and_when_it_is_up() {
    let far = with_plans("ended", FAR).await;
    let near = calling("ending", NEAR, "[]").await;
    let number = |number: &str| far.udp(number).expect("an address").to_string();

    let ringing = place(&near, &json!({ "to": number("away"), "plan": "patient" })).body["id"].clone();
    until(&near, &ringing, "ringing", |call| !events(call, "progress").is_empty()).await;
    assert_eq!(hang_up(&near, &ringing), 202);
    let row = ended(&near, &ringing).await;
    assert_eq!((came_of(&row), &row["hangup_by"]), (("cancelled", None, "cancelled"), &"milo".into()), "{row}");
    let given_up = newest_call(&far).await;
    assert!(given_up["end_reason"].as_str().is_some_and(|reason| reason.contains("cancelled")), "{given_up}");
    assert_eq!(hang_up(&near, &ringing), 409, "it is over");
    assert_eq!(hang_up(&near, &json!("01890000-0000-7000-8000-000000000000")), 404);

    // What is heard before the answer is passed over, and so are the plan's verbs before it.
    let up = place(&near, &json!({ "to": number("announced"), "dialplan": "patient" })).body["id"].clone();
    let row = until(&near, &up, "up", |call| !events(call, "verb").is_empty()).await;
    assert_eq!(event(&row, "verb"), &json!({ "answer": {} }), "{row}");
    assert_eq!(event(&row, "progress"), &json!({ "status": 183, "heard": true }));
    assert_eq!(hang_up(&near, &up), 202);
    let row = ended(&near, &up).await;
    assert_eq!((came_of(&row).0, &row["end_reason"]), ("answered", &"somebody ended it by the API".into()), "{row}");
    assert_eq!(newest_call(&far).await["hangup_by"], "caller", "a BYE");

    // The same for whoever has called Milo.
    let phone = place(&far, &json!({ "to": near.udp("milo").expect("an address").to_string(), "plan": "listening" }));
    assert_eq!(phone.status, 202, "{phone:?}");
    let mut caller = Value::Null;
    for _ in 0..100 {
        caller = get(&near, "/api/v1/calls?limit=1")["calls"][0].clone();
        if caller["direction"] == "in" && caller["answered"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(hang_up(&near, &caller["id"]), 202, "{caller}");
    assert_eq!(ended(&near, &caller["id"]).await["hangup_by"], "milo");
    let audit = get(&near, "/api/v1/audit");
    let deeds = audit["deeds"].as_array().expect("deeds").iter().filter(|deed| deed["action"] == "calls.delete");
    let targets: Vec<_> = deeds.map(|deed| &deed["target"]).collect();
    assert_eq!(targets, [&caller["id"], &up, &ringing], "who ended which is kept, the last first");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_call_and_limits_leave_no_room() {
    let far = with_plans("limited", FAR).await;
    let trunks = [trunk_to(&far, "narrow", "max_calls = 1"), trunk_to(&far, "slow", "calls_per_second = 0.01")];
    let near = calling("limiting", NEAR, &format!("[{}]", trunks.join(", "))).await;
    let call = json!({ "to": "listening", "trunk": "narrow", "plan": "patient" });
    let place =
        |key: &str, call: &Value| send(&near, ("POST", "/api/v1/calls"), &[&format!("Idempotency-Key: {key}")], call);
    let first = place("one", &call);
    let again = place("one", &call);
    assert_eq!((first.status, again.status, &first.body), (202, 200, &again.body));
    assert_eq!(first.header("location"), again.header("location"));
    let another = place("one", &json!({ "to": "engaged", "trunk": "narrow", "plan": "patient" }));
    assert!(
        another.status == 422 && another.body["detail"].as_str().is_some_and(|says| says.contains("another call")),
        "{another:?}"
    );
    until(&near, &first.body["id"], "up", |call| call["answered"].is_string()).await;

    let full = place("two", &call);
    assert!(full.status == 503 && full.header("retry-after").is_some(), "{full:?}");
    assert!(full.body["detail"].as_str().is_some_and(|says| says.contains("max_calls")), "{full:?}");
    let slow = json!({ "to": "listening", "trunk": "slow", "plan": "patient" });
    assert_eq!(place("three", &slow).status, 202);
    let fast = place("four", &slow);
    assert!(fast.status == 429 && fast.header("retry-after").is_some(), "{fast:?}");
    // Of several trunks it is the first that takes it.
    let either = place("five", &json!({ "to": "listening", "trunk": ["slow", "narrow"], "plan": "patient" }));
    assert_eq!(either.status, 429, "the first of them that passes is told: {either:?}");
    assert_eq!(hang_up(&near, &first.body["id"]), 202);
    ended(&near, &first.body["id"]).await;
    let either = place("five", &json!({ "to": "listening", "trunk": ["slow", "narrow"], "plan": "patient" }));
    assert_eq!((either.status, &either.body["trunk"]), (202, &"narrow".into()), "what was refused is not remembered");
    assert_eq!(get(&near, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(3), "what was refused has no row");

    // A Milo that ends waits for its calls, and places no more.
    near.signal("TERM").await.expect("a signal");
    let engaged = json!({ "to": far.udp("engaged").expect("an address").to_string(), "plan": "patient" });
    let is_ending = |answer: &Answer| answer.body["detail"].as_str().is_some_and(|says| says.contains("ending"));
    let mut refused = place("other 0", &engaged);
    for n in 1..200 {
        if is_ending(&refused) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        refused = place(&format!("other {n}"), &engaged);
    }
    assert!(refused.status == 503 && is_ending(&refused) && refused.header("retry-after").is_some(), "{refused:?}");
    // A second signal ends it at once.
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn milo_calls_somebody_and_holds_a_conversation() {
    let at = folder("asked-plans");
    fs::copy(recording("mg_hours.wav"), at.join("question.wav")).expect("a temporary folder");
    let plan = "[[plan]]\nname = 'asking'\nnumber = 'asking'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { wait = { seconds = 5 } }, { play = 'question.wav' }, { wait = { seconds = 8 } }]\n";
    fs::write(at.join("plans.toml"), [MILO, plan].concat()).expect("a temporary folder");
    let far = milo("asking", &[("MILO__DIALPLANS__PATH", &at.to_string_lossy())]).await;
    // With the dialplan that ships.
    let near = milo("answering", &[]).await;
    let to = far.udp("asking").expect("an address").to_string();
    let row = placed(&near, &json!({ "to": to })).await;
    let turns = answered(&row);
    assert_eq!((turns.len(), &row["dialplan"]), (1, &"outgoing".into()), "{row}");
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    stop(near).await;
    stop(far).await;
}

/// A program that is called; ended when the scenario is.
pub struct Callee(Child);

impl Callee {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a telephone"))
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sipp_and_baresip_are_called() {
    let near = calling("calling-others", NEAR, "[]").await;
    let (sipp_at, baresip_at) = (own_address().to_string(), own_address().to_string());
    let files = folder("called-telephones");
    let _sipp = Callee::start(
        Command::new("sipp")
            .args(["-sn", "uas", "-i", &sipp_at, "-p", "5070", "-mi", &sipp_at, "-rtp_echo", "-nostdin"])
            .current_dir(&files),
    );
    let config = format!(
        "sip_listen {baresip_at}:5070\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
         audio_source aubridge,loop\naudio_player aubridge,loop\nmodule_app account.so\nmodule_app menu.so\n"
    );
    fs::write(files.join("config"), config).expect("a configuration");
    let account = format!("<sip:callee@{baresip_at}>;regint=0;answermode=auto;audio_codecs=PCMU\n");
    fs::write(files.join("accounts"), account).expect("an account");
    let _baresip = Callee::start(Command::new("baresip").arg("-f").arg::<&Path>(&files));
    for (who, at) in [("sipp", &sipp_at), ("callee", &baresip_at)] {
        let call = json!({ "to": format!("sip:{who}@{at}:5070"), "variables": { "code": "1" } });
        // It may not listen yet: an INVITE that meets nobody is sent again.
        let row = placed(&near, &call).await;
        assert_eq!(came_of(&row), ("answered", Some(200), "answered"), "{who}: {row}");
        assert_eq!(row["end_reason"], "the plan is done", "{who}: {row}");
    }
    stop(near).await;
    fs::remove_dir_all(files).ok();
}
