//! The queue before engines that are as slow, mortal and clumsy as each scenario wants them.

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
            |_| Ok(()),
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

    fn ask_by(&self, name: &'static str, class: Class, wanted: Wanted) -> Result<oneshot::Receiver<()>, EngineError> {
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
    assert!(matches!(slow.ask("b4", Class::Batch), Err(EngineError::Overloaded { waiting: 3, .. })), "all are taken");
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
    let queue = spawn_engine("by hand", 8, |_| Ok(()), move |(), jobs: Jobs<Named>| drop(give.send(jobs)));
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
    let (gone, stays) = (slow.ask("gone", Class::Interactive).unwrap(), slow.ask("stays", Class::Interactive).unwrap());
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
        |_| Ok(()),
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
    let load = move |_: &Arc<Step>| {
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
        spawn_engine("absent", 1, |_| Err::<(), _>(EngineError::Load("no file".into())), |(), _: Jobs<Named>| ());
    assert!(matches!(failed, Err(EngineError::Load(why)) if why == "no file"));
}

#[test]
fn a_call_behind_a_guess_whose_step_waits_for_the_device_lends_it_its_place() {
    let share = Arc::new(Share::whole(1));
    let step = |standing| {
        let step = Arc::<Step>::default();
        step.begins([standing].iter());
        share.seat(&step, 1)
    };
    let (serve, served) = sync_channel(4);
    let (own, tell) = (Arc::clone(&share), serve.clone());
    let load = move |step: &Arc<Step>| Ok(own.seat(step, 1));
    let queue = spawn_engine("on a device", 2, load, move |seat, jobs: Jobs<Named>| {
        while let Some(job) = jobs.next() {
            jobs.step([&job.standing]);
            let turn = seat.turn();
            tell.send(job.name).ok();
            drop(turn);
        }
    })
    .unwrap();
    let ask = |name, class| {
        let (answer, answered) = oneshot::channel();
        queue.submit(Named { name, standing: Standing::new(class, Wanted::default()), answer }).unwrap();
        answered
    };
    let until = |count| {
        while share.waiting() != count {
            thread::yield_now();
        }
    };
    let one = step(Standing::default());
    let running = one.turn();
    let guess = ask("guess", Class::Speculative);
    until(1);
    let rival = step(Standing::new(Class::Speculative, Wanted::by(now())));
    let rival = thread::spawn(move || {
        let turn = rival.turn();
        serve.send("rival").ok();
        drop(turn);
    });
    until(2);
    let call = ask("call", Class::Call);
    drop(running);
    let served: Vec<_> = (0..3).map(|_| served.recv().unwrap()).collect();
    // The engine comes back with the call's own step when the rival may have its turn already.
    assert!(served == ["guess", "rival", "call"] || served == ["guess", "call", "rival"], "{served:?}");
    rival.join().unwrap();
    drop((guess, call));
}

/// An engine whose runs go as it is told: with a model that was loaded so many times.
fn failing(goes_well: fn(usize, usize) -> bool) -> (Queue<Named>, std::sync::mpsc::Receiver<(usize, &'static str)>) {
    let (serve, served) = sync_channel(64);
    let mut loads = 0;
    let load = move |_: &Arc<Step>| {
        loads += 1;
        Ok(loads)
    };
    let queue = spawn_engine("failing engine", 8, load, move |load, jobs: Jobs<Named>| {
        let mut runs = 0;
        while let Some(job) = jobs.next() {
            let reason = "of a test".into();
            let fails = || EngineError::Failed { engine: "failing engine", reason };
            let run = if goes_well(load, runs) { Ok(()) } else { Err(fails()) };
            runs += 1;
            jobs.ran(&run);
            serve.send((load, job.name)).ok();
            job.answer.send(()).ok();
        }
    });
    (queue.expect("it loads"), served)
}

/// Asks again and again until it is there.
fn ask_until_there(queue: &Queue<Named>, name: &'static str) -> oneshot::Receiver<()> {
    loop {
        let (answer, answered) = oneshot::channel();
        match queue.submit(Named { name, standing: Standing::new(Class::Call, Wanted::default()), answer }) {
            Ok(()) => return answered,
            Err(EngineError::Stopped { .. }) => thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn an_engine_that_fails_at_every_run_is_stopped_and_loaded_anew_and_one_that_fails_now_and_then_is_not() {
    // The first model fails at each run, the second at two of three.
    let (queue, served) = failing(|load, run| load > 1 && run % 3 == 0);
    let asked: Vec<_> = ["1", "2", "3"].map(|name| ask_until_there(&queue, name)).into();
    for name in ["1", "2", "3"] {
        assert_eq!(served.recv().expect("served"), (1, name));
    }
    // It is given up with the third: what comes now is refused at once, and nobody waits for ever.
    while !queue.stopped() {
        thread::yield_now();
    }
    let (answer, _waits) = oneshot::channel();
    let late = queue.submit(Named { name: "late", standing: Standing::new(Class::Call, Wanted::default()), answer });
    assert!(matches!(late, Err(EngineError::Stopped { .. })), "{late:?}");
    drop(asked);
    for turn in 0..9 {
        let _answered = ask_until_there(&queue, "later");
        assert_eq!(served.recv().expect("served"), (2, "later"), "{turn}");
    }
    assert!(!queue.stopped());
}

#[test]
fn what_is_the_askers_fault_or_a_servers_gives_no_engine_up() {
    let queue = spawn_engine(
        "blameless engine",
        8,
        |_| Ok(()),
        |(), jobs: Jobs<Named>| {
            while let Some(job) = jobs.next() {
                jobs.ran::<()>(&Err(EngineError::Input("of a test".into())));
                jobs.ran::<()>(&Err(EngineError::Stalled { engine: "e", reason: "of a test".into() }));
                job.answer.send(()).ok();
            }
        },
    );
    let queue = queue.expect("it loads");
    for _ in 0..10 {
        ask_until_there(&queue, "one").blocking_recv().expect("it is served");
    }
    assert!(!queue.stopped());
}
