//! When each token was said: the decoder reads its own transcript once more, and what some of its heads look at in the sound meanwhile is
//! laid along the sound by dynamic time warping (Sakoe and Chiba 1978), as OpenAI does for Whisper.
//!
//! ```text
//!  a row a token ─► each sums to 1 over the sound ─► mean 0, variance 1 over the tokens ─► median of 7 frames ─► mean of the heads
//!                                                                        the path that sees most ─► where each row begins
//! ```

use std::ops::Range;

use ort::value::DynValue;

use super::{
    ENGINE, SAMPLES_PER_MS,
    decode::{Decoder, Heard},
};
use crate::{engine::EngineError, onnx::decoder::Attention};

/// One position of the encoder.
pub(super) const FRAME_MS: usize = 20;
/// Frames of which the middle one is taken, so that a single glance elsewhere counts for nothing.
const MEDIAN: usize = 7;

impl Decoder {
    /// Where each of a transcript's tokens of text begins, in frames from the beginning of the window, and where the last one ends. The
    /// window has so many samples of sound.
    pub(super) fn moments(
        &mut self,
        hidden: &DynValue,
        heard: &Heard,
        samples: usize,
    ) -> Result<Vec<usize>, EngineError> {
        let mut line = self.prompt(heard.language)?;
        if line.last() != Some(&self.tokens.no_timestamps) {
            line.push(self.tokens.no_timestamps);
        }
        // What a row looks at is what it foretells: the last one of the prompt is the first token's.
        let first = line.len() - 1;
        line.extend(heard.tokens.iter().copied().filter(|id| self.tokens.seconds(*id).is_none()));
        line.truncate(self.model.positions());
        let attention = self.model.decoder.attention(hidden, &line)?;
        let frames = samples.div_ceil(FRAME_MS * SAMPLES_PER_MS);
        starts(&attention, first..line.len(), frames).ok_or_else(|| EngineError::Failed {
            engine: ENGINE,
            reason: "the decoder's attention to the sound is none".into(),
        })
    }
}

/// The frame, of so many from the beginning, where each of these rows begins; none where the attention does not have them, or is no
/// numbers.
pub(super) fn starts(attention: &Attention, rows: Range<usize>, frames: usize) -> Option<Vec<usize>> {
    let frames = frames.clamp(1, attention.positions.max(1));
    let mut sum = vec![0.0_f32; rows.len() * frames];
    for head in 0..attention.heads {
        let looks = rows.clone().map(|row| attention.row(head, row).and_then(|row| row.get(..frames)));
        let mut weights = looks.collect::<Option<Vec<_>>>()?.concat();
        if weights.iter().any(|weight| !weight.is_finite()) {
            return None;
        }
        weights.chunks_exact_mut(frames).for_each(to_one);
        normalise(&mut weights, frames);
        for (sums, row) in sum.chunks_exact_mut(frames).zip(weights.chunks_exact(frames)) {
            sums.iter_mut().zip(medians(row)).for_each(|(sum, median)| *sum += median);
        }
    }
    let cost: Vec<f32> = sum.iter().map(|sum| -sum / attention.heads as f32).collect();
    (attention.heads > 0 && !rows.is_empty()).then(|| along(&cost, frames))
}

/// What is looked at behind the sound is left out: the rest is all.
fn to_one(row: &mut [f32]) {
    let total: f32 = row.iter().sum();
    if total > 0.0 {
        row.iter_mut().for_each(|weight| *weight /= total);
    }
}

/// Over the tokens: what all of them look at says nothing of one.
fn normalise(weights: &mut [f32], frames: usize) {
    let rows = (weights.len() / frames) as f32;
    for frame in 0..frames {
        let column = || weights.iter().skip(frame).step_by(frames);
        let mean = column().sum::<f32>() / rows;
        let deviation = (column().map(|weight| (weight - mean).powi(2)).sum::<f32>() / rows).sqrt();
        for weight in weights.iter_mut().skip(frame).step_by(frames) {
            *weight = if deviation > 0.0 { (*weight - mean) / deviation } else { 0.0 };
        }
    }
}

/// The median around each frame; at both ends the sound is mirrored, and what is shorter than half a window stays as it is.
fn medians(row: &[f32]) -> Vec<f32> {
    const BESIDE: usize = MEDIAN / 2;
    if row.len() <= BESIDE {
        return row.to_vec();
    }
    let last = row.len() - 1;
    let around = |at: usize| {
        let mut window = [0.0; MEDIAN];
        for (offset, value) in window.iter_mut().enumerate() {
            let place = (at + offset).abs_diff(BESIDE);
            *value = row[if place > last { 2 * last - place } else { place }];
        }
        window.sort_unstable_by(f32::total_cmp);
        window[BESIDE]
    };
    (0..row.len()).map(around).collect()
}

/// How a path came to a place.
#[derive(Clone, Copy)]
enum Step {
    Both,
    Row,
    Frame,
}

/// The frame where each row begins on the cheapest path from the first row and frame to the last ones, along which neither ever goes back.
fn along(cost: &[f32], frames: usize) -> Vec<usize> {
    let rows = cost.len() / frames;
    let mut steps = vec![Step::Frame; cost.len()];
    let mut before = vec![f32::INFINITY; frames + 1];
    before[0] = 0.0;
    for (row, costs) in cost.chunks_exact(frames).enumerate() {
        let mut own = vec![f32::INFINITY; frames + 1];
        for (frame, cost) in costs.iter().enumerate() {
            let (both, up, left) = (before[frame], before[frame + 1], own[frame]);
            let (step, so_far) = if both < up && both < left {
                (Step::Both, both)
            } else if up < both && up < left {
                (Step::Row, up)
            } else {
                (Step::Frame, left)
            };
            steps[row * frames + frame] = step;
            own[frame + 1] = cost + so_far;
        }
        before = own;
    }
    let mut starts = vec![0; rows];
    let (mut row, mut frame) = (rows - 1, frames - 1);
    loop {
        starts[row] = frame;
        let step = match steps[row * frames + frame] {
            _ if row == 0 => Step::Frame,
            _ if frame == 0 => Step::Row,
            step => step,
        };
        match step {
            Step::Frame if frame == 0 => return starts,
            Step::Frame => frame -= 1,
            Step::Row => row -= 1,
            Step::Both => (row, frame) = (row - 1, frame - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One head that looks at these places, one a row, and a little everywhere.
    fn looking(places: &[Range<usize>], positions: usize) -> Attention {
        let rows = places.iter().flat_map(|place| {
            (0..positions).map(|at| if place.contains(&at) { 1.0 } else { 0.01 } / (place.len() as f32))
        });
        Attention { heads: 1, rows: places.len(), positions, weights: rows.collect() }
    }

    #[test]
    fn each_row_begins_where_it_begins_to_look() {
        let attention = looking(&[0..10, 10..22, 22..40, 40..50], 60);
        assert_eq!(starts(&attention, 0..4, 50), Some(vec![0, 10, 22, 40]));
        assert_eq!(starts(&attention, 1..4, 50), Some(vec![0, 22, 40]), "the first one has what is before it");
        assert_eq!(starts(&attention, 0..1, 50), Some(vec![0]));
    }

    #[test]
    fn a_glance_elsewhere_counts_for_nothing() {
        let mut attention = looking(&[0..10, 10..22, 22..40], 40);
        attention.weights[35] = 30.0;
        attention.weights[2 * 40 + 2] = 30.0;
        assert_eq!(starts(&attention, 0..3, 40), Some(vec![0, 10, 22]));
    }

    #[test]
    fn what_is_no_attention_has_no_times() {
        let attention = looking(&[0..10, 10..22], 40);
        assert_eq!(starts(&attention, 0..3, 40), None, "a row that is not there");
        assert_eq!(starts(&Attention { heads: 0, ..looking(&[0..10, 10..20], 40) }, 0..1, 40), None);
        assert_eq!(starts(&attention, 1..1, 40), None, "no row");
        let mut broken = looking(&[0..10, 10..22], 40);
        broken.weights[50] = f32::NAN;
        assert_eq!(starts(&broken, 0..2, 40), None);
        assert_eq!(starts(&attention, 0..2, 0), Some(vec![0, 0]), "a moment of sound is one frame");
        let flat = Attention { heads: 1, rows: 2, positions: 40, weights: vec![1.0; 80] };
        assert!(starts(&flat, 0..2, 40).is_some_and(|starts| starts[0] == 0 && starts[1] < 40));
    }

    #[test]
    fn medians_are_mirrored_at_both_ends() {
        assert_eq!(medians(&[9.0, 1.0, 2.0]), [9.0, 1.0, 2.0]);
        // 3 2 1 0 1 2 3 around the first of 0 1 2 3 4.
        assert_eq!(medians(&[0.0, 1.0, 2.0, 3.0, 4.0]), [2.0, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(medians(&[0.0, 0.0, 0.0, 0.0, 50.0, 0.0, 0.0, 0.0])[4], 0.0);
    }
}
