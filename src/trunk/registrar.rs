//! The registrars of a trunk: Milo registers at each of them by itself, and calls out go by the first that has it registered.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use milo_signaling::{Account, Credentials, Endpoint, RegistrationState, Standing, Trust, Uri};
use serde::Serialize;
use tokio::sync::watch;

use crate::config;

/// One registrar of a trunk.
#[derive(Debug)]
pub(super) struct Registrar {
    /// Where it is.
    pub(super) server: Uri,
    /// Who we are there: the From of calls out. None without credentials.
    pub(super) address_of_record: Option<Uri>,
    /// None where Milo does not register.
    state: Option<watch::Receiver<RegistrationState>>,
}

/// A registration as the API shows it.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = Registration)]
pub struct RegistrationReport {
    /// The registrar, as it is configured.
    #[schema(example = "sip:sip.carrier.example")]
    pub registrar: String,
    /// `registering`, `registered`, `failed`, `unregistered`.
    #[schema(example = "registered")]
    pub state: &'static str,
    /// Its address, once it was found.
    #[schema(value_type = Option<String>, example = "198.51.100.7:5060")]
    pub address: Option<SocketAddr>,
    /// For how many seconds it has granted the registration.
    #[schema(example = 600)]
    pub granted_s: Option<u64>,
    /// What failed last; it stays readable when all is well again.
    #[schema(example = "the registrar answers 503")]
    pub last_error: Option<String>,
}

impl Registrar {
    /// Those of a trunk; where it registers, it begins to at each.
    ///
    /// # Errors
    /// The endpoint is gone.
    pub(super) async fn start_all(
        trunk: &config::Trunk,
        credentials: Option<&Credentials>,
        trust: Option<&Trust>,
        endpoint: &Endpoint,
    ) -> Result<Vec<Self>> {
        let servers = trunk.registrar.as_ref().map(config::Servers::uris).unwrap_or_default();
        let is_only = servers.len() == 1;
        let mut registrars = Vec::new();
        for server in servers {
            let account = credentials.map(|credentials| Account {
                name: if is_only { trunk.name.clone() } else { format!("{} at {server}", trunk.name) },
                registrar: server.clone(),
                user: trunk.username.clone().unwrap_or_default(),
                proxy: trunk.proxy(),
                credentials: credentials.clone(),
                expires: Duration::from_secs(trunk.expires_s),
                // A list for each: the endpoint tells by it whose they are.
                codecs: trunk.codecs.as_ref().map(|codecs| Arc::from(codecs.to_vec())),
                trust: trust.cloned(),
            });
            let address_of_record = account.as_ref().map(Account::address_of_record);
            let state = match account {
                Some(account) if trunk.register => Some(endpoint.register(account).await?),
                _ => None,
            };
            registrars.push(Self { server, address_of_record, state });
        }
        Ok(registrars)
    }

    /// Whether Milo is registered there now.
    pub(super) fn is_registered(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.borrow().standing == Standing::Registered)
    }

    /// The proxies that it wants what we send to go by (RFC 3608).
    pub(super) fn service_route(&self) -> Vec<Uri> {
        self.state.as_ref().map(|state| state.borrow().service_route.clone()).unwrap_or_default()
    }

    /// Where it is, once it was found.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.state.as_ref().and_then(|state| state.borrow().registrar)
    }

    /// Whether it is at this address.
    pub(super) fn is_at(&self, source: IpAddr) -> bool {
        self.address().is_some_and(|at| at.ip().to_canonical() == source)
    }

    /// How the registration stands, where there is one.
    pub(super) fn report(&self) -> Option<RegistrationReport> {
        let state = self.state.as_ref()?.borrow().clone();
        Some(RegistrationReport {
            registrar: self.server.to_string(),
            state: match state.standing {
                Standing::Registering => "registering",
                Standing::Registered => "registered",
                Standing::Failed => "failed",
                Standing::Unregistered => "unregistered",
            },
            address: state.registrar,
            granted_s: state.granted.map(|granted| granted.as_secs()),
            last_error: state.fault,
        })
    }
}
