//! The formats of an audio stream: which codec a payload type stands for (RFC 8866 section 6.6, RFC 3551), what its
//! parameters ask (RFC 7587 for Opus), and which telephone-event and comfort noise go with it.

use milo_media::{Codec, PayloadTypes, Session, Tuning};

use crate::{
    offer_answer::Local,
    sdp::{Attribute, Media, Sdp},
};

/// RFC 4733 events 0 to 15: digits, `*`, `#`, A to D.
const EVENTS: &str = "0-15";
/// The payload types we offer for telephone-event on this clock; the first is the one most telephones use.
const TELEPHONE_EVENTS: [(u32, u8); 2] = [(8_000, 101), (48_000, 100)];
/// Comfort noise (RFC 3389), static; it goes with codecs on this clock.
const COMFORT_NOISE: (u32, u8) = (8_000, 13);
/// Milliseconds of audio a packet where nobody asks for another length, and at most.
const PTIME_MS: (u32, u32) = (20, 60);
/// Bits a second that Opus can be asked for (RFC 7587 section 6.1).
const BITRATES: std::ops::RangeInclusive<u32> = 6_000..=510_000;

/// The codec of a stream and its payload type. Of an offer we take what we prefer; of an answer to `ours` what the peer
/// put first, and where it does not repeat what a number stands for, what we said.
pub(crate) fn choose(media: &Media, ours: Option<&Media>, local: &Local<'_>) -> Option<(u8, &'static Codec)> {
    let Some(ours) = ours else {
        return local.codecs.iter().find_map(|codec| {
            media.payload_types().find(|number| stands_for(media, *number, codec)).map(|number| (number, *codec))
        });
    };
    media.payload_types().find_map(|number| {
        let says = if media.rtpmap(number).is_some() { media } else { ours };
        local.codecs.iter().find(|codec| stands_for(says, number, codec)).map(|codec| (number, *codec))
    })
}

/// What goes with the codec of this session in the peer's stream: events, comfort noise, packet length, its wishes; and under
/// which numbers of `ours`, when the stream is an answer to that, it sends.
pub(crate) fn detailed(session: Session, description: &Sdp, media: &Media, ours: Option<&Media>) -> Session {
    let asked = |name| description.attribute_of(media, name).and_then(|value| value.trim().parse::<u32>().ok());
    let most = asked("maxptime").unwrap_or(PTIME_MS.1);
    let parameters = media.fmtp(session.payload_type).filter(|_| session.codec.fmtp.is_some()).unwrap_or_default();
    let parameter = |name: &str| {
        parameters.split(';').filter_map(|parameter| parameter.split_once('=')).find_map(|(key, value)| {
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().parse::<u32>().ok()).flatten()
        })
    };
    let events = telephone_event(media, session.codec);
    let session = Session {
        telephone_event: events.map(|(number, _)| number),
        telephone_event_clock: events.map_or(session.codec.clock_rate, |(_, clock_rate)| clock_rate),
        comfort_noise: comfort_noise(media, session.codec),
        ptime_ms: session.codec.ptime_ms(asked("ptime").unwrap_or(PTIME_MS.0).min(most)),
        max_bitrate: parameter("maxaveragebitrate").map(|most| most.clamp(*BITRATES.start(), *BITRATES.end())),
        in_band_fec: parameter("useinbandfec") == Some(1),
        ..session
    };
    let incoming = ours.map(|ours| numbered(&session, ours)).filter(|numbers| *numbers != session.outgoing());
    Session { incoming, ..session }
}

/// The numbers that our own stream gives to what was agreed on: an answer may have others for the same, and then each side
/// sends under those of the other (RFC 3264 section 6.1).
fn numbered(session: &Session, ours: &Media) -> PayloadTypes {
    let own =
        |stands: &dyn Fn(u8) -> bool, theirs| ours.payload_types().find(|number| stands(*number)).unwrap_or(theirs);
    let (codec, clock_rate) = (session.codec, session.telephone_event_clock);
    let event = |theirs| own(&|number| is_telephone_event(ours, number, clock_rate), theirs);
    PayloadTypes {
        audio: own(&|number| stands_for(ours, number, codec), session.payload_type),
        telephone_event: session.telephone_event.map(event),
        comfort_noise: session.comfort_noise.map(|theirs| own(&|number| is_comfort_noise(ours, number), theirs)),
    }
}

/// The formats of our answer and their lines: the codec that was chosen, under the number that the offer gave it.
pub(crate) fn answered(session: &Session, offered: &Media, tuning: &Tuning) -> (Vec<String>, Vec<Attribute>) {
    let mut lines = Lines::default();
    lines.codec(session.payload_type, session.codec, tuning);
    if let Some(number) = session.comfort_noise {
        lines.format(number, "CN", COMFORT_NOISE.0, 1, None);
    }
    if let Some(number) = session.telephone_event {
        let clock_rate = offered.rtpmap(number).map_or(session.codec.clock_rate, |map| map.clock_rate);
        lines.format(number, "telephone-event", clock_rate, 1, Some(EVENTS.to_owned()));
    }
    lines.attributes.push(Attribute::new("ptime", session.ptime_ms.to_string()));
    (lines.formats, lines.attributes)
}

/// The formats of our offer and their lines: every codec, preferred first, and what goes with their clocks. A number keeps
/// its meaning for the life of the session (RFC 3264 section 8.3.2): what the `previous` stream called it, it is called.
pub(crate) fn offered(local: &Local<'_>, previous: Option<&Media>) -> (Vec<String>, Vec<Attribute>) {
    let mut lines = Lines::default();
    let mut numbers = Numbers { previous, given: Vec::new() };
    for codec in local.codecs {
        let number = numbers.give(codec.payload_type, |media, number| stands_for(media, number, codec));
        lines.codec(number, codec, &local.tuning);
    }
    let on_clock = |clock_rate| local.codecs.iter().any(|codec| codec.clock_rate == clock_rate);
    if on_clock(COMFORT_NOISE.0) {
        let number = numbers.give(COMFORT_NOISE.1, is_comfort_noise);
        lines.format(number, "CN", COMFORT_NOISE.0, 1, None);
    }
    for (clock_rate, usual) in TELEPHONE_EVENTS {
        if on_clock(clock_rate) {
            let number = numbers.give(usual, |media, number| is_telephone_event(media, number, clock_rate));
            lines.format(number, "telephone-event", clock_rate, 1, Some(EVENTS.to_owned()));
        }
    }
    lines.attributes.push(Attribute::new("ptime", PTIME_MS.0.to_string()));
    lines.attributes.push(Attribute::new("maxptime", PTIME_MS.1.to_string()));
    (lines.formats, lines.attributes)
}

/// Does a payload type stand for this codec? `a=rtpmap` says so where there is one, the static table otherwise.
fn stands_for(media: &Media, payload_type: u8, codec: &Codec) -> bool {
    match media.rtpmap(payload_type) {
        Some(map) => {
            codec.name.eq_ignore_ascii_case(&map.encoding)
                && codec.clock_rate == map.clock_rate
                && u32::from(codec.channels) == map.channels
        }
        None => payload_type < 96 && codec.payload_type == payload_type,
    }
}

/// The payload type of telephone-event on the codec's clock (RFC 4733 section 2.1), and that clock; some peers have it at
/// 8 kHz only, whatever the codec.
fn telephone_event(media: &Media, codec: &Codec) -> Option<(u8, u32)> {
    let on = |clock_rate| media.payload_types().find(|number| is_telephone_event(media, *number, clock_rate));
    [codec.clock_rate, 8_000].into_iter().find_map(|clock_rate| Some((on(clock_rate)?, clock_rate)))
}

fn is_telephone_event(media: &Media, payload_type: u8, clock_rate: u32) -> bool {
    let map = media.rtpmap(payload_type);
    map.is_some_and(|map| map.encoding.eq_ignore_ascii_case("telephone-event") && map.clock_rate == clock_rate)
}

/// The payload type of comfort noise, for codecs on its clock.
fn comfort_noise(media: &Media, codec: &Codec) -> Option<u8> {
    let fits = codec.clock_rate == COMFORT_NOISE.0;
    media.payload_types().find(|number| fits && is_comfort_noise(media, *number))
}

fn is_comfort_noise(media: &Media, payload_type: u8) -> bool {
    let (clock_rate, number) = COMFORT_NOISE;
    let map = media.rtpmap(payload_type);
    map.map_or(payload_type == number, |map| map.encoding.eq_ignore_ascii_case("CN") && map.clock_rate == clock_rate)
}

/// `m=` formats and the attributes that explain them.
#[derive(Default)]
struct Lines {
    formats: Vec<String>,
    attributes: Vec<Attribute>,
}

impl Lines {
    fn codec(&mut self, number: u8, codec: &Codec, tuning: &Tuning) {
        // What we send is what we like to get.
        let wishes = format!(";maxaveragebitrate={}{}", tuning.repeating(), if tuning.dtx { ";usedtx=1" } else { "" });
        let parameters = codec.fmtp.map(|fixed| format!("{fixed}{wishes}"));
        self.format(number, codec.name, codec.clock_rate, codec.channels, parameters);
    }

    fn format(&mut self, number: u8, name: &str, clock_rate: u32, channels: u8, parameters: Option<String>) {
        let channels = if channels > 1 { format!("/{channels}") } else { String::new() };
        self.formats.push(number.to_string());
        self.attributes.push(Attribute::new("rtpmap", format!("{number} {name}/{clock_rate}{channels}")));
        if let Some(parameters) = parameters {
            self.attributes.push(Attribute::new("fmtp", format!("{number} {parameters}")));
        }
    }
}

/// Gives numbers to the formats of an offer.
struct Numbers<'a> {
    previous: Option<&'a Media>,
    given: Vec<u8>,
}

impl Numbers<'_> {
    /// The number that the previous stream has for it; else the usual one, or a free one when that means something else.
    fn give(&mut self, usual: u8, stands: impl Fn(&Media, u8) -> bool) -> u8 {
        let known: Vec<u8> = self.previous.into_iter().flat_map(Media::payload_types).collect();
        let kept = self.previous.and_then(|media| known.iter().copied().find(|number| stands(media, *number)));
        let is_free = |number: &u8| !known.contains(number) && !self.given.contains(number);
        let number = kept.or_else(|| std::iter::once(usual).chain(96..128).find(is_free)).unwrap_or(usual);
        self.given.push(number);
        number
    }
}
