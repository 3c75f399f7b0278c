//! The crate `webrtc`: ICE, DTLS, SRTP and the data channel of one connection. Nothing else of ours knows its types.
//!
//! ```text
//!  socket ─► ICE ─► DTLS-SRTP ─► ToLeg ─► pipe ─► leg       a tap in the stack, as near to the wire as it goes
//!  socket ◄─ ICE ◄─ DTLS-SRTP ◄─ track ◄─ the connection's task ◄─ pipe ◄─ leg
//! ```
//! The leg makes and reads all the RTCP itself; the stack has no part in it.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use milo_media::PipeIn;
use rtc::{
    interceptor::{Interceptor, Packet, Registry, StreamInfo, TaggedPacket},
    peer_connection::{configuration::setting_engine::SctpMaxMessageSize, transport::RTCDtlsTransportState},
    rtcp::{self, raw_packet::RawPacket},
    rtp,
    rtp_transceiver::rtp_sender::{
        RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
    },
    sansio::Protocol,
    shared::marshal::{Marshal, MarshalSize, Unmarshal},
};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use webrtc::{
    data_channel::DataChannel,
    error::Error,
    media_stream::{
        MediaStreamTrack,
        track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
        RTCIceCandidateInit, RTCIceGatheringState, RTCIceServer, RTCPeerConnectionState, RTCSessionDescription,
        SettingEngineBuilder,
    },
    rtp_transceiver::RtpSender,
};

use super::{
    fragment::may_try,
    offer::{Format, Refused, Taken},
    ports::{Lease, Ports},
};

/// The longest message of a data channel.
pub(super) const LONGEST_MESSAGE: usize = 16_384;
/// Bytes of messages that wait each way.
const WAITING_BYTES: u32 = 262_144;
/// Ports that are tried when other programs hold some.
const TRIES: usize = 32;
/// How long servers are asked for our addresses; what they say later is not in the answer.
const GATHERING: Duration = Duration::from_secs(2);
/// How often a pair of candidates is tried while none works, and how often. The stack's own 200 ms are what a set-up waits for when
/// the first try of either side is too early.
const CHECK: (Duration, u16) = (Duration::from_millis(40), 60);
/// How often a connection that is up shows that it is there (RFC 7675).
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Without a sign for so long, a connection is in doubt.
const DOUBT: Duration = Duration::from_secs(4);

/// Where connections are made.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) address: IpAddr,
    pub(super) ports: Ports,
    /// Without a sign for so long, a connection is gone.
    pub(super) gone: Duration,
}

/// What the stack tells.
#[derive(Debug)]
pub(super) struct Signs {
    pub(super) state: watch::Receiver<State>,
    pub(super) channels: mpsc::Receiver<Arc<dyn DataChannel>>,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("port", &self.lease).finish_non_exhaustive()
    }
}

/// How a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// What it is.
    pub(super) is: Is,
    /// All our addresses are known.
    gathered: bool,
}

/// See [`State`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Is {
    /// Not up yet.
    #[default]
    Coming,
    /// Up; or in doubt, which passes or ends it.
    Up,
    /// No sign came for too long, or no way was found.
    Lost,
    /// The other side has ended it.
    Closed,
}

/// One connection of the stack.
pub(super) struct Stack {
    peer: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    /// Knows how the handshake's transport is, once there is one.
    sender: Arc<dyn RtpSender>,
    ssrc: u32,
    is_here: bool,
    lease: Lease,
}

impl Stack {
    /// Opens a socket for an offer that was taken. What comes by it goes to the leg.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) async fn open(
        place: &Place,
        taken: &Taken,
        (servers, ssrc): (Vec<RTCIceServer>, u32),
        (to_leg, muted): (Arc<PipeIn>, Arc<AtomicBool>),
    ) -> Result<(Self, Signs), Refused> {
        let (state, states) = watch::channel(State::default());
        let (channels, opened) = mpsc::channel(1);
        let watcher = Arc::new(Watcher { state, channels });
        let mut fault = Refused::NoPort;
        for _ in 0..place.ports.left().min(TRIES) {
            let Some(lease) = place.ports.take() else { break };
            let settings = SettingEngineBuilder::new()
                .with_ice_timeouts(Some(DOUBT), Some(place.gone.saturating_sub(DOUBT)), Some(KEEP_ALIVE))
                .with_ice_connection_attempts(Some(CHECK.0), Some(CHECK.1))
                .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
                .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(LONGEST_MESSAGE as u32))
                .with_sctp_max_receive_buffer_size(WAITING_BYTES)
                .build();
            let built = PeerConnectionBuilder::new()
                .with_configuration(RTCConfigurationBuilder::default().with_ice_servers(servers.clone()).build())
                .with_setting_engine(settings)
                .with_media_engine(engine(taken)?)
                .with_interceptor_registry(Registry::new().with(0.into(), ToLeg::new(&to_leg, taken, &muted)))
                .with_handler(watcher.clone())
                .with_data_channel_send_buffer_limit(WAITING_BYTES as usize)
                .with_udp_addrs(addresses(place.address, lease.port()))
                .build()
                .await;
            match built {
                Ok(peer) => {
                    let peer: Arc<dyn PeerConnection> = Arc::new(peer);
                    let stack = Self::with(Arc::clone(&peer), track(taken, ssrc), (ssrc, place.address, lease)).await;
                    if stack.is_err() {
                        peer.close().await.ok();
                    }
                    return Ok((stack?, Signs { state: states, channels: opened }));
                }
                Err(error) => fault = Refused::Stack(error.to_string()),
            }
        }
        Err(fault)
    }

    async fn with(
        peer: Arc<dyn PeerConnection>,
        track: Option<Arc<TrackLocalStaticRTP>>,
        (ssrc, address, lease): (u32, IpAddr, Lease),
    ) -> Result<Self, Refused> {
        let track = track.ok_or_else(|| Refused::Stack("the codec has no format".into()))?;
        let added = peer.add_track(track.clone() as Arc<dyn TrackLocal>).await;
        let sender = added.map_err(|error| Refused::Stack(error.to_string()))?;
        Ok(Self { peer, track, sender, ssrc, is_here: address.is_loopback(), lease })
    }

    /// Answers the offer, and waits until our addresses are known. Returns the stack's own answer.
    pub(super) async fn answer(&self, taken: &Taken, signs: &mut Signs) -> Result<String, Refused> {
        let no = |error: Error| Refused::Stack(error.to_string());
        let offer = RTCSessionDescription::offer(taken.shown.to_string()).map_err(no)?;
        self.peer.set_remote_description(offer).await.map_err(no)?;
        let answer = self.peer.create_answer(None).await.map_err(no)?;
        self.peer.set_local_description(answer).await.map_err(no)?;
        self.try_candidates(&taken.ice.candidates).await;
        let gathered = signs.state.wait_for(|state| state.gathered);
        // Servers that do not answer are done without.
        let _ = timeout(GATHERING, gathered).await;
        let description = self.peer.local_description().await;
        description.map(|description| description.sdp).ok_or_else(|| Refused::Stack("there is no answer".into()))
    }

    /// Tries these of the peer's too.
    pub(super) async fn try_candidates(&self, candidates: &[String]) {
        for candidate in candidates.iter().filter(|candidate| may_try(candidate, self.is_here)) {
            let candidate = RTCIceCandidateInit { candidate: candidate.clone(), ..RTCIceCandidateInit::default() };
            if let Err(error) = self.peer.add_ice_candidate(candidate).await {
                tracing::debug!(%error, "a candidate is left out");
            }
        }
    }

    /// Sends a packet of the leg's, RTP or RTCP.
    pub(super) async fn send(&self, packet: Vec<u8>) {
        let mut packet = Bytes::from(packet);
        // RFC 5761 section 4.
        let sent = if packet.get(1).is_some_and(|second| (192..=223).contains(second)) {
            // As it is: the stack's own way to write descriptions of a source pads them with other than zeros, and clients that
            // read them strictly (aiortc) drop the whole report.
            self.track.write_rtcp(vec![Box::new(RawPacket(packet))]).await
        } else {
            match rtp::Packet::unmarshal(&mut packet) {
                Ok(mut packet) => {
                    packet.header.ssrc = self.ssrc;
                    self.track.write_rtp(packet).await
                }
                Err(error) => Err(error),
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a packet was not sent");
        }
    }

    /// Whether the other side has ended the connection: the stack says so of the handshake's transport only.
    pub(super) async fn is_ended(&self) -> bool {
        match self.sender.transport().await {
            Ok(Some(transport)) => transport.state().await.is_ok_and(|state| state == RTCDtlsTransportState::Closed),
            _ => false,
        }
    }

    /// Ends it: its socket is closed and its tasks are over when this returns.
    pub(super) async fn close(self) {
        if let Err(error) = self.peer.close().await {
            tracing::debug!(%error, "a connection was not closed in order");
        }
    }
}

/// Where a socket is bound; everywhere: on each interface of both versions of IP.
fn addresses(address: IpAddr, port: u16) -> Vec<SocketAddr> {
    let mut all = vec![SocketAddr::new(address, port)];
    if address.is_ipv6() && address.is_unspecified() {
        all.push(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    all
}

/// The formats that were taken, and no others.
fn engine(taken: &Taken) -> Result<MediaEngine, Refused> {
    let mut engine = MediaEngine::default();
    for format in taken.formats() {
        let parameters = RTCRtpCodecParameters { payload_type: format.number, rtp_codec: codec(format) };
        let registered = engine.register_codec(parameters, RtpCodecKind::Audio);
        registered.map_err(|error| Refused::Stack(error.to_string()))?;
    }
    Ok(engine)
}

fn codec(format: Format) -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: format!("audio/{}", format.name),
        clock_rate: format.clock_rate,
        channels: if format.channels > 1 { format.channels as u16 } else { 0 },
        sdp_fmtp_line: format.parameters,
        rtcp_feedback: Vec::new(),
    }
}

/// What we send.
fn track(taken: &Taken, ssrc: u32) -> Option<Arc<TrackLocalStaticRTP>> {
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..RTCRtpCodingParameters::default() },
        codec: codec(taken.formats().next()?),
        ..RTCRtpEncodingParameters::default()
    };
    let track = MediaStreamTrack::new("milo".into(), "voice".into(), "voice".into(), RtpCodecKind::Audio, vec![coding]);
    Some(Arc::new(TrackLocalStaticRTP::new(track)))
}

/// Hears what the stack says of itself. It is called by the stack's own task and never waits.
struct Watcher {
    state: watch::Sender<State>,
    channels: mpsc::Sender<Arc<dyn DataChannel>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Watcher {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        let gathered = state == RTCIceGatheringState::Complete;
        self.state.send_modify(|now| now.gathered = gathered);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let is = match state {
            RTCPeerConnectionState::Connected => Is::Up,
            RTCPeerConnectionState::Failed => Is::Lost,
            RTCPeerConnectionState::Closed => Is::Closed,
            _ => return,
        };
        self.state.send_modify(|now| now.is = is);
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        // One is enough; others are not listened to.
        let _ = self.channels.try_send(channel);
    }
}

/// Takes what comes out of the stack's deciphering straight to the leg.
struct ToLeg {
    leg: Arc<PipeIn>,
    muted: Arc<AtomicBool>,
    /// The payload type of the audio, and a packet of silence.
    silence: (u8, Bytes),
    leaves: VecDeque<TaggedPacket>,
}

impl ToLeg {
    fn new(leg: &Arc<PipeIn>, taken: &Taken, muted: &Arc<AtomicBool>) -> Self {
        let codec = taken.session.codec;
        let mut silence = Vec::new();
        (codec.encoder)().encode(&vec![0; codec.samples_per_frame()], &mut silence);
        let silence = (taken.session.payload_type, silence.into());
        Self { leg: Arc::clone(leg), muted: Arc::clone(muted), silence, leaves: VecDeque::new() }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for ToLeg {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = std::time::Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        let bytes = match &mut message.message.packet {
            Packet::Rtp(packet) => {
                // The line goes on: nobody takes the silence for a broken one.
                if self.muted.load(Ordering::Relaxed) && packet.header.payload_type == self.silence.0 {
                    packet.payload = self.silence.1.clone();
                }
                let mut bytes = vec![0; packet.marshal_size()];
                packet.marshal_to(&mut bytes).map(|_| bytes)?
            }
            Packet::Rtcp(packets) => rtcp::packet::marshal(packets)?.to_vec(),
            _ => return Ok(()),
        };
        // A leg that is behind by a second loses the newest, and one that has ended wants none.
        self.leg.bring(bytes, message.now);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.leaves.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.leaves.pop_front()
    }
}

impl Interceptor for ToLeg {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
