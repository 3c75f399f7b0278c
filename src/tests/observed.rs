//! Milo as those who look after it see it: by Prometheus with the shipped files, and by a collector of traces.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::house::{MG_HOURS, answered, call, errand, folder, metrics, milo, newest_call, send, stop};
use milo::bench::Running;

/// A queue, so that its figures are there.
const QUEUE: &str = "
[[plan]]
name = 'support'
number = 'support'
language = 'mg'
actions = [{ answer = {} }, { queue = { name = 'support', to = ['sip:nobody@127.0.0.1:9'], seconds = 1 } }]
";

/// A Milo with the shipped plans and a queue, and a trunk that nobody answers at.
async fn observed(name: &str, more: &[(&str, &str)]) -> Running {
    let plans = folder(&format!("{name}-plans"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/.");
    let copied = Command::new("cp").arg("-r").args([&shipped, &plans]).status().expect("cp");
    assert!(copied.success());
    fs::write(plans.join("support.toml"), QUEUE).expect("a temporary folder");
    let path = plans.to_string_lossy().into_owned();
    let trunks = r#"[{ name = "carrier", gateway = "sip:127.0.0.1:9", options_s = 1 }]"#;
    let own = [("MILO__DIALPLANS__PATH", path.as_str()), ("MILO__SIP__TRUNKS", trunks)];
    milo(name, &[&own[..], more].concat()).await
}

/// A Prometheus with the shipped configuration, that asks this Milo every second.
struct Prometheus {
    child: Child,
    address: String,
    folder: std::path::PathBuf,
}

impl Prometheus {
    fn watching(milo: &Running) -> Self {
        let folder = folder("prometheus");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
        let target = milo.http.trim_start_matches("http://").trim_end_matches('/');
        let text = fs::read_to_string(shipped.join("prometheus.yml")).expect("it is shipped");
        assert!(text.contains("127.0.0.1:8000") && text.contains("alerts.yml"), "{text}");
        let text = text.replace("127.0.0.1:8000", target).replace("interval: 15s", "interval: 1s");
        fs::write(folder.join("prometheus.yml"), text).expect("a temporary folder");
        fs::copy(shipped.join("alerts.yml"), folder.join("alerts.yml")).expect("it is shipped");
        let mut child = Command::new("prometheus")
            .current_dir(&folder)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once("\"Listening on\" address=")?.1.trim().to_owned()))
            .expect("it says where it listens");
        // What it still says is read, or it would wait.
        std::thread::spawn(move || lines.for_each(drop));
        let prometheus = Self { child, address, folder };
        // It listens before it answers.
        for _ in 0..600 {
            if prometheus.is_ready() {
                return prometheus;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("Prometheus is not ready within a minute");
    }

    fn is_ready(&self) -> bool {
        let ready = format!("http://{}/-/ready", self.address);
        let asked = Command::new("curl")
            .args(["--silent", "--fail", "--max-time", "5", "--output", "/dev/null", &ready])
            .status();
        asked.expect("curl").success()
    }

    fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "10", "--get"]);
        curl.args(query.iter().flat_map(|(name, value)| ["--data-urlencode".into(), format!("{name}={value}")]));
        let answer = curl.arg(format!("http://{}/api/v1/{path}", self.address)).output().expect("curl");
        serde_json::from_slice(&answer.stdout).unwrap_or_default()
    }

    /// What a query finds now.
    fn found(&self, expr: &str) -> Vec<Value> {
        let answer = self.get("query", &[("query", expr)]);
        assert_eq!(answer["status"], "success", "{expr}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    async fn until(&self, expr: &str) -> Vec<Value> {
        for _ in 0..600 {
            let found = self.found(expr);
            if !found.is_empty() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("within a minute there was nothing for {expr}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The queries of a shipped dashboard with their panels' titles, as Grafana would send them.
fn queries(dashboard: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana").join(dashboard);
    let text = fs::read_to_string(path).expect("it is shipped");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let of = |panel: Value| {
        let targets = panel["targets"].as_array().expect("targets").clone();
        targets.into_iter().map(move |target| {
            let expr = target["expr"].as_str().expect("a query");
            let expr = expr.replace("$instance", ".*").replace("$__rate_interval", "1m");
            (panel["title"].as_str().expect("a title").to_owned(), expr)
        })
    };
    panels.into_iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboards_and_alerts_draw_what_milo_counts() {
    // A Redis that is not there, and a program that cannot be told.
    let told = r#"[{ name = "crm", url = "http://127.0.0.1:9/", secret = "a secret of ours", allow_private = true, attempts = 1 }]"#;
    let away = [("REDIS_URL", "redis://127.0.0.1:9"), ("MILO__WEBHOOKS", told)];
    let milo = observed("observed", &away).await;
    let prometheus = Prometheus::watching(&milo);
    prometheus.until("milo_info").await;
    // What is counted from here on is a rise.
    let caller = errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"]);
    call(&caller).await;
    let said = send(&milo, ("POST", "/api/v1/chat"), &[], &json!({ "message": MG_HOURS.0 }));
    assert_eq!(said.status, 200, "{said:?}");
    prometheus.until("rate(milo_calls_total{hangup_by=\"caller\"}[1m]) > 0").await;
    prometheus.until("rate(milo_llm_replies_total{mode=\"local\"}[1m]) > 0").await;

    let mut empty = Vec::new();
    for (panel, expr) in ["calls.json", "machine.json"].into_iter().flat_map(queries) {
        let found = prometheus.found(&expr);
        let is_number = |row: &Value| row["value"][1].as_str().is_some_and(|value| value != "NaN");
        if !found.iter().any(is_number) {
            empty.push(format!("{panel}: {expr}: {found:?}"));
        }
    }
    assert!(empty.is_empty(), "panels that show nothing: {empty:#?}");

    // Each rule looks at figures that there are, and those of what is away have seen it.
    let rules = prometheus.get("rules", &[]);
    let rules = rules["data"]["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.len() >= 10 && rules.iter().all(|rule| rule["health"] == "ok"), "{rules:?}");
    let text = metrics(&milo);
    for rule in &rules {
        let query = rule["query"].as_str().expect("a query");
        let names =
            query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|name| name.starts_with("milo_"));
        for name in names {
            assert!(text.contains(name) || name == "milo_trunk_registered", "{name} of {query} is no figure of Milo's");
        }
    }
    for seen in [
        "alertname=\"MiloTrunkDown\", trunk=\"carrier\"",
        "alertname=\"MiloRedisAway\"",
        "alertname=\"MiloWebhookFails\", target=\"crm\"",
    ] {
        prometheus.until(&format!("ALERTS{{{seen}}}")).await;
    }
    drop(prometheus);
    stop(milo).await;
}

/// What came to a collector.
async fn collected(State(spans): State<mpsc::Sender<Span>>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    for resource in request.resource_spans {
        let about = resource.resource.as_ref().map(|resource| resource.attributes.as_slice()).unwrap_or_default();
        assert_eq!(attribute(about, "service.name").as_deref(), Some("milo"));
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.try_send(span).expect("a call has fewer");
        }
    }
    StatusCode::OK
}

fn attribute(of: &[KeyValue], name: &str) -> Option<String> {
    match of.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_trace_with_its_turns_and_their_stages() {
    let (sender, mut spans) = mpsc::channel(1_024);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}/", listener.local_addr().expect("an address"));
    let collector = Router::new().route("/v1/traces", post(collected)).with_state(sender);
    let collecting = tokio::spawn(async move { axum::serve(listener, collector).await });
    let milo = observed("traced", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let row = newest_call(&milo).await;
    let turn = answered(&row)[0].clone();
    // Milo sends what it still has when it ends.
    stop(milo).await;
    collecting.abort();

    let mut all = Vec::new();
    while let Ok(Some(span)) = timeout(Duration::from_secs(1), spans.recv()).await {
        all.push(span);
    }
    let id = row["id"].as_str().expect("an identifier");
    let whole = all.iter().find(|span| span.name == "call").expect("the call");
    assert_eq!(attribute(&whole.attributes, "milo.call.id").as_deref(), Some(id));
    assert_eq!(attribute(&whole.attributes, "milo.call.hangup_by").as_deref(), Some("caller"));
    assert!(whole.parent_span_id.is_empty() && whole.events.iter().any(|event| event.name == "answered"));
    assert!(all.iter().all(|span| span.trace_id == whole.trace_id), "one call is one trace");
    let turns: Vec<_> = all.iter().filter(|span| span.name == "turn").collect();
    assert_eq!(turns.len(), row["turns"].as_array().expect("turns").len());
    assert!(turns.iter().all(|turn| turn.parent_span_id == whole.span_id));
    let number = format!("IntValue({})", turn["number"]);
    let of = turns.iter().find(|span| attribute(&span.attributes, "milo.turn").as_deref() == Some(&number));
    let of = of.expect("the turn in which the caller was heard");
    for (name, key) in [("stt", "stt_ms"), ("llm_first_token", "llm_first_token_ms"), ("packet_out", "packet_out_ms")] {
        let stage = all.iter().find(|span| span.name == name && span.parent_span_id == of.span_id);
        let stage = stage.unwrap_or_else(|| panic!("no {name}"));
        let took = (stage.end_time_unix_nano - stage.start_time_unix_nano) as f64 / 1e6;
        let logged = turn["stages"][key].as_f64().expect("a time");
        assert!((took - logged).abs() < 0.01, "{name} took {took} ms, and {logged} by the log");
        assert!(stage.start_time_unix_nano >= of.start_time_unix_nano);
        assert!(stage.end_time_unix_nano <= of.end_time_unix_nano);
    }
    let said = format!("{all:?}");
    assert!(!said.contains("misokatra") && !said.contains("valo ora"), "traces hold no words");
}
