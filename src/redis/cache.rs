//! What was made before, for all nodes: a shelf of so many bytes, from which what is oldest goes first.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{Redis, line::Kind};

/// A shelf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shelf {
    /// What stands on it.
    pub(crate) name: &'static str,
    /// So many bytes at most.
    pub(crate) bytes: usize,
    /// So long each.
    pub(crate) lifetime: Duration,
}

/// KEYS: the entry, the index (entries by when they were put there), how many bytes there are. ARGV: the entry's name, its value,
/// its lifetime in milliseconds, the most bytes, what every entry's key begins with. An entry of the index is `NAME BYTES`.
static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local function leave(entries)
          for _, entry in ipairs(entries) do
            local name, bytes = entry:match('^(%S+) (%d+)$')
            redis.call('DEL', ARGV[5] .. name)
            redis.call('ZREM', KEYS[2], entry)
            redis.call('DECRBY', KEYS[3], bytes)
          end
          return #entries > 0
        end
        leave(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[3], 'LIMIT', 0, 100))
        local entry = ARGV[1] .. ' ' .. #ARGV[2]
        if redis.call('ZADD', KEYS[2], now, entry) == 1 then redis.call('INCRBY', KEYS[3], #ARGV[2]) end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        while tonumber(redis.call('GET', KEYS[3]) or '0') > tonumber(ARGV[4]) do
          if not leave(redis.call('ZRANGE', KEYS[2], 0, 0)) then
            redis.call('SET', KEYS[3], 0)
          end
        end
        return 1",
    )
});

static GET: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('GET', KEYS[1])"));

impl Redis {
    /// What stands there under this name; `None` also where Redis does not answer.
    pub(crate) async fn taken(&self, shelf: Shelf, name: &str) -> Option<Vec<u8>> {
        let found: Option<Option<Vec<u8>>> =
            self.ask(Kind::Cache, &GET.key(format!("milo:cache:{}:{name}", shelf.name))).await;
        found.flatten()
    }

    /// Puts something there.
    pub(crate) async fn put(&self, shelf: Shelf, name: &str, value: &[u8]) {
        let begins = format!("milo:cache:{}:", shelf.name);
        let mut asked = PUT.key(format!("{begins}{name}"));
        asked.key(format!("{begins}index")).key(format!("{begins}bytes"));
        let lifetime = u64::try_from(shelf.lifetime.as_millis()).unwrap_or(u64::MAX);
        asked.arg(name).arg(value).arg(lifetime).arg(shelf.bytes).arg(begins.as_str());
        let _done: Option<i64> = self.ask(Kind::Cache, &asked).await;
    }
}
