//! `[media]`: the audio of calls.

use milo_media::{self as media, CODECS, Codec, LegOptions, Tuning, dtmf::InbandDigits};
use milo_signaling::Keying;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Faults, address::PortRange};

/// RTP and codecs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Media {
    /// The UDP ports for audio, two a leg: `"10000-20000"`, or 0 to let the system choose.
    pub rtp_ports: PortRange,
    /// A call whose audio stays away for so many seconds is ended.
    pub rtp_timeout_s: u64,
    /// The most audio, in milliseconds, that is held back because packets come late.
    pub jitter_ceiling_ms: u32,
    /// What is spoken, preferred first.
    pub codecs: Codecs,
    /// Bits a second of Opus, sent and asked for.
    pub opus_bitrate: u32,
    /// Send nothing in silence over Opus, and ask for the same.
    pub opus_dtx: bool,
    /// SRTP: `off`, `optional` (secure offers are answered securely, plain ones plainly) or `required`.
    pub srtp: Srtp,
    /// When keys are looked for in the audio itself: `auto` (of callers that did not agree on telephone-event), `on` or `off`.
    pub inband_dtmf: InbandDtmf,
    /// What leaves while nothing is said: `send` (packets of silence), `comfort_noise` or `suppress`.
    pub silence: Silence,
    /// The DSCP of what is sent (RFC 2474), 0 to 63: 46 is expedited forwarding, 0 is nothing special.
    pub dscp: u8,
    /// Whose audio is taken for the caller's when it does not come from the address of the SDP: `host` or `anywhere`.
    pub learn_from: LearnFrom,
    /// How the keys of calls that Milo places are agreed on: `sdes` or `dtls`.
    pub srtp_offer: SrtpOffer,
}

/// What is wanted of SRTP (RFC 3711), keyed in the SDP (RFC 4568) or by DTLS (RFC 5763).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// Plain RTP only.
    Off,
    /// As the caller will.
    #[default]
    Optional,
    /// Plain RTP is refused with 488.
    Required,
}

/// How the keys of an offer of ours are agreed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SrtpOffer {
    /// In the SDP (RFC 4568).
    #[default]
    Sdes,
    /// By a DTLS handshake (RFC 5763).
    Dtls,
}

impl Srtp {
    /// The same for the signaling, which is told how to offer keys.
    pub fn keyed(self, offer: SrtpOffer) -> milo_signaling::Srtp {
        let keying = match offer {
            SrtpOffer::Sdes => Keying::Sdes,
            SrtpOffer::Dtls => Keying::Dtls,
        };
        match self {
            Self::Off => milo_signaling::Srtp::Off,
            Self::Optional => milo_signaling::Srtp::Optional(keying),
            Self::Required => milo_signaling::Srtp::Required(keying),
        }
    }
}

/// Whose audio is taken for the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LearnFrom {
    /// What comes from the host of the SDP or of the signalling.
    #[default]
    Host,
    /// What sounds like a telephone, from wherever it comes.
    Anywhere,
}

impl From<LearnFrom> for media::LearnFrom {
    fn from(learn_from: LearnFrom) -> Self {
        match learn_from {
            LearnFrom::Host => Self::Host,
            LearnFrom::Anywhere => Self::Anywhere,
        }
    }
}

/// When keys are looked for in the audio itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InbandDtmf {
    /// When the caller did not agree on telephone-event.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl From<InbandDtmf> for InbandDigits {
    fn from(when: InbandDtmf) -> Self {
        match when {
            InbandDtmf::Auto => Self::Auto,
            InbandDtmf::On => Self::On,
            InbandDtmf::Off => Self::Off,
        }
    }
}

/// What leaves while nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Silence {
    /// Packets of silence, as many as of sound.
    #[default]
    Send,
    /// Comfort noise (RFC 3389), to telephones that take it; to others as `send`.
    ComfortNoise,
    /// Nothing but a packet every few seconds; over Opus its own discontinuous transmission.
    Suppress,
}

impl From<Silence> for milo_media::Silence {
    fn from(silence: Silence) -> Self {
        match silence {
            Silence::Send => Self::Send,
            Silence::ComfortNoise => Self::ComfortNoise,
            Silence::Suppress => Self::Suppress,
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        let Tuning { bitrate, dtx, .. } = Tuning::default();
        Self {
            rtp_ports: PortRange::new(10_000, 20_000),
            rtp_timeout_s: 30,
            srtp: Srtp::Optional,
            jitter_ceiling_ms: LegOptions::default().jitter_ceiling_ms,
            codecs: Codecs(CODECS.to_vec()),
            opus_bitrate: bitrate,
            opus_dtx: dtx,
            inband_dtmf: InbandDtmf::Auto,
            silence: Silence::Send,
            dscp: 46,
            learn_from: LearnFrom::Host,
            srtp_offer: SrtpOffer::Sdes,
        }
    }
}

impl Media {
    pub(super) fn check(&self, faults: &mut Faults<'_>) {
        faults.within("media.rtp_timeout_s", self.rtp_timeout_s, 1..=3_600);
        faults.within("media.jitter_ceiling_ms", u64::from(self.jitter_ceiling_ms), 20..=1_000);
        faults.within("media.opus_bitrate", u64::from(self.opus_bitrate), 6_000..=128_000);
        faults.within("media.dscp", self.dscp, 0..=63);
    }
}

/// Codecs by name, in any case, preferred first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codecs(Vec<&'static Codec>);

impl Codecs {
    /// The codecs, in the order given.
    pub fn to_vec(&self) -> Vec<&'static Codec> {
        self.0.clone()
    }
}

impl<'de> Deserialize<'de> for Codecs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut codecs = Vec::new();
        for name in Vec::<String>::deserialize(from)? {
            let codec = Codec::named(&name).ok_or_else(|| {
                let known: Vec<_> = CODECS.iter().map(|codec| codec.name).collect();
                de::Error::custom(format!("{name:?} is no codec; there are {}", known.join(", ")))
            })?;
            if codecs.contains(&codec) {
                return Err(de::Error::custom(format!("{name:?} stands there twice")));
            }
            codecs.push(codec);
        }
        if codecs.is_empty() {
            return Err(de::Error::custom("is empty: without a codec nobody can be heard"));
        }
        Ok(Self(codecs))
    }
}

impl Serialize for Codecs {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|codec| codec.name))
    }
}
