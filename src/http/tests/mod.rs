//! The whole surface over a real socket.

mod calls;
mod campaigns;
mod feedback;
mod keys;
mod open;
mod requests;
mod transport;

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
    mcp::McpReport,
    store::{Analysis, CallLog, Ending, Findings, HangupBy, NewCall, NewMemory, NewTurn, Places, Stages, Stamp},
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
        let (log, _) = LogWriter::start(store.clone(), "n", None);
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
        let (calls_out, placements) = CallsOut::new(ways, writers, (Arc::clone(&live), Arc::clone(&sip)), 2, || 0);
        let (texts, _) =
            Texts::new(Trunks::default(), Arc::clone(&accounts), caller.clone(), (log.clone(), Arc::clone(&metrics)));
        let node = (store.clone(), "n");
        let keys = Arc::new(Keys::open(&store, http.api_key.as_ref(), None).await.unwrap());
        let config = Config { http: http.clone(), rate_limits, data_dir: folder.clone(), ..Config::default() };
        let campaigns = Campaigns::new(&config, node, (log.clone(), Arc::clone(&metrics)), calls_out.clone());
        let state = AppState::new(
            &config,
            ((store, None), keys, editions),
            log.clone(),
            (live, sip, accounts, caller),
            (calls_out, texts, campaigns),
            metrics,
            move || health.clone(),
        );
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, certificate(http).unwrap(), router(state, None), async {
            stopped.await.unwrap_or(())
        }));
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

/// A turn in which this was heard, and nothing else is known.
fn heard(at: i64, words: &str) -> NewTurn {
    NewTurn {
        at: Stamp::from_millis(at),
        heard: Some(words.into()),
        said: None,
        said_heard: None,
        said_by: None,
        heard_from: None,
        said_in: None,
        interrupted: false,
        confidence: None,
        language: None,
        mode: None,
        stages: Stages::default(),
        recording_at_ms: Places::default(),
    }
}

fn healthy() -> HealthReport {
    HealthReport {
        models: vec![Model {
            name: "whisper-demo".into(),
            job: "stt",
            form: None,
            demonstration: true,
            size_bytes: None,
            licence: None,
            since: None,
        }],
        queues: vec![("stt", [0, 0, 2, 0])],
        live_calls: 1,
        call_limit: 50,
        call_room: 50,
        dial: vec![Dial { number: "milo".into(), uri: "sip:milo@127.0.0.1:5060".into() }],
        ..HealthReport::default()
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
