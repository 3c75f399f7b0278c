//! Who may read the call log and the metrics, and have calls placed and ended: this machine, or whoever has the key.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRef, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};
use subtle::ConstantTimeEq;

use super::{AppState, Problem};
use crate::config::Secret;

/// An extractor: a handler that takes it runs only for those who may read.
#[derive(Debug)]
pub(super) struct Reader;

impl<S: Send + Sync> FromRequestParts<S> for Reader
where
    AppState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let state = AppState::from_ref(state);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        admit(peer, &parts.headers, state.api_key.as_ref()).map(|()| Self)
    }
}

/// The same for what costs money or cuts somebody off, or tells how Milo is set up: where there is a key, being here is not enough, since behind a proxy that
/// says nothing of it everybody is here.
#[derive(Debug)]
pub(super) struct Placer;

impl<S: Send + Sync> FromRequestParts<S> for Placer
where
    AppState: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let key = AppState::from_ref(state).api_key;
        match bearer(&parts.headers) {
            None if key.is_some() => Err(needs_key()),
            _ => Reader::from_request_parts(parts, state).await.map(|_| Self),
        }
    }
}

fn needs_key() -> Problem {
    Problem::unauthorized("this needs the key of API_KEY: send it as `Authorization: Bearer KEY`")
}

/// A key that is sent is judged, wherever it comes from; without one, only this machine is let in.
fn admit(peer: Option<IpAddr>, headers: &HeaderMap, key: Option<&Secret>) -> Result<(), Problem> {
    match (bearer(headers), key) {
        (Some(given), Some(key)) if bool::from(given.as_bytes().ct_eq(key.reveal().as_bytes())) => Ok(()),
        (Some(_), Some(_)) => Err(Problem::unauthorized("this key is not the right one")),
        _ if is_this_machine(peer, headers) => Ok(()),
        (_, Some(_)) => Err(needs_key()),
        (_, None) => Err(Problem::unauthorized(
            "this is shown on Milo's own machine only (http://127.0.0.1) until API_KEY is set there",
        )),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// A loopback connection that nobody passed on, to a loopback name: behind a proxy everyone seems to be here, and a web page
/// that gives its own name this machine's address (DNS rebinding) would read the log through the visitor's browser.
fn is_this_machine(peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| headers.contains_key(*name));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = host.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| {
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        if name.eq_ignore_ascii_case("localhost") { Ok([127, 0, 0, 1].into()) } else { name.parse() }
    });
    let here = peer.is_some_and(|ip| ip.to_canonical().is_loopback()) && named.is_ok_and(|ip| ip.is_loopback());
    here && !passed_on && !is_foreign_page(headers)
}

/// A page from elsewhere makes the browser of this machine ask; browsers say so (Fetch Metadata, Fetch Standard section 3.1).
fn is_foreign_page(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = |origin: &str| {
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        let ip = authority.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| authority.parse::<IpAddr>());
        let name = authority.split_once(':').map_or(authority, |(name, _)| name);
        !name.eq_ignore_ascii_case("localhost") && !ip.is_ok_and(|ip| ip.is_loopback())
    };
    said("sec-fetch-site") == Some("cross-site") || said("origin").is_some_and(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(peer: &str, headers: &[(&str, &str)], key: Option<&str>) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        admit(Some(peer.parse().unwrap()), &map, key.map(Secret::new).as_ref()).is_ok()
    }

    #[test]
    fn this_machine_needs_no_key_and_others_do() {
        let key = Some("0123456789abcdef");
        let local = ("host", "127.0.0.1:8000");
        assert!(admitted("127.0.0.1", &[local], None));
        assert!(admitted("::1", &[("host", "[::1]:8000")], None));
        assert!(admitted("::ffff:127.0.0.1", &[("host", "localhost:8000")], key));
        assert!(admitted("127.0.0.1", &[local, ("origin", "http://127.0.0.1:8000")], None));
        assert!(admitted("127.0.0.1", &[local, ("origin", "http://localhost:8000")], None));
        for page in [("origin", "https://elsewhere.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert!(!admitted("127.0.0.1", &[local, page], None), "{page:?}");
        }
        assert!(!admitted("192.0.2.1", &[local], None));
        assert!(!admitted("192.0.2.1", &[local], key));
        assert!(admitted("192.0.2.1", &[local, ("authorization", "Bearer 0123456789abcdef")], key));
        assert!(admitted("192.0.2.1", &[local, ("authorization", "bearer 0123456789abcdef")], key));
        for wrong in [
            "Bearer 0123456789abcdeX",
            "Bearer 0123456789abcde",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "Bearer ",
        ] {
            assert!(!admitted("192.0.2.1", &[local, ("authorization", wrong)], key), "{wrong}");
        }
        assert!(!admitted("127.0.0.1", &[local, ("authorization", "Bearer wrong")], key), "a wrong key is never right");
    }

    #[test]
    fn what_only_seems_to_come_from_here_is_refused() {
        let local = ("host", "127.0.0.1:8000");
        assert!(!admitted("127.0.0.1", &[local, ("x-forwarded-for", "192.0.2.1")], None), "a proxy");
        assert!(!admitted("127.0.0.1", &[("host", "evil.example:8000")], None), "DNS rebinding");
        assert!(!admitted("127.0.0.1", &[("host", "127.0.0.1.evil.example")], None));
        assert!(!admitted("127.0.0.1", &[], None));
    }
}
