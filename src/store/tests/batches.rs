//! Batches: what is to be done is done once, whatever comes between.

use serde_json::json;

use super::*;

on_both!(
    a_batch_is_done_item_by_item_and_what_was_running_begins_again,
    a_batch_that_is_cancelled_stays_so,
    items_that_end_at_once_while_the_batch_is_cancelled_wait_for_nobody_in_a_ring,
    each_key_sees_its_own_batches_in_pages,
);

fn new_batch(created: i64, key: Option<Key>) -> NewBatch {
    let items = vec![json!({ "text": "é" }), json!({ "text": "b" }), json!({ "text": "c" })];
    NewBatch { id: Key::new(), key, who: "k".into(), kind: "translate", created: Stamp::from_millis(created), items }
}

async fn counts(store: &Store, id: Key) -> (String, i32, i32, i32) {
    let row = store.batch(id, None).await.unwrap().unwrap();
    (row.state, row.running, row.done, row.failed)
}

async fn a_batch_is_done_item_by_item_and_what_was_running_begins_again(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (batch, now) = (new_batch(1_000, None), Stamp::from_millis(2_000));
    store.add_batch("n", &batch).await.unwrap();
    assert!(store.next_batch("other").await.unwrap().is_none(), "another Milo's batch");
    assert_eq!(
        (store.next_batch("n").await.unwrap().unwrap().id, store.open_batches("n", None).await.unwrap()),
        (batch.id, (1, 1))
    );
    assert_eq!(store.open_batches("n", Some(Key::new())).await.unwrap(), (1, 0), "none of them is that key's");
    assert_eq!(store.begin_item(batch.id, now).await.unwrap(), Some((0, json!({ "text": "é" }))));
    store.end_item(batch.id, 0, &Ok(json!({ "translation": "è" }))).await.unwrap();
    assert_eq!(store.begin_item(batch.id, now).await.unwrap().unwrap().0, 1);
    assert_eq!(counts(&store, batch.id).await, ("running".into(), 1, 1, 0));
    // A crash: what is done stays done.
    store.resume_batches("n").await.unwrap();
    assert_eq!(counts(&store, batch.id).await, ("running".into(), 0, 1, 0));
    store.end_batch(batch.id, now).await.unwrap();
    assert_eq!(store.begin_item(batch.id, now).await.unwrap().unwrap().0, 1, "it has not ended, and begins again");
    for _ in 0..2 {
        // Told twice, it counts once.
        store.end_item(batch.id, 1, &Err("it is not known".into())).await.unwrap();
    }
    assert_eq!(store.begin_item(batch.id, now).await.unwrap().unwrap().0, 2);
    store.end_item(batch.id, 2, &Err("nor this".into())).await.unwrap();
    assert!(store.begin_item(batch.id, now).await.unwrap().is_none());
    store.end_batch(batch.id, Stamp::from_millis(3_000)).await.unwrap();
    assert_eq!(counts(&store, batch.id).await, ("done".into(), 0, 1, 2));
    assert!(store.next_batch("n").await.unwrap().is_none());
    let items = store.batch_items(batch.id).await.unwrap();
    assert_eq!((items[0].result.clone(), items[0].error.clone()), (Some(json!({ "translation": "è" })), None));
    assert_eq!((items[1].state.as_str(), items[1].error.as_deref()), ("failed", Some("it is not known")));

    assert!(store.forget_batches(Stamp::from_millis(3_000)).await.unwrap().is_empty());
    assert_eq!(store.forget_batches(Stamp::from_millis(3_001)).await.unwrap(), [batch.id]);
    assert!(
        store.batch(batch.id, None).await.unwrap().is_none() && store.batch_items(batch.id).await.unwrap().is_empty()
    );
}

async fn a_batch_that_is_cancelled_stays_so(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (batch, now) = (new_batch(1_000, None), Stamp::from_millis(2_000));
    store.add_batch("n", &batch).await.unwrap();
    store.begin_item(batch.id, now).await.unwrap();
    store.end_item(batch.id, 0, &Ok(json!(1))).await.unwrap();
    store.begin_item(batch.id, now).await.unwrap();
    assert!(store.cancel_batch(batch.id, now).await.unwrap());
    assert!(!store.cancel_batch(batch.id, now).await.unwrap(), "it has ended");
    store.end_item(batch.id, 1, &Ok(json!(2))).await.unwrap();
    store.end_batch(batch.id, now).await.unwrap();
    assert!(store.begin_item(batch.id, now).await.unwrap().is_none());
    assert_eq!(counts(&store, batch.id).await, ("cancelled".into(), 0, 1, 0));
    let states: Vec<_> = store.batch_items(batch.id).await.unwrap().into_iter().map(|item| item.state).collect();
    assert_eq!(states, ["done", "cancelled", "cancelled"]);
    let all_failed = new_batch(1_000, None);
    store.add_batch("n", &all_failed).await.unwrap();
    while let Some((number, _)) = store.begin_item(all_failed.id, now).await.unwrap() {
        store.end_item(all_failed.id, number, &Err("no".into())).await.unwrap();
    }
    store.end_batch(all_failed.id, now).await.unwrap();
    assert_eq!(counts(&store, all_failed.id).await, ("failed".into(), 0, 0, 3));
}

async fn items_that_end_at_once_while_the_batch_is_cancelled_wait_for_nobody_in_a_ring(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let now = Stamp::from_millis(2_000);
    for _ in 0..20 {
        let batch = new_batch(1_000, None);
        store.add_batch("n", &batch).await.unwrap();
        while store.begin_item(batch.id, now).await.unwrap().is_some() {}
        let (said, unknown) = (Ok(json!(1)), Err("it is not known".into()));
        let (first, second, third, cancelled) = tokio::join!(
            store.end_item(batch.id, 0, &said),
            store.end_item(batch.id, 1, &unknown),
            store.end_item(batch.id, 2, &said),
            store.cancel_batch(batch.id, now),
        );
        first.and(second).and(third).unwrap();
        assert!(cancelled.unwrap(), "it had not ended");
        let (state, running, done, failed) = counts(&store, batch.id).await;
        let items = store.batch_items(batch.id).await.unwrap();
        let are = |state: &str| items.iter().filter(|item| item.state == state).count() as i32;
        assert_eq!((state.as_str(), running, done, failed), ("cancelled", 0, are("done"), are("failed")));
    }
}

async fn each_key_sees_its_own_batches_in_pages(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (one, other) = (Key::new(), Key::new());
    let mut ids = Vec::new();
    for at in 0..6 {
        let batch = new_batch(at, Some(if at % 2 == 0 { one } else { other }));
        store.add_batch("n", &batch).await.unwrap();
        ids.push(batch.id);
    }
    assert_eq!(store.next_batch("n").await.unwrap().unwrap().id, ids[0], "the oldest is done first");
    let page = store.batches(Some(one), None, 2).await.unwrap().unwrap();
    assert_eq!(page.batches.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[4], ids[2]]);
    let page = store.batches(Some(one), page.next, 2).await.unwrap().unwrap();
    assert_eq!((page.batches.len(), page.batches[0].id, page.next), (1, ids[0], None));
    assert_eq!(store.batches(None, None, 50).await.unwrap().unwrap().batches.len(), 6);
    assert!(
        store.batch(ids[1], Some(one)).await.unwrap().is_none()
            && store.batch(ids[1], Some(other)).await.unwrap().is_some()
    );
    assert!(store.batches(Some(one), Some(ids[1]), 2).await.unwrap().is_none(), "no cursor of another's");
}
