//! Days and telephone numbers that a plan asks for: said and pressed in real calls, read back, and kept by a yes only.

use std::{path::PathBuf, time::Duration};

use jiff::{
    Zoned,
    civil::{Date, Weekday},
    tz::TimeZone,
};
use milo::{bench::Running, phone::Errand, press::PressBy};
use milo_media::{dtmf::Tones, wav};
use milo_models::text::heard;
use serde_json::Value;

use crate::{
    house::{call, errand, events, newest_call, recording, stop, with_plans_and},
    tools::{Seen, program},
};

/// A plan for the number of its name, which asks for something and tells a program what it is.
fn plan(name: &str, port: u16, gather: &str) -> String {
    format!(
        "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, \
         {{ gather = {{ into = 'it', prompt = {{ say = 'Lazao azafady' }}, {gather} }} }}, \
         {{ webhook = {{ url = 'http://127.0.0.1:{port}/it', send = ['it'], sets = ['price'] }} }}, {{ hangup = {{}} }}]\n"
    )
}

/// A Milo with these plans, and what its program is told.
async fn asking(name: &str, gathers: &[(&str, &str)]) -> (Running, Seen) {
    let (port, seen) = program("0", Duration::ZERO).await;
    let plans: String = gathers.iter().map(|(name, gather)| plan(name, port, gather)).collect();
    let variables = [
        ("MILO__WEBHOOK__HOSTS", "[\"127.0.0.1\"]"),
        ("MILO__WEBHOOK__PRIVATE", "[\"127.0.0.1/32\"]"),
        // Keys are pressed in the middle of a call by what is played.
        ("MILO__MEDIA__INBAND_DTMF", "on"),
    ];
    (with_plans_and(name, &plans, &variables).await, seen)
}

/// Calls a number, presses keys or none, plays these one after the other, and stays until Milo hangs up.
async fn answer(milo: &Running, number: &str, keys: &str, play: Vec<PathBuf>) -> Value {
    let target = milo.udp(number).expect("an address");
    let digits = (!keys.is_empty()).then(|| (keys.to_owned(), PressBy::Agreed));
    call(&Errand { digits, play, wait: true, ..errand(target, &[]) }).await;
    newest_call(milo).await
}

/// A sound in which these keys are pressed.
fn keys(milo: &Running, keys: &str) -> PathBuf {
    let file = milo.folder().join(format!("keys-{}.wav", keys.replace('#', "h")));
    let mut sound = vec![0; 4_800];
    for key in keys.chars() {
        sound.extend(Tones::new(key, 120).expect("a key").flat_map(|frame| *frame.samples()));
        sound.extend([0; 3_200]);
    }
    wav::write(&file, &sound).expect("a WAV file");
    file
}

/// What the program was told last.
fn told(seen: &Seen) -> String {
    let bodies = seen.lock().expect("no panic");
    bodies.last().expect("it was asked")["variables"]["it"].as_str().expect("text").to_owned()
}

fn read_back(logged: &Value) -> Vec<Value> {
    events(logged, "read_back").into_iter().map(|event| event["right"].clone()).collect()
}

fn today() -> Date {
    Zoned::now().with_time_zone(TimeZone::get("Indian/Antananarivo").expect("a zone")).date()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_said_is_read_back_and_a_yes_keeps_it() {
    let (milo, seen) =
        asking("answers-day", &[("day", "input = 'speech', kind = 'date', within_days = 30, confirm = true")]).await;
    let next = || today().nth_weekday(1, Weekday::Tuesday).expect("a Tuesday").to_string();
    let before = next();
    // "… ny talata …", "eny".
    let logged = answer(&milo, "day", "", ["mg_appointment.wav", "mg_yes.wav"].map(recording).into()).await;
    assert_eq!(read_back(&logged), [true], "{logged}");
    // It may have become Tuesday meanwhile.
    assert!([before, next()].contains(&told(&seen)), "{}: {logged}", told(&seen));
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_pressed_and_asked_for_again_after_a_no() {
    let (milo, seen) =
        asking("answers-keys", &[("day", "kind = 'date', confirm = true, invalid = { say = 'Diso' }")]).await;
    let year = today().year() + 1;
    // 31 February is no day and is not read back; the first that is one is denied, the next is kept.
    let second = format!("1501{year}#");
    let play = ["1401#", "2", second.as_str(), "1"].map(|pressed| keys(&milo, pressed));
    let logged = answer(&milo, "day", "3102#", play.into()).await;
    let tries: Vec<_> = events(&logged, "gathered").into_iter().map(|event| event["right"].clone()).collect();
    assert_eq!(
        (tries, read_back(&logged)),
        (vec![false.into(), true.into(), true.into()], vec![false.into(), true.into()]),
        "{logged}"
    );
    assert_eq!(told(&seen), format!("{year}-01-15"), "{logged}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_number_that_was_said_with_pauses_becomes_e_164_and_what_is_no_yes_does_not_keep_it() {
    let number = "input = 'speech', kind = 'telephone', pause_ms = 2500";
    let sure = format!("{number}, confirm = true, retries = 0");
    let (milo, seen) =
        asking("answers-number", &[("number", &format!("{number}, retries = 0")), ("sure", &sure)]).await;
    // "ny laharako aotra telo efatra … roa roa … efatra efatra enina … fito valo"
    let logged = answer(&milo, "number", "", vec![recording("mg_number.wav")]).await;
    let gathered = events(&logged, "gathered")[0];
    // A word now and then is misheard on a busy machine: what was heard is what counts.
    let understood = heard::telephone(gathered["heard"].as_str().expect("words"));
    assert_eq!(gathered["right"], understood.is_some(), "{logged}");
    assert_eq!(told(&seen), understood.clone().unwrap_or_default(), "{logged}");
    if understood.is_none() {
        return stop(milo).await;
    }
    // Whoever asks something else in place of a yes is asked once more, and nothing is kept.
    let logged =
        answer(&milo, "sure", "", ["mg_number.wav", "mg_hours.wav", "mg_price.wav"].map(recording).into()).await;
    if events(&logged, "gathered")[0]["right"] == true {
        assert_eq!(read_back(&logged), [Value::Null, Value::Null], "{logged}");
    }
    assert_eq!(told(&seen), "", "{logged}");
    stop(milo).await;
}
