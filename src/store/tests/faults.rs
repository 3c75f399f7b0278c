//! Databases that are new, newer, full, away, or have been left by a crash.

use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions, Executor, postgres::PgConnectOptions};

use super::*;

on_both!(
    the_rows_of_a_crash_are_closed_by_their_own_node,
    many_may_open_an_empty_database_at_once,
    a_database_of_a_newer_version_is_refused,
    a_refused_row_does_not_hold_up_the_others,
    writing_a_batch_twice_changes_nothing,
);

async fn the_rows_of_a_crash_are_closed_by_their_own_node(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (mine, _) = LogWriter::start(store.clone(), "mine", None);
    let (other, _) = LogWriter::start(store.clone(), "other", None);
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

async fn a_refused_row_does_not_hold_up_the_others(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
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

    let (log, _) = LogWriter::start(store.clone(), "n", None);
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

    let (log, _) = LogWriter::with_capacity(store.clone(), "n", None, 16);
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
    let (log, _) = LogWriter::start(store.clone(), "n", None);
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
