//! The translator's thread: texts that are translated side by side, in parties.
//!
//! ```text
//!  the queue ─► texts ─► their next pieces, encoded together ─► level with the rest ─┐
//!                 ▲                                                                  ▼
//!                 └──────────── told ◄── leaves at its end ◄── one token for all, and again
//! ```
//! All of a party are of one class, or were when they came to it, and of one model; a party of a class before it is served meanwhile
//! ([`Next`]): so there are as many parties as classes for each model at most. Where a model takes one row at a time, a party is one text, piece after piece.

use super::{
    Job, Way,
    cohort::{Cohort, Left, Piece, Translating},
    graph::Model,
    text::Text,
};
use crate::{
    engine::EngineError,
    queue::{Class, Jobs, Next, Standing},
};

/// As many tokens are encoded at once, those that fill the shorter pieces up included; one piece may have more.
const PASS: usize = 2_048;

/// Texts that are translated side by side.
struct Party {
    /// Which model's.
    model: usize,
    texts: Vec<Text>,
    cohort: Cohort,
}

impl Party {
    /// The first class that one of them is of now.
    fn class(&self) -> Option<Class> {
        self.texts.iter().map(Text::class).min()
    }

    fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.texts.iter().map(|text| &text.job.standing)
    }

    /// The pieces that are begun next, so many at most: each time one of the text that has fewest under way.
    fn begin(&mut self, most: usize) -> Vec<Piece> {
        let (mut begun, mut longest) = (Vec::new(), 0);
        while begun.len() < most {
            let waiting = self.texts.iter_mut().filter_map(|text| Some((text.next_length()?, text)));
            let Some((length, text)) = waiting.min_by_key(|(_, text)| text.under_way()) else { break };
            longest = longest.max(length);
            if !begun.is_empty() && (begun.len() + 1) * longest > PASS {
                break;
            }
            begun.extend(text.begin());
        }
        begun
    }

    /// One step.
    fn advance(&mut self, model: &mut Model) -> Vec<Left> {
        let room = model.rows.saturating_sub(self.cohort.len());
        let begun = self.begin(if self.cohort.may_be_joined() { room } else { 0 });
        let mut by = Translating { model, texts: &self.texts };
        if begun.is_empty() {
            return self.cohort.step(&mut by);
        }
        match by.model.begin(&begun) {
            Ok(come) => self.cohort.join(come, &mut by),
            Err(error) => begun.into_iter().map(|piece| (piece.whose, Err(error.clone()))).collect(),
        }
    }

    /// What became of pieces. A text that fails with one of them is answered; what else of it is under way is not wanted any more.
    fn told(&mut self, left: Vec<Left>, jobs: &Jobs<Job>) {
        for (whose, came) in left {
            let Some(at) = self.texts.iter().position(|text| text.id == whose.text) else { continue };
            jobs.ran(&came);
            match came {
                Ok(translation) => self.texts[at].told(whose.piece, translation),
                Err(error) => {
                    self.texts.remove(at).job.answer.send(Err(error)).ok();
                }
            }
        }
        for text in self.texts.extract_if(.., |text| text.is_whole()) {
            answer(text, jobs);
        }
    }
}

/// Tells who waits what came of it.
fn answer(text: Text, jobs: &Jobs<Job>) {
    let (job, whole) = text.whole();
    jobs.answered(&job.standing);
    job.answer.send(Ok(whole)).ok();
}

/// What the thread has begun.
#[derive(Default)]
struct Begun {
    parties: Vec<Party>,
    /// How many texts there were.
    texts: u64,
}

impl Begun {
    /// Takes a text in.
    fn admit(&mut self, job: Job, models: &[Model], jobs: &Jobs<Job>) {
        let goes = |model: &Model| model.way == Way::Both || model.way == Way::From(job.source);
        let Some(at) = models.iter().position(goes) else {
            let says = format!("the translator has no model from {}", job.source);
            job.answer.send(Err(EngineError::Input(says))).ok();
            return;
        };
        self.texts += 1;
        match Text::of(self.texts, job, &models[at]) {
            Ok(text) if text.is_whole() => answer(text, jobs),
            Ok(text) => {
                let class = Some(text.class());
                match self.parties.iter_mut().find(|party| party.model == at && party.class() == class) {
                    Some(party) => party.texts.push(text),
                    None => self.parties.push(Party { model: at, texts: vec![text], cohort: Cohort::default() }),
                }
            }
            Err(failed) => {
                let (job, error) = *failed;
                job.answer.send(Err(error)).ok();
            }
        }
    }

    /// How many texts of a class there are.
    fn of(&self, class: Class) -> usize {
        let texts = self.parties.iter().flat_map(|party| &party.texts);
        texts.filter(|text| text.class() == class).count()
    }
}

/// Translates as many at once as may be, until every handle is dropped.
pub(super) fn serve(mut models: Vec<Model>, jobs: Jobs<Job>) {
    let most = models.iter().map(|model| model.rows).max().unwrap_or(1);
    let mut begun = Begun::default();
    loop {
        begun.parties.iter_mut().for_each(|party| party.texts.retain(|text| !text.is_left()));
        begun.parties.retain(|party| !party.texts.is_empty());
        match jobs.next_beside(begun.parties.iter().map(Party::class)) {
            None => return,
            Some(Next::Begin(job)) => begun.admit(job, &models, &jobs),
            Some(Next::GoOn(at, class)) => {
                while begun.of(class) < most
                    && let Some(job) = jobs.try_next(class)
                {
                    begun.admit(job, &models, &jobs);
                }
                // Behind the others of its class: two models of one way each take turns.
                let mut party = begun.parties.remove(at);
                jobs.step(party.standings());
                let left = party.advance(&mut models[party.model]);
                party.told(left, &jobs);
                begun.parties.push(party);
            }
        }
    }
}
