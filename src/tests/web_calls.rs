//! Calls over a WebSocket: whole conversations with the shipped models, on the committed recordings.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    house::{
        FR_HOURS, MG_GOODBYE, MG_HOURS, answered, assert_turn, ended, events, get, loud, metric, milo, recordings,
        send, sides, stop, until, with_plans, wrong_words,
    },
    web_page::{Seen, open, quiet, spoken},
};

/// 20 ms, and a third of a second as the page of the Python system sends it.
const FRAME: usize = 320;
const CHUNK: usize = 5_120;

#[tokio::test(flavor = "multi_thread")]
async fn a_spoken_conversation_is_understood_answered_and_logged_like_any_call() {
    let milo = milo("web-spoken", &[("MILO__RECORDING__ENABLED", "true")]).await;
    let mut page = open(&milo, "stream=1").await;
    let id = page.call().await;
    page.nth(1, "reply_text", |said| said["partial"] == false).await;
    let greeting = page.sound_since(Instant::now() - Duration::from_secs(60));
    assert!(loud(&greeting) > 8_000, "{} loud samples of a greeting", loud(&greeting));
    // It is up like any other call.
    let row = get(&milo, &format!("/api/v1/calls/{}", id.as_str().expect("an identifier")));
    assert_eq!((&row["direction"], &row["from"], &row["to"]), (&json!("in"), &json!("websocket"), &json!("milo")));
    assert!(row["answered"].is_string() && row["ended"].is_null(), "{row}");
    assert_eq!(events(&row, "websocket")[0]["stream"], true, "{row}");
    assert_eq!(get(&milo, "/api/v1/health")["live_calls"], 1);
    assert!((metric(&milo, "milo_calls_live").await - 1.0).abs() < 0.1);

    let asked = Instant::now();
    page.speak(&spoken("mg_hours.wav", 1_500), FRAME).await;
    let transcript = page.nth(1, "transcript", |said| said["partial"] == false).await;
    let understood = transcript["text"].as_str().expect("words");
    assert!(wrong_words(MG_HOURS.0, understood) <= 2, "{understood}");
    assert_eq!(transcript["language"], "mg");
    let reply = page.nth(2, "reply_text", |said| said["partial"] == false).await;
    assert!(reply["text"].as_str().is_some_and(|text| text.contains(MG_HOURS.1)), "{reply}");
    assert_eq!((&reply["heard"], &reply["interrupted"]), (&reply["text"], &json!(false)));
    assert!(reply["total_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 10_000.0), "{reply}");
    assert_eq!(page.said("mode")[0]["value"], "local");
    assert!(page.said("reply_audio").is_empty(), "it came as it was made");
    let vad: Vec<_> = page.said("vad").iter().map(|vad| vad["speaking"] == true).collect();
    assert!(vad.starts_with(&[true, false]) && vad.last() == Some(&false), "{vad:?}");
    let sound = page.sound_since(asked);
    assert!(loud(&sound) > 16_000, "{} loud samples of {}", loud(&sound), sound.len());
    // It is heard at its own pace: as much as time has passed, and not all of it at once.
    let pieces: Vec<_> = page.all().into_iter().filter(|(_, seen)| matches!(seen, Seen::Sound(_))).collect();
    assert!(pieces.iter().all(|(_, seen)| matches!(seen, Seen::Sound(samples) if samples.len() == FRAME)));
    let took = (pieces.last().unwrap().0 - asked).as_secs_f64();
    assert!(sound.len() as f64 / 16_000.0 <= took + 0.5, "{} samples within {took} s", sound.len());

    page.speak(&spoken("mg_goodbye.wav", 1_500), FRAME).await;
    let (code, reason) = page.closed().await;
    assert_eq!((code, reason.as_str()), (1000, "the plan is done"));
    let call = ended(&milo, &id).await;
    assert_eq!(call["hangup_by"], "milo", "{call}");
    let turns = answered(&call);
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_turn(turns[1], "mg", MG_GOODBYE.0, MG_GOODBYE.1);
    let quality = &call["quality"][0];
    assert_eq!(
        (&quality["leg"], &quality["codec"], &quality["one_way"]),
        (&json!("caller"), &json!("L16"), &Value::Null)
    );
    let files = recordings(milo.folder());
    assert_eq!(files.len(), 1, "{files:?}");
    let (caller, ours) = sides(&files[0]);
    assert!(loud(&caller) > 16_000 && loud(&ours) > 16_000, "{} and {}", loud(&caller), loud(&ours));
    quiet(&milo).await;
    assert!(metric(&milo, "milo_calls_live").await.abs() < 0.1);
    stop(milo).await;
}

/// What its page does: the key in the address, sound in pieces of a third of a second until the button is let go, then `stop`.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_python_system_is_answered_as_before() {
    let key = "a-key-in-place-of-change-me";
    let milo = milo("web-python", &[("API_KEY", key)]).await;
    let mut page = open(&milo, &format!("api_key={key}")).await;
    let session = page.nth(1, "session", |_| true).await["session_id"].as_str().expect("a session").to_owned();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(page.kinds(), ["session"], "nobody speaks to it first");

    page.speak(&spoken("fr_hours.wav", 0), CHUNK).await;
    page.text(r#"{"type":"stop"}"#).await;
    page.nth(1, "mode", |_| true).await;
    let kinds: Vec<_> = page.kinds().into_iter().filter(|kind| kind != "vad").collect();
    assert_eq!(kinds, ["session", "transcript", "reply_text", "reply_audio", "mode"], "in its order");
    assert_eq!(page.said("vad").first().map(|vad| &vad["speaking"]), Some(&json!(true)));
    let transcript = &page.said("transcript")[0];
    assert!(wrong_words(FR_HOURS.0, transcript["text"].as_str().expect("words")) <= 1, "{transcript}");
    assert_eq!(transcript["partial"], false);
    assert!(page.said("reply_text")[0]["text"].as_str().is_some_and(|text| text.contains(FR_HOURS.1)));
    assert_eq!(page.said("mode")[0]["value"], "local");
    let audio = page.said("reply_audio")[0]["audio"].as_str().expect("base64").to_owned();
    let wav = STANDARD.decode(audio).expect("base64");
    assert!(wav.starts_with(b"RIFF") && wav[24..28] == 16_000_u32.to_le_bytes(), "a WAV file of 16 kHz");
    let samples: Vec<i16> = wav[44..].as_chunks::<2>().0.iter().map(|two| i16::from_le_bytes(*two)).collect();
    assert!(loud(&samples) > 8_000, "{} loud samples of {}", loud(&samples), samples.len());
    assert!(page.sound_since(Instant::now() - Duration::from_secs(60)).is_empty(), "no binary messages");
    let id = page.call().await;
    // The reply is heard there meanwhile: it is a turn once it was.
    let header = format!("Authorization: Bearer {key}");
    let path = format!("/api/v1/sessions/{session}");
    let mut exchanges = Value::Null;
    for _ in 0..300 {
        exchanges = send(&milo, ("GET", &path), &[&header], &Value::Null).body["exchanges"].clone();
        if exchanges[0].is_object() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(exchanges[0]["reply"].as_str().is_some_and(|reply| reply.contains(FR_HOURS.1)), "bug B1: {exchanges}");
    page.close().await;
    let call = ended(&milo, &id).await;
    assert_eq!(call["hangup_by"], "caller", "{call}");
    assert_turn(answered(&call)[0], "fr", FR_HOURS.0, FR_HOURS.1);

    // Its page comes back with its session; a whole file at once is taken at the pace of speech.
    let mut page = open(&milo, &format!("api_key={key}&session_id={session}")).await;
    assert_eq!(page.nth(1, "session", |_| true).await["session_id"], session.as_str());
    for piece in spoken("mg_hours.wav", 1_000).chunks(CHUNK) {
        page.put(Message::binary(piece.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>())).await;
    }
    let transcript = page.nth(1, "transcript", |_| true).await;
    assert!(wrong_words(MG_HOURS.0, transcript["text"].as_str().expect("words")) <= 2, "{transcript}");
    page.nth(1, "reply_audio", |_| true).await;
    page.close().await;
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_into_a_reply_is_told_to_forget_what_waits_and_hears_no_more_of_it() {
    let milo = milo("web-barge", &[]).await;
    let mut page = open(&milo, "stream=1").await;
    page.nth(1, "reply_text", |said| said["partial"] == false).await;
    page.speak(&spoken("mg_hours.wav", 0), FRAME).await;
    // Silence goes on until a second of the reply was heard.
    let asked = Instant::now();
    while loud(&page.sound_since(asked)) < 8_000 {
        page.speak(&[0; FRAME * 5], FRAME).await;
        assert!(asked.elapsed() < Duration::from_secs(30), "no reply: {:?}", page.kinds());
    }
    let spoke = Instant::now();
    page.speak(&spoken("mg_barge.wav", 0)[..16_000], FRAME).await;
    let (cleared, _) = page.until("clear", |seen| matches!(seen, Seen::Said(said) if said["type"] == "clear")).await;
    assert!(cleared - spoke < Duration::from_secs(1), "{:?} after the first word", cleared - spoke);
    page.speak(&[0; FRAME * 25], FRAME).await;
    // A frame may have been on its way.
    let after: Vec<i16> = page
        .all()
        .into_iter()
        .filter(|(at, _)| *at > cleared && *at < cleared + Duration::from_millis(300))
        .filter_map(|(_, seen)| if let Seen::Sound(samples) = seen { Some(samples) } else { None })
        .flatten()
        .collect();
    assert!(loud(&after) <= 2 * FRAME, "{} loud samples after it", loud(&after));
    let reply = page.nth(1, "reply_text", |said| said["interrupted"] == true).await;
    let (said, heard) = (reply["text"].as_str().expect("words"), reply["heard"].as_str().expect("words"));
    assert!(heard.ends_with('—') && heard.len() < said.len(), "{reply}");
    let id = page.call().await;
    page.text(r#"{"type":"hangup"}"#).await;
    let (code, _) = page.closed().await;
    assert_eq!(code, 1000);
    let call = ended(&milo, &id).await;
    assert_eq!((&call["hangup_by"], &answered(&call)[0]["interrupted"]), (&json!("caller"), &json!(true)), "{call}");
    stop(milo).await;
}

/// The legs of a WebSocket and of a telephone are joined by the plan.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_put_through_to_a_telephone_and_presses_keys() {
    let far = with_plans("web-far", "").await;
    let plans = format!(
        "[[plan]]\nname = 'through'\nnumber = 'through'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {{ gather = {{ into = 'code', max = 2, first_seconds = 20 }} }}, \
         {{ transfer = {{ to = '{}', mode = 'refer' }} }}]\n",
        far.udp("milo").expect("an address")
    );
    let near = with_plans("web-near", &plans).await;
    let mut page = open(&near, "stream=1&number=through").await;
    let id = page.call().await;
    page.text(r#"{"type":"dtmf","digit":"4"}"#).await;
    page.text(r#"{"type":"dtmf","digit":"2"}"#).await;
    until(&near, &id, "put through", |call| !events(call, "dialled").is_empty()).await;
    // What only a telephone does was refused, and Milo called in its place.
    let call = get(&near, &format!("/api/v1/calls/{}", id.as_str().expect("an identifier")));
    assert_eq!(events(&call, "transferred")[0]["status"], 501, "{call}");
    let said = spoken("mg_hours.wav", 500);
    let began = Instant::now();
    page.speak(&said, FRAME).await;
    let back = page.sound_since(began);
    assert!(loud(&back) > loud(&said) / 2, "{} loud samples came back of {}", loud(&back), loud(&said));
    page.close().await;
    let call = ended(&near, &id).await;
    let digits: Vec<_> = events(&call, "digit").iter().map(|digit| digit["digit"].clone()).collect();
    assert_eq!(digits, ["4", "2"], "{call}");
    assert_eq!(call["quality"].as_array().map(Vec::len), Some(2), "{call}");
    stop(near).await;
    stop(far).await;
}
