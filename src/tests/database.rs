//! A Postgres of a scenario's own, which it stops and starts in the middle of calls.

#![allow(unreachable_pub, reason = "all of it is for the scenarios beside it")]

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command},
    thread::sleep,
    time::Duration,
};

use crate::call_log::postgres_cluster::{launch, programs};

/// The server and its folder. It ends with this, and with the process of the tests, however that ends.
pub struct Database {
    folder: PathBuf,
    running: Option<(Child, ChildStdin)>,
}

/// Runs a server until standard input ends.
const SCRIPT: &str = r#"
bin="$1" folder="$2"
exec 2>>"$folder/log"
test -d "$folder/data" || "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >&2 || exit 1
"$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off -c shared_buffers=16MB >&2 <&- &
server=$!
cat >/dev/null
kill -INT "$server"
wait "$server"
"#;

impl Database {
    /// A new one, running.
    pub fn new(name: &str) -> Self {
        let folder = crate::house::folder(name);
        let mut database = Self { folder, running: None };
        database.start();
        database
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("postgres:///postgres?host={}&user=postgres", self.folder.display())
    }

    /// Starts it (again), and waits until it takes connections.
    pub fn start(&mut self) {
        let mut child = launch(&self.folder, SCRIPT);
        let lifeline = child.stdin.take().expect("a pipe");
        self.running = Some((child, lifeline));
        for _ in 0..600 {
            let ready = Command::new(programs().join("pg_isready"))
                .args(["--quiet", "--host"])
                .arg(&self.folder)
                .status()
                .expect("pg_isready");
            if ready.success() && UnixStream::connect(self.folder.join(".s.PGSQL.5432")).is_ok() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("Postgres does not start: {}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// Stops it: connections break, and new ones are refused.
    pub fn stop(&mut self) {
        if let Some((mut child, lifeline)) = self.running.take() {
            drop(lifeline);
            child.wait().expect("it ends");
        }
    }

    /// Sends its processes a signal: `STOP` makes it silent, its connections stay; `CONT` lets it go on.
    pub fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let Some(server) = file.lines().next().and_then(|line| line.parse::<u32>().ok()) else { return };
        let children =
            fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let children = children.filter(|process: &u32| parent(*process) == Some(server));
        for process in std::iter::once(server).chain(children.collect::<Vec<_>>()) {
            Command::new("kill").args([format!("-{signal}"), process.to_string()]).status().expect("kill");
        }
    }
}

/// The fourth field of proc(5)'s stat, counted behind the name in brackets.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.signal("CONT");
        }
        self.stop();
        fs::remove_dir_all(&self.folder).ok();
    }
}
