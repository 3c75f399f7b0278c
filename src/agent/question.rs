//! One question that may be answered in words: what is asked is heard while the caller is listened to, who may speak into it.

use std::{future::pending, sync::Arc, time::Duration};

use milo_media::Voice;
use milo_models::{
    engine::{EngineError, Language},
    queue::Wanted,
    transcriber::{Listen, Transcript},
};
use tokio::{
    select,
    time::{Instant, sleep_until},
};

use super::{
    Decision, Ear,
    begun::{Early, guess, transcribe},
    ear::Noticed,
    mouth::{Mouth, Spoken},
    reply::Reply,
    stopgap::SILENCE,
};
use crate::engines::Engines;

/// A part of what is asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Words, for the voice.
    Words(String),
    /// A sound of 16 kHz.
    Sound(Arc<[i16]>),
}

/// How a question is asked.
pub struct Question<'a> {
    /// The engines of the whole process.
    pub engines: &'a Engines,
    /// The language in which it is asked.
    pub language: Language,
    /// The language that is listened for; none: either.
    pub expects: Option<Language>,
    /// How long the first word may take once everything is asked.
    pub first: Duration,
    /// Whether a key is an answer.
    pub takes_keys: bool,
    /// When the call ends at the latest.
    pub until: Instant,
    /// What is heard while words are not understood yet, and after how long; where it is empty, nothing.
    pub wait: (Arc<[i16]>, Duration),
}

/// What came of it.
#[derive(Debug)]
pub enum Answer {
    /// Words, or none that were understood.
    Words(Transcript),
    /// A key, in place of words.
    Key(char),
    /// Nobody said anything.
    Silence,
    /// An engine failed, and nobody has told the caller.
    Failed(EngineError),
    /// The longest call was reached.
    TimeUp,
    /// The leg has closed.
    Closed,
}

impl Question<'_> {
    /// Asks, and waits for what is said. Every key is told to `key`. The voice is quiet, and plays on, afterwards.
    pub async fn ask(&self, asked: &[Asked], ear: &mut Ear, voice: &mut Voice, key: impl Fn(char)) -> Answer {
        let answer = self.listen(asked, ear, voice, key).await;
        voice.flush();
        // An onset may have left it paused.
        voice.resume();
        answer
    }

    async fn listen(&self, asked: &[Asked], ear: &mut Ear, voice: &mut Voice, key: impl Fn(char)) -> Answer {
        let mut rest = asked.iter();
        let mut mouth = rest.next().map(|part| self.mouth(part, voice));
        let (mut early, mut over) = (Early::None, false);
        let mut wanted = Wanted::default();
        let mut quiet = Instant::now() + self.first;
        let mut due = None;
        loop {
            if over && let Early::Done(transcript) = early {
                ear.answered();
                return transcript.map_or_else(Answer::Failed, Answer::Words);
            }
            let is_asked = mouth.is_none();
            let speaking = async {
                match &mut mouth {
                    Some(mouth) => mouth.speak(voice).await,
                    None => pending().await,
                }
            };
            let noticed = select! {
                biased;
                noticed = ear.next() => noticed,
                () = early.work() => continue,
                spoken = speaking => {
                    if let Spoken::Broken(error) = spoken {
                        return Answer::Failed(error);
                    }
                    mouth = rest.next().map(|part| self.mouth(part, voice));
                    quiet = Instant::now() + self.first;
                    continue;
                }
                () = sleep_until(due.unwrap_or(self.until)), if over && is_asked && due.is_some() => {
                    due = Some(Instant::now() + SILENCE);
                    mouth = Some(self.mouth(&Asked::Sound(Arc::clone(&self.wait.0)), voice));
                    continue;
                }
                () = sleep_until(quiet), if is_asked && !over && !ear.speaking() => return Answer::Silence,
                () = sleep_until(self.until) => return Answer::TimeUp,
            };
            match noticed {
                // They had not finished.
                Noticed::Turn(Decision::Confirmed) if over && ear.take_up() => {
                    (early, over, mouth) = (Early::None, false, None);
                    voice.flush();
                }
                Noticed::Turn(_) if over => {}
                Noticed::Turn(Decision::Onset) => voice.pause(),
                Noticed::Turn(Decision::Retracted) => voice.resume(),
                Noticed::Turn(Decision::Confirmed) => {
                    // They know what is asked.
                    (mouth, rest) = (None, [].iter());
                    voice.flush();
                    voice.resume();
                }
                Noticed::Turn(Decision::LikelyEnd) => {
                    wanted = Wanted::perhaps();
                    early = Early::Working(transcribe(self.engines, ear.turn(), guess(self.expects, &wanted)));
                }
                Noticed::Turn(Decision::Resumed) => early = Early::None,
                Noticed::Turn(Decision::End) => {
                    let deadline = (Instant::now() + self.wait.1).into_std();
                    wanted.confirm(deadline);
                    if matches!(early, Early::None) {
                        let by = Listen { wanted: Wanted::by(deadline), ..Listen::to(self.expects) };
                        early = Early::Working(transcribe(self.engines, ear.turn(), by));
                    }
                    ear.set_aside();
                    over = true;
                    due = (!self.wait.0.is_empty()).then(|| Instant::now() + self.wait.1);
                }
                Noticed::Digit(digit) => {
                    key(digit);
                    if self.takes_keys {
                        return Answer::Key(digit);
                    }
                }
                Noticed::Held => quiet = self.until,
                Noticed::Resumed => quiet = Instant::now() + self.first,
                Noticed::Deaf(error) => return Answer::Failed(error),
                Noticed::Closed(_) => return Answer::Closed,
            }
        }
    }

    fn mouth(&self, part: &Asked, voice: &Voice) -> Mouth {
        let synthesizer = &self.engines.voice;
        let reply = match part {
            Asked::Words(words) => Reply::words(words, synthesizer, self.language),
            Asked::Sound(sound) => Reply::phrase("", Arc::clone(sound), synthesizer, self.language),
        };
        Mouth::new(reply, voice)
    }
}
