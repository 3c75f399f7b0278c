//! Who waits in lines, and what came of it.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{add, raise, whole};
use crate::call::LineReport;

/// The figures of lines.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: IntGaugeVec,
    calls: IntCounterVec,
}

impl Lines {
    pub(super) fn new(r: &Registry) -> Self {
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(r, IntCounterVec::new(Opts::new(name, help), labels));
        Self {
            waiting: add(
                r,
                IntGaugeVec::new(Opts::new("milo_queue_waiting", "Callers who wait in a line now."), &["queue"]),
            ),
            calls: counters(
                "milo_queue_calls_total",
                "Callers who waited in a line, by what came of it.",
                &["queue", "result"],
            ),
        }
    }

    /// Takes over what the lines count themselves.
    pub(super) fn read(&self, lines: &[LineReport]) {
        for line in lines {
            self.waiting.with_label_values(&[line.name.as_str()]).set(whole(line.waiting.len()));
            for (result, calls) in &line.calls {
                raise(&self.calls.with_label_values(&[line.name.as_str(), result]), *calls);
            }
        }
    }
}
