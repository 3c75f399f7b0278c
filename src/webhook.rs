//! Asks a program of the operator's by HTTP, or tells it something: one POST of JSON, one small answer, and never anywhere else
//! than where the configuration lets it.
//!
//! ```text
//! host among `hosts`? ─► addresses of the name ─► public, or within `private`? ─► TCP ─► TLS ─► POST, signed ─► 2xx, JSON
//! ```
//! The address that was checked is the one that is connected to, and a redirect is followed nowhere.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};
use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use milo_signaling::Trust;
use ring::hmac;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::config::{self, Secret};

/// An answer is no longer.
const ANSWER: usize = 64 * 1024;

/// Whom may be asked, and what proves to them that it is Milo who asks.
pub struct Webhooks {
    hosts: Vec<String>,
    private: Vec<IpNet>,
    key: Option<hmac::Key>,
    trust: Option<Trust>,
    /// What lets a private address be asked.
    lets: &'static str,
}

/// Whether what is answered is of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Answer,
    Receipt,
}

/// What is asked.
pub struct Question<'a> {
    /// Where.
    pub url: &'a Uri,
    /// The same for every try, so that whoever got it twice can tell.
    pub delivery: String,
    /// Seconds since 1970, of the signature.
    pub timestamp: i64,
    /// The JSON.
    pub body: String,
    /// Header fields besides Milo's own.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why there is no answer: a sentence that names no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The sentence.
    pub why: String,
    /// Nothing was heard of the other side, or it cannot just now: it may be asked again.
    pub again: bool,
    /// After so long, where it says so.
    pub rest: Option<Duration>,
}

impl Unanswered {
    fn unheard(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: true, rest: None }
    }

    fn wrong(why: impl Into<String>) -> Self {
        Self { why: why.into(), again: false, rest: None }
    }

    /// By a status that is none of success. Who cannot just now has done nothing, or knows the delivery when it is asked again.
    fn refused(status: StatusCode, headers: &HeaderMap) -> Self {
        let again = matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504);
        let rest = headers.get(header::RETRY_AFTER).and_then(|rest| rest.to_str().ok()?.trim().parse().ok());
        let why = format!("it answered with {}", status.as_u16());
        Self { why, again, rest: rest.filter(|_| again).map(Duration::from_secs) }
    }
}

impl Webhooks {
    /// As the configuration says.
    ///
    /// # Errors
    /// A file of it cannot be read, or is not what it should be.
    pub fn new(webhook: &config::Webhook) -> anyhow::Result<Self> {
        let key = key("[webhook]", webhook.secret_file.as_deref(), webhook.secret.as_ref())?;
        let trust = webhook.ca.as_deref().map(Trust::authorities).transpose()?;
        let (hosts, private) = (webhook.hosts.clone(), webhook.private.clone());
        Ok(Self { hosts, private, key, trust, lets: "within [webhook] private" })
    }

    /// For one of `[[webhooks]]`: nobody but its host is told anything.
    ///
    /// # Errors
    /// A file of it cannot be read, or is not what it should be.
    pub fn of_target(settings: &config::WebhookTarget) -> anyhow::Result<Self> {
        let uri = settings.uri().context("a webhook has no address")?;
        let everywhere =
            [IpNet::new_assert(IpAddr::V4([0; 4].into()), 0), IpNet::new_assert(IpAddr::V6([0; 16].into()), 0)];
        Ok(Self {
            hosts: vec![format!("{}:{}", uri.host().unwrap_or_default(), port(&uri))],
            private: if settings.allow_private { everywhere.into() } else { Vec::new() },
            key: key("[[webhooks]]", settings.secret_file.as_deref(), settings.secret.as_ref())?,
            trust: settings.ca.as_deref().map(Trust::authorities).transpose()?,
            lets: "let be asked by allow_private = true",
        })
    }

    /// Tells once; what is answered beside a status of 2xx is not read.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn tell(&self, question: &Question<'_>, within: Duration) -> Result<(), Unanswered> {
        self.within(question, within, Wants::Receipt).await.map(drop)
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn ask(&self, question: &Question<'_>, within: Duration) -> Result<Value, Unanswered> {
        self.within(question, within, Wants::Answer).await
    }

    async fn within(&self, question: &Question<'_>, within: Duration, wants: Wants) -> Result<Value, Unanswered> {
        let begun = AtomicBool::new(false);
        timeout(within, self.post(question, (wants, &begun))).await.unwrap_or_else(|_| {
            let why = format!("no whole answer came within {} s", within.as_secs());
            Err(Unanswered { why, again: !begun.load(Ordering::Relaxed), rest: None })
        })
    }

    /// `begun` is set as soon as an answer begins to come.
    async fn post(&self, question: &Question<'_>, begun: (Wants, &AtomicBool)) -> Result<Value, Unanswered> {
        let Some(host) = question.url.host().filter(|_| is_among(&self.hosts, question.url)) else {
            return Err(Unanswered::wrong("its host is not one of [webhook] hosts"));
        };
        let secure = question.url.scheme_str() == Some("https");
        let address = self.address(host, port(question.url)).await?;
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| Unanswered::unheard(format!("it cannot be reached: {error}")))?;
        // Small requests, one at a time: nothing is gained by waiting for more.
        stream.set_nodelay(true).ok();
        if !secure {
            return self.exchange(stream, question, begun).await;
        }
        let trust = match &self.trust {
            Some(trust) => trust.clone(),
            None => Trust::system().map_err(|error| Unanswered::wrong(error.to_string()))?,
        };
        let stream = trust.connect(bare(host), stream).await;
        let stream = stream.map_err(|error| Unanswered::wrong(format!("its certificate: {error}")))?;
        self.exchange(stream, question, begun).await
    }

    /// The first address of a host that may be connected to.
    async fn address(&self, host: &str, port: u16) -> Result<SocketAddr, Unanswered> {
        let found = match bare(host).parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => lookup_host((host, port))
                .await
                .map_err(|error| Unanswered::unheard(format!("its host is not found: {error}")))?
                .collect(),
        };
        let may = |address: &SocketAddr| {
            let address = address.ip().to_canonical();
            is_public(address) || self.private.iter().any(|network| network.contains(&address))
        };
        let refused = || Unanswered::wrong(format!("its host is at a private address that is not {}", self.lets));
        found.into_iter().find(may).ok_or_else(refused)
    }

    async fn exchange<S>(
        &self,
        stream: S,
        question: &Question<'_>,
        (wants, begun): (Wants, &AtomicBool),
    ) -> Result<Value, Unanswered>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let broken = |error: hyper::Error| Unanswered::unheard(format!("the connection broke: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let request = self.request(question)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            begun.store(true, Ordering::Relaxed);
            let status = response.status();
            if status.is_redirection() {
                let says = format!("it answered with {}, and redirects are followed nowhere", status.as_u16());
                return Err(Unanswered::wrong(says));
            }
            if !status.is_success() {
                return Err(Unanswered::refused(status, response.headers()));
            }
            if wants == Wants::Receipt {
                return Ok(Value::Null);
            }
            let body = to_bytes(Body::new(response.into_body()), ANSWER).await;
            let body =
                body.map_err(|_| Unanswered::wrong(format!("its answer is longer than {ANSWER} bytes, or broke off")))?;
            if body.trim_ascii().is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&body).map_err(|error| Unanswered::wrong(format!("its answer is no JSON: {error}")))
        };
        // The connection is driven here and ends here: nothing of it is left.
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // Over before the answer was whole, it leaves what has come; the exchange knows.
            _ = connection => exchange.await,
        }
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Body>, Unanswered> {
        let Question { url, delivery, timestamp, body, headers } = question;
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len())
            .header(header::USER_AGENT, concat!("Milo/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close")
            .header("Milo-Delivery", delivery)
            .header("Idempotency-Key", delivery)
            .header("Milo-Timestamp", *timestamp);
        if let Some(key) = &self.key {
            request = request.header("Milo-Signature", signature(key, *timestamp, body));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Body::from(body.clone())).map_err(|error| Unanswered::wrong(error.to_string()))
    }
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").field("hosts", &self.hosts).field("private", &self.private).finish_non_exhaustive()
    }
}

/// The key of a section's `secret_file` or `secret`.
fn key(section: &str, file: Option<&Path>, secret: Option<&Secret>) -> anyhow::Result<Option<hmac::Key>> {
    let secret = match file {
        Some(file) => {
            let named = || format!("{section} secret_file: {}", file.display());
            let text = fs::read_to_string(file).with_context(named)?;
            let line = text.trim_end_matches(['\r', '\n']);
            ensure!(!line.is_empty() && !line.contains('\n'), "{} is no single line", named());
            Some(Secret::new(line))
        }
        None => secret.cloned(),
    };
    Ok(secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes())))
}

/// `sha256=` and HMAC-SHA-256 (RFC 2104) of the timestamp, a dot and the body, in hexadecimal digits.
fn signature(key: &hmac::Key, timestamp: i64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{timestamp}.{body}").as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

/// Whether an address is at one of these hosts; a host with a port is that port only.
pub fn is_among(hosts: &[String], url: &Uri) -> bool {
    let Some(host) = url.host() else { return false };
    let with_port = format!("{host}:{}", port(url));
    hosts.iter().any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(&with_port))
}

fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 })
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether an address is one of the open Internet (RFC 6890, RFC 4193, RFC 6598).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
                || a >= 240)
        }
        // Of what is routed, only 2000::/3, without the ways into IPv4 (6to4, Teredo) and what is for documents.
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            a & 0xe000 == 0x2000 && a != 0x2002 && !(a == 0x2001 && (b < 0x200 || b == 0xdb8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_open_internet_is_public() {
        for address in ["8.8.8.8", "102.16.0.1", "100.128.0.1", "2a00:1450::1", "2001:4860::1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "2002:a00:1::1",
            "2001::1",
            "64:ff9b::a00:1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn hosts_are_those_of_the_list() {
        let hosts = ["crm.example.com".to_owned(), "127.0.0.1:9000".into(), "[::1]".into()];
        for (url, is) in [
            ("https://CRM.example.com/x", true),
            ("http://crm.example.com:8080/", true),
            ("http://127.0.0.1:9000/", true),
            ("http://127.0.0.1/", false),
            ("http://[::1]:1/", true),
            ("https://crm.example.com.evil.example/", false),
            ("https://evil.example/crm.example.com", false),
        ] {
            assert_eq!(is_among(&hosts, &url.parse().unwrap()), is, "{url}");
        }
    }

    #[tokio::test]
    async fn neither_another_host_nor_a_name_that_leads_within_is_asked() {
        let refused = async |host: &str, url: &str| {
            let webhook = config::Webhook { hosts: vec![host.to_owned()], ..config::Webhook::default() };
            let url = url.parse().unwrap();
            let question =
                Question { url: &url, delivery: String::new(), timestamp: 0, body: "{}".into(), headers: Vec::new() };
            Webhooks::new(&webhook).unwrap().ask(&question, Duration::from_secs(20)).await.unwrap_err().why
        };
        let why = refused("localhost", "http://localhost:9/").await;
        assert!(why.contains("private address"), "{why}");
        let why = refused("crm.example.com", "http://127.0.0.1:9/").await;
        assert!(why.contains("not one of [webhook] hosts"), "{why}");
    }

    #[test]
    fn who_cannot_just_now_is_asked_again_and_who_refuses_is_not() {
        let told = |status: u16, rest: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_str(rest).unwrap())]);
            let unanswered = Unanswered::refused(status, &headers);
            (unanswered.again, unanswered.rest)
        };
        assert_eq!(told(503, "2"), (true, Some(Duration::from_secs(2))));
        assert_eq!(told(429, "Wed, 21 Oct 2026 07:28:00 GMT"), (true, None));
        for status in [400, 401, 404, 409, 501] {
            assert_eq!(told(status, "2"), (false, None), "{status}");
        }
    }

    #[test]
    fn a_signature_is_that_of_rfc_2104() {
        // As `printf '1.{}' | openssl dgst -sha256 -hmac secret` has it.
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        assert_eq!(signature(&key, 1, "{}"), "sha256=1122767b193110cfec322b6f199b599edbf608ed087f2d27afb0b97d99523908");
    }
}
