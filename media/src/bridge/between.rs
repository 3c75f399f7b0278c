//! Somebody who stands between the two, an interpreter: hears each of them, and speaks to each beside the other.

use std::sync::Arc;

use crate::{Closed, Ears, Frame, Heard, HeardFrame, Voice, ears::EarsQueue, leg::now, voice::VoiceQueue};

/// One party of a bridge, as whoever stands between the two has it.
#[derive(Debug)]
pub struct Beside {
    /// What the party says, and its holds; keys are not among it. It closes when nobody stands between them any more.
    pub ears: Ears,
    /// What is said to the party over what it hears of the other. It waits while the party has us on hold.
    pub voice: Voice,
}

/// The same, as the bridge has it.
#[derive(Debug)]
pub(super) struct Between {
    says: Arc<EarsQueue>,
    is_told: Arc<VoiceQueue>,
    /// A factor: how loud the party hears the other.
    loudness: f32,
}

impl Between {
    /// Between this party and the other, whom it hears so many dB below what they say; none: not at all.
    pub(super) fn begin(original_db: Option<f32>) -> (Self, Beside) {
        let (says, is_told) = (Arc::new(EarsQueue::default()), Arc::new(VoiceQueue::default()));
        let beside = Beside { ears: Ears::new(says.clone()), voice: Voice::new(is_told.clone()) };
        let loudness = original_db.map_or(0.0, |db| 10f32.powf(db.min(0.0) / 20.0));
        (Self { says, is_told, loudness }, beside)
    }

    /// The party has said this.
    pub(super) fn hear(&self, heard: HeardFrame) {
        self.says.push_frame(heard);
    }

    /// The party has us on hold, or no longer.
    pub(super) fn learn(&self, event: Heard) {
        self.says.push_event(event);
    }

    /// What the party hears next: 20 ms of the other, and over it what it is told, unless it hears nothing now.
    pub(super) fn over(&self, original: &Frame, is_held: bool) -> Frame {
        let told = if is_held { None } else { self.is_told.pop(now()) };
        over(original, self.loudness, told)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.says.close(Closed::Dropped);
        self.is_told.end();
    }
}

/// Both together; where they are too loud, the sum is held at full scale.
fn over(original: &Frame, loudness: f32, told: Option<Frame>) -> Frame {
    let mut frame = told.unwrap_or_default();
    for (sample, original) in frame.samples_mut().iter_mut().zip(original.samples()) {
        *sample = sample.saturating_add((f32::from(*original) * loudness) as i16);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FRAME_SAMPLES;

    fn frame(sample: i16) -> Frame {
        Frame::new([sample; FRAME_SAMPLES])
    }

    #[tokio::test]
    async fn the_other_is_heard_quietly_or_not_at_all_under_what_is_told() {
        for (original_db, alone, with) in [(None, 0, 500), (Some(-20.0), 1_000, 1_500), (Some(6.0), 10_000, 10_500)] {
            let (between, mut beside) = Between::begin(original_db);
            let is = |is_held: bool, wanted: i16| {
                let heard = between.over(&frame(10_000), is_held).samples()[7];
                assert!((heard - wanted).abs() <= 1, "{original_db:?}: {heard} is not {wanted}");
            };
            is(false, alone);
            beside.voice.play(frame(500)).await;
            // On hold it waits.
            is(true, alone);
            is(false, with);
        }
        assert_eq!(over(&frame(30_000), 1.0, Some(frame(30_000))).samples()[0], i16::MAX);
    }

    #[tokio::test]
    async fn whoever_stands_between_them_learns_that_it_is_over() {
        let (between, mut beside) = Between::begin(None);
        beside.voice.play(frame(500)).await;
        drop(between);
        assert!(matches!(beside.ears.next().await, Heard::Closed(Closed::Dropped)));
        beside.voice.drained().await;
    }
}
