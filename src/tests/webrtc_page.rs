//! A call from a page in Chromium, with a microphone that plays a recording.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
    sync::mpsc,
    time::timeout,
};

use crate::{
    house::{MG_HOURS, answered, assert_turn, ended, folder, milo, stop, wrong_words},
    page::is_without_chromium,
    web_page::{quiet, spoken},
};

const PAGE: &str = include_str!("webrtc_page.html");

/// Serves the page, and passes on what it tells.
async fn serve(listener: TcpListener, page: String, seen: mpsc::Sender<Value>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (page, seen) = (page.clone(), seen.clone());
        tokio::spawn(async move {
            let mut request = Vec::new();
            let body = loop {
                if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
                    return;
                }
                let text = String::from_utf8_lossy(&request);
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0usize) {
                    break body.to_owned();
                }
            };
            let answer = if request.starts_with(b"POST") {
                seen.send(serde_json::from_str(&body).expect("JSON")).await.ok();
                String::new()
            } else {
                page
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                answer.len()
            );
            stream.write_all((head + &answer).as_bytes()).await.ok();
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_chromium_talks_trickles_begins_ice_anew_and_hangs_up() {
    if is_without_chromium() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    let own = format!("http://{}", listener.local_addr().expect("bound"));
    let milo = milo("webrtc-page", &[("CORS_ORIGINS", &own)]).await;
    let (seen, mut told) = mpsc::channel(1_000);
    let page = PAGE.replace("MILO", &format!("{:?}", milo.http));
    let serving = tokio::spawn(serve(listener, page, seen));

    // The greeting takes five seconds; what is said then is said once.
    let profile = folder("webrtc-page-profile");
    let mut sound = vec![0; 16_000 * 9];
    sound.extend(spoken("mg_hours.wav", 20_000));
    let microphone = profile.join("microphone.wav");
    std::fs::write(&microphone, milo_media::wav::bytes(&sound)).expect("a temporary folder");
    let mut chromium = Command::new("timeout");
    chromium.args([
        "120",
        "chromium",
        "--headless",
        "--disable-gpu",
        "--no-first-run",
        "--no-sandbox",
        "--disable-sync",
    ]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0"]);
    chromium.args(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]);
    chromium.args(["--autoplay-policy=no-user-gesture-required"]);
    chromium.arg(format!("--use-file-for-fake-audio-capture={}%noloop", microphone.display()));
    chromium.arg(format!("--user-data-dir={}", profile.display())).arg(format!("{own}/"));
    let mut chromium =
        chromium.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().expect("chromium");

    let mut all = Vec::new();
    loop {
        let next = timeout(Duration::from_secs(60), told.recv()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing more came: {all:#?}")).expect("it is served");
        assert!(next["failed"].is_null(), "{next}");
        all.push(next);
        if all.last().is_some_and(|last| !last["done"].is_null()) {
            break;
        }
    }
    let first = |key: &str| all.iter().find(|one| !one[key].is_null()).unwrap_or_else(|| panic!("no {key}: {all:#?}"));
    let message = |kind: &str, is_it: fn(&Value) -> bool| {
        let found = all.iter().map(|one| &one["message"]).find(|message| message["type"] == kind && is_it(message));
        found.unwrap_or_else(|| panic!("no {kind}: {all:#?}"))
    };
    let connected = all.iter().find(|one| one["state"] == "connected").expect("connected");
    println!("Chromium is connected {} ms after the page began", connected["ms"]);
    assert_eq!(first("trickled")["trickled"], 204);
    let heard = message("transcript", |said| said["partial"] == false);
    assert!(wrong_words(MG_HOURS.0, heard["text"].as_str().expect("words")) <= 2, "{heard}");
    let reply = message("reply_text", |said| said["total_ms"].is_number());
    assert!(reply["text"].as_str().is_some_and(|text| text.contains(MG_HOURS.1)), "{reply}");
    let sound = &first("heard")["heard"];
    assert!(sound["energy"].as_f64().is_some_and(|energy| energy > 0.01), "{sound}");
    let anew = first("restarted");
    assert_eq!((&anew["restarted"], &anew["state"]), (&200.into(), &"connected".into()), "{anew}");
    // Nothing is said then: Opus shows every 400 ms that it is there (RFC 7587 section 3.1.3).
    assert!(anew["packets"].as_u64().is_some_and(|packets| packets > 3), "{anew}");
    assert_eq!(first("done")["done"], 200);
    let call = ended(&milo, &message("session", |_| true)["call_id"]).await;
    assert_eq!(call["hangup_by"], "caller", "{call}");
    assert_turn(answered(&call)[0], "mg", MG_HOURS.0, MG_HOURS.1);
    quiet(&milo).await;
    chromium.kill().await.ok();
    serving.abort();
    std::fs::remove_dir_all(profile).ok();
    stop(milo).await;
}
