//! Where a request for a SIP URI may go, and whom a connection inside TLS must reach there.

use std::{collections::VecDeque, net::SocketAddr};

use super::{
    flow::{Flow, Path, Transport, Way, Ways},
    resolver::{Place, Resolver},
    transport::Transports,
    trust::{TlsPeer, Trust},
    uri::Uri,
};

/// What a URI stands for.
#[derive(Clone, Debug)]
pub struct Destination {
    /// To be tried in this order.
    places: Vec<Place>,
    /// Whether the transport is ours to choose.
    any_transport: bool,
    peer: Option<TlsPeer>,
    /// The way is known already: that of a telephone which registered here.
    known: Option<Flow>,
}

/// What a request for this URI goes to; inside TLS these certificates are believed, or those of the system's authorities.
///
/// # Errors
/// What is wrong with the URI, as a sentence.
pub(crate) async fn destination(
    target: &Uri,
    resolver: &Resolver,
    trust: Option<Trust>,
) -> Result<Destination, String> {
    let sip = target.as_sip().ok_or("only sip: and sips: URIs can be called")?;
    let named = Transport::of_uri(target);
    let named = named.map_err(|other| format!("no requests go over {other}; they do over udp, tcp and tls"))?;
    let places = resolver.places(sip, named).await?;
    let peer = if places.iter().any(|(transport, _)| transport.is_secure()) {
        let trust = trust.map_or_else(Trust::system, Ok).map_err(|error| error.to_string())?;
        // The name that was asked for, and not the one of the server that DNS has named (RFC 5922 section 7).
        Some(TlsPeer::new(&sip.host, trust).ok_or("no certificate can bear the name of its host")?)
    } else {
        None
    };
    Ok(Destination { places, any_transport: named.is_none(), peer, known: None })
}

impl Destination {
    /// The other end of this flow.
    pub(crate) fn at(flow: Flow) -> Self {
        Self { places: Vec::new(), any_transport: false, peer: None, known: Some(flow) }
    }

    /// The places, the best first.
    pub fn places(&self) -> impl Iterator<Item = SocketAddr> {
        self.known.iter().map(|flow| flow.remote).chain(self.places.iter().map(|(_, place)| *place))
    }

    /// The paths to those places that a socket of ours reaches.
    ///
    /// # Errors
    /// None does, as a sentence.
    pub(crate) fn ways(&self, transports: &mut Transports) -> Result<Ways, String> {
        if let Some(flow) = self.known {
            return Ok(Path { flow, or_connect: None }.into());
        }
        let mut path_to = |transport: Transport, remote| {
            let peer = self.peer.clone().filter(|_| transport.is_secure());
            let flow = transports.flow_to(transport, remote, peer)?;
            Some(Path { flow, or_connect: transport.is_reliable().then_some(remote) })
        };
        let mut ways = VecDeque::new();
        for &(transport, remote) in &self.places {
            let Some(path) = path_to(transport, remote) else { continue };
            let may_stream = self.any_transport && transport == Transport::Udp;
            let if_large = if may_stream { path_to(Transport::Tcp, remote) } else { None };
            ways.push_back(Way { path, if_large });
        }
        match self.places.first() {
            Some((transport, remote)) if ways.is_empty() => {
                Err(format!("no {transport} socket of ours reaches {}", remote.ip()))
            }
            _ => Ok(Ways(ways)),
        }
    }
}
