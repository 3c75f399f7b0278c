//! The web application: its files, carried in the binary, and the addresses of its pages.
//!
//! Every page is the same `index.html`, whose script draws what the address names. Files below `/assets/` bear a hash of what they hold
//! in their names and are kept by browsers for ever; of the others a browser asks each time whether they are still the same.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use ring::digest::{SHA256, digest};

use super::{AppState, Problem, named::Named};

/// What `web/embed.rs` found: a file's address and what it holds. Nothing, where the application was not built.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// What is shown in its place.
const UNBUILT: &[u8] = include_bytes!("../../web/unbuilt.html");

/// The pages, as `web/src/app.tsx` names them.
const PAGES: [&str; 11] = [
    "/",
    "/calls",
    "/calls/{id}",
    "/campaigns",
    "/campaigns/{id}",
    "/requests",
    "/transcribe",
    "/speak",
    "/translate",
    "/system",
    "/system/{part}",
];

/// Script and style come from files of this server; sounds may be ones that the page has fetched or made itself.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self' blob:; \
     manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Of what browsers can give a page, these need the microphone only.
const PERMISSIONS: (HeaderName, HeaderValue) = (
    HeaderName::from_static("permissions-policy"),
    HeaderValue::from_static("camera=(), geolocation=(), microphone=(self), payment=(), usb=()"),
);

/// Where the files lie that bear a hash.
const ASSETS: &str = "/assets/";

const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK: HeaderValue = HeaderValue::from_static("no-cache");

/// A file with what is told of it.
#[derive(Clone, Debug)]
struct Carried {
    bytes: &'static [u8],
    kind: &'static str,
    caching: HeaderValue,
    /// A validator (RFC 9110 section 8.8.3): weak, since the same bytes may be sent compressed.
    tag: HeaderValue,
}

/// What every page is.
static INDEX: LazyLock<Carried> = LazyLock::new(|| {
    let built = FILES.iter().find(|(path, _)| *path == "/index.html");
    Carried::new("/index.html", built.map_or(UNBUILT, |(_, bytes)| bytes))
});

/// Every other file, by its address.
static OTHERS: LazyLock<BTreeMap<&str, Carried>> = LazyLock::new(|| {
    let others = FILES.iter().filter(|(path, _)| *path != "/index.html");
    others.map(|(path, bytes)| (*path, Carried::new(path, bytes))).collect()
});

pub(super) fn routes() -> Router<AppState> {
    let pages = PAGES.iter().fold(Router::new(), |router, path| {
        router.route(path, get(|headers: HeaderMap| async move { page(StatusCode::OK, &headers) }))
    });
    let assets = |path: &str| path.starts_with(ASSETS);
    let named = OTHERS.iter().filter(|(path, _)| !assets(path)).fold(pages, |router, (path, file)| {
        router.route(path, get(move |headers: HeaderMap| async move { file.answer(&headers) }))
    });
    // One route, since the metrics have a row for each.
    named.route("/assets/{file}", get(asset))
}

async fn asset(Named(name): Named, headers: HeaderMap) -> Response {
    match OTHERS.get(format!("{ASSETS}{name}").as_str()) {
        Some(file) => file.answer(&headers),
        None => {
            Problem::not_found("there is no such file in this version of Milo: load the page again").into_response()
        }
    }
}

/// What stands at no address: people see a page that says so, programs a problem.
pub(super) async fn nothing(request: Request) -> Response {
    let is_shown = request.method() == Method::GET
        && !["/api/", "/v1/", "/docs/"].iter().any(|program| request.uri().path().starts_with(program))
        && accepts_pages(request.headers());
    if is_shown {
        page(StatusCode::NOT_FOUND, request.headers())
    } else {
        Problem::not_found("there is nothing at this address").into_response()
    }
}

fn accepts_pages(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn page(status: StatusCode, headers: &HeaderMap) -> Response {
    let answer = INDEX.answer(headers);
    // What a browser kept is the page all the same, but not that there is one at this address.
    let status = if answer.status() == StatusCode::OK { status } else { answer.status() };
    (status, [PERMISSIONS], answer).into_response()
}

impl Carried {
    fn new(path: &str, bytes: &'static [u8]) -> Self {
        let hash = digest(&SHA256, bytes);
        let first: String = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let caching = if path.starts_with(ASSETS) { FOR_EVER } else { ASK };
        let tag = HeaderValue::try_from(format!("W/\"{first}\"")).expect("hexadecimal digits may stand in a header");
        Self { bytes, kind: kind(path), caching, tag }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let told = [
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::CACHE_CONTROL, self.caching.clone()),
            (header::ETAG, self.tag.clone()),
        ];
        if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == self.tag) {
            return (StatusCode::NOT_MODIFIED, told).into_response();
        }
        (told, [(header::CONTENT_TYPE, HeaderValue::from_static(self.kind))], self.bytes).into_response()
    }
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, kind)| kind) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = include_str!("../../web/src/app.tsx");

    #[test]
    fn the_pages_are_those_of_the_application() {
        let addresses = ROUTES.split("\n  [\"").skip(1).filter_map(|line| line.split('"').next());
        let mut wanted: Vec<String> = addresses
            .flat_map(|address| match address.split_once("/:") {
                None => vec![address.to_owned()],
                Some((before, name)) if name.ends_with('?') => {
                    vec![before.to_owned(), format!("{before}/{{{}}}", name.trim_end_matches('?'))]
                }
                Some((before, name)) => vec![format!("{before}/{{{name}}}")],
            })
            .collect();
        let mut pages = PAGES.to_vec();
        wanted.sort();
        pages.sort_unstable();
        assert_eq!(pages, wanted);
    }

    #[test]
    fn what_has_a_hash_in_its_name_is_kept_and_the_rest_asked_for_again() {
        let none = HeaderMap::new();
        let asset = Carried::new("/assets/index-0a1b2c3d.js", b"let it = 1;").answer(&none);
        let page = Carried::new("/index.html", b"<!doctype html>").answer(&none);
        assert_eq!(asset.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        for policy in [&asset, &page].map(|answer| answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap())
        {
            assert!(policy.contains("script-src 'self';") && policy.contains("style-src 'self';"), "{policy}");
        }
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, page.headers()[header::ETAG].clone())]);
        assert_eq!(Carried::new("/index.html", b"<!doctype html>").answer(&known).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(Carried::new("/index.html", b"<!doctype html><p>").answer(&known).status(), StatusCode::OK);
    }

    #[test]
    fn browsers_see_a_page_where_nothing_is_and_programs_a_problem() {
        let accept = |kind: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(kind))]);
        assert!(accepts_pages(&accept("text/html,application/xhtml+xml,*/*;q=0.8")));
        assert!(!accepts_pages(&accept("*/*")) && !accepts_pages(&accept("application/json")));
    }
}
