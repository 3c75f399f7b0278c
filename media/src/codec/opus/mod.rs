//! Opus (RFC 6716, in RTP by RFC 7587), by libopus: its 48 kHz stream is decoded straight to 16 kHz mono, and our 16 kHz
//! mono is what it encodes, so that no resampler stands between.
//!
//! What a receiver can do about loss is in the codec itself: [`Decoder::recover`] takes the lost packet out of the one
//! after it, where the sender repeats it there (in-band FEC); [`Decoder::conceal`] goes on with what was heard last.

mod packet;

use audiopus::{
    Application, Bitrate, Channels, MutSignals, SampleRate, Signal,
    coder::{Decoder as OpusDecoder, Encoder as OpusEncoder},
};

use self::packet::Packet;
use super::{Codec, Decoder, Encoder, Tuning};

/// Opus. RFC 7587 section 4.1 has the clock at 48000 and section 7 two channels in `a=rtpmap`, whatever is inside.
///
/// A packet is one frame of libopus, which has 10, 20, 40 or 60 ms: for 30 and 50 ms, that would take several, the next
/// shorter length is sent (`ptime` is a wish, RFC 7587 section 6.1). What we play is 16 kHz mono, and peers are told so:
/// wide-band speech is SILK's, and only SILK can repeat.
pub const OPUS: Codec = Codec {
    name: "opus",
    payload_type: 111,
    clock_rate: 48_000,
    sample_rate: 16_000,
    channels: 2,
    fmtp: Some("minptime=10;stereo=0;useinbandfec=1;maxplaybackrate=16000;sprop-maxcapturerate=16000"),
    ptimes_ms: &[10, 20, 40, 60],
    pauses: true,
    encoder: || Box::new(Coder::new()),
    decoder: || Box::new(Listener::new()),
};

/// Longest packet that libopus makes of one frame.
const LONGEST: usize = 1275;
/// What is no longer than this need not be sent (RFC 6716 section 2.1.9, libopus's `opus_encode`).
const NOTHING: usize = 2;
/// Work put into encoding, 0 to 10: on speech at 24 kbit/s, 10 takes twice the time of 5 and comes 0.05 dB nearer to the original.
const COMPLEXITY: u8 = 5;
/// The unit of what a decoder can be asked to invent: 2.5 ms at 16 kHz.
const QUANTUM: usize = 40;
/// The most it can be asked for at once: 120 ms.
const MOST: usize = 1920;
/// Loss beyond which more repetition only takes from the voice, in percent.
const LOSS: u8 = 30;
/// Bits a second that libopus can be asked for.
const BITRATES: (u32, u32) = (6_000, 510_000);

#[derive(Debug)]
struct Coder {
    encoder: OpusEncoder,
    tuning: Tuning,
    /// What is lost of our packets, in percent.
    loss: u8,
}

impl Coder {
    fn new() -> Self {
        let encoder = OpusEncoder::new(SampleRate::Hz16000, Channels::Mono, Application::Voip);
        let encoder = encoder.expect("libopus makes encoders while there is memory");
        let mut coder = Self { encoder, tuning: Tuning::default(), loss: 0 };
        set(coder.encoder.set_complexity(COMPLEXITY));
        set(coder.encoder.set_signal(Signal::Voice));
        coder.apply();
        coder
    }

    fn apply(&mut self) {
        let Self { encoder, tuning, loss } = self;
        let repeats = tuning.fec && *loss > 0;
        let wanted = if repeats { tuning.repeating() } else { tuning.bitrate };
        let bitrate = wanted.min(tuning.most).clamp(BITRATES.0, BITRATES.1);
        set(encoder.set_bitrate(Bitrate::BitsPerSecond(bitrate as i32)));
        set(encoder.set_dtx(tuning.dtx));
        set(encoder.set_inband_fec(repeats));
        set(encoder.set_packet_loss_perc(*loss));
    }
}

/// A setting that libopus refuses stays as it was.
fn set(result: audiopus::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "libopus refused a setting");
    }
}

impl Encoder for Coder {
    fn encode(&mut self, samples: &[i16], payload: &mut Vec<u8>) {
        let start = payload.len();
        payload.resize(start + LONGEST, 0);
        // It fails only for a length that is no frame: then nothing is sent, and the timeline goes on.
        let length = self.encoder.encode(samples, &mut payload[start..]).unwrap_or(0);
        payload.truncate(start + if length > NOTHING { length } else { 0 });
    }

    fn expect_loss(&mut self, percent: u8) {
        self.loss = percent.min(LOSS);
        self.apply();
    }

    fn tune(&mut self, tuning: &Tuning) {
        self.tuning = *tuning;
        self.apply();
    }
}

#[derive(Debug)]
struct Listener {
    decoder: OpusDecoder,
}

impl Listener {
    fn new() -> Self {
        let decoder = OpusDecoder::new(SampleRate::Hz16000, Channels::Mono);
        Self { decoder: decoder.expect("libopus makes decoders while there is memory") }
    }

    /// Appends what libopus makes of a packet, or of none; exactly `samples` of them, or nothing and `false`.
    fn append(&mut self, payload: Option<&[u8]>, repetition: bool, samples: usize, out: &mut Vec<i16>) -> bool {
        let start = out.len();
        out.resize(start + samples, 0);
        let packet = payload.map(TryInto::try_into).transpose();
        let made = packet
            .and_then(|packet| MutSignals::try_from(&mut out[start..]).map(|into| (packet, into)))
            .and_then(|(packet, into)| self.decoder.decode(packet, into, repetition));
        let whole = made.is_ok_and(|made| made == samples);
        if !whole {
            out.truncate(start);
        }
        whole
    }
}

impl Decoder for Listener {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        Packet::parse(payload).map(|packet| packet.samples())
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        let Some(samples) = self.samples(payload) else { return };
        // A frame that cannot be decoded is a lost one.
        if !self.append(Some(payload), false, samples, out) && !self.conceal(samples, out) {
            out.resize(out.len() + samples, 0);
        }
    }

    fn conceal(&mut self, samples: usize, out: &mut Vec<i16>) -> bool {
        let start = out.len();
        let mut left = samples;
        while left > 0 {
            let part = left.next_multiple_of(QUANTUM).min(MOST);
            if !self.append(None, false, part, out) {
                out.truncate(start);
                return false;
            }
            left = left.saturating_sub(part);
        }
        out.truncate(start + samples);
        true
    }

    fn repeats(&self, payload: &[u8]) -> bool {
        Packet::parse(payload).is_some_and(|packet| packet.repeats())
    }

    fn recover(&mut self, next: &[u8], samples: usize, out: &mut Vec<i16>) -> bool {
        let repeats = Packet::parse(next).is_some_and(|next| next.repeats() && next.frame_samples() <= samples);
        repeats && samples.is_multiple_of(QUANTUM) && samples <= MOST && self.append(Some(next), true, samples, out)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
