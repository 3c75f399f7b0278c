//! The messages of Twilio's Media Streams, as a bridge sends them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use milo::bench::Running;
use milo_media::{PCMU, resample::resample};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    house::{MG_HOURS, answered, assert_turn, ended, events, get, loud, milo, stop},
    web_page::{Page, Seen, open_with, quiet, spoken},
};

const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

async fn open(milo: &Running) -> Page {
    open_with(milo, "/api/v1/media-stream", &[]).await.expect("this machine needs no key")
}

async fn start(page: &mut Page) {
    page.text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#).await;
    let format = json!({ "encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1 });
    let start = json!({
        "accountSid": "AC0",
        "streamSid": STREAM,
        "callSid": "CA7",
        "tracks": ["inbound"],
        "mediaFormat": format,
        "customParameters": {},
    });
    page.text(&json!({ "event": "start", "sequenceNumber": "1", "start": start, "streamSid": STREAM }).to_string())
        .await;
}

/// Sends sound, 20 ms a message, each when it has been spoken.
async fn speak(page: &mut Page, samples: &[i16]) {
    let narrow = resample(samples, 16_000, 8_000);
    let mut payload = Vec::new();
    (PCMU.encoder)().encode(&narrow, &mut payload);
    let began = Instant::now();
    for (at, frame) in payload.chunks(160).enumerate() {
        sleep_until(began + Duration::from_millis(at as u64 * 20)).await;
        let media = json!({ "track": "inbound", "chunk": at.to_string(), "payload": STANDARD.encode(frame) });
        page.text(&json!({ "event": "media", "streamSid": STREAM, "media": media }).to_string()).await;
    }
}

/// Events of a kind that came so far, with when.
fn came(page: &Page, kind: &str) -> Vec<(Instant, Value)> {
    let all = page.all().into_iter();
    all.filter_map(|(at, seen)| if let Seen::Said(said) = seen { Some((at, said)) } else { None })
        .filter(|(_, said)| said["event"] == kind)
        .collect()
}

/// The sound that came since then.
fn sound(page: &Page, since: Instant) -> Vec<i16> {
    let mut samples = Vec::new();
    for (_, media) in came(page, "media").iter().filter(|(at, _)| *at >= since) {
        assert_eq!(media["streamSid"], STREAM);
        let payload = STANDARD.decode(media["media"]["payload"].as_str().expect("a payload")).expect("base64");
        (PCMU.decoder)().decode(&payload, &mut samples);
    }
    samples
}

async fn until(page: &Page, count: usize, kind: &str) -> Value {
    for _ in 0..1_500 {
        if let Some((_, found)) = came(page, kind).into_iter().nth(count - 1) {
            return found;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{kind} did not come {count} times within thirty seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_to_hosted_telephony_has_milo_at_its_far_end() {
    let milo = milo("stream", &[]).await;
    let mut page = open(&milo).await;
    start(&mut page).await;
    let greeted = until(&page, 1, "mark").await;
    assert_eq!((&greeted["mark"]["name"], &greeted["streamSid"]), (&json!("reply-1"), &json!(STREAM)));
    let greeting = sound(&page, Instant::now() - Duration::from_secs(60));
    assert!(loud(&greeting) > 4_000, "{} loud samples of a greeting", loud(&greeting));
    // Whoever plays says that it has.
    page.text(&json!({ "event": "mark", "streamSid": STREAM, "mark": { "name": "reply-1" } }).to_string()).await;
    page.text(r#"{"event":"dtmf","dtmf":{"track":"inbound_track","digit":"5"}}"#).await;

    let asked = Instant::now();
    speak(&mut page, &spoken("mg_hours.wav", 0)).await;
    while loud(&sound(&page, asked)) < 4_000 {
        speak(&mut page, &[0; 1_600]).await;
        assert!(asked.elapsed() < Duration::from_secs(30), "no reply");
    }
    assert!(came(&page, "clear").is_empty());
    speak(&mut page, &spoken("mg_barge.wav", 0)[..16_000]).await;
    assert_eq!(until(&page, 1, "clear").await, json!({ "event": "clear", "streamSid": STREAM }));
    // What was said is heard to its end before the reply is given up.
    for _ in 0..12 {
        speak(&mut page, &[0; 1_600]).await;
    }
    page.text(&json!({ "event": "stop", "streamSid": STREAM }).to_string()).await;
    let (code, _) = page.closed().await;
    assert_eq!(code, 1000);
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
    let call = ended(&milo, &id).await;
    assert_eq!(call["hangup_by"], "caller", "{call}");
    let detail = events(&call, "media-stream")[0].clone();
    assert_eq!((&detail["stream"], &detail["call"]), (&json!(STREAM), &json!("CA7")), "{call}");
    assert_eq!(events(&call, "digit")[0]["digit"], "5");
    let turn = answered(&call)[0];
    assert_eq!(turn["interrupted"], true, "{call}");
    assert!(turn["said"].as_str().is_some_and(|said| said.contains(MG_HOURS.1)), "{call}");
    assert_eq!(call["quality"][0]["codec"], "PCMU", "{call}");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_of_the_protocol_closes_the_stream_and_leaves_nothing() {
    let milo = milo("stream-bad", &[]).await;
    for (what, first, code, says) in [
        ("binary", Message::binary(vec![0xff; 160]), 1003, "media"),
        ("no JSON", Message::text("hello"), 1007, "`event`"),
        ("no event", Message::text("{}"), 1007, "`event`"),
        (
            "another format",
            Message::text(r#"{"event":"start","streamSid":"a","start":{"mediaFormat":{"sampleRate":16000}}}"#),
            1003,
            "8000",
        ),
        ("no name", Message::text(r#"{"event":"start","start":{}}"#), 1007, "streamSid"),
    ] {
        let mut page = open(&milo).await;
        page.put(first).await;
        let (closed, reason) = page.closed().await;
        assert!(closed == code && reason.contains(says), "{what}: {closed} {reason}");
    }
    assert!(get(&milo, "/api/v1/calls")["calls"].as_array().is_some_and(Vec::is_empty), "no call began");
    let mut page = open(&milo).await;
    start(&mut page).await;
    page.text(r#"{"event":"media","media":{"payload":"no base64!"}}"#).await;
    let (code, reason) = page.closed().await;
    assert!(code == 1007 && reason.contains("base64"), "{code} {reason}");
    let silent = open(&milo).await;
    let (code, reason) = silent.closed().await;
    assert!(code == 1008 && reason.contains("start"), "{code} {reason}");
    quiet(&milo).await;
    stop(milo).await;
}

/// As the turns of telephones are.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_over_a_stream_is_a_turn_like_any_other() {
    let milo = milo("stream-turn", &[]).await;
    let mut page = open(&milo).await;
    start(&mut page).await;
    until(&page, 1, "mark").await;
    speak(&mut page, &spoken("mg_hours.wav", 1_500)).await;
    until(&page, 2, "mark").await;
    page.close().await;
    let id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
    assert_turn(answered(&ended(&milo, &id).await)[0], "mg", MG_HOURS.0, MG_HOURS.1);
    stop(milo).await;
}
