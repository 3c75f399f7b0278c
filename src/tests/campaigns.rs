//! Campaigns: Milo calls the numbers of a list, at another Milo, over real sockets; across pauses, crashes, and two nodes at once.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    call_log::postgres,
    calling_out::{calling, calling_with, event, trunk_to},
    house::{Answer, MILO, PROGRAM, ended, events, folder, get, metric, send, stop, with_plans},
};

/// What those who are called do.
pub(crate) const FAR: &str = "
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
name = 'away'
number = 'away'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]

[[plan]]
name = 'short'
number = 's*'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 2 } }, { hangup = {} }]

[[plan]]
name = 'longer'
number = 'l*'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 10 } }, { hangup = {} }]
";

/// What Milo does when it is answered.
const NEAR: &str = "
[[plan]]
name = 'outgoing'
language = 'mg'
variables = ['code']
actions = [{ answer = {} }, { send_digits = { digits = '{{code}}#' } }, { wait = { seconds = 1 } }, { hangup = {} }]

[[plan]]
name = 'patient'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 120 } }]
";

fn add(milo: &Running, order: &Value) -> Answer {
    send(milo, ("POST", "/api/v1/campaigns"), &[], order)
}

/// Adds a campaign. Returns its address.
fn added(milo: &Running, order: &Value) -> String {
    let answer = add(milo, order);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.header("location").expect("where it is").to_owned()
}

fn tell(milo: &Running, at: &str, what: &str) -> Answer {
    send(milo, ("POST", &format!("{at}/{what}")), &[], &Value::Null)
}

/// Waits until a campaign is so, and returns it.
async fn until(milo: &Running, at: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut campaign = Value::Null;
    for _ in 0..900 {
        campaign = get(milo, at);
        if is_so(&campaign) {
            return campaign;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("within ninety seconds the campaign was not {what}: {campaign}");
}

pub(crate) async fn finished(milo: &Running, at: &str) -> Value {
    until(milo, at, "finished", |campaign| campaign["state"] == "finished").await
}

/// curl with these arguments: the status, and what it says.
fn curl(milo: &Running, path: &str, args: &[&str]) -> (u16, String) {
    let url = format!("{}{path}", milo.http.trim_end_matches('/'));
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "20", "--write-out", "\n%{http_code}"]).args(args).arg(&url);
    let said = String::from_utf8_lossy(&curl.output().expect("curl").stdout).into_owned();
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.parse().expect("a status"), body.to_owned())
}

/// The results, by number, each a map of its columns.
fn results(milo: &Running, at: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let (status, text) = curl(milo, &format!("{at}/results"), &[]);
    assert_eq!(status, 200, "{text}");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let rows = reader.deserialize::<BTreeMap<String, String>>().map(|row| row.expect("a line"));
    rows.map(|row| (row["number"].clone(), row)).collect()
}

/// State and outcomes of a number.
fn came<'r>(results: &'r BTreeMap<String, BTreeMap<String, String>>, number: &str) -> (&'r str, &'r str) {
    let row = &results[number];
    (&row["state"], &row["outcomes"])
}

/// How often a Milo was called under each number.
pub(crate) fn called(far: &Running) -> BTreeMap<String, usize> {
    let mut called = BTreeMap::new();
    for call in get(far, "/api/v1/calls?limit=200")["calls"].as_array().expect("calls") {
        *called.entry(call["to"].as_str().expect("a number").to_owned()).or_default() += 1;
    }
    called
}

/// The calls that are up and were answered.
fn live(near: &Running) -> Vec<Value> {
    let calls = get(near, "/api/v1/calls?live=true");
    let calls = calls["calls"].as_array().expect("calls").iter();
    calls.filter(|call| call["answered"].is_string()).cloned().collect()
}

/// Waits until so many calls are up and answered.
async fn until_live(near: &Running, count: usize) -> Vec<Value> {
    for _ in 0..600 {
        let live = live(near);
        if live.len() == count {
            return live;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("within thirty seconds there were not {count} calls up: {:?}", live(near));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_called_and_each_number_says_what_came_of_it() {
    let far = with_plans("campaign-called", FAR).await;
    let near = calling("campaign-calling", NEAR, &format!("[{}]", trunk_to(&far, "carrier", ""))).await;
    let unwanted = json!({ "number": "some", "note": "asked so" });
    assert_eq!(send(&near, ("POST", "/api/v1/campaigns/do-not-call"), &[], &unwanted).status, 201);
    let order = json!({
        "name": "All kinds",
        "list": "code,number\r\n11,listening\r\n22,engaged\r\n33,away\r\n44,some\r\n55,nobody\r\n",
        "trunk": "carrier",
        "at_once": 2,
        "ring_timeout_s": 2,
        "retries": { "busy": { "after_s": 1, "times": 2 } },
    });
    let at = added(&near, &order);
    let campaign = finished(&near, &at).await;
    assert_eq!(campaign["settings"]["retries"], order["retries"], "{campaign}");
    assert_eq!((&campaign["settings"].get("list"), &campaign["columns"]), (&None, &json!(["code"])), "{campaign}");
    let counts = &campaign["counts"];
    assert_eq!(
        (&counts["total"], &counts["done"], &counts["skipped"]),
        (&5.into(), &4.into(), &1.into()),
        "{campaign}"
    );
    assert_eq!(counts["outcomes"], json!({ "answered": 1, "busy": 1, "no_answer": 1, "refused": 1 }));

    let results = results(&near, &at);
    assert_eq!(came(&results, "listening"), ("done", "answered"));
    assert_eq!(came(&results, "engaged"), ("done", "busy busy busy"), "two times again");
    assert_eq!(came(&results, "away"), ("done", "no_answer"));
    assert_eq!(came(&results, "nobody"), ("done", "refused"));
    assert_eq!(came(&results, "some"), ("skipped", ""), "it is on the do-not-call list");
    assert_eq!((results["listening"]["code"].as_str(), results["engaged"]["line"].as_str()), ("11", "3"));
    let known = called(&far);
    assert_eq!((known.get("engaged"), known.get("some")), (Some(&3), None), "{known:?}");

    // Each call is one of the log, and says whose it is.
    let calls: Vec<&str> = results["engaged"]["calls"].split(' ').collect();
    assert_eq!(calls.len(), 3, "{results:?}");
    for call in calls {
        let call = ended(&near, &call.into()).await;
        assert_eq!(call["outcome"], "busy", "{call}");
        assert_eq!(event(&call, "campaign")["line"], 3, "{call}");
        assert!(at.ends_with(event(&call, "campaign")["id"].as_str().expect("a campaign")), "{call}");
    }
    // What the list had besides the number is the plan's.
    let heard = get(&far, "/api/v1/calls?number=listening")["calls"][0].clone();
    let heard = ended(&far, &heard["id"]).await;
    let keys: String = events(&heard, "digit").iter().filter_map(|key| key["digit"].as_str()).collect();
    assert_eq!(keys, "11#", "{heard}");
    assert_eq!(metric(&near, "milo_campaign_calls_total{outcome=\"busy\"}").await, 3.0);

    assert_eq!(tell(&near, &at, "pause").status, 409, "it has ended");
    assert_eq!(send(&near, ("DELETE", &at), &[], &Value::Null).status, 204);
    assert_eq!(send(&near, ("GET", &at), &[], &Value::Null).status, 404);
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_pauses_goes_on_and_leaves_out_whom_somebody_forbids_meanwhile() {
    let far = with_plans("campaign-paused", &FAR.replace("seconds = 10", "seconds = 120")).await;
    let near = calling("campaign-pausing", NEAR, &format!("[{}]", trunk_to(&far, "carrier", ""))).await;
    let order = json!({ "name": "n", "list": "number\nl1\nl2\nl3\nl4\n", "trunk": "carrier", "plan": "patient" });
    let at = added(&near, &order);
    let hang_up = async |call: &Value| {
        let path = format!("/api/v1/calls/{}", call["id"].as_str().expect("an identifier"));
        assert_eq!(send(&near, ("DELETE", &path), &[], &Value::Null).status, 202);
        ended(&near, &call["id"]).await
    };
    let up = until_live(&near, 1).await;
    assert_eq!(up[0]["to"], "l1", "one at once, the first first");
    let paused = tell(&near, &at, "pause");
    assert_eq!((paused.status, &paused.body["state"]), (200, &"paused".into()), "{paused:?}");
    assert_eq!(tell(&near, &at, "pause").status, 409);
    let unwanted = json!({ "number": "l2" });
    assert_eq!(send(&near, ("POST", "/api/v1/campaigns/do-not-call"), &[], &unwanted).status, 201);
    // The call that is up goes on, and is noted down; nobody else is called.
    hang_up(&up[0]).await;
    until(&near, &at, "quiet", |campaign| campaign["counts"]["done"] == 1).await;
    sleep(Duration::from_secs(3)).await;
    let quiet = get(&near, &at);
    assert_eq!((&quiet["counts"]["waiting"], &quiet["counts"]["calling"]), (&3.into(), &0.into()), "{quiet}");
    assert_eq!(called(&far).len(), 1);

    assert_eq!(tell(&near, &at, "resume").status, 200);
    let up = until_live(&near, 1).await;
    assert_eq!(up[0]["to"], "l3", "the second is not to be called any more");
    // Whoever cancels ends no call.
    let cancelled = tell(&near, &at, "cancel");
    assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &"cancelled".into()), "{cancelled:?}");
    assert_eq!((tell(&near, &at, "cancel").status, tell(&near, &at, "resume").status), (409, 409));
    assert_eq!(send(&near, ("DELETE", &at), &[], &Value::Null).status, 409, "a call of it is up");
    hang_up(&up[0]).await;
    until(&near, &at, "over", |campaign| campaign["counts"]["calling"] == 0).await;
    let results = results(&near, &at);
    assert_eq!([came(&results, "l1"), came(&results, "l3")], [("done", "answered"); 2]);
    assert_eq!((came(&results, "l2"), came(&results, "l4")), (("skipped", ""), ("cancelled", "")));
    assert_eq!(called(&far).len(), 2);
    let deeds = get(&near, "/api/v1/audit");
    let deeds = deeds["deeds"].as_array().expect("deeds").iter().filter_map(|deed| deed["action"].as_str());
    let deeds: Vec<&str> = deeds.filter(|action| action.starts_with("campaigns.")).collect();
    let done = ["campaigns.cancel", "campaigns.resume", "campaigns.forbid", "campaigns.pause", "campaigns.add"];
    assert_eq!(deeds, done, "the last first");
    stop(near).await;
    stop(far).await;
}

/// A Milo that calls over a trunk to another, on this folder: it can be started again.
pub(crate) async fn caller(at: &Path, far: &Running, more: &[(&str, &str)]) -> Running {
    let plans = at.join("plans");
    fs::create_dir_all(&plans).expect("a folder");
    fs::write(plans.join("plans.toml"), [MILO, NEAR].concat()).expect("a file");
    let (plans, trunks) = (plans.to_string_lossy().into_owned(), format!("[{}]", trunk_to(far, "carrier", "")));
    let trunks = trunks.replace('\'', "\"");
    let own = [("MILO__DIALPLANS__PATH", plans.as_str()), ("MILO__SIP__TRUNKS", &trunks)];
    Running::start(Path::new(PROGRAM), at, &[&own, more].concat()).await.expect("Milo starts")
}

/// Kills Milo while two of a list are called, and starts it again on the same folder and database.
async fn killed_in_mid_campaign(more: &[(&str, &str)]) {
    let far = with_plans("campaign-left", FAR).await;
    let at = folder("campaign-killed");
    let near = caller(&at, &far, more).await;
    let order = json!({
        "name": "n",
        "list": "number\nl1\nl2\nl3\n",
        "trunk": "carrier",
        "plan": "patient",
        "at_once": 2,
        "retries": { "interrupted": { "after_s": 1, "times": 1 } },
    });
    let campaign = added(&near, &order);
    let up = until_live(&near, 2).await;
    // What a crash may interrupt is in the database.
    until(&near, &campaign, "called", |campaign| campaign["counts"]["calling"] == 2).await;
    near.kill().await.expect("kill -9");

    let near = caller(&at, &far, more).await;
    let over = finished(&near, &campaign).await;
    assert_eq!(over["counts"]["outcomes"], json!({ "answered": 3 }), "{over}");
    let results = results(&near, &campaign);
    assert_eq!([came(&results, "l1"), came(&results, "l2")], [("done", "interrupted answered"); 2], "{results:?}");
    assert_eq!(came(&results, "l3"), ("done", "answered"));
    for call in &up {
        let (number, id) = (call["to"].as_str().expect("a number"), call["id"].as_str().expect("an identifier"));
        assert!(results[number]["calls"].starts_with(id), "{call}: {results:?}");
    }
    let known = called(&far);
    assert_eq!((known["l1"], known["l2"], known["l3"]), (2, 2, 1), "each attempt is one call");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_mid_campaign_counts_as_an_attempt_and_calls_nobody_twice_for_one() {
    killed_in_mid_campaign(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_on_postgres() {
    let url = postgres().await;
    killed_in_mid_campaign(&[("DATABASE_URL", &url)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_milos_on_one_postgres_call_each_number_once() {
    let url = postgres().await;
    let far = with_plans("campaign-shared", FAR).await;
    let shared = [("DATABASE_URL", url.as_str())];
    let (one, other) =
        (caller(&folder("campaign-one"), &far, &shared).await, caller(&folder("campaign-other"), &far, &shared).await);
    let numbers: Vec<String> = (10..26).map(|number| format!("s{number}")).collect();
    let list = format!("number\n{}\n", numbers.join("\n"));
    let order = json!({ "name": "n", "list": list, "trunk": "carrier", "plan": "patient", "at_once": 3 });
    let at = added(&one, &order);
    finished(&other, &at).await;
    let results = results(&one, &at);
    for number in &numbers {
        assert_eq!(came(&results, number), ("done", "answered"), "{number}");
    }
    let known = called(&far);
    assert!(known.len() == numbers.len() && known.values().all(|times| *times == 1), "{known:?}");
    stop(one).await;
    stop(other).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_calls_within_its_hours_and_leaves_room_to_others() {
    let far = with_plans("campaign-room", &FAR.replace("seconds = 10", "seconds = 120")).await;
    let trunk = format!("[{}]", trunk_to(&far, "carrier", "max_calls = 2"));
    let near =
        calling_with("campaign-hours", NEAR, &trunk, &[("MILO__LIMITS__CALLS", "4"), ("MILO__CAMPAIGNS__OPEN", "3")])
            .await;
    let order = |list: &str, more: Value| {
        let mut order = json!({ "name": "n", "list": list, "trunk": "carrier", "plan": "patient", "at_once": 9 });
        order.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        order
    };
    // Every day of the year is a holiday of its own.
    let days = (1..=12).flat_map(|month| (1..=31).map(move |day| format!("{month:02}-{day:02}")));
    let thirty = ["02-30", "02-31", "04-31", "06-31", "09-31", "11-31"];
    let holidays: Vec<String> = days.filter(|day| !thirty.contains(&day.as_str())).collect();
    let never = added(&near, &order("number\ns1\n", json!({ "open": { "holidays": holidays } })));
    let waits = |campaign: &Value, says: &str| campaign["waits"].as_str().is_some_and(|waits| waits.contains(says));
    until(&near, &never, "closed", |campaign| waits(campaign, "is a holiday")).await;

    // Of four places three are left to others.
    let narrow = added(&near, &order("number\nl1\nl2\n", json!({ "leave": 3 })));
    until_live(&near, 1).await;
    let waiting = until(&near, &narrow, "waiting", |campaign| waits(campaign, "3 are left to those who call in")).await;
    assert_eq!(waiting["counts"]["waiting"], 1, "{waiting}");
    // The trunk carries two.
    let wide = added(&near, &order("number\nl3\nl4\nl5\n", json!({ "leave": 0 })));
    until_live(&near, 2).await;
    let waiting = until(&near, &wide, "waiting", |campaign| {
        // One that is refused a call is claimed for a moment.
        waits(campaign, "max_calls") && campaign["counts"]["calling"] == 1
    })
    .await;
    assert_eq!(waiting["counts"]["waiting"], 2, "{waiting}");
    let one_more = add(&near, &order("number\ns1\n", json!({})));
    assert_eq!((one_more.status, one_more.header("retry-after")), (503, Some("60")), "{one_more:?}");
    assert_eq!(called(&far).len(), 2);

    for at in [&never, &narrow, &wide] {
        assert_eq!(tell(&near, at, "cancel").status, 200);
    }
    for call in live(&near) {
        let path = format!("/api/v1/calls/{}", call["id"].as_str().expect("an identifier"));
        assert_eq!(send(&near, ("DELETE", &path), &[], &Value::Null).status, 202);
    }
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_by_line_and_field_and_nothing_of_it_is_kept() {
    let trunk = "[{ name = 'carrier', gateway = 'sip:127.0.0.1:9;transport=tcp' }]";
    let milo = calling_with("campaign-faults", NEAR, trunk, &[("MILO__CAMPAIGNS__LINES", "4")]).await;
    let order = |more: Value| {
        let mut order = json!({ "name": "n", "list": "number,code\n0341234567,1\n", "trunk": "carrier" });
        order.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        order
    };
    for (wrong, says) in [
        (json!({ "list": "" }), "list: it is empty"),
        (json!({ "list": "code\n1\n" }), "line 1, number: the head has no column"),
        (json!({ "list": "number,kode\n0341234567,1\n" }), "line 2, kode: no plan knows the variable"),
        (
            json!({ "list": "number,code\n0341234567,1\nmilo/1,2\n" }),
            "line 3, number: to \"milo/1\" is neither a number",
        ),
        (json!({ "list": "number,code\n0341234567,1\n341234567.0,2\n" }), "line 3, number: it begins as a number"),
        (json!({ "list": "number,code\n034,\"1\n035,2\n" }), "line 2, field 2: its quote is not closed"),
        (json!({ "list": "number,code\n0341234567,1\n034,2,3\n" }), "line 3, all of it: it has 3 fields"),
        (json!({ "list": "number\n1\n2\n3\n4\n5\n" }), "more than 4 lines"),
        (json!({ "list": format!("number,code\n034,{}\n", "x".repeat(1_001)) }), "line 2, code: the value"),
        (json!({ "plan": "nowhere" }), "plan \"nowhere\""),
        (json!({ "trunk": "nobody" }), "trunk \"nobody\""),
        (json!({ "at_once": 0 }), "at_once = 0"),
        (json!({ "leave": 50 }), "leaves no place"),
        (json!({ "open": { "hours": [{ "from": "8:00", "to": "17:00" }] } }), "no time of day"),
        (json!({ "retries": { "answered": { "after_s": 1, "times": 1 } } }), "answered"),
        (json!({ "colour": "red" }), "colour"),
    ] {
        let refused = add(&milo, &order(wrong));
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(refused.status == 422 && detail.contains(says), "{says}: {} {detail}", refused.status);
    }
    assert_eq!(get(&milo, "/api/v1/campaigns")["campaigns"], json!([]), "nothing of it is kept");

    // A list as a file, of a campaign that waits to be begun.
    let at = folder("campaign-files");
    fs::write(at.join("campaign.json"), json!({ "name": "n", "trunk": "carrier", "paused": true }).to_string())
        .expect("a file");
    fs::write(at.join("list.csv"), "number;code\r\n034 12 345 67;11\r\n").expect("a file");
    let form = |part: &str, file: &str| format!("{part}=@{}", at.join(file).display());
    let parts = [form("campaign", "campaign.json"), form("list", "list.csv")];
    let (status, body) = curl(&milo, "/api/v1/campaigns", &["--form", &parts[0], "--form", &parts[1]]);
    assert_eq!(status, 201, "{body}");
    let listed = get(&milo, "/api/v1/campaigns")["campaigns"][0].clone();
    assert_eq!((&listed["state"], &listed["who"]), (&"paused".into(), &"this machine".into()), "{listed}");
    let path = format!("/api/v1/campaigns/{}", listed["id"].as_str().expect("an identifier"));
    assert_eq!(results(&milo, &path)["0341234567"]["code"], "11");
    let (status, body) = curl(&milo, "/api/v1/campaigns", &["--form", &parts[0]]);
    assert!(status == 422 && body.contains("no part named `list`"), "{status} {body}");

    // Whom nobody is to call: one number however it is written.
    let forbidden = "/api/v1/campaigns/do-not-call";
    let forbid = |number: &str| send(&milo, ("POST", forbidden), &[], &json!({ "number": number })).status;
    assert_eq!((forbid("+261 34 12 345 67"), forbid("0341234567"), forbid(" ")), (201, 200, 422));
    let again = send(&milo, ("POST", forbidden), &[], &json!({ "number": "0341234567", "note": "twice" }));
    assert_eq!((&again.body["number"], &again.body["note"]), (&"+261341234567".into(), &Value::Null), "as it is kept");
    fs::write(at.join("unwanted.csv"), "number,note\n0331234567,asked so\n00261341234567,\n").expect("a file");
    let file = format!("@{}", at.join("unwanted.csv").display());
    let import = |kind: &str| {
        let kind = format!("Content-Type: {kind}");
        curl(&milo, &format!("{forbidden}/import"), &["--data-binary", &file, "--header", &kind])
    };
    assert_eq!(import("text/csv; charset=utf-8"), (200, r#"{"total":2,"new":1}"#.to_owned()));
    assert_eq!(import("application/json").0, 415);
    fs::write(at.join("unwanted.csv"), "number,note\n0321234567,a\n,b\n").expect("a file");
    let (status, body) = import("text/csv");
    assert!(status == 422 && body.contains("line 3, number: it is empty"), "{status} {body}");
    let numbers = || {
        let list = get(&milo, forbidden);
        let numbers = list["numbers"].as_array().expect("numbers").iter().map(|one| one["number"].clone());
        numbers.collect::<Vec<_>>()
    };
    assert_eq!(numbers(), ["0331234567", "+261341234567"], "nothing of the wrong list");
    let allow = |number: &str| send(&milo, ("DELETE", &format!("{forbidden}/{number}")), &[], &Value::Null).status;
    assert_eq!((allow("0341234567"), allow("0341234567")), (204, 404));
    assert_eq!(numbers(), ["0331234567"]);
    stop(milo).await;
}
