//! What is asked of a real Redis, and what comes of it when that is away.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{news::News, real_server::RealRedis, *};
use crate::{
    config::{self, SecretUrl},
    metrics::Metrics,
    store::{Key, Stamp},
};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("milo-redis-{}", Key::new()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn node(server: &RealRedis) -> Redis {
    let config = config::Redis { url: Some(SecretUrl::new(server.url())), ca: None };
    let redis = Redis::open(&config, &Arc::new(Metrics::new())).await.unwrap().unwrap();
    tokio::spawn(redis.clone().keep());
    is(&redis, true).await;
    redis
}

/// Waits until it is there, or away.
async fn is(redis: &Redis, up: bool) {
    let wait = async {
        while redis.fault().is_none() != up {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("{:?}", redis.fault()));
}

/// A busy machine may take Redis for dead once: it is asked until it answers.
async fn asked<T>(redis: &Redis, mut ask: impl AsyncFnMut(&Redis) -> Option<T>) -> T {
    loop {
        is(redis, true).await;
        if let Some(answer) = ask(redis).await {
            return answer;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_holds_nobody_up_and_is_found_again() {
    let folder = Folder::new();
    let server = RealRedis::start(&folder.0, None);
    let redis = node(&server).await;
    server.hang();
    let began = Instant::now();
    assert_eq!(redis.recall("s", None).await, None);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    is(&redis, false).await;
    assert!(redis.fault().is_some_and(|fault| fault.contains("within")), "{:?}", redis.fault());
    // Known to be down, it is not asked at all: a thousand take no time.
    let began = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(redis.recall("s", None).await, None);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    server.go_on();
    is(&redis, true).await;
    drop(server);
    is(&redis, false).await;
    let server = RealRedis::start(&folder.0, None);
    is(&redis, true).await;
    // Full, it answers and keeps nothing: it is not there.
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    is(&redis, false).await;
    assert!(redis.fault().is_some_and(|fault| fault.contains("OOM")), "{:?}", redis.fault());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_once_for_all_and_what_redis_lost_is_told_again() {
    let folder = Folder::new();
    let server = RealRedis::start(&folder.0, None);
    let (one, other) = (node(&server).await, node(&server).await);
    let hour = Duration::from_secs(3_600);
    let known = |told, untold| Known { whom: "key:x".into(), limit: 10, requests: 1, told, untold, rest: hour };
    let count = async |redis: &Redis, told, untold| {
        asked(redis, async |redis: &Redis| redis.count(&[known(told, untold)]).await).await[0]
    };
    let first = count(&one, 0, 0).await;
    assert!((first.used, first.is_over) == (1, false) && first.rest <= hour, "{first:?}");
    sleep(Duration::from_millis(20)).await;
    let second = count(&other, 0, 2).await;
    assert!(second.used == 4 && second.rest < first.rest, "the hour is that of the first: {second:?}");
    server.cli(&["FLUSHALL"]);
    assert_eq!(count(&one, 7, 2).await.used, 10, "seven that it knew of, two it missed, and this one");
    let over = count(&other, 0, 0).await;
    assert_eq!((over.used, over.is_over), (10, true), "what is refused is not counted");
    let many = async |requests| {
        let known = Known { whom: "key:y".into(), requests, ..known(0, 0) };
        asked(&one, async |redis: &Redis| redis.count(std::slice::from_ref(&known)).await).await[0]
    };
    for (requests, used, is_over) in [(7, 7, false), (4, 7, true), (3, 10, false)] {
        let counted = many(requests).await;
        assert_eq!((counted.used, counted.is_over), (used, is_over), "{requests} together, or none of them");
    }
    assert!(server.cli(&["PTTL", "milo:pace:key:x"]).parse::<u64>().is_ok_and(|rest| rest <= 3_600_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shelf_holds_so_many_bytes_for_so_long() {
    let folder = Folder::new();
    let server = RealRedis::start(&folder.0, None);
    let redis = node(&server).await;
    let shelf = Shelf { name: "speech", bytes: 10_000, lifetime: Duration::from_secs(600) };
    for n in 0..30 {
        redis.put(shelf, &format!("n{n}"), &[7; 1_000]).await;
        // The order is that of milliseconds.
        sleep(Duration::from_millis(2)).await;
    }
    let bytes = || server.cli(&["GET", "milo:cache:speech:bytes"]).parse::<usize>().unwrap();
    assert!((1..=10_000).contains(&bytes()), "{}", bytes());
    assert_eq!(redis.taken(shelf, "n0").await, None, "the oldest goes first");
    let newest = asked(&redis, async |redis: &Redis| {
        redis.put(shelf, "n29", &[7; 1_000]).await;
        redis.taken(shelf, "n29").await
    });
    assert_eq!(newest.await, [7; 1_000]);
    let rest = server.cli(&["PTTL", "milo:cache:speech:n29"]).parse::<i64>();
    assert!(rest.as_ref().is_ok_and(|rest| (1..=600_000).contains(rest)), "it goes by itself: {rest:?}");
    assert!(server.cli(&["DBSIZE"]).parse::<usize>().unwrap() <= 13, "ten, the index, the bytes, the probe");
    let brief = Shelf { lifetime: Duration::from_millis(1), ..shelf };
    sleep(Duration::from_millis(5)).await;
    redis.put(brief, "last", &[7; 500]).await;
    assert!(bytes() <= 500, "what is over makes room: {}", bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_heard_and_found_later() {
    let folder = Folder::new();
    let server = RealRedis::start(&folder.0, None);
    let (one, other) = (node(&server).await, node(&server).await);
    let (mut listening, _) = other.listen().await.unwrap();
    let (key, at) = (Key::new(), Stamp::from_millis(1_234));
    asked(&one, async |redis: &Redis| redis.revoked(&[(key, at)]).await).await;
    one.keys_changed().await;
    one.forget("s", Duration::from_secs(60), None).await;
    for expected in [News::Revoked(key, at), News::Keys, News::Forget("s".into())] {
        let heard = timeout(Duration::from_secs(20), listening.next()).await.unwrap();
        assert_eq!(heard, Some(expected));
    }
    // Told a second time, it is no news, and when it was stands.
    let again = asked(&one, async |redis: &Redis| redis.revoked(&[(key, Stamp::from_millis(9))]).await).await;
    assert_eq!(again, [(key, at)]);
    // Ten thousand are kept, the newest.
    let many = "for n = 1, 10000 do redis.call('ZADD', KEYS[1], 10000 + n, 'k' .. n) end";
    server.cli(&["EVAL", many, "1", "milo:revoked"]);
    asked(&one, async |redis: &Redis| redis.revoked(&[]).await).await;
    assert_eq!(server.cli(&["ZCARD", "milo:revoked"]), "10000");
    assert_eq!(server.cli(&["ZRANK", "milo:revoked", "k1"]), "0");
    for nonsense in ["", "revoked", "revoked x 1", "keys now", "forget", "forget a b", "sing"] {
        assert_eq!(News::read(nonsense), None, "{nonsense}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_once_trimmed_and_what_was_forgotten_does_not_come_back() {
    let folder = Folder::new();
    let server = RealRedis::start(&folder.0, None);
    let redis = node(&server).await;
    let minute = Duration::from_secs(60);
    let all: Vec<_> = (1..=5).map(|n| (n * 1_000, format!("e{n}"))).collect();
    let tell = async |oldest, all: &[(i64, String)]| {
        asked(&redis, async |redis: &Redis| redis.remember("s", minute, (3, oldest), all).await.then_some(())).await;
    };
    let recall = async || asked(&redis, async |redis: &Redis| redis.recall("s", None).await).await;
    tell(0, &all).await;
    tell(0, &all[3..]).await;
    assert_eq!(recall().await.exchanges, ["e3", "e4", "e5"]);
    tell(4_000, &[]).await;
    let known = recall().await;
    assert_eq!((known.exchanges, known.forgotten), (vec!["e4".to_owned(), "e5".into()], 0));
    assert!(known.now > 1_700_000_000_000_000, "{}", known.now);
    let rest = || server.cli(&["PTTL", "milo:session:s"]).parse::<i64>().unwrap();
    assert!((1..=60_000).contains(&rest()), "{}", rest());
    // Whoever goes on with it lengthens it.
    asked(&redis, async |redis: &Redis| redis.recall("s", Some(minute * 60)).await).await;
    assert!((60_001..=3_600_000).contains(&rest()), "{}", rest());
    let forgotten = asked(&redis, async |redis: &Redis| redis.forget("s", minute, Some(4_500)).await).await;
    assert!(forgotten);
    tell(0, &all).await;
    let known = recall().await;
    assert_eq!((known.exchanges, known.forgotten), (vec!["e5".to_owned()], 4_500));

    // What somebody has made into another kind cannot be read, and Redis is there all the same.
    server.cli(&["SET", "milo:session:odd", "x"]);
    is(&redis, true).await;
    assert_eq!(redis.recall("odd", None).await, None);
    assert!(redis.fault().is_none_or(|fault| fault.contains("no answer within")), "{:?}", redis.fault());
}
