//! Servers that hear and speak for Milo, with the local engines behind them.

use std::{fs, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use milo_media::wav;
use serde_json::json;

use super::server::{Conduct, KEY, Server, TONE};
use crate::house::{
    MG_HOURS, MG_PRICE, answered, call, errand, folder, get, metric, milo, newest_call, recording, send, stop,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_and_a_caller_are_heard_by_the_server_or_else_by_the_local_transcriber() {
    let server = Server::start(Conduct::says(MG_PRICE.0)).await;
    let url = format!("{}/v1", server.url);
    let variables = [
        ("MILO__ENGINES__STT__ENGINE", "openai"),
        ("MILO__ENGINES__STT__URL", url.as_str()),
        ("MILO__ENGINES__STT__MODEL", "ears-of-a-scenario"),
        ("OPENAI_API_KEY", KEY),
    ];
    let milo = milo("heard", &variables).await;
    let sound = STANDARD.encode(fs::read(recording("mg_hours.wav")).expect("the recording"));
    let stt = || send(&milo, ("POST", "/api/v1/stt"), &[], &json!({ "audio": sound })).body;
    let heard = stt();
    assert_eq!((&heard["text"], &heard["language"]), (&MG_PRICE.0.into(), &"mg".into()), "{heard}");
    let sure = heard["confidence"].as_f64().expect("a number");
    assert!((sure - (-0.25_f64).exp()).abs() < 1e-3, "{heard}");
    let asked = &server.asked()[0];
    assert_eq!(asked.headers["authorization"].to_str().ok(), Some(format!("Bearer {KEY}").as_str()));
    let form = String::from_utf8_lossy(&asked.bytes);
    for part in ["name=\"model\"\r\n\r\nears-of-a-scenario", "verbose_json", "filename=\"speech.wav\"", "RIFF"] {
        assert!(form.contains(part), "no {part:?}");
    }

    // A caller asks for the hours; the server hears the price, and that is answered.
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    let turn = answered(&logged)[0];
    assert_eq!(turn["heard"], MG_PRICE.0, "{logged}");
    assert!(turn["said_heard"].as_str().is_some_and(|said| said.to_lowercase().contains(MG_PRICE.1)), "{logged}");

    for (conduct, reason) in [
        (Conduct::Refuses(500, ("x-said", "no"), ""), "broken"),
        (Conduct::Refuses(200, ("content-type", "application/json"), "{\"words\":1}"), "broken"),
        (Conduct::Refuses(403, ("x-said", "no"), ""), "refused"),
    ] {
        server.now(conduct.clone());
        assert_eq!(stt()["text"], MG_HOURS.0, "{conduct:?}");
        assert_eq!(get(&milo, "/api/v1/health")["status"], "degraded", "{conduct:?}");
        let name = format!("milo_engine_fallbacks_total{{engine=\"stt\",reason=\"{reason}\"}}");
        assert!(metric(&milo, &name).await >= 1.0, "{conduct:?}");
    }
    server.now(Conduct::says(MG_PRICE.0));
    assert_eq!(
        (stt()["text"].as_str(), &get(&milo, "/api/v1/health")["status"]),
        (Some(MG_PRICE.0), &"healthy".into())
    );
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_words_come_from_a_server_that_knows_them_and_from_nobody_else() {
    let server = Server::start(Conduct::says("salama tompoko")).await;
    let url = format!("{}/v1", server.url);
    let variables = [
        ("MILO__ENGINES__STT__ENGINE", "openai"),
        ("MILO__ENGINES__STT__URL", url.as_str()),
        ("MILO__ENGINES__STT__MODEL", "ears-of-a-scenario"),
    ];
    let milo = milo("words", &variables).await;
    let question = recording("mg_hours.wav");
    let sound = STANDARD.encode(fs::read(&question).expect("the recording"));
    let stt = |words: bool| send(&milo, ("POST", "/api/v1/stt"), &[], &json!({ "audio": sound, "words": words }));
    let heard = stt(true).body;
    let segment = &heard["segments"][0];
    let words = segment["words"].as_array().expect("words");
    let said: Vec<_> = words.iter().map(|word| word["word"].as_str().expect("a word")).collect();
    assert_eq!(said, ["salama", "tompoko"], "{heard}");
    // Times are of the recording, not of the utterance in it.
    let offset = segment["start_ms"].as_u64().expect("a time") - 100;
    assert_eq!(
        (&words[1]["start_ms"], &words[1]["end_ms"]),
        (&(300 + offset).into(), &(500 + offset).into()),
        "{heard}"
    );
    assert!(stt(false).body["segments"][0].get("words").is_none());

    // Numbers in words are shown in figures beside them.
    server.now(Conduct::says("dimy arivo ariary, amin'ny folo ora sy sasany"));
    assert_eq!(stt(false).body["written"], "5 000 Ar, amin'ny 10:30");
    server.now(Conduct::says("salama tompoko"));

    // By OpenAI's own protocol.
    let place = format!("file=@{}", question.display());
    let url = format!("{}v1/audio/transcriptions", milo.http);
    let transcribed = |more: &[&str]| -> serde_json::Value {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--form", &place, "--form", "model=whisper-1"]);
        curl.args(more.iter().flat_map(|field| ["--form", field])).arg(&url);
        serde_json::from_slice(&curl.output().expect("curl").stdout).expect("JSON")
    };
    let verbose = "response_format=verbose_json";
    let heard = transcribed(&[verbose, "timestamp_granularities[]=word"]);
    assert_eq!((&heard["words"][1]["word"], heard.get("segments")), (&"tompoko".into(), None), "{heard}");
    assert!(heard["words"][1]["end"].as_f64() > heard["words"][1]["start"].as_f64(), "{heard}");
    let both = transcribed(&[verbose, "timestamp_granularities[]=word", "timestamp_granularities[]=segment"]);
    assert!(both["words"][0]["word"] == "salama" && both["segments"][0]["text"] == "salama tompoko", "{both}");
    let plain = transcribed(&["timestamp_granularities[]=word"]);
    assert!(plain["error"]["message"].as_str().is_some_and(|says| says.contains("verbose_json")), "{plain}");

    // The local transcriber would hear the words, and not when they were said.
    server.now(Conduct::Refuses(500, ("x-said", "no"), ""));
    assert_eq!(stt(true).status, 503);
    assert_eq!(stt(false).body["text"], MG_HOURS.0);
    // A server that was asked for times and tells none has not done it.
    server.now(Conduct::Refuses(200, ("content-type", "application/json"), "{\"text\":\"salama\"}"));
    assert_eq!(stt(true).status, 503);
    assert_eq!(stt(false).body["text"], "salama");
    stop(milo).await;
}

/// How often the sign of these samples changes, a second.
fn crossings(samples: &[i16]) -> f64 {
    let changes = samples.windows(2).filter(|pair| (pair[0] < 0) != (pair[1] < 0)).count();
    changes as f64 * 16_000.0 / samples.len() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_and_a_call_are_spoken_by_the_server_or_else_by_the_local_voice() {
    let files = folder("spoken-files");
    let is_tone = |samples: &[i16]| (crossings(samples) - 2.0 * TONE).abs() < 0.05 * TONE;
    for format in ["wav", "pcm"] {
        // It has nothing to say while Milo starts: the personas' sentences are the local voice's.
        let server = Server::start(Conduct::Refuses(500, ("x-said", "no"), "")).await;
        let url = format!("{}/v1", server.url);
        let variables = [
            ("MILO__ENGINES__TTS__ENGINE", "openai"),
            ("MILO__ENGINES__TTS__URL", url.as_str()),
            ("MILO__ENGINES__TTS__MODEL", "voice-model"),
            ("MILO__ENGINES__TTS__VOICE", "ranto"),
            ("MILO__ENGINES__TTS__FORMAT", format),
            ("MILO__ENGINES__FAILURES_BEFORE_REST", "0"),
        ];
        let milo = milo("spoken", &variables).await;
        let tts = |text: &str| {
            let body = json!({ "text": text, "format": "json", "speed": 2 });
            let answer = send(&milo, ("POST", "/api/v1/tts"), &[], &body);
            assert_eq!(answer.status, 200, "{}", answer.body);
            let file = files.join("said.wav");
            fs::write(&file, STANDARD.decode(answer.body["audio"].as_str().expect("a sound")).expect("base64"))
                .expect("a file");
            wav::read(&file).expect("a WAV file")
        };
        let local = tts("salama tompoko");
        assert!(local.len() > 4_000 && !is_tone(&local), "{}", crossings(&local));
        assert_eq!(get(&milo, "/api/v1/health")["status"], "degraded");
        let before = server.asked().len();
        server.now(Conduct::says(""));
        let said = tts("Misokatra amin'ny 8 ora.");
        assert!(
            (15_000..17_500).contains(&said.len()) && is_tone(&said),
            "{format}: {} {}",
            said.len(),
            crossings(&said)
        );
        let asked = &server.asked()[before];
        assert!(asked.headers.get("authorization").is_none(), "there is no key");
        assert_eq!((&asked.body["model"], &asked.body["voice"]), (&"voice-model".into(), &"ranto".into()));
        assert_eq!((&asked.body["speed"], &asked.body["response_format"]), (&json!(2.0), &format.into()));
        assert!(asked.body["input"].as_str().is_some_and(|words| words.contains("valo")), "{}", asked.body);

        // A variant of the local voice's is not the server's, and the server's voice not the local one's.
        let voiced = |voice: &str| {
            let body = json!({ "text": "salama", "format": "json", "voice": voice });
            let answer = send(&milo, ("POST", "/api/v1/tts"), &[], &body);
            assert_eq!(answer.status, 200, "{voice}: {}", answer.body);
        };
        voiced("f2");
        assert_eq!(server.asked().last().expect("asked").body["voice"], "ranto");
        server.now(Conduct::Refuses(500, ("x-said", "no"), ""));
        voiced("ranto");

        // Something else than a sound: the local voice says it.
        server.now(Conduct::Sends(if format == "wav" { b"ID3 and so on".to_vec() } else { Vec::new() }));
        assert!(!is_tone(&tts("salama tompoko")));
        let name = "milo_engine_fallbacks_total{engine=\"tts\",reason=\"broken\"}";
        assert!(metric(&milo, name).await >= 3.0);

        server.now(Conduct::says(""));
        // The connection that broke may still be the first one that is tried.
        let again: Vec<_> = (0..3).map(|_| crossings(&tts("salama tompoko"))).collect();
        let is_server = |crossings: &f64| (crossings - 2.0 * TONE).abs() < 0.05 * TONE;
        assert!(again.iter().any(is_server), "{format}: what was said in its place is not kept for it: {again:?}");
        let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
        errand.record = Some(files.join("heard.wav"));
        call(&errand).await;
        let heard = wav::read(&files.join("heard.wav")).expect("a WAV file");
        let longest = heard.chunks(4_000).filter(|part| is_tone(part)).count();
        assert!(longest >= 2, "{format}: {longest} quarters of a second of the tone");
        let logged = newest_call(&milo).await;
        assert!(answered(&logged)[0]["said_heard"].as_str().is_some_and(|said| said.contains(MG_HOURS.1)), "{logged}");

        // What breaks off cannot be taken back.
        if format == "wav" {
            server.now(Conduct::Cuts("", 3));
            let body = json!({ "text": "salama", "format": "json" });
            assert_eq!(send(&milo, ("POST", "/api/v1/tts"), &[], &body).status, 503);
            // Nor does it end as if it were whole.
            let body = json!({ "text": "salama", "format": "wav" }).to_string();
            let url = format!("{}api/v1/tts", milo.http);
            let curl = ["--silent", "--fail", "--output", "/dev/null", "--json", &body, &url];
            assert!(!Command::new("curl").args(curl).status().expect("curl").success());
        }
        stop(milo).await;
    }
    fs::remove_dir_all(files).ok();
}
