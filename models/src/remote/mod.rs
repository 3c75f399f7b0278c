//! A server that is asked in place of an engine of this process, by HTTP.
//!
//! ```text
//! place ─► POST ─► status: a refusal becomes a sentence ─► events, each within its time ─► tokens ─► Reply
//!           └─ reset, or a moment's rest is wanted ─► POST once more
//! ```
//! So many requests are under way at most; one more is refused at once. A request ends with whoever waits for it: dropping a
//! reply closes the connection, and the server sees that nobody listens. A key is a header that prints as `Sensitive`, and is
//! cut out of whatever the server says.

mod again;
mod messages;
mod refusal;
mod reply;
mod sse;

use std::{
    error::Error as _,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Certificate, Client, Method, Proxy, RequestBuilder, Response, Url,
    header::{HeaderName, HeaderValue},
    redirect::Policy,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::engine::{EngineError, RemoteFault};

use again::Miss;
pub(crate) use messages::{Shape, Turn};
pub(crate) use refusal::quoted;
pub(crate) use reply::{CallPart, Heard, Over, reply};

/// Where a server is, and how it is asked.
#[derive(Clone)]
pub struct RemoteOptions {
    /// The address below which the protocol's own paths stand: `https://api.openai.com/v1`, `http://127.0.0.1:8080/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// What proves to it who asks.
    pub key: Option<String>,
    /// The proxy over which it is asked, `http://HOST:PORT`; `None`: that of `HTTPS_PROXY` or `HTTP_PROXY`, unless `NO_PROXY` names
    /// the host. A server on this machine is asked without one.
    pub proxy: Option<String>,
    /// The authorities that are believed, a PEM file; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long the first word, or the whole answer where it does not come word by word, may take, connecting included.
    pub first: Duration,
    /// How long the next word may take.
    pub between: Duration,
    /// Requests under way at once.
    pub parallel: usize,
    /// Counts the requests that were asked once more.
    pub again: Arc<AtomicU64>,
}

/// One server as one engine asks it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Remote(Arc<Inner>);

struct Inner {
    engine: &'static str,
    /// Host and port, as sentences name it.
    at: Arc<str>,
    http: Client,
    url: Url,
    key: Option<(HeaderName, HeaderValue)>,
    first: Duration,
    between: Duration,
    places: Arc<Semaphore>,
    parallel: usize,
    again: Arc<AtomicU64>,
    /// It is not asked before this: milliseconds since `began`.
    rest_until: AtomicU64,
    began: Instant,
}

impl Remote {
    /// `key_in` is the header that carries the key, and what stands before the key there.
    pub(crate) fn new(
        engine: &'static str,
        options: &RemoteOptions,
        (header, before): (HeaderName, &str),
    ) -> Result<Self, EngineError> {
        let wrong = |says: String| EngineError::Load(format!("the {engine}: {says}"));
        let url = Url::parse(&options.url).map_err(|error| wrong(format!("its url is none ({error})")))?;
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(wrong("its url must begin with http:// or https:// and name a host".into()));
        };
        let at = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        let key = match &options.key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("{before}{key}"))
                    .map_err(|_| wrong("its key holds what no key holds: a line break, or no ASCII".into()))?;
                value.set_sensitive(true);
                Some((header, value))
            }
        };
        // Whoever was first has installed the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut http = Client::builder()
            .user_agent(concat!("Milo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect)
            // A redirect would carry the key to whom nobody named.
            .redirect(Policy::none())
            .tcp_nodelay(true);
        if let Some(file) = &options.ca {
            let pem = fs::read(file).map_err(|error| wrong(format!("{} cannot be read: {error}", file.display())))?;
            let believed = Certificate::from_pem_bundle(&pem)
                .map_err(|error| wrong(format!("{} holds no certificates ({error})", file.display())))?;
            http = http.tls_certs_only(believed);
        } else if url.scheme() == "http" {
            // A machine without any certificates can still ask.
            http = http.tls_certs_only([]);
        }
        if is_here(host) {
            http = http.no_proxy();
        } else if let Some(proxy) = &options.proxy {
            http = http.proxy(Proxy::all(proxy).map_err(|_| wrong("its proxy is no http://HOST:PORT".into()))?);
        }
        let http = http.build().map_err(|error| wrong(format!("it cannot be asked: {}", cause(&error))))?;
        let places = Arc::new(Semaphore::new(options.parallel.max(1)));
        Ok(Self(Arc::new(Inner {
            engine,
            at: at.into(),
            http,
            url,
            key,
            first: options.first,
            between: options.between,
            places,
            parallel: options.parallel.max(1),
            again: Arc::clone(&options.again),
            rest_until: AtomicU64::new(0),
            began: Instant::now(),
        })))
    }

    /// A place among the requests under way, or why there is none now.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        let rest = self.0.rest_until.load(Ordering::Relaxed).saturating_sub(self.now_ms());
        if rest > 0 {
            return Err(self.fault(RemoteFault::Busy, format!("wants {} s of rest", rest.div_ceil(1000))));
        }
        let full = |_| EngineError::Overloaded { engine: self.0.engine, waiting: self.0.parallel };
        Arc::clone(&self.0.places).try_acquire_owned().map_err(full)
    }

    /// Asks nothing more for so long, a minute at most.
    fn rest(&self, time: Duration) {
        let until = self.now_ms() + (time.as_millis() as u64).min(60_000);
        self.0.rest_until.store(until, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        self.0.began.elapsed().as_millis() as u64
    }

    /// When an answer must have begun that is asked for now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.0.first
    }

    /// How long the next part of an answer may take.
    pub(crate) fn between(&self) -> Duration {
        self.0.between
    }

    /// Which engine asks it.
    pub(crate) fn engine(&self) -> &'static str {
        self.0.engine
    }

    /// Host and port, as sentences name the server.
    pub(crate) fn at(&self) -> &str {
        &self.0.at
    }

    /// A request to this path below the server's address.
    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// The same, for something that is there to be read.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.0.url.clone();
        url.set_path(&format!("{}/{path}", self.0.url.path().trim_end_matches('/')));
        let request = self.0.http.request(method, url);
        match &self.0.key {
            Some((name, value)) => request.header(name, value),
            None => request,
        }
    }

    /// The head of the answer, whatever it is.
    pub(crate) async fn ask(&self, request: RequestBuilder, until: Instant) -> Result<Response, EngineError> {
        self.asked(request, until).await.map_err(|miss| miss.error)
    }

    async fn asked(&self, request: RequestBuilder, until: Instant) -> Result<Response, Miss> {
        let response = timeout_at(until, request.send()).await.map_err(|_| self.late("does not answer"))?;
        response.map_err(|error| self.missed(&error))
    }

    /// The next bytes of the answer; `None` at its end.
    pub(crate) async fn chunk(&self, response: &mut Response, until: Instant) -> Result<Option<Vec<u8>>, EngineError> {
        let chunk = timeout_at(until, response.chunk()).await.map_err(|_| self.late("says no more"))?;
        let broken = |error| self.fault(RemoteFault::Broken, format!("broke off: {}", cause(&error)));
        Ok(chunk.map_err(broken)?.map(Into::into))
    }

    /// The whole answer, if it is not longer than `most` bytes.
    pub(crate) async fn body(
        &self,
        mut response: Response,
        most: usize,
        until: Instant,
    ) -> Result<Vec<u8>, EngineError> {
        let mut body = Vec::new();
        while let Some(more) = self.chunk(&mut response, until).await? {
            body.extend(more);
            if body.len() > most {
                return Err(self.fault(RemoteFault::Broken, format!("answers with more than {most} bytes")));
            }
        }
        Ok(body)
    }

    fn late(&self, what: &str) -> EngineError {
        self.fault(RemoteFault::Late, format!("{what} in time"))
    }

    /// An error of this server; what it said itself is in it as far as it may be seen.
    pub(crate) fn fault(&self, fault: RemoteFault, says: impl Into<String>) -> EngineError {
        EngineError::Remote {
            engine: self.0.engine,
            at: Arc::clone(&self.0.at),
            fault,
            says: self.unkeyed(&says.into()),
        }
    }

    /// A text without the key, whoever put it there.
    fn unkeyed(&self, text: &str) -> String {
        let key = self.0.key.as_ref().and_then(|(_, value)| value.to_str().ok());
        let key = key.map(|value| value.trim_start_matches("Bearer "));
        key.map_or_else(|| text.to_owned(), |key| text.replace(key, "***"))
    }
}

/// Whether a host is this machine by its name or number: no proxy leads there.
pub fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The innermost cause of an error: "connection refused" rather than "error sending request". Its address is left out, which may
/// hold a password.
fn cause(error: &reqwest::Error) -> String {
    let Some(mut innermost) = error.source() else {
        let text = error.to_string();
        return text.split(" for url").next().unwrap_or_default().to_owned();
    };
    while let Some(within) = innermost.source() {
        innermost = within;
    }
    innermost.to_string()
}
