//! Searching a log, small and of years; forgetting what is in it.

use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};

use super::*;

on_both!(calls_are_found_by_what_is_known_of_them, a_number_and_old_calls_are_forgotten,);

async fn calls_are_found_by_what_is_known_of_them(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
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
    let (log, _) = LogWriter::start(store.clone(), "n", None);
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
        result: Some("received".into()),
    });
    assert!(log.flush(SOON).await);
    let mut forgotten = store.forget_number("034", "034").await.unwrap();
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
    assert_eq!(store.forget_number("034", "034").await.unwrap(), Forgotten::default());
    assert_eq!(store.forget_calls(Stamp::from_millis(3_000)).await.unwrap(), (0, vec![]));
    assert_eq!(store.forget_calls(Stamp::from_millis(9_000)).await.unwrap(), (1, vec!["d/c.ogg".to_owned()]));
    assert!(store.call(other).await.unwrap().is_none() && store.call(live.key()).await.unwrap().is_some());
    let quiet = log.clone().without_words().begin(new_call(5_000));
    quiet.turn(new_turn(5_000));
    assert!(log.flush(SOON).await);
    let turn = store.turns(quiet.key()).await.unwrap().remove(0);
    assert_eq!((turn.heard, turn.said, turn.said_heard, turn.stages.stt_ms), (None, None, None, Some(120.5)));
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
