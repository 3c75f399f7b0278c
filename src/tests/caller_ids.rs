//! Who calls, as a trunk's rules say: its own number, the number of whoever called Milo (`caller`), or what the plan says.

use crate::{
    by_hand::Peer,
    calling_out::{calling, event, place},
    house::{ended, get, stop},
};
use milo_signaling::sip::Message;
use serde_json::json;

/// The user part of From.
fn from(invite: &Message) -> String {
    invite.from().expect("a From").uri.user()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_shows_its_own_number_or_the_callers_or_the_plans() {
    let mut carrier = Peer::at([127, 0, 0, 1], ([127, 0, 0, 1], 9).into()).await;
    let gateway = carrier.address();
    let plan = |number: &str, dial: &str| {
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\n\
             actions = [{{ answer = {{}} }}, {{ dial = {{ to = '0341234567', {dial} }} }}, {{ hangup = {{}} }}]\n"
        )
    };
    let plans = [
        plan("fixed", "trunk = 'fixed'"),
        plan("passed", "trunk = 'passed'"),
        plan("said", "trunk = 'passed', from = '0200000009'"),
        plan("strange", "trunk = 'fixed', from = '0200000009'"),
        plan("listed", "trunk = 'listed', from = '0200000009'"),
        "[[plan]]\nname = 'outgoing'\nlanguage = 'mg'\nactions = [{ answer = {} }, { hangup = {} }]\n".to_owned(),
    ];
    let trunks = format!(
        "[{{ name = 'fixed', gateway = 'sip:{gateway}', caller_id = '0200000001' }}, \
         {{ name = 'passed', gateway = 'sip:{gateway}', caller_id = 'caller', username = '261200', password = 'x' }}, \
         {{ name = 'listed', gateway = 'sip:{gateway}', caller_id = '0200000001', caller_ids = ['0200000002'] }}]"
    );
    let milo = calling("caller-ids", &plans.concat(), &trunks).await;
    carrier.speak_with(&milo);
    for (number, caller, shown) in [
        ("fixed", "+261341112233", "0200000001"),
        ("passed", "+261341112233", "+261341112233"),
        ("passed", "0331112233", "0331112233"),
        // Whoever writes no number is no number of ours to vouch for.
        ("passed", "boss%40bank.example", "261200"),
        ("said", "+261341112233", "0200000009"),
        // A trunk without a list of numbers shows what the operator's plan says.
        ("strange", "+261341112233", "0200000009"),
    ] {
        let caller_at = Peer::beside(&milo).await;
        let calling = caller_at.call(number, &format!("<sip:{caller}@pbx.example>"), "").await;
        let invite = carrier.hear("INVITE").await;
        assert_eq!(from(&invite), shown, "{number} of {caller}");
        carrier.answer(&invite, 486, false).await;
        carrier.hear("ACK").await;
        let bye = caller_at.hear("BYE").await;
        caller_at.answer(&bye, 200, false).await;
        drop(calling);
    }
    // One that has a list shows what stands there, and nothing else, whoever says so.
    let caller = Peer::beside(&milo).await;
    let _calling = caller.call("listed", "<sip:+261341112233@pbx.example>", "").await;
    let bye = caller.hear("BYE").await;
    caller.answer(&bye, 200, false).await;
    let row = ended(&milo, &get(&milo, "/api/v1/calls?limit=1")["calls"][0]["id"]).await;
    let dialled = event(&row, "dialled");
    assert!(dialled["result"] != "busy" && dialled["status"].is_null(), "nobody was called: {row}");
    let listed = |id: &str| place(&milo, &json!({ "to": "0341234567", "trunk": "listed", "caller_id": id }));
    assert_eq!(listed("0200000009").status, 422);
    assert_eq!(listed("0200000002").status, 202);
    let invite = carrier.hear("INVITE").await;
    assert_eq!(from(&invite), "0200000002");
    carrier.answer(&invite, 486, false).await;
    // A caller of the API is nobody whose number could be passed on.
    assert_eq!(place(&milo, &json!({ "to": "0341234567", "trunk": "passed" })).status, 202);
    let invite = carrier.hear("INVITE").await;
    assert_eq!(from(&invite), "261200");
    carrier.answer(&invite, 486, false).await;
    stop(milo).await;
}
