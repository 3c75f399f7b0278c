//! What the clients of the Python system (Flo976/milo) send: the curl lines of its README, with its .env.example beside them, and the
//! requests of its web client (web/src/api), with the fields that those read.

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    hosted::server::{Conduct, Server},
    house::{loud, milo, recording, stop},
};
use milo::bench::Running;

const KEY: &str = "a-key-in-place-of-change-me";

/// A line of its README: `-X POST`, `-H` twice and `-d`.
fn curl(milo: &Running, path: &str, body: &str) -> Vec<u8> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--max-time", "30", "-X", "POST"]).arg(format!("{}api/v1/{path}", milo.http));
    curl.args(["-H", &format!("Authorization: Bearer {KEY}"), "-H", "Content-Type: application/json", "-d", body]);
    curl.output().expect("curl").stdout
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(bytes)))
}

type IsRight = fn(&Value) -> bool;

/// Each field is there, and of the kind that the client's types say.
fn has(answer: &Value, fields: &[(&str, IsRight)]) {
    for (field, is_right) in fields {
        assert!(is_right(&answer[*field]), "{field} of {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_curl_lines_and_its_web_client_are_answered_as_before() {
    let server = Server::start(Conduct::says("Salama! Milo no anarako.")).await;
    let mut variables = server.variables("anthropic");
    // Its .env.example, where it says something of its own.
    let env = [
        ("API_KEY", KEY),
        ("API_WORKERS", "1"),
        ("LOG_LEVEL", "info"),
        ("SESSION_TTL_S", "1800"),
        ("SESSION_MAX_HISTORY", "10"),
        ("RATE_LIMIT_FREE", "100"),
        ("RATE_LIMIT_PRO", "10000"),
        ("PROMETHEUS_ENABLED", "true"),
        ("CORS_ORIGINS", r#"["http://localhost:3001","http://localhost:80","https://milo.example"]"#),
    ];
    variables.extend(env.map(|(name, value)| (name, value.to_owned())));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let milo = milo("python-clients", &variables).await;

    let health =
        Command::new("curl").args(["--silent", &format!("{}api/v1/health", milo.http)]).output().expect("curl");
    let health = json_of(&health.stdout);
    has(&health, &[("status", Value::is_string), ("version", Value::is_string), ("mode", |mode| mode == "cloud")]);
    has(&health, &[("redis_connected", Value::is_boolean), ("models_loaded", Value::is_array)]);
    has(&health["vram"], &[("available", Value::is_boolean), ("allocated_gb", Value::is_number)]);
    has(
        &health["vram"],
        &[("total_gb", Value::is_number), ("reserved_gb", Value::is_number), ("free_gb", Value::is_number)],
    );

    let chat = json_of(&curl(&milo, "chat", r#"{"message": "Salama, iza ianao?"}"#));
    assert_eq!((&chat["reply"], &chat["mode"]), (&json!("Salama! Milo no anarako."), &json!("cloud")), "{chat}");
    has(&chat, &[("session_id", Value::is_string), ("processing_ms", Value::is_number)]);
    // The web client sends the session back, with language and mode.
    let again = json!({ "message": "Salama", "session_id": chat["session_id"], "language": "mg", "mode": "text" });
    let again = json_of(&curl(&milo, "chat", &again.to_string()));
    assert_eq!(again["session_id"], chat["session_id"], "bug B1: the session was forgotten");
    assert_eq!(server.asked().last().expect("a request").body["messages"].as_array().map(Vec::len), Some(3));

    let sound = STANDARD.encode(fs::read(recording("mg_hours.wav")).expect("it is committed"));
    let stt = json!({ "audio": sound, "format": "wav", "sample_rate": 16_000 });
    let stt = json_of(&curl(&milo, "stt", &stt.to_string()));
    has(&stt, &[("text", |text| text.as_str().is_some_and(|text| text.contains("ora"))), ("language", |l| l == "mg")]);
    has(&stt, &[("duration_ms", Value::is_number), ("processing_ms", Value::is_number)]);
    let confidence = stt["confidence"].as_f64().expect("a number");
    assert!((0.0..=1.0).contains(&confidence) && (confidence - 0.85).abs() > 1e-9, "bug B7: always 0.85");

    // It is sent while it is made, so its head does not know how long it is.
    let sound = curl(&milo, "tts", r#"{"text": "Manao ahoana"}"#);
    assert!(sound.starts_with(b"RIFF") && sound[8..].starts_with(b"WAVE"));
    let samples: Vec<i16> = sound[44..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
    assert!(loud(&samples) > 2_000, "it is speech");
    let tts = json_of(&curl(&milo, "tts", r#"{"text": "Manao ahoana", "language": "mg", "format": "base64"}"#));
    has(
        &tts,
        &[("sample_rate", |rate| rate == 16_000), ("format", Value::is_string), ("processing_ms", Value::is_number)],
    );
    assert!(STANDARD.decode(tts["audio"].as_str().expect("base64")).is_ok_and(|sound| sound.starts_with(b"RIFF")));

    server.now(Conduct::says("La porte est ouverte."));
    let text = r#"{"text": "Misokatra ny varavarana.", "source": "mg", "target": "fr"}"#;
    let told = json_of(&curl(&milo, "translate", text));
    assert_eq!(told["translation"], "La porte est ouverte.", "{told}");
    has(&told, &[("source", |of| of == "mg"), ("target", |of| of == "fr"), ("processing_ms", Value::is_number)]);

    // What its client shows of an error is `detail`.
    for (path, body) in [("chat", r#"{"message": ""}"#), ("tts", r#"{"text": " "}"#), ("translate", r#"{"text": ""}"#)]
    {
        let refused = json_of(&curl(&milo, path, body));
        assert!(refused["status"] == 422 && refused["detail"].is_string(), "bugs B2, B4, B5: {path}: {refused}");
    }
    // With its own key, its page from another port is let in.
    let cors = Command::new("curl")
        .args(["--silent", "--head", "-H", "Origin: http://localhost:3001", &format!("{}healthz", milo.http)])
        .output()
        .expect("curl");
    let head = String::from_utf8_lossy(&cors.stdout).to_ascii_lowercase();
    assert!(head.contains("access-control-allow-origin: http://localhost:3001"), "{head}");
    stop(milo).await;
}
