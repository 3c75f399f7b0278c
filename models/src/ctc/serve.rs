//! The thread of the CTC models: which windows go through them together, and what becomes of an utterance.

use std::time::Instant;

use super::{
    Account, CtcOptions, ENGINE, Job, SAMPLES_PER_MS, Source,
    graph::Model,
    greedy::{Line, Said},
};
use crate::{
    engine::{EngineError, Language},
    onnx::{OrtRuntime, export::Export},
    queue::Jobs,
    transcriber::{Segment, Transcript, Word},
};

/// As many samples go through a model at once, silence that fills up the shorter windows included: a minute of sound takes a
/// large one about half a gigabyte.
const PASS: usize = 60_000 * SAMPLES_PER_MS;

/// What the thread owns: a model a language.
pub(super) struct Worker(Vec<(Language, Model)>);

/// Windows that go through together: whose, and which of its own.
#[derive(Default)]
struct Pass {
    windows: Vec<(usize, usize)>,
    longest: usize,
}

impl Pass {
    /// Takes what there is room for of a job's windows that were not heard yet; whether all of them.
    fn take(&mut self, whose: usize, job: &Job, alone: bool) -> bool {
        for (at, window) in job.windows.iter().enumerate().skip(job.heard()) {
            let longest = self.longest.max(window.len());
            let is_full = alone || (self.windows.len() + 1) * longest > PASS;
            if is_full && !self.windows.is_empty() {
                return false;
            }
            self.windows.push((whose, at));
            self.longest = longest;
        }
        true
    }
}

impl Worker {
    pub(super) fn load(sources: &[Source], ort: &OrtRuntime, options: CtcOptions) -> Result<Self, EngineError> {
        let open = |Source { language, folder, server }: &Source| {
            let export = Export::open(folder, "wav2vec2", ort, options.precision, options.threads)?;
            Ok((*language, Model::load(&export.served_by(ENGINE, server.as_ref()), *language)?))
        };
        sources.iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn serve(mut self, jobs: Jobs<Job>) {
        let alone = !self.0.iter().all(|(_, model)| model.batches());
        while let Some(first) = jobs.next() {
            // Those of a class behind it would make it wait for their sound.
            let class = first.standing.class();
            let (mut taken, mut pass) = (vec![first], Pass::default());
            let mut has_room = pass.take(0, &taken[0], alone) && !alone;
            while has_room && let Some(job) = jobs.try_next(class) {
                has_room = pass.take(taken.len(), &job, alone);
                taken.push(job);
            }
            jobs.step(taken.iter().map(|job| &job.standing));
            self.hear(&pass, &mut taken);
            // The last one first, so that they stand in line as they stood.
            for mut job in taken.into_iter().rev() {
                if let Some(fault) = job.fault.take() {
                    jobs.ran::<()>(&Err(fault.clone()));
                    job.answer.send(Err(fault)).ok();
                } else if job.heard() == job.windows.len() {
                    let heard = job.transcript(|language| self.hop(language));
                    jobs.ran(&Ok(()));
                    jobs.answered(&job.standing);
                    job.answer.send(Ok(heard)).ok();
                } else {
                    // Windows are nobody's haste: it stands where it stood.
                    jobs.goes_on(job, None);
                }
            }
        }
    }

    fn hop(&self, language: Language) -> usize {
        self.0.iter().find(|(own, _)| *own == language).map_or(1, |(_, model)| model.hop())
    }

    /// Every window goes through each model that is asked about it.
    fn hear(&mut self, pass: &Pass, taken: &mut [Job]) {
        #[expect(clippy::disallowed_methods, reason = "the edge: a model's real work is measured where it is done")]
        let begun = Instant::now();
        for (language, model) in &mut self.0 {
            let asked: Vec<_> = pass
                .windows
                .iter()
                .filter(|(whose, _)| taken[*whose].accounts.iter().any(|account| account.language == *language))
                .collect();
            if asked.is_empty() {
                continue;
            }
            let sound: Vec<&[i16]> =
                asked.iter().map(|(whose, at)| &taken[*whose].samples[taken[*whose].windows[*at].clone()]).collect();
            let lines = match model.hear(&sound) {
                Ok(lines) => lines,
                Err(fault) => asked.iter().map(|_| Err(fault.clone())).collect(),
            };
            for ((whose, _), line) in asked.into_iter().zip(lines) {
                let job = &mut taken[*whose];
                let account = job.accounts.iter_mut().find(|account| account.language == *language);
                match (line, account) {
                    (Ok(line), Some(account)) => account.lines.push(line),
                    (Ok(_), None) => {}
                    (Err(fault), _) => job.fault = Some(fault),
                }
            }
        }
        let took = begun.elapsed();
        taken.iter_mut().for_each(|job| job.worked += took);
    }
}

impl Job {
    /// How many windows were heard.
    fn heard(&self) -> usize {
        self.accounts.iter().map(|account| account.lines.len()).min().unwrap_or(0)
    }

    /// What the surest model says; `hop` is how many samples a frame of a language's model has.
    fn transcript(&mut self, hop: impl Fn(Language) -> usize) -> Transcript {
        let scores: Vec<_> = self.accounts.iter().map(Account::score).collect();
        // The first of equals, so that silence is in the first language.
        let mut best = 0;
        for (at, score) in scores.iter().enumerate() {
            if score.unwrap_or(f64::NEG_INFINITY) > scores[best].unwrap_or(f64::NEG_INFINITY) {
                best = at;
            }
        }
        let total: f64 = scores.iter().flatten().map(|score| score.exp()).sum();
        let is_judged = scores.len() > 1;
        let language_probability = scores[best]
            .filter(|_| is_judged)
            .map(|score| (score.exp() / total) as f32)
            .filter(|sure| sure.is_finite());
        let account = self.accounts.swap_remove(best);
        let hop = hop(account.language);
        let sure = account.score().is_some();
        let [logprobs, probabilities, frames] = account.sums();
        let segments: Vec<_> = self
            .windows
            .iter()
            .zip(account.lines)
            .filter_map(|(window, line)| {
                let ms = |frame: usize| {
                    let sample = (window.start + frame * hop).min(window.end);
                    u32::try_from(sample / SAMPLES_PER_MS).unwrap_or(u32::MAX)
                };
                let text = line.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                let (start_ms, end_ms) = (ms(line.words.first()?.frames.start), ms(line.words.last()?.frames.end));
                let words = self.words.then(|| {
                    let words = line.words.into_iter();
                    let word = |said: Said| Word {
                        start_ms: ms(said.frames.start),
                        end_ms: ms(said.frames.end),
                        word: said.text,
                    };
                    words.map(word).collect()
                });
                Some(Segment { start_ms, end_ms, text, words })
            })
            .collect();
        Transcript {
            text: segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join(" "),
            language: account.language,
            language_probability,
            confidence: sure.then(|| (probabilities / frames) as f32),
            avg_logprob: sure.then(|| (logprobs / frames) as f32),
            no_speech_prob: None,
            segments,
            processing_ms: u32::try_from(self.worked.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl Account {
    /// Of the frames that are not blank, in all windows: the sums of log-probabilities and of probabilities, and how many.
    fn sums(&self) -> [f64; 3] {
        let sum = |of: fn(&Line) -> f64| self.lines.iter().map(of).sum();
        [sum(|line| line.logprobs), sum(|line| line.probabilities), sum(|line| line.frames as f64)]
    }

    /// The mean log-probability; none where no word was heard.
    fn score(&self) -> Option<f64> {
        let [logprobs, _, frames] = self.sums();
        self.lines.iter().any(|line| !line.words.is_empty()).then(|| logprobs / frames)
    }
}
