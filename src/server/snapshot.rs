//! How the running parts are, for whoever asks: the health report and the metrics.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use milo_media::PortPool;
use milo_signaling::{Counters, Transport};
use tokio::{runtime::Handle, sync::watch};

use crate::{
    call::House,
    chat::Sessions,
    config,
    dialplan::Dialplans,
    gpu::Gpus,
    http::{Dial, HealthReport, SipCounters},
    mcp::McpReport,
    notices::Notices,
    redis::Redis,
    trunk::TrunkReport,
};

/// What everybody may know of a Redis that is away.
const REDIS_AWAY: &str =
    "Redis does not answer: until it does, this Milo has its sessions, limits and caches for itself.";

/// Every number on every listener, at an address that can be dialled.
pub(super) fn dial(local: &[(Transport, SocketAddr)], sip: &config::Sip, dialplans: &Dialplans) -> Vec<Dial> {
    let (mut dial, mut known) = (Vec::new(), HashSet::new());
    for number in dialplans.numbers() {
        // Browsers come by WebSocket, telephones by the rest.
        for (transport, address) in local.iter().filter(|(kind, _)| !matches!(kind, Transport::Ws | Transport::Wss)) {
            let parameter = transport.uri_parameter();
            let uri = format!("sip:{number}@{}{parameter}", sip.dialled(*address));
            if known.insert(uri.clone()) {
                dial.push(Dial { number: number.into(), uri });
            }
        }
    }
    dial
}

/// Where the health of the running parts is read.
pub(super) struct Snapshot {
    pub(super) house: Arc<House>,
    pub(super) counters: watch::Receiver<Counters>,
    pub(super) local: Vec<(Transport, SocketAddr)>,
    pub(super) sip: config::Sip,
    pub(super) ports: PortPool,
    pub(super) limit: usize,
    /// How many calls the engines have room for.
    pub(super) room: Arc<AtomicUsize>,
    /// Those of them that the engines have no room for.
    pub(super) withheld: Arc<AtomicUsize>,
    /// Calls that came over the web.
    pub(super) visits: Arc<AtomicUsize>,
    pub(super) taking: watch::Receiver<bool>,
    pub(super) gpus: Gpus,
    pub(super) sessions: Arc<Sessions>,
    pub(super) notices: Arc<Notices>,
    pub(super) redis: Option<Redis>,
    /// That of the calls' sound, and that of all else.
    pub(super) runtimes: [Handle; 2],
}

impl Snapshot {
    pub(super) fn take(&self) -> HealthReport {
        let engines = &self.house.engines;
        let sip = *self.counters.borrow();
        let live_calls = sip.calls + self.visits.load(Ordering::Acquire);
        let (trunks, mcp) = (self.house.trunks.report(), self.house.mcp.report());
        let (stopped, faults) = (engines.stopped(), self.house.editions.faults());
        let stopped = stopped.iter().map(|engine| format!("The {engine} has stopped; it is loaded anew."));
        let wrong = faults.iter().map(|fault| format!("The dialplans of before are in force: {fault}"));
        let accounts = self.house.accounts.fault();
        let accounts = accounts.map(|fault| format!("The accounts of before are in force: {fault}."));
        let away = self.redis.as_ref().and_then(|redis| Some((redis.place(), redis.fault()?)));
        let shared = away.as_ref().map(|_| REDIS_AWAY.to_owned());
        let redis = away.map(|(place, fault)| format!("Redis at {place}: {fault}."));
        let withheld = self.withheld.load(Ordering::Acquire);
        let limit = self.limit.saturating_sub(withheld);
        let unready = if self.taking.has_changed().is_err() {
            Some("Milo is ending and takes no more calls.".into())
        } else {
            (live_calls >= limit).then(|| match withheld {
                0 => format!("All {limit} places are taken."),
                _ => format!("All {limit} places are taken; the engines have no room for more."),
            })
        };
        HealthReport {
            mode: engines.mind.mode(),
            models: engines.models(),
            vram: self.gpus.vram(),
            servers: engines.servers(),
            spending: engines.spending(),
            queues: engines.queues(),
            work: engines.work(),
            again: engines.again(),
            sessions: self.sessions.count(),
            live_calls,
            rtp_ports: self.ports.leased(),
            call_limit: limit,
            call_room: self.room.load(Ordering::Acquire),
            dial: dial(&self.local, &self.sip, &self.house.editions.current().dialplans),
            degraded: stopped.chain(shared).collect(),
            notes: engines.notes(),
            inside: wrong
                .chain(accounts)
                .chain(redis)
                .chain(engines.faults())
                .chain(trunks.iter().filter_map(TrunkReport::complaint))
                .chain(mcp.iter().filter_map(McpReport::complaint))
                .collect(),
            mcp,
            lines: self.house.waiters.report(self.house.editions.current().dialplans.lines().into_iter()),
            trunks,
            webhooks: self.notices.report(),
            tasks: self.runtimes.iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum(),
            unready,
            redis_connected: self.redis.as_ref().is_some_and(|redis| redis.fault().is_none()),
            sip: SipCounters {
                messages_in: sip.messages_in,
                messages_out: sip.messages_out,
                parse_errors: sip.parse_errors,
                refused: sip.refused,
                overloaded: sip.overloaded,
                retransmissions: sip.retransmissions,
                send_failures: sip.send_failures,
                wrong_answers: sip.wrong_answers,
                unjudged: sip.unjudged,
                banned: sip.banned,
                registrations: sip.bindings,
                transactions: sip.transactions,
                connections: sip.connections,
            },
        }
    }
}
