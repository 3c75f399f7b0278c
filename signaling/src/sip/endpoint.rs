//! The endpoint as the rest of the house holds it: what it is made from, what places calls, and what ends it.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use ipnet::IpNet;
use milo_media::{CODECS, Codec, LegOptions, PortPool, srtp::Identity};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

use super::{
    account::{Account, RegistrationState},
    bans::BanTerms,
    caller::Caller,
    core::{Core, CoreConfig, Counters},
    driver::{Driver, now},
    flow::Transport,
    introduction::Introduction,
    ladder::Ladders,
    logins::TrunkLogin,
    lookups::Lookups,
    registrar::{Algorithms, RegistrarConfig},
    registrars::Registrars,
    resolver::Resolver,
    session_timer::SessionTimers,
    telephones::Telephones,
    tls::{Certificate, CertificateFiles},
    transport::Transports,
    trust::Trust,
    uri::Uri,
    waiting::Waiting,
};
use crate::{
    Invitations, Outgoing, SignalingError,
    handle::{Command, ask},
    invitation::LegFactory,
    security::{MediaSecurity, Srtp},
};

/// Messages between the sockets and the endpoint's task; full, the sockets wait.
const INBOX: usize = 1024;
/// Commands that wait; full, the owners of calls wait.
const COMMANDS: usize = 256;
/// Texts that wait for whoever takes them; of more, the senders are told to come again.
const TEXTS: usize = 256;

/// What an endpoint is made from.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// UDP listeners; port 0 asks the system for a free one.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners; they need a certificate, as do those for secure WebSocket.
    pub tls: Vec<SocketAddr>,
    /// WebSocket listeners (RFC 7118).
    pub ws: Vec<SocketAddr>,
    /// Secure WebSocket listeners.
    pub wss: Vec<SocketAddr>,
    /// What is shown to those who connect by TLS; read again when the files change.
    pub certificate: Option<CertificateFiles>,
    /// Whose certificates are believed when we connect; None: those of the system's authorities.
    pub trust: Option<Trust>,
    /// The origins of the web pages that may connect by WebSocket; empty: those of the host that they connect to.
    pub origins: Vec<String>,
    /// The DNS servers that are asked where calls go; empty: those of the system.
    pub dns: Vec<SocketAddr>,
    /// How long a stream that no call needs may be silent before it is closed.
    pub idle: Duration,
    /// The address that peers beyond loopback are given instead of our own.
    pub public_address: Option<IpAddr>,
    /// The STUN server, `host:port`, that is asked for that address (RFC 8489).
    pub stun: Option<String>,
    /// Who is served besides loopback: the configured trunks.
    pub trusted: Vec<IpNet>,
    /// What each call's leg is told.
    pub legs: LegOptions,
    /// What calls speak, preferred first.
    pub codecs: Vec<&'static Codec>,
    /// What calls with the peers of a network speak instead; the first that holds the address counts.
    pub peer_codecs: Vec<(IpNet, Vec<&'static Codec>)>,
    /// Calls at once; more are answered 503.
    pub max_calls: usize,
    /// How many of them are up that came by another way than SIP ([`crate::FarEnd`]); whoever takes those counts them here.
    pub others: Arc<AtomicUsize>,
    /// So many places are not given to who calls in now, as whoever serves calls has no room for more.
    pub withheld: Arc<AtomicUsize>,
    /// User-Agent and Server.
    pub user_agent: String,
    /// What calls want of SRTP.
    pub srtp: Srtp,
    /// What calls want of session timers.
    pub session_timers: SessionTimers,
    /// How often ways through NATs are kept open: those to registrars, and those to telephones that are registered here over
    /// UDP; `None`: never.
    pub keep_alive: Option<Duration>,
    /// When strangers are shut out for a time; `None`: never.
    pub bans: Option<BanTerms>,
    /// Whose telephones may register here; `None`: nobody's.
    pub registrar: Option<RegistrarConfig>,
    /// Trunks that may call from anywhere, and must prove who they are.
    pub logins: Vec<TrunkLogin>,
    /// How they do.
    pub algorithms: Algorithms,
    /// Numbers whose calls are taken however many are up: those for emergencies.
    pub urgent: Vec<String>,
    /// The ladders of how many dialogs stay after their calls; 0: no SIP is kept.
    pub ladders: usize,
}

impl Default for EndpointConfig {
    /// No listeners, nobody but loopback, every codec, SRTP for those who want it, 100 calls, no ladders.
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            ws: Vec::new(),
            wss: Vec::new(),
            certificate: None,
            trust: None,
            origins: Vec::new(),
            dns: Vec::new(),
            idle: Duration::from_secs(3600),
            public_address: None,
            stun: None,
            trusted: Vec::new(),
            legs: LegOptions::default(),
            codecs: CODECS.to_vec(),
            peer_codecs: Vec::new(),
            max_calls: 100,
            others: Arc::default(),
            withheld: Arc::default(),
            user_agent: "Milo".to_owned(),
            srtp: Srtp::default(),
            session_timers: SessionTimers::default(),
            keep_alive: None,
            bans: None,
            registrar: None,
            logins: Vec::new(),
            algorithms: Algorithms { sha256: true, md5: true },
            urgent: Vec::new(),
            ladders: 0,
        }
    }
}

/// A SIP endpoint. Dropping it, its [`Invitations`] and every call ends its task.
#[derive(Debug)]
pub struct Endpoint {
    caller: Caller,
    counters: watch::Receiver<Counters>,
    telephones: Telephones,
    certificate: Option<Arc<Certificate>>,
    ladders: Ladders,
    local: Vec<(Transport, SocketAddr)>,
}

impl Endpoint {
    /// Opens the listeners and starts to serve, on the tokio runtime that this is called from. Legs run on `media`.
    ///
    /// # Errors
    /// [`SignalingError::Bind`] names the address that could not be had; [`SignalingError::Certificate`] the file;
    /// [`SignalingError::Media`]: no certificate for DTLS.
    pub fn bind(
        config: EndpointConfig,
        ports: Arc<PortPool>,
        media: Handle,
    ) -> Result<(Self, Invitations), SignalingError> {
        let (inbox, inbound) = mpsc::channel(INBOX);
        let transports = Transports::bind(&config, inbox)?;
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (invitations, queue) = mpsc::channel(config.max_calls.clamp(1, 1024));
        let (texts, texted) = mpsc::channel(TEXTS);
        // One place for each call and some for those whose owners have not noticed yet that they are over.
        let (farewells, farewell) = mpsc::channel(config.max_calls.saturating_mul(2).clamp(64, 1 << 20));
        let (report, counters) = watch::channel(Counters::default());
        let legs = LegFactory { ports, runtime: media, options: config.legs.clone() };
        let local = transports.local();
        let certificate = transports.certificate();
        let resolver = Resolver::new(&config.dns);
        let identity = (config.srtp != Srtp::Off).then(Identity::generate).transpose()?;
        let core = Core::new(
            now(),
            CoreConfig {
                public_address: config.public_address,
                media_address: legs.ports.address(),
                trusted: config.trusted,
                max_calls: config.max_calls,
                others: config.others,
                withheld: config.withheld,
                user_agent: config.user_agent,
                codecs: config.codecs.into(),
                peer_codecs: config.peer_codecs.into_iter().map(|(network, codecs)| (network, codecs.into())).collect(),
                tuning: config.legs.tuning,
                security: MediaSecurity { srtp: config.srtp, identity },
                session_timers: config.session_timers,
                keep_alive: config.keep_alive,
                bans: config.bans,
                registrar: config.registrar,
                logins: config.logins,
                algorithms: config.algorithms,
                urgent: config.urgent,
                seed: rand::random(),
            },
        );
        let telephones = Telephones::default();
        let ladders = Ladders::new(config.ladders);
        let driver = Driver {
            core,
            transports,
            calls: HashMap::new(),
            waiting: Waiting::default(),
            registrars: Registrars::default(),
            lookups: Lookups::default(),
            resolver: resolver.clone(),
            trust: config.trust.clone(),
            binding: None,
            commands: commands.downgrade(),
            invitations,
            texts,
            farewells,
            legs: legs.clone(),
            ladders: ladders.clone(),
            registered: telephones.clone(),
            report,
        };
        tokio::spawn(driver.run(inbound, asked, farewell));
        let invitations = Invitations { queue, texts: Some(texted), _commands: commands.clone() };
        let caller = Caller { commands, legs, trust: config.trust, routes: Arc::new([]), resolver, is_urgent: false };
        Ok((Self { caller, counters, telephones, certificate, ladders, local }, invitations))
    }

    /// The listeners, with the ports that the system chose.
    pub fn local(&self) -> &[(Transport, SocketAddr)] {
        &self.local
    }

    /// The telephones that are registered here.
    pub fn telephones(&self) -> &Telephones {
        &self.telephones
    }

    /// The SIP messages of its calls, as far as they are kept.
    pub fn ladders(&self) -> &Ladders {
        &self.ladders
    }

    /// What places calls from here.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same as [`Caller::call`].
    ///
    /// # Errors
    /// Those of [`Caller::call`].
    pub async fn call(&self, target: &Uri, from: impl Into<Introduction>) -> Result<Outgoing, SignalingError> {
        self.caller.call(target, from).await
    }

    /// Reads the files of our certificate anew, should their changing have gone unseen. What is wrong with them is said
    /// in the log, and the old certificate stays.
    pub fn reload_certificate(&self) {
        if let Some(certificate) = &self.certificate {
            certificate.reload();
        }
    }

    /// What has happened since the start, and what is live now.
    pub fn counters(&self) -> Counters {
        *self.counters.borrow()
    }

    /// The same, for somebody who outlives the borrow of this endpoint.
    pub fn watch(&self) -> watch::Receiver<Counters> {
        self.counters.clone()
    }

    /// Registers an account and keeps it registered until [`Endpoint::unregister`] or the end of this endpoint; calls from
    /// the registrar's address are served.
    ///
    /// # Errors
    /// [`SignalingError::Target`]: the registrar is no SIP URI. [`SignalingError::Stopped`].
    pub async fn register(&self, account: Account) -> Result<watch::Receiver<RegistrationState>, SignalingError> {
        if account.registrar.as_sip().is_none() {
            let reason = "a registrar is named by a sip: URI".to_owned();
            return Err(SignalingError::Target { target: account.registrar.to_string(), reason });
        }
        ask(&self.caller.commands, |reply| Command::Register(Box::new(account), reply)).await
    }

    /// Takes every registration away: no new calls are wanted. Those that are up stay up.
    pub async fn unregister(&self) {
        // An error means that the task has ended, and its registrations with it.
        let _ = self.caller.commands.send(Command::Unregister).await;
    }

    /// Ends every call, waits a moment for the last answers, and closes the sockets.
    pub async fn shutdown(self) {
        let (done, wait) = oneshot::channel();
        if self.caller.commands.send(Command::Shutdown(done)).await.is_ok() {
            // An error means that the task has ended, which is what is wanted.
            let _ = wait.await;
        }
    }
}
