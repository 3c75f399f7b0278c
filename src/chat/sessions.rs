//! What was said in each conversation by text, in memory: bounded, and forgotten after a while.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use milo_models::engine::Language;
use serde::Serialize;
use tokio::{sync::Mutex as Turns, time::Instant};

use crate::{agent::Context, store::Key};

/// Sessions at once; one more takes the place of the one that was longest unused.
const MOST: usize = 10_000;
/// The longest name of a session.
const LONGEST_NAME: usize = 64;
/// How often those that are over are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// One conversation.
pub(super) struct Session {
    pub(super) id: String,
    /// What was spoken last.
    pub(super) language: Language,
    pub(super) context: Context,
}

/// One exchange, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Said {
    /// What was written.
    #[schema(example = "Amin'ny ora firy no misokatra ny birao ?")]
    pub message: String,
    /// What was answered; none where the answer was not waited for.
    #[schema(example = "Misokatra amin'ny valo ora maraina ny birao.")]
    pub reply: Option<String>,
}

struct Kept {
    session: Arc<Turns<Session>>,
    used: Instant,
}

#[derive(Default)]
struct All {
    sessions: HashMap<String, Kept>,
    swept: Option<Instant>,
}

/// The sessions of this process.
pub struct Sessions {
    lifetime: Duration,
    exchanges: usize,
    /// Held for a look-up, and once a minute for a look at all; never over a wait.
    all: Mutex<All>,
}

impl Sessions {
    /// Each is kept `lifetime` after its last message, with the newest `exchanges`.
    pub(super) fn new(lifetime: Duration, exchanges: usize) -> Self {
        Self { lifetime, exchanges, all: Mutex::default() }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all().sessions.len()
    }

    /// What was said in one; none when it is not known (any more). Waits for the answer that is on its way.
    pub async fn said(&self, id: &str) -> Option<(Language, Vec<Said>)> {
        let session = self.all().sessions.get(id).filter(|kept| self.lives(kept)).map(|kept| kept.session.clone())?;
        let session = session.lock().await;
        let said = |(heard, said): (&str, Option<&str>)| Said { message: heard.into(), reply: said.map(Into::into) };
        Some((session.language, session.context.exchanges().map(said).collect()))
    }

    /// Forgets one; false when it is not known.
    pub fn forget(&self, id: &str) -> bool {
        let forgotten = self.all().sessions.remove(id);
        forgotten.is_some_and(|kept| self.lives(&kept))
    }

    /// The one of this name, or a new one; none when the name cannot be one.
    pub(super) fn open(&self, id: Option<&str>) -> Option<Arc<Turns<Session>>> {
        let right = |id: &str| {
            (1..=LONGEST_NAME).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let id = match id {
            Some(id) if right(id) => id.to_owned(),
            Some(_) => return None,
            None => Key::new().to_string(),
        };
        let now = Instant::now();
        let mut all = self.all();
        if let Some(kept) = all.sessions.get_mut(&id).filter(|kept| now < kept.used + self.lifetime) {
            kept.used = now;
            return Some(kept.session.clone());
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
        let context = Context::new("", self.exchanges);
        let session = Arc::new(Turns::new(Session { id: id.clone(), language: Language::Mg, context }));
        all.sessions.insert(id, Kept { session: session.clone(), used: now });
        Some(session)
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
        Sessions::new(Duration::from_secs(60), 2)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_lasts_as_long_as_somebody_writes() {
        let sessions = sessions();
        for _ in 0..3 {
            sessions.open(Some("a")).expect("a name").lock().await.context.remember("one", "two");
            tokio::time::advance(Duration::from_secs(50)).await;
        }
        let (language, said) = sessions.said("a").await.expect("it is kept");
        let exchange = Said { message: "one".into(), reply: Some("two".into()) };
        assert_eq!((language, said), (Language::Mg, vec![exchange.clone(), exchange]), "the newest two");
        tokio::time::advance(Duration::from_secs(20)).await;
        assert!(sessions.said("a").await.is_none() && !sessions.forget("a"));
        assert!(sessions.open(Some("a")).expect("a name").lock().await.context.exchanges().next().is_none());
    }

    #[tokio::test]
    async fn names_are_plain_and_new_ones_differ() {
        let sessions = sessions();
        for wrong in ["", "a b", "../x", "é", &"x".repeat(65)] {
            assert!(sessions.open(Some(wrong)).is_none(), "{wrong}");
        }
        let (one, other) = (sessions.open(None).expect("new"), sessions.open(None).expect("new"));
        assert_ne!(one.lock().await.id, other.lock().await.id);
        assert!(sessions.forget(&one.lock().await.id) && sessions.count() == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_too_many_takes_the_place_of_the_oldest() {
        let sessions = sessions();
        for n in 0..=MOST {
            sessions.open(Some(&format!("s{n}"))).expect("a name");
            tokio::time::advance(Duration::from_micros(10)).await;
        }
        assert_eq!(sessions.count(), MOST);
        assert!(sessions.said("s0").await.is_none() && sessions.said("s1").await.is_some());
    }
}
