//! The whole surface over a real socket.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use milo_media::PortPool;
use milo_signaling::{Endpoint, EndpointConfig, Ladders, Telephones};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::*;
use crate::{
    accounts::Book,
    agent::SetPhrases,
    call::Placement,
    config::{self, Secret, SecretUrl},
    dialplan::{Origin, Surroundings},
    engines::Model,
    store::{CallLog, Ending, HangupBy, NewCall, NewTurn, Places, Stages, Stamp},
    trunk::{TrunkReport, Trunks},
};

const PLANS: &str = "
[[plan]]
name = 'sales'
number = '020*'
trunk = 'orange'
headers = { X-Queue = 'sales' }
language = 'mg'
variables = ['name']
actions = [{ answer = {} }, { echo = {} }]

[[plan]]
name = 'hidden'
number = '777'
from = '0399'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]

[[plan]]
name = 'others'
number = '*'
language = 'fr'
actions = [{ reject = { status = 404 } }]
";

/// A server on a free port, over a log in a folder of its own.
struct House {
    address: SocketAddr,
    log: LogWriter,
    folder: PathBuf,
    placements: mpsc::Receiver<Placement>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl House {
    async fn new(health: HealthReport) -> Self {
        Self::with(health, &config::Http::default()).await
    }

    async fn with(health: HealthReport, http: &config::Http) -> Self {
        Self::paced(health, http, config::RateLimits::default()).await
    }

    async fn paced(health: HealthReport, http: &config::Http, rate_limits: config::RateLimits) -> Self {
        let folder = std::env::temp_dir().join(format!("milo-http-{}", crate::store::Key::new()));
        let store = Store::open(&SecretUrl::new(format!("sqlite:{}/milo.db", folder.display()))).await.unwrap();
        let (log, _) = LogWriter::start(store.clone(), "n");
        let plans = folder.join("plans");
        std::fs::create_dir_all(&plans).unwrap();
        std::fs::write(plans.join("plans.toml"), PLANS).unwrap();
        let origin = Origin::Folder(plans);
        let around = Surroundings::default();
        let first = origin.read(&around).unwrap();
        let make = |dialplans| async { Ok((dialplans, SetPhrases::default())) };
        let (editions, _) = Editions::start((origin, around), first, None, make).await.unwrap();
        let metrics = Arc::new(Metrics::new());
        let pool = PortPool::new([127, 0, 0, 1].into(), 0..=0);
        let here = tokio::runtime::Handle::current();
        let (endpoint, _) = Endpoint::bind(EndpointConfig::default(), Arc::new(pool), here).unwrap();
        let caller = endpoint.caller().clone();
        let accounts = Arc::new(Accounts::new(tokio::sync::watch::channel(Book::default()).1, Telephones::default()));
        let sip = Arc::new(SipSeen::new(Ladders::default(), 0));
        let live: Arc<Live> = Arc::default();
        let ways = (editions.clone(), Trunks::default());
        let writers = (log.clone(), Arc::clone(&metrics));
        let (calls_out, placements) = CallsOut::new(ways, writers, (Arc::clone(&live), Arc::clone(&sip)), 2, || true);
        let (texts, _) =
            Texts::new(Trunks::default(), Arc::clone(&accounts), caller.clone(), (log.clone(), Arc::clone(&metrics)));
        let keys = Arc::new(Keys::open(&store, http.api_key.as_ref()).await.unwrap());
        let config = Config { http: http.clone(), rate_limits, ..Config::default() };
        let state = AppState::new(
            &config,
            (store, keys, editions),
            log.clone(),
            (live, sip, accounts, caller),
            (calls_out, texts),
            metrics,
            move || health.clone(),
        );
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, router(state, None), async { stopped.await.unwrap_or(()) }));
        Self { address, log, folder, placements, stop: Some(stop), task }
    }

    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// Status and JSON of a POST.
    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let (host, length) = (self.address, body.len());
        let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close");
        let answer = self.raw(&format!("{head}\r\nContent-Type: application/json\r\n\r\n{body}")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    /// Status, head and body of a GET.
    async fn get(&self, path: &str, headers: &str) -> (u16, String, String) {
        let host = self.address;
        let answer =
            self.raw(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n")).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, _, body) = self.get(path, "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn problem(&self, path: &str) -> (u16, String) {
        let (status, head, body) = self.get(path, "").await;
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((body["status"].as_u64(), body["type"].as_str()), (Some(status.into()), Some("about:blank")));
        (status, body["detail"].as_str().unwrap().into())
    }

    fn call(&self) -> CallLog {
        self.log.begin(NewCall {
            call_id: "c".into(),
            incoming: true,
            from: "0341234567".into(),
            to: "milo".into(),
            dialplan: Some("assistant".into()),
            language: Some("mg".into()),
            started: Stamp::from_millis(1_000),
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.task.abort();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn healthy() -> HealthReport {
    HealthReport {
        models: vec![Model { name: "whisper-demo".into(), job: "stt", demonstration: true }],
        queues: vec![("stt", 2)],
        live_calls: 1,
        call_limit: 50,
        dial: vec![Dial { number: "milo".into(), uri: "sip:milo@127.0.0.1:5060".into() }],
        ..HealthReport::default()
    }
}

#[tokio::test]
async fn health_has_the_fields_of_the_python_system_and_more() {
    let house = House::new(healthy()).await;
    let health = house.json("/api/v1/health").await;
    assert_eq!((&health["status"], &health["mode"]), (&json!("healthy"), &json!("local")));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health["models_loaded"], json!(["whisper-demo"]));
    assert_eq!(health["vram"].as_object().unwrap().len(), 5);
    assert_eq!((&health["redis_connected"], &health["live_calls"]), (&json!(false), &json!(1)));
    assert_eq!((&health["database"]["kind"], &health["database"]["connected"]), (&json!("sqlite"), &json!(true)));
    assert_eq!((&health["queues"]["stt"], &health["degraded"]), (&json!(2), &json!([])));
    assert!(health["notice"].as_str().unwrap().contains("demonstration"));
    assert_eq!((house.get("/healthz", "").await.0, house.get("/readyz", "").await.0), (200, 200));
}

#[tokio::test]
async fn what_is_wrong_within_is_told_to_those_who_run_milo() {
    let inside = vec!["The trunk \"carrier\" is not registered: 192.0.2.7 says 403.".to_owned()];
    let report = HealthReport { inside: inside.clone(), ..HealthReport::default() };
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
    assert!(!told.contains("carrier") && !told.contains("192.0.2.7"), "{told}");
    let http = config::Http { api_key: Some(Secret::new("0123456789abcdef")), ..config::Http::default() };
    let house = House::with(report, &http).await;
    let nameless = seen(&house, "").await["degraded"].to_string();
    assert!(!nameless.contains("carrier"), "behind a proxy that says nothing everybody is here: {nameless}");
    let known = seen(&house, "Authorization: Bearer 0123456789abcdef\r\n").await;
    assert_eq!(known["degraded"], json!(inside));
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
async fn the_call_log_is_listed_and_each_call_shown() {
    let house = House::new(healthy()).await;
    let call = house.call();
    call.answered(Stamp::from_millis(1_200));
    call.turn(NewTurn {
        at: Stamp::from_millis(2_000),
        heard: Some("Salama".into()),
        said: Some("Salama tompoko".into()),
        said_heard: Some("Salama".into()),
        interrupted: true,
        confidence: Some(0.9),
        language: Some("mg".into()),
        mode: Some("local".into()),
        stages: Stages { stt_ms: Some(80.0), ..Stages::default() },
        recording_at_ms: Places { said_from: Some(2_040), ..Places::default() },
    });
    call.event(Stamp::from_millis(2_500), "digit", json!({"digit": "5"}));
    let id = call.key();
    call.end(Ending {
        at: Stamp::from_millis(3_000),
        reason: "BYE".into(),
        by: HangupBy::Caller,
        language: None,
        quality: Some(serde_json::json!([{"leg": "caller", "mos": 4.2}])),
        outcome: None,
    });
    drop([house.call(), house.call()]);
    assert!(house.log.flush(Duration::from_secs(10)).await);

    let one = house.json(&format!("/api/v1/calls/{id}")).await;
    assert_eq!(
        (&one["from"], &one["to"], &one["ended"]),
        (&json!("0341234567"), &json!("milo"), &json!("1970-01-01T00:00:03Z"))
    );
    assert_eq!(
        (&one["turns"][0]["said_heard"], &one["turns"][0]["stages"]["stt_ms"]),
        (&json!("Salama"), &json!(80.0))
    );
    assert_eq!(one["turns"][0]["recording_at_ms"], json!({ "heard_from": null, "heard_to": null, "said_from": 2_040 }));
    assert_eq!((&one["events"][0]["kind"], &one["turn_count"]), (&json!("digit"), &json!(1)));

    let page = house.json("/api/v1/calls?limit=2").await;
    assert_eq!(page["calls"].as_array().unwrap().len(), 2);
    let rest = house.json(&format!("/api/v1/calls?limit=2&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((rest["calls"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
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

#[tokio::test]
async fn a_stranger_needs_the_key() {
    let key = config::Http { api_key: Some(Secret::new("0123456789abcdef")), ..config::Http::default() };
    let house = House::with(healthy(), &key).await;
    house.log.flush(Duration::from_secs(10)).await;
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\n";
    for path in ["/api/v1/calls", "/api/v1/calls/x", "/api/v1/trunks", "/api/v1/dialplans", "/metrics"] {
        let (status, head, body) = house.get(path, forwarded).await;
        assert!(
            status == 401 && head.contains("www-authenticate: bearer") && body.contains("API_KEY"),
            "{path}: {body}"
        );
    }
    let right = format!("{forwarded}Authorization: Bearer 0123456789abcdef\r\n");
    assert_eq!(house.get("/api/v1/calls", &right).await.0, 200);
    // What costs money needs it from here too: behind a proxy that says nothing of it everybody is here.
    let head = format!("POST /api/v1/calls HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", house.address);
    let place = |key: &str| format!("{head}{key}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
    assert!(house.raw(&place("")).await.starts_with("HTTP/1.1 401"));
    assert!(house.raw(&place("Authorization: Bearer 0123456789abcdef\r\n")).await.starts_with("HTTP/1.1 4"));
    assert!(!house.raw(&place("Authorization: Bearer 0123456789abcdef\r\n")).await.starts_with("HTTP/1.1 401"));
    assert_eq!(house.get("/metrics", &right).await.0, 200);
    assert_eq!(house.get("/api/v1/health", forwarded).await.0, 200);
    let order = |key: &str| {
        let head = "POST /api/v1/calls/01890000-0000-7000-8000-000000000000/recording HTTP/1.1\r\nHost: x\r\n";
        let rest =
            "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"action\": \"stop\"}";
        format!("{head}{key}{rest}")
    };
    assert!(house.raw(&order(forwarded)).await.starts_with("HTTP/1.1 401"), "a recording is nobody else's to end");
    assert!(house.raw(&order(&right)).await.starts_with("HTTP/1.1 404"));
    for path in ["/api/v1/dialplans/test", "/api/v1/dialplans/reload", "/api/v1/calls"] {
        let asked = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{forwarded}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        let answer = house.raw(&asked).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_call_is_placed_once_and_not_beyond_what_is_allowed() {
    let mut house = House::new(healthy()).await;
    let call = |more: Value| {
        let mut call = json!({ "to": "sip:100@127.0.0.1:9", "plan": "sales" });
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call.to_string()
    };
    for (more, status, said) in [
        (json!({ "plan": "sale" }), 422, "plan \"sale\" is not the name of a plan; there are sales, hidden, others"),
        (json!({ "plan": null }), 422, "none is called \"outgoing\""),
        (json!({ "plan": "others" }), 422, "the plan \"others\" refuses its calls"),
        (json!({ "to": "tel:+261" }), 422, "is neither a number"),
        (json!({ "to": "" }), 422, "is neither a number"),
        (json!({ "to": "sip:1@h;transport=carrier-pigeon" }), 422, "is neither a number"),
        (json!({ "to": "034" }), 422, "there is none with a gateway"),
        (json!({ "to": "034", "trunk": "orange" }), 422, "trunk \"orange\" is not the name"),
        (json!({ "to": "034", "trunk": vec!["orange"; 9] }), 422, "over 1 to 8 trunks"),
        (json!({ "trunk": "orange" }), 422, "a SIP address over none"),
        (json!({ "variables": { "x": "1" } }), 422, "no plan knows the variable \"x\""),
        (json!({ "variables": { "name": "x".repeat(1_001) } }), 422, "longer than 1000"),
        (json!({ "variables": { "name": [] } }), 422, "neither a text nor a number"),
        (json!({ "caller_id": "<sip:boss@bank>" }), 422, "is no number or name"),
        (json!({ "ring_timeout_s": 0 }), 422, "not within 1 to 180"),
        (json!({ "idempotency_key": "" }), 400, "1 to 255 characters"),
        (json!({ "idempotency_key": "x".repeat(256) }), 400, "1 to 255 characters"),
        (json!({ "whom": "1" }), 400, "unknown field `whom`"),
    ] {
        let (got, told) = house.post("/api/v1/calls", &call(more.clone())).await;
        assert!(got == status && told["detail"].as_str().unwrap().contains(said), "{more}: {got} {told}");
    }
    assert_eq!(house.post("/api/v1/calls", "").await.0, 400);
    assert!(house.placements.try_recv().is_err(), "nothing of it was placed");

    let wanted = call(json!({ "idempotency_key": "k", "variables": { "name": 7 } }));
    let (status, first) = house.post("/api/v1/calls", &wanted).await;
    assert_eq!((status, &first["to"], &first["plan"]), (202, &json!("100"), &json!("sales")), "{first}");
    let row = house.json(&format!("/api/v1/calls/{}", first["id"].as_str().unwrap())).await;
    assert_eq!((&row["direction"], &row["from"], &row["outcome"]), (&json!("out"), &json!("milo"), &Value::Null));
    assert_eq!(house.post("/api/v1/calls", &wanted).await, (200, first));
    let (status, told) = house.post("/api/v1/calls", &call(json!({ "idempotency_key": "k" }))).await;
    assert!(status == 422 && told["detail"].as_str().unwrap().contains("stands for another call"), "{told}");
    let placed = house.placements.try_recv().expect("one call");
    assert!(house.placements.try_recv().is_err(), "and only one");

    // Two may be up, and the first is not over.
    let other = call(json!({ "to": "sip:200@127.0.0.1:9" }));
    assert_eq!(house.post("/api/v1/calls", &other).await.0, 202);
    let (status, told) = house.post("/api/v1/calls", &other).await;
    assert!(status == 503 && told["detail"].as_str().unwrap().contains("[limits] calls"), "{told}");
    drop(placed);
    assert_eq!(house.post("/api/v1/calls", &other).await.0, 202);
    house.placements.close();
    let (status, told) = house.post("/api/v1/calls", &call(json!({ "to": "sip:300@127.0.0.1:9" }))).await;
    assert!(status == 503 && told["detail"].as_str().unwrap().contains("Milo is ending"), "{told}");
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
    for file in ["/milo.css", "/milo.js", "/milo.svg"] {
        assert!(page.contains(file), "{file} is not used");
        let (status, _, text) = house.get(file, "").await;
        let outside = text.replace("http://www.w3.org/", "");
        assert!(
            status == 200 && !outside.contains("http://") && !outside.contains("https://") && !text.contains("url("),
            "{file}"
        );
    }
}

#[tokio::test]
async fn slow_and_huge_heads_are_let_go() {
    let house = House::new(healthy()).await;
    let answer = house.raw(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000))).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(house.raw("nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    // Half a head, and then nothing: after ten seconds the server hangs up.
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_end_is_quick() {
    let mut house = House::new(healthy()).await;
    let said = bind(house.address).await.unwrap_err();
    assert!(said.contains(&house.address.to_string()) && said.contains("another program listens there"), "{said}");
    // A client that stays connected does not keep the server from ending.
    let _idle = TcpStream::connect(house.address).await.unwrap();
    house.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(2), &mut house.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn dialplans_are_listed_tested_and_reloaded() {
    let house = House::new(healthy()).await;
    let list = house.json("/api/v1/dialplans").await;
    assert_eq!((&list["edition"], &list["faults"]), (&json!(1), &json!([])));
    assert_eq!((&list["plans"][0]["name"], &list["plans"][1]["line"]), (&json!("sales"), &json!(11)), "{list}");
    assert_eq!(list["plans"][0]["verbs"], json!(["answer", "echo"]));

    let call = json!({
        "from": "034", "to": "0201", "trunk": "orange", "headers": {"x-queue": "sales"}, "at": "2026-11-30T10:00:00+03:00",
    });
    let (status, told) = house.post("/api/v1/dialplans/test", &call.to_string()).await;
    assert_eq!((status, &told["plan"], &told["plans"][0]["runs"]), (200, &json!("sales"), &json!(true)));
    assert_eq!(told["plans"][2]["why"], json!("\"sales\" comes before it and fits"));
    let (_, told) = house.post("/api/v1/dialplans/test", r#"{"from": "034", "to": "0201"}"#).await;
    assert_eq!(
        (&told["plan"], &told["plans"][0]["why"]),
        (&json!("others"), &json!("trunk: the call comes over none"))
    );
    let asserted = r#"{"from": "anonymous", "asserted": "0399", "to": "777"}"#;
    let (_, told) = house.post("/api/v1/dialplans/test", asserted).await;
    assert_eq!(told["plan"], json!("hidden"), "who shows no number is known by the one that is asserted");
    for wrong in [r#"{"to": "1", "at": "noon"}"#, r#"{"too": "1"}"#, "", "[]"] {
        let (status, told) = house.post("/api/v1/dialplans/test", wrong).await;
        assert_eq!(status, 400, "{wrong}: {told}");
    }

    let file = house.folder.join("plans/plans.toml");
    std::fs::write(&file, PLANS.replace("echo", "ecko")).unwrap();
    let (status, told) = house.post("/api/v1/dialplans/reload", "").await;
    assert_eq!(status, 422);
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("plans.toml, line 9: plan \"sales\"") && detail.contains("ecko"), "{detail}");
    let list = house.json("/api/v1/dialplans").await;
    assert_eq!((&list["edition"], &list["faults"][0]["line"]), (&json!(1), &json!(9)));
    std::fs::write(&file, PLANS.replace("sales", "orders")).unwrap();
    let (status, told) = house.post("/api/v1/dialplans/reload", "").await;
    // The keeper itself may have looked in between, and made an edition of it.
    assert!(told["edition"].as_u64() > Some(1), "{told}");
    assert_eq!((status, &told["plans"][0]["name"]), (200, &json!("orders")));
    assert_eq!(house.get("/api/v1/dialplans", "Authorization: Bearer wrong\r\n").await.0, 200, "no key is set");
}

#[tokio::test]
async fn dialplans_are_shown_to_those_with_the_key_only() {
    let http = config::Http { api_key: Some(Secret::new("0123456789abcdef")), ..config::Http::default() };
    let house = House::with(healthy(), &http).await;
    let wrong = "Authorization: Bearer wrong\r\n";
    assert_eq!(house.get("/api/v1/dialplans", wrong).await.0, 401);
    for path in ["/api/v1/dialplans/test", "/api/v1/dialplans/reload"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n{wrong}Connection: close\r\n", house.address);
        let answer = house.raw(&format!("{head}Content-Length: 0\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
}

/// Status, head and body of any request with a key.
async fn ask(house: &House, method: &str, path: &str, key: &str, body: &str) -> (u16, String, Value) {
    let (host, length) = (house.address, body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close");
    let typed = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let answer = house.raw(&format!("{head}\r\nAuthorization: Bearer {key}\r\n{typed}\r\n{body}")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap() };
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body)
}

#[tokio::test]
async fn keys_are_made_rotated_and_revoked_and_every_step_is_kept() {
    const ROOT: &str = "0123456789abcdef";
    let http = config::Http { api_key: Some(Secret::new(ROOT)), ..config::Http::default() };
    let house = House::with(healthy(), &http).await;
    let wanted = r#"{"name": "screen", "scopes": ["read"], "tier": "pro", "expires_at": "2999-01-01T00:00:00Z"}"#;
    let (status, head, made) = ask(&house, "POST", "/api/v1/keys", ROOT, wanted).await;
    assert_eq!(status, 201, "{made}");
    let (id, old) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(head.contains(&format!("location: /api/v1/keys/{id}")) && head.contains("cache-control: no-store"));
    assert!(old.starts_with("milo_") && old.len() == 48, "{old}");

    assert_eq!(ask(&house, "GET", "/api/v1/calls", old, "").await.0, 200);
    for (method, path, scope) in [
        ("GET", "/api/v1/keys", "admin"),
        ("GET", "/api/v1/audit", "admin"),
        ("GET", "/api/v1/config", "admin"),
        ("DELETE", "/api/v1/bans/192.0.2.1", "admin"),
        ("POST", "/api/v1/dialplans/reload", "admin"),
        ("POST", "/api/v1/calls", "calls"),
    ] {
        let (status, head, problem) = ask(&house, method, path, old, "").await;
        assert_eq!(status, 403, "{path}");
        assert!(head.contains(&format!("error=\"insufficient_scope\", scope=\"{scope}\"")), "{path}: {head}");
        assert!(problem["detail"].as_str().unwrap().contains("`") && problem["detail"].to_string().contains("read"));
    }

    let path = format!("/api/v1/keys/{id}/rotate");
    let (status, _, rotated) = ask(&house, "POST", &path, ROOT, r#"{"overlap_s": 0}"#).await;
    assert_eq!(status, 200, "{rotated}");
    let new = rotated["key"].as_str().unwrap();
    let (status, _, problem) = ask(&house, "GET", "/api/v1/calls", old, "").await;
    assert!(status == 401 && problem["detail"].as_str().unwrap().contains("replaced"), "{problem}");
    assert_eq!(ask(&house, "GET", "/api/v1/calls", new, "").await.0, 200);

    let (_, _, list) = ask(&house, "GET", "/api/v1/keys", ROOT, "").await;
    assert_eq!((&list["keys"][0]["name"], &list["keys"][0]["state"]), (&json!("screen"), &json!("active")));
    for secret in [old, new, ROOT] {
        assert!(!list.to_string().contains(secret));
    }
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(ask(&house, "DELETE", &path, ROOT, "").await.0, 204);
    assert_eq!(ask(&house, "DELETE", &path, ROOT, "").await.0, 404);
    let (status, _, problem) = ask(&house, "GET", "/api/v1/calls", new, "").await;
    assert!(status == 401 && problem["detail"].as_str().unwrap().contains("revoked"), "{problem}");
    assert_eq!(ask(&house, "POST", "/api/v1/dialplans/reload", ROOT, "").await.0, 200);

    let (_, _, audit) = ask(&house, "GET", "/api/v1/audit?limit=3", ROOT, "").await;
    let done: Vec<_> = audit["deeds"].as_array().unwrap().iter().map(|deed| deed["action"].as_str().unwrap()).collect();
    assert_eq!(done, ["dialplans.reload", "keys.delete", "keys.rotate"]);
    let next = format!("/api/v1/audit?cursor={}", audit["next"].as_str().unwrap());
    let (_, _, rest) = ask(&house, "GET", &next, ROOT, "").await;
    let first = &rest["deeds"][0];
    assert_eq!((&first["action"], &first["target"]), (&json!("keys.create"), &json!(id)));
    assert_eq!((&first["who"], &first["address"]), (&json!("API_KEY"), &json!("127.0.0.1")));
    assert_eq!((rest["deeds"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let (_, _, config) = ask(&house, "GET", "/api/v1/config", ROOT, "").await;
    assert_eq!((&config["http"]["api_key"], &config["rate_limits"]["free"]), (&json!("***"), &json!(100)));
}

#[tokio::test]
async fn a_key_that_cannot_be_made_is_refused_with_a_sentence() {
    let house = House::new(healthy()).await;
    for (body, says) in [
        (r#"{"scopes": ["read"]}"#, "name"),
        (r#"{"name": "k", "scopes": []}"#, "at least one scope"),
        (r#"{"name": "k", "scopes": ["write"]}"#, "write"),
        (r#"{"name": " ", "scopes": ["read"]}"#, "1 to 100"),
        (r#"{"name": "k", "scopes": ["read"], "tier": "gold"}"#, "gold"),
        (r#"{"name": "k", "scopes": ["read"], "expires_at": "soon"}"#, "RFC 3339"),
        (r#"{"name": "k", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}"#, "past"),
        (r#"{"name": "k", "scopes": ["read"], "other": 1}"#, "other"),
        ("{", "JSON"),
    ] {
        let (status, problem) = house.post("/api/v1/keys", body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!([400, 422].contains(&status) && detail.contains(says), "{body}: {status} {detail}");
    }
    for id in ["nothing", "019a0000-0000-7000-8000-000000000000", "..%2f..", "%00"] {
        let (status, _) = house.post(&format!("/api/v1/keys/{id}/rotate"), "{}").await;
        assert_eq!(status, 404, "{id}");
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_waits_and_says_so() {
    const ROOT: &str = "0123456789abcdef";
    let http = config::Http { api_key: Some(Secret::new(ROOT)), ..config::Http::default() };
    let limits = config::RateLimits { free: 3, ..config::RateLimits::default() };
    let house = House::paced(healthy(), &http, limits).await;
    let (_, head, made) = ask(&house, "POST", "/api/v1/keys", ROOT, r#"{"name": "k", "scopes": ["read"]}"#).await;
    assert!(!head.contains("ratelimit"), "API_KEY has no limit");
    let key = made["key"].as_str().unwrap();
    for left in ["2", "1", "0"] {
        let (status, head, _) = ask(&house, "GET", "/api/v1/trunks", key, "").await;
        assert_eq!(status, 200);
        assert!(
            head.contains("ratelimit-limit: 3") && head.contains(&format!("ratelimit-remaining: {left}")),
            "{head}"
        );
    }
    let (status, head, problem) = ask(&house, "GET", "/api/v1/trunks", key, "").await;
    assert_eq!(status, 429, "{problem}");
    assert!(head.contains("retry-after: 3") && head.contains("ratelimit-remaining: 0"), "{head}");
    assert_eq!(ask(&house, "GET", "/api/v1/health", key, "").await.0, 200, "how Milo is may be asked at any pace");
    let (_, _, other) = ask(&house, "POST", "/api/v1/keys", ROOT, r#"{"name": "l", "scopes": ["read"]}"#).await;
    assert_eq!(ask(&house, "GET", "/api/v1/trunks", other["key"].as_str().unwrap(), "").await.0, 200);
}

#[tokio::test]
async fn the_log_is_searched_exported_and_a_number_forgotten() {
    let house = House::new(healthy()).await;
    let ended = |from: &str, at: i64, heard: &str| {
        let call = house.log.begin(NewCall {
            call_id: "c".into(),
            incoming: true,
            from: from.into(),
            to: "milo".into(),
            dialplan: Some("assistant".into()),
            language: Some("mg".into()),
            started: Stamp::from_millis(at),
        });
        call.answered(Stamp::from_millis(at + 500));
        call.turn(NewTurn {
            at: Stamp::from_millis(at),
            heard: Some(heard.into()),
            said: None,
            said_heard: None,
            interrupted: false,
            confidence: None,
            language: None,
            mode: None,
            stages: Stages::default(),
            recording_at_ms: Places::default(),
        });
        let (reason, by) = ("=cmd".into(), HangupBy::Caller);
        call.end(Ending {
            at: Stamp::from_millis(at + 61_500),
            reason,
            by,
            language: None,
            quality: None,
            outcome: None,
        });
    };
    for n in 0..450 {
        ended(if n % 3 == 0 { "+261341234567" } else { "0331111111" }, n * 1_000, "firy ny ora");
    }
    let page = house
        .json("/api/v1/calls?number=%2B26134*&text=ora+FIRY&outcome=answered&direction=in&live=false&limit=1")
        .await;
    assert_eq!((&page["calls"][0]["from"], page["next"].is_string()), (&json!("+261341234567"), true));
    let page = house.json("/api/v1/calls?since=1970-01-01T00:00:10Z&until=1970-01-01T03:00:12%2B03:00").await;
    assert_eq!(page["calls"].as_array().unwrap().len(), 2);

    let (status, head, csv) = house.get("/api/v1/calls/export?number=%2B261341234567", "").await;
    assert!(
        status == 200 && head.contains("content-type: text/csv") && head.contains("filename=\"calls.csv\""),
        "{head}"
    );
    let lines: Vec<_> = unchunked(&csv).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 1 + 150);
    assert!(lines[0].starts_with("id,direction,from,to,"));
    assert!(
        lines[1].contains(",in,+261341234567,milo,assistant,mg,") && lines[1].contains(",61,,,'=cmd,caller,1,"),
        "{}",
        lines[1]
    );
    let (_, head, jsonl) = house.get("/api/v1/calls/export?format=jsonl", "").await;
    assert!(head.contains("application/jsonl"), "{head}");
    let calls: Vec<Value> = unchunked(&jsonl).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids: Vec<_> = calls.iter().map(|call| call["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((calls.len(), ids.len()), (450, 450), "every call once, over three pages");

    let (status, _, problem) = ask(&house, "DELETE", "/api/v1/calls", "", "").await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("?number="), "{problem}");
    let (status, _, gone) = ask(&house, "DELETE", "/api/v1/calls?number=%2B261341234567", "", "").await;
    assert_eq!((status, gone), (200, json!({ "calls": 150, "messages": 0, "recordings": 0 })));
    assert_eq!(house.json("/api/v1/calls?number=%2B261341234567").await["calls"], json!([]));
    let deed = house.json("/api/v1/audit?limit=1").await["deeds"][0].clone();
    assert_eq!((&deed["action"], &deed["who"]), (&json!("calls.forget"), &json!("this machine")));
    assert!(!deed.to_string().contains("341234567"), "the number is what is to be forgotten: {deed}");
}

/// A body in chunks (RFC 9112 section 7.1) as one.
fn unchunked(body: &str) -> String {
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    whole
}
