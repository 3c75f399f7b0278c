//! The first page: what runs here, what to dial, the list of calls. Three files, carried in the binary.

use axum::{
    Router,
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};

use super::AppState;

const PAGE: &str = include_str!("../../web/index.html");
const STYLE: &str = include_str!("../../web/milo.css");
const SCRIPT: &str = include_str!("../../web/milo.js");
const ICON: &str = include_str!("../../web/milo.svg");

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", PAGE) }))
        .route("/milo.css", get(|| async { file("text/css; charset=utf-8", STYLE) }))
        .route("/milo.js", get(|| async { file("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/milo.svg", get(|| async { file("image/svg+xml", ICON) }))
}

/// Never older than the program: a browser asks each time.
fn file(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of one language's block in the script.
    fn keys(language: &str) -> BTreeSet<&'static str> {
        let block = SCRIPT.split_once(&format!("\n  {language}: {{\n")).unwrap().1.split_once("\n  },").unwrap().0;
        let name = |before: &'static str| before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        let pieces: Vec<&str> = block.split(": \"").collect();
        pieces[..pieces.len() - 1].iter().filter_map(|before| name(before)).collect()
    }

    #[test]
    fn every_sentence_of_the_page_exists_in_three_languages() {
        let english = keys("en");
        assert!(english.len() > 50, "{english:?}");
        assert_eq!(keys("fr"), english);
        assert_eq!(keys("mg"), english);
        for used in PAGE.split("data-t=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(english.contains(used), "{used} is used by the page");
        }
        for used in SCRIPT.split(" t(\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(english.contains(used), "{used} is used by the script");
        }
    }
}
