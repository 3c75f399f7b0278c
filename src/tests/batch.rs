//! Batches: many things in one request, as many at once as their engine does side by side, across crashes, for whoever asked for them.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use milo::bench::Running;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    call_log::postgres,
    failing_engines::Stuck,
    hosted::server::{Asked, Conduct, Server},
    house::{Answer, MG_HOURS, PROGRAM, folder, get, loud, metric, milo, recording, send, stop},
};

fn add(milo: &Running, body: &Value) -> Answer {
    send(milo, ("POST", "/api/v1/batch"), &[], body)
}

/// Waits until a batch is so, and returns it.
async fn until(milo: &Running, at: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut batch = Value::Null;
    for _ in 0..600 {
        batch = get(milo, at);
        if is_so(&batch) {
            return batch;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("within thirty seconds the batch was not {what}: {batch}");
}

async fn ended(milo: &Running, at: &str) -> Value {
    until(milo, at, "ended", |batch| !batch["ended"].is_null()).await
}

fn fetched(milo: &Running, at: &Value) -> Vec<u8> {
    let url = format!("{}{}", milo.http.trim_end_matches('/'), at.as_str().expect("an address"));
    let output = Command::new("curl").args(["--silent", "--fail", "--max-time", "10", &url]).output().expect("curl");
    assert!(output.status.success(), "{url}");
    output.stdout
}

/// The folders of sounds that a Milo keeps.
fn folders(milo: &Running) -> usize {
    fs::read_dir(milo.folder().join("batches")).into_iter().flatten().count()
}

/// How many sounds it keeps that are still to be transcribed.
fn given(milo: &Running) -> usize {
    let inside =
        |folder: &Path| fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let sounds = inside(&milo.folder().join("batches")).flat_map(|batch| inside(&batch).collect::<Vec<_>>());
    sounds.filter(|file| file.extension().is_some_and(|ending| ending == "given")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_spoken_and_sounds_transcribed_and_each_item_says_what_came_of_it() {
    let milo = milo("batch", &[("MILO__BATCH__ITEMS", "5"), ("MILO__BATCH__BODY_MB", "1")]).await;
    let items =
        json!(["Salama tompoko.", { "text": "Veloma.", "format": "ogg" }, { "text": "Eny", "voice": "nobody" }]);
    let added = add(&milo, &json!({ "kind": "tts", "language": "mg", "speed": 1.5, "items": items }));
    let at = added.header("location").expect("where it is").to_owned();
    assert_eq!(
        (added.status, &added.body["state"], &added.body["counts"]["total"]),
        (202, &"queued".into(), &3.into())
    );
    let spoken = ended(&milo, &at).await;
    assert_eq!(
        (&spoken["state"], &spoken["kind"], &spoken["who"]),
        (&"done".into(), &"tts".into(), &"this machine".into())
    );
    let expected = json!({ "total": 3, "queued": 0, "running": 0, "done": 2, "failed": 1, "cancelled": 0 });
    assert_eq!(spoken["counts"], expected, "{spoken}");
    let items = spoken["items"].as_array().expect("items");
    let wav = fetched(&milo, &items[0]["audio"]);
    assert_eq!(items[0]["result"]["bytes"], wav.len(), "{spoken}");
    let files = folder("batch-files");
    fs::write(files.join("said.wav"), &wav).expect("a file");
    assert!(loud(&milo_media::wav::read(&files.join("said.wav")).expect("a WAV file")) > 4_000);
    assert!(fetched(&milo, &items[1]["audio"]).starts_with(b"OggS"));
    assert!(
        items[2]["error"].as_str().is_some_and(|why| why.contains("nobody")) && items[2]["audio"].is_null(),
        "{spoken}"
    );
    let nothing = send(&milo, ("GET", &format!("{at}/items/2/audio")), &[], &Value::Null);
    assert_eq!(nothing.status, 404);
    for (name, count) in [("done", 2.0), ("failed", 1.0)] {
        let name = format!("milo_batch_items_total{{kind=\"tts\",result=\"{name}\"}}");
        assert_eq!(metric(&milo, &name).await, count);
    }

    // What was said, and a recording; what is no sound fails alone.
    let question = STANDARD.encode(fs::read(recording("mg_hours.wav")).expect("the recording"));
    let sounds = json!([question, { "audio": STANDARD.encode("no sound at all") }, { "audio": STANDARD.encode(&wav), "language": "fr" }]);
    let at_sounds = add(&milo, &json!({ "kind": "stt", "language": "mg", "items": sounds }));
    let at_sounds = at_sounds.header("location").expect("where it is").to_owned();
    let heard = ended(&milo, &at_sounds).await;
    assert_eq!(heard["items"][0]["result"]["text"], MG_HOURS.0, "{heard}");
    assert!(heard["items"][1]["error"].as_str().is_some_and(|why| why.contains("no sound file")), "{heard}");
    assert_eq!((&heard["items"][2]["state"], &heard["items"][2]["result"]["language"]), (&"done".into(), &"fr".into()));
    assert_eq!(given(&milo), 0, "what is transcribed is not kept");

    // In pages, the newest first.
    let page = get(&milo, "/api/v1/batch?limit=1");
    assert_eq!((&page["batches"][0]["id"], page["batches"][0].get("items")), (&heard["id"], None), "{page}");
    let page = get(&milo, &format!("/api/v1/batch?limit=1&cursor={}", page["next"].as_str().expect("more")));
    assert_eq!((&page["batches"][0]["id"], &page["next"]), (&spoken["id"], &Value::Null), "{page}");

    // What has ended goes with its sounds.
    for at in [&at, &at_sounds] {
        assert_eq!(send(&milo, ("DELETE", at), &[], &Value::Null).status, 204);
        assert_eq!(send(&milo, ("GET", at), &[], &Value::Null).status, 404);
    }
    assert_eq!((folders(&milo), get(&milo, "/api/v1/batch")["batches"].as_array().map(Vec::len)), (0, Some(0)));

    for (wrong, status, says) in [
        (json!({ "kind": "tts", "items": [] }), 422, "empty"),
        (json!({ "kind": "tts", "items": ["a", "b", "c", "d", "e", "f"] }), 422, "5 are the most"),
        (json!({ "kind": "sing", "items": ["a"] }), 422, "sing"),
        (json!({ "items": ["a"] }), 422, "kind"),
        (json!({ "kind": "tts", "items": ["a", " "] }), 422, "items[1]: the text is empty"),
        (json!({ "kind": "tts", "items": ["a"], "sped": 2 }), 422, "sped"),
        (json!({ "kind": "translate", "items": [{ "text": "a", "target": "mg" }] }), 422, "differ"),
        (json!({ "kind": "stt", "items": [{ "audio": question, "words": true }] }), 422, "times of segments"),
        (
            json!({ "kind": "stt", "items": [question], "prompt": "x".repeat(4_001) }),
            422,
            "items[0]: `prompt` has 4001",
        ),
        (json!({ "kind": "stt", "items": [question], "prompt": 3 }), 422, "items[0]"),
        (json!({ "kind": "tts", "items": ["a"], "prompt": "b" }), 422, "prompt"),
        (json!({ "kind": "tts", "items": ["x".repeat(1 << 20)] }), 413, "1 MB"),
    ] {
        let problem = add(&milo, &wrong);
        let detail = problem.body["detail"].as_str().unwrap_or_default();
        assert!(problem.status == status && detail.contains(says), "{says}: {} {detail}", problem.status);
    }
    for nowhere in ["/api/v1/batch/x", "/api/v1/batch/0192f0c1-2f60-7000-8000-000000000000"] {
        assert_eq!(send(&milo, ("GET", nowhere), &[], &Value::Null).status, 404);
        assert_eq!(send(&milo, ("DELETE", nowhere), &[], &Value::Null).status, 404);
    }
    fs::remove_dir_all(files).ok();
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_the_text_before_an_utterance_and_the_wish_for_words_as_one_alone_does() {
    let folder = |form: &str| format!("{}/models/tests/{form}", env!("CARGO_MANIFEST_DIR"));
    let sound = STANDARD.encode(fs::read(folder("whisper_tiny/speech.wav")).expect("the recording"));
    let path = folder("whisper_tiny/timed");
    let own = milo("batch-before", &[("MILO__ENGINES__STT__PATH", &path)]).await;
    let alone = |more: Value| {
        let mut body = json!({ "audio": sound, "language": "mg" });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let answer = send(&own, ("POST", "/api/v1/stt"), &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let plain = alone(json!({}));
    let before = alone(json!({ "prompt": " salama tompoko ", "words": true }));
    assert_ne!(before["text"], plain["text"], "it is heard otherwise");
    assert!(
        before["segments"][0]["words"][0]["end_ms"].is_u64(),
        "a Whisper that tells what it looks at knows words: {before}"
    );
    let items = json!([sound, { "audio": sound, "prompt": "salama tompoko", "words": true }]);
    let added = add(&own, &json!({ "kind": "stt", "language": "mg", "items": items }));
    let batch = ended(&own, added.header("location").expect("where it is")).await;
    for (item, alone) in [plain, before].iter().enumerate() {
        let told = &batch["items"][item]["result"];
        let words = |heard: &Value| heard["segments"][0].get("words").cloned();
        assert_eq!((&told["text"], words(told)), (&alone["text"], words(alone)), "{batch}");
    }
    stop(own).await;

    let path = folder("ctc_tiny/masked");
    let letters = milo("batch-letters", &[("MILO__ENGINES__STT__PATH", &path)]).await;
    let refused = add(&letters, &json!({ "kind": "stt", "items": [sound, { "audio": sound, "prompt": "Rakoto" }] }));
    let says = refused.body["detail"].as_str().unwrap_or_default();
    assert!(refused.status == 422 && says.contains("items[1]: the transcriber writes letter by letter"), "{says}");
    stop(letters).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_has_as_many_items_at_once_as_it_does_side_by_side_and_each_keeps_its_own_result() {
    let milo = milo("batch-beside", &[]).await;
    let sounds = ["mg_hours.wav", "fr_hours.wav"];
    let items =
        sounds.map(|name| json!({ "audio": STANDARD.encode(fs::read(recording(name)).expect("the recording")) }));
    let alone = items.each_ref().map(|item| send(&milo, ("POST", "/api/v1/stt"), &[], item).body["text"].clone());
    assert!(alone[0] == MG_HOURS.0 && alone[1] != alone[0], "{alone:?}");
    let Some(stuck) = Stuck::engine(&milo, "transcriber") else { return stop(milo).await };
    let items: Vec<_> = (0..20).map(|number| items[number % 2].clone()).collect();
    let added = add(&milo, &json!({ "kind": "stt", "items": items }));
    let at = added.header("location").expect("where it is").to_owned();
    // Eight that it hears side by side, and one that is there when one of them has ended.
    for _ in 0..400 {
        if get(&milo, "/api/v1/health")["queues_by_class"]["stt"]["batch"] == 9 {
            break;
        }
        sleep(Duration::from_millis(25)).await;
    }
    let counts = get(&milo, &at)["counts"].clone();
    assert_eq!((&counts["running"], &counts["queued"]), (&9.into(), &11.into()), "{counts}");
    assert_eq!(get(&milo, "/api/v1/health")["queues_by_class"]["stt"]["batch"], 9);
    stuck.release();
    let batch = ended(&milo, &at).await;
    assert_eq!(batch["counts"]["done"], 20, "{batch}");
    for (number, item) in batch["items"].as_array().expect("items").iter().enumerate() {
        assert_eq!((&item["number"], &item["result"]["text"]), (&number.into(), &alone[number % 2]), "{batch}");
    }
    stop(milo).await;
}

/// Says the number that ends what it is asked.
fn numbered(_: usize, asked: &Asked) -> (Duration, String) {
    let text = asked.body["messages"].as_array().and_then(|messages| messages.last()?["content"].as_str());
    let number = text.and_then(|text| text.rsplit(' ').next()).unwrap_or_default();
    (Duration::from_millis(300), format!("La porte {number}"))
}

/// Kills Milo in the middle of a batch, and starts it again on the same folder and database.
async fn killed_in_mid_batch(more: &[(&str, &str)]) {
    let server = Server::start(Conduct::Makes(numbered)).await;
    let mut own = server.variables("openai");
    // A quarter of them is for batches.
    own.push(("MILO__ENGINES__LLM__PARALLEL", "16".into()));
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (variables, folder) = ([&own[..], more].concat(), folder("batch-killed"));
    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts");
    let texts: Vec<_> = (0..20).map(|number| format!("Misokatra ny varavarana {number}")).collect();
    let added = add(&milo, &json!({ "kind": "translate", "items": texts }));
    let at = added.header("location").expect("where it is").to_owned();
    let is_begun = |batch: &Value| batch["counts"]["done"].as_i64() >= Some(3) && batch["counts"]["running"] == 4;
    let before = until(&milo, &at, "begun", is_begun).await;
    assert_eq!(before["state"], "running", "{before}");
    milo.kill().await.expect("kill -9");

    let milo = Running::start(Path::new(PROGRAM), &folder, &variables).await.expect("Milo starts again");
    let after = ended(&milo, &at).await;
    let expected = json!({ "total": 20, "queued": 0, "running": 0, "done": 20, "failed": 0, "cancelled": 0 });
    assert_eq!((&after["state"], &after["counts"]), (&"done".into(), &expected), "{after}");
    let results = |batch: &Value| batch["items"].as_array().expect("items").clone();
    for (number, item) in results(&after).iter().enumerate() {
        assert_eq!(item["result"]["translation"], format!("La porte {number}"), "{after}");
    }
    for (before, after) in results(&before).iter().zip(results(&after)).filter(|(before, _)| before["state"] == "done")
    {
        assert_eq!(before["result"], after["result"], "what is done stays done");
    }
    // Those that were running, or whose rows were on their way, are asked for again.
    let asked = server.asked().len();
    assert!((20..=24).contains(&asked), "asked {asked} times for twenty");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_mid_batch_loses_nothing_and_does_nothing_twice() {
    killed_in_mid_batch(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_on_postgres() {
    let url = postgres().await;
    killed_in_mid_batch(&[("DATABASE_URL", &url)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cancels_stops_the_engine_and_the_rest_is_not_done() {
    let long = "Salama tompoko, misokatra ny birao. ".repeat(40).leak();
    let server = Server::start(Conduct::Says(long, Duration::ZERO, Duration::from_millis(200))).await;
    let own = server.variables("openai");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = milo("batch-cancelled", &[&own[..], &[("MILO__BATCH__WAITING", "1")]].concat()).await;
    let added =
        add(&milo, &json!({ "kind": "translate", "items": ["Misokatra ny varavarana.", "Mihidy ny varavarana."] }));
    let at = added.header("location").expect("where it is").to_owned();
    until(&milo, &at, "running", |batch| batch["counts"]["running"] == 2).await;
    for _ in 0..100 {
        if server.asked().len() == 2 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    let full = add(&milo, &json!({ "kind": "translate", "items": ["Mihidy ny varavarana."] }));
    assert_eq!((full.status, full.header("retry-after")), (503, Some("30")), "{full:?}");
    let cancelled = send(&milo, ("DELETE", &at), &[], &Value::Null);
    assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &"cancelled".into()), "{cancelled:?}");
    assert_eq!(cancelled.body["counts"]["cancelled"], 2, "{cancelled:?}");
    server.left(2).await;
    // There is room for the next one, and nobody does what was cancelled.
    server.now(Conduct::says("Oui."));
    let next = add(&milo, &json!({ "kind": "translate", "items": ["Mihidy ny varavarana."] }));
    let done = ended(&milo, next.header("location").expect("where it is")).await;
    assert_eq!(done["items"][0]["result"]["translation"], "Oui.", "{done}");
    assert_eq!((get(&milo, &at)["state"].as_str(), server.asked().len()), (Some("cancelled"), 3));
    assert_eq!(send(&milo, ("DELETE", &at), &[], &Value::Null).status, 204, "the second time it goes");
    assert_eq!(send(&milo, ("GET", &at), &[], &Value::Null).status, 404);
    stop(milo).await;
}

const ADMIN: &str = "Authorization: Bearer 0123456789abcdef";

/// New keys with the scope `text`, as they are sent.
fn new_keys(milo: &Running, names: &[&str]) -> Vec<String> {
    let made = |name: &&str| {
        let made = send(milo, ("POST", "/api/v1/keys"), &[ADMIN], &json!({ "name": name, "scopes": ["text"] }));
        format!("Authorization: Bearer {}", made.body["key"].as_str().expect("a key"))
    };
    names.iter().map(made).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_leaves_half_of_the_places_to_others() {
    let long = "Salama tompoko, misokatra ny birao. ".repeat(40).leak();
    let server = Server::start(Conduct::Says(long, Duration::ZERO, Duration::from_millis(200))).await;
    let mut own = server.variables("openai");
    own.extend([("MILO__BATCH__WAITING", "2".to_owned()), ("MILO__BATCH__DISK_MB", "1".to_owned())]);
    own.push(("API_KEY", "0123456789abcdef".to_owned()));
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = milo("batch-shares", &own).await;
    let keys = new_keys(&milo, &["one", "other"]);
    let add = |key: &str| {
        let body = json!({ "kind": "translate", "items": ["Misokatra ny varavarana."] });
        send(&milo, ("POST", "/api/v1/batch"), &[key], &body)
    };
    assert_eq!(add(&keys[0]).status, 202);
    let full = add(&keys[0]);
    assert!(
        full.status == 503 && full.body["detail"].as_str().is_some_and(|says| says.contains("1 of them yours")),
        "{full:?}"
    );
    let sound = |bytes: &[u8]| {
        let body = json!({ "kind": "stt", "items": [STANDARD.encode(bytes)] });
        // Without asking first whether to send.
        send(&milo, ("POST", "/api/v1/batch"), &[&keys[1], "Expect:"], &body)
    };
    let large = sound("x".repeat((1 << 20) + 1).as_bytes());
    let says = large.body["detail"].as_str().unwrap_or_default();
    assert!(large.status == 503 && says.contains("1 MB here"), "{large:?}");
    let waits = sound(b"no sound");
    assert_eq!((waits.status, add(ADMIN).status, given(&milo)), (202, 503, 1), "{waits:?}");
    // The first one is still being done; what waits behind it and is cancelled leaves no sound behind.
    let at = waits.header("location").expect("where it is");
    let cancelled = send(&milo, ("DELETE", at), &[&keys[1]], &Value::Null);
    assert_eq!((cancelled.status, &cancelled.body["counts"]["cancelled"]), (200, &1.into()), "{cancelled:?}");
    assert_eq!(given(&milo), 0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_is_a_request_of_the_hour() {
    let limits = [("API_KEY", "0123456789abcdef"), ("RATE_LIMIT_FREE", "10")];
    let milo = milo("batch-counts", &limits).await;
    let keys = new_keys(&milo, &["one"]);
    let add = |items: usize| {
        let body = json!({ "kind": "tts", "items": vec!["Salama"; items], "language": "mg" });
        send(&milo, ("POST", "/api/v1/batch"), &[&keys[0]], &body)
    };
    let added = add(7);
    assert_eq!((added.status, added.header("ratelimit-remaining")), (202, Some("3")), "{added:?}");
    // This one is counted, its three others are not.
    let refused = add(4);
    let says = refused.body["detail"].as_str().unwrap_or_default();
    assert!(refused.status == 429 && says.contains("3 more requests"), "{refused:?}");
    assert!(refused.header("retry-after").is_some_and(|seconds| seconds != "0"), "{refused:?}");
    let listed = send(&milo, ("GET", "/api/v1/batch"), &[&keys[0]], &Value::Null);
    assert_eq!(listed.body["batches"].as_array().map(Vec::len), Some(1), "{listed:?}");
    assert_eq!(listed.header("ratelimit-remaining"), Some("1"));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_key_sees_its_own_batches_and_what_is_old_is_forgotten() {
    let milo = milo("batch-keys", &[("API_KEY", "0123456789abcdef"), ("MILO__BATCH__KEEP_S", "5")]).await;
    let keys = new_keys(&milo, &["one", "other"]);
    let body = json!({ "kind": "tts", "items": ["Salama"] });
    let added = send(&milo, ("POST", "/api/v1/batch"), &[&keys[0]], &body);
    let at = added.header("location").expect("where it is").to_owned();
    let status = |method: &str, path: &str, key: &str| send(&milo, (method, path), &[key], &Value::Null).status;
    for path in [at.clone(), format!("{at}/items/0/audio")] {
        assert_eq!(status("GET", &path, &keys[1]), 404, "another's");
    }
    assert_eq!(status("DELETE", &at, &keys[1]), 404);
    assert_eq!((status("GET", &at, &keys[0]), status("GET", &at, ADMIN)), (200, 200));
    let listed = |key: &str| send(&milo, ("GET", "/api/v1/batch"), &[key], &Value::Null).body["batches"].clone();
    assert_eq!(listed(&keys[1]), json!([]));
    assert_eq!((&listed(&keys[0])[0]["who"], &listed(ADMIN)[0]["who"]), (&"one".into(), &"one".into()));
    assert_eq!(send(&milo, ("GET", &at), &[], &Value::Null).status, 401);
    // As a crash may leave it: a folder of a batch that is none.
    let orphan = milo.folder().join("batches/0192f0c1-2f60-7000-8000-000000000000");
    fs::create_dir_all(&orphan).expect("a folder");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&orphan).and_then(|orphan| orphan.set_modified(long_ago)).expect("a time");
    for _ in 0..600 {
        if status("GET", &at, ADMIN) == 404 && folders(&milo) == 0 {
            stop(milo).await;
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("what ended long ago is still there");
}
