//! NATs and relays between a browser and Milo: a real coturn, credentials that end, addresses that a STUN server told, and the ports
//! and the public address of the configuration. All of it on loopback; what needs several machines is not looked at here.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use milo::bench::Running;
use milo_media::codec::OPUS;
use serde_json::json;
use tokio::time::sleep;

use crate::{
    address::own_address,
    aiortc::Browser as Client,
    browser::Browser,
    house::{ended, folder, stop, with_plans_and},
    web_page::quiet,
    whip::{Answer, WHIP, post},
};

const SECRET: &str = "north";
/// coturn's ports, at an address of its own.
const PORT: u16 = 3478;
const RELAYED: (u16, u16) = (25_000, 25_099);

/// A coturn that takes credentials made from [`SECRET`].
struct Coturn {
    child: Child,
    address: Ipv4Addr,
    log: std::path::PathBuf,
}

impl Coturn {
    async fn start(name: &str) -> Self {
        let (folder, address) = (folder(name), own_address());
        let log = folder.join("log");
        let into = || Stdio::from(File::options().create(true).append(true).open(&log).expect("a temporary folder"));
        let mut turnserver = Command::new("timeout");
        turnserver.args(["120", "turnserver", "-n", "--no-cli", "--no-tls", "--no-dtls", "--simple-log", "--verbose"]);
        turnserver.args(["--log-file=stdout", "--realm=milo.example", "--allow-loopback-peers", "--use-auth-secret"]);
        turnserver.arg(format!("--static-auth-secret={SECRET}"));
        turnserver.arg(format!("--listening-ip={address}")).arg(format!("--relay-ip={address}"));
        turnserver.arg(format!("--listening-port={PORT}"));
        turnserver.arg(format!("--min-port={}", RELAYED.0)).arg(format!("--max-port={}", RELAYED.1));
        turnserver.arg(format!("--pidfile={}", folder.join("pid").display()));
        turnserver.arg(format!("--userdb={}", folder.join("users").display())).current_dir(&folder);
        let child = turnserver.stdout(into()).stderr(into()).spawn().expect("coturn: `make setup` installs it");
        let coturn = Self { child, address, log };
        // It is there when it answers a binding request (RFC 8489 section 5).
        let socket = UdpSocket::bind((address, 0)).expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42], [7; 12].as_slice()].concat();
        for _ in 0..100 {
            socket.send_to(&request, (address, PORT)).ok();
            if socket.recv(&mut [0; 512]).is_ok() {
                return coturn;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("coturn does not answer: {}", coturn.said());
    }

    fn turn(&self, transport: &str) -> String {
        format!("turn:{}:{PORT}?transport={transport}", self.address)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // `timeout` ends what it started.
        Command::new("kill").arg(self.child.id().to_string()).status().ok();
        self.child.wait().ok();
    }
}

/// A NAT between whoever sends to `inside` and a server: that sees `outside` only.
struct Nat {
    inside: SocketAddr,
    outside: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Nat {
    fn start(server: SocketAddr) -> Self {
        let sockets = [own_address(), own_address()].map(|address| UdpSocket::bind((address, 0)).expect("loopback"));
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a socket");
        }
        let [inside, outside] = sockets.each_ref().map(|socket| socket.local_addr().expect("bound"));
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        thread::spawn(move || {
            let ([within, without], mut behind, mut packet) = (sockets, None, [0; 2048]);
            while !ends.load(Ordering::Relaxed) {
                if let Ok((length, from)) = within.recv_from(&mut packet) {
                    behind = Some(from);
                    without.send_to(&packet[..length], server).ok();
                }
                if let (Ok(length), Some(behind)) = (without.recv(&mut packet), behind) {
                    within.send_to(&packet[..length], behind).ok();
                }
            }
        });
        Self { inside, outside, over }
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The candidates of a description, for RTP (component 1): type, address and port.
fn candidates(answer: &Answer) -> Vec<(String, IpAddr, u16)> {
    let lines = answer.body.lines().filter_map(|line| line.strip_prefix("a=candidate:"));
    let lines = lines.map(|line| line.split(' ').collect::<Vec<_>>()).filter(|words| words[1] == "1");
    lines
        .map(|words| (words[7].to_owned(), words[4].parse().expect("an address"), words[5].parse().expect("a port")))
        .collect()
}

/// The user name and the password that Milo gives with a TURN server.
fn credentials(answer: &Answer) -> (String, String) {
    let link = answer.all("link").into_iter().find(|link| link.starts_with("<turn:")).expect("a TURN server");
    let value = |name: &str| {
        let (_, rest) = link.split_once(&format!("{name}=\"")).expect("it has one");
        rest.split('"').next().expect("quoted").to_owned()
    };
    (value("username"), value("credential"))
}

/// A Milo that sends browsers, and itself, to this coturn; and the credentials that it gives.
async fn behind(name: &str, coturn: &Coturn, transport: &str) -> (Running, (String, String)) {
    let turn = json!([coturn.turn(transport)]).to_string();
    let variables =
        [("MILO__WEBRTC__TURN", turn.as_str()), ("MILO__WEBRTC__TURN_SECRET", SECRET), ("MILO__WEBRTC__SET_UP_S", "5")];
    let milo = with_plans_and(name, "", &variables).await;
    let answer = post(&milo, &Browser::open(&OPUS, false).await.offer().await);
    assert_eq!(answer.status, 201, "{answer:?}");
    let relayed: Vec<_> = candidates(&answer).into_iter().filter(|(kind, ..)| kind == "relay").collect();
    // The stack asks by UDP only; who asks by TCP is the browser.
    assert_eq!(relayed.len(), usize::from(transport == "udp"), "{answer:?}");
    for (_, address, port) in relayed {
        assert!(address == coturn.address && (RELAYED.0..=RELAYED.1).contains(&port), "{address}:{port}");
    }
    let given = credentials(&answer);
    (milo, given)
}

/// A call of which the browser has no way but the relay.
async fn by_relay(name: &str, transport: &str) {
    let coturn = Coturn::start(&format!("{name}-coturn")).await;
    let (milo, (user, password)) = behind(name, &coturn, transport).await;
    let turn = coturn.turn(transport);
    let mut browser = Client::call(&milo, WHIP, &["--relay", &turn, "--user", &user, "--password", &password]).await;
    let way = browser.until("way", |_| true).await;
    assert_eq!(way["ours"], "relay", "{way}");
    assert_eq!(coturn.said().contains("tcp or tls connected"), transport == "tcp", "{}", coturn.said());
    let id = browser.message("session", |_| true).await["call_id"].clone();
    browser.say("mg_hours.wav").await;
    sleep(Duration::from_secs(1)).await;
    let heard = browser.loud().await;
    assert!(heard > 3_000, "{heard} loud samples of an echo");
    let granted = format!("user <{user}>: incoming packet ALLOCATE processed, success");
    assert!(coturn.said().contains(&granted), "{}", coturn.said());
    browser.close().await;
    assert_eq!(ended(&milo, &id).await["hangup_by"], "caller");
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_talks_over_a_relay_and_nothing_else() {
    by_relay("relay-udp", "udp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_udp_is_shut_a_browser_reaches_the_relay_by_tcp() {
    by_relay("relay-tcp", "tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coturn_refuses_credentials_that_ended_and_others_than_milos() {
    let coturn = Coturn::start("relay-refused-coturn").await;
    let (milo, (user, password)) = behind("relay-refused", &coturn, "udp").await;
    let turn = coturn.turn("udp");
    let until: u64 = user.split(':').next().and_then(|end| end.parse().ok()).expect("the end of it");
    // openssl dgst -sha1 -hmac north -binary | base64, of 1700003600:milo.
    let ended = ("1700003600:milo".to_owned(), "VA9tltxStC6tFlUIJE8MNDZpBbU=".to_owned());
    let longer = (format!("{}:milo", until + 3_600), password.clone());
    for (user, password) in [ended, longer] {
        let more = ["--relay", &turn, "--user", &user, "--password", &password];
        let mut browser = Client::open(&milo, WHIP, &more);
        browser.until("no_relay", |_| true).await;
        let refused = format!("user <{user}>: incoming packet message processed, error 401");
        assert!(coturn.said().contains(&refused), "{}", coturn.said());
    }
    let more = ["--relay", &turn, "--user", &user, "--password", &password];
    Client::call(&milo, WHIP, &more).await.close().await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_nat_milo_shows_what_a_stun_server_sees_of_it() {
    let coturn = Coturn::start("stun-coturn").await;
    let nat = Nat::start((coturn.address, PORT).into());
    let stun = json!([format!("stun:{}", nat.inside)]).to_string();
    let milo = with_plans_and("stun", "", &[("MILO__WEBRTC__STUN", &stun)]).await;
    let mut browser = Browser::open(&OPUS, false).await;
    let answer = post(&milo, &browser.offer().await);
    let found = candidates(&answer);
    let seen = ("srflx".to_owned(), nat.outside.ip(), nat.outside.port());
    assert!(found.contains(&seen), "{seen:?} is not among {found:?}");
    assert!(found.iter().any(|(kind, ..)| kind == "host"), "{found:?}");
    browser.take(&answer.body).await;
    browser.reaches(webrtc::peer_connection::RTCPeerConnectionState::Connected).await;
    browser.close().await;
    quiet(&milo).await;
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_at_the_ports_and_the_address_that_a_firewall_knows() {
    let (here, public) = (own_address().to_string(), Ipv4Addr::new(192, 0, 2, 7));
    let named = public.to_string();
    let variables = [
        ("MILO__WEBRTC__ADDRESS", here.as_str()),
        ("MILO__WEBRTC__UDP_PORTS", "24000-24002"),
        ("MILO__WEBRTC__PUBLIC_ADDRESS", &named),
        ("MILO__WEBRTC__SET_UP_S", "2"),
    ];
    let milo = with_plans_and("rtc-ports", "", &variables).await;
    let offer = Browser::open(&OPUS, false).await.offer().await;
    let mut ports = Vec::new();
    for _ in 0..3 {
        let found = candidates(&post(&milo, &offer));
        assert!(!found.is_empty() && found.iter().all(|(_, address, _)| *address == public), "{found:?}");
        ports.extend(found.into_iter().map(|(.., port)| port));
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports, [24_000, 24_001, 24_002]);
    let full = post(&milo, &offer);
    assert!(full.status == 503 && full.detail().contains("port"), "{full:?}");
    quiet(&milo).await;
    assert_eq!(post(&milo, &offer).status, 201, "a port that was given up is there again");
    stop(milo).await;
}
