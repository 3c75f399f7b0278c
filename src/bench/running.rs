//! A Milo that runs beside this process, on free ports and in a folder of its own; benches and scenarios talk to it from outside.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use axum::{
    body::Body,
    http::{Request, header},
};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use milo_signaling::Uri;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// A start takes less than this, even on a busy machine.
const START: Duration = Duration::from_secs(60);

/// The running program and where it can be reached.
pub struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    folder: PathBuf,
    /// The page's address, `http://127.0.0.1:…/`.
    pub http: String,
    udp: String,
    tcp: String,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time since its start.
    pub cpu: Duration,
    /// Memory now, in bytes.
    pub memory: u64,
}

/// What a child keeps of its parent's environment: where programs, the built-in caches and the inference library lie.
const KEPT: [&str; 4] = ["PATH", "HOME", "XDG_CACHE_HOME", "ORT_DYLIB_PATH"];

/// A program in surroundings of its own: it runs in `folder`, keeps its data there, listens on free loopback ports, and neither
/// the environment of this process nor the machine's configuration file reaches it.
pub fn alone(program: &Path, folder: &Path) -> io::Result<process::Command> {
    // The nearest configuration file is the one that counts: where the folder has none, an empty one.
    fs::OpenOptions::new().create(true).append(true).open(folder.join("milo.toml"))?;
    let mut command = process::Command::new(program);
    command
        .current_dir(folder)
        .env_clear()
        .envs(KEPT.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .env("LANG", "C.UTF-8")
        .env("RUST_BACKTRACE", "0")
        .env("MILO_DATA_DIR", folder)
        .env("MILO__HTTP__LISTEN", "127.0.0.1:0")
        .env("MILO__SIP__UDP", "127.0.0.1:0")
        .env("MILO__SIP__TCP", "127.0.0.1:0")
        .env("MILO__MEDIA__RTP_PORTS", "0")
        .env("MILO__WEBRTC__UDP_PORTS", "0")
        .stdin(Stdio::null());
    Ok(command)
}

/// What the API at `http://HOST:PORT` has at a path, for whoever has this key.
pub(crate) async fn get(http: &str, key: Option<&str>, path: &str) -> Result<Value> {
    let address = http.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    let address = address.with_context(|| format!("{http}: an address such as http://127.0.0.1:8000 is wanted"))?;
    let port = if address.rsplit(']').next().is_some_and(|rest| rest.contains(':')) { "" } else { ":80" };
    let stream = TcpStream::connect(format!("{address}{port}")).await;
    let stream = stream.with_context(|| format!("nobody can be reached at {http}"))?;
    let (mut sender, connection) = http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let mut request = Request::get(path).header(header::HOST, address);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let response = sender.send_request(request.body(Body::empty())?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    driving.abort();
    ensure!(status.is_success(), "GET {path} is answered {status}");
    Ok(serde_json::from_slice(&body)?)
}

impl Running {
    /// Starts `program serve` with these variables besides, in `folder` (made, and left for its maker to remove).
    pub async fn start(program: &Path, folder: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("the folder {}", folder.display()))?;
        let command = alone(program, folder).with_context(|| format!("the folder {}", folder.display()))?;
        Self::serve(command, program, folder, variables).await
    }

    /// The same, bound to one core by `taskset` of util-linux.
    pub async fn start_on(core: usize, program: &Path, folder: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("the folder {}", folder.display()))?;
        let taskset = Path::new("taskset");
        let mut command = alone(taskset, folder).with_context(|| format!("the folder {}", folder.display()))?;
        command.arg("-c").arg(core.to_string()).arg(program);
        Self::serve(command, taskset, folder, variables).await
    }

    async fn serve(
        command: process::Command,
        program: &Path,
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let mut child = Command::from(command)
            .arg("serve")
            .env("LOG_LEVEL", "warn")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let out = child.stdout.take().context("the program has no output")?;
        let mut out = BufReader::new(out).lines();
        let (mut http, mut udp, mut tcp) = (None, None, None);
        let read = async {
            while let Some(line) = out.next_line().await? {
                for word in line.split_whitespace() {
                    if word.starts_with("http://127") {
                        http = Some(word.to_owned());
                    } else if word.starts_with("sip:milo@") && word.ends_with(";transport=tcp") {
                        tcp = Some(word.to_owned());
                    } else if word.starts_with("sip:milo@") && !word.contains(";transport=") {
                        udp = Some(word.to_owned());
                    }
                }
                if http.is_some() && udp.is_some() && tcp.is_some() {
                    break;
                }
            }
            anyhow::Ok(())
        };
        timeout(START, read).await.context("Milo did not say where it listens")??;
        let (Some(http), Some(udp), Some(tcp)) = (http, udp, tcp) else {
            let status = child.wait().await?;
            bail!("Milo ended before it was up ({status})");
        };
        Ok(Self { child, out, folder: folder.to_owned(), http, udp, tcp })
    }

    /// A number of this Milo over UDP.
    pub fn udp(&self, number: &str) -> Result<Uri> {
        let uri = self.udp.replacen("milo@", &format!("{number}@"), 1);
        uri.parse().ok().with_context(|| format!("{uri} is no SIP address"))
    }

    /// A number of this Milo over TCP.
    pub fn tcp(&self, number: &str) -> Result<Uri> {
        let uri = self.tcp.replacen("milo@", &format!("{number}@"), 1);
        uri.parse().ok().with_context(|| format!("{uri} is no SIP address"))
    }

    /// What its API has at a path.
    pub async fn get(&self, path: &str) -> Result<Value> {
        get(&self.http, None, path).await
    }

    /// The folder it keeps its data in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process number.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has used so far (Linux: `/proc`).
    pub fn cost(&self) -> Result<Cost> {
        let pid = self.child.id().context("Milo has ended")?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field is the name in parentheses and may hold spaces; user and system ticks are fields 14 and 15.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|ticks| ticks.parse::<u64>().ok());
        let used = ticks(14).zip(ticks(15)).map(|(user, system)| user + system).context("/proc/PID/stat")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        let kilobytes: u64 = resident.trim().trim_end_matches("kB").trim().parse()?;
        // Linux counts in hundredths of a second on every architecture Milo runs on (USER_HZ).
        Ok(Cost { cpu: Duration::from_millis(used * 10), memory: kilobytes * 1_024 })
    }

    /// Sends a signal by name (`TERM`, `INT`), with the shell's own `kill`: a bare machine has no program of that name.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().context("Milo has ended")?;
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &pid.to_string()]).status().await?;
        ensure!(sent.success(), "kill -{name} {pid} failed");
        Ok(())
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it has ended by itself; what it printed last is read away.
    pub async fn ended(&mut self, limit: Duration) -> Result<bool> {
        let wait = async {
            while self.out.next_line().await?.is_some() {}
            anyhow::Ok(self.child.wait().await?.success())
        };
        timeout(limit, wait).await.context("Milo did not end")?
    }

    /// Asks it to end and waits.
    pub async fn stop(mut self) -> Result<()> {
        self.signal("TERM").await?;
        ensure!(self.ended(Duration::from_secs(20)).await?, "Milo ended with a failure");
        Ok(())
    }
}
