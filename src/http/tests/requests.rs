//! What callers want of the house, as those who do it see it.

use super::*;
use crate::store::NewRequest;

#[tokio::test]
async fn requests_are_listed_and_marked_as_done_by_whoever_may() {
    let house = House::new(healthy()).await;
    let call = house.call();
    let new = |kind: &str| NewRequest {
        kind: kind.into(),
        telephone: Some("+261341234567".into()),
        wanted: None,
        text: Some("Ny vidiny".into()),
        at: Stamp::from_millis(2_000),
        back: None,
    };
    let (message, back) = (call.request(new("message")), call.request(new("call_back")));
    let page = house.json("/api/v1/requests?kind=call_back&state=open").await;
    let [only] = &page["requests"].as_array().unwrap()[..] else { panic!("{page}") };
    assert_eq!((&only["id"], &only["call_id"]), (&json!(back), &json!(call.key())), "{page}");
    assert_eq!((&only["telephone"], &only["done"]), (&json!("+261341234567"), &Value::Null), "{page}");

    let (status, done) = house.post(&format!("/api/v1/requests/{back}"), r#"{"done": true}"#).await;
    assert_eq!((status, &done["done_by"]), (200, &json!("this machine")), "{done}");
    assert!(done["done"].is_string(), "{done}");
    let open = house.json("/api/v1/requests?state=open").await;
    assert_eq!(open["requests"][0]["id"], json!(message), "{open}");
    assert_eq!(house.json("/api/v1/requests?state=done").await["requests"].as_array().unwrap().len(), 1);
    let (status, again) = house.post(&format!("/api/v1/requests/{back}"), r#"{"done": false}"#).await;
    assert_eq!((status, &again["done"], &again["done_by"]), (200, &Value::Null, &Value::Null), "{again}");
    house.log.flush(std::time::Duration::from_secs(10)).await;
    let audit = house.json("/api/v1/audit").await.to_string();
    assert!(audit.contains("requests.settle") && audit.contains(&back.to_string()), "{audit}");

    let other = crate::store::Key::new();
    for (path, body, status) in [
        (format!("/api/v1/requests/{other}"), r#"{"done": true}"#, 404),
        ("/api/v1/requests/x".into(), r#"{"done": true}"#, 404),
        (format!("/api/v1/requests/{back}"), r#"{"done": "yes"}"#, 422),
        (format!("/api/v1/requests/{back}"), r#"{"done": true, "by": "me"}"#, 422),
    ] {
        let (answered, problem) = house.post(&path, body).await;
        assert_eq!(answered, status, "{path} {body}: {problem}");
    }
    for query in ["kind=x", "state=x", "call_id=x", "limit=0", "cursor=x", "since=1"] {
        assert_eq!(house.problem(&format!("/api/v1/requests?{query}")).await.0, 400, "{query}");
    }
}
