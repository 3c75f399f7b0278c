//! What the SIP endpoint is made from, of the configuration.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use ipnet::IpNet;
use milo_media::{Codec, LegOptions, PortPool, Tuning};
use milo_signaling::{
    BanTerms, Endpoint, EndpointConfig, Invitations, RegistrarConfig, SessionTimers, SignalingError, TrunkLogin,
    webrtc::{IceServers, RtcConfig, WebRtc},
};
use tokio::runtime::Handle;

use crate::{
    accounts,
    config::{self, Config, EmergencyCalls},
    trunk,
};

/// The time in which the offences of an address count towards its ban.
const BAN_WITHIN: Duration = Duration::from_secs(600);

/// The ports for audio.
pub(super) fn ports(config: &Config) -> PortPool {
    let sip = &config.sip;
    PortPool::new(sip.media_address(), config.media.rtp_ports.range())
}

/// The SIP endpoint, and the calls that come to it.
pub(super) fn bind(
    config: &Config,
    registrar: Option<RegistrarConfig>,
    (ports, legs): (PortPool, &Handle),
    (others, withheld): (Arc<AtomicUsize>, Arc<AtomicUsize>),
) -> Result<(Endpoint, Invitations)> {
    let sip = &config.sip;
    let endpoint = EndpointConfig {
        udp: sip.udp.to_vec(),
        tcp: sip.tcp.to_vec(),
        tls: sip.tls.to_vec(),
        ws: sip.ws.to_vec(),
        wss: sip.wss.to_vec(),
        certificate: sip.certificate(),
        trust: sip.trust()?,
        origins: sip.ws_origins.clone(),
        dns: sip.dns.to_vec(),
        idle: Duration::from_secs(sip.idle_s),
        public_address: sip.public_address,
        stun: sip.stun.clone(),
        trusted: sip.trunks.iter().filter_map(|trunk| trunk.address).collect(),
        legs: leg_options(&config.media),
        codecs: config.media.codecs.to_vec(),
        peer_codecs: peer_codecs(sip),
        max_calls: config.limits.calls,
        others,
        withheld,
        user_agent: concat!("Milo/", env!("CARGO_PKG_VERSION")).into(),
        srtp: config.media.srtp.keyed(config.media.srtp_offer),
        keep_alive: (sip.keep_alive_s > 0).then(|| Duration::from_secs(sip.keep_alive_s)),
        bans: (sip.ban_s > 0).then(|| BanTerms {
            wrong_answers: sip.ban_wrong_answers,
            requests: sip.ban_requests,
            within: BAN_WITHIN,
            length: Duration::from_secs(sip.ban_s),
        }),
        registrar,
        logins: logins(sip)?,
        algorithms: accounts::algorithms(sip),
        // Where nothing becomes of calls for help, none is let in before others.
        urgent: if sip.emergency_calls == EmergencyCalls::Refuse { Vec::new() } else { sip.emergency.clone() },
        // A call has seldom more legs than these.
        ladders: sip.ladders * 4,
        session_timers: SessionTimers { session_expires_s: sip.session_expires_s, min_se_s: sip.min_se_s },
    };
    Endpoint::bind(endpoint, Arc::new(ports), legs.clone()).map_err(|error| match error {
        SignalingError::Bind { transport, .. } => {
            anyhow!("{error}; stop what listens there, or choose another address with [sip] {transport}")
        }
        SignalingError::Certificate { .. } => anyhow!("{error}; see [sip] tls_cert, tls_key and tls_ca"),
        other => other.into(),
    })
}

/// What answers the offers of browsers, unless that is switched off.
pub(super) fn webrtc(config: &Config, legs: &Handle) -> Option<WebRtc> {
    let address = config.webrtc.address.unwrap_or(config.http.listen.ip());
    // Whoever is on this machine needs no other name for it.
    let public = config.webrtc.public_address.or(config.sip.public_address.filter(|_| !address.is_loopback()));
    let servers = IceServers {
        stun: config.webrtc.stun.clone(),
        turn: config.webrtc.turn.clone(),
        secret: config.webrtc.turn_secret.as_ref().map(|secret| secret.reveal().to_owned()),
        lasts: Duration::from_secs(config.webrtc.turn_ttl_s),
    };
    let browsers = RtcConfig {
        address,
        ports: config.webrtc.udp_ports.range(),
        public,
        servers,
        codecs: config.media.codecs.to_vec(),
        tuning: leg_options(&config.media).tuning,
        waiting: config.webrtc.waiting,
        set_up: Duration::from_secs(config.webrtc.set_up_s),
        gone: Duration::from_secs(config.webrtc.gone_s),
    };
    config.webrtc.enabled.then(|| WebRtc::new(browsers, legs.clone()))
}

/// The trunks that may call from anywhere.
fn logins(sip: &config::Sip) -> Result<Vec<TrunkLogin>> {
    let login = |trunk: &config::Trunk| trunk::login(trunk, sip).with_context(|| format!("the trunk {:?}", trunk.name));
    sip.trunks.iter().filter_map(|trunk| login(trunk).transpose()).collect()
}

/// What the trunks speak that have codecs of their own.
fn peer_codecs(sip: &config::Sip) -> Vec<(IpNet, Vec<&'static Codec>)> {
    sip.trunks.iter().filter_map(|trunk| Some((trunk.address?, trunk.codecs.as_ref()?.to_vec()))).collect()
}

/// What the configuration says of each leg.
pub(super) fn leg_options(media: &config::Media) -> LegOptions {
    LegOptions {
        rtp_timeout: Duration::from_secs(media.rtp_timeout_s),
        jitter_ceiling_ms: media.jitter_ceiling_ms,
        tuning: Tuning { bitrate: media.opus_bitrate, dtx: media.opus_dtx, ..Tuning::default() },
        inband_digits: media.inband_dtmf.into(),
        silence: media.silence.into(),
        dscp: media.dscp,
        learn_from: media.learn_from.into(),
    }
}
