//! `[media]`: the audio of calls.

use serde::{Deserialize, Serialize};

use super::{Faults, address::PortRange};

/// RTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// The UDP ports for audio, one a leg: `"10000-20000"`, or 0 to let the system choose.
    pub rtp_ports: PortRange,
    /// A call whose audio stays away for so many seconds is ended.
    pub rtp_timeout_s: u64,
}

impl Default for Media {
    fn default() -> Self {
        Self { rtp_ports: PortRange::new(10_000, 20_000), rtp_timeout_s: 30 }
    }
}

impl Media {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("media.rtp_timeout_s", self.rtp_timeout_s, 1..=3_600);
    }
}
