//! Telephones that register with Milo: baresip, sipp, and the telephone of our own; who is let in, who is called, who may call.

use std::{
    fs,
    io::Write,
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::house::{
    PROGRAM, call, errand, events, folder, get, in_a_namespace, loud, metric, newest_call, recording, stop, until,
    with_plans_and,
};
use milo::{bench::Running, phone::Errand};
use milo_media::{PortPool, wav};
use milo_signaling::{Account, Credentials, Endpoint, EndpointConfig, Invitations, Progress, Standing, Uri, User};
use serde_json::Value;
use tokio::{runtime::Handle, time::sleep};

const PLANS: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [{ answer = {} }, { dial = { account = 'rina' } }]

[[plan]]
name = 'reach'
number = 'reach'
language = 'mg'
actions = [{ answer = {} }, { transfer = { account = 'rina' } }]

[[plan]]
name = 'line'
number = 'line'
language = 'mg'
actions = [{ answer = {} }, { queue = { name = 'line', accounts = ['rina'], rest_seconds = 1 } }, { send_digits = { digits = '7' } }]

[[plan]]
name = 'echo'
number = 'echo'
language = 'mg'
actions = [{ answer = {} }, { echo = {} }]
";

/// The file of accounts: `rina`, whose password is `secret`, as the command makes it.
pub(crate) fn accounts(folder: &Path) -> PathBuf {
    let mut making = crate::house::alone(PROGRAM, folder);
    let mut making = making.args(["sip", "account", "rina"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let making = making.as_mut().expect("milo");
    making.stdin.take().expect("its input").write_all(b"secret\n").expect("a password is read");
    let mut line = String::new();
    std::io::Read::read_to_string(making.stdout.as_mut().expect("its output"), &mut line).expect("a line");
    assert!(making.wait().expect("milo ends").success() && line.starts_with("rina:milo:"), "{line}");
    assert!(!line.contains("secret"), "{line}");
    let file = folder.join("milo-accounts");
    fs::write(&file, line).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a file of ours");
    file
}

/// A Milo with that account.
async fn with_accounts(name: &str, variables: &[(&str, &str)]) -> (Running, PathBuf) {
    let files = folder(&format!("{name}-files"));
    let file = accounts(&files).to_string_lossy().into_owned();
    let milo = with_plans_and(name, PLANS, &[&[("MILO__SIP__ACCOUNTS", file.as_str())], variables].concat()).await;
    (milo, files)
}

fn at(milo: &Running) -> String {
    let uri = milo.udp("milo").expect("an address").to_string();
    uri.split(['@', ';']).nth(1).expect("an address").to_owned()
}

/// Waits until so many telephones of the account are registered.
pub(super) async fn registered(milo: &Running, telephones: usize) -> Value {
    let mut shown = Value::Null;
    for _ in 0..200 {
        shown = get(milo, "/api/v1/registrations")["accounts"][0].clone();
        if shown["telephones"].as_array().is_some_and(|all| all.len() == telephones) {
            return shown;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("there never were {telephones} telephones: {shown}");
}

/// A telephone of our own.
pub(super) fn telephone() -> (Endpoint, Invitations) {
    let config = EndpointConfig { udp: vec!["127.0.0.1:0".parse().expect("an address")], ..EndpointConfig::default() };
    let ports = PortPool::new("127.0.0.1".parse().expect("an address"), 0..=0);
    Endpoint::bind(config, Arc::new(ports), Handle::current()).expect("a telephone")
}

/// How its registration goes.
async fn registers(telephone: &Endpoint, milo: &Running, name: &str, password: &str) -> (Standing, Option<String>) {
    registers_by(telephone, milo, (name, password), None).await
}

/// The same by way of this proxy.
pub(super) async fn registers_by(
    telephone: &Endpoint,
    milo: &Running,
    (name, password): (&str, &str),
    proxy: Option<Uri>,
) -> (Standing, Option<String>) {
    let account = Account {
        name: name.into(),
        registrar: format!("sip:{}", at(milo)).parse().expect("an address"),
        user: name.into(),
        proxy,
        credentials: Credentials { username: name.into(), password: password.into(), realm: None },
        expires: Duration::from_secs(600),
        codecs: None,
        trust: None,
    };
    let mut state = telephone.register(account).await.expect("a registration");
    let settled = state.wait_for(|state| state.standing != Standing::Registering).await.expect("it goes on");
    (settled.standing, settled.fault.clone())
}

/// A program that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_registers_is_called_by_its_account_and_lapses_when_it_is_gone() {
    // Debian's baresip takes no challenge at all where SHA-256 is among them.
    let settings = [("MILO__SIP__DIGEST", "[\"MD5\"]"), ("MILO__SIP__REGISTER_MIN_S", "2")];
    let (milo, files) = with_accounts("account-baresip", &settings).await;
    assert_eq!(get(&milo, "/api/v1/registrations")["accounts"][0]["account"], "rina");
    fs::create_dir(files.join("heard")).expect("a folder");
    let said = wav::read(&recording("mg_hours.wav")).expect("the recording");
    let narrow = milo_media::resample::resample(&said.repeat(4), 16_000, 8_000);
    crate::other_telephones::write_narrow_as_is(&files.join("say.wav"), &narrow);
    let config = format!(
        "sip_listen 127.0.0.1:0\naudio_source aufile,{folder}/say.wav\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aufile.so\nmodule sndfile.so\nsnd_path {folder}/heard\n\
         module_app account.so\nmodule_app menu.so\n",
        folder = files.display()
    );
    fs::write(files.join("config"), config).expect("a configuration");
    let account = format!(
        "<sip:rina@{}>;auth_user=rina;auth_pass=secret;regint=15;answermode=auto;audio_codecs=PCMU\n",
        at(&milo)
    );
    let baresip = |account: &str| {
        fs::write(files.join("accounts"), account).expect("an account");
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&files).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Killed(command.spawn().expect("baresip"))
    };
    let phone = baresip(&account);
    let shown = registered(&milo, 1).await;
    assert_eq!(shown["telephones"][0]["transport"], "udp", "{shown}");
    assert!(shown["telephones"][0]["user_agent"].as_str().is_some_and(|agent| agent.contains("baresip")), "{shown}");
    assert_eq!(metric(&milo, "milo_sip_registrations").await as u64, 1);

    for number in ["desk", "reach"] {
        let heard = files.join(format!("{number}.wav"));
        let target = milo.udp(number).expect("an address");
        call(&Errand { no_greeting: true, record: Some(heard.clone()), ..errand(target, &["mg_hours.wav"]) }).await;
        let row = newest_call(&milo).await;
        assert_eq!(events(&row, "dialled")[0]["result"], "answered", "{row}");
        let heard = loud(&wav::read(&heard).expect("what was heard"));
        assert!(heard > 8_000, "the caller hears {heard} loud samples of baresip");
        let ladder = get(&milo, &format!("/api/v1/calls/{}/sip", row["id"].as_str().expect("an identifier")));
        assert!(ladder["messages"].as_array().expect("messages").iter().any(|one| one["leg"] == "called"), "{ladder}");
    }
    let dumps = fs::read_dir(files.join("heard")).expect("the folder").filter_map(|entry| Some(entry.ok()?.path()));
    let dumps: Vec<_> = dumps.filter(|path| path.to_string_lossy().ends_with("-dec.wav")).collect();
    assert!(dumps.iter().any(|dump| loud(&wav::read(dump).expect("a WAV file")) > 8_000), "baresip hears: {dumps:?}");

    // Killed, it cannot say that it goes.
    drop(phone);
    registered(&milo, 0).await;
    let target = milo.udp("desk").expect("an address");
    call(&Errand { no_greeting: true, ..errand(target, &["mg_hours.wav"]) }).await;
    let row = newest_call(&milo).await;
    assert_eq!(events(&row, "dialled")[0]["result"], "not registered", "{row}");

    // With a wrong password it never gets in.
    let wrong = metric(&milo, "milo_sip_wrong_answers_total").await;
    let phone = baresip(&account.replace("secret", "guess"));
    for _ in 0..200 {
        if metric(&milo, "milo_sip_wrong_answers_total").await > wrong {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(metric(&milo, "milo_sip_wrong_answers_total").await > wrong, "it has tried");
    registered(&milo, 0).await;
    drop(phone);
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_telephones_of_an_account_ring_and_the_first_that_answers_has_the_call() {
    let (milo, files) = with_accounts("account-fork", &[]).await;
    let ((one, mut calls_of_one), (other, mut calls_of_other)) = (telephone(), telephone());
    for telephone in [&one, &other] {
        assert_eq!(registers(telephone, &milo, "rina", "secret").await, (Standing::Registered, None));
    }
    registered(&milo, 2).await;
    let target = milo.udp("desk").expect("an address");
    let (caller, _invitations) = telephone();
    let mut outgoing = caller.call(&target, "0341234567").await.expect("a call");
    let (dialog, _leg) = loop {
        match outgoing.next().await {
            Progress::Answered(dialog, leg) => break (dialog, leg),
            Progress::Ringing(_) | Progress::Early(_) => {}
            other => panic!("{other:?}"),
        }
    };
    let both = async { tokio::join!(calls_of_one.next(), calls_of_other.next()) };
    let ringing = tokio::time::timeout(Duration::from_secs(20), both).await;
    let (first, second) = ringing.expect("both ring");
    let (mut first, second) = (first.expect("one rings"), second.expect("the other rings"));
    assert_eq!((first.from_number(), second.account()), ("0341234567", None), "the caller's number is shown");
    first.ring().await.expect("it rings");
    let (answered, _far) = second.answer().await.expect("it answers");
    tokio::time::timeout(Duration::from_secs(10), first.cancelled()).await.expect("the other is cancelled");
    dialog.hang_up().await.expect("the call is up");
    drop(answered);
    let row = newest_call(&milo).await;
    assert_eq!(events(&row, "dialled")[0]["result"], "answered", "{row}");

    // They leave.
    one.unregister().await;
    other.unregister().await;
    registered(&milo, 0).await;
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_read_anew_and_one_that_is_wrong_changes_nothing() {
    let limits = ("MILO__SIP__ACCOUNT_LIMITS", "[{ account = \"*\", max_calls = 3 }]");
    let (milo, files) = with_accounts("account-reload", &[limits]).await;
    let file = files.join("milo-accounts");
    let rina = fs::read_to_string(&file).expect("the file");
    let lala = User::new("lala", "milo", "hers").line("milo");
    let ((one, _calls), (other, _other_calls)) = (telephone(), telephone());
    assert_eq!(registers(&one, &milo, "rina", "secret").await, (Standing::Registered, None));
    let accounts = |milo: &Running| {
        let shown = get(milo, "/api/v1/registrations");
        let all = shown["accounts"].as_array().expect("accounts").clone();
        all.iter().map(|one| one["account"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    let becomes = async |what: &str, is_so: &dyn Fn() -> bool| {
        for _ in 0..200 {
            if is_so() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("it never became so: {what}");
    };
    fs::write(&file, format!("{rina}{lala}\n")).expect("a file of ours");
    becomes("there is another account", &|| accounts(&milo) == ["lala", "rina"]).await;
    assert_eq!(registers(&other, &milo, "lala", "hers").await, (Standing::Registered, None));
    let lala_may = get(&milo, "/api/v1/registrations")["accounts"][0]["limits"]["max_calls"].clone();
    assert_eq!(lala_may, 3, "whoever is new has the limits of everybody");

    // A line that is wrong: those of before stay, and everybody can see why.
    fs::write(&file, format!("{lala}\nrina:secret\n")).expect("a file of ours");
    let degraded = || get(&milo, "/api/v1/health")["degraded"].to_string();
    becomes("the fault is seen", &|| degraded().contains("line 2")).await;
    assert!(!degraded().contains("secret") && accounts(&milo) == ["lala", "rina"], "{}", degraded());
    registered_as(&milo, "rina", 1).await;

    fs::write(&file, format!("{lala}\n")).expect("a file of ours");
    becomes("one account is gone", &|| accounts(&milo) == ["lala"]).await;
    assert!(!degraded().contains("accounts"), "{}", degraded());
    registered_as(&milo, "lala", 1).await;
    assert_eq!(metric(&milo, "milo_sip_registrations").await as u64, 1, "and its telephone with it");
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_rung_for_a_line_as_soon_as_it_is_there() {
    let (milo, files) = with_accounts("account-line", &[]).await;
    let errand = Errand { wait: true, no_greeting: true, ..errand(milo.udp("line").expect("an address"), &[]) };
    let waiting = tokio::spawn(async move { call(&errand).await });
    let mut id = Value::Null;
    for _ in 0..100 {
        id = get(&milo, "/api/v1/calls")["calls"][0]["id"].clone();
        if id.is_string() {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    // Nobody was there when they were looked for first.
    until(&milo, &id, "looked for", |row| !events(row, "agent").is_empty()).await;
    let (desk, mut calls) = telephone();
    assert_eq!(registers(&desk, &milo, "rina", "secret").await, (Standing::Registered, None));
    let rung = tokio::time::timeout(Duration::from_secs(15), calls.next()).await.expect("it rings").expect("a call");
    let (dialog, _leg) = rung.answer().await.expect("it answers");
    sleep(Duration::from_secs(1)).await;
    dialog.hang_up().await.expect("the call is up");
    assert_eq!(waiting.await.expect("a call").keys, "7");
    let row = newest_call(&milo).await;
    assert_eq!(events(&row, "agent")[0]["result"], "not registered", "{row}");
    let left = events(&row, "queue_left")[0];
    assert_eq!((&left["agent"], &left["result"]), (&"rina".into(), &"answered".into()), "{row}");
    desk.unregister().await;
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}

/// Waits until so many telephones of this account are registered, and shows it.
pub(super) async fn registered_as(milo: &Running, account: &str, telephones: usize) -> Value {
    let mut shown = Value::Null;
    for _ in 0..200 {
        shown = get(milo, "/api/v1/registrations");
        let of =
            |one: &Value| one["account"] == account && one["telephones"].as_array().map(Vec::len) == Some(telephones);
        if let Some(found) = shown["accounts"].as_array().and_then(|all| all.iter().find(|one| of(one))) {
            return found.clone();
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("{account} never had {telephones} telephones: {shown}");
}

/// What a REGISTER hears, without what is different each time.
fn hears(milo: &Running, name: &str, credentials: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let text = format!(
        "REGISTER sip:milo SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{};branch=z9hG4bK1\r\nFrom: <sip:{name}@milo>;tag=1\r\n\
         To: <sip:{name}@milo>\r\nCall-ID: {name}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{name}@127.0.0.1>\r\n\
         {credentials}Content-Length: 0\r\n\r\n",
        socket.local_addr().expect("an address").port()
    );
    socket.send_to(text.as_bytes(), at(milo)).expect("it is sent");
    let mut answer = [0; 4096];
    let length = socket.recv(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..length]).replace(name, "NAME");
    let rest = answer.split("\r\n").filter(|line| !line.starts_with("Via:"));
    let words =
        rest.flat_map(|line| line.split([' ', ';'])).filter(|word| !word.contains("tag=") && !word.contains("nonce="));
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_name_never_get_in_and_look_the_same() {
    let (milo, files) = with_accounts("account-wrong", &[]).await;
    let (telephone, _invitations) = telephone();
    let wrong = registers(&telephone, &milo, "rina", "guess").await;
    assert_eq!(wrong.0, Standing::Failed);
    assert_eq!(registers(&telephone, &milo, "nobody", "secret").await, wrong);
    let credentials = |name: &str| {
        format!(
            "Authorization: Digest username=\"{name}\", realm=\"milo\", nonce=\"0-1-2\", uri=\"sip:milo\", \
             response=\"00000000000000000000000000000000\"\r\n"
        )
    };
    let unasked = hears(&milo, "rina", "");
    assert!(unasked.starts_with("SIP/2.0 401") && unasked.contains("SHA-256") && unasked.contains("MD5"), "{unasked}");
    assert_eq!(hears(&milo, "nobody", ""), unasked);
    let answered = hears(&milo, "rina", &credentials("rina"));
    assert_eq!(hears(&milo, "nobody", &credentials("nobody")), answered);
    registered(&milo, 0).await;
    let shown = get(&milo, "/api/v1/registrations").to_string();
    assert!(!shown.contains("nobody") && !shown.contains("secret"), "{shown}");
    stop(milo).await;

    // A file that everybody may read is not used at all.
    let file = accounts(&files);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let mut started = crate::house::alone("timeout", &files);
    let started = started.args(["20", PROGRAM, "serve"]).env("MILO__SIP__ACCOUNTS", &file).output();
    let started = started.expect("milo");
    let said = String::from_utf8_lossy(&started.stderr).into_owned();
    assert!(!started.status.success() && said.contains("chmod 600"), "{said}");
    fs::remove_dir_all(files).ok();
}

#[test]
fn a_telephone_outside_proves_who_it_is_before_it_calls_and_a_stranger_does_not_get_in() {
    let folder = folder("account-outside");
    let file = accounts(&folder);
    fs::create_dir(folder.join("plans")).expect("a folder");
    fs::write(folder.join("plans/plans.toml"), [crate::house::MILO, PLANS].concat()).expect("a plan");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/sipp");
    let script = format!(
        "ip addr add 192.0.2.1/24 dev lo; ip addr add 192.0.2.66/24 dev lo; ip addr add 192.0.2.77/24 dev lo
         export MILO__HTTP__LISTEN=127.0.0.1:8000 MILO__SIP__UDP=0.0.0.0:5060 MILO__SIP__TCP=0.0.0.0:5060 LOG_LEVEL=info
         export MILO__SIP__ACCOUNTS={accounts} MILO__SIP__DIGEST='[\"MD5\"]' MILO__DIALPLANS__PATH={plans}
         timeout 60 {program} serve > out 2> err & milo=$!
         for i in $(seq 200); do grep -q sip:milo out && break; sleep 0.1; done
         call() {{ timeout 20 sipp 192.0.2.1:5060 -i $1 -p 5070 -m 1 -nostdin -s echo -trace_msg -message_file $2 \\
           $3 $4 >/dev/null 2>&1 || echo $2 failed >> failed; }}
         touch failed
         call 192.0.2.77 early -sf {calls}
         call 192.0.2.66 registers -sf {registers}
         call 192.0.2.66 calls -sf {calls}
         call 192.0.2.77 stranger -sf {calls}
         curl --silent http://127.0.0.1:8000/api/v1/calls > rows
         kill $milo; wait $milo || true",
        accounts = file.display(),
        plans = folder.join("plans").display(),
        program = PROGRAM,
        calls = scenarios.join("account_calls.xml").display(),
        registers = scenarios.join("account_registers.xml").display(),
    );
    let Some(output) = in_a_namespace(&folder, &script) else { return };
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), read("err"));
    let failed = read("failed");
    let told = [read("registers"), read("calls"), read("err")].concat();
    assert_eq!(failed, "early failed\nstranger failed\n", "{told}");
    for stranger in ["early", "stranger"] {
        let heard = read(stranger);
        assert!(heard.contains("SIP/2.0 403") && !heard.contains("SIP/2.0 401"), "{stranger}: {heard}");
    }
    let rows: Value = serde_json::from_str(&read("rows")).expect("JSON");
    let rows = rows["calls"].as_array().expect("calls");
    assert!(rows.len() == 1 && rows[0]["from"] == "rina" && rows[0]["to"] == "echo", "{rows:?}");
    fs::remove_dir_all(folder).ok();
}
