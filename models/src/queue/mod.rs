//! The one bounded queue in front of a model's own thread, in which calls go before what is done for them on a guess, that before people
//! who wait at a screen, and those before work that nobody waits for.
//!
//! ```text
//!  calls       ─► ▒▒▒ ─┐
//!  speculative ─► ▒▒▒ ─┤  the first class that has a job, and of its jobs
//!  interactive ─► ▒▒▒ ─┼─► the one that is wanted first ─► the model's thread
//!  batch       ─► ▒▒▒ ─┘
//! ```
//! A model is owned by one OS thread. Callers put jobs into its [`Queue`]; each class has places of its own, so that none keeps
//! another out, and one that has none left answers [`EngineError::Overloaded`] at once, it never waits. A job whose asker has
//! left has no place any more. The thread ends when the last `Queue` handle is dropped.
//!
//! A job may say when its answer is wanted ([`Wanted`]); what is begun on a guess becomes a call's own where it waits when the guess
//! comes true. What the thread does, how long jobs wait for it and which are late is counted ([`Work`]).
//!
//! A panic costs the jobs that were there, whose askers hear [`EngineError::Stopped`], and the model is loaded anew: whoever asks
//! again a moment later is served.

mod standing;
mod work;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

pub use standing::{Class, Standing, Wanted};
use work::Account;
pub use work::{Served, WAITS, Waits, Work};

use crate::engine::EngineError;

/// So long after a panic the model is loaded anew…
const AGAIN: Duration = Duration::from_secs(1);
/// …and twice as long after each load that fails, up to this.
const LONGEST: Duration = Duration::from_secs(60);

/// A job has its place as if it had been wanted so long after it came, where it does not say when, and where that is later: it is not
/// overtaken for ever, nor for having said something.
const USUAL: Duration = Duration::from_secs(2);

/// How many jobs wait, of each of [`Class::ALL`].
pub type Waiting = [usize; Class::ALL.len()];

/// What may wait in a queue.
pub trait Job: Send + 'static {
    /// Whose it is, and when it is wanted.
    fn standing(&self) -> &Standing;

    /// Whether nobody waits for it any more.
    fn is_left(&self) -> bool;
}

/// The sending side of a model thread's queue; cheap to clone.
pub struct Queue<J> {
    handle: Arc<Handle<J>>,
    engine: &'static str,
    /// Places of each class.
    depth: usize,
}

impl<J> Clone for Queue<J> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), engine: self.engine, depth: self.depth }
    }
}

/// What all clones of a queue share; the last one that goes tells the thread.
struct Handle<J>(Arc<Line<J>>);

impl<J> Drop for Handle<J> {
    fn drop(&mut self) {
        self.0.held().is_closed = true;
        self.0.changed.notify_all();
    }
}

struct Line<J> {
    /// Held to put a job in or to take one out, never over work or a wait.
    held: Mutex<Held<J>>,
    changed: Condvar,
}

struct Held<J> {
    /// In the order in which they came.
    waiting: Vec<InLine<J>>,
    account: Account,
    /// Every [`Queue`] handle is gone.
    is_closed: bool,
    /// The thread is gone, or has not loaded its model anew yet.
    is_stopped: bool,
}

/// A job in line.
struct InLine<J> {
    job: J,
    stands: Stands,
}

/// What was done of a job in line.
#[derive(Clone, Copy)]
enum Stands {
    /// Nothing yet.
    New,
    /// It was begun, and gave way in the middle: it is the next one of its class.
    GaveWay,
    /// A part is done, and more of it is wanted then; none: as if nothing was done.
    Goes(Option<Instant>),
}

impl<J: Job> InLine<J> {
    fn class(&self) -> Class {
        self.job.standing().class()
    }

    /// Its place: what comes first here goes first.
    fn place(&self) -> (Class, Option<Instant>) {
        let standing = self.job.standing();
        let usual = standing.came().map(|came| came + USUAL);
        let place = match self.stands {
            Stands::GaveWay => None,
            Stands::Goes(Some(by)) => Some(by),
            Stands::New | Stands::Goes(None) => [standing.deadline(), usual].into_iter().flatten().min(),
        };
        (standing.class(), place)
    }
}

impl<J> Line<J> {
    fn held(&self) -> MutexGuard<'_, Held<J>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long; whether somebody still has a handle.
    fn is_wanted_after(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.held(), pause, |held| !held.is_closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }
}

impl<J: Job> Held<J> {
    /// Takes the next job of `least` or of a class before it; those whose asker has left are passed over.
    fn take(&mut self, least: Class) -> Option<J> {
        self.waiting.retain(|waiting| !waiting.job.is_left());
        let places = self.waiting.iter().map(InLine::place).enumerate();
        let (next, (class, _)) = places.filter(|(_, (class, _))| *class <= least).min_by_key(|(_, place)| *place)?;
        let InLine { job, stands } = self.waiting.remove(next);
        let now = now();
        self.account.works(now);
        if let (Stands::New, Some(came)) = (stands, job.standing().came()) {
            self.account.begun(class, came, now);
        }
        Some(job)
    }

    fn waiting(&self) -> Waiting {
        let mut count = Waiting::default();
        let there = self.waiting.iter().filter(|waiting| !waiting.job.is_left());
        there.for_each(|waiting| count[waiting.class() as usize] += 1);
        count
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: deadlines and waits are wall-clock times, read as a job comes, is begun and ends"
)]
fn now() -> Instant {
    Instant::now()
}

impl<J: Job> Queue<J> {
    /// Puts a job in line, or says at once that there is no room.
    pub fn submit(&self, job: J) -> Result<(), EngineError> {
        let line = &self.handle.0;
        let mut held = line.held();
        if held.is_stopped {
            return Err(EngineError::Stopped { engine: self.engine });
        }
        let class = job.standing().class();
        if held.waiting.len() >= self.depth {
            held.waiting.retain(|waiting| !waiting.job.is_left());
            let waiting = held.waiting.iter().filter(|waiting| waiting.class() == class).count();
            if waiting >= self.depth {
                return Err(EngineError::Overloaded { engine: self.engine, waiting });
            }
        }
        job.standing().comes(now());
        held.waiting.push(InLine { job, stands: Stands::New });
        drop(held);
        line.changed.notify_one();
        Ok(())
    }

    /// Whether nobody serves it: the model's thread has panicked, and the model is not loaded anew yet.
    pub fn stopped(&self) -> bool {
        self.handle.0.held().is_stopped
    }

    /// What its thread has done so far.
    pub fn work(&self) -> Work {
        self.handle.0.held().account.so_far(now())
    }

    /// How many jobs wait. Those that the model's thread has taken are not counted, nor those whose asker has left.
    pub fn waiting(&self) -> Waiting {
        self.handle.0.held().waiting()
    }
}

/// The model thread's side of the queue.
pub struct Jobs<J>(Arc<Line<J>>);

impl<J: Job> Jobs<J> {
    /// Waits for the next job; `None` when every [`Queue`] handle is gone.
    pub fn next(&self) -> Option<J> {
        let mut held = self.0.held();
        loop {
            if let Some(job) = held.take(Class::Batch) {
                return Some(job);
            }
            held.account.rests(now());
            if held.is_closed {
                return None;
            }
            held = self.0.changed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether somebody waits who goes before this class.
    pub fn waits_before(&self, class: Class) -> bool {
        let held = self.0.held();
        held.waiting.iter().any(|waiting| waiting.class() < class && !waiting.job.is_left())
    }

    /// Puts a job back that was begun and gave way: it is the next one of its class.
    pub fn put_back(&self, job: J) {
        self.0.held().waiting.insert(0, InLine { job, stands: Stands::GaveWay });
    }

    /// Puts a job back of which a part is done: it stands among the others by when more of it is wanted; where that is not known, where it
    /// stood.
    pub fn goes_on(&self, job: J, by: Option<Instant>) {
        self.0.held().waiting.insert(0, InLine { job, stands: Stands::Goes(by) });
    }

    /// A job that stands so has its answer, or the beginning of one that comes bit by bit.
    pub fn answered(&self, standing: &Standing) {
        self.0.held().account.answered(standing, now());
    }

    /// The next job of `least` or of a class before it, if one waits now.
    pub fn try_next(&self, least: Class) -> Option<J> {
        self.0.held().take(least)
    }
}

impl<J> Drop for Jobs<J> {
    /// What still waits is dropped, so that its askers hear that nobody comes for it.
    fn drop(&mut self) {
        let mut held = self.0.held();
        held.is_stopped = true;
        held.account.rests(now());
        let left = std::mem::take(&mut held.waiting);
        drop(held);
        drop(left);
    }
}

/// Starts the thread that owns a model. `load` runs on that thread (so that the model never moves between threads) and its
/// error is returned from here; `serve` then runs until the queue's last handle is dropped, or it panics, and then with a model that
/// was loaded anew. Each class has `depth` places.
pub fn spawn_engine<J: Job, M: 'static>(
    engine: &'static str,
    depth: usize,
    mut load: impl FnMut() -> Result<M, EngineError> + Send + 'static,
    serve: impl Fn(M, Jobs<J>) + Send + 'static,
) -> Result<Queue<J>, EngineError> {
    let held = Held { waiting: Vec::new(), account: Account::default(), is_closed: false, is_stopped: false };
    let line = Arc::new(Line { held: Mutex::new(held), changed: Condvar::new() });
    let served = Arc::clone(&line);
    let (ready, loaded) = sync_channel(1);
    thread::Builder::new()
        .name(engine.into())
        .spawn(move || match load() {
            Ok(model) => {
                ready.send(Ok(())).ok();
                serve_on(engine, model, &served, &mut load, &serve);
            }
            Err(error) => {
                ready.send(Err(error)).ok();
            }
        })
        .map_err(|error| EngineError::Load(format!("no thread for the {engine}: {error}")))?;
    loaded.recv().map_err(|_| EngineError::Load(format!("the {engine} ended while it was loading")))??;
    Ok(Queue { handle: Arc::new(Handle(line)), engine, depth })
}

/// Serves until the last handle is dropped, with a new model after each panic.
fn serve_on<J: Job, M>(
    engine: &'static str,
    mut model: M,
    line: &Arc<Line<J>>,
    load: &mut impl FnMut() -> Result<M, EngineError>,
    serve: &impl Fn(M, Jobs<J>),
) {
    loop {
        let jobs = Jobs(Arc::clone(line));
        // What it was at is lost with the model, and nothing else is touched by it.
        if catch_unwind(AssertUnwindSafe(|| serve(model, jobs))).is_ok() {
            return;
        }
        tracing::error!(engine, "an engine has panicked; it is loaded anew");
        let mut pause = AGAIN;
        model = loop {
            if !line.is_wanted_after(pause) {
                return;
            }
            match catch_unwind(AssertUnwindSafe(&mut *load)) {
                Ok(Ok(model)) => break model,
                Ok(Err(error)) => {
                    tracing::error!(engine, %error, "an engine could not be loaded anew; it is tried again")
                }
                Err(_) => tracing::error!(engine, "an engine has panicked while it was loaded anew; it is tried again"),
            }
            pause = (pause * 2).min(LONGEST);
        };
        line.held().is_stopped = false;
        tracing::info!(engine, "an engine is back");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::SyncSender;

    use tokio::sync::oneshot;

    use super::*;

    /// A job that says its name when its turn comes.
    struct Named {
        name: &'static str,
        standing: Standing,
        answer: oneshot::Sender<()>,
    }

    impl Job for Named {
        fn standing(&self) -> &Standing {
            &self.standing
        }

        fn is_left(&self) -> bool {
            self.answer.is_closed()
        }
    }

    /// A slow engine: it takes a job, and has it until the gate opens. What it served comes back in that order.
    struct Slow {
        queue: Queue<Named>,
        gate: SyncSender<()>,
        served: std::sync::mpsc::Receiver<&'static str>,
    }

    impl Slow {
        fn new(depth: usize) -> Self {
            let (gate, wait) = sync_channel::<()>(0);
            let (serve, served) = sync_channel(64);
            let queue = spawn_engine(
                "slow engine",
                depth,
                || Ok(()),
                move |(), jobs: Jobs<Named>| {
                    while let Some(job) = jobs.next() {
                        wait.recv().ok();
                        jobs.answered(&job.standing);
                        job.answer.send(()).ok();
                        serve.send(job.name).ok();
                    }
                },
            );
            Self { queue: queue.unwrap(), gate, served }
        }

        fn ask(&self, name: &'static str, class: Class) -> Result<oneshot::Receiver<()>, EngineError> {
            self.ask_by(name, class, Wanted::default())
        }

        fn ask_by(
            &self,
            name: &'static str,
            class: Class,
            wanted: Wanted,
        ) -> Result<oneshot::Receiver<()>, EngineError> {
            let (answer, answered) = oneshot::channel();
            self.queue.submit(Named { name, standing: Standing::new(class, wanted), answer }).map(|()| answered)
        }

        /// Asks, and waits until the thread has the job.
        fn occupy(&self) -> oneshot::Receiver<()> {
            let first = self.ask("first", Class::Batch).unwrap();
            while self.queue.waiting() != [0; 4] {
                thread::yield_now();
            }
            first
        }

        fn serves(&self, count: usize) -> Vec<&'static str> {
            (0..count)
                .map(|_| {
                    self.gate.send(()).unwrap();
                    self.served.recv().unwrap()
                })
                .collect()
        }
    }

    #[test]
    fn calls_go_before_whoever_waits_and_those_before_batches() {
        let slow = Slow::new(3);
        let _asked = [
            slow.occupy(),
            slow.ask("b1", Class::Batch).unwrap(),
            slow.ask("b2", Class::Batch).unwrap(),
            slow.ask("b3", Class::Batch).unwrap(),
            slow.ask("i1", Class::Interactive).unwrap(),
            slow.ask("i2", Class::Interactive).unwrap(),
        ];
        assert!(
            matches!(slow.ask("b4", Class::Batch), Err(EngineError::Overloaded { waiting: 3, .. })),
            "all are taken"
        );
        let _call = slow.ask("c1", Class::Call).expect("a full class keeps no other out");
        let _guess = slow.ask("s1", Class::Speculative).unwrap();
        assert_eq!(slow.queue.waiting(), [1, 1, 2, 3]);
        assert_eq!(slow.serves(4), ["first", "c1", "s1", "i1"]);
        let _call = slow.ask("c2", Class::Call).unwrap();
        // The thread may have taken i2 before that call came.
        let rest = slow.serves(5);
        assert!(rest == ["i2", "c2", "b1", "b2", "b3"] || rest == ["c2", "i2", "b1", "b2", "b3"], "{rest:?}");
    }

    #[test]
    fn within_a_class_goes_first_what_is_wanted_first_and_a_guess_that_comes_true_is_a_calls_own() {
        let slow = Slow::new(8);
        let first = slow.occupy();
        let at = |ms| now() + Duration::from_millis(ms);
        let guess = Wanted::perhaps();
        let asked = [
            slow.ask_by("guess", Class::Speculative, guess.clone()),
            slow.ask_by("unsaid", Class::Call, Wanted::default()),
            slow.ask_by("later", Class::Call, Wanted::by(at(60_000))),
            slow.ask_by("too late", Class::Call, Wanted::by(at(0))),
            slow.ask_by("soon", Class::Call, Wanted::by(at(900))),
        ];
        assert_eq!(slow.queue.waiting(), [4, 1, 0, 0]);
        guess.confirm(at(500));
        guess.confirm(at(0));
        assert_eq!(slow.queue.waiting(), [5, 0, 0, 0]);
        assert_eq!(slow.serves(6), ["first", "too late", "guess", "soon", "unsaid", "later"]);
        let [call, guesses, _, batch] = slow.queue.work().classes;
        assert_eq!((call.jobs, call.missed, guesses.jobs, batch.jobs), (5, 1, 0, 1));
        assert_eq!(call.waits.counts.iter().sum::<u64>(), 5);
        drop((first, asked));
    }

    /// A queue whose other side is in the test's own hands.
    fn by_hand() -> (Queue<Named>, Jobs<Named>) {
        let (give, given) = sync_channel(1);
        let queue = spawn_engine("by hand", 8, || Ok(()), move |(), jobs: Jobs<Named>| drop(give.send(jobs)));
        (queue.unwrap(), given.recv().unwrap())
    }

    fn put(queue: &Queue<Named>, name: &'static str, wanted: Wanted) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        queue.submit(Named { name, standing: Standing::new(Class::Call, wanted), answer }).unwrap();
        answered
    }

    fn names(jobs: &Jobs<Named>) -> Vec<&'static str> {
        std::iter::from_fn(|| jobs.try_next(Class::Batch)).map(|job| job.name).collect()
    }

    #[test]
    fn whoever_says_that_there_is_time_stands_no_worse_than_whoever_says_nothing() {
        let (queue, jobs) = by_hand();
        let at = |ms| Wanted::by(now() + Duration::from_millis(ms));
        let _asked = [
            put(&queue, "has time", at(20_000)),
            put(&queue, "says nothing", Wanted::default()),
            put(&queue, "is in haste", at(500)),
        ];
        assert_eq!(names(&jobs), ["is in haste", "has time", "says nothing"]);
    }

    #[test]
    fn what_goes_on_stands_by_when_more_of_it_is_wanted_and_only_what_gave_way_is_next() {
        let (queue, jobs) = by_hand();
        let at = |ms| now() + Duration::from_millis(ms);
        let asked = ["heard", "windows", "stopped"].map(|name| put(&queue, name, Wanted::default()));
        let [heard, windows, stopped] = [(); 3].map(|()| jobs.try_next(Class::Call).unwrap());
        let _others = [put(&queue, "due", Wanted::by(at(100))), put(&queue, "new", Wanted::default())];
        jobs.goes_on(windows, None);
        jobs.put_back(stopped);
        jobs.goes_on(heard, Some(at(60_000)));
        assert_eq!(names(&jobs), ["stopped", "due", "windows", "new", "heard"]);
        assert_eq!(queue.work().classes[0].waits.counts.iter().sum::<u64>(), 5, "each has waited once");
        drop(asked);
    }

    #[test]
    fn whoever_leaves_frees_the_place_at_once() {
        let slow = Slow::new(2);
        let first = slow.occupy();
        let (gone, stays) =
            (slow.ask("gone", Class::Interactive).unwrap(), slow.ask("stays", Class::Interactive).unwrap());
        assert!(slow.ask("no room", Class::Interactive).is_err());
        drop(gone);
        assert_eq!(slow.queue.waiting(), [0, 0, 1, 0]);
        let next = slow.ask("next", Class::Interactive).expect("one has left");
        assert_eq!(slow.serves(3), ["first", "stays", "next"], "what nobody waits for is not done");
        drop((first, stays, next));
    }

    #[test]
    fn a_thread_that_died_is_known_to_those_who_wait_and_those_who_come() {
        let (gate, wait) = sync_channel::<()>(0);
        let queue = spawn_engine(
            "mortal",
            2,
            || Ok(()),
            move |(), jobs: Jobs<Named>| {
                wait.recv().ok();
                drop(jobs);
            },
        )
        .unwrap();
        let ask = || {
            let (answer, answered) = oneshot::channel();
            queue.submit(Named { name: "", standing: Standing::default(), answer }).map(|()| answered)
        };
        let asked = ask().unwrap();
        drop(gate);
        assert!(asked.blocking_recv().is_err(), "nobody comes for it");
        while !queue.stopped() {
            thread::yield_now();
        }
        assert!(matches!(ask(), Err(EngineError::Stopped { engine: "mortal" })));
    }

    #[test]
    fn a_thread_that_panicked_is_back_with_a_model_of_its_own_and_serves_who_asks_again() {
        let mut models = 0;
        let load = move || {
            models += 1;
            // The second one cannot be loaded: it is tried again.
            if models == 2 { Err(EngineError::Load("no model".into())) } else { Ok(models) }
        };
        let (serve, served) = sync_channel(4);
        let queue = spawn_engine("clumsy", 2, load, move |model, jobs: Jobs<Named>| {
            while let Some(job) = jobs.next() {
                assert_ne!(job.name, "too much", "as this scenario wants it");
                serve.send((model, job.name)).ok();
                job.answer.send(()).ok();
            }
        })
        .unwrap();
        let ask = |name| {
            let (answer, answered) = oneshot::channel();
            queue.submit(Named { name, standing: Standing::default(), answer }).map(|()| answered)
        };
        ask("first").unwrap().blocking_recv().expect("it is served");
        assert!(ask("too much").unwrap().blocking_recv().is_err(), "nobody answers");
        let mut refused = 0;
        // Seconds, at most: one before the first try, two before the second.
        let again = (0..1_000).find_map(|_| {
            thread::sleep(Duration::from_millis(20));
            refused += usize::from(queue.stopped());
            ask("again").ok()
        });
        again.expect("it is back").blocking_recv().expect("it is served");
        assert!(refused > 0, "until then it is known that it is away");
        assert_eq!(served.try_iter().collect::<Vec<_>>(), [(1, "first"), (3, "again")]);
    }

    #[test]
    fn the_last_handle_ends_the_thread_after_its_work() {
        let slow = Slow::new(2);
        let (_first, mut waits) = (slow.occupy(), slow.ask("waits", Class::Call).unwrap());
        let Slow { queue, gate, served } = slow;
        drop((queue, gate));
        assert_eq!((served.recv(), served.recv()), (Ok("first"), Ok("waits")));
        assert!(served.recv().is_err() && waits.try_recv().is_ok());
    }

    #[test]
    fn a_load_that_fails_says_why() {
        let failed =
            spawn_engine("absent", 1, || Err::<(), _>(EngineError::Load("no file".into())), |(), _: Jobs<Named>| ());
        assert!(matches!(failed, Err(EngineError::Load(why)) if why == "no file"));
    }
}
