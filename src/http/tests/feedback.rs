//! What people think of calls and sessions.

use super::*;

#[tokio::test]
async fn feedback_is_given_listed_and_shown_with_its_call() {
    let house = House::new(healthy()).await;
    let call = house.call();
    call.turn(heard(2_000, "Salama"));
    let id = call.key().to_string();
    let give = async |body: Value| house.post("/api/v1/feedback", &body.to_string()).await;
    let (status, given) = give(json!({ "call_id": id, "turn": 1, "rating": 4, "comment": " tsara " })).await;
    assert_eq!(
        (status, &given["rating"], &given["comment"], &given["thumbs"]),
        (201, &json!(4), &json!("tsara"), &Value::Null)
    );
    for (rating, is) in
        [(json!("up"), 5), (json!("👎"), 1), (json!(true), 5), (json!("thumbs-down"), 1), (json!("3"), 3)]
    {
        let (status, given) = give(json!({ "session": "s-1", "score": rating, "user_agent": "x" })).await;
        assert_eq!((status, &given["rating"], &given["session_id"]), (201, &json!(is), &json!("s-1")), "{rating}");
    }
    // Whoever takes a call for a session means the call.
    assert_eq!(give(json!({ "session_id": id, "rating": 2 })).await.1["call_id"], json!(id));

    let shown = house.json(&format!("/api/v1/calls/{id}")).await;
    let ratings: Vec<_> = shown["feedback"].as_array().unwrap().iter().map(|one| one["rating"].clone()).collect();
    assert_eq!(ratings, [json!(2), json!(4)], "{shown}");
    let mut page = house.json("/api/v1/feedback?session_id=s-1&limit=3").await;
    assert_eq!(page["feedback"].as_array().unwrap().len(), 3);
    page =
        house.json(&format!("/api/v1/feedback?session_id=s-1&limit=3&cursor={}", page["next"].as_str().unwrap())).await;
    assert_eq!((page["feedback"].as_array().unwrap().len(), &page["next"]), (2, &Value::Null));
    assert_eq!(house.json(&format!("/api/v1/feedback?call_id={id}")).await["feedback"].as_array().unwrap().len(), 2);

    let other = crate::store::Key::new().to_string();
    for (body, status) in [
        (json!({ "call_id": id, "rating": 0 }), 422),
        (json!({ "call_id": id, "rating": 6 }), 422),
        (json!({ "call_id": id, "rating": 4.5 }), 422),
        (json!({ "call_id": id, "rating": "great" }), 422),
        (json!({ "call_id": id }), 422),
        (json!({ "rating": 3 }), 422),
        (json!({ "session_id": " ", "rating": 3 }), 422),
        (json!({ "session_id": "x".repeat(65), "rating": 3 }), 422),
        (json!({ "session_id": "s", "rating": 3, "turn": 0 }), 422),
        (json!({ "session_id": "s", "rating": 3, "comment": "x".repeat(4_001) }), 422),
        (json!({ "call_id": other, "rating": 3 }), 404),
        (json!({ "call_id": "' OR 1=1", "rating": 3 }), 404),
        (json!({ "call_id": id, "rating": 3, "turn": 2 }), 404),
        (json!([]), 422),
    ] {
        let (answered, problem) = give(body.clone()).await;
        assert_eq!(answered, status, "{body}: {problem}");
        assert!(problem["detail"].is_string(), "{problem}");
    }
    for query in ["call_id=x", "limit=0", "cursor=x", "since=1"] {
        assert_eq!(house.problem(&format!("/api/v1/feedback?{query}")).await.0, 400, "{query}");
    }
}
