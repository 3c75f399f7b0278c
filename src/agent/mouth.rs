//! The agent's mouth: a reply's steps into 20 ms frames on the leg, and the account of what was heard of them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use milo_media::{FRAME_MS, FRAME_SAMPLES, Frame, SAMPLE_RATE, Voice};
use milo_models::{
    engine::{EngineError, Language},
    tools::Call,
};

use tokio::{select, time::sleep_until};

use super::{
    Audience, Happened,
    context::Script,
    interruption::Yields,
    reply::{Asking, Doing, Reply},
    step::{Marks, Step},
    stopgap::{Due, Stopgap},
    tongues::Tongues,
};
use crate::engines::{Brief, Mode, Taken};

/// A voice that was paused goes on at the quietest frame of this last time: where the word began that it was paused in, or one before…
const WORD: usize = 600 / FRAME_MS as usize;
/// …but for the newest part, which may have waited at the far end and been forgotten there.
const FAR: usize = 100 / FRAME_MS as usize;
/// What is played is kept so long: what the voice may have queued, and a word.
const KEPT: usize = 1_200 / FRAME_MS as usize;

/// How long a letter is spoken, at the usual pace.
const LETTER: Duration = Duration::from_millis(65);

/// How a reply ended by itself.
#[derive(Debug)]
pub(super) enum Spoken {
    /// All of it has left.
    Whole,
    /// The model was too unsure to be let speak; nothing was said.
    Doubtful,
    /// The model had nothing to say.
    Nothing,
    /// An engine failed on the way; what came before it was said.
    Broken(EngineError),
    /// The model wants this done, and goes on when it knows what came of it; the voice may still be speaking.
    Calls(Vec<Call>),
    /// What was done is over.
    Done,
    /// A few words are said before it: called again, the reply goes on.
    Opened,
    /// This stage has brought nothing for long, and something is said in its place: called again, the reply goes on.
    Waits(&'static str),
}

/// One reply while it is spoken.
pub(super) struct Mouth {
    reply: Reply,
    script: Script,
    frames: VecDeque<Frame>,
    /// The newest of those that the voice was given.
    given: VecDeque<Frame>,
    rest: Vec<i16>,
    before: u64,
    /// Samples that were heard before some of them were said again.
    most_heard: u64,
    hang_up: bool,
    broken: Option<EngineError>,
    first_out: Option<Instant>,
    audience: Option<Audience>,
    /// Whoever takes replies whole has it.
    is_handed_over: bool,
    /// The voice has all of it.
    is_all_given: bool,
    /// What is said when nothing of the reply has come by then.
    filler: Option<Due>,
    /// How often something was said in place of the reply.
    filled: usize,
    /// A few words were said before it; so many of their frames are still to be played.
    opened: Option<usize>,
    /// To what it gives way.
    pub(super) yields: Yields,
}

impl Mouth {
    /// Begins a reply on a voice.
    pub(super) fn new(reply: Reply, voice: &Voice) -> Self {
        Self {
            reply,
            script: Script::default(),
            frames: VecDeque::new(),
            given: VecDeque::new(),
            rest: Vec::new(),
            before: voice.played().samples,
            most_heard: 0,
            hang_up: false,
            broken: None,
            first_out: None,
            audience: None,
            is_handed_over: false,
            is_all_given: false,
            filler: None,
            filled: 0,
            opened: None,
            yields: Yields::default(),
        }
    }

    /// Somebody follows what it says.
    pub(super) fn before(self, audience: Option<&Audience>) -> Self {
        Self { audience: audience.cloned(), ..self }
    }

    /// When the reply has no sound by then, something is heard before it; nobody who takes replies whole hears it.
    pub(super) fn or_at(self, due: Option<Due>) -> Self {
        let is_whole = self.is_held_back();
        Self { filler: due.filter(|_| !is_whole), ..self }
    }

    /// The same once it is under way: then, if it is sooner than what was to be heard.
    pub(super) fn fill_at(&mut self, due: Option<Due>) {
        if let Some(due) = due.filter(|_| !self.is_held_back())
            && self.filler.as_ref().is_none_or(|filler| due.at() < filler.at())
        {
            self.filler = Some(due);
        }
    }

    /// What was said while the transcript was awaited is heard to its end first, and is no part of the reply.
    pub(super) fn follow(&mut self, stopgap: Stopgap, voice: &Voice) {
        if stopgap.said() == 0 {
            return;
        }
        self.filled += stopgap.said();
        let rest = stopgap.into_rest();
        self.filler.iter_mut().for_each(|filler| filler.wait(rest.len()));
        self.before += u64::from(voice.queued_ms() / FRAME_MS) * FRAME_SAMPLES as u64;
        self.before += (rest.len() * FRAME_SAMPLES) as u64;
        rest.into_iter().rev().for_each(|frame| self.frames.push_front(frame));
    }

    /// Goes on with these words, and with what is done meanwhile.
    pub(super) fn go_on(&mut self, words: Option<&str>, doing: Option<Doing>) {
        self.reply.go_on(words, doing);
    }

    /// Goes on with what the model says to what came of its calls.
    pub(super) fn go_on_by_asking(&mut self, asking: Asking, least: Option<f32>) {
        self.reply.go_on_by_asking(asking, least);
    }

    /// What comes next, or has failed: of the model, of a tool, or of the voice.
    pub(super) fn waits_for(&self) -> &'static str {
        self.reply.waits_for()
    }

    /// How often something was said in place of the reply.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// The next step of the reply, or that something else is said first.
    async fn step(&mut self) -> Result<Option<Result<Step, EngineError>>, Spoken> {
        let due = self.filler.as_ref().map(Due::at);
        select! {
            biased;
            step = self.reply.next() => Ok(step),
            () = sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                // Heard, and no part of the reply.
                let before = self.frames.len();
                let spoken = match self.filler.as_mut().and_then(Due::open) {
                    Some(frames) => {
                        self.opened = Some(frames.len());
                        self.frames.extend(frames);
                        Spoken::Opened
                    }
                    None => {
                        self.filled += 1;
                        self.frames.extend(self.filler.iter_mut().flat_map(Due::say));
                        Spoken::Waits(self.reply.waits_for())
                    }
                };
                self.before += ((self.frames.len() - before) * FRAME_SAMPLES) as u64;
                Err(spoken)
            }
        }
    }

    /// Speaks on until the reply ends by itself. Cancel safe: called again, it goes on where it was.
    pub(super) async fn speak(&mut self, voice: &mut Voice) -> Spoken {
        loop {
            let mut has_played = false;
            while !self.is_held_back()
                && let Some(frame) = self.frames.front()
            {
                voice.play(*frame).await;
                match &mut self.opened {
                    Some(left @ 1..) => *left -= 1,
                    _ => has_played = true,
                }
                if self.given.len() == KEPT {
                    self.given.pop_front();
                }
                self.given.extend(self.frames.pop_front());
                self.first_out = self.first_out(voice);
            }
            if has_played {
                let queued = (voice.queued_ms() / FRAME_MS) as usize;
                self.filler.iter_mut().for_each(|filler| filler.wait(queued));
            }
            if self.broken.is_some() {
                if self.hand_over() {
                    continue;
                }
                voice.drained().await;
                return self.broken.take().map_or(Spoken::Whole, Spoken::Broken);
            }
            let step = match self.step().await {
                Ok(step) => step,
                Err(spoken) => return spoken,
            };
            match step {
                Some(Ok(Step::Clause(clause))) => {
                    self.script.begin(&clause);
                    self.audience.iter().for_each(|audience| audience.tell(Happened::Clause(clause.clone())));
                }
                Some(Ok(Step::Samples(samples, words))) => {
                    self.script.made(samples.len() as u64);
                    self.script.timed(words);
                    self.cut(&samples);
                }
                Some(Ok(Step::HangUp)) => self.hang_up = true,
                Some(Ok(Step::Doubtful)) => {
                    if self.is_preceded() || !self.script.is_empty() {
                        voice.drained().await;
                    }
                    return Spoken::Doubtful;
                }
                Some(Ok(Step::Calls(calls))) => return Spoken::Calls(calls),
                Some(Ok(Step::Done)) => return Spoken::Done,
                // Kept, because what was made before is still to be heard, and an interruption may cut that wait.
                Some(Err(error)) => self.broken = Some(error),
                None if self.hand_over() => {}
                None => {
                    self.is_all_given = true;
                    // Less than 20 ms, of which no more counts as heard than there is.
                    voice.play_last(&self.rest).await;
                    self.rest.clear();
                    voice.drained().await;
                    self.first_out = self.first_out(voice);
                    return if self.script.is_empty() { Spoken::Nothing } else { Spoken::Whole };
                }
            }
        }
    }

    /// Whether something was said before it.
    fn is_preceded(&self) -> bool {
        self.filled > 0 || self.opened.is_some()
    }

    /// Nothing of it is heard before all of it is made.
    fn is_held_back(&self) -> bool {
        !self.is_handed_over && self.audience.as_ref().is_some_and(Audience::is_patient)
    }

    /// All of it is made, or as much as will be: whoever takes replies whole is given it, once.
    fn hand_over(&mut self) -> bool {
        if !self.is_held_back() {
            return false;
        }
        self.is_handed_over = true;
        if let Some(audience) = self.audience.as_ref().filter(|_| !self.script.is_empty()) {
            let frames = self.frames.iter().flat_map(|frame| frame.samples().iter().copied());
            let samples = frames.chain(self.rest.iter().copied()).collect();
            audience.tell(Happened::Whole { text: self.script.whole(), samples, mode: self.mode() });
        }
        true
    }

    /// When the first packet of this reply left. A pause or a gap begins a new burst, so the first one seen is kept.
    pub(super) fn first_out(&self, voice: &Voice) -> Option<Instant> {
        let played = voice.played();
        // What was said in place of the reply began the burst.
        let first = if self.is_preceded() { played.last_sent } else { played.first_sent_since_idle };
        self.first_out.or(first.filter(|_| played.samples > self.before))
    }

    fn cut(&mut self, samples: &[i16]) {
        self.rest.extend_from_slice(samples);
        let (frames, rest) = self.rest.as_chunks::<FRAME_SAMPLES>();
        self.frames.extend(frames.iter().map(|samples| Frame::new(*samples)));
        self.rest = rest.to_vec();
    }

    /// The voice was paused, and goes on: at the beginning of the word in which that was, as far as the loudness shows it. What is said
    /// twice counts as heard once.
    pub(super) fn step_back(&mut self, voice: &mut Voice) {
        let queued = (voice.queued_ms() / FRAME_MS) as usize;
        // The last part of the reply is shorter than a frame, and not among those that were given.
        let Some(heard) = self.given.len().checked_sub(queued).filter(|_| !self.is_all_given) else {
            return voice.resume();
        };
        let (from, to) = (heard.saturating_sub(WORD), heard.saturating_sub(FAR));
        let loudness = |frame: &Frame| -> i64 { frame.samples().iter().map(|&s| i64::from(s) * i64::from(s)).sum() };
        let quietest = self.given.range(from..to).enumerate().min_by_key(|(_, frame)| loudness(frame));
        let begin = quietest.map_or(from, |(at, _)| from + at);
        self.most_heard = self.most_heard.max(voice.played().samples.saturating_sub(self.before));
        voice.flush();
        self.before += ((heard - begin) * FRAME_SAMPLES) as u64;
        for frame in self.given.drain(begin..).rev() {
            self.frames.push_front(frame);
        }
    }

    /// How much of the clause that is being spoken is left to be heard.
    fn left(&self, voice: &Voice) -> Duration {
        let waiting = Duration::from_millis(u64::from(self.frames.len() as u32 * FRAME_MS + voice.queued_ms()));
        if !self.reply.is_speaking() {
            return waiting;
        }
        // Not all of it is made: as long as its letters mostly take.
        let (letters, samples) = self.script.newest();
        let made = Duration::from_secs_f64(samples as f64 / f64::from(SAMPLE_RATE));
        waiting + (LETTER * letters).saturating_sub(made)
    }

    /// Whether what is being said is a question, of which no more than this is left.
    pub(super) fn asks(&self, voice: &Voice, left: Duration) -> bool {
        self.script.whole().ends_with('?') && self.left(voice) <= left
    }

    /// What was heard in the last while, and is about to be.
    pub(super) fn recent(&self, voice: &Voice, within: Duration) -> String {
        let played = voice.played().samples.saturating_sub(self.before);
        let samples = (within.as_secs_f64() * f64::from(SAMPLE_RATE)) as u64;
        self.script.between(played.saturating_sub(samples), played + u64::from(SAMPLE_RATE) / 5)
    }

    /// What it is said in.
    pub(super) fn language(&self) -> Language {
        self.reply.language()
    }

    /// What the reply says as far as it was written.
    pub(super) fn text(&self) -> String {
        self.script.whole()
    }

    /// What the caller heard of it up to now.
    pub(super) fn heard(&self, voice: &Voice) -> String {
        self.script.heard(voice.played().samples.saturating_sub(self.before).max(self.most_heard))
    }

    /// Whether the model wants the call to end after this reply.
    pub(super) fn hangs_up(&self) -> bool {
        self.hang_up
    }

    /// Who answered.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.reply.mode()
    }

    /// What the model has taken of tokens since this was asked last, by where it is.
    pub(super) fn taken(&mut self) -> Vec<(Mode, Taken)> {
        self.reply.taken()
    }

    /// Why the local model answered although a server was to.
    pub(super) fn instead(&self) -> Option<&'static str> {
        self.reply.instead()
    }

    /// That whoever answers was told to be short, and why.
    pub(super) fn brief(&self) -> Option<Brief> {
        self.reply.brief()
    }

    /// In what the model's clauses were.
    pub(super) fn tongues(&self) -> &Tongues {
        self.reply.tongues()
    }

    /// Why the reply ended before it was complete.
    pub(super) fn broke_off(&self) -> Option<&EngineError> {
        self.reply.cut()
    }

    /// When the engines first answered.
    pub(super) fn marks(&self) -> Marks {
        self.reply.marks()
    }
}
