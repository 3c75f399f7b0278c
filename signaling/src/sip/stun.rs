//! STUN (RFC 8489), as far as it takes to learn under which address the world sees our SIP socket: the binding request and
//! its success response, without authentication.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// How long the second question waits; each further one twice as long.
pub(super) const FIRST: Duration = Duration::from_millis(500);
/// How often a server is asked in the end; that also keeps a NAT's mapping of the socket alive.
pub(super) const EVERY: Duration = Duration::from_secs(25);
/// The magic cookie (section 5).
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const REQUEST: [u8; 2] = [0, 1];
const SUCCESS: [u8; 2] = [1, 1];
/// XOR-MAPPED-ADDRESS (section 14.2).
const XOR_MAPPED_ADDRESS: [u8; 2] = [0, 0x20];

/// Whether a datagram is STUN and so no SIP, whose messages begin with a letter.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4) && datagram.get(4..8) == Some(&COOKIE)
}

/// A binding request that has been sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    server: SocketAddr,
    id: [u8; 12],
}

impl Binding {
    /// `id` must not be guessable: it is all that tells an answer from a forgery.
    pub(super) fn new(server: SocketAddr, id: [u8; 12]) -> Self {
        Self { server, id }
    }

    /// The datagram to send.
    pub(super) fn request(&self) -> Vec<u8> {
        [&REQUEST[..], &[0, 0], &COOKIE, &self.id].concat()
    }

    /// The address that the server saw, when this datagram is its answer.
    pub(super) fn response(&self, from: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        let (header, mut attributes) = datagram.split_at_checked(HEADER)?;
        let is_ours = header.get(8..) == Some(&self.id) && header.get(..2) == Some(&SUCCESS) && is_stun(datagram);
        if !is_ours || from != self.server {
            return None;
        }
        loop {
            let (head, rest) = attributes.split_at_checked(4)?;
            let [kind @ .., high, low] = head else { return None };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let value = rest.get(..length)?;
            if kind == XOR_MAPPED_ADDRESS {
                return self.address(value);
            }
            // Values are padded to whole words.
            attributes = rest.get(length.next_multiple_of(4)..)?;
        }
    }

    /// The value of XOR-MAPPED-ADDRESS.
    fn address(&self, value: &[u8]) -> Option<SocketAddr> {
        let (&[_, family, high, low], address) = value.split_first_chunk()?;
        let port = u16::from_be_bytes([high ^ COOKIE[0], low ^ COOKIE[1]]);
        let mask = COOKIE.iter().chain(&self.id);
        let plain: Vec<u8> = address.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        let ip = match family {
            1 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(plain).ok()?)),
            2 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(plain).ok()?)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identifier and the responses of RFC 5769 sections 2.2 and 2.3, without what authenticates them.
    const ID: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
    const SOFTWARE: &[u8] = b"\x80\x22\x00\x0btest vector ";
    const V4: &[u8] = b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
    const V6: &[u8] =
        b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";

    fn server() -> SocketAddr {
        "198.51.100.1:3478".parse().unwrap()
    }

    fn answer(attributes: &[&[u8]]) -> Vec<u8> {
        let attributes = attributes.concat();
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        [&SUCCESS[..], &length, &COOKIE, &ID, &attributes].concat()
    }

    #[test]
    fn the_test_vectors_of_rfc_5769_are_read() {
        let binding = Binding::new(server(), ID);
        assert_eq!(binding.request()[..8], [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]);
        let read = |attributes: &[&[u8]]| binding.response(server(), &answer(attributes));
        assert_eq!(read(&[SOFTWARE, V4]), Some("192.0.2.1:32853".parse().unwrap()));
        let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        assert_eq!(read(&[SOFTWARE, V6]), Some(v6));
    }

    #[test]
    fn what_is_no_answer_to_our_request_tells_nothing() {
        let whole = answer(&[SOFTWARE, V4]);
        let binding = Binding::new(server(), ID);
        for length in 0..whole.len() {
            assert_eq!(binding.response(server(), &whole[..length]), None, "{length} bytes");
        }
        assert_eq!(binding.response("198.51.100.2:3478".parse().unwrap(), &whole), None, "another's");
        assert_eq!(Binding::new(server(), [7; 12]).response(server(), &whole), None, "to another request");
        assert_eq!(binding.response(server(), &binding.request()), None);
        assert_eq!(binding.response(server(), &answer(&[SOFTWARE])), None);
        assert!(is_stun(&whole) && !is_stun(b"SIP/2.0 200 OK\r\n\r\n") && !is_stun(b"\r\n\r\n") && !is_stun(b""));
    }
}
