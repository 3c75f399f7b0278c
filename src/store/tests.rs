//! The same scenarios on SQLite and on a real Postgres.

use std::{path::PathBuf, time::Duration};

use serde_json::json;
use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};

use super::*;
use crate::config::SecretUrl;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("milo-store-{}", Key::new()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn url(&self) -> SecretUrl {
        SecretUrl::new(format!("sqlite:{}/milo.db", self.0.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn postgres_url() -> SecretUrl {
    SecretUrl::new(
        postgres_cluster::new_database(|url, statement| async move {
            // The server may accept connections a moment before it serves them.
            for attempt in 0.. {
                match url.parse::<PgConnectOptions>().unwrap().connect().await {
                    Ok(mut connection) => {
                        connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
                        return connection.close().await.unwrap();
                    }
                    Err(error) if attempt == 100 => panic!("{error}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
        .await,
    )
}

/// Runs each scenario on both databases.
macro_rules! on_both {
    ($($scenario:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $scenario() {
                let folder = super::Folder::new();
                super::$scenario(folder.url()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(super::postgres_url().await).await;
            })*
        }
    };
}

on_both!(
    a_call_is_kept_with_its_turns_and_events,
    a_call_out_says_what_came_of_it,
    what_was_counted_on_a_day_is_known_after_a_start,
    pages_follow_each_other_newest_first,
    calls_are_found_by_what_is_known_of_them,
    a_number_and_old_calls_are_forgotten,
    texts_are_kept_settled_and_forgotten,
    keys_of_calls_are_known_after_a_start,
    the_rows_of_a_crash_are_closed_by_their_own_node,
    many_may_open_an_empty_database_at_once,
    a_database_of_a_newer_version_is_refused,
    a_call_that_is_dropped_is_closed,
    a_recording_is_followed_to_its_end,
    what_comes_from_the_wire_is_kept_as_text,
    a_refused_row_does_not_hold_up_the_others,
    writing_a_batch_twice_changes_nothing,
);

async fn calls_are_found_by_what_is_known_of_them(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
    let begin = |at: i64, from: &str, to: &str, incoming: bool, plan: &str| {
        let (from, to, dialplan) = (from.into(), to.into(), Some(plan.into()));
        log.begin(NewCall { from, to, incoming, dialplan, ..new_call(at) })
    };
    let says = |heard: &str, said: &str| NewTurn { heard: Some(heard.into()), said: Some(said.into()), ..new_turn(1) };
    let end = |outcome| Ending {
        at: Stamp::from_millis(9_000),
        reason: "BYE".into(),
        by: HangupBy::Caller,
        language: None,
        quality: None,
        outcome,
    };
    let answered = begin(1_000, "0341234567", "milo", true, "assistant");
    answered.answered(Stamp::from_millis(1_500));
    answered.turn(says("Firy ny ora fisokafan'ny birao?", "Misokatra amin'ny valo ny birao."));
    answered.turn(says("Écoutez, à quelle heure ?", "À huit heures."));
    answered.end(end(None));
    let missed = begin(2_000, "0331111111", "milo", true, "assistant");
    missed.end(end(None));
    let busy = begin(3_000, "milo", "0341239999", false, "survey");
    busy.end(end(Some((Outcome::Busy, Some(486)))));
    let live = begin(4_000, "0341234567", "100", true, "sales");
    live.turn(says("ny birao", "valo"));
    assert!(log.flush(SOON).await);
    let names = [(answered.key(), "answered"), (missed.key(), "missed"), (busy.key(), "busy"), (live.key(), "live")];
    let found = async |search: Search| -> Vec<&str> {
        let calls = store.calls(&search, None, 10).await.unwrap().unwrap().calls;
        calls.iter().map(|call| names.iter().find(|(key, _)| *key == call.id).unwrap().1).collect()
    };
    let of = |text: &str| Search { words: words(text), ..Search::default() };
    let number = |number: &str| Search { number: Some(number.into()), ..Search::default() };
    let begins = |begins: &str| Search { number_begins: Some(begins.into()), ..Search::default() };
    let time = |since: i64, until: i64| {
        let (since, until) = (Some(Stamp::from_millis(since)), Some(Stamp::from_millis(until)));
        Search { since, until, ..Search::default() }
    };
    let came = |outcome| Search { outcome: Some(outcome), ..Search::default() };

    assert_eq!(found(number("0341234567")).await, ["live", "answered"]);
    assert_eq!(found(number("milo")).await, ["busy", "missed", "answered"], "either party's");
    assert_eq!(found(number("034")).await, Vec::<&str>::new(), "a whole number");
    assert_eq!(found(begins("034123")).await, ["live", "busy", "answered"]);
    assert_eq!(found(begins("03_")).await, Vec::<&str>::new(), "no sign stands for others");
    assert_eq!(found(time(2_000, 4_000)).await, ["busy", "missed"]);
    assert_eq!(found(came(CameOf::Answered)).await, ["answered"]);
    assert_eq!(found(came(CameOf::Missed)).await, ["missed"]);
    assert_eq!(found(came(CameOf::Otherwise(Outcome::Busy))).await, ["busy"]);
    assert_eq!(found(Search { incoming: Some(false), ..Search::default() }).await, ["busy"]);
    assert_eq!(found(Search { live: Some(true), ..Search::default() }).await, ["live"]);
    assert_eq!(found(Search { dialplan: Some("assistant".into()), ..Search::default() }).await, ["missed", "answered"]);
    assert_eq!(found(of("BIRAO valo")).await, ["live", "answered"], "by either side, within one turn");
    assert_eq!(found(of("birao huit")).await, Vec::<&str>::new(), "two turns");
    assert_eq!(found(of("ecoutez")).await, ["answered"], "without accents");
    assert_eq!(found(of("amin'ny")).await, ["answered"]);
    assert_eq!(found(of("\"') OR 1=1 -- *")).await, Vec::<&str>::new(), "words, and nothing else");
    assert_eq!(found(Search { words: words("birao"), ..number("0341234567") }).await, ["live", "answered"]);
    assert_eq!(found(Search { words: words("huit"), ..time(0, 2_000) }).await, ["answered"]);
    assert_eq!(found(Search { words: words("nothing"), ..number("0341234567") }).await, Vec::<&str>::new());

    let page = store.calls(&of("birao"), None, 1).await.unwrap().unwrap();
    assert_eq!((page.calls[0].id, page.next), (live.key(), Some(live.key())));
    let page = store.calls(&of("birao"), page.next, 1).await.unwrap().unwrap();
    assert_eq!((page.calls[0].id, page.next), (answered.key(), None));
}

async fn a_number_and_old_calls_are_forgotten(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
    let ended = |at: i64, from: &str, to: &str, recording: &str| {
        let call = log.begin(NewCall { from: from.into(), to: to.into(), ..new_call(at) });
        call.turn(new_turn(at));
        call.event(Stamp::from_millis(at), "ringing", json!({}));
        call.recording(recording);
        let (reason, by) = ("BYE".into(), HangupBy::Caller);
        call.end(Ending { at: Stamp::from_millis(at), reason, by, language: None, quality: None, outcome: None });
        call.key()
    };
    let mine = [ended(1_000, "034", "milo", "d/a.ogg"), ended(2_000, "milo", "034", "d/b.ogg")];
    let other = ended(3_000, "033", "milo", "d/c.ogg");
    let live = log.begin(NewCall { from: "034".into(), ..new_call(4_000) });
    log.message(NewMessage {
        incoming: true,
        from: "034".into(),
        to: "milo".into(),
        trunk: None,
        account: None,
        call: None,
        text: "salama".into(),
        at: Stamp::from_millis(1),
        result: Some("received"),
    });
    assert!(log.flush(SOON).await);
    let mut forgotten = store.forget_number("034").await.unwrap();
    forgotten.recordings.sort();
    let recordings = vec!["d/a.ogg".into(), "d/b.ogg".into()];
    assert_eq!(forgotten, Forgotten { calls: 2, messages: 1, recordings });
    for key in mine {
        assert!(store.call(key).await.unwrap().is_none());
        assert!(store.turns(key).await.unwrap().is_empty() && store.events(key).await.unwrap().is_empty());
    }
    let said = Search { words: words("valo"), ..Search::default() };
    let left = store.calls(&said, None, 10).await.unwrap().unwrap().calls;
    assert_eq!(left.iter().map(|call| call.id).collect::<Vec<_>>(), [other], "nor are their words found");
    assert!(store.call(live.key()).await.unwrap().is_some(), "a call that is up goes on");
    assert_eq!(store.forget_number("034").await.unwrap(), Forgotten::default());
    assert_eq!(store.forget_calls(Stamp::from_millis(3_000)).await.unwrap(), (0, vec![]));
    assert_eq!(store.forget_calls(Stamp::from_millis(9_000)).await.unwrap(), (1, vec!["d/c.ogg".to_owned()]));
    assert!(store.call(other).await.unwrap().is_none() && store.call(live.key()).await.unwrap().is_some());
    let quiet = log.clone().without_words().begin(new_call(5_000));
    quiet.turn(new_turn(5_000));
    assert!(log.flush(SOON).await);
    let turn = store.turns(quiet.key()).await.unwrap().remove(0);
    assert_eq!((turn.heard, turn.said, turn.said_heard, turn.stages.stt_ms), (None, None, None, Some(120.5)));
}

const SOON: Duration = Duration::from_secs(20);

fn new_call(started: i64) -> NewCall {
    NewCall {
        call_id: "a84b4c76e66710@pc33".into(),
        incoming: true,
        from: "0341234567".into(),
        to: "milo".into(),
        dialplan: Some("assistant".into()),
        language: Some("mg".into()),
        started: Stamp::from_millis(started),
    }
}

fn new_turn(at: i64) -> NewTurn {
    NewTurn {
        at: Stamp::from_millis(at),
        heard: Some("Firy ny ora?".into()),
        said: Some("Amin'ny valo ora.".into()),
        said_heard: Some("Amin'ny valo".into()),
        interrupted: true,
        confidence: Some(0.875),
        language: Some("mg".into()),
        mode: Some("cloud".into()),
        stages: Stages { stt_ms: Some(120.5), total_ms: Some(640.25), ..Stages::default() },
        recording_at_ms: Places { heard_from: Some(1_200), heard_to: Some(2_100), said_from: None },
    }
}

async fn a_call_is_kept_with_its_turns_and_events(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
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
    let (log, _) = LogWriter::start(store.clone(), "n");
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

async fn what_was_counted_on_a_day_is_known_after_a_start(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (mine, _) = LogWriter::start(store.clone(), "mine");
    let (other, _) = LogWriter::start(store.clone(), "other");
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
    let (log, _) = LogWriter::start(store.clone(), "n");
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
}

async fn texts_are_kept_settled_and_forgotten(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
    let new = |at: i64, incoming: bool| NewMessage {
        incoming,
        from: "0341234567".into(),
        to: "milo".into(),
        trunk: Some("carrier".into()),
        account: None,
        call: (!incoming).then(Key::new),
        text: "Salama\0 é".into(),
        at: Stamp::from_millis(at),
        result: incoming.then_some("received"),
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
    let (log, _) = LogWriter::start(store.clone(), "n");
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

async fn the_rows_of_a_crash_are_closed_by_their_own_node(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (mine, _) = LogWriter::start(store.clone(), "mine");
    let (other, _) = LogWriter::start(store.clone(), "other");
    let bare = mine.begin(new_call(1_000));
    let talked = mine.begin(new_call(1_000));
    talked.answered(Stamp::from_millis(1_500));
    talked.turn(new_turn(7_000));
    talked.event(Stamp::from_millis(6_000), "digit", json!({}));
    let elsewhere = other.begin(new_call(1_000));
    assert!(mine.flush(SOON).await && other.flush(SOON).await);

    assert_eq!(store.close_left_open("mine").await.unwrap(), 2);
    assert_eq!(store.close_left_open("mine").await.unwrap(), 0);
    for (log, ended) in [(&bare, Some(1_000)), (&talked, Some(7_000)), (&elsewhere, None)] {
        let row = store.call(log.key()).await.unwrap().unwrap();
        assert_eq!(row.ended.map(Stamp::millis), ended);
        assert_eq!(row.end_reason.as_deref(), ended.map(|_| "milo was stopped during the call"));
    }
}

async fn many_may_open_an_empty_database_at_once(url: SecretUrl) {
    let opening: Vec<_> =
        (0..4).map(|_| url.clone()).map(|url| tokio::spawn(async move { Store::open(&url).await })).collect();
    for opened in opening {
        opened.await.unwrap().unwrap().ping().await.unwrap();
    }
}

async fn a_database_of_a_newer_version_is_refused(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'later', true, '', 0)";
    on!(Pool, &store.pool, pool => pool.execute(newer).await.map(drop)).unwrap();
    let said = Store::open(&url).await.unwrap_err().to_string();
    assert!(said.contains("made by a newer Milo"), "{said}");
}

async fn a_call_that_is_dropped_is_closed(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, task) = LogWriter::start(store.clone(), "n");
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
    let (log, _) = LogWriter::start(store.clone(), "n");
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

async fn a_refused_row_does_not_hold_up_the_others(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
    let gone = log.begin(new_call(1));
    assert!(log.flush(SOON).await);
    // The row is deleted under the call's feet (an operator's cleaning): its turns belong to nothing.
    on!(Pool, &store.pool, pool => pool.execute("DELETE FROM calls").await.map(drop)).unwrap();
    let before = log.begin(new_call(2));
    gone.turn(new_turn(3));
    let after = log.begin(new_call(4));
    assert!(log.flush(SOON).await);
    assert!(store.call(before.key()).await.unwrap().is_some() && store.call(after.key()).await.unwrap().is_some());
    assert_eq!((log.state().lost_turns, log.state().fault), (1, None));
}

async fn writing_a_batch_twice_changes_nothing(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let key = Key::new();
    // As when the answer to a commit is lost.
    for _ in 0..2 {
        let mut rows = store.begin().await.unwrap();
        rows.insert_call("n", key, &new_call(1)).await.unwrap();
        rows.answer_call(key, Stamp::from_millis(2)).await.unwrap();
        rows.insert_turn(key, 1, &new_turn(3)).await.unwrap();
        rows.insert_event(key, 1, Stamp::from_millis(3), "digit", &json!(1)).await.unwrap();
        rows.commit().await.unwrap();
    }
    assert_eq!(store.call(key).await.unwrap().unwrap().turn_count, 1);
    assert_eq!(store.events(key).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_opened_is_a_sentence_without_a_password() {
    let folder = Folder::new();
    let path = folder.0.display();
    std::fs::write(folder.0.join("text"), "this is no database, whatever its name may say".repeat(50)).unwrap();
    for (url, said) in [
        (format!("sqlite:{path}/text"), "is not an SQLite database"),
        (format!("sqlite:{path}"), "that is a folder"),
        (format!("sqlite:{path}/text/milo.db"), "cannot be made"),
        ("sqlite::memory:".into(), "name a file"),
        ("mysql://milo:hush@localhost/milo".into(), "begins neither with postgres:// nor with sqlite:"),
        ("postgres://milo:hush@127.0.0.1:1/milo".into(), "nothing listens there"),
        ("postgres://milo:hush@127.0.0.1:port/milo".into(), "the address is not valid"),
    ] {
        let error = Store::open(&SecretUrl::new(url.as_str())).await.unwrap_err().to_string();
        assert!(error.contains(said), "{url}: {error}");
        assert!(!error.contains("hush") && error.starts_with("the call log "), "{error}");
    }
    let url = postgres_url().await.reveal().replace("milo_test", "no_such");
    let error = Store::open(&SecretUrl::new(url)).await.unwrap_err().to_string();
    assert!(error.contains("that database does not exist"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_reported_and_survived() {
    let folder = Folder::new();
    let store = Store::open(&folder.url()).await.unwrap();
    // SQLite's own limit of pages gives the error of a full disk (SQLITE_FULL). It belongs to a connection: keep only one.
    let Pool::Sqlite(pool) = &store.pool else { unreachable!("the address says SQLite") };
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(pool.acquire().await.unwrap());
    }
    let mut only = pool.acquire().await.unwrap();
    only.execute("PRAGMA max_page_count = 1").await.unwrap();
    drop(only);

    let (log, _) = LogWriter::start(store.clone(), "n");
    let call = log.begin(NewCall { dialplan: Some("x".repeat(1_000_000)), ..new_call(1) });
    let mut fault = log.fault.clone();
    tokio::time::timeout(SOON, fault.wait_for(Option::is_some)).await.unwrap().unwrap();
    let said = log.state().fault.unwrap();
    assert!(said.contains("the disk is full: make room"), "{said}");
    assert!(!log.flush(Duration::from_millis(50)).await);

    let mut only = pool.acquire().await.unwrap();
    only.execute("PRAGMA max_page_count = 1000000").await.unwrap();
    drop((only, held));
    assert!(log.flush(SOON).await);
    assert!(store.call(call.key()).await.unwrap().is_some());
    assert_eq!(log.state().fault, None);
}

#[tokio::test]
async fn while_the_database_is_away_calls_go_on_and_what_matters_most_is_kept() {
    let folder = Folder::new();
    let store = Store::open(&folder.url()).await.unwrap();
    // Another program holds the database: the writer cannot begin.
    let Pool::Sqlite(pool) = &store.pool else { unreachable!("the address says SQLite") };
    let mut holder = pool.acquire().await.unwrap();
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();

    let (log, _) = LogWriter::with_capacity(store.clone(), "n", 16);
    let call = log.begin(new_call(1));
    tokio::task::yield_now().await;
    for n in 0..20 {
        call.event(Stamp::from_millis(n), "digit", json!({}));
    }
    for n in 0..20 {
        call.turn(new_turn(n));
    }
    call.answered(Stamp::from_millis(2));
    let later = log.begin(new_call(3));
    let state = log.state();
    assert!(state.lost_events >= 10 && state.lost_turns >= 10, "{state:?}");
    assert_eq!(state.lost_calls, 0);

    holder.execute("ROLLBACK").await.unwrap();
    drop(holder);
    assert!(log.flush(SOON).await);
    let row = store.call(call.key()).await.unwrap().unwrap();
    assert_eq!(
        (row.answered.map(Stamp::millis), row.turn_count),
        (Some(2), 20 - i64::try_from(state.lost_turns).unwrap())
    );
    assert!(store.call(later.key()).await.unwrap().is_some());
}

/// The address of the server's own database, and the name of the one in `url`.
fn server_and_name(url: &SecretUrl) -> (PgConnectOptions, String) {
    let options: PgConnectOptions = url.reveal().parse().unwrap();
    let name = options.get_database().unwrap().to_owned();
    (options.database("postgres"), name)
}

#[tokio::test]
async fn a_postgres_that_goes_away_and_comes_back_loses_nothing() {
    let url = postgres_url().await;
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
    let before = log.begin(new_call(1));
    assert!(log.flush(SOON).await);

    let (server, name) = server_and_name(&url);
    let mut server = server.connect().await.unwrap();
    let closed = format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false");
    server.execute(sqlx::AssertSqlSafe(closed)).await.unwrap();
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    server.execute(sqlx::AssertSqlSafe(cut)).await.unwrap();

    before.turn(new_turn(2));
    let during = log.begin(new_call(3));
    let mut fault = log.fault.clone();
    tokio::time::timeout(SOON, fault.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert!(store.calls(&Search::default(), None, 1).await.is_err());

    let opened = format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true");
    server.execute(sqlx::AssertSqlSafe(opened)).await.unwrap();
    assert!(log.flush(SOON).await);
    assert_eq!(store.call(before.key()).await.unwrap().unwrap().turn_count, 1);
    assert!(store.call(during.key()).await.unwrap().is_some());
    assert_eq!(log.state(), LogState::default());
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    let folder = Folder::new();
    let data = folder.0.join("50% é ? #");
    let config = crate::config::Config { data_dir: data.clone(), ..Default::default() };
    Store::open(&config.database_url()).await.unwrap();
    assert!(data.join("milo.db").exists());
}

#[test]
fn a_data_folder_belongs_to_one_milo() {
    let folder = Folder::new();
    let data = folder.0.join("new/data");
    let first = Node::claim(&data).unwrap();
    let said = Node::claim(&data).unwrap_err().to_string();
    assert!(said.contains("another Milo is running"), "{said}");
    let id = first.id().to_owned();
    drop(first);
    assert_eq!(Node::claim(&data).unwrap().id(), id);

    let file = folder.0.join("file");
    std::fs::write(&file, "").unwrap();
    let said = Node::claim(&file.join("data")).unwrap_err().to_string();
    assert!(said.contains("cannot be made") && said.contains("MILO_DATA_DIR"), "{said}");
}

/// A log of years: the newest page, and one in its middle, come as quickly as from an empty one.
#[expect(clippy::disallowed_methods, reason = "measures with the wall clock")]
async fn a_million_calls_are_searched_at_once(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let mut middle = None;
    for thousand in 0..1_000 {
        let mut rows = store.begin().await.unwrap();
        for n in 0..1_000 {
            let (key, at) = (Key::new(), thousand * 1_000 + n);
            // Most callers call once; one number in a thousand belongs to a caller who calls a thousand times.
            let from = if n == 7 { "0320000007".into() } else { format!("034{at:07}") };
            rows.insert_call("n", key, &NewCall { from, ..new_call(at) }).await.unwrap();
            if n % 10 == 0 {
                let heard = if n == 0 && thousand % 100 == 0 { "ny tsingerintaona" } else { "firy ny ora" };
                rows.insert_turn(key, 1, &NewTurn { heard: Some(heard.into()), ..new_turn(at) }).await.unwrap();
            }
            if (thousand, n) == (500, 0) {
                middle = Some(key);
            }
        }
        rows.commit().await.unwrap();
    }
    let all = Search::default();
    let number = |number: &str| Search { number: Some(number.into()), ..all.clone() };
    let begins = |begins: &str| Search { number_begins: Some(begins.into()), ..all.clone() };
    let said = |text: &str| Search { words: words(text), ..all.clone() };
    let since =
        Search { since: Some(Stamp::from_millis(400_000)), until: Some(Stamp::from_millis(400_100)), ..all.clone() };
    for (what, search, before, expected) in [
        ("the newest", all.clone(), None, 50),
        ("from the middle on", all.clone(), middle, 50),
        ("of one caller", number("0340500001"), None, 1),
        ("of a caller who calls often", number("0320000007"), None, 50),
        ("of the called", number("milo"), None, 50),
        ("of nobody", number("0999999999"), None, 0),
        ("of a few beginnings", begins("0340500"), None, 50),
        ("of most beginnings", begins("034"), None, 50),
        ("of a time", since, None, 50),
        ("of a plan", Search { dialplan: Some("assistant".into()), ..all.clone() }, None, 50),
        ("of no plan there is", Search { dialplan: Some("other".into()), ..all.clone() }, None, 0),
        ("missed", Search { outcome: Some(CameOf::Missed), live: Some(true), ..all.clone() }, None, 0),
        ("answered busy", Search { outcome: Some(CameOf::Otherwise(Outcome::Busy)), ..all.clone() }, None, 0),
        ("with a rare word", said("tsingerintaona"), None, 10),
        ("with a word of all", said("ora"), None, 50),
        ("with two words", said("firy ora"), middle, 50),
        ("with a word of none", said("elephant"), None, 0),
    ] {
        // The first search opens what the database keeps in memory.
        store.calls(&search, before, 50).await.unwrap().unwrap();
        let asked = std::time::Instant::now();
        let page = store.calls(&search, before, 50).await.unwrap().unwrap();
        let took = asked.elapsed();
        println!("{}: of a million calls those {what}: {} in {took:?}", store.kind(), page.calls.len());
        assert_eq!(page.calls.len(), expected, "{what}");
        assert!(took < Duration::from_millis(100), "{}: {what}: {took:?}", store.kind());
    }
}

#[tokio::test]
async fn the_search_of_words_needs_no_search_path() {
    let url = postgres_url().await;
    Store::open(&url).await.unwrap();
    let mut connection = url.reveal().parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    // As autovacuum and a restore run.
    let statements = "SET search_path = ''; ANALYZE public.turns; REINDEX TABLE public.turns";
    connection.execute(sqlx::AssertSqlSafe(statements)).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
#[ignore = "a million rows, a minute"]
async fn a_million_calls_on_sqlite() {
    let folder = Folder::new();
    a_million_calls_are_searched_at_once(folder.url()).await;
}

#[tokio::test]
#[ignore = "a million rows, minutes"]
async fn a_million_calls_on_postgres() {
    a_million_calls_are_searched_at_once(postgres_url().await).await;
}

async fn a_recording_is_followed_to_its_end(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n");
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
    log.recording_ended(keys[0], RecordingState::Complete);
    log.recording_ended(keys[1], RecordingState::Failed);
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
