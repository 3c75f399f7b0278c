//! What pieces of knowledge mean, as vectors of a server's: `look_up` finds by them what shares no word with the question.
//!
//! ```text
//! an edition of the plans ─► its pieces ─► keep: those without a vector ─► the server, some at a time ─► all vectors
//! a question ─► its vector ─┬─► the pieces nearest to it ─┐
//!                           └─► the pieces of its words ──┴─► both ranks (dialplan/knowledge.rs)
//! ```
//! A text is asked about once: what the next edition has of the same pieces keeps its vectors. Until all are there, and whenever the
//! server does not answer, words alone find.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use milo_models::{
    engine::EngineError,
    openai::{Embedder, MOST_TEXTS},
};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep},
};

use crate::dialplan::{Dialplans, LookUp, Near, Vectors};

/// The first and the longest pause before a server that did not answer is asked about pieces again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A server that did not answer a question is asked no other for so long: each caller would wait for it.
const REST: Duration = Duration::from_secs(10);

type Pieces = Arc<[Arc<str>]>;

/// The way to the vectors; cheap to clone.
#[derive(Clone)]
pub struct Likeness {
    embedder: Embedder,
    /// A piece less alike than this is not found by what it means.
    least: f32,
    wanted: Arc<watch::Sender<Pieces>>,
    known: watch::Receiver<Arc<Vectors>>,
    /// No question is asked before this: milliseconds since `began`.
    rests: Arc<AtomicU64>,
    began: Instant,
}

impl Likeness {
    /// The way, and what keeps the vectors; that ends when nobody is left who could want any.
    pub fn new(embedder: Embedder, least: f32) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (wanted, pieces) = watch::channel(Pieces::default());
        let (publish, known) = watch::channel(Arc::default());
        let keeping = keep(embedder.clone(), pieces, publish);
        let (wanted, rests, began) = (Arc::new(wanted), Arc::default(), Instant::now());
        (Self { embedder, least, wanted, known, rests, began }, keeping)
    }

    /// These plans come into force: the vectors of what they know are wanted.
    pub fn know(&self, dialplans: &Dialplans) {
        self.wanted.send_replace(dialplans.pieces().collect());
    }

    /// What is near to a question; nothing where there are no vectors, or the server does not answer.
    async fn near(&self, question: &str) -> Option<Near> {
        let vectors = Arc::clone(&self.known.borrow());
        if vectors.is_empty() || question.trim().is_empty() || self.now_ms() < self.rests.load(Ordering::Relaxed) {
            return None;
        }
        match self.embedder.embed(&[question]).await {
            Ok(mut asked) => Some(Near { question: asked.pop()?, vectors, least: self.least }),
            Err(error) => {
                tracing::warn!(%error, "what a question means is not known; it is looked up by its words");
                self.rests.store(self.now_ms() + REST.as_millis() as u64, Ordering::Relaxed);
                None
            }
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// What of the knowledge of these plans fits, by its words and, where there are vectors, by what it means.
pub async fn look_up(dialplans: &Dialplans, look_up: &LookUp, likeness: Option<&Likeness>) -> String {
    let near = match likeness {
        Some(likeness) => likeness.near(&look_up.about).await,
        None => None,
    };
    dialplans.look_up(look_up, near.as_ref())
}

/// Knows the vectors of what is wanted last, and forgets the others.
async fn keep(embedder: Embedder, mut wanted: watch::Receiver<Pieces>, publish: watch::Sender<Arc<Vectors>>) {
    let (mut vectors, mut pause) = (Vectors::new(), PAUSES.0);
    loop {
        let pieces = Arc::clone(&wanted.borrow_and_update());
        let kept = |piece: &Arc<str>| vectors.get(piece).map(|vector| (Arc::clone(piece), Arc::clone(vector)));
        vectors = pieces.iter().filter_map(kept).collect();
        let missing: Vec<_> = pieces.iter().filter(|piece| !vectors.contains_key(*piece)).collect();
        // New plans make another list of it; what was learnt of this one so far is kept.
        let learnt = select! {
            learnt = learn(&embedder, &missing, &mut vectors) => learnt,
            changed = wanted.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match learnt {
            Ok(()) => {
                if !missing.is_empty() {
                    tracing::info!(pieces = pieces.len(), asked = missing.len(), "what is known has its vectors");
                }
                publish.send_replace(Arc::new(vectors.clone()));
                pause = PAUSES.0;
                if wanted.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, again_s = pause.as_secs(), "what is known has no vectors yet; words alone find");
                select! {
                    () = sleep(pause) => {}
                    changed = wanted.changed() => if changed.is_err() {
                        return;
                    },
                }
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Asks for the vectors of these pieces, some at a time.
async fn learn(embedder: &Embedder, missing: &[&Arc<str>], vectors: &mut Vectors) -> Result<(), EngineError> {
    for some in missing.chunks(MOST_TEXTS) {
        let texts: Vec<&str> = some.iter().map(|piece| &***piece).collect();
        for (piece, vector) in some.iter().zip(embedder.embed(&texts).await?) {
            vectors.insert(Arc::clone(piece), vector.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use milo_models::remote::RemoteOptions;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_server_that_is_not_there() {
        let options = RemoteOptions {
            url: "http://127.0.0.1:9/v1".into(),
            model: "m".into(),
            key: None,
            proxy: None,
            ca: None,
            connect: Duration::from_secs(1),
            first: Duration::from_secs(1),
            between: Duration::from_secs(1),
            parallel: 1,
            again: Arc::default(),
        };
        let (likeness, keeping) = Likeness::new(Embedder::new(&options).expect("an embedder"), 0.3);
        // Without vectors it is not asked at all.
        assert!(likeness.near("inona").await.is_none());
        assert_eq!(likeness.rests.load(Ordering::Relaxed), 0);
        let (_publish, known) = watch::channel(Arc::new(Vectors::from([("a".into(), vec![1.0].into())])));
        let asking = Likeness { known, ..likeness.clone() };
        assert!(asking.near("inona").await.is_none());
        assert!(asking.rests.load(Ordering::Relaxed) > 0, "and not again for a while");
        // What keeps the vectors ends with the last who could want some.
        drop((likeness, asking));
        tokio::time::timeout(Duration::from_secs(20), keeping).await.expect("it ends");
    }
}
