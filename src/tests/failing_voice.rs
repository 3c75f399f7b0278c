//! A voice that breaks while it serves: its caller hears espeak-ng in its place, and it is loaded anew.

use std::{fs, path::Path, time::Duration};

use milo::bench::Running;
use serde_json::json;

use crate::house::{
    MG_HOURS, answered, call, errand, events, folder, get, loud, metric, milo, newest_call, send, stop,
};

/// The weights of a letter of the small VITS of the tests, behind the name that its graph has for them: eight numbers for each of 34.
const WEIGHTS: &[u8] = b"\x08\x22\x08\x08\x10\x01B\x03_16J\xc0\x08";
const A_LETTER: usize = 8 * 4;
const Z: usize = 23;

/// A copy of it that speaks, and fails at each clause with a `z` in it: the weights of that letter are no numbers.
fn without_z(at: &Path) {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tests/vits_tiny/optimum");
    fs::create_dir_all(at).expect("a folder");
    for file in fs::read_dir(whole).expect("the small voice").flatten() {
        fs::copy(file.path(), at.join(file.file_name())).expect("copied");
    }
    let graph = at.join("model.onnx");
    let mut bytes = fs::read(&graph).expect("a graph");
    let found = bytes.windows(WEIGHTS.len()).position(|window| window == WEIGHTS).expect("the weights of letters");
    let from = found + WEIGHTS.len() + Z * A_LETTER;
    bytes[from..from + A_LETTER].fill(0xff);
    fs::write(graph, bytes).expect("written");
}

/// What a text sounds like, in samples that can be heard.
fn heard(milo: &Running, text: &str) -> usize {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let said = send(milo, ("POST", "/api/v1/tts"), &[], &json!({ "text": text, "language": "mg", "format": "json" }));
    assert_eq!(said.status, 200, "{said:?}");
    let sound = STANDARD.decode(said.body["audio"].as_str().expect("sound")).expect("base64");
    let samples: Vec<i16> = sound[44..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    loud(&samples)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_voice_fails_to_say_a_caller_hears_of_espeak_ng() {
    let voice = folder("voice-without-z");
    without_z(&voice);
    let milo = milo("failing-voice", &[("MILO__ENGINES__TTS__VOICES__MG", &voice.display().to_string())]).await;
    let covered = "milo_engine_failures_covered_total{engine=\"tts\"}";
    // The voice speaks, where it can.
    let before = metric(&milo, covered).await;
    assert!(heard(&milo, "Salama tompoko.") > 0);
    let plain = metric(&milo, covered).await;
    assert!(heard(&milo, "Azafady, azo atao.") > 4_000, "a second of speech");
    assert!(metric(&milo, covered).await > plain && plain >= before);
    // In a call nobody hears of it, but for another voice.
    let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    assert!(report.turns[0].reply.is_some(), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    assert!(answered(&logged)[0]["said_heard"].as_str().is_some_and(|said| said.contains(MG_HOURS.1)), "{logged}");
    assert!(events(&logged, "engine_failed").is_empty(), "{logged}");

    // One after the other: it is loaded anew, health says so meanwhile, and then it is asked again.
    let (mut was_named, mut is_back) = (false, false);
    for _ in 0..200 {
        if !was_named {
            assert!(heard(&milo, "Azo.") > 0, "whether it is there or not");
        }
        let health = get(&milo, "/api/v1/health");
        let is_named = health["degraded"].to_string().contains("The voice has stopped");
        assert!(!is_named || health["status"] == "degraded", "{health}");
        is_back |= was_named && !is_named;
        was_named |= is_named;
        if is_back {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(was_named && is_back, "named: {was_named}, back: {is_back}");
    stop(milo).await;
    fs::remove_dir_all(voice).ok();
}
