//! How it ends: politely, and in the order in which nothing is lost.

use std::{future::Future, sync::atomic::Ordering, time::Duration};

use tokio::{
    select,
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Server, Signals};

/// How long the call log may take to write its last rows when Milo ends.
const LAST_ROWS: Duration = Duration::from_secs(5);
/// How long the goodbyes of calls that are up when the drain is over may take.
const GOODBYES: Duration = Duration::from_secs(6);
/// How long recordings may take to be whole when Milo ends.
const LAST_PAGES: Duration = Duration::from_secs(5);

impl Server {
    /// Serves until SIGTERM or SIGINT, then ends; a second signal shortens the drain.
    pub async fn until(self, mut signals: Signals) {
        let certificates = || {
            self.endpoint.reload_certificate();
            self.certificate.iter().for_each(|certificate| certificate.reload());
        };
        signals.next(certificates).await;
        self.end(signals.next(|| ())).await;
    }

    /// Ends politely: no new calls, the running ones up to the drain time (or `at_once`), a goodbye and a BYE for those that are left,
    /// the last rows.
    pub async fn end(self, at_once: impl Future<Output = ()>) {
        let Self {
            house,
            endpoint,
            mut calls,
            open,
            visits,
            end_visits,
            http,
            close_http,
            writer,
            retention,
            reloads,
            drain,
            texting,
            traces,
            ..
        } = self;
        let live = endpoint.counters().calls + visits.load(Ordering::Acquire);
        if live > 0 {
            tracing::info!(calls = live, drain_s = drain.as_secs(), "no new calls; waiting for those that are up");
        }
        drop(open);
        // Carriers send their calls elsewhere from now on.
        endpoint.unregister().await;
        let mut all_over = select! {
            _ = &mut calls => true,
            () = sleep(drain) => false,
            () = at_once => false,
        };
        if !all_over {
            house.live.hang_up_all();
            all_over = timeout(GOODBYES, &mut calls).await.is_ok();
        }
        // A BYE for every call that is left even now, or its like; their tasks then close their rows.
        end_visits.send_replace(true);
        endpoint.shutdown().await;
        let deadline = Instant::now() + LAST_ROWS;
        if !all_over && timeout_at(deadline, &mut calls).await.is_err() {
            calls.abort();
        }
        close_http.send(()).ok();
        http.1.await.ok();
        drop(texting);
        let log = house.log.clone();
        if timeout(LAST_PAGES, house.recordings.idle()).await.is_err() {
            tracing::error!("the disk was too slow for the last recordings; they end early");
        }
        house.engines.mind.note_spent(&log);
        drop(house);
        retention.inspect(JoinHandle::abort);
        reloads.abort();
        // With nobody on the line, an ending must not wait for a database that is away.
        let written = log.flush(if live > 0 { LAST_ROWS } else { LAST_ROWS / 2 }).await;
        let state = log.state();
        drop(log);
        if let Some(traces) = traces {
            tokio::task::spawn_blocking(move || traces.end()).await.ok();
        }
        match (written, usize::try_from(state.journal_entries)) {
            (true, _) => {}
            (false, Ok(kept)) if kept >= state.waiting => {
                tracing::warn!(rows = kept, "the last rows of the call log wait in the journal for the next start");
            }
            _ => tracing::error!("the last rows of the call log could not be written"),
        }
        writer.abort();
    }
}
