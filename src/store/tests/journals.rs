//! The journal: what waits in it comes into the database in order, and once.

use std::{fs, io::Write, os::unix::fs::PermissionsExt};

use serde_json::json;
use sqlx::Executor;

use super::*;
use crate::store::{
    entry::{Entry, Weight},
    journal, replay,
};

on_both!(
    what_was_replayed_is_not_replayed_again,
    what_a_killed_milo_left_is_read_before_its_rows_are_closed,
    an_entry_that_is_refused_does_not_hold_up_the_others,
);

/// A call with its turns, one entry each.
fn entries(key: Key, turns: i32) -> Vec<Entry> {
    let turn = |number| Entry::Turn(key, number, Box::new(new_turn(2_000 + i64::from(number))));
    std::iter::once(Entry::Began(key, new_call(1_000))).chain((1..=turns).map(turn)).collect()
}

async fn written(folder: &Folder, entries: &[Entry]) -> Journal {
    let mut journal = Journal::new(&folder.0, 1 << 20);
    for entry in entries {
        journal.append(journal::line(entry).unwrap()).await.unwrap();
    }
    journal
}

async fn what_was_replayed_is_not_replayed_again(url: SecretUrl) {
    let (store, folder) = (Store::open(&url).await.unwrap(), Folder::new());
    let (gone, kept) = (Key::new(), Key::new());
    let mut all = entries(gone, 3);
    all.push(Entry::Ended(gone, new_ending(9_000)));
    let journal = written(&folder, &all).await;
    let mode = fs::metadata(journal.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "what callers said is for nobody else: {mode:o}");
    let end = journal.end();
    let source = journal.source().unwrap();
    let first = replay::step(&store, "n", &source, (Journal::begin(), end)).await.unwrap();
    assert_eq!((first.at, first.entries), (end, 5));
    // The number is forgotten; then Milo is killed before the journal is removed.
    assert_eq!(store.forget_number("0341234567", "0341234567").await.unwrap().calls, 1);
    let mut left = Journal::new(&folder.0, 1 << 20);
    let mut more = fs::OpenOptions::new().append(true).open(left.path()).unwrap();
    for entry in entries(kept, 2) {
        more.write_all(&journal::line(&entry).unwrap()).unwrap();
    }
    store.replay("n", &mut left).await.unwrap();
    assert!(store.call(gone).await.unwrap().is_none(), "what was forgotten does not come back");
    assert_eq!(store.call(kept).await.unwrap().unwrap().turn_count, 2, "what was not replayed comes");
    assert!(!left.path().exists());

    // Another journal begins anew, and so does the one of another Milo.
    for node in ["n", "m"] {
        let key = Key::new();
        let mut journal = written(&folder, &entries(key, 2)).await;
        assert_eq!(store.replay(node, &mut journal).await.unwrap(), 3);
        assert_eq!(store.call(key).await.unwrap().unwrap().turn_count, 2);
    }
}

async fn what_a_killed_milo_left_is_read_before_its_rows_are_closed(url: SecretUrl) {
    let (store, folder) = (Store::open(&url).await.unwrap(), Folder::new());
    let [torn, whole] = [Key::new(), Key::new()];
    let mut journal = written(&folder, &entries(torn, 2)).await;
    // A line whose letters are others than they were, one that no Milo knows, and one that was cut off.
    let mut wrong = journal::line(&Entry::Answered(torn, Stamp::from_millis(1_500))).unwrap();
    wrong[40] ^= 1;
    journal.append(wrong).await.unwrap();
    journal.append(b"0123456789abcdef {}\nx\n\n".to_vec()).await.unwrap();
    for entry in entries(whole, 300) {
        journal.append(journal::line(&entry).unwrap()).await.unwrap();
    }
    let last = journal::line(&Entry::Placed(whole, "x".into())).unwrap();
    journal.append(last[..last.len() - 5].to_vec()).await.unwrap();

    let mut left = Journal::new(&folder.0, 1 << 20);
    assert_eq!(store.replay("n", &mut left).await.unwrap(), 304);
    assert_eq!(store.close_left_open("n").await.unwrap(), 2);
    let row = store.call(torn).await.unwrap().unwrap();
    assert_eq!((row.answered, row.turn_count, row.ended.map(Stamp::millis)), (None, 2, Some(2_002)));
    assert_eq!(store.call(whole).await.unwrap().unwrap().turn_count, 300);
    let turns = store.turns(whole).await.unwrap();
    let turn = &turns[299];
    let sent = new_turn(0);
    assert_eq!(
        (turn.number, &turn.heard, turn.stages, turn.recording_at_ms),
        (300, &sent.heard, sent.stages, sent.recording_at_ms)
    );
    assert_eq!(store.replay("n", &mut left).await.unwrap(), 0, "there is none any more");

    // One that was cut off when it was made.
    fs::write(left.path(), "milo call lo").unwrap();
    assert_eq!(store.replay("n", &mut left).await.unwrap(), 0);

    // One that holds rows behind a beginning which nobody understands: what to do with it, people decide.
    let odd = "rows of another version\n".repeat(9);
    fs::write(left.path(), &odd).unwrap();
    assert_eq!(store.replay("n", &mut left).await.unwrap(), 0);
    let files: Vec<_> = fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path()).collect();
    let aside = files.iter().find(|file| file.extension().is_some_and(|ending| ending == "broken"));
    assert_eq!(fs::read_to_string(aside.expect("put aside")).unwrap(), odd);
    assert!(!left.path().exists());
}

async fn an_entry_that_is_refused_does_not_hold_up_the_others(url: SecretUrl) {
    let (store, folder) = (Store::open(&url).await.unwrap(), Folder::new());
    let key = Key::new();
    let mut all = entries(key, 1);
    all.insert(0, Entry::Turn(Key::new(), 1, Box::new(new_turn(1))));
    let journal = written(&folder, &all).await;
    let step = replay::step(&store, "n", &journal.source().unwrap(), (Journal::begin(), journal.end())).await.unwrap();
    assert_eq!(step.refused, [Weight::Turn]);
    assert_eq!(store.call(key).await.unwrap().unwrap().turn_count, 1);
}

#[tokio::test]
async fn while_the_database_is_away_rows_wait_on_disk_and_what_matters_most_is_kept() {
    let folder = Folder::new();
    let store = Store::open(&folder.url()).await.unwrap();
    let Pool::Sqlite(pool) = &store.pool else { unreachable!("the address says SQLite") };
    let mut holder = pool.acquire().await.unwrap();
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();

    // Room for some sixty entries.
    let journal = Journal::new(&folder.0, 20_000);
    let path = journal.path().to_owned();
    let (log, _) = LogWriter::start(store.clone(), "n", Some(journal));
    let call = log.begin(new_call(1));
    for n in 0..200 {
        call.event(Stamp::from_millis(n), "digit", json!({ "digit": "1" }));
    }
    for n in 0..200 {
        call.turn(new_turn(n));
    }
    let ending = new_ending(9_000);
    call.end(ending);
    // They are handed over; nobody is told that they are in the database.
    let mut waited = 0;
    let state = loop {
        let (text, state) = (fs::read_to_string(&path).unwrap_or_default(), log.state());
        // What is written is counted a moment later.
        if text.contains("Ended") && state.journal_bytes == text.len() as u64 {
            break state;
        }
        assert!(!log.flush(Duration::from_millis(100)).await);
        waited += 1;
        assert!(waited < 200, "{state:?}");
    };
    assert!(state.lost_events > 50 && state.lost_turns > 150 && state.lost_calls == 0, "{state:?}");
    assert!(state.journal_bytes <= 20_000 && state.waiting as u64 >= state.journal_entries, "{state:?}");

    holder.execute("ROLLBACK").await.unwrap();
    drop(holder);
    assert!(log.flush(SOON).await);
    let row = store.call(call.key()).await.unwrap().unwrap();
    assert_eq!(row.end_reason.as_deref(), Some("over"));
    assert_eq!(row.turn_count as u64, 200 - state.lost_turns);
    assert_eq!(store.events(call.key()).await.unwrap().len() as u64, 200 - state.lost_events);
    assert!(!path.exists());
    let mut after = log.state();
    for _ in 0..100 {
        // The file is gone before it is counted so.
        if after.journal_bytes == 0 && after.fault.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        after = log.state();
    }
    assert_eq!((after.journal_entries, after.journal_bytes, after.waiting, after.fault), (0, 0, 0, None));
    assert_eq!(after.replayed, state.journal_entries);
}

#[tokio::test]
async fn a_database_that_does_not_answer_is_waited_for_a_second() {
    let folder = Folder::new();
    let store = Store::open(&folder.url()).await.unwrap();
    let Pool::Sqlite(pool) = &store.pool else { unreachable!("the address says SQLite") };
    let mut holder = pool.acquire().await.unwrap();
    holder.execute("BEGIN EXCLUSIVE").await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", Some(Journal::new(&folder.0, 1 << 20)));
    // From here on the clock jumps to whatever is waited for.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let _call = log.begin(new_call(1));
    while log.state().journal_entries == 0 && began.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let waited = began.elapsed();
    assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&waited), "on disk after {waited:?}");
    holder.execute("ROLLBACK").await.unwrap();
}
