use super::*;
use crate::{
    codec::{PCMA, PCMU},
    dtmf::{Tones, tones_of},
    resample::{Halve, Twice},
    wav,
};

/// A press as a telephone may send it.
#[derive(Clone, Copy)]
struct Sent {
    /// Shares by which the tones are off.
    off: (f64, f64),
    /// Decibels by which the column tone is louder than the row tone.
    twist: f64,
    /// Of both tones together, dBm0.
    level: f64,
    /// Milliseconds of tone and of silence behind it.
    on: f64,
    off_ms: f64,
}

const USUAL: Sent = Sent { off: (0.0, 0.0), twist: 0.0, level: -12.0, on: 60.0, off_ms: 60.0 };

/// dBm0 of a full-scale sine on G.711.
const FULL_SCALE: f64 = 3.15;

struct Dice(u64);

impl Dice {
    /// −1 to 1, evenly.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// Nearly normal, deviation 1.
    fn noise(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() / 2.0
    }
}

/// These keys as a telephone sends them, at 8 kHz, after a pause that is no whole number of windows.
fn pressed(keys: &str, sent: Sent, ahead: usize) -> Vec<f64> {
    let mut samples = vec![0.0; 400 + ahead];
    let power = 10f64.powf((sent.level - FULL_SCALE) / 10.0) * 32_768.0 * 32_768.0 / 2.0;
    let row_share = 1.0 / (1.0 + 10f64.powf(sent.twist / 10.0));
    let peak = |share: f64| (2.0 * power * share).sqrt();
    for key in keys.chars() {
        let (row, column) = tones_of(key).expect("a key");
        let (row, column) = (row * (1.0 + sent.off.0), column * (1.0 + sent.off.1));
        let wave = |hertz: f64, at: usize| (std::f64::consts::TAU * hertz * at as f64 / 8000.0 + 1.0).sin();
        samples.extend(
            (0..(sent.on * 8.0) as usize)
                .map(|at| peak(row_share) * wave(row, at) + peak(1.0 - row_share) * wave(column, at)),
        );
        samples.extend(std::iter::repeat_n(0.0, (sent.off_ms * 8.0) as usize));
    }
    samples.extend([0.0; 800]);
    samples
}

/// Adds white noise of this ratio to a press of this level.
fn with_noise(samples: &mut [f64], dice: &mut Dice, level: f64, ratio: f64) {
    let deviation = 10f64.powf((level - ratio - FULL_SCALE) / 20.0) * 32_768.0 / std::f64::consts::SQRT_2;
    samples.iter_mut().for_each(|sample| *sample += deviation * dice.noise());
}

/// What a detector finds in 8 kHz samples that came over G.711.
fn found(samples: &[f64], a_law: bool) -> String {
    let linear: Vec<i16> = samples.iter().map(|&sample| sample.clamp(-32_768.0, 32_767.0) as i16).collect();
    let (mut payload, mut decoded, mut wide) = (Vec::new(), Vec::new(), Vec::new());
    let codec = if a_law { &PCMA } else { &PCMU };
    (codec.encoder)().encode(&linear, &mut payload);
    (codec.decoder)().decode(&payload, &mut decoded);
    let mut twice = Twice::new();
    twice.push(&decoded, &mut wide);
    search(&wide)
}

fn search(wide: &[i16]) -> String {
    let mut detector = Detector::default();
    Frame::cut(wide).filter_map(|frame| detector.push(&frame)).collect()
}

const ALL: &str = "1234567890*#ABCD";

#[test]
fn all_keys_as_we_press_them_ourselves() {
    let silence = || std::iter::repeat_n(Frame::SILENCE, 3);
    let sound: Vec<_> = ALL
        .chars()
        .flat_map(|key| Tones::new(key, 60).expect("a key").chain(silence()))
        .flat_map(|frame| *frame.samples())
        .collect();
    assert_eq!(search(&sound), ALL);
    let (mut narrow, mut wide) = (Vec::new(), Vec::new());
    Halve::new().push(&sound, &mut narrow);
    Twice::new().push(&narrow, &mut wide);
    assert_eq!(search(&wide), ALL);
}

#[test]
fn frequencies_within_one_and_a_half_percent_and_none_beyond_three_and_a_half() {
    let shares = |off: f64| [(off, off), (-off, -off), (off, -off), (-off, off), (0.0, off), (off, 0.0)];
    for ahead in [0, 20, 40, 60] {
        for off in shares(0.015).into_iter().chain(shares(0.01)) {
            assert_eq!(found(&pressed(ALL, Sent { off, ..USUAL }, ahead), true), ALL, "{off:?}, {ahead} samples ahead");
        }
        for off in shares(0.035).into_iter().chain(shares(-0.035)).chain(shares(0.045)) {
            assert_eq!(found(&pressed(ALL, Sent { off, on: 200.0, ..USUAL }, ahead), true), "", "{off:?}");
        }
    }
}

#[test]
fn presses_of_40_ms_with_40_ms_between_wherever_they_begin() {
    for ahead in 0..80 {
        let shortest = Sent { on: 40.0, off_ms: 40.0, ..USUAL };
        assert_eq!(found(&pressed(ALL, shortest, ahead), ahead % 2 == 0), ALL, "{ahead} samples ahead");
        assert_eq!(found(&pressed("1122", shortest, ahead), ahead % 2 == 0), "1122", "{ahead} samples ahead");
        let too_short = Sent { on: 20.0, ..USUAL };
        assert_eq!(found(&pressed(ALL, too_short, ahead), ahead % 2 == 0), "", "{ahead} samples ahead");
    }
}

#[test]
fn twist_and_level_of_every_line() {
    for (twist, level) in
        [(-8.0, -12.0), (-8.0, -25.0), (4.0, -12.0), (6.0, -24.0), (0.0, 0.0), (0.0, -3.0), (0.0, -29.0)]
    {
        assert_eq!(found(&pressed(ALL, Sent { twist, level, ..USUAL }, 7), true), ALL, "{twist} dB at {level} dBm0");
    }
    for (twist, level) in [(-14.0, -12.0), (12.0, -12.0), (0.0, -45.0)] {
        assert_eq!(found(&pressed(ALL, Sent { twist, level, ..USUAL }, 7), true), "", "{twist} dB at {level} dBm0");
    }
}

#[test]
fn a_noisy_line_loses_no_key_and_adds_none() {
    let mut dice = Dice(21);
    for ratio in [15.0, 20.0] {
        for round in 0..60 {
            let off = (0.015 * dice.roll(), 0.015 * dice.roll());
            let sent =
                Sent { off, twist: 3.0 * dice.roll() - 1.0, on: 50.0, off_ms: 50.0, level: -10.0 + 5.0 * dice.roll() };
            let mut samples = pressed(ALL, sent, round);
            with_noise(&mut samples, &mut dice, sent.level, ratio);
            assert_eq!(found(&samples, round % 2 == 0), ALL, "{ratio} dB, round {round}");
        }
    }
}

#[test]
fn hum_below_300_hz_and_a_dropped_packet_do_not_matter() {
    let mut samples = pressed(ALL, Sent { on: 120.0, ..USUAL }, 0);
    for (at, sample) in samples.iter_mut().enumerate() {
        *sample += 3000.0 * (std::f64::consts::TAU * 50.0 * at as f64 / 8000.0).sin();
    }
    assert_eq!(found(&samples, true), ALL);
    for hole in 0..80 {
        let mut samples = pressed("5", Sent { on: 200.0, ..USUAL }, 0);
        samples[400 + 800 + hole..][..80].fill(0.0);
        assert_eq!(found(&samples, true), "5", "a hole of 10 ms at {hole}");
    }
}

#[test]
fn noise_alone_and_single_tones_are_no_key() {
    let mut dice = Dice(3);
    let mut noise = vec![0.0; 8000 * 60];
    with_noise(&mut noise, &mut dice, -10.0, 0.0);
    assert_eq!(found(&noise, true), "");
    for hertz in ROWS.into_iter().chain(COLUMNS).chain([425.0, 440.0, 1000.0, 1100.0, 2100.0]) {
        let tone: Vec<_> =
            (0..8000).map(|at| 8000.0 * (std::f64::consts::TAU * hertz * f64::from(at) / 8000.0).sin()).collect();
        assert_eq!(found(&tone, true), "", "{hertz} Hz");
    }
}

/// The committed recordings of telephone speech.
fn recordings() -> Vec<(String, Vec<i16>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/tests/recordings");
    let files = std::fs::read_dir(folder).expect("the recordings").map(|entry| entry.expect("readable").path());
    let files = files.filter(|file| file.extension().is_some_and(|ending| ending == "wav"));
    files.map(|file| (file.display().to_string(), wav::read(&file).expect("a recording"))).collect()
}

#[test]
fn no_voice_presses_a_key() {
    let recordings = recordings();
    assert!(recordings.len() >= 8);
    for (name, samples) in &recordings {
        // As it is, and faster and slower: other voices.
        for speed in [60, 75, 85, 95, 100, 105, 115, 130, 150] {
            let voice: Vec<i16> = (0..samples.len() * 100 / speed).map(|at| samples[at * speed / 100]).collect();
            assert_eq!(search(&voice), "", "{name} at {speed} %");
        }
    }
}

#[test]
fn a_key_is_heard_under_a_voice_that_has_fallen_silent() {
    for (name, samples) in recordings() {
        let mut sound = samples.clone();
        sound.extend([0; 1600]);
        sound.extend(Tones::new('7', 80).expect("a key").flat_map(|frame| *frame.samples()));
        sound.extend([0; 1600]);
        assert_eq!(search(&sound), "7", "{name}");
    }
}

#[test]
#[ignore = "measures; run it alone, in a release build, with --nocapture"]
#[expect(clippy::disallowed_methods, reason = "measures real time")]
fn what_a_frame_costs() {
    let sounds: [(&str, Vec<i16>); 2] = [
        ("a voice", recordings().remove(0).1),
        ("a key", Tones::new('5', 1000).expect("a key").flat_map(|frame| *frame.samples()).collect()),
    ];
    for (name, samples) in sounds {
        let frames: Vec<_> = Frame::cut(&samples).collect();
        let mut detector = Detector::default();
        let start = std::time::Instant::now();
        let mut count = 0;
        while count < 200_000 {
            for frame in &frames {
                std::hint::black_box(detector.push(frame));
                count += 1;
            }
        }
        let each = start.elapsed().as_nanos() / count;
        println!("{name}: {each} ns a frame");
        assert!(each < 20_000, "a thousandth of a core");
    }
}
