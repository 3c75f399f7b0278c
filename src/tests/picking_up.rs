//! A telephone picks up what rings at another, or takes over what another is talking in: its INVITE names that dialog (Replaces,
//! RFC 3891), and the caller that Milo has joined them with stays on the line.

use std::time::Duration;

use milo_signaling::sip::{Message, Name};

use crate::{
    by_hand::{Peer, SOON, audio_of},
    calling_out::event,
    house::{ended, get, stop, until, with_plans},
};
use milo::bench::Running;
use serde_json::Value;

/// A Milo whose number `desk` dials this telephone.
async fn dialling(name: &str, desk: &Peer) -> Running {
    let plan = format!(
        "[[plan]]\nname = 'desk'\nnumber = 'desk'\nlanguage = 'mg'\n\
         actions = [{{ answer = {{}} }}, {{ dial = {{ to = 'sip:desk@{}' }} }}, {{ hangup = {{}} }}]\n",
        desk.address()
    );
    with_plans(name, &plan).await
}

/// The header field that names the dialog of this INVITE of Milo's as Milo knows it; the one who was called has the tag `peer`.
fn replaces(invite: &Message, more: &str) -> String {
    let tag = invite.from().ok().and_then(|from| from.tag().map(str::to_owned)).expect("a tag");
    format!("Replaces: {};to-tag={tag};from-tag=peer{more}\r\n", invite.call_id().expect("a Call-ID"))
}

async fn only_call(milo: &Running) -> Value {
    get(milo, "/api/v1/calls?limit=1")["calls"][0]["id"].clone()
}

const COLLEAGUE: &str = "<sip:colleague@127.0.0.1>";

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_picks_up_what_rings_at_another() {
    let nowhere = ([127, 0, 0, 1], 9).into();
    let mut desk = Peer::at([127, 0, 0, 1], nowhere).await;
    let milo = dialling("picked-up", &desk).await;
    desk.speak_with(&milo);
    let (caller, colleague) = (Peer::beside(&milo).await, Peer::beside(&milo).await);
    let calling = caller.call("desk", "<sip:0341234567@127.0.0.1>", "").await;
    let invite = desk.hear("INVITE").await;
    desk.answer(&invite, 180, false).await;
    let id = only_call(&milo).await;

    // A dialog that nobody has is no one's to be taken.
    let other = replaces(&invite, ";early-only").replace("from-tag=peer", "from-tag=nobody");
    assert_eq!(colleague.status("milo", COLLEAGUE, &other).await, 481);
    let taken = Peer::beside(&milo).await;
    let up = taken.call("milo", COLLEAGUE, &replaces(&invite, ";early-only")).await;
    let cancel = desk.hear("CANCEL").await;
    desk.answer(&cancel, 200, false).await;
    desk.answer(&invite, 487, false).await;
    let row = until(&milo, &id, "picked up", |call| !event_is_missing(call, "dialled")).await;
    assert_eq!(event(&row, "dialled")["result"], "answered", "{row}");
    // The caller and the colleague hear each other.
    let (here, there) =
        tokio::join!(caller.speaks_and_hears(calling.audio, SOON), taken.speaks_and_hears(audio_of(&up.answer), SOON));
    assert!(here && there, "the caller hears: {here}, the colleague hears: {there}");
    taken.hang_up(&up).await;
    let row = ended(&milo, &id).await;
    assert!(event(&row, "parted")["why"].as_str().is_some_and(|why| why.contains("the one who was called")), "{row}");
    assert_eq!(get(&milo, "/api/v1/calls")["calls"].as_array().map(Vec::len), Some(1), "it is no call of its own");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_takes_over_what_another_is_talking_in() {
    let nowhere = ([127, 0, 0, 1], 9).into();
    let mut desk = Peer::at([127, 0, 0, 1], nowhere).await;
    let milo = dialling("taken-over", &desk).await;
    desk.speak_with(&milo);
    let (caller, colleague) = (Peer::beside(&milo).await, Peer::beside(&milo).await);
    let calling = caller.call("desk", "<sip:0341234567@127.0.0.1>", "").await;
    let invite = desk.hear("INVITE").await;
    desk.answer(&invite, 200, true).await;
    let ack = desk.hear("ACK").await;
    assert_eq!(ack.headers.get(Name::CALL_ID), invite.headers.get(Name::CALL_ID));
    let id = only_call(&milo).await;
    let (here, there) =
        tokio::join!(caller.speaks_and_hears(calling.audio, SOON), desk.speaks_and_hears(audio_of(&invite), SOON));
    assert!(here && there, "the caller hears: {here}, the desk hears: {there}");

    // Who wants only what rings does not get what is up.
    assert_eq!(colleague.status("milo", COLLEAGUE, &replaces(&invite, ";early-only")).await, 486);
    let taken = Peer::beside(&milo).await;
    let up = taken.call("milo", COLLEAGUE, &replaces(&invite, "")).await;
    let bye = desk.hear("BYE").await;
    desk.answer(&bye, 200, false).await;
    let (here, there) =
        tokio::join!(caller.speaks_and_hears(calling.audio, SOON), taken.speaks_and_hears(audio_of(&up.answer), SOON));
    assert!(here && there, "the caller hears: {here}, the colleague hears: {there}");
    assert!(!desk.speaks_and_hears(audio_of(&invite), Duration::from_secs(1)).await, "who has left hears nobody");
    caller.hang_up(&calling).await;
    let bye = taken.hear("BYE").await;
    taken.answer(&bye, 200, false).await;
    let row = ended(&milo, &id).await;
    assert_eq!((&row["hangup_by"], &event(&row, "parted")["why"]), (&"caller".into(), &"the caller hung up".into()));
    stop(milo).await;
}

fn event_is_missing(call: &Value, kind: &str) -> bool {
    crate::house::events(call, kind).is_empty()
}
