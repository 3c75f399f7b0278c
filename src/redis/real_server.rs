//! A real Redis for tests, on a socket in a folder of its own and on no port; it lives no longer than the test process. Uses std only,
//! so that scenarios can include the file by its path.

#![allow(dead_code, unreachable_pub, reason = "unit tests and scenarios each use a part of it")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A running one.
pub struct RealRedis {
    folder: PathBuf,
    password: Option<&'static str>,
    child: Child,
    pid: String,
}

/// Runs Redis until standard input ends, and ends it then as a crash would, also one that is stopped.
const SCRIPT: &str = r#"
folder="$1"; shift
redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' --appendonly no "$@" >"$folder/redis.log" 2>&1 <&- &
echo $!
cat >/dev/null
kill -KILL $!
"#;

impl RealRedis {
    /// Starts one in this folder, with a password if it is to have one.
    ///
    /// # Panics
    /// No redis-server is installed, or it does not start: tests that need it must fail then, not pass.
    pub fn start(folder: &Path, password: Option<&'static str>) -> Self {
        let password_option = password.map(|password| ["--requirepass", password]);
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(folder)
            .args(password_option.into_iter().flatten())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let mut pid = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut pid).expect("a number");
        let redis = Self { folder: folder.to_owned(), password, child, pid: pid.trim().to_owned() };
        for _ in 0..400 {
            if redis.cli(&["PING"]) == "PONG" {
                return redis;
            }
            thread::sleep(Duration::from_millis(25));
        }
        let said = std::fs::read_to_string(folder.join("redis.log")).unwrap_or_default();
        panic!("Redis does not start (run `make setup`, or apt-get install redis-server): {said}");
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// Its address.
    pub fn url(&self) -> String {
        let pass = self.password.map(|password| format!("?pass={password}")).unwrap_or_default();
        format!("redis+unix://{}{pass}", self.socket().display())
    }

    /// What redis-cli says to a command, in one line.
    pub fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.arg("-s").arg(self.socket());
        if let Some(password) = self.password {
            cli.args(["--no-auth-warning", "-a", password]);
        }
        let said = cli.args(command).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&said).trim().to_owned()
    }

    /// It answers nothing any more, and keeps its connections.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    /// It answers again.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &self.pid]).status().expect("sh");
        assert!(sent.success(), "kill -{name} {}", self.pid);
    }
}

impl Drop for RealRedis {
    /// It dies, with all that it held.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
        std::fs::remove_file(self.socket()).ok();
    }
}
