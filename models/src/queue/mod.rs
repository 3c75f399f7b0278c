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
//! What models compute on is shared by their threads, a step of one after a step of another, by the same classes and deadlines ([`Share`]):
//! before each step a thread says whose it is ([`Jobs::step`]).
//!
//! A panic costs the jobs that were there, whose askers hear [`EngineError::Stopped`], and the model is loaded anew: whoever asks
//! again a moment later is served. The same becomes of one whose runs fail one after the other ([`Jobs::ran`]): its card is lost, or what it
//! has in memory is not what was loaded.

mod device;
mod parties;
#[cfg(test)]
mod shared;
mod standing;
#[cfg(test)]
mod tests;
mod work;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

pub use device::{Seat, Share, Step, Turn};
pub(crate) use parties::Next;
pub use standing::{Class, Standing, Wanted};
use work::Account;
pub use work::{Served, WAITS, Waits, Work};

use crate::engine::EngineError;

/// So long after a panic the model is loaded anew…
const AGAIN: Duration = Duration::from_secs(1);
/// …and twice as long after each load that fails, or that brings no run which goes well, up to this.
const LONGEST: Duration = Duration::from_secs(60);

/// So many runs that fail, with none between them that goes well, are no job's fault.
const FAILURES: u32 = 3;

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
    /// What the thread is at.
    step: Arc<Step>,
}

struct Held<J> {
    /// In the order in which they came.
    waiting: Vec<InLine<J>>,
    account: Account,
    /// Every [`Queue`] handle is gone.
    is_closed: bool,
    /// The thread is gone, or has not loaded its model anew yet.
    is_stopped: bool,
    /// Runs that failed since one went well.
    failed: u32,
    /// One has gone well since the model was loaded.
    has_worked: bool,
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
        let place = match self.stands {
            Stands::GaveWay => None,
            Stands::Goes(Some(by)) => Some(by),
            Stands::New | Stands::Goes(None) => standing.next_by(),
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

impl<J> Held<J> {
    /// Its model is not served any more: it is to be loaded anew.
    fn is_given_up(&self) -> bool {
        self.failed >= FAILURES
    }
}

impl<J: Job> Held<J> {
    /// Takes the next job of `least` or of a class before it; those whose asker has left are passed over.
    fn take(&mut self, least: Class) -> Option<J> {
        if self.is_given_up() {
            return None;
        }
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

    /// Where the first of those stands that wait.
    fn first(&self) -> Option<(Class, Option<Instant>)> {
        self.waiting.iter().filter(|waiting| !waiting.job.is_left()).map(InLine::place).min()
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
        if held.is_stopped || held.is_given_up() {
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

    /// Whether nobody serves it: the model's thread has panicked, or its runs failed, and the model is not loaded anew yet.
    pub fn stopped(&self) -> bool {
        let held = self.handle.0.held();
        held.is_stopped || held.is_given_up()
    }

    /// What its thread has done so far.
    pub fn work(&self) -> Work {
        let line = &self.handle.0;
        let mut work = line.held().account.so_far(now());
        let waits = *line.step.waits();
        work.classes.iter_mut().zip(waits).for_each(|(served, wait)| served.device = wait);
        work
    }

    /// How many jobs wait. Those that the model's thread has taken are not counted, nor those whose asker has left.
    pub fn waiting(&self) -> Waiting {
        self.handle.0.held().waiting()
    }
}

/// The model thread's side of the queue.
pub struct Jobs<J>(Arc<Line<J>>);

impl<J: Job> Jobs<J> {
    /// Waits for the next job; `None` when every [`Queue`] handle is gone, or the model is to be loaded anew.
    pub fn next(&self) -> Option<J> {
        let mut held = self.0.held();
        loop {
            if let Some(job) = held.take(Class::Batch) {
                return Some(job);
            }
            held.account.rests(now());
            if held.is_closed || held.is_given_up() {
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

    /// What the thread does next is for these: its steps stand so among those that wait for its device.
    pub fn step<'a>(&self, whose: impl IntoIterator<Item = &'a Standing>) {
        self.0.step.begins(whose.into_iter());
    }

    /// A job that stands so has its answer, or the beginning of one that comes bit by bit.
    pub fn answered(&self, standing: &Standing) {
        self.0.held().account.answered(standing, now());
        standing.answered();
    }

    /// What a run of the model came to. One that fails for itself, and not for what it was given, is counted, and after a few in a row the
    /// model has no more jobs: whoever serves it returns, and it is loaded anew.
    pub fn ran<T>(&self, run: &Result<T, EngineError>) {
        let mut held = self.0.held();
        match run {
            Ok(_) => (held.failed, held.has_worked) = (0, true),
            Err(EngineError::Failed { .. }) => held.failed += 1,
            // A server's, or the asker's.
            Err(_) => {}
        }
    }

    /// Whether it is to be loaded anew, for whoever has begun more than it was told the end of: that is dropped.
    pub fn is_given_up(&self) -> bool {
        self.0.held().is_given_up()
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
/// error is returned from here; it is told what the thread will be at, for which its device is shared. `serve` then runs until the queue's
/// last handle is dropped, or it panics or its runs fail one after the other, and then with a model that was loaded anew. Each class has
/// `depth` places.
pub fn spawn_engine<J: Job, M: 'static>(
    engine: &'static str,
    depth: usize,
    mut load: impl FnMut(&Arc<Step>) -> Result<M, EngineError> + Send + 'static,
    serve: impl Fn(M, Jobs<J>) + Send + 'static,
) -> Result<Queue<J>, EngineError> {
    let held = Held {
        waiting: Vec::new(),
        account: Account::default(),
        is_closed: false,
        is_stopped: false,
        failed: 0,
        has_worked: false,
    };
    let line = Arc::new_cyclic(|line: &Weak<Line<J>>| {
        let line = line.clone();
        let step = Step::before(Box::new(move || line.upgrade()?.held().first()));
        Line { held: Mutex::new(held), changed: Condvar::new(), step: Arc::new(step) }
    });
    let served = Arc::clone(&line);
    let (ready, loaded) = sync_channel(1);
    thread::Builder::new()
        .name(engine.into())
        .spawn(move || match load(&served.step) {
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

/// Serves until the last handle is dropped, with a new model after each panic, and after runs that failed one after the other.
fn serve_on<J: Job, M>(
    engine: &'static str,
    mut model: M,
    line: &Arc<Line<J>>,
    load: &mut impl FnMut(&Arc<Step>) -> Result<M, EngineError>,
    serve: &impl Fn(M, Jobs<J>),
) {
    let mut pause = AGAIN;
    loop {
        let jobs = Jobs(Arc::clone(line));
        // What it was at is lost with the model, and nothing else is touched by it.
        let served = catch_unwind(AssertUnwindSafe(|| serve(model, jobs)));
        let (is_given_up, has_worked) = {
            let held = line.held();
            (held.is_given_up(), held.has_worked)
        };
        match served {
            Ok(()) if !is_given_up => return,
            Ok(()) => tracing::error!(engine, "an engine failed {FAILURES} times in a row; it is loaded anew"),
            Err(_) => tracing::error!(engine, "an engine has panicked; it is loaded anew"),
        }
        pause = if is_given_up && !has_worked { (pause * 2).min(LONGEST) } else { AGAIN };
        model = loop {
            if !line.is_wanted_after(pause) {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| load(&line.step))) {
                Ok(Ok(model)) => break model,
                Ok(Err(error)) => {
                    tracing::error!(engine, %error, "an engine could not be loaded anew; it is tried again")
                }
                Err(_) => tracing::error!(engine, "an engine has panicked while it was loaded anew; it is tried again"),
            }
            pause = (pause * 2).min(LONGEST);
        };
        {
            let mut held = line.held();
            (held.is_stopped, held.failed, held.has_worked) = (false, 0, false);
        }
        tracing::info!(engine, "an engine is back");
    }
}
