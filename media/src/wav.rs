//! WAV files: any PCM16 in, 16 kHz mono out.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use crate::{MediaError, SAMPLE_RATE, resample::resample};

/// Reads a PCM16 file of any rate from 4 to 192 kHz, mono or more channels (which are averaged), into 16 kHz mono.
///
/// # Errors
/// [`MediaError::File`] when it cannot be opened; [`MediaError::Wav`] when it is no WAV, not PCM16, or cut short.
pub fn read(path: &Path) -> Result<Vec<i16>, MediaError> {
    let file = File::open(path).map_err(|source| failed(path, "open", source))?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(wrong(path, "is a folder, not a WAV file".into()));
    }
    let reader = WavReader::new(BufReader::new(file)).map_err(|error| unreadable(path, error))?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    if sample_format != SampleFormat::Int || bits_per_sample != 16 {
        let kind = if sample_format == SampleFormat::Float { "floating-point" } else { "integer" };
        let reason = format!("holds {bits_per_sample}-bit {kind} samples; 16-bit PCM is wanted (sox IN -b 16 OUT.wav)");
        return Err(wrong(path, reason));
    }
    if !(4_000..=192_000).contains(&sample_rate) || channels == 0 {
        let reason = format!("claims {channels} channels at {sample_rate} Hz; 4000 to 192000 Hz are supported");
        return Err(wrong(path, reason));
    }
    let promised = reader.len();
    let mut samples = Vec::new();
    for sample in reader.into_samples::<i16>() {
        samples.push(sample.map_err(|_| {
            wrong(path, format!("is cut short: its header promises {promised} samples, {} are there", samples.len()))
        })?);
    }
    let mono = mix(samples, usize::from(channels));
    Ok(resample(&mono, sample_rate, SAMPLE_RATE))
}

/// The head of a 16 kHz mono PCM16 file of so many samples; without a number, of one whose length nobody knows yet.
pub fn head(samples: Option<u32>) -> [u8; 44] {
    let length = samples.map_or(u32::MAX - 36, |samples| samples.saturating_mul(2).min(u32::MAX - 36));
    let mut head = [0; 44];
    let rate = SAMPLE_RATE.to_le_bytes();
    let byte_rate = (SAMPLE_RATE * 2).to_le_bytes();
    let parts: [&[u8]; 13] = [
        b"RIFF",
        &(length + 36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &rate,
        &byte_rate,
        &2_u16.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &length.to_le_bytes(),
    ];
    let mut at = 0;
    for part in parts {
        head[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    head
}

/// A whole file in memory.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    let mut bytes = head(Some(samples.len() as u32)).to_vec();
    bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    bytes
}

/// Writes 16 kHz mono PCM16. The file appears whole or not at all: it is written beside its place and then renamed.
///
/// # Errors
/// [`MediaError::File`] when it cannot be written (no such folder, no right, disk full); nothing is left behind then.
pub fn write(path: &Path, samples: &[i16]) -> Result<(), MediaError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = write_part(&part, samples).and_then(|()| fs::rename(&part, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&part);
        failed(path, "write", source)
    })
}

fn write_part(part: &PathBuf, samples: &[i16]) -> std::io::Result<()> {
    let spec = WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let into_io = |error| match error {
        hound::Error::IoError(error) => error,
        other => std::io::Error::other(other),
    };
    let mut file = BufWriter::new(File::create(part)?);
    let mut writer = WavWriter::new(&mut file, spec).map_err(into_io)?;
    let length = u32::try_from(samples.len()).map_err(std::io::Error::other)?;
    let mut block = writer.get_i16_writer(length);
    samples.iter().for_each(|&sample| block.write_sample(sample));
    block.flush().map_err(into_io)?;
    writer.finalize().map_err(into_io)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// The mean of the channels.
fn mix(samples: Vec<i16>, channels: usize) -> Vec<i16> {
    if channels == 1 {
        return samples;
    }
    let mean = |frame: &[i16]| (frame.iter().map(|&sample| i32::from(sample)).sum::<i32>() / channels as i32) as i16;
    samples.chunks_exact(channels).map(mean).collect()
}

fn unreadable(path: &Path, error: hound::Error) -> MediaError {
    match error {
        // Hound's own words for an early end have no kind.
        hound::Error::IoError(error) if error.kind() == std::io::ErrorKind::Other => {
            wrong(path, "is cut short: it ends before its samples begin".into())
        }
        hound::Error::IoError(source) => failed(path, "read", source),
        hound::Error::FormatError(what) => wrong(path, format!("is no WAV file that can be read: {what}")),
        other => wrong(path, format!("is no WAV file that can be read: {other}; 16-bit PCM is wanted")),
    }
}

fn wrong(path: &Path, reason: String) -> MediaError {
    MediaError::Wav { path: path.into(), reason }
}

fn failed(path: &Path, action: &'static str, source: std::io::Error) -> MediaError {
    MediaError::File { path: path.into(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own, gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("milo-wav-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, bytes).expect("written");
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A WAV file as bytes; `format` 1 is PCM, 3 floating point.
    fn wav(format: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let block = channels * (bits / 8);
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36 + data.len() as u32).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0");
        bytes.extend([format.to_le_bytes(), channels.to_le_bytes()].concat());
        bytes.extend([rate.to_le_bytes(), (rate * u32::from(block)).to_le_bytes()].concat());
        bytes.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
        bytes.extend(b"data");
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    fn sentence(result: Result<Vec<i16>, MediaError>) -> String {
        result.expect_err("broken").to_string()
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else_is_left() {
        let folder = Folder::new("round");
        let samples: Vec<i16> = (0..1000).map(|at| at * 3 - 1500).collect();
        let path = folder.0.join("a.wav");
        write(&path, &samples).expect("written");
        write(&path, &samples).expect("written again");
        assert_eq!(read(&path).expect("read"), samples);
        assert_eq!(fs::read_dir(&folder.0).expect("folder").count(), 1);
    }

    #[test]
    fn what_is_made_in_memory_is_the_same_file() {
        let folder = Folder::new("bytes");
        let samples: Vec<i16> = (0..1_600).collect();
        let (whole, made) = (folder.file("made.wav", &bytes(&samples)), folder.file("written.wav", &[]));
        write(&made, &samples).unwrap();
        assert_eq!(read(&whole).unwrap(), samples);
        assert_eq!(std::fs::read(whole).unwrap(), std::fs::read(made).unwrap());
        // One whose length nobody knew is read to its end.
        let endless = [head(None).to_vec(), bytes(&samples)[44..].to_vec()].concat();
        assert_eq!(crate::prompt::read(&folder.file("endless.wav", &endless)).unwrap().len(), samples.len());
    }

    #[test]
    fn every_usual_rate_and_stereo_become_16_khz_mono() {
        let folder = Folder::new("rates");
        for rate in [8000u32, 16_000, 22_050, 44_100, 48_000] {
            // A tenth of a second: 1000 left and 3000 right.
            let data: Vec<u8> =
                (0..rate / 10).flat_map(|_| [1000i16.to_le_bytes(), 3000i16.to_le_bytes()].concat()).collect();
            let samples = read(&folder.file("s.wav", &wav(1, 2, rate, 16, &data))).expect("read");
            assert_eq!(samples.len(), 1600, "{rate}");
            assert!((samples[800] - 2000).abs() < 20, "{rate}: {}", samples[800]);
        }
    }

    #[test]
    fn broken_files_say_what_is_wrong_with_them() {
        let folder = Folder::new("broken");
        let good = wav(1, 1, 16_000, 16, &[0; 3200]);
        let cases = [
            ("empty.wav", vec![], "cut short"),
            ("text.wav", b"this is no sound at all, only text".to_vec(), "no WAV file"),
            ("head.wav", good[..30].to_vec(), "cut short"),
            ("cut.wav", good[..1000].to_vec(), "is cut short: its header promises 1600 samples, 478 are there"),
            ("deep.wav", wav(1, 1, 16_000, 24, &[0; 300]), "24-bit integer"),
            ("float.wav", wav(3, 1, 16_000, 32, &[0; 400]), "32-bit floating-point"),
            ("law.wav", wav(7, 1, 8000, 8, &[0; 400]), "no WAV file"),
            ("slow.wav", wav(1, 1, 7, 16, &[0; 400]), "7 Hz"),
            ("dumb.wav", wav(1, 0, 16_000, 16, &[0; 400]), ""),
        ];
        for (name, bytes, expected) in cases {
            let said = sentence(read(&folder.file(name, &bytes)));
            assert!(said.contains(name) && said.contains(expected), "{said}");
        }
        assert!(sentence(read(&folder.0)).contains("folder"));
        assert!(sentence(read(&folder.0.join("missing.wav"))).contains("missing.wav: cannot open"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let folder = Folder::new("fuzz");
        let good = wav(1, 2, 22_050, 16, &[7; 400]);
        for at in 0..good.len().min(60) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = read(&folder.file("f.wav", &bytes));
            }
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named_and_left_clean() {
        let folder = Folder::new("place");
        let said = write(&folder.0.join("no/such/a.wav"), &[1]).expect_err("no folder").to_string();
        assert!(said.contains("no/such/a.wav: cannot write"), "{said}");
        assert!(write(&folder.0, &[1]).is_err());
        assert_eq!(
            fs::read_dir(folder.0.parent().expect("tmp"))
                .expect("tmp")
                .filter_map(Result::ok)
                .filter(|entry| {
                    entry.file_name().to_string_lossy().starts_with(&format!("milo-wav-place-{}.", std::process::id()))
                })
                .count(),
            0
        );
    }
}
