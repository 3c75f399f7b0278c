//! The tools that ship, had by name: what callers leave for the people of the house, and numbers that are collected on the line.

use std::fs;

use jiff::{Zoned, tz::TimeZone};
use milo_models::text::heard;
use serde_json::json;

use crate::{
    hosted::server::{Conduct, Server},
    house::{answered, call, errand, events, folder, get, newest_call, not_looked_at, send, stop},
    tools::{lent, results, with_files},
};

const BACK: &[(&str, &str)] =
    &[("call_back", r#"{"telephone": "034 12 345 67", "day": "rahampitso", "hour": "maraina", "subject": ""}"#)];
const MESSAGE: &[(&str, &str)] = &[("take_message", r#"{"message": "Tsy ho avy aho.", "whom": "Rina"}"#)];
const ASK: &[(&str, &str)] = &[("collect_yes_no", r#"{"question": "Ho avy ve ianao?"}"#)];
const KEYS: &[(&str, &str)] = &[("send_digits", r#"{"keys": "12#"}"#)];
const LOOK: &[(&str, &str)] = &[("look_up", r#"{"question": "vidin'ny tapakila"}"#)];
const COLLECT: &[(&str, &str)] = &[("collect_telephone", "{}")];

#[tokio::test(flavor = "multi_thread")]
async fn a_message_and_a_call_back_wait_for_whoever_does_them() {
    let server = Server::start(Conduct::says("Eny.")).await;
    let variables = server.variables("openai");
    let at = folder("ready-requests");
    let milo = with_files(&at, (&["call_back", "take_message"], &[]), false, &lent(&variables)).await;
    let tomorrow = || {
        let now = Zoned::now().with_time_zone(TimeZone::get("Indian/Antananarivo").expect("a zone"));
        now.date().tomorrow().expect("a day").to_string()
    };
    let before = tomorrow();
    server.then([Conduct::Calls(BACK), Conduct::Calls(MESSAGE)]);
    call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav", "mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;
    let said: Vec<_> = answered(&logged).iter().map(|turn| turn["said"].clone()).collect();
    assert_eq!(said, ["Voaray izany, hiantso anao izahay.", "Voaray ny hafatrao, hampitaiko izany."], "{logged}");

    let page = get(&milo, "/api/v1/requests?state=open");
    let [message, back] = &page["requests"].as_array().expect("requests")[..] else { panic!("{page}: {logged}") };
    assert_eq!((&message["kind"], &message["text"]), (&"message".into(), &"Rina Tsy ho avy aho.".into()), "{page}");
    assert_eq!((&back["kind"], &back["telephone"]), (&"call_back".into(), &"+261341234567".into()), "{page}");
    assert_eq!((&back["call_id"], &back["text"]), (&logged["id"], &json!(null)), "{page}");
    let wanted = back["wanted"].as_str().expect("when");
    assert!([before, tomorrow()].iter().any(|day| wanted == format!("{day} maraina")), "{page}");
    // Who they are stands in the list; the call's events say that they were made.
    assert_eq!(events(&logged, "requested").len(), 2, "{logged}");
    let path = format!("/api/v1/requests/{}", back["id"].as_str().expect("an identifier"));
    let done = send(&milo, ("POST", &path), &[], &json!({ "done": true }));
    assert!(done.status == 200 && done.body["done"].is_string(), "{done:?}");
    assert_eq!(get(&milo, "/api/v1/requests?state=open")["requests"].as_array().expect("requests").len(), 1);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_number_is_collected_on_the_line_and_told_to_the_model_once_it_is_confirmed() {
    let server = Server::start(Conduct::says("Eny.")).await;
    let variables = server.variables("openai");
    let at = folder("ready-collect");
    let milo = with_files(&at, (&["collect_telephone"], &[]), false, &lent(&variables)).await;
    server.then([Conduct::Calls(COLLECT), Conduct::says("Misaotra tompoko.")]);
    call(&errand(milo.udp("milo").expect("an address"), &["mg_price.wav", "mg_number.wav", "mg_yes.wav"])).await;
    let logged = newest_call(&milo).await;
    let gathered = events(&logged, "gathered")[0];
    let number = heard::telephone(gathered["heard"].as_str().expect("words"));
    assert_eq!(gathered["right"], number.is_some(), "{logged}");
    let Some(number) = number else {
        not_looked_at("a number that is collected: one of its words was misheard");
        return stop(milo).await;
    };
    assert_eq!(events(&logged, "read_back")[0]["right"], true, "{logged}");
    let asked = server.asked();
    assert_eq!(results(&asked[1].body), [format!(r#"{{"telephone": "{number}"}}"#)], "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_by_yes_or_no_keys_are_pressed_and_what_is_known_is_looked_up() {
    let server = Server::start(Conduct::says("Eny.")).await;
    let variables = server.variables("openai");
    let at = folder("ready-others");
    let office = at.join("plans/knowledge/office");
    fs::create_dir_all(&office).expect("a folder");
    fs::write(office.join("vidiny.md"), "# Vidin'ny tapakila\nRoa alina ariary.\n").expect("written");
    let names = ["collect_yes_no", "send_digits", "look_up"];
    let milo = with_files(&at, (&names, &[]), false, &lent(&variables)).await;
    server.then([
        Conduct::Calls(LOOK),
        Conduct::says("Roa alina."),
        Conduct::Calls(KEYS),
        Conduct::says("Vita."),
        Conduct::Calls(ASK),
        Conduct::says("Misaotra."),
    ]);
    // The last of these answers the question.
    let recordings = ["mg_price.wav", "mg_hours.wav", "mg_price.wav", "mg_yes.wav"];
    let heard = call(&errand(milo.udp("milo").expect("an address"), &recordings)).await;
    let logged = newest_call(&milo).await;
    assert_eq!(heard.keys, "12#", "{logged}");
    let asked = server.asked();
    let told: Vec<_> = [1, 3, 5].into_iter().filter_map(|n| results(&asked.get(n)?.body).pop()).collect();
    assert_eq!(told.len(), 3, "{told:?}: {logged}");
    assert!(told[0].contains("Roa alina ariary."), "{told:?}");
    assert_eq!(told[1..], [r#"{"ok": true}"#, r#"{"answer": "yes"}"#], "{logged}");
    assert!(logged["turns"].to_string().contains("Ho avy ve ianao?"), "{logged}");
    stop(milo).await;
}
