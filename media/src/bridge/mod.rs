//! Two parties who hear each other.
//!
//! Where both agreed on the same codec and packet length, packets pass from one leg to the other without being decoded: the
//! payload as it came, under the numbers of the leg that sends it, and a hole where one was lost. Else each is decoded, and
//! spoken to the other in the codec of theirs. A re-INVITE may change from one to the other at any moment. Whoever is on hold
//! is sent nothing, and the other hears music, if there is any, or what the holder sends ([`Bridge::music`]).
//!
//! A key crosses once, however it is told. Where packets pass, those of telephone-event (RFC 4733) do if the other party
//! agreed on it, on the clock of theirs. Tones stay in the audio for a party that has no events. Whatever the other party would
//! not learn of so is pressed for it: as an event, or as tones.
//!
//! Somebody may stand between the two ([`Bridge::between`]): then nothing passes as it came, each hears the other quietly or not
//! at all, and what is said to them over it.

mod between;
mod hold;

use std::sync::Arc;

use tokio::{select, sync::mpsc};

use crate::{
    Closed, Heard, HeardFrame, Leg,
    leg::patch::{Patch, Wire},
};

pub use between::Beside;
use between::Between;
use hold::Hold;
pub use hold::Music;

/// Frames that may wait between two legs: one that was just heard, one that leaves next.
const FRAMES: usize = 2;
/// After so many frames in a row that found another one waiting, the one that waits is too many: it only adds delay.
const CROWDED: u32 = 50;
/// As many more are allowed for a quiet place to give it up in; then any place will do.
const PATIENCE: u32 = 50;
/// Below this a frame is missed by nobody.
const QUIET_DBFS: f32 = -45.0;

/// One of the two parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

/// Where somebody listens besides: who said it, and what. Full, it misses frames; the parties never wait for it.
pub type Tap = mpsc::Sender<(Side, HeardFrame)>;

/// What happens on a bridge besides the talking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bridged {
    /// A key was pressed. The other party learns of it without more ado.
    Digit(Side, char),
    /// A party has put us on hold.
    Held(Side),
    /// Its hold is over.
    Resumed(Side),
    /// A party's leg has ended. The other is still up.
    Closed(Side, Closed),
}

/// Joins two legs, until [`Bridge::part`] or the drop of the bridge. What is queued in either voice is said first.
pub fn bridge(a: Leg, b: Leg, tap: Option<Tap>) -> Bridge {
    let (there, back) = (Arc::new(Wire::default()), Arc::new(Wire::default()));
    let end = |leg, out| End { leg, out, crowded: 0, hold: Hold::default(), between: None, closed: None };
    let bridge = Bridge { a: end(a, there), b: end(b, back), tap, music: None };
    bridge.plug();
    bridge
}

/// Two joined legs. Somebody has to ask for what happens next: that is what carries the frames.
#[derive(Debug)]
pub struct Bridge {
    a: End,
    b: End,
    tap: Option<Tap>,
    music: Option<Music>,
}

#[derive(Debug)]
struct End {
    leg: Leg,
    out: Arc<Wire>,
    /// Frames in a row that found another one waiting in the other's voice.
    crowded: u32,
    hold: Hold,
    /// Who stands between this party and the other.
    between: Option<Between>,
    closed: Option<Closed>,
}

impl Bridge {
    /// What a party hears, from now on, whom the other puts on hold without sending anything itself. Else it hears silence.
    pub fn music(&mut self, music: Music) {
        self.music = Some(music);
    }

    /// Somebody stands between the two from now on, who hears each and speaks to each: the first party, and the second. Each hears
    /// the other so many dB below what they say (none: not at all). Keys, holds and music stay as they are.
    pub fn between(&mut self, original_db: Option<f32>) -> [Beside; 2] {
        let besides = [&mut self.a, &mut self.b].map(|end| {
            let (between, beside) = Between::begin(original_db);
            end.between = Some(between);
            beside
        });
        self.plug();
        besides
    }

    /// Nobody does any more: they hear each other as ever.
    pub fn alone(&mut self) {
        (self.a.between, self.b.between) = (None, None);
        self.plug();
    }

    /// Joins the two legs' tasks.
    fn plug(&self) {
        let (tapped, apart) = (self.tap.is_some(), self.a.between.is_some());
        for (end, other) in [(&self.a, &self.b), (&self.b, &self.a)] {
            let patch = Patch { out: end.out.clone(), back: other.out.clone(), tapped, apart };
            end.leg.control.bay.plug(Some(patch));
        }
    }

    /// Carries what is said until something else happens. After a leg has closed, it says so again. Cancel safe.
    pub async fn next(&mut self) -> Bridged {
        loop {
            for (side, end) in [(Side::A, &self.a), (Side::B, &self.b)] {
                if let Some(closed) = &end.closed {
                    return Bridged::Closed(side, closed.clone());
                }
            }
            let (side, heard) = select! {
                heard = self.a.leg.ears.next() => (Side::A, heard),
                heard = self.b.leg.ears.next() => (Side::B, heard),
                () = self.a.hold.play(&self.a.leg.control, &mut self.b.leg.voice) => continue,
                () = self.b.hold.play(&self.b.leg.control, &mut self.a.leg.voice) => continue,
            };
            match heard {
                Heard::Frame(frame) => self.carry(side, frame),
                Heard::Digit(digit) => return Bridged::Digit(side, digit),
                Heard::Held => {
                    let from = if side == Side::A { &mut self.a } else { &mut self.b };
                    self.music.iter().for_each(|music| from.hold.begin(music, &from.leg.control));
                    from.between.iter().for_each(|between| between.learn(Heard::Held));
                    return Bridged::Held(side);
                }
                Heard::Resumed => {
                    let (from, to) = self.ends(side);
                    from.hold.end(&mut to.leg.voice);
                    from.between.iter().for_each(|between| between.learn(Heard::Resumed));
                    return Bridged::Resumed(side);
                }
                Heard::Closed(closed) => self.ends(side).0.closed = Some(closed),
            }
        }
    }

    /// Whether what this side says passes without being decoded for the other.
    pub fn passes(&self, side: Side) -> bool {
        match side {
            Side::A => self.a.out.is_passing(),
            Side::B => self.b.out.is_passing(),
        }
    }

    /// Parts the two.
    pub fn part(self) -> (Leg, Leg) {
        let Self { mut a, mut b, .. } = self;
        a.hold.end(&mut b.leg.voice);
        b.hold.end(&mut a.leg.voice);
        (a.unplugged(), b.unplugged())
    }

    /// Says to the other side what this one said.
    fn carry(&mut self, side: Side, heard: HeardFrame) {
        if let Some(tap) = &self.tap {
            // A tap that is full or gone is its owner's matter.
            let _ = tap.try_send((side, heard));
        }
        let (from, to) = self.ends(side);
        from.between.iter().for_each(|between| between.hear(heard));
        if from.out.is_passing() || from.hold.plays() {
            return;
        }
        let over = to.between.as_ref().map(|between| between.over(&heard.frame, to.leg.control.is_held()));
        let frame = over.unwrap_or(heard.frame);
        let crowded = to.leg.voice.push(frame, FRAMES);
        from.crowded = if crowded { from.crowded + 1 } else { 0 };
        let quiet = || frame.dbfs() < QUIET_DBFS;
        if from.crowded >= CROWDED + PATIENCE || from.crowded >= CROWDED && quiet() {
            to.leg.voice.give_up_oldest();
            from.crowded = 0;
        }
    }

    /// This side and the other one.
    fn ends(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::A => (&mut self.a, &mut self.b),
            Side::B => (&mut self.b, &mut self.a),
        }
    }
}

impl End {
    fn unplugged(self) -> Leg {
        self.leg.control.bay.plug(None);
        self.leg
    }
}
