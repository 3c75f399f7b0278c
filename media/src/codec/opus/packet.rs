//! The shape of an Opus packet (RFC 6716 section 3): what it holds is known before anything is decoded, and a packet that
//! breaks a rule of section 3.4 is malformed.

/// Longest frame in bytes.
const LONGEST: usize = 1275;
/// Samples in 120 ms at 16 kHz: the most that one packet holds.
const MOST: usize = 1920;

/// Which of its two codecs speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// SILK, alone or below CELT (hybrid).
    Silk,
    /// CELT alone.
    Celt,
}

/// One packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    mode: Mode,
    stereo: bool,
    /// Samples of one frame at 16 kHz.
    frame_samples: usize,
    frames: usize,
    /// The first frame, without its header.
    first: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads the header; `None` for a packet that breaks a rule.
    pub(super) fn parse(payload: &'a [u8]) -> Option<Self> {
        let (&header, rest) = payload.split_first()?;
        let configuration = usize::from(header >> 3);
        let (mode, frame_samples) = match configuration {
            0..12 => (Mode::Silk, [160, 320, 640, 960][configuration & 3]),
            12..16 => (Mode::Silk, [160, 320][configuration & 1]),
            _ => (Mode::Celt, [40, 80, 160, 320][configuration & 3]),
        };
        let (frames, first) = match header & 3 {
            0 => (1, frame(rest)?),
            1 if rest.len() % 2 == 0 => (2, frame(&rest[..rest.len() / 2])?),
            1 => return None,
            2 => {
                let (first, second) = length(rest).and_then(|(first, rest)| rest.split_at_checked(first))?;
                frame(second)?;
                (2, first)
            }
            _ => many(rest, frame_samples)?,
        };
        Some(Self { mode, stereo: header & 4 != 0, frame_samples, frames, first })
    }

    /// Samples at 16 kHz.
    pub(super) fn samples(&self) -> usize {
        self.frames * self.frame_samples
    }

    /// Does it repeat the frame before it, more coarsely (in-band FEC, RFC 6716 section 2.1.7)? A SILK frame begins with one
    /// flag of voice activity for each 20 ms and then the flag for this (section 4.2.3), once for each channel.
    pub(super) fn repeats(&self) -> bool {
        let Some(&flags) = self.first.first().filter(|_| self.mode == Mode::Silk) else { return false };
        let parts = (self.frame_samples / 320).max(1);
        let flag = |at: usize| (flags >> (7 - at)) & 1 != 0;
        flag(parts) || (self.stereo && flag(2 * parts + 1))
    }

    /// Samples of one frame at 16 kHz: what a repetition gives back.
    pub(super) fn frame_samples(&self) -> usize {
        self.frame_samples
    }
}

/// A frame that is not too long.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    (bytes.len() <= LONGEST).then_some(bytes)
}

/// A length of one or two bytes, and what follows it (RFC 6716 section 3.2.1).
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short @ 0..252, rest @ ..] => Some((usize::from(*short), rest)),
        [long, more, rest @ ..] => Some((usize::from(*more) * 4 + usize::from(*long), rest)),
        _ => None,
    }
}

/// Code 3 (RFC 6716 section 3.2.5): any number of frames, their count first. Gives the count and the first frame.
fn many(bytes: &[u8], frame_samples: usize) -> Option<(usize, &[u8])> {
    let (&counted, mut rest) = bytes.split_first()?;
    let frames = usize::from(counted & 63);
    if frames == 0 || frames * frame_samples > MOST {
        return None;
    }
    if counted & 0x40 != 0 {
        let mut padding = 0;
        loop {
            let (&more, after) = rest.split_first()?;
            rest = after;
            padding += usize::from(more.min(254));
            if more < 255 {
                break;
            }
        }
        rest = &rest[..rest.len().checked_sub(padding)?];
    }
    if counted & 0x80 == 0 {
        // All of one length.
        let each = rest.len() / frames;
        return (rest.len() % frames == 0).then_some((frames, frame(&rest[..each])?));
    }
    let (mut lengths, mut first) = (0, None);
    for _ in 1..frames {
        let (one, after) = length(rest)?;
        rest = after;
        lengths += one;
        first = first.or(Some(one));
    }
    let last = rest.len().checked_sub(lengths)?;
    (last <= LONGEST).then_some((frames, &rest[..first.unwrap_or(last)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(payload: &[u8]) -> Option<usize> {
        Packet::parse(payload).map(|packet| packet.samples())
    }

    /// A header: configuration, code of the count of frames.
    fn header(configuration: u8, code: u8) -> u8 {
        (configuration << 3) | code
    }

    #[test]
    fn every_configuration_has_its_frame_length() {
        let long: Vec<usize> = (0..32).filter_map(|configuration| samples(&[header(configuration, 0), 1, 2])).collect();
        let silk = [160, 320, 640, 960].repeat(3);
        let hybrid = [160, 320].repeat(2);
        assert_eq!(long, [silk, hybrid, [40, 80, 160, 320].repeat(4)].concat());
    }

    #[test]
    fn frames_are_counted() {
        assert_eq!(samples(&[header(1, 1), 1, 2]), Some(640), "two of one length");
        assert_eq!(samples(&[header(1, 2), 1, 7, 8, 9]), Some(640), "two of different lengths");
        assert_eq!(samples(&[header(1, 3), 3, 1, 2, 3]), Some(960), "three of one length");
        assert_eq!(
            samples(&[header(1, 3), 0x83, 1, 2, 9, 9, 9]),
            Some(960),
            "three of different lengths, the last empty"
        );
        assert_eq!(samples(&[header(1, 3), 0x42, 2, 1, 2, 0, 0]), Some(640), "two, and padding");
        assert_eq!(samples(&[header(1, 0)]), Some(320), "an empty frame: silence (DTX)");
    }

    #[test]
    fn broken_rules_are_malformed() {
        let long = [&[header(1, 0)][..], &[0; 1276]].concat();
        let broken: [&[u8]; 12] = [
            &[],
            &long,
            &[header(1, 1), 1, 2, 3],
            &[header(1, 2)],
            &[header(1, 2), 252],
            &[header(1, 2), 5, 1],
            &[header(1, 3)],
            &[header(1, 3), 0],
            &[header(1, 3), 7, 1, 2, 3, 4, 5, 6, 7],
            &[header(1, 3), 2, 1, 2, 3],
            &[header(1, 3), 0x42, 255],
            &[header(1, 3), 0x83, 3, 3, 1],
        ];
        for (at, payload) in broken.iter().enumerate() {
            assert_eq!(samples(payload), None, "{at}");
        }
    }

    #[test]
    fn a_repetition_is_told_by_its_flag() {
        let repeats = |payload: &[u8]| Packet::parse(payload).is_some_and(|packet| packet.repeats());
        assert!(repeats(&[header(9, 0), 0b0100_0000]) && !repeats(&[header(9, 0), 0b1000_0000]), "20 ms");
        assert!(repeats(&[header(10, 0), 0b0010_0000]) && repeats(&[header(11, 0), 0b0001_0000]), "40 and 60 ms");
        assert!(repeats(&[header(9, 0) | 4, 0b0001_0000]), "the second channel");
        assert!(!repeats(&[header(20, 0), 0xff]) && !repeats(&[header(9, 0)]), "CELT, and nothing");
    }
}
