//! Tickets: what a page opens a WebSocket with in place of a key, on one node and on several.

use std::{path::Path, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    house::{PROGRAM, folder, get, milo, send, stop},
    sharing::real_server::RealRedis,
    web_page::{open, open_with, quiet},
};

const KEY: &str = "0123456789abcdef";
const ADMIN: &str = "Authorization: Bearer 0123456789abcdef";

fn ticket(milo: &Running, header: &str, body: &Value) -> String {
    let made = send(milo, ("POST", "/api/v1/tickets"), &[header], body);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    made.body["ticket"].as_str().expect("a ticket").to_owned()
}

async fn tried(milo: &Running, ticket: &str) -> u16 {
    match open_with(milo, &format!("/api/v1/conversation?ticket={ticket}"), &[]).await {
        Ok(page) => {
            page.close().await;
            101
        }
        Err(status) => status,
    }
}

fn key(milo: &Running, scope: &str) -> (String, String) {
    let wanted = json!({ "name": scope, "scopes": [scope], "tier": "free" });
    let made = send(milo, ("POST", "/api/v1/keys"), &[ADMIN], &wanted);
    let (id, key) = (made.body["id"].as_str().expect("an id"), made.body["key"].as_str().expect("a key"));
    (id.to_owned(), format!("Authorization: Bearer {key}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_once_soon_and_for_what_it_is_with_the_rights_of_its_key() {
    let milo = milo("tickets", &[("API_KEY", KEY)]).await;
    let ((id, text), (_, reads)) = (key(&milo, "text"), key(&milo, "read"));
    let refused = |header: &str, body: &Value| send(&milo, ("POST", "/api/v1/tickets"), &[header], body).status;
    assert_eq!(refused(&reads, &Value::Null), 403);
    assert_eq!(refused("X-Nothing: 1", &Value::Null), 401);
    for (body, status) in [
        (json!({ "seconds": 61 }), 422),
        (json!({ "seconds": 0 }), 422),
        (json!({ "for": "everything" }), 422),
        (json!({ "strange": 1 }), 422),
        (json!("{"), 422),
        (json!([]), 422),
    ] {
        assert_eq!(refused(&text, &body), status, "{body}");
    }

    let once = ticket(&milo, &text, &Value::Null);
    // Nobody's header is needed, and a page of Milo's own host sends it.
    let path = format!("/api/v1/conversation?ticket={once}&session_id=page-7");
    let page = open_with(&milo, &path, &[("origin", milo.http.trim_end_matches('/'))]).await.expect("it is good");
    let (call, session) = (page.call().await, page.nth(1, "session", |_| true).await);
    assert_eq!(session["session_id"], "page-7");
    let path = format!("/api/v1/calls/{}", call.as_str().expect("an identifier"));
    let row = send(&milo, ("GET", &path), &[ADMIN], &Value::Null).body;
    assert_eq!(row["events"][0]["detail"]["key"], "text", "it is the key's call: {row}");
    assert!(!row.to_string().contains(&once), "and the ticket stands nowhere");
    page.close().await;
    assert_eq!(tried(&milo, &once).await, 401, "once");
    // What its key may not, it may not.
    let other = ticket(&milo, &text, &Value::Null);
    let path = format!("/api/v1/conversation?ticket={other}&number=echo");
    assert_eq!(open_with(&milo, &path, &[]).await.err(), Some(403));

    let late = ticket(&milo, &text, &json!({ "seconds": 1 }));
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(tried(&milo, &late).await, 401, "it is over");
    let stream = ticket(&milo, &text, &json!({ "for": "media-stream" }));
    assert_eq!(tried(&milo, &stream).await, 401, "it is for something else");
    // It opens nothing but what it is for.
    let elsewhere = ticket(&milo, ADMIN, &Value::Null);
    let read = send(&milo, ("GET", &format!("/api/v1/keys?ticket={elsewhere}")), &[], &Value::Null);
    assert_eq!(read.status, 401, "{read:?}");
    let header = format!("Authorization: Bearer {elsewhere}");
    assert_eq!(send(&milo, ("GET", "/api/v1/keys"), &[&header], &Value::Null).status, 401);

    let orphan = ticket(&milo, &text, &Value::Null);
    assert_eq!(send(&milo, ("DELETE", &format!("/api/v1/keys/{id}")), &[ADMIN], &Value::Null).status, 204);
    assert_eq!(tried(&milo, &orphan).await, 401, "its key was revoked");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_of_one_node_opens_another_and_still_once() {
    let at = folder("tickets-redis");
    let redis = RealRedis::start(&at, None);
    let url = redis.url();
    let nodes = async |name: &str| {
        let variables = [("REDIS_URL", url.as_str()), ("API_KEY", KEY)];
        Running::start(Path::new(PROGRAM), &folder(name), &variables).await.expect("Milo starts")
    };
    let (one, other) = (nodes("tickets-one").await, nodes("tickets-other").await);
    let all = ticket(&one, ADMIN, &Value::Null);
    assert_eq!((tried(&other, &all).await, tried(&one, &all).await, tried(&other, &all).await), (101, 401, 401));
    let all = ticket(&one, ADMIN, &Value::Null);
    let both = tokio::join!(tried(&one, &all), tried(&other, &all));
    assert!(both == (101, 401) || both == (401, 101), "{both:?}");
    quiet(&one).await;
    quiet(&other).await;
    stop(one).await;
    stop(other).await;
    drop(redis);
    std::fs::remove_dir_all(at).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_this_machine_needs_none_and_may_have_tickets() {
    let milo = milo("tickets-open", &[]).await;
    let made = ticket(&milo, "X-Nothing: 1", &Value::Null);
    assert_eq!((tried(&milo, &made).await, tried(&milo, &made).await), (101, 401));
    open(&milo, "").await.close().await;
    assert!(get(&milo, "/api/v1/calls")["calls"].as_array().is_some_and(|calls| calls.len() == 2));
    stop(milo).await;
}
