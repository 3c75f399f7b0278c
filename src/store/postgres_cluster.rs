//! A real Postgres for tests: the one of `MILO_TEST_POSTGRES_URL`, or a cluster of our own that lives as long as the test
//! process. Uses std only, so that scenario tests can include the file by its path.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// The variable with the address of a running server, which must allow databases to be made.
const VARIABLE: &str = "MILO_TEST_POSTGRES_URL";

static SERVER: OnceLock<Server> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Server {
    /// Address of a database from which others can be made.
    url: String,
    /// Closed when this process ends, however it ends: that stops the server.
    _lifeline: Option<ChildStdin>,
}

/// The address of a new, empty database. Ask `make` to run one statement on the address it is given.
///
/// # Panics
/// No Postgres is installed, or it does not start: tests that need it must fail then, not pass.
pub(crate) async fn new_database<F: Future<Output = ()>>(make: impl FnOnce(String, String) -> F) -> String {
    let server = SERVER.get_or_init(start);
    let name = format!("milo_test_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
    make(server.url.clone(), format!("CREATE DATABASE {name}")).await;
    let (address, query) = server.url.split_once('?').map_or((server.url.as_str(), None), |(a, q)| (a, Some(q)));
    let (address, _) = address.rsplit_once('/').expect("an address ends in /DATABASE");
    query.map_or_else(|| format!("{address}/{name}"), |query| format!("{address}/{name}?{query}"))
}

/// The newest server program that is installed.
pub(crate) fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, path)| path).unwrap_or_else(|| {
        panic!("no Postgres server is installed: run `make setup`, or apt-get install postgresql, or set {VARIABLE}")
    })
}

fn start() -> Server {
    if let Ok(url) = std::env::var(VARIABLE) {
        return Server { url, _lifeline: None };
    }
    // Before the lifeline is tied, a failure leaves an empty folder behind; after it, nothing.
    let folder = std::env::temp_dir().join(format!("milo-pg-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for Postgres");
    let mut child = launch(&folder, SCRIPT);
    let lifeline = child.stdin.take();
    wait(&folder, &mut child);
    // A socket in the folder, no port: any number of servers run side by side.
    Server { url: format!("postgres:///postgres?host={}&user=postgres", folder.display()), _lifeline: lifeline }
}

/// Runs a script with the folder of the server's programs and this one, as a user who may run them. Its standard input is a pipe that
/// ends with this process, however that ends.
pub(crate) fn launch(folder: &Path, script: &str) -> Child {
    let root = fs::metadata("/proc/self").expect("/proc").uid() == 0;
    let mut command = if root {
        // Postgres refuses to run as root; its package made a user for it.
        let user = Command::new("id").args(["-u", "postgres"]).output().expect("id runs");
        let user =
            String::from_utf8_lossy(&user.stdout).trim().parse().expect("the user postgres, made by Debian's package");
        chown(folder, Some(user), None).expect("root may give a folder away");
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command
        .args(["-c", script, "sh"])
        .arg(programs())
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts")
}

/// Makes a cluster, runs it until standard input ends, and removes it. Durability is off: nothing here outlives the tests.
const SCRIPT: &str = r#"
bin="$1" folder="$2"
exec 2>"$folder/log"
"$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync >&2 || { echo failed >"$folder/failed"; exit 1; }
"$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c synchronous_commit=off -c max_connections=200 -c shared_buffers=32MB >&2 <&- &
server=$!
cat >/dev/null
kill -INT "$server"
wait "$server"
rm -rf "$folder"
"#;

fn wait(folder: &Path, child: &mut Child) {
    for _ in 0..600 {
        let socket = folder.join(".s.PGSQL.5432");
        if socket.exists() && std::os::unix::net::UnixStream::connect(&socket).is_ok() {
            return;
        }
        if folder.join("failed").exists() || child.try_wait().is_ok_and(|ended| ended.is_some()) {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    drop(child.stdin.take());
    let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
    panic!("Postgres does not start: {said}");
}
