//! A page of another host, with nothing of ours but `/client.js`, talks with Milo: the very page of the client's README.

use std::{path::Path, process::Stdio};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    process::Command,
};

use crate::{
    house::{get, milo, send, send_to, stop},
    page::is_without_chromium,
    web_page::quiet,
};

const README: &str = include_str!("../../web/src/client/README.md");
const KEY: &str = "0123456789abcdef";

/// The ten lines, with the address of this Milo in place of the example's.
fn page(milo: &Running) -> String {
    let (_, behind) = README.split_once("```html\n").expect("the page stands in the README");
    let (page, _) = behind.split_once("```").expect("it ends");
    assert!(page.lines().count() <= 10, "it is ten lines: {page}");
    page.replace("https://milo.example/", &milo.http)
}

/// The page's own server: it has a key, and gives the page tickets.
async fn serve(listener: TcpListener, milo: String, page: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = Vec::new();
        while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n")
            && stream.read_buf(&mut request).await.unwrap_or(0) > 0
        {}
        let request = String::from_utf8_lossy(&request).into_owned();
        let purpose = request.strip_prefix("GET /ticket?for=").and_then(|rest| rest.split_whitespace().next());
        let body = match purpose {
            Some(purpose) => {
                let key = format!("Authorization: Bearer {KEY}");
                let made = send_to(&milo, ("POST", "/api/v1/tickets"), &[&key], &json!({ "for": purpose }));
                made.body["ticket"].as_str().unwrap_or_default().to_owned()
            }
            None if request.starts_with("GET / ") => page.clone(),
            None => String::new(),
        };
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length:";
        stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.ok();
    }
}

async fn talked(own: &str, milo: &Running, way: &str) -> Value {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let mut node = Command::new("timeout");
    node.args(["150", "node", "tests/client.mjs", "--page", own, "--milo", &milo.http, "--way", way]);
    let seen = node.current_dir(web).stdin(Stdio::null()).kill_on_drop(true).output().await.expect("node");
    let says = String::from_utf8_lossy(&seen.stdout);
    assert!(seen.status.success(), "{way}: {says}{}", String::from_utf8_lossy(&seen.stderr));
    println!("{}", says.trim());
    serde_json::from_str(&says).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ten_lines_of_the_readme_talk_with_milo_from_another_host() {
    if is_without_chromium() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
    // By name it is another host than Milo's, and a page that browsers trust with the microphone.
    let own = format!("http://localhost:{}", listener.local_addr().expect("bound").port());
    let milo = milo("client-page", &[("CORS_ORIGINS", &own), ("API_KEY", KEY)]).await;
    let serving = tokio::spawn(serve(listener, milo.http.clone(), page(&milo)));
    for way in ["webrtc", "websocket"] {
        let seen = talked(&own, &milo, way).await;
        let (written, reply) = (&seen["written"], seen["written"]["reply"].as_str().unwrap_or_default());
        assert!(reply.contains("Misokatra") && written["grew"] == reply && written["same"] == true, "{seen}");
        quiet(&milo).await;
        let call = &get(&milo, "/api/v1/calls")["calls"][0];
        assert_eq!((&call["from"], &call["hangup_by"]), (&json!(way), &json!("caller")), "{call}");
    }
    // Pages of other hosts do not even get the file.
    let allowed = |origin: &str| {
        let answer = send(&milo, ("GET", "/client.js"), &[&format!("Origin: {origin}")], &Value::Null);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!((allowed(&own), allowed("https://elsewhere.example")), (Some(own.clone()), None));
    serving.abort();
    stop(milo).await;
}
