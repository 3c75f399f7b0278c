//! The pages that show the API, in a real browser.

use std::fs;

use crate::{
    house::{folder, milo, stop},
    page::browser,
};
use serde_json::Value;

/// What the page itself asked for, by Chromium's own account of its network.
fn asked_for(account: &Value, page: &str) -> Vec<String> {
    let origin = page.trim_end_matches('/');
    let of_page = |event: &&Value| event["params"]["initiator"].as_str().is_some_and(|by| by.starts_with(origin));
    let events = account["events"].as_array().expect("events").iter().filter(of_page);
    events.filter_map(|event| event["params"]["url"].as_str().map(Into::into)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_pages_show_the_api_and_ask_nobody_else() {
    let milo = milo("reference", &[]).await;
    for path in ["docs", "redoc"] {
        let profile = folder("reference-profile");
        let account = profile.join("network.json");
        let more = ["--enable-logging=stderr".to_owned(), format!("--log-net-log={}", account.display())];
        let Some(output) = browser(&profile, &format!("{}{path}", milo.http), &more) else { break };
        let (page, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for word in ["Answer a message", "Have Milo call somebody", "/api/v1/chat"] {
            assert!(page.contains(word), "{path} lacks {word:?}: {page}{log}");
        }
        // Complaints of a policy, of a script, of something that could not be had.
        let complaints: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
        assert!(complaints.is_empty(), "{path}: {complaints:?}");
        let account = fs::read(&account).expect("an account of the network");
        let asked = asked_for(&serde_json::from_slice(&account).expect("JSON"), &milo.http);
        assert!(asked.iter().any(|url| url.ends_with("/openapi.json")), "{path}: {asked:?}");
        let elsewhere: Vec<_> =
            asked.iter().filter(|url| url.starts_with("http") && !url.starts_with(&milo.http)).collect();
        assert!(elsewhere.is_empty(), "{path}: {elsewhere:?}");
        fs::remove_dir_all(profile).ok();
    }
    stop(milo).await;
}
