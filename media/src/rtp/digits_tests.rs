use super::*;

fn packet(event: u8, end: bool, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, u8::from(end) << 7 | 10, high, low]
}

/// What is heard of packets (event, timestamp, end, duration) that come 20 ms apart.
fn heard(packets: &[(u8, u32, bool, u16)]) -> String {
    let packets =
        packets.iter().zip(0..).map(|(&(event, time, end, long), at)| (at * 20, time, packet(event, end, long)));
    heard_at(8000, packets)
}

/// What is heard of packets (milliseconds of arrival, timestamp, payload).
fn heard_at(clock_rate: u32, packets: impl IntoIterator<Item = (u64, u32, [u8; 4])>) -> String {
    let (mut digits, start) = (Digits::new(clock_rate), crate::leg::now());
    let accept =
        |(at, time, payload): (u64, u32, [u8; 4])| digits.accept(time, &payload, start + Duration::from_millis(at));
    packets.into_iter().flat_map(accept).collect()
}

#[test]
fn one_press_is_one_digit_however_many_packets_it_has() {
    let whole = [(5, 800, false, 160), (5, 800, false, 320), (5, 800, true, 480), (5, 800, true, 480)];
    assert_eq!(heard(&whole), "5");
    assert_eq!(heard(&whole[2..]), "5", "the start is lost");
    assert_eq!(heard(&whole[..1]), "5", "the ends are lost");
}

#[test]
fn the_same_key_twice_is_two_digits_even_when_all_ends_are_lost() {
    assert_eq!(heard(&[(1, 800, false, 160), (1, 800, false, 480), (1, 1680, false, 160)]), "11");
}

#[test]
fn every_key_has_its_character_and_a_hook_flash_none() {
    let all: Vec<_> = (0..17).map(|event| (event, u32::from(event) * 2000, true, 480)).collect();
    assert_eq!(heard(&all), "0123456789*#ABCD");
}

#[test]
fn stragglers_of_the_key_before_are_not_pressed_again() {
    let late = [(1, 800, false, 160), (2, 2400, false, 160), (1, 800, true, 480), (2, 2400, true, 320)];
    assert_eq!(heard(&late), "12");
}

#[test]
fn a_press_that_is_overtaken_by_the_next_is_heard_too() {
    assert_eq!(heard(&[(2, 2400, false, 160), (1, 800, true, 480), (2, 2400, true, 320), (1, 800, true, 480)]), "21");
}

#[test]
fn two_keys_down_at_once_are_two_digits() {
    let both =
        [(1, 800, false, 160), (2, 880, false, 80), (1, 800, false, 320), (2, 880, true, 240), (1, 800, true, 480)];
    assert_eq!(heard(&both), "12");
}

#[test]
fn a_long_press_in_segments_is_one_digit() {
    assert_eq!(heard(&[(9, 0, false, 65_535), (9, 65_535, false, 800), (9, 65_535, true, 1600)]), "9");
    assert_eq!(
        heard(&[(9, 0, false, 160), (9, 131_070, false, 800), (9, 131_070, true, 1600)]),
        "9",
        "all between is lost"
    );
    assert_eq!(heard(&[(9, 0, true, 65_535), (9, 131_070, false, 800)]), "99", "it had ended");
}

#[test]
fn timestamps_that_restart_in_every_packet_are_one_press() {
    let restarting = |from: u32, packets: u32| {
        let held = (0..packets).map(move |n| (7, from + n * 160, false, (n * 160 + 160) as u16));
        held.chain((0..3).map(move |n| (7, from + (packets + n) * 160, true, (packets * 160) as u16)))
    };
    let twice: Vec<_> = restarting(0, 5).chain(restarting(1920, 4)).collect();
    assert_eq!(heard(&twice), "77");
    let holes: Vec<_> =
        twice.iter().enumerate().filter(|(n, _)| ![1, 4, 5, 9].contains(n)).map(|(_, &packet)| packet).collect();
    assert_eq!(heard(&holes), "77", "with losses");
    let each_its_own: Vec<_> = (0..6).map(|n| (7, n * 160, n > 3, 160)).filter(|&(_, time, ..)| time != 320).collect();
    assert_eq!(heard(&each_its_own), "7", "and durations of each packet alone");
}

#[test]
fn a_duration_or_a_volume_of_nothing_is_a_press_all_the_same() {
    assert_eq!(heard(&[(4, 800, false, 0), (4, 800, false, 160), (4, 800, true, 0)]), "4");
    assert_eq!(heard_at(8000, [(0, 0, [6, 0x3f, 0, 0]), (500, 4000, [6, 0x80, 0, 0])]), "66");
}

#[test]
fn durations_that_are_too_long_do_not_swallow_the_next_press() {
    let twice = [(3, 0, false, 4000), (3, 0, true, 8000), (3, 1600, false, 4000), (3, 1600, true, 8000)];
    assert_eq!(heard(&twice), "33");
}

#[test]
fn several_events_in_one_packet_are_several_digits() {
    let (mut digits, now) = (Digits::new(8000), crate::leg::now());
    let two = [packet(1, true, 400), packet(1, true, 0), packet(2, true, 400)].concat();
    assert_eq!(digits.accept(0, &two, now).into_iter().collect::<String>(), "1", "bytes that only fill up end it");
    let two = [packet(1, true, 400), packet(2, true, 400)].concat();
    assert_eq!(digits.accept(8000, &two, now).into_iter().collect::<String>(), "12");
    assert_eq!(digits.accept(8000, &two, now), Keys::default());
    assert_eq!(digits.accept(9000, &[1, 2, 3], now), Keys::default(), "short");
}

#[test]
fn a_clock_that_stands_still_gives_each_key_after_two_seconds() {
    let still = [0, 100, 3000, 3100].map(|at| (at, 0, packet(8, at % 1000 != 0, 800)));
    assert_eq!(heard_at(8000, still), "88");
}

#[test]
fn timestamps_may_wrap() {
    assert_eq!(heard(&[(3, u32::MAX - 100, true, 480), (4, 2000, true, 480)]), "34");
    assert_eq!(heard(&[(3, u32::MAX - 100, false, 65_535), (3, 65_434, true, 480)]), "3");
}

/// A small random source.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// How a sender counts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Counts {
    /// As RFC 4733 wants.
    FromTheBeginning,
    /// The timestamp of sending.
    Anew,
}

/// The line between.
struct Impairment {
    /// Of 100 packets.
    lost: u64,
    doubled: u64,
    /// Milliseconds at most.
    late: u64,
    /// Milliseconds between two presses at least.
    gap: u64,
}

/// Random presses over a line: (the keys, the packets as they arrive). One packet of each press arrives at least.
fn presses(dice: &mut Dice, clock_rate: u32, counts: Counts, line: &Impairment) -> (String, Vec<(u64, u32, [u8; 4])>) {
    let (mut keys, mut arrived) = (String::new(), Vec::new());
    let mut began = 0;
    for _ in 0..12 {
        let event = dice.roll(16) as u8 % if dice.roll(2) == 0 { 2 } else { 16 };
        keys.extend(key_of(event));
        let updates = 2 + dice.roll(12);
        let sure = dice.roll(updates + 3);
        let mut lost_before = false;
        for n in 0..updates + 3 {
            let (down, end) = ((n + 1).min(updates) * 20, n >= updates);
            let at = began + n * 20;
            let time = if counts == Counts::Anew { at } else { began };
            let ticks = |ms: u64| ms * u64::from(clock_rate) / 1000;
            let lost = n != sure && dice.roll(100) < line.lost && !(counts == Counts::Anew && lost_before);
            lost_before = lost;
            let copies = if lost { 0 } else { 1 + u64::from(dice.roll(100) < line.doubled) };
            for _ in 0..copies {
                let late = dice.roll(line.late + 1);
                arrived.push((
                    at + late,
                    0xffff_0000_u32.wrapping_add(ticks(time) as u32),
                    packet(event, end, ticks(down) as u16),
                ));
            }
        }
        began += (updates + 2) * 20 + line.gap + dice.roll(400);
    }
    arrived.sort_by_key(|&(at, ..)| at);
    (keys, arrived)
}

#[test]
fn whatever_a_line_does_each_press_is_heard_once() {
    let mut dice = Dice(4733);
    let mild = Impairment { lost: 60, doubled: 40, late: 60, gap: 80 };
    let wild = Impairment { lost: 85, doubled: 60, late: 350, gap: 10 };
    for round in 0..2000 {
        let clock_rate = [8000, 48_000][round % 2];
        let (keys, packets) = presses(&mut dice, clock_rate, Counts::FromTheBeginning, &mild);
        assert_eq!(heard_at(clock_rate, packets), keys, "round {round}");
        let (keys, packets) = presses(&mut dice, clock_rate, Counts::FromTheBeginning, &wild);
        // One press may overtake another here.
        let sorted = |text: String| {
            let mut keys: Vec<_> = text.chars().collect();
            keys.sort_unstable();
            keys
        };
        assert_eq!(sorted(heard_at(clock_rate, packets)), sorted(keys), "round {round}");
    }
}

#[test]
fn senders_that_restart_the_timestamp_may_lose_every_other_packet() {
    let mut dice = Dice(7);
    let line = Impairment { lost: 30, doubled: 30, late: 0, gap: 60 };
    for round in 0..1000 {
        let clock_rate = [8000, 48_000][round % 2];
        let (keys, packets) = presses(&mut dice, clock_rate, Counts::Anew, &line);
        assert_eq!(heard_at(clock_rate, packets), keys, "round {round}");
    }
}
