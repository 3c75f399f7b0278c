//! Somebody is listened to whom nobody talks with: what they say tells who they are.

use std::mem;

use milo_models::transcriber::Listen;
use tokio::select;

use super::{
    Decision, Ear,
    begun::{Early, transcribe},
    ear::Noticed,
};
use crate::engines::Engines;

/// The transcript of what is overheard, while it is on its way.
#[derive(Default)]
pub struct Overhearing {
    early: Early,
}

impl Overhearing {
    /// Listens until something is noticed besides their voice. Cancel safe.
    pub async fn next(&mut self, ear: &mut Ear, engines: &Engines) -> Noticed {
        loop {
            let noticed = select! {
                biased;
                noticed = ear.next() => noticed,
                () = self.early.work() => {
                    if let Early::Done(Ok(transcript)) = mem::take(&mut self.early) {
                        ear.understood(&transcript.text);
                    }
                    continue;
                }
            };
            match noticed {
                // One after the other: what one lacks the next has, and the last has all.
                Noticed::Turn(Decision::LikelyEnd) if matches!(self.early, Early::Working(_)) => {}
                Noticed::Turn(Decision::LikelyEnd | Decision::End) => {
                    self.early = Early::Working(transcribe(engines, ear.turn(), Listen::default()));
                }
                Noticed::Turn(_) => {}
                noticed => return noticed,
            }
        }
    }
}
