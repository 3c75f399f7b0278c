//! A trunk that Milo registers with, played by sipp: it asks for credentials, calls Milo back, and is called out through.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::address::own_address;
use crate::house::{errand, folder, get, loud, milo, newest_call, recording, stop};
use milo::{
    bench::Running,
    phone::{Errand, Phone},
};
use milo_media::wav;
use serde_json::Value;
use tokio::{runtime::Handle, time::sleep};

/// The carrier's port at an address of its own.
const PORT: &str = "5070";

const PLANS: &str = "
[[plan]]
name = 'milo'
number = 'milo'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]

[[plan]]
name = 'called back'
number = '201'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]

[[plan]]
name = 'out'
number = 'out'
language = 'mg'
actions = [{ answer = {} }, { dial = { to = '0341234567', trunk = 'carrier' } }]
";

/// sipp at the carrier's address; its messages go to `name.log`.
fn sipp(folder: &Path, name: &str, carrier: &str, arguments: &[&str]) -> Child {
    Command::new("timeout")
        .args(["60", "sipp", "-i", carrier, "-mi", carrier, "-nostdin", "-m", "1", "-trace_err", "-trace_msg"])
        .args(["-message_file", &format!("{name}.log")])
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sipp")
}

fn scenario(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp").join(name);
    path.to_string_lossy().into_owned()
}

/// It ended, and all that it wanted came.
fn ended_well(mut sipp: Child, folder: &Path, name: &str) {
    let status = sipp.wait().expect("sipp ends");
    let log = fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
    assert!(status.success(), "{name}: {status}\n{log}");
}

fn trunk(milo: &Running) -> Value {
    get(milo, "/api/v1/trunks")["trunks"][0].clone()
}

/// Waits until the trunk is so.
async fn becomes(milo: &Running, state: &str, granted_s: Value) -> Value {
    for _ in 0..100 {
        let trunk = trunk(milo);
        if trunk["state"] == state && trunk["granted_s"] == granted_s {
            return trunk;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the trunk never was {state} for {granted_s}: {}", trunk(milo));
}

/// A Milo with a trunk at the carrier: these are its settings.
async fn with_trunk(name: &str, settings: &str) -> Running {
    let plans = folder(&format!("{name}-plans"));
    fs::write(plans.join("plans.toml"), PLANS).expect("a temporary folder");
    let trunk = format!("[{{ name = \"carrier\", username = \"201\", {settings} }}]");
    let plans = plans.to_string_lossy().into_owned();
    milo(name, &[("MILO__DIALPLANS__PATH", plans.as_str()), ("MILO__SIP__TRUNKS", &trunk), ("LOG_LEVEL", "info")]).await
}

/// The value of a parameter of an Authorization.
fn parameter<'a>(value: &'a str, name: &str) -> &'a str {
    let rest = value.split(&format!("{name}=")).nth(1).unwrap_or_else(|| panic!("no {name} in {value}"));
    rest.trim_start_matches('"').split(['"', ',', '\r']).next().unwrap_or_default()
}

/// SHA-256 by coreutils.
fn sha256(text: &str) -> String {
    let output =
        Command::new("sh").args(["-c", "printf %s \"$1\" | sha256sum", "-", text]).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn milo_registers_over_udp_is_called_back_and_leaves() {
    registers("u1", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn milo_registers_over_tcp_is_called_back_and_leaves() {
    registers("t1", ";transport=tcp").await;
}

async fn registers(transport: &str, parameter_of_uri: &str) {
    let carrier = folder("registrar");
    let at = own_address().to_string();
    let sf = scenario("registrar.xml");
    let registrar = sipp(&carrier, "registrar", &at, &["-sf", &sf, "-t", transport, "-p", PORT]);
    fs::write(carrier.join("password"), "secret\n").expect("a temporary folder");
    let settings = format!(
        "register = true, registrar = \"sip:{at}:{PORT}{parameter_of_uri}\", password_file = \"{}\", realm = \"carrier\", recording = true",
        carrier.join("password").display()
    );
    let milo = with_trunk("registers", &settings).await;
    // First for two seconds, then, refreshed by itself, for longer.
    let known = becomes(&milo, "registered", 600.into()).await;
    assert_eq!(known["registrar_address"], format!("{at}:{PORT}"));
    let shown = get(&milo, "/api/v1/trunks").to_string();
    assert!(!shown.contains("secret"), "{shown}");

    // The second answer, by SHA-256, calculated anew.
    let log = fs::read_to_string(carrier.join("registrar.log")).expect("what sipp saw");
    let strong =
        log.lines().find(|line| line.contains("nonce=\"strong\"") && line.contains("username=")).expect("an answer");
    let (uri, cnonce) = (format!("sip:{at}:{PORT}"), parameter(strong, "cnonce"));
    assert_eq!((parameter(strong, "uri"), parameter(strong, "algorithm")), (uri.as_str(), "SHA-256"));
    let (secret, what) = (sha256("201:carrier:secret"), sha256(&format!("REGISTER:{uri}")));
    let right = sha256(&format!("{secret}:strong:00000001:{cnonce}:auth:{what}"));
    assert_eq!(parameter(strong, "response"), right, "{strong}");

    // A call from there is the trunk's.
    let target = milo.udp("201").expect("an address").to_string();
    let target = target.split(['@', ';']).nth(1).expect("an address");
    ended_well(sipp(&carrier, "caller", &at, &["-sn", "uac", "-s", "201", "-d", "500", target]), &carrier, "caller");
    let call = newest_call(&milo).await;
    assert_eq!((&call["to"], call["recording"].is_string()), (&"201".into(), true), "{call}");
    assert_eq!(trunk(&milo)["calls_in"], 1);
    let figures = crate::house::metrics(&milo);
    assert!(figures.contains("milo_trunk_registered{trunk=\"carrier\"} 1"), "{figures}");
    assert!(figures.contains("milo_trunk_calls_total{direction=\"in\",trunk=\"carrier\"} 1"), "{figures}");
    stop(milo).await;
    ended_well(registrar, &carrier, "registrar");
    fs::remove_dir_all(carrier).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_out_is_asked_for_credentials() {
    let carrier = folder("gateway");
    let at = own_address().to_string();
    let sf = scenario("gateway.xml");
    let gateway = sipp(&carrier, "gateway", &at, &["-sf", &sf, "-p", PORT, "-rtp_echo"]);
    let settings =
        format!("gateway = \"sip:{at}:{PORT}\", password = \"secret\", caller_id = \"0209876543\", max_calls = 1");
    let milo = with_trunk("calls-out", &settings).await;
    let target = milo.udp("out").expect("an address");
    let phone = Phone::new(&target, None, Handle::current()).expect("a telephone");
    let heard: PathBuf = carrier.join("heard.wav");
    let errand = Errand { no_greeting: true, record: Some(heard.clone()), ..errand(target.clone(), &["mg_hours.wav"]) };
    phone.call(&errand).await.expect("the call is answered");
    let call = newest_call(&milo).await;
    let dialled = call["events"].as_array().expect("events").iter().find(|event| event["kind"] == "dialled");
    assert_eq!(dialled.map(|event| &event["detail"]["result"]), Some(&"answered".into()), "{call}");
    let said = loud(&wav::read(&recording("mg_hours.wav")).expect("the recording"));
    let echoed = loud(&wav::read(&heard).expect("what was heard"));
    assert!(echoed > said / 2, "the carrier's echo is heard: {echoed} loud samples of {said}");
    ended_well(gateway, &carrier, "gateway");
    let trunk = trunk(&milo);
    assert_eq!(
        (&trunk["calls_out"], &trunk["calls_live"], &trunk["state"]),
        (&1.into(), &0.into(), &"by address".into())
    );
    stop(milo).await;
    fs::remove_dir_all(carrier).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registrar_that_is_not_there_is_told_of_and_holds_nothing_up() {
    let at = own_address();
    let settings = format!("register = true, registrar = \"sip:{at}:{PORT};transport=tcp\", password = \"secret\"");
    let milo = with_trunk("nowhere", &settings).await;
    let failed = becomes(&milo, "failed", Value::Null).await;
    assert!(failed["last_error"].is_string(), "{failed}");
    let health = get(&milo, "/api/v1/health");
    assert!(health["degraded"][0].as_str().is_some_and(|why| why.contains("carrier")), "{health}");
    let target = milo.udp("milo").expect("an address");
    // Calls are taken all the same.
    crate::house::call(&Errand { no_greeting: true, ..errand(target, &["mg_hours.wav"]) }).await;
    stop(milo).await;
}
