//! Attended transfers that Milo begins: somebody is called while the caller hears music, hears who comes, and then the caller's
//! telephone takes Milo's place (REFER with Replaces), or Milo joins the two.

use crate::{
    house::{ended, events, get, loud, newest_call, recordings, sides, stop, until, with_plans},
    telephone::{Telephone, field},
};
use milo::bench::Running;
use serde_json::Value;

/// Those who are called.
const FAR: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
record = true
actions = [{ answer = {} }, { digits = {} }, { digits = {} }]

[[plan]]
name = 'away'
number = 'away'
language = 'mg'
actions = [{ ring = { seconds = 60 } }, { answer = {} }]

[[plan]]
name = 'brusque'
number = 'brusque'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 1 } }]

[[plan]]
name = 'hasty'
number = 'hasty'
language = 'mg'
actions = [{ answer = {} }, { wait = { seconds = 1 } }]
";

/// A Milo whose numbers transfer to those of the other.
async fn transferring(name: &str, far: &Running) -> Running {
    let plan = |number: &str, more: &str| {
        let to = far.udp(number).expect("an address");
        let told = far.udp("told").expect("an address");
        format!(
            "[[plan]]\nname = '{number}'\nnumber = '{number}'\nlanguage = 'mg'\nactions = [\n  {{ answer = {{}} }},\n  \
             {{ transfer = {{ to = '{to}', mode = 'attended', {more} }} }},\n  \
             {{ message = {{ to = '{told}', text = '{number}: {{{{transfer_result}}}}' }} }},\n]\n"
        )
    };
    let plans = [
        plan("desk", "announce = 'Misy olona miandry anao amin ny telefaonina'"),
        plan("away", "seconds = 2"),
        plan("brusque", ""),
        plan("hasty", "announce = 'Misy olona miandry anao amin ny telefaonina izao, ary te hiresaka aminao izy'"),
    ];
    with_plans(name, &plans.concat()).await
}

/// What the plan said came of it.
fn told(far: &Running) -> String {
    let messages = get(far, "/api/v1/messages");
    messages["messages"][0]["text"].as_str().unwrap_or_default().to_owned()
}

fn result(row: &Value, by: &str) -> Value {
    let all = events(row, "transferred");
    let found = all.iter().find(|event| event["by"] == by);
    found.unwrap_or_else(|| panic!("no transfer {by} in {row}"))["result"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_telephone_takes_milos_place() {
    let far = with_plans("attended-far", FAR).await;
    let near = transferring("attended-near", &far).await;
    let mut telephone = tokio::task::block_in_place(|| Telephone::call(&near, "desk"));
    let (bye, place) = tokio::task::block_in_place(|| {
        let refer = telephone.answers("REFER", "202 Accepted");
        assert!(field(&refer, "Refer-To").contains("?Replaces="), "{refer}");
        assert!(refer.contains("Referred-By: "), "{refer}");
        telephone.tells("100 Trying", "active;expires=60");
        let (bye, place) = telephone.takes_the_place(&refer);
        telephone.tells("200 OK", "terminated;reason=noresource");
        telephone.answers("BYE", "200 OK");
        (bye, place)
    });
    assert!(telephone.heard() > 50, "the caller hears music");
    let row = newest_call(&near).await;
    assert_eq!(
        (result(&row, "attended"), &row["end_reason"]),
        ("answered".into(), &"the caller was transferred".into())
    );
    assert_eq!(events(&row, "dialled")[0]["result"], "answered", "{row}");
    // The one who was called is still there, with the caller now.
    let there = get(&far, "/api/v1/calls")["calls"][0].clone();
    assert!(there["ended"].is_null() && there["to"] == "desk", "{there}");
    telephone.send(&bye, &place);
    tokio::task::block_in_place(|| telephone.hear("SIP/2.0 200"));
    ended(&far, &there["id"]).await;
    let file = recordings(far.folder()).pop().expect("a recording");
    let announced = loud(&sides(&file).0);
    assert!(announced > 4_000, "who was called hears who comes: {announced} loud samples");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_callers_telephone_does_not_milo_joins_the_two() {
    let far = with_plans("joined-far", FAR).await;
    let near = transferring("joined-near", &far).await;
    for (status, last) in [("603 Decline", None), ("202 Accepted", Some("486 Busy Here"))] {
        let mut telephone = tokio::task::block_in_place(|| Telephone::call(&near, "desk"));
        tokio::task::block_in_place(|| {
            telephone.answers("REFER", status);
            if let Some(last) = last {
                telephone.tells("100 Trying", "active;expires=60");
                telephone.tells(last, "terminated;reason=noresource");
            }
        });
        let id = get(&near, "/api/v1/calls")["calls"][0]["id"].clone();
        let row = until(&near, &id, "joined", |row| events(row, "transferred").len() == 2).await;
        let refused = if last.is_some() { "failed" } else { "refused" };
        assert_eq!((result(&row, "attended"), result(&row, "joined")), (refused.into(), "answered".into()), "{row}");
        assert_eq!(get(&far, "/api/v1/calls")["calls"][0]["ended"], Value::Null, "the one who was called is there");
        tokio::task::block_in_place(|| telephone.hangs_up());
        let row = ended(&near, &id).await;
        assert_eq!(events(&row, "parted")[0]["why"], "the caller hung up", "{row}");
        let there = get(&far, "/api/v1/calls")["calls"][0]["id"].clone();
        ended(&far, &there).await;
    }
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_elsewhere_hears_music_until_their_telephone_says_how_it_went() {
    let plan = "[[plan]]\nname = 'sent'\nnumber = 'sent'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { transfer = { to = 'sip:100@127.0.0.1:9' } }, { wait = { seconds = 5 } }]\n";
    let milo = with_plans("sent-away", plan).await;
    for (last, outcome) in [("200 OK", "answered"), ("486 Busy Here", "failed")] {
        let mut telephone = tokio::task::block_in_place(|| Telephone::call(&milo, "sent"));
        tokio::task::block_in_place(|| {
            let refer = telephone.answers("REFER", "202 Accepted");
            assert!(field(&refer, "Refer-To").contains("sip:100@127.0.0.1:9"), "{refer}");
            telephone.tells("100 Trying", "active;expires=60");
            telephone.heard();
            std::thread::sleep(std::time::Duration::from_secs(2));
            let heard = telephone.heard();
            assert!(heard > 40, "of two seconds {heard} packets are music");
            telephone.tells(last, "terminated;reason=noresource");
            // What had been given to the line before is all that follows.
            std::thread::sleep(std::time::Duration::from_millis(500));
            telephone.heard();
            std::thread::sleep(std::time::Duration::from_secs(1));
            assert_eq!(telephone.heard(), 0, "the music ends with the news");
            telephone.answers("BYE", "200 OK");
        });
        let row = newest_call(&milo).await;
        assert_eq!(result(&row, "refer"), outcome, "{row}");
    }
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_goes_on_when_nobody_answers_or_stays() {
    let far = with_plans("unattended-far", FAR).await;
    let near = transferring("unattended-near", &far).await;
    let telephone = tokio::task::block_in_place(|| Telephone::call(&near, "away"));
    tokio::task::block_in_place(|| telephone.answers("BYE", "200 OK"));
    let row = newest_call(&near).await;
    assert_eq!(
        (result(&row, "attended"), &row["end_reason"]),
        ("no answer".into(), &"the plan is done".into()),
        "{row}"
    );
    assert_eq!(told(&far), "away: no answer");
    // One who hangs up while they are told who comes: the caller's telephone is asked for nothing.
    let telephone = tokio::task::block_in_place(|| Telephone::call(&near, "hasty"));
    tokio::task::block_in_place(|| telephone.answers("BYE", "200 OK"));
    let row = newest_call(&near).await;
    assert_eq!(result(&row, "attended"), "the one who was called hung up", "{row}");
    assert_eq!(told(&far), "hasty: the one who was called hung up");
    // One who hangs up while the caller's telephone is asked.
    let telephone = tokio::task::block_in_place(|| Telephone::call(&near, "brusque"));
    tokio::task::block_in_place(|| {
        telephone.answers("REFER", "202 Accepted");
        telephone.answers("BYE", "200 OK");
    });
    let row = newest_call(&near).await;
    assert_eq!(result(&row, "attended"), "the one who was called hung up", "{row}");
    assert_eq!(
        (told(&far).as_str(), &row["end_reason"]),
        ("brusque: the one who was called hung up", &"the plan is done".into())
    );
    stop(near).await;
    stop(far).await;
}
