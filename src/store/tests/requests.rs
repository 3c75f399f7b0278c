//! What callers want of the house: listed by kind and state, settled once, and forgotten with the call or the number.

use super::*;

on_both!(requests_are_listed_settled_once_and_written_once, requests_go_with_their_call_and_their_number,);

fn new_request(kind: &str, telephone: Option<&str>, at: i64) -> NewRequest {
    NewRequest {
        kind: kind.into(),
        telephone: telephone.map(Into::into),
        wanted: Some("2026-12-01 maraina".into()),
        text: Some("Ny\u{0} vidiny".into()),
        at: Stamp::from_millis(at),
    }
}

async fn listed(store: &Store, which: RequestsWanted<'_>) -> Vec<Key> {
    let page = store.requests(which, None, 10).await.unwrap().unwrap();
    page.requests.into_iter().map(|one| one.id).collect()
}

async fn requests_are_listed_settled_once_and_written_once(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let (one, other) = (log.begin(new_call(1)), log.begin(new_call(2)));
    // Two of one millisecond, so that the pages must neither repeat nor skip one.
    let back = one.request(new_request("call_back", Some("+261341234567"), 5));
    let message = one.request(new_request("message", None, 5));
    let later = other.request(new_request("call_back", Some("034"), 9));
    assert!(log.flush(SOON).await);
    let all = RequestsWanted::default();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.requests(all, cursor, 1).await.unwrap().unwrap();
        seen.extend(page.requests);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.iter().map(|one| one.id).collect::<Vec<_>>(), [later, message, back]);
    assert_eq!(
        (seen[1].text.as_deref(), &seen[1].telephone, seen[1].call),
        (Some("Ny\u{fffd} vidiny"), &None, one.key())
    );
    assert!(store.requests(all, Some(Key::new()), 1).await.unwrap().is_none());

    let done = store.settle_request(back, Some((Stamp::from_millis(20), "rina"))).await.unwrap().unwrap();
    assert_eq!((done.done, done.done_by.as_deref()), (Some(Stamp::from_millis(20)), Some("rina")));
    let again = store.settle_request(back, Some((Stamp::from_millis(30), "koto"))).await.unwrap().unwrap();
    assert_eq!(again, done, "the first who says so has done it");
    let of = |kind, state, call| RequestsWanted { kind, state, call };
    assert_eq!(listed(&store, of(Some("call_back"), Some("open"), None)).await, [later]);
    assert_eq!(listed(&store, of(None, Some("done"), None)).await, [back]);
    assert_eq!(listed(&store, of(None, None, Some(one.key()))).await, [message, back]);
    let open = store.settle_request(back, None).await.unwrap().unwrap();
    assert_eq!((open.done, open.done_by), (None, None));
    assert!(store.settle_request(Key::new(), None).await.unwrap().is_none());
}

async fn requests_go_with_their_call_and_their_number(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let (one, other) = (log.begin(new_call(1_000)), log.begin(new_call(9_000)));
    one.request(new_request("message", None, 1_500));
    other.request(new_request("call_back", Some("+261320000000"), 9_500));
    let kept = other.request(new_request("call_back", Some("+261330000000"), 9_600));
    one.end(new_ending(2_000));
    other.end(new_ending(9_900));
    assert!(log.flush(SOON).await);
    store.forget_calls(Stamp::from_millis(5_000)).await.unwrap();
    assert_eq!(listed(&store, RequestsWanted::default()).await.len(), 2, "it goes with its call");
    store.forget_number("+261320000000", "+261320000000").await.unwrap();
    assert_eq!(listed(&store, RequestsWanted::default()).await, [kept]);
    // One that comes after its call is gone is not kept.
    one.request(new_request("message", None, 9_999));
    assert!(log.flush(SOON).await);
    assert_eq!(listed(&store, RequestsWanted::default()).await, [kept]);
}
