//! Utterances that are heard side by side, in parties.
//!
//! ```text
//!  the queue ─► ready ─► encoded together ─► their prompts ─► level with the rest ─┐
//!                 ▲                                                                ▼
//!                 └── the next window ◄── heard ◄── leaves at its end ◄── one token for all, and again
//! ```
//! All of a party are of one class, or were when they came to it; a party of a class before it is heard meanwhile ([`Next`]): so there are
//! as many parties as classes at most.

use std::{collections::VecDeque, mem};

use ort::value::DynValue;

use super::{
    MOST_GIVEN_WAY, Worker,
    cohort::{Cohort, Left},
    decode::Heard,
    hearing::Hearing,
    join,
};
use crate::{
    engine::EngineError,
    mel::{HOP, PCM},
    queue::{Class, Jobs, Next, Standing},
};

/// Those that are heard side by side.
#[derive(Default)]
struct Party {
    /// Their next window is not encoded yet.
    ready: VecDeque<Hearing>,
    cohort: Cohort,
    /// These are decoded alone, when the others are heard: what came of them was poor, or a text stands before them, and then they are of
    /// another length than the others.
    alone: VecDeque<(Hearing, DynValue)>,
}

impl Party {
    fn of(hearing: Hearing) -> Self {
        Self { ready: [hearing].into(), ..Self::default() }
    }

    fn len(&self) -> usize {
        self.ready.len() + self.cohort.len() + self.alone.len()
    }

    /// The first class that one of them is of now; none when nobody is left.
    fn class(&self) -> Option<Class> {
        self.standings().map(Standing::class).min()
    }

    fn standings(&self) -> impl Iterator<Item = &Standing> {
        let alone = self.alone.iter().map(|(hearing, _)| hearing);
        self.ready
            .iter()
            .chain(self.cohort.all().map(|window| &window.hearing))
            .chain(alone)
            .map(|hearing| &hearing.job.standing)
    }

    /// Those for whom nobody waits any more go; the ones that are being decoded do so by themselves.
    fn leave(&mut self) {
        self.ready.retain(|hearing| !hearing.is_left());
        self.alone.retain(|(hearing, _)| !hearing.is_left());
    }
}

impl Worker {
    /// Hears as many at once as may be, until every handle is dropped.
    pub(super) fn serve_together(mut self, jobs: &Jobs<super::Job>) {
        let window = self.decoder.model.frames() * HOP;
        let mut parties: Vec<Party> = Vec::new();
        loop {
            parties.iter_mut().for_each(Party::leave);
            match jobs.next_beside(parties.iter().map(Party::class)) {
                None => return,
                Some(Next::Begin(job)) => parties.push(Party::of(Hearing::new(job, window))),
                Some(Next::GoOn(at, class)) => {
                    let mut party = parties.remove(at);
                    while party.len() < self.batch
                        && let Some(job) = jobs.try_next(class)
                    {
                        party.ready.push_back(Hearing::new(job, window));
                    }
                    jobs.step(party.standings());
                    self.advance(&mut party, jobs);
                    // Behind the others of its class: where a guess has come true there are two, and they take turns.
                    parties.push(party);
                }
            }
            parties.retain(|party| party.len() > 0);
        }
    }

    /// One step for a party.
    fn advance(&mut self, party: &mut Party, jobs: &Jobs<super::Job>) {
        let is_decoding = party.cohort.len() > 0;
        let may_join = party.alone.is_empty() && party.cohort.may_be_joined();
        let left = if is_decoding && (party.ready.is_empty() || !may_join) {
            party.cohort.step(&mut self.decoder)
        } else if !is_decoding && !party.alone.is_empty() {
            // Before others are brought in: nobody is put off for ever.
            self.by_itself(party, jobs)
        } else {
            self.bring_in(party)
        };
        for left in left {
            match left {
                Left::Heard(hearing, heard, hidden) => self.heard(hearing, heard, hidden, party, jobs),
                Left::Alone(hearing, hidden) => party.alone.push_back((hearing, hidden)),
                Left::Failed(hearing, error) => answer(hearing, Err(error), jobs),
            }
        }
    }

    /// Who is ready is encoded, and brought as far as the others are.
    fn bring_in(&mut self, party: &mut Party) -> Vec<Left> {
        let (mut ready, mut left) = (Vec::new(), Vec::new());
        for mut hearing in mem::take(&mut party.ready) {
            match self.text_before(&hearing) {
                Ok(before) if before.is_empty() => ready.push(hearing),
                Ok(before) => {
                    hearing.before = before;
                    let features = self.mel.features(hearing.window().0, PCM, self.decoder.model.frames());
                    left.push(match self.decoder.model.encode(features) {
                        Ok(hidden) => Left::Alone(hearing, hidden),
                        Err(error) => Left::Failed(hearing, error),
                    });
                }
                Err(error) => left.push(Left::Failed(hearing, error)),
            }
        }
        if ready.is_empty() {
            return left;
        }
        let frames = self.decoder.model.frames();
        let features = ready.iter().flat_map(|hearing| self.mel.features(hearing.window().0, PCM, frames)).collect();
        left.extend(match self.decoder.model.encode_rows(features, ready.len()) {
            Ok(hidden) => match self.decoder.begin(ready, hidden) {
                Ok(come) => party.cohort.join(come, &mut self.decoder),
                Err(all) => all,
            },
            Err(error) => ready.into_iter().map(|hearing| Left::Failed(hearing, error.clone())).collect(),
        });
        left
    }

    /// What is to stand before an utterance whose language, where it is known, the model knows too.
    fn text_before(&self, hearing: &Hearing) -> Result<Vec<u32>, EngineError> {
        hearing.language.map_or(Ok(()), |known| self.decoder.prompt(known).map(drop))?;
        self.before.tokens(hearing.job.prompt.as_deref(), &self.decoder.tokens)
    }

    /// Decodes one as if there were no others, of the first class that there is; it begins again where somebody comes who goes before all
    /// of the party, and is taken in then. A request does so a few times at most.
    fn by_itself(&mut self, party: &mut Party, jobs: &Jobs<super::Job>) -> Vec<Left> {
        let first = party.alone.iter().enumerate().min_by_key(|(_, (hearing, _))| hearing.class()).map(|(at, _)| at);
        let Some((mut hearing, hidden)) = first.and_then(|at| party.alone.remove(at)) else { return Vec::new() };
        let class = || party.class().map_or(hearing.class(), |others| others.min(hearing.class()));
        let gives_way = || hearing.class() != Class::Interactive || hearing.job.gave_way < MOST_GIVEN_WAY;
        let stops = || hearing.is_left() || (gives_way() && jobs.waits_before(class()));
        match self.decoder.decode(&hidden, hearing.language, &hearing.before, &stops) {
            Ok(Some(heard)) => vec![Left::Heard(hearing, heard, Some(hidden))],
            Ok(None) => {
                hearing.job.gave_way += 1;
                party.alone.push_front((hearing, hidden));
                Vec::new()
            }
            Err(error) => vec![Left::Failed(hearing, error)],
        }
    }

    /// A window is heard: the next one is ready, or all is answered. Times of words take one more run, of this row alone.
    fn heard(
        &mut self,
        mut hearing: Hearing,
        heard: Heard,
        hidden: Option<DynValue>,
        party: &mut Party,
        jobs: &Jobs<super::Job>,
    ) {
        let (sound, start) = hearing.window();
        let hidden = hidden.filter(|_| hearing.job.words && !heard.is_noise);
        let moments = hidden.map(|hidden| self.decoder.moments(&hidden, &heard, sound.len())).transpose();
        let segments = moments.and_then(|moments| match heard.is_noise {
            true => Ok(Vec::new()),
            false => self.segments(&heard, sound, start, moments.as_deref()),
        });
        let segments = match segments {
            Ok(segments) => segments,
            Err(error) => return answer(hearing, Err(error), jobs),
        };
        if !heard.is_noise {
            // What follows in the same audio is in the language that was first heard.
            hearing.language = Some(heard.language);
        }
        hearing.parts.push((heard, segments));
        hearing.windows.pop_front();
        if hearing.windows.is_empty() {
            answer(hearing, Ok(()), jobs);
        } else {
            party.ready.push_back(hearing);
        }
    }
}

/// Tells who waits what came of it.
fn answer(hearing: Hearing, came: Result<(), EngineError>, jobs: &Jobs<super::Job>) {
    let Hearing { job, parts, begun, .. } = hearing;
    let ms = u32::try_from(begun.elapsed().as_millis()).unwrap_or(u32::MAX);
    jobs.ran(&came);
    jobs.answered(&job.standing);
    if let Some(result) = came.map(|()| join(parts, ms)).transpose() {
        job.answer.send(result).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, sync::mpsc::sync_channel, time::Duration};

    use tokio::sync::oneshot;

    use super::{super::*, *};
    use crate::queue::Wanted;

    type Answer = oneshot::Receiver<Result<Transcript, EngineError>>;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whisper_tiny")
    }

    fn speech() -> Vec<i16> {
        let wav = fs::read(folder().join("speech.wav")).expect("a file beside this crate");
        wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// A worker, and a queue whose other side is in the test's own hands.
    fn by_hand() -> (Worker, Queue<Job>, Jobs<Job>) {
        let (give, given) = sync_channel(1);
        let queue = spawn_engine("by hand", 8, |_| Ok(()), move |(), jobs: Jobs<Job>| drop(give.send(jobs)));
        let ort = OrtRuntime::load(None).expect("ONNX Runtime");
        let worker = Worker::load(&folder().join("merged"), None, &ort, &WhisperOptions::default()).expect("it loads");
        (worker, queue.expect("a queue"), given.recv().expect("its other side"))
    }

    fn job(class: Class, wanted: &Wanted) -> (Job, Answer) {
        let (answer, answered) = oneshot::channel();
        let standing = Standing::new(class, wanted.clone());
        let job = Job { samples: speech(), language: None, prompt: None, words: false, standing, gave_way: 0, answer };
        (job, answered)
    }

    impl Worker {
        /// An utterance that is to be decoded alone.
        fn alone(&mut self, class: Class, wanted: &Wanted) -> ((Hearing, DynValue), Answer) {
            let (job, answered) = job(class, wanted);
            let frames = self.decoder.model.frames();
            let hearing = Hearing::new(job, frames * HOP);
            let features = self.mel.features(hearing.window().0, PCM, frames);
            ((hearing, self.decoder.model.encode(features).expect("it is encoded")), answered)
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a deadline is a moment of the clock")]
    fn of_those_who_are_decoded_alone_a_guess_that_came_true_goes_first_and_gives_way_to_no_call() {
        let (mut worker, queue, jobs) = by_hand();
        let sure = Wanted::perhaps();
        let (unsure, _unsure) = worker.alone(Class::Speculative, &Wanted::perhaps());
        let (true_now, _true) = worker.alone(Class::Speculative, &sure);
        let mut party = Party { alone: [unsure, true_now].into(), ..Party::default() };
        let (call, _call) = job(Class::Call, &Wanted::default());
        queue.submit(call).expect("room");
        sure.confirm(Instant::now());
        let left = worker.by_itself(&mut party, &jobs);
        assert!(matches!(&left[..], [Left::Heard(hearing, ..)] if hearing.class() == Class::Call));
        assert!(worker.by_itself(&mut party, &jobs).is_empty() && party.alone.len() == 1, "the guess gives way");
        // Where one of the party is a call's own, whoever waits joins it or waits for it: nobody is taken in before.
        let (other, _other) = job(Class::Call, &Wanted::default());
        party.ready.push_back(Hearing::new(other, worker.decoder.model.frames() * HOP));
        assert!(matches!(worker.by_itself(&mut party, &jobs)[..], [Left::Heard(..)]));
    }

    #[test]
    fn a_request_that_is_decoded_alone_gives_way_a_few_times_and_is_heard_to_its_end_then() {
        let (mut worker, queue, jobs) = by_hand();
        let (call, _call) = job(Class::Call, &Wanted::default());
        queue.submit(call).expect("room");
        for (class, ends) in [(Class::Interactive, true), (Class::Batch, false)] {
            let (request, _answer) = worker.alone(class, &Wanted::default());
            let mut party = Party { alone: [request].into(), ..Party::default() };
            for _ in 0..MOST_GIVEN_WAY {
                assert!(worker.by_itself(&mut party, &jobs).is_empty() && party.alone.len() == 1);
            }
            assert_eq!(worker.by_itself(&mut party, &jobs).len(), usize::from(ends), "{class:?}");
        }
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a deadline is a moment of the clock")]
    async fn a_guess_that_comes_true_while_a_call_is_heard_does_not_keep_it_waiting() {
        let ort = OrtRuntime::load(None).expect("ONNX Runtime");
        let transcriber = Whisper::load(&folder().join("merged"), &ort, WhisperOptions::default()).expect("it loads");
        let guess = Wanted::perhaps();
        let listen = |class, wanted, times| {
            let asked = Listen { class, wanted, ..Listen::default() };
            tokio::spawn(transcriber.transcribe(speech().repeat(times), asked))
        };
        let is_begun = async || {
            tokio::task::yield_now().await;
            while transcriber.waiting() != [0; 4] {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let long = listen(Class::Speculative, guess.clone(), 120);
        is_begun().await;
        let call = listen(Class::Call, Wanted::default(), 20);
        is_begun().await;
        guess.confirm(Instant::now());
        call.await.expect("no panic").expect("it is heard");
        assert!(!long.is_finished(), "they take turns, and it is the longer one");
        long.await.expect("no panic").expect("it is heard");
    }
}
