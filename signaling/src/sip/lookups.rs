//! What the endpoint's task has looked up beside it: where registrars and the next hops of calls are.

use tokio::task::JoinSet;

use super::{
    core::CallKey,
    destination::{Destination, destination},
    resolver::Resolver,
    trust::Trust,
    uri::Uri,
};

/// For whom what was sought, and where it is.
pub(super) type Located = (CallKey, Uri, Result<Destination, String>);

/// The questions that are open: one a registrar at most, and one a next hop of a call. A name server that does not answer delays
/// those only that have asked.
#[derive(Debug, Default)]
pub(super) struct Lookups(JoinSet<Located>);

impl Lookups {
    /// Looks for what this URI stands for; inside TLS these certificates are believed there, or those of the system's authorities.
    pub(super) fn locate(&mut self, key: CallKey, uri: Uri, resolver: Resolver, trust: Option<Trust>) {
        self.0.spawn(async move {
            let found = destination(&uri, &resolver, trust).await;
            (key, uri, found)
        });
    }

    /// The next one that was found; never when nothing is looked for. Cancel safe.
    pub(super) async fn located(&mut self) -> Located {
        loop {
            match self.0.join_next().await {
                Some(Ok(located)) => return located,
                // None is aborted but with this; one that panicked has said so.
                Some(Err(_)) => {}
                None => return std::future::pending().await,
            }
        }
    }
}
