//! Keys: who needs one, how they are made, and how often they may ask.

use super::*;

#[tokio::test]
async fn a_stranger_needs_the_key() {
    let key = config::Http { api_key: Some(Secret::new("0123456789abcdef")), ..config::Http::default() };
    let house = House::with(healthy(), &key).await;
    house.log.flush(Duration::from_secs(10)).await;
    let forwarded = "X-Forwarded-For: 192.0.2.1\r\n";
    for path in ["/api/v1/calls", "/api/v1/calls/x", "/api/v1/trunks", "/api/v1/dialplans", "/metrics"] {
        let (status, head, body) = house.get(path, forwarded).await;
        assert!(
            status == 401 && head.contains("www-authenticate: bearer") && body.contains("API_KEY"),
            "{path}: {body}"
        );
    }
    let right = format!("{forwarded}Authorization: Bearer 0123456789abcdef\r\n");
    assert_eq!(house.get("/api/v1/calls", &right).await.0, 200);
    // What costs money needs it from here too: behind a proxy that says nothing of it everybody is here.
    let head = format!("POST /api/v1/calls HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", house.address);
    let place = |key: &str| format!("{head}{key}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}");
    assert!(house.raw(&place("")).await.starts_with("HTTP/1.1 401"));
    assert!(house.raw(&place("Authorization: Bearer 0123456789abcdef\r\n")).await.starts_with("HTTP/1.1 4"));
    assert!(!house.raw(&place("Authorization: Bearer 0123456789abcdef\r\n")).await.starts_with("HTTP/1.1 401"));
    assert_eq!(house.get("/metrics", &right).await.0, 200);
    assert_eq!(house.get("/api/v1/health", forwarded).await.0, 200);
    let order = |key: &str| {
        let head = "POST /api/v1/calls/01890000-0000-7000-8000-000000000000/recording HTTP/1.1\r\nHost: x\r\n";
        let rest =
            "Connection: close\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"action\": \"stop\"}";
        format!("{head}{key}{rest}")
    };
    assert!(house.raw(&order(forwarded)).await.starts_with("HTTP/1.1 401"), "a recording is nobody else's to end");
    assert!(house.raw(&order(&right)).await.starts_with("HTTP/1.1 404"));
    for path in ["/api/v1/dialplans/test", "/api/v1/dialplans/reload", "/api/v1/calls"] {
        let asked = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{forwarded}Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        );
        let answer = house.raw(&asked).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn keys_are_made_rotated_and_revoked_and_every_step_is_kept() {
    const ROOT: &str = "0123456789abcdef";
    let http = config::Http { api_key: Some(Secret::new(ROOT)), ..config::Http::default() };
    let house = House::with(healthy(), &http).await;
    let wanted = r#"{"name": "screen", "scopes": ["read"], "tier": "pro", "expires_at": "2999-01-01T00:00:00Z"}"#;
    let (status, head, made) = ask(&house, "POST", "/api/v1/keys", ROOT, wanted).await;
    assert_eq!(status, 201, "{made}");
    let (id, old) = (made["id"].as_str().unwrap(), made["key"].as_str().unwrap());
    assert!(head.contains(&format!("location: /api/v1/keys/{id}")) && head.contains("cache-control: no-store"));
    assert!(old.starts_with("milo_") && old.len() == 48, "{old}");

    assert_eq!(ask(&house, "GET", "/api/v1/calls", old, "").await.0, 200);
    for (method, path, scope) in [
        ("GET", "/api/v1/keys", "admin"),
        ("GET", "/api/v1/audit", "admin"),
        ("GET", "/api/v1/config", "admin"),
        ("DELETE", "/api/v1/bans/192.0.2.1", "admin"),
        ("POST", "/api/v1/dialplans/reload", "admin"),
        ("POST", "/api/v1/calls", "calls"),
    ] {
        let (status, head, problem) = ask(&house, method, path, old, "").await;
        assert_eq!(status, 403, "{path}");
        assert!(head.contains(&format!("error=\"insufficient_scope\", scope=\"{scope}\"")), "{path}: {head}");
        assert!(problem["detail"].as_str().unwrap().contains("`") && problem["detail"].to_string().contains("read"));
    }

    let path = format!("/api/v1/keys/{id}/rotate");
    let (status, _, problem) = ask(&house, "POST", &path, ROOT, r#"{"overlap_s": 2592001}"#).await;
    let detail = problem["detail"].as_str().unwrap();
    assert!(status == 422 && detail.contains("not within 0 to 2592000"), "both for a month at most: {problem}");
    assert_eq!(ask(&house, "GET", "/api/v1/calls", old, "").await.0, 200);
    let (status, _, rotated) = ask(&house, "POST", &path, ROOT, r#"{"overlap_s": 0}"#).await;
    assert_eq!(status, 200, "{rotated}");
    let new = rotated["key"].as_str().unwrap();
    let (status, _, problem) = ask(&house, "GET", "/api/v1/calls", old, "").await;
    assert!(status == 401 && problem["detail"].as_str().unwrap().contains("replaced"), "{problem}");
    assert_eq!(ask(&house, "GET", "/api/v1/calls", new, "").await.0, 200);

    let (_, _, list) = ask(&house, "GET", "/api/v1/keys", ROOT, "").await;
    assert_eq!((&list["keys"][0]["name"], &list["keys"][0]["state"]), (&json!("screen"), &json!("active")));
    for secret in [old, new, ROOT] {
        assert!(!list.to_string().contains(secret));
    }
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(ask(&house, "DELETE", &path, ROOT, "").await.0, 204);
    assert_eq!(ask(&house, "DELETE", &path, ROOT, "").await.0, 404);
    let (status, _, problem) = ask(&house, "GET", "/api/v1/calls", new, "").await;
    assert!(status == 401 && problem["detail"].as_str().unwrap().contains("revoked"), "{problem}");
    assert_eq!(ask(&house, "POST", "/api/v1/dialplans/reload", ROOT, "").await.0, 200);

    let (_, _, audit) = ask(&house, "GET", "/api/v1/audit?limit=3", ROOT, "").await;
    let done: Vec<_> = audit["deeds"].as_array().unwrap().iter().map(|deed| deed["action"].as_str().unwrap()).collect();
    assert_eq!(done, ["dialplans.reload", "keys.delete", "keys.rotate"]);
    let next = format!("/api/v1/audit?cursor={}", audit["next"].as_str().unwrap());
    let (_, _, rest) = ask(&house, "GET", &next, ROOT, "").await;
    let first = &rest["deeds"][0];
    assert_eq!((&first["action"], &first["target"]), (&json!("keys.create"), &json!(id)));
    assert_eq!((&first["who"], &first["address"]), (&json!("API_KEY"), &json!("127.0.0.1")));
    assert_eq!((rest["deeds"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));

    let (_, _, config) = ask(&house, "GET", "/api/v1/config", ROOT, "").await;
    assert_eq!((&config["http"]["api_key"], &config["rate_limits"]["free"]), (&json!("***"), &json!(100)));
}

#[tokio::test]
async fn a_key_that_cannot_be_made_is_refused_with_a_sentence() {
    let house = House::new(healthy()).await;
    for (body, says) in [
        (r#"{"scopes": ["read"]}"#, "name"),
        (r#"{"name": "k", "scopes": []}"#, "at least one scope"),
        (r#"{"name": "k", "scopes": ["write"]}"#, "write"),
        (r#"{"name": " ", "scopes": ["read"]}"#, "1 to 100"),
        (r#"{"name": "k", "scopes": ["read"], "tier": "gold"}"#, "gold"),
        (r#"{"name": "k", "scopes": ["read"], "expires_at": "soon"}"#, "RFC 3339"),
        (r#"{"name": "k", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}"#, "past"),
        (r#"{"name": "k", "scopes": ["read"], "other": 1}"#, "other"),
        ("{", "JSON"),
    ] {
        let (status, problem) = house.post("/api/v1/keys", body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!([400, 422].contains(&status) && detail.contains(says), "{body}: {status} {detail}");
    }
    for id in ["nothing", "019a0000-0000-7000-8000-000000000000", "..%2f..", "%00"] {
        let (status, _) = house.post(&format!("/api/v1/keys/{id}/rotate"), "{}").await;
        assert_eq!(status, 404, "{id}");
    }
}

#[tokio::test]
async fn a_key_that_asks_too_often_waits_and_says_so() {
    const ROOT: &str = "0123456789abcdef";
    let http = config::Http { api_key: Some(Secret::new(ROOT)), ..config::Http::default() };
    let limits = config::RateLimits { free: 3, ..config::RateLimits::default() };
    let house = House::paced(healthy(), &http, limits).await;
    let (_, head, made) = ask(&house, "POST", "/api/v1/keys", ROOT, r#"{"name": "k", "scopes": ["read"]}"#).await;
    assert!(!head.contains("ratelimit"), "API_KEY has no limit");
    let key = made["key"].as_str().unwrap();
    for left in ["2", "1", "0"] {
        let (status, head, _) = ask(&house, "GET", "/api/v1/trunks", key, "").await;
        assert_eq!(status, 200);
        assert!(
            head.contains("ratelimit-limit: 3") && head.contains(&format!("ratelimit-remaining: {left}")),
            "{head}"
        );
    }
    let (status, head, problem) = ask(&house, "GET", "/api/v1/trunks", key, "").await;
    assert_eq!(status, 429, "{problem}");
    assert!(head.contains("retry-after: 3") && head.contains("ratelimit-remaining: 0"), "{head}");
    assert_eq!(ask(&house, "GET", "/api/v1/health", key, "").await.0, 200, "how Milo is may be asked at any pace");
    let (_, _, other) = ask(&house, "POST", "/api/v1/keys", ROOT, r#"{"name": "l", "scopes": ["read"]}"#).await;
    assert_eq!(ask(&house, "GET", "/api/v1/trunks", other["key"].as_str().unwrap(), "").await.0, 200);
}
