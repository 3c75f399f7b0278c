//! Sessions for all nodes: what was said in each, in the order in which it began.
//!
//! An exchange is a member whose score is the moment at which it began, in microseconds by Redis' clock. To put it there a second
//! time changes nothing: so nodes that answer at once lose nothing of each other, and whatever a node served while Redis was away,
//! or Redis has lost, is told it again. A session that is forgotten leaves a mark with that moment: what began before it comes back
//! by nobody.

use std::{sync::LazyLock, time::Duration};

use redis::{Script, ScriptInvocation};

use super::{Redis, line::Kind, news::CHANNEL};

/// What Redis knows of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// The present moment by Redis' clock, in microseconds.
    pub(crate) now: i64,
    /// What began until then is forgotten; 0: nothing is.
    pub(crate) forgotten: i64,
    /// The exchanges, the oldest first.
    pub(crate) exchanges: Vec<String>,
}

/// KEYS: the session, the mark. ARGV: its lifetime in milliseconds, or 0 to leave it as it is.
static RECALL: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        if tonumber(ARGV[1]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
        return {time[1] * 1000000 + time[2], tonumber(redis.call('GET', KEYS[2]) or '0'), redis.call('ZRANGE', KEYS[1], 0, -1)}",
    )
});

/// KEYS: the session, the mark. ARGV: its lifetime, how many exchanges are kept, before which moment none is, then when each
/// began and what it is.
static REMEMBER: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local forgotten = tonumber(redis.call('GET', KEYS[2]) or '0')
        for i = 4, #ARGV, 2 do
          if tonumber(ARGV[i]) > forgotten then redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1]) end
        end
        redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[3])
        redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[2] - 1)
        return redis.call('PEXPIRE', KEYS[1], ARGV[1])",
    )
});

/// KEYS: the session, the mark, the channel. ARGV: the session's name, its lifetime, and the moment, or 0 for the present one.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time, at = redis.call('TIME'), ARGV[3]
        if at == '0' then at = string.format('%.0f', time[1] * 1000000 + time[2]) end
        local known = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at)
        redis.call('SET', KEYS[2], at, 'PX', ARGV[2])
        redis.call('PUBLISH', KEYS[3], 'forget ' .. ARGV[1])
        return known",
    )
});

fn keys<'s>(script: &'s Script, id: &str) -> ScriptInvocation<'s> {
    let mut asked = script.key(format!("milo:session:{id}"));
    asked.key(format!("milo:forgotten:{id}"));
    asked
}

fn millis(lifetime: Duration) -> u64 {
    u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX)
}

impl Redis {
    /// What is known of a session; with a lifetime it lasts so long from now on.
    pub(crate) async fn recall(&self, id: &str, lifetime: Option<Duration>) -> Option<Recalled> {
        let mut asked = keys(&RECALL, id);
        asked.arg(lifetime.map_or(0, millis));
        let (now, forgotten, exchanges) = self.ask(Kind::Session, &asked).await?;
        Some(Recalled { now, forgotten, exchanges })
    }

    /// Adds exchanges, each with the moment at which it began; keeps the newest of all, and none from before `oldest`.
    pub(crate) async fn remember(
        &self,
        id: &str,
        lifetime: Duration,
        (keep, oldest): (usize, i64),
        exchanges: &[(i64, String)],
    ) -> bool {
        let mut asked = keys(&REMEMBER, id);
        asked.arg(millis(lifetime)).arg(keep).arg(oldest);
        for (began, exchange) in exchanges {
            asked.arg(*began).arg(exchange);
        }
        let done: Option<i64> = self.ask(Kind::Session, &asked).await;
        done.is_some()
    }

    /// Forgets what began until this moment, or until now; every node hears of it. Says whether there was anything.
    pub(crate) async fn forget(&self, id: &str, lifetime: Duration, at: Option<i64>) -> Option<bool> {
        let mut asked = keys(&FORGET, id);
        asked.key(CHANNEL).arg(id).arg(millis(lifetime)).arg(at.unwrap_or(0));
        let known: i64 = self.ask(Kind::Session, &asked).await?;
        Some(known > 0)
    }
}
