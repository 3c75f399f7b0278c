//! Calls from browsers (WebRTC): an offer in, an answer out, and a [`Connection`] whose audio is a pipe for a leg.
//!
//! ```text
//!  POST offer ─► Taken (offer.rs) ─► Stack (stack.rs) ─► answer           GET nothing, PATCH ─► Peer ─┐ Fragment (fragment.rs)
//!                                       │                                                             ▼
//!                                       └──────── the connection's task (connection.rs) ◄── DELETE ── Peer
//!                                                  │ up within 15 s, or gone
//!                                                  └─► Connection: the leg's socket, messages both ways, the end
//! ```
//! The crate `webrtc` does ICE (RFC 8445), DTLS-SRTP (RFC 5764) and the data channel; everything that can be heard is the leg's, as on
//! a telephone. Each connection has one task of ours and one of the stack's, and one UDP port; both are gone with the [`Connection`].

mod connection;
mod fragment;
mod offer;
mod ports;
mod servers;
mod stack;

use std::{
    net::IpAddr,
    ops::RangeInclusive,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use milo_media::{Codec, RtpSocket, Session, Tuning};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot, watch},
};

use connection::{CHANGES, Carrying, MESSAGES, Standing};
pub use connection::{Connection, Gone, Peer, PeerEvent, Unchanged};
pub use fragment::{Credentials, Fragment, FragmentError};
pub use offer::Refused;
use offer::Taken;
use ports::Ports;
pub use servers::IceServers;
use stack::{Place, Stack};

/// What connections are made from.
#[derive(Clone, Debug)]
pub struct RtcConfig {
    /// Where sockets are bound; the unspecified address: on every interface but loopback.
    pub address: IpAddr,
    /// Their UDP ports, one a connection; `0..=0` to let the system choose.
    pub ports: RangeInclusive<u16>,
    /// What the address is called outside, behind a NAT that leaves ports as they are.
    pub public: Option<IpAddr>,
    /// What helps through NATs. Our own end makes use of it where no public address is known.
    pub servers: IceServers,
    /// What is spoken, preferred first.
    pub codecs: Vec<&'static Codec>,
    /// What is wanted of codecs that have a choice.
    pub tuning: Tuning,
    /// Offers that may wait for their callers at a time; more are refused.
    pub waiting: usize,
    /// How long a connection may take to come up.
    pub set_up: Duration,
    /// Without a sign of the browser for so long, it is gone; at least 5 s.
    pub gone: Duration,
}

/// Answers offers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WebRtc {
    config: Arc<RtcConfig>,
    place: Place,
    waiting: Arc<Semaphore>,
    on: Handle,
}

/// An offer that was answered.
#[derive(Debug)]
pub struct Answered {
    /// The answer (SDP).
    pub answer: String,
    /// Changes the connection.
    pub peer: Peer,
    /// The connection itself.
    pub connection: Connection,
}

impl WebRtc {
    /// The connections run on that runtime.
    pub fn new(config: RtcConfig, on: Handle) -> Self {
        let place = Place { address: config.address, ports: Ports::new(config.ports.clone()), gone: config.gone };
        let waiting = Arc::new(Semaphore::new(config.waiting));
        Self { config: Arc::new(config), place, waiting, on }
    }

    /// The values of the `Link` fields that tell browsers of servers (RFC 9725 section 4.4).
    pub fn links(&self) -> Vec<String> {
        self.config.servers.links("milo", now())
    }

    /// Answers an offer: a socket is bound, and waits for the browser.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn answer(&self, offer: &[u8]) -> Result<Answered, Refused> {
        let Ok(waits) = self.waiting.clone().try_acquire_owned() else {
            return Err(Refused::Full(self.config.waiting));
        };
        let taken = Taken::of(offer, &self.config.codecs, self.config.tuning)?;
        let (socket, pipe) = RtpSocket::piped();
        let ssrc = rand::random();
        let session = Session { ssrc: Some(ssrc), ..taken.session.clone() };
        let (to_leg, from_leg) = pipe.split();
        let (standing, stands) = watch::channel(Standing::Coming);
        let (ice, tag) = watch::channel(String::new());
        let ((said, hears), (tell, told)) = (mpsc::channel(MESSAGES), mpsc::channel(MESSAGES));
        let (changes, wanted) = mpsc::channel(CHANGES);
        let (hold, held) = oneshot::channel();
        let (reply, replied) = oneshot::channel();
        let (config, place) = (Arc::clone(&self.config), self.place.clone());
        let (muted, talks) = (Arc::new(AtomicBool::new(false)), !taken.has_no_data());
        let mutes = Arc::clone(&muted);
        // On its own runtime: the stack's tasks begin where it is made.
        self.on.spawn(async move {
            let to_leg = Arc::new(to_leg);
            let servers = if config.public.is_some() { Vec::new() } else { config.servers.ours("milo", now()) };
            let opened = Stack::open(&place, &taken, (servers, ssrc), (Arc::clone(&to_leg), mutes)).await;
            let (stack, mut signs) = match opened {
                Ok(opened) => opened,
                Err(refused) => return drop(reply.send(Err(refused))),
            };
            let answer = stack.answer(&taken, &mut signs).await;
            let answer = answer.and_then(|answer| taken.answer(&answer, config.public));
            let tag = match &answer {
                Ok(answer) => Fragment::of(answer).credentials.map(|credentials| credentials.ufrag),
                Err(_) => None,
            };
            ice.send_replace(tag.unwrap_or_default());
            let is_answered = answer.is_ok();
            if reply.send(answer.map(|answer| answer.to_string())).is_err() || !is_answered {
                return stack.close().await;
            }
            let public = config.public;
            let (from_leg, _to_leg) = (from_leg, to_leg);
            Carrying {
                stack,
                signs,
                taken,
                public,
                from_leg,
                _to_leg,
                standing,
                ice,
                said,
                tell: told,
                changes: wanted,
                held,
            }
            .run(config.set_up)
            .await;
        });
        let ended = || Refused::Stack("Milo is ending".into());
        let answer = replied.await.map_err(|_| ended())??;
        let connection = Connection {
            socket: Some((socket, session)),
            standing: stands,
            said: hears,
            tell,
            muted,
            talks,
            waits: Some(waits),
            _held: hold,
        };
        Ok(Answered { answer, peer: Peer { changes, ice: tag }, connection })
    }
}

/// The wall clock, from which credentials are made that end.
#[expect(clippy::disallowed_methods, reason = "the edge: servers read the end of a credential by the wall clock")]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
