//! Programs of the operator's are told of calls, over real sockets: ones that fail at first, are slow, are not there, or send Milo
//! elsewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    house::{PROGRAM, call, errand, folder, get, metric, newest_call, send, stop},
    telephone::Telephone,
    webhooks::request,
};
use milo::bench::Running;
use ring::hmac;
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpSocket, TcpStream},
    task::block_in_place,
    time::{Instant, sleep},
};

const SECRET: &str = "a secret of the operator";

/// The agent; a number whose calls go on, and one whose callers are to be passed on to a place where nobody is.
const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { converse = { persona = 'demo' } }]

[[plan]]
name = 'digits'
number = 'digits'
language = 'mg'
actions = [{ answer = {} }, { digits = {} }]

[[plan]]
name = 'passing'
number = 'passing'
language = 'mg'
actions = [{ answer = {} }, { transfer = { to = 'sip:nobody@127.0.0.1:1;transport=tcp', mode = 'attended' } }, { wait = { seconds = 60 } }]
";

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    path: String,
    pub(crate) delivery: String,
    pub(crate) body: Value,
}

/// A program that is told.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    got: Arc<Mutex<Vec<Got>>>,
    /// `/moved` takes what it is told from now on.
    settled: Arc<AtomicBool>,
}

impl Receiver {
    pub(crate) fn serve(&self, listener: TcpListener) {
        let receiver = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receiver.clone().take(stream));
            }
        });
    }

    async fn take(self, mut stream: TcpStream) {
        let Some(text) = request(&mut stream).await else { return };
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        let before = self.at(&path).len();
        self.got.lock().expect("no panic").push(Got {
            delivery: field(head, "milo-delivery"),
            body: serde_json::from_str(body).expect("JSON"),
            path: path.clone(),
        });
        assert!(is_signed(head, body), "{head}");
        let status = match (path.as_str(), before) {
            ("/first", 0) => "503 Service Unavailable",
            // No answer at all, for longer than it is waited for.
            ("/first", 1) | ("/slow", _) => return sleep(Duration::from_secs(120)).await,
            ("/moved", _) if !self.settled.load(Ordering::Relaxed) => {
                "302 Found\r\nLocation: http://127.0.0.2/elsewhere"
            }
            _ => "200 OK",
        };
        // Not JSON: whatever is answered beside the status is of no interest.
        stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\nThanks").as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }

    /// What came on this path.
    fn at(&self, path: &str) -> Vec<Got> {
        self.got.lock().expect("no panic").iter().filter(|got| got.path == path).cloned().collect()
    }

    /// Waits until so many different events of a kind came on this path.
    pub(crate) async fn until(&self, path: &str, kind: &str, count: usize) -> Vec<Got> {
        for _ in 0..600 {
            let got = self.at(path);
            let of_kind = got.iter().filter(|got| got.body["type"] == kind).map(|got| &got.delivery);
            if of_kind.collect::<BTreeSet<_>>().len() >= count {
                return got;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("no {count} events {kind} on {path} within a minute: {:?}", self.at(path));
    }
}

fn field(head: &str, name: &str) -> String {
    let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
}

fn is_signed(head: &str, body: &str) -> bool {
    let signature = field(head, "milo-signature");
    let digits = signature.strip_prefix("sha256=").expect("a signature");
    let tag: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, format!("{}.{body}", field(head, "milo-timestamp")).as_bytes(), &tag).is_ok()
}

pub(crate) fn target(name: &str, port: u16, more: &str) -> String {
    format!(
        "[[webhooks]]\nname = '{name}'\nurl = 'http://127.0.0.1:{port}/{name}'\nsecret = '{SECRET}'\nbackoff_s = 1\n{more}\n"
    )
}

/// The types of what was told, each once, in order.
fn kinds(got: &[Got]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    got.iter().filter(|got| seen.insert(&got.delivery)).filter_map(|got| got.body["type"].as_str()).collect()
}

async fn dead(milo: &Running, count: usize) -> Vec<Value> {
    for _ in 0..300 {
        let page = get(milo, "/api/v1/webhooks/dead");
        let dead = page["dead"].as_array().expect("a list").clone();
        if dead.len() == count {
            return dead;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no {count} dead letters: {}", get(milo, "/api/v1/webhooks/dead"));
}

fn state(milo: &Running, name: &str) -> Value {
    let list = get(milo, "/api/v1/webhooks");
    let all = list["webhooks"].as_array().expect("a list");
    all.iter().find(|target| target["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_of_calls_in_order_until_they_take_it() {
    let receiver = Receiver::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    receiver.serve(listener);
    // Bound, and nobody listens: connections are refused, and the port is nobody else's.
    let later = TcpSocket::new_v4().expect("a socket");
    later.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let refused = later.local_addr().expect("an address").port();

    let at = folder("notices");
    let ends = "events = ['ended']\nattempts = 2\nallow_private = ";
    let targets = [
        target("steady", port, "allow_private = true"),
        target("first", port, "allow_private = true\ntimeout_s = 1"),
        target("slow", port, "allow_private = true\ntimeout_s = 30"),
        target("refused", refused, "allow_private = true\nattempts = 50"),
        target("moved", port, &format!("{ends}true")),
        target("private", port, &format!("{ends}false")),
    ];
    fs::write(at.join("milo.toml"), targets.concat()).expect("written");
    fs::create_dir_all(at.join("plans/personas")).expect("a folder");
    let persona = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/personas/demo.toml");
    fs::copy(persona, at.join("plans/personas/demo.toml")).expect("a file");
    fs::write(at.join("plans/plans.toml"), PLANS).expect("written");
    let plans = at.join("plans").to_string_lossy().into_owned();
    let variables = [("MILO__RECORDING__ENABLED", "true"), ("MILO__DIALPLANS__PATH", &plans)];
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts");
    let began = Instant::now();
    call(&errand(milo.udp("milo").expect("an address"), &["mg_hours.wav"])).await;
    let logged = newest_call(&milo).await;

    // Whoever takes it at once has it at once, although another target does not answer.
    receiver.until("/steady", "recording_ready", 1).await;
    let steady = receiver.until("/steady", "ended", 1).await;
    let mut told = kinds(&steady);
    assert_eq!(&told[..3], ["started", "answered", "turn"], "{told:?}");
    told.sort_unstable();
    let turns = logged["turns"].as_array().expect("turns").len();
    let mut all = vec!["answered", "ended", "recording_ready", "started"];
    all.resize(all.len() + turns, "turn");
    assert_eq!(told, all);
    let one = |kind: &str| &steady.iter().find(|got| got.body["type"] == kind).expect("an event").body;
    assert!(steady.iter().all(|got| got.body["call"] == logged["id"] && got.body["id"].is_string()), "{steady:?}");
    assert_eq!(one("started")["data"]["from"], logged["from"]);
    assert_eq!(one("started")["time"], logged["started"]);
    assert_eq!(one("ended")["data"]["hangup_by"], "caller");
    assert_eq!(one("recording_ready")["data"]["recording"], logged["recording"]);
    let heard = steady.iter().filter_map(|got| got.body["data"]["heard"].as_str()).next().expect("a turn");
    assert!(logged["turns"].as_array().expect("turns").iter().any(|turn| turn["heard"] == heard), "{heard}");

    // 503, then no answer, then yes: three tries of the first, under one name, before the second.
    let first = receiver.until("/first", "ended", 1).await;
    let tries: Vec<_> = first[..4].iter().map(|got| got.body["type"].as_str().expect("a type")).collect();
    assert_eq!(tries, ["started", "started", "started", "answered"]);
    assert!(first[..3].iter().all(|got| got.delivery == first[0].delivery) && first[0].body == first[2].body);
    let state_of = |name: &str| state(&milo, name);
    assert!(
        state_of("first")["last_error"].as_str().is_some_and(|why| why.contains("within 1 s")),
        "{}",
        state_of("first")
    );
    let slow: BTreeSet<_> = receiver.at("/slow").into_iter().map(|got| got.delivery).collect();
    assert_eq!(slow.len(), 1, "the second event of a call waits for the first");
    let tries = 1 + began.elapsed().as_secs() / 30;
    assert!(receiver.at("/slow").len() as u64 <= tries, "it is not told again while it is being told");

    // Two that cannot be told: one sends Milo elsewhere, one is where it must not go.
    let letters = dead(&milo, 2).await;
    let letter = |name: &str| letters.iter().find(|letter| letter["target"] == name).expect("a letter");
    let moved = letter("moved");
    assert_eq!((&moved["type"], &moved["attempts"], &moved["call"]), (&"ended".into(), &2.into(), &logged["id"]));
    assert!(moved["error"].as_str().is_some_and(|why| why.contains("302")), "{moved}");
    assert_eq!(moved["body"]["data"]["hangup_by"], "caller", "{moved}");
    let private = letter("private");
    assert!(private["error"].as_str().is_some_and(|why| why.contains("private address")), "{private}");
    assert_eq!((receiver.at("/moved").len(), receiver.at("/private").len()), (2, 0));
    assert!(receiver.at("/elsewhere").is_empty());
    let failing = state_of("moved");
    assert_eq!((&failing["state"], &failing["dead"], &failing["waiting"]), (&"failing".into(), &1.into(), &0.into()));
    assert!(!get(&milo, "/api/v1/webhooks").to_string().contains(SECRET));
    assert!(!get(&milo, "/api/v1/config").to_string().contains(SECRET));
    assert_eq!(metric(&milo, "milo_webhook_given_up_total{target=\"moved\"}").await, 1.0);
    assert_eq!(metric(&milo, "milo_webhook_tries_total{result=\"failed\",target=\"moved\"}").await, 2.0);

    // It mends its ways, and the letter is tried again; the other is deleted.
    receiver.settled.store(true, Ordering::Relaxed);
    let letter_at = |letter: &Value| format!("/api/v1/webhooks/dead/{}", letter["id"].as_str().expect("an id"));
    let retry = format!("{}/retry", letter_at(moved));
    assert_eq!(send(&milo, ("POST", &retry), &[], &Value::Null).status, 202);
    assert_eq!(send(&milo, ("POST", &retry), &[], &Value::Null).status, 404, "it is dead no more");
    assert_eq!(send(&milo, ("DELETE", &letter_at(private)), &[], &Value::Null).status, 204);
    dead(&milo, 0).await;
    for _ in 0..100 {
        if state_of("moved")["delivered"] == 1 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let mended = state_of("moved");
    assert_eq!(
        (&mended["state"], &mended["dead"], &mended["delivered"]),
        (&"idle".into(), &0.into(), &1.into()),
        "{mended}"
    );
    assert_eq!(receiver.at("/moved")[2].delivery, moved["id"].as_str().expect("an id"));
    let deeds = get(&milo, "/api/v1/audit")["deeds"].to_string();
    assert!(deeds.contains("webhooks.retry") && deeds.contains("webhooks.delete"), "{deeds}");

    // One that was not there all the time is told after Milo was killed and started again.
    let waiting = state_of("refused");
    assert!(waiting["last_error"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{waiting}");
    assert_eq!(waiting["waiting"].as_u64(), Some(4 + turns as u64), "{waiting}");
    milo.kill().await.expect("kill -9");
    let milo = Running::start(Path::new(PROGRAM), &at, &variables).await.expect("Milo starts again");
    receiver.serve(later.listen(16).expect("it listens"));
    receiver.until("/refused", "recording_ready", 1).await;
    let late = receiver.until("/refused", "ended", 1).await;
    assert_eq!(&kinds(&late)[..3], ["started", "answered", "turn"]);
    assert_eq!(kinds(&late).len(), 4 + turns, "{:?}", kinds(&late));

    // Whoever is slow still delays nobody else, and no call.
    let calls: Vec<_> = block_in_place(|| (0..3).map(|_| Telephone::call(&milo, "digits")).collect());
    block_in_place(|| calls.into_iter().for_each(|mut phone| phone.hangs_up()));
    receiver.until("/steady", "ended", 4).await;
    receiver.until("/refused", "ended", 4).await;

    // What came of a transfer is told while the call goes on.
    let mut passed = block_in_place(|| Telephone::call(&milo, "passing"));
    let told = receiver.until("/steady", "transferred", 1).await;
    let transferred = &told.iter().find(|got| got.body["type"] == "transferred").expect("an event").body;
    assert_eq!(
        (&transferred["data"]["by"], &transferred["data"]["result"]),
        (&"attended".into(), &"refused".into()),
        "{transferred}"
    );
    block_in_place(|| passed.hangs_up());
    receiver.until("/steady", "ended", 5).await;
    stop(milo).await;
}
