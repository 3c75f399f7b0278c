//! The telephone's end of a line: plays what is to be said, keeps what is heard, and knows when which packet went and came.

use std::{
    collections::VecDeque,
    pin::pin,
    time::{Duration, Instant},
};

use milo_media::{BadLine, Closed, FRAME_SAMPLES, Frame, Heard, Leg, SAMPLE_RATE, dbfs, resample::Resampler};
use milo_signaling::InfoKeys;
use tokio::{select, time::timeout};

use crate::press::{self, PressBy};

/// A 20 ms frame above this level is voiced; the same threshold as the outside yardsticks use.
const VOICED_DBFS: f32 = -45.0;
/// A voice has begun when so many of five frames are voiced.
const OF_FIVE: usize = 3;

/// What is said begins and ends with the 5 ms of it that are voiced, as the outside yardsticks have it: 20 ms of a word that
/// dies away are no voice on the whole, and yet the caller was still speaking.
const UTTERED_SAMPLES: usize = SAMPLE_RATE as usize / 200;

/// Whether anything in these 16 kHz samples would be heard as a voice.
pub(crate) fn voiced(samples: &[i16]) -> bool {
    Frame::cut(samples).any(|frame| uttered(&frame))
}

fn uttered(frame: &Frame) -> bool {
    frame.samples().chunks(UTTERED_SAMPLES).any(|window| dbfs(window) > VOICED_DBFS)
}

/// One frame that was heard.
#[derive(Clone, Copy, Debug)]
struct Note {
    arrived: Instant,
    voiced: bool,
}

/// A telephone that is connected.
pub(crate) struct Line {
    leg: Leg,
    outgoing: VecDeque<Frame>,
    info: InfoKeys,
    far: Far,
}

/// What came from the far side.
struct Far {
    heard: Vec<i16>,
    notes: Vec<Note>,
    /// When the newest frame arrived; it is judged with the next one.
    newest: Option<Instant>,
    /// By how many samples a frame lies behind the packet that it came in, for the resampling of 8 kHz codecs. What is judged is
    /// the packet: the outside yardsticks see nothing else, and a voice that begins at its end is in the next frame.
    behind: usize,
    /// The keys that it pressed.
    keys: String,
    closed: Option<Closed>,
}

impl Far {
    fn take(&mut self, heard: Heard) {
        match heard {
            Heard::Frame(frame) => {
                self.heard.extend(frame.frame.samples());
                if let Some(arrived) = self.newest.replace(frame.arrived) {
                    let from = self.notes.len() * FRAME_SAMPLES + self.behind;
                    let voiced = dbfs(&self.heard[from..from + FRAME_SAMPLES]) > VOICED_DBFS;
                    self.notes.push(Note { arrived, voiced });
                }
            }
            Heard::Closed(why) => self.closed = Some(why),
            Heard::Digit(key) => self.keys.push(key),
            Heard::Held | Heard::Resumed => {}
        }
    }
}

/// A file that was played: when its first and last voiced packets left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Uttered {
    pub(crate) first: Instant,
    pub(crate) last: Instant,
}

/// A stretch of the far side's voice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    from: usize,
    to: usize,
}

impl Line {
    /// `early` is what was heard on this leg before the answer.
    pub(crate) fn new(leg: Leg, info: InfoKeys, early: Vec<Heard>) -> Self {
        let rate = leg.control.codec().map_or(SAMPLE_RATE, |codec| codec.sample_rate);
        let behind = Resampler::new(rate, SAMPLE_RATE).map_or(0, |resampler| resampler.delay());
        let (heard, notes, keys) = (Vec::new(), Vec::new(), String::new());
        let mut far = Far { heard, notes, newest: None, behind, keys, closed: None };
        early.into_iter().for_each(|heard| far.take(heard));
        Self { leg, outgoing: VecDeque::new(), info, far }
    }

    /// What was heard so far, 16 kHz.
    pub(crate) fn heard(&self) -> &[i16] {
        &self.far.heard
    }

    /// The keys that the far side pressed.
    pub(crate) fn keys(&self) -> &str {
        &self.far.keys
    }

    /// The sound of a stretch.
    pub(crate) fn sound(&self, stretch: Stretch) -> &[i16] {
        &self.far.heard[stretch.from * FRAME_SAMPLES..(stretch.to + 1) * FRAME_SAMPLES]
    }

    /// Why the line ended, if it did.
    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.far.closed.as_ref()
    }

    /// What is said from now on goes over this line.
    pub(crate) fn impair(&self, line: BadLine) {
        self.leg.control.impair(line);
    }

    pub(crate) fn stats(&self) -> milo_media::LegStats {
        self.leg.control.stats()
    }

    /// How many frames were heard: where a search for a voice may begin.
    pub(crate) fn position(&self) -> usize {
        self.far.notes.len()
    }

    /// One event: a frame heard or a frame queued.
    async fn step(&mut self) {
        let next = self.outgoing.front().copied();
        let playing = next.is_some();
        select! {
            heard = self.leg.ears.next() => self.far.take(heard),
            () = self.leg.voice.play(next.unwrap_or(Frame::SILENCE)), if playing => {
                self.outgoing.pop_front();
            }
        }
    }

    /// Listens for a while.
    pub(crate) async fn listen(&mut self, duration: Duration) {
        timeout(duration, async {
            while self.far.closed.is_none() {
                self.step().await;
            }
        })
        .await
        .ok();
    }

    /// Presses these keys; says when the last one was up and which way they went, `None` when the line ended.
    pub(crate) async fn press(&mut self, keys: &str, by: PressBy) -> Option<(Instant, &'static str)> {
        let (control, info) = (self.leg.control.clone(), self.info.clone());
        // Nothing is queued to be played while keys are pressed, so the voice can be lent.
        let Self { leg: Leg { ears, voice, .. }, far, .. } = self;
        let mut pressing = pin!(press::press(voice, &control, &info, (keys, by)));
        while far.closed.is_none() {
            select! {
                pressed = &mut pressing => {
                    return pressed.ok().map(|way| (tokio::time::Instant::now().into_std(), way));
                }
                heard = ears.next() => far.take(heard),
            }
        }
        None
    }

    /// Plays 16 kHz samples and says when their first and last voiced packet left; `None` when nothing in them is voiced or
    /// the line ended.
    pub(crate) async fn utter(&mut self, samples: &[i16]) -> Option<Uttered> {
        // What leaves lies behind what is played by the same filter's delay: the packet is judged here too.
        let leaving: Vec<_> = Frame::cut(&[vec![0; self.far.behind].as_slice(), samples].concat()).collect();
        let first = leaving.iter().position(uttered)?;
        let last = leaving.iter().rposition(uttered)?;
        let mut frames: Vec<_> = Frame::cut(samples).collect();
        frames.resize(leaving.len(), Frame::SILENCE);
        let base = self.leg.voice.played().samples;
        let left = |frame: usize| base + ((frame + 1) * FRAME_SAMPLES) as u64;
        self.outgoing.extend(frames);
        let mut began = None;
        while self.far.closed.is_none() {
            self.step().await;
            let played = self.leg.voice.played();
            let at = |frame: usize| {
                let since = (played.samples - left(frame)) * 1_000_000 / u64::from(SAMPLE_RATE);
                played.last_sent.and_then(|sent| sent.checked_sub(Duration::from_micros(since)))
            };
            if began.is_none() && played.samples >= left(first) {
                began = at(first);
            }
            if played.samples >= left(last) {
                // What follows is the file's own silence, which the line sends anyhow.
                self.outgoing.clear();
                return Some(Uttered { first: began?, last: at(last)? });
            }
        }
        None
    }

    /// Waits for a voice that begins at or after frame `from` and after the instant `since`.
    pub(crate) async fn voice(&mut self, from: usize, since: Option<Instant>, patience: Duration) -> Option<usize> {
        let search = async {
            loop {
                let begins = |at: usize| {
                    let five = &self.far.notes[at..(at + 5).min(self.far.notes.len())];
                    five[0].voiced
                        && since.is_none_or(|since| five[0].arrived > since)
                        && five.iter().filter(|note| note.voiced).count() >= OF_FIVE
                };
                if let Some(at) = (from..self.far.notes.len()).find(|at| begins(*at)) {
                    return Some(at);
                }
                if self.far.closed.is_some() {
                    return None;
                }
                self.step().await;
            }
        };
        timeout(patience, search).await.ok().flatten()
    }

    /// Waits until nothing voiced came for `settle`, and says how long the voice that began at frame `from` went on.
    pub(crate) async fn silence(&mut self, from: usize, settle: Duration, patience: Duration) -> Stretch {
        let quiet = (settle.as_millis() / 20) as usize;
        timeout(patience, async {
            while self.far.closed.is_none() && self.far.notes.len() - self.last_voiced(from) <= quiet {
                self.step().await;
            }
        })
        .await
        .ok();
        let to = self.last_voiced(from);
        Stretch { began: self.far.notes[from].arrived, ended: self.far.notes[to].arrived, from, to }
    }

    fn last_voiced(&self, from: usize) -> usize {
        self.far.notes[from..].iter().rposition(|note| note.voiced).map_or(from, |at| from + at)
    }

    /// When the last voiced frame at or after frame `from` arrived before a pause of `gap`.
    pub(crate) async fn stops(&mut self, from: usize, gap: Duration, patience: Duration) -> Option<Instant> {
        let frames = (gap.as_millis() / 20) as usize;
        let search = async {
            loop {
                let mut last = None;
                for (at, note) in self.far.notes.iter().enumerate().skip(from) {
                    if note.voiced {
                        last = Some(at);
                    } else if at - last.unwrap_or(from) >= frames {
                        return last.map(|last| self.far.notes[last].arrived);
                    }
                }
                if self.far.closed.is_some() {
                    return last.map(|last| self.far.notes[last].arrived);
                }
                self.step().await;
            }
        };
        timeout(patience, search).await.ok().flatten()
    }

    /// Waits until the far side hangs up or packets end.
    pub(crate) async fn until_closed(&mut self) {
        while self.far.closed.is_none() {
            self.step().await;
        }
    }
}
