//! The RTCP of one leg (RFC 3550 section 6), without socket or clock: what was sent and heard goes in, reports come out;
//! the peer's reports go in, and how the line is in the other direction comes out.
//!
//! Round trips are measured between moments of our own clock: a report of the peer names the report of ours that it
//! answers, and only those that we remember count. A wall clock that jumps does no harm.

use std::time::{Duration, Instant};

use crate::session::Extended;

use super::{
    Packet,
    rtcp::{self, Block, Part, SenderInfo, VoipMetrics},
    source::{Source, delay},
};

/// The usual interval between two reports (RFC 3550 section 6.2); each one is between half and one and a half times it.
const INTERVAL: Duration = Duration::from_secs(5);
/// Our own reports that the peer may still answer.
const REMEMBERED: usize = 4;
/// A round trip beyond this is no measurement.
const LONGEST_TRIP: Duration = Duration::from_secs(30);
/// Our SSRC is not given up twice within this time: what comes back then is our own stream, reflected (RFC 3550 8.2).
const LOOP: Duration = Duration::from_secs(60);
/// Packets that the peer must have got between two of its reports before it can be said to hear nothing.
const UNHEARD: u32 = 50;

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Malformed, or of another source than the one that is heard.
    Ignored,
    /// A report of the peer.
    Report,
    /// A report of the peer, by which it goes on sending, while nothing of it comes.
    Unheard,
    /// The peer uses our SSRC. Ours is another one from now on.
    Collision,
}

/// A compound that is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The reports of every few seconds.
    Report,
    /// The goodbye of an SSRC that was given up.
    Farewell(u32),
}

/// What the peer says of the stream that we send.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FarSide {
    /// Packets of ours that it missed, since the beginning.
    pub(crate) lost: u64,
    /// Share that it missed between its last two reports, in percent.
    pub(crate) loss_percent: f32,
    /// Jitter of our packets as it measures it.
    pub(crate) jitter_ms: f32,
    /// Its own opinion of the sound in tenths of a score, 10 to 50, if it says so in extended reports; else 0.
    pub(crate) mos_tenths: u8,
    /// Reports in a row in which nothing of ours had arrived.
    pub(crate) unheard: u32,
}

/// One leg's reports.
#[derive(Debug)]
pub(crate) struct Reports {
    ssrc: u32,
    cname: String,
    clock_rate: u32,
    extended: Extended,
    random: u64,
    /// Where arrival times are counted from.
    began: Instant,
    due: Instant,
    /// An SSRC that was given up and has not said goodbye.
    leaving: Option<u32>,
    collided: Option<Instant>,
    /// Packets and payload bytes sent, and how many packets there were at the last two reports.
    packets: u32,
    octets: u32,
    reported: [u32; 2],
    /// Timestamp of the packet sent last.
    latest: Option<(u32, Instant)>,
    /// Middle bits of the NTP time of reports that we sent, and when that was.
    remembered: [Option<(u32, Instant)>; REMEMBERED],
    source: Option<Source>,
    /// What the next packet must be for a new stream to begin.
    candidate: Option<(u32, u16)>,
    far: FarSide,
    /// Our packets as of the last report that was judged, and the highest number of ours that the peer has told of.
    seen: (u32, Option<u32>),
    /// The share of our packets that the newest report misses, until it is taken.
    news: Option<u8>,
    round_trip: Option<(Duration, u32)>,
    out: Vec<u8>,
    /// Compounds sent, read and ignored.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) ignored: u64,
}

impl Reports {
    /// A leg that sends under `ssrc`. `random` is the seed of the name and of the intervals.
    pub(crate) fn new(ssrc: u32, clock_rate: u32, random: u64, now: Instant) -> Self {
        let mut reports = Self {
            ssrc,
            cname: String::new(),
            clock_rate,
            extended: Extended::default(),
            random,
            began: now,
            due: now,
            leaving: None,
            collided: None,
            packets: 0,
            octets: 0,
            reported: [0; 2],
            latest: None,
            remembered: [None; REMEMBERED],
            source: None,
            candidate: None,
            far: FarSide::default(),
            seen: (0, None),
            news: None,
            round_trip: None,
            out: Vec::new(),
            sent: 0,
            received: 0,
            ignored: 0,
        };
        // A name that says nothing about the machine or the caller (RFC 7022 section 4.2).
        reports.cname = format!("{:016x}", reports.roll());
        // The first report comes after half of the usual time (RFC 3550 section 6.2).
        reports.due = now + reports.interval() / 2;
        reports
    }

    /// A new agreement.
    pub(crate) fn change(&mut self, clock_rate: u32, extended: Extended) {
        self.extended = extended;
        if clock_rate != self.clock_rate {
            self.clock_rate = clock_rate;
            self.source.iter_mut().for_each(Source::clock_changed);
        }
    }

    /// The SSRC of what we send.
    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// What the peer says.
    pub(crate) fn far(&self) -> &FarSide {
        &self.far
    }

    /// The round trip, averaged over the last eight measurements.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|(trip, _)| trip)
    }

    /// The share of our packets that the peer's newest report misses, in percent; once for each report.
    pub(crate) fn take_loss(&mut self) -> Option<u8> {
        self.news.take()
    }

    /// A datagram of RTP leaves.
    pub(crate) fn leaves(&mut self, datagram: &[u8], now: Instant) {
        if let Some(packet) = Packet::parse(datagram) {
            self.sending(packet.timestamp, packet.payload.len(), now);
        }
    }

    fn sending(&mut self, timestamp: u32, octets: usize, now: Instant) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
        self.latest = Some((timestamp, now));
    }

    /// A valid RTP packet of the peer has come. `is_audio` is false for events, whose timestamp stands still.
    pub(crate) fn hearing(&mut self, ssrc: u32, sequence: u16, timestamp: u32, is_audio: bool, now: Instant) -> Read {
        if ssrc == self.ssrc {
            return self.collide(now);
        }
        let same = self.source.as_mut().filter(|source| source.ssrc == ssrc);
        if !same.is_some_and(|source| source.count(sequence)) {
            if self.source.is_some() && self.candidate != Some((ssrc, sequence)) {
                self.candidate = Some((ssrc, sequence.wrapping_add(1)));
                return Read::Report;
            }
            self.source = Some(Source::starting(ssrc, sequence));
        }
        self.candidate = None;
        if let Some(source) = self.source.as_mut().filter(|_| is_audio) {
            let since = now.saturating_duration_since(self.began);
            let rate = u64::from(self.clock_rate);
            let arrival = since.as_secs() * rate + u64::from(since.subsec_nanos()) * rate / 1_000_000_000;
            source.timed((arrival as u32).wrapping_sub(timestamp), self.clock_rate);
        }
        Read::Report
    }

    /// A datagram of RTCP has come from the peer's address.
    pub(crate) fn read(&mut self, datagram: &[u8], now: Instant) -> Read {
        let parts = rtcp::parse(datagram).unwrap_or_default();
        let Some(Part::Report { reporter, .. }) = parts.first().copied() else {
            self.ignored += 1;
            return Read::Ignored;
        };
        if reporter == self.ssrc {
            let ours = Part::Cname { ssrc: reporter, name: self.cname.as_bytes() };
            if parts.contains(&ours) {
                self.ignored += 1;
                return Read::Ignored;
            }
            return self.collide(now);
        }
        if self.source.as_ref().is_some_and(|source| source.ssrc != reporter) {
            self.ignored += 1;
            return Read::Ignored;
        }
        self.received += 1;
        let (mut about_us, mut read) = (None, Read::Report);
        for part in parts {
            match part {
                Part::Report { sender: Some(info), .. } => {
                    let stamp = (middle(info.ntp), now);
                    if self.source.as_mut().is_some_and(|source| source.reported(stamp, info.packets)) {
                        read = Read::Unheard;
                    }
                }
                Part::ReferenceTime { ntp, .. } => {
                    let stamp = Some((middle(ntp), now));
                    self.source.iter_mut().for_each(|source| source.last_reference = stamp);
                }
                Part::Block(block) if block.ssrc == self.ssrc => about_us = Some(block),
                Part::Delay { ssrc, last_reference, delay } if ssrc == self.ssrc => {
                    self.answered(last_reference, delay, now);
                }
                Part::Metrics(metrics) if metrics.ssrc == self.ssrc && (10..=50).contains(&metrics.mos_lq) => {
                    self.far.mos_tenths = metrics.mos_lq;
                }
                Part::Bye(ssrc) if ssrc == reporter => self.source = None,
                _ => {}
            }
        }
        self.told(about_us, now);
        read
    }

    /// What the peer's report says of our stream, or that it says nothing of it. Some peers say what they send in one report and what
    /// they hear in another: one that says nothing counts only where none that tells of more has come since.
    fn told(&mut self, block: Option<Block>, now: Instant) {
        let (packets, before) = self.seen;
        let highest = block.map(|block| block.highest);
        if highest.is_some() && highest != before {
            self.far.unheard = 0;
            self.seen = (self.packets, highest);
        } else if self.packets.wrapping_sub(packets) >= UNHEARD {
            self.far.unheard += 1;
            self.seen = (self.packets, before);
        }
        self.take(block, now);
    }

    fn take(&mut self, block: Option<Block>, now: Instant) {
        let Some(block) = block else { return };
        self.far.lost = block.lost.max(0) as u64;
        self.far.loss_percent = f32::from(block.fraction_lost) * 100.0 / 256.0;
        self.far.jitter_ms = block.jitter as f32 * 1000.0 / self.clock_rate as f32;
        self.news = Some(self.far.loss_percent.round() as u8);
        self.answered(block.last_report, block.delay, now);
    }

    /// The peer answers a report of ours: `delay` after it came there, in 65536ths of a second.
    fn answered(&mut self, stamp: u32, delay: u32, now: Instant) {
        let Some((_, then)) = self.remembered.iter().flatten().find(|(ours, _)| *ours == stamp) else { return };
        let held = Duration::from_nanos(u64::from(delay) * 1_000_000_000 / 65_536);
        let elapsed = now.saturating_duration_since(*then);
        // The peer's clock is another one: a short trip may come out a little below nothing.
        let trip = elapsed.saturating_sub(held);
        if trip > LONGEST_TRIP || held.saturating_sub(elapsed) > Duration::from_millis(500) {
            return;
        }
        let (average, count) = self.round_trip.unwrap_or((trip, 0));
        let count = (count + 1).min(8);
        let average = (average * (count - 1) + trip) / count;
        self.round_trip = Some((average, count));
    }

    /// Gives up our SSRC, unless that has just happened.
    fn collide(&mut self, now: Instant) -> Read {
        if self.collided.is_some_and(|last| now.saturating_duration_since(last) < LOOP) {
            self.ignored += 1;
            return Read::Ignored;
        }
        self.collided = Some(now);
        self.leaving = Some(self.ssrc);
        self.ssrc = self.roll() as u32;
        (self.packets, self.octets, self.reported, self.seen) = (0, 0, [0; 2], (0, None));
        self.remembered = [None; REMEMBERED];
        Read::Collision
    }

    /// What is due now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if let Some(ssrc) = self.leaving.take() {
            return Some(Due::Farewell(ssrc));
        }
        if now < self.due {
            return None;
        }
        self.due = now + self.interval();
        Some(Due::Report)
    }

    /// The compound that was due. `ntp` is the wall clock.
    pub(crate) fn write(&mut self, due: Due, now: Instant, ntp: u64, metrics: Option<VoipMetrics>) -> &[u8] {
        match due {
            Due::Report => self.compound(now, ntp, metrics),
            Due::Farewell(ssrc) => {
                self.out.clear();
                rtcp::write_report(ssrc, None, &[], &mut self.out);
                rtcp::write_cname(ssrc, &self.cname, &mut self.out);
                rtcp::write_bye(ssrc, &mut self.out);
                self.sent += 1;
            }
        }
        &self.out
    }

    /// The last compound: reports, and BYE. Nothing when nobody was ever told of us (RFC 3550 section 6.3.7).
    pub(crate) fn goodbye(&mut self, now: Instant, ntp: u64) -> Option<&[u8]> {
        if self.packets == 0 && self.sent == 0 {
            return None;
        }
        self.compound(now, ntp, None);
        rtcp::write_bye(self.ssrc, &mut self.out);
        Some(&self.out)
    }

    fn compound(&mut self, now: Instant, ntp: u64, metrics: Option<VoipMetrics>) {
        self.out.clear();
        // One that has sent since the report before the last is a sender (RFC 3550 section 6.4).
        let sender = self.latest.filter(|_| self.packets != self.reported[0]).map(|(timestamp, sent)| {
            let since = now.saturating_duration_since(sent).as_micros() as u64;
            let passed = since * u64::from(self.clock_rate) / 1_000_000;
            let timestamp = timestamp.wrapping_add(passed as u32);
            SenderInfo { ntp, timestamp, packets: self.packets, octets: self.octets }
        });
        self.reported = [self.reported[1], self.packets];
        let block = self.source.as_mut().and_then(|source| source.block(now));
        rtcp::write_report(self.ssrc, sender.as_ref(), block.as_slice(), &mut self.out);
        rtcp::write_cname(self.ssrc, &self.cname, &mut self.out);
        let reference = (self.extended.round_trip && sender.is_none()).then_some(ntp);
        let answer = self
            .source
            .as_ref()
            .filter(|_| self.extended.round_trip)
            .and_then(|source| source.last_reference.map(|(stamp, came)| (source.ssrc, stamp, delay(now, came))));
        let metrics = metrics.filter(|_| self.extended.voip_metrics).zip(self.source.as_ref());
        let metrics = metrics.map(|(metrics, source)| VoipMetrics { ssrc: source.ssrc, ..metrics });
        if reference.is_some() || answer.is_some() || metrics.is_some() {
            rtcp::write_extended(self.ssrc, reference, answer, metrics.as_ref(), &mut self.out);
        }
        if sender.is_some() || reference.is_some() {
            self.remembered.rotate_right(1);
            self.remembered[0] = Some((middle(ntp), now));
        }
        self.sent += 1;
    }

    /// Between half and one and a half times the usual.
    fn interval(&mut self) -> Duration {
        INTERVAL / 2 + INTERVAL.mul_f64((self.roll() >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// The next of a row of numbers that nobody can guess who does not know the seed (splitmix).
    fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// The middle 32 bits of an NTP time, by which a report is named in its answer.
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
#[path = "reports_tests.rs"]
mod tests;
