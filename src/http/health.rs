//! How Milo is: `/healthz` (it runs), `/readyz` (it can take a call), `/api/v1/health` (everything, for people and programs).

use std::{collections::BTreeMap, time::Duration};

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use milo_models::queue::{Class, Served, Waiting, Work};
use serde::Serialize;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    AppState, Problem,
    guard::{May, ReadWithin},
};
use crate::{
    call::LineReport,
    engines::{Mode, Model, Server, Spending},
    gpu::Vram,
    mcp::McpReport,
    notices::TargetReport,
    trunk::TrunkReport,
};

/// A snapshot of the running parts, taken by the composition.
#[derive(Clone, Debug, Default)]
pub struct HealthReport {
    /// Where replies are made, when all is well.
    pub mode: Mode,
    /// The models in memory.
    pub models: Vec<Model>,
    /// The memory of the graphics cards; none without one.
    pub vram: Option<Vram>,
    /// The servers that are asked in place of some.
    pub servers: Vec<Server>,
    /// What the language model's server has cost today; none where none is asked.
    pub spending: Option<Spending>,
    /// Engines by their short names (`vad`, `turn`, `stt`, `translate`, `llm`, `tts`), and how many jobs of each class wait for each.
    pub queues: Vec<(&'static str, Waiting)>,
    /// The same engines, without servers, and what each has done.
    pub work: Vec<(&'static str, Work)>,
    /// How often servers were asked once more, by their engines.
    pub again: Vec<(&'static str, u64)>,
    /// Conversations by text that are remembered here.
    pub sessions: usize,
    /// Calls that are up.
    pub live_calls: usize,
    /// Ports of `[media] rtp_ports` that calls hold.
    pub rtp_ports: usize,
    /// Calls that may be up at once.
    pub call_limit: usize,
    /// How many the engines have room for, as far as it is known.
    pub call_room: usize,
    /// Numbers that can be dialled.
    pub dial: Vec<Dial>,
    /// What does not work as it should: a sentence each.
    pub degraded: Vec<String>,
    /// The same of what names files, trunks and addresses: for those who run Milo.
    pub inside: Vec<String>,
    /// What is not wrong, and worth knowing: a sentence each.
    pub notes: Vec<String>,
    /// Why no call can be taken now, as a sentence.
    pub unready: Option<String>,
    /// Whether there is a Redis that answers.
    pub redis_connected: bool,
    /// What the SIP endpoint counts.
    pub sip: SipCounters,
    /// The trunks.
    pub trunks: Vec<TrunkReport>,
    /// The servers of tools.
    pub mcp: Vec<McpReport>,
    /// The programs that are told of calls.
    pub webhooks: Vec<TargetReport>,
    /// The lines in which callers wait.
    pub lines: Vec<LineReport>,
    /// Tasks that are at work or wait, of calls and of all else.
    pub tasks: usize,
}

/// A number that can be dialled.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Dial {
    /// The user part: `milo`, `echo`.
    #[schema(example = "milo")]
    pub number: String,
    /// The whole address: `sip:milo@127.0.0.1:5060`.
    #[schema(example = "sip:milo@127.0.0.1:5060")]
    pub uri: String,
}

/// What the SIP endpoint counts: totals since the start, and what is live now.
#[derive(Clone, Copy, Debug, Default)]
pub struct SipCounters {
    /// Messages received.
    pub messages_in: u64,
    /// Messages sent.
    pub messages_out: u64,
    /// What was received and could not be read.
    pub parse_errors: u64,
    /// Requests of strangers.
    pub refused: u64,
    /// Calls turned away with 503.
    pub overloaded: u64,
    /// Messages sent again.
    pub retransmissions: u64,
    /// Messages that could not be sent.
    pub send_failures: u64,
    /// Answers of telephones to a challenge that were wrong.
    pub wrong_answers: u64,
    /// Answers to challenges that were not judged, since too many wrong ones came before.
    pub unjudged: u64,
    /// What came from banned addresses and was dropped.
    pub banned: u64,
    /// Telephones that are registered with Milo.
    pub registrations: usize,
    /// Live transactions.
    pub transactions: usize,
    /// Open stream connections.
    pub connections: usize,
}

/// The Python system's fields, and ours besides.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Health {
    /// `healthy` or `degraded`.
    #[schema(example = "healthy")]
    status: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    mode: Mode,
    /// The names of those in memory.
    #[schema(example = json!(["silero-vad", "milo-ears-demo", "milo-translator-demo", "milo-mind-demo", "espeak-ng", "milo-turn-demo"]))]
    models_loaded: Vec<String>,
    vram: Memory,
    /// Whether there is a Redis that answers.
    redis_connected: bool,
    database: Database,
    /// Jobs that wait, by engine.
    #[schema(example = json!({"stt": 0, "translate": 0, "llm": 0, "tts": 0, "turn": 0, "vad": 0}))]
    queues: BTreeMap<&'static str, usize>,
    /// The same, by whose they are.
    #[schema(example = json!({"stt": {"call": 0, "speculative": 0, "interactive": 0, "batch": 0}}))]
    queues_by_class: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// What each engine of this process has done since the start.
    work: BTreeMap<&'static str, Worked>,
    /// Calls that are up.
    live_calls: usize,
    /// Calls that may be up at once.
    #[schema(example = 50)]
    call_limit: usize,
    /// How many calls the engines have room for, by what those that were up cost them; `[limits] follow_engines` takes no more.
    #[schema(example = 50)]
    call_room: usize,
    /// Whether a call can be taken now.
    #[schema(example = true)]
    ready: bool,
    models: Vec<Model>,
    servers: Vec<Server>,
    /// What the language model's server has cost today; null where none is asked, and for strangers.
    spending: Option<Spending>,
    /// The servers of tools (`[[mcp]]`); shown to those only who may read what is within.
    mcp: Vec<McpReport>,
    /// Numbers that can be dialled.
    dial: Vec<Dial>,
    /// What is to be known of the models that ship, where some of them are used.
    #[schema(example = "The shipped models are demonstration models.")]
    notice: Option<&'static str>,
    /// What does not work as it should: a sentence each.
    #[schema(example = json!([]))]
    degraded: Vec<String>,
    /// What is not wrong, and worth knowing: a sentence each.
    #[schema(example = json!([]))]
    notes: Vec<String>,
    /// Why no call can be taken now.
    #[schema(example = json!(null))]
    unready: Option<String>,
}

/// The memory of the graphics cards, in gigabytes of 10⁹ bytes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Vram)]
struct Memory {
    /// Whether there is any.
    available: bool,
    /// What this process holds.
    allocated_gb: f64,
    /// What all processes hold.
    reserved_gb: f64,
    total_gb: f64,
    free_gb: f64,
    /// How busy the busiest card is, in percent; null where none tells.
    use_percent: Option<u32>,
}

/// What an engine has done since the start.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Worked {
    /// Jobs that were answered.
    jobs: u64,
    /// Those of them that were answered after their answer was wanted.
    missed_deadlines: u64,
    /// How long its thread was at work.
    busy_s: f64,
    /// How long all jobs together waited before they were begun.
    waited_s: f64,
    /// How long its thread waited for its device, on which other engines computed.
    waited_for_device_s: f64,
}

impl From<&Work> for Worked {
    fn from(work: &Work) -> Self {
        let sum = |of: fn(&Served) -> u64| work.classes.iter().map(of).sum();
        let seconds = |of: fn(&Served) -> Duration| work.classes.iter().map(of).sum::<Duration>().as_secs_f64();
        Self {
            jobs: sum(|served| served.jobs),
            missed_deadlines: sum(|served| served.missed),
            busy_s: work.busy.as_secs_f64(),
            waited_s: seconds(|served| served.waits.sum),
            waited_for_device_s: seconds(|served| served.device),
        }
    }
}

/// Where the call log is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Database {
    #[schema(example = "sqlite")]
    kind: &'static str,
    #[schema(example = true)]
    connected: bool,
    /// Rows that are not written yet.
    rows_waiting: usize,
    journal: Journal,
    /// Rows that will never be.
    rows_lost: u64,
}

/// What waits on disk for a database that does not answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Journal {
    rows: u64,
    bytes: u64,
    /// Rows that came from it into the database since the start.
    replayed: u64,
}

const NOTICE: &str = "The shipped models are demonstration models, small and trained on synthetic speech: they know a few dozen \
                      sentences of one imagined office. Other models are set in milo.toml, [engines].";

const WITHIN: &str = "Something within is not right; whoever sends a key, or asks on Milo's own machine while there is \
                      none, reads here what it is.";

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::default().routes(routes!(alive)).routes(routes!(ready)).routes(routes!(health))
}

/// Whether Milo runs
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "alive",
    tag = "health",
    security(),
    responses(
        (status = 200, description = "It does.", content((String = "text/plain", example = json!("ok\n")))),
    ),
)]
async fn alive() -> &'static str {
    "ok\n"
}

/// Whether Milo can take a call
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "ready",
    tag = "health",
    security(),
    responses(
        (status = 200, description = "It can.", content((String = "text/plain", example = json!("ready\n")))),
        (status = 503, description = "It cannot, and why.", content((String = "text/plain", example = json!("Milo is ending.\n")))),
    ),
)]
async fn ready(State(state): State<AppState>) -> Response {
    match (state.health)().unready {
        None => "ready\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// How Milo is
///
/// Everybody may ask. What names files, trunks and addresses is shown to those with a key that may read, and on Milo's own machine.
#[utoipa::path(
    get,
    path = "/api/v1/health",
    operation_id = "health",
    tag = "health",
    security((), ("key" = ["read"])),
    responses(
        (status = 200, description = "How everything is.", body = Health),
    ),
)]
async fn health(State(state): State<AppState>, insider: Result<May<ReadWithin>, Problem>) -> Response {
    Json(report(&state, insider.is_ok())).into_response()
}

impl From<Option<Vram>> for Memory {
    fn from(vram: Option<Vram>) -> Self {
        let Vram { own, used, total, use_percent } = vram.unwrap_or_default();
        let [allocated_gb, reserved_gb, total_gb, free_gb] =
            [own, used, total, total.saturating_sub(used)].map(|bytes| bytes as f64 / 1e9);
        Self { available: vram.is_some(), allocated_gb, reserved_gb, total_gb, free_gb, use_percent }
    }
}

/// The Python system's fields, and ours besides. Strangers learn that something is wrong, and not what stands where.
fn report(state: &AppState, is_insider: bool) -> Health {
    let mut health = (state.health)();
    let log = state.log.state();
    if let Some(fault) = &log.fault {
        health.inside.push(format!(
            "The call log cannot be written ({fault}); {} rows wait, {} of them in the journal.",
            log.waiting, log.journal_entries
        ));
    }
    if log.lost_calls > 0 {
        health
            .degraded
            .push(format!("{} entries of calls are missing from the call log since the start.", log.lost_calls));
    }
    if is_insider {
        health.degraded.append(&mut health.inside);
    } else if !health.inside.is_empty() {
        health.degraded.push(WITHIN.into());
    }
    let classes = |waiting: Waiting| Class::ALL.map(Class::name).into_iter().zip(waiting).collect();
    Health {
        status: if health.degraded.is_empty() { "healthy" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        mode: health.mode,
        models_loaded: health.models.iter().map(|model| model.name.clone()).collect(),
        vram: health.vram.into(),
        redis_connected: health.redis_connected,
        database: Database {
            kind: state.store.kind(),
            connected: log.fault.is_none(),
            rows_waiting: log.waiting,
            journal: Journal { rows: log.journal_entries, bytes: log.journal_bytes, replayed: log.replayed },
            rows_lost: log.lost_calls + log.lost_turns + log.lost_events,
        },
        queues: health.queues.iter().map(|(engine, waiting)| (*engine, waiting.iter().sum())).collect(),
        queues_by_class: health.queues.iter().map(|(engine, waiting)| (*engine, classes(*waiting))).collect(),
        work: health.work.iter().map(|(engine, work)| (*engine, work.into())).collect(),
        live_calls: health.live_calls,
        call_limit: health.call_limit,
        call_room: health.call_room,
        ready: health.unready.is_none(),
        notice: health.models.iter().any(|model| model.demonstration).then_some(NOTICE),
        models: health.models,
        servers: health.servers,
        spending: health.spending.filter(|_| is_insider),
        mcp: if is_insider { health.mcp } else { Vec::new() },
        dial: health.dial,
        degraded: health.degraded,
        notes: health.notes,
        unready: health.unready,
    }
}
