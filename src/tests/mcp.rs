//! Tools of servers that speak the Model Context Protocol, as a program beside Milo and over HTTP, in real calls.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    hosted::server::{Conduct, Server},
    house::{answered, call, events, folder, get, newest_call, stop},
    tools::{lent, results, with_files},
};

/// A server as its documentation shows one, and what of the environment it sees.
const PROGRAM: &str = r#"
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, result = asked["method"], None
    if method == "initialize":
        result = {"protocolVersion": asked["params"]["protocolVersion"], "capabilities": {"tools": {}},
                  "serverInfo": {"name": "shop", "version": "1"}}
    elif method == "tools/list":
        result = {"tools": [{"name": "find price", "description": "Prices.", "inputSchema": {"type": "object",
                  "properties": {"of": {"type": "string"}, "most": {"type": "integer"}}, "required": ["of"]}}]}
        open(sys.argv[1], "w").close()
    elif method == "tools/call":
        seen = sorted(name for name in os.environ if name in ("SHOP", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"))
        of = asked["params"]["arguments"]["of"]
        if of == "bye":
            sys.exit(1)
        result = {"content": [{"type": "text", "text": of + " " + " ".join(seen)}], "isError": of == "none"}
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if result is None:
        answer["error"] = {"code": -32601, "message": "no such method"}
    else:
        answer["result"] = result
    print(json.dumps(answer), flush=True)
"#;

type Seen = Arc<Mutex<Vec<(Option<String>, Value)>>>;

/// The same over HTTP; what it was asked, and with which token.
async fn over_http() -> (String, Seen) {
    async fn answer(State(seen): State<Seen>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
        seen.lock().expect("no panic").push((token, asked.clone()));
        let result = match asked["method"].as_str() {
            Some("initialize") => json!({ "protocolVersion": asked["params"]["protocolVersion"],
                "capabilities": { "tools": {} }, "serverInfo": { "name": "web", "version": "1" } }),
            Some("tools/list") => {
                json!({ "tools": [{ "name": "hours", "inputSchema": { "type": "object", "properties": {} } }] })
            }
            Some("tools/call") => json!({ "content": [], "structuredContent": { "opens": "valo" } }),
            _ => return StatusCode::ACCEPTED.into_response(),
        };
        Json(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })).into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (url, seen) = (format!("http://{}/mcp", listener.local_addr().expect("an address")), Seen::default());
    let router = Router::new().route("/mcp", post(answer)).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persona_has_the_tools_of_servers_and_knows_when_one_has_gone() {
    const FIRST: &[(&str, &str)] = &[("shop_find_price", r#"{"of": "boky"}"#), ("web_hours", "{}")];
    const SECOND: &[(&str, &str)] = &[("shop_find_price", r#"{"of": "none"}"#), ("shop_find_price", "{}")];
    const THIRD: &[(&str, &str)] = &[("shop_find_price", r#"{"of": "bye"}"#)];
    let (server, (url, seen)) = (Server::start(Conduct::says("Eny.")).await, over_http().await);
    let at = folder("mcp");
    fs::write(at.join("shop.py"), PROGRAM).expect("written");
    let program = at.join("shop.py").to_string_lossy().into_owned();
    let listed = at.join("listed");
    let servers = format!(
        "[[mcp]]\nname = 'shop'\ncommand = ['python3', {program:?}, {listed:?}]\nenv = ['SHOP=x']\n\
         [[mcp]]\nname = 'web'\nurl = '{url}'\ntoken = 'of-a-scenario'\n\
         [[mcp]]\nname = 'away'\ncommand = ['/nonexistent/tools']\n"
    );
    fs::write(at.join("milo.toml"), servers).expect("written");
    let variables = server.variables("openai");
    // Nobody listens there, and what is on this machine is asked without it.
    let variables = [&lent(&variables)[..], &[("HTTP_PROXY", "http://127.0.0.1:9")]].concat();
    let milo = with_files(&at, (&["shop/*", "web/hours"], &[]), false, &variables).await;
    for _ in 0..100 {
        if listed.exists() && seen.lock().expect("no panic").iter().any(|(_, asked)| asked["method"] == "tools/list") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let health = get(&milo, "/api/v1/health");
    let servers = health["mcp"].as_array().expect("servers of tools");
    let brief: Vec<_> = servers.iter().map(|one| (&one["name"], &one["connected"], &one["tools"])).collect();
    let (yes, no) = (json!(true), json!(false));
    let (away, shop, web) = (json!("away"), json!("shop"), json!("web"));
    let (none, price, hours) = (json!([]), json!(["find price"]), json!(["hours"]));
    assert_eq!(brief, [(&away, &no, &none), (&shop, &yes, &price), (&web, &yes, &hours)], "{health}");
    assert!(servers[0]["fault"].as_str().is_some_and(|why| why.contains("does not start")), "{health}");
    assert!(
        servers[0]["seen"].is_null() && servers[1]["seen"].is_string() && servers[1]["fault"].is_null(),
        "{health}"
    );
    let degraded = health["degraded"].to_string();
    assert!(degraded.contains("away") && !degraded.contains("shop"), "{degraded}");
    let sorry = || Conduct::says("Eny tompoko.");
    server.then([Conduct::Calls(FIRST), sorry(), Conduct::Calls(SECOND), sorry(), Conduct::Calls(THIRD), sorry()]);
    let recordings = ["mg_price.wav", "mg_hours.wav", "mg_price.wav"];
    call(&crate::house::errand(milo.udp("milo").expect("an address"), &recordings)).await;
    let logged = newest_call(&milo).await;
    assert_eq!(answered(&logged).len(), 3, "{logged}");
    let asked = server.asked();
    let names: Vec<_> =
        asked[0].body["tools"].as_array().expect("tools").iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(names, ["shop_find_price", "web_hours"]);
    assert_eq!(asked[0].body["tools"][0]["function"]["parameters"]["required"], json!(["of"]));
    let of = |n: usize| results(&asked[n].body);
    // Nothing of Milo's own secrets is in the program's environment.
    assert_eq!(of(1), [r#"{"result": "boky SHOP"}"#, r#"{"opens": "valo"}"#], "{logged}");
    assert_eq!(
        of(3)[2..],
        [r#"{"ok": false, "why": "none SHOP"}"#, r#"{"ok": false, "why": "of is missing"}"#],
        "{logged}"
    );
    assert!(of(5).last().is_some_and(|told| told.starts_with(r#"{"ok": false"#)), "{:?}", of(5));
    assert_eq!(seen.lock().expect("no panic")[0].0.as_deref(), Some("Bearer of-a-scenario"));
    assert_eq!(events(&logged, "tool").len(), 4, "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_destroys_something_is_done_only_after_a_yes() {
    const CALLED: &[(&str, &str)] = &[("shop_find_price", r#"{"of": "boky"}"#)];
    let server = Server::start(Conduct::says("Eny.")).await;
    let at = folder("mcp-destroys");
    let program = PROGRAM.replace(r#"["of"]}}]"#, r#"["of"]}, "annotations": {"destructiveHint": True}}]"#);
    assert_ne!(program, PROGRAM);
    fs::write(at.join("shop.py"), program).expect("written");
    let (program, listed) = (at.join("shop.py").to_string_lossy().into_owned(), at.join("listed"));
    let shop = format!("[[mcp]]\nname = 'shop'\ncommand = ['python3', {program:?}, {listed:?}]\n");
    fs::write(at.join("milo.toml"), shop).expect("written");
    let variables = server.variables("openai");
    let milo = with_files(&at, (&["shop/*"], &[]), false, &lent(&variables)).await;
    for _ in 0..100 {
        if listed.exists() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(1)).await;
    // Asked about it they say something else, which the model answers; the second time they say yes.
    server.then([Conduct::Calls(CALLED), Conduct::says("Misaotra."), Conduct::Calls(CALLED), Conduct::says("Vita.")]);
    let recordings = ["mg_price.wav", "mg_hours.wav", "mg_price.wav", "mg_yes.wav"];
    call(&crate::house::errand(milo.udp("milo").expect("an address"), &recordings)).await;
    let logged = newest_call(&milo).await;
    let said: Vec<_> = answered(&logged).iter().map(|turn| turn["said"].as_str().expect("text").to_owned()).collect();
    let question = "Ataoko tokoa ve izany: boky?";
    assert_eq!(said, [question, "Misaotra.", question, "Vita."], "{logged}");
    assert_eq!(events(&logged, "tool").len(), 1, "it was done once: {logged}");
    stop(milo).await;
}
