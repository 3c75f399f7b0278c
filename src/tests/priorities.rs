//! One queue in front of each engine: calls first, then those who wait for an answer; whoever leaves frees the place.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    failing_engines::Stuck,
    house::{MG_HOURS, answered, call, errand, folder, get, metric, milo, newest_call, stop},
};

/// How many wait for the language model, of a class.
fn waiting(milo: &Running, class: &str) -> u64 {
    get(milo, "/api/v1/health")["queues_by_class"]["llm"][class].as_u64().expect("a number")
}

async fn until(milo: &Running, class: &str, count: u64) {
    for _ in 0..400 {
        if waiting(milo, class) == count {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("within ten seconds there were not {count} of {class}: {}", get(milo, "/api/v1/health")["queues_by_class"]);
}

/// Somebody who asks something and waits.
fn ask(milo: &Running) -> Child {
    let body = json!({ "message": MG_HOURS.0 }).to_string();
    let url = format!("{}api/v1/chat", milo.http);
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "60", "--include", "--json", &body, &url]);
    curl.stdout(Stdio::piped()).spawn().expect("curl")
}

fn heard(asker: Child) -> String {
    String::from_utf8_lossy(&asker.wait_with_output().expect("curl ends").stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_before_all_who_wait_and_whoever_leaves_frees_the_place_at_once() {
    let variables = [("MILO__ENGINES__LLM__QUEUE", "6"), ("MILO__ENGINES__LLM__SEQUENCES", "1")];
    let milo = milo("priorities", &variables).await;
    let Some(stuck) = Stuck::engine(&milo, "language model") else {
        stop(milo).await;
        return;
    };
    let mut askers: Vec<_> = (0..6).map(|_| ask(&milo)).collect();
    until(&milo, "interactive", 6).await;
    let refused = heard(ask(&milo));
    assert!(refused.starts_with("HTTP/1.1 503") && refused.to_lowercase().contains("retry-after: 1"), "{refused}");
    let name = "milo_engine_queue_length{class=\"interactive\",engine=\"llm\"}";
    assert_eq!(metric(&milo, name).await, 6.0);
    // The model stands still, and yet there is room again.
    for mut gone in askers.drain(..4) {
        gone.kill().expect("it is ours");
        gone.wait().expect("it ends");
    }
    until(&milo, "interactive", 2).await;
    askers.extend((0..4).map(|_| ask(&milo)));
    until(&milo, "interactive", 6).await;

    // All places are taken, and a call has its own, before them.
    let errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    let calling = tokio::spawn(async move { call(&errand).await });
    until(&milo, "call", 1).await;
    stuck.release();
    let report = calling.await.expect("a report");
    assert!(report.turns.iter().all(|turn| turn.reply.is_some()), "{:?}", report.turns);
    for asker in askers {
        let answer = heard(asker);
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(MG_HOURS.1), "{answer}");
    }
    let logged = newest_call(&milo).await;
    let turn = answered(&logged)[0];
    assert!(turn["said_heard"].as_str().is_some_and(|said| said.contains(MG_HOURS.1)), "{logged}");
    for class in ["call", "interactive", "batch"] {
        assert_eq!(waiting(&milo, class), 0, "{class}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_comes_while_it_is_made_and_says_in_the_end_how_long_that_took() {
    let milo = milo("early", &[]).await;
    let files = folder("early-files");
    let sound = files.join("said.wav").to_string_lossy().into_owned();
    let body =
        json!({ "text": "Misokatra isan'andro amin'ny 8 ora maraina izahay tompoko. ".repeat(160), "speed": 0.7 })
            .to_string();
    let url = format!("{}api/v1/tts", milo.http);
    let said = Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "120",
            "--header",
            "TE: trailers",
            "--dump-header",
            "-",
            "--json",
            &body,
            "--output",
            &sound,
        ])
        .args(["--write-out", "%{time_starttransfer} %{time_total} %{size_download}", &url])
        .output()
        .expect("curl");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let figures: Vec<f64> = said
        .lines()
        .last()
        .into_iter()
        .flat_map(|line| line.split(' '))
        .filter_map(|figure| figure.parse().ok())
        .collect();
    let [first, whole, bytes] = figures[..] else { panic!("{said}") };
    assert!(bytes > 5e6, "{bytes} bytes");
    assert!(first * 3.0 < whole, "the first byte came after {first} s of {whole}");
    let trailer =
        said.lines().find_map(|line| line.to_lowercase().strip_prefix("x-processing-ms:")?.trim().parse::<f64>().ok());
    assert!(trailer.is_some_and(|ms| ms > first * 1e3 * 0.5 && ms < whole * 1e3 + 100.0), "{said}");
    fs::remove_dir_all(files).ok();

    // Slower is longer, and another variant sounds otherwise.
    let tts = |more: Value| {
        let mut body = json!({ "text": "Salama tompoko, tonga soa.", "format": "json" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        crate::house::send(&milo, ("POST", "/api/v1/tts"), &[], &body).body
    };
    let (plain, slow, other) = (tts(json!({})), tts(json!({ "speed": 0.6 })), tts(json!({ "voice": "f2" })));
    assert!(
        slow["duration_ms"].as_f64() > plain["duration_ms"].as_f64().map(|ms| ms * 1.3),
        "{} {}",
        slow["duration_ms"],
        plain["duration_ms"]
    );
    assert!(plain["audio"] != other["audio"] && plain["processing_ms"].is_u64());
    stop(milo).await;
}
