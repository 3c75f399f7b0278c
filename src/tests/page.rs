//! The first page in a real browser.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use crate::house::{call, errand, folder, milo, newest_call, stop};

/// Whether this system has Chromium as a package.
pub(crate) fn has_chromium() -> bool {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    !os.lines().any(|line| line == "ID=ubuntu")
}

/// The page as Chromium has it in the end, and what it says meanwhile; nothing, with a word, where there is none.
pub(crate) fn browser(profile: &Path, url: &str, more: &[String]) -> Option<Output> {
    if !has_chromium() {
        crate::house::not_looked_at(
            "pages in a browser: Ubuntu has Chromium as a snap only, which the set-up does not install",
        );
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

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_number_the_notice_and_the_call() {
    let milo = milo("page", &[]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    newest_call(&milo).await;
    let profile = folder("page-profile");
    let Some(output) = browser(&profile, &milo.http, &[]) else { return stop(milo).await };
    let page = String::from_utf8_lossy(&output.stdout);
    let number = milo.udp("milo").expect("an address").to_string();
    for word in [number.as_str(), "telephone", "assistant"] {
        assert!(page.contains(word), "{word:?} is missing: {page}{}", String::from_utf8_lossy(&output.stderr));
    }
    let (tag, text) =
        page.split_once("<p id=\"notice\"").and_then(|(_, rest)| rest.split_once('>')).expect("the notice");
    let text = text.split("</p>").next().unwrap_or_default();
    assert!(!tag.contains("hidden"), "the notice is not shown: {tag}");
    // French calls them “modèles de démonstration”.
    assert!(text.contains("monstration") && text.contains("milo.toml, [engines]"), "{text:?}");
    fs::remove_dir_all(profile).ok();
    stop(milo).await;
}
