//! What programs of the operator's are told of calls.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{add, raise};
use crate::notices::TargetReport;

/// The figures of `[[webhooks]]`.
#[derive(Debug)]
pub(super) struct Webhooks {
    waiting: IntGaugeVec,
    dead: IntGaugeVec,
    tries: IntCounterVec,
    buried: IntCounterVec,
    missed: IntCounterVec,
}

impl Webhooks {
    pub(super) fn new(r: &Registry) -> Self {
        let gauges = |name: &str, help: &str| add(r, IntGaugeVec::new(Opts::new(name, help), &["target"]));
        let counters =
            |name: &str, help: &str, labels: &[&str]| add(r, IntCounterVec::new(Opts::new(name, help), labels));
        Self {
            waiting: gauges("milo_webhook_waiting", "Events that a webhook is still to be told of."),
            dead: gauges("milo_webhook_dead", "Events of which a webhook was not told, and is not tried again."),
            tries: counters(
                "milo_webhook_tries_total",
                "Tries to tell a webhook of an event, by what came of them.",
                &["target", "result"],
            ),
            buried: counters("milo_webhook_given_up_total", "Events that were given up.", &["target"]),
            missed: counters(
                "milo_webhook_missed_total",
                "Events that a webhook was not told of since too much waited for it.",
                &["target"],
            ),
        }
    }

    /// Takes over what the targets count themselves.
    pub(super) fn read(&self, targets: &[TargetReport]) {
        for target in targets {
            let name = &[target.name.as_str()];
            self.waiting.with_label_values(name).set(target.waiting);
            self.dead.with_label_values(name).set(target.dead);
            raise(&self.buried.with_label_values(name), target.buried);
            raise(&self.missed.with_label_values(name), target.missed);
            for (result, tries) in [("delivered", target.delivered), ("failed", target.failed)] {
                raise(&self.tries.with_label_values(&[name[0], result]), tries);
            }
        }
    }
}
