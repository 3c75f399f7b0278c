//! HTTP: requests, by status, how long they took, by address, those that were too many, and the conversations that go on.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::{BUCKETS, Metrics, add, whole};

#[derive(Debug)]
pub(super) struct Web {
    requests: IntCounterVec,
    seconds: HistogramVec,
    limited: IntCounter,
    sessions: IntGauge,
    offers: IntCounterVec,
    resources: IntGauge,
}

impl Web {
    pub(super) fn new(r: &Registry) -> Self {
        let requests = Opts::new("milo_http_requests_total", "HTTP requests, by status.");
        let offers =
            Opts::new("milo_webrtc_offers_total", "Offers of browsers, by what came of them: up, given_up or refused.");
        let seconds = HistogramOpts::new(
            "milo_http_request_seconds",
            "How long HTTP requests took until their answer began, by route.",
        );
        Self {
            requests: add(r, IntCounterVec::new(requests, &["status"])),
            seconds: add(r, HistogramVec::new(seconds.buckets(BUCKETS.into()), &["route"])),
            limited: add(
                r,
                IntCounter::new(
                    "milo_http_limited_total",
                    "HTTP requests that were more than an hour has, and refused.",
                ),
            ),
            sessions: add(
                r,
                IntGauge::new("milo_text_sessions", "Conversations by text that this Milo remembers now."),
            ),
            offers: add(r, IntCounterVec::new(offers, &["result"])),
            resources: add(
                r,
                IntGauge::new("milo_webrtc_resources", "Calls of browsers that are up or come up, as WHIP names them."),
            ),
        }
    }

    pub(super) fn read(&self, sessions: usize) {
        self.sessions.set(whole(sessions));
    }
}

impl Metrics {
    /// An HTTP request was answered, after so many seconds; `route` is the router's pattern, of which there are so many.
    pub fn http_request(&self, route: &str, status: u16, seconds: f64) {
        self.web.requests.with_label_values(&[&status.to_string()]).inc();
        self.web.seconds.with_label_values(&[route]).observe(seconds);
    }

    /// This came of an offer of a browser's: `up`, `given_up` or `refused`.
    pub fn webrtc_offer(&self, result: &str) {
        self.web.offers.with_label_values(&[result]).inc();
    }

    /// What counts the calls of browsers that are up or come up.
    pub fn webrtc_resources(&self) -> IntGauge {
        self.web.resources.clone()
    }

    /// An HTTP request was refused, since its asker has had all of an hour's.
    pub fn http_limited(&self) {
        self.web.limited.inc();
    }
}
