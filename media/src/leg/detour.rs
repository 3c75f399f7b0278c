//! A bad line in front of this leg, made here: of what it says some packets never leave, and others leave late. For telephones that
//! call over one on purpose; no leg has one otherwise.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::BadLine;

/// Packets that are late at once: more than a second. What is too much is lost.
const MOST: usize = 64;

/// Where the packets of this leg go astray.
pub(super) struct Detour {
    line: BadLine,
    /// When which packet leaves, and whereto; in no order.
    late: Vec<(Instant, Vec<u8>, SocketAddr)>,
}

impl Detour {
    pub(super) fn new(line: BadLine) -> Self {
        Self { line, late: Vec::new() }
    }

    /// Another line from the next packet on; what is on its way comes.
    pub(super) fn change(&mut self, line: BadLine) {
        self.line = line;
    }

    /// What becomes of this packet is decided; whether it leaves now.
    pub(super) fn passes(&mut self, datagram: &[u8], to: SocketAddr, now: Instant) -> bool {
        match self.line.next_packet() {
            Some(Duration::ZERO) => true,
            Some(late) if self.late.len() < MOST => {
                self.late.push((now + late, datagram.to_vec(), to));
                false
            }
            Some(_) | None => false,
        }
    }

    /// When the next one leaves that is late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.late.iter().map(|(at, ..)| *at).min()
    }

    /// Sends those that are due, in the order in which they are.
    pub(super) fn leave(&mut self, now: Instant, mut send: impl FnMut(&[u8], SocketAddr)) {
        self.late.sort_by_key(|(at, ..)| *at);
        let due = self.late.partition_point(|(at, ..)| *at <= now);
        self.late.drain(..due).for_each(|(_, datagram, to)| send(&datagram, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leg::now;

    const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4000);

    #[test]
    fn packets_that_are_late_leave_when_they_are_due_and_a_line_that_does_nothing_holds_none_up() {
        let start = now();
        let mut detour = Detour::new(BadLine::new(0.0, 1.0, 0.0, 1));
        assert!(detour.passes(&[1], TO, start));
        assert_eq!(detour.due(), None);

        detour.change(BadLine::new(0.0, 1.0, 60.0, 1));
        let mut left = Vec::new();
        for number in 0..50u8 {
            let now = start + Duration::from_millis(20 * u64::from(number));
            detour.leave(now, |datagram, _| left.push(datagram[0]));
            assert!(!detour.passes(&[number], TO, now), "each is late, if only by a little");
            assert!(detour.due().is_some_and(|due| due > now && due <= now + Duration::from_millis(60)));
        }
        assert!(left.len() >= 46, "{} have left", left.len());
        assert!(left.windows(2).any(|pair| pair[0] > pair[1]), "some overtake others: {left:?}");
        detour.leave(start + Duration::from_secs(2), |datagram, _| left.push(datagram[0]));
        left.sort_unstable();
        assert_eq!(left, (0..50).collect::<Vec<_>>(), "none is lost, and none comes twice");
    }

    #[test]
    fn what_is_lost_never_leaves_and_no_more_waits_than_there_is_room_for() {
        let start = now();
        let mut detour = Detour::new(BadLine::new(0.5, 1.0, 0.0, 5));
        let passed = (0..1_000).filter(|_| detour.passes(&[0], TO, start)).count();
        assert!((420..580).contains(&passed), "{passed} of 1,000");
        assert_eq!(detour.due(), None);
        detour.change(BadLine::new(0.0, 1.0, 500.0, 5));
        for _ in 0..1_000 {
            let _ = detour.passes(&[0], TO, start);
        }
        let mut left = 0;
        detour.leave(start + Duration::from_secs(1), |_, _| left += 1);
        assert_eq!(left, MOST);
    }
}
