//! What the engines of this process share: a device on which their steps go one after the other, and not as the driver or the operating
//! system happens to let them.
//!
//! ```text
//!  ears, one token ──────► ▒ ─┐
//!  mind, one pass ───────► ▒ ─┤  when there is room: the first class of those that wait,
//!  voice, one run ───────► ▒ ─┼─► and in it the step that is wanted first ─► the card, or some of the cores
//!  translator, one token ► ▒ ─┘
//! ```
//! An engine takes its [`Turn`] for one run of its model and has none between two. Each engine's thread waits once at most.
//!
//! A card takes one step at a time, and nothing is broken off there in the middle: whoever comes waits for what is running, and no longer.
//! The processor takes as many threads as it has cores; a step that computes on more counts as all of them. There the system stops one
//! thread for another as it likes, and what a large model computes in one step may take seconds: a step for a call waits for nobody, and
//! the others begin where calls leave them a core. With the engines that ship, whose steps are short, that is no slower on two cores and
//! no quicker (`shared`: 8 callers, medians of four rounds): p50 32 ms a turn and 31 without turns, p95 59 and 57; with 12 guesses beside
//! p95 90 and 86, since a guess is in a call's way within its own engine too. A turn that nobody else wants costs 24 ns.
//!
//! Classes are strict here as in the queues: a step for a call goes before all that is not, for as long as there are such. Within a class
//! nobody is put off for ever: whose answer is awaited stands as it stands in a queue, by its deadline or by when it came, and what goes
//! on after the beginning of its answer was heard stands by when more of it is wanted, or by when it came to the device. Nor does what is
//! small pass what is wide: the first one waits until there is room for it, and the others behind it.
//!
//! Whose a step is and when it is wanted is looked at as the device becomes free: a guess that came true meanwhile is a call's. So is the
//! step of a guess behind which a call has come to the same engine: until it is done nobody takes that one in.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{Class, Standing, USUAL, now};

/// The machine has one processor, and each of its cards once: whoever loads an engine is given the same.
static PROCESSOR: LazyLock<Arc<Share>> =
    LazyLock::new(|| Arc::new(Share::preempting(thread::available_parallelism().map_or(1, usize::from))));
/// A lock is right here: it is taken only while an engine loads.
static CARDS: Mutex<BTreeMap<i32, Arc<Share>>> = Mutex::new(BTreeMap::new());

/// Those that wait look so often whether they are for a call by now, on a device that stops others for it.
const LOOKS: Duration = Duration::from_millis(10);

/// A device, as the engines share it.
pub struct Share {
    /// How many threads compute on it at a time.
    places: usize,
    /// Whether it stops what it computes in the middle for something else.
    preempts: bool,
    /// Held to take places or to give them back, never over work or a wait.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// Places that are taken: more than there are, where steps for calls wait for nobody.
    taken: usize,
    waiting: Vec<Waiter>,
    /// How many have waited so far.
    waited: u64,
    #[cfg(test)]
    turns: u64,
}

/// An engine's thread that waits for its turn.
struct Waiter {
    number: u64,
    came: Instant,
    places: usize,
    step: Arc<Step>,
    thread: Thread,
}

impl Share {
    /// The processor's: all of its cores.
    pub fn processor() -> Arc<Self> {
        Arc::clone(&PROCESSOR)
    }

    /// That of the card of this number, the first is 0.
    pub fn card(card: i32) -> Arc<Self> {
        let mut cards = CARDS.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cards.entry(card).or_insert_with(|| Arc::new(Self::whole(1))))
    }

    /// A device on which so many threads compute at a time, each step from its beginning to its end.
    pub(crate) fn whole(places: usize) -> Self {
        Self { places, preempts: false, held: Mutex::default() }
    }

    /// The same, and what computes is stopped in the middle for something else.
    pub(super) fn preempting(places: usize) -> Self {
        Self { preempts: true, ..Self::whole(places) }
    }

    /// A seat for an engine that computes on so many threads.
    pub fn seat(self: &Arc<Self>, step: &Arc<Step>, threads: usize) -> Seat {
        Seat { share: Arc::clone(self), step: Arc::clone(step), places: threads.clamp(1, self.places) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those in whose turn it is.
    fn admit(&self, held: &mut Held) {
        let place = |waiter: &Waiter| (waiter.step.place(waiter.came), waiter.number);
        while let Some((at, next)) = held.waiting.iter().enumerate().min_by_key(|(_, waiter)| place(waiter))
            && (held.taken + next.places <= self.places || self.waits_for_nobody(&next.step))
        {
            let next = held.waiting.remove(at);
            held.take(next.places);
            next.thread.unpark();
        }
    }

    fn waits_for_nobody(&self, step: &Step) -> bool {
        self.preempts && step.is_a_calls()
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.held().waiting.len()
    }

    /// How many have had their turn so far, or have it.
    #[cfg(test)]
    pub(crate) fn turns(&self) -> u64 {
        self.held().turns
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Held {
    fn take(&mut self, places: usize) {
        self.taken += places;
        #[cfg(test)]
        {
            self.turns += 1;
        }
    }
}

/// An engine's way to its device.
#[derive(Clone, Debug)]
pub struct Seat {
    share: Arc<Share>,
    step: Arc<Step>,
    /// How many of the device's places a step of it takes.
    places: usize,
}

impl Seat {
    /// Waits until the step that the engine's thread is at may be computed. Where there is room and nobody waits, that is at once.
    pub fn turn(&self) -> Turn<'_> {
        let share = &*self.share;
        let mut held = share.held();
        let has_room = held.waiting.is_empty() && held.taken + self.places <= share.places;
        if has_room || share.waits_for_nobody(&self.step) {
            held.take(self.places);
        } else {
            let (number, came) = (held.waited, now());
            held.waited += 1;
            let (step, thread) = (Arc::clone(&self.step), thread::current());
            held.waiting.push(Waiter { number, came, places: self.places, step, thread });
            share.admit(&mut held);
            while held.waiting.iter().any(|waiter| waiter.number == number) {
                drop(held);
                if share.preempts {
                    thread::park_timeout(LOOKS)
                } else {
                    thread::park()
                }
                held = share.held();
                share.admit(&mut held);
            }
            drop(held);
            self.step.waited(now().saturating_duration_since(came));
        }
        Turn(self)
    }
}

/// A step's time on its device. Whoever drops it gives the device to the next, also in a panic.
#[must_use]
pub struct Turn<'a>(&'a Seat);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut held = self.0.share.held();
        held.taken -= self.0.places;
        self.0.share.admit(&mut held);
    }
}

/// Where the first stands that waits in an engine's queue.
type First = Box<dyn Fn() -> Option<(Class, Option<Instant>)> + Send + Sync>;

/// What an engine's thread is at: for whom, and how long its steps have waited for their device.
#[derive(Default)]
pub struct Step {
    /// Held for the moment in which it is written or looked at.
    whose: Mutex<Vec<Standing>>,
    waited: Mutex<[Duration; Class::ALL.len()]>,
    /// Who waits behind it; none, where no queue is before the engine.
    behind: Option<First>,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("whose", &self.whose).finish_non_exhaustive()
    }
}

impl Step {
    /// Those of the thread that serves the queue in which `behind` looks.
    pub(super) fn before(behind: First) -> Self {
        Self { behind: Some(behind), ..Self::default() }
    }

    /// The next one is for these.
    pub(super) fn begins<'a>(&self, whose: impl Iterator<Item = &'a Standing>) {
        let mut own = self.whose();
        own.clear();
        own.extend(whose.cloned());
    }

    fn whose(&self) -> MutexGuard<'_, Vec<Standing>> {
        self.whose.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it stands among those that wait for the device, to which it came then: where the first of those stands whom it is for, or who
    /// wait behind it. What is for nobody yet, as while a model is loaded, is somebody's who waits for that.
    fn place(&self, came: Instant) -> (Class, Instant) {
        let behind = self.behind.as_ref().and_then(|first| first());
        let whose = self.whose();
        let own = whose.iter().map(|standing| (standing.class(), standing.next_by()));
        let nobodys = whose.is_empty().then_some((Class::Interactive, None));
        let places = own.chain(nobodys).chain(behind).map(|(class, by)| (class, by.unwrap_or(came + USUAL)));
        places.min().unwrap_or((Class::Interactive, came + USUAL))
    }

    /// Whether it is for a call, or keeps one waiting.
    fn is_a_calls(&self) -> bool {
        let behind = || self.behind.as_ref().and_then(|first| first());
        self.class() == Class::Call || behind().is_some_and(|(class, _)| class == Class::Call)
    }

    /// The first class of those whom it is for.
    fn class(&self) -> Class {
        self.whose().iter().map(Standing::class).min().unwrap_or(Class::Interactive)
    }

    /// It has waited so long.
    fn waited(&self, wait: Duration) {
        let class = self.class();
        self.waits()[class as usize] += wait;
    }

    /// How long steps have waited, by class.
    pub(super) fn waits(&self) -> MutexGuard<'_, [Duration; Class::ALL.len()]> {
        self.waited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::atomic::{AtomicUsize, Ordering},
        thread::JoinHandle,
    };

    use super::*;
    use crate::queue::Wanted;

    fn step(standings: &[Standing]) -> Arc<Step> {
        let step = Arc::<Step>::default();
        step.begins(standings.iter());
        step
    }

    /// Threads that wait for a device which somebody has, and say their names one after the other when it is free.
    struct Line {
        share: Arc<Share>,
        threads: Vec<JoinHandle<()>>,
        turns: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Line {
        fn new(share: Share) -> Self {
            Self { share: Arc::new(share), threads: Vec::new(), turns: Arc::default() }
        }

        fn waits(&mut self, name: &'static str, threads: usize, standings: &[Standing]) {
            let seat = self.share.seat(&step(standings), threads);
            let (turns, before) = (Arc::clone(&self.turns), self.share.waiting());
            self.threads.push(thread::spawn(move || {
                let turn = seat.turn();
                turns.lock().unwrap().push(name);
                drop(turn);
            }));
            while self.share.waiting() == before {
                thread::yield_now();
            }
        }

        /// In which order they had their turns.
        fn turns(self) -> Vec<&'static str> {
            self.threads.into_iter().for_each(|thread| thread.join().unwrap());
            self.turns.lock().unwrap().clone()
        }
    }

    fn of(class: Class, wanted: Wanted) -> Standing {
        Standing::new(class, wanted)
    }

    #[test]
    fn a_free_device_is_had_in_the_order_of_class_deadline_and_arrival() {
        let (guess, came) = (Wanted::perhaps(), now());
        let at = |ms| came + Duration::from_millis(ms);
        let mut line = Line::new(Share::whole(1));
        let engine = line.share.seat(&step(&[]), 1);
        let running = engine.turn();
        let answered = of(Class::Call, Wanted::by(at(0)));
        answered.answered();
        let mut listened_to = of(Class::Call, Wanted::by(at(0)));
        listened_to.answered();
        listened_to.goes_on(at(600));
        line.waits("batch", 1, &[of(Class::Batch, Wanted::by(at(0)))]);
        line.waits("loading", 1, &[]);
        line.waits("unsaid", 1, &[of(Class::Call, Wanted::default())]);
        line.waits("answered", 1, &[answered]);
        line.waits("listened to", 1, &[listened_to]);
        line.waits("guess", 1, &[of(Class::Speculative, Wanted::perhaps())]);
        line.waits("true", 1, &[of(Class::Batch, Wanted::default()), of(Class::Speculative, guess.clone())]);
        line.waits("soon", 1, &[of(Class::Call, Wanted::by(at(900))), of(Class::Speculative, Wanted::perhaps())]);
        line.waits("late", 1, &[of(Class::Call, Wanted::by(at(0)))]);
        guess.confirm(at(500));
        drop(running);
        let wanted = ["late", "true", "listened to", "soon", "unsaid", "answered", "guess", "loading", "batch"];
        assert_eq!(line.turns(), wanted);
    }

    #[test]
    fn a_step_of_more_threads_than_there_are_takes_all_of_them_and_is_not_passed_by_smaller_ones() {
        let mut line = Line::new(Share::whole(2));
        let engine = line.share.seat(&step(&[]), 1);
        let running = engine.turn();
        drop(engine.turn());
        line.waits("wide", 16, &[of(Class::Call, Wanted::default())]);
        line.waits("small", 1, &[of(Class::Speculative, Wanted::default())]);
        assert_eq!(line.share.waiting(), 2, "there is room for the small one, but it is not its turn");
        drop(running);
        assert_eq!(line.turns(), ["wide", "small"]);
    }

    #[test]
    fn on_the_processor_a_call_waits_for_nobody_and_a_guess_for_a_free_core_or_until_it_comes_true() {
        let mut line = Line::new(Share::preempting(2));
        let (unsure, sure) = (of(Class::Speculative, Wanted::perhaps()), Wanted::perhaps());
        let (guess, call) = (
            line.share.seat(&step(std::slice::from_ref(&unsure)), 1),
            line.share.seat(&step(&[Standing::default()]), 2),
        );
        let running = [guess.turn(), call.turn(), call.turn()];
        line.waits("guess", 1, &[unsure]);
        line.waits("true", 1, &[of(Class::Speculative, sure.clone())]);
        sure.confirm(now());
        while line.share.waiting() > 1 {
            thread::yield_now();
        }
        let [guess, first, second] = running;
        drop((guess, first));
        assert_eq!(line.share.waiting(), 1, "the call has both cores");
        drop(second);
        assert_eq!(line.turns(), ["true", "guess"]);
    }

    #[test]
    fn a_panic_gives_the_device_to_the_next_and_waits_are_counted_by_class() {
        let mut line = Line::new(Share::whole(1));
        let engine = line.share.seat(&step(&[]), 1);
        let waits = step(&[of(Class::Call, Wanted::default())]);
        let seat = line.share.seat(&waits, 1);
        let panics = catch_unwind(AssertUnwindSafe(|| {
            let _turn = engine.turn();
            line.waits("next", 1, &[]);
            panic!("as this scenario wants it");
        }));
        assert!(panics.is_err());
        drop(seat.turn());
        assert_eq!(line.turns(), ["next"]);
        let running = engine.turn();
        let waiting = thread::spawn(move || drop(seat.turn()));
        thread::sleep(Duration::from_millis(20));
        drop(running);
        waiting.join().unwrap();
        let [call, others @ ..] = *waits.waits();
        assert!(call >= Duration::from_millis(10) && others == [Duration::ZERO; 3], "{call:?} {others:?}");
    }

    #[test]
    fn steps_on_one_card_never_overlap_and_two_cards_do_not_wait_for_each_other() {
        let at_once = Arc::new(AtomicUsize::new(0));
        let engines = [(); 4].map(|()| {
            let (seat, at_once) = (Share::card(-7).seat(&step(&[]), 4), Arc::clone(&at_once));
            thread::spawn(move || {
                for _ in 0..200 {
                    let _turn = seat.turn();
                    assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                    thread::yield_now();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                }
            })
        });
        engines.into_iter().for_each(|engine| engine.join().unwrap());
        let (one, other) = (Share::card(-7).seat(&step(&[]), 1), Share::card(-8).seat(&step(&[]), 1));
        let running = one.turn();
        // It would wait for ever.
        drop(other.turn());
        drop(running);
    }
}
