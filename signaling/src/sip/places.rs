//! How many connections there may be at once, and whose: strangers take no place of those whom we serve, and nobody takes one of
//! those that we open ourselves.

use std::net::IpAddr;

/// Connections that we have opened.
const OURS: usize = 512;
/// Connections that others have opened; more are turned away.
const OTHERS: usize = 1024;
/// Of these, how many one trusted address may have.
const OF_ONE: usize = 512;
/// Of these, how many strangers may have, all of them and each one.
const STRANGERS: usize = OTHERS / 2;
const OF_ONE_STRANGER: usize = 64;

/// Who has opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    /// We have.
    Us,
    /// Somebody whose address is trusted, or who has registered by it.
    Known,
    /// Anybody else.
    Stranger,
}

/// Whether there is a place for one more, of this opener and with this peer, beside those that are open.
pub(super) fn has_place(open: impl Iterator<Item = (Opener, IpAddr)>, (opener, peer): (Opener, IpAddr)) -> bool {
    let (mut ours, mut known, mut strangers, mut alike) = (0, 0, 0, 0);
    for other in open {
        match other.0 {
            Opener::Us => ours += 1,
            Opener::Known => known += 1,
            Opener::Stranger => strangers += 1,
        }
        alike += usize::from(other == (opener, peer));
    }
    let has_other = known + strangers < OTHERS;
    match opener {
        Opener::Us => ours < OURS,
        Opener::Known => has_other && alike < OF_ONE,
        Opener::Stranger => has_other && strangers < STRANGERS && alike < OF_ONE_STRANGER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 2,000 connections come in, one a peer where there are many.
    fn fill(open: &mut Vec<(Opener, IpAddr)>, opener: Opener, peers: u32) -> usize {
        let peer = |at: u32| IpAddr::from((0x2000_0000 + at % peers).to_be_bytes());
        let before = open.len();
        for at in 0..2_000 {
            if has_place(open.iter().copied(), (opener, peer(at))) {
                open.push((opener, peer(at)));
            }
        }
        open.len() - before
    }

    #[test]
    fn strangers_leave_places_to_trunks_and_nobody_takes_ours() {
        let mut open = Vec::new();
        assert_eq!(fill(&mut open, Opener::Stranger, 1), OF_ONE_STRANGER);
        assert_eq!(fill(&mut open, Opener::Stranger, 2_000), STRANGERS - OF_ONE_STRANGER);
        assert_eq!(fill(&mut open, Opener::Known, 1), OF_ONE);
        assert_eq!(fill(&mut open, Opener::Known, 2_000), 0, "{OTHERS} of others are open");
        assert_eq!(fill(&mut open, Opener::Us, 2_000), OURS);
    }

    #[test]
    fn who_registers_makes_room_for_its_neighbours() {
        let office = IpAddr::from([203, 0, 113, 5]);
        let telephones = vec![(Opener::Known, office); 300];
        assert!(has_place(telephones.into_iter(), (Opener::Stranger, office)));
    }
}
