//! Loopback addresses, one for each who asks: a port that was free a moment ago may be somebody else's by now, an address of its own
//! has all its ports.

use std::{
    net::Ipv4Addr,
    process,
    sync::atomic::{AtomicU8, Ordering},
};

/// An address that no other scenario has, nor one of another run. Whatever listens there may choose its port; ports below 32768 are
/// not given to anybody who listens on every address without choosing.
pub(crate) fn own_address() -> Ipv4Addr {
    static LAST: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, low, 1 + LAST.fetch_add(1, Ordering::Relaxed) % 254)
}
