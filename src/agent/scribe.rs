//! Writes down what somebody says whom nobody answers here: one of two people who talk with each other.

use std::{collections::VecDeque, future::pending, time::Instant};

use milo_media::{Cleaning, Ears};
use milo_models::{
    engine::EngineError,
    transcriber::{Listen, Transcribing, Transcript},
};
use tokio::select;

use super::{Ear, Patience, begun::transcribe, ear::Noticed, endpoint::Decision};
use crate::{engines::Engines, store::Stamp};

/// Turns that wait for their words at once: a transcriber that is further behind is not asked for more.
const WAITING: usize = 4;

/// What somebody has said.
#[derive(Debug)]
pub struct Uttered {
    /// When they had.
    pub at: Stamp,
    /// When it was heard, from where to where.
    pub speech: (Option<Instant>, Option<Instant>),
    /// Its words.
    pub transcript: Transcript,
}

/// Listens to one of them.
pub struct Scribe<'e> {
    ear: Ear,
    engines: &'e Engines,
    waiting: VecDeque<Waiting>,
    is_closed: bool,
}

/// A turn that is on its way to its words.
struct Waiting {
    at: Stamp,
    speech: (Option<Instant>, Option<Instant>),
    transcribing: Transcribing,
}

impl<'e> Scribe<'e> {
    /// Listens by these ears. What is heard is cleaned first.
    pub fn new(ears: Ears, cleaning: Cleaning, engines: &'e Engines, patience: Patience) -> Self {
        let ear = Ear::new(ears, cleaning, engines.activity.stream(), patience);
        Self { ear, engines, waiting: VecDeque::new(), is_closed: false }
    }

    /// What was said next. After the end of the leg nothing comes any more, but for what waited. Cancel safe.
    ///
    /// # Errors
    /// Of one turn, or of voice activity; the next may be written down.
    pub async fn next(&mut self) -> Result<Uttered, EngineError> {
        loop {
            let Self { ear, waiting, is_closed, .. } = self;
            let noticed = select! {
                uttered = first(waiting) => match uttered {
                    Some(uttered) => return uttered,
                    None => continue,
                },
                noticed = ear.next(), if !*is_closed => noticed,
            };
            match noticed {
                Noticed::Turn(Decision::End) => self.end()?,
                Noticed::Deaf(error) => return Err(error),
                Noticed::Closed(_) => self.is_closed = true,
                Noticed::Turn(_) | Noticed::Digit(_) | Noticed::Held | Noticed::Resumed => {}
            }
        }
    }

    /// Nobody listens any more: what is being said is written down as far as it came.
    ///
    /// # Errors
    /// It is not, since too much waits.
    pub fn finish(&mut self) -> Result<(), EngineError> {
        if self.ear.speaking() { self.end() } else { Ok(()) }
    }

    /// What still waits of what was said; `None` when nothing does. Cancel safe.
    pub async fn rest(&mut self) -> Option<Result<Uttered, EngineError>> {
        while !self.waiting.is_empty() {
            if let Some(uttered) = first(&mut self.waiting).await {
                return Some(uttered);
            }
        }
        None
    }

    /// They have finished.
    fn end(&mut self) -> Result<(), EngineError> {
        let (speech, sound) = (self.ear.speech(), self.ear.turn());
        self.ear.set_aside();
        self.ear.answered();
        if self.waiting.len() == WAITING {
            return Err(EngineError::Overloaded { engine: "transcriber", waiting: WAITING });
        }
        let transcribing = transcribe(self.engines, sound, Listen::default());
        self.waiting.push_back(Waiting { at: Stamp::now(), speech, transcribing });
        Ok(())
    }
}

/// The words of the first that waits, once they are there; `None` where it was none. Cancel safe.
async fn first(waiting: &mut VecDeque<Waiting>) -> Option<Result<Uttered, EngineError>> {
    let Some(next) = waiting.front_mut() else { return pending().await };
    let transcript = (&mut next.transcribing).await;
    let Waiting { at, speech, .. } = waiting.pop_front()?;
    match transcript {
        Ok(transcript) if transcript.text.trim().is_empty() => None,
        transcript => Some(transcript.map(|transcript| Uttered { at, speech, transcript })),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milo_models::engine::Language;
    use tokio::time::{sleep, timeout};

    use super::*;

    fn turn(words: &'static str, after: Duration) -> Waiting {
        let transcribing: Transcribing = Box::pin(async move {
            sleep(after).await;
            Ok(Transcript::written(words.into(), Language::Mg))
        });
        Waiting { at: Stamp::now(), speech: (None, None), transcribing }
    }

    #[tokio::test(start_paused = true)]
    async fn words_come_in_the_order_in_which_they_were_said_and_noise_has_none() {
        let mut waiting: VecDeque<_> = [
            turn("voalohany", Duration::from_secs(3)),
            turn(" ", Duration::ZERO),
            turn("farany", Duration::from_secs(1)),
        ]
        .into();
        // Whoever is interrupted while they wait loses nothing.
        assert!(timeout(Duration::from_secs(1), first(&mut waiting)).await.is_err());
        let words =
            |uttered: Option<Result<Uttered, EngineError>>| uttered.map(|one| one.expect("words").transcript.text);
        assert_eq!(words(first(&mut waiting).await).as_deref(), Some("voalohany"));
        assert_eq!(words(first(&mut waiting).await), None);
        assert_eq!(words(first(&mut waiting).await).as_deref(), Some("farany"));
        assert!(waiting.is_empty());
    }
}
