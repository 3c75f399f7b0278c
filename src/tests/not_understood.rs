//! Callers who speak, and of whom no words are understood: they are not silent, are asked otherwise each time, and hear why it ends.

use std::{fs, path::Path};

use milo::{bench::Running, phone::Errand};
use serde_json::Value;

use crate::{
    hosted::server::{Conduct, KEY, Server},
    house::{MILO, call, errand, events, folder, milo, newest_call, stop},
};

/// Ears that understand nothing.
async fn ears() -> (Server, String) {
    let server = Server::start(Conduct::says("")).await;
    let url = format!("{}/v1", server.url);
    (server, url)
}

fn heard_by(url: &str) -> [(&str, &str); 6] {
    [
        ("MILO__ENGINES__STT__ENGINE", "openai"),
        ("MILO__ENGINES__STT__URL", url),
        ("MILO__ENGINES__STT__MODEL", "ears-of-a-scenario"),
        ("OPENAI_API_KEY", KEY),
        // Shorter than what is said: whoever speaks is not silent.
        ("MILO__CONVERSATION__SILENCE_PROMPT_S", "6"),
        ("MILO__CONVERSATION__SILENCE_HANGUP_S", "9"),
    ]
}

/// A caller asks four times, and waits for what comes.
async fn asks(milo: &Running) -> Value {
    let questions = ["mg_hours.wav", "mg_price.wav", "mg_hours.wav", "mg_price.wav"];
    let errand = Errand { wait: true, ..errand(milo.udp("milo").expect("an address"), &questions) };
    call(&errand).await;
    newest_call(milo).await
}

/// What Milo said after its greeting, as far as it was heard.
fn said(call: &Value) -> Vec<&str> {
    let turns = call["turns"].as_array().expect("turns").iter().skip(1);
    turns.map(|turn| turn["said_heard"].as_str().expect("words")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_understood_is_asked_otherwise_each_time_and_hears_why_the_call_ends() {
    let (_server, url) = ears().await;
    let milo = milo("not-understood", &heard_by(&url)).await;
    let call = asks(&milo).await;
    let said = said(&call);
    let [usual, slowly, shortly, goodbye] = &said[..] else { panic!("{call}") };
    assert!(usual.contains("Azonao averina ve?") && slowly.contains("miadana"), "{call}");
    assert!(shortly.contains("amin'ny teny fohy"), "{call}");
    assert!(goodbye.contains("tsy azoko ny teninao") && goodbye.contains("Veloma"), "{call}");
    assert_eq!(call["end_reason"], "the caller was not understood", "{call}");
    let times: Vec<_> = events(&call, "nothing_understood").iter().map(|event| event["times"].clone()).collect();
    assert_eq!(times, [1, 2, 3, 4], "{call}");
    assert!(events(&call, "are_you_there").is_empty(), "nobody was silent: {call}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_understood_is_handed_on_where_the_plan_has_somebody_for_it() {
    let (_server, url) = ears().await;
    let plans = folder("not-understood-plans");
    fs::create_dir_all(plans.join("personas")).expect("a folder");
    let persona = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml");
    fs::copy(persona, plans.join("personas/demo.toml")).expect("a file");
    let first = MILO.replace("{ echo = {} }", "{ converse = { persona = 'demo', failed = 'people' } }");
    let people = "
[[plan]]
name = 'people'
language = 'mg'
actions = [{ answer = {} }, { say = { text = 'Hiresaka amin olona ianao' } }]
";
    fs::write(plans.join("plans.toml"), [&first, people].concat()).expect("a file");
    let path = plans.display().to_string();
    let variables = [&heard_by(&url)[..], &[("MILO__DIALPLANS__PATH", path.as_str())]].concat();
    let milo = milo("handed-on", &variables).await;
    let call = asks(&milo).await;
    let relieved = events(&call, "relieved");
    let [relieved] = &relieved[..] else { panic!("{call}") };
    assert_eq!((&relieved["plan"], &relieved["why"]), (&"people".into(), &"the caller was not understood".into()));
    assert!(said(&call)[2].contains("Ampitaiko ny antsonao"), "{call}");
    assert_eq!(events(&call, "nothing_understood").len(), 3, "{call}");
    assert_eq!(call["end_reason"], "the plan is done", "{call}");
    stop(milo).await;
    fs::remove_dir_all(plans).ok();
}
