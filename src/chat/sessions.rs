//! The sessions that this node serves: bounded, and forgotten after a while. With Redis every node can go on with each of them.
//!
//! ```text
//! message ─► open ─► its turn here ─► recall (what others said in it) ─► answer ─► remember ─► Redis
//! ```
//! What was said is here as well as in Redis. While Redis is away this node goes on with what it has; when it is back, [`Sessions::settle`]
//! tells it what it missed or has lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use milo_models::engine::Language;
use tokio::{
    sync::{Mutex as Turns, OwnedMutexGuard},
    time::Instant,
};

use super::{
    SessionName,
    session::{Memory, Said, Session, micros},
};
use crate::redis::Redis;

/// Sessions at once; one more takes the place of the one that was longest unused.
const MOST: usize = 10_000;
/// How often those that are over are looked for.
const SWEEP: Duration = Duration::from_secs(60);

struct Kept {
    session: Arc<Turns<Session>>,
    used: Instant,
}

#[derive(Default)]
struct All {
    sessions: HashMap<String, Kept>,
    swept: Option<Instant>,
    /// Those that were forgotten while Redis was away, and when by this node's clock.
    forgotten: HashMap<String, (i64, Instant)>,
}

/// A session whose turn it is, and the moment at which the next exchange begins.
pub(super) struct Turn {
    pub(super) session: OwnedMutexGuard<Session>,
    pub(super) began: i64,
}

/// The sessions of this node.
pub struct Sessions {
    lifetime: Duration,
    memory: Memory,
    redis: Option<Redis>,
    /// Held for a look-up, and once a minute for a look at all; never over a wait.
    all: Mutex<All>,
}

impl Sessions {
    /// Each is kept `lifetime` after its last message, with as much as `memory` says.
    pub(super) fn new(lifetime: Duration, memory: Memory, redis: Option<Redis>) -> Self {
        Self { lifetime, memory, redis, all: Mutex::default() }
    }

    /// How many there are here.
    pub fn count(&self) -> usize {
        self.all().sessions.len()
    }

    /// What was said in one; none when it is not known (any more). Waits for the answer that is on its way here.
    pub async fn said(&self, name: &SessionName) -> Option<(Language, Vec<Said>)> {
        let here =
            self.all().sessions.get(name.as_str()).filter(|kept| self.lives(kept)).map(|kept| kept.session.clone());
        if let Some(session) = here {
            let mut session = session.lock_owned().await;
            let (_, is_forgotten) = self.recall(&mut session, None).await;
            if is_forgotten {
                self.all().sessions.remove(name.as_str());
                return None;
            }
            return Some((session.language, session.said()));
        }
        let mut session = Session::new(name.clone(), self.memory);
        self.recall(&mut session, None).await;
        let said = session.said();
        (!said.is_empty()).then_some((session.language, said))
    }

    /// Forgets one, on every node; false when it is not known.
    pub async fn forget(&self, name: &SessionName) -> bool {
        let id = name.as_str();
        let here = self.drop_here(id);
        let Some(redis) = &self.redis else { return here };
        match redis.forget(id, self.lifetime, None).await {
            Some(elsewhere) => here || elsewhere,
            None => {
                let now = Instant::now();
                let mut all = self.all();
                all.forgotten.retain(|_, (_, at)| now < *at + self.lifetime);
                if all.forgotten.len() < MOST {
                    all.forgotten.insert(id.to_owned(), (micros(), now));
                }
                here
            }
        }
    }

    /// Another node has forgotten the one that is kept as this.
    pub fn drop_here(&self, id: &str) -> bool {
        let forgotten = self.all().sessions.remove(id);
        forgotten.is_some_and(|kept| self.lives(&kept))
    }

    /// The turn in the one of this name, or in a new one, with all that was said in it on any node.
    pub(super) async fn enter(&self, name: SessionName) -> Turn {
        let mut session = self.open(name).lock_owned().await;
        let (now, _) = self.recall(&mut session, Some(self.lifetime)).await;
        let began = session.begins(now);
        Turn { session, began }
    }

    /// Remembers an exchange here, and in Redis also where nobody waits for it any more.
    pub(super) async fn remember(&self, session: &mut Session, began: i64, message: &str, reply: &str) {
        let exchange = session.remember(began, message, reply).told();
        let Some(redis) = self.redis.clone() else { return };
        let (id, lifetime, kept) =
            (session.name.as_str().to_owned(), self.lifetime, (self.memory.exchanges, session.since()));
        let telling = tokio::spawn(async move { redis.remember(&id, lifetime, kept, &[exchange]).await });
        telling.await.ok();
    }

    /// Tells Redis, which is there (again), what it does not know: what was forgotten, and what was said.
    pub async fn settle(&self) {
        let Some(redis) = &self.redis else { return };
        // Each is kept until Redis has heard of it: this may end at any wait.
        let forgotten: Vec<_> = self.all().forgotten.iter().map(|(id, (at, _))| (id.clone(), *at)).collect();
        for (id, at) in forgotten {
            if redis.forget(&id, self.lifetime, Some(at)).await.is_some() {
                let mut all = self.all();
                if all.forgotten.get(&id).is_some_and(|(last, _)| *last == at) {
                    all.forgotten.remove(&id);
                }
            }
        }
        let live: Vec<_> = {
            let all = self.all();
            all.sessions.values().filter(|kept| self.lives(kept)).map(|kept| kept.session.clone()).collect()
        };
        let mut answering = Vec::new();
        for session in live {
            match Arc::clone(&session).try_lock_owned() {
                Ok(mut session) => {
                    self.recall(&mut session, None).await;
                }
                Err(_) => answering.push(session),
            }
        }
        for session in answering {
            self.recall(&mut *session.lock().await, None).await;
        }
    }

    /// What Redis knows of it comes here, and what it does not know goes there. Gives the present moment, by Redis' clock where it
    /// answers, and whether the session was forgotten.
    async fn recall(&self, session: &mut Session, lifetime: Option<Duration>) -> (i64, bool) {
        let Some(redis) = &self.redis else { return (micros(), false) };
        let Some(recalled) = redis.recall(session.name.as_str(), lifetime).await else { return (micros(), false) };
        let merged = session.merge(&recalled);
        if !merged.missing.is_empty() {
            let kept = (self.memory.exchanges, session.since());
            redis.remember(session.name.as_str(), self.lifetime, kept, &merged.missing).await;
        }
        (recalled.now, merged.is_forgotten)
    }

    /// The one of this name, or a new one.
    fn open(&self, name: SessionName) -> Arc<Turns<Session>> {
        let id = name.as_str().to_owned();
        let now = Instant::now();
        let mut all = self.all();
        if let Some(kept) = all.sessions.get_mut(&id).filter(|kept| now < kept.used + self.lifetime) {
            kept.used = now;
            return kept.session.clone();
        }
        if all.swept.is_none_or(|swept| now > swept + SWEEP) || all.sessions.len() >= MOST {
            all.sessions.retain(|_, kept| now < kept.used + self.lifetime);
            all.swept = Some(now);
        }
        if all.sessions.len() >= MOST
            && let Some(oldest) = all.sessions.iter().min_by_key(|(_, kept)| kept.used).map(|(id, _)| id.clone())
        {
            all.sessions.remove(&oldest);
        }
        let session = Arc::new(Turns::new(Session::new(name, self.memory)));
        all.sessions.insert(id, Kept { session: session.clone(), used: now });
        session
    }

    fn lives(&self, kept: &Kept) -> bool {
        Instant::now() < kept.used + self.lifetime
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        Sessions::new(Duration::from_secs(60), Memory { exchanges: 2, tokens: 1_000 }, None)
    }

    fn named(name: &str) -> SessionName {
        SessionName::new(None, Some(name)).expect("a name")
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_as_long_as_somebody_writes() {
        let sessions = sessions();
        for _ in 0..3 {
            let Turn { mut session, began } = sessions.enter(named("a")).await;
            sessions.remember(&mut session, began, "one", "two").await;
            tokio::time::advance(Duration::from_secs(50)).await;
        }
        let (language, said) = sessions.said(&named("a")).await.expect("it is kept");
        let exchange = Said { message: "one".into(), reply: Some("two".into()) };
        assert_eq!((language, said), (Language::Mg, vec![exchange.clone(), exchange]), "the newest two");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(sessions.said(&named("a")).await.is_none() && !sessions.forget(&named("a")).await);
        assert!(sessions.enter(named("a")).await.session.said().is_empty());
    }

    #[tokio::test]
    async fn what_is_forgotten_is_gone() {
        let sessions = sessions();
        sessions.open(named("a"));
        sessions.open(named("b"));
        assert!(sessions.forget(&named("a")).await && !sessions.forget(&named("a")).await);
        assert_eq!(sessions.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_takes_the_place_of_the_oldest() {
        let sessions = sessions();
        for n in 0..=MOST {
            sessions.open(named(&format!("s{n}")));
            tokio::time::advance(Duration::from_micros(10)).await;
        }
        assert_eq!(sessions.count(), MOST);
        assert!(sessions.said(&named("s0")).await.is_none() && sessions.said(&named("s1")).await.is_some());
    }
}
