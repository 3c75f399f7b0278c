//! Texts (SIP MESSAGE): received and kept, forwarded to an account's telephones, sent by the API and by a plan, over real sockets.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    accounts::accounts,
    address::own_address,
    calling_out::{calling_with, event, trunk_to},
    house::{
        Answer, PROGRAM, errand, events, folder, get, in_a_namespace, metrics, newest_call, send, stop, with_plans,
    },
};
use milo::{bench::Running, phone::Errand};
use serde_json::{Value, json};
use tokio::time::sleep;

/// Where a Milo listens for SIP over UDP.
fn at(milo: &Running) -> String {
    let uri = milo.udp("milo").expect("an address").to_string();
    uri.split(['@', ';']).nth(1).expect("an address").to_owned()
}

/// A telephone that speaks text.
struct Wire(UdpSocket);

impl Wire {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        Self(socket)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Sends a MESSAGE, and gives the answer.
    fn text(&self, milo: &Running, to: &str, (kind, body): (&str, &str)) -> String {
        let (port, branch) = (self.port(), format!("{to}{}", body.len()));
        let request = format!(
            "MESSAGE sip:{to}@{at} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:0341234567@127.0.0.1>;tag=1\r\nTo: <sip:{to}@{at}>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 MESSAGE\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len(),
            at = at(milo),
        );
        self.0.send_to(request.as_bytes(), at(milo)).expect("it is sent");
        self.hear().0
    }

    /// The next message, and who sent it.
    fn hear(&self) -> (String, std::net::SocketAddr) {
        let mut bytes = [0; 16_384];
        let (length, from) = self.0.recv_from(&mut bytes).expect("a message");
        (String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned(), from)
    }

    /// Answers the next request with this status.
    fn answer(&self, status: &str, more: &str) -> String {
        let (request, from) = self.hear();
        let fields = request
            .split("\r\n")
            .filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)));
        let fields: String = fields.map(|line| format!("{line}\r\n")).collect();
        let to = request.split("\r\n").find(|line| line.starts_with("To:")).expect("a To");
        let answer = format!("SIP/2.0 {status}\r\n{fields}{to};tag=wire\r\n{more}Content-Length: 0\r\n\r\n");
        self.0.send_to(answer.as_bytes(), from).expect("it is sent");
        request
    }
}

/// Waits until a text is so.
async fn until(milo: &Running, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut shown = Value::Null;
    for _ in 0..200 {
        shown = get(milo, "/api/v1/messages");
        if let Some(found) = shown["messages"].as_array().expect("messages").iter().find(|message| is_so(message)) {
            return found.clone();
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("no message was so within twenty seconds: {shown}");
}

fn order(milo: &Running, message: &Value) -> Answer {
    send(milo, ("POST", "/api/v1/messages"), &[], message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_taken_and_kept_and_what_is_none_is_refused() {
    let milo = with_plans("texts-in", "").await;
    let wire = Wire::new();
    let answer = wire.text(&milo, "milo", ("text/plain;charset=UTF-8", "Salama é"));
    assert!(answer.starts_with("SIP/2.0 200") && !answer.contains("Contact:"), "{answer}");
    let kept = until(&milo, |message| message["text"] == "Salama é").await;
    assert_eq!(
        (&kept["from"], &kept["to"], &kept["direction"], &kept["result"]),
        (&"0341234567".into(), &"milo".into(), &"in".into(), &"received".into())
    );
    let one = get(&milo, &format!("/api/v1/messages/{}", kept["id"].as_str().expect("an identifier")));
    assert_eq!(one, kept);
    let html = wire.text(&milo, "milo", ("text/html", "<b>Salama</b>"));
    assert!(html.starts_with("SIP/2.0 415") && html.contains("Accept: text/plain"), "{html}");
    assert!(wire.text(&milo, "milo", ("text/plain", &"x".repeat(8_193))).starts_with("SIP/2.0 413"));
    for word in ["roa", "telo"] {
        assert!(wire.text(&milo, word, ("text/plain", word)).starts_with("SIP/2.0 200"));
        until(&milo, |message| message["text"] == word).await;
    }
    // Page by page, the newest first.
    let first = get(&milo, "/api/v1/messages?limit=2");
    let second = get(&milo, &format!("/api/v1/messages?limit=2&cursor={}", first["next"].as_str().expect("a cursor")));
    let texts = |page: &Value| {
        let messages = page["messages"].as_array().expect("messages").iter();
        messages.map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((texts(&first), texts(&second)), (vec!["telo".into(), "roa".into()], vec!["Salama é".to_owned()]));
    assert!(second["next"].is_null());
    let counted = metrics(&milo);
    assert!(counted.contains("milo_messages_total{direction=\"in\",result=\"received\"} 3"), "{counted}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_for_an_account_goes_on_to_its_telephone_and_a_strangers_goes_nowhere() {
    let files = folder("texts-account");
    let file = accounts(&files).to_string_lossy().into_owned();
    let milo = calling_with(
        "texts-account",
        "",
        "[]",
        &[("MILO__SIP__ACCOUNTS", file.as_str()), ("MILO__SIP__DIGEST", "[\"MD5\"]")],
    )
    .await;
    let wire = Wire::new();
    let absent = wire.text(&milo, "rina", ("text/plain", "Any ve ianao?"));
    assert!(absent.starts_with("SIP/2.0 480"), "nobody is registered: {absent}");
    let nobody = order(&milo, &json!({ "account": "rina", "text": "Any ve ianao?" }));
    assert_eq!((nobody.status, &nobody.body["result"]), (200, &"not registered".into()), "{nobody:?}");

    // baresip takes the texts that come to it.
    let telephone = own_address();
    let config = format!(
        "sip_listen {telephone}:5070\nmodule_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aubridge.so\n\
         audio_source aubridge,loop\naudio_player aubridge,loop\nmodule_app account.so\nmodule_app menu.so\n"
    );
    fs::write(files.join("config"), config).expect("a configuration");
    let account = format!("<sip:rina@{}>;auth_user=rina;auth_pass=secret;regint=60;answermode=auto\n", at(&milo));
    fs::write(files.join("accounts"), account).expect("an account");
    let shown = fs::File::create(files.join("shown")).expect("a file");
    let errors = shown.try_clone().expect("a file");
    let mut baresip = Command::new("baresip");
    baresip.arg("-s").arg("-f").arg::<&Path>(&files).stdin(Stdio::null()).stdout(shown).stderr(errors);
    let _baresip = Killed(baresip.spawn().expect("baresip"));
    for n in 0.. {
        let accounts = get(&milo, "/api/v1/registrations")["accounts"].clone();
        if accounts[0]["telephones"].as_array().is_some_and(|all| all.len() == 1) {
            break;
        }
        assert!(n < 200, "baresip never registers: {accounts}");
        sleep(Duration::from_millis(100)).await;
    }
    let taken = wire.text(&milo, "rina", ("text/plain", "Tongava rahampitso"));
    assert!(taken.starts_with("SIP/2.0 202"), "{taken}");
    let kept = until(&milo, |message| message["text"] == "Tongava rahampitso" && !message["result"].is_null()).await;
    assert_eq!(
        (&kept["result"], &kept["account"], &kept["sip_status"]),
        (&"delivered".into(), &"rina".into(), &200.into())
    );
    let ordered = order(&milo, &json!({ "account": "rina", "text": "Misaotra" }));
    assert_eq!((ordered.status, &ordered.body["result"]), (200, &"delivered".into()), "{ordered:?}");
    // What came is in its trace of SIP.
    let seen = || fs::read_to_string(files.join("shown")).unwrap_or_default();
    for _ in 0..50 {
        if seen().contains("Misaotra") {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(seen().contains("Tongava rahampitso") && seen().contains("Misaotra"), "what baresip saw: {}", seen());
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

/// A program that is killed when this is dropped.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What becomes of a call that Milo places, and plans that send texts.
const PLANS: &str = "
[[plan]]
name = 'outgoing'
language = 'mg'
actions = [{ answer = {} }, { hangup = {} }]

[[plan]]
name = 'telling'
number = 'telling'
language = 'mg'
actions = [
  { answer = {} },
  { message = { to = '034111', trunk = 'carrier', text = '{{caller}} dia niantso' } },
  { message = { to = '0349', trunk = 'carrier', text = 'tsy mety' } },
]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_sent_over_a_trunk_that_asks_for_credentials_and_the_plan_sends_one() {
    let wire = Wire::new();
    let gateway = format!(
        "[{{ name = 'carrier', gateway = 'sip:127.0.0.1:{}', username = '201', password = 'secret', deny = ['0349'] }}]",
        wire.port()
    );
    let emergency = [("MILO__SIP__EMERGENCY", "[\"117\"]")];
    let milo = calling_with("texts-out", PLANS, &gateway, &emergency).await;
    let wanted = json!({ "to": "0341234567", "text": "Salama é", "trunk": "carrier" });
    let (answer, (first, second)) = std::thread::scope(|scope| {
        let carrier = scope.spawn(|| {
            let challenge = "Proxy-Authenticate: Digest realm=\"c\", nonce=\"n\", algorithm=MD5\r\n";
            (wire.answer("407 Proxy Authentication Required", challenge), wire.answer("202 Accepted", ""))
        });
        (order(&milo, &wanted), carrier.join().expect("a carrier"))
    });
    assert_eq!(
        (answer.status, &answer.body["result"], &answer.body["sip_status"]),
        (200, &"delivered".into(), &202.into()),
        "{answer:?}"
    );
    assert!(first.starts_with("MESSAGE sip:0341234567@127.0.0.1") && first.ends_with("Salama é"), "{first}");
    assert!(second.contains("Proxy-Authorization: Digest username=\"201\""), "{second}");
    let location = answer.header("location").expect("a location").to_owned();
    let row = get(&milo, &location);
    assert_eq!(
        (&row["direction"], &row["from"], &row["to"], &row["trunk"]),
        (&"out".into(), &"201".into(), &"0341234567".into(), &"carrier".into()),
        "{row}"
    );
    let refused = std::thread::scope(|scope| {
        scope.spawn(|| wire.answer("404 Not Found", ""));
        order(&milo, &wanted)
    });
    assert_eq!((&refused.body["result"], &refused.body["sip_status"]), (&"refused".into(), &404.into()), "{refused:?}");
    // What may not be called is not texted.
    for (wanted, status, says) in [
        (json!({ "to": "03491", "text": "x" }), 403, "allow and deny"),
        (json!({ "to": "117", "text": "x" }), 403, "emergency"),
        (json!({ "to": "034", "text": "x", "from": "0209" }), 422, "caller_ids"),
        (json!({ "to": format!("sip:03491@127.0.0.1:{}", wire.port()), "text": "x" }), 403, "allow and deny"),
        (
            json!({ "to": format!("sip:034@127.0.0.1:{}", wire.port()), "text": "x", "trunk": "carrier" }),
            422,
            "leads to",
        ),
        (json!({ "to": "034", "text": "" }), 422, "1 to 8192 bytes"),
        (json!({ "to": "034", "text": "é".repeat(4_097) }), 422, "1 to 8192 bytes"),
        (json!({ "account": "nobody", "text": "x" }), 422, "no account"),
    ] {
        let refused = order(&milo, &wanted);
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(refused.status == status && detail.contains(says), "{wanted}: {refused:?}");
    }
    let counted = get(&milo, "/api/v1/trunks")["trunks"][0]["calls_today"].clone();
    assert_eq!(counted, 2, "a text counts as a call of the day");

    let sent = {
        let target = milo.udp("telling").expect("an address");
        let carrier = tokio::task::spawn_blocking(move || wire.answer("200 OK", ""));
        crate::house::call(&Errand { wait: true, no_greeting: true, ..errand(target, &[]) }).await;
        carrier.await.expect("a carrier")
    };
    assert!(sent.starts_with("MESSAGE sip:034111@") && sent.ends_with("telephone dia niantso"), "{sent}");
    let row = newest_call(&milo).await;
    let told = event(&row, "message_sent");
    assert_eq!(
        (&told["result"], &told["status"], &told["trunk"]),
        (&"delivered".into(), &200.into(), &"carrier".into())
    );
    let failed = event(&row, "verb_failed");
    assert!(failed["why"].as_str().is_some_and(|why| why.contains("allow and deny")), "{row}");
    let kept = get(&milo, &format!("/api/v1/messages/{}", told["id"].as_str().expect("an identifier")));
    assert_eq!(kept["call"], row["id"], "{kept}");
    stop(milo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_within_a_call_stands_in_its_events() {
    let milo = with_plans("texts-within", "").await;
    let files = folder("texts-within-files");
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp/texting.xml");
    let sipp = Command::new("timeout")
        .args(["30", "sipp", "-sf"])
        .arg(scenario)
        .args([at(&milo).as_str(), "-s", "milo", "-i", &own_address().to_string(), "-m", "1", "-nostdin"])
        .args(["-trace_err", "-trace_msg", "-message_file", "messages"])
        .current_dir(&files)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("sipp");
    assert!(sipp.success(), "{}", fs::read_to_string(files.join("messages")).unwrap_or_default());
    let row = newest_call(&milo).await;
    let texts = events(&row, "message");
    assert_eq!(texts, [&json!({ "from": "caller", "text": "Avy aiza ianao?" })], "{row}");
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

#[test]
fn a_strangers_text_is_refused_as_its_call_would_be() {
    let folder = folder("texts-stranger");
    let file = accounts(&folder);
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp/text.xml");
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.66/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060
         export MILO__SIP__ACCOUNTS={accounts}
         timeout 60 {PROGRAM} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         timeout 20 sipp 192.0.2.1:5060 -i 192.0.2.66 -p 5070 -m 1 -nostdin -s milo -sf {scenario} -trace_msg \\
           -message_file messages >/dev/null 2>&1 || true
         curl --silent http://127.0.0.1:8000/api/v1/messages > rows
         kill $milo; wait $milo || true",
        accounts = file.display(),
        scenario = scenario.display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let messages = read("messages");
    assert!(messages.contains("SIP/2.0 403") && !messages.contains("SIP/2.0 20"), "{messages}{}", read("err"));
    let rows: Value = serde_json::from_str(&read("rows")).expect("JSON");
    assert_eq!(rows, json!({ "messages": [], "next": null }));
    fs::remove_dir_all(folder).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn milo_texts_milo() {
    let far = with_plans("texts-far", "").await;
    let trunk = trunk_to(&far, "far", "caller_id = '0200000001'");
    let near = calling_with("texts-near", PLANS.replace("carrier", "far").as_str(), &format!("[{trunk}]"), &[]).await;
    let sent = order(&near, &json!({ "to": "0341", "text": "Veloma" }));
    assert_eq!((sent.status, &sent.body["result"], &sent.body["trunk"]), (200, &"delivered".into(), &"far".into()));
    let came = until(&far, |message| message["text"] == "Veloma").await;
    assert_eq!((&came["from"], &came["to"]), (&"0200000001".into(), &"0341".into()), "{came}");
    stop(near).await;
    stop(far).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_that_does_not_answer_holds_up_nobody_elses_texts() {
    let milo = std::sync::Arc::new(with_plans("texts-dead", "").await);
    let (dead, alive) = (Wire::new(), Wire::new());
    let to = |wire: &Wire| format!("sip:rina@127.0.0.1:{}", wire.port());
    alive.0.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    // More than may be on their way to one destination and wait for it, to one that says nothing.
    let lost = to(&dead);
    let many: Vec<_> = (0..80)
        .map(|number| {
            let (milo, lost) = (std::sync::Arc::clone(&milo), lost.clone());
            tokio::task::spawn_blocking(move || order(&milo, &json!({ "to": lost, "text": format!("{number}") })))
        })
        .collect();
    let mut given_up = Value::Null;
    for _ in 0..300 {
        given_up = get(&milo, "/api/v1/messages?limit=100");
        if given_up["messages"].as_array().is_some_and(|all| all.iter().any(|one| one["result"] == "too many")) {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let sent = {
        let (milo, to) = (std::sync::Arc::clone(&milo), to(&alive));
        tokio::task::spawn_blocking(move || order(&milo, &json!({ "to": to, "text": "Salama" })))
    };
    alive.answer("200 OK", "");
    let sent = sent.await.expect("an answer");
    assert_eq!((sent.status, &sent.body["result"]), (200, &"delivered".into()), "{sent:?}");
    let given_up = given_up["messages"].as_array().expect("messages").iter().any(|one| one["result"] == "too many");
    assert!(given_up, "of very many the newest are given up");
    for one in many {
        let answer = one.await.expect("an answer");
        assert!([200, 202, 503].contains(&answer.status), "{answer:?}");
    }
    let milo = std::sync::Arc::into_inner(milo).expect("nobody else has it");
    stop(milo).await;
}
