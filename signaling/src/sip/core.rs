//! The sans-IO heart: messages, actions of the user and the time go in; packets, events and the next timer come out.
//! No task, no clock, no lock, no socket.
//!
//! ```text
//!  datagram() message() ──► receive ──► transactions ──► calls ──► Output::Event
//!  call() ring() answer() reject() hold() refer() hang_up() release() ──► calls ──► transactions ──► Output::Send
//!  expire(now), due at next_timer() ──► both
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ipnet::IpNet;
use milo_media::{CODECS, Codec, Tuning};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

pub(crate) use super::usage::acknowledges_progress;
use super::{
    bans::{BanTerms, Bans},
    deaf::Deaf,
    dialog::Dialog,
    flow::{ConnectionId, Packet, Path},
    gate::Gate,
    headers::Name,
    keep_alive::KeepAlive,
    logins::{Logins, TrunkLogin},
    message::Message,
    nat::{SeenAs, sent_by},
    registrar::{Algorithms, Proven, Registrar, RegistrarConfig},
    registration::Registration,
    session_timer::SessionTimers,
    transaction::{
        message::MAGIC_COOKIE,
        table::{Told, TransactionId, Transactions},
    },
    usage::{Call, Ping, Sending},
};
pub use super::{
    end_reason::EndReason,
    output::{Event, Output},
    usage::{EarlyMedia, Newcomer, TextIn},
};
use crate::security::MediaSecurity;

/// As often as a timer may be due again at one moment: a call has fewer deadlines.
const AT_ONE_MOMENT: usize = 16;

/// Which call; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(crate) u64);

/// What the core must know from the start.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The address that peers beyond loopback are given instead of our own.
    pub public_address: Option<IpAddr>,
    /// What RTP sockets are bound to; unspecified: every address.
    pub media_address: IpAddr,
    /// Who is served besides loopback.
    pub trusted: Vec<IpNet>,
    /// Calls at once.
    pub max_calls: usize,
    /// How many of them are up that came by another way than SIP; whoever takes those counts them here.
    pub others: Arc<AtomicUsize>,
    /// So many places are not given to who calls in now.
    pub withheld: Arc<AtomicUsize>,
    /// User-Agent and Server.
    pub user_agent: String,
    /// What calls speak, preferred first.
    pub codecs: Arc<[&'static Codec]>,
    /// What calls with the peers of a network speak instead; the first that holds the address counts.
    pub peer_codecs: Vec<(IpNet, Arc<[&'static Codec]>)>,
    /// What is wanted of codecs that have a choice.
    pub tuning: Tuning,
    /// What calls want of SRTP.
    pub security: MediaSecurity,
    /// What calls want of session timers.
    pub session_timers: SessionTimers,
    /// How often ways through NATs are kept open; `None`: never.
    pub keep_alive: Option<Duration>,
    /// When strangers are shut out; `None`: never.
    pub bans: Option<BanTerms>,
    /// Whose telephones may register with us.
    pub registrar: Option<RegistrarConfig>,
    /// Trunks that may call from anywhere, and must prove who they are.
    pub logins: Vec<TrunkLogin>,
    /// How they do.
    pub algorithms: Algorithms,
    /// Numbers whose calls are taken however many are up: those for emergencies.
    pub urgent: Vec<String>,
    /// Secret from which tags and branches are drawn.
    pub seed: [u8; 32],
}

impl CoreConfig {
    /// How many calls of SIP may be up now.
    pub(super) fn room(&self) -> usize {
        self.max_calls.saturating_sub(self.others.load(Ordering::Acquire))
    }

    /// How many may be up that one more is let in beside.
    pub(super) fn admitted(&self) -> usize {
        self.room().saturating_sub(self.withheld.load(Ordering::Acquire))
    }

    /// Everything that a call with this peer may come to speak, once it is known which trunk it is of.
    pub(super) fn spoken_with(&self, peer: IpAddr, proven: Option<&Proven>) -> Arc<[&'static Codec]> {
        if let Some(Proven::Trunk(_)) = proven {
            return CODECS.into();
        }
        let peer = peer.to_canonical();
        let mut all: Vec<&'static Codec> = Vec::new();
        let own = self.peer_codecs.iter().filter(|(network, _)| network.contains(&peer));
        let every = own.flat_map(|(_, codecs)| codecs.iter());
        for codec in every.chain(self.codecs.iter()) {
            if !all.contains(codec) {
                all.push(codec);
            }
        }
        all.into()
    }

    /// What calls with this peer speak.
    pub(super) fn codecs_with(&self, peer: IpAddr) -> Arc<[&'static Codec]> {
        let peer = peer.to_canonical();
        let own = self.peer_codecs.iter().find(|(network, _)| network.contains(&peer)).map(|(_, codecs)| codecs);
        Arc::clone(own.unwrap_or(&self.codecs))
    }
}

/// What has happened since the start, and what is live now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// What was received and could not be read.
    pub parse_errors: u64,
    /// Requests of strangers, refused or met with silence.
    pub refused: u64,
    /// Messages sent again.
    pub retransmissions: u64,
    /// Calls turned away with 503.
    pub overloaded: u64,
    /// Datagrams and messages that the system or a slow peer did not take.
    pub send_failures: u64,
    /// Answers to our challenges that were wrong.
    pub wrong_answers: u64,
    /// Answers to our challenges that were not judged, since too many wrong ones came before.
    pub unjudged: u64,
    /// Datagrams, requests and connections of banned addresses.
    pub banned: u64,
    /// Telephones that are registered with us.
    pub bindings: usize,
    /// Live transactions.
    pub transactions: usize,
    /// Live calls.
    pub calls: usize,
    /// Open stream connections.
    pub connections: usize,
    /// The address that peers beyond loopback are given, where it is configured or was learnt by STUN.
    pub public_address: Option<IpAddr>,
}

/// The core.
#[derive(Debug)]
pub struct Core {
    pub(super) config: CoreConfig,
    pub(super) gate: Gate,
    pub(super) transactions: Transactions,
    pub(super) calls: HashMap<CallKey, Call>,
    /// Their keys are of the same series as those of calls.
    pub(super) registrations: BTreeMap<CallKey, Registration>,
    pub(super) registrar: Option<Registrar>,
    pub(super) logins: Option<Logins>,
    pub(super) bans: Bans,
    pub(super) keep_alive: KeepAlive,
    /// OPTIONS of ours without a final response; of the same series.
    pub(super) pings: HashMap<CallKey, Ping>,
    /// MESSAGEs of ours without a final response; of the same series.
    pub(super) texts: HashMap<CallKey, Sending>,
    /// Bytes of the datagram that was read last.
    pub(super) read: usize,
    /// Places that have not answered lately.
    pub(super) deaf: Deaf,
    /// The ACKs of answers, by the tag of whoever answered, that came after their INVITE was given up or its call was over, to be sent again when those come again.
    pub(super) late: VecDeque<((TransactionId, String), Packet)>,
    /// Call-ID and local tag to call.
    pub(super) dialogs: HashMap<(String, String), CallKey>,
    /// INFOs of ours without a final response.
    pub(super) told_keys: HashSet<TransactionId>,
    pub(super) seen_as: SeenAs,
    pub(super) timers: BTreeSet<(Instant, CallKey)>,
    pub(super) packets: VecDeque<Packet>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) counters: Counters,
    /// Live calls that we placed to strangers: their requests must be read to be told from intruders'.
    pub(super) calls_to_strangers: usize,
    /// How many live calls there are with each address that is not trusted: what it sends may be for one of them.
    pub(super) guests: HashMap<IpAddr, usize>,
    rng: StdRng,
    last_call: u64,
}

impl Core {
    /// A core without calls.
    pub fn new(now: Instant, mut config: CoreConfig) -> Self {
        let mut rng = StdRng::from_seed(config.seed);
        let registrar = config.registrar.take().map(|registrar| Registrar::new(now, registrar, rng.random()));
        let logins = std::mem::take(&mut config.logins);
        let logins = (!logins.is_empty()).then(|| Logins::new(now, logins, config.algorithms, || rng.random()));
        Self {
            gate: Gate::new(now, config.trusted.clone()),
            transactions: Transactions::default(),
            calls: HashMap::new(),
            registrations: BTreeMap::new(),
            registrar,
            logins,
            bans: Bans::new(now, config.bans),
            pings: HashMap::new(),
            texts: HashMap::new(),
            read: 0,
            deaf: Deaf::default(),
            late: VecDeque::new(),
            keep_alive: KeepAlive::new(config.keep_alive),
            dialogs: HashMap::new(),
            told_keys: HashSet::new(),
            seen_as: SeenAs::default(),
            timers: BTreeSet::new(),
            packets: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: Counters::default(),
            calls_to_strangers: 0,
            guests: HashMap::new(),
            rng,
            last_call: 0,
            config,
        }
    }

    /// The next thing to do; call until there is none after every input.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(packet) = self.packets.pop_front() {
            self.counters.messages_out += 1;
            return Some(Output::Send(packet));
        }
        self.outputs.pop_front()
    }

    /// When [`Self::expire`] wants to be called.
    pub fn next_timer(&self) -> Option<Instant> {
        let call = self.timers.first().map(|(at, _)| *at);
        let calls = super::transaction::earliest(call, self.transactions.next_timer());
        let lapse = self.registrar.as_ref().and_then(Registrar::deadline);
        let registrations = super::transaction::earliest(self.registration_timer(), self.keep_alive_timer());
        super::transaction::earliest(super::transaction::earliest(calls, lapse), registrations)
    }

    /// Time has passed: runs every timer that is due.
    pub fn expire(&mut self, now: Instant) {
        while let Some((id, owner, told)) = self.transactions.expire(now, &mut self.packets) {
            if let (Some(call), Some(told)) = (owner, told) {
                self.tell(now, call, id, told);
            }
        }
        let mut again = 0;
        while let Some((at, call)) = self.timers.first().copied()
            && at <= now
        {
            if self.pings.contains_key(&call) {
                self.expire_ping(now, call);
            } else {
                self.expire_call(now, call);
            }
            // Several may be due at one moment. One that is not moved on at all is its call's fault, and stops no other.
            again = if self.timers.first() == Some(&(at, call)) { again + 1 } else { 0 };
            if again > AT_ONE_MOMENT {
                debug_assert!(false, "a timer was not moved on");
                self.timers.remove(&(at, call));
            }
        }
        self.expire_registrations(now);
        self.expire_bindings(now);
        self.keep_ways_open(now);
    }

    /// The driver could not send the request of this transaction, and why.
    pub fn unreachable(&mut self, now: Instant, id: TransactionId, why: &str) {
        if let Some(path) = self.transactions.path(id) {
            self.deaf.note(now, &path);
        }
        if let Some(call) = self.transactions.unreachable(id) {
            self.tell(now, call, id, Told::Unreachable(why.to_owned()));
        }
    }

    /// A connection is no more: what is said within the calls that came by it opens another one.
    pub fn closed(&mut self, connection: ConnectionId) {
        let dialogs = self.calls.values_mut().flat_map(Call::dialogs_mut);
        dialogs.filter(|dialog| dialog.flow.connection == Some(connection)).for_each(Dialog::cut);
        self.unbind(connection);
    }

    /// A STUN server has seen our socket under this address.
    pub fn seen_from_outside(&mut self, address: IpAddr) {
        if self.config.public_address.replace(address) != Some(address) {
            tracing::info!(%address, "the STUN server sees Milo under this address; telephones are told it");
        }
    }

    /// A snapshot.
    pub fn counters(&self) -> Counters {
        Counters {
            retransmissions: self.counters.retransmissions + self.transactions.retransmissions,
            transactions: self.transactions.len(),
            calls: self.calls.len(),
            public_address: self.config.public_address,
            ..self.counters
        }
    }

    /// Refusals of strangers to be logged now.
    pub fn report_strangers(&mut self, now: Instant) -> Option<u64> {
        self.gate.report(now)
    }

    /// 64 random bits: a tag, or what follows the cookie in a branch.
    pub(super) fn word(&mut self) -> String {
        format!("{:016x}", self.rng.next_u64())
    }

    /// A random number of the range.
    pub(super) fn pick(&mut self, range: std::ops::RangeInclusive<u32>) -> u32 {
        self.rng.random_range(range)
    }

    pub(super) fn new_call_key(&mut self) -> CallKey {
        self.last_call += 1;
        CallKey(self.last_call)
    }

    /// The To tag of an answer that we keep no state of: always the same for the same request, never guessed
    /// (RFC 3261 section 8.2.7).
    pub(super) fn stateless_tag(&self, request: &Message) -> String {
        let mut hasher = DefaultHasher::new();
        self.config.seed.hash(&mut hasher);
        for name in [Name::VIA, Name::FROM, Name::CALL_ID] {
            request.headers.get(name).hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }

    /// Puts our Via on top of a request; returns the branch.
    pub(super) fn put_via(&mut self, request: &mut Message, path: &Path) -> String {
        let branch = format!("{MAGIC_COOKIE}{}", self.word());
        let sent_by = sent_by(self.advertised(&path.flow));
        let via = format!("SIP/2.0/{} {sent_by};rport;branch={branch}", path.flow.transport.via_name());
        request.headers.push_front(Name::VIA, via);
        request.headers.push(Name::USER_AGENT, self.config.user_agent.as_str());
        branch
    }

    /// A response of ours, without To tag.
    pub(super) fn response(&self, request: &Message, code: u16, reason: &str) -> Message {
        let mut response = Message::response_to(request, code, reason);
        if code > 100 {
            response.headers.push(Name::SERVER, self.config.user_agent.as_str());
        }
        response
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}
