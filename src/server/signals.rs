//! What the system tells the process: to end, and to read its certificates anew.

use anyhow::Result;
use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

/// SIGTERM and SIGINT, caught from the moment this is made; until then either ends the process at once. And SIGHUP, which
/// reads certificates anew.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Catches them. To be done before anybody is told that Milo is up: who knows it may ask it to end.
    pub fn caught() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; each SIGHUP until then calls `again`.
    pub(super) async fn next(&mut self, again: impl Fn()) {
        loop {
            select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => again(),
            }
        }
    }
}
