//! Trunks as calls meet them: which one a call comes over, what is different on it, how one goes out over it, and whether
//! there is room. Registrations are kept by the SIP endpoint; what they come to is read here.

mod day;
mod denied;
mod destinations;
mod emergency;
mod identity;
mod limit;
mod ping;
mod report;

use std::{
    fs,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use milo_media::Cleaning;
use milo_signaling::{Account, Caller, Credentials, Endpoint, Outgoing, RegistrationState, SignalingError, Uri};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    call::cleaning,
    config::{self, Config, sip_server},
    store::{LogWriter, Stamp, Store},
};
use day::Day;
use destinations::Destinations;
use emergency::Emergencies;
use limit::Limit;
use ping::Reach;

pub use denied::Denied;
pub use emergency::Emergency;
pub use identity::{Came, SentOn, Shown, Shows, dialled, fields_fault, is_nobody};
pub use limit::Place;
pub use report::TrunkReport;

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
    /// Where calls out go.
    way_out: Option<Uri>,
    credentials: Option<Credentials>,
    /// The rule for who calls out.
    caller_id: Option<String>,
    /// Who else may.
    caller_ids: Option<Vec<String>>,
    /// Who we are there: the From of calls out.
    address_of_record: Option<Uri>,
    registration: Option<watch::Receiver<RegistrationState>>,
    began: Instant,
    limit: Limit,
    destinations: Destinations,
    day: Arc<Day>,
    /// How it answers, where it is asked.
    reach: watch::Sender<Reach>,
    inbound: Counts,
    outbound: Counts,
}

/// Who a call out is said to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallingAs<'a> {
    /// As the trunk has it.
    Trunk,
    /// A plan says so, which the operator has written: it may, unless the trunk's `caller_ids` say who may.
    Plan(&'a str),
    /// Whoever has Milo place the call says so: one of the trunk's own, or of its `caller_ids`.
    Request(&'a str),
}

impl<'a> CallingAs<'a> {
    /// The number or name that is said.
    pub fn said(self) -> Option<&'a str> {
        match self {
            Self::Trunk => None,
            Self::Plan(said) | Self::Request(said) => Some(said),
        }
    }
}

/// Which way a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It comes over the trunk.
    In,
    /// It goes out over it.
    Out,
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
            let known = store.trunk_day(node, &trunk.name, &today).await?;
            let most = (trunk.calls_per_day, trunk.minutes_per_day);
            let day = Arc::new(Day::new(&trunk.name, most, known, log.clone()));
            trunks.push(Trunk::start(trunk, &config.clean, credentials, endpoint, day).await?);
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

    /// The trunk of this name.
    pub fn named(&self, name: &str) -> Option<&Trunk> {
        self.all.iter().find(|trunk| trunk.name() == name)
    }

    /// How this number is dialled, and what happens to a call to it, if it is one for emergencies.
    pub fn emergency(&self, number: &str) -> Option<(&str, &Emergency)> {
        self.emergencies.of(number)
    }

    /// The trunk that a call to this number from this address comes over: of several accounts at one registrar the one that
    /// is called, else the first that fits.
    pub fn of(&self, source: IpAddr, number: &str) -> Option<&Trunk> {
        let source = source.to_canonical();
        let fits = || self.all.iter().filter(move |trunk| trunk.is_at(source));
        let called = |trunk: &&Trunk| trunk.settings.username.as_deref() == Some(number);
        fits().find(called).or_else(|| fits().next())
    }

    /// The trunk whose gateway this address is at: who calls there calls over the trunk, whatever they name.
    pub fn at(&self, address: &Uri) -> Option<&Trunk> {
        self.all.iter().find(|trunk| trunk.way_out.as_ref().is_some_and(|gateway| is_one_server(gateway, address)))
    }

    /// Those that can be called out over.
    pub fn ways_out(&self) -> impl Iterator<Item = &Trunk> {
        self.all.iter().filter(|trunk| trunk.way_out.is_some())
    }

    /// How each of them is.
    pub fn report(&self) -> Vec<TrunkReport> {
        self.all.iter().map(Trunk::report).collect()
    }
}

impl Trunk {
    async fn start(
        trunk: &config::Trunk,
        clean: &config::Clean,
        credentials: Option<Credentials>,
        endpoint: &Endpoint,
        day: Arc<Day>,
    ) -> Result<Self> {
        let registrar = trunk.registrar.as_deref().and_then(|text| sip_server(text).ok());
        let account = registrar.clone().zip(credentials.clone()).map(|(registrar, credentials)| Account {
            name: trunk.name.clone(),
            registrar,
            credentials,
            expires: Duration::from_secs(trunk.expires_s),
            codecs: trunk.codecs.as_ref().map(|codecs| codecs.to_vec().into()),
        });
        let address_of_record = account.as_ref().map(Account::address_of_record);
        let registration = match account {
            Some(account) if trunk.register => Some(endpoint.register(account).await?),
            _ => None,
        };
        let gateway = trunk.gateway.as_deref().and_then(|text| sip_server(text).ok());
        // A whole network is no place to call to.
        let single = trunk.address.filter(|network| network.prefix_len() == network.max_prefix_len());
        let single = single.map(|network| Uri::sip(None, network.addr(), None));
        Ok(Self {
            cleaning: cleaning(&trunk.clean.over(clean)),
            recording: trunk.recording,
            way_out: gateway.or(registrar).or(single),
            credentials,
            caller_id: trunk.caller_id.clone(),
            caller_ids: trunk.caller_ids.clone(),
            address_of_record,
            registration,
            began: Instant::now(),
            limit: Limit::new(trunk.max_calls, trunk.calls_per_second),
            destinations: Destinations::new(trunk.allow.clone(), trunk.deny.clone()),
            day,
            reach: watch::Sender::new(Reach::default()),
            inbound: Counts::default(),
            outbound: Counts::default(),
            settings: trunk.clone(),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// What is done to the sound of its callers.
    pub fn cleaning(&self) -> Cleaning {
        self.cleaning
    }

    /// Whether its calls are recorded, where it says so.
    pub fn recording(&self) -> Option<bool> {
        self.recording
    }

    fn is_at(&self, source: IpAddr) -> bool {
        let registrar = || self.registration.as_ref()?.borrow().registrar.map(|address| address.ip().to_canonical());
        self.settings.address.is_some_and(|network| network.contains(&source)) || registrar() == Some(source)
    }

    /// A place for a call out to this number that begins now.
    ///
    /// # Errors
    /// Why the trunk does not take it.
    pub fn admit(&self, number: &str, from: CallingAs<'_>) -> Result<Place, Denied> {
        if self.way_out.is_none() {
            return Err(Denied::NoGateway);
        }
        if !self.shows(from) {
            return Err(Denied::CallerId);
        }
        if !self.destinations.holds(number) {
            return Err(Denied::Destination);
        }
        if !self.reach.borrow().is_up() {
            return Err(Denied::Down);
        }
        self.place(Direction::Out)
    }

    /// A place for a call to an emergency number, whatever the limits.
    ///
    /// # Errors
    /// [`Denied::NoGateway`].
    pub fn admit_emergency(&self) -> Result<Place, Denied> {
        if self.way_out.is_none() {
            return Err(Denied::NoGateway);
        }
        self.outbound.carried.fetch_add(1, Ordering::Relaxed);
        Ok(self.limit.take_anyway())
    }

    /// The call out that has this place was answered.
    pub fn answered(&self, place: &mut Place) {
        place.count_minutes(&self.day);
    }

    /// Whether a call out over it may be said to come from there.
    pub fn shows(&self, from: CallingAs<'_>) -> bool {
        let is_own = |id: &str| {
            let own = [&self.settings.username, &self.caller_id].into_iter().flatten().filter(|own| *own != CALLER);
            own.chain(self.caller_ids.iter().flatten()).any(|own| own == id)
        };
        match from {
            CallingAs::Trunk => true,
            CallingAs::Plan(id) => self.caller_ids.is_none() || is_own(id),
            CallingAs::Request(id) => is_own(id),
        }
    }

    /// A place for a call that begins now.
    ///
    /// # Errors
    /// Its limits leave none.
    pub fn place(&self, direction: Direction) -> Result<Place, Denied> {
        let place = self.limit.take(self.began.elapsed()).and_then(|place| match direction {
            Direction::In => Ok(place),
            Direction::Out => self.day.begin(Stamp::now()).map(|()| place),
        });
        let counts = match direction {
            Direction::In => &self.inbound,
            Direction::Out => &self.outbound,
        };
        let counter = if place.is_ok() { &counts.carried } else { &counts.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        place
    }

    /// Calls a number over this trunk.
    ///
    /// # Errors
    /// Those of [`Caller::call`]; a trunk without a gateway cannot be called out over.
    pub async fn call(&self, from_here: &Caller, number: &str, shown: &Shown<'_>) -> Result<Outgoing, SignalingError> {
        let wrong = |reason: &str| SignalingError::Target { target: number.to_owned(), reason: reason.to_owned() };
        let mut target = self.way_out.clone().ok_or_else(|| wrong("the trunk has no gateway"))?;
        if let Uri::Sip(sip) = &mut target {
            let Uri::Sip(called) = Uri::sip(Some(number), sip.host.clone(), sip.port) else {
                return Err(wrong("it is no number"));
            };
            sip.user = called.user;
        }
        let introduction = self.introduce(&target, shown);
        match &self.credentials {
            Some(credentials) => from_here.call_as(&target, introduction, credentials.clone()).await,
            None => from_here.call(&target, introduction).await,
        }
    }

    /// Who calls: what the plan says, else what the trunk says, else our name there. A caller's number counts where it is one: it
    /// may have written anything there, a whole address among it.
    pub fn caller_id(&self, from: Option<&str>, caller: &str) -> String {
        let rule = self
            .caller_id
            .as_deref()
            .and_then(|rule| if rule == CALLER { number(caller) } else { Some(rule).filter(|id| !id.is_empty()) });
        from.or(rule).or(self.settings.username.as_deref()).unwrap_or("milo").to_owned()
    }
}

/// Whether two addresses are of one server, as they are written.
fn is_one_server(one: &Uri, other: &Uri) -> bool {
    let at = |uri: &Uri| {
        let sip = uri.as_sip()?;
        let usual = if sip.scheme.eq_ignore_ascii_case("sips") { 5061 } else { 5060 };
        Some((sip.host.to_string().to_ascii_lowercase(), sip.port.unwrap_or(usual)))
    };
    at(one).is_some() && at(one) == at(other)
}

/// Whether this can be called over a trunk.
pub fn is_number(text: &str) -> bool {
    let dialled = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+*#".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(dialled)
}

/// What a caller says it is, where that is a number or a name.
pub fn number(caller: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
    (!caller.is_empty() && caller.bytes().all(plain)).then_some(caller)
}

/// Who Milo is on a trunk that asks for it.
///
/// # Errors
/// The file of the password cannot be read, or is no password.
pub fn credentials(trunk: &config::Trunk) -> Result<Option<Credentials>> {
    let Some(username) = trunk.username.clone() else { return Ok(None) };
    let password = match (&trunk.password_file, &trunk.password) {
        (Some(file), _) => {
            let text = fs::read_to_string(file).with_context(|| format!("its password_file {}", file.display()))?;
            let line = text.trim_end_matches(['\r', '\n']);
            ensure!(!line.is_empty() && !line.contains('\n'), "its password_file {} is no single line", file.display());
            line.to_owned()
        }
        (None, Some(password)) => password.reveal().to_owned(),
        (None, None) => return Ok(None),
    };
    Ok(Some(Credentials { username, password, realm: trunk.realm.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_passes_on_its_number_and_no_address() {
        for caller in ["+261341234567", "034", "milo_2.a-b"] {
            assert_eq!(number(caller), Some(caller));
        }
        for caller in ["", "sip:boss@bank.example", "tel:+261200", "a@b", "a b", "a;x", "<a>", "0%34", "é"] {
            assert_eq!(number(caller), None, "{caller}");
        }
    }
}
