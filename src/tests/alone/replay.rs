//! Recorded calls that are heard again: with the thresholds of the call all is as it was, and with others it is not.

use std::{fs, path::Path, process::Output};

use milo::bench::Running;
use serde_json::Value;

use super::by_length;
use crate::house::{
    MG_HOURS, PROGRAM, alone, call, errand, events, milo, newest_call, recording, stop, until, wrong_words,
};

/// Every call is recorded.
const RECORDED: (&str, &str) = ("MILO__RECORDING__ENABLED", "true");

/// The newest call, once its recording is whole.
async fn recorded(milo: &Running) -> Value {
    let id = newest_call(milo).await["id"].clone();
    until(milo, &id, "recorded", |call| call["recording_state"] == "complete").await
}

async fn output(milo: &Running, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(alone(PROGRAM, milo.folder()));
    command.arg("replay").args(arguments).kill_on_drop(true).output().await.expect("milo replay")
}

/// What `milo replay` reports.
async fn replay(milo: &Running, arguments: &[&str]) -> Value {
    let replayed = output(milo, &[arguments, &["--json", "replayed.json"]].concat()).await;
    let [said, faults] = [replayed.stdout, replayed.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(replayed.status.success(), "{said}{faults}");
    assert!(said.contains("| waited p50, p95 |"), "{said}");
    let json = fs::read(milo.folder().join("replayed.json")).expect("a report");
    serde_json::from_slice(&json).expect("JSON")
}

/// The turns of the one call of a report.
fn turns(report: &Value) -> &[Value] {
    let calls = report["calls"].as_array().expect("calls");
    assert_eq!(calls.len(), 1, "{report}");
    calls[0]["turns"].as_array().expect("turns")
}

fn ms(end: &Value, name: &str) -> f64 {
    end[name].as_f64().unwrap_or_else(|| panic!("no {name}: {end}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_same_thresholds_a_call_is_as_it_was_and_with_more_patience_its_caller_waits() {
    let milo = milo("replay", &[RECORDED, ("MILO__RECORDING__FORMAT", "wav")]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav", "mg_price.wav"])).await;
    let logged = recorded(&milo).await;

    let same = replay(&milo, &["--since", "2020-01-01"]).await;
    assert_eq!(turns(&same).len(), 2, "{same}\n{logged}");
    for turn in turns(&same) {
        let (then, now) = (&turn["then"], &turn["now"]);
        // An engine that was late in the call, on a busy machine, need not be late again.
        let apart = (ms(then, "over_ms") - ms(now, "over_ms")).abs();
        assert!(apart < 500.0, "{apart} ms: {turn}\n{logged}");
        assert!((ms(then, "from_ms") - ms(now, "from_ms")).abs() < 150.0, "{turn}\n{logged}");
        let apart = (ms(then, "answered_after_ms") - ms(now, "answered_after_ms")).abs();
        assert!(apart < 900.0, "{apart} ms: {turn}\n{logged}");
        assert_eq!((&then["cut_off"], &now["cut_off"]), (&false.into(), &false.into()), "{turn}\n{logged}");
    }
    let heard = turns(&same)[0]["now"]["heard"].as_str().expect("words");
    assert!(wrong_words(MG_HOURS.0, heard) <= 2, "{heard}");
    assert_eq!((&same["then"]["turns"], &same["now"]["turns"]), (&2.into(), &2.into()), "{same}");

    let id = logged["id"].as_str().expect("an identifier");
    let patient = [id, "--set", "engines.turn.enabled=false", "--set", "conversation.end_of_turn_ms=2500"];
    let patient = replay(&milo, &patient).await;
    assert_eq!(patient["settings"]["conversation.end_of_turn_ms"], 2_500, "{patient}");
    for (turn, before) in turns(&patient).iter().zip(turns(&same)) {
        let waited = ms(&turn["now"], "waited_ms");
        assert!((2_300.0..3_500.0).contains(&waited), "{waited} ms: {turn}");
        assert_eq!(turn["then"], before["then"], "what was logged stays");
    }
    assert!(ms(&patient["now"]["waited_ms"], "p50") > ms(&patient["then"]["waited_ms"], "p50") + 1_000.0, "{patient}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_was_given_time_is_cut_off_with_less_patience() {
    let graph = by_length();
    let judged =
        [RECORDED, ("MILO__ENGINES__TURN__PATH", graph.as_str()), ("MILO__CONVERSATION__END_OF_TURN_MS", "500")];
    let milo = milo("replay-pause", &judged).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_pause.wav"])).await;
    let logged = recorded(&milo).await;
    let id = logged["id"].as_str().expect("an identifier");

    let path = format!("engines.turn.path={graph}");
    let same = replay(&milo, &[id, "--set", &path, "--set", "conversation.end_of_turn_ms=500"]).await;
    assert_eq!(turns(&same).len(), 1, "{same}\n{logged}");
    let cut_off =
        |report: &Value| [&report["then"], &report["now"]].map(|sums| sums["cut_off"].as_u64().expect("a number"));
    assert_eq!(cut_off(&same), [0, 0], "{same}\n{logged}");

    // In the middle of the sentence nothing is heard for 900 ms.
    let hasty = ["engines.turn.enabled=false", "conversation.end_of_turn_ms=200", "conversation.longest_pause_ms=200"];
    let hasty: Vec<&str> = [id].into_iter().chain(hasty.into_iter().flat_map(|set| ["--set", set])).collect();
    let hasty = replay(&milo, &hasty).await;
    let [then, now] = cut_off(&hasty);
    assert!(then == 0 && now >= 1, "{hasty}\n{logged}");
    assert!(turns(&hasty)[0]["now"]["cut_off"] == true && turns(&hasty).len() >= 2, "{hasty}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_listens_interrupts_neither_then_nor_now_and_what_cannot_be_replayed_is_told() {
    // A recording begins somewhere in a window of voice activity, and what is heard of so short a word is not the same for each beginning.
    let mut others = 0..2;
    let (milo, logged, folder) = loop {
        let milo = milo("replay-listens", &[RECORDED]).await;
        let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
        errand.interrupt = Some(recording("mg_yes.wav"));
        call(&errand).await;
        let logged = recorded(&milo).await;
        assert_eq!(events(&logged, "interruption_withdrawn").len(), 1, "{logged}");

        let folder = milo.folder().join("recordings").display().to_string();
        let report = replay(&milo, &["--folder", &folder]).await;
        let [into] = &report["calls"][0]["interruptions"].as_array().expect("a list")[..] else {
            panic!("one: {report}")
        };
        assert_eq!((&into["meant"], &into["then"]), (&false.into(), &"went_on".into()), "{into}");
        let ended = u64::from(into["now"] != "went_on");
        for (side, wrong) in [("then", 0), ("now", ended)] {
            let sums = &report[side];
            assert_eq!(
                (&sums["false_interruptions"], &sums["not_meant"], &sums["missed_interruptions"]),
                (&wrong.into(), &1.into(), &0.into()),
                "{sums}"
            );
        }
        if ended == 0 {
            break (milo, logged, folder);
        }
        assert!(others.next().is_some(), "three times it ended a reply that had gone on: {into}");
        stop(milo).await;
    };

    // Where the log knows nothing of a recording, what is decided now stands alone.
    let elsewhere = milo.folder().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    let file = Path::new(&folder).join(logged["recording"].as_str().expect("a recording"));
    fs::copy(&file, elsewhere.join("somebody.ogg")).expect("copied");
    fs::write(elsewhere.join("broken.wav"), "RIFF").expect("written");
    let alone = replay(&milo, &["--folder", &elsewhere.display().to_string()]).await;
    assert_eq!((&alone["then"]["turns"], &alone["now"]["turns"]), (&0.into(), &1.into()), "{alone}");
    assert_eq!(alone["left_out"][0]["call"], "broken.wav", "{alone}");

    for (arguments, says) in [
        (vec!["0193a5e2-0000-7000-8000-000000000000"], "the log has no call 0193a5e2"),
        (vec!["--since", "2020-01-01", "--until", "2020-01-02"], "no call of that time with a recording"),
        (vec!["--since", "2020-01-01", "--set", "conversation.end_of_turn_ms=9"], "is not within 100 to 5000"),
        (vec![], "required"),
    ] {
        let told = output(&milo, &arguments).await;
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(!told.status.success() && said.contains(says), "{arguments:?}: {said}");
    }
    stop(milo).await;
}
