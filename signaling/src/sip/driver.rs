//! The endpoint's one task: it owns the core and the sockets, carries bytes, time and wishes between them, and tells the
//! owners of calls what has become of these.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::{
    core::{CallKey, Core, Counters, Event, Output},
    flow::{Flow, Packet, Path, Transport},
    identity::Identity,
    ladder::Ladders,
    lookups::Lookups,
    message::Message,
    places::Opener,
    registrar::{Proven, Registered},
    registrars::Registrars,
    resolver::Resolver,
    stun::{Binding, is_stun},
    telephones::Telephones,
    transport::{Inbound, Transports},
    trust::Trust,
    waiting::Waiting,
};
use crate::{
    Invitation, Text,
    handle::{CallState, Command, Farewell},
    invitation::LegFactory,
};

/// Messages handled before timers and commands have their turn.
const BATCH: usize = 64;
/// Why a request was not sent that no connection was to be had for, or that the system did not take.
const UNSENT: &str = "no socket of ours takes what is to be sent there";
/// How long a shut-down waits for the answers to its BYEs.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The endpoint's task.
pub(super) struct Driver {
    pub(super) core: Core,
    pub(super) transports: Transports,
    pub(super) calls: HashMap<CallKey, watch::Sender<CallState>>,
    pub(super) registrars: Registrars,
    pub(super) lookups: Lookups,
    /// What registrars and next hops are found with, and whose certificates are believed there.
    pub(super) resolver: Resolver,
    pub(super) trust: Option<Trust>,
    pub(super) waiting: Waiting,
    /// The last question to the STUN server.
    pub(super) binding: Option<Binding>,
    pub(super) commands: mpsc::WeakSender<Command>,
    pub(super) invitations: mpsc::Sender<Invitation>,
    pub(super) texts: mpsc::Sender<Text>,
    pub(super) farewells: mpsc::Sender<Farewell>,
    pub(super) legs: LegFactory,
    pub(super) ladders: Ladders,
    pub(super) registered: Telephones,
    pub(super) report: watch::Sender<Counters>,
}

impl Driver {
    pub(super) async fn run(
        mut self,
        mut inbound: mpsc::Receiver<Inbound>,
        mut commands: mpsc::Receiver<Command>,
        mut farewell: mpsc::Receiver<Farewell>,
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
                Some(Farewell { call, is_answered_elsewhere }) = farewell.recv() => {
                    if is_answered_elsewhere {
                        self.core.answered_elsewhere(call);
                    }
                    self.core.release(now(), call);
                    self.calls.remove(&call);
                    self.waiting.end(call);
                }
                (key, uri, found) = self.lookups.located() => {
                    let ways = found.and_then(|destination| destination.ways(&mut self.transports));
                    self.core.located(now(), key, &uri, ways);
                }
                () = sleep_until(timer) => {}
            }
            let now = now();
            self.core.expire(now);
            self.flush(now);
            if leaving.is_some_and(|until| now >= until || self.core.is_at_rest()) {
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
            Inbound::Datagram(flow, bytes) => match &self.binding {
                Some(binding) if is_stun(&bytes) => {
                    if let Some(seen) = binding.response(flow.remote, &bytes) {
                        self.core.seen_from_outside(seen.ip());
                    }
                }
                _ => {
                    if let Some(sender) = self.core.greet(now, &flow, &bytes) {
                        let flow = self.transports.faced(flow);
                        self.note(&flow, true, &bytes);
                        self.core.read(now, flow, &bytes, sender);
                    }
                }
            },
            Inbound::StunServer(server) => self.ask_stun(server),
            Inbound::Message(flow, message) => {
                if self.ladders.is_on() {
                    self.note(&flow, true, &message.to_bytes());
                }
                self.core.message(now, flow, message);
            }
            Inbound::Unreadable(flow, error) => self.core.malformed(now, flow, &error),
            Inbound::Accepted(transport, stream, remote) => {
                if self.core.admits(now, remote.ip()) {
                    let opener = if self.core.gate.trusts(remote.ip()) { Opener::Known } else { Opener::Stranger };
                    let registrar = self.core.registrar.as_ref();
                    let is_proven = |id| registrar.is_some_and(|registrar| registrar.uses(Some(id)));
                    self.transports.accept((transport, stream, remote), opener, is_proven);
                }
            }
            Inbound::Lost(id) => {
                // Its answers are among the outputs.
                self.flush(now);
                self.transports.close(id);
                self.core.closed(id);
            }
            Inbound::Closed(id) => {
                self.transports.close(id);
                self.core.closed(id);
            }
            Inbound::Unheard(flow) => {
                if let Some(id) = flow.connection {
                    self.transports.close(id);
                    self.core.closed(id);
                }
                self.core.flow_failed(now, &flow);
            }
            Inbound::Idle(flow) => {
                if !self.core.uses(&flow)
                    && let Some(id) = flow.connection
                {
                    self.transports.close(id);
                }
            }
            Inbound::Unsent(transactions, why) => {
                for transaction in transactions {
                    self.core.unreachable(now, transaction, &why);
                }
            }
        }
    }

    /// A message passes. What strangers send is no part of a call, unless one of them may be somebody whom we called.
    fn note(&self, flow: &Flow, received: bool, message: &[u8]) {
        if !received || self.core.hears(flow.remote.ip()) {
            self.ladders.note(wall_clock(), flow, received, message);
        }
    }

    /// Asks a STUN server how it sees our UDP socket.
    fn ask_stun(&mut self, server: SocketAddr) {
        let Some(flow) = self.transports.flow_to(Transport::Udp, server, None) else { return };
        let binding = Binding::new(server, rand::random());
        let path = Path { flow, or_connect: None };
        self.transports.send(Packet { path, bytes: binding.request().into(), transaction: None });
        self.binding = Some(binding);
    }

    /// Does all that the core wants done.
    fn flush(&mut self, now: Instant) {
        while let Some(output) = self.core.poll() {
            match output {
                Output::Send(packet) => {
                    self.note(&packet.path.flow, false, &packet.bytes);
                    if let Some(unsent) = self.transports.send(packet) {
                        self.core.unreachable(now, unsent, UNSENT);
                    }
                }
                Output::KeepAlive(path) => {
                    if !self.transports.keep_alive(path) {
                        self.core.flow_failed(now, &path.flow);
                    }
                }
                Output::Close(connection) => self.transports.close(connection),
                Output::Event(event) => self.pass_on(now, event),
                Output::Locate(key, uri, trust) => {
                    let trust = trust.or_else(|| self.trust.clone());
                    self.lookups.locate(key, uri, self.resolver.clone(), trust);
                }
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
            Event::Invitation { call, invite, source, proven } => self.invite(now, call, invite, (source, proven)),
            Event::Registered(account, telephones) => self.tell_telephones(account, telephones),
            Event::Ringing(call, code) => self.update(call, |state| state.ringing = Some(code)),
            Event::Acknowledged(call) => self.update(call, |state| state.is_acknowledged = true),
            Event::Early(call, session) => self.update(call, |state| {
                state.early = Some(session);
                state.earlies += 1;
            }),
            Event::Answered(call, session) | Event::MediaChange(call, session) => self.update(call, |state| {
                state.session = Some(session);
                state.sessions += 1;
            }),
            Event::Key(call, press) => self.update(call, |state| state.tell_key(press)),
            Event::KeyAnswered(info, code) => self.waiting.key_answered(info, code),
            Event::HoldAnswered(call, code) => self.waiting.hold_answered(call, code),
            Event::Referred(call, referral) => self.update(call, |state| {
                state.referral = Some(referral);
                state.referrals += 1;
            }),
            Event::Replaced(call, by) => self.update(call, |state| {
                state.replaced = Some(*by);
                state.replacements += 1;
            }),
            Event::ReferAnswered(call, code) => self.waiting.refer_answered(call, code),
            Event::ReferProgress(call, code) => self.waiting.refer_progress(call, code),
            Event::Ponged(request, result) => self.waiting.answered(request, result),
            Event::TextAnswered(request, code) => self.waiting.answered(request, Ok(code)),
            Event::Text(text) => self.hand_over(now, *text),
            Event::TextWithin(call, text) => self.update(call, |state| state.tell_text(text)),
            Event::Registration(key, state) => self.registrars.tell(key, state),
            Event::Reasons(call, reasons) => self.update(call, |state| state.reasons = reasons),
            Event::Ended(call, reason) => {
                self.waiting.end(call);
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

    /// The telephones of an account have changed: says in the log how many there are, and tells those who call them.
    fn tell_telephones(&mut self, account: String, now_registered: Arc<[Registered]>) {
        let telephones = now_registered.len();
        let before = self.registered.change(account.clone(), now_registered);
        match telephones {
            _ if telephones == before => {}
            0 => info!(account, "an account is no longer registered"),
            _ => info!(account, telephones, "an account is registered"),
        }
    }

    fn invite(
        &mut self,
        now: Instant,
        call: CallKey,
        invite: Arc<Message>,
        (source, proven): (SocketAddr, Option<Proven>),
    ) {
        let from = invite.from().ok().map(|from| from.uri);
        let Some((from, to)) = from.zip(invite.uri().cloned()) else { return };
        let refused = match (self.invitations.clone().try_reserve_owned(), self.handle(call)) {
            (Ok(place), Some(handle)) => {
                place.send(Invitation {
                    handle,
                    source,
                    proven,
                    from_number: from.user(),
                    to_number: to.user(),
                    identity: Identity::of(&invite),
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

#[expect(clippy::disallowed_methods, reason = "the edge: a message that passes is stamped here")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[expect(clippy::disallowed_methods, reason = "the edge: the core is told the time here")]
pub(super) fn now() -> Instant {
    Instant::now()
}
