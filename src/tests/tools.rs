//! What a model may have done: tools of files, called by the model that ships and by models on servers, in real calls.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpListener, time::sleep};

use crate::{
    hosted::server::{Conduct, Server},
    house::{PROGRAM, answered, call, errand, events, folder, newest_call, stop},
    webhooks::request,
};

const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'office' } }]
";

/// The tools that the model which ships was trained with, in its order; those that ask go to `PORT`.
const OFFICE: [(&str, &str); 8] = [
    ("book", "takes = [{ name = 'day' }, { name = 'hour' }]\nactions = [{ set = { booked = 'yes' } }]"),
    ("move", "takes = [{ name = 'day' }]\nactions = [{ set = { booked = 'yes' } }]"),
    ("cancel", "actions = [{ set = { booked = 'no' } }]"),
    ("callback", "takes = [{ name = 'day' }]\nactions = [{ set = { callback = '{{day}}' } }]"),
    (
        "transfer",
        "takes = [{ name = 'to' }]\nactions = [{ transfer = { to = 'sip:nobody@127.0.0.1:9', mode = 'dial', seconds = 2 } }]",
    ),
    (
        "price",
        "takes = [{ name = 'of' }]\ntells = ['price']\n\
         actions = [{ webhook = { url = 'http://127.0.0.1:PORT/price', send = ['of'], sets = ['price'] } }]\n\
         [mg]\nsays = 'Mitentina {{price}} ariary ny {{of}}.'",
    ),
    ("order", "takes = [{ name = 'code' }]\nactions = [{ set = { order = '{{code}}' } }]"),
    ("hangup", "actions = [{ hangup = {} }]"),
];

pub(crate) type Seen = Arc<Mutex<Vec<Value>>>;

/// A program of the operator's: of a thing it says the price after so long; what it was told.
pub(crate) async fn program(price: &'static str, after: Duration) -> (u16, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (port, seen) = (listener.local_addr().expect("an address").port(), Seen::default());
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let Some(text) = request(&mut stream).await else { return };
                let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body).expect("JSON"));
                noted.lock().expect("no panic").extend(body);
                sleep(after).await;
                let body = json!({ "variables": { "price": price } }).to_string();
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            });
        }
    });
    (port, seen)
}

/// A Milo whose persona has these tools.
async fn office(name: &str, tools: &[(&str, &str)], brief: bool, variables: &[(&str, &str)]) -> Running {
    let names: Vec<_> = tools.iter().map(|(name, _)| *name).collect();
    with_files(&folder(name), (&names, tools), brief, variables).await
}

/// A Milo in this folder whose persona has tools of these names, of which these are files.
pub(crate) async fn with_files(
    at: &Path,
    (names, tools): (&[&str], &[(&str, &str)]),
    brief: bool,
    variables: &[(&str, &str)],
) -> Running {
    for within in ["plans/personas", "plans/tools"] {
        fs::create_dir_all(at.join(within)).expect("a folder");
    }
    let demo = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml"));
    let persona = format!("tools = {names:?}\nbrief_tools = {brief}\n{}", demo.expect("the persona that ships"));
    fs::write(at.join("plans/personas/office.toml"), persona).expect("written");
    for (name, says) in tools {
        let file = at.join(format!("plans/tools/{name}.toml"));
        fs::write(file, format!("about = 'What {name} does.'\n{says}\n")).expect("written");
    }
    fs::write(at.join("plans/plans.toml"), PLANS).expect("written");
    let plans = at.join("plans").to_string_lossy().into_owned();
    let own = [
        ("MILO__DIALPLANS__PATH", plans.as_str()),
        ("MILO__WEBHOOK__HOSTS", "[\"127.0.0.1\"]"),
        ("MILO__WEBHOOK__PRIVATE", "[\"127.0.0.1/32\"]"),
        // One request a turn.
        ("MILO__CONVERSATION__EARLY_REPLIES", "false"),
    ];
    Running::start(Path::new(PROGRAM), at, &[&own[..], variables].concat()).await.expect("Milo starts")
}

async fn say(milo: &Running, recordings: &[&str]) -> Value {
    call(&errand(milo.udp("milo").expect("an address"), recordings)).await;
    newest_call(milo).await
}

/// The messages of a request that tell what came of calls, whatever the protocol.
pub(crate) fn results(asked: &Value) -> Vec<String> {
    let messages = asked["messages"].as_array().expect("messages").iter();
    let of = |message: &Value| -> Vec<String> {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        match (&message["role"], &message["content"]) {
            (role, content) if role == "tool" => vec![text(content)],
            (_, Value::Array(parts)) => {
                let results = parts.iter().filter(|part| part["type"] == "tool_result");
                results.map(|part| text(&part["content"])).collect()
            }
            _ => Vec::new(),
        }
    };
    messages.flat_map(of).collect()
}

fn with_port<'a>(tools: &[(&'a str, &str)], port: u16) -> Vec<(&'a str, String)> {
    tools.iter().map(|(name, says)| (*name, says.replace("PORT", &port.to_string()))).collect()
}

pub(crate) fn lent<'a>(all: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    all.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_that_ships_asks_for_a_price_tells_it_and_hangs_up() {
    let (port, seen) = program("roa alina", Duration::ZERO).await;
    let tools = with_port(&OFFICE, port);
    let milo = office("tools-own", &lent(&tools), true, &[]).await;
    let logged = say(&milo, &["mg_price.wav", "mg_goodbye.wav"]).await;
    let told: Vec<_> = seen.lock().expect("no panic").iter().map(|body| body["variables"]["of"].clone()).collect();
    assert_eq!(told, ["tapakila"], "{logged}");
    let done = events(&logged, "tool");
    assert_eq!((&done[0]["name"], &done[0]["told"]), (&"price".into(), &r#"{"price": "roa alina"}"#.into()));
    let turns = answered(&logged);
    assert!(
        turns[0]["said"].as_str().is_some_and(|said| said == "Mitentina roa alina ariary ny tapakila."),
        "{}",
        turns[0]
    );
    // It says goodbye, and the plan hangs up.
    assert!(turns[1]["said"].as_str().is_some_and(|said| said.contains("Veloma")), "{}", turns[1]);
    assert_eq!((&logged["hangup_by"], &logged["end_reason"]), (&"milo".into(), &"the plan is done".into()), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_on_a_server_has_several_things_done_at_once_and_knows_what_came_of_each() {
    const CALLS: &[(&str, &str)] = &[("price", r#"{"of": "boky"}"#), ("price", r#"{"of": "mofo"}"#), ("fly", "{}")];
    for engine in ["anthropic", "openai"] {
        let (server, (port, seen)) =
            (Server::start(Conduct::says("Eny.")).await, program("dimy arivo", Duration::ZERO).await);
        let tools = with_port(&OFFICE[5..6], port);
        let variables = server.variables(engine);
        let milo = office(&format!("tools-{engine}"), &lent(&tools), false, &lent(&variables)).await;
        server.then([Conduct::Calls(CALLS), Conduct::says("Dimy arivo ariary izy roa.")]);
        let logged = say(&milo, &["mg_price.wav"]).await;
        let mut told: Vec<_> =
            seen.lock().expect("no panic").iter().map(|body| body["variables"]["of"].to_string()).collect();
        told.sort();
        assert_eq!(told, ["\"boky\"", "\"mofo\""], "{engine}: {logged}");
        let asked = server.asked();
        let [first, second] = &asked[..] else { panic!("{engine}: asked {} times", asked.len()) };
        let offered = &first.body["tools"][0];
        let name = if engine == "openai" { &offered["function"]["name"] } else { &offered["name"] };
        assert_eq!(name, "price", "{}", first.body);
        let price = r#"{"price": "dimy arivo"}"#.to_owned();
        let unknown = r#"{"ok": false, "why": "there is no tool \"fly\"; there are price"}"#.to_owned();
        assert_eq!(results(&second.body), [price.clone(), price, unknown], "{engine}: {}", second.body);
        let turn = answered(&logged)[0];
        assert_eq!((&turn["said"], &turn["mode"]), (&"Dimy arivo ariary izy roa.".into(), &"cloud".into()), "{turn}");
        stop(milo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_needs_a_yes_is_done_without_one() {
    const PAY: &[(&str, &str)] = &[("pay", r#"{"amount": 5000}"#)];
    let (server, (port, seen)) =
        (Server::start(Conduct::says("Eny.")).await, program("vita", Duration::from_millis(600)).await);
    let pay = "takes = [{ name = 'amount', kind = 'number' }]\ntells = ['price']\n\
               actions = [{ webhook = { url = 'http://127.0.0.1:PORT/pay', send = ['amount'], sets = ['price'] } }]\n\
               [mg]\nconfirm = 'Handoa {{amount}} ariary ve ianao?'\nmeanwhile = 'Andraso kely.'\n\
               [fr]\nconfirm = 'Payez-vous {{amount}} ariary ?'\nmeanwhile = 'Un instant.'";
    let tools = with_port(&[("pay", pay)], port);
    let variables = server.variables("openai");
    let milo = office("tools-yes", &lent(&tools), false, &lent(&variables)).await;
    server.then([Conduct::Calls(PAY), Conduct::says("Misaotra."), Conduct::Calls(PAY), Conduct::says("Vita izany.")]);
    // Asked about it they say something else, which the model answers; the second time they say yes.
    let logged = say(&milo, &["mg_price.wav", "mg_hours.wav", "mg_price.wav", "mg_yes.wav"]).await;
    let said: Vec<_> = answered(&logged).iter().map(|turn| turn["said"].as_str().expect("text").to_owned()).collect();
    let question = "Handoa 5000 ariary ve ianao?";
    assert_eq!(said, [question, "Misaotra.", question, "Andraso kely. Vita izany."], "{logged}");
    assert_eq!(seen.lock().expect("no panic").len(), 1, "it was done once");
    assert_eq!(results(&server.asked()[3].body), [r#"{"price": "vita"}"#], "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_the_line_is_done_by_the_plan_and_the_conversation_goes_on_knowing_what_came_of_it() {
    const TRANSFER: &[(&str, &str)] = &[("transfer", r#"{"to": "Rina"}"#)];
    let server = Server::start(Conduct::says("Eny.")).await;
    let transfer = format!("{}\n[mg]\nmeanwhile = 'Ampitaiko amin i {{{{to}}}} ianao.'", OFFICE[4].1);
    let variables = server.variables("anthropic");
    let milo = office("tools-line", &[("transfer", &transfer)], false, &lent(&variables)).await;
    server.then([
        Conduct::Calls(TRANSFER),
        Conduct::says("Miala tsiny, tsy eo izy."),
        Conduct::says("Misaotra tompoko."),
    ]);
    // The second of these is said while somebody is called, and nobody listens.
    let logged = say(&milo, &["mg_price.wav", "mg_price.wav", "mg_hours.wav"]).await;
    let said: Vec<_> = logged["turns"].as_array().expect("turns").iter().map(|turn| &turn["said"]).collect();
    let greeting = 1;
    assert_eq!(
        said[greeting..],
        ["Ampitaiko amin i Rina ianao.", "Miala tsiny, tsy eo izy.", "Misaotra tompoko."],
        "{logged}"
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "{logged}");
    let result = &results(&asked[1].body)[0];
    assert!(result.starts_with(r#"{"ok": false, "why": ""#), "{result}");
    // The last request has the whole of it: what was called, what came of it, what was said.
    let told = asked[2].body["messages"].to_string();
    assert!(told.contains("tool_use") && told.contains("tsy eo izy"), "{told}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_fails_or_takes_long_is_told_truthfully() {
    const PRICE: &[(&str, &str)] = &[("price", r#"{"of": "boky"}"#)];
    const NOTED: &[(&str, &str)] = &[("note", "{}")];
    const WRONG: &[(&str, &str)] = &[("price", r#"{"what": "#)];
    let server = Server::start(Conduct::says("Eny.")).await;
    // Nobody is there, then somebody who is slower than the verb lets them be.
    let (slow, _) = program("dimy arivo", Duration::from_secs(10)).await;
    let dead = OFFICE[5].1.replace("PORT", "9").replace("sets = ['price']", "sets = ['price'], seconds = 2");
    let late =
        OFFICE[5].1.replace("PORT", &slow.to_string()).replace("sets = ['price']", "sets = ['price'], seconds = 1");
    let variables = server.variables("openai");
    // The same on the line: what the plan could not do is not told to be done.
    let note = "actions = [{ webhook = { url = 'http://127.0.0.1:9/note', seconds = 2 } }, { wait = { seconds = 1 } }]";
    let tools = [("price", dead.as_str()), ("late", late.as_str()), ("note", note)];
    let filler = [("MILO__CONVERSATION__FILLER_MS", "600")];
    let milo = office("tools-fail", &tools, false, &[&lent(&variables)[..], &filler].concat()).await;
    const LATE: &[(&str, &str)] = &[("late", r#"{"of": "boky"}"#)];
    let sorry = || Conduct::says("Miala tsiny.");
    server.then([
        Conduct::Calls(PRICE),
        sorry(),
        Conduct::Calls(LATE),
        sorry(),
        Conduct::Calls(WRONG),
        sorry(),
        Conduct::Calls(NOTED),
        sorry(),
    ]);
    let logged = say(&milo, &["mg_price.wav", "mg_hours.wav", "mg_price.wav", "mg_hours.wav"]).await;
    let asked = server.asked();
    let last = |n: usize| results(&asked[n].body).pop().expect("a result");
    assert!(last(1).starts_with(r#"{"ok": false, "why": "it cannot be reached"#), "{}", last(1));
    assert_eq!(last(3), r#"{"ok": false, "why": "no whole answer came within 1 s"}"#, "{logged}");
    assert!(last(5).contains("no JSON object"), "{}", last(5));
    assert!(last(7).contains("has not answered as it should"), "{}", last(7));
    let late =
        events(&logged, "tool").into_iter().find(|tool| tool["name"] == "late").expect("it is written down").clone();
    assert!(late["after_ms"].as_u64().is_some_and(|ms| (900..4_000).contains(&ms)), "{late}");
    // While it took long, the caller heard a word.
    assert!(events(&logged, "filler").iter().any(|filler| filler["for"] == "tool"), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_office_knows_is_looked_up_and_read_anew_when_it_changes() {
    const KNOW: &[(&str, &str)] = &[("know", r#"{"question": "ohatrinona ny boky mena"}"#)];
    let server = Server::start(Conduct::says("Eny.")).await;
    let at = folder("tools-know");
    let known = at.join("plans/knowledge/office");
    fs::create_dir_all(&known).expect("a folder");
    fs::write(known.join("prices.csv"), "zavatra,vidiny\nboky mena,7000\nmofo,600\n").expect("written");
    let know = "takes = [{ name = 'question' }]\ntells = ['found']\n\
                actions = [{ look_up = { within = 'office', about = '{{question}}', into = 'found', most = 1 } }]";
    let variables = server.variables("openai");
    let milo = with_files(&at, (&["know"], &[("know", know)]), false, &lent(&variables)).await;
    for price in ["7000", "8000"] {
        server.then([Conduct::Calls(KNOW), Conduct::says("Eny tompoko.")]);
        let logged = say(&milo, &["mg_price.wav"]).await;
        let told = results(&server.asked().last().expect("a request").body);
        assert_eq!(told, [format!(r#"{{"found": "zavatra: boky mena; vidiny: {price}"}}"#)], "{logged}");
        fs::write(known.join("prices.csv"), "zavatra,vidiny\nboky mena,8000\nmofo,600\n").expect("written");
        // The files are looked at every two seconds.
        sleep(Duration::from_secs(5)).await;
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_a_caller_speaks_into_is_done_once_and_told_when_it_is_over() {
    const PRICE: &[(&str, &str)] = &[("price", r#"{"of": "boky"}"#)];
    let (server, (port, seen)) =
        (Server::start(Conduct::says("Eny.")).await, program("dimy arivo", Duration::from_millis(2_500)).await);
    // The caller is asked something else while the program is asked; they speak into that.
    let slow = format!(
        "{}\n[mg]\nmeanwhile = 'Andraso kely azafady fa mbola jereko ao amin ny lisitry ny vidin entana rehetra eto aminay ilay izy.'",
        OFFICE[5].1.split("\n[mg]").next().expect("its beginning")
    );
    let tools = with_port(&[("price", &slow)], port);
    let variables = server.variables("openai");
    let milo = office("tools-into", &lent(&tools), false, &lent(&variables)).await;
    server.then([Conduct::Calls(PRICE), Conduct::says("Dimy arivo.")]);
    let mut errand = errand(milo.udp("milo").expect("an address"), &["mg_price.wav"]);
    errand.interrupt = Some(crate::house::recording("mg_barge.wav"));
    call(&errand).await;
    let logged = newest_call(&milo).await;
    assert_eq!(seen.lock().expect("no panic").len(), 1, "{logged}");
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "{logged}");
    // What came of it reaches the model by one way or the other: as the call's result, or as news before what was said.
    let told = asked[1].body["messages"].to_string();
    assert!(told.contains("dimy arivo"), "{told}");
    assert_eq!(results(&asked[1].body).len(), 1, "{told}");
    stop(milo).await;
}
