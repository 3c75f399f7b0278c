//! What can go wrong with a call over a WebSocket, on either side: each is told, and leaves nothing behind.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tokio::{
    net::TcpSocket,
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame, FrameHeader,
        coding::{Data, OpCode},
    },
};

use crate::{
    house::{MILO, ended, get, milo, send, stop, with_plans_and},
    web_page::{open, open_with, quiet},
};

const PATH: &str = "/api/v1/conversation";
const KEY: &str = "0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_named_and_closed_with_its_code() {
    let milo = milo("web-bad", &[]).await;
    let binary = |bytes: usize| Message::binary(vec![1; bytes]);
    let broken = || {
        let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
        Message::Frame(Frame::from_payload(header, vec![0xff, 0xfe].into()))
    };
    for (what, message, code, says) in [
        ("half a sample", binary(641), 1007, "641 bytes"),
        ("a message that is too long", binary(65_538), 1009, "64 kB"),
        ("ten megabytes", binary(10 << 20), 1009, "64 kB"),
        ("sound as text", Message::text("UklGRiQAAABXQVZF"), 1007, "JSON"),
        ("broken JSON", Message::text("{\"type\":"), 1007, "JSON"),
        ("a text without a type", Message::text("{\"sound\":\"UklG\"}"), 1003, "`type`"),
        ("no UTF-8", broken(), 1007, "UTF-8"),
    ] {
        let mut page = open(&milo, "stream=1").await;
        let id = page.call().await;
        page.put(message).await;
        let (closed, reason) = page.closed().await;
        assert_eq!(closed, code, "{what}: {reason}");
        assert!(reason.contains(says), "{what}: {reason}");
        let error = page.said("error");
        assert!(error[0]["error"].as_str().is_some_and(|error| error.contains(says)), "{what}: {error:?}");
        let call = ended(&milo, &id).await;
        assert_eq!(call["hangup_by"], "caller", "{what}: {call}");
    }
    // What is only strange is told, and the call goes on.
    let mut page = open(&milo, "stream=1").await;
    for strange in [r#"{"type":"start"}"#, r#"{"type":"dtmf","digit":"E"}"#] {
        page.text(strange).await;
    }
    page.nth(2, "error", |_| true).await;
    page.put(binary(0)).await;
    page.nth(1, "reply_text", |said| said["partial"] == false).await;
    page.close().await;
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_or_cannot_call_is_refused_before_the_socket_opens() {
    let reject = "[[plan]]\nname = 'no'\nnumber = 'no'\nlanguage = 'mg'\nactions = [{ reject = { status = 403 } }]\n";
    let variables = [("API_KEY", KEY), ("MILO__LIMITS__CALLS", "1"), ("CORS_ORIGINS", r#"["https://app.example"]"#)];
    let milo = with_plans_and("web-refused", &[reject, &MILO.replace("'milo'", "'other'")].concat(), &variables).await;
    let bearer = format!("Bearer {KEY}");
    let admin = format!("Authorization: {bearer}");
    let key = |scope: &str| {
        let wanted = json!({ "name": scope, "scopes": [scope], "tier": "enterprise" });
        let made = send(&milo, ("POST", "/api/v1/keys"), &[&admin], &wanted);
        format!("Bearer {}", made.body["key"].as_str().expect("a key"))
    };
    let (text, reads) = (key("text"), key("read"));
    let tried = async |query: &str, headers: &[(&'static str, &str)]| {
        open_with(&milo, &format!("{PATH}{query}"), headers).await.err().unwrap_or(101)
    };
    for (query, headers, status) in [
        ("", &[][..], 401),
        ("?api_key=wrong", &[], 401),
        ("?ticket=ticket_none", &[], 401),
        ("", &[("authorization", "Bearer wrong")], 401),
        (&format!("?api_key={KEY}"), &[("authorization", "Bearer wrong")], 401),
        ("", &[("authorization", &reads)], 403),
        ("", &[("authorization", &text), ("origin", "https://evil.example")], 403),
        ("?number=other", &[("authorization", &text)], 403),
        ("?number=no", &[("authorization", &bearer)], 422),
        ("?number=nobody", &[("authorization", &bearer)], 422),
        ("?session_id=a%20b", &[("authorization", &bearer)], 422),
        ("?stream=2", &[("authorization", &bearer)], 400),
        ("?strange=1", &[("authorization", &bearer)], 400),
        ("", &[("authorization", &bearer), ("sec-websocket-version", "12")], 426),
        ("", &[("authorization", &bearer), ("sec-websocket-key", "short")], 400),
    ] {
        assert_eq!(tried(query, headers).await, status, "{query} {headers:?}");
    }
    let plain = send(&milo, ("GET", PATH), &[&admin], &Value::Null);
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")), "{plain:?}");
    assert!(plain.body["detail"].is_string());

    // A page of Milo's own host, and one of the list; and while one is there, the house is full.
    let host = milo.http.trim_end_matches('/').to_owned();
    for origin in [host.as_str(), "https://app.example"] {
        let headers = [("authorization", text.as_str()), ("origin", origin)];
        let page = open_with(&milo, PATH, &headers).await.expect(origin);
        page.call().await;
        assert_eq!(tried("", &[("authorization", &text)]).await, 503, "one call at a time");
        let health = send(&milo, ("GET", "/readyz"), &[], &Value::Null);
        assert_eq!(health.status, 503, "{health:?}");
        // Telephones count it, too.
        let target = milo.udp("milo").expect("an address");
        let phone = milo::phone::Phone::new(&target, None, tokio::runtime::Handle::current()).expect("a telephone");
        let called = phone.call(&crate::house::errand(target, &[])).await;
        assert!(called.is_err_and(|error| error.to_string().contains("503")));
        phone.shutdown().await;
        page.close().await;
        quiet(&milo).await;
    }
    let page = open_with(&milo, &format!("{PATH}?number=other"), &[("authorization", &bearer)]).await;
    page.expect("an admin may call any number").close().await;
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_however_it_ends_and_says_why() {
    let variables = [("MILO__MEDIA__RTP_TIMEOUT_S", "1"), ("MILO__DRAIN__SECONDS", "1")];
    let milo = milo("web-ends", &variables).await;
    // Nothing is ever sent: four times as long as a telephone may be silent that does not say so.
    let silent = open(&milo, "").await;
    let (code, reason) = silent.closed().await;
    assert_eq!((code, reason.as_str()), (1008, "no sound came for too long"));
    assert_eq!(silent.said("error")[0]["error"], reason.as_str());
    assert_eq!(ended(&milo, &silent.call().await).await["hangup_by"], "network");

    let mut spoken_to = open(&milo, "stream=1").await;
    let id = spoken_to.call().await;
    let path = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    spoken_to.speak(&[0; 3_200], 320).await;
    assert_eq!(send(&milo, ("DELETE", &path), &[], &Value::Null).status, 202);
    let (code, reason) = spoken_to.closed().await;
    assert_eq!((code, reason.as_str()), (1000, "somebody ended it by the API"));
    assert_eq!(ended(&milo, &id).await["hangup_by"], "milo");

    // The connection is cut, without a word.
    let gone = open(&milo, "stream=1").await;
    let id = gone.call().await;
    let left = Instant::now();
    drop(gone);
    let call = ended(&milo, &id).await;
    assert!(left.elapsed() < Duration::from_secs(5), "{:?}", left.elapsed());
    assert_eq!(
        (&call["hangup_by"], &call["end_reason"]),
        (&json!("caller"), &json!("the other side hung up")),
        "{call}"
    );
    quiet(&milo).await;

    let last = open(&milo, "").await;
    let folder = milo.folder().to_owned();
    milo.signal("TERM").await.expect("a signal");
    let (code, reason) = last.closed().await;
    assert_eq!((code, reason.as_str()), (1001, "Milo is ending"));
    milo.stop().await.expect("it ends in order");
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_visits_leave_everything_as_it_was() {
    let milo = milo("web-hundred", &[]).await;
    let pid = milo.pid().expect("it runs");
    let files = || fs::read_dir(format!("/proc/{pid}/fd")).expect("Linux").count();
    let visit = async |stream: bool| {
        let mut page = open(&milo, if stream { "stream=1" } else { "" }).await;
        page.call().await;
        page.speak(&[500; 640], 320).await;
        if stream { drop(page.close().await) } else { drop(page) }
    };
    for n in 0..10 {
        visit(n % 2 == 0).await;
    }
    quiet(&milo).await;
    let (open_before, memory) = (files(), milo.cost().expect("Linux").memory);
    for n in 0..100 {
        visit(n % 2 == 0).await;
    }
    quiet(&milo).await;
    let began = Instant::now();
    while files() > open_before && began.elapsed() < Duration::from_secs(40) {
        sleep(Duration::from_millis(200)).await;
    }
    assert!(files() <= open_before, "{} files, {open_before} before", files());
    let grown = milo.cost().expect("Linux").memory.saturating_sub(memory) >> 20;
    assert!(grown < 40, "{grown} MB more");
    assert_eq!(get(&milo, "/api/v1/calls?limit=200")["calls"].as_array().map(Vec::len), Some(110));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_is_let_go() {
    let plan = "[[plan]]\nname = 'music'\nnumber = 'music'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { music = { seconds = 600 } }]\n";
    let milo = with_plans_and("web-deaf", plan, &[]).await;
    let host = milo.http.trim_start_matches("http://").trim_end_matches('/');
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let stream = socket.connect(host.parse().expect("an address")).await.expect("Milo listens");
    let url = format!("ws://{host}{PATH}?stream=1&number=music");
    let (open, _) = timeout(Duration::from_secs(10), tokio_tungstenite::client_async(url, stream))
        .await
        .expect("an answer")
        .expect("it opens");
    // 32 kB a second fill what the system holds of it, then the outbox: then it is enough.
    let mut call = Value::Null;
    for _ in 0..900 {
        call = get(&milo, "/api/v1/calls")["calls"][0].clone();
        if call["ended"].is_string() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(call["hangup_by"], "caller", "{call}");
    drop(open);
    quiet(&milo).await;
    stop(milo).await;
}
