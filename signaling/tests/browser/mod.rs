//! A browser, as far as a call needs one: the crate `webrtc` on the other side, on a runtime of its own that can be killed.

#![allow(dead_code, reason = "two programs of scenarios have it, and each needs a part")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use milo_media::{
    Codec,
    codec::{Decoder, Encoder},
    dbfs,
};
use rtc::{
    rtp,
    rtp_transceiver::rtp_sender::{
        RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
    time::{sleep, sleep_until, timeout},
};
use webrtc::{
    data_channel::{DataChannel, DataChannelEvent},
    media_stream::{
        MediaStreamTrack,
        track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP},
        track_remote::{TrackRemote, TrackRemoteEvent},
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
        RTCPeerConnectionState, RTCSessionDescription,
    },
};

const SOON: Duration = Duration::from_secs(20);
const SSRC: u32 = 0x1234_5678;

/// A browser's end of a call.
pub(crate) struct Browser {
    peer: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    channel: Option<Arc<dyn DataChannel>>,
    codec: &'static Codec,
    state: watch::Receiver<RTCPeerConnectionState>,
    gathered: watch::Receiver<bool>,
    heard: mpsc::Receiver<(Instant, rtp::Packet)>,
    sent: Arc<AtomicUsize>,
    runtime: Option<Runtime>,
}

/// What says and hears one packet after the other.
pub(crate) struct Packets {
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    due: Option<Instant>,
}

struct Eyes {
    state: watch::Sender<RTCPeerConnectionState>,
    gathered: watch::Sender<bool>,
    heard: mpsc::Sender<(Instant, rtp::Packet)>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Eyes {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let heard = self.heard.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let _ = heard.try_send((now(), packet));
                }
            }
        });
    }
}

impl Browser {
    /// One that speaks this codec, with a data channel or without.
    pub(crate) async fn open(codec: &'static Codec, talks: bool) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let mut browser = runtime.spawn(Self::begin(codec, talks)).await.expect("a browser");
        browser.runtime = Some(runtime);
        browser
    }

    async fn begin(codec: &'static Codec, talks: bool) -> Self {
        let kind = RTCRtpCodec {
            mime_type: format!("audio/{}", codec.name),
            clock_rate: codec.clock_rate,
            channels: u16::from(codec.channels),
            sdp_fmtp_line: if codec.name == "opus" { "minptime=10;useinbandfec=1".into() } else { String::new() },
            rtcp_feedback: Vec::new(),
        };
        let mut engine = MediaEngine::default();
        let parameters = RTCRtpCodecParameters { payload_type: codec.payload_type, rtp_codec: kind.clone() };
        engine.register_codec(parameters, RtpCodecKind::Audio).expect("a codec");
        let ((state, states), (gathered, gathers)) =
            (watch::channel(RTCPeerConnectionState::New), watch::channel(false));
        let (hears, heard) = mpsc::channel(10_000);
        let peer = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_handler(Arc::new(Eyes { state, gathered, heard: hears }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await
            .expect("a peer connection");
        let peer: Arc<dyn PeerConnection> = Arc::new(peer);
        let coding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(SSRC), ..Default::default() },
            codec: kind,
            ..Default::default()
        };
        let microphone = MediaStreamTrack::new("s".into(), "t".into(), "t".into(), RtpCodecKind::Audio, vec![coding]);
        let track = Arc::new(TrackLocalStaticRTP::new(microphone));
        peer.add_track(track.clone()).await.expect("a track");
        let channel = match talks {
            true => Some(peer.create_data_channel("events", None).await.expect("a data channel")),
            false => None,
        };
        let sent = Arc::default();
        Self { peer, track, channel, codec, state: states, gathered: gathers, heard, sent, runtime: None }
    }

    /// Its offer, with all its candidates.
    pub(crate) async fn offer(&mut self) -> String {
        let offer = self.peer.create_offer(None).await.expect("an offer");
        self.peer.set_local_description(offer).await.expect("taken");
        timeout(SOON, self.gathered.wait_for(|gathered| *gathered)).await.expect("in time").expect("told");
        self.peer.local_description().await.expect("a description").sdp
    }

    /// Begins ICE anew with its next offer.
    pub(crate) async fn restart(&mut self) -> String {
        self.peer.restart_ice().await.expect("asked");
        self.offer().await
    }

    pub(crate) async fn take(&self, answer: &str) {
        let answer = RTCSessionDescription::answer(answer.to_owned()).expect("an answer");
        self.peer.set_remote_description(answer).await.expect("taken");
    }

    pub(crate) async fn reaches(&mut self, wanted: RTCPeerConnectionState) {
        timeout(SOON, self.state.wait_for(|state| *state == wanted)).await.expect("in time").expect("told");
    }

    /// Hums for so many packets of 20 ms.
    pub(crate) async fn hum(&self, packets: usize) {
        self.send(packets, 8_000.0).await;
    }

    /// Is silent for so long.
    pub(crate) async fn rest(&self, packets: usize) {
        self.send(packets, 0.0).await;
    }

    /// A mouth and an ear for it, one packet at a time.
    pub(crate) fn by_packets(&self) -> Packets {
        Packets { encoder: (self.codec.encoder)(), decoder: (self.codec.decoder)(), due: None }
    }

    /// Sends one packet when it is due: this, or silence. Gives the moment when it was sent, and those at which packets came since
    /// that are louder than -45 dBFS.
    pub(crate) async fn packet(&mut self, packets: &mut Packets, sound: Option<&[i16]>) -> (Instant, Vec<Instant>) {
        let due = packets.due.unwrap_or_else(now);
        sleep_until(due.into()).await;
        packets.due = Some(due.max(now() - Duration::from_millis(200)) + Duration::from_millis(20));
        let mut frame = sound.unwrap_or_default().to_vec();
        frame.resize(self.codec.samples_per_frame(), 0);
        let mut payload = Vec::new();
        packets.encoder.encode(&frame, &mut payload);
        self.write(payload).await;
        let sent = now();
        let (mut loud, mut heard) = (Vec::new(), Vec::new());
        while let Ok((came, packet)) = self.heard.try_recv() {
            heard.clear();
            packets.decoder.decode(&packet.payload, &mut heard);
            if dbfs(&heard) > -45.0 {
                loud.push(came);
            }
        }
        (sent, loud)
    }

    async fn write(&self, payload: Vec<u8>) {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let header = rtp::Header {
            version: 2,
            payload_type: self.codec.payload_type,
            sequence_number: number as u16,
            timestamp: number as u32 * self.codec.ticks_of(self.codec.samples_per_frame()),
            ssrc: SSRC,
            ..Default::default()
        };
        let _ = self.track.write_rtp(rtp::Packet { header, payload: payload.into() }).await;
    }

    async fn send(&self, packets: usize, loud: f32) {
        let mut encoder = (self.codec.encoder)();
        let samples = self.codec.samples_per_frame();
        for at in 0..packets {
            let hum = (0..samples).map(|n| {
                let seconds = (at * samples + n) as f32 / self.codec.sample_rate as f32;
                (loud * (seconds * 440.0 * std::f32::consts::TAU).sin()) as i16
            });
            let mut payload = Vec::new();
            encoder.encode(&hum.collect::<Vec<_>>(), &mut payload);
            self.write(payload).await;
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// What came since: how many packets, and how loud the loudest second of them is.
    pub(crate) fn heard(&mut self) -> (usize, f32) {
        let mut decoder = (self.codec.decoder)();
        let (mut packets, mut sound) = (0, Vec::new());
        while let Ok((_, packet)) = self.heard.try_recv() {
            packets += 1;
            decoder.decode(&packet.payload, &mut sound);
        }
        let second = self.codec.sample_rate as usize;
        (packets, sound.chunks(second).map(dbfs).fold(-96.0, f32::max))
    }

    pub(crate) async fn say(&self, text: &str) {
        let channel = self.channel.as_ref().expect("a data channel");
        timeout(SOON, channel.writable()).await.expect("in time").expect("open");
        channel.send_text(text).await.expect("sent");
    }

    pub(crate) async fn say_bytes(&self, bytes: &[u8]) {
        self.channel.as_ref().expect("a data channel").send(bytes.into()).await.expect("sent");
    }

    /// The next message; `None` once there are no more.
    pub(crate) async fn told(&self) -> Option<String> {
        let channel = self.channel.as_ref().expect("a data channel");
        loop {
            match timeout(SOON, channel.poll()).await.expect("in time")? {
                DataChannelEvent::OnMessage(message) => return Some(String::from_utf8_lossy(&message.data).into()),
                DataChannelEvent::OnClose => return None,
                _ => {}
            }
        }
    }

    /// Ends the connection as a page does that is left.
    pub(crate) async fn close(mut self) {
        self.peer.close().await.expect("closed");
        self.kill();
    }

    /// Is gone from one moment to the next.
    pub(crate) fn kill(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.kill();
    }
}

#[expect(clippy::disallowed_methods, reason = "a browser knows what time it is")]
fn now() -> Instant {
    Instant::now()
}
