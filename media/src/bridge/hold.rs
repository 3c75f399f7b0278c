//! What a party hears while the other one has put us on hold: music, unless the other sends something itself.

use std::{
    fmt,
    future::pending,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;

use crate::{Control, Frame, Voice, leg::now};

/// A holder of which fewer packets than that come in such a time sends nothing to listen to: comfort noise and what keeps a
/// NAT open come one by one, sound at least each 60 ms.
const WINDOW: Duration = Duration::from_millis(300);
const SOUND: u64 = 4;

type Frames = Box<dyn Iterator<Item = Frame> + Send>;

/// Music for whoever waits: makes the frames of one hold, which should have no end.
pub struct Music(Box<dyn Fn() -> Frames + Send>);

impl Music {
    /// What gives the frames, from their beginning, each time that somebody has to wait.
    pub fn new<I>(frames: impl Fn() -> I + Send + 'static) -> Self
    where
        I: Iterator<Item = Frame> + Send + 'static,
    {
        Self(Box::new(move || Box::new(frames())))
    }
}

impl fmt::Debug for Music {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Music")
    }
}

/// The hold of one party.
#[derive(Default)]
pub(super) struct Hold(Option<Waiting>);

/// What the other party hears meanwhile.
struct Waiting {
    frames: Frames,
    /// Waits for room in the voice.
    next: Option<Frame>,
    /// Packets of the holder's when the present window began, and when that was.
    received: u64,
    began: Instant,
    plays: bool,
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hold").field(&self.0.as_ref().map(|waiting| waiting.plays)).finish()
    }
}

impl Hold {
    /// The hold begins.
    pub(super) fn begin(&mut self, music: &Music, holder: &Control) {
        let received = holder.stats().received;
        self.0 = Some(Waiting { frames: music.0(), next: None, received, began: now(), plays: false });
    }

    /// It is over: what was to be played into this voice is not.
    pub(super) fn end(&mut self, voice: &mut Voice) {
        if self.0.take().is_some_and(|waiting| waiting.plays) {
            voice.flush();
        }
    }

    /// Whether music is played, and what comes of the holder is nothing.
    pub(super) fn plays(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.plays)
    }

    /// Plays into this voice for as long as the hold lasts and the holder sends nothing. Cancel safe.
    pub(super) async fn play(&mut self, holder: &Control, voice: &mut Voice) {
        let Some(waiting) = &mut self.0 else { return pending().await };
        loop {
            let received = holder.stats().received;
            let (sounds, over) = (received - waiting.received >= SOUND, now() >= waiting.began + WINDOW);
            if sounds || over {
                (waiting.received, waiting.began) = (received, now());
                if sounds && std::mem::take(&mut waiting.plays) {
                    voice.flush();
                }
                waiting.plays = !sounds;
            }
            if !waiting.plays {
                sleep_until((waiting.began + WINDOW).into()).await;
                continue;
            }
            let Some(frame) = waiting.next.take().or_else(|| waiting.frames.next()) else { return pending().await };
            waiting.next = Some(frame);
            voice.play(frame).await;
            waiting.next = None;
        }
    }
}
