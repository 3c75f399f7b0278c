//! Calls that are handed over warm: whoever is called hears a summary, and takes the call by a key or a word; where they do not, the
//! plan or the conversation goes on and says so.

use std::{fs, path::Path, time::Duration};

use milo::{bench::Running, phone::Errand};
use milo_media::wav;
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

use crate::{
    accounts::accounts,
    after::{program, told_of},
    hosted::server::{Conduct, Server},
    house::{PROGRAM, call, ended, errand, events, folder, get, newest_call, recording, stop, until, with_plans_and},
    telephone::Telephone,
};

/// A number that hands its callers over to rina, and presses a key where they come back; and one whose rina has two seconds.
const DESK: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [
  { answer = {} },
  { transfer = { account = 'rina', mode = 'warm', language = 'fr', announce = 'Bonjour.' } },
  { send_digits = { digits = '7' } },
]

[[plan]]
name = 'hasty'
number = 'hasty'
language = 'mg'
actions = [{ answer = {} }, { transfer = { account = 'rina', mode = 'warm', seconds = 2 } }, { send_digits = { digits = '7' } }]
";

/// A Milo with this desk, and the telephone of rina.
async fn desk(name: &str) -> (Running, Telephone) {
    let file = accounts(&folder(&format!("{name}-files"))).to_string_lossy().into_owned();
    // These telephones are silent for long.
    let variables = [("MILO__SIP__ACCOUNTS", file.as_str()), ("MILO__MEDIA__RTP_TIMEOUT_S", "120")];
    let milo = with_plans_and(name, DESK, &variables).await;
    let rina = block_in_place(|| {
        let rina = Telephone::new(&milo);
        rina.registers(("rina", "secret"));
        rina
    });
    (milo, rina)
}

/// Somebody calls the desk, rina takes the telephone, and is told of the call.
async fn told(milo: &Running, rina: &mut Telephone) -> (Telephone, Value) {
    let caller = block_in_place(|| {
        let caller = Telephone::call(milo, "desk");
        rina.takes_a_call();
        caller
    });
    let id = get(milo, "/api/v1/calls")["calls"][0]["id"].clone();
    until(milo, &id, "told of", |row| results(row).contains(&"asked".into())).await;
    (caller, id)
}

/// What came of the transfers of a call.
fn results(row: &Value) -> Vec<String> {
    events(row, "transferred").iter().map(|event| event["result"].as_str().expect("a result").to_owned()).collect()
}

fn handover(row: &Value) -> &Value {
    let all = events(row, "handover");
    all.first().copied().unwrap_or_else(|| panic!("no hand-over in {row}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_presses_1_has_the_caller_and_the_two_hear_each_other() {
    let (milo, mut rina) = desk("warm-key").await;
    let (mut caller, id) = told(&milo, &mut rina).await;
    assert!(caller.heard() > 5, "the caller hears music meanwhile");
    assert!(rina.heard() > 0, "rina hears who comes");
    block_in_place(|| rina.presses('1'));
    let row = until(&milo, &id, "joined", |row| results(row).len() == 2).await;
    assert_eq!(results(&row), ["asked", "answered"], "{row}");
    let over = handover(&row);
    assert_eq!((&over["accepted"], &over["language"]), (&"key".into(), &"fr".into()), "{over}");
    // Nothing was said that a model could tell.
    assert_eq!(over["summary"], "Appel du 0341234567.", "{over}");
    sleep(Duration::from_millis(500)).await;
    block_in_place(|| {
        rina.heard();
        caller.says(&recording("mg_hours.wav"));
        assert!(rina.heard() > 20, "rina hears the caller");
        caller.heard();
        rina.says(&recording("mg_hours.wav"));
        assert!(caller.heard() > 20, "the caller hears rina");
        caller.hangs_up();
        rina.answers("BYE", "200 OK");
    });
    let row = ended(&milo, &id).await;
    assert_eq!(events(&row, "parted")[0]["why"], "the caller hung up", "{row}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_yes_has_the_caller() {
    let (milo, mut rina) = desk("warm-word").await;
    // What is said while they are told is not listened to: they say it again.
    let mut again = Vec::new();
    for _ in 0..6 {
        again.extend(wav::read(&recording("mg_yes.wav")).expect("a recording"));
        again.resize(again.len() + 3 * 16_000, 0);
    }
    let file = milo.folder().join("yes.wav");
    wav::write(&file, &again).expect("a file");
    let (mut caller, id) = told(&milo, &mut rina).await;
    block_in_place(|| rina.says(&file));
    let row = until(&milo, &id, "joined", |row| results(row).len() == 2).await;
    let over = handover(&row);
    assert_eq!((&over["accepted"], results(&row)), (&"word".into(), vec!["asked".into(), "answered".into()]), "{row}");
    assert!(over["asked"].as_u64().is_some_and(|asked| asked > 0), "{over}");
    block_in_place(|| {
        caller.hangs_up();
        rina.answers("BYE", "200 OK");
    });
    ended(&milo, &id).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_goes_on_where_nobody_takes_the_call() {
    let (milo, mut rina) = desk("warm-declined").await;
    let back = |row: &Value, result: &str| {
        assert_eq!(results(row).last().map(String::as_str), Some(result), "{row}");
        assert_eq!(events(row, "pressed").len(), 1, "the plan goes on: {row}");
    };

    let (caller, id) = told(&milo, &mut rina).await;
    block_in_place(|| {
        rina.presses('2');
        rina.answers("BYE", "200 OK");
        caller.answers("BYE", "200 OK");
    });
    let row = ended(&milo, &id).await;
    back(&row, "declined");
    assert_eq!(handover(&row)["accepted"], Value::Null, "{row}");

    // They hang up, and say nothing to it.
    let (caller, id) = told(&milo, &mut rina).await;
    block_in_place(|| {
        rina.hangs_up();
        caller.answers("BYE", "200 OK");
    });
    back(&ended(&milo, &id).await, "the one who was called hung up");

    // They are silent, and asked twice.
    let (caller, id) = told(&milo, &mut rina).await;
    sleep(Duration::from_secs(15)).await;
    until(&milo, &id, "given back", |row| results(row).len() == 2).await;
    block_in_place(|| {
        rina.answers("BYE", "200 OK");
        caller.answers("BYE", "200 OK");
    });
    let row = ended(&milo, &id).await;
    back(&row, "declined");
    assert_eq!(handover(&row)["asked"], 2, "{row}");

    // Nobody comes to the telephone.
    let caller = block_in_place(|| {
        let caller = Telephone::call(&milo, "hasty");
        rina.rings();
        caller.answers("BYE", "200 OK");
        caller
    });
    let row = newest_call(&milo).await;
    back(&row, "no answer");
    assert!(events(&row, "handover").is_empty(), "{row}");
    drop(caller);
    stop(milo).await;
}

const OFFICE: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'office' } }]
";

const PERSON: &str = "
about = 'Hands the caller over to a person.'
actions = [{ transfer = { account = 'rina', mode = 'warm', language = 'fr' } }]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_hands_its_caller_over_with_a_summary_and_says_so_where_the_person_does_not_take_the_call() {
    const PERSON_CALLED: &[(&str, &str)] = &[("person", "{}")];
    const SUMMARY: &str = "La personne demande le prix du billet.";
    const SORRY: &str = "Miala tsiny, tsy afaka mandray anao izy izao.";
    let (server, (port, noted)) = (Server::start(Conduct::says(SORRY)).await, program().await);
    let at = folder("warm-tool");
    for within in ["plans/personas", "plans/tools"] {
        fs::create_dir_all(at.join(within)).expect("a folder");
    }
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let persona = format!("tools = ['person']\n{}", demo.expect("the persona that ships"));
    fs::write(at.join("plans/personas/office.toml"), persona).expect("written");
    fs::write(at.join("plans/tools/person.toml"), PERSON).expect("written");
    fs::write(at.join("plans/plans.toml"), OFFICE).expect("written");
    let hears = format!(
        "[[webhooks]]\nname = 'crm'\nurl = 'http://127.0.0.1:{port}/'\nallow_private = true\nevents = ['transferred']\n"
    );
    fs::write(at.join("milo.toml"), hears).expect("written");
    let plans = at.join("plans").to_string_lossy().into_owned();
    let file = accounts(&folder("warm-tool-files")).to_string_lossy().into_owned();
    let own = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__SIP__ACCOUNTS", file.as_str()),
        ("MILO__MEDIA__RTP_TIMEOUT_S", "120"),
        // One request a turn.
        ("MILO__CONVERSATION__EARLY_REPLIES", "false"),
        // The caller says nothing more, and the agent ends the call.
        ("MILO__CONVERSATION__SILENCE_PROMPT_S", "6"),
        ("MILO__CONVERSATION__SILENCE_HANGUP_S", "9"),
    ];
    let asks = server.variables("openai");
    let asks: Vec<_> = asks.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = Running::start(Path::new(PROGRAM), &at, &[&own[..], &asks].concat()).await.expect("Milo starts");
    let mut rina = block_in_place(|| {
        let rina = Telephone::new(&milo);
        rina.registers(("rina", "secret"));
        rina
    });
    server.then([Conduct::Calls(PERSON_CALLED), Conduct::says(SUMMARY), Conduct::says(SORRY)]);
    let errand = Errand { wait: true, ..errand(milo.udp("milo").expect("an address"), &["mg_price.wav"]) };
    let calling = tokio::spawn(async move { call(&errand).await });
    block_in_place(|| rina.takes_a_call());
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
    until(&milo, &id, "told of", |row| results(row).contains(&"asked".into())).await;
    block_in_place(|| {
        rina.presses('2');
        rina.answers("BYE", "200 OK");
    });
    calling.await.expect("the call");
    let row = ended(&milo, &id).await;

    // The agent is back, and says what happened.
    let said: Vec<_> =
        row["turns"].as_array().expect("turns").iter().filter_map(|turn| turn["said"].as_str()).collect();
    assert!(said.contains(&SORRY), "{row}");
    let asked = server.asked();
    let (summary, after) = (&asked[1].body, &asked[2].body);
    assert_eq!((&summary["max_tokens"], &summary["temperature"]), (&json!(160), &json!(0.0)), "{summary}");
    let [system, lines] = ["system", "user"].map(|role| of(summary, role));
    assert!(system.contains("en français") && lines.contains("Interlocuteur: "), "{summary}");
    assert_eq!(of(after, "tool"), r#"{"ok": false, "why": "declined"}"#, "{after}");
    let over = handover(&row);
    assert_eq!((&over["summary"], &over["accepted"]), (&SUMMARY.into(), &Value::Null), "{over}");

    // Whoever is told of transfers has it before the person is asked, and hears what came of it.
    let told = told_of(&noted, "transferred", 2).await;
    let [first, last] = [&told[0]["data"], &told[1]["data"]];
    assert_eq!((&first["by"], &first["result"], &first["summary"]), (&"warm".into(), &"asked".into(), &SUMMARY.into()));
    assert!(first["transcript"].as_str().is_some_and(|lines| lines.contains("Interlocuteur: ")), "{first}");
    assert_eq!((&last["by"], &last["result"]), (&"warm".into(), &"declined".into()), "{last}");
    stop(milo).await;
}

/// The last message of this role in a request.
fn of(asked: &Value, role: &str) -> String {
    let messages = asked["messages"].as_array().expect("messages").iter();
    let found = messages.rev().find(|message| message["role"] == role);
    found.and_then(|message| message["content"].as_str()).unwrap_or_else(|| panic!("no {role} in {asked}")).to_owned()
}
