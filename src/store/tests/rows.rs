//! What is kept of calls, texts and days, and how it is read again.

use serde_json::json;

use super::*;

on_both!(
    a_call_is_kept_with_its_turns_and_events,
    a_call_out_says_what_came_of_it,
    what_was_counted_on_a_day_is_known_after_a_start,
    pages_follow_each_other_newest_first,
    texts_are_kept_settled_and_forgotten,
    keys_of_calls_are_known_after_a_start,
    a_call_that_is_dropped_is_closed,
    a_recording_is_followed_to_its_end,
    what_comes_from_the_wire_is_kept_as_text,
);

async fn a_call_is_kept_with_its_turns_and_events(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let call = log.begin(new_call(1_000));
    let key = call.key();
    assert!(log.flush(SOON).await);
    let live = store.call(key).await.unwrap().unwrap();
    assert_eq!((live.ended, live.answered, live.turn_count), (None, None, 0));
    assert_eq!(live.quality, None);

    call.answered(Stamp::from_millis(2_000));
    assert_eq!(call.turn(new_turn(3_000)), 1);
    assert_eq!(call.turn(NewTurn { heard: None, interrupted: false, ..new_turn(4_000) }), 2);
    call.event(Stamp::from_millis(3_500), "digit", json!({"digit": "5", "nested": [1, null, "é"]}));
    let ending = Ending {
        at: Stamp::from_millis(9_000),
        reason: "BYE".into(),
        by: HangupBy::Caller,
        language: Some("fr".into()),
        quality: Some(json!([{"leg": "caller", "codec": "PCMA", "mos": 4.25, "one_way": null}])),
        outcome: None,
    };
    call.end(ending);
    assert!(log.flush(SOON).await);

    let row = store.call(key).await.unwrap().unwrap();
    assert_eq!((row.caller.as_str(), row.called.as_str(), row.direction.as_str()), ("0341234567", "milo", "in"));
    assert_eq!((row.answered.unwrap().millis(), row.ended.unwrap().millis(), row.turn_count), (2_000, 9_000, 2));
    assert_eq!((row.end_reason.as_deref(), row.hangup_by.as_deref()), (Some("BYE"), Some("caller")));
    assert_eq!(row.quality, Some(json!([{"leg": "caller", "codec": "PCMA", "mos": 4.25, "one_way": null}])));
    assert_eq!((row.language.as_deref(), row.dialplan.as_deref()), (Some("fr"), Some("assistant")));
    let turns = store.turns(key).await.unwrap();
    assert_eq!((turns[0].number, turns[0].interrupted, turns[1].interrupted), (1, true, false));
    assert_eq!((turns[0].said_heard.as_deref(), turns[1].heard.as_deref()), (Some("Amin'ny valo"), None));
    assert_eq!(turns[0].said_by.as_deref(), Some("reception"));
    assert_eq!((turns[0].heard_from.as_deref(), turns[0].said_in.as_deref()), (Some("called"), Some("fr")));
    assert_eq!(turns[0].stages, new_turn(0).stages);
    assert_eq!(turns[0].confidence, Some(0.875));
    let events = store.events(key).await.unwrap();
    assert_eq!((events[0].kind.as_str(), events[0].at.millis()), ("digit", 3_500));
    assert_eq!(events[0].detail, json!({"digit": "5", "nested": [1, null, "é"]}));
    assert_eq!(log.state().waiting, 0);
    assert!(store.call(Key::new()).await.unwrap().is_none());
}

async fn a_call_out_says_what_came_of_it(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let out = || log.begin(NewCall { incoming: false, call_id: String::new(), ..new_call(1_000) });
    let call = out();
    call.placed("an-invite@here");
    let ending = |outcome| Ending {
        at: Stamp::from_millis(9_000),
        reason: "busy".into(),
        by: HangupBy::Caller,
        language: None,
        quality: None,
        outcome,
    };
    call.end(ending(Some((Outcome::Busy, Some(486)))));
    // Those that a crash left open, one of them answered.
    let (answered, ringing) = (out(), out());
    answered.answered(Stamp::from_millis(2_000));
    assert!(log.flush(SOON).await);
    assert_eq!(store.close_left_open("n").await.unwrap(), 2);
    let row = async |call: &CallLog| store.call(call.key()).await.unwrap().unwrap();
    let busy = row(&call).await;
    assert_eq!((busy.direction.as_str(), busy.call_id.as_str()), ("out", "an-invite@here"));
    assert_eq!((busy.outcome.as_deref(), busy.sip_status), (Some("busy"), Some(486)));
    assert_eq!(row(&answered).await.outcome.as_deref(), Some("answered"));
    assert_eq!(row(&ringing).await.outcome.as_deref(), Some("failed"));
    // One whose task was cut off.
    let cut_off = out();
    let key = cut_off.key();
    drop(cut_off);
    assert!(log.flush(SOON).await);
    assert_eq!(store.call(key).await.unwrap().unwrap().outcome.as_deref(), Some("failed"));
}

async fn a_recording_is_followed_to_its_end(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let state = async |key| {
        assert!(log.flush(SOON).await);
        let call = store.call(key).await.unwrap().unwrap();
        (call.recording, call.recording_state)
    };
    let calls = [1_000, 2_000, 3_000].map(|started| log.begin(new_call(started)));
    let keys = calls.each_ref().map(CallLog::key);
    assert_eq!(state(keys[0]).await, (None, None));
    for (call, name) in calls.iter().zip(["2026-11-22/a.ogg", "2026-11-22/b.ogg", "2026-11-22/c.ogg"]) {
        call.recording(name);
    }
    assert_eq!(state(keys[0]).await, (Some("2026-11-22/a.ogg".into()), Some("live".into())));
    log.recording_ended(keys[0], "a.ogg", RecordingState::Complete);
    log.recording_ended(keys[1], "b.ogg", RecordingState::Failed);
    assert_eq!(state(keys[0]).await.1, Some("complete".into()));
    assert_eq!(state(keys[1]).await.1, Some("failed".into()));
    // A crash: the row of the third call is still open, and its recording was being written.
    assert_eq!(store.close_left_open("n").await.unwrap(), 3);
    assert_eq!(state(keys[2]).await.1, Some("cut_off".into()));
    assert_eq!(state(keys[1]).await.1, Some("failed".into()));
    store.recordings_deleted(&["2026-11-22/a.ogg".into(), "of nobody.ogg".into()]).await.unwrap();
    assert_eq!(state(keys[0]).await.1, Some("deleted".into()));
    assert_eq!(state(keys[2]).await.1, Some("cut_off".into()));
}

async fn what_was_counted_on_a_day_is_known_after_a_start(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (mine, _) = LogWriter::start(store.clone(), "mine", None);
    let (other, _) = LogWriter::start(store.clone(), "other", None);
    let day = |day: &str, calls, seconds| DayCount { day: day.into(), calls, seconds };
    let trunk = |name: &str| Whose::Trunk(name.into());
    for so_far in [day("2026-11-29", 1, 0), day("2026-11-29", 2, 61), day("2026-11-30", 1, 5)] {
        mine.day(&trunk("carrier"), so_far);
    }
    other.day(&trunk("carrier"), day("2026-11-29", 9, 9));
    mine.day(&Whose::Account("carrier".into()), day("2026-11-30", 7, 7));
    assert!(mine.flush(SOON).await && other.flush(SOON).await);
    let known = async |name: &str, of: &str| store.day("mine", &trunk(name), of).await.unwrap();
    assert_eq!(known("carrier", "2026-11-29").await, day("2026-11-29", 2, 61));
    assert_eq!(known("carrier", "2026-11-30").await, day("2026-11-30", 1, 5));
    assert_eq!(known("pbx", "2026-11-30").await, day("2026-11-30", 0, 0));
    let account = store.day("mine", &Whose::Account("carrier".into()), "2026-11-30").await.unwrap();
    assert_eq!(account, day("2026-11-30", 7, 7));
}

async fn keys_of_calls_are_known_after_a_start(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let new = |key: &str, at: i64| CallKey {
        key: key.into(),
        print: i64::MIN,
        call: Key::new(),
        called: "034".into(),
        trunk: None,
        plan: "outgoing".into(),
        at: Stamp::from_millis(at),
    };
    let keys = [new("old", 1_000), new("a", 2_000), new("b", 3_000), new("old", 4_000)];
    keys.iter().for_each(|key| log.call_key(key.clone()));
    assert!(log.flush(SOON).await);
    let known = store.call_keys("n", Stamp::from_millis(2_000), 2).await.unwrap();
    assert_eq!(known, keys[2..], "the newest, and of one key the last call");
    assert!(store.call_keys("another", Stamp::from_millis(0), 9).await.unwrap().is_empty());
    store.forget_call_keys(Stamp::from_millis(3_000)).await.unwrap();
    assert_eq!(store.call_keys("n", Stamp::from_millis(0), 9).await.unwrap(), keys[2..]);
    // They go with the number that was called.
    store.forget_number("033", "033").await.unwrap();
    assert_eq!(store.call_keys("n", Stamp::from_millis(0), 9).await.unwrap(), keys[2..]);
    store.forget_number("034", "034").await.unwrap();
    assert!(store.call_keys("n", Stamp::from_millis(0), 9).await.unwrap().is_empty());
}

async fn texts_are_kept_settled_and_forgotten(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let new = |at: i64, incoming: bool| NewMessage {
        incoming,
        from: "0341234567".into(),
        to: "milo".into(),
        trunk: Some("carrier".into()),
        account: None,
        call: (!incoming).then(Key::new),
        text: "Salama\0 é".into(),
        at: Stamp::from_millis(at),
        result: incoming.then_some("received".into()),
    };
    let keys = [log.message(new(1_000, true)), log.message(new(2_000, false)), log.message(new(2_000, false))];
    log.message_settled(keys[1], "refused", Some(404));
    assert!(log.flush(SOON).await);
    store.settle_messages("another").await.unwrap();
    let row = async |key: Key| store.message(key).await.unwrap();
    let first = row(keys[0]).await.unwrap();
    assert_eq!((first.direction.as_str(), first.text.as_str(), first.call), ("in", "Salama\u{fffd} é", None));
    assert_eq!(first.result.as_deref(), Some("received"));
    let second = row(keys[1]).await.unwrap();
    assert_eq!((second.result.as_deref(), second.sip_status), (Some("refused"), Some(404)));
    assert!(second.call.is_some() && row(keys[2]).await.unwrap().result.is_none());
    store.settle_messages("n").await.unwrap();
    assert_eq!(row(keys[2]).await.unwrap().result.as_deref(), Some("cut off"));
    // Two of one millisecond: the pages must neither repeat nor skip one.
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.messages(cursor, 1).await.unwrap().unwrap();
        seen.extend(page.messages.iter().map(|message| message.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut last = [keys[1], keys[2]];
    last.sort();
    assert_eq!(seen, [last[1], last[0], keys[0]]);
    assert_eq!(store.forget_messages(Stamp::from_millis(2_000)).await.unwrap(), 1);
    assert!(row(keys[0]).await.is_none() && row(keys[1]).await.is_some());
    assert!(store.messages(Some(keys[0]), 1).await.unwrap().is_none());
}

async fn pages_follow_each_other_newest_first(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    assert!(store.calls(&Search::default(), None, 10).await.unwrap().unwrap().calls.is_empty());
    // Three of the five begin in the same millisecond: the pages must neither repeat nor skip one.
    let calls: Vec<CallLog> = [1, 2, 2, 2, 3].map(|at| log.begin(new_call(at))).into();
    assert!(log.flush(SOON).await);
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.calls(&Search::default(), cursor, 2).await.unwrap().unwrap();
        assert!(page.calls.len() <= 2);
        seen.extend(page.calls.iter().map(|call| (call.started.millis(), call.id)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> = [1, 2, 2, 2, 3].into_iter().zip(calls.iter().map(CallLog::key)).collect();
    expected.sort();
    expected.reverse();
    assert_eq!(seen, expected);
    assert!(store.calls(&Search::default(), Some(Key::new()), 2).await.unwrap().is_none());
}

async fn a_call_that_is_dropped_is_closed(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, task) = LogWriter::start(store.clone(), "n", None);
    let call = log.begin(new_call(1_000));
    let key = call.key();
    drop((call, log));
    // Without a handle left the task writes what waits, and ends.
    task.await.unwrap();
    let row = store.call(key).await.unwrap().unwrap();
    assert_eq!(row.end_reason.as_deref(), Some("the call's task was cut off"));
    assert!(row.ended.is_some());
}

async fn what_comes_from_the_wire_is_kept_as_text(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let nasty = "'; DROP TABLE calls; --\0\u{202e}é".to_owned();
    let call = log.begin(NewCall { from: nasty.clone(), call_id: "x".repeat(100_000), ..new_call(1) });
    call.turn(NewTurn { heard: Some("a\0b".into()), ..new_turn(2) });
    call.event(Stamp::from_millis(3), "digit", json!({"text": "\0"}));
    assert!(log.flush(SOON).await);
    let row = store.call(call.key()).await.unwrap().unwrap();
    assert_eq!(row.caller, nasty.replace('\0', "\u{fffd}"));
    assert_eq!(row.call_id.len(), 1_024);
    assert_eq!(store.turns(call.key()).await.unwrap()[0].heard.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(store.events(call.key()).await.unwrap()[0].detail, json!({"text": "\u{fffd}"}));
    assert_eq!((log.state().lost_calls, log.state().lost_turns, log.state().lost_events), (0, 0, 0));
}
