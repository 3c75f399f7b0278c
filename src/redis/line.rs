//! The connection to Redis, and whether it is there: a breaker that opens when an answer is late, and is closed by the one task that
//! tries again.

use std::{
    fs,
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Script, ScriptInvocation, TlsCertificates,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use crate::{config, metrics::Metrics};

/// The longest that anybody waits for an answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a connection may take, with its name, its TLS and its login.
const CONNECT: Duration = Duration::from_secs(1);
/// How often it is tried again while it is down, and looked at while nobody asks.
const AGAIN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(1);
/// What is under way at once; beyond that one goes on without Redis.
const AT_ONCE: usize = 1_024;

/// Writes, so that a Redis that is full, a replica, or without its disk is not taken for one that works.
const PROBED: &str = "milo:probe";
static PROBE: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('SET', KEYS[1], '', 'PX', 10000)"));

/// What is asked, as metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sessions of conversations by text.
    Session,
    /// Counts of requests.
    Limit,
    /// What was translated and said before.
    Cache,
    /// Keys of the API.
    Key,
    /// Whether it is there.
    Probe,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Session, Self::Limit, Self::Cache, Self::Key, Self::Probe];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Limit => "limit",
            Self::Cache => "cache",
            Self::Key => "key",
            Self::Probe => "probe",
        }
    }
}

/// Why Redis cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The file of `[redis] ca`.
    #[error("[redis] ca: {0} cannot be read: {1}")]
    Authorities(String, std::io::Error),
    /// The address, or the certificates of that file.
    #[error("[redis] url and ca: {0}")]
    Address(String),
}

/// The Redis that is shared; clones share the connection.
#[derive(Clone, Debug)]
pub struct Redis {
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    client: Client,
    /// The address, its password masked.
    place: String,
    state: watch::Sender<State>,
    under_way: Semaphore,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Debug)]
enum State {
    /// This is the connection of so many.
    Up(MultiplexedConnection, u64),
    /// So many connections have been; this is what was wrong last.
    Down(Arc<str>, u64),
}

impl State {
    fn number(&self) -> u64 {
        match self {
            Self::Up(_, number) | Self::Down(_, number) => *number,
        }
    }
}

impl Redis {
    /// The configured Redis, tried once: where it does not answer, [`Redis::keep`] tries again.
    ///
    /// # Errors
    /// The address or the certificates cannot be right.
    pub async fn open(redis: &config::Redis, metrics: &Arc<Metrics>) -> Result<Option<Self>, RedisError> {
        let Some(url) = &redis.url else { return Ok(None) };
        let root_cert = match &redis.ca {
            Some(ca) => Some(fs::read(ca).map_err(|error| RedisError::Authorities(ca.display().to_string(), error))?),
            None => None,
        };
        let is_tls = url.reveal().starts_with("rediss:");
        let client = if let Some(root_cert) = root_cert.filter(|_| is_tls) {
            Client::build_with_tls(url.reveal(), TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
        } else {
            Client::open(url.reveal())
        };
        let client = client.map_err(|error| RedisError::Address(error.category().to_owned()))?;
        let line = Line {
            client,
            place: url.masked(),
            state: watch::Sender::new(State::Down("it was not asked yet".into(), 0)),
            under_way: Semaphore::new(AT_ONCE),
            metrics: Arc::clone(metrics),
        };
        let redis = Self { line: Arc::new(line) };
        redis.line.metrics.redis_up(false);
        redis.connect().await;
        if let Some(fault) = redis.fault() {
            tracing::warn!(redis = redis.place(), fault, "Redis does not answer; nothing is shared until it does");
        }
        Ok(Some(redis))
    }

    /// Where it is, the password masked.
    pub fn place(&self) -> &str {
        &self.line.place
    }

    /// What is wrong with it; nothing while it answers.
    pub fn fault(&self) -> Option<String> {
        match &*self.line.state.borrow() {
            State::Up(..) => None,
            State::Down(fault, _) => Some(fault.to_string()),
        }
    }

    /// Looks after the connection for as long as Milo runs: the one task that makes it.
    pub async fn keep(self) {
        loop {
            if self.fault().is_some() {
                sleep(AGAIN).await;
                self.connect().await;
                continue;
            }
            let number = self.line.state.borrow().number();
            if timeout(LOOK, self.fallen(number)).await.is_err() {
                self.probe(number).await;
            }
        }
    }

    /// Waits until it is there; tells which connection that is.
    pub(super) async fn up(&self) -> u64 {
        let mut state = self.line.state.subscribe();
        let number = state.wait_for(|state| matches!(state, State::Up(..))).await.map(|state| state.number());
        // The sender lives in `self`: there is no error.
        number.unwrap_or_default()
    }

    /// Waits until this connection is no more.
    pub(crate) async fn fallen(&self, number: u64) {
        let mut state = self.line.state.subscribe();
        state.wait_for(|state| !matches!(state, State::Up(_, now) if *now == number)).await.ok();
    }

    pub(super) fn client(&self) -> &Client {
        &self.line.client
    }

    async fn connect(&self) {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(None);
        // It may take connections, and do nothing.
        let connecting = async {
            let mut made = self.line.client.get_multiplexed_async_connection_with_config(&config).await?;
            PROBE.key(PROBED).invoke_async::<()>(&mut made).await?;
            Ok::<_, redis::RedisError>(made)
        };
        match timeout(CONNECT, connecting).await {
            Ok(Ok(made)) => {
                self.line.state.send_modify(|state| *state = State::Up(made, state.number() + 1));
                self.line.metrics.redis_up(true);
                tracing::info!(redis = self.place(), "Redis answers");
            }
            Ok(Err(error)) => self.is_down(told(&error)),
            Err(_) => self.is_down(format!("no connection within {} s", CONNECT.as_secs())),
        }
    }

    fn is_down(&self, why: String) {
        self.line.state.send_modify(|state| *state = State::Down(why.into(), state.number()));
    }

    async fn probe(&self, number: u64) {
        let done: Option<()> = self.ask(Kind::Probe, &PROBE.key(PROBED)).await;
        // Where all places are taken, the others find out.
        if done.is_none() && self.line.under_way.available_permits() > 0 {
            self.fell(number, "it does not do what it is asked".into());
        }
    }

    /// Asks one thing: its answer, or nothing where there is none within [`PATIENCE`]. While Redis is known to be down, nothing at
    /// once.
    pub(super) async fn ask<T: FromRedisValue>(&self, kind: Kind, asked: &ScriptInvocation<'_>) -> Option<T> {
        let (mut connection, number) = match &*self.line.state.borrow() {
            State::Up(connection, number) => (connection.clone(), *number),
            State::Down(..) => return None,
        };
        let metrics = &self.line.metrics;
        let Ok(_place) = self.line.under_way.try_acquire() else {
            metrics.redis_failed(kind, "full");
            return None;
        };
        let began = Instant::now();
        let answer = timeout(PATIENCE, asked.invoke_async(&mut connection)).await;
        metrics.redis_asked(kind, began.elapsed());
        match answer {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(error)) => {
                metrics.redis_failed(kind, "refused");
                if is_of_one_thing(&error) {
                    tracing::warn!(%error, kind = kind.as_str(), "Redis does not do what it is asked");
                } else {
                    self.fell(number, told(&error));
                }
                None
            }
            Err(_) => {
                metrics.redis_failed(kind, "late");
                self.fell(number, format!("no answer within {} ms", PATIENCE.as_millis()));
                None
            }
        }
    }

    /// From now on nobody asks it, until it is connected anew.
    fn fell(&self, number: u64, why: String) {
        let is_news = self.line.state.send_if_modified(|state| {
            let is_this = matches!(state, State::Up(_, now) if *now == number);
            if is_this {
                *state = State::Down(why.as_str().into(), number);
            }
            is_this
        });
        if is_news {
            self.line.metrics.redis_up(false);
            tracing::warn!(redis = self.place(), fault = why, "Redis is away; this node goes on with what it has");
        }
    }
}

/// An error in words that hold no secret and end without a full stop.
fn told(error: &redis::RedisError) -> String {
    let is_kept_out = error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH" | "NOPERM"));
    if is_kept_out { "it does not take Milo's password".into() } else { error.to_string().trim_end_matches('.').into() }
}

/// Whether it cannot do this one thing, such as with a key that somebody has made into another kind, and is well itself.
fn is_of_one_thing(error: &redis::RedisError) -> bool {
    // Before version 7, what goes wrong within a script is an ERR whose words name it.
    let is_its_own = ["OOM ", "READONLY ", "MISCONF ", "LOADING ", "MASTERDOWN "];
    let says = error.to_string();
    matches!(error.code(), Some("WRONGTYPE" | "ERR")) && !is_its_own.iter().any(|word| says.contains(word))
}
