//! What is said to everybody: health, figures, the page, and what a server owes to slow and wrong clients.

use super::*;

#[tokio::test]
async fn health_has_the_fields_of_the_python_system_and_more() {
    let house = House::new(healthy()).await;
    let health = house.json("/api/v1/health").await;
    assert_eq!((&health["status"], &health["mode"]), (&json!("healthy"), &json!("local")));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["models_loaded"], json!(["whisper-demo"]));
    assert_eq!(health["vram"].as_object().unwrap().len(), 6);
    assert_eq!((&health["redis_connected"], &health["live_calls"]), (&json!(false), &json!(1)));
    assert_eq!((&health["database"]["kind"], &health["database"]["connected"]), (&json!("sqlite"), &json!(true)));
    assert_eq!((&health["queues"]["stt"], &health["degraded"]), (&json!(2), &json!([])));
    assert!(health["notice"].as_str().unwrap().contains("demonstration"));
    assert_eq!((house.get("/healthz", "").await.0, house.get("/readyz", "").await.0), (200, 200));
}

#[tokio::test]
async fn what_is_wrong_within_is_told_to_those_who_run_milo() {
    let inside = vec!["The trunk \"carrier\" is not registered: 192.0.2.7 says 403.".to_owned()];
    let tools = vec!["find price".to_owned()];
    let shop = McpReport { name: "shop".into(), connected: true, fault: None, tools, seen: None };
    let report = HealthReport { inside: inside.clone(), mcp: vec![shop], ..HealthReport::default() };
    let house = House::new(report.clone()).await;
    assert_eq!(house.json("/api/v1/health").await["degraded"], json!(inside), "this machine, without a key");
    let seen = async |house: &House, headers: &str| -> Value {
        let (status, _, body) = house.get("/api/v1/health", headers).await;
        assert_eq!(status, 200);
        serde_json::from_str(&body).unwrap()
    };
    let stranger = seen(&house, "X-Forwarded-For: 192.0.2.1\r\n").await;
    let told = stranger["degraded"].to_string();
    assert_eq!(stranger["status"], "degraded", "it learns that something is wrong");
    assert_eq!(stranger["mcp"], json!([]), "servers of tools are nobody's business");
    assert!(!told.contains("carrier") && !told.contains("192.0.2.7"), "{told}");
    let http = config::Http { api_key: Some(Secret::new("0123456789abcdef")), ..config::Http::default() };
    let house = House::with(report, &http).await;
    let nameless = seen(&house, "").await["degraded"].to_string();
    assert!(!nameless.contains("carrier"), "behind a proxy that says nothing everybody is here: {nameless}");
    let known = seen(&house, "Authorization: Bearer 0123456789abcdef\r\n").await;
    assert_eq!(known["degraded"], json!(inside));
    assert_eq!((&known["mcp"][0]["name"], &known["mcp"][0]["tools"]), (&json!("shop"), &json!(["find price"])));
}

#[tokio::test]
async fn what_does_not_work_is_named() {
    let degraded = vec!["The voice could not be loaded.".to_owned()];
    let house = House::new(HealthReport {
        degraded,
        unready: Some("All 50 places are taken.".into()),
        ..HealthReport::default()
    })
    .await;
    let health = house.json("/api/v1/health").await;
    assert_eq!((&health["status"], &health["ready"]), (&json!("degraded"), &json!(false)));
    assert_eq!((&health["degraded"][0], &health["notice"]), (&json!("The voice could not be loaded."), &Value::Null));
    let (status, _, body) = house.get("/readyz", "").await;
    assert_eq!((status, body.as_str()), (503, "All 50 places are taken.\n"));
    assert_eq!(house.get("/healthz", "").await.0, 200);
}

#[tokio::test]
async fn trunks_are_listed_without_their_secrets() {
    let settings = config::Trunk {
        name: "carrier".into(),
        username: Some("201".into()),
        password: Some(Secret::new("hush")),
        ..config::Trunk::default()
    };
    let trunk = TrunkReport { settings, state: "failed", last_error: Some("403".into()), ..TrunkReport::default() };
    let house = House::new(HealthReport { trunks: vec![trunk], ..healthy() }).await;
    let list = house.json("/api/v1/trunks").await;
    let trunk = &list["trunks"][0];
    assert_eq!(
        (&trunk["name"], &trunk["username"], &trunk["password"]),
        (&json!("carrier"), &json!("201"), &json!("***"))
    );
    assert_eq!((&trunk["state"], &trunk["last_error"]), (&json!("failed"), &json!("403")));
}

#[tokio::test]
async fn metrics_are_text_and_can_be_switched_off() {
    let house = House::new(healthy()).await;
    house.get("/nothing", "").await;
    let (status, head, body) = house.get("/metrics", "").await;
    assert!(status == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("milo_http_requests_total{status=\"404\"} 1"), "{body}");
    let off = House::with(healthy(), &config::Http { metrics: false, ..config::Http::default() }).await;
    assert_eq!(off.problem("/metrics").await.0, 404);
}

#[tokio::test]
async fn the_page_asks_for_nothing_from_outside_and_may_run_nothing_else() {
    let house = House::new(healthy()).await;
    let (status, head, page) = house.get("/", "").await;
    assert_eq!(status, 200);
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "x-request-id: ",
    ] {
        assert!(head.contains(header), "{header} is not in {head}");
    }
    assert!(
        page.contains("<!doctype html>") && !page.contains("style=\"") && !page.contains("onclick"),
        "the policy forbids both"
    );
    for (accepts, kind) in [("text/html", "text/html"), ("*/*", "application/problem+json")] {
        let (status, head, _) = house.get("/nowhere", &format!("Accept: {accepts}\r\n")).await;
        assert!(status == 404 && head.contains(&format!("content-type: {kind}")), "{accepts}: {status} {head}");
    }
    // The identifier of a proxy before it stays, if it can stand in a log.
    let identifier = async |given: &str| {
        let (_, head, _) = house.get("/healthz", &format!("X-Request-Id: {given}\r\n")).await;
        head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned()
    };
    assert_eq!(identifier("of-a_proxy-17").await, "of-a_proxy-17");
    for wrong in ["short", "two words", "a\"quote\"", &*"x".repeat(65)] {
        let own = identifier(wrong).await;
        assert!(own.parse::<crate::store::Key>().is_ok(), "{wrong}: {own}");
    }
}

#[tokio::test]
async fn slow_and_huge_heads_are_let_go() {
    let house = House::new(healthy()).await;
    let answer = house.raw(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    for (fields, status) in [(64, 200), (65, 431)] {
        let fields = "X: 1\r\n".repeat(fields - 2);
        let answer = house.raw(&format!("GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    assert!(house.raw("nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    // Half a head, and then nothing: after ten seconds the server hangs up.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
}

/// Many a client sends all of its body before it reads: a refusal that comes earlier shall not be lost in a reset.
#[tokio::test]
async fn whoever_still_sends_when_the_answer_comes_reads_it_all_the_same() {
    let house = House::new(healthy()).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let (piece, pieces) = (vec![b'x'; 64 << 10], 64);
    let length = piece.len() * pieces;
    let head = format!("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..pieces {
        tokio::time::sleep(Duration::from_millis(3)).await;
        stream.write_all(&piece).await.expect("the connection takes what is still sent");
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("no reset");
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

/// Bytes that no handler reads (here of a body that nothing takes) do not end the connection: the next request is answered on it.
#[tokio::test]
async fn a_connection_outlives_the_rest_of_a_body() {
    let house = House::new(healthy()).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n0123456789").await.unwrap();
    // The rest is on its way when the request is already refused.
    tokio::time::sleep(Duration::from_millis(100)).await;
    stream.write_all(b"0123456789").await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer[..length]));
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut next = String::new();
    stream.read_to_string(&mut next).await.unwrap();
    assert!(next.contains("HTTP/1.1 200"), "{next}");
    // Whoever asks first whether to send is not asked to send what is refused.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let ask = "POST /nothing HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let length = stream.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer[..length]));
    // Of a rest that is too long the connection ends, and what comes behind it is no request.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let body = vec![b'x'; 1 << 20];
    let head = format!("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), &body[..]].concat()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert!(answers.starts_with("HTTP/1.1 404") && !answers.contains("HTTP/1.1 200"), "{answers}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let house = House::new(healthy()).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = "POST /api/v1/dialplans/test HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
    let rest = "Expect: 100-continue\r\nContent-Length: 99\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{head}{rest}").as_bytes()).await.unwrap();
    let mut asked = vec![0; 4_096];
    let length = stream.read(&mut asked).await.unwrap();
    assert!(asked[..length].starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&asked[..length]));
    // It is waited for. From here on the clock jumps to whatever else is.
    tokio::time::pause();
    let mut answer = String::new();
    let answered = tokio::time::timeout(Duration::from_secs(100), stream.read_to_string(&mut answer)).await;
    answered.expect("there is no answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("took too long"), "{answer}");
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_end_is_quick() {
    let mut house = House::new(healthy()).await;
    let said = bind(house.address).await.unwrap_err();
    assert!(said.contains(&house.address.to_string()) && said.contains("another program listens there"), "{said}");
    // A client that stays connected does not keep the server from ending.
    let _idle = TcpStream::connect(house.address).await.unwrap();
    let mut kept = TcpStream::connect(house.address).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4_096];
    let length = kept.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    house.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), &mut house.task).await.unwrap().unwrap();
    // Nor is it answered any more.
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.ok();
    let mut after = Vec::new();
    kept.read_to_end(&mut after).await.ok();
    assert!(!String::from_utf8_lossy(&after).contains("HTTP/1.1"), "{}", String::from_utf8_lossy(&after));
}

#[tokio::test]
async fn what_a_client_sends_wrongly_gets_a_sentence() {
    let house = House::new(healthy()).await;
    for (path, status, said) in [
        ("/api/v1/calls?limit=0", 400, "`limit` is a number from 1 to 200"),
        ("/api/v1/calls?limit=many", 400, "`limit` is a number from 1 to 200"),
        ("/api/v1/calls?cursor=x", 400, "`cursor` is not the `next` of an earlier page"),
        ("/api/v1/calls?cursor=01890000-0000-7000-8000-000000000000", 400, "no longer in the log"),
        ("/api/v1/calls?lmit=3", 400, "takes `limit`, `cursor`, `number`"),
        ("/api/v1/calls?limit=1&limit=2", 400, "once each"),
        ("/api/v1/calls?since=yesterday", 400, "RFC 3339"),
        ("/api/v1/calls?outcome=good", 400, "no answer"),
        ("/api/v1/calls?direction=up", 400, "in or out"),
        ("/api/v1/calls?live=maybe", 400, "true or false"),
        ("/api/v1/calls?text=%2B%2B", 400, "1 to 16 words"),
        ("/api/v1/calls/export?limit=3", 400, "csv or jsonl"),
        ("/api/v1/calls/export?format=xml", 400, "csv or jsonl"),
        ("/api/v1/calls/01890000-0000-7000-8000-000000000000", 404, "no call with this identifier"),
        ("/api/v1/calls/..%2f..%2fetc%2fpasswd", 404, "no call with this identifier"),
        ("/api/v1/calls/%27%3B--", 404, "no call with this identifier"),
        ("/api/v1/nothing", 404, "nothing at this address"),
        ("/nothing", 404, "nothing at this address"),
    ] {
        let (got, detail) = house.problem(path).await;
        assert!(got == status && detail.contains(said), "{path}: {got} {detail}");
    }
    let answer =
        house.raw("PUT /api/v1/calls HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.to_ascii_lowercase();
    assert!(
        answer.starts_with("http/1.1 405") && answer.contains("allow: get") && answer.contains("problem+json"),
        "{answer}"
    );
}
