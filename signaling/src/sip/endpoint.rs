//! The endpoint: one task that owns the core and the sockets, and the handle that the rest of the house holds.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use milo_media::{CODECS, Codec, LegOptions, PortPool, srtp::Identity};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};
use tracing::{debug, warn};

use super::{
    core::{CallKey, Core, CoreConfig, Counters, Event, Output},
    flow::{DEFAULT_PORT, Transport},
    message::Message,
    transaction::table::TransactionId,
    transport::{Inbound, Transports},
    uri::Uri,
};
use crate::{
    Invitation, Invitations, Outgoing, SignalingError,
    handle::{CallHandle, CallState, Command, NewCall, Reply, ask},
    invitation::LegFactory,
    security::{MediaSecurity, Srtp},
};

/// Messages between the sockets and the endpoint's task; full, the sockets wait.
const INBOX: usize = 1024;
/// Commands that wait; full, the owners of calls wait.
const COMMANDS: usize = 256;
/// Messages handled before timers and commands have their turn.
const BATCH: usize = 64;
/// How long a shut-down waits for the answers to its BYEs.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What an endpoint is made from.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// UDP listeners; port 0 asks the system for a free one.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// The address that peers beyond loopback are given instead of our own.
    pub public_address: Option<IpAddr>,
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
    /// User-Agent and Server.
    pub user_agent: String,
    /// What calls want of SRTP.
    pub srtp: Srtp,
}

impl Default for EndpointConfig {
    /// No listeners, nobody but loopback, every codec, SRTP for those who want it, 100 calls.
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            public_address: None,
            trusted: Vec::new(),
            legs: LegOptions::default(),
            codecs: CODECS.to_vec(),
            peer_codecs: Vec::new(),
            max_calls: 100,
            user_agent: "Milo".to_owned(),
            srtp: Srtp::default(),
        }
    }
}

/// A SIP endpoint. Dropping it, its [`Invitations`] and every call ends its task.
#[derive(Debug)]
pub struct Endpoint {
    caller: Caller,
    counters: watch::Receiver<Counters>,
}

/// Places calls from an endpoint. Cheap to clone, for whoever does not own the endpoint.
#[derive(Clone, Debug)]
pub struct Caller {
    commands: mpsc::Sender<Command>,
    local: Arc<[(Transport, SocketAddr)]>,
    legs: LegFactory,
}

impl Endpoint {
    /// Opens the listeners and starts to serve, on the tokio runtime that this is called from. Legs run on `media`.
    ///
    /// # Errors
    /// [`SignalingError::Bind`] names the address that could not be had; [`SignalingError::Media`]: no certificate.
    pub fn bind(
        config: EndpointConfig,
        ports: Arc<PortPool>,
        media: Handle,
    ) -> Result<(Self, Invitations), SignalingError> {
        let (inbox, inbound) = mpsc::channel(INBOX);
        let transports = Transports::bind(&config.udp, &config.tcp, inbox)?;
        let (commands, asked) = mpsc::channel(COMMANDS);
        let (invitations, queue) = mpsc::channel(config.max_calls.clamp(1, 1024));
        // One place for each call and some for those whose owners have not noticed yet that they are over.
        let (farewells, farewell) = mpsc::channel(config.max_calls.saturating_mul(2).clamp(64, 1 << 20));
        let (report, counters) = watch::channel(Counters::default());
        let legs = LegFactory { ports, runtime: media, options: config.legs.clone() };
        let local = transports.local().into();
        let identity = (config.srtp != Srtp::Off).then(Identity::generate).transpose()?;
        let core = Core::new(
            now(),
            CoreConfig {
                public_address: config.public_address,
                media_address: legs.ports.address(),
                trusted: config.trusted,
                max_calls: config.max_calls,
                user_agent: config.user_agent,
                codecs: config.codecs.into(),
                peer_codecs: config.peer_codecs.into_iter().map(|(network, codecs)| (network, codecs.into())).collect(),
                tuning: config.legs.tuning,
                security: MediaSecurity { srtp: config.srtp, identity },
                seed: rand::random(),
            },
        );
        let driver = Driver {
            core,
            transports,
            calls: HashMap::new(),
            told_keys: HashMap::new(),
            commands: commands.downgrade(),
            invitations,
            farewells,
            legs: legs.clone(),
            report,
        };
        tokio::spawn(driver.run(inbound, asked, farewell));
        let invitations = Invitations { queue, _commands: commands.clone() };
        Ok((Self { caller: Caller { commands, local, legs }, counters }, invitations))
    }

    /// The listeners, with the ports that the system chose.
    pub fn local(&self) -> &[(Transport, SocketAddr)] {
        &self.caller.local
    }

    /// What places calls from here.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same as [`Caller::call`].
    ///
    /// # Errors
    /// Those of [`Caller::call`].
    pub async fn call(&self, target: &Uri, from: &str) -> Result<Outgoing, SignalingError> {
        self.caller.call(target, from).await
    }

    /// What has happened since the start, and what is live now.
    pub fn counters(&self) -> Counters {
        *self.counters.borrow()
    }

    /// The same, for somebody who outlives the borrow of this endpoint.
    pub fn watch(&self) -> watch::Receiver<Counters> {
        self.counters.clone()
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

impl Caller {
    /// Calls a `sip:` URI, over UDP unless it says `;transport=tcp`. `from` is a SIP URI, or the user part of one at
    /// our own address.
    ///
    /// # Errors
    /// [`SignalingError::Target`], [`SignalingError::Full`], [`SignalingError::Media`], [`SignalingError::Stopped`].
    pub async fn call(&self, target: &Uri, from: &str) -> Result<Outgoing, SignalingError> {
        let wrong = |reason: &str| SignalingError::Target { target: target.to_string(), reason: reason.to_owned() };
        let sip = target.as_sip().filter(|uri| uri.scheme.eq_ignore_ascii_case("sip"));
        let sip = sip.ok_or_else(|| wrong("only sip: URIs can be called"))?;
        let transport = match target.param("transport").map(str::to_ascii_lowercase).as_deref() {
            None | Some("udp") => Transport::Udp,
            Some("tcp") => Transport::Tcp,
            Some(other) => return Err(wrong(&format!("the transport {other} is not there yet; udp and tcp are"))),
        };
        let port = sip.port.unwrap_or(DEFAULT_PORT);
        let remote = match sip.host.ip() {
            Some(ip) => SocketAddr::new(ip, port),
            None => {
                let found = tokio::net::lookup_host((sip.host.as_str(), port)).await;
                let mut found: Vec<_> = found.map_err(|error| wrong(&error.to_string()))?.collect();
                // IPv4 first: most telephones have nothing else.
                found.sort_by_key(SocketAddr::is_ipv6);
                let ours = |address: &&SocketAddr| {
                    self.local.iter().any(|(kind, local)| *kind == transport && local.is_ipv4() == address.is_ipv4())
                };
                *found.iter().find(ours).or(found.first()).ok_or_else(|| wrong("its host has no address"))?
            }
        };
        let socket = self.legs.ports.bind()?;
        let rtp = socket.local_addr()?;
        let call = NewCall { target: target.clone(), from: from.to_owned(), transport, remote, rtp };
        let (handle, call_id) = ask(&self.commands, |reply| Command::Call(Box::new(call), reply)).await?;
        Ok(Outgoing { call_id, waiting: Some((handle, socket)), legs: self.legs.clone(), told: None })
    }
}

/// The endpoint's task.
struct Driver {
    core: Core,
    transports: Transports,
    calls: HashMap<CallKey, watch::Sender<CallState>>,
    /// Who waits for the answer to an INFO.
    told_keys: HashMap<TransactionId, (CallKey, Reply<()>)>,
    commands: mpsc::WeakSender<Command>,
    invitations: mpsc::Sender<Invitation>,
    farewells: mpsc::Sender<CallKey>,
    legs: LegFactory,
    report: watch::Sender<Counters>,
}

impl Driver {
    async fn run(
        mut self,
        mut inbound: mpsc::Receiver<Inbound>,
        mut commands: mpsc::Receiver<Command>,
        mut farewell: mpsc::Receiver<CallKey>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut leaving = None;
        let mut asked = None;
        loop {
            let timer = super::transaction::earliest(self.core.next_timer(), leaving);
            tokio::select! {
                _ = inbound.recv_many(&mut batch, BATCH) => {
                    let now = now();
                    for inbound in batch.drain(..) {
                        self.take(now, inbound);
                    }
                }
                command = commands.recv(), if leaving.is_none() => match command {
                    Some(Command::Shutdown(done)) => {
                        asked = Some(done);
                        leaving = Some(self.say_goodbye());
                    }
                    Some(command) => self.obey(now(), command),
                    // Nobody is left who could want anything.
                    None => leaving = Some(self.say_goodbye()),
                },
                Some(call) = farewell.recv() => self.core.release(now(), call),
                () = sleep_until(timer) => {}
            }
            let now = now();
            self.core.expire(now);
            self.flush(now);
            if leaving.is_some_and(|until| now >= until || self.core.counters().calls == 0) {
                break;
            }
        }
        self.transports.finish(LAST_WORDS).await;
        drop(self);
        if let Some(asked) = asked {
            // Whoever asked may have gone.
            let _ = asked.send(());
        }
    }

    /// Ends every call; returns until when their answers are waited for.
    fn say_goodbye(&mut self) -> Instant {
        let now = now();
        self.core.shutdown(now);
        now + LAST_WORDS
    }

    fn take(&mut self, now: Instant, inbound: Inbound) {
        match inbound {
            Inbound::Datagram(flow, bytes) => self.core.datagram(now, flow, &bytes),
            Inbound::Message(flow, message) => self.core.message(now, flow, message),
            Inbound::Unreadable(flow, error) => self.core.malformed(now, flow, &error),
            Inbound::Accepted(stream, remote) => {
                if self.core.admits(now, remote.ip()) {
                    self.transports.accept(stream, remote);
                }
            }
            Inbound::Lost(id) => {
                // Its answers are among the outputs.
                self.flush(now);
                self.transports.close(id);
            }
            Inbound::Closed(id) => self.transports.close(id),
            Inbound::Unsent(transactions) => {
                for transaction in transactions {
                    self.core.unreachable(now, transaction);
                }
            }
        }
    }

    fn obey(&mut self, now: Instant, command: Command) {
        // A reply that nobody waits for is dropped: the owner is gone, and its farewell follows.
        match command {
            Command::Ring(call, reply) => drop(reply.send(self.core.ring(now, call))),
            Command::Answer(call, rtp, reply) => drop(reply.send(self.core.answer(now, call, rtp))),
            Command::Reject(call, code, reason, reply) => {
                drop(reply.send(self.core.reject_invite(now, call, code, &reason)));
                // An answer that its owner gave itself needs no news.
                self.calls.remove(&call);
            }
            Command::TellKey(call, press, reply) => match self.core.tell_key(now, call, press) {
                Ok(info) => drop(self.told_keys.insert(info, (call, reply))),
                Err(error) => drop(reply.send(Err(error))),
            },
            Command::HangUp(call, reply) => drop(reply.send(self.core.hang_up(now, call))),
            Command::Call(call, reply) => self.call(now, &call, reply),
            // Handled where the task can end.
            Command::Shutdown(done) => drop(done),
        }
    }

    fn call(&mut self, now: Instant, call: &NewCall, reply: Reply<(CallHandle, String)>) {
        let placed = self.place(now, call);
        drop(reply.send(placed));
    }

    fn place(&mut self, now: Instant, call: &NewCall) -> Result<(CallHandle, String), SignalingError> {
        let Some(flow) = self.transports.flow_to(call.transport, call.remote) else {
            let reason = format!("no {} socket of ours reaches {}", call.transport, call.remote.ip());
            return Err(SignalingError::Target { target: call.target.to_string(), reason });
        };
        let or_connect = (call.transport == Transport::Tcp).then_some(call.remote);
        let path = super::flow::Path { flow, or_connect };
        let key = self.core.call(now, &call.target, &call.from, path, call.rtp)?;
        let call_id = self.core.call_id(key).unwrap_or_default();
        match self.handle(key) {
            Some(handle) => Ok((handle, call_id)),
            None => {
                self.core.release(now, key);
                Err(SignalingError::Stopped)
            }
        }
    }

    /// The cord to a new call; `None` when more owners hold ended calls than there is room for.
    fn handle(&mut self, key: CallKey) -> Option<CallHandle> {
        let commands = self.commands.upgrade()?;
        let farewell = self.farewells.clone().try_reserve_owned().ok()?;
        let (state, watch) = watch::channel(CallState::default());
        self.calls.insert(key, state);
        Some(CallHandle { key, commands, state: watch, farewell: Some(farewell) })
    }

    /// Does all that the core wants done.
    fn flush(&mut self, now: Instant) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Send(packet) => {
                    if let Some(unsent) = self.transports.send(packet) {
                        self.core.unreachable(now, unsent);
                    }
                }
                Output::Close(connection) => self.transports.close(connection),
                Output::Event(event) => self.pass_on(now, event),
            }
        }
        if let Some(strangers) = self.core.report_strangers(now) {
            warn!(requests = strangers, "SIP requests from addresses that are no configured trunk were refused");
        }
        let counters = Counters {
            connections: self.transports.connections(),
            send_failures: self.transports.send_failures,
            ..self.core.counters()
        };
        self.report.send_if_modified(|last| std::mem::replace(last, counters) != counters);
    }

    fn pass_on(&mut self, now: Instant, event: Event) {
        match event {
            Event::Invitation { call, invite, source } => self.invite(now, call, invite, source),
            Event::Ringing(call, code) => self.update(call, |state| state.ringing = Some(code)),
            Event::Answered(call, session) | Event::MediaChange(call, session) => self.update(call, |state| {
                state.session = Some(session);
                state.sessions += 1;
            }),
            Event::Key(call, press) => self.update(call, |state| state.tell_key(press)),
            Event::KeyAnswered(info, code) => {
                if let Some((_, reply)) = self.told_keys.remove(&info) {
                    let taken = (200..300).contains(&code);
                    drop(reply.send(if taken { Ok(()) } else { Err(SignalingError::Key { code }) }));
                }
            }
            Event::Ended(call, reason) => {
                for (_, (_, reply)) in self.told_keys.extract_if(|_, (of, _)| *of == call) {
                    drop(reply.send(Err(SignalingError::Gone)));
                }
                self.update(call, |state| state.ended = Some(reason));
                self.calls.remove(&call);
            }
        }
    }

    fn update(&mut self, call: CallKey, change: impl FnOnce(&mut CallState)) {
        if let Some(state) = self.calls.get(&call) {
            state.send_modify(change);
        }
    }

    fn invite(&mut self, now: Instant, call: CallKey, invite: Arc<Message>, source: SocketAddr) {
        let from = invite.from().ok().map(|from| from.uri);
        let Some((from, to)) = from.zip(invite.uri().cloned()) else { return };
        let refused = match (self.invitations.clone().try_reserve_owned(), self.handle(call)) {
            (Ok(place), Some(handle)) => {
                place.send(Invitation {
                    handle,
                    source,
                    from_number: from.user(),
                    to_number: to.user(),
                    from,
                    to,
                    invite,
                    legs: self.legs.clone(),
                });
                return;
            }
            (Err(mpsc::error::TrySendError::Closed(_)), _) => 480,
            _ => 503,
        };
        debug!(code = refused, "a call was turned away: nobody takes it");
        // Gone means that the caller gave up within the same batch.
        let _ = self.core.reject_invite(now, call, refused, "");
        self.calls.remove(&call);
    }
}

async fn sleep_until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: the core is told the time here")]
fn now() -> Instant {
    Instant::now()
}
