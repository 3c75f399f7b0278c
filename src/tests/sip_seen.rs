//! The SIP of a call as its operator reads it: while it is up and after it, as JSON, as text, and by tcpdump.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::address::own_address;
use crate::house::{call, errand, folder, get, newest_call, stop, with_plans, with_plans_and};
use milo::{bench::Running, phone::Errand};
use serde_json::Value;

const ECHO: &str = "
[[plan]]
name = 'echo'
number = 'echo'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]
";

/// What of the caller's messages nobody may read: the answer to a challenge, the key of SRTP.
const SECRETS: [&str; 3] = ["5ec7e7", "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj", "Signal=7"];

/// A body of the API, with this query.
fn body(milo: &Running, path: &str, accept: &str) -> Vec<u8> {
    let url = format!("{}{path}", milo.http.trim_end_matches('/'));
    let accept = format!("Accept: {accept}");
    let answer = Command::new("curl").args(["--silent", "--fail", "--max-time", "10", "-H", &accept, &url]).output();
    let answer = answer.expect("curl");
    assert!(answer.status.success(), "GET {path}: {}", answer.status);
    answer.stdout
}

/// sipp with one of our scenarios, for one call, at this address.
fn sipp(files: &Path, scenario: &str, at: &str, arguments: &[&str]) -> Child {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp").join(scenario);
    let mut command = Command::new("timeout");
    command.args(["60", "sipp", "-i", at, "-mi", at, "-nostdin", "-m", "1", "-trace_err", "-sf"]);
    command.arg(&scenario).args(arguments).current_dir(files).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("sipp")
}

/// The start lines of a leg, without those that came again, and how many came again.
fn passed(ladder: &Value, leg: &str) -> (Vec<String>, usize) {
    let messages = ladder["messages"].as_array().expect("messages").iter().filter(|message| message["leg"] == leg);
    let (again, first): (Vec<_>, Vec<_>) = messages.partition(|message| message["again"] == true);
    let line = |message: &&Value| {
        let start = message["start_line"].as_str().expect("a line");
        let word = start.strip_prefix("SIP/2.0 ").unwrap_or(start).split(' ').next().unwrap_or_default();
        format!("{} {word}", message["direction"].as_str().expect("a direction"))
    };
    (first.iter().map(line).collect(), again.len())
}

/// The newest call that has this many messages.
async fn ladder_of(milo: &Running, messages: usize) -> (String, Value) {
    let mut last = Value::Null;
    for _ in 0..100 {
        let calls = get(milo, "/api/v1/calls");
        if let Some(id) = calls["calls"][0]["id"].as_str() {
            last = get(milo, &format!("/api/v1/calls/{id}/sip"));
            if last["messages"].as_array().is_some_and(|seen| seen.len() >= messages) {
                return (id.to_owned(), last);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("there never were {messages} messages: {last:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sip_of_both_legs_is_a_ladder_without_secrets() {
    let files = folder("seen-files");
    let (here, there) = (own_address().to_string(), own_address().to_string());
    let mut callee = sipp(&files, "seen_callee.xml", &there, &["-p", "5070"]);
    let plan = format!(
        "[[plan]]\nname = 'through'\nnumber = 'through'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {{ dial = {{ to = 'sip:callee@{there}:5070;transport=udp' }} }}]\n"
    );
    let near = with_plans("seen", &plan).await;
    let target = near.udp("through").expect("an address").to_string();
    let target = target.split(['@', ';']).nth(1).expect("an address").to_owned();
    let mut caller = sipp(&files, "seen.xml", &here, &[&target, "-s", "through"]);

    // While it is up: the caller's INVITE and 200, and those of the leg that is dialled.
    let (id, up) = ladder_of(&near, 6).await;
    assert!(get(&near, &format!("/api/v1/calls/{id}"))["ended"].is_null(), "the call is up");
    assert_eq!(passed(&up, "caller").0[..2], ["in INVITE", "out 200"], "{up:#}");

    assert!(caller.wait().expect("sipp ends").success(), "the caller");
    assert!(callee.wait().expect("sipp ends").success(), "the one who is called");
    assert_eq!(newest_call(&near).await["id"], id.as_str());
    // INVITE, 200, 200 again, ACK, INFO, 200, BYE, 200; the other leg's INVITE, 100, 180, 200, ACK, BYE, 200.
    let path = format!("/api/v1/calls/{id}/sip");
    let (_, ladder) = ladder_of(&near, 15).await;
    let (caller, again) = passed(&ladder, "caller");
    let order = ["in INVITE", "out 200", "in ACK", "in INFO", "out 200", "in BYE", "out 200"];
    assert_eq!(caller, order, "{ladder:#}");
    assert!(again >= 1, "the 200 that came again is there: {ladder:#}");
    let order = ["out INVITE", "in 100", "in 180", "in 200", "out ACK", "out BYE", "in 200"];
    assert_eq!(passed(&ladder, "called").0, order, "{ladder:#}");
    let first = &ladder["messages"][0];
    assert_eq!((&first["transport"], &first["local"]), (&"udp".into(), &target.as_str().into()));
    let at = first["at"].as_str().expect("a time");
    assert!(at.ends_with('Z') && at.split('.').nth(1).is_some_and(|part| part.len() == 7), "microseconds: {at}");

    let text = String::from_utf8(body(&near, &path, "text/plain")).expect("text");
    assert_eq!(text.as_bytes(), body(&near, &format!("{path}?format=text"), "*/*"));
    let lines = text.lines().filter(|line| line.contains("──► Milo") || line.contains("◄── Milo")).count();
    assert!(lines >= 15 && text.contains("(again)"), "{text}");
    let pcap = body(&near, &format!("{path}?format=pcap"), "*/*");
    for secret in SECRETS {
        let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!ladder.to_string().contains(secret) && !holds(text.as_bytes()) && !holds(&pcap), "{secret} is shown");
    }
    assert!(text.contains("username=\"caller\"") && text.contains("inline:***") && text.contains("Signal=*"), "{text}");

    // tcpdump reads what we wrote, and finds no wrong length or checksum in it.
    let file = files.join("call.pcap");
    fs::write(&file, pcap).expect("a file");
    let read = Command::new("tcpdump").args(["-n", "-vvv", "-tt", "-r"]).arg(&file).output().expect("tcpdump");
    let read = String::from_utf8_lossy(&read.stdout).into_owned();
    let packets = read.lines().filter(|line| line.contains("proto UDP (17)")).count();
    assert_eq!(packets, ladder["messages"].as_array().map_or(0, Vec::len), "{read}");
    assert_eq!(read.matches("[udp sum ok]").count(), packets, "{read}");
    assert!(!read.contains("bad") && read.contains("INVITE sip:through@127.0.0.1"), "{read}");
    stop(near).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sip_is_kept_where_nobody_wants_it() {
    let milo = with_plans_and("unseen", ECHO, &[("MILO__SIP__LADDERS", "0")]).await;
    let target = milo.udp("echo").expect("an address");
    call(&Errand { no_greeting: true, ..errand(target, &["mg_hours.wav"]) }).await;
    let id = newest_call(&milo).await["id"].as_str().expect("an identifier").to_owned();
    let url = format!("{}/api/v1/calls/{id}/sip", milo.http.trim_end_matches('/'));
    let answer = Command::new("curl").args(["--silent", "--max-time", "10", &url]).output().expect("curl");
    let problem: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!(problem["status"], 404, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|why| why.contains("[sip] ladders is 0")), "{problem}");
    stop(milo).await;
}
