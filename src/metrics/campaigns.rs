//! The calls of campaigns.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

use super::{Metrics, add, whole};
use crate::campaign::Outcome;

#[derive(Debug)]
pub(super) struct Campaigns {
    calls: IntCounterVec,
    live: IntGauge,
}

impl Campaigns {
    pub(super) fn new(r: &Registry) -> Self {
        let calls = Opts::new("milo_campaign_calls_total", "Calls of campaigns that are over, by what came of them.");
        let calls = add(r, IntCounterVec::new(calls, &["outcome"]));
        // From the start, for graphs.
        for outcome in Outcome::ALL {
            calls.with_label_values(&[outcome.as_str()]);
        }
        Self { calls, live: add(r, IntGauge::new("milo_campaign_calls_live", "Calls of campaigns that are up now.")) }
    }
}

impl Metrics {
    /// A call of a campaign is over, and this came of it.
    pub fn campaign_call(&self, outcome: Outcome) {
        self.campaigns.calls.with_label_values(&[outcome.as_str()]).inc();
    }

    /// So many calls of campaigns are up.
    pub fn campaign_calls_live(&self, calls: usize) {
        self.campaigns.live.set(whole(calls));
    }
}
