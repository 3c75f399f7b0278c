//! Bytes of a sound as they come, to samples at 16 kHz.

use milo_media::resample::Resampler;

/// The rate of samples that say none, in Hz: OpenAI's.
pub(super) const RATE: u32 = 24_000;
/// Where the house is.
const HOUSE: u32 = 16_000;
/// The samples of a WAV file begin within so many bytes.
const HEAD: usize = 64 * 1024;

/// A sound on its way.
pub(super) struct Sound {
    /// What is not used yet: a head that is not whole, or a part of a sample.
    bytes: Vec<u8>,
    body: Option<Body>,
    /// Samples that came.
    came: usize,
}

struct Body {
    channels: usize,
    resampler: Resampler,
}

impl Body {
    fn new(channels: u16, rate: u32) -> Result<Self, String> {
        if !(1..=2).contains(&channels) {
            return Err(format!("sends sound of {channels} channels"));
        }
        let resampler = Resampler::new(rate, HOUSE).map_err(|_| format!("sends sound of {rate} Hz"))?;
        Ok(Self { channels: channels.into(), resampler })
    }
}

impl Sound {
    /// A WAV file.
    pub(super) fn wav() -> Result<Self, String> {
        Ok(Self { bytes: Vec::new(), body: None, came: 0 })
    }

    /// Samples of 16 bits alone, mono.
    pub(super) fn pcm(rate: u32) -> Result<Self, String> {
        Ok(Self { bytes: Vec::new(), body: Some(Body::new(1, rate)?), came: 0 })
    }

    /// The samples that these bytes complete.
    ///
    /// # Errors
    /// How a sentence about the server goes on. Nothing follows it.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<i16>, String> {
        self.bytes.extend_from_slice(bytes);
        if self.body.is_none() {
            let Some((body, head)) = head(&self.bytes)? else {
                return if self.bytes.len() > HEAD {
                    Err("sends a WAV file without samples".into())
                } else {
                    Ok(Vec::new())
                };
            };
            self.body = Some(body);
            self.bytes.drain(..head);
        }
        let mut made = Vec::new();
        if let Some(Body { channels, resampler }) = &mut self.body {
            let whole = self.bytes.len() / (2 * *channels) * 2 * *channels;
            let sample = |two: &[u8]| i32::from(i16::from_le_bytes([two[0], two[1]]));
            let mono: Vec<i16> = self.bytes[..whole]
                .chunks_exact(2 * *channels)
                .map(|frame| (frame.chunks_exact(2).map(sample).sum::<i32>() / *channels as i32) as i16)
                .collect();
            self.bytes.drain(..whole);
            self.came += mono.len();
            resampler.push(&mono, &mut made);
        }
        Ok(made)
    }

    /// What is left when nothing more comes.
    pub(super) fn finish(&mut self) -> Result<Vec<i16>, String> {
        let mut made = Vec::new();
        match &mut self.body {
            // The resampler would end even nothing with a few samples of silence.
            Some(_) if self.came == 0 => return Err("sends a sound of no length".into()),
            Some(body) => body.resampler.finish(&mut made),
            None => return Err("ends its WAV file before the samples".into()),
        }
        Ok(made)
    }
}

/// The form of a WAV file and where its samples begin, once its head is whole. Lengths are not believed: what is streamed has none.
fn head(bytes: &[u8]) -> Result<Option<(Body, usize)>, String> {
    let none = || "sends no WAV file".to_owned();
    if !b"RIFF".starts_with(&bytes[..bytes.len().min(4)]) {
        return Err(none());
    }
    if bytes.len() < 12 {
        return Ok(None);
    }
    if &bytes[8..12] != b"WAVE" {
        return Err(none());
    }
    let (mut at, mut body) = (12, None);
    while let Some(chunk) = bytes.get(at..at + 8) {
        let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]) as usize;
        match (&chunk[..4], body.take()) {
            (b"data", Some(body)) => return Ok(Some((body, at + 8))),
            (b"data", None) => return Err("sends a WAV file that does not say what its samples are".into()),
            (b"fmt ", _) => {
                let Some(form) = bytes.get(at + 8..at + 24) else { return Ok(None) };
                let word = |at: usize| u16::from_le_bytes([form[at], form[at + 1]]);
                let rate = u32::from_le_bytes([form[4], form[5], form[6], form[7]]);
                // 1 is PCM; the other says that the form goes on, and is of 16 bits as well here.
                if !matches!(word(0), 1 | 0xfffe) || word(14) != 16 {
                    return Err(format!("sends a WAV file of form {} with {} bits", word(0), word(14)));
                }
                body = Some(Body::new(word(2), rate)?);
            }
            (_, kept) => body = kept,
        }
        // Chunks begin at even places.
        at = at.saturating_add(8 + length + length % 2);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(channels: u16, rate: u32, bits: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0".to_vec();
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend((rate * u32::from(channels) * 2).to_le_bytes());
        bytes.extend((channels * 2).to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data\xff\xff\xff\xff");
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    fn heard(mut sound: Sound, bytes: &[u8], step: usize) -> Vec<i16> {
        let mut samples: Vec<_> = bytes.chunks(step).flat_map(|bytes| sound.push(bytes).unwrap()).collect();
        samples.extend(sound.finish().unwrap());
        samples
    }

    #[test]
    fn samples_are_the_same_however_the_bytes_are_cut() {
        let samples: Vec<i16> = (0..2_400).map(|at| ((at % 100) * 100 - 5_000) as i16).collect();
        let pairs: Vec<i16> = samples.iter().flat_map(|sample| [*sample, *sample]).collect();
        for step in [1, 3, 64, 100_000] {
            assert_eq!(heard(Sound::wav().unwrap(), &file(1, 16_000, 16, &samples), step), samples);
            assert_eq!(heard(Sound::wav().unwrap(), &file(2, 16_000, 16, &pairs), step), samples);
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let whole = heard(Sound::pcm(RATE).unwrap(), &bytes, 100_000);
        assert!((1_600..1_900).contains(&whole.len()), "{} of 1600 and the filter's length", whole.len());
        assert_eq!(heard(Sound::pcm(RATE).unwrap(), &bytes, 7), whole);
    }

    #[test]
    fn what_is_no_sound_is_told() {
        for (bytes, says) in [
            (b"ID3\x04mp3".to_vec(), "no WAV"),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "no WAV"),
            (file(6, 16_000, 16, &[]), "6 channels"),
            (file(1, 1, 16, &[]), "1 Hz"),
            (file(1, 16_000, 24, &[]), "24 bits"),
            ([b"RIFF\0\0\0\0WAVEdata\x01\0\0\0".as_slice(), &[0; 8]].concat(), "does not say"),
            ([b"RIFF\0\0\0\0WAVEjunk\xff\xff\xff\x7f".as_slice(), &[0; HEAD]].concat(), "without samples"),
        ] {
            let told = Sound::wav().unwrap().push(&bytes).expect_err(says);
            assert!(told.contains(says), "{told}");
        }
        let mut cut = Sound::wav().unwrap();
        assert!(cut.push(b"RIFF\0\0").is_ok_and(|none| none.is_empty()) && cut.finish().is_err());
    }
}
