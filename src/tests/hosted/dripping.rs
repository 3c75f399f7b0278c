//! Servers that send a little, again and again: that is no answer, however long it goes on.

use std::{
    fs,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{WORDS, asking, fallbacks, hours};
use crate::{
    hosted::server::{Conduct, Server},
    house::{MG_HOURS, get, metric, milo, recording, send, stop},
};

const EACH_SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_one_byte_a_second_is_none() {
    let server = Server::start(Conduct::Drips(WORDS, EACH_SECOND)).await;
    for (at, engine) in ["anthropic", "openai"].into_iter().enumerate() {
        let milo = asking(&format!("drips-{engine}"), &server, engine, &[]).await;
        let (answer, took) = hours(&milo);
        assert_eq!(answer["mode"], "local", "{answer}");
        assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(MG_HOURS.1)), "{answer}");
        assert!((Duration::from_secs(2)..Duration::from_millis(4_500)).contains(&took), "{took:?}");
        assert_eq!(metric(&milo, &fallbacks("late")).await, 1.0);
        server.left(at + 1).await;
        stop(milo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a scenario measures what its caller waits")]
async fn what_is_heard_or_said_bit_by_bit_the_local_engines_hear_and_the_log_tells() {
    // It has nothing to say while Milo starts: the personas' sentences are the local voice's.
    let server = Server::start(Conduct::Refuses(500, ("x-said", "no"), "")).await;
    let url = format!("{}/v1", server.url);
    let milo = milo(
        "drips-sound",
        &[
            ("MILO__ENGINES__STT__ENGINE", "openai"),
            ("MILO__ENGINES__STT__URL", url.as_str()),
            ("MILO__ENGINES__STT__MODEL", "ears"),
            ("MILO__ENGINES__STT__TIMEOUT_S", "2"),
            ("MILO__ENGINES__STT__MINUTE_PRICE", "60"),
            ("MILO__ENGINES__TTS__ENGINE", "openai"),
            ("MILO__ENGINES__TTS__URL", url.as_str()),
            ("MILO__ENGINES__TTS__MODEL", "mouth"),
            ("MILO__ENGINES__TTS__VOICE", "ranto"),
            ("MILO__ENGINES__TTS__FORMAT", "pcm"),
            ("MILO__ENGINES__TTS__CHARACTER_PRICE", "1000000"),
            ("MILO__ENGINES__FAILURES_BEFORE_REST", "0"),
        ],
    )
    .await;
    let spent = |health: &Value| health["spending"]["cost"].as_f64().expect("a sum");
    let before = spent(&get(&milo, "/api/v1/health"));
    assert_eq!(before, 0.0, "what refuses is not paid");
    server.now(Conduct::Drips("salama", EACH_SECOND));
    let sound = STANDARD.encode(fs::read(recording("mg_hours.wav")).expect("the recording"));
    let began = Instant::now();
    let heard = send(&milo, ("POST", "/api/v1/stt"), &[], &json!({ "audio": sound, "language": "mg" })).body;
    assert_eq!(heard["text"], MG_HOURS.0, "{heard}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!(metric(&milo, "milo_engine_fallbacks_total{engine=\"stt\",reason=\"late\"}").await, 1.0);
    // It was given some seconds to hear, and had them.
    let heard_for = spent(&get(&milo, "/api/v1/health")) - before;
    assert!((1.0..8.0).contains(&heard_for), "{heard_for}");

    // A second of sound would take twenty.
    server.now(Conduct::Drips("", Duration::from_millis(100)));
    let (began, before) = (Instant::now(), spent(&get(&milo, "/api/v1/health")));
    let said = send(&milo, ("POST", "/api/v1/tts"), &[], &json!({ "text": "Salama daholo.", "language": "mg" }));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let health = get(&milo, "/api/v1/health");
    assert!(health["degraded"].to_string().contains("more slowly than anybody speaks"), "{said:?}: {health}");
    let cost = spent(&health) - before;
    assert!((12.0..16.0).contains(&cost), "its characters: {health}");
    assert!((metric(&milo, "milo_speech_cost_total{engine=\"tts\"}").await - cost).abs() < 1e-6);
    stop(milo).await;
}
