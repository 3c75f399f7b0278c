//! What nodes say to each other, as it happens. Whoever is not there at that moment finds the same in what is kept.

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::PubSub;
use tokio::time::timeout;

use super::Redis;
use crate::store::{Key, Stamp};

/// The channel.
pub(super) const CHANNEL: &str = "milo:news";
/// How long it may take until one listens.
const BEGIN: Duration = Duration::from_secs(1);

/// One thing that a node has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A key is not taken any more since then.
    Revoked(Key, Stamp),
    /// Keys were made, rotated or revoked: the table is worth a look.
    Keys,
    /// A session is to be forgotten.
    Forget(String),
}

impl News {
    /// None for what this version does not know.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        match (words.next()?, words.next(), words.next(), words.next()) {
            ("revoked", Some(id), Some(at), None) => {
                Some(Self::Revoked(id.parse().ok()?, Stamp::from_millis(at.parse().ok()?)))
            }
            ("keys", None, None, None) => Some(Self::Keys),
            ("forget", Some(id), None, None) => Some(Self::Forget(id.into())),
            _ => None,
        }
    }
}

/// Somebody who listens.
pub(crate) struct Listening {
    line: PubSub,
}

impl Listening {
    /// What is said next; `None` when the line is cut. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            let said = self.line.on_message().next().await?;
            if let Some(news) = said.get_payload::<String>().ok().and_then(|said| News::read(&said)) {
                return Some(news);
            }
        }
    }
}

impl Redis {
    /// Waits until Redis is there and one hears what is said; tells for which connection of [`Redis::keep`] that is.
    pub(crate) async fn listen(&self) -> Option<(Listening, u64)> {
        let number = self.up().await;
        let begun = timeout(BEGIN, async {
            let mut line = self.client().get_async_pubsub().await?;
            line.subscribe(CHANNEL).await?;
            Ok::<_, redis::RedisError>(line)
        });
        match begun.await {
            Ok(Ok(line)) => Some((Listening { line }, number)),
            Ok(Err(error)) => {
                tracing::warn!(%error, "what other nodes say cannot be heard; tried again soon");
                None
            }
            Err(_) => None,
        }
    }
}
