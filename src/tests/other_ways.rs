//! Several trunks for one number: the next is tried where one does not get through, and no other when somebody was asked.

use crate::{
    address::own_address,
    calling_out::{calling, event, place, placed, trunk_to},
    house::{call, ended, errand, events, get, newest_call, stop, with_plans},
    referring::{hang_up, up},
    telephone::{Telephone, at},
};
use milo::phone::Errand;
use serde_json::json;
use tokio::task::block_in_place;

/// The carrier that gets through.
const GOOD: &str = "
[[plan]]
name = 'there'
number = ['there', '0341']
language = 'mg'
actions = [{ answer = {} }, { music = { seconds = 1 } }]

[[plan]]
name = 'engaged'
number = 'engaged'
language = 'mg'
actions = [{ reject = { status = 486 } }]
";

/// The carrier that has failed, for some only after it has rung.
const BROKEN: &str = "
[[plan]]
name = 'rung'
number = ['rung', '0342']
language = 'mg'
actions = [{ ring = { seconds = 1 } }, { reject = { status = 503 } }]

[[plan]]
name = 'any'
number = '*'
language = 'mg'
actions = [{ reject = { status = 503 } }]
";

#[tokio::test(flavor = "multi_thread")]
async fn the_next_trunk_is_tried_where_one_fails_and_not_when_somebody_was_asked() {
    let (good, broken) = (with_plans("good", GOOD).await, with_plans("broken", BROKEN).await);
    let nobody = format!("{{ name = 'nobody', gateway = 'sip:{}:5070;transport=tcp' }}", own_address());
    let trunks = [trunk_to(&broken, "broken", ""), nobody, trunk_to(&good, "good", "")];
    let plans = "[[plan]]\nname = 'outgoing'\nlanguage = 'mg'\nactions = [{ answer = {} }, { wait = { seconds = 1 } }]\n\n\
                 [[plan]]\nname = 'through'\nnumber = 'through'\nlanguage = 'mg'\n\
                 actions = [{ answer = {} }, { dial = { to = 'there', trunk = ['broken', 'good'] } }]\n\n\
                 [[plan]]\nname = 'asked'\nnumber = 'asked'\nlanguage = 'mg'\n\
                 actions = [{ answer = {} }, { dial = { to = 'rung', trunk = ['broken', 'good'] } }]\n";
    let near = calling("choosing", plans, &format!("[{}]", trunks.join(", "))).await;

    let row = placed(&near, &json!({ "to": "there", "trunk": ["broken", "nobody", "good"] })).await;
    let tried: Vec<_> =
        events(&row, "tried").into_iter().map(|tried| (tried["trunk"].as_str(), tried["status"].as_u64())).collect();
    assert_eq!(tried, [(Some("broken"), Some(503)), (Some("nobody"), Some(503))], "{row}");
    assert_eq!((&row["outcome"], &event(&row, "trunk")["name"]), (&"answered".into(), &"good".into()), "{row}");
    assert_eq!(events(&row, "dialling").len(), 3, "{row}");

    // They speak with somebody else, or have been called to the telephone: no other way leads to them.
    for (number, trunks, status) in [("engaged", ["good", "broken"], 486), ("rung", ["broken", "good"], 503)] {
        let row = placed(&near, &json!({ "to": number, "trunk": trunks })).await;
        assert_eq!((events(&row, "dialling").len(), &row["sip_status"]), (1, &status.into()), "{row}");
    }
    // When none gets through, the last says why.
    let row = placed(&near, &json!({ "to": "there", "trunk": ["nobody", "broken"] })).await;
    assert_eq!(
        (&row["outcome"], &row["sip_status"], events(&row, "tried").len()),
        (&"refused".into(), &503.into(), 2),
        "{row}"
    );

    // The same for a caller of the verb `dial`.
    let target = near.udp("through").expect("an address");
    call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let row = newest_call(&near).await;
    assert_eq!(event(&row, "tried")["trunk"], "broken", "{row}");
    let dialled = event(&row, "dialled");
    assert_eq!((&dialled["result"], &dialled["trunk"]), (&"answered".into(), &"good".into()), "{row}");
    let target = near.udp("asked").expect("an address");
    call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
    let row = newest_call(&near).await;
    let dialled = event(&row, "dialled");
    assert_eq!((&dialled["result"], &dialled["status"]), (&"refused".into(), &503.into()), "{row}");
    assert_eq!(events(&row, "tried").len(), 1, "it has rung: {row}");
    assert_eq!(get(&good, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(3), "there, engaged, there");
    for milo in [near, good, broken] {
        stop(milo).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_trunk_is_passed_over() {
    let good = with_plans("roomy", GOOD).await;
    let trunks = [trunk_to(&good, "narrow", "calls_per_second = 0.01"), trunk_to(&good, "wide", "")].join(", ");
    let plans = "[[plan]]\nname = 'outgoing'\nlanguage = 'mg'\nactions = [{ answer = {} }, { hangup = {} }]\n";
    let near = calling("passing-over", plans, &format!("[{trunks}]")).await;
    let call = json!({ "to": "there", "trunk": ["narrow", "wide"] });
    let (first, second) = (placed(&near, &call).await, placed(&near, &call).await);
    assert_eq!((&event(&first, "trunk")["name"], events(&first, "tried").len()), (&"narrow".into(), 0), "{first}");
    assert_eq!(event(&second, "trunk")["name"], "wide", "{second}");
    let tried = event(&second, "tried");
    assert_eq!(
        (&tried["trunk"], &tried["result"]),
        (&"narrow".into(), &"the trunk carries no more".into()),
        "{second}"
    );
    stop(near).await;
    stop(good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_named_by_a_refer_is_looked_for_over_the_next_trunk_too() {
    let (good, broken) = (with_plans("refer-good", GOOD).await, with_plans("refer-broken", BROKEN).await);
    // The second one calls elsewhere only.
    let elsewhere = trunk_to(&good, "elsewhere", "allow = ['09']");
    let trunks = [trunk_to(&broken, "broken", ""), elsewhere, trunk_to(&good, "good", "")];
    let plans =
        "[[plan]]\nname = 'outgoing'\nlanguage = 'mg'\nactions = [{ answer = {} }, { wait = { seconds = 60 } }]\n";
    let near = calling("refer-choosing", plans, &format!("[{}]", trunks.join(", "))).await;
    // Whom Milo has called may name whom they want instead.
    let mut called = block_in_place(|| Telephone::new(&near));
    let placed = place(&near, &json!({ "to": called.address() }));
    assert_eq!(placed.status, 202, "{placed:?}");
    block_in_place(|| called.takes_a_call());
    let over_there = async |number: &str| get(&good, "/api/v1/calls")["calls"].to_string().matches(number).count();
    block_in_place(|| {
        assert_eq!(called.refers(&format!("sip:0342@{}", at(&near))), 202);
        assert_eq!(called.told().last(), Some(&503), "it has rung: nobody else is asked");
    });
    assert_eq!(over_there("0342").await, 0);
    block_in_place(|| {
        assert_eq!(called.refers(&format!("sip:0341@{}", at(&near))), 202);
        assert_eq!(called.told().last(), Some(&200));
        called.answers("BYE", "200 OK");
    });
    let there = up(&good, "0341").await;
    hang_up(&good, &there);
    ended(&near, &placed.body["id"]).await;
    for milo in [near, good, broken] {
        stop(milo).await;
    }
}
