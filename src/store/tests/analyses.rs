//! What the model has written down of a call, told, shown and forgotten with it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::config::CallEvent;

on_both!(an_analysis_is_kept_beside_its_call_told_once_and_forgotten_with_it);

async fn an_analysis_is_kept_beside_its_call_told_once_and_forgotten_with_it(url: SecretUrl) {
    let store = Store::open(&url).await.unwrap();
    let told = Arc::new(Listener::new("told".into(), vec![CallEvent::Analysed]));
    let log = LogWriter::start(store.clone(), "n", None).0.telling(vec![told]);
    let calls = [1_000, 2_000].map(|started| log.begin(new_call(started)));
    let keys = calls.each_ref().map(CallLog::key);
    calls.iter().for_each(|call| call.end(new_ending(9_000)));
    let fields = json!({ "order": "A\u{0}17", "seats": null });
    let findings = Findings {
        summary: Some("Le prix.".into()),
        outcome: Some("answered".into()),
        sentiment: None,
        tags: vec!["price".into()],
        fields: fields.as_object().unwrap().clone(),
    };
    let done = Analysis { at: Stamp::from_millis(10_000), findings, failed: None };
    let failed = Analysis {
        at: Stamp::from_millis(11_000),
        findings: Findings::default(),
        failed: Some("the language model has stopped".into()),
    };
    assert_eq!(store.analysis(keys[0]).await.unwrap(), None);
    log.analysed(keys[0], done.clone());
    log.analysed(keys[1], failed.clone());
    log.analysed(keys[0], failed.clone());
    assert!(log.flush(SOON).await);
    let mut kept = done;
    kept.findings.fields["order"] = "A\u{fffd}17".into();
    assert_eq!(store.analysis(keys[0]).await.unwrap(), Some(kept.clone()), "it stays as it was written first");
    assert_eq!(store.analysis(keys[1]).await.unwrap(), Some(failed));
    let first = &store.next_deliveries("n", "told", 10).await.unwrap()[0];
    let body: Value = serde_json::from_str(&first.body).unwrap();
    assert_eq!((&body["type"], &body["call"]), (&json!("analysed"), &json!(keys[0])));
    assert_eq!(body["data"], serde_json::to_value(&kept).unwrap());
    assert_eq!((&body["data"]["tags"], &body["data"]["failed"]), (&json!(["price"]), &Value::Null));

    store.forget_number("0341234567", "0341234567").await.unwrap();
    assert_eq!(store.analysis(keys[0]).await.unwrap(), None);
    assert!(store.next_deliveries("n", "told", 10).await.unwrap().is_empty());
    // One that comes too late for its call is not kept.
    let mut rows = store.begin().await.unwrap();
    rows.insert_analysis(keys[0], &kept).await.unwrap();
    rows.commit().await.unwrap();
    assert_eq!(store.analysis(keys[0]).await.unwrap(), None);
}
