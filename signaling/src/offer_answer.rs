//! Offer and answer (RFC 3264), pure: two descriptions in, one description and the audio they agree on out.
//!
//! Milo speaks one audio stream, plain or secured ([`crate::security`]). Of an offer it takes the first audio stream it can
//! speak and refuses every other with port 0. The answer names one codec, the one of the offer that we prefer, so that
//! nothing but that codec, telephone-event and comfort noise arrives.

use std::net::{IpAddr, SocketAddr};

use milo_media::{Codec, Direction, Extended, Rtcp, Session, Tuning, srtp::Security};

use crate::{
    formats,
    sdp::{Attribute, Connection, Media, Origin, Sdp},
    security::{self, MediaSecurity},
};

/// The extended reports that we make use of (RFC 3611 section 5).
const EXTENDED: &str = "rcvr-rtt=all voip-metrics";

/// The four attributes of a stream's direction (RFC 8866 section 6.7).
const DIRECTIONS: [&str; 4] = ["sendrecv", "sendonly", "recvonly", "inactive"];

/// Our side of a description.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// Where we want RTP: the address that peers reach, and the port of our socket.
    pub rtp: SocketAddr,
    /// `sess-id`: any number below 2⁶² (peers read it into signed integers), the same for the life of the session.
    pub session_id: u64,
    /// What we speak, preferred first; normally `milo_media::CODECS`.
    pub codecs: &'a [&'static Codec],
    /// What we want of codecs that have a choice; the peer is asked for the same.
    pub tuning: Tuning,
    /// What we sent before in this session. A description that differs gets the next version, an equal one keeps it.
    pub previous: Option<&'a Sdp>,
    /// What we want of SRTP.
    pub security: &'a MediaSecurity,
    /// We have put the peer on hold: it may listen, and we do not (RFC 3264 section 8.4).
    pub on_hold: bool,
}

/// There is no audio that both sides can do. The response is 488 with this warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// No audio stream, or a refused one.
    #[error("no audio stream")]
    NoAudio,
    /// Audio over something else than RTP, or over SRTP where that is switched off.
    #[error("no audio stream over a transport that is spoken here")]
    NotRtp,
    /// Plain RTP where SRTP is required.
    #[error("plain RTP, and SRTP is required")]
    NotSecure,
    /// SRTP without a key line or a fingerprint that can be used.
    #[error("SRTP without keys that can be used")]
    NoKeys,
    /// No codec in common.
    #[error("no codec in common")]
    NoCodec,
    /// Audio without an address that RTP can be sent to.
    #[error("no usable address for RTP")]
    NoAddress,
    /// IPv4 there, IPv6 here, or the other way round.
    #[error("the other version of IP")]
    OtherIpVersion,
    /// The answer does not match the offer stream by stream.
    #[error("the answer does not fit the offer")]
    NotAnAnswer,
}

impl Unacceptable {
    /// Code and text of a Warning header field (RFC 3261 section 20.43).
    pub fn warning(self) -> (u16, &'static str) {
        match self {
            Unacceptable::OtherIpVersion => (300, "Incompatible network protocol"),
            Unacceptable::NoAddress => (301, "Incompatible network address formats"),
            Unacceptable::NotRtp => (302, "Incompatible transport protocol"),
            Unacceptable::NotSecure => (302, "SRTP is required"),
            Unacceptable::NoKeys => (306, "No usable crypto or fingerprint attribute"),
            Unacceptable::NoAudio => (304, "Media type not available"),
            Unacceptable::NoCodec => (305, "Incompatible media format"),
            Unacceptable::NotAnAnswer => (399, "Answer does not match the offer"),
        }
    }
}

/// Our answer to `offer`, and the audio that holds from now on.
///
/// # Errors
/// [`Unacceptable`] when no stream of the offer can be taken; the fault of its first audio stream is named.
pub fn answer(offer: &Sdp, local: &Local<'_>) -> Result<(Sdp, Session), Unacceptable> {
    let mut fault = Unacceptable::NoAudio;
    let chosen = offer.media.iter().enumerate().find_map(|(at, media)| match take(offer, media, local) {
        Ok((session, secured)) => Some((at, session, secured)),
        Err(why) => {
            if fault == Unacceptable::NoAudio {
                fault = why;
            }
            None
        }
    });
    let (chosen, session, secured) = chosen.ok_or(fault)?;
    let media = offer.media.iter().enumerate().map(|(at, media)| {
        if at != chosen {
            return refused(media);
        }
        let mut stream = our_stream(local, media, &session);
        stream.attributes.extend_from_slice(&secured);
        stream
    });
    let mut answer = description(local, media.collect());
    // RFC 8866 section 5.9 and RFC 3264 section 6: the time of the answer is that of the offer.
    if let Some(time) = offer.other.iter().find(|(kind, _)| *kind == 't') {
        answer.other = vec![time.clone()];
    }
    Ok((versioned(answer, local.previous), session))
}

/// Our answer to an offer of which nothing can be taken, where no other refusal is allowed: every stream with port 0.
pub fn refuse(offer: &Sdp, local: &Local<'_>) -> Sdp {
    versioned(description(local, offer.media.iter().map(refused).collect()), local.previous)
}

/// Our offer: every codec, telephone-event and comfort noise, both ways; to a peer on hold, one way.
pub fn offer(local: &Local<'_>) -> Sdp {
    let previous = local.previous.and_then(|sdp| sdp.media.iter().find(|media| is_audio(media) && media.port != 0));
    let (formats, mut attributes) = formats::offered(local, previous);
    attributes.push(Attribute::flag("rtcp-mux"));
    attributes.push(Attribute::new("rtcp-xr", EXTENDED));
    attributes.push(Attribute::flag(if local.on_hold { "sendonly" } else { "sendrecv" }));
    let (protocol, secured) = security::offer(local);
    attributes.extend(secured);
    let stream = audio(local.rtp.port(), protocol, formats, attributes);
    versioned(description(local, vec![stream]), local.previous)
}

/// What we sent last, as an offer: to the letter, or where that has just changed with the peer on hold or back.
pub fn offer_again(local: &Local<'_>, turns: bool) -> Sdp {
    let Some(mut sdp) = local.previous.cloned() else { return offer(local) };
    for media in sdp.media.iter_mut().filter(|media| turns && is_audio(media) && media.port != 0) {
        // RFC 3264 section 8.4: who was held already is not sent to either.
        let direction = match (local.on_hold, Sdp::has_flag(&media.attributes, "recvonly")) {
            (true, false) => "sendonly",
            (true, true) => "inactive",
            (false, _) => "sendrecv",
        };
        media.attributes.retain(|attribute| !DIRECTIONS.iter().any(|name| attribute.name.eq_ignore_ascii_case(name)));
        media.attributes.push(Attribute::flag(direction));
    }
    versioned(sdp, local.previous)
}

/// The audio that holds once the peer has answered our `offer`, made with the same `local`.
///
/// # Errors
/// [`Unacceptable`]: the call cannot go on (ACK, then BYE).
pub fn apply_answer(offer: &Sdp, answer: &Sdp, local: &Local<'_>) -> Result<Session, Unacceptable> {
    if answer.media.len() != offer.media.len() {
        return Err(Unacceptable::NotAnAnswer);
    }
    let streams = offer.media.iter().zip(&answer.media);
    let (ours, accepted) = streams
        .filter(|(ours, _)| is_audio(ours) && ours.port != 0)
        .find(|(_, theirs)| is_audio(theirs) && theirs.port != 0)
        .ok_or(Unacceptable::NoAudio)?;
    let session = agree(answer, accepted, Some(ours), local)?;
    let security = security::accepted(ours, answer, accepted, local)?;
    Ok(secured(session, security))
}

/// What we would do with a stream of an offer, and what our answer says of its security.
fn take(offer: &Sdp, media: &Media, local: &Local<'_>) -> Result<(Session, Vec<Attribute>), Unacceptable> {
    let session = agree(offer, media, None, local)?;
    let (security, attributes) = security::answer(offer, media, session.remote.ip(), local)?;
    Ok((secured(session, security), attributes))
}

/// The session with its security. A handshake is held on the port of RTP alone: without rtcp-mux there are no keys for
/// RTCP, and so no RTCP.
fn secured(session: Session, security: Security) -> Session {
    let has_keys = session.rtcp == Rtcp::Mux || !matches!(security, Security::Dtls { .. });
    Session { rtcp: if has_keys { session.rtcp } else { Rtcp::Off }, security, ..session }
}

/// The audio that a stream of the peer's description and our abilities have in common, security apart; `ours` is what it
/// answers.
pub(crate) fn agree(
    description: &Sdp,
    media: &Media,
    ours: Option<&Media>,
    local: &Local<'_>,
) -> Result<Session, Unacceptable> {
    if !is_audio(media) || media.port == 0 {
        return Err(Unacceptable::NoAudio);
    }
    if !security::is_rtp(media) {
        return Err(Unacceptable::NotRtp);
    }
    let (payload_type, codec) = formats::choose(media, ours, local).ok_or(Unacceptable::NoCodec)?;
    let connection = media.connection.as_ref().or(description.connection.as_ref());
    let ip = connection.and_then(Connection::ip).filter(|ip| !ip.is_multicast()).ok_or(Unacceptable::NoAddress)?;
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    if is_broadcast {
        return Err(Unacceptable::NoAddress);
    }
    if ip.is_ipv4() != local.rtp.ip().to_canonical().is_ipv4() {
        return Err(Unacceptable::OtherIpVersion);
    }
    let session = Session {
        payload_type,
        direction: our_direction(description, media, ip, local),
        rtcp: rtcp(media, ip),
        extended: extended(description, media),
        ..Session::new(SocketAddr::new(ip, media.port), codec)
    };
    Ok(formats::detailed(session, description, media, ours))
}

pub(crate) fn is_audio(media: &Media) -> bool {
    media.kind.eq_ignore_ascii_case("audio")
}

/// Where the peer wants RTCP: with RTP (RFC 5761 section 5.1.1), at the port it names, or at the next one.
fn rtcp(media: &Media, ip: IpAddr) -> Rtcp {
    let (port, address) = media.rtcp().unwrap_or((media.port.checked_add(1).unwrap_or(0), None));
    if media.forbids_rtcp() {
        Rtcp::Off
    } else if media.rtcp_mux() {
        Rtcp::Mux
    } else if port == 0 || ip.is_unspecified() {
        Rtcp::Off
    } else {
        let address =
            address.filter(|own| own.is_ipv4() == ip.is_ipv4() && !own.is_unspecified() && !own.is_multicast());
        Rtcp::At(SocketAddr::new(address.unwrap_or(ip), port))
    }
}

/// The extended reports that the peer asks for.
fn extended(description: &Sdp, media: &Media) -> Extended {
    let asked = description.attribute_of(media, "rtcp-xr").unwrap_or_default();
    let has = |name: &str| asked.split_whitespace().any(|word| word.split(['=', ':']).next() == Some(name));
    Extended { round_trip: has("rcvr-rtt"), voip_metrics: has("voip-metrics") }
}

/// What we may do, seen from what the peer does (RFC 3264 section 6.1). An address of zeros is the hold of RFC 2543:
/// the peer receives nothing (section 8.4).
fn our_direction(description: &Sdp, media: &Media, ip: IpAddr, local: &Local<'_>) -> Direction {
    let says = |name| {
        let at_stream = DIRECTIONS.iter().any(|direction| Sdp::has_flag(&media.attributes, direction));
        Sdp::has_flag(if at_stream { &media.attributes } else { &description.attributes }, name)
    };
    let peer_sends = !says("recvonly") && !says("inactive") && !local.on_hold;
    let peer_receives = !says("sendonly") && !says("inactive") && !ip.is_unspecified();
    match (peer_receives, peer_sends) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// Our stream in an answer to `offered`.
fn our_stream(local: &Local<'_>, offered: &Media, session: &Session) -> Media {
    let (formats, mut attributes) = formats::answered(session, offered, &local.tuning);
    if session.rtcp == Rtcp::Mux {
        attributes.push(Attribute::flag("rtcp-mux"));
    }
    if session.extended != Extended::default() {
        attributes.push(Attribute::new("rtcp-xr", EXTENDED));
    }
    attributes.push(Attribute::flag(match session.direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }));
    audio(local.rtp.port(), &offered.protocol, formats, attributes)
}

/// A stream of the offer refused (RFC 3264 section 6): the same line with port 0.
fn refused(media: &Media) -> Media {
    Media { port: 0, ports: None, connection: None, other: Vec::new(), attributes: Vec::new(), ..media.clone() }
}

fn audio(port: u16, protocol: &str, formats: Vec<String>, attributes: Vec<Attribute>) -> Media {
    Media {
        kind: "audio".to_owned(),
        port,
        ports: None,
        protocol: protocol.to_owned(),
        formats,
        connection: None,
        other: Vec::new(),
        attributes,
    }
}

fn description(local: &Local<'_>, media: Vec<Media>) -> Sdp {
    let address = Connection::new(local.rtp.ip().to_canonical());
    let session_id = local.session_id.to_string();
    Sdp {
        origin: Origin { username: "-".to_owned(), session_id, version: "1".to_owned(), address: address.clone() },
        name: "-".to_owned(),
        connection: Some(address),
        other: vec![('t', "0 0".to_owned())],
        attributes: Vec::new(),
        media,
    }
}

/// The same with the version that follows from what was sent before (RFC 3264 section 8).
fn versioned(mut sdp: Sdp, previous: Option<&Sdp>) -> Sdp {
    if let Some(previous) = previous {
        sdp.origin.session_id.clone_from(&previous.origin.session_id);
        sdp.origin.version.clone_from(&previous.origin.version);
        if sdp != *previous {
            let version = previous.origin.version.parse::<u64>().unwrap_or_default();
            sdp.origin.version = version.saturating_add(1).to_string();
        }
    }
    sdp
}

#[cfg(test)]
mod tests {
    use milo_media::{
        CODECS, PayloadTypes,
        codec::{OPUS, PCMA, PCMU},
    };

    use super::*;

    fn local(previous: Option<&Sdp>) -> Local<'_> {
        let (tuning, security) = (Tuning::default(), &MediaSecurity::OFF);
        let rtp = "192.0.2.1:10000".parse().unwrap();
        Local { rtp, session_id: 7, codecs: CODECS, tuning, previous, security, on_hold: false }
    }

    fn sdp(streams: &str) -> Sdp {
        let text = format!("v=0\r\no=- 5 5 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{streams}");
        Sdp::parse(text.as_bytes()).unwrap()
    }

    /// The answer's lines from the first `m=` on, and the session.
    fn answered(streams: &str) -> (String, Session) {
        let (answer, session) = answer(&sdp(streams), &local(None)).unwrap();
        let text = answer.to_string().replace("\r\n", "\n");
        (text.split_once("t=0 0\n").unwrap().1.to_owned(), session)
    }

    fn refused(streams: &str) -> Unacceptable {
        answer(&sdp(streams), &local(None)).unwrap_err()
    }

    #[test]
    fn an_answer_in_full() {
        let offer = sdp("m=audio 4000 RTP/AVP 18 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n");
        let (answer, session) = answer(&offer, &local(None)).unwrap();
        assert_eq!(
            answer.to_string(),
            "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=audio 10000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
        );
        assert_eq!(session.remote, "192.0.2.9:4000".parse::<SocketAddr>().unwrap());
        assert_eq!((session.codec.name, session.payload_type), ("PCMA", 8));
        assert_eq!((session.telephone_event, session.ptime_ms), (Some(101), 20));
        assert_eq!(session.direction, Direction::SendRecv);
    }

    #[test]
    fn payload_types_are_those_of_the_offer() {
        let (text, session) = answered(
            "m=audio 4000 RTP/AVP 0 111 96\r\na=rtpmap:0 speex/8000\r\na=rtpmap:111 pcmu/8000/1\r\n\
             a=rtpmap:96 telephone-event/16000\r\na=ptime:33\r\na=maxptime:40\r\n",
        );
        assert_eq!(text, "m=audio 10000 RTP/AVP 111\na=rtpmap:111 PCMU/8000\na=ptime:30\na=sendrecv\n");
        assert_eq!((session.codec.name, session.telephone_event, session.ptime_ms), ("PCMU", None, 30));
    }

    #[test]
    fn other_streams_are_refused_in_their_place() {
        let (text, _) = answered(
            "m=video 5000/2 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\nm=audio 0 RTP/AVP 0\r\n\
             m=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\nm=application 9 TCP/BFCP *\r\n",
        );
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(
            lines,
            [
                "m=video 0 RTP/AVP 31 32",
                "m=audio 0 RTP/AVP 0",
                "m=audio 10000 RTP/AVP 0",
                "m=audio 0 RTP/AVP 0",
                "m=application 0 TCP/BFCP *"
            ]
        );
    }

    #[test]
    fn directions_are_mirrored() {
        let direction = |lines: &str| {
            let (text, session) = answered(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}"));
            (text.lines().last().unwrap().to_owned(), session.direction)
        };
        assert_eq!(direction("a=sendonly\r\n"), ("a=recvonly".to_owned(), Direction::RecvOnly));
        assert_eq!(direction("a=recvonly\r\n"), ("a=sendonly".to_owned(), Direction::SendOnly));
        assert_eq!(direction("a=inactive\r\n"), ("a=inactive".to_owned(), Direction::Inactive));
        let hold_of_2543 = direction("c=IN IP4 0.0.0.0\r\n");
        assert_eq!(hold_of_2543, ("a=recvonly".to_owned(), Direction::RecvOnly));
    }

    #[test]
    fn a_peer_on_hold_is_offered_one_way() {
        let here = local(None);
        assert!(offer(&here).to_string().contains("a=sendrecv"));
        assert!(offer(&Local { on_hold: true, ..here }).to_string().contains("a=sendonly"));
    }

    #[test]
    fn a_direction_of_the_session_holds_where_the_stream_has_none() {
        let streams = "a=sendonly\r\nm=audio 4000 RTP/AVP 0\r\n";
        assert_eq!(answered(streams).1.direction, Direction::RecvOnly);
        assert_eq!(answered(&format!("{streams}a=sendrecv\r\n")).1.direction, Direction::SendRecv);
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        assert_eq!(refused(""), Unacceptable::NoAudio);
        assert_eq!(refused("m=video 5000 RTP/AVP 31\r\n"), Unacceptable::NoAudio);
        assert_eq!(refused("m=audio 0 RTP/AVP 0\r\n"), Unacceptable::NoAudio);
        assert_eq!(refused("m=audio 4000 RTP/SAVP 0\r\n"), Unacceptable::NotRtp);
        assert_eq!(refused("m=audio 4000 RTP/AVP 4 18 300 x\r\n"), Unacceptable::NoCodec);
        assert_eq!(refused("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/16000\r\n"), Unacceptable::NoCodec);
        assert_eq!(refused("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 a.example\r\n"), Unacceptable::NoAddress);
        assert_eq!(refused("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n"), Unacceptable::NoAddress);
        assert_eq!(refused("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 255.255.255.255\r\n"), Unacceptable::NoAddress);
        assert_eq!(refused("m=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n"), Unacceptable::OtherIpVersion);
    }

    #[test]
    fn the_version_counts_changes_only() {
        let streams = "m=audio 4000 RTP/AVP 0\r\n";
        let (first, _) = answer(&sdp(streams), &local(None)).unwrap();
        let (same, _) = answer(&sdp(streams), &local(Some(&first))).unwrap();
        assert_eq!(same, first);
        let (held, _) = answer(&sdp(&format!("{streams}a=sendonly\r\n")), &local(Some(&same))).unwrap();
        assert_eq!((held.origin.session_id.as_str(), held.origin.version.as_str()), ("7", "2"));
        let ours = offer(&local(Some(&held)));
        assert_eq!(ours.origin.version, "3");
    }

    #[test]
    fn our_offer_and_its_answers() {
        let ours = offer(&local(None));
        let streams = ours.to_string();
        let lines = "m=audio 10000 RTP/AVP 111 9 8 0 13 101 100\r\na=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 minptime=10;stereo=0;useinbandfec=1;maxplaybackrate=16000;sprop-maxcapturerate=16000;\
            maxaveragebitrate=32000\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtpmap:13 CN/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
            a=rtpmap:100 telephone-event/48000\r\na=fmtp:100 0-15\r\na=ptime:20\r\na=maxptime:60\r\na=rtcp-mux\r\n\
            a=rtcp-xr:rcvr-rtt=all voip-metrics\r\na=sendrecv\r\n";
        assert!(streams.ends_with(lines), "{streams}");
        let session = apply_answer(
            &ours,
            &sdp("m=audio 4000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=recvonly\r\n"),
            &local(None),
        )
        .unwrap();
        assert_eq!((session.codec.name, session.telephone_event), ("PCMA", Some(101)));
        assert_eq!(session.direction, Direction::SendOnly);
        let refused = |streams| apply_answer(&ours, &sdp(streams), &local(None)).unwrap_err();
        assert_eq!(refused(""), Unacceptable::NotAnAnswer);
        assert_eq!(refused("m=audio 0 RTP/AVP 0\r\n"), Unacceptable::NoAudio);
        assert_eq!(refused("m=audio 4000 RTP/AVP 18\r\n"), Unacceptable::NoCodec);
    }

    /// Codec and its number, events, comfort noise, ptime of what we make of an offer's one stream.
    fn formats(streams: &str) -> (&'static str, u8, Option<u8>, Option<u8>, u32) {
        let session = answered(streams).1;
        (session.codec.name, session.payload_type, session.telephone_event, session.comfort_noise, session.ptime_ms)
    }

    #[test]
    fn what_telephones_offer_and_what_is_taken() {
        let events = "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:110 telephone-event/48000\r\n";
        for (formats_and_lines, taken) in [
            // Static numbers need no rtpmap; we prefer wide-band, then A-law.
            ("0 8", ("PCMA", 8, None, None, 20)),
            ("0 8 9", ("G722", 9, None, None, 20)),
            ("0 8 9 101 110", ("G722", 9, Some(101), None, 20)),
            ("0 13 101", ("PCMU", 0, Some(101), Some(13), 20)),
            ("0 96\r\na=rtpmap:96 CN/8000", ("PCMU", 0, None, Some(96), 20)),
            ("0 96\r\na=rtpmap:96 CN/16000", ("PCMU", 0, None, None, 20)),
            // Opus under any number, with the events of its clock, and no comfort noise.
            ("0 13 96 101 110\r\na=rtpmap:96 opus/48000/2", ("opus", 96, Some(110), None, 20)),
            ("96 101\r\na=rtpmap:96 OPUS/48000/2", ("opus", 96, Some(101), None, 20)),
            ("0 96\r\na=rtpmap:96 opus/48000", ("PCMU", 0, None, None, 20)),
            ("0 111", ("PCMU", 0, None, None, 20)),
            ("0 9\r\na=rtpmap:9 G722/16000", ("PCMU", 0, None, None, 20)),
            // Packets of 10 to 60 ms; Opus has one frame in each.
            ("8\r\na=ptime:30", ("PCMA", 8, None, None, 30)),
            ("8\r\na=ptime:5", ("PCMA", 8, None, None, 10)),
            ("8\r\na=ptime:120", ("PCMA", 8, None, None, 60)),
            ("8\r\na=maxptime:10", ("PCMA", 8, None, None, 10)),
            ("96\r\na=rtpmap:96 opus/48000/2\r\na=ptime:30", ("opus", 96, None, None, 20)),
            ("96\r\na=rtpmap:96 opus/48000/2\r\na=ptime:60\r\na=maxptime:50", ("opus", 96, None, None, 40)),
        ] {
            let streams = format!("m=audio 4000 RTP/AVP {formats_and_lines}\r\n{events}");
            assert_eq!(formats(&streams), taken, "{formats_and_lines}");
        }
    }

    #[test]
    fn an_answer_with_opus_says_what_we_like_and_hears_what_the_peer_does() {
        let (text, session) = answered(
            "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n\
             a=fmtp:96 useinbandfec=1; maxaveragebitrate=16000 ;stereo=1\r\n",
        );
        let lines = "m=audio 10000 RTP/AVP 96 97\na=rtpmap:96 opus/48000/2\na=fmtp:96 minptime=10;stereo=0;useinbandfec=1;\
            maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=32000\n\
            a=rtpmap:97 telephone-event/48000\na=fmtp:97 0-15\na=ptime:20\na=sendrecv\n";
        assert_eq!(text, lines);
        assert_eq!((session.max_bitrate, session.in_band_fec), (Some(16_000), true));
        let plain = answered("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n").1;
        assert_eq!((plain.max_bitrate, plain.in_band_fec), (None, false));
        let mad =
            "m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 ;=;maxaveragebitrate=1;useinbandfec\r\n";
        assert_eq!(answered(mad).1.max_bitrate, Some(6_000));
    }

    #[test]
    fn the_order_and_the_wishes_are_ours() {
        let tuning = Tuning { bitrate: 12_000, dtx: true, ..Tuning::default() };
        let local = Local { codecs: &[&PCMU, &OPUS], tuning, ..local(None) };
        let ours = offer(&local).to_string();
        assert!(ours.contains("RTP/AVP 0 111 13 101 100\r\n"), "{ours}");
        assert!(ours.contains("maxaveragebitrate=16000;usedtx=1\r\n"), "{ours}");
        let (_, session) = answer(&sdp("m=audio 4000 RTP/AVP 96 8 0\r\na=rtpmap:96 opus/48000/2\r\n"), &local).unwrap();
        assert_eq!(session.codec, &PCMU);
        let wide = Local { codecs: &[&OPUS], ..local };
        let ours = offer(&wide).to_string();
        assert!(
            ours.contains("RTP/AVP 111 100\r\n"),
            "no comfort noise and no events of a clock that nobody has: {ours}"
        );
    }

    #[test]
    fn an_answer_need_not_repeat_what_our_numbers_mean() {
        let ours = offer(&local(None));
        let session = |streams| apply_answer(&ours, &sdp(streams), &local(None)).unwrap();
        let bare = session("m=audio 4000 RTP/AVP 111 0\r\n");
        assert_eq!((bare.codec, bare.payload_type), (&OPUS, 111));
        assert_eq!(session("m=audio 4000 RTP/AVP 0 111\r\n").codec, &PCMU, "in an answer the peer's order counts");
    }

    #[test]
    fn an_answer_may_have_numbers_of_its_own() {
        let ours = offer(&local(None));
        let session = |streams| apply_answer(&ours, &sdp(streams), &local(None)).unwrap();
        let opus = session(
            "m=audio 4000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/48000\r\n\
             a=fmtp:96 useinbandfec=1\r\n",
        );
        assert_eq!((opus.codec, opus.payload_type, opus.telephone_event), (&OPUS, 96, Some(97)), "what we send");
        let incoming = PayloadTypes { audio: 111, telephone_event: Some(100), comfort_noise: None };
        assert_eq!((opus.incoming, opus.in_band_fec), (Some(incoming), true), "what comes");
        let noisy = session("m=audio 4000 RTP/AVP 8 98\r\na=rtpmap:98 CN/8000\r\n");
        let incoming = PayloadTypes { audio: 8, telephone_event: None, comfort_noise: Some(13) };
        assert_eq!((noisy.comfort_noise, noisy.incoming), (Some(98), Some(incoming)));
        let alike = session("m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n");
        assert_eq!((alike.telephone_event, alike.incoming), (Some(101), None));
    }

    #[test]
    fn numbers_keep_their_meaning_in_a_new_offer() {
        let theirs =
            "m=audio 4000 RTP/AVP 101 111 8\r\na=rtpmap:101 opus/48000/2\r\na=rtpmap:111 telephone-event/48000\r\n";
        let (first, _) = answer(&sdp(theirs), &local(None)).unwrap();
        let again = offer(&local(Some(&first)));
        let numbers: Vec<_> = again.media[0].payload_types().collect();
        // Opus and its events as before; the events at 8 kHz, usually 101, take a free number.
        assert_eq!(numbers, [101, 9, 8, 0, 13, 96, 111]);
        assert_eq!(again.media[0].rtpmap(96).unwrap().clock_rate, 8_000);
        let (theirs, session) = answer(&again, &local(None)).unwrap();
        assert_eq!((session.codec, session.payload_type), (&OPUS, 101));
        assert_eq!(apply_answer(&again, &theirs, &local(Some(&first))), Ok(session));
        assert_eq!(formats("m=audio 4000 RTP/AVP 8\r\n").0, PCMA.name);
    }

    #[test]
    fn reports_go_with_the_audio_or_where_the_peer_says() {
        let rtcp = |lines: &str| answered(&format!("m=audio 4000 RTP/AVP 0\r\n{lines}"));
        let at = |address: &str| Rtcp::At(address.parse().unwrap());
        let (text, session) = rtcp("a=rtcp-mux\r\na=rtcp:4000\r\na=rtcp-xr:rcvr-rtt=all:100 voip-metrics\r\n");
        assert_eq!(session.rtcp, Rtcp::Mux);
        assert_eq!(session.extended, Extended { round_trip: true, voip_metrics: true });
        assert!(text.contains("a=rtcp-mux\na=rtcp-xr:rcvr-rtt=all voip-metrics\n"), "{text}");
        let (text, session) = rtcp("a=rtcp-xr:voip-metrics\r\n");
        assert_eq!(session.extended, Extended { round_trip: false, voip_metrics: true });
        assert!(session.rtcp == at("192.0.2.9:4001") && !text.contains("rtcp-mux"), "{text}");
        assert_eq!(rtcp("a=rtcp:5005\r\n").1.rtcp, at("192.0.2.9:5005"));
        assert_eq!(rtcp("a=rtcp:5005 IN IP4 192.0.2.8\r\n").1.rtcp, at("192.0.2.8:5005"));
        assert_eq!(rtcp("a=rtcp:5005 IN IP4 0.0.0.0\r\n").1.rtcp, at("192.0.2.9:5005"));
        assert_eq!(rtcp("a=rtcp:x\r\n").1.rtcp, at("192.0.2.9:4001"));
        assert_eq!(rtcp("a=rtcp:0\r\n").1.rtcp, Rtcp::Off);
        assert_eq!(rtcp("b=RS:0\r\nb=RR:0\r\na=rtcp-mux\r\n").1.rtcp, Rtcp::Off);
        assert!(!rtcp("").0.contains("rtcp"));
    }

    #[test]
    fn milo_understands_milo() {
        let ours = offer(&local(None));
        let (theirs, session) = answer(&ours, &local(None)).unwrap();
        assert_eq!(apply_answer(&ours, &theirs, &local(None)), Ok(session));
    }
}
