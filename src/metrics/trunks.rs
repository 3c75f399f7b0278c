//! How trunks are, and what went over them.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{add, raise, whole};
use crate::trunk::TrunkReport;

/// The figures of trunks.
#[derive(Debug)]
pub(super) struct Trunks {
    reachable: IntGaugeVec,
    registered: IntGaugeVec,
    live: IntGaugeVec,
    calls: IntCounterVec,
    refused: IntCounterVec,
}

impl Trunks {
    pub(super) fn new(r: &Registry) -> Self {
        let gauges = |name: &str, help: &str| add(r, IntGaugeVec::new(Opts::new(name, help), &["trunk"]));
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(r, IntCounterVec::new(Opts::new(name, help), labels));
        Self {
            registered: gauges("milo_trunk_registered", "1 while Milo is registered with a trunk, else 0."),
            reachable: gauges("milo_trunk_reachable", "1 while a trunk that is asked by OPTIONS answers, else 0."),
            live: gauges("milo_trunk_calls_live", "Calls of a trunk that are up now."),
            calls: counters("milo_trunk_calls_total", "Calls of a trunk, by direction.", &["trunk", "direction"]),
            refused: counters(
                "milo_trunk_refused_total",
                "Calls that a trunk's limits refused, by direction.",
                &["trunk", "direction"],
            ),
        }
    }

    /// Takes over what the trunks count themselves.
    pub(super) fn read(&self, trunks: &[TrunkReport]) {
        for trunk in trunks {
            let name = trunk.settings.name.as_str();
            if let Some(registered) = trunk.registered() {
                self.registered.with_label_values(&[name]).set(registered);
            }
            if let Some(reachable) = trunk.reachable {
                self.reachable.with_label_values(&[name]).set(i64::from(reachable));
            }
            self.live.with_label_values(&[name]).set(whole(trunk.calls_live));
            for (direction, calls, refused) in
                [("in", trunk.calls_in, trunk.refused_in), ("out", trunk.calls_out, trunk.refused_out)]
            {
                raise(&self.calls.with_label_values(&[name, direction]), calls);
                raise(&self.refused.with_label_values(&[name, direction]), refused);
            }
        }
    }
}
