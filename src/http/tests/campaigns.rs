//! Campaigns: what a page asks before it offers them, and one that is asked for twice.

use super::*;

/// Nobody calls it: it waits until somebody resumes it.
const ORDER: &str =
    r#"{"name": "n", "list": "number,name\nsip:rina@127.0.0.1:9,Rina\n", "plan": "sales", "paused": true}"#;

/// Status and JSON of a POST of an order under a key.
async fn order(house: &House, key: &str, order: &str) -> (u16, Value) {
    let head = format!("POST /api/v1/campaigns HTTP/1.1\r\nHost: {}\r\nConnection: close", house.address);
    let length = order.len();
    let answer = house
        .raw(&format!(
            "{head}\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n{order}"
        ))
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[tokio::test]
async fn the_same_order_under_one_key_is_one_campaign_and_another_order_is_refused() {
    let house = House::new(healthy()).await;
    let (status, first) = order(&house, "k", ORDER).await;
    assert_eq!((status, &first["total"]), (201, &json!(1)), "{first}");
    assert_eq!(order(&house, "k", ORDER).await, (200, first.clone()));
    let in_body = ORDER.replace("\"paused\"", "\"idempotency_key\": \"k\", \"paused\"");
    assert_eq!(house.post("/api/v1/campaigns", &in_body).await, (200, first.clone()), "in the body as in the header");
    let (status, wrong) = order(&house, "k", &ORDER.replace("Rina\\n", "Koto\\n")).await;
    assert!(status == 422 && wrong["detail"].as_str().unwrap().contains("another campaign"), "{wrong}");
    // What is refused takes no key.
    assert_eq!(order(&house, "l", &ORDER.replace("sales", "nowhere")).await.0, 422);
    let (status, other) = order(&house, "l", ORDER).await;
    assert!(status == 201 && other["id"] != first["id"], "{other}");

    // A key outlives its campaign: nobody is called again by a late retry.
    let path = format!("/api/v1/campaigns/{}", first["id"].as_str().unwrap());
    let kept = house.json(&path).await;
    assert_eq!((&kept["settings"].get("idempotency_key"), &kept["counts"]["waiting"]), (&None, &json!(1)), "{kept}");
    let numbers = house.json(&format!("{path}/numbers?state=waiting")).await;
    assert_eq!((&numbers["numbers"][0]["variables"]["name"], &numbers["next"]), (&json!("Rina"), &Value::Null));
    assert_eq!(house.post(&format!("{path}/cancel"), "").await.0, 200);
    assert_eq!(ask(&house, "DELETE", &path, "", "").await.0, 204);
    assert_eq!(order(&house, "k", ORDER).await, (200, first));
    assert_eq!(house.problem(&format!("{path}/numbers")).await.0, 404);
}

#[tokio::test]
async fn whoever_asks_is_told_what_they_may_do() {
    const ROOT: &str = "0123456789abcdef";
    let scopes =
        |access: &Value| access["scopes"].as_array().unwrap().iter().map(ToString::to_string).collect::<String>();
    let open = House::new(healthy()).await;
    let access = open.json("/api/v1/sign-in").await;
    assert_eq!((scopes(&access).as_str(), &access["name"]), (r#""calls""text""read""admin""#, &Value::Null));
    let (_, _, stranger) = open.get("/api/v1/sign-in", "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert_eq!(scopes(&serde_json::from_str(&stranger).unwrap()), "");

    let http = config::Http { api_key: Some(Secret::new(ROOT)), ..config::Http::default() };
    let house = House::with(healthy(), &http).await;
    let wanted = r#"{"name": "reception", "scopes": ["read", "text"], "tier": "free"}"#;
    let (_, _, made) = ask(&house, "POST", "/api/v1/keys", ROOT, wanted).await;
    let (_, head, access) = ask(&house, "GET", "/api/v1/sign-in", made["key"].as_str().unwrap(), "").await;
    assert_eq!((scopes(&access).as_str(), &access["name"]), (r#""text""read""#, &json!("reception")), "{access}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    // Where there is a key, being here is enough for reading only.
    assert_eq!(scopes(&house.json("/api/v1/sign-in").await), r#""read""#);
    assert_eq!(ask(&house, "GET", "/api/v1/sign-in", "milo_wrong", "").await.0, 401);
}
