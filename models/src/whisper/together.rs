//! Utterances that are heard side by side, in parties.
//!
//! ```text
//!  the queue ─► ready ─► encoded together ─► their prompts ─► level with the rest ─┐
//!                 ▲                                                                ▼
//!                 └── the next window ◄── heard ◄── leaves at its end ◄── one token for all, and again
//! ```
//! All of a party are of one class, or were when they came to it. When somebody comes who goes before them they stand still, all that is
//! done so far is kept, and a party of that class is heard meanwhile: so there are as many parties as classes at most.

use std::{collections::VecDeque, mem};

use ort::value::DynValue;

use super::{
    Worker,
    cohort::{Cohort, Left},
    decode::Heard,
    hearing::Hearing,
    join,
};
use crate::{
    engine::EngineError,
    mel::{HOP, PCM},
    queue::{Class, Jobs},
};

/// Whoever comes joins a party whose rows have so few tokens: so much is caught up with while those stand still.
const CATCH_UP: usize = 4;

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
        let alone = self.alone.iter().map(|(hearing, _)| hearing);
        self.ready.iter().chain(self.cohort.hearings()).chain(alone).map(Hearing::class).min()
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
            let first = parties.iter().enumerate().filter_map(|(at, party)| Some((party.class()?, at))).min();
            match first {
                None => match jobs.next() {
                    Some(job) => parties = vec![Party::of(Hearing::new(job, window))],
                    None => return,
                },
                Some((class, _)) if jobs.waits_before(class) => {
                    let before = Class::ALL[(class as usize).saturating_sub(1)];
                    let job = jobs.try_next(before).map(|job| Hearing::new(job, window));
                    parties.extend(job.map(Party::of));
                }
                Some((class, at)) => {
                    let party = &mut parties[at];
                    while party.len() < self.batch
                        && let Some(job) = jobs.try_next(class)
                    {
                        party.ready.push_back(Hearing::new(job, window));
                    }
                    self.advance(party, jobs);
                }
            }
            parties.retain(|party| party.len() > 0);
        }
    }

    /// One step for a party.
    fn advance(&mut self, party: &mut Party, jobs: &Jobs<super::Job>) {
        let is_decoding = party.cohort.len() > 0;
        let may_join = party.alone.is_empty() && party.cohort.tokens() <= CATCH_UP;
        let left = if is_decoding && (party.ready.is_empty() || !may_join) {
            self.decoder.step(&mut party.cohort)
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
        let mut come = match self.decoder.model.encode_rows(features, ready.len()) {
            Ok(hidden) => match self.decoder.begin(ready, hidden) {
                Ok(come) => come,
                Err(all) => {
                    left.extend(all);
                    return left;
                }
            },
            Err(error) => {
                left.extend(ready.into_iter().map(|hearing| Left::Failed(hearing, error.clone())));
                return left;
            }
        };
        while come.len() > 0 && come.tokens() < party.cohort.tokens() {
            left.extend(self.decoder.step(&mut come));
        }
        if let Err((mut come, error)) = party.cohort.absorb(come) {
            left.extend(come.fail(&error));
        }
        left
    }

    /// What is to stand before an utterance whose language, where it is known, the model knows too.
    fn text_before(&self, hearing: &Hearing) -> Result<Vec<u32>, EngineError> {
        hearing.language.map_or(Ok(()), |known| self.decoder.prompt(known).map(drop))?;
        self.before.tokens(hearing.job.prompt.as_deref(), &self.decoder.tokens)
    }

    /// Decodes one as if there were no others; it begins again where somebody comes who goes before.
    fn by_itself(&mut self, party: &mut Party, jobs: &Jobs<super::Job>) -> Vec<Left> {
        let Some((hearing, hidden)) = party.alone.pop_front() else { return Vec::new() };
        let stops = || hearing.is_left() || jobs.waits_before(hearing.class());
        match self.decoder.decode(&hidden, hearing.language, &hearing.before, &stops) {
            Ok(Some(heard)) => vec![Left::Heard(hearing, heard, Some(hidden))],
            Ok(None) => {
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
    jobs.answered(&job.standing);
    if let Some(result) = came.map(|()| join(parts, ms)).transpose() {
        job.answer.send(result).ok();
    }
}
