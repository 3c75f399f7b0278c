//! After a call: the model writes down what came of it, where the persona wants that; the API shows it, and a webhook is told.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::sleep};

use crate::{
    hosted::server::{Conduct, Server},
    house::{PROGRAM, call, errand, folder, get, metric, newest_call, send, stop, until},
    webhooks::request,
};

/// A number whose persona wants to know what came of its calls, and one with the persona that ships.
const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'curious' } }]

[[plan]]
name = 'plain'
number = 'plain'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'demo' } }]
";

const AFTER: &str = "
[after]
language = 'fr'
outcomes = ['answered', 'appointment']
tags = ['price', 'hours']
[after.fields]
order = { type = 'string', maxLength = 20 }
seats = { type = 'integer' }
";

const WORDS: &str = "Misokatra amin'ny valo ora maraina izahay tompoko.";
const WRONG: &str = r#"{"summary": "Les horaires.", "outcome": "sold", "sentiment": "neutral", "tags": [], "fields": {"order": null, "seats": 2}}"#;
const RIGHT: &str = r#"```json
{"summary": "La personne demande les horaires.", "outcome": "answered", "sentiment": "neutral", "tags": ["hours"], "fields": {"order": null, "seats": 2}}
```"#;

pub(crate) type Told = Arc<Mutex<Vec<Value>>>;

/// A program that takes whatever it is told.
pub(crate) async fn program() -> (u16, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, told) = (listener.local_addr().expect("an address").port(), Told::default());
    let noted = Arc::clone(&told);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(text) = request(&mut stream).await else { continue };
            let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body).expect("JSON"));
            noted.lock().expect("no panic").extend(body);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").await.ok();
            stream.shutdown().await.ok();
        }
    });
    (port, told)
}

/// What it was told of this kind, once it was.
pub(crate) async fn told_of(told: &Told, kind: &str, count: usize) -> Vec<Value> {
    for _ in 0..300 {
        let of_kind: Vec<_> =
            told.lock().expect("no panic").iter().filter(|body| body["type"] == kind).cloned().collect();
        if of_kind.len() >= count {
            return of_kind;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no {count} events {kind} within half a minute: {told:?}");
}

/// A Milo in this folder with these plans, and with what it is to write down after its calls.
async fn curious(at: &Path, after: &str, variables: &[(&str, &str)]) -> Running {
    let personas = at.join("plans/personas");
    fs::create_dir_all(&personas).expect("a folder");
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let demo = demo.expect("the persona that ships");
    fs::write(personas.join("curious.toml"), format!("{demo}{after}")).expect("written");
    fs::write(personas.join("demo.toml"), demo).expect("written");
    fs::write(at.join("plans/plans.toml"), PLANS).expect("written");
    let plans = at.join("plans").to_string_lossy().into_owned();
    // One request a turn.
    let own = [("MILO__DIALPLANS__PATH", plans.as_str()), ("MILO__CONVERSATION__EARLY_REPLIES", "false")];
    Running::start(Path::new(PROGRAM), at, &[&own[..], variables].concat()).await.expect("Milo starts")
}

/// A call to a number in which one question is asked, as the log has it.
async fn one_question(milo: &Running, number: &str) -> Value {
    call(&errand(milo.udp(number).expect("an address"), &["mg_hours.wav"])).await;
    newest_call(milo).await
}

async fn analysed(milo: &Running, logged: &Value) -> Value {
    until(milo, &logged["id"], "analysed", |call| !call["analysis"].is_null()).await["analysis"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_a_call_is_written_down_by_the_model_shown_and_told() {
    let (server, (port, told)) = (Server::start(Conduct::says(WORDS)).await, program().await);
    let at = folder("after");
    let target = format!("[[webhooks]]\nname = 'crm'\nurl = 'http://127.0.0.1:{port}/'\nallow_private = true\n");
    fs::write(at.join("milo.toml"), target).expect("written");
    let variables = server.variables("openai");
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = curious(&at, AFTER, &variables).await;

    // The persona that ships wants nothing written down. It would be before what comes later: one is written after the other.
    let plain = one_question(&milo, "plain").await;

    // First it writes something else, and then what it was asked for.
    server.then([Conduct::says(WORDS), Conduct::says(WRONG), Conduct::says(RIGHT)]);
    let logged = one_question(&milo, "milo").await;
    let analysis = analysed(&milo, &logged).await;
    assert_eq!(
        analysis,
        json!({ "at": analysis["at"], "summary": "La personne demande les horaires.", "outcome": "answered",
            "sentiment": "neutral", "tags": ["hours"], "fields": { "order": null, "seats": 2 }, "failed": null })
    );
    assert!(analysis["at"].is_string(), "{analysis}");
    let asked = server.asked();
    let [_, _, first, second] = &asked[..] else { panic!("asked {} times", asked.len()) };
    let said = |asked: &Value| -> Vec<String> {
        let messages = asked["messages"].as_array().expect("messages").iter();
        messages.map(|message| message["content"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!((&first.body["temperature"], &first.body["max_tokens"]), (&json!(0.0), &json!(600)));
    let [system, transcript] = &said(&first.body)[..] else { panic!("{}", first.body) };
    assert!(system.contains("en français") && system.contains("\"seats\""), "{system}");
    assert!(transcript.contains("Interlocuteur: ") && transcript.contains(&format!("\nMilo: {WORDS}")), "{transcript}");
    let [_, same, written, fault] = &said(&second.body)[..] else { panic!("{}", second.body) };
    assert_eq!((same, written.as_str()), (transcript, WRONG));
    assert!(fault.contains("$.outcome: \"sold\" is not one of \"answered\", \"appointment\""), "{fault}");
    let event = &told_of(&told, "analysed", 1).await[0];
    assert_eq!((&event["call"], &event["data"]), (&logged["id"], &analysis));
    assert_eq!(metric(&milo, "milo_analyses_total{result=\"done\"}").await, 1.0);

    // Twice something else, and there is nothing but the reason.
    server.then([Conduct::says(WORDS), Conduct::says(WRONG), Conduct::says("Tsy haiko.")]);
    let failed = analysed(&milo, &one_question(&milo, "milo").await).await;
    assert!(failed["failed"].as_str().is_some_and(|why| why.contains("it is no JSON")), "{failed}");
    assert_eq!((&failed["summary"], &failed["fields"]), (&Value::Null, &json!({})));
    assert_eq!(told_of(&told, "analysed", 2).await[1]["data"], failed);
    assert_eq!(metric(&milo, "milo_analyses_total{result=\"failed\"}").await, 1.0);

    let plain = get(&milo, &format!("/api/v1/calls/{}", plain["id"].as_str().expect("an identifier")));
    assert!(plain["analysis"].is_null(), "{plain}");

    // Whoever has a number forgotten has that forgotten, too.
    let forget = format!("/api/v1/calls?number={}", logged["from"].as_str().expect("a number"));
    assert_eq!(send(&milo, ("DELETE", &forget), &[], &Value::Null).status, 200);
    let gone = format!("/api/v1/calls/{}", logged["id"].as_str().expect("an identifier"));
    assert_eq!(send(&milo, ("GET", &gone), &[], &Value::Null).status, 404);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_in_this_process_can_write_nothing_else_and_a_log_without_words_is_not_read() {
    let after = "\n[after]\nsummary = false\noutcomes = ['answered', 'appointment']\ntags = ['price']\n";
    // The small model that ships, as one of the operator's; and room for it, as its tokens are those of its few sentences.
    let mind = folder("after-mind").join("mind.gguf");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/mind/mind.gguf"), &mind).expect("a copy");
    let mind = mind.to_string_lossy().into_owned();
    let room = [
        ("LOCAL_LLM_MODEL_PATH", mind.as_str()),
        ("MILO__ENGINES__LLM__SEQUENCES", "2"),
        ("MILO__ENGINES__LLM__CONTEXT_TOKENS", "2048"),
    ];
    let milo = curious(&folder("after-local"), after, &room).await;
    let analysis = analysed(&milo, &one_question(&milo, "milo").await).await;
    assert!(analysis["failed"].is_null(), "{analysis}");
    let is_one_of = |name: &str, all: &[&str]| all.iter().any(|one| analysis[name] == *one);
    assert!(is_one_of("outcome", &["answered", "appointment"]), "{analysis}");
    assert!(is_one_of("sentiment", &["positive", "neutral", "negative"]), "{analysis}");
    assert!(analysis["summary"].is_null() && analysis["tags"].is_array(), "{analysis}");
    stop(milo).await;

    let wordless = [("MILO__DATABASE__TRANSCRIPTS", "false")];
    let milo = curious(&folder("after-wordless"), after, &[&room[..], &wordless].concat()).await;
    let logged = one_question(&milo, "milo").await;
    sleep(Duration::from_secs(1)).await;
    let logged = get(&milo, &format!("/api/v1/calls/{}", logged["id"].as_str().expect("an identifier")));
    assert!(logged["analysis"].is_null(), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_up_of_a_call_by_a_model_that_knows_what_it_was_trained_with_and_nothing_else() {
    let known = "\n[after]\nlanguage = 'fr'\n[memory]\n";
    let is_forgotten = |milo: &Running, logged: &Value| {
        let path = format!("/api/v1/memories/{}", logged["from"].as_str().expect("a number"));
        assert_eq!(send(milo, ("GET", &path), &[], &Value::Null).status, 404, "nothing is known of them");
    };
    let milo = curious(&folder("after-shipped"), known, &[]).await;
    let logged = one_question(&milo, "milo").await;
    let analysis = analysed(&milo, &logged).await;
    assert!(analysis["failed"].as_str().is_some_and(|why| why.contains("what it was trained with")), "{analysis}");
    assert_eq!((&analysis["summary"], &analysis["sentiment"]), (&Value::Null, &Value::Null), "{analysis}");
    is_forgotten(&milo, &logged);
    stop(milo).await;

    // The server answers the caller, and is gone when it is asked what came of the call: the shipped model stands in for the first alone.
    let server = Server::start(Conduct::says(WORDS)).await;
    server.then([Conduct::says(WORDS), Conduct::Cuts(WORDS, 0)]);
    let variables = server.variables("openai");
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = curious(&folder("after-fallback"), known, &variables).await;
    let logged = one_question(&milo, "milo").await;
    let analysis = analysed(&milo, &logged).await;
    assert!(analysis["failed"].as_str().is_some_and(|why| why.contains("broke off")), "{analysis}");
    assert_eq!(analysis["summary"], Value::Null, "{analysis}");
    is_forgotten(&milo, &logged);
    stop(milo).await;
}
