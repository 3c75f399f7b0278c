//! Whether a trunk is there: it is asked by OPTIONS from time to time, and is not called over while it does not answer.

use std::time::Duration;

use milo_signaling::{Caller, SignalingError, Uri};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Trunks;

/// How a trunk answered last.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// Why it is not called over.
    pub(super) fault: Option<String>,
    /// How long it took.
    pub(super) took: Option<Duration>,
    is_asked: bool,
}

impl Reach {
    /// Whether it may be called over: until it was asked, everybody is thought to be there.
    pub(super) fn is_up(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether it answers; none until it was asked.
    pub(super) fn reachable(&self) -> Option<bool> {
        self.is_asked.then_some(self.is_up())
    }
}

/// Asks the trunk at this place of the list for ever, if there is somebody to ask.
pub(super) async fn keep_asking(trunks: Trunks, at: usize, every: Duration, caller: Caller) {
    let Some(trunk) = trunks.all.get(at) else { return };
    let mut asking = interval(every);
    asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        asking.tick().await;
        // Of several registrars the one that calls go by.
        let Some(target) = trunk.way_out() else { return };
        let (fault, took) = match ask(&trunk.caller(&caller), target).await {
            Some(Ok(took)) => (None, Some(took)),
            Some(Err(fault)) => (Some(fault), None),
            None => return,
        };
        let before = trunk.reach.send_replace(Reach { fault: fault.clone(), took, is_asked: true });
        match (before.fault, fault) {
            (None, Some(why)) => tracing::warn!(trunk = trunk.name(), why, "a trunk is down; no calls go out over it"),
            (Some(_), None) => tracing::info!(trunk = trunk.name(), "the trunk is up again"),
            _ => {}
        }
    }
}

/// How long it took to answer, or why it counts as down; none when Milo is ending.
///
/// Whatever it answers shows that it is there (RFC 3261 section 11.1), but for 408, which says that somebody behind it is not, and
/// 503, with which it asks for no calls (section 21.5.4).
async fn ask(caller: &Caller, target: &Uri) -> Option<Result<Duration, String>> {
    let began = Instant::now();
    Some(match caller.ping(target).await {
        Ok(code @ (408 | 503)) => Err(format!("it answers OPTIONS with {code}")),
        Ok(_) => Ok(began.elapsed()),
        Err(SignalingError::Target { reason, .. } | SignalingError::Unreached { reason, .. }) => Err(reason),
        Err(SignalingError::Stopped) => return None,
        Err(error) => Err(error.to_string()),
    })
}
