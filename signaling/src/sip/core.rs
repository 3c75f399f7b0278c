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
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use milo_media::{Codec, Session, Tuning};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

pub(crate) use super::usage::acknowledges_progress;
use super::{
    bans::{BanTerms, Bans},
    deaf::Deaf,
    flow::{ConnectionId, Packet, Path},
    gate::Gate,
    headers::Name,
    keep_alive::KeepAlive,
    keys::KeyPress,
    logins::{Logins, TrunkLogin},
    message::Message,
    nat::{SeenAs, sent_by},
    reason::Reason,
    referral::Referral,
    registrar::{Algorithms, Proven, Registered, Registrar, RegistrarConfig},
    registration::{Registration, RegistrationState},
    session_timer::SessionTimers,
    transaction::{
        message::MAGIC_COOKIE,
        table::{Told, TransactionId, Transactions},
    },
    uri::Uri,
    usage::{Call, Ping, Sending},
};
pub use super::{
    end_reason::EndReason,
    usage::{EarlyMedia, Newcomer, TextIn},
};
use crate::security::MediaSecurity;

/// Which call; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub(crate) u64);

/// What the core tells its user.
#[derive(Debug)]
pub enum Event {
    /// Somebody calls.
    Invitation {
        /// The new call.
        call: CallKey,
        /// The INVITE.
        invite: Arc<Message>,
        /// Where it came from.
        source: SocketAddr,
        /// Who has proved to send it, where somebody had to.
        proven: Option<Proven>,
    },
    /// The party we call is being told (180 to 183, 199): the status code.
    Ringing(CallKey, u16),
    /// What the far network plays before the answer comes by this session. Of several the last counts.
    Early(CallKey, Session),
    /// The party we call has answered.
    Answered(CallKey, Session),
    /// The other side has acknowledged our answer, or a provisional response: it is there, at the address that its INVITE came from
    /// (over UDP anybody can write any), and wants what it asked for.
    Acknowledged(CallKey),
    /// The media of a call have changed (also by the answer, when they were early), or are known at last (the answer
    /// in the ACK or the PRACK).
    MediaChange(CallKey, Session),
    /// The other side of a call has pressed a key and told so by INFO.
    Key(CallKey, KeyPress),
    /// An INFO of ours that told of a key has its final response: the status code; 408 when none came, 503 when it could
    /// not be sent.
    KeyAnswered(TransactionId, u16),
    /// The other side was asked to be on hold, or to come back: its final status code.
    HoldAnswered(CallKey, u16),
    /// The other side of a call asks us to call somebody in its place. Unless it is taken or refused within five seconds it
    /// is declined.
    Referred(CallKey, Referral),
    /// Our REFER has its final response: the status code; 408 when none came, 503 when it could not be sent.
    ReferAnswered(CallKey, u16),
    /// How far the other side is with what our REFER asked for: a status code. From 200 on it is the last; 408 when it did
    /// not say.
    ReferProgress(CallKey, u16),
    /// Somebody has taken the place of the other side (Replaces): who.
    Replaced(CallKey, Box<Newcomer>),
    /// The other side says why it ends the call, or takes none; what that comes to is told next.
    Reasons(CallKey, Vec<Reason>),
    /// The call is over.
    Ended(CallKey, EndReason),
    /// The telephones of this account are these now.
    Registered(String, Arc<[Registered]>),
    /// An OPTIONS of ours has its final response, the status code; or nobody was reached, and why.
    Ponged(CallKey, Result<u16, String>),
    /// Somebody has sent a text (MESSAGE), outside of any call. It waits for [`Core::answer_text`].
    Text(Box<TextIn>),
    /// The other side of a call has sent a text within it.
    TextWithin(CallKey, String),
    /// A MESSAGE of ours has its final response: the status code; 408 when none came, 503 when it could not be sent, 513
    /// when it is too large for every way there is.
    TextAnswered(CallKey, u16),
    /// A registration stands otherwise than before.
    Registration(CallKey, RegistrationState),
}

/// What the driver must do.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Send(Packet),
    /// Let this way be used for a moment, so that it stays open: two line ends, and on a stream an answer to them.
    KeepAlive(Path),
    /// Close this connection once what waits has been sent.
    Close(ConnectionId),
    /// Find the address of this registrar, and say so with [`Core::located`].
    Locate(CallKey, Uri),
    /// Tell the user.
    Event(Event),
}

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
        while let Some((at, call)) = self.timers.first().copied()
            && at <= now
        {
            if self.pings.contains_key(&call) {
                self.expire_ping(now, call);
            } else {
                self.expire_call(now, call);
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

    /// Sends a request within a dialog and waits for its responses on behalf of `call`.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        call: CallKey,
        mut request: Message,
        path: Path,
    ) -> TransactionId {
        let may_be_challenged = self.authorize_within(call, &mut request);
        let branch = self.put_via(&mut request, &path);
        let kept = may_be_challenged.then(|| request.clone());
        let id = self.transactions.send(now, request, &branch, path, Some(call), &mut self.packets);
        if let Some(request) = kept {
            self.keep_request(call, id, request);
        }
        id
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
