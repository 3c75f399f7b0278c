//! What may be called over which trunk, how much of it in a day, and emergency numbers.

use std::{path::Path, time::Duration};

use crate::{
    calling_out::{calling, calling_with, event, place, placed, trunk_to},
    house::{PROGRAM, call, errand, events, get, loud, newest_call, recording, stop, with_plans},
    telephone::Telephone,
};
use milo::{bench::Running, phone::Errand};
use milo_media::wav;
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

/// A carrier that reaches everybody.
pub(crate) const FAR: &str = "
[[plan]]
name = 'any'
number = '*'
language = 'mg'
actions = [{ answer = {} }, { music = { seconds = 1 } }]
";

/// What becomes of a call that Milo places: nothing.
pub(crate) const OUT: &str = "
[[plan]]
name = 'outgoing'
language = 'mg'
actions = [{ answer = {} }, { hangup = {} }]
";

/// Waits until a day (UTC) has begun that outlasts a scenario: what is counted within a day begins anew at midnight.
pub(crate) async fn before_midnight() {
    const DAY: u64 = 24 * 3_600;
    let left = DAY - jiff::Timestamp::now().as_second().unsigned_abs() % DAY;
    if left < 180 {
        tokio::time::sleep(std::time::Duration::from_secs(left + 1)).await;
    }
}

/// The plan for a number, with one verb.
fn plan(number: &str, verb: &str) -> String {
    format!(
        "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {verb}, {{ send_digits = {{ digits = '5' }} }}]\n"
    )
}

/// Calls a number, stays until Milo hangs up, and gives what was heard and the call's row.
async fn calls(near: &Running, number: &str) -> (Vec<i16>, Value) {
    let record = near.folder().join(format!("{number}.wav"));
    let target = near.udp(number).expect("an address");
    call(&Errand { wait: true, no_greeting: true, record: Some(record.clone()), ..errand(target, &[]) }).await;
    (wav::read(&record).expect("what was heard"), newest_call(near).await)
}

/// The numbers that somebody was called on, in the order of the calls.
fn called(far: &Running) -> Vec<String> {
    let calls = get(far, "/api/v1/calls")["calls"].clone();
    let mut numbers: Vec<_> = calls.as_array().expect("calls").iter().map(|call| call["to"].to_string()).collect();
    numbers.reverse();
    numbers.into_iter().map(|number| number.trim_matches('"').to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_calls_where_its_prefixes_say_and_so_much_in_a_day() {
    before_midnight().await;
    let far = with_plans("destinations", FAR).await;
    let trunks = [
        trunk_to(&far, "national", "allow = ['03', '034999'], deny = ['0349']"),
        trunk_to(&far, "abroad", "deny = ['0088']"),
        trunk_to(&far, "daily", "calls_per_day = 2"),
    ];
    let dear = plan("dear", "{ dial = { to = '0349123', trunk = 'national' } }");
    let address = far.udp("0349123").expect("an address");
    let round = plan("round", &format!("{{ dial = {{ to = '{address}' }} }}"));
    let near = calling("destined", &[OUT, &dear, &round].concat(), &format!("[{}]", trunks.join(", "))).await;
    for number in ["0331", "0349991"] {
        assert_eq!(
            placed(&near, &json!({ "to": number, "trunk": "national" })).await["outcome"],
            "answered",
            "{number}"
        );
    }
    for (number, trunk) in [("0349123", "national"), ("00331", "national"), ("008816", "abroad")] {
        let refused = place(&near, &json!({ "to": number, "trunk": trunk }));
        assert_eq!(refused.status, 403, "{number}: {refused:?}");
        assert!(refused.body["detail"].as_str().is_some_and(|says| says.contains("allow and deny")), "{refused:?}");
    }
    // The carrier's own address is no way round.
    let address = far.udp("008816").expect("an address").to_string();
    let refused = place(&near, &json!({ "to": address }));
    let says = refused.body["detail"].as_str().unwrap_or_default();
    assert!(refused.status == 403 && says.contains("national") && says.contains("allow and deny"), "{refused:?}");
    let row = placed(&near, &json!({ "to": "00331", "trunk": ["national", "abroad"] })).await;
    let tried = event(&row, "tried");
    assert_eq!(
        (&tried["trunk"], &tried["result"]),
        (&"national".into(), &"the trunk does not call this number".into())
    );
    assert_eq!((&row["outcome"], &event(&row, "trunk")["name"]), (&"answered".into(), &"abroad".into()), "{row}");
    for number in ["dear", "round"] {
        let (_, row) = calls(&near, number).await;
        assert_eq!(event(&row, "dialled")["result"], "the trunk does not call this number", "{row}");
    }
    assert_eq!(called(&far), ["0331", "0349991", "00331"], "nobody else was called");

    let daily = json!({ "to": "034", "trunk": "daily" });
    for _ in 0..2 {
        assert_eq!(placed(&near, &daily).await["outcome"], "answered");
    }
    let spent = place(&near, &daily);
    assert!(spent.status == 429 && spent.header("retry-after").is_some(), "{spent:?}");
    assert_eq!(get(&near, "/api/v1/trunks")["trunks"][2]["calls_today"], 2);
    assert_eq!(get(&near, "/api/v1/trunks")["trunks"][2]["minutes_today"], 1, "every minute that has begun");
    // A start begins no new day.
    let folder = near.folder().to_owned();
    near.stop().await.expect("Milo ends by itself");
    let trunks = format!("[{}]", trunks.join(", ")).replace('\'', "\"");
    let again =
        Running::start(Path::new(PROGRAM), &folder, &[("MILO__SIP__TRUNKS", &trunks)]).await.expect("Milo starts");
    let spent = place(&again, &daily);
    assert_eq!(spent.status, 429, "{spent:?}");
    stop(again).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_number_is_refused_announced_or_passed_whoever_wants_it() {
    let far = with_plans("emergency", FAR).await;
    let address = far.udp("117").expect("an address").to_string();
    let plans = [
        OUT,
        &plan("trunk", "{ dial = { to = '117', trunk = 'closed', from = '0299', privacy = true } }"),
        &plan("address", &format!("{{ dial = {{ to = '{address}' }} }}")),
        &plan("sent", &format!("{{ transfer = {{ to = '{address}' }} }}")),
    ];
    let trunks = [
        trunk_to(&far, "closed", "allow = [], max_calls = 1"),
        trunk_to(&far, "carrier", "allow = ['03'], calls_per_second = 0.01, caller_id = '0201'"),
        "{ name = 'nobody', gateway = 'sip:127.0.0.1:9;transport=tcp', caller_id = '0201' }".into(),
    ];
    let trunks = format!("[{}]", trunks.join(", "));
    let of_api = [json!({ "to": "117", "trunk": "carrier" }), json!({ "to": address })];
    let numbers = [("MILO__SIP__EMERGENCY", "[\"117\"]")];
    let with = async |name: &str, more: &[(&str, &str)]| {
        calling_with(name, &plans.concat(), &trunks, &[&numbers, more].concat()).await
    };

    let near = with("refusing", &[]).await;
    for wanted in &of_api {
        let refused = place(&near, wanted);
        assert!(
            refused.status == 403 && refused.body["detail"].as_str().is_some_and(|says| says.contains("emergency"))
        );
    }
    for number in ["trunk", "address", "sent"] {
        let (_, row) = calls(&near, number).await;
        assert_eq!(event(&row, "dialled")["result"], "an emergency number", "{number}: {row}");
        assert!(events(&row, "transferred").is_empty(), "the caller's side is not asked to call there: {row}");
        assert_eq!(events(&row, "pressed").len(), 1, "the plan goes on: {row}");
    }
    stop(near).await;

    let sound = recording("mg_greeting.wav");
    let announced =
        [("MILO__SIP__EMERGENCY_CALLS", "announce"), ("MILO__SIP__EMERGENCY_ANNOUNCEMENT", &sound.to_string_lossy())];
    let near = with("announcing", &announced).await;
    assert_eq!(place(&near, &of_api[0]).status, 403);
    let (heard, row) = calls(&near, "sent").await;
    let said = loud(&wav::read(&sound).expect("the recording"));
    assert!(loud(&heard) > said / 2, "{} loud samples of {said}", loud(&heard));
    assert_eq!(event(&row, "dialled")["result"], "an emergency number", "{row}");
    stop(near).await;
    assert!(called(&far).is_empty(), "nobody was called");

    // The first of the trunks for help does not get through; the second takes such a call past all its limits.
    let passed = [("MILO__SIP__EMERGENCY_CALLS", "pass"), ("MILO__SIP__EMERGENCY_TRUNK", "[\"nobody\", \"carrier\"]")];
    let near = with("passing", &passed).await;
    // Whoever comes to help must be able to call back, whatever is wanted.
    let hidden = json!({ "to": "117", "trunk": "carrier", "caller_id": "0299", "privacy": true });
    for wanted in [&hidden, &of_api[1]] {
        let row = placed(&near, wanted).await;
        assert_eq!((&row["outcome"], &event(&row, "trunk")["name"]), (&"answered".into(), &"carrier".into()), "{row}");
        assert_eq!((&row["to"], &row["from"]), (&"117".into(), &"0201".into()), "{row}");
    }
    let trunk = get(&near, "/api/v1/trunks")["trunks"][1].clone();
    assert_eq!((&trunk["calls_today"], &trunk["minutes_today"]), (&0.into(), &0.into()), "they count nowhere: {trunk}");
    for number in ["trunk", "address", "sent"] {
        let (_, row) = calls(&near, number).await;
        let dialled = event(&row, "dialled");
        assert_eq!((&dialled["result"], &dialled["trunk"]), (&"answered".into(), &"carrier".into()), "{number}: {row}");
    }
    // Nor does a caller who says nothing of who they are stay unknown to whoever comes.
    let nobody = block_in_place(|| Telephone::call_as_nobody(&near, "trunk"));
    for _ in 0..100 {
        if called(&far).len() == 6 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(called(&far), ["117"; 6]);
    newest_call(&near).await;
    drop(nobody);
    let rows = get(&far, "/api/v1/calls")["calls"].clone();
    let from: Vec<_> = rows.as_array().expect("calls").iter().map(|row| &row["from"]).collect();
    assert!([0, 3, 4, 5].iter().all(|at| from[*at] == "0201"), "{rows}");
    stop(near).await;
    stop(far).await;
}
