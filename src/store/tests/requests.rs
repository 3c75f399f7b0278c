//! What callers want of the house: listed by kind and state, settled once, and forgotten with the call or the number.

use super::*;

on_both!(
    requests_are_listed_settled_once_and_written_once,
    requests_go_with_their_call_and_their_number,
    who_is_called_back_by_milo_is_how_far_the_campaign_is,
    a_standing_campaign_takes_each_number_once_and_no_more_than_it_may,
);

fn new_request(kind: &str, telephone: Option<&str>, at: i64) -> NewRequest {
    NewRequest {
        kind: kind.into(),
        telephone: telephone.map(Into::into),
        wanted: Some("2026-12-01 maraina".into()),
        text: Some("Ny\u{0} vidiny".into()),
        at: Stamp::from_millis(at),
        back: None,
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

const ZONE: &str = "Indian/Antananarivo";

fn at(millis: i64) -> Stamp {
    Stamp::from_millis(millis)
}

/// A campaign that stands, and nobody in it.
async fn standing(store: &Store) -> Key {
    let new = NewCampaign {
        id: Key::new(),
        name: "callbacks".into(),
        who: "k".into(),
        paused: false,
        standing: true,
        settings: serde_json::json!({ "name": "callbacks" }),
        columns: Vec::new(),
        zones: vec![ZONE.into()],
        created: at(1_000),
        rows: Vec::new(),
    };
    assert!(store.add_campaign(&new, None).await.unwrap());
    new.id
}

fn number(number: &str, due: i64) -> NewCallBack {
    let variables = [("subject".to_owned(), "Ny vidiny".to_owned())].into();
    NewCallBack { called: number.into(), target: number.into(), zone: ZONE.into(), variables, due: at(due) }
}

fn bounds() -> CallBackBounds {
    CallBackBounds { waiting: 2, since: at(0), often: 1 }
}

async fn who_is_called_back_by_milo_is_how_far_the_campaign_is(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let (log, _) = LogWriter::start(store.clone(), "n", None);
    let campaign = standing(&store).await;
    let call = log.begin(new_call(1));
    let wish = async |telephone: &str, due: i64| {
        let added = store.add_call_back(campaign, &number(telephone, due), bounds()).await.unwrap();
        let CallBackAdded::At(line) = added else { panic!("{added:?}") };
        let back = Some(CallBack { campaign, line, due: at(due) });
        let request = call.request(NewRequest { back, ..new_request("call_back", Some(telephone), 5) });
        assert!(log.flush(SOON).await);
        (request, line)
    };
    let read = async |line: i32| store.requests_of(campaign, line).await.unwrap().remove(0);
    let how = |row: &RequestRow| (row.state.clone(), row.due.map(Stamp::millis), row.back);
    let claim = async |now: i64| {
        let mine = ("n", at(now), at(now + 1_000));
        store.claim_row(campaign, (ZONE, 9), mine).await.unwrap()
    };
    let over = async |row: &ClaimedRow, call: Key, outcome: &str| {
        let attempt = Attempt { call: Some(call), began: at(1), ended: at(2), outcome: outcome.into(), detail: None };
        assert!(store.end_claim(&row.claim, &RowEnd::Done(vec![attempt]), at(20_000)).await.unwrap());
    };

    let (first, line) = wish("031", 10_000).await;
    assert_eq!(how(&read(line).await), ("open".into(), Some(10_000), None));
    assert!(claim(9_999).await.row.is_none(), "not before it was agreed");
    let row = claim(10_000).await.row.expect("a row");
    let back = log.begin(new_call(11_000)).key();
    store.row_called(&row.claim, back).await.unwrap();
    assert_eq!(how(&read(line).await), ("calling".into(), None, Some(back)));
    assert_eq!(listed(&store, RequestsWanted { state: Some("calling"), ..RequestsWanted::default() }).await, [first]);
    over(&row, back, "answered").await;
    let done = read(line).await;
    assert_eq!(how(&done), ("done".into(), None, Some(back)));
    assert_eq!((done.done, done.done_by.as_deref()), (Some(at(20_000)), Some("Milo")));
    let said = store.settle_request(first, Some((at(21_000), "rina"))).await.unwrap().unwrap();
    assert_eq!((said.done, said.done_by.as_deref()), (Some(at(20_000)), Some("Milo")), "the first who has done it");
    // Opened again it is a person's.
    let open = store.settle_request(first, None).await.unwrap().unwrap();
    assert_eq!((how(&open), open.done, open.done_by), (("open".into(), None, None), None, None));

    let (_, line) = wish("032", 10_000).await;
    let row = claim(10_000).await.row.expect("a row");
    over(&row, back, "no_answer").await;
    let failed = read(line).await;
    assert_eq!(how(&failed), ("failed".into(), None, Some(back)));
    let open = listed(&store, RequestsWanted { state: Some("open"), ..RequestsWanted::default() }).await;
    assert!(open.contains(&failed.id), "a person is to see it");

    let unwanted = NewUnwanted { id: Key::new(), number: "033".into(), target: "033".into(), note: None };
    let (_, line) = wish("033", 10_000).await;
    store.add_unwanted(std::slice::from_ref(&unwanted), "k", at(1)).await.unwrap();
    let claimed = claim(10_000).await;
    assert_eq!((claimed.row.is_none(), claimed.skipped), (true, vec![line]));
    assert_eq!(how(&read(line).await), ("failed".into(), None, None));

    // Whoever does it first has done it.
    let (by_hand, line) = wish("034", 10_000).await;
    let done = store.settle_request(by_hand, Some((at(9), "rina"))).await.unwrap().unwrap();
    assert_eq!((how(&done), done.done_by.as_deref()), (("done".into(), None, None), Some("rina")));
    assert!(claim(10_000).await.row.is_none(), "nobody is called back of what is done");
    assert_eq!(read(line).await.id, by_hand);

    // Who wished for it twice is called until both are done; and not again where somebody did so while Milo called.
    let (once, line) = wish("035", 10_000).await;
    let (again, same) = wish("035", 11_000).await;
    assert_eq!(line, same);
    let settle = async |id: Key| store.settle_request(id, Some((at(9), "rina"))).await.unwrap();
    settle(again).await;
    let row = claim(11_000).await.row.expect("one still wishes for it");
    settle(once).await;
    let attempt = Attempt { call: None, began: at(1), ended: at(2), outcome: "busy".into(), detail: None };
    assert!(store.end_claim(&row.claim, &RowEnd::Again(vec![attempt], at(12_000)), at(11_500)).await.unwrap());
    assert!(claim(20_000).await.row.is_none(), "nobody waits for it any more");

    // A number that is forgotten takes along what was written in another way, and no other gets its line.
    let (_, line) = wish("036", 10_000).await;
    store.forget_number("36", "036").await.unwrap();
    assert!(store.requests_of(campaign, line).await.unwrap().is_empty());
    assert!(!store.finish_campaign(campaign, at(30_000), ("n", &log)).await.unwrap(), "it stands");
    store.forget_campaigns(at(40_000)).await.unwrap();
    assert!(store.result_rows(campaign, RowsWanted::default(), 0, 9).await.unwrap().is_empty(), "what is old is gone");
}

async fn a_standing_campaign_takes_each_number_once_and_no_more_than_it_may(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let campaign = standing(&store).await;
    assert_eq!(store.standing_campaign("callbacks").await.unwrap().map(|row| row.id), Some(campaign));
    assert!(store.standing_campaign("others").await.unwrap().is_none());
    let add = async |telephone: &str, due: i64| {
        store.add_call_back(campaign, &number(telephone, due), bounds()).await.unwrap()
    };
    assert_eq!(add("031", 10_000).await, CallBackAdded::At(2));
    assert_eq!(add("031", 12_000).await, CallBackAdded::At(2), "who asks again wants another moment");
    assert_eq!(add("032", 10_000).await, CallBackAdded::At(3));
    assert_eq!(add("033", 10_000).await, CallBackAdded::Full);
    let mine = ("n", at(10_000), at(11_000));
    let row = store.claim_row(campaign, (ZONE, 9), mine).await.unwrap().row.expect("a row");
    assert_eq!((row.called.as_str(), row.variables["subject"].as_str()), ("032", "Ny vidiny"));
    assert_eq!(store.campaign(campaign).await.unwrap().expect("it stands").columns, ["subject"]);
    store.end_claim(&row.claim, &RowEnd::Done(Vec::new()), at(10_500)).await.unwrap();
    assert_eq!(add("032", 20_000).await, CallBackAdded::Often);
    let unwanted = NewUnwanted { id: Key::new(), number: "034".into(), target: "034".into(), note: None };
    store.add_unwanted(std::slice::from_ref(&unwanted), "k", at(1)).await.unwrap();
    assert_eq!(add("034", 10_000).await, CallBackAdded::Unwanted);
    assert!(store.pause_campaign(campaign, true).await.unwrap());
    assert_eq!(add("035", 10_000).await, CallBackAdded::NotRunning);
}
