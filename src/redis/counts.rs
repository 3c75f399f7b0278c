//! Requests of the hour, counted for all nodes together.
//!
//! An hour begins with the first request, on whichever node. What a node has counted by itself while Redis was away is told with its
//! next request; what Redis has forgotten, the nodes tell it again.

use std::{sync::LazyLock, time::Duration};

use redis::Script;

use super::{Redis, line::Kind};

/// What a node knows of somebody before it counts a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Who it is.
    pub(crate) whom: String,
    /// How many requests are answered.
    pub(crate) limit: u32,
    /// How many are to be counted now, together or not at all.
    pub(crate) requests: u32,
    /// How many Redis had counted when it was asked last.
    pub(crate) told: u32,
    /// How many this node has counted since, without Redis.
    pub(crate) untold: u32,
    /// How long the hour still is.
    pub(crate) rest: Duration,
}

/// How it is after these requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Those of the hour, these among them where they are answered.
    pub(crate) used: u32,
    /// They are too many, and not counted.
    pub(crate) is_over: bool,
    /// How long the hour still is.
    pub(crate) rest: Duration,
}

/// KEYS: a number each. ARGV: limit, told, untold, rest in milliseconds and requests, of each. Gives used, whether they are too
/// many, and the rest, of each.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local counted = {}
        for i, key in ipairs(KEYS) do
          local limit, told = tonumber(ARGV[i * 5 - 4]), tonumber(ARGV[i * 5 - 3])
          local untold, rest = tonumber(ARGV[i * 5 - 2]), tonumber(ARGV[i * 5 - 1])
          local requests = tonumber(ARGV[i * 5])
          local used = math.max(tonumber(redis.call('GET', key) or '0'), told) + untold
          local left = redis.call('PTTL', key)
          if left > 0 then rest = left end
          local over = 1
          if used + requests <= limit then
            over, used = 0, used + requests
          end
          redis.call('SET', key, used, 'PX', rest)
          for _, one in ipairs({used, over, rest}) do counted[#counted + 1] = one end
        end
        return counted",
    )
});

impl Redis {
    /// Counts the requests of each of these.
    pub(crate) async fn count(&self, known: &[Known]) -> Option<Vec<Counted>> {
        let mut asked = COUNT.prepare_invoke();
        for one in known {
            asked.key(format!("milo:pace:{}", one.whom));
            let rest = u64::try_from(one.rest.as_millis()).unwrap_or(u64::MAX).max(1);
            asked.arg(one.limit).arg(one.told).arg(one.untold).arg(rest).arg(one.requests);
        }
        let counted: Vec<u64> = self.ask(Kind::Limit, &asked).await?;
        let counted = counted.chunks_exact(3).map(|one| Counted {
            used: u32::try_from(one[0]).unwrap_or(u32::MAX),
            is_over: one[1] == 1,
            rest: Duration::from_millis(one[2]),
        });
        Some(counted.collect())
    }
}
