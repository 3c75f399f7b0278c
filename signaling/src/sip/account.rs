//! An account at a registrar of somebody else's: where we are to be registered, as whom, and how that stands.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use milo_media::Codec;

use super::{
    digest::Credentials,
    trust::Trust,
    uri::{SipUri, Uri},
};

/// Where we are to be registered, and as whom.
#[derive(Clone, Debug)]
pub struct Account {
    /// How it is called in the log.
    pub name: String,
    /// `sip:host:port;transport=tcp`.
    pub registrar: Uri,
    /// The user of our address of record.
    pub user: String,
    /// The proxy that the registrar is reached by, with `;lr` (RFC 3261 section 8.1.2); `None`: it is reached at its own address.
    pub proxy: Option<Uri>,
    /// What the registrar asks for: its username may be another one than the user.
    pub credentials: Credentials,
    /// For how long we ask to be registered.
    pub expires: Duration,
    /// What calls with this registrar speak, in place of the endpoint's.
    pub codecs: Option<Arc<[&'static Codec]>>,
    /// Whose certificates are believed there, inside TLS; `None`: those that the endpoint believes.
    pub trust: Option<Trust>,
}

impl Account {
    /// Our address of record: `sip:user@host`.
    pub fn address_of_record(&self) -> Uri {
        let domain = self.domain();
        match domain.host() {
            Some(host) => Uri::sip(Some(&self.user), host.clone(), None),
            None => domain,
        }
    }

    /// Where its requests go first.
    pub(super) fn first_hop(&self) -> &Uri {
        self.proxy.as_ref().unwrap_or(&self.registrar)
    }

    /// The domain of the location service: the Request-URI (section 10.2).
    pub(super) fn domain(&self) -> Uri {
        match &self.registrar {
            Uri::Sip(SipUri { host, port, .. }) => Uri::sip(None, host.clone(), *port),
            other => other.clone(),
        }
    }
}

/// How a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The registrar is being asked for the first time.
    Registering,
    /// Calls come in over it.
    Registered,
    /// It failed the last time; it is tried again.
    Failed,
    /// We have left.
    Unregistered,
}

/// A registration as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationState {
    /// How it stands.
    pub standing: Standing,
    /// The registrar's address, once it was found: calls come in from there.
    pub registrar: Option<SocketAddr>,
    /// For how long the registrar has granted it.
    pub granted: Option<Duration>,
    /// What failed last, as a sentence.
    pub fault: Option<String>,
    /// The proxies that the registrar wants requests of ours to go by, in its order (RFC 3608).
    pub service_route: Vec<Uri>,
}

impl RegistrationState {
    /// Nothing has been heard yet.
    pub const UNKNOWN: Self = Self {
        standing: Standing::Registering,
        registrar: None,
        granted: None,
        fault: None,
        service_route: Vec::new(),
    };
}
