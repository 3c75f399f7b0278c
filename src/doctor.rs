//! `milo doctor`: tries everything that a start needs, one thing after the other, and says how to mend each fault.
//!
//! It is for a Milo that does not start or does not answer: one that runs holds its folder and its ports, and is reported so.
//! The checks here need no engine; the composition adds its own (models, a call to itself) to the same [`Findings`].

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
};

use milo_signaling::RegistrarConfig;

use crate::{
    accounts,
    config::{Config, ConfigError, Loaded},
    http,
    metrics::Metrics,
    redis::Redis,
    store::{Key, Node, Store},
    trunk::{credentials, login},
    weights,
};

/// Free space below which the data folder is called nearly full, in mebibytes.
const LITTLE_SPACE: u64 = 500;

/// What was found so far; each line is printed as soon as it is known.
#[derive(Debug, Default)]
pub struct Findings {
    faults: usize,
}

impl Findings {
    /// A part that works; `says` is a few words about it.
    pub fn good(&mut self, part: &str, says: impl std::fmt::Display) {
        println!("  ok     {part}: {says}");
    }

    /// A part that works, with something worth knowing.
    pub fn note(&mut self, part: &str, says: impl std::fmt::Display) {
        println!("  note   {part}: {says}");
    }

    /// A part that keeps Milo from starting or working; the sentence holds the mend.
    pub fn fault(&mut self, part: &str, says: impl std::fmt::Display) {
        self.faults += 1;
        println!("  FAULT  {part}: {says}");
    }

    /// Good with the value's words, or a fault with the error's.
    pub fn judge<T: std::fmt::Display, E: std::fmt::Display>(&mut self, part: &str, result: Result<T, E>) {
        match result {
            Ok(says) => self.good(part, says),
            Err(says) => self.fault(part, says),
        }
    }
}

/// Runs all checks, ours and then `further`. True if no fault was found.
pub async fn run(loaded: Result<Loaded, ConfigError>, further: impl AsyncFnOnce(&Config, &mut Findings)) -> bool {
    let mut findings = Findings::default();
    match loaded {
        Err(error) => error.0.iter().for_each(|fault| findings.fault("configuration", fault)),
        Ok(Loaded { config, file, notes, .. }) => {
            findings
                .good("configuration", file.map_or("no file, the defaults".into(), |file| file.display().to_string()));
            notes.iter().for_each(|note| findings.note("configuration", note));
            folder(&config, &mut findings);
            database(&config, &mut findings).await;
            redis(&config, &mut findings).await;
            listeners(&config, &mut findings).await;
            rtp(&config, &mut findings);
            trunks(&config, &mut findings);
            telephones(&config, &mut findings);
            further(&config, &mut findings).await;
        }
    }
    match findings.faults {
        0 => println!("Milo can start."),
        1 => println!("One fault keeps Milo from working; mend it and ask again."),
        n => println!("{n} faults keep Milo from working; mend them and ask again."),
    }
    findings.faults == 0
}

/// The data folder can be made and written, and no other Milo uses it.
fn folder(config: &Config, findings: &mut Findings) {
    let folder = &config.data_dir;
    let written = Node::claim(folder).map_err(|error| error.to_string()).and_then(|_| {
        let probe = folder.join(format!(".doctor-{}", Key::new()));
        let tried =
            fs::File::create(&probe).and_then(|mut file| file.write_all(&[0; 4096]).and_then(|()| file.sync_all()));
        fs::remove_file(&probe).ok();
        tried.map_err(|error| {
            format!("{} cannot be written: {error}; make room, or set MILO_DATA_DIR", folder.display())
        })
    });
    findings.judge("data folder", written.map(|()| folder.display().to_string()));
    match weights::free(folder).map(|bytes| bytes >> 20) {
        Ok(free) if free < LITTLE_SPACE => {
            findings.note("disk", format!("only {free} MiB are free in {}", folder.display()))
        }
        Ok(free) => findings.good("disk", format!("{free} MiB free")),
        // What keeps the folder from being looked at was said above.
        Err(_) => {}
    }
}

/// The call log opens, and its schema is up to date (a start would bring it there as well).
async fn database(config: &Config, findings: &mut Findings) {
    let opened = Store::open(&config.database_url()).await;
    match opened {
        Ok(store) => {
            let answer = store.ping().await.map(|()| format!("{} ({})", store.kind(), store.place()));
            store.close().await;
            findings.judge("call log", answer);
        }
        Err(error) => findings.fault("call log", error),
    }
}

/// Redis answers, where there is to be one; without it Milo starts as well.
async fn redis(config: &Config, findings: &mut Findings) {
    match Redis::open(&config.redis, &Arc::new(Metrics::new())).await {
        Ok(None) => {}
        Ok(Some(redis)) => match redis.fault() {
            None => findings.good("Redis", redis.place()),
            Some(fault) => {
                findings.note("Redis", format!("{}: {fault}; until it answers nothing is shared", redis.place()))
            }
        },
        Err(error) => findings.fault("Redis", error),
    }
}

/// The addresses are free.
async fn listeners(config: &Config, findings: &mut Findings) {
    findings.judge("HTTP", http::bind(config.http.listen).await.map(|_| config.http.listen));
    if let Some(Err(error)) = config.http.certificate().map(|files| files.check()) {
        findings.fault("HTTP over TLS", error);
    }
    for (which, address) in config.sip.listeners() {
        let free = match which {
            "udp" => UdpSocket::bind(address).map(drop),
            _ => TcpListener::bind(address).map(drop),
        };
        let free = free.map(|()| address).map_err(|error| taken(address, &error, which));
        findings.judge(&format!("SIP over {}", which.to_uppercase()), free);
    }
    if let Some(Err(error)) = config.sip.certificate().map(|files| files.check()) {
        findings.fault("SIP over TLS", error);
    }
    if let Err(error) = config.sip.trust() {
        findings.fault("calls over TLS", error);
    }
    let anywhere = config.sip.listeners().any(|(_, address)| address.ip().is_unspecified());
    if anywhere && config.sip.public_address.is_none() {
        findings.note("SIP", "listens on every address; set [sip] public_address if telephones reach it through NAT");
    }
}

fn taken(address: SocketAddr, error: &std::io::Error, which: &str) -> String {
    format!("cannot listen on {address}: {error}; stop what listens there (another SIP program?), or set [sip] {which}")
}

/// A sample of the audio ports is free.
fn rtp(config: &Config, findings: &mut Findings) {
    let range = config.media.rtp_ports.range();
    let (first, last) = (*range.start(), *range.end());
    if last == 0 {
        return findings.good("audio ports", "chosen by the system");
    }
    let ip = config.sip.media_address();
    let step = usize::from(((last - first) / 20).max(1));
    let sample: Vec<u16> = range.step_by(step).collect();
    let busy = sample.iter().filter(|port| UdpSocket::bind((ip, **port)).is_err()).count();
    let says = format!("{first} to {last}");
    if busy * 2 > sample.len() {
        findings.fault("audio ports", format!("most of {says} are in use: choose others with [media] rtp_ports"));
    } else {
        let needed = usize::from(last - first) + 1;
        if needed < config.limits.calls {
            findings.note(
                "audio ports",
                format!("{needed} ports for up to {} calls: widen [media] rtp_ports", config.limits.calls),
            );
        }
        findings.good("audio ports", says);
    }
}

/// The accounts of telephones can be read, and by nobody else.
fn telephones(config: &Config, findings: &mut Findings) {
    if config.sip.accounts.is_some() {
        let read = accounts::registrar(&config.sip).map_err(|error| format!("{error:#}"));
        let count = |registrar: Option<RegistrarConfig>| registrar.map_or(0, |registrar| registrar.users.len());
        findings.judge("telephones", read.map(|registrar| format!("{} accounts", count(registrar))));
    }
}

/// The passwords of the trunks can be read.
fn trunks(config: &Config, findings: &mut Findings) {
    for trunk in &config.sip.trunks {
        let says = match credentials(trunk) {
            _ if trunk.trust(&config.sip).is_err() => {
                let why = trunk.trust(&config.sip).err().map(|error| error.to_string()).unwrap_or_default();
                Err(format!("{why}; see its tls_ca, tls_cert and tls_key"))
            }
            _ if login(trunk, &config.sip).is_err() => {
                let why = login(trunk, &config.sip).err().map(|error| format!("{error:#}")).unwrap_or_default();
                Err(format!("{why}; name a file that this user may read, with one line"))
            }
            Ok(Some(_)) => Ok("its password is at hand"),
            Ok(None) => Ok("needs no password"),
            Err(error) => Err(format!("{error:#}; name a file that this user may read, with one line")),
        };
        findings.judge(&format!("trunk {}", trunk.name), says);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Sources;

    fn load(folder: &Path, more: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let mut environment = vec![("MILO_DATA_DIR".to_owned(), folder.display().to_string())];
        for name in ["MILO__HTTP__LISTEN", "MILO__SIP__UDP", "MILO__SIP__TCP"] {
            environment.push((name.into(), "127.0.0.1:0".into()));
        }
        environment.push(("MILO__MEDIA__RTP_PORTS".into(), "0".into()));
        environment.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
        environment.extend(more.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        Config::load(&Sources { environment, folder: folder.into(), ..Sources::default() })
    }

    #[tokio::test]
    async fn a_sound_machine_passes_and_each_fault_is_counted() {
        let folder = std::env::temp_dir().join(format!("milo-doctor-{}", Key::new()));
        fs::create_dir_all(&folder).unwrap();
        let nothing = async |_: &Config, _: &mut Findings| {};
        assert!(run(load(&folder, &[]), nothing).await);
        assert!(!run(load(&folder, &[]), async |_: &Config, findings: &mut Findings| findings.fault("x", "y")).await);

        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = held.local_addr().unwrap().to_string();
        for wrong in [
            ("MILO__HTTP__LISTEN", taken.as_str()),
            ("MILO__SIP__TCP", taken.as_str()),
            ("DATABASE_URL", "postgres://milo:hush@127.0.0.1:1/milo"),
            ("MILO__HTTP__LISEN", "x"),
            (
                "MILO__SIP__TRUNKS",
                "[{ name = \"c\", gateway = \"sip:c\", username = \"u\", password_file = \"/nowhere\" }]",
            ),
        ] {
            assert!(!run(load(&folder, &[wrong]), nothing).await, "{wrong:?}");
        }
        drop(held);
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        assert!(!run(load(&file.join("data"), &[]), nothing).await);
        fs::remove_dir_all(&folder).ok();
    }
}
