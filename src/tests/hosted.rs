//! Milo with a language model on a server: it answers by text and on the telephone, and where it does not, the local model does.

mod fit;
mod kept_by_people;
mod kept_local;
mod resting;
pub mod server;
mod slow;
mod speech;
mod spending;
mod tongues;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::house::{
    MG_HOURS, PROGRAM, answered, call, errand, events, folder, get, metric, milo, newest_call, recording, send, stop,
};
use crate::webhooks::acceptor;
use server::{Conduct, KEY, Server};

pub(crate) const WORDS: &str = "Salama tompoko, **misokatra** amin'ny fito ora hariva izahay.";

/// A Milo that asks this server, however often it fails.
pub(crate) async fn asking(name: &str, server: &Server, engine: &'static str, more: &[(&str, &str)]) -> Running {
    let own = server.variables(engine);
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    milo(name, &[&own[..], &[("MILO__ENGINES__FAILURES_BEFORE_REST", "0")], more].concat()).await
}

fn chat(milo: &Running, body: &Value) -> (u16, Value) {
    let answer = send(milo, ("POST", "/api/v1/chat"), &[], body);
    (answer.status, answer.body)
}

/// Asks for the opening hours, and says how long the answer took.
#[expect(clippy::disallowed_methods, reason = "a scenario measures what its caller waits")]
fn hours(milo: &Running) -> (Value, Duration) {
    let began = Instant::now();
    let (status, body) = chat(milo, &json!({ "message": MG_HOURS.0 }));
    assert_eq!(status, 200, "{body}");
    (body, began.elapsed())
}

fn fallbacks(reason: &str) -> String {
    format!("milo_engine_fallbacks_total{{engine=\"llm\",reason=\"{reason}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_answered_by_the_server_in_either_protocol() {
    for engine in ["anthropic", "openai"] {
        let server = Server::start(Conduct::says(WORDS)).await;
        let milo = asking(engine, &server, engine, &[]).await;
        let (status, first) = chat(&milo, &json!({ "message": "salama", "mode": "voice" }));
        assert_eq!(
            (status, &first["mode"], &first["reply"]),
            (200, &"cloud".into(), &WORDS.into()),
            "{engine}: {first}"
        );
        assert!(first["audio"].as_str().is_some_and(|sound| sound.len() > 20_000) && first["cut"] == false);
        let body = json!({ "message": "misaotra", "session_id": first["session_id"], "stream": true }).to_string();
        let url = format!("{}api/v1/chat", milo.http);
        let streamed = Command::new("curl").args(["--silent", "--max-time", "20", "--json", &body, &url]).output();
        let streamed = String::from_utf8(streamed.expect("curl").stdout).expect("UTF-8");
        let last = streamed.trim().rsplit("data: ").next().expect("events");
        let last: Value = serde_json::from_str(last).expect("JSON");
        assert_eq!((&last["mode"], &last["reply"]), (&"cloud".into(), &WORDS.into()), "{streamed}");
        assert!(streamed.matches("event: token").count() >= 5, "{streamed}");

        // What it was asked: the key in its place, the persona, and what was said before.
        let asked = server.asked();
        let [_, second] = &asked[..] else { panic!("asked {} times", asked.len()) };
        let header = |name: &str| second.headers.get(name).map(|value| value.to_str().expect("text"));
        let messages = second.body["messages"].as_array().expect("messages");
        let said: Vec<_> = messages.iter().map(|message| message["content"].as_str().expect("text")).collect();
        if engine == "anthropic" {
            assert_eq!((header("x-api-key"), header("anthropic-version")), (Some(KEY), Some("2023-06-01")));
            assert!(second.body["system"].as_str().is_some_and(|persona| persona.len() > 20), "{}", second.body);
            assert_eq!((second.uri.path(), &said[..]), ("/v1/messages", &["salama", WORDS, "misaotra"][..]));
        } else {
            assert_eq!(header("authorization"), Some(format!("Bearer {KEY}").as_str()));
            assert_eq!((second.uri.path(), &said[1..]), ("/v1/chat/completions", &["salama", WORDS, "misaotra"][..]));
            assert_eq!(messages[0]["role"], "system");
        }
        assert_eq!((&second.body["model"], &second.body["stream"]), (&"model-of-a-scenario".into(), &true.into()));
        assert!(second.body["max_tokens"].as_u64().is_some_and(|most| most > 0), "{}", second.body);

        let health = get(&milo, "/api/v1/health");
        assert_eq!((&health["mode"], &health["status"]), (&"cloud".into(), &"healthy".into()), "{health}");
        assert_eq!(health["servers"][0]["model"], "model-of-a-scenario", "{health}");
        assert_eq!(metric(&milo, "milo_llm_replies_total{mode=\"cloud\"}").await, 2.0);
        stop(milo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_the_server_the_local_model_answers_in_the_same_turn() {
    let server = Server::start(Conduct::Hangs).await;
    let milo = asking("faulty", &server, "anthropic", &[]).await;
    let (answer, took) = hours(&milo);
    assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(MG_HOURS.1)), "{answer}");
    assert_eq!(answer["mode"], "local");
    // Two seconds are the time-out; the rest is for the local model on a busy machine.
    assert!((Duration::from_secs(2)..Duration::from_millis(4_500)).contains(&took), "{took:?}");
    let event = |data: &str| format!("event: x\ndata: {data}\n\n").into_bytes();
    let json = ("content-type", "application/json");
    for (conduct, reason, says) in [
        (Conduct::Stalls(WORDS, 0), "late", "in time"),
        (
            Conduct::Refuses(401, json, r#"{"error":{"message":"invalid x-api-key"}}"#),
            "refused",
            "does not take the key (401)",
        ),
        (
            Conduct::Refuses(404, json, r#"{"error":{"message":"model: nobody"}}"#),
            "refused",
            "(404): \"model: nobody\"",
        ),
        (
            Conduct::Refuses(409, json, "{\"error\":{\"message\":\"sk-of-a-scenario-0123456789 is wrong\"}}"),
            "refused",
            "\"*** is wrong\"",
        ),
        (Conduct::Refuses(302, ("location", "http://127.0.0.1:1/"), ""), "refused", "sends elsewhere (302)"),
        (Conduct::Refuses(500, json, "<html>"), "broken", "failed (500)"),
        (Conduct::Refuses(200, json, "{}"), "broken", "\"application/json\" in place of text/event-stream"),
        (Conduct::Sends(event("{ no JSON")), "broken", "none of the protocol"),
        (Conduct::Sends(event(r#"{"type":"error","error":{"type":"overloaded_error"}}"#)), "busy", "overloaded_error"),
        (Conduct::Sends(event(r#"{"type":"message_stop"}"#)), "broken", "has nothing to say"),
        (Conduct::Sends(b"data: \xff\xfe\n\n".to_vec()), "broken", "no UTF-8"),
        (Conduct::Sends(vec![b'x'; 100_000]), "broken", "a line of more than"),
        (Conduct::Cuts(WORDS, 0), "broken", "broke off"),
    ] {
        server.now(conduct.clone());
        let before = metric(&milo, &fallbacks(reason)).await;
        let (answer, took) = hours(&milo);
        assert_eq!(answer["mode"], "local", "{conduct:?}: {answer}");
        assert!(answer["reply"].as_str().is_some_and(|reply| reply.contains(MG_HOURS.1)), "{conduct:?}: {answer}");
        assert!(took < Duration::from_millis(4_500), "{conduct:?}: {took:?}");
        assert_eq!(metric(&milo, &fallbacks(reason)).await, before + 1.0, "{conduct:?}");
        let health = get(&milo, "/api/v1/health");
        assert_eq!((&health["mode"], &health["status"]), (&"cloud".into(), &"degraded".into()), "{conduct:?}");
        let degraded = health["degraded"].to_string().replace("\\\"", "\"");
        assert!(degraded.contains(says) && !degraded.contains(KEY), "{conduct:?}: {degraded}");
    }

    // It wants to be left alone for a while, and is.
    server.now(Conduct::Refuses(429, ("retry-after", "2"), r#"{"error":{"message":"slow down"}}"#));
    let asked = server.asked().len();
    for _ in 0..3 {
        assert_eq!(hours(&milo).0["mode"], "local");
    }
    server.now(Conduct::says(WORDS));
    assert_eq!((server.asked().len(), metric(&milo, &fallbacks("busy")).await), (asked + 1, 4.0));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(hours(&milo).0["mode"], "cloud");
    assert_eq!(get(&milo, "/api/v1/health")["status"], "healthy", "it answers again");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_costs_no_time() {
    // Nobody listens there any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let url = format!("http://{closed}");
    let milo =
        milo("down", &[("DEFAULT_MODE", "cloud"), ("ANTHROPIC_API_KEY", KEY), ("MILO__ENGINES__LLM__URL", &url)]).await;
    let (answer, took) = hours(&milo);
    assert_eq!(answer["mode"], "local", "{answer}");
    assert!(took < Duration::from_millis(1_900), "{took:?}");
    assert_eq!(metric(&milo, &fallbacks("down")).await, 1.0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_breaks_off_ends_at_what_was_said() {
    let server = Server::start(Conduct::Stalls(WORDS, 3)).await;
    let milo = asking("cut", &server, "openai", &[("MILO__ENGINES__LLM__TOKEN_TIMEOUT_S", "0.5")]).await;
    for conduct in [Conduct::Stalls(WORDS, 3), Conduct::Cuts(WORDS, 3)] {
        server.now(conduct);
        let (answer, took) = hours(&milo);
        assert_eq!((&answer["mode"], &answer["cut"]), (&"cloud".into(), &true.into()), "{answer}");
        assert_eq!(answer["reply"], "Salama tompoko, **misokatra**");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    assert_eq!(metric(&milo, &fallbacks("late")).await, 0.0, "what has begun stays whose it is");
    // On the telephone too: no silence, no excuse.
    server.now(Conduct::Stalls(WORDS, 3));
    let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    assert!(report.turns[0].reply.is_some(), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let turn = answered(&logged)[0];
    assert_eq!(turn["said_heard"], "Salama tompoko, **misokatra**", "{logged}");
    let cut = events(&logged, "reply_cut");
    assert!(cut[0]["error"].as_str().is_some_and(|why| why.contains("says no more in time")), "{logged}");
    assert!(events(&logged, "engine_failed").is_empty(), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_by_the_server_and_by_the_local_model_where_it_hangs() {
    let server = Server::start(Conduct::Hangs).await;
    server.then([Conduct::says(WORDS), Conduct::Hangs]);
    // One request a turn.
    let milo = asking("call", &server, "anthropic", &[("MILO__CONVERSATION__EARLY_REPLIES", "false")]).await;
    let report = call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav", "mg_hours.wav"])).await;
    assert!(report.turns.iter().all(|turn| turn.reply.is_some()), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let turns = answered(&logged);
    assert_eq!((&turns[0]["mode"], &turns[1]["mode"]), (&"cloud".into(), &"local".into()), "{logged}");
    assert_eq!(turns[0]["said_heard"], WORDS, "{logged}");
    assert!(turns[1]["said_heard"].as_str().is_some_and(|said| said.contains(MG_HOURS.1)), "{logged}");
    assert!(
        turns[1]["stages"]["llm_first_token_ms"].as_f64().is_some_and(|ms| (1_900.0..4_500.0).contains(&ms)),
        "{logged}"
    );
    let greeting = &logged["turns"][0];
    assert!(greeting["heard"].is_null() && greeting["mode"].is_null(), "no model said that: {logged}");
    server.left(1).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_interrupts_ends_the_request() {
    let long = "Misokatra isan'andro amin'ny fito ora hariva izahay tompoko. ".repeat(20).leak();
    let server = Server::start(Conduct::Says(long, Duration::ZERO, Duration::from_millis(150))).await;
    let milo = asking("interrupted", &server, "anthropic", &[]).await;
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    errand.interrupt = Some(recording("mg_barge.wav"));
    let calling = tokio::spawn(async move { call(&errand).await });
    server.left(1).await;
    let report = calling.await.expect("a report");
    assert!(report.turns[1].barge_stop_ms.is_some(), "{:?}", report.turns);
    let logged = newest_call(&milo).await;
    let first = answered(&logged)[0];
    assert_eq!((&first["interrupted"], &first["mode"]), (&true.into(), &"cloud".into()), "{logged}");
    // And whoever goes away while it is written.
    let (asked, left) = (server.asked().len(), server.left_so_far());
    let body = json!({ "message": "salama", "stream": true }).to_string();
    let url = format!("{}api/v1/chat", milo.http);
    Command::new("curl").args(["--silent", "--max-time", "1", "--json", &body, &url]).output().expect("curl");
    assert_eq!(server.asked().len(), asked + 1);
    server.left(left + 1).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_the_cloud_is_local_and_nothing_is_wrong() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let milo = milo("keyless", &[("DEFAULT_MODE", "cloud"), ("MILO__ENGINES__LLM__URL", &server.url)]).await;
    assert_eq!(hours(&milo).0["mode"], "local");
    let health = get(&milo, "/api/v1/health");
    assert_eq!((&health["mode"], &health["status"]), (&"local".into(), &"healthy".into()), "{health}");
    assert!(health["notes"][0].as_str().is_some_and(|note| note.contains("ANTHROPIC_API_KEY")), "{health}");
    assert!(server.asked().is_empty());
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_out_of_a_file_that_is_refused_is_told_and_never_shown() {
    let server = Server::start(Conduct::Refuses(401, ("x-said", "no"), "{\"error\":{\"message\":\"bad key\"}}")).await;
    let place = folder("refused-files");
    let (log, key) = (place.join("log"), place.join("key"));
    fs::write(&key, format!("{KEY}\n")).expect("a file");
    // Milo whose words for people go to a file.
    let program = place.join("milo");
    fs::write(&program, format!("#!/bin/sh\nexec {PROGRAM} \"$@\" 2>{}\n", log.display())).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a script");
    let key = key.display().to_string();
    let variables = [
        ("MILO__ENGINES__LLM__ENGINE", "openai"),
        ("MILO__ENGINES__LLM__URL", server.url.as_str()),
        ("MILO__ENGINES__LLM__MODEL", "m"),
        ("MILO__ENGINES__LLM__API_KEY_FILE", key.as_str()),
        ("OPENAI_API_KEY", "another-key-0123456789"),
    ];
    let milo = Running::start(Path::new(&program), &folder("refused"), &variables).await.expect("Milo starts");
    assert_eq!(hours(&milo).0["mode"], "local");
    let bearer = server.asked()[0].headers["authorization"].to_str().expect("text").to_owned();
    assert_eq!(bearer, format!("Bearer {KEY}"), "the file's");
    let health = get(&milo, "/api/v1/health").to_string();
    stop(milo).await;
    let log = fs::read_to_string(&log).expect("its log");
    for text in [&log, &health] {
        assert!(text.contains("does not take the key (401)"), "{text}");
        assert!(!text.contains(KEY) && !text.contains("another-key") && !text.contains("bad key"), "{text}");
    }
    fs::remove_dir_all(place).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_in_the_servers_place() {
    // A request for another host, in the form that proxies get (RFC 9112 section 3.2.2).
    let server = Server::start(Conduct::says(WORDS)).await;
    let own = [("MILO__ENGINES__PROXY", server.url.as_str()), ("MILO__ENGINES__LLM__URL", "http://model.invalid")];
    let milo = asking("proxied", &server, "anthropic", &own).await;
    assert_eq!(hours(&milo).0["mode"], "cloud");
    assert_eq!(server.asked()[0].uri.to_string(), "http://model.invalid/v1/messages");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_over_tls_by_the_authorities_that_are_named_and_by_no_others() {
    let server = Server::start(Conduct::says(WORDS)).await;
    let place = folder("hosted-tls");
    let chain = place.join("chain.pem");
    let acceptor = acceptor(&chain);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    let behind = server.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let mut secured = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(behind).await?;
                copy_bidirectional(&mut secured, &mut plain).await
            });
        }
    });
    let chain = chain.display().to_string();
    let own = [("MILO__ENGINES__LLM__URL", url.as_str()), ("MILO__ENGINES__CA", chain.as_str())];
    let milo = asking("tls", &server, "anthropic", &own).await;
    assert_eq!(hours(&milo).0["mode"], "cloud");
    stop(milo).await;
    // Another's certificate, of the same name.
    let other = place.join("other.pem");
    crate::webhooks::acceptor(&other);
    let other = other.display().to_string();
    let own = [("MILO__ENGINES__LLM__URL", url.as_str()), ("MILO__ENGINES__CA", other.as_str())];
    let milo = asking("tls-unknown", &server, "anthropic", &own).await;
    assert_eq!(hours(&milo).0["mode"], "local");
    let health = get(&milo, "/api/v1/health")["degraded"].to_string();
    assert!(health.contains("cannot be asked") && health.to_lowercase().contains("certificate"), "{health}");
    assert_eq!(server.asked().len(), 1, "the key went to nobody who is not believed");
    stop(milo).await;
    fs::remove_dir_all(place).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_are_answered_by_the_server() {
    let server = Server::start(Conduct::Says(WORDS, Duration::from_millis(300), Duration::ZERO)).await;
    let milo = asking("hundred", &server, "openai", &[("MILO__ENGINES__LLM__FIRST_TOKEN_TIMEOUT_S", "4")]).await;
    let url = format!("{}api/v1/chat", milo.http);
    let all: Vec<_> = (0..100)
        .map(|_| {
            let mut one = Command::new("curl");
            one.args(["--silent", "--max-time", "30", "--json", "{\"message\":\"salama\"}", &url]);
            one.stdout(Stdio::piped()).spawn().expect("curl")
        })
        .collect();
    for one in all {
        let answer = one.wait_with_output().expect("curl ends").stdout;
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!((&answer["mode"], &answer["reply"]), (&"cloud".into(), &WORDS.into()), "{answer}");
    }
    stop(milo).await;
}
