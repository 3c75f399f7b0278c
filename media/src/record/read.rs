//! A recording read back: both sides of a call, each by itself.

use std::{
    fs::File,
    io::{BufReader, Read, Seek},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use hound::{SampleFormat, WavReader, WavSpec};

use crate::{MediaError, SAMPLE_RATE, prompt::ogg_opus, resample::resample};

/// The longest recording, in seconds: two hours, 460 MB of samples.
const LONGEST_S: usize = 7_200;
/// What would be right.
const WANTED: &str =
    "a recording has two sides, the caller on the left and Milo on the right, as Ogg Opus or 16-bit WAV";

/// What both sides said, 16 kHz; equally long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// The party.
    pub caller: Vec<i16>,
    /// We.
    pub milo: Vec<i16>,
}

/// Reads a recording. One whose end is missing, as after a crash, is read as far as it goes.
///
/// # Errors
/// [`MediaError::File`] when it cannot be opened; [`MediaError::Sound`] when it is no recording, broken, empty or too long.
pub fn read(path: &Path) -> Result<Sides, MediaError> {
    let failed = |action, source| MediaError::File { path: path.into(), action, source };
    let wrong = |reason| MediaError::Sound { path: path.into(), reason };
    let mut file = File::open(path).map_err(|source| failed("open", source))?;
    if file.metadata().is_ok_and(|about| about.is_dir()) {
        return Err(wrong(format!("is a folder; {WANTED}")));
    }
    let mut first = Vec::new();
    let begun = Read::by_ref(&mut file).take(4).read_to_end(&mut first).and_then(|_| file.rewind());
    begun.map_err(|source| failed("read", source))?;
    // Anybody may have made the file: a decoder that gives up in a panic has said that it is broken.
    let read = catch_unwind(AssertUnwindSafe(|| match &first[..] {
        b"OggS" => ogg(file),
        b"RIFF" => wav(file),
        _ => Err(format!("is no recording; {WANTED}")),
    }));
    let sides = read.unwrap_or_else(|_| Err("is damaged beyond reading".into())).map_err(wrong)?;
    if sides.caller.is_empty() {
        return Err(wrong("holds no sound".into()));
    }
    Ok(sides)
}

fn ogg(file: File) -> Result<Sides, String> {
    let ([caller, milo], channels) = ogg_opus::sides(file, LONGEST_S)?;
    if channels == 2 { Ok(Sides { caller, milo }) } else { Err(format!("has one channel; {WANTED}")) }
}

fn wav(file: File) -> Result<Sides, String> {
    let reader = WavReader::new(BufReader::new(file)).map_err(|error| format!("cannot be read ({error}); {WANTED}"))?;
    let WavSpec { channels, sample_rate, bits_per_sample, sample_format } = reader.spec();
    if channels != 2 || bits_per_sample != 16 || sample_format != SampleFormat::Int {
        return Err(format!("has {channels} channels of {bits_per_sample} bits; {WANTED}"));
    }
    if !(4_000..=192_000).contains(&sample_rate) {
        return Err(format!("claims {sample_rate} Hz; 4000 to 192000 Hz are supported"));
    }
    let most = 2 * LONGEST_S * sample_rate as usize;
    // The header may promise more than was written.
    let samples: Vec<i16> = reader.into_samples().map_while(Result::ok).take(most + 1).collect();
    if samples.len() > most {
        return Err(format!("is longer than {} minutes", LONGEST_S / 60));
    }
    let side = |of: usize| {
        let side: Vec<i16> = samples.chunks_exact(2).map(|pair| pair[of]).collect();
        resample(&side, sample_rate, SAMPLE_RATE)
    };
    Ok(Sides { caller: side(0), milo: side(1) })
}

#[cfg(test)]
mod tests {
    use hound::WavWriter;

    use super::*;

    #[test]
    fn both_sides_come_back_and_what_is_no_recording_is_told() {
        let folder = std::env::temp_dir().join(format!("milo-sides-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let file = folder.join("call.wav");
        let spec =
            |channels| WavSpec { channels, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let write = |channels, samples: &[i16]| {
            let mut writer = WavWriter::create(&file, spec(channels)).expect("a file");
            samples.iter().for_each(|sample| writer.write_sample(*sample).expect("written"));
            writer.finalize().expect("written");
        };
        write(2, &[1, -1, 2, -2, 3, -3]);
        assert_eq!(read(&file).expect("a recording"), Sides { caller: vec![1, 2, 3], milo: vec![-1, -2, -3] });
        // After a crash the header promises what is not there.
        let bytes = std::fs::read(&file).expect("a file");
        std::fs::write(&file, &bytes[..bytes.len() - 4]).expect("written");
        assert_eq!(read(&file).expect("a recording").caller, [1, 2]);
        write(1, &[1, 2]);
        assert!(read(&file).expect_err("one side").to_string().contains("caller on the left"));
        std::fs::write(&file, "salama").expect("written");
        assert!(read(&file).expect_err("no sound").to_string().contains("is no recording"));
        std::fs::remove_dir_all(folder).ok();
    }
}
