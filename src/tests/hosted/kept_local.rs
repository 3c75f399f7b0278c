//! Personas that say themselves where their turns are heard, answered and spoken.

use std::{fs, path::Path, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};

use super::{
    WORDS,
    server::{Conduct, KEY, Server},
};
use crate::house::{
    MG_HOURS, PROGRAM, alone, answered, assert_turn, call, errand, folder, get, newest_call, send, stop, until,
};

const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'kept' } }]

[[plan]]
name = 'open'
number = 'open'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'open' } }]

[[plan]]
name = 'both'
number = 'both'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'kept' } }, { converse = { persona = 'open' } }]
";

/// A folder of plans with personas of these modes, beside one that has none.
fn plans(at: &Path, personas: &[(&str, &str)]) -> String {
    let plans = at.join("plans");
    fs::create_dir_all(plans.join("personas")).expect("a folder");
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let demo = demo.expect("the persona that ships");
    for (name, mode) in personas {
        let text = demo.replace("\ntemperature = 0.0\n", &format!("\ntemperature = 0.0\n{mode}\n"));
        assert!(mode.is_empty() || text != demo, "the persona that ships has a temperature");
        let after = "\n[after]\nlanguage = 'fr'\noutcomes = ['answered', 'appointment']\n";
        fs::write(plans.join(format!("personas/{name}.toml")), text + after).expect("written");
    }
    fs::write(plans.join("plans.toml"), PLANS).expect("written");
    plans.display().to_string()
}

/// The variables of a Milo that asks this server for whatever it can, and has these plans.
pub(super) fn asks_for_all(server: &Server, plans: String) -> Vec<(String, String)> {
    let url = format!("{}/v1", server.url);
    let engine = |job: &str, key: &str| format!("MILO__ENGINES__{job}__{key}");
    let mut variables = vec![("MILO__DIALPLANS__PATH".to_owned(), plans), ("OPENAI_API_KEY".into(), KEY.into())];
    for job in ["LLM", "STT", "TTS"] {
        variables.extend([
            (engine(job, "ENGINE"), "openai".into()),
            (engine(job, "URL"), url.clone()),
            (engine(job, "MODEL"), format!("{job}-of-a-scenario")),
        ]);
    }
    variables.push((engine("TTS", "VOICE"), "ranto".into()));
    variables
}

/// Who was asked since so many requests, as paths.
pub(super) fn asked_since(server: &Server, before: usize) -> Vec<String> {
    server.asked()[before..].iter().map(|asked| asked.uri.path().to_owned()).collect()
}

/// Asks for the opening hours by telephone; the call as the log has it, and what the model wrote down of it.
async fn asks(milo: &Running, number: &str) -> Value {
    call(&errand(milo.udp(number).expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(milo).await;
    until(milo, &logged["id"], "analysed", |call| !call["analysis"].is_null()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persona_that_is_kept_local_lets_no_server_hear_answer_speak_or_read() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let at = folder("kept");
    let plans = plans(&at, &[("kept", "mode = \"local\""), ("open", "")]);
    let variables = asks_for_all(&server, plans);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    assert_eq!(get(&milo, "/api/v1/health")["mode"], "cloud", "servers are asked, where nobody says otherwise");

    // By telephone, and what is written down afterwards. The sentences of the other persona were asked for as Milo started.
    let before = server.asked().len();
    let logged = asks(&milo, "milo").await;
    let turn = answered(&logged)[0];
    assert_eq!(turn["mode"], "local", "{logged}");
    assert_turn(turn, "mg", MG_HOURS.0, MG_HOURS.1);
    // In writing, aloud, and by OpenAI's protocol.
    let written = |persona: &str| {
        let body = json!({ "message": MG_HOURS.0, "persona": persona, "mode": "voice" });
        send(&milo, ("POST", "/api/v1/chat"), &[], &body).body
    };
    let reply = written("kept");
    assert!(reply["mode"] == "local" && reply["audio"].is_string(), "{reply}");
    let completed = |persona: &str| {
        let body = json!({ "model": persona, "messages": [{ "role": "user", "content": MG_HOURS.0 }] });
        send(&milo, ("POST", "/v1/chat/completions"), &[], &body)
    };
    assert_eq!(completed("kept").status, 200);
    assert_eq!(asked_since(&server, before), Vec::<String>::new(), "nobody was asked");

    // The other persona's are asked: this would have been seen.
    let before = server.asked().len();
    let reply = written("open");
    assert!(reply["mode"] == "cloud" && reply["audio"] != written("kept")["audio"], "{reply}");
    assert_eq!(completed("open").status, 200);
    let paths = asked_since(&server, before);
    assert_eq!(paths.iter().filter(|path| *path == "/v1/chat/completions").count(), 2, "{paths:?}");
    assert!(paths.contains(&"/v1/audio/speech".to_owned()), "{paths:?}");
    let before = server.asked().len();
    let logged = asks(&milo, "open").await;
    assert_eq!(answered(&logged)[0]["heard"], WORDS, "the server hears: {logged}");
    let paths = asked_since(&server, before);
    for path in ["/v1/audio/transcriptions", "/v1/chat/completions", "/v1/audio/speech"] {
        assert!(paths.iter().any(|asked| asked == path), "no {path}: {paths:?}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_to_a_persona_that_is_kept_local_is_read_by_no_server_when_another_goes_on() {
    let server = Server::start(Conduct::says("Veloma tompoko.")).await;
    let at = folder("kept-both");
    let plans = plans(&at, &[("kept", "mode = \"local\""), ("open", "")]);
    let own = server.variables("openai");
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let variables: Vec<_> = own.chain([("MILO__DIALPLANS__PATH", plans.as_str())]).collect();
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    // The first conversation ends with the goodbye that the caller wants, and the second begins.
    call(&errand(milo.udp("both").expect("an address"), &["mg_goodbye.wav", "mg_price.wav"])).await;
    let logged = newest_call(&milo).await;
    let modes: Vec<_> = answered(&logged).iter().map(|turn| turn["mode"].clone()).collect();
    assert_eq!(modes, ["local", "cloud"], "{logged}");
    until(&milo, &logged["id"], "analysed", |call| !call["analysis"].is_null()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What it was asked is the second turn, and neither the first nor the analysis of the call.
    for asked in server.asked() {
        let text = asked.body.to_string();
        assert!(!text.contains("misaotra tompoko") && !text.contains("Interlocuteur"), "{text}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persona_that_wants_a_server_is_a_fault_where_none_is_asked() {
    let at = folder("wants-cloud");
    let plans = plans(&at, &[("kept", "mode = \"cloud\""), ("open", "")]);
    let check = |variables: &[(&str, &str)]| {
        let mut milo = alone(PROGRAM, &at);
        milo.args(["dialplan", "check", &plans]).envs(variables.iter().copied());
        let output = milo.output().expect("a run");
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    let (is_right, told) = check(&[]);
    let line = fs::read_to_string(at.join("plans/personas/kept.toml")).expect("written");
    let line = line.lines().position(|line| line.starts_with("mode")).expect("a mode") + 1;
    let fault = format!("kept.toml, line {line}: mode = \"cloud\": no server is asked for replies");
    assert!(!is_right && told.contains(&fault) && told.contains("[engines.llm] engine is \"local\""), "{told}");
    // A server is named, and no key for it.
    let (is_right, told) = check(&[("DEFAULT_MODE", "cloud")]);
    assert!(!is_right && told.contains(&fault) && told.contains("ANTHROPIC_API_KEY"), "{told}");
    let wrong = folder("wants-cloud-start");
    let started = Running::start(Path::new(PROGRAM), &wrong, &[("MILO__DIALPLANS__PATH", plans.as_str())]).await;
    assert!(started.is_err(), "it does not start with it");

    let server = Server::start(Conduct::says(WORDS)).await;
    let own = server.variables("anthropic");
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let variables: Vec<_> = own.chain([("MILO__DIALPLANS__PATH", plans.as_str())]).collect();
    assert!(check(&variables).0, "{}", check(&variables).1);
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    let body = json!({ "message": MG_HOURS.0, "persona": "kept" });
    let reply = send(&milo, ("POST", "/api/v1/chat"), &[], &body).body;
    assert_eq!((&reply["mode"], &reply["reply"]), (&"cloud".into(), &WORDS.into()), "{reply}");
    stop(milo).await;
    fs::remove_dir_all(wrong).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_house_that_is_local_one_persona_is_answered_by_the_server() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let at = folder("local-house");
    let plans = plans(&at, &[("kept", "mode = \"cloud\""), ("open", "")]);
    let own = server.variables("openai");
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let house = [("MILO__DIALPLANS__PATH", plans.as_str()), ("DEFAULT_MODE", "local")];
    let variables: Vec<_> = own.chain(house).collect();
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    let health = get(&milo, "/api/v1/health");
    assert_eq!((&health["mode"], &health["servers"][0]["job"]), (&"local".into(), &"llm".into()), "{health}");
    let written = |persona: &str| {
        let body = json!({ "message": MG_HOURS.0, "persona": persona });
        send(&milo, ("POST", "/api/v1/chat"), &[], &body).body
    };
    assert_eq!((&written("open")["mode"], server.asked().len()), (&"local".into(), 0));
    let reply = written("kept");
    assert_eq!((&reply["mode"], &reply["reply"]), (&"cloud".into(), &WORDS.into()), "{reply}");
    // By telephone too.
    let logged = asks(&milo, "milo").await;
    assert_eq!(answered(&logged)[0]["mode"], "cloud", "{logged}");
    let before = server.asked().len();
    let logged = asks(&milo, "open").await;
    assert_eq!((&answered(&logged)[0]["mode"], server.asked().len()), (&"local".into(), before), "{logged}");
    stop(milo).await;
}
