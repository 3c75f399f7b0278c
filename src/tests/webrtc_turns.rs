//! What a turn by WebRTC costs beside the engines: `cargo test --release --workspace --test scenarios -- --ignored --nocapture webrtc_turns`

use std::{
    io,
    process::Command,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    response::IntoResponse,
    routing::post,
};
use futures_util::{future::join_all, stream};
use milo_media::{codec::OPUS, dbfs};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};
use webrtc::peer_connection::RTCPeerConnectionState;

use crate::{
    browser::Browser,
    house::{milo, stop},
    web_page::spoken,
    whip::{WHIP, post as offer},
};

/// What is known: how long the end of a turn is waited for, and how long each engine takes.
const END_OF_TURN: u64 = 200;
const EARS: u64 = 100;
const MIND: u64 = 150;
const VOICE: u64 = 100;
/// Turns of each browser.
const TURNS: usize = 6;
/// A browser that heard nothing for so long has heard the reply to its end.
const OVER: Duration = Duration::from_millis(800);
const PATIENCE: Duration = Duration::from_secs(15);

async fn after(ms: u64) {
    sleep(Duration::from_millis(ms)).await;
}

/// Engines of these times that have an answer ready, by OpenAI's protocol.
async fn engines() -> String {
    let ears = || async {
        after(EARS).await;
        Json(json!({ "text": "salama tompoko" }))
    };
    let mind = || async {
        after(MIND).await;
        let event = |data: serde_json::Value| Ok::<_, io::Error>(Bytes::from(format!("data: {data}\n\n")));
        let words = ["Eny ", "tompoko, ", "manao ", "izany ", "aho."].map(|word| json!({ "content": word }));
        let choice =
            |delta, why: Option<&str>| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": why }] });
        let said = words.map(|word| event(choice(word, None)));
        let end = [event(choice(json!({}), Some("stop"))), Ok("data: [DONE]\n\n".into())];
        let events = Body::from_stream(stream::iter(said.into_iter().chain(end)));
        ([("content-type", "text/event-stream")], events).into_response()
    };
    let voice = || async {
        after(VOICE).await;
        let tone = (0..24_000 * 3 / 2).map(|at| ((at as f64 * 0.13).sin() * 8_000.0) as i16);
        ([("content-type", "audio/pcm;rate=24000")], tone.flat_map(i16::to_le_bytes).collect::<Vec<u8>>())
    };
    let router = Router::new()
        .route("/v1/audio/transcriptions", post(ears))
        .route("/v1/chat/completions", post(mind))
        .route("/v1/audio/speech", post(voice));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Talks so many turns, and says how many milliseconds each took from the last loud packet sent to the first one that came.
async fn talk(mut browser: Browser, sound: Vec<i16>, begins_after: usize) -> Vec<f64> {
    let frames: Vec<_> = sound.chunks(OPUS.samples_per_frame()).collect();
    let last = frames.iter().rposition(|frame| dbfs(frame) > -45.0).expect("somebody speaks");
    let (mut packets, mut heard, mut waits) = (browser.by_packets(), None::<Instant>, Vec::new());
    // The greeting.
    while heard.is_none_or(|heard| heard.elapsed() < OVER) {
        heard = browser.packet(&mut packets, None).await.1.last().copied().or(heard);
    }
    for _ in 0..begins_after {
        browser.packet(&mut packets, None).await;
    }
    for _ in 0..TURNS {
        let (mut ended, mut answered, mut at) = (None, None, 0);
        while answered.is_none() && ended.is_none_or(|ended: Instant| ended.elapsed() < PATIENCE) {
            let (sent, loud) = browser.packet(&mut packets, frames.get(at).copied()).await;
            if at == last {
                ended = Some(sent);
            }
            at += 1;
            answered = loud.into_iter().find(|came| ended.is_some_and(|ended| *came > ended));
        }
        let waited = ended.zip(answered).map(|(ended, answered)| answered - ended).expect("an answer");
        waits.push(waited.as_secs_f64() * 1e3);
        heard = answered;
        while heard.is_none_or(|heard| heard.elapsed() < OVER) {
            heard = browser.packet(&mut packets, None).await.1.last().copied().or(heard);
        }
    }
    browser.close().await;
    waits
}

/// Milo on the first core, everything else on the others.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints what a turn by WebRTC costs beside the engines"]
async fn what_a_turn_costs_beside_the_engines() {
    let url = engines().await;
    let end_of_turn = END_OF_TURN.to_string();
    let mut variables = vec![
        ("MILO__CONVERSATION__END_OF_TURN_MS", end_of_turn.as_str()),
        ("MILO__ENGINES__TTS__VOICE", "one"),
        ("MILO__ENGINES__TTS__FORMAT", "pcm"),
    ];
    for (engine, at, model) in [
        ("MILO__ENGINES__STT__ENGINE", "MILO__ENGINES__STT__URL", "MILO__ENGINES__STT__MODEL"),
        ("MILO__ENGINES__LLM__ENGINE", "MILO__ENGINES__LLM__URL", "MILO__ENGINES__LLM__MODEL"),
        ("MILO__ENGINES__TTS__ENGINE", "MILO__ENGINES__TTS__URL", "MILO__ENGINES__TTS__MODEL"),
    ] {
        variables.extend([(engine, "openai"), (at, url.as_str()), (model, "one")]);
    }
    let milo = milo("webrtc-turns", &variables).await;
    let pin = |cores: &str, process: u32| {
        let process = process.to_string();
        Command::new("taskset")
            .args(["--all-tasks", "--pid", "--cpu-list", cores, &process])
            .output()
            .expect("taskset");
    };
    pin("0", milo.pid().expect("it runs"));
    pin("1-255", std::process::id());
    let sound = spoken("mg_hours.wav", 0);
    let known = (END_OF_TURN + EARS + MIND + VOICE) as f64;
    for calls in [1, 25] {
        let mut browsers = Vec::new();
        for _ in 0..calls {
            let mut browser = Browser::open(&OPUS, true).await;
            let answer = offer(&milo, &browser.offer().await);
            assert_eq!(answer.status, 201, "{answer:?}");
            browser.take(&answer.body).await;
            browser.reaches(RTCPeerConnectionState::Connected).await;
            browsers.push(browser);
        }
        let (began, before) = (tokio::time::Instant::now(), milo.cost().expect("/proc").cpu);
        // Nobody talks in time with the others.
        let talks = browsers
            .into_iter()
            .enumerate()
            .map(|(n, browser)| tokio::spawn(talk(browser, sound.clone(), n * 37 % 150)));
        let mut waits: Vec<f64> =
            join_all(talks).await.into_iter().flat_map(|waits| waits.expect("no panic")).collect();
        let cpu = (milo.cost().expect("/proc").cpu - before).as_secs_f64() / began.elapsed().as_secs_f64();
        waits.sort_by(f64::total_cmp);
        let over = |share: f64| waits[(waits.len() as f64 * share) as usize] - known;
        println!(
            "{calls} calls at {WHIP}, {} turns: beside the engines {:.0} ms (p50), {:.0} ms (p95); {:.1} % of a core a talking call",
            waits.len(),
            over(0.5),
            over(0.95),
            cpu * 100.0 / calls as f64,
        );
        crate::web_page::quiet(&milo).await;
    }
    stop(milo).await;
}
