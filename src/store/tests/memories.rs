//! What is known of a caller: taken from the last call, until it is too old, and forgotten with the number or that call.

use super::*;

on_both!(
    what_is_known_of_a_caller_is_from_the_last_call_and_the_name_stays,
    a_name_that_no_server_may_read_does_not_stay_where_one_may,
    what_is_known_goes_with_its_time_its_number_and_its_call,
    what_is_known_of_callers_is_listed_page_by_page,
);

fn known(until: i64, name: Option<&str>, summary: &str) -> NewMemory {
    NewMemory {
        number: "0341234567".into(),
        until: Stamp::from_millis(until),
        name: name.map(Into::into),
        language: "fr".into(),
        summary: Some(summary.into()),
        is_local: false,
    }
}

/// Two calls of a number that are over.
async fn two_calls(url: &SecretUrl) -> (Store, LogWriter, [Key; 2]) {
    let store = Store::open(url).await.unwrap();
    let log = LogWriter::start(store.clone(), "n", None).0;
    let calls = [1_000, 2_000].map(|started| log.begin(new_call(started)));
    calls.iter().for_each(|call| call.end(new_ending(9_000)));
    (store, log, calls.each_ref().map(CallLog::key))
}

async fn summary(store: &Store, now: i64) -> Option<String> {
    store.memory("0341234567", Stamp::from_millis(now)).await.unwrap().and_then(|memory| memory.summary)
}

async fn what_is_known_of_a_caller_is_from_the_last_call_and_the_name_stays(url: SecretUrl) {
    let (store, log, [first, second]) = two_calls(&url).await;
    assert_eq!(store.memory("0341234567", Stamp::from_millis(0)).await.unwrap(), None);
    log.remembered(first, known(90_000, Some("Ra\u{0}soa"), "Le prix."));
    log.remembered(second, known(91_000, None, "Les horaires."));
    // Written late, or twice.
    log.remembered(first, known(99_000, Some("Rabe"), "Le prix."));
    log.remembered(second, known(91_000, None, "Les horaires."));
    assert!(log.flush(SOON).await);
    let memory = Memory {
        last_call: Stamp::from_millis(2_000),
        name: Some("Ra\u{fffd}soa".into()),
        language: "fr".into(),
        summary: Some("Les horaires.".into()),
        is_local: false,
    };
    assert_eq!(store.memory("0341234567", Stamp::from_millis(90_999)).await.unwrap(), Some(memory));
    assert_eq!(store.memory("034", Stamp::from_millis(90_999)).await.unwrap(), None);
}

async fn a_name_that_no_server_may_read_does_not_stay_where_one_may(url: SecretUrl) {
    let (store, log, [first, second]) = two_calls(&url).await;
    let third = log.begin(new_call(3_000));
    third.end(new_ending(9_000));
    let kept = |name, summary| NewMemory { is_local: true, ..known(91_000, name, summary) };
    let now = Stamp::from_millis(90_000);
    let known_now = async || {
        assert!(log.flush(SOON).await);
        let memory = store.memory("0341234567", now).await.unwrap().expect("a memory");
        (memory.name, memory.summary.unwrap_or_default(), memory.is_local)
    };
    log.remembered(first, known(91_000, Some("Rasoa"), "Le prix."));
    log.remembered(second, kept(None, "Sa santé."));
    assert_eq!(known_now().await, (Some("Rasoa".into()), "Sa santé.".into(), true), "what anybody may know stays");
    assert!(store.memory_row("0341234567", now).await.unwrap().is_some_and(|row| row.is_local));
    log.remembered(third.key(), known(91_000, None, "Les horaires."));
    assert_eq!(known_now().await, (None, "Les horaires.".into(), false));
}

async fn what_is_known_goes_with_its_time_its_number_and_its_call(url: SecretUrl) {
    let (store, log, [first, second]) = two_calls(&url).await;
    let write = async |call: Key| {
        log.remembered(call, known(91_000, Some("Rasoa"), "Le prix."));
        assert!(log.flush(SOON).await);
        assert!(summary(&store, 90_000).await.is_some());
    };
    write(second).await;
    assert_eq!(summary(&store, 91_000).await, None, "it is too old");
    store.forget_memories(Stamp::from_millis(90_000)).await.unwrap();
    assert!(summary(&store, 90_000).await.is_some());
    store.forget_memories(Stamp::from_millis(91_000)).await.unwrap();
    assert_eq!(summary(&store, 90_000).await, None);
    write(second).await;
    // Of an earlier call that is deleted nothing is known any more.
    store.forget_calls(Stamp::from_millis(1_500)).await.unwrap();
    assert!(summary(&store, 90_000).await.is_some());
    store.forget_calls(Stamp::from_millis(3_000)).await.unwrap();
    assert_eq!(summary(&store, 90_000).await, None);
    log.remembered(first, known(91_000, None, "Le prix."));
    assert!(log.flush(SOON).await);
    assert_eq!(summary(&store, 90_000).await, None, "its call is not there any more");

    let call = log.begin(new_call(4_000));
    call.end(new_ending(9_000));
    write(call.key()).await;
    store.forget_number("0341234567", "0341234567").await.unwrap();
    assert_eq!(summary(&store, 90_000).await, None);
}

async fn what_is_known_of_callers_is_listed_page_by_page(url: SecretUrl) {
    let (store, log, _) = two_calls(&url).await;
    let numbers = ["031", "032", "033"];
    let mut started = 3_000;
    let calls = numbers.map(|number| {
        started += 1_000;
        let call = log.begin(new_call(started));
        call.end(new_ending(9_000));
        log.remembered(call.key(), NewMemory { number: number.into(), ..known(91_000, Some("Rasoa"), "Le prix.") });
        call.key()
    });
    assert!(log.flush(SOON).await);
    let now = Stamp::from_millis(90_000);
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = store.memories(now, before, 2).await.unwrap().expect("nothing was deleted");
        listed.extend(page.memories.into_iter().map(|memory| (memory.number, memory.call)));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let newest_first: Vec<_> = numbers.iter().map(|number| (*number).to_owned()).zip(calls).rev().collect();
    assert_eq!(listed, newest_first);
    assert_eq!(store.memory_row("032", now).await.unwrap().map(|memory| memory.call), Some(calls[1]));
    let later = Stamp::from_millis(91_000);
    assert_eq!(store.memory_row("032", later).await.unwrap(), None);
    assert!(store.memories(later, None, 2).await.unwrap().expect("a page").memories.is_empty());
    assert!(store.memories(now, Some(Key::new()), 2).await.unwrap().is_none(), "nothing is known from that call");
}
