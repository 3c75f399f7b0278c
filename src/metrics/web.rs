//! HTTP: requests, by status, and how long they took, by address.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use super::{BUCKETS, add};

#[derive(Debug)]
pub(super) struct Web {
    requests: IntCounterVec,
    seconds: HistogramVec,
}

impl Web {
    pub(super) fn new(r: &Registry) -> Self {
        let requests = Opts::new("milo_http_requests_total", "HTTP requests, by status.");
        let seconds = HistogramOpts::new(
            "milo_http_request_seconds",
            "How long HTTP requests took until their answer began, by route.",
        );
        Self {
            requests: add(r, IntCounterVec::new(requests, &["status"])),
            seconds: add(r, HistogramVec::new(seconds.buckets(BUCKETS.into()), &["route"])),
        }
    }

    /// `route` is a pattern of the router's: as many as there are.
    pub(super) fn answered(&self, route: &str, status: u16, seconds: f64) {
        self.requests.with_label_values(&[&status.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(seconds);
    }
}
