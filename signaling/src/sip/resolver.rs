//! Asks DNS where requests to a URI go (RFC 3263 sections 4.1 and 4.2).

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{RData, RecordType},
};
use rand::RngExt;
use tracing::debug;

use super::{
    flow::Transport,
    locate::{self, Naptr, Srv},
    uri::SipUri,
};

/// How long all questions about one URI may take.
const PATIENCE: Duration = Duration::from_secs(6);
/// How many places are tried for one request.
const PLACES: usize = 16;

/// Where a request can go, by which transport.
pub(crate) type Place = (Transport, SocketAddr);

/// Who is asked.
#[derive(Clone)]
pub(crate) struct Resolver {
    /// None where the system has no configuration that can be read: addresses alone are looked up then.
    dns: Option<TokioResolver>,
    /// Whether these are servers of our configuration, and not those of the system.
    is_ours: bool,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("is_ours", &self.is_ours).finish_non_exhaustive()
    }
}

impl Resolver {
    /// One that asks these servers; none: those of the system.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let servers = servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|connection| {
                    let mut connection = connection;
                    connection.port = server.port();
                    connection
                });
                let mut config = NameServerConfig::udp(server.ip());
                config.connections = connections.into();
                config
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let dns = builder.and_then(|mut builder| {
            builder.options_mut().timeout = Duration::from_secs(2);
            builder.options_mut().attempts = 1;
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            builder.build()
        });
        let dns = dns.inspect_err(|error| debug!(%error, "no DNS: names are looked up by the system alone")).ok();
        Self { dns, is_ours: !servers.is_empty() }
    }

    /// Every place that a request to this URI may go to, the best first. `named` is the transport that the URI demands.
    ///
    /// # Errors
    /// A sentence: the name has no address, says that it has no such service, or DNS did not answer in time.
    pub(crate) async fn places(&self, uri: &SipUri, named: Option<Transport>) -> Result<Vec<Place>, String> {
        let transport = named.unwrap_or(Transport::Udp);
        if let Some(ip) = uri.host.ip() {
            return Ok(vec![(transport, SocketAddr::new(ip, uri.port.unwrap_or(transport.default_port())))]);
        }
        // What has been found when the time is over is tried all the same.
        let mut places = Vec::new();
        let found = tokio::time::timeout(PATIENCE, self.find(uri, named, transport, &mut places)).await;
        places.truncate(PLACES);
        match found {
            _ if !places.is_empty() => Ok(places),
            Ok(Ok(())) => Err("its host has no address".to_owned()),
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("DNS did not say within {} s where its host is", PATIENCE.as_secs())),
        }
    }

    /// Finds the places, one after the other.
    async fn find(
        &self,
        uri: &SipUri,
        named: Option<Transport>,
        transport: Transport,
        places: &mut Vec<Place>,
    ) -> Result<(), String> {
        let host = uri.host.as_str().trim_end_matches('.');
        let mut is_denied = false;
        // A port means that host and no other (section 4.2), and a name without a dot is no domain.
        if uri.port.is_none() && host.contains('.') {
            let secure = uri.scheme.eq_ignore_ascii_case("sips");
            let mut services = match named {
                None => locate::services(self.naptr(host).await, secure),
                Some(_) => Vec::new(),
            };
            if services.is_empty() {
                services = locate::usual_services(host, named, secure);
            }
            for (kind, service) in services {
                let records = self.srv(&service).await;
                // The address of the domain itself is no way to what it says it does not have.
                is_denied |= kind == transport && locate::denies(&records);
                for server in locate::servers(records, |most| rand::rng().random_range(0..=most)) {
                    // One server without an address is no reason not to try the next.
                    let found = self.addresses(&server.target, server.port).await.unwrap_or_default();
                    places.extend(found.into_iter().map(|place| (kind, place)));
                }
            }
        }
        if places.is_empty() && is_denied {
            return Err("its domain says that it has no such service".to_owned());
        }
        if places.is_empty() {
            let port = uri.port.unwrap_or(transport.default_port());
            let found = self.addresses(host, port).await?;
            places.extend(found.into_iter().map(|place| (transport, place)));
        }
        Ok(())
    }

    async fn naptr(&self, domain: &str) -> Vec<Naptr> {
        let read = |data: &RData| match data {
            RData::NAPTR(record) => Some(Naptr {
                order: record.order,
                preference: record.preference,
                flags: String::from_utf8_lossy(&record.flags).into_owned(),
                services: String::from_utf8_lossy(&record.services).into_owned(),
                replacement: record.replacement.to_ascii(),
            }),
            _ => None,
        };
        self.records(domain, RecordType::NAPTR, read).await
    }

    async fn srv(&self, service: &str) -> Vec<Srv> {
        let read = |data: &RData| match data {
            RData::SRV(record) => Some(Srv {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                target: record.target.to_ascii(),
            }),
            _ => None,
        };
        self.records(service, RecordType::SRV, read).await
    }

    /// The records of a name, which is taken as it stands; none when there are none or nobody answers.
    async fn records<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Vec<T> {
        let Some(dns) = &self.dns else { return Vec::new() };
        match dns.lookup(whole(name), kind).await {
            Ok(found) => found.answers().iter().filter_map(|record| read(&record.data)).collect(),
            Err(error) => {
                debug!(name, %kind, %error, "DNS has no records");
                Vec::new()
            }
        }
    }

    /// The addresses of a host: of the servers of our configuration, else as the system says, with its own files.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let mut found: Vec<SocketAddr> = match &self.dns {
            Some(dns) if self.is_ours => {
                let found = dns.lookup_ip(whole(host)).await.map_err(|error| error.to_string())?;
                found.iter().map(|ip: IpAddr| SocketAddr::new(ip, port)).collect()
            }
            _ => {
                let host = host.trim_end_matches('.');
                tokio::net::lookup_host((host, port)).await.map_err(|error| error.to_string())?.collect()
            }
        };
        // IPv4 first: most telephones have nothing else.
        found.sort_by_key(SocketAddr::is_ipv6);
        Ok(found)
    }
}

/// A name from the root, to which no search domain is added.
fn whole(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}
