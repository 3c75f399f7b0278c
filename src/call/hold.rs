//! The verb `hold`: the caller waits with music, for a while or until somebody takes the call.

use std::time::Duration;

use milo_media::Heard;
use milo_signaling::SignalingError;
use serde_json::json;
use tokio::{select, time::Instant};

use super::{
    House, Record,
    verbs::{Line, Waiting, heard},
};
use crate::dialplan::Hold;

impl Line {
    /// Waits. Who takes the caller meanwhile ends it.
    pub(super) async fn hold(&mut self, hold: &Hold, house: &House, log: &Record) {
        let began = Instant::now();
        let music = Waiting::of(&hold.files, &self.edition, house, log).await;
        let told = hold.tell && self.tell_of_hold(true, log).await;
        let late = self.until.min(began + Duration::from_secs(hold.seconds));
        let mut ticket = house.waiters.hold(log.key());
        let mut frames = music.frames();
        let mut next = frames.next();
        let (why, taker) = loop {
            let Self { ears, voice, .. } = self;
            let speaking = async {
                if let Some(frame) = next {
                    voice.play(frame).await;
                }
            };
            select! {
                taker = ticket.offered() => {
                    if told {
                        self.tell_of_hold(false, log).await;
                    }
                    if self.lend(taker, log).await {
                        break ("taken", true);
                    }
                    ticket.again();
                }
                () = speaking => next = frames.next(),
                heard = heard(ears, late) => match heard {
                    Some(Heard::Digit(key)) => {
                        log.digit(key);
                        if hold.ends.contains(key) {
                            break ("key", false);
                        }
                    }
                    Some(_) => {}
                    None => break ("time", false),
                },
            }
        };
        drop(ticket);
        self.voice.flush();
        if told && !taker {
            self.tell_of_hold(false, log).await;
        }
        log.event("hold", json!({ "ended": why, "told": told, "after_ms": began.elapsed().as_millis() as u64 }));
    }

    /// Tells the caller's telephone that it is on hold, or no longer is (RFC 3264 section 8.4). Says whether it agreed; where it
    /// does not, the music is heard all the same.
    async fn tell_of_hold(&mut self, on: bool, log: &Record) -> bool {
        let Self { ears, other, until, .. } = self;
        let telling = async { if on { other.hold().await } else { other.resume().await } };
        // What the caller says meanwhile is of no interest, the end of the leg is.
        let listening = async { while heard(ears, *until).await.is_some() {} };
        let agreed = select! {
            agreed = telling => agreed,
            () = listening => return false,
        };
        if let Err(error) = &agreed {
            let status = match error {
                SignalingError::Refused { code } => Some(*code),
                _ => None,
            };
            log.event("hold_refused", json!({ "on": on, "status": status }));
        }
        agreed.is_ok()
    }
}
