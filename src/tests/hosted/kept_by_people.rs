//! What was said to a persona that is kept local stays on this machine also where a person takes the call over, where one is told of it and has
//! it interpreted, and where its caller is known when they call again.

use std::{fs, path::Path, time::Duration};

use milo::{
    bench::Running,
    config::SecretUrl,
    store::{LogWriter, NewMemory, Stamp, Store},
};
use serde_json::Value;
use tokio::{task::block_in_place, time::sleep};

use super::{
    WORDS,
    kept_local::{asked_since, asks_for_all},
    server::{Conduct, Server},
};
use crate::{
    accounts::accounts,
    by_ear::taken_over,
    house::{PROGRAM, call, ended, errand, events, folder, get, newest_call, recording, stop, until},
    telephone::Telephone,
    web_page::{open, spoken},
};

const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
record = true
actions = [{ answer = {} }, { converse = { persona = 'kept' } }]

[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [
  { answer = {} },
  { converse = { persona = 'kept' } },
  { transfer = { account = 'rina', mode = 'warm', language = 'fr', announce = 'Bonjour.', interpret = { caller = 'mg', callee = 'fr' } } },
]

[[plan]]
name = 'open'
number = 'open'
language = 'mg'
actions = [
  { answer = {} },
  { converse = { persona = 'open' } },
  { transfer = { account = 'rina', mode = 'warm', language = 'fr' } },
]
";

/// A folder of these plans, with a persona that is kept local and one that is not; both know their callers.
fn plans(at: &Path) -> String {
    let plans = at.join("plans");
    fs::create_dir_all(plans.join("personas")).expect("a folder");
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let demo = demo.expect("the persona that ships");
    let knows = demo.replace("prompt = \"", "prompt = \"[{{memory.name}}|{{memory.summary}}] ");
    for (name, text) in [("kept", format!("mode = 'local'\n{demo}")), ("open", knows)] {
        let text = format!("{text}\n[after]\nlanguage = 'fr'\n[memory]\n");
        fs::write(plans.join(format!("personas/{name}.toml")), text).expect("written");
    }
    fs::write(plans.join("plans.toml"), PLANS).expect("written");
    plans.display().to_string()
}

/// A Milo that asks this server for whatever it can.
async fn milo(at: &Path, server: &Server) -> Running {
    let file = accounts(at).to_string_lossy().into_owned();
    let variables = asks_for_all(server, plans(at));
    let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let own = [
        ("MILO__SIP__ACCOUNTS", file.as_str()),
        // These telephones are silent for long.
        ("MILO__MEDIA__RTP_TIMEOUT_S", "120"),
        ("MILO__RECORDING__ANNOUNCEMENT", "Voarakitra ity antso ity."),
    ];
    let variables: Vec<_> = variables.chain(own).collect();
    Running::start(Path::new(PROGRAM), at, &variables).await.expect("Milo starts")
}

async fn analysed(milo: &Running, id: &Value) {
    until(milo, id, "analysed", |call| !call["analysis"].is_null()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_call_over_from_a_persona_that_is_kept_local_is_heard_and_written_down_here() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let milo = milo(&folder("kept-taken-over"), &server).await;
    let mut caller = open(&milo, "stream=1").await;
    let id = caller.call().await;
    // The plan's own words are the server's: that the call is recorded.
    until(&milo, &id, "greeted", |call| call["turns"][0]["said"].is_string()).await;
    let before = server.asked().len();
    assert!(asked_since(&server, 0).contains(&"/v1/audio/speech".to_owned()), "it would have been seen");
    let mut person = taken_over(&milo, &id).await;
    // They hear first that the call is recorded.
    sleep(Duration::from_secs(4)).await;
    caller.speak(&spoken("mg_price.wav", 1_500), 320).await;
    person.speak(&spoken("fr_hours.wav", 1_500), 320).await;
    until(&milo, &id, "written down", |call| {
        let turns = call["turns"].as_array().expect("turns");
        let heard = turns.iter().any(|turn| turn["heard"].is_string() && turn["said"].is_null());
        heard && turns.iter().any(|turn| turn["said_by"] == "this machine")
    })
    .await;
    person.text(r#"{"type":"give_back"}"#).await;
    until(&milo, &id, "given back", |call| events(call, "given_back").len() == 1).await;
    caller.speak(&spoken("mg_hours.wav", 1_500), 320).await;
    let is_answered = |turn: &Value| turn["heard"].is_string() && turn["said"].is_string() && turn["mode"] == "local";
    until(&milo, &id, "answered", |call| call["turns"].as_array().is_some_and(|turns| turns.iter().any(is_answered)))
        .await;
    caller.close().await;
    analysed(&milo, &id).await;
    assert_eq!(asked_since(&server, before), Vec::<String>::new(), "nobody was asked");
    stop(milo).await;
}

/// Somebody calls this number and says goodbye, and rina is told of the call and takes it. The caller, and the call's identifier.
async fn handed_over(milo: &Running, number: &str, rina: &mut Telephone) -> (Telephone, Value) {
    let caller = block_in_place(|| Telephone::call(milo, number));
    let id = get(milo, "/api/v1/calls")["calls"][0]["id"].clone();
    until(milo, &id, "greeted", |call| call["turns"][0]["said"].is_string()).await;
    block_in_place(|| {
        caller.says(&recording("mg_goodbye.wav"));
        rina.takes_a_call();
    });
    let is_asked = |call: &Value| events(call, "transferred").iter().any(|event| event["result"] == "asked");
    until(milo, &id, "told of", is_asked).await;
    block_in_place(|| rina.presses('1'));
    let is_joined = |call: &Value| events(call, "transferred").iter().any(|event| event["result"] == "answered");
    until(milo, &id, "joined", is_joined).await;
    (caller, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_of_a_call_of_a_persona_that_is_kept_local_hears_it_from_this_machine_alone() {
    let server = Server::start(Conduct::says("Veloma tompoko.")).await;
    let milo = milo(&folder("kept-handed-over"), &server).await;
    let mut rina = block_in_place(|| {
        let rina = Telephone::new(&milo);
        rina.registers(("rina", "secret"));
        rina
    });
    let before = server.asked().len();
    let (mut caller, id) = handed_over(&milo, "desk", &mut rina).await;
    // What Milo is has been said to both.
    sleep(Duration::from_secs(6)).await;
    // No set phrase, which would be translated without a model.
    block_in_place(|| caller.says(&recording("mg_price.wav")));
    let all =
        |row: &Value| ["interpreted", "not_interpreted"].map(|kind| events(row, kind).len()).iter().sum::<usize>();
    let row = until(&milo, &id, "heard", |row| all(row) > 0).await;
    assert!(events(&row, "handover")[0]["summary"].is_string(), "{row}");
    block_in_place(|| {
        caller.hangs_up();
        rina.answers("BYE", "200 OK");
    });
    analysed(&milo, &id).await;
    assert_eq!(asked_since(&server, before), Vec::<String>::new(), "nobody was asked: {row}");

    // Of the other persona's call a server writes the summary, and speaks it: this would have been seen.
    // Its persona ends the conversation as the one that ships does.
    server.now(Conduct::says("Veloma tompoko. [hangup]"));
    let before = server.asked().len();
    let (mut caller, id) = handed_over(&milo, "open", &mut rina).await;
    block_in_place(|| {
        caller.hangs_up();
        rina.answers("BYE", "200 OK");
    });
    ended(&milo, &id).await;
    let asked = &server.asked()[before..];
    assert!(asked.iter().any(|asked| asked.body.to_string().contains("Interlocuteur: ")), "{id}");
    assert!(asked_since(&server, before).contains(&"/v1/audio/speech".to_owned()), "{id}");
    stop(milo).await;
}

/// The folder's Milo knows of this number from its newest call: so much as a summary says, kept local or not.
async fn knows(at: &Path, call: &Value, is_local: bool) {
    let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", at.display()))).await.expect("a database");
    let log = LogWriter::start(store.clone(), "scenario", None).0;
    let text = |key: &str| call[key].as_str().expect("text").to_owned();
    let memory = NewMemory {
        number: text("from"),
        until: Stamp::from_millis(Stamp::now().millis() + 3_600_000),
        name: Some("Rasoa".into()),
        language: "mg".into(),
        summary: Some("Marary izy.".into()),
        is_local,
    };
    log.remembered(text("id").parse().expect("a key"), memory);
    assert!(log.flush(Duration::from_secs(5)).await, "it is written");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_persona_that_is_kept_local_knows_of_a_caller_is_put_into_no_prompt_that_a_server_reads() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let at = folder("kept-memory");
    let mut kept = milo(&at, &server).await;
    let asks = async |milo: &Running, number: &str| {
        call(&errand(milo.udp(number).expect("an address"), &["mg_hours.wav"])).await;
        newest_call(milo).await
    };
    // What comes of the calls themselves would take the place of what is known.
    server.now(Conduct::Refuses(400, ("x-scenario", "1"), "{}"));
    let first = asks(&kept, "milo").await;
    for (is_local, told) in [(true, None), (false, Some("[Rasoa|Marary izy.]"))] {
        let newest = newest_call(&kept).await;
        analysed(&kept, &newest["id"]).await;
        kept.stop().await.expect("Milo ends by itself");
        knows(&at, &newest, is_local).await;
        kept = milo(&at, &server).await;
        let shown = get(&kept, &format!("/api/v1/memories/{}", first["from"].as_str().expect("a number")));
        assert_eq!((&shown["name"], &shown["local"]), (&"Rasoa".into(), &is_local.into()), "{shown}");
        let before = server.asked().len();
        let row = asks(&kept, "open").await;
        let prompts: Vec<_> = server.asked()[before..].iter().map(|asked| asked.body.to_string()).collect();
        assert!(prompts.iter().any(|prompt| prompt.contains("messages")), "a server is asked: {row}");
        assert_eq!(prompts.iter().any(|prompt| prompt.contains("Rasoa")), told.is_some(), "{row}");
        let (known, withheld) = (events(&row, "remembered").len(), events(&row, "not_remembered"));
        assert_eq!((known, withheld.len()), (usize::from(!is_local), usize::from(is_local)), "{row}");
        if let Some(told) = told {
            assert!(prompts.iter().any(|prompt| prompt.contains(told)), "{prompts:?}");
        }
    }
    stop(kept).await;
}
