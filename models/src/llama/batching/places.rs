//! Who has a sequence, and who leaves it to whom.

use llama_cpp_2::token::LlamaToken;

use super::{Batcher, Job, Running};
use crate::queue::{Class, Jobs};

/// A reply that was begun on a guess and has left its sequence to a call.
pub(super) struct Paused {
    pub(super) running: Running,
    /// Of its prompt, and what it has said.
    tokens: Vec<LlamaToken>,
}

impl Paused {
    /// Whether its guess has come true meanwhile: it is a call's own.
    fn is_sure(&self) -> bool {
        self.running.standing.class() == Class::Call
    }
}

impl Batcher {
    /// Where a call waits and every sequence is taken, what was begun last on a guess leaves its own.
    pub(super) fn make_room(&mut self, jobs: &Jobs<Job>) {
        let is_wanted = || jobs.waits_before(Class::Speculative) || self.paused.iter().any(Paused::is_sure);
        if self.sequences.has_room() || !is_wanted() {
            return;
        }
        let guesses = (0..self.running.len()).filter(|&index| {
            self.running[index].as_ref().is_some_and(|reply| reply.standing.class() == Class::Speculative)
        });
        let Some(index) = guesses.max_by_key(|&index| self.sequences.given(index)) else { return };
        let tokens = self.sequences.all[index].tokens.clone();
        if let Some(running) = self.running[index].take() {
            self.paused.push_back(Paused { running, tokens });
        }
        self.end(index);
    }

    /// Gives the sequences that are free to whoever goes first: a reply whose guess came true while it stood still was asked for before the
    /// calls that wait, the others go on behind them.
    pub(super) fn take_in(&mut self, jobs: &Jobs<Job>) {
        while self.sequences.has_room() {
            let job = if self.paused.iter().any(Paused::is_sure) { None } else { jobs.try_next(self.least()) };
            match job {
                Some(job) => self.admit(job),
                None if self.go_on() => {}
                None => break,
            }
        }
    }

    /// Goes on with a reply that has left its sequence, first with one whose guess has come true; false where there is none. Its tokens are
    /// read again where others have taken their place.
    pub(super) fn go_on(&mut self) -> bool {
        let Some(next) = self.paused.iter().position(Paused::is_sure).or((!self.paused.is_empty()).then_some(0)) else {
            return false;
        };
        let Some(Paused { running, tokens }) = self.paused.remove(next) else { return false };
        let Some(place) = self.sequences.place(&tokens) else { return false };
        self.settle(&place);
        self.running[place.sequence] = Some(running);
        true
    }

    /// The last class of which one more reply may begin now.
    pub(super) fn least(&self) -> Class {
        let under_way =
            |from: Class| self.running.iter().flatten().filter(|reply| reply.standing.class() >= from).count();
        let reserve = (self.places / 4).max(1);
        let (others, batches) = (under_way(Class::Interactive), under_way(Class::Batch));
        // A reply that stands still goes before a guess that is not begun, and before whoever is no call.
        if !self.paused.is_empty() {
            Class::Call
        } else if others >= self.places.saturating_sub(reserve).max(1) {
            Class::Speculative
        } else if batches >= reserve {
            Class::Interactive
        } else {
            Class::Batch
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        sync::{Arc, mpsc::sync_channel},
        time::Instant,
    };

    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        language_model::{ChatMessage, ChatRequest, Role, Told},
        llama::LlamaOptions,
        queue::{Queue, Share, Standing, Wanted, spawn_engine},
    };

    type Answer = mpsc::Receiver<Result<Told, crate::engine::EngineError>>;

    fn job(said: &str, class: Class, wanted: &Wanted) -> (Job, Answer) {
        let (answer, told) = mpsc::channel(100);
        let request = ChatRequest {
            messages: vec![ChatMessage::new(Role::System, "Ianao dia mpanampy."), ChatMessage::new(Role::User, said)],
            max_tokens: 60,
            temperature: 0.0,
            seed: 1,
            grammar: None,
            tools: Arc::default(),
            class,
            wanted: wanted.clone(),
        };
        (Job { request, standing: Standing::new(class, wanted.clone()), answer }, told)
    }

    fn text(told: &mut Answer) -> String {
        let mut text = String::new();
        while let Ok(told) = told.try_recv() {
            if let Told::Token(token) = told.expect("no fault") {
                text.push_str(&token.text);
            }
        }
        text
    }

    fn finish(batcher: &mut Batcher, jobs: &Jobs<Job>) {
        while batcher.running.iter().any(Option::is_some) {
            batcher.pass(jobs).expect("a pass");
        }
    }

    /// A model with one sequence, and a queue whose other side is in the test's own hands.
    fn by_hand() -> (Queue<Job>, Jobs<Job>, Batcher) {
        let (give, given) = sync_channel(1);
        let queue = spawn_engine(
            "test",
            4,
            |_| Ok(()),
            move |(), jobs: Jobs<Job>| {
                give.send(jobs).ok();
            },
        );
        let (queue, jobs) = (queue.expect("a queue"), given.recv().expect("its other side"));
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/mind/mind.gguf");
        let options = LlamaOptions { sequences: 1, ..LlamaOptions::default() };
        (
            queue,
            jobs,
            Batcher::load(&shipped, &options, Arc::default(), Share::processor().seat(&Arc::default(), 1))
                .expect("it loads"),
        )
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a deadline is a moment of the clock")]
    fn a_guess_leaves_its_sequence_to_a_call_and_goes_on_behind_it_as_if_nothing_had_been() {
        let (queue, jobs, mut batcher) = by_hand();
        let (said, guess) = ("amin'ny ora firy no misokatra ny birao", Wanted::perhaps());
        let (alone, mut told) = job(said, Class::Call, &Wanted::default());
        batcher.admit(alone);
        finish(&mut batcher, &jobs);
        let alone = text(&mut told);

        for comes_true in [false, true] {
            let (unsure, mut told) = job(said, Class::Speculative, &guess);
            batcher.admit(unsure);
            for _ in 0..4 {
                batcher.pass(&jobs).expect("a pass");
            }
            let begun = text(&mut told);
            assert!(!begun.is_empty() && begun.len() < alone.len(), "{begun:?} of {alone:?}");
            batcher.make_room(&jobs);
            assert!(batcher.paused.is_empty(), "nobody else wants it");
            let (call, mut answered) = job("salama tompoko", Class::Call, &Wanted::default());
            queue.submit(call).expect("room");
            if comes_true {
                guess.confirm(Instant::now());
                batcher.make_room(&jobs);
                assert!(batcher.paused.is_empty(), "it is a call's own by now");
                finish(&mut batcher, &jobs);
                assert_eq!(begun + &text(&mut told), alone);
                batcher.admit(jobs.try_next(batcher.least()).expect("the call"));
                finish(&mut batcher, &jobs);
                continue;
            }
            batcher.make_room(&jobs);
            assert_eq!((batcher.paused.len(), batcher.least()), (1, Class::Call));
            batcher.admit(jobs.try_next(batcher.least()).expect("the call"));
            finish(&mut batcher, &jobs);
            assert!(!text(&mut answered).is_empty() && text(&mut told).is_empty());
            assert!(batcher.go_on() && batcher.paused.is_empty() && !batcher.go_on());
            finish(&mut batcher, &jobs);
            assert_eq!(begun + &text(&mut told), alone, "it goes on where it was");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a deadline is a moment of the clock")]
    fn a_guess_that_came_true_while_it_stood_still_goes_before_the_calls_that_came_after_it() {
        let (queue, jobs, mut batcher) = by_hand();
        let guess = Wanted::perhaps();
        let (unsure, mut told) = job("amin'ny ora firy no misokatra ny birao", Class::Speculative, &guess);
        batcher.admit(unsure);
        batcher.pass(&jobs).expect("a pass");
        let [(first, _first), (later, mut later_told)] =
            ["salama tompoko", "veloma"].map(|said| job(said, Class::Call, &Wanted::default()));
        queue.submit(first).expect("room");
        batcher.make_room(&jobs);
        batcher.take_in(&jobs);
        queue.submit(later).expect("room");
        guess.confirm(Instant::now());
        finish(&mut batcher, &jobs);
        assert_eq!(batcher.paused.len(), 1);
        text(&mut told);
        batcher.take_in(&jobs);
        assert!(batcher.paused.is_empty(), "it goes on");
        finish(&mut batcher, &jobs);
        assert!(!text(&mut told).is_empty() && later_told.try_recv().is_err(), "and the later one waits");
        batcher.take_in(&jobs);
        finish(&mut batcher, &jobs);
        assert!(!text(&mut later_told).is_empty());
    }
}
