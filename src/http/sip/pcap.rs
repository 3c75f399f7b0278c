//! SIP messages as a capture file that Wireshark reads: the classic format with times in microseconds
//! (draft-ietf-opsawg-pcap), link type Ethernet. Headers of Ethernet, IP and UDP are made around each message, also around one
//! that came over a stream: there is one packet a message, and its ports are those of the stream.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::UNIX_EPOCH,
};

use milo_signaling::Seen;

const MAGIC: u32 = 0xa1b2_c3d4;
const ETHERNET: u32 = 1;
const LONGEST: u32 = 65_535;
const UDP: u8 = 17;

/// The file.
pub(super) fn file<'a>(messages: impl Iterator<Item = &'a Seen>) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(MAGIC.to_le_bytes());
    file.extend([2_u16.to_le_bytes(), 4_u16.to_le_bytes()].as_flattened());
    for word in [0, 0, LONGEST, ETHERNET] {
        file.extend(word.to_le_bytes());
    }
    for seen in messages {
        let packet = packet(seen);
        let at = seen.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(packet.len()).unwrap_or(LONGEST);
        // Seconds are of 32 bits in this format, until 2106.
        let seconds = u32::try_from(at.as_secs()).unwrap_or(u32::MAX);
        for word in [seconds, at.subsec_micros(), length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn packet(seen: &Seen) -> Vec<u8> {
    let (from, to) = if seen.received { (seen.remote, seen.local) } else { (seen.local, seen.remote) };
    let (from_ip, to_ip) = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V6(to)) => (from.to_ipv6_mapped().into(), to.into()),
        (IpAddr::V6(from), IpAddr::V4(to)) => (from.into(), to.to_ipv6_mapped().into()),
        alike => alike,
    };
    let udp = datagram((from, from_ip), (to, to_ip), &seen.bytes);
    let mut packet = Vec::with_capacity(udp.len() + 54);
    packet.extend(hardware(to_ip));
    packet.extend(hardware(from_ip));
    match (from_ip, to_ip) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x08, 0x00]);
            let mut header = vec![0x45, 0];
            header.extend(length(udp.len() + 20));
            header.extend((seen.number as u16).to_be_bytes());
            // Do not fragment, 64 hops, the checksum below.
            header.extend([0x40, 0, 64, UDP, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let checksum = checksum(&[&header]);
            header.splice(10..12, checksum);
            packet.extend(header);
        }
        _ => {
            packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            packet.extend(length(udp.len()));
            packet.extend([UDP, 64]);
            packet.extend(octets(from_ip));
            packet.extend(octets(to_ip));
        }
    }
    packet.extend(udp);
    packet
}

/// RFC 768; over both versions of IP the checksum counts the addresses too.
fn datagram((from, from_ip): (SocketAddr, IpAddr), (to, to_ip): (SocketAddr, IpAddr), message: &[u8]) -> Vec<u8> {
    let mut udp = Vec::with_capacity(message.len() + 8);
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(length(message.len() + 8));
    udp.extend([0, 0]);
    udp.extend(message);
    let beside = [[0, UDP], length(udp.len())];
    let sum = match checksum(&[&octets(from_ip), &octets(to_ip), beside.as_flattened(), &udp]) {
        // Zero would mean that there is none.
        [0, 0] => [0xff, 0xff],
        sum => sum,
    };
    udp.splice(6..8, sum);
    udp
}

/// Messages are kept to 16 KiB.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// A locally administered address that tells which machine it is.
fn hardware(ip: IpAddr) -> [u8; 6] {
    let octets = octets(ip);
    let last = octets.last_chunk::<4>().copied().unwrap_or_default();
    [2, 0, last[0], last[1], last[2], last[3]]
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => Ipv6Addr::octets(&v6).to_vec(),
    }
}

/// The sum of the Internet (RFC 1071) over parts of which only the last may be of odd length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!(folded as u16)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use milo_signaling::Transport;

    use super::*;

    fn seen(local: &str, remote: &str, text: &str) -> Seen {
        Seen {
            number: 7,
            at: UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789),
            received: true,
            transport: Transport::Udp,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            bytes: text.as_bytes().into(),
            is_cut: false,
        }
    }

    #[test]
    fn one_packet_is_what_the_rfcs_say_byte_for_byte() {
        let file = file([&seen("192.0.2.1:5060", "192.0.2.9:5070", "BYE")].into_iter());
        let head = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
        assert_eq!(file[..24], head);
        let record: Vec<u32> =
            file[24..40].chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(record, [1_800_000_000, 123_456, 45, 45]);
        let packet = &file[40..];
        assert_eq!(packet[..14], [2, 0, 192, 0, 2, 1, 2, 0, 192, 0, 2, 9, 8, 0]);
        assert_eq!(packet[14..34], [0x45, 0, 0, 31, 0, 7, 0x40, 0, 64, 17, 0xb6, 0xbc, 192, 0, 2, 9, 192, 0, 2, 1]);
        assert_eq!(packet[34..40], [0x13, 0xce, 0x13, 0xc4, 0, 11]);
        assert_eq!(&packet[42..], b"BYE");
        // What we sent goes the other way.
        let sent = super::packet(&Seen { received: false, ..seen("192.0.2.1:5060", "192.0.2.9:5070", "BYE") });
        assert_eq!(sent[26..38], [192, 0, 2, 1, 192, 0, 2, 9, 0x13, 0xc4, 0x13, 0xce]);
    }

    #[test]
    fn checksums_come_out_even_over_both_versions_of_ip() {
        for (local, remote) in [("192.0.2.1:5060", "192.0.2.9:5070"), ("[2001:db8::1]:5060", "[2001:db8::9]:9")] {
            let packet = packet(&seen(local, remote, "OPTIONS"));
            let ip = &packet[14..];
            let (header, addresses) = if ip[0] >> 4 == 4 { (20, &ip[12..20]) } else { (40, &ip[8..40]) };
            if header == 20 {
                assert_eq!(checksum(&[&ip[..20]]), [0, 0]);
            }
            let udp = &ip[header..];
            let length = u16::try_from(udp.len()).unwrap().to_be_bytes();
            assert_eq!(udp[4..6], length);
            assert_eq!(checksum(&[addresses, &[0, 17], &length, udp]), [0, 0], "{local}");
        }
    }
}
