//! `[telemetry]`: traces of calls, for a collector.

use serde::{Deserialize, Serialize};

use super::Faults;

/// Where traces go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// A collector that takes OTLP over HTTP, like "http://127.0.0.1:4318"; `/v1/traces` is asked there. Unset: no traces.
    pub otlp_endpoint: Option<String>,
}

impl Telemetry {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        let is_address = |text: &String| {
            let host = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
            host.is_some_and(|host| {
                !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "@?#".contains(c))
            })
        };
        if self.otlp_endpoint.as_ref().is_some_and(|endpoint| !is_address(endpoint)) {
            faults.add(
                "telemetry.otlp_endpoint",
                "is no address like \"http://127.0.0.1:4318\", without a name, password or query".into(),
            );
        }
    }
}
