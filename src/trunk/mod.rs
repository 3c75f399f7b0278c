//! Trunks as calls meet them: which one a call comes over, what is different on it, how one goes out over it, and whether
//! there is room. Registrations are kept by the SIP endpoint; what they come to is read here.

mod admission;
mod day;
mod denied;
mod destinations;
mod emergency;
mod gateway;
mod identity;
mod limit;
mod out;
mod ping;
mod registrar;
mod report;
mod secrets;

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use anyhow::{Context, Result};
use milo_media::{Cleaning, Codec};
use milo_signaling::{Caller, Credentials, Endpoint, Invitation, Trust, Uri};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    call::cleaning,
    config::{self, Config, sip_server},
    store::{LogWriter, Stamp, Store, Whose},
};
pub(crate) use day::Day;
pub use day::each_minute;
pub(crate) use destinations::Destinations;
use emergency::Emergencies;
pub(crate) use limit::Limit;
use ping::Reach;
use registrar::Registrar;

pub use admission::{CallingAs, Direction};
pub use denied::Denied;
pub use emergency::Emergency;
pub use gateway::Way;
pub use identity::{Came, SentOn, Shown, Shows, dialled, fields_fault, is_nobody};
pub use limit::Place;
pub use out::{is_number, number};
pub use registrar::RegistrationReport;
pub use report::TrunkReport;
pub use secrets::{credentials, login};

/// The rule for the caller ID that passes on who called Milo.
const CALLER: &str = "caller";

/// All trunks, in the order of the configuration. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Trunks {
    all: Arc<[Trunk]>,
    emergencies: Arc<Emergencies>,
}

/// A trunk.
#[derive(Debug)]
pub struct Trunk {
    settings: config::Trunk,
    cleaning: Cleaning,
    recording: Option<bool>,
    /// Whoever is at its other end may have somebody called in their place.
    refer: bool,
    /// Where calls out go, if not by way of a registrar.
    gateway: Option<Uri>,
    /// Where it is registered, or calls out go.
    registrars: Vec<Registrar>,
    /// What everything to it goes by.
    proxy: Option<Uri>,
    codecs: Arc<[&'static Codec]>,
    /// Where DNS has said that these are, the newest last.
    places: watch::Sender<Vec<SocketAddr>>,
    /// Whose certificates are believed there.
    trust: Option<Trust>,
    /// Its certificate is believed, whoever's it is.
    is_unverified: bool,
    credentials: Option<Credentials>,
    /// The rule for who calls out.
    caller_id: Option<String>,
    /// Who else may.
    caller_ids: Option<Vec<String>>,
    began: Instant,
    limit: Limit,
    destinations: Destinations,
    day: Arc<Day>,
    /// How it answers, where it is asked.
    reach: watch::Sender<Reach>,
    /// Why the last call out came to nothing, where that spoke of the trunk.
    fault: watch::Sender<Option<String>>,
    inbound: Counts,
    outbound: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    carried: AtomicU64,
    refused: AtomicU64,
}

impl Trunks {
    /// Those of the configuration; where one registers, it begins to. And the tasks that ask them whether they are there, which
    /// end when they are let go of.
    ///
    /// # Errors
    /// A password cannot be read, or what was carried today.
    pub async fn start(
        config: &Config,
        endpoint: &Endpoint,
        (store, node, log): (&Store, &str, &LogWriter),
    ) -> Result<(Self, JoinSet<()>)> {
        let today = Stamp::now().day();
        let mut trunks = Vec::new();
        for trunk in &config.sip.trunks {
            let credentials = credentials(trunk).with_context(|| format!("the trunk {:?}", trunk.name))?;
            let whose = Whose::Trunk(trunk.name.clone());
            let known = store.day(node, &whose, &today).await?;
            let most = (trunk.calls_per_day, trunk.minutes_per_day);
            let day = Arc::new(Day::new(whose, most, known, log.clone()));
            trunks.push(Trunk::start(trunk, config, credentials, endpoint, day).await?);
        }
        let trunks = Self { all: trunks.into(), emergencies: Arc::new(Emergencies::new(&config.sip)) };
        let mut asking = JoinSet::new();
        for (at, trunk) in config.sip.trunks.iter().enumerate() {
            if let Some(seconds) = trunk.options_s {
                let every = Duration::from_secs(seconds.max(1));
                asking.spawn(ping::keep_asking(trunks.clone(), at, every, endpoint.caller().clone()));
            }
        }
        Ok((trunks, asking))
    }

    /// The database learns what calls that are up have talked so far.
    pub fn note_days(&self) {
        self.all.iter().for_each(|trunk| trunk.day.note());
    }

    /// The trunk of this name.
    pub fn named(&self, name: &str) -> Option<&Trunk> {
        self.all.iter().find(|trunk| trunk.name() == name)
    }

    /// How this number is dialled, and what happens to a call to it, if it is one for emergencies.
    pub fn emergency(&self, number: &str) -> Option<(&str, &Emergency)> {
        self.emergencies.of(number)
    }

    /// The trunk that a call comes over: the one that it has proved to be, else one at its address.
    pub fn of(&self, invitation: &Invitation) -> Option<&Trunk> {
        match invitation.trunk() {
            Some(name) => self.named(name),
            None => self.from(invitation.source().ip(), invitation.to_uri(), invitation.from_uri()),
        }
    }

    /// The trunk at this address, whence a call or a text comes, to whom and from whom. Of several at one address the one whose
    /// domain it names; else, of several accounts at one registrar, the one that is called; else the first.
    pub fn from(&self, source: IpAddr, to: &Uri, from: &Uri) -> Option<&Trunk> {
        let (source, number) = (source.to_canonical(), to.user());
        let fits = || self.all.iter().filter(move |trunk| trunk.is_at(source) && trunk.is_named(to, from));
        let by_domain = |trunk: &&Trunk| trunk.settings.domain.is_some();
        let called = |trunk: &&Trunk| trunk.settings.username.as_deref() == Some(number.as_str());
        fits().find(by_domain).or_else(|| fits().find(called)).or_else(|| fits().next())
    }

    /// Those that can be called out over.
    pub fn ways_out(&self) -> impl Iterator<Item = &Trunk> {
        self.all.iter().filter(|trunk| trunk.way_out().is_some())
    }

    /// How each of them is.
    pub fn report(&self) -> Vec<TrunkReport> {
        self.all.iter().map(Trunk::report).collect()
    }
}

impl Trunk {
    async fn start(
        trunk: &config::Trunk,
        config: &Config,
        credentials: Option<Credentials>,
        endpoint: &Endpoint,
        day: Arc<Day>,
    ) -> Result<Self> {
        let named = || format!("the trunk {:?}", trunk.name);
        let trust = trunk.trust(&config.sip).with_context(named)?;
        let is_unverified = trunk.is_unverified(&config.sip);
        if is_unverified {
            tracing::warn!(trunk = trunk.name, "tls_verify is false: whoever answers in its place is believed");
        }
        let registrars = Registrar::start_all(trunk, credentials.as_ref(), trust.as_ref(), endpoint).await?;
        // A whole network is no place to call to.
        let single = trunk.address.filter(|network| network.prefix_len() == network.max_prefix_len());
        let single = single.filter(|_| registrars.is_empty()).map(|network| Uri::sip(None, network.addr(), None));
        let gateway = trunk.gateway.as_deref().and_then(|text| sip_server(text).ok());
        Ok(Self {
            cleaning: cleaning(&trunk.clean.over(&config.clean)),
            recording: trunk.recording,
            refer: trunk.refer,
            gateway: gateway.or(single),
            registrars,
            proxy: trunk.proxy(),
            codecs: trunk.codecs.as_ref().unwrap_or(&config.media.codecs).to_vec().into(),
            places: watch::Sender::default(),
            trust,
            is_unverified,
            credentials,
            caller_id: trunk.caller_id.clone(),
            caller_ids: trunk.caller_ids.clone(),
            began: Instant::now(),
            limit: Limit::new(trunk.max_calls, trunk.calls_per_second),
            destinations: Destinations::new(trunk.allow.clone(), trunk.deny.clone()),
            day,
            reach: watch::Sender::new(Reach::default()),
            fault: watch::Sender::new(None),
            inbound: Counts::default(),
            outbound: Counts::default(),
            settings: trunk.clone(),
        })
    }

    /// The registrar whose calls these are: the first that has Milo registered, else the first.
    fn registrar(&self) -> Option<&Registrar> {
        self.registrars.iter().find(|registrar| registrar.is_registered()).or_else(|| self.registrars.first())
    }

    /// Where calls out go now.
    fn way_out(&self) -> Option<&Uri> {
        self.gateway.as_ref().or_else(|| self.registrar().map(|registrar| &registrar.server))
    }

    /// Everything of its that takes calls: the gateway, the registrars, and the proxies before them.
    fn servers(&self) -> impl Iterator<Item = Uri> {
        let own = self.gateway.iter().chain(&self.proxy).cloned();
        let registrars = self.registrars.iter().map(|registrar| registrar.server.clone());
        own.chain(registrars).chain(self.registrars.iter().flat_map(Registrar::service_route))
    }

    /// What connects to it, by the proxies on the way there: the configured one, and those that the registrar has named, where calls
    /// go by it.
    fn caller(&self, from_here: &Caller) -> Caller {
        let mut routes = Vec::from_iter(self.proxy.clone());
        if self.gateway.is_none() {
            let named = self.registrar().map(Registrar::service_route).unwrap_or_default();
            // Some name the proxy that they were reached by as well.
            let is_new = |route: &Uri| self.proxy.as_ref().is_none_or(|proxy| !gateway::is_one_server(proxy, route));
            routes.extend(named.into_iter().filter(is_new));
        }
        let caller = from_here.by(routes);
        self.trust.clone().map_or_else(|| caller.clone(), |trust| caller.trusting(trust))
    }

    /// What its calls speak, preferred first.
    pub fn codecs(&self) -> Arc<[&'static Codec]> {
        Arc::clone(&self.codecs)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What is done to the sound of its callers.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// Whether whoever is called over it, or comes over it, may have Milo call somebody in their place (REFER).
    pub fn may_refer(&self) -> bool {
        self.refer
    }

    /// Whether its calls are recorded, where it says so.
    pub fn recording(&self) -> Option<bool> {
        self.recording
    }

    /// Whether a call to and from these names the trunk's domain, where it has one.
    fn is_named(&self, to: &Uri, from: &Uri) -> bool {
        let Some(domain) = &self.settings.domain else { return true };
        let uri = match self.settings.domain_of {
            config::DomainOf::To => to,
            config::DomainOf::From => from,
        };
        uri.host().is_some_and(|host| host.as_str().eq_ignore_ascii_case(domain))
    }

    fn is_at(&self, source: IpAddr) -> bool {
        self.settings.address.is_some_and(|network| network.contains(&source))
            || self.registrars.iter().any(|registrar| registrar.is_at(source))
    }
}
