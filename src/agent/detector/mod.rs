//! Who has answered a call: told by the sound of the far side and by its words, beside the conversation, which begins
//! as for a person.
//!
//! ```text
//!  frames ─► tones: beep, busy, SIT, fax ───────┐
//!         ─► voice activity ─► rhythm ──────────┼─► Verdict ─► the log; whoever holds the line, where it is no person
//!  transcripts ─► wordings of dialplans/answering┘
//!
//!  a machine:  greeting … ─┬─ beep ──────────────────────────► Speak(Beep): the message, whole
//!                          └─ none, and silence for long ────► Speak(Silence) ─┬─ a beep: from its beginning again
//!                                                                              ├─ the greeting goes on: Wait
//!                                                                              └─ somebody speaks into it: a person
//! ```
//! No clock: frames are counted, so that a test takes no time.

mod rhythm;

use std::{sync::Arc, time::Duration};

use milo_media::{
    FRAME_MS, Frame,
    tone::{LineTone, Listener},
};
use tokio::sync::mpsc;

use crate::dialplan::Wordings;
use rhythm::{Beat, Rhythm, Utterance, frames};

/// Notices that wait. Whoever follows them takes each at once; full, the newest is lost.
const NOTICES: usize = 8;

// Tuned on one half of `models/evaluation/answering/`; the other one has the figures (`milo eval answering`).
/// Whoever speaks for so long without a pause reads something out: at first; where it seemed a person; and in answer to
/// what Milo has said.
const LONG: u32 = frames(4_600);
const LONGER: u32 = frames(7_000);
const LONGEST: u32 = frames(9_000);
/// Whoever says no more than this at first and then waits is a person.
const SHORT: u32 = frames(4_200);
/// Who it is is decided by then.
const LISTENS: u32 = frames(30_000);
/// So often an answer to what Milo has said makes a person beyond doubt.
const ANSWERS: u32 = 2;
/// A beep means a machine where so much of a voice was heard before it.
const GREETING: u32 = frames(800);
/// An announcement of the network is one when so long after its words no message may be left.
const ANNOUNCED: u32 = frames(3_000);

/// Silence that a message is spoken into where no beep has come; and once it was waited for so long, this much less.
const NO_BEEP: u32 = frames(4_000);
const WAITED: u32 = frames(30_000);
const ENDED: u32 = frames(1_000);
/// Speech so long into a message that no beep has opened is the greeting, which goes on.
const GOES_ON: u32 = frames(3_000);
/// So many short sentences, each behind so much silence, where a machine was waited for, are a person's.
const TURNS: u32 = 2;
const TURN: u32 = frames(2_600);
const TURN_BEHIND: u32 = frames(1_500);

/// Who has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answerer {
    /// Somebody.
    Person,
    /// A machine that takes messages.
    Machine,
    /// A machine that wants keys.
    Ivr,
    /// A fax.
    Fax,
    /// The network, with a signal or an announcement.
    Network,
    /// Nothing has told it.
    Unknown,
}

impl Answerer {
    /// Its name in the log and in plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Machine => "machine",
            Self::Ivr => "ivr",
            Self::Fax => "fax",
            Self::Network => "network",
            Self::Unknown => "unknown",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who it is.
    pub who: Answerer,
    /// What has told it.
    pub why: String,
    /// How long was listened until then.
    pub after: Duration,
}

/// Behind what a message is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// A beep.
    Beep,
    /// The end of the greeting.
    Silence,
}

impl Cue {
    /// Its name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Beep => "beep",
            Self::Silence => "silence",
        }
    }
}

/// What whoever holds the line is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is known who has answered, or it is somebody else than was thought.
    Answered(Verdict),
    /// A message is spoken from now on, from its beginning.
    Speak(Cue),
    /// The greeting goes on: what of the message was spoken is lost.
    Wait,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Milo talks with whoever it is.
    Talks,
    /// A machine's greeting is waited for to end, since that frame; so many short sentences came meanwhile.
    Waits { since: u32, turns: u32 },
    /// A message is spoken, since that frame.
    Speaks { cue: Cue, since: u32 },
    /// It is decided.
    Settled,
}

/// Listens to the far side of one call.
pub struct Detector {
    tones: Listener,
    rhythm: Rhythm,
    wordings: Arc<Wordings>,
    now: u32,
    who: Answerer,
    stage: Stage,
    /// How long somebody speaks says nothing any more: a person was taken for a machine.
    was_wrong: bool,
    /// Its length alone has made it a machine: its words may make it a menu of keys, or the network.
    is_guess: bool,
    answers: u32,
    utterances: u32,
    /// Until when it listens.
    until: u32,
    /// The network has said this; it counts from then on.
    announced: Option<(String, u32)>,
    notices: mpsc::Sender<Notice>,
}

impl Detector {
    /// One that has heard nothing, but for a tone before the answer, if there was one; and what it tells.
    pub fn new(wordings: Arc<Wordings>, early: Option<LineTone>) -> (Self, mpsc::Receiver<Notice>) {
        let (notices, told) = mpsc::channel(NOTICES);
        let mut detector = Self {
            tones: Listener::default(),
            rhythm: Rhythm::default(),
            wordings,
            now: 0,
            who: Answerer::Unknown,
            stage: Stage::Talks,
            was_wrong: false,
            is_guess: false,
            answers: 0,
            utterances: 0,
            until: LISTENS,
            announced: None,
            notices,
        };
        // Behind a busy signal somebody may still come, behind an announcement nobody does.
        if let Some(why) = early.filter(|tone| *tone == LineTone::SpecialInformation).and_then(network) {
            detector.is(Answerer::Network, format!("{why}, before the answer"));
        }
        (detector, told)
    }

    /// Who it is, as far as is known.
    pub fn who(&self) -> Answerer {
        self.who
    }

    /// Whether that is decided, and it listens no more.
    pub fn is_settled(&self) -> bool {
        self.stage == Stage::Settled
    }

    /// How long it has listened.
    pub fn listened(&self) -> Duration {
        Duration::from_millis(u64::from(self.now * FRAME_MS))
    }

    /// What voice activity says of what was heard last, 0 to 1.
    pub fn judge(&mut self, probability: f32) {
        self.rhythm.judge(probability);
    }

    /// 20 ms were heard, while Milo was heard or was not.
    pub fn hear(&mut self, frame: &Frame, is_ours: bool) {
        if self.is_settled() {
            return;
        }
        self.now += 1;
        let tone = self.tones.push(frame);
        let beat = self.rhythm.hear(is_ours);
        tone.into_iter().for_each(|tone| self.sounded(tone));
        let is_open = self.stage == Stage::Talks || self.is_waited_for();
        let now = self.now;
        if let Some((said, _)) = self.announced.take_if(|(_, due)| is_open && *due <= now) {
            self.is(Answerer::Network, format!("it said {said:?}"));
        }
        match self.stage {
            Stage::Talks => self.talked(beat),
            Stage::Waits { since, turns } => self.waited(beat, since, turns),
            Stage::Speaks { cue: Cue::Silence, since } => self.spoke(beat, since),
            // A machine that has beeped takes the message, whatever is heard of it.
            Stage::Speaks { cue: Cue::Beep, .. } | Stage::Settled => {}
        }
    }

    /// These words were understood.
    pub fn read(&mut self, words: &str) {
        let is_waited_for = self.is_waited_for();
        if self.stage != Stage::Talks && !(is_waited_for && self.is_guess) {
            return;
        }
        let wordings = Arc::clone(&self.wordings);
        match wordings.of(words) {
            Some((Answerer::Network, said)) => {
                self.announced.get_or_insert((said.to_owned(), self.now + ANNOUNCED));
            }
            Some((Answerer::Machine, _)) if is_waited_for => (self.is_guess, self.announced) = (false, None),
            Some((who, said)) => self.is(who, format!("it said {said:?}")),
            None => {}
        }
    }

    /// Whether it is taken for a machine that has not beeped yet.
    fn is_waited_for(&self) -> bool {
        matches!(self.stage, Stage::Waits { .. } | Stage::Speaks { cue: Cue::Silence, .. })
    }

    fn sounded(&mut self, tone: LineTone) {
        match (tone, self.stage) {
            (LineTone::Fax, Stage::Talks | Stage::Waits { .. }) => self.is(Answerer::Fax, "the tone of a fax".into()),
            (LineTone::Busy | LineTone::SpecialInformation, Stage::Talks | Stage::Waits { .. }) => {
                network(tone).into_iter().for_each(|why| self.is(Answerer::Network, why.into()));
            }
            // Whoever has answered what was said is no machine: telephones beep, too.
            (LineTone::Beep, Stage::Talks) if self.answers == 0 && self.rhythm.heard() >= GREETING => {
                self.is(Answerer::Machine, "a beep behind its words".into());
                self.speak(Cue::Beep);
            }
            (LineTone::Beep, Stage::Waits { .. } | Stage::Speaks { cue: Cue::Silence, .. }) => self.speak(Cue::Beep),
            _ => {}
        }
    }

    /// Milo talks with whoever it is.
    fn talked(&mut self, beat: Beat) {
        match beat {
            // A menu of keys reads out what it wants, over and over.
            _ if self.who == Answerer::Ivr => {}
            Beat::Speaks(utterance) if self.reads_out(utterance) => {
                self.is_guess = true;
                self.is(Answerer::Machine, format!("it spoke for {} without a pause", seconds(utterance)));
            }
            Beat::Spoke(utterance) if utterance.is_answer => {
                self.answers += 1;
                self.is(Answerer::Person, "it answered what was said".into());
                if self.answers == ANSWERS {
                    self.stage = Stage::Settled;
                }
            }
            Beat::Spoke(utterance) => {
                self.utterances += 1;
                if self.utterances == 1 && utterance.frames() <= SHORT && self.who == Answerer::Unknown {
                    self.is(Answerer::Person, format!("it spoke for {} and waited", seconds(utterance)));
                }
            }
            Beat::Speaks(_) | Beat::Silent(_) => {}
        }
        if self.stage == Stage::Talks && self.now >= self.until {
            self.stage = Stage::Settled;
        }
    }

    /// Whether what is being said is longer than a person speaks there.
    fn reads_out(&self, utterance: Utterance) -> bool {
        let long = match self.who {
            _ if utterance.is_answer => LONGEST,
            Answerer::Person => LONGER,
            _ => LONG,
        };
        let is_known = self.was_wrong || self.answers > 0 || self.announced.is_some();
        !is_known && utterance.frames() >= long
    }

    /// A machine's greeting is waited for to end.
    fn waited(&mut self, beat: Beat, since: u32, turns: u32) {
        match beat {
            // What the network has said is waited for to be all.
            Beat::Silent(_) if self.announced.is_some() => {}
            Beat::Silent(frames) if frames >= NO_BEEP || (self.now - since >= WAITED && frames >= ENDED) => {
                self.speak(Cue::Silence);
            }
            Beat::Spoke(utterance) if utterance.behind >= TURN_BEHIND && utterance.frames() <= TURN => {
                self.stage = Stage::Waits { since, turns: turns + 1 };
                if turns + 1 == TURNS {
                    self.was_person("it speaks in turns");
                }
            }
            Beat::Spoke(_) => self.stage = Stage::Waits { since, turns: 0 },
            Beat::Speaks(_) | Beat::Silent(_) => {}
        }
    }

    /// A message is spoken that no beep has opened.
    fn spoke(&mut self, beat: Beat, since: u32) {
        match beat {
            Beat::Speaks(utterance) if utterance.from > since && utterance.frames() >= GOES_ON => {
                self.stage = Stage::Waits { since: self.now, turns: 0 };
                self.tell(Notice::Wait);
            }
            Beat::Spoke(utterance) if utterance.from > since => self.was_person("it spoke into the message"),
            _ => {}
        }
    }

    fn speak(&mut self, cue: Cue) {
        self.stage = Stage::Speaks { cue, since: self.now };
        self.tell(Notice::Speak(cue));
    }

    /// What was taken for a machine is a person.
    fn was_person(&mut self, why: &str) {
        (self.was_wrong, self.is_guess) = (true, false);
        (self.stage, self.until) = (Stage::Talks, self.now + LISTENS);
        self.is(Answerer::Person, why.into());
    }

    /// It is known who has answered.
    fn is(&mut self, who: Answerer, why: String) {
        if self.who == who {
            return;
        }
        self.who = who;
        if who != Answerer::Person {
            self.announced = None;
        }
        match who {
            Answerer::Machine => self.stage = Stage::Waits { since: self.now, turns: 0 },
            Answerer::Fax | Answerer::Network => self.stage = Stage::Settled,
            // It may have been waited for as a machine.
            Answerer::Ivr => (self.stage, self.until) = (Stage::Talks, self.now + LISTENS),
            Answerer::Person | Answerer::Unknown => {}
        }
        self.tell(Notice::Answered(Verdict { who, why, after: self.listened() }));
    }

    fn tell(&self, notice: Notice) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.notices.try_send(notice) {
            tracing::warn!("nobody follows who has answered a call; a notice was lost");
        }
    }
}

/// What a tone of the network says.
pub fn network(tone: LineTone) -> Option<&'static str> {
    match tone {
        LineTone::Busy => Some("a busy signal"),
        LineTone::SpecialInformation => Some("the three tones before an announcement (SIT)"),
        LineTone::Beep | LineTone::Fax => None,
    }
}

fn seconds(utterance: Utterance) -> String {
    format!("{:.1} s", f64::from(utterance.frames() * FRAME_MS) / 1e3)
}

impl std::fmt::Debug for Detector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Detector").field("who", &self.who).field("stage", &self.stage).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
