//! Calls from browsers: whole conversations by WebRTC, with the shipped models, on the committed recordings.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    aiortc::Browser,
    house::{
        MG_GOODBYE, MG_HOURS, answered, assert_turn, ended, events, get, loud, metric, milo, recordings, send, sides,
        stop, with_plans, wrong_words,
    },
    web_page::quiet,
};

const WHIP: &str = "/api/v1/webrtc";

#[expect(clippy::disallowed_methods, reason = "a test measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_conversation_in_opus_is_understood_answered_and_logged_like_any_call() {
    let milo = milo("webrtc-spoken", &[("MILO__RECORDING__ENABLED", "true")]).await;
    let mut browser = Browser::call(&milo, WHIP, &[]).await;
    let reached = browser.until("connected", |_| true).await["ms"].as_f64().expect("a time");
    let id = browser.message("session", |_| true).await["call_id"].clone();
    browser.message("reply_text", |said| said["partial"] == false).await;
    let greeting = browser.levels().await;
    assert!(greeting["loud"].as_u64().is_some_and(|loud| loud > 8_000), "{greeting}");
    println!("connected after {reached:.0} ms, the greeting heard after {} ms", greeting["first_ms"]);
    assert!(greeting["first_ms"].as_f64().is_some_and(|ms| ms < 5_000.0), "{greeting}");
    // It is up like any other call.
    let path = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    let row = get(&milo, &path);
    assert_eq!((&row["direction"], &row["from"], &row["to"]), (&json!("in"), &json!("webrtc"), &json!("milo")));
    assert!(row["answered"].is_string() && row["ended"].is_null(), "{row}");
    let came = &events(&row, "webrtc")[0];
    assert_eq!((&came["codec"], &came["data_channel"]), (&json!("opus"), &json!(true)), "{row}");
    assert_eq!(get(&milo, "/api/v1/health")["live_calls"], 1);
    assert!((metric(&milo, "milo_calls_live").await - 1.0).abs() < 0.1);

    browser.loud().await;
    browser.say("mg_hours.wav").await;
    let transcript = browser.message("transcript", |said| said["partial"] == false).await;
    let understood = transcript["text"].as_str().expect("words");
    assert!(wrong_words(MG_HOURS.0, understood) <= 2, "{understood}");
    let reply = browser.message("reply_text", |said| said["partial"] == false && said["total_ms"].is_number()).await;
    assert!(reply["text"].as_str().is_some_and(|text| text.contains(MG_HOURS.1)), "{reply}");
    assert_eq!((&reply["heard"], &reply["interrupted"]), (&reply["text"], &json!(false)));
    let loud_reply = browser.loud().await;
    assert!(loud_reply > 16_000, "{loud_reply} loud samples of the reply");
    let vad: Vec<_> = browser.messages("vad").iter().map(|vad| vad["speaking"] == true).collect();
    assert!(vad.starts_with(&[true, false]), "{vad:?}");
    let states: Vec<_> = browser.messages("state").iter().map(|state| state["value"].clone()).collect();
    assert_eq!(states, ["speaking", "listening", "thinking", "speaking", "listening"], "the state of each moment");

    browser.send(r#"{"type":"dtmf","digit":"5"}"#).await;
    browser.send(r#"{"type":"dtmf","digit":"55"}"#).await;
    let error = browser.message("error", |_| true).await;
    assert!(error["error"].as_str().is_some_and(|says| says.contains("`digit`")), "{error}");
    // What is written is answered as what is said.
    browser.send(&json!({ "type": "say", "text": MG_GOODBYE.0 }).to_string()).await;
    let over = browser.message("ended", |_| true).await;
    assert_eq!(over["reason"], "the plan is done");
    let call = ended(&milo, &id).await;
    let digits: Vec<_> = events(&call, "digit").iter().map(|event| event["digit"].clone()).collect();
    assert_eq!((&call["hangup_by"], digits), (&json!("milo"), vec![json!("5")]), "{call}");
    let turns = answered(&call);
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_eq!(turns[1]["heard"], MG_GOODBYE.0, "{call}");
    assert!(turns[1]["said_heard"].as_str().is_some_and(|said| said.contains(MG_GOODBYE.1)), "{call}");
    let quality = &call["quality"][0];
    assert_eq!((&quality["codec"], &quality["one_way"]), (&json!("opus"), &Value::Null), "{quality}");
    assert!(quality["far_jitter_ms"].is_number(), "its reports are read: {quality}");
    assert!(quality["round_trip_ms"].as_f64().is_some_and(|trip| trip < 1_000.0), "and ours by it: {quality}");
    let files = recordings(milo.folder());
    let (caller, ours) = sides(files.first().expect("a recording"));
    assert!(loud(&caller) > 2_000 && loud(&ours) > 2_000, "{} and {}", loud(&caller), loud(&ours));
    quiet(&milo).await;
    assert!(metric(&milo, "milo_calls_live").await.abs() < 0.1);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_goodbye_is_understood_and_ends_the_call() {
    let milo = milo("webrtc-goodbye", &[]).await;
    let mut browser = Browser::call(&milo, WHIP, &[]).await;
    let id = browser.message("session", |_| true).await["call_id"].clone();
    browser.message("reply_text", |said| said["partial"] == false).await;
    browser.say("mg_goodbye.wav").await;
    let transcript = browser.message("transcript", |said| said["partial"] == false).await;
    let understood = transcript["text"].as_str().expect("words");
    assert!(wrong_words(MG_GOODBYE.0, understood) <= 1, "{understood}");
    let over = browser.message("ended", |_| true).await;
    assert_eq!(over["reason"], "the plan is done");
    let call = ended(&milo, &id).await;
    assert!(answered(&call)[0]["said_heard"].as_str().is_some_and(|said| said.contains(MG_GOODBYE.1)), "{call}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pcmu_and_no_data_channel_are_enough_and_whoever_leaves_has_hung_up() {
    let milo = with_plans("webrtc-pcmu", "").await;
    let mut browser = Browser::call(&milo, WHIP, &["--pcmu", "--no-data"]).await;
    browser.say("mg_hours.wav").await;
    sleep(Duration::from_secs(1)).await;
    let heard = browser.loud().await;
    assert!(heard > 3_000, "{heard} loud samples of an echo");
    let live = get(&milo, "/api/v1/calls")["calls"][0].clone();
    let left = now();
    browser.close().await;
    let call = ended(&milo, &live["id"]).await;
    assert!(left.elapsed() < Duration::from_secs(6), "{:?}", left.elapsed());
    assert_eq!((&call["hangup_by"], &call["quality"][0]["codec"]), (&json!("caller"), &json!("PCMU")), "{call}");
    assert_eq!(events(&call, "webrtc")[0]["data_channel"], false);
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_gone_is_missed_and_its_call_logged() {
    let milo = crate::house::with_plans_and("webrtc-killed", "", &[("MILO__WEBRTC__GONE_S", "5")]).await;
    let mut browser = Browser::call(&milo, WHIP, &[]).await;
    let id = browser.message("session", |_| true).await["call_id"].clone();
    let killed = now();
    browser.kill().await;
    let call = ended(&milo, &id).await;
    assert!(killed.elapsed() < Duration::from_secs(15), "{:?}", killed.elapsed());
    assert_eq!(call["hangup_by"], "network", "{call}");
    assert!(call["end_reason"].as_str().is_some_and(|reason| reason.contains("gone")), "{call}");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_come_by_the_data_channel_and_the_api_hangs_up() {
    let milo = with_plans("webrtc-commands", "").await;
    let mut browser = Browser::call(&milo, WHIP, &[]).await;
    let id = browser.message("session", |_| true).await["call_id"].clone();
    browser.send(r#"{"type":"mute","muted":true}"#).await;
    sleep(Duration::from_millis(500)).await;
    browser.say("mg_hours.wav").await;
    sleep(Duration::from_secs(1)).await;
    let heard = browser.loud().await;
    assert!(heard < 100, "{heard} loud samples of an echo of somebody muted");
    browser.send(r#"{"type":"mute","muted":false}"#).await;
    sleep(Duration::from_millis(500)).await;
    browser.say("mg_hours.wav").await;
    sleep(Duration::from_secs(1)).await;
    let heard = browser.loud().await;
    assert!(heard > 3_000, "{heard} loud samples of an echo");
    for (wrong, why) in
        [("{", "JSON"), ("[]", "`type`"), (r#"{"type":"sing"}"#, "`type`"), (r#"{"type":"mute"}"#, "`muted`")]
    {
        browser.send(wrong).await;
        browser.message("error", |told| told["error"].as_str().is_some_and(|says| says.contains(why))).await;
    }
    let path = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    let hung_up = send(&milo, ("DELETE", &path), &[], &Value::Null);
    assert!(hung_up.status < 300, "{hung_up:?}");
    let over = browser.message("ended", |_| true).await;
    assert!(over["reason"].as_str().is_some_and(|reason| reason.contains("by the API")), "{over}");
    let call = ended(&milo, &id).await;
    assert_eq!(call["hangup_by"], "milo", "{call}");

    let mut browser = Browser::call(&milo, WHIP, &[]).await;
    let id = browser.message("session", |_| true).await["call_id"].clone();
    browser.send(r#"{"type":"hangup"}"#).await;
    browser.message("ended", |_| true).await;
    assert_eq!(ended(&milo, &id).await["hangup_by"], "caller");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_up_when_milo_ends_is_told_and_no_other_is_taken() {
    let milo = crate::house::with_plans_and(
        "webrtc-ending",
        "",
        &[("MILO__LIMITS__CALLS", "1"), ("MILO__DRAIN__SECONDS", "1")],
    )
    .await;
    let mut browser = Browser::call(&milo, WHIP, &[]).await;
    browser.message("session", |_| true).await;
    let mut second = Browser::open(&milo, WHIP, &[]);
    let refused = second.until("answered", |_| true).await;
    assert_eq!((&refused["status"], refused["headers"]["retry-after"].is_string()), (&json!(503), true), "{refused}");
    let (ends, told) = tokio::join!(milo.stop(), browser.message("ended", |_| true));
    ends.expect("Milo ends by itself");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains("shut down")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_by_webrtc_is_remembered_in_its_session() {
    let milo = milo("webrtc-session", &[]).await;
    let chat = json!({ "message": "Firy ariary ny tapakila?", "session_id": "page-7" });
    assert_eq!(send(&milo, ("POST", "/api/v1/chat"), &[], &chat).status, 200);
    let mut browser = Browser::call(&milo, &format!("{WHIP}?session_id=page-7"), &[]).await;
    assert_eq!(browser.message("session", |_| true).await["session_id"], "page-7");
    browser.message("reply_text", |said| said["partial"] == false).await;
    browser.say("mg_hours.wav").await;
    browser.message("reply_text", |said| said["partial"] == false && said["total_ms"].is_number()).await;
    browser.close().await;
    quiet(&milo).await;
    let known = get(&milo, "/api/v1/sessions/page-7");
    let exchanges = known["exchanges"].as_array().expect("what was said");
    assert_eq!(exchanges.len(), 2, "{known}");
    assert!(exchanges[1]["reply"].as_str().is_some_and(|reply| reply.contains(MG_HOURS.1)), "{known}");
    let wrong =
        send(&milo, ("POST", &format!("{WHIP}?session_id=a%20b")), &["Content-Type: application/sdp"], &Value::Null);
    assert_eq!(wrong.status, 422, "{wrong:?}");
    stop(milo).await;
}
