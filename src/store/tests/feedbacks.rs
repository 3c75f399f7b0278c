//! Feedback is listed, and forgotten with its call.

use super::*;

on_both!(feedback_is_listed_by_call_and_session_and_forgotten_with_its_call);

async fn feedback_is_listed_by_call_and_session_and_forgotten_with_its_call(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let call = log.begin(new_call(1));
    let ending = new_ending(9);
    call.end(ending);
    assert!(log.flush(SOON).await);
    let new = |call: Option<Key>, session: Option<&str>, at: i64| Feedback {
        id: Key::new(),
        call,
        session: session.map(Into::into),
        turn: Some(2),
        rating: 4,
        thumbs: call.is_some().then(|| "up".into()),
        comment: Some("tsara".into()),
        at: Stamp::from_millis(at),
    };
    // Three of one millisecond, so that the pages must neither repeat nor skip one.
    let all =
        [new(Some(call.key()), None, 5), new(None, Some("s"), 5), new(None, Some("s"), 5), new(None, Some("t"), 9)];
    for one in &all {
        store.write_feedback(one).await.unwrap();
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.feedback((None, None), cursor, 1).await.unwrap().unwrap();
        seen.extend(page.feedback);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, [3, 2, 1, 0].map(|n| all[n].clone()));
    let of = async |of: (Option<Key>, Option<&str>)| store.feedback(of, None, 10).await.unwrap().unwrap().feedback;
    assert_eq!(of((Some(call.key()), None)).await, [all[0].clone()]);
    assert_eq!(of((None, Some("s"))).await, [all[2].clone(), all[1].clone()]);
    assert!(of((Some(call.key()), Some("s"))).await.is_empty());
    assert!(store.feedback((None, None), Some(Key::new()), 1).await.unwrap().is_none());

    store.forget_feedback(Stamp::from_millis(9)).await.unwrap();
    assert_eq!(of((None, None)).await, [all[3].clone(), all[0].clone()], "what is said of a call is not old by itself");
    store.forget_number("0341234567", "0341234567").await.unwrap();
    assert_eq!(of((None, None)).await, [all[3].clone()]);
}
