//! What is shared through Redis, kept up to date: what other nodes say, and after each time that it was away, what was missed.

use std::{sync::Arc, time::Duration};

use tokio::{select, task::JoinSet, time::sleep};

use crate::{
    chat::Sessions,
    keys::Keys,
    redis::{News, Redis},
};

/// How soon it is tried again to listen.
const AGAIN: Duration = Duration::from_millis(500);

/// Follows the others for as long as Milo runs.
pub(super) async fn follow(redis: Redis, keys: Arc<Keys>, sessions: Arc<Sessions>) {
    loop {
        let Some((mut listening, number)) = redis.listen().await else {
            sleep(AGAIN).await;
            continue;
        };
        // Only now that every word is heard is it looked what was said before: between the two nothing is missed.
        // It ends with this connection.
        let mut settling = JoinSet::new();
        let (known, served) = (Arc::clone(&keys), Arc::clone(&sessions));
        settling.spawn(async move {
            known.settle().await;
            served.settle().await;
        });
        loop {
            let news = select! {
                () = redis.fallen(number) => break,
                news = listening.next() => news,
            };
            match news {
                Some(News::Revoked(key, at)) => keys.revoked_elsewhere(&[(key, at)]).await,
                Some(News::Keys) => keys.changed_elsewhere().await,
                Some(News::Forget(session)) => {
                    sessions.drop_here(&session);
                }
                None => {
                    sleep(AGAIN).await;
                    break;
                }
            }
        }
    }
}
