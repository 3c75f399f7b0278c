//! Two Milos and a real Redis that dies, hangs and comes back in the middle.

#[path = "../redis/real_server.rs"]
pub mod real_server;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use real_server::RealRedis;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, UnixStream},
    time::{Instant, sleep},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::{
    hosted::server::{Conduct, Server},
    house::{PROGRAM, alone, folder, get, metric, send, stop},
};
use milo::bench::Running;

const ADMIN: &str = "Authorization: Bearer 0123456789abcdef";

async fn node(name: &str, url: &str, variables: &[(&str, &str)]) -> Running {
    at(&folder(name), url, variables).await
}

async fn at(folder: &Path, url: &str, variables: &[(&str, &str)]) -> Running {
    let all = [&[("REDIS_URL", url)], variables].concat();
    Running::start(Path::new(PROGRAM), folder, &all).await.expect("Milo starts")
}

/// Waits until a Milo's health says so of Redis.
async fn connected(milo: &Running, is_so: bool) -> Value {
    let mut health = Value::Null;
    for _ in 0..300 {
        health = get(milo, "/api/v1/health");
        if health["redis_connected"] == is_so {
            return health;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("redis_connected is never {is_so}: {health}");
}

fn chat(milo: &Running, session: &str, message: &str) {
    let answer = send(
        milo,
        ("POST", "/api/v1/chat"),
        &[],
        &json!({ "message": message, "session_id": session, "language": "fr" }),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The messages of a session, as a node shows them.
fn session(milo: &Running, session: &str) -> Vec<String> {
    let answer = send(milo, ("GET", &format!("/api/v1/sessions/{session}")), &[], &Value::Null);
    let all = answer.body["exchanges"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|exchange| exchange["message"].as_str().map(str::to_owned)).collect()
}

/// Waits until a node shows a session so.
async fn shows(milo: &Running, name: &str, messages: &[&str]) {
    let mut shown = Vec::new();
    for _ in 0..300 {
        shown = session(milo, name);
        if shown == messages {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{shown:?} are not {messages:?}");
}

/// What the writer said in the request that a model was asked last.
fn last_asked(model: &Server) -> Vec<String> {
    let asked = model.asked().pop().expect("it was asked").body["messages"].clone();
    let asked = asked.as_array().cloned().unwrap_or_default();
    let users = asked.iter().filter(|message| message["role"] == "user");
    users.filter_map(|message| message["content"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_answer_within_one_session() {
    let files = folder("sharing-files");
    let redis = RealRedis::start(&files, None);
    let model = Server::start(Conduct::says("Bien.")).await;
    let own = model.variables("openai");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let variables = [&own[..], &[("SESSION_MAX_HISTORY", "12"), ("SESSION_TTL_S", "600")]].concat();
    let (one, other) =
        (node("sharing-one", &redis.url(), &variables).await, node("sharing-other", &redis.url(), &variables).await);
    connected(&one, true).await;
    connected(&other, true).await;

    chat(&one, "s", "un");
    chat(&other, "s", "deux");
    assert_eq!(last_asked(&model), ["un", "deux"], "the other node's model is told what was said on the first");
    chat(&one, "s", "trois");
    assert_eq!(last_asked(&model), ["un", "deux", "trois"]);
    for milo in [&one, &other] {
        assert_eq!(session(milo, "s"), ["un", "deux", "trois"]);
    }
    let rest: u64 = redis.cli(&["PTTL", "milo:session:s"]).parse().expect("it ends");
    assert!((1..=600_000).contains(&rest), "{rest}");

    // Eight at once on two nodes: none is lost, and of all together the newest twelve are kept.
    let asking: Vec<_> = (0..8)
        .map(|n| {
            let milo = if n % 2 == 0 { &one } else { &other };
            let body = json!({ "message": format!("à la fois {n}"), "session_id": "s", "language": "fr" }).to_string();
            let url = format!("{}api/v1/chat", milo.http);
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--fail", "--max-time", "60", "--json", &body, &url]).stdout(Stdio::null());
            curl.spawn().expect("curl")
        })
        .collect();
    for mut one in asking {
        assert!(one.wait().expect("curl ends").success());
    }
    let all = session(&one, "s");
    assert_eq!(all, session(&other, "s"));
    assert_eq!((all.len(), &all[..3]), (11, &["un".to_owned(), "deux".into(), "trois".into()][..]), "{all:?}");
    for n in 0..8 {
        assert!(all.contains(&format!("à la fois {n}")), "{all:?}");
    }
    chat(&other, "s", "quatre");
    chat(&other, "s", "cinq");
    let all = session(&one, "s");
    assert_eq!((all.len(), all[0].as_str(), all[11].as_str()), (12, "deux", "cinq"), "{all:?}");
    assert_eq!(redis.cli(&["ZCARD", "milo:session:s"]), "12");

    // Forgotten on one node it is forgotten on the other.
    assert_eq!(send(&one, ("DELETE", "/api/v1/sessions/s"), &[], &Value::Null).status, 204);
    for milo in [&one, &other] {
        assert_eq!(send(milo, ("GET", "/api/v1/sessions/s"), &[], &Value::Null).status, 404);
    }
    chat(&other, "s", "encore");
    assert_eq!(last_asked(&model), ["encore"]);
    assert_eq!(session(&one, "s"), ["encore"]);
    stop(one).await;
    stop(other).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_or_dies_costs_nobody_a_session() {
    let files = folder("outage-files");
    let redis = RealRedis::start(&files, None);
    let model = Server::start(Conduct::says("Bien.")).await;
    let own = model.variables("openai");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (one, other) = (node("outage-one", &redis.url(), &own).await, node("outage-other", &redis.url(), &own).await);
    let health = connected(&one, true).await;
    assert_eq!((&health["status"], metric(&one, "milo_redis_up").await), (&"healthy".into(), 1.0), "{health}");
    connected(&other, true).await;
    chat(&one, "s", "un");
    shows(&other, "s", &["un"]).await;

    // It hangs: a whole answer takes about as long as ever, and the session goes on.
    redis.hang();
    let began = Instant::now();
    chat(&one, "s", "deux");
    chat(&one, "s", "trois");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(last_asked(&model), ["un", "deux", "trois"]);
    let health = connected(&one, false).await;
    let says = health["degraded"].to_string();
    assert!(health["status"] == "degraded" && says.contains("Redis does not answer: until it does"), "{health}");
    assert!(says.contains("redis.sock: no answer within 200 ms") || says.contains("no connection within"), "{health}");
    assert_eq!(metric(&one, "milo_redis_up").await, 0.0);
    let late: f64 = {
        let mut sum = 0.0;
        for kind in ["session", "limit", "cache", "key", "probe"] {
            sum += metric(&one, &format!("milo_redis_failures_total{{kind=\"{kind}\",reason=\"late\"}}")).await;
        }
        sum
    };
    assert!(late >= 1.0);
    redis.go_on();
    connected(&one, true).await;
    connected(&other, true).await;
    // The other node has never been asked in this session, and knows it whole.
    shows(&other, "s", &["un", "deux", "trois"]).await;

    // It dies with all that it held, and one session is forgotten meanwhile.
    chat(&one, "other", "à oublier");
    shows(&other, "other", &["à oublier"]).await;
    drop(redis);
    connected(&one, false).await;
    connected(&other, false).await;
    chat(&one, "s", "quatre");
    assert_eq!(last_asked(&model), ["un", "deux", "trois", "quatre"]);
    assert_eq!(session(&other, "s"), Vec::<String>::new(), "what it never served it does not know now");
    assert_eq!(send(&one, ("DELETE", "/api/v1/sessions/other"), &[], &Value::Null).status, 204);
    let redis = RealRedis::start(&files, None);
    let health = connected(&one, true).await;
    assert_eq!(health["status"], "healthy", "{health}");
    connected(&other, true).await;
    shows(&other, "s", &["un", "deux", "trois", "quatre"]).await;
    chat(&other, "s", "cinq");
    assert_eq!(last_asked(&model), ["un", "deux", "trois", "quatre", "cinq"]);
    shows(&other, "other", &[]).await;
    assert!(redis.cli(&["GET", "milo:forgotten:other"]).parse::<u64>().is_ok(), "that it is forgotten was told");
    assert!(metric(&one, "milo_redis_operations_total{kind=\"session\"}").await >= 4.0);
    assert!(metric(&one, "milo_redis_seconds_count{kind=\"session\"}").await >= 4.0);
    stop(one).await;
    stop(other).await;
    fs::remove_dir_all(files).ok();
}

/// Two nodes that know the same two keys, each in a database of its own; the keys with their identifiers.
async fn twins(name: &str, url: &str, variables: &[(&str, &str)]) -> ([Running; 2], [(String, String); 2]) {
    let folders: [PathBuf; 2] = [folder(&format!("{name}-one")), folder(&format!("{name}-other"))];
    let variables = [&[("API_KEY", "0123456789abcdef")], variables].concat();
    let first = at(&folders[0], url, &variables).await;
    let key = |name: &str| {
        let body = json!({ "name": name, "scopes": ["read"], "tier": "pro" });
        let made = send(&first, ("POST", "/api/v1/keys"), &[ADMIN], &body);
        assert_eq!(made.status, 201, "{made:?}");
        let text = |field: &str| made.body[field].as_str().expect("text").to_owned();
        (text("id"), text("key"))
    };
    let keys = [key("a"), key("b")];
    first.stop().await.expect("Milo ends by itself");
    for file in fs::read_dir(&folders[0]).expect("a folder").filter_map(Result::ok) {
        if file.file_name().to_string_lossy().starts_with("milo.db") {
            fs::copy(file.path(), folders[1].join(file.file_name())).expect("a copy");
        }
    }
    let nodes = [at(&folders[0], url, &variables).await, at(&folders[1], url, &variables).await];
    (nodes, keys)
}

/// The status of a request with a key, and what is left of its hour.
fn read(milo: &Running, key: &str) -> (u16, Option<u64>) {
    let url = format!("{}api/v1/calls", milo.http);
    let bearer = format!("Authorization: Bearer {key}");
    let arguments = ["--silent", "--max-time", "20", "--header", &bearer, "--output", "/dev/null"];
    let shown = ["--write-out", "%{http_code} %header{ratelimit-remaining}"];
    let output = Command::new("curl").args(arguments).args(shown).arg(url).output().expect("curl");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let (status, left) = output.split_once(' ').expect("two words");
    (status.parse().expect("a status"), left.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_requests_is_one_for_all_nodes() {
    let files = folder("pace-files");
    let redis = RealRedis::start(&files, None);
    let ([one, other], [(_, key), (_, unlimited)]) = twins("pace", &redis.url(), &[("RATE_LIMIT_PRO", "8")]).await;
    connected(&one, true).await;
    connected(&other, true).await;
    let mut left = Vec::new();
    for milo in [&one, &other, &one, &other] {
        left.push(read(milo, &key));
    }
    assert_eq!(left, [(200, Some(7)), (200, Some(6)), (200, Some(5)), (200, Some(4))]);

    // Redis dies: each node goes on from what it knew, for itself.
    drop(redis);
    connected(&one, false).await;
    connected(&other, false).await;
    assert_eq!(read(&one, &key), (200, Some(4)), "it knows of three");
    assert_eq!(read(&other, &key), (200, Some(3)), "it knows of four");
    // It is there again, and empty: four were known, one each was answered meanwhile.
    let redis = RealRedis::start(&files, None);
    connected(&one, true).await;
    connected(&other, true).await;
    assert_eq!(read(&other, &key), (200, Some(2)), "four, its own, and this one");
    assert_eq!(read(&one, &key), (200, Some(0)), "six, its own, and this one");
    for milo in [&one, &other] {
        assert_eq!(read(milo, &key), (429, Some(0)));
    }
    assert_eq!(read(&one, &unlimited), (200, Some(7)), "another key");
    assert!(redis.cli(&["KEYS", "milo:pace:key:*"]).lines().count() == 2);
    assert!(metric_of(&one, "milo_redis_operations_total{kind=\"limit\"}") >= 3.0);
    stop(one).await;
    stop(other).await;
    fs::remove_dir_all(files).ok();
}

/// A figure of a Milo whose metrics need the key.
fn metric_of(milo: &Running, name: &str) -> f64 {
    let url = format!("{}metrics", milo.http);
    let output = Command::new("curl").args(["--silent", "--header", ADMIN, &url]).output().expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_node_revokes_is_refused_by_all() {
    let files = folder("revoked-files");
    let redis = RealRedis::start(&files, None);
    let ([one, other], [(first, key), (second, later)]) = twins("revoked", &redis.url(), &[]).await;
    connected(&one, true).await;
    connected(&other, true).await;
    let refused = async |milo: &Running, key: &str| {
        for _ in 0..300 {
            if read(milo, key).0 == 401 {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("the key is taken");
    };
    assert_eq!((read(&other, &key).0, read(&other, &later).0), (200, 200));
    let revoke = |id: &str| send(&one, ("DELETE", &format!("/api/v1/keys/{id}")), &[ADMIN], &Value::Null).status;
    assert_eq!(revoke(&first), 204);
    refused(&other, &key).await;
    assert_eq!(read(&other, &later).0, 200, "and no other");
    // Its own database knows it too, whatever becomes of Redis.
    let list = send(&other, ("GET", "/api/v1/keys"), &[ADMIN], &Value::Null).body;
    let state = |id: &str| {
        let keys = list["keys"].as_array().expect("keys");
        keys.iter().find(|key| key["id"] == id).expect("it is known")["state"].clone()
    };
    assert_eq!((state(&first), state(&second)), ("revoked".into(), "active".into()), "{list}");

    // While Redis is away nobody hears of the next; when it is back, empty, everybody does.
    drop(redis);
    connected(&one, false).await;
    connected(&other, false).await;
    assert_eq!(revoke(&second), 204);
    assert_eq!((read(&one, &later).0, read(&other, &later).0), (401, 200));
    let redis = RealRedis::start(&files, None);
    refused(&other, &later).await;
    assert_eq!(redis.cli(&["ZCARD", "milo:revoked"]), "2");
    assert!(metric_of(&one, "milo_redis_operations_total{kind=\"key\"}") >= 2.0);
    stop(one).await;
    stop(other).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_has_translated_or_said_every_node_knows() {
    let files = folder("known-files");
    let redis = RealRedis::start(&files, None);
    let model = Server::start(Conduct::says("Bonjour à tous.")).await;
    let own = model.variables("openai");
    let own: Vec<_> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (one, other) = (node("known-one", &redis.url(), &own).await, node("known-other", &redis.url(), &own).await);
    connected(&one, true).await;
    connected(&other, true).await;
    let body = json!({ "text": "Salama daholo.", "source": "mg", "target": "fr" });
    for milo in [&one, &other] {
        let told = send(milo, ("POST", "/api/v1/translate"), &[], &body);
        assert_eq!((told.status, &told.body["translation"]), (200, &"Bonjour à tous.".into()), "{told:?}");
    }
    assert_eq!(model.asked().len(), 1, "the other node has it from Redis");

    let say = |milo: &Running, speed: f32| {
        let body = json!({ "text": "Misokatra amin'ny valo ora ny birao.", "format": "json", "speed": speed });
        let said = send(milo, ("POST", "/api/v1/tts"), &[], &body);
        assert_eq!(said.status, 200, "{said:?}");
        said.body["audio"].as_str().expect("a sound").to_owned()
    };
    let found = async |milo: &Running, found: &str| {
        metric(milo, &format!("milo_cache_look_ups_total{{cache=\"speech\",found=\"{found}\"}}")).await
    };
    let first = say(&one, 1.0);
    let clauses = found(&one, "nowhere").await;
    assert!(clauses >= 1.0 && found(&one, "here").await == 0.0);
    assert_eq!(say(&one, 1.0), first);
    assert_eq!((found(&one, "nowhere").await, found(&one, "here").await), (clauses, clauses));
    // What is said is put there behind the last of its samples.
    for _ in 0..100 {
        if redis.cli(&["ZCARD", "milo:cache:speech:index"]) == clauses.to_string() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(say(&other, 1.0), first);
    assert_eq!((found(&other, "redis").await, found(&other, "nowhere").await), (clauses, 0.0));
    let quick = say(&other, 1.5);
    assert_ne!(quick, first, "another speed is another sound");
    assert_eq!(found(&other, "nowhere").await, clauses);
    let bytes: usize = redis.cli(&["GET", "milo:cache:speech:bytes"]).parse().expect("bytes");
    let most = first.len() + quick.len();
    assert!(bytes >= first.len() / 2 && bytes < most, "{bytes} and {most} in base64");
    stop(one).await;
    stop(other).await;
    fs::remove_dir_all(files).ok();
}

/// TLS before the socket of a Redis: a port, and the authority that vouches for it.
async fn behind_tls(socket: PathBuf) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".into(), "localhost".into()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut redis = UnixStream::connect(socket).await.expect("Redis");
                tokio::io::copy_bidirectional(&mut stream, &mut redis).await.ok();
            });
        }
    });
    (port, made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_behind_tls_and_a_password_is_reached_by_those_who_should_and_the_password_is_shown_nowhere() {
    let files = folder("tls-files");
    let redis = RealRedis::start(&files, Some("hush-hush"));
    let (port, authority) = behind_tls(redis.socket()).await;
    fs::write(files.join("ca.pem"), authority).expect("a file");
    let ca = files.join("ca.pem").to_string_lossy().into_owned();
    let url = format!("rediss://:hush-hush@localhost:{port}/0");
    let milo = node("tls-one", &url, &[("MILO__REDIS__CA", &ca)]).await;
    connected(&milo, true).await;
    let shown = send(&milo, ("GET", "/api/v1/config"), &[], &Value::Null);
    assert_eq!(shown.body["redis"]["url"], json!(format!("rediss://:***@localhost:{port}/0")), "{shown:?}");
    stop(milo).await;

    // Whom nobody vouches for is not told the password; one who does not take it is none either. Milo starts all the same.
    let guess = url.replace("hush-hush", "guess-guess");
    for (name, url, ca, says) in
        [("tls-two", &url, None, "certificate"), ("tls-three", &guess, Some(&*ca), "it does not take Milo's password")]
    {
        let variables: Vec<_> = ca.map(|ca| ("MILO__REDIS__CA", ca)).into_iter().collect();
        let milo = node(name, url, &variables).await;
        let health = connected(&milo, false).await;
        let degraded = health["degraded"].to_string();
        assert!(health["status"] == "degraded" && degraded.contains(says), "{says}: {health}");
        assert!(!degraded.contains("hush-hush") && !degraded.contains("guess-guess"), "{health}");
        stop(milo).await;
    }
    let checking = folder("tls-config");
    let checked = alone(PROGRAM, &checking).args(["config", "check"]).env("REDIS_URL", &url).output().expect("milo");
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && told.contains("rediss://:***@localhost"), "{told}");
    let doctor = alone(PROGRAM, &checking).arg("doctor").env("REDIS_URL", &guess).output().expect("milo");
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        told.lines().any(|line| line.contains("note") && line.contains("Redis") && line.contains("***@")),
        "{told}"
    );
    for files in [files, checking] {
        fs::remove_dir_all(files).ok();
    }
}
