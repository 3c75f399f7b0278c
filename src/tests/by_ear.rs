//! A person listens to a call, and takes it over from the agent: over the WebSockets that the page of a call opens.

use std::time::Duration;

use milo::bench::Running;
use milo::phone::Errand;
use serde_json::{Value, json};
use tokio::{
    spawn,
    time::{Instant, sleep},
};

use crate::{
    house::{
        FR_HOURS, MG_HOURS, call, ended, errand, events, folder, found, get, loud, milo, recordings, send, sides, stop,
        until, with_plans, wrong_words,
    },
    web_page::{Page, open, open_with, quiet, spoken},
};

/// 20 ms.
const FRAME: usize = 320;
/// What a request says that opens a WebSocket, for those that are refused it.
const OPENS: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

pub(crate) fn path(id: &Value, what: &str) -> String {
    format!("/api/v1/calls/{}/{what}", id.as_str().expect("an identifier"))
}

/// The problem with which a WebSocket is refused.
fn refused(milo: &Running, path: &str, more: &[&str]) -> (u16, Value) {
    let answer = send(milo, ("GET", path), &[&OPENS[..], more].concat(), &Value::Null);
    (answer.status, answer.body["code"].clone())
}

/// Who listens hears the caller left, and what they are sent right.
fn both(page: &Page, since: Instant) -> (Vec<i16>, Vec<i16>) {
    page.sound_since(since).as_chunks::<2>().0.iter().map(|[left, right]| (*left, *right)).unzip()
}

/// Waits until a call is up, and takes it over as soon as its agent speaks.
pub(crate) async fn taken_over(milo: &Running, id: &Value) -> Page {
    until(milo, id, "answered", |call| call["answered"].is_string()).await;
    for _ in 0..100 {
        if let Ok(page) = open_with(milo, &path(id, "takeover"), &[]).await {
            assert_eq!(page.nth(1, "taken_over", |_| true).await["call_id"], *id);
            return page;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("no agent could be relieved within five seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_both_sides_until_the_call_is_over() {
    let milo = with_plans("listened", "").await;
    let mut caller = open(&milo, "stream=1").await;
    let id = caller.call().await;
    let address = path(&id, "audio");
    until(&milo, &id, "answered", |call| call["answered"].is_string()).await;
    let mut listeners = Vec::new();
    for _ in 0..4 {
        let listener = open_with(&milo, &address, &[]).await.expect("the call is up");
        let begun = listener.nth(1, "listening", |_| true).await;
        assert_eq!((&begun["call_id"], &begun["sample_rate"], &begun["channels"]), (&id, &16_000.into(), &2.into()));
        listeners.push(listener);
    }
    assert_eq!(refused(&milo, &address, &[]), (409, "crowded".into()));
    assert_eq!(refused(&milo, &format!("{address}?key=1"), &[]).0, 400);
    assert_eq!(send(&milo, ("GET", &address), &[], &Value::Null).status, 426);
    let said = Instant::now();
    caller.speak(&spoken("mg_hours.wav", 1_000), FRAME).await;
    // The plan says it all again.
    for listener in &listeners {
        let (left, right) = both(listener, said);
        assert!(loud(&left) > 4_000 && loud(&right) > 4_000, "{} and {}", loud(&left), loud(&right));
    }

    // What is not recorded is not overheard.
    let order = |action: &str| send(&milo, ("POST", &path(&id, "recording")), &[], &json!({ "action": action })).status;
    assert_eq!(order("pause"), 200);
    sleep(Duration::from_secs(2)).await;
    let in_private = Instant::now();
    caller.speak(&spoken("mg_hours.wav", 1_000), FRAME).await;
    let (left, right) = both(&listeners[0], in_private);
    assert!(left.len() > 16_000, "silence comes: {} samples", left.len());
    assert_eq!((loud(&left), loud(&right)), (0, 0));
    assert_eq!(order("resume"), 200);

    // Whoever speaks where they may only listen is let go, and whoever leaves makes room.
    let mut strange = listeners.remove(0);
    strange.text("x").await;
    assert_eq!(strange.closed().await.0, 1003);
    listeners.remove(0).close().await;
    until(&milo, &id, "left", |call| events(call, "listened").len() == 2).await;
    listeners.push(open_with(&milo, &address, &[]).await.expect("there is room"));
    listeners[2].nth(1, "listening", |_| true).await;

    caller.close().await;
    for listener in &listeners {
        assert_eq!(listener.closed().await, (1000, "the call is over".into()));
    }
    let logged = ended(&milo, &id).await;
    let (came, left) = (events(&logged, "listening"), events(&logged, "listened"));
    assert_eq!((came.len(), left.len()), (5, 2), "that the call is over is no leaving: {logged}");
    assert!(came.iter().chain(&left).all(|event| event["by"] == "this machine"), "{logged}");
    assert_eq!(refused(&milo, &address, &[]), (409, "call_not_up".into()));
    let unknown = json!("00000000-0000-7000-8000-000000000000");
    assert_eq!(refused(&milo, &path(&unknown, "audio"), &[]).0, 404);
    let deeds = get(&milo, "/api/v1/audit")["deeds"].clone();
    let listened = deeds.as_array().expect("deeds").iter().filter(|deed| deed["action"] == "calls.listen");
    assert_eq!(listened.count(), 5, "{deeds}");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_reads_what_the_caller_says_while_they_say_it_and_what_they_are_told() {
    let milo = milo("listened-words", &[]).await;
    let mut caller = open(&milo, "stream=1").await;
    let id = caller.call().await;
    until(&milo, &id, "answered", |call| call["answered"].is_string()).await;
    let listener = open_with(&milo, &path(&id, "audio"), &[]).await.expect("the call is up");
    caller.speak(&spoken("mg_hours.wav", 1_500), FRAME).await;
    let partial = listener.nth(1, "transcript", |heard| heard["partial"] == true).await;
    assert!(partial["text"].as_str().is_some_and(|text| !text.is_empty()), "{partial}");
    let heard = listener.nth(1, "transcript", |heard| heard["partial"] == false).await;
    assert!(heard["language"] == "mg" && heard["text"].as_str().is_some_and(|text| text.contains("birao")), "{heard}");
    listener.nth(1, "reply_text", |said| said["text"].as_str().is_some_and(|text| text.contains(MG_HOURS.1))).await;
    caller.close().await;
    assert_eq!(listener.closed().await, (1000, "the call is over".into()));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_listened_to_and_taken_over_with_the_scope_for_calls_or_a_ticket_of_it() {
    const ADMIN: &str = "Authorization: Bearer 0123456789abcdef";
    let milo = milo("listened-scopes", &[("API_KEY", "0123456789abcdef")]).await;
    let key = |scopes: &[&str]| {
        let wanted = json!({ "name": scopes.join(" "), "scopes": scopes, "tier": "free" });
        let made = send(&milo, ("POST", "/api/v1/keys"), &[ADMIN], &wanted).body["key"].clone();
        format!("Authorization: Bearer {}", made.as_str().expect("a key"))
    };
    let unknown = json!("00000000-0000-7000-8000-000000000000");
    let (reads, calls, page) = (key(&["read", "text"]), key(&["calls"]), key(&["calls", "text"]));
    for what in ["audio", "takeover"] {
        let address = path(&unknown, what);
        assert_eq!(refused(&milo, &address, &[]).0, 401, "{what}");
        assert_eq!(refused(&milo, &address, &[&reads]), (403, "scope_missing".into()), "{what}");
        assert_eq!(refused(&milo, &address, &[&calls]).0, 404, "{what}");
        let ticket = |header: &str, purpose: &str| {
            let made = send(&milo, ("POST", "/api/v1/tickets"), &[header], &json!({ "for": purpose })).body;
            format!("{address}?ticket={}", made["ticket"].as_str().expect("a ticket"))
        };
        let once = ticket(&page, "supervision");
        assert_eq!(refused(&milo, &once, &[]).0, 404, "{what}: there is no such call");
        assert_eq!(refused(&milo, &once, &[]).0, 401, "{what}: it is good once");
        assert_eq!(refused(&milo, &ticket(&page, "conversation"), &[]).0, 401, "{what}: for something else");
        assert_eq!(refused(&milo, &ticket(&reads, "supervision"), &[]).0, 403, "{what}: its key may not");
        let elsewhere = "Origin: https://elsewhere.example";
        assert_eq!(refused(&milo, &address, &[&calls, elsewhere]), (403, "origin_refused".into()), "{what}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_call_over_speaks_with_its_caller_and_gives_it_back_to_an_agent_that_knows() {
    let milo = milo("taken-over", &[("MILO__RECORDING__ENABLED", "true")]).await;
    let mut caller = open(&milo, "stream=1").await;
    let id = caller.call().await;
    let mut person = taken_over(&milo, &id).await;
    assert_eq!(refused(&milo, &path(&id, "takeover"), &[]), (409, "no_agent".into()), "somebody has it");

    let asked = Instant::now();
    caller.speak(&spoken("mg_price.wav", 1_500), FRAME).await;
    assert!(loud(&person.sound_since(asked)) > 4_000, "{} loud samples", loud(&person.sound_since(asked)));
    let answered = Instant::now();
    person.speak(&spoken("fr_hours.wav", 1_500), FRAME).await;
    assert!(loud(&caller.sound_since(answered)) > 4_000, "{} loud samples", loud(&caller.sound_since(answered)));
    let is_written = |call: &Value| {
        let turns = call["turns"].as_array().expect("turns");
        let heard = turns.iter().any(|turn| turn["heard"].is_string() && turn["said"].is_null());
        heard && turns.iter().any(|turn| turn["said_by"] == "this machine")
    };
    let row = until(&milo, &id, "written down", is_written).await;
    let mut turns = row["turns"].as_array().expect("turns").iter();
    let said = turns.rfind(|turn| turn["said_by"].is_string()).expect("it was said");
    let understood = said["said"].as_str().expect("words");
    assert!(wrong_words(FR_HOURS.0, understood) <= 3, "{understood:?}");
    assert_eq!((&said["heard"], &said["said_heard"]), (&Value::Null, &said["said"]), "{said}");

    person.text("x").await;
    person.nth(1, "error", |_| true).await;
    person.text(r#"{"type":"give_back"}"#).await;
    person.nth(1, "given_back", |_| true).await;
    assert_eq!(person.closed().await, (1000, "the agent has the call again".into()));
    until(&milo, &id, "given back", |call| events(call, "given_back").len() == 1).await;
    // The agent answers again, and does not greet again.
    caller.speak(&spoken("mg_hours.wav", 1_500), FRAME).await;
    let is_answered = |turn: &Value| {
        let heard = turn["heard"].as_str().unwrap_or_default();
        wrong_words(MG_HOURS.0, heard) <= 2 && turn["said"].is_string() && turn["said_by"].is_null()
    };
    let row = until(&milo, &id, "answered by the agent", |call| {
        call["turns"].as_array().is_some_and(|turns| turns.iter().any(is_answered))
    })
    .await;
    let told = events(&row, "told_model");
    let told = told[0]["text"].as_str().expect("a sentence");
    assert!(told.contains("ny mpandrindra : «"), "what was said meanwhile: {told}");

    // Whoever is gone without a word gives it back as well.
    drop(taken_over(&milo, &id).await);
    until(&milo, &id, "given back again", |call| events(call, "given_back").len() == 2).await;
    caller.close().await;
    let logged = ended(&milo, &id).await;
    let (taken, back) = (events(&logged, "taken_over"), events(&logged, "given_back"));
    assert!(taken.iter().chain(&back).all(|event| event["by"] == "this machine"), "{logged}");
    assert_eq!((taken.len(), &back[0]["why"]), (2, &"it was given back".into()), "{logged}");
    assert_eq!(back[1]["why"], "whoever had it is gone", "{logged}");
    let files = recordings(milo.folder());
    let (_, ours) = sides(&files[0]);
    let word = &spoken("fr_hours.wav", 0)[8_000..16_000];
    let (_, alike) = found(word, &ours);
    assert!(alike > 0.6, "what was said is in the recording, on the right: {alike}");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_is_taken_over_alike_and_ends_with_its_call() {
    let milo = milo("taken-over-sip", &[]).await;
    let heard = folder("taken-over-sip-heard").join("heard.wav");
    let target = milo.udp("milo").expect("an address");
    let errand = Errand { wait: true, no_greeting: true, record: Some(heard.clone()), ..errand(target, &[]) };
    let calling = spawn(async move { call(&errand).await });
    let mut id = Value::Null;
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
        if id.is_string() {
            break;
        }
    }
    let mut person = taken_over(&milo, &id).await;
    person.speak(&spoken("mg_price.wav", 1_000), FRAME).await;
    let ending = format!("/api/v1/calls/{}", id.as_str().expect("an identifier"));
    assert_eq!(send(&milo, ("DELETE", &ending), &[], &Value::Null).status, 202);
    assert_eq!(person.closed().await, (1000, "the call is over".into()));
    calling.await.expect("the call");
    let logged = ended(&milo, &id).await;
    assert_eq!((events(&logged, "taken_over").len(), events(&logged, "given_back").len()), (1, 0), "{logged}");
    let word = &spoken("mg_price.wav", 0)[4_000..12_000];
    let (_, alike) = found(word, &milo_media::wav::read(&heard).expect("the far side's voice"));
    assert!(alike > 0.6, "the caller heard the person: {alike}");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_takes_replies_whole_is_taken_over_by_nobody() {
    let milo = milo("taken-over-whole", &[]).await;
    let caller = open(&milo, "").await;
    let id = caller.call().await;
    until(&milo, &id, "answered", |call| call["answered"].is_string()).await;
    let mut why = Value::Null;
    for _ in 0..100 {
        let status;
        (status, why) = refused(&milo, &path(&id, "takeover"), &[]);
        assert_eq!(status, 409);
        if why != "no_agent" {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(why, "unheard");
    caller.close().await;
    quiet(&milo).await;
    stop(milo).await;
}
