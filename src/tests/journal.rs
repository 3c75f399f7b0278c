//! The database is away in the middle of calls: they go on, and the log has all of them once it is back.

use std::{fs, io::Write, path::Path, time::Duration};

use crate::{
    database::Database,
    house::{PROGRAM, answered, call, errand, events, folder, get, metric, milo, stop, until},
    telephone::Telephone,
};
use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{task::block_in_place, time::sleep};

/// A Milo whose log is in this database.
async fn over(name: &str, database: &Database) -> Running {
    milo(name, &[("DATABASE_URL", &database.url())]).await
}

fn journal(milo: &Running) -> std::path::PathBuf {
    milo.folder().join("call-log.journal")
}

/// Waits until the journal holds this so often.
async fn in_journal(milo: &Running, what: &str, times: usize) {
    for _ in 0..300 {
        if fs::read_to_string(journal(milo)).unwrap_or_default().matches(what).count() >= times {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("within thirty seconds {what} did not come {times} times into the journal");
}

/// Waits until health says this of the database.
async fn health(milo: &Running, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..300 {
        let health = get(milo, "/api/v1/health");
        if is_so(&health) {
            return health;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("within thirty seconds {what} was not so: {}", get(milo, "/api/v1/health"));
}

async fn back(milo: &Running) {
    health(milo, "the journal is replayed", |health| {
        health["database"]["connected"] == true && health["database"]["rows_waiting"] == 0
    })
    .await;
}

/// All calls of the log, the oldest first, with turns and events.
fn calls(milo: &Running) -> Vec<Value> {
    let list = get(milo, "/api/v1/calls");
    let ids = list["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .rev()
        .map(|call| call["id"].as_str().expect("an id").to_owned());
    ids.map(|id| get(milo, &format!("/api/v1/calls/{id}"))).collect()
}

/// Nothing is missing, nothing is there twice.
fn assert_whole(call: &Value) {
    for of in ["turns", "events"] {
        let rows = call[of].as_array().expect("rows");
        let numbers: Vec<_> = rows.iter().map(|row| row["number"].as_u64().expect("a number")).collect();
        assert_eq!(numbers, (1..=rows.len() as u64).collect::<Vec<_>>(), "{of} of {call}");
    }
}

fn keys(call: &Value) -> String {
    events(call, "digit").iter().filter_map(|event| event["digit"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_while_postgres_is_stopped_and_are_all_there_when_it_is_back() {
    let mut database = Database::new("journal-away");
    let milo = over("journal", &database).await;
    // One call is up before, and after; one is up before, and ends meanwhile; one is wholly within.
    let (mut long, mut ends) = block_in_place(|| (Telephone::call(&milo, "digits"), Telephone::call(&milo, "digits")));
    block_in_place(|| [&mut long, &mut ends].into_iter().for_each(|phone| phone.presses('1')));
    health(&milo, "both calls are in the log", |_| calls(&milo).iter().filter(|call| keys(call) == "1").count() == 2)
        .await;
    database.stop();

    block_in_place(|| [&mut long, &mut ends].into_iter().for_each(|phone| phone.presses('2')));
    in_journal(&milo, r#""digit":"2""#, 2).await;
    block_in_place(|| ends.hangs_up());
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let away = health(&milo, "the journal is told of", |health| {
        health["database"]["connected"] == false && health["database"]["journal"]["rows"].as_u64() > Some(10)
    })
    .await;
    assert_eq!(away["status"], "degraded", "{away}");
    let degraded = away["degraded"][0].as_str().expect("a sentence");
    assert!(degraded.contains("of them in the journal"), "{away}");
    in_journal(&milo, r#"{"Ended":"#, 2).await;
    let bytes = fs::metadata(journal(&milo)).expect("the journal").len();
    assert!(bytes > 1_000, "{bytes}");
    assert_eq!(metric(&milo, "milo_log_journal_bytes").await, bytes as f64);
    assert!(metric(&milo, "milo_log_journal_rows").await > 10.0);

    database.start();
    back(&milo).await;
    block_in_place(|| long.presses('3'));
    health(&milo, "the last key is in the log", |_| keys(&calls(&milo)[0]).ends_with('3')).await;
    block_in_place(|| long.hangs_up());
    let all = calls(&milo);
    let last = until(&milo, &all[0]["id"], "ended", |call| !call["ended"].is_null()).await;
    let [first, second] = [last, all[1].clone()];
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!((keys(&first).as_str(), keys(&second).as_str()), ("123", "12"), "{first}{second}");
    for call in [&first, &second, &all[2]] {
        assert_whole(call);
        assert_eq!((&call["hangup_by"], call["answered"].is_string()), (&json!("caller"), true), "{call}");
    }
    assert_eq!(answered(&all[2]).len(), 1, "{}", all[2]);
    assert!(!journal(&milo).exists(), "all of it is replayed");
    assert!(metric(&milo, "milo_log_replayed_total").await > 10.0);
    assert_eq!(metric(&milo, "milo_log_journal_bytes").await, 0.0);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milo_that_is_killed_while_postgres_is_stopped_reads_its_journal_when_it_starts() {
    let mut database = Database::new("journal-killed");
    let at = folder("journal-kill");
    let url = database.url();
    let variables = [("DATABASE_URL", url.as_str())];
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    let mut live = block_in_place(|| Telephone::call(&milo, "digits"));
    block_in_place(|| live.presses('1'));
    health(&milo, "the call is in the log", |_| calls(&milo).iter().any(|call| keys(call) == "1")).await;
    database.stop();
    let mut ended = block_in_place(|| Telephone::call(&milo, "digits"));
    block_in_place(|| {
        for key in ['4', '5'] {
            ended.presses(key);
        }
        live.presses('2');
    });
    in_journal(&milo, r#""digit":"5""#, 1).await;
    block_in_place(|| ended.hangs_up());
    in_journal(&milo, r#"{"Ended":"#, 1).await;
    in_journal(&milo, r#""digit":"2""#, 1).await;
    let file = journal(&milo);
    milo.kill().await.expect("kill -9");
    // As when it was cut off in the middle of a line.
    let mut torn = fs::OpenOptions::new().append(true).open(&file).expect("the journal is there");
    torn.write_all(br#"0123456789abcdef {"Ended":["0193"#).expect("written");
    drop(torn);

    database.start();
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts again");
    let all = calls(&milo);
    assert_eq!(all.len(), 2, "{all:?}");
    all.iter().for_each(assert_whole);
    assert_eq!((keys(&all[0]).as_str(), keys(&all[1]).as_str()), ("12", "45"), "{all:?}");
    assert_eq!(all[0]["end_reason"], "milo was stopped during the call", "{}", all[0]);
    assert_eq!(all[1]["hangup_by"], "caller", "{}", all[1]);
    assert!(!file.exists(), "all of it is replayed");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_moves_no_packet() {
    let database = Database::new("journal-still");
    let milo = over("still", &database).await;
    let (music, mut other) = block_in_place(|| (Telephone::call(&milo, "music"), Telephone::call(&milo, "digits")));
    block_in_place(|| other.presses('1'));
    // The first packets come while the call is set up.
    block_in_place(|| music.listens(Duration::from_secs(1)));
    let (before, _) = block_in_place(|| music.listens(Duration::from_secs(4)));
    database.signal("STOP");
    // Longer than a transaction is waited for, and than a second one is.
    let listening = tokio::task::spawn_blocking(move || (music.listens(Duration::from_secs(16)), music));
    for key in ['2', '3', '4', '5'] {
        block_in_place(|| other.presses(key));
        sleep(Duration::from_secs(3)).await;
    }
    let ((during, gap), mut music) = listening.await.expect("a telephone");
    println!("packets {before} in 4 s, {during} in 16 s; the longest pause {gap:?}");
    assert!(during >= before * 4 - before / 10, "{during} packets in 16 s; {before} in the 4 s before");
    assert!(gap < Duration::from_millis(500), "{gap:?} without a packet");
    assert!(journal(&milo).exists(), "rows wait on disk");
    database.signal("CONT");
    back(&milo).await;
    health(&milo, "the last key is in the log", |_| keys(&calls(&milo)[1]).ends_with('5')).await;
    block_in_place(|| {
        other.hangs_up();
        music.hangs_up();
    });
    let all = calls(&milo);
    let row = until(&milo, &all[1]["id"], "ended", |call| !call["ended"].is_null()).await;
    assert_eq!(keys(&row), "12345", "{row}");
    assert_whole(&row);
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milo_that_is_started_before_its_database_waits_for_it() {
    let mut database = Database::new("late-database");
    let url = database.url();
    database.stop();
    let late = async {
        sleep(Duration::from_secs(2)).await;
        block_in_place(|| database.start());
    };
    let variables = [("DATABASE_URL", url.as_str())];
    let (milo, ()) = tokio::join!(milo("late", &variables), late);
    let health = get(&milo, "/api/v1/health");
    assert_eq!((&health["status"], &health["database"]["connected"]), (&"healthy".into(), &true.into()), "{health}");
    stop(milo).await;
}
