//! Which plan a call gets: by the hour and the holidays of its file, by who calls and over which trunk, by its header fields and its
//! languages. Each plan refuses with a status of its own, by which it is known.

use std::{fs, path::Path, time::Duration};

use jiff::{Span, Zoned, tz::TimeZone};

use crate::{
    by_hand::{Peer, reached},
    calling_out::calling,
    house::{MILO, get, newest_call, send, stop, with_plans},
};
use milo::bench::Running;
use serde_json::{Value, json};

const SOMEBODY: &str = "<sip:+261341234567@127.0.0.1>";

/// A plan that is known by its status.
fn plan(number: &str, status: u16, conditions: &str) -> String {
    format!(
        "[[plan]]\nname = 'plan {status}'\nnumber = '{number}'\n{conditions}\nlanguage = 'mg'\n\
         actions = [{{ reject = {{ status = {status} }} }}]\n"
    )
}

/// The status of a call to this number.
async fn status(milo: &Running, number: &str, (from, fields): (&str, &str)) -> u16 {
    Peer::beside(milo).await.status(number, from, fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_and_holidays_of_a_file_keep_its_plans_for_their_time() {
    // As a person in that zone reads the clock; an hour's room on either side of now.
    let zone = TimeZone::get("Indian/Antananarivo").expect("a time zone");
    let now = Zoned::now().with_time_zone(zone);
    let at = |hours: i64| now.checked_add(Span::new().hours(hours)).expect("a moment");
    let clock = |hours: i64| at(hours).strftime("%H:%M").to_string();
    let day = |hours: i64| at(hours).strftime("%Y-%m-%d").to_string();
    let weekday = |hours: i64| at(hours).strftime("%a").to_string().to_lowercase();
    let open = format!("hours = [{{ from = '{}', to = '{}' }}]", clock(-1), clock(1));
    let closed = format!("hours = [{{ from = '{}', to = '{}' }}]", clock(2), clock(3));
    // Neither of the days that this scenario can fall on.
    let other_days = format!("hours = [{{ days = ['{}'], from = '00:00', to = '24:00' }}]", weekday(72));
    let plans = [
        plan("desk", 480, &closed),
        plan("desk", 482, &other_days),
        plan("desk", 483, "holiday = true"),
        plan("desk", 486, &open),
        plan("desk", 603, ""),
    ];
    // The same hours in a file whose clocks are twelve hours ahead are over, or yet to come.
    let far_away = "zone = '+15:00'\n";
    let milo = with_plans("plan-hours", &plans.concat()).await;
    assert_eq!(status(&milo, "desk", (SOMEBODY, "")).await, 486);
    assert_eq!(newest_call(&milo).await["dialplan"], "plan 486");

    // Today is a holiday, and so are the days beside it should midnight pass.
    let holidays = format!("holidays = ['{}', '{}', '{}']\n", day(-24), day(0), day(24));
    let plans_at = get(&milo, "/api/v1/dialplans")["folder"].as_str().expect("a folder").to_owned();
    let write = |head: &str, plans: &[String]| {
        fs::write(Path::new(&plans_at).join("plans.toml"), [head, MILO, &plans.concat()].concat()).expect("written");
    };
    write(&holidays, &plans);
    reloaded(&milo);
    assert_eq!(status(&milo, "desk", (SOMEBODY, "")).await, 483);
    // Who is there on other days only is not there.
    write(&holidays, &[plan("desk", 486, "holiday = false"), plan("desk", 603, "")]);
    reloaded(&milo);
    assert_eq!(status(&milo, "desk", (SOMEBODY, "")).await, 603);
    write("", &[plan("desk", 486, "holiday = false"), plan("desk", 603, "")]);
    reloaded(&milo);
    assert_eq!(status(&milo, "desk", (SOMEBODY, "")).await, 486);
    write(far_away, &[plan("desk", 486, &open), plan("desk", 603, "")]);
    reloaded(&milo);
    assert_eq!(status(&milo, "desk", (SOMEBODY, "")).await, 603, "it is another time there");
    // What would run is told for any moment, and why not.
    write(&holidays, &[plan("desk", 486, "holiday = false"), plan("desk", 603, "")]);
    reloaded(&milo);
    let told = send(&milo, ("POST", "/api/v1/dialplans/test"), &[], &json!({ "from": "+26134", "to": "desk" }));
    assert!(told.status == 200 && told.body.to_string().contains(&format!("{} is a holiday", day(0))), "{told:?}");
    stop(milo).await;
}

/// Has the plans read now.
fn reloaded(milo: &Running) {
    let answer = send(milo, ("POST", "/api/v1/dialplans/reload"), &[], &Value::Null);
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_for_its_callers_its_trunks_its_fields_and_its_languages() {
    let plans = [
        plan("desk", 480, "from = '+33*'"),
        plan("desk", 481, "trunk = 'carrier'"),
        plan("desk", 482, "headers = { X-Queue = 'sales-*' }"),
        plan("desk", 483, "accept_language = 'fr*'"),
        plan("0[2-9]?", 484, ""),
        plan("*", 603, ""),
    ];
    let milo = calling("plan-conditions", &plans.concat(), "[{ name = 'carrier', address = '127.0.0.9' }]").await;
    for (number, from, fields, expected) in [
        ("desk", "<sip:+33123456789@127.0.0.1>", "X-Queue: sales-1\r\n", 480),
        ("desk", SOMEBODY, "X-Queue: sales-1\r\nAccept-Language: fr\r\n", 482),
        ("desk", SOMEBODY, "X-Queue: help\r\nAccept-Language: mg, fr-FR;q=0.5\r\n", 483),
        ("desk", SOMEBODY, "Accept-Language: mg, fr;q=0\r\n", 603),
        ("desk", SOMEBODY, "", 603),
        ("023", SOMEBODY, "", 484),
        ("013", SOMEBODY, "", 603),
    ] {
        assert_eq!(status(&milo, number, (from, fields)).await, expected, "{number} from {from} with {fields:?}");
    }
    let over_the_trunk = Peer::at([127, 0, 0, 9], reached(&milo)).await;
    assert_eq!(over_the_trunk.status("desk", SOMEBODY, "X-Queue: sales-1\r\n").await, 481);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_leaves_the_plans_of_before_in_force() {
    let milo = with_plans("plan-kept", &plan("desk", 486, "")).await;
    let plans_at = get(&milo, "/api/v1/dialplans")["folder"].as_str().expect("a folder").to_owned();
    let file = Path::new(&plans_at).join("plans.toml");
    for wrong in
        ["[[plan]]\nname = 'desk'\n", "no toml at all", &plan("desk", 603, "hours = [{ from = '8', to = '9' }]")]
    {
        fs::write(&file, [MILO, wrong].concat()).expect("written");
        let answer = send(&milo, ("POST", "/api/v1/dialplans/reload"), &[], &Value::Null);
        assert_eq!(answer.status, 422, "{wrong:?}: {answer:?}");
        let list = get(&milo, "/api/v1/dialplans");
        assert!(list["faults"][0]["file"].as_str().is_some_and(|file| file.ends_with("plans.toml")), "{list}");
        assert_eq!(status(&milo, "desk", (SOMEBODY, "")).await, 486, "{wrong:?}");
    }
    // Seen by itself, too.
    fs::write(&file, [MILO, &plan("desk", 603, "")].concat()).expect("written");
    let mut heard = 0;
    for _ in 0..100 {
        heard = status(&milo, "desk", (SOMEBODY, "")).await;
        if heard == 603 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(heard, 603);
    stop(milo).await;
}
