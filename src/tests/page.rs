//! The web application in a real browser.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use crate::house::{call, errand, folder, get, milo, newest_call, recordings, send, stop};
use milo::phone::Errand;
use serde_json::json;
use tokio::time::sleep;

/// A number whose callers want to be called back, beside those that ship.
const WISHES: &str = "
[[plan]]
name = 'wishes'
number = 'wishes'
language = 'mg'
actions = [
    { answer = {} },
    { request = { kind = 'call_back', telephone = '0341234567', wanted = 'rahampitso maraina', text = \"Ny vidin'ny tapakila.\" } },
    { hangup = {} },
]
";

/// Whether this system has no Chromium, which is then said.
pub(crate) fn is_without_chromium() -> bool {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let is_without = os.lines().any(|line| line == "ID=ubuntu");
    if is_without {
        crate::house::not_looked_at(
            "pages in a browser: Ubuntu has Chromium as a snap only, which the set-up does not install",
        );
    }
    is_without
}

/// The page as Chromium has it in the end, and what it says meanwhile; nothing, with a word, where there is none.
pub(crate) fn browser(profile: &Path, url: &str, more: &[String]) -> Option<Output> {
    if is_without_chromium() {
        return None;
    }
    let mut chromium = Command::new("timeout");
    chromium.args(["90", "chromium", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--lang=fr"]);
    // Chromium's own sandbox refuses to run as root; the page comes from this test.
    chromium.args(["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    chromium.args(["--virtual-time-budget=5000", "--dump-dom"]).args(more);
    chromium.arg(format!("--user-data-dir={}", profile.display())).arg(url);
    Some(chromium.output().expect("chromium"))
}

/// Every screen, by people's ways of using it: `web/tests/screens.mjs`. Its pictures stay in the folder that `MILO_PICTURES` names.
#[tokio::test(flavor = "multi_thread")]
async fn every_screen_is_as_it_should_be_in_three_languages_narrow_and_wide() {
    if is_without_chromium() {
        return;
    }
    let (plans, shipped) = (folder("page-plans"), Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans"));
    fs::create_dir_all(plans.join("personas")).expect("a folder");
    for file in ["default.toml", "personas/demo.toml"] {
        fs::copy(shipped.join(file), plans.join(file)).expect("a file that ships");
    }
    // Behind the default plans would be too late: their last one takes every number.
    fs::write(plans.join("a.toml"), WISHES).expect("written");
    let path = plans.to_string_lossy().into_owned();
    let milo = milo("page", &[("MILO__RECORDING__ENABLED", "true"), ("MILO__DIALPLANS__PATH", &path)]).await;
    let wishes = errand(milo.udp("wishes").expect("an address"), &[]);
    call(&Errand { wait: true, no_greeting: true, ..wishes }).await;
    newest_call(&milo).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    newest_call(&milo).await;
    // One that nobody begins, so that there is a page of it.
    let paused = json!({ "name": "Paused", "list": "number\nsip:echo@127.0.0.1:9\n", "plan": "echo", "paused": true });
    assert_eq!(send(&milo, ("POST", "/api/v1/campaigns"), &[], &paused).status, 201);
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let mut node = tokio::process::Command::new("timeout");
    node.args(["1200", "node", "tests/screens.mjs", "--url", &milo.http]).current_dir(web).kill_on_drop(true);
    if let Some(folder) = std::env::var_os("MILO_PICTURES") {
        node.arg("--out").arg(folder);
    }
    let seen = node.output().await.expect("node, and what `deploy/setup.sh test` fetches for it");
    let says = String::from_utf8_lossy(&seen.stdout);
    println!("{says}");
    assert!(seen.status.success(), "{says}{}", String::from_utf8_lossy(&seen.stderr));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sound_of_a_call_is_the_file_that_was_written() {
    let milo = milo("sound", &[("MILO__RECORDING__ENABLED", "true")]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let id = newest_call(&milo).await["id"].as_str().expect("an identifier").to_owned();
    for _ in 0..100 {
        if get(&milo, &format!("/api/v1/calls/{id}"))["recording_state"] == "complete" {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let files = recordings(milo.folder());
    let [file] = &files[..] else { panic!("one recording: {files:?}") };
    let url = format!("{}api/v1/calls/{id}/recording", milo.http);
    let curl = |url: &str| Command::new("curl").args(["--silent", "--include", "--max-time", "10", url]).output();
    let answer = curl(&url).expect("curl").stdout;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: audio/ogg"), "{head}");
    assert!(head.contains("content-disposition: attachment; filename=\"") && head.contains("no-store"), "{head}");
    assert_eq!(answer[end..], fs::read(file).expect("the recording"), "it is the file");
    fs::remove_file(file).expect("it is deleted");
    let nowhere = url.replace(&id, "01a22843-d742-7568-a838-0436352f88dc");
    for url in [&url, &nowhere, &url.replace(&id, "x")] {
        let answer = curl(url).expect("curl").stdout;
        assert!(answer.starts_with(b"HTTP/1.1 404"), "{url}: {}", String::from_utf8_lossy(&answer));
    }
    stop(milo).await;
}
