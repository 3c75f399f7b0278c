//! Two sides of a call in virtual time, with a line between them.

use super::*;
use crate::leg::now;

const CLOCK: u32 = 8000;
const PACKET: Duration = Duration::from_millis(20);

/// Two legs, and a line that takes `trip` each way and loses what it is told to.
struct Call {
    start: Instant,
    now: Instant,
    near: Reports,
    far: Reports,
    number: u16,
    /// Reports on the way: arrival, to the far side?, bytes.
    wire: Vec<(Instant, bool, Vec<u8>)>,
    trip: Duration,
    /// The far side's wall clock is off by so many seconds.
    skew: u64,
}

impl Call {
    fn new(trip: Duration) -> Self {
        let start = now();
        let (near, far) = (Reports::new(1, CLOCK, 11, start), Reports::new(2, CLOCK, 22, start));
        Self { start, now: start, near, far, number: 65_500, wire: Vec::new(), trip, skew: 12_345 }
    }

    fn ntp(&self, skew: u64) -> u64 {
        let since = self.now - self.start;
        ((3_900_000_000 + skew + since.as_secs()) << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
    }

    /// So many packets each way; `lost` says which of the far side's do not arrive here.
    fn talk(&mut self, packets: u32, mut lost: impl FnMut(u32) -> bool) {
        for index in 0..packets {
            let timestamp = u32::from(self.number) * 160;
            self.near.sending(timestamp, 160, self.now);
            self.far.sending(timestamp, 160, self.now);
            if !lost(index) {
                self.near.hearing(self.far.ssrc(), self.number, timestamp, true, self.now + self.trip);
            }
            self.far.hearing(self.near.ssrc(), self.number, timestamp, true, self.now + self.trip);
            self.number = self.number.wrapping_add(1);
            self.pass();
        }
    }

    /// 20 ms pass; reports leave and arrive.
    fn pass(&mut self) {
        self.now += PACKET;
        let arrives = self.now + self.trip;
        let (near, far) = (self.ntp(0), self.ntp(self.skew));
        if let Some(report) = poll(&mut self.near, self.now, near, None) {
            self.wire.push((arrives, true, report));
        }
        if let Some(report) = poll(&mut self.far, self.now, far, None) {
            self.wire.push((arrives, false, report));
        }
        let now = self.now;
        let (near, far) = (&mut self.near, &mut self.far);
        self.wire.retain(|(arrives, to_far, report)| {
            if *arrives > now {
                return true;
            }
            let read = if *to_far { far.read(report, *arrives) } else { near.read(report, *arrives) };
            assert!(matches!(read, Read::Report | Read::Unheard), "{read:?}");
            false
        });
    }
}

fn poll(reports: &mut Reports, now: Instant, ntp: u64, metrics: Option<VoipMetrics>) -> Option<Vec<u8>> {
    let due = reports.take_due(now)?;
    Some(reports.write(due, now, ntp, metrics).to_vec())
}

fn blocks(report: &[u8]) -> Vec<Block> {
    let parts = rtcp::parse(report).expect("RTCP");
    parts.iter().filter_map(|part| if let Part::Block(block) = part { Some(*block) } else { None }).collect()
}

#[test]
fn reports_leave_every_five_seconds_more_or_less() {
    let mut reports = Reports::new(1, CLOCK, 5, now());
    let start = reports.began;
    let mut left = Vec::new();
    for tick in 0..50 * 600 {
        let at = start + PACKET * tick;
        if poll(&mut reports, at, 0, None).is_some() {
            left.push(at - start);
        }
    }
    assert!((1_250..=3_800).contains(&left[0].as_millis()), "{:?}", left[0]);
    let gaps: Vec<_> = left.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!(gaps.iter().all(|gap| (2_500..=7_540).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().min() < Some(&3_200) && gaps.iter().max() > Some(&6_800), "{gaps:?}");
    assert!((100..=140).contains(&left.len()), "{} reports in ten minutes", left.len());
}

#[test]
fn the_round_trip_is_that_of_the_line_whatever_the_clocks_say() {
    for trip in [0, 40, 300] {
        let mut call = Call::new(Duration::from_millis(trip));
        call.talk(50 * 60, |_| false);
        for side in [&call.near, &call.far] {
            let measured = side.round_trip().expect("measured").as_secs_f64() * 1e3;
            assert!((measured - 2.0 * trip as f64).abs() < 1.0, "{measured} ms over a line of {trip} ms");
        }
    }
}

#[test]
fn losses_are_those_of_the_line_and_the_other_side_learns_them() {
    let mut call = Call::new(Duration::from_millis(50));
    call.talk(50 * 60, |index| index % 10 == 5);
    let heard_of = call.far.far();
    assert!((heard_of.loss_percent - 10.0).abs() < 1.0, "{heard_of:?}");
    assert!((250..=300).contains(&heard_of.lost), "{heard_of:?}");
    assert_eq!(call.near.far().lost, 0);
    assert!(matches!(call.far.take_loss(), Some(9..=10)));
    assert_eq!(call.far.take_loss(), None, "once for each report");
}

#[test]
fn jitter_is_that_of_the_rfc_and_events_are_none() {
    let mut reports = Reports::new(1, CLOCK, 3, now());
    let start = reports.began;
    for number in 0..500u16 {
        // Every second packet is 16 ms late: each change of transit time is 128 units.
        let late = Duration::from_millis(16 * u64::from(number % 2));
        reports.hearing(9, number, u32::from(number) * 160, true, start + PACKET * u32::from(number) + late);
        reports.hearing(9, number, 0, false, start + PACKET * u32::from(number) + late);
    }
    let block = reports.source.as_mut().and_then(|source| source.block(start)).expect("heard");
    assert!((120..=128).contains(&block.jitter), "{}", block.jitter);
}

#[test]
fn numbers_wrap_and_doubles_count_as_received() {
    let mut reports = Reports::new(1, CLOCK, 3, now());
    let start = reports.began;
    for number in [65_534u16, 65_535, 1, 0, 2, 2, 4] {
        reports.hearing(9, number, 0, true, start);
    }
    let block = reports.source.as_mut().and_then(|source| source.block(start)).expect("heard");
    assert_eq!((block.highest, block.lost, block.fraction_lost), (0x1_0004, 0, 0));
    reports.hearing(9, 8, 0, true, start);
    let block = reports.source.as_mut().and_then(|source| source.block(start)).expect("heard");
    assert_eq!((block.lost, block.fraction_lost), (3, 192));
    assert_eq!(reports.source.as_mut().and_then(|source| source.block(start)), None, "nothing came since");
}

#[test]
fn one_stray_packet_is_no_new_stream_and_two_are() {
    let mut reports = Reports::new(1, CLOCK, 3, now());
    let start = reports.began;
    for number in 0..10 {
        reports.hearing(9, number, 0, true, start);
    }
    reports.hearing(8, 500, 0, true, start);
    assert_eq!(reports.source.as_ref().map(|source| source.ssrc), Some(9));
    reports.hearing(8, 501, 0, true, start);
    assert_eq!(reports.source.as_ref().map(|source| (source.ssrc, source.highest)), Some((8, 501)));
    // A jump far ahead within the same source, too.
    reports.hearing(8, 30_000, 0, true, start);
    assert_eq!(reports.source.as_ref().map(|source| source.highest), Some(501));
    reports.hearing(8, 30_001, 0, true, start);
    assert_eq!(reports.source.as_ref().map(|source| source.highest), Some(30_001));
}

#[test]
fn who_only_listens_sends_receiver_reports() {
    let mut reports = Reports::new(1, CLOCK, 3, now());
    let start = reports.began;
    reports.hearing(9, 0, 0, true, start);
    let report = poll(&mut reports, start + INTERVAL, 7 << 32, None).expect("due");
    assert_eq!(report[1], 201);
    assert_eq!(blocks(&report).len(), 1);
    reports.sending(1_000, 160, start + INTERVAL);
    let later = start + INTERVAL * 3;
    let report = poll(&mut reports, later, 7 << 32, None).expect("due");
    let Some(Part::Report { sender: Some(info), .. }) = rtcp::parse(&report).expect("RTCP").first().copied() else {
        panic!("a sender report: {report:?}");
    };
    // The timestamp is that of this very moment.
    assert_eq!((info.packets, info.octets, info.timestamp), (1, 160, 1_000 + 10 * CLOCK));
}

#[test]
fn a_peer_that_hears_nothing_is_noticed() {
    let mut call = Call::new(Duration::ZERO);
    call.talk(50 * 20, |_| false);
    assert_eq!((call.near.far().unheard, call.far.far().unheard), (0, 0));
    // From now on nothing of the far side's arrives here; our reports say so by saying nothing.
    call.talk(50 * 25, |_| true);
    assert!(call.far.far().unheard >= 2, "{:?}", call.far.far());
    assert_eq!(call.near.far().unheard, 0);
    call.talk(50 * 20, |_| false);
    assert_eq!(call.far.far().unheard, 0);
}

#[test]
fn who_reports_apart_what_it_sends_and_what_it_hears_is_not_deaf() {
    let start = now();
    let mut reports = Reports::new(1, CLOCK, 11, start);
    let block = |highest: u32| {
        let (fraction_lost, lost, jitter, last_report, delay) = (0, 0, 0, 0, 0);
        Some(Block { ssrc: 1, fraction_lost, lost, highest, jitter, last_report, delay })
    };
    let mut second = |said: &[Option<Block>]| {
        (0..50).for_each(|_| reports.sending(0, 160, start));
        said.iter().for_each(|block| reports.told(*block, start));
        reports.far().unheard
    };
    for highest in 1..10 {
        assert_eq!(second(&[None, block(50 * highest), None]), 0, "it hears us");
    }
    assert_eq!((second(&[None, block(450)]), second(&[None, block(450)])), (1, 2), "nothing new came there");
    assert_eq!((second(&[None]), second(&[block(500)])), (3, 0), "it hears us again");
}

#[test]
fn reports_of_others_and_garbage_are_counted_and_change_nothing() {
    let mut call = Call::new(Duration::from_millis(30));
    call.talk(50 * 20, |_| false);
    let before = *call.near.far();
    let mut other = Reports::new(77, CLOCK, 9, call.start);
    other.sending(0, 160, call.now);
    other.hearing(1, 5, 0, true, call.now);
    other.hearing(1, 500, 0, true, call.now);
    let forged = poll(&mut other, call.now + INTERVAL, 1, None).expect("due");
    assert_eq!(call.near.read(&forged, call.now), Read::Ignored);
    assert_eq!(call.near.read(&forged[..13], call.now), Read::Ignored);
    assert_eq!(call.near.read(b"\x80\xc8garbage", call.now), Read::Ignored);
    assert_eq!((*call.near.far(), call.near.ignored), (before, 3));
}

#[test]
fn an_answer_to_a_report_that_we_never_sent_is_no_round_trip() {
    let mut call = Call::new(Duration::from_millis(30));
    call.talk(50 * 10, |_| false);
    let before = call.near.round_trip();
    call.near.answered(0x1234_5678, 0, call.now);
    assert_eq!(call.near.round_trip(), before);
}

#[test]
fn a_collision_takes_a_new_ssrc_with_a_goodbye_and_a_mirror_takes_none() {
    let mut reports = Reports::new(1, CLOCK, 3, now());
    let start = reports.began;
    reports.sending(0, 160, start);
    assert_eq!(reports.hearing(1, 5, 0, true, start), Read::Collision);
    let fresh = reports.ssrc();
    assert_ne!(fresh, 1);
    let bye = poll(&mut reports, start, 0, None).expect("at once");
    assert!(rtcp::parse(&bye).expect("RTCP").contains(&Part::Bye(1)));
    // A mirror sends back what we send under the new one, too.
    assert_eq!(reports.hearing(fresh, 6, 0, true, start + PACKET), Read::Ignored);
    assert_eq!(reports.ssrc(), fresh);
    // Our own report coming back is no collision at all.
    let own = poll(&mut reports, start + INTERVAL, 0, None).expect("due");
    assert_eq!(reports.read(&own, start + LOOP * 2), Read::Ignored);
    assert_eq!(reports.ssrc(), fresh);
}

#[test]
fn the_end_is_said() {
    let mut call = Call::new(Duration::ZERO);
    assert_eq!(call.near.goodbye(call.now, 0), None, "nobody knows of us");
    call.talk(100, |_| false);
    let bye = call.near.goodbye(call.now, 0).expect("said").to_vec();
    assert!(rtcp::parse(&bye).expect("RTCP").contains(&Part::Bye(1)));
    assert_eq!(call.far.read(&bye, call.now), Read::Report);
    assert!(call.far.source.is_none());
}

#[test]
fn extended_reports_are_for_those_who_asked() {
    let asked = Extended { round_trip: true, voip_metrics: true };
    let metrics = VoipMetrics {
        ssrc: 0,
        loss_rate: 3,
        discard_rate: 0,
        round_trip_ms: 80,
        end_system_ms: 60,
        signal_level: -20,
        r_factor: 90,
        mos_lq: 43,
        mos_cq: 43,
        buffer_ms: 40,
        buffer_most_ms: 400,
    };
    let start = now();
    let (mut near, mut far) = (Reports::new(1, CLOCK, 5, start), Reports::new(2, CLOCK, 6, start));
    near.hearing(2, 0, 0, true, start);
    far.sending(0, 160, start);
    let plain = poll(&mut near, start + INTERVAL, 5 << 32, Some(metrics)).expect("due");
    assert!(!rtcp::parse(&plain).expect("RTCP").iter().any(|part| matches!(part, Part::Metrics(_))));
    near.change(CLOCK, asked);
    far.change(CLOCK, asked);
    near.hearing(2, 1, 160, true, start);
    let then = start + INTERVAL * 3;
    let report = poll(&mut near, then, 6 << 32, Some(metrics)).expect("due");
    // Who only listens learns the round trip by its own reference time.
    let arrives = then + Duration::from_millis(70);
    far.hearing(1, 0, 0, true, arrives);
    assert_eq!(far.read(&report, arrives), Read::Report);
    assert_eq!(far.far().mos_tenths, 43);
    let answered = arrives + INTERVAL * 2;
    let answer = poll(&mut far, answered, 9 << 32, None).expect("due");
    near.read(&answer, answered + Duration::from_millis(70));
    let trip = near.round_trip().expect("measured").as_secs_f64() * 1e3;
    assert!((trip - 140.0).abs() < 1.0, "{trip} ms");
}
