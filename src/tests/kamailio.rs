//! Kamailio stands in front of Milo, as `deploy/kamailio.cfg` sets it up, and stays on the way of every call.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use crate::address::own_address;
use crate::house::{MG_HOURS, answered, assert_turn, errand, folder, get, loud, newest_call, stop};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use milo_media::wav;
use milo_signaling::{Progress, Srtp, Standing, Uri};
use tokio::{runtime::Handle, time::sleep};

/// The proxy's port at an address of its own.
const PORT: u16 = 5070;

const PLANS: &str = "
[[plan]]
name = 'out'
number = 'out'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = 'echo', trunk = 'proxy' } }]

[[plan]]
name = 'hangs up'
number = 'ends'
language = 'mg'
actions = [{ answer = {} }, { music = { seconds = 1 } }, { hangup = {} }]

";

/// A Milo behind this proxy.
async fn milo(name: &str, proxy: Ipv4Addr) -> Running {
    let plans = folder(&format!("{name}-plans"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/.");
    assert!(Command::new("cp").arg("-r").args([&shipped, &plans]).status().expect("cp").success());
    // Read before the others, of which the last takes every number.
    fs::write(plans.join("0-proxied.toml"), PLANS).expect("a temporary folder");
    let path = plans.to_string_lossy().into_owned();
    let trunks = format!("[{{ name = \"proxy\", address = \"{proxy}\", gateway = \"sip:{proxy}:{PORT}\" }}]");
    let variables = [("MILO__DIALPLANS__PATH", path.as_str()), ("MILO__SIP__TRUNKS", &trunks)];
    crate::house::milo(name, &variables).await
}

/// `sip:host:port` of a Milo.
fn reached(milo: &Running) -> String {
    let uri = milo.udp("x").expect("an address").to_string();
    format!("sip:{}", uri.split_once('@').expect("a user part").1)
}

/// Kamailio with the example of `deploy/`, at these addresses; it says `method from sip:host:port` into `folder/log`.
struct Kamailio(Child);

impl Kamailio {
    async fn start(folder: &Path, proxy: Ipv4Addr, milo: &str, carrier: &str) -> Self {
        let example = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kamailio.cfg"));
        let ours = [
            ("sip:192.0.2.20:5060", milo),
            ("sip:198.51.100.7:5060", carrier),
            ("log_stderror=yes", "log_stderror=yes\ndebug=1"),
        ];
        Self::start_with(folder, proxy, &example.expect("the example"), &ours).await
    }

    /// With this configuration, in which these are put in place of its addresses.
    async fn start_with(folder: &Path, proxy: Ipv4Addr, text: &str, ours: &[(&str, &str)]) -> Self {
        let listens = format!("udp:{proxy}:{PORT}");
        let mut text = text.to_owned();
        for (theirs, ours) in [("udp:192.0.2.10:5060", listens.as_str())].iter().chain(ours) {
            assert!(text.contains(theirs), "the example lacks {theirs}");
            text = text.replace(theirs, ours);
        }
        let config = folder.join("kamailio.cfg");
        fs::write(&config, text).expect("a temporary folder");
        let log = || File::options().create(true).append(true).open(folder.join("log")).expect("a temporary folder");
        let child = Command::new("timeout")
            .args(["90", "/usr/sbin/kamailio", "-DD", "-E", "-m", "16", "-M", "4", "-f"])
            .arg(&config)
            .arg("-Y")
            .arg(folder)
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("kamailio can be run: `make setup` installs it");
        let running = Self(child);
        // It is there when it answers.
        let socket = UdpSocket::bind((proxy, 0)).expect("loopback");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        let ours = socket.local_addr().expect("bound");
        let options = format!(
            "OPTIONS sip:{proxy}:{PORT} SIP/2.0\r\nVia: SIP/2.0/UDP {ours};branch=z9hG4bKprobe\r\nMax-Forwards: 5\r\n\
             From: <sip:probe@{ours}>;tag=1\r\nTo: <sip:{proxy}:{PORT}>\r\nCall-ID: probe\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n"
        );
        for _ in 0..100 {
            socket.send_to(options.as_bytes(), (proxy, PORT)).ok();
            if socket.recv(&mut [0; 2048]).is_ok() {
                return running;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("Kamailio does not answer: {}", fs::read_to_string(folder.join("log")).unwrap_or_default());
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // SIGTERM for `timeout`, which passes it on.
        Command::new("kill").arg(self.0.id().to_string()).status().ok();
        self.0.wait().ok();
    }
}

/// Kamailio before telephones that register with Milo: it says in each REGISTER that it is on their way (Path, RFC 3327), and lets calls
/// through to them by a Route that names it, and no others.
const EDGE: &str = r#"#!KAMAILIO
listen=udp:192.0.2.10:5060
#!define MILO "sip:192.0.2.20:5060"
children=2
disable_tcp=yes
log_stderror=yes
debug=1
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "path.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"

request_route {
    xlog("L_NOTICE", "$rm from $su, to tag $tt\n");
    if (is_method("OPTIONS") && uri == myself) {
        sl_send_reply("200", "OK");
        exit;
    }
    if (is_method("REGISTER")) {
        add_path();
        $du = MILO;
        t_relay();
        exit;
    }
    if (is_method("ACK") && t_check_trans()) {
        t_relay();
        exit;
    }
    if (!loose_route() && !loose_route_preloaded()) {
        if (!is_method("ACK")) sl_send_reply("403", "By No Route Of Mine");
        exit;
    }
    if (is_method("INVITE")) record_route();
    t_relay();
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_behind_a_proxy_is_called_and_texted_by_its_path() {
    let proxy = own_address();
    let files = folder("path-accounts");
    let accounts = crate::accounts::accounts(&files).to_string_lossy().into_owned();
    let plan = "[[plan]]\nname = 'desk'\nnumber = 'desk'\nlanguage = 'mg'\n\
                actions = [{ answer = {} }, { dial = { account = 'rina' } }]\n";
    let milo = crate::house::with_plans_and("path", plan, &[("MILO__SIP__ACCOUNTS", &accounts)]).await;
    let log = folder("kamailio-path");
    let kamailio = Kamailio::start_with(&log, proxy, EDGE, &[("sip:192.0.2.20:5060", &reached(&milo))]).await;
    let (telephone, mut calls) = crate::accounts::telephone();
    let by = format!("sip:{proxy}:{PORT};lr").parse().expect("an address");
    let registered = crate::accounts::registers_by(&telephone, &milo, ("rina", "secret"), Some(by)).await;
    assert_eq!(registered, (Standing::Registered, None));
    let shown = get(&milo, "/api/v1/registrations")["accounts"][0]["telephones"][0].clone();
    let path = shown["path"].as_array().expect("a path");
    assert!(
        path.len() == 1 && path[0].as_str().is_some_and(|path| path.contains(&format!("{proxy}:{PORT}"))),
        "{shown}"
    );
    assert_eq!(shown["source"], format!("{proxy}:{PORT}"), "{shown}");

    // It is called by way of the proxy, which stays on the way of all that is said.
    let (caller, _none) = crate::accounts::telephone();
    let target = milo.udp("desk").expect("an address");
    let mut outgoing = caller.call(&target, "0341234567").await.expect("a call");
    let ringing = async {
        let rung =
            tokio::time::timeout(Duration::from_secs(20), calls.next()).await.expect("it rings").expect("a call");
        rung.answer().await.expect("it answers")
    };
    let answered = async {
        loop {
            match outgoing.next().await {
                Progress::Answered(dialog, leg) => break (dialog, leg),
                Progress::Ringing(_) | Progress::Early(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let ((there, _far), (here, _near)) = tokio::join!(ringing, answered);
    here.hang_up().await.expect("the call is up");
    let row = newest_call(&milo).await;
    drop(there);
    assert_eq!(row["events"].as_array().expect("events").iter().filter(|event| event["kind"] == "dialled").count(), 1);
    for method in ["INVITE", "ACK", "BYE"] {
        assert_eq!(seen(&log, method, &reached(&milo)), 1, "{method} went by the proxy");
    }
    // A text as well; a telephone of this kind takes none.
    let text = serde_json::json!({ "account": "rina", "text": "Salama" });
    let sent = crate::house::send(&milo, ("POST", "/api/v1/messages"), &[], &text);
    assert_eq!(sent.status, 200, "{sent:?}");
    assert_eq!(seen(&log, "MESSAGE", &reached(&milo)), 1);
    assert_ne!(sent.body["sip_status"], 403, "the proxy lets it through: {sent:?}");
    drop(kamailio);
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

/// How often the proxy has seen this method from there.
fn seen(folder: &Path, method: &str, from: &str) -> usize {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    log.lines().filter(|line| line.contains(&format!("{method} from {from},"))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_both_ways_through_a_proxy_that_stays_on_their_way() {
    let proxy = own_address();
    let (near, far) = (milo("proxied", proxy).await, milo("proxied-far", proxy).await);
    // A telephone of the carrier's, whose calls come from where the proxy expects them.
    let log = folder("kamailio");
    let phone = Phone::at([127, 0, 0, 1].into(), Phone::usual_codecs(), Srtp::Off, None, Handle::current());
    let phone = phone.expect("a telephone");

    // From Milo: through the proxy to the carrier, which is another Milo.
    let kamailio = Kamailio::start(&log, proxy, &reached(&near), &reached(&far)).await;
    let heard = log.join("heard.wav");
    let out = near.udp("out").expect("an address");
    let asked = Errand { no_greeting: true, record: Some(heard.clone()), ..errand(out, &["mg_hours.wav"]) };
    phone.call(&asked).await.expect("the call is answered");
    let logged = newest_call(&near).await;
    let dialled = logged["events"].as_array().expect("events").iter().find(|event| event["kind"] == "dialled");
    assert_eq!(dialled.expect("a dialled event")["detail"]["result"], "answered", "{logged}");
    assert!(loud(&wav::read(&heard).expect("heard")) > 4_000, "the far side echoes");
    assert_eq!(newest_call(&far).await["hangup_by"], "caller");
    for method in ["INVITE", "ACK", "BYE"] {
        assert_eq!(seen(&log, method, &reached(&near)), 1, "{method} went by the proxy");
    }
    drop(kamailio);

    // From the carrier, whose place a telephone takes.
    let log = folder("kamailio-in");
    let kamailio = Kamailio::start(&log, proxy, &reached(&near), &format!("sip:{}", phone.udp().expect("bound"))).await;
    let target = |user: &str| -> Uri { format!("sip:{user}@{proxy}:{PORT}").parse().expect("an address") };
    phone.call(&errand(target("milo"), &["mg_hours.wav"])).await.expect("the call is answered");
    let logged = newest_call(&near).await;
    let turns = answered(&logged);
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    let ours = format!("sip:{}", phone.udp().expect("bound"));
    assert_eq!((seen(&log, "ACK", &ours), seen(&log, "BYE", &ours)), (1, 1), "what it says goes by the proxy");
    // And Milo's own BYE goes the same way.
    phone
        .call(&Errand { wait: true, no_greeting: true, ..errand(target("ends"), &[]) })
        .await
        .expect("the call is answered");
    assert_eq!(seen(&log, "BYE", &reached(&near)), 1);
    drop(kamailio);
    phone.shutdown().await;
    stop(near).await;
    stop(far).await;
}
