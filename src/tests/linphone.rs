//! linphonec, a telephone that we did not write: it registers over TCP, talks with the agent over Opus, and is called by its
//! account.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use crate::{
    accounts::{accounts, registered_as},
    house::{
        MG_HOURS, answered, assert_turn, call, ended, errand, events, folder, get, loud, milo, newest_call, recording,
        stop, until,
    },
    referring::up,
    telephone::Telephone,
};
use milo::phone::Errand;
use milo_media::wav;
use milo_signaling::User;
use serde_json::Value;
use tokio::time::sleep;

/// Beside the plans that ship, in a file that comes before theirs, whose last one fits every number.
const DESK: &str = "
[[plan]]
name = 'desk'
number = 'desk'
language = 'mg'
actions = [{ answer = {} }, { dial = { account = 'rina' } }]
";

/// linphonec, and what is typed into it.
struct Linphonec {
    child: Child,
    input: ChildStdin,
    folder: PathBuf,
}

impl Linphonec {
    /// Starts it as `rina` of this registrar, over TCP. It plays `say.wav` of the folder in each call, and answers by itself.
    fn start(folder: &Path, registrar: &str) -> Self {
        let rc = format!(
            "[sip]\nsip_port=-1\nsip_tcp_port=-1\nsip_tls_port=0\ndefault_proxy=0\n\
             [rtp]\naudio_rtp_port=-1\n[misc]\nconfig_version=5\n[video]\nenabled=0\n\
             [proxy_0]\nreg_proxy=<sip:{registrar};transport=tcp>\nreg_identity=sip:rina@{registrar}\nreg_expires=600\n\
             reg_sendregister=1\n[auth_info_0]\nusername=rina\npasswd=secret\ndomain=127.0.0.1\n",
        );
        fs::write(folder.join("rc"), rc).expect("a configuration");
        let home = folder.join("home");
        fs::create_dir_all(home.join(".local/share/linphone")).expect("a folder");
        let output = fs::File::create(folder.join("linphonec.log")).expect("a file");
        let mut child = Command::new("linphonec")
            .arg("-c")
            .arg(folder.join("rc"))
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("the file"))
            .stderr(output)
            .spawn()
            .expect("linphonec");
        let input = child.stdin.take().expect("its input");
        let mut phone = Self { child, input, folder: folder.to_owned() };
        phone.types("soundcard use files");
        phone.types(&format!("play {}", folder.join("say.wav").display()));
        phone.types("autoanswer enable");
        phone
    }

    fn types(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("linphonec reads");
    }

    /// What it hears from its next call on goes into this file.
    fn records(&mut self, name: &str) -> PathBuf {
        let file = self.folder.join(name);
        self.types(&format!("record {}", file.display()));
        file
    }
}

impl Drop for Linphonec {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Copies a folder and the folders in it.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the folder") {
        let entry = entry.expect("an entry");
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).expect("a file");
        }
    }
}

/// Loud samples of what linphonec heard, once its file is whole; its header counts itself among the samples, which ffmpeg forgives.
async fn loudness(file: &Path) -> usize {
    let plain = file.with_extension("plain.wav");
    let mut length = 0;
    while let now = fs::metadata(file).map_or(0, |about| about.len())
        && (now == 0 || now != length)
    {
        length = now;
        sleep(Duration::from_millis(500)).await;
    }
    let mut ffmpeg = Command::new("ffmpeg");
    let made = ffmpeg.args(["-loglevel", "error", "-y", "-i"]).arg(file).args(["-ar", "16000"]).arg(&plain).status();
    assert!(made.expect("ffmpeg").success(), "{}", file.display());
    loud(&wav::read(&plain).expect("a WAV file"))
}

#[tokio::test(flavor = "multi_thread")]
async fn linphonec_registers_talks_with_the_agent_and_is_called_by_its_account() {
    let is_ubuntu = fs::read_to_string("/etc/os-release").unwrap_or_default().lines().any(|line| line == "ID=ubuntu");
    if is_ubuntu && Command::new("linphonec").arg("-v").stdout(Stdio::null()).status().is_err() {
        crate::house::not_looked_at("linphonec as a telephone: it is not installed");
        return;
    }
    let files = folder("linphone-files");
    let plans = files.join("plans");
    copied(&Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans"), &plans);
    fs::write(plans.join("before.toml"), DESK).expect("a plan");
    let accounts = accounts(&files);
    let rina = fs::read_to_string(&accounts).expect("the file");
    fs::write(&accounts, format!("{}\n{rina}", User::new("lala", "milo", "hers").line("milo"))).expect("a file");
    let (plans, accounts) = (plans.to_string_lossy(), accounts.to_string_lossy().into_owned());
    let variables = [("MILO__DIALPLANS__PATH", plans.as_ref()), ("MILO__SIP__ACCOUNTS", accounts.as_str())];
    let milo = milo("linphone", &variables).await;
    let registrar = milo.tcp("milo").expect("an address").to_string();
    let registrar = registrar.split(['@', ';']).nth(1).expect("an address");
    // Silence while the greeting is spoken, the question, silence while the answer is.
    let mut said = vec![0; 16_000 * 11 / 2];
    said.extend(wav::read(&recording("mg_hours.wav")).expect("the recording"));
    said.extend(vec![0; 16_000 * 12]);
    wav::write(&files.join("say.wav"), &said).expect("what it says");
    let mut phone = Linphonec::start(&files, registrar);
    let shown = registered_as(&milo, "rina", 1).await;
    assert_eq!(shown["telephones"][0]["transport"], "tcp", "{shown}");
    assert!(shown["telephones"][0]["user_agent"].as_str().is_some_and(|agent| agent.contains("inphone")), "{shown}");

    // It calls.
    let heard = phone.records("agent.wav");
    phone.types(&format!("call sip:milo@{registrar};transport=tcp"));
    let mut id = Value::Null;
    for _ in 0..300 {
        let newest = get(&milo, "/api/v1/calls")["calls"][0].clone();
        if newest["from"] == "rina" {
            id = newest["id"].clone();
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(id.is_string(), "linphonec has not called");
    until(&milo, &id, "an answer that was heard", |row| answered(row).iter().any(|turn| !turn["said_heard"].is_null()))
        .await;
    sleep(Duration::from_secs(4)).await;
    phone.types("terminate");
    let row = newest_call(&milo).await;
    let turns = answered(&row);
    assert_eq!(turns.len(), 1, "{row}");
    assert_turn(turns[0], "mg", MG_HOURS.0, MG_HOURS.1);
    assert_eq!((&row["hangup_by"], &row["quality"][0]["codec"]), (&"caller".into(), &"opus".into()), "{row}");
    let heard = loudness(&heard).await;
    assert!(heard > 3 * 16_000, "linphonec heard {heard} loud samples");

    // It is called.
    let (here, there) = (files.join("here.wav"), phone.records("caller.wav"));
    let target = milo.udp("desk").expect("an address");
    let errand = errand(target, &["mg_hours.wav", "mg_hours.wav", "mg_hours.wav"]);
    call(&Errand { no_greeting: true, record: Some(here.clone()), ..errand }).await;
    let row = newest_call(&milo).await;
    assert_eq!(events(&row, "dialled")[0]["result"], "answered", "{row}");
    let here = loud(&wav::read(&here).expect("what the caller heard"));
    for (who, heard) in [("the caller", here), ("linphonec", loudness(&there).await)] {
        assert!(heard > 8_000, "{who} hears {heard} loud samples of the other");
    }

    // It is called once more, and sends for a colleague in its place (REFER).
    let mut lala = tokio::task::block_in_place(|| {
        let lala = Telephone::new(&milo);
        lala.registers(("lala", "hers"));
        lala
    });
    let mut caller = tokio::task::block_in_place(|| Telephone::call(&milo, "desk"));
    let id = up(&milo, "desk").await;
    until(&milo, &id, "answered there", |row| !events(row, "dialled").is_empty()).await;
    phone.types(&format!("transfer sip:lala@{registrar}"));
    tokio::task::block_in_place(|| lala.takes_a_call());
    let row = until(&milo, &id, "referred", |row| !events(row, "referred").is_empty()).await;
    let referred = events(&row, "referred")[0];
    assert_eq!(
        (&referred["result"], &referred["by"], &referred["how"], &row["ended"]),
        (&"answered".into(), &"called".into(), &"blind".into(), &Value::Null),
        "{row}"
    );
    tokio::task::block_in_place(|| {
        caller.hangs_up();
        lala.answers("BYE", "200 OK");
    });
    ended(&milo, &id).await;

    // It leaves, and says so.
    phone.types("quit");
    registered_as(&milo, "rina", 0).await;
    drop(phone);
    stop(milo).await;
    fs::remove_dir_all(files).ok();
}
