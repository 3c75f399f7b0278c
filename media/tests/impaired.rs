//! Golden tests: committed recordings over bad lines, through the receiver of a leg, in virtual time. What comes out has the
//! level of what went in, sounds like it, and comes no later than the line makes necessary.

use std::{path::Path, time::Duration};

use milo_media::{
    Codec, Frame, LegOptions, LegStats, Session,
    replay::{Impairment, Replay, replay},
    wav,
};

/// Below this a frame is not voiced, in dBFS.
const VOICED: f32 = -40.0;

/// Eighteen seconds, mostly speech, twice.
fn speech() -> Vec<Frame> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/tests/recordings");
    let names = ["mg_hours", "mg_appointment", "mg_barge", "mg_price", "mg_goodbye", "mg_greeting"];
    let read = |name: &str| wav::read(&folder.join(name).with_extension("wav")).expect("a committed recording");
    let samples: Vec<i16> = names.iter().flat_map(|name| read(name)).collect();
    let mut frames: Vec<Frame> = Frame::cut(&samples).collect();
    frames.extend(frames.clone());
    frames
}

fn session(codec: &str) -> Session {
    let codec = Codec::named(codec).expect("in the table");
    Session::new(([127, 0, 0, 1], 4000).into(), codec)
}

/// What a leg hears of speech over this line.
fn heard(codec: &str, line: Impairment) -> Replay {
    let (session, frames) = (session(codec), speech());
    let arriving = line.carry(&session, &frames);
    replay(&session, &LegOptions::default(), &arriving, Duration::from_millis(20 * frames.len() as u64))
}

/// Level of the voiced frames, in dBFS.
fn level(frames: &[Frame]) -> f32 {
    let voiced: Vec<f32> =
        frames.iter().filter(|frame| frame.dbfs() > VOICED).map(|frame| frame.rms().powi(2)).collect();
    10.0 * (voiced.iter().sum::<f32>() / voiced.len() as f32 / 32_768f32.powi(2)).log10()
}

/// Mean age of the newest packet in a frame, in milliseconds: how long packets wait.
fn waiting_ms(replay: &Replay, from: usize) -> f64 {
    let ages: Vec<f64> = replay.ages[from..].iter().flatten().map(|age| age.as_secs_f64() * 1000.0).collect();
    ages.iter().sum::<f64>() / ages.len() as f64
}

/// The signal-to-noise ratio of voiced frames against the clean ones, each between -10 and 35 dB, on average.
fn segmental_snr(clean: &[Frame], impaired: &[Frame]) -> f64 {
    let of_frame = |(clean, impaired): (&Frame, &Frame)| {
        let (mut signal, mut noise) = (1.0, 1.0);
        for (&clean, &impaired) in clean.samples().iter().zip(impaired.samples()) {
            signal += f64::from(clean).powi(2);
            noise += (f64::from(clean) - f64::from(impaired)).powi(2);
        }
        (10.0 * (signal / noise).log10()).clamp(-10.0, 35.0)
    };
    let voiced = clean.iter().zip(impaired).filter(|(clean, _)| clean.dbfs() > VOICED);
    let all: Vec<f64> = voiced.map(of_frame).collect();
    all.iter().sum::<f64>() / all.len() as f64
}

/// How alike every second voiced tenth of a second is to the clean sound up to `REACH` samples away, on average: 1 is the same,
/// wherever time was stretched to.
fn likeness<const REACH: usize>(clean: &Replay, impaired: &Replay) -> f64 {
    const WINDOW: usize = 1600;
    let (clean, impaired) = (clean.samples(), impaired.samples());
    // The power of all clean samples before each.
    let before: Vec<i64> = std::iter::once(0)
        .chain(clean.iter().scan(0, |sum, &sample| {
            *sum += i64::from(sample).pow(2);
            Some(*sum)
        }))
        .collect();
    let mut all = Vec::new();
    for start in (REACH..impaired.len() - WINDOW - REACH).step_by(2 * WINDOW) {
        let own = &impaired[start..start + WINDOW];
        let power = own.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
        if power < WINDOW as f64 * 300f64.powi(2) {
            continue;
        }
        let likeness = |from: usize| {
            let both =
                own.iter().zip(&clean[from..]).map(|(&own, &clean)| i64::from(i32::from(own) * i32::from(clean)));
            both.sum::<i64>() as f64 / (power * (before[from + WINDOW] - before[from]) as f64).sqrt().max(1.0)
        };
        all.push((start - REACH..start + REACH).map(likeness).fold(0.0, f64::max));
    }
    all.iter().sum::<f64>() / all.len() as f64
}

#[test]
fn a_clean_line_waits_for_half_a_tick_and_loses_nothing() {
    let replay = heard("PCMA", Impairment::default());
    assert_eq!((replay.stats.lost, replay.stats.concealed, replay.stats.late), (0, 0, 0));
    assert_eq!(replay.stats.target_ms, 20);
    assert!((waiting_ms(&replay, 0) - 10.0).abs() < 0.1);
    assert!((level(&replay.frames) - level(&speech())).abs() < 0.5);
}

#[test]
fn loss_costs_what_is_lost_and_neither_level_nor_time() {
    let clean = heard("PCMU", Impairment::default());
    for (loss, burst, least_snr, least_likeness) in [
        (0.01, 1.0, 33.5, 0.99),
        (0.05, 1.0, 32.0, 0.975),
        (0.10, 1.0, 29.0, 0.95),
        (0.20, 1.0, 23.0, 0.905),
        (0.05, 3.0, 32.0, 0.97),
        (0.10, 3.0, 30.0, 0.94),
    ] {
        let impaired = heard("PCMU", Impairment { loss, burst, seed: 11, ..Impairment::default() });
        let (snr, likeness) = (segmental_snr(&clean.frames, &impaired.frames), likeness::<160>(&clean, &impaired));
        let share = impaired.stats.lost as f64 / clean.stats.received as f64;
        let concealed = impaired.stats.concealed as f64 / impaired.frames.len() as f64;
        let change = level(&impaired.frames) - level(&clean.frames);
        println!(
            "loss {:2.0} % in rows of {burst}: SNR {snr:.1} dB, likeness {likeness:.3}, level {change:+.2} dB, lost {:.1} %, \
             concealed {:.1} %",
            loss * 100.0,
            share * 100.0,
            concealed * 100.0
        );
        assert!((share - loss).abs() < 0.4 * loss, "{share}");
        assert!(concealed <= share * 1.05 && concealed >= share * 0.6, "{concealed} of {share}");
        assert!(change.abs() < 1.0, "{change} dB");
        assert!(snr > least_snr, "{snr} dB");
        assert!(likeness > least_likeness, "{likeness}");
        assert_eq!(impaired.stats.target_ms, 20);
        assert!(waiting_ms(&impaired, 0) < 11.0, "nothing waits longer");
    }
}

#[test]
fn opus_repairs_what_is_lost() {
    let said = Replay { frames: speech(), ages: Vec::new(), stats: LegStats::default() };
    for (loss, burst, least_recovered, least_gain) in [
        (0.02, 1.0, 0.5, 0.0),
        (0.05, 1.0, 0.5, 0.01),
        (0.10, 1.0, 0.5, 0.02),
        (0.20, 1.0, 0.5, 0.03),
        (0.10, 3.0, 0.15, 0.005),
    ] {
        let line = Impairment { loss, burst, seed: 11, ..Impairment::default() };
        let [plain, repaired] = [false, true].map(|in_band_fec| {
            let session = Session { in_band_fec, ..session("opus") };
            let arriving = line.carry(&session, &said.frames);
            let length = Duration::from_millis(20 * said.frames.len() as u64);
            replay(&session, &LegOptions::default(), &arriving, length)
        });
        let alike = [&plain, &repaired].map(|replay| likeness::<2400>(&said, replay));
        let stats = repaired.stats;
        println!(
            "Opus, loss {:2.0} % in rows of {burst}: likeness {:.3}, repaired {:.3}, recovered {} of {}",
            loss * 100.0,
            alike[0],
            alike[1],
            stats.recovered,
            stats.lost
        );
        assert_eq!(plain.stats.recovered, 0);
        assert!(stats.recovered as f64 > least_recovered * stats.lost as f64, "{stats:?}");
        assert!(alike[1] - alike[0] > least_gain, "{alike:?}");
        assert!((level(&repaired.frames) - level(&said.frames)).abs() < 1.0);
    }
}

#[test]
fn g722_conceals_what_is_lost_like_g711() {
    for loss in [0.05, 0.10, 0.20] {
        let [g711, g722] = ["PCMU", "G722"].map(|codec| {
            let clean = heard(codec, Impairment::default());
            let impaired = heard(codec, Impairment { loss, seed: 11, ..Impairment::default() });
            assert!((level(&impaired.frames) - level(&clean.frames)).abs() < 1.0);
            likeness::<2400>(&clean, &impaired)
        });
        println!("loss {:2.0} %: likeness {g722:.3} of G.722, {g711:.3} of G.711", loss * 100.0);
        // How hard these recordings are to conceal is the same for both; G.722 carries twice the band, and its predictors take a moment
        // to find back.
        assert!(1.0 - g722 < 1.75 * (1.0 - g711), "{g722}, {g711}");
    }
}

#[test]
fn jitter_costs_delay_and_hardly_any_sound() {
    let clean = heard("PCMU", Impairment::default());
    let impaired = heard("PCMU", Impairment { jitter_ms: 60.0, seed: 5, ..Impairment::default() });
    let (likeness, waiting) = (likeness::<1600>(&clean, &impaired), waiting_ms(&impaired, 100));
    let change = level(&impaired.frames) - level(&clean.frames);
    println!(
        "jitter 60 ms: likeness {likeness:.3}, level {change:+.2} dB, waiting {waiting:.1} ms, {:?}",
        impaired.stats
    );
    assert!((70..=85).contains(&impaired.stats.target_ms), "{}", impaired.stats.target_ms);
    // Packets come 30 ms late on average, and wait for the rest.
    assert!(waiting < impaired.stats.target_ms as f64, "{waiting}");
    let concealed = impaired.stats.concealed as f64 / impaired.frames.len() as f64;
    assert!(concealed < 0.015, "{concealed}");
    assert!(change.abs() < 1.0, "{change} dB");
    assert!(likeness > 0.98, "{likeness}");
}

#[test]
fn the_delay_of_jitter_goes_when_the_jitter_goes() {
    let (session, frames) = (session("PCMU"), speech());
    let calm = Impairment::default().carry(&session, &frames);
    let mut arriving = Impairment { jitter_ms: 60.0, seed: 9, ..Impairment::default() }.carry(&session, &frames);
    let until = Duration::from_secs(10);
    arriving.retain(|(arrival, _)| *arrival < until);
    arriving.extend(
        calm.into_iter().filter(|(_, later)| !arriving.iter().any(|(_, sooner)| sooner == later)).collect::<Vec<_>>(),
    );
    arriving.sort_by_key(|(arrival, _)| *arrival);
    let replay = replay(&session, &LegOptions::default(), &arriving, Duration::from_millis(20 * frames.len() as u64));
    let mean = |from: usize, to: usize| {
        let ages: Vec<f64> = replay.ages[from..to].iter().flatten().map(Duration::as_secs_f64).collect();
        1000.0 * ages.iter().sum::<f64>() / ages.len() as f64
    };
    let (during, after) = (mean(400, 490), mean(900, 1000));
    println!("waiting {during:.1} ms in the jitter, {after:.1} ms ten seconds after it");
    assert!(during > 25.0, "{during}");
    assert!(after < 15.0, "{after}");
    assert_eq!(replay.stats.target_ms, 20);
}

#[test]
fn a_drifting_clock_costs_nothing_that_is_heard() {
    let clean = heard("PCMU", Impairment::default());
    for drift_ppm in [100.0, -100.0, 2000.0, -2000.0] {
        let impaired = heard("PCMU", Impairment { drift_ppm, ..Impairment::default() });
        let (likeness, waiting) = (likeness::<1600>(&clean, &impaired), waiting_ms(&impaired, 0));
        let change = level(&impaired.frames) - level(&clean.frames);
        println!("drift {drift_ppm} ppm: likeness {likeness:.3}, level {change:+.2} dB, waiting {waiting:.1} ms");
        assert_eq!((impaired.stats.lost, impaired.stats.concealed, impaired.stats.late), (0, 0, 0));
        assert!(likeness > 0.98, "{likeness}");
        assert!(change.abs() < 0.3, "{change} dB");
        assert!(waiting < 25.0, "{waiting}");
    }
}

#[test]
fn jitter_and_drift_cost_wide_band_codecs_no_more_than_g711() {
    for codec in ["G722", "opus"] {
        let clean = heard(codec, Impairment::default());
        assert!((level(&clean.frames) - level(&speech())).abs() < 1.0, "{codec}");
        for (line, most_ms) in [
            (Impairment { jitter_ms: 60.0, seed: 5, ..Impairment::default() }, 60.0),
            (Impairment { drift_ppm: 100.0, ..Impairment::default() }, 15.0),
            (Impairment { drift_ppm: -100.0, ..Impairment::default() }, 15.0),
            (Impairment { jitter_ms: 60.0, drift_ppm: 100.0, seed: 5, ..Impairment::default() }, 60.0),
        ] {
            let impaired = heard(codec, line);
            let (likeness, waiting) = (likeness::<2400>(&clean, &impaired), waiting_ms(&impaired, 100));
            let change = level(&impaired.frames) - level(&clean.frames);
            let concealed = impaired.stats.concealed as f64 / impaired.frames.len() as f64;
            println!(
                "{codec}, jitter {} ms, drift {} ppm: likeness {likeness:.3}, level {change:+.2} dB, waiting {waiting:.1} ms, \
                 target {} ms, concealed {:.1} %",
                line.jitter_ms,
                line.drift_ppm,
                impaired.stats.target_ms,
                concealed * 100.0
            );
            assert!(waiting < most_ms, "{codec}: {waiting} ms");
            assert!(change.abs() < 1.0, "{codec}: {change} dB");
            assert!(concealed < if line.jitter_ms > 0.0 { 0.015 } else { 0.001 }, "{codec}: {concealed}");
            assert!(likeness > 0.98, "{codec}: {likeness}");
        }
    }
}

#[test]
fn all_of_it_at_once_is_still_speech() {
    let clean = heard("PCMA", Impairment::default());
    let line = Impairment { loss: 0.05, burst: 2.0, jitter_ms: 40.0, drift_ppm: -100.0, seed: 21 };
    let impaired = heard("PCMA", line);
    let likeness = likeness::<1600>(&clean, &impaired);
    println!("loss 5 %, jitter 40 ms, drift -100 ppm: likeness {likeness:.3}, {:?}", impaired.stats);
    assert!(likeness > 0.96, "{likeness}");
    assert!((level(&impaired.frames) - level(&clean.frames)).abs() < 1.0);
    assert!(impaired.stats.target_ms <= 65, "{}", impaired.stats.target_ms);
}

#[test]
#[ignore = "measures"]
fn a_frame_costs_little() {
    // Nanoseconds that this thread had the processor.
    let spent = || -> f64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
        text.split(' ').next().and_then(|time| time.parse().ok()).expect("a number")
    };
    let frames = speech().repeat(10);
    for (name, codec, line) in [
        ("clean", "PCMU", Impairment::default()),
        ("drift of 100 ppm", "PCMU", Impairment { drift_ppm: 100.0, ..Impairment::default() }),
        ("jitter of 60 ms", "PCMU", Impairment { jitter_ms: 60.0, ..Impairment::default() }),
        ("loss of 10 %", "PCMU", Impairment { loss: 0.1, ..Impairment::default() }),
    ] {
        let session = session(codec);
        let arriving = line.carry(&session, &frames);
        let before = spent();
        let replay =
            replay(&session, &LegOptions::default(), &arriving, Duration::from_millis(20 * frames.len() as u64));
        let each = (spent() - before) / 1e3 / replay.frames.len() as f64;
        println!("{codec}, {name}: {each:.2} us a frame, to 16 kHz");
        assert!(each < 100.0, "{each} us");
    }
}
