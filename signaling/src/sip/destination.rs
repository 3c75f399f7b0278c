//! Which address a SIP URI stands for.

use std::net::SocketAddr;

use super::{
    flow::{DEFAULT_PORT, Transport},
    uri::Uri,
};

/// The transport and the address that a request for this URI goes to; `local` are our listeners.
///
/// # Errors
/// What is wrong with the URI, as a sentence.
pub(crate) async fn destination(
    target: &Uri,
    local: &[(Transport, SocketAddr)],
) -> Result<(Transport, SocketAddr), String> {
    let sip = target.as_sip().filter(|uri| uri.scheme.eq_ignore_ascii_case("sip"));
    let sip = sip.ok_or("only sip: URIs can be called")?;
    let transport = match target.param("transport").map(str::to_ascii_lowercase).as_deref() {
        None | Some("udp") => Transport::Udp,
        Some("tcp") => Transport::Tcp,
        Some(other) => return Err(format!("the transport {other} is not there yet; udp and tcp are")),
    };
    let port = sip.port.unwrap_or(DEFAULT_PORT);
    if let Some(ip) = sip.host.ip() {
        return Ok((transport, SocketAddr::new(ip, port)));
    }
    let found = tokio::net::lookup_host((sip.host.as_str(), port)).await;
    let mut found: Vec<_> = found.map_err(|error| error.to_string())?.collect();
    // IPv4 first: most telephones have nothing else.
    found.sort_by_key(SocketAddr::is_ipv6);
    let ours = |address: &&SocketAddr| {
        local.iter().any(|(kind, local)| *kind == transport && local.is_ipv4() == address.is_ipv4())
    };
    let address = found.iter().find(ours).or(found.first());
    address.map(|address| (transport, *address)).ok_or_else(|| "its host has no address".to_owned())
}
