//! Campaigns as other programs meet them: one that is asked for twice under a key is one, on whichever Milo and after a crash, and
//! programs of the operator's are told that it is finished.

use std::{fs, thread, time::Duration};

use milo::bench::Running;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::block_in_place, time::sleep};

use crate::{
    call_log::postgres,
    campaigns::{FAR, called, caller, finished},
    house::{Answer, folder, get, send, stop, with_plans},
    notices::{Receiver, target},
};

/// The key in quotes, as structured fields have it (RFC 9651 section 3.3.3).
const KEY: &str = "Idempotency-Key: \"december\"";

fn asked(milo: &Running, key: &str, order: &Value) -> Answer {
    send(milo, ("POST", "/api/v1/campaigns"), &[key], order)
}

fn refusal(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_default()
}

/// A target of everything, and one of campaigns only.
async fn told(at: &std::path::Path) -> Receiver {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    receiver.serve(listener);
    let only = "allow_private = true\nevents = ['campaign_finished']";
    let targets =
        [target("all", port, "allow_private = true"), target("first", port, &format!("{only}\ntimeout_s = 1"))];
    fs::write(at.join("milo.toml"), targets.concat()).expect("written");
    receiver
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_asked_for_twice_is_one_and_its_end_is_told_once() {
    let far = with_plans("campaign-told", FAR).await;
    let at = folder("campaign-telling");
    let receiver = told(&at).await;
    let near = caller(&at, &far, &[]).await;
    let order = json!({ "name": "Reminders", "list": "number\ns1\nengaged\ns2\n", "trunk": "carrier", "at_once": 2 });
    // Whoever heard no answer asks again, and may do so while the first is still looked at.
    let answers = block_in_place(|| {
        thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| asked(&near, KEY, &order))).collect();
            asking.into_iter().map(|one| one.join().expect("an answer")).collect::<Vec<_>>()
        })
    });
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 201], "{answers:?}");
    let path = answers[0].header("location").expect("where it is").to_owned();
    for answer in &answers {
        assert_eq!((answer.header("location"), &answer.body["total"]), (Some(path.as_str()), &3.into()), "{answer:?}");
    }
    // Another order, or another key in the body, is a mistake.
    let other = asked(&near, KEY, &json!({ "name": "Reminders", "list": "number\ns1\n", "trunk": "carrier" }));
    assert!(other.status == 422 && refusal(&other).contains("stands for another campaign"), "{other:?}");
    let mut both = order.clone();
    both["idempotency_key"] = "january".into();
    let both = asked(&near, KEY, &both);
    assert!(both.status == 400 && refusal(&both).contains("differ"), "{both:?}");
    let long = asked(&near, &format!("Idempotency-Key: {}", "k".repeat(256)), &order);
    assert!(long.status == 400 && refusal(&long).contains("1 to 255"), "{long:?}");

    let campaign = finished(&near, &path).await;
    assert_eq!(get(&near, "/api/v1/campaigns")["campaigns"].as_array().expect("campaigns").len(), 1, "{campaign}");
    let got = receiver.until("/all", "campaign_finished", 1).await;
    let event = &got.iter().find(|got| got.body["type"] == "campaign_finished").expect("an event").body;
    assert_eq!((&event["campaign"], &event["call"]), (&campaign["id"], &Value::Null), "{event}");
    assert_eq!((&event["time"], &event["data"]["name"]), (&campaign["ended"], &"Reminders".into()), "{event}");
    assert_eq!((&event["data"]["counts"], &event["data"]["who"]), (&campaign["counts"], &campaign["who"]), "{event}");
    // One that fails at first is told again, under the same name; another that was cancelled is no news.
    let mut first = Vec::new();
    for _ in 0..300 {
        first = receiver.until("/first", "campaign_finished", 1).await;
        if first.len() > 1 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(first.len() > 1, "it is tried once: {first:?}");
    assert!(first.iter().all(|got| got.body["id"] == event["id"] && got.delivery == first[0].delivery), "{first:?}");
    let cancelled = json!({ "name": "n", "list": "number\ns3\n", "trunk": "carrier", "paused": true });
    let cancelled = asked(&near, "Idempotency-Key: another", &cancelled);
    assert_eq!(cancelled.status, 201, "{cancelled:?}");
    let paused = cancelled.header("location").expect("where it is").to_owned();
    assert_eq!(send(&near, ("POST", &format!("{paused}/cancel")), &[], &Value::Null).status, 200);

    // Its numbers, some of them, and what is no number of a page.
    let numbers = |query: &str| get(&near, &format!("{path}/numbers?{query}"));
    let page = numbers("limit=2");
    let [one, two] = &page["numbers"].as_array().expect("numbers")[..] else { panic!("{page}") };
    assert_eq!((&one["number"], &one["outcome"], &two["state"]), (&"s1".into(), &"answered".into(), &"done".into()));
    assert!(one["tried"][0]["call"].is_string(), "{one}");
    let rest = numbers(&format!("limit=2&cursor={}", page["next"]));
    assert_eq!((&rest["numbers"][0]["number"], &rest["next"]), (&"s2".into(), &Value::Null), "{rest}");
    assert_eq!(numbers("outcome=busy&state=done")["numbers"][0]["number"], "engaged");
    assert_eq!(numbers("state=waiting")["numbers"], json!([]));
    for wrong in ["state=over", "outcome=fine", "cursor=x", "limit=0", "page=2"] {
        let answer = send(&near, ("GET", &format!("{path}/numbers?{wrong}")), &[], &Value::Null);
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }

    // A crash forgets no key.
    near.kill().await.expect("kill -9");
    let near = caller(&at, &far, &[]).await;
    let again = asked(&near, KEY, &order);
    assert_eq!((again.status, again.header("location")), (200, Some(path.as_str())), "{again:?}");
    let known = called(&far);
    assert!(known.len() == 3 && known.values().all(|times| *times == 1), "{known:?}");
    // Time enough for one too many.
    sleep(Duration::from_secs(3)).await;
    let told = receiver.until("/all", "campaign_finished", 1).await;
    assert_eq!(told.iter().filter(|got| got.body["type"] == "campaign_finished").count(), 1, "{told:?}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_milos_on_one_postgres_know_each_others_keys() {
    let url = postgres().await;
    let far = with_plans("campaign-keys", FAR).await;
    let shared = [("DATABASE_URL", url.as_str())];
    let (at, elsewhere) = (folder("campaign-key-one"), folder("campaign-key-other"));
    let receiver = told(&at).await;
    fs::copy(at.join("milo.toml"), elsewhere.join("milo.toml")).expect("copied");
    let (one, other) = (caller(&at, &far, &shared).await, caller(&elsewhere, &far, &shared).await);
    let order = json!({ "name": "n", "list": "number\ns1\ns2\n", "trunk": "carrier" });
    let answers = block_in_place(|| {
        thread::scope(|scope| {
            let asking: Vec<_> =
                [&one, &other, &one, &other].map(|milo| scope.spawn(|| asked(milo, KEY, &order))).into();
            asking.into_iter().map(|one| one.join().expect("an answer")).collect::<Vec<_>>()
        })
    });
    let path = answers[0].header("location").expect("where it is").to_owned();
    assert!(answers.iter().all(|answer| answer.header("location") == Some(&path)), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1, "{answers:?}");
    finished(&other, &path).await;
    // Whichever of them has seen its end tells it, and the other does not.
    sleep(Duration::from_secs(3)).await;
    let told = receiver.until("/all", "campaign_finished", 1).await;
    assert_eq!(told.iter().filter(|got| got.body["type"] == "campaign_finished").count(), 1, "{told:?}");
    let known = called(&far);
    assert!(known.len() == 2 && known.values().all(|times| *times == 1), "{known:?}");
    stop(one).await;
    stop(other).await;
    stop(far).await;
}
