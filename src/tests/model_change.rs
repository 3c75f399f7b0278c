//! Another model in the place of one in memory, while a call is up.

use std::{fs, path::Path, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};

use crate::house::{
    Answer, MG_HOURS, PROGRAM, answered, call, errand, folder, get, metric, newest_call, recording, send, stop,
};

/// A copy of the ears that ship which writes one of these words for the other: whoever hears by them is known.
fn swapped_ears(at: &Path) {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/ears");
    fs::create_dir_all(at).expect("a folder");
    for file in fs::read_dir(shipped).expect("the ears that ship").flatten() {
        fs::copy(file.path(), at.join(file.file_name())).expect("copied");
    }
    let file = at.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&fs::read(&file).expect("a tokenizer")).expect("JSON");
    let words = tokenizer["model"]["vocab"].as_object_mut().expect("a vocabulary");
    let [one, other] = ["Ġbirao", "Ġvalo"].map(|word| words[word].clone());
    (words["Ġbirao"], words["Ġvalo"]) = (other, one);
    fs::write(file, tokenizer.to_string()).expect("written");
}

fn change(milo: &Running, engine: &str, path: &str) -> Answer {
    send(milo, ("POST", &format!("/api/v1/engines/{engine}/reload")), &[], &json!({ "path": path }))
}

fn heard(milo: &Running) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let sound = STANDARD.encode(fs::read(recording("mg_hours.wav")).expect("the recording"));
    let heard = send(milo, ("POST", "/api/v1/stt"), &[], &json!({ "audio": sound })).body;
    heard["text"].as_str().unwrap_or_else(|| panic!("{heard}")).to_owned()
}

/// The name of the model that does a job, as health tells it.
fn model(milo: &Running, job: &str) -> String {
    let health = get(milo, "/api/v1/health");
    let loaded = health["models"].as_array().unwrap_or_else(|| panic!("{health}")).clone();
    let name = loaded.iter().find(|model| model["job"] == job).map(|model| model["name"].clone());
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_else(|| panic!("no {job}: {health}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn ears_are_changed_during_a_call_and_a_broken_file_changes_nothing() {
    let at = folder("model-change");
    let models = at.join("models");
    swapped_ears(&models.join("other"));
    swapped_ears(&models.join("cut"));
    let encoder = models.join("cut/encoder_model.onnx");
    let whole = fs::read(&encoder).expect("an encoder");
    fs::write(&encoder, &whole[..whole.len() / 2]).expect("written");
    let milo = Running::start(Path::new(PROGRAM), &at, &[]).await.expect("Milo starts");
    let (now, then) = (MG_HOURS.0.to_owned(), MG_HOURS.0.replace("birao", "valo"));
    assert_eq!((heard(&milo), model(&milo, "stt")), (now.clone(), "milo-ears-demo".into()));

    let errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav", "mg_price.wav", "mg_hours.wav"]);
    let calling = tokio::spawn(async move { call(&errand).await });
    // Once the first question is answered.
    let logged_turn = || {
        let live = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
        let id = live.as_str()?;
        let call = get(&milo, &format!("/api/v1/calls/{id}"));
        (!answered(&call).is_empty()).then_some(())
    };
    let mut tries = 0;
    while logged_turn().is_none() {
        tries += 1;
        assert!(tries < 300, "no turn within half a minute");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let changed = change(&milo, "stt", "other");
    assert_eq!((changed.status, &changed.body["model"]["name"]), (200, &"other".into()), "{}", changed.body);
    assert!(changed.body["tried"].as_str().is_some_and(|tried| tried.starts_with("heard ")), "{}", changed.body);
    // What is half a file is refused while the call goes on, and whoever listens now still does.
    let refused = change(&milo, "stt", "cut");
    let says = refused.body["detail"].as_str().unwrap_or_default();
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(says.contains("encoder_model.onnx is no whole ONNX graph") && says.contains("stays"), "{says}");
    let report = calling.await.expect("a report");
    assert!(report.turns.iter().all(|turn| turn.reply.is_some()), "each question is answered: {:?}", report.turns);
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    let last_word = |turn: &Value| turn["heard"].as_str().and_then(|heard| heard.rsplit(' ').next()).map(str::to_owned);
    let last_words = (last_word(turns[0]), last_word(turns[2]));
    assert_eq!(last_words, (Some("birao".into()), Some("valo".into())), "{logged}");
    assert_eq!((heard(&milo), model(&milo, "stt")), (then, "other".into()));

    // And back to what the start has loaded.
    let back = send(&milo, ("POST", "/api/v1/engines/stt/reload"), &[], &Value::Null);
    assert_eq!((back.status, heard(&milo)), (200, now), "{}", back.body);
    let swaps = |result: &str| format!("milo_engine_swaps_total{{engine=\"stt\",result=\"{result}\"}}");
    assert_eq!((metric(&milo, &swaps("done")).await, metric(&milo, &swaps("refused")).await), (2.0, 1.0));
    let deeds = get(&milo, "/api/v1/audit");
    let deeds: Vec<_> = deeds["deeds"].as_array().expect("deeds").iter().map(|deed| deed["target"].clone()).collect();
    assert_eq!(deeds, ["stt milo-ears-demo", "stt cut", "stt other"]);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mind_a_translator_and_a_voice_are_tried_before_they_are_used() {
    let at = folder("model-trial");
    let models = at.join("models");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    fs::create_dir_all(models.join("translator")).expect("a folder");
    fs::copy(shipped.join("mind/mind.gguf"), models.join("again.gguf")).expect("copied");
    let whole = fs::read(models.join("again.gguf")).expect("a mind");
    fs::write(models.join("cut.gguf"), &whole[..whole.len() / 3]).expect("written");
    for file in fs::read_dir(shipped.join("translator")).expect("the translator that ships").flatten() {
        fs::copy(file.path(), models.join("translator").join(file.file_name())).expect("copied");
    }
    let milo = Running::start(Path::new(PROGRAM), &at, &[]).await.expect("Milo starts");
    let reply = || send(&milo, ("POST", "/api/v1/chat"), &[], &json!({ "message": MG_HOURS.0 })).body["reply"].clone();
    let before = reply();
    for (engine, path, name, tried) in
        [("llm", "again.gguf", "again.gguf", "answered"), ("translate", "translator", "translator", "translated")]
    {
        let changed = change(&milo, engine, path);
        assert_eq!((changed.status, &changed.body["model"]["name"]), (200, &name.into()), "{}", changed.body);
        assert!(changed.body["tried"].as_str().is_some_and(|did| did.starts_with(tried)), "{}", changed.body);
        assert_eq!(model(&milo, engine), name);
    }
    // By a path of its own it is told the frame, and reads what it was not trained with.
    let before = (before != reply()).then(reply).expect("another request");
    let voice = send(&milo, ("POST", "/api/v1/engines/tts/reload"), &[], &Value::Null);
    assert!(voice.status == 200 && voice.body["tried"].as_str().is_some_and(|did| did.starts_with("spoke")));
    for (engine, path, status, says) in [
        ("llm", "cut.gguf", 422, "cut.gguf is truncated"),
        ("llm", "translator", 422, "is a folder; name the GGUF file inside it"),
        ("translate", "again.gguf", 422, "is not there"),
        ("stt", "nowhere", 422, "nowhere: No such file"),
        ("stt", "/etc", 422, "is neither below"),
        ("vad", "translator", 404, "these are: stt, llm, translate, tts"),
    ] {
        let refused = change(&milo, engine, path);
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(refused.status == status && detail.contains(says), "{engine} {path}: {}", refused.body);
    }
    assert_eq!((model(&milo, "llm").as_str(), reply()), ("again.gguf", before), "the one of before answers");
    // A voice of one language stands beside espeak-ng's.
    let voices = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tests/vits_tiny/speaking");
    fs::create_dir_all(models.join("own-voice")).expect("a folder");
    for file in fs::read_dir(voices).expect("a small voice").flatten() {
        fs::copy(file.path(), models.join("own-voice").join(file.file_name())).expect("copied");
    }
    let order =
        |engine: &str, body: &Value| send(&milo, ("POST", &format!("/api/v1/engines/{engine}/reload")), &[], body);
    let changed = order("tts", &json!({ "path": "own-voice", "language": "mg" }));
    assert_eq!((changed.status, &changed.body["model"]["name"]), (200, &"own-voice".into()), "{}", changed.body);
    let speaks = || {
        let health = get(&milo, "/api/v1/health");
        let models = health["models"].as_array().unwrap_or_else(|| panic!("{health}")).clone();
        models.into_iter().filter(|model| model["job"] == "tts").map(|model| model["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(speaks(), ["espeak-ng", "own-voice"]);
    let back = order("tts", &json!({ "language": "mg" }));
    assert_eq!((back.status, speaks()), (200, vec!["espeak-ng".into()]), "{}", back.body);
    for (engine, says) in [("llm", "does all languages"), ("translate", "both ways")] {
        let refused = order(engine, &json!({ "language": "fr" }));
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(refused.status == 422 && detail.contains(says), "{engine}: {}", refused.body);
    }
    assert_eq!(get(&milo, "/api/v1/health")["status"], "healthy");
    stop(milo).await;
}
