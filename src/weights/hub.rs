//! A server of models in Hugging Face's form: `ENDPOINT/OWNER/NAME/resolve/REVISION/PATH`, which answers with the file or sends on to
//! where it lies.
//!
//! Redirects are followed here, for two reasons: the checksum of a large file stands in the answer that sends on, not in the one
//! that has the file; and the token is for the endpoint alone, never for whom it sends to.

use std::{error::Error as _, fs, time::Duration};

use anyhow::{Context, Result, bail};
use milo_models::catalogue::Hosted;
use reqwest::{
    Certificate, Client, Method, Proxy, Response, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE,
        RETRY_AFTER,
    },
    redirect::Policy,
};
use tokio::time::timeout;

use crate::config::Engines;

/// Where models come from, where nobody names a mirror.
const HUGGING_FACE: &str = "https://huggingface.co";
/// How long a connection, the head of an answer, and each next part of a file may take.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);
/// A server that sends on more often sends round in a circle.
const MOST_HOPS: usize = 5;
/// A server that wants to be left alone for longer is not waited for so long.
const LONGEST_REST: u64 = 120;

/// The server, and how it is asked.
pub(super) struct Hub {
    http: Client,
    endpoint: Url,
    token: Option<HeaderValue>,
}

/// What a server says of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Bytes.
    pub(super) size: Option<u64>,
    /// What stays the same for as long as the file does.
    pub(super) version: Option<String>,
    /// The commit of the repository.
    pub(super) commit: Option<String>,
}

/// A file that comes, from one of its bytes on.
pub(super) struct Body {
    pub(super) told: Told,
    pub(super) from: u64,
    response: Response,
    what: String,
}

/// Why a file, or word of it, did not come.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may pass: worth another try, after this time at least.
    Passing { says: String, after: Duration },
    /// It stays until somebody changes something.
    Lasting(String),
}

impl Trouble {
    pub(super) fn passing(says: String) -> Self {
        Self::Passing { says, after: Duration::ZERO }
    }
}

impl Hub {
    /// The server that `HF_ENDPOINT` names, with the token of `HF_TOKEN`, asked over the proxy and believed by the authorities of
    /// `[engines]`.
    pub(super) fn of(environment: &[(String, String)], engines: &Engines) -> Result<Self> {
        let variable =
            |name: &str| environment.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str());
        let endpoint = endpoint(variable("HF_ENDPOINT").unwrap_or(HUGGING_FACE))?;
        let token = match variable("HF_TOKEN") {
            None => None,
            Some(token) => {
                let wrong = "HF_TOKEN holds what no token holds: a line break, or no ASCII";
                let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok().context(wrong)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        // Whoever was first has installed the same.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut http = Client::builder()
            .user_agent(concat!("Milo/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(Policy::none());
        if let Some(file) = &engines.ca {
            let pem = fs::read(file).with_context(|| format!("engines.ca: {}", file.display()))?;
            let believed = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("engines.ca: {} holds no certificates", file.display()))?;
            http = http.tls_certs_only(believed);
        } else if endpoint.scheme() == "http" {
            // A machine without any certificates can still ask.
            http = http.tls_certs_only([]);
        }
        if is_here(&endpoint) {
            http = http.no_proxy();
        } else if let Some(proxy) = &engines.proxy {
            http = http.proxy(Proxy::all(proxy.reveal()).ok().context("engines.proxy is no http://HOST:PORT")?);
        }
        let http = http.build().map_err(|error| anyhow::anyhow!("{endpoint} cannot be asked: {}", cause(&error)))?;
        Ok(Self { http, endpoint, token })
    }

    /// The page of a repository.
    pub(super) fn page(&self, hosted: &Hosted) -> String {
        format!("{}/{}", self.endpoint.as_str().trim_end_matches('/'), hosted.repo)
    }

    /// Asks how large a file is, and which.
    pub(super) async fn look(&self, hosted: &Hosted, path: &str) -> Result<Told, Trouble> {
        let (mut told, response) = self.ask(Method::HEAD, hosted, path, 0).await?;
        if told.size.is_none() {
            told.size = number(response.headers(), CONTENT_LENGTH.as_str());
        }
        Ok(told)
    }

    /// Asks for a file from this byte on; a server that does not know parts begins at the first.
    pub(super) async fn read(&self, hosted: &Hosted, path: &str, from: u64) -> Result<Body, Trouble> {
        let (told, response) = self.ask(Method::GET, hosted, path, from).await?;
        let begins = match response.status() {
            StatusCode::PARTIAL_CONTENT => beginning(response.headers()),
            _ => Some(0),
        };
        match begins {
            Some(begins) if begins == from || begins == 0 => {
                Ok(Body { told, from: begins, response, what: path.into() })
            }
            _ => {
                Err(Trouble::Lasting(format!("{path}: the server sends another part than the one from byte {from} on")))
            }
        }
    }

    /// The answer of whoever has the file, and what was said on the way to it. Where all that is wanted is word of it, the way ends
    /// where that is had.
    async fn ask(&self, method: Method, hosted: &Hosted, path: &str, from: u64) -> Result<(Told, Response), Trouble> {
        let mut url = self.url(hosted, path);
        let mut told = Told::default();
        for _ in 0..=MOST_HOPS {
            let is_own = url.origin() == self.endpoint.origin();
            let at = url.host_str().unwrap_or_default().to_owned();
            // Compressed, its length would be another.
            let mut request = self.http.request(method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token.as_ref().filter(|_| is_own) {
                request = request.header(AUTHORIZATION, token);
            }
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let asked = timeout(SILENCE, request.send()).await;
            let response = match asked {
                Err(_) => return Err(Trouble::passing(format!("{path}: {at} does not answer"))),
                Ok(Err(error)) => {
                    return Err(Trouble::passing(format!("{path}: {at} cannot be asked: {}", cause(&error))));
                }
                Ok(Ok(response)) => response,
            };
            if is_own {
                told.hear(response.headers());
            }
            if response.status().is_success() || (method == Method::HEAD && told.size.is_some()) {
                return Ok((told, response));
            }
            if !response.status().is_redirection() {
                return Err(self.refusal(&response, hosted, path, &url));
            }
            let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            url = match location.and_then(|to| url.join(to).ok()) {
                Some(to) if may_send(&url, &to) => to,
                // What stands behind the host may be a key.
                Some(to) => {
                    let to = format!("{}://{}", to.scheme(), to.host_str().unwrap_or_default());
                    let says = "which is neither https nor the same host: it is not followed";
                    return Err(Trouble::Lasting(format!("{path}: {at} sends to {to}, {says}")));
                }
                None => return Err(Trouble::Lasting(format!("{path}: {at} sends elsewhere and does not say where"))),
            };
        }
        Err(Trouble::Lasting(format!(
            "{path}: the server sends from one place to the next, more than {MOST_HOPS} times"
        )))
    }

    fn url(&self, hosted: &Hosted, path: &str) -> Url {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(hosted.repo.split('/')).push("resolve").push(&hosted.revision);
            segments.extend(path.split('/'));
        }
        url
    }

    /// Why there is no file, by the status.
    fn refusal(&self, response: &Response, hosted: &Hosted, path: &str, url: &Url) -> Trouble {
        let status = response.status();
        let at = url.host_str().unwrap_or_default();
        match status.as_u16() {
            code @ (401 | 403) if url.origin() == self.endpoint.origin() => {
                let page = self.page(hosted);
                let mend = match &self.token {
                    None => "put a token that may read it into HF_TOKEN",
                    Some(_) => "the token of HF_TOKEN may not read it",
                };
                Trouble::Lasting(format!(
                    "{path}: {page} is not there, or not for everybody ({code}): {mend}; some want their terms accepted on \
                     their page first"
                ))
            }
            404 => Trouble::Lasting(format!(
                "{path}: there is no {url} (404): if it has moved, name its new place in a catalogue of your own \
                 (--catalogue FILE), or a mirror that has it (HF_ENDPOINT)"
            )),
            code @ (408 | 429 | 500..=599) => {
                let rest = number(response.headers(), RETRY_AFTER.as_str()).unwrap_or(0).min(LONGEST_REST);
                Trouble::Passing { says: format!("{path}: {at} failed ({code})"), after: Duration::from_secs(rest) }
            }
            code => Trouble::Lasting(format!("{path}: {at} refuses it ({code})")),
        }
    }
}

impl Body {
    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        match timeout(SILENCE, self.response.chunk()).await {
            Err(_) => Err(Trouble::passing(format!("{}: no more comes", self.what))),
            Ok(Err(error)) => Err(Trouble::passing(format!("{}: broke off ({})", self.what, cause(&error)))),
            Ok(Ok(chunk)) => Ok(chunk.map(Into::into)),
        }
    }
}

impl Told {
    /// Takes what an answer of the endpoint says. That of others is not asked: their `ETag` may be 64 hexadecimal digits and no sha256.
    fn hear(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.size = self.size.or(number(headers, "x-linked-size"));
        if let Some(linked) = text("x-linked-etag") {
            self.version = Some(bare(&linked));
        } else if self.version.is_none() {
            self.version = text(ETAG.as_str()).map(|tag| bare(&tag));
        }
        let is_commit = |text: &String| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.commit = self.commit.take().or(text("x-repo-commit").filter(is_commit));
    }

    /// The sha256 of the file, if its version is one, as it is of large files on Hugging Face.
    pub(super) fn sha256(&self) -> Option<String> {
        let version = self.version.as_ref()?;
        let is_one = version.len() == 64 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| version.to_ascii_lowercase())
    }
}

/// An entity tag without its quotes and its weakness.
fn bare(tag: &str) -> String {
    tag.trim().trim_start_matches("W/").trim_matches('"').to_owned()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Where a part begins: `bytes 100-199/200`.
fn beginning(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Whether one address may send to the other: from https to https, or within a host, but never out of https.
fn may_send(from: &Url, to: &Url) -> bool {
    let is_same_host = from.host_str() == to.host_str();
    match to.scheme() {
        "https" => from.scheme() == "https" || is_same_host,
        "http" => from.origin() == to.origin(),
        _ => false,
    }
}

/// The address below which repositories lie.
fn endpoint(text: &str) -> Result<Url> {
    let wrong = "HF_ENDPOINT is no address of a server, such as https://huggingface.co or http://mirror.example:8080";
    let url = Url::parse(text).ok().context(wrong)?;
    let is_plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain {
        bail!("{wrong}");
    }
    Ok(url)
}

/// Whether a server is this machine by its name or number.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The innermost cause of an error, without its address, which may hold a key.
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

#[cfg(test)]
mod tests {
    use super::*;
    use milo_models::catalogue::Wanted;

    fn hub(variables: &[(&str, &str)]) -> Result<Hub> {
        let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Hub::of(&variables, &Engines::default())
    }

    #[test]
    fn a_file_lies_below_the_endpoint_of_the_environment() {
        let files = vec![Wanted { path: "onnx/a b.onnx".into(), sha256: None }];
        let hosted = Hosted { repo: "owner/name".into(), revision: "main".into(), files };
        for (given, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/owner/name/resolve/main/onnx/a%20b.onnx"),
            ("http://localhost/hub/", "http://localhost/hub/owner/name/resolve/main/onnx/a%20b.onnx"),
        ] {
            let hub = hub(&[("HF_ENDPOINT", given)]).unwrap();
            assert_eq!(hub.url(&hosted, "onnx/a b.onnx").as_str(), url);
            assert_eq!(hub.page(&hosted), url.split("/resolve").next().unwrap());
        }
        for wrong in [
            "mirror.example",
            "ftp://mirror.example",
            "https://me:secret@mirror.example",
            "https://m.example/?k=secret",
        ] {
            let error = hub(&[("HF_ENDPOINT", wrong)]).err().unwrap().to_string();
            assert!(error.contains("HF_ENDPOINT") && !error.contains("secret"), "{error}");
        }
        let error = hub(&[("HF_ENDPOINT", "http://localhost"), ("HF_TOKEN", "two\nlines")]).err().unwrap().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("two"), "{error}");
    }

    #[test]
    fn a_server_sends_on_to_https_or_within_its_host_only() {
        for (from, to, may) in [
            ("https://hub.example/a", "https://cdn.example/b?key=1", true),
            ("https://hub.example/a", "https://hub.example/b", true),
            ("https://hub.example/a", "http://hub.example/b", false),
            ("https://hub.example/a", "http://cdn.example/b", false),
            ("http://hub.example/a", "http://hub.example/b", true),
            ("http://hub.example/a", "http://hub.example:81/b", false),
            ("http://hub.example/a", "https://hub.example/b", true),
            ("http://hub.example/a", "https://cdn.example/b", false),
            ("http://127.0.0.1:80/a", "file:///etc/passwd", false),
        ] {
            assert_eq!(may_send(&Url::parse(from).unwrap(), &Url::parse(to).unwrap()), may, "{from} to {to}");
        }
    }

    #[test]
    fn a_large_files_sum_is_its_linked_tag_and_a_small_ones_tag_is_none() {
        let told = |fields: &[(&'static str, &str)]| {
            let mut told = Told::default();
            for field in fields {
                told.hear(&HeaderMap::from_iter([(field.0.parse().unwrap(), HeaderValue::from_str(field.1).unwrap())]));
            }
            told
        };
        let (sum, other) = ("ab".repeat(32), "cd".repeat(32));
        let quoted = format!("\"{}\"", sum.to_uppercase());
        let large = told(&[("etag", &format!("\"{other}\"")), ("x-linked-etag", &quoted), ("x-linked-size", "7")]);
        assert_eq!((large.sha256(), large.size), (Some(sum.clone()), Some(7)));
        assert_eq!(told(&[("etag", &format!("W/{quoted}"))]).sha256(), Some(sum));
        let small = told(&[("etag", "\"36050c46d777d46dc4b5f43f6d90574fc38f8732\""), ("x-repo-commit", "evil\\nline")]);
        assert_eq!((small.sha256(), small.commit.as_deref()), (None, None));
        assert!(small.version.is_some());
        let range =
            |text: &'static str| beginning(&HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(text))]));
        assert_eq!((range("bytes 100-199/200"), range("bytes */200"), range("100-199")), (Some(100), None, None));
    }
}
