//! The link that a start prints in its terminal: it signs in to the web page, once and soon.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    house::{PROGRAM, alone, folder, milo, send_to, stop},
    page::is_without_chromium,
};

/// A Milo in a terminal of its own, and what it prints there.
struct Terminal {
    script: Child,
    folder: PathBuf,
    /// The line of the link.
    link: String,
    read: Option<JoinHandle<Vec<String>>>,
}

impl Terminal {
    fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let folder = folder(name);
        // `script` of util-linux gives it a terminal.
        let mut command = alone("script", &folder);
        command.args(["--quiet", "--return", "--command", &format!("exec {PROGRAM} serve"), "/dev/null"]);
        command.envs(variables.iter().copied()).env("LOG_LEVEL", "debug").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.spawn().expect("script of util-linux");
        let out = BufReader::new(script.stdout.take().expect("it is piped"));
        let (tell, told) = mpsc::sync_channel(1);
        // For as long as it runs: it would end where nobody reads.
        let read = thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok).map(|line| line.trim_end().to_owned());
            lines
                .inspect(|line| drop(line.contains("#sign-in=").then(|| tell.try_send(line.trim().to_owned()))))
                .collect()
        });
        let link = told.recv_timeout(Duration::from_secs(60)).expect("a link");
        Self { script, folder, link, read: Some(read) }
    }

    fn link(&self) -> (&str, &str) {
        self.link.split_once("#sign-in=").expect("it has a fragment")
    }

    /// Ends it as somebody at the terminal does; all that it has printed.
    fn end(&mut self) -> Vec<String> {
        if let Some(mut keyboard) = self.script.stdin.take() {
            keyboard.write_all(b"\x03").ok();
            keyboard.flush().ok();
            self.script.wait().ok();
        }
        self.read.take().and_then(|read| read.join().ok()).unwrap_or_default()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.end();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn redeem(page: &str, link: &str) -> (u16, Value) {
    let answer = send_to(page, ("POST", "/api/v1/sign-in"), &[], &json!({ "link": link }));
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_the_terminal_signs_in_once_and_does_not_shut_others_out() {
    let mut milo = Terminal::start("sign-in", &[("API_KEY", "0123456789abcdef")]);
    let (page, link) = milo.link();
    let (page, link) = (&page.to_owned(), &link.to_owned());
    let keys = |key: &str| {
        let header = format!("Authorization: Bearer {key}");
        send_to(page, ("GET", "/api/v1/keys"), &[&header], &Value::Null).status
    };
    assert_eq!(keys(link), 401, "the link itself is no key");
    assert_eq!(redeem(page, "link_guessed").0, 401);
    let (status, made) = redeem(page, link);
    let key = made["key"].as_str().expect("a key").to_owned();
    assert_eq!((status, keys(&key)), (201, 200), "{made}");
    let (status, refused) = redeem(page, link);
    assert_eq!((status, &refused["code"]), (401, &json!("link_bad")), "used twice: {refused}");
    // A page that is signed in so calls like any other: with tickets of its own.
    let header = format!("Authorization: Bearer {key}");
    let ticket = send_to(page, ("POST", "/api/v1/tickets"), &[&header], &json!({ "for": "chat" })).body;
    let path = format!("/api/v1/chat?ticket={}", ticket["ticket"].as_str().expect("a ticket"));
    let chat = json!({ "message": "Salama" });
    assert_eq!(send_to(page, ("POST", &path), &[], &chat).status, 200);
    assert_eq!(send_to(page, ("POST", &path), &[], &chat).status, 401, "a ticket is good once");
    // It is noted, and ends when it is told to.
    let audit = send_to(page, ("GET", "/api/v1/audit"), &[&header], &Value::Null).body;
    assert!(audit.to_string().contains("\"sign-in\"") && !audit.to_string().contains(link), "{audit}");
    assert_eq!(send_to(page, ("DELETE", "/api/v1/sign-in"), &[&header], &Value::Null).status, 204);
    assert_eq!(keys(&key), 401, "signed out");
    assert_eq!(send_to(page, ("DELETE", "/api/v1/sign-in"), &[&header], &Value::Null).status, 401);
    let of_environment = "Authorization: Bearer 0123456789abcdef";
    assert_eq!(send_to(page, ("DELETE", "/api/v1/sign-in"), &[of_environment], &Value::Null).status, 404);
    assert_eq!(send_to(page, ("GET", "/api/v1/keys"), &[of_environment], &Value::Null).status, 200);
    let lines = milo.end();
    let once = lines.iter().filter(|line| line.contains(link) || line.contains(&key)).count();
    assert!(once == 1 && lines.len() > 20, "it stands in no line of the log: {lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_too_old_does_not_sign_in_and_without_keys_this_machine_still_needs_none() {
    let milo = Terminal::start("sign-in-late", &[("MILO__HTTP__SIGN_IN_S", "1")]);
    let (page, link) = milo.link();
    sleep(Duration::from_millis(1_200)).await;
    let (status, refused) = redeem(page, link);
    assert_eq!((status, &refused["code"]), (401, &json!("link_bad")), "{refused}");
    assert_eq!(send_to(page, ("GET", "/api/v1/keys"), &[], &Value::Null).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_opened_by_the_link_is_signed_in() {
    if is_without_chromium() {
        return;
    }
    let milo = Terminal::start("sign-in-page", &[("API_KEY", "0123456789abcdef")]);
    let (page, link) = milo.link();
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let mut node = Command::new("timeout");
    node.args(["120", "node", "tests/sign-in.mjs", "--link", &format!("{page}#sign-in={link}")]).current_dir(web);
    let seen = node.output().expect("node, and what `deploy/setup.sh test` fetches for it");
    assert!(seen.status.success(), "{}", String::from_utf8_lossy(&seen.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn into_a_pipe_no_link_is_printed() {
    let folder = folder("sign-in-pipe");
    let mut command = alone(PROGRAM, &folder);
    let mut milo_ = command.arg("serve").stdout(Stdio::piped()).spawn().expect("milo");
    let mut said = String::new();
    for line in BufReader::new(milo_.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("text");
        said.push_str(&line);
        if line.contains("demonstration models") {
            // A link would stand behind the notice: it is read to its end.
            Command::new("kill").arg(milo_.id().to_string()).status().expect("kill");
        }
    }
    milo_.wait().ok();
    assert!(said.contains("is up") && !said.contains("sign-in"), "{said}");
    std::fs::remove_dir_all(folder).ok();
    let quiet = milo("sign-in-none", &[("MILO__HTTP__SIGN_IN_S", "0")]).await;
    assert_eq!(redeem(&quiet.http, "link_").0, 401);
    stop(quiet).await;
}
