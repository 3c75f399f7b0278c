//! How quickly Milo is there, and how it leaves.

use std::{path::Path, time::Duration};

use crate::house::{PROGRAM, alone, errand, events, folder, get, milo, newest_call, stop};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use tokio::{runtime::Handle, time::sleep};

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_at_once_when_nobody_calls() {
    for signal in ["INT", "TERM"] {
        // Whoever waited for calls would wait for a minute.
        let mut milo = milo("signal", &[("MILO__DRAIN__SECONDS", "60")]).await;
        milo.signal(signal).await.expect("kill");
        assert!(milo.ended(Duration::from_secs(30)).await.expect("it ends at once"), "{signal}: with code 0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_is_drained_and_then_ended_with_its_row_closed() {
    let folder = folder("drain");
    let variables = [("MILO__DRAIN__SECONDS", "2")];
    let mut milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let errand = Errand { wait: true, ..errand(milo.udp("echo").expect("an address"), &[]) };
    let phone = Phone::new(&errand.target, None, Handle::current()).expect("a telephone");
    let calling = tokio::spawn(async move { phone.call(&errand).await });
    sleep(Duration::from_secs(1)).await;
    milo.signal("TERM").await.expect("kill");
    assert!(milo.ended(Duration::from_secs(12)).await.expect("it ends"), "with code 0");
    let report = calling.await.expect("no panic").expect("the call was up");
    assert!(report.ended_by.starts_with("the far side"), "a BYE came: {}", report.ended_by);

    let milo = Running::start(Path::new(PROGRAM), &folder, &[]).await.expect("Milo starts again");
    let logged = newest_call(&milo).await;
    assert_ne!(logged["end_reason"], "milo was stopped during the call", "it was closed before: {logged}");
    assert_eq!(events(&logged, "goodbye")[0]["heard"], true, "nobody is left without a word: {logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_says_so() {
    let milo = milo("full", &[("MILO__LIMITS__CALLS", "1")]).await;
    let first = Errand { wait: true, no_greeting: true, ..errand(milo.udp("echo").expect("an address"), &[]) };
    let phone = Phone::new(&first.target, None, Handle::current()).expect("a telephone");
    let calling = tokio::spawn(async move { phone.call(&first).await });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(get(&milo, "/api/v1/health")["live_calls"], 1);
    let second = alone(PROGRAM, milo.folder())
        .args(["call", "--no-transcript", &milo.udp("echo").expect("an address").to_string()])
        .output()
        .expect("milo call");
    assert!(String::from_utf8_lossy(&second.stderr).contains("503"), "{}", String::from_utf8_lossy(&second.stderr));
    calling.abort();
    stop(milo).await;
}

#[test]
fn the_doctor_finds_a_sound_house() {
    let folder = folder("doctor");
    let doctor = alone(PROGRAM, &folder).arg("doctor").output().expect("milo doctor");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(doctor.status.success(), "{said}{}", String::from_utf8_lossy(&doctor.stderr));
    assert!(said.contains("call"), "{said}");
    std::fs::remove_dir_all(folder).ok();
}

#[test]
fn the_doctor_names_the_mend() {
    let folder = folder("doctor-ill");
    let doctor = alone(PROGRAM, &folder)
        .arg("doctor")
        .env("LOCAL_LLM_MODEL_PATH", "/no/such.gguf")
        .output()
        .expect("milo doctor");
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(1), "{said}");
    assert!(said.contains("/no/such.gguf"), "{said}");
    std::fs::remove_dir_all(folder).ok();
}
