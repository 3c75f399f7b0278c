//! A leg's RTCP: which socket it takes, whose packets count, what leaves; and what a leg says of its own quality.

use std::{
    net::SocketAddr,
    time::{Instant, SystemTime},
};

use super::{line::Line, task::Task};
use crate::{
    FRAME_MS, LegStats, OneWay, codec,
    datagrams::Datagrams,
    quality,
    rtp::{Read, VoipMetrics},
    session::{Direction, Rtcp},
    srtp::Security,
};

/// Ticks from one look at the whole line to the next: a second.
const LOOK: u64 = 50;
/// Datagrams of RTCP looked at in a second, where they have a port of their own.
const BATCH: usize = 16;
/// Seconds from 1900, where NTP counts from, to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

impl Line {
    /// Where RTCP goes: with the audio, or where the SDP says, unless the audio shows that there is a NAT in between.
    fn reports_to(&self) -> Option<SocketAddr> {
        let audio = self.peer.destination()?;
        match self.agreed.rtcp {
            Rtcp::Off => None,
            Rtcp::At(_) if self.is_unkeyed() => None,
            Rtcp::Mux => Some(audio),
            Rtcp::At(said) => Some(match self.rtcp_from {
                Some(learned) => learned,
                None if self.peer.is_learned(self.agreed.remote) || !self.peer.has_learned() => said,
                None => SocketAddr::new(audio.ip(), audio.port().checked_add(1)?),
            }),
        }
    }

    /// May RTCP come from here? On a port of its own, from where the audio comes from, or from where the SDP says.
    fn may_report(&self, from: SocketAddr) -> bool {
        let audio = self.peer.destination();
        match self.agreed.rtcp {
            Rtcp::Off => false,
            Rtcp::Mux => self.shield.is_secure() || audio == Some(from),
            Rtcp::At(_) if self.is_unkeyed() => false,
            Rtcp::At(said) if self.peer.has_learned() => said == from || audio.is_some_and(|at| at.ip() == from.ip()),
            Rtcp::At(said) => said.ip() == from.ip(),
        }
    }

    /// RTCP on a port of its own would need a handshake of its own (RFC 5764 section 4.1), which we do not make.
    fn is_unkeyed(&self) -> bool {
        matches!(self.agreed.security, Security::Dtls { .. })
    }

    /// Takes a datagram of RTCP. Says whether it shows that the peer whose packets were heard is there, and that no more of
    /// them are lost than it sends: silent on purpose, it may stay so.
    pub(super) fn report(&mut self, datagram: &mut [u8], from: SocketAddr, now: Instant) -> bool {
        let report = if self.may_report(from) { self.shield.open(datagram).ok() } else { None };
        let Some(report) = report else {
            self.strange_reports += 1;
            return false;
        };
        let read = self.reports.read(report, now);
        match read {
            Read::Ignored => {}
            Read::Report | Read::Unheard if matches!(self.agreed.rtcp, Rtcp::At(_)) => self.rtcp_from = Some(from),
            Read::Report | Read::Unheard => {}
            Read::Collision => self.sender.rename(self.reports.ssrc()),
        }
        read == Read::Report && self.receiver.has_heard()
    }

    /// What this end sounds like, for the peer's eyes (RFC 3611 section 4.7).
    fn metrics(&self, stats: &LegStats, ceiling_ms: u32) -> Option<VoipMetrics> {
        let score = stats.mos_hundredths;
        let share = |part: u64, whole: u64| (part * 256 / whole.max(1)).min(255) as u8;
        let expected = stats.received + stats.lost;
        let round_trip_ms = (stats.round_trip_us / 1000).min(u64::from(u16::MAX)) as u16;
        let heard = stats.heard(self.agreed.codec.name, &self.level);
        (score > 0).then(|| VoipMetrics {
            ssrc: 0,
            loss_rate: share(stats.lost.saturating_sub(stats.late), expected),
            discard_rate: share(stats.late, expected),
            round_trip_ms,
            end_system_ms: (stats.target_ms + 2 * u64::from(FRAME_MS)) as u16,
            // dBm0 is counted from 3.14 dB below the end of the scale of µ-law.
            signal_level: if stats.level_below == 0 {
                127
            } else {
                (3 - stats.level_below as i64 / 10).max(-127) as i8
            },
            r_factor: quality::rating(&heard).round() as u8,
            mos_lq: (score / 10) as u8,
            mos_cq: (score / 10) as u8,
            buffer_ms: stats.target_ms as u16,
            buffer_most_ms: u64::from(ceiling_ms).max(stats.target_ms).min(u16::MAX.into()) as u16,
        })
    }
}

impl Task {
    /// Takes the RTCP that came on a port of its own. Once a second is enough: the kernel has noted when it came.
    pub(super) fn listen_to_reports(&mut self, now: Instant) {
        let (Some(socket), Some(line)) = (&self.rtcp, &mut self.line) else { return };
        if self.ticks.is_multiple_of(LOOK) {
            socket.take(now, BATCH, |datagram, from, arrived| {
                if line.report(datagram, from, arrived) {
                    self.due_since = arrived;
                }
            });
        }
    }

    /// Sends the report that is due, and gives up the second port once it is not needed.
    pub(super) fn send_reports(&mut self, stats: &LegStats, socket: &Datagrams, now: Instant) {
        let Some(line) = &mut self.line else { return };
        if line.agreed.rtcp == Rtcp::Mux {
            self.rtcp = None;
        }
        let Some(to) = line.reports_to().filter(|_| line.shield.is_ready()) else { return };
        let socket = if line.agreed.rtcp == Rtcp::Mux { Some(socket) } else { self.rtcp.as_ref() };
        let Some(socket) = socket else { return };
        if let Some(report) = line.reports.take_due(now) {
            let metrics = line.metrics(stats, self.shared.options.jitter_ceiling_ms);
            let report = line.reports.write(report, now, ntp(), metrics);
            // A report that cannot be sent is a lost one; the next follows in five seconds.
            line.shield.seal(report).map(|report| socket.send(report, to));
        }
    }

    /// Says goodbye, when anybody knows of us.
    pub(super) fn say_goodbye(&mut self, socket: &Datagrams, now: Instant) {
        let Some(line) = &mut self.line else { return };
        let Some(to) = line.reports_to() else { return };
        let socket = if line.agreed.rtcp == Rtcp::Mux { Some(socket) } else { self.rtcp.as_ref() };
        if let (Some(socket), Some(bye)) = (socket, line.reports.goodbye(now, ntp())) {
            line.shield.seal(bye).map(|bye| socket.send(bye, to));
        }
    }

    /// The leg's figures, as of this tick; the encoder is told of the loss among them.
    pub(super) fn figures(&mut self) -> LegStats {
        let mut stats = LegStats { dropped: self.shared.ears.dropped(), ..self.totals };
        let Some(line) = &mut self.line else { return stats };
        line.receiver.tell(&mut stats);
        // What the peer misses is known from its reports; before the first, and without any, the way here stands for the
        // way there.
        let guessed = line.loss.tick(stats.received, stats.lost).filter(|_| line.reports.received == 0);
        if let Some(percent) = line.reports.take_loss().or(guessed) {
            line.sender.expect_loss(percent);
        }
        let (reports, far, level) = (&line.reports, line.reports.far(), &line.level);
        stats.jitter_most_ms = stats.jitter_most_ms.max(stats.jitter_ms);
        stats.codec = codec::all().position(|codec| codec.name == line.agreed.codec.name).map_or(0, |at| at as u64 + 1);
        stats.frames = level.frames();
        stats.rtcp_sent = reports.sent;
        stats.rtcp_received = reports.received;
        stats.rtcp_ignored = reports.ignored + line.strange_reports;
        stats.round_trip_us = reports.round_trip().map_or(0, |trip| (trip.as_micros() as u64).max(1));
        stats.far_lost = far.lost;
        stats.far_loss = (far.loss_percent * 100.0) as u64;
        stats.far_jitter_ms = far.jitter_ms.round() as u64;
        stats.far_mos_tenths = u64::from(far.mos_tenths);
        if self.ticks.is_multiple_of(LOOK) {
            stats.level_below = level.tenths_below();
            stats.clipped_ppm = level.clipped_ppm();
            stats.mos_hundredths = stats.scored(&stats.heard(line.agreed.codec.name, level));
            let is_both_ways = line.direction == Direction::SendRecv && !line.agreed.is_early;
            let rests = line.receiver.rests();
            let suspicion = is_both_ways.then(|| OneWay::suspect(level, rests, far.unheard)).flatten();
            stats.one_way = OneWay::code(suspicion);
        }
        self.ticks += 1;
        // What is looked at once a second stays until the next look.
        self.totals.jitter_most_ms = stats.jitter_most_ms;
        self.totals.level_below = stats.level_below;
        self.totals.clipped_ppm = stats.clipped_ppm;
        self.totals.mos_hundredths = stats.mos_hundredths;
        self.totals.one_way = stats.one_way;
        stats
    }
}

/// The wall clock as NTP writes it: seconds since 1900, 32.32.
#[expect(clippy::disallowed_methods, reason = "the edge: reports carry the wall clock, and nothing is measured by it")]
fn ntp() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs().wrapping_add(NTP_EPOCH) << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_that_of_ntp() {
        // 2026 to 2036, when the seconds of NTP begin anew.
        assert!((3_976_000_000..1 << 32).contains(&(ntp() >> 32)), "{}", ntp() >> 32);
    }
}
