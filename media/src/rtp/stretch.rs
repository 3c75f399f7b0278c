//! A little less or a little more of the same sound, at the same pitch (WSOLA).
//!
//! To leave something out, the sound fades over 7.5 ms from itself to itself 2.5 to 12.5 ms later; to say something
//! twice, to itself as much earlier. How much later or earlier is where the two are most alike: a pitch period, or a few
//! of them. Nothing is searched for unless something is to be left out or repeated.

/// The shortest and the longest piece that is left out or repeated, in quarters of a millisecond.
const LAG: (usize, usize) = (10, 50);
/// What the sound fades over, in quarters of a millisecond. With the longest piece it is 20 ms: one frame shows it all.
const OVERLAP: usize = 30;
/// Root mean square below which any place will do (about -47 dBFS).
const QUIET: i64 = 150;

/// Where a piece can be left out or repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Splice {
    /// Samples of the piece.
    pub(super) lag: usize,
    /// How alike the two ends are, from -1 to 1; 1 where it is quiet.
    pub(super) likeness: f32,
}

/// Knows the lengths at one rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    /// Samples that the sound fades over.
    pub(super) overlap: usize,
    /// Samples of the shortest piece.
    pub(super) shortest: usize,
    /// Samples of the longest piece.
    pub(super) longest: usize,
}

impl Stretch {
    /// For audio of this rate in Hz.
    pub(super) fn new(rate: u32) -> Self {
        let quarter = |count: usize| count * rate as usize / 4000;
        Self { overlap: quarter(OVERLAP), shortest: quarter(LAG.0), longest: quarter(LAG.1) }
    }

    /// The best piece of at most `most` samples to leave out of `sound` from its beginning on; looks at 20 ms.
    pub(super) fn omission(&self, sound: &[i16], most: usize) -> Option<Splice> {
        let most = most.min(self.longest);
        let (own, later) = (sound.get(..self.overlap)?, sound.get(self.shortest..most + self.overlap)?);
        let (offset, likeness) = most_alike(own, later)?;
        Some(Splice { lag: self.shortest + offset, likeness })
    }

    /// The best piece to say twice: of the sound up to `overlap` samples from its end on. Looks at 20 ms.
    pub(super) fn repetition(&self, sound: &[i16]) -> Option<Splice> {
        let now = sound.len().checked_sub(self.overlap)?;
        let earlier = sound.get(now.checked_sub(self.longest)?..now - self.shortest + self.overlap)?;
        let (offset, likeness) = most_alike(&sound[now..], earlier)?;
        Some(Splice { lag: self.longest - offset, likeness })
    }

    /// Leaves this many samples out of `sound` from its beginning on; `sound` is shorter by them afterwards.
    pub(super) fn leave_out(&self, lag: usize, sound: &mut Vec<i16>, from: usize) {
        let (head, tail) = sound[from..].split_at_mut(lag.max(self.overlap));
        for index in 0..self.overlap {
            let later = if index + lag < head.len() { head[index + lag] } else { tail[index + lag - head.len()] };
            head[index] = self.fade(head[index], later, index);
        }
        let end = sound.len();
        sound.copy_within(from + self.overlap + lag..end, from + self.overlap);
        sound.truncate(end - lag);
    }

    /// The last `overlap` samples of `out` are the last of `recent` too; from the first of them on, this many samples of
    /// `recent` are said again. `out` is longer by them afterwards, and what comes next goes on behind them.
    pub(super) fn repeat(&self, lag: usize, recent: &[i16], out: &mut Vec<i16>) {
        let (from, now) = (out.len() - self.overlap, recent.len() - self.overlap);
        for index in 0..self.overlap {
            out[from + index] = self.fade(recent[now + index], recent[now + index - lag], index);
        }
        out.extend_from_slice(&recent[recent.len() - lag..]);
    }

    fn fade(&self, from: i16, to: i16, index: usize) -> i16 {
        let share = (index + 1) as i32 * 1024 / (self.overlap + 1) as i32;
        ((i32::from(from) * (1024 - share) + i32::from(to) * share) >> 10) as i16
    }
}

/// Where in `search` the sound is most like `own` (normalised correlation), and how alike.
fn most_alike(own: &[i16], search: &[i16]) -> Option<(usize, f32)> {
    let quiet = QUIET * QUIET * own.len() as i64;
    let power = product(own, own);
    let mut there = product(search.get(..own.len())?, &search[..own.len()]);
    let mut best: Option<(usize, f32)> = None;
    for (offset, window) in search.windows(own.len()).enumerate() {
        let likeness = if power.max(there) < quiet {
            1.0
        } else {
            product(own, window) as f32 / ((power as f32).sqrt() * (there as f32).sqrt()).max(1.0)
        };
        // Of places equally alike the later one: the more is left out at once, or the less repeated.
        if best.is_none_or(|(_, least)| likeness >= least) {
            best = Some((offset, likeness));
        }
        if let Some(&next) = search.get(offset + own.len()) {
            there += i64::from(next).pow(2) - i64::from(window[0]).pow(2);
        }
    }
    best
}

fn product(one: &[i16], other: &[i16]) -> i64 {
    one.iter().zip(other).map(|(&one, &other)| i64::from(i32::from(one) * i32::from(other))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f32, rate: u32, count: usize) -> Vec<i16> {
        let step = std::f32::consts::TAU * hertz / rate as f32;
        (0..count).map(|at| (8000.0 * (step * at as f32).sin()) as i16).collect()
    }

    /// The steepest step from sample to sample, and that of the tone itself.
    fn steepest(sound: &[i16]) -> i32 {
        sound.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap_or(0)
    }

    /// The frequency by counting the zeros passed upwards.
    fn hertz(sound: &[i16], rate: u32) -> f32 {
        let ups: Vec<usize> = (1..sound.len()).filter(|&at| sound[at - 1] < 0 && sound[at] >= 0).collect();
        (ups.len() - 1) as f32 * rate as f32 / (ups[ups.len() - 1] - ups[0]) as f32
    }

    #[test]
    fn a_tone_is_shortened_and_lengthened_without_a_step_and_keeps_its_pitch() {
        for rate in [8000, 16_000] {
            let stretch = Stretch::new(rate);
            let frame = rate as usize / 50;
            for pitch in [110.0, 263.0, 437.0, 1000.0, 1633.0] {
                let line = tone(pitch, rate, frame * 100);
                let (mut shorter, mut longer) = (Vec::new(), Vec::new());
                let mut at = 0;
                while at + 2 * frame < line.len() {
                    let splice = stretch.omission(&line[at..at + frame], frame).expect("a frame shows all");
                    assert!(splice.likeness > 0.95, "{pitch} Hz at {rate}: {splice:?}");
                    let start = shorter.len();
                    shorter.extend_from_slice(&line[at..at + frame + splice.lag]);
                    stretch.leave_out(splice.lag, &mut shorter, start);
                    assert_eq!(shorter.len(), start + frame);
                    at += frame + splice.lag;
                }
                let mut at = frame;
                while at + frame < line.len() {
                    let recent = &line[at + stretch.overlap - frame..at + stretch.overlap];
                    let splice = stretch.repetition(recent).expect("a frame shows all");
                    assert!(splice.likeness > 0.95, "{pitch} Hz at {rate}: {splice:?}");
                    longer.extend_from_slice(&line[at..at + stretch.overlap]);
                    stretch.repeat(splice.lag, recent, &mut longer);
                    longer.extend_from_slice(&line[at + stretch.overlap..at + frame]);
                    at += frame;
                }
                assert!(shorter.len() < line.len() * 9 / 10 && longer.len() > line.len() * 10 / 9);
                for changed in [&shorter, &longer] {
                    assert!(steepest(changed) <= steepest(&line) * 21 / 20 + 40, "{pitch} Hz at {rate}");
                    assert!((hertz(changed, rate) / pitch - 1.0).abs() < 0.01, "{} Hz", hertz(changed, rate));
                }
            }
        }
    }

    #[test]
    fn silence_may_be_cut_anywhere_and_a_click_is_like_nothing() {
        let stretch = Stretch::new(8000);
        assert_eq!(stretch.omission(&[3; 160], 160), Some(Splice { lag: 100, likeness: 1.0 }));
        let mut click = [0; 160];
        click[30] = 20_000;
        assert!(stretch.omission(&click, 160).is_some_and(|splice| splice.likeness < 0.1));
        assert_eq!(stretch.omission(&[3; 160], 10), None, "less than the shortest piece");
        assert_eq!(stretch.repetition(&[3; 159]), None);
    }
}
