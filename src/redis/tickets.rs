//! Tickets: each is taken once, by whichever node it is sent to.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{Redis, line::Kind};

static KEEP: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"));

static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local kept = redis.call('GET', KEYS[1])
        redis.call('DEL', KEYS[1])
        return kept",
    )
});

impl Redis {
    /// Keeps a ticket under the hash of it. Says whether it is kept.
    pub(crate) async fn keep_ticket(&self, name: &str, value: &str, lifetime: Duration) -> bool {
        let mut asked = KEEP.key(format!("milo:ticket:{name}"));
        asked.arg(value).arg(u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1));
        let done: Option<String> = self.ask(Kind::Key, &asked).await;
        done.is_some()
    }

    /// Takes it; `None` also where Redis does not answer.
    pub(crate) async fn take_ticket(&self, name: &str) -> Option<String> {
        let found: Option<Option<String>> = self.ask(Kind::Key, &TAKE.key(format!("milo:ticket:{name}"))).await;
        found.flatten()
    }
}
