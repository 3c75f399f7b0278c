//! How a leg's line is.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::srtp::Refused;

macro_rules! leg_stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How a leg's line is; counts are since the leg began.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct LegStats { $($(#[$doc])* pub $name: u64,)* }

        /// The same figures where the task leaves them for [`crate::Control::stats`]: one word each, no lock.
        #[derive(Debug, Default)]
        pub(crate) struct Gauges { $($name: AtomicU64,)* }

        impl Gauges {
            pub(crate) fn read(&self) -> LegStats {
                LegStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }

            pub(crate) fn write(&self, stats: &LegStats) {
                $(self.$name.store(stats.$name, Ordering::Relaxed);)*
            }
        }
    };
}

leg_stats! {
    /// Valid packets received from the peer.
    received,
    /// Packets of the peer's sequence that did not come in time.
    lost,
    /// 20 ms frames of which a part was invented for want of a packet.
    concealed,
    /// Lost packets that were made good from what the next packet repeats of them (in-band FEC).
    recovered,
    /// Packets that came after their turn; they are among the lost too.
    late,
    /// Packets that came twice.
    duplicate,
    /// Datagrams that are no RTP, have an unknown payload type, come from elsewhere, or come during a hold.
    ignored,
    /// SRTP packets with a wrong tag: another key, or bits that changed on the way.
    unauthentic,
    /// SRTP packets that came before, or later than can be told.
    replayed,
    /// Packets sent.
    sent,
    /// Packets the system refused to send.
    send_errors,
    /// Heard frames and digits lost because nobody took them in time.
    dropped,
    /// Interarrival jitter of RFC 3550 section 6.4.1, in milliseconds.
    jitter_ms,
    /// How much audio the jitter buffer aims to hold, in milliseconds.
    target_ms,
    /// Which codec, counted from 1 in [`crate::CODECS`]; 0 before one is agreed.
    codec,
    /// 20 ms frames heard since the first packet came.
    frames,
    /// The greatest jitter so far, in milliseconds.
    jitter_most_ms,
    /// RTCP compounds sent.
    rtcp_sent,
    /// RTCP compounds of the peer.
    rtcp_received,
    /// RTCP that is malformed, of another source, or from elsewhere.
    rtcp_ignored,
    /// From here to the peer and back, in microseconds; 0 while its reports do not tell.
    round_trip_us,
    /// Packets of ours that the peer missed, as its reports say.
    far_lost,
    /// Share of our packets that the peer missed between its last two reports, in hundredths of a percent.
    far_loss,
    /// Jitter of our packets as the peer's reports say, in milliseconds.
    far_jitter_ms,
    /// What the peer's extended reports say that our sound is like there, in tenths of a score: 10 to 50; 0 when they do not.
    far_mos_tenths,
    /// Estimated mean opinion score in hundredths, 100 to 441; 0 before a second of sound was heard.
    mos_hundredths,
    /// Level of the speech heard, in tenths of a decibel below full scale; 0 before any was.
    level_below,
    /// Samples of speech at the end of the scale, a million.
    clipped_ppm,
    /// Sound seems to go one way only: 0 for no, else [`crate::OneWay`] counted from 1.
    one_way,
}

impl LegStats {
    /// Where a datagram that the shield refused is counted.
    pub(crate) fn of(&mut self, refused: Refused) -> &mut u64 {
        match refused {
            Refused::Unauthentic => &mut self.unauthentic,
            Refused::Replayed => &mut self.replayed,
            Refused::NoMedia | Refused::TooEarly => &mut self.ignored,
        }
    }
}
