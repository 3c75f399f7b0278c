//! The verb `webhook`: a program of the operator's is asked over real sockets, and plans go on as it says.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::house::{MILO, call, errand, events, folder, loud, milo, newest_call, stop, with_plans_and};
use milo::{bench::Running, phone::Errand};
use ring::hmac;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// So long a program takes that somebody waits for.
const SLOW: Duration = Duration::from_secs(9);
const SECRET: &str = "a secret of the operator";

type Seen = Arc<Mutex<Vec<String>>>;

/// What is answered on each path; nothing at all on `/drop` the first time.
fn answer(request: &str, seen: &Seen) -> Option<String> {
    let path = request.split(' ').nth(1).expect("a path").to_owned();
    let (status, body) = match path.as_str() {
        "/digit" => ("200 OK", r#"{ "variables": { "digit": 5 } }"#.to_owned()),
        "/slow" => ("200 OK", r#"{ "plan": "vip" }"#.to_owned()),
        "/vip" => ("200 OK", r#"{ "variables": { "digit": "6" }, "plan": "vip" }"#.to_owned()),
        "/nothing" => ("204 No Content", String::new()),
        "/elsewhere" => ("302 Found\r\nLocation: /digit", r#"{ "plan": "vip" }"#.to_owned()),
        "/undeclared" => ("200 OK", r#"{ "variables": { "caller": "boss" } }"#.to_owned()),
        "/big" => ("200 OK", format!(r#"{{ "plan": "vip", "variables": {{ "digit": "{}" }} }}"#, "1".repeat(70_000))),
        "/drop" if seen.lock().expect("no panic").iter().filter(|seen| seen.contains(" /drop ")).count() == 1 => {
            return None;
        }
        "/drop" => ("200 OK", r#"{ "variables": { "digit": "8" } }"#.to_owned()),
        _ => ("404 Not Found", String::new()),
    };
    Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A whole request with its body; none when the stream ends before.
pub(crate) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        match (text.split_once("\r\n\r\n"), length) {
            (Some((_, body)), Some(length)) if body.len() >= length => return Some(text),
            _ if read == 0 => return None,
            _ => {}
        }
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: Seen) {
    let Some(whole) = request(&mut stream).await else { return };
    seen.lock().expect("no panic").push(whole.clone());
    if whole.starts_with("POST /slow ") {
        sleep(SLOW).await;
    }
    if let Some(answer) = answer(&whole, &seen) {
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }
}

/// A program that is asked, by HTTP or by HTTPS.
async fn program(tls: Option<TlsAcceptor>) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (at, seen) = (listener.local_addr().expect("an address"), Seen::default());
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, noted) = (tls.clone(), Arc::clone(&noted));
            tokio::spawn(async move {
                match tls {
                    None => converse(stream, noted).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            converse(stream, noted).await;
                        }
                    }
                }
            });
        }
    });
    (at, seen)
}

/// A certificate of its own for `localhost`, and who accepts with it.
pub(crate) fn acceptor(chain: &Path) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::write(chain, made.cert.pem()).expect("written");
    let certificate = CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key that fits");
    TlsAcceptor::from(Arc::new(config))
}

fn plan(name: &str, verbs: &str) -> String {
    format!(
        "[[plan]]\nname = '{name}'\nnumber = '{name}'\nlanguage = 'mg'\nactions = [{{ answer = {{}} }}, {verbs}, {{ hangup = {{}} }}]\n"
    )
}

/// The keys that a caller of this number hears, and the event of the webhook.
async fn asked(milo: &Running, number: &str) -> (String, Value) {
    let errand = Errand { wait: true, no_greeting: true, ..errand(milo.udp(number).expect("an address"), &[]) };
    let keys = call(&errand).await.keys;
    let logged = newest_call(milo).await;
    (keys, events(&logged, "webhook")[0].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_operators_sets_variables_and_says_how_it_goes_on() {
    let at = folder("webhook-plans");
    let chain = at.join("ca.pem");
    let (plain, seen) = program(None).await;
    let (secure, seen_secure) = program(Some(acceptor(&chain))).await;
    let (port, secure) = (plain.port(), secure.port());
    let ask = |url: &str| {
        format!(
            "{{ set = {{ code = '42' }} }}, {{ webhook = {{ url = '{url}', send = ['code'], sets = ['digit'], \
             plans = ['vip'], seconds = 5, retries = 1, failed = 'failed' }} }}, {{ send_digits = {{ digits = '{{{{digit}}}}#' }} }}"
        )
    };
    let paths = ["digit", "vip", "nothing", "elsewhere", "undeclared", "big", "drop"];
    let mut plans: Vec<_> =
        paths.iter().map(|path| plan(path, &ask(&format!("http://127.0.0.1:{port}/{path}")))).collect();
    plans.push(plan("private", &ask(&format!("http://127.0.0.2:{port}/digit"))));
    plans.push(plan("secure", &ask(&format!("https://localhost:{secure}/digit"))));
    // The same certificate is none for this name.
    plans.push(plan("other", &ask(&format!("https://127.0.0.1:{secure}/digit"))));
    plans.push(plan("vip", "{ send_digits = { digits = '7{{digit}}' } }").replace("number = 'vip'", "number = 'x'"));
    plans.push(plan("failed", "{ send_digits = { digits = '9' } }"));
    let plans = plans.concat().replacen("name = 'vip'\nnumber = 'vip'", "name = 'ask vip'\nnumber = 'vip'", 1);
    fs::write(at.join("plans.toml"), [MILO, &plans].concat()).expect("written");
    let path = at.to_string_lossy().into_owned();
    let variables = [
        ("MILO__DIALPLANS__PATH", path.as_str()),
        ("MILO__WEBHOOK__HOSTS", "[\"127.0.0.1\", \"127.0.0.2\", \"localhost\"]"),
        ("MILO__WEBHOOK__PRIVATE", "[\"127.0.0.1/32\"]"),
        ("MILO__WEBHOOK__SECRET", SECRET),
        ("MILO__WEBHOOK__CA", chain.to_str().expect("a path")),
    ];
    let milo = milo("webhook", &variables).await;
    let requests = || seen.lock().expect("no panic").clone();

    assert_eq!(asked(&milo, "digit").await.0, "5#");
    // What is asked, and that it is Milo who asks.
    let request = requests().pop().expect("a request");
    let (head, body) = request.split_once("\r\n\r\n").expect("a body");
    let told: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(
        (&told["called"], &told["variables"]["code"], &told["plan"]),
        (&"digit".into(), &"42".into(), &"digit".into())
    );
    assert_eq!(told["call"], newest_call(&milo).await["id"]);
    let field =
        |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).expect("a field");
    let signature = field("milo-signature").strip_prefix("sha256=").expect("a signature");
    let tag: Vec<u8> =
        (0..64).step_by(2).map(|at| u8::from_str_radix(&signature[at..at + 2], 16).expect("digits")).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signed = format!("{}.{body}", field("milo-timestamp"));
    assert!(hmac::verify(&key, signed.as_bytes(), &tag).is_ok(), "{head}");

    let (keys, event) = asked(&milo, "vip").await;
    assert_eq!((keys.as_str(), &event["plan"]), ("76", &"vip".into()), "{event}");
    assert_eq!(asked(&milo, "nothing").await.0, "#");
    // What it may not do, it cannot.
    for (number, why) in [
        ("elsewhere", "302"),
        ("undeclared", "none of `sets`"),
        ("big", "longer than 65536 bytes"),
        ("private", "private address"),
        ("other", "certificate"),
    ] {
        let before = requests().len();
        let (keys, event) = asked(&milo, number).await;
        assert_eq!((keys.as_str(), &event["tries"]), ("9", &1.into()), "{number}: {event}");
        assert!(event["why"].as_str().is_some_and(|told| told.contains(why)), "{number}: {event}");
        assert!(requests().len() - before <= 1, "{number}: asked once");
    }
    assert!(!requests().iter().any(|request| request.contains("127.0.0.2")), "a private address is not asked");
    // It hung up without a word: it is asked again, and can tell that it is the same.
    let (keys, event) = asked(&milo, "drop").await;
    assert_eq!((keys.as_str(), &event["tries"]), ("8#", &2.into()), "{event}");
    let deliveries: Vec<_> = requests()
        .iter()
        .filter(|request| request.contains(" /drop "))
        .map(|request| {
            request
                .lines()
                .find_map(|line| line.strip_prefix("milo-delivery: ").map(str::to_owned))
                .expect("a delivery")
        })
        .collect();
    assert!(deliveries.len() == 2 && deliveries[0] == deliveries[1], "{deliveries:?}");

    assert_eq!(asked(&milo, "secure").await.0, "5#");
    assert_eq!(seen_secure.lock().expect("no panic").len(), 1);
    stop(milo).await;
    fs::remove_dir_all(at).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_program_hears_that_they_are_not_forgotten() {
    let (at, _) = program(None).await;
    let url = format!("http://127.0.0.1:{}/slow", at.port());
    let plans = [
        plan("slow", &format!("{{ webhook = {{ url = '{url}', plans = ['vip'], seconds = 20 }} }}")),
        plan("vip", "{ send_digits = { digits = '7' } }"),
    ];
    let variables = [
        ("MILO__WEBHOOK__HOSTS", "[\"127.0.0.1\"]"),
        ("MILO__WEBHOOK__PRIVATE", "[\"127.0.0.1/32\"]"),
        ("MILO__WEBHOOK__SECRET", SECRET),
        ("MILO__CONVERSATION__FILLER_MS", "500"),
    ];
    let milo = with_plans_and("webhook-slow", &plans.concat(), &variables).await;
    let file = milo.folder().join("heard.wav");
    let target = milo.udp("slow").expect("an address");
    let errand = Errand { wait: true, no_greeting: true, record: Some(file.clone()), ..errand(target, &[]) };
    let keys = call(&errand).await.keys;
    let logged = newest_call(&milo).await;
    assert_eq!((keys.as_str(), &events(&logged, "webhook")[0]["plan"]), ("7", &"vip".into()), "{logged}");
    // After half a second, and five seconds after that was heard.
    assert_eq!(events(&logged, "filler"), [&json!({ "for": "webhook" })], "{logged}");
    assert_eq!(events(&logged, "stuck"), [&json!({ "stage": "webhook", "times": 2 })], "{logged}");
    let heard = milo_media::wav::read(&file).expect("the recording");
    assert!(loud(&heard) > 8_000, "{} loud samples", loud(&heard));
    stop(milo).await;
}
