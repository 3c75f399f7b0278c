//! What the scenarios share: a running Milo in a folder of its own, the recordings, and its API as another program sees it.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use milo::bench::{self, Running};
use milo::phone::{Errand, Phone, Report};
use milo_signaling::Uri;
use serde_json::Value;
use tokio::time::timeout;

/// The program that this test run built.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_milo");

/// What is said in a recording, and what the reply must hold.
pub const MG_HOURS: (&str, &str) = ("amin'ny ora firy no misokatra ny birao", "valo ora maraina");
pub const MG_APPOINTMENT: (&str, &str) =
    ("mila maka fotoana aho ny talata amin'ny sivy ora maraina", "talata amin'ny sivy ora maraina");
pub const MG_PRICE: (&str, &str) = ("firy ariary ny tapakila", "iray alina ariary");
pub const MG_GOODBYE: (&str, &str) = ("misaotra tompoko veloma", "Veloma");
pub const FR_HOURS: (&str, &str) = ("quels sont les horaires du bureau", "huit heures");

/// A folder that no other scenario uses, empty.
pub fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("milo-test-{name}-{}-{number}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    folder
}

/// A program in surroundings of its own.
pub fn alone(program: &str, folder: &Path) -> Command {
    bench::alone(Path::new(program), folder).expect("a folder that can be written")
}

/// Runs a script in network and mount namespaces of its own, with no network but its loopback device. Nothing, with a word,
/// where the system refuses such namespaces to this user (containers and some distributions do).
pub fn in_a_namespace(folder: &Path, script: &str) -> Option<Output> {
    let namespace = ["--map-root-user", "--net", "--mount"];
    let probe = Command::new("unshare").args(namespace).arg("true").output().expect("unshare");
    if !probe.status.success() {
        let why = String::from_utf8_lossy(&probe.stderr);
        let test = std::thread::current().name().unwrap_or("a scenario").to_owned();
        not_looked_at(&format!("{test}: this system refuses user namespaces ({})", why.trim()));
        return None;
    }
    let script = format!("ip link set lo up\n{script}");
    Some(alone("unshare", folder).args(namespace).args(["sh", "-ec", &script]).output().expect("unshare"))
}

/// Samples that nobody takes for silence.
pub fn loud(samples: &[i16]) -> usize {
    samples.iter().filter(|sample| sample.unsigned_abs() > 1_000).count()
}

/// Starts Milo in a folder of its own.
pub async fn milo(name: &str, variables: &[(&str, &str)]) -> Running {
    Running::start(Path::new(PROGRAM), &folder(name), variables).await.expect("Milo starts")
}

/// Every Milo of these scenarios has the number by which a start is recognised.
pub const MILO: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]
";

/// A Milo with these plans.
pub async fn with_plans(name: &str, plans: &str) -> Running {
    with_plans_and(name, plans, &[]).await
}

/// The same, with these variables besides.
pub async fn with_plans_and(name: &str, plans: &str, variables: &[(&str, &str)]) -> Running {
    let plans_at = folder(&format!("{name}-plans"));
    std::fs::write(plans_at.join("plans.toml"), [MILO, plans].concat()).expect("a temporary folder");
    let path = plans_at.to_string_lossy().into_owned();
    milo(name, &[&[("MILO__DIALPLANS__PATH", path.as_str())], variables].concat()).await
}

/// Stops Milo and removes its folder.
pub async fn stop(milo: Running) {
    let folder = milo.folder().to_owned();
    milo.stop().await.expect("Milo ends by itself");
    std::fs::remove_dir_all(folder).ok();
}

/// A committed recording, 8 kHz.
pub fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/recordings").join(name)
}

/// A call that plays these recordings.
pub fn errand(target: Uri, recordings: &[&str]) -> Errand {
    Errand {
        target,
        play: recordings.iter().map(|name| recording(name)).collect(),
        interrupt: None,
        digits: None,
        wait: false,
        no_greeting: false,
        record: None,
    }
}

/// No call of a scenario lasts longer: whoever waits for its end is not left waiting.
const LONGEST_CALL: Duration = Duration::from_secs(180);

/// Places one call from this process.
pub async fn call(errand: &Errand) -> Report {
    let phone = Phone::new(&errand.target, None, tokio::runtime::Handle::current()).expect("a telephone");
    let report = timeout(LONGEST_CALL, phone.call(errand)).await.expect("the call ends");
    phone.shutdown().await;
    report.expect("the call is answered")
}

/// `GET path` with curl.
pub fn get(milo: &Running, path: &str) -> Value {
    let url = format!("{}{}", milo.http.trim_end_matches('/'), path);
    let answer = Command::new("curl").args(["--silent", "--fail", "--max-time", "10", &url]).output().expect("curl");
    assert!(answer.status.success(), "GET {path}: {}", answer.status);
    serde_json::from_slice(&answer.stdout).expect("JSON")
}

/// `POST path` and the like with curl: the status, the value of a header field of the answer, and its JSON.
pub fn send(milo: &Running, asked: (&str, &str), headers: &[&str], body: &Value) -> Answer {
    send_to(&milo.http, asked, headers, body)
}

/// The same to whoever has this address.
pub fn send_to(http: &str, (method, path): (&str, &str), headers: &[&str], body: &Value) -> Answer {
    let url = format!("{}{}", http.trim_end_matches('/'), path);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--include", "--max-time", "10", "--request", method, &url]);
    curl.args(headers.iter().flat_map(|header| ["--header", header]));
    if !body.is_null() {
        // A body may be longer than an argument.
        curl.args(["--json", "@-"]);
    }
    let mut curl = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl");
    let mut into = curl.stdin.take().expect("it is piped");
    // Whoever is refused reads no more.
    into.write_all(body.to_string().as_bytes()).ok();
    drop(into);
    let answer = curl.wait_with_output().expect("curl");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: {}", answer.status));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
}

/// An answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: Value,
}

impl Answer {
    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// The port where a Milo takes TLS; it is told with the numbers that can be dialled.
pub fn tls_port(milo: &Running) -> u16 {
    let health = get(milo, "/api/v1/health");
    let uris = health["dial"].as_array().expect("numbers").iter().filter_map(|dial| dial["uri"].as_str());
    let mut ports = uris.filter_map(|uri| uri.strip_suffix(";transport=tls")?.rsplit(':').next()?.parse().ok());
    ports.next().unwrap_or_else(|| panic!("nobody listens for TLS: {}", health["dial"]))
}

/// Waits until a call of the log has ended, and returns it with its turns and events.
pub async fn ended(milo: &Running, id: &Value) -> Value {
    until(milo, id, "ended", |call| !call["ended"].is_null()).await
}

/// Waits until a call of the log is so.
pub async fn until(milo: &Running, id: &Value, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    let mut call = Value::Null;
    for _ in 0..300 {
        call = get(milo, &path);
        if is_so(&call) {
            return call;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("within thirty seconds the call was not {what}: {call}");
}

/// The metrics as text.
pub fn metrics(milo: &Running) -> String {
    let url = format!("{}/metrics", milo.http.trim_end_matches('/'));
    let answer = Command::new("curl").args(["--silent", "--fail", "--max-time", "10", &url]).output().expect("curl");
    String::from_utf8_lossy(&answer.stdout).into_owned()
}

/// Waits until the newest call of the log has ended, and returns it with its turns and events.
pub async fn newest_call(milo: &Running) -> Value {
    for _ in 0..100 {
        let calls = get(milo, "/api/v1/calls");
        if let Some(newest) = calls["calls"].get(0)
            && !newest["ended"].is_null()
        {
            return get(milo, &format!("/api/v1/calls/{}", newest["id"].as_str().expect("an identifier")));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no call ended within ten seconds");
}

/// The turns of a call in which the caller was heard.
pub fn answered(call: &Value) -> Vec<&Value> {
    let turns = call["turns"].as_array().expect("turns");
    turns.iter().filter(|turn| turn["heard"].is_string()).collect()
}

/// How many words must be changed, left out or put in until what was understood is what was said: an error now and then is the
/// transcriber's, whose packets come late on a busy machine.
pub fn wrong_words(said: &str, understood: &str) -> usize {
    let understood: Vec<_> = understood.split_whitespace().collect();
    let mut row: Vec<usize> = (0..=understood.len()).collect();
    for (at, word) in said.split_whitespace().enumerate() {
        let mut before = std::mem::replace(&mut row[0], at + 1);
        for (place, other) in understood.iter().enumerate() {
            let best = (before + usize::from(*other != word)).min(row[place] + 1).min(row[place + 1] + 1);
            before = std::mem::replace(&mut row[place + 1], best);
        }
    }
    row[understood.len()]
}

/// A turn was understood, and the caller heard the answer.
pub fn assert_turn(turn: &Value, language: &str, heard: &str, said: &str) {
    assert_eq!(turn["language"], language, "{turn}");
    let understood = turn["heard"].as_str().unwrap_or_default();
    assert!(wrong_words(heard, understood) * 3 <= heard.split(' ').count(), "{understood:?} is not {heard:?}: {turn}");
    let reply = turn["said_heard"].as_str().unwrap_or_default();
    // Where a sentence begins with it, it begins with a capital.
    assert!(reply.to_lowercase().contains(&said.to_lowercase()), "{reply:?} lacks {said:?}: {turn}");
    let confidence = turn["confidence"].as_f64().unwrap_or_default();
    assert!((0.3..=1.0).contains(&confidence), "{turn}");
    for stage in ["vad_ms", "end_of_turn_ms", "stt_ms", "llm_first_token_ms", "tts_first_sample_ms", "packet_out_ms"] {
        assert!(turn["stages"][stage].as_f64().is_some_and(|time| (0.0..5_000.0).contains(&time)), "{stage}: {turn}");
    }
}

/// Says plainly what was skipped, past the test harness, which keeps the output of tests that pass to itself.
pub fn not_looked_at(what: &str) {
    let line = format!("\nNOT LOOKED AT: {what}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
}

/// The recordings of a Milo that keeps its data in this folder.
pub fn recordings(folder: &Path) -> Vec<PathBuf> {
    let inside =
        |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    inside(&folder.join("recordings")).flat_map(|day| inside(&day).collect::<Vec<_>>()).collect()
}

/// What ffmpeg hears in a file: caller and Milo, 16 kHz.
pub fn sides(file: &Path) -> (Vec<i16>, Vec<i16>) {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file)
        .args(["-f", "s16le", "-ar", "16000", "-"])
        .output()
        .expect("ffmpeg is installed");
    assert!(decoded.status.success(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let samples: Vec<i16> = decoded.stdout.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    samples.chunks_exact(2).map(|pair| (pair[0], pair[1])).unzip()
}

/// At which sample of `heard` the sound `said` begins (the best of all, in steps of a millisecond), and how alike they are there,
/// 0 to 1.
pub fn found(said: &[i16], heard: &[i16]) -> (usize, f64) {
    let power = |samples: &[i16]| samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
    let likeness = |at: usize| {
        let beside = &heard[at..at + said.len()];
        let product: f64 = said.iter().zip(beside).step_by(4).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        4.0 * product / (power(said) * power(beside)).sqrt().max(1.0)
    };
    let best = (0..heard.len().saturating_sub(said.len())).step_by(4).map(|at| (at, likeness(at)));
    best.max_by(|a, b| a.1.total_cmp(&b.1)).expect("a longer recording")
}

pub fn events<'a>(call: &'a Value, kind: &str) -> Vec<&'a Value> {
    let events = call["events"].as_array().expect("events").iter();
    events.filter(|event| event["kind"] == kind).map(|event| &event["detail"]).collect()
}

/// A figure of `/metrics`.
pub async fn metric(milo: &Running, name: &str) -> f64 {
    let url = format!("{}/metrics", milo.http.trim_end_matches('/'));
    let answer = Command::new("curl").args(["--silent", "--fail", &url]).output().expect("curl");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}
