//! Milo with an inference server that runs graphs for its ears, its voice and the end of turn: calls are heard with it, go on when it dies,
//! and a persona that is kept local is kept from it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use milo::bench::Running;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::house::{
    MG_HOURS, MG_PRICE, PROGRAM, answered, assert_turn, call, errand, folder, get, metric, milo, newest_call,
    recording, send, stop, until,
};
use server::{Conduct, Server};

#[path = "../../models/tests/kserve/server.rs"]
mod server;

const KEY: &str = "key-of-a-scenario-0123456789";

fn models(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(path)
}

/// One with the graphs of the models that ship, and a small voice.
fn serving() -> Server {
    let graphs = [
        ("ears", models("demo/ears/encoder_model.onnx")),
        ("turn", models("demo/turn/turn.onnx")),
        ("voice", models("tests/vits_tiny/speaking/model.onnx")),
    ];
    Server::start(&graphs.each_ref().map(|(name, file)| (*name, file.as_path())), true)
}

/// The variables of a Milo whose ears and end of turn it serves.
fn variables(server: &Server) -> Vec<(&'static str, String)> {
    vec![
        ("MILO__ENGINES__KSERVE__URL", server.url()),
        ("MILO__ENGINES__KSERVE__API_KEY", KEY.into()),
        ("MILO__ENGINES__KSERVE__TURN", "turn".into()),
        ("MILO__ENGINES__KSERVE__WHISPER__MODEL", "ears:1".into()),
        ("MILO__ENGINES__KSERVE__WHISPER__PATH", models("demo/ears").display().to_string()),
    ]
}

fn lent<'a>(variables: &'a [(&'static str, String)], more: &[(&'static str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect()
}

/// How often it has run this graph.
fn runs(server: &Server, model: &str) -> usize {
    let of_it = format!("/v2/models/{model}/");
    server.asked().iter().filter(|asked| asked.path.starts_with(&of_it)).count()
}

fn heard(milo: &Running) -> Value {
    let sound = STANDARD.encode(fs::read(recording("mg_hours.wav")).expect("the recording"));
    send(milo, ("POST", "/api/v1/stt"), &[], &json!({ "audio": sound })).body["text"].clone()
}

fn fell_back(engine: &str, reason: &str) -> String {
    format!("milo_engine_fallbacks_total{{engine=\"{engine}\",reason=\"{reason}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_heard_with_the_server_and_goes_on_when_that_dies() {
    let mut server = serving();
    let own = variables(&server);
    let milo = milo("served", &lent(&own, &[("MILO__ENGINES__FAILURES_BEFORE_REST", "0")])).await;
    let health = get(&milo, "/api/v1/health");
    assert_eq!(health["status"], "healthy", "{health}");
    let word = |one: &Value, key: &str| one[key].as_str().expect("a word").to_owned();
    let servers = health["servers"].as_array().expect("servers").iter();
    let named: Vec<_> = servers.map(|one| ["job", "engine", "model"].map(|key| word(one, key))).collect();
    assert_eq!(named, [["stt", "kserve", "ears:1"], ["turn", "kserve", "turn"]], "{health}");
    assert!(!health.to_string().contains(KEY), "{health}");

    let before = (runs(&server, "ears"), runs(&server, "turn"));
    let errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav", "mg_price.wav"]);
    let calling = tokio::spawn(async move { call(&errand).await });
    let id = loop {
        let calls = get(&milo, "/api/v1/calls");
        match &calls["calls"][0]["id"] {
            Value::Null => sleep(Duration::from_millis(50)).await,
            id => break id.clone(),
        }
    };
    until(&milo, &id, "answered once", |call| !answered(call).is_empty()).await;
    assert!(runs(&server, "ears") > before.0 && runs(&server, "turn") > before.1, "{:?}", server.asked().len());
    assert!(server.asked().iter().all(|asked| asked.in_bytes && asked.key == Some(format!("Bearer {KEY}"))));
    server.go();
    calling.await.expect("the call ends by itself");
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!(turns.len(), 2, "{logged}");
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_turn(turns[1], "mg", MG_PRICE.0, MG_PRICE.1);
    for engine in ["stt", "turn"] {
        let gone = metric(&milo, &fell_back(engine, "down")).await + metric(&milo, &fell_back(engine, "broken")).await;
        assert!(gone >= 1.0, "nobody stood in for the {engine}'s graph");
    }
    let health = get(&milo, "/api/v1/health");
    assert_eq!(health["status"], "degraded", "{health}");
    let faults = health["degraded"].to_string();
    assert!(faults.contains("the local engine is there for it") && !faults.contains(KEY), "{health}");

    // It is there again, and whoever speaks next is heard with it.
    server.come();
    sleep(Duration::from_millis(1_100)).await;
    let before = runs(&server, "ears");
    assert_eq!((heard(&milo), runs(&server, "ears")), (MG_HOURS.0.into(), before + 1));
    server.now(Conduct::Refuses(500, "CUDA error: out of memory"));
    let before = metric(&milo, &fell_back("stt", "broken")).await;
    assert_eq!(heard(&milo), MG_HOURS.0, "by the local ears");
    assert_eq!(metric(&milo, &fell_back("stt", "broken")).await, before + 1.0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_at_the_start_is_asked_as_soon_as_it_is_there() {
    let mut server = serving();
    server.go();
    let mut own = variables(&server);
    let folder = models("tests/vits_tiny/speaking").display().to_string();
    own.push(("MILO__ENGINES__KSERVE__VITS__MG__MODEL", "voice".into()));
    own.push(("MILO__ENGINES__KSERVE__VITS__MG__PATH", folder));
    let milo = milo("served-late", &lent(&own, &[("MILO__ENGINES__REST_S", "0.3")])).await;
    let says = || get(&milo, "/api/v1/health").to_string();
    let says_away = says();
    assert!(says_away.contains("\"degraded\"") && says_away.contains("refused"), "{says_away}");
    assert_eq!(heard(&milo), MG_HOURS.0, "by the local ears");
    assert!(metric(&milo, &fell_back("stt", "down")).await >= 1.0);

    server.come();
    for _ in 0..100 {
        if says().contains("\"healthy\"") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let says_there = says();
    assert!(says_there.contains("\"healthy\""), "{says_there}");
    let before = runs(&server, "ears");
    assert_eq!((heard(&milo), runs(&server, "ears")), (MG_HOURS.0.into(), before + 1));
    let said = |text: &str, language: &str| {
        let before = runs(&server, "voice");
        let body = json!({ "text": text, "language": language, "format": "json" });
        let answer = send(&milo, ("POST", "/api/v1/tts"), &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        runs(&server, "voice") - before
    };
    assert_eq!((said("misaotra indrindra", "mg"), said("merci beaucoup", "fr")), (1, 0), "French is the local voice's");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persona_that_is_kept_local_is_kept_from_a_server_that_runs_graphs() {
    let server = serving();
    let at = folder("served-kept");
    let plans = at.join("plans");
    fs::create_dir_all(plans.join("personas")).expect("a folder");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml");
    let demo = fs::read_to_string(demo).expect("the persona that ships");
    let kept = demo.replace("\ntemperature = 0.0\n", "\ntemperature = 0.0\nmode = \"local\"\n");
    assert_ne!(kept, demo, "the persona that ships has a temperature");
    fs::write(plans.join("personas/kept.toml"), kept).expect("written");
    let plan = "[[plan]]\nname = 'milo'\nnumber = 'milo'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { converse = { persona = 'kept' } }]\n";
    fs::write(plans.join("plans.toml"), plan).expect("written");
    let mut own = variables(&server);
    own.push(("MILO__DIALPLANS__PATH", plans.display().to_string()));
    let milo = Running::start(Path::new(PROGRAM), &at, &lent(&own, &[])).await.expect("Milo starts");
    let before = server.asked().len();
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    assert_turn(answered(&logged)[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_eq!(server.asked().len(), before, "it is asked nothing, on this machine or not");
    assert_eq!(heard(&milo), MG_HOURS.0);
    assert!(server.asked().len() > before, "whoever is no such persona's caller is heard with it");
    stop(milo).await;
}
