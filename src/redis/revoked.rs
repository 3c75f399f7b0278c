//! Keys that are revoked, kept so that whoever was away when it was said finds them.

use std::sync::LazyLock;

use redis::Script;

use super::{Redis, line::Kind, news::CHANNEL};
use crate::store::{Key, Stamp};

const REVOKED: &str = "milo:revoked";
/// The newest of these are kept.
const MOST: usize = 10_000;

/// KEYS: the set, the channel. ARGV: how many are kept, then when and which, as often as there are some.
static TELL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        for i = 2, #ARGV, 2 do
          if redis.call('ZADD', KEYS[1], 'NX', ARGV[i], ARGV[i + 1]) == 1 then
            redis.call('PUBLISH', KEYS[2], 'revoked ' .. ARGV[i + 1] .. ' ' .. ARGV[i])
          end
        end
        redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[1] - 1)
        return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')",
    )
});

static CHANGED: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('PUBLISH', KEYS[1], 'keys')"));

impl Redis {
    /// Tells every node that these keys are revoked; gives all that are known to be.
    pub(crate) async fn revoked(&self, keys: &[(Key, Stamp)]) -> Option<Vec<(Key, Stamp)>> {
        let mut asked = TELL.key(REVOKED);
        asked.key(CHANNEL).arg(MOST);
        for (key, at) in keys.iter().rev().take(MOST) {
            asked.arg(at.millis()).arg(key.to_string());
        }
        let all: Vec<(String, i64)> = self.ask(Kind::Key, &asked).await?;
        Some(all.into_iter().filter_map(|(key, at)| Some((key.parse().ok()?, Stamp::from_millis(at)))).collect())
    }

    /// Tells every node that the table of keys has changed.
    pub(crate) async fn keys_changed(&self) {
        let _listeners: Option<i64> = self.ask(Kind::Key, &CHANGED.key(CHANNEL)).await;
    }
}
