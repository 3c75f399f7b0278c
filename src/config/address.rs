//! The small value types of the configuration: listening addresses, port ranges, networks.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
};

use ipnet::IpNet;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

/// One address or a list of them: `"127.0.0.1:5060"`, `["127.0.0.1:5060", "[::1]:5060"]`, `[]` for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// A single address.
    pub fn one(address: SocketAddr) -> Self {
        Self(vec![address])
    }

    /// No address.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// The addresses, in the order given.
    pub fn to_vec(&self) -> Vec<SocketAddr> {
        self.0.clone()
    }

    /// The addresses, in the order given.
    pub fn as_slice(&self) -> &[SocketAddr] {
        &self.0
    }
}

/// An IP address and a port; `localhost` and an empty host are understood.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some(("*" | "", port)) => format!("0.0.0.0:{port}"),
        _ => text.into(),
    };
    numeric.parse().map_err(|_| format!("{text:?} is not an IP address with a port, like 127.0.0.1:8000 or [::1]:8000"))
}

struct AddressesVisitor;

impl<'de> Visitor<'de> for AddressesVisitor {
    type Value = Addresses;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address like \"127.0.0.1:5060\" or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Addresses, E> {
        socket_address(text).map(Addresses::one).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Addresses, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = items.next_element::<String>()? {
            addresses.push(socket_address(&text).map_err(de::Error::custom)?);
        }
        Ok(Addresses(addresses))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AddressesVisitor)
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => to.collect_str(one),
            many => to.collect_seq(many.iter().map(SocketAddr::to_string)),
        }
    }
}

/// UDP ports to choose from: `"10000-20000"`, or `0` for whatever the system gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// The ports from `first` to `last`, both included.
    pub const fn new(first: u16, last: u16) -> Self {
        Self { first, last }
    }

    /// The ports as a range; `0..=0` leaves the choice to the system.
    pub fn range(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("{text:?} is not a range of ports like \"10000-20000\", nor 0");
        if text.trim() == "0" {
            return Ok(Self::new(0, 0));
        }
        let (first, last) = text.split_once('-').ok_or_else(fault)?;
        let (first, last): (u16, u16) =
            (first.trim().parse().map_err(|_| fault())?, last.trim().parse().map_err(|_| fault())?);
        if first == 0 || last <= first {
            return Err(format!("{text:?} is not a range from a lower port to a higher one"));
        }
        Ok(Self::new(first, last))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.last == 0 { f.write_str("0") } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

struct PortRangeVisitor;

impl Visitor<'_> for PortRangeVisitor {
    type Value = PortRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a range of ports like \"10000-20000\", or 0")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<PortRange, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<PortRange, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<PortRange, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PortRangeVisitor)
    }
}

/// Reads `192.0.2.1` or `192.0.2.0/24`.
pub(super) fn network<'de, D: Deserializer<'de>>(from: D) -> Result<IpNet, D::Error> {
    let text = String::deserialize(from)?;
    text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(|address| address.to_canonical().into())).map_err(
        |_| {
            de::Error::custom(format!(
                "{text:?} is neither an IP address like 192.0.2.1 nor a network like 192.0.2.0/24"
            ))
        },
    )
}

/// Reads one listening address.
pub(super) fn listen<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    socket_address(&String::deserialize(from)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_or_many() {
        let read = |json: &str| serde_json::from_str::<Addresses>(json);
        assert_eq!(read("\"127.0.0.1:0\"").unwrap().as_slice(), ["127.0.0.1:0".parse::<SocketAddr>().unwrap()]);
        assert_eq!(read("[\"127.0.0.1:1\", \"[::1]:2\"]").unwrap().as_slice().len(), 2);
        assert_eq!(read("\"localhost:1\"").unwrap().as_slice(), ["127.0.0.1:1".parse::<SocketAddr>().unwrap()]);
        assert!(read("[]").unwrap().as_slice().is_empty());
        let said = read("\"127.0.0.1\"").unwrap_err().to_string();
        assert!(said.contains("\"127.0.0.1\" is not an IP address with a port"), "{said}");
        assert!(read("5060").unwrap_err().to_string().contains("an address like"));
    }

    #[test]
    fn port_ranges_rise() {
        assert_eq!("10000-20000".parse::<PortRange>().unwrap().range(), 10_000..=20_000);
        assert_eq!(serde_json::from_str::<PortRange>("0").unwrap().range(), 0..=0);
        for wrong in ["20000-10000", "0-5", "10000", "1-70000", "", "a-b", "5-5"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }
}
