//! One party's audio: its task owns the socket, the codec and the 20 ms clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    ears::{Ears, EarsQueue},
    port_pool::RtpSocket,
    session::Session,
    voice::{Voice, VoiceQueue},
};

/// What a leg is told besides its session.
#[derive(Clone, Debug)]
pub struct LegOptions {
    /// After this long without valid RTP, while the peer should send, the leg ends with [`crate::Closed::Timeout`].
    pub rtp_timeout: Duration,
}

impl Default for LegOptions {
    fn default() -> Self {
        Self { rtp_timeout: Duration::from_secs(30) }
    }
}

/// One party's audio. Dropping both `ears` and `voice` ends its task and frees its port.
#[derive(Debug)]
pub struct Leg {
    /// What the party says.
    pub ears: Ears,
    /// What is said to it.
    pub voice: Voice,
    /// What is agreed with it, and how the line is.
    pub control: Control,
}

/// Changes what was agreed (a re-INVITE ends here) and reads how the line is. Cheap to clone; does not keep the leg alive.
#[derive(Clone, Debug)]
pub struct Control {
    session: watch::Sender<Option<Session>>,
    gauges: Arc<Gauges>,
}

impl Control {
    /// The new agreement, from the next packet on. Held and Resumed are heard in the ears.
    pub fn change(&self, session: Session) {
        self.session.send_replace(Some(session));
    }

    /// How the line is, as of the last 20 ms.
    pub fn stats(&self) -> LegStats {
        self.gauges.read()
    }
}

impl Leg {
    /// Starts the leg's task on this runtime. Without a session (an INVITE without an offer) it waits for
    /// [`Control::change`], and hears silence until then.
    pub fn start(
        socket: RtpSocket,
        session: Option<Session>,
        options: LegOptions,
        on: &tokio::runtime::Handle,
    ) -> Self {
        let ears = Arc::new(EarsQueue::default());
        let voice = Arc::new(VoiceQueue::default());
        let gauges = Arc::new(Gauges::default());
        let (control, changes) = watch::channel(session);
        let task = Task { socket, changes, options, ears: ears.clone(), voice: voice.clone(), gauges: gauges.clone() };
        on.spawn(task.run());
        Self { ears: Ears::new(ears), voice: Voice::new(voice), control: Control { session: control, gauges } }
    }
}

macro_rules! leg_stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How a leg's line is; counts are since the leg began.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct LegStats { $($(#[$doc])* pub $name: u64,)* }

        /// The same figures where the task leaves them for [`Control::stats`]: one word each, no lock.
        #[derive(Debug, Default)]
        struct Gauges { $($name: AtomicU64,)* }

        impl Gauges {
            fn read(&self) -> LegStats {
                LegStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }

            fn write(&self, stats: &LegStats) {
                $(self.$name.store(stats.$name, Ordering::Relaxed);)*
            }
        }
    };
}

leg_stats! {
    /// Valid packets received from the peer.
    received,
    /// Packets of the peer's sequence that never came in time.
    lost,
    /// 20 ms frames of which a part was invented for want of a packet.
    concealed,
    /// Packets that came after their turn.
    late,
    /// Packets that came twice.
    duplicate,
    /// Datagrams that are no RTP, have an unknown payload type or come from elsewhere.
    ignored,
    /// Packets sent.
    sent,
    /// Packets the system refused to send.
    send_errors,
    /// Heard frames lost because nobody took them within a second.
    dropped,
    /// Interarrival jitter of RFC 3550 section 6.4.1, in milliseconds.
    jitter_ms,
    /// How much audio the jitter buffer wants to hold, in milliseconds.
    target_ms,
}

/// What the leg's task owns.
struct Task {
    socket: RtpSocket,
    changes: watch::Receiver<Option<Session>>,
    options: LegOptions,
    ears: Arc<EarsQueue>,
    voice: Arc<VoiceQueue>,
    gauges: Arc<Gauges>,
}

impl Task {
    async fn run(self) {}
}
