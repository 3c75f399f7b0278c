//! The composition: what runs, in which order it starts, who owns it, and how it ends.
//!
//! ```text
//! Server ─┬─ Engines        one thread a loaded model
//!         ├─ LogWriter      one task, the only one that writes the call log
//!         ├─ Recordings     one thread that writes them, one task that deletes old ones
//!         ├─ Traces         one thread that sends them, where a collector is configured
//!         ├─ Editions       one task that reads dialplans anew
//!         ├─ HTTP           one task that accepts
//!         ├─ SIP endpoint   the core's task and a reader a socket; registrations with carriers
//!         ├─ Trunks         one task each, which asks a trunk whether it is there
//!         ├─ Accounts       one task that reads their file anew
//!         ├─ Keys           one task that follows their table
//!         ├─ Notices         one task a webhook, which tells it of calls
//!         ├─ Redis          one task that looks after the connection, one that hears what other nodes say
//!         ├─ days           one task that notes minutes of calls that are up
//!         ├─ Texts          one task that keeps those that come, and one each that is sent
//!         ├─ Batches        one task that does them, one after the other
//!         ├─ Campaigns      one task that has their numbers called, and one each that waits for the end of such a call
//!         ├─ Analyses       one task that has the model write down calls that are over, one after the other
//!         └─ Calls          one task an invitation, a call that is placed, or one that comes over the web, inside a permit
//! ```

mod binding;
mod ending;
mod sharing;
mod signals;
mod snapshot;
mod taking;
mod welcome;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use milo_media::prompt::Prompts;
use milo_models::synthesizer::Synthesizer;
use milo_signaling::{Certificate, Endpoint};
use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use crate::{
    accounts::{self, Accounts, Book, Ledger},
    after::{self, Analyses, Analyst},
    agent::SetPhrases,
    batch::Batches,
    call::{self, CallsOut, House, Recordings, SipSeen, WebCalls},
    campaign::Campaigns,
    chat::Chats,
    config::Config,
    dialplan::{Dialplans, Editions, Fault, Origin, Surroundings},
    engines::{Engines, Mode, capacity},
    error::Error,
    gpu::Gpus,
    http::{self, AppState, Dial},
    keys::{self, Keys},
    likeness::Likeness,
    mcp::Mcp,
    metrics::Metrics,
    notices::Notices,
    redis::Redis,
    store::{Journal, LogWriter, Node, Stamp, Store},
    texts::{self, Texts},
    traces::Traces,
    trunk::{self, Trunks},
    webhook::Webhooks,
};
use binding::{bind, leg_options, ports, webrtc};
pub use signals::Signals;
use snapshot::{Snapshot, dial};
use taking::take_calls;

/// A running Milo.
pub struct Server {
    house: Arc<House>,
    endpoint: Endpoint,
    calls: JoinHandle<()>,
    /// Where it can be called.
    dial: Vec<Dial>,
    /// Dropped when no more calls are taken.
    open: watch::Sender<bool>,
    /// Calls that came over the web, and what is told when they are to end.
    visits: Arc<AtomicUsize>,
    end_visits: watch::Sender<bool>,
    http: (SocketAddr, JoinHandle<()>),
    /// What HTTP shows, where it speaks TLS.
    certificate: Option<Arc<Certificate>>,
    keys: Arc<Keys>,
    /// For how long the link that signs in is good; zero: there is none.
    link_lasts: Duration,
    close_http: oneshot::Sender<()>,
    writer: JoinHandle<()>,
    retention: Option<JoinHandle<()>>,
    reloads: JoinHandle<()>,
    /// Those that ask the trunks whether they are there; they end with it.
    _asking: JoinSet<()>,
    /// Those that read the accounts and the keys anew, and note minutes; they end with it.
    _following: JoinSet<()>,
    /// Those that keep and send texts, do batches, have campaigns called, write down what came of calls, and forget what is old.
    texting: JoinSet<()>,
    traces: Option<Traces>,
    /// Those that tell webhooks of calls; they end with it.
    _telling: JoinSet<()>,
    /// Those that keep the servers of tools; they end with it.
    _serving_tools: JoinSet<()>,
    drain: Duration,
    _node: Node,
}

impl Server {
    /// Loads, opens and binds everything. The order is that of the likeliest faults: what is wrong in a file is told before
    /// the engines are loaded.
    pub async fn start(config: &Config, legs: &Handle) -> Result<Self> {
        let node = Node::claim(&config.data_dir)?;
        let hangup = signal(SignalKind::hangup())?;
        let origin = Origin::of(&config.dialplans);
        let around = Surroundings::of(config)?;
        let dialplans = origin.read(&around)?;
        let metrics = Arc::new(Metrics::new());
        let redis = Redis::open(&config.redis, &metrics).await?;
        let store = Store::open_within(&config.database_url(), Duration::from_secs(config.database.wait_s)).await?;
        let mut journal = Journal::new(&config.data_dir, config.database.journal_mb.saturating_mul(1_000_000));
        let replayed = store.replay(node.id(), &mut journal).await?;
        if replayed > 0 {
            tracing::info!(rows = replayed, "rows of the call log waited in the journal; they are written now");
        }
        let left_open = store.close_left_open(node.id()).await?;
        if left_open > 0 {
            tracing::warn!(calls = left_open, "calls were up when Milo was stopped; their rows are closed now");
        }
        let listener = http::bind(config.http.listen).await.map_err(anyhow::Error::msg)?;
        let certificate = http::certificate(&config.http).context("see [http] tls_cert and tls_key")?;
        let ports = ports(config);
        let (seen, registrar) = (accounts::seen(&config.sip), accounts::registrar(&config.sip)?);
        let (log, writer) =
            LogWriter::start(store.clone(), node.id(), (config.database.journal_mb > 0).then_some(journal));
        let traces = Traces::start(&config.telemetry, node.id())?;
        let log = log.with_traces(traces.clone());
        let log = if config.database.transcripts { log } else { log.without_words() };
        let notices = Arc::new(Notices::new(&config.webhooks)?);
        let log = log.telling(notices.listeners());
        let ledger = Ledger { store: store.clone(), node: node.id().to_owned(), log: log.clone() };
        let (book, in_force) = watch::channel(Book::open(registrar.as_ref(), &config.sip, &ledger).await?);
        // Calls that come over the web.
        let visits = Arc::new(AtomicUsize::new(0));
        // Places that the engines have no room for.
        let withheld = Arc::new(AtomicUsize::new(0));
        let others = (Arc::clone(&visits), Arc::clone(&withheld));
        let (endpoint, mut invitations) = bind(config, registrar, (ports.clone(), legs), others)?;
        let around = around.following(in_force.clone());
        let accounts = Arc::new(Accounts::new(in_force, endpoint.telephones().clone()));
        let mut following = JoinSet::new();
        let again = signal(SignalKind::hangup())?;
        let (sip, caller) = (config.sip.clone(), endpoint.caller().clone());
        following.spawn(accounts::follow(sip, seen, (book, ledger), caller, again));

        let prompts = around.prompts.clone();
        let announced = config.recording.announced_by().into_iter().chain(config.sip.emergency_announcement.clone());
        decode(announced.collect(), &prompts).await?;
        let loading = config.clone();
        let personal = dialplans.lasting_prompts(config.engines.llm.path.is_some());
        let asked_first = personal.first().cloned().unwrap_or_default();
        let counting = Arc::clone(&metrics);
        let engines = tokio::task::spawn_blocking(move || Engines::load(&loading, personal, counting)).await??;
        let local = engines.in_mode(Some(Mode::Local)).into_owned();
        let voices = (Arc::clone(&engines.voice), local.voice);
        engines.mind.has_spent(store.spent(node.id(), &Stamp::now().day()).await?);
        let least = config.engines.embeddings.min_similarity;
        let (likeness, keeping) = engines.embedder.clone().map(|embedder| Likeness::new(embedder, least)).unzip();
        let knowing = likeness.clone();
        let make = move |dialplans| {
            let (knowing, voices) = (knowing.clone(), voices.clone());
            async move {
                let made = prepare(dialplans, voices).await?;
                // Plans that are refused take nothing from those in force.
                knowing.iter().for_each(|likeness| likeness.know(&made.0));
                Ok(made)
            }
        };
        let (editions, reloads) = Editions::start((origin, around), dialplans, Some(hangup), make).await?;

        let recordings = Recordings::start(config, log.clone(), Arc::clone(&metrics))?;
        let days = config.recording.retention_days;
        let retention =
            (days > 0).then(|| tokio::spawn(call::daily(recordings.folder().to_owned(), days, store.clone())));
        store.settle_messages(node.id()).await?;
        let (trunks, asking) = Trunks::start(config, &endpoint, (&store, node.id(), &log)).await?;
        let writers = (log.clone(), Arc::clone(&metrics));
        let (texts, jobs) = Texts::new(trunks.clone(), Arc::clone(&accounts), endpoint.caller().clone(), writers);
        let mut texting = JoinSet::new();
        keeping.into_iter().for_each(|keeping| drop(texting.spawn(keeping)));
        if let Some(incoming) = invitations.texts() {
            texting.spawn(texts::serve(texts.clone(), incoming, jobs));
        }
        if config.sip.message_days > 0 {
            texting.spawn(texts::forget(store.clone(), config.sip.message_days));
        }
        let (analyses, ended) = Analyses::new(Arc::clone(&metrics));
        let (mind, counting) = (engines.mind.clone(), Arc::clone(&metrics));
        let analyst = Analyst { mind, store: store.clone(), log: log.clone(), metrics: counting };
        texting.spawn(after::serve(analyst, ended));
        let (mcp, serving_tools) = Mcp::start(&config.mcp)?;
        let by = (engines.clone(), editions.clone());
        let chats = Chats::new(by, config, redis.clone(), Arc::clone(&metrics));
        let (live, sip) = (Arc::default(), Arc::new(SipSeen::new(endpoint.ladders().clone(), config.sip.ladders)));
        let (counters, limit) = (endpoint.watch(), config.limits.calls);
        let taken = {
            let (counters, visits) = (counters.clone(), Arc::clone(&visits));
            move || counters.borrow().calls + visits.load(Ordering::Acquire)
        };
        let (kept, up) = (Arc::clone(&withheld), taken.clone());
        let (calls_out, placements) = CallsOut::new(
            (editions.clone(), trunks.clone()),
            (log.clone(), Arc::clone(&metrics)),
            (Arc::clone(&live), Arc::clone(&sip)),
            limit,
            move || up() + kept.load(Ordering::Acquire),
        );
        calls_out.remember(&store, node.id()).await?;
        let writers = (log.clone(), Arc::clone(&metrics));
        let campaigns = Campaigns::new(config, (store.clone(), node.id()), writers, calls_out.clone());
        let house = Arc::new(House {
            mcp,
            likeness,
            analyses,
            engines,
            chats: chats.of_calls(),
            editions: editions.clone(),
            prompts,
            recordings,
            live: Arc::clone(&live),
            seats: Arc::default(),
            waiters: Arc::default(),
            webhooks: Arc::new(Webhooks::new(&config.webhook)?),
            accounts: Arc::clone(&accounts),
            sip,
            campaigns: campaigns.clone(),
            caller: endpoint.caller().clone(),
            log: log.clone(),
            store: store.clone(),
            texts: texts.clone(),
            metrics: Arc::clone(&metrics),
            trunks,
            cleaning: call::cleaning(&config.clean),
            conversation: config.conversation.clone(),
            longest: Duration::from_secs(config.limits.call_seconds),
        });
        let http = listener.local_addr().context("the HTTP listener's address")?;
        let dial = dial(endpoint.local(), &config.sip, &house.editions.current().dialplans);
        let (open, taking) = watch::channel(true);
        // Until something is known, for all.
        let room = Arc::new(AtomicUsize::new(config.limits.calls));
        let snapshot = Snapshot {
            house: Arc::clone(&house),
            room: Arc::clone(&room),
            counters: endpoint.watch(),
            local: endpoint.local().to_vec(),
            sip: config.sip.clone(),
            ports,
            limit: config.limits.calls,
            withheld: Arc::clone(&withheld),
            visits: Arc::clone(&visits),
            taking: taking.clone(),
            gpus: Gpus::start().context("a thread for the graphics cards")?,
            sessions: Arc::clone(chats.sessions()),
            notices: Arc::clone(&notices),
            redis: redis.clone(),
            runtimes: [legs.clone(), Handle::current()],
        };
        let (end_visits, ending) = watch::channel(false);
        let (engines, counting, prompt) = (house.engines.clone(), Arc::clone(&metrics), asked_first);
        let (are_withheld, withholding) = (config.limits.follow_engines, Arc::clone(&withheld));
        let places = capacity::Places { limit, room, withheld: withholding, are_withheld };
        following.spawn(capacity::follow(engines, counting, prompt, places, taken));
        let (web, visitors) = WebCalls::new(
            Arc::clone(&house),
            (Arc::clone(&visits), limit),
            move || counters.borrow().calls + withheld.load(Ordering::Acquire),
            (legs.clone(), leg_options(&config.media)),
            ending,
        );
        texting.spawn(call::forget_keys(store.clone()));
        texting.spawn(call::forget_memories(store.clone()));
        if config.database.keep_days > 0 {
            texting.spawn(call::forget_calls(
                call::recordings_folder(config),
                config.database.keep_days,
                store.clone(),
            ));
        }
        let live = (live, Arc::clone(&house.sip), accounts, house.caller.clone());
        let batches = Batches::new(config, (store.clone(), node.id()), &chats, Arc::clone(&metrics));
        texting.spawn(batches.clone().run());
        texting.spawn(campaigns.clone().run());
        let keys = Arc::new(Keys::open(&store, config.http.api_key.as_ref(), redis.clone()).await?);
        following.spawn(keys::follow(Arc::clone(&keys)));
        if let Some(redis) = &redis {
            following.spawn(redis.clone().keep());
            following.spawn(sharing::follow(redis.clone(), Arc::clone(&keys), Arc::clone(chats.sessions())));
        }
        let (carrying, calling) = (house.trunks.clone(), Arc::clone(&house.accounts));
        let (mind, noting) = (house.engines.mind.clone(), log.clone());
        following.spawn(trunk::each_minute(move || {
            carrying.note_days();
            calling.note_days();
            mind.note_spent(&noting);
        }));
        let state = AppState::new(
            config,
            ((store.clone(), redis), Arc::clone(&keys), editions),
            log.clone(),
            live,
            (calls_out, texts, campaigns),
            metrics,
            move || snapshot.take(),
        );
        let telling = notices.start(&store, node.id(), &log).await?;
        let (close_http, closed) = oneshot::channel();
        if let Some(certificate) = certificate.clone() {
            following.spawn(certificate.follow());
        }
        let serving = tokio::spawn(http::serve(
            listener,
            certificate.clone(),
            http::router(state, Some((chats, batches, (web, webrtc(config, legs))))),
            async {
                closed.await.ok();
            },
        ));
        let calls = tokio::spawn(take_calls(Arc::clone(&house), invitations, (placements, visitors), taking));
        Ok(Self {
            house,
            endpoint,
            calls,
            dial,
            open,
            visits,
            end_visits,
            http: (http, serving),
            certificate,
            keys,
            link_lasts: Duration::from_secs(config.http.sign_in_s),
            close_http,
            writer,
            retention,
            reloads,
            _asking: asking,
            _following: following,
            _telling: telling,
            _serving_tools: serving_tools,
            texting,
            traces,
            drain: Duration::from_secs(config.drain.seconds),
            _node: node,
        })
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
    (voice, within): (Arc<dyn Synthesizer>, Arc<dyn Synthesizer>),
) -> Result<(Dialplans, SetPhrases), Fault> {
    let wrong = |error: Error| Fault { file: dialplans.folder().into(), line: None, fault: error.to_string() };
    for (name, persona) in dialplans.personas() {
        let voice = if persona.mode == Some(Mode::Local) { &within } else { &voice };
        let file = dialplans.folder().join(format!("personas/{name}.toml"));
        persona.voice.check_with(&**voice).map_err(|fault| Fault { file, line: None, fault })?;
    }
    let personas = dialplans.personas().map(|(_, persona)| persona);
    let interpreter = dialplans.interprets().then(call::interpreter_sentences).into_iter().flatten();
    let phrases =
        SetPhrases::make((&voice, &within), personas, interpreter).await.map_err(|error| wrong(error.into()))?;
    Ok((dialplans, phrases))
}
