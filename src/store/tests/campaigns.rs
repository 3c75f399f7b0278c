//! Campaigns: nobody is called twice for one attempt, nobody on the do-not-call list at all, whatever comes between.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::*;
use crate::config::CallEvent;

on_both!(
    a_row_is_claimed_once_and_ends_as_it_is_told,
    nobody_is_called_twice_at_once_by_whichever_campaign_or_node,
    a_number_on_the_do_not_call_list_is_passed_over_from_then_on,
    a_node_that_is_gone_leaves_its_rows_to_others,
    a_campaign_ends_when_nobody_is_left_and_stays_cancelled,
    an_idempotency_key_stands_for_one_campaign_for_as_long_as_it_is_known,
    the_end_of_a_campaign_is_told_with_its_counts_and_once,
    many_numbers_are_kept_whole_or_not_at_all,
    numbers_are_forgotten_with_all_else_of_theirs,
);

const ZONE: &str = "Indian/Antananarivo";

fn stamp(millis: i64) -> Stamp {
    Stamp::from_millis(millis)
}

fn campaign(numbers: &[&str]) -> NewCampaign {
    let row = |(line, number): (i32, &&str)| NewCampaignRow {
        line,
        called: (*number).to_owned(),
        target: (*number).to_owned(),
        zone: ZONE.into(),
        variables: [("day".to_owned(), "Talata é".to_owned())].into(),
    };
    NewCampaign {
        id: Key::new(),
        name: "Reminders".into(),
        who: "k".into(),
        paused: false,
        standing: false,
        settings: json!({ "name": "Reminders" }),
        columns: vec!["day".into()],
        zones: vec![ZONE.into()],
        created: stamp(1_000),
        rows: (2..).zip(numbers).map(row).collect(),
    }
}

async fn keep(store: &Store, new: &NewCampaign) {
    assert!(store.add_campaign(new, None).await.unwrap());
}

/// Where nobody is told of it.
async fn finish(store: &Store, id: Key, at: Stamp) -> bool {
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    store.finish_campaign(id, at, ("n", &log)).await.unwrap()
}

/// Claims a row for a node at a moment; its lease lasts a second.
async fn claim(store: &Store, id: Key, node: &str, now: i64) -> Option<ClaimedRow> {
    store.claim_row(id, (ZONE, 2), (node, stamp(now), stamp(now + 1_000))).await.unwrap().row
}

fn tried(before: &[Attempt], outcome: &str) -> Vec<Attempt> {
    let attempt = Attempt {
        call: Some(Key::new()),
        began: stamp(2_000),
        ended: stamp(3_000),
        outcome: outcome.into(),
        detail: None,
    };
    before.iter().cloned().chain([attempt]).collect()
}

/// The numbers of a campaign by state.
async fn counts(store: &Store, id: Key) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for row in store.campaign_counts(id).await.unwrap() {
        *counts.entry(row.state).or_default() += row.count;
    }
    counts
}

fn are(counts: &[(&str, i64)]) -> BTreeMap<String, i64> {
    counts.iter().map(|(state, count)| ((*state).to_owned(), *count)).collect()
}

async fn a_row_is_claimed_once_and_ends_as_it_is_told(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let new = campaign(&["1", "2", "3"]);
    keep(&store, &new).await;
    let kept = store.campaign(new.id).await.unwrap().unwrap();
    assert_eq!((kept.state.as_str(), &kept.columns, &kept.settings), ("running", &new.columns, &new.settings));
    assert!(claim(&store, new.id, "n", 999).await.is_none(), "nothing is due yet");
    let none = store.claim_row(new.id, ("+00:00", 2), ("n", stamp(1_000), stamp(2_000))).await.unwrap().row;
    assert!(none.is_none(), "another time zone");

    let one = claim(&store, new.id, "n", 1_000).await.unwrap();
    assert_eq!((one.claim.line, one.claim.attempt, one.called.as_str()), (2, 1, "1"));
    assert_eq!(one.variables["day"], "Talata é");
    let two = claim(&store, new.id, "m", 1_000).await.unwrap();
    assert_eq!(two.called, "2");
    assert!(claim(&store, new.id, "n", 1_000).await.is_none(), "two at once, on all nodes together");

    let busy = tried(&one.tried, "busy");
    let another = Claim { node: "m".into(), ..one.claim.clone() };
    assert!(!store.end_claim(&another, &RowEnd::Done(busy.clone()), stamp(3_000)).await.unwrap(), "another's");
    assert!(store.end_claim(&one.claim, &RowEnd::Again(busy.clone(), stamp(9_000)), stamp(3_000)).await.unwrap());
    assert!(!store.end_claim(&one.claim, &RowEnd::Done(busy.clone()), stamp(3_000)).await.unwrap(), "told twice");
    store.end_claim(&two.claim, &RowEnd::Released(Vec::new()), stamp(3_000)).await.unwrap();
    assert_eq!(counts(&store, new.id).await, are(&[("waiting", 3)]));

    // The one that was given back waits as before, and counts no attempt; the busy one is not due before its time.
    let three = claim(&store, new.id, "n", 3_000).await.unwrap();
    assert_eq!(three.called, "3", "it was due before");
    let two = claim(&store, new.id, "n", 3_000).await.unwrap();
    assert_eq!((two.called.as_str(), two.claim.attempt), ("2", 1));
    // What is left of an earlier claim with the same attempt is not this one's.
    let earlier = Claim { begun: stamp(1_000), ..two.claim.clone() };
    assert!(!store.renew_claim(&earlier, stamp(9_000)).await.unwrap());
    assert!(!store.end_claim(&earlier, &RowEnd::Released(Vec::new()), stamp(3_000)).await.unwrap());
    for row in [&two, &three] {
        store.end_claim(&row.claim, &RowEnd::Done(tried(&[], "answered")), stamp(3_000)).await.unwrap();
    }
    assert!(claim(&store, new.id, "n", 8_999).await.is_none());
    let again = claim(&store, new.id, "n", 9_000).await.unwrap();
    assert_eq!((again.called.as_str(), again.claim.attempt, &again.tried), ("1", 2, &busy));
    let rows = store.result_rows(new.id, RowsWanted::default(), 0, 2).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((rows[0].state.as_str(), rows[0].outcome.as_deref(), &rows[0].tried), ("calling", Some("busy"), &busy));
    assert_eq!(
        store.result_rows(new.id, RowsWanted::default(), 3, 2).await.unwrap()[0].outcome.as_deref(),
        Some("answered")
    );
}

async fn nobody_is_called_twice_at_once_by_whichever_campaign_or_node(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (one, other) = (campaign(&["1", "1", "2"]), campaign(&["1"]));
    keep(&store, &one).await;
    keep(&store, &other).await;
    // Many at once: each row has one owner.
    let mut claims = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, id) = (store.clone(), if n % 2 == 0 { one.id } else { other.id });
        claims.spawn(async move { claim(&store, id, &format!("n{n}"), 1_000).await.map(|row| row.called) });
    }
    let mut called: Vec<_> = claims.join_all().await.into_iter().flatten().collect();
    // What was refused since two came at once, comes later.
    for id in [one.id, other.id] {
        called.extend(claim(&store, id, "n", 1_000).await.map(|row| row.called));
        called.extend(claim(&store, id, "n", 1_000).await.map(|row| row.called));
    }
    called.sort();
    assert_eq!(called, ["1", "2"]);
    assert!(claim(&store, other.id, "n", 1_000).await.is_none(), "the number is called for another campaign");
}

async fn a_number_on_the_do_not_call_list_is_passed_over_from_then_on(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let new = campaign(&["1", "2", "3"]);
    keep(&store, &new).await;
    let entry = |number: &str| NewUnwanted {
        id: Key::new(),
        number: number.into(),
        target: number.into(),
        note: (number == "2").then(|| "asked so".into()),
    };
    let one = claim(&store, new.id, "n", 1_000).await.unwrap();
    // While the campaign runs, and the first of them is called.
    assert_eq!(store.add_unwanted(&[entry("1"), entry("2")], "k", stamp(1_000)).await.unwrap(), 2);
    assert_eq!(store.add_unwanted(&[entry("2"), entry("9")], "k", stamp(1_000)).await.unwrap(), 1, "one is new");
    let retry = RowEnd::Again(tried(&[], "busy"), stamp(1_500));
    store.end_claim(&one.claim, &retry, stamp(1_500)).await.unwrap();
    let three = claim(&store, new.id, "n", 2_000).await.unwrap();
    assert_eq!(three.called, "3");
    assert!(claim(&store, new.id, "n", 2_000).await.is_none());
    assert_eq!(counts(&store, new.id).await, are(&[("calling", 1), ("skipped", 2)]));

    let known = store.known_unwanted("2").await.unwrap().unwrap();
    assert_eq!((known.number.as_str(), known.note.as_deref()), ("2", Some("asked so")));
    assert!(store.known_unwanted("3").await.unwrap().is_none());
    let page = store.unwanted(None, 2).await.unwrap();
    assert_eq!(page.numbers.iter().map(|one| one.number.as_str()).collect::<Vec<_>>(), ["9", "2"]);
    assert_eq!((page.numbers[1].note.as_deref(), page.numbers[1].who.as_str()), (Some("asked so"), "k"));
    let page = store.unwanted(page.next, 2).await.unwrap();
    assert_eq!((page.numbers[0].number.as_str(), page.next), ("1", None));
    assert!(store.remove_unwanted("1").await.unwrap() && !store.remove_unwanted("1").await.unwrap());
}

async fn a_node_that_is_gone_leaves_its_rows_to_others(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let new = campaign(&["1", "2"]);
    keep(&store, &new).await;
    let (one, two) =
        (claim(&store, new.id, "n", 1_000).await.unwrap(), claim(&store, new.id, "m", 1_000).await.unwrap());
    let call = Key::new();
    store.row_called(&one.claim, call).await.unwrap();
    assert!(store.left_rows(stamp(1_500), None).await.unwrap().is_empty(), "the leases hold");
    let own = store.left_rows(stamp(1_500), Some("n")).await.unwrap();
    assert_eq!((own.len(), &own[0].claim, own[0].call), (1, &one.claim, Some(call)), "its own, at its next start");
    assert_eq!((own[0].claim.begun, &own[0].settings), (stamp(1_000), &new.settings));
    assert!(store.renew_claim(&two.claim, stamp(9_000)).await.unwrap());
    let left = store.left_rows(stamp(2_500), None).await.unwrap();
    assert_eq!((left.len(), &left[0].claim), (1, &one.claim), "the other was renewed");
    let ended = RowEnd::Done(tried(&left[0].tried, "interrupted"));
    assert!(store.end_claim(&left[0].claim, &ended, stamp(2_500)).await.unwrap());
    // The node that was only slow finds that it was taken over.
    assert!(!store.renew_claim(&one.claim, stamp(9_000)).await.unwrap());
    assert!(!store.end_claim(&one.claim, &RowEnd::Done(tried(&[], "answered")), stamp(2_600)).await.unwrap());

    // What the log says of a call.
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    assert_eq!(store.logged(call).await.unwrap(), None, "it is in no log");
    let up = log.begin(NewCall { incoming: false, ..new_call(1_000) });
    let key = up.key();
    up.event(stamp(2_000), "answered_by", json!({ "who": "unknown" }));
    up.event(stamp(2_000), "answered_by", json!({ "who": "machine" }));
    assert!(log.flush(SOON).await);
    assert_eq!(store.logged(key).await.unwrap(), None, "it is up");
    up.end(Ending { outcome: Some((Outcome::Answered, Some(200))), ..new_ending(3_000) });
    assert!(log.flush(SOON).await);
    let logged = store.logged(key).await.unwrap().unwrap();
    assert_eq!((logged.outcome.as_deref(), logged.is_cut_off), (Some("answered"), false));
    assert_eq!(logged.answered_by, Some(json!({ "who": "machine" })), "the last that was found");
    // Whoever was called as Milo was stopped in order, answered or still ringing.
    for outcome in [(Outcome::Answered, Some(200)), (Outcome::Cancelled, None)] {
        let stopped = log.begin(NewCall { incoming: false, ..new_call(1_000) });
        let key = stopped.key();
        stopped.end(Ending { outcome: Some(outcome), reason: crate::call::SHUT_DOWN.into(), ..new_ending(3_000) });
        assert!(log.flush(SOON).await);
        assert!(store.logged(key).await.unwrap().unwrap().is_cut_off, "{outcome:?}");
    }
    let cut = log.begin(NewCall { incoming: false, ..new_call(1_000) });
    assert!(log.flush(SOON).await);
    store.close_left_open("n").await.unwrap();
    assert!(store.logged(cut.key()).await.unwrap().unwrap().is_cut_off);
}

async fn a_campaign_ends_when_nobody_is_left_and_stays_cancelled(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (new, now) = (campaign(&["1", "2"]), stamp(2_000));
    keep(&store, &new).await;
    assert_eq!(store.running_campaigns().await.unwrap().len(), 1);
    assert!(store.pause_campaign(new.id, true).await.unwrap() && !store.pause_campaign(new.id, true).await.unwrap());
    assert!(claim(&store, new.id, "n", 2_000).await.is_none() && store.running_campaigns().await.unwrap().is_empty());
    assert!(store.pause_campaign(new.id, false).await.unwrap());
    assert!(!finish(&store, new.id, now).await, "two wait");
    let one = claim(&store, new.id, "n", 2_000).await.unwrap();
    assert!(!store.delete_campaign(new.id).await.unwrap(), "it runs");
    assert!(store.cancel_campaign(new.id, now).await.unwrap() && !store.cancel_campaign(new.id, now).await.unwrap());
    assert_eq!(counts(&store, new.id).await, are(&[("calling", 1), ("cancelled", 1)]));
    assert!(!store.delete_campaign(new.id).await.unwrap(), "a call of it is up");
    // The call that is up when it is cancelled is not tried again.
    store.end_claim(&one.claim, &RowEnd::Again(tried(&[], "busy"), now), now).await.unwrap();
    assert_eq!(counts(&store, new.id).await, are(&[("cancelled", 2)]));
    assert!(!store.pause_campaign(new.id, false).await.unwrap(), "it has ended");
    assert!(store.delete_campaign(new.id).await.unwrap() && store.campaign(new.id).await.unwrap().is_none());

    let other = campaign(&["1"]);
    keep(&store, &other).await;
    assert_eq!(store.open_campaigns().await.unwrap(), 1);
    let row = claim(&store, other.id, "n", 2_000).await.unwrap();
    assert!(!finish(&store, other.id, now).await, "a call of it is up");
    store.end_claim(&row.claim, &RowEnd::Done(tried(&[], "answered")), now).await.unwrap();
    assert!(finish(&store, other.id, now).await);
    let ended = store.campaign(other.id).await.unwrap().unwrap();
    assert_eq!((ended.state.as_str(), ended.ended), ("finished", Some(now)));
    assert!(!store.cancel_campaign(other.id, now).await.unwrap());
    store.forget_campaigns(now).await.unwrap();
    assert!(store.campaign(other.id).await.unwrap().is_some(), "it ended at this moment, not before");
    store.forget_campaigns(stamp(2_001)).await.unwrap();
    assert_eq!(store.open_campaigns().await.unwrap(), 0);
    assert!(store.campaign(other.id).await.unwrap().is_none());
}

async fn an_idempotency_key_stands_for_one_campaign_for_as_long_as_it_is_known(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (one, other) = (campaign(&["1"]), campaign(&["1"]));
    let kept = |new: &NewCampaign, at: i64| CampaignKey {
        key: "k".into(),
        print: -7,
        campaign: new.id,
        total: 1,
        at: stamp(at),
    };
    let first = kept(&one, 1_000);
    assert!(store.add_campaign(&one, Some((&first, stamp(500)))).await.unwrap());
    assert_eq!(store.campaign_key("k", stamp(1_000)).await.unwrap(), Some(first.clone()));
    assert_eq!(store.campaign_key("k", stamp(1_001)).await.unwrap(), None, "it is older");
    let second = kept(&other, 2_000);
    assert!(!store.add_campaign(&other, Some((&second, stamp(1_000)))).await.unwrap(), "it stands for the first one");
    assert!(store.campaign(other.id).await.unwrap().is_none(), "then nothing of it is kept");
    assert!(
        store.add_campaign(&other, Some((&second, stamp(1_001)))).await.unwrap(),
        "nobody knows the first any more"
    );
    assert_eq!(store.campaign_key("k", stamp(0)).await.unwrap(), Some(second));
    store.forget_campaign_keys(stamp(2_000)).await.unwrap();
    assert!(store.campaign_key("k", stamp(0)).await.unwrap().is_some());
    store.forget_campaign_keys(stamp(2_001)).await.unwrap();
    assert!(store.campaign_key("k", stamp(0)).await.unwrap().is_none());
}

async fn the_end_of_a_campaign_is_told_with_its_counts_and_once(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (new, now) = (campaign(&["1", "2"]), stamp(3_000));
    keep(&store, &new).await;
    let told = Arc::new(Listener::new("told".into(), vec![CallEvent::CampaignFinished]));
    let deaf = Arc::new(Listener::new("deaf".into(), vec![CallEvent::Ended]));
    let log = LogWriter::start(store.clone(), "n", None).0.telling(vec![Arc::clone(&told), deaf]);
    let end = async || store.finish_campaign(new.id, now, ("n", &log)).await.unwrap();
    for outcome in ["busy", "answered"] {
        assert!(!end().await, "one is left");
        let row = claim(&store, new.id, "n", 1_000).await.unwrap();
        store.end_claim(&row.claim, &RowEnd::Done(tried(&[], outcome)), stamp(2_000)).await.unwrap();
    }
    let waiting = |which: RowsWanted<'static>| {
        let (store, id) = (store.clone(), new.id);
        async move { store.result_rows(id, which, 0, 9).await.unwrap().iter().map(|row| row.line).collect::<Vec<_>>() }
    };
    assert_eq!(waiting(RowsWanted { outcome: Some("answered"), ..RowsWanted::default() }).await, [3]);
    assert_eq!(waiting(RowsWanted { state: Some("done"), outcome: Some("busy") }).await, [2]);
    assert!(waiting(RowsWanted { state: Some("waiting"), outcome: None }).await.is_empty());

    let mut looks = log.delivering();
    looks.mark_unchanged();
    assert!(end().await && !end().await, "it is finished once");
    assert!(looks.has_changed().unwrap(), "whoever delivers is woken");
    let next = store.next_deliveries("n", "told", 9).await.unwrap();
    let [only] = &next[..] else { panic!("{next:?}") };
    let body: serde_json::Value = serde_json::from_str(&only.body).unwrap();
    assert_eq!((&body["type"], &body["campaign"]), (&json!("campaign_finished"), &json!(new.id)), "{body}");
    assert_eq!((&body["time"], body.get("call")), (&json!(now), None), "{body}");
    assert_eq!((&body["data"]["name"], &body["data"]["who"]), (&json!("Reminders"), &json!("k")), "{body}");
    assert_eq!(body["data"]["counts"]["outcomes"], json!({ "answered": 1, "busy": 1 }), "{body}");
    assert!(store.next_deliveries("n", "deaf", 9).await.unwrap().is_empty());
    // A letter says what it is about, and goes with it.
    store.undelivered(only.id, (1, "it answered with 503"), (now, Some(now))).await.unwrap();
    let letter = store.dead_letter(only.id).await.unwrap().unwrap();
    assert_eq!((letter.call, letter.campaign), (None, Some(new.id)));
    assert!(store.delete_campaign(new.id).await.unwrap());
    assert!(store.dead_letter(only.id).await.unwrap().is_none());
}

async fn many_numbers_are_kept_whole_or_not_at_all(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let numbers: Vec<String> = (0..2_500).map(|number| format!("034{number:07}")).collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let new = campaign(&numbers);
    keep(&store, &new).await;
    assert_eq!(counts(&store, new.id).await, are(&[("waiting", 2_500)]));
    assert_eq!(store.result_rows(new.id, RowsWanted::default(), 2_500, 9).await.unwrap()[0].called, "0340002499");
    // Two lines of one number in the last of several statements.
    let mut wrong = campaign(&numbers);
    wrong.rows[2_499].line = 2_500;
    assert!(store.add_campaign(&wrong, None).await.is_err());
    assert!(store.campaign(wrong.id).await.unwrap().is_none() && counts(&store, wrong.id).await.is_empty());
    let (page, next) = store.campaigns(None, 1).await.unwrap().unwrap();
    assert_eq!((page[0].id, next), (new.id, None));
    assert!(store.campaigns(Some(Key::new()), 1).await.unwrap().is_none());
}

async fn numbers_are_forgotten_with_all_else_of_theirs(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let mut new = campaign(&["1", "2", "2"]);
    // One of them is written in another way.
    new.rows[1].called = "+2".into();
    keep(&store, &new).await;
    let one = claim(&store, new.id, "n", 1_000).await.unwrap();
    for number in ["1", "2"] {
        store.forget_number(number, number).await.unwrap();
    }
    assert_eq!(counts(&store, new.id).await, are(&[("calling", 1)]), "whose call is up is forgotten when it is over");
    store.end_claim(&one.claim, &RowEnd::Done(tried(&[], "answered")), stamp(2_000)).await.unwrap();
    store.forget_number("1", "1").await.unwrap();
    assert!(counts(&store, new.id).await.is_empty());
    assert!(finish(&store, new.id, stamp(2_000)).await);
}
