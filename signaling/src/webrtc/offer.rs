//! What is taken of an offer, and what the answer says: pure. The stack is shown only what is taken, one codec with its keys and noise,
//! so that it cannot answer anything else; the streams that are refused come into the answer here.

use std::net::IpAddr;

use milo_media::{Codec, Direction, PIPED, Rtcp, Session, Tuning};

use super::fragment::{Credentials, Fragment};
use crate::{
    formats,
    offer_answer::{Local, Unacceptable, agree, is_audio},
    sdp::{Attribute, Connection, Media, Sdp, SdpError},
    security::MediaSecurity,
};

/// Attributes of a stream that are not the stack's to see: what goes with formats that are not taken, with streams of video, and ICE,
/// which stands once for all.
const WITHHELD: [&str; 14] = [
    "rtpmap",
    "fmtp",
    "rtcp-fb",
    "extmap",
    "extmap-allow-mixed",
    "candidate",
    "end-of-candidates",
    "ice-ufrag",
    "ice-pwd",
    "ssrc",
    "ssrc-group",
    "rid",
    "simulcast",
    "msid",
];

/// Why there is no answer to an offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no session description.
    #[error("the body is no session description: {0}")]
    Malformed(#[from] SdpError),
    /// Nothing to hear: only video, or only data.
    #[error("the offer has no audio stream: a call needs one (`m=audio`), and video or a data channel alone is none")]
    NoAudio,
    /// Nothing that is spoken here.
    #[error("the offer's audio has no codec that is spoken here: these are {0}")]
    NoCodec(String),
    /// One side only could be heard.
    #[error("the offer's audio goes one way: a conversation needs `a=sendrecv`")]
    OneWay,
    /// No WebRTC: plain RTP, or SRTP with keys in the description.
    #[error(
        "the offer's audio is not secured as WebRTC is: it needs UDP/TLS/RTP/SAVPF, a=fingerprint, a=mid and a=rtcp-mux"
    )]
    NotWebRtc,
    /// No way there.
    #[error("the offer has no a=ice-ufrag and a=ice-pwd that are valid (RFC 8839 section 5.4)")]
    NoIce,
    /// The stack cannot make an answer.
    #[error("the offer cannot be answered: {0}")]
    Stack(String),
    /// As many offers wait for their browsers as may.
    #[error("{0} offers wait for their callers already; try again in a few seconds")]
    Full(usize),
    /// No UDP port is left.
    #[error("no UDP port is free for another connection; widen [webrtc] udp_ports")]
    NoPort,
}

/// What is taken of an offer.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The offer as the stack is shown it.
    pub(super) shown: Sdp,
    /// What it says of ICE.
    pub(super) ice: Fragment,
    /// What is agreed for the leg.
    pub(super) session: Session,
    /// The formats of the answer, and what explains them.
    formats: (Vec<String>, Vec<Attribute>),
    /// What the offer has, for the streams that are refused.
    offered: Sdp,
    /// Where the audio stands, and the stream of data channels.
    audio: usize,
    data: Option<usize>,
}

impl Taken {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`Refused`].
    pub(super) fn of(offer: &[u8], codecs: &[&'static Codec], tuning: Tuning) -> Result<Self, Refused> {
        let offered = Sdp::parse(offer)?;
        let local = Local {
            rtp: PIPED,
            session_id: 0,
            codecs,
            tuning,
            previous: None,
            security: &MediaSecurity::OFF,
            on_hold: false,
        };
        let (audio, session) = choose(&offered, &local)?;
        if session.direction != Direction::SendRecv {
            return Err(Refused::OneWay);
        }
        let stream = &offered.media[audio];
        let has = |name: &str| offered.attribute_of(stream, name).is_some_and(|value| !value.trim().is_empty());
        if !stream.protocol.to_ascii_uppercase().contains("TLS")
            || !has("fingerprint")
            || !has("mid")
            || !stream.rtcp_mux()
        {
            return Err(Refused::NotWebRtc);
        }
        let mut ice = Fragment::of(&offered);
        // The audio's own; those of other streams are the same where everything goes one way.
        ice.credentials = named(&offered, stream);
        if !ice.credentials.as_ref().is_some_and(Credentials::are_valid) {
            return Err(Refused::NoIce);
        }
        let bundled: Vec<&str> = offered.bundled().collect();
        let goes_with = |media: &Media| media.attribute("mid").is_some_and(|mid| bundled.contains(&mid));
        let is_data = |media: &Media| {
            media.kind.eq_ignore_ascii_case("application")
                && media.formats.iter().any(|format| format == "webrtc-datachannel")
        };
        let data = offered.media.iter().position(|media| is_data(media) && goes_with(media) && goes_with(stream));
        let session = Session { remote: PIPED, rtcp: Rtcp::Mux, ..session };
        let mut taken = Self {
            shown: offered.clone(),
            ice,
            formats: formats::answered(&session, stream, &tuning),
            session,
            offered,
            audio,
            data,
        };
        taken.show();
        Ok(taken)
    }

    /// Makes what the stack is shown: the streams that are taken, with nothing in them that is not.
    fn show(&mut self) {
        let stream = &self.offered.media[self.audio];
        let mut audio = bare(stream);
        audio.formats.clone_from(&self.formats.0);
        for number in self.formats.0.iter().filter_map(|format| format.parse::<u8>().ok()) {
            let ours = self.formats.1.iter().find(|one| one.name == "rtpmap" && is_of(one, number));
            audio.attributes.extend(ours.cloned());
            audio
                .attributes
                .extend(stream.fmtp(number).map(|value| Attribute::new("fmtp", format!("{number} {value}"))));
        }
        let data = self.data.map(|at| bare(&self.offered.media[at]));
        let mut media: Vec<_> = [(self.audio, Some(audio)), (self.data.unwrap_or_default(), data)].into();
        media.sort_by_key(|(at, _)| *at);
        self.shown.media = media.into_iter().filter_map(|(_, media)| media).collect();
        let own = ["group", "ice-ufrag", "ice-pwd", "extmap-allow-mixed", "candidate"];
        self.shown.attributes.retain(|one| !own.contains(&one.name.as_str()));
        let mids: Vec<_> = self.shown.media.iter().filter_map(|media| media.attribute("mid")).collect();
        let group = Attribute::new("group", format!("BUNDLE {}", mids.join(" ")));
        self.shown.attributes.push(group);
        if let Some(Credentials { ufrag, pwd }) = self.ice.credentials.clone() {
            self.restart(Credentials { ufrag, pwd });
        }
    }

    /// The peer begins ICE anew: what the stack is shown then.
    pub(super) fn restart(&mut self, credentials: Credentials) {
        self.shown.attributes.retain(|one| one.name != "ice-ufrag" && one.name != "ice-pwd");
        self.shown.attributes.push(Attribute::new("ice-ufrag", credentials.ufrag.clone()));
        self.shown.attributes.push(Attribute::new("ice-pwd", credentials.pwd.clone()));
        self.ice.credentials = Some(credentials);
        let version = self.shown.origin.version.parse::<u64>().unwrap_or_default();
        self.shown.origin.version = version.saturating_add(1).to_string();
    }

    /// Whether no data channel goes with it.
    pub(super) fn has_no_data(&self) -> bool {
        self.data.is_none()
    }

    /// The mid of the audio.
    pub(super) fn mid(&self) -> &str {
        self.offered.media[self.audio].attribute("mid").unwrap_or_default()
    }

    /// What stands for each format that was taken: its number, name and clock, and what the offer says of it.
    pub(super) fn formats(&self) -> impl Iterator<Item = Format> {
        let audio = self.shown.media.iter().find(|media| is_audio(media));
        audio.into_iter().flat_map(|media| {
            media.payload_types().filter_map(|number| {
                let map = media.rtpmap(number)?;
                Some(Format {
                    number,
                    name: map.encoding,
                    clock_rate: map.clock_rate,
                    channels: map.channels,
                    parameters: media.fmtp(number).unwrap_or_default().to_owned(),
                })
            })
        })
    }

    /// The answer for the browser, of the stack's own: with what we wish of the codec, the refused streams, and our address as the
    /// world knows it.
    ///
    /// # Errors
    /// [`Refused::Stack`]: that is no answer.
    pub(super) fn answer(&self, stacks: &str, public: Option<IpAddr>) -> Result<Sdp, Refused> {
        let mut answer = Sdp::parse(stacks.as_bytes())?;
        let mut streams = std::mem::take(&mut answer.media);
        let mut take = |offered: &Media| {
            let mid = offered.attribute("mid");
            let at = streams.iter().position(|media| media.attribute("mid") == mid)?;
            Some(streams.remove(at))
        };
        for (at, offered) in self.offered.media.iter().enumerate() {
            let mut stream = if at == self.audio || Some(at) == self.data { take(offered) } else { None };
            if at == self.audio {
                let taken = stream.as_mut().filter(|media| media.port != 0);
                let taken = taken.ok_or_else(|| Refused::Stack("the audio was not taken".into()))?;
                taken.attributes.retain(|one| !["rtpmap", "fmtp", "rtcp-fb", "ptime"].contains(&one.name.as_str()));
                taken.formats.clone_from(&self.formats.0);
                taken.attributes.extend_from_slice(&self.formats.1);
            }
            answer.media.push(stream.unwrap_or_else(|| refused(offered)));
        }
        if let Some(public) = public {
            known_as(&mut answer, public);
        }
        Ok(answer)
    }
}

/// A format of the audio that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) number: u8,
    pub(super) name: String,
    pub(super) clock_rate: u32,
    pub(super) channels: u32,
    /// What `a=fmtp` of the offer says.
    pub(super) parameters: String,
}

/// The first audio stream that can be taken, and what is agreed of it.
fn choose(offered: &Sdp, local: &Local<'_>) -> Result<(usize, Session), Refused> {
    let mut fault = Refused::NoAudio;
    for (at, media) in offered.media.iter().enumerate() {
        // Where the packets go is the matter of ICE.
        let place = Connection::new(PIPED.ip());
        let port = if media.port == 0 { 0 } else { PIPED.port() };
        let media = Media { connection: Some(place), port, ..media.clone() };
        match agree(offered, &media, None, local) {
            Ok(session) => return Ok((at, session)),
            Err(Unacceptable::NoAudio) => {}
            Err(Unacceptable::NoCodec) if fault == Refused::NoAudio => {
                let names: Vec<_> = local.codecs.iter().map(|codec| codec.name).collect();
                fault = Refused::NoCodec(names.join(", "));
            }
            Err(_) if fault == Refused::NoAudio => fault = Refused::NotWebRtc,
            Err(_) => {}
        }
    }
    Err(fault)
}

/// The credentials of a stream, or of all.
fn named(offered: &Sdp, stream: &Media) -> Option<Credentials> {
    let value = |name| offered.attribute_of(stream, name).map(|value| value.trim().to_owned());
    Some(Credentials { ufrag: value("ice-ufrag")?, pwd: value("ice-pwd")? })
}

fn is_of(attribute: &Attribute, number: u8) -> bool {
    let value = attribute.value.as_deref().unwrap_or_default();
    value.split_once(' ').is_some_and(|(said, _)| said.parse() == Ok(number))
}

/// A stream without what is withheld.
fn bare(media: &Media) -> Media {
    let mut media = media.clone();
    media.attributes.retain(|one| !WITHHELD.contains(&one.name.to_ascii_lowercase().as_str()));
    media
}

/// A stream of the offer refused (RFC 3264 section 6); with an address, which some want of each.
fn refused(media: &Media) -> Media {
    let nowhere = Connection::new([0, 0, 0, 0].into());
    let attributes = media.attribute("mid").map(|mid| Attribute::new("mid", mid)).into_iter().collect();
    Media { port: 0, ports: None, connection: Some(nowhere), other: Vec::new(), attributes, ..media.clone() }
}

/// The candidates of our own interfaces are known by this address outside.
fn known_as(answer: &mut Sdp, public: IpAddr) {
    for one in answer.media.iter_mut().flat_map(|media| &mut media.attributes).filter(|one| one.name == "candidate") {
        let Some(value) = &mut one.value else { continue };
        let mut words: Vec<&str> = value.split(' ').collect();
        let is_host = words.iter().position(|word| *word == "typ").and_then(|at| words.get(at + 1)) == Some(&"host");
        let address = public.to_string();
        let same_version = |ip: IpAddr| ip.is_ipv4() == public.is_ipv4();
        if let Some(place) = words.get_mut(4).filter(|place| is_host && place.parse().is_ok_and(same_version)) {
            *place = &address;
            *value = words.join(" ");
        }
    }
}

#[cfg(test)]
mod tests {
    use milo_media::{CODECS, codec::OPUS};

    use super::*;

    /// What Chromium 137 offers for a microphone and a data channel, shortened; with a camera's stream before them.
    const CHROMIUM: &str = "v=0\r\no=- 4962303333179871722 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        a=group:BUNDLE 0 1 2\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:0\r\n\
        a=sendrecv\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0\r\n\
        a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=ice-options:trickle\r\n\
        a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:1\r\n\
        a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=sendrecv\r\na=msid:- track\r\na=rtcp-mux\r\n\
        a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
        a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:8 PCMA/8000\r\na=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\n\
        a=rtpmap:126 telephone-event/8000\r\na=ssrc:3570614608 cname:4TOk42mSjXCkVIa6\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
        a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:2\r\n\
        a=sctp-port:5000\r\na=max-message-size:262144\r\n";

    fn taken(offer: &str) -> Result<Taken, Refused> {
        Taken::of(offer.as_bytes(), CODECS, Tuning::default())
    }

    #[test]
    fn of_a_browsers_offer_one_codec_is_taken_with_its_keys_and_the_data_channel() {
        let taken = taken(CHROMIUM).expect("an offer");
        assert_eq!((taken.session.codec, taken.session.payload_type), (&OPUS, 111));
        assert_eq!((taken.session.telephone_event, taken.session.telephone_event_clock), (Some(110), 48_000));
        assert!(taken.session.in_band_fec && taken.session.rtcp == Rtcp::Mux && taken.session.remote == PIPED);
        assert_eq!((taken.mid(), taken.ice.candidates.len()), ("1", 1));
        let shown = taken.shown.to_string();
        for withheld in ["VP8", "video", "rtcp-fb", "extmap", "red/48000", "telephone-event/8000", "192.0.2.1", "ssrc"]
        {
            assert!(!shown.contains(withheld), "{withheld} in\n{shown}");
        }
        assert!(shown.contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 110\r\n"), "{shown}");
        assert!(shown.contains("a=fmtp:111 minptime=10;useinbandfec=1\r\n"), "{shown}");
        assert!(shown.contains("a=group:BUNDLE 1 2\r\n") && shown.contains("webrtc-datachannel"), "{shown}");
        assert_eq!(shown.matches("a=ice-ufrag:EsAw").count(), 1);
        let formats: Vec<_> = taken.formats().map(|format| (format.number, format.name)).collect();
        assert_eq!(formats, [(111, "opus".to_owned()), (110, "telephone-event".to_owned())]);
    }

    #[test]
    fn the_answer_refuses_what_was_not_taken_and_says_what_we_wish() {
        let taken = taken(CHROMIUM).expect("an offer");
        let stacks = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=fingerprint:sha-256 CC\r\na=group:BUNDLE 1 2\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111 110\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=rtpmap:111 opus/48000/2\r\n\
            a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:110 telephone-event/48000\r\na=sendrecv\r\n\
            a=candidate:1 1 udp 2130706431 10.0.0.5 20000 typ host\r\n\
            a=candidate:2 1 udp 1694498815 198.51.100.7 20000 typ srflx raddr 10.0.0.5 rport 20000\r\n\
            m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n";
        let answer = taken.answer(stacks, Some([203, 0, 113, 9].into())).expect("an answer").to_string();
        let lines: Vec<_> = answer.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("m=video 0 ") && lines[1].starts_with("m=audio 9 "), "{lines:?}");
        assert!(answer.contains("a=fmtp:111 ") && answer.contains("maxaveragebitrate="), "{answer}");
        assert!(
            answer.contains("203.0.113.9 20000 typ host") && !answer.contains("10.0.0.5 20000 typ host"),
            "{answer}"
        );
        assert!(answer.contains("198.51.100.7 20000 typ srflx"), "{answer}");
        let none = taken.answer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", None);
        assert!(matches!(none, Err(Refused::Stack(_))), "{none:?}");
    }

    #[test]
    fn a_restart_changes_the_credentials_and_nothing_else() {
        let mut taken = taken(CHROMIUM).expect("an offer");
        let before = taken.shown.to_string();
        taken.restart(Credentials { ufrag: "newU".into(), pwd: "0123456789abcdefghijkl".into() });
        let after = taken.shown.to_string();
        assert!(
            after.contains("a=ice-ufrag:newU\r\n") && after.contains("a=ice-pwd:0123456789abcdefghijkl\r\n"),
            "{after}"
        );
        assert_eq!((after.matches("ice-ufrag").count(), before.lines().count()), (1, after.lines().count()));
        assert_ne!(before.lines().nth(1), after.lines().nth(1), "the version of the description");
    }

    #[test]
    fn offers_that_are_none_say_what_is_missing() {
        let refused = |offer: &str| taken(offer).expect_err(offer);
        assert!(matches!(refused("hello"), Refused::Malformed(SdpError::Version)));
        assert!(matches!(refused(""), Refused::Malformed(_)));
        let streams: Vec<_> = CHROMIUM.split("m=").collect();
        let with = |parts: &[&str]| [&[streams[0]], parts].concat().join("m=");
        assert_eq!(refused(&with(&[])), Refused::NoAudio);
        assert_eq!(refused(&with(&[streams[1]])), Refused::NoAudio, "video only");
        assert_eq!(refused(&with(&[streams[3]])), Refused::NoAudio, "data only");
        let unknown =
            with(&[streams[2]]).replace("111 63 9 0 8 13 110 126", "120").replace("rtpmap:111 opus", "rtpmap:120 ILBC");
        assert_eq!(refused(&unknown), Refused::NoCodec("opus, G722, PCMA, PCMU".into()));
        for direction in ["sendonly", "recvonly", "inactive"] {
            assert_eq!(refused(&CHROMIUM.replace("a=sendrecv", &format!("a={direction}"))), Refused::OneWay);
        }
        for (what, with) in
            [("a=fingerprint:sha-256 AA:BB\r\n", ""), ("UDP/TLS/RTP/SAVPF", "RTP/AVP"), ("a=rtcp-mux\r\n", "")]
        {
            assert_eq!(refused(&CHROMIUM.replace(what, with)), Refused::NotWebRtc, "{what}");
        }
        assert_eq!(refused(&CHROMIUM.replace("a=ice-ufrag:EsAw\r\n", "")), Refused::NoIce);
        assert_eq!(refused(&CHROMIUM.replace("P2uYro0UCOQ4zxjKXaWCBui1", "short")), Refused::NoIce);
    }

    #[test]
    fn pcmu_alone_is_taken_and_other_data_is_not_without_bundle() {
        let offer = CHROMIUM.replace("111 63 9 0 8 13 110 126", "0").replace("a=group:BUNDLE 0 1 2\r\n", "");
        let taken = taken(&offer).expect("an offer");
        assert_eq!(taken.session.codec.name, "PCMU");
        assert_eq!((taken.data, taken.shown.media.len()), (None, 1));
    }
}
