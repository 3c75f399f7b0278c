//! What the caller hears in place of what is not there yet: that they are not forgotten, once the turn has spent its budget
//! (`[conversation] filler_ms`), and again whenever nothing comes for long.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use milo_media::{FRAME_MS, Frame, Voice};
use milo_models::engine::Language;
use tokio::time::Instant;

use super::{Persona, Phrase, SetPhrases};

/// Nobody hears nothing for longer than this while it is Milo's turn: whatever stands still, something is said.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// Between a few words and what is said in place of a reply.
const BETWEEN: Duration = Duration::from_secs(1);

/// When so many frames will have been heard.
fn after(frames: usize) -> Instant {
    Instant::now() + Duration::from_millis(u64::from(FRAME_MS) * frames as u64)
}

/// When it is due, and its sound.
#[derive(Clone)]
pub(crate) struct Due {
    at: Instant,
    sound: Arc<[i16]>,
    /// A few words before that, and when ([`super::opener`]).
    opener: Option<(Instant, Arc<[i16]>)>,
}

impl Due {
    /// What this persona says where nothing has come by then: its `wait`, or, where it has nothing to say to that, its apology, later.
    /// Without a persona, what suits everybody.
    pub(crate) fn of(persona: Option<&Persona>, phrases: &SetPhrases, language: Language, at: Instant) -> Option<Self> {
        let Some(persona) = persona else { return Self::new(at, phrases.plain_wait(language)) };
        let sound = |phrase| phrases.sound(persona, phrase, language);
        Self::new(at, sound(Phrase::Wait)).or_else(|| Self::new(at + SILENCE, sound(Phrase::Apology)))
    }

    /// None where there is nothing to be heard.
    pub(super) fn new(at: Instant, sound: Arc<[i16]>) -> Option<Self> {
        (!sound.is_empty()).then_some(Self { at, sound, opener: None })
    }

    /// The same, and these words before it.
    pub(super) fn opened(self, at: Instant, sound: Arc<[i16]>) -> Self {
        Self { opener: Some((at, sound)).filter(|(at, _)| *at < self.at), ..self }
    }

    /// When the next of it is due.
    pub(super) fn at(&self) -> Instant {
        self.opener.as_ref().map_or(self.at, |(at, _)| *at)
    }

    /// The words before it are said now: their frames. What follows them keeps some distance.
    pub(super) fn open(&mut self) -> Option<Vec<Frame>> {
        let (_, sound) = self.opener.take()?;
        let frames: Vec<_> = Frame::cut(&sound).collect();
        self.at = self.at.max(after(frames.len()) + BETWEEN);
        Some(frames)
    }

    /// It is said now: its frames. It is due again when nothing has come long after them.
    pub(super) fn say(&mut self) -> impl Iterator<Item = Frame> + use<> {
        let frames: Vec<_> = Frame::cut(&self.sound).collect();
        self.wait(frames.len());
        frames.into_iter()
    }

    /// So many frames are heard first.
    pub(super) fn wait(&mut self, frames: usize) {
        (self.at, self.opener) = (after(frames) + SILENCE, None);
    }
}

/// The same where there is no reply yet that it could be a part of: a transcript is awaited, or a program of the operator's.
#[derive(Default)]
pub(crate) struct Stopgap {
    due: Option<Due>,
    frames: VecDeque<Frame>,
    /// How often something was said.
    said: usize,
}

impl Stopgap {
    /// Of what is awaited.
    pub(crate) fn new(due: Option<Due>) -> Self {
        Self { due, ..Self::default() }
    }

    /// When the next thing is to be said.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.as_ref().filter(|_| self.frames.is_empty()).map(Due::at)
    }

    /// It is said from now on.
    pub(crate) fn say(&mut self) {
        if let Some(due) = &mut self.due {
            self.frames.extend(due.say());
            self.said += 1;
        }
    }

    /// Whether this has not been heard to its end.
    pub(crate) fn is_speaking(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Says it. Cancel safe: called again, it goes on where it was.
    pub(crate) async fn speak(&mut self, voice: &mut Voice) {
        while let Some(frame) = self.frames.front() {
            voice.play(*frame).await;
            self.frames.pop_front();
        }
    }

    /// How often something was said.
    pub(crate) fn said(&self) -> usize {
        self.said
    }

    /// What is left of it to be said, for the reply that comes.
    pub(super) fn into_rest(self) -> VecDeque<Frame> {
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use milo_media::FRAME_SAMPLES;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_said_when_it_is_due_and_again_when_it_was_heard_and_nothing_came() {
        let now = Instant::now();
        let sound: Arc<[i16]> = vec![1; 50 * FRAME_SAMPLES].into();
        assert!(Due::new(now, Arc::new([])).is_none(), "a persona may have nothing to say");
        let mut stopgap = Stopgap::new(Due::new(now + Duration::from_secs(2), sound));
        assert_eq!(stopgap.due(), Some(now + Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        stopgap.say();
        assert_eq!((stopgap.due(), stopgap.is_speaking(), stopgap.said()), (None, true, 1));
        // The voice of no leg takes as long as any other.
        stopgap.speak(&mut Voice::default()).await;
        assert!(!stopgap.is_speaking());
        assert_eq!(stopgap.due(), Some(now + Duration::from_secs(2 + 1) + SILENCE));
        stopgap.say();
        assert_eq!((stopgap.said(), stopgap.into_rest().len()), (2, 50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_words_come_before_it_once_and_it_keeps_some_distance() {
        let now = Instant::now();
        let (sound, words): (Arc<[i16]>, Arc<[i16]>) =
            (vec![1; 50 * FRAME_SAMPLES].into(), vec![2; 25 * FRAME_SAMPLES].into());
        let due = || Due::new(now + Duration::from_secs(1), Arc::clone(&sound)).expect("a sound");
        let mut opened = due().opened(now, Arc::clone(&words));
        assert_eq!((opened.at(), opened.open().map(|frames| frames.len())), (now, Some(25)));
        assert_eq!((opened.at(), opened.open()), (now + Duration::from_millis(1_500), None));
        let mut heard = due().opened(now, Arc::clone(&words));
        heard.wait(0);
        assert!(heard.open().is_none(), "the reply has begun");
        assert!(due().opened(now + Duration::from_secs(1), words).open().is_none(), "it is time for more");
    }
}
