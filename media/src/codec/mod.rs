//! The table of codecs: one constant a codec, one file a family, one line here.

use std::fmt;

mod g711;
mod g722;
mod l16;
mod opus;

pub use g711::{PCMA, PCMU};
pub use g722::G722;
pub use l16::L16;
pub use opus::OPUS;

/// Every codec Milo speaks, in the order it prefers them: Opus can repair loss and takes a third of the bandwidth; G.722
/// is wide-band for the price of G.711; of G.711, the A-law of most of the world.
pub static CODECS: &[&Codec] = &[&OPUS, &G722, &PCMA, &PCMU];

/// Every codec there is, those that no telephone is offered among them; their places in this order number them.
pub(crate) fn all() -> impl Iterator<Item = &'static Codec> {
    CODECS.iter().copied().chain([&L16])
}

/// One audio codec as RTP carries it.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// Encoding name of RFC 3551, as in `a=rtpmap`.
    pub name: &'static str,
    /// Static payload type, or the one we offer when it is dynamic.
    pub payload_type: u8,
    /// RTP clock rate in Hz, as in `a=rtpmap`: the unit of timestamps.
    pub clock_rate: u32,
    /// Rate of the audio that goes in and comes out, in Hz: 8000 or 16000 (not always the RTP clock: G.722, Opus).
    pub sample_rate: u32,
    /// Channels as `a=rtpmap` names them; what goes in and comes out is mono.
    pub channels: u8,
    /// What our `a=fmtp` says of it.
    pub fmtp: Option<&'static str>,
    /// Milliseconds that a packet may have, shortest first.
    pub ptimes_ms: &'static [u32],
    /// The encoder can leave silence out by itself ([`Tuning::dtx`]).
    pub pauses: bool,
    /// Makes the encoder of a stream that begins.
    pub encoder: fn() -> Box<dyn Encoder>,
    /// Makes the decoder of a stream that begins.
    pub decoder: fn() -> Box<dyn Decoder>,
}

/// The sending side of one stream.
pub trait Encoder: fmt::Debug + Send {
    /// Appends the payload of one packet: samples at [`Codec::sample_rate`], as many as one of [`Codec::ptimes_ms`] has.
    /// Nothing appended means that there is nothing to send (DTX).
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>);

    /// This share of our packets is lost on the way, in percent: an encoder that can protect them does.
    fn expect_loss(&mut self, _percent: u8) {}

    /// What is wanted of it from now on; a codec that has no choice takes no notice.
    fn tune(&mut self, _tuning: &Tuning) {}
}

/// What may be wanted of an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Bits a second for the voice; repetition takes more, see [`Tuning::repeating`].
    pub bitrate: u32,
    /// Bits a second never to be exceeded: what the other side can take.
    pub most: u32,
    /// In silence, send nothing (discontinuous transmission).
    pub dtx: bool,
    /// Where loss is expected, repeat in each packet what the one before it held (in-band FEC).
    pub fec: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { bitrate: 24_000, most: u32::MAX, dtx: false, fec: true }
    }
}

impl Tuning {
    /// Bits a second for the voice with its repetition. At the bitrate of the voice alone it would cost the voice more than
    /// it gives back; with a third more, speech over 2 to 20 % of loss is nearer to the original than without it.
    pub const fn repeating(&self) -> u32 {
        self.bitrate.saturating_add(self.bitrate / 3)
    }
}

/// The receiving side of one stream. Nothing that comes from the wire makes it panic.
pub trait Decoder: fmt::Debug + Send {
    /// Samples at [`Codec::sample_rate`] that this payload holds; `None` when it is malformed.
    fn samples(&self, payload: &[u8]) -> Option<usize>;

    /// Appends the samples of this payload, as many as [`Decoder::samples`] says.
    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>);

    /// Appends `samples` samples in place of lost ones; `false`, with nothing appended, when the codec knows no better
    /// than anybody.
    fn conceal(&mut self, _samples: usize, _out: &mut Vec<i16>) -> bool {
        false
    }

    /// Does this payload repeat the packet before it, so that [`Decoder::recover`] can use it?
    fn repeats(&self, _payload: &[u8]) -> bool {
        false
    }

    /// Appends `samples` samples of the lost packet that stood before `next`, out of what `next` repeats of it; `false`,
    /// with nothing appended, when it repeats nothing.
    fn recover(&mut self, _next: &[u8], _samples: usize, _out: &mut Vec<i16>) -> bool {
        false
    }
}

impl Codec {
    /// The codec of this encoding name (any case, RFC 4855 section 3).
    pub fn named(name: &str) -> Option<&'static Self> {
        CODECS.iter().copied().find(|codec| codec.name.eq_ignore_ascii_case(name))
    }

    /// The codec of this static payload type (RFC 3551 section 6).
    pub fn of_payload_type(payload_type: u8) -> Option<&'static Self> {
        CODECS.iter().copied().find(|codec| codec.payload_type == payload_type && payload_type < 96)
    }

    /// Samples in 20 ms at the codec's own rate.
    pub const fn samples_per_frame(&self) -> usize {
        self.sample_rate as usize / 50
    }

    /// Samples in this much time of the RTP clock.
    pub const fn samples_in(&self, ticks: i32) -> i32 {
        (ticks as i64 * self.sample_rate as i64 / self.clock_rate as i64) as i32
    }

    /// Time on the RTP clock that this many samples take.
    pub const fn ticks_of(&self, samples: usize) -> u32 {
        (samples as u64 * self.clock_rate as u64 / self.sample_rate as u64) as u32
    }

    /// The longest packet that is no longer than asked for, in milliseconds; the shortest when none is.
    pub fn ptime_ms(&self, wanted_ms: u32) -> u32 {
        let fits = self.ptimes_ms.iter().rev().find(|ptime| **ptime <= wanted_ms);
        fits.or(self.ptimes_ms.first()).copied().unwrap_or(20)
    }
}

impl PartialEq for Codec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Codec {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_by_name_in_any_case_and_by_static_payload_type() {
        assert_eq!(Codec::named("pcma"), Some(&PCMA));
        assert_eq!(Codec::of_payload_type(0), Some(&PCMU));
        assert_eq!(Codec::of_payload_type(111), None, "dynamic: only an rtpmap says what it is");
        assert_eq!(Codec::named("G729"), None);
    }

    #[test]
    fn time_is_counted_by_the_rtp_clock_and_by_samples() {
        assert_eq!((OPUS.samples_in(-960), OPUS.ticks_of(320), OPUS.samples_per_frame()), (-320, 960, 320));
        assert_eq!((G722.samples_in(160), G722.ticks_of(320), G722.samples_per_frame()), (320, 160, 320));
        assert_eq!((PCMU.samples_in(160), PCMU.ticks_of(160)), (160, 160));
    }

    #[test]
    fn a_packet_is_as_long_as_asked_or_shorter() {
        assert_eq!([0, 10, 25, 30, 200].map(|wanted| PCMU.ptime_ms(wanted)), [10, 10, 20, 30, 60]);
        assert_eq!([30, 50].map(|wanted| OPUS.ptime_ms(wanted)), [20, 40], "one frame a packet");
    }

    #[test]
    fn no_two_codecs_share_a_name_or_a_payload_type() {
        for (at, codec) in CODECS.iter().enumerate() {
            for other in &CODECS[at + 1..] {
                assert_ne!(codec.name, other.name);
                assert_ne!(codec.payload_type, other.payload_type);
            }
        }
    }

    /// `cargo test --release -p milo-media microseconds -- --ignored --nocapture`
    #[test]
    #[ignore = "prints what each codec costs"]
    fn microseconds_a_frame() {
        use std::hint::black_box;

        use crate::leg::now;

        println!("| codec | encode 20 ms | decode 20 ms |");
        for codec in CODECS {
            let speech: Vec<i16> = (0..codec.samples_per_frame() * 100)
                .map(|at| {
                    let seconds = at as f32 / codec.sample_rate as f32;
                    let hum = (1..20).map(|n| (754.0 * n as f32 * seconds).sin() / n as f32).sum::<f32>();
                    (4000.0 * hum * (0.6 + 0.4 * (19.0 * seconds).sin())) as i16
                })
                .collect();
            let (mut encoder, mut decoder) = ((codec.encoder)(), (codec.decoder)());
            // The best of many seconds: what else runs on the machine does not count.
            let (mut encode, mut decode) = (f64::MAX, f64::MAX);
            for _ in 0..20 {
                let mut packets: Vec<_> = std::iter::repeat_with(|| Vec::with_capacity(1500)).take(100).collect();
                let start = now();
                for (frame, packet) in speech.chunks(codec.samples_per_frame()).zip(&mut packets) {
                    encoder.encode(black_box(frame), packet);
                }
                encode = encode.min(start.elapsed().as_secs_f64() * 1e4);
                let mut out = Vec::with_capacity(speech.len());
                let start = now();
                packets.iter().for_each(|packet| decoder.decode(black_box(packet), &mut out));
                decode = decode.min(start.elapsed().as_secs_f64() * 1e4);
            }
            println!("| {} | {encode:.2} µs | {decode:.2} µs |", codec.name);
        }
    }
}
