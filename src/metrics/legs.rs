//! How legs were, each counted once, as it ended.

use milo_media::{CODECS, OneWay, Quality};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::add;

/// Scores of the E-model: each bound is where people's words for a call change (G.107 annex B), and some between.
const SCORES: [f64; 9] = [1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.2, 4.34, 4.5];

/// Shares of a call, from what nobody hears to what nobody understands.
const SHARES: [f64; 9] = [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// Seconds of a line, from the next room to two satellites.
const DELAYS: [f64; 10] = [0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.0];

/// Levels of speech in dBFS, from what nobody hears to what is cut off.
const LEVELS: [f64; 9] = [-48.0, -40.0, -36.0, -30.0, -24.0, -20.0, -16.0, -12.0, -6.0];

/// Why a datagram was not heard.
const REFUSED: [&str; 3] = ["not the peer's", "unauthentic", "replayed"];

/// The figures of legs.
#[derive(Debug)]
pub(super) struct Legs {
    mos: HistogramVec,
    loss: HistogramVec,
    concealed: HistogramVec,
    jitter: HistogramVec,
    level: HistogramVec,
    round_trip: Histogram,
    far_mos: Histogram,
    far_loss: Histogram,
    far_jitter: Histogram,
    clipped: IntCounter,
    one_way: IntCounterVec,
    refused: IntCounterVec,
}

impl Legs {
    pub(super) fn new(r: &Registry) -> Self {
        let counters =
            |name: &str, help: &str, label: &str| add(r, IntCounterVec::new(Opts::new(name, help), &[label]));
        let options = |name: &str, help: &str, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.into());
        let histogram =
            |name: &str, help: &str, buckets: &[f64]| add(r, Histogram::with_opts(options(name, help, buckets)));
        let by_codec = |name: &str, help: &str, buckets: &[f64]| {
            add(r, HistogramVec::new(options(name, help, buckets), &["codec"]))
        };
        let legs = Self {
            mos: by_codec("milo_leg_mos", "Estimated score of a leg that ended, 1 to 4.5.", &SCORES),
            loss: by_codec("milo_leg_loss_ratio", "Share of a leg's packets that did not come in time.", &SHARES),
            concealed: by_codec("milo_leg_concealed_ratio", "Share of a leg's sound that was invented.", &SHARES),
            jitter: by_codec("milo_leg_jitter_seconds", "The greatest jitter of a leg.", &DELAYS),
            level: by_codec("milo_leg_level_dbfs", "Level of a leg's speech in dBFS, pauses left out.", &LEVELS),
            round_trip: histogram(
                "milo_leg_round_trip_seconds",
                "From Milo to a leg's other end and back, where its reports tell.",
                &DELAYS,
            ),
            far_mos: histogram(
                "milo_leg_far_mos",
                "Score of Milo's sound at a leg's other end, where it tells.",
                &SCORES,
            ),
            far_loss: histogram(
                "milo_leg_far_loss_ratio",
                "Share of Milo's packets that a leg's other end missed, where its reports tell.",
                &SHARES,
            ),
            far_jitter: histogram(
                "milo_leg_far_jitter_seconds",
                "Jitter of Milo's packets at a leg's other end, where its reports tell.",
                &DELAYS,
            ),
            clipped: add(
                r,
                IntCounter::new(
                    "milo_legs_clipped_total",
                    "Legs of whose speech more than one sample in a thousand was at the end of the scale.",
                ),
            ),
            one_way: counters(
                "milo_legs_one_way_total",
                "Legs that ended while sound seemed to go one way only, by what was seen.",
                "kind",
            ),
            refused: counters(
                "milo_rtp_refused_total",
                "Datagrams to RTP ports of calls that were not heard: no RTP of the peer's, a wrong tag, or a replay.",
                "why",
            ),
        };
        for codec in CODECS {
            for histogram in [&legs.mos, &legs.loss, &legs.concealed, &legs.jitter, &legs.level] {
                histogram.with_label_values(&[codec.name]);
            }
        }
        // Shown as 0 from the start.
        for kind in [OneWay::NoPackets, OneWay::OnlySilence, OneWay::Unheard] {
            legs.one_way.with_label_values(&[kind.as_str()]);
        }
        for why in REFUSED {
            legs.refused.with_label_values(&[why]);
        }
        legs
    }

    /// A leg ended that was like this.
    pub(super) fn ended(&self, quality: &Quality) {
        if let (Some(codec), Some(mos)) = (quality.codec, quality.mos) {
            let codec = &[codec];
            self.mos.with_label_values(codec).observe(mos);
            self.loss.with_label_values(codec).observe(quality.loss_percent / 100.0);
            self.concealed.with_label_values(codec).observe(quality.concealed_percent / 100.0);
            self.jitter.with_label_values(codec).observe(quality.jitter_most_ms as f64 / 1e3);
            if let Some(level) = quality.level_dbfs {
                self.level.with_label_values(codec).observe(level);
            }
        }
        for (histogram, value) in [
            (&self.round_trip, quality.round_trip_ms.map(|ms| ms / 1e3)),
            (&self.far_mos, quality.far_mos),
            (&self.far_loss, quality.far_loss_percent.map(|percent| percent / 100.0)),
            (&self.far_jitter, quality.far_jitter_ms.map(|ms| ms as f64 / 1e3)),
        ] {
            value.iter().for_each(|value| histogram.observe(*value));
        }
        self.clipped.inc_by(u64::from(quality.clipping_percent > 0.1));
        if let Some(kind) = quality.one_way {
            self.one_way.with_label_values(&[kind.as_str()]).inc();
        }
        for (why, count) in REFUSED.iter().zip([quality.ignored, quality.unauthentic, quality.replayed]) {
            self.refused.with_label_values(&[why]).inc_by(count);
        }
    }
}
