//! What every engine shares: the languages, the errors, and the one bounded queue in front of a model's own thread.
//!
//! A model is owned by one OS thread. Callers put jobs into its [`Queue`]; a full queue answers [`EngineError::Overloaded`]
//! at once, it never waits. The thread ends when the last `Queue` handle is dropped.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// A language Milo speaks (ISO 639-1 code in text form).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Malagasy.
    Mg,
    /// French.
    Fr,
}

impl Language {
    /// The two-letter code, as in `<|mg|>`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Mg => "mg",
            Self::Fr => "fr",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Language {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self, EngineError> {
        match text {
            "mg" => Ok(Self::Mg),
            "fr" => Ok(Self::Fr),
            other => Err(EngineError::Input(format!("the language {other:?} is not known; mg and fr are"))),
        }
    }
}

/// What can go wrong with an engine; the variant says what its caller can do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// The queue is full: refuse, apologise or transfer, and try later.
    #[error("the {engine} is overloaded: {waiting} jobs wait already")]
    Overloaded {
        /// Which engine.
        engine: &'static str,
        /// How many jobs wait.
        waiting: usize,
    },
    /// The model's thread has ended: the engine must be loaded anew.
    #[error("the {engine} has stopped")]
    Stopped {
        /// Which engine.
        engine: &'static str,
    },
    /// A model file is missing, truncated or not what it should be. The sentence names the file and the mend.
    #[error("{0}")]
    Load(String),
    /// The input cannot be served (empty, too long, unknown language). The sentence says what would be right.
    #[error("{0}")]
    Input(String),
    /// The model failed on this job; the next one may succeed.
    #[error("the {engine} failed: {reason}")]
    Failed {
        /// Which engine.
        engine: &'static str,
        /// The library's own words.
        reason: String,
    },
    /// A server that was asked did not answer as it should: another engine may, or the same one at the next try.
    #[error("the {engine} at {at} {says}")]
    Remote {
        /// Which engine.
        engine: &'static str,
        /// Host and port of the server.
        at: Arc<str>,
        /// What kind of failure it is.
        fault: RemoteFault,
        /// How the sentence goes on. Never holds a key.
        says: String,
    },
}

/// What is wrong with a server that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteFault {
    /// It cannot be reached.
    Down,
    /// It was too slow.
    Late,
    /// It does not take whoever asks, or has not what is asked for: the key, the address, the model.
    Refused,
    /// It does not take this one request, which is too long or holds what it does not know; it may take the next.
    Unfit,
    /// It is asked too much, or is too busy.
    Busy,
    /// It failed itself, or what it sent makes no sense, or ended too early.
    Broken,
}

impl RemoteFault {
    /// One word for it, as metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::Unfit => "unfit",
            Self::Busy => "busy",
            Self::Broken => "broken",
        }
    }
}

/// The sending side of a model thread's bounded queue; cheap to clone.
pub struct Queue<J> {
    jobs: SyncSender<J>,
    waiting: Arc<AtomicUsize>,
    /// Alive as long as the thread holds its [`Jobs`].
    thread: Weak<()>,
    engine: &'static str,
}

impl<J> Clone for Queue<J> {
    fn clone(&self) -> Self {
        let (waiting, thread) = (Arc::clone(&self.waiting), Weak::clone(&self.thread));
        Self { jobs: self.jobs.clone(), waiting, thread, engine: self.engine }
    }
}

impl<J> Queue<J> {
    /// Puts a job in line, or says at once that there is no room.
    pub fn submit(&self, job: J) -> Result<(), EngineError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|refused| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => EngineError::Overloaded { engine: self.engine, waiting: self.waiting() },
                TrySendError::Disconnected(_) => EngineError::Stopped { engine: self.engine },
            }
        })
    }

    /// Whether the model's thread has ended, which before its time it does by a panic only.
    pub fn stopped(&self) -> bool {
        self.thread.strong_count() == 0
    }

    /// How many jobs wait (those already taken by the model thread are not counted).
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// The model thread's side of the queue.
pub struct Jobs<J> {
    jobs: Receiver<J>,
    waiting: Arc<AtomicUsize>,
    _thread: Arc<()>,
}

impl<J> Jobs<J> {
    /// Waits for the next job; `None` when every [`Queue`] handle is gone.
    pub fn next(&self) -> Option<J> {
        self.jobs.recv().ok().inspect(|_| self.took())
    }

    /// The next job if one waits now.
    pub fn try_next(&self) -> Result<J, TryRecvError> {
        self.jobs.try_recv().inspect(|_| self.took())
    }

    /// Waits for the next job at most so long.
    pub fn next_within(&self, limit: Duration) -> Result<J, RecvTimeoutError> {
        self.jobs.recv_timeout(limit).inspect(|_| self.took())
    }

    fn took(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts the thread that owns a model. `load` runs on that thread (so that the model never moves between threads) and its
/// error is returned from here; `serve` then runs until the queue's last handle is dropped.
pub fn spawn_engine<J, M>(
    engine: &'static str,
    depth: usize,
    load: impl FnOnce() -> Result<M, EngineError> + Send + 'static,
    serve: impl FnOnce(M, Jobs<J>) + Send + 'static,
) -> Result<Queue<J>, EngineError>
where
    J: Send + 'static,
    M: 'static,
{
    let (sender, receiver) = sync_channel(depth);
    let waiting = Arc::new(AtomicUsize::new(0));
    let alive = Arc::new(());
    let thread = Arc::downgrade(&alive);
    let jobs = Jobs { jobs: receiver, waiting: Arc::clone(&waiting), _thread: alive };
    let (ready, loaded) = sync_channel(1);
    thread::Builder::new()
        .name(engine.into())
        .spawn(move || match load() {
            Ok(model) => {
                ready.send(Ok(())).ok();
                serve(model, jobs);
            }
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        })
        .map_err(|error| EngineError::Load(format!("no thread for the {engine}: {error}")))?;
    loaded.recv().map_err(|_| EngineError::Load(format!("the {engine} ended while it was loading")))??;
    Ok(Queue { jobs: sender, waiting, thread, engine })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(depth: usize) -> (Queue<SyncSender<u32>>, SyncSender<()>) {
        let (gate, wait) = sync_channel::<()>(0);
        let queue = spawn_engine(
            "counter",
            depth,
            || Ok(0_u32),
            move |mut count, jobs: Jobs<SyncSender<u32>>| {
                while let Some(answer) = jobs.next() {
                    wait.recv().ok();
                    count += 1;
                    answer.send(count).ok();
                }
            },
        );
        (queue.unwrap(), gate)
    }

    #[test]
    fn a_full_queue_refuses_at_once_and_goes_on() {
        let (queue, gate) = counting(2);
        let (answer, answers) = sync_channel(8);
        // One is taken by the thread, two wait; how quickly the thread takes the first is not known.
        let accepted = (0..4).filter(|_| {
            thread::sleep(Duration::from_millis(20));
            queue.submit(answer.clone()).is_ok()
        });
        assert_eq!(accepted.count(), 3);
        assert!(matches!(
            queue.submit(answer.clone()),
            Err(EngineError::Overloaded { engine: "counter", waiting: 2.. })
        ));
        for expected in 1..=3 {
            gate.send(()).unwrap();
            assert_eq!(answers.recv(), Ok(expected));
        }
        assert_eq!(queue.waiting(), 0);
        assert!(!queue.stopped());
    }

    #[test]
    fn a_thread_that_died_is_known() {
        let queue = spawn_engine(
            "mortal",
            2,
            || Ok(()),
            |(), jobs: Jobs<()>| {
                jobs.next();
            },
        )
        .unwrap();
        queue.submit(()).unwrap();
        while !queue.stopped() {
            thread::yield_now();
        }
        assert!(matches!(queue.submit(()), Err(EngineError::Stopped { engine: "mortal" })));
    }

    #[test]
    fn a_load_that_fails_says_why() {
        let failed =
            spawn_engine("absent", 1, || Err::<(), _>(EngineError::Load("no file".into())), |(), _: Jobs<()>| ());
        assert!(matches!(failed, Err(EngineError::Load(why)) if why == "no file"));
    }
}
