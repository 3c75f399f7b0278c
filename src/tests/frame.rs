//! What surrounds a model: what it is told of a caller who is known, and of what it sees no more.

use std::{fs, path::Path};

use milo::bench::Running;
use serde_json::{Value, json};

use crate::{
    hosted::server::{Asked, Conduct, Server},
    house::{PROGRAM, answered, call, errand, events, folder, newest_call, send, stop, until},
};

const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'friend' } }]
";

const WORDS: &str = "Misokatra amin'ny valo ora maraina izahay tompoko.";

/// A Milo whose persona is the one that ships, changed, and whose model is on this server.
async fn friend(name: &str, change: impl Fn(String) -> String, server: &Server) -> Running {
    let at = folder(name);
    let personas = at.join("plans/personas");
    fs::create_dir_all(&personas).expect("a folder");
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let persona = change(demo.expect("the persona that ships"));
    fs::write(personas.join("friend.toml"), persona).expect("written");
    fs::write(at.join("plans/plans.toml"), PLANS).expect("written");
    let plans = at.join("plans").to_string_lossy().into_owned();
    let own = server.variables("openai");
    let mut variables: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // One request a turn.
    variables.extend([("MILO__DIALPLANS__PATH", plans.as_str()), ("MILO__CONVERSATION__EARLY_REPLIES", "false")]);
    Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts")
}

async fn say(milo: &Running, recordings: &[&str]) -> Value {
    call(&errand(milo.udp("milo").expect("an address"), recordings)).await;
    newest_call(milo).await
}

/// The contents of the messages of a request.
fn told(asked: &Asked) -> Vec<String> {
    let messages = asked.body["messages"].as_array().expect("messages").iter();
    messages.map(|message| message["content"].as_str().expect("text").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_known_when_they_call_again_until_they_are_forgotten() {
    const FINDINGS: &str = r#"{"summary": "Il demande les horaires.", "fields": {"name": "Rasoa"}}"#;
    let change = |demo: String| {
        let known = "prompt = \"[{{memory.name}}|{{memory.language}}|{{memory.summary}}|{{memory.last_call}}] ";
        let greeting = "greeting = { evening = \"Salama e! Milo eto.\", otherwise = \"Salama! Milo eto.\" }";
        let usual = "greeting = \"Salama tompoko! Milo eto. Inona no azoko atao ho anao?\"";
        let demo = demo.replace("prompt = \"", known).replace(usual, greeting);
        let fields = "[after.fields]\nname = { type = 'string', maxLength = 40 }";
        // The hour, which a frame has, may be another in each call.
        format!("frame = false\n{demo}\n[after]\nsentiment = false\n{fields}\n[memory]\ndays = 30\n")
    };
    let server = Server::start(Conduct::says(WORDS)).await;
    let milo = friend("frame-memory", change, &server).await;
    let talk = async || {
        server.then([Conduct::says(WORDS), Conduct::says(FINDINGS)]);
        let logged = say(&milo, &["fr_hours.wav"]).await;
        until(&milo, &logged["id"], "analysed", |call| !call["analysis"].is_null()).await
    };
    let first = talk().await;
    assert_eq!(first["analysis"]["fields"], json!({ "name": "Rasoa" }), "{first}");
    let greeting = &first["turns"][0];
    assert_eq!(greeting["language"], "mg", "{first}");
    assert!(["Salama! Milo eto.", "Salama e! Milo eto."].iter().any(|said| greeting["said"] == *said), "{greeting}");
    assert_eq!(answered(&first)[0]["language"], "fr", "{first}");
    assert!(events(&first, "remembered").is_empty(), "{first}");

    // It begins in the language of the first call.
    let second = talk().await;
    assert_eq!(second["turns"][0]["language"], "fr", "{second}");
    assert_eq!(events(&second, "remembered")[0]["last_call"], first["started"], "{second}");
    let forget = format!("/api/v1/calls?number={}", first["from"].as_str().expect("a number"));
    assert_eq!(send(&milo, ("DELETE", &forget), &[], &Value::Null).status, 200);
    let third = talk().await;
    assert_eq!(third["turns"][0]["language"], "mg", "{third}");
    assert!(events(&third, "remembered").is_empty(), "{third}");

    // A turn and what came of its call, three times.
    let asked = server.asked();
    let [one, _, two, _, three, _] = &asked[..] else { panic!("asked {} times", asked.len()) };
    let prompts = [one, two, three].map(|asked| told(asked).swap_remove(0));
    assert!(prompts[0].starts_with("[|||] Ianao"), "{}", prompts[0]);
    let (known, day) = prompts[1].split_once("] ").expect("the frame").0.rsplit_once('|').expect("a day");
    assert_eq!((known, day.len()), ("[Rasoa|fr|Il demande les horaires.", "30/11/2026".len()), "{}", prompts[1]);
    assert_eq!(prompts[2], prompts[0]);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_sees_no_more_is_summed_up_for_it() {
    const SUMMARY: &str = "Nanontany ny ora fisokafana ilay olona.";
    let server = Server::start(Conduct::says(WORDS)).await;
    let change = |demo: String| format!("exchanges = 1\nsummarise = true\n{demo}");
    let milo = friend("frame-summary", change, &server).await;
    let second = "Mitentina roa alina ny tapakila.";
    server.then([WORDS, second, SUMMARY, "Misaotra tompoko."].map(Conduct::says));
    let logged = say(&milo, &["mg_hours.wav", "mg_price.wav", "mg_hours.wav"]).await;
    let asked = server.asked();
    assert!(asked.len() >= 4, "asked {} times: {logged}", asked.len());
    let [_, before, asked_to_sum_up, after] = [0, 1, 2, 3].map(|n| told(&asked[n]));
    assert_eq!((before.len(), &before[2]), (4, &WORDS.to_owned()), "{before:?}");
    let [instructions, said] = &asked_to_sum_up[..] else { panic!("{asked_to_sum_up:?}") };
    assert!(instructions.contains("120"), "{instructions}");
    assert!(said.starts_with("Olona: ") && said.ends_with(&format!("\nMilo: {WORDS}")), "{said}");
    // The last turn is answered with the summary, and what was said since.
    assert_eq!((after.len(), after[2].as_str()), (4, second), "{after:?}");
    assert_eq!(after[0], format!("{}\nEfa niresahana: {SUMMARY}", before[0]));
    assert_eq!(events(&logged, "summarised")[0]["words"], SUMMARY.split(' ').count(), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_as_it_is_told_is_told_how_one_speaks_what_it_knows_and_when_and_where_it_is() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let told_besides = "place = 'Toamasina'\nstyle = 'Tsotra sy falifaly.'\nfacts = ['Laharana {{called}} ity.']";
    let milo = friend("frame-told", |demo| format!("{told_besides}\n{demo}"), &server).await;
    let logged = say(&milo, &["mg_hours.wav", "mg_price.wav"]).await;
    let asked: Vec<_> = server.asked().iter().map(told).collect();
    let [one, two] = &asked[..] else { panic!("{asked:?}, {logged}") };
    let at = |words: &str| one[0].find(words).unwrap_or_else(|| panic!("no {words:?} in {}", one[0]));
    let order = [
        "Ianao dia i Milo",
        "Ao amin'ny telefaonina",
        "[hangup]",
        "tsy baiko ho anao",
        "Tsotra sy falifaly.",
        "- Laharana milo ity.",
        "androany",
        "Toerana: Toamasina.",
    ];
    assert!(order.map(at).is_sorted(), "{}", one[0]);
    assert_eq!(one[0], two[0], "what was read once in a call is read no more");
    // In writing nothing is said of a telephone.
    let body = json!({ "message": "Salama tompoko", "persona": "friend" });
    assert_eq!(send(&milo, ("POST", "/api/v1/chat"), &[], &body).status, 200);
    let written = told(server.asked().last().expect("asked"));
    assert!(written[0].contains("Tsotra sy falifaly.") && !written[0].contains("telefaonina"), "{}", written[0]);
    stop(milo).await;
}
