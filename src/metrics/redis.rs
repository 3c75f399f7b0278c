//! Redis, and what is known through it.

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::add;
use crate::redis::Kind;

/// Seconds, from what a Redis beside takes to the longest that anybody waits.
const BUCKETS: [f64; 10] = [0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1];

/// The figures of Redis.
#[derive(Debug)]
pub(super) struct Redis {
    /// Without labels, so that it is not shown where no Redis is configured.
    pub(super) up: IntGaugeVec,
    pub(super) operations: IntCounterVec,
    pub(super) failures: IntCounterVec,
    pub(super) seconds: HistogramVec,
    pub(super) look_ups: IntCounterVec,
}

impl Redis {
    pub(super) fn new(r: &Registry) -> Self {
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(r, IntCounterVec::new(Opts::new(name, help), labels));
        let up = "1 while the configured Redis answers, else 0.";
        let seconds =
            HistogramOpts::new("milo_redis_seconds", "How long Redis took to answer, or until nobody waited.");
        let figures = Self {
            up: add(r, IntGaugeVec::new(Opts::new("milo_redis_up", up), &[])),
            operations: counters(
                "milo_redis_operations_total",
                "What Redis was asked, by what it is about.",
                &["kind"],
            ),
            failures: counters(
                "milo_redis_failures_total",
                "What Redis did not do of it, by why: late, refused, or full, when too much was asked at once.",
                &["kind", "reason"],
            ),
            seconds: add(r, HistogramVec::new(seconds.buckets(BUCKETS.into()), &["kind"])),
            look_ups: counters(
                "milo_cache_look_ups_total",
                "Looks for what was translated or said before, by where it was found: here, redis, or nowhere.",
                &["cache", "found"],
            ),
        };
        for kind in Kind::ALL.map(Kind::as_str) {
            figures.operations.with_label_values(&[kind]);
            for reason in ["late", "refused", "full"] {
                figures.failures.with_label_values(&[kind, reason]);
            }
        }
        for cache in ["speech", "translation"] {
            for found in ["here", "redis", "nowhere"] {
                figures.look_ups.with_label_values(&[cache, found]);
            }
        }
        figures
    }
}
