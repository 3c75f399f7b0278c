//! The composition: what runs, in which order it starts, who owns it, and how it ends.
//!
//! ```text
//! Server ─┬─ Engines        one thread a loaded model
//!         ├─ LogWriter      one task, the only one that writes the call log
//!         ├─ Recordings     one thread that writes them, one task that deletes old ones
//!         ├─ Editions       one task that reads dialplans anew
//!         ├─ HTTP           one task that accepts
//!         ├─ SIP endpoint   the core's task and a reader a socket; registrations with carriers
//!         ├─ Trunks         one task each, which asks a trunk whether it is there
//!         └─ Calls          one task an invitation, or a call that is placed, inside a permit
//! ```

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use milo_media::{Codec, LegOptions, PortPool, Tuning, prompt::Prompts};
use milo_models::espeak::Synthesizer;
use milo_signaling::{
    BanTerms, Counters, Endpoint, EndpointConfig, Invitation, Invitations, RegistrarConfig, SessionTimers,
    SignalingError, Transport,
};
use tokio::{
    runtime::Handle,
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::{
    accounts::{self, Accounts},
    agent::SetPhrases,
    call::{self, CallsOut, House, Placement, Recordings, SipSeen},
    config::{self, Config},
    dialplan::{Dialplans, Editions, Fault, Origin},
    engines::Engines,
    error::Error,
    http::{self, AppState, Dial, HealthReport, SipCounters},
    metrics::Metrics,
    store::{LogWriter, Node, Store},
    trunk::{TrunkReport, Trunks},
};

/// How long the call log may take to write its last rows when Milo ends.
const LAST_ROWS: Duration = Duration::from_secs(5);
/// How long recordings may take to be whole when Milo ends.
const LAST_PAGES: Duration = Duration::from_secs(5);
/// The time in which the offences of an address count towards its ban.
const BAN_WITHIN: Duration = Duration::from_secs(600);
/// Room for decoded sound files: an hour, 115 MB.
const PROMPTS: usize = 3600 * milo_media::SAMPLE_RATE as usize;

/// A running Milo.
pub struct Server {
    house: Arc<House>,
    endpoint: Endpoint,
    calls: JoinHandle<()>,
    /// Where it can be called.
    dial: Vec<Dial>,
    /// Dropped when no more calls are taken.
    open: watch::Sender<bool>,
    http: (SocketAddr, JoinHandle<()>),
    close_http: oneshot::Sender<()>,
    writer: JoinHandle<()>,
    retention: Option<JoinHandle<()>>,
    reloads: JoinHandle<()>,
    /// Those that ask the trunks whether they are there; they end with it.
    _asking: JoinSet<()>,
    drain: Duration,
    _node: Node,
}

/// SIGTERM and SIGINT, caught from the moment this is made; until then either ends the process at once. And SIGHUP, which
/// reads certificates anew.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them. To be done before anybody is told that Milo is up: who knows it may ask it to end.
    pub fn caught() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; each SIGHUP until then calls `again`.
    async fn next(&mut self, again: impl Fn()) {
        loop {
            select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => again(),
            }
        }
    }
}

impl Server {
    /// Loads, opens and binds everything. The order is that of the likeliest faults: what is wrong in a file is told before
    /// the engines are loaded.
    pub async fn start(config: &Config, legs: &Handle) -> Result<Self> {
        let node = Node::claim(&config.data_dir)?;
        let hangup = signal(SignalKind::hangup())?;
        let origin = Origin::of(&config.dialplans);
        let dialplans = origin.read()?;
        let store = Store::open(&config.database_url()).await?;
        let left_open = store.close_left_open(node.id()).await?;
        if left_open > 0 {
            tracing::warn!(calls = left_open, "calls were up when Milo was stopped; their rows are closed now");
        }
        let listener = http::bind(config.http.listen).await.map_err(anyhow::Error::msg)?;
        let ports = ports(config);
        let registrar = accounts::registrar(&config.sip)?;
        let names =
            registrar.iter().flat_map(|registrar| registrar.users.iter().map(|user| user.name.clone())).collect();
        let (endpoint, invitations) = bind(config, registrar, ports.clone(), legs)?;
        let accounts = Arc::new(Accounts::new(names, endpoint.telephones().clone()));

        let prompts = Prompts::new(PROMPTS);
        let announced = config.recording.announced_by().into_iter().chain(config.sip.emergency_announcement.clone());
        decode(dialplans.sounds().into_iter().chain(announced).collect(), &prompts).await?;
        let loading = config.clone();
        let personal = dialplans.personas().map(|(_, persona)| persona.prompt.clone()).collect();
        let engines = tokio::task::spawn_blocking(move || Engines::load(&loading, personal)).await??;
        let (voice, sounds) = (engines.voice.clone(), prompts.clone());
        let trunks: Arc<[String]> = config.sip.trunks.iter().map(|trunk| trunk.name.clone()).collect();
        let known = Arc::clone(&accounts);
        let make = move |dialplans| {
            prepare(dialplans, (Arc::clone(&trunks), Arc::clone(&known)), voice.clone(), sounds.clone())
        };
        let (editions, reloads) = Editions::start(origin, dialplans, Some(hangup), make).await?;

        let (log, writer) = LogWriter::start(store.clone(), node.id());
        let metrics = Arc::new(Metrics::new());
        let recordings = Recordings::start(config, log.clone(), Arc::clone(&metrics))?;
        let days = config.recording.retention_days;
        let retention =
            (days > 0).then(|| tokio::spawn(call::daily(recordings.folder().to_owned(), days, store.clone())));
        let (trunks, asking) = Trunks::start(config, &endpoint, (&store, node.id(), &log)).await?;
        let house = Arc::new(House {
            engines,
            editions: editions.clone(),
            prompts,
            recordings,
            live: Arc::default(),
            accounts: Arc::clone(&accounts),
            sip: Arc::new(SipSeen::new(endpoint.ladders().clone(), config.sip.ladders)),
            caller: endpoint.caller().clone(),
            log: log.clone(),
            metrics: Arc::clone(&metrics),
            trunks,
            cleaning: call::cleaning(&config.clean),
            conversation: config.conversation.clone(),
            longest: Duration::from_secs(config.limits.call_seconds),
        });
        let http = listener.local_addr().context("the HTTP listener's address")?;
        let dial = dial(endpoint.local(), &config.sip, &house.editions.current().dialplans);
        let (open, taking) = watch::channel(true);
        let snapshot = Snapshot {
            house: Arc::clone(&house),
            counters: endpoint.watch(),
            local: endpoint.local().to_vec(),
            sip: config.sip.clone(),
            ports,
            limit: config.limits.calls,
            taking: taking.clone(),
        };
        let live = Arc::clone(&house.live);
        let (counters, limit) = (endpoint.watch(), config.limits.calls);
        let (calls_out, placements) = CallsOut::new(
            (editions.clone(), house.trunks.clone()),
            (log.clone(), Arc::clone(&metrics)),
            (Arc::clone(&live), Arc::clone(&house.sip)),
            limit,
            move || counters.borrow().calls < limit,
        );
        let live = (live, Arc::clone(&house.sip), accounts, house.caller.clone());
        let state =
            AppState::new(&config.http, (store, editions), log, live, calls_out, metrics, move || snapshot.take());
        let (close_http, closed) = oneshot::channel();
        let serving = tokio::spawn(http::serve(listener, http::router(state), async {
            closed.await.ok();
        }));
        let calls = tokio::spawn(take_calls(Arc::clone(&house), invitations, placements, taking));
        Ok(Self {
            house,
            endpoint,
            calls,
            dial,
            open,
            http: (http, serving),
            close_http,
            writer,
            retention,
            reloads,
            _asking: asking,
            drain: Duration::from_secs(config.drain.seconds),
            _node: node,
        })
    }

    /// What a person who started Milo wants to read.
    pub fn welcome(&self) -> String {
        let page = match self.http.0 {
            // Every address is none that can be opened.
            at if at.ip().is_unspecified() => format!("http://localhost:{}/", at.port()),
            at => format!("http://{at}/"),
        };
        let edition = self.house.editions.current();
        let mut lines = vec![format!("Milo {} is up.", env!("CARGO_PKG_VERSION")), format!("  open  {page}")];
        lines.extend(self.dial.iter().filter(|dial| dial.number == "milo").map(|dial| format!("  call  {}", dial.uri)));
        let others: Vec<_> = edition.dialplans.numbers().filter(|number| *number != "milo").collect();
        if !others.is_empty() {
            lines.push(format!("        or, in place of milo: {}", others.join(", ")));
        }
        if self.house.engines.models().iter().any(|model| model.demonstration) {
            let notice = "The models that ship are demonstration models, small and trained on synthetic speech; \
                          README.md says how to put others in their place.";
            lines.push(notice.into());
        }
        lines.join("\n")
    }

    /// Where a number can be dialled.
    pub fn dial(&self, number: &str) -> Option<String> {
        self.dial.iter().find(|dial| dial.number == number).map(|dial| dial.uri.clone())
    }

    /// Serves until SIGTERM or SIGINT, then ends; a second signal shortens the drain.
    pub async fn until(self, mut signals: Signals) {
        signals.next(|| self.endpoint.reload_certificate()).await;
        self.end(signals.next(|| ())).await;
    }

    /// Ends politely: no new calls, the running ones up to the drain time (or `at_once`), a BYE for those that are left, the
    /// last rows.
    pub async fn end(self, at_once: impl Future<Output = ()>) {
        let Self { house, endpoint, mut calls, open, http, close_http, writer, retention, reloads, drain, .. } = self;
        let live = endpoint.counters().calls;
        if live > 0 {
            tracing::info!(calls = live, drain_s = drain.as_secs(), "no new calls; waiting for those that are up");
        }
        drop(open);
        // Carriers send their calls elsewhere from now on.
        endpoint.unregister().await;
        let all_over = select! {
            _ = &mut calls => true,
            () = sleep(drain) => false,
            () = at_once => false,
        };
        // A BYE for every call that is left; their tasks then close their rows.
        endpoint.shutdown().await;
        let deadline = Instant::now() + LAST_ROWS;
        if !all_over && timeout_at(deadline, &mut calls).await.is_err() {
            calls.abort();
        }
        close_http.send(()).ok();
        http.1.await.ok();
        let log = house.log.clone();
        if timeout(LAST_PAGES, house.recordings.idle()).await.is_err() {
            tracing::error!("the disk was too slow for the last recordings; they end early");
        }
        drop(house);
        retention.inspect(JoinHandle::abort);
        reloads.abort();
        // With nobody on the line, an ending must not wait for a database that is away.
        let written = log.flush(if live > 0 { LAST_ROWS } else { Duration::from_secs(1) }).await;
        drop(log);
        if !written {
            tracing::error!("the last rows of the call log could not be written");
        }
        writer.abort();
    }
}

/// Decodes sound files before anybody waits for them.
async fn decode(sounds: Vec<PathBuf>, prompts: &Prompts) -> Result<(), Error> {
    let prompts = prompts.clone();
    let decoding = move || sounds.iter().try_for_each(|sound| prompts.sound(sound).map(drop));
    Ok(tokio::task::spawn_blocking(decoding).await.unwrap_or(Ok(()))?)
}

/// Makes the sounds that plans need, before they come into force.
async fn prepare(
    dialplans: Dialplans,
    (trunks, accounts): (Arc<[String]>, Arc<Accounts>),
    voice: Synthesizer,
    prompts: Prompts,
) -> Result<(Dialplans, SetPhrases), Fault> {
    dialplans.check_trunks(|name| trunks.iter().any(|trunk| trunk == name))?;
    dialplans.check_accounts(|name| accounts.knows(name))?;
    let wrong = |error: Error| Fault { file: dialplans.folder().into(), line: None, fault: error.to_string() };
    decode(dialplans.sounds(), &prompts).await.map_err(wrong)?;
    let personas = dialplans.personas().map(|(_, persona)| persona);
    let phrases = SetPhrases::make(&voice, personas).await.map_err(|error| wrong(error.into()))?;
    Ok((dialplans, phrases))
}

/// The ports for audio.
fn ports(config: &Config) -> PortPool {
    let sip = &config.sip;
    PortPool::new(sip.media_address(), config.media.rtp_ports.range())
}

fn bind(
    config: &Config,
    registrar: Option<RegistrarConfig>,
    ports: PortPool,
    legs: &Handle,
) -> Result<(Endpoint, Invitations)> {
    let sip = &config.sip;
    let endpoint = EndpointConfig {
        udp: sip.udp.to_vec(),
        tcp: sip.tcp.to_vec(),
        tls: sip.tls.to_vec(),
        ws: sip.ws.to_vec(),
        wss: sip.wss.to_vec(),
        certificate: sip.certificate(),
        trust: sip.trust()?,
        origins: sip.ws_origins.clone(),
        dns: sip.dns.to_vec(),
        idle: Duration::from_secs(sip.idle_s),
        public_address: sip.public_address,
        stun: sip.stun.clone(),
        trusted: sip.trunks.iter().filter_map(|trunk| trunk.address).collect(),
        legs: leg_options(&config.media),
        codecs: config.media.codecs.to_vec(),
        peer_codecs: peer_codecs(sip),
        max_calls: config.limits.calls,
        user_agent: concat!("Milo/", env!("CARGO_PKG_VERSION")).into(),
        srtp: config.media.srtp.keyed(config.media.srtp_offer),
        keep_alive: (sip.keep_alive_s > 0).then(|| Duration::from_secs(sip.keep_alive_s)),
        bans: (sip.ban_s > 0).then(|| BanTerms {
            wrong_answers: sip.ban_wrong_answers,
            requests: sip.ban_requests,
            within: BAN_WITHIN,
            length: Duration::from_secs(sip.ban_s),
        }),
        registrar,
        // A call has seldom more legs than these.
        ladders: sip.ladders * 4,
        session_timers: SessionTimers { session_expires_s: sip.session_expires_s, min_se_s: sip.min_se_s },
    };
    Endpoint::bind(endpoint, Arc::new(ports), legs.clone()).map_err(|error| match error {
        SignalingError::Bind { transport, .. } => {
            anyhow!("{error}; stop what listens there, or choose another address with [sip] {transport}")
        }
        SignalingError::Certificate { .. } => anyhow!("{error}; see [sip] tls_cert, tls_key and tls_ca"),
        other => other.into(),
    })
}

/// What the trunks speak that have codecs of their own.
fn peer_codecs(sip: &config::Sip) -> Vec<(IpNet, Vec<&'static Codec>)> {
    sip.trunks.iter().filter_map(|trunk| Some((trunk.address?, trunk.codecs.as_ref()?.to_vec()))).collect()
}

/// What the configuration says of each leg.
fn leg_options(media: &config::Media) -> LegOptions {
    LegOptions {
        rtp_timeout: Duration::from_secs(media.rtp_timeout_s),
        jitter_ceiling_ms: media.jitter_ceiling_ms,
        tuning: Tuning { bitrate: media.opus_bitrate, dtx: media.opus_dtx, ..Tuning::default() },
        inband_digits: media.inband_dtmf.into(),
        silence: media.silence.into(),
        dscp: media.dscp,
        learn_from: media.learn_from.into(),
    }
}

/// One task a call. Ends when no more calls are taken and the last one is over.
async fn take_calls(
    house: Arc<House>,
    mut invitations: Invitations,
    mut placements: mpsc::Receiver<Placement>,
    mut taking: watch::Receiver<bool>,
) {
    let mut calls = JoinSet::new();
    loop {
        let invitation: Option<Invitation> = select! {
            invitation = invitations.next() => invitation,
            Some(_) = calls.join_next(), if !calls.is_empty() => continue,
            Some(placement) = placements.recv() => {
                calls.spawn(call::place(Arc::clone(&house), placement));
                continue;
            }
            // The sender is dropped when Milo is asked to end.
            _ = taking.changed() => None,
        };
        match invitation {
            Some(invitation) => calls.spawn(call::run(Arc::clone(&house), invitation)),
            None => break,
        };
    }
    // While the last calls are up, newcomers are sent elsewhere, and nobody is called.
    drop(placements);
    loop {
        select! {
            ended = calls.join_next() => if ended.is_none() { return },
            Some(invitation) = invitations.next() => {
                invitation.reject(503, "Service Unavailable").await.ok();
            }
        }
    }
}

/// Every number on every listener, at an address that can be dialled.
fn dial(local: &[(Transport, SocketAddr)], sip: &config::Sip, dialplans: &Dialplans) -> Vec<Dial> {
    let mut dial = Vec::new();
    for number in dialplans.numbers() {
        // Browsers come by WebSocket, telephones by the rest.
        for (transport, address) in local.iter().filter(|(kind, _)| !matches!(kind, Transport::Ws | Transport::Wss)) {
            let parameter = transport.uri_parameter();
            let uri = format!("sip:{number}@{}{parameter}", sip.dialled(*address));
            if !dial.iter().any(|known: &Dial| known.uri == uri) {
                dial.push(Dial { number: number.into(), uri });
            }
        }
    }
    dial
}

/// Where the health of the running parts is read.
struct Snapshot {
    house: Arc<House>,
    counters: watch::Receiver<Counters>,
    local: Vec<(Transport, SocketAddr)>,
    sip: config::Sip,
    ports: PortPool,
    limit: usize,
    taking: watch::Receiver<bool>,
}

impl Snapshot {
    fn take(&self) -> HealthReport {
        let engines = &self.house.engines;
        let sip = *self.counters.borrow();
        let trunks = self.house.trunks.report();
        let (stopped, faults) = (engines.stopped(), self.house.editions.faults());
        let stopped = stopped.iter().map(|engine| format!("The {engine} has stopped; start Milo anew."));
        let wrong = faults.iter().map(|fault| format!("The dialplans of before are in force: {fault}"));
        let unready = if self.taking.has_changed().is_err() {
            Some("Milo is ending and takes no more calls.".into())
        } else {
            (sip.calls >= self.limit).then(|| format!("All {} places are taken.", self.limit))
        };
        HealthReport {
            models: engines.models(),
            queues: engines.queues(),
            live_calls: sip.calls,
            rtp_ports: self.ports.leased(),
            call_limit: self.limit,
            dial: dial(&self.local, &self.sip, &self.house.editions.current().dialplans),
            degraded: stopped.chain(wrong).chain(trunks.iter().filter_map(TrunkReport::complaint)).collect(),
            trunks,
            unready,
            sip: SipCounters {
                messages_in: sip.messages_in,
                messages_out: sip.messages_out,
                parse_errors: sip.parse_errors,
                refused: sip.refused,
                overloaded: sip.overloaded,
                retransmissions: sip.retransmissions,
                send_failures: sip.send_failures,
                wrong_answers: sip.wrong_answers,
                banned: sip.banned,
                registrations: sip.bindings,
                transactions: sip.transactions,
                connections: sip.connections,
            },
        }
    }
}
