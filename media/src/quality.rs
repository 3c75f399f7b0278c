//! What a call is like to listen to, as far as numbers can say: the E-model (ITU-T G.107) and the level of what is heard.
//!
//! The E-model starts from 93.2, a perfect narrow-band call, and takes away for delay (`Idd`) and for what the codec and
//! lost packets do (`Ie-eff`); the rest, R, is a score from 1 to 4.5 by a fixed curve. Echo is taken to be under control.
//! The scale is that of narrow-band telephony for every codec, so that calls can be compared: a wide-band codec sounds
//! better than its score.

use crate::{FRAME_MS, LegStats, codec, rtp::PassedOver};

/// R of a call that nothing impairs: all defaults of G.107.
const BEST: f32 = 93.2;
/// Samples this loud are at the end of the scale: the greatest value of µ-law is 32124, that of A-law 32256.
const CLIPPED: u16 = 32_000;
/// Root mean square, squared, below which a frame is silence on purpose: A-law has no zero, its least value is 8.
const SILENT: i64 = 16 * 16;
/// Speech stands out from the noise by 12 dB (a factor of 16 in power), and is above -56 dBFS.
const ABOVE_NOISE: i64 = 16;
const LEAST_SPEECH: i64 = 50 * 50;
/// The estimate of the noise falls at once and rises by 1/200 a frame, about 1 dB a second.
const NOISE_RISES: i64 = 200;
/// Frames after which a line that should carry sound both ways and does not is suspected: five seconds without a
/// packet, twenty of nothing but silence.
const NO_PACKETS: u64 = 250;
const NO_SOUND: u64 = 1000;
/// Reports of the peer in a row in which nothing of ours had arrived.
const UNHEARD: u32 = 2;
/// Frames that are too few for a score.
const TOO_FEW: u64 = 50;

/// What a codec does to speech (ITU-T G.113): the impairment without loss, and the robustness against it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Impairment {
    ie: f32,
    bpl: f32,
}

/// G.711 with concealment is G.113 appendix I. G.722 and Opus are wide-band: without loss they take nothing away on this
/// scale; their robustness is our estimate (G.722 conceals as G.711 does but smears each loss over its predictor's memory;
/// Opus conceals better, and what its FEC brings back counts as no loss).
fn impairment(codec: &str) -> Impairment {
    match codec {
        "G722" => Impairment { ie: 0.0, bpl: 15.0 },
        "opus" => Impairment { ie: 0.0, bpl: 28.0 },
        _ => Impairment { ie: 0.0, bpl: 25.1 },
    }
}

/// What the E-model is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Heard {
    /// The codec's name.
    pub(crate) codec: &'static str,
    /// Share of the sound that is missing and was invented, in percent.
    pub(crate) missing_percent: f32,
    /// How much longer the holes are than those of random loss: 1 for random, more for bursts (BurstR of G.107).
    pub(crate) burstiness: f32,
    /// From mouth to ear, one way.
    pub(crate) delay_ms: f32,
}

/// R of the E-model, 0 to 93.2.
pub(crate) fn rating(heard: &Heard) -> f32 {
    let Impairment { ie, bpl } = impairment(heard.codec);
    rated(ie, bpl, heard)
}

fn rated(ie: f32, bpl: f32, heard: &Heard) -> f32 {
    let missing = heard.missing_percent.clamp(0.0, 100.0);
    let lost = ie + (95.0 - ie) * missing / (missing / heard.burstiness.clamp(1.0, 8.0) + bpl);
    (BEST - delay_impairment(heard.delay_ms) - lost).clamp(0.0, BEST)
}

/// `Idd` of G.107: nothing up to 100 ms, then ever more.
fn delay_impairment(delay_ms: f32) -> f32 {
    if delay_ms <= 100.0 {
        return 0.0;
    }
    let x = (delay_ms / 100.0).log2();
    let root = |x: f32| (1.0 + x.powi(6)).powf(1.0 / 6.0);
    25.0 * (root(x) - 3.0 * root(x / 3.0) + 2.0)
}

/// The mean opinion score that stands for R (G.107 annex B).
pub(crate) fn mos(rating: f32) -> f32 {
    let r = rating.clamp(0.0, 100.0);
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// The level of what is heard, measured frame by frame before anything is made of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level {
    /// Frames heard, frames of which a part was invented, and rows of such frames.
    frames: u64,
    concealed: u64,
    rows: u64,
    was_concealed: bool,
    /// Mean power of the noise.
    noise: i64,
    /// Frames of speech, the sum of their mean powers, their samples and those at the end of the scale.
    speech: u64,
    power: i64,
    samples: u64,
    clipped: u64,
    /// Milliseconds lost of what passed to another leg unheard.
    missed_ms: u64,
    /// Frames since something was heard that is not silence, and since a packet came that was more than comfort noise.
    silent: u64,
    stopped: u64,
}

impl Level {
    /// A frame of the codec's samples. `invented`: some of it stands for lost packets.
    pub(crate) fn hear(&mut self, samples: &[i16], invented: bool) {
        self.frames += 1;
        self.concealed += u64::from(invented);
        self.rows += u64::from(invented && !self.was_concealed);
        self.was_concealed = invented;
        self.silent += 1;
        self.stopped = if samples.is_empty() { self.stopped + 1 } else { 0 };
        if invented || samples.is_empty() {
            return;
        }
        let (mut sum, mut clipped) = (0i64, 0u32);
        for &sample in samples {
            sum += i64::from(i32::from(sample) * i32::from(sample));
            clipped += u32::from(sample.unsigned_abs() >= CLIPPED);
        }
        let power = sum / samples.len() as i64;
        if power > SILENT {
            self.silent = 0;
        }
        let risen = if self.noise == 0 { power } else { self.noise + self.noise / NOISE_RISES };
        self.noise = power.min(risen).max(LEAST_SPEECH / ABOVE_NOISE);
        if power > LEAST_SPEECH && power > self.noise.saturating_mul(ABOVE_NOISE) {
            self.speech += 1;
            self.power += power;
            self.samples += samples.len() as u64;
            self.clipped += u64::from(clipped);
        }
    }

    /// 20 ms that passed to another leg as packets, unheard. What is lost of them is missing there.
    pub(crate) fn passes(&mut self, over: PassedOver) {
        let lost = over.lost_ms > 0;
        self.frames += 1;
        self.missed_ms += over.lost_ms;
        self.concealed += over.lost_ms.div_ceil(FRAME_MS.into());
        self.rows += u64::from(lost && !self.was_concealed);
        self.was_concealed = lost;
        (self.silent, self.stopped) = if over.came { (0, 0) } else { (self.silent + 1, self.stopped + 1) };
    }

    /// Nothing was to be heard in this frame: by agreement, or because nothing has ever come.
    pub(crate) fn pass(&mut self) {
        self.silent += 1;
        self.stopped += 1;
    }

    /// A new agreement: what was silent before says nothing any more.
    pub(crate) fn listen_anew(&mut self) {
        (self.silent, self.stopped) = (0, 0);
    }

    /// Frames heard, or passed to another leg.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// Level of the speech in tenths of a decibel below full scale, 0 when there was none. A full-scale sine is 30.
    pub(crate) fn tenths_below(&self) -> u64 {
        if self.speech == 0 {
            return 0;
        }
        let power = self.power as f64 / self.speech as f64 / (32_768.0 * 32_768.0);
        (-100.0 * power.log10()).round().max(1.0) as u64
    }

    /// Samples of speech at the end of the scale, a million.
    pub(crate) fn clipped_ppm(&self) -> u64 {
        self.clipped * 1_000_000 / self.samples.max(1)
    }

    /// How much longer the invented stretches are than those that random loss of the same share would make.
    pub(crate) fn burstiness(&self) -> f32 {
        let share = self.concealed as f32 / self.frames.max(1) as f32;
        (self.concealed as f32 / self.rows.max(1) as f32 * (1.0 - share)).max(1.0)
    }
}

/// Why a line seems to carry sound one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneWay {
    /// We send, and no packet comes, or none any more.
    NoPackets,
    /// Packets come, and they are silence.
    OnlySilence,
    /// The peer's reports say that nothing of ours arrives.
    Unheard,
}

impl OneWay {
    const ALL: [Self; 3] = [Self::NoPackets, Self::OnlySilence, Self::Unheard];

    /// `no packets`, `only silence` or `unheard`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPackets => "no packets",
            Self::OnlySilence => "only silence",
            Self::Unheard => "unheard",
        }
    }

    /// The suspicion, for a line on which both sides should speak. `rests`: the peer has said with comfort noise that it is
    /// silent.
    pub(crate) fn suspect(level: &Level, rests: bool, unheard: u32) -> Option<Self> {
        if unheard >= UNHEARD {
            Some(Self::Unheard)
        } else if level.stopped >= NO_PACKETS && !rests {
            Some(Self::NoPackets)
        } else if level.silent >= NO_SOUND {
            Some(Self::OnlySilence)
        } else {
            None
        }
    }

    /// The word that a gauge holds: 0 for no suspicion.
    pub(crate) fn code(suspicion: Option<Self>) -> u64 {
        suspicion.map_or(0, |kind| kind as u64 + 1)
    }
}

/// How a leg's line was, in the units that people read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The codec's name, `None` before one is agreed.
    pub codec: Option<&'static str>,
    /// Packets of the peer that did not come in time, in percent.
    pub loss_percent: f64,
    /// Sound that was invented for want of packets, in percent of the time.
    pub concealed_percent: f64,
    /// Interarrival jitter of RFC 3550, in milliseconds: the newest figure and the greatest.
    pub jitter_ms: u64,
    /// The greatest of them.
    pub jitter_most_ms: u64,
    /// From here to the peer and back, when its reports tell.
    pub round_trip_ms: Option<f64>,
    /// Packets of ours that the peer missed, when its reports tell, in percent.
    pub far_loss_percent: Option<f64>,
    /// Jitter of our packets as the peer measures it, when its reports tell, in milliseconds.
    pub far_jitter_ms: Option<u64>,
    /// What our sound is like at the peer, 1 to 5, when it says so in extended reports (RFC 3611 section 4.7).
    pub far_mos: Option<f64>,
    /// Estimated score, 1 to 4.5; `None` before a second of sound was heard.
    pub mos: Option<f64>,
    /// Level of the speech in dBFS.
    pub level_dbfs: Option<f64>,
    /// Samples of speech at the end of the scale, in percent.
    pub clipping_percent: f64,
    /// The line seems to carry sound one way only.
    pub one_way: Option<OneWay>,
    /// Datagrams that were not heard: not of the peer's, or no RTP of this call.
    pub ignored: u64,
    /// SRTP packets with a wrong tag.
    pub unauthentic: u64,
    /// SRTP packets that came before, or too late to tell.
    pub replayed: u64,
}

impl LegStats {
    /// The same figures in the units that people read.
    pub fn quality(&self) -> Quality {
        let percent = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
        let has = |value: u64, scale: f64| (value > 0).then(|| value as f64 / scale);
        let index = (self.codec as usize).checked_sub(1);
        let one_way = (self.one_way as usize).checked_sub(1);
        Quality {
            codec: index.and_then(|index| codec::all().nth(index)).map(|codec| codec.name),
            loss_percent: percent(self.lost, self.received + self.lost),
            concealed_percent: percent(self.concealed, self.frames),
            jitter_ms: self.jitter_ms,
            jitter_most_ms: self.jitter_most_ms,
            round_trip_ms: has(self.round_trip_us, 1e3),
            far_loss_percent: (self.rtcp_received > 0).then(|| percent(self.far_lost, self.sent)),
            far_jitter_ms: (self.rtcp_received > 0).then_some(self.far_jitter_ms),
            far_mos: has(self.far_mos_tenths, 10.0),
            mos: has(self.mos_hundredths, 100.0),
            level_dbfs: has(self.level_below, -10.0),
            clipping_percent: self.clipped_ppm as f64 / 1e4,
            one_way: one_way.and_then(|index| OneWay::ALL.get(index)).copied(),
            ignored: self.ignored,
            unauthentic: self.unauthentic,
            replayed: self.replayed,
        }
    }

    /// What the E-model is told by these figures.
    pub(crate) fn heard(&self, codec: &'static str, level: &Level) -> Heard {
        // What was invented, not what was lost: a packet that FEC brings back is not missed, one that comes too late is. Of what
        // passed to another leg nothing was invented here, and all that was lost is missing.
        let frame_ms = u64::from(FRAME_MS);
        let missing_ms = self.concealed * frame_ms + level.missed_ms;
        let missing_percent = missing_ms as f32 * 100.0 / (self.frames.max(1) * frame_ms) as f32;
        let burstiness = level.burstiness();
        // A packet there, a frame here, the buffer, and half of the way there and back.
        let delay_ms = 40.0 + self.target_ms as f32 + self.round_trip_us as f32 / 2e3;
        Heard { codec, missing_percent, burstiness, delay_ms }
    }

    /// The score that these figures come to, in hundredths; 0 when there is too little to judge by.
    pub(crate) fn scored(&self, heard: &Heard) -> u64 {
        if self.frames < TOO_FEW || self.received == 0 {
            return 0;
        }
        (mos(rating(heard)) * 100.0).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Heard = Heard { codec: "PCMU", missing_percent: 0.0, burstiness: 1.0, delay_ms: 60.0 };

    #[test]
    fn the_e_model_gives_the_figures_of_the_recommendation() {
        // G.107: the default connection is 93.2, which is 4.41.
        assert_eq!(rating(&GOOD), 93.2);
        assert!((mos(93.2) - 4.41).abs() < 0.005, "{}", mos(93.2));
        // Annex B: R of 90, 80, 70, 60 and 50 are 4.34, 4.03, 3.60, 3.10 and 2.58.
        for (r, score) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58), (0.0, 1.0)] {
            assert!((mos(r) - score).abs() < 0.01, "R of {r}: {}", mos(r));
        }
        // Table of Idd: nothing at 100 ms, 24 at 400 ms.
        assert_eq!(delay_impairment(100.0), 0.0);
        assert!((delay_impairment(400.0) - 24.1).abs() < 0.1, "{}", delay_impairment(400.0));
    }

    #[test]
    fn loss_costs_what_g_113_says() {
        // G.711 at 2 %: with concealment 95 * 2 / (2 + 25.1) = 7.0, without it 95 * 2 / (2 + 4.3) = 30.2.
        let lossy = Heard { missing_percent: 2.0, ..GOOD };
        assert!((BEST - rating(&lossy) - 7.0).abs() < 0.05);
        assert!((BEST - rated(0.0, 4.3, &lossy) - 30.2).abs() < 0.05);
        assert!(rating(&Heard { burstiness: 3.0, ..lossy }) < rating(&lossy));
        assert!(rating(&Heard { codec: "opus", ..lossy }) > rating(&lossy));
        assert!(rating(&Heard { codec: "G722", ..lossy }) < rating(&lossy));
    }

    #[test]
    fn worse_is_never_better() {
        let mut last = f32::MAX;
        for percent in 0..=100 {
            let score = mos(rating(&Heard { missing_percent: percent as f32, ..GOOD }));
            assert!(score <= last, "{percent} %");
            last = score;
        }
        assert!(last < 1.5, "{last}");
    }

    fn tone(amplitude: f32, phase: usize) -> Vec<i16> {
        (0..160).map(|at| (amplitude * ((at + phase) as f32 * 0.7).sin()) as i16).collect()
    }

    #[test]
    fn the_level_is_that_of_the_speech_not_of_the_pauses() {
        let mut level = Level::default();
        for second in 0..10 {
            for frame in 0..50 {
                // Half a second of speech at -26 dBFS, half a second of noise 30 dB below.
                let amplitude = 32_768.0 * 0.05 * 2f32.sqrt() / if frame < 25 { 1.0 } else { 31.6 };
                level.hear(&tone(amplitude, second * 50 + frame), false);
            }
        }
        assert!((258..=262).contains(&level.tenths_below()), "{}", level.tenths_below());
        assert_eq!(level.clipped_ppm(), 0);
        assert_eq!(Level::default().tenths_below(), 0);
    }

    #[test]
    fn clipping_is_counted() {
        let mut level = Level::default();
        for at in 0..50 {
            let loud: Vec<i16> = tone(60_000.0, at).iter().map(|&sample| sample.clamp(-32_124, 32_124)).collect();
            level.hear(&[0; 160], false);
            level.hear(&loud, false);
        }
        // Beyond 32/60 of the way up: 64 % of a sine.
        assert!((600_000..700_000).contains(&level.clipped_ppm()), "{}", level.clipped_ppm());
    }

    #[test]
    fn bursts_are_told_from_single_losses() {
        let (mut single, mut bursts) = (Level::default(), Level::default());
        for at in 0..1000 {
            single.hear(&[500; 160], at % 20 == 0);
            bursts.hear(&[500; 160], at % 100 < 5);
        }
        assert_eq!(single.burstiness(), 1.0);
        assert!((bursts.burstiness() - 4.75).abs() < 0.01, "{}", bursts.burstiness());
    }

    #[test]
    fn a_line_that_carries_one_way_is_suspected_and_a_pause_is_not() {
        let mut level = Level::default();
        (0..249).for_each(|_| level.pass());
        assert_eq!(OneWay::suspect(&level, false, 0), None);
        level.pass();
        assert_eq!(OneWay::suspect(&level, false, 0), Some(OneWay::NoPackets));
        assert_eq!(OneWay::suspect(&level, false, 2), Some(OneWay::Unheard));
        // A-law's silence.
        (0..800).for_each(|_| level.hear(&[8; 160], false));
        assert_eq!(OneWay::suspect(&level, false, 0), Some(OneWay::OnlySilence));
        level.hear(&tone(1000.0, 0), false);
        assert_eq!(OneWay::suspect(&level, false, 1), None);
        (0..999).for_each(|_| level.hear(&[8; 160], false));
        assert_eq!(OneWay::suspect(&level, false, 0), None);
    }

    #[test]
    fn packets_that_stop_midway_are_no_silence_that_comes() {
        let mut level = Level::default();
        (0..1000).for_each(|at| level.hear(&tone(1000.0, at), false));
        (0..250).for_each(|_| level.hear(&[], true));
        assert_eq!(OneWay::suspect(&level, false, 0), Some(OneWay::NoPackets));
        assert_eq!(OneWay::suspect(&level, true, 0), None, "after comfort noise it is silence on purpose");
        level.passes(PassedOver { came: true, lost_ms: 0 });
        (0..249).for_each(|_| level.passes(PassedOver::default()));
        assert_eq!(OneWay::suspect(&level, false, 0), None);
        level.passes(PassedOver::default());
        assert_eq!(OneWay::suspect(&level, false, 0), Some(OneWay::NoPackets), "where they passed to another leg, too");
    }

    #[test]
    fn what_is_lost_of_a_stream_that_passes_counts_as_what_is_invented_of_one_that_is_heard() {
        let (mut heard, mut passed) = (Level::default(), Level::default());
        for at in 0..1000 {
            let lost = at % 50 == 0;
            heard.hear(&[500; 160], lost);
            passed.passes(PassedOver { came: true, lost_ms: if lost { 20 } else { 0 } });
        }
        let stats = LegStats { received: 980, lost: 20, frames: 1000, ..LegStats::default() };
        let score = |concealed, level: &Level| {
            let stats = LegStats { concealed, ..stats };
            stats.scored(&stats.heard("PCMA", level))
        };
        assert_eq!(score(20, &heard), score(0, &passed));
        assert!((415..=430).contains(&score(0, &passed)), "{}", score(0, &passed));
        assert_eq!(heard.burstiness(), passed.burstiness());
    }

    #[test]
    fn figures_are_read_in_the_units_of_people() {
        let stats = LegStats {
            codec: 1,
            received: 95,
            lost: 5,
            frames: 100,
            concealed: 6,
            round_trip_us: 81_500,
            mos_hundredths: 387,
            level_below: 263,
            clipped_ppm: 1_500,
            one_way: 2,
            ..LegStats::default()
        };
        let quality = stats.quality();
        assert_eq!(quality.codec, Some(crate::CODECS[0].name));
        assert_eq!((quality.loss_percent, quality.concealed_percent), (5.0, 6.0));
        assert_eq!((quality.round_trip_ms, quality.mos, quality.level_dbfs), (Some(81.5), Some(3.87), Some(-26.3)));
        assert_eq!((quality.clipping_percent, quality.one_way), (0.15, Some(OneWay::OnlySilence)));
        assert_eq!(LegStats::default().quality().mos, None);
    }

    #[test]
    fn a_score_follows_the_line() {
        let scored = |lost, round_trip_us| {
            let stats = LegStats {
                received: 1000 - lost,
                lost,
                frames: 1000,
                concealed: lost,
                target_ms: 40,
                round_trip_us,
                ..LegStats::default()
            };
            stats.scored(&stats.heard("PCMA", &Level::default()))
        };
        assert_eq!(scored(0, 0), 441);
        assert!((415..=430).contains(&scored(20, 40_000)), "{}", scored(20, 40_000));
        assert!((215..=235).contains(&scored(100, 600_000)), "{}", scored(100, 600_000));
        assert_eq!(LegStats::default().scored(&GOOD), 0);
    }
}
